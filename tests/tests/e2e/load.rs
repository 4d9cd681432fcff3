//! The way back under pressure: many alarms within a second (`make load` has hundreds of them), and an account
//! that has no execution left.

use std::time::{Duration, Instant};

use crossfade_tests::{
    Behaviour,
    fleet::{Fleet, Storm},
    release::{until, until_within, within},
};
use serde_json::json;

use crate::{
    case::{Case, Test, alone, canary},
    rolled_back::rolled_back,
};

/// How many are in flight.
const RELEASES: usize = 20;

/// How many executions the account has for functions without a reservation.
const LEFT: i32 = 10;

/// How long an account stays exhausted: within the bake, so that only the alarm can put traffic back.
const WAITED: Duration = Duration::from_secs(15);

/// What puts traffic back.
const WAY_BACK: [&str; 2] = ["restore-blue", "rollback"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        alone("storm_of_20_alarms", storm),
        alone("goes_back_when_the_account_is_exhausted", exhausted),
    ]
}

/// A slow green uses up all executions of the account; then its alarm fires.
async fn exhausted(case: Case) {
    let lambda = aws_sdk_lambda::Client::new(&case.suite().local.config());
    let named = |name| case.world.stack.function(name);
    let call = lambda.get_function_concurrency();
    let before = call.function_name(named(WAY_BACK[0])).send().await;
    let before = before
        .expect("it can be read")
        .reserved_concurrent_executions;
    assert!(before > Some(0), "the stack is deployed with a reservation");
    let mut took = Vec::new();
    for each in [0, 2] {
        reserve(&case, each).await;
        took.push(seconds_to_blue(&case.part(&format!("reserved{each}")), each).await);
    }
    reserve(&case, before.unwrap_or_default()).await;
    let shown = |took: Option<f64>| match took {
        Some(seconds) => format!("{seconds:.2} s"),
        None => format!("more than {} s", WAITED.as_secs()),
    };
    println!(
        "an exhausted account, from alarm to blue: {} without a reservation (back-off a hundred times shorter than on \
         AWS), {} with one of 2",
        shown(took[0]),
        shown(took[1])
    );
    assert!(took[1].is_some_and(|seconds| seconds < 2.0), "{took:?}");
}

/// Reserves so much for each function that puts traffic back; 0 reserves nothing.
async fn reserve(case: &Case, each: i32) {
    let lambda = aws_sdk_lambda::Client::new(&case.suite().local.config());
    for name in WAY_BACK.map(|name| case.world.stack.function(name)) {
        if each == 0 {
            let call = lambda.delete_function_concurrency().function_name(name);
            call.send().await.expect("a reservation can be given up");
        } else {
            let call = lambda.put_function_concurrency().function_name(name);
            let call = call.reserved_concurrent_executions(each);
            call.send().await.expect("concurrency can be reserved");
        }
    }
}

/// The seconds from the alarm until blue has all traffic; nothing when green's users leave no execution for the way
/// back within [`WAITED`]. Once the account has room again, the alarm that waited is delivered.
async fn seconds_to_blue(case: &Case, each: i32) -> Option<f64> {
    let control = case.suite().local.control();
    let target = case.blue_and(Behaviour::slow("green", 5_000)).await;
    let alarm = case.alarm().await;
    // The bake outlasts what is waited for blue, and is not looked at meanwhile.
    let bake = if each == 0 { 2_400 } else { 900 };
    let execution = case
        .start(&case.request(json!({
            "strategy": canary(&[(50, bake), (100, 60)]),
            "analysis": {"alarms": [alarm], "checkEverySeconds": bake},
        })))
        .await;
    execution.wait_for_state("Bake", 1).await;
    let all = LEFT + 2 * each;
    control
        .post("limits", &json!({"concurrentExecutions": all}))
        .await;
    let users = case.users(&target, 60.0);
    until("the account is exhausted", || async {
        let refused = users.so_far().of("").requests;
        (refused > 60).then_some(())
    })
    .await;
    let fired = Instant::now();
    case.world.fire(&alarm).await;
    let on_blue = || async {
        let alias = target.look(crate::case::ALIAS).await?;
        (alias.settled() == Some("1")).then(|| fired.elapsed().as_secs_f64())
    };
    let took = within(WAITED, on_blue).await;
    control.delete("limits").await;
    until_within(WAITED, "traffic is on blue", on_blue).await;
    drop(users);
    let ended = execution.wait().await;
    rolled_back(case, &target, &execution, &ended).await;
    took
}

async fn storm(case: Case) {
    let (local, world) = (&case.suite().local, &case.world);
    let prefix = format!("{}-", case.function_name());
    let fleet = Fleet::make(local, world, &prefix, RELEASES).await;
    let ships = fleet.launch(world, RELEASES, |_| 86_400).await;
    for ship in &ships {
        case.also(&ship.target);
        case.watch(&ship.execution);
    }
    let storm = Storm::over(world, &ships, Duration::from_secs(1)).await;
    let on_blue = storm.blue.iter().flatten().count();
    assert_eq!(on_blue, RELEASES, "{:?}", storm.calls);
    let made: Vec<_> = storm.calls.iter().map(|call| &call.action).collect();
    // Who watches it, the alias, and the record of it: however many others are in flight.
    assert_eq!(made.len(), 3 * RELEASES, "{made:?}");
    for ship in &ships {
        ship.execution.stop().await;
        case.ledger_says(&ship.execution, "ROLLED_BACK").await;
    }
}
