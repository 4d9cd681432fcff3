//! An Application Load Balancer: two weighted target groups of the forward action of a rule, or of
//! several rules that move together.
//!
//! `ModifyRule` and `ModifyListener` replace the whole list of actions, and neither gives revisions:
//! the actions are read right before, and all but the weights is sent back as it was (<https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyRule.html>).

use std::time::Duration;

use futures::future::try_join_all;

use super::{alias::Aliases, weighted::Weighted};
use crate::{
    domain::{
        moved::{Observed, Serving},
        names::{AliasName, FunctionName, Version, resources::TargetGroupArn},
        propagation::Effective,
        routing::weighted::{Scale, Shares},
        side::{Content, Side},
        target::Target,
        traffic::{Colour, Forward, ForwardAt, Splitter},
    },
    error::Error,
    ports::{AliasApi, Clock, ForwardApi, Forwarding, Registered},
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
#[derive(Debug)]
pub(super) struct Pair<'a, P> {
    api: &'a P,
    forward: &'a Forward,
}

impl<'a, P: AliasApi + ForwardApi + Clock> Pair<'a, P> {
    pub(super) const fn new(api: &'a P, forward: &'a Forward) -> Self {
        Self { api, forward }
    }

    /// Registers a target. Where the load balancer may not call it, that is repeated for some seconds: the
    /// permission was added a moment ago.
    async fn register(&self, group: &TargetGroupArn, id: &str) -> Result<(), Error> {
        let mut pauses = PERMITTED.into_iter();
        loop {
            match (self.api.register(group, id).await?, pauses.next()) {
                (Registered::Done, _) => return Ok(()),
                (Registered::Denied(_), Some(pause)) => self.api.sleep(pause).await,
                (Registered::Denied(error), None) => return Err(error),
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
        let seen = self.api.alias(function, &alias).await?;
        Ok(seen
            .filter(|seen| !seen.is_split())
            .and_then(|seen| seen.primary.version().cloned()))
    }
}

impl<P: AliasApi + ForwardApi + Clock> Weighted for Pair<'_, P> {
    type Place = ForwardAt;
    type Seen = P::Actions;
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

    async fn read(&self, place: &ForwardAt) -> Result<(Shares, P::Actions), Error> {
        let seen = self.api.forward(place).await?;
        let shown = self.shown(place);
        let mut groups = weights(seen.groups, &shown)?;
        let mut take = |group: &TargetGroupArn| {
            let index = groups.iter().position(|(arn, _)| arn == group.as_ref());
            index.map_or(0, |index| groups.swap_remove(index).1)
        };
        let shares = Shares {
            blue: take(&self.forward.blue),
            green: take(&self.forward.green),
        };
        alone(&shown, &groups)?;
        Ok((shares, seen.actions))
    }

    async fn write(
        &self,
        place: &ForwardAt,
        seen: P::Actions,
        shares: Shares,
    ) -> Result<Effective, Error> {
        let weights = [
            (&self.forward.blue, shares.blue),
            (&self.forward.green, shares.green),
        ];
        self.api.set_weights(place, seen, weights).await?;
        Ok(Effective::AtOnce)
    }

    fn already(&self) -> Effective {
        Effective::AtOnce
    }

    async fn sides(&self, colour: Colour, of: &[Target]) -> Result<Vec<Side>, Error> {
        let group = self.forward.group(colour);
        let holds = targets(self.api, group).await?;
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
                self.api.permit(function, &version, group).await?;
            }
        }
        for id in seen.holds.iter().filter(|id| !content.contains(id)) {
            self.api.deregister(group, id).await?;
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
        healthy(self.api, &self.forward.green).await
    }
}

/// Which group serves, and what is registered in it.
pub(super) async fn observe<P: AliasApi + ForwardApi + Clock>(
    api: &P,
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
    let found = roles(api, &at, [one, other], functions.is_empty()).await?;
    let (blue, green) = (found.blue, found.green);
    let mut warnings = Vec::new();
    warnings.extend(found.sticky);
    let more = also.iter().cloned().map(ForwardAt::Rule);
    let more: Vec<_> = more.collect();
    let more = more
        .iter()
        .map(|place| roles(api, place, [one, other], functions.is_empty()));
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
        serving.push(registered(api, blue, &asked.function_name).await?);
    }
    let idle = if functions.is_empty() {
        None
    } else {
        Some(targets(api, green).await?)
    };
    Ok(Observed {
        splitter: Splitter::Alb(Forward {
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
    /// What operators should know of stickiness.
    sticky: Option<String>,
}

/// Reads which group serves in one place.
async fn roles<'a, P: ForwardApi>(
    api: &P,
    at: &ForwardAt,
    [one, other]: [&'a TargetGroupArn; 2],
    of_machines: bool,
) -> Result<Roles<'a>, Error> {
    let shown = at.lock();
    let Forwarding {
        groups,
        sticky_seconds,
        unknown_kind,
        ..
    } = api.forward(at).await?;
    if let Some(unknown) = unknown_kind {
        return Err(Error::ValidationFailed(format!(
            "{shown} has an action of type \"{unknown}\", which this version of Crossfade does not know and \
             could not write back as it is; update Crossfade, or forward from a rule without it"
        ).into()));
    }
    let mut groups = weights(groups, &shown)?;
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
    let sticky = sticky_seconds.map(|seconds| {
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

async fn healthy<P: ForwardApi>(api: &P, group: &TargetGroupArn) -> Result<(), Error> {
    if targets(api, group).await?.is_empty() {
        return Err(Error::ValidationFailed(
            format!("{group} has no registered targets, and it is to serve green").into(),
        ));
    }
    api.wait_until_healthy(group, HEALTHY).await
}

/// What serves in blue's group: a version, or an alias that is on one.
async fn registered<P: AliasApi + ForwardApi + Clock>(
    api: &P,
    group: &TargetGroupArn,
    function: &FunctionName,
) -> Result<Serving, Error> {
    let found = targets(api, group).await?;
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
    Aliases::new(api).serving(function, &alias).await
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

/// Returns the ids of what is registered in a group, in order.
async fn targets<P: ForwardApi>(api: &P, group: &TargetGroupArn) -> Result<Vec<String>, Error> {
    let all = api.targets(group).await?.into_iter();
    let mut ids: Vec<_> = all
        .filter(|target| !target.draining)
        .map(|target| target.id)
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

/// Returns the groups that a forward action names, with their weights.
fn weights(groups: Option<Vec<(String, u32)>>, shown: &str) -> Result<Vec<(String, u32)>, Error> {
    groups.ok_or_else(|| {
        Error::ValidationFailed(
            format!("{shown} has no action that forwards to target groups").into(),
        )
    })
}

/// Rejects a third group with weight: it would take a share of what is meant for two.
fn alone(shown: &str, others: &[(String, u32)]) -> Result<(), Error> {
    match others.iter().find(|(_, weight)| *weight > 0) {
        None => Ok(()),
        Some((group, weight)) => Err(Error::ChangedOutside(
            format!("{shown} also forwards to {group}, with weight {weight}").into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
