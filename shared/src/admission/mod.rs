//! Decides whether a release may begin: the one decision of a start and of a plan, which reports beforehand
//! what a start would end with.
//!
//! Everything is decided from plain values: the request, the [`Limits`] that the stack was deployed with,
//! and what was [`Seen`] of the account. A start learns them in stages, and refuses at the first stage
//! that has a problem, so that nothing is read that the stack may not read, and no lock is taken for a
//! release that could not begin. A plan hands over everything at once and gets every
//! problem; [`Admission::refusal`] is what a start would end with.

mod limits;
mod locks;
pub mod observe;
mod world;

use std::{collections::BTreeMap, fmt};

pub use self::world::{Artifact, Found, Package, Promise, Settings, fit};
pub use self::{
    limits::{Limits, Place, outside_windows},
    locks::{Holder, Stands, locks_of},
};
use crate::domain::analysis::{alarm::Reading, source::Before};
use crate::domain::{
    Timestamp,
    capacity::Capacity,
    names::{AlarmName, Callee},
    reachable::Way,
};
use crate::{domain::hook::HookRequest, wire::request::ReleaseRequest};

/// Names the error of the contract that a problem ends a start with, the most specific first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::EnumIter,
)]
pub enum Kind {
    /// The request requests what does not exist, or for what the stack may not do.
    InvalidRequest,
    /// Another release holds what this one needs.
    DeploymentInProgress,
    /// Another writer is moving the traffic.
    ChangedOutside,
    /// The release does not fit what is deployed, or what is deployed is not well.
    ValidationFailed,
}

/// Says when a start learns of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// From the request and the stack's parameters.
    Stack,
    /// From the account, before any lock is taken.
    World,
    /// When it takes its locks.
    Locks,
    /// Once it has them.
    Locked,
}

/// Names one thing that keeps a release from beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The request's field, as in `functions[0].functionName`.
    pub path: String,
    /// What was found, what was expected, and what to do.
    pub message: String,
    /// What the start would end with.
    pub kind: Kind,
    /// When the start learns of it.
    pub stage: Stage,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Holds what was read of the account, or why it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Read<T> {
    /// It was read.
    Seen(T),
    /// It could not be read.
    Unread(Unread),
    /// Not read: it is not needed, or another stage reads it.
    #[default]
    NotAsked,
}

impl<T> Read<T> {
    /// Returns what was read.
    #[must_use]
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::Unread(_) | Self::NotAsked => None,
        }
    }

    /// Applies `change` to what was read.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Self::Seen(value) => Read::Seen(change(value)),
            Self::Unread(why) => Read::Unread(why),
            Self::NotAsked => Read::NotAsked,
        }
    }
}

/// Says why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// AWS's answer, or what came instead of one.
    pub why: String,
    /// Whether asking again can help.
    pub passes: bool,
}

/// Names something that could not be read, and so may or may not be in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What was asked, as in `whether there is a function "chat"`.
    pub what: String,
    /// Why there is no answer.
    pub because: Unread,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.because.why)
    }
}

/// Holds what is known of the account. Whatever is [`Read::NotAsked`] has no part in the decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The account and Region, where they are known.
    pub place: Place,
    /// What the stack was deployed for.
    pub limits: Read<Limits>,
    /// Whether a stage was wired for this release already: the windows were asked before that.
    pub wired: bool,
    /// Each function's `$LATEST`, in the request's order; none where there is no such function.
    pub functions: Vec<Read<Option<Found>>>,
    /// The version that is to be released, where the request names one; none where there is none.
    pub versions: Vec<Read<Option<Found>>>,
    /// What is there of each function's code.
    pub artifacts: Vec<Read<Artifact>>,
    /// Whether the functions exist that are called on the way, with the alias or version they are named with.
    pub callees: BTreeMap<Callee, Read<bool>>,
    /// The alarms.
    pub alarms: Read<Vec<Reading>>,
    /// Blue of the application's last release, where it is still kept.
    pub promise: Read<Option<Promise>>,
    /// Who holds locks that the release needs.
    pub holders: Read<Vec<Holder>>,
    /// What is wrong with what splits the traffic, by path; nothing where a release can begin.
    pub splitter: Read<Vec<(String, Kind, String)>>,
    /// What can reach the idle side although its weight is 0.
    pub ways: Read<Vec<Way>>,
    /// The settings of each function's serving version, where an alias splits its traffic.
    pub blues: Vec<Read<Settings>>,
    /// What stands ready for each function.
    pub capacity: Vec<Read<Capacity>>,
    /// What CloudWatch has of what counts responses, and of the team's own metrics.
    pub counted: Read<Vec<Before>>,
}

