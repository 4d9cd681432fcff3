//! From the request to what is read, and from counts to a verdict.

use serde_json::{Value, json};

use super::*;
use crate::domain::analysis::{
    check::{Finding, Look, check},
    counts::{BluePast, Counts, FunctionSeries, Minute, PastShare},
    judge::Watch,
    series::Counting,
    verdict::Verdict,
};

fn analysis(fields: Value) -> Analysis {
    serde_json::from_value(fields).unwrap()
}

/// A function whose alias splits the traffic between versions 6 and 7.
fn target(function: &str) -> Target {
    serde_json::from_value(
        json!({"functionName": function, "alias": "live", "blueVersion": "6",
        "greenVersion": "7", "revisionId": null}),
    )
    .unwrap()
}

fn one(fields: Value, targets: &[Target]) -> Source {
    let mut sources = analysis(fields).sources(targets);
    assert_eq!(sources.len(), 1);
    sources.remove(0)
}

fn url() -> Source {
    one(
        json!({"responses": [{"functionUrl": "chat"}]}),
        &[target("chat")],
    )
}

fn stage() -> Source {
    let stage = json!({"httpApi": {"apiId": "a1b2c3", "stage": "prod"}});
    one(
        json!({"responses": [stage], "maxErrorRatePercent": 5}),
        &[target("chat")],
    )
}

/// A metric of the team's own, by version where `more` does not say otherwise.
#[allow(clippy::needless_pass_by_value)] // A literal at each call.
fn metric(more: Value) -> Source {
    let mut metric = json!({"namespace": "Chat", "name": "Failures",
        "dimensions": {"Service": "chat", "Version": "${version}"}});
    for (field, value) in more.as_object().unwrap() {
        metric[field] = value.clone();
    }
    one(json!({"metrics": [metric]}), &[target("chat")])
}

fn shown(of: &Dimensions) -> String {
    let each = of.iter().map(|(name, value)| format!("{name}={value}"));
    each.collect::<Vec<_>>().join(" ")
}

#[test]
fn reads_a_function_url_by_version_and_by_alias() {
    let url = url();
    assert_eq!(
        (url.name.as_str(), url.path.as_str()),
        ("function URL of chat", "analysis.responses[0]")
    );
    let Gauge::ByVersion { each, together } = &url.gauge else {
        panic!("{url:?}")
    };
    let alias = "FunctionName=chat Resource=chat:live";
    assert_eq!(each.publisher, Publisher::FunctionUrl);
    assert_eq!(
        each.blue.as_ref().map(shown),
        Some(format!("{alias} ExecutedVersion=6"))
    );
    assert_eq!(shown(&each.green), format!("{alias} ExecutedVersion=7"));
    assert_eq!(each.past.as_ref().map(shown).as_deref(), Some(alias));
    let together = together.as_ref().unwrap();
    assert_eq!(
        (shown(&together.green).as_str(), &together.blue),
        (alias, &None)
    );
    assert_eq!(url.counted().len(), 2);
}

#[test]
fn reads_the_url_of_each_alias_where_records_split_the_traffic() {
    let mut colours = target("chat");
    let called = json!({"blue": "live-blue", "green": "live-green"});
    colours.called_as = Some(serde_json::from_value(called).unwrap());
    let url = one(json!({"responses": [{"functionUrl": "chat"}]}), &[colours]);
    let Gauge::ByVersion { each, together } = &url.gauge else {
        panic!("{url:?}")
    };
    assert_eq!(
        shown(&each.green),
        "FunctionName=chat Resource=chat:live-green"
    );
    assert_eq!(together, &None, "the aliases tell the versions apart");
}

#[test]
fn reads_a_first_release_by_its_alias_alone() {
    let mut new = target("chat");
    new.blue_version = None;
    let url = one(json!({"responses": [{"functionUrl": "chat"}]}), &[new]);
    let Gauge::ByVersion { each, together } = &url.gauge else {
        panic!("{url:?}")
    };
    assert_eq!((&each.blue, together), (&None, &None));
    assert_eq!(shown(&each.green), "FunctionName=chat Resource=chat:live");
}

