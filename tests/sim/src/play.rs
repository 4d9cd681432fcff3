//! Plays one cell many times and adds up what each rule did.

use crossfade::domain::analysis::counts::{BluePast, Minute, PastShare};
use crossfade::domain::analysis::judge::{Judging, Tally, Verdict, Watch, conclude};

use super::cell::{Cell, Kind};
use super::rules::{PEERS, clairvoyant};
use super::world::{MINUTES, Past, World, weight};

/// Crossfade, its peers, and the clairvoyant.
pub const RULES: usize = PEERS.len() + 2;
/// The clairvoyant's place.
pub const CLAIRVOYANT: usize = RULES - 1;
/// A bake is extended to at most this many times its length, and then the release goes on: harsher on
/// Crossfade than the `hold` that is the default.
const LONGEST_BAKE: usize = 3;

/// Sums over the runs of one cell.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    pub runs: f64,
    /// Runs that each rule rolled back.
    pub rolled_back: [f64; RULES],
    /// Failed (or slow) requests that green served in the plan's 20 minutes, by rule.
    pub let_through: [f64; RULES],
    /// The same without any rule.
    pub unruled: f64,
    /// Crossfade's less each rule's, run by run, and squared.
    over: [f64; RULES],
    over_squared: [f64; RULES],
    /// Minutes until Crossfade's release ended.
    pub took: f64,
    /// What Crossfade let through of the same releases after a calm past, where the past is what matters.
    pub after_calm: f64,
}

impl Tried {
    pub fn false_rate(&self, rule: usize) -> f64 {
        self.rolled_back[rule] / self.runs
    }

    pub fn mean(&self, rule: usize) -> f64 {
        self.let_through[rule] / self.runs
    }

    /// By how many more failed requests Crossfade let through than `rule` on average, and that number's
    /// standard error.
    pub fn behind(&self, rule: usize) -> (f64, f64) {
        let mean = self.over[rule] / self.runs;
        let variance = (self.over_squared[rule] / self.runs - mean * mean).max(0.0);
        (mean, (variance / self.runs).sqrt())
    }

    /// What Crossfade lets through, over what it lets through after a calm past.
    pub fn by_the_past(&self) -> Option<f64> {
        (self.after_calm > 0.0).then(|| self.let_through[0] / self.after_calm)
    }

    /// The false rollbacks of Crossfade in percent, and their interval at so many standard errors (Wilson 1927).
    pub fn interval(&self, errors: f64) -> (f64, f64, f64) {
        let (n, rate, square) = (self.runs, self.false_rate(0), errors * errors);
        let middle = (rate + square / (2.0 * n)) / (1.0 + square / n);
        let half =
            errors / (1.0 + square / n) * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt();
        (
            100.0 * rate,
            100.0 * (middle - half),
            100.0 * (middle + half),
        )
    }

    fn add(&mut self, stopped: [bool; RULES], let_through: &[f64; RULES]) {
        for rule in 0..RULES {
            let over = let_through[0] - let_through[rule];
            self.rolled_back[rule] += f64::from(u8::from(stopped[rule]));
            self.let_through[rule] += let_through[rule];
            self.over[rule] += over;
            self.over_squared[rule] += over * over;
        }
        self.runs += 1.0;
    }
}

/// How Crossfade's releases are made.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// The share that stays on blue through the last bake.
    pub control: f64,
}

/// Plays `cell` once for each seed.
pub fn play(cell: Cell, seeds: std::ops::Range<u64>, ours: Ours) -> Tried {
    let judging = Judging {
        slower_than_ms: (cell.kind == Kind::Slow).then_some(1000),
        ..Judging::default()
    };
    let mut tried = Tried::default();
    for seed in seeds {
        let (mut world, past) = World::new(cell, seed);
        let seen: Vec<_> = (0..MINUTES)
            .map(|t| world.minute(t, weight(t, 1.0)))
            .collect();
        let minutes: Vec<Minute> = seen.iter().map(|(minute, _)| *minute).collect();
        let (mut stopped, mut let_through) = ([false; RULES], [hits(&minutes); RULES]);
        tried.unruled += hits(&minutes);
        for (i, (_, rule)) in PEERS.iter().enumerate() {
            let stop = (0..MINUTES)
                .find(|&now| rule(now, &minutes[..(now + 1).saturating_sub(cell.lag())]));
            if let Some(now) = stop {
                stopped[i + 1] = true;
                let_through[i + 1] = hits(&minutes[..=now]);
            }
        }
        if let Some(now) = clairvoyant(&seen, judging.alpha).map(|now| now + cell.lag()) {
            stopped[CLAIRVOYANT] = now < MINUTES;
            let_through[CLAIRVOYANT] = hits(&minutes[..(now + 1).min(MINUTES)]);
        }
        let tally = Tally::new(&judging, Some(known(cell, &past)));
        let last = 1.0 - ours.control;
        let (rolled_back, seen) = release(cell, World::new(cell, seed).0, tally, &judging, last);
        stopped[0] = rolled_back;
        let_through[0] = hits(&seen[..seen.len().min(MINUTES)]);
        tried.took += seen.len() as f64;
        if cell.kind.is_in_the_past() {
            let (world, past) = World::after_calm(cell, seed);
            let tally = Tally::new(&judging, Some(known(cell, &past)));
            let (_, seen) = release(cell, world, tally, &judging, last);
            tried.after_calm += hits(&seen[..seen.len().min(MINUTES)]);
        }
        tried.add(stopped, &let_through);
    }
    tried
}

/// Blue's past, as deploy-green would read it.
fn known(cell: Cell, past: &Past) -> BluePast {
    let share = PastShare::from_minutes(&past.minutes, &past.hours);
    match cell.kind {
        Kind::Slow => BluePast {
            errors: PastShare {
                requests: share.requests,
                ..PastShare::default()
            },
            slow: Some(share),
        },
        _ => BluePast {
            errors: share,
            slow: None,
        },
    }
}

/// Crossfade's release: whether it was rolled back, and its minutes. The bake goes on while the verdict
/// is inconclusive.
fn release(
    cell: Cell,
    mut world: World,
    mut tally: Tally,
    judging: &Judging,
    last: f64,
) -> (bool, Vec<Minute>) {
    let mut seen = Vec::new();
    let mixed = usize::from(cell.has_mixed_minutes());
    for (weight, bake) in [(0.1, 5), (0.5, 10), (last, 5)] {
        let from = seen.len();
        tally.begin_step();
        for baked in 1..=LONGEST_BAKE * bake {
            seen.push(world.minute(seen.len(), weight).0);
            let Some(newest) = seen.len().checked_sub(cell.lag() + 1) else {
                continue;
            };
            if baked > mixed {
                tally.add(&seen[newest], newest >= from);
            }
            let watch = Watch {
                from: seen[from].start,
                through: seen[newest].start,
            };
            let view = [("f", tally)];
            let verdict = conclude(judging, &view, watch).verdict;
            let [(_, kept)] = view;
            tally = kept;
            match verdict {
                Verdict::Unhealthy => return (true, seen),
                Verdict::Healthy if baked >= bake => break,
                Verdict::Healthy | Verdict::Inconclusive => {}
            }
        }
    }
    (false, seen)
}

fn hits(minutes: &[Minute]) -> f64 {
    minutes
        .iter()
        .map(|m| (m.green.errors + m.green.slow) as f64)
        .sum()
}
