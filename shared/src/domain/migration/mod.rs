//! A migration: a function of the user's that changes the database before green gets any traffic.
//!
//! It runs at most once for each direction of a release, whatever is retried: an attempt claims the
//! run in the ledger first, and records the result there. Where an answer was lost it is not known whether
//! the function ran; it is then not invoked again, and the release ends before any traffic has moved.

mod request;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::request::{AfterRollback, MigrationRequest, Phase};
use super::{
    Timestamp,
    names::{Application, Callee},
    retention::name_of,
};
use crate::domain::target::Target;

/// Which way a migration goes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Direction {
    /// Towards green.
    Up,
    /// Back.
    Down,
}

/// What a release carries of its migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// Which half of a change it is.
    pub phase: Phase,
    /// What becomes of it when green turns out bad.
    pub after_rollback: AfterRollback,
    /// Whether it has run, towards green.
    pub ran: bool,
}

impl From<&MigrationRequest> for Migration {
    fn from(asked: &MigrationRequest) -> Self {
        Self {
            phase: asked.phase,
            after_rollback: asked.after_rollback,
            ran: false,
        }
    }
}

/// What came of running it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MigrationStatus {
    /// The function answered.
    Succeeded,
    /// The function failed.
    Failed,
    /// It did not answer in time. It may still be running.
    TimedOut,
    /// Its answer was lost: whether it ran is not known.
    Unknown,
}

/// A run, as it is on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRun {
    /// The function.
    pub function_name: Callee,
    /// Which half of a change.
    pub phase: Phase,
    /// What becomes of it when green turns out bad.
    pub after_rollback: AfterRollback,
    /// Which way.
    pub direction: Direction,
    /// What came of it.
    pub status: MigrationStatus,
    /// When the state that runs it was entered.
    pub started_at: Timestamp,
    /// How long it was waited for, milliseconds.
    pub duration_ms: u64,
    /// The function's own answer, or its error: cut to [`MAX_ANSWER`] characters of text where it is longer.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
}

impl MigrationRun {
    /// Whether only operators put traffic back on blue from now on: blue cannot work with what it has changed.
    #[must_use]
    pub fn freezes(&self) -> bool {
        (self.after_rollback, self.direction, self.status)
            == (
                AfterRollback::Freeze,
                Direction::Up,
                MigrationStatus::Succeeded,
            )
    }

    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self {
            function_name,
            direction,
            duration_ms,
            answer,
            ..
        } = self;
        let way: &str = direction.into();
        let what = format!("the migration {function_name} ({way})");
        let seconds = seconds(*duration_ms);
        match self.status {
            MigrationStatus::Succeeded => format!("{what} succeeded in {seconds} s"),
            MigrationStatus::Failed => format!("{what} failed after {seconds} s: {answer}"),
            MigrationStatus::TimedOut => {
                format!(
                    "{what} did not answer within {seconds} s: it may still be running, or its answer was lost; \
                     see its log. It is not invoked a second time, nor run back"
                )
            }
            MigrationStatus::Unknown => format!(
                "{what} was invoked, and its answer was lost: whether it has run is in its log. It is not \
                 invoked a second time"
            ),
        }
    }
}

/// Seconds with one decimal, rounded.
fn seconds(milliseconds: u64) -> String {
    let tenths = (milliseconds + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Returns the event of the function.
#[must_use]
pub fn event(
    execution: &str,
    application: &Application,
    functions: &[Value],
    (phase, direction): (Phase, Direction),
    payload: Option<&Value>,
) -> Value {
    let mut event = json!({
        "idempotencyKey": execution,
        "phase": phase,
        "direction": direction,
        "application": application,
        "release": name_of(execution),
        "functions": functions,
    });
    if let Some(payload) = payload {
        event["payload"] = payload.clone();
    }
    event
}

/// Returns the functions of a release as events to users' functions list them.
#[must_use]
pub fn function_values(functions: &[Target]) -> Vec<Value> {
    let each = functions.iter().map(|target| {
        json!({
            "functionName": target.function_name,
            "alias": target.alias,
            "blueVersion": target.blue_version,
            "greenVersion": target.green_version,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(status: MigrationStatus, answer: Value) -> MigrationRun {
        MigrationRun {
            function_name: "chat-migrate".parse().unwrap(),
            phase: Phase::Expand,
            after_rollback: AfterRollback::RollBack,
            direction: Direction::Up,
            status,
            started_at: "2026-11-21T12:00:00Z".parse().unwrap(),
            duration_ms: 61_250,
            answer,
        }
    }

    #[test]
    fn describes_the_result_of_a_migration() {
        let told = |status| ran(status, json!("no such table")).describe();
        assert_eq!(
            told(MigrationStatus::Succeeded),
            "the migration chat-migrate (up) succeeded in 61.3 s"
        );
        assert!(told(MigrationStatus::Failed).ends_with("failed after 61.3 s: \"no such table\""));
        assert!(
            told(MigrationStatus::TimedOut).contains("not invoked a second time, nor run back")
        );
        assert!(told(MigrationStatus::Unknown).contains("not invoked a second time"));
    }

    #[test]
    fn passes_direction_and_key_to_the_function() {
        let execution = "arn:aws:states:eu-west-1:1:execution:crossfade-deployment:42";
        let chat = "chat".parse().unwrap();
        let way = (Phase::Expand, Direction::Down);
        let told = event(execution, &chat, &[], way, Some(&json!({"to": 7})));
        assert_eq!(
            told,
            json!({"idempotencyKey": execution, "phase": "expand", "direction": "down",
                "application": "chat", "release": "42", "functions": [], "payload": {"to": 7}})
        );
        assert!(
            event(execution, &chat, &[], way, None)
                .get("payload")
                .is_none()
        );
    }

    #[test]
    fn round_trips_a_run() {
        let one = ran(MigrationStatus::TimedOut, Value::Null);
        let written = json!(one);
        assert_eq!(written["status"], "TIMED_OUT");
        assert_eq!(
            serde_json::from_value::<MigrationRun>(written).unwrap(),
            one
        );
    }
}
