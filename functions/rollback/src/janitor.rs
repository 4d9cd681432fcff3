//! Executions that ended without making traffic whole themselves: stopped by hand, timed out, or
//! failed where nothing catches.

use crossfade::{
    aws::{
        ledger::{Record, Status, Why},
        traffic::Late,
    },
    domain::{
        Timestamp, analysis::OnHoldTimeout, check::Evidence, names::Application,
        release::DeploymentStatus,
    },
    emf::{Line, Metric},
    error::Error,
    rollback,
    wire::{notice::Notice, outcome::Outcome},
};
use serde_json::{Value, json};

use crate::{Handler, nothing_begun};

impl Handler {
    /// An execution ended badly. Where it made traffic whole itself, there is nothing left to do.
    pub(crate) async fn execution_ended(
        &self,
        execution: &str,
        status: &str,
        error: Option<&str>,
        cause: Option<&str>,
        application: Option<Application>,
        time: Timestamp,
    ) -> Result<Value, Error> {
        let mut reason = format!("the execution ended {status}");
        for part in [error, cause]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
        {
            reason.push_str(": ");
            reason.extend(part.chars().take(300));
        }
        if let Some(record) = self.left_held(execution, error).await? {
            let outcome = cause
                .and_then(|cause| serde_json::from_str(cause).ok())
                .unwrap_or_else(|| rollback::outcome(&record, DeploymentStatus::Held, &[]));
            let left = Notice::left(execution, time, &outcome);
            self.notifier.tell(&left).await?;
            return Ok(json!({ "madeWhole": false }));
        }
        match self
            .make_whole(execution, error, reason.clone(), time)
            .await
        {
            Ok(made_whole) => {
                if !made_whole && (status != "FAILED" || error == Some("RollbackFailed")) {
                    self.never_began(execution, application, reason, time)
                        .await?;
                }
                Ok(json!({ "madeWhole": made_whole }))
            }
            Err(failed) => {
                self.call_for_help(execution, &failed, time).await?;
                Err(failed)
            }
        }
    }

    /// Tells people of an execution that ended before it took its locks: nothing else ever does. One
    /// that failed has told of that itself, unless what tells could not be invoked either, or not tell.
    async fn never_began(
        &self,
        execution: &str,
        application: Option<Application>,
        reason: String,
        at: Timestamp,
    ) -> Result<(), Error> {
        if self.ledger.get(execution).await?.is_some() {
            return Ok(());
        }
        let why = Why {
            reason: format!("{reason}, before it had taken the locks of a release"),
            evidence: Evidence::default(),
            at,
        };
        let outcome = Outcome {
            application,
            ..nothing_begun(&Value::Null, &why)
        };
        let ended = Notice::ended(execution, at, &outcome);
        self.notifier.tell(&ended).await
    }

    /// Tells people that only they can make traffic whole. What could not be done is tried again, by
    /// Lambda for a while and then by every tick.
    async fn call_for_help(
        &self,
        execution: &str,
        failed: &Error,
        time: Timestamp,
    ) -> Result<(), Error> {
        // It may be over all the same: by the schedule, which came between, or by a write whose answer
        // was lost.
        let record = self.ledger.get(execution).await?;
        let Some(record) = record.filter(|record| record.status.is_open()) else {
            return Ok(());
        };
        Line::new(time).measure(Metric::Stuck, 1.0).write();
        let mut outcome = rollback::outcome(&record, DeploymentStatus::Held, &[]);
        outcome.reason = format!(
            "traffic could not be put back on blue, and is tried again every 5 minutes: {failed}; it was to go back because: {}",
            outcome.reason
        );
        let stuck = Notice::ended(execution, time, &outcome);
        self.notifier.tell(&stuck).await
    }

