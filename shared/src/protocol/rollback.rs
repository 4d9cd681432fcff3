//! How traffic is restored: the one way back to blue, for all callers.
//!
//! Safe to run twice, twice at once, and late: the ledger says whether a deployment is still open,
//! and [`reconcile`](crate::domain::routing::alias::reconcile) writes only over states that are its own.

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

/// A deployment whose traffic has been put back.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Its row, with the reason that came first.
    pub record: Record,
    /// Where somebody else had moved the traffic, so that their value stands. A sentence each.
    pub changed_outside: Vec<String>,
    /// Why green keeps its traffic: blue's side cannot serve. The release stays open, with its locks, and
    /// the sweep tries again.
    pub not_moved: Option<String>,
    /// What serves now, as it was read after the last write.
    pub serves: Serves,
    /// What people should know. A sentence each.
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

    /// Puts back what the idle side held when the release began: green may be reached there by sticky
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

/// How a deployment stands that does not go on to green. Before the first shift it is rejected, whoever ended
/// it and why. After that it is rolled back; and held where somebody else moved the traffic, for a person has
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
        functions: functions.iter().map(FunctionOutcome::from).collect(),
        reason,
        evidence: why.map(|why| why.evidence).unwrap_or_default(),
        steps: record.steps.clone(),
        answers: Vec::new(),
        warnings: Vec::new(),
        served_by: Vec::new(),
        retain_until: None,
        front_door: None,
        hook: None,
        help: None,
    }
}

/// Puts an open deployment's traffic back on blue. None when it has ended already.
///
/// The ledger is told first, and then every alias is written to: a function that asks for leave finds
/// none, and what one has decided on before does not apply any more. So the deployment can be closed.
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
    let restored = put_back(traffic, record, AtOnce::default(), late).await?;
    unless_ended(ledger, restored).await
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
    let restored = put_back(traffic, record, done, Late::Possible).await?;
    unless_ended(ledger, restored).await
}

/// The same where every moment counts: traffic and ledger are written at the same time, and traffic
/// waits for nothing. The deployment cannot be closed with that: a function may have read what was
/// written here, and asked for leave before it was taken. Whoever closes it puts it back once more.
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
    // Traffic is asked for first: the other is sent while its answer is on its way.
    let (done, told) = futures::join!(
        traffic.restore_at_once(known),
        ledger.request_rollback(execution, why),
    );
    let Some(record) = told? else {
        return Ok(None);
    };
    let restored = put_back(traffic, record, done, Late::Possible).await?;
    unless_ended(ledger, restored).await
}

/// Where traffic is not its own, the deployment may have been ended by who puts it back at the same time,
/// and the traffic be the next deployment's: then there is nothing to say of it.
async fn unless_ended(
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
pub enum Reverted {
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
pub async fn revert(
    traffic: &Splitters<impl TrafficApi>,
    ledger: &Ledger<impl LedgerStore>,
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
    let mut restored = put_back(
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
    Ok(Reverted::Done(Box::new(settled)))
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

/// Closes a deployment whose traffic has been put back: its locks are free again, and its row says
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

/// Where people could not be told of what has been closed, leaves that to the schedule: nothing would
/// find it again otherwise.
pub async fn told_or_owed(
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    told: Result<(), Error>,
) -> Result<(), Error> {
    let Err(untold) = told else { return Ok(()) };
    tracing::error!(event = "notice_deferred", deployment.id = execution, error.message = %untold, "The notice was not delivered; the sweep will retry.");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{approval::OnHoldTimeout, weight::Weight};

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
            shift_begun: true,
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
    fn is_rejected_until_green_may_have_had_traffic() {
        let record = |shift_begun, weight| Record {
            status: Status::RollingBack,
            shift_begun,
            weight,
            ..promoted()
        };
        for (record, changed_outside, status) in [
            (
                record(false, Weight::ZERO),
                false,
                DeploymentStatus::Rejected,
            ),
            (
                record(false, Weight::ZERO),
                true,
                DeploymentStatus::Rejected,
            ),
            (
                record(true, Weight::ZERO),
                false,
                DeploymentStatus::RolledBack,
            ),
            (
                record(false, Weight::FULL),
                false,
                DeploymentStatus::RolledBack,
            ),
            (record(true, Weight::FULL), true, DeploymentStatus::Held),
        ] {
            assert_eq!(ended(&record, changed_outside), status, "{record:?}");
        }
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
