//! Elastic Load Balancing: forward actions, read and written back with other weights, and target groups.
//!
//! `ModifyRule` and `ModifyListener` replace the whole list of actions (<https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyRule.html>).

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::{
    client::Waiters,
    types::{
        Action, ActionTypeEnum, ForwardActionConfig, TargetDescription, TargetGroupTuple,
        TargetHealthStateEnum,
    },
};

use super::{
    classify::{classify, is},
    traffic::Clients,
};
use crate::{
    domain::{
        names::{FunctionName, Version, derived, resources::TargetGroupArn},
        traffic::ForwardAt,
    },
    error::Error,
    ports::{ForwardApi, Forwarding, GroupTarget, Registered},
};

impl ForwardApi for Clients {
    type Actions = Vec<Action>;

    async fn forward(&self, at: &ForwardAt) -> Result<Forwarding<Vec<Action>>, Error> {
        let actions = match at {
            ForwardAt::Rule(arn) => {
                let call = self.elb().describe_rules().rule_arns(arn.as_ref());
                let found = call.send().await;
                let found = found.map_err(|error| classify("DescribeRules", &error))?;
                found
                    .rules
                    .unwrap_or_default()
                    .pop()
                    .and_then(|rule| rule.actions)
            }
            ForwardAt::Listener(arn) => {
                let call = self.elb().describe_listeners().listener_arns(arn.as_ref());
                let found = call.send().await;
                let found = found.map_err(|error| classify("DescribeListeners", &error))?;
                let listener = found.listeners.unwrap_or_default().pop();
                listener.and_then(|listener| listener.default_actions)
            }
        };
        let actions = actions.unwrap_or_default();
        Ok(Forwarding {
            groups: weights(&actions),
            sticky_seconds: sticky(&actions),
            unknown_kind: actions.iter().find_map(unknown_kind),
            actions,
        })
    }

    async fn set_weights(
        &self,
        at: &ForwardAt,
        seen: Vec<Action>,
        weights: [(&TargetGroupArn, u32); 2],
    ) -> Result<(), Error> {
        let actions = reweighted(seen, weights);
        match at {
            ForwardAt::Rule(arn) => {
                let call = self.elb().modify_rule().rule_arn(arn.as_ref());
                let done = call.set_actions(Some(actions)).send().await;
                done.map(drop)
                    .map_err(|error| classify("ModifyRule", &error))
            }
            ForwardAt::Listener(arn) => {
                let call = self.elb().modify_listener().listener_arn(arn.as_ref());
                let done = call.set_default_actions(Some(actions)).send().await;
                done.map(drop)
                    .map_err(|error| classify("ModifyListener", &error))
            }
        }
    }

    async fn targets(&self, group: &TargetGroupArn) -> Result<Vec<GroupTarget>, Error> {
        let health = self
            .elb()
            .describe_target_health()
            .target_group_arn(group.as_ref())
            .send()
            .await
            .map_err(|error| classify("DescribeTargetHealth", &error))?;
        let each = health.target_health_descriptions().iter();
        Ok(each
            .filter_map(|one| {
                let state = one.target_health().and_then(|health| health.state());
                Some(GroupTarget {
                    id: one.target()?.id()?.to_owned(),
                    healthy: state == Some(&TargetHealthStateEnum::Healthy),
                    draining: matches!(
                        state,
                        Some(
                            TargetHealthStateEnum::Draining
                                | TargetHealthStateEnum::UnhealthyDraining
                        )
                    ),
                })
            })
            .collect())
    }

    async fn register(&self, group: &TargetGroupArn, id: &str) -> Result<Registered, Error> {
        let done = self
            .elb()
            .register_targets()
            .target_group_arn(group.as_ref())
            .targets(TargetDescription::builder().id(id).build())
            .send()
            .await;
        match done {
            Ok(_) => Ok(Registered::Done),
            Err(error) => {
                let classified = classify("RegisterTargets", &error);
                if is(&error, "AccessDenied") {
                    Ok(Registered::Denied(classified))
                } else {
                    Err(classified)
                }
            }
        }
    }

