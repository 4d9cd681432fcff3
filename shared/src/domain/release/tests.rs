use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::propagation::{Effective, IN_SYNC_CHECK_SECONDS, sync_attempts};
use crate::domain::{
    analysis::{check::Finding, verdict::Verdict},
    approval::{Answer, AnswerKind, OperatorAction, OperatorRequest},
    decision::Decision,
    hook::HookReply,
    migration,
};

fn written(analysis: &Value) -> Value {
    json!({
        "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
        "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
        "plan": {"steps": [{"weight": 10, "bakeSeconds": 100}, {"weight": 100, "bakeSeconds": 100}]},
        "analysis": analysis, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
        "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60},
        "steps": [{"weight": 10, "startedAt": "2026-11-20T12:00:00Z"}]})
}

fn read(state: Value) -> Release {
    serde_json::from_value(state).unwrap()
}

fn release(analysis: &Value) -> Release {
    read(written(analysis))
}

/// A release before its first shift.
fn ready() -> Release {
    let mut release = release(&json!({}));
    release.progress.steps.clear();
    release.progress.phase = Phase::Ready;
    release
}

fn found(verdict: Verdict) -> Finding {
    Finding {
        verdict,
        reason: "because".into(),
        evidence: Evidence::default(),
        early_proceed: true,
    }
}

fn now() -> Timestamp {
    "2026-11-20T12:01:00Z".parse().unwrap()
}

fn applied(release: &mut Release, event: Event) {
    release.apply(event, now()).expect("it is legal");
    let mut written = json!(release);
    written["phase"] = json!("inFlight");
    assert_eq!(read(written), *release, "it is read as it is written");
}

fn look(release: &mut Release, verdict: Verdict) -> Option<Decision> {
    let (finding, health) = (found(verdict), Vec::new());
    applied(release, Event::Looked { finding, health });
    release.progress.decision
}

fn shift(release: &mut Release, effective: Effective) {
    let functions = release.progress.functions.clone();
    applied(
        release,
        Event::Shifted {
            functions,
            effective,
            warnings: Vec::new(),
        },
    );
}

fn follow(release: &mut Release, in_sync: bool, verdict: Verdict) -> Option<Decision> {
    let (finding, health) = (found(verdict), Vec::new());
    applied(
        release,
        Event::Followed {
            in_sync,
            finding,
            health,
        },
    );
    release.progress.decision
}

fn validate(release: &mut Release) {
    applied(
        release,
        Event::Validated {
            smoke_tested: Vec::new(),
            health: Vec::new(),
            warnings: Vec::new(),
            evidence: Evidence::default(),
        },
    );
}

#[test]
fn shifts_after_a_complete_bake() {
    let mut release = release(&json!({}));
    let decision = look(&mut release, Verdict::Healthy);
    assert_eq!(
        (decision, release.progress.position.wait_seconds),
        (Some(Decision::BakeOn), 40)
    );
    let decision = look(&mut release, Verdict::Healthy);
    assert_eq!(
        (decision, release.progress.position.step),
        (Some(Decision::Shift), 1)
    );
    assert_eq!(release.progress.position.waited_seconds, 0);
    assert_eq!(release.progress.steps[0].ended_at, Some(now()));
}

/// At the last wait of the last step.
fn at_the_end() -> Release {
    let mut release = release(&json!({}));
    release.progress.position = Position {
        step: 1,
        waited_seconds: 40,
        wait_seconds: 60,
    };
    release
}

#[test]
fn promotes_at_the_end_of_the_plan() {
    let mut release = at_the_end();
    assert_eq!(
        look(&mut release, Verdict::Healthy),
        Some(Decision::Promote)
    );
    assert_eq!(json!(release)["deploymentStatus"], "SUCCESSFUL");
}

#[test]
fn ends_a_step_early_only_if_requested() {
    let mut patient = release(&json!({}));
    assert_eq!(look(&mut patient, Verdict::Healthy), Some(Decision::BakeOn));
    let mut impatient = release(&json!({"earlyProceed": true}));
    assert_eq!(
        look(&mut impatient, Verdict::Healthy),
        Some(Decision::Shift)
    );
    let mut unsure = release(&json!({"earlyProceed": true}));
    let finding = Finding {
        early_proceed: false,
        ..found(Verdict::Healthy)
    };
    let health = Vec::new();
    applied(&mut unsure, Event::Looked { finding, health });
    assert_eq!(unsure.progress.decision, Some(Decision::BakeOn));
}

