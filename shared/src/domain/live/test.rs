//! The test: an e-value of failures alone. The module's head derives it.

use serde::{Deserialize, Serialize};

use super::environment::{AtWeight, Counted};

/// How many times blue's odds of a failure a bad green's are taken to be: what is bet on, in equal parts.
const RATIOS: [f64; 6] = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// The largest e-value that is shown: a JSON number that any reader can take.
const TOLD: f64 = 1e12;

/// The least share of green under "no worse" where errors stick to environments: half of them at most are green's.
const STICKY_SHARE: f64 = 0.5;

/// How failures come while green is no worse than blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Come {
    /// One by one, as requests are routed.
    OneByOne,
    /// Again and again from one environment, or it is not known.
    Sticking,
}

/// Returns the e-value of one function's failures: at most 1 on average while green's odds of a failure are at most
/// `odds_ratio` times blue's.
#[must_use]
pub fn e_value(failures: &[AtWeight], odds_ratio: f64, come: Come) -> f64 {
    let ln_bets = RATIOS.map(|ratio| {
        let terms = failures.iter().map(|at| {
            let share = at.weight.percent() / 100.0;
            ln_factor(at.counted, held_to(share, odds_ratio, come), ratio, come)
        });
        terms.sum::<f64>()
    });
    let most = ln_bets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = ln_bets.iter().map(|ln| (ln - most).exp()).sum();
    #[allow(clippy::cast_precision_loss, reason = "six")]
    let ln_mean = most + (sum / RATIOS.len() as f64).ln();
    ln_mean.exp().min(TOLD)
}

/// Returns the e-value of a release: the average over its functions'.
#[must_use]
pub fn of_release(functions: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "at most 50")]
    let count = functions.len().max(1) as f64;
    functions.iter().sum::<f64>() / count
}

/// The largest probability with which the next failure is green's while green is no worse.
fn held_to(share: f64, odds_ratio: f64, come: Come) -> f64 {
    let routed = raised(share.clamp(0.0, 1.0), odds_ratio.max(1.0));
    match come {
        Come::OneByOne => routed,
        Come::Sticking => routed.max(STICKY_SHARE),
    }
}

/// The probability whose odds are `ratio` times those of `p`.
fn raised(p: f64, ratio: f64) -> f64 {
    ratio * p / (ratio * p + 1.0 - p)
}

/// The logarithm of what a bet on `ratio` is multiplied by.
fn ln_factor(counted: Counted, held_to: f64, ratio: f64, come: Come) -> f64 {
    // Nothing to bet on: all traffic is one version's.
    if held_to <= 0.0 || held_to >= 1.0 {
        return 0.0;
    }
    let green = match come {
        Come::OneByOne => counted.green,
        Come::Sticking => counted.green_spells,
    };
    #[allow(clippy::cast_precision_loss, reason = "counts of failed requests")]
    let (green, blue) = (green as f64, counted.blue as f64);
    let bet = raised(held_to, ratio);
    green * (bet / held_to).ln() + blue * ((1.0 - bet) / (1.0 - held_to)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::weight::Weight;

    fn at(percent: f64, green: u64, blue: u64) -> AtWeight {
        AtWeight {
            weight: Weight::try_from(percent).unwrap(),
            counted: Counted {
                green,
                green_spells: green,
                blue,
            },
        }
    }

    fn e(percent: f64, green: u64, blue: u64) -> f64 {
        e_value(&[at(percent, green, blue)], 1.1, Come::OneByOne)
    }

    #[test]
    fn begins_at_one_and_needs_few_failures() {
        assert!((e_value(&[], 1.1, Come::OneByOne) - 1.0).abs() < 1e-12);
        assert!(e(10.0, 2, 0) < 200.0 && e(10.0, 4, 0) >= 200.0);
        assert!(e(1.0, 2, 0) >= 200.0);
        assert!(e(50.0, 8, 0) < 200.0 && e(50.0, 10, 0) >= 200.0);
        // Blue's speak for green.
        assert!(e(10.0, 4, 4) < e(10.0, 4, 0));
        assert!(e(10.0, 3, 27) < 1.0);
    }

    /// By hand, at 10 % and an edge of 1: each failure of green's multiplies a bet on r by r / (0.1 r + 0.9).
    #[test]
    fn is_the_average_of_six_bets() {
        let by_hand = RATIOS
            .map(|r| (r / (0.1 * r + 0.9)).powi(3))
            .iter()
            .sum::<f64>()
            / 6.0;
        let is = e_value(&[at(10.0, 3, 0)], 1.0, Come::OneByOne);
        assert!((is / by_hand - 1.0).abs() < 1e-9, "{is} {by_hand}");
    }

    #[test]
    fn asks_more_where_errors_stick_and_nothing_at_all_of_traffic() {
        let sticking = |green| e_value(&[at(10.0, green, 0)], 1.1, Come::Sticking);
        assert!(sticking(4) < 200.0 && sticking(9) >= 200.0);
        for come in [Come::OneByOne, Come::Sticking] {
            assert!((e_value(&[at(100.0, 50, 0)], 1.1, come) - 1.0).abs() < 1e-12);
        }
        assert!(e_value(&[at(10.0, 5_000, 0)], 1.1, Come::OneByOne) <= TOLD);
    }

    #[test]
    fn is_valid_at_each_failure() {
        // The mean of the next value, for a green that is as bad as the edge allows: the value itself.
        for percent in [0.1, 1.0, 10.0, 50.0, 99.0] {
            for come in [Come::OneByOne, Come::Sticking] {
                let p = held_to(percent / 100.0, 1.1, come);
                for (green, blue) in [(0, 0), (3, 0), (2, 5), (4, 40)] {
                    let value = |green, blue| e_value(&[at(percent, green, blue)], 1.1, come);
                    let next = p * value(green + 1, blue) + (1.0 - p) * value(green, blue + 1);
                    let ratio = next / value(green, blue);
                    assert!((ratio - 1.0).abs() < 1e-9, "{percent} {come:?} {ratio}");
                    // And below it for a better one.
                    let better = p * 0.9;
                    let next =
                        better * value(green + 1, blue) + (1.0 - better) * value(green, blue + 1);
                    assert!(next <= value(green, blue) * (1.0 + 1e-9));
                }
            }
        }
    }

    #[test]
    fn a_release_of_many_has_one_alpha() {
        let worst = e(10.0, 4, 0);
        assert!((of_release(&[worst, 1.0]) - f64::midpoint(worst, 1.0)).abs() < 1e-9);
        assert!(of_release(&[]).abs() < 1e-12);
    }
}
