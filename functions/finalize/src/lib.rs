//! Promotes green: it becomes the alias's own version and the split is dropped, in one call. Blue
//! is kept, and the way back to it stays armed until its retention is over.

use chrono::{SubsecRound, TimeDelta};
use crossfade::{
    aws::{ledger::Ledger, logs::Logs, notify::Notifier, traffic::Traffic},
    domain::{
        hook::{HookPoint, HookRun},
        release::Event,
        status::DeploymentStatus,
    },
    error::Error,
    notice::Notice,
    protocol::{
        ledger::Retention,
        live,
        release::{Attempt, promote},
        rollback::deliver_or_queue,
    },
    wire::{
        graph::End,
        outcome::Outcome,
        task::{Task, task},
    },
};
use serde_json::Value;

/// How often delivering the notice is tried again.
const MAX_RETRIES: u32 = 3;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    traffic: Traffic,
    ledger: Ledger,
    notifier: Notifier,
    logs: Option<Logs>,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            traffic: Traffic::new(config),
            ledger,
            notifier,
            logs: Logs::listening(config),
        }
    }

    /// Promotes all functions, releases the locks, and publishes the end.
    pub async fn handle(&self, payload: Value) -> Result<End, Error> {
        let task: Task = task(payload)?;
        let (mut release, _) = task.state.clone().in_flight()?.answered(task.now)?;
        release.apply(Event::Promoted, task.now)?;

        // Whole seconds: the state that waits until then reads it.
        let until =
            task.now.trunc_subsecs(0) + TimeDelta::hours(i64::from(release.spec.blue_hours));
        let retention = Retention {
            until,
            keep_versions: release.spec.keep_versions,
        };
        let attempt = Attempt {
            execution: &task.execution,
            retries: task.retries,
            now: task.now,
        };
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let moved = promote(traffic, ledger, attempt, &mut release, retention).await?;

        if !release.spec.listens_to.is_empty() {
            live::disarm_or_leave(self.logs.as_ref(), ledger, &task.execution, task.now).await;
        }

        let mut reason = format!("green has all traffic; {}", release.progress().reason);
        if let Some(back) = &release.spec.goes_back {
            reason = format!("{}; {reason}", back.told);
        }
        let mut outcome = Outcome::of(&release, DeploymentStatus::Successful, reason);
        outcome.retain_until = Some(until);
        outcome.warnings.extend(moved.notes);
        outcome.serves(&moved.serves.versions, &moved.serves.by);
        let ended = Notice::ended(&task.execution, task.now, &outcome);
        if let Err(undelivered) = self.notifier.deliver(&ended).await {
            // Green has all traffic, and that is on record: an execution that failed now would say
            // otherwise.
            if task.retries < MAX_RETRIES {
                return Err(Error::Transient(undelivered.to_string().into()));
            }
            let warning = format!("the notice of this could not be delivered: {undelivered}");
            outcome.warnings.push(warning);
            deliver_or_queue(&self.ledger, &task.execution, Err(undelivered)).await?;
        }
        let hook = release.spec.hooks.after_promote.as_ref();
        let pace = release.pace();
        let hook = hook.map(|hook| HookRun::due(HookPoint::AfterPromote, hook, &pace));
        tracing::info!(event = "green_promoted", deployment.id = task.execution, retain_until = %until, "Promoted green.");
        Ok(End::of(&task, outcome, hook))
    }
}
