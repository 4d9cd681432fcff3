//! The user's hooks, at each point of the way.

use crossfade_tests::{Behaviour, Target};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, apart, canary, merge, test},
    promoted::{promoted, weights},
    rolled_back::rolled_back,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("hooks_are_asked_at_each_point", each_point),
        test("hook_in_progress_is_asked_again", in_progress),
        test("hook_in_progress_for_too_long", too_long),
        test("hook_in_progress_and_an_alarm", alarm),
        test("hook_before_the_first_shift_fails", before_fails),
        test("hook_after_a_shift_fails", after_fails),
        test("hook_that_does_not_answer_as_hooks_do", no_answer),
        test("hook_that_is_not_there", not_there),
        test("hook_after_the_promotion_fails", promote_fails),
        test("hook_after_the_rollback_is_asked", rollback_asked),
        test("hook_before_what_was_approved", approved),
        apart("answers_after_the_idle_limit_are_heard", heard_late),
    ]
}

/// One of the test's hooks, which answers so, one after the other.
pub(crate) async fn hook(case: &Case, name: &str, answers: &[Value]) -> Target {
    let name = format!("{}-{name}", case.function_name());
    let behaviour = Behaviour {
        echo: true,
        answers: answers.to_vec(),
        ..Behaviour::healthy("hook")
    };
    Target::create(&case.suite().local, &name, behaviour).await
}

fn says(status: &str) -> Value {
    json!({"hookStatus": status})
}

fn request(case: &Case, more: Value) -> Value {
    let mut request = case.request(json!({
        "strategy": canary(&[(10, 0), (100, 0)]),
    }));
    merge(&mut request, more);
    request
}

/// What hooks said: point, weight and status.
fn heard(outcome: &Value) -> Vec<(String, u64, String)> {
    let hooks = outcome["evidence"]["hooks"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    hooks
        .iter()
        .map(|one| {
            (
                text(&one["hook"]),
                one["weight"].as_u64().unwrap_or_default(),
                text(&one["status"]),
            )
        })
        .collect()
}

fn reason(outcome: &Value) -> &str {
    outcome["reason"].as_str().unwrap_or_default()
}

async fn each_point(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[says("SUCCEEDED")]).await;
    let each = json!({"functionName": hook.name});
    let hooks = json!({"hooks": {"beforeShift": each, "afterShift": each, "afterPromote": each, "afterRollback": each}});
    let (execution, ended) = case.release(&request(&case, hooks)).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [10, 100]);
    let ok = |point: &str, weight| (point.to_owned(), weight, "SUCCEEDED".to_owned());
    assert_eq!(
        heard(&ended.output),
        [
            ok("beforeShift", 10),
            ok("afterShift", 10),
            ok("beforeShift", 100),
            ok("afterShift", 100),
            ok("afterPromote", 100)
        ]
    );
    assert!(
        ended.output.get("hook").is_none(),
        "nothing is left to ask: {ended:?}"
    );
    let told = &ended.output["evidence"]["hooks"][1]["answer"]["event"];
    assert_eq!(told["hook"], "afterShift", "{told}");
    assert_eq!(told["execution"], execution.arn.as_str(), "{told}");
    assert_eq!(
        (&told["step"], &told["weight"]),
        (&json!(0), &json!(10)),
        "{told}"
    );
    assert_eq!(
        told["functions"][0],
        json!({"functionName": target.name, "alias": ALIAS, "blueVersion": "1", "greenVersion": "2"})
    );
}

