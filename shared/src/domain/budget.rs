//! Spreads what a release does over the events that Step Functions keeps of an execution.
//!
//! An execution that reaches [`MAX_EVENTS`] fails, and no Catch sees it. So how often a bake is looked at, and a hook
//! in progress is called, follows from the longest way that the request allows: every bake extended to its limit,
//! every hook in progress until its timeout, every change of DNS as late as it may be.

use super::{
    analysis::Analysis,
    hook::request::{HookRequest, Hooks},
    plan::Plan,
};
use crate::domain::propagation::sync_attempts;

/// How many events an execution may have: AWS's limit.
pub const MAX_EVENTS: u32 = 25_000;

/// How many events the longest way may take. The rest is for tasks that are tried again, three events each, for a
/// stage, and for operators who hold and resume.
const BUDGET: u32 = 23_000;

/// The longest pause that looks and calls are stretched to, seconds. What would take a longer one is refused.
pub const LONGEST_PAUSE_SECONDS: u32 = 3_600;

/// The longest that all planned bakes may take together, seconds: 29 days. The execution ends after 30.
pub const MOST_BAKING_SECONDS: u64 = 29 * 86_400;

/// The longest that Lambda lets an invocation take, seconds.
pub const LONGEST_INVOCATION_SECONDS: u32 = 900;

/// A state with a task has five events, a wait or a choice two, a wait for an operator six.
///
/// The states outside of all loops: from the start to the `Decide` after `ValidateGreen` 19, a migration there and
/// back 14, an approval that leads to a hold 26, a promotion 22 and a rollback 16.
const ONCE: u32 = 19 + 14 + 26 + 22 + 16;
/// `ShiftTraffic`.
const SHIFT: u32 = 5;
/// `Bake`, `CheckAlarms`, `Decide`; or `RunHook`, `Decide`, `AwaitHook`.
const TURN: u32 = 9;
/// A stage that is wired: 40 turns of `WireStage`, `Decide` and `AwaitStage`, and the first two once more.
const STAGE_WIRING: u32 = 40 * TURN + 7;

/// What decides how many events a release takes.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// All weights and bakes.
    pub plan: &'a Plan,
    /// How bakes are judged, and how long they may be extended.
    pub analysis: &'a Analysis,
    /// The user's hooks.
    pub hooks: &'a Hooks,
    /// Whether each shift has to reach clients by DNS.
    pub follows_dns: bool,
    /// The longest that an invocation of green may take, seconds; 0 where that is not known.
    pub slowest_seconds: u32,
}

/// How often a release is looked at and its hooks are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often a bake is looked at, seconds.
    pub look_every_seconds: u32,
    /// How many events the longest way takes.
    pub events: u32,
    /// How many pauses the calls of a hook may have between them.
    pauses: u32,
}

impl Pace {
    /// Returns the fastest pace at which `load` stays within the budget.
    #[must_use]
    pub fn of(load: &Load<'_>) -> Self {
        let steps = count(load.plan.len());
        let follows = if load.follows_dns {
            TURN * sync_attempts()
        } else {
            0
        };
        let first_look = if load.hooks.after_shift.is_some() {
            TURN
        } else {
            0
        };
        let fixed = ONCE + steps * (SHIFT + follows + first_look);
        let turns = BUDGET.saturating_sub(fixed) / TURN;

        let hooks = || hooks(load.hooks, steps);
        let points: u32 = hooks().map(|(_, times)| times).sum();
        // At most half of what there is; a hook is called once more than it has pauses.
        let pauses = (turns / 2)
            .checked_div(points)
            .map_or(1, |each| each.saturating_sub(1).max(1));
        let calls: u32 = hooks()
            .map(|(hook, times)| times * calls(hook.timeout_seconds, pauses))
            .sum();

        let bakes = || (0..load.plan.len()).filter_map(|index| load.bounds(index));
        let looks = |every| bakes().map(|bounds| bounds.looks(every)).sum::<u32>();
        let left = turns.saturating_sub(calls);
        let look_every_seconds = least(
            load.analysis.look_every_seconds(),
            bakes()
                .map(|bounds| bounds.longest_seconds)
                .max()
                .unwrap_or(0),
            |every| looks(every) <= left,
        );
        Self {
            look_every_seconds,
            events: fixed + TURN * (calls + looks(look_every_seconds)),
            pauses,
        }
    }

