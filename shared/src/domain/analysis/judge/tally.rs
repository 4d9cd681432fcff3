//! What is kept of the minutes of one function: sums, so that a minute is read once and forgotten.

use crate::domain::analysis::counts::{BluePast, Counts, FunctionSeries, Minute, PastShare};
use crate::domain::analysis::judge::Watch;
use crate::domain::analysis::judge::baseline;
use crate::domain::analysis::judge::grid::{BETS, EDGE, Grid, LANES, MARGINS, Rates, ln_average};
use crate::domain::analysis::judge::hypergeometric::{Moments, Split};
use crate::domain::analysis::judge::settings::{Judging, Overdispersion};

/// The newest minutes, over which ceilings look back.
const RECENT: usize = 5;
/// What is staked on routing alone when blue's past is known; the rest is staked on the past.
const ON_ROUTING: f64 = 0.25;
/// When blue's past shows errors that stick, alpha is spent in three parts (they sum to 1): on scaled
/// counts, on unscaled ones, and on the chance that a sick environment falls on green before the
/// unscaled ones are frozen. The parts, and the scale, are those of several that kept the simulation's
/// sticky cells at alpha and let the least through.
const ON_SCALED: f64 = 0.35;
const ON_UNSCALED: f64 = 0.2;
const FOR_SPELLS: f64 = 0.45;
/// Log e-values are divided by this much of the spread of blue's past hits: a spread counts the largest
/// clumps most, and is itself overstated as the largest of several noisy ones.
const OF_SPREAD: f64 = 0.85;

/// One kind of hit (errors or slow requests) over all minutes.
#[derive(Clone, Debug)]
struct Share {
    past: PastShare,
    rates: Rates,
    moments: Moments,
    green_hits: u64,
    blue_hits: u64,
    /// Green beside a blue in line with its past: requests and hits.
    beside: (u64, u64),
    /// Green without blue: requests and hits.
    alone: (u64, u64),
    /// Minutes to leave out yet, after one in which blue was out of line with its past.
    unwell: u8,
    /// `ln` of the e-value before scaling, as long as no sick spell is to be expected on green.
    unscaled: f64,
}

/// The sums over one function's minutes. Minutes are added in order of time.
#[derive(Clone, Debug)]
pub struct Tally {
    judging: Judging,
    grid: Grid,
    errors: Share,
    slow: Option<Share>,
    pub(super) blue: Counts,
    pub(super) green: Counts,
    /// Green's requests in the present step.
    pub(super) step_requests: u64,
    /// Minutes with traffic.
    pub(super) minutes: u64,
    /// Starts of the first and the last minute with traffic.
    pub(super) seen: Option<(i64, i64)>,
    /// The newest minutes, the newest at `newest`, the one before it in the place before, and so on round.
    recent: [Minute; RECENT],
    newest: usize,
}

/// What one test says of one function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finding {
    /// `ln` of the e-value: the staked average of the parts.
    pub ln_e: f64,
    /// `ln` of the e-value from routing alone.
    pub ln_routing: f64,
    /// `ln` of the e-value against blue's past.
    pub ln_past: f64,
    /// By how much counts were scaled down, at least 1.
    pub scaled: f64,
    /// Green's hits and blue's.
    pub hits: (u64, u64),
    /// Blue's past requests and hits.
    pub past: (u64, u64),
    /// Under this the odds ratio lies, at risk `alpha`.
    pub odds_under: Option<f64>,
}

impl Share {
    fn new(judging: &Judging, past: Option<PastShare>) -> Self {
        let mut past = past.unwrap_or_default();
        // Whatever came over the wire, scaling never adds evidence.
        (past.spread, past.stick) = match judging.overdispersion {
            Overdispersion::Scale => (past.spread.max(1.0), past.stick.max(1.0)),
            Overdispersion::Ignore => (1.0, 1.0),
        };
        let margin = judging.min_effect;
        let calm = if past.requests > 0 {
            calm_rate(&past)
        } else {
            0.0
        };
        // Without a past nothing finer than one in a thousand can be distinguished from it.
        let least = if past.requests > 0 {
            margin.absolute_percent / 100.0
        } else {
            1e-3
        };
        let lowest = baseline::raised(calm, 1.25 * margin.odds_ratio).max(calm + least);
        Self {
            past,
            rates: Rates::new(lowest),
            moments: Moments::new(),
            green_hits: 0,
            blue_hits: 0,
            beside: (0, 0),
            alone: (0, 0),
            unwell: 0,
            unscaled: 0.0,
        }
    }

