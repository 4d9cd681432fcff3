use serde_json::json;

use super::*;

fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    noon + chrono::TimeDelta::seconds(seconds)
}

fn release(steps: &Value, more: &Value) -> Value {
    let mut release = json!({
        "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
        "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 300}, {"weight": 100, "bakeSeconds": 0}]},
            "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 60, "waitSeconds": 60},
            "steps": steps});
    let fields = release.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    release
}

fn judged() -> Value {
    json!({"judge": {"decidedBy": "enoughSeen", "reason": "fine", "minutes": 3,
        "blue": {"invocations": 900, "errors": 9}, "green": {"invocations": 100, "errors": 2},
        "blueErrorPercent": 1.0, "greenErrorPercent": 2.0, "eValue": 0.8, "threshold": 100.0,
        "functions": 1, "own": {"eValue": 0.8, "routing": 0.8, "past": 1.0},
        "pastRequests": 0, "pastHits": 0}})
}

fn told(events: Vec<What>) -> (Timeline, Vec<String>) {
    let mut story = Timeline::default();
    let lines = (1..)
        .zip(events)
        .filter_map(|(id, what)| {
            story.apply(Event {
                id,
                at: at(id),
                what,
            })
        })
        .map(|told| told.text)
        .collect();
    (story, lines)
}

fn entered(state: &str, input: Value) -> What {
    What::Entered {
        state: state.into(),
        task: !matches!(state, "Bake" | "Decide"),
        input,
    }
}

fn exited(state: &str, output: Value) -> What {
    What::Exited {
        state: state.into(),
        output,
    }
}

fn baking() -> Vec<What> {
    let taken = json!([{"weight": 10, "startedAt": "2026-11-20T12:00:10Z", "verdict": "healthy"}]);
    let looked = release(
        &taken,
        &json!({"decision": "bakeOn", "evidence": judged(), "reason": "fine"}),
    );
    vec![
        What::Started {
            input: json!({"application": "chat",
            "functions": [{"functionName": "f", "alias": "live"}], "strategy": "Canary10Percent5Minutes"}),
        },
        entered("DeployGreen", json!({})),
        What::Called,
        exited("DeployGreen", release(&json!([]), &json!({}))),
        entered("ValidateGreen", json!({})),
        exited("ValidateGreen", release(&json!([]), &json!({}))),
        entered("ShiftTraffic", json!({})),
        exited("ShiftTraffic", release(&taken, &json!({}))),
        entered("CheckAlarms", json!({})),
        exited("CheckAlarms", looked),
        entered("Decide", json!({})),
        exited("Decide", json!({})),
        entered("Bake", json!({})),
    ]
}

#[test]
fn renders_one_line_per_event() {
    let (story, lines) = told(baking());
    assert_eq!(
        lines,
        [
            "release of chat began: 10 % for 5 min, 100 % for 0 s",
            "green is made: f 1 -> 2",
            "green is ready; it has no smoke tests",
            "10 % on green, step 1 of 2, to bake for 5 min",
            "healthy, bakes on; green 2.00 % of 100, blue 1.00 % of 900 failed, e-value 0.80 of 100",
        ]
    );
    assert_eq!(
        (story.read, story.application.as_deref()),
        (13, Some("chat"))
    );
}

#[test]
fn marks_a_look_that_found_nothing_new() {
    let taken = json!([{"weight": 10, "startedAt": "2026-11-20T12:00:10Z", "verdict": "healthy"}]);
    let look = |decision: &str, more: Value| {
        let mut more = json!({"evidence": judged(), "reason": "fine", "warnings": more});
        more["decision"] = decision.into();
        [
            entered("CheckAlarms", json!({})),
            exited("CheckAlarms", release(&taken, &more)),
        ]
    };
    let mut events = baking();
    events.extend(look("bakeOn", json!([])));
    events.extend(look("bakeOn", json!(["an alarm has no data"])));
    events.extend(look("bakeOn", json!([])));
    events.extend(look("shift", json!([])));
    let mut story = Timeline::default();
    let entries = (1..).zip(events).filter_map(|(id, what)| {
        let at = at(id);
        story.apply(Event { id, at, what })
    });
    let unchanged: Vec<_> = entries.map(|told| told.unchanged).collect();
    // The first four are no looks; a warning is news, and so is another decision.
    assert_eq!(
        unchanged,
        [false, false, false, false, false, true, false, true, false]
    );
}

#[test]
fn advances_the_bake_between_looks() {
    let (story, _) = told(baking());
    let now = story.now(at(13 + 20));
    assert_eq!(now.weight.whole(), Some(10));
    assert!(
        now.told
            .starts_with("step 1 of 2, bakes 80 of 300 s; green 2.00 %"),
        "{}",
        now.told
    );
    // However late it is looked at, no more is waited than that.
    assert!(story.now(at(9000)).told.contains("bakes 120 of 300 s"));
}

