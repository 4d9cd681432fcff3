//! The command line before and between releases: whether an installation is sound, and requests in YAML.

use std::path::PathBuf;

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StateValue, Statistic};
use crossfade_tests::{Behaviour, Stack, Target, World, paths, world::Fault};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    case::{ALIAS, Case, Test, apart, canary, test},
    cli::{ended, program, spawn, surroundings},
};

/// The stack that `doctor` checks.
const STACK: &str = "crossfade-sound";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        apart("cli_doctor_checks_an_installation", doctor),
        test("cli_deploys_a_request_in_yaml", yaml),
        test("cli_init_writes_what_can_be_deployed", init),
        test("cli_init_asks_on_a_terminal", init_asks),
        test("cli_lists_releases_and_ways_back", releases),
    ]
}

/// What `doctor` finds, by check: its verdict and what was found; and the exit code.
async fn doctored(case: &Case, more: &[&str]) -> (i32, Value) {
    let arguments = [&["doctor", "--json", "--stack", STACK], more].concat();
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
#[allow(clippy::too_many_lines)] // Each thing that can be broken, one after the other.
async fn doctor(case: Case) {
    let local = &case.suite().local;
    let config = local.config();
    // One of its own: other tests leave messages in queues, and alarms that fire.
    let stack = Stack::deploy_as(local, STACK, "sound-", &[]).await;
    World::new(local, &stack).run_schedule().await;
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
    let said = ended(spawn(
        &case,
        &["doctor", "--no-event", "--stack", STACK],
        "",
    ))
    .await;
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

    // An alarm's event is lost on its way; all of them are, for that of the check before may come late.
    let lost = Fault::new("lose")
        .on("events", "Deliver")
        .about("CloudWatch Alarm State Change")
        .always();
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

/// An alarm on a function's own metrics, which is OK.
async fn alarm_of(case: &Case, target: &Target) -> String {
    let name = format!("{}-errors", case.name);
    aws_sdk_cloudwatch::Client::new(&case.suite().local.config())
        .put_metric_alarm()
        .alarm_name(&name)
        .namespace("AWS/Lambda")
        .metric_name("Errors")
        .dimensions(
            Dimension::builder()
                .name("FunctionName")
                .value(&target.name)
                .build(),
        )
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(5.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold)
        .treat_missing_data("ignore")
        .send()
        .await
        .expect("an alarm can be made");
    case.world.set_alarm(&name, StateValue::Ok).await;
    name
}

/// An empty folder of a test's own.
fn folder(case: &Case) -> PathBuf {
    let folder = paths::target().join("tmp").join(&case.name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("it can be emptied");
    }
    std::fs::create_dir_all(&folder).expect("it can be made");
    folder
}

/// Without a terminal: what the flags do not give comes from the account; what is written is planned and deployed as
/// it is.
async fn init(case: Case) {
    let target = case.blue().await;
    let alarm = alarm_of(&case, &target).await;
    aws_sdk_lambda::Client::new(&case.suite().local.config())
        .add_permission()
        .function_name(&target.name)
        .statement_id("stage")
        .action("lambda:InvokeFunction")
        .principal("apigateway.amazonaws.com")
        .source_arn("arn:aws:execute-api:us-east-1:000000000000:abc123/prod/GET/chat")
        .send()
        .await
        .expect("a permission can be added");
    let file = folder(&case).join("crossfade.json");
    let path = file.to_str().expect("the path is text");

    // Of two functions with the stack's prefix none is chosen.
    let other = format!("{}-b", target.name);
    case.function_called(&other, Behaviour::healthy("blue"))
        .await;
    let said = ended(spawn(&case, &["init", "--file", path], "")).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.err.contains("--function") && said.err.contains(&target.name),
        "{said:?}"
    );
    assert!(!file.exists());

    let init = [
        "init",
        "--yes",
        "--function",
        &target.name,
        "--strategy",
        "AllAtOnce",
        "--file",
        path,
    ];
    let said = ended(spawn(&case, &init, "")).await;
    assert_eq!(said.code, 0, "{said:?}");
    let request: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("it is written")).expect("it is JSON");
    let written = json!({"application": target.name, "strategy": "AllAtOnce", "analysis": {"alarms": [alarm]},
        "functions": [{"functionName": target.name, "alias": ALIAS}]});
    assert_eq!(request, written);
    let page = std::fs::read_to_string(file.with_extension("md")).expect("it is written");
    assert!(
        page.contains(&alarm) && page.contains("abc123/prod/GET/chat"),
        "{page}"
    );

    let said = ended(spawn(&case, &init, "")).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("is there already"), "{said:?}");
    let forced = [&init[..], &["--force", "--no-alarms"]].concat();
    let said = ended(spawn(&case, &forced, "")).await;
    assert_eq!(said.code, 0, "{said:?}");
    let page = std::fs::read_to_string(file.with_extension("md")).expect("it is written");
    assert!(page.contains("No alarm guards the release"), "{page}");

    std::fs::write(&file, written.to_string()).expect("it can be written");
    let said = ended(spawn(&case, &["plan", path], "")).await;
    assert_eq!(said.code, 0, "{said:?}");
    let said = ended(spawn(
        &case,
        &["deploy", path, "--watch", "--every", "0.2"],
        "",
    ))
    .await;
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
}

