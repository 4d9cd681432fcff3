//! Executions that ended without making traffic whole themselves: stopped by hand, timed out, or
//! failed where nothing catches.

use crossfade::display::truncate;
use crossfade::{
    domain::{
        Timestamp,
        analysis::check::Evidence,
        approval::OnHoldTimeout,
        budget,
        moved::Late,
        names::Application,
        record::{Record, Status, Why},
        status::DeploymentStatus,
    },
    error::{self, Error},
    metrics::{Line, Metric},
    notice::Notice,
    protocol::{live, rollback},
    wire::outcome::Outcome,
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
        let reason = ended_badly(status, error, cause);
        let said = cause.and_then(|cause| serde_json::from_str::<Outcome>(cause).ok());
        // Such an execution has reported that traffic was not moved to blue.
        let is_reported = error == Some("RollbackFailed") && said.is_some();
        if let Some(record) = self.left_held(execution, error).await? {
            let outcome =
                said.unwrap_or_else(|| rollback::outcome(&record, DeploymentStatus::Held, &[]));
            let left = Notice::left(execution, time, &outcome);
            self.notifier.deliver(&left).await?;
            return Ok(json!({ "madeWhole": false }));
        }
        match self
            .restore_ended(execution, error, reason.clone(), time)
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
                if !is_reported {
                    self.report_stuck(execution, &failed, time).await?;
                }
                Err(failed)
            }
        }
    }

    /// Reports an execution that ended before it took its locks: nothing else does. One that failed has
    /// reported that itself, unless the function that reports could not be invoked or could not publish.
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
        let outcome = nothing_begun(application, &why);
        let ended = Notice::ended(execution, at, &outcome);
        self.notifier.deliver(&ended).await
    }

    /// Reports that traffic could not be restored. Lambda retries for a while, and then every tick of the
    /// schedule does.
    async fn report_stuck(
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
            "traffic could not be restored to blue, and the sweep tries again every 5 minutes: {failed}; the rollback was requested because: {}",
            outcome.reason
        );
        outcome.help = error::page("RollbackFailed");
        let stuck = Notice::ended(execution, time, &outcome);
        self.notifier.deliver(&stuck).await
    }

    /// Looks at every deployment that has not ended, and closes those whose execution has.
    ///
    /// # Errors
    /// The first deployment's that could not be restored, after all have been looked at: the next
    /// tick tries again.
    pub(crate) async fn sweep(&self, time: Timestamp) -> Result<Value, Error> {
        let running = self.ledger.running().await?;
        let (mut made_whole, mut stuck, mut failed) = (0, 0.0, None);
        for execution in &running {
            // One after the other: `DescribeExecution` takes 15 a second, and nothing hurries here.
            match self.close_ended(execution, time).await {
                Ok(done) => made_whole += usize::from(done),
                Err(error) => {
                    tracing::error!(event = "restore_failed", deployment.id = execution, error.message = %error, "Failed to restore traffic to one version.");
                    stuck += 1.0;
                    failed = failed.or(Some(error));
                }
            }
        }
        Line::new(time).measure(Metric::Stuck, stuck).write();
        if let Some(logs) = &self.logs {
            match live::sweep(logs, &self.ledger, time).await {
                Ok(left) => tracing::debug!(event = "lanes_swept", left, "Swept lanes."),
                Err(error) => {
                    tracing::error!(event = "lane_not_removed", error.message = %error, "Failed to remove a subscription filter.");
                    failed = failed.or(Some(error));
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(json!({ "open": running.len(), "madeWhole": made_whole }))
    }

    async fn close_ended(&self, execution: &str, time: Timestamp) -> Result<bool, Error> {
        let (now, record) = futures::try_join!(
            self.executions.describe(execution),
            self.ledger.get(execution)
        )?;
        let began = record.map_or(time, |record| record.began_at);
        let Some(end) = now.ended(began, time) else {
            return Ok(false);
        };
        let reason = match end.error.as_deref() {
            Some(error) => ended_badly(&end.status, Some(error), end.said.as_deref()),
            None => ended_badly(&end.status, None, None),
        };
        let done = self
            .restore_ended(execution, end.error.as_deref(), reason, time)
            .await?;
        if !done && self.ledger.is_undelivered(execution).await? {
            self.report_late(execution, end.said.as_deref(), time)
                .await?;
        }
        Ok(done)
    }

    /// Reports a closed deployment whose notice could not be delivered, with what its execution ended with.
    async fn report_late(
        &self,
        execution: &str,
        said: Option<&str>,
        at: Timestamp,
    ) -> Result<(), Error> {
        if let Some(record) = self.ledger.get(execution).await? {
            // Opened again since: its next end is reported.
            let Some(outcome) = owed(&record, said) else {
                return Ok(());
            };
            self.notifier
                .deliver(&Notice::ended(execution, at, &outcome))
                .await?;
        }
        self.ledger.clear_undelivered(execution).await
    }

    async fn restore_ended(
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
        let settled = restored.settle(&self.traffic).await?;
        let outcome = settled.outcome(settled.status());
        let ended = Notice::ended(execution, at, &outcome);
        // Before it is closed: once it is, a repeat finds nothing to do, nor to report.
        let told = self.notifier.deliver(&ended).await;
        rollback::close(&self.ledger, &settled, at).await?;
        live::disarm_or_leave(self.logs.as_ref(), &self.ledger, execution, at).await;
        rollback::deliver_or_queue(&self.ledger, execution, told).await?;
        tracing::warn!(
            event = "orphan_restored",
            deployment.id = execution,
            "Restored traffic for an execution that has ended."
        );
        Ok(true)
    }

    /// Returns whether the deployment was left on hold as its request requires: the one exception to whole
    /// traffic. It keeps its locks.
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

/// Says how an execution ended that did not make traffic whole itself, and what to change where that is known.
fn ended_badly(status: &str, error: Option<&str>, cause: Option<&str>) -> String {
    let mut reason = format!("the execution ended {status}");
    let parts = [error, cause].into_iter().flatten();
    for part in parts.filter(|part| !part.is_empty()) {
        reason.push_str(": ");
        reason.push_str(&truncate(part, 300));
    }
    if let Some(advice) = cause.and_then(budget::advice) {
        reason.push_str("; ");
        reason.push_str(&advice);
    }
    reason
}

/// Returns the undelivered outcome of a deployment: what its execution ended with, or, where that is of
/// something else (a promotion that has been rolled back since), what the ledger has. None while the
/// deployment is open.
fn owed(record: &Record, said: Option<&str>) -> Option<Outcome> {
    let status = match record.status {
        Status::Promoted => DeploymentStatus::Successful,
        Status::Rejected => DeploymentStatus::Rejected,
        Status::Unchanged => DeploymentStatus::NoChange,
        Status::RolledBack => DeploymentStatus::RolledBack,
        Status::Preparing | Status::InFlight | Status::Held | Status::RollingBack => return None,
    };
    // Of what did not come to be the execution knows better how: a former version of Crossfade had all as
    // rolled back in the ledger whose versions were fixed.
    let came_to_be = |status| match status {
        DeploymentStatus::Successful | DeploymentStatus::NoChange => true,
        DeploymentStatus::RolledBack | DeploymentStatus::Rejected | DeploymentStatus::Held => false,
    };
    let said = said.and_then(|said| serde_json::from_str::<Outcome>(said).ok());
    if let Some(said) = said.filter(|said| came_to_be(said.deployment_status) == came_to_be(status))
    {
        return Some(said);
    }
    let mut outcome = rollback::outcome(record, status, &[]);
    if record.status == Status::Promoted {
        outcome.reason = "green has all traffic".into();
    }
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use crossfade::{domain::weight::Weight, wire::outcome::Outcome};

    use super::*;

    fn record(status: Status) -> Record {
        Record {
            status,
            weight: Weight::ZERO,
            shift_begun: false,
            steps: Vec::new(),
            why: Some(Why {
                reason: "the ledger's reason".into(),
                evidence: Evidence::default(),
                at: "2026-11-20T12:00:00Z".parse().unwrap(),
            }),
            ..Record::example()
        }
    }

    #[test]
    fn reports_late_unless_expired() {
        use DeploymentStatus::{NoChange, Rejected, RolledBack, Successful};
        for (row, said, told) in [
            (Status::Rejected, Some(RolledBack), RolledBack),
            (Status::RolledBack, Some(Rejected), Rejected),
            (Status::Promoted, Some(Successful), Successful),
            (Status::Unchanged, Some(NoChange), NoChange),
            // Taken back since it was promoted.
            (Status::RolledBack, Some(Successful), RolledBack),
            // Promoted, and stopped before it could say so.
            (Status::Promoted, None, Successful),
            (Status::Rejected, None, Rejected),
        ] {
            let record = record(row);
            let said_outcome = said.map(|status| Outcome {
                reason: "the execution's".into(),
                ..rollback::outcome(&record, status, &[])
            });
            let text = said_outcome.as_ref().map(Outcome::to_cause);
            let owed = owed(&record, text.as_deref()).unwrap();
            assert_eq!(owed.deployment_status, told, "{row:?} {said:?}");
            let is_its_word = owed.reason == "the execution's";
            assert_eq!(is_its_word, said == Some(told), "{row:?} {said:?}");
        }
    }

    #[test]
    fn says_why_an_execution_ended_and_what_to_change() {
        assert_eq!(
            ended_badly("ABORTED", None, Some("")),
            "the execution ended ABORTED"
        );
        let cause = "The execution reached the maximum number of history events (25000).";
        let told = ended_badly("FAILED", Some("States.Runtime"), Some(cause));
        let begins = format!("the execution ended FAILED: States.Runtime: {cause}; ");
        assert!(
            told.starts_with(&begins) && told.contains("maxBakeSeconds"),
            "{told}"
        );
    }

    #[test]
    fn reports_late_only_closed_and_readable_releases() {
        assert_eq!(owed(&record(Status::RollingBack), Some("{}")), None);
        let stopped = owed(&record(Status::RolledBack), Some("stopped by hand")).unwrap();
        assert_eq!(stopped.reason, "the ledger's reason");
    }
}
