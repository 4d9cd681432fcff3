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

mod cell;
mod chart;
mod draw;
mod play;
mod rules;
mod weather;
mod world;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cell::Cell;
use crossfade::domain::analysis::judge::Judging;
use play::{CLAIRVOYANT, Ours, Tried, play};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|a| a.parse::<f64>().ok());
    let runs = number().unwrap_or(300.0) as u64;
    let seed = number().unwrap_or(1.0) as u64;
    let control = number().unwrap_or(0.05);
    let ours = Ours {
        judging: Judging::default(),
        control,
    };
    let only = std::env::args().nth(4);
    let mut cells = cell::drawn(&cell::DRAWN, &[10.0, 30.0, 100.0, 300.0]);
    cells.extend(
        cell::fixed()
            .into_iter()
            .filter(|c| c.kind != cell::Kind::Steady),
    );
    if let Some(only) = only {
        cells.retain(|c| only.split(',').any(|k| k == c.kind.name()));
    }
    let tried = try_all(&cells, runs, seed, &ours);
    for (cell, own) in cells.iter().zip(&tried) {
        let (b, g) = cell.rates();
        println!(
            "{:9}{:>7}{:>6}{:>6} | {:>5.1}% {:>9.1} {:>5.1} min | clairvoyant {:>5.1}% {:>9.1} | {}",
            cell.kind.name(),
            cell.rate,
            b,
            g,
            100.0 * own.false_rate(0),
            own.mean(0),
            own.took / own.runs,
            100.0 * own.false_rate(CLAIRVOYANT),
            own.mean(CLAIRVOYANT),
            if cell.healthy() && own.false_rate(0) > 0.01 {
                "<<<"
            } else {
                ""
            }
        );
    }
}

/// Plays all cells on two threads. Every run has its own seed, so the order does not matter.
fn try_all(cells: &[Cell], runs: u64, seed: u64, ours: &Ours) -> Vec<Tried> {
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
