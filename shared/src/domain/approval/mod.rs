//! What operators are asked, and what they answer.

use deserr::Deserr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    Timestamp, analysis::check::Evidence, approval::nonce::NonceHash, decision::Decision,
    weight::Weight,
};

pub mod nonce;

/// The most characters of an operator's name that are kept.
pub const MAX_NAME: usize = 100;

/// The most characters of an operator's reason that are kept.
pub const MAX_REASON: usize = 1000;

/// What happens when no operator answers a hold in time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum OnHoldTimeout {
    /// All traffic returns to blue.
    #[default]
    RollBack,
    /// Traffic stays split as it is, and the locks stay taken.
    Leave,
}

/// What happens when no operator answers an approval in time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum OnApprovalTimeout {
    /// Traffic is held as it is, and an operator is called again.
    #[default]
    Hold,
    /// All traffic returns to blue.
    RollBack,
    /// It goes on as if it had been approved.
    Proceed,
}

/// What happens when an operator rejects what the strategy asks approval for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum OnDenied {
    /// Traffic is held as it is until an operator resumes, promotes or rolls back.
    #[default]
    Hold,
    /// All traffic returns to blue.
    RollBack,
}

/// What happens while an approval is awaited, and if none comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// How long to wait for an operator, seconds.
    pub timeout_seconds: u32,
    /// What to do when no operator answered.
    pub on_timeout: OnApprovalTimeout,
    /// What to do when it is denied.
    pub on_denied: OnDenied,
}

/// Defaults for releases that began before approvals could be configured: 24 hours, then one reminder.
impl Default for Approval {
    fn default() -> Self {
        Self {
            timeout_seconds: 86_400,
            on_timeout: OnApprovalTimeout::default(),
            on_denied: OnDenied::default(),
        }
    }
}

/// What the execution waits for an operator for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QuestionKind {
    /// Whether to go to the next step: the plan asks.
    Approval,
    /// What to do: the traffic is held.
    Hold,
}

impl QuestionKind {
    /// The words that end the wait, in the order in which they are offered.
    #[must_use]
    pub fn words(self) -> &'static [AnswerKind] {
        match self {
            Self::Approval => &[AnswerKind::Approve, AnswerKind::Reject],
            Self::Hold => &[
                AnswerKind::Resume,
                AnswerKind::Promote,
                AnswerKind::RollBack,
            ],
        }
    }
}

/// An operator's answer, or that there was none.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantNames,
    JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum AnswerKind {
    /// To an approval: go to the next step.
    Approve,
    /// To an approval: do not.
    Reject,
    /// To a hold: go on where it stopped.
    Resume,
    /// To a hold: go to the next step without the rest of the bake. To an approval: ask it again, for a step that
    /// the plan wants approved is not taken by this.
    Next,
    /// To either: all traffic to green now.
    Promote,
    /// To either: all traffic back to blue.
    RollBack,
    /// No operator answered an approval in time.
    Silence,
}

/// What ends a wait: the output that `SendTaskSuccess` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What to do.
    pub decision: AnswerKind,
    /// Who says so, as free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Answer {
    /// Returns an answer without a name. See [`Answer::by`], [`Answer::because`].
    #[must_use]
    pub fn new(decision: AnswerKind) -> Self {
        Self {
            decision,
            by: None,
            reason: None,
        }
    }

    /// Returns `None` for an unrecognized answer: `SendTaskSuccess` accepts any JSON. Drops a name or a reason
    /// that is not text.
    #[must_use]
    pub fn read(given: &Value) -> Option<Self> {
        let word: AnswerKind = given.get("decision")?.as_str()?.parse().ok()?;
        let text = |field: &str| given.get(field).and_then(Value::as_str);
        (word != AnswerKind::Silence).then(|| Self {
            decision: word,
            by: text("by").and_then(|by| kept(by, MAX_NAME)),
            reason: text("reason").and_then(|reason| kept(reason, MAX_REASON)),
        })
    }

    /// The same, with who answers: cut to [`MAX_NAME`] characters.
    #[must_use]
    pub fn by(mut self, name: &str) -> Self {
        self.by = kept(name, MAX_NAME);
        self
    }

    /// The same, with why: cut to [`MAX_REASON`] characters.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = kept(reason, MAX_REASON);
        self
    }
}

/// What is kept of an operator's text: without control characters and space around; none when empty.
fn kept(words: &str, most: usize) -> Option<String> {
    let plain: String = words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let plain: String = plain.trim().chars().take(most).collect();
    (!plain.is_empty()).then_some(plain)
}

/// An answer that was given, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerRecord {
    /// What was answered.
    pub decision: AnswerKind,
    /// Who answered, as free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the execution went on with it.
    pub at: Timestamp,
    /// Green's weight at that time, percent.
    pub weight: Weight,
}

impl AnswerRecord {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let who = self.by.as_deref().unwrap_or("an operator");
        let mut told = match self.decision {
            AnswerKind::Approve => format!("{who} approved it"),
            AnswerKind::Reject => format!("{who} rejected it"),
            AnswerKind::Resume => format!("{who} resumed it"),
            AnswerKind::Next => format!("{who} moved it to its next step"),
            AnswerKind::Promote => format!("{who} promoted it"),
            AnswerKind::RollBack => format!("{who} asked to roll it back"),
            AnswerKind::Silence => "no operator answered the approval in time".to_owned(),
        };
        if let Some(reason) = &self.reason {
            told.push_str(": ");
            told.push_str(reason);
        }
        told
    }
}

