//! A handler that answers 500 is a success for Lambda: what callers see is counted elsewhere.

use crossfade_tests::{
    Behaviour, Ended, Execution, Target, Traffic, api::Kind as ApiKind, http, traffic::Met,
    world::Notification,
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, test},
    promoted::promoted,
    splitters::{Door, Kind},
    stage_wiring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("responses_of_a_function_url_are_compared", function_url),
        test(
            "responses_of_a_function_url_that_are_well_are_promoted",
            function_url_well,
        ),
        test(
            "responses_without_versions_are_held_to_a_ceiling",
            url_without_versions,
        ),
        test("responses_of_a_rest_stage_are_held_to_a_ceiling", |case| {
            stage(case, ApiKind::Rest)
        }),
        test("responses_of_an_http_stage_are_held_to_a_ceiling", |case| {
            stage(case, ApiKind::Http)
        }),
        test(
            "responses_of_a_stage_that_are_well_are_promoted",
            stage_well,
        ),
        test("responses_of_target_groups_are_compared", load_balancer),
        test("responses_of_own_counts_are_compared", own_counts),
        test(
            "responses_of_own_counts_that_are_well_are_promoted",
            own_counts_well,
        ),
        test("responses_of_own_values_are_held_to_a_ceiling", own_value),
        test("responses_that_nothing_counts_are_no_pass", no_data),
        test("responses_that_nothing_counts_are_planned", planned),
    ]
}

/// Answers a hold with a rollback, and waits for it.
async fn rolled_back_from_hold(execution: &Execution, told: &Notification) {
    let token = told.token().expect("it says how to answer");
    execution.answer(token, "rollBack").await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
}

/// A version that answers with this status, and tells its number.
fn answering(version: &str, status: u16) -> Behaviour {
    Behaviour {
        status_code: Some(status),
        ..Behaviour::healthy(version)
    }
}

/// Version 1 serves, and what is to be released answers with this status.
async fn blue_and(case: &Case, status: u16) -> Target {
    let target = case.function(answering("1", 200)).await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target.update(answering("2", status)).await;
    target
}

/// Users of a function URL.
async fn url_users(case: &Case, target: &Target) -> Traffic {
    let host = target.open(ALIAS).await;
    let endpoint = case.suite().local.endpoint();
    let address = endpoint.trim_start_matches("http://").to_owned();
    let users = Traffic::through(40.0, move || {
        let (host, address) = (host.clone(), address.clone());
        async move {
            let headers = [("host", host.as_str())];
            match http::send(&address, "GET", "/", &headers, b"").await {
                Ok(answer) => Met {
                    version: serde_json::from_slice::<Value>(&answer.body)
                        .ok()
                        .and_then(|body| body["version"].as_str().map(str::to_owned)),
                    failed: answer.status >= 500,
                },
                Err(_) => Met {
                    version: None,
                    failed: true,
                },
            }
        }
    });
    case.witnessed(users, "users of the URL", target)
}

/// A request with two steps.
#[allow(clippy::needless_pass_by_value)] // A literal at each call.
fn request(case: &Case, analysis: Value) -> Value {
    case.request(json!({"strategy": canary(&[(50, 600), (100, 100)]), "analysis": analysis}))
}

/// Asserts that a release was rolled back, by what and why.
async fn rolled_back(target: &Target, ended: &Ended, by: &str, reason: &str) {
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    let outcome = ended.outcome();
    assert_eq!(outcome["evidence"]["decidedBy"], by, "{ended:?}");
    let told = outcome["reason"].as_str().unwrap_or_default();
    assert!(told.starts_with(reason), "{told}");
    let alias = target.look(ALIAS).await;
    assert!(alias.is_none_or(|alias| alias.settled() == Some("1")));
}

async fn function_url(case: Case) {
    let target = blue_and(&case, 500).await;
    let users = url_users(&case, &target).await;
    let (_, ended) = case
        .release(&request(
            &case,
            json!({"responses": [{"functionUrl": target.name}]}),
        ))
        .await;
    let met = users.stop().await;
    let name = format!("function URL of {}", target.name);
    rolled_back(&target, &ended, "responseTest", &name).await;
    let judge = &ended.outcome()["evidence"]["judge"];
    assert_eq!(judge["function"], name.as_str(), "{judge}");
    assert_eq!(
        judge["green"]["invocations"], judge["green"]["errors"],
        "{judge}"
    );
    assert!(
        met.of("2").errors > 0 && met.of("1").errors == 0,
        "{:?}",
        met.by_version
    );
}

async fn function_url_well(case: Case) {
    let target = blue_and(&case, 200).await;
    let users = url_users(&case, &target).await;
    let analysis = json!({"responses": [{"functionUrl": target.name}], "maxErrorRatePercent": 5});
    let (_, ended) = case.release(&request(&case, analysis)).await;
    let met = users.stop().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(met.total().errors, 0, "{:?}", met.by_version);
}

