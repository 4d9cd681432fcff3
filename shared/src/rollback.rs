//! How traffic is made whole: the one way back to blue, whoever asks for it.
//!
//! Safe to run twice, twice at once, and late: the ledger says whether a deployment is still open,
//! and [`reconcile`](crate::domain::routing::reconcile) writes only over states that are its own.

use crate::{
    aws::{
        ledger::{Ledger, Record, Status, Why},
        traffic::Traffic,
    },
    domain::{
        Timestamp,
        release::{DeploymentStatus, Footprint},
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
        warnings: Vec::new(),
        front_door: None,
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
    put_back(traffic, record).await.map(Some)
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
    let (told, done) = futures::join!(
        ledger.tell_back(execution, why),
        traffic.restore_at_once(known),
    );
    let Some(record) = told? else {
        return Ok(None);
    };
    if matches!(done, Ok(true)) {
        return Ok(Some(Restored {
            record,
            changed_outside: Vec::new(),
        }));
    }
    put_back(traffic, record).await.map(Some)
}

/// Takes a promoted deployment back, while its blue is kept ready. None when that time is over, or
/// when another deployment has come after it.
///
/// # Errors
/// [`Error::DeploymentInProgress`] when a newer deployment holds the locks: it is not disturbed.
pub async fn revert(
    traffic: &Traffic,
    ledger: &Ledger,
    execution: &str,
    why: &Why,
) -> Result<Option<Restored>, Error> {
    let Some(record) = ledger.get(execution).await? else {
        return Ok(None);
    };
    let kept = record.retain_until.is_some_and(|until| why.at < until);
    if record.status != Status::Promoted || !kept {
        return Ok(None);
    }
    if ledger.latest(&record.application).await?.as_deref() != Some(execution) {
        return Ok(None);
    }
    ledger.reopen(&record, why).await?;
    let restored = put_back(
        traffic,
        Record {
            why: Some(why.clone()),
            ..record
        },
    )
    .await?;
    close(ledger, &restored, why.at).await?;
    Ok(Some(restored))
}

async fn put_back(traffic: &Traffic, mut record: Record) -> Result<Restored, Error> {
    // Where versions were never fixed, no traffic was moved.
    let Some(footprint) = &mut record.footprint else {
        return Ok(Restored {
            record,
            changed_outside: Vec::new(),
        });
    };
    let back = traffic.restore(footprint).await?;
    footprint.functions = back.functions;
    Ok(Restored {
        record,
        changed_outside: back.changed_outside,
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
