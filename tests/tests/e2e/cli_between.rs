//! The command line before and between releases: whether an installation is sound, and requests in YAML.

use crossfade_tests::world::Fault;
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, alone, test},
    cli::{ended, spawn},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        alone("cli_doctor_checks_an_installation", doctor),
        test("cli_deploys_a_request_in_yaml", yaml),
    ]
}

/// What `doctor` finds, by check: its verdict and what was found; and the exit code.
async fn doctored(case: &Case, more: &[&str]) -> (i32, Value) {
    let arguments = [&["doctor", "--json"], more].concat();
    let said = ended(spawn(case, &arguments, "")).await;
    let told: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(told["exitCode"], said.code, "{said:?}");
    let checks = told["checks"].as_array().expect("it has checks").iter();
    let checks = checks.map(|check| {
        let name = check["name"].as_str().expect("it has a name").to_owned();
        (name, check.clone())
    });
    (said.code, checks.collect::<serde_json::Map<_, _>>().into())
}

/// Everything is ok on the stack as it is deployed; then each thing that can be broken here, alone.
async fn doctor(case: Case) {
    let config = case.suite().local.config();
    let stack = &case.world.stack;
    case.world.run_schedule().await;
    let sns = aws_sdk_sns::Client::new(&config);
    let subscribe = |topic: &str, protocol: &str, endpoint: &str| {
        sns.subscribe()
            .topic_arn(topic)
            .protocol(protocol)
            .endpoint(endpoint)
            .send()
    };
    subscribe(&stack.topic, "email", "ada@example.com")
        .await
        .expect("it can be subscribed");
    let (code, checks) = doctored(&case, &[]).await;
    for check in [
        "credentials",
        "stack",
        "version",
        "permissions",
        "notices",
        "chat",
        "alarm rule",
        "end rule",
        "sweep rule",
        "sweep",
        "queues",
        "alarms",
        "test event",
    ] {
        assert_eq!(checks[check]["verdict"], "ok", "{check}: {checks}");
    }
    assert_eq!(
        (code, checks.as_object().map(serde_json::Map::len)),
        (0, Some(13)),
        "{checks}"
    );
    let said = ended(spawn(&case, &["doctor", "--no-event"], "")).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.out.contains("test event"), "{said:?}");
    assert!(
        said.out.lines().all(|line| line.starts_with("ok  ")),
        "{said:?}"
    );

    // Nothing else is wrong each time.
    let only = |checks: &Value, name: &str, says: &str| {
        for (check, told) in checks.as_object().expect("they are by name") {
            let verdict = if check == name { "wrong" } else { "ok" };
            assert_eq!(told["verdict"], verdict, "{check}: {checks}");
        }
        let found = checks[name]["found"].as_str().unwrap_or_default();
        assert!(
            found.contains(says) && checks[name]["do"].is_string(),
            "{checks}"
        );
    };

    // An alarm's event is lost on its way.
    let lost = Fault::new("lose")
        .on("events", "Deliver")
        .about("CloudWatch Alarm State Change");
    let lost = case.world.fault(lost).await;
    let (code, checks) = doctored(&case, &["--timeout", "2"]).await;
    only(&checks, "test event", "said nothing of it");
    assert_eq!(code, 10);
    case.world.mend(lost).await;

    // The rule is disabled.
    let events = aws_sdk_eventbridge::Client::new(&config);
    let found = checks["alarm rule"]["found"].as_str().unwrap_or_default();
    let rule = found
        .split(' ')
        .nth(1)
        .expect("the rule is named")
        .to_owned();
    events
        .disable_rule()
        .name(&rule)
        .send()
        .await
        .expect("it can be disabled");
    let (code, checks) = doctored(&case, &["--no-event"]).await;
    events
        .enable_rule()
        .name(&rule)
        .send()
        .await
        .expect("it can be enabled");
    only(&checks, "alarm rule", "is disabled");
    assert_eq!(code, 10);

    // The caller may not start releases.
    let denied = Fault::new("access-denied").on("states", "StartExecution");
    let denied = case.world.fault(denied).await;
    let (code, checks) = doctored(&case, &["--no-event"]).await;
    case.world.mend(denied).await;
    only(&checks, "permissions", "may not start releases");
    assert_eq!(code, 10);

    // What cannot be read is not called well, nor wrong.
    let denied = Fault::new("access-denied").on("cloudwatch", "GetMetricStatistics");
    let denied = case.world.fault(denied).await;
    let (code, checks) = doctored(&case, &["--no-event"]).await;
    case.world.mend(denied).await;
    assert_eq!(
        (code, &checks["sweep"]["verdict"]),
        (9, &json!("couldNotTell")),
        "{checks}"
    );

    // A subscription waits for its confirmation.
    subscribe(&stack.chat, "https", "https://127.0.0.1:9/hook")
        .await
        .expect("it can be subscribed");
    let (code, checks) = doctored(&case, &["--no-event"]).await;
    only(
        &checks,
        "chat",
        "not confirmed: https https://127.0.0.1:9/hook",
    );
    assert_eq!(code, 10);

    // Another stack's name.
    let said = ended(spawn(&case, &["doctor", "--stack", "nothing"], "")).await;
    assert_eq!(said.code, 10, "{said:?}");
    assert!(
        said.out.contains("there is none of this name in us-east-1"),
        "{said:?}"
    );
}

/// A release whose request is YAML, in the file that `deploy` takes by itself.
async fn yaml(case: Case) {
    let target = case.blue().await;
    let request = format!(
        "application: {}\nstrategy: {{type: allAtOnce}}\nfunctions:\n  - functionName: {}\n    alias: {ALIAS}\n\
         analysis:\n  minInvocations: 1\n  settleSeconds: 0\n  onInconclusive: proceed\n  liveErrors: \"off\"\n",
        case.application(),
        target.name
    );
    let deploy = ["deploy", "-", "--watch", "--every", "0.2"];
    let said = ended(spawn(&case, &deploy, &request)).await;
    assert_eq!(said.code, 0, "{said:?}");
    let started = said
        .out
        .lines()
        .find_map(|line| line.strip_prefix("started "));
    case.watch(
        &case
            .world
            .execution(started.expect("it says what it started")),
    );
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("2"), "{alias:?}");
    // The same with a mistake is refused before AWS is called.
    let wrong = request.replace("alias:", "alais:");
    let said = ended(spawn(&case, &deploy, &wrong)).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.err.contains("functions[0].alais") && said.err.contains("\"alias\""),
        "{said:?}"
    );
}
