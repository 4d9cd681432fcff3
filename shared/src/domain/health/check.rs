//! A health check of green.

use std::fmt;

use deserr::{Deserr, IntoValue, Value as Input, ValuePointerRef};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::health::{HealthCheckId, HealthUrl, ROUTE53_INTERVAL_SECONDS, Side};
use crate::domain::names::resources::{SetIdentifier, TargetGroupArn};
use crate::parse::bounds::{HttpStatus, Whole, unexpected};
use crate::parse::problem::Problems;

/// How often a URL may be asked.
type IntervalSeconds = Whole<10, 300>;

crate::parse::carried!(HealthCheck);

/// A health check of one side: of a Route 53 record, or of a load balancer's target group. A release
/// asks the one whose side is green; the sides swap roles at each promotion, so each of them needs one.
/// The fields say which kind it is: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged, rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum HealthCheck {
    /// One of Route 53's, which asks from all over the world. Healthy when more than 18 % of its
    /// checkers find it so. Not one that is calculated, or of an alarm: name the alarm instead.
    Route53 {
        /// Its id.
        route53_health_check_id: HealthCheckId,
        /// The set identifier of the record that it checks. Required with `traffic.type` `route53`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set_identifier: Option<SetIdentifier>,
        /// The target group that it checks. Required with `traffic.type` `alb`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_group_arn: Option<TargetGroupArn>,
    },
    /// A URL that Crossfade asks itself.
    Url {
        /// An HTTPS URL, at most 512 characters, whose host the stack's parameter `HealthCheckHosts`
        /// lists. Redirects are not followed, and a host's name never stands for a private address.
        url: HealthUrl,
        /// The status that is expected: 100 to 599.
        #[serde(default = "default_expected_status")]
        #[schemars(with = "HttpStatus")]
        expected_status: u32,
        /// How often it is asked, in seconds: 10 to 300. A bake is looked at as often.
        #[serde(default = "default_interval_seconds")]
        #[schemars(with = "IntervalSeconds")]
        interval_seconds: u32,
        /// The set identifier of the record that it checks. Required with `traffic.type` `route53`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set_identifier: Option<SetIdentifier>,
        /// The target group that it checks. Required with `traffic.type` `alb`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_group_arn: Option<TargetGroupArn>,
    },
}

const fn default_expected_status() -> u32 {
    200
}

const fn default_interval_seconds() -> u32 {
    30
}

/// A health check's fields before it is known which kind they make.
#[derive(Deserr)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
struct Fields {
    #[deserr(default)]
    route53_health_check_id: Given<HealthCheckId>,
    #[deserr(default)]
    url: Given<HealthUrl>,
    #[deserr(default)]
    expected_status: Given<HttpStatus>,
    #[deserr(default)]
    interval_seconds: Given<IntervalSeconds>,
    #[deserr(default)]
    set_identifier: Option<SetIdentifier>,
    #[deserr(default)]
    target_group_arn: Option<TargetGroupArn>,
}

/// A field that says which kind it is by being there: null would be of neither.
struct Given<T>(Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Deserr<Problems>> Deserr<Problems> for Given<T> {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        match value {
            Input::Null => Err(unexpected(
                "is null; give a value or leave it out",
                location,
            )),
            value => T::deserialize_from_value(value, location).map(|given| Self(Some(given))),
        }
    }
}

impl Deserr<Problems> for HealthCheck {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        let Fields {
            route53_health_check_id,
            url,
            expected_status,
            interval_seconds,
            set_identifier,
            target_group_arn,
        } = Fields::deserialize_from_value(value, location)?;
        let seconds = interval_seconds.0.map(u32::from);
        match (
            route53_health_check_id.0,
            url.0,
            expected_status.0.map(u32::from),
            seconds,
        ) {
            (Some(route53_health_check_id), None, None, None) => Ok(Self::Route53 {
                route53_health_check_id,
                set_identifier,
                target_group_arn,
            }),
            (None, Some(url), expected_status, interval_seconds) => Ok(Self::Url {
                url,
                expected_status: expected_status.unwrap_or(default_expected_status()),
                interval_seconds: interval_seconds.unwrap_or(default_interval_seconds()),
                set_identifier,
                target_group_arn,
            }),
            (None, None, _, _) => Err(unexpected(
                "says no health check; give route53HealthCheckId, or url",
                location,
            )),
            (Some(_), _, _, _) => Err(unexpected(
                "mixes kinds; give route53HealthCheckId, or url with expectedStatus and intervalSeconds; \
                 beside either setIdentifier or targetGroupArn",
                location,
            )),
        }
    }
}

impl HealthCheck {
    /// Returns the side that it checks. None for one of a release that began before there were sides:
    /// it is taken for green's.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        let (Self::Route53 {
            set_identifier,
            target_group_arn,
            ..
        }
        | Self::Url {
            set_identifier,
            target_group_arn,
            ..
        }) = self;
        let record = set_identifier.clone().map(Side::Record);
        record.or_else(|| target_group_arn.clone().map(Side::Group))
    }

    /// How often it is asked, seconds.
    #[must_use]
    pub fn interval_seconds(&self) -> u32 {
        match self {
            Self::Route53 { .. } => ROUTE53_INTERVAL_SECONDS,
            Self::Url {
                interval_seconds, ..
            } => *interval_seconds,
        }
    }
}

impl fmt::Display for HealthCheck {
    /// As an operator knows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route53 {
                route53_health_check_id,
                ..
            } => route53_health_check_id.fmt(f),
            Self::Url { url, .. } => url.fmt(f),
        }
    }
}
