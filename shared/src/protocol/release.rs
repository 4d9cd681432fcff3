//! What a release does with traffic and ledger: takes its locks, shifts, and is promoted.

use std::collections::BTreeSet;

use super::{
    ledger::{Began, Begin, Ledger, Retention},
    rollback::{Settled, close, explain, restore},
    splitters::Splitters,
};
use crate::{
    domain::{
        Timestamp,
        analysis::check::Evidence,
        moved::{Late, Moved},
        record::{Record, Status, Why},
        release::Release,
        restore_point::RestorePoint,
        weight::Weight,
    },
    error::Error,
    ports::{LedgerStore, TrafficApi},
};

/// How many dead holders are cleared away before the locks are called busy: each function may have
/// one.
const MAX_TAKEOVERS: usize = 60;

/// A try of a state of the execution.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The execution's ARN.
    pub execution: &'a str,
    /// How many tries came before.
    pub retries: u32,
    /// When the state was entered.
    pub now: Timestamp,
}

impl Attempt<'_> {
    /// Returns what is known of a release's targets. What an earlier try has written is seen by reading: a
    /// write that fails costs as much.
    fn known(self, release: &Release) -> RestorePoint {
        match self.retries {
            0 => release.footprint(),
            _ => release.footprint().unread(),
        }
    }
}

/// A holder of locks whose execution is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadHolder {
    /// Its execution's ARN.
    pub execution: String,
    /// How that ended.
    pub status: String,
}

/// Takes all locks of a release, or none. A holder whose execution is over is cleared away: its traffic is
/// restored first.
///
/// `admit` decides whether these holders may be cleared away, and `report` reports what became of each;
/// `None` where it has been closed meanwhile.
///
/// # Errors
/// [`Error::DeploymentInProgress`] where `admit` says so: a holder that is alive is not disturbed.
pub async fn take_locks(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
    begin: &Begin<'_>,
    admit: impl AsyncFn(BTreeSet<String>) -> Result<Vec<DeadHolder>, Error>,
    mut report: impl AsyncFnMut(&DeadHolder, Option<&Settled>) -> Result<(), Error>,
) -> Result<(), Error> {
    for _ in 0..MAX_TAKEOVERS {
        match ledger.begin(begin).await? {
            Began::Taken => return Ok(()),
            Began::HeldBy(holders) => {
                for holder in admit(holders).await? {
                    let why = Why {
                        reason: format!("its execution ended {}", holder.status),
                        evidence: Evidence::default(),
                        at: begin.now,
                    };
                    let (execution, late) = (&holder.execution, Late::Possible);
                    let restored = restore(traffic, ledger, execution, &why, late).await?;
                    let settled = match restored {
                        Some(restored) => {
                            let settled = restored.settle(traffic).await?;
                            close(ledger, &settled, begin.now).await?;
                            Some(settled)
                        }
                        None => None,
                    };
                    report(&holder, settled.as_ref()).await?;
                }
            }
            // Our own launch, whose answer was lost: no traffic has moved yet.
            Began::Before(record)
                if record.status == Status::InFlight
                    && record.weight == Weight::ZERO
                    && record.steps.is_empty() =>
            {
                return Ok(());
            }
            Began::Before(_) => {
                return Err(Error::DeploymentRolledBack(
                    "this execution's deployment has gone further already; start a new execution"
                        .into(),
                ));
            }
        }
    }
    Err(Error::DeploymentInProgress(
        "the locks pass from one deployment to the next without end".into(),
    ))
}

/// Gives green `to`, and records it. Safe to repeat. `after` returns the release as it is after the shift.
///
/// # Errors
/// [`Error::DeploymentRolledBack`] when a rollback was requested meanwhile: what was written is on blue again.
pub async fn shift(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
    attempt: Attempt<'_>,
    release: &Release,
    to: Weight,
    after: impl FnOnce(Moved) -> Release,
) -> Result<Release, Error> {
    let execution = attempt.execution;
    let (known, from) = (attempt.known(release), release.weight());
    let lease = ledger.lease(execution);
    let moved = match Box::pin(traffic.shift(lease, &known, from, to)).await {
        Ok(moved) => moved,
        Err(error) => return Err(explain(ledger, execution, attempt.retries, error).await),
    };
    let shifted = after(moved);
    let recorded = ledger.shifted(execution, &shifted, to).await;
    undo_if_rolled_back(traffic, &recorded, &shifted).await;
    recorded.map(|()| shifted)
}

/// Makes green what serves, and records it with what is retained. Safe to repeat. The release has the targets
/// as they are then; what else came of it is returned.
///
/// # Errors
/// [`Error::DeploymentRolledBack`] as for a shift.
pub async fn promote(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
    attempt: Attempt<'_>,
    release: &mut Release,
    retention: Retention,
) -> Result<Moved, Error> {
    let execution = attempt.execution;
    let (known, from) = (attempt.known(release), release.weight());
    let lease = ledger.lease(execution);
    let moved = match Box::pin(traffic.promote(lease, &known, from)).await {
        Ok(moved) => moved,
        Err(error) => return Err(explain(ledger, execution, attempt.retries, error).await),
    };
    release.moved(moved.functions.clone());
    let record = Record::of(execution, release);
    let recorded = ledger
        .end(&record, Status::Promoted, attempt.now, Some(retention))
        .await;
    undo_if_rolled_back(traffic, &recorded, release).await;
    recorded.map(|()| moved)
}

/// Restores what was written without a lease. An execution that was stopped has no next state to undo this,
/// and the rollback may have looked before we wrote.
async fn undo_if_rolled_back(
    traffic: &Splitters<impl TrafficApi>,
    recorded: &Result<(), Error>,
    release: &Release,
) {
    if let Err(Error::DeploymentRolledBack(_)) = recorded {
        traffic.restore_at_once(&release.footprint()).await;
    }
}
