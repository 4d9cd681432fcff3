//! What people are asked, and what they answer.

use deserr::Deserr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    Timestamp, analysis::check::Evidence, approval::nonce::NonceHash, decision::Decision,
    weight::Weight,
};

pub mod nonce;

/// The most characters of a person's name that are kept.
pub const MAX_NAME: usize = 100;

/// The most characters of a person's reason that are kept.
pub const MAX_REASON: usize = 1000;

/// What happens when nobody answers a hold in time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum OnHoldTimeout {
    /// All traffic goes back to blue.
    #[default]
    RollBack,
    /// Traffic stays split as it is, and the locks stay taken.
    Leave,
}

/// What happens when nobody answers an approval in time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum OnApprovalTimeout {
    /// Traffic is held as it is, and a person is called again.
    #[default]
    Hold,
    /// All traffic goes back to blue.
    RollBack,
    /// It goes on as if it had been approved.
    Proceed,
}

/// What happens when a person rejects what the strategy asks approval for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum OnDenied {
    /// Traffic is held as it is until a person resumes, promotes or rolls back.
    #[default]
    Hold,
    /// All traffic goes back to blue.
    RollBack,
}

/// What happens while an approval is awaited, and if none comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// How long to wait for a person, seconds.
    pub timeout_seconds: u32,
    /// What to do when nobody answered.
    pub on_timeout: OnApprovalTimeout,
    /// What to do when it is denied.
    pub on_denied: OnDenied,
}

/// A day, and then a person is called once more: what a release has that began before there was a word
/// for it.
impl Default for Approval {
    fn default() -> Self {
        Self {
            timeout_seconds: 86_400,
            on_timeout: OnApprovalTimeout::default(),
            on_denied: OnDenied::default(),
        }
    }
}

/// What the execution waits for a person for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AskedKind {
    /// Whether to go to the next step: the plan asks.
    Approval,
    /// What to do: the traffic is held.
    Hold,
}

impl AskedKind {
    /// The words that end the wait, in the order in which they are offered.
    #[must_use]
    pub fn words(self) -> &'static [Word] {
        match self {
            Self::Approval => &[Word::Approve, Word::Reject],
            Self::Hold => &[Word::Resume, Word::Promote, Word::RollBack],
        }
    }
}

/// A person's answer, or that there was none.
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
pub enum Word {
    /// To an approval: go to the next step.
    Approve,
    /// To an approval: do not.
    Reject,
    /// To a hold: go on where it stopped.
    Resume,
    /// To either: all traffic to green now.
    Promote,
    /// To either: all traffic back to blue.
    RollBack,
    /// Nobody answered an approval in time.
    Silence,
}

/// What ends a wait: the output that `SendTaskSuccess` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What to do.
    pub decision: Word,
    /// Who says so, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Answer {
    /// An answer with nobody's name. See [`Answer::by`], [`Answer::because`].
    #[must_use]
    pub fn new(decision: Word) -> Self {
        Self {
            decision,
            by: None,
            reason: None,
        }
    }

    /// Reads an answer from the state, where anybody may have put anything by `SendTaskSuccess`: none where it is no
    /// answer. A name or a reason that is not text is left out.
    #[must_use]
    pub fn read(given: &Value) -> Option<Self> {
        let word: Word = given.get("decision")?.as_str()?.parse().ok()?;
        let text = |field: &str| given.get(field).and_then(Value::as_str);
        (word != Word::Silence).then(|| Self {
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

/// What is kept of a person's words: without control characters and space around; none when empty.
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
pub struct Answered {
    /// What was answered.
    pub decision: Word,
    /// Who answered, in their own words.
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

impl Answered {
    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        let who = self.by.as_deref().unwrap_or("a person");
        let mut told = match self.decision {
            Word::Approve => format!("{who} approved it"),
            Word::Reject => format!("{who} rejected it"),
            Word::Resume => format!("{who} resumed it"),
            Word::Promote => format!("{who} promoted it"),
            Word::RollBack => format!("{who} asked to roll it back"),
            Word::Silence => "nobody answered the approval in time".to_owned(),
        };
        if let Some(reason) = &self.reason {
            told.push_str(": ");
            told.push_str(reason);
        }
        told
    }
}

/// What is on record while a person is asked: what there is to know, and how an answer is known to be
/// from the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// What for.
    pub kind: AskedKind,
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
    /// What happens when nobody answers, in words.
    pub on_silence: String,
    /// Why a person is asked, in words and numbers.
    pub reason: String,
    /// The numbers.
    #[serde(default)]
    pub evidence: Evidence,
    /// The hash of the nonce in the link; none once it is of no use any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_hash: Option<NonceHash>,
}

impl Asked {
    /// What a word does, in words.
    #[must_use]
    pub fn meaning(&self, word: Word) -> String {
        let go_on = || match (self.next, self.next_weight) {
            (Decision::Shift, Some(weight)) => format!("goes on to {weight} on green"),
            (Decision::BakeOn, _) => format!("goes on watching {} on green", self.weight),
            _ => "promotes green".to_owned(),
        };
        match word {
            Word::Approve | Word::Resume => go_on(),
            Word::Promote => "puts all traffic on green now".to_owned(),
            Word::Reject => "does not go on, and does what the request says of that".to_owned(),
            Word::RollBack if self.weight == Weight::ZERO => {
                "ends the release, and leaves all traffic on blue".to_owned()
            }
            Word::RollBack => "puts all traffic back on blue".to_owned(),
            Word::Silence => self.on_silence.clone(),
        }
    }
}

/// What a person wants of a release that waits for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Stop at the present weight.
    Hold,
    /// Skip the rest of the plan.
    Promote,
}

/// That wish, as it waits in the ledger for the next look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// What.
    pub verb: Verb,
    /// Who wishes it, in their own words.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Wish {
    /// A wish, with its words cut as an answer's are.
    #[must_use]
    pub fn new(verb: Verb, by: &str, reason: Option<&str>, at: Timestamp) -> Self {
        Self {
            verb,
            by: kept(by, MAX_NAME).unwrap_or_else(|| "a person".to_owned()),
            reason: reason.and_then(|reason| kept(reason, MAX_REASON)),
            at,
        }
    }

    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        let what = match self.verb {
            Verb::Hold => "asked to hold it",
            Verb::Promote => "promoted it, skipping the rest of the plan",
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
    fn what_is_no_answer_is_none() {
        let read = |state: Value| Answer::read(&state);
        assert_eq!(
            read(json!({"decision": "approve"})),
            Some(Answer::new(Word::Approve))
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
    fn a_persons_words_are_bounded_and_plain() {
        let answer = Answer::new(Word::Reject)
            .by(&"é".repeat(300))
            .because(" looks\r\nodd\u{7} ");
        assert_eq!(answer.by.map(|by| by.chars().count()), Some(MAX_NAME));
        assert_eq!(answer.reason.as_deref(), Some("looks  odd"));
        assert_eq!(Answer::new(Word::Approve).by(" \n ").by, None);
    }

    #[test]
    fn a_word_is_read_as_it_is_written() {
        for word in [
            Word::Approve,
            Word::Reject,
            Word::Resume,
            Word::Promote,
            Word::RollBack,
            Word::Silence,
        ] {
            let text: &str = word.into();
            assert_eq!(text.parse(), Ok(word));
            assert_eq!(json!(word), json!(text));
        }
    }
}
