//! Migrations: run once before green gets traffic, run back after a rollback, or freezing the traffic.

use crossfade_tests::{Behaviour, Execution, Target, world::Fault};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, a_moment, canary, merge, test},
    promoted::promoted,
    rolled_back::rolled_back,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("migration_runs_before_the_first_shift", runs),
        test(
            "migration_that_contracts_waits_for_retention",
            contracts_later,
        ),
        test(
            "migration_that_contracts_asks_a_person",
            contracts_once_approved,
        ),
        test("migration_that_contracts_is_denied", contract_denied),
        test(
            "migration_that_contracts_comes_before_a_promotion",
            contract_promoted,
        ),
        test("migration_of_a_lost_answer_ran_once", lost_answer),
        test("migration_of_a_slow_retry_ran_once", retried_while_it_runs),
        test("migration_whose_own_answer_is_lost_ran_once", lost_between),
        test("migration_that_is_throttled_runs_later", throttled),
        test("migration_that_times_out_leaves_traffic_on_blue", timed_out),
        test("migration_that_fails_leaves_traffic_on_blue", failed),
        test("migration_that_is_not_there", not_there),
        test("migration_of_a_foreign_function_is_refused", foreign),
        test("migration_is_run_back_after_a_rollback", run_back),
        test("migration_that_cannot_be_run_back_is_told", not_run_back),
        test("migration_that_freezes_holds_a_verdict", freezes_a_verdict),
        test("migration_that_freezes_holds_an_alarm", freezes_an_alarm),
        test(
            "migration_that_freezes_is_left_when_nobody_comes",
            freezes_and_is_left,
        ),
        test("migration_that_freezes_goes_back_by_hand", freezes_by_hand),
        test(
            "migration_that_freezes_goes_back_when_stopped",
            freezes_and_is_stopped,
        ),
        test(
            "migration_that_freezes_keeps_a_promoted_green",
            freezes_after_promotion,
        ),
    ]
}

/// The test's migration, which behaves so.
async fn migration(case: &Case, behaviour: Behaviour) -> Target {
    let name = format!("{}-mig", case.function_name());
    Target::create(&case.suite().local, &name, behaviour).await
}

fn echo() -> Behaviour {
    Behaviour {
        echo: true,
        ..Behaviour::healthy("migrate")
    }
}

/// How often a function was really invoked.
async fn invocations(case: &Case, function: &Target) -> usize {
    let calls = case.world.calls(case.since).await;
    let of = calls
        .iter()
        .filter(|call| call.action == "Invoke" && call.took_effect())
        .filter(|call| call.resource.as_deref() == Some(&function.name));
    of.count()
}

fn request(case: &Case, migration: &Target, more: Value) -> Value {
    let mut request =
        case.request(json!({"migration": {"functionName": migration.name, "timeoutSeconds": 20}}));
    merge(&mut request, more);
    request
}

/// What the migration was told, which it answers with.
fn event(ran: &Value) -> Value {
    let body = ran["answer"]["body"].as_str().expect("it answered");
    let body: Value = serde_json::from_str(body).expect("it is JSON");
    body["event"].clone()
}

async fn on_blue(target: &Target) {
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
}

async fn runs(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, echo()).await;
    let request = request(
        &case,
        &migration,
        json!({"migration": {"payload": {"to": 7}}}),
    );
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let ran = &ended.output["evidence"]["migrations"];
    assert_eq!(ran.as_array().map(Vec::len), Some(1), "{ran}");
    assert_eq!(ran[0]["status"], "SUCCEEDED", "{ran}");
    let told = event(&ran[0]);
    assert_eq!(told["idempotencyKey"], execution.arn.as_str());
    assert_eq!(
        (&told["phase"], &told["direction"]),
        (&json!("expand"), &json!("up"))
    );
    assert_eq!(told["payload"], json!({"to": 7}));
    assert_eq!(told["functions"][0]["greenVersion"], "2");
    let states = execution.states_entered().await;
    let at = |name: &str| states.iter().position(|state| state == name);
    assert!(
        at("ValidateGreen") < at("RunMigration") && at("RunMigration") < at("ShiftTraffic"),
        "{states:?}"
    );
    assert_eq!(invocations(&case, &migration).await, 1);
}