#[test]
fn starts_the_bake_after_dns_propagation() {
    let mut release = ready();
    release.spec.traffic = serde_json::from_value(
        json!({"type": "route53", "hostedZoneId": "Z1", "recordName": "a.example.com",
            "recordType": "A", "blue": "blue", "green": "green", "dnsSeconds": 60}),
    )
    .unwrap();
    shift(&mut release, Effective::Later(Some("C1".into())));
    let mut seen = Vec::new();
    for in_sync in [false, true, true] {
        assert!(release.propagation().is_some());
        let decision = follow(&mut release, in_sync, Verdict::Inconclusive);
        seen.push((decision.unwrap(), release.progress.position.wait_seconds));
    }
    assert_eq!(
        seen,
        [
            (Decision::AwaitDns, IN_SYNC_CHECK_SECONDS),
            (Decision::AwaitDns, 60),
            (Decision::BakeOn, 60)
        ]
    );
    assert_eq!(release.progress.phase, Phase::Baking);
    assert_eq!(
        (
            release.progress.position.waited_seconds,
            release.progress.steps[0].in_force_at
        ),
        (0, Some(now()))
    );
}

#[test]
fn ends_propagation_on_alarm_or_timeout() {
    let mut release = ready();
    shift(&mut release, Effective::Later(Some("C1".into())));
    let mut alarmed = release.clone();
    let decision = follow(&mut alarmed, false, Verdict::Unhealthy);
    assert_eq!(decision, Some(Decision::RollBack));
    let mut waits = Vec::new();
    while release.progress.phase != Phase::RollingBack {
        waits.push(release.progress.position.wait_seconds);
        follow(&mut release, false, Verdict::Healthy);
    }
    assert_eq!(waits, [10, 10, 10, 10, 10, 10, 60, 120, 240, 480, 840]);
    assert_eq!(u32::try_from(waits.len()).unwrap() + 1, sync_attempts());
    assert_eq!(release.progress.decision, Some(Decision::RollBack));
    let decided_by = release.progress.evidence.decided_by.as_deref();
    assert_eq!(decided_by, Some("notInSync"));
}

fn wish(verb: OperatorAction) -> Event {
    Event::Requested(OperatorRequest::new(verb, "Ada", Some("lunch"), now()))
}

#[test]
fn holds_and_resumes_on_request() {
    for (looks, resume, phase) in [
        (1, Resume::Bake, Phase::Baking),
        (2, Resume::Shift, Phase::Ready),
    ] {
        let mut release = release(&json!({}));
        for _ in 0..looks {
            look(&mut release, Verdict::Healthy);
        }
        let wait = release.progress.position.wait_seconds;
        applied(&mut release, wish(OperatorAction::Hold));
        assert_eq!(release.progress.decision, Some(Decision::Hold));
        assert_eq!(release.progress.phase, Phase::Held(resume));
        assert_eq!(
            release.progress.position.wait_seconds, wait,
            "what is left to bake"
        );
        assert_eq!(
            release.progress.reason,
            "Ada asked to hold it: lunch; because"
        );
        applied(
            &mut release,
            Event::Answered(Answer::new(AnswerKind::Resume)),
        );
        assert_eq!(release.progress.phase, phase);
    }
    // At the very end, too.
    let mut release = at_the_end();
    look(&mut release, Verdict::Healthy);
    applied(&mut release, wish(OperatorAction::Hold));
    assert_eq!(release.progress.phase, Phase::Held(Resume::Promote));
    let state = json!(release);
    assert_eq!(
        (
            &state["decision"],
            &state["resume"],
            &state["deploymentStatus"]
        ),
        (&json!("hold"), &json!("promote"), &Value::Null)
    );
}

#[test]
fn promotes_on_request_unless_unhealthy() {
    let mut release = release(&json!({}));
    look(&mut release, Verdict::Healthy);
    let mut worse = release.clone();
    applied(&mut release, wish(OperatorAction::Promote));
    assert_eq!(release.progress.phase, Phase::Promoting);
    look(&mut worse, Verdict::Unhealthy);
    applied(&mut worse, wish(OperatorAction::Promote));
    assert_eq!(worse.progress.phase, Phase::RollingBack);
}

