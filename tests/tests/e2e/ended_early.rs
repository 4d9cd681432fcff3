//! Releases that end before their first shift, whoever ends them: each is rejected, and nothing that is said
//! of it speaks of a rollback.

use crossfade_tests::{Behaviour, Ended, Execution, Target, release::until, world::Fault};
use serde_json::{Value, json};

use crate::case::{ALIAS, Case, Test, apart, canary, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        apart("rejected_when_aws_refuses_the_code", code_refused),
        apart("rejected_when_aws_refuses_the_version", version_refused),
        apart("rejected_when_aws_refuses_a_smoke_test", invocation_refused),
        apart("rejected_when_aws_refuses_the_first_shift", shift_refused),
        test(
            "rejected_when_the_second_shift_is_not_the_first",
            second_shift_refused,
        ),
        test("rejected_when_stopped_during_validation", stopped),
        test("rejected_when_an_alarm_fires_before_the_first_shift", alarm),
        test("rejected_when_a_person_denies_the_first_shift", denied),
        test(
            "rejected_when_rolled_back_by_hand_before_the_first_shift",
            by_hand,
        ),
    ]
}

/// Nothing was moved, and everybody is told so.
async fn rejected(case: &Case, target: &Target, execution: &Execution) -> String {
    case.ledger_says(execution, "REJECTED").await;
    let told = case.told(execution, "REJECTED").await;
    let subject = told.subject.clone().unwrap_or_default();
    println!(
        "{}: {subject}: {}",
        case.name,
        told.message.lines().next().unwrap_or_default()
    );
    assert!(subject.starts_with("[REJECTED] "), "{subject}");
    for text in [&subject, &told.message] {
        let text = text.to_lowercase();
        for word in [
            "rolled back",
            "roll back",
            "rollback",
            "back on blue",
            "goes back",
            "all traffic again",
        ] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
    told.message
}

/// The same of an execution that says so itself.
async fn ended_rejected(case: &Case, target: &Target, execution: &Execution, ended: &Ended) {
    assert_eq!(ended.status, "FAILED", "{ended:?}");
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    rejected(case, target, execution).await;
}

/// A release during which AWS refuses one action of one of our functions.
async fn refused(case: Case, function: &str, action: &str, more: Value) {
    let target = case.blue().await;
    let mut request = case.request(json!({}));
    if action == "UpdateFunctionCode" {
        request["functions"][0]["code"] = target.upload(Behaviour::healthy("uploaded")).await;
    }
    crate::case::merge(&mut request["functions"][0], more);
    let denied = Fault::new("access-denied")
        .on("lambda", action)
        .by(&case.world.stack.function(function))
        .about(&target.name);
    let denied = case.world.fault(denied.always()).await;
    let (execution, ended) = case.release(&request).await;
    assert!(case.world.struck(denied).await > 0, "it was refused");
    case.world.mend(denied).await;
    ended_rejected(&case, &target, &execution, &ended).await;
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("AccessDenied"), "{reason}");
}

async fn code_refused(case: Case) {
    refused(case, "deploy-green", "UpdateFunctionCode", json!({})).await;
}

async fn version_refused(case: Case) {
    refused(case, "deploy-green", "PublishVersion", json!({})).await;
}

async fn invocation_refused(case: Case) {
    let tests = json!({"smokeTests": [{"name": "health", "expect": {"statusCode": 200}}]});
    refused(case, "validate", "Invoke", tests).await;
}

async fn shift_refused(case: Case) {
    refused(case, "shift-traffic", "UpdateAlias", json!({})).await;
}

/// The same refusal after the first shift is a rollback.
async fn second_shift_refused(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": canary(&[(10, 60), (100, 0)])}));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let denied = Fault::new("access-denied")
        .on("lambda", "UpdateAlias")
        .by(&case.world.stack.function("shift-traffic"))
        .about(&target.name);
    case.world.fault(denied.always()).await;
    let ended = execution.wait().await;
    drop(users);
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "ROLLED_BACK", "{ended:?}");
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn stopped(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 3000)).await;
    let mut request = case.request(json!({"strategy": canary(&[(10, 60), (100, 60)])}));
    request["functions"][0]["smokeTests"] = json!([{"name": "health"}]);
    let execution = case.start(&request).await;
    execution.wait_for_state("ValidateGreen", 1).await;
    until("it is on record", || async {
        let row = case.world.deployment(&execution.arn).await?;
        row.contains_key("footprint").then_some(())
    })
    .await;
    execution.stop().await;
    let message = rejected(&case, &target, &execution).await;
    assert!(message.contains("ABORTED"), "{message}");
}

/// A release that asks a person before its first shift.
async fn asking(case: &Case, more: Value) -> (Target, Execution) {
    let target = case.blue().await;
    let mut request = case.request(json!({
        "strategy": {"type": "allAtOnce", "approveBefore": 100},
        "onDenied": "rollBack",
    }));
    crate::case::merge(&mut request, more);
    let execution = case.start(&request).await;
    case.ledger_says(&execution, "HELD").await;
    (target, execution)
}

async fn alarm(case: Case) {
    let alarm = case.alarm().await;
    let (target, execution) = asking(&case, json!({"analysis": {"alarms": [alarm]}})).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    ended_rejected(&case, &target, &execution, &ended).await;
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&alarm), "{reason}");
}

async fn denied(case: Case) {
    let (target, execution) = asking(&case, json!({})).await;
    let asked = case.told(&execution, "HELD").await;
    execution
        .answer(asked.token().expect("it has one"), "reject")
        .await;
    let ended = execution.wait().await;
    ended_rejected(&case, &target, &execution, &ended).await;
}

async fn by_hand(case: Case) {
    let (target, execution) = asking(&case, json!({})).await;
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.status, "SUCCEEDED", "{done:?}");
    assert_eq!(done.output["deploymentStatus"], "REJECTED", "{done:?}");
    let ended = execution.wait().await;
    ended_rejected(&case, &target, &execution, &ended).await;
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("stopped by hand: it looks odd"), "{reason}");
}
