//! The graph: small, with one hub, and named as in the code.

use std::{collections::BTreeSet, process::Command};

use crossfade::{
    domain::{
        Timestamp,
        approval::{Answer, AnswerKind, QuestionKind},
        decision::Decision,
        release::{Event, Release},
        status::DeploymentStatus,
    },
    wire::{
        graph::{End, Next, Output},
        outcome::{Ending, Finished, Outcome},
        state_name::StateName,
        task::Task,
    },
};
use crossfade_tests::paths;
use serde_json::{Value, json};
use strum::{VariantArray, VariantNames as _};

use super::{checked, choose, collect, states};

/// A person reads it in five seconds.
const MOST_STATES: usize = 24;
const MOST_TRANSITIONS: usize = 50;

#[test]
fn generates_the_definitions() {
    let checked = Command::new(paths::tool("python"))
        .arg(paths::repository().join("statemachine/generate.py"))
        .arg("--check")
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}

#[test]
fn bounds_the_size_of_the_graph() {
    let mut transitions = 0;
    for state in states().values_mut() {
        let fields = state.as_object_mut().expect("a state has fields");
        fields.remove("Catch");
        transitions += usize::from(fields.contains_key("Default"));
        let mut next = Vec::new();
        collect(state, "Next", &mut next);
        transitions += next.len();
    }
    println!(
        "graph: {} states, {transitions} transitions",
        states().len()
    );
    assert!(states().len() <= MOST_STATES, "{}", states().len());
    assert!(transitions <= MOST_TRANSITIONS, "{transitions}");
}

#[test]
fn names_every_state_in_code() {
    let states = states();
    let defined: BTreeSet<&str> = states.keys().map(String::as_str).collect();
    let named: BTreeSet<&str> = StateName::VARIANTS.iter().map(Into::into).collect();
    assert_eq!(defined, named);
    for state in StateName::VARIANTS {
        let resource = states[&state.to_string()]["Resource"].as_str();
        let is_invocation = resource.is_some_and(|it| it.contains(":lambda:invoke"));
        assert_eq!(state.invokes_a_handler(), is_invocation, "{state}");
    }
}

#[test]
fn has_one_hub() {
    let choices: Vec<_> = states()
        .into_iter()
        .filter(|(_, state)| state["Type"] == "Choice")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(choices.len(), 3, "{choices:?}");
    for name in ["Route", "Decide", "DeploymentSuccessful"] {
        assert!(choices.iter().any(|choice| choice == name), "{choices:?}");
    }
}

fn decide(output: &Value) -> String {
    choose(&states()["Decide"], output)
}

#[test]
fn follows_known_words_and_rolls_back_others() {
    for next in Next::VARIANTS {
        assert_eq!(
            decide(&json!({ "next": next })),
            next.state().to_string(),
            "{next:?}"
        );
    }
    let hub = &states()["Decide"];
    let mut words = Vec::new();
    collect(hub, "StringEquals", &mut words);
    let known: BTreeSet<&str> = words.into_iter().filter_map(Value::as_str).collect();
    let all = Next::VARIANTS.iter().map(Into::<&str>::into);
    let but_one: BTreeSet<&str> = all.filter(|word| *word != "rollBack").collect();
    assert_eq!(known, but_one, "each is a rule, and no other");
    for word in [json!("perhaps"), json!(""), json!(1), json!(null)] {
        assert_eq!(decide(&json!({ "next": word })), "RollbackDeployment");
    }
}

/// A release, as a handler hands it on.
fn release(more: &Value) -> Release {
    let mut state = checked("shift");
    for (field, value) in more.as_object().expect("it has fields") {
        state[field] = value.clone();
    }
    serde_json::from_value(state).expect("it is a release")
}

