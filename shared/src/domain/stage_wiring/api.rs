//! An API Gateway API as it is: its stages, and what calls a function.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Refusal, Seen, uri};
use crate::domain::names::api::StageName;

/// The kind of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A REST API (version 1).
    Rest,
    /// An HTTP API (version 2).
    Http,
}

/// What an API calls, by operation such as `GET /chat`: the integration's URI, empty without one. What
/// authorizers call is under [`authorizer_label`].
pub type Operations = BTreeMap<String, String>;

/// What kind of call site it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SiteKind {
    /// An integration: what answers requests.
    #[default]
    Integration,
    /// A Lambda authorizer that an operation uses.
    Authorizer,
}

impl SiteKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn is_integration(&self) -> bool {
        *self == Self::Integration
    }
}

/// A place of an API's definition that calls something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// What kind it is.
    pub kind: SiteKind,
    /// What a write names it by.
    pub id: String,
    /// What an operator knows it by, such as `GET /chat` or `authorizer users`.
    pub label: String,
    /// Its URI.
    pub uri: String,
}

/// Returns the label of an authorizer. It is no operation's: those begin with a method in capitals.
#[must_use]
pub fn authorizer_label(name: &str) -> String {
    format!("{AUTHORIZER}{name}")
}

pub(super) const AUTHORIZER: &str = "authorizer ";

/// A stage of an API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its variables; one that is empty is not there.
    pub variables: BTreeMap<String, String>,
    /// Whether changes of the definition go live on it by themselves (HTTP APIs).
    pub auto_deploy: bool,
    /// Whether quick create made it: then it takes no variables.
    pub managed: bool,
    /// Whether it has a canary: then no deployment can go to it (<https://docs.aws.amazon.com/apigateway/latest/developerguide/canary-release.html>).
    pub canary: bool,
    /// What is deployed to it.
    pub deployed: Operations,
    /// What API Gateway says of the last deployment that went by itself; empty when nothing.
    pub message: String,
}

/// An API as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its kind.
    pub kind: Kind,
    /// The integrations of its definition, and the authorizers that its operations use.
    pub sites: Vec<CallSite>,
    /// The operations and authorizers of its definition: what the next deployment publishes.
    pub definition: Operations,
    /// Its stages.
    pub stages: Vec<Stage>,
}

impl Api {
    /// The stage that is meant.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when the API has none of this name.
    pub fn stage(&self, name: &StageName) -> Result<&Stage, Refusal> {
        let found = self.stages.iter().find(|stage| stage.name == name.as_ref());
        found.ok_or_else(|| {
            let names: Vec<_> = self
                .stages
                .iter()
                .map(|stage| stage.name.as_str())
                .collect();
            Refusal::Invalid(format!(
                "frontDoor.stage: the API has no stage {name}; it has {}",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            ))
        })
    }

    /// The functions that a stage's operations call, by name; those of its authorizers where no operation
    /// calls one.
    #[must_use]
    pub fn functions_of(&self, stage: &Stage) -> BTreeSet<String> {
        let called = |authorizers: bool| -> BTreeSet<String> {
            self.definition
                .iter()
                .filter(|(label, _)| label.starts_with(AUTHORIZER) == authorizers)
                .filter_map(|(_, uri)| uri::Call::parse(uri))
                .map(|call| call.reaches(&stage.variables).function)
                .collect()
        };
        let by_operations = called(false);
        if by_operations.is_empty() {
            called(true)
        } else {
            by_operations
        }
    }
}

impl Stage {
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// What a deployment to it would publish beside what this function's calls have become; a name
    /// each. Calls of the function are left out, for they are what is to be published, and so is what other
    /// wirings have changed, for it reaches the same on every stage.
    pub(super) fn lags_behind<'a>(&self, seen: &'a Seen, function: &str) -> Vec<&'a str>
    where
        Self: 'a,
    {
        let ours = |uri: &str| {
            uri::Call::parse(uri)
                .is_some_and(|call| call.head() == seen.head() && call.name == function)
        };
        let same = |operation: &String, uri: &String| match self.deployed.get(operation) {
            Some(deployed) => {
                deployed == uri || ours(deployed) && ours(uri) || seen.is_wiring(deployed, uri)
            }
            None => false,
        };
        let api = &seen.api;
        let mut behind: Vec<&str> = api
            .definition
            .iter()
            .filter(|(operation, uri)| !same(operation, uri))
            .map(|(operation, _)| operation.as_str())
            .collect();
        if self
            .deployed
            .keys()
            .any(|operation| !api.definition.contains_key(operation))
        {
            behind.push("operations that are not in the definition any more");
        }
        behind
    }
}
