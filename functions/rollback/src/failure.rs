//! What failed, from what the Catch left in the state.

use crossfade::{
    domain::{
        Timestamp,
        analysis::check::Evidence,
        approval::Answered,
        record::{Record, Why},
        release::{DeploymentStatus, Release},
    },
    error::Detail,
    protocol::rollback,
    wire::{failure::Failure, outcome::EndError},
};
use serde::Deserialize as _;
use serde_json::Value;

/// Returns why the release ends, for the record: the failure's own words and evidence, or the decision's.
pub(crate) fn why(failure: Option<&Failure>, state: &Value, at: Timestamp) -> Why {
    let Some(failure) = failure else {
        let evidence = Evidence::deserialize(&state["evidence"]).unwrap_or_default();
        let reason = state["reason"]
            .as_str()
            .unwrap_or("it was decided to end the release");
        let answered = match state.get("holdExpired") {
            Some(_) => Some(format!(
                "nobody answered the hold within {} s",
                state["hold"]["timeoutSeconds"]
            )),
            None => answered(state, at),
        };
        let reason = match answered {
            Some(answered) => format!("{answered}; {reason}"),
            None => reason.to_owned(),
        };
        return Why {
            reason,
            evidence,
            at,
        };
    };
    let Detail {
        reason, evidence, ..
    } = failure.detail();
    let is_ours = failure.named().is_some() || evidence.is_some();
    Why {
        reason: if is_ours {
            reason
        } else {
            format!("{}: {reason}", failure.error)
        },
        evidence: evidence.map(|evidence| *evidence).unwrap_or_default(),
        at,
    }
}