#[test]
fn puts_each_version_into_the_dimensions_of_a_metric() {
    let failures = metric(json!({"of": "Requests"}));
    let Gauge::ByVersion {
        each,
        together: None,
    } = &failures.gauge
    else {
        panic!("{failures:?}")
    };
    let names = OwnNames {
        namespace: "Chat".into(),
        all: "Requests".into(),
        bad: "Failures".into(),
    };
    assert_eq!(each.publisher, Publisher::Own(names));
    assert_eq!(
        each.blue.as_ref().map(shown).as_deref(),
        Some("Service=chat Version=6")
    );
    assert_eq!(shown(&each.green), "Service=chat Version=7");
    assert_eq!(each.past, each.blue);
    let value = metric(json!({"statistic": "p99", "max": 300}));
    let Gauge::Value(read) = &value.gauge else {
        panic!("{value:?}")
    };
    assert_eq!(
        (shown(&read.dimensions).as_str(), read.statistic.as_str()),
        ("Service=chat Version=7", "p99")
    );
    let both = metric(json!({"of": "Requests", "max": 1, "dimensions": {"Service": "chat"}}));
    assert!(matches!(&both.gauge, Gauge::Together(read) if shown(&read.green) == "Service=chat"));
}

#[test]
fn counts_the_versions_of_the_function_that_is_named() {
    let mut other = target("other");
    other.green_version = "9".parse().unwrap();
    let asked = json!({"metrics": [{"namespace": "Chat", "name": "Age", "max": 1, "functionName": "other",
        "dimensions": {"Version": "${version}"}}]});
    let source = one(asked.clone(), &[target("chat"), other]);
    assert_eq!(
        source
            .valued()
            .map(|read| shown(&read.dimensions))
            .as_deref(),
        Some("Version=9")
    );
    assert_eq!(source.function.as_ref().map(AsRef::as_ref), Some("other"));
    // One that does not move has no green.
    assert_eq!(analysis(asked).sources(&[target("chat")]), []);
}

fn counts(requests: u64, bad: u64) -> Counts {
    Counts {
        invocations: requests,
        errors: bad,
        ..Counts::default()
    }
}

/// All requests and the bad ones.
type Pair = (u64, u64);

/// Minutes one after the other: green's requests and bad ones, and blue's.
fn minutes(of: &[(Pair, Pair)]) -> Counting {
    let minutes = (0..)
        .step_by(60)
        .zip(of)
        .map(|(start, (green, blue))| Minute {
            start,
            green: counts(green.0, green.1),
            blue: counts(blue.0, blue.1),
            green_p99_ms: None,
        });
    Counting {
        minutes: minutes.collect(),
        tells_bad: true,
    }
}

fn measured(source: Source) -> Measured {
    Measured::of(
        source,
        None,
        &mut std::iter::empty(),
        &mut std::iter::empty(),
    )
}

/// What a look at five minutes of a step means, where the functions themselves are well.
fn look(fields: Value, sources: &[Measured]) -> Finding {
    let well = minutes(&[((100, 0), (900, 0)); 5]).minutes;
    let series = [FunctionSeries {
        function: "chat".into(),
        minutes: well,
        ..FunctionSeries::default()
    }];
    check(
        &analysis(fields),
        &Look {
            readings: &[],
            preexisting: &[],
            started_at: "2026-11-20T12:00:00Z".parse().unwrap(),
            health: &[],
            series: &series,
            sources,
            watch: Watch {
                from: 0,
                through: 240,
            },
            smoke_tested: &[],
            routes_each_request: true,
        },
    )
}

fn decided(fields: Value, source: Measured) -> (Verdict, String, String) {
    let found = look(fields, &[source]);
    (
        found.verdict,
        found.evidence.decided_by.unwrap_or_default(),
        found.reason,
    )
}

