//! What people and programs are told, as they see it: a file for each thing that can be told, the
//! events against their schema, and how large it all becomes.
//!
//! `UPDATE_GOLDEN=1 cargo test -p crossfade --test notices` writes the files anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
};

use crossfade::{
    domain::{
        Timestamp,
        approval::{Question, QuestionKind, nonce::Nonce},
        page_link::{Page, PageKey, expiry},
        release::Release,
        status::DeploymentStatus,
    },
    error,
    notice::{Event, Kind, Notice, chat, event, mail},
    wire::outcome::Outcome,
};
use serde_json::{Value, json};
use strum::VariantArray as _;

const EXECUTION: &str =
    "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:chat-42";
const TOKEN: &str = "AAAAKgAAAAIAAAAAAAAAAToken";

fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-21T{time}Z").parse().unwrap()
}

/// The judge's numbers of a green that fails often enough.
fn judged(e_value: f64, errors: u64) -> Value {
    json!({
        "decidedBy": "errorTest", "function": "chat-assistant",
        "reason": format!("chat-assistant: {errors} of 1234 requests on green failed, 12 of 11106 on blue"),
        "minutes": 5,
        "blue": {"invocations": 11_106, "errors": 12, "slow": 111, "throttles": 0},
        "green": {"invocations": 1234, "errors": errors, "slow": 12, "throttles": 3},
        "blueErrorPercent": 0.108, "greenErrorPercent": 4.538,
        "eValue": e_value, "threshold": 100.0, "functions": 2,
        "next": [{"function": "chat-history", "eValue": 0.42,
            "blue": {"invocations": 900, "errors": 0, "slow": 0, "throttles": 0},
            "green": {"invocations": 100, "errors": 1, "slow": 0, "throttles": 0}}],
        "own": {"eValue": e_value, "routing": e_value, "past": 1.0},
        "pastRequests": 1_000_000, "pastHits": 1021,
    })
}

/// A release of two functions at 10 %, and `more` of it.
fn release(more: &Value) -> Release {
    let mut release = json!({
        "application": "chat", "startedAt": "2026-11-21T09:00:00Z",
        "about": {"description": "Answers in German", "commit": "3f2c1d0", "by": "Ada",
            "url": "https://github.com/example/chat/pull/7"},
        "functions": [
            {"functionName": "chat-assistant", "alias": "production", "blueVersion": "41",
                "greenVersion": "42", "revisionId": "r"},
            {"functionName": "chat-history", "alias": "production", "blueVersion": "7",
                "greenVersion": "8", "revisionId": "r"},
        ],
        "plan": {"approveBefore": 100, "steps": [
            {"weight": 10, "bakeSeconds": 300}, {"weight": 50, "bakeSeconds": 600},
            {"weight": 100, "bakeSeconds": 300}]},
        "analysis": {"alarms": ["chat-5xx"]},
        "hold": {"timeoutSeconds": 43_200, "onTimeout": "rollBack"}, "blueHours": 24,
        "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60},
        "steps": [{"weight": 10, "startedAt": "2026-11-21T09:01:00Z"}],
    });
    for (name, value) in more.as_object().unwrap() {
        release[name] = value.clone();
    }
    serde_json::from_value(release).unwrap()
}

fn steps_to_50() -> Value {
    json!([
        {"weight": 10, "startedAt": "2026-11-21T09:01:00Z", "endedAt": "2026-11-21T09:06:30Z",
            "verdict": "healthy"},
        {"weight": 50, "startedAt": "2026-11-21T09:06:30Z", "verdict": "healthy"},
    ])
}

fn outcome(status: DeploymentStatus, reason: &str, more: &Value) -> Outcome {
    Outcome::of(&release(more), status, reason.to_owned())
}

fn nothing_begun(reason: &str) -> Outcome {
    serde_json::from_value(json!({
        "deploymentStatus": "REJECTED", "application": "chat", "reason": reason,
    }))
    .unwrap()
}

