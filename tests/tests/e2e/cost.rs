//! What a release costs, counted: states entered and AWS calls made.

use crossfade_tests::Behaviour;
use serde_json::json;

use crate::{
    case::{Case, Test, alone, canary},
    promoted::{promoted, weights},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![alone("cost_of_1_3_and_10_steps", cost)]
}

async fn cost(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 60.0);
    for (nth, n) in [1u8, 3, 10].into_iter().enumerate() {
        // One check a bake, with everything that a release can have: an alarm, thresholds, code from
        // S3 and a smoke test.
        let steps: Vec<_> = (1..=n)
            .map(|step| (100 / n * step + u8::from(step == n) * (100 % n), 80))
            .collect();
        let mut request = case.request(json!({
            "strategy": canary(&steps),
            // However late the users' numbers come, no bake is extended.
            "analysis": {"alarms": [alarm], "maxErrorRatePercent": 5, "checkEverySeconds": 80,
                "maxBakeSeconds": 80, "onInconclusive": "proceed"},
        }));
        let function = &mut request["functions"][0];
        function["code"] = target
            .upload(Behaviour::healthy(&format!("green-{n}")))
            .await;
        function["smokeTests"] = json!([{"name": "health", "expect": {"statusCode": 200}}]);
        let since = case.world.now().await;
        let (execution, ended) = case.release(&request).await;
        promoted(&target, &ended, &(nth + 2).to_string()).await;
        assert_eq!(weights(&ended.output).len(), usize::from(n));
        let visits = execution.states_entered().await;
        let checks = visits
            .iter()
            .filter(|state| *state == "CheckAlarms")
            .count();
        assert_eq!(checks, usize::from(n), "one check a bake: {visits:?}");
        let states = visits.len();
        let mut by_caller = case.world.calls_by_caller(since).await;
        // The retention is an execution of its own, which has begun by then.
        by_caller.remove(&case.world.stack.function("prune"));
        let calls: usize = by_caller.values().sum();
        println!("cost: N={n}: {states} states, {calls} calls");
        let n = usize::from(n);
        assert!(states <= 4 * n + 10, "{states} states: {visits:?}");
        let made: Vec<_> = case
            .world
            .our_calls(since)
            .await
            .into_iter()
            .map(|call| call.action)
            .collect();
        assert!(
            // Each step, the beginning and the end are told by mail, in the channel and as an event: 8 a
            // step and 23. On a busy machine the SDK tries a call or two again, whose connection was
            // closed.
            calls <= 8 * n + 25,
            "{calls} calls: {by_caller:?}: {made:?}"
        );
    }
    drop(users);
}
