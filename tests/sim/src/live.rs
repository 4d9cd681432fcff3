//! `make sim`: the fast lane beside the judge, against the judge alone.
//!
//! `sim-live [runs] [seed]`; 200 runs a cell and seed 1 unless told. Requests come one by one, a second at a time, to
//! execution environments; failures reach the lane after a lag that is drawn anew for each, and metrics a minute after
//! their own minute has ended. Green has 10 % for five minutes and 50 % for ten. Failed requests are green's, until
//! all traffic is on blue again, a second after the decision.
#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a simulation's counts are far below what a double holds"
)]

use std::collections::BTreeMap;

use crossfade::domain::{
    Timestamp,
    analysis::{
        counts::{BluePast, Counts, FunctionSeries, Minute, PastShare},
        judge::{Judging, Verdict, Watch, judge},
    },
    live::{
        environment::{Colour, Environment, Failure, sum},
        test::{Come, e_value},
        weights::Since,
    },
    weight::Weight,
};
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;

/// How long a release is watched, seconds: 10 % for five minutes, 50 % for ten.
const SECONDS: i64 = 900;
const FIRST_STEP: i64 = 300;
/// How long a request takes, seconds: with the rate it says how many environments there are.
const REQUEST_SECONDS: f64 = 0.1;
/// How long a sick environment stays so on average, seconds, and how many of all are.
const SICK_SECONDS: f64 = 300.0;
const SICK: f64 = 0.02;
/// How many requests in a row fail where a connection breaks.
const BURST: u64 = 50;
/// The risk of both together.
const ALPHA: f64 = 0.01;
/// The margin up to which green is no worse.
const ODDS: f64 = 1.1;
/// How many times the minutes of the past are as long as they are, for speed: a day of them.
const PAST_MINUTES: usize = 1440;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Each request fails by itself.
    Steady,
    /// One environment in fifty fails all its requests, for five minutes on average.
    Sticky,
    /// A connection that breaks fails fifty requests of its environment in a row.
    Bursts,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    kind: Kind,
    /// Requests a minute.
    rate: f64,
    base: f64,
    green: f64,
    lag: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    runs: f64,
    both: f64,
    alone: f64,
    false_both: f64,
    by_lane: f64,
}

/// A second of a version: how many requests, and which environments failed.
struct Second {
    requests: u64,
    failed: Vec<usize>,
}

/// A version's environments.
struct Pool {
    sick: Vec<bool>,
    breaking: Vec<u64>,
}

fn poisson(rng: &mut Xoshiro256PlusPlus, mean: f64) -> u64 {
    Poisson::new(mean).map_or(0, |d: Poisson<f64>| d.sample(rng) as u64)
}

fn binomial(rng: &mut Xoshiro256PlusPlus, n: u64, p: f64) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).map_or(0, |d| d.sample(rng))
}

impl Pool {
    fn new() -> Self {
        Self {
            sick: Vec::new(),
            breaking: Vec::new(),
        }
    }

    /// A span of `seconds` with so many requests a second, of which `rate` fail by themselves.
    fn span(
        &mut self,
        rng: &mut Xoshiro256PlusPlus,
        kind: Kind,
        per_second: f64,
        rate: f64,
        seconds: f64,
    ) -> Second {
        let busy = per_second * REQUEST_SECONDS;
        let wanted = (busy + 2.0 * busy.sqrt()).ceil().max(1.0) as usize;
        while self.sick.len() < wanted {
            self.sick
                .push(kind == Kind::Sticky && rng.random_bool(SICK));
            self.breaking.push(0);
        }
        let requests = poisson(rng, per_second * seconds);
        let mut failed = Vec::new();
        for _ in 0..binomial(rng, requests, rate) {
            failed.push(rng.random_range(0..wanted));
        }
        let each = per_second * seconds / wanted as f64;
        match kind {
            Kind::Steady => {}
            Kind::Sticky => {
                for at in 0..wanted {
                    let heals = 1.0 - (-seconds / SICK_SECONDS).exp();
                    if self.sick[at] {
                        failed.extend(std::iter::repeat_n(at, poisson(rng, each) as usize));
                        self.sick[at] = !rng.random_bool(heals);
                    } else {
                        self.sick[at] = rng.random_bool(heals * SICK / (1.0 - SICK));
                    }
                }
            }
            Kind::Bursts => {
                // One break in twenty thousand requests.
                for _ in 0..poisson(rng, per_second * seconds / 20_000.0) {
                    let at = rng.random_range(0..wanted);
                    self.breaking[at] = BURST;
                }
                for at in 0..wanted {
                    let hit = poisson(rng, each).min(self.breaking[at]);
                    self.breaking[at] -= hit;
                    failed.extend(std::iter::repeat_n(at, hit as usize));
                }
            }
        }
        Second { requests, failed }
    }
}

