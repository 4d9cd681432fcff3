//! The judge against numbers worked out elsewhere: by hand, or by a second program written from the
//! documentation in Python with exact rationals (`fractions`, `math.comb`) for every hypergeometric sum.

use crate::domain::analysis::counts::{BluePast, Counts, Minute, PastShare};
use crate::domain::analysis::judge::{
    samples::{minute, past},
    *,
};

/// A past of plain errors: 1 % of 100,000 requests.
fn one_percent() -> BluePast {
    BluePast {
        errors: past(),
        slow: None,
    }
}

fn judged(judging: &Judging, minutes: Vec<Minute>, past: Option<BluePast>) -> Judgement {
    let through = minutes.iter().map(|m| m.start).max().unwrap_or(0);
    let series = FunctionSeries {
        function: "chat".to_owned(),
        minutes,
        is_new: false,
        past,
    };
    judge(judging, &[series], Watch { from: 0, through })
}

fn near(a: f64, b: f64) {
    assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}");
}

/// The whole is half of routing and half of the past.
#[test]
fn one_minute_as_the_second_program_has_it() {
    let evidence = judged(
        &Judging::default(),
        vec![minute(0, (10, 3), (90, 1))],
        Some(one_percent()),
    )
    .evidence;
    near(evidence.own.routing, ONE.0);
    near(evidence.own.past.expect("there is a past"), ONE.1);
    near(evidence.e_value, ONE.2);
}

#[test]
fn two_minutes_as_the_second_program_has_them() {
    let minutes = vec![minute(0, (10, 2), (90, 0)), minute(1, (12, 3), (88, 1))];
    let evidence = judged(&Judging::default(), minutes, Some(one_percent())).evidence;
    near(evidence.own.routing, TWO.0);
    near(evidence.own.past.expect("there is a past"), TWO.1);
    near(evidence.e_value, TWO.2);
}

/// The e-value of a release is the mean over its functions: (e + 1) / 2 with an idle second one, whose
/// own e-value, of no minutes, is 1.
#[test]
fn functions_are_averaged() {
    let busy = FunctionSeries {
        function: "busy".to_owned(),
        minutes: vec![minute(0, (10, 3), (90, 1))],
        is_new: false,
        past: Some(one_percent()),
    };
    let idle = FunctionSeries {
        function: "idle".to_owned(),
        minutes: vec![],
        is_new: false,
        past: Some(one_percent()),
    };
    let evidence = judge(
        &Judging::default(),
        &[idle, busy],
        Watch {
            from: 0,
            through: 0,
        },
    )
    .evidence;
    near(evidence.e_value, f64::midpoint(ONE.2, 1.0));
}

#[test]
fn of_many_functions_the_worst_are_told() {
    let series = |errors: u64| FunctionSeries {
        function: format!("f{errors}"),
        minutes: vec![minute(0, (20, errors), (180, 1))],
        is_new: false,
        past: None,
    };
    let all: Vec<_> = [2, 0, 18, 4, 1, 6].map(series).into();
    let watch = Watch {
        from: 0,
        through: 0,
    };
    let evidence = judge(&Judging::default(), &all, watch).evidence;
    assert_eq!(evidence.function.as_deref(), Some("f18"));
    let next: Vec<_> = evidence.next.iter().map(|one| &*one.function).collect();
    assert_eq!(next, ["f6", "f4", "f2"]);
    assert_eq!((evidence.functions, evidence.next[0].green.errors), (6, 6));
    assert!(
        judged(&Judging::default(), vec![], None)
            .evidence
            .next
            .is_empty()
    );
}

/// Judges functions of these names by a minute each, with the past of [`one_percent`].
fn judged_all(judging: &Judging, functions: &[(&str, Minute)]) -> Judgement {
    let series: Vec<_> = functions
        .iter()
        .map(|(name, minute)| FunctionSeries {
            function: (*name).to_owned(),
            is_new: false,
            minutes: vec![*minute],
            past: Some(one_percent()),
        })
        .collect();
    let watch = Watch {
        from: 0,
        through: 0,
    };
    judge(judging, &series, watch)
}

