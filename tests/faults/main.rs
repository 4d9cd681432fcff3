//! `make faults`: releases on a local AWS, each with one thing that goes wrong, and what came of it.
//!
//! What came of it is judged by what the local AWS says when all has ended, never by the program's
//! own words: where traffic is, which locks are held, which versions are there, and the invariants of
//! the design. It ends with how many faults were injected, and how many releases they broke.

mod door;
mod ground;
mod judge;
mod matrix;
mod moments;
mod pairs;
mod runner;
mod scenario;

use std::process::ExitCode;

use crate::runner::{Options, Source};

/// Everything that can be injected.
fn sources() -> Vec<Source> {
    let mut sources = matrix::sources();
    sources.extend(moments::sources());
    sources.push(pairs::source());
    sources
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read(|name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("faults: {problem}");
            return ExitCode::from(2);
        }
    };
    match runner::run(options, sources()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("faults: {problem}");
            ExitCode::FAILURE
        }
    }
}
