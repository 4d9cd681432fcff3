//! What one look means: alarms, and the judge's word on green's traffic.

use std::{borrow::Cow, collections::BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::override_freeze::OverrideFreeze;
use crate::domain::{
    Timestamp,
    analysis::{
        Analysis,
        alarm::{AlarmState, Reading},
        counts::{Counts, FunctionSeries, Minute},
        judge::{self, Watch, judge},
        source::{self, Means},
        verdict::Verdict,
    },
    capacity::LeftBehind,
    health::{self, Health},
    hook::{HookResult, MAX_HEARD},
    live::evidence::LiveEvidence,
    migration::MigrationRun,
    names::{AlarmName, FunctionName},
    step_record::StepRecord,
};

/// The numbers behind a verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What decided: `alarm`, `healthCheck`, `liveErrors`, `responseCeiling`, `metricCeiling`, `noData` of any of them, or
    /// what the judge names (`responseTest` or `metricTest` where the series that it found is one of `analysis.responses` or
    /// `analysis.metrics`); none when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// The watched alarms that are not OK, and those whose OK proves nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<Reading>,
    /// The health checks that are not known to be healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<health::Found>,
    /// What `analysis.responses` and `analysis.metrics` say that is not compared and not healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<source::Found>,
    /// The judge's numbers, enough to check its arithmetic; none where green was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<judge::Evidence>,
    /// The fast lane's numbers, where it is what decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveEvidence>,
    /// Functions of a first release without callers so far, so that there was nothing to judge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncalled: Vec<FunctionName>,
    /// What the judge's verdict rests on, where that is not each request's own routing by chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_on: Option<String>,
    /// Whether the judge's verdict was only recorded (`analysis.shadow`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub shadow: bool,
    /// What the smoke tests of the validation found: of many, those that failed and the slowest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<serde_json::Value>,
    /// How many smoke tests are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub validation_left_out: usize,
    /// Who released outside of the stack's windows, and why; none within them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_freeze: Option<OverrideFreeze>,
    /// The ways to the idle side that were found and that the request accepts, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_reachable: Vec<String>,
    /// The runs of the user's migration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<MigrationRun>,
    /// What the user's hooks said in the end: the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookResult>,
    /// After a rollback, the durable executions that began on green and still run there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub durable_executions: Vec<LeftBehind>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Evidence {
    /// What was found later, beside what the validation had found before any traffic.
    #[must_use]
    pub fn followed_by(self, found: Self) -> Self {
        Self {
            validation: self.validation,
            validation_left_out: self.validation_left_out,
            override_freeze: self.override_freeze,
            accepted_reachable: self.accepted_reachable,
            migrations: self.migrations,
            hooks: self.hooks,
            ..found
        }
    }

    /// What decided, beside what the release has on record so far, of which the last numbers of the
    /// judge are a part.
    #[must_use]
    pub fn beside(self, release: Self) -> Self {
        Self {
            judge: self.judge.or(release.judge),
            override_freeze: self.override_freeze.or(release.override_freeze),
            accepted_reachable: if self.accepted_reachable.is_empty() {
                release.accepted_reachable
            } else {
                self.accepted_reachable
            },
            migrations: if self.migrations.is_empty() {
                release.migrations
            } else {
                self.migrations
            },
            hooks: if self.hooks.is_empty() {
                release.hooks
            } else {
                self.hooks
            },
            ..self
        }
    }

    /// Takes in what a hook said in the end.
    pub fn add_hook(&mut self, heard: HookResult) {
        self.hooks.push(heard);
        let over = self.hooks.len().saturating_sub(MAX_HEARD);
        self.hooks.drain(..over);
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A verdict with its reason and the numbers behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What is to be acted on.
    pub verdict: Verdict,
    /// Why, in words and numbers.
    pub reason: String,
    /// The numbers.
    pub evidence: Evidence,
    /// Whether enough is known to end the bake early, if the request requests that.
    pub early_proceed: bool,
}

/// What one look sees of a release.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The state of each watched alarm.
    pub readings: &'a [Reading],
    /// Alarms that were in ALARM before the release: they count once they fire anew.
    pub preexisting: &'a [AlarmName],
    /// When the release began.
    pub started_at: Timestamp,
    /// How each health check is, in the order of the request.
    pub health: &'a [Health],
    /// Both versions' minutes, a series a function; empty when green's traffic is not to be judged:
    /// it has no weight, or the step has no bake.
    pub series: &'a [FunctionSeries],
    /// What was read of `analysis.responses` and `analysis.metrics`; empty when `series` is.
    pub sources: &'a [source::Measured],
    /// Which of the minutes count.
    pub watch: Watch,
    /// New functions of which a smoke test has passed.
    pub smoke_tested: &'a [FunctionName],
    /// Whether every request is routed by itself, at random, by weight.
    pub routes_each_request: bool,
}