#[test]
fn worst_function_decides_and_of_equals_the_first_by_name() {
    let judging = Judging {
        max_error_rate_percent: Some(50.0),
        alpha: 1e-9,
        ..Judging::default()
    };
    let well = minute(0, (100, 1), (900, 9));
    let few = minute(0, (4, 0), (900, 9));
    let bad = minute(0, (100, 90), (900, 9));
    for (functions, decided, verdict) in [
        (
            [("a", well), ("b", few), ("c", well)],
            "b",
            Verdict::Inconclusive,
        ),
        (
            [("c", few), ("a", few), ("b", well)],
            "a",
            Verdict::Inconclusive,
        ),
        (
            [("a", few), ("b", bad), ("c", well)],
            "b",
            Verdict::Unhealthy,
        ),
        (
            [("b", bad), ("a", bad), ("c", few)],
            "a",
            Verdict::Unhealthy,
        ),
        (
            [("b", well), ("c", well), ("a", well)],
            "a",
            Verdict::Healthy,
        ),
    ] {
        let Judgement {
            verdict: found,
            evidence,
            ..
        } = judged_all(&judging, &functions);
        assert_eq!(found, verdict, "{functions:?}");
        assert_eq!(evidence.function.as_deref(), Some(decided), "{functions:?}");
    }
}

#[test]
fn heaviest_function_is_marked_and_of_equals_the_first_by_name() {
    let bad = minute(0, (100, 60), (900, 9));
    let worse = minute(0, (100, 90), (900, 9));
    let marked = |functions: &[(&str, Minute)]| {
        let judgement = judged_all(&Judging::default(), functions);
        assert_eq!(judgement.evidence.decided_by, DecidedBy::ErrorTest);
        judgement.evidence.function
    };
    assert_eq!(marked(&[("b", bad), ("a", bad)]).as_deref(), Some("a"));
    let well = minute(0, (100, 1), (900, 9));
    let three = [("a", well), ("b", worse), ("c", well)];
    assert_eq!(marked(&three).as_deref(), Some("b"));
}

/// Suspicion takes a healthy verdict back, and says nothing where there is another reason to wait.
#[test]
fn suspicious_green_is_inconclusive() {
    let judging = Judging {
        suspect_at: 2.0,
        alpha: 0.0001,
        ..Judging::default()
    };
    let odd = minute(0, (100, 8), (900, 9));
    let judgement = judged_all(&judging, &[("a", odd)]);
    let found = (judgement.verdict, judgement.evidence.decided_by);
    assert_eq!(found, (Verdict::Inconclusive, DecidedBy::Suspicion));
    assert!(judgement.evidence.e_value >= 2.0 && judgement.evidence.e_value < 10_000.0);
    let reason = &judgement.evidence.reason;
    assert!(reason.contains("is suspicious but under 10000"), "{reason}");
    let few = Judging {
        min_invocations: 1000,
        ..judging
    };
    let judgement = judged_all(&few, &[("a", odd)]);
    assert_eq!(judgement.evidence.decided_by, DecidedBy::TooFewRequests);
    // Of several the heaviest is suspected.
    let well = minute(0, (100, 1), (900, 9));
    let judgement = judged_all(&judging, &[("a", well), ("b", odd)]);
    assert_eq!(judgement.evidence.function.as_deref(), Some("b"));
}

#[test]
fn margin_of_an_early_end_is_half_again_the_least_effect() {
    for (edge, margin) in [
        (1.0, 1.5),
        (1.25, 2.0),
        (1.5, 3.0),
        (2.0, 3.0),
        (5.0, 10.0),
        (8.0, 8.0),
    ] {
        near(early_margin(edge), margin);
    }
}

#[test]
fn capped_e_value_is_reported_as_a_bound() {
    let hopeless: Vec<_> = (0..10)
        .map(|t| minute(t, (1000, 900), (9000, 90)))
        .collect();
    let evidence = judged(&Judging::default(), hopeless, Some(one_percent())).evidence;
    near(evidence.e_value, TOLD);
    assert!(
        evidence
            .reason
            .contains("the e-value over 10^12 reaches 100"),
        "{}",
        evidence.reason
    );
    assert_eq!(in_words(TOLD, 3), "over 10^12");
    assert_eq!(in_words(12.3456, 3), "12.346");
    // One such function among fifty idle ones is reported in full too.
    let mut functions = vec![("bad", minute(0, (100_000, 90_000), (900_000, 9000)))];
    functions.resize(50, ("idle", minute(0, (0, 0), (0, 0))));
    let judgement = judged_all(&Judging::default(), &functions);
    assert!(
        judgement.evidence.reason.contains("over 10^12"),
        "{}",
        judgement.evidence.reason
    );
}

#[test]
fn a_green_that_always_fails_is_found_in_its_first_minute() {
    let judgement = judged(
        &Judging::default(),
        vec![minute(0, (10, 10), (90, 1))],
        Some(one_percent()),
    );
    assert_eq!(judgement.verdict, Verdict::Unhealthy);
    assert_eq!(judgement.evidence.decided_by, DecidedBy::ErrorTest);
    // Without any past too, if there are a few more requests.
    let judgement = judged(
        &Judging::default(),
        vec![minute(0, (100, 100), (900, 9))],
        None,
    );
    assert_eq!(judgement.verdict, Verdict::Unhealthy);
}

