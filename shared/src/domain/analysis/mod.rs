//! What is watched during a bake, and what counts as worse.

pub mod alarm;
pub mod check;
pub mod counts;
pub mod judge;
pub mod live;
pub mod responses;
pub mod series;
pub mod source;
pub mod verdict;

use deserr::{DeserializeError, Deserr, IntoValue, Value, ValuePointerRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::analysis::judge::{Judging, MinEffect as Margin};
use crate::domain::analysis::live::LiveErrors;
use crate::domain::analysis::responses::{OwnMetric, Responses};
use crate::domain::health::HealthCheck;
use crate::domain::names::AlarmName;
use crate::domain::plan::Step;
use crate::domain::weight::{self, Weight};
use crate::parse::bounds::{Decimal, List, Milliseconds, Percent, Whole};
use crate::parse::problem::Problems;

/// A chance of a false rollback that makes sense.
type Alpha = Decimal<1, 500>;
/// How many invocations a judgement may need.
type MinInvocations = Whole<1, 1_000_000>;
/// How long metrics may take.
type SettleSeconds = Whole<0, 600>;
/// How often a bake may be looked at.
type CheckEverySeconds = Whole<10, 3600>;
/// How long a bake may be with its extensions.
type ExtendedBakeSeconds = Whole<0, MAX_EXTENDED_BAKE_SECONDS>;
/// The odds of a failure on green over those on blue.
type OddsRatio = Decimal<1_000, 100_000>;
/// A difference of two shares.
type PercentagePoints = Decimal<0, 100_000>;

/// The longest that a bake may be extended to, in seconds: two days.
pub const MAX_EXTENDED_BAKE_SECONDS: u32 = 172_800;

crate::parse::carried!(Analysis, MinEffect);

/// What is watched during a bake, and what counts as worse. Everything given must hold; alarms and
/// thresholds that are absent are not judged.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct Analysis {
    /// CloudWatch alarms of any kind that roll the release back within seconds when one
    /// of them fires: at most 40, each of them once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40), extend("uniqueItems" = true))]
    #[deserr(default, from(List<AlarmName, 0, 40>) = List::into_vec)]
    pub alarms: Vec<AlarmName>,
    /// What to do when an alarm is in ALARM before the release begins.
    #[serde(default)]
    #[deserr(default)]
    pub preexisting_alarms: PreexistingAlarms,
    /// Health checks of green, before the first shift and at every look: at most 10, each of them once.
    /// Three failures in a row roll the release back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[deserr(default, from(List<HealthCheck, 0, 10>) = List::into_vec)]
    pub health_checks: Vec<HealthCheck>,
    /// What counts the responses that callers get, for a handler that answers 500 is a success for Lambda: at most 10,
    /// each of them once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("uniqueItems" = true))]
    #[deserr(default, from(List<Responses, 0, 10>) = List::into_vec)]
    pub responses: Vec<Responses>,
    /// Metrics of your own that green is judged by: at most 10, each of them once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("uniqueItems" = true))]
    #[deserr(default, from(List<OwnMetric, 0, 10>) = List::into_vec)]
    pub metrics: Vec<OwnMetric>,
    /// The chance that a release whose green is no worse than blue is rolled back by the test of
    /// green against blue: 0.001 to 0.5, over the whole release, however often it is looked at.
    #[serde(default = "default_alpha")]
    #[schemars(with = "Alpha")]
    #[deserr(default = default_alpha(), from(Alpha) = f64::from)]
    pub alpha: f64,
    /// How much worse than blue is worse.
    #[serde(default)]
    #[deserr(default)]
    pub min_effect: MinEffect,
    /// Requests that take longer are slow, in milliseconds: 1 to 900000. Green's share of them is
    /// tested against blue's as errors are. When absent, slowness is not tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Milliseconds>")]
    #[deserr(default, from(Option<Milliseconds>) = Whole::optional)]
    pub slower_than_ms: Option<u32>,
    /// Percent of traffic that stays on blue through the last bake, and goes to green only when it is promoted: 0 to
    /// 50, in steps of 0.1. So green is compared with blue to the end; where it has all traffic, only alarms and
    /// limits decide. When absent, 5 with the strategy `prod`, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", range(min = 0, max = 50))]
    #[deserr(default, from(Option<Control>) = Control::optional)]
    pub control_percent: Option<Weight>,
    /// Whether a step ends before its bake is over, once green is shown to be no worse than blue by
    /// more than the margin, at the risk `alpha`.
    #[serde(default)]
    #[deserr(default)]
    pub early_proceed: bool,
    /// Whether what the test and the ceilings say is only recorded, and the release goes on as if
    /// all were well: for a team's first weeks. Alarms roll back all the same.
    #[serde(default)]
    #[deserr(default)]
    pub shadow: bool,
    /// The largest share of green's invocations that may fail, in percent: 0 to 100. It holds for what `responses` and
    /// `metrics` count too, by version or both together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Percent>")]
    #[deserr(default, from(Option<Percent>) = Percent::optional)]
    pub max_error_rate_percent: Option<f64>,
    /// The longest that green's slowest hundredth (the p99 of its durations) may take, in
    /// milliseconds: 1 to 900000.
    #[serde(default, rename = "maxP99Ms", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Milliseconds>")]
    #[deserr(default, rename = "maxP99Ms", from(Option<Milliseconds>) = Whole::optional)]
    pub max_p99_ms: Option<u32>,
    /// The largest share of the function's invocations that may be throttled, in percent: 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Percent>")]
    #[deserr(default, from(Option<Percent>) = Percent::optional)]
    pub max_throttle_rate_percent: Option<f64>,
    /// How many invocations of green a judgement needs: 1 to 1000000. With fewer the bake goes on,
    /// up to `maxBakeSeconds`.
    #[serde(default = "default_min_invocations")]
    #[schemars(with = "MinInvocations")]
    #[deserr(default = default_min_invocations(), from(MinInvocations) = u32::from)]
    pub min_invocations: u32,
    /// How long after its end a minute is judged, in seconds: 0 to 600. CloudWatch has most of a
    /// minute's Lambda metrics a minute later. With 0 the running minute is judged too, as far as it
    /// has come, and so are minutes in which a weight changed.
    #[serde(default = "default_settle_seconds")]
    #[schemars(with = "SettleSeconds")]
    #[deserr(default = default_settle_seconds(), from(SettleSeconds) = u32::from)]
    pub settle_seconds: u32,
    /// How often a bake is looked at, in seconds: 10 to 3600, and less often where an execution has no room for so many
    /// looks. Looking often costs state transitions, and nothing in the risk `alpha`.
    #[serde(default = "default_check_every_seconds")]
    #[schemars(with = "CheckEverySeconds")]
    #[deserr(default = default_check_every_seconds(), from(CheckEverySeconds) = u32::from)]
    pub check_every_seconds: u32,
    /// The longest that a step may bake, extensions included, in seconds: at least the strategy's
    /// longest bake, at most 172800 (two days). When absent, three times the step's own bake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ExtendedBakeSeconds>")]
    #[deserr(default, from(Option<ExtendedBakeSeconds>) = Whole::optional)]
    pub max_bake_seconds: Option<u32>,
    /// What to do when there is still too little to judge by after `maxBakeSeconds`.
    #[serde(default)]
    #[deserr(default)]
    pub on_inconclusive: OnInconclusive,
    /// Whether failures in the functions' logs roll the release back seconds after they happen: `"off"`, or
    /// `{"pattern": "…"}` for lines of the team's own that mean failure too.
    #[serde(default, skip_serializing_if = "LiveErrors::is_default")]
    #[deserr(default)]
    pub live_errors: LiveErrors,
}

