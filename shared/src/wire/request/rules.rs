//! Rules between fields.
//!
//! Each reads only the fields that it compares, and reads them for itself, so that a mistake
//! elsewhere in the request does not hide it: all problems at once.

mod counted;
mod time;
mod traffic;

use std::collections::BTreeMap;

use deserr::Deserr;
use serde_json::Value;

use self::{
    time::{
        control_group_is_left_by_every_step, execution_has_room, max_bake_holds_every_bake,
        smoke_tests_fit_their_time,
    },
    traffic::{
        colours_are_aliases, functions_fit_the_splitter, groups_can_be_told_apart,
        health_checks_follow_the_colour, records_can_be_told_apart,
    },
};
use crate::{
    domain::{names::AliasName, stage_wiring::LATEST_ALIAS},
    parse::{
        bounds::quoted,
        problem::{Problem, Problems},
    },
};

/// Every rule that the release breaks.
pub(super) fn broken(request: &Value) -> Vec<Problem> {
    let functions = items(&request["functions"]);
    let mut problems = Vec::new();
    functions_fit_the_splitter(request, functions, &mut problems);
    records_can_be_told_apart(&request["traffic"], &mut problems);
    groups_can_be_told_apart(&request["traffic"], &mut problems);
    colours_are_aliases(&request["traffic"], functions, &mut problems);
    each_function_once(functions, &mut problems);
    for (index, function) in functions.iter().enumerate() {
        let at = format!("functions[{index}]");
        each_test_name_once(&at, function, &mut problems);
        warm_or_cold_needs_a_smoke_test(&at, function, &mut problems);
        smoke_tests_fit_their_time(&at, function, &mut problems);
        if request["strategy"] == "staging" {
            staging_has_a_smoke_test(&at, function, &mut problems);
        }
    }
    each_alarm_once(items(&request["analysis"]["alarms"]), &mut problems);
    each_health_check_once(items(&request["analysis"]["healthChecks"]), &mut problems);
    health_checks_follow_the_colour(request, &mut problems);
    counted::broken(request, &mut problems);
    max_bake_holds_every_bake(request, &mut problems);
    control_group_is_left_by_every_step(request, &mut problems);
    execution_has_room(request, &mut problems);
    stage_wiring_names_a_function(request, functions, &mut problems);
    what_takes_away_waits_for_a_person(request, &mut problems);
    problems
}

/// Refuses a contract migration that would run because no operator answered.
fn what_takes_away_waits_for_a_person(request: &Value, problems: &mut Vec<Problem>) {
    if request["migration"]["phase"] == "contract" && request["onApprovalTimeout"] == "proceed" {
        problems.push(Problem {
            path: "onApprovalTimeout".to_owned(),
            message: "is \"proceed\", and a migration that contracts runs only when an operator has approved it; use \"hold\" or \"rollBack\"".to_owned(),
        });
    }
}

/// Every rule that a rollback by hand breaks.
pub(super) fn broken_rollback(request: &Value) -> Vec<Problem> {
    let problem = |path: &str, message: &str| Problem {
        path: path.to_owned(),
        message: message.to_owned(),
    };
    let to_version = request.get("toVersion");
    let mut problems = Vec::new();
    // The state machine distinguishes the two kinds of rollback by whether the field is there.
    if to_version.is_some_and(Value::is_null) {
        problems.push(problem(
            "toVersion",
            "is null; give a version's number as text, or leave \"toVersion\" out to take the last release back",
        ));
    }
    if to_version.is_none() && !request["functionName"].is_null() {
        problems.push(problem(
            "functionName",
            "is not a field of a rollback without \"toVersion\", which takes all functions of the release back; \
             give \"toVersion\", or leave \"functionName\" out",
        ));
    }
    problems
}

/// Every rule that a request about a stage alone breaks.
pub(super) fn broken_stage_wiring(request: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    alias_is_not_the_stand_in(&request["frontDoor"], &mut problems);
    problems
}

/// The stage is wired to what the release moves: to another alias it would be of no use to it.
fn stage_wiring_names_a_function(
    request: &Value,
    functions: &[Value],
    problems: &mut Vec<Problem>,
) {
    let front_door = &request["frontDoor"];
    if !front_door.is_object() {
        return;
    }
    alias_is_not_the_stand_in(front_door, problems);
    if let Some(kind @ ("route53" | "alb")) = request["traffic"]["type"].as_str() {
        problems.push(Problem {
            path: "frontDoor".to_owned(),
            message: format!(
                "is for releases whose alias splits the traffic, not {kind}; wire it by itself, with the action \"wire\""
            ),
        });
        return;
    }
    let named = &front_door["functionName"];
    let function = match (named, functions) {
        (Value::Null, [only]) => only,
        (Value::Null, _) => {
            problems.push(Problem {
                path: "frontDoor.functionName".to_owned(),
                message:
                    "is missing; the release has several functions: name the one that the API calls"
                        .to_owned(),
            });
            return;
        }
        (named, _) => {
            let same = |function: &&Value| &function["functionName"] == named;
            let Some(function) = functions.iter().find(same) else {
                problems.push(Problem {
                    path: "frontDoor.functionName".to_owned(),
                    message: "is not one of the release's functions".to_owned(),
                });
                return;
            };
            function
        }
    };
    let (alias, moved) = (read::<AliasName>(&front_door["alias"]), &function["alias"]);
    if let (Some(alias), Some(moved)) = (alias, moved.as_str())
        && alias.as_ref() != moved
    {
        problems.push(Problem {
            path: "frontDoor.alias".to_owned(),
            message: format!("is not {}, the alias that the release moves", quoted(moved)),
        });
    }
}

