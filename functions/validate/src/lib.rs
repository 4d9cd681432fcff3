//! Proves green before it gets any weight: smoke tests against the version itself, its cold start, its
//! health checks, and warm environments for its first users.

mod assertions;
mod cold;
mod health;
mod lambda_report;
mod room;
mod smoke;
mod warm;

use std::{cmp::Ordering, time::Duration};

use crossfade::{
    aws::{
        executions::Executions,
        functions::{Functions, RunSettings},
        health::HealthChecks,
        ledger::Ledger,
        traffic::Traffic,
    },
    domain::{
        analysis::check::Evidence,
        release::{Event, Release},
        target::Target,
    },
    error::{Detail, Error},
    wire::{
        graph::{Next, Output},
        request::{FunctionRequest, MAX_VALIDATION_SECONDS, ReleaseRequest},
        task::{Task, task},
    },
};
use futures::future::{join_all, try_join_all};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::room::Rooms;

/// How long the smoke tests of a function may take together.
const TESTS: Duration = Duration::from_secs(MAX_VALIDATION_SECONDS as u64);

/// When everything has to be over, from the beginning: under the function's own timeout of 900 seconds.
const END: Duration = Duration::from_secs(880);

/// How many of the smoke tests' results are shown. The rest are counted: 50 functions may have 1000,
/// which would be more than a Cause can hold and than a state should carry.
const SHOWN: usize = 10;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    functions: Functions,
    health: HealthChecks,
    ledger: Ledger,
    traffic: Traffic,
}

/// What one smoke test found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The function.
    pub function_name: String,
    /// The test's name, or `cold start`.
    pub test: String,
    /// Whether all was as expected.
    pub passed: bool,
    /// How long the version took, milliseconds: its own report, or the round trip without one.
    pub duration_ms: f64,
    /// How long its cold start took, milliseconds: its initialization, or its restoration from a snapshot.
    /// Absent when it was warm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_start_ms: Option<f64>,
    /// What was not as expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            executions: Executions::new(config),
            functions: Functions::new(config),
            health: HealthChecks::new(config),
            ledger: Ledger::new(config),
            traffic: Traffic::new(config),
        }
    }

    /// Runs all smoke tests of all functions, and asks all health checks.
    ///
    /// # Errors
    /// [`Error::ValidationFailed`] with every test's result when one failed, or with the health checks
    /// that did not pass.
    pub async fn handle(&self, payload: Value) -> Result<Output, Error> {
        let task: Task = task(payload)?;
        let (mut release, _) = task.state.in_flight()?.answered(task.now)?;
        let request = task
            .request
            .ok_or_else(|| Error::InvalidRequest("the state hands no request over".into()))?;
        let functions = Box::pin(self.functions_of(&request, &release)).await?;

        let begun = Instant::now();
        let rooms = Rooms::new(&self.functions);
        let pairs = release
            .progress()
            .functions
            .iter()
            .filter_map(|target| Some((target, asked(&functions, target)?)));
        // Before the first test runs: where this fails, the state is tried again with all of them.
        let runs = pairs.clone().map(|(target, asked)| self.run(target, asked));
        let runs = try_join_all(runs).await?;
        let proofs = pairs.clone().zip(&runs).map(|((target, asked), run)| {
            self.prove(target, asked, run.as_ref(), &rooms, begun + TESTS)
        });
        let proofs: Vec<Proof> = join_all(proofs).await.into_iter().flatten().collect();
        let failed: Vec<&Proof> = proofs.iter().filter(|proof| !proof.passed).collect();
        tracing::info!(
            event = "green_validated",
            deployment.id = task.execution,
            tests = proofs.len(),
            failed = failed.len(),
            "Validated green."
        );
        if let Some(first) = failed.first() {
            let reason = format!(
                "{} of {} smoke tests failed; {} {}: {}",
                failed.len(),
                proofs.len(),
                first.function_name,
                first.test,
                first.failures.join("; ")
            );
            return Err(Error::ValidationFailed(Detail::proven(
                reason,
                evidence(&proofs),
            )));
        }
        // Only what has passed may be reached: by sticky clients, other rules and late resolvers too.
        let leave = self.ledger.lease(&task.execution);
        self.traffic.stage(leave, &release.footprint()).await?;
        let health = self.healthy(&release.spec.analysis, &proofs).await?;
        let warmed = pairs.map(|(target, asked)| self.prewarm(target, asked, &rooms, begun + END));
        let warnings = join_all(warmed).await;
        let new = release
            .progress()
            .functions
            .iter()
            .filter(|target| target.is_new());
        let tested = new.filter(|target| {
            asked(&functions, target).is_some_and(|asked| !asked.smoke_tests.is_empty())
        });
        let event = Event::Validated {
            smoke_tested: tested.map(|target| target.function_name.clone()).collect(),
            health,
            warnings: warnings.into_iter().flatten().collect(),
            evidence: evidence(&proofs),
        };
        release.apply(event, task.now)?;
        Ok(Output::of(release, Next::of))
    }

    /// Reads how green runs; none where nothing is to be proven of it.
    async fn run(
        &self,
        target: &Target,
        asked: &FunctionRequest,
    ) -> Result<Option<RunSettings>, Error> {
        if asked.smoke_tests.is_empty() {
            return Ok(None);
        }
        let run = self
            .functions
            .run_settings(&target.function_name, &target.green_version);
        run.await.map(Some)
    }

    /// Returns the functions as the request has them: a rollback to a version has those of the release that its own
    /// is made of, with the same smoke tests.
    async fn functions_of(
        &self,
        request: &Value,
        release: &Release,
    ) -> Result<Vec<FunctionRequest>, Error> {
        let Some(back) = &release.spec.goes_back else {
            let request = ReleaseRequest::deserialize(request)
                .map_err(|error| Error::InvalidRequest(error.to_string().into()))?;
            return Ok(request.functions);
        };
        let Some(execution) = &back.request_of else {
            return Ok(Vec::new());
        };
        let input = self.executions.input(execution).await?;
        let request = input.and_then(|input| ReleaseRequest::deserialize(input).ok());
        let request = request.ok_or_else(|| {
            let why = format!(
                "the request of {execution} cannot be read any more, so green cannot be tested"
            );
            Error::ValidationFailed(why.into())
        })?;
        Ok(request.functions)
    }

    /// Runs a function's smoke tests, one after the other, and judges its cold start.
    async fn prove(
        &self,
        target: &Target,
        asked: &FunctionRequest,
        run: Option<&RunSettings>,
        rooms: &Rooms<'_>,
        until: Instant,
    ) -> Vec<Proof> {
        let Some(run) = run else {
            return Vec::new();
        };
        let mut proofs = Vec::new();
        let mut reports = Vec::new();
        for test in &asked.smoke_tests {
            let (proof, report) = self.smoke(target, test, run, until).await;
            proofs.push(proof);
            reports.push(report);
        }
        if let Some(ceiling) = asked.max_cold_start_ms {
            let passed = proofs.iter().all(|proof| proof.passed);
            let start = self
                .cold_start(target, asked, run, &reports, passed.then_some(rooms), until)
                .await;
            proofs.extend(start.map(|start| start.proof(target, ceiling)));
        }
        proofs
    }
}