#[test]
fn goes_exactly_one_step_on_request() {
    let next = || wish(OperatorAction::Next);
    let mut flying = release(&json!({}));
    look(&mut flying, Verdict::Healthy);
    assert_eq!(flying.progress.phase, Phase::Baking);
    let index = flying.progress.position.step;
    applied(&mut flying, next());
    assert_eq!(flying.progress.phase, Phase::Ready);
    assert_eq!(
        flying.progress.position,
        Position {
            step: index + 1,
            ..Position::default()
        }
    );
    assert_eq!(flying.progress.steps.last().unwrap().ended_at, Some(now()));
    assert_eq!(
        flying.progress.reason,
        "Ada ended the bake of this step: lunch; because"
    );
    // What the look has decided already is not decided twice.
    applied(&mut flying, next());
    assert_eq!(flying.progress.position.step, index + 1);

    // Too little data is no pass: an operator is shown it, and may go on all the same.
    for (on_inconclusive, phase) in [
        ("hold", Phase::Held(Resume::Shift)),
        ("rollBack", Phase::Held(Resume::Shift)),
        ("proceed", Phase::Ready),
    ] {
        let mut quiet = release(&json!({"onInconclusive": on_inconclusive}));
        look(&mut quiet, Verdict::Inconclusive);
        applied(&mut quiet, next());
        assert_eq!(
            (&quiet.progress.phase, quiet.progress.position.step),
            (&phase, index + 1),
            "{on_inconclusive}"
        );
    }

    let mut worse = release(&json!({}));
    look(&mut worse, Verdict::Unhealthy);
    applied(&mut worse, next());
    assert_eq!(worse.progress.phase, Phase::RollingBack);

    let mut last = at_the_end();
    last.progress.position.waited_seconds = 0;
    last.progress.phase = Phase::Baking;
    let mut quiet = last.clone();
    applied(&mut last, next());
    assert_eq!(last.progress.phase, Phase::Promoting);
    quiet.progress.steps[0].verdict = Some(Verdict::Inconclusive);
    applied(&mut quiet, next());
    assert_eq!(quiet.progress.phase, Phase::Held(Resume::Promote));
}

#[test]
fn goes_one_step_from_a_hold_and_still_asks() {
    let word = || Event::Answered(Answer::new(AnswerKind::Next));
    let asks = |release: &mut Release| {
        release.spec.plan =
            serde_json::from_value(json!({"steps": [{"weight": 10, "bakeSeconds": 60},
            {"weight": 100, "bakeSeconds": 60}], "approveBefore": 100}))
            .unwrap();
    };
    for (looks, approval, phase) in [
        (1, false, Phase::Ready),
        (1, true, Phase::AwaitingApproval),
        (2, false, Phase::Ready),
    ] {
        let mut held = release(&json!({}));
        for _ in 0..looks {
            look(&mut held, Verdict::Healthy);
        }
        applied(&mut held, wish(OperatorAction::Hold));
        if approval {
            asks(&mut held);
        }
        applied(&mut held, word());
        assert_eq!(
            (&held.progress.phase, held.progress.position.step),
            (&phase, 1),
            "{looks}"
        );
    }
    // Held when the approval was rejected: `next` is no approval.
    let mut rejected = release(&json!({}));
    asks(&mut rejected);
    rejected.progress.position.step = 1;
    for phase in [Phase::Held(Resume::Shift), Phase::AwaitingApproval] {
        rejected.progress.phase = phase;
        applied(&mut rejected, word());
        assert_eq!(rejected.progress.phase, Phase::AwaitingApproval);
    }
    // A shift that clients do not follow yet has no bake to be ended.
    let propagation = Propagation::Expiring { lead_seconds: 7 };
    rejected.progress.phase = Phase::Held(Resume::Propagate(propagation.clone()));
    applied(&mut rejected, word());
    assert_eq!(rejected.progress.phase, Phase::Propagating(propagation));
    rejected.progress.phase = Phase::Held(Resume::Promote);
    applied(&mut rejected, word());
    assert_eq!(rejected.progress.phase, Phase::Promoting);
}

