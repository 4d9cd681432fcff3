//! A release, with an open question and without: fixtures for tests and for programs that render the page.

use chrono::TimeDelta;
use crossfade::display::thousands;
use crossfade::domain::{
    Timestamp,
    analysis::counts::{Counts, Minute},
    approval::{OnDenied, OnHoldTimeout, Question, QuestionKind, nonce::Nonce},
    decision::Decision,
    page_link::{Page, PageKey},
    record::{Record, Status, Why},
    step_record::StepRecord,
    weight::Weight,
};
use serde_json::json;

use crate::link::Link;
#[cfg(test)]
use crate::story::Story;

/// The moment of all of it.
///
/// # Panics
/// Never.
#[must_use]
pub fn now() -> Timestamp {
    "2026-11-21T03:12:40Z".parse().unwrap()
}

/// The link that opens it.
#[must_use]
pub fn link() -> Link {
    Link {
        release: "chat-2026-11-21-42".to_owned(),
        nonce: Nonce::from_random([7; 32]),
    }
}

/// What links to pages are signed with.
#[must_use]
pub fn key() -> PageKey {
    PageKey::from_random([9; 32])
}

/// The query of the link to the release's page, for a day.
///
/// # Panics
/// Never.
#[must_use]
pub fn query() -> String {
    let page = Page::Release {
        application: "chat".parse().unwrap(),
        release: link().release,
    };
    let link = key().link("", &page, now() + TimeDelta::days(1));
    link.trim_start_matches('?').to_owned()
}

/// What is asked.
///
/// # Panics
/// Never.
#[must_use]
pub fn asked(kind: QuestionKind) -> Question {
    let (blue, green) = met();
    let evidence = json!({
        "judge": {
            "decidedBy": "enoughSeen", "reason": "", "minutes": 14,
            "blue": {"invocations": blue.invocations, "errors": blue.errors},
            "green": {"invocations": green.invocations, "errors": green.errors},
            "blueErrorPercent": 0.09, "greenErrorPercent": 0.08, "eValue": 0.14, "threshold": 100.0,
            "functions": 1, "own": {"eValue": 0.14, "routing": 0.1, "past": 0.2},
            "pastRequests": 0, "pastHits": 0,
        },
        "validation": [{"functionName": "chat-assistant", "test": "health", "passed": true, "durationMs": 12.0}],
    });
    Question {
        kind,
        at: now() - TimeDelta::seconds(40),
        until: now() + TimeDelta::hours(23) + TimeDelta::minutes(59),
        weight: Weight::try_from(50).unwrap(),
        next: Decision::Shift,
        next_weight: Some(Weight::FULL),
        on_denied: (kind == QuestionKind::Approval).then_some(OnDenied::Hold),
        on_silence: "traffic is held as it is, and an operator is notified again".to_owned(),
        reason: format!(
            "approval is required with 50 % on green; {} of {} requests failed on green, {} of {} on blue; \
             2 alarms watched, none newly in ALARM",
            thousands(green.errors),
            thousands(green.invocations),
            thousands(blue.errors),
            thousands(blue.invocations)
        ),
        evidence: serde_json::from_value(evidence).unwrap(),
        nonce_hash: Some(link().nonce.hash()),
    }
}

/// The release's row.
///
/// # Panics
/// Never.
#[must_use]
pub fn record(asked: Question) -> Record {
    let began_at = now() - TimeDelta::minutes(17);
    let step = |weight: u8, minutes: i64| StepRecord {
        weight: Weight::try_from(weight).unwrap(),
        started_at: began_at + TimeDelta::minutes(minutes),
        in_force_at: None,
        ended_at: None,
        verdict: None,
    };
    let footprint = json!({
        "functions": [{
            "functionName": "chat-assistant", "alias": "production",
            "blueVersion": "41", "greenVersion": "42", "revisionId": null,
        }],
        "plan": {"steps": [
            {"weight": 10, "bakeSeconds": 300}, {"weight": 50, "bakeSeconds": 600},
            {"weight": 100, "bakeSeconds": 300},
        ], "approveBefore": 100},
    });
    Record {
        execution: "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:chat-2026-11-21-42".to_owned(),
        application: "chat".parse().unwrap(),
        status: Status::Held,
        began_at,
        ended_at: None,
        locks: Vec::new(),
        alarms: Vec::new(),
        footprint: Some(serde_json::from_value(footprint).unwrap()),
        weight: asked.weight,
        shift_begun: true,
        steps: vec![step(10, 1), step(50, 6)],
        token: Some("a token".to_owned()),
        asked: Some(Box::new(asked)),
        wish: None,
        on_hold_timeout: OnHoldTimeout::RollBack,
        why: None,
        retain_until: None,
        retention_ended_at: None,
        superseded_by: None,
    }
}

