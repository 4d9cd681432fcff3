//! The definition of version 0.1, which executions in flight at an update still have, with the handlers of today.

use std::fs;

use crossfade::{
    domain::{decision::Decision, release::Release, status::DeploymentStatus},
    wire::{
        graph::{End, Next, Output},
        outcome::{EndError, Ending, Outcome},
        task::Task,
    },
};
use crossfade_tests::paths;
use serde_json::{Map, Value, json};
use strum::VariantNames as _;

use super::{checked, choose, collect};

fn states() -> Map<String, Value> {
    let path = paths::repository().join("tests/tests/contract/before.asl.json");
    let text = fs::read_to_string(path).expect("the definition is there");
    let definition: Value = serde_json::from_str(&text).expect("it is JSON");
    definition["States"]
        .as_object()
        .expect("it has states")
        .clone()
}

/// A state with the word that a handler of today adds.
fn worded(state: Value) -> Value {
    let release: Release = serde_json::from_value(state).expect("it is a release");
    json!(Output::of(release, Next::of))
}

#[test]
fn handles_every_decision() {
    let decide = &states()["Decide"];
    for word in Decision::VARIANTS {
        let next = choose(decide, &worded(checked(word)));
        let expected = match *word {
            "bakeOn" => "Bake",
            "awaitDns" => "AwaitDns",
            "runHook" => "RunHook",
            "shift" => "ShiftTraffic",
            "ask" => "AwaitApproval",
            "hold" => "Hold",
            "promote" => "DeploymentSuccessful",
            "rollBack" => "RollbackDeployment",
            other => panic!("a new decision: {other}"),
        };
        assert_eq!(next, expected, "{word}");
    }
    let mut words = Vec::new();
    collect(decide, "StringEquals", &mut words);
    for word in words {
        let word = word.as_str().expect("a word is text");
        assert!(Decision::VARIANTS.contains(&word), "nobody decides {word}");
    }
    assert_eq!(
        decide["Default"], "RollbackDeployment",
        "any other word rolls back"
    );
}

#[test]
fn answers_former_choices() {
    let states = states();
    let choose = |name: &str, input: Value| choose(&states[name], &input);
    assert_eq!(choose("Route", json!({})), "DeployGreen");
    assert_eq!(choose("Route", json!({"action": "release"})), "DeployGreen");
    for action in [json!("rollback"), json!("pause"), json!(1), json!(null)] {
        let next = choose("Route", json!({ "action": action }));
        assert_eq!(next, "RollbackDeployment", "{action}");
        let next = choose("Route", json!({ "action": action, "frontDoor": {} }));
        assert_eq!(next, "RollbackDeployment", "{action}");
    }
    for version in [json!("3"), json!(3)] {
        let back = json!({"action": "rollback", "toVersion": version});
        assert_eq!(choose("Route", back), "DeployGreen");
    }
    for wired in [
        json!({"action": "wire"}),
        json!({"action": "unwire"}),
        json!({"action": "release", "frontDoor": {}}),
        json!({"frontDoor": {}}),
    ] {
        assert_eq!(choose("Route", wired.clone()), "WireFrontDoor", "{wired}");
    }
    let settling = json!({"next": "awaitStage", "wiring": {"waitSeconds": 15}});
    assert_eq!(choose("FrontDoorReady", settling), "SettleFrontDoor");
    let wired = json!(ended(DeploymentStatus::NoChange));
    assert_eq!(choose("FrontDoorReady", wired), "FrontDoorWired");
    let release = json!({"next": "deploy", "application": "chat", "frontDoor": {}});
    assert_eq!(choose("FrontDoorReady", release), "DeployGreen");
    assert_eq!(
        choose("AnythingToRelease", worded(checked("bakeOn"))),
        "ValidateGreen"
    );
    let unchanged = json!(ended(DeploymentStatus::NoChange));
    assert_eq!(choose("AnythingToRelease", unchanged), "NothingToRelease");
    let mut reached = checked("bakeOn");
    reached["idleWaitSeconds"] = json!(120);
    assert_eq!(choose("AnythingToRelease", reached), "AwaitIdle");

    let mut promoted = worded(checked("promote"));
    assert_eq!(
        choose("DeploymentSuccessful", promoted.clone()),
        "RollbackDeployment"
    );
    promoted["deploymentStatus"] = json!("SUCCESSFUL");
    assert_eq!(
        choose("DeploymentSuccessful", promoted),
        "FinalizeDeployment"
    );

    for (answer, resume, next) in [
        (
            json!({"decision": "promote"}),
            "shift",
            "FinalizeDeployment",
        ),
        (
            json!({"decision": "resume"}),
            "promote",
            "FinalizeDeployment",
        ),
        (json!({"decision": "resume"}), "shift", "BeforeShift"),
        (
            json!({"decision": "rollBack"}),
            "shift",
            "RollbackDeployment",
        ),
        (
            json!({"decision": "perhaps"}),
            "shift",
            "RollbackDeployment",
        ),
        (json!({}), "shift", "RollbackDeployment"),
    ] {
        let mut held = worded(checked("hold"));
        held["answer"] = answer.clone();
        held["resume"] = json!(resume);
        assert_eq!(choose("HoldAnswer", held), next, "{answer} {resume}");
    }
    assert_eq!(
        choose("RollbackAskedFor", json!({"askedFor": true})),
        "RollbackComplete"
    );
    assert_eq!(
        choose("RollbackAskedFor", json!({"askedFor": false})),
        "DeploymentRolledBack"
    );
    your_functions(&states);
    // None is left out.
    let choices = states
        .values()
        .filter(|state| state["Type"] == "Choice")
        .count();
    assert_eq!(choices, 13);
}