    fn add(&mut self, grid: &Grid, minute: &Minute, hits: impl Fn(&Counts) -> u64) {
        let (green, blue) = (minute.green.invocations, minute.blue.invocations);
        let (green_hits, blue_hits) =
            (hits(&minute.green).min(green), hits(&minute.blue).min(blue));
        self.green_hits = self.green_hits.saturating_add(green_hits);
        self.blue_hits = self.blue_hits.saturating_add(blue_hits);
        if self.past.requests > 0
            && baseline::out_of_line(
                blue,
                blue_hits,
                calm_rate(&self.past),
                baseline::NOW_OUT_OF_LINE,
            )
        {
            self.unwell = 2; // This minute and the next one with blue.
        }
        if self.unwell == 0 {
            let sum = if blue > 0 {
                &mut self.beside
            } else {
                &mut self.alone
            };
            *sum = (
                sum.0.saturating_add(green),
                sum.1.saturating_add(green_hits),
            );
        } else if blue > 0 {
            self.unwell -= 1;
        }
        self.moments.add(
            grid,
            Split {
                green,
                blue,
                green_hits,
                hits: green_hits + blue_hits,
            },
        );
    }
}

/// Blue's rate in calm minutes, cautiously high.
fn calm_rate(past: &PastShare) -> f64 {
    baseline::cautious_rate(past.calm_requests, past.calm_hits, 1.0)
}

impl Tally {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(judging: &Judging, past: Option<BluePast>) -> Self {
        let judging = judging.within_range();
        Self {
            judging,
            grid: Grid::new(judging.min_effect.odds_ratio),
            errors: Share::new(&judging, past.map(|p| p.errors)),
            slow: judging
                .slower_than_ms
                .map(|_| Share::new(&judging, past.and_then(|p| p.slow))),
            blue: Counts::default(),
            green: Counts::default(),
            step_requests: 0,
            minutes: 0,
            seen: None,
            recent: [Minute::default(); RECENT],
            newest: 0,
        }
    }

    /// The sums over a series' settled minutes, whatever their order.
    #[must_use]
    pub fn of(judging: &Judging, series: &FunctionSeries, watch: Watch) -> Self {
        let mut tally = Self::new(judging, series.past);
        let mut take = |minute: &Minute| {
            if minute.start <= watch.through {
                tally.add(minute, minute.start >= watch.from);
            }
        };
        if series.minutes.is_sorted_by(|a, b| a.start < b.start) {
            series.minutes.iter().for_each(&mut take);
        } else {
            let in_order: std::collections::BTreeMap<_, _> =
                series.minutes.iter().map(|m| (m.start, m)).collect();
            in_order.into_values().for_each(&mut take);
        }
        tally
    }

    /// Forgets what belongs to the last step alone.
    pub fn begin_step(&mut self) {
        self.step_requests = 0;
    }

    /// Takes in the next minute; `in_step`: it belongs to the present step.
    pub fn add(&mut self, minute: &Minute, in_step: bool) {
        self.errors.add(&self.grid, minute, |c| c.errors);
        if let Some(slow) = &mut self.slow {
            slow.add(&self.grid, minute, |c| c.slow);
        }
        self.blue = self.blue.plus(minute.blue);
        self.green = self.green.plus(minute.green);
        self.step_requests =
            self.step_requests
                .saturating_add(if in_step { minute.green.invocations } else { 0 });
        if minute.blue.invocations > 0 || minute.green.invocations > 0 {
            self.minutes += 1;
            self.seen = Some((self.seen.map_or(minute.start, |s| s.0), minute.start));
        }
        self.newest = (self.newest + 1) % RECENT;
        self.recent[self.newest] = *minute;
        if let Some(unscaled) = self.unscaled(&self.errors) {
            self.errors.unscaled = unscaled;
        }
        if let Some(unscaled) = self.slow.as_ref().and_then(|slow| self.unscaled(slow)) {
            self.slow
                .iter_mut()
                .for_each(|slow| slow.unscaled = unscaled);
        }
    }

