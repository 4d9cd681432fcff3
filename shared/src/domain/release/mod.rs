//! A release between two states of the execution: what `deploy-green` has fixed once ([`Spec`]), and how far it has
//! come ([`Progress`]), which only [`Release::apply`] changes.

mod event;
#[cfg(any(test, feature = "fake"))]
mod example;
mod operator;
mod progress;
mod question;
#[cfg(test)]
mod tests;
mod transition;

use std::{collections::BTreeMap, num::NonZeroU32};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use self::progress::PhaseFields;
pub use self::{
    event::{Event, IllegalEvent},
    progress::{Phase, Position, Progress, Resume},
};
use super::{
    Timestamp,
    about::About,
    analysis::{Analysis, check::Evidence, counts::BluePast},
    approval::{Approval, OnHoldTimeout},
    budget::{Load, Pace},
    decision::{Bake, Next},
    hook::{HookPoint, HookRun, Hooks},
    migration::{AfterRollback, Migration},
    names::{AlarmName, Application, FunctionName},
    plan::{Plan, Step},
    propagation::Propagation,
    restore_point::RestorePoint,
    target::Target,
    traffic::Splitter,
    weight::Weight,
};

/// Why traffic stays where it is, where it would return to blue.
pub const FROZEN: &str = "traffic stays as it is, for blue cannot work with what the migration has changed \
     (afterRollback: freeze)";

/// What happens while an operator is asked, and if none answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// How long to wait for an operator, seconds.
    pub timeout_seconds: u32,
    /// What to do when none answered.
    pub on_timeout: OnHoldTimeout,
}

/// What a release carries of the rollback by hand that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoesBack {
    /// What it is, in words.
    pub told: String,
    /// The execution whose input has the request that this release is made of; none where it is made of what
    /// the ledger knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_of: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

/// What a release will do: fixed before the first shift, and the same in every state after that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The application that is released.
    pub application: Application,
    /// What it is, in its team's words.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub about: About,
    /// When the execution began, by Step Functions' clock.
    pub started_at: Timestamp,
    /// The rollback by hand that it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_back: Option<GoesBack>,
    /// Functions whose green serves already: they are locked like the others, and nothing is done to
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<FunctionName>,
    /// How long one invocation of green may take, seconds: the longest of the functions' timeouts. 0 where that is
    /// not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub slowest_seconds: u32,
    /// What each function's blue showed before the release, read once; nothing of one without a blue.
    /// Not part of the targets: it is for judging, and a rollback should carry no more than it needs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub past: BTreeMap<FunctionName, BluePast>,
    /// The same of what the request's `responses` and `metrics` count, by the field that requests it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub source_past: BTreeMap<String, BluePast>,
    /// All weights and bake times.
    pub plan: Plan,
    /// What splits the traffic.
    #[serde(default)]
    pub traffic: Splitter,
    /// How long it is waited, before green is validated, until the idle side cannot be reached any more,
    /// seconds; none where nothing has to be waited for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub idle_wait_seconds: u32,
    /// What is watched and how it is judged.
    pub analysis: Analysis,
    /// Alarms that were in ALARM before the release and count only once they have fired anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preexisting_alarms: Vec<AlarmName>,
    /// What holding means for this release.
    pub hold: Hold,
    /// What awaiting an approval means for this release.
    #[serde(default)]
    pub approval: Approval,
    /// How long blue is kept ready after the promotion, hours.
    pub blue_hours: u32,
    /// How many of each function's newest versions are kept after that; all when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<NonZeroU32>,
    /// The user's hooks.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// The functions whose logs are listened to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listens_to: Vec<FunctionName>,
}

/// A release: what it will do, and how far it has come. As JSON both are one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// What it will do.
    pub spec: Spec,
    progress: Progress,
}

/// Each part is read from the whole object.
impl<'de> Deserialize<'de> for Release {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = Value::deserialize(deserializer)?;
        let mut progress = Progress::deserialize(&state).map_err(de::Error::custom)?;
        let phase = PhaseFields::deserialize(&state).map_err(de::Error::custom)?;
        phase.read_into(&mut progress);
        Ok(Self {
            spec: Spec::deserialize(&state).map_err(de::Error::custom)?,
            progress,
        })
    }
}

impl Release {
    /// Returns a release that has not been validated yet.
    #[must_use]
    pub fn new(
        spec: Spec,
        functions: Vec<Target>,
        migration: Option<Migration>,
        warnings: Vec<String>,
        evidence: Evidence,
    ) -> Self {
        Self {
            spec,
            progress: Progress {
                functions,
                migration,
                warnings,
                evidence,
                ..Progress::default()
            },
        }
    }

    /// Returns how far the release has come.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes in the revisions of the functions' aliases after a write.
    pub fn moved(&mut self, functions: Vec<Target>) {
        self.progress.functions = functions;
    }

    /// Returns all functions that it has to itself while it lasts.
    pub fn locked(&self) -> impl Iterator<Item = &FunctionName> {
        let moving = self.progress.functions.iter();
        moving
            .map(|target| &target.function_name)
            .chain(&self.spec.left_out)
    }

