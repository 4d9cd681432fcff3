//! What stands before the functions and splits their traffic, as `deploy-green` found it once.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    analysis::{
        counts::BluePast,
        series::{Counted, Dimensions, Publisher, dimensions},
    },
    names::{
        AliasName, FunctionName, NameError, derived,
        resources::{
            HostedZoneId, ListenerArn, RecordName, RecordType, RuleArn, SetIdentifier,
            TargetGroupArn,
        },
    },
    side::Content,
    target::Target,
};

/// What splits the traffic, by the request's `traffic.type`, with the colours' roles in this release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Splitter {
    /// Each function's alias, by itself.
    #[default]
    Alias,
    /// Two weighted records of one name.
    Route53(Records),
    /// Two weighted target groups of one listener rule.
    Alb(Forward),
}

/// Two weighted records of one name and type in Route 53. Whichever has the weight when a release
/// begins is blue; the roles swap with each release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Records {
    /// The zone they are in.
    pub hosted_zone_id: HostedZoneId,
    /// Their name.
    pub record_name: RecordName,
    /// Their type.
    pub record_type: RecordType,
    /// The record that serves now.
    pub blue: SetIdentifier,
    /// The record that green's traffic goes through.
    pub green: SetIdentifier,
    /// How long resolvers may hold an old answer once a change is in force, seconds. Part of the plan:
    /// a bake counts from then on.
    pub dns_seconds: u32,
    /// What is behind the records and counts their requests, where the request says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layers>,
    /// What green's alias of each function was on when the release began: a version, or `$LATEST`. A
    /// function that is missing had no such alias. None where that is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<BTreeMap<FunctionName, String>>,
}

impl Records {
    /// The alias by which a function is called through a record: `production` and `blue` make
    /// `production-blue`.
    ///
    /// # Errors
    /// [`NameError`] where that is no alias's name, such as one that is too long.
    pub fn alias(&self, colour: Colour, of: &AliasName) -> Result<AliasName, NameError> {
        derived::colour(of, self.identifier(colour))
    }

    /// The set identifier of a colour's record.
    #[must_use]
    pub fn identifier(&self, colour: Colour) -> &SetIdentifier {
        match colour {
            Colour::Blue => &self.blue,
            Colour::Green => &self.green,
        }
    }

    /// What green's alias of a function was on when the release began; none where that is not
    /// recorded.
    #[must_use]
    pub fn before(&self, function: &FunctionName) -> Option<Content> {
        let idle = self.idle.as_ref()?;
        Some(idle.get(function).cloned().into_iter().collect())
    }
}

/// What stands for each colour in a release through Route 53 or a load balancer, where the roles swap with each
/// promotion: the record or the target group, as operators know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sides {
    /// What served when the release began.
    pub blue: String,
    /// What green's traffic goes through.
    pub green: String,
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blue, green } = self;
        write!(f, "blue is {blue}, green is {green}")
    }
}

/// A side of a splitter: the one that serves when a release begins, or the idle one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The version serving when the release began.
    Blue,
    /// The version being released.
    Green,
}

/// Two weighted target groups of a listener rule, or of a listener's default action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// Where they are.
    pub at: ForwardAt,
    /// More rules that forward to the same two groups and move together with the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<RuleArn>,
    /// The group that serves now.
    pub blue: TargetGroupArn,
    /// The group that green's traffic goes to.
    pub green: TargetGroupArn,
    /// The ids that were registered in green's group when the release began. None where that is not
    /// recorded, or where green is not a function and nothing is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Content>,
    /// What blue's group showed before the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<BluePast>,
}

/// Which action forwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ForwardAt {
    /// A rule's.
    Rule(RuleArn),
    /// A listener's default one, which is another call to change.
    Listener(ListenerArn),
}

/// What counts the requests of each colour before they reach a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layers {
    /// Behind the record that serves now.
    pub blue: Layer,
    /// Behind green's record.
    pub green: Layer,
    /// What blue's showed before the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<BluePast>,
}

/// One thing that CloudWatch counts requests of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Layer {
    /// A stage of a REST API: its metrics go by the API's name, not its id (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html>).
    RestApi {
        /// The API's name.
        api_name: String,
        /// The stage.
        stage: String,
    },
    /// A stage of an HTTP API.
    HttpApi {
        /// The API's id.
        api_id: String,
        /// The stage.
        stage: String,
    },
    /// An Application Load Balancer.
    LoadBalancer {
        /// The part of its ARN after `loadbalancer/`.
        load_balancer: String,
    },
}

impl Splitter {
    /// The names of the locks that a release through this splitter takes beside its functions'.
    #[must_use]
    pub fn locks(&self) -> Vec<String> {
        match self {
            Self::Alias => Vec::new(),
            Self::Route53(records) => vec![record_lock(
                &records.hosted_zone_id,
                &records.record_name,
                records.record_type,
            )],
            Self::Alb(forward) => forward.places().iter().map(ForwardAt::lock).collect(),
        }
    }