#[test]
fn asks_before_the_first_step_if_planned() {
    let mut quiet = ready();
    validate(&mut quiet);
    assert_eq!(quiet.progress.phase, Phase::Ready);
    let mut asking = ready();
    asking.spec.plan = serde_json::from_value(
        json!({"steps": [{"weight": 100, "bakeSeconds": 0}], "approveBefore": 100}),
    )
    .unwrap();
    validate(&mut asking);
    let state = json!(asking);
    assert_eq!(
        (&state["decision"], &state["resume"]),
        (&json!("ask"), &json!("shift"))
    );
    for (phase, asks) in [
        (migration::Phase::Expand, Phase::Ready),
        (migration::Phase::Contract, Phase::AwaitingApproval),
    ] {
        let mut migrating = ready();
        migrating.progress.migration = Some(Migration {
            phase,
            after_rollback: AfterRollback::default(),
            ran: false,
        });
        validate(&mut migrating);
        assert_eq!(migrating.progress.phase, asks, "{phase:?}");
    }
}

#[test]
fn follows_the_request_after_an_answer() {
    let asked = |approval: Value| {
        let mut state = written(&json!({}));
        state["decision"] = json!("ask");
        state["resume"] = json!("shift");
        state["approval"] = approval;
        read(state)
    };
    let word = |on_timeout: &str, on_denied: &str| json!({"timeoutSeconds": 60, "onTimeout": on_timeout, "onDenied": on_denied});
    let (held, back) = (Phase::Held(Resume::Shift), Phase::RollingBack);
    for (answer, approval, phase) in [
        (AnswerKind::Approve, word("hold", "hold"), Phase::Ready),
        (AnswerKind::Promote, word("hold", "hold"), Phase::Promoting),
        (AnswerKind::Reject, word("hold", "hold"), held.clone()),
        (AnswerKind::Reject, word("hold", "rollBack"), back.clone()),
        (AnswerKind::Silence, word("hold", "hold"), held),
        (AnswerKind::Silence, word("proceed", "hold"), Phase::Ready),
        (AnswerKind::Silence, word("rollBack", "hold"), back.clone()),
        (AnswerKind::RollBack, word("hold", "hold"), back),
    ] {
        let mut release = asked(approval);
        applied(&mut release, Event::Answered(Answer::new(answer)));
        assert_eq!(release.progress.phase, phase, "{answer:?}");
        let last = release.progress.answers.last().unwrap();
        assert_eq!((last.decision, last.weight), (answer, release.weight()));
    }
    // No green is kept whose migration has not run.
    let mut release = asked(word("hold", "hold"));
    release.progress.migration = migrated("rollBack").progress.migration;
    release.progress.migration.as_mut().unwrap().ran = false;
    applied(
        &mut release,
        Event::Answered(Answer::new(AnswerKind::Promote)),
    );
    assert_eq!(release.progress.phase, Phase::Ready);
}

fn migrated(after_rollback: &str) -> Release {
    let mut release = release(&json!({}));
    release.progress.migration = serde_json::from_value(
        json!({"phase": "expand", "afterRollback": after_rollback, "ran": true}),
    )
    .unwrap();
    release
}

#[test]
fn holds_instead_of_rolling_back_after_a_freezing_migration() {
    let mut frozen = migrated("freeze");
    assert!(frozen.footprint().freezes && !frozen.is_undone());
    let mut first = frozen.clone();
    first.progress.steps.clear();
    assert!(
        !first.is_frozen(),
        "before green has traffic all is on blue"
    );
    look(&mut frozen, Verdict::Unhealthy);
    assert_eq!(frozen.progress.phase, Phase::Held(Resume::Shift));
    assert_eq!(frozen.progress.position.step, 1);
    let reason = &frozen.progress.reason;
    assert!(reason.starts_with(FROZEN), "{reason}");

    let mut back = migrated("rollBack");
    assert!(back.is_undone() && !back.footprint().freezes);
    assert_eq!(
        look(&mut back, Verdict::Unhealthy),
        Some(Decision::RollBack)
    );
}

