//! Reads what can reach the idle side of a load balancer or of Route 53 although its weight is 0.
//!
//! What AWS cannot be asked for is not looked for: other records that lead to the idle side, other
//! stages and APIs that call an idle alias with the permission of one that may, and whoever may invoke
//! functions by a policy of his own.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{Action, ActionTypeEnum, ForwardActionConfig, Rule},
};
use futures::future::try_join_all;

use super::{
    classify::{classify, is},
    ledger::Ledger,
    traffic::Traffic,
};
use crate::{
    domain::{
        Timestamp,
        names::{
            AliasName, FunctionName, derived,
            resources::{ListenerArn, RuleArn},
        },
        policy::{Allowed, allowed},
        reachable::Way,
        traffic::{Forward, ForwardAt, FrontDoor, Layer, Records},
    },
    error::Error,
    protocol::{route53, splitter::alias_of},
    wire::request::FunctionRequest,
};

/// The services that may stand behind a record.
const API_GATEWAY: &str = "apigateway.amazonaws.com";
const BALANCERS: &str = "elasticloadbalancing.amazonaws.com";

impl Traffic {
    /// Reads what can reach the idle side of `door`, and when it lost its weight.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Transient`] where AWS does not tell: what is not known to be out of
    /// reach is not staged.
    pub async fn reachable(
        &self,
        ledger: &Ledger,
        door: &FrontDoor,
        functions: &[FunctionRequest],
    ) -> Result<Vec<Way>, Error> {
        match door {
            FrontDoor::Alias => Ok(Vec::new()),
            FrontDoor::Route53(records) => {
                let client = self.api().lambda();
                Box::pin(of_records(client, ledger, door, records, functions)).await
            }
            FrontDoor::Alb(forward) => {
                Box::pin(of_group(self.api().elb(), ledger, door, forward)).await
            }
        }
    }
}

// --- load balancers -----------------------------------------------------------------------------

/// One action that forwards to the idle group.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    /// The lock of the rule or listener.
    lock: String,
    /// Its ARN.
    at: String,
    /// The weight of the idle group.
    weight: u32,
    /// For how long clients are kept with their group, seconds; none when they are not.
    sticky_seconds: Option<u32>,
}

async fn of_group(
    client: &Client,
    ledger: &Ledger,
    door: &FrontDoor,
    forward: &Forward,
) -> Result<Vec<Way>, Error> {
    let group = forward.green.as_ref();
    let offers = offers(client, group).await?;
    let own = door.locks();
    let sticky = offers.iter().filter(|offer| offer.sticky_seconds.is_some());
    let locks = sticky.map(|offer| offer.lock.clone()).collect();
    let moved_at = ledger.splitters_moved_at(locks).await?;
    Ok(ways(&offers, &own, group, &moved_at))
}

/// Tells the ways to the idle group from what its load balancers do with it.
fn ways(
    offers: &[Offer],
    own: &[String],
    group: &str,
    moved_at: &BTreeMap<String, Timestamp>,
) -> Vec<Way> {
    let mut ways = Vec::new();
    for offer in offers {
        let is_own = own.contains(&offer.lock);
        if !is_own && offer.weight > 0 {
            ways.push(Way::Rule {
                at: offer.at.clone(),
                group: group.to_owned(),
                weight: offer.weight,
            });
        } else if let Some(seconds) = offer.sticky_seconds {
            ways.push(Way::Stickiness {
                at: offer.at.clone(),
                own: is_own,
                seconds,
                since: moved_at.get(&offer.lock).copied(),
            });
        }
    }
    ways
}

/// Reads all actions of the group's load balancers that name it.
async fn offers(client: &Client, group: &str) -> Result<Vec<Offer>, Error> {
    let found = client.describe_target_groups().target_group_arns(group);
    let found = match found.send().await {
        Ok(found) => found.target_groups.unwrap_or_default(),
        Err(error) if is(&error, "TargetGroupNotFound") => {
            return Err(Error::ValidationFailed(
                format!("traffic.targetGroupArns: there is no target group {group}").into(),
            ));
        }
        Err(error) => return Err(classify("DescribeTargetGroups", &error)),
    };
    let balancers = found
        .into_iter()
        .flat_map(|group| group.load_balancer_arns.unwrap_or_default());
    let listeners = try_join_all(balancers.map(|balancer| async move {
        client
            .describe_listeners()
            .load_balancer_arn(balancer)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify("DescribeListeners", &error))
    }))
    .await?;
    let listeners = listeners.into_iter().flatten();
    let listeners = listeners.filter_map(|listener| listener.listener_arn);
    let offers = try_join_all(listeners.map(|listener| async move {
        let rules = client
            .describe_rules()
            .listener_arn(&listener)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify("DescribeRules", &error))?;
        let offers = rules
            .iter()
            .filter_map(|rule| offer(rule, &listener, group));
        Ok::<_, Error>(offers.collect::<Vec<_>>())
    }))
    .await?;
    Ok(offers.into_iter().flatten().collect())
}

/// What a rule does with a group; none where it does not name it.
fn offer(rule: &Rule, listener: &str, group: &str) -> Option<Offer> {
    let at = rule.rule_arn().unwrap_or_default();
    let (lock, at) = if rule.is_default() == Some(true) {
        let place = listener.parse::<ListenerArn>().ok();
        let lock = place.map(|arn| ForwardAt::Listener(arn).lock());
        (lock, listener)
    } else {
        let place = at.parse::<RuleArn>().ok();
        (place.map(|arn| ForwardAt::Rule(arn).lock()), at)
    };
    let weights = rule
        .actions()
        .iter()
        .find_map(|action| weight(action, group));
    let (weight, sticky_seconds) = weights?;
    Some(Offer {
        lock: lock.unwrap_or_default(),
        at: at.to_owned(),
        weight,
        sticky_seconds,
    })
}

