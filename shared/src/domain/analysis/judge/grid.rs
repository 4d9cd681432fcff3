//! The odds ratios and rates that the tests bet on, fixed before any of the release's data is seen.

/// How many alternatives a test averages over.
pub(super) const BETS: usize = 16;
/// The margins for which an upper bound on the odds ratio is kept.
pub(super) const MARGINS: [f64; 7] = [1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0];
/// The bets, the null's edge and the margins, side by side so that one loop serves all.
pub(super) const LANES: usize = BETS + 1 + MARGINS.len();
/// The lane of the null's edge, `minEffect.oddsRatio`.
pub(super) const EDGE: usize = BETS;
/// The largest odds ratio bet on.
const LARGEST: f64 = 1000.0;
/// The odds ratio, and the rate, that most is bet on: what small samples can distinguish from a healthy green.
const LIKELY_ODDS: f64 = 10.0;
const LIKELY_RATE: f64 = 0.04;
/// The width of the bell of the bets, in logs, and the floor below it, as a part of its height.
const BELL: f64 = 1.2;
const FLOOR: f64 = 0.3;

/// The odds ratios of all lanes, their logarithms, and how much is bet on each.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub odds: [f64; LANES],
    pub ln: [f64; LANES],
    pub stakes: [f64; BETS],
}

impl Grid {
    /// Bets spread evenly (in logs) from a quarter above the edge (at least 1.5) to 1000.
    pub(super) fn new(edge: f64) -> Self {
        let bets = evenly_in_logs((1.25 * edge).max(1.5), LARGEST);
        let mut odds = [1.0; LANES];
        odds[..BETS].copy_from_slice(&bets);
        odds[EDGE] = edge;
        odds[EDGE + 1..].copy_from_slice(&MARGINS);
        Self {
            odds,
            ln: odds.map(f64::ln),
            stakes: stakes(&bets, LIKELY_ODDS),
        }
    }
}

/// Rates to bet on in the test against blue's past, and how much on each.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    pub rates: [f64; BETS],
    pub stakes: [f64; BETS],
}

impl Rates {
    /// Rates spread evenly (in logs) from `lowest` to nearly 1.
    pub(super) fn new(lowest: f64) -> Self {
        let rates = evenly_in_logs(lowest.clamp(1e-9, 0.9), 0.9999);
        Self {
            rates,
            stakes: stakes(&rates, LIKELY_RATE),
        }
    }
}

fn evenly_in_logs(low: f64, high: f64) -> [f64; BETS] {
    let stride = (high / low).ln() / (BETS - 1) as f64;
    std::array::from_fn(|i| low * (stride * i as f64).exp())
}

/// Stakes that sum to 1: a bell (in logs) around the likely one, over a floor so that none is neglected.
fn stakes(bets: &[f64; BETS], likely: f64) -> [f64; BETS] {
    let raw = bets.map(|bet| FLOOR + (-((bet / likely).ln() / BELL).powi(2) / 2.0).exp());
    let sum: f64 = raw.iter().sum();
    raw.map(|stake| stake / sum)
}

/// `ln` of the sum of `stake * exp(value)`: an average of e-values kept in logs, without overflow.
pub(super) fn ln_average(values: &[f64], stakes: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    let sum: f64 = values
        .iter()
        .zip(stakes)
        .map(|(value, stake)| stake * (value - top).exp())
        .sum();
    top + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stakes_sum_to_one_and_bets_stay_above_the_edge() {
        for edge in [1.0, 1.1, 1.5, 3.0, 100.0] {
            let grid = Grid::new(edge);
            assert!(
                (grid.stakes.iter().sum::<f64>() - 1.0).abs() < 1e-12,
                "{edge}"
            );
            assert!(grid.odds[..BETS].iter().all(|w| *w > edge), "{edge}");
            assert!((grid.odds[BETS - 1] - LARGEST).abs() < 1e-9, "{edge}");
        }
    }

    #[test]
    fn an_average_of_huge_e_values_does_not_overflow() {
        // 0.5 e^2000 + 0.5 e^0 = e^(2000 + ln 0.5) to the last digit of a double.
        assert!((ln_average(&[2000.0, 0.0], &[0.5, 0.5]) - (2000.0 - 2f64.ln())).abs() < 1e-9);
        assert!(ln_average(&[f64::NEG_INFINITY], &[1.0]).is_infinite());
    }
}
