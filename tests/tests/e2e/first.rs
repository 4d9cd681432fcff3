//! First releases that do not last: their alias was made by them, and goes with them, whoever finds
//! that out.

use crossfade_tests::{Behaviour, Execution, Target, release::until, world::Fault};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, a_moment, apart, canary, test},
    died::lose_the_event,
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("first_release_that_nobody_calls_is_promoted", uncalled),
        test(
            "first_release_that_nothing_has_shown_to_work_is_held",
            unproven,
        ),
        test("first_release_and_an_alarm", alarm),
        test("first_release_made_too_late", made_too_late),
        apart("first_release_promoted_too_late", promoted_too_late),
        apart("first_release_that_died", died),
    ]
}

/// A function without the alias.
async fn unknown(case: &Case) -> Target {
    let target = case.function(Behaviour::healthy("first")).await;
    assert_eq!(target.look(ALIAS).await, None);
    target
}

/// A release that bakes for hours.
fn baking(case: &Case, analysis: Value) -> Value {
    let mut request = case.request(json!({
        "strategy": {"type": "allAtOnce", "bakeSeconds": 80_000},
    }));
    request["analysis"]["maxBakeSeconds"] = json!(86_400);
    crate::case::merge(&mut request["analysis"], analysis);
    request
}

async fn is_unmade(case: &Case, target: &Target, execution: &Execution) {
    until("the alias is gone again", || async {
        target.look(ALIAS).await.is_none().then_some(())
    })
    .await;
    case.ledger_says(execution, "ROLLED_BACK").await;
    case.told(execution, "ROLLED_BACK").await;
    assert_eq!(target.versions().await, ["1"], "green is kept");
}

/// The function that deleted the alias.
async fn unmade_by(case: &Case, target: &Target) -> Vec<String> {
    let calls = case.world.our_calls(case.since).await;
    let deletions = calls
        .into_iter()
        .filter(|call| call.action == "DeleteAlias" && call.took_effect())
        .filter(|call| call.resource.as_deref() == Some(&target.name));
    deletions.filter_map(|call| call.caller).collect()
}

/// As README's first release: smoke tests, an alarm, bakes; and no caller yet.
fn by_the_readme(case: &Case, alarm: &str) -> Value {
    let mut request = case.request(json!({
        "strategy": canary(&[(10, 300), (50, 600), (100, 300)]),
        "analysis": {"alarms": [alarm], "maxErrorRatePercent": 5, "maxP99Ms": 6000, "minInvocations": null,
            "maxBakeSeconds": null},
    }));
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "expect": {"statusCode": 200}}]);
    request
}

async fn uncalled(case: Case) {
    let target = unknown(&case).await;
    let alarm = case.alarm().await;
    let (execution, ended) = case.release(&by_the_readme(&case, &alarm)).await;
    promoted(&target, &ended, "1").await;
    assert_eq!(
        ended.output["evidence"]["uncalled"],
        json!([target.name]),
        "{ended:?}"
    );
    let told = case.told(&execution, "SUCCESSFUL").await;
    let warning = format!("{}: no client calls alias {ALIAS} yet", target.name);
    assert!(told.message.contains(&warning), "{}", told.message);
}

async fn unproven(case: Case) {
    let target = unknown(&case).await;
    let alarm = case.alarm().await;
    let mut request = by_the_readme(&case, &alarm);
    crate::case::merge(&mut request["functions"][0], json!({"smokeTests": null}));
    let execution = case.start(&request).await;
    let told = case.told(&execution, "HELD").await;
    let why = "no client calls it yet, and no smoke test has shown that it works";
    assert!(told.message.contains(why), "{}", told.message);
    execution.answer(told.token().unwrap(), "rollBack").await;
    execution.wait().await;
    is_unmade(&case, &target, &execution).await;
}

async fn alarm(case: Case) {
    let target = unknown(&case).await;
    let alarm = case.alarm().await;
    // The alarm's event is faster than the next look, on a busy machine too.
    let analysis = json!({"alarms": [alarm], "checkEverySeconds": 600});
    let execution = case.start(&baking(&case, analysis)).await;
    execution.wait_for_state("Bake", 1).await;
    case.ledger_says(&execution, "IN_FLIGHT").await;
    case.alias_is(&target, "made", |alias| alias.settled() == Some("1"))
        .await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    is_unmade(&case, &target, &execution).await;
    let by = case.world.stack.function("restore-blue");
    assert_eq!(unmade_by(&case, &target).await, [by]);
}

/// Stopped while the alias is being made: whoever puts traffic back finds none yet, and the one that is
/// made after that is deleted by who made it.
async fn made_too_late(case: Case) {
    let target = unknown(&case).await;
    let slow = Fault::new("silence")
        .on("lambda", "CreateAlias")
        .about(&target.name);
    let slow = case.world.fault(slow.seconds(3.0)).await;
    let execution = case.start(&baking(&case, json!({}))).await;
    until("the alias is being made", || async {
        (case.world.struck(slow).await > 0).then_some(())
    })
    .await;
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    until("it was made, and unmade", || async {
        let by = unmade_by(&case, &target).await;
        (!by.is_empty()).then_some(())
    })
    .await;
    is_unmade(&case, &target, &execution).await;
    let by = case.world.stack.function("shift-traffic");
    assert_eq!(unmade_by(&case, &target).await, [by]);
}

/// Stopped between the promotion and its record, and whoever puts traffic back is slow.
async fn promoted_too_late(case: Case) {
    let target = unknown(&case).await;
    let finalize = case.world.stack.function("finalize");
    let record = Fault::new("silence")
        .on("dynamodb", "TransactWriteItems")
        .by(&finalize);
    let record = case.world.fault(record.seconds(2.0)).await;
    let look = Fault::new("silence")
        .on("lambda", "GetAlias")
        .by(&case.world.stack.function("rollback"));
    case.world
        .fault(look.about(&target.name).seconds(8.0))
        .await;
    let execution = case.start(&case.request(json!({}))).await;
    until("the record is slow", || async {
        (case.world.struck(record).await > 0).then_some(())
    })
    .await;
    execution.stop().await;
    is_unmade(&case, &target, &execution).await;
    assert_eq!(unmade_by(&case, &target).await, [finalize]);
}

/// Stopped, and nobody was told: the next release finds it.
async fn died(case: Case) {
    let target = unknown(&case).await;
    let dead = case.start(&baking(&case, json!({}))).await;
    dead.wait_for_state("Bake", 1).await;
    lose_the_event(&case, &dead).await;
    dead.stop().await;
    a_moment().await;
    assert!(target.look(ALIAS).await.is_some(), "nobody has seen it");
    let (_, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "1").await;
    assert_eq!(case.world.deployment_status(&dead.arn).await, "ROLLED_BACK");
    let by = case.world.stack.function("deploy-green");
    assert_eq!(unmade_by(&case, &target).await, [by]);
}
