//! Judges green, and asks people, as states of the execution:
//!
//! - alarms, health checks and metrics of the bake so far -> verdict -> decision;
//! - what an operator answered -> what follows;
//! - where a state waits for a person: puts the token on record, and asks.

mod answer;
mod ask;
mod health;
mod metrics;

use crossfade::{
    aws::{
        health::HealthChecks, ledger::Ledger, metrics::Metrics, notify::Notifier, traffic::Traffic,
    },
    domain::{
        Timestamp,
        analysis::{
            check::{Look, Window, check},
            counts::FunctionSeries,
            judge::Watch,
        },
        approval::Wish,
        record::{Record, Status},
        release::{IN_SYNC_USUAL_SECONDS, Release},
        weight::Weight,
    },
    error::Error,
    wire::{
        graph::{Next, Output},
        task::{Task, state, task},
    },
};
use serde_json::{Value, json};

use crate::answer::Waited;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    /// Where a person can answer; none where the stack has no such page.
    approval_url: Option<String>,
    health: HealthChecks,
    ledger: Ledger,
    metrics: Metrics,
    notifier: Notifier,
    traffic: Traffic,
}

impl Handler {
    /// Returns a handler with clients on `config`, and the approval page that the environment's `APPROVAL_URL`
    /// names.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            approval_url: std::env::var("APPROVAL_URL")
                .ok()
                .filter(|url| !url.is_empty()),
            health: HealthChecks::new(config),
            ledger: Ledger::new(config),
            metrics: Metrics::new(config),
            notifier: Notifier::new(config),
            traffic: Traffic::new(config),
        }
    }

    /// Looks, takes in an answer, or asks an operator where the state waits for one.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let task = task(payload)?;
        if let Some(token) = task.token.clone() {
            return self.ask(task, &token).await;
        }
        let output = match Waited::of(&task) {
            Some(waited) => self.answered(task, &waited).await?,
            None => Output::of(Box::pin(self.look(task)).await?, Next::looked),
        };
        Ok(json!(output))
    }

    /// One look at the step that bakes.
    async fn look(&self, task: Task) -> Result<Release, Error> {
        let mut release: Release = state(task.state)?;
        if release.take_answers(task.now) {
            // A person has resumed the bake that was held.
            self.ledger.resumed(&task.execution).await?;
        }
        if release.is_following() {
            return Box::pin(self.follow(task.execution, task.now, release)).await;
        }
        let window = Window::at(task.now, &release.steps, release.analysis.settle_seconds);
        let (Some(step), Some(window)) = (release.step(), window) else {
            return Err(Error::InvalidRequest("there is no step that bakes".into()));
        };
        // A step without weight or without a bake says nothing of green's traffic.
        let judged = if step.weight > Weight::ZERO && step.bake_seconds > 0 {
            release.traffic.counted(&release.functions)
        } else {
            Vec::new()
        };

        let read = Watch {
            from: window.first,
            through: window.watch.through,
        };
        let (readings, minutes, record, health) = futures::try_join!(
            self.metrics.alarms(&release.analysis.alarms, task.now),
            self.metrics
                .minutes(&judged, release.analysis.slower_than_ms, read),
            self.ledger.get(&task.execution),
            async { Ok(self.health_now(&release).await) },
        )?;
        let wish = still_in_flight(record)?;
        release.health = health;

        // Behind the functions there is what splits the traffic, where that is counted too.
        let each = release.functions.iter().map(|target| {
            let past = release.past.get(&target.function_name).copied();
            (target.is_new(), past)
        });
        let series: Vec<_> = judged
            .into_iter()
            .zip(minutes)
            .zip(each.chain([(false, release.traffic.past())]))
            .map(|((counted, minutes), (is_new, past))| FunctionSeries {
                function: counted.name,
                minutes: minutes
                    .into_iter()
                    .filter(|minute| window.judges(minute))
                    .collect(),
                is_new,
                past,
            })
            .collect();
        let look = Look {
            readings: &readings,
            preexisting: &release.preexisting_alarms,
            started_at: release.started_at,
            health: &release.health,
            series: &series,
            watch: window.watch,
            smoke_tested: &release.smoke_tested,
            routes_each_request: release.traffic.routes_each_request(),
        };
        let found = check(&release.analysis, &look);
        metrics::verdict(&release, step.weight, &found, task.now).write();
        let (verdict, index) = (found.verdict, release.position.step);
        if release.is_hook_due() {
            release.take_in_before_hook(found, task.now);
        } else {
            release.take_in(found, task.now);
        }
        if let Some(wish) = wish {
            release.wished(&wish);
        }
        tracing::info!(
            deployment.id = task.execution,
            step = index,
            weight_percent = step.weight.percent(),
            verdict = ?verdict,
            decision = ?release.decision,
            "Checked alarms."
        );
        Ok(release)
    }

    /// One look while DNS is following: alarms, health checks, and whether the last change is in force. Whose
    /// requests come in meanwhile is not known, so they are not judged.
    async fn follow(
        &self,
        execution: String,
        now: Timestamp,
        mut release: Release,
    ) -> Result<Release, Error> {
        let in_sync = async {
            match &release.propagation {
                None => Ok(true),
                Some(propagation) => match &propagation.change_id {
                    Some(change) => self.traffic.in_sync(change).await,
                    None => Ok(propagation.waited_seconds >= IN_SYNC_USUAL_SECONDS),
                },
            }
        };
        let (readings, in_sync, record, health) = futures::try_join!(
            self.metrics.alarms(&release.analysis.alarms, now),
            in_sync,
            self.ledger.get(&execution),
            async { Ok(self.health_now(&release).await) },
        )?;
        still_in_flight(record)?;
        release.health = health;
        let look = Look {
            readings: &readings,
            preexisting: &release.preexisting_alarms,
            started_at: release.started_at,
            health: &release.health,
            series: &[],
            watch: Watch {
                from: 0,
                through: 0,
            },
            smoke_tested: &[],
            routes_each_request: release.traffic.routes_each_request(),
        };
        let found = check(&release.analysis, &look);
        release.followed(in_sync, found, now);
        tracing::info!(
            deployment.id = execution,
            in_sync,
            decision = ?release.decision,
            "Looked whether DNS follows."
        );
        Ok(release)
    }
}

/// What a person wishes of it, if any. A deployment that was told to go back meanwhile is not judged any
/// more.
fn still_in_flight(record: Option<Record>) -> Result<Option<Wish>, Error> {
    match record {
        Some(record) if record.status == Status::InFlight => Ok(record.wish),
        Some(record) => {
            let reason = record
                .why
                .map_or_else(|| "the deployment has ended".to_owned(), |why| why.reason);
            Err(Error::DeploymentRolledBack(reason.into()))
        }
        None => Err(Error::Refused(
            "the ledger does not know this deployment".into(),
        )),
    }
}
