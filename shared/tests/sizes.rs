//! How large things become, for as long a train as can be: what AWS passes and keeps has limits.

use crossfade::{
    domain::release::Release,
    parse::size::MAX_REQUEST_BYTES,
    wire::outcome::{MAX_CAUSE, Outcome},
};
use serde_json::json;

/// A train of as many functions as can be, each name as long as can be, at the end of as long a plan.
fn longest_release() -> Release {
    let share = json!({"requests": 12_345_678, "hits": 12_345, "calmRequests": 12_345_678,
        "calmHits": 12_345, "spells": 0.000_123_456_789_012_345, "unwell": 0.123_456_789_012_345_67,
        "spread": 12.345_678_901_234_567, "stick": 1.234_567_890_123_456_7});
    let name = |nth: u32| format!("{nth:064}");
    let functions: Vec<_> = (0..50)
        .map(|nth| {
            json!({"functionName": name(nth), "alias": format!("a{nth:0127}"),
                "blueVersion": "123456", "greenVersion": "123457",
                "revisionId": "0c9a2f14-3f0e-4a55-8f0e-5f0c0a6e3b21"})
        })
        .collect();
    let past: serde_json::Map<_, _> = (0..50)
        .map(|nth| (name(nth), json!({"errors": share, "slow": share})))
        .collect();
    let plan: Vec<_> = (1..=100)
        .map(|weight| json!({"weight": weight, "bakeSeconds": 86_400}))
        .collect();
    let steps: Vec<_> = (1..=100)
        .map(|weight| {
            json!({"weight": weight, "startedAt": "2026-11-21T12:00:00.123Z",
                "endedAt": "2026-11-21T12:10:00.123Z", "verdict": "healthy"})
        })
        .collect();
    let alarm = |nth: u32| format!("{nth:0255}");
    let alarms: Vec<_> = (0..40).map(alarm).collect();
    let readings: Vec<_> = (0..40)
        .map(|nth| {
            json!({"name": alarm(nth), "state": "INSUFFICIENT_DATA",
                "since": "2026-11-21T12:00:00.123Z"})
        })
        .collect();
    let proofs: Vec<_> = (0..10)
        .map(|_| json!({"functionName": name(0), "failures": vec!["x".repeat(250); 6]}))
        .collect();
    serde_json::from_value(json!({
        "application": "chat", "startedAt": "2026-11-20T12:00:00.123Z", "about": longest_about(),
        "functions": functions, "past": past, "plan": {"steps": plan},
        "analysis": {"alarms": alarms}, "preexistingAlarms": alarms,
        "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
        "warnings": vec!["w".repeat(300); 31],
        "position": {"step": 99, "waitedSeconds": 0, "waitSeconds": 60}, "steps": steps,
        "reason": "r".repeat(1000),
        "evidence": {"decidedBy": "noData", "alarms": readings, "validation": proofs}}))
    .unwrap()
}

#[test]
fn fits_the_longest_train_into_half_a_state() {
    let release = longest_release();
    let bytes = json!(release).to_string().len();
    println!("the longest release: {bytes} bytes");
    assert!(bytes < 128 * 1024, "{bytes} bytes");
    // Before the first shift it is handed on beside the request.
    let mut early = json!(release);
    for field in ["steps", "reason", "evidence"] {
        early.as_object_mut().unwrap().remove(field);
    }
    let early = early.to_string().len();
    println!("before its first shift: {early} bytes");
    assert!(
        early + MAX_REQUEST_BYTES + 1024 < 256 * 1024,
        "{early} bytes"
    );
    // The ledger keeps it once for each alarm, in one transaction, which may have 4 MB in all,
    // and a row may have 400 KB.
    let kept = json!(release.footprint()).to_string().len();
    println!("its footprint: {kept} bytes");
    assert!(41 * kept < 2 * 1024 * 1024, "{kept} bytes");
}

/// What a release is, as long as it can be said.
fn longest_about() -> serde_json::Value {
    json!({"description": "é".repeat(256), "commit": "c".repeat(128), "by": "é".repeat(100),
        "url": format!("https://{}.example/", "u".repeat(2031))})
}

/// The outcome of as long a train as can be, each name as long as can be.
fn longest_outcome() -> Outcome {
    let functions: Vec<_> = (0..50)
        .map(|nth| {
            json!({"functionName": format!("{nth:064}"), "alias": format!("a{nth:0127}"),
                "blueVersion": "123456", "greenVersion": "123457"})
        })
        .collect();
    let steps: Vec<_> = (1..=100)
        .map(|weight| {
            json!({"weight": weight, "startedAt": "2026-11-21T12:00:00.123Z",
                "endedAt": "2026-11-21T12:10:00.123Z", "verdict": "healthy"})
        })
        .collect();
    let alarms: Vec<_> = (0..40)
        .map(|nth| {
            json!({"name": format!("{nth:0255}"), "state": "ALARM",
                "since": "2026-11-21T12:00:00.123Z"})
        })
        .collect();
    let proofs: Vec<_> = (0..10)
        .map(|_| json!({"failures": ["x".repeat(1000)]}))
        .collect();
    serde_json::from_value(json!({
        "deploymentStatus": "ROLLED_BACK", "application": "chat", "functions": functions,
        "about": longest_about(),
        "reason": "r".repeat(30_000), "steps": steps, "warnings": vec!["w".repeat(300); 30],
        "evidence": {"decidedBy": "alarm", "alarms": alarms, "validation": proofs},
    }))
    .unwrap()
}

#[test]
fn fits_the_longest_outcome_into_a_cause() {
    let longest = longest_outcome();
    assert!(json!(longest).to_string().len() > 2 * MAX_CAUSE);
    let cause = longest.to_cause();
    assert!(cause.len() <= MAX_CAUSE, "{} bytes", cause.len());
    let cause: Outcome = serde_json::from_str(&cause).unwrap();
    assert_eq!(cause.functions, longest.functions);
    assert_eq!(cause.steps.last(), longest.steps.last());
    assert!(cause.warnings[0].contains("notification"));
}

#[test]
fn keeps_what_fits_whole() {
    let mut outcome = longest_outcome();
    outcome.reason = "because".into();
    outcome.warnings.truncate(2);
    outcome.evidence.alarms.truncate(2);
    outcome.evidence.validation.clear();
    outcome.steps.truncate(10);
    let cause: Outcome = serde_json::from_str(&outcome.to_cause()).unwrap();
    assert_eq!(cause, outcome);
}
