//! Failures in the functions' logs roll a release back within seconds, with no alarm and before any metric.

use std::time::Duration;

use aws_sdk_cloudwatchlogs as logs;
use aws_sdk_lambda::types::{LogFormat, LoggingConfig, SystemLogLevel};
use crossfade_tests::{Behaviour, Execution, Target, Traffic, release::until, world::Fault};
use serde_json::{Value, json};

use crate::case::{ALIAS, Case, Test, canary, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("live_text_logs_roll_back_within_seconds", text),
        test("live_json_logs_roll_back_within_seconds", in_json),
        test(
            "live_a_pattern_of_the_teams_own_counts_handled_errors",
            pattern,
        ),
        test("live_a_timeout_is_a_failure", crash),
        test(
            "live_a_healthy_green_is_promoted_and_nothing_is_left",
            healthy,
        ),
        test("live_deaf_functions_are_released_without_and_told", deaf),
        test("live_a_filter_that_is_refused_leaves_none", refused),
        test("live_what_is_stopped_is_swept", stopped),
    ]
}

/// How often users call, each second: enough for a few of green's within seconds.
const PER_SECOND: f64 = 40.0;

/// A function with this log configuration, whose blue has logged something.
async fn logging(case: &Case, config: Option<LoggingConfig>, green: Behaviour) -> Target {
    let target = case.function(Behaviour::healthy("blue")).await;
    if let Some(config) = config {
        let update = target.lambda().update_function_configuration();
        let update = update.function_name(&target.name).logging_config(config);
        update.send().await.expect("it can be configured");
        target.updated().await;
    }
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target.invoke_alias(ALIAS).await;
    target.has_past(ALIAS).await;
    target.update(green).await;
    target
}

fn failing(percent: f64) -> Behaviour {
    Behaviour {
        logs_errors: true,
        spare_path: Some("/smoke".into()),
        ..Behaviour::failing("green", percent)
    }
}

/// A release that looks at metrics for the first time long after the lane has decided.
fn request(case: &Case, more: Value) -> Value {
    let mut request = case.request(json!({
        "functions": [{"functionName": case.function_name(), "alias": ALIAS,
            "smokeTests": [{"name": "smoke", "payload": {"path": "/smoke"}}]}],
        "strategy": canary(&[(25, 30_000), (100, 30_000)]),
        "analysis": {"settleSeconds": 600, "checkEverySeconds": 3600, "maxBakeSeconds": null, "liveErrors": "on"},
    }));
    crate::case::merge(&mut request, more);
    request
}

async fn filters(case: &Case) -> Vec<Value> {
    let prefix = json!({"prefix": format!("/aws/lambda/{}", case.function_name())});
    let found = case.world.control.post("logs/filters", &prefix).await;
    found["filters"].as_array().cloned().unwrap_or_default()
}

/// Waits until the release is rolled back, and says how long that took from the first failed request on.
async fn found(case: &Case, target: &Target, users: Traffic, execution: &Execution, how: &str) {
    case.alias_is(target, "is on blue again", |alias| {
        alias.settled() == Some("1") && alias.revision != "0"
    })
    .await;
    let ended = execution.wait().await;
    let counts = users.stop().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    let outcome = ended.outcome();
    let evidence = &outcome["evidence"];
    assert_eq!(evidence["decidedBy"], "liveErrors", "{outcome}");
    let e_value = evidence["live"]["eValue"].as_f64().unwrap();
    assert!(e_value >= evidence["live"]["threshold"].as_f64().unwrap());
    assert!(
        evidence.get("judge").is_none(),
        "no metric was looked at: {evidence}"
    );
    let failed = counts
        .requests
        .iter()
        .filter(|one| one.failed && one.version.as_deref() == Some("2"));
    let first = counts
        .requests
        .iter()
        .find(|one| one.version.as_deref() == Some("2") && (one.failed || how == "pattern"));
    let first = first.expect("a request met green").sent;
    let back = counts
        .requests
        .iter()
        .filter(|one| one.version.as_deref() == Some("2"));
    let back = back.map(|one| one.sent).max().unwrap_or_default();
    println!(
        "live: {how}: from the first failed request to blue {:.1} s, {} failed requests",
        (back.saturating_sub(first)).as_secs_f64(),
        failed.count(),
    );
    assert!(back.saturating_sub(first) < Duration::from_secs(45));
    assert_eq!(
        filters(case).await,
        Vec::<Value>::new(),
        "no subscription is left"
    );
}