    async fn deregister(&self, group: &TargetGroupArn, id: &str) -> Result<(), Error> {
        let done = self
            .elb()
            .deregister_targets()
            .target_group_arn(group.as_ref())
            .targets(TargetDescription::builder().id(id).build())
            .send()
            .await;
        done.map(drop)
            .map_err(|error| classify("DeregisterTargets", &error))
    }

    async fn wait_until_healthy(
        &self,
        group: &TargetGroupArn,
        limit: Duration,
    ) -> Result<(), Error> {
        let done = self
            .elb()
            .wait_until_target_in_service()
            .target_group_arn(group.as_ref())
            .wait(limit)
            .await;
        done.map(drop).map_err(|error| {
            Error::ValidationFailed(format!("{group} did not become healthy: {error}").into())
        })
    }

    async fn permit(
        &self,
        function: &FunctionName,
        version: &Version,
        group: &TargetGroupArn,
    ) -> Result<(), Error> {
        let added = self
            .lambda()
            .add_permission()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .statement_id(derived::target_group_statement(group))
            .action("lambda:InvokeFunction")
            .principal("elasticloadbalancing.amazonaws.com")
            .source_arn(group.as_ref())
            .send()
            .await;
        match added {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "ResourceConflictException") => Ok(()),
            Err(error) => Err(classify("AddPermission", &error)),
        }
    }
}

/// Returns the type of an action that is not known, and so could not be written back.
fn unknown_kind(action: &Action) -> Option<String> {
    let kind = action.r#type.as_ref()?.as_str();
    let known = ActionTypeEnum::values().contains(&kind);
    (!known).then(|| kind.to_owned())
}

fn is_forward(action: &Action) -> bool {
    action.r#type == Some(ActionTypeEnum::Forward)
}

/// Returns the groups that the forward action names, with their weights; `None` without a forward action.
/// One that is named alone has all.
fn weights(actions: &[Action]) -> Option<Vec<(String, u32)>> {
    let forward = actions.iter().find(|action| is_forward(action))?;
    let groups = forward
        .forward_config()
        .map(ForwardActionConfig::target_groups)
        .unwrap_or_default();
    Some(match (groups, forward.target_group_arn()) {
        ([], Some(only)) => vec![(only.to_owned(), 1)],
        ([only], _) => vec![(group_arn(only), weight(only).max(1))],
        (groups, _) => groups
            .iter()
            .map(|group| (group_arn(group), weight(group)))
            .collect(),
    })
}

fn group_arn(group: &TargetGroupTuple) -> String {
    group.target_group_arn().unwrap_or_default().to_owned()
}

fn weight(group: &TargetGroupTuple) -> u32 {
    group
        .weight()
        .and_then(|weight| u32::try_from(weight).ok())
        .unwrap_or_default()
}

/// Returns how long clients are kept with their group, seconds; none when they are not.
fn sticky(actions: &[Action]) -> Option<i32> {
    let forward = actions.iter().find(|action| is_forward(action))?;
    let config = forward.forward_config()?.target_group_stickiness_config()?;
    (config.enabled() == Some(true)).then(|| config.duration_seconds().unwrap_or_default())
}

