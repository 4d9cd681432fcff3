//! Rules between fields.
//!
//! Each reads only the fields that it compares, and reads them for itself, so that a mistake
//! elsewhere in the request does not hide it: all problems at once.

use std::collections::BTreeMap;

use deserr::Deserr;
use serde_json::Value;

use super::smoke_test::MAX_VALIDATION_SECONDS;
use super::traffic::Behind;
use crate::domain::analysis::{Analysis, MAX_EXTENDED_BAKE_SECONDS};
use crate::domain::budget::{
    LONGEST_INVOCATION_SECONDS, LONGEST_PAUSE_SECONDS, Load, MAX_EVENTS, MOST_BAKING_SECONDS, Pace,
    most,
};
use crate::domain::health::HealthUrl;
use crate::domain::hook::Hooks;
use crate::domain::names::resources::{RecordName, SetIdentifier, TargetGroupArn};
use crate::domain::names::{AliasName, derived::ALIAS};
use crate::domain::plan::PlanError;
use crate::domain::stage_wiring::LATEST_ALIAS;
use crate::domain::strategy::Planned;
use crate::parse::bounds::quoted;
use crate::parse::problem::{Problem, Problems};

/// Every rule that the release breaks.
pub(super) fn broken(request: &Value) -> Vec<Problem> {
    let functions = items(&request["functions"]);
    let mut problems = Vec::new();
    functions_fit_the_door(request, functions, &mut problems);
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
    max_bake_holds_every_bake(request, &mut problems);
    control_group_is_left_by_every_step(request, &mut problems);
    execution_has_room(request, &mut problems);
    front_door_leads_to_a_function(request, functions, &mut problems);
    what_takes_away_waits_for_a_person(request, &mut problems);
    problems
}

