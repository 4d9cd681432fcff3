//! Releases that are taken back because green is worse.

use std::time::{Duration, Instant};

use crossfade_tests::{
    Behaviour, Ended, Execution, Target, Traffic,
    world::{Call, Fault},
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, alone, canary, ended_after_minutes, test},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        // What is measured in seconds runs alone, or it would measure the other tests.
        test(
            "rollback_that_fails_is_told_and_tried_again",
            rollback_fails,
        ),
        alone("alarm_during_a_bake", alarm_during_a_bake),
        alone(
            "alarm_as_a_transaction_holds_the_release",
            alarm_during_a_transaction,
        ),
        alone("alarm_as_a_shift_is_recorded", alarm_as_a_shift_is_recorded),
        test(
            "shift_that_lambda_refuses_takes_off_no_weight",
            shift_refused,
        ),
        test("events_from_elsewhere_move_nothing", events_from_elsewhere),
        test("alarm_during_the_first_shift", alarm_during_the_first_shift),
        test("alarm_during_a_later_shift", alarm_during_a_later_shift),
        test("alarm_delivered_three_times", alarm_three_times),
        alone("alarm_that_is_composite", composite_alarm),
        alone("alarm_within_retention", alarm_within_retention),
        test(
            "alarm_of_an_older_release_undoes_no_newer_one",
            alarm_of_an_older_release,
        ),
        test("error_rate_over_the_threshold", error_rate),
        test(
            "error_rate_of_one_function_takes_both_back",
            error_rate_of_one,
        ),
        test("p99_over_the_threshold", p99),
        test("throttles_over_the_threshold", throttles),
    ]
}

/// The release was taken back: all traffic is on version 1, and the cause says why.
pub(crate) async fn rolled_back(
    case: &Case,
    target: &Target,
    execution: &Execution,
    ended: &Ended,
) -> Value {
    assert_eq!(ended.status, "FAILED", "{ended:?}");
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "ROLLED_BACK", "{ended:?}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
    assert!(
        target.versions().await.contains(&"2".to_owned()),
        "green is kept for debugging"
    );
    case.ledger_says(execution, "ROLLED_BACK").await;
    case.told(execution, "ROLLED_BACK").await;
    ended.cause.clone()
}

/// Fires an alarm and measures until all traffic is on version 1.
async fn fire_and_wait(case: &Case, target: &Target, alarm: &str) -> Duration {
    let fired = Instant::now();
    case.world.fire(alarm).await;
    case.alias_is(target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    fired.elapsed()
}

async fn alarm_during_a_bake(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": canary(&[(10, 3600), (100, 60)]),
        // The execution looks again after 6 seconds: the alarm's event has to be quicker.
        "analysis": {"alarms": [alarm], "checkEverySeconds": 600},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    let took = fire_and_wait(&case, &target, &alarm).await;
    assert!(took < Duration::from_secs(2), "on blue after {took:?}");
    assert!(
        execution.ended().await.is_none(),
        "traffic did not wait for the execution"
    );

    let ended = execution.wait().await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
    assert_eq!(
        cause["evidence"]["alarms"][0]["name"],
        alarm.as_str(),
        "{cause}"
    );
    assert!(
        cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("3 datapoints")),
        "{cause}"
    );
    // The graph shows what happened.
    let states = execution.states_entered().await;
    assert_eq!(
        states[states.len() - 3..],
        ["RollbackDeployment", "Decide", "DeploymentRolledBack"]
    );
    println!("alarm to blue: {} ms", took.as_millis());
}

/// Lambda delivers an alarm's event again a minute after a failure: traffic is on blue before.
async fn alarm_during_a_transaction(case: Case) {
    let (target, alarm, execution, _users) = baking(&case, &[(10, 3600), (100, 60)]).await;
    // As a shift's transaction is under way: DynamoDB refuses to write to the release, and the alias's revision
    // is not the one that the release had.
    let checker = case.world.stack.function("restore-blue");
    let conflict = Fault::new("transaction-conflict").on("dynamodb", "UpdateItem");
    let conflict = case.world.fault(conflict.by(&checker)).await;
    let stale = Fault::refuse(
        412,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id.",
    );
    let stale = stale.on("lambda", "UpdateAlias").by(&checker);
    let stale = case.world.fault(stale.about(&target.name)).await;
    let invoked = case.world.invoked().await;
    fire_and_wait(&case, &target, &alarm).await;
    at_the_first_try(&case, invoked).await;
    let struck = (
        case.world.struck(conflict).await,
        case.world.struck(stale).await,
    );
    assert_eq!(struck, (1, 1));
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
}

