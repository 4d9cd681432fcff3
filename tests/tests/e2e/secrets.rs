//! What users hand in may be secret: payloads, tokens, links. Nothing of it is in any log.

use crossfade_tests::{Behaviour, Target, release::until};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, merge, test},
    page::link,
    splitters::{Door, Kind},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("secrets_of_a_release_are_never_logged", of_a_release),
        test("secrets_of_refused_releases_are_never_logged", of_refused),
    ]
}

/// Text that nobody else has, to be found again.
fn secret(case: &Case, what: &str) -> String {
    format!("s3cr3t-{what}-{}", case.name)
}

/// Lines of the logs of the stack's functions and state machines that contain any of `texts`, and
/// how many lines there are.
async fn logged(case: &Case, texts: &[String]) -> (Vec<String>, u64) {
    let mut found = Vec::new();
    let mut lines = 0;
    for prefix in [
        "/aws/lambda/crossfade-",
        "/aws/vendedlogs/states/crossfade-",
    ] {
        let query = json!({"prefix": prefix, "contains": texts});
        let said = case.world.control.post("logs", &query).await;
        lines += said["lines"].as_u64().unwrap_or_default();
        let said = said["found"].as_array().cloned().unwrap_or_default();
        found.extend(said.iter().map(ToString::to_string));
    }
    (found, lines)
}