fn asked(kind: QuestionKind, more: &Value, link: bool) -> Notice {
    let release = release(more);
    let nonce = Nonce::from_random([7; 32]);
    let asked = Question::of(&release, kind, at("09:16:30"), nonce.hash());
    let outcome = Outcome::of(&release, DeploymentStatus::Held, asked.reason.clone());
    let link = link.then(|| {
        format!(
            "https://abc.lambda-url.eu-west-1.on.aws/?release=chat-42&nonce={}",
            nonce.shown()
        )
    });
    let page = link.is_some();
    let notice = Notice::asked(EXECUTION, &outcome, &asked, TOKEN, link);
    if page { with_page(notice) } else { notice }
}

/// As the notifier hands it on, where the stack has pages.
fn with_page(mut notice: Notice) -> Notice {
    let page = Page::Release {
        application: "chat".parse().unwrap(),
        release: "chat-42".to_owned(),
    };
    let until = expiry(notice.facts.at, notice.facts.retain_until);
    let key = PageKey::from_random([7; 32]);
    let link = key.link("https://abc.lambda-url.eu-west-1.on.aws/", &page, until);
    notice.facts.page = Some(link);
    notice
}

/// A release at 50 %, and `more` of it.
#[allow(clippy::needless_pass_by_value)] // Made for the call.
fn with(more: Value) -> Value {
    let mut all = json!({"steps": steps_to_50(), "position": {"step": 1, "waitedSeconds": 600,
        "waitSeconds": 60}});
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    all
}

fn good() -> Value {
    json!({"judge": judged(0.031, 2)})
}

fn approved() -> Value {
    json!([{"decision": "approve", "by": "Ada", "reason": "looks good",
        "at": "2026-11-21T09:20:00Z", "weight": 50}])
}

fn ended(outcome: &Outcome) -> Notice {
    Notice::ended(EXECUTION, at("09:21:30"), outcome)
}

fn failed(error: &str, outcome: &Outcome) -> Notice {
    ended(&Outcome {
        help: error::page(error),
        ..outcome.clone()
    })
}

