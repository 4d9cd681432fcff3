//! What can reach the idle side of a load balancer or of Route 53 although its weight is 0.
//!
//! The idle side is green's. It holds green from the end of its validation on, and green has no weight
//! then: a client that still reaches the idle side would be served by green before its first step. What ends
//! by itself is waited for; what does not is refused, unless the request accepts it by its name.

use std::fmt;

use chrono::{SecondsFormat, TimeDelta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    names::{NameError, ensure, name},
};
use crate::{
    domain::names::resources::{ListenerArn, RuleArn},
    parse::bounds::quoted,
};

/// How much longer than a record's TTL some resolvers keep its answer, seconds: also what Route 53 takes
/// to put a change in force.
pub const GRACE_SECONDS: u32 = 60;

/// How long a release waits at most until the idle side cannot be reached any more, seconds. What takes
/// longer is refused, with the time from which on the release may begin.
pub const MOST_WAIT_SECONDS: u32 = 900;

/// The name of a way to the idle side that a request accepts: a listener rule's or listener's ARN,
/// `stickiness`, `resolvers`, `functionUrl`, `permission:STATEMENT` or `eventSourceMapping:UUID`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^(stickiness|resolvers|functionUrl|permission:[A-Za-z0-9_-]{1,100}|eventSourceMapping:[A-Za-z0-9-]{1,64}|arn:aws[a-z-]*:elasticloadbalancing:.+)$",
    "maxLength" = 256,
    "examples" = ["stickiness", "permission:s3"]
))]
pub struct WayName(String);
name!(WayName, check_way_name);

fn check_way_name(text: &str) -> Result<(), NameError> {
    let id = |text: &str, most: usize| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=most).contains(&text.len()) && text.bytes().all(plain)
    };
    let is_one = match text.split_once(':') {
        None => ["stickiness", "resolvers", "functionUrl"].contains(&text),
        Some(("permission", statement)) => id(statement, 100),
        Some(("eventSourceMapping", uuid)) => id(uuid, 64) && !uuid.contains('_'),
        Some(_) => text.parse::<RuleArn>().is_ok() || text.parse::<ListenerArn>().is_ok(),
    };
    ensure(is_one, || {
        format!(
            "{} is not the name of a way to the idle side; give a listener rule's or listener's ARN, \"stickiness\", \"resolvers\", \"functionUrl\", \"permission:STATEMENT\" or \"eventSourceMapping:UUID\", as the refusal names it",
            quoted(text)
        )
    })
}

/// One way to the idle side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Another listener rule, or another listener's default action, forwards to the idle group.
    Rule {
        /// The rule's ARN, or the listener's for its default action.
        at: String,
        /// The idle group's ARN.
        group: String,
        /// The group's weight there.
        weight: u32,
    },
    /// A rule keeps clients with their group, whatever the weights become.
    Stickiness {
        /// The rule's ARN, or the listener's for its default action.
        at: String,
        /// Whether the release moves that rule itself.
        own: bool,
        /// For how long, seconds.
        seconds: u32,
        /// When the idle side lost its weight there; none where no release is on record.
        since: Option<Timestamp>,
    },
    /// Resolvers keep the answer that they were given while the idle record had weight.
    Resolvers {
        /// The record's name.
        record: String,
        /// For how long, seconds: the TTL.
        seconds: u32,
        /// When the idle record lost its weight.
        since: Timestamp,
    },
    /// The idle alias has a function URL.
    FunctionUrl {
        /// `FUNCTION:ALIAS`.
        alias: String,
        /// The URL.
        url: String,
    },
    /// A permission lets a caller other than the target of the record invoke the idle alias.
    Permission {
        /// `FUNCTION:ALIAS`.
        alias: String,
        /// The statement's id.
        id: String,
        /// Whom it lets in, in words.
        caller: String,
    },
    /// An event source mapping calls the idle alias.
    EventSource {
        /// `FUNCTION:ALIAS`.
        alias: String,
        /// The mapping's id.
        uuid: String,
        /// What is read.
        source: String,
    },
}