/// A group's weight in a forward action, and for how long that keeps clients with their group.
fn weight(action: &Action, group: &str) -> Option<(u32, Option<u32>)> {
    if action.r#type() != Some(&ActionTypeEnum::Forward) {
        return None;
    }
    let config = action.forward_config();
    let groups = config
        .map(ForwardActionConfig::target_groups)
        .unwrap_or_default();
    let found = groups
        .iter()
        .find(|one| one.target_group_arn() == Some(group));
    let weight = match (found, groups.len()) {
        // A group that is named alone has all of it.
        (None, 0) if action.target_group_arn() == Some(group) => 1,
        (Some(one), 1) => positive(one.weight()).max(1),
        (Some(one), _) => positive(one.weight()),
        (None, _) => return None,
    };
    let sticky = config
        .and_then(|config| config.target_group_stickiness_config())
        .filter(|sticky| sticky.enabled() == Some(true));
    Some((
        weight,
        sticky.map(|sticky| positive(sticky.duration_seconds())),
    ))
}

fn positive(number: Option<i32>) -> u32 {
    number
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or_default()
}

// --- Route 53 -----------------------------------------------------------------------------------

async fn of_records(
    client: &aws_sdk_lambda::Client,
    ledger: &Ledger,
    door: &FrontDoor,
    records: &Records,
    functions: &[FunctionRequest],
) -> Result<Vec<Way>, Error> {
    let moved_at = ledger.splitters_moved_at(door.locks()).await?;
    let resolvers = moved_at.into_values().map(|since| Way::Resolvers {
        record: records.record_name.without_dot().to_owned(),
        seconds: records.dns_seconds,
        since,
    });
    let mut ways: Vec<_> = resolvers.collect();
    let behind = records.layer.as_ref().map(|layers| &layers.green);
    let each = functions.iter().map(|asked| async move {
        let alias = derived::colour(alias_of(asked)?, &records.green).map_err(route53::unnamed)?;
        of_alias(client, &asked.function_name, &alias, behind).await
    });
    ways.extend(try_join_all(each).await?.into_iter().flatten());
    Ok(ways)
}

/// Reads who calls an idle alias past its record.
async fn of_alias(
    client: &aws_sdk_lambda::Client,
    function: &FunctionName,
    alias: &AliasName,
    behind: Option<&Layer>,
) -> Result<Vec<Way>, Error> {
    let named = format!("{function}:{alias}");
    let (urls, sources, policy) = futures::try_join!(
        async {
            client
                .list_function_url_configs()
                .function_name(function.as_ref())
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await
                .map_err(|error| classify(&format!("ListFunctionUrlConfigs of {function}"), &error))
        },
        async {
            let listed = client
                .list_event_source_mappings()
                .function_name(&named)
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await;
            match listed {
                Ok(listed) => Ok(listed),
                // No alias yet: the release makes it.
                Err(error) if is(&error, "ResourceNotFoundException") => Ok(Vec::new()),
                Err(error) => Err(classify(
                    &format!("ListEventSourceMappings of {named}"),
                    &error,
                )),
            }
        },
        async {
            let policy = client.get_policy().function_name(function.as_ref());
            match policy.qualifier(alias.as_ref()).send().await {
                Ok(policy) => Ok(policy.policy.unwrap_or_default()),
                Err(error) if is(&error, "ResourceNotFoundException") => Ok(String::new()),
                Err(error) => Err(classify(&format!("GetPolicy of {named}"), &error)),
            }
        },
    )?;
    let end = format!(":{alias}");
    let urls = urls
        .iter()
        .filter(|url| url.function_arn().ends_with(&end))
        .map(|url| Way::FunctionUrl {
            alias: named.clone(),
            url: url.function_url().to_owned(),
        });
    let sources = sources
        .iter()
        .filter(|mapping| {
            let arn = mapping.function_arn();
            arn.is_some_and(|arn| arn.ends_with(&end)) && mapping.state() != Some("Disabled")
        })
        .map(|mapping| Way::EventSource {
            alias: named.clone(),
            uuid: mapping.uuid().unwrap_or_default().to_owned(),
            source: mapping
                .event_source_arn()
                .unwrap_or("an event source")
                .to_owned(),
        });
    let callers = allowed(&policy).into_iter();
    let permissions = callers
        .filter(|one| !one.by_url && !is_behind(one, behind))
        .map(|one| Way::Permission {
            alias: named.clone(),
            caller: match &one.source {
                Some(source) => format!("{} ({source})", one.principal),
                None => one.principal.clone(),
            },
            id: one.id,
        });
    Ok(urls.chain(sources).chain(permissions).collect())
}

/// Whether a permission is of what the record leads to, as far as the request names it. A REST API is
/// named as its metrics are, and not by its id, so any is taken for it.
fn is_behind(one: &Allowed, behind: Option<&Layer>) -> bool {
    match (one.principal.as_str(), behind) {
        (API_GATEWAY, None | Some(Layer::RestApi { .. }))
        | (BALANCERS, None | Some(Layer::LoadBalancer { .. })) => true,
        (API_GATEWAY, Some(Layer::HttpApi { api_id, .. })) => {
            // arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH
            let source = one.source.as_deref().unwrap_or_default();
            let api = source.splitn(6, ':').nth(5).unwrap_or_default();
            api.split('/').next() == Some(api_id)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::{
        ForwardActionConfig, TargetGroupStickinessConfig, TargetGroupTuple,
    };

    use super::*;

    const LISTENER: &str =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/1/2";
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
}