#[test]
fn holds_during_propagation_after_a_freezing_migration() {
    let mut release = migrated("freeze");
    release.progress.phase = Phase::Ready;
    shift(&mut release, Effective::Later(Some("C1".into())));
    follow(&mut release, false, Verdict::Unhealthy);
    let state = json!(release);
    assert_eq!(
        (&state["decision"], &state["resume"]),
        (&json!("hold"), &json!("bakeOn"))
    );
    applied(
        &mut release,
        Event::Answered(Answer::new(AnswerKind::Resume)),
    );
    assert!(release.propagation().is_some());
}

fn hooked() -> Release {
    let mut release = ready();
    release.spec.hooks = serde_json::from_value(json!({
        "beforeShift": {"functionName": "before"}, "afterShift": {"functionName": "after"},
    }))
    .unwrap();
    release
}

/// Runs the hook that is next, which answers with this status.
fn run_hook(release: &mut Release, status: &str) {
    let mut run = release.next_hook().unwrap();
    assert!(run.begin().is_some());
    let said = HookReply::Answer(json!({ "hookStatus": status }));
    let why = run.apply_reply(&said, 1);
    let report = (!run.is_open()).then(|| run.result(release.weight(), why, Some(said)));
    applied(release, Event::HookRan { run, report });
}

#[test]
fn runs_hooks_before_shift_and_before_bake() {
    let mut release = hooked();
    run_hook(&mut release, "IN_PROGRESS");
    assert!(matches!(release.progress.phase, Phase::AwaitingHook(_)));
    run_hook(&mut release, "SUCCEEDED");
    assert_eq!(release.progress.phase, Phase::Ready);
    assert_eq!(json!(release)["hook"]["status"], "SUCCEEDED");

    shift(&mut release, Effective::AtOnce);
    assert!(release.is_hook_due());
    assert_eq!(release.progress.position.wait_seconds, 0);
    assert_eq!(
        look(&mut release, Verdict::Inconclusive),
        Some(Decision::RunHook)
    );
    assert_eq!(release.next_hook().unwrap().function_name.as_ref(), "after");
    run_hook(&mut release, "SUCCEEDED");
    assert_eq!(release.progress.phase, Phase::Baking);
    assert_eq!(
        release.progress.position.wait_seconds, 60,
        "the bake is whole"
    );
    assert_eq!(json!(release)["hook"]["point"], "afterShift");
}

#[test]
fn rolls_back_after_a_failed_hook() {
    let mut release = hooked();
    run_hook(&mut release, "FAILED");
    assert_eq!(release.progress.phase, Phase::RollingBack);
    assert_eq!(release.progress.evidence.hooks.len(), 1);
    assert!(
        release
            .progress
            .reason
            .contains("hook beforeShift (before) FAILED")
    );
}

#[test]
fn rolls_back_before_a_due_hook() {
    let mut release = hooked();
    shift(&mut release, Effective::AtOnce);
    let decision = look(&mut release, Verdict::Unhealthy);
    assert_eq!(decision, Some(Decision::RollBack));
}

#[test]
fn names_the_next_step_of_a_hold() {
    let mut release = release(&json!({"maxBakeSeconds": 100}));
    release.progress.position.wait_seconds = 100;
    look(&mut release, Verdict::Inconclusive);
    assert_eq!(release.progress.phase, Phase::Held(Resume::Shift));
}

