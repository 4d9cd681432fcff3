//! Rules of time: bakes, smoke tests, and the limits of an execution.

use serde_json::Value;

use super::{items, problem, read, read_or_default};
use crate::{
    domain::{
        analysis::{Analysis, MAX_EXTENDED_BAKE_SECONDS},
        budget::{
            LONGEST_INVOCATION_SECONDS, LONGEST_PAUSE_SECONDS, Load, MAX_EVENTS,
            MOST_BAKING_SECONDS, Pace, most,
        },
        hook::Hooks,
        plan::PlanError,
        strategy::Planned,
    },
    parse::problem::Problem,
    wire::request::smoke_test::MAX_VALIDATION_SECONDS,
};

pub(super) fn max_bake_holds_every_bake(request: &Value, problems: &mut Vec<Problem>) {
    let max = request["analysis"]["maxBakeSeconds"].as_f64();
    let planned: Option<Planned> = read(&request["strategy"]);
    let (Some(max), Some(planned)) = (max, planned) else {
        return;
    };
    let longest = planned.plan().longest_bake_seconds();
    // A value out of range is reported elsewhere.
    if (0.0..f64::from(longest)).contains(&max) {
        problems.push(Problem {
            path: "analysis.maxBakeSeconds".to_owned(),
            message: format!(
                "is {max}, less than the strategy's longest bake; give at least {longest}, or leave \
                 it out"
            ),
        });
    }
}

/// A step that has more than the last one would take from the control group, and give it back.
pub(super) fn control_group_is_left_by_every_step(request: &Value, problems: &mut Vec<Problem>) {
    let planned: Option<Planned> = read(&request["strategy"]);
    let analysis: Option<Analysis> = read_or_default(&request["analysis"]);
    let (Some(planned), Some(analysis)) = (planned, analysis) else {
        return;
    };
    let control = analysis.control_percent.unwrap_or(planned.control());
    if let Err(errors) = planned.plan().clone().keeping(control) {
        let steps = errors.as_slice().iter().map(|error| match error {
            PlanError::IntoControl { index, weight, .. } => {
                format!("step {} has {weight}", index + 1)
            }
            other => other.to_string(),
        });
        let steps: Vec<_> = steps.collect();
        let (most, kept) = (control.rest(), control.percent());
        problems.push(problem(
            "analysis.controlPercent",
            format!(
                "is {kept}, so the last step has {most}, and {}; every step before the last must have less than {most}: \
                 give a smaller controlPercent, or leave these steps out",
                steps.join(", ")
            ),
        ));
    }
}

/// An execution has 25,000 events and 30 days. Looks and the calls of hooks are spread over the events; what would be
/// looked at, or called, less than once an hour is refused.
pub(super) fn execution_has_room(request: &Value, problems: &mut Vec<Problem>) {
    let planned: Option<Planned> = read(&request["strategy"]);
    let (Some(planned), Some(analysis), Some(hooks)) = (
        planned,
        read_or_default::<Analysis>(&request["analysis"]),
        read_or_default::<Hooks>(&request["hooks"]),
    ) else {
        return;
    };
    let plan = planned.plan();
    let total = plan.total_bake_seconds();
    if total > MOST_BAKING_SECONDS {
        let message = format!(
            "bakes for {total} s in all; an execution of Step Functions lasts 30 days at most: give at most \
             {MOST_BAKING_SECONDS}"
        );
        problems.push(problem("strategy", message));
        return;
    }
    let load = Load {
        plan,
        analysis: &analysis,
        hooks: &hooks,
        follows_dns: request["traffic"]["type"] == "route53",
        slowest_seconds: LONGEST_INVOCATION_SECONDS,
    };
    let pace = Pace::of(&load);
    let limit = format!("an execution of Step Functions has {MAX_EVENTS} events at most");
    let called = [
        ("beforeShift", &hooks.before_shift),
        ("afterShift", &hooks.after_shift),
        ("afterPromote", &hooks.after_promote),
        ("afterRollback", &hooks.after_rollback),
    ];
    for (point, hook) in called {
        let Some(hook) = hook
            .as_ref()
            .filter(|hook| pace.call_every_seconds(hook) > LONGEST_PAUSE_SECONDS)
        else {
            continue;
        };
        let message = format!(
            "is {}, and with {} steps the hook could be called less than once an hour: {limit}; give at most {}",
            hook.timeout_seconds,
            plan.len(),
            pace.longest_hook_seconds()
        );
        problems.push(problem(format!("hooks.{point}.timeoutSeconds"), message));
    }
    if pace.look_every_seconds <= LONGEST_PAUSE_SECONDS {
        return;
    }
    let fits = |seconds: u32| {
        let mut analysis = analysis.clone();
        analysis.max_bake_seconds = Some(seconds);
        let load = Load {
            analysis: &analysis,
            ..load
        };
        Pace::of(&load).look_every_seconds <= LONGEST_PAUSE_SECONDS
    };
    let rarely = format!("they could be looked at less than once an hour: {limit}");
    problems.push(
        match most(plan.longest_bake_seconds(), MAX_EXTENDED_BAKE_SECONDS, fits) {
            Some(longest) => problem(
                "analysis.maxBakeSeconds",
                format!("lets {} steps bake so long that {rarely}; give at most {longest}", plan.len()),
            ),
            None => problem(
                "strategy",
                format!(
                    "has {} steps that bake so long that {rarely}; give fewer steps or shorter bakes",
                    plan.len()
                ),
            ),
        },
    );
}

/// A function's tests run one after the other, within one invocation of the function that runs them. (One
/// test alone is waited for as long as that lasts.)
pub(super) fn smoke_tests_fit_their_time(at: &str, function: &Value, problems: &mut Vec<Problem>) {
    let limits: Vec<f64> = items(&function["smokeTests"])
        .iter()
        .filter_map(|test| test["expect"]["maxDurationMs"].as_f64())
        .collect();
    let together: f64 = limits.iter().sum();
    if limits.len() > 1 && together > f64::from(MAX_VALIDATION_SECONDS) * 1e3 {
        let message = format!(
            "may take {together:.0} ms together, by their maxDurationMs; all tests of a function have at \
             most {MAX_VALIDATION_SECONDS}000 ms: lower maxDurationMs, or leave tests out"
        );
        problems.push(problem(format!("{at}.smokeTests"), message));
    }
}
