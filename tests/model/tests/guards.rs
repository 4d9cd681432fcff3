//! No order of writes breaks a promise, and without any one guard one is broken.

use crossfade_model::{
    Model, Settings,
    guard::Guard,
    state::Left,
    suite::{ALL, CALM, FIRST, TWO, tell},
};

#[test]
fn keeps_every_invariant_in_any_order() {
    let (mut states, mut depth) = (0, 0);
    let only = std::env::var("ONLY").ok();
    let chosen = |name: &str| only.as_ref().is_none_or(|only| only == name);
    for (name, settings) in ALL.iter().filter(|(name, _)| chosen(name)) {
        let found = Model::new(*settings).check();
        tell(&found);
        println!("{name}: {} states, {} deep", found.states, found.depth);
        assert!(found.violations.is_empty(), "{name}");
        assert!(found.never.is_empty(), "{name}: {:?}", found.never);
        states += found.states;
        depth = depth.max(found.depth);
    }
    println!("model: {states} states, {depth} deep, 0 violations");
}

const fn left(faults: u8, alarms: u8, operators: u8, strangers: u8) -> Left {
    Left {
        faults,
        alarms,
        operators,
        strangers,
    }
}

/// Each guard, what has to happen so that it is missed, and the promises that are then broken.
const GUARDS: &[(Guard, Left, &str)] = &[
    (Guard::Lock, CALM, "one at a time"),
    (Guard::Alive, CALM, "one at a time"),
    (Guard::TakeOver, left(1, 0, 0, 0), "one at a time"),
    (Guard::Revision, left(0, 0, 0, 1), "single writer"),
    (Guard::Ours, left(0, 0, 0, 1), "single writer"),
    (Guard::Lease, left(2, 0, 0, 0), "one at a time"),
    (Guard::Recorded, left(1, 0, 0, 0), "one at a time"),
    (Guard::Promotion, left(0, 1, 0, 0), "one at a time"),
    (
        Guard::PromotedOnce,
        left(1, 0, 0, 0),
        "the last is on record",
    ),
    (Guard::Attempt, left(1, 0, 0, 1), "single writer"),
    (Guard::Unlock, left(2, 0, 0, 0), "one at a time"),
    (Guard::Reopen, left(0, 0, 1, 0), "one at a time"),
    (Guard::Fence, left(1, 0, 0, 0), "one at a time"),
    (Guard::Sweep, left(1, 0, 0, 0), "eventually unlocked"),
    (Guard::Validate, CALM, "proven"),
];

#[test]
fn finds_a_violation_without_any_one_guard() {
    let mut missing = Vec::new();
    for (guard, left, promise) in GUARDS {
        let settings = Settings {
            weights: &[100],
            left: *left,
            without: Some(*guard),
            ..TWO
        };
        let found = Model::new(settings).check();
        let broken: Vec<_> = found.violations.iter().map(|(name, _)| *name).collect();
        println!("without {guard:?}: {} states, {broken:?}", found.states);
        if !broken.contains(promise) {
            missing.push((guard, broken));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// `CreateAlias` and `DeleteAlias` take no revision. What a function does late, which nobody waits for any
/// more, cannot be had not apply; and of two that take a first release back, the slower one deletes the
/// alias of the next.
#[test]
fn finds_the_late_write_of_a_first_release() {
    let late = Settings {
        late: true,
        left: left(1, 0, 0, 0),
        ..FIRST
    };
    let twice = Settings {
        both: true,
        left: left(0, 1, 0, 0),
        ..FIRST
    };
    for settings in [late, twice] {
        let found = Model::new(settings).check();
        assert!(!found.violations.is_empty(), "{settings:?}");
    }
}
