//! Before green may be reached, what reaches the idle side of a load balancer or of Route 53 is refused,
//! waited out, or accepted by its name.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, RuleCondition, TargetGroupTuple,
};
use crossfade_tests::{Alb, Behaviour, Dns, Ended, Execution, Target, alb::Made};
use serde_json::{Value, json};

use crate::case::{ALIAS, Case, Test, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("reachable_through_another_rule", |case| {
            through_another(case, false)
        }),
        test("reachable_through_another_rule_of_the_listener", |case| {
            through_another(case, true)
        }),
        test(
            "reachable_through_another_listeners_default_action",
            through_another_listener,
        ),
        test("reachable_by_sticky_clients_for_a_day", sticky_for_a_day),
        test(
            "reachable_by_sticky_clients_for_a_minute",
            sticky_for_a_minute,
        ),
        test("reachable_by_late_resolvers", late_resolvers),
        test("reachable_past_the_record", past_the_record),
        test("reachable_by_nobody_is_not_waited_for", by_nobody),
    ]
}

/// A load balancer whose blue group has version 1, and a function whose `$LATEST` is to be released.
async fn balancer(case: &Case, made: Made) -> (Target, Alb) {
    let target = case.function(Behaviour::healthy("blue")).await;
    assert_eq!(target.publish().await, "1");
    let name = format!("it-{:x}", crc(&case.name));
    let alb = Alb::create(&case.suite().local, &name, made).await;
    alb.send_to(&alb.blue, &target, "1").await;
    target.update(Behaviour::healthy("green")).await;
    (target, alb)
}