/// What is on record while an operator is asked: what there is to know, and how an answer is known to be
/// from the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// What for.
    pub kind: QuestionKind,
    /// Since when.
    pub at: Timestamp,
    /// Until when an answer is waited for.
    pub until: Timestamp,
    /// Green's weight meanwhile, percent.
    pub weight: Weight,
    /// What an approval, or `resume`, leads to: `shift`, `bakeOn` or `promote`.
    pub next: Decision,
    /// The weight that this is, where it is another step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_weight: Option<Weight>,
    /// What a rejection of an approval leads to; absent of a hold, and where a former version of Crossfade asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_denied: Option<OnDenied>,
    /// What happens when no operator answers, in words.
    pub on_silence: String,
    /// Why an operator is asked, in words and numbers.
    pub reason: String,
    /// The numbers.
    #[serde(default)]
    pub evidence: Evidence,
    /// The hash of the nonce in the link; none once it is of no use any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_hash: Option<NonceHash>,
}

impl Question {
    /// What a word does, in words.
    #[must_use]
    pub fn meaning(&self, word: AnswerKind) -> String {
        let go_on = || match (self.next, self.next_weight) {
            (Decision::Shift, Some(weight)) => format!("goes on to {weight} on green"),
            (Decision::BakeOn, _) => format!("goes on watching {} on green", self.weight),
            _ => "promotes green".to_owned(),
        };
        match word {
            AnswerKind::Approve | AnswerKind::Resume => go_on(),
            AnswerKind::Next => {
                "goes one step, without the rest of the bake; an approval is still asked".to_owned()
            }
            AnswerKind::Promote => "puts all traffic on green now".to_owned(),
            AnswerKind::Reject => match self.on_denied {
                Some(OnDenied::Hold) => format!(
                    "does not go on: traffic is held with {} on green, and an operator is asked what to do",
                    self.weight
                ),
                Some(OnDenied::RollBack) => self.back().to_owned(),
                None => "does not go on, and does what the request's onDenied says".to_owned(),
            },
            AnswerKind::RollBack => self.back().to_owned(),
            AnswerKind::Silence => self.on_silence.clone(),
        }
    }
}

impl Question {
    fn back(&self) -> &'static str {
        if self.weight == Weight::ZERO {
            "ends the release, and leaves all traffic on blue"
        } else {
            "puts all traffic back on blue"
        }
    }
}

/// What an operator can request of a release that waits for no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperatorAction {
    /// Stop at the present weight.
    Hold,
    /// End the present bake, and go one step.
    Next,
    /// Skip the rest of the plan.
    Promote,
}

/// The request as it waits in the ledger for the next look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorRequest {
    /// What.
    pub verb: OperatorAction,
    /// Who requests it, as free text.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl OperatorRequest {
    /// Returns a request, with its texts truncated as an answer's are.
    #[must_use]
    pub fn new(verb: OperatorAction, by: &str, reason: Option<&str>, at: Timestamp) -> Self {
        Self {
            verb,
            by: kept(by, MAX_NAME).unwrap_or_else(|| "an operator".to_owned()),
            reason: reason.and_then(|reason| kept(reason, MAX_REASON)),
            at,
        }
    }

    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let what = match self.verb {
            OperatorAction::Hold => "asked to hold it",
            OperatorAction::Next => "ended the bake of this step",
            OperatorAction::Promote => "promoted it, skipping the rest of the plan",
        };
        match &self.reason {
            Some(reason) => format!("{} {what}: {reason}", self.by),
            None => format!("{} {what}", self.by),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rejects_unrecognized_answers() {
        let read = |state: Value| Answer::read(&state);
        assert_eq!(
            read(json!({"decision": "approve"})),
            Some(Answer::new(AnswerKind::Approve))
        );
        for wrong in [
            json!(null),
            json!("approve"),
            json!({}),
            json!({"decision": "yes"}),
            json!({"decision": 1}),
            json!({"decision": "silence"}),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn truncates_and_cleans_operator_text() {
        let answer = Answer::new(AnswerKind::Reject)
            .by(&"é".repeat(300))
            .because(" looks\r\nodd\u{7} ");
        assert_eq!(answer.by.map(|by| by.chars().count()), Some(MAX_NAME));
        assert_eq!(answer.reason.as_deref(), Some("looks  odd"));
        assert_eq!(Answer::new(AnswerKind::Approve).by(" \n ").by, None);
    }

    #[test]
    fn round_trips_answers() {
        for word in [
            AnswerKind::Approve,
            AnswerKind::Reject,
            AnswerKind::Resume,
            AnswerKind::Next,
            AnswerKind::Promote,
            AnswerKind::RollBack,
            AnswerKind::Silence,
        ] {
            let text: &str = word.into();
            assert_eq!(text.parse(), Ok(word));
            assert_eq!(json!(word), json!(text));
        }
    }
}
