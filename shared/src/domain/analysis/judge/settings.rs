//! How strictly green is judged.

use serde::{Deserialize, Serialize};

/// How much worse green must be before it matters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MinEffect {
    /// Odds of an error on green over those on blue, 1 to 100: up to this green counts as no worse.
    pub odds_ratio: f64,
    /// Percentage points, 0 to 100, that green's error rate must be above blue's.
    pub absolute_percent: f64,
}

impl Default for MinEffect {
    fn default() -> Self {
        Self {
            odds_ratio: 1.1,
            absolute_percent: 0.05,
        }
    }
}

/// The settings of the judge, each with a default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Judging {
    /// The chance, per release, that the test condemns a green no worse than blue; 0 to 0.5, exclusive of 0.
    pub alpha: f64,
    /// How much worse is worse.
    pub min_effect: MinEffect,
    /// Milliseconds above which a request is slow; absent: slowness is not tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than_ms: Option<u32>,
    /// Hard ceiling for green's error rate in percent, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_error_rate_percent: Option<f64>,
    /// Hard ceiling for green's 99th percentile of duration in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_p99_ms: Option<u32>,
    /// Hard ceiling for green's throttled share of all its requests in percent, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_throttle_percent: Option<f64>,
    /// Green requests in this step without which nothing is healthy, and without which no ceiling is
    /// judged; at least 1.
    pub min_invocations: u64,
    /// The e-value from which green is suspect: not marked, yet not healthy, so that the bake goes on
    /// at the present weight; over 1 and under `1 / alpha`.
    pub suspect_at: f64,
}

impl Judging {
    /// The same settings with every number in its range, whatever they were made from.
    #[must_use]
    pub fn within_range(&self) -> Self {
        let kept = |value: f64, low: f64, high: f64, default: f64| {
            if value.is_nan() {
                default
            } else {
                value.clamp(low, high)
            }
        };
        let usual = Self::default();
        let alpha = kept(self.alpha, 1e-9, 0.5, usual.alpha);
        let odds_ratio = kept(
            self.min_effect.odds_ratio,
            1.0,
            100.0,
            usual.min_effect.odds_ratio,
        );
        let absolute_percent = kept(
            self.min_effect.absolute_percent,
            0.0,
            100.0,
            usual.min_effect.absolute_percent,
        );
        Self {
            alpha,
            min_effect: MinEffect {
                odds_ratio,
                absolute_percent,
            },
            min_invocations: self.min_invocations.max(1),
            suspect_at: kept(self.suspect_at, 1.0, 1.0 / alpha, usual.suspect_at),
            ..*self
        }
    }
}

impl Default for Judging {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            min_effect: MinEffect::default(),
            slower_than_ms: None,
            max_error_rate_percent: None,
            max_p99_ms: None,
            max_throttle_percent: None,
            min_invocations: 10,
            suspect_at: 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_taken_for_the_nearest_and_no_numbers_for_the_usual() {
        let of = |value: f64, min_invocations| {
            let judging = Judging {
                alpha: value,
                min_effect: MinEffect {
                    odds_ratio: value,
                    absolute_percent: value,
                },
                min_invocations,
                suspect_at: value,
                ..Judging::default()
            };
            let Judging {
                alpha,
                min_effect,
                min_invocations,
                suspect_at,
                ..
            } = judging.within_range();
            let MinEffect {
                odds_ratio,
                absolute_percent,
            } = min_effect;
            (
                [alpha, odds_ratio, absolute_percent, suspect_at],
                min_invocations,
            )
        };
        assert_eq!(of(-1.0, 0), ([1e-9, 1.0, 0.0, 1.0], 1));
        assert_eq!(of(1e6, 7), ([0.5, 100.0, 100.0, 2.0], 7));
        assert_eq!(of(f64::NAN, 1), ([0.01, 1.1, 0.05, 2.0], 1));
    }
}
