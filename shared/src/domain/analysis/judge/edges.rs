//! The judge at its boundaries: stakes, ceilings, late minutes.

use crate::domain::analysis::counts::{BluePast, Counts, Minute};
use crate::domain::analysis::judge::{samples::past, *};

fn counts((invocations, errors, slow, throttles): (u64, u64, u64, u64)) -> Counts {
    Counts {
        invocations,
        errors,
        slow,
        throttles,
    }
}

fn minute(at: i64, green: (u64, u64, u64, u64), blue: (u64, u64, u64, u64)) -> Minute {
    Minute {
        start: 60 * at,
        green: counts(green),
        blue: counts(blue),
        green_p99_ms: None,
    }
}

fn judged(judging: &Judging, minutes: Vec<Minute>, watch: Watch) -> Judgement {
    let series = FunctionSeries {
        function: "chat".to_owned(),
        is_new: false,
        minutes,
        past: Some(BluePast {
            errors: past(),
            slow: Some(past()),
        }),
    };
    judge(judging, &[series], watch)
}

const FIRST: Watch = Watch {
    from: 0,
    through: 0,
};

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9 * b.abs().max(1e-3), "{a} is not {b}");
}

/// Three quarters on errors, a quarter on slow requests: as much of each is as much as one alone.
#[test]
fn slow_requests_have_a_quarter_of_the_stake() {
    let both = Judging {
        slower_than_ms: Some(1000),
        ..Judging::default()
    };
    let alike = vec![minute(0, (10, 3, 3, 0), (90, 1, 1, 0))];
    let alone = judged(&Judging::default(), alike.clone(), FIRST).evidence;
    let evidence = judged(&both, alike, FIRST).evidence;
    near(evidence.e_value, alone.e_value);
    assert_eq!(evidence.decided_by, DecidedBy::ErrorTest);
    assert!(
        evidence
            .reason
            .contains("3 of 10 green requests failed (30.000 %)")
    );
    assert!(
        evidence
            .reason
            .contains("1 of 90 blue ones (1.111 %), 1,000 of 100,000 before")
    );
    let slow = vec![minute(0, (10, 0, 5, 0), (90, 1, 1, 0))];
    let evidence = judged(&both, slow, FIRST).evidence;
    assert_eq!(evidence.decided_by, DecidedBy::SlowTest);
    assert!(evidence.reason.contains("5 of 10 green requests were slow"));
    assert!(evidence.own.e_value < TOLD);
    assert!((0.25 * evidence.own.e_value / evidence.e_value - 1.0).abs() < 0.01);
}

