//! Judges green, in three ways:
//!
//! - as a state of the execution: alarms and metrics of the bake so far -> verdict -> decision;
//! - as the state that holds: takes the token on record, and calls a person;
//! - from EventBridge, as the rollback checker: an alarm that fires puts the traffic of every
//!   deployment that watches it back on blue, before the handler returns.

mod checker;
mod emf;
mod hold;

use crossfade::{
    aws::{
        executions::Executions,
        functions::Functions,
        ledger::{Ledger, Status},
        metrics::Metrics,
        notify::Notifier,
    },
    domain::{
        check::{Look, Window, check},
        counts::FunctionSeries,
        judge::Watch,
        release::{Release, Target},
        weight::Weight,
    },
    error::Error,
    wire::{
        events::Event,
        task::{Call, Task, state},
    },
};
use serde_json::{Value, json};

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    functions: Functions,
    ledger: Ledger,
    metrics: Metrics,
    notifier: Notifier,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            executions: Executions::new(config),
            functions: Functions::new(config),
            ledger: Ledger::new(config),
            metrics: Metrics::new(config),
            notifier: Notifier::new(config),
        }
    }

    /// Tells the three callers apart.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        match Call::parse(payload)? {
            Call::Event(event) => match Event::parse(event)? {
                Event::AlarmFired { name, reason, time } => {
                    self.alarm_fired(&name, &reason, time).await
                }
                Event::ExecutionEnded { .. } | Event::Tick { .. } | Event::Other => Ok(json!({})),
            },
            Call::Task(task) => match task.token.clone() {
                Some(token) => self.hold(*task, &token).await,
                None => self.look(*task).await.map(|release| json!(release)),
            },
        }
    }

    /// One look at the step that bakes.
    async fn look(&self, task: Task) -> Result<Release, Error> {
        let mut release: Release = state(task.state)?;
        let window = Window::at(task.now, &release.steps, release.analysis.settle_seconds);
        let (Some(step), Some(window)) = (release.step(), window) else {
            return Err(Error::InvalidRequest("there is no step that bakes".into()));
        };
        // A step without weight or without a bake says nothing of green's traffic.
        let judged: &[Target] = if step.weight > Weight::ZERO && step.bake_seconds > 0 {
            &release.functions
        } else {
            &[]
        };

        let read = Watch {
            from: window.first,
            through: window.watch.through,
        };
        let (readings, minutes, record) = futures::try_join!(
            self.metrics.alarms(&release.analysis.alarms),
            self.metrics
                .minutes(judged, release.analysis.slower_than_ms, read),
            self.ledger.get(&task.execution),
        )?;
        match record {
            Some(record) if record.status == Status::InFlight => {}
            Some(record) => {
                let reason = record
                    .why
                    .map_or_else(|| "the deployment has ended".to_owned(), |why| why.reason);
                return Err(Error::DeploymentRolledBack(reason));
            }
            None => {
                return Err(Error::Refused(
                    "the ledger does not know this deployment".into(),
                ));
            }
        }

        let series: Vec<_> = judged
            .iter()
            .zip(minutes)
            .map(|(target, minutes)| FunctionSeries {
                function: target.function_name.to_string(),
                minutes: minutes
                    .into_iter()
                    .filter(|minute| window.judges(minute))
                    .collect(),
                past: target.past,
            })
            .collect();
        let look = Look {
            readings: &readings,
            preexisting: &release.preexisting_alarms,
            started_at: release.started_at,
            series: &series,
            watch: window.watch,
        };
        let found = check(&release.analysis, &look);
        emf::verdict(&release, step.weight, &found, task.now);
        let (verdict, index) = (found.verdict, release.position.step);
        release.take_in(found, task.now);
        tracing::info!(
            deployment.id = task.execution,
            step = index,
            weight_percent = step.weight.percent(),
            verdict = ?verdict,
            decision = ?release.decision,
            reason = release.reason,
            "Checked alarms."
        );
        Ok(release)
    }
}
