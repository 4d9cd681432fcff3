//! Gives green its share for this step, and records it. Safe to repeat.

use crossfade::{
    aws::{ledger::Ledger, notify::Notifier, traffic::Traffic},
    domain::{moved::Moved, release::Event},
    error::Error,
    notice::Notice,
    protocol::release::{Attempt, shift},
    wire::{
        state::State,
        task::{Task, task},
    },
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
    pub async fn handle(&self, payload: Value) -> Result<State, Error> {
        let task: Task = task(payload)?;
        let (release, _) = task.state.in_flight()?.answered(task.now)?;
        let step = release.due_shift()?;

        let to = step.weight;
        let attempt = Attempt {
            execution: &task.execution,
            retries: task.retries,
            now: task.now,
        };
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let after = |moved: Moved| {
            let mut shifted = release.clone();
            let event = Event::Shifted {
                functions: moved.functions,
                effective: moved.in_force,
            };
            let applied = shifted.apply(event, task.now);
            applied.expect("the shift is due, as it was a moment ago");
            shifted
        };
        let shifted = shift(traffic, ledger, attempt, &release, to, after).await?;
        tracing::info!(
            event = "traffic_shifted",
            deployment.id = task.execution,
            step = shifted.progress().position.step,
            weight_percent = to.percent(),
            bake_seconds = step.bake_seconds,
            "Shifted traffic."
        );
        // Published last, and only what is on record: a retry then publishes at most once more, where the
        // answer to this call was lost.
        let told = Notice::shifted(&task.execution, task.now, &shifted);
        self.notifier.mention(&told).await;
        Ok(shifted.into())
    }
}
