//! The worlds that releases happen in: what every minute's traffic and errors were.

use crossfade::domain::analysis::counts::{BluePast, Counts, Minute, PastShare};
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Minutes of a release: 10 % for 5 minutes, 50 % for 10, 100 % for 5.
pub const MINUTES: usize = 20;
/// The last minute of each step.
pub const STEP_ENDS: [usize; 3] = [4, 14, 19];
/// Minutes of blue's past that are read one by one: a day.
const PAST_MINUTES: usize = 1440;
/// Days before that of which only the totals are read.
const EARLIER_DAYS: u64 = 6;
/// Requests a minute that one environment serves.
const PER_ENVIRONMENT: f64 = 12.0;
/// Minutes that a sick environment lives, on average.
const SICK_MINUTES: f64 = 3.0;
/// The share of its requests that a sick environment fails.
const SICK_FAILS: f64 = 0.5;

/// Green's weight, 0 to 1, in a minute of the release.
pub fn weight(minute: usize) -> f64 {
    match minute {
        0..=4 => 0.1,
        5..=14 => 0.5,
        _ => 1.0,
    }
}

/// What is the matter with the world, beside green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Steady,
    /// Clients send bad requests in bursts of a minute, to both versions alike.
    Bursts,
    /// Half of the errors come from environments that fail again and again.
    Sticky,
    /// For five minutes while both versions have traffic, half to all requests fail on both.
    Outage,
    /// The same, beginning when green has all traffic.
    OutageAlone,
    /// Traffic grows tenfold over the release.
    Ramp,
    /// Green is slow rather than failing.
    Slow,
    /// Metrics arrive two minutes late.
    Late,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Bursts => "bursts",
            Self::Sticky => "sticky",
            Self::Outage => "outage",
            Self::OutageAlone => "outage at 100 %",
            Self::Ramp => "ramp",
            Self::Slow => "slow",
            Self::Late => "late",
        }
    }
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub kind: Kind,
    /// Requests a minute, both versions together.
    pub rate: f64,
    /// Share of requests that are hits (failed, or slow in [`Kind::Slow`]) on blue.
    pub base: f64,
    /// The same on green. Equal to `base`: the cell is healthy.
    pub green: f64,
}

impl Cell {
    pub fn healthy(&self) -> bool {
        self.green <= self.base
    }
    /// Minutes after which a minute's counts can be read.
    pub fn lag(&self) -> usize {
        if self.kind == Kind::Late { 2 } else { 0 }
    }
}

#[derive(Clone)]
pub struct World {
    cell: Cell,
    rng: Xoshiro256PlusPlus,
    blue_sick: Environments,
    green_sick: Environments,
    outage: (usize, f64),
}

#[derive(Clone, Default)]
struct Environments {
    all: u64,
    sick: u64,
}

fn binomial(rng: &mut Xoshiro256PlusPlus, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    Binomial::new(n, p).map_or(0, |d| d.sample(rng))
}

fn poisson(rng: &mut Xoshiro256PlusPlus, mean: f64) -> u64 {
    Poisson::new(mean).map_or(0, |d: Poisson<f64>| d.sample(rng) as u64)
}

impl World {
    pub fn new(cell: Cell, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let outage = (rng.random_range(0..13), rng.random_range(0.5..1.0));
        Self {
            cell,
            rng,
            outage,
            blue_sick: Environments::default(),
            green_sick: Environments::default(),
        }
    }

