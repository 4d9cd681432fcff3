//! Releases that never begin: green gets no traffic.

use crossfade_tests::{Behaviour, Ended, Execution, Target};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, apart, canary, test},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("refused_by_a_failing_smoke_test", smoke_test),
        test("refused_by_a_crash", crash),
        test("refused_by_a_slow_cold_start", cold_start),
        test("validation_prewarms_and_measures_the_cold_start", prewarm),
        test("refused_because_of_a_preexisting_alarm", preexisting_alarm),
        test("preexisting_alarm_ignored", preexisting_alarm_ignored),
        test("refused_because_of_a_missing_alarm", missing_alarm),
        test("refused_because_of_another_role", role),
        test("refused_because_the_alias_is_split", split_before),
        test(
            "refused_because_the_alias_is_on_latest_published",
            on_latest_published,
        ),
        test("refused_because_green_failed_meanwhile", failed_meanwhile),
        test("refused_because_the_code_is_not_there", no_code),
        test("first_release_that_fails_leaves_no_alias", first_release),
        apart("bad_requests_write_nothing", bad_requests),
    ]
}

/// The release ended before any traffic moved: the alias is as it was, revision included.
async fn refused(target: &Target, ended: &Ended, execution: &Execution, error: &str) -> String {
    assert_eq!(ended.status, "FAILED", "{ended:?}");
    assert_eq!(ended.error, error, "{ended:?}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"));
    let states = execution.states_entered().await;
    assert!(!states.contains(&"ShiftTraffic".to_owned()), "{states:?}");
    ended.cause["reason"]
        .as_str()
        .expect("a cause has a reason")
        .to_owned()
}

fn with_smoke_test(case: &Case, expect: &Value) -> Value {
    let mut request = case.request(json!({"strategy": canary(&[(10, 60), (100, 60)])}));
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "payload": {"path": "/health"}, "expect": expect}]);
    request
}

/// Gives a function the version without a number that functions of Managed Instances have.
pub(crate) async fn published_latest(case: &Case, target: &Target) {
    let control = case.suite().local.control();
    let asked = json!({"function": target.name});
    control.post("versions/published", &asked).await;
}

async fn on_latest_published(case: Case) {
    let target = case.function(Behaviour::healthy("managed")).await;
    published_latest(&case, &target).await;
    target.alias(ALIAS, "$LATEST.PUBLISHED").await;
    let before = target.look(ALIAS).await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("is on $LATEST.PUBLISHED"), "{reason}");
    assert!(reason.contains("numbered version"), "{reason}");
    assert_eq!(target.look(ALIAS).await, before);
}

/// Lambda answers 409, as it does to an update in progress, which would be waited for.
async fn failed_meanwhile(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({"strategy": {"type": "allAtOnce", "approveBefore": 100}}));
    let execution = case.start(&request).await;
    execution.wait_for_state("AwaitApproval", 1).await;
    let told = case.told(&execution, "HELD").await;
    let token = told.token().expect("it says how to answer").to_owned();
    let failed = json!({"function": target.name, "version": "2", "state": "Failed", "reason": "no subnet",
        "reasonCode": "InvalidSubnet"});
    let control = case.suite().local.control();
    control.post("versions/state", &failed).await;
    execution.takes(&token, "approve").await;
    let ended = execution.wait().await;
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("version 2 is Failed (InvalidSubnet: no subnet)"),
        "{reason}"
    );
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"));
    let calls = case.world.our_calls(case.since).await;
    let shift = case.world.stack.function("shift-traffic");
    let tries = calls.iter().filter(|call| {
        let about = call.resource.as_deref() == Some(&target.name);
        about && call.action == "UpdateAlias" && call.caller.as_deref() == Some(&shift)
    });
    assert_eq!(tries.count(), 1);
}

async fn smoke_test(case: Case) {
    let green = Behaviour {
        status_code: Some(503),
        ..Behaviour::healthy("green")
    };
    let target = case.blue_and(green).await;
    let users = case.users(&target, 30.0);
    let before = target.look(ALIAS).await;
    let request = with_smoke_test(&case, &json!({"statusCode": 200}));
    let (execution, ended) = case.release(&request).await;
    let met = users.stop().await;
    let reason = refused(&target, &ended, &execution, "ValidationFailed").await;
    assert!(reason.contains("statusCode is 503, not 200"), "{reason}");
    assert_eq!(
        target.look(ALIAS).await,
        before,
        "the alias was not written to"
    );
    assert_eq!(met.of("2").requests, 0, "green never got weight");
    let proof = &ended.cause["evidence"]["validation"][0];
    assert_eq!(proof["passed"], false, "{proof}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED");
}

