//! Taking in what an operator answered, or that nobody did.

use crossfade::{
    domain::{
        approval::{AskedKind, Word},
        release::{DeploymentStatus, Release},
    },
    error::Error,
    wire::{
        graph::{Next, Output},
        task::{Task, state},
    },
};
use serde_json::Value;

use crate::Handler;

/// The most characters of an answer that is none which are shown.
const SHOWN: usize = 200;

/// The wait for an operator that has just ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waited {
    kind: AskedKind,
    /// What was answered, as it was sent; none where nobody answered.
    answer: Option<Value>,
}

impl Waited {
    /// Reads what the states that wait have added to the state. None where none of them came before, and in an
    /// execution that began with the definition of version 0.1, which chooses by the answer itself.
    pub(crate) fn of(task: &Task) -> Option<Self> {
        task.at?;
        let of = |field: &str| task.state.get(field).cloned();
        let (kind, answer) = match (of("answer"), of("approvalAnswer"), of("unanswered")) {
            (Some(answer), _, _) => (AskedKind::Hold, Some(answer)),
            (None, Some(answer), _) => (AskedKind::Approval, Some(answer)),
            (None, None, Some(_)) => (AskedKind::Approval, None),
            (None, None, None) => return None,
        };
        Some(Self { kind, answer })
    }

    /// Returns the word of the answer; none where it is no answer.
    fn word(&self) -> Option<Word> {
        match &self.answer {
            None => Some(Word::Silence),
            Some(answer) => {
                let word = answer.get("decision")?.as_str()?.parse().ok();
                word.filter(|word| *word != Word::Silence)
            }
        }
    }

    /// Takes the answer in, and returns what follows.
    fn end(&self, release: &mut Release) -> Next {
        let word = self.word();
        if let (None, Some(answer)) = (word, &self.answer) {
            let shown: String = answer.to_string().chars().take(SHOWN).collect();
            release.reason = format!(
                "a person answered {shown}, which is no answer; {}",
                release.reason
            );
        }
        let next = Next::answered(release, self.kind, word);
        if next == Next::Finalize {
            release.deployment_status = Some(DeploymentStatus::Successful);
        }
        next
    }
}

impl Handler {
    /// Takes in the answer. Looks at no alarm: one that has fired would have ended the wait.
    pub(crate) async fn answered(
        &self,
        task: Task,
        waited: &Waited,
    ) -> Result<Output<Release>, Error> {
        let mut release: Release = state(task.state)?;
        release.take_answers(task.now);
        let next = waited.end(&mut release);
        if next == Next::Bake {
            // An operator has resumed the bake that was held.
            self.ledger.resumed(&task.execution).await?;
        }
        tracing::info!(deployment.id = task.execution, next = ?next, "Took in an answer.");
        Ok(Output {
            next,
            state: release,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(more: &Value) -> Value {
        let mut release = json!({
            "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 60}, {"weight": 100, "bakeSeconds": 0}]},
            "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "leave"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60},
            "steps": [{"weight": 10, "startedAt": "2026-11-20T12:00:00Z"}],
            "decision": "ask", "resume": "shift", "reason": "no data"});
        for (field, value) in more.as_object().unwrap() {
            release[field] = value.clone();
        }
        release
    }

    fn task(state: &Value) -> Task {
        serde_json::from_value(
            json!({"at": "CheckAlarms", "execution": "e", "now": "2026-11-20T12:00:00Z",
            "state": state}),
        )
        .unwrap()
    }

    /// What follows, and the release.
    fn ended(more: &Value) -> (Next, Release) {
        let task = task(&release(more));
        let waited = Waited::of(&task).unwrap();
        let mut release: Release = serde_json::from_value(task.state.clone()).unwrap();
        release.take_answers(task.now);
        (waited.end(&mut release), release)
    }

    #[test]
    fn tells_an_answer_from_a_look() {
        assert_eq!(Waited::of(&task(&release(&json!({})))), None);
        let approval = json!({"approvalAnswer": {"decision": "approve"}});
        let waited = Waited::of(&task(&release(&approval))).unwrap();
        assert_eq!(waited.kind, AskedKind::Approval);
        let hold = Waited::of(&task(&release(&json!({"answer": null})))).unwrap();
        assert_eq!(
            (hold.kind, hold.answer),
            (AskedKind::Hold, Some(json!(null)))
        );
        let mut before = task(&release(&approval));
        before.at = None;
        assert_eq!(Waited::of(&before), None);
    }

    #[test]
    fn promotes_only_what_has_the_status_of_a_success() {
        for more in [
            json!({"answer": {"decision": "promote"}}),
            json!({"approvalAnswer": {"decision": "promote"}}),
            json!({"answer": {"decision": "resume"}, "resume": "promote"}),
        ] {
            let (next, release) = ended(&more);
            assert_eq!(next, Next::Finalize, "{more}");
            assert_eq!(
                release.deployment_status,
                Some(DeploymentStatus::Successful)
            );
        }
        let (next, release) = ended(&json!({"answer": {"decision": "resume"}}));
        assert_eq!((next, release.deployment_status), (Next::Shift, None));
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
            assert_eq!((is, release.answers.len()), (next, 1), "{policy}");
        }
        let unnamed = json!({"approvalAnswer": {"decision": "approve", "by": {"a": 1}}});
        let (next, release) = ended(&unnamed);
        assert_eq!((next, release.answers.len()), (Next::Shift, 0));
        assert_eq!(release.reason, "no data");
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
            for field in ["answer", "approvalAnswer"] {
                let (next, release) = ended(&json!({ field: answer }));
                assert_eq!(next, Next::RollBack, "{answer}");
                assert_eq!(
                    release.reason,
                    format!("a person answered {answer}, which is no answer; no data")
                );
            }
        }
    }
}