/// Holds the decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    /// What keeps the release from beginning.
    pub problems: Vec<Problem>,
    /// What operators should know.
    pub warnings: Vec<String>,
    /// What could not be read.
    pub unknown: Vec<Unknown>,
    /// Which alarms are in ALARM, where the request ignores that.
    pub preexisting_alarms: Vec<AlarmName>,
    /// Whether the release begins outside of the stack's windows.
    pub overrides_windows: bool,
    /// How long it waits before green may be reached on the idle side, seconds.
    pub idle_wait_seconds: u32,
    /// The ways to the idle side that the request accepts by name, and that are there.
    pub accepted_reachable: Vec<String>,
    /// What CloudWatch has of what counts responses, and of the team's own metrics, a phrase each.
    pub counted: Vec<String>,
}

impl Admission {
    /// Returns what a start ends with: the problems of the first stage that has any, by the most specific
    /// of their kinds. None where nothing is known to be in the way.
    #[must_use]
    pub fn refusal(&self) -> Option<(Kind, String)> {
        let stage = self.problems.iter().map(|problem| problem.stage).min()?;
        let these = || {
            let problems = self.problems.iter();
            problems.filter(move |problem| problem.stage == stage)
        };
        let kind = these().map(|problem| problem.kind).min()?;
        let lines: Vec<_> = these().map(ToString::to_string).collect();
        Some((kind, lines.join("\n")))
    }

    fn problem(&mut self, stage: Stage, kind: Kind, path: impl Into<String>, message: String) {
        self.problems.push(Problem {
            path: path.into(),
            message,
            kind,
            stage,
        });
    }

    fn invalid(&mut self, stage: Stage, path: impl Into<String>, message: String) {
        self.problem(stage, Kind::InvalidRequest, path, message);
    }

    /// Returns what was read; notes what could not be.
    fn known<'a, T>(&mut self, read: &'a Read<T>, what: impl FnOnce() -> String) -> Option<&'a T> {
        if let Read::Unread(because) = read {
            self.unknown.push(Unknown {
                what: what(),
                because: because.clone(),
            });
        }
        read.seen()
    }
}

/// Decides whether a release may begin at `now`.
#[must_use]
pub fn decide(request: &ReleaseRequest, seen: &Seen, now: Timestamp) -> Admission {
    let mut admission = Admission::default();
    let limits = admission.known(&seen.limits, || {
        "what the stack may release, and when".to_owned()
    });
    if let Some(limits) = limits {
        limits.check(request, seen, now, &mut admission);
    }
    world::check(request, seen, &mut admission);
    let takes_over = locks::check(request, seen, &mut admission);
    world::check_locked(request, seen, takes_over, &mut admission);
    world::check_reachable(request, seen, now, &mut admission);
    admission
}

/// Returns the functions that a release calls on its way, each with its field's path.
#[must_use]
pub fn callees(request: &ReleaseRequest) -> Vec<(&'static str, &Callee)> {
    fn name(hook: Option<&HookRequest>) -> Option<&Callee> {
        hook.map(|hook| &hook.function_name)
    }
    let hooks = &request.hooks;
    let called = [
        (
            "migration.functionName",
            request.migration.as_ref().map(|it| &it.function_name),
        ),
        (
            "hooks.beforeShift.functionName",
            name(hooks.before_shift.as_ref()),
        ),
        (
            "hooks.afterShift.functionName",
            name(hooks.after_shift.as_ref()),
        ),
        (
            "hooks.afterPromote.functionName",
            name(hooks.after_promote.as_ref()),
        ),
        (
            "hooks.afterRollback.functionName",
            name(hooks.after_rollback.as_ref()),
        ),
    ];
    called
        .into_iter()
        .filter_map(|(path, callee)| Some((path, callee?)))
        .collect()
}

#[cfg(test)]
mod tests;
