//! Each thing that can be wrong, alone.

use super::*;

fn subscription(endpoint: &str, pending: bool) -> Subscription {
    Subscription {
        protocol: "email".into(),
        endpoint: endpoint.into(),
        pending,
    }
}

fn parts() -> Parts {
    let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
    Parts {
        starts: Ok(true),
        describes: Ok(true),
        ledger: Ok(()),
        people: Ok(vec![subscription("ada@example.com", false)]),
        chat: Ok(Vec::new()),
        rules: vec![Rule {
            check: "alarm rule",
            function: "crossfade-restore-blue".into(),
            seen: Ok(SeenRule {
                name: "r".into(),
                enabled: true,
                targets: vec!["arn:aws:lambda:r:1:function:crossfade-restore-blue".into()],
            }),
        }],
        sweep: Ok(Some(now - chrono::TimeDelta::minutes(4))),
        now,
        queues: vec![
            Queue {
                holds: "events that a function failed on",
                messages: Ok(0),
            },
            Queue {
                holds: "events that were not delivered",
                messages: Ok(0),
            },
        ],
        alarms: Ok(vec![("crossfade-stuck".into(), "OK".into())]),
        event: TestEvent::Sent(Ok(true), 3),
    }
}

fn seen() -> Seen {
    Seen {
        region: "eu-west-1".into(),
        credentials: Ok(()),
        stack: Ok(Some(Installation {
            name: "crossfade".into(),
            status: "UPDATE_COMPLETE".into(),
            version: Some("0.1.3".into()),
        })),
        parts: Some(parts()),
    }
}

/// The only check that is not ok, after a change of what is seen.
fn only(change: impl FnOnce(&mut Seen)) -> Check {
    let mut seen = seen();
    change(&mut seen);
    let mut odd = judge(&seen, "0.1.0");
    odd.retain(|check| check.verdict != Verdict::Ok);
    assert_eq!(odd.len(), 1, "{odd:?}");
    odd.remove(0)
}

fn of(change: impl FnOnce(&mut Parts)) -> Check {
    only(|seen| change(seen.parts.as_mut().expect("it has parts")))
}

#[test]
fn finds_nothing_wrong_with_a_sound_installation() {
    let checks = judge(&seen(), "0.1.0");
    assert_eq!(checks.len(), 11);
    assert!(
        checks.iter().all(|check| check.verdict == Verdict::Ok),
        "{checks:?}"
    );
    assert_eq!(exit(&checks), Exit::Done);
}

#[test]
fn stops_at_what_hides_the_rest() {
    let mut without = seen();
    without.credentials = Err("no credentials".into());
    let checks = judge(&without, "0.1.0");
    assert_eq!((checks.len(), exit(&checks)), (1, Exit::Wrong));
    let mut without = seen();
    (without.stack, without.parts) = (Ok(None), None);
    let checks = judge(&without, "0.1.0");
    assert_eq!((checks.len(), exit(&checks)), (2, Exit::Wrong));
}

#[test]
fn judges_the_stack_by_its_status() {
    for (status, verdict) in [
        ("UPDATE_IN_PROGRESS", Verdict::CouldNotTell),
        ("UPDATE_ROLLBACK_COMPLETE", Verdict::Wrong),
        ("ROLLBACK_COMPLETE", Verdict::Wrong),
        ("DELETE_FAILED", Verdict::Wrong),
    ] {
        let check = only(|seen| {
            if let Ok(Some(stack)) = &mut seen.stack {
                stack.status = status.to_owned();
            }
        });
        assert_eq!((check.name, check.verdict), ("stack", verdict), "{status}");
    }
}

#[test]
fn compares_versions_by_what_they_promise() {
    let stack = |version: Option<&str>| Installation {
        name: "crossfade".into(),
        status: "CREATE_COMPLETE".into(),
        version: version.map(str::to_owned),
    };
    for (deployed, own, verdict) in [
        (Some("0.1.3"), "0.1.0", Verdict::Ok),
        (Some("0.2.0"), "0.1.0", Verdict::Wrong),
        (Some("1.4.0"), "1.2.0", Verdict::Ok),
        (Some("2.0.0"), "1.9.0", Verdict::Wrong),
        (Some("main"), "0.1.0", Verdict::CouldNotTell),
        (None, "0.1.0", Verdict::CouldNotTell),
    ] {
        let check = version(&stack(deployed), own);
        assert_eq!(check.verdict, verdict, "{deployed:?} {own}");
    }
}

#[test]
fn names_what_is_wrong_and_what_to_do() {
    for (check, name, says) in [
        (
            of(|it| it.starts = Ok(false)),
            "permissions",
            "may not start releases",
        ),
        (
            of(|it| it.describes = Ok(false)),
            "permissions",
            "may not describe them",
        ),
        (
            of(|it| it.people = Ok(Vec::new())),
            "notices",
            "no one is subscribed",
        ),
        (
            of(|it| it.people = Ok(vec![subscription("bob@example.com", true)])),
            "notices",
            "not confirmed: email bob@example.com",
        ),
        (
            of(|it| it.chat = Ok(vec![subscription("bob@example.com", true)])),
            "chat",
            "not confirmed",
        ),
        (
            of(|it| it.rules[0].seen.as_mut().unwrap().enabled = false),
            "alarm rule",
            "is disabled",
        ),
        (
            of(|it| it.rules[0].seen.as_mut().unwrap().targets.clear()),
            "alarm rule",
            "invokes nothing",
        ),
        (
            of(|it| it.rules[0].function = "crossfade-2-restore-blue".into()),
            "alarm rule",
            "not crossfade-2-restore-blue",
        ),
        (
            of(|it| it.queues[1].messages = Ok(2)),
            "queues",
            "2 events that were not delivered",
        ),
        (
            of(|it| it.alarms = Ok(vec![("crossfade-stuck".into(), "ALARM".into())])),
            "alarms",
            "firing: crossfade-stuck",
        ),
        (
            of(|it| it.event = TestEvent::Sent(Ok(false), 60)),
            "test event",
            "for 60 s",
        ),
    ] {
        assert_eq!((check.name, check.verdict), (name, Verdict::Wrong));
        assert!(check.found.contains(says), "{}", check.found);
        assert!(check.advice.is_some(), "{check:?}");
        assert_eq!(exit(&[check]), Exit::Wrong);
    }
}

#[test]
fn does_not_call_unknown_what_is_wrong_nor_well() {
    let why = || "AccessDeniedException".to_owned();
    for (check, name) in [
        (
            only(|seen| (seen.stack, seen.parts) = (Err(why()), None)),
            "stack",
        ),
        (of(|it| it.starts = Err(why())), "permissions"),
        (of(|it| it.ledger = Err(why())), "permissions"),
        (of(|it| it.people = Err(why())), "notices"),
        (of(|it| it.rules[0].seen = Err(why())), "alarm rule"),
        (of(|it| it.sweep = Ok(None)), "sweep"),
        (of(|it| it.sweep = Err(why())), "sweep"),
        (of(|it| it.queues[0].messages = Err(why())), "queues"),
        (of(|it| it.alarms = Err(why())), "alarms"),
        (
            of(|it| it.event = TestEvent::Sent(Err(why()), 0)),
            "test event",
        ),
    ] {
        assert_eq!((check.name, check.verdict), (name, Verdict::CouldNotTell));
        assert_eq!(exit(std::slice::from_ref(&check)), Exit::CouldNotTell);
        assert!(check.line().starts_with("not known  "), "{}", check.line());
    }
}