#[test]
fn handles_every_decision() {
    for word in Decision::VARIANTS {
        let mut state = checked(word);
        if *word == "runHook" {
            state["hook"] = hook("afterShift", "DUE");
        }
        if *word == "promote" {
            state["deploymentStatus"] = json!("SUCCESSFUL");
        }
        let release: Release = serde_json::from_value(state).expect("it is a release");
        let expected = match *word {
            "bakeOn" | "awaitDns" => "Bake",
            "runHook" => "RunHook",
            "shift" => "ShiftTraffic",
            "ask" => "AwaitApproval",
            "hold" => "Hold",
            "promote" => "DeploymentSuccessful",
            "rollBack" => "RollbackDeployment",
            other => panic!("a new decision: {other}"),
        };
        let output = json!(Output::of(release, Next::of));
        assert_eq!(decide(&output), expected, "{word}");
        assert_eq!(output["decision"], *word);
    }
}

#[test]
fn starts_each_action_in_its_state() {
    let states = states();
    let route = |request: Value| choose(&states["Route"], &request);
    assert_eq!(route(json!({})), "DeployGreen");
    assert_eq!(route(json!({"action": "release"})), "DeployGreen");
    for action in [json!("rollback"), json!("pause"), json!(1), json!(null)] {
        let next = route(json!({ "action": action }));
        assert_eq!(next, "RollbackDeployment", "{action}");
        let next = route(json!({ "action": action, "frontDoor": {} }));
        assert_eq!(next, "RollbackDeployment", "{action}");
    }
    for version in [json!("3"), json!(3)] {
        let back = json!({"action": "rollback", "toVersion": version});
        assert_eq!(route(back), "DeployGreen");
        let other = json!({"action": "pause", "toVersion": version});
        assert_eq!(route(other), "RollbackDeployment");
    }
    for wired in [
        json!({"action": "wire"}),
        json!({"action": "unwire"}),
        json!({"action": "release", "frontDoor": {}}),
        json!({"frontDoor": {}}),
        json!({"frontDoor": null}),
    ] {
        assert_eq!(route(wired.clone()), "WireStage", "{wired}");
    }
}

#[test]
fn keeps_only_successes() {
    let states = states();
    let choose = |state: &Value| choose(&states["DeploymentSuccessful"], state);
    let mut promoted = checked("promote");
    assert_eq!(choose(&promoted), "RollbackDeployment");
    for status in ["NO_CHANGE", "HELD", "ROLLED_BACK"] {
        promoted["deploymentStatus"] = json!(status);
        assert_eq!(choose(&promoted), "RollbackDeployment", "{status}");
    }
    promoted["deploymentStatus"] = json!("SUCCESSFUL");
    assert_eq!(choose(&promoted), "FinalizeDeployment");
    assert_eq!(
        states["Decide"]["Choices"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|rule| rule["Next"] == "FinalizeDeployment")
            .count(),
        0,
        "there is no other way"
    );
}

#[test]
fn green_is_validated_before_it_gets_traffic() {
    let deployed = |more: Value| decide(&json!(Output::of(release(&more), Next::deployed)));
    assert_eq!(deployed(json!({})), "ValidateGreen");
    assert_eq!(deployed(json!({"idleWaitSeconds": 120})), "AwaitIdle");
    let validated = |more: Value| decide(&json!(Output::of(release(&more), Next::of)));
    for (more, next) in [
        (json!({}), "ShiftTraffic"),
        (json!({"decision": "ask"}), "AwaitApproval"),
        (migration(false), "RunMigration"),
        (migration(true), "ShiftTraffic"),
        (hooks("beforeShift"), "RunHook"),
        (hooks("afterShift"), "ShiftTraffic"),
    ] {
        assert_eq!(validated(more.clone()), next, "{more}");
    }
}

fn migration(ran: bool) -> Value {
    json!({"migration": {"phase": "expand", "afterRollback": "freeze", "ran": ran}})
}

fn hooks(point: &str) -> Value {
    json!({"hooks": {point: {"functionName": "f"}}})
}

