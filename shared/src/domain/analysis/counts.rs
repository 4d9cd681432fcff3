//! What `CloudWatch` counted, a minute at a time, for both versions of a function.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one version did in a span of time. All are numbers of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Requests that ran (`Invocations`, Sum). Throttled ones are not among them.
    pub invocations: u64,
    /// Of these, those that failed (`Errors`, Sum).
    pub errors: u64,
    /// Of these, those slower than `slowerThanMs` (`Duration`, `TC(lower:)`).
    pub slow: u64,
    /// Requests that were refused and did not run (`Throttles`, Sum).
    pub throttles: u64,
}

impl Counts {
    /// Both together. Saturates: a count never wraps round to a small one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            invocations: self.invocations.saturating_add(other.invocations),
            errors: self.errors.saturating_add(other.errors),
            slow: self.slow.saturating_add(other.slow),
            throttles: self.throttles.saturating_add(other.throttles),
        }
    }
}

/// One minute of one function: what blue and green did in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Minute {
    /// When it began, in seconds since 1970 (UTC), a multiple of 60.
    pub start: i64,
    /// Blue's counts; all zero when it had no traffic or no data came.
    #[serde(default)]
    pub blue: Counts,
    /// Green's counts.
    #[serde(default)]
    pub green: Counts,
    /// Green's 99th percentile of duration in milliseconds, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub green_p99_ms: Option<u32>,
}

/// An empty newest minute is natural when this much or more of all minutes would be empty.
const NATURALLY_EMPTY: f64 = 0.01;

/// Returns how many of the newest settled minutes, up to the one that begins at `through`, are empty, when `requests`
/// from minute `first` to minute `last` were too dense for that.
#[allow(clippy::cast_precision_loss)] // A rounded count is still a fair count.
pub(super) fn silent_minutes(
    (first, last): (i64, i64),
    requests: u64,
    through: i64,
) -> Option<i64> {
    let silent = through.saturating_sub(last) / 60;
    let minutes = (last.saturating_sub(first) / 60 + 1) as f64;
    let each = requests as f64 / minutes;
    (silent > 0 && (-each * silent as f64).exp() < NATURALLY_EMPTY).then_some(silent)
}

/// All settled minutes of one function since green got its first traffic, and blue's past.
///
/// Minutes after [`super::judge::Watch::through`] have not settled and are not looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSeries {
    /// The function's name, for the evidence.
    pub function: String,
    /// Minutes in any order; of two with the same start, the later in the list counts.
    pub minutes: Vec<Minute>,
    /// Whether the release has created its alias, which may have no callers yet.
    #[serde(default)]
    pub is_new: bool,
    /// What blue showed before the release; absent when it was never read or there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<BluePast>,
}

/// What blue showed before the release, read once at its start and then carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BluePast {
    /// Requests that failed.
    pub errors: PastShare,
    /// Requests slower than `slowerThanMs`; absent when that is not requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<PastShare>,
}

/// How many of blue's past requests were hits (failed, or slow), at what rate at most, and whether they came
/// together.
///
/// Made by [`PastShare::from_minutes`]. Absent fields are those of a past that shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PastShare {
    /// Requests that ran.
    pub requests: u64,
    /// Of these, how many were hits.
    pub hits: u64,
    /// The rate of the worst hour, but for a few, 0 to 1.
    pub highest_rate: f64,
    /// The minutes that hits which come together last; 0: each comes by itself.
    pub together_minutes: u32,
    /// How many hits come together, at least 1.
    pub together: f64,
}

impl Default for PastShare {
    fn default() -> Self {
        Self {
            requests: 0,
            hits: 0,
            highest_rate: 1.0,
            together_minutes: 0,
            together: 1.0,
        }
    }
}