/// A release before, whose blue is kept for some hours.
async fn expanded(case: &Case, hours: u32) -> Target {
    let target = case.blue().await;
    let request = case.request(json!({"retention": {"blueHours": hours}}));
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    target.update(Behaviour::healthy("contracted")).await;
    target
}

fn contract(case: &Case, migration: &Target, more: Value) -> Value {
    let mut request = request(case, migration, json!({"migration": {"phase": "contract"}}));
    merge(&mut request, more);
    request
}

async fn contracts_later(case: Case) {
    let target = expanded(&case, 24).await;
    let migration = migration(&case, echo()).await;
    let (_, ended) = case.release(&contract(&case, &migration, json!({}))).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("is kept until"), "{reason}");
    assert_eq!(invocations(&case, &migration).await, 0);
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("2"), "{alias:?}");
}

/// A release that contracts, at the question whether it may.
async fn contracting(case: &Case, more: Value) -> (Target, Target, Execution, String) {
    let target = expanded(case, 0).await;
    let migration = migration(case, echo()).await;
    let execution = case.start(&contract(case, &migration, more)).await;
    execution.wait_for_state("AwaitApproval", 1).await;
    let told = case.told(&execution, "HELD").await;
    assert!(told.message.contains("takes away"), "{}", told.message);
    assert_eq!(invocations(case, &migration).await, 0);
    let token = told.token().expect("it says how to answer").to_owned();
    (target, migration, execution, token)
}

async fn contracts_once_approved(case: Case) {
    let (target, migration, execution, token) = contracting(&case, json!({})).await;
    execution.answer(&token, "approve").await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "3").await;
    let ran = &ended.output["evidence"]["migrations"];
    assert_eq!(event(&ran[0])["phase"], "contract", "{ran}");
    assert_eq!(invocations(&case, &migration).await, 1);
}

async fn contract_denied(case: Case) {
    let (target, migration, execution, token) =
        contracting(&case, json!({"onDenied": "rollBack"})).await;
    execution.answer(&token, "reject").await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(invocations(&case, &migration).await, 0);
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("2"), "{alias:?}");
}

/// Whoever skips the rest of the plan does not skip the migration that green needs.
async fn contract_promoted(case: Case) {
    let (target, migration, execution, token) = contracting(&case, json!({})).await;
    execution.answer(&token, "promote").await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "3").await;
    assert_eq!(invocations(&case, &migration).await, 1);
}

async fn lost_answer(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, echo()).await;
    // The handler has run, and Step Functions never hears of it. Others' releases call it too.
    let lost = Fault::new("drop-after")
        .on("lambda", "Invoke")
        .by("states")
        .about(&case.world.stack.function("hooks"));
    let lost = case.world.fault(lost.times(1)).await;
    let (execution, ended) = case.release(&request(&case, &migration, json!({}))).await;
    promoted(&target, &ended, "2").await;
    let times = invocations(&case, &migration).await;
    println!(
        "migration: the answer was lost {} times, and it ran {times} times",
        case.world.struck(lost).await
    );
    assert_eq!(case.world.struck(lost).await, 1);
    assert_eq!(times, 1);
    let states = execution.states_entered().await;
    assert!(states.contains(&"RunMigration".to_owned()), "{states:?}");
}

async fn retried_while_it_runs(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, Behaviour::slow("migrate", 4000)).await;
    // Cut before the handler is done: the next attempt comes while the function is running.
    let lost = Fault::new("drop-after")
        .on("dynamodb", "UpdateItem")
        .by(&case.world.stack.function("hooks"));
    let request = request(&case, &migration, json!({}));
    let lost = case.world.fault(lost.times(3)).await;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert!(case.world.struck(lost).await >= 1);
    assert_eq!(invocations(&case, &migration).await, 1);
}

async fn lost_between(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, echo()).await;
    let lost = Fault::new("drop-after")
        .on("lambda", "Invoke")
        .about(&migration.name);
    let lost = case.world.fault(lost.times(1)).await;
    let (_, ended) = case.release(&request(&case, &migration, json!({}))).await;
    assert_eq!(ended.error, "MigrationFailed", "{ended:?}");
    assert_eq!(
        ended.cause["evidence"]["migrations"][0]["status"], "UNKNOWN",
        "{ended:?}"
    );
    on_blue(&target).await;
    assert_eq!(case.world.struck(lost).await, 1);
    assert_eq!(invocations(&case, &migration).await, 1, "not a second time");
}

