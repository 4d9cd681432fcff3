//! `make sim`: the judge that ships against the peers' rules, in worlds with and without a bad green.
//!
//! `sim [runs] [seed]`; 500 runs a cell and seed 1 by default. The same seed prints the same table.
//!
//! A cell is a world ([`cell::Kind`]), a request rate, blue's error rate and green's. Of most worlds each run draws
//! its own parameters, blue's error rate among them, from wide ranges. All rules see the same minutes, each
//! as soon as it can be read, and all releases follow one plan (10 % for 5 minutes, 50 % for 10, 100 %
//! for 5; Crossfade's keeps a control group of 5 %, as `prod` does). A peer acts as its source says; Crossfade
//! extends a bake while its verdict is inconclusive, as it ships, so from then on its minutes are its own. Failed requests
//! are counted over the plan's twenty minutes for all.
//!
//! A peer *beats* Crossfade in a bad cell when it is safe (it rolled back under 5 % of the runs of the
//! healthy cell with the same world, rate and base) and let fewer failed requests through on average, by
//! more than three standard errors of the difference run by run. The *clairvoyant* is no peer: it knows the chance of
//! a failure on blue and on green in every minute, and only waits for evidence.
#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a simulation's counts are far below what a double holds"
)]

mod cell;
mod chart;
#[cfg(test)]
mod checks;
mod draw;
mod play;
mod rules;
mod table;
mod weather;
mod world;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cell::Cell;
use play::{Ours, Tried, play};
use table::Table;

/// As `prod` releases.
const PROD: Ours = Ours { control: 0.05 };

/// Requests a minute of the worlds that are drawn.
const RATES: [f64; 6] = [10.0, 30.0, 100.0, 300.0, 3000.0, 30_000.0];

/// What the judge before this one did in the cells of [`cell::few`]: rolled back in percent, and failed requests let
/// through. Measured at 6e49162 with these worlds, 1,000 runs and seed 1 (its sources as a crate beside
/// this one, `PastShare::from_minutes` with the sum of the hours); its last step had 100 %, and it held
/// green there to blue's past, which is not valid.
const FORMER: [(f64, f64); 12] = [
    (94.5, 2.0),
    (100.0, 2.4),
    (54.3, 2.7),
    (100.0, 4.2),
    (99.7, 3.2),
    (100.0, 2.5),
    (92.0, 8.9),
    (100.0, 4.5),
    (100.0, 3.3),
    (100.0, 3.1),
    (99.9, 11.4),
    (100.0, 4.9),
];

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u64>().unwrap_or(1));
    let (runs, seed) = (
        arguments.next().unwrap_or(500).max(1),
        arguments.next().unwrap_or(1),
    );
    let mut cells = cell::drawn(&cell::DRAWN, &RATES);
    cells.extend(cell::fixed());
    let tried = try_all(&cells, runs, seed, PROD);
    let table = Table::new(&cells, &tried);
    table.print();
    if let Some((ratio, cell)) = table.by_the_past() {
        println!(
            "past: what an incident, a rhythm or a weekend in blue's past changes of the failed requests let through: x{ratio:.2} at \
             the most ({cell})"
        );
    }
    few(seed);
    without_control(runs, seed);
    let target = std::path::Path::new("target");
    let drawn = std::fs::create_dir_all(target)
        .and_then(|()| std::fs::write(target.join("sim.svg"), chart::draw(&table.points())));
    match drawn {
        Ok(()) => println!("drawn: target/sim.svg"),
        Err(error) => println!("not drawn: target/sim.svg: {error}"),
    }
    println!("{}", table.summary());
}

/// Plays all cells on two threads. Every run has its own seed, so the order does not matter.
fn try_all(cells: &[Cell], runs: u64, seed: u64, ours: Ours) -> Vec<Tried> {
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
                    slot.get_or_init(|| play(*cell, first..first + runs, ours));
                }
            });
        }
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// The power with few requests, beside the judge's before this one.
fn few(seed: u64) {
    println!(
        "Few requests: rolled back, let through; the judge before (6e49162), whose last step had no control group."
    );
    let cells = cell::few();
    let tried = try_all(&cells, 1000, seed, PROD);
    for ((cell, own), (stopped, through)) in cells.iter().zip(&tried).zip(FORMER) {
        let (blue, green) = cell.rates();
        println!(
            "  {:>4} req/min, {green:>3} % against {blue:>4} %: {:>5.1}% {:>6.1}   before {stopped:>5.1}% {through:>6.1}",
            cell.rate,
            100.0 * own.false_rate(0),
            own.mean(0),
        );
    }
}

/// The healthy cells once more, with a last step of 100 %: the default of all strategies but `prod`.
fn without_control(runs: u64, seed: u64) {
    let mut cells = cell::drawn(&cell::DRAWN, &RATES);
    cells.retain(Cell::healthy);
    let ours = Ours { control: 0.0 };
    let tried = try_all(&cells, runs, seed, ours);
    println!(
        "without a control group: {}",
        Table::new(&cells, &tried).worst_healthy()
    );
}