/// What the comparison of the colours rests on behind DNS.
const CLIENTS: &str = "DNS routes clients and not requests, each for as long as its resolver remembers: \
     the comparison rests on the clients of both colours being alike";

/// What a look means. The worst of alarms, health checks and judge wins; in shadow, the judge is only
/// recorded.
#[must_use]
pub fn check(analysis: &Analysis, look: &Look<'_>) -> Finding {
    let (uncalled, called): (Vec<_>, Vec<_>) = look
        .series
        .iter()
        .partition(|series| is_uncalled(series, look.watch));
    // What counts the responses of a function without callers has nothing to count.
    let is_silent = |source: &source::Measured| match &source.source.function {
        Some(function) => uncalled.iter().any(|one| one.function == function.as_ref()),
        None => called.is_empty() && !uncalled.is_empty(),
    };
    let called_for = look.sources.iter().filter(|source| !is_silent(source));
    let means = called_for.flat_map(|source| source.means(analysis, look.watch).into_iter());
    let (mut compared, mut found) = (Vec::new(), Vec::new());
    for one in means {
        match one {
            Means::Compared(series) => compared.push(series),
            Means::Found(one) => found.push(one),
        }
    }
    // As they are, where none is left out: a long release has many minutes.
    let called = match (uncalled.as_slice(), compared.as_slice()) {
        ([], []) => Cow::Borrowed(look.series),
        _ => called.into_iter().cloned().chain(compared).collect(),
    };
    let judged = (!called.is_empty()).then(|| judge(&analysis.judging(), &called, look.watch));
    let shadow = analysis.shadow && (judged.is_some() || !found.is_empty());

    let mut evidence = Evidence {
        alarms: look
            .readings
            .iter()
            .filter(|reading| !reading.is_proof())
            .cloned()
            .collect(),
        shadow,
        rests_on: (judged.is_some() && !look.routes_each_request).then(|| CLIENTS.to_owned()),
        ..Evidence::default()
    };
    let mut parts: Vec<Part> = worst_alarm(look).into_iter().collect();
    for series in uncalled {
        let mut tested = look.smoke_tested.iter();
        let tested = tested.find(|name| name.as_ref() == series.function);
        // First, so that with equal verdicts it is reported.
        parts.insert(0, of_uncalled(&series.function, tested.is_some()));
        evidence.uncalled.extend(tested.cloned());
    }
    for (verdict, found) in health::found(&analysis.health_checks, look.health) {
        let decided_by = match verdict {
            Verdict::Inconclusive if found.failures_in_a_row == 0 => "noData",
            _ => "healthCheck",
        };
        parts.push((verdict, Some(decided_by.to_owned()), found.reason()));
        evidence.health_checks.push(found);
    }
    // In shadow it is only recorded.
    let recorded = |verdict: Verdict, reason: &str| {
        if shadow {
            let reason = format!("in shadow, not acted on: {verdict:?}: {reason}");
            (Verdict::Healthy, reason)
        } else {
            (verdict, reason.to_owned())
        }
    };
    let mut early_proceed = false;
    if let Some(judged) = judged {
        let (verdict, reason) = recorded(judged.verdict, &judged.evidence.reason);
        let decided_by = decided_by(&judged.evidence, look.sources);
        // First, so that with equal verdicts the judge's numbers are reported.
        parts.insert(0, (verdict, decided_by, reason));
        early_proceed = judged.early_proceed && !shadow;
        evidence.judge = Some(judged.evidence);
    }
    let mut within = Vec::new();
    for one in found {
        if one.verdict == Verdict::Healthy {
            within.push(one.source);
            continue;
        }
        let (verdict, reason) = recorded(one.verdict, &one.reason);
        let part = (verdict, Some(one.decided_by.clone()), reason);
        // What would have ended the release is reported rather than that the judge found nothing.
        let place = if shadow { 0 } else { parts.len() };
        parts.insert(place, part);
        evidence.sources.push(one);
    }
    let worst = parts
        .into_iter()
        .reduce(|worst, next| if next.0 > worst.0 { next } else { worst });
    let (verdict, decided_by, mut reason) =
        worst.unwrap_or((Verdict::Healthy, None, String::new()));
    evidence.decided_by = decided_by;
    if verdict == Verdict::Healthy {
        let watched = all_passed(analysis, look, &within);
        reason = if reason.is_empty() {
            watched
        } else {
            format!("{reason}; {watched}")
        };
    }
    Finding {
        verdict,
        reason,
        evidence,
        early_proceed: early_proceed && verdict == Verdict::Healthy,
    }
}

