//! How a deployment ended: the execution's output, or the Cause of its failure.

use crate::display::truncate;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Timestamp,
    about::About,
    analysis::check::Evidence,
    approval::AnswerRecord,
    hook::HookRun,
    names::{
        AliasName, Application, FunctionName, Version,
        api::{ApiId, StageName},
    },
    release::Release,
    status::DeploymentStatus,
    step_record::StepRecord,
    target::Target,
    traffic::Sides,
};

/// The most that a Fail state's Cause can be, characters: Step Functions' model.
pub const MAX_CAUSE: usize = 32_768;

/// One function's part in the outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunctionOutcome {
    /// The function.
    pub function_name: FunctionName,
    /// The alias; absent behind a load balancer, which calls versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasName>,
    /// The version that served before; null for a first release.
    pub blue_version: Option<Version>,
    /// The version that was released.
    pub green_version: Version,
    /// The version that serves now, as it was read after the last write; absent where nothing was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Version>,
}

impl From<&Target> for FunctionOutcome {
    fn from(target: &Target) -> Self {
        Self {
            function_name: target.function_name.clone(),
            alias: target.alias.clone(),
            blue_version: target.blue_version.clone(),
            green_version: target.green_version.clone(),
            serving: None,
        }
    }
}

/// The contract's output and Cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How it ended.
    pub deployment_status: DeploymentStatus,
    /// The application; null when the request did not name one that can be.
    pub application: Option<Application>,
    /// What it is, in its team's words.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub about: About,
    /// The functions with both versions; empty when nothing was begun.
    #[serde(default)]
    pub functions: Vec<FunctionOutcome>,
    /// Why, in words and numbers.
    pub reason: String,
    /// The numbers behind the reason.
    #[serde(default)]
    pub evidence: Evidence,
    /// The steps that were taken.
    #[serde(default)]
    pub steps: Vec<StepRecord>,
    /// What operators answered when they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRecord>,
    /// What operators should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The record or the target group that each colour is in this release; absent for an alias, and where nothing was
    /// begun. The roles swap with each promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sides: Option<Sides>,
    /// The target group or record that has the traffic, as it was read after the last write; empty for
    /// an alias, and where nothing was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<String>,
    /// Until when blue is kept and the release can be taken back, where it was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_until: Option<Timestamp>,
    /// The stage, where that was all that was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front_door: Option<FrontDoorOutcome>,
    /// The hook that is still to be asked; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookRun>,
    /// The page that explains the execution's error, where it fails with one: see [`page`](crate::error::page).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How an execution ends that has kept green, or that had nothing to move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// The outcome.
    pub outcome: Outcome,
    /// The hook that is still to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookRun>,
}

/// The errors that an execution may end with, as the contract lists them.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
pub enum EndError {
    /// Blue has all traffic again.
    DeploymentRolledBack,
    /// Traffic was left as it was.
    DeploymentHeld,
    /// The request cannot be carried out as it is.
    InvalidRequest,
    /// Another deployment holds a resource that this one needs.
    DeploymentInProgress,
    /// Another writer moved the traffic.
    ChangedOutside,
    /// Green did not pass validation, or something failed before the first shift.
    ValidationFailed,
    /// The user's migration failed, did not answer in time, or is not known to have run.
    MigrationFailed,
    /// Traffic could not be restored.
    RollbackFailed,
}

/// How an execution ends that has made traffic whole, or has left it held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// Whether an operator requested this by `{"action": "rollback"}`: then the execution succeeds.
    pub asked_for: bool,
    /// The error's name.
    pub error: EndError,
    /// The outcome, as JSON text.
    pub cause: String,
    /// The outcome.
    pub outcome: Outcome,
    /// Whether the migration is still to be run back. The locks are kept for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub undo: bool,
    /// The hook that is still to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookRun>,
}

impl Ending {
    /// Returns an end with an error, with nothing left to do.
    #[must_use]
    pub fn new(error: EndError, outcome: Outcome) -> Self {
        Self {
            asked_for: false,
            error,
            cause: outcome.to_cause(),
            outcome,
            undo: false,
            hook: None,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What became of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontDoorOutcome {
    /// The API.
    pub api_id: ApiId,
    /// The stage.
    pub stage: StageName,
    /// The alias.
    pub alias: AliasName,
    /// What was written, a phrase each; empty when all was as requested already.
    pub written: Vec<String>,
}

impl Outcome {
    /// The outcome of a release that got as far as having one.
    #[must_use]
    pub fn of(release: &Release, deployment_status: DeploymentStatus, reason: String) -> Self {
        Self {
            deployment_status,
            application: Some(release.spec.application.clone()),
            about: release.spec.about.clone(),
            functions: release
                .progress()
                .functions
                .iter()
                .map(FunctionOutcome::from)
                .collect(),
            reason,
            evidence: release.progress().evidence.clone(),
            steps: release.progress().steps.clone(),
            answers: release.progress().answers.clone(),
            warnings: release.progress().warnings.clone(),
            sides: release.spec.traffic.sides(),
            served_by: Vec::new(),
            retain_until: None,
            front_door: None,
            hook: None,
            help: None,
        }
    }

    /// Adds what serves now, as it was read.
    pub fn serves(&mut self, versions: &BTreeMap<FunctionName, Version>, by: &[String]) {
        for function in &mut self.functions {
            function.serving = versions.get(&function.function_name).cloned();
        }
        self.served_by = by.to_vec();
    }

    /// As JSON text that fits into a Cause. Where it would not, for a train of many functions and
    /// steps, what says least is left out first; the notification has all of it.
    #[must_use]
    pub fn to_cause(&self) -> String {
        let text = |outcome: &Self| {
            serde_json::to_string(outcome).expect("strings, numbers and lists always serialise")
        };
        let whole = text(self);
        if whole.len() <= MAX_CAUSE {
            return whole;
        }
        let mut cut = self.clone();
        let warnings =
            ["the rest of this is in the notification: a Cause has no room for it".to_owned()];
        cut.warnings = warnings
            .into_iter()
            .chain(cut.warnings.drain(..))
            .take(5)
            .collect();
        let by: [fn(&mut Self); 5] = [
            |it| {
                it.evidence.validation_left_out += it.evidence.validation.len();
                it.evidence.validation.clear();
            },
            |it| it.evidence.alarms.truncate(5),
            |it| {
                it.evidence.hooks.clear();
                it.evidence.migrations.clear();
            },
            |it| drop(it.steps.drain(..it.steps.len().saturating_sub(10))),
            |it| {
                it.warnings.truncate(1);
                it.reason = truncate(&it.reason, 1000);
                if let Some(judge) = &mut it.evidence.judge {
                    judge.reason.clone_from(&it.reason);
                }
            },
        ];
        for shorten in by {
            if text(&cut).len() <= MAX_CAUSE {
                break;
            }
            shorten(&mut cut);
        }
        text(&cut)
    }
}