/// Returns the same actions with other weights of two groups. All else is as it was, groups that
/// are parked with weight 0 included, and their order.
fn reweighted(actions: Vec<Action>, weights: [(&TargetGroupArn, u32); 2]) -> Vec<Action> {
    let mut ours = weights.map(|(group, weight)| (group.as_ref(), weight, false));
    let weighted = |arn: &str, weight: u32| {
        TargetGroupTuple::builder()
            .target_group_arn(arn)
            .weight(i32::try_from(weight).unwrap_or(i32::MAX))
            .build()
    };
    actions
        .into_iter()
        .map(|mut action| {
            if is_forward(&action) {
                let config = action.forward_config.take();
                let config = config.unwrap_or_else(|| ForwardActionConfig::builder().build());
                // One group alone may be named without a list.
                let only = action.target_group_arn.take();
                let only = only.map(|only| weighted(&only, 1));
                let named = config.target_groups.filter(|groups| !groups.is_empty());
                let mut groups = named.unwrap_or_else(|| only.into_iter().collect());
                for group in &mut groups {
                    for (arn, weight, is_named) in &mut ours {
                        if group.target_group_arn() == Some(*arn) {
                            group.weight = i32::try_from(*weight).ok();
                            *is_named = true;
                        }
                    }
                }
                let missing = ours.iter().filter(|(_, _, is_named)| !is_named);
                groups.extend(missing.map(|(arn, weight, _)| weighted(arn, *weight)));
                action.forward_config = Some(
                    ForwardActionConfig::builder()
                        .set_target_groups(Some(groups))
                        .set_target_group_stickiness_config(config.target_group_stickiness_config)
                        .build(),
                );
            }
            // The secret is not returned, and is kept by this flag.
            if let Some(oidc) = &mut action.authenticate_oidc_config
                && oidc.client_secret.is_none()
            {
                oidc.use_existing_client_secret = Some(true);
            }
            action
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::TargetGroupStickinessConfig;

    use super::*;

    const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";

    fn group(name: &str) -> String {
        format!("{ARN}:targetgroup/{name}/73e2d6bc24d8a067")
    }

    fn reweighted_to(before: Action, blue: u32, green: u32) -> Vec<Action> {
        let arn = |name: &str| group(name).parse::<TargetGroupArn>().unwrap();
        let weights = [(&arn("blue"), blue), (&arn("green"), green)];
        reweighted(vec![before], weights)
    }

    fn tuples(weights: &[(&str, i32)]) -> Vec<TargetGroupTuple> {
        let each = weights.iter().map(|(name, weight)| {
            TargetGroupTuple::builder()
                .target_group_arn(group(name))
                .weight(*weight)
                .build()
        });
        each.collect()
    }

    fn to(weights: &[(&str, i32)]) -> ForwardActionConfig {
        let sticky = TargetGroupStickinessConfig::builder()
            .enabled(true)
            .duration_seconds(60)
            .build();
        ForwardActionConfig::builder()
            .set_target_groups(Some(tuples(weights)))
            .target_group_stickiness_config(sticky)
            .build()
    }

    fn action(config: ForwardActionConfig) -> Action {
        Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .order(50)
            .forward_config(config)
            .build()
    }

    #[test]
    fn keeps_parked_groups_and_their_order() {
        let before = action(to(&[("parked", 0), ("green", 0), ("old", 0), ("blue", 1)]));
        let after = action(to(&[
            ("parked", 0),
            ("green", 10),
            ("old", 0),
            ("blue", 90),
        ]));
        assert_eq!(reweighted_to(before, 90, 10), [after]);
    }

    #[test]
    fn adds_green_to_a_group_that_is_named_alone() {
        let named = Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .target_group_arn(group("blue"))
            .build();
        let mut both = action(to(&[("blue", 1)]));
        both.target_group_arn = Some(group("blue"));
        for before in [named, both] {
            let after = reweighted_to(before.clone(), 90, 10);
            let [after] = &after[..] else { unreachable!() };
            assert_eq!(after.target_group_arn, None);
            assert_eq!(after.order, before.order);
            let config = after.forward_config.as_ref().unwrap();
            assert_eq!(
                config.target_groups(),
                tuples(&[("blue", 90), ("green", 10)])
            );
        }
    }

    #[test]
    fn refuses_an_action_that_could_not_be_written_back() {
        let of = |kind: &str| Action::builder().r#type(kind.into()).build();
        assert_eq!(unknown_kind(&of("forward")), None);
        assert_eq!(unknown_kind(&of("jwt-validation")), None);
        assert_eq!(unknown_kind(&of("teleport")), Some("teleport".into()));
    }
}
