//! How traffic is restored: the one way back to blue, for all callers.
//!
//! Safe to run twice, twice at once, and late: the ledger says whether a deployment is still open,
//! and [`reconcile`](crate::domain::routing::alias::reconcile) writes only over states that are its own.

#[cfg(test)]
mod tests;

use std::ops::Deref;

use chrono::SecondsFormat;

use super::{ledger::Ledger, splitters::Splitters};
use crate::{
    domain::{
        Timestamp,
        capacity::LeftBehind,
        moved::{AtOnce, Late, Serves},
        record::{Record, Status, Why},
        restore_point::RestorePoint,
        retention::name_of,
        status::DeploymentStatus,
    },
    error::Error,
    ports::{LedgerStore, TrafficApi},
    wire::outcome::{FunctionOutcome, Outcome},
};

/// A deployment whose traffic has been restored.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Its row, with the reason that came first.
    pub record: Record,
    /// Where another writer had moved the traffic, so that their value stands. A sentence each.
    pub changed_outside: Vec<String>,
    /// Why green keeps its traffic: blue's side cannot serve. The release stays open, with its locks, and
    /// the sweep tries again.
    pub not_moved: Option<String>,
    /// What serves now, as it was read after the last write.
    pub serves: Serves,
    /// What operators should know. A sentence each.
    pub notes: Vec<String>,
    /// The durable executions that began on green and still run.
    left_behind: Vec<LeftBehind>,
    /// Whether green has had weight.
    served: bool,
}

/// A deployment whose traffic is on blue and whose idle side holds what it held before: it can be
/// closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled(Restored);

impl Settled {
    /// A deployment that an earlier state has settled, and kept the locks of.
    #[must_use]
    pub fn before(record: Record) -> Self {
        Self(Restored::untouched(record))
    }
}

impl Deref for Settled {
    type Target = Restored;

    fn deref(&self) -> &Restored {
        &self.0
    }
}

impl Restored {
    fn untouched(record: Record) -> Self {
        Self {
            served: !record.steps.is_empty(),
            record,
            changed_outside: Vec::new(),
            not_moved: None,
            serves: Serves::default(),
            notes: Vec::new(),
            left_behind: Vec::new(),
        }
    }

    /// Restores what the idle side held when the release began: green may be reached there by sticky
    /// clients, other rules and late resolvers. Counts what stays on green. Free to repeat.
    ///
    /// Where traffic is not ours any more, the idle side may be serving, and is left as it is.
    ///
    /// # Errors
    /// [`Error::Transient`] when AWS did not answer; what it refuses becomes a note.
    /// [`Error::Refused`] when traffic was not moved to blue: the release cannot be closed.
    pub async fn settle(mut self, traffic: &Splitters<impl TrafficApi>) -> Result<Settled, Error> {
        if let Some(why) = self.not_moved {
            return Err(Error::Refused(why.into()));
        }
        if let Some(footprint) = &self.record.footprint
            && self.changed_outside.is_empty()
        {
            let notes = traffic.unstage(footprint, self.served).await?;
            for note in &notes {
                tracing::warn!(
                    event = "idle_side_not_restored",
                    deployment.id = self.record.execution,
                    note,
                    "The idle side was not restored."
                );
            }
            self.notes.extend(notes);
        }
        if let Some(footprint) = &self.record.footprint {
            let left = traffic.left_behind(footprint, self.record.began_at);
            let (left_behind, notes) = left.await;
            self.left_behind = left_behind;
            self.notes.extend(notes);
        }
        Ok(Settled(self))
    }

    /// How it stands. See [`ended`].
    #[must_use]
    pub fn status(&self) -> DeploymentStatus {
        if self.not_moved.is_some() {
            return DeploymentStatus::Held;
        }
        ended(&self.record, !self.changed_outside.is_empty())
    }

    /// Returns where traffic is not on blue, and why; a sentence each.
    pub fn not_on_blue(&self) -> impl Iterator<Item = &String> {
        self.changed_outside.iter().chain(&self.not_moved)
    }

    /// The outcome as far as the ledger knows it.
    #[must_use]
    pub fn outcome(&self, status: DeploymentStatus) -> Outcome {
        let mut outcome = outcome(&self.record, status, self.not_on_blue());
        outcome.serves(&self.serves.versions, &self.serves.by);
        outcome.warnings.clone_from(&self.notes);
        outcome
            .evidence
            .durable_executions
            .clone_from(&self.left_behind);
        outcome
    }
}

