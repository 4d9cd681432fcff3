//! Reads what can reach the idle side of a load balancer or of Route 53 although its weight is 0.
//!
//! What AWS has no call for is not looked for: other records that lead to the idle side, other
//! stages and APIs that call an idle alias with the permission of one that may, and callers that may
//! invoke functions by an identity policy.

#[cfg(test)]
mod tests;

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
        traffic::{Forward, ForwardAt, Layer, Records, Splitter},
    },
    error::Error,
    protocol::{route53, splitter::alias_of},
    wire::request::FunctionRequest,
};

/// The services that may stand behind a record.
const API_GATEWAY: &str = "apigateway.amazonaws.com";
const BALANCERS: &str = "elasticloadbalancing.amazonaws.com";

impl Traffic {
    /// Reads what can reach the idle side of `splitter`, and when it lost its weight.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Transient`] where AWS does not answer: what is not known to be out
    /// of reach is not staged.
    pub async fn reachable(
        &self,
        ledger: &Ledger,
        splitter: &Splitter,
        functions: &[FunctionRequest],
    ) -> Result<Vec<Way>, Error> {
        match splitter {
            Splitter::Alias => Ok(Vec::new()),
            Splitter::Route53(records) => {
                let client = self.api().lambda();
                Box::pin(of_records(client, ledger, splitter, records, functions)).await
            }
            Splitter::Alb(forward) => {
                Box::pin(of_group(self.api().elb(), ledger, splitter, forward)).await
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
    splitter: &Splitter,
    forward: &Forward,
) -> Result<Vec<Way>, Error> {
    let group = forward.green.as_ref();
    let offers = offers(client, group).await?;
    let own = splitter.locks();
    let sticky = offers.iter().filter(|offer| offer.sticky_seconds.is_some());
    let locks = sticky.map(|offer| offer.lock.clone()).collect();
    let moved_at = ledger.splitters_moved_at(locks).await?;
    Ok(ways(&offers, &own, group, &moved_at))
}

/// Derives the ways to the idle group from what its load balancers do with it.
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
    splitter: &Splitter,
    records: &Records,
    functions: &[FunctionRequest],
) -> Result<Vec<Way>, Error> {
    let moved_at = ledger.splitters_moved_at(splitter.locks()).await?;
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
