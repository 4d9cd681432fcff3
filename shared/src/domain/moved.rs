//! What moving traffic came to, and what serves before and after it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    names::{AliasName, FunctionName, Version},
    routing::alias::Alias,
    traffic::Splitter,
};
use crate::domain::{propagation::Effective, target::Target};

/// A shift or promotion that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// The targets as they now are.
    pub functions: Vec<Target>,
    /// When it is in force.
    pub in_force: Effective,
    /// What serves now, where green has all of it.
    pub serves: Serves,
    /// Sentences for the release's warnings.
    pub notes: Vec<String>,
}

impl Moved {
    /// Returns the move of these targets that is in force at once.
    #[must_use]
    pub fn at_once(functions: Vec<Target>) -> Self {
        Self {
            functions,
            in_force: Effective::AtOnce,
            serves: Serves::default(),
            notes: Vec::new(),
        }
    }
}

/// What serves, as it was read after the last write; empty where nothing was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serves {
    /// The version that each function's traffic reaches.
    pub versions: BTreeMap<FunctionName, Version>,
    /// The target group or record that has the traffic; none of an alias.
    pub by: Vec<String>,
}

impl Serves {
    /// Adds what was read elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.versions.extend(other.versions);
        for by in other.by {
            if !self.by.contains(&by) {
                self.by.push(by);
            }
        }
    }
}

/// Whether a function may still be about to write what was decided before: one of an execution that is
/// over, or one that Step Functions has given up and tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It may.
    Possible,
    /// Nothing was decided yet.
    Impossible,
}

/// Traffic that was restored to blue.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreReport {
    /// The targets as they now are.
    pub functions: Vec<Target>,
    /// Where traffic was changed from outside, so that this value stands. A sentence each.
    pub changed_outside: Vec<String>,
    /// Why traffic that green has was not moved to blue: blue's side cannot serve. In words.
    pub not_moved: Option<String>,
    /// Whether weights were moved.
    pub moved: bool,
    /// What serves now.
    pub serves: Serves,
    /// Sentences for the release's warnings.
    pub notes: Vec<String>,
}

impl RestoreReport {
    /// Returns the restore of `functions` that has done nothing yet.
    #[must_use]
    pub fn of(functions: &[Target]) -> Self {
        Self {
            functions: functions.to_vec(),
            changed_outside: Vec::new(),
            not_moved: None,
            moved: false,
            serves: Serves::default(),
            notes: Vec::new(),
        }
    }
}

/// Traffic that was restored with as few calls as that takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AtOnce {
    /// The functions whose traffic is on blue; the others are as they were, or it is not known.
    pub functions: BTreeSet<FunctionName>,
    /// What serves now.
    pub serves: Serves,
    /// Whether weights were moved.
    pub moved: bool,
    /// Sentences for the release's warnings.
    pub notes: Vec<String>,
}

/// One function as it serves before a release.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// The alias that callers reach blue by; none behind a load balancer that calls a version.
    pub alias: Option<AliasName>,
    /// That alias as it is; none when there is none yet (a first release).
    pub seen: Option<Alias>,
    /// The version that a load balancer calls without an alias.
    pub version: Option<Version>,
}

/// What stands before the functions at the beginning of a release.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The traffic splitter, with the roles of the colours.
    pub splitter: Splitter,
    /// The functions, in the request's order.
    pub functions: Vec<Serving>,
    /// Sentences for the release's warnings.
    pub warnings: Vec<String>,
}