fn hook(point: &str, status: &str) -> Value {
    json!({"point": point, "functionName": "f", "timeoutSeconds": 60, "status": status, "asked": 1,
        "waitedSeconds": 1, "waitSeconds": 30})
}

/// A release that waited for an operator, who answered with this word, or with what is none.
fn answered(kind: QuestionKind, word: Option<AnswerKind>, more: &Value) -> Release {
    let mut state = checked(match kind {
        QuestionKind::Approval => "ask",
        QuestionKind::Hold => "hold",
    });
    for (field, value) in more.as_object().expect("it has fields") {
        state[field] = value.clone();
    }
    let mut release: Release = serde_json::from_value(state).expect("it is a release");
    let event = match word {
        Some(word) => Event::Answered(Answer::new(word)),
        None => Event::Misanswered("1".to_owned()),
    };
    release.apply(event, now()).expect("it waited");
    release
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("it is a time")
}

#[test]
fn handles_every_answer() {
    use AnswerKind::{Approve, Next as OneStep, Promote, Reject, Resume, RollBack, Silence};
    let denied = |what: &str| json!({"approval": {"timeoutSeconds": 60, "onTimeout": what, "onDenied": what}});
    let resumes = |what: &str| json!({ "resume": what });
    let approvals = vec![
        (Some(Approve), json!({}), "ShiftTraffic"),
        (Some(Approve), migration(false), "RunMigration"),
        (Some(Approve), hooks("beforeShift"), "RunHook"),
        (Some(Promote), json!({}), "DeploymentSuccessful"),
        (Some(Promote), hooks("beforeShift"), "DeploymentSuccessful"),
        (Some(Promote), migration(false), "RunMigration"),
        (Some(Reject), denied("hold"), "Hold"),
        (Some(Reject), denied("rollBack"), "RollbackDeployment"),
        (Some(RollBack), json!({}), "RollbackDeployment"),
        (Some(Resume), json!({}), "RollbackDeployment"),
        (Some(OneStep), json!({}), "AwaitApproval"),
        (Some(Silence), denied("hold"), "Hold"),
        (Some(Silence), denied("rollBack"), "RollbackDeployment"),
        (None, json!({}), "RollbackDeployment"),
    ];
    let holds = vec![
        (Some(Promote), resumes("shift"), "DeploymentSuccessful"),
        (Some(Promote), migration(false), "RunMigration"),
        (Some(Resume), resumes("promote"), "DeploymentSuccessful"),
        (Some(Resume), resumes("shift"), "ShiftTraffic"),
        (Some(Resume), resumes("bakeOn"), "Bake"),
        (Some(OneStep), resumes("shift"), "ShiftTraffic"),
        (Some(OneStep), resumes("bakeOn"), "ShiftTraffic"),
        (Some(OneStep), resumes("promote"), "DeploymentSuccessful"),
        (Some(RollBack), resumes("shift"), "RollbackDeployment"),
        (Some(Approve), resumes("shift"), "RollbackDeployment"),
        (None, resumes("shift"), "RollbackDeployment"),
    ];
    let approvals = approvals
        .into_iter()
        .map(|row| (QuestionKind::Approval, row));
    let holds = holds.into_iter().map(|row| (QuestionKind::Hold, row));
    for (kind, (word, more, next)) in approvals.chain(holds) {
        let output = Output::of(answered(kind, word, &more), Next::of);
        assert_eq!(decide(&json!(output)), next, "{kind:?} {word:?} {more}");
    }
    let proceeding =
        json!({"approval": {"timeoutSeconds": 60, "onTimeout": "proceed", "onDenied": "hold"}});
    let silence = answered(
        QuestionKind::Approval,
        Some(AnswerKind::Silence),
        &proceeding,
    );
    assert_eq!(Next::of(&silence), Next::Shift);
    // What they wait for comes to the one state that takes it in.
    for asking in ["AwaitApproval", "Hold"] {
        assert_eq!(states()[asking]["Next"], "CheckAlarms");
    }
}