impl Way {
    /// Returns the name that a request accepts it by.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Rule { at, .. } | Self::Stickiness { at, own: false, .. } => at.clone(),
            Self::Stickiness { own: true, .. } => "stickiness".to_owned(),
            Self::Resolvers { .. } => "resolvers".to_owned(),
            Self::FunctionUrl { .. } => "functionUrl".to_owned(),
            Self::Permission { id, .. } => format!("permission:{id}"),
            Self::EventSource { uuid, .. } => format!("eventSourceMapping:{uuid}"),
        }
    }

    /// Returns when it ends by itself.
    fn ends(&self) -> Ends {
        let after = |since: Timestamp, seconds: u32| {
            Ends::At(since + TimeDelta::seconds(i64::from(seconds)))
        };
        match self {
            Self::Stickiness { since: None, .. } => Ends::Unknown,
            Self::Stickiness {
                since: Some(since),
                seconds,
                ..
            } => after(*since, *seconds),
            Self::Resolvers { since, seconds, .. } => {
                after(*since, seconds.saturating_add(GRACE_SECONDS))
            }
            Self::Rule { .. }
            | Self::FunctionUrl { .. }
            | Self::Permission { .. }
            | Self::EventSource { .. } => Ends::Never,
        }
    }

    /// Returns what ends it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Rule { .. } => {
                "take the group out of it, or name all rules of the service in traffic.ruleArns"
            }
            Self::Stickiness { .. } => "release later, or turn the stickiness off",
            Self::Resolvers { .. } => "release later",
            Self::FunctionUrl { .. } => "delete the URL",
            Self::Permission { .. } => "remove the permission",
            Self::EventSource { .. } => "delete the mapping",
        }
    }
}

/// When a way ends by itself.
enum Ends {
    At(Timestamp),
    Never,
    Unknown,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { at, group, weight } => write!(
                f,
                "{at} also forwards to the idle target group {group}, with weight {weight}"
            ),
            Self::Stickiness { at, seconds, .. } => write!(
                f,
                "{at} keeps clients with the idle target group for {seconds} s after it lost its weight"
            ),
            Self::Resolvers {
                record, seconds, ..
            } => write!(
                f,
                "resolvers may send clients of {record} to the idle record for {seconds} s (and {GRACE_SECONDS} s of grace) after it lost its weight"
            ),
            Self::FunctionUrl { alias, url } => {
                write!(f, "function URL {url} calls the idle alias {alias}")
            }
            Self::Permission { alias, id, caller } => write!(
                f,
                "statement \"{id}\" of the policy of the idle alias {alias} lets {caller} call it"
            ),
            Self::EventSource {
                alias,
                uuid,
                source,
            } => write!(
                f,
                "event source mapping {uuid} of {source} calls the idle alias {alias}"
            ),
        }
    }
}

/// What a release has to do about the ways to the idle side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// How long it waits before green may be reached, seconds.
    pub wait_seconds: u32,
    /// The names of what the request accepts and is there.
    pub accepted: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Why the release may not begin, a sentence for each way.
    pub refused: Vec<String>,
}