/// None of the secrets is in the logs, where `marks` are, each of them: the search finds what is there.
async fn are_not_logged(case: &Case, secrets: &[String], marks: &[String]) {
    for mark in marks {
        until(&format!("{mark} in the logs"), || async {
            let (found, _) = logged(case, std::slice::from_ref(mark)).await;
            (!found.is_empty()).then_some(())
        })
        .await;
    }
    let (found, lines) = logged(case, secrets).await;
    assert!(lines > 20, "{lines} lines in all");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A function that answers with what it is called with.
async fn echo(case: &Case, name: &str, answers: &[Value]) -> Target {
    let name = format!("{}-{name}", case.function_name());
    let behaviour = Behaviour {
        echo: true,
        answers: answers.to_vec(),
        ..Behaviour::healthy("echo")
    };
    Target::create(&case.suite().local, &name, behaviour).await
}

fn echoes(version: &str) -> Behaviour {
    Behaviour {
        echo: true,
        ..Behaviour::healthy(version)
    }
}

/// The token that a state handed to its function.
async fn token(execution: &crossfade_tests::Execution, state: &str) -> String {
    execution.wait_for_state(state, 1).await;
    until("a task has a token", || async {
        let history = execution.history().await;
        let scheduled = history
            .iter()
            .filter_map(|event| event.task_scheduled_event_details.as_ref());
        let mut given = scheduled
            .filter_map(|task| serde_json::from_str::<Value>(&task.parameters).ok())
            .filter_map(|task| find(&task, "token"));
        given.next_back()
    })
    .await
}

/// A field of this name, wherever it is.
fn find(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| fields.values().find_map(|field| find(field, name))),
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

async fn of_a_release(case: Case) {
    let door = Door::make(&case, Kind::Rule, echoes("green")).await;
    let migration = echo(&case, "mig", &[]).await;
    let planted = |what| secret(&case, what);
    let answered = json!({"hookStatus": "SUCCEEDED", "seen": planted("hook-answer")});
    let hook = echo(&case, "hook", &[answered]).await;
    let path = format!("/{}?key={}", case.name, planted("health-url"));
    case.suite().health.answer(&path, 200);
    let mut steps = canary(&[(10, 0), (50, 30), (100, 0)]);
    steps["approveBefore"] = json!(50);
    let url = |path: &str| json!({"url": case.suite().health.url(path), "intervalSeconds": 10});
    let mut request = door.request(&case, json!({
        "strategy": steps,
        "onDenied": "hold",
        "migration": {"functionName": migration.name, "payload": {"password": planted("migration")}},
        "hooks": {"afterShift": {"functionName": hook.name}},
        "analysis": {
            "onInconclusive": "proceed", "maxBakeSeconds": 60,
            "healthChecks": door.of_each_side([url("/other"), url(&path)]),
        },
    }));
    request["functions"][0]["smokeTests"] = json!([{
        "name": "health",
        "payload": {"path": "/health", "headers": {"authorization": planted("smoke-payload")}},
        "expect": {"bodyContains": planted("smoke-payload")},
    }]);
    let execution = case.start(&request).await;

    // Approved no, held, then promoted: two tokens and two links.
    let asked = token(&execution, "AwaitApproval").await;
    let page = link(&case, &execution, 0).await;
    assert_eq!(page.ask("GET").await.status, 200);
    let wrong = page.with(&format!("release=x&nonce={}", planted("nonce")));
    assert_eq!(wrong.ask("GET").await.status, 403);
    assert_eq!(
        page.post("reject", "Ada", &planted("reason")).await.status,
        200
    );
    let held = token(&execution, "Hold").await;
    let hold = link(&case, &execution, 1).await;
    assert_eq!(hold.post("promote", "Ada", "").await.status, 200);
    let ended = execution.wait().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.share_is(1.0).await;

    let nonces = [page.field("nonce"), hold.field("nonce")];
    let mut secrets: Vec<String> = [
        "migration",
        "hook-answer",
        "health-url",
        "smoke-payload",
        "nonce",
        "reason",
    ]
    .iter()
    .map(|what| secret(&case, what))
    .collect();
    secrets.extend(nonces.map(str::to_owned));
    secrets.extend([asked, held]);
    assert!(secrets.iter().all(|secret| secret.len() > 8), "{secrets:?}");
    // What is logged of the same release, by each function that had a secret in its hands.
    are_not_logged(&case, &secrets, std::slice::from_ref(&execution.arn)).await;
    for function in [
        "deploy-green",
        "hooks",
        "shift-traffic",
        "check-alarms",
        "approval",
        "finalize",
    ] {
        let query = json!({"prefix": format!("/aws/lambda/crossfade-{function}"), "contains": [execution.arn]});
        let said = case.world.control.post("logs", &query).await;
        let found = said["found"].as_array().map_or(0, Vec::len);
        assert!(found > 0, "{function} logs nothing of {}", execution.arn);
    }
}

async fn of_refused(case: Case) {
    // Green answers with its payload, which is not what is expected.
    let payload = secret(&case, "echoed");
    let mut expect = Vec::new();
    for wrong in [
        json!({"bodyContains": secret(&case, "expected")}),
        json!({"json": {"/statusCode": secret(&case, "pointed-at")}}),
        json!({"json": {"/body": "something else"}}),
    ] {
        let part = case.part(&format!("n{}", expect.len()));
        let target = part.blue_and(echoes("green")).await;
        let mut request = part.request(json!({}));
        request["functions"][0]["smokeTests"] =
            json!([{"name": "t", "payload": {"password": payload}, "expect": wrong}]);
        let (_, ended) = part.release(&request).await;
        assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
        assert_eq!(
            target.look(ALIAS).await.map(|a| a.primary).as_deref(),
            Some("1")
        );
        expect.push(ended.cause["reason"].clone());
    }
    let told = Value::from(expect).to_string();
    assert!(
        told.contains(&payload) && told.contains(&secret(&case, "pointed-at")),
        "who released it is told: {told}"
    );

    // A request that cannot be read is quoted to who made it, and not in a log.
    let wrong = secret(&case, "field");
    for more in [
        json!({"holdTimeoutSeconds": wrong}),
        json!({"strategy": wrong}),
        json!({wrong.as_str(): 1}),
        json!({"migration": {"functionName": wrong.replace('-', "/"), "payload": {"password": wrong}}}),
    ] {
        let mut request = case.request(json!({}));
        merge(&mut request, more);
        let (_, ended) = case.release(&request).await;
        assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
    }

    // A migration that fails.
    let part = case.part("mig");
    let _target = part.blue().await;
    let name = format!("{}-mig", part.function_name());
    let migration = Behaviour::failing("migration", 100.0);
    let migration = Target::create(&case.suite().local, &name, migration).await;
    let mut request = part.request(json!({
        "migration": {"functionName": migration.name, "payload": {"password": secret(&case, "migration")}},
    }));
    let (first, ended) = part.release(&request).await;
    assert_eq!(ended.error, "MigrationFailed", "{ended:?}");
    // One that is not there.
    request["migration"]["functionName"] = json!(format!("{}-none", migration.name));
    let (_, ended) = part.release(&request).await;
    assert_eq!(ended.status, "FAILED", "{ended:?}");

    let secrets: Vec<String> = ["echoed", "expected", "pointed-at", "field", "migration"]
        .iter()
        .map(|what| secret(&case, what))
        .chain([wrong.replace('-', "/")])
        .collect();
    let marks = [
        first.arn.clone(),
        "ValidationFailed".into(),
        "InvalidRequest".into(),
    ];
    are_not_logged(&case, &secrets, &marks).await;
}
