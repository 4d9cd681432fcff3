//! A deployment's row, and its copy where an alarm finds it.

use serde::{Deserialize, Serialize};

use super::rows::{Item, instant, optional, parsed, required, text};
use crate::{
    domain::{
        Timestamp,
        admission::lock_names,
        analysis::OnHoldTimeout,
        approval::{Asked, Wish},
        check::Evidence,
        names::{AlarmName, Application},
        release::{Footprint, Release, StepTaken},
        weight::Weight,
    },
    error::Error,
};

/// Where a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The locks are taken; no traffic has moved.
    Preparing,
    /// Versions are fixed; traffic may be split.
    InFlight,
    /// Stopped at a weight, waiting for a person.
    Held,
    /// Told to go back to blue.
    RollingBack,
    /// Ended: green had traffic, and blue has all of it again.
    RolledBack,
    /// Ended: green has all traffic, and blue is kept ready.
    Promoted,
    /// Ended before any traffic moved.
    Rejected,
    /// Ended: green was blue already, or there was a front door to wire only.
    Unchanged,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        self.into()
    }

    /// Whether the deployment still holds its locks.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Preparing | Self::InFlight | Self::Held | Self::RollingBack => true,
            Self::RolledBack | Self::Promoted | Self::Rejected | Self::Unchanged => false,
        }
    }
}

/// Why a deployment was told to go back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// In words and numbers.
    pub reason: String,
    /// The numbers.
    #[serde(default)]
    pub evidence: Evidence,
    /// When it was decided.
    pub at: Timestamp,
}

/// A deployment's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The execution's ARN.
    pub execution: String,
    /// The application.
    pub application: Application,
    /// Where it is.
    pub status: Status,
    /// When it took its locks.
    pub began_at: Timestamp,
    /// The names of its locks.
    pub locks: Vec<String>,
    /// The alarms that it watches.
    pub alarms: Vec<AlarmName>,
    /// Its targets and plan, once fixed.
    pub footprint: Option<Footprint>,
    /// The weight last recorded.
    pub weight: Weight,
    /// Whether a write that gives green its first weight has been begun. It is on record before the write.
    pub shift_begun: bool,
    /// The steps taken so far.
    pub steps: Vec<StepTaken>,
    /// The token that ends its wait for a person.
    pub token: Option<String>,
    /// What that person is asked.
    pub asked: Option<Box<Asked>>,
    /// What a person wishes of it, until its next look.
    pub wish: Option<Wish>,
    /// What it does when nobody ends its hold.
    pub on_hold_timeout: OnHoldTimeout,
    /// Why it goes back, once told to.
    pub why: Option<Why>,
    /// Until when blue is kept ready, once promoted.
    pub retain_until: Option<Timestamp>,
    /// When that time was over.
    pub retention_ended_at: Option<Timestamp>,
    /// The release of the application that was promoted after it.
    pub superseded_by: Option<String>,
}

impl Record {
    /// The row that a release in flight has.
    #[must_use]
    pub fn of(execution: &str, release: &Release) -> Self {
        let functions: Vec<_> = release.locked().collect();
        Self {
            execution: execution.to_owned(),
            application: release.spec.application.clone(),
            status: Status::InFlight,
            began_at: release.spec.started_at,
            locks: lock_names(
                &release.spec.application,
                &functions,
                &release.spec.traffic.locks(),
            ),
            alarms: release.spec.analysis.alarms.clone(),
            footprint: Some(release.footprint()),
            weight: release.weight(),
            shift_begun: release.weight() > Weight::ZERO,
            steps: release.progress().steps.clone(),
            token: None,
            asked: None,
            wish: None,
            on_hold_timeout: release.spec.hold.on_timeout,
            why: None,
            retain_until: None,
            retention_ended_at: None,
            superseded_by: None,
        }
    }
}

impl Record {
    /// Whether the first shift is behind it, or may be: a write that was begun and is not known to have been
    /// refused counts. Until then nothing was moved, so nothing is rolled back.
    #[must_use]
    pub fn has_shifted(&self) -> bool {
        self.shift_begun
            || self.status == Status::Promoted
            || self.weight > Weight::ZERO
            || !self.steps.is_empty()
    }
}

/// A deployment that watches an alarm: all that a rollback needs, so that it costs no other call.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// The execution's ARN.
    pub execution: String,
    /// Its targets and plan, as of the last shift.
    pub footprint: Footprint,
    /// Until when it watches, where it has been promoted; none while it is in flight.
    pub retain_until: Option<Timestamp>,
}

