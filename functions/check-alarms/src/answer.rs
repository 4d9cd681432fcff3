//! Applies an operator's answer, or that none came in time.

use crossfade::{
    domain::release::{Phase, Release},
    error::Error,
    wire::{state::State, task::Task},
};

use crate::Handler;

/// Whether the state that waits for an operator comes right before this one.
pub(crate) fn has_waited(task: &Task) -> bool {
    matches!(&task.state, State::InFlight(in_flight) if in_flight.has_waited())
}

impl Handler {
    /// Takes in the answer. Looks at no alarm: one that has fired would have ended the wait.
    pub(crate) async fn answered(&self, task: Task) -> Result<Release, Error> {
        let (release, _) = task.state.in_flight()?.answered(task.now)?;
        let phase = &release.progress().phase;
        if matches!(phase, Phase::Baking | Phase::Propagating(_)) {
            // An operator has resumed the bake that was held.
            self.ledger.resumed(&task.execution).await?;
        }
        tracing::info!(
            event = "decision_applied",
            deployment.id = task.execution,
            phase = <&str>::from(phase),
            "Applied an operator's decision."
        );
        Ok(release)
    }
}

#[cfg(test)]
mod tests {
    use crossfade::wire::graph::Next;
    use serde_json::{Value, json};

    use super::*;

    fn task(more: &Value) -> Task {
        let mut release = json!({
            "phase": "inFlight", "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 60}, {"weight": 100, "bakeSeconds": 0}]},
            "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "leave"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60},
            "steps": [{"weight": 10, "startedAt": "2026-11-20T12:00:00Z"}],
            "decision": "ask", "resume": "shift", "reason": "no data"});
        for (field, value) in more.as_object().unwrap() {
            release[field] = value.clone();
        }
        let task = json!({"at": "CheckAlarms", "execution": "e", "now": "2026-11-20T12:00:00Z",
            "state": release});
        serde_json::from_value(task).unwrap()
    }

    /// What follows, and the release.
    fn ended(more: &Value) -> (Next, Release) {
        let task = task(more);
        assert!(has_waited(&task), "{more}");
        let (release, _) = task.state.in_flight().unwrap().answered(task.now).unwrap();
        (Next::of(&release), release)
    }

    #[allow(clippy::needless_pass_by_value)] // What `json!` makes.
    fn held(answer: Value, resume: &str) -> Value {
        json!({"decision": "hold", "resume": resume, "answer": answer})
    }

    #[test]
    fn tells_an_answer_from_a_look() {
        assert!(!has_waited(&task(&json!({}))));
        assert!(has_waited(&task(
            &json!({"approvalAnswer": {"decision": "approve"}})
        )));
        assert!(has_waited(&task(
            &json!({"unanswered": {"Error": "States.Timeout"}})
        )));
    }

    #[test]
    fn promotes_only_what_has_the_status_of_a_success() {
        for more in [
            held(json!({"decision": "promote"}), "shift"),
            json!({"approvalAnswer": {"decision": "promote"}}),
            held(json!({"decision": "resume"}), "promote"),
        ] {
            let (next, release) = ended(&more);
            assert_eq!(next, Next::Finalize, "{more}");
            assert_eq!(json!(release)["deploymentStatus"], "SUCCESSFUL");
        }
        let (next, release) = ended(&held(json!({"decision": "resume"}), "shift"));
        assert_eq!(next, Next::Shift);
        assert_eq!(json!(release).get("deploymentStatus"), None);
        assert_eq!(
            ended(&held(json!({"decision": "resume"}), "bakeOn")).0,
            Next::Bake
        );
    }

    #[test]
    fn follows_the_policy_when_nobody_answers_and_a_word_without_a_name() {
        let asking = |policy: &str| {
            json!({"unanswered": {"Error": "States.Timeout"},
            "approval": {"timeoutSeconds": 60, "onTimeout": policy, "onDenied": "hold"}})
        };
        for (policy, next) in [
            ("hold", Next::Hold),
            ("proceed", Next::Shift),
            ("rollBack", Next::RollBack),
        ] {
            let (is, release) = ended(&asking(policy));
            assert_eq!(
                (is, release.progress().answers.len()),
                (next, 1),
                "{policy}"
            );
        }
        let unnamed = json!({"approvalAnswer": {"decision": "approve", "by": {"a": 1}}});
        let (next, release) = ended(&unnamed);
        assert_eq!(
            (next, &release.progress().answers[0].by),
            (Next::Shift, &None)
        );
        assert_eq!(release.progress().reason, "no data");
    }

    #[test]
    fn rolls_back_on_an_answer_that_is_none_and_shows_it() {
        let none = [
            json!({"decision": "perhaps"}),
            json!({"decision": "silence"}),
            json!({}),
            json!(null),
            json!([1]),
            json!("resume"),
        ];
        for answer in none {
            for more in [
                held(answer.clone(), "shift"),
                json!({"approvalAnswer": answer}),
            ] {
                let (next, release) = ended(&more);
                assert_eq!(next, Next::RollBack, "{answer}");
                assert_eq!(
                    release.progress().reason,
                    format!(
                        "unrecognized answer {answer}; expected an answer that was offered; no data"
                    )
                );
            }
        }
    }
}
