//! What the sums keep of each minute, and what they make of a past whose errors stick.

use crate::domain::analysis::judge::{
    MinEffect,
    samples::{minute, past},
    tally::*,
};

impl Tally {
    fn share(&self) -> &Share {
        &self.shares[0].1
    }

    fn errors(&self) -> Finding {
        self.find(self.share())
    }
}

fn tally_with(judging: &Judging, errors: PastShare, minutes: &[Minute]) -> Tally {
    let mut tally = Tally::new(judging, Some(BluePast { errors, slow: None }));
    for minute in minutes {
        tally.add(minute, true);
    }
    tally
}

fn tally(errors: PastShare, minutes: &[Minute]) -> Tally {
    tally_with(&Judging::default(), errors, minutes)
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} is not {b}");
}

/// A green that fails a fifth of its requests beside a blue as it always was.
fn failing(at: i64) -> Minute {
    minute(at, (100, 20), (900, 9))
}

fn healthy(at: i64) -> Minute {
    minute(at, (100, 1), (900, 9))
}

#[test]
fn minutes_without_traffic_are_not_counted() {
    let minutes = [
        minute(3, (0, 0), (5, 0)),
        minute(4, (0, 0), (0, 0)),
        minute(5, (5, 0), (0, 0)),
        minute(6, (0, 0), (0, 0)),
    ];
    let tally = tally(past(), &minutes);
    assert_eq!((tally.minutes, tally.seen), (2, Some((180, 300))));
    let tally = Tally::new(&Judging::default(), None);
    assert_eq!((tally.minutes, tally.seen), (0, None));
}

#[test]
fn a_step_counts_greens_requests_from_its_beginning() {
    let mut tally = Tally::new(&Judging::default(), None);
    tally.add(&minute(0, (7, 0), (90, 0)), false);
    assert_eq!(tally.step_requests, 0);
    tally.add(&minute(1, (7, 0), (90, 0)), true);
    tally.add(&minute(2, (5, 0), (90, 0)), true);
    assert_eq!(tally.step_requests, 12);
    tally.begin_step();
    assert_eq!(tally.step_requests, 0);
    tally.add(&minute(3, (3, 0), (90, 0)), true);
    assert_eq!((tally.step_requests, tally.green.invocations), (3, 22));
}

#[test]
fn recent_minutes_come_newest_first() {
    let minutes: Vec<_> = (1..=7).map(healthy).collect();
    let starts = |tally: &Tally| tally.recent().map(|m| m.start / 60).collect::<Vec<_>>();
    assert_eq!(starts(&tally(past(), &minutes)), [7, 6, 5, 4, 3]);
    assert_eq!(starts(&tally(past(), &minutes[..2])), [2, 1, 0, 0, 0]);
}

#[test]
fn minutes_in_any_order_make_the_same_sums() {
    let sums = |minutes: Vec<Minute>| {
        let series = FunctionSeries {
            function: "chat".to_owned(),
            is_new: false,
            minutes,
            past: None,
        };
        let watch = Watch {
            from: 60,
            through: 120,
        };
        let tally = Tally::of(&Judging::default(), &series, watch);
        (
            tally.green.invocations,
            tally.step_requests,
            tally.seen,
            tally.recent().next().map(|m| m.start),
        )
    };
    let wanted = (111, 110, Some((0, 120)), Some(120));
    let [first, second, third, late] = [(0, 1), (1, 10), (2, 100), (3, 1000)]
        .map(|(at, requests)| minute(at, (requests, 0), (0, 0)));
    assert_eq!(sums(vec![first, second, third, late]), wanted);
    assert_eq!(sums(vec![late, third, first, second]), wanted);
    assert_eq!(sums(vec![late, third, second, first]), wanted);
    // Of two with the same start, the later in the list counts.
    let old = minute(1, (5000, 0), (0, 0));
    assert_eq!(sums(vec![old, first, second, third]), wanted);
    assert_eq!(sums(vec![first, old, second, third]), wanted);
    let of_one_start = sums(vec![old, second]);
    assert_eq!(of_one_start, (10, 10, Some((60, 60)), Some(60)));
}

/// What a burst does to blue it may do to green: neither is green's fault.
#[test]
fn a_minute_in_which_blue_is_out_of_line_and_the_next_are_left_out_of_the_past_test() {
    let burst = minute(0, (10, 5), (90, 10));
    let after = minute(1, (10, 5), (90, 0));
    let well = |at| minute(at, (10, 0), (90, 1));
    let beside = |past, minutes: &[Minute]| tally(past, minutes).share().beside;
    assert_eq!(beside(past(), &[after]), (10, 5));
    assert_eq!(beside(past(), &[burst, after]), (0, 0));
    // Blue is in line with its past again once all it has shown is.
    let many: Vec<_> = (2..9).map(|at| minute(at, (10, 0), (9000, 90))).collect();
    let minutes = [&[burst, after][..], &many].concat();
    assert_eq!(beside(past(), &minutes).1, 0);
    assert!(beside(past(), &minutes).0 >= 30);
    // Only a minute with blue can show that blue is well again.
    let alone = minute(1, (10, 5), (0, 0));
    assert_eq!(beside(past(), &[burst, alone, after]), (0, 0));
    // Without a past nothing is held to it.
    assert_eq!(beside(PastShare::default(), &[after, well(2)]), (0, 0));
}