/// One false rollback in a hundred releases at the most.
const fn default_alpha() -> f64 {
    0.01
}

const fn default_min_invocations() -> u32 {
    10
}

/// CloudWatch has most of a minute's Lambda metrics a minute later.
const fn default_settle_seconds() -> u32 {
    60
}

/// Lambda's metrics come by the minute; looking more often sees nothing new.
const fn default_check_every_seconds() -> u32 {
    60
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            alarms: Vec::new(),
            preexisting_alarms: PreexistingAlarms::default(),
            health_checks: Vec::new(),
            responses: Vec::new(),
            metrics: Vec::new(),
            alpha: default_alpha(),
            min_effect: MinEffect::default(),
            slower_than_ms: None,
            control_percent: None,
            early_proceed: false,
            shadow: false,
            max_error_rate_percent: None,
            max_p99_ms: None,
            max_throttle_rate_percent: None,
            min_invocations: default_min_invocations(),
            settle_seconds: default_settle_seconds(),
            check_every_seconds: default_check_every_seconds(),
            max_bake_seconds: None,
            on_inconclusive: OnInconclusive::default(),
            live_errors: LiveErrors::default(),
        }
    }
}

/// What stays on blue: at most half, so that the last step is the largest.
struct Control(Weight);

impl Control {
    const MOST: Weight = match Weight::of_tenths(500) {
        Some(weight) => weight,
        None => Weight::ZERO,
    };

