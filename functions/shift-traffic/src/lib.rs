//! Gives green its share for this step, and records it. Safe to repeat.

use crossfade::{
    aws::{ledger::Ledger, notify::Notifier, traffic::Traffic},
    domain::{moved::Moved, release::Release},
    error::Error,
    notice::Notice,
    protocol::release::{Attempt, shift},
    wire::task::{state, task},
};
use serde_json::Value;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    traffic: Traffic,
    ledger: Ledger,
    notifier: Notifier,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            traffic: Traffic::new(config),
            ledger: Ledger::new(config),
            notifier: Notifier::new(config),
        }
    }

    /// Shifts to the step that the position names.
    pub async fn handle(&self, payload: Value) -> Result<Release, Error> {
        let task = task(payload)?;
        let release: Release = state(task.state)?;
        let step = release.step().ok_or_else(|| {
            Error::InvalidRequest("the plan has no step after its last one".into())
        })?;

        let to = step.weight;
        let attempt = Attempt {
            execution: &task.execution,
            retries: task.retries,
            now: task.now,
        };
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let after = |moved: Moved| {
            let mut shifted = release.clone();
            shifted.take_answers(task.now);
            shifted.functions = moved.functions;
            shifted.shifted(moved.in_force, task.now);
            shifted
        };
        let shifted = shift(traffic, ledger, attempt, &release, to, after).await?;
        tracing::info!(
            deployment.id = task.execution,
            step = shifted.position.step,
            weight_percent = to.percent(),
            bake_seconds = step.bake_seconds,
            "Shifted traffic."
        );
        // Only what is on record is told, and as the last thing: what is tried again has not been told,
        // unless the answer to this very call was lost.
        let told = Notice::shifted(&task.execution, task.now, &shifted);
        self.notifier.mention(&told).await;
        Ok(shifted)
    }
}