    /// Returns the shortest pause between two calls of a hook, seconds.
    #[must_use]
    pub fn call_every_seconds(&self, hook: &HookRequest) -> u32 {
        pause(hook.timeout_seconds, self.pauses)
    }

    /// Returns the longest timeout with which a hook is called often enough, seconds.
    #[must_use]
    pub fn longest_hook_seconds(&self) -> u32 {
        self.pauses.saturating_mul(LONGEST_PAUSE_SECONDS)
    }

    /// Returns the events of the longest way, those of a stage included where there is one.
    #[must_use]
    pub fn events_with(&self, is_wired: bool) -> u32 {
        self.events + if is_wired { STAGE_WIRING } else { 0 }
    }
}

/// How long a bake takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long it is planned to take, seconds.
    pub planned_seconds: u32,
    /// How long it may take, extensions included, seconds. No less than that.
    pub longest_seconds: u32,
}

impl Bounds {
    /// Returns how often it is looked at, at most. A look never goes past the planned end.
    fn looks(self, every: u32) -> u32 {
        let extension = self.longest_seconds - self.planned_seconds;
        let looks = self.planned_seconds.div_ceil(every) + extension.div_ceil(every);
        looks.max(1)
    }
}

impl Load<'_> {
    /// Returns how long the step at `index` bakes; none after the last.
    ///
    /// CloudWatch counts an invocation once it has ended. Before green is kept, those that began in its last judged
    /// step have been counted, however long they took.
    #[must_use]
    pub fn bounds(&self, index: usize) -> Option<Bounds> {
        let step = self.plan.step(index)?;
        let least = if self.plan.last_judged() == Some(index) {
            self.analysis.counted_after_seconds(self.slowest_seconds)
        } else {
            0
        };
        let planned_seconds = step.bake_seconds.max(least);
        Some(Bounds {
            planned_seconds,
            longest_seconds: self
                .analysis
                .longest_bake_seconds(step)
                .max(planned_seconds),
        })
    }
}

/// Returns the hooks, each with how often a release comes to it.
fn hooks(hooks: &Hooks, steps: u32) -> impl Iterator<Item = (&HookRequest, u32)> {
    let points = [
        (&hooks.before_shift, steps),
        (&hooks.after_shift, steps),
        (&hooks.after_promote, 1),
        (&hooks.after_rollback, 1),
    ];
    points
        .into_iter()
        .filter_map(|(hook, times)| Some((hook.as_ref()?, times)))
}

fn pause(timeout_seconds: u32, pauses: u32) -> u32 {
    timeout_seconds.div_ceil(pauses).max(1)
}

/// Returns how often a hook is called, at most, until its timeout; the last time finds that it is over.
fn calls(timeout_seconds: u32, pauses: u32) -> u32 {
    timeout_seconds.div_ceil(pause(timeout_seconds, pauses)) + 1
}