    fn optional(read: Option<Self>) -> Option<Weight> {
        read.map(|control| control.0)
    }
}

impl<E: DeserializeError> Deserr<E> for Control {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        weight::read(Weight::ZERO..=Self::MOST, &value, location).map(Self)
    }
}

impl Analysis {
    /// The judge's settings.
    #[must_use]
    pub fn judging(&self) -> Judging {
        Judging {
            alpha: self.alpha,
            min_effect: Margin {
                odds_ratio: self.min_effect.odds_ratio,
                absolute_percent: self.min_effect.absolute_percent,
            },
            slower_than_ms: self.slower_than_ms,
            max_error_rate_percent: self.max_error_rate_percent,
            max_p99_ms: self.max_p99_ms,
            max_throttle_percent: self.max_throttle_rate_percent,
            min_invocations: u64::from(self.min_invocations),
            ..Judging::default()
        }
    }

    /// How often a bake should be looked at, seconds: as often as the request says, or as a health check is
    /// asked. See [`Pace`](crate::domain::budget::Pace) for how often it is.
    #[must_use]
    pub fn look_every_seconds(&self) -> u32 {
        let checks = self.health_checks.iter().map(HealthCheck::interval_seconds);
        checks.fold(self.check_every_seconds, u32::min)
    }

    /// How long after a shift the invocations of its first minute are counted, seconds, where each may take
    /// `slowest_seconds`. A minute begins up to a minute after the shift, unless even the running one is judged.
    /// 0 where it is not known how long they may take.
    #[must_use]
    pub fn counted_after_seconds(&self, slowest_seconds: u32) -> u32 {
        match (slowest_seconds, self.settle_seconds) {
            (0, _) => 0,
            (_, 0) => slowest_seconds + 60,
            (_, settle_seconds) => slowest_seconds + settle_seconds + 120,
        }
    }

    /// The longest that `step` may bake, extensions included, in seconds: what the request says, or
    /// three times the step's bake up to [`MAX_EXTENDED_BAKE_SECONDS`]. Never less than its bake.
    #[must_use]
    pub fn longest_bake_seconds(&self, step: Step) -> u32 {
        let tripled = || {
            step.bake_seconds
                .saturating_mul(3)
                .min(MAX_EXTENDED_BAKE_SECONDS)
        };
        self.max_bake_seconds
            .unwrap_or_else(tripled)
            .max(step.bake_seconds)
    }
}

/// How much worse than blue green must be before it matters: both must be so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct MinEffect {
    /// The odds of a failure on green over those on blue: 1 to 100. Up to this green counts as no
    /// worse.
    #[serde(default = "default_odds_ratio")]
    #[schemars(with = "OddsRatio")]
    #[deserr(default = default_odds_ratio(), from(OddsRatio) = f64::from)]
    pub odds_ratio: f64,
    /// How far green's error rate must be above blue's, in percentage points: 0 to 100.
    #[serde(default = "default_absolute_percent")]
    #[schemars(with = "PercentagePoints")]
    #[deserr(default = default_absolute_percent(), from(PercentagePoints) = f64::from)]
    pub absolute_percent: f64,
}

fn default_odds_ratio() -> f64 {
    Margin::default().odds_ratio
}

fn default_absolute_percent() -> f64 {
    Margin::default().absolute_percent
}

impl Default for MinEffect {
    fn default() -> Self {
        Self {
            odds_ratio: default_odds_ratio(),
            absolute_percent: default_absolute_percent(),
        }
    }
}

/// What to do when an alarm is in ALARM before the release begins.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum PreexistingAlarms {
    /// Refuse the release: such an alarm would roll every release back.
    #[default]
    Refuse,
    /// Release without watching those alarms, so that a sick blue does not block its own fix.
    Ignore,
}

/// What to do when there is too little to judge by.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum OnInconclusive {
    /// Stop at the present weight and call an operator.
    #[default]
    Hold,
    /// Put all traffic back on blue.
    RollBack,
    /// Take the next step. Alarms are still watched.
    Proceed,
}