/// The results that say most: those that failed, and then the slowest.
fn evidence(proofs: &[Proof]) -> Evidence {
    let mut worst: Vec<&Proof> = proofs.iter().collect();
    if proofs.len() > SHOWN {
        worst.sort_by(|a, b| {
            let slower = b.duration_ms.total_cmp(&a.duration_ms);
            // Those that failed stay in their order.
            let passed = a.passed.cmp(&b.passed);
            passed.then(if a.passed { slower } else { Ordering::Equal })
        });
        worst.truncate(SHOWN);
    }
    Evidence {
        validation: worst.iter().map(|proof| json!(proof)).collect(),
        validation_left_out: proofs.len() - worst.len(),
        ..Evidence::default()
    }
}

fn asked<'a>(functions: &'a [FunctionRequest], target: &Target) -> Option<&'a FunctionRequest> {
    functions
        .iter()
        .find(|asked| asked.function_name == target.function_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(nth: u32, passed: bool) -> Proof {
        Proof {
            function_name: format!("f{nth}"),
            test: "health".into(),
            passed,
            duration_ms: f64::from(nth),
            cold_start_ms: None,
            failures: Vec::new(),
        }
    }

    fn shown(evidence: &Evidence) -> Vec<&str> {
        let names = evidence.validation.iter();
        names
            .filter_map(|proof| proof["functionName"].as_str())
            .collect()
    }

    #[test]
    fn shows_few_results_in_order() {
        let proofs: Vec<_> = (0..10).map(|nth| proof(nth, nth != 3)).collect();
        let evidence = evidence(&proofs);
        assert_eq!(shown(&evidence)[..4], ["f0", "f1", "f2", "f3"]);
        assert_eq!(evidence.validation_left_out, 0);
    }

    #[test]
    fn shows_failed_then_slowest_of_many_results() {
        let proofs: Vec<_> = (0..1000)
            .map(|nth| proof(nth, nth != 7 && nth != 70))
            .collect();
        let evidence = evidence(&proofs);
        assert_eq!(shown(&evidence)[..4], ["f7", "f70", "f999", "f998"]);
        assert_eq!(
            (evidence.validation.len(), evidence.validation_left_out),
            (SHOWN, 990)
        );
        let size = json!(evidence).to_string().len();
        assert!(size < 4096, "{size} bytes");
    }
}
