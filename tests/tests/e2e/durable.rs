//! Durable executions stay on the version that they began with: they are counted before and after.

use crossfade_tests::{Behaviour, Execution, Target};
use serde_json::json;

use crate::{
    case::{ALIAS, Case, Test, canary, test},
    cli::{ended, spawn},
    promoted::promoted,
    rolled_back::rolled_back,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("durable_executions_on_blue_are_told", on_blue),
        test("durable_executions_on_green_are_in_the_evidence", on_green),
        test(
            "durable_executions_on_green_are_told_after_the_promotion",
            after_promotion,
        ),
    ]
}

/// A durable function: version 1 serves, and `$LATEST` is to be released.
async fn durable(case: &Case) -> Target {
    let target = case.function(Behaviour::healthy("blue")).await;
    target.make_durable().await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target.update(Behaviour::healthy("green")).await;
    target
}

async fn begin(case: &Case, target: &Target, version: &str) {
    let asked = json!({"functionName": target.name, "version": version});
    let control = case.suite().local.control();
    control.post("durable/executions", &asked).await;
}

async fn on_blue(case: Case) {
    let target = durable(&case).await;
    for _ in 0..3 {
        begin(&case, &target, "1").await;
    }
    let request = case.request(json!({}));
    let said = ended(spawn(&case, &["plan", "-"], &request.to_string())).await;
    let told = "3 durable executions run on version 1";
    assert!(said.out.contains(told), "{said:?}");
    let (_, ended) = case.release(&request).await;
    let warnings = ended.output["warnings"].to_string();
    assert!(warnings.contains(told), "{warnings}");
}

async fn on_green(case: Case) {
    let target = durable(&case).await;
    let alarm = case.alarm().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 3600), (100, 60)]),
        "analysis": {"alarms": [alarm], "checkEverySeconds": 600},
    }));
    let execution: Execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    begin(&case, &target, "2").await;
    begin(&case, &target, "2").await;
    begin(&case, &target, "1").await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(
        cause["evidence"]["durableExecutions"],
        json!([{"function": target.name, "version": "2", "running": 2}]),
        "{cause}"
    );
    let mail = case.told(&execution, "ROLLED_BACK").await;
    let told = "2 durable executions that began on version 2 run on";
    assert!(mail.message.contains(told), "{}", mail.message);
}

async fn after_promotion(case: Case) {
    let target = durable(&case).await;
    let alarm = case.alarm().await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    begin(&case, &target, "2").await;
    case.world.fire(&alarm).await;
    let mail = case.told(&execution, "ROLLED_BACK").await;
    let told = "1 durable execution that began on version 2 runs on";
    assert!(mail.message.contains(told), "{}", mail.message);
}