/// States as the version before this one has left them, in executions that are in flight at an update.
#[test]
fn reads_the_phase_of_a_state_of_the_previous_version() {
    let hook = |point: &str, status: &str| {
        json!({"point": point, "functionName": "h", "timeoutSeconds": 60, "status": status,
            "asked": 0, "waitedSeconds": 0, "waitSeconds": 0})
    };
    let approved = json!({"decision": "approve", "at": "2026-11-20T12:00:00Z", "weight": 10});
    let waiting = json!({"step": 0, "waitedSeconds": 0, "waitSeconds": 60, "leadSeconds": 60});
    let pending = Propagation::Pending {
        change_id: Some("C1".into()),
        waited_seconds: 10,
    };
    let change = json!({"changeId": "C1", "waitedSeconds": 10});
    for (fields, phase) in [
        (json!({"steps": []}), Phase::Ready),
        (json!({}), Phase::Baking),
        (json!({"decision": "bakeOn"}), Phase::Baking),
        (
            json!({"decision": "shift", "resume": "shift"}),
            Phase::Ready,
        ),
        (
            json!({"decision": "ask", "resume": "shift"}),
            Phase::AwaitingApproval,
        ),
        (
            json!({"decision": "ask", "resume": "shift", "answers": [approved],
                "approvalAnswer": {"decision": "approve"}}),
            Phase::AwaitingApproval,
        ),
        // After `RunMigrations`, say.
        (
            json!({"decision": "ask", "resume": "shift", "answers": [approved]}),
            Phase::Ready,
        ),
        (
            json!({"decision": "hold", "resume": "shift", "answers": [approved]}),
            Phase::Ready,
        ),
        (
            json!({"decision": "hold", "resume": "bakeOn"}),
            Phase::Held(Resume::Bake),
        ),
        (
            json!({"decision": "hold", "resume": "promote"}),
            Phase::Held(Resume::Promote),
        ),
        (
            json!({"decision": "hold", "resume": "bakeOn", "propagation": change}),
            Phase::Held(Resume::Propagate(pending.clone())),
        ),
        (json!({"propagation": change}), Phase::Propagating(pending)),
        (
            json!({"decision": "awaitDns", "position": waiting}),
            Phase::Propagating(Propagation::Expiring { lead_seconds: 60 }),
        ),
        (
            json!({"decision": "promote", "deploymentStatus": "SUCCESSFUL"}),
            Phase::Promoting,
        ),
        (json!({"decision": "rollBack"}), Phase::RollingBack),
        (
            json!({"hook": hook("afterShift", "DUE")}),
            Phase::AwaitingHook(serde_json::from_value(hook("afterShift", "DUE")).unwrap()),
        ),
        (
            json!({"decision": "ask", "resume": "shift", "hook": hook("beforeShift", "IN_PROGRESS")}),
            Phase::AwaitingHook(
                serde_json::from_value(hook("beforeShift", "IN_PROGRESS")).unwrap(),
            ),
        ),
        (
            json!({"decision": "runHook", "hook": hook("afterShift", "SUCCEEDED")}),
            Phase::Baking,
        ),
        (
            json!({"decision": "shift", "hook": hook("beforeShift", "SUCCEEDED")}),
            Phase::Ready,
        ),
    ] {
        let mut state = written(&json!({}));
        let whole = state.as_object_mut().unwrap();
        whole.extend(fields.as_object().unwrap().clone());
        assert_eq!(read(state).progress.phase, phase, "{fields}");
    }
}

/// Any event, as far as a handler can make it.
fn event() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Validated),
        Just(Kind::Migrated),
        (any::<bool>(), 0u8..4).prop_map(|(before, status)| Kind::HookRan(before, status)),
        any::<bool>().prop_map(Kind::Shifted),
        (0u8..3).prop_map(Kind::Looked),
        (any::<bool>(), 0u8..3).prop_map(|(in_sync, verdict)| Kind::Followed(in_sync, verdict)),
        (0u8..7).prop_map(Kind::Answered),
        (0u8..3).prop_map(Kind::Requested),
        Just(Kind::Promoted),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Validated,
    Migrated,
    HookRan(bool, u8),
    Shifted(bool),
    Looked(u8),
    Followed(bool, u8),
    Answered(u8),
    Requested(u8),
    Promoted,
}

const VERDICTS: [Verdict; 3] = [Verdict::Healthy, Verdict::Inconclusive, Verdict::Unhealthy];

