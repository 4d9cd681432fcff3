//! Plays one cell many times and adds up what each rule did.

use crossfade::domain::analysis::counts::Minute;
use crossfade::domain::analysis::judge::{Judging, Tally, Verdict, Watch, conclude};

use super::rules::PEERS;
use super::world::{Cell, Kind, MINUTES, World, weight};

/// Crossfade and its peers.
pub const RULES: usize = 1 + PEERS.len();
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

/// Plays `cell` once for each seed.
pub fn play(cell: Cell, seeds: std::ops::Range<u64>, judging: &Judging) -> Tried {
    let judging = Judging {
        slower_than_ms: (cell.kind == Kind::Slow).then_some(1000),
        ..*judging
    };
    let mut tried = Tried::default();
    for seed in seeds {
        let mut world = World::new(cell, seed);
        let past = world.past();
        let ours = world.clone();
        let minutes: Vec<Minute> = (0..MINUTES).map(|t| world.minute(t, weight(t))).collect();
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
        let (rolled_back, seen) = release(cell, ours, Tally::new(&judging, Some(past)), &judging);
        stopped[0] = rolled_back;
        let_through[0] = hits(&seen[..seen.len().min(MINUTES)]);
        tried.took += seen.len() as f64;
        tried.add(stopped, &let_through);
    }
    tried
}

/// Crossfade's release: whether it was rolled back, and its minutes. The bake goes on while the verdict
/// is inconclusive.
fn release(
    cell: Cell,
    mut world: World,
    mut tally: Tally,
    judging: &Judging,
) -> (bool, Vec<Minute>) {
    let mut seen = Vec::new();
    for (weight, bake) in [(0.1, 5), (0.5, 10), (1.0, 5)] {
        let from = seen.len();
        tally.begin_step();
        for baked in 1..=LONGEST_BAKE * bake {
            seen.push(world.minute(seen.len(), weight));
            let Some(newest) = seen.len().checked_sub(cell.lag() + 1) else {
                continue;
            };
            tally.add(&seen[newest], newest >= from);
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
