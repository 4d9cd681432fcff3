//! `make train`: fifty functions as one release, on a local AWS whose control plane throttles at
//! fifteen calls a second as AWS's does; then the same again, and one of the fifty is bad.
//!
//! What is told is what the local AWS says: its log of calls, the aliases, the execution's history.

mod cars;
mod seen;

use std::{process::ExitCode, time::Duration};

use crossfade_tests::{
    Execution, LocalAws, Stack, Target, Traffic, World,
    local::Options,
    release::{Ended, until_within},
};
use futures::future::join_all;

use crate::cars::{ALARM, ALIAS, BAD, CARS, PREFIX};

/// What AWS allows an account in a Region: control-plane calls a second, but for `GetFunction` and
/// `GetPolicy`, which have limits of their own.
const CONTROL_PLANE: u32 = 15;
/// A minute of waiting takes 0.6 seconds here.
const WAIT_SCALE: f64 = 0.01;
/// Requests a second through each alias.
const RATE: f64 = 3.0;
/// Longer than this no release takes.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("train: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    println!("Starting a local AWS, deploying Crossfade to it, and making {CARS} functions.");
    let options = Options {
        wait_scale: WAIT_SCALE,
        ..Options::default()
    };
    let local = tokio::task::spawn_blocking(move || LocalAws::start(options))
        .await
        .map_err(|error| error.to_string())?;
    let stack = Stack::deploy(&local, PREFIX).await;
    let world = World::new(&local, &stack);
    let train = cars::make(&local).await;
    cars::make_alarm(&world).await;
    let users: Vec<_> = train
        .iter()
        .map(|target| Traffic::start(&local, target, ALIAS, RATE))
        .collect();

    println!(
        "Lambda's control plane takes {CONTROL_PLANE} calls a second from now on, by whomever. \
         {RATE:.0} requests a second go through each alias.\n\nA good version of each:"
    );
    let good = cars::upload(&world, "good", 0.0).await;
    let since = world.now().await;
    let (execution, ended) = release(&world, &cars::request(&good, None)).await;
    let calls = world.our_calls(since).await;
    let promoted = on("2", &train).await;
    let first = seen::Cost::of(&calls);
    let took = seen::took(&execution).await;
    let (largest, bytes) = execution.largest_data().await;
    tell(&ended);
    println!(
        "The most that a state was given or gave was {bytes} bytes: {largest}; Step Functions takes 262144."
    );

    println!(
        "\nThe next version of each, and {BAD}'s fails half of all requests but its smoke tests:"
    );
    let next = cars::upload(&world, "next", 0.0).await;
    let bad = cars::upload(&world, "bad", 50.0).await;
    let since = world.now().await;
    let (_, second) = release(&world, &cars::request(&next, Some(&bad))).await;
    let calls = world.our_calls(since).await;
    let back = on("2", &train).await;
    tell(&second);
    if let Some(alarm) = seen::fired(&second)
        && let Some((first, last)) = seen::put_back(&calls, alarm)
    {
        println!(
            "The first alias was written {first:.1} s after the alarm, the last of all {last:.1} s after it."
        );
    }
    drop((users, local));

    println!(
        "\ntrain: {CARS} functions, {} writes, {} throttled, {took:.0} s, {promoted} promoted",
        first.writes, first.throttled
    );
    println!("train: one bad of {CARS}, {back} on blue");
    let decided = second.cause["reason"]
        .as_str()
        .is_some_and(|reason| reason.contains(BAD) || reason.contains(ALARM));
    let bad_was_found = second.error == "DeploymentRolledBack" && decided;
    if ended.status != "SUCCEEDED" || promoted != CARS {
        return Err(format!("not all were promoted: {ended:?}"));
    }
    if !bad_was_found || back != CARS {
        return Err(format!("not all are on blue: {second:?}"));
    }
    if bytes >= seen::WELL_UNDER {
        return Err(format!("{largest} is {bytes} bytes"));
    }
    Ok(())
}

/// Releases under the limit, until the end.
async fn release(world: &World, request: &serde_json::Value) -> (Execution, Ended) {
    world.limit_control_plane(Some(CONTROL_PLANE)).await;
    let execution = world.start(request).await;
    let ended = until_within(PATIENCE, "the end of the release", || execution.ended()).await;
    // What is looked at from here on is not part of it.
    world.limit_control_plane(None).await;
    (execution, ended)
}

/// How many aliases have all their traffic on `version`.
async fn on(version: &str, train: &[Target]) -> usize {
    let aliases = join_all(train.iter().map(|target| target.look(ALIAS))).await;
    let settled = aliases.iter().flatten().filter_map(|alias| alias.settled());
    settled.filter(|settled| *settled == version).count()
}

fn tell(ended: &Ended) {
    let outcome = ended.outcome();
    println!(
        "{} {}: {}",
        ended.status,
        ended.error,
        outcome["reason"].as_str().unwrap_or_default()
    );
}
