//! A request to release functions.

use std::num::NonZeroU32;

use deserr::Deserr;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;

use super::code::Code;
use super::smoke_test::SmokeTest;
use super::stage_wiring::FrontDoorRequest;
use super::traffic::Traffic;
use crate::domain::about::{About, AboutUrl, Commit, Description, ReleasedBy};
use crate::domain::analysis::Analysis;
use crate::domain::approval::{OnApprovalTimeout, OnDenied, OnHoldTimeout};
use crate::domain::budget::{LONGEST_INVOCATION_SECONDS, Load, Pace};
use crate::domain::names::{AliasName, Application, FunctionName};
use crate::domain::override_freeze::OverrideFreeze;
use crate::domain::plan::Plan;
use crate::domain::strategy::Planned;
use crate::domain::weight::Weight;
use crate::domain::{
    hook::Hooks,
    migration::{AfterRollback, MigrationRequest},
};
use crate::parse::bounds::{List, Milliseconds, Whole};
use crate::parse::problem::Problems;

/// How long operators are waited for.
type WaitSeconds = Whole<60, MAX_HOLD_SECONDS>;
/// How many environments are warmed.
type Prewarm = Whole<0, 100>;
/// How long blue is kept: up to a week.
type BlueHours = Whole<0, 168>;
/// How many versions are kept.
type KeepVersions = Whole<1, MAX_KEEP_VERSIONS>;

/// The most functions in one release. An account's control plane takes about 15 Lambda writes a
/// second, and every step writes once for each function.
pub const MAX_FUNCTIONS: usize = 50;

/// The longest hold, in seconds: a week.
pub const MAX_HOLD_SECONDS: u32 = 604_800;

/// A release: which functions, how traffic moves to green, and what is watched meanwhile.
// Only `Request::parse` makes one, so each value has been checked completely.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = with_action)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReleaseRequest {
    /// The thing being released, in your words. One release of an application runs at a time.
    pub application: Application,
    /// What is released, in one line: 1 to 256 characters. Shown in notices, events, the outcome and on the page, and the
    /// description of the version that is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub description: Option<Description>,
    /// The commit, or another revision of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub commit: Option<Commit>,
    /// Where to read more, such as the pull request: an HTTPS URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub url: Option<AboutUrl>,
    /// Who releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub by: Option<ReleasedBy>,
    /// The functions that move together: 1 to 50, each of them once. At most one behind a load
    /// balancer, whose groups take one each, and none where green is not a function.
    #[schemars(length(max = 50))]
    #[deserr(default, from(List<FunctionRequest, 0, MAX_FUNCTIONS>) = List::into_vec)]
    pub functions: Vec<FunctionRequest>,
    /// How traffic goes from blue to green. Required: a default would be learnt in production.
    pub strategy: Planned,
    /// What is watched, and what counts as worse.
    #[serde(default)]
    #[deserr(default)]
    pub analysis: Analysis,
    /// What stands before the functions and splits the traffic.
    #[serde(default)]
    #[deserr(default)]
    pub traffic: Traffic,
    /// What is made to call the alias before anything is released, where it calls the function itself
    /// until now: needed once, harmless ever after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub front_door: Option<FrontDoorRequest>,
    /// A function of yours that changes the database for green.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub migration: Option<MigrationRequest>,
    /// Functions of yours that are asked on the way.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    #[deserr(default)]
    pub hooks: Hooks,
    /// How long blue is kept after the release, and which versions after that.
    #[serde(default)]
    #[deserr(default)]
    pub retention: Retention,
    /// How long a hold waits for an operator, in seconds: 60 to 604800 (a week).
    #[serde(default = "default_hold_timeout_seconds")]
    #[schemars(with = "WaitSeconds")]
    #[deserr(
        default = default_hold_timeout_seconds(),
        from(WaitSeconds) = u32::from
    )]
    pub hold_timeout_seconds: u32,
    /// What happens when no operator answers. With a migration that freezes the traffic it is always `leave`.
    #[serde(default)]
    #[deserr(default)]
    pub on_hold_timeout: OnHoldTimeout,
    /// How long an approval that the strategy requests is waited for, in seconds: 60 to 604800 (a week).
    #[serde(default = "default_hold_timeout_seconds")]
    #[schemars(with = "WaitSeconds")]
    #[deserr(
        default = default_hold_timeout_seconds(),
        from(WaitSeconds) = u32::from
    )]
    pub approval_timeout_seconds: u32,
    /// What happens when no operator answers the approval in time.
    #[serde(default)]
    #[deserr(default)]
    pub on_approval_timeout: OnApprovalTimeout,
    /// What happens when an operator rejects.
    #[serde(default)]
    #[deserr(default)]
    pub on_denied: OnDenied,
    /// Who releases outside of the stack's windows, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub override_freeze: Option<OverrideFreeze>,
}

impl ReleaseRequest {
    /// Returns what the release is, in its team's words.
    #[must_use]
    pub fn about(&self) -> About {
        About {
            description: self.description.clone(),
            commit: self.commit.clone(),
            url: self.url.clone(),
            by: self.by.clone(),
        }
    }

    /// Returns what happens when no operator ends a hold: with a migration that freezes the traffic, it is left.
    #[must_use]
    pub fn hold_ends(&self) -> OnHoldTimeout {
        match &self.migration {
            Some(migration) if migration.after_rollback == AfterRollback::Freeze => {
                OnHoldTimeout::Leave
            }
            Some(_) | None => self.on_hold_timeout,
        }
    }

