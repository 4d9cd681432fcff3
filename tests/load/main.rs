//! `make load`: hundreds of releases in flight at once, all of whose alarms fire within a second.
//!
//! The local AWS answers on this machine's few cores, so how long it takes from an event to blue here
//! says how busy it is. What is ours is told apart: how many calls an event makes, which must not
//! depend on how many releases are in flight, and what it takes of a CPU, its process's start too.

use std::{
    collections::BTreeMap,
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use crossfade_tests::{
    LocalAws, Stack, World,
    figures::{Samples, count, median, quantile, write},
    fleet::{ALIAS, Fleet, Ship, Storm},
    invariants::{self, Scope},
    local::Options,
    release::until_within,
};

/// What the names of the functions to release begin with.
const PREFIX: &str = "load-";
/// A minute of waiting takes six seconds here: a look an hour comes after six minutes.
const WAIT_SCALE: f64 = 0.1;
/// In how much time all alarms fire.
const STORM: Duration = Duration::from_secs(1);
/// How many are in flight at once, and how often that is done: a p99 needs more than one event.
const SIZES: [(usize, usize); 4] = [(1, 30), (10, 5), (100, 1), (500, 1)];
/// How many times as long 500 may take of what is ours as one.
const WANTED: f64 = 2.0;
/// Control-plane calls a second that AWS takes of an account.
const CONTROL_PLANE: u32 = 15;
/// How many alarms fire where that is so.
const LIMITED: usize = 100;

/// What was seen with so many in flight.
#[derive(Debug, Default)]
struct Seen {
    in_flight: usize,
    alarms: usize,
    on_blue: usize,
    to_blue_ms: Samples,
    ours_ms: Samples,
    cold: usize,
    calls: usize,
}

impl Seen {
    fn add(&mut self, storm: &Storm) {
        self.alarms += storm.fired.len();
        self.on_blue += storm.blue.iter().flatten().count();
        self.to_blue_ms.extend(storm.to_blue_ms());
        self.ours_ms.extend(storm.ours_ms());
        self.cold += storm.invocations.iter().filter(|one| one.cold).count();
        self.calls += storm.calls.len();
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let most = env::args().nth(1).and_then(|most| most.parse().ok());
    let most: usize = most.unwrap_or(500);
    println!("Starting a local AWS, deploying Crossfade to it, and making {most} functions.");
    let options = Options {
        wait_scale: WAIT_SCALE,
        ..Options::default()
    };
    let local = tokio::task::spawn_blocking(move || LocalAws::start(options));
    let local = local.await.expect("it starts, or says why not");
    let stack = Stack::deploy(&local, PREFIX).await;
    let world = World::new(&local, &stack);
    let since = world.now().await;
    let fleet = Fleet::make(&local, &world, PREFIX, most).await;

    let mut all = Vec::new();
    let mut ended = Vec::new();
    let mut pace = 0.5;
    for (nth, (size, times)) in SIZES.into_iter().enumerate() {
        let (size, last) = (size.min(most), nth == SIZES.len() - 1);
        println!("{size} in flight, {times} times.");
        let mut seen = Seen {
            in_flight: size,
            ..Seen::default()
        };
        for _ in 0..times {
            let begun = Instant::now();
            let ships = launch(&fleet, &world, size, last, pace).await;
            pace = begun.elapsed().as_secs_f64() / count(size);
            afresh(&local, &world).await;
            seen.add(&Storm::over(&world, &ships, STORM).await);
            end(&world, &ships, last).await;
            ended.extend(ships);
        }
        all.push(seen);
    }
    let limited = under_limits(&local, &world, &fleet, most.min(LIMITED), &mut ended).await;
    let broken = whole(&world, &ended, since).await;
    report(&all, &limited, &broken)
}

/// Puts so many in flight. The last ones' bakes end by themselves, all at about the same time and
/// after the storm; those of the others are long, and their executions are stopped.
async fn launch(fleet: &Fleet, world: &World, size: usize, last: bool, pace: f64) -> Vec<Ship> {
    /// Longer than any storm takes.
    const ROOM: f64 = 60.0;
    let until = Instant::now() + Duration::from_secs_f64(pace * 1.5 * count(size) + ROOM);
    let bake = |_| {
        let left = until.saturating_duration_since(Instant::now());
        let left = if last { left.as_secs_f64() } else { 300.0 };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Minutes.
        let seconds = (left / WAIT_SCALE) as u32;
        seconds.clamp(100, 3600)
    };
    fleet.launch(world, size, bake).await
}

/// Has the checker started anew for every event that finds it busy: no process is there from before.
async fn afresh(local: &LocalAws, world: &World) {
    let nth = format!("{:?}", Instant::now());
    let more = [("LOAD_TEST", nth.as_str())];
    world
        .stack
        .set_variables(local, &["restore-blue"], &more)
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Waits until all executions have ended and have given back what they held.
async fn end(world: &World, ships: &[Ship], by_themselves: bool) {
    for ship in ships.iter().filter(|_| !by_themselves) {
        ship.execution.stop().await;
    }
    for ship in ships {
        let patience = Duration::from_mins(10);
        until_within(patience, "a release has ended", || async {
            let ended = ship.execution.ended().await.is_some();
            let status = world.deployment_status(&ship.execution.arn).await;
            (ended && status == "ROLLED_BACK").then_some(())
        })
        .await;
    }
}

/// The same where the control plane takes only so many calls as AWS's does.
async fn under_limits(
    local: &LocalAws,
    world: &World,
    fleet: &Fleet,
    size: usize,
    ended: &mut Vec<Ship>,
) -> Seen {
    println!("{size} in flight, where the control plane takes {CONTROL_PLANE} calls a second.");
    let ships = launch(fleet, world, size, false, 0.0).await;
    afresh(local, world).await;
    world.limit_control_plane(Some(CONTROL_PLANE)).await;
    let storm = Storm::over(world, &ships, STORM).await;
    world.limit_control_plane(None).await;
    let mut seen = Seen {
        in_flight: size,
        ..Seen::default()
    };
    seen.add(&storm);
    end(world, &ships, false).await;
    ended.extend(ships);
    seen
}

/// What of the design's invariants does not hold, of every release of a hundred of the functions: each
/// is looked up among all that was ever logged and told, which takes as long as there is of that.
async fn whole(world: &World, ended: &[Ship], since: u64) -> Vec<String> {
    const LOOKED_AT: usize = 100;
    let mut targets: Vec<_> = ended.iter().map(|ship| &ship.target).collect();
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    targets.dedup_by(|a, b| a.name == b.name);
    let every = targets.len().div_ceil(LOOKED_AT);
    let targets: Vec<_> = targets.into_iter().step_by(every).cloned().collect();
    let is_one = |ship: &&Ship| targets.iter().any(|one| one.name == ship.target.name);
    let executions: Vec<_> = ended
        .iter()
        .filter(is_one)
        .map(|ship| ship.execution.clone())
        .collect();
    println!(
        "Checking the invariants of {} releases of {}.",
        executions.len(),
        ended.len()
    );
    let scope = Scope {
        targets: targets
            .into_iter()
            .map(|target| (target, ALIAS.to_owned()))
            .collect(),
        doors: Vec::new(),
        executions,
        witnesses: Vec::new(),
        since,
    };
    let broken = invariants::check(world, &scope).await;
    broken.iter().map(ToString::to_string).collect()
}

fn report(all: &[Seen], limited: &Seen, broken: &[String]) -> ExitCode {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "in flight",
        "alarms",
        "on blue",
        "event to blue p50",
        "p99",
        "ours, of a CPU p50",
        "p99",
        "started for it",
        "calls an alarm",
    ]);
    let row = |name: String, seen: &Seen| {
        let ms = |samples: &Samples, share| format!("{:.1} ms", quantile(samples, share));
        [
            name,
            seen.alarms.to_string(),
            seen.on_blue.to_string(),
            ms(&seen.to_blue_ms, 0.5),
            ms(&seen.to_blue_ms, 0.99),
            ms(&seen.ours_ms, 0.5),
            ms(&seen.ours_ms, 0.99),
            seen.cold.to_string(),
            format!("{:.2}", count(seen.calls) / count(seen.alarms)),
        ]
    };
    for seen in all {
        table.add_row(row(seen.in_flight.to_string(), seen));
    }
    let name = format!(
        "{} at AWS's {CONTROL_PLANE} calls a second",
        limited.in_flight
    );
    table.add_row(row(name, limited));
    println!("{table}");

    let (Some(one), Some(most)) = (all.first(), all.last()) else {
        return ExitCode::FAILURE;
    };
    let ratio = quantile(&most.ours_ms, 0.99) / quantile(&one.ours_ms, 0.99);
    let everyone = all
        .iter()
        .chain([limited])
        .all(|seen| seen.on_blue == seen.alarms);
    let alarms: usize = all.iter().chain([limited]).map(|seen| seen.alarms).sum();
    let on_blue: usize = all.iter().chain([limited]).map(|seen| seen.on_blue).sum();
    println!(
        "load: {alarms} alarms, {on_blue} on blue, {} invariants broken",
        broken.len()
    );
    for one in broken.iter().take(20) {
        println!("broken: {one}");
    }
    let reached = ratio <= WANTED;
    println!(
        "{}: alarm_p99_500_vs_1 = {ratio:.2}, wanted at most {WANTED}: what is ours of the time from event to blue, p99 with {} in flight to p99 with 1",
        if reached { "reached" } else { "NOT REACHED" },
        most.in_flight,
    );
    let mut figures = BTreeMap::new();
    for seen in all {
        let n = seen.in_flight;
        for (what, samples) in [
            ("alarm_to_blue", &seen.to_blue_ms),
            ("alarm_ours", &seen.ours_ms),
        ] {
            figures.insert(format!("{what}_ms_p50_{n}"), median(samples));
            figures.insert(format!("{what}_ms_p99_{n}"), quantile(samples, 0.99));
        }
    }
    // With fewer it is another figure.
    if most.in_flight == 500 {
        figures.insert("alarm_p99_500_vs_1".into(), ratio);
    }
    write(&figures);
    if everyone && broken.is_empty() && reached {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
