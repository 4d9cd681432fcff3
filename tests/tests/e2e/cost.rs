//! What a release costs, counted: states entered and AWS calls made.

use std::time::Duration;

use crossfade_tests::cost;

use crate::{
    case::{ALIAS, Case, Test, apart, test},
    promoted::{promoted, weights},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        apart("cost_of_1_3_and_10_steps", cost_of_steps),
        test("packages_are_small", packages),
    ]
}

/// What a cold start has to load.
async fn packages(case: Case) {
    const MOST: i64 = 4_000_000;
    let client = aws_sdk_lambda::Client::new(&case.suite().local.config());
    let listed = client.list_functions().into_paginator().items().send();
    let listed = listed.collect::<Result<Vec<_>, _>>().await;
    let ours = format!("{}-", case.world.stack.name);
    let mut sizes: Vec<_> = listed
        .expect("functions can be listed")
        .into_iter()
        .filter_map(|one| Some((one.function_name?, one.code_size)))
        .filter(|(name, _)| name.starts_with(&ours))
        .collect();
    sizes.sort();
    assert!(sizes.len() >= 10, "{sizes:?}");
    assert!(
        sizes.iter().all(|(_, size)| (1..=MOST).contains(size)),
        "{sizes:?}"
    );
}

async fn cost_of_steps(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 60.0);
    // Every 5 minutes on AWS, whatever else goes on: it is no part of what a release costs.
    let world = case.world.clone();
    let schedule = tokio::spawn(async move {
        loop {
            world.run_schedule().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    for (nth, n) in cost::STEPS.into_iter().enumerate() {
        let request = cost::request(&case.application(), &target, ALIAS, &alarm, n).await;
        let (execution, ended, cost) = cost::release(&case.world, &request).await;
        case.watch(&execution);
        promoted(&target, &ended, &(nth + 2).to_string()).await;
        let n = usize::from(n);
        assert_eq!(weights(&ended.output).len(), n);
        let visits = &cost.states;
        let checks = visits
            .iter()
            .filter(|state| *state == "CheckAlarms")
            .count();
        assert_eq!(checks, n, "one check a bake: {visits:?}");
        let (states, calls) = (visits.len(), cost.calls.len());
        println!("cost: N={n}: {states} states, {calls} calls");
        assert!(states <= 4 * n + 10, "{states} states: {visits:?}");
        let made: Vec<_> = cost.calls.iter().map(|call| &call.action).collect();
        assert!(
            // Each step, the beginning and the end are told by mail, in the channel and as an event: 8 a
            // step and 29, of which five look before anything is touched. On a busy machine the SDK tries a
            // call or two again, whose connection was closed.
            calls <= 8 * n + 30,
            "{calls} calls: {:?}: {made:?}",
            cost.by_caller()
        );
    }
    schedule.abort();
    drop(users);
}