#[test]
fn five_percent_against_none_is_found_in_the_first_minute() {
    let judgement = judged(
        &Judging::default(),
        vec![minute(0, (100, 5), (900, 0))],
        None,
    );
    assert_eq!(
        judgement.verdict,
        Verdict::Unhealthy,
        "{:?}",
        judgement.evidence
    );
}

#[test]
fn an_outage_that_hits_both_is_not_greens_fault_but_a_ceiling_says_so() {
    let minutes: Vec<Minute> = (0..5).map(|t| minute(t, (100, 80), (900, 720))).collect();
    let judgement = judged(&Judging::default(), minutes.clone(), Some(one_percent()));
    assert!(
        judgement.verdict < Verdict::Unhealthy,
        "{:?}",
        judgement.evidence
    );
    let ceiling = Judging {
        max_error_rate_percent: Some(5.0),
        ..Judging::default()
    };
    let judgement = judged(&ceiling, minutes, Some(one_percent()));
    assert_eq!(judgement.verdict, Verdict::Unhealthy);
    assert_eq!(judgement.evidence.decided_by, DecidedBy::ErrorCeiling);
    assert!(
        judgement.evidence.reason.contains("blue suffers too"),
        "{}",
        judgement.evidence.reason
    );
}

#[test]
fn a_million_requests_do_not_make_a_difference_that_nobody_minds_matter() {
    // 1.000 % against 1.005 %, twenty million requests: over 7 standard errors if sampled by chance alone.
    let minutes: Vec<Minute> = (0..20)
        .map(|t| minute(t, (500_000, 5025), (500_000, 5000)))
        .collect();
    assert_eq!(
        judged(&Judging::default(), minutes, Some(one_percent())).verdict,
        Verdict::Healthy
    );
}

/// The smaller of both e-values decides where the past shows clumps, here of 2.5 hits.
#[test]
fn hits_that_come_together_as_the_second_program_has_them() {
    let minutes = vec![minute(0, (10, 2), (90, 0)), minute(1, (12, 3), (88, 1))];
    for (together_minutes, wanted) in [(1, 21.848_778_681_052_03), (2, 9.801_924_600_473_518)] {
        let past = BluePast {
            errors: PastShare {
                together_minutes,
                together: 2.5,
                ..past()
            },
            slow: None,
        };
        let evidence = judged(&Judging::default(), minutes.clone(), Some(past)).evidence;
        near(evidence.own.routing, TWO.0);
        near(evidence.own.together.expect("hits come together"), wanted);
        near(evidence.e_value, wanted);
        let told = evidence.together.expect("hits come together");
        assert_eq!((told.minutes, told.hits), (together_minutes, 2.5));
    }
}

#[test]
fn without_a_control_group_nothing_is_compared_and_the_evidence_says_so() {
    let beside = minute(0, (500, 5), (500, 5));
    let alone = |errors| vec![beside, minute(1, (1000, errors), (0, 0))];
    for errors in [10, 60, 1000] {
        let judgement = judged(&Judging::default(), alone(errors), Some(one_percent()));
        assert_eq!(judgement.verdict, Verdict::Healthy);
        let evidence = judgement.evidence;
        let without = evidence.without_blue.expect("a minute without blue");
        assert_eq!((without.minutes, without.requests), (1, 1000));
        assert_eq!(without.hits, errors);
        let words = format!("; of these, {errors} of 1000 in 1 minutes without blue");
        assert!(evidence.reason.contains(&words), "{}", evidence.reason);
    }
    let ceiling = Judging {
        max_error_rate_percent: Some(5.0),
        ..Judging::default()
    };
    let judgement = judged(&ceiling, alone(60), Some(one_percent()));
    assert_eq!(judgement.evidence.decided_by, DecidedBy::ErrorCeiling);
    // With one in twenty on blue it is compared.
    let control = vec![beside, minute(1, (9500, 950), (500, 5))];
    let judgement = judged(&Judging::default(), control, Some(one_percent()));
    assert_eq!(judgement.verdict, Verdict::Unhealthy);
    assert_eq!(judgement.evidence.without_blue, None);
}