/// Whether CloudWatch counts a URL's answers by version is not confirmed: where it does not, nothing passes without a
/// ceiling, and a ceiling holds for both versions together.
async fn url_without_versions(case: Case) {
    let part = case.part("unknown");
    let target = blue_and(&part, 200).await;
    not_by_version(&part, &target).await;
    let users = url_users(&part, &target).await;
    let analysis = json!({"responses": [{"functionUrl": target.name}], "maxBakeSeconds": 1200});
    let execution = part.start(&request(&part, analysis)).await;
    let told = part.told(&execution, "HELD").await;
    assert!(
        told.message.contains("does not separate the versions"),
        "{}",
        told.message
    );
    rolled_back_from_hold(&execution, &told).await;
    drop(users);

    let part = case.part("ceiling");
    let target = blue_and(&part, 500).await;
    not_by_version(&part, &target).await;
    let users = url_users(&part, &target).await;
    let analysis = json!({"responses": [{"functionUrl": target.name}], "maxErrorRatePercent": 5});
    let (_, ended) = part.release(&request(&part, analysis)).await;
    drop(users);
    let name = format!("function URL of {}", target.name);
    rolled_back(&target, &ended, "responseCeiling", &name).await;
}

async fn not_by_version(case: &Case, target: &Target) {
    let body = json!({"functionName": target.name, "byVersion": false});
    case.world
        .control
        .post("function-urls/metrics", &body)
        .await;
}

