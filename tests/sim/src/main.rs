//! `make sim`: the judge that ships against the peers' rules, in worlds with and without a bad green.
//!
//! `sim [runs] [seed]`; 1,000 runs a cell and seed 1 unless told. The same seed prints the same table.
//!
//! A cell is a world, a request rate, blue's error rate and green's. All rules see the same minutes, each
//! as soon as it can be read, and all releases follow one plan (10 % for 5 minutes, 50 % for 10, 100 %
//! for 5). A peer acts as its source says; Crossfade extends a bake while its verdict is inconclusive,
//! as it ships, so from then on its minutes are its own. Failed requests are counted over the plan's
//! twenty minutes for all.
//!
//! A peer *beats* Crossfade in a bad cell when it is safe (it rolled back under 5 % of the runs of the
//! healthy cell with the same world, rate and base) and let fewer failed requests through on average, by
//! more than three standard errors of the difference run by run.
#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a simulation's counts are far below what a double holds"
)]

mod chart;
mod play;
mod rules;
mod world;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossfade::domain::analysis::judge::{Judging, Overdispersion};
use play::{RULES, Tried, play};
use rules::PEERS;
use world::{Cell, Kind};

/// A peer is safe under this rate of false rollbacks.
const SAFE: f64 = 0.05;
/// Standard errors by which a peer must be better to beat us.
const SURE: f64 = 3.0;
const HARDER: [Kind; 6] = [
    Kind::Bursts,
    Kind::Sticky,
    Kind::Outage,
    Kind::Ramp,
    Kind::Slow,
    Kind::Late,
];

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u64>().unwrap_or(1));
    let (runs, seed) = (
        arguments.next().unwrap_or(1000).max(1),
        arguments.next().unwrap_or(1),
    );
    let cells = cells();
    let tried = try_all(&cells, runs, seed, &Judging::default());
    let table = Table::new(&cells, &tried);
    table.print();
    unscaled(&cells, &tried, runs, seed);
    alone(runs, seed);
    let target = std::path::Path::new("target");
    let drawn = std::fs::create_dir_all(target)
        .and_then(|()| std::fs::write(target.join("sim.svg"), chart::draw(&table.points())));
    match drawn {
        Ok(()) => println!("drawn: target/sim.svg"),
        Err(error) => println!("not drawn: target/sim.svg: {error}"),
    }
    println!("{}", table.summary());
}

/// All cells, each healthy one before the bad ones that it is matched with.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for base in [0.0, 0.001, 0.01, 0.03] {
        for rate in [10.0, 100.0, 1000.0, 10_000.0, 100_000.0] {
            let worse = [0.005, 0.01, 0.02, 0.05, 0.2, 1.0]
                .into_iter()
                .filter(|green| *green >= 1.5 * base);
            cells.extend(std::iter::once(base).chain(worse).map(|green| Cell {
                kind: Kind::Steady,
                rate,
                base,
                green,
            }));
        }
    }
    for kind in HARDER {
        for base in [0.001, 0.01] {
            for rate in [100.0, 1000.0, 10_000.0] {
                cells.extend([base, 0.05, 0.2, 1.0].map(|green| Cell {
                    kind,
                    rate,
                    base,
                    green,
                }));
            }
        }
    }
    cells
}

/// Plays all cells on two threads. Every run has its own seed, so the order does not matter.
fn try_all(cells: &[Cell], runs: u64, seed: u64, judging: &Judging) -> Vec<Tried> {
    let next = AtomicUsize::new(0);
    let done: Vec<OnceLock<Tried>> = cells.iter().map(|_| OnceLock::new()).collect();
    let first = seed.wrapping_mul(1 << 32);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((cell, slot)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    cells.get(i).zip(done.get(i))
                } {
                    slot.get_or_init(|| play(*cell, first..first + runs, judging));
                }
            });
        }
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// What came out, cell by cell.
struct Table<'a> {
    rows: Vec<(&'a Cell, &'a Tried, &'a Tried)>,
}

impl<'a> Table<'a> {
    fn new(cells: &'a [Cell], tried: &'a [Tried]) -> Self {
        let mut healthy = &tried[0];
        let rows = cells.iter().zip(tried).map(|(cell, own)| {
            if cell.healthy() {
                healthy = own;
            }
            (cell, own, healthy)
        });
        Self {
            rows: rows.collect(),
        }
    }

    /// The peers that beat us in a row.
    fn beaten_by((cell, own, healthy): &(&Cell, &Tried, &Tried)) -> Vec<usize> {
        let beats = |rule: &usize| {
            let (behind, error) = own.behind(*rule);
            !cell.healthy() && healthy.false_rate(*rule) < SAFE && behind > SURE * error
        };
        (1..RULES).filter(beats).collect()
    }