/// A network forgets connections that are idle for 350 seconds: 3.5 here. A migration, a smoke test and a hook
/// take longer, and their answers come on the connection that they were asked on.
async fn heard_late(case: Case) {
    const LATE_MS: u64 = 5_000;
    let control = case.suite().local.control();
    control
        .post("connections", &json!({"idleSeconds": 350}))
        .await;
    let target = case.blue_and(Behaviour::slow("green", LATE_MS)).await;
    let slow = async |name: &str, answers: &[Value]| {
        let behaviour = Behaviour {
            answers: answers.to_vec(),
            ..Behaviour::slow(name, LATE_MS)
        };
        let name = format!("{}-{name}", case.function_name());
        Target::create(&case.suite().local, &name, behaviour).await
    };
    let hook = slow("hook", &[says("SUCCEEDED")]).await;
    let migration = slow("migration", &[]).await;
    let more = json!({
        "strategy": canary(&[(100, 0)]),
        "migration": {"functionName": migration.name, "timeoutSeconds": 20},
        "hooks": {"afterShift": {"functionName": hook.name, "timeoutSeconds": 20}},
    });
    let mut request = request(&case, more);
    request["functions"][0]["smokeTests"] =
        json!([{"name": "slow", "expect": {"statusCode": 200, "maxDurationMs": 20_000}}]);
    let (_, ended) = case.release(&request).await;
    let seen = control.get("connections").await;
    control
        .post("connections", &json!({"idleSeconds": null}))
        .await;
    promoted(&target, &ended, "2").await;
    println!("connections idle for longer than a network keeps them: {seen}");
    assert!(seen["kept"].as_u64() >= Some(3), "{seen}");
    assert_eq!(seen["lost"], 0, "{seen}");
}

async fn in_progress(case: Case) {
    let target = case.blue().await;
    let answers = [
        json!({"hookStatus": "IN_PROGRESS", "callBackDelay": 20}),
        says("IN_PROGRESS"),
        says("SUCCEEDED"),
    ];
    let hook = hook(&case, "hook", &answers).await;
    let hooks = json!({"strategy": canary(&[(100, 0)]), "hooks": {"afterShift": {"functionName": hook.name}}});
    let (execution, ended) = case.release(&request(&case, hooks)).await;
    promoted(&target, &ended, "2").await;
    let said = &ended.output["evidence"]["hooks"][0];
    assert_eq!(
        (&said["asked"], &said["status"]),
        (&json!(3), &json!("SUCCEEDED")),
        "{said}"
    );
    let waits: Vec<_> = execution
        .visits()
        .await
        .into_iter()
        .filter(|visit| visit.state == "AwaitHook")
        .map(|visit| visit.input["hook"]["waitSeconds"].clone())
        .collect();
    assert_eq!(waits, [20, 30], "as it says, and else 30 s");
}

async fn too_long(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[says("IN_PROGRESS")]).await;
    let hooks = json!({"hooks": {"afterShift": {"functionName": hook.name, "timeoutSeconds": 70}}});
    let (execution, ended) = case.release(&request(&case, hooks)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "ROLLED_BACK", "{ended:?}");
    assert!(
        reason(&ended.cause).contains("still IN_PROGRESS after 70 s"),
        "{ended:?}"
    );
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
    case.told(&execution, "ROLLED_BACK").await;
}

async fn alarm(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let hook = hook(
        &case,
        "hook",
        &[json!({"hookStatus": "IN_PROGRESS", "callBackDelay": 600})],
    )
    .await;
    let hooks = json!({
        "analysis": {"alarms": [alarm]},
        "hooks": {"afterShift": {"functionName": hook.name, "timeoutSeconds": 3600}},
    });
    let execution = case.start(&request(&case, hooks)).await;
    execution.wait_for_state("AwaitHook", 1).await;
    case.world.fire(&alarm).await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    assert!(
        execution.ended().await.is_none(),
        "at once, and not with the hook's answer"
    );
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
}

async fn before_fails(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[says("FAILED")]).await;
    let hooks = json!({"hooks": {"beforeShift": {"functionName": hook.name}, "afterRollback": {"functionName": hook.name}}});
    let (execution, ended) = case.release(&request(&case, hooks)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    assert!(
        reason(&ended.cause).contains("hook beforeShift"),
        "{ended:?}"
    );
    let states = execution.states_entered().await;
    assert!(!states.contains(&"ShiftTraffic".to_owned()), "{states:?}");
    assert_eq!(
        heard(&ended.cause).len(),
        1,
        "nothing went back, so nobody is asked: {ended:?}"
    );
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
}