/// How a deployment stands that does not go on to green. Before the first shift it is rejected, whatever ended
/// it. After that it is rolled back; and held where another writer moved the traffic, for an operator has
/// to look.
#[must_use]
pub fn ended(record: &Record, changed_outside: bool) -> DeploymentStatus {
    match (record.has_shifted(), changed_outside) {
        (false, _) => DeploymentStatus::Rejected,
        (true, false) => DeploymentStatus::RolledBack,
        (true, true) => DeploymentStatus::Held,
    }
}

/// The outcome of a deployment as far as its row knows it, and where its traffic was not its own.
#[must_use]
pub fn outcome<'a>(
    record: &Record,
    deployment_status: DeploymentStatus,
    not_on_blue: impl IntoIterator<Item = &'a String>,
) -> Outcome {
    let why = record.why.clone();
    let mut reason = why.as_ref().map_or_else(
        || "no reason is on record".to_owned(),
        |why| why.reason.clone(),
    );
    for what in not_on_blue {
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
        about: record.about(),
        functions: functions.iter().map(FunctionOutcome::from).collect(),
        reason,
        evidence: why.map(|why| why.evidence).unwrap_or_default(),
        steps: record.steps.clone(),
        answers: Vec::new(),
        warnings: Vec::new(),
        sides: record
            .footprint
            .as_ref()
            .and_then(|known| known.traffic.sides()),
        served_by: Vec::new(),
        retain_until: None,
        front_door: None,
        hook: None,
        help: None,
    }
}

/// Puts an open deployment's traffic back on blue. None when it has ended already.
///
/// Marks the deployment as rolling back before it writes any alias. A concurrent shift then fails its lease
/// check, and a write already decided on fails its revision check, so closing is safe.
///
/// # Errors
/// [`Error::Transient`] when AWS did not answer for one of the targets; the others are on blue, and
/// to run it again is safe.
pub async fn restore(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    why: &Why,
    late: Late,
) -> Result<Option<Restored>, Error> {
    let Some(record) = ledger.request_rollback(execution, why).await? else {
        return Ok(None);
    };
    let restored = restore_record(traffic, record, AtOnce::default(), late).await?;
    close_unless_ended(ledger, restored).await
}

/// The same for a caller that knows the targets: one write each, and whatever is not as it was when the
/// caller's copy was made goes the slow way.
pub async fn restore_known(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    why: &Why,
    known: &RestorePoint,
) -> Result<Option<Restored>, Error> {
    let Some(record) = ledger.request_rollback(execution, why).await? else {
        return Ok(None);
    };
    let done = traffic.restore_at_once(known).await;
    let restored = restore_record(traffic, record, done, Late::Possible).await?;
    close_unless_ended(ledger, restored).await
}

/// The same where every moment counts: traffic and ledger are written at the same time, and traffic
/// waits for nothing. The deployment cannot be closed with that: a function may have read what was
/// written here, and checked its lease before it was revoked. Closing restores once more.
pub async fn restore_at_once(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    why: &Why,
    known: &RestorePoint,
) -> Result<Option<Restored>, Error> {
    // `DeleteAlias` takes no revision: a promotion that comes in between would be undone unseen.
    if known.makes_an_alias() {
        return restore(traffic, ledger, execution, why, Late::Possible).await;
    }
    // Traffic is requested first: the other is sent while its answer is on its way.
    let (done, told) = futures::join!(
        traffic.restore_at_once(known),
        ledger.request_rollback(execution, why),
    );
    let Some(record) = told? else {
        return Ok(None);
    };
    let restored = restore_record(traffic, record, done, Late::Possible).await?;
    close_unless_ended(ledger, restored).await
}

/// Where traffic is not its own, the deployment may have been ended by who puts it back at the same time,
/// and the traffic be the next deployment's: then there is nothing to say of it.
async fn close_unless_ended(
    ledger: &Ledger<impl LedgerStore>,
    restored: Restored,
) -> Result<Option<Restored>, Error> {
    if restored.not_on_blue().next().is_none() {
        return Ok(Some(restored));
    }
    let now = ledger.get(&restored.record.execution).await?;
    let is_open = now.is_some_and(|record| record.status.is_open());
    Ok(is_open.then_some(restored))
}

/// What became of taking a promoted deployment back.
#[derive(Clone, Debug, PartialEq)]
pub enum PromotedRestore {
    /// Its traffic is on blue.
    Done(Box<Settled>),
    /// It is not, and nothing was touched: why, in words.
    Not(String),
}