async fn throttled(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, echo()).await;
    let busy = Fault::new("throttle")
        .on("lambda", "Invoke")
        .about(&migration.name);
    let busy = case.world.fault(busy.times(2)).await;
    let (_, ended) = case.release(&request(&case, &migration, json!({}))).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(case.world.struck(busy).await, 2);
    assert_eq!(invocations(&case, &migration).await, 1);
}

async fn timed_out(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, Behaviour::slow("migrate", 5000)).await;
    let request = request(
        &case,
        &migration,
        json!({"migration": {"timeoutSeconds": 1}}),
    );
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.error, "MigrationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    assert_eq!(
        ended.cause["evidence"]["migrations"][0]["status"], "TIMED_OUT",
        "{ended:?}"
    );
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    println!("migration: {reason}");
    assert!(reason.contains("it may still be running"), "{reason}");
    on_blue(&target).await;
    let states = execution.states_entered().await;
    assert!(!states.contains(&"ShiftTraffic".to_owned()), "{states:?}");
    assert_eq!(migrations(&states), 1, "it is not run back: {states:?}");
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
    case.told(&execution, "REJECTED").await;
}

async fn failed(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, Behaviour::failing("migrate", 100.0)).await;
    let (execution, ended) = case.release(&request(&case, &migration, json!({}))).await;
    assert_eq!(ended.error, "MigrationFailed", "{ended:?}");
    let ran = &ended.cause["evidence"]["migrations"][0];
    assert_eq!(ran["status"], "FAILED", "{ended:?}");
    assert_eq!(ran["answer"]["errorType"], "ToldToFail", "{ended:?}");
    on_blue(&target).await;
    assert_eq!(invocations(&case, &migration).await, 1);
    case.told(&execution, "REJECTED").await;
}

async fn not_there(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({"migration": {"functionName": "it-nobody-made-this"}}));
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
    assert_eq!(
        ended.cause["reason"],
        "migration.functionName: there is no function \"it-nobody-made-this\" in us-east-1"
    );
    on_blue(&target).await;
}

async fn foreign(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({
        "migration": {"functionName": "other-migrate"},
        "hooks": {"afterPromote": {"functionName": "other-hook:live"}},
    }));
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    for path in [
        "migration.functionName: ",
        "hooks.afterPromote.functionName: ",
    ] {
        assert!(reason.contains(path), "{reason}");
    }
    assert_eq!(target.versions().await, ["1"], "nothing was published");
}

/// A release at 10 % whose green is about to be found bad by hand.
async fn shifted(case: &Case, migration: &Target, more: Value) -> (Target, Execution) {
    let target = case.blue().await;
    let mut request = request(
        case,
        migration,
        json!({"strategy": canary(&[(10, 3600), (100, 0)]), "analysis": {"checkEverySeconds": 60, "maxBakeSeconds": 4000}}),
    );
    merge(&mut request, more);
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    (target, execution)
}

async fn is_split(target: &Target) {
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!(
        (alias.share("2") - 0.1).abs() < 0.01,
        "traffic stays as it is: {alias:?}"
    );
}

