//! What the exit code says.

use std::{fmt::Write as _, process::ExitCode};

use crossfade::{domain::status::DeploymentStatus, wire::outcome::Outcome};
use serde::Serialize;

/// How the command ended: the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
pub(crate) enum Exit {
    /// Green has all traffic, there was nothing to do, or what was requested is done.
    Done = 0,
    /// It did not work: AWS refused, or does not answer.
    Failed = 1,
    /// The request or the command is not valid; nothing was begun.
    Usage = 2,
    /// Blue has all traffic again.
    RolledBack = 3,
    /// Held, and left: traffic is split.
    Held = 4,
    /// Ended before the first shift.
    Rejected = 5,
    /// Traffic could not be restored: an operator is needed.
    Stuck = 6,
    /// Another writer moved the traffic; what they set stands.
    ChangedOutside = 7,
    /// The command has stopped watching; the release continues.
    GoesOn = 8,
    /// Nothing is known to be in a release's way, or wrong, and not all could be read.
    CouldNotTell = 9,
    /// Something is wrong with the installation.
    Wrong = 10,
}

impl Exit {
    /// What it means, in a line.
    fn meaning(self) -> &'static str {
        match self {
            Self::Done => {
                "green has all traffic, there was nothing to do, or the command has done its work"
            }
            Self::Failed => "AWS refused or did not answer; the state of the release is unknown",
            Self::Usage => "the command or the request is not valid; nothing was started",
            Self::RolledBack => "rolled back: blue has all traffic",
            Self::Held => "held, and left so: traffic is split",
            Self::Rejected => {
                "rejected before any traffic moved: by validation, another release, AWS or an operator"
            }
            Self::Stuck => "RollbackFailed: traffic may be split, an operator is needed",
            Self::ChangedOutside => "ChangedOutside: another writer moved the traffic",
            Self::GoesOn => "interrupted, or --timeout has passed: the release continues",
            Self::CouldNotTell => {
                "plan, doctor: nothing is known to be in the way or wrong, but not everything could be read"
            }
            Self::Wrong => "doctor: something is wrong with the installation",
        }
    }

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// All exit codes, for the help.
pub(crate) fn table() -> String {
    let mut table = "Exit codes:\n".to_owned();
    for exit in <Exit as strum::IntoEnumIterator>::iter() {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "  {}  {}", exit.code(), exit.meaning());
    }
    table
}

/// How an execution ended, as Step Functions says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    /// Such as `SUCCEEDED`.
    pub(crate) status: String,
    /// The error's name, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The contract's outcome, where it has one: an execution that was stopped has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// The Cause's text, where it is no outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
}

impl Ended {
    /// Derives the code from how Step Functions describes the end.
    pub(crate) fn of(
        status: &str,
        output: Option<&str>,
        error: Option<String>,
        cause: Option<String>,
    ) -> Self {
        let said = output.or(cause.as_deref());
        let outcome: Option<Outcome> = said.and_then(|text| serde_json::from_str(text).ok());
        Self {
            status: status.to_owned(),
            error,
            cause: match outcome {
                Some(_) => None,
                None => cause,
            },
            outcome,
        }
    }

    /// Returns the exit code of a release that is refused before anything is touched, by the error's name.
    pub(crate) fn refused(error: &str) -> Exit {
        let cause =
            serde_json::json!({"deploymentStatus": "REJECTED", "functions": [], "reason": ""});
        Self::of(
            "FAILED",
            None,
            Some(error.to_owned()),
            Some(cause.to_string()),
        )
        .exit()
    }

    /// Whether it was stopped or timed out: no state of it has reported the traffic, and the event of its
    /// end invokes rollback.
    pub(crate) fn is_cut_off(&self) -> bool {
        matches!(self.status.as_str(), "ABORTED" | "TIMED_OUT")
    }

    /// What the exit code is.
    pub(crate) fn exit(&self) -> Exit {
        if self.status == "SUCCEEDED" {
            return Exit::Done;
        }
        let status = self
            .outcome
            .as_ref()
            .map(|outcome| outcome.deployment_status);
        // The status says whether traffic moved; the name, what an operator does about it.
        match (self.error.as_deref(), status) {
            (Some("InvalidRequest"), Some(DeploymentStatus::Rejected) | None) => Exit::Usage,
            (_, Some(DeploymentStatus::Rejected)) => Exit::Rejected,
            (Some("RollbackFailed"), _) => Exit::Stuck,
            (Some("ChangedOutside"), _) => Exit::ChangedOutside,
            (_, Some(DeploymentStatus::Successful | DeploymentStatus::NoChange)) => Exit::Done,
            (_, Some(DeploymentStatus::RolledBack)) => Exit::RolledBack,
            (_, Some(DeploymentStatus::Held)) | (Some("DeploymentHeld"), None) => Exit::Held,
            (Some("DeploymentInProgress" | "ValidationFailed" | "MigrationFailed"), None) => {
                Exit::Rejected
            }
            (_, None) => Exit::Failed,
        }
    }

