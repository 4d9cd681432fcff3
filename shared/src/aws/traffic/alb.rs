//! An Application Load Balancer: two weighted target groups of a rule's forward action.
//!
//! `ModifyRule` and `ModifyListener` replace the whole list of actions, and neither gives revisions:
//! the actions are read right before, and all but the weights is sent back as it was (AWS-FACTS 6).

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::{
    Client,
    client::Waiters,
    types::{
        Action, ActionTypeEnum, ForwardActionConfig, TargetDescription, TargetGroupTuple,
        TargetHealthStateEnum,
    },
};

use super::{Observed, Serving, alias::Aliases, weighted::Weighted};
use crate::{
    aws::classify::{classify, is},
    domain::{
        front_door::{Forward, ForwardAt, FrontDoor},
        names::{AliasName, FunctionName, Version},
        release::{InForce, Target},
        resources::TargetGroupArn,
        shares::{Scale, Shares},
    },
    error::Error,
    wire::request::{Alb, FunctionRequest},
};

/// How long the targets of a group that is not Lambda's may take to be healthy.
const HEALTHY: Duration = Duration::from_mins(5);

/// The two groups of a release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    client: &'a Client,
    forward: &'a Forward,
}

impl<'a> Pair<'a> {
    pub(super) fn new(client: &'a Client, forward: &'a Forward) -> Self {
        Self { client, forward }
    }
}

impl Weighted for Pair<'_> {
    type Seen = Vec<Action>;
    const SCALE: Scale = Scale::Groups;

    fn shown(&self) -> String {
        self.forward.at.lock()
    }

    async fn read(&self) -> Result<(Shares, Vec<Action>), Error> {
        let actions = read(self.client, &self.forward.at).await?;
        let mut groups = weights(&actions, &self.shown())?;
        let mut take = |group: &TargetGroupArn| {
            let index = groups.iter().position(|(arn, _)| arn == group.as_ref());
            index.map_or(0, |index| groups.swap_remove(index).1)
        };
        let shares = Shares {
            blue: take(&self.forward.blue),
            green: take(&self.forward.green),
        };
        alone(&self.shown(), &groups)?;
        Ok((shares, actions))
    }

    async fn write(&self, seen: Vec<Action>, shares: Shares) -> Result<InForce, Error> {
        let actions = reweighted(seen, self.forward, shares);
        match &self.forward.at {
            ForwardAt::Rule(arn) => {
                let call = self.client.modify_rule().rule_arn(arn.as_ref());
                let done = call.set_actions(Some(actions)).send().await;
                done.map_err(|error| classify("ModifyRule", &error))?;
            }
            ForwardAt::Listener(arn) => {
                let call = self.client.modify_listener().listener_arn(arn.as_ref());
                let done = call.set_default_actions(Some(actions)).send().await;
                done.map_err(|error| classify("ModifyListener", &error))?;
            }
        }
        Ok(InForce::AtOnce)
    }

    fn already(&self) -> InForce {
        InForce::AtOnce
    }
}

/// Which group serves, and what is registered in it.
pub(super) async fn observe(
    client: &Client,
    aliases: &Aliases,
    asked: &Alb,
    functions: &[FunctionRequest],
) -> Result<Observed, Error> {
    let at = asked.at();
    let shown = at.lock();
    let [one, other] = asked.target_group_arns.as_slice() else {
        return Err(Error::InvalidRequest(
            "traffic.targetGroupArns: must be two".into(),
        ));
    };
    let actions = read(client, &at).await?;
    let mut groups = weights(&actions, &shown)?;
    let mut take = |group: &TargetGroupArn| {
        let index = groups.iter().position(|(arn, _)| arn == group.as_ref());
        index.map(|index| groups.swap_remove(index).1)
    };
    let (first, second) = (take(one), take(other));
    alone(&shown, &groups)?;
    let (blue, green, attached) = match (first.unwrap_or(0), second.unwrap_or(0)) {
        (0, 0) => {
            return Err(Error::ValidationFailed(format!(
                "{shown} forwards to neither of the two target groups with a weight; give one of them 100"
            )));
        }
        (1.., 0) => (one, other, second.is_some()),
        (0, 1..) => (other, one, first.is_some()),
        (a, b) => {
            return Err(Error::ChangedOutside(format!(
                "{shown} is split before the release: {one} has weight {a} and {other} {b}; give one of \
                 them 0 first"
            )));
        }
    };
    if functions.is_empty() && !attached {
        return Err(Error::ValidationFailed(format!(
            "{shown} does not forward to {green} yet, so its health is not checked; add it to the rule \
             with weight 0 first"
        )));
    }

    let mut serving = Vec::new();
    for asked in functions {
        serving.push(registered(client, aliases, blue, &asked.function_name).await?);
    }
    let mut warnings = Vec::new();
    if let Some(seconds) = sticky(&actions) {
        warnings.push(format!(
            "{shown} keeps clients with their target group for {seconds} s: a shift and a rollback reach \
             them only then"
        ));
    }
    Ok(Observed {
        door: FrontDoor::Alb(Forward {
            at,
            blue: blue.clone(),
            green: green.clone(),
            past: None,
        }),
        functions: serving,
        warnings,
    })
}

