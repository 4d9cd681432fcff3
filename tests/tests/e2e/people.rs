//! What people decide: rollbacks by hand, holds, approvals.

use crossfade_tests::{Execution, Target, Traffic};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, test},
    promoted::{promoted, weights},
    rolled_back::rolled_back,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("prods_approval_step_asks", prod),
        test("rollback_by_hand_in_flight", by_hand_in_flight),
        test("rollback_by_hand_in_a_hold", by_hand_in_a_hold),
        test("rollback_by_hand_after_promotion", by_hand_after_promotion),
        test("rollback_by_hand_of_nothing", by_hand_of_nothing),
        test("hold_resumed", resumed),
        test("hold_promoted", hold_promoted),
        test("hold_rolled_back", hold_rolled_back),
        test("hold_ended_by_an_alarm", hold_ended_by_an_alarm),
        test("hold_timed_out_rolls_back", timed_out_rolls_back),
        test(
            "hold_timed_out_is_left_and_taken_back_by_an_alarm",
            left_then_alarm,
        ),
        test(
            "hold_timed_out_is_left_and_keeps_its_locks",
            left_then_by_hand,
        ),
        test(
            "hold_timed_out_is_left_before_the_first_shift",
            left_before_the_first_shift,
        ),
        test("no_data_rolls_back_when_asked_to", no_data_rolls_back),
    ]
}

async fn prod(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({"strategy": "prod", "analysis": {"checkEverySeconds": 300}}));
    let execution = case.start(&request).await;
    let asked = case.told(&execution, "HELD").await;
    assert!(
        asked.message.contains("approval is required"),
        "{}",
        asked.message
    );
    assert!(asked.message.contains("50 %"), "{}", asked.message);
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!(
        (alias.share("2") - 0.5).abs() < 0.01,
        "traffic stays as it is: {alias:?}"
    );
    execution.wait_for_state("AwaitApproval", 1).await;
    execution
        .answer(asked.token().expect("it says how to answer"), "approve")
        .await;
    let ended = execution.wait().await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(
        weights(&ended.output),
        [10, 50, 95],
        "5 % stay on blue until the promotion"
    );
}

async fn by_hand_in_flight(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({"strategy": canary(&[(10, 600), (100, 60)])}));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let (by_hand, done) = case.release(&case.rollback()).await;
    assert_eq!(done.status, "SUCCEEDED", "{done:?}");
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(
        alias.settled(),
        Some("1"),
        "on blue when the rollback says so: {alias:?}"
    );
    assert_eq!(
        by_hand.states_entered().await,
        ["Route", "RollbackDeployment", "Decide", "Done"]
    );
    let ended = execution.wait().await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(
        cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("by hand: it looks odd")),
        "{cause}"
    );
}

async fn by_hand_after_promotion(case: Case) {
    let target = case.blue().await;
    let (execution, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "2").await;
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.status, "SUCCEEDED", "{done:?}");
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
    case.ledger_says(&execution, "ROLLED_BACK").await;
    case.told(&execution, "ROLLED_BACK").await;
    // A second time there is nothing to take back.
    let (_, again) = case.release(&case.rollback()).await;
    assert_eq!(again.error, "InvalidRequest", "{again:?}");
    assert_eq!(
        target.look(ALIAS).await,
        Some(alias),
        "and nothing was touched"
    );
}

async fn by_hand_of_nothing(case: Case) {
    let (_, ended) = case.release(&case.rollback()).await;
    assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
    assert!(
        ended.cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("nothing of")),
        "{ended:?}"
    );
}

/// A release without users, which is held at 10 %.
async fn held(case: &Case, more: Value) -> (Target, Execution, String) {
    let target = case.blue().await;
    let mut request = case.request(json!({
        "strategy": canary(&[(10, 30), (50, 30), (100, 0)]), "analysis": {"maxBakeSeconds": 60},
    }));
    crate::case::merge(&mut request, more);
    let execution = case.start(&request).await;
    execution.wait_for_state("Hold", 1).await;
    let told = case.told(&execution, "HELD").await;
    assert!(
        told.message.contains("no client has called it"),
        "{}",
        told.message
    );
    let token = told.token().expect("it says how to answer").to_owned();
    (target, execution, token)
}