/// Takes a promoted deployment back, while its blue is kept ready: until that time is over, or
/// another deployment has come after it.
///
/// # Errors
/// [`Error::DeploymentInProgress`] when a newer deployment holds the locks: it is not disturbed.
pub async fn restore_promoted(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    why: &Why,
) -> Result<PromotedRestore, Error> {
    let Some(record) = ledger.get(execution).await? else {
        return Ok(PromotedRestore::Not(format!(
            "the ledger does not know release {}",
            name_of(execution)
        )));
    };
    let latest = ledger.latest(&record.application).await?;
    if let Err(not) = can_be_taken_back(&record, latest.as_deref(), why.at) {
        return Ok(PromotedRestore::Not(not));
    }
    if !ledger.reopen(&record, why).await? {
        return Ok(PromotedRestore::Not(format!(
            "blue of release {} was given up at this moment",
            name_of(execution)
        )));
    }
    let mut restored = restore_record(
        traffic,
        Record {
            why: Some(why.clone()),
            ..record
        },
        AtOnce::default(),
        Late::Possible,
    )
    .await?;
    // Green has passed every gate: where it keeps all traffic, that is whole.
    restored.changed_outside.extend(restored.not_moved.take());
    let settled = restored.settle(traffic).await?;
    close(ledger, &settled, why.at).await?;
    Ok(PromotedRestore::Done(Box::new(settled)))
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

/// Restores all functions of a deployment but those that are `done`.
async fn restore_record(
    traffic: &Splitters<impl TrafficApi>,
    record: Record,
    done: AtOnce,
    late: Late,
) -> Result<Restored, Error> {
    let mut restored = Restored::untouched(record);
    // Where versions were never fixed, no traffic was moved.
    let Some(footprint) = &restored.record.footprint else {
        return Ok(restored);
    };
    let left = RestorePoint {
        functions: footprint
            .functions
            .iter()
            .filter(|target| !done.functions.contains(&target.function_name))
            .cloned()
            .collect(),
        ..footprint.clone()
    };
    let is_done = left.functions.is_empty() && !done.functions.is_empty();
    restored.served |= done.moved;
    restored.serves = done.serves;
    restored.notes = done.notes;
    if !is_done {
        let back = traffic.restore(&left, late, restored.served).await?;
        restored.changed_outside = back.changed_outside;
        restored.not_moved = back.not_moved;
        restored.served |= back.moved;
        restored.serves.extend(back.serves);
        restored.notes.extend(back.notes);
    }
    if restored.not_on_blue().next().is_some() {
        restored.serves = traffic.serves(footprint).await;
    }
    Ok(restored)
}

/// Closes a deployment whose traffic has been restored: its locks are free again, and its row says
/// how it ended.
pub async fn close(
    ledger: &Ledger<impl LedgerStore>,
    settled: &Settled,
    now: Timestamp,
) -> Result<(), Error> {
    let status = if settled.record.has_shifted() {
        Status::RolledBack
    } else {
        Status::Rejected
    };
    ledger.end(&settled.record, status, now, None).await
}

/// Marks a closed deployment as undelivered where its notice could not be published, so that the sweep
/// delivers it: nothing else would find it again.
pub async fn deliver_or_queue(
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    told: Result<(), Error>,
) -> Result<(), Error> {
    let Err(undelivered) = told else {
        return Ok(());
    };
    tracing::error!(event = "notice_deferred", deployment.id = execution, error.message = %undelivered, "The notice was not delivered; the sweep will retry.");
    ledger.mark_undelivered(execution).await
}

/// What a state that lost a write to the alias ends with.
///
/// A rollback from outside the execution writes traffic and ledger at the same time, and either may
/// be seen first. So a foreign state is looked into before it is called foreign: the ledger may say
/// that it is the rollback's, and if it does not yet, it is asked again a little later.
pub async fn explain(
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    retries: u32,
    error: Error,
) -> Error {
    /// How often the ledger is asked again.
    const PATIENCE: u32 = 2;
    if !matches!(error, Error::ChangedOutside(_)) {
        return error;
    }
    match ledger.get(execution).await {
        Ok(Some(record)) if matches!(record.status, Status::InFlight | Status::Held) => {
            if retries < PATIENCE {
                Error::Transient(
                    format!("perhaps a rollback that is being recorded: {error}").into(),
                )
            } else {
                error
            }
        }
        Ok(Some(record)) => Error::DeploymentRolledBack(
            record
                .why
                .map_or_else(|| "the deployment has ended".to_owned(), |why| why.reason)
                .into(),
        ),
        Ok(None) => error,
        Err(unread) => unread,
    }
}
