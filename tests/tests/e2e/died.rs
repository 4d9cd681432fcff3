//! Executions that end without making traffic whole themselves, and those that meet another.

use std::time::{Duration, Instant};

use crossfade_tests::{Behaviour, Execution, Target};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, a_moment, alone, apart, canary, test},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("stopped_at_10_percent", stopped_at_10),
        test("stopped_at_50_percent", stopped_at_50),
        // Alone, because other tests run the schedule that looks after all.
        alone("stopped_with_its_event_lost", event_lost),
        apart("dead_holders_locks_are_taken_over", dead_holder),
        test("second_deployment_of_the_application", second_deployment),
        test("second_deployment_of_the_function", second_of_the_function),
        apart("timed_out", timed_out),
    ]
}

/// A release that bakes at its nth step, with its users.
async fn baking(case: &Case, target: &Target, nth: usize, share: f64) -> Execution {
    let request = case.request(json!({"strategy": canary(&[(10, 60), (50, 60), (100, 60)])}));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", nth).await;
    case.alias_is(target, "split", |alias| {
        (alias.share("2") - share).abs() < 0.01
    })
    .await;
    execution
}

async fn whole_within_5_seconds(case: &Case, target: &Target, execution: &Execution) {
    let ended = Instant::now();
    case.alias_is(target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    assert!(
        ended.elapsed() < Duration::from_secs(5),
        "whole after {:?}",
        ended.elapsed()
    );
    case.ledger_says(execution, "ROLLED_BACK").await;
    case.told(execution, "ROLLED_BACK").await;
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

/// A strategy whose nth step bakes until it is stopped.
async fn stopped(case: &Case, steps: Value, nth: usize, share: f64) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": steps}));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", nth).await;
    case.alias_is(&target, "split", |alias| {
        (alias.share("2") - share).abs() < 0.01
    })
    .await;
    execution.stop().await;
    whole_within_5_seconds(case, &target, &execution).await;
    drop(users);
    assert_eq!(execution.wait().await.status, "ABORTED");
    let told = case.told(&execution, "ROLLED_BACK").await;
    assert!(told.message.contains("ABORTED"), "{}", told.message);
}

async fn stopped_at_10(case: Case) {
    stopped(&case, canary(&[(10, 3600), (100, 60)]), 1, 0.1).await;
}

async fn stopped_at_50(case: Case) {
    stopped(&case, canary(&[(10, 30), (50, 3600), (100, 60)]), 2, 0.5).await;
}

/// Has the event that an execution was stopped get lost.
/// Nobody is told that the execution was stopped.
pub(crate) async fn lose_the_event(case: &Case, execution: &Execution) {
    let rule = json!({"detailType": "Step Functions Execution Status Change", "do": "drop",
        "match": {"executionArn": execution.arn, "status": "ABORTED"}});
    case.world.event_rule(rule).await;
}

async fn event_lost(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let execution = baking(&case, &target, 1, 0.1).await;
    lose_the_event(&case, &execution).await;
    execution.stop().await;
    a_moment().await;
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), None, "the event was lost: {alias:?}");
    case.world.run_schedule().await;
    whole_within_5_seconds(&case, &target, &execution).await;
    drop(users);
}

async fn dead_holder(case: Case) {
    let target = case.blue().await;
    assert_eq!(target.publish().await, "2");
    target.update(Behaviour::healthy("next")).await;
    assert_eq!(target.publish().await, "3");
    let users = case.users(&target, 20.0);
    let version = |version: &str, strategy: Value| {
        let mut request = case.request(json!({ "strategy": strategy }));
        request["functions"][0]["code"] = json!({ "version": version });
        request
    };
    let dead = case
        .start(&version("2", canary(&[(10, 600), (100, 60)])))
        .await;
    dead.wait_for_state("Bake", 1).await;
    lose_the_event(&case, &dead).await;
    dead.stop().await;
    assert!(
        !case.world.locks_of(&dead.arn).await.is_empty(),
        "the dead hold their locks"
    );

    let (_, ended) = case.release(&version("3", json!("AllAtOnce"))).await;
    drop(users);
    promoted(&target, &ended, "3").await;
    assert_eq!(
        ended.output["functions"][0]["blueVersion"], "1",
        "its traffic was restored first"
    );
    assert!(
        ended.output["warnings"].to_string().contains(&dead.arn),
        "{}",
        ended.output
    );
    assert_eq!(case.world.deployment_status(&dead.arn).await, "ROLLED_BACK");
}

async fn second_deployment(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": canary(&[(10, 200), (100, 0)])}));
    let first = case.start(&request).await;
    first.wait_for_state("Bake", 1).await;
    let before = target.look(ALIAS).await;
    let (second, ended) = case.release(&request).await;
    assert_eq!(ended.error, "DeploymentInProgress", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED");
    let name = first.arn.rsplit(':').next().unwrap_or_default();
    assert!(
        ended.cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains(&format!("release {name} "))),
        "{ended:?}"
    );
    assert!(
        first.ended().await.is_none(),
        "the first is still on its way"
    );
    assert_eq!(
        target.look(ALIAS).await,
        before,
        "the first is not disturbed"
    );
    assert_eq!(
        case.world.deployment(&second.arn).await,
        None,
        "the second took nothing"
    );
    let ended = first.wait().await;
    drop(users);
    promoted(&target, &ended, "2").await;
}

async fn second_of_the_function(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": canary(&[(10, 200), (100, 0)])}));
    let first = case.start(&request).await;
    first.wait_for_state("Bake", 1).await;
    // Another application that has the same function among its own.
    let other = format!("{}-b", case.function_name());
    let theirs = case
        .function_called(&other, Behaviour::healthy("blue"))
        .await;
    let mut second = case.request(json!({"application": format!("other-{}", case.name)}));
    let functions = second["functions"].as_array_mut().expect("it is a list");
    functions.insert(0, json!({"functionName": other, "alias": ALIAS}));
    let (second, ended) = case.release(&second).await;
    assert_eq!(ended.error, "DeploymentInProgress", "{ended:?}");
    assert_eq!(
        case.world.locks_of(&second.arn).await,
        Vec::<String>::new(),
        "all or none"
    );
    assert_eq!(
        theirs.versions().await,
        Vec::<String>::new(),
        "nothing was touched"
    );
    let ended = first.wait().await;
    drop(users);
    promoted(&target, &ended, "2").await;
}

async fn timed_out(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let machine = &case.world.stack.state_machine;
    let described = case
        .world
        .sfn
        .describe_state_machine()
        .state_machine_arn(machine)
        .send()
        .await
        .expect("it is deployed");
    let set = |definition: String| {
        case.world
            .sfn
            .update_state_machine()
            .state_machine_arn(machine)
            .definition(definition)
            .send()
    };
    // Two seconds. Nobody else starts an execution meanwhile: this test runs alone.
    let mut short: Value = serde_json::from_str(&described.definition).expect("it is JSON");
    short["TimeoutSeconds"] = json!(200);
    set(short.to_string()).await.expect("it can be updated");
    let request = case.request(json!({"strategy": canary(&[(10, 3600), (100, 60)])}));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    set(described.definition.clone())
        .await
        .expect("it can be updated");

    let ended = execution.wait().await;
    assert_eq!(ended.status, "TIMED_OUT", "{ended:?}");
    whole_within_5_seconds(&case, &target, &execution).await;
    drop(users);
    let told = case.told(&execution, "ROLLED_BACK").await;
    assert!(told.message.contains("TIMED_OUT"), "{}", told.message);
}
