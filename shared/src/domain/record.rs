//! A release as the ledger has it, and its copy where an alarm finds it.

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    about::About,
    analysis::check::Evidence,
    approval::{OnHoldTimeout, OperatorRequest, Question},
    names::{AlarmName, Application, locks},
    release::Release,
    weight::Weight,
};
use crate::domain::{restore_point::RestorePoint, step_record::StepRecord};

/// Where a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The locks are taken; no traffic has moved.
    Preparing,
    /// Versions are fixed; traffic may be split.
    InFlight,
    /// Stopped at a weight, waiting for an operator.
    Held,
    /// A rollback was requested.
    RollingBack,
    /// Ended: green had traffic, and blue has all of it again.
    RolledBack,
    /// Ended: green has all traffic, and blue is kept ready.
    Promoted,
    /// Ended before any traffic moved.
    Rejected,
    /// Ended: green was blue already, or there was a stage to wire only.
    Unchanged,
}

impl Status {
    /// Returns the word for it in the ledger.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// Whether the release still holds its locks.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Preparing | Self::InFlight | Self::Held | Self::RollingBack => true,
            Self::RolledBack | Self::Promoted | Self::Rejected | Self::Unchanged => false,
        }
    }
}

/// Why a release is rolled back.
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

/// A release's row.
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
    /// When it ended; none while it has not.
    pub ended_at: Option<Timestamp>,
    /// The names of its locks.
    pub locks: Vec<String>,
    /// The alarms that it watches.
    pub alarms: Vec<AlarmName>,
    /// Its targets and plan, once fixed.
    pub footprint: Option<RestorePoint>,
    /// The weight last recorded.
    pub weight: Weight,
    /// Whether a write that gives green its first weight has been begun. It is on record before the write.
    pub shift_begun: bool,
    /// The steps taken so far.
    pub steps: Vec<StepRecord>,
    /// The token that ends its wait for an operator.
    pub token: Option<String>,
    /// What the operator is asked.
    pub asked: Option<Box<Question>>,
    /// What an operator requested of it, until its next look.
    pub wish: Option<OperatorRequest>,
    /// What it does when its hold times out.
    pub on_hold_timeout: OnHoldTimeout,
    /// Why it is rolled back, once that is requested.
    pub why: Option<Why>,
    /// Until when blue is kept ready, once promoted.
    pub retain_until: Option<Timestamp>,
    /// When that time was over.
    pub retention_ended_at: Option<Timestamp>,
    /// The release of the application that was promoted after it.
    pub superseded_by: Option<String>,
}

impl Record {
    /// Returns the row that a release in flight has.
    #[must_use]
    pub fn of(execution: &str, release: &Release) -> Self {
        let functions: Vec<_> = release.locked().collect();
        Self {
            execution: execution.to_owned(),
            application: release.spec.application.clone(),
            status: Status::InFlight,
            began_at: release.spec.started_at,
            ended_at: None,
            locks: locks::names(
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

    /// Returns what the release is, in its team's words; nothing before green is made.
    #[must_use]
    pub fn about(&self) -> About {
        let footprint = self.footprint.as_ref();
        footprint
            .map(|footprint| footprint.about.clone())
            .unwrap_or_default()
    }

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

/// A release that watches an alarm: all that a rollback needs, so that it costs no other call.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// The execution's ARN.
    pub execution: String,
    /// Its targets and plan, as of the last shift.
    pub footprint: RestorePoint,
    /// Until when it watches, where it has been promoted; none while it is in flight.
    pub retain_until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_status_as_it_is_written() {
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