/// Registers green's version in the idle group; where green is not a function, sees that what is
/// registered there is healthy.
pub(super) async fn stage(
    client: &Client,
    aliases: &Aliases,
    forward: &Forward,
    functions: &mut [Target],
) -> Result<(), Error> {
    let group = &forward.green;
    let [target] = functions else {
        return healthy(client, group).await;
    };
    let (function, version) = (&target.function_name, &target.green_version);
    permit(aliases, group, function, version).await?;
    let wanted = version_arn(group, function, version);
    let mut there = false;
    for found in targets(client, group).await? {
        if found == wanted {
            there = true;
        } else {
            client
                .deregister_targets()
                .target_group_arn(group.as_ref())
                .targets(TargetDescription::builder().id(found).build())
                .send()
                .await
                .map_err(|error| classify("DeregisterTargets", &error))?;
        }
    }
    if !there {
        client
            .register_targets()
            .target_group_arn(group.as_ref())
            .targets(TargetDescription::builder().id(wanted).build())
            .send()
            .await
            .map_err(|error| classify("RegisterTargets", &error))?;
    }
    target.revision_id = None;
    Ok(())
}

/// Lets the load balancer call the version, through this group only. Free to repeat.
async fn permit(
    aliases: &Aliases,
    group: &TargetGroupArn,
    function: &FunctionName,
    version: &Version,
) -> Result<(), Error> {
    let id = group.as_ref().rsplit('/').next().unwrap_or_default();
    let added = aliases
        .client()
        .add_permission()
        .function_name(function.as_ref())
        .qualifier(version.as_ref())
        .statement_id(format!("crossfade-{id}"))
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

async fn healthy(client: &Client, group: &TargetGroupArn) -> Result<(), Error> {
    if targets(client, group).await?.is_empty() {
        return Err(Error::ValidationFailed(format!(
            "{group} has no registered targets, and it is to serve green"
        )));
    }
    let done = client
        .wait_until_target_in_service()
        .target_group_arn(group.as_ref())
        .wait(HEALTHY)
        .await;
    done.map(drop).map_err(|error| {
        Error::ValidationFailed(format!("{group} did not become healthy: {error}"))
    })
}

/// What serves in blue's group: a version, or an alias that is on one.
async fn registered(
    client: &Client,
    aliases: &Aliases,
    group: &TargetGroupArn,
    function: &FunctionName,
) -> Result<Serving, Error> {
    let found = targets(client, group).await?;
    let [arn] = found.as_slice() else {
        return Err(Error::ValidationFailed(format!(
            "{group} serves, and has {} targets instead of one version of {function}",
            found.len()
        )));
    };
    // arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER
    let mut parts = arn.split(':').skip(6);
    let (name, qualifier) = (parts.next().unwrap_or_default(), parts.next());
    if name != function.as_ref() {
        return Err(Error::ValidationFailed(format!(
            "{group} serves {arn}, which is not {function}"
        )));
    }
    let unpublished = || {
        Error::ValidationFailed(format!(
            "{group} serves {arn}, whose code changes with every upload; register a published version \
             in it first: {arn}:VERSION"
        ))
    };
    let qualifier = qualifier.ok_or_else(unpublished)?;
    if let Ok(version) = Version::try_from(qualifier.to_owned()) {
        return Ok(Serving {
            alias: None,
            seen: None,
            version: Some(version),
        });
    }
    let alias = AliasName::try_from(qualifier.to_owned()).map_err(|_| unpublished())?;
    aliases.serving(function, &alias).await
}

/// The ids of what is registered in a group.
async fn targets(client: &Client, group: &TargetGroupArn) -> Result<Vec<String>, Error> {
    let health = client
        .describe_target_health()
        .target_group_arn(group.as_ref())
        .send()
        .await
        .map_err(|error| classify("DescribeTargetHealth", &error))?;
    Ok(health
        .target_health_descriptions()
        .iter()
        .filter(|one| {
            let state = one.target_health().and_then(|health| health.state());
            !matches!(
                state,
                Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining)
            )
        })
        .filter_map(|one| one.target()?.id().map(str::to_owned))
        .collect())
}