    /// In a sentence.
    pub(crate) fn sentence(&self) -> String {
        let reason = match (&self.outcome, &self.cause) {
            (Some(outcome), _) => outcome.reason.as_str(),
            (None, Some(cause)) => cause.as_str(),
            (None, None) => "",
        };
        let how = match self.exit() {
            Exit::Done => {
                let outcome = self.outcome.as_ref();
                match outcome.map(|it| (it.deployment_status, it.front_door.is_some())) {
                    Some((DeploymentStatus::NoChange, _)) => "no change",
                    Some((DeploymentStatus::RolledBack, _)) => "rolled back, as asked",
                    Some((DeploymentStatus::Rejected, _)) => {
                        "ended before the first shift, as asked"
                    }
                    Some((_, true)) => "done",
                    _ => "promoted",
                }
            }
            Exit::RolledBack => "rolled back",
            Exit::Held => "held, and left",
            Exit::Usage => "refused as invalid",
            Exit::Rejected => "rejected",
            Exit::Stuck => "could not be rolled back",
            Exit::ChangedOutside => "changed outside",
            Exit::Failed | Exit::GoesOn | Exit::CouldNotTell | Exit::Wrong => self.status.as_str(),
        };
        let error = self.error.as_deref();
        let page = error.and_then(crossfade::error::page);
        let page = page.map(|page| format!("; see {page}")).unwrap_or_default();
        let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
        if reason.is_empty() {
            format!("{how}{error}{page}")
        } else {
            format!("{how}{error}: {reason}{page}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(status: &str) -> String {
        json!({"deploymentStatus": status, "application": "chat", "functions": [], "reason": "because"})
            .to_string()
    }

    fn failed(error: &str, status: &str) -> Ended {
        Ended::of("FAILED", None, Some(error.into()), Some(outcome(status)))
    }

    #[test]
    fn maps_every_status_to_a_code() {
        for (error, status, exit) in [
            ("DeploymentRolledBack", "ROLLED_BACK", Exit::RolledBack),
            ("MigrationFailed", "ROLLED_BACK", Exit::RolledBack),
            ("MigrationFailed", "REJECTED", Exit::Rejected),
            ("MigrationFailed", "HELD", Exit::Held),
            ("DeploymentHeld", "HELD", Exit::Held),
            ("InvalidRequest", "REJECTED", Exit::Usage),
            ("DeploymentInProgress", "REJECTED", Exit::Rejected),
            ("ValidationFailed", "REJECTED", Exit::Rejected),
            // A hook after a shift.
            ("ValidationFailed", "ROLLED_BACK", Exit::RolledBack),
            ("ChangedOutside", "HELD", Exit::ChangedOutside),
            ("ChangedOutside", "ROLLED_BACK", Exit::ChangedOutside),
            // Found before anything was moved.
            ("ChangedOutside", "REJECTED", Exit::Rejected),
            // As a former version ended what AWS refused.
            ("DeploymentRolledBack", "REJECTED", Exit::Rejected),
            ("RollbackFailed", "HELD", Exit::Stuck),
        ] {
            assert_eq!(failed(error, status).exit(), exit, "{error} {status}");
        }
        for status in ["SUCCESSFUL", "NO_CHANGE", "ROLLED_BACK", "REJECTED"] {
            let ended = Ended::of("SUCCEEDED", Some(&outcome(status)), None, None);
            assert_eq!(ended.exit(), Exit::Done, "{status}");
        }
    }

    #[test]
    fn links_the_page_of_an_error() {
        let refused = failed("ValidationFailed", "REJECTED").sentence();
        assert_eq!(
            refused,
            "rejected (ValidationFailed): because; see docs/errors/ValidationFailed.md"
        );
        let foreign = failed("States.Timeout", "ROLLED_BACK").sentence();
        assert_eq!(foreign, "rolled back (States.Timeout): because");
    }

    #[test]
    fn exits_with_failure_without_an_outcome() {
        let stopped = Ended::of("ABORTED", None, None, Some("no more".into()));
        assert!(stopped.is_cut_off());
        assert_eq!(stopped.exit(), Exit::Failed);
        assert_eq!(stopped.sentence(), "ABORTED: no more");
    }

    #[test]
    fn exits_with_success_after_a_requested_rollback() {
        let ended = Ended::of("SUCCEEDED", Some(&outcome("ROLLED_BACK")), None, None);
        assert_eq!(ended.exit(), Exit::Done);
        assert_eq!(ended.sentence(), "rolled back, as asked: because");
    }

    #[test]
    fn explains_each_code_once() {
        let table = table();
        for code in 0..=10 {
            assert_eq!(
                table.matches(&format!("\n  {code}  ")).count(),
                1,
                "{table}"
            );
        }
    }
}
