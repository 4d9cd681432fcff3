//! What green is compared with blue by: one entry a kind of hit, whatever counts it.

use crate::domain::analysis::counts::{BluePast, Counts, PastShare};
use crate::domain::analysis::judge::evidence::DecidedBy;
use crate::domain::analysis::judge::settings::Judging;

/// A kind of hit, and so a test. Another one is another variant: what it counts, when it is tested, its
/// stake and its words are here, and nothing else of the judge knows which there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Requests that failed.
    Errors,
    /// Requests slower than `slowerThanMs`.
    Slow,
}

impl Signal {
    /// All of them, the one first that evidence reports when none speaks against green.
    pub const ALL: [Self; 2] = [Self::Errors, Self::Slow];

    /// Returns whether it is tested.
    pub(super) fn is_tested(self, judging: &Judging) -> bool {
        match self {
            Self::Errors => true,
            Self::Slow => judging.slower_than_ms.is_some(),
        }
    }

    /// Returns what is staked on it, beside the stakes of the others that are tested.
    pub(super) fn stake(self) -> f64 {
        match self {
            Self::Errors => 3.0,
            Self::Slow => 1.0,
        }
    }

    /// Returns a version's requests, and how many of them were hits: never more than there were requests.
    pub(super) fn of(self, counts: &Counts) -> (u64, u64) {
        let (requests, hits) = match self {
            Self::Errors => (counts.invocations, counts.errors),
            Self::Slow => (counts.invocations, counts.slow),
        };
        (requests, hits.min(requests))
    }

    /// Returns blue's past in it; absent where it was never read.
    pub(super) fn past(self, past: &BluePast) -> Option<PastShare> {
        match self {
            Self::Errors => Some(past.errors),
            Self::Slow => past.slow,
        }
    }

    /// Returns the word for a verdict that it decided.
    pub(super) fn decided_by(self) -> DecidedBy {
        match self {
            Self::Errors => DecidedBy::ErrorTest,
            Self::Slow => DecidedBy::SlowTest,
        }
    }

    /// Returns what a hit did, after the number of hits.
    pub(super) fn did(self) -> &'static str {
        match self {
            Self::Errors => "failed",
            Self::Slow => "were slow",
        }
    }
}