async fn run_back(case: Case) {
    let migration = migration(&case, echo()).await;
    let alarm = case.alarm().await;
    let (target, execution) =
        shifted(&case, &migration, json!({"analysis": {"alarms": [alarm]}})).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let ran = &cause["evidence"]["migrations"];
    assert_eq!(ran.as_array().map(Vec::len), Some(2), "{ran}");
    let down = event(&ran[1]);
    assert_eq!(
        (&down["direction"], &down["idempotencyKey"]),
        (&json!("down"), &json!(execution.arn))
    );
    assert_eq!(invocations(&case, &migration).await, 2, "once each way");
    let states = execution.states_entered().await;
    assert!(
        states.ends_with(&["RunMigration", "Decide", "DeploymentRolledBack"].map(String::from)),
        "{states:?}"
    );
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

async fn not_run_back(case: Case) {
    let migration = migration(&case, echo()).await;
    let (target, execution) = shifted(&case, &migration, json!({})).await;
    migration.update(Behaviour::failing("migrate", 100.0)).await;
    case.release(&case.rollback()).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let warning = cause["warnings"].to_string();
    assert!(warning.contains("the migration was not undone"), "{cause}");
    let told = case.world.notifications(&execution.arn).await;
    assert!(
        told.iter()
            .any(|one| one.message.starts_with("the migration was not undone")),
        "{told:?}"
    );
}

/// A release at 10 %, whose migration freezes the traffic.
async fn frozen(case: &Case, more: Value) -> (Target, Execution) {
    let migration = migration(case, echo()).await;
    let mut all = json!({"migration": {"afterRollback": "freeze"}});
    merge(&mut all, more);
    shifted(case, &migration, all).await
}

/// The token of the hold that takes a rollback's place.
async fn held(case: &Case, execution: &Execution) -> String {
    execution.wait_for_state("Hold", 1).await;
    crossfade_tests::release::until("people are asked", || async {
        let told = case.world.notifications(&execution.arn).await;
        let asked = told.into_iter().find(|one| one.token().is_some())?;
        assert!(
            asked.message.contains("afterRollback: freeze"),
            "{}",
            asked.message
        );
        asked.token().map(str::to_owned)
    })
    .await
}

async fn freezes_a_verdict(case: Case) {
    let alarm = case.alarm().await;
    let more = json!({"analysis": {"alarms": [alarm]}});
    let (target, execution) = frozen(&case, more).await;
    case.world.fire(&alarm).await;
    // The next look finds the alarm, and asks.
    let token = held(&case, &execution).await;
    is_split(&target).await;
    execution.answer(&token, "rollBack").await;
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
    let states = execution.states_entered().await;
    assert_eq!(migrations(&states), 1, "it is not run back: {states:?}");
}

async fn freezes_an_alarm(case: Case) {
    let alarm = case.alarm().await;
    // The next look is far away.
    let more = json!({"analysis": {"alarms": [alarm], "checkEverySeconds": 3600}});
    let (target, execution) = frozen(&case, more).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    case.ledger_says(&execution, "IN_FLIGHT").await;
    case.world.fire(&alarm).await;
    let told = case.told(&execution, "HELD").await;
    assert!(
        told.message.contains("afterRollback: freeze"),
        "{}",
        told.message
    );
    a_moment().await;
    is_split(&target).await;
    let token = held(&case, &execution).await;
    execution.answer(&token, "promote").await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
}

async fn freezes_and_is_left(case: Case) {
    let alarm = case.alarm().await;
    let more = json!({"analysis": {"alarms": [alarm]}, "holdTimeoutSeconds": 60});
    let (target, execution) = frozen(&case, more).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "DeploymentHeld", "{ended:?}");
    is_split(&target).await;
    assert_eq!(
        case.world.locks_of(&execution.arn).await.len(),
        2,
        "it keeps its locks"
    );
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    on_blue(&target).await;
}

async fn freezes_by_hand(case: Case) {
    let (target, execution) = frozen(&case, json!({})).await;
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
}

async fn freezes_and_is_stopped(case: Case) {
    let (target, execution) = frozen(&case, json!({})).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    execution.stop().await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn freezes_after_promotion(case: Case) {
    let target = case.blue().await;
    let migration = migration(&case, echo()).await;
    let alarm = case.alarm().await;
    let more = json!({"migration": {"afterRollback": "freeze"}, "analysis": {"alarms": [alarm]}});
    let (execution, ended) = case.release(&request(&case, &migration, more)).await;
    promoted(&target, &ended, "2").await;
    case.world.fire(&alarm).await;
    let told = case.told(&execution, "HELD").await;
    assert!(
        told.message.contains("afterRollback: freeze"),
        "{}",
        told.message
    );
    a_moment().await;
    promoted(&target, &ended, "2").await;
    // A person may.
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    on_blue(&target).await;
}

/// How often a migration was run, or run back.
fn migrations(states: &[String]) -> usize {
    let runs = |state: &&String| *state == "RunMigration";
    states.iter().filter(runs).count()
}