/// Returns what the worst alarm means.
fn worst_alarm(look: &Look<'_>) -> Option<Part> {
    let of_one = |reading: &Reading| {
        let old = look.preexisting.contains(&reading.name)
            && reading.since.is_none_or(|since| since <= look.started_at);
        of_alarm(reading, old)
    };
    let each = look.readings.iter().map(of_one);
    each.reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
}

/// Returns what was watched and found in order, in words.
fn all_passed(analysis: &Analysis, look: &Look<'_>, within: &[String]) -> String {
    let mut watched = format!(
        "{} alarms watched, none newly in ALARM",
        look.readings.len()
    );
    if let Some(passed) = health::passed(&analysis.health_checks, look.health) {
        watched = format!("{watched}; {passed}");
    }
    if !within.is_empty() {
        watched = format!("{watched}; within the ceiling: {}", within.join(", "));
    }
    watched
}

/// What decided, in the judge's word; or whether it was a test of responses or of a metric.
fn decided_by(judged: &judge::Evidence, sources: &[source::Measured]) -> Option<String> {
    let of = |source: &&source::Measured| Some(&source.source.name) == judged.function.as_ref();
    let kind = sources.iter().find(of).map(|source| source.source.kind);
    match (judged.decided_by, kind) {
        (judge::DecidedBy::ErrorTest, Some(kind)) => Some(kind.test().to_owned()),
        (judge::DecidedBy::ErrorCeiling, Some(kind)) => Some(kind.ceiling().to_owned()),
        (word, _) => {
            let word = serde_json::to_value(word).ok()?;
            word.as_str().map(str::to_owned)
        }
    }
}

type Part = (Verdict, Option<String>, String);

/// Whether a function whose alias this release has created has no callers, as far as is known once a minute of the
/// step has settled.
fn is_uncalled(series: &FunctionSeries, watch: Watch) -> bool {
    let settled = |minute: &&Minute| minute.start <= watch.through;
    let none = |minute: &Minute| minute.green == Counts::default();
    let mut minutes = series.minutes.iter().filter(settled);
    series.is_new && watch.from <= watch.through && minutes.all(none)
}

/// Without callers a smoke test is all that can speak for a version. Where there is none, nothing does.
fn of_uncalled(function: &str, tested: bool) -> Part {
    if tested {
        let reason = format!("{function}: no client calls it yet, so there was nothing to judge");
        return (Verdict::Healthy, None, reason);
    }
    (
        Verdict::Inconclusive,
        Some("noData".to_owned()),
        format!(
            "{function}: no client calls it yet, and no smoke test has shown that it works; give functions[].smokeTests, \
             or send it requests"
        ),
    )
}

fn of_alarm(reading: &Reading, old: bool) -> Part {
    let name = &reading.name;
    let (verdict, decided_by, reason) = match reading.state {
        AlarmState::Ok if reading.is_proof() => (Verdict::Healthy, None, String::new()),
        AlarmState::Ok => (
            Verdict::Inconclusive,
            Some("noData"),
            format!("alarm {name} is {}", reading.shown()),
        ),
        AlarmState::Alarm if old => (Verdict::Healthy, None, String::new()),
        AlarmState::Alarm => (
            Verdict::Unhealthy,
            Some("alarm"),
            format!("alarm {name} is in ALARM"),
        ),
        AlarmState::InsufficientData => (
            Verdict::Inconclusive,
            Some("noData"),
            format!(
                "alarm {name} has INSUFFICIENT_DATA: {}",
                reading
                    .unproven
                    .as_deref()
                    .unwrap_or("it cannot say that all is well")
            ),
        ),
        AlarmState::Missing => (
            Verdict::Inconclusive,
            Some("noData"),
            format!("alarm {name} no longer exists"),
        ),
        AlarmState::UnknownKind => (
            Verdict::Inconclusive,
            Some("noData"),
            format!("alarm {name} is of a kind that Crossfade does not know"),
        ),
    };
    (verdict, decided_by.map(str::to_owned), reason)
}

