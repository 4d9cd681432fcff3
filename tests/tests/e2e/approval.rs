//! A person approves, rejects, or does not come; wishes of people for releases that wait for nobody.

use crossfade_tests::{Execution, Target, release::until};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, merge, test},
    people::is_split,
    promoted::{promoted, weights},
    rolled_back::rolled_back,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("approval_is_on_record", approved),
        test("approval_before_the_first_step", before_the_first),
        test("approval_denied_holds_and_is_resumed", denied_and_resumed),
        test(
            "approval_denied_holds_and_nobody_comes",
            denied_and_left_alone,
        ),
        test("approval_denied_rolls_back", denied_rolls_back),
        test("approval_timed_out_holds", timed_out_holds),
        test("approval_timed_out_rolls_back", timed_out_rolls_back),
        test("approval_timed_out_proceeds", timed_out_proceeds),
        test("approval_ended_by_an_alarm", ended_by_an_alarm),
        test("approval_answered_twice", answered_twice),
        test("approval_answered_by_no_answer", no_answer),
        test("approval_ended_by_a_stop", stopped),
        test("approval_ended_by_a_rollback_by_hand", by_hand),
    ]
}

/// A release that asks before its second step.
async fn asked(case: &Case, more: Value) -> (Target, Execution, String) {
    let target = case.blue().await;
    let mut steps = canary(&[(10, 0), (100, 0)]);
    steps["approveBefore"] = json!(100);
    let mut request = case.request(json!({"strategy": steps}));
    merge(&mut request, more);
    let execution = case.start(&request).await;
    execution.wait_for_state("AwaitApproval", 1).await;
    let told = case.told(&execution, "HELD").await;
    assert!(
        told.message.contains("approval is required"),
        "{}",
        told.message
    );
    let token = told.token().expect("it says how to answer").to_owned();
    is_split(&target).await;
    (target, execution, token)
}

/// The token of the hold that follows an approval.
async fn then_held(case: &Case, execution: &Execution, says: &str) -> String {
    execution.wait_for_state("Hold", 1).await;
    until("people are told of the hold", || async {
        let told = case.world.notifications(&execution.arn).await;
        let held = told
            .into_iter()
            .find(|one| one.message.starts_with("held with"))?;
        assert!(held.message.contains(says), "{}", held.message);
        Some(held.token().expect("it says how to answer").to_owned())
    })
    .await
}

fn words(outcome: &Value) -> Vec<&str> {
    outcome["answers"]
        .as_array()
        .map(|answers| {
            answers
                .iter()
                .filter_map(|a| a["decision"].as_str())
                .collect()
        })
        .unwrap_or_default()
}

fn reason(outcome: &Value) -> &str {
    outcome["reason"].as_str().unwrap_or_default()
}

async fn approved(case: Case) {
    let (target, execution, token) = asked(&case, json!({})).await;
    case.ledger_says(&execution, "HELD").await;
    let answer = json!({"decision": "approve", "by": "Ada", "reason": "looks good"});
    execution.answer_with(&token, &answer).await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
    let answers = &ended.output["answers"];
    assert_eq!(answers[0]["by"], "Ada", "{answers}");
    assert_eq!(answers[0]["reason"], "looks good", "{answers}");
    assert_eq!(answers[0]["weight"], 10, "{answers}");
    assert_eq!(words(&ended.output), ["approve"]);
}

async fn before_the_first(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({"strategy": {"type": "allAtOnce", "approveBefore": 100}}));
    let execution = case.start(&request).await;
    execution.wait_for_state("AwaitApproval", 1).await;
    let told = case.told(&execution, "HELD").await;
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "no weight before: {alias:?}");
    assert!(
        told.message.contains("goes on to 100 % on green"),
        "{}",
        told.message
    );
    execution.answer(told.token().unwrap(), "approve").await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [100]);
}

async fn denied_and_resumed(case: Case) {
    let (target, execution, token) = asked(&case, json!({})).await;
    let answer = json!({"decision": "reject", "by": "Ada", "reason": "too late in the day"});
    execution.answer_with(&token, &answer).await;
    let token = then_held(&case, &execution, "Ada rejected it: too late in the day").await;
    is_split(&target).await;
    execution.answer(&token, "resume").await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(words(&ended.output), ["reject", "resume"]);
}

async fn denied_and_left_alone(case: Case) {
    let (target, execution, token) = asked(&case, json!({"holdTimeoutSeconds": 60})).await;
    execution.answer(&token, "reject").await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(
        reason(&cause).contains("no operator answered the hold within 60 s"),
        "{cause}"
    );
    assert_eq!(words(&cause), ["reject"]);
}

async fn denied_rolls_back(case: Case) {
    let (target, execution, token) = asked(&case, json!({"onDenied": "rollBack"})).await;
    let answer = json!({"decision": "reject", "by": "Ada"});
    execution.answer_with(&token, &answer).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(reason(&cause).contains("Ada rejected it"), "{cause}");
}

async fn timed_out_holds(case: Case) {
    let (target, execution, _) = asked(&case, json!({"approvalTimeoutSeconds": 60})).await;
    let token = then_held(
        &case,
        &execution,
        "no operator answered the approval in time",
    )
    .await;
    is_split(&target).await;
    execution.answer(&token, "rollBack").await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(
        reason(&cause).contains("an operator asked to roll it back"),
        "{cause}"
    );
    assert_eq!(words(&cause), ["silence", "rollBack"]);
}

async fn timed_out_rolls_back(case: Case) {
    let more = json!({"approvalTimeoutSeconds": 60, "onApprovalTimeout": "rollBack"});
    let (target, execution, _) = asked(&case, more).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(
        reason(&cause).contains("no operator answered the approval in time"),
        "{cause}"
    );
}

async fn timed_out_proceeds(case: Case) {
    let more = json!({"approvalTimeoutSeconds": 60, "onApprovalTimeout": "proceed"});
    let (target, execution, _) = asked(&case, more).await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(words(&ended.output), ["silence"]);
}

async fn ended_by_an_alarm(case: Case) {
    let alarm = case.alarm().await;
    let (target, execution, token) = asked(&case, json!({"analysis": {"alarms": [alarm]}})).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
    assert!(
        !execution.takes(&token, "approve").await,
        "the wait is over"
    );
}

async fn answered_twice(case: Case) {
    let (target, execution, token) = asked(&case, json!({})).await;
    assert!(execution.takes(&token, "approve").await);
    assert!(
        !execution.takes(&token, "reject").await,
        "a token is answered once"
    );
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
}

async fn no_answer(case: Case) {
    let (target, execution, token) = asked(&case, json!({})).await;
    execution.answer(&token, "yes, please").await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert!(reason(&cause).contains("unrecognized answer"), "{cause}");
}

async fn stopped(case: Case) {
    let (target, execution, _) = asked(&case, json!({})).await;
    execution.stop().await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn by_hand(case: Case) {
    let (target, execution, _) = asked(&case, json!({})).await;
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
}
