//! Names of the resources behind which traffic is split. As with [`super::names`], a value that
//! exists is one that AWS would accept.

use deserr::Deserr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::names::{NameError, ensure, name},
    parse::bounds::quoted,
};

/// A hosted zone's id: 1 to 32 capital letters and digits, without `/hostedzone/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Z0-9]{1,32}$", "examples" = ["Z0123456789ABCDEFGHIJ"]))]
pub struct HostedZoneId(String);
name!(HostedZoneId, check_zone);

/// A record's full name, in lower case, with or without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[a-z0-9_-]{1,63}(\\.[a-z0-9_-]{1,63})+\\.?$",
    "maxLength" = 255,
    "examples" = ["api.example.com"]
))]
pub struct RecordName(String);
name!(RecordName, check_record_name);

impl RecordName {
    /// Whether Route 53 means this record by `name`, which comes with a dot at its end.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.without_dot() == name.trim_end_matches('.')
    }

    /// Without the dot at its end: one name for one record.
    #[must_use]
    pub fn without_dot(&self) -> &str {
        self.0.trim_end_matches('.')
    }
}

/// What distinguishes weighted records of one name and type: 1 to 128 characters, none of them a
/// control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    "minLength" = 1,
    "maxLength" = 128,
    "examples" = ["blue"]
))]
pub struct SetIdentifier(String);
name!(SetIdentifier, check_set_identifier);

/// A record's type.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    Deserr,
    strum::IntoStaticStr,
    strum::Display,
)]
pub enum RecordType {
    /// IPv4 addresses, or an alias target that has some.
    #[default]
    A,
    /// IPv6 addresses, or an alias target that has some.
    #[serde(rename = "AAAA")]
    #[deserr(rename = "AAAA")]
    #[strum(serialize = "AAAA")]
    Aaaa,
    /// Another name.
    #[serde(rename = "CNAME")]
    #[deserr(rename = "CNAME")]
    #[strum(serialize = "CNAME")]
    Cname,
}

/// The ARN of a listener rule of an Application Load Balancer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:listener-rule/app/[A-Za-z0-9-]{1,32}/[0-9A-Za-z]+/[0-9A-Za-z]+/[0-9A-Za-z]+$",
    "examples" = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc6c495c0c9188/0467ef3c8400ae65/db8b4a4c8f1a0d5e"]
))]
pub struct RuleArn(String);
name!(RuleArn, check_rule);

/// The ARN of a listener of an Application Load Balancer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:listener/app/[A-Za-z0-9-]{1,32}/[0-9A-Za-z]+/[0-9A-Za-z]+$",
    "examples" = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc6c495c0c9188/0467ef3c8400ae65"]
))]
pub struct ListenerArn(String);
name!(ListenerArn, check_listener);

/// The ARN of a target group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9A-Za-z]+$",
    "examples" = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-blue/73e2d6bc24d8a067"]
))]
pub struct TargetGroupArn(String);
name!(TargetGroupArn, check_target_group);

impl RuleArn {
    /// The load balancer as its metrics name it: `app/NAME/ID`.
    #[must_use]
    pub fn load_balancer(&self) -> String {
        load_balancer(&self.0)
    }
}

impl ListenerArn {
    /// The load balancer as its metrics name it: `app/NAME/ID`.
    #[must_use]
    pub fn load_balancer(&self) -> String {
        load_balancer(&self.0)
    }
}

impl TargetGroupArn {
    /// Returns the group's name.
    #[must_use]
    pub fn group_name(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or(&self.0)
    }

    /// The group as its metrics name it: `targetgroup/NAME/ID` (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>).
    #[must_use]
    pub fn metric_dimension(&self) -> &str {
        self.0.rsplit(':').next().unwrap_or(&self.0)
    }
}

/// `…:listener/app/NAME/ID/…` and `…:listener-rule/app/NAME/ID/…` name their load balancer.
fn load_balancer(arn: &str) -> String {
    arn.split('/').skip(1).take(3).collect::<Vec<_>>().join("/")
}

fn check_zone(text: &str) -> Result<(), NameError> {
    let id = text
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    ensure(id && (1..=32).contains(&text.len()), || {
        format!(
            "{} is not a hosted zone's id; give it without \"/hostedzone/\", such as \"Z0123456789ABCDEFGHIJ\"",
            quoted(text)
        )
    })
}

fn check_record_name(text: &str) -> Result<(), NameError> {
    let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    let label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    ensure(
        text.len() <= 255 && labels.len() > 1 && labels.iter().all(label),
        || {
            format!(
                "{} is not a record's full name; use lower-case letters, digits, \"-\" and \"_\" \
                 between dots, such as \"api.example.com\"",
                quoted(text)
            )
        },
    )
}

