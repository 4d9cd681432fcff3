use crossfade::wire::request::Request;
use serde_json::{Value, json};

use super::*;

fn of(strategy: &Value, analysis: &Value) -> Estimate {
    let request = json!({"application": "chat", "strategy": strategy, "analysis": analysis,
        "functions": [{"functionName": "f", "alias": "live",
            "code": {"s3Bucket": "artifacts", "s3Key": "1.zip"}, "smokeTests": [{"name": "health"}]}]});
    match Request::parse(&request) {
        Ok(Request::Release(request)) => estimate(&request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn counts_thirteen_states_for_the_smallest_release() {
    let estimate = of(&json!({"type": "allAtOnce"}), &json!({}));
    assert_eq!(estimate.state_transitions, 14);
    assert_eq!((estimate.seconds, estimate.longest_seconds), (0, 0));
    assert_eq!(estimate.calls["lambda UpdateAlias"], 2);
    assert_eq!(estimate.calls["lambda UpdateFunctionCode"], 1);
    assert!(!estimate.calls.contains_key("cloudwatch DescribeAlarms"));
}

#[test]
fn steps_have_their_times_looks_and_approvals() {
    let estimate = of(
        &json!("prod"),
        &json!({"alarms": ["a"], "checkEverySeconds": 120}),
    );
    let seen: Vec<_> = estimate
        .steps
        .iter()
        .map(|step| {
            (
                step.weight.whole().unwrap(),
                step.after_seconds,
                step.longest_seconds,
                step.looks,
                step.approval,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (10, 0, 900, 3, false),
            (50, 300, 1800, 5, false),
            (95, 900, 900, 3, true)
        ]
    );
    assert_eq!((estimate.seconds, estimate.longest_seconds), (1200, 3600));
    assert_eq!(estimate.state_transitions, 10 + 3 + 11 * 3 + 3);
    assert_eq!(estimate.calls["cloudwatch DescribeAlarms"], 13);
}

#[test]
fn says_what_a_tenth_is_behind_each_splitter() {
    let weights = [json!(0.1), json!(2.5), json!(10), json!(100)];
    let steps = weights.map(|weight| json!({"weight": weight, "bakeSeconds": 60}));
    let steps = json!({"type": "canary", "steps": steps});
    let group = |name: &str| {
        format!(
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/73e2d6bc24d8a067"
        )
    };
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee";
    for (traffic, told) in [
        (
            json!({"type": "alias"}),
            ["0.1 %", "2.5 %", "10 %", "100 %"],
        ),
        (
            json!({"type": "alb", "ruleArn": rule, "targetGroupArns": [group("a"), group("b")]}),
            ["0.1 % (1 of 1000)", "2.5 % (25 of 1000)", "10 %", "100 %"],
        ),
        (
            json!({"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ", "recordName": "api.example.com"}),
            [
                "0.1 % (in fact 0.4 %, 1 of 256)",
                "2.5 % (1 of 40)",
                "10 %",
                "100 %",
            ],
        ),
    ] {
        let mut request = json!({"application": "chat", "strategy": steps, "traffic": traffic,
            "functions": [{"functionName": "f", "alias": "live"}]});
        if traffic["type"] == "alb" {
            request["functions"] = json!([{"functionName": "f"}]);
        }
        let estimate = match Request::parse(&request) {
            Ok(Request::Release(request)) => estimate(&request),
            other => panic!("{other:?}"),
        };
        let seen: Vec<_> = estimate.steps.iter().map(Step::on_green).collect();
        assert_eq!(seen, told);
    }
}

#[test]
fn counts_no_calls_for_a_step_without_traffic() {
    let estimate = of(&json!({"type": "blueGreen", "bakeSeconds": 60}), &json!({}));
    assert_eq!(estimate.calls["lambda UpdateAlias"], 2);
    assert_eq!(estimate.calls["cloudwatch GetMetricData"], 3);
}

#[test]
fn sums_the_parts_of_the_cost() {
    let cost = of(&json!("Linear10PercentEvery1Minute"), &json!({})).cost;
    let services = cost.step_functions + cost.lambda + cost.cloud_watch;
    let sum = services + cost.dynamo_db + cost.telling;
    assert!((cost.total - sum).abs() < 1e-12);
    assert!(cost.step_functions > cost.total / 2.0, "{cost:?}");
    assert!((0.0005..0.01).contains(&cost.total), "{cost:?}");
}