fn weight_at(second: i64) -> Weight {
    let percent: u8 = if second < FIRST_STEP { 10 } else { 50 };
    Weight::try_from(percent).expect("a percentage")
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_timestamp_millis(1_000_000_000_000 + (seconds * 1e3) as i64).expect("a time")
}

/// What blue showed for a day.
fn past(rng: &mut Xoshiro256PlusPlus, cell: Cell) -> BluePast {
    let mut pool = Pool::new();
    let minutes: Vec<_> = (0..PAST_MINUTES)
        .map(|_| {
            let minute = pool.span(rng, cell.kind, cell.rate / 60.0, cell.base, 60.0);
            (
                minute.requests,
                (minute.failed.len() as u64).min(minute.requests),
            )
        })
        .collect();
    BluePast {
        errors: PastShare::from_minutes(&minutes, &[]),
        slow: None,
    }
}

/// When the judge alone condemns green, by the minutes that can be read.
fn by_metrics(minutes: &[Minute], past: BluePast, alpha: f64) -> Option<i64> {
    let judging = Judging {
        alpha,
        ..Judging::default()
    };
    (0..minutes.len()).find_map(|newest| {
        let from = if newest < 5 { 0 } else { 5 };
        let series = [FunctionSeries {
            function: "f".into(),
            minutes: minutes[..=newest].to_vec(),
            is_new: false,
            past: Some(past),
        }];
        let watch = Watch {
            from: minutes[from].start,
            through: minutes[newest].start,
        };
        let verdict = judge(&judging, &series, watch).verdict;
        // A minute later it can be read.
        (verdict == Verdict::Unhealthy).then_some(60 * (newest as i64 + 2))
    })
}

