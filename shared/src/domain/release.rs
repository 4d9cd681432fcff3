//! What `deploy-green` fixed once and every state carries: only the position moves.

use std::{collections::BTreeMap, num::NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    analysis::Analysis,
    approval::{Answer, Answered, Approval, Verb, Wish, Word, lenient},
    budget::{Load, Pace},
    decision::{Bake, Decision, Next, decide},
    health::Health,
    hook::{HookPoint, HookRun, Hooks},
    migration::{AfterRollback, Migration, Phase},
    names::{AliasName, Application, FunctionName, Version},
    plan::{Plan, Step},
    weight::Weight,
};
use crate::domain::{
    analysis::{
        check::{Evidence, Finding},
        counts::BluePast,
        series::{Counted, Dimensions, Publisher},
        verdict::Verdict,
    },
    approval::OnHoldTimeout,
    routing::alias::{Alias, Revision, Routing},
    traffic::FrontDoor,
};

/// The qualifiers that callers reach the colours by, where each colour has its own: an alias for each
/// weighted record, or the versions that target groups call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalledAs {
    /// Blue's.
    pub blue: Option<String>,
    /// Green's.
    pub green: String,
}

/// One function and the versions between which its traffic moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The function.
    pub function_name: FunctionName,
    /// The alias that callers use; none behind a load balancer, which calls versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasName>,
    /// The qualifiers of the colours, where the alias itself does not split the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_as: Option<CalledAs>,
    /// The version serving when the release began; none when the alias did not exist (a first
    /// release).
    pub blue_version: Option<Version>,
    /// The version being released.
    pub green_version: Version,
    /// The alias's revision after our last write or reading of it; none while it does not exist.
    pub revision_id: Option<Revision>,
    /// How many executions stand ready for the alias, where it splits the traffic: Lambda hands them over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<u32>,
    /// Whether green runs durable executions.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_durable: bool,
}

impl Target {
    /// What the alias is wanted to do with `weight` percent on green.
    ///
    /// Without a blue there is nothing to split with: the alias is made on green at the first
    /// weight above 0, and until then (and after a rollback) there is none.
    #[must_use]
    pub fn routing(&self, weight: Weight) -> Option<Routing> {
        match &self.blue_version {
            Some(blue) => Some(Routing::at(blue, &self.green_version, weight)),
            None if weight == Weight::ZERO => None,
            None => Some(Routing::Settled(self.green_version.clone())),
        }
    }

    /// Whether an alias has both versions, one as its own and the other with a share.
    #[must_use]
    pub fn is_between(&self, seen: &Alias) -> bool {
        let (Some(blue), green) = (&self.blue_version, &self.green_version) else {
            return false;
        };
        seen.kept_by(blue, green).is_some() || seen.kept_by(green, blue).is_some()
    }

    /// Where its requests are counted.
    ///
    /// An alias with weights counts each version's by `ExecutedVersion`. Whether these numbers exist
    /// while it has none is not documented, so its past is read by the alias alone, and so is a
    /// green that has all of an alias's traffic from the beginning.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let function = self.function_name.as_ref();
        let by = |qualifier: &str| -> Dimensions {
            vec![
                ("FunctionName", function.to_owned()),
                ("Resource", format!("{function}:{qualifier}")),
            ]
        };
        let (blue, green, past) = match (&self.called_as, &self.alias) {
            (Some(called), _) => {
                let blue = called.blue.as_deref().map(by);
                (blue.clone(), by(&called.green), blue)
            }
            (None, alias) => {
                let alias = by(alias.as_ref().map_or("", AsRef::as_ref));
                let version = |version: &Version| {
                    let mut dimensions = alias.clone();
                    dimensions.push(("ExecutedVersion", version.to_string()));
                    dimensions
                };
                match &self.blue_version {
                    Some(blue) => (
                        Some(version(blue)),
                        version(&self.green_version),
                        Some(alias.clone()),
                    ),
                    None => (None, alias, None),
                }
            }
        };
        Counted {
            name: function.to_owned(),
            publisher: Publisher::Function,
            blue,
            green,
            past,
        }
    }

    /// Whether its alias was made by this release: it can have had no caller before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.called_as.is_none() && self.blue_version.is_none()
    }

    /// Every state that a deployment with this plan can have put the alias in.
    #[must_use]
    pub fn ours(&self, plan: &Plan) -> Vec<Routing> {
        match &self.blue_version {
            Some(blue) => Routing::all_of(blue, &self.green_version, plan),
            None => vec![Routing::Settled(self.green_version.clone())],
        }
    }
}