/// Whether a failure is of a state before the first shift, and of no other: then no function can be about to move
/// traffic.
pub(crate) fn is_before_any_shift(failure: &Failure) -> bool {
    matches!(
        failure.named(),
        Some(EndError::ValidationFailed | EndError::MigrationFailed)
    )
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

/// The error that an execution ends with, and how its deployment then stands, decided from what is on record
/// of it: nothing, where it took no locks.
///
/// Before the first shift it is rejected, whatever failed and whoever refused, and its error is one that
/// speaks of no rollback: [`Error::ValidationFailed`](crossfade::error::Error) for what the contract has no
/// other name for. After that it is rolled back, or held where somebody else's value stands, and its error is
/// none that says that nothing was begun.
pub(crate) fn ending(
    failure: Option<&Failure>,
    record: Option<&Record>,
    why: &Why,
    changed_outside: bool,
) -> (EndError, DeploymentStatus) {
    use EndError::{
        ChangedOutside, DeploymentHeld, DeploymentInProgress, DeploymentRolledBack, InvalidRequest,
        MigrationFailed, RollbackFailed, ValidationFailed,
    };
    let status = record.map_or(DeploymentStatus::Rejected, |record| {
        rollback::ended(record, changed_outside)
    });
    // A reason that was on record before this failure's own, such as an alarm's, is what it ends with.
    let is_own = record.is_none_or(|record| record.why.as_ref() == Some(why));
    let named = failure.and_then(Failure::named).filter(|_| is_own);
    let is_rejected = status == DeploymentStatus::Rejected;
    let error = match named {
        _ if changed_outside => ChangedOutside,
        Some(error @ (ChangedOutside | ValidationFailed | MigrationFailed)) => error,
        Some(error @ (InvalidRequest | DeploymentInProgress)) if is_rejected => error,
        Some(error @ (DeploymentHeld | RollbackFailed)) if !is_rejected => error,
        Some(_) | None if is_rejected => ValidationFailed,
        Some(_) | None => DeploymentRolledBack,
    };
    (error, status)
}

#[cfg(test)]
mod tests {
    use crossfade::domain::weight::Weight;
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
        let named = failure.as_ref().and_then(Failure::named);
        assert_eq!(named, Some(EndError::ChangedOutside));
        assert_eq!(
            why(failure.as_ref(), &state, now()).reason,
            "chat:production is gone"
        );
    }

    fn failed(error: &str) -> (Value, Option<Failure>) {
        let state = json!({"failure": {"Error": error, "Cause": "x"}});
        let failure = Failure::of(&state);
        (state, failure)
    }

    fn record(weight: Weight, shift_begun: bool, why: &Why) -> Record {
        let release: Release = serde_json::from_value(json!({
            "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 300}, {"weight": 100, "bakeSeconds": 0}]},
            "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60}}))
        .unwrap();
        Record {
            weight,
            shift_begun,
            why: Some(why.clone()),
            ..Record::of("arn:aws:states:r:1:execution:m:chat-1", &release)
        }
    }

    /// All that a state before the first shift can fail with: the contract's, and what it has no name for.
    const ERRORS: [&str; 19] = [
        "InvalidRequest",
        "DeploymentInProgress",
        "ChangedOutside",
        "ValidationFailed",
        "MigrationFailed",
        "DeploymentRolledBack",
        "DeploymentHeld",
        "RollbackFailed",
        "Refused",
        "Transient",
        "States.Timeout",
        "States.TaskFailed",
        "States.DataLimitExceeded",
        "Lambda.TooManyRequestsException",
        "Lambda.Unknown",
        "Sandbox.Timedout",
        "Runtime.ExitError",
        "Unhandled",
        "",
    ];

    #[test]
    fn rejects_whatever_fails_before_the_first_shift_and_names_no_rollback() {
        for error in ERRORS {
            let (state, failure) = failed(error);
            let why = super::why(failure.as_ref(), &state, now());
            let launched = record(Weight::ZERO, false, &why);
            let alarm = Why {
                reason: "alarm a fired".into(),
                ..why.clone()
            };
            let told_back = record(Weight::ZERO, false, &alarm);
            for record in [None, Some(&launched), Some(&told_back)] {
                for changed_outside in [false, true] {
                    let (name, status) = ending(failure.as_ref(), record, &why, changed_outside);
                    assert_eq!(status, DeploymentStatus::Rejected, "{error} {record:?}");
                    let speaks = [
                        EndError::DeploymentRolledBack,
                        EndError::DeploymentHeld,
                        EndError::RollbackFailed,
                    ];
                    assert!(!speaks.contains(&name), "{error}: {name}");
                }
            }
            let (name, _) = ending(failure.as_ref(), Some(&launched), &why, false);
            let own = ERRORS[..5].contains(&error);
            assert_eq!(
                <&str>::from(name),
                if own { error } else { "ValidationFailed" },
                "{error}"
            );
            let (name, _) = ending(failure.as_ref(), Some(&told_back), &why, false);
            assert_eq!(
                name,
                EndError::ValidationFailed,
                "the alarm came first: {error}"
            );
        }
    }

    #[test]
    fn rolls_back_whatever_fails_once_green_may_have_had_traffic() {
        for error in ERRORS {
            let (state, failure) = failed(error);
            let why = super::why(failure.as_ref(), &state, now());
            for (weight, shift_begun) in [(Weight::ZERO, true), (Weight::FULL, false)] {
                let record = record(weight, shift_begun, &why);
                let (name, status) = ending(failure.as_ref(), Some(&record), &why, false);
                assert_eq!(status, DeploymentStatus::RolledBack, "{error}");
                assert!(
                    ![EndError::InvalidRequest, EndError::DeploymentInProgress].contains(&name),
                    "{error}: {name}"
                );
                let (name, status) = ending(failure.as_ref(), Some(&record), &why, true);
                assert_eq!(
                    (name, status),
                    (EndError::ChangedOutside, DeploymentStatus::Held)
                );
            }
        }
    }

    #[test]
    fn the_reason_names_an_error_that_is_not_of_the_contract() {
        for error in ["Sandbox.Timedout", "States.Timeout", "Refused"] {
            let (state, failure) = failed(error);
            assert_eq!(failure.as_ref().and_then(Failure::named), None);
            let why = super::why(failure.as_ref(), &state, now());
            assert!(why.reason.starts_with(error), "{error}: {}", why.reason);
        }
    }

    #[test]
    fn a_reason_brings_its_evidence() {
        let why = json!({"reason": "1 of 1 smoke tests failed", "evidence": {"validation": [{"test": "health"}]}});
        let state = caught("ValidationFailed", &why.to_string());
        let why = super::why(Failure::of(&state).as_ref(), &state, now());
        assert_eq!(why.reason, "1 of 1 smoke tests failed");
        assert_eq!(why.evidence.validation, [json!({"test": "health"})]);
    }

    #[test]
    fn says_that_nobody_answered_a_hold_and_nothing_of_the_kind_of_a_later_timeout() {
        let held = json!({"decision": "hold", "reason": "no data", "hold": {"timeoutSeconds": 60},
            "evidence": {"decidedBy": "noData"}});
        let mut expired = held.clone();
        expired["holdExpired"] = json!({"Error": "States.Timeout", "Cause": ""});
        let failure = Failure::of(&expired);
        assert!(failure.is_none(), "it is the request's own word");
        let why = super::why(failure.as_ref(), &expired, now());
        assert_eq!(why.reason, "nobody answered the hold within 60 s; no data");
        assert_eq!(why.evidence.decided_by.as_deref(), Some("noData"));
        let mut promoting = held;
        promoting["failure"] = json!({"Error": "States.Timeout", "Cause": ""});
        let why = super::why(Failure::of(&promoting).as_ref(), &promoting, now());
        assert_eq!(why.reason, "States.Timeout: ");
    }

    #[test]
    fn a_decision_to_go_back_has_its_own_reason() {
        let state = json!({"decision": "rollBack", "reason": "5 of 20 requests failed",
            "evidence": {"decidedBy": "errorRate"}});
        let failure = Failure::of(&state);
        let why = super::why(failure.as_ref(), &state, now());
        let shifted = record(Weight::FULL, true, &why);
        let ending = ending(failure.as_ref(), Some(&shifted), &why, false);
        assert_eq!(
            ending,
            (EndError::DeploymentRolledBack, DeploymentStatus::RolledBack)
        );
        assert_eq!(
            (why.reason.as_str(), why.evidence.decided_by.as_deref()),
            ("5 of 20 requests failed", Some("errorRate"))
        );
    }
}
