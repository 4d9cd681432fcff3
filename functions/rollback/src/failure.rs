//! What failed, from what the Catch left in the state.

use crossfade::{
    domain::{
        Timestamp,
        analysis::check::Evidence,
        approval::AnswerRecord,
        record::{Record, Why},
        release::Release,
        status::DeploymentStatus,
    },
    error::Detail,
    protocol::rollback,
    wire::{failure::Failure, outcome::EndError, state::InFlight},
};

/// Returns the reason of a decision to roll back, for the record: the decision's text and evidence, and the
/// operator's answer that led to it.
pub(crate) fn why_decided(
    in_flight: Option<&InFlight>,
    answered: Option<&Release>,
    at: Timestamp,
) -> Why {
    let (Some(in_flight), Some(release)) = (in_flight, answered) else {
        return Why {
            reason: "it was decided to end the release".to_owned(),
            evidence: Evidence::default(),
            at,
        };
    };
    let progress = release.progress();
    let reason = match progress.reason.as_str() {
        "" => "it was decided to end the release",
        reason => reason,
    };
    let led_by = if in_flight.is_hold_expired() {
        let seconds = release.spec.hold.timeout_seconds;
        Some(format!("no operator answered the hold within {seconds} s"))
    } else {
        progress.answers.last().map(AnswerRecord::describe)
    };
    Why {
        reason: match led_by {
            Some(led_by) => format!("{led_by}; {reason}"),
            None => reason.to_owned(),
        },
        evidence: progress.evidence.clone(),
        at,
    }
}

