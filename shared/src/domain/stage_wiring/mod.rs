//! Wiring a stage of an API Gateway API to an alias, and undoing it: what to write, as functions of
//! what is seen.
//!
//! An API's integrations are shared by its stages, and each stage serves the copy that was deployed to
//! it. So an integration that named the production alias itself would be right for the production
//! stage, and from the next deployment of any other stage on, that stage would call production too.
//! What may differ by stage is a stage variable, and that is what an integration is given here:
//!
//! ```text
//! …:function:chat                                  before: every stage calls $LATEST
//! …:function:chat:${stageVariables.chat_alias}     after
//!     stage prod      chat_alias = production
//!     every other     chat_alias = crossfade-latest    an alias that points at $LATEST
//! ```
//!
//! A stage variable cannot say `$LATEST`: its values have no dollar sign (<https://docs.aws.amazon.com/apigateway/latest/developerguide/aws-api-gateway-stage-variables-reference.html>). An alias
//! without weights may point at it, though, so the other stages go on calling whatever
//! was uploaded last. Only the form above and a variable in place of the whole name are documented; a
//! variable that is absent there makes the call fail, which is why every stage is given one.
//!
//! - An integration that has a stage variable already is left as it is: its variable is set, for the
//!   one stage.
//! - A Lambda authorizer calls its function by a URI of the same form, and is wired in the same way. Both
//!   are call sites. What an authorizer caches, and for how long, stays as it is.
//! - An API that quick create made has one stage, which takes no variables: there, and
//!   only there, the integration names the alias.
//! - The alias is made, where there is none, on what the stage calls at that moment: wiring never
//!   changes what users are served.
//!
//! # Order
//!
//! [`plan_wiring`] and [`plan_unwiring`] give the writes of one phase: what the next phase relies on
//! is in force before that begins (nothing says how long that takes, so the state machine waits in
//! between). No stage ever calls what is not there, or what it may not call:
//!
//! 1. the record of how it was; aliases; permissions of the aliases;
//! 2. stage variables;
//! 3. integrations, and the deployment that publishes them.
//!
//! Undoing goes the other way. The writes are decided on what is seen, so that a repeat after a lost
//! answer, or by another execution after this one died, does what is left.

mod api;
#[cfg(test)]
mod tests;
mod unwire;
mod uri;
mod wire;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    api::{Api, CallSite, Kind, Operations, SiteKind, Stage, authorizer_label},
    unwire::plan_unwiring,
    wire::plan_wiring,
};
use crate::domain::{
    names::{
        AliasName, Application, FunctionName,
        api::{ApiId, StageName},
        derived::Caller,
    },
    routing::alias::{Alias, Primary},
};

/// The alias that stands for `$LATEST` where a stage variable has to name an alias.
pub const LATEST_ALIAS: &str = "crossfade-latest";

/// What is to be wired, or unwired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The application, for the record.
    pub application: Application,
    /// The API.
    pub api_id: ApiId,
    /// The stage that is to call the alias.
    pub stage: StageName,
    /// The alias.
    pub alias: AliasName,
    /// The function that the API calls.
    pub function_name: FunctionName,
}

/// A statement of a function's or an alias's resource policy that allows something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its id.
    pub id: String,
    /// The service that it lets in; empty when it is not a service.
    pub service: String,
    /// Where calls may come from; empty when from anywhere.
    pub source_arn: String,
}

/// Everything that the plans depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The function's ARN, unqualified.
    pub function_arn: String,
    /// The function's aliases by name.
    pub aliases: BTreeMap<String, Alias>,
    /// The policies of the alias and of [`LATEST_ALIAS`], by name.
    pub policies: BTreeMap<String, Vec<Statement>>,
    /// The function's own policy.
    pub own_policy: Vec<Statement>,
    /// Whether the alias is on a version whose code is not what `$LATEST` has.
    pub other_code: bool,
    /// Who else uses an alias, a phrase each, by the alias's name.
    pub users: BTreeMap<String, Vec<String>>,
    /// The API.
    pub api: Api,
    /// What is on record of this stage and function.
    pub wiring: Option<Wiring>,
    /// What is on record of the API's other stages and functions.
    pub others: Vec<Wiring>,
}