type Named = Vec<(&'static str, Notice)>;

/// While it goes on.
fn going_on() -> Named {
    let (good, approved) = (good(), approved());
    vec![
        (
            "started",
            with_page(Notice::started(
                EXECUTION,
                at("09:00:00"),
                &release(&json!({"steps": [], "warnings": ["took over the locks of chat-41"]})),
            )),
        ),
        (
            "shifted",
            Notice::shifted(EXECUTION, at("09:01:00"), &release(&json!({}))),
        ),
        (
            "shifted-before-an-approval",
            Notice::shifted(
                EXECUTION,
                at("09:06:30"),
                &release(&with(
                    json!({"reason": "2 of 1234 requests on green failed",
                    "evidence": good}),
                )),
            ),
        ),
        (
            "shifted-once-approved",
            Notice::shifted(
                EXECUTION,
                at("09:20:00"),
                &release(&json!({"answers": approved, "evidence": good,
                    "position": {"step": 2, "waitedSeconds": 0, "waitSeconds": 60},
                    "steps": [steps_to_50()[0], steps_to_50()[1],
                        {"weight": 100, "startedAt": "2026-11-21T09:20:00Z"}]})),
            ),
        ),
    ]
}

/// When a person is asked.
fn asking() -> Named {
    let good = good();
    vec![
        (
            "approval-needed",
            asked(
                QuestionKind::Approval,
                &with(
                    json!({"decision": "ask", "resume": "shift", "evidence": good,
                    "position": {"step": 2, "waitedSeconds": 0, "waitSeconds": 60},
                    "reason": "2 of 1234 requests on green failed; 1 alarms watched, none newly in ALARM"}),
                ),
                true,
            ),
        ),
        (
            "held-without-data",
            asked(
                QuestionKind::Hold,
                &with(json!({"decision": "hold", "resume": "shift",
                    "reason": "chat-history: 0 of 50 required requests were seen on green",
                    "evidence": {"decidedBy": "noData", "alarms": [
                        {"name": "chat-5xx", "state": "INSUFFICIENT_DATA"}]}})),
                false,
            ),
        ),
        (
            "held-after-a-rejection",
            asked(
                QuestionKind::Hold,
                &with(
                    json!({"phase": "inFlight", "decision": "hold", "resume": "shift", "evidence": good,
                    "answers": [{"decision": "reject", "by": "Ada", "reason": "not on a Friday",
                        "at": "2026-11-21T09:16:30Z", "weight": 50}],
                    "reason": "2 of 1234 requests on green failed"}),
                ),
                true,
            ),
        ),
        (
            "held-and-left",
            Notice::left(
                EXECUTION,
                at("21:16:30"),
                &outcome(
                    DeploymentStatus::Held,
                    "no operator answered the hold within 43200 s; no data",
                    &with(json!({})),
                ),
            ),
        ),
    ]
}

/// When traffic has moved, and has come to rest.
fn settled() -> Named {
    let bad = json!({"decidedBy": "errorTest", "judge": judged(1234.5, 56)});
    let mut promoted = outcome(
        DeploymentStatus::Successful,
        "green has all traffic; 2 of 1234 requests on green failed; 1 alarms watched, none newly in ALARM",
        &with(
            json!({"evidence": good(), "answers": approved(), "warnings":
            ["chat-history: event source sqs:history invokes the function itself, not the alias"]}),
        ),
    );
    promoted.retain_until = Some("2026-11-22T09:21:30Z".parse().unwrap());
    let mut alarm = outcome(
        DeploymentStatus::RolledBack,
        "alarm chat-5xx fired: Threshold Crossed: 1 datapoint [7.0 (21/11/26 09:07:00)] was greater than or equal to the threshold (5.0).",
        &with(json!({})),
    );
    alarm.evidence = serde_json::from_value(json!({"decidedBy": "alarm", "alarms": [
        {"name": "chat-5xx", "state": "ALARM", "since": "2026-11-21T09:08:10Z"}]}))
    .unwrap();
    // Its own counts decided; the function itself failed nothing.
    let mut responses = json!({"decidedBy": "responseTest", "judge": judged(1234.5, 56)});
    responses["judge"]["function"] = json!("function URL of chat-assistant");
    responses["judge"]["functions"] = json!(3);
    vec![
        ("promoted", with_page(ended(&promoted))),
        (
            "rolled-back-by-responses",
            failed(
                "DeploymentRolledBack",
                &outcome(
                    DeploymentStatus::RolledBack,
                    "function URL of chat-assistant: 56 of 1234 green requests failed (4.538 %), 12 of 11106 blue ones",
                    &with(json!({"evidence": responses})),
                ),
            ),
        ),
        (
            "rolled-back-by-a-metric",
            failed(
                "DeploymentRolledBack",
                &outcome(
                    DeploymentStatus::RolledBack,
                    "metric Chat/Tokens: was 900 and 950 in its two newest minutes, over the ceiling of 500",
                    &with(
                        json!({"evidence": {"decidedBy": "metricCeiling", "judge": judged(0.031, 2), "sources": [
                        {"source": "metric Chat/Tokens", "verdict": "unhealthy", "decidedBy": "metricCeiling",
                            "reason": "metric Chat/Tokens: was 900 and 950 in its two newest minutes, over the ceiling \
                                       of 500"}]}}),
                    ),
                ),
            ),
        ),
        (
            "rolled-back-by-the-test",
            failed(
                "DeploymentRolledBack",
                &outcome(
                    DeploymentStatus::RolledBack,
                    "chat-assistant: 56 of 1234 requests on green failed, 12 of 11106 on blue",
                    &with(json!({"evidence": bad})),
                ),
            ),
        ),
        (
            "rolled-back-by-an-alarm",
            failed("DeploymentRolledBack", &alarm),
        ),
        (
            "rolled-back-by-a-health-check",
            failed(
                "DeploymentRolledBack",
                &outcome(
                    DeploymentStatus::RolledBack,
                    "health check https://chat.example.com/health failed 3 times in a row: status 503 instead of 200",
                    &with(
                        json!({"evidence": {"decidedBy": "healthCheck", "healthChecks": [
                    {"check": "https://chat.example.com/health", "failuresInARow": 3,
                        "said": "status 503 instead of 200"}]}}),
                    ),
                ),
            ),
        ),
    ]
}

/// When no traffic has moved, or not as it ought to.
fn otherwise() -> Named {
    let mut wired = nothing_begun("stage prod of API abc123 calls production of chat-assistant");
    wired.deployment_status = DeploymentStatus::Successful;
    wired.front_door = serde_json::from_value(json!({"apiId": "abc123", "stage": "prod",
        "alias": "production", "written": ["make alias production on version 41",
            "deploy stage prod"]}))
    .unwrap();
    vec![
        (
            "rejected-before-any-traffic",
            failed("ValidationFailed", &outcome(
                DeploymentStatus::Rejected,
                "1 of 2 smoke tests failed: chat-assistant, health: statusCode is 500 instead of 200",
                &json!({"steps": [], "evidence": {"validation": [{"functionName": "chat-assistant",
                    "test": "health", "failures": ["statusCode is 500 instead of 200"]}],
                    "validationLeftOut": 1}}),
            )),
        ),
        (
            "rejected-request",
            failed("InvalidRequest", &nothing_begun(
                "strategy.steps[2].weight: is 90 %, and this is the last step; the last step's weight must be 100",
            )),
        ),
        (
            "unchanged",
            ended(&outcome(
                DeploymentStatus::NoChange,
                "green is the version that serves already",
                &json!({"steps": []}),
            )),
        ),
        ("wired", ended(&wired)),
        (
            "stuck-changed-outside",
            failed("ChangedOutside", &outcome(
                DeploymentStatus::Held,
                "alarm chat-5xx fired; not touched: chat-assistant:production is on version 40 now",
                &with(json!({})),
            )),
        ),
        (
            "stuck-not-put-back",
            failed("RollbackFailed", &outcome(
                DeploymentStatus::Held,
                "traffic could not be restored to blue, and the sweep tries again every 5 minutes: UpdateAlias: AccessDeniedException: no",
                &with(json!({})),
            )),
        ),
        (
            "retention-failed",
            Notice::retention_failed(
                "arn:aws:states:eu-west-1:123456789012:execution:crossfade-retention:chat-42",
                at("10:00:00"),
                Some("chat".parse().unwrap()),
                "its versions were not cleaned up: Refused: DeleteFunction: AccessDeniedException: no"
                    .into(),
            ),
        ),
    ]
}

/// Everything that can be told, by the name of its file.
fn notices() -> BTreeMap<&'static str, Notice> {
    let all = [going_on(), asking(), settled(), otherwise()];
    all.into_iter().flatten().collect()
}

