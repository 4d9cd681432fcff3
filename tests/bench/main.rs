//! `make bench`: Crossfade side by side with what it is compared to, in one run: the same operation in
//! Python as a team would write it, the least that any program on this runtime takes, one bare call,
//! and the counts of its predecessor.
//!
//! Functions run in AWS's own Runtime Interface Emulator and call the local AWS. Nothing here says
//! how long AWS takes: every figure is a ratio of two things that were measured turn by turn.

mod cold;
mod figures;
mod https;
mod release;
mod rie;
mod size;
mod stage;
mod table;
mod warm;

use std::{env, process::ExitCode};

use crossfade_tests::{LocalAws, local::Options};

use crate::{cold::Cold, figures::Figures, stage::Stage, warm::Warm};

/// How often everything is measured.
const ROUNDS: usize = 12;

#[tokio::main]
async fn main() -> ExitCode {
    let rounds = env::args().nth(1).and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS).max(1);
    println!("Starting a local AWS and deploying Crossfade to it.");
    let local = tokio::task::spawn_blocking(|| LocalAws::start(Options::default()));
    let local = local.await.expect("it starts, or says why not");
    let stage = Stage::set(local).await;

    let packages = size::packages(&stage).await;
    println!("Measuring {rounds} rounds: each starts every function with its first event.");
    let mut cold = Cold::default();
    let mut warm = Warm::up(&stage).await;
    // The first is thrown away: nobody else's first run reads programs from the disk either.
    Cold::default().round(&stage, 0).await;
    for nth in 1..=rounds {
        cold.round(&stage, nth).await;
        warm.round(&stage, nth).await;
    }
    println!("Releasing with 1, 3 and 10 steps.");
    let costs = release::costs(&stage).await;

    let figures = Figures::of(&packages, &cold, &warm.taken, &costs);
    println!("{}", table::functions(&packages, &cold));
    println!("{}", table::rollback(&cold, &warm.taken));
    println!("{}", table::releases(&costs));
    figures.write();
    figures.tell();
    if figures.all_reached() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