/// The minutes that are read, and those of them that are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The minutes of the present step that are judged.
    pub watch: Watch,
    /// The first minute of the release, seconds since 1970 (UTC).
    pub first: i64,
    /// Minutes in which a weight changed, seconds since 1970 (UTC): in these, green's share of the
    /// requests is not its share of any moment, and an error burst in one part would look like one
    /// version's.
    pub mixed: BTreeSet<i64>,
}

impl Window {
    /// What may be judged at `now`, of a release that has taken `steps`. None before the first.
    ///
    /// A minute has settled `settle_seconds` after its end. With 0 the running minute is judged too,
    /// as far as it has come, and so are minutes in which a weight changed: where metrics come at
    /// once and bakes are short.
    #[must_use]
    pub fn at(now: Timestamp, steps: &[StepRecord], settle_seconds: u32) -> Option<Self> {
        let minute = |at: i64| at - at.rem_euclid(60);
        // From the write until it was in force for clients: where the two differ, DNS was following.
        let in_force = |step: &StepRecord| step.in_force_at.unwrap_or(step.started_at).timestamp();
        let first = steps.first()?.started_at.timestamp();
        let last = in_force(steps.last()?);
        let shifting = || {
            steps.iter().flat_map(|step| {
                let from = minute(step.started_at.timestamp());
                (from..=minute(in_force(step))).step_by(60)
            })
        };
        let settled = now.timestamp() - i64::from(settle_seconds);
        let (from, through, mixed) = match settle_seconds {
            0 => (minute(last), minute(settled), BTreeSet::new()),
            _ => (
                minute(last) + 60,
                minute(settled) - 60,
                shifting().collect(),
            ),
        };
        Some(Self {
            watch: Watch { from, through },
            first: minute(first),
            mixed,
        })
    }

    /// Whether the minute that begins at `start`, seconds since 1970 (UTC), is judged.
    #[must_use]
    pub fn judges(&self, start: i64) -> bool {
        !self.mixed.contains(&start)
    }
}

