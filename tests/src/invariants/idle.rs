//! What the sides of a door hold, by the log of calls: at every end but a promotion the idle side holds
//! again what it held when the release began, and blue's side holds blue.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use super::{Door, Run, proven::ids, writes};
use crate::{
    Target,
    world::{Call, field},
};

/// A side that a release left otherwise than it found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// The release.
    pub(super) execution: String,
    /// The group, or the colour's alias.
    pub(super) side: String,
    held: BTreeSet<String>,
    holds: BTreeSet<String>,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            execution,
            side,
            held,
            holds,
        } = self;
        write!(
            f,
            "{execution} ended, and {side} holds {holds:?}; it held {held:?} when the release began"
        )
    }
}

/// One side of a door.
#[derive(Clone, Debug)]
enum Side<'a> {
    /// A target group.
    Group(&'a str),
    /// The alias behind a record, of a function.
    Alias(&'a str, String),
}

impl Side<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Group(arn) => arn,
            Self::Alias(_, alias) => alias,
        }
    }

    /// What it holds at a time: ids of targets, or versions.
    fn held(&self, calls: &[Call], stack: &str, at: f64) -> BTreeSet<String> {
        match self {
            Self::Group(arn) => {
                let mut held = BTreeSet::new();
                for call in changes_of(calls, arn).filter(|call| call.time <= at) {
                    for id in ids(call) {
                        if call.action == "RegisterTargets" {
                            held.insert(id.to_owned());
                        } else {
                            held.remove(id);
                        }
                    }
                }
                held
            }
            Self::Alias(function, alias) => {
                let writes = writes(calls, function, alias, stack);
                let last = writes.into_iter().rfind(|write| write.at <= at);
                let split = last.and_then(|write| write.alias);
                let serving = split.iter().flat_map(|split| split.serving());
                serving.map(str::to_owned).collect()
            }
        }
    }

    /// Whether somebody else changed it within a time.
    fn changed_by_others(&self, calls: &[Call], stack: &str, from: f64, to: f64) -> bool {
        let within = |at: f64| from < at && at <= to;
        match self {
            Self::Group(arn) => {
                let ours = format!("{stack}-");
                changes_of(calls, arn).any(|call| {
                    let by_us = call.caller.as_ref().is_some_and(|by| by.starts_with(&ours));
                    within(call.time) && !by_us
                })
            }
            Self::Alias(function, alias) => writes(calls, function, alias, stack)
                .iter()
                .any(|write| within(write.at) && write.by.is_none()),
        }
    }

    /// Whether all that it holds is a version.
    fn is(&self, version: &str, holds: &BTreeSet<String>) -> bool {
        let is = |one: &String| match self {
            Self::Group(_) => one.rsplit(':').next() == Some(version),
            Self::Alias(..) => one == version,
        };
        !version.is_empty() && !holds.is_empty() && holds.iter().all(is)
    }
}

/// The changes of what is registered in a group.
fn changes_of<'a>(calls: &'a [Call], group: &'a str) -> impl Iterator<Item = &'a Call> {
    calls.iter().filter(move |call| {
        ["RegisterTargets", "DeregisterTargets"].contains(&call.action.as_str())
            && call.resource.as_deref() == Some(group)
            && call.took_effect()
    })
}

fn sides<'a>(door: &'a Door, targets: &'a [(Target, String)]) -> Vec<Side<'a>> {
    match door {
        Door::Balancer(alb) => vec![Side::Group(&alb.blue), Side::Group(&alb.green)],
        Door::Zone(_) => targets
            .iter()
            .flat_map(|(target, alias)| {
                let of = |colour: &str| Side::Alias(&target.name, format!("{alias}-{colour}"));
                ["blue", "green"].map(of)
            })
            .collect(),
    }
}

/// The sides of a door that releases which ended without a promotion left otherwise than they found them.
pub(super) fn left_behind(
    door: &Door,
    targets: &[(Target, String)],
    calls: &[Call],
    runs: &[Run],
    stack: &str,
    grace: f64,
) -> Vec<Left> {
    let sides = sides(door, targets);
    let of_this: Vec<&Run> = runs.iter().filter(|run| door.is_of(run)).collect();
    let mut left = Vec::new();
    for run in &of_this {
        let Some((from, to)) = run.unpromoted(grace) else {
            continue;
        };
        // Where the next release has begun, or one before is taken back, the sides are theirs.
        let others = of_this.iter().filter(|other| other.arn != run.arn);
        // The alarm that takes one back may be on its way while this one begins.
        let mut acts = others.flat_map(|other| {
            let begun = other.visits.first().map(|visit| (visit.at, from));
            let back = other.taken_back_at().map(|at| (at, from - grace));
            begun.into_iter().chain(back)
        });
        if acts.any(|(at, after)| after < at && at <= to) {
            continue;
        }
        for side in &sides {
            if side.changed_by_others(calls, stack, from, to) {
                continue;
            }
            let (held, holds) = (side.held(calls, stack, from), side.held(calls, stack, to));
            // Clients that a weight had sent there may come back: blue serves them.
            let blue_instead = run.window().is_some()
                && run.released().iter().any(|about| {
                    let blue = about["blueVersion"].as_str().unwrap_or_default();
                    side.is(blue, &holds)
                });
            if held != holds && !blue_instead {
                left.push(Left {
                    execution: run.arn.clone(),
                    side: side.name().to_owned(),
                    held,
                    holds,
                });
            }
        }
    }
    left
}