/// A stage whose alias splits the traffic counts both versions together.
async fn stage(case: Case, kind: ApiKind) {
    let target = case.function(answering("1", 200)).await;
    let api = stage_wiring::api(&case, kind, &target).await;
    let of = if kind == ApiKind::Rest {
        json!({"restApi": {"apiName": api.name, "stage": stage_wiring::PRODUCTION}})
    } else {
        json!({"httpApi": {"apiId": api.id, "stage": stage_wiring::PRODUCTION}})
    };
    let users = api.users(stage_wiring::PRODUCTION, 40.0);
    let mut request = request(&case, json!({"responses": [of], "maxErrorRatePercent": 5}));
    request["frontDoor"] = stage_wiring::front_door(&api);
    request["functions"][0]["code"] = target.upload(answering("2", 500)).await;
    let (_, ended) = case.release(&request).await;
    drop(users);
    let name = format!("stage {} of API", stage_wiring::PRODUCTION);
    rolled_back(&target, &ended, "responseCeiling", &name).await;
    let found = &ended.outcome()["evidence"]["sources"][0];
    assert_eq!(found["verdict"], "unhealthy", "{found}");
    let reason = found["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("may not be green's fault"), "{reason}");
}

async fn stage_well(case: Case) {
    let target = case.function(answering("1", 200)).await;
    let api = stage_wiring::api(&case, ApiKind::Http, &target).await;
    let of = json!({"httpApi": {"apiId": api.id, "stage": stage_wiring::PRODUCTION}});
    let users = api.users(stage_wiring::PRODUCTION, 40.0);
    let mut request = request(&case, json!({"responses": [of], "maxErrorRatePercent": 5}));
    request["frontDoor"] = stage_wiring::front_door(&api);
    request["functions"][0]["code"] = target.upload(answering("2", 200)).await;
    let (_, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "2").await;
    let reason = ended.outcome()["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("within the ceiling: stage production of API"),
        "{reason}"
    );
}

async fn load_balancer(case: Case) {
    let door = Door::make(&case, Kind::Rule, answering("2", 500)).await;
    let users = door.users(&case, 40.0);
    let strategy = canary(&[(50, 600), (100, 100)]);
    let (_, ended) = case
        .release(&door.request(&case, json!({"strategy": strategy})))
        .await;
    drop(users);
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    let outcome = ended.outcome();
    assert_eq!(outcome["evidence"]["decidedBy"], "errorTest", "{ended:?}");
    let series = outcome["evidence"]["judge"]["function"]
        .as_str()
        .unwrap_or_default();
    assert!(series.starts_with("rule/"), "{series}");
    assert!(door.share().await.abs() < 1e-9);
}

/// Users whose answers are counted by the function's own code, as by a line in the embedded metric format.
fn counted_users(case: &Case, target: &Target) -> Traffic {
    let local = &case.suite().local;
    let (lambda, metrics) = (
        target.lambda().clone(),
        aws_sdk_cloudwatch::Client::new(&local.config()),
    );
    let name = target.name.clone();
    let users = Traffic::through(40.0, move || {
        let (lambda, metrics, name) = (lambda.clone(), metrics.clone(), name.clone());
        async move {
            let sent = lambda
                .invoke()
                .function_name(&name)
                .qualifier(ALIAS)
                .send()
                .await;
            let Ok(done) = sent else {
                return Met {
                    version: None,
                    failed: true,
                };
            };
            let version = done.executed_version.unwrap_or_default();
            let answer: Value = done
                .payload
                .and_then(|payload| serde_json::from_slice(payload.as_ref()).ok())
                .unwrap_or_default();
            let failed = answer["statusCode"]
                .as_u64()
                .is_none_or(|status| status >= 500);
            let of = [("Function", name.as_str()), ("Version", version.as_str())].map(
                |(name, value)| {
                    let one = aws_sdk_cloudwatch::types::Dimension::builder();
                    one.name(name).value(value).build()
                },
            );
            let datum = |metric: &str, value: f64| {
                let one = aws_sdk_cloudwatch::types::MetricDatum::builder();
                let one = one.metric_name(metric).value(value);
                one.set_dimensions(Some(of.to_vec())).build()
            };
            let sent = metrics
                .put_metric_data()
                .namespace("Chat")
                .metric_data(datum("Requests", 1.0))
                .metric_data(datum("Failures", if failed { 1.0 } else { 0.0 }))
                .metric_data(datum("Tokens", if failed { 900.0 } else { 100.0 }))
                .send()
                .await;
            sent.expect("metrics are taken");
            Met {
                version: Some(version),
                failed,
            }
        }
    });
    case.witnessed(users, "users", target)
}

fn own(target: &Target, more: Value) -> Value {
    let mut metric = json!({"namespace": "Chat", "name": "Failures",
        "dimensions": {"Function": target.name, "Version": "${version}"}});
    crate::case::merge(&mut metric, more);
    json!({"metrics": [metric]})
}

async fn own_counts(case: Case) {
    let target = blue_and(&case, 500).await;
    let users = counted_users(&case, &target);
    let (_, ended) = case
        .release(&request(&case, own(&target, json!({"of": "Requests"}))))
        .await;
    drop(users);
    rolled_back(
        &target,
        &ended,
        "metricTest",
        "metric Chat/Failures of Requests: ",
    )
    .await;
}

async fn own_counts_well(case: Case) {
    let target = blue_and(&case, 200).await;
    let users = counted_users(&case, &target);
    let analysis = own(&target, json!({"of": "Requests", "max": 1}));
    let (_, ended) = case.release(&request(&case, analysis)).await;
    drop(users);
    promoted(&target, &ended, "2").await;
}

async fn own_value(case: Case) {
    let target = blue_and(&case, 500).await;
    let users = counted_users(&case, &target);
    let value = json!({"name": "Tokens", "statistic": "Average", "max": 500});
    // Two minutes of data: a minute is a minute on the local AWS too.
    let mut request = request(&case, own(&target, value));
    request["strategy"] = canary(&[(50, 20_000), (100, 100)]);
    request["analysis"]["maxBakeSeconds"] = json!(40_000);
    request["analysis"]["checkEverySeconds"] = json!(300);
    let execution = case.start(&request).await;
    let ended = crate::case::ended_after_minutes(&execution).await;
    drop(users);
    rolled_back(
        &target,
        &ended,
        "metricCeiling",
        "metric Chat/Tokens: was 900 and 900",
    )
    .await;
}

/// What is never counted is no pass, and is named.
async fn no_data(case: Case) {
    for (part, asked, name) in [
        (
            "url",
            json!({"responses": [{"functionUrl": ""}]}),
            "function URL of",
        ),
        (
            "counts",
            json!({"of": "Requests"}),
            "metric Chat/Failures of Requests",
        ),
        ("value", json!({"max": 5}), "metric Chat/Failures"),
    ] {
        let case = case.part(part);
        let target = blue_and(&case, 200).await;
        let users = case.users(&target, 40.0);
        let mut analysis = if part == "url" {
            let mut analysis = asked;
            analysis["responses"][0]["functionUrl"] = json!(target.name);
            analysis
        } else {
            own(&target, asked)
        };
        analysis["maxBakeSeconds"] = json!(1200);
        let execution = case.start(&request(&case, analysis)).await;
        let told = case.told(&execution, "HELD").await;
        assert!(
            told.message.contains(name) && told.message.contains("no data"),
            "{}",
            told.message
        );
        rolled_back_from_hold(&execution, &told).await;
        drop(users);
    }
}

/// `crossfade plan` says how green is judged by what callers see, and what there is of it.
async fn planned(case: Case) {
    let target = blue_and(&case, 200).await;
    let mut request = request(&case, json!({}));
    let shown = crate::cli::planned(&case, &request).await;
    assert!(
        shown.contains("responses       not counted: a handler that answers 500"),
        "{shown}"
    );
    request["analysis"] = own(&target, json!({"of": "Requests"}));
    request["analysis"]["responses"] = json!([{"functionUrl": target.name}]);
    let shown = crate::cli::planned(&case, &request).await;
    for line in [
        format!("function URL of {} (green against blue)", target.name),
        format!(
            "  function URL of {}: no data of the last seven days",
            target.name
        ),
        "as long as that is so, no bake passes".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line}: {shown}");
    }
    // Blue's past ends with the last whole minute.
    let _users = counted_users(&case, &target);
    let counted = "metric Chat/Failures of Requests: ";
    let counted = crossfade_tests::release::until_within(
        std::time::Duration::from_secs(100),
        "requests of a whole minute are counted",
        || async {
            let shown = crate::cli::planned(&case, &request).await;
            let mut lines = shown.lines().map(str::trim_start);
            let line = lines.find(|line| line.starts_with(counted))?;
            (!line.contains("no data")).then(|| line.to_owned())
        },
    );
    let counted = counted.await;
    assert!(
        counted.ends_with("requests in the last seven days, 0 of them bad"),
        "{counted}"
    );
}