/// On a terminal: an answer that will not do is asked again, and an empty one takes what is proposed.
async fn init_asks(case: Case) {
    let target = case.blue().await;
    let file = folder(&case).join("release.json");
    let (mut pty, pts) = pty_process::open().expect("a terminal can be had");
    let mut child = pty_process::Command::new(program())
        .args(["init", "--file"])
        .arg(&file)
        .env_clear()
        .envs(surroundings(&case))
        .env("TERM", "xterm-256color")
        .kill_on_drop(true)
        .spawn(pts)
        .expect("it can be run");
    let answers = format!(
        "{}\nmy app\nmy-app\n\nAllAtOnec\nAllAtOnce\nnone\n",
        target.name
    );
    pty.write_all(answers.as_bytes())
        .await
        .expect("it can be typed");
    let mut drawn = Vec::new();
    // The terminal ends with the program, and the kernel calls that an error.
    let _ = pty.read_to_end(&mut drawn).await;
    let code = child.wait().await.expect("it ends").code();
    let drawn = String::from_utf8_lossy(&drawn);
    assert_eq!(code, Some(0), "{drawn}");
    assert!(
        drawn.contains(&format!("[{ALIAS}]")) && drawn.contains("\"AllAtOnce\""),
        "{drawn}"
    );
    let request: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("it is written")).expect("it is JSON");
    let written = json!({"application": "my-app", "strategy": "AllAtOnce",
        "functions": [{"functionName": target.name, "alias": ALIAS}]});
    assert_eq!(request, written);
}

/// After a promotion and a release that was rolled back: both are listed, the second is what `status` and `history` of
/// the application show, and an operator reads what serves and what it can return to.
async fn releases(case: Case) {
    let target = case.blue().await;
    let application = case.application();
    let told = |verb: &'static str| {
        let (case, application) = (case.clone(), application.clone());
        async move {
            let said = ended(spawn(&case, &[verb, &application, "--json"], "")).await;
            assert_eq!(said.code, 0, "{said:?}");
            serde_json::from_str::<Value>(&said.out)
                .unwrap_or_else(|error| panic!("{error}: {said:?}"))
        }
    };
    let promoted = case
        .start(&case.request(json!({"analysis": {"onInconclusive": "proceed"}})))
        .await;
    assert_eq!(promoted.wait().await.status, "SUCCEEDED");
    target.update(Behaviour::healthy("third")).await;
    let second = case.request(json!({
        "strategy": canary(&[(10, 3000), (100, 0)]),
        "analysis": {"checkEverySeconds": 60, "maxBakeSeconds": 80000},
    }));
    let second = case.start(&second).await;
    second.wait_for_state("Bake", 1).await;
    let said = ended(spawn(&case, &["releases", &application], "")).await;
    assert!(said.out.contains("which is in flight"), "{said:?}");
    second.stop().await;
    case.ledger_says(&second, "ROLLED_BACK").await;

    let listed = told("releases").await;
    let rows = listed["releases"].as_array().expect("they are listed");
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (&row["execution"], &row["status"]))
        .collect();
    assert_eq!(
        rows,
        [
            (&json!(second.arn), &json!("ROLLED_BACK")),
            (&json!(promoted.arn), &json!("PROMOTED"))
        ],
        "{listed}"
    );
    let serving = &listed["serving"][0];
    assert_eq!(
        (&serving["on"], &serving["otherVersions"]),
        (&json!("100 % on version 2"), &json!(["3", "1"])),
        "{listed}"
    );
    assert_eq!(told("status").await["status"], "ROLLED_BACK");
    assert_eq!(told("history").await["execution"], second.arn.as_str());

    let said = ended(spawn(&case, &["releases", &application], "")).await;
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "ROLLED_BACK",
        "100 % on version 2; other versions: 3, 1",
        "--to VERSION",
        &format!("`crossfade rollback {application}` takes "),
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let said = ended(spawn(&case, &["releases"], "")).await;
    assert!(
        said.out.contains(&application) && !said.out.contains("serving now"),
        "{said:?}"
    );
}