#[test]
fn green_is_held_to_the_past_only_beside_enough_blue_and_for_eight_expected_hits() {
    let beside = |minutes: &[Minute]| tally(past(), minutes).share().beside;
    assert_eq!(beside(&[minute(0, (50, 1), (25, 0))]), (50, 1));
    assert_eq!(beside(&[minute(0, (52, 1), (25, 0))]), (0, 0));
    assert_eq!(beside(&[minute(0, (50, 1), (0, 0))]), (0, 0));
    // At 1.2 % and the edge of 1.1, 606 requests are expected to have eight hits.
    let each: Vec<_> = (0..8).map(|at| minute(at, (100, 1), (100, 0))).collect();
    assert_eq!(beside(&each), (600, 6));
    let once = |requests| beside(&[minute(0, (requests, 1), (500, 5))]).0;
    assert_eq!((once(606), once(607)), (606, 0));
}

/// Ten are expected; by the Chernoff bound nineteen are less likely than one in twenty.
#[test]
fn minute_is_out_of_line_when_its_hits_are_unlikely() {
    let of = |hits| out_of_line((1000, hits), 0.01, OUT_OF_LINE);
    assert!(!of(0) && !of(10) && !of(18), "not unlikely");
    assert!(of(19) && of(30) && of(1000), "unlikely");
    assert!(
        out_of_line((0, 1), 0.01, OUT_OF_LINE),
        "hits without requests"
    );
}

/// 1000 requests of blue's at 1.2 % have twelve hits. Seventeen are not unlikely in a minute, and more than blue may
/// have had since the release began: `17 ln(17 / 12) - 5 = 0.92`, and 0.60 for sixteen.
#[test]
fn blue_that_has_become_worse_bit_by_bit_is_out_of_line() {
    let of = |hits| {
        let minutes = [
            minute(0, (50, 1), (500, 8)),
            minute(1, (50, 1), (500, hits)),
        ];
        tally(past(), &minutes).share().beside
    };
    assert_eq!(of(8), (100, 2));
    assert_eq!(of(9), (50, 1));
}

#[test]
fn bets_are_likelihoods_over_what_green_is_held_to() {
    near(raised(0.5, 2.0), 2.0 / 3.0);
    near(raised(0.2, 1.0), 0.2);
    near(raised(0.1, 9.0), 0.5);
    let mut bets = [0.5; BETS];
    (bets[0], bets[1], bets[2]) = (0.1, 0.2, 0.25);
    let ln = ln_bets(&bets, (10, 4), 0.2);
    assert!(ln[0] == f64::NEG_INFINITY && ln[1] == f64::NEG_INFINITY);
    near(
        ln[2],
        4.0 * (0.25f64 / 0.2).ln() + 6.0 * (0.75f64 / 0.8).ln(),
    );
    near(ln[3], 4.0 * 2.5f64.ln() + 6.0 * (0.5f64 / 0.8).ln());
    let none = ln_bets(&bets, (0, 0), 0.2);
    assert!(none.iter().all(|ln| *ln == 0.0));
}

#[test]
fn minutes_without_blue_are_counted_apart() {
    let minutes = [
        failing(0),
        minute(1, (100, 7), (0, 0)),
        minute(2, (0, 0), (0, 0)),
        minute(3, (50, 2), (0, 0)),
    ];
    let found = tally(past(), &minutes).errors();
    let wanted = WithoutBlue {
        minutes: 2,
        requests: 150,
        hits: 9,
    };
    assert_eq!(found.without_blue, Some(wanted));
    assert_eq!((found.requests, found.hits), ((250, 900), (29, 9)));
    let beside = tally(past(), &minutes[..1]).errors();
    assert_eq!((beside.ln_e, beside.without_blue), (found.ln_e, None));
}

#[test]
fn hits_are_never_more_than_requests() {
    let tally = tally(past(), &[minute(0, (10, 30), (5, 9))]);
    assert_eq!(tally.errors().hits, (10, 5));
}

/// Hits of a minute come together, so many at a time.
fn together(hits: f64) -> PastShare {
    PastShare {
        together_minutes: 1,
        together: hits,
        ..past()
    }
}

#[test]
fn the_smaller_e_value_counts_where_hits_come_together() {
    let minutes = [failing(0), failing(1)];
    let plain = tally(past(), &minutes).errors();
    let found = tally(together(10.0), &minutes).errors();
    let (_, ln_together) = found.together.expect("hits come together");
    assert!((found.ln_routing - plain.ln_routing).abs() < 1e-12);
    assert!(found.ln_e < plain.ln_e);
    near(found.ln_e, ln_together);
    // Where routing says less, it is what counts.
    let even = [minute(0, (100, 1), (900, 9))];
    let found = tally(together(1.0), &even).errors();
    assert!(found.ln_e <= found.ln_routing.max(found.ln_past.expect("a past")));
}

