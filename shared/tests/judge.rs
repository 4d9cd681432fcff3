//! What must hold of the judge whatever the counts: laws, over generated releases.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "generated counts are small enough or meant to be wild"
)]

use crossfade::domain::analysis::counts::{BluePast, Counts, FunctionSeries, Minute, PastShare};
use crossfade::domain::analysis::judge::{
    Judgement, Judging, Tally, Verdict, Watch, conclude, judge,
};
use proptest::prelude::*;

fn counts(most: u64) -> impl Strategy<Value = Counts> {
    (0..=most, 0.0..=1.0f64, 0.0..=1.0f64, 0..=most / 10).prop_map(
        |(invocations, errors, slow, throttles)| Counts {
            invocations,
            errors: (invocations as f64 * errors.powi(3)) as u64,
            slow: (invocations as f64 * slow.powi(3)) as u64,
            throttles,
        },
    )
}

fn minutes(most: u64) -> impl Strategy<Value = Vec<Minute>> {
    prop::collection::vec((counts(most), counts(most)), 1..25).prop_map(|pairs| {
        let minute = |(i, (blue, green))| Minute {
            start: 60 * i as i64,
            blue,
            green,
            green_p99_ms: None,
        };
        pairs.into_iter().enumerate().map(minute).collect()
    })
}

fn past() -> impl Strategy<Value = Option<BluePast>> {
    let share = prop::collection::vec((0..500u64, 0.0..0.2f64), 0..200).prop_map(|minutes| {
        let counted: Vec<_> = minutes
            .iter()
            .map(|&(n, p)| (n, (n as f64 * p) as u64))
            .collect();
        PastShare::from_minutes(&counted, &[(5_000, 10), (5_000, 20)])
    });
    prop::option::of(
        (share.clone(), prop::option::of(share))
            .prop_map(|(errors, slow)| BluePast { errors, slow }),
    )
}

fn settings() -> impl Strategy<Value = Judging> {
    (prop::option::of(1..9000u32), prop::option::of(0.5..20.0f64)).prop_map(
        |(slower_than_ms, ceiling)| Judging {
            slower_than_ms,
            max_error_rate_percent: ceiling,
            ..Judging::default()
        },
    )
}

fn series(name: &str, minutes: Vec<Minute>, past: Option<BluePast>) -> FunctionSeries {
    FunctionSeries {
        function: name.to_owned(),
        minutes,
        is_new: false,
        past,
    }
}

fn watch(minutes: &[Minute]) -> Watch {
    Watch {
        from: 0,
        through: minutes.iter().map(|m| m.start).max().unwrap_or(0),
    }
}

/// Equal but for rounding.
fn same(a: &Judgement, b: &Judgement) -> bool {
    let near = |x: f64, y: f64| (x - y).abs() <= 1e-6 * x.abs().max(y.abs()).max(1e-6);
    a.verdict == b.verdict
        && a.evidence.decided_by == b.evidence.decided_by
        && a.evidence.function == b.evidence.function
        && a.early_proceed == b.early_proceed
        && near(a.evidence.e_value, b.evidence.e_value)
}

/// A verdict at the very edge may fall to either side by rounding; such a case says nothing.
fn at_an_edge(judging: &Judging, a: &Judgement) -> bool {
    [judging.suspect_at, 1.0 / judging.alpha]
        .iter()
        .any(|edge| (a.evidence.e_value / edge - 1.0).abs() < 1e-6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn kept_sums_say_what_all_minutes_say(judging in settings(), minutes in minutes(2000), past in past(), cut in 0..25usize) {
        let watch = watch(&minutes);
        let whole = judge(&judging, &[series("f", minutes.clone(), past)], watch);
        let mut tally = Tally::new(&judging, past);
        let (first, rest) = minutes.split_at(cut.min(minutes.len()));
        for minute in first {
            tally.add(minute, true);
        }
        // A state that is kept between looks is a copy.
        let mut tally = tally.clone();
        for minute in rest {
            tally.add(minute, true);
        }
        let kept = conclude(&judging, &[("f", tally)], watch);
        prop_assume!(!at_an_edge(&judging, &whole));
        prop_assert!(same(&whole, &kept), "{whole:?} {kept:?}");
    }

    #[test]
    fn the_order_of_minutes_and_functions_does_not_matter(judging in settings(), a in minutes(500), b in minutes(500), past in past()) {
        let watch = watch(&if a.len() > b.len() { a.clone() } else { b.clone() });
        let (mut back, mut other) = (a.clone(), b.clone());
        back.reverse();
        other.reverse();
        let one = judge(&judging, &[series("a", a, past), series("b", b, None)], watch);
        let two = judge(&judging, &[series("b", other, None), series("a", back, past)], watch);
        prop_assert_eq!(one, two);
    }

    #[test]
    fn more_green_errors_are_never_more_favourable(
        judging in settings(), minutes in prop_oneof![minutes(60), minutes(3000), minutes(30_000)], past in past(), at in 0..25usize, more in 1..50u64,
    ) {
        let mut worse = minutes.clone();
        let at = at % worse.len();
        let green = &mut worse[at].green;
        green.errors = (green.errors + more).min(green.invocations);
        let watch = watch(&minutes);
        let before = judge(&judging, &[series("f", minutes, past)], watch);
        let after = judge(&judging, &[series("f", worse, past)], watch);
        prop_assert!(after.verdict >= before.verdict, "{before:?} {after:?}");
        prop_assert!(after.evidence.e_value >= before.evidence.e_value * (1.0 - 1e-9), "{before:?} {after:?}");
        prop_assert!(!after.early_proceed || before.early_proceed, "{before:?} {after:?}");
    }

    #[test]
    fn nothing_panics_or_overflows(judging in settings(), minutes in minutes(1_000_000_000), past in past(), wild in any::<[u64; 8]>()) {
        let mut minutes = minutes;
        minutes[0].green.errors = 2_000_000_000; // More errors than invocations: half of a minute has come.
        let watch = watch(&minutes);
        let found = judge(&judging, &[series("f", minutes.clone(), past)], watch).evidence;
        prop_assert!(found.e_value.is_finite() && found.e_value >= 0.0, "{found:?}");
        let [a, b, c, d, e, f, g, h] = wild.map(|w| w >> 1);
        minutes[0].blue = Counts { invocations: a, errors: b, slow: c, throttles: d };
        minutes[0].green = Counts { invocations: e, errors: f, slow: g, throttles: h };
        let found = judge(&judging, &[series("f", minutes, past)], watch).evidence;
        prop_assert!(found.e_value.is_finite() && found.e_value >= 0.0, "{found:?}");
    }

    #[test]
    fn a_green_without_requests_is_never_healthy(judging in settings(), minutes in minutes(2000), past in past(), nothing_came in any::<bool>()) {
        let mut minutes = minutes;
        for minute in &mut minutes {
            minute.green = Counts::default();
            if nothing_came {
                minute.blue = Counts::default();
            }
        }
        let watch = watch(&minutes);
        prop_assert!(judge(&judging, &[series("f", minutes, past)], watch).verdict >= Verdict::Inconclusive);
    }

    #[test]
    fn evidence_is_small_and_survives_json(judging in settings(), minutes in minutes(1_000_000), past in past()) {
        let watch = watch(&minutes);
        let found = judge(&judging, &[series("f", minutes, past)], watch);
        let text = serde_json::to_string(&found).expect("plain numbers and strings");
        prop_assert!(text.len() < 2000, "{text}");
        prop_assert!(serde_json::from_str::<Judgement>(&text).is_ok(), "{text}");
    }
}