fn shown(notice: &Notice) -> String {
    let mail = mail(notice);
    format!(
        "Subject: {}\n\n{}\n======== chat\n\n{:#}\n\n======== event\n\n{:#}\n",
        mail.subject,
        mail.body,
        chat(notice),
        json!(event(notice)),
    )
}

#[test]
fn matches_the_golden_notices() {
    let folder = here("tests/golden/notices");
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let mut changed = Vec::new();
    for (name, notice) in notices() {
        let path = folder.join(format!("{name}.txt"));
        let is = shown(&notice);
        if update {
            fs::write(&path, &is).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != is {
            changed.push(name);
        }
    }
    assert!(
        changed.is_empty(),
        "{changed:?} are told otherwise: if that is as it should be, UPDATE_GOLDEN=1, and look at the difference"
    );
    let kept: BTreeSet<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let named: BTreeSet<_> = notices().keys().map(|name| format!("{name}.txt")).collect();
    assert_eq!(kept, named, "files of what is not told any more");
}

#[test]
fn everything_that_can_be_told_is_among_them() {
    let told: BTreeSet<Kind> = notices().values().map(|notice| notice.facts.kind).collect();
    let all: BTreeSet<Kind> = Kind::VARIANTS.iter().copied().collect();
    assert_eq!(told, all);
    let ids: BTreeSet<_> = notices()
        .into_values()
        .filter(|notice| notice.facts.kind == Kind::Shifted)
        .map(|notice| notice.facts.id)
        .collect();
    assert_eq!(ids.len(), 3, "each shift has an id of its own: {ids:?}");
    let again = notices()["shifted"].facts.id.clone();
    assert!(ids.contains(&again), "and the same one each time: {again}");
}

#[test]
fn who_is_told_can_decide_only_by_mail_and_in_the_channel() {
    let nonce = Nonce::from_random([7; 32]).shown();
    let mut asked = 0;
    for (name, notice) in notices() {
        let (mail, chat) = (mail(&notice).body, chat(&notice).to_string());
        let event = json!(event(&notice)).to_string();
        assert!(!chat.contains(TOKEN), "{name}");
        assert!(!event.contains(TOKEN) && !event.contains(&nonce), "{name}");
        if let Some(ways) = &notice.ways {
            asked += 1;
            assert!(mail.contains(TOKEN), "{name}");
            let linked = ways.link.is_some();
            assert_eq!(mail.contains(&nonce), linked, "{name}");
            assert_eq!(chat.contains(&nonce), linked, "{name}");
            assert!(!format!("{notice:?}").contains(&nonce), "{name}");
        } else {
            assert!(!mail.contains("How to answer"), "{name}");
        }
    }
    assert_eq!(asked, 3);
}

/// The schema with every object closed: what it does not describe is a mistake here. Whoever reads
/// events has to take fields that a later Crossfade adds.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") {
                fields.insert("additionalProperties".into(), json!(false));
            }
            for value in fields.values_mut() {
                *value = closed(value.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = closed(item.take());
            }
        }
        _ => {}
    }
    schema
}

