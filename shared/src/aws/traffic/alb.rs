//! An Application Load Balancer: two weighted target groups of the forward action of a rule, or of
//! several rules that move together.
//!
//! `ModifyRule` and `ModifyListener` replace the whole list of actions, and neither gives revisions:
//! the actions are read right before, and all but the weights is sent back as it was (<https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyRule.html>).

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::{
    Client,
    client::Waiters,
    types::{
        Action, ActionTypeEnum, ForwardActionConfig, TargetDescription, TargetGroupTuple,
        TargetHealthStateEnum,
    },
};

use futures::future::try_join_all;
use tokio::time::sleep;

use super::{Observed, Serving, alias::Aliases, weighted::Weighted};
use crate::{
    aws::classify::{classify, is},
    domain::{
        names::{AliasName, FunctionName, Version, derived, resources::TargetGroupArn},
        release::{InForce, Target},
        routing::weighted::{Scale, Shares},
        side::{Content, Side},
        traffic::{Colour, Forward, ForwardAt, FrontDoor},
    },
    error::Error,
    wire::request::{Alb, FunctionRequest},
};

/// The most target groups that a forward action may name (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html>).
const MAX_GROUPS: usize = 5;

/// How long the targets of a group that is not Lambda's may take to be healthy.
const HEALTHY: Duration = Duration::from_mins(5);

/// How long a load balancer that may not call a function is given to learn of its permission.
const PERMITTED: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// The two groups of a release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    client: &'a Client,
    aliases: &'a Aliases,
    forward: &'a Forward,
}

impl<'a> Pair<'a> {
    pub(super) fn new(client: &'a Client, aliases: &'a Aliases, forward: &'a Forward) -> Self {
        Self {
            client,
            aliases,
            forward,
        }
    }

    async fn deregister(&self, group: &TargetGroupArn, id: &str) -> Result<(), Error> {
        let done = self
            .client
            .deregister_targets()
            .target_group_arn(group.as_ref())
            .targets(TargetDescription::builder().id(id).build())
            .send()
            .await;
        done.map(drop)
            .map_err(|error| classify("DeregisterTargets", &error))
    }

    /// Registers a target. Where the load balancer may not call it, that is asked again for some seconds:
    /// the permission was added a moment ago.
    async fn register(&self, group: &TargetGroupArn, id: &str) -> Result<(), Error> {
        let request = self
            .client
            .register_targets()
            .target_group_arn(group.as_ref())
            .targets(TargetDescription::builder().id(id).build());
        let mut pauses = PERMITTED.into_iter();
        loop {
            let Err(error) = request.clone().send().await else {
                return Ok(());
            };
            match pauses.next().filter(|_| is(&error, "AccessDenied")) {
                Some(pause) => sleep(pause).await,
                None => return Err(classify("RegisterTargets", &error)),
            }
        }
    }

    /// The published version of a function that a group with these targets calls; none where it is
    /// not exactly one.
    async fn version(
        &self,
        function: &FunctionName,
        holds: &[String],
    ) -> Result<Option<Version>, Error> {
        let [id] = holds else { return Ok(None) };
        let Some(qualifier) = qualifier_of(id, function) else {
            return Ok(None);
        };
        if let Ok(version) = Version::try_from(qualifier.to_owned()) {
            return Ok(Some(version));
        }
        let Ok(alias) = AliasName::try_from(qualifier.to_owned()) else {
            return Ok(None);
        };
        let seen = self.aliases.read(function, &alias).await?;
        Ok(seen
            .filter(|seen| !seen.is_split())
            .and_then(|seen| seen.primary.version().cloned()))
    }
}

