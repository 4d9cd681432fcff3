//! Proves green before it gets any weight: smoke tests against the version itself, its cold start, its
//! health checks, and warm environments for its first users.

mod expect;
mod health;
mod report;

use std::{cmp::Ordering, time::Instant};

use crossfade::{
    aws::{functions::Functions, health::HealthChecks, ledger::Ledger, traffic::Traffic},
    domain::{
        check::Evidence,
        release::{Release, Target},
    },
    error::Error,
    wire::{
        request::{FunctionRequest, ReleaseRequest, Request, SmokeTest},
        task::{state, task},
    },
};
use futures::future::{join_all, try_join_all};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::report::Report;

/// How many invocations are on their way at the same time, over all functions: as many as one function
/// may be pre-warmed with. All of an account's functions share 1000 (AWS's default), and those of its
/// users come first.
const AT_ONCE: usize = 100;

/// How many of the smoke tests' results are shown. The rest are counted: 50 functions may have 1000,
/// which would be more than a Cause can hold and than a state should carry.
const SHOWN: usize = 10;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
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
    /// How long its cold start took, milliseconds; absent when it was warm.
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
    pub async fn handle(&self, payload: Value) -> Result<Release, Error> {
        let task = task(payload)?;
        let release: Release = state(task.state)?;
        let request = task
            .request
            .ok_or_else(|| Error::InvalidRequest("the state hands no request over".into()))?;
        let request = match Request::parse(&request) {
            Ok(Request::Release(request)) => request,
            Ok(Request::Rollback { .. } | Request::Wire { .. } | Request::Unwire { .. }) => {
                return Err(Error::InvalidRequest("not a release".into()));
            }
            Err(problems) => return Err(Error::InvalidRequest(problems.to_string())),
        };

        let pairs = release
            .functions
            .iter()
            .filter_map(|target| Some((target, asked(&request, target)?)));
        let proofs: Vec<Proof> = join_all(
            pairs
                .clone()
                .map(|(target, asked)| self.prove(target, asked)),
        )
        .await
        .into_iter()
        .flatten()
        .collect();
        let failed: Vec<&Proof> = proofs.iter().filter(|proof| !proof.passed).collect();
        tracing::info!(
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
            let why = json!({ "reason": reason, "evidence": evidence(&proofs) });
            return Err(Error::ValidationFailed(why.to_string()));
        }
        // Only what has passed may be reached: by sticky clients, other rules and late resolvers too.
        let leave = self.ledger.leave(&task.execution);
        self.traffic.stage(leave, &release.footprint()).await?;
        let health = self.healthy(&release.analysis, &proofs).await?;
        let room = Semaphore::new(AT_ONCE);
        try_join_all(pairs.map(|(target, asked)| self.prewarm(target, asked, &room))).await?;
        let mut release = release;
        release.health = health;
        release.evidence = evidence(&proofs).beside(release.evidence);
        release.ask_first();
        Ok(release)
    }

    async fn prove(&self, target: &Target, asked: &FunctionRequest) -> Vec<Proof> {
        let mut proofs = Vec::new();
        for test in &asked.smoke_tests {
            proofs.push(self.smoke(target, test).await);
        }
        if let Some(ceiling) = asked.max_cold_start_ms {
            proofs.extend(cold_start(target, f64::from(ceiling), &proofs));
        }
        proofs
    }

    async fn smoke(&self, target: &Target, test: &SmokeTest) -> Proof {
        let begun = Instant::now();
        let answer = self
            .functions
            .invoke(&target.function_name, &target.green_version, &test.payload)
            .await;
        let round_trip_ms = begun.elapsed().as_secs_f64() * 1e3;
        let (report, failures) = match answer {
            Ok(answer) => {
                let report = Report::of(&answer.log_tail);
                let took = report.duration_ms.unwrap_or(round_trip_ms);
                let failures = expect::failures(&test.expect, &answer, took);
                (report, failures)
            }
            Err(error) => (Report::default(), vec![error.to_string()]),
        };
        Proof {
            function_name: target.function_name.to_string(),
            test: test.name.clone(),
            passed: failures.is_empty(),
            duration_ms: report.duration_ms.unwrap_or(round_trip_ms),
            cold_start_ms: report.init_ms,
            failures,
        }
    }

    /// Invokes green so often at the same time that so many environments are warm, as soon as there
    /// is room for all of them.
    async fn prewarm(
        &self,
        target: &Target,
        asked: &FunctionRequest,
        room: &Semaphore,
    ) -> Result<(), Error> {
        let Some(test) = asked.smoke_tests.first() else {
            return Ok(());
        };
        // It is never closed, and nothing asks for more than there is.
        let _room = room.acquire_many(asked.prewarm).await.ok();
        let calls = (0..asked.prewarm).map(|_| {
            self.functions
                .invoke(&target.function_name, &target.green_version, &test.payload)
        });
        let cold = try_join_all(calls)
            .await?
            .iter()
            .filter(|answer| Report::of(&answer.log_tail).init_ms.is_some())
            .count();
        if asked.prewarm > 0 {
            tracing::info!(function = %target.function_name, asked = asked.prewarm, cold, "Warmed green up.");
        }
        Ok(())
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

fn asked<'a>(request: &'a ReleaseRequest, target: &Target) -> Option<&'a FunctionRequest> {
    request
        .functions
        .iter()
        .find(|asked| asked.function_name == target.function_name)
}

/// The slowest cold start among the proofs, against its ceiling; none when all were warm.
fn cold_start(target: &Target, ceiling_ms: f64, proofs: &[Proof]) -> Option<Proof> {
    let slowest = proofs
        .iter()
        .filter_map(|proof| proof.cold_start_ms)
        .reduce(f64::max)?;
    let failures = if slowest > ceiling_ms {
        vec![format!(
            "a cold start took {slowest:.0} ms, at most {ceiling_ms:.0} ms are allowed"
        )]
    } else {
        Vec::new()
    };
    Some(Proof {
        function_name: target.function_name.to_string(),
        test: "cold start".into(),
        passed: failures.is_empty(),
        duration_ms: slowest,
        cold_start_ms: Some(slowest),
        failures,
    })
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
    fn a_few_results_are_all_shown_as_they_came() {
        let proofs: Vec<_> = (0..10).map(|nth| proof(nth, nth != 3)).collect();
        let evidence = evidence(&proofs);
        assert_eq!(shown(&evidence)[..4], ["f0", "f1", "f2", "f3"]);
        assert_eq!(evidence.validation_left_out, 0);
    }

    #[test]
    fn of_many_those_that_failed_are_shown_and_then_the_slowest() {
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
