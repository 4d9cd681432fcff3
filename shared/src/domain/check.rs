//! Alarms and ceilings: what the readings of one look mean.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    analysis::Analysis,
    names::{AlarmName, FunctionName, Version},
    verdict::Verdict,
};

/// What CloudWatch says of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// Within its threshold.
    Ok,
    /// Outside its threshold.
    Alarm,
    /// It cannot tell.
    InsufficientData,
    /// No alarm of this name exists: CloudWatch does not call that an error (AWS-FACTS 2.3).
    Missing,
}

/// One alarm's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The alarm.
    pub name: AlarmName,
    /// Its state.
    pub state: AlarmState,
    /// Since when it is in this state, where CloudWatch says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// What green did for one function during the bake so far, as CloudWatch counted it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GreenCounts {
    /// The function.
    pub function_name: FunctionName,
    /// The green version.
    pub version: Version,
    /// Invocations of green through the alias.
    pub invocations: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Invocations refused for want of concurrency; in neither of the counts above.
    pub throttles: u64,
    /// The worst minute's 99th percentile of duration, milliseconds; none without invocations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

impl GreenCounts {
    /// Failed invocations, percent; none without invocations.
    #[must_use]
    pub fn error_rate_percent(&self) -> Option<f64> {
        percent(self.errors, self.invocations)
    }

    /// Throttled requests among all that were tried, percent; none when none was tried.
    #[must_use]
    pub fn throttle_rate_percent(&self) -> Option<f64> {
        percent(self.throttles, self.throttles + self.invocations)
    }
}

#[allow(clippy::cast_precision_loss)] // Counts of invocations stay far below 2^52.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

/// The numbers behind a verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What decided: `alarm`, `errorRate`, `p99`, `throttles`, `noData`; none when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// The watched alarms that are not OK.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<Reading>,
    /// Green's counts, a row a function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<GreenCounts>,
    /// What each smoke test of the validation found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<serde_json::Value>,
}

impl Evidence {
    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A verdict with its reason and the numbers behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it means.
    pub verdict: Verdict,
    /// Why, in words and numbers.
    pub reason: String,
    /// The numbers.
    pub evidence: Evidence,
}

/// What one look is told about the step it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whether green's own traffic is judged: it has weight, and the step has a bake.
    pub green_is_judged: bool,
    /// When the release began: alarms that were in ALARM before count once they fire anew.
    pub started_at: Timestamp,
}

/// What the readings and counts of one look mean. The worst of all wins.
#[must_use]
pub fn check(
    analysis: &Analysis,
    preexisting: &[AlarmName],
    scope: Scope,
    readings: &[Reading],
    counts: &[GreenCounts],
) -> Finding {
    let alarms = readings.iter().map(|reading| {
        let old = preexisting.contains(&reading.name)
            && reading.since.is_none_or(|since| since <= scope.started_at);
        of_alarm(reading, old)
    });
    let ceilings = counts
        .iter()
        .filter(|_| scope.green_is_judged)
        .flat_map(|green| of_counts(analysis, green));
    let worst = alarms
        .chain(ceilings)
        .reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
        .unwrap_or((Verdict::Healthy, None, String::new()));
    let (verdict, decided_by, reason) = worst;
    let reason = if verdict == Verdict::Healthy {
        healthy_reason(readings, counts, scope)
    } else {
        reason
    };
    Finding {
        verdict,
        reason,
        evidence: Evidence {
            decided_by: decided_by.map(str::to_owned),
            alarms: readings
                .iter()
                .filter(|r| r.state != AlarmState::Ok)
                .cloned()
                .collect(),
            functions: counts.to_vec(),
            validation: Vec::new(),
        },
    }
}