#[test]
fn rolls_back_what_answers_500_though_lambda_counts_no_error() {
    let bad = minutes(&[((20, 19), (180, 1)); 5]);
    let url = Measured {
        counts: bad.clone(),
        ..measured(url())
    };
    let (verdict, by, reason) = decided(json!({}), url);
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Unhealthy, "responseTest"),
        "{reason}"
    );
    assert!(
        reason.starts_with("function URL of chat: 95 of 100 green requests failed"),
        "{reason}"
    );

    let own = Measured {
        counts: bad,
        ..measured(metric(json!({"of": "Requests"})))
    };
    let (verdict, by, reason) = decided(json!({}), own);
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Unhealthy, "metricTest"),
        "{reason}"
    );
    assert!(
        reason.starts_with("metric Chat/Failures of Requests: 95"),
        "{reason}"
    );
}

#[test]
fn holds_green_to_the_ceilings_as_for_errors() {
    // Blue is as bad: no comparison condemns green.
    let bad = minutes(&[((20, 4), (180, 36)); 5]);
    let url = Measured {
        counts: bad.clone(),
        ..measured(url())
    };
    let (verdict, by, reason) = decided(json!({"maxErrorRatePercent": 10}), url.clone());
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Unhealthy, "responseCeiling"),
        "{reason}"
    );
    assert_eq!(
        decided(json!({"maxErrorRatePercent": 20}), url).0,
        Verdict::Healthy
    );
    let own = |max| Measured {
        counts: bad.clone(),
        ..measured(metric(json!({"of": "Requests", "max": max})))
    };
    let (verdict, by, reason) = decided(json!({}), own(19));
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Unhealthy, "metricCeiling"),
        "{reason}"
    );
    assert!(
        reason.contains("4 of 20 requests of green were bad (20.00 %) in the last 1 settled"),
        "{reason}"
    );
    assert_eq!(decided(json!({}), own(20)).0, Verdict::Healthy);
}

#[test]
fn holds_both_versions_together_to_a_ceiling() {
    let with = |bad: u64| Measured {
        counts: minutes(&[((200, bad), (0, 0)); 5]),
        ..measured(stage())
    };
    let (verdict, by, reason) = decided(json!({"maxErrorRatePercent": 5}), with(11));
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Unhealthy, "responseCeiling"),
        "{reason}"
    );
    assert!(
        reason.starts_with("stage prod of API a1b2c3: 11 of 200 requests of both versions together were bad (5.50 %)")
            && reason.contains("may not be green's fault"),
        "{reason}"
    );
    let found = look(json!({"maxErrorRatePercent": 5}), &[with(10)]);
    assert_eq!(found.verdict, Verdict::Healthy);
    assert!(
        found
            .reason
            .ends_with("within the ceiling: stage prod of API a1b2c3"),
        "{}",
        found.reason
    );
    assert!(found.evidence.sources.is_empty());
}

#[test]
fn no_data_is_never_a_pass() {
    let value = || metric(json!({"max": 3}));
    for source in [url(), stage(), metric(json!({"of": "Requests"})), value()] {
        let found = look(
            json!({"maxErrorRatePercent": 5}),
            &[measured(source.clone())],
        );
        assert_eq!(found.verdict, Verdict::Inconclusive, "{source:?}");
        assert_eq!(found.evidence.decided_by.as_deref(), Some("noData"));
        assert!(found.reason.starts_with(&source.name), "{}", found.reason);
        assert_eq!(found.evidence.sources.len(), 1);
    }
    // Data of the step before is none of this one.
    let mut old = Measured {
        counts: minutes(&[((200, 0), (0, 0))]),
        ..measured(stage())
    };
    old.counts.minutes[0].start = -60;
    assert_eq!(decided(json!({"maxErrorRatePercent": 5}), old).1, "noData");
    let old = Measured {
        values: vec![(-60, 1.0), (300, 1.0)],
        ..measured(value())
    };
    assert_eq!(decided(json!({}), old).1, "noData");
    // Nor is what stopped coming.
    let late = Measured {
        counts: minutes(&[((200, 0), (0, 0)); 2]),
        ..measured(stage())
    };
    let (verdict, by, reason) = decided(json!({"maxErrorRatePercent": 5}), late);
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Inconclusive, "noData"),
        "{reason}"
    );
    assert!(
        reason.contains("for the newest 3 settled minutes"),
        "{reason}"
    );
}

