use serde_json::json;

use super::*;
use crate::domain::release::Phase;

fn release() -> Value {
    json!({
        "application": "chat", "startedAt": "2026-11-20T12:00:00Z", "functions": [],
        "plan": {"steps": [{"weight": 10, "bakeSeconds": 0}, {"weight": 100, "bakeSeconds": 0}]},
        "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "leave"}, "blueHours": 24,
        "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 0}, "steps": [], "evidence": {},
    })
}

fn outcome() -> Value {
    json!({"deploymentStatus": "NO_CHANGE", "application": "chat", "functions": [], "reason": "same",
        "evidence": {}, "steps": []})
}

#[allow(clippy::needless_pass_by_value)] // What `json!` makes.
fn with(mut state: Value, more: Value) -> Value {
    let fields = state.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    state
}

fn ending() -> Value {
    json!({"askedFor": false, "error": "DeploymentRolledBack", "cause": "{}", "outcome": outcome()})
}

fn wiring() -> Value {
    json!({"wiring": {"request": {"action": "wire"}, "written": [], "warnings": [], "locked": true,
        "looks": 2, "waitSeconds": 15}})
}

fn read(state: &Value) -> State {
    serde_json::from_value(state.clone()).unwrap()
}

#[test]
fn is_read_as_it_is_written() {
    let tagged = |tag: &str, state| with(state, json!({ "phase": tag }));
    for (state, name) in [
        (json!({"application": "chat", "functions": []}), "requested"),
        (tagged("wiring", wiring()), "wiring"),
        (tagged("inFlight", release()), "inFlight"),
        (
            tagged("finished", json!({"outcome": outcome()})),
            "finished",
        ),
        (tagged("rollingBack", ending()), "rollingBack"),
    ] {
        let one = read(&state);
        assert_eq!(<&str>::from(&one), name);
        let written = json!(one);
        assert_eq!(written.get(TAG), state.get(TAG), "{name}");
        assert_eq!(read(&written), one, "{name}");
    }
}

#[test]
fn reads_a_state_of_the_previous_version() {
    let failure = json!({"failure": {"Error": "Transient", "Cause": "busy"}});
    for (state, name) in [
        (wiring(), "wiring"),
        (with(wiring(), failure.clone()), "wiring"),
        (release(), "inFlight"),
        (
            with(release(), json!({"deploymentStatus": "SUCCESSFUL"})),
            "inFlight",
        ),
        (with(release(), failure.clone()), "inFlight"),
        (ending(), "rollingBack"),
        (with(outcome(), failure), "outcome"),
    ] {
        assert_eq!(<&str>::from(&read(&state)), name, "{state}");
    }
}

/// What StartExecution was given may name any field, and is a request all the same.
#[test]
fn distinguishes_requests_from_states() {
    for state in [
        json!({"action": "wire", "application": "chat", "wiring": {"looks": 2}}),
        json!({"phase": "inFlight", "application": "chat"}),
        json!({"action": "wire", "phase": "wiring", "wiring": wiring()["wiring"]}),
        with(
            release(),
            json!({"action": "rollback", "phase": "inFlight"}),
        ),
        json!({"phase": 7}),
        json!({"phase": "finished", "deploymentStatus": "SUCCESSFUL"}),
        json!({"outcome": outcome(), "next": "done"}),
        json!({"startedAt": "soon"}),
        json!("text"),
        json!(null),
    ] {
        assert_eq!(read(&state), State::Requested(state.clone()), "{state}");
    }
    let wrong = read(&json!({"startedAt": "soon"})).in_flight().unwrap_err();
    assert!(wrong.to_string().contains("missing field"), "{wrong}");
    let other = read(&outcome()).in_flight().unwrap_err();
    assert!(
        other.to_string().contains("outcome, not inFlight"),
        "{other}"
    );
}

#[test]
fn answers_are_taken_once_and_in_their_order() {
    let asked = json!({"decision": "ask", "resume": "shift",
        "approval": {"timeoutSeconds": 60, "onTimeout": "hold", "onDenied": "hold"},
        "approvalAnswer": {"decision": "reject", "by": "Ada"}, "answer": {"decision": "resume"}});
    let now = "2026-11-20T12:01:00Z".parse().unwrap();
    let in_flight = read(&with(release(), asked)).in_flight().unwrap();
    let (release, waited) = in_flight.answered(now).unwrap();
    assert!(waited);
    let words: Vec<_> = release
        .progress()
        .answers
        .iter()
        .map(|it| it.decision)
        .collect();
    assert_eq!(words, [AnswerKind::Reject, AnswerKind::Resume]);
    assert_eq!(release.progress().phase, Phase::Ready);
    let next = read(&json!(State::from(release.clone())))
        .in_flight()
        .unwrap();
    assert_eq!(next.answered(now).unwrap(), (release, false));
}

#[test]
fn rolls_back_on_an_unrecognized_answer() {
    let asked = json!({"decision": "hold", "resume": "shift", "reason": "no data",
        "answer": {"decision": "yes"}});
    let in_flight = read(&with(release(), asked)).in_flight().unwrap();
    let (release, waited) = in_flight
        .answered("2026-11-20T12:01:00Z".parse().unwrap())
        .unwrap();
    assert!(waited && release.progress().answers.is_empty());
    assert_eq!(release.progress().phase, Phase::RollingBack);
    assert_eq!(
        release.progress().reason,
        "unrecognized answer {\"decision\":\"yes\"}; expected an answer that was offered; no data"
    );
}