async fn crash(case: Case) {
    let green = Behaviour {
        crash: true,
        ..Behaviour::healthy("green")
    };
    let target = case.blue_and(green).await;
    let request = with_smoke_test(&case, &json!({}));
    let (execution, ended) = case.release(&request).await;
    let reason = refused(&target, &ended, &execution, "ValidationFailed").await;
    assert!(reason.contains("the function failed"), "{reason}");
}

async fn cold_start(case: Case) {
    let green = Behaviour {
        init_ms: 400,
        ..Behaviour::healthy("green")
    };
    let target = case.blue_and(green).await;
    let mut request = with_smoke_test(&case, &json!({}));
    request["functions"][0]["maxColdStartMs"] = json!(150);
    let (execution, ended) = case.release(&request).await;
    let reason = refused(&target, &ended, &execution, "ValidationFailed").await;
    assert!(reason.contains("a cold start took"), "{reason}");
    assert!(reason.contains("at most 150 ms"), "{reason}");
}

async fn prewarm(case: Case) {
    // Slow enough that ten at once need ten environments.
    let target = case.blue_and(Behaviour::slow("green", 300)).await;
    let mut request = case.request(json!({}));
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "expect": {"statusCode": 200}}]);
    request["functions"][0]["prewarm"] = json!(6);
    request["functions"][0]["maxColdStartMs"] = json!(8000);
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let proofs = ended.output["evidence"]["validation"]
        .as_array()
        .expect("they are kept")
        .clone();
    let cold = proofs
        .iter()
        .find(|proof| proof["test"] == "cold start")
        .expect("it was measured");
    assert!(
        cold["coldStartMs"].as_f64().is_some_and(|ms| ms > 0.0),
        "{cold}"
    );
    // The first users, as many as were prewarmed, meet no cold start.
    let firsts = (0..6).map(|_| async {
        let done = target
            .lambda()
            .invoke()
            .function_name(&target.name)
            .qualifier(ALIAS)
            .log_type(aws_sdk_lambda::types::LogType::Tail)
            .send()
            .await
            .expect("the alias can be invoked");
        done.log_result.expect("a tail was asked for")
    });
    for tail in futures::future::join_all(firsts).await {
        // Base64 of "Init Duration" in any alignment is not searched for: the tail is decoded.
        let tail = decode(&tail);
        assert!(tail.contains("REPORT"), "{tail}");
        assert!(
            !tail.contains("Init Duration"),
            "a user met a cold start: {tail}"
        );
    }
}

/// Base64, as far as a log's tail needs it.
fn decode(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = LETTERS
            .iter()
            .position(|one| *one == letter)
            .expect("it is base64");
        bits = (bits << 6) | u32::try_from(value).expect("it is below 64");
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).expect("it is a byte"));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn preexisting_alarm(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    case.world.fire(&alarm).await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let (execution, ended) = case.release(&request).await;
    let reason = refused(&target, &ended, &execution, "ValidationFailed").await;
    assert!(reason.contains(&alarm), "{reason}");
}

async fn preexisting_alarm_ignored(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    case.world.fire(&alarm).await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 0)]),
        "analysis": {"alarms": [alarm], "preexistingAlarms": "ignore"},
    }));
    let (_, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "2").await;
}

async fn missing_alarm(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({"analysis": {"alarms": ["no-such-alarm"]}}));
    let (execution, ended) = case.release(&request).await;
    let reason = refused(&target, &ended, &execution, "InvalidRequest").await;
    assert!(reason.contains("analysis.alarms[0]"), "{reason}");
    assert_eq!(target.versions().await, ["1"], "nothing was published");
}

