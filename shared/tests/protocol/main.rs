//! The order of writes that keeps traffic whole, in process: every call of a release, a rollback and an alarm
//! meets every fault, with every traffic splitter, and what is at work at the same time is interleaved by seed.
//!
//! A failure prints the case with its seed, and the calls that were made. `CASE='…'` runs one case alone.

mod lanes;
mod machine;
mod splitters;

use crossfade::fake::Rules;

use crate::{
    machine::{Event, Fault, Machine, Plan},
    splitters::{SPLITTERS, Splitter, serving},
};

/// Runs a case, and returns how many calls it made.
fn run(splitter: &Splitter, plan: &Plan, rules: Rules<'_>) -> Result<usize, String> {
    let mut machine = Machine::new(splitter, plan, rules);
    machine.run();
    machine.check(splitter).map_err(|broken| {
        let calls: Vec<_> = machine.trace.iter().map(ToString::to_string).collect();
        let calls = calls.join("\n    ");
        format!("{broken}\n  CASE='{} {plan:?}'\n    {calls}", splitter.name)
    })?;
    Ok(machine.made)
}

/// Returns the cases of a splitter: a release alone, or one that an alarm or an operator interrupts, with each
/// fault at each call, by so many seeds.
fn cases(splitter: &Splitter) -> Vec<Plan> {
    let calm = Plan::default();
    let calls = run(splitter, &calm, Rules::default()).expect("nothing goes wrong");
    // Neither records nor rules have revisions: what somebody else writes in between is not seen.
    let is_had = |fault: &Fault| splitter.is_of_aliases() || *fault != Fault::Stranger;
    let faults: Vec<_> = Fault::ALL.into_iter().filter(is_had).collect();
    let mut cases = vec![calm];
    for at in 0..calls {
        for &fault in &faults {
            cases.push(Plan {
                faults: vec![(at, fault)],
                ..Plan::default()
            });
        }
        for event in [Event::Alarm, Event::Operator, Event::Stop] {
            let plan = Plan {
                event: Some((at, event)),
                ..Plan::default()
            };
            for seed in 1..=2 {
                cases.push(Plan {
                    seed,
                    ..plan.clone()
                });
                // A fault while both are at work.
                for &fault in &faults {
                    for later in [1, 3] {
                        cases.push(Plan {
                            faults: vec![(at + later, fault)],
                            seed,
                            ..plan.clone()
                        });
                    }
                }
            }
        }
    }
    cases
}

fn check(splitter: &Splitter) {
    let chosen = std::env::var("CASE").ok();
    let (mut count, mut broken) = (0, Vec::new());
    for plan in cases(splitter) {
        let name = format!("{} {plan:?}", splitter.name);
        if chosen.as_ref().is_some_and(|chosen| *chosen != name) {
            continue;
        }
        count += 1;
        if let Err(why) = run(splitter, &plan, Rules::default()) {
            broken.push(why);
        }
    }
    println!("{}: {count} cases", splitter.name);
    assert!(
        broken.is_empty(),
        "{} of {count} cases are broken; the first:\n  {}",
        broken.len(),
        broken[0]
    );
    assert!(chosen.is_some() || count >= 500, "{count} cases");
}

#[test]
fn holds_every_invariant_under_every_fault() {
    check(&SPLITTERS[0]);
}

#[test]
fn two_aliases_keep_every_promise_under_every_fault() {
    check(&SPLITTERS[1]);
}

#[test]
fn records_keep_every_promise_under_every_fault() {
    check(&SPLITTERS[2]);
}

#[test]
fn target_groups_keep_every_promise_under_every_fault() {
    check(&SPLITTERS[3]);
}

/// The promotion takes from blue what it has kept: one write more, which meets every fault.
#[test]
fn a_control_group_is_taken_by_the_promotion_under_every_fault() {
    for splitter in &SPLITTERS[4..] {
        check(splitter);
        let calm = Plan::default();
        let mut machine = Machine::new(splitter, &calm, Rules::default());
        machine.run();
        let ends = serving(&machine.world);
        let on_green = [Some(2)].into();
        assert!(
            !ends.is_empty() && ends.iter().all(|(_, on)| *on == on_green),
            "{}: {ends:?}",
            splitter.name
        );
    }
}

/// Returns how many cases are broken without a rule.
fn broken_without(splitter: &Splitter, rules: Rules<'_>) -> usize {
    let cases = cases(splitter);
    let broken = cases
        .iter()
        .filter(|plan| run(splitter, plan, rules).is_err());
    broken.count()
}

#[test]
fn misses_each_condition_that_is_ignored() {
    let alias = &SPLITTERS[0];
    let without_revisions = Rules {
        revisions: false,
        ..Rules::default()
    };
    assert!(broken_without(alias, without_revisions) > 0, "revisions");
    for (name, heeds) in machine::CONDITIONS {
        let rules = Rules {
            heeds,
            ..Rules::default()
        };
        assert!(broken_without(alias, rules) > 0, "{name}");
    }
}

#[test]
fn repeats_calls_for_the_same_seed() {
    let plan = Plan {
        seed: 7,
        event: Some((4, Event::Alarm)),
        faults: vec![(6, Fault::LostAfter)],
    };
    let trace = || {
        let mut machine = Machine::new(&SPLITTERS[1], &plan, Rules::default());
        machine.run();
        machine.trace
    };
    assert_eq!(trace(), trace());
    assert!(trace().len() > 20);
}