impl Kind {
    fn of(self, release: &Release) -> Event {
        let functions = release.progress.functions.clone();
        let health = Vec::new();
        let verdict = |index: u8| found(VERDICTS[usize::from(index)]);
        match self {
            Self::Validated => Event::Validated {
                smoke_tested: Vec::new(),
                health,
                warnings: vec!["careful".into()],
                evidence: Evidence::default(),
            },
            Self::Migrated => Event::Migrated(
                serde_json::from_value(json!({"functionName": "m", "phase": "expand",
                    "afterRollback": "freeze", "direction": "up", "status": "SUCCEEDED",
                    "startedAt": "2026-11-20T12:00:00Z", "durationMs": 1}))
                .unwrap(),
            ),
            Self::HookRan(before, status) => {
                let point = if before { "beforeShift" } else { "afterShift" };
                let status = ["DUE", "IN_PROGRESS", "SUCCEEDED", "FAILED"][usize::from(status)];
                let run: HookRun =
                    serde_json::from_value(json!({"point": point, "functionName": "h",
                    "timeoutSeconds": 60, "status": status, "asked": 1, "waitedSeconds": 0,
                    "waitSeconds": 0}))
                    .unwrap();
                let report = (!run.is_open()).then(|| run.result(release.weight(), None, None));
                Event::HookRan { run, report }
            }
            Self::Shifted(at_once) => Event::Shifted {
                functions,
                effective: if at_once {
                    Effective::AtOnce
                } else {
                    Effective::Later(None)
                },
                warnings: Vec::new(),
            },
            Self::Looked(index) => Event::Looked {
                finding: verdict(index),
                health,
            },
            Self::Followed(in_sync, index) => Event::Followed {
                in_sync,
                finding: verdict(index),
                health,
            },
            Self::Answered(index) => {
                let words = [
                    AnswerKind::Approve,
                    AnswerKind::Reject,
                    AnswerKind::Resume,
                    AnswerKind::Promote,
                    AnswerKind::RollBack,
                    AnswerKind::Silence,
                    AnswerKind::Next,
                ];
                Event::Answered(Answer::new(words[usize::from(index)]))
            }
            Self::Requested(index) => {
                let verbs = [
                    OperatorAction::Hold,
                    OperatorAction::Promote,
                    OperatorAction::Next,
                ];
                wish(verbs[usize::from(index)])
            }
            Self::Promoted => Event::Promoted,
        }
    }
}

proptest! {
    /// Whatever comes in whatever order: what is illegal changes nothing, what is legal is read back as it was, the
    /// steps are those of the plan, and the same events lead to the same release.
    #[test]
    fn accepts_or_refuses_any_order_of_events(
        kinds in proptest::collection::vec(event(), 0..40),
        hooks: bool,
        migration in proptest::option::of(any::<bool>()),
        approve: bool,
        dns in 0u32..2,
    ) {
        let mut first = if hooks { hooked() } else { ready() };
        first.spec.plan = serde_json::from_value(json!({
            "steps": [{"weight": 10, "bakeSeconds": 100}, {"weight": 50, "bakeSeconds": 0}, {"weight": 100, "bakeSeconds": 60}],
            "approveBefore": if approve { json!(50) } else { Value::Null },
        })).unwrap();
        if dns == 1 {
            first.spec.traffic = serde_json::from_value(json!({"type": "route53", "hostedZoneId": "Z1",
                "recordName": "a.example.com", "recordType": "A", "blue": "blue", "green": "green",
                "dnsSeconds": 60})).unwrap();
        }
        first.progress.migration = migration.map(|freeze| Migration {
            phase: migration::Phase::Contract,
            after_rollback: if freeze { AfterRollback::Freeze } else { AfterRollback::RollBack },
            ran: false,
        });
        let run = |seen: &mut Vec<bool>| {
            let mut release = first.clone();
            for kind in &kinds {
                let before = release.clone();
                let event = kind.of(&release);
                let taken = release.apply(event, now());
                if taken.is_err() {
                    assert_eq!(release, before, "{kind:?} is refused and changes nothing");
                }
                seen.push(taken.is_ok());
                let mut tagged = json!(release);
                tagged["phase"] = json!("inFlight");
                assert_eq!(read(tagged), release, "after {kind:?}");
            }
            release
        };
        let (mut once, mut again) = (Vec::new(), Vec::new());
        let release = run(&mut once);
        prop_assert_eq!(&run(&mut again), &release);
        prop_assert_eq!(once, again);
        let taken: Vec<_> = release.progress.steps.iter().map(|step| step.weight).collect();
        let planned: Vec<_> = release.spec.plan.steps().iter().map(|step| step.weight).collect();
        prop_assert_eq!(&planned[..taken.len()], &taken[..]);
        let migrated = release.progress.migration.is_none_or(|migration| migration.ran);
        prop_assert!(migrated || taken.is_empty(), "green has no traffic before its migration has run");
        let is_kept = release.progress.phase == Phase::Promoting;
        prop_assert!(migrated || !is_kept, "green is not kept before its migration has run");
    }
}