/// The row of a release that is in flight, and asks nothing.
#[must_use]
pub fn in_flight() -> Record {
    Record {
        status: Status::InFlight,
        token: None,
        asked: None,
        ..record(asked(QuestionKind::Hold))
    }
}

/// The row of a release that was rolled back, because green failed.
///
/// # Panics
/// Never.
#[must_use]
pub fn rolled_back() -> Record {
    let (blue, green) = met();
    let evidence = json!({
        "decidedBy": "errorTest",
        "alarms": [{"name": "chat-5xx", "state": "ALARM"}],
        "judge": {
            "decidedBy": "errorTest", "reason": "", "minutes": 14,
            "blue": {"invocations": blue.invocations, "errors": blue.errors},
            "green": {"invocations": green.invocations, "errors": 412},
            "blueErrorPercent": 0.09, "greenErrorPercent": 3.1, "eValue": 4_200.0, "threshold": 100.0,
            "functions": 1, "own": {"eValue": 4_200.0, "routing": 4_200.0, "past": 1.0},
            "pastRequests": 0, "pastHits": 0,
        },
    });
    Record {
        status: Status::RolledBack,
        weight: Weight::ZERO,
        ended_at: Some(now() - TimeDelta::minutes(1)),
        why: Some(Why {
            reason: "412 of 13,277 requests failed on green, 37 of 33,000 on blue".to_owned(),
            evidence: serde_json::from_value(evidence).unwrap(),
            at: now() - TimeDelta::minutes(2),
        }),
        ..in_flight()
    }
}

/// What the execution says of a release in flight that an operator has answered once.
#[cfg(test)]
pub(crate) fn story() -> Story {
    let at = now() - TimeDelta::minutes(8);
    let asked = serde_json::to_value(asked(QuestionKind::Hold)).unwrap();
    Story::of(&[crossfade::aws::executions::Told::State(json!({
        "application": "chat", "startedAt": now() - TimeDelta::minutes(17),
        "functions": [{"functionName": "chat-assistant", "alias": "production", "blueVersion": "41",
            "greenVersion": "42", "revisionId": null}],
        "plan": {"steps": [
            {"weight": 10, "bakeSeconds": 300}, {"weight": 50, "bakeSeconds": 600},
            {"weight": 100, "bakeSeconds": 300},
        ]},
        "analysis": {"slowerThanMs": 800}, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
        "position": {"step": 1, "waitedSeconds": 0, "waitSeconds": 60},
        "steps": [{"weight": 10, "startedAt": at}, {"weight": 50, "startedAt": at}],
        "reason": "no worse than blue so far", "evidence": asked["evidence"],
        "answers": [{"decision": "resume", "by": "Ada", "reason": "looks fine", "at": at, "weight": 10}],
        "warnings": ["a trigger calls $LATEST"],
    }))])
}

/// What both versions did, all minutes together.
fn met() -> (Counts, Counts) {
    let all = series();
    let all = all.iter().flatten();
    all.fold(
        (Counts::default(), Counts::default()),
        |(blue, green), minute| (blue.plus(minute.blue), green.plus(minute.green)),
    )
}

/// What both versions did in each minute.
#[must_use]
pub fn series() -> Vec<Vec<Minute>> {
    let began = now().timestamp() / 60 * 60 - 17 * 60;
    let minutes = (0..17_u64).zip((began..).step_by(60)).map(|(nth, start)| {
        let all = 3000 + nth * 97 % 230;
        let green = match nth {
            0 | 1 => 0,
            2..=6 => all / 10,
            _ => all / 2,
        };
        let counts = |invocations: u64, errors: u64| Counts {
            invocations,
            errors,
            ..Counts::default()
        };
        Minute {
            start,
            blue: counts(all - green, 1 + nth * 7 % 5),
            green: counts(green, if green > 0 { nth * 5 % 3 } else { 0 }),
            green_p99_ms: None,
        }
    });
    vec![minutes.collect()]
}
