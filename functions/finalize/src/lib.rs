//! Promotes green: it becomes the alias's own version and the split is dropped, in one call. Blue
//! is kept, and the way back to it stays armed until its retention is over.

use chrono::{SubsecRound, TimeDelta};
use crossfade::{
    aws::{
        ledger::{Ledger, Record, Retention, Status},
        notify::Notifier,
        traffic::Traffic,
    },
    domain::release::{DeploymentStatus, Release},
    error::Error,
    rollback::explain,
    wire::{
        outcome::Outcome,
        task::{state, task},
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

    /// Promotes all functions, gives back the locks, and tells how it ended.
    pub async fn handle(&self, payload: Value) -> Result<Outcome, Error> {
        let task = task(payload)?;
        let mut release: Release = state(task.state)?;

        let from = release.weight();
        release.functions = match self.traffic.promote(&release.footprint(), from).await {
            Ok(moved) => moved.functions,
            Err(error) => {
                return Err(explain(&self.ledger, &task.execution, task.retries, error).await);
            }
        };

        if let Some(last) = release.steps.last_mut() {
            last.ended_at.get_or_insert(task.now);
        }
        // Whole seconds: the state that waits until then reads it.
        let until = task.now.trunc_subsecs(0) + TimeDelta::hours(i64::from(release.blue_hours));
        let retention = Retention {
            until,
            keep_versions: release.keep_versions,
        };
        let record = Record::of(&task.execution, &release);
        self.ledger
            .end(&record, Status::Promoted, task.now, Some(retention))
            .await?;

        let reason = format!("green has all traffic; {}", release.reason);
        let mut outcome = Outcome::of(&release, DeploymentStatus::Successful, reason);
        outcome.retain_until = Some(until);
        self.notifier.tell(&task.execution, &outcome).await?;
        tracing::info!(deployment.id = task.execution, retain_until = %until, "Promoted green.");
        Ok(outcome)
    }
}
