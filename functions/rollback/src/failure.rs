//! What failed, from what the Catch left in the state.

use crossfade::{
    aws::ledger::{Record, Why},
    domain::{
        Timestamp,
        approval::Answered,
        check::Evidence,
        release::{DeploymentStatus, Release},
    },
};
use serde::Deserialize;
use serde_json::Value;

/// The errors that an execution may end with, as the contract lists them.
const CONTRACT: [&str; 8] = [
    "DeploymentRolledBack",
    "DeploymentHeld",
    "InvalidRequest",
    "DeploymentInProgress",
    "ChangedOutside",
    "ValidationFailed",
    "MigrationFailed",
    "RollbackFailed",
];

/// What a Catch puts at `$.failure`; nothing when the decision itself was to go back.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Failure {
    error: Option<String>,
    cause: Option<String>,
}

/// What a function that failed says, in its Cause.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Diagnostic {
    error_message: String,
}

/// A reason that comes with its evidence.
#[derive(Debug, Deserialize)]
struct Proven {
    reason: String,
    #[serde(default)]
    evidence: Evidence,
}

impl Failure {
    pub(crate) fn of(state: &Value) -> Self {
        state
            .get("failure")
            .and_then(|failure| Self::deserialize(failure).ok())
            .unwrap_or_default()
    }

    /// Whether nothing has failed: it was decided to go back.
    pub(crate) fn is_none(&self) -> bool {
        self.error.is_none()
    }

    /// Whether it is of a state before the first shift, and of no other: then no function can be about to
    /// move traffic.
    pub(crate) fn is_before_any_shift(&self) -> bool {
        matches!(
            self.error.as_deref(),
            Some("ValidationFailed" | "MigrationFailed")
        )
    }

    /// The error's name in the contract. What the contract does not name is a rollback.
    pub(crate) fn name(&self) -> &'static str {
        let named = self
            .error
            .as_deref()
            .and_then(|error| CONTRACT.iter().find(|name| **name == error));
        named.copied().unwrap_or("DeploymentRolledBack")
    }

    /// The same, knowing the ledger: another's value that was found comes first, and then a reason
    /// that was on record before this failure's own, such as an alarm's.
    pub(crate) fn name_after(
        &self,
        record: &Record,
        why: &Why,
        changed_outside: bool,
    ) -> &'static str {
        if changed_outside {
            "ChangedOutside"
        } else if record.why.as_ref() == Some(why) {
            self.name()
        } else {
            "DeploymentRolledBack"
        }
    }

    /// Why, for the record: the failure's own words and evidence, or the decision's.
    pub(crate) fn why(&self, state: &Value, at: Timestamp) -> Why {
        let Some(error) = &self.error else {
            let evidence = Evidence::deserialize(&state["evidence"]).unwrap_or_default();
            let reason = state["reason"]
                .as_str()
                .unwrap_or("it was decided to roll back");
            let reason = match answered(state, at) {
                Some(answered) => format!("{answered}; {reason}"),
                None => reason.to_owned(),
            };
            return Why {
                reason,
                evidence,
                at,
            };
        };
        if error == "States.Timeout" && matches!(state["decision"].as_str(), Some("ask" | "hold")) {
            let evidence = Evidence::deserialize(&state["evidence"]).unwrap_or_default();
            let asked = state["reason"].as_str().unwrap_or_default();
            let reason = format!(
                "nobody answered the hold within {} s; {asked}",
                state["hold"]["timeoutSeconds"]
            );
            return Why {
                reason,
                evidence,
                at,
            };
        }
        let message = self.message();
        if let Ok(proven) = serde_json::from_str::<Proven>(&message) {
            return Why {
                reason: proven.reason,
                evidence: proven.evidence,
                at,
            };
        }
        let reason = if CONTRACT.contains(&error.as_str()) {
            message
        } else {
            format!("{error}: {message}")
        };
        Why {
            reason,
            evidence: Evidence::default(),
            at,
        }
    }

    /// The function's message, or the whole Cause where it is not a function's.
    fn message(&self) -> String {
        let cause = self.cause.clone().unwrap_or_default();
        serde_json::from_str::<Diagnostic>(&cause)
            .map_or(cause, |diagnostic| diagnostic.error_message)
    }
}

/// What a person answered that leads here, or that nobody did, in words.
fn answered(state: &Value, at: Timestamp) -> Option<String> {
    let known = serde_json::from_value::<Release>(state.clone())
        .ok()
        .and_then(|mut release| {
            release.take_answers(at);
            release.answers.last().map(Answered::told)
        });
    // A word that nobody knows.
    let unknown = ["answer", "approvalAnswer"].into_iter().find_map(|field| {
        let answer = state.get(field)?;
        let shown: String = answer.to_string().chars().take(200).collect();
        Some(format!("a person answered {shown}, which is no answer"))
    });
    known.or(unknown)
}

/// How a deployment that failed so stands.
pub(crate) fn status(error: &str, record: &Record, changed_outside: bool) -> DeploymentStatus {
    if changed_outside {
        // Their value stands: a person has to look.
        return DeploymentStatus::Held;
    }
    match error {
        "InvalidRequest" | "DeploymentInProgress" => DeploymentStatus::Rejected,
        "ValidationFailed" | "MigrationFailed" | "ChangedOutside" if record.steps.is_empty() => {
            DeploymentStatus::Rejected
        }
        _ => DeploymentStatus::RolledBack,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn caught(error: &str, message: &str) -> Value {
        let cause = json!({"errorType": error, "errorMessage": message}).to_string();
        json!({"failure": {"Error": error, "Cause": cause}})
    }

    #[test]
    fn an_error_of_the_contract_keeps_its_name_and_its_words() {
        let state = caught("ChangedOutside", "chat:production is gone");
        let failure = Failure::of(&state);
        assert_eq!(failure.name(), "ChangedOutside");
        assert_eq!(failure.why(&state, now()).reason, "chat:production is gone");
    }

    #[test]
    fn any_other_error_is_a_rollback_that_names_it() {
        for (error, cause) in [
            ("Sandbox.Timedout", "{}"),
            ("States.Timeout", ""),
            ("Refused", "x"),
        ] {
            let state = json!({"failure": {"Error": error, "Cause": cause}});
            let failure = Failure::of(&state);
            assert_eq!(failure.name(), "DeploymentRolledBack", "{error}");
            assert!(
                failure.why(&state, now()).reason.starts_with(error),
                "{error}"
            );
        }
    }

    #[test]
    fn a_reason_brings_its_evidence() {
        let why = json!({"reason": "1 of 1 smoke tests failed", "evidence": {"validation": [{"test": "health"}]}});
        let state = caught("ValidationFailed", &why.to_string());
        let why = Failure::of(&state).why(&state, now());
        assert_eq!(why.reason, "1 of 1 smoke tests failed");
        assert_eq!(why.evidence.validation, [json!({"test": "health"})]);
    }

    #[test]
    fn a_decision_to_go_back_has_its_own_reason() {
        let state = json!({"decision": "rollBack", "reason": "5 of 20 requests failed",
            "evidence": {"decidedBy": "errorRate"}});
        let failure = Failure::of(&state);
        let why = failure.why(&state, now());
        assert_eq!(failure.name(), "DeploymentRolledBack");
        assert_eq!(
            (why.reason.as_str(), why.evidence.decided_by.as_deref()),
            ("5 of 20 requests failed", Some("errorRate"))
        );
    }
}