#[test]
fn no_data_late_data_and_too_few_requests_are_inconclusive() {
    let by = |minutes: Vec<Minute>, through: i64| {
        let series = FunctionSeries {
            function: "chat".to_owned(),
            minutes,
            is_new: false,
            past: Some(one_percent()),
        };
        let judgement = judge(&Judging::default(), &[series], Watch { from: 0, through });
        (judgement.verdict, judgement.evidence.decided_by)
    };
    let full = |t| minute(t, (100, 0), (900, 9));
    assert_eq!(by(vec![], 0), (Verdict::Inconclusive, DecidedBy::NoData));
    assert_eq!(
        by(vec![minute(0, (0, 0), (900, 9))], 0),
        (Verdict::Inconclusive, DecidedBy::NoData)
    );
    assert_eq!(
        by(vec![minute(0, (4, 0), (30, 0))], 0),
        (Verdict::Inconclusive, DecidedBy::TooFewRequests)
    );
    assert_eq!(
        by(vec![full(0), full(1)], 180),
        (Verdict::Inconclusive, DecidedBy::LateData)
    );
    assert_eq!(
        by(vec![full(0), full(1)], 60),
        (Verdict::Healthy, DecidedBy::EnoughSeen)
    );
    assert_eq!(
        judge(
            &Judging::default(),
            &[],
            Watch {
                from: 0,
                through: 0
            }
        )
        .verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn a_minute_that_has_not_settled_is_not_looked_at() {
    let series = FunctionSeries {
        function: "chat".to_owned(),
        minutes: vec![
            minute(0, (100, 1), (900, 9)),
            minute(1, (100, 100), (900, 9)),
        ],
        is_new: false,
        past: Some(one_percent()),
    };
    assert_eq!(
        judge(
            &Judging::default(),
            &[series],
            Watch {
                from: 0,
                through: 0
            }
        )
        .verdict,
        Verdict::Healthy
    );
}

#[test]
fn enough_of_the_same_lets_a_step_end_early() {
    let equal = |t| minute(t, (5000, 50), (5000, 50));
    let little = vec![minute(0, (500, 5), (500, 5))];
    assert!(!judged(&Judging::default(), little, Some(one_percent())).early_proceed);
    let judgement = judged(
        &Judging::default(),
        (0..20).map(equal).collect(),
        Some(one_percent()),
    );
    assert!(judgement.early_proceed, "{:?}", judgement.evidence);
}

#[test]
fn slow_requests_and_throttles_and_the_99th_percentile() {
    let slow = |green: u64| Minute {
        start: 0,
        green: Counts {
            invocations: 100,
            slow: green,
            ..Counts::default()
        },
        blue: Counts {
            invocations: 900,
            slow: 9,
            ..Counts::default()
        },
        green_p99_ms: Some(7000),
    };
    let judging = Judging {
        slower_than_ms: Some(6000),
        ..Judging::default()
    };
    let found = judged(&judging, vec![slow(60)], None);
    assert_eq!(
        (found.verdict, found.evidence.decided_by),
        (Verdict::Unhealthy, DecidedBy::SlowTest)
    );
    assert_eq!(
        judged(&Judging::default(), vec![slow(60)], None).verdict,
        Verdict::Healthy
    );

    let judging = Judging {
        max_p99_ms: Some(6000),
        ..Judging::default()
    };
    let second = Minute {
        start: 60,
        ..slow(1)
    };
    assert_eq!(
        judged(&judging, vec![slow(1)], None).verdict,
        Verdict::Healthy
    );
    assert_eq!(
        judged(&judging, vec![slow(1), second], None)
            .evidence
            .decided_by,
        DecidedBy::P99Ceiling
    );

    let judging = Judging {
        max_throttle_percent: Some(1.0),
        ..Judging::default()
    };
    let mut refused = slow(1);
    refused.green.throttles = 5;
    assert_eq!(
        judged(&judging, vec![refused], None).evidence.decided_by,
        DecidedBy::ThrottleCeiling
    );
}

#[test]
fn verdicts_are_ordered_and_settings_are_read_strictly() {
    assert!(Verdict::Healthy < Verdict::Inconclusive && Verdict::Inconclusive < Verdict::Unhealthy);
    assert!(
        serde_json::from_str::<Judging>(r#"{"alpha":0.05,"minEffect":{"oddsRatio":2}}"#).is_ok()
    );
    let refused =
        serde_json::from_str::<Judging>(r#"{"alhpa":0.05}"#).expect_err("a misspelt name");
    assert!(refused.to_string().contains("alhpa"), "{refused}");
}

const ONE: (f64, f64, f64) = (
    63.293_716_966_786_43,
    233.468_551_560_542_98,
    148.381_134_263_664_7,
);
const TWO: (f64, f64, f64) = (
    1_654.757_284_055_834_4,
    4_612.151_713_168_826,
    3_133.454_498_612_33,
);
