//! Judges green, in three ways:
//!
//! - as a state of the execution: alarms and metrics of the bake so far -> verdict -> decision;
//! - as the state that holds: takes the token on record, and calls a person;
//! - from EventBridge, as the rollback checker: an alarm that fires puts the traffic of every
//!   deployment that watches it back on blue, before the handler returns.

mod checker;
mod hold;

use chrono::TimeDelta;
use crossfade::{
    aws::{
        executions::Executions,
        functions::Functions,
        ledger::{Ledger, Status},
        metrics::Metrics,
        notify::Notifier,
    },
    domain::{
        check::{Evidence, Scope, check},
        decision::{Decision, decide},
        release::{DeploymentStatus, Position, Release},
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
        let (Some(step), Some(taken)) = (release.step(), release.steps.last()) else {
            return Err(Error::InvalidRequest("there is no step that bakes".into()));
        };

        let settled = task.now - TimeDelta::seconds(i64::from(release.analysis.settle_seconds));
        let (readings, counts, record) = futures::try_join!(
            self.metrics.alarms(&release.analysis.alarms),
            self.metrics
                .green(&release.functions, taken.started_at, settled),
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

        release.position.waited_seconds += release.position.wait_seconds;
        let scope = Scope {
            green_is_judged: step.weight > Weight::ZERO && step.bake_seconds > 0,
            started_at: release.started_at,
        };
        let found = check(
            &release.analysis,
            &release.preexisting_alarms,
            scope,
            &readings,
            &counts,
        );
        let decided = decide(
            found.verdict,
            &release.bake(step),
            release.next(),
            release.analysis.on_inconclusive,
        );
        tracing::info!(
            deployment.id = task.execution,
            step = release.position.step,
            weight_percent = step.weight.percent(),
            verdict = ?found.verdict,
            decision = ?decided.decision,
            reason = found.reason,
            "Checked alarms."
        );

        if let Some(taken) = release.steps.last_mut() {
            taken.verdict = Some(found.verdict);
            if decided.decision != Decision::BakeOn {
                taken.ended_at = Some(task.now);
            }
        }
        release.reason = found.reason;
        let validation = std::mem::take(&mut release.evidence.validation);
        release.evidence = Evidence {
            validation,
            ..found.evidence
        };
        release.decision = Some(decided.decision);
        let last = release.position.step + 1 >= release.plan.steps().len();
        match decided.decision {
            Decision::BakeOn => release.position.wait_seconds = decided.wait_seconds,
            Decision::Shift | Decision::Ask | Decision::Hold if !last => {
                release.position = Position {
                    step: release.position.step + 1,
                    ..Position::default()
                };
                release.resume = Some(Decision::Shift);
            }
            Decision::Shift | Decision::Ask | Decision::Hold => {
                release.resume = Some(Decision::Promote);
            }
            Decision::Promote => release.deployment_status = Some(DeploymentStatus::Successful),
            Decision::RollBack => {}
        }
        Ok(release)
    }
}
