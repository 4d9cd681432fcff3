//! What the sums keep of each minute, and what they make of a past whose errors stick.

use crate::domain::analysis::judge::{
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

    fn slow(&self) -> Option<Finding> {
        let mut found = self.findings();
        found.find_map(|(signal, found)| (signal == Signal::Slow).then_some(found))
    }
}

/// A past whose errors stick: hits of a block vary ten times as much as if each came by itself.
fn sticky() -> PastShare {
    PastShare {
        spread: 10.0,
        stick: 6.0,
        ..past()
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

fn ln_e(errors: PastShare, minutes: &[Minute]) -> f64 {
    tally(errors, minutes).errors().ln_e
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
    let burst = minute(0, (100, 50), (900, 450));
    let after = minute(1, (100, 50), (900, 9));
    let beside = |minutes: &[Minute]| {
        let tally = tally(past(), minutes);
        (tally.share().beside, tally.share().alone)
    };
    assert_eq!(beside(&[burst, after]), ((0, 0), (0, 0)));
    assert_eq!(beside(&[burst, after, healthy(2)]), ((100, 1), (0, 0)));
    // Only a minute with blue can show that blue is well again.
    let alone = minute(1, (100, 50), (0, 0));
    assert_eq!(
        beside(&[burst, alone, after, healthy(2), alone]),
        ((100, 1), (100, 50))
    );
    // A second burst begins anew.
    assert_eq!(
        beside(&[burst, burst, after, healthy(2), healthy(3)]),
        ((200, 2), (0, 0))
    );
    // Without a past nothing is out of line with it.
    assert_eq!(
        tally(PastShare::default(), &[burst, after]).share().beside,
        (200, 100)
    );
}

#[test]
fn hits_are_never_more_than_requests() {
    let tally = tally(past(), &[minute(0, (10, 30), (5, 9))]);
    assert_eq!(tally.errors().hits, (10, 5));
}

#[test]
fn errors_that_stick_are_scaled_down() {
    let minutes = [failing(0), failing(1)];
    let plain = tally(past(), &minutes).errors();
    let scaled = tally(sticky(), &minutes).errors();
    near(plain.scaled, 1.0);
    near(scaled.scaled, 8.5);
    assert!(scaled.ln_routing < plain.ln_routing / 4.0, "{scaled:?}");
    assert!(scaled.ln_past < plain.ln_past / 4.0, "{scaled:?}");
    assert!(
        scaled.ln_routing > 0.0 && scaled.ln_past > 0.0,
        "{scaled:?}"
    );
    // A small spread scales nothing up.
    let little = PastShare {
        spread: 1.1,
        stick: 1.05,
        ..past()
    };
    near(tally(little, &minutes).errors().scaled, 1.0);
}

/// As long as none of blue's sick spells is to be expected on green, unscaled counts have a fifth of the
/// stake.
#[test]
fn unscaled_counts_decide_while_no_sick_spell_is_due() {
    let minutes = [failing(0), failing(1), failing(2)];
    let plain = ln_e(past(), &minutes);
    assert!(plain > 30.0, "{plain}");
    let sticks = ln_e(sticky(), &minutes);
    assert!(
        (sticks - (plain + ON_UNSCALED.ln())).abs() < 0.01,
        "{sticks}, {plain}"
    );
    // Where nothing sticks nothing is kept unscaled.
    near(tally(past(), &minutes).share().unscaled, 0.0);
}

#[test]
fn unscaled_counts_are_frozen_once_a_sick_spell_is_due() {
    // 0.45 of a risk of 1 % is spent after 450 requests of green.
    let past = PastShare {
        spells: 1e-5,
        ..sticky()
    };
    let first: Vec<_> = (0..4).map(failing).collect();
    let frozen = tally(past, &first).share().unscaled;
    assert!(frozen > 30.0, "{frozen}");
    let more: Vec<_> = (0..8).map(failing).collect();
    near(tally(past, &more).share().unscaled, frozen);
    // Failures that come later than that count scaled only.
    let late: Vec<_> = (0..4).map(healthy).chain((4..8).map(failing)).collect();
    assert!(tally(past, &late).share().unscaled < 1.0);
    assert!(ln_e(past, &late) < 30.0);
    assert!(ln_e(sticky(), &late) > 30.0);
}

/// The more of blue's time is unwell, and the larger green's share, the likelier a sick environment is
/// green's by chance.
#[test]
fn a_past_that_is_often_unwell_keeps_nothing_unscaled() {
    let often = |unwell| PastShare { unwell, ..sticky() };
    let unscaled = |past| tally(past, &[failing(0)]).share().unscaled;
    // A tenth of the traffic is green's: 0.04 x 0.1 is within 0.45 of 1 %, 0.05 x 0.1 is not.
    assert!(unscaled(often(0.04)) > 10.0);
    near(unscaled(often(0.05)), 0.0);
    // Both risks add up.
    let both = PastShare {
        spells: 1e-5,
        ..often(0.04)
    };
    near(unscaled(both), 0.0);
    // A higher accepted risk has more to spend.
    let bold = Judging {
        alpha: 0.05,
        ..Judging::default()
    };
    let kept = tally_with(&bold, often(0.2), &[failing(0)])
        .share()
        .unscaled;
    assert!(kept > 10.0, "{kept}");
}

#[test]
fn slow_requests_that_stick_are_kept_unscaled_too() {
    let judging = Judging {
        slower_than_ms: Some(1000),
        ..Judging::default()
    };
    let slow = |minute: Minute| {
        let slow = |counts: Counts| Counts {
            slow: counts.errors,
            errors: 0,
            ..counts
        };
        Minute {
            green: slow(minute.green),
            blue: slow(minute.blue),
            ..minute
        }
    };
    let both = BluePast {
        errors: past(),
        slow: Some(sticky()),
    };
    let mut tally = Tally::new(&judging, Some(both));
    for at in 0..3 {
        tally.add(&slow(failing(at)), true);
    }
    let found = tally.slow().expect("slow requests are tested");
    let plain = ln_e(past(), &[failing(0), failing(1), failing(2)]);
    assert!((found.ln_e - (plain + ON_UNSCALED.ln())).abs() < 0.01);
    assert_eq!(found.hits, (60, 27));
    assert_eq!(tally.errors().hits, (0, 0));
    assert!(Tally::new(&Judging::default(), Some(both)).slow().is_none());
}

/// Bursts show on blue in the same minute; without blue they are to be expected as blue's past has them.
#[test]
fn bursts_scale_counts_without_blue_alone() {
    let bursts = PastShare {
        spread: 10.0,
        ..past()
    };
    let beside = [failing(0), failing(1)];
    near(ln_e(bursts, &beside), ln_e(past(), &beside));
    let alone = [minute(0, (1000, 200), (0, 0))];
    let (scaled, plain) = (ln_e(bursts, &alone), ln_e(past(), &alone));
    assert!(scaled > 3.0 && scaled < plain / 5.0, "{scaled} of {plain}");
}

#[test]
fn unevenness_is_left_aside_where_the_request_says_so() {
    let ignore = Judging {
        overdispersion: Overdispersion::Ignore,
        ..Judging::default()
    };
    let minutes = [failing(0), failing(1)];
    let found = tally_with(&ignore, sticky(), &minutes).errors();
    near(found.ln_e, ln_e(past(), &minutes));
    near(found.scaled, 1.0);
    // A past from elsewhere never makes evidence of its own.
    let odd = PastShare {
        spread: 0.1,
        stick: 0.1,
        ..past()
    };
    near(ln_e(odd, &minutes), ln_e(past(), &minutes));
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
    // Without blue its past is what green differs from.
    let alone = minute(0, (100_000, 2000), (0, 0));
    assert!(ln_e(&percent(0.9), past(), alone) > 10.0);
    assert!(ln_e(&percent(1.1), past(), alone) <= 0.0);
    // Beside a blue that has become worse, it is not.
    let worse = minute(0, (100_000, 3500), (100_000, 2000));
    assert!(ln_e(&percent(1.6), past(), worse) <= 0.0);
}

/// Green is held to what blue shows now where that is more than its past, unless its past has bursts.
#[test]
fn green_is_held_to_a_blue_that_has_become_worse() {
    // In line minute by minute, and yet above the past.
    let minutes: Vec<_> = (0..20).map(|t| minute(t, (100, 2), (900, 14))).collect();
    let worse = tally(past(), &minutes);
    let (calm, usual) = worse.share().rates_of_blue();
    near(calm, 14.0 / 900.0);
    near(usual, 14.0 / 900.0);
    let bursts = PastShare {
        spread: 10.0,
        ..past()
    };
    let worse = tally(bursts, &minutes);
    let (calm, usual) = worse.share().rates_of_blue();
    near(calm, baseline::cautious_rate(100_000, 1000, 1.0));
    near(usual, 14.0 / 900.0);
    // Without a past there is only what blue shows now.
    let new = tally(PastShare::default(), &minutes);
    let now = baseline::cautious_rate(18_000, 280, 1.0);
    assert_eq!(new.share().rates_of_blue(), (now, now));
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
    // Scaled counts refute less.
    let minutes: Vec<_> = (0..4).map(|t| minute(t, (5000, 50), (5000, 50))).collect();
    let scaled = tally(sticky(), &minutes).errors().odds_under;
    assert!(scaled.is_none_or(|odds| odds > some), "{scaled:?}");
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

/// Half of the stake is on each test where blue has no past, a quarter on routing where it has one.
#[test]
fn past_has_the_larger_stake_where_there_is_one() {
    let average = |share: PastShare, on_routing: f64| {
        let found = tally(share, &[failing(0)]).errors();
        let of = on_routing * found.ln_routing.exp() + (1.0 - on_routing) * found.ln_past.exp();
        near(found.ln_e, of.ln());
    };
    average(past(), 0.25);
    average(PastShare::default(), 0.5);
}
