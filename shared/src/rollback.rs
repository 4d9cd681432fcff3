//! How traffic is made whole: the one way back to blue, whoever asks for it.
//!
//! Safe to run twice, twice at once, and late: the ledger says whether a deployment is still open,
//! and [`reconcile`](crate::domain::routing::reconcile) writes only over states that are its own.

use std::collections::BTreeSet;

use chrono::SecondsFormat;

use crate::{
    aws::{
        ledger::{Ledger, Record, Status, Why},
        traffic::Traffic,
    },
    domain::{
        Timestamp,
        names::FunctionName,
        release::{DeploymentStatus, Footprint},
        retention::name_of,
    },
    error::Error,
    wire::outcome::{FunctionOutcome, Outcome},
};

/// A deployment whose traffic has been put back.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Its row, with the reason that came first.
    pub record: Record,
    /// Where somebody else had moved the traffic: their value stands. A sentence each.
    pub changed_outside: Vec<String>,
}

impl Restored {
    /// How it stands: where somebody else's value stands, a person has to look.
    #[must_use]
    pub fn status(&self) -> DeploymentStatus {
        if self.changed_outside.is_empty() {
            DeploymentStatus::RolledBack
        } else {
            DeploymentStatus::Held
        }
    }

    /// The outcome as far as the ledger knows it.
    #[must_use]
    pub fn outcome(&self, status: DeploymentStatus) -> Outcome {
        outcome(&self.record, status, &self.changed_outside)
    }
}

/// The outcome of a deployment as far as its row knows it, and where its traffic was not its own.
#[must_use]
pub fn outcome(
    record: &Record,
    deployment_status: DeploymentStatus,
    changed_outside: &[String],
) -> Outcome {
    let why = record.why.clone();
    let mut reason = why.as_ref().map_or_else(
        || "no reason is on record".to_owned(),
        |why| why.reason.clone(),
    );
    for what in changed_outside {
        reason.push_str("; not touched: ");
        reason.push_str(what);
    }
    let functions = record
        .footprint
        .as_ref()
        .map(|footprint| &footprint.functions[..])
        .unwrap_or_default();
    Outcome {
        deployment_status,
        application: Some(record.application.clone()),
        functions: functions.iter().map(FunctionOutcome::from).collect(),
        reason,
        evidence: why.map(|why| why.evidence).unwrap_or_default(),
        steps: record.steps.clone(),
        answers: Vec::new(),
        warnings: Vec::new(),
        retain_until: None,
        front_door: None,
        hook: None,
    }
}

/// Puts an open deployment's traffic back on blue. None when it has ended already.
///
/// # Errors
/// [`Error::Transient`] when AWS did not answer for one of the targets; the others are on blue, and
/// to run it again is safe.
pub async fn restore(
    traffic: &Traffic,
    ledger: &Ledger,
    execution: &str,
    why: &Why,
) -> Result<Option<Restored>, Error> {
    let Some(record) = ledger.tell_back(execution, why).await? else {
        return Ok(None);
    };
    put_back(traffic, record, &BTreeSet::new()).await.map(Some)
}

/// The same for an execution that is over: what a function of it is still about to write does not
/// apply any more.
pub async fn restore_dead(
    traffic: &Traffic,
    ledger: &Ledger,
    execution: &str,
    why: &Why,
) -> Result<Option<Restored>, Error> {
    let Some(record) = ledger.tell_back(execution, why).await? else {
        return Ok(None);
    };
    if let Some(footprint) = &record.footprint {
        traffic.fence(footprint).await?;
    }
    put_back(traffic, record, &BTreeSet::new()).await.map(Some)
}

/// The same for a caller that knows the targets: traffic and ledger are written at the same time,
/// and traffic waits for nothing. Whatever is not as it was when the caller's copy was made goes the
/// slow way, by what the ledger says.
pub async fn restore_at_once(
    traffic: &Traffic,
    ledger: &Ledger,
    execution: &str,
    why: &Why,
    known: &Footprint,
) -> Result<Option<Restored>, Error> {
    // Traffic is asked for first: the other is sent while its answer is on its way.
    let (done, told) = futures::join!(
        traffic.restore_at_once(known),
        ledger.tell_back(execution, why),
    );
    let Some(record) = told? else {
        return Ok(None);
    };
    put_back(traffic, record, &done).await.map(Some)
}