/// Still as at the first step.
pub(crate) async fn is_split(target: &Target) {
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!(
        (alias.share("2") - 0.1).abs() < 0.01,
        "traffic stays as it is: {alias:?}"
    );
}

async fn resumed(case: Case) {
    let (target, execution, token) = held(&case, json!({})).await;
    is_split(&target).await;
    case.ledger_says(&execution, "HELD").await;
    // The bake went on to its limit before a person was called.
    let states = execution.states_entered().await;
    assert_eq!(
        states.iter().filter(|state| *state == "Bake").count(),
        2,
        "{states:?}"
    );
    let users: Traffic = case.users(&target, 30.0);
    execution.answer(&token, "resume").await;
    let ended = execution.wait().await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [10, 50, 100]);
}

async fn hold_promoted(case: Case) {
    let (target, execution, token) = held(&case, json!({})).await;
    is_split(&target).await;
    execution.answer(&token, "promote").await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [10], "straight from the hold");
}

async fn hold_rolled_back(case: Case) {
    let (target, execution, token) = held(&case, json!({})).await;
    execution.answer(&token, "rollBack").await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(
        cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("an operator asked to roll it back")),
        "{cause}"
    );
}

async fn hold_ended_by_an_alarm(case: Case) {
    let alarm = case.alarm().await;
    let (target, execution, _) = held(&case, json!({"analysis": {"alarms": [alarm]}})).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
}

async fn by_hand_in_a_hold(case: Case) {
    let (target, execution, _) = held(&case, json!({})).await;
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
}

async fn timed_out_rolls_back(case: Case) {
    let (target, execution, _) = held(&case, json!({"holdTimeoutSeconds": 60})).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(
        cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("no operator answered the hold within 60 s")),
        "{cause}"
    );
}

/// A hold that nobody answers, which is left as it is.
async fn left(case: &Case, more: Value) -> (Target, Execution) {
    let mut request = json!({"holdTimeoutSeconds": 60, "onHoldTimeout": "leave"});
    crate::case::merge(&mut request, more);
    let (target, execution, _) = held(case, request).await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "DeploymentHeld", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "HELD", "{ended:?}");
    assert_eq!(
        ended.cause["functions"][0]["functionName"],
        target.name.as_str()
    );
    // Its status event has come, and changed nothing but that people know.
    crossfade_tests::release::until("people are told of the end", || async {
        let told = case.world.notifications(&execution.arn).await;
        told.iter()
            .any(|one| {
                one.message
                    .contains("no operator answered the hold within 60 s")
            })
            .then_some(())
    })
    .await;
    is_split(&target).await;
    assert_eq!(
        case.world.locks_of(&execution.arn).await.len(),
        2,
        "it keeps its locks"
    );
    (target, execution)
}

async fn left_then_alarm(case: Case) {
    let alarm = case.alarm().await;
    let (target, execution) = left(&case, json!({"analysis": {"alarms": [alarm]}})).await;
    // Still armed.
    case.world.fire(&alarm).await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    // Traffic at once; the execution is dead, so the schedule closes the books.
    case.world.run_schedule().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    case.told(&execution, "ROLLED_BACK").await;
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

/// Before the first shift nothing has been judged, so there is no evidence at all.
async fn left_before_the_first_shift(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({
        "strategy": {"type": "allAtOnce", "approveBefore": 100},
        "approvalTimeoutSeconds": 60, "onApprovalTimeout": "hold",
        "holdTimeoutSeconds": 60, "onHoldTimeout": "leave",
    }));
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.error, "DeploymentHeld", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "HELD", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("no operator answered the hold within 60 s"),
        "{reason}"
    );
    case.ledger_says(&execution, "HELD").await;
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.status, "SUCCEEDED", "{done:?}");
}

async fn left_then_by_hand(case: Case) {
    let (target, execution) = left(&case, json!({})).await;
    // The schedule leaves it, and nobody else gets its locks.
    case.world.run_schedule().await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    assert_eq!(ended.error, "DeploymentInProgress", "{ended:?}");
    is_split(&target).await;
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

async fn no_data_rolls_back(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 30), (100, 0)]),
        "analysis": {"maxBakeSeconds": 60, "onInconclusive": "rollBack"},
    }));
    let (execution, ended) = case.release(&request).await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "noData", "{cause}");
}
