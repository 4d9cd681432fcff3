use proptest::{collection::vec, option, prelude::*};

use super::*;

fn version(number: u32) -> Version {
    number.to_string().parse().unwrap()
}

fn versions(numbers: impl IntoIterator<Item = u32>) -> Vec<Version> {
    numbers.into_iter().map(version).collect()
}

fn alias(name: &str) -> AliasName {
    name.parse().unwrap()
}

fn newest(count: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(count)
}

fn on(number: u32, name: &str) -> Hold {
    Hold::on(&version(number), RetainReason::Alias(alias(name)))
}

fn plan(decided: &Decided) -> Cleanup {
    Cleanup::of(&"f".parse().unwrap(), decided)
}

fn shown(cleanup: &Cleanup) -> (Vec<String>, Vec<(Vec<String>, String)>) {
    let texts = |spans: &[Span]| spans.iter().map(ToString::to_string).collect::<Vec<_>>();
    let keep = cleanup.keep.iter();
    (
        texts(&cleanup.delete),
        keep.map(|kept| (texts(&kept.versions), kept.because.clone()))
            .collect(),
    )
}

#[test]
fn keeps_the_right_ones_of_200_versions() {
    let split = Hold::on(&version(60), RetainReason::ShareOfAlias(alias("staging")));
    let holds = [on(195, "live"), on(40, "staging"), split, on(7, "old")];
    let decided = decide(&versions(1..=200), &holds, newest(10));
    let left: Vec<_> = decided
        .keep
        .iter()
        .map(|(version, _)| version.clone())
        .collect();
    assert_eq!(left, versions([7, 40, 60].into_iter().chain(191..=200)));
    assert_eq!(decided.delete.len(), 187);
    let (delete, keep) = shown(&plan(&decided));
    assert_eq!(delete, ["1-6", "8-39", "41-59", "61-190"]);
    let ten = "one of the newest 10";
    let expected = [
        (vec!["7"], "alias old is on it".to_owned()),
        (vec!["40"], "alias staging is on it".to_owned()),
        (vec!["60"], "alias staging gives it a share".to_owned()),
        (vec!["191-194", "196-199"], ten.to_owned()),
        (vec!["195"], format!("alias live is on it; {ten}")),
        (vec!["200"], "the newest".to_owned()),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(spans, why)| (spans.into_iter().map(str::to_owned).collect(), why))
        .collect();
    assert_eq!(keep, expected);
}

#[test]
fn lists_every_reason_to_keep_a_version() {
    let app: Application = "chat".parse().unwrap();
    let release = "42".to_owned();
    let until: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let (application, named) = (app.clone(), release.clone());
    for (because, says) in [
        (RetainReason::Alias(alias("live")), "alias live is on it"),
        (
            RetainReason::ShareOfAlias(alias("live")),
            "alias live gives it a share",
        ),
        (
            RetainReason::TargetGroup("tg-blue".into()),
            "target group tg-blue calls it",
        ),
        (
            RetainReason::Permitted,
            "its policy lets any load balancer call it",
        ),
        (RetainReason::Durable, "durable executions run on it"),
        (
            RetainReason::Unknown("GetPolicy: AccessDenied".into()),
            "it is not known whether it is needed: GetPolicy: AccessDenied",
        ),
        (
            RetainReason::Green {
                application: app,
                release: release.clone(),
            },
            "green of chat's release 42",
        ),
        (
            RetainReason::Blue {
                application,
                release: named,
                until,
            },
            "blue of chat's release 42, kept until 2026-11-21T12:00:00Z",
        ),
        (
            RetainReason::InFlight { release },
            "release 42 is moving its traffic",
        ),
    ] {
        let hold = Hold::on(&version(1), because);
        let decided = decide(&versions(1..=5), &[hold], newest(1));
        assert_eq!(decided.delete, versions([2, 3, 4]), "{says}");
        assert_eq!(plan(&decided).keep[0].because, says);
    }
}

#[test]
fn holds_every_version_for_a_starting_release() {
    let hold = Hold {
        version: None,
        because: RetainReason::Beginning {
            release: "43".into(),
        },
    };
    let decided = decide(&versions(1..=50), &[hold], newest(1));
    assert_eq!(decided.delete, []);
}

#[test]
fn deletes_nothing_without_a_number() {
    let all = versions(1..=50);
    assert_eq!(decide(&all, &[], None).delete, []);
    assert_eq!(decide(&all, &[], newest(1)).delete, versions(1..=49));
    assert_eq!(decide(&all, &[], newest(50)).delete, []);
    assert_eq!(decide(&all, &[], newest(u32::MAX)).delete, []);
    assert_eq!(decide(&[], &[], newest(1)), Decided::default());
}

fn promise(keep: Option<u32>, blue: Option<u32>) -> Promise {
    Promise {
        execution: "arn:aws:states:eu-west-1:1:execution:crossfade-deployment:42".into(),
        application: "chat".parse().unwrap(),
        green: version(9),
        blue: blue.map(version),
        until: "2026-11-21T12:00:00Z".parse().unwrap(),
        keep_versions: keep.and_then(NonZeroU32::new),
    }
}

