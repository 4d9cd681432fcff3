//! Gates before the first shift: each measures, or fails and says why.

use crossfade_tests::{Behaviour, Ended, Target, api::Kind};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, test},
    promoted::promoted,
    stage_wiring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("gates_wait_as_long_as_a_smoke_test_allows", a_minute),
        test("gates_measure_a_restoration", restoration),
        test("gates_make_a_fresh_environment", fresh),
        test("gates_fail_what_the_log_hides", hidden),
        test("gates_fail_what_has_no_room", no_room),
        test("gates_never_ask_twice", once),
        test("gates_wait_for_throttles", throttled),
        test("gates_wake_an_idle_version", idle),
        test("gates_wake_what_an_idle_function_publishes", idle_function),
        test(
            "gates_wake_an_idle_function_for_its_front_door",
            idle_behind_a_door,
        ),
        test("gates_refuse_a_failed_version_at_once", failed),
        test(
            "gates_pin_an_alias_to_an_active_version",
            pinned_when_active,
        ),
        test("gates_prewarm_what_users_leave", leaves_room),
        test("gates_read_answers_as_front_doors_do", answers),
        test("gates_name_the_tenant", tenant),
    ]
}

/// A request with one smoke test, that expects this.
fn smoke(case: &Case, expect: &Value) -> Value {
    let mut request = case.request(json!({}));
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "payload": {"path": "/health"}, "expect": expect}]);
    request
}

fn rejected(ended: &Ended) -> String {
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    let reason = ended.cause["reason"].as_str();
    reason.expect("a cause has a reason").to_owned()
}

/// How often a version ran.
async fn ran(case: &Case, version: &str) -> usize {
    let path = format!("invocations?function={}", case.function_name());
    let said = case.suite().local.control().get(&path).await;
    let all = said["invocations"].as_array().expect("it is a list");
    all.iter().filter(|one| one["version"] == version).count()
}

/// Puts a version in a state; what else is asked for by `more`.
async fn state(case: &Case, target: &Target, more: Value) {
    let mut asked = json!({"function": target.name});
    crate::case::merge(&mut asked, more);
    let control = case.suite().local.control();
    control.post("versions/state", &asked).await;
}

async fn function_timeout(target: &Target, seconds: i32) {
    let update = target.lambda().update_function_configuration();
    let update = update.function_name(&target.name).timeout(seconds);
    update.send().await.expect("the timeout can be changed");
    target.updated().await;
}

async fn reserve(target: &Target, concurrency: i32) {
    let reserve = target.lambda().put_function_concurrency();
    let reserve = reserve.function_name(&target.name);
    let reserve = reserve.reserved_concurrent_executions(concurrency);
    reserve.send().await.expect("concurrency can be reserved");
}

/// Longer than any client waits that was not told to.
async fn a_minute(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 61_000)).await;
    function_timeout(&target, 180).await;
    let request = smoke(&case, &json!({"statusCode": 200, "maxDurationMs": 120_000}));
    let execution = case.start(&request).await;
    tokio::time::sleep(std::time::Duration::from_secs(45)).await;
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
    let proof = &ended.output["evidence"]["validation"][0];
    assert!(proof["durationMs"].as_f64() > Some(61_000.0), "{proof}");
    assert_eq!(ran(&case, "2").await, 1);
}

async fn once(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 3000)).await;
    let request = smoke(&case, &json!({"maxDurationMs": 1000}));
    let (_, ended) = case.release(&request).await;
    let reason = rejected(&ended);
    assert!(reason.contains("at most 1000 ms are allowed"), "{reason}");
    assert_eq!(
        target.look(ALIAS).await.expect("it is there").settled(),
        Some("1")
    );
    assert_eq!(ran(&case, "2").await, 1);
}

async fn restoration(case: Case) {
    let target = case.blue().await;
    state(&case, &target, json!({"snapStart": true})).await;
    let green = Behaviour {
        init_ms: 900,
        ..Behaviour::healthy("restored")
    };
    target.update(green).await;
    let mut request = smoke(&case, &json!({"statusCode": 200}));
    request["functions"][0]["maxColdStartMs"] = json!(300);
    let (_, ended) = case.release(&request).await;
    let reason = rejected(&ended);
    assert!(reason.contains("a cold start took"), "{reason}");
    let proofs = &ended.cause["evidence"]["validation"];
    assert!(proofs[0]["coldStartMs"].as_f64() >= Some(900.0), "{proofs}");
}

/// The second release of the same code meets environments that the first one started.
async fn fresh(case: Case) {
    let green = Behaviour {
        init_ms: 900,
        ..Behaviour::healthy("green")
    };
    let target = case.blue_and(green).await;
    let mut request = smoke(&case, &json!({"statusCode": 200}));
    request["functions"][0]["maxColdStartMs"] = json!(300);
    for _ in 0..2 {
        let (_, ended) = case.release(&request).await;
        let reason = rejected(&ended);
        assert!(reason.contains("a cold start took"), "{reason}");
    }
    request["functions"][0]["maxColdStartMs"] = json!(60_000);
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let cold = &ended.output["evidence"]["validation"][1];
    assert_eq!(cold["test"], "cold start");
    assert!(cold["coldStartMs"].as_f64() >= Some(900.0), "{cold}");
}

