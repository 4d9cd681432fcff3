//! Releases that AWS's limits would end: an execution's 25,000 events, and metrics that come late.

use std::time::Duration;

use crossfade::wire::request::Request;
use crossfade_tests::{Behaviour, Execution};
use serde_json::json;

use crate::{
    case::{Case, Test, apart, canary, test},
    hooks::hook,
    promoted::promoted,
    rolled_back::rolled_back,
    splitters::{Door, Kind},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("limits_a_day_of_health_checks_is_promoted", day_of_checks),
        test(
            "limits_a_day_of_a_hook_in_progress_is_promoted",
            day_of_a_hook,
        ),
        apart("limits_reached_ends_on_blue_and_says_why", reached),
        test("limits_a_green_that_hangs_is_rolled_back", hangs),
    ]
}

const DAY: u32 = 86_400;

/// A day in nine seconds.
const DAYS: f64 = 0.0001;

/// How long a day of looks takes: each of them invokes a function for real.
const PATIENCE: Duration = Duration::from_mins(4);

/// AWS's limit.
const EVENTS: usize = 25_000;

async fn events(execution: &Execution) -> usize {
    let events = execution.history().await.len();
    println!("{}: {events} events", execution.arn);
    events
}

/// One health check, asked as often as it is by default.
async fn day_of_checks(case: Case) {
    let door = Door::make(&case, Kind::Rule, Behaviour::healthy("green")).await;
    let path = format!("/{}", case.name);
    case.suite().health.answer(&path, 200);
    let check = |path: &str| json!({"url": case.suite().health.url(path)});
    let checks = door.of_each_side([check(&format!("{path}-other")), check(&path)]);
    let users = door.users(&case, 2.0);
    let request = door.request(
        &case,
        json!({
            "strategy": canary(&[(100, DAY)]),
            "analysis": {"healthChecks": checks, "checkEverySeconds": null,
                "maxBakeSeconds": null},
        }),
    );
    let execution = case.start_scaled(&request, DAYS).await;
    let ended = execution.wait_within(PATIENCE).await;
    drop(users);
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL", "{ended:?}");
    let events = events(&execution).await;
    assert!(events < EVENTS, "{events}");
}

async fn day_of_a_hook(case: Case) {
    let target = case.blue().await;
    let request = |hook: &str| {
        case.request(json!({
            "strategy": {"type": "allAtOnce"},
            "hooks": {"afterShift": {"functionName": hook, "timeoutSeconds": DAY}},
        }))
    };
    let Ok(Request::Release(known)) = Request::parse(&request("hook")) else {
        panic!("it is a release");
    };
    let asked_for = known.hooks.after_shift.as_ref();
    let asked_for = asked_for.expect("it has a hook");
    let asked = DAY / known.pace().call_every_seconds(asked_for) - 2;
    let mut answers = vec![json!({"hookStatus": "IN_PROGRESS"}); asked as usize];
    answers.push(json!({"hookStatus": "SUCCEEDED"}));
    let hook = hook(&case, "hook", &answers).await;
    let execution = case.start_scaled(&request(&hook.name), DAYS).await;
    let ended = execution.wait_within(PATIENCE).await;
    promoted(&target, &ended, "2").await;
    let said = &ended.output["evidence"]["hooks"][0];
    assert!(
        said["waitedSeconds"].as_u64() > Some(u64::from(DAY) * 95 / 100),
        "{said}"
    );
    let events = events(&execution).await;
    assert!(events < EVENTS, "{events}");
}

/// Nothing catches that an execution fails so: the traffic is put back by the event of its end.
async fn reached(case: Case) {
    let target = case.blue().await;
    case.world
        .control
        .post("limits", &json!({"historyEvents": 60}))
        .await;
    let request = case.request(json!({"strategy": canary(&[(50, 3_000), (100, 0)])}));
    let execution = case.start(&request).await;
    let ended = execution.wait().await;
    case.world
        .control
        .post("limits", &json!({"historyEvents": null}))
        .await;
    assert_eq!(
        (ended.status.as_str(), ended.error.as_str()),
        ("FAILED", "States.Runtime")
    );
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    let told = case.told(&execution, "ROLLED_BACK").await;
    for words in [
        "history events (60)",
        "no more than 25000",
        "maxBakeSeconds",
        "checkEverySeconds",
        "callBackDelay",
    ] {
        assert!(told.message.contains(words), "{words}: {}", told.message);
    }
}

/// Four of five requests to green hang until the function's timeout, ten seconds, and are counted a second after
/// that. The last bake is shorter. So many are on their way at its end, as many as users have at once, that they
/// decide whichever they are and however slow the machine is.
async fn hangs(case: Case) {
    let green = Behaviour {
        slow_rate_percent: 80.0,
        slow_ms: 60_000,
        ..Behaviour::healthy("green")
    };
    let target = case.blue_and(green).await;
    case.metrics_come_late(&target, 1.0).await;
    let users = case.users(&target, 6.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 10), (100, 30)]),
        "analysis": {"maxErrorRatePercent": 5, "minInvocations": 1, "checkEverySeconds": 10,
            // Until one that does not hang is counted.
            "maxBakeSeconds": 100},
    }));
    let execution = case.start_scaled(&request, 0.2).await;
    let ended = execution.wait().await;
    drop(users);
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    // Either has enough by then.
    let decided_by = cause["evidence"]["decidedBy"].as_str();
    assert!(
        matches!(decided_by, Some("errorCeiling" | "errorTest")),
        "{cause}"
    );
}