    /// Blue's past, as deploy-green would read it.
    pub fn past(&mut self) -> BluePast {
        let rate = self.cell.rate;
        let mut minutes = Vec::with_capacity(PAST_MINUTES);
        for _ in 0..PAST_MINUTES {
            let n = poisson(&mut self.rng, rate);
            let p = self.common_rate();
            minutes.push((n, self.hits(n, p, true)));
        }
        let day: (u64, u64) = minutes.iter().fold((0, 0), |(n, k), m| (n + m.0, k + m.1));
        let mean = if matches!(self.cell.kind, Kind::Bursts | Kind::Sticky) {
            day.1 as f64 / day.0.max(1) as f64
        } else {
            self.cell.base
        };
        let n = poisson(
            &mut self.rng,
            rate * (PAST_MINUTES as f64) * EARLIER_DAYS as f64,
        );
        let k = binomial(&mut self.rng, n, mean);
        let share = PastShare::from_minutes(&minutes, (n, k));
        let none = PastShare {
            requests: share.requests,
            ..PastShare::default()
        };
        match self.cell.kind {
            Kind::Slow => BluePast {
                errors: none,
                slow: Some(share),
            },
            _ => BluePast {
                errors: share,
                slow: None,
            },
        }
    }

    /// The next minute of the release, `t` minutes after its start, with `weight` of traffic on green.
    ///
    /// Two worlds of one seed that have seen the same weights see the same minutes.
    pub fn minute(&mut self, t: usize, weight: f64) -> Minute {
        let cell = self.cell;
        let extra = ((cell.green - cell.base) / (1.0 - cell.base)).max(0.0);
        let grown = if cell.kind == Kind::Ramp {
            10f64.powf(t.min(MINUTES - 1) as f64 / (MINUTES - 1) as f64)
        } else {
            1.0
        };
        let n = poisson(&mut self.rng, cell.rate * grown);
        let green_n = binomial(&mut self.rng, n, weight);
        let mut p = self.common_rate();
        let (starts, severity) = self.outage;
        let out = match cell.kind {
            Kind::Outage => (starts..starts + 5).contains(&t),
            Kind::OutageAlone => weight >= 1.0 && t >= 16,
            Kind::Steady | Kind::Bursts | Kind::Sticky | Kind::Ramp | Kind::Slow | Kind::Late => {
                false
            }
        };
        if out {
            p = severity;
        }
        let blue_k = self.hits(n - green_n, p, true);
        let ordinary = self.hits(green_n, p, false);
        let green_k = ordinary + binomial(&mut self.rng, green_n - ordinary, extra);
        let counts = |n, k| match cell.kind {
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
        Minute {
            start: 60 * t as i64,
            blue: counts(n - green_n, blue_k),
            green: counts(green_n, green_k),
            green_p99_ms: None,
        }
    }

    /// The rate that both versions share in this minute.
    fn common_rate(&mut self) -> f64 {
        if self.cell.kind != Kind::Bursts {
            return self.cell.base;
        }
        if self.rng.random_bool(0.04) {
            self.rng.random_range(0.05..0.4)
        } else {
            self.cell.base
        }
    }

    /// How many of a version's `n` requests are hits.
    fn hits(&mut self, n: u64, p: f64, blue: bool) -> u64 {
        if self.cell.kind != Kind::Sticky {
            return binomial(&mut self.rng, n, p);
        }
        let share = p / 2.0 / SICK_FAILS;
        let sick = if blue {
            &mut self.blue_sick
        } else {
            &mut self.green_sick
        };
        let wanted = if n == 0 {
            0
        } else {
            (n as f64 / PER_ENVIRONMENT).round().max(1.0) as u64
        };
        sick.next(&mut self.rng, wanted, share);
        let on_sick = if wanted == 0 {
            0
        } else {
            binomial(
                &mut self.rng,
                n,
                (sick.sick as f64 / wanted as f64).min(1.0),
            )
        };
        let k = binomial(&mut self.rng, on_sick, SICK_FAILS);
        k + binomial(&mut self.rng, n - k, p / 2.0)
    }
}

impl Environments {
    /// One minute on: some sick ones end, some fall sick, and their number follows traffic.
    fn next(&mut self, rng: &mut Xoshiro256PlusPlus, wanted: u64, share: f64) {
        let mut sick = self.sick - binomial(rng, self.sick, 1.0 / SICK_MINUTES);
        let falls = share / SICK_MINUTES / (1.0 - share);
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