/// Starts a release, and users once green has weight.
async fn run(case: &Case, target: &Target, more: Value) -> (Execution, Traffic) {
    let users = case.users(target, PER_SECOND);
    let execution = case.start(&request(case, more)).await;
    case.alias_is(target, "green has a share", |alias| alias.share("2") > 0.2)
        .await;
    assert_eq!(
        filters(case).await.len(),
        1,
        "a subscription is there while it bakes"
    );
    (execution, users)
}

async fn text(case: Case) {
    let target = logging(&case, None, failing(50.0)).await;
    let (execution, users) = run(&case, &target, json!({})).await;
    found(&case, &target, users, &execution, "text").await;
}

async fn in_json(case: Case) {
    let config = LoggingConfig::builder().log_format(LogFormat::Json).build();
    let target = logging(&case, Some(config), failing(50.0)).await;
    let (execution, users) = run(&case, &target, json!({})).await;
    found(&case, &target, users, &execution, "JSON").await;
}

/// A handler that answers 500, which no metric of Lambda's counts.
async fn pattern(case: Case) {
    let green = Behaviour {
        status_code: Some(500),
        logs: Some("answered status=500".into()),
        ..Behaviour::healthy("green")
    };
    let target = logging(&case, None, green).await;
    let more = json!({"analysis": {"liveErrors": {"pattern": "status=500"}}});
    let (execution, users) = run(&case, &target, more).await;
    found(&case, &target, users, &execution, "pattern").await;
}

/// What Lambda itself says of an invocation that it ended.
async fn crash(case: Case) {
    let green = Behaviour {
        crash: true,
        ..Behaviour::healthy("green")
    };
    let target = logging(&case, None, green).await;
    // Its smoke test would fail.
    let functions = json!([{"functionName": case.function_name(), "alias": ALIAS}]);
    let (execution, users) = run(&case, &target, json!({"functions": functions})).await;
    found(&case, &target, users, &execution, "crash").await;
}

async fn healthy(case: Case) {
    let target = logging(&case, None, Behaviour::healthy("green")).await;
    let users = case.users(&target, PER_SECOND);
    let more = json!({"strategy": canary(&[(50, 60), (100, 60)]),
        "analysis": {"settleSeconds": 0, "checkEverySeconds": 30, "maxBakeSeconds": 4000, "controlPercent": 5}});
    let execution = case.start(&request(&case, more)).await;
    let ended = execution.wait().await;
    users.stop().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let warnings = ended.output["warnings"].to_string();
    assert!(
        !warnings.contains("was received within"),
        "green was received: {warnings}"
    );
    // Half of the risk is the judge's.
    assert_eq!(
        ended.output["evidence"]["judge"]["threshold"], 200.0,
        "{ended:?}"
    );
    assert_eq!(filters(&case).await, Vec::<Value>::new());
}