impl Weighted for Pair<'_> {
    type Place = ForwardAt;
    type Seen = Vec<Action>;
    const SCALE: Scale = Scale::Groups;

    fn places(&self) -> Vec<ForwardAt> {
        self.forward.places()
    }

    fn shown(&self, place: &ForwardAt) -> String {
        place.lock()
    }

    fn named(&self, colour: Colour) -> String {
        format!("target group {}", self.forward.group(colour))
    }

    async fn read(&self, place: &ForwardAt) -> Result<(Shares, Vec<Action>), Error> {
        let actions = read(self.client, place).await?;
        let mut groups = weights(&actions, &self.shown(place))?;
        let mut take = |group: &TargetGroupArn| {
            let index = groups.iter().position(|(arn, _)| arn == group.as_ref());
            index.map_or(0, |index| groups.swap_remove(index).1)
        };
        let shares = Shares {
            blue: take(&self.forward.blue),
            green: take(&self.forward.green),
        };
        alone(&self.shown(place), &groups)?;
        Ok((shares, actions))
    }

    async fn write(
        &self,
        place: &ForwardAt,
        seen: Vec<Action>,
        shares: Shares,
    ) -> Result<InForce, Error> {
        let actions = reweighted(seen, self.forward, shares);
        match place {
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

    async fn sides(&self, colour: Colour, of: &[Target]) -> Result<Vec<Side>, Error> {
        let group = self.forward.group(colour);
        let holds = targets(self.client, group).await?;
        let side = |holds, version| Side {
            place: self.named(colour),
            holds,
            version,
            revision: None,
        };
        if of.is_empty() {
            return Ok(vec![side(holds, None)]);
        }
        try_join_all(of.iter().map(|target| async {
            let version = self.version(&target.function_name, &holds).await?;
            Ok(side(holds.clone(), version))
        }))
        .await
    }

    fn id(&self, target: &Target, version: &Version) -> String {
        version_arn(&self.forward.blue, &target.function_name, version)
    }

    fn before(&self, _: &Target) -> Option<Content> {
        self.forward.idle.clone()
    }

    /// A group takes one function: its target is taken out before another is registered. Before
    /// anything is taken out, adding the permission shows that the version is there.
    async fn put(
        &self,
        colour: Colour,
        target: &Target,
        seen: &Side,
        content: &[String],
    ) -> Result<(), Error> {
        let (group, function) = (self.forward.group(colour), &target.function_name);
        for id in content {
            let version = qualifier_of(id, function).map(|text| Version::try_from(text.to_owned()));
            if let Some(Ok(version)) = version {
                permit(self.aliases, group, function, &version).await?;
            }
        }
        for id in seen.holds.iter().filter(|id| !content.contains(id)) {
            self.deregister(group, id).await?;
        }
        for id in content.iter().filter(|id| !seen.holds.contains(id)) {
            let refused = match self.register(group, id).await {
                Ok(()) => continue,
                Err(error @ Error::Transient(_)) => return Err(error),
                Err(error) => error,
            };
            // Blue's group may be serving: what it held is better than nothing.
            if colour == Colour::Blue {
                for id in &seen.holds {
                    self.register(group, id).await?;
                }
            }
            return Err(refused);
        }
        Ok(())
    }

    async fn healthy(&self) -> Result<(), Error> {
        healthy(self.client, &self.forward.green).await
    }
}

/// Which group serves, and what is registered in it.
pub(super) async fn observe(
    client: &Client,
    aliases: &Aliases,
    asked: &Alb,
    functions: &[FunctionRequest],
) -> Result<Observed, Error> {
    let (at, also) = asked.places();
    let shown = at.lock();
    let [one, other] = asked.target_group_arns.as_slice() else {
        return Err(Error::InvalidRequest(
            "traffic.targetGroupArns: must be two".into(),
        ));
    };
    let found = roles(client, &at, [one, other], functions.is_empty()).await?;
    let (blue, green) = (found.blue, found.green);
    let mut warnings = Vec::new();
    warnings.extend(found.sticky);
    let more = also.iter().cloned().map(ForwardAt::Rule);
    let more: Vec<_> = more.collect();
    let more = more
        .iter()
        .map(|place| roles(client, place, [one, other], functions.is_empty()));
    for (index, found) in try_join_all(more).await?.into_iter().enumerate() {
        if found.blue != blue {
            return Err(Error::ValidationFailed(format!(
                "traffic.ruleArns[{}]: {} serves from {}, and {shown} from {blue}; give the same group 100 \
                 in all of them first",
                index + 1,
                also[index],
                found.blue
            ).into()));
        }
        warnings.extend(found.sticky);
    }

    let mut serving = Vec::new();
    for asked in functions {
        serving.push(registered(client, aliases, blue, &asked.function_name).await?);
    }
    let idle = if functions.is_empty() {
        None
    } else {
        Some(targets(client, green).await?)
    };
    Ok(Observed {
        door: FrontDoor::Alb(Forward {
            at,
            also,
            blue: blue.clone(),
            green: green.clone(),
            idle,
            past: None,
        }),
        functions: serving,
        warnings,
    })
}

/// Which group is whose in one place.
struct Roles<'a> {
    blue: &'a TargetGroupArn,
    green: &'a TargetGroupArn,
    /// What people should know of stickiness.
    sticky: Option<String>,
}