#[test]
fn a_difference_under_the_least_effect_is_no_evidence() {
    let percent = |absolute_percent| {
        let mut judging = Judging::default();
        judging.min_effect.absolute_percent = absolute_percent;
        judging
    };
    // 2 % against 1 %, of a hundred thousand each.
    let twice = minute(0, (100_000, 2000), (100_000, 1000));
    let ln_e = |judging: &Judging, past, minute| tally_with(judging, past, &[minute]).errors().ln_e;
    assert!(ln_e(&percent(0.9), past(), twice) > 10.0);
    assert!(ln_e(&percent(1.1), past(), twice) <= 0.0);
    // What green did without blue makes no difference.
    let alone = minute(1, (100_000, 90_000), (0, 0));
    let both = tally_with(&percent(1.1), past(), &[twice, alone]);
    assert!(both.errors().ln_e <= 0.0);
}

#[test]
fn enough_of_the_same_refutes_a_margin_and_more_a_smaller_one() {
    let equal = |count: i64| {
        let minutes: Vec<_> = (0..count)
            .map(|t| minute(t, (5000, 50), (5000, 50)))
            .collect();
        tally(past(), &minutes).errors().odds_under
    };
    assert_eq!(equal(0), None);
    let (some, more) = (equal(4).expect("a margin"), equal(40).expect("a margin"));
    assert!(MARGINS.contains(&some) && more < some, "{some} {more}");
    // Of hits that come together it takes as many more.
    let minutes: Vec<_> = (0..4).map(|t| minute(t, (5000, 50), (5000, 50))).collect();
    let clumps = tally(together(10.0), &minutes).errors().odds_under;
    assert!(clumps.is_none_or(|odds| odds > some), "{clumps:?}");
}

/// The margin that is refuted is one of the kept ones, and not the least effect that is minded.
#[test]
fn refuted_margin_is_not_the_least_effect() {
    let mut judging = Judging::default();
    judging.min_effect.odds_ratio = 5.0;
    let minutes: Vec<_> = (0..4).map(|t| minute(t, (250, 2), (250, 3))).collect();
    let under = tally_with(&judging, past(), &minutes).errors().odds_under;
    assert!(under.is_some_and(|odds| odds > 1.5), "{under:?}");
}

/// Half of the stake is on blue's past, where there is one.
#[test]
fn half_of_the_stake_is_on_the_past() {
    let few = minute(0, (20, 4), (180, 2));
    let found = tally(past(), &[few]).errors();
    let past = found.ln_past.expect("a past");
    near(
        found.ln_e,
        (0.5 * found.ln_routing.exp() + 0.5 * past.exp()).ln(),
    );
    let found = tally(PastShare::default(), &[few]).errors();
    assert_eq!((found.ln_past, found.ln_e), (None, found.ln_routing));
}

/// By hand, at twenty to one (`ln 20` = 3.0): 130 for 100 are 130 ln 1.3 - 30 = 4.1, 120 are 1.9; 2 for a tenth of one are
/// 2 ln 20 - 1.9 = 4.1, 1 is 1.4; 1 for a hundredth is ln 100 - 1 = 3.6. What is less than expected is never out of line.
#[test]
fn out_of_line_is_what_the_rate_explains_once_in_twenty() {
    let is = |requests, hits| out_of_line((requests, hits), 0.01, OUT_OF_LINE);
    assert!(is(10_000, 130) && !is(10_000, 120) && !is(10_000, 70));
    assert!(is(10, 2) && !is(10, 1) && is(1, 1));
    assert!(!is(10_000, 100) && !is(0, 0));
}

/// At an edge of 1 and a rate of 1 %, eight hits are expected of 800 requests.
#[test]
fn past_is_held_against_green_until_eight_hits_and_beside_half_as_many_requests_of_blue() {
    let judging = Judging {
        min_effect: MinEffect {
            odds_ratio: 1.0,
            absolute_percent: 0.0,
        },
        ..Judging::default()
    };
    let past = PastShare {
        highest_rate: 0.01,
        ..past()
    };
    let beside = |green, blue| {
        let minutes = [minute(0, (green, 0), (blue, 0))];
        tally_with(&judging, past, &minutes).share().beside.0
    };
    assert_eq!((beside(800, 800), beside(801, 801)), (800, 0));
    assert_eq!((beside(100, 50), beside(100, 49)), (100, 0));
    assert_eq!(beside(10, 5), 10);
}

#[test]
fn difference_as_large_as_the_least_that_matters_is_minded() {
    let of = |percent| {
        let judging = Judging {
            min_effect: MinEffect {
                odds_ratio: 1.1,
                absolute_percent: percent,
            },
            ..Judging::default()
        };
        let minutes = [minute(0, (10_000, 200), (10_000, 100))];
        tally_with(&judging, past(), &minutes).errors().ln_e
    };
    assert!(of(1.0) > 0.0 && of(0.5) > 0.0, "{}", of(1.0));
    assert!(of(1.01) <= 0.0, "{}", of(1.01));
}
