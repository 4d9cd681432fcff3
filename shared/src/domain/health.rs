//! Health checks of green: what they are, when they are asked, and what their answers mean.
//!
//! Three failures in a row are a verdict; one is not, for a request may fail by chance. A check that
//! fails at the moment is no pass either: the bake goes on until it recovers, or fails for the third
//! time.

mod address;
mod url;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    address::is_public,
    url::{AllowedHosts, HealthUrl},
};
use super::{
    analysis::Analysis,
    bounds::quoted,
    names::{NameError, ensure, name},
    verdict::Verdict,
};

/// How many failures in a row are a verdict.
pub const FAILURES: u32 = 3;

/// How often a Route 53 health check is asked, seconds: how often its checkers ask unless it was made
/// to be faster (AWS-FACTS 5).
pub const ROUTE53_INTERVAL_SECONDS: u32 = 30;

/// How much of what a check says is carried from state to state, characters: ten of them have to fit a
/// Cause beside all else.
const MOST_SAID: usize = 300;

/// The share of Route 53's checkers that have to agree, in percent: with more it is healthy
/// (AWS-FACTS 5).
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

/// What one asking of a health check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// All was as expected.
    Passed,
    /// It was not; what was instead.
    Failed(String),
    /// Nobody knows; why.
    Unknown(String),
}

/// What Route 53's checkers say, each in its own words: a success begins with that word, and nothing
/// else about them is documented (AWS-FACTS 5).
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
    /// Takes an answer in. One that nobody knows leaves the failures as they are.
    pub fn take(&mut self, sample: Sample) {
        let told = |what: String| what.chars().take(MOST_SAID).collect();
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
    analysis: &Analysis,
    health: &mut Vec<Health>,
    waited_seconds: u32,
    decides: bool,
) -> Vec<usize> {
    let checks = &analysis.health_checks;
    health.resize(checks.len(), Health::default());
    for one in health.iter_mut() {
        one.asked_seconds_ago = one
            .asked_seconds_ago
            .map(|ago| ago.saturating_add(waited_seconds));
    }
    let is_due = |(check, health): &(&super::analysis::HealthCheck, &Health)| {
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
    /// How often it failed in a row.
    pub failures_in_a_row: u32,
    /// What was not as expected.
    pub said: String,
}

/// What the checks that are not known to be healthy were found to be, with the verdict on each.
#[must_use]
pub fn found(analysis: &Analysis, health: &[Health]) -> Vec<(Verdict, Found)> {
    let all = analysis.health_checks.iter().zip(health);
    all.map(|(check, health)| {
        let found = Found {
            check: check.to_string(),
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
            failures_in_a_row,
            said,
        } = self;
        match failures_in_a_row {
            0 => format!("health check {check} cannot be told: {said}"),
            1 => format!("health check {check} failed: {said}"),
            times => format!("health check {check} failed {times} times in a row: {said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            let found = found(&analysis, &health);
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
        let reason = found(&analysis, &health)[0].1.reason();
        assert_eq!(
            reason,
            "health check https://example.com/health failed 4 times in a row: status 503 instead of 200"
        );
    }

    #[test]
    fn what_nobody_knows_neither_fails_nor_heals() {
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
        assert_eq!(health.said.chars().count(), MOST_SAID);
    }

    #[test]
    fn each_is_asked_at_its_own_interval() {
        let (analysis, mut health) = (analysis(), Vec::new());
        let mut asked = Vec::new();
        for waited in [0, 10, 10, 5, 5, 10] {
            let now = due(&analysis, &mut health, waited, false);
            for place in &now {
                health[*place].take(Sample::Passed);
            }
            asked.push(now);
        }
        assert_eq!(
            asked,
            [vec![0, 1], vec![0], vec![0], vec![], vec![0, 1], vec![0]]
        );
        assert_eq!(due(&analysis, &mut health, 0, false), Vec::<usize>::new());
        assert_eq!(due(&analysis, &mut health, 0, true), [0, 1]);
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
