//! Names of CloudWatch's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NameError, ensure, name};
use crate::parse::bounds::quoted;

/// The name of a metric, a namespace or a dimension: 1 to 255 characters, none of them a control character, and no
/// colon at the beginning.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[^:\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$",
    "maxLength" = 255,
    "examples" = ["Failures"]
))]
pub struct MetricName(String);
name!(MetricName, check_metric_name);

/// A dimension's value: 1 to 1024 characters, none of them a control character. `${version}` stands for the number of
/// the version that is counted.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
    "maxLength" = 1024,
    "examples" = ["${version}"]
))]
pub struct DimensionValue(String);
name!(DimensionValue, check_dimension_value);

/// What stands for a version's number in a dimension's value.
const VERSION: &str = "${version}";

impl DimensionValue {
    /// Returns whether the value differs by version.
    #[must_use]
    pub fn has_version(&self) -> bool {
        self.0.contains(VERSION)
    }

    /// Returns the value for a version.
    #[must_use]
    pub fn of(&self, version: &str) -> String {
        self.0.replace(VERSION, version)
    }
}

/// How a minute's data points become one number: `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, or a percentile
/// such as `p99` or `p99.9`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^(Sum|Average|Minimum|Maximum|SampleCount|p(100|[0-9]{1,2}([.][0-9]{1,2})?))$",
    "examples" = ["p99"]
))]
pub struct Statistic(String);
name!(Statistic, check_statistic);

/// A load balancer as its metrics name it: the part of its ARN after `loadbalancer/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^app/", "examples" = ["app/web/50dc6c495c0c9188"]))]
pub struct LoadBalancerName(String);
name!(LoadBalancerName, check_load_balancer);

/// Returns whether a text has 1 to `most` characters, none of them a control character.
fn is_plain(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && !text.contains(char::is_control)
}

fn check_metric_name(text: &str) -> Result<(), NameError> {
    ensure(is_plain(text, 255) && !text.starts_with(':'), || {
        format!(
            "{} is not a name of CloudWatch's; use 1 to 255 characters, no control characters, and no \":\" at the \
             beginning",
            quoted(text)
        )
    })
}

fn check_dimension_value(text: &str) -> Result<(), NameError> {
    ensure(is_plain(text, 1024), || {
        format!(
            "{} is not a dimension's value; use 1 to 1024 characters and no control characters",
            quoted(text)
        )
    })
}

fn check_statistic(text: &str) -> Result<(), NameError> {
    let digits =
        |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let is_percentile = text.strip_prefix('p').is_some_and(|percent| {
        percent == "100"
            || match percent.split_once('.') {
                Some((whole, part)) => digits(whole) && digits(part),
                None => digits(percent),
            }
    });
    let known = ["Sum", "Average", "Minimum", "Maximum", "SampleCount"];
    ensure(known.contains(&text) || is_percentile, || {
        format!(
            "{} is not a statistic; use {}, or a percentile such as p99",
            quoted(text),
            known.join(", ")
        )
    })
}

fn check_load_balancer(text: &str) -> Result<(), NameError> {
    ensure(text.starts_with("app/"), || {
        "must be the part of the load balancer's ARN after \"loadbalancer/\", such as \"app/web/50dc6c495c0c9188\""
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_statistics_that_cloudwatch_takes() {
        for right in ["Sum", "SampleCount", "p0", "p99", "p99.9", "p99.99", "p100"] {
            assert!(right.parse::<Statistic>().is_ok(), "{right}");
        }
        for wrong in [
            "sum", "", "p", "p101", "p100.1", "p9.999", "p99.", "p.5", "TC(5:)", "99",
        ] {
            assert!(wrong.parse::<Statistic>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn puts_a_version_where_its_place_is() {
        let value: DimensionValue = "chat-${version}".parse().unwrap();
        assert!(value.has_version());
        assert_eq!(value.of("7"), "chat-7");
        let value: DimensionValue = "$version".parse().unwrap();
        assert!(!value.has_version());
        assert_eq!(value.of("7"), "$version");
    }

    #[test]
    fn refuses_names_that_cloudwatch_refuses() {
        for wrong in ["", ":Chat", "a\nb"] {
            assert!(wrong.parse::<MetricName>().is_err(), "{wrong:?}");
        }
        assert!("x".repeat(256).parse::<MetricName>().is_err());
        assert!("AWS/Lambda".parse::<MetricName>().is_ok());
        assert!("".parse::<DimensionValue>().is_err());
        assert!("x".repeat(1025).parse::<DimensionValue>().is_err());
    }
}
