//! What a release left behind, judged by what the local AWS says.

use crossfade_tests::{
    Ended, Execution, Target, World,
    invariants::{self, Invariant, Scope},
};

use crate::{
    door::{ALIAS, Door, Serving},
    runner::{Bad, Class},
    scenario::Scenario,
};

/// A release that has ended, after the schedule has run.
pub(crate) struct End<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) world: &'a World,
    pub(crate) target: &'a Target,
    pub(crate) door: &'a Door,
    pub(crate) execution: &'a Execution,
    pub(crate) ended: &'a Ended,
    /// What served before; none for a function that had never been released.
    pub(crate) blue: Option<&'a str>,
}

/// Looks at all of it.
pub(crate) async fn judge(end: &End<'_>) -> Vec<Bad> {
    let mut bad = Vec::new();
    let outcome = end.ended.outcome()["deploymentStatus"].as_str();
    let says_promoted = outcome == Some("SUCCESSFUL");
    let serving = end.door.serving(end.target).await;
    bad.extend(where_traffic_is(end, says_promoted, &serving));
    for lock in end.world.locks().await {
        if lock.execution == end.execution.arn || lock.name.contains(&end.target.name) {
            bad.push(Bad {
                class: Class::LostLock,
                what: format!("{lock:?} is held, and the execution ended {:?}", end.ended),
            });
        }
    }
    let there = end.target.versions().await;
    if let Serving::One(version) = &serving
        && !there.contains(version)
    {
        bad.push(Bad {
            class: Class::Deleted,
            what: format!("{version} serves and is gone; there are {there:?}"),
        });
    }
    let scope = Scope {
        targets: vec![(end.target.clone(), ALIAS.to_owned())],
        doors: end.door.checked(),
        executions: vec![end.execution.clone()],
        since: 0,
    };
    for broken in invariants::check(end.world, &scope).await {
        bad.push(Bad {
            class: class(broken.invariant),
            what: broken.to_string(),
        });
    }
    bad
}

/// Whether all traffic is on blue, or on the green that the execution says it promoted.
fn where_traffic_is(end: &End<'_>, says_promoted: bool, serving: &Serving) -> Option<Bad> {
    let green = end.blue.map_or(1, |blue| {
        blue.parse::<u32>().expect("a version is a number") + 1
    });
    let (class, what) = match (serving, says_promoted) {
        (Serving::Split(how), _) => (Class::Stuck, how.clone()),
        (_, true) if !end.scenario.path.may_promote() => (
            Class::WrongVersion,
            "a green that is bad was promoted".to_owned(),
        ),
        (Serving::One(version), true) if *version == green.to_string() => return None,
        (Serving::One(version), false) if Some(version.as_str()) == end.blue => return None,
        (Serving::None, false) if end.blue.is_none() => return None,
        (other, _) => (Class::WrongVersion, format!("{other:?} serves")),
    };
    Some(Bad {
        class,
        what: format!("{what}; the execution ended {:?}", end.ended),
    })
}

/// What a broken invariant counts as.
fn class(invariant: Invariant) -> Class {
    match invariant {
        Invariant::Whole | Invariant::Proven => Class::WrongVersion,
        Invariant::OneAtATime => Class::LostLock,
        Invariant::Kept => Class::Deleted,
        Invariant::SingleWriter
        | Invariant::NoDataIsNeverAPass
        | Invariant::Armed
        | Invariant::Told => Class::Other,
    }
}