/// What became of taking a promoted deployment back.
#[derive(Clone, Debug, PartialEq)]
pub enum Reverted {
    /// Its traffic is on blue.
    Done(Box<Restored>),
    /// It is not, and nothing was touched: why, in words.
    Not(String),
}

/// Takes a promoted deployment back, while its blue is kept ready: until that time is over, or
/// another deployment has come after it.
///
/// # Errors
/// [`Error::DeploymentInProgress`] when a newer deployment holds the locks: it is not disturbed.
pub async fn revert(
    traffic: &Traffic,
    ledger: &Ledger,
    execution: &str,
    why: &Why,
) -> Result<Reverted, Error> {
    let Some(record) = ledger.get(execution).await? else {
        return Ok(Reverted::Not(format!(
            "the ledger does not know release {}",
            name_of(execution)
        )));
    };
    let latest = ledger.latest(&record.application).await?;
    if let Err(not) = can_be_taken_back(&record, latest.as_deref(), why.at) {
        return Ok(Reverted::Not(not));
    }
    if !ledger.reopen(&record, why).await? {
        return Ok(Reverted::Not(format!(
            "blue of release {} was given up at this moment",
            name_of(execution)
        )));
    }
    let restored = put_back(
        traffic,
        Record {
            why: Some(why.clone()),
            ..record
        },
        &BTreeSet::new(),
    )
    .await?;
    close(ledger, &restored, why.at).await?;
    Ok(Reverted::Done(Box::new(restored)))
}

/// Whether blue of a deployment is still kept for it; why not, in words.
fn can_be_taken_back(record: &Record, latest: Option<&str>, at: Timestamp) -> Result<(), String> {
    let release = name_of(&record.execution);
    match record.status {
        Status::Promoted => {}
        Status::RolledBack => {
            return Err(format!("release {release} has been rolled back already"));
        }
        Status::Preparing | Status::InFlight | Status::Held | Status::RollingBack => {
            return Err(format!("release {release} is in flight"));
        }
        Status::Rejected | Status::Unchanged => {
            return Err(format!("release {release} moved no traffic"));
        }
    }
    if let Some(newer) = latest.filter(|latest| *latest != record.execution) {
        return Err(format!(
            "release {} has come after release {release}",
            name_of(newer)
        ));
    }
    let ended = record
        .retention_ended_at
        .or(record.retain_until.filter(|until| *until <= at));
    match ended {
        Some(ended) => Err(format!(
            "blue of release {release} was kept until {}",
            ended.to_rfc3339_opts(SecondsFormat::Secs, true)
        )),
        None => Ok(()),
    }
}

/// Until when blue of a deployment is kept, where it is at `at`: it was promoted, and its retention is not
/// over.
#[must_use]
pub fn blue_is_kept(record: &Record, at: Timestamp) -> Option<Timestamp> {
    let until = record.retain_until.filter(|until| *until > at)?;
    (record.status == Status::Promoted && record.retention_ended_at.is_none()).then_some(until)
}

/// Puts back all functions of a deployment but those that are `done`.
async fn put_back(
    traffic: &Traffic,
    record: Record,
    done: &BTreeSet<FunctionName>,
) -> Result<Restored, Error> {
    // Where versions were never fixed, no traffic was moved.
    let Some(footprint) = &record.footprint else {
        return Ok(Restored {
            record,
            changed_outside: Vec::new(),
        });
    };
    let left = Footprint {
        functions: footprint
            .functions
            .iter()
            .filter(|target| !done.contains(&target.function_name))
            .cloned()
            .collect(),
        ..footprint.clone()
    };
    let changed_outside = if left.functions.is_empty() && !done.is_empty() {
        Vec::new()
    } else {
        traffic.restore(&left).await?.changed_outside
    };
    Ok(Restored {
        record,
        changed_outside,
    })
}

/// Closes a deployment whose traffic has been put back: its locks are free again, and its row says
/// how it ended.
pub async fn close(ledger: &Ledger, restored: &Restored, now: Timestamp) -> Result<(), Error> {
    let status = match restored.record.footprint {
        Some(_) => Status::RolledBack,
        None => Status::Rejected,
    };
    ledger.end(&restored.record, status, now, None).await
}