    /// Looks at every deployment that has not ended, and makes whole those whose execution has.
    ///
    /// # Errors
    /// The first deployment's that could not be made whole, after all have been looked at: the next
    /// tick tries again.
    pub(crate) async fn sweep(&self, time: Timestamp) -> Result<Value, Error> {
        let running = self.ledger.running().await?;
        let (mut made_whole, mut stuck, mut failed) = (0, 0.0, None);
        for execution in &running {
            // One after the other: `DescribeExecution` takes 15 a second, and nothing hurries here.
            match self.look_after(execution, time).await {
                Ok(done) => made_whole += usize::from(done),
                Err(error) => {
                    tracing::error!(deployment.id = execution, error.message = %error, "Could not be made whole.");
                    stuck += 1.0;
                    failed = failed.or(Some(error));
                }
            }
        }
        Line::new(time).measure(Metric::Stuck, stuck).write();
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(json!({ "open": running.len(), "madeWhole": made_whole }))
    }

    async fn look_after(&self, execution: &str, time: Timestamp) -> Result<bool, Error> {
        let (now, record) = futures::try_join!(
            self.executions.describe(execution),
            self.ledger.get(execution)
        )?;
        let began = record.map_or(time, |record| record.began_at);
        let Some((status, error)) = now.ended(began, time) else {
            return Ok(false);
        };
        let reason = format!("the execution ended {status} without making traffic whole");
        let done = self
            .make_whole(execution, error.as_deref(), reason, time)
            .await?;
        if !done && self.ledger.owes(execution).await? {
            self.tell_late(execution, time).await?;
        }
        Ok(done)
    }

    /// Tells of a deployment that has been closed when nobody could be told.
    async fn tell_late(&self, execution: &str, at: Timestamp) -> Result<(), Error> {
        if let Some(record) = self.ledger.get(execution).await? {
            let status = match record.status {
                Status::Promoted => DeploymentStatus::Successful,
                Status::Rejected => DeploymentStatus::Rejected,
                Status::Unchanged => DeploymentStatus::NoChange,
                Status::RolledBack => DeploymentStatus::RolledBack,
                // Opened again since: whoever did that tells.
                Status::Preparing | Status::InFlight | Status::Held | Status::RollingBack => {
                    return Ok(());
                }
            };
            let mut outcome = rollback::outcome(&record, status, &[]);
            if record.status == Status::Promoted {
                outcome.reason = "green has all traffic".into();
            }
            self.notifier
                .tell(&Notice::ended(execution, at, &outcome))
                .await?;
        }
        self.ledger.paid(execution).await
    }

    async fn make_whole(
        &self,
        execution: &str,
        error: Option<&str>,
        reason: String,
        at: Timestamp,
    ) -> Result<bool, Error> {
        if self.left_held(execution, error).await?.is_some() {
            return Ok(false);
        }
        let why = Why {
            reason,
            evidence: Evidence::default(),
            at,
        };
        let Some(restored) =
            rollback::restore(&self.traffic, &self.ledger, execution, &why, Late::Possible).await?
        else {
            return Ok(false);
        };
        let outcome = restored.outcome(restored.status());
        let ended = Notice::ended(execution, at, &outcome);
        // Before it is closed: once it is, a repeat of this finds nothing to do, nor to tell.
        let told = self.notifier.tell(&ended).await;
        rollback::close(&self.ledger, &restored, at).await?;
        rollback::told_or_owed(&self.ledger, execution, told).await?;
        tracing::warn!(
            deployment.id = execution,
            "Made traffic whole for a dead execution."
        );
        Ok(true)
    }

    /// A deployment whose hold nobody ended, and whose request asks to leave it so: the one exception
    /// to whole traffic. It keeps its locks.
    async fn left_held(
        &self,
        execution: &str,
        error: Option<&str>,
    ) -> Result<Option<Record>, Error> {
        if error != Some("DeploymentHeld") {
            return Ok(None);
        }
        let record = self.ledger.get(execution).await?;
        Ok(record.filter(|record| {
            record.status == Status::Held && record.on_hold_timeout == OnHoldTimeout::Leave
        }))
    }
}
