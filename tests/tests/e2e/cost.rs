//! What a release costs, counted: states entered and AWS calls made.

use crossfade_tests::cost;

use crate::{
    case::{ALIAS, Case, Test, alone},
    promoted::{promoted, weights},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![alone("cost_of_1_3_and_10_steps", cost_of_steps)]
}

async fn cost_of_steps(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 60.0);
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
            // step and 23. On a busy machine the SDK tries a call or two again, whose connection was
            // closed.
            calls <= 8 * n + 25,
            "{calls} calls: {:?}: {made:?}",
            cost.by_caller()
        );
    }
    drop(users);
}
