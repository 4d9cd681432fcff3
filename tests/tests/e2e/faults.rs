//! Somebody else's hands, throttles and lost answers.

use crossfade_tests::{
    Behaviour, Execution, Target,
    world::{Call, Fault},
};
use serde_json::json;

use crate::{
    case::{ALIAS, Case, Test, apart, canary, test},
    promoted::{promoted, weights},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("alias_moved_by_someone_else", moved_outside),
        test("alias_deleted_by_someone_else", deleted_outside),
        test("update_alias_throttled_five_times", throttled),
        test("answer_of_update_alias_lost", lost_update_alias),
        test("answer_of_publish_version_lost", lost_publish_version),
        apart("answers_of_the_ledger_lost", lost_transactions),
    ]
}

/// Has somebody else move the alias to version 3 while a release bakes version 2.
pub(crate) async fn moved_by_another(case: &Case) -> (Target, Execution) {
    let target = case.blue().await;
    assert_eq!(target.publish().await, "2");
    target.update(Behaviour::healthy("hotfix")).await;
    assert_eq!(target.publish().await, "3");
    let mut request = case.request(json!({
        "strategy": canary(&[(10, 60), (100, 0)]),
        "analysis": {"maxBakeSeconds": 60, "onInconclusive": "proceed"},
    }));
    request["functions"][0]["code"] = json!({"version": "2"});
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    target.move_alias(ALIAS, "3", None).await;
    (target, execution)
}

async fn moved_outside(case: Case) {
    let (target, execution) = moved_by_another(&case).await;
    let theirs = target.look(ALIAS).await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    assert_eq!(
        target.look(ALIAS).await,
        theirs,
        "their value stands, revision included"
    );
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("version 3"), "{reason}");
    case.told(
        &execution,
        ended.outcome()["deploymentStatus"]
            .as_str()
            .unwrap_or_default(),
    )
    .await;
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

async fn deleted_outside(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 60), (100, 0)]),
        "analysis": {"maxBakeSeconds": 60, "onInconclusive": "proceed"},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let alias = target
        .lambda()
        .delete_alias()
        .function_name(&target.name)
        .name(ALIAS);
    alias.send().await.expect("the alias can be deleted");
    let ended = execution.wait().await;
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    assert_eq!(
        target.look(ALIAS).await,
        None,
        "what they deleted stays deleted"
    );
}

async fn throttled(case: Case) {
    let target = case.blue().await;
    let fault = Fault::new("throttle")
        .on("lambda", "UpdateAlias")
        .about(&target.name);
    let fault = case.world.fault(fault.times(5)).await;
    let request = case.request(json!({"strategy": canary(&[(50, 0), (100, 0)])}));
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [50, 100]);
    assert_eq!(case.world.struck(fault).await, 5);
}

/// The writes to the alias by our functions that took effect.
async fn alias_writes(case: &Case, target: &Target) -> Vec<Call> {
    let calls = case.world.our_calls(case.since).await;
    calls
        .into_iter()
        .filter(|call| call.resource.as_deref() == Some(&target.name))
        .filter(|call| call.action == "UpdateAlias" && call.took_effect())
        .collect()
}

async fn lost_update_alias(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let lost = |caller: &str| {
        Fault::new("drop-after")
            .on("lambda", "UpdateAlias")
            .by(&case.world.stack.function(caller))
            .about(&target.name)
    };
    let shift = case.world.fault(lost("shift-traffic").times(2)).await;
    let finalize = case.world.fault(lost("finalize")).await;
    let request = case.request(json!({"strategy": canary(&[(50, 60), (100, 0)])}));
    let (_, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [50, 100]);
    assert_eq!(
        (
            case.world.struck(shift).await,
            case.world.struck(finalize).await
        ),
        (2, 1)
    );
    let writes = alias_writes(&case, &target).await;
    assert_eq!(
        writes.len(),
        3,
        "50, 100 and the promotion, each once: {writes:?}"
    );
}

async fn lost_publish_version(case: Case) {
    let target = case.blue().await;
    let lost = Fault::new("drop-after")
        .on("lambda", "PublishVersion")
        .about(&target.name);
    let lost = case.world.fault(lost).await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(case.world.struck(lost).await, 1);
    assert_eq!(target.versions().await, ["1", "2"], "published once");
}

async fn lost_transactions(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let alarm = case.alarm().await;
    let mut lost = Vec::new();
    for (caller, times) in [("deploy-green", 2), ("shift-traffic", 2), ("finalize", 1)] {
        let caller = case.world.stack.function(caller);
        let fault = Fault::new("drop-after")
            .on("dynamodb", "TransactWriteItems")
            .by(&caller);
        lost.push((case.world.fault(fault.times(times)).await, u64::from(times)));
    }
    let request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 0)]), "analysis": {"alarms": [alarm]},
    }));
    let (execution, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "2").await;
    for (fault, times) in lost {
        assert_eq!(case.world.struck(fault).await, times);
    }
    assert_eq!(weights(&ended.output), [50, 100]);
    assert_eq!(target.versions().await, ["1", "2"], "published once");
    let writes = alias_writes(&case, &target).await;
    assert_eq!(writes.len(), 3, "each write once: {writes:?}");
    case.ledger_says(&execution, "PROMOTED").await;
    assert_eq!(
        case.world.notifications(&execution.arn).await.len(),
        1,
        "told once"
    );
}
