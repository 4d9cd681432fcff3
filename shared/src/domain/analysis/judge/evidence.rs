//! The numbers behind a verdict, few enough to carry and enough to check the arithmetic by hand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::analysis::counts::Counts;
use crate::domain::analysis::judge::TOLD;
pub use crate::domain::analysis::verdict::Verdict;

/// What decided a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DecidedBy {
    /// Every function was seen enough and no test or ceiling spoke against green.
    EnoughSeen,
    /// Green's e-value reached `suspectAt` but not `1 / alpha`.
    Suspicion,
    /// Too few green requests in this step.
    TooFewRequests,
    /// The newest settled minutes have no data although the function had traffic.
    LateData,
    /// Green served no request in this step, or its metrics never came.
    NoData,
    /// Errors of green against blue.
    ErrorTest,
    /// Slow requests of green against blue.
    SlowTest,
    /// `maxErrorRatePercent`.
    ErrorCeiling,
    /// `maxP99Ms`.
    P99Ceiling,
    /// `maxThrottlePercent`.
    ThrottleCeiling,
}

/// Returns an e-value with so many decimals; the largest that evidence has stands for all above it.
#[must_use]
pub fn in_words(e_value: f64, decimals: usize) -> String {
    if e_value >= TOLD {
        "over 10^12".to_owned()
    } else {
        format!("{e_value:.decimals$}")
    }
}

/// One verdict over all functions of a release, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The worst over all functions, tests and ceilings.
    pub verdict: Verdict,
    /// Its numbers.
    pub evidence: Evidence,
    /// The verdict is healthy and, on every function and in every test, a true odds ratio of 1.5 times
    /// `minEffect.oddsRatio` or more (the next of 1.1, 1.25, 1.5, 2, 3, 5, 10) is refuted at `alpha`:
    /// reason enough to end a bake early, if asked to. One function that is so much worse is overlooked
    /// with probability at most `alpha`, however many there are.
    pub early_proceed: bool,
}

/// The numbers behind a verdict; of the function that decided it, and of the whole release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Judged")]
pub struct Evidence {
    /// What decided.
    pub decided_by: DecidedBy,
    /// The function that decided; of several, the worst, of equals the first by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Why, in a sentence with numbers.
    pub reason: String,
    /// That function's minutes with traffic since the release began.
    pub minutes: u64,
    /// That function's counts on blue over these minutes.
    pub blue: Counts,
    /// The same on green.
    pub green: Counts,
    /// 100 x errors / invocations on blue, 0 without invocations.
    pub blue_error_percent: f64,
    /// The same on green.
    pub green_error_percent: f64,
    /// The release's e-value: the average over its functions and tests. At most 1e12 is reported.
    pub e_value: f64,
    /// What it is compared with: 1 / alpha.
    pub threshold: f64,
    /// The functions averaged over.
    pub functions: u64,
    /// The functions that look worst after the one that decided, by their own e-values: at most 3; the
    /// rest is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Other>,
    /// The deciding function's and test's own e-value, and its parts.
    pub own: Own,
    /// Blue's requests before the release, and how many of them failed or were slow.
    pub past_requests: u64,
    /// Of these, the hits.
    pub past_hits: u64,
    /// What hits that come together are taken for; absent where blue's past shows that each comes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// What green served without blue beside it: there nothing can be compared, and alarms and ceilings alone
    /// decide. Absent where there was no such minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_blue: Option<WithoutBlue>,
    /// With confidence `1 - alpha`, green's odds of a hit are under this times blue's; absent: nothing
    /// up to 10 can be ruled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odds_ratio_under: Option<f64>,
}

/// A function that did not decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Other {
    /// The function.
    pub function: String,
    /// Its own e-value over its tests. At most 1e12 is reported.
    pub e_value: f64,
    /// Its counts on blue since the release began.
    pub blue: Counts,
    /// The same on green.
    pub green: Counts,
}

/// One function's e-value in one test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Own {
    /// The e-value: the mean of `routing` and `past`, or `together` if that is smaller; `routing` without a past.
    pub e_value: f64,
    /// Its part from routing.
    pub routing: f64,
    /// Its part against the rate of blue's worst usual hour; absent without a past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<f64>,
    /// What is left of it where hits come together; absent where each comes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<f64>,
}

/// What hits that come together are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Together {
    /// The minutes of a block.
    pub minutes: u32,
    /// The hits of a clump.
    pub hits: f64,
}

/// Green without blue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithoutBlue {
    /// Minutes.
    pub minutes: u64,
    /// Requests.
    pub requests: u64,
    /// Of these, the hits.
    pub hits: u64,
}
