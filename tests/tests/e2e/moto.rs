//! The same definition on moto's interpreter, another code base: the same outcomes.

use crossfade_tests::Behaviour;
use serde_json::json;

use crate::{
    case::{ALIAS, Case, Test, canary, ended_after_minutes, test},
    promoted::{promoted, weights},
    retention::with_versions,
    rolled_back::rolled_back,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("moto_promoted", moto_promoted),
        test("moto_rolled_back_by_error_rate", by_error_rate),
        test("moto_rolled_back_by_an_alarm", by_an_alarm),
        test("moto_validation_failed", validation_failed),
        test("moto_hold_timed_out_is_left", left),
        test("moto_retention", retention),
    ]
}

async fn moto_promoted(case: Case) {
    let case = case.on_moto();
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": canary(&[(10, 60), (50, 60), (100, 0)])}));
    let (execution, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [10, 50, 100]);
    let retention = case.world.retention_of(&execution).await;
    assert!(retention.is_some(), "a retention was started");
}

async fn by_error_rate(case: Case) {
    let case = case.on_moto();
    let target = case.blue_and(Behaviour::failing("green", 100.0)).await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 60)]), "analysis": {"maxErrorRatePercent": 5},
    }));
    let (execution, ended) = case.release(&request).await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let by = cause["evidence"]["decidedBy"].as_str().unwrap();
    assert!(["errorTest", "errorCeiling"].contains(&by), "{cause}");
}

async fn by_an_alarm(case: Case) {
    let case = case.on_moto();
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": canary(&[(10, 600), (100, 60)]), "analysis": {"alarms": [alarm]},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
}

async fn validation_failed(case: Case) {
    let case = case.on_moto();
    let green = Behaviour {
        status_code: Some(503),
        ..Behaviour::healthy("green")
    };
    let target = case.blue_and(green).await;
    let mut request = case.request(json!({}));
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "expect": {"statusCode": 200}}]);
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(
        ended.cause["evidence"]["validation"][0]["passed"], false,
        "{ended:?}"
    );
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"));
}

/// The longest of the definition's expressions, in the Cause of a hold that is left.
async fn left(case: Case) {
    let case = case.on_moto();
    let target = case.blue().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 30), (100, 0)]), "analysis": {"maxBakeSeconds": 60},
        "holdTimeoutSeconds": 60, "onHoldTimeout": "leave",
    }));
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.error, "DeploymentHeld", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "HELD", "{ended:?}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!((alias.share("2") - 0.1).abs() < 0.01, "{alias:?}");
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

/// A retention, which ends before the one that was started with the release.
async fn retention(case: Case) {
    let target = with_versions(&case, 4, 4).await;
    let request = case.request(json!({"retention": {"blueHours": 24, "keepVersions": 2}}));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "5").await;
    let until = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let until = aws_sdk_sfn::primitives::DateTime::from_secs(
        aws_sdk_sfn::primitives::DateTime::from(until).secs(),
    );
    let input = json!({"deployment": execution.arn, "application": request["application"],
        "retainUntil": until.to_string()});
    let local = &case.suite().local;
    let retention = case.world.start_retention_on_moto(local, &input).await;
    let over = ended_after_minutes(&retention).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(over.output["standing"], "over", "{over:?}");
    assert_eq!(over.output["deleted"], 3, "{over:?}");
    assert_eq!(target.versions().await, ["4", "5"]);
    let states = retention.states_entered().await;
    assert_eq!(
        states,
        [
            "SupersedeOlder",
            "KeepBlue",
            "LetRequestsEnd",
            "PlanCleanup",
            "PruneVersions",
            "MoreToPrune",
            "RetentionOver"
        ]
    );
}