/// Reads which group serves in one place.
async fn roles<'a>(
    client: &Client,
    at: &ForwardAt,
    [one, other]: [&'a TargetGroupArn; 2],
    of_machines: bool,
) -> Result<Roles<'a>, Error> {
    let shown = at.lock();
    let actions = read(client, at).await?;
    if let Some(unknown) = actions.iter().find_map(unknown_kind) {
        return Err(Error::ValidationFailed(format!(
            "{shown} has an action of type \"{unknown}\", which this version of Crossfade does not know and \
             could not write back as it is; update Crossfade, or forward from a rule without it"
        ).into()));
    }
    let mut groups = weights(&actions, &shown)?;
    let named = groups.len();
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
            ).into()));
        }
        (1.., 0) => (one, other, second.is_some()),
        (0, 1..) => (other, one, first.is_some()),
        (a, b) => {
            return Err(Error::ChangedOutside(format!(
                "{shown} is split before the release: {one} has weight {a} and {other} {b}; give one of \
                 them 0 first"
            ).into()));
        }
    };
    if of_machines && !attached {
        return Err(Error::ValidationFailed(format!(
            "{shown} does not forward to {green} yet, so its health is not checked; add it to the rule \
             with weight 0 first"
        ).into()));
    }
    if !attached && named >= MAX_GROUPS {
        return Err(Error::ValidationFailed(format!(
            "{shown} forwards to {named} target groups, none of which is {green}, and AWS takes \
             {MAX_GROUPS}; remove one that is parked, or add {green} in its place with weight 0"
        ).into()));
    }
    let sticky = sticky(&actions).map(|seconds| {
        format!(
            "{shown} keeps clients with their target group for {seconds} s: a shift and a rollback reach \
             them only then"
        )
    });
    Ok(Roles {
        blue,
        green,
        sticky,
    })
}

/// The type of an action that is not known, and so could not be written back.
fn unknown_kind(action: &Action) -> Option<String> {
    let kind = action.r#type.as_ref()?.as_str();
    let known = ActionTypeEnum::values().contains(&kind);
    (!known).then(|| kind.to_owned())
}