impl Run {
    /// When its promotion was taken back, seconds since 1970; none where it was not.
    fn taken_back_at(&self) -> Option<f64> {
        if !self.has_passed() || self.status() != "ROLLED_BACK" {
            return None;
        }
        let why = field(self.row.as_ref()?, "why");
        let why: Value = serde_json::from_str(&why).ok()?;
        let at = chrono::DateTime::parse_from_rfc3339(why["at"].as_str()?).ok()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "of this century, they are exact"
        )]
        let seconds = at.timestamp_micros() as f64 / 1e6;
        Some(seconds)
    }

    /// From the beginning of a release to when its sides have to be as they were: of one that ended without
    /// a promotion, or whose promotion was taken back. None where a person has to look, or was told to.
    fn unpromoted(&self, grace: f64) -> Option<(f64, f64)> {
        let from = self.visits.first()?.at;
        let status = self.status();
        let is_for_people = self.left_held()
            || status == "HELD"
            || ["RollbackFailed", "ChangedOutside"].contains(&self.ended.error.as_str());
        if self.is_rollback_by_hand() || is_for_people {
            return None;
        }
        match (self.has_passed(), status.as_str()) {
            (true, "ROLLED_BACK") => Some((from, f64::INFINITY)),
            (true, _) => None,
            (false, _) if ["SUCCEEDED", "FAILED"].contains(&self.ended.status.as_str()) => {
                Some((from, self.ended_at))
            }
            (false, _) => Some((from, self.ended_at + grace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(time: f64, action: &str, version: &str) -> Call {
        let id = format!("arn:aws:lambda:us-east-1:000000000000:function:f:{version}");
        Call {
            served: false,
            seconds: 0.0,
            seq: 1,
            time,
            service: "elbv2".into(),
            action: action.into(),
            caller: Some("crossfade-validate".into()),
            status: 200,
            resource: Some("g".into()),
            error: None,
            asked: Some(json!({"TargetGroupArn": "g", "Targets": [{"Id": id}]})),
        }
    }

    #[test]
    fn derives_group_contents_from_writes() {
        let calls = [
            change(1.0, "RegisterTargets", "1"),
            change(2.0, "DeregisterTargets", "1"),
            change(3.0, "RegisterTargets", "2"),
        ];
        let side = Side::Group("g");
        let held = |at| side.held(&calls, "crossfade", at);
        assert!(held(0.5).is_empty() && held(2.5).is_empty());
        assert!(side.is("1", &held(1.5)) && side.is("2", &held(9.0)));
        assert!(!side.is("1", &held(2.5)) && !side.is("", &held(1.5)));
        assert!(!side.changed_by_others(&calls, "crossfade", 0.0, 9.0));
        assert!(side.changed_by_others(&calls, "another", 0.0, 9.0));
    }

    #[test]
    fn reads_rollbacks_from_the_ledger() {
        let mut run = super::super::tests::run("SUCCEEDED", "", "SUCCESSFUL");
        assert_eq!(run.taken_back_at(), None);
        let why = json!({"reason": "an alarm fired", "at": "1970-01-01T00:00:25.5Z"}).to_string();
        let row = json!({"status": "ROLLED_BACK", "why": why});
        run.row = row.as_object().cloned();
        assert_eq!(run.taken_back_at(), Some(25.5));
        assert_eq!(run.unpromoted(5.0), Some((10.0, f64::INFINITY)));
    }

    #[test]
    fn keeps_registrations_after_promotion() {
        let of = |status: &str, error: &str, outcome: &str| {
            super::super::tests::run(status, error, outcome).unpromoted(5.0)
        };
        assert_eq!(of("SUCCEEDED", "", "SUCCESSFUL"), None);
        assert_eq!(
            of("FAILED", "ValidationFailed", "REJECTED"),
            Some((10.0, 20.0))
        );
        assert_eq!(of("ABORTED", "", ""), Some((10.0, 25.0)));
        assert_eq!(of("FAILED", "RollbackFailed", "HELD"), None);
    }
}