#[test]
fn a_count_of_bad_ones_that_never_came_is_not_known_to_count() {
    let silent = |source| Measured {
        counts: Counting {
            tells_bad: false,
            ..minutes(&[((20, 0), (180, 0)); 5])
        },
        ..measured(source)
    };
    let by_version = metric(json!({"of": "Requests"}));
    let both = metric(json!({"of": "Requests", "max": 1, "dimensions": {"Service": "chat"}}));
    for source in [by_version.clone(), both] {
        let (verdict, by, reason) = decided(json!({}), silent(source));
        assert_eq!(
            (verdict, by.as_str()),
            (Verdict::Inconclusive, "noData"),
            "{reason}"
        );
        assert!(reason.contains("publish zeros"), "{reason}");
    }
    // Blue's past shows that it counts; and AWS's own names are right.
    let past = BluePast {
        errors: PastShare {
            requests: 100,
            hits: 1,
            ..PastShare::default()
        },
        slow: None,
    };
    let known = Measured {
        past: Some(past),
        ..silent(by_version)
    };
    assert_eq!(decided(json!({}), known).0, Verdict::Healthy);
    assert_eq!(decided(json!({}), silent(url())).0, Verdict::Healthy);
}

#[test]
fn versions_that_are_not_told_apart_are_held_to_the_ceiling() {
    let together = |bad| Measured {
        together: minutes(&[((200, bad), (0, 0)); 5]),
        ..measured(url())
    };
    let (verdict, by, reason) = decided(json!({}), together(0));
    assert_eq!((verdict, by.as_str()), (Verdict::Inconclusive, "noData"));
    assert!(
        reason.contains("counted 1000 requests") && reason.contains("analysis.maxErrorRatePercent"),
        "{reason}"
    );
    let ceiling = json!({"maxErrorRatePercent": 5});
    assert_eq!(decided(ceiling.clone(), together(10)).0, Verdict::Healthy);
    let (verdict, by, _) = decided(ceiling.clone(), together(11));
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Unhealthy, "responseCeiling")
    );
    // Where they are told apart, green is compared, and what both did together says nothing.
    let apart = Measured {
        counts: minutes(&[((20, 0), (180, 100)); 5]),
        ..together(100)
    };
    assert_eq!(decided(ceiling, apart).0, Verdict::Healthy);
}

#[test]
fn too_few_requests_are_too_few() {
    let few = Measured {
        counts: minutes(&[((3, 0), (0, 0)); 5]),
        ..measured(stage())
    };
    let fields = json!({"maxErrorRatePercent": 5, "minInvocations": 16});
    let (verdict, by, reason) = decided(fields, few.clone());
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Inconclusive, "tooFewRequests"),
        "{reason}"
    );
    assert!(
        reason.contains("15 requests of both versions together in this step, 16 are needed"),
        "{reason}"
    );
    let fields = json!({"maxErrorRatePercent": 5, "minInvocations": 15});
    assert_eq!(decided(fields, few).0, Verdict::Healthy);
}

#[test]
fn the_newest_minutes_that_hold_enough_requests_are_held_to_a_ceiling() {
    let mut of = [((10, 10), (0, 0)); 5];
    of[3] = ((10, 0), (0, 0));
    of[4] = ((10, 0), (0, 0));
    let source = Measured {
        counts: minutes(&of),
        ..measured(stage())
    };
    let share = |needed: u64| {
        decided(
            json!({"maxErrorRatePercent": 49, "minInvocations": needed}),
            source.clone(),
        )
        .0
    };
    assert_eq!(share(20), Verdict::Healthy, "two minutes, 0 of 20");
    assert_eq!(share(30), Verdict::Healthy, "three minutes, 10 of 30");
    assert_eq!(share(31), Verdict::Unhealthy, "four minutes, 20 of 40");
}

