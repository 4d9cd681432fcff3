//! What happens to a release at the moments of its course, rather than to its calls: its execution is
//! stopped or times out as it enters each state, or right before and right after each write; the task of a
//! state times out, and its function works on; the schedule looks in at each state; an event is lost,
//! doubled, late or told again when all is over; and a clock is off by an hour.
//!
//! As for calls, a scenario runs once without, which tells its states and its writes.

use std::collections::BTreeMap;

use crossfade_tests::world::{Call, Fault};

use crate::{
    door::Kind,
    ground::Ground,
    runner::{Injection, Seen, Source},
    scenario::{Path, Ran, Scenario, Strategy},
};

/// Five minutes, at the scale of the waits.
const MINUTES: f64 = 3.0;
/// When a release with a fault is over, as a rule.
const AFTERWARDS: f64 = 8.0;
/// How long the first try of a task that times out may take: its function has just begun.
const HURRY: f64 = 0.05;
const HOUR: f64 = 3600.0;

const ALARM: &str = "CloudWatch Alarm State Change";
const STATUS: &str = "Step Functions Execution Status Change";

/// The scenarios: every path of a canary through an alias, and what differs by the strategy and by the
/// kind of traffic.
fn scenarios() -> Vec<Scenario> {
    let of = |strategy, kind, path| Scenario {
        strategy,
        kind,
        path,
    };
    let mut scenarios = Vec::new();
    for path in [
        Path::Promoted,
        Path::First,
        Path::Approval,
        Path::Verdict,
        Path::Alarm,
    ] {
        scenarios.push(of(Strategy::Canary, Kind::Alias, path));
    }
    for kind in [Kind::Route53, Kind::Alb] {
        for path in [Path::Promoted, Path::Verdict, Path::Alarm] {
            scenarios.push(of(Strategy::Canary, kind, path));
        }
    }
    for kind in [Kind::Route53, Kind::Alb] {
        scenarios.push(of(Strategy::AllAtOnce, kind, Path::RejectedAlarm));
    }
    for strategy in [Strategy::AllAtOnce, Strategy::BlueGreen, Strategy::Linear] {
        scenarios.push(of(strategy, Kind::Alias, Path::Promoted));
        scenarios.push(of(strategy, Kind::Alias, Path::Alarm));
    }
    scenarios
}

/// A source for each scenario.
pub(crate) fn sources() -> Vec<Source> {
    let sources = scenarios().into_iter().map(|scenario| {
        Source::new(
            format!("{} at", scenario.name()),
            move |ground| async move {
                let clean = scenario.run(&ground, None).await;
                clean.is_good()?;
                Ok(injections(scenario, &clean, &ground))
            },
        )
    });
    sources.collect()
}

fn injections(scenario: Scenario, clean: &Ran, ground: &Ground) -> Vec<Injection> {
    let mut all = at_states(scenario, &clean.states);
    all.extend(at_writes(scenario, &clean.calls, &ground.world.stack.name));
    all.extend(of_events(scenario));
    all.extend(of_clocks(scenario));
    all
}

fn injection(scenario: Scenario, what: &str, kind: &str, faults: Vec<Fault>) -> Injection {
    let name = format!("{} at {what}", scenario.name());
    let stratum = format!("{} at {kind}", scenario.name());
    let is_usual = scenario.strategy == Strategy::Canary && scenario.kind == Kind::Alias;
    let injection = Injection::new(name, stratum, move |ground| async move {
        let ran = scenario.run(&ground, faults).await;
        Seen {
            injected: ran.struck > 0,
            bad: ran.bad,
        }
    });
    // What becomes of the event of a stop, and what the schedule does, is no matter of the door.
    injection.chosen_if(is_usual || !kind.starts_with("stop-event") && kind != "schedule")
}

/// What happens as the nth of the states of this name is entered.
fn entering(state: &str, nth: u32, kind: &str) -> Fault {
    Fault::new(kind)
        .on("states", "EnterState")
        .about(state)
        .after(nth - 1)
}

fn told(event: &str, kind: &str, seconds: f64) -> Fault {
    Fault::new(kind)
        .on("events", "Deliver")
        .about(event)
        .seconds(seconds)
}

/// What becomes of an event.
const FATES: [(&str, &str, f64); 5] = [
    ("lost", "lose", 0.0),
    ("doubled", "double", 0.0),
    ("late", "late", MINUTES),
    ("last-of-all", "late", AFTERWARDS),
    ("told-again", "again", AFTERWARDS),
];

