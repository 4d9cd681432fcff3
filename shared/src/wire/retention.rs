//! What the states of the retention state machine hand to one another.

use serde::{Deserialize, Serialize};

use crate::domain::{
    Timestamp,
    names::{Application, FunctionName},
    retention::{Cleanup, Kept},
};

/// How a promoted release stands when blue need not be kept for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetentionStatus {
    /// It is still the last that was promoted: its retention ends now.
    Over,
    /// Another release of the application was promoted after it, which ended its retention then.
    Superseded,
    /// It was taken back within its retention: nothing is deleted, green is kept for debugging.
    TakenBack,
    /// The ledger does not know it any more.
    Unknown,
}

/// The state of one retention: what `StartRetention` gives, and what the states have added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// The release's execution, by its ARN.
    pub deployment: String,
    /// The application that was released.
    pub application: Application,
    /// Until when blue is kept. Whole seconds.
    pub retain_until: Timestamp,
    /// The releases, by their executions' ARNs, whose retention this one's has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<String>,
    /// How the release stands; none before its time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<RetentionStatus>,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is going to be deleted in this round and what is kept: of some of the functions, where
    /// they are too many for one.
    #[serde(default)]
    pub functions: Vec<Cleanup>,
    /// How many of the release's functions need no further round.
    #[serde(default)]
    pub done: usize,
    /// Whether there are others.
    #[serde(default)]
    pub more: bool,
    /// How many versions have been deleted, in all rounds.
    #[serde(default)]
    pub deleted: u32,
    /// What was to be deleted and was needed by then, in all rounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_deleted: Vec<NotDeleted>,
}

/// How many entries say what was to be deleted and stayed: a state's output has 256 KiB.
const MOST_NOT_DELETED: usize = 200;

impl Retention {
    /// Lists versions that were to be deleted and stayed, as far as there is room.
    pub fn keep(&mut self, function: &FunctionName, kept: impl IntoIterator<Item = Kept>) {
        let room = MOST_NOT_DELETED.saturating_sub(self.not_deleted.len());
        let kept = kept.into_iter().take(room);
        self.not_deleted.extend(kept.map(|kept| NotDeleted {
            function_name: function.clone(),
            kept,
        }));
    }
}

/// Versions that were to be deleted and stayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotDeleted {
    /// The function.
    pub function_name: FunctionName,
    /// The versions, with why.
    #[serde(flatten)]
    pub kept: Kept,
}
