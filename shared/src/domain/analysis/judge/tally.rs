//! What is kept of the minutes of one function: sums, so that a minute is read once and forgotten.

use crate::domain::analysis::counts::{BluePast, Counts, FunctionSeries, Minute, PastShare};
use crate::domain::analysis::judge::Watch;
use crate::domain::analysis::judge::clumps::Clumps;
use crate::domain::analysis::judge::evidence::{Together, WithoutBlue};
use crate::domain::analysis::judge::grid::{BETS, EDGE, Grid, LANES, MARGINS, Rates, ln_average};
use crate::domain::analysis::judge::hypergeometric::{Moments, Split};
use crate::domain::analysis::judge::settings::Judging;
use crate::domain::analysis::judge::signal::Signal;

/// The newest minutes, over which ceilings look back.
const RECENT: usize = 5;
/// What is staked on blue's past, where it is known; the rest is staked on routing.
const ON_PAST: f64 = 0.5;
/// Green is held to blue's past until so many hits were to be expected of it: what a level that changes during
/// the release may add to that many is little.
const EXPECTED_FROM_PAST: f64 = 8.0;
/// `ln 20`: so unlikely are the hits of a minute of blue's at the rate of its past where they are out of line
/// with it.
const OUT_OF_LINE: f64 = 2.995_732_273_553_991;
/// The same of all that blue has shown since the release began: a level that has risen shows on blue, which has at
/// least as many requests, long before green has twice as much.
const OUT_OF_LINE_SO_FAR: f64 = 0.7;

/// One kind of hit over all minutes.
#[derive(Clone, Debug)]
struct Share {
    past: PastShare,
    rates: Rates,
    moments: Moments,
    clumps: Option<Clumps>,
    /// Requests and hits since the release began.
    green: (u64, u64),
    blue: (u64, u64),
    /// Green beside a blue in line with its past: requests and hits.
    beside: (u64, u64),
    /// What green served without blue.
    without_blue: Option<WithoutBlue>,
    /// Minutes to leave out yet, after one in which blue was out of line with its past.
    unwell: u8,
}

/// The sums over one function's minutes. Minutes are added in order of time.
#[derive(Clone, Debug)]
pub struct Tally {
    judging: Judging,
    grid: Grid,
    /// What is tested, in the order of [`Signal::ALL`].
    shares: Vec<(Signal, Share)>,
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
    /// `ln` of the e-value against blue's past; none without one.
    pub ln_past: Option<f64>,
    /// What hits that come together are taken for, and `ln` of the e-value by it; none where each comes by
    /// itself.
    pub together: Option<(Together, f64)>,
    /// Green's requests and blue's.
    pub requests: (u64, u64),
    /// Green's hits and blue's.
    pub hits: (u64, u64),
    /// Blue's past requests and hits.
    pub past: (u64, u64),
    /// What green served without blue.
    pub without_blue: Option<WithoutBlue>,
    /// Under this the odds ratio lies, at risk `alpha`.
    pub odds_under: Option<f64>,
}

impl Finding {
    /// What of the release was not compared, for the end of a sentence; empty where all was.
    pub(super) fn given_up(&self) -> String {
        let Some(without) = self.without_blue else {
            return String::new();
        };
        let WithoutBlue {
            minutes,
            requests,
            hits,
        } = without;
        format!(
            "; of these, {hits} of {requests} in {minutes} minutes without blue, where nothing is compared and only \
             alarms and ceilings decide"
        )
    }
}

impl Share {
    fn new(judging: &Judging, past: Option<PastShare>) -> Self {
        let past = past.unwrap_or_default();
        let margin = judging.min_effect;
        let held_to = raised(past.highest_rate, margin.odds_ratio);
        let lowest = raised(held_to, 1.25).max(held_to + margin.absolute_percent / 100.0);
        Self {
            past,
            rates: Rates::new(lowest),
            moments: Moments::new(),
            clumps: (past.together_minutes > 0)
                .then(|| Clumps::new(past.together_minutes, past.together)),
            green: (0, 0),
            blue: (0, 0),
            beside: (0, 0),
            without_blue: None,
            unwell: 0,
        }
    }

    fn add(&mut self, grid: &Grid, edge: f64, signal: Signal, minute: &Minute) {
        let (green, green_hits) = signal.of(&minute.green);
        let (blue, blue_hits) = signal.of(&minute.blue);
        self.green = plus(self.green, (green, green_hits));
        self.blue = plus(self.blue, (blue, blue_hits));
        if blue == 0 {
            if green > 0 {
                let so_far = self.without_blue.get_or_insert_default();
                so_far.minutes += 1;
                so_far.requests = so_far.requests.saturating_add(green);
                so_far.hits = so_far.hits.saturating_add(green_hits);
            }
            return;
        }
        let split = Split {
            green,
            blue,
            green_hits,
            hits: green_hits + blue_hits,
        };
        self.moments.add(grid, split);
        if let Some(clumps) = &mut self.clumps {
            clumps.add(grid, edge, split);
        }
        self.hold_to_past(edge, (green, green_hits), (blue, blue_hits));
    }