fn at_states(scenario: Scenario, states: &[String]) -> Vec<Injection> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut all = Vec::new();
    for state in states {
        let nth = *counts
            .entry(state)
            .and_modify(|count| *count += 1)
            .or_insert(1);
        let mut one = |kind: &str, faults| {
            all.push(injection(
                scenario,
                &format!("{state} {nth} {kind}"),
                kind,
                faults,
            ));
        };
        one("stop", vec![entering(state, nth, "stop")]);
        one("time-out", vec![entering(state, nth, "time-out")]);
        if is_task(state) {
            let late = entering(state, nth, "task-time-out").seconds(HURRY);
            one("task-time-out", vec![late]);
        }
        one("schedule", vec![entering(state, nth, "schedule")]);
        // Nothing but its event tells of an execution that was stopped.
        for (word, fate, seconds) in FATES {
            let faults = vec![entering(state, nth, "stop"), told(STATUS, fate, seconds)];
            one(&format!("stop-event-{word}"), faults);
        }
    }
    all
}

/// Whether a state hands a task to a function, by its name: those are verbs.
fn is_task(state: &str) -> bool {
    [
        "DeployGreen",
        "ValidateGreen",
        "ShiftTraffic",
        "CheckAlarms",
        "AwaitApproval",
        "Hold",
        "FinalizeDeployment",
        "StartRetention",
        "RollbackDeployment",
    ]
    .contains(&state)
}

/// The execution ends right before and right after each write of its functions, which work on.
fn at_writes(scenario: Scenario, calls: &[Call], stack: &str) -> Vec<Injection> {
    let ours = format!("{stack}-");
    let mut counts: BTreeMap<(&str, &str, &str), u32> = BTreeMap::new();
    let mut all = Vec::new();
    for call in calls.iter().filter(|call| call.served && call.writes()) {
        let caller = call.caller.as_deref().unwrap_or_default();
        let Some(function) = caller.strip_prefix(&ours) else {
            continue;
        };
        let key = (caller, call.service.as_str(), call.action.as_str());
        let nth = *counts
            .entry(key)
            .and_modify(|count| *count += 1)
            .or_insert(1);
        for kind in ["stop-before", "stop-after", "stop-late"] {
            // A notice that was on its way comes late: nobody can call it back.
            if kind == "stop-late" && call.service == "sns" {
                continue;
            }
            let fault = Fault::new(kind)
                .on(&call.service, &call.action)
                .by(caller)
                .after(nth - 1)
                .seconds(1.5);
            let what = format!("{function} {} {} {nth} {kind}", call.service, call.action);
            all.push(injection(scenario, &what, kind, vec![fault]));
        }
    }
    all
}

/// Each event that a release sets off, and that one of the stack's rules takes.
fn of_events(scenario: Scenario) -> Vec<Injection> {
    let events: &[(&str, &str)] = match scenario.path {
        Path::Alarm => &[("alarm", ALARM), ("status", STATUS)],
        // The alarm of one that was promoted is the release's before.
        Path::Verdict | Path::RejectedAlarm | Path::RejectedByHand => &[("status", STATUS)],
        Path::Promoted | Path::First | Path::Retained | Path::Approval => &[],
    };
    let mut all = Vec::new();
    for (event, detail_type) in events {
        for (word, fate, seconds) in FATES {
            let what = format!("{event}-event {word}");
            let faults = vec![told(detail_type, fate, seconds)];
            all.push(injection(scenario, &what, "event", faults));
        }
    }
    if events.len() == 2 {
        // The end is told before what led to it.
        let faults = vec![told(ALARM, "late", AFTERWARDS), told(STATUS, "double", 0.0)];
        all.push(injection(
            scenario,
            "events in-another-order",
            "event",
            faults,
        ));
    }
    all
}

/// Step Functions' clock, or EventBridge's, is an hour before or behind all others.
fn of_clocks(scenario: Scenario) -> Vec<Injection> {
    let mut all = Vec::new();
    for (word, seconds) in [("ahead", HOUR), ("behind", -HOUR)] {
        let states = Fault::new("clock").on("states", "EnterState");
        let what = format!("clock-of-states an-hour-{word}");
        let faults = vec![states.seconds(seconds).always()];
        all.push(injection(scenario, &what, "clock", faults));
        if scenario.path == Path::Alarm {
            let what = format!("clock-of-events an-hour-{word}");
            let faults = vec![told(ALARM, "clock", seconds).always()];
            all.push(injection(scenario, &what, "clock", faults));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_told_from_its_others() {
        let scenario = scenarios()[0];
        let states = ["Bake", "CheckAlarms", "Bake"].map(str::to_owned);
        let all = at_states(scenario, &states);
        let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        assert!(
            names.contains(&"canary/alias/promoted at Bake 2 stop"),
            "{names:?}"
        );
        assert!(names.contains(&"canary/alias/promoted at CheckAlarms 1 task-time-out"));
        assert!(!names.contains(&"canary/alias/promoted at Bake 1 task-time-out"));
        assert_eq!(names.len(), 8 + 9 + 8);
    }
}