/// What the alarm path needs to put traffic back: the targets with their revisions, and the plan
/// that says which states are ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Footprint {
    /// The targets.
    pub functions: Vec<Target>,
    /// The plan.
    pub plan: Plan,
    /// What splits the traffic.
    #[serde(default)]
    pub traffic: FrontDoor,
    /// Whether only people put it back, once green has had traffic: blue cannot work with what the
    /// migration has made of the database.
    #[serde(default, skip_serializing_if = "is_false")]
    pub freezes: bool,
}

impl Footprint {
    /// Whether it makes an alias that there was not before, so that going back is deleting it.
    #[must_use]
    pub fn makes_an_alias(&self) -> bool {
        let functions = &self.functions;
        self.traffic == FrontDoor::Alias && functions.iter().any(|one| one.blue_version.is_none())
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

/// Where a release is in its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The index of the step that is baking, or, before the first shift, of the first step.
    pub step: usize,
    /// How long it has baked, seconds: the sum of the waits.
    pub waited_seconds: u32,
    /// How long is waited next, seconds.
    pub wait_seconds: u32,
    /// How long resolvers are given to forget the old answer, seconds, while they are; it does not
    /// count as baking.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lead_seconds: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

/// When a shift is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InForce {
    /// As soon as AWS has answered.
    AtOnce,
    /// When Route 53 says that this change is; none where the change's answer was lost.
    Later(Option<String>),
}

/// A change of records that Route 53 has taken, and may not have put in force yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Propagation {
    /// The change's id; none where its answer was lost, and time has to tell.
    pub change_id: Option<String>,
    /// How long it has been waited for, seconds.
    pub waited_seconds: u32,
}

/// Why traffic stays where it is, where it would go back to blue.
pub const FROZEN: &str = "traffic stays as it is, for blue cannot work with what the migration has changed \
     (afterRollback: freeze)";

/// How often Route 53 is asked at first whether a change is in force, seconds: an account has five requests a second
/// for everything.
pub const IN_SYNC_CHECK_SECONDS: u32 = 10;

/// How long a change takes to be in force as a rule, seconds. What takes longer is asked about less and less often.
/// Where Route 53 cannot be asked, this long is waited
/// (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html>).
pub const IN_SYNC_USUAL_SECONDS: u32 = 60;

/// How long a change may take to be in force before the release is given up, seconds: the SDK's own
/// waiter's limit.
pub const IN_SYNC_LIMIT_SECONDS: u32 = 1800;

/// Returns how long is waited before Route 53 is asked again, seconds, once a change has been waited for so long: it
/// may become twice as long.
fn next_sync_check(waited_seconds: u32) -> u32 {
    let next = if waited_seconds < IN_SYNC_USUAL_SECONDS {
        IN_SYNC_CHECK_SECONDS
    } else {
        waited_seconds
    };
    next.min(IN_SYNC_LIMIT_SECONDS.saturating_sub(waited_seconds))
}

/// Returns how many turns a shift is followed, at most: until it is in force, and one for resolvers to forget.
#[must_use]
pub fn sync_turns() -> u32 {
    let (mut turns, mut waited) = (1, 0);
    while waited < IN_SYNC_LIMIT_SECONDS {
        waited += next_sync_check(waited);
        turns += 1;
    }
    turns
}

/// A step that was taken, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepTaken {
    /// Percent of traffic on green.
    pub weight: Weight,
    /// When the shift was asked for, by Step Functions' clock.
    pub started_at: Timestamp,
    /// When the weight was in force for clients, where that is later: DNS. None until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force_at: Option<Timestamp>,
    /// When the step was over; none while it bakes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What the last look said; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// What happens while a person is asked, and if none answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// How long to wait for a person, seconds.
    pub timeout_seconds: u32,
    /// What to do when nobody answered.
    pub on_timeout: OnHoldTimeout,
}

/// How a deployment ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantNames,
    JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    /// Green has all traffic.
    Successful,
    /// There was nothing to release.
    NoChange,
    /// Blue has all traffic again.
    RolledBack,
    /// Traffic is as it is, and a person has to look.
    Held,
    /// Nothing was begun.
    Rejected,
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