    /// Returns the part that the ledger keeps.
    #[must_use]
    pub fn footprint(&self) -> RestorePoint {
        let migration = self.progress.migration;
        RestorePoint {
            about: self.spec.about.clone(),
            functions: self.progress.functions.clone(),
            plan: self.spec.plan.clone(),
            traffic: self.spec.traffic.clone(),
            freezes: migration
                .is_some_and(|migration| migration.after_rollback == AfterRollback::Freeze),
        }
    }

    /// Whether only operators put the traffic back: the migration has run, blue cannot work with it, and
    /// green has traffic. (Before that all is on blue, and stays there.)
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.has_migrated(AfterRollback::Freeze) && !self.progress.steps.is_empty()
    }

    /// Whether the migration is undone once all traffic is on blue.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.has_migrated(AfterRollback::RollBack)
    }

    fn has_migrated(&self, after_rollback: AfterRollback) -> bool {
        let migration = self.progress.migration;
        migration
            .is_some_and(|migration| migration.ran && migration.after_rollback == after_rollback)
    }

    /// Whether a hook is to be run before the bake begins.
    #[must_use]
    pub fn is_hook_due(&self) -> bool {
        matches!(&self.progress.phase, Phase::AwaitingHook(run) if run.point == HookPoint::AfterShift)
    }

    /// Returns the hook that is to be run now: the one that is due or in progress, or else the one before a shift.
    #[must_use]
    pub fn next_hook(&self) -> Option<HookRun> {
        match &self.progress.phase {
            Phase::AwaitingHook(run) => Some(run.clone()),
            Phase::Ready => {
                let passed = self.progress.passed_hook.as_ref();
                if passed.is_some_and(|run| run.point == HookPoint::BeforeShift) {
                    return None;
                }
                let hook = self.spec.hooks.before_shift.as_ref()?;
                Some(HookRun::due(HookPoint::BeforeShift, hook, &self.pace()))
            }
            _ => None,
        }
    }

    /// Returns the weight that green has: the last step's, or none before the first.
    #[must_use]
    pub fn weight(&self) -> Weight {
        let last = self.progress.steps.last();
        last.map_or(Weight::ZERO, |step| step.weight)
    }

    /// Returns the step that the position names; none past the end of the plan.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.spec.plan.step(self.progress.position.step)
    }

    fn load(&self) -> Load<'_> {
        Load {
            plan: &self.spec.plan,
            analysis: &self.spec.analysis,
            hooks: &self.spec.hooks,
            follows_dns: matches!(self.spec.traffic, Splitter::Route53(_)),
            slowest_seconds: self.spec.slowest_seconds,
        }
    }

    /// Returns how often it is looked at and its hooks are called.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace::of(&self.load())
    }

    /// Returns how far the present step's bake has come; none past the end of the plan.
    #[must_use]
    pub fn bake(&self) -> Option<Bake> {
        let position = self.progress.position;
        let bounds = self.load().bounds(position.step)?;
        Some(Bake {
            planned_seconds: bounds.planned_seconds,
            waited_seconds: position.waited_seconds,
            max_seconds: bounds.longest_seconds,
            check_every_seconds: self.pace().look_every_seconds,
        })
    }

    /// Returns how long the present step bakes at the least, seconds, whatever ends it early: until the invocations
    /// of its beginning are counted, where green is not judged any more after it.
    fn least_bake_seconds(&self) -> u32 {
        if self.spec.plan.last_judged() == Some(self.progress.position.step) {
            self.spec
                .analysis
                .counted_after_seconds(self.spec.slowest_seconds)
        } else {
            0
        }
    }

    /// Whether the planned bake is over with the wait that has just ended.
    #[must_use]
    pub fn has_baked(&self) -> bool {
        let position = self.progress.position;
        let waited = position.waited_seconds + position.wait_seconds;
        self.bake()
            .is_none_or(|bake| waited >= bake.planned_seconds)
    }

    /// Returns what the judge judges by: where logs are listened to, it has half of the risk.
    #[must_use]
    pub fn judged_by(&self) -> Analysis {
        let mut analysis = self.spec.analysis.clone();
        if !self.spec.listens_to.is_empty() {
            analysis.alpha /= 2.0;
        }
        analysis
    }

    /// Whether it is looked at less often than the request requests.
    #[must_use]
    pub fn is_looked_at_rarely(&self) -> bool {
        self.pace().look_every_seconds > self.spec.analysis.look_every_seconds()
    }

    /// Returns what comes after the present step.
    #[must_use]
    pub fn next(&self) -> Next {
        let next = self.progress.position.step + 1;
        match self.spec.plan.step(next) {
            None => Next::End,
            Some(_) if self.spec.plan.needs_approval(next) => Next::StepAfterApproval,
            Some(_) => Next::Step,
        }
    }

    /// Returns how the last shift reaches clients; none once it has.
    #[must_use]
    pub fn propagation(&self) -> Option<&Propagation> {
        match &self.progress.phase {
            Phase::Propagating(propagation) => Some(propagation),
            _ => None,
        }
    }
}