/// How it was, and what was made of it: written before anything is changed, and kept until it is
/// unwired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wiring {
    /// The application that requested it.
    pub application: Application,
    /// The API.
    pub api_id: ApiId,
    /// The stage that calls the alias.
    pub stage: StageName,
    /// The function.
    pub function_name: FunctionName,
    /// The alias.
    pub alias: AliasName,
    /// The stage variable that integrations were given; none when they had one, or took none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The integrations and authorizers that were changed.
    #[serde(default)]
    pub uris: Vec<UriChange>,
    /// The stage variables that were changed.
    #[serde(default)]
    pub variables: Vec<VariableChange>,
    /// The statements that were added to policies.
    #[serde(default)]
    pub statements: Vec<Permit>,
    /// The aliases that were made here.
    #[serde(default)]
    pub aliases: Vec<AliasName>,
    /// Whether the function's own policy let API Gateway in, as it must when it is unwired.
    #[serde(default)]
    pub was_open: bool,
}

/// A call site that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UriChange {
    /// What kind of call site it is.
    #[serde(default, skip_serializing_if = "SiteKind::is_integration")]
    pub kind: SiteKind,
    /// Its id. (Former versions knew integrations only.)
    #[serde(rename = "integration")]
    pub id: String,
    /// What an operator knows it by.
    pub label: String,
    /// How its URI was.
    pub before: String,
    /// How it is.
    pub after: String,
}

/// A stage variable that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariableChange {
    /// The stage.
    pub stage: String,
    /// The variable.
    pub name: String,
    /// What it was; none when there was none.
    pub before: Option<String>,
    /// What it is.
    pub after: String,
}

/// A statement of an alias's policy that lets API Gateway in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permit {
    /// The alias.
    pub alias: AliasName,
    /// The statement's id.
    pub id: String,
    /// The stage, all stages, or the authorizer that calls may come from.
    pub source_arn: String,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Put it on record.
    Record(Box<Wiring>),
    /// Make an alias on `$LATEST` as it stands: published, or, for [`LATEST_ALIAS`], itself.
    MakeAlias(AliasName),
    /// Let a stage call an alias.
    Permit(Permit),
    /// Set a stage's variable, or remove it.
    SetVariable {
        /// The stage.
        stage: String,
        /// The variable.
        name: String,
        /// What it is to be; none to remove it.
        value: Option<String>,
    },
    /// Set a call site's URI.
    SetUri {
        /// What kind of call site it is.
        kind: SiteKind,
        /// Its id.
        id: String,
        /// What an operator knows it by.
        label: String,
        /// What it is to be.
        uri: String,
    },
    /// Publish the definition on a stage.
    Deploy(String),
    /// Take a permission back.
    Forbid(Permit),
    /// Delete an alias that was made here.
    DeleteAlias(AliasName),
    /// Take it off the record.
    Forget,
}

impl std::fmt::Display for Write {
    /// The phrase of the outcome.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(_) => f.write_str("put on record how it was"),
            Self::MakeAlias(alias) => write!(f, "made alias {alias}"),
            Self::Permit(permit) => {
                write!(f, "let {} call alias {}", permit.source_arn, permit.alias)
            }
            Self::SetVariable { stage, name, value } => match value {
                Some(value) => write!(f, "set {name} of stage {stage} to {value}"),
                None => write!(f, "removed {name} of stage {stage}"),
            },
            Self::SetUri {
                kind, label, uri, ..
            } => match kind {
                SiteKind::Integration => write!(f, "set the integration of {label} to {uri}"),
                SiteKind::Authorizer => write!(f, "set {label} to {uri}"),
            },
            Self::Deploy(stage) => write!(f, "deployed stage {stage}"),
            Self::Forbid(permit) => {
                write!(
                    f,
                    "no longer let {} call alias {}",
                    permit.source_arn, permit.alias
                )
            }
            Self::DeleteAlias(alias) => write!(f, "deleted alias {alias}"),
            Self::Forget => f.write_str("took it off the record"),
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The writes of the next phase, in order; empty when nothing is left to write.
    pub writes: Vec<Write>,
    /// Whether all that was written is seen to be in force.
    pub live: bool,
    /// What operators should know.
    pub notes: Vec<String>,
}