    /// The newest minutes, newest first; empty ones when there were fewer.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Minute> {
        (0..RECENT).map(|back| &self.recent[(self.newest + RECENT - back) % RECENT])
    }

    /// `ln` of the e-value before scaling, if blue's past shows errors that stick and yet, by the number
    /// of its sick spells, none is to be expected on green so far.
    fn unscaled(&self, share: &Share) -> Option<f64> {
        if share.past.stick <= 1.0 {
            return None;
        }
        let (green, all) = (
            self.green.invocations as f64,
            self.green.invocations as f64 + self.blue.invocations as f64,
        );
        let spells = share.past.spells * green + share.past.unwell * green / all.max(1.0);
        (spells <= FOR_SPELLS * self.judging.alpha).then(|| self.parts(share, 1.0, 1.0).0)
    }

    pub(super) fn errors(&self) -> Finding {
        self.find(&self.errors)
    }

    pub(super) fn slow(&self) -> Option<Finding> {
        self.slow.as_ref().map(|slow| self.find(slow))
    }

    fn find(&self, share: &Share) -> Finding {
        let past = &share.past;
        let sticks = past.stick > 1.0;
        let clumps = (OF_SPREAD * past.spread).max(1.0);
        let (scaled, alone) = if sticks {
            (clumps, clumps)
        } else {
            (1.0, past.spread)
        };
        let (ln_parts, ln_routing, ln_past) = self.parts(share, scaled, alone);
        let ln_e = if sticks {
            ln_average(&[ln_parts, share.unscaled], &[ON_SCALED, ON_UNSCALED])
        } else {
            ln_parts
        };
        // A difference too small to mind is no evidence, however sure it is.
        let blue = if self.blue.invocations > 0 {
            rate(self.blue.invocations, share.blue_hits)
        } else {
            rate(past.requests, past.hits)
        };
        let difference = rate(self.green.invocations, share.green_hits) - blue;
        let minded = 100.0 * difference >= self.judging.min_effect.absolute_percent;
        Finding {
            ln_e: if minded { ln_e } else { ln_e.min(0.0) },
            ln_routing,
            ln_past,
            scaled,
            hits: (share.green_hits, share.blue_hits),
            past: (past.requests, past.hits),
            odds_under: self.odds_under(&share.moments.ln_likelihood(&self.grid), scaled),
        }
    }

    /// `ln` of the staked average of the two tests' e-values, and of each; counts beside blue scaled
    /// down by `beside`, those without blue by `alone`.
    fn parts(&self, share: &Share, beside: f64, alone: f64) -> (f64, f64, f64) {
        let ln = share.moments.ln_likelihood(&self.grid);
        let routing: [f64; BETS] = std::array::from_fn(|j| (ln[j] - ln[EDGE]) / beside);
        let ln_routing = ln_average(&routing, &self.grid.stakes);

        let known = share.past.requests > 0;
        let (calm, usual) = self.rates_of_blue(share);
        let edge = self.judging.min_effect.odds_ratio;
        let with = baseline::ln_bets(
            &share.rates.rates,
            share.beside,
            baseline::raised(calm, edge),
        );
        let without = baseline::ln_bets(
            &share.rates.rates,
            share.alone,
            baseline::raised(usual, edge),
        );
        let bets: [f64; BETS] = std::array::from_fn(|j| with[j] / beside + without[j] / alone);
        let ln_past = ln_average(&bets, &share.rates.stakes);
        let on_routing = if known { ON_ROUTING } else { 0.5 };
        (
            ln_average(&[ln_routing, ln_past], &[on_routing, 1.0 - on_routing]),
            ln_routing,
            ln_past,
        )
    }

    /// The rates green is held to: beside a calm blue, and without blue. Never under what blue shows in
    /// this release, except for bursts that its past has too.
    fn rates_of_blue(&self, share: &Share) -> (f64, f64) {
        let past = &share.past;
        if past.requests == 0 {
            let during = baseline::cautious_rate(self.blue.invocations, share.blue_hits, 1.0);
            return (during, during);
        }
        let during = rate(self.blue.invocations, share.blue_hits);
        let usual = baseline::cautious_rate(past.requests, past.hits, past.spread).max(during);
        let calm = calm_rate(past);
        (
            if past.spread > 1.0 {
                calm
            } else {
                calm.max(during)
            },
            usual,
        )
    }

    /// The least margin that is refuted at `alpha`: the e-value of "no difference" against it.
    fn odds_under(&self, ln: &[f64; LANES], scaled: f64) -> Option<f64> {
        let needed = -self.judging.alpha.ln();
        (0..MARGINS.len())
            .find(|i| -ln[EDGE + 1 + i] / scaled >= needed)
            .map(|i| MARGINS[i])
    }
}

fn rate(requests: u64, hits: u64) -> f64 {
    if requests == 0 {
        0.0
    } else {
        hits as f64 / requests as f64
    }
}

#[cfg(test)]
mod tests;