type Part = (Verdict, Option<&'static str>, String);

fn of_alarm(reading: &Reading, old: bool) -> Part {
    let name = &reading.name;
    match reading.state {
        AlarmState::Ok => (Verdict::Healthy, None, String::new()),
        AlarmState::Alarm if old => (Verdict::Healthy, None, String::new()),
        AlarmState::Alarm => (
            Verdict::Unhealthy,
            Some("alarm"),
            format!("alarm {name} is in ALARM"),
        ),
        AlarmState::InsufficientData => (
            Verdict::Inconclusive,
            Some("noData"),
            format!("alarm {name} has INSUFFICIENT_DATA: it cannot say that all is well"),
        ),
        AlarmState::Missing => (
            Verdict::Inconclusive,
            Some("noData"),
            format!("alarm {name} no longer exists"),
        ),
    }
}

fn of_counts(analysis: &Analysis, green: &GreenCounts) -> Vec<Part> {
    let who = format!("{} version {}", green.function_name, green.version);
    let mut parts = Vec::new();
    let tried = green.invocations + green.throttles;
    let enough = u64::from(analysis.min_invocations);
    if let (Some(ceiling), Some(rate)) = (
        analysis.max_throttle_rate_percent,
        green.throttle_rate_percent(),
    ) && tried >= enough
        && rate > ceiling
    {
        let reason = format!(
            "{who}: {} of {tried} requests throttled ({rate:.2} %, ceiling {ceiling} %)",
            green.throttles
        );
        parts.push((Verdict::Unhealthy, Some("throttles"), reason));
    }
    if green.invocations < enough {
        let reason = format!(
            "{who} served {} of the {enough} requests that a verdict needs",
            green.invocations
        );
        parts.push((Verdict::Inconclusive, Some("noData"), reason));
        return parts;
    }
    if let (Some(ceiling), Some(rate)) =
        (analysis.max_error_rate_percent, green.error_rate_percent())
        && rate > ceiling
    {
        let reason = format!(
            "{who}: {} of {} requests failed ({rate:.2} %, ceiling {ceiling} %)",
            green.errors, green.invocations
        );
        parts.push((Verdict::Unhealthy, Some("errorRate"), reason));
    }
    if let (Some(ceiling), Some(p99)) = (analysis.max_p99_ms, green.p99_ms)
        && p99 > f64::from(ceiling)
    {
        let reason = format!("{who}: p99 of duration is {p99:.0} ms, ceiling {ceiling} ms");
        parts.push((Verdict::Unhealthy, Some("p99"), reason));
    }
    parts
}

fn healthy_reason(readings: &[Reading], counts: &[GreenCounts], scope: Scope) -> String {
    let mut reason = format!("{} alarms watched, none newly in ALARM", readings.len());
    if scope.green_is_judged {
        for green in counts {
            // Writing to a String cannot fail.
            let _ = write!(
                reason,
                "; {} version {}: {} of {} requests failed",
                green.function_name, green.version, green.errors, green.invocations
            );
        }
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(state: AlarmState, since: Option<&str>) -> Reading {
        Reading {
            name: AlarmName::try_from("chat-5xx".to_owned()).unwrap(),
            state,
            since: since.map(|t| t.parse().unwrap()),
        }
    }

    fn green(invocations: u64, errors: u64) -> GreenCounts {
        GreenCounts {
            function_name: FunctionName::try_from("chat".to_owned()).unwrap(),
            version: Version::try_from("7".to_owned()).unwrap(),
            invocations,
            errors,
            throttles: 0,
            p99_ms: Some(40.0),
        }
    }

    fn scope() -> Scope {
        Scope {
            green_is_judged: true,
            started_at: "2026-11-20T12:00:00Z".parse().unwrap(),
        }
    }

    fn strict() -> Analysis {
        Analysis {
            max_error_rate_percent: Some(5.0),
            max_p99_ms: Some(100),
            max_throttle_rate_percent: Some(1.0),
            min_invocations: 20,
            ..Analysis::default()
        }
    }

    fn verdict(readings: &[Reading], counts: &[GreenCounts]) -> (Verdict, Option<String>) {
        let found = check(&strict(), &[], scope(), readings, counts);
        (found.verdict, found.evidence.decided_by)
    }

    #[test]
    fn silence_is_never_health() {
        for state in [AlarmState::InsufficientData, AlarmState::Missing] {
            assert_eq!(
                verdict(&[reading(state, None)], &[green(100, 0)]).0,
                Verdict::Inconclusive
            );
        }
        assert_eq!(verdict(&[], &[green(0, 0)]).0, Verdict::Inconclusive);
        assert_eq!(verdict(&[], &[green(19, 19)]).0, Verdict::Inconclusive);
        assert_eq!(verdict(&[], &[green(20, 1)]).0, Verdict::Healthy);
    }

    #[test]
    fn the_worst_wins_and_says_so() {
        let ok = reading(AlarmState::Ok, None);
        let fired = reading(AlarmState::Alarm, None);
        assert_eq!(
            verdict(&[ok.clone(), fired], &[green(0, 0)]),
            (Verdict::Unhealthy, Some("alarm".into()))
        );
        assert_eq!(
            verdict(&[ok], &[green(100, 6)]),
            (Verdict::Unhealthy, Some("errorRate".into()))
        );
    }

    #[test]
    fn a_rate_at_its_ceiling_is_not_over_it() {
        assert_eq!(verdict(&[], &[green(100, 5)]).0, Verdict::Healthy);
        let slow = GreenCounts {
            p99_ms: Some(100.0),
            ..green(100, 0)
        };
        assert_eq!(
            verdict(&[], std::slice::from_ref(&slow)).0,
            Verdict::Healthy
        );
        let slower = GreenCounts {
            p99_ms: Some(100.5),
            ..slow
        };
        assert_eq!(
            verdict(&[], &[slower]),
            (Verdict::Unhealthy, Some("p99".into()))
        );
    }

    #[test]
    fn throttles_are_judged_even_when_hardly_anything_got_through() {
        let starved = GreenCounts {
            throttles: 30,
            ..green(2, 0)
        };
        assert_eq!(
            verdict(&[], &[starved]),
            (Verdict::Unhealthy, Some("throttles".into()))
        );
    }

    #[test]
    fn an_old_alarm_counts_once_it_fires_anew() {
        let name = AlarmName::try_from("chat-5xx".to_owned()).unwrap();
        let at = |since| {
            let readings = [reading(AlarmState::Alarm, Some(since))];
            check(
                &strict(),
                std::slice::from_ref(&name),
                scope(),
                &readings,
                &[green(100, 0)],
            )
            .verdict
        };
        assert_eq!(at("2026-11-20T11:59:00Z"), Verdict::Healthy);
        assert_eq!(at("2026-11-20T12:01:00Z"), Verdict::Unhealthy);
    }

    #[test]
    fn green_without_weight_or_bake_is_not_judged_by_its_traffic() {
        let unjudged = Scope {
            green_is_judged: false,
            ..scope()
        };
        assert_eq!(
            check(&strict(), &[], unjudged, &[], &[green(0, 0)]).verdict,
            Verdict::Healthy
        );
    }
}