/// Slow requests have to weigh more than three times as much as errors to be what decided.
#[test]
fn heavier_test_is_the_one_with_more_of_the_stake() {
    let both = Judging {
        slower_than_ms: Some(1000),
        ..Judging::default()
    };
    let alone = |hits| {
        let minutes = vec![minute(0, (100, hits, 0, 0), (900, 9, 0, 0))];
        judged(&Judging::default(), minutes, FIRST)
            .evidence
            .own
            .e_value
    };
    let mut seen = [0, 0];
    for errors in 1..16 {
        for slow in errors..16 {
            let minutes = vec![minute(0, (100, errors, slow, 0), (900, 9, 9, 0))];
            let evidence = judged(&both, minutes, FIRST).evidence;
            let slow_decides = alone(slow) > 3.0 * alone(errors);
            let wanted = if slow_decides {
                alone(slow)
            } else {
                alone(errors)
            };
            near(evidence.own.e_value, wanted);
            seen[usize::from(slow_decides)] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}

#[test]
fn evidence_has_both_versions_counts_and_shares() {
    let minutes = vec![
        minute(0, (50, 1, 0, 2), (400, 4, 0, 0)),
        minute(1, (50, 1, 0, 0), (400, 4, 0, 0)),
    ];
    let watch = Watch {
        from: 0,
        through: 60,
    };
    let evidence = judged(&Judging::default(), minutes, watch).evidence;
    assert_eq!(evidence.green, counts((100, 2, 0, 2)));
    assert_eq!(evidence.blue, counts((800, 8, 0, 0)));
    assert_eq!((evidence.minutes, evidence.functions), (2, 1));
    near(evidence.green_error_percent, 2.0);
    near(evidence.blue_error_percent, 1.0);
    assert_eq!(
        (evidence.past_requests, evidence.past_hits),
        (100_000, 1000)
    );
    near(evidence.threshold, 100.0);
    assert!(
        evidence
            .reason
            .contains("it failed 2 of 100 requests, blue 8 of 800"),
        "{}",
        evidence.reason
    );
}

#[test]
fn step_without_a_request_of_green_has_no_data() {
    let minutes = vec![
        minute(0, (50, 0, 0, 0), (400, 4, 0, 0)),
        minute(1, (0, 0, 0, 0), (400, 4, 0, 0)),
    ];
    let watch = |from| Watch { from, through: 60 };
    let of = |watch| {
        judged(&Judging::default(), minutes.clone(), watch)
            .evidence
            .decided_by
    };
    assert_eq!(of(watch(60)), DecidedBy::NoData);
    assert_eq!(of(watch(0)), DecidedBy::EnoughSeen);
    let why = |minutes| {
        judged(&Judging::default(), minutes, watch(60))
            .evidence
            .reason
    };
    assert!(why(minutes.clone()).contains("green served no request"));
    assert!(why(Vec::new()).contains("no client has called it"));
}

#[test]
fn as_many_requests_as_are_needed_are_enough() {
    let of = |requests| {
        let minutes = vec![minute(0, (requests, 0, 0, 0), (90, 0, 0, 0))];
        judged(&Judging::default(), minutes, FIRST)
            .evidence
            .decided_by
    };
    assert_eq!(of(9), DecidedBy::TooFewRequests);
    assert_eq!(of(10), DecidedBy::EnoughSeen);
}

/// 22 requests in ten minutes: two minutes without any come by chance (exp(-4.4) > 1 %), three do not.
#[test]
fn empty_minutes_are_late_data_when_traffic_is_too_dense_for_them() {
    let minutes = vec![
        minute(0, (6, 0, 0, 0), (5, 0, 0, 0)),
        minute(9, (6, 0, 0, 0), (5, 0, 0, 0)),
    ];
    let of = |through: i64| {
        let watch = Watch {
            from: 0,
            through: 60 * through,
        };
        judged(&Judging::default(), minutes.clone(), watch).evidence
    };
    assert_eq!(of(9).decided_by, DecidedBy::EnoughSeen);
    assert_eq!(of(11).decided_by, DecidedBy::EnoughSeen);
    let late = of(12);
    assert_eq!(late.decided_by, DecidedBy::LateData);
    assert_eq!(
        late.reason,
        "chat: no data for the newest 3 settled minutes"
    );
}

/// What a ceiling says of these minutes; none when green is under it.
fn ceiling(judging: &Judging, minutes: Vec<Minute>) -> Option<(DecidedBy, String)> {
    let through = minutes.iter().map(|one| one.start).max().unwrap_or(0);
    let series = FunctionSeries {
        function: "chat".to_owned(),
        is_new: false,
        minutes,
        past: None,
    };
    let watch = Watch { from: 0, through };
    thresholds::over(judging, &Tally::of(judging, &series, watch))
}

#[test]
fn error_ceiling_is_exceeded_by_more_than_it_says() {
    let judging = Judging {
        max_error_rate_percent: Some(5.0),
        ..Judging::default()
    };
    let at = |errors, blue| ceiling(&judging, vec![minute(0, (100, errors, 0, 0), blue)]);
    assert_eq!(at(5, (900, 9, 0, 0)), None);
    let (by, reason) = at(6, (900, 9, 0, 0)).expect("it is over");
    assert_eq!(by, DecidedBy::ErrorCeiling);
    let words = "green failed 6 of 100 requests (6.00 %) in the last 1 settled minutes, over the ceiling of 5 %; blue failed 9 of 900 (1.00 %)";
    assert!(reason.contains(words), "{reason}");
    // As much as the ceiling is not more than it.
    assert!(
        at(6, (900, 45, 0, 0))
            .unwrap()
            .1
            .contains("blue failed 45 of 900")
    );
    assert!(
        at(6, (900, 46, 0, 0))
            .unwrap()
            .1
            .contains("blue suffers too (46 of 900, 5.11 %)")
    );
    assert!(
        at(6, (0, 0, 0, 0))
            .unwrap()
            .1
            .contains("blue had no traffic")
    );
}

#[test]
fn ceilings_need_enough_requests_and_look_at_the_newest() {
    let judging = Judging {
        max_error_rate_percent: Some(5.0),
        min_invocations: 100,
        ..Judging::default()
    };
    let bad = |at, requests| minute(at, (requests, requests, 0, 0), (900, 9, 0, 0));
    let well = |at| minute(at, (100, 0, 0, 0), (900, 9, 0, 0));
    assert_eq!(ceiling(&judging, vec![bad(0, 99)]), None);
    assert!(ceiling(&judging, vec![bad(0, 100)]).is_some());
    // Refused requests are requests too.
    let refused = minute(0, (50, 50, 0, 50), (900, 9, 0, 0));
    assert!(ceiling(&judging, vec![refused]).is_some());
    // Enough in the newest minute: what came before is over.
    assert_eq!(ceiling(&judging, vec![bad(0, 100), well(1)]), None);
    let (_, reason) = ceiling(&judging, vec![well(0), bad(1, 60), bad(2, 60)]).expect("it is over");
    assert!(reason.contains("in the last 2 settled minutes"), "{reason}");
    // No more than the five newest.
    let few: Vec<_> = (0..6).map(|at| bad(at, 19)).collect();
    assert_eq!(ceiling(&judging, few), None);
    let few: Vec<_> = (0..5).map(|at| bad(at, 20)).collect();
    assert!(ceiling(&judging, few).is_some());
}

#[test]
fn throttle_ceiling_counts_refused_requests_of_all_that_came() {
    let judging = Judging {
        max_throttle_percent: Some(10.0),
        ..Judging::default()
    };
    let at = |requests, refused| {
        ceiling(
            &judging,
            vec![minute(0, (requests, 0, 0, refused), (90, 0, 0, 10))],
        )
    };
    assert_eq!(at(90, 10), None);
    let (by, reason) = at(89, 11).expect("it is over");
    assert_eq!(by, DecidedBy::ThrottleCeiling);
    assert!(
        reason.contains("refused 11 of 100 requests (11.00 %)"),
        "{reason}"
    );
    assert!(reason.contains("blue was refused 10 of 100"), "{reason}");
    assert_eq!(at(5, 4), None, "nine are too few");
    assert!(at(5, 5).is_some());
}

#[test]
fn p99_ceiling_takes_the_two_newest_minutes_that_have_one() {
    let judging = Judging {
        max_p99_ms: Some(1000),
        ..Judging::default()
    };
    let of = |p99s: &[Option<u32>]| {
        let minutes = (0..).zip(p99s).map(|(at, p99)| Minute {
            green_p99_ms: *p99,
            ..minute(at, (100, 0, 0, 0), (900, 0, 0, 0))
        });
        ceiling(&judging, minutes.collect())
    };
    assert_eq!(of(&[Some(5000)]), None);
    assert_eq!(of(&[Some(5000), Some(1000)]), None);
    assert_eq!(of(&[Some(5000), Some(5000), Some(1)]), None);
    let (by, reason) = of(&[Some(1), Some(1001), None, Some(1002)]).expect("it is over");
    assert_eq!(by, DecidedBy::P99Ceiling);
    assert!(
        reason.contains("was 1001 and 1002 ms in its two newest minutes"),
        "{reason}"
    );
}

#[test]
fn staked_average_is_of_the_values_and_not_of_their_logarithms() {
    let average = grid::ln_average(&[2f64.ln(), 4f64.ln()], &[0.25, 0.75]);
    near(average.exp(), 3.5);
    let lost = grid::ln_average(&[f64::NEG_INFINITY, 4f64.ln()], &[0.5, 0.5]);
    near(lost.exp(), 2.0);
}
