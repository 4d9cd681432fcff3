//! What stands before the function of a scenario: its alias, two records, or two target groups.

use crossfade_tests::{Alb, Dns, Target, Traffic, World, alb::Made, invariants};
use serde_json::{Value, json};

use crate::ground::Ground;

/// The alias that callers use.
pub(crate) const ALIAS: &str = "live";

/// How long clients of a load balancer keep to their group: no longer than a release waits for.
const STICKY_SECONDS: i32 = 60;

/// How many requests each client sends that keeps to one side.
const PROBES_PER_SECOND: f64 = 0.7;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Alias,
    Route53,
    Alb,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::Route53 => "route53",
            Self::Alb => "alb",
        }
    }
}

/// The door of one release.
pub(crate) enum Door {
    Alias,
    Route53(Box<Dns>),
    Alb(Box<Alb>),
}

/// Which versions have traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Serving {
    /// None: there is nothing that callers could call.
    None,
    /// All of it.
    One(String),
    /// More than one, or nobody knows.
    Split(String),
}

impl Door {
    /// Before a function whose version `blue` is to serve all; none for a function that has never
    /// been released.
    pub(crate) async fn make(
        ground: &Ground,
        kind: Kind,
        token: &str,
        target: &Target,
        blue: Option<&str>,
    ) -> Self {
        let Some(blue) = blue else { return Self::Alias };
        match kind {
            Kind::Alias => {
                target.alias(ALIAS, blue).await;
                Self::Alias
            }
            Kind::Route53 => {
                let dns = Dns::create(&ground.local, token).await;
                for colour in ["blue", "green"] {
                    let alias = format!("{ALIAS}-{colour}");
                    target.alias(&alias, blue).await;
                    dns.send_to(colour, target, &alias).await;
                }
                Self::Route53(Box::new(dns))
            }
            Kind::Alb => {
                let made = Made {
                    sticky_seconds: Some(STICKY_SECONDS),
                    ..Made::default()
                };
                let alb = Alb::create(&ground.local, &format!("it-{token}"), made).await;
                alb.send_to(&alb.blue, target, blue).await;
                Self::Alb(Box::new(alb))
            }
        }
    }

    /// The request's part that names it.
    pub(crate) fn put_into(&self, request: &mut Value) {
        match self {
            Self::Alias => {}
            Self::Route53(dns) => {
                request["traffic"] =
                    json!({"type": "route53", "hostedZoneId": dns.zone, "recordName": dns.name});
            }
            Self::Alb(alb) => {
                let function = request["functions"][0].as_object_mut();
                function.expect("there is one").remove("alias");
                request["traffic"] = json!({
                    "type": "alb", "targetGroupArns": [alb.blue, alb.green], "ruleArn": alb.rule,
                });
            }
        }
    }

    /// Has the invariants checked for it.
    pub(crate) fn checked(&self) -> Vec<invariants::Door> {
        match self {
            Self::Alias => Vec::new(),
            Self::Route53(dns) => vec![invariants::Door::Zone(dns.clone())],
            Self::Alb(alb) => vec![invariants::Door::Balancer((**alb).clone())],
        }
    }

    /// Takes it down: what is left of hundreds would be looked through at each request.
    pub(crate) async fn delete(&self) {
        match self {
            Self::Alias => {}
            Self::Route53(dns) => {
                dns.delete().await;
            }
            Self::Alb(alb) => alb.delete().await,
        }
    }

    /// Users who send so many requests a second.
    pub(crate) fn users(&self, ground: &Ground, target: &Target, per_second: f64) -> Traffic {
        match self {
            Self::Alias => Traffic::start(&ground.local, target, ALIAS, per_second),
            Self::Route53(dns) => dns.users(per_second),
            Self::Alb(alb) => alb.users(per_second),
        }
    }

    /// Clients that keep to one side past the weights, with what they are: with a cookie of an earlier
    /// visit, with a resolver that knows an older answer, or as callers of a colour's alias.
    pub(crate) async fn probes(&self, ground: &Ground, target: &Target) -> Vec<(Traffic, String)> {
        let mut probes = Vec::new();
        match self {
            Self::Alias => {}
            Self::Route53(dns) => {
                for colour in ["blue", "green"] {
                    let stale = dns.stale_client(colour, PROBES_PER_SECOND);
                    probes.push((stale, format!("a stale resolver of {colour}")));
                    let alias = format!("{ALIAS}-{colour}");
                    let callers = Traffic::start(&ground.local, target, &alias, PROBES_PER_SECOND);
                    probes.push((callers, format!("callers of {alias}")));
                }
            }
            Self::Alb(alb) => {
                for (colour, group) in [("blue", &alb.blue), ("green", &alb.green)] {
                    let sticky = alb.sticky_client(group, PROBES_PER_SECOND).await;
                    probes.push((sticky, format!("a sticky client of {colour}")));
                }
            }
        }
        probes
    }

    /// What has the traffic, as the local AWS says.
    pub(crate) async fn serving(&self, target: &Target) -> Serving {
        match self {
            Self::Alias => serving_through(target, ALIAS).await,
            Self::Route53(dns) => match dns.weights().await {
                (0, 0) => Serving::Split("both records have weight 0".into()),
                (_, 0) => serving_through(target, "live-blue").await,
                (0, _) => serving_through(target, "live-green").await,
                split => Serving::Split(format!("the records' weights are {split:?}")),
            },
            Self::Alb(alb) => {
                let weights = alb.weights().await;
                let with: Vec<_> = weights.iter().filter(|(_, weight)| **weight > 0).collect();
                let [(group, _)] = with[..] else {
                    return Serving::Split(format!("the groups' weights are {weights:?}"));
                };
                match &alb.targets(group).await[..] {
                    [one] => Serving::One(one.rsplit(':').next().unwrap_or_default().to_owned()),
                    other => Serving::Split(format!("{group} sends requests to {other:?}")),
                }
            }
        }
    }
}

async fn serving_through(target: &Target, alias: &str) -> Serving {
    match target.look(alias).await {
        None => Serving::None,
        Some(seen) => match seen.settled() {
            Some(version) => Serving::One(version.to_owned()),
            None => Serving::Split(format!("{alias} is {seen:?}")),
        },
    }
}

/// Makes an alarm that is OK.
pub(crate) async fn alarm(world: &World, token: &str) -> String {
    let name = format!("it-{token}-alarm");
    world.make_alarm(&name).await;
    name
}