/// Each way to hear nothing is told with what to change, and the release goes on without.
async fn deaf(case: Case) {
    let more = || {
        json!({"strategy": canary(&[(50, 30), (100, 0)]),
            "analysis": {"settleSeconds": 0, "checkEverySeconds": 30, "onInconclusive": "proceed", "maxBakeSeconds": 30}})
    };
    let quiet = LoggingConfig::builder()
        .log_format(LogFormat::Json)
        .system_log_level(SystemLogLevel::Warn)
        .build();
    let json_logs = LoggingConfig::builder().log_format(LogFormat::Json).build();
    for (name, config, wanted) in [
        (
            "slots",
            None,
            "has 2 subscription filters already (datadog, splunk)",
        ),
        (
            "level",
            Some(quiet),
            "set LoggingConfig.SystemLogLevel to INFO",
        ),
        (
            "pattern",
            Some(json_logs),
            "is no condition on a field of JSON",
        ),
        ("lost", None, "was received within"),
    ] {
        let case = case.part(name);
        let target = logging(&case, config, Behaviour::healthy("green")).await;
        let mut request = request(&case, more());
        let group = format!("/aws/lambda/{}", target.name);
        match name {
            "slots" => {
                let client = logs::Client::new(&case.suite().local.config());
                for filter in ["datadog", "splunk"] {
                    let put = client.put_subscription_filter();
                    let put = put.log_group_name(&group).filter_name(filter);
                    let put = put.filter_pattern("").destination_arn(live_errors(&case));
                    put.send().await.expect("there is room");
                }
            }
            "pattern" => request["analysis"]["liveErrors"] = json!({"pattern": "status=500"}),
            "lost" => {
                let lost = json!({"lost_of": group});
                case.world.control.post("logs/deliveries", &lost).await;
            }
            _ => {}
        }
        let (_, ended) = case.release(&request).await;
        assert_eq!(ended.status, "SUCCEEDED", "{name}: {ended:?}");
        let warnings = ended.output["warnings"].to_string();
        assert!(warnings.contains(wanted), "{name}: {warnings}");
        let left = filters(&case).await;
        let others = left
            .iter()
            .filter(|one| one["filter"] == "datadog" || one["filter"] == "splunk");
        assert_eq!(others.count(), left.len(), "{name}: {left:?}");
        assert_eq!(
            left.is_empty(),
            name != "slots",
            "{name}: what is another's is left as it was"
        );
    }
}

/// Of two functions the second one's subscription filter is refused: the first one's is removed again, and the release
/// goes on without the lane.
async fn refused(case: Case) {
    let (one, two) = (case.part("one"), case.part("two"));
    let first = logging(&one, None, Behaviour::healthy("green")).await;
    let second = logging(&two, None, Behaviour::healthy("green")).await;
    let fault = Fault::refuse(400, "LimitExceededException", "Resource limit exceeded.")
        .on("logs", "PutSubscriptionFilter")
        .about(&format!("/aws/lambda/{}", second.name));
    let fault = case.world.fault(fault.always()).await;
    let functions: Value = [&first, &second]
        .iter()
        .map(|target| json!({"functionName": target.name, "alias": ALIAS}))
        .collect();
    let more = json!({"functions": functions, "strategy": canary(&[(50, 30), (100, 0)]),
        "analysis": {"settleSeconds": 0, "checkEverySeconds": 30, "onInconclusive": "proceed", "maxBakeSeconds": 30}});
    let (_, ended) = case.release(&request(&case, more)).await;
    case.world.mend(fault).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let warnings = ended.output["warnings"].to_string();
    assert!(
        warnings.contains("failures in the functions' logs are not received"),
        "{warnings}"
    );
    assert_eq!(filters(&case).await, Vec::<Value>::new());
}

fn live_errors(case: &Case) -> String {
    format!(
        "arn:aws:lambda:us-east-1:000000000000:function:{}",
        case.world.stack.function("live-errors")
    )
}

/// A release that is stopped with its lane armed: the end of its execution, or the schedule, takes it away.
async fn stopped(case: Case) {
    let target = logging(&case, None, Behaviour::healthy("green")).await;
    let execution = case.start(&request(&case, json!({}))).await;
    case.alias_is(&target, "green has a share", |alias| alias.share("2") > 0.2)
        .await;
    assert_eq!(filters(&case).await.len(), 1);
    execution.stop().await;
    until("the subscription is gone", || async {
        filters(&case).await.is_empty().then_some(())
    })
    .await;
    case.told(&execution, "ROLLED_BACK").await;
}