/// Returns why the release ends that something failed in, for the record: the failure's own words and evidence.
pub(crate) fn why_it_failed(failure: &Failure, at: Timestamp) -> Why {
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

/// The error that an execution ends with, and how its deployment then stands, decided from what is on record
/// of it: nothing, where it took no locks.
///
/// Before the first shift it is rejected, whatever failed, and its error is one that
/// names no rollback: [`Error::ValidationFailed`](crossfade::error::Error) for what the contract has no
/// other name for. After that it is rolled back, or held where another writer's value stands, and its error is
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
    use crossfade::{domain::weight::Weight, wire::state::State};
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn caught(error: &str, message: &str) -> Failure {
        let cause = json!({"errorType": error, "errorMessage": message}).to_string();
        Failure {
            error: error.into(),
            cause,
        }
    }

    /// A release that is about to go back, with these fields of its progress.
    fn in_flight(more: &Value) -> InFlight {
        let mut state = json!({
            "application": "chat", "startedAt": "2026-11-20T12:00:00Z", "functions": [],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 300}, {"weight": 100, "bakeSeconds": 0}]},
            "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60}});
        let fields = state.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let state: State = serde_json::from_value(state).unwrap();
        state.in_flight().unwrap()
    }

    fn decided(more: &Value) -> Why {
        let in_flight = in_flight(more);
        let (release, _) = in_flight.clone().answered(now()).unwrap();
        why_decided(Some(&in_flight), Some(&release), now())
    }

    #[test]
    fn keeps_name_and_message_of_contract_errors() {
        let failure = caught("ChangedOutside", "chat:production is gone");
        assert_eq!(failure.named(), Some(EndError::ChangedOutside));
        assert_eq!(
            why_it_failed(&failure, now()).reason,
            "chat:production is gone"
        );
    }

    fn failed(error: &str) -> Failure {
        Failure {
            error: error.into(),
            cause: "x".into(),
        }
    }

    fn record(weight: Weight, shift_begun: bool, why: &Why) -> Record {
        Record {
            weight,
            shift_begun,
            steps: Vec::new(),
            why: Some(why.clone()),
            ..Record::example()
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
            let failure = failed(error);
            let why = why_it_failed(&failure, now());
            let launched = record(Weight::ZERO, false, &why);
            let alarm = Why {
                reason: "alarm a fired".into(),
                ..why.clone()
            };
            let told_back = record(Weight::ZERO, false, &alarm);
            for record in [None, Some(&launched), Some(&told_back)] {
                for changed_outside in [false, true] {
                    let (name, status) = ending(Some(&failure), record, &why, changed_outside);
                    assert_eq!(status, DeploymentStatus::Rejected, "{error} {record:?}");
                    let speaks = [
                        EndError::DeploymentRolledBack,
                        EndError::DeploymentHeld,
                        EndError::RollbackFailed,
                    ];
                    assert!(!speaks.contains(&name), "{error}: {name}");
                }
            }
            let (name, _) = ending(Some(&failure), Some(&launched), &why, false);
            let own = ERRORS[..5].contains(&error);
            assert_eq!(
                <&str>::from(name),
                if own { error } else { "ValidationFailed" },
                "{error}"
            );
            let (name, _) = ending(Some(&failure), Some(&told_back), &why, false);
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
            let failure = failed(error);
            let why = why_it_failed(&failure, now());
            for (weight, shift_begun) in [(Weight::ZERO, true), (Weight::FULL, false)] {
                let record = record(weight, shift_begun, &why);
                let (name, status) = ending(Some(&failure), Some(&record), &why, false);
                assert_eq!(status, DeploymentStatus::RolledBack, "{error}");
                assert!(
                    ![EndError::InvalidRequest, EndError::DeploymentInProgress].contains(&name),
                    "{error}: {name}"
                );
                let (name, status) = ending(Some(&failure), Some(&record), &why, true);
                assert_eq!(
                    (name, status),
                    (EndError::ChangedOutside, DeploymentStatus::Held)
                );
            }
        }
    }

    #[test]
    fn names_foreign_errors_in_the_reason() {
        for error in ["Sandbox.Timedout", "States.Timeout", "Refused"] {
            let failure = failed(error);
            assert_eq!(failure.named(), None);
            let why = why_it_failed(&failure, now());
            assert!(why.reason.starts_with(error), "{error}: {}", why.reason);
        }
    }

    #[test]
    fn carries_evidence_with_the_reason() {
        let why = json!({"reason": "1 of 1 smoke tests failed", "evidence": {"validation": [{"test": "health"}]}});
        let why = why_it_failed(&caught("ValidationFailed", &why.to_string()), now());
        assert_eq!(why.reason, "1 of 1 smoke tests failed");
        assert_eq!(why.evidence.validation, [json!({"test": "health"})]);
    }

    #[test]
    fn says_that_nobody_answered_a_hold() {
        let why = decided(
            &json!({"decision": "hold", "resume": "shift", "reason": "no data",
            "evidence": {"decidedBy": "noData"},
            "holdExpired": {"Error": "States.Timeout", "Cause": ""}}),
        );
        assert_eq!(
            why.reason,
            "no operator answered the hold within 60 s; no data"
        );
        assert_eq!(why.evidence.decided_by.as_deref(), Some("noData"));
        let promoting = Failure {
            error: "States.Timeout".into(),
            cause: String::new(),
        };
        let why = why_it_failed(&promoting, now());
        assert_eq!(why.reason, "States.Timeout: ");
    }

    #[test]
    fn keeps_the_reason_of_a_rollback_decision() {
        let why = decided(
            &json!({"decision": "rollBack", "reason": "5 of 20 requests failed",
            "evidence": {"decidedBy": "errorRate"}}),
        );
        let shifted = record(Weight::FULL, true, &why);
        let ending = ending(None, Some(&shifted), &why, false);
        assert_eq!(
            ending,
            (EndError::DeploymentRolledBack, DeploymentStatus::RolledBack)
        );
        assert_eq!(
            (why.reason.as_str(), why.evidence.decided_by.as_deref()),
            ("5 of 20 requests failed", Some("errorRate"))
        );
    }

    #[test]
    fn names_the_answer_behind_a_rollback() {
        let held = |answer: Value| json!({"decision": "hold", "resume": "shift", "reason": "no data", "answer": answer});
        let why = decided(&held(json!({"decision": "rollBack", "by": "Ada"})));
        assert_eq!(why.reason, "Ada asked to roll it back; no data");
        let why = decided(&held(json!({"decision": "yes"})));
        assert_eq!(
            why.reason,
            "unrecognized answer {\"decision\":\"yes\"}; expected an answer that was offered; no data"
        );
    }
}
