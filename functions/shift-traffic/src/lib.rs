//! Gives green its share for this step, and records it. Safe to repeat.

use crossfade::{
    aws::{ledger::Ledger, notify::Notifier, traffic::Traffic},
    domain::release::Event,
    error::Error,
    rollback::explain,
    wire::{
        notice::Notice,
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

        let (from, to) = (release.weight(), step.weight);
        let known = match task.retries {
            0 => release.footprint(),
            // What an earlier try has written is seen by reading: a write that fails costs as much.
            _ => release.footprint().unread(),
        };
        let leave = self.ledger.leave(&task.execution);
        let moved = match Box::pin(self.traffic.shift(leave, &known, from, to)).await {
            Ok(moved) => moved,
            Err(error) => {
                return Err(explain(&self.ledger, &task.execution, task.retries, error).await);
            }
        };

        let mut shifted = release;
        let event = Event::Shifted {
            functions: moved.functions,
            effective: moved.in_force,
        };
        shifted.apply(event, task.now)?;
        let recorded = self.ledger.shifted(&task.execution, &shifted, to).await;
        if let Err(Error::DeploymentRolledBack(_)) = recorded {
            // An execution that was stopped has no next state to undo this, and whoever put its traffic
            // back may have looked before we wrote.
            self.traffic.restore_at_once(&shifted.footprint()).await;
        }
        recorded?;
        tracing::info!(
            deployment.id = task.execution,
            step = shifted.progress().position.step,
            weight_percent = to.percent(),
            bake_seconds = step.bake_seconds,
            "Shifted traffic."
        );
        // Only what is on record is told, and as the last thing: what is tried again has not been told,
        // unless the answer to this very call was lost.
        let told = Notice::shifted(&task.execution, task.now, &shifted);
        self.notifier.mention(&told).await;
        Ok(shifted.into())
    }
}
