//! What stands before the functions, as a request says it.

use deserr::{Deserr, IntoValue, Value as Input, ValuePointerRef};
use schemars::JsonSchema;
use serde::Serialize;

pub use crate::domain::analysis::responses::{HttpApi, RestApi};
use crate::domain::names::cloudwatch::LoadBalancerName;
use crate::domain::names::resources::{
    HostedZoneId, ListenerArn, RecordName, RecordType, RuleArn, SetIdentifier, TargetGroupArn,
};
use crate::domain::reachable::WayName;
use crate::domain::routing::weighted::Scale;
use crate::domain::traffic::{ForwardAt, Layer, record_lock};
use crate::parse::bounds::{List, Whole, unexpected};
use crate::parse::problem::Problems;
use crate::parse::tagged::tagged;

/// How long resolvers may hold an answer.
type DnsSeconds = Whole<0, 3600>;

/// What stands before the functions and splits the traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum Traffic {
    /// Each function's alias.
    #[default]
    Alias,
    /// Two weighted records in Route 53.
    Route53(Route53),
    /// Two weighted target groups of an Application Load Balancer.
    Alb(Alb),
}

/// Two weighted records of one name and type. The one that has the weight is blue's, the other is
/// green's; the roles swap with each release. A function is called through an alias for each record:
/// `ALIAS-SETIDENTIFIER`, such as `production-blue`. Green's is pointed at the new version while its
/// record has weight 0.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct Route53 {
    /// The zone that the records are in.
    pub hosted_zone_id: HostedZoneId,
    /// The records' name.
    pub record_name: RecordName,
    /// The records' type.
    #[serde(default)]
    #[deserr(default)]
    pub record_type: RecordType,
    /// The set identifiers of the two records: letters, digits, `-` and `_`, for they name aliases.
    #[serde(default = "blue_and_green")]
    #[schemars(length(min = 2, max = 2))]
    #[deserr(default = blue_and_green(), from(List<SetIdentifier, 2, 2>) = List::into_vec)]
    pub set_identifiers: Vec<SetIdentifier>,
    /// How long resolvers may hold an old answer, in seconds: 0 to 3600. A bake counts from then on.
    /// When absent, the records' own TTL, or 60 (an alias target's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DnsSeconds>")]
    #[deserr(default, from(Option<DnsSeconds>) = Whole::optional)]
    pub dns_seconds: Option<u32>,
    /// What is behind each record and counts its requests, so that it can be judged too: none, or one
    /// for each set identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[deserr(default, from(List<Behind, 0, 2>) = List::into_vec)]
    pub behind: Vec<Behind>,
    /// Ways by which the idle record's aliases are reached although it has weight 0, which the release
    /// accepts: at most 20 names, as a refusal gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[deserr(default, from(List<WayName, 0, 20>) = List::into_vec)]
    pub accept_reachable: Vec<WayName>,
}

fn blue_and_green() -> Vec<SetIdentifier> {
    ["blue", "green"]
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

/// What is behind a record: exactly one of the three.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Behind {
    /// The record's set identifier.
    pub set_identifier: SetIdentifier,
    /// A stage of a REST API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_api: Option<RestApi>,
    /// A stage of an HTTP API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_api: Option<HttpApi>,
    /// An Application Load Balancer, as its metrics name it: `app/NAME/ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancerName>,
}

impl Behind {
    /// What counts the requests.
    ///
    /// # Panics
    /// Never: [`Deserr`] makes none without exactly one of the three.
    #[must_use]
    pub fn layer(&self) -> Layer {
        if let Some(RestApi { api_name, stage }) = self.rest_api.clone() {
            Layer::RestApi { api_name, stage }
        } else if let Some(HttpApi { api_id, stage }) = self.http_api.clone() {
            Layer::HttpApi { api_id, stage }
        } else {
            let load_balancer = self.load_balancer.as_ref();
            Layer::LoadBalancer {
                load_balancer: load_balancer
                    .expect("one of the three is there")
                    .to_string(),
            }
        }
    }
}

impl Deserr<Problems> for Behind {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        #[derive(Deserr)]
        #[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
        struct Fields {
            set_identifier: SetIdentifier,
            #[deserr(default)]
            rest_api: Option<RestApi>,
            #[deserr(default)]
            http_api: Option<HttpApi>,
            #[deserr(default)]
            load_balancer: Option<LoadBalancerName>,
        }
        let Fields {
            set_identifier,
            rest_api,
            http_api,
            load_balancer,
        } = Fields::deserialize_from_value(value, location)?;
        let given = usize::from(rest_api.is_some())
            + usize::from(http_api.is_some())
            + usize::from(load_balancer.is_some());
        if given != 1 {
            let message = "must have exactly one of restApi, httpApi and loadBalancer";
            return Err(unexpected(message, location));
        }
        Ok(Self {
            set_identifier,
            rest_api,
            http_api,
            load_balancer,
        })
    }
}