async fn hidden(case: Case) {
    use aws_sdk_lambda::types::{LogFormat, LoggingConfig, SystemLogLevel};

    let target = case.blue().await;
    let quiet = LoggingConfig::builder()
        .log_format(LogFormat::Json)
        .system_log_level(SystemLogLevel::Warn);
    let update = target.lambda().update_function_configuration();
    let update = update.function_name(&target.name);
    let update = update.logging_config(quiet.build());
    update.send().await.expect("the log can be changed");
    target.updated().await;
    let mut request = smoke(&case, &json!({"statusCode": 200}));
    request["functions"][0]["maxColdStartMs"] = json!(60_000);
    let (_, ended) = case.release(&request).await;
    let reason = rejected(&ended);
    assert!(reason.contains("no cold start was measured"), "{reason}");
    assert!(reason.contains("set it to INFO"), "{reason}");
    // What is not asked for need not be measured.
    let (_, ended) = case
        .release(&smoke(&case, &json!({"statusCode": 200})))
        .await;
    promoted(&target, &ended, "2").await;
}

async fn no_room(case: Case) {
    let target = case.blue().await;
    assert_eq!(target.publish().await, "2");
    target.invoke("2", &json!({})).await.expect("it is there");
    reserve(&target, 1).await;
    let mut request = smoke(&case, &json!({"statusCode": 200}));
    request["functions"][0]["code"] = json!({"version": "2"});
    request["functions"][0]["maxColdStartMs"] = json!(60_000);
    let (_, ended) = case.release(&request).await;
    let reason = rejected(&ended);
    assert!(reason.contains("no cold start was measured"), "{reason}");
    assert!(reason.contains("reserved concurrency of 1"), "{reason}");
}

async fn throttled(case: Case) {
    let target = case.function(Behaviour::slow("blue", 4000)).await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target.update(Behaviour::healthy("green")).await;
    reserve(&target, 1).await;
    let user = tokio::spawn({
        let target = target.clone();
        async move { target.invoke_alias(ALIAS).await }
    });
    let request = smoke(&case, &json!({"statusCode": 200}));
    let (_, ended) = case.release(&request).await;
    let met = user.await.expect("the user is not disturbed");
    assert!(!met.failed, "{met:?}");
    promoted(&target, &ended, "2").await;
    assert_eq!(ran(&case, "2").await, 1);
}

async fn idle(case: Case) {
    for (part, code) in [
        ("Image", "CodeArtifactUserPendingException"),
        ("Network", "ResourceNotReadyException"),
    ] {
        let case = case.part(part);
        let target = case.blue().await;
        assert_eq!(target.publish().await, "2");
        let idle = json!({"version": "2", "state": "Inactive", "code": code, "seconds": 2});
        state(&case, &target, idle).await;
        let mut request = smoke(&case, &json!({"statusCode": 200}));
        request["functions"][0]["code"] = json!({"version": "2"});
        let (_, ended) = case.release(&request).await;
        promoted(&target, &ended, "2").await;
        assert_eq!(ran(&case, "2").await, 1, "what woke it was rejected");
    }
}

/// Nobody invokes `$LATEST`, so it is idle by the next release.
async fn idle_function(case: Case) {
    let target = case.blue().await;
    let idle = json!({"state": "Inactive", "code": "SnapStartNotReadyException"});
    state(&case, &target, idle).await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = target.upload(Behaviour::healthy("from-s3")).await;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
}

async fn idle_behind_a_door(case: Case) {
    let target = case.function(Behaviour::healthy("latest")).await;
    let api = stage_wiring::api(&case, Kind::Rest, &target).await;
    state(&case, &target, json!({"state": "Inactive"})).await;
    let (_, ended) = case
        .release(&stage_wiring::order(&case, &api, "wire"))
        .await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let alias = target.look(ALIAS).await.expect("it was made");
    assert_eq!(alias.settled(), Some("1"));
    let met = target.invoke_alias(ALIAS).await;
    assert!(!met.failed, "{met:?}");
}

async fn failed(case: Case) {
    let target = case.blue().await;
    assert_eq!(target.publish().await, "2");
    let broken = json!({"version": "2", "state": "Failed", "reasonCode": "ImageDeleted",
        "reason": "The image was deleted."});
    state(&case, &target, broken).await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = json!({"version": "2"});
    let (_, ended) = case.release(&request).await;
    let reason = rejected(&ended);
    assert!(
        reason.contains("is Failed (ImageDeleted: The image was deleted.)"),
        "{reason}"
    );
}

