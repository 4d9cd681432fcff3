//! What a release left behind, judged by what the local AWS says.

use crossfade_tests::{
    Ended, Execution, Target, World,
    invariants::{self, Broken, Invariant, Scope},
    traffic::Witness,
};
use serde_json::json;

use crate::{
    door::{ALIAS, Door, Serving},
    runner::{Bad, Class},
    scenario::Scenario,
};

/// How long traffic may take to be whole after a stop, seconds, where so many releases share the machine.
/// (The end-to-end suite, which is alone on it, asks for five.)
pub(crate) const WHOLE_WITHIN: f64 = 60.0;

/// A release that has ended, after the schedule has run.
pub(crate) struct End<'a> {
    pub(crate) scenario: Scenario,
    pub(crate) world: &'a World,
    pub(crate) target: &'a Target,
    pub(crate) door: &'a Door,
    pub(crate) execution: &'a Execution,
    /// The executions of the release before it, and of what took that back.
    pub(crate) former: Vec<Execution>,
    /// What users met, and clients that keep to one side.
    pub(crate) witnesses: Vec<Witness>,
    pub(crate) ended: &'a Ended,
    /// What served before; none for a function that had never been released.
    pub(crate) blue: Option<&'a str>,
}

/// Looks at all of it.
pub(crate) async fn judge(end: &End<'_>) -> Vec<Bad> {
    let mut bad = Vec::new();
    let outcome = end.ended.outcome()["deploymentStatus"].as_str();
    let says_promoted = match end.ended.status.as_str() {
        // What was ended from outside says nothing itself.
        "ABORTED" | "TIMED_OUT" => {
            end.world.deployment_status(&end.execution.arn).await == "PROMOTED"
        }
        _ => outcome == Some("SUCCESSFUL"),
    };
    let serving = end.door.serving(end.target).await;
    let may_promote = end.scenario.path.may_promote();
    if let Some((class, what)) = where_traffic_is(end.blue, may_promote, says_promoted, &serving) {
        let what = format!("{what}; the execution ended {:?}", end.ended);
        bad.push(Bad::of(class, what));
    }
    for lock in end.world.locks().await {
        if lock.execution == end.execution.arn || lock.name.contains(&end.target.name) {
            bad.push(Bad::of(
                Class::LostLock,
                format!("{lock:?} is held, and the execution ended {:?}", end.ended),
            ));
        }
    }
    let group = json!({"prefix": format!("/aws/lambda/{}", end.target.name)});
    let left = end.world.control.post("logs/filters", &group).await;
    if left["filters"] != json!([]) {
        let what = format!("{left}; the execution ended {:?}", end.ended);
        bad.push(Bad::of(Class::Subscription, what));
    }
    let there = end.target.versions().await;
    if let Serving::One(version) = &serving
        && !there.contains(version)
    {
        let what = format!("{version} serves and is gone; there are {there:?}");
        bad.push(Bad::of(Class::Deleted, what));
    }
    let scope = Scope {
        targets: vec![(end.target.clone(), ALIAS.to_owned())],
        doors: end.door.checked(),
        executions: [end.former.clone(), vec![end.execution.clone()]].concat(),
        witnesses: end.witnesses.clone(),
        since: 0,
    };
    for broken in invariants::check_within(end.world, &scope, WHOLE_WITHIN).await {
        bad.push(Bad::of_invariant(&broken));
    }
    bad
}

/// Whether all traffic is on blue, or on the green that the execution says it promoted; what is wrong
/// where it is not. `may_promote`: whether green is good.
fn where_traffic_is(
    blue: Option<&str>,
    may_promote: bool,
    says_promoted: bool,
    serving: &Serving,
) -> Option<(Class, String)> {
    let green = blue.map_or(1, |blue| {
        blue.parse::<u32>().expect("a version is a number") + 1
    });
    match (serving, says_promoted) {
        (Serving::Split(how), _) => Some((Class::Stuck, how.clone())),
        (_, true) if !may_promote => {
            let what = "a green that is bad was promoted".to_owned();
            Some((Class::WrongVersion, what))
        }
        (Serving::One(version), true) if *version == green.to_string() => None,
        (Serving::One(version), false) if Some(version.as_str()) == blue => None,
        (Serving::None, false) if blue.is_none() => None,
        (other, _) => Some((Class::WrongVersion, format!("{other:?} serves"))),
    }
}

/// What a broken invariant counts as.
pub(crate) fn class(broken: &Broken) -> Class {
    match broken.invariant {
        Invariant::Proven if broken.requests > 0 => Class::Unproven,
        Invariant::Whole | Invariant::Proven | Invariant::RestoredToBlue => Class::WrongVersion,
        Invariant::OneAtATime => Class::LostLock,
        Invariant::Kept => Class::Deleted,
        Invariant::SingleWriter
        | Invariant::NoDataIsNeverAPass
        | Invariant::Armed
        | Invariant::Told => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_where_the_execution_says() {
        let one = |version: &str| Serving::One(version.into());
        let class = |blue, may_promote, says_promoted, serving| {
            where_traffic_is(blue, may_promote, says_promoted, &serving).map(|(class, _)| class)
        };
        let wrong = Some(Class::WrongVersion);
        for (may_promote, says_promoted, serving, expected) in [
            (true, true, one("4"), None),
            (true, false, one("3"), None),
            (true, true, one("3"), wrong),
            (true, false, one("4"), wrong),
            (true, false, one("2"), wrong),
            (false, false, one("3"), None),
            (false, true, one("4"), wrong),
            (true, true, Serving::None, wrong),
            (true, false, Serving::None, wrong),
            (true, true, Serving::Split("50".into()), Some(Class::Stuck)),
            (
                false,
                false,
                Serving::Split("50".into()),
                Some(Class::Stuck),
            ),
        ] {
            let seen = class(Some("3"), may_promote, says_promoted, serving.clone());
            assert_eq!(seen, expected, "{says_promoted} {serving:?}");
        }
        // A function that had never been released.
        assert_eq!(class(None, true, true, one("1")), None);
        assert_eq!(class(None, true, false, Serving::None), None);
        assert_eq!(class(None, true, false, one("1")), wrong);
    }
}