#[test]
fn continues_after_every_hook() {
    for (point, status, next) in [
        ("beforeShift", "IN_PROGRESS", "AwaitHook"),
        ("beforeShift", "SUCCEEDED", "ShiftTraffic"),
        ("afterShift", "IN_PROGRESS", "AwaitHook"),
        ("afterShift", "SUCCEEDED", "Bake"),
        ("beforeShift", "FAILED", "RollbackDeployment"),
        ("afterShift", "FAILED", "RollbackDeployment"),
    ] {
        let mut release = release(&json!({"hook": hook(point, "DUE")}));
        let run = serde_json::from_value(hook(point, status)).expect("it is a hook");
        let ran = Event::HookRan { run, report: None };
        release.apply(ran, now()).expect("it was due");
        let output = json!(Output::of(release, Next::of));
        assert_eq!(decide(&output), next, "{point} {status}");
    }
}

fn outcome(status: DeploymentStatus) -> Outcome {
    Outcome::of(&release(&json!({})), status, String::new())
}

#[test]
fn reaches_every_end() {
    let task = json!({"at": "FinalizeDeployment", "execution": "e", "now": "2026-11-20T12:00:00Z", "state": {}});
    let task: Task = serde_json::from_value(task).expect("it is a task");
    let run = |status: &str| {
        Some(serde_json::from_value(hook("afterPromote", status)).expect("it is a hook"))
    };
    for (hook, next) in [
        (None, "Done"),
        (run("DUE"), "RunHook"),
        (run("IN_PROGRESS"), "AwaitHook"),
    ] {
        let end = json!(End::of(&task, outcome(DeploymentStatus::Successful), hook));
        assert_eq!(decide(&end), next, "{end}");
        let read: Finished = serde_json::from_value(end.clone()).expect("it is read again");
        assert_eq!(json!(read.outcome), end["outcome"]);
        assert!(end["outcome"].get("next").is_none() && end["outcome"].get("hook").is_none());
    }
    let ending = |error: &str, more: Value| {
        let mut ending = json!({"askedFor": false, "error": error, "cause": "{}",
            "outcome": outcome(DeploymentStatus::RolledBack)});
        for (field, value) in more.as_object().expect("it has fields") {
            ending[field] = value.clone();
        }
        let ending: Ending = serde_json::from_value(ending).expect("it is an ending");
        decide(&json!(Output::of(ending, Next::rolled_back)))
    };
    let rolled_back = |more: Value| ending("DeploymentRolledBack", more);
    assert_eq!(rolled_back(json!({})), "DeploymentRolledBack");
    assert_eq!(rolled_back(json!({"askedFor": true})), "Done");
    let due = hook("afterRollback", "DUE");
    assert_eq!(rolled_back(json!({ "hook": due })), "RunHook");
    assert_eq!(
        rolled_back(json!({"hook": hook("afterRollback", "IN_PROGRESS")})),
        "AwaitHook"
    );
    assert_eq!(
        rolled_back(json!({"hook": due, "undo": true})),
        "RunMigration"
    );
    assert_eq!(ending("DeploymentHeld", json!({})), "DeploymentHeld");
}

/// The words that the handler of a state may answer with, before and after the end of a release.
fn words(state: StateName, has_ended: bool) -> &'static [Next] {
    use Next::{
        Ask, AwaitHook, AwaitIdle, AwaitStage, Bake, Deploy, Done, Finalize, Held, Hold, Hook,
        Migrate, RollBack, RolledBack, Shift, Validate,
    };
    match (state, has_ended) {
        (StateName::WireStage, false) => &[AwaitStage, Deploy, Done],
        (StateName::DeployGreen, false) => &[AwaitIdle, Validate, Done],
        (StateName::ValidateGreen, false) => &[Ask, Migrate, Hook, Shift],
        (StateName::CheckAlarms, false) => {
            &[Bake, Hook, Migrate, Shift, Ask, Hold, Finalize, RollBack]
        }
        (StateName::RunMigration, false) => &[Hook, Shift],
        (StateName::RunHook, false) => &[AwaitHook, Shift, Bake, RollBack],
        (StateName::StartRetention | StateName::RetentionNotStarted, true) => &[Hook, Done],
        (StateName::RollbackDeployment, true) => &[Migrate, Hook, Done, Held, RolledBack],
        (StateName::RunMigration | StateName::RunHook, true) => {
            &[Hook, AwaitHook, Done, Held, RolledBack]
        }
        _ => &[],
    }
}