/// The choices about migrations and hooks.
fn your_functions(states: &Map<String, Value>) {
    let choose = |name: &str, input: &Value| choose(&states[name], input);
    let with = |field: &str, value: Value| {
        let mut state = checked("shift");
        state[field] = value;
        worded(state)
    };
    let migration = |ran| {
        with(
            "migration",
            json!({"phase": "expand", "afterRollback": "freeze", "ran": ran}),
        )
    };
    let before = with("hooks", json!({"beforeShift": {"functionName": "f"}}));
    let after = with("hooks", json!({"afterShift": {"functionName": "f"}}));
    for state in ["ApprovalFirst", "BeforeShift"] {
        assert_eq!(choose(state, &checked("shift")), "ShiftTraffic");
        assert_eq!(choose(state, &migration(false)), "RunMigrations");
        assert_eq!(choose(state, &migration(true)), "ShiftTraffic");
        assert_eq!(choose(state, &before), "RunHook");
        assert_eq!(choose(state, &after), "ShiftTraffic");
    }
    assert_eq!(choose("Decide", &before), "RunHook");
    assert_eq!(choose("Decide", &after), "ShiftTraffic");

    let hook = |point: &str, status: &str| {
        json!({"point": point, "functionName": "f", "timeoutSeconds": 60, "status": status, "asked": 1,
            "waitedSeconds": 1, "waitSeconds": 30})
    };
    for (point, status, next) in [
        ("beforeShift", "IN_PROGRESS", "AwaitHook"),
        ("beforeShift", "SUCCEEDED", "ShiftTraffic"),
        ("afterShift", "IN_PROGRESS", "AwaitHook"),
        ("afterShift", "SUCCEEDED", "Bake"),
        ("afterShift", "FAILED", "RollbackDeployment"),
        ("afterShift", "DUE", "RollbackDeployment"),
    ] {
        let mut state = with("hook", hook(point, status));
        assert_eq!(choose("HookAnswered", &state), next, "{point} {status}");
        state["failure"] = json!({"Error": "ValidationFailed"});
        assert_eq!(
            choose("HookAnswered", &state),
            "RollbackDeployment",
            "{point} {status}"
        );
    }
    let outcome = ended(DeploymentStatus::Successful);
    let ending = Ending {
        asked_for: false,
        error: EndError::DeploymentRolledBack,
        cause: String::new(),
        outcome: outcome.clone(),
        undo: false,
        hook: None,
    };
    assert_eq!(
        choose("AfterPromote", &json!(outcome)),
        "DeploymentComplete"
    );
    for (ended, goes_on) in [
        (json!(outcome), "DeploymentComplete"),
        (
            json!(Output::of(ending.clone(), Next::rolled_back)),
            "RollbackAskedFor",
        ),
    ] {
        assert_eq!(choose("HookAnswered", &ended), goes_on, "it is over");
        let mut asking = ended;
        asking["hook"] = hook("afterPromote", "IN_PROGRESS");
        assert_eq!(choose("HookAnswered", &asking), "AwaitHook");
        asking["failure"] = json!({"Error": "States.Timeout"});
        assert_eq!(
            choose("HookAnswered", &asking),
            goes_on,
            "it has changed nothing"
        );
    }
    let mut asking = json!(outcome);
    asking["hook"] = hook("afterPromote", "DUE");
    assert_eq!(choose("AfterPromote", &asking), "RunHook");

    let mut ended = json!(ending);
    ended["hook"] = hook("afterRollback", "DUE");
    assert_eq!(choose("RollbackAskedFor", &ended), "RunHook");
    ended["undo"] = json!(true);
    assert_eq!(choose("RollbackAskedFor", &ended), "UndoMigration");
    ended["failure"] = json!({"Error": "States.Timeout"});
    assert_eq!(choose("RollbackAskedFor", &ended), "DeploymentRolledBack");
    let mut held = json!(ending);
    held["error"] = json!("DeploymentHeld");
    assert_eq!(choose("RollbackAskedFor", &held), "DeploymentHeld");
}

/// The end of an execution whose tasks name no state, as a handler of today gives it.
fn ended(status: DeploymentStatus) -> Outcome {
    let release: Release = serde_json::from_value(checked("promote")).expect("it is a release");
    let task = json!({"execution": "e", "now": "2026-11-20T12:00:00Z", "state": {}});
    let task: Task = serde_json::from_value(task).expect("it is a task");
    match End::of(&task, Outcome::of(&release, status, String::new()), None) {
        End::Outcome(outcome) => *outcome,
        End::Finished(finished) => panic!("it has no path for {finished:?}"),
    }
}