#[test]
fn matches_events_with_their_schema() {
    let schema = jsonschema::draft202012::new(&closed(Event::schema())).unwrap();
    for (name, notice) in notices() {
        let event = json!(event(&notice));
        let wrong: Vec<_> = schema
            .iter_errors(&event)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let read: Event = serde_json::from_value(event.clone()).unwrap();
        assert_eq!(json!(read), event, "{name}");
    }
    // It can refuse.
    let mut wrong = json!(event(&notices()["promoted"]));
    wrong["detail"]["weight"] = json!(101);
    assert!(!schema.is_valid(&wrong));
    let mut wrong = json!(event(&notices()["promoted"]));
    wrong["detail"]["reasons"] = json!([]);
    assert!(!schema.is_valid(&wrong));
    let mut wrong = json!(event(&notices()["promoted"]));
    wrong["detail-type"] = json!("Finished");
    assert!(!schema.is_valid(&wrong));
}

#[test]
fn keeps_the_event_schema_current() {
    let path = here("../statemachine/events.schema.json");
    let schema = format!("{:#}\n", Event::schema());
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == schema, "{} is old: make schema", path.display());
}

/// A train of as many functions as can be, each name as long as can be, at the end of as long a plan.
fn longest(reason: usize) -> Notice {
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
        .map(|nth| json!({"name": format!("{nth:0255}"), "state": "ALARM"}))
        .collect();
    let proofs: Vec<_> = (0..50)
        .map(|_| json!({"failures": ["x".repeat(reason)]}))
        .collect();
    let outcome: Outcome = serde_json::from_value(json!({
        "deploymentStatus": "ROLLED_BACK", "application": "chat", "functions": functions,
        "reason": "ü".repeat(reason), "steps": steps, "warnings": vec!["w".repeat(reason); 30],
        "evidence": {"decidedBy": "alarm", "alarms": alarms, "validation": proofs},
    }))
    .unwrap();
    Notice::ended(EXECUTION, at("12:00:00"), &outcome)
}

#[test]
fn fits_notices_of_the_longest_train() {
    for characters in [300, 30_000] {
        let notice = longest(characters);
        let (mail, chat, event) = (mail(&notice), chat(&notice).to_string(), event(&notice));
        let detail = json!(event.detail).to_string();
        println!(
            "{characters}: mail {} bytes, chat {} bytes, event {} bytes",
            mail.body.len(),
            chat.len(),
            detail.len()
        );
        assert!(mail.subject.len() < 100, "{}", mail.subject);
        assert!(mail.body.len() <= 250 * 1024);
        assert!(chat.len() < 16 * 1024);
        assert!(detail.len() <= 240 * 1024);
        assert_eq!(event.detail.functions.len(), 50);
        for function in &notice.facts.functions {
            assert!(mail.body.contains(function.function_name.as_ref()));
        }
        let whole = characters == 300;
        assert_eq!(event.detail.left_out.is_empty(), whole);
        assert_eq!(mail.body.contains("Left out here"), !whole);
    }
}