/// All states that an execution may come to that never enters `without`.
fn reached(without: Option<StateName>) -> BTreeSet<StateName> {
    let states = states();
    let mut seen = BTreeSet::new();
    let mut ahead = vec![(StateName::Route, false, StateName::Route)];
    while let Some((state, ended, last)) = ahead.pop() {
        if Some(state) == without || !seen.insert((state, ended, last)) {
            continue;
        }
        let is_end = matches!(
            state,
            StateName::RollbackDeployment | StateName::FinalizeDeployment
        );
        let definition = &states[&state.to_string()];
        if state == StateName::Decide {
            let answered = words(last, ended).iter();
            ahead.extend(answered.map(|word| (word.state(), ended, state)));
            continue;
        }
        let mut plain = definition.clone();
        plain["Catch"] = json!(null);
        for (part, ended) in [
            (&plain, ended || is_end),
            (&json!({"Catch": definition["Catch"]}), ended),
        ] {
            let mut next = Vec::new();
            collect(part, "Next", &mut next);
            next.extend(part.get("Default"));
            let names = next
                .into_iter()
                .filter_map(|name| name.as_str()?.parse().ok());
            ahead.extend(names.map(|next: StateName| (next, ended, state)));
        }
    }
    seen.into_iter().map(|(state, ..)| state).collect()
}

#[test]
fn validates_on_every_path_to_traffic() {
    let all: BTreeSet<StateName> = StateName::VARIANTS.iter().copied().collect();
    assert_eq!(reached(None), all);
    let unproven = reached(Some(StateName::ValidateGreen));
    for state in [
        StateName::ShiftTraffic,
        StateName::Bake,
        StateName::AwaitApproval,
        StateName::FinalizeDeployment,
    ] {
        assert!(!unproven.contains(&state), "{state}: {unproven:?}");
    }
    // The ways back are open all the same.
    assert!(unproven.contains(&StateName::DeploymentRolledBack));
}

/// Of what leads on without a validated green: the words that are computed are those that are walked.
#[test]
fn nothing_before_validation_and_after_the_end_answers_with_another_word() {
    for idle in [json!({}), json!({"idleWaitSeconds": 60})] {
        let word = Next::deployed(&release(&idle));
        assert!(
            words(StateName::DeployGreen, false).contains(&word),
            "{word:?}"
        );
    }
    let after_the_end: Vec<Next> = StateName::VARIANTS
        .iter()
        .flat_map(|state| words(*state, true).to_vec())
        .collect();
    let is_known = |ending: Value| {
        let ending: Ending = serde_json::from_value(ending).expect("it is an ending");
        let word = Next::rolled_back(&ending);
        assert!(after_the_end.contains(&word), "{word:?}: {ending:?}");
    };
    for undo in [false, true] {
        for asked_for in [false, true] {
            for error in ["DeploymentRolledBack", "DeploymentHeld", "ValidationFailed"] {
                for status in [None, Some("DUE"), Some("IN_PROGRESS")] {
                    let hook = status.map(|status| hook("afterRollback", status));
                    is_known(
                        json!({"askedFor": asked_for, "error": error, "cause": "{}", "undo": undo,
                        "hook": hook, "outcome": outcome(DeploymentStatus::RolledBack)}),
                    );
                }
            }
        }
    }
}