/// The same with a transaction that really is under way.
async fn alarm_as_a_shift_is_recorded(case: Case) {
    let steps = [(10, 60), (50, 3600), (100, 60)];
    let (target, alarm, execution, _users) = baking(&case, &steps).await;
    let shift = case.world.stack.function("shift-traffic");
    let hold = Fault::new("hold").on("dynamodb", "TransactWriteItems");
    let hold = case.world.fault(hold.by(&shift).seconds(0.3)).await;
    crossfade_tests::release::until("the shift's transaction", || async {
        (case.world.struck(hold).await > 0).then_some(())
    })
    .await;
    let (since, invoked) = (case.world.now().await, case.world.invoked().await);
    fire_and_wait(&case, &target, &alarm).await;
    at_the_first_try(&case, invoked).await;
    let calls = case.world.our_calls(since).await;
    let refused = |call: &&Call| call.error.as_deref() == Some("TransactionConflictException");
    println!(
        "refused by the transaction: {}",
        calls.iter().filter(refused).count()
    );
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
}

/// A release that bakes, and looks at its alarm only when its event says so.
async fn baking(case: &Case, steps: &[(u8, u32)]) -> (Target, String, Execution, Traffic) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": canary(steps),
        "analysis": {"alarms": [alarm], "checkEverySeconds": 600},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    (target, alarm, execution, users)
}

/// The one invocation of the rollback checker since then did not fail.
async fn at_the_first_try(case: &Case, invoked: u64) {
    let checker = case.world.stack.function("restore-blue");
    let tries = crossfade_tests::release::until("the end of the event's invocation", || async {
        let mut tries = case.world.invocations(invoked).await;
        tries.retain(|one| one.function == checker);
        (!tries.is_empty()).then_some(tries)
    })
    .await;
    assert!(
        !tries[0].error,
        "the event is to be delivered again: {tries:?}"
    );
}

/// Events of other accounts, Regions and state machines are nobody's, by the bus and directly.
async fn events_from_elsewhere(case: Case) {
    const OURS: [(&str, &str); 2] = [("account", "000000000000"), ("region", "us-east-1")];
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 10.0);
    let request = case.request(json!({
        "strategy": canary(&[(10, 3600), (100, 60)]),
        "analysis": {"alarms": [alarm], "checkEverySeconds": 3600},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    let fired = json!({
        "source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change",
        "resources": [format!("arn:aws:cloudwatch:us-east-1:000000000000:alarm:{alarm}")],
        "detail": {
            "alarmName": alarm, "state": {"value": "ALARM", "reason": "theirs"},
            "previousState": {"value": "OK"},
        },
    });
    let ended = json!({
        "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
        "resources": [execution.arn],
        "detail": {
            "executionArn": execution.arn, "stateMachineArn": case.world.stack.state_machine,
            "status": "ABORTED", "input": request.to_string(),
        },
    });
    let since = case.world.now().await;
    for (function, event) in [("restore-blue", &fired), ("rollback", &ended)] {
        for (field, ours, theirs) in [
            ("account", OURS[0].1, "111122223333"),
            ("region", OURS[1].1, "eu-north-1"),
        ] {
            let mut forwarded = event.clone();
            forwarded[field] = json!(theirs);
            case.suite()
                .local
                .control()
                .post("events", &forwarded)
                .await;
            // As a wrong rule would hand it on; and with nothing but an ARN inside that is foreign.
            let mut direct = event.clone();
            for (field, value) in OURS {
                direct[field] = json!(value);
            }
            direct["time"] = json!("2026-11-21T03:12:40Z");
            let mut inside: Value =
                serde_json::from_str(&direct.to_string().replace(ours, theirs)).expect("JSON");
            inside[field] = json!(ours);
            direct[field] = json!(theirs);
            let own = Target::existing(&case.suite().local, &case.world.stack.function(function));
            for event in [direct, inside] {
                let answer = own.invoke("$LATEST", &event).await.expect("it is invoked");
                assert_eq!(answer.answer, json!({}), "{event}");
            }
        }
    }
    crate::case::a_moment().await;
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!(alias.share("2") > 0.09, "{alias:?}");
    let by = ["restore-blue", "rollback"].map(|name| case.world.stack.function(name));
    let calls = case.world.our_calls(since).await;
    let about = |call: &&Call| {
        call.resource.as_deref() == Some(&case.function_name())
            && call
                .caller
                .as_ref()
                .is_some_and(|caller| by.contains(caller))
    };
    let written: Vec<_> = calls.iter().filter(about).collect();
    assert!(written.is_empty(), "{written:?}");
    println!("8 events from elsewhere: nothing moved");

    // The same alarm of this account and Region does.
    fire_and_wait(&case, &target, &alarm).await;
    let ended = execution.wait().await;
    drop(users);
    rolled_back(&case, &target, &execution, &ended).await;
}

/// The alarm fires while a shift's write to the alias is on its way.
async fn alarm_during_a_shift(case: &Case, nth: u32) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 30.0);
    // The write is lost after a while: the shift's function tries again, and by then it is too late.
    let shift = case.world.stack.function("shift-traffic");
    let slow = Fault::new("silence")
        .on("lambda", "UpdateAlias")
        .by(&shift)
        .about(&target.name);
    let slow = case.world.fault(slow.after(nth - 1).seconds(1.5)).await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 60), (50, 60), (100, 60)]),
        "analysis": {"alarms": [alarm]},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("ShiftTraffic", nth as usize).await;
    crossfade_tests::release::until("the shift that is slow", || async {
        (case.world.struck(slow).await > 0).then_some(())
    })
    .await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    let cause = rolled_back(case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
    assert!(
        cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains(&alarm)),
        "{cause}"
    );
    drop(users);
}