/// A release between two states of the execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The application that is released.
    pub application: Application,
    /// When the execution began, by Step Functions' clock.
    pub started_at: Timestamp,
    /// The functions with both versions.
    pub functions: Vec<Target>,
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
    /// Functions without a blue of which a smoke test has passed: green need not be called to be kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub smoke_tested: Vec<FunctionName>,
    /// What each function's blue showed before the release, read once; nothing of one without a blue.
    /// Not part of the targets: it is for judging, and a rollback should carry no more than it needs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub past: BTreeMap<FunctionName, BluePast>,
    /// All weights and bake times.
    pub plan: Plan,
    /// What splits the traffic.
    #[serde(default)]
    pub traffic: FrontDoor,
    /// How long it is waited, before green is validated, until the idle side cannot be reached any more,
    /// seconds; none where nothing has to be waited for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub idle_wait_seconds: u32,
    /// The change that is being put in force; none where a write is in force at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// What is watched and how it is judged.
    pub analysis: Analysis,
    /// Alarms that were in ALARM before the release and count only once they have fired anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preexisting_alarms: Vec<super::names::AlarmName>,
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
    /// What people should know, such as triggers that go past the alias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The user's migration, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// The user's hooks.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// The hook that is to be asked, or was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookRun>,
    /// How each health check is, in the order of the request; empty before the first look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Health>,
    /// Where the plan is.
    pub position: Position,
    /// What has been done.
    #[serde(default)]
    pub steps: Vec<StepTaken>,
    /// The word that `Decide` matches; absent before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Where an approval leads, or a hold when a person resumes: `shift`, `bakeOn` or `promote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Decision>,
    /// `SUCCESSFUL` once green is to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_status: Option<DeploymentStatus>,
    /// Why, in words and numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The numbers behind the last verdict.
    #[serde(default)]
    pub evidence: Evidence,
    /// What people answered so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answered>,
    /// The answer to an approval, which the state machine has put here.
    #[serde(default, deserialize_with = "lenient", skip_serializing)]
    pub approval_answer: Option<Answer>,
    /// That nobody answered an approval, which the state machine has put here.
    #[serde(default, skip_serializing)]
    pub unanswered: Option<serde_json::Value>,
    /// That nobody answered a hold, which the state machine has put here.
    #[serde(default, skip_serializing)]
    pub hold_expired: Option<serde_json::Value>,
    /// The answer to a hold, which the state machine has put here.
    #[serde(default, deserialize_with = "lenient", skip_serializing)]
    pub answer: Option<Answer>,
}

impl Release {
    /// All functions that it has to itself while it lasts.
    pub fn locked(&self) -> impl Iterator<Item = &FunctionName> {
        let moving = self.functions.iter().map(|target| &target.function_name);
        moving.chain(&self.left_out)
    }