/// Two weighted target groups of a listener rule, of several, or of a listener's default action: exactly
/// one of `ruleArn`, `ruleArns` and `listenerArn`. The group that has the weight is blue's, the other is
/// green's.
///
/// With a function the groups are Lambda ones, and green's version is registered in the idle one once it
/// has passed validation. Without (`functions` left out), green is what you have registered in the idle group already: it
/// must be healthy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Alb {
    /// The rule that forwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_arn: Option<RuleArn>,
    /// The rules of one service that forward to the two groups and move together, at one write each: 1
    /// to 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 10))]
    pub rule_arns: Vec<RuleArn>,
    /// The listener whose default action forwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener_arn: Option<ListenerArn>,
    /// The two groups.
    #[schemars(length(min = 2, max = 2))]
    pub target_group_arns: Vec<TargetGroupArn>,
    /// Ways by which the idle group is reached although it has weight 0, which the release accepts: at
    /// most 20 names, as a refusal gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub accept_reachable: Vec<WayName>,
}

impl Deserr<Problems> for Alb {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        #[derive(Deserr)]
        #[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
        struct Fields {
            #[deserr(default)]
            rule_arn: Option<RuleArn>,
            #[deserr(default, from(List<RuleArn, 1, 10>) = List::into_vec)]
            rule_arns: Vec<RuleArn>,
            #[deserr(default)]
            listener_arn: Option<ListenerArn>,
            #[deserr(from(List<TargetGroupArn, 2, 2>) = List::into_vec)]
            target_group_arns: Vec<TargetGroupArn>,
            #[deserr(default, from(List<WayName, 0, 20>) = List::into_vec)]
            accept_reachable: Vec<WayName>,
        }
        let Fields {
            rule_arn,
            rule_arns,
            listener_arn,
            target_group_arns,
            accept_reachable,
        } = Fields::deserialize_from_value(value, location)?;
        let given = usize::from(rule_arn.is_some())
            + usize::from(!rule_arns.is_empty())
            + usize::from(listener_arn.is_some());
        if given != 1 {
            let message = "must have exactly one of ruleArn, ruleArns and listenerArn";
            return Err(unexpected(message, location));
        }
        let list = location.push_key("ruleArns");
        for (index, rule) in rule_arns.iter().enumerate() {
            if rule_arns[..index].contains(rule) {
                return Err(unexpected("names a rule twice", list.push_index(index)));
            }
            if rule.load_balancer() != rule_arns[0].load_balancer() {
                let message = "must be a rule of the same load balancer as the first: target groups \
                     belong to one";
                return Err(unexpected(message, list.push_index(index)));
            }
        }
        Ok(Self {
            rule_arn,
            rule_arns,
            listener_arn,
            target_group_arns,
            accept_reachable,
        })
    }
}

impl Alb {
    /// Returns which action forwards, and which more rules move with it.
    ///
    /// # Panics
    /// Never: [`Deserr`] makes none without exactly one of the three.
    #[must_use]
    pub fn places(&self) -> (ForwardAt, Vec<RuleArn>) {
        let mut rules = self.rule_arn.iter().chain(&self.rule_arns).cloned();
        let at = match (rules.next(), &self.listener_arn) {
            (Some(rule), _) => ForwardAt::Rule(rule),
            (None, listener) => {
                ForwardAt::Listener(listener.clone().expect("one of the three is there"))
            }
        };
        (at, rules.collect())
    }
}

impl Traffic {
    /// The names of the ways to the idle side that the release accepts.
    #[must_use]
    pub fn accepts(&self) -> &[WayName] {
        match self {
            Self::Alias => &[],
            Self::Route53(records) => &records.accept_reachable,
            Self::Alb(alb) => &alb.accept_reachable,
        }
    }

    /// Returns what the weights are whole numbers of; none for an alias, which takes every weight as it
    /// is.
    #[must_use]
    pub fn scale(&self) -> Option<Scale> {
        match self {
            Self::Alias => None,
            Self::Route53(_) => Some(Scale::Records),
            Self::Alb(_) => Some(Scale::Groups),
        }
    }

    /// The names of the locks that a release through this door takes beside its functions'.
    #[must_use]
    pub fn locks(&self) -> Vec<String> {
        match self {
            Self::Alias => Vec::new(),
            Self::Route53(records) => vec![record_lock(
                &records.hosted_zone_id,
                &records.record_name,
                records.record_type,
            )],
            Self::Alb(alb) => {
                let (at, also) = alb.places();
                let also = also.into_iter().map(ForwardAt::Rule);
                std::iter::once(at)
                    .chain(also)
                    .map(|place| place.lock())
                    .collect()
            }
        }
    }
}

impl Deserr<Problems> for Traffic {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        /// The other fields of a kind that has none.
        #[derive(Deserr)]
        #[deserr(error = Problems, deny_unknown_fields)]
        struct Nothing {}

        let kinds = &["alias", "route53", "alb"];
        let (kind, fields) = tagged::<Problems, V>(value, "type", kinds, location)?;
        let fields = Input::<V>::Map(fields);
        match kind {
            "route53" => Route53::deserialize_from_value(fields, location).map(Self::Route53),
            "alb" => Alb::deserialize_from_value(fields, location).map(Self::Alb),
            _ => {
                let Nothing {} = Nothing::deserialize_from_value(fields, location)?;
                Ok(Self::Alias)
            }
        }
    }
}