async fn alarm_during_the_first_shift(case: Case) {
    alarm_during_a_shift(&case, 1).await;
}

async fn alarm_during_a_later_shift(case: Case) {
    alarm_during_a_shift(&case, 2).await;
}

async fn alarm_three_times(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let rule = json!({"detailType": "CloudWatch Alarm State Change", "do": "duplicate", "count": 3,
        "match": {"alarmName": alarm, "state.value": "ALARM"}});
    case.world.event_rule(rule).await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 600), (100, 60)]), "analysis": {"alarms": [alarm]},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.4)
        .await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    drop(users);
    rolled_back(&case, &target, &execution, &ended).await;
    let rules = case.world.control.get("events/rules").await;
    let rule = rules["rules"]
        .as_array()
        .expect("it is a list")
        .iter()
        .find(|rule| rule["match"]["alarmName"] == alarm.as_str())
        .expect("ours is there")
        .clone();
    assert_eq!(
        rule["hits"], 1,
        "the event was delivered three times: {rule}"
    );
    let told = case.world.notifications(&execution.arn).await;
    assert_eq!(told.len(), 1, "people were told once: {told:?}");
}

async fn composite_alarm(case: Case) {
    let target = case.blue().await;
    let child = case.alarm().await;
    let composite = format!("{}-composite", case.name);
    case.world
        .make_composite_alarm(&composite, &format!("ALARM(\"{child}\")"))
        .await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": canary(&[(10, 600), (100, 60)]), "analysis": {"alarms": [composite]},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    let took = fire_and_wait(&case, &target, &child).await;
    assert!(took < Duration::from_secs(2), "on blue after {took:?}");
    let ended = execution.wait().await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(
        cause["evidence"]["alarms"][0]["name"],
        composite.as_str(),
        "{cause}"
    );
}

async fn alarm_within_retention(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let took = fire_and_wait(&case, &target, &alarm).await;
    assert!(took < Duration::from_secs(2), "on blue after {took:?}");
    case.ledger_says(&execution, "ROLLED_BACK").await;
    let told = case.told(&execution, "ROLLED_BACK").await;
    assert!(told.message.contains(&alarm), "{}", told.message);
}

async fn alarm_of_an_older_release(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let (older, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    target.update(Behaviour::healthy("newer")).await;
    let (newer, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "3").await;
    let before = target.look(ALIAS).await;
    let since = case.world.now().await;
    case.world.fire(&alarm).await;
    // The checker has looked and found that there is something newer.
    crossfade_tests::release::until("the checker's look", || async {
        let calls = case.world.our_calls(since).await;
        // The newer one's retention may have ended the older one's watch by then.
        let checker = case.world.stack.function("restore-blue");
        let asks = |call: &Call| call.action == "Query" && call.caller.as_ref() == Some(&checker);
        calls.iter().any(asks).then_some(())
    })
    .await;
    crate::case::a_moment().await;
    assert_eq!(target.look(ALIAS).await, before);
    for execution in [older, newer] {
        assert_eq!(
            case.world.deployment_status(&execution.arn).await,
            "PROMOTED"
        );
    }
}

async fn error_rate(case: Case) {
    let target = case.blue_and(Behaviour::failing("green", 60.0)).await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 60)]),
        "analysis": {"maxErrorRatePercent": 5, "minInvocations": 5},
    }));
    let (execution, ended) = case.release(&request).await;
    let met = users.stop().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    // Green fails so often that the test of green against blue knows as soon as the ceiling does.
    let by = cause["evidence"]["decidedBy"].as_str().unwrap();
    assert!(["errorTest", "errorCeiling"].contains(&by), "{cause}");
    let seen = &cause["evidence"]["judge"]["green"];
    assert!(seen["errors"].as_u64() > Some(0), "{seen}");
    assert!(
        seen["errors"].as_u64() <= Some(met.of("2").errors),
        "{seen}, {:?}",
        met.by_version
    );
    assert_eq!(met.of("1").errors, 0);
}