fn check_set_identifier(text: &str) -> Result<(), NameError> {
    let length = text.chars().count();
    ensure(
        (1..=128).contains(&length) && !text.contains(char::is_control),
        || {
            format!(
                "{} is not a set identifier; use 1 to 128 characters and no control characters",
                quoted(text)
            )
        },
    )
}

fn check_rule(text: &str) -> Result<(), NameError> {
    ensure(is_arn(text, "listener-rule", 6), || {
        format!(
            "{} is not the ARN of an Application Load Balancer's listener rule; for a listener's \
             default action give \"listenerArn\"",
            quoted(text)
        )
    })
}

fn check_listener(text: &str) -> Result<(), NameError> {
    ensure(is_arn(text, "listener", 5), || {
        format!(
            "{} is not the ARN of an Application Load Balancer's listener; for a rule give \
             \"ruleArn\"",
            quoted(text)
        )
    })
}

fn check_target_group(text: &str) -> Result<(), NameError> {
    ensure(is_arn(text, "targetgroup", 3), || {
        format!("{} is not a target group's ARN", quoted(text))
    })
}

/// `arn:aws:elasticloadbalancing:REGION:ACCOUNT:KIND/…` with so many parts between slashes, and
/// `app` before the load balancer's name where one is in it.
fn is_arn(text: &str, kind: &str, parts: usize) -> bool {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = fields[..] else {
        return false;
    };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let path: Vec<&str> = resource.split('/').collect();
    let (name, ids) = match (path.first(), path.get(1)) {
        (Some(&"targetgroup"), _) => (1, 2..),
        (_, Some(&"app")) => (2, 3..),
        _ => return false,
    };
    arn == "arn"
        && partition.starts_with("aws")
        && word(partition, b"-")
        && service == "elasticloadbalancing"
        && word(region, b"-")
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && path.len() == parts
        && path[0] == kind
        && word(path[name], b"-")
        && path[name].len() <= 32
        && path[ids].iter().all(|id| word(id, b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc6c495c0c9188/0467ef3c8400ae65/db8b4a4c8f1a0d5e";
    const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc6c495c0c9188/0467ef3c8400ae65";
    const GROUP: &str =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-blue/73e2d6bc24d8a067";

    #[test]
    fn rejects_arns_of_another_kind() {
        assert!(RULE.parse::<RuleArn>().is_ok() && LISTENER.parse::<RuleArn>().is_err());
        assert!(LISTENER.parse::<ListenerArn>().is_ok() && RULE.parse::<ListenerArn>().is_err());
        assert!(GROUP.parse::<TargetGroupArn>().is_ok() && RULE.parse::<TargetGroupArn>().is_err());
        for bad in [
            "",
            "arn",
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/net/web/1/2/3",
            "arn:aws:elasticloadbalancing:eu-west-1:1234:listener-rule/app/web/1/2/3",
            "arn:aws:lambda:eu-west-1:123456789012:listener-rule/app/web/1/2/3",
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/../3",
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/*",
            "arn:aws:elasticloadbalancing::123456789012:listener-rule/app/web/1/2/3",
        ] {
            assert!(bad.parse::<RuleArn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_the_metric_dimension_of_an_arn() {
        assert_eq!(
            RULE.parse::<RuleArn>().unwrap().load_balancer(),
            "app/web/50dc6c495c0c9188"
        );
        assert_eq!(
            LISTENER.parse::<ListenerArn>().unwrap().load_balancer(),
            "app/web/50dc6c495c0c9188"
        );
        assert_eq!(
            GROUP.parse::<TargetGroupArn>().unwrap().metric_dimension(),
            "targetgroup/web-blue/73e2d6bc24d8a067"
        );
    }

    #[test]
    fn normalizes_the_trailing_dot_of_a_record() {
        let name: RecordName = "api.example.com".parse().unwrap();
        assert!(name.is("api.example.com.") && name.is("api.example.com"));
        assert!(!name.is("api.example.org."));
        let long = format!("{}.com", "a".repeat(64));
        for bad in [
            "",
            "com",
            ".",
            "a..b",
            "API.example.com",
            "a b.c",
            "*.example.com",
            &long,
        ] {
            assert!(bad.parse::<RecordName>().is_err(), "{bad}");
        }
        assert!("Z123".parse::<HostedZoneId>().is_ok());
        assert!("/hostedzone/Z123".parse::<HostedZoneId>().is_err());
        assert_eq!(RecordType::Aaaa.to_string(), "AAAA");
    }
}