    /// Returns the plan that the strategy says, less the control group.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let whole = self.strategy.plan();
        // Where it does not fit, the request has been rejected.
        let kept = whole.clone().keeping(self.control());
        kept.unwrap_or_else(|_| whole.clone())
    }

    /// Writes down what the strategy's name keeps on blue, because a strategy is written as what its name stands for.
    pub(super) fn with_control(mut self) -> Self {
        let of_name = self.strategy.take_control();
        if of_name > Weight::ZERO {
            self.analysis.control_percent.get_or_insert(of_name);
        }
        self
    }

    /// Returns what stays on blue until the promotion: what the request says, or the strategy's name.
    #[must_use]
    pub fn control(&self) -> Weight {
        let asked = self.analysis.control_percent;
        asked.unwrap_or_else(|| self.strategy.control())
    }

    /// Returns what decides how many events the release takes.
    #[must_use]
    pub fn load<'a>(&'a self, plan: &'a Plan) -> Load<'a> {
        Load {
            plan,
            analysis: &self.analysis,
            hooks: &self.hooks,
            follows_dns: matches!(self.traffic, Traffic::Route53(_)),
            // Which it is, is known once green has been published.
            slowest_seconds: LONGEST_INVOCATION_SECONDS,
        }
    }

    /// Returns how often the release is looked at and its hooks are called.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace::of(&self.load(self.strategy.plan()))
    }

    /// The longest that the step at `index` may bake, in seconds, extensions included; `None`
    /// after the last step. See [`Analysis::max_bake_seconds`].
    #[must_use]
    pub fn max_bake_seconds(&self, index: usize) -> Option<u32> {
        let step = self.strategy.plan().step(index)?;
        Some(self.analysis.longest_bake_seconds(step))
    }
}

/// A day: long enough for the next working morning.
const fn default_hold_timeout_seconds() -> u32 {
    86_400
}

/// Lets the schema say `"action": "release"`, which [`Request`](super::Request) reads before the
/// rest.
fn with_action(schema: &mut Schema) {
    let action = json_schema!({
        "description": "The action that is requested; `release` when absent.",
        "const": "release",
        "type": "string",
    });
    if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
        properties.insert("action".to_owned(), action.into());
        properties.insert("$schema".to_owned(), super::schema_field());
    }
    // Behind a load balancer there may be no function, and an alias is not used; elsewhere both are
    // needed.
    if let Some(required) = schema.get_mut("required").and_then(|r| r.as_array_mut()) {
        required.retain(|field| field != "functions");
    }
    let alb = json_schema!({
        "required": ["traffic"],
        "properties": {
            "traffic": { "required": ["type"], "properties": { "type": { "const": "alb" } } },
        },
    });
    schema.insert("if".to_owned(), alb.into());
    schema.insert(
        "then".to_owned(),
        json_schema!({
            "properties": {
                "functions": {
                    "maxItems": 1,
                    "items": { "properties": { "alias": { "type": "null" } } },
                },
            },
        })
        .into(),
    );
    schema.insert(
        "else".to_owned(),
        json_schema!({
            "required": ["functions"],
            "properties": {
                "functions": {
                    "minItems": 1,
                    "items": { "required": ["alias"], "properties": { "alias": { "type": "string" } } },
                },
            },
        })
        .into(),
    );
}

/// One function and the alias that its callers use.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct FunctionRequest {
    /// The function's plain name, not an ARN.
    pub function_name: FunctionName,
    /// The alias that callers use. It is created when the function has none of this name yet. Required,
    /// but behind a load balancer, which calls versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub alias: Option<AliasName>,
    /// Where green's code comes from. When absent, `$LATEST` is published as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub code: Option<Code>,
    /// Invocations of green, one after the other, that must go well before it gets any traffic: at
    /// most 20, each with a name of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[deserr(default, from(List<SmokeTest, 0, 20>) = List::into_vec)]
    pub smoke_tests: Vec<SmokeTest>,
    /// How many invocations of green run at the same time before it gets traffic, so that its first
    /// users meet no cold start: 0 to 100. At most half of the function's reserved concurrency, or of the
    /// account's unreserved one; what is not warmed is a warning. Needs a smoke test: its payload is sent,
    /// because a made-up one could do harm.
    #[serde(default)]
    #[schemars(with = "Prewarm")]
    #[deserr(default, from(Prewarm) = u32::from)]
    pub prewarm: u32,
    /// The longest cold start of green that is accepted, in milliseconds: 1 to 900000; the restoration of a
    /// snapshot is one, too. When absent, it is reported and not judged. Needs a smoke test: where all its
    /// tests met warm environments, the first one's payload is sent up to 16 times at once until one starts
    /// cold. What could not be measured has not been met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Milliseconds>")]
    #[deserr(default, from(Option<Milliseconds>) = Whole::optional)]
    pub max_cold_start_ms: Option<u32>,
}

/// How long blue is kept after the release, ready for a rollback, and which versions after that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
pub struct Retention {
    /// Hours after the release in which blue is kept: 0 to 168 (a week).
    #[serde(default = "default_blue_hours")]
    #[schemars(with = "BlueHours")]
    #[deserr(default = default_blue_hours(), from(BlueHours) = u32::from)]
    pub blue_hours: u32,
    /// How many of each function's newest versions are kept when that time is over: 1 to 1000. Older
    /// ones are then deleted, but none that an alias references or that another release still needs.
    /// When absent, no version is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<KeepVersions>")]
    #[deserr(default, from(Option<KeepVersions>) = not_zero)]
    pub keep_versions: Option<NonZeroU32>,
}

/// The most versions that can be asked to be kept.
pub const MAX_KEEP_VERSIONS: u32 = 1000;

fn not_zero(count: Option<KeepVersions>) -> Option<NonZeroU32> {
    Whole::optional(count).and_then(NonZeroU32::new)
}

const fn default_blue_hours() -> u32 {
    24
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            blue_hours: default_blue_hours(),
            keep_versions: None,
        }
    }
}
