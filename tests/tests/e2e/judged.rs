//! The judge's word on green's traffic, with no alarm to help.

use crossfade_tests::{Behaviour, Target};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, ended_after_minutes, test},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "five_percent_of_errors_are_found_in_the_first_settled_minute",
            found_at_once,
        ),
        test(
            "a_healthy_green_with_one_percent_of_normal_errors_is_promoted",
            normal_errors,
        ),
        test("an_idle_function_ends_in_a_hold_that_says_why", idle),
        test(
            "an_idle_function_goes_on_where_the_request_says_so",
            idle_goes_on,
        ),
        test("slow_requests_are_found", slow),
        test("in_shadow_a_verdict_is_told_and_not_acted_on", shadow),
        test("a_step_ends_early_when_asked_to", early),
        test("a_ceiling_says_that_blue_suffers_too", suffering),
    ]
}

/// Blue serves for a while before the release, as it would.
async fn serving(case: &Case, blue: Behaviour, green: Behaviour) -> Target {
    let target = case.function(blue).await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target.update(green).await;
    target
}

/// What is said where nobody calls either version.
const NOBODY: &str =
    "no client has called it since the release began, so there is nothing to judge";

fn judge(outcome: &Value) -> &Value {
    &outcome["evidence"]["judge"]
}

async fn found_at_once(case: Case) {
    let target = case.blue_and(Behaviour::failing("green", 5.0)).await;
    let users = case.users(&target, 60.0);
    // The bake is five minutes of the local AWS's time, looked at every three seconds of it; a minute
    // settles in three seconds.
    let request = case.request(json!({
        "strategy": canary(&[(50, 30_000), (100, 30_000)]),
        "analysis": {"settleSeconds": 3, "checkEverySeconds": 300, "maxBakeSeconds": null},
    }));
    let execution = case.start(&request).await;
    let ended = ended_after_minutes(&execution).await;
    users.stop().await;

    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(target.look(ALIAS).await.unwrap().settled(), Some("1"));
    let evidence = judge(ended.outcome());
    assert_eq!(
        ended.outcome()["evidence"]["decidedBy"],
        "errorTest",
        "{evidence}"
    );
    assert_eq!(
        evidence["minutes"], 1,
        "the first settled minute was enough: {evidence}"
    );
    let e = evidence["eValue"].as_f64().unwrap();
    assert!(e >= evidence["threshold"].as_f64().unwrap(), "{evidence}");
}

async fn normal_errors(case: Case) {
    let target = serving(
        &case,
        Behaviour::failing("blue", 1.0),
        Behaviour::failing("green", 1.0),
    )
    .await;
    let users = case.users(&target, 60.0);
    // A green that looks suspicious by chance is watched longer, until it does not.
    let request = case.request(json!({
        "strategy": canary(&[(10, 200), (50, 200), (100, 200)]),
        "analysis": {"maxBakeSeconds": 12_000},
    }));
    let execution = case.start(&request).await;
    let ended = ended_after_minutes(&execution).await;
    users.stop().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(target.look(ALIAS).await.unwrap().settled(), Some("2"));
}

async fn idle(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 60), (100, 60)]),
        "analysis": {"maxBakeSeconds": 120},
    }));
    let execution = case.start(&request).await;
    let told = case.told(&execution, "HELD").await;
    let alias = target.look(ALIAS).await.unwrap();
    assert!((alias.share("2") - 0.1).abs() < 1e-9, "{alias:?}");
    assert!(told.message.contains("noData"), "{}", told.message);
    assert!(told.message.contains(NOBODY), "{}", told.message);
    execution.answer(told.token().unwrap(), "rollBack").await;
    assert_eq!(execution.wait().await.error, "DeploymentRolledBack");
    assert_eq!(target.look(ALIAS).await.unwrap().settled(), Some("1"));
}

/// That nothing was judged is in the notice, and in the evidence for good.
async fn idle_goes_on(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 60), (100, 60)]),
        "analysis": {"maxBakeSeconds": 120, "onInconclusive": "proceed"},
    }));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(ended.output["evidence"]["decidedBy"], "noData", "{ended:?}");
    let reason = ended.output["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(NOBODY), "{reason}");
    let told = case.told(&execution, "SUCCESSFUL").await;
    assert!(told.message.contains(NOBODY), "{}", told.message);
}

async fn slow(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 500)).await;
    let users = case.users(&target, 40.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 1_000), (100, 100)]),
        "analysis": {"slowerThanMs": 300, "checkEverySeconds": 100},
    }));
    let (_, ended) = case.release(&request).await;
    users.stop().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(
        ended.outcome()["evidence"]["decidedBy"],
        "slowTest",
        "{ended:?}"
    );
}

async fn shadow(case: Case) {
    let target = case.blue_and(Behaviour::failing("green", 50.0)).await;
    let users = case.users(&target, 40.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 300), (100, 100)]),
        "analysis": {"shadow": true},
    }));
    let (_, ended) = case.release(&request).await;
    users.stop().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(target.look(ALIAS).await.unwrap().settled(), Some("2"));
    let reason = ended.outcome()["reason"].as_str().unwrap();
    assert!(
        reason.contains("in shadow, not acted on: Unhealthy"),
        "{reason}"
    );
}

async fn early(case: Case) {
    // Errors on both sides are what tells the odds apart: without any, nothing can be ruled out.
    let target = serving(
        &case,
        Behaviour::failing("blue", 30.0),
        Behaviour::failing("green", 30.0),
    )
    .await;
    let users = case.users(&target, 100.0);
    // Six minutes of waiting, looked at every second: only an early end gets there sooner.
    let request = case.request(json!({
        "strategy": canary(&[(50, 36_000), (100, 100)]),
        "analysis": {"earlyProceed": true, "checkEverySeconds": 100, "alpha": 0.1, "maxBakeSeconds": null},
    }));
    let execution = case.start(&request).await;
    let ended = ended_after_minutes(&execution).await;
    users.stop().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let bakes = execution
        .states_entered()
        .await
        .iter()
        .filter(|state| *state == "Bake")
        .count();
    assert!(bakes < 180, "it baked {bakes} times");
}

async fn suffering(case: Case) {
    let target = serving(
        &case,
        Behaviour::failing("blue", 60.0),
        Behaviour::failing("green", 60.0),
    )
    .await;
    let users = case.users(&target, 40.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 300), (100, 100)]), "analysis": {"maxErrorRatePercent": 5},
    }));
    let (_, ended) = case.release(&request).await;
    users.stop().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(
        ended.outcome()["evidence"]["decidedBy"],
        "errorCeiling",
        "{ended:?}"
    );
    let reason = ended.outcome()["reason"].as_str().unwrap();
    assert!(reason.contains("blue suffers too"), "{reason}");
}