fn alias_is_not_the_stand_in(front_door: &Value, problems: &mut Vec<Problem>) {
    if front_door["alias"] == LATEST_ALIAS {
        problems.push(Problem {
            path: "frontDoor.alias".to_owned(),
            message: format!(
                "is {LATEST_ALIAS}, which stands for $LATEST; name the alias that callers are to use"
            ),
        });
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A field read on its own: `None` when it is absent or wrong, which is reported elsewhere.
fn read<T: Deserr<Problems>>(value: &Value) -> Option<T> {
    deserr::deserialize(value.clone()).ok()
}

fn problem(path: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem {
        path: path.into(),
        message: message.into(),
    }
}

fn each_function_once(functions: &[Value], problems: &mut Vec<Problem>) {
    let mut seen = BTreeMap::new();
    for (index, function) in functions.iter().enumerate() {
        let Some(name) = function["functionName"].as_str() else {
            continue;
        };
        let Some(first) = seen.insert(name, index) else {
            continue;
        };
        seen.insert(name, first);
        let message = if functions[first]["alias"] == function["alias"] {
            format!("is the same function and alias as functions[{first}]; list each of them once")
        } else {
            // Publishing and locking are by function: two targets of one would race.
            format!(
                "is the same function as functions[{first}], with another alias; release one alias \
                 of a function at a time"
            )
        };
        problems.push(Problem {
            path: format!("functions[{index}].functionName"),
            message,
        });
    }
}

fn each_test_name_once(at: &str, function: &Value, problems: &mut Vec<Problem>) {
    let names = items(&function["smokeTests"])
        .iter()
        .map(|test| &test["name"]);
    each_once(names, problems, |index| {
        format!("{at}.smokeTests[{index}].name")
    });
}

fn each_alarm_once(alarms: &[Value], problems: &mut Vec<Problem>) {
    each_once(alarms.iter(), problems, |index| {
        format!("analysis.alarms[{index}]")
    });
}

fn each_health_check_once(checks: &[Value], problems: &mut Vec<Problem>) {
    for field in ["url", "route53HealthCheckId"] {
        each_once(
            checks.iter().map(|check| &check[field]),
            problems,
            |index| format!("analysis.healthChecks[{index}].{field}"),
        );
    }
}

fn each_once<'a>(
    texts: impl Iterator<Item = &'a Value>,
    problems: &mut Vec<Problem>,
    path: impl Fn(usize) -> String,
) {
    let mut seen = BTreeMap::new();
    for (index, text) in texts.enumerate() {
        let Some(text) = text.as_str() else { continue };
        if let Some(first) = seen.get(text) {
            let message = format!("is the same as {}; list each of them once", path(*first));
            problems.push(Problem {
                path: path(index),
                message,
            });
        } else {
            seen.insert(text, index);
        }
    }
}

/// A made-up event could do harm, so pre-warming sends a smoke test's payload; and without any
/// invocation there is no cold start to judge, which must not look like a pass.
fn warm_or_cold_needs_a_smoke_test(at: &str, function: &Value, problems: &mut Vec<Problem>) {
    let needs = [
        (
            "prewarm",
            "needs a smoke test, whose payload is sent; add one to smokeTests",
        ),
        (
            "maxColdStartMs",
            "needs a smoke test, whose start is measured; add one to smokeTests",
        ),
    ];
    for (field, message) in needs {
        let wanted = function[field].as_f64().is_some_and(|number| number > 0.0);
        if wanted && has_no_smoke_tests(function) {
            let path = format!("{at}.{field}");
            problems.push(Problem {
                path,
                message: message.to_owned(),
            });
        }
    }
}

/// `staging` means all at once after smoke tests, so without one it would mean `dev`.
fn staging_has_a_smoke_test(at: &str, function: &Value, problems: &mut Vec<Problem>) {
    if function.is_object() && has_no_smoke_tests(function) {
        problems.push(Problem {
            path: format!("{at}.smokeTests"),
            message:
                "is empty, and the strategy \"staging\" is all at once after smoke tests; add \
                      a smoke test, or use \"dev\""
                    .to_owned(),
        });
    }
}

/// Whether the list is absent or empty. Anything else that is no list is reported elsewhere.
fn has_no_smoke_tests(function: &Value) -> bool {
    match &function["smokeTests"] {
        Value::Null => true,
        Value::Array(tests) => tests.is_empty(),
        _ => false,
    }
}

/// The same where nothing stands for what is absent.
fn read_or_default<T: Deserr<Problems> + Default>(value: &Value) -> Option<T> {
    match value {
        Value::Null => Some(T::default()),
        given => read(given),
    }
}