    fn print(&self) {
        println!(
            "Rolled back, and failed (in `slow`: slow) requests let through. s: safe in the matching healthy cell; !: beats us."
        );
        print!(
            "{:7}{:>7}{:>6}{:>6} |{:>18} {:>5}",
            "world", "req/min", "blue%", "green%", "crossfade", "min"
        );
        println!("{}", PEERS.map(|(name, _)| format!("{name:>18}")).concat());
        for row @ (cell, own, healthy) in &self.rows {
            let beaten_by = Self::beaten_by(row);
            print!(
                "{:7}{:>7}{:>6}{:>6} |",
                cell.kind.name(),
                cell.rate,
                100.0 * cell.base,
                100.0 * cell.green
            );
            for rule in 0..RULES {
                let mark = match (
                    rule,
                    beaten_by.contains(&rule),
                    healthy.false_rate(rule) < SAFE,
                ) {
                    (0, _, _) => format!(" {:>5.1}", own.took / own.runs),
                    (_, true, _) => "!".to_owned(),
                    (_, false, true) => "s".to_owned(),
                    (_, false, false) => " ".to_owned(),
                };
                print!(
                    "{:>6.1}% {:>9.1}{mark}",
                    100.0 * own.false_rate(rule),
                    own.mean(rule)
                );
            }
            println!();
        }
        for row @ (cell, own, healthy) in &self.rows {
            for rule in Self::beaten_by(row) {
                let (behind, error) = own.behind(rule);
                println!(
                    "beaten: {} at {} req/min, {} % against {} %: {} let {:.2} fewer failed requests through (+- {:.2}); its false rollback is {:.1} %, ours {:.1} %",
                    cell.kind.name(),
                    cell.rate,
                    100.0 * cell.green,
                    100.0 * cell.base,
                    PEERS[rule - 1].0,
                    behind,
                    error,
                    100.0 * healthy.false_rate(rule),
                    100.0 * healthy.false_rate(0),
                );
            }
        }
    }

    fn summary(&self) -> String {
        let healthy = self.rows.iter().filter(|row| row.0.healthy());
        let most = healthy
            .clone()
            .map(|row| row.1.false_rate(0))
            .fold(0.0, f64::max);
        let bad = self.rows.iter().filter(|row| !row.0.healthy());
        let beaten = bad
            .clone()
            .filter(|row| !Self::beaten_by(row).is_empty())
            .count();
        format!(
            "sim: max false rollback {:.1}% over {} healthy cells; beaten in {beaten} of {} bad cells by a peer whose own false rollback is under 5%",
            100.0 * most,
            healthy.count(),
            bad.count()
        )
    }

    fn points(&self) -> Vec<chart::Point> {
        let names = std::iter::once("crossfade").chain(PEERS.iter().map(|(name, _)| *name));
        let mean =
            |values: Vec<f64>| 100.0 * values.iter().sum::<f64>() / values.len().max(1) as f64;
        let point = |(rule, name)| {
            let healthy = self
                .rows
                .iter()
                .filter(|r| r.0.healthy())
                .map(|r| r.1.false_rate(rule));
            let bad = self
                .rows
                .iter()
                .filter(|r| !r.0.healthy())
                .map(|r| r.1.let_through[rule] / r.1.unruled.max(1.0));
            (name, mean(healthy.collect()), mean(bad.collect()))
        };
        names.enumerate().map(point).collect()
    }
}

/// What scaling by over-dispersion buys and costs: the sticky cells with it and without.
fn unscaled(cells: &[Cell], tried: &[Tried], runs: u64, seed: u64) {
    let sticky: Vec<Cell> = cells
        .iter()
        .copied()
        .filter(|cell| cell.kind == Kind::Sticky)
        .collect();
    let without = try_all(
        &sticky,
        runs,
        seed,
        &Judging {
            overdispersion: Overdispersion::Ignore,
            ..Judging::default()
        },
    );
    println!("Sticky errors, scaled (the default) and not: rolled back, let through.");
    let with = cells
        .iter()
        .zip(tried)
        .filter(|(cell, _)| cell.kind == Kind::Sticky);
    for ((cell, with), without) in with.zip(&without) {
        println!(
            "  {:>6} req/min, {:>4} % against {:>3} %: {:>5.1}% {:>7.1}   not scaled {:>5.1}% {:>7.1}",
            cell.rate,
            100.0 * cell.green,
            100.0 * cell.base,
            100.0 * with.false_rate(0),
            with.mean(0),
            100.0 * without.false_rate(0),
            without.mean(0)
        );
    }
}

/// Not counted above: an outage that begins when blue has no traffic any more. Counts alone cannot tell it
/// from a green that fails under full load, and rolling back is the safer mistake.
fn alone(runs: u64, seed: u64) {
    let cells = [100.0, 1000.0].map(|rate| Cell {
        kind: Kind::OutageAlone,
        rate,
        base: 0.01,
        green: 0.01,
    });
    for (cell, tried) in cells
        .iter()
        .zip(try_all(&cells, runs, seed, &Judging::default()))
    {
        println!(
            "not counted: an outage that begins at 100 %, {} req/min: rolled back {:.1}% of the time",
            cell.rate,
            100.0 * tried.false_rate(0)
        );
    }
}