pub(super) fn record(item: &Item) -> Result<Record, Error> {
    let unreadable =
        |what: &str| Error::Refused(format!("a row of the ledger has no readable {what}").into());
    let status = required(item, "status")?
        .parse()
        .map_err(|_| unreadable("status"))?;
    let application = Application::try_from(required(item, "application")?)
        .map_err(|_| unreadable("application"))?;
    let weight = item
        .get("weight")
        .and_then(|value| value.as_n().ok()?.parse::<f64>().ok())
        .and_then(|percent| Weight::try_from(percent).ok())
        .unwrap_or(Weight::ZERO);
    let footprint: Option<Footprint> = optional(item, "footprint")?;
    // A version of Crossfade that does not record it has launched this: nobody knows.
    let unknown = footprint.is_some();
    let shift_begun = item
        .get("shiftBegun")
        .and_then(|value| value.as_bool().ok().copied());
    Ok(Record {
        execution: required(item, "execution")?,
        application,
        status,
        began_at: instant(item, "beganAt")?.ok_or_else(|| unreadable("beganAt"))?,
        locks: parsed(item, "locks")?,
        alarms: parsed(item, "alarms")?,
        footprint,
        weight,
        shift_begun: shift_begun.unwrap_or(unknown),
        steps: optional(item, "steps")?.unwrap_or_default(),
        token: text(item, "token"),
        asked: optional(item, "asked")?,
        wish: optional(item, "wish")?,
        on_hold_timeout: parsed(item, "onHoldTimeout")?,
        why: optional(item, "why")?,
        retain_until: instant(item, "retainUntil")?,
        retention_ended_at: instant(item, "retentionEndedAt")?,
        superseded_by: text(item, "supersededBy"),
    })
}

/// What a deployment that may not go on is told.
pub(super) fn told(row: Option<&Item>) -> Error {
    match row.map(record) {
        // Nothing of it is to be put back.
        Some(Ok(row)) if row.status == Status::Promoted => {
            Error::Refused("the deployment has been promoted already".into())
        }
        Some(Ok(row)) => {
            let reason = row
                .why
                .map_or_else(|| "it has ended".to_owned(), |why| why.reason);
            Error::DeploymentRolledBack(reason.into())
        }
        Some(Err(error)) => error,
        None => Error::DeploymentRolledBack("the ledger does not know this deployment".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(more: &[(&str, aws_sdk_dynamodb::types::AttributeValue)]) -> Item {
        use crate::aws::ledger::rows::{json, s};
        let footprint = serde_json::json!({
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 0, "bakeSeconds": 60}, {"weight": 100, "bakeSeconds": 0}]}});
        let mut row = Item::from([
            ("execution".to_owned(), s("a:42")),
            ("application".to_owned(), s("chat")),
            ("status".to_owned(), s("IN_FLIGHT")),
            ("beganAt".to_owned(), s("2026-11-20T12:00:00Z")),
            ("locks".to_owned(), json(&Vec::<String>::new())),
            ("alarms".to_owned(), json(&Vec::<String>::new())),
            ("onHoldTimeout".to_owned(), json(&"rollBack")),
            ("footprint".to_owned(), json(&footprint)),
        ]);
        let more = more.iter().cloned();
        row.extend(more.map(|(name, value)| (name.to_owned(), value)));
        row
    }

    #[test]
    fn counts_as_shifted_unless_it_is_known_that_no_shift_was_made() {
        use crate::aws::ledger::rows::{json, n};
        use aws_sdk_dynamodb::types::AttributeValue::Bool;
        let taken = |weight: u8| {
            json(&serde_json::json!([{"weight": weight, "startedAt": "2026-11-20T12:00:10Z"}]))
        };
        let no = || ("shiftBegun", Bool(false));
        for (more, shifted) in [
            // Launched by a version that did not record it.
            (vec![], true),
            (vec![no()], false),
            (vec![("shiftBegun", Bool(true))], true),
            (vec![no(), ("weight", n(10))], true),
            (vec![no(), ("weight", n(0))], false),
            (vec![no(), ("weight", n(0)), ("steps", taken(0))], true),
            (vec![no(), ("weight", n(0)), ("steps", taken(10))], true),
        ] {
            let read = record(&row(&more)).unwrap();
            assert_eq!(read.has_shifted(), shifted, "{more:?}");
        }
        let mut unlaunched = row(&[]);
        unlaunched.remove("footprint");
        assert!(!record(&unlaunched).unwrap().has_shifted());
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in [
            Status::Preparing,
            Status::InFlight,
            Status::Held,
            Status::RollingBack,
            Status::RolledBack,
            Status::Promoted,
            Status::Rejected,
            Status::Unchanged,
        ] {
            assert_eq!(status.word().parse(), Ok(status));
        }
    }
}