/// Where people could not be told of what has been closed, leaves that to the schedule: nothing would
/// find it again otherwise.
pub async fn told_or_owed(
    ledger: &Ledger,
    execution: &str,
    told: Result<(), Error>,
) -> Result<(), Error> {
    let Err(untold) = told else { return Ok(()) };
    tracing::error!(deployment.id = execution, error.message = %untold, "Nobody could be told: the schedule will.");
    ledger.owe(execution).await
}

/// What a state that lost a write to the alias ends with.
///
/// A rollback from outside the execution writes traffic and ledger at the same time, and either may
/// be seen first. So a foreign state is looked into before it is called foreign: the ledger may say
/// that it is the rollback's, and if it does not yet, it is asked again a little later.
pub async fn explain(ledger: &Ledger, execution: &str, retries: u32, error: Error) -> Error {
    /// How often the ledger is asked again.
    const PATIENCE: u32 = 2;
    if !matches!(error, Error::ChangedOutside(_)) {
        return error;
    }
    match ledger.get(execution).await {
        Ok(Some(record)) if matches!(record.status, Status::InFlight | Status::Held) => {
            if retries < PATIENCE {
                Error::Transient(format!(
                    "perhaps a rollback that is being recorded: {error}"
                ))
            } else {
                error
            }
        }
        Ok(Some(record)) => Error::DeploymentRolledBack(
            record
                .why
                .map_or_else(|| "the deployment has ended".to_owned(), |why| why.reason),
        ),
        Ok(None) => error,
        Err(unread) => unread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{analysis::OnHoldTimeout, weight::Weight};

    fn promoted() -> Record {
        Record {
            execution: "arn:aws:states:eu-west-1:1:execution:crossfade-deployment:42".into(),
            application: "chat".parse().unwrap(),
            status: Status::Promoted,
            began_at: at("2026-11-20T11:00:00Z"),
            locks: Vec::new(),
            alarms: Vec::new(),
            footprint: None,
            weight: Weight::FULL,
            steps: Vec::new(),
            token: None,
            asked: None,
            wish: None,
            on_hold_timeout: OnHoldTimeout::RollBack,
            why: None,
            retain_until: Some(at("2026-11-21T12:00:00Z")),
            retention_ended_at: None,
            superseded_by: None,
        }
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn blue_is_kept_until_its_retention_is_over() {
        let (now, late) = (at("2026-11-21T11:59:59Z"), at("2026-11-21T12:00:00Z"));
        let record = promoted();
        assert_eq!(blue_is_kept(&record, now), record.retain_until);
        assert_eq!(blue_is_kept(&record, late), None);
        let ended = Record {
            retention_ended_at: Some(at("2026-11-20T13:00:00Z")),
            ..record.clone()
        };
        assert_eq!(blue_is_kept(&ended, now), None);
        let back = Record {
            status: Status::RolledBack,
            ..record
        };
        assert_eq!(blue_is_kept(&back, now), None);
    }

    #[test]
    fn a_promoted_release_can_be_taken_back_until_its_blue_is_given_up() {
        let (now, late) = (at("2026-11-21T11:59:59Z"), at("2026-11-21T12:00:00Z"));
        let record = promoted();
        let itself = Some(record.execution.as_str());
        let asked = |record: &Record, latest, at| can_be_taken_back(record, latest, at);
        assert_eq!(asked(&record, itself, now), Ok(()));
        let not = |record: &Record, latest, at, says: &str| {
            let why = asked(record, latest, at).expect_err(says);
            assert!(why.contains(says), "{why}");
        };
        not(&record, itself, late, "was kept until 2026-11-21T12:00:00Z");
        not(
            &record,
            Some("a:43"),
            now,
            "release 43 has come after release 42",
        );
        let ended = Record {
            retention_ended_at: Some(at("2026-11-20T13:00:00Z")),
            ..record.clone()
        };
        not(&ended, itself, now, "was kept until 2026-11-20T13:00:00Z");
        for (status, says) in [
            (Status::RolledBack, "rolled back already"),
            (Status::RollingBack, "in flight"),
            (Status::Rejected, "moved no traffic"),
        ] {
            let record = Record {
                status,
                ..record.clone()
            };
            not(&record, itself, now, says);
        }
    }
}
