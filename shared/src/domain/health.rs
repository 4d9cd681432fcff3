//! Health checks of green: what they are, when they are asked, and what their answers mean.
//!
//! Behind two records or two target groups the roles swap at each promotion. So a check belongs to one
//! of the two, its side, and a release keeps those of the side that is green in it ([`of_green`]).
//!
//! Three failures in a row are a verdict; one is not, for a request may fail by chance. A check that
//! fails at the moment is no pass either: the bake goes on until it recovers, or fails for the third
//! time.

mod address;
mod check;
mod url;

use crate::display::truncate;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    address::is_public,
    check::HealthCheck,
    url::{AllowedHosts, HealthUrl},
};
use super::names::{NameError, ensure, name};
use crate::{
    domain::{
        analysis::verdict::Verdict,
        names::resources::{SetIdentifier, TargetGroupArn},
        traffic::Splitter,
    },
    parse::bounds::quoted,
};

/// How many failures in a row are a verdict.
pub const FAILURES: u32 = 3;

/// How often a Route 53 health check is asked, seconds: how often its checkers ask unless it was made
/// to be faster (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html>).
pub const ROUTE53_INTERVAL_SECONDS: u32 = 30;

/// How much of what a check says is carried from state to state, characters: ten of them have to fit a
/// Cause beside all else.
const MOST_SAID: usize = 300;

/// The share of Route 53's checkers that have to agree, in percent: with more it is healthy
/// (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html>).
const HEALTHY_ABOVE_PERCENT: usize = 18;

/// A Route 53 health check's id: 1 to 64 letters, digits and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[A-Za-z0-9-]{1,64}$",
    "examples" = ["abcdef11-2222-3333-4444-555555fedcba"]
))]
pub struct HealthCheckId(String);
name!(HealthCheckId, check_id);

fn check_id(text: &str) -> Result<(), NameError> {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    ensure(
        (1..=64).contains(&text.len()) && text.bytes().all(inside),
        || {
            format!(
                "{} is not a health check's id; give its id, such as \
             \"abcdef11-2222-3333-4444-555555fedcba\"",
                quoted(text)
            )
        },
    )
}

/// What a health check checks: one of the two records or target groups between which traffic moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// The record with this set identifier.
    Record(SetIdentifier),
    /// This target group.
    Group(TargetGroupArn),
}

impl Side {
    /// Returns the side that is green behind `splitter`; none where the colours share one alias, and no URL
    /// reaches green alone.
    #[must_use]
    pub fn green(splitter: &Splitter) -> Option<Self> {
        match splitter {
            Splitter::Alias => None,
            Splitter::Route53(records) => Some(Self::Record(records.green.clone())),
            Splitter::Alb(forward) => Some(Self::Group(forward.green.clone())),
        }
    }
}

impl fmt::Display for Side {
    /// Writes it as an operator knows it: `record "blue"`, `target group web-blue`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(identifier) => write!(f, "record \"{identifier}\""),
            Self::Group(arn) => write!(f, "target group {}", arn.group_name()),
        }
    }
}

/// Keeps the checks of the side that is green behind `splitter`. A check without a side was requested by a
/// former version, and is kept.
#[must_use]
pub fn of_green(checks: &[HealthCheck], splitter: &Splitter) -> Vec<HealthCheck> {
    let green = Side::green(splitter);
    let of_green = |check: &&HealthCheck| check.side().is_none_or(|side| green == Some(side));
    checks.iter().filter(of_green).cloned().collect()
}

/// Says that all checks passed, and of what; none where there are none.
#[must_use]
pub fn passed(checks: &[HealthCheck], health: &[Health]) -> Option<String> {
    let count = health.len();
    let side = checks.iter().find_map(HealthCheck::side);
    let of = side.map_or_else(String::new, |side| format!(" of {side}"));
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("{count} health check{plural}{of} passed"))
}

/// What one asking of a health check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// All was as expected.
    Passed,
    /// It was not; what was instead.
    Failed(String),
    /// Not known; why.
    Unknown(String),
}