#[test]
fn a_value_is_over_its_ceiling_in_its_two_newest_minutes() {
    let with = |values: &[(i64, f64)]| {
        let source = Measured {
            values: values.to_vec(),
            ..measured(metric(json!({"max": 3})))
        };
        decided(json!({}), source)
    };
    let (verdict, by, reason) = with(&[(0, 1.0), (60, 4.0), (120, 3.5)]);
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Unhealthy, "metricCeiling")
    );
    assert_eq!(
        reason,
        "metric Chat/Failures: was 4 and 3.5 in its two newest minutes, over the ceiling of 3"
    );
    assert_eq!(with(&[(0, 4.0), (60, 3.0)]).0, Verdict::Healthy);
    assert_eq!(with(&[(0, 4.0), (60, 4.0), (120, 1.0)]).0, Verdict::Healthy);
    // A ceiling that is exceeded in the newest minute has not been met.
    let (verdict, by, reason) = with(&[(0, 1.0), (60, 4.0)]);
    assert_eq!(
        (verdict, by.as_str()),
        (Verdict::Inconclusive, "suspicion"),
        "{reason}"
    );
    assert_eq!(with(&[(0, 4.0)]).0, Verdict::Inconclusive);
}

#[test]
fn in_shadow_it_is_told_and_not_acted_on() {
    let over = Measured {
        values: vec![(0, 4.0), (60, 4.0)],
        ..measured(metric(json!({"max": 3})))
    };
    let found = look(json!({"shadow": true}), &[over]);
    assert_eq!(
        (found.verdict, found.evidence.shadow),
        (Verdict::Healthy, true)
    );
    assert!(
        found
            .reason
            .starts_with("in shadow, not acted on: Unhealthy: metric Chat/Failures: was 4"),
        "{}",
        found.reason
    );
    assert_eq!(found.evidence.sources.len(), 1);
}

#[test]
fn what_nobody_calls_yet_has_no_responses_to_count() {
    let uncalled = [FunctionSeries {
        function: "chat".into(),
        is_new: true,
        ..FunctionSeries::default()
    }];
    let sources = [measured(url()), measured(stage())];
    let found = check(
        &analysis(json!({"maxErrorRatePercent": 5})),
        &Look {
            readings: &[],
            preexisting: &[],
            started_at: "2026-11-20T12:00:00Z".parse().unwrap(),
            health: &[],
            series: &uncalled,
            sources: &sources,
            watch: Watch {
                from: 0,
                through: 240,
            },
            smoke_tested: &["chat".parse().unwrap()],
            routes_each_request: true,
        },
    );
    assert_eq!(found.verdict, Verdict::Healthy, "{}", found.reason);
}

#[test]
fn answers_are_handed_on_in_the_order_in_which_they_were_asked_for() {
    let sources = [
        url(),
        stage(),
        metric(json!({"max": 3})),
        metric(json!({"of": "Requests"})),
    ];
    let asked: usize = sources.iter().map(|source| source.counted().len()).sum();
    assert_eq!(asked, 4);
    let mut counts = (1..=4).map(|nth| minutes(&[((nth, 0), (0, 0))]));
    let mut values = std::iter::once(vec![(0, 5.0)]);
    let read: Vec<_> = sources
        .into_iter()
        .map(|source| Measured::of(source, None, &mut counts, &mut values))
        .collect();
    let first = |read: &Counting| read.minutes.first().map(|minute| minute.green.invocations);
    assert_eq!(
        (first(&read[0].counts), first(&read[0].together)),
        (Some(1), Some(2))
    );
    assert_eq!(
        (first(&read[1].counts), first(&read[1].together)),
        (Some(3), None)
    );
    assert_eq!(
        (read[2].values.as_slice(), first(&read[2].counts)),
        ([(0, 5.0)].as_slice(), None)
    );
    assert_eq!(first(&read[3].counts), Some(4));
}

#[test]
fn minutes_in_which_a_weight_changed_are_left_out() {
    let mut source = Measured {
        counts: minutes(&[((1, 0), (0, 0)); 3]),
        together: minutes(&[((1, 0), (0, 0)); 2]),
        values: vec![(0, 1.0), (60, 2.0)],
        ..measured(url())
    };
    source.retain(|start| start != 60);
    let left = |read: &Counting| {
        read.minutes
            .iter()
            .map(|minute| minute.start)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (left(&source.counts), left(&source.together)),
        (vec![0, 120], vec![0])
    );
    assert_eq!(source.values, [(0, 1.0)]);
}