async fn after_fails(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[says("SUCCEEDED"), says("FAILED")]).await;
    let hooks = json!({"hooks": {"afterShift": {"functionName": hook.name}}});
    let (execution, ended) = case.release(&request(&case, hooks)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "ROLLED_BACK", "{ended:?}");
    assert_eq!(weights(&ended.cause), [10, 100], "the second one failed");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
    case.told(&execution, "ROLLED_BACK").await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn no_answer(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[json!({"statusCode": 200})]).await;
    let hooks = json!({"hooks": {"beforeShift": {"functionName": hook.name}}});
    let (_, ended) = case.release(&request(&case, hooks)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert!(
        reason(&ended.cause).contains("did not answer {\"hookStatus\""),
        "{ended:?}"
    );
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
}

async fn not_there(case: Case) {
    case.blue().await;
    let hooks = json!({"hooks": {"beforeShift": {"functionName": "it-nobody-made-this:live"}}});
    let (_, ended) = case.release(&request(&case, hooks)).await;
    assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
    assert_eq!(
        reason(&ended.cause),
        "hooks.beforeShift.functionName: there is no function \"it-nobody-made-this\" in us-east-1 with an alias or a version live"
    );
}

async fn promote_fails(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[says("IN_PROGRESS"), says("FAILED")]).await;
    let hooks = json!({"hooks": {"afterPromote": {"functionName": hook.name}}});
    let (execution, ended) = case.release(&request(&case, hooks)).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(
        heard(&ended.output),
        [("afterPromote".into(), 100, "FAILED".into())]
    );
    assert!(
        ended.output["warnings"]
            .to_string()
            .contains("hook afterPromote"),
        "{ended:?}"
    );
    let told = case.world.notifications(&execution.arn).await;
    assert!(
        told.iter()
            .any(|one| one.message.starts_with("hook afterPromote")),
        "{told:?}"
    );
}

async fn rollback_asked(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[says("FAILED")]).await;
    let hooks = json!({
        "strategy": canary(&[(10, 3600), (100, 0)]),
        "analysis": {"checkEverySeconds": 60},
        "hooks": {"afterRollback": {"functionName": hook.name}},
    });
    let execution = case.start(&request(&case, hooks)).await;
    execution.wait_for_state("Bake", 1).await;
    case.release(&case.rollback()).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(
        heard(&cause),
        [("afterRollback".into(), 0, "FAILED".into())]
    );
    assert!(
        reason(&cause).contains("by hand"),
        "it changes nothing: {cause}"
    );
    let told = case.world.notifications(&execution.arn).await;
    assert!(
        told.iter()
            .any(|one| one.message.starts_with("hook afterRollback")),
        "{told:?}"
    );
}

async fn approved(case: Case) {
    let target = case.blue().await;
    let hook = hook(&case, "hook", &[says("SUCCEEDED")]).await;
    let mut strategy = canary(&[(10, 0), (100, 0)]);
    strategy["approveBefore"] = json!(100);
    let hooks =
        json!({"strategy": strategy, "hooks": {"beforeShift": {"functionName": hook.name}}});
    let execution = case.start(&request(&case, hooks)).await;
    execution.wait_for_state("AwaitApproval", 1).await;
    let told = case.told(&execution, "HELD").await;
    execution
        .answer(told.token().expect("it says how to answer"), "approve")
        .await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(heard(&ended.output).len(), 2, "{ended:?}");
    let answers = &ended.output["answers"];
    assert_eq!(
        answers.as_array().map(Vec::len),
        Some(1),
        "on record once: {answers}"
    );
}