    fn hold_to_past(&mut self, edge: f64, green: (u64, u64), blue: (u64, u64)) {
        let rate = self.past.highest_rate;
        if self.past.requests == 0 {
            return;
        }
        if out_of_line(blue, rate, OUT_OF_LINE) || out_of_line(self.blue, rate, OUT_OF_LINE_SO_FAR)
        {
            self.unwell = 2; // This minute and the next one with blue.
        }
        let expected = raised(rate, edge) * self.beside.0.saturating_add(green.0) as f64;
        if self.unwell > 0 {
            self.unwell -= 1;
        } else if expected <= EXPECTED_FROM_PAST && blue.0 >= green.0 / 2 {
            self.beside = plus(self.beside, green);
        }
    }
}

/// Whether hits are more than `rate` explains: by the Chernoff bound for a Poisson count, less likely than
/// `exp(-unlikely)`.
fn out_of_line((requests, hits): (u64, u64), rate: f64, unlikely: f64) -> bool {
    let (expected, hits) = (requests as f64 * rate, hits as f64);
    let over = hits - expected;
    // As ln(1 + x) <= x, the bound is at most over^2 / expected: most minutes need no logarithm.
    over > 0.0
        && over * over > unlikely * expected
        && hits * (hits / expected).ln() - over > unlikely
}

/// The rate whose odds are `odds` times those of `rate`.
fn raised(rate: f64, odds: f64) -> f64 {
    rate * odds / (1.0 + rate * (odds - 1.0))
}

/// `ln` of each bet's likelihood over that of `held_to`: green's `hits` of `requests`, binomial.
///
/// For a true rate of at most `held_to`, none of the e-values has a mean over 1. A bet at or below it is
/// lost.
fn ln_bets(bets: &[f64; BETS], (requests, hits): (u64, u64), held_to: f64) -> [f64; BETS] {
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

impl Tally {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(judging: &Judging, past: Option<BluePast>) -> Self {
        let judging = judging.within_range();
        Self {
            judging,
            grid: Grid::new(judging.min_effect.odds_ratio),
            shares: Signal::ALL
                .into_iter()
                .filter(|signal| signal.is_tested(&judging))
                .map(|signal| {
                    let past = past.as_ref().and_then(|past| signal.past(past));
                    (signal, Share::new(&judging, past))
                })
                .collect(),
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
        let edge = self.judging.min_effect.odds_ratio;
        for (signal, share) in &mut self.shares {
            share.add(&self.grid, edge, *signal, minute);
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
    }

    /// The newest minutes, newest first; empty ones when there were fewer.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Minute> {
        (0..RECENT).map(|back| &self.recent[(self.newest + RECENT - back) % RECENT])
    }

    /// What each test says.
    pub(super) fn findings(&self) -> impl Iterator<Item = (Signal, Finding)> {
        self.shares
            .iter()
            .map(|(signal, share)| (*signal, self.find(share)))
    }

    fn find(&self, share: &Share) -> Finding {
        let past = &share.past;
        let ln = share.moments.ln_likelihood(&self.grid);
        let routing: [f64; BETS] = std::array::from_fn(|j| ln[j] - ln[EDGE]);
        let ln_routing = ln_average(&routing, &self.grid.stakes);
        let held_to = raised(past.highest_rate, self.judging.min_effect.odds_ratio);
        let bets = ln_bets(&share.rates.rates, share.beside, held_to);
        let ln_past = (past.requests > 0).then(|| ln_average(&bets, &share.rates.stakes));
        let one_by_one = ln_past.map_or(ln_routing, |ln_past| {
            ln_average(&[ln_routing, ln_past], &[1.0 - ON_PAST, ON_PAST])
        });
        let together = share
            .clumps
            .as_ref()
            .map(|clumps| (clumps.together(), clumps.ln_e(&self.grid)));
        let ln_e = together.map_or(one_by_one, |(_, together)| one_by_one.min(together));
        // A difference too small to mind is no evidence, however sure it is.
        let alone = share.without_blue.unwrap_or_default();
        let compared = (
            share.green.0.saturating_sub(alone.requests),
            share.green.1.saturating_sub(alone.hits),
        );
        let difference = rate(compared) - rate(share.blue);
        let minded = 100.0 * difference >= self.judging.min_effect.absolute_percent;
        let size = together.map_or(1.0, |(together, _)| together.hits);
        Finding {
            ln_e: if minded { ln_e } else { ln_e.min(0.0) },
            ln_routing,
            ln_past,
            together,
            requests: (share.green.0, share.blue.0),
            hits: (share.green.1, share.blue.1),
            past: (past.requests, past.hits),
            without_blue: share.without_blue,
            odds_under: self.odds_under(&ln, size),
        }
    }

    /// The least margin that is refuted at `alpha`: the e-value of "no difference" against it.
    fn odds_under(&self, ln: &[f64; LANES], scaled: f64) -> Option<f64> {
        let needed = -self.judging.alpha.ln();
        (0..MARGINS.len())
            .find(|i| -ln[EDGE + 1 + i] / scaled >= needed)
            .map(|i| MARGINS[i])
    }
}

fn plus(sum: (u64, u64), more: (u64, u64)) -> (u64, u64) {
    (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1))
}

fn rate((requests, hits): (u64, u64)) -> f64 {
    if requests == 0 {
        0.0
    } else {
        hits as f64 / requests as f64
    }
}

#[cfg(test)]
mod tests;