async fn role(case: Case) {
    let target = case.blue().await;
    target
        .lambda()
        .update_function_configuration()
        .function_name(&target.name)
        .role("arn:aws:iam::000000000000:role/crossfade-another")
        .send()
        .await
        .expect("the role can be changed");
    target.updated().await;
    let (execution, ended) = case.release(&case.request(json!({}))).await;
    let reason = refused(&target, &ended, &execution, "ValidationFailed").await;
    assert!(reason.contains("role/crossfade-another"), "{reason}");
}

async fn split_before(case: Case) {
    let target = case.blue().await;
    assert_eq!(target.publish().await, "2");
    target.move_alias(ALIAS, "1", Some(("2", 0.25))).await;
    let before = target.look(ALIAS).await;
    target.update(Behaviour::healthy("third")).await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    assert_eq!(target.look(ALIAS).await, before, "their value stands");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED");
}

async fn no_code(case: Case) {
    let target = case.blue().await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] =
        json!({"s3Bucket": crossfade_tests::stack::ARTIFACTS, "s3Key": "no/such.zip"});
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.status, "FAILED");
    let reason = refused(&target, &ended, &execution, "InvalidRequest").await;
    let told = "functions[0].code.s3Key: there is no object \"no/such.zip\" in bucket";
    assert!(reason.starts_with(told), "{reason}");
    assert_eq!(target.versions().await, ["1"], "nothing was published");
}

async fn first_release(case: Case) {
    let target = case.function(Behaviour::failing("first", 100.0)).await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({
        "strategy": {"type": "allAtOnce", "bakeSeconds": 60},
        "analysis": {"maxErrorRatePercent": 5},
    }));
    let (execution, ended) = case.release(&request).await;
    let met = users.stop().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert!(
        met.of("1").errors > 0,
        "green did serve: {:?}",
        met.by_version
    );
    assert_eq!(target.look(ALIAS).await, None, "the alias is gone again");
    assert_eq!(
        target.versions().await,
        ["1"],
        "green is kept for debugging"
    );
    let states = execution.states_entered().await;
    assert!(states.contains(&"ShiftTraffic".to_owned()), "{states:?}");
}

async fn bad_requests(case: Case) {
    #[derive(serde::Deserialize)]
    struct Bad {
        name: String,
        request: Value,
        problems: serde_json::Map<String, Value>,
    }
    let bad: Vec<Bad> =
        serde_json::from_str(include_str!("../../../shared/tests/bad_requests.json"))
            .expect("the list is JSON");
    // What Step Functions itself would refuse to take never comes to us.
    let bad: Vec<Bad> = bad
        .into_iter()
        .filter(|bad| bad.request.to_string().len() < 200_000)
        .collect();
    assert!(bad.len() >= 40, "{}", bad.len());

    let since = case.world.now().await;
    let ended: Vec<(Bad, Ended)> = stream::iter(bad)
        .map(|bad| async {
            let (_, ended) = case.release(&bad.request).await;
            (bad, ended)
        })
        .buffer_unordered(8)
        .collect()
        .await;
    for (bad, ended) in &ended {
        assert_eq!(ended.error, "InvalidRequest", "{}: {ended:?}", bad.name);
        assert_eq!(
            ended.cause["deploymentStatus"], "REJECTED",
            "{}: {ended:?}",
            bad.name
        );
        let reason = ended.cause["reason"]
            .as_str()
            .expect("a cause has a reason");
        for (path, words) in &bad.problems {
            let line = reason
                .lines()
                .find(|line| line.starts_with(&format!("{path}: ")))
                .unwrap_or_else(|| panic!("{}: {path} is not named in {reason:?}", bad.name));
            let words = words.as_str().expect("words are text");
            assert!(
                line.contains(words),
                "{}: {line:?} says nothing of {words:?}",
                bad.name
            );
        }
    }
    let wrote: Vec<_> = case
        .world
        .our_calls(since)
        .await
        .into_iter()
        .filter(|call| call.writes() && call.took_effect())
        // People and programs are told.
        .filter(|call| !["Publish", "PutEvents"].contains(&call.action.as_str()))
        // No request leads to prune: it ends the retention of another test's release.
        .filter(|call| call.caller.as_deref() != Some("crossfade-prune"))
        .collect();
    assert!(wrote.is_empty(), "{wrote:?}");
    println!("bad requests: {} refused, no write", ended.len());
}
