//! The worlds that releases happen in: what every minute's traffic and errors were.

use crossfade::domain::analysis::counts::{Counts, Minute};
use rand::RngExt;

use super::cell::{Cell, Green, Kind};
use super::draw::{Rng, between, binomial, geometric, poisson, stream};
use super::weather::{At, DAY, Sky, Spells, Weather, draw};

/// Minutes of a release: 10 % for 5 minutes, 50 % for 10, then the last step for 5.
pub const MINUTES: usize = 20;
/// The last minute of each step.
pub const STEP_ENDS: [usize; 3] = [4, 14, 19];
/// Requests a minute that one environment serves.
const PER_ENVIRONMENT: f64 = 12.0;
/// Minutes after which an environment is replaced.
const ENVIRONMENT_LIVES: f64 = 90.0;
/// The range of blue's error rate where it is drawn.
const BASES: (f64, f64) = (0.002, 0.03);

/// Green's weight in a minute of the release, 0 to 1, of which `last` is that of the last step.
pub fn weight(minute: usize, last: f64) -> f64 {
    match minute {
        0..=4 => 0.1,
        5..=14 => 0.5,
        _ => last,
    }
}

/// What blue's metrics show of the time before the release: requests and hits.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Six days, by the hour.
    pub hours: Vec<(u64, u64)>,
    /// The day before the release, by the minute.
    pub minutes: Vec<(u64, u64)>,
}

pub struct World {
    cell: Cell,
    base: f64,
    weather: Box<dyn Weather>,
    rng: Rng,
    blue: Environments,
    green: Environments,
    calm: bool,
}

#[derive(Clone, Default)]
struct Environments {
    all: u64,
    sick: u64,
}

impl World {
    /// A world, and its past. Two of one seed that see the same weights see the same minutes.
    pub fn new(cell: Cell, seed: u64) -> (Self, Past) {
        Self::after(cell, seed, false)
    }

    /// The same world after a past that was all the time as the release's first minute is.
    pub fn after_calm(cell: Cell, seed: u64) -> (Self, Past) {
        Self::after(cell, seed, true)
    }

    fn after(cell: Cell, seed: u64, calm: bool) -> (Self, Past) {
        let mut drawn = stream(seed, 1);
        let base = cell
            .base
            .unwrap_or_else(|| between(&mut drawn, BASES.0, BASES.1));
        let mut world = Self {
            cell,
            base,
            weather: draw(cell.kind, &mut drawn),
            rng: stream(seed, 2),
            blue: Environments::default(),
            green: Environments::default(),
            calm,
        };
        let past = world.past();
        // What the release meets does not depend on how much chance its past took.
        world.rng = stream(seed, 3);
        (world, past)
    }

    fn past(&mut self) -> Past {
        let before = (-7 * DAY..-DAY).step_by(60).map(|minute| {
            let sky = self.sky(minute, 0.0);
            let n = poisson(&mut self.rng, 60.0 * sky.requests);
            (n, binomial(&mut self.rng, n, usual(&sky)))
        });
        let hours = before.collect();
        let day = (-DAY..0).map(|minute| {
            let blue = self.minute_at(minute, 0.0).0.blue;
            (blue.invocations, blue.errors + blue.slow)
        });
        Past {
            hours,
            minutes: day.collect(),
        }
    }

    fn sky(&mut self, minute: i64, weight: f64) -> Sky {
        let at = At {
            minute: if self.calm { minute.max(0) } else { minute },
            weight,
            rate: self.cell.rate,
            base: self.base,
        };
        self.weather.sky(at, &mut self.rng)
    }

    /// The next minute of the release, `t` minutes after its start, with `weight` of traffic on green; and the
    /// chance of a hit on blue and on green.
    pub fn minute(&mut self, t: usize, weight: f64) -> (Minute, (f64, f64)) {
        self.minute_at(t as i64, weight)
    }

