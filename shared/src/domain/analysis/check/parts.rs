//! Several alarms at a time, and every part of the evidence.

use serde_json::{Value, json};

use crate::domain::analysis::check::*;
use crate::domain::analysis::counts::Counts;

fn series(green: (u64, u64), blue: (u64, u64)) -> Vec<FunctionSeries> {
    let counts = |(invocations, errors)| Counts {
        invocations,
        errors,
        ..Counts::default()
    };
    vec![FunctionSeries {
        function: "chat".into(),
        minutes: vec![Minute {
            start: 0,
            blue: counts(blue),
            green: counts(green),
            green_p99_ms: Some(40),
        }],
        is_new: false,
        past: None,
    }]
}

/// Green is well.
fn well() -> Vec<FunctionSeries> {
    series((100, 0), (1000, 0))
}

/// A look at the only minute of a release that routes each request.
pub(super) fn look<'a>(readings: &'a [Reading], series: &'a [FunctionSeries]) -> Look<'a> {
    Look {
        readings,
        preexisting: &[],
        started_at: "2026-11-20T12:00:00Z".parse().unwrap(),
        health: &[],
        series,
        sources: &[],
        watch: Watch {
            from: 0,
            through: 0,
        },
        smoke_tested: &[],
        routes_each_request: true,
    }
}

fn analysis(fields: Value) -> Analysis {
    serde_json::from_value(fields).unwrap()
}

fn step(at: &str) -> StepRecord {
    serde_json::from_value(json!({"weight": 10, "startedAt": at})).unwrap()
}

fn minute(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().timestamp()
}

fn named(name: &str, state: AlarmState) -> Reading {
    Reading::of(name.parse().unwrap(), state, None)
}

#[test]
fn worst_of_several_alarms_decides() {
    use AlarmState::{Alarm, InsufficientData, Missing, Ok};
    for (states, verdict, decided_by, reason) in [
        (
            [Ok, Alarm, Ok],
            Verdict::Unhealthy,
            Some("alarm"),
            "alarm b is in ALARM",
        ),
        (
            [Alarm, Ok, Ok],
            Verdict::Unhealthy,
            Some("alarm"),
            "alarm a is in ALARM",
        ),
        (
            [Ok, Ok, Alarm],
            Verdict::Unhealthy,
            Some("alarm"),
            "alarm c is in ALARM",
        ),
        (
            [Ok, Missing, Alarm],
            Verdict::Unhealthy,
            Some("alarm"),
            "alarm c is in ALARM",
        ),
        (
            [Alarm, Missing, Alarm],
            Verdict::Unhealthy,
            Some("alarm"),
            "alarm a is in ALARM",
        ),
        (
            [Ok, Missing, Ok],
            Verdict::Inconclusive,
            Some("noData"),
            "alarm b no longer exists",
        ),
        (
            [InsufficientData, Missing, Ok],
            Verdict::Inconclusive,
            Some("noData"),
            "alarm a has INSUFFICIENT_DATA",
        ),
        ([Ok, Ok, Ok], Verdict::Healthy, None, "3 alarms watched"),
    ] {
        let [a, b, c] = states;
        let readings = [named("a", a), named("b", b), named("c", c)];
        let found = check(&Analysis::default(), &look(&readings, &[]));
        assert_eq!(found.verdict, verdict, "{states:?}");
        assert_eq!(
            found.evidence.decided_by.as_deref(),
            decided_by,
            "{states:?}"
        );
        assert!(
            found.reason.starts_with(reason),
            "{states:?}: {}",
            found.reason
        );
        let shown: Vec<_> = found.evidence.alarms.iter().map(|one| one.state).collect();
        let not_ok: Vec<_> = states.into_iter().filter(|state| *state != Ok).collect();
        assert_eq!(shown, not_ok, "the evidence has all that are not OK");
    }
}

