use aws_sdk_elasticloadbalancingv2::types::{
    ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
};

use super::*;

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/1/2";
const RULE: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/3";

fn forward(groups: &[(&str, i32)], sticky: Option<i32>) -> Action {
    let tuples = groups.iter().map(|(arn, weight)| {
        let tuple = TargetGroupTuple::builder().target_group_arn(*arn);
        tuple.weight(*weight).build()
    });
    let sticky = sticky.map(|seconds| {
        let config = TargetGroupStickinessConfig::builder().enabled(true);
        config.duration_seconds(seconds).build()
    });
    let config = ForwardActionConfig::builder()
        .set_target_groups(Some(tuples.collect()))
        .set_target_group_stickiness_config(sticky);
    let action = Action::builder().r#type(ActionTypeEnum::Forward);
    action.forward_config(config.build()).build()
}

fn rule(action: Action) -> Rule {
    Rule::builder().rule_arn(RULE).actions(action).build()
}

fn seen(action: Action) -> Option<(u32, Option<u32>)> {
    let offer = offer(&rule(action), LISTENER, "green")?;
    assert_eq!(
        (offer.at.as_str(), offer.lock),
        (RULE, format!("rule/{RULE}"))
    );
    Some((offer.weight, offer.sticky_seconds))
}

#[test]
fn reads_what_a_rule_does_with_the_group() {
    let single = Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .target_group_arn("green")
        .build();
    assert_eq!(seen(single), Some((1, None)));
    assert_eq!(
        seen(forward(&[("green", 0)], None)),
        Some((1, None)),
        "alone"
    );
    let parked = forward(&[("blue", 100), ("green", 0)], None);
    assert_eq!(seen(parked), Some((0, None)));
    let split = forward(&[("blue", 1), ("green", 7)], Some(60));
    assert_eq!(seen(split), Some((7, Some(60))));
    assert_eq!(seen(forward(&[("blue", 1), ("other", 7)], Some(60))), None);
    let fixed = Action::builder().r#type(ActionTypeEnum::FixedResponse);
    assert_eq!(seen(fixed.build()), None);
}

#[test]
fn takes_a_listeners_default_rule_for_the_listener() {
    let rule = Rule::builder()
        .rule_arn("arn:default")
        .is_default(true)
        .actions(forward(&[("green", 1)], None))
        .build();
    let offer = offer(&rule, LISTENER, "green").unwrap();
    assert_eq!(
        (offer.at.as_str(), offer.lock),
        (LISTENER, format!("listener/{LISTENER}"))
    );
}

#[test]
fn tells_the_releases_own_rules_from_others() {
    let at = "2026-11-20T12:00:00Z".parse().unwrap();
    let offer = |lock: &str, weight, sticky_seconds| Offer {
        lock: lock.into(),
        at: format!("arn:{lock}"),
        weight,
        sticky_seconds,
    };
    let offers = [
        offer("own", 0, None),
        offer("own sticky", 0, Some(60)),
        offer("parked", 0, None),
        offer("parked sticky", 0, Some(30)),
        offer("other", 3, Some(60)),
    ];
    let own = ["own".to_owned(), "own sticky".to_owned()];
    let moved = BTreeMap::from([("own sticky".to_owned(), at)]);
    let sticky = |lock: &str, own, seconds, since| Way::Stickiness {
        at: format!("arn:{lock}"),
        own,
        seconds,
        since,
    };
    assert_eq!(
        ways(&offers, &own, "green", &moved),
        [
            sticky("own sticky", true, 60, Some(at)),
            sticky("parked sticky", false, 30, None),
            Way::Rule {
                at: "arn:other".into(),
                group: "green".into(),
                weight: 3,
            },
        ]
    );
}

#[test]
fn takes_only_what_is_behind_the_record_for_its_caller() {
    let one = |principal: &str, source: Option<&str>| Allowed {
        id: "s".into(),
        principal: principal.into(),
        is_service: true,
        by_url: false,
        source: source.map(str::to_owned),
    };
    let api = |id: &str| format!("arn:aws:execute-api:eu-west-1:1:{id}/prod/GET/*");
    let http = Layer::HttpApi {
        api_id: "a1".into(),
        stage: "prod".into(),
    };
    let balancer = Layer::LoadBalancer {
        load_balancer: "app/web/1".into(),
    };
    let (ours, theirs) = (
        one(API_GATEWAY, Some(&api("a1"))),
        one(API_GATEWAY, Some(&api("b2"))),
    );
    assert!(is_behind(&ours, None) && is_behind(&theirs, None));
    assert!(is_behind(&ours, Some(&http)) && !is_behind(&theirs, Some(&http)));
    assert!(
        !is_behind(&one(API_GATEWAY, None), Some(&http)),
        "from anywhere"
    );
    assert!(!is_behind(&ours, Some(&balancer)));
    assert!(is_behind(&one(BALANCERS, None), Some(&balancer)));
    assert!(!is_behind(&one("s3.amazonaws.com", None), None));
    assert!(!is_behind(&one("*", None), None));
}