/// A short name that no other test has.
fn crc(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn through(case: &Case, target: &Target, alb: &Alb, accept: &[&str]) -> Value {
    let mut request = case.request(json!({"strategy": {"type": "allAtOnce"}}));
    request["functions"] = json!([{"functionName": target.name}]);
    let mut traffic = json!({"type": "alb", "targetGroupArns": [alb.blue, alb.green]});
    match &alb.rule {
        Some(rule) => traffic["ruleArn"] = json!(rule),
        None => traffic["listenerArn"] = json!(alb.listener),
    }
    if !accept.is_empty() {
        traffic["acceptReachable"] = json!(accept);
    }
    request["traffic"] = traffic;
    request
}

/// A release that ends well. Returns whether it waited for the idle side.
async fn released(case: &Case, request: &Value) -> (Execution, Ended, bool) {
    let (execution, ended) = case.release(request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL");
    let states = execution.states_entered().await;
    let at = |name: &str| states.iter().position(|state| state == name);
    let waited = at("AwaitIdle").is_some();
    if waited {
        assert!(at("AwaitIdle") < at("ValidateGreen"), "{states:?}");
    }
    (execution, ended, waited)
}

/// A release that is refused for this, before anything was made.
async fn refused(case: &Case, request: &Value, target: &Target, because: &[&str]) {
    let before = target.versions().await;
    let (_, ended) = case.release(request).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    let reason = ended.cause["reason"].as_str().expect("it says why");
    println!("refused: {reason}");
    for text in because {
        assert!(reason.contains(text), "{text} in {reason}");
    }
    assert_eq!(target.versions().await, before, "nothing was published");
}

fn warns(ended: &Ended, text: &str) -> bool {
    let warnings = ended.output["warnings"].as_array();
    let mut warnings = warnings.into_iter().flatten().filter_map(Value::as_str);
    warnings.any(|warning| warning.contains(text))
}

/// Another rule of a listener, that forwards to both groups, all of it to blue's.
async fn another_rule(alb: &Alb, listener: &str) -> String {
    let condition = RuleCondition::builder()
        .field("path-pattern")
        .values("/admin*");
    let made = alb.elb().create_rule().listener_arn(listener).priority(2);
    let made = made.conditions(condition.build()).actions(both(alb));
    let made = made.send().await.expect("a rule can be made").rules;
    let made = made.and_then(|all| all.into_iter().next()?.rule_arn);
    made.expect("it is told")
}

fn both(alb: &Alb) -> Action {
    let group = |arn: &str, weight| {
        let tuple = TargetGroupTuple::builder().target_group_arn(arn);
        tuple.weight(weight).build()
    };
    let config = ForwardActionConfig::builder()
        .target_groups(group(&alb.blue, 100))
        .target_groups(group(&alb.green, 0));
    let action = Action::builder().r#type(ActionTypeEnum::Forward);
    action.forward_config(config.build()).build()
}

/// One service behind two rules, of which a release names one.
async fn through_another(case: Case, by_default: bool) {
    let made = Made {
        by_default,
        ..Made::default()
    };
    let (target, alb) = balancer(&case, made).await;
    let other = another_rule(&alb, &alb.listener).await;
    // At first the idle group has no weight there either.
    let (_, _, waited) = released(&case, &through(&case, &target, &alb, &[])).await;
    assert!(!waited);
    target.update(Behaviour::healthy("next")).await;
    let because = [other.as_str(), alb.blue.as_str(), "weight 100"];
    let request = through(&case, &target, &alb, &[]);
    refused(&case, &request, &target, &because).await;
    let accept = through(&case, &target, &alb, &[&other]);
    let (_, ended, _) = released(&case, &accept).await;
    assert!(
        warns(&ended, "accepted by traffic.acceptReachable"),
        "{ended:?}"
    );
    let evidence = &ended.output["evidence"]["acceptedReachable"];
    assert_eq!(*evidence, json!([other]), "{ended:?}");
}

/// The group is the whole of another listener's default action.
async fn through_another_listener(case: Case) {
    let (target, alb) = balancer(&case, Made::default()).await;
    let listeners = alb.elb().describe_listeners();
    let listeners = listeners.listener_arns(&alb.listener).send().await;
    let listeners = listeners.expect("it is there").listeners;
    let balancer = listeners.and_then(|all| all.into_iter().next()?.load_balancer_arn);
    let only = Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .target_group_arn(&alb.green);
    let made = alb.elb().create_listener();
    let made = made.set_load_balancer_arn(balancer).port(8080);
    let made = made.protocol(aws_sdk_elasticloadbalancingv2::types::ProtocolEnum::Http);
    let made = made.default_actions(only.build()).send().await;
    let made = made.expect("a listener can be made").listeners;
    let other = made
        .and_then(|all| all.into_iter().next()?.listener_arn)
        .expect("it is told");
    let request = through(&case, &target, &alb, &[]);
    refused(&case, &request, &target, &[&other, &alb.green]).await;
    released(&case, &through(&case, &target, &alb, &[&other])).await;
}

/// Clients keep to the group of the last release for a day.
async fn sticky_for_a_day(case: Case) {
    let made = Made {
        sticky_seconds: Some(86_400),
        ..Made::default()
    };
    let (target, alb) = balancer(&case, made).await;
    let (_, ended, waited) = released(&case, &through(&case, &target, &alb, &[])).await;
    assert!(!waited && warns(&ended, "not on record"), "{ended:?}");
    target.update(Behaviour::healthy("next")).await;
    let request = through(&case, &target, &alb, &[]);
    let because = [
        "86400 s",
        "until 20",
        "\"acceptReachable\": [\"stickiness\"]",
    ];
    refused(&case, &request, &target, &because).await;
    let (_, ended, waited) = released(&case, &through(&case, &target, &alb, &["stickiness"])).await;
    assert!(!waited && warns(&ended, "accepted by"), "{ended:?}");
}

async fn sticky_for_a_minute(case: Case) {
    let made = Made {
        sticky_seconds: Some(300),
        by_default: true,
        ..Made::default()
    };
    let (target, alb) = balancer(&case, made).await;
    released(&case, &through(&case, &target, &alb, &[])).await;
    target.update(Behaviour::healthy("next")).await;
    let (execution, _, waited) = released(&case, &through(&case, &target, &alb, &[])).await;
    assert!(waited);
    let visits = execution.visits().await;
    let visit = visits.iter().find(|visit| visit.state == "AwaitIdle");
    let visit = visit.expect("it waits");
    let asked = visit.input["idleWaitSeconds"].as_u64();
    println!("waits {asked:?} s of 300");
    assert!(
        asked.is_some_and(|seconds| (240..=300).contains(&seconds)),
        "{asked:?}"
    );
}

/// A zone with both records, whose aliases are on version 1.
async fn zone(case: &Case) -> (Target, Dns) {
    let target = case.function(Behaviour::healthy("blue")).await;
    assert_eq!(target.publish().await, "1");
    let name = format!("it-{:x}", crc(&case.name));
    let dns = Dns::create(&case.suite().local, &name).await;
    for colour in ["blue", "green"] {
        let alias = format!("{ALIAS}-{colour}");
        target.alias(&alias, "1").await;
        dns.send_to(colour, &target, &alias).await;
    }
    target.update(Behaviour::healthy("green")).await;
    (target, dns)
}

fn by_records(case: &Case, dns: &Dns, accept: &[&str]) -> Value {
    let mut request = case.request(json!({"strategy": {"type": "allAtOnce"}}));
    request["traffic"] =
        json!({"type": "route53", "hostedZoneId": dns.zone, "recordName": dns.name});
    if !accept.is_empty() {
        request["traffic"]["acceptReachable"] = json!(accept);
    }
    request
}

async fn late_resolvers(case: Case) {
    let (target, dns) = zone(&case).await;
    let (_, _, waited) = released(&case, &by_records(&case, &dns, &[])).await;
    assert!(!waited, "nothing was released here before");
    target.update(Behaviour::healthy("next")).await;
    let (execution, _, waited) = released(&case, &by_records(&case, &dns, &[])).await;
    assert!(waited);
    let visits = execution.visits().await;
    let visit = visits.iter().find(|visit| visit.state == "AwaitIdle");
    let visit = visit.expect("it waits");
    // A minute of TTL, and one of grace.
    let asked = visit.input["idleWaitSeconds"].as_u64();
    println!("waits {asked:?} s of 120");
    assert!(
        asked.is_some_and(|seconds| (60..=120).contains(&seconds)),
        "{asked:?}"
    );
    target.update(Behaviour::healthy("last")).await;
    let (_, ended, waited) = released(&case, &by_records(&case, &dns, &["resolvers"])).await;
    assert!(!waited && warns(&ended, "accepted by"), "{ended:?}");
}

async fn past_the_record(case: Case) {
    let (target, dns) = zone(&case).await;
    let lambda = target.lambda();
    let permitted = lambda.add_permission().function_name(&target.name);
    let permitted = permitted.qualifier("live-green").statement_id("uploads");
    let permitted = permitted.principal("s3.amazonaws.com");
    let permitted = permitted.action("lambda:InvokeFunction").send().await;
    permitted.expect("it can be permitted");
    let because = [
        "\"uploads\"",
        "s3.amazonaws.com",
        "live-green",
        "permission:uploads",
    ];
    let request = by_records(&case, &dns, &[]);
    refused(&case, &request, &target, &because).await;

    let url = lambda
        .create_function_url_config()
        .function_name(&target.name);
    let url = url.qualifier("live-green");
    let url = url.auth_type(aws_sdk_lambda::types::FunctionUrlAuthType::None);
    let url = url.send().await.expect("a URL can be made").function_url;
    let request = by_records(&case, &dns, &["permission:uploads"]);
    refused(&case, &request, &target, &[&url, "functionUrl"]).await;

    let both = ["permission:uploads", "functionUrl"];
    let (_, ended, _) = released(&case, &by_records(&case, &dns, &both)).await;
    let evidence = &ended.output["evidence"]["acceptedReachable"];
    let mut named: Vec<_> = evidence.as_array().into_iter().flatten().collect();
    named.sort_by_key(ToString::to_string);
    assert_eq!(named, ["functionUrl", "permission:uploads"], "{ended:?}");
    // Of the other colour nobody asks: it is not the idle one any more.
    target.update(Behaviour::healthy("next")).await;
    let (_, ended, _) = released(&case, &by_records(&case, &dns, &both)).await;
    assert!(warns(&ended, "\"functionUrl\" is not a way"), "{ended:?}");
}

/// A release that was rejected has moved no weight: the next one waits for nothing.
async fn by_nobody(case: Case) {
    let (target, dns) = zone(&case).await;
    target
        .update(Behaviour {
            crash: true,
            ..Behaviour::healthy("broken")
        })
        .await;
    let mut request = by_records(&case, &dns, &[]);
    request["functions"][0]["smokeTests"] = json!([{"name": "answers", "payload": {}}]);
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    target.update(Behaviour::healthy("mended")).await;
    let (_, _, waited) = released(&case, &request).await;
    assert!(!waited);
}
