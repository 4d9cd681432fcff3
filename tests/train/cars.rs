//! The functions of the release, and the request for them.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StateValue, Statistic};
use crossfade_tests::{Behaviour, LocalAws, Target, World, release::until, stack::ARTIFACTS};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

/// How many.
pub(crate) const CARS: usize = 50;
/// What their names begin with.
pub(crate) const PREFIX: &str = "train-";
/// The alias that users call.
pub(crate) const ALIAS: &str = "production";
/// The one that is bad in the second release.
pub(crate) const BAD: &str = "train-payments-webhook";
/// The alarm on its errors.
pub(crate) const ALARM: &str = "train-payments-webhook-errors";
/// Failed requests in a minute, from which on it fires.
const MOST_ERRORS: f64 = 8.0;

const SERVICES: [&str; 10] = [
    "orders",
    "cart",
    "payments",
    "accounts",
    "search",
    "catalogue",
    "mail",
    "invoices",
    "stock",
    "shipping",
];
const PARTS: [&str; 5] = ["api", "worker", "webhook", "export", "cleanup"];

/// Alarms on other things, which stay OK: with the one on the bad function as many as a request may
/// have.
fn others() -> impl Iterator<Item = String> {
    const KINDS: [&str; 4] = ["queue-age", "dead-letters", "5xx", "slow"];
    KINDS
        .iter()
        .flat_map(|kind| {
            SERVICES
                .iter()
                .map(move |service| format!("{PREFIX}{service}-{kind}"))
        })
        .skip(1)
}

fn names() -> impl Iterator<Item = String> {
    SERVICES.iter().flat_map(|service| {
        PARTS
            .iter()
            .map(move |part| format!("{PREFIX}{service}-{part}"))
    })
}

/// Makes them all, each with a version 1 that serves the alias.
pub(crate) async fn make(local: &LocalAws) -> Vec<Target> {
    stream::iter(names().collect::<Vec<_>>())
        .map(|name| async move {
            let target = Target::create(local, &name, behaviour("first", 0.0)).await;
            let version = target.publish().await;
            target.alias(ALIAS, &version).await;
            target
        })
        .buffered(10)
        .collect()
        .await
}

fn behaviour(version: &str, error_rate_percent: f64) -> Behaviour {
    Behaviour {
        spare_path: Some("/health".to_owned()),
        ..Behaviour::failing(version, error_rate_percent)
    }
}

/// Puts a version's code into S3. Returns a request's `code`.
pub(crate) async fn upload(world: &World, version: &str, error_rate_percent: f64) -> Value {
    let key = format!("shop/2026-11-21T10-15-00Z/{version}.zip");
    let package = behaviour(version, error_rate_percent).package();
    world.control.put_object(ARTIFACTS, &key, &package).await;
    json!({"s3Bucket": ARTIFACTS, "s3Key": key})
}

/// An alarm on the errors that users of the bad one meet, whatever the version.
pub(crate) async fn make_alarm(world: &World) {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    world
        .cloudwatch
        .put_metric_alarm()
        .alarm_name(ALARM)
        .namespace("AWS/Lambda")
        .metric_name("Errors")
        .dimensions(dimension("FunctionName", BAD))
        .dimensions(dimension("Resource", &format!("{BAD}:{ALIAS}")))
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(MOST_ERRORS)
        .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
        .treat_missing_data("notBreaching")
        .send()
        .await
        .expect("an alarm can be made");
    for alarm in others() {
        world.make_alarm(&alarm).await;
    }
    until("the alarm is OK", || async {
        let described = world.cloudwatch.describe_alarms().alarm_names(ALARM).send();
        let alarms = described.await.ok()?.metric_alarms?;
        (alarms.first()?.state_value == Some(StateValue::Ok)).then_some(())
    })
    .await;
}

/// A release of `code` for all, and of `bad` for the bad one. Everything that a request can have, as
/// teams fill it in: this is also what shows how large a release's state becomes.
pub(crate) fn request(code: &Value, bad: Option<&Value>) -> Value {
    let functions: Vec<_> = names()
        .map(|name| {
            let code = if name == BAD {
                bad.unwrap_or(code)
            } else {
                code
            };
            json!({
                "functionName": name,
                "alias": ALIAS,
                "code": code,
                "smokeTests": [
                    smoke_test("health", "GET", &json!({"statusCode": 200, "maxDurationMs": 5000})),
                    smoke_test("health, with its body", "POST",
                        &json!({"statusCode": 200, "bodyContains": "version"})),
                ],
                "prewarm": 1,
                "maxColdStartMs": 10_000,
            })
        })
        .collect();
    let alarms: Vec<_> = others().chain([ALARM.to_owned()]).collect();
    json!({
        "action": "release",
        "application": "shop",
        "functions": functions,
        "strategy": {"type": "canary", "steps": [
            {"weight": 50, "bakeSeconds": if bad.is_some() { 6000 } else { 500 }},
            {"weight": 100, "bakeSeconds": 500},
        ]},
        "analysis": {
            "alarms": alarms,
            "preexistingAlarms": "refuse",
            "maxErrorRatePercent": 25,
            "maxP99Ms": 6000,
            "slowerThanMs": 3000,
            "maxThrottleRatePercent": 5,
            // Metrics come at once here, and with them the one look at the end of each bake is enough.
            "minInvocations": 1,
            "settleSeconds": 0,
            "checkEverySeconds": if bad.is_some() { 3000 } else { 500 },
            "maxBakeSeconds": 12_000,
            "onInconclusive": "rollBack",
        },
        "traffic": {"type": "alias"},
        "retention": {"blueHours": 24},
        "holdTimeoutSeconds": 3600,
        "onHoldTimeout": "rollBack",
    })
}

/// A request as API Gateway sends it.
fn smoke_test(name: &str, method: &str, expect: &Value) -> Value {
    json!({
        "name": name,
        "payload": {
            "version": "1.0",
            "httpMethod": method,
            "path": "/health",
            "resource": "/health",
            "headers": {
                "accept": "application/json",
                "content-type": "application/json",
                "host": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
                "user-agent": "crossfade-smoke-test",
                "x-forwarded-for": "203.0.113.7",
                "x-forwarded-proto": "https",
            },
            "queryStringParameters": {"deep": "true"},
            "pathParameters": null,
            "requestContext": {
                "accountId": "000000000000", "apiId": "a1b2c3d4e5", "stage": "production",
                "requestId": "7d3f0a2e-6c1b-4a57-9f1e-1c2d3e4f5a6b",
                "identity": {"sourceIp": "203.0.113.7"},
            },
            "body": "{\"check\":\"all\"}",
            "isBase64Encoded": false,
        },
        "expect": expect,
    })
}
