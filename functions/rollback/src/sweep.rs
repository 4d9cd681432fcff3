//! Executions that ended without making traffic whole themselves: stopped by hand, timed out, or
//! failed where nothing catches.

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
    protocol::rollback,
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
                if !is_reported {
                    self.call_for_help(execution, &failed, time).await?;
                }
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
        let outcome = nothing_begun(application, &why);
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
        outcome.help = error::page("RollbackFailed");
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
                    tracing::error!(event = "restore_failed", deployment.id = execution, error.message = %error, "Failed to restore traffic to one version.");
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
        let Some(end) = now.ended(began, time) else {
            return Ok(false);
        };
        let reason = match end.error.as_deref() {
            Some(error) => ended_badly(&end.status, Some(error), end.said.as_deref()),
            None => ended_badly(&end.status, None, None),
        };
        let done = self
            .make_whole(execution, end.error.as_deref(), reason, time)
            .await?;
        if !done && self.ledger.is_undelivered(execution).await? {
            self.tell_late(execution, end.said.as_deref(), time).await?;
        }
        Ok(done)
    }

    /// Tells of a deployment that has been closed when nobody could be told, what its execution said.
    async fn tell_late(
        &self,
        execution: &str,
        said: Option<&str>,
        at: Timestamp,
    ) -> Result<(), Error> {
        if let Some(record) = self.ledger.get(execution).await? {
            // Opened again since: whoever did that tells.
            let Some(outcome) = owed(&record, said) else {
                return Ok(());
            };
            self.notifier
                .tell(&Notice::ended(execution, at, &outcome))
                .await?;
        }
        self.ledger.clear_undelivered(execution).await
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
        let settled = restored.settle(&self.traffic).await?;
        let outcome = settled.outcome(settled.status());
        let ended = Notice::ended(execution, at, &outcome);
        // Before it is closed: once it is, a repeat of this finds nothing to do, nor to tell.
        let told = self.notifier.tell(&ended).await;
        rollback::close(&self.ledger, &settled, at).await?;
        rollback::told_or_owed(&self.ledger, execution, told).await?;
        tracing::warn!(
            event = "orphan_restored",
            deployment.id = execution,
            "Restored traffic for an execution that has ended."
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

/// Says how an execution ended that did not make traffic whole itself, and what to change where that is known.
fn ended_badly(status: &str, error: Option<&str>, cause: Option<&str>) -> String {
    let mut reason = format!("the execution ended {status}");
    let parts = [error, cause].into_iter().flatten();
    for part in parts.filter(|part| !part.is_empty()) {
        reason.push_str(": ");
        reason.extend(part.chars().take(300));
    }
    if let Some(advice) = cause.and_then(budget::advice) {
        reason.push_str("; ");
        reason.push_str(&advice);
    }
    reason
}

/// What people have not been told of a deployment: what its execution said last, or where that is of
/// something else (a promotion that has been taken back since), what the ledger knows. None while the
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
    use crossfade::{
        domain::{names::Application, weight::Weight},
        wire::outcome::Outcome,
    };

    use super::*;

    fn record(status: Status) -> Record {
        let at: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        Record {
            execution: "arn:aws:states:eu-west-1:1:execution:crossfade:42".into(),
            application: Application::try_from("chat".to_owned()).unwrap(),
            status,
            began_at: at,
            locks: Vec::new(),
            alarms: Vec::new(),
            footprint: None,
            weight: Weight::ZERO,
            shift_begun: false,
            steps: Vec::new(),
            token: None,
            asked: None,
            wish: None,
            on_hold_timeout: OnHoldTimeout::RollBack,
            why: Some(Why {
                reason: "the ledger's reason".into(),
                evidence: Evidence::default(),
                at,
            }),
            retain_until: None,
            retention_ended_at: None,
            superseded_by: None,
        }
    }

    #[test]
    fn people_are_told_late_what_the_execution_said_unless_that_is_over() {
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
    fn what_is_open_is_told_by_who_closes_it_and_what_cannot_be_read_says_nothing() {
        assert_eq!(owed(&record(Status::RollingBack), Some("{}")), None);
        let stopped = owed(&record(Status::RolledBack), Some("stopped by hand")).unwrap();
        assert_eq!(stopped.reason, "the ledger's reason");
    }
}