/// Returns the least number from `low` to `high` that fits, or the larger of them where none does.
pub(crate) fn least(low: u32, high: u32, fits: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (low, high.max(low));
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Returns the largest number from `low` to `high` that fits, where none fits that is larger than one that does not;
/// none where not even `low` does.
pub(crate) fn most(low: u32, high: u32, fits: impl Fn(u32) -> bool) -> Option<u32> {
    // The first that does not is one more.
    let first = least(low, high.saturating_add(1), |number| {
        number > high || !fits(number)
    });
    first.checked_sub(1).filter(|number| *number >= low)
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Says what to change, where this is how an execution failed.
#[must_use]
pub fn advice(cause: &str) -> Option<String> {
    cause
        .contains("maximum number of history events")
        .then(|| {
            format!(
                "an execution may have no more than {MAX_EVENTS} events, and what was tried again took too many of \
                 them; release again with shorter bakes (analysis.maxBakeSeconds), fewer looks \
                 (analysis.checkEverySeconds), or a longer callBackDelay in the answers of a hook"
            )
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::request::{ReleaseRequest, Request};

    #[allow(clippy::needless_pass_by_value)] // What `json!` makes.
    pub(crate) fn request(more: serde_json::Value) -> ReleaseRequest {
        let mut request = json!({"application": "chat", "strategy": "dev",
            "functions": [{"functionName": "f", "alias": "live"}]});
        for (field, value) in more.as_object().unwrap() {
            request[field] = value.clone();
        }
        match Request::parse(&request) {
            Ok(Request::Release(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keeps_the_pace_of_the_request_where_it_fits() {
        let day = request(
            json!({"strategy": {"type": "canary", "steps": [{"weight": 100, "bakeSeconds": 28_800}]}}),
        );
        let pace = day.pace();
        assert_eq!(pace.look_every_seconds, 60);
        assert_eq!(
            pace.events,
            ONCE + SHIFT + TURN * (28_800 / 60 + 57_600 / 60)
        );
        let small = request(json!({}));
        assert_eq!(small.pace().events, ONCE + SHIFT + TURN);
    }

    #[test]
    fn looks_less_often_where_the_longest_way_would_be_too_long() {
        let two_days = |every: u32| {
            let steps =
                json!({"type": "canary", "steps": [{"weight": 100, "bakeSeconds": 86_400}]});
            request(json!({"strategy": steps, "analysis": {"checkEverySeconds": every}})).pace()
        };
        let pace = two_days(10);
        assert_eq!((pace, pace.look_every_seconds), (two_days(60), 68));
        assert!((22_000..23_000).contains(&pace.events), "{pace:?}");
        assert_eq!(two_days(600).look_every_seconds, 600);
    }

    #[test]
    fn calls_a_hook_less_often_the_longer_and_the_more_often_it_may_be_in_progress() {
        let every = |strategy: &str, timeout: u32| {
            let hook = json!({"functionName": "hook", "timeoutSeconds": timeout});
            let asked = request(json!({"strategy": strategy, "hooks": {"beforeShift": hook}}));
            let pace = asked.pace();
            pace.call_every_seconds(asked.hooks.before_shift.as_ref().unwrap())
        };
        assert_eq!(every("dev", 300), 1);
        assert_eq!(every("dev", 86_400), 68);
        assert_eq!(every("Linear10PercentEvery1Minute", 300), 3);
        assert_eq!(every("Linear10PercentEvery1Minute", 86_400), 692);
    }

    #[test]
    fn extends_the_last_judged_step_for_slow_invocations() {
        let asked = request(json!({"strategy": {"type": "canary", "steps": [
            {"weight": 10, "bakeSeconds": 60}, {"weight": 50, "bakeSeconds": 60}, {"weight": 100, "bakeSeconds": 0}]}}));
        let plan = asked.plan();
        let load = |slowest_seconds| Load {
            slowest_seconds,
            ..asked.load(&plan)
        };
        let bounds = |slowest, index| {
            let bounds = load(slowest).bounds(index).unwrap();
            (bounds.planned_seconds, bounds.longest_seconds)
        };
        assert_eq!(
            [0, 1, 2].map(|index| bounds(300, index)),
            [(60, 180), (480, 480), (0, 0)]
        );
        assert_eq!(
            bounds(0, 1),
            (60, 180),
            "a release that began before this was known"
        );
        assert_eq!(load(300).bounds(3), None);
    }

    #[test]
    fn says_what_to_change_where_the_limit_was_reached() {
        let cause = "The execution reached the maximum number of history events (25000).";
        assert!(advice(cause).is_some_and(|told| told.contains("maxBakeSeconds")));
        assert_eq!(advice("The state was stopped"), None);
    }
}