/// Lets the load balancer call the version, through this group only. Free to repeat.
async fn permit(
    aliases: &Aliases,
    group: &TargetGroupArn,
    function: &FunctionName,
    version: &Version,
) -> Result<(), Error> {
    let added = aliases
        .client()
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

async fn healthy(client: &Client, group: &TargetGroupArn) -> Result<(), Error> {
    if targets(client, group).await?.is_empty() {
        return Err(Error::ValidationFailed(
            format!("{group} has no registered targets, and it is to serve green").into(),
        ));
    }
    let done = client
        .wait_until_target_in_service()
        .target_group_arn(group.as_ref())
        .wait(HEALTHY)
        .await;
    done.map(drop).map_err(|error| {
        Error::ValidationFailed(format!("{group} did not become healthy: {error}").into())
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
        return Err(Error::ValidationFailed(
            format!(
                "{group} serves, and has {} targets instead of one version of {function}",
                found.len()
            )
            .into(),
        ));
    };
    let (name, qualifier) = parts_of(arn);
    if name != function.as_ref() {
        return Err(Error::ValidationFailed(
            format!("{group} serves {arn}, which is not {function}").into(),
        ));
    }
    let unpublished = || {
        Error::ValidationFailed(format!(
            "{group} serves {arn}, whose code changes with every upload; register a published version \
             in it first: {arn}:VERSION"
        ).into())
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

/// The name and the qualifier in `arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER`.
fn parts_of(arn: &str) -> (&str, Option<&str>) {
    let mut parts = arn.split(':').skip(6);
    (parts.next().unwrap_or_default(), parts.next())
}

/// The qualifier in the ARN of this function; none in another's, or where there is none.
fn qualifier_of<'a>(arn: &'a str, function: &FunctionName) -> Option<&'a str> {
    let (name, qualifier) = parts_of(arn);
    qualifier.filter(|_| name == function.as_ref())
}

/// Describes a target of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTarget {
    /// Its id.
    pub id: String,
    /// Whether the load balancer would send it requests.
    pub healthy: bool,
}

/// Reads what is registered in a group, and how it is.
pub(super) async fn health(
    client: &Client,
    group: &TargetGroupArn,
) -> Result<Vec<GroupTarget>, Error> {
    let health = client
        .describe_target_health()
        .target_group_arn(group.as_ref())
        .send()
        .await
        .map_err(|error| classify("DescribeTargetHealth", &error))?;
    let each = health.target_health_descriptions().iter();
    Ok(each
        .filter_map(|one| {
            Some(GroupTarget {
                id: one.target()?.id()?.to_owned(),
                healthy: one.target_health()?.state() == Some(&TargetHealthStateEnum::Healthy),
            })
        })
        .collect())
}

/// The ids of what is registered in a group, in order.
async fn targets(client: &Client, group: &TargetGroupArn) -> Result<Vec<String>, Error> {
    let health = client
        .describe_target_health()
        .target_group_arn(group.as_ref())
        .send()
        .await
        .map_err(|error| classify("DescribeTargetHealth", &error))?;
    let mut ids: Vec<String> = health
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
        .collect();
    ids.sort();
    Ok(ids)
}

/// A version's ARN. A group's function is in its own account and Region (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>).
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
        return Err(Error::ValidationFailed(
            format!("{shown} has no action that forwards to target groups").into(),
        ));
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
        Some((group, weight)) => Err(Error::ChangedOutside(
            format!("{shown} also forwards to {group}, with weight {weight}").into(),
        )),
    }
}

/// How long clients are kept with their group, seconds; none when they are not.
fn sticky(actions: &[Action]) -> Option<i32> {
    let forward = actions.iter().find(|action| is_forward(action))?;
    let config = forward.forward_config()?.target_group_stickiness_config()?;
    (config.enabled() == Some(true)).then(|| config.duration_seconds().unwrap_or_default())
}

/// The same actions with other weights of the two groups of a release. All else is as it was, groups that
/// are parked with weight 0 included, and their order.
fn reweighted(actions: Vec<Action>, forward: &Forward, shares: Shares) -> Vec<Action> {
    let mut ours = [
        (forward.blue.as_ref(), shares.blue, false),
        (forward.green.as_ref(), shares.green, false),
    ];
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

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::TargetGroupStickinessConfig;

    use super::*;

    const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";

    fn group(name: &str) -> String {
        format!("{ARN}:targetgroup/{name}/73e2d6bc24d8a067")
    }

    fn forward() -> Forward {
        let rule = format!(
            "{ARN}:listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
        );
        Forward {
            at: ForwardAt::Rule(rule.parse().unwrap()),
            also: Vec::new(),
            blue: group("blue").parse().unwrap(),
            green: group("green").parse().unwrap(),
            idle: None,
            past: None,
        }
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
        let shares = Shares {
            blue: 90,
            green: 10,
        };
        assert_eq!(reweighted(vec![before], &forward(), shares), [after]);
    }

    #[test]
    fn adds_green_to_a_group_that_is_named_alone() {
        let shares = Shares {
            blue: 90,
            green: 10,
        };
        let named = Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .target_group_arn(group("blue"))
            .build();
        let mut both = action(to(&[("blue", 1)]));
        both.target_group_arn = Some(group("blue"));
        for before in [named, both] {
            let after = reweighted(vec![before.clone()], &forward(), shares);
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

    #[test]
    fn reads_the_qualifier_of_its_own_function_only() {
        let function: FunctionName = "chat".parse().unwrap();
        let of = |name: &str| format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}");
        assert_eq!(qualifier_of(&of("chat:7"), &function), Some("7"));
        assert_eq!(qualifier_of(&of("chat"), &function), None);
        assert_eq!(qualifier_of(&of("shop:7"), &function), None);
        assert_eq!(qualifier_of("10.0.0.1", &function), None);
    }
}