#[test]
fn alarm_that_fired_before_hides_no_other() {
    let old = ["a".parse().unwrap()];
    let both = [named("a", AlarmState::Alarm), named("b", AlarmState::Alarm)];
    let found = check(
        &Analysis::default(),
        &Look {
            preexisting: &old,
            ..look(&both, &[])
        },
    );
    assert_eq!(found.reason, "alarm b is in ALARM");
    assert_eq!(found.evidence.alarms.len(), 2);
}

#[test]
fn alarm_since_the_very_start_of_the_release_is_an_old_one() {
    let mut since = named("a", AlarmState::Alarm);
    since.since = Some("2026-11-20T12:00:00Z".parse().unwrap());
    let readings = [since];
    let look = Look {
        preexisting: &["a".parse().unwrap()],
        ..look(&readings, &[])
    };
    assert_eq!(check(&Analysis::default(), &look).verdict, Verdict::Healthy);
}

#[test]
fn health_check_without_an_answer_yet_is_no_data() {
    let analysis = analysis(json!({"healthChecks": [{"url": "https://example.com/health"}]}));
    let look = Look {
        health: &[Health::default()],
        ..look(&[], &[])
    };
    let found = check(&analysis, &look);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.evidence.decided_by.as_deref(), Some("noData"));
}

#[test]
fn bake_ends_early_only_if_everything_is_well() {
    // Enough of the same on both versions.
    let equal = series((100_000, 1000), (100_000, 1000));
    let early = |fields, readings: &[Reading]| {
        check(&analysis(fields), &look(readings, &equal)).early_proceed
    };
    assert!(early(json!({}), &[named("a", AlarmState::Ok)]));
    for state in [AlarmState::Alarm, AlarmState::Missing] {
        assert!(!early(json!({}), &[named("a", state)]));
    }
    assert!(!early(json!({"shadow": true}), &[]));
}

#[test]
fn comparison_behind_dns_says_what_it_rests_on() {
    let rests_on = |series: &[FunctionSeries], routes_each_request| {
        let look = Look {
            routes_each_request,
            ..look(&[], series)
        };
        check(&Analysis::default(), &look).evidence.rests_on
    };
    assert_eq!(rests_on(&well(), false).as_deref(), Some(CLIENTS));
    assert_eq!(rests_on(&well(), true), None);
    assert_eq!(rests_on(&[], false), None);
}

/// An evidence with every part, each of which says whose it is.
fn full(of: &str) -> Evidence {
    let errors = of.len() as u64;
    let judged = series((100, errors), (1000, 0));
    let judged = check(&Analysis::default(), &look(&[], &judged));
    Evidence {
        decided_by: Some(of.to_owned()),
        alarms: vec![named(of, AlarmState::Missing)],
        health_checks: vec![unknown(of)],
        judge: judged.evidence.judge,
        sources: vec![silent_source(of)],
        rests_on: Some(of.to_owned()),
        shadow: of == "release",
        validation: vec![of.into()],
        validation_left_out: of.len(),
        override_freeze: Some(serde_json::from_value(json!({"by": of, "reason": of})).unwrap()),
        accepted_reachable: vec![of.to_owned()],
        migrations: vec![ran(of)],
        hooks: vec![heard(of)],
        uncalled: vec![of.parse().unwrap()],
        durable_executions: vec![left_behind(of)],
        live: Some(live(of)),
    }
}

fn silent_source(name: &str) -> source::Found {
    serde_json::from_value(
        json!({"source": name, "verdict": "inconclusive", "reason": "no data",
        "decidedBy": "noData"}),
    )
    .unwrap()
}

fn live(function: &str) -> LiveEvidence {
    let numbers = json!({"functionName": function, "green": 4, "blue": 0, "sticking": false,
        "ownEValue": 900.0, "eValue": 900.0, "threshold": 200.0, "functions": 1});
    serde_json::from_value(numbers).unwrap()
}

fn left_behind(function: &str) -> LeftBehind {
    serde_json::from_value(json!({"function": function, "version": "2", "running": 1})).unwrap()
}