/// Lambda takes an alias on a version that is not active yet, and then fails its callers.
async fn pinned_when_active(case: Case) {
    use aws_sdk_lambda::types::VpcConfig;

    let target = case.function(Behaviour::healthy("latest")).await;
    let inside = VpcConfig::builder()
        .subnet_ids("subnet-1")
        .security_group_ids("sg-1");
    let update = target.lambda().update_function_configuration();
    let update = update.function_name(&target.name);
    let update = update.vpc_config(inside.build());
    update.send().await.expect("it can be put in a VPC");
    target.updated().await;
    target.alias(ALIAS, "$LATEST").await;
    let code = target.upload(Behaviour::healthy("green")).await;
    let users = case.users(&target, 30.0);
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = code;
    let (_, ended) = case.release(&request).await;
    let met = users.stop().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(ended.output["functions"][0]["blueVersion"], "1");
    assert_eq!(met.total().errors, 0, "{:?}", met.by_version);
    assert!(met.of("1").requests > 0, "{:?}", met.by_version);
}

async fn leaves_room(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 300)).await;
    // Or the first users would need the whole reservation for their own cold starts.
    target.invoke_alias(ALIAS).await;
    reserve(&target, 10).await;
    let users = case.users(&target, 8.0);
    let mut request = smoke(&case, &json!({"statusCode": 200}));
    request["functions"][0]["prewarm"] = json!(20);
    let (_, ended) = case.release(&request).await;
    let met = users.stop().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(met.of("1").errors, 0, "{:?}", met.by_version);
    let warnings = ended.output["warnings"].to_string();
    assert!(
        warnings.contains("prewarm is 20; 5 invocations were sent, half of the function's reserved concurrency of 10"),
        "{warnings}"
    );
}

async fn answers(case: Case) {
    let encoded =
        json!({"statusCode": 200, "isBase64Encoded": true, "body": "eyJkYiI6dHJ1ZSwibiI6MTAuMH0="});
    let plain = |body: &str| Behaviour {
        body: Some(body.to_owned()),
        ..Behaviour::healthy("green")
    };
    let answering = |answer: &Value| Behaviour {
        answers: vec![answer.clone()],
        ..Behaviour::healthy("green")
    };
    let streaming = Behaviour {
        stream: true,
        ..plain("{\"db\":true,\"n\":1e1}")
    };
    let expected = json!({"statusCode": 200, "bodyContains": "\"db\":true", "json": {"/body/db": true, "/body/n": 10}});
    for (part, green, expect) in [
        ("streamed", streaming.clone(), expected.clone()),
        ("encoded", answering(&encoded), expected.clone()),
        (
            "inferred",
            answering(&json!({"db": true, "n": 10.0})),
            expected.clone(),
        ),
        (
            "textual",
            answering(&json!({"statusCode": "200", "body": "{\"db\":true,\"n\":10}"})),
            expected.clone(),
        ),
        (
            "balanced",
            answering(&json!({"statusCode": 200, "statusDescription": "200 OK", "body": "pong"})),
            json!({"statusCode": 200, "bodyContains": "pong"}),
        ),
    ] {
        let case = case.part(part);
        let target = case.blue_and(green).await;
        let (_, ended) = case.release(&smoke(&case, &expect)).await;
        promoted(&target, &ended, "2").await;
    }
    let unavailable = Behaviour {
        status_code: Some(503),
        ..streaming
    };
    let case = case.part("unavailable");
    case.blue_and(unavailable).await;
    let (_, ended) = case.release(&smoke(&case, &expected)).await;
    let reason = rejected(&ended);
    assert!(reason.contains("statusCode is 503, not 200"), "{reason}");
}

async fn tenant(case: Case) {
    use aws_sdk_lambda::{
        primitives::Blob,
        types::{FunctionCode, Runtime, TenancyConfig, TenantIsolationMode},
    };

    let target = Target::existing(&case.suite().local, &case.function_name());
    let package = Behaviour::healthy("first").package();
    let isolated = TenancyConfig::builder().tenant_isolation_mode(TenantIsolationMode::PerTenant);
    target
        .lambda()
        .create_function()
        .function_name(&target.name)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .role(crossfade_tests::target::ROLE)
        .tenancy_config(isolated.build().expect("it has a mode"))
        .code(FunctionCode::builder().zip_file(Blob::new(package)).build())
        .send()
        .await
        .expect("the function can be made");
    target.updated().await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target.update(Behaviour::healthy("green")).await;
    let mut request = smoke(&case, &json!({"statusCode": 200}));
    let (_, ended) = case.release(&request).await;
    let reason = rejected(&ended);
    assert!(reason.contains("give it a tenantId"), "{reason}");
    request["functions"][0]["smokeTests"][0]["tenantId"] = json!("acme corp");
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(ran(&case, "2").await, 1);
}