#[cfg(test)]
mod parts;
#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> AlarmName {
        AlarmName::try_from("chat-5xx".to_owned()).unwrap()
    }

    fn reading(state: AlarmState, since: Option<&str>) -> Reading {
        Reading::of(name(), state, since.map(|t| t.parse().unwrap()))
    }

    #[test]
    fn an_ok_that_proves_nothing_passes_no_bake() {
        let unproven = Reading {
            unproven: Some("it warms up until noon".into()),
            ..reading(AlarmState::Ok, None)
        };
        let quiet = reading(AlarmState::Ok, None);
        let found = found(&Analysis::default(), &[quiet, unproven.clone()], &[], &[]);
        assert_eq!(found.verdict, Verdict::Inconclusive);
        assert_eq!(
            found.reason,
            "alarm chat-5xx is OK, which proves nothing: it warms up until noon"
        );
        assert_eq!(found.evidence.decided_by.as_deref(), Some("noData"));
        assert_eq!(found.evidence.alarms, [unproven]);
    }

    fn series(invocations: u64, errors: u64) -> Vec<FunctionSeries> {
        let green = Counts {
            invocations,
            errors,
            ..Counts::default()
        };
        let blue = Counts {
            invocations: 10 * invocations,
            ..Counts::default()
        };
        vec![FunctionSeries {
            function: "chat".into(),
            minutes: vec![Minute {
                start: 0,
                blue,
                green,
                green_p99_ms: Some(40),
            }],
            is_new: false,
            past: None,
        }]
    }

    fn found(
        analysis: &Analysis,
        readings: &[Reading],
        preexisting: &[AlarmName],
        series: &[FunctionSeries],
    ) -> Finding {
        let started_at = "2026-11-20T12:00:00Z".parse().unwrap();
        check(
            analysis,
            &Look {
                readings,
                preexisting,
                started_at,
                health: &[],
                series,
                watch: Watch {
                    from: 0,
                    through: 0,
                },
                smoke_tested: &[FunctionName::try_from("chat".to_owned()).unwrap()],
                routes_each_request: true,
                sources: &[],
            },
        )
    }

    fn verdict(readings: &[Reading], series: &[FunctionSeries]) -> Verdict {
        found(&Analysis::default(), readings, &[], series).verdict
    }

    #[test]
    fn silence_is_never_health() {
        for state in [AlarmState::InsufficientData, AlarmState::Missing] {
            assert_eq!(
                verdict(&[reading(state, None)], &series(100, 0)),
                Verdict::Inconclusive
            );
        }
        assert_eq!(verdict(&[], &series(0, 0)), Verdict::Inconclusive);
        assert_eq!(verdict(&[], &series(100, 0)), Verdict::Healthy);
    }

    #[test]
    fn the_worst_wins_and_says_so() {
        let fired = found(
            &Analysis::default(),
            &[reading(AlarmState::Alarm, None)],
            &[],
            &series(0, 0),
        );
        assert_eq!(
            (fired.verdict, fired.evidence.decided_by.as_deref()),
            (Verdict::Unhealthy, Some("alarm"))
        );
        let failing = found(
            &Analysis::default(),
            &[reading(AlarmState::Ok, None)],
            &[],
            &series(100, 60),
        );
        assert_eq!(
            (failing.verdict, failing.evidence.decided_by.as_deref()),
            (Verdict::Unhealthy, Some("errorTest"))
        );
    }

    #[test]
    fn a_health_check_is_one_more_voice() {
        let analysis: Analysis = serde_json::from_value(serde_json::json!({
            "healthChecks": [{"url": "https://example.com/health"}],
        }))
        .unwrap();
        let with = |failures: u32, readings: &[Reading], series: &[FunctionSeries]| {
            let mut health = vec![Health::default()];
            health[0].take(health::Sample::Passed);
            for _ in 0..failures {
                health[0].take(health::Sample::Failed("status 503 instead of 200".into()));
            }
            let found = check(
                &analysis,
                &Look {
                    health: &health,
                    ..super::parts::look(readings, series)
                },
            );
            (found.verdict, found.evidence.decided_by.clone(), found)
        };
        let decided = |by: &str| Some(by.to_owned());
        let (verdict, _, found) = with(0, &[], &series(100, 0));
        assert_eq!(verdict, Verdict::Healthy);
        assert!(
            found.reason.ends_with("1 health check passed"),
            "{}",
            found.reason
        );
        assert!(found.evidence.health_checks.is_empty());
        let (verdict, by, found) = with(2, &[], &series(100, 0));
        assert_eq!(
            (verdict, by),
            (Verdict::Inconclusive, decided("healthCheck"))
        );
        assert!(!found.early_proceed);
        let (verdict, by, found) = with(3, &[], &series(100, 0));
        assert_eq!((verdict, by), (Verdict::Unhealthy, decided("healthCheck")));
        assert_eq!(found.evidence.health_checks[0].failures_in_a_row, 3);
        assert!(found.reason.contains("failed 3 times in a row: status 503"));
        let fired = [reading(AlarmState::Alarm, None)];
        let (_, by, found) = with(3, &fired, &[]);
        assert_eq!(
            (by, found.evidence.health_checks.len()),
            (decided("alarm"), 1)
        );
    }

    #[test]
    fn an_old_alarm_counts_once_it_fires_anew() {
        let at = |since| {
            found(
                &Analysis::default(),
                &[reading(AlarmState::Alarm, Some(since))],
                &[name()],
                &series(100, 0),
            )
            .verdict
        };
        assert_eq!(at("2026-11-20T11:59:00Z"), Verdict::Healthy);
        assert_eq!(at("2026-11-20T12:01:00Z"), Verdict::Unhealthy);
    }

    #[test]
    fn green_without_weight_or_bake_is_not_judged_by_its_traffic() {
        assert_eq!(verdict(&[], &[]), Verdict::Healthy);
    }

    fn uncalled(function: &str) -> FunctionSeries {
        FunctionSeries {
            function: function.into(),
            is_new: true,
            ..FunctionSeries::default()
        }
    }

    #[test]
    fn goes_on_without_callers_of_a_first_release_that_a_smoke_test_speaks_for() {
        let quiet = found(
            &Analysis::default(),
            &[reading(AlarmState::Ok, None)],
            &[],
            &[uncalled("chat")],
        );
        assert_eq!(
            (quiet.verdict, quiet.early_proceed),
            (Verdict::Healthy, false)
        );
        assert_eq!(quiet.evidence.uncalled.len(), 1);
        assert!(
            quiet.reason.starts_with("chat: no client calls it yet"),
            "{}",
            quiet.reason
        );
        let fired = found(
            &Analysis::default(),
            &[reading(AlarmState::Alarm, None)],
            &[],
            &[uncalled("chat")],
        );
        assert_eq!(fired.verdict, Verdict::Unhealthy);
        let untested = found(&Analysis::default(), &[], &[], &[uncalled("orders")]);
        assert_eq!(untested.verdict, Verdict::Inconclusive);
        assert!(
            untested.reason.contains("no smoke test"),
            "{}",
            untested.reason
        );
        let mut known = uncalled("chat");
        known.is_new = false;
        assert_eq!(
            verdict(&[], &[known]),
            Verdict::Inconclusive,
            "silence where there were callers"
        );
    }

    #[test]
    fn judges_a_first_release_by_its_callers_where_it_has_any() {
        let mut series = series(100, 60);
        series[0].is_new = true;
        series[0].minutes[0].blue = Counts::default();
        let analysis =
            serde_json::from_value(serde_json::json!({"maxErrorRatePercent": 5})).unwrap();
        assert_eq!(
            found(&analysis, &[], &[], &series).verdict,
            Verdict::Unhealthy
        );
        // One that nobody calls speaks neither for nor against the others.
        series.push(uncalled("chat"));
        assert_eq!(
            found(&analysis, &[], &[], &series).verdict,
            Verdict::Unhealthy
        );
        assert_eq!(
            verdict(&[], &[self::series(100, 0).remove(0), uncalled("chat")]),
            Verdict::Healthy
        );
    }

    #[test]
    fn does_not_take_a_minute_that_has_not_settled_for_silence() {
        let watch = Watch {
            from: 60,
            through: 0,
        };
        assert!(!is_uncalled(&uncalled("chat"), watch));
        assert!(is_uncalled(
            &uncalled("chat"),
            Watch {
                from: 0,
                through: 0
            }
        ));
        let late = FunctionSeries {
            minutes: series(1, 0)[0].minutes.clone(),
            ..uncalled("chat")
        };
        assert!(!is_uncalled(
            &late,
            Watch {
                from: 0,
                through: 0
            }
        ));
    }

    #[test]
    fn in_shadow_the_judge_is_heard_and_an_alarm_still_acts() {
        let analysis: Analysis =
            serde_json::from_value(serde_json::json!({"shadow": true})).unwrap();
        let failing = found(&analysis, &[], &[], &series(100, 60));
        assert_eq!(failing.verdict, Verdict::Healthy);
        assert!(
            failing.evidence.shadow && failing.reason.contains("Unhealthy"),
            "{}",
            failing.reason
        );
        let fired = found(
            &analysis,
            &[reading(AlarmState::Alarm, None)],
            &[],
            &series(100, 0),
        );
        assert_eq!(fired.verdict, Verdict::Unhealthy);
    }

    fn step(at: &str) -> StepRecord {
        serde_json::from_value(serde_json::json!({"weight": 10, "startedAt": at})).unwrap()
    }

    fn minute(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().timestamp()
    }

    #[test]
    fn only_settled_minutes_are_judged() {
        let steps = [step("2026-11-20T12:00:30Z"), step("2026-11-20T12:05:10Z")];
        let through = |now: &str| {
            let window = Window::at(now.parse().unwrap(), &steps, 60).unwrap();
            assert_eq!(window.first, minute("2026-11-20T12:00:00Z"));
            assert_eq!(
                window.watch.from,
                minute("2026-11-20T12:06:00Z"),
                "the first whole minute of the step"
            );
            window.watch.through
        };
        assert_eq!(
            through("2026-11-20T12:07:59Z"),
            minute("2026-11-20T12:05:00Z")
        );
        assert_eq!(
            through("2026-11-20T12:08:00Z"),
            minute("2026-11-20T12:06:00Z")
        );
    }

    #[test]
    fn a_minute_in_which_a_weight_changed_is_not_judged() {
        let steps = [step("2026-11-20T12:00:30Z"), step("2026-11-20T12:05:10Z")];
        let now = "2026-11-20T12:30:00Z".parse().unwrap();
        let window = Window::at(now, &steps, 60).unwrap();
        let judges = |text| window.judges(minute(text));
        assert!(!judges("2026-11-20T12:00:00Z") && !judges("2026-11-20T12:05:00Z"));
        assert!(judges("2026-11-20T12:01:00Z") && judges("2026-11-20T12:06:00Z"));
        assert!(Window::at(now, &[], 60).is_none());
    }

    #[test]
    fn without_settling_the_running_minute_counts() {
        let window = Window::at(
            "2026-11-20T12:00:59Z".parse().unwrap(),
            &[step("2026-11-20T12:00:30Z")],
            0,
        )
        .unwrap();
        assert_eq!(window.watch.through, minute("2026-11-20T12:00:00Z"));
        assert!(window.judges(window.first));
    }
}