/// Why something cannot be wired, or unwired; what would be right is in the words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What is requested does not fit what is there.
    #[error("{0}")]
    Invalid(String),
    /// It could not be done without doing something else as well, or without a stage failing.
    #[error("{0}")]
    Unfit(String),
    /// Another writer changed what is on record.
    #[error("{0}")]
    Outside(String),
}

impl Seen {
    /// The head of the function's ARN, up to the word `function`.
    fn head(&self) -> &str {
        self.function_arn
            .split_once(":function:")
            .map_or(self.function_arn.as_str(), |(head, _)| head)
    }

    /// Where calls of an API come from, as a policy's condition has it. All stages' stands for all
    /// authorizers' too: the star of a condition takes any text.
    fn source_arn(&self, api_id: &ApiId, caller: Caller<'_>) -> String {
        let head = self.head().replacen(":lambda:", ":execute-api:", 1);
        match caller {
            Caller::Stage(stage) => format!("{head}:{api_id}/{stage}/*"),
            Caller::Authorizer(id) => format!("{head}:{api_id}/authorizers/{id}"),
            Caller::Any => format!("{head}:{api_id}/*/*"),
        }
    }

    /// The wirings of the function on other stages, and those of other functions on any. Names of aliases
    /// and ids of statements are a function's own.
    fn others_of(&self, function: &FunctionName) -> impl Iterator<Item = &Wiring> {
        self.others
            .iter()
            .filter(move |other| &other.function_name == function)
    }

    /// Whether two URIs are one call before and after a change that is on record: whichever of them a stage
    /// serves, it reaches the same.
    fn is_wiring(&self, one: &str, other: &str) -> bool {
        let changes = self.others.iter().chain(&self.wiring);
        changes.flat_map(|wiring| &wiring.uris).any(|change| {
            let is = |uri| change.is_before(uri) || change.is_after(uri);
            is(one) && is(other)
        })
    }

    /// Whether what an alias stands for is `$LATEST`.
    fn is_latest(&self, alias: &str) -> bool {
        self.aliases
            .get(alias)
            .is_some_and(|seen| seen.primary == Primary::Latest && !seen.is_split())
    }

    fn stage(&self, name: &str) -> Option<&Stage> {
        self.api.stages.iter().find(|stage| stage.name == name)
    }

    /// Whether an alias's policy has this statement.
    fn permits(&self, permit: &Permit) -> bool {
        let policy = self.policies.get(permit.alias.as_ref());
        policy
            .into_iter()
            .flatten()
            .any(|statement| statement.id == permit.id && statement.source_arn == permit.source_arn)
    }

    /// Whether the function's own policy lets API Gateway in at all.
    fn is_open(&self) -> bool {
        let gateway = |statement: &Statement| statement.service.starts_with("apigateway.");
        self.own_policy.iter().any(gateway)
    }
}

/// What a stage that deploys by itself says, while what was written is not in force.
fn waited_for(stages: &[&Stage]) -> Vec<String> {
    let said = stages.iter().filter(|stage| !stage.message.is_empty());
    said.map(|stage| {
        format!(
            "stage {} says of its deployment: {}",
            stage.name, stage.message
        )
    })
    .collect()
}

/// Refuses a deployment that would publish more than what was changed here.
fn nothing_else_to_publish(stage: &Stage, seen: &Seen, function: &str) -> Result<(), Refusal> {
    if stage.canary {
        return Err(Refusal::Unfit(format!(
            "stage {} has a canary, and no deployment can go to it: promote or remove the canary first",
            stage.name
        )));
    }
    let behind = stage.lags_behind(seen, function);
    if behind.is_empty() {
        return Ok(());
    }
    Err(Refusal::Unfit(format!(
        "deploying stage {} would publish other changes of the API too: {}; deploy the stage first, or take the changes back",
        stage.name,
        behind.join(", ")
    )))
}
