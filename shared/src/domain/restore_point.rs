//! What going back to blue needs to know.

use serde::{Deserialize, Serialize};

use super::{about::About, plan::Plan, target::Target, traffic::Splitter};

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What the alarm path needs to put traffic back: the targets with their revisions, and the plan
/// that says which states are ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePoint {
    /// What the release is, in its team's words: for the notice of its rollback.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub about: About,
    /// The targets.
    pub functions: Vec<Target>,
    /// The plan.
    pub plan: Plan,
    /// What splits the traffic.
    #[serde(default)]
    pub traffic: Splitter,
    /// Whether only operators put it back, once green has had traffic: blue cannot work with what the
    /// migration has made of the database.
    #[serde(default, skip_serializing_if = "is_false")]
    pub freezes: bool,
}

impl RestorePoint {
    /// Whether it makes an alias that there was not before, so that going back is deleting it.
    #[must_use]
    pub fn makes_an_alias(&self) -> bool {
        let functions = &self.functions;
        self.traffic == Splitter::Alias && functions.iter().any(|one| one.blue_version.is_none())
    }

    /// The same, not knowing what the aliases' revisions are: they are read before they are written.
    #[must_use]
    pub fn unread(mut self) -> Self {
        for target in &mut self.functions {
            target.revision_id = None;
        }
        self
    }
}