    /// The part that the ledger keeps.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint {
            functions: self.functions.clone(),
            plan: self.plan.clone(),
            traffic: self.traffic.clone(),
            freezes: self
                .migration
                .is_some_and(|migration| migration.after_rollback == AfterRollback::Freeze),
        }
    }

    /// Whether only people put the traffic back: the migration has run, blue cannot work with it, and
    /// green has traffic. (Before that all is on blue, and stays there.)
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let migration = self.migration.is_some_and(|migration| {
            migration.ran && migration.after_rollback == AfterRollback::Freeze
        });
        migration && !self.steps.is_empty()
    }

    /// Whether the migration is run back once all traffic is on blue.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.migration.is_some_and(|migration| {
            migration.ran && migration.after_rollback == AfterRollback::RollBack
        })
    }

    /// Whether a hook is to be asked before the bake begins.
    #[must_use]
    pub fn is_hook_due(&self) -> bool {
        let due = |run: &HookRun| run.point == HookPoint::AfterShift && run.is_open();
        self.hook.as_ref().is_some_and(due)
    }

    /// The hook that is to be asked now: the one that is due, or else the one before a shift.
    #[must_use]
    pub fn next_hook(&self) -> Option<HookRun> {
        let before = || {
            let hook = self.hooks.before_shift.as_ref()?;
            Some(HookRun::due(HookPoint::BeforeShift, hook, &self.pace()))
        };
        self.hook.clone().filter(HookRun::is_open).or_else(before)
    }

    /// Takes in what a look found while a hook is due, which comes before the bake: only what is
    /// unhealthy goes first.
    pub fn take_in_before_hook(&mut self, found: Finding, now: Timestamp) {
        if found.verdict == Verdict::Unhealthy {
            self.take_in(found, now);
            return;
        }
        self.reason = found.reason;
        self.evidence = std::mem::take(&mut self.evidence).followed_by(found.evidence);
        self.decision = Some(Decision::RunHook);
    }

    /// Takes in that the hook that was asked has succeeded: after a shift, the bake begins.
    pub fn hook_has_passed(&mut self) {
        let after = |run: &HookRun| run.point == HookPoint::AfterShift;
        if let (true, Some(bake)) = (self.hook.as_ref().is_some_and(after), self.bake()) {
            self.position.wait_seconds = bake.next_wait();
        }
    }

    /// The weight that green has: the last step's, or none before the first.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.steps.last().map_or(Weight::ZERO, |step| step.weight)
    }

    /// The step that the position names; none past the end of the plan.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.plan.step(self.position.step)
    }

    fn load(&self) -> Load<'_> {
        Load {
            plan: &self.plan,
            analysis: &self.analysis,
            hooks: &self.hooks,
            follows_dns: matches!(self.traffic, FrontDoor::Route53(_)),
            slowest_seconds: self.slowest_seconds,
        }
    }

    /// Returns how often it is looked at and its hooks are called.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace::of(&self.load())
    }

    /// How far the present step's bake has come; none past the end of the plan.
    #[must_use]
    pub fn bake(&self) -> Option<Bake> {
        let bounds = self.load().bounds(self.position.step)?;
        Some(Bake {
            planned_seconds: bounds.planned_seconds,
            waited_seconds: self.position.waited_seconds,
            max_seconds: bounds.longest_seconds,
            check_every_seconds: self.pace().look_every_seconds,
        })
    }

    /// Returns how long the present step bakes at the least, seconds, whatever ends it early: until the invocations
    /// of its beginning are counted, where green is not judged any more after it.
    fn least_bake_seconds(&self) -> u32 {
        if self.plan.last_judged() == Some(self.position.step) {
            self.analysis.counted_after_seconds(self.slowest_seconds)
        } else {
            0
        }
    }

    /// Whether the planned bake is over with the wait that has just ended.
    #[must_use]
    pub fn has_baked(&self) -> bool {
        let waited = self.position.waited_seconds + self.position.wait_seconds;
        self.bake()
            .is_none_or(|bake| waited >= bake.planned_seconds)
    }

    /// Whether it is looked at less often than the request asks for.
    #[must_use]
    pub fn is_looked_at_rarely(&self) -> bool {
        self.pace().look_every_seconds > self.analysis.look_every_seconds()
    }

    /// What comes after the present step.
    #[must_use]
    pub fn next(&self) -> Next {
        let next = self.position.step + 1;
        match self.plan.step(next) {
            None => Next::End,
            Some(_) if self.plan.needs_approval(next) => Next::StepAfterApproval,
            Some(_) => Next::Step,
        }
    }

    /// Takes in that green's first weight, or a migration that takes something away, needs a person, where
    /// it does.
    pub fn ask_first(&mut self) {
        let contracts = self
            .migration
            .is_some_and(|migration| migration.phase == Phase::Contract);
        if contracts {
            self.reason =
                "its migration runs first, and takes away what older versions needed".into();
        }
        if contracts || self.plan.needs_approval(0) {
            self.decision = Some(Decision::Ask);
            self.resume = Some(Decision::Shift);
        }
    }

    /// Puts on record what people answered, where the state machine has left it. True when there was
    /// something: the execution has waited for a person.
    pub fn take_answers(&mut self, at: Timestamp) -> bool {
        let silence = self.unanswered.take().map(|_| Answer::new(Word::Silence));
        let given = [self.approval_answer.take(), silence, self.answer.take()];
        let weight = self.weight();
        let before = self.answers.len();
        let answers = given.into_iter().flatten().map(|answer| Answered {
            decision: answer.decision,
            by: answer.by,
            reason: answer.reason,
            at,
            weight,
        });
        self.answers.extend(answers);
        self.answers.len() > before
    }

    /// Takes in what a person wishes of a release that waits for nobody, after a look. A look that goes
    /// back goes first, and where a person is asked anyway there is nothing to add.
    pub fn wished(&mut self, wish: &Wish) {
        match (wish.verb, self.decision) {
            (Verb::Hold, Some(Decision::BakeOn)) => self.resume = Some(Decision::BakeOn),
            (Verb::Hold, Some(Decision::Promote)) => {
                self.deployment_status = None;
                self.resume = Some(Decision::Promote);
            }
            (Verb::Hold, Some(Decision::Shift)) => {}
            (
                Verb::Promote,
                Some(
                    Decision::BakeOn
                    | Decision::Shift
                    | Decision::Ask
                    | Decision::Hold
                    | Decision::Promote,
                ),
            ) => self.deployment_status = Some(DeploymentStatus::Successful),
            (Verb::Hold, Some(Decision::Ask | Decision::Hold))
            | (_, None | Some(Decision::RollBack | Decision::AwaitDns | Decision::RunHook)) => {
                return;
            }
        }
        self.decision = Some(match wish.verb {
            Verb::Hold => Decision::Hold,
            Verb::Promote => Decision::Promote,
        });
        self.reason = format!("{}; {}", wish.told(), self.reason);
    }

    /// Takes in that a shift was made, which may have to be in force before the bake begins.
    pub fn shifted(&mut self, in_force: InForce, now: Timestamp) {
        let Some(step) = self.step() else { return };
        self.decision = None;
        self.resume = None;
        self.steps.push(StepTaken {
            weight: step.weight,
            started_at: now,
            in_force_at: None,
            ended_at: None,
            verdict: None,
        });
        self.position = Position {
            step: self.position.step,
            ..Position::default()
        };
        let (after, pace) = (self.hooks.after_shift.as_ref(), self.pace());
        self.hook = after.map(|hook| HookRun::due(HookPoint::AfterShift, hook, &pace));
        (self.position.wait_seconds, self.propagation) = match in_force {
            InForce::AtOnce => (self.first_wait(), None),
            InForce::Later(change_id) => {
                let waited_seconds = 0;
                let propagation = Propagation {
                    change_id,
                    waited_seconds,
                };
                (next_sync_check(waited_seconds), Some(propagation))
            }
        };
    }

    /// How long is waited before a step is looked at first, seconds: not at all while a hook is due.
    fn first_wait(&self) -> u32 {
        match self.bake() {
            Some(bake) if !self.is_hook_due() => bake.next_wait(),
            Some(_) | None => 0,
        }
    }

    /// Whether the last shift has still to reach clients: DNS is following, and nothing is baking.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.propagation.is_some() || self.position.lead_seconds > 0
    }

    /// Takes in whether the last change is in force, and what the alarms say meanwhile. Once it is,
    /// resolvers are given time to forget the old answer, and then the bake begins.
    pub fn followed(&mut self, in_sync: bool, alarms: Finding, now: Timestamp) {
        if self.step().is_none() {
            return;
        }
        self.reason = alarms.reason;
        self.evidence = std::mem::take(&mut self.evidence).followed_by(alarms.evidence);
        let waited = self.propagation.as_mut().map(|propagation| {
            propagation.waited_seconds += self.position.wait_seconds;
            propagation.waited_seconds
        });
        let lead_seconds = match &self.traffic {
            FrontDoor::Route53(records) => records.dns_seconds,
            FrontDoor::Alias | FrontDoor::Alb(_) => 0,
        };
        let (decision, wait_seconds) = match waited {
            _ if alarms.verdict == Verdict::Unhealthy => (Decision::RollBack, 0),
            Some(waited) if !in_sync && waited >= IN_SYNC_LIMIT_SECONDS => {
                self.reason = format!("Route 53 did not put the change in force within {waited} s");
                self.evidence.decided_by = Some("notInSync".into());
                (Decision::RollBack, 0)
            }
            Some(waited) if !in_sync => (Decision::AwaitDns, next_sync_check(waited)),
            Some(_) if lead_seconds > 0 => {
                self.propagation = None;
                self.position.lead_seconds = lead_seconds;
                (Decision::AwaitDns, lead_seconds)
            }
            Some(_) | None => {
                self.propagation = None;
                self.position.lead_seconds = 0;
                if let Some(taken) = self.steps.last_mut() {
                    taken.in_force_at = Some(now);
                }
                (Decision::BakeOn, self.first_wait())
            }
        };
        self.position.wait_seconds = wait_seconds;
        self.decision = Some(decision);
        if decision == Decision::RollBack && self.is_frozen() {
            self.hold_frozen(Decision::BakeOn);
        }
    }

    /// Notes that functions were not judged, because nobody has called them.
    fn warn_of_uncalled(&mut self, uncalled: &[FunctionName]) {
        for target in &self.functions {
            let Some(alias) = target
                .alias
                .as_ref()
                .filter(|_| uncalled.contains(&target.function_name))
            else {
                continue;
            };
            let warning = format!(
                "{}: nobody calls alias {alias} yet, so nothing but its smoke tests and the alarms speaks for version {}",
                target.function_name, target.green_version
            );
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Holds what would go back to blue, if blue could work.
    fn hold_frozen(&mut self, resume: Decision) {
        self.decision = Some(Decision::Hold);
        self.resume = Some(resume);
        self.reason = format!("{FROZEN}: {}", self.reason);
    }

    /// Takes in what a look at the present step found: the verdict and its numbers, the decision on
    /// them, and where the release then is in its plan.
    pub fn take_in(&mut self, found: Finding, now: Timestamp) {
        self.position.waited_seconds += self.position.wait_seconds;
        let Some(mut bake) = self.bake() else { return };
        if found.early_proceed && self.analysis.early_proceed {
            let early = bake.waited_seconds.max(self.least_bake_seconds());
            bake.planned_seconds = bake.planned_seconds.min(early);
        }
        let mut decided = decide(
            found.verdict,
            &bake,
            self.next(),
            self.analysis.on_inconclusive,
        );
        let frozen = decided.decision == Decision::RollBack && self.is_frozen();
        if frozen {
            decided.decision = Decision::Hold;
        }
        if matches!(
            decided.decision,
            Decision::Shift | Decision::Ask | Decision::Promote
        ) {
            self.warn_of_uncalled(&found.evidence.uncalled);
        }

        if let Some(taken) = self.steps.last_mut() {
            taken.verdict = Some(found.verdict);
            if decided.decision != Decision::BakeOn {
                taken.ended_at = Some(now);
            }
        }
        self.reason = if frozen {
            format!("{FROZEN}: {}", found.reason)
        } else {
            found.reason
        };
        self.evidence = std::mem::take(&mut self.evidence).followed_by(found.evidence);
        self.decision = Some(decided.decision);
        match (decided.decision, self.next()) {
            (Decision::BakeOn, _) => self.position.wait_seconds = decided.wait_seconds,
            (
                Decision::Shift | Decision::Ask | Decision::Hold,
                Next::Step | Next::StepAfterApproval,
            ) => {
                self.position = Position {
                    step: self.position.step + 1,
                    ..Position::default()
                };
                self.resume = Some(Decision::Shift);
            }
            (Decision::Shift | Decision::Ask | Decision::Hold, Next::End) => {
                self.resume = Some(Decision::Promote);
            }
            (Decision::Promote, _) => self.deployment_status = Some(DeploymentStatus::Successful),
            (Decision::RollBack | Decision::AwaitDns | Decision::RunHook, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(analysis: &serde_json::Value) -> Release {
        let mut release: Release = serde_json::from_value(json!({
            "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 100}, {"weight": 100, "bakeSeconds": 100}]},
            "analysis": analysis, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60},
            "steps": [{"weight": 10, "startedAt": "2026-11-20T12:00:00Z"}]})).unwrap();
        release.position.wait_seconds = 60;
        release
    }

    fn found(verdict: Verdict) -> Finding {
        Finding {
            verdict,
            reason: "because".into(),
            evidence: Evidence::default(),
            early_proceed: true,
        }
    }

    fn now() -> Timestamp {
        "2026-11-20T12:01:00Z".parse().unwrap()
    }

    #[test]
    fn a_bake_goes_on_to_its_end_and_then_to_the_next_step() {
        let mut release = release(&json!({}));
        release.take_in(found(Verdict::Healthy), now());
        assert_eq!(
            (release.decision, release.position.wait_seconds),
            (Some(Decision::BakeOn), 40)
        );
        release.take_in(found(Verdict::Healthy), now());
        assert_eq!(
            (release.decision, release.position.step),
            (Some(Decision::Shift), 1)
        );
        assert_eq!(release.position.waited_seconds, 0);
        assert_eq!(release.steps[0].ended_at, Some(now()));
    }

    #[test]
    fn the_end_of_the_plan_is_a_promotion() {
        let mut release = release(&json!({}));
        release.position = Position {
            step: 1,
            waited_seconds: 40,
            wait_seconds: 60,
            lead_seconds: 0,
        };
        release.take_in(found(Verdict::Healthy), now());
        assert_eq!(release.decision, Some(Decision::Promote));
        assert_eq!(
            release.deployment_status,
            Some(DeploymentStatus::Successful)
        );
    }

    #[test]
    fn a_step_ends_early_only_when_the_request_asks_for_it() {
        let mut patient = release(&json!({}));
        patient.take_in(found(Verdict::Healthy), now());
        assert_eq!(patient.decision, Some(Decision::BakeOn));
        let mut impatient = release(&json!({"earlyProceed": true}));
        impatient.take_in(found(Verdict::Healthy), now());
        assert_eq!(impatient.decision, Some(Decision::Shift));
        let mut unsure = release(&json!({"earlyProceed": true}));
        unsure.take_in(
            Finding {
                early_proceed: false,
                ..found(Verdict::Healthy)
            },
            now(),
        );
        assert_eq!(unsure.decision, Some(Decision::BakeOn));
    }

    #[test]
    fn a_bake_begins_when_dns_has_followed() {
        let mut release = release(&json!({}));
        release.traffic = serde_json::from_value(
            json!({"type": "route53", "hostedZoneId": "Z1", "recordName": "a.example.com",
            "recordType": "A", "blue": "blue", "green": "green", "dnsSeconds": 60}),
        )
        .unwrap();
        release.steps.clear();
        release.shifted(InForce::Later(Some("C1".into())), now());
        let mut seen = Vec::new();
        for in_sync in [false, true, true] {
            assert!(release.is_following());
            release.followed(in_sync, found(Verdict::Inconclusive), now());
            seen.push((release.decision.unwrap(), release.position.wait_seconds));
        }
        assert_eq!(
            seen,
            [
                (Decision::AwaitDns, IN_SYNC_CHECK_SECONDS),
                (Decision::AwaitDns, 60),
                (Decision::BakeOn, 60)
            ]
        );
        assert!(!release.is_following());
        assert_eq!(
            (
                release.position.waited_seconds,
                release.steps[0].in_force_at
            ),
            (0, Some(now()))
        );
    }

    #[test]
    fn an_alarm_ends_the_wait_for_dns_and_so_does_its_limit() {
        let mut release = release(&json!({}));
        release.shifted(InForce::Later(Some("C1".into())), now());
        let mut alarmed = release.clone();
        alarmed.followed(false, found(Verdict::Unhealthy), now());
        assert_eq!(alarmed.decision, Some(Decision::RollBack));
        let mut waits = Vec::new();
        while release.decision != Some(Decision::RollBack) {
            waits.push(release.position.wait_seconds);
            release.followed(false, found(Verdict::Healthy), now());
        }
        assert_eq!(waits, [10, 10, 10, 10, 10, 10, 60, 120, 240, 480, 840]);
        assert_eq!(u32::try_from(waits.len()).unwrap() + 1, sync_turns());
        assert_eq!(release.decision, Some(Decision::RollBack));
        assert_eq!(release.evidence.decided_by.as_deref(), Some("notInSync"));
    }

    fn wish(verb: Verb) -> Wish {
        Wish::new(verb, "Ada", Some("lunch"), now())
    }

    #[test]
    fn a_wish_to_hold_stops_where_it_is_and_can_be_resumed() {
        for (looks, resume) in [(1, Decision::BakeOn), (2, Decision::Shift)] {
            let mut release = release(&json!({}));
            for _ in 0..looks {
                release.take_in(found(Verdict::Healthy), now());
            }
            let wait = release.position.wait_seconds;
            release.wished(&wish(Verb::Hold));
            assert_eq!(
                (release.decision, release.resume),
                (Some(Decision::Hold), Some(resume))
            );
            assert_eq!(release.position.wait_seconds, wait, "what is left to bake");
            assert_eq!(release.reason, "Ada asked to hold it: lunch; because");
        }
        // At the very end, too.
        let mut release = release(&json!({}));
        release.position.step = 1;
        release.position.waited_seconds = 40;
        release.take_in(found(Verdict::Healthy), now());
        release.wished(&wish(Verb::Hold));
        assert_eq!(
            (release.decision, release.resume, release.deployment_status),
            (Some(Decision::Hold), Some(Decision::Promote), None)
        );
    }

    #[test]
    fn a_wish_to_promote_skips_the_rest_but_no_verdict() {
        let mut release = release(&json!({}));
        release.take_in(found(Verdict::Healthy), now());
        let mut worse = release.clone();
        release.wished(&wish(Verb::Promote));
        assert_eq!(
            (release.decision, release.deployment_status),
            (Some(Decision::Promote), Some(DeploymentStatus::Successful))
        );
        worse.take_in(found(Verdict::Unhealthy), now());
        worse.wished(&wish(Verb::Promote));
        assert_eq!(
            (worse.decision, worse.deployment_status),
            (Some(Decision::RollBack), None)
        );
    }

    #[test]
    fn the_first_step_asks_where_the_plan_says_so() {
        let mut quiet = release(&json!({}));
        quiet.ask_first();
        assert_eq!(quiet.decision, None);
        let mut asking = quiet;
        asking.plan = serde_json::from_value(
            json!({"steps": [{"weight": 100, "bakeSeconds": 0}], "approveBefore": 100}),
        )
        .unwrap();
        asking.ask_first();
        assert_eq!(
            (asking.decision, asking.resume),
            (Some(Decision::Ask), Some(Decision::Shift))
        );
        for (phase, asks) in [
            (Phase::Expand, None),
            (Phase::Contract, Some(Decision::Ask)),
        ] {
            let mut migrating = release(&json!({}));
            migrating.migration = Some(Migration {
                phase,
                after_rollback: AfterRollback::default(),
                ran: false,
            });
            migrating.ask_first();
            assert_eq!(migrating.decision, asks, "{phase:?}");
        }
    }

    #[test]
    fn answers_are_taken_once_and_in_their_order() {
        let mut state = json!(release(&json!({})));
        state["approvalAnswer"] = json!({"decision": "reject", "by": "Ada"});
        state["answer"] = json!({"decision": "resume"});
        let mut release: Release = serde_json::from_value(state).unwrap();
        assert!(release.take_answers(now()));
        let words: Vec<_> = release.answers.iter().map(|a| a.decision).collect();
        assert_eq!(words, [Word::Reject, Word::Resume]);
        assert_eq!(release.answers[0].weight, release.weight());
        assert!(!release.take_answers(now()));
        let next: Release = serde_json::from_value(json!(release)).unwrap();
        assert_eq!((next.answers.len(), next.answer), (2, None));
    }

    fn migrated(after_rollback: &str) -> Release {
        let mut release = release(&json!({}));
        release.migration = serde_json::from_value(
            json!({"phase": "expand", "afterRollback": after_rollback, "ran": true}),
        )
        .unwrap();
        release
    }

    #[test]
    fn a_migration_that_freezes_holds_what_would_go_back() {
        let mut frozen = migrated("freeze");
        assert!(frozen.footprint().freezes && !frozen.is_undone());
        let mut first = frozen.clone();
        first.steps.clear();
        assert!(
            !first.is_frozen(),
            "before green has traffic all is on blue"
        );
        frozen.take_in(found(Verdict::Unhealthy), now());
        assert_eq!(
            (frozen.decision, frozen.resume, frozen.position.step),
            (Some(Decision::Hold), Some(Decision::Shift), 1)
        );
        assert!(frozen.reason.starts_with(FROZEN), "{}", frozen.reason);

        let mut back = migrated("rollBack");
        assert!(back.is_undone() && !back.footprint().freezes);
        back.take_in(found(Verdict::Unhealthy), now());
        assert_eq!(back.decision, Some(Decision::RollBack));
    }

    #[test]
    fn a_migration_that_freezes_holds_while_dns_follows_and_goes_on_from_there() {
        let mut release = migrated("freeze");
        release.shifted(InForce::Later(Some("C1".into())), now());
        release.followed(false, found(Verdict::Unhealthy), now());
        assert_eq!(
            (release.decision, release.resume),
            (Some(Decision::Hold), Some(Decision::BakeOn))
        );
        assert!(release.is_following());
    }

    fn hooked() -> Release {
        let mut release = release(&json!({}));
        release.hooks = serde_json::from_value(json!({
            "beforeShift": {"functionName": "before"}, "afterShift": {"functionName": "after"},
        }))
        .unwrap();
        release
    }

    #[test]
    fn a_hook_after_a_shift_comes_before_its_bake() {
        let mut release = hooked();
        release.shifted(InForce::AtOnce, now());
        assert!(release.is_hook_due());
        assert_eq!(release.position.wait_seconds, 0);
        release.take_in_before_hook(found(Verdict::Inconclusive), now());
        assert_eq!(release.decision, Some(Decision::RunHook));
        let mut run = release.next_hook().unwrap();
        assert_eq!(run.function_name.as_ref(), "after");
        assert_eq!(run.begin(), Some(300));
        let answer = json!({"hookStatus": "SUCCEEDED"});
        assert_eq!(
            run.hear(&crate::domain::hook::Said::Answer(answer), 1),
            None
        );
        release.hook = Some(run);
        release.hook_has_passed();
        assert!(!release.is_hook_due());
        assert_eq!(release.position.wait_seconds, 60, "the bake is whole");
        assert_eq!(
            release.next_hook().unwrap().point,
            HookPoint::BeforeShift,
            "the next one is before a shift"
        );
    }

    #[test]
    fn what_is_unhealthy_goes_before_a_hook() {
        let mut release = hooked();
        release.shifted(InForce::AtOnce, now());
        release.take_in_before_hook(found(Verdict::Unhealthy), now());
        assert_eq!(release.decision, Some(Decision::RollBack));
    }

    #[test]
    fn a_hold_says_where_it_leads() {
        let mut release = release(&json!({"maxBakeSeconds": 100}));
        release.position.wait_seconds = 100;
        release.take_in(found(Verdict::Inconclusive), now());
        assert_eq!(
            (release.decision, release.resume),
            (Some(Decision::Hold), Some(Decision::Shift))
        );
    }
}