/// Decides what is to be done about the ways to the idle side, of which the request accepts some by name.
#[must_use]
pub fn admit(ways: &[Way], accepted: &[WayName], now: Timestamp) -> Admitted {
    let mut admitted = Admitted::default();
    for way in ways {
        let (name, remedy) = (way.name(), way.remedy());
        if accepted.iter().any(|one| one.as_ref() == name) {
            admitted
                .warnings
                .push(format!("accepted by traffic.acceptReachable: {way}"));
            if !admitted.accepted.contains(&name) {
                admitted.accepted.push(name);
            }
            continue;
        }
        let accept = format!("accept it: \"acceptReachable\": [\"{name}\"]");
        match way.ends() {
            Ends::Unknown => admitted.warnings.push(format!(
                "{way}; when that was is not on record, so nothing is waited for"
            )),
            Ends::Never => admitted.refused.push(format!(
                "{way}: it would be served by green before the first shift; {remedy}, or {accept}"
            )),
            Ends::At(end) => {
                // Whole seconds, of which the last has begun.
                let left = (end - now).num_milliseconds().max(0).unsigned_abs();
                match u32::try_from(left.div_ceil(1000)) {
                    Ok(left) if left <= MOST_WAIT_SECONDS => {
                        admitted.wait_seconds = admitted.wait_seconds.max(left);
                    }
                    _ => admitted.refused.push(format!(
                        "{way}, until {}: it would be served by green before the first shift; {remedy}, or {accept}",
                        end.to_rfc3339_opts(SecondsFormat::Secs, true)
                    )),
                }
            }
        }
    }
    let unknown = |name: &&WayName| !ways.iter().any(|way| way.name() == name.as_ref());
    admitted
        .warnings
        .extend(accepted.iter().filter(unknown).map(|name| {
        format!(
            "traffic.acceptReachable: \"{name}\" is not a way to the idle side; it can be left out"
        )
    }));
    admitted
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*, sample::subsequence};

    use super::*;

    const RULE: &str =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/3";

    fn called(name: &str) -> WayName {
        name.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        "2026-11-20T12:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::seconds(seconds)
    }

    fn sticky(seconds: u32, since: Option<i64>) -> Way {
        Way::Stickiness {
            at: RULE.into(),
            own: true,
            seconds,
            since: since.map(at),
        }
    }

    fn resolvers(seconds: u32) -> Way {
        Way::Resolvers {
            record: "api.example.com".into(),
            seconds,
            since: at(0),
        }
    }

    fn lasting() -> Vec<Way> {
        let alias = || "chat:live-green".to_owned();
        vec![
            Way::Rule {
                at: RULE.into(),
                group: "arn:green".into(),
                weight: 1,
            },
            Way::FunctionUrl {
                alias: alias(),
                url: "https://x.lambda-url.eu-west-1.on.aws/".into(),
            },
            Way::Permission {
                alias: alias(),
                id: "s3".into(),
                caller: "s3.amazonaws.com".into(),
            },
            Way::EventSource {
                alias: alias(),
                uuid: "u-1".into(),
                source: "arn:aws:sqs:eu-west-1:1:q".into(),
            },
        ]
    }

    #[test]
    fn refuses_what_does_not_end_by_itself() {
        let names = [
            RULE,
            "functionUrl",
            "permission:s3",
            "eventSourceMapping:u-1",
        ];
        for (way, name) in lasting().into_iter().zip(names) {
            let ways = [way];
            let refused = admit(&ways, &[], at(0));
            assert_eq!(refused.refused.len(), 1, "{refused:?}");
            assert!(refused.refused[0].contains(&ways[0].to_string()));
            assert!(refused.refused[0].contains(&format!("\"acceptReachable\": [\"{name}\"]")));
            assert_eq!((refused.wait_seconds, refused.warnings.len()), (0, 0));

            let accepted = admit(&ways, &[called(name)], at(0));
            assert_eq!(accepted.refused, [""; 0]);
            assert_eq!(accepted.accepted, [name]);
            assert_eq!(
                accepted.warnings,
                [format!("accepted by traffic.acceptReachable: {}", ways[0])]
            );
        }
    }

    #[test]
    fn waits_for_what_ends_soon() {
        // 60 s of TTL and 60 s of grace.
        for (now, left) in [(0, 120), (1, 119), (119, 1), (120, 0), (500, 0)] {
            let admitted = admit(&[resolvers(60)], &[], at(now));
            assert_eq!(admitted.wait_seconds, left, "{now}");
            assert!(admitted.refused.is_empty() && admitted.warnings.is_empty());
        }
        // The longest of several.
        let ways = [resolvers(60), sticky(300, Some(0))];
        assert_eq!(admit(&ways, &[], at(0)).wait_seconds, 300);
        // A part of a second is waited for as a whole one.
        let now = at(0) + TimeDelta::milliseconds(1);
        assert_eq!(admit(&[resolvers(60)], &[], now).wait_seconds, 120);
    }

    #[test]
    fn refuses_what_takes_long_with_the_time_at_which_it_ends() {
        let ways = [sticky(86_400, Some(0))];
        let refused = admit(&ways, &[], at(60));
        assert_eq!(refused.wait_seconds, 0);
        assert!(
            refused.refused[0].contains("until 2026-11-21T12:00:00Z"),
            "{refused:?}"
        );
        assert_eq!(admit(&ways, &[], at(86_400 - 900)).wait_seconds, 900);
        assert_eq!(admit(&ways, &[], at(86_400 - 901)).refused.len(), 1);
        assert_eq!(admit(&ways, &[], at(86_400)), Admitted::default());
        let accepted = admit(&ways, &[called("stickiness")], at(60));
        assert!(accepted.refused.is_empty(), "{accepted:?}");
    }

    #[test]
    fn warns_of_stickiness_whose_beginning_is_not_known() {
        let admitted = admit(&[sticky(86_400, None)], &[], at(0));
        assert!(admitted.refused.is_empty());
        assert_eq!(admitted.wait_seconds, 0);
        assert!(admitted.warnings[0].contains("not on record"));
    }

    #[test]
    fn warns_of_an_accepted_name_that_was_not_found() {
        let admitted = admit(&[], &[called("functionUrl")], at(0));
        assert!(admitted.accepted.is_empty());
        assert_eq!(admitted.warnings.len(), 1);
        assert!(admitted.warnings[0].contains("\"functionUrl\" is not a way"));
    }

    #[test]
    fn takes_only_names_of_ways() {
        let listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/1/2";
        for name in [
            RULE,
            listener,
            "stickiness",
            "resolvers",
            "functionUrl",
            "permission:crossfade-a1_b2",
            "eventSourceMapping:14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        ] {
            assert_eq!(called(name).as_ref(), name);
        }
        for name in [
            "",
            "Stickiness",
            "functionurl",
            "permission:",
            "permission:a b",
            "eventSourceMapping:",
            "arn:aws:lambda:eu-west-1:123456789012:function:chat",
        ] {
            assert!(name.parse::<WayName>().is_err(), "{name}");
        }
    }

    #[test]
    fn names_another_rules_stickiness_by_the_rule() {
        let way = Way::Stickiness {
            at: RULE.into(),
            own: false,
            seconds: 60,
            since: None,
        };
        assert_eq!(way.name(), RULE);
    }

    fn ways() -> impl Strategy<Value = Vec<Way>> {
        let passing = prop_oneof![
            (1u32..604_800, option::of(-700_000i64..10)).prop_map(|(s, since)| sticky(s, since)),
            (0u32..3600, -5000i64..10).prop_map(|(seconds, since)| Way::Resolvers {
                record: "api.example.com".into(),
                seconds,
                since: at(since),
            }),
        ];
        (vec(passing, 0..3), subsequence(lasting(), 0..=4)).prop_map(|(mut passing, lasting)| {
            passing.extend(lasting);
            passing
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn begins_only_when_every_way_has_ended_or_was_accepted_or_is_not_known(
            ways in ways(),
            accepts in subsequence(vec!["stickiness", "resolvers", "functionUrl", "permission:s3", RULE], 0..=5),
        ) {
            let accepts: Vec<WayName> = accepts.into_iter().map(called).collect();
            let admitted = admit(&ways, &accepts, at(0));
            prop_assert!(admitted.wait_seconds <= MOST_WAIT_SECONDS);
            if admitted.refused.is_empty() {
                let then = at(i64::from(admitted.wait_seconds));
                for way in &ways {
                    let ended = match way.ends() {
                        Ends::At(end) => end <= then,
                        Ends::Never => false,
                        Ends::Unknown => true,
                    };
                    prop_assert!(ended || accepts.contains(&called(&way.name())), "{way}");
                }
            }
            // Later, or with all accepted, it is never worse.
            let all: Vec<WayName> = ways.iter().map(|way| called(&way.name())).collect();
            prop_assert!(admit(&ways, &all, at(0)).refused.is_empty());
            prop_assert!(admit(&ways, &accepts, at(60)).wait_seconds <= MOST_WAIT_SECONDS);
        }
    }
}
