//! Blue's past: its rate, how unevenly its hits come, and bets of green against it.

use crate::domain::analysis::counts::PastShare;
use crate::domain::analysis::judge::grid::BETS;

/// Block lengths in minutes over which unevenness is measured.
const BLOCKS: [usize; 5] = [1, 2, 5, 10, 15];
/// Minutes of the past without which its unevenness is not judged.
const ENOUGH_MINUTES: usize = 60;
/// Standard errors by which an excess must stand out to be believed.
const UNEVEN: f64 = 2.33;
/// The same for minutes that resemble their neighbours; more, because bursts have heavy tails.
const LASTING: f64 = 4.0;
/// Blue's rate is put this many standard errors above what was seen.
const CAUTION: f64 = 1.0;
/// `ln 20`: a minute less likely than this is out of line with blue's past.
pub(super) const NOW_OUT_OF_LINE: f64 = 2.995_732_273_553_991;
/// `ln 100`: the same for a minute of the past itself.
const THEN_OUT_OF_LINE: f64 = 4.605_170_185_988_092;

impl PastShare {
    /// Sums up blue's past: consecutive minutes as (requests, hits), oldest first, at best a day of
    /// them, and the totals of whatever came before.
    #[must_use]
    pub fn from_minutes(minutes: &[(u64, u64)], earlier: (u64, u64)) -> Self {
        let (seen, hits) = minutes.iter().fold((0, 0), sum);
        let (requests, all_hits) = sum((seen, hits), &earlier);
        let mut past = Self {
            requests,
            hits: all_hits,
            calm_requests: requests,
            calm_hits: all_hits,
            ..Self::default()
        };
        if hits > 0 && minutes.len() >= ENOUGH_MINUTES {
            (past.spread, past.stick) = unevenness(minutes, seen, hits);
        }
        if past.spread > 1.0 {
            past.part(minutes, seen, hits);
        }
        past
    }

    /// Parts minutes in line from those out of line. These raise the rate that they are measured by,
    /// hence more than one round.
    fn part(&mut self, minutes: &[(u64, u64)], seen: u64, hits: u64) {
        let mut calm = (seen, hits);
        for _ in 0..4 {
            let rate = calm.1 as f64 / calm.0.max(1) as f64;
            let unwell = |m: &(u64, u64)| out_of_line(m.0, m.1.min(m.0), rate, THEN_OUT_OF_LINE);
            calm = minutes.iter().filter(|m| !unwell(m)).fold((0, 0), sum);
            let out = minutes.iter().filter(|m| unwell(m)).count();
            let spells = minutes
                .chunk_by(|a, b| unwell(a) == unwell(b))
                .filter(|run| unwell(&run[0]))
                .count();
            self.spells = ((spells as f64 + 1.0) / seen as f64).min(1.0);
            self.unwell = out as f64 / minutes.len() as f64;
        }
        // A burst shows on blue in the same minute; an environment of green's that is sick does not.
        if self.stick <= 1.0 {
            (self.calm_requests, self.calm_hits) = calm;
        }
    }
}

fn sum(total: (u64, u64), minute: &(u64, u64)) -> (u64, u64) {
    (
        total.0.saturating_add(minute.0),
        total.1.saturating_add(minute.1.min(minute.0)),
    )
}

/// `(spread, stick)`: the variance of the hits of a block over its mean (1 when each hit comes by
/// itself), the largest over block lengths; and what of that single minutes do not explain.
fn unevenness(minutes: &[(u64, u64)], seen: u64, hits: u64) -> (f64, f64) {
    let rate = hits as f64 / seen as f64;
    let mean = hits as f64 / minutes.len() as f64;
    let excess: Vec<f64> = minutes
        .iter()
        .map(|&(m, h)| h.min(m) as f64 - m as f64 * rate)
        .collect();
    let variance_over_mean = |block: usize| {
        let squares: f64 = excess
            .chunks_exact(block)
            .map(|c| c.iter().sum::<f64>().powi(2))
            .sum();
        squares / ((minutes.len() / block) as f64 * block as f64 * mean)
    };
    let single = variance_over_mean(1);
    let (mut spread, mut stick) = (1.0f64, 1.0f64);
    for block in BLOCKS {
        let whole = variance_over_mean(block);
        if whole > 1.0 + UNEVEN * (2.0 * block as f64 / minutes.len() as f64).sqrt() {
            spread = spread.max(whole);
        }
        // The error of `whole / single` when minutes are independent, whatever their distribution:
        // it is 1 + 2 sum (1 - l / block) r_l, and each autocorrelation r_l has variance 1 / minutes.
        let error = 2.0 * (block as f64 / 3.0 / minutes.len() as f64).sqrt();
        let lasting = whole - single;
        if block > 1 && lasting > LASTING * error * single {
            stick = stick.max(1.0 + lasting);
        }
    }
    (spread.max(stick), stick)
}

/// Whether `hits` are more than `rate` explains: by the Chernoff bound for a Poisson count, less likely
/// than `exp(-unlikely)`.
pub(super) fn out_of_line(requests: u64, hits: u64, rate: f64, unlikely: f64) -> bool {
    let (expected, hits) = (requests as f64 * rate, hits as f64);
    let over = hits - expected;
    // As ln(1 + x) <= x, the bound is at most over^2 / expected: most minutes need no logarithm.
    over > 0.0
        && over * over > unlikely * expected
        && hits * (hits / expected).ln() - over > unlikely
}

/// A rate put cautiously high, over 0 and at most 1; 1 when nothing is known.
pub(super) fn cautious_rate(requests: u64, hits: u64, spread: f64) -> f64 {
    if requests == 0 {
        return 1.0;
    }
    let hits = hits as f64;
    ((hits + 0.5 + CAUTION * (hits * spread).sqrt()) / requests as f64).min(1.0)
}

/// The rate whose odds are `odds` times those of `rate`.
pub(super) fn raised(rate: f64, odds: f64) -> f64 {
    rate * odds / (1.0 + rate * (odds - 1.0))
}

/// `ln` of each bet's likelihood over that of `held_to`: green's `hits` of `requests`, binomial.
///
/// For a true rate of at most `held_to`, none of the e-values has a mean over 1. A bet at or below it is
/// lost.
pub(super) fn ln_bets(
    bets: &[f64; BETS],
    (requests, hits): (u64, u64),
    held_to: f64,
) -> [f64; BETS] {
    if requests == 0 {
        return [0.0; BETS];
    }
    let (passed, hits) = ((requests - hits) as f64, hits as f64);
    let held = (held_to.ln(), (-held_to).ln_1p());
    bets.map(|rate| {
        if rate > held_to {
            hits * (rate.ln() - held.0) + passed * ((-rate).ln_1p() - held.1)
        } else {
            f64::NEG_INFINITY
        }
    })
}