fn play(cell: Cell, seed: u64) -> (i64, i64, bool, Vec<u64>) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let past = past(&mut rng, cell);
    let come = Come::of(Some(&past));
    let extra = ((cell.green - cell.base) / (1.0 - cell.base)).max(0.0);
    let (mut blue, mut green) = (Pool::new(), Pool::new());
    // Blue has served before, so that its sick environments are there.
    blue.span(&mut rng, cell.kind, cell.rate / 60.0, cell.base, 1.0);
    let mut minutes = vec![Minute::default(); (SECONDS / 60) as usize];
    let mut green_failed = Vec::new();
    // (arrival, second, colour, environment)
    let mut lines: Vec<(f64, f64, Colour, usize)> = Vec::new();
    for second in 0..SECONDS {
        let share = weight_at(second).fraction();
        let per_second = cell.rate / 60.0;
        let b = blue.span(
            &mut rng,
            cell.kind,
            per_second * (1.0 - share),
            cell.base,
            1.0,
        );
        let mut g = green.span(&mut rng, cell.kind, per_second * share, cell.base, 1.0);
        for _ in 0..binomial(&mut rng, g.requests, extra) {
            let own = green.sick.len();
            g.failed.push(rng.random_range(0..own));
        }
        let minute = &mut minutes[(second / 60) as usize];
        minute.start = second / 60 * 60;
        let counts = |all: Counts, one: &Second| Counts {
            invocations: all.invocations + one.requests,
            errors: all.errors + (one.failed.len() as u64).min(one.requests),
            ..all
        };
        minute.blue = counts(minute.blue, &b);
        minute.green = counts(minute.green, &g);
        green_failed.push((g.failed.len() as u64).min(g.requests));
        for (colour, failed) in [(Colour::Blue, b.failed), (Colour::Green, g.failed)] {
            for environment in failed {
                let began = second as f64 + rng.random_range(0.0..1.0);
                let lag = cell.lag * rng.random_range(0.5..1.5);
                lines.push((began + lag, began, colour, environment));
            }
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let weights = [
        Since {
            weight: weight_at(0),
            at: at(0.0),
        },
        Since {
            weight: weight_at(FIRST_STEP),
            at: at(FIRST_STEP as f64),
        },
    ];
    let mut heard: BTreeMap<(bool, usize), Environment> = BTreeMap::new();
    let mut lane = None;
    for (nth, (arrives, began, colour, environment)) in lines.into_iter().enumerate() {
        let id = nth.to_string();
        let failure = Failure {
            id: &id,
            at: at(began),
            began: at(began),
        };
        let key = (colour == Colour::Green, environment);
        let changed = heard
            .entry(key)
            .or_default()
            .take(colour, failure, &weights);
        if changed
            && colour == Colour::Green
            && e_value(&sum(heard.values()), ODDS, come) >= 2.0 / ALPHA
        {
            lane = Some(arrives.ceil() as i64 + 1);
            break;
        }
    }
    let never = i64::MAX;
    let lane = lane.unwrap_or(never);
    let judge_of = |alpha| by_metrics(&minutes, past, alpha).map_or(never, |at| at + 1);
    let both = lane.min(judge_of(ALPHA / 2.0));
    (
        both,
        judge_of(ALPHA),
        lane <= both && lane < never,
        green_failed,
    )
}

fn try_cell(cell: Cell, runs: u64, seed: u64) -> Tried {
    let mut tried = Tried::default();
    for run in 0..runs {
        let (both, alone, by_lane, failed) = play(cell, seed * 1_000_003 + run);
        let through = |until: i64| {
            let seconds = failed.iter().enumerate();
            let before = seconds.filter(|(second, _)| (*second as i64) < until);
            before.map(|(_, failed)| *failed).sum::<u64>() as f64
        };
        tried.runs += 1.0;
        tried.both += through(both);
        tried.alone += through(alone);
        tried.false_both += f64::from(u8::from(both < i64::MAX));
        tried.by_lane += f64::from(u8::from(by_lane));
    }
    tried
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u64>().unwrap_or(1));
    let runs = arguments.next().unwrap_or(200).max(1);
    let seed = arguments.next().unwrap_or(1);
    let mut worst: f64 = 0.0;
    let mut worst_lane: f64 = 0.0;
    println!(
        "{:>8} {:>8} {:>6} {:>5} {:>6} {:>9} {:>9}  rolled back, of these by the lane",
        "world", "req/min", "green", "lag", "ratio", "both", "metrics"
    );
    let mut asked = 0.0;
    for rate in [1_000.0, 10_000.0, 100_000.0] {
        for kind in [Kind::Steady, Kind::Sticky, Kind::Bursts] {
            let cell = Cell {
                kind,
                rate,
                base: 0.001,
                green: 0.001,
                lag: 10.0,
            };
            let tried = try_cell(cell, runs, seed);
            let share = tried.false_both / tried.runs;
            worst = worst.max(share);
            worst_lane = worst_lane.max(tried.by_lane / tried.runs);
            line(cell, tried);
        }
        for lag in [5.0, 10.0, 30.0] {
            for green in [0.02, 0.05, 0.5] {
                let cell = Cell {
                    kind: Kind::Steady,
                    rate,
                    base: 0.001,
                    green,
                    lag,
                };
                let tried = try_cell(cell, (runs / 4).max(20), seed);
                line(cell, tried);
                let is_asked = (rate, lag, green) == (10_000.0, 10.0, 0.05);
                if is_asked {
                    asked = tried.both / tried.alone.max(1.0);
                }
            }
        }
    }
    println!(
        "fast lane: {:.2} of the failed requests of the metrics alone at 10,000 requests a minute, 5 % and a lag of 10 s; max false rollback of both {:.1}% of {runs} runs a healthy cell, by the lane {:.1}%",
        asked,
        100.0 * worst,
        100.0 * worst_lane
    );
}

fn line(cell: Cell, tried: Tried) {
    println!(
        "{:>8} {:>8} {:>5.1}% {:>4}s {:>6.2} {:>9.1} {:>9.1}  {:>5.1}% {:>5.1}%",
        format!("{:?}", cell.kind).to_lowercase(),
        cell.rate,
        100.0 * cell.green,
        cell.lag,
        tried.both / tried.alone.max(1.0),
        tried.both / tried.runs,
        tried.alone / tried.runs,
        100.0 * tried.false_both / tried.runs,
        100.0 * tried.by_lane / tried.runs,
    );
}