/// A version's ARN. A group's function is in its own account and Region (AWS-FACTS 6).
fn version_arn(group: &TargetGroupArn, function: &FunctionName, version: &Version) -> String {
    let mut parts = group.as_ref().split(':').skip(1);
    let (partition, _, region, account) = (
        parts.next().unwrap_or_default(),
        parts.next(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    format!("arn:{partition}:lambda:{region}:{account}:function:{function}:{version}")
}

/// The actions of a rule, or a listener's default ones.
async fn read(client: &Client, at: &ForwardAt) -> Result<Vec<Action>, Error> {
    let actions = match at {
        ForwardAt::Rule(arn) => {
            let call = client.describe_rules().rule_arns(arn.as_ref());
            let found = call.send().await;
            let found = found.map_err(|error| classify("DescribeRules", &error))?;
            found
                .rules
                .unwrap_or_default()
                .pop()
                .and_then(|rule| rule.actions)
        }
        ForwardAt::Listener(arn) => {
            let call = client.describe_listeners().listener_arns(arn.as_ref());
            let found = call.send().await;
            let found = found.map_err(|error| classify("DescribeListeners", &error))?;
            let listener = found.listeners.unwrap_or_default().pop();
            listener.and_then(|listener| listener.default_actions)
        }
    };
    Ok(actions.unwrap_or_default())
}

fn is_forward(action: &Action) -> bool {
    action.r#type == Some(ActionTypeEnum::Forward)
}

/// The groups that the forward action names, with their weights. One that is named alone has all.
fn weights(actions: &[Action], shown: &str) -> Result<Vec<(String, u32)>, Error> {
    let forward = actions.iter().find(|action| is_forward(action));
    let Some(forward) = forward else {
        return Err(Error::ValidationFailed(format!(
            "{shown} has no action that forwards to target groups"
        )));
    };
    let groups = forward
        .forward_config()
        .map(ForwardActionConfig::target_groups)
        .unwrap_or_default();
    match (groups, forward.target_group_arn()) {
        ([], Some(only)) => Ok(vec![(only.to_owned(), 1)]),
        ([only], _) => Ok(vec![(group_arn(only), weight(only).max(1))]),
        (groups, _) => Ok(groups
            .iter()
            .map(|group| (group_arn(group), weight(group)))
            .collect()),
    }
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

/// A third group with weight would take a share of what is meant for two.
fn alone(shown: &str, others: &[(String, u32)]) -> Result<(), Error> {
    match others.iter().find(|(_, weight)| *weight > 0) {
        None => Ok(()),
        Some((group, weight)) => Err(Error::ChangedOutside(format!(
            "{shown} also forwards to {group}, with weight {weight}"
        ))),
    }
}

/// How long clients are kept with their group, seconds; none when they are not.
fn sticky(actions: &[Action]) -> Option<i32> {
    let forward = actions.iter().find(|action| is_forward(action))?;
    let config = forward.forward_config()?.target_group_stickiness_config()?;
    (config.enabled() == Some(true)).then(|| config.duration_seconds().unwrap_or_default())
}

/// The same actions with other weights.
fn reweighted(actions: Vec<Action>, forward: &Forward, shares: Shares) -> Vec<Action> {
    let group = |arn: &TargetGroupArn, weight: u32| {
        TargetGroupTuple::builder()
            .target_group_arn(arn.as_ref())
            .weight(i32::try_from(weight).unwrap_or(i32::MAX))
            .build()
    };
    actions
        .into_iter()
        .map(|mut action| {
            if is_forward(&action) {
                let stickiness = action
                    .forward_config
                    .take()
                    .and_then(|config| config.target_group_stickiness_config);
                action.target_group_arn = None;
                action.forward_config = Some(
                    ForwardActionConfig::builder()
                        .target_groups(group(&forward.blue, shares.blue))
                        .target_groups(group(&forward.green, shares.green))
                        .set_target_group_stickiness_config(stickiness)
                        .build(),
                );
            }
            // The secret is not told, and has to be kept by word.
            if let Some(oidc) = &mut action.authenticate_oidc_config
                && oidc.client_secret.is_none()
            {
                oidc.use_existing_client_secret = Some(true);
            }
            action
        })
        .collect()
}
