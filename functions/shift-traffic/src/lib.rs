//! Gives green its share for this step, and records it. Safe to repeat.

use crossfade::{
    aws::{functions::Functions, ledger::Ledger},
    domain::release::{Position, Release, StepTaken},
    error::Error,
    rollback::explain,
    wire::task::{state, task},
};
use futures::future::try_join_all;
use serde_json::Value;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    functions: Functions,
    ledger: Ledger,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            functions: Functions::new(config),
            ledger: Ledger::new(config),
        }
    }

    /// Shifts to the step that the position names.
    pub async fn handle(&self, payload: Value) -> Result<Release, Error> {
        let task = task(payload)?;
        let release: Release = state(task.state)?;
        let step = release.step().ok_or_else(|| {
            Error::InvalidRequest("the plan has no step after its last one".into())
        })?;

        let (from, to) = (release.weight(), step.weight);
        let shifts = release
            .functions
            .iter()
            .map(|target| self.functions.shift(target, from, to));
        let functions = match try_join_all(shifts).await {
            Ok(functions) => functions,
            Err(error) => {
                return Err(explain(&self.ledger, &task.execution, task.retries, error).await);
            }
        };

        let mut shifted = Release {
            functions,
            decision: None,
            resume: None,
            ..release
        };
        shifted.steps.push(StepTaken {
            weight: to,
            started_at: task.now,
            ended_at: None,
            verdict: None,
        });
        shifted.position = Position {
            waited_seconds: 0,
            ..shifted.position
        };
        shifted.position.wait_seconds = shifted.bake(step).next_wait();
        self.ledger.shifted(&task.execution, &shifted, to).await?;
        tracing::info!(
            deployment.id = task.execution,
            step = shifted.position.step,
            weight_percent = to.percent(),
            bake_seconds = step.bake_seconds,
            "Shifted traffic."
        );
        Ok(shifted)
    }
}