async fn error_rate_of_one(case: Case) {
    let good = case.blue().await;
    let bad_name = format!("{}-b", case.function_name());
    let bad = case
        .function_called(&bad_name, Behaviour::healthy("blue"))
        .await;
    bad.publish().await;
    bad.alias(ALIAS, "1").await;
    bad.update(Behaviour::failing("green", 100.0)).await;
    let (users, others) = (case.users(&good, 20.0), case.users(&bad, 20.0));
    let mut request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 60)]), "analysis": {"maxErrorRatePercent": 5},
    }));
    let functions = request["functions"].as_array_mut().expect("it is a list");
    functions.push(json!({"functionName": bad_name, "alias": ALIAS}));
    let (execution, ended) = case.release(&request).await;
    drop((users, others));
    rolled_back(&case, &good, &execution, &ended).await;
    rolled_back(&case, &bad, &execution, &ended).await;
    assert!(
        ended.cause["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains(&bad_name)),
        "{ended:?}"
    );
}

async fn p99(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 250)).await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 30_000), (100, 60)]),
        "analysis": {"maxP99Ms": 200, "minInvocations": 3, "checkEverySeconds": 200, "maxBakeSeconds": null},
    }));
    let execution = case.start(&request).await;
    // It takes two minutes that are over the ceiling: a slow start is not a slow version.
    let ended = ended_after_minutes(&execution).await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "p99Ceiling", "{cause}");
}

async fn throttles(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 500)).await;
    target
        .lambda()
        .put_function_concurrency()
        .function_name(&target.name)
        .reserved_concurrent_executions(1)
        .send()
        .await
        .expect("concurrency can be reserved");
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": canary(&[(100, 60)]), "analysis": {"maxThrottleRatePercent": 10, "minInvocations": 3},
    }));
    let (execution, ended) = case.release(&request).await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "throttleCeiling", "{cause}");
    assert!(
        cause["evidence"]["judge"]["green"]["throttles"].as_u64() > Some(0),
        "{cause}"
    );
}

/// The alias has changed since it was read, and Lambda refuses what is then written: only the rollback may take
/// green's weight off.
async fn shift_refused(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({"strategy": canary(&[(10, 300), (50, 60), (100, 60)])}));
    let execution = case.start(&request).await;
    case.alias_is(&target, "split", |alias| alias.share("2") > 0.09)
        .await;
    let shift_traffic = case.world.stack.function("shift-traffic");
    for (status, code) in [
        (412, "PreconditionFailedException"),
        (400, "InvalidParameterValueException"),
    ] {
        let fault = Fault::refuse(status, code, "refused by the test");
        let fault = fault.on("lambda", "UpdateAlias").by(&shift_traffic);
        case.world.fault(fault.about(&target.name)).await;
    }
    let ended = execution.wait().await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let reason = cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("InvalidParameterValue"), "{cause}");
    let calls = case.world.our_calls(case.since).await;
    let shifts = calls.iter().filter(|call| {
        call.action == "UpdateAlias" && call.caller.as_deref() == Some(&*shift_traffic)
    });
    let shifts = shifts.filter(|call| call.resource.as_deref() == Some(&*target.name));
    let asked: Vec<_> = shifts.filter_map(|call| call.asked.as_ref()).collect();
    assert!(asked.len() >= 3, "{asked:?}");
    for asked in asked {
        let weights = &asked["RoutingConfig"]["AdditionalVersionWeights"];
        assert!(weights["2"].is_number(), "{asked}");
    }
}

async fn rollback_fails(case: Case) {
    let target = case.blue_and(Behaviour::failing("green", 100.0)).await;
    let users = case.users(&target, 20.0);
    let rollback = case.world.stack.function("rollback");
    let denied = Fault::new("access-denied")
        .on("lambda", "UpdateAlias")
        .by(&rollback)
        .about(&target.name);
    let denied = case.world.fault(denied.always()).await;
    let request = case.request(json!({
        "strategy": canary(&[(50, 30), (100, 60)]), "analysis": {"maxErrorRatePercent": 5},
    }));
    let execution = case.start(&request).await;
    // Forty tries, ever further apart.
    let ended = ended_after_minutes(&execution).await;
    assert_eq!(ended.error, "RollbackFailed", "{ended:?}");
    drop(users);
    let told = case.told(&execution, "HELD").await;
    assert!(
        told.message.contains("AccessDeniedException"),
        "{}",
        told.message
    );
    // The schedule makes it whole once it is allowed to.
    case.world.mend(denied).await;
    case.world.run_schedule().await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    case.told(&execution, "ROLLED_BACK").await;
}