fn unknown(host: &str) -> health::Found {
    let url = format!("https://{host}.example.com/");
    let analysis = analysis(json!({"healthChecks": [{ "url": url }]}));
    let mut found = health::found(&analysis.health_checks, &[Health::default()]).into_iter();
    found.next().expect("it is not known to be healthy").1
}

fn heard(what: &str) -> HookResult {
    serde_json::from_value(json!({
        "hook": "afterShift", "functionName": what, "status": "SUCCEEDED", "weight": 10,
        "asked": 1, "waitedSeconds": 2,
    }))
    .unwrap()
}

fn ran(what: &str) -> MigrationRun {
    serde_json::from_value(json!({
        "functionName": what, "phase": "expand", "afterRollback": "rollBack", "direction": "up",
        "status": "SUCCEEDED", "startedAt": "2026-11-20T12:00:00Z", "durationMs": 5,
    }))
    .unwrap()
}

#[test]
fn what_is_found_later_leaves_what_the_release_has_on_record() {
    let (before, found) = (full("validation"), full("look"));
    let evidence = before.clone().followed_by(found.clone());
    let kept = Evidence {
        decided_by: found.decided_by,
        alarms: found.alarms,
        health_checks: found.health_checks,
        judge: found.judge,
        sources: found.sources,
        rests_on: found.rests_on,
        shadow: found.shadow,
        uncalled: found.uncalled,
        durable_executions: found.durable_executions,
        live: found.live,
        ..before
    };
    assert_eq!(evidence, kept);
}

#[test]
fn what_decided_stands_beside_what_the_release_has_on_record() {
    let (own, release) = (full("own"), full("release"));
    assert_eq!(own.clone().beside(release.clone()), own);
    let decided = Evidence {
        decided_by: Some("alarm".into()),
        ..Evidence::default()
    };
    let wanted = Evidence {
        judge: release.judge.clone(),
        override_freeze: release.override_freeze.clone(),
        accepted_reachable: release.accepted_reachable.clone(),
        migrations: release.migrations.clone(),
        hooks: release.hooks.clone(),
        ..decided.clone()
    };
    assert_eq!(decided.beside(release), wanted);
}

#[test]
fn last_answers_of_hooks_are_kept() {
    let mut evidence = Evidence::default();
    let names: Vec<_> = (0..MAX_HEARD + 2)
        .map(|nth| format!("hook-{nth}"))
        .collect();
    for name in &names {
        evidence.add_hook(heard(name));
    }
    let kept: Vec<_> = names[2..].iter().map(|name| heard(name)).collect();
    assert_eq!(evidence.hooks, kept);
}

#[test]
fn evidence_is_empty_when_no_part_has_anything() {
    assert!(Evidence::default().is_empty());
    let all = serde_json::to_value(full("release")).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 16, "every part is written");
    for (name, part) in all.as_object().unwrap() {
        let one = json!({ name: part });
        let one: Evidence = serde_json::from_value(one).unwrap();
        assert!(!one.is_empty(), "{name}");
        assert_eq!(serde_json::to_value(&one).unwrap()[name], *part);
    }
    assert_eq!(
        serde_json::to_value(Evidence::default()).unwrap(),
        json!({}),
        "nothing is written of what is not there"
    );
}

#[test]
fn window_begins_where_the_weight_is_in_force() {
    let mut dns = step("2026-11-20T12:00:30Z");
    dns.in_force_at = Some("2026-11-20T12:03:10Z".parse().unwrap());
    let now = "2026-11-20T12:30:00Z".parse().unwrap();
    let window = Window::at(now, &[dns], 60).unwrap();
    assert_eq!(window.watch.from, minute("2026-11-20T12:04:00Z"));
    assert_eq!(window.watch.through, minute("2026-11-20T12:28:00Z"));
    let mixed: Vec<_> = window.mixed.into_iter().collect();
    let followed = ["12:00", "12:01", "12:02", "12:03"];
    assert_eq!(
        mixed,
        followed.map(|at| minute(&format!("2026-11-20T{at}:00Z")))
    );
}
