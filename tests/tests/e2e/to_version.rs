//! Rollbacks by hand to a version that was published before.

use crossfade_tests::{Behaviour, Ended, Execution, Target};
use serde_json::{Value, json};

use crate::case::{ALIAS, Case, Test, canary, merge, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("back_to_any_version", any_version),
        test("back_to_a_version_that_does_not_pass", does_not_pass),
        test("back_to_a_version_while_its_alarm_fires", alarm_fires),
        test("back_to_a_version_of_one_function", one_function),
        test("back_to_a_version_while_a_release_is_in_flight", in_flight),
        test("back_to_a_version_that_is_not_there", not_there),
    ]
}

/// A rollback to a version.
pub(crate) fn back(case: &Case, version: &str) -> Value {
    let mut request = case.rollback();
    request["toVersion"] = json!(version);
    request
}

async fn on(target: &Target, version: &str) {
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some(version), "{alias:?}");
}

/// A release with a smoke test, of what `$LATEST` then is.
async fn released(case: &Case, target: &Target, version: &str, more: Value) -> Execution {
    let mut request = case.request(json!({}));
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "expect": {"statusCode": 200}}]);
    merge(&mut request, more);
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    on(target, version).await;
    execution
}

/// It went back, and says so.
async fn went_back(case: &Case, target: &Target, version: &str) -> Ended {
    let (execution, ended) = case.release(&back(case, version)).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL", "{ended:?}");
    let reason = ended.output["reason"].as_str().unwrap_or_default();
    let says = format!("rolled back by hand to version {version}: it looks odd");
    println!("{}: {reason}", case.name);
    assert!(reason.starts_with(&says), "{reason}");
    let told = case.told(&execution, "SUCCESSFUL").await;
    assert!(told.message.contains(&says), "{}", told.message);
    on(target, version).await;
    ended
}

async fn any_version(case: Case) {
    let target = case.blue().await;
    released(&case, &target, "2", json!({})).await;
    target.update(Behaviour::healthy("third")).await;
    released(&case, &target, "3", json!({})).await;
    let users = case.users(&target, 20.0);
    let ended = went_back(&case, &target, "1").await;
    let functions = &ended.output["functions"][0];
    assert_eq!(
        (&functions["blueVersion"], &functions["greenVersion"]),
        (&json!("3"), &json!("1"))
    );
    let tests = &ended.output["evidence"]["validation"];
    assert_eq!(
        tests[0]["test"], "health",
        "the last release's tests: {tests}"
    );
    assert_eq!(
        target.versions().await,
        ["1", "2", "3"],
        "nothing was published"
    );
    // The last release is the rollback by now, and has no request of its own.
    let ended = went_back(&case, &target, "2").await;
    assert_eq!(ended.output["evidence"]["validation"][0]["test"], "health");
    // Its own blue is gone back to without a version.
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    on(&target, "1").await;
    let (_, same) = case.release(&back(&case, "1")).await;
    assert_eq!(same.output["deploymentStatus"], "NO_CHANGE", "{same:?}");
    assert_eq!(users.stop().await.total().errors, 0, "nobody has noticed");
}

async fn does_not_pass(case: Case) {
    let sick = Behaviour {
        status_code: Some(503),
        ..Behaviour::healthy("sick")
    };
    let target = case.blue_and(sick).await;
    assert_eq!(target.publish().await, "2");
    target.update(Behaviour::healthy("third")).await;
    released(&case, &target, "3", json!({})).await;
    let (execution, ended) = case.release(&back(&case, "2")).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    case.told(&execution, "REJECTED").await;
    on(&target, "3").await;
}

async fn alarm_fires(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    // Blue is given up at once: the alarm has nothing to take back by itself.
    let more = json!({"analysis": {"alarms": [alarm]}, "retention": {"blueHours": 0}});
    released(&case, &target, "2", more).await;
    case.world.fire(&alarm).await;
    went_back(&case, &target, "1").await;
}

async fn one_function(case: Case) {
    let target = case.blue().await;
    let other = case
        .function_called(
            &format!("{}-other", case.function_name()),
            Behaviour::healthy("other"),
        )
        .await;
    assert_eq!(other.publish().await, "1");
    other.alias(ALIAS, "1").await;
    other.update(Behaviour::healthy("other 2")).await;
    let mut request = case.request(json!({}));
    let first = request["functions"][0].clone();
    request["functions"] = json!([first, {"functionName": other.name, "alias": ALIAS}]);
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    on(&other, "2").await;
    let mut request = back(&case, "1");
    request["functionName"] = json!(other.name);
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    on(&other, "1").await;
    on(&target, "2").await;
    // And both, of whom one is there already.
    went_back(&case, &target, "1").await;
    on(&other, "1").await;
}

async fn in_flight(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 3000), (100, 0)]), "analysis": {"maxBakeSeconds": 80000},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let (_, refused) = case.release(&back(&case, "1")).await;
    assert_eq!(refused.error, "DeploymentInProgress", "{refused:?}");
    let reason = refused.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("or end it (crossfade rollback"), "{reason}");
    assert_eq!(execution.ended().await, None, "it was not disturbed");
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    on(&target, "1").await;
}

async fn not_there(case: Case) {
    let invalid = async |request: &Value, says: &[&str]| {
        let (_, ended) = case.release(request).await;
        assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
        assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
        let reason = ended.cause["reason"].as_str().unwrap_or_default();
        for part in says {
            assert!(reason.contains(part), "{part}: {reason}");
        }
    };
    let target = case.blue().await;
    invalid(
        &back(&case, "1"),
        &["application: no release of", "is on record"],
    )
    .await;
    released(&case, &target, "2", json!({})).await;
    let missing = format!("toVersion: {} has no version 77", target.name);
    invalid(&back(&case, "77"), &[&missing]).await;
    let mut other = back(&case, "1");
    other["functionName"] = json!("demo-unknown");
    invalid(&other, &["functionName: demo-unknown is no function of"]).await;
    on(&target, "2").await;
}