    /// Returns what stands for each colour in this release; none for aliases, whose versions do.
    #[must_use]
    pub fn sides(&self) -> Option<Sides> {
        match self {
            Self::Alias => None,
            Self::Route53(records) => Some(Sides {
                blue: format!("record \"{}\"", records.blue),
                green: format!("record \"{}\"", records.green),
            }),
            Self::Alb(forward) => Some(Sides {
                blue: format!("target group {}", forward.blue.group_name()),
                green: format!("target group {}", forward.green.group_name()),
            }),
        }
    }

    /// Whether every request is routed by itself, at random, by weight. DNS routes clients, and each
    /// for as long as its resolver remembers.
    #[must_use]
    pub fn routes_each_request(&self) -> bool {
        !matches!(self, Self::Route53(_))
    }

    /// Everything whose requests are counted: the functions first, in their order, and then the splitter.
    #[must_use]
    pub fn counted(&self, functions: &[Target]) -> Vec<Counted> {
        let splitter = match self {
            Self::Alias => None,
            Self::Route53(records) => records.layer.as_ref().map(Layers::counted),
            Self::Alb(forward) => Some(forward.counted()),
        };
        functions
            .iter()
            .map(Target::counted)
            .chain(splitter)
            .collect()
    }

    /// What blue's side of the splitter showed before the release.
    #[must_use]
    pub fn past(&self) -> Option<BluePast> {
        match self {
            Self::Alias => None,
            Self::Route53(records) => records.layer.as_ref().and_then(|layers| layers.past),
            Self::Alb(forward) => forward.past,
        }
    }

    /// Keeps what blue's side of the splitter showed before the release.
    pub fn set_blue_past(&mut self, seen: Option<BluePast>) {
        match self {
            Self::Alias => {}
            Self::Route53(records) => {
                if let Some(layers) = &mut records.layer {
                    layers.past = seen;
                }
            }
            Self::Alb(forward) => forward.past = seen,
        }
    }
}

/// The lock of a record.
#[must_use]
pub fn record_lock(zone: &HostedZoneId, name: &RecordName, kind: RecordType) -> String {
    format!("record/{zone}/{}/{kind}", name.without_dot())
}

impl ForwardAt {
    /// The lock of a rule or listener.
    #[must_use]
    pub fn lock(&self) -> String {
        match self {
            Self::Rule(arn) => format!("rule/{arn}"),
            Self::Listener(arn) => format!("listener/{arn}"),
        }
    }
}

impl Forward {
    /// All actions that forward to the two groups.
    #[must_use]
    pub fn places(&self) -> Vec<ForwardAt> {
        let also = self.also.iter().cloned().map(ForwardAt::Rule);
        std::iter::once(self.at.clone()).chain(also).collect()
    }

    /// The group of a colour.
    #[must_use]
    pub fn group(&self, colour: Colour) -> &TargetGroupArn {
        match colour {
            Colour::Blue => &self.blue,
            Colour::Green => &self.green,
        }
    }

    fn counted(&self) -> Counted {
        let load_balancer = match &self.at {
            ForwardAt::Rule(arn) => arn.load_balancer(),
            ForwardAt::Listener(arn) => arn.load_balancer(),
        };
        let of = |group: &TargetGroupArn| -> Dimensions {
            dimensions([
                ("LoadBalancer", load_balancer.clone()),
                ("TargetGroup", group.metric_dimension().to_owned()),
            ])
        };
        Counted {
            name: self.at.lock(),
            publisher: Publisher::LoadBalancer,
            blue: Some(of(&self.blue)),
            green: of(&self.green),
            past: Some(of(&self.blue)),
        }
    }
}

impl Layers {
    fn counted(&self) -> Counted {
        let (publisher, blue) = self.blue.counted();
        let (_, green) = self.green.counted();
        Counted {
            name: format!("{} and {}", self.blue.shown(), self.green.shown()),
            publisher,
            past: Some(blue.clone()),
            blue: Some(blue),
            green,
        }
    }
}

impl Layer {
    /// Whether both are counted by the same service, so that they can be compared.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.counted().0 == other.counted().0
    }

    fn counted(&self) -> (Publisher, Dimensions) {
        match self {
            Self::RestApi { api_name, stage } => (
                Publisher::RestApi,
                dimensions([("ApiName", api_name.clone()), ("Stage", stage.clone())]),
            ),
            Self::HttpApi { api_id, stage } => (
                Publisher::HttpApi,
                dimensions([("ApiId", api_id.clone()), ("Stage", stage.clone())]),
            ),
            Self::LoadBalancer { load_balancer } => (
                Publisher::LoadBalancer,
                dimensions([("LoadBalancer", load_balancer.clone())]),
            ),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::RestApi { api_name, stage } => format!("{api_name}/{stage}"),
            Self::HttpApi { api_id, stage } => format!("{api_id}/{stage}"),
            Self::LoadBalancer { load_balancer } => load_balancer.clone(),
        }
    }
}