#[test]
fn answers_and_failures_have_their_words() {
    let mut events = baking();
    events.extend([
        entered("Hold", release(&json!([]), &json!({"reason": "too few requests"}))),
        exited("Hold", json!({"answer": {"decision": "resume", "by": "ann", "reason": "seen it"}})),
        entered("CheckAlarms", release(&json!([]), &json!({"answer": {"decision": "resume"}}))),
        exited("CheckAlarms", release(&json!([]), &json!({"next": "shift"}))),
        entered("ShiftTraffic", json!({})),
        What::Called,
        What::Failed(Failure { error: "Transient".into(), cause: json!({"errorMessage": "busy"}).to_string() }),
        What::Called,
        exited("ShiftTraffic", json!({"failure": {"Error": "ChangedOutside",
            "Cause": json!({"errorType": "ChangedOutside", "errorMessage": "not ours"}).to_string()}})),
        entered("RollbackDeployment", json!({"failure": {"Error": "ChangedOutside", "Cause": "not ours"}})),
        exited("RollbackDeployment", json!({"outcome": {"deploymentStatus": "HELD", "reason": "not ours"}})),
        What::Ended(Box::new(Ended::of("FAILED", None, Some("ChangedOutside".into()), None))),
    ]);
    let (story, lines) = told(events);
    assert_eq!(
        lines[5..],
        [
            "held: waits for an operator for up to 1 min, with 10 % on green; too few requests",
            "ann answered resume: seen it",
            "ShiftTraffic is tried again: Transient: busy",
            "ShiftTraffic failed: ChangedOutside: not ours",
            "all traffic returns to blue: ChangedOutside: not ours",
            "traffic is not on blue; not ours",
            "changed outside (ChangedOutside); see docs/errors/ChangedOutside.md",
        ]
    );
    assert!(story.ended.is_some());
}

#[test]
fn says_no_more_of_a_release_that_has_ended() {
    let outcome = json!({"deploymentStatus": "SUCCESSFUL", "reason": "green has all traffic"});
    let failure = json!({"Error": "States.Timeout", "Cause": ""});
    let ended = json!({"outcome": outcome, "failure": failure});
    let (_, lines) = told(vec![
        entered("FinalizeDeployment", json!({})),
        exited(
            "FinalizeDeployment",
            json!({"next": "hook", "outcome": outcome}),
        ),
        entered("RunHook", json!({ "outcome": outcome })),
        exited("RunHook", ended.clone()),
        entered("RollbackDeployment", ended),
        exited(
            "RollbackDeployment",
            json!({"next": "done", "outcome": outcome}),
        ),
    ]);
    assert_eq!(
        lines,
        ["green has all traffic", "RunHook failed: States.Timeout"]
    );
}

#[test]
fn tells_which_version_serves_after_a_way_back() {
    let ended = |outcome: serde_json::Value| {
        let (_, lines) = told(vec![
            entered("RollbackDeployment", json!({})),
            exited("RollbackDeployment", json!({ "outcome": outcome })),
        ]);
        lines.last().cloned().unwrap_or_default()
    };
    let functions = json!([{"functionName": "chat", "serving": "1"}, {"functionName": "shop"}]);
    assert_eq!(
        ended(json!({"reason": "late", "functions": functions})),
        "blue has all traffic (chat: version 1); late"
    );
    assert_eq!(
        ended(json!({"reason": "no blue", "deploymentStatus": "HELD"})),
        "traffic is not on blue; no blue"
    );
}

#[test]
fn speaks_of_no_rollback_before_the_first_shift() {
    let why = json!({"errorType": "Refused", "errorMessage": "no such image"}).to_string();
    let failure = json!({"failure": {"Error": "Refused", "Cause": why}});
    let outcome = json!({"deploymentStatus": "REJECTED", "application": "chat",
        "functions": [], "reason": "Refused: no such image"});
    let end = Ended::of(
        "FAILED",
        None,
        Some("ValidationFailed".into()),
        Some(outcome.to_string()),
    );
    let (_, lines) = told(vec![
        entered("DeployGreen", json!({})),
        What::Called,
        exited("DeployGreen", failure.clone()),
        entered("RollbackDeployment", failure),
        exited("RollbackDeployment", json!({ "outcome": outcome })),
        What::Ended(Box::new(end)),
    ]);
    assert_eq!(
        lines,
        [
            "DeployGreen failed: Refused: no such image",
            "the release ends before its first shift",
            "no traffic was moved",
            "rejected (ValidationFailed): Refused: no such image; see docs/errors/ValidationFailed.md",
        ]
    );
}

#[test]
fn tells_each_warning_once_with_what_happened() {
    let warned = |warnings: Value| release(&json!([]), &json!({ "warnings": warnings }));
    let outcome = json!({"deploymentStatus": "SUCCESSFUL", "application": "chat",
        "functions": [], "reason": "fine", "warnings": ["a", "b", "c"]});
    let mut story = Timeline::default();
    let events = [
        entered("DeployGreen", json!({})),
        exited("DeployGreen", warned(json!(["a"]))),
        entered("ValidateGreen", json!({})),
        exited("ValidateGreen", warned(json!(["a", "b"]))),
        What::Ended(Box::new(Ended::of(
            "SUCCEEDED",
            Some(&outcome.to_string()),
            None,
            None,
        ))),
    ];
    let told: Vec<_> = (1..)
        .zip(events)
        .filter_map(|(id, what)| {
            story.apply(Event {
                id,
                at: at(id),
                what,
            })
        })
        .collect();
    let warnings: Vec<_> = told.iter().map(|one| one.warnings.join(",")).collect();
    assert_eq!(warnings, ["a", "b", "c"]);
    assert!(
        told[0].line().ends_with("\n  warning: a"),
        "{}",
        told[0].line()
    );
}

#[test]
fn renders_unknown_states() {
    let (_, lines) = told(vec![
        entered("RunMigration", json!({})),
        exited("RunMigration", json!({})),
        entered("StateOfAnotherVersion", json!({})),
        exited("StateOfAnotherVersion", json!({})),
    ]);
    assert_eq!(
        lines,
        ["RunMigration is done", "StateOfAnotherVersion is done"]
    );
}