/// What Route 53's checkers say, each in its own words: a success begins with that word, and nothing
/// else about them is documented (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html>).
#[must_use]
pub fn of_checkers(said: &[String]) -> Sample {
    if said.is_empty() {
        return Sample::Unknown(
            "no checker has observed it; checks that are calculated, or of an alarm, have none"
                .into(),
        );
    }
    let successes = said.iter().filter(|one| one.starts_with("Success")).count();
    if successes * 100 > said.len() * HEALTHY_ABOVE_PERCENT {
        return Sample::Passed;
    }
    let first = said.iter().find(|one| !one.starts_with("Success"));
    Sample::Failed(format!(
        "{successes} of {} checkers found it healthy; {}",
        said.len(),
        first.map_or("", String::as_str)
    ))
}

/// What is known of a health check, from look to look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How often it failed in a row, up to now.
    pub failures_in_a_row: u32,
    /// How long ago it was asked, seconds: the sum of the waits; none before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_seconds_ago: Option<u32>,
    /// Whether it was known how it is, when it was asked.
    #[serde(default)]
    pub known: bool,
    /// What was not as expected; empty when all was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

impl Health {
    /// Applies an answer. An unknown one leaves the failures as they are.
    pub fn take(&mut self, sample: Sample) {
        let told = |what: String| truncate(&what, MOST_SAID);
        self.asked_seconds_ago = Some(0);
        (self.failures_in_a_row, self.known, self.said) = match sample {
            Sample::Passed => (0, true, String::new()),
            Sample::Failed(what) => (self.failures_in_a_row + 1, true, told(what)),
            Sample::Unknown(why) => (self.failures_in_a_row, false, told(why)),
        };
    }

    /// Whether it failed, and not often enough yet for a verdict.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        (1..FAILURES).contains(&self.failures_in_a_row)
    }

    /// Whether it passed when it was asked last.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.verdict() == Verdict::Healthy
    }

    fn verdict(&self) -> Verdict {
        match self.failures_in_a_row {
            FAILURES.. => Verdict::Unhealthy,
            0 if self.known => Verdict::Healthy,
            _ => Verdict::Inconclusive,
        }
    }
}

/// Lets time pass, and says which checks are to be asked now, by their places: those that were never
/// asked, and those whose interval is over. Before a decision it is all of them: what was found before
/// the last shift says nothing of green at its new weight.
pub fn due(
    checks: &[HealthCheck],
    health: &mut Vec<Health>,
    waited_seconds: u32,
    decides: bool,
) -> Vec<usize> {
    health.resize(checks.len(), Health::default());
    for one in health.iter_mut() {
        one.asked_seconds_ago = one
            .asked_seconds_ago
            .map(|ago| ago.saturating_add(waited_seconds));
    }
    let is_due = |(check, health): &(&HealthCheck, &Health)| {
        let ago = health.asked_seconds_ago;
        decides || ago.is_none_or(|ago| ago >= check.interval_seconds())
    };
    let all = checks.iter().zip(health.iter()).enumerate();
    all.filter(|(_, pair)| is_due(pair))
        .map(|(place, _)| place)
        .collect()
}

/// A check that is not known to be healthy, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "FailingHealthCheck")]
pub struct Found {
    /// The check: its URL or its id.
    pub check: String,
    /// The set identifier of the record that it checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_identifier: Option<SetIdentifier>,
    /// The target group that it checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_group_arn: Option<TargetGroupArn>,
    /// How often it failed in a row.
    pub failures_in_a_row: u32,
    /// What was not as expected.
    pub said: String,
}