#[test]
fn keeps_the_largest_requested_number() {
    let of = |asked: &[Option<u32>]| {
        let promises: Vec<_> = asked.iter().map(|keep| promise(*keep, None)).collect();
        keep_versions(&promises).map(NonZeroU32::get)
    };
    assert_eq!(of(&[Some(10)]), Some(10));
    assert_eq!(of(&[Some(10), Some(3)]), Some(10));
    assert_eq!(of(&[Some(10), None]), None);
    assert_eq!(of(&[]), None, "nobody asked for anything to go");
}

#[test]
fn holds_green_and_blue_during_retention() {
    let held = |promise: &Promise| {
        let holds: Vec<_> = promise.holds().collect();
        holds
            .iter()
            .filter_map(|hold| hold.version.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(held(&promise(None, Some(8))), versions([9, 8]));
    assert_eq!(held(&promise(None, None)), versions([9]));
}

#[test]
fn tells_a_function_that_could_not_be_read_from_one_without_old_versions() {
    let function = "f".parse().unwrap();
    let unread = Cleanup::unread(&function, "ListAliases: AccessDenied");
    assert!(unread.is_unread());
    assert_eq!(
        unread.keep[0].because,
        "its versions could not be read: ListAliases: AccessDenied"
    );
    assert!(!unread.deletes(&version(1)));
    assert!(!plan(&decide(&versions(1..=5), &[], None)).is_unread());
    assert!(!plan(&Decided::default()).is_unread());
}

#[test]
fn round_trips_spans() {
    let read = |text: &str| Span::try_from(text.to_owned());
    for text in ["7", "7-12", "9-10"] {
        assert_eq!(read(text).unwrap().to_string(), text);
    }
    for text in ["", "-", "12-7", "7-", "$LATEST", "1-2-3", "0-4"] {
        assert!(read(text).is_err(), "{text}");
    }
    let span = read("9-100").unwrap();
    assert!(span.contains(&version(9)) && span.contains(&version(100)));
    assert!(!span.contains(&version(8)) && !span.contains(&version(101)));
}

fn hold() -> impl Strategy<Value = Hold> {
    let because = prop_oneof![
        Just(RetainReason::Alias(alias("live"))),
        Just(RetainReason::ShareOfAlias(alias("live"))),
        Just(RetainReason::InFlight {
            release: "x".into()
        }),
    ];
    (option::weighted(0.95, 1u32..60), because).prop_map(|(number, because)| Hold {
        version: number.map(version),
        because,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn partitions_versions_and_deletes_no_referenced_one(
        mut numbers in vec(1u32..60, 0..60),
        holds in vec(hold(), 0..6),
        keep in 0u32..70,
    ) {
        let all = versions(numbers.iter().copied());
        let decided = decide(&all, &holds, newest(keep));
        numbers.sort_unstable();
        numbers.dedup();
        let kept: Vec<_> = decided.keep.iter().map(|(version, _)| version.clone()).collect();
        let mut together = decided.delete.clone();
        together.extend(kept.clone());
        together.sort();
        prop_assert_eq!(together, versions(numbers.iter().copied()));

        let is_held = |one: &Version| {
            holds.iter().any(|hold| hold.version.is_none() || hold.version.as_ref() == Some(one))
        };
        for one in &decided.delete {
            prop_assert!(!is_held(one), "{} is held", one);
            let newer = numbers.iter().filter(|number| version(**number) > *one).count();
            prop_assert!(keep > 0 && newer >= keep as usize, "{} has {} newer", one, newer);
            }
            // And nothing stays without a reason.
            for (one, because) in &decided.keep {
                prop_assert!(!because.is_empty());
                let newer = numbers.iter().filter(|number| version(**number) > *one).count();
                prop_assert!(is_held(one) || keep == 0 || newer < keep as usize);
            }
        }

        #[test]
        fn ignores_the_order_of_its_input(
            numbers in vec(1u32..60, 0..60),
            mut holds in vec(hold(), 0..6),
            keep in 0u32..70,
        ) {
            let mut all = versions(numbers);
            let decided = decide(&all, &holds, newest(keep));
            all.reverse();
            holds.reverse();
            prop_assert_eq!(decide(&all, &holds, newest(keep)), decided);
        }

        #[test]
        fn describes_the_decision_exactly(
            numbers in vec(1u32..60, 0..60),
            holds in vec(hold(), 0..6),
            keep in 0u32..70,
        ) {
            let all = versions(numbers);
            let decided = decide(&all, &holds, newest(keep));
            let text = serde_json::to_string(&plan(&decided)).unwrap();
            let plan: Cleanup = serde_json::from_str(&text).unwrap();
            for one in &all {
                prop_assert_eq!(plan.deletes(one), decided.delete.contains(one), "{} of {}", one, text);
            let reasons = plan.keep.iter().filter(|kept| kept.versions.iter().any(|s| s.contains(one)));
            prop_assert_eq!(reasons.count(), usize::from(!plan.deletes(one)), "{} of {}", one, text);
        }
    }
}