/// A migration that contracts is never run because nobody came.
fn what_takes_away_waits_for_a_person(request: &Value, problems: &mut Vec<Problem>) {
    if request["migration"]["phase"] == "contract" && request["onApprovalTimeout"] == "proceed" {
        problems.push(Problem {
            path: "onApprovalTimeout".to_owned(),
            message: "is \"proceed\", and a migration that contracts runs only when a person has approved it; use \"hold\" or \"rollBack\"".to_owned(),
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
    // The state machine tells the two kinds of rollback apart by whether the field is there.
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

/// Every rule that a request about a front door alone breaks.
pub(super) fn broken_front_door(request: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    alias_is_not_the_stand_in(&request["frontDoor"], &mut problems);
    problems
}

/// The front door is wired to what the release moves: to another alias it would be of no use to it.
fn front_door_leads_to_a_function(
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

/// A field read on its own: `None` when it is absent or wrong, which is told elsewhere.
fn read<T: Deserr<Problems>>(value: &Value) -> Option<T> {
    deserr::deserialize(value.clone()).ok()
}

fn problem(path: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem {
        path: path.into(),
        message: message.into(),
    }
}

/// A load balancer's group calls one version of one function, or none at all; everything else needs
/// functions, and an alias for each.
fn functions_fit_the_door(request: &Value, functions: &[Value], problems: &mut Vec<Problem>) {
    if request["traffic"]["type"] == "alb" {
        if functions.len() > 1 {
            let message = format!(
                "must be one function at most behind a load balancer, whose target groups take one \
                 each, not {}",
                functions.len()
            );
            problems.push(problem("functions", message));
        }
        for (index, function) in functions.iter().enumerate() {
            if !function["alias"].is_null() {
                problems.push(problem(
                    format!("functions[{index}].alias"),
                    "is not used behind a load balancer, which calls versions; leave it out",
                ));
            }
        }
        return;
    }
    match &request["functions"] {
        Value::Null if request.get("functions").is_none() => {
            problems.push(problem("functions", "is missing"));
        }
        Value::Array(none) if none.is_empty() => problems.push(problem(
            "functions",
            "must be a list of 1 to 50 items, not an empty list",
        )),
        _ => {}
    }
    for (index, function) in functions.iter().enumerate() {
        if function.is_object() && function.get("alias").is_none_or(Value::is_null) {
            problems.push(problem(format!("functions[{index}].alias"), "is missing"));
        }
    }
}

/// Two records with different identifiers, which end the names of aliases; and what is behind them
/// only when both can be compared.
fn records_can_be_told_apart(traffic: &Value, problems: &mut Vec<Problem>) {
    if traffic["type"] != "route53" {
        return;
    }
    let identifiers = items(&traffic["setIdentifiers"]);
    each_once(identifiers.iter(), problems, |index| {
        format!("traffic.setIdentifiers[{index}]")
    });
    for (index, identifier) in identifiers.iter().enumerate() {
        let word = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if identifier.as_str().is_some_and(|text| !word(text)) {
            problems.push(problem(
                format!("traffic.setIdentifiers[{index}]"),
                "must be letters, digits, \"-\" and \"_\", for it ends an alias's name",
            ));
        }
    }
    let behind: Vec<Option<Behind>> = items(&traffic["behind"]).iter().map(read).collect();
    let known: Vec<&str> = match identifiers {
        [] => vec!["blue", "green"],
        some => some.iter().filter_map(Value::as_str).collect(),
    };
    for (index, one) in behind.iter().enumerate() {
        let Some(one) = one else { continue };
        if !known.contains(&one.set_identifier.as_ref()) {
            problems.push(problem(
                format!("traffic.behind[{index}].setIdentifier"),
                format!("must be one of {}", known.join(", ")),
            ));
        }
    }
    match behind.as_slice() {
        [_] => problems.push(problem(
            "traffic.behind",
            "must name what is behind both records, or neither",
        )),
        [Some(one), Some(other)] if !one.layer().is_like(&other.layer()) => {
            problems.push(problem(
                "traffic.behind",
                "must be of one kind: their counts are compared",
            ));
        }
        [Some(one), Some(other)] if one.set_identifier == other.set_identifier => {
            problems.push(problem(
                "traffic.behind[1].setIdentifier",
                "is the same as traffic.behind[0].setIdentifier; list each of them once",
            ));
        }
        _ => {}
    }
}

/// Behind each record is an alias of each function, whose name is made of both.
fn colours_are_aliases(traffic: &Value, functions: &[Value], problems: &mut Vec<Problem>) {
    if traffic["type"] != "route53" {
        return;
    }
    let given: Vec<SetIdentifier> = items(&traffic["setIdentifiers"])
        .iter()
        .filter_map(read)
        .collect();
    let identifiers = if traffic["setIdentifiers"].is_null() {
        ["blue", "green"]
            .map(|name| name.parse().expect("it is one"))
            .to_vec()
    } else {
        given
    };
    for (index, function) in functions.iter().enumerate() {
        let Some(alias) = read::<AliasName>(&function["alias"]) else {
            continue;
        };
        for identifier in &identifiers {
            let length = alias.as_ref().len() + 1 + identifier.as_ref().len();
            if length > ALIAS {
                problems.push(problem(
                    format!("functions[{index}].alias"),
                    format!(
                        "makes an alias of {length} characters with set identifier {}; an alias has at most {ALIAS}: shorten one of them",
                        quoted(identifier.as_ref())
                    ),
                ));
            }
        }
    }
}

fn groups_can_be_told_apart(traffic: &Value, problems: &mut Vec<Problem>) {
    let groups = items(&traffic["targetGroupArns"]);
    each_once(groups.iter(), problems, |index| {
        format!("traffic.targetGroupArns[{index}]")
    });
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

/// Roles swap at each promotion: a check that belonged to no side would ask the side that serves in every
/// second release. So each belongs to one, and each side has one.
fn health_checks_follow_the_colour(request: &Value, problems: &mut Vec<Problem>) {
    let list = "analysis.healthChecks";
    let checks = items(&request["analysis"]["healthChecks"]);
    if checks.is_empty() {
        return;
    }
    let traffic = &request["traffic"];
    let (field, other, sides, of) = match traffic["type"].as_str() {
        Some("route53") => {
            let sides = match traffic.get("setIdentifiers") {
                None => Some(["blue", "green"]),
                Some(given) => both(given),
            };
            ("setIdentifier", "targetGroupArn", sides, "record")
        }
        Some("alb") => {
            let sides = both(&traffic["targetGroupArns"]);
            ("targetGroupArn", "setIdentifier", sides, "target group")
        }
        kind if kind == Some("alias") || request.get("traffic").is_none() => {
            let message = "cannot be asked behind an alias, where no URL reaches green alone; leave the \
                           health checks out, and use functions[].smokeTests, analysis.alarms or limits such \
                           as analysis.maxErrorRatePercent, or traffic of the type \"route53\" or \"alb\"";
            problems.push(problem(list, message));
            return;
        }
        // What is no kind of traffic is told elsewhere.
        _ => return,
    };
    // What is no name of a side is told elsewhere.
    let is_one = |side: &str| match of {
        "record" => side.parse::<SetIdentifier>().is_ok(),
        _ => side.parse::<TargetGroupArn>().is_ok(),
    };
    let record = read::<RecordName>(&traffic["recordName"]).filter(|_| of == "record");
    let known = sides.map_or_else(String::new, |[one, other]| {
        format!(": {one:?} or {other:?}")
    });
    for (index, check) in checks.iter().enumerate().filter(|(_, it)| it.is_object()) {
        let path = |field: &str| format!("{list}[{index}].{field}");
        if !check[other].is_null() {
            let message = format!("does not name a {of}; give the health check's {field}");
            problems.push(problem(path(other), message));
        }
        if let (Some(url), Some(name)) = (read::<HealthUrl>(&check["url"]), &record)
            && name.is(url.host().split(':').next().unwrap_or_default())
        {
            problems.push(problem(
                path("url"),
                "asks the name of both records, which leads to whichever has the weight; give a URL that \
                 reaches this record's side alone",
            ));
        }
        match (&check[field], sides) {
            (Value::Null, _) => {
                let message = format!(
                    "is missing; the {of}s swap roles at each promotion, so say which of them the health \
                     check asks{known}"
                );
                problems.push(problem(path(field), message));
            }
            (Value::String(side), Some(sides))
                if !sides.contains(&side.as_str()) && is_one(side) =>
            {
                let message = format!(
                    "must be one of traffic.{field}s, which the health check asks when it is green{known}, \
                     not {}",
                    quoted(side)
                );
                problems.push(problem(path(field), message));
            }
            _ => {}
        }
    }
    let covered: Vec<&str> = checks.iter().filter_map(|it| it[field].as_str()).collect();
    if covered.len() < checks.len() {
        return;
    }
    for side in sides
        .into_iter()
        .flatten()
        .filter(|side| !covered.contains(side))
    {
        let message = format!(
            "has no health check of the {of} {side:?}; the {of}s swap roles at each promotion, so give one \
             for each of them: else every second release goes unchecked"
        );
        problems.push(problem(list, message));
    }
}

/// The two texts of a list, neither longer than what may be named in a message.
fn both(list: &Value) -> Option<[&str; 2]> {
    let text = |value: &'_ Value| value.as_str().is_some_and(|text| text.len() <= 256);
    match items(list) {
        [one, other] if text(one) && text(other) => Some([one.as_str()?, other.as_str()?]),
        _ => None,
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

/// A function's tests run one after the other, within one invocation of the function that runs them. (One
/// test alone is waited for as long as that lasts.)
fn smoke_tests_fit_their_time(at: &str, function: &Value, problems: &mut Vec<Problem>) {
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

/// Absent or empty. What is neither is not a list, which is told elsewhere.
fn has_no_smoke_tests(function: &Value) -> bool {
    match &function["smokeTests"] {
        Value::Null => true,
        Value::Array(tests) => tests.is_empty(),
        _ => false,
    }
}

fn max_bake_holds_every_bake(request: &Value, problems: &mut Vec<Problem>) {
    let max = request["analysis"]["maxBakeSeconds"].as_f64();
    let planned: Option<Planned> = read(&request["strategy"]);
    let (Some(max), Some(planned)) = (max, planned) else {
        return;
    };
    let longest = planned.plan().longest_bake_seconds();
    // What is out of range in itself is told elsewhere.
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
fn control_group_is_left_by_every_step(request: &Value, problems: &mut Vec<Problem>) {
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
fn execution_has_room(request: &Value, problems: &mut Vec<Problem>) {
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

/// The same where nothing stands for what is absent.
fn read_or_default<T: Deserr<Problems> + Default>(value: &Value) -> Option<T> {
    match value {
        Value::Null => Some(T::default()),
        given => read(given),
    }
}