    fn minute_at(&mut self, t: i64, weight: f64) -> (Minute, (f64, f64)) {
        let sky = self.sky(t, weight);
        let n = poisson(&mut self.rng, sky.requests);
        let green_n = binomial(&mut self.rng, n, weight);
        let (mut on_green, mut on_blue) = (0, 0);
        if let Some(clumps) = sky.clumps {
            for _ in 0..poisson(&mut self.rng, clumps.number) {
                let size = geometric(&mut self.rng, clumps.size);
                if self.rng.random_bool(weight) {
                    on_green += size;
                } else {
                    on_blue += size;
                }
            }
        }
        let blue_k = hits(&mut self.rng, &mut self.blue, &sky, n - green_n, on_blue);
        let ordinary = hits(&mut self.rng, &mut self.green, &sky, green_n, on_green);
        let usual = usual(&sky);
        let worse = match self.cell.green {
            Green::Healthy => 0.0,
            Green::Times(times) => (times - 1.0) * usual.min(0.1),
            Green::Rate(rate) => (rate - self.base) / (1.0 - self.base),
        };
        let green_k = ordinary + binomial(&mut self.rng, green_n - ordinary, worse);
        let counts = |n, k| match self.cell.kind {
            Kind::Slow => Counts {
                invocations: n,
                slow: k,
                ..Counts::default()
            },
            _ => Counts {
                invocations: n,
                errors: k,
                ..Counts::default()
            },
        };
        let minute = Minute {
            start: 60 * t,
            blue: counts(n - green_n, blue_k),
            green: counts(green_n, green_k),
            green_p99_ms: None,
        };
        (minute, (usual, usual + (1.0 - usual) * worse))
    }
}

/// The share of requests that fail under a sky.
fn usual(sky: &Sky) -> f64 {
    let clumps = sky.clumps.map_or(0.0, |c| c.number * c.size);
    let spells = sky.spells.map_or(0.0, |s| s.share * s.fails);
    (sky.level + spells + clumps / sky.requests).min(1.0)
}

/// How many of a version's `n` requests are hits, with those of its clumps.
fn hits(rng: &mut Rng, environments: &mut Environments, sky: &Sky, n: u64, clumped: u64) -> u64 {
    let mut k = clumped.min(n);
    if sky.spells.is_none() && sky.cold <= 0.0 {
        return k + binomial(rng, n - k, sky.level);
    }
    let wanted = if n == 0 {
        0
    } else {
        (n as f64 / PER_ENVIRONMENT).round().max(1.0) as u64
    };
    if let Some(Spells {
        share,
        minutes,
        fails,
    }) = sky.spells
    {
        environments.next(rng, wanted, share, minutes);
        let sick = environments.sick as f64 / wanted.max(1) as f64;
        let on_sick = binomial(rng, n - k, sick.min(1.0));
        k += binomial(rng, on_sick, fails);
    }
    if sky.cold > 0.0 {
        let kept = environments.all - binomial(rng, environments.all, 1.0 / ENVIRONMENT_LIVES);
        k += binomial(rng, wanted.saturating_sub(kept), sky.cold).min(n - k);
        environments.all = kept.max(wanted);
    }
    k + binomial(rng, n - k, sky.level)
}

impl Environments {
    /// One minute on: some sick ones end, some fall sick, and their number follows traffic.
    fn next(&mut self, rng: &mut Rng, wanted: u64, share: f64, minutes: f64) {
        let ends = (1.0 / minutes).min(1.0);
        let mut sick = self.sick - binomial(rng, self.sick, ends);
        let falls = share * ends / (1.0 - share);
        sick += binomial(rng, self.all - self.sick, falls);
        if wanted > self.all {
            sick += binomial(rng, wanted - self.all, share);
        } else if self.all > wanted && self.all > 0 {
            sick -= binomial(rng, sick, (self.all - wanted) as f64 / self.all as f64);
        }
        self.all = wanted;
        self.sick = sick.min(wanted);
    }
}