/// What the checks that are not known to be healthy were found to be, with the verdict on each.
#[must_use]
pub fn found(checks: &[HealthCheck], health: &[Health]) -> Vec<(Verdict, Found)> {
    let all = checks.iter().zip(health);
    all.map(|(check, health)| {
        let (set_identifier, target_group_arn) = match check.side() {
            Some(Side::Record(identifier)) => (Some(identifier), None),
            Some(Side::Group(arn)) => (None, Some(arn)),
            None => (None, None),
        };
        let found = Found {
            check: check.to_string(),
            set_identifier,
            target_group_arn,
            failures_in_a_row: health.failures_in_a_row,
            said: health.said.clone(),
        };
        (health.verdict(), found)
    })
    .filter(|(verdict, _)| *verdict > Verdict::Healthy)
    .collect()
}

impl Found {
    /// In a sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self {
            check,
            set_identifier,
            target_group_arn,
            failures_in_a_row,
            said,
        } = self;
        let side = set_identifier.clone().map(Side::Record);
        let side = side.or_else(|| target_group_arn.clone().map(Side::Group));
        let of = side.map_or_else(String::new, |side| format!(" of {side}"));
        match failures_in_a_row {
            0 => format!("health check {check}{of} is not known: {said}"),
            1 => format!("health check {check}{of} failed: {said}"),
            times => format!("health check {check}{of} failed {times} times in a row: {said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::analysis::Analysis;

    fn analysis() -> Analysis {
        serde_json::from_value(json!({"healthChecks": [
            {"url": "https://example.com/health", "intervalSeconds": 10},
            {"route53HealthCheckId": "abc"},
        ]}))
        .unwrap()
    }

    fn failed() -> Sample {
        Sample::Failed("status 503 instead of 200".into())
    }

    #[test]
    fn three_failures_in_a_row_are_a_verdict() {
        let analysis = analysis();
        let mut health = vec![Health::default(), Health::default()];
        health[1].take(Sample::Passed);
        let mut verdicts = Vec::new();
        for sample in [
            failed(),
            failed(),
            Sample::Passed,
            failed(),
            failed(),
            failed(),
            failed(),
        ] {
            health[0].take(sample);
            let found = found(&analysis.health_checks, &health);
            verdicts.push(
                found
                    .first()
                    .map(|(verdict, found)| (*verdict, found.failures_in_a_row)),
            );
        }
        let failing = |verdict, times| Some((verdict, times));
        assert_eq!(
            verdicts,
            [
                failing(Verdict::Inconclusive, 1),
                failing(Verdict::Inconclusive, 2),
                None,
                failing(Verdict::Inconclusive, 1),
                failing(Verdict::Inconclusive, 2),
                failing(Verdict::Unhealthy, 3),
                failing(Verdict::Unhealthy, 4),
            ]
        );
        let reason = found(&analysis.health_checks, &health)[0].1.reason();
        assert_eq!(
            reason,
            "health check https://example.com/health failed 4 times in a row: status 503 instead of 200"
        );
    }

    fn records(green: &str) -> Splitter {
        let blue = if green == "live" { "next" } else { "live" };
        serde_json::from_value(json!({"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ",
            "recordName": "api.example.com", "recordType": "A", "blue": blue, "green": green, "dnsSeconds": 60}))
        .unwrap()
    }

    #[test]
    fn keeps_the_checks_of_the_side_that_is_green() {
        let all: Analysis = serde_json::from_value(json!({"healthChecks": [
            {"url": "https://a.example.com/health", "setIdentifier": "live"},
            {"url": "https://b.example.com/health", "setIdentifier": "next"},
            {"route53HealthCheckId": "abc", "setIdentifier": "live"},
        ]}))
        .unwrap();
        let kept = |splitter: &Splitter| {
            let kept = of_green(&all.health_checks, splitter);
            kept.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            kept(&records("live")),
            ["https://a.example.com/health", "abc"]
        );
        assert_eq!(kept(&records("next")), ["https://b.example.com/health"]);
        assert_eq!(kept(&Splitter::Alias), Vec::<String>::new());
        // A release in flight that a former version began has checks of no side.
        let former = analysis();
        for splitter in [records("live"), Splitter::Alias] {
            assert_eq!(
                of_green(&former.health_checks, &splitter),
                former.health_checks
            );
        }
    }

    #[test]
    fn names_the_side_of_a_check_that_fails() {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-green/73e2d6bc24d8a067";
        let analysis: Analysis = serde_json::from_value(json!({"healthChecks": [
            {"url": "https://a.example.com/health", "setIdentifier": "next"},
            {"route53HealthCheckId": "abc", "targetGroupArn": arn},
        ]}))
        .unwrap();
        let mut health = vec![Health::default(), Health::default()];
        health[0].take(failed());
        let found: Vec<_> = found(&analysis.health_checks, &health)
            .into_iter()
            .map(|(_, it)| it)
            .collect();
        assert_eq!(
            found[0].reason(),
            "health check https://a.example.com/health of record \"next\" failed: status 503 instead of 200"
        );
        assert_eq!(
            found[1].reason(),
            "health check abc of target group web-green is not known: "
        );
        let written = json!(found);
        assert_eq!(written[0]["setIdentifier"], "next");
        assert_eq!(written[1]["targetGroupArn"], arn);
        assert_eq!(written[0].get("targetGroupArn"), None);
        let former = json!({"check": "x", "failuresInARow": 1, "said": "y"});
        assert_eq!(
            json!(serde_json::from_value::<Found>(former.clone()).unwrap()),
            former
        );
        let told = passed(&analysis.health_checks, &health[..1]);
        assert_eq!(
            told.as_deref(),
            Some("1 health check of record \"next\" passed")
        );
        assert_eq!(passed(&analysis.health_checks, &[]), None);
    }

    #[test]
    fn unknown_health_changes_no_counter() {
        let mut health = Health::default();
        assert_eq!(health.verdict(), Verdict::Inconclusive, "never asked");
        health.take(failed());
        health.take(Sample::Unknown("throttled".into()));
        assert_eq!(
            (health.failures_in_a_row, health.verdict()),
            (1, Verdict::Inconclusive)
        );
        health.take(Sample::Passed);
        health.take(Sample::Unknown("throttled".into()));
        assert_eq!(
            (health.failures_in_a_row, health.verdict()),
            (0, Verdict::Inconclusive)
        );
        health.take(Sample::Passed);
        assert_eq!(health.verdict(), Verdict::Healthy);
        health.take(Sample::Failed("é".repeat(1000)));
        // With the mark of the cut.
        assert_eq!(health.said.chars().count(), MOST_SAID + 1);
    }

    #[test]
    fn respects_the_interval_of_each_check() {
        let (analysis, mut health) = (analysis(), Vec::new());
        let mut asked = Vec::new();
        for waited in [0, 10, 10, 5, 5, 10] {
            let now = due(&analysis.health_checks, &mut health, waited, false);
            for place in &now {
                health[*place].take(Sample::Passed);
            }
            asked.push(now);
        }
        assert_eq!(
            asked,
            [vec![0, 1], vec![0], vec![0], vec![], vec![0, 1], vec![0]]
        );
        assert_eq!(
            due(&analysis.health_checks, &mut health, 0, false),
            Vec::<usize>::new()
        );
        assert_eq!(due(&analysis.health_checks, &mut health, 0, true), [0, 1]);
    }

    #[test]
    fn checkers_agree_by_more_than_eighteen_percent() {
        let said = |successes: usize, of: usize| {
            let mut said = vec!["Success: HTTP Status Code 200, OK".to_owned(); successes];
            said.resize(of, "Failure: Connection timed out.".to_owned());
            of_checkers(&said)
        };
        assert_eq!(said(16, 16), Sample::Passed);
        assert_eq!(said(3, 16), Sample::Passed);
        assert!(
            matches!(said(2, 16), Sample::Failed(what) if what == "2 of 16 checkers found it healthy; Failure: Connection timed out.")
        );
        assert_eq!(said(19, 100), Sample::Passed);
        assert!(matches!(said(18, 100), Sample::Failed(_)));
        assert!(matches!(said(0, 0), Sample::Unknown(_)));
    }
}
