//! The command line: every verb, on a terminal and in a pipe, and how each end of a release ends it.

use std::{process::Stdio, time::Duration};

use crossfade::domain::Timestamp;
use crossfade_tests::{Behaviour, Execution, Target, paths, release::until, world::Fault};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use crate::case::{ALIAS, Case, Test, apart, canary, merge, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("cli_exits_with_a_rollback_that_failed", stuck),
        apart("cli_plans_what_a_release_then_does", plans),
        test("cli_plan_says_what_is_in_the_way", in_the_way),
        test("cli_watches_on_a_terminal", terminal),
        test("cli_watches_without_colours", no_colour),
        test("cli_watches_in_a_pipe", pipe),
        test("cli_watches_for_programs", lines_of_json),
        test("cli_approves", approves),
        test("cli_rejects_and_resumes", rejects_and_resumes),
        test("cli_holds_and_promotes", holds_and_promotes),
        test("cli_skips_the_rest", skips_the_rest),
        test("cli_goes_one_step", goes_one_step),
        test("cli_asks_before_it_skips", asks_before_it_skips),
        test(
            "cli_shows_an_alarms_rollback_at_once",
            shows_a_rollback_at_once,
        ),
        test("cli_rolls_back", rolls_back),
        test("cli_rolls_back_to_a_version", rolls_back_to_a_version),
        test("cli_exits_with_a_rejection", rejected),
        test("cli_tells_warnings", warnings),
        test("cli_tells_status_and_history", status_and_history),
        test("cli_exits_with_how_it_ended", ends),
        test("cli_exits_with_a_hold_that_was_left", left),
        test("cli_exits_with_what_was_stopped", stopped),
        test("cli_exits_with_what_somebody_else_changed", changed_outside),
        test("cli_leaves_a_release_alone", leaves_alone),
        test("cli_deploys_by_name_once", by_name),
    ]
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Its only object.
    fn object(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its objects, one a line.
    fn objects(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }
}

pub(crate) fn program() -> std::path::PathBuf {
    let program = paths::target().join("debug/crossfade");
    assert!(
        program.exists(),
        "{} is not there: `make programs` builds it",
        program.display()
    );
    program
}

/// What it finds of its surroundings: the local AWS, and nothing of whoever runs the tests.
pub(crate) fn surroundings(case: &Case) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", case.suite().local.endpoint()),
        ("AWS_ACCESS_KEY_ID", "test".into()),
        ("AWS_SECRET_ACCESS_KEY", "test".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_CONFIG_FILE", "/nonexistent".into()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".into()),
        ("USER", "ada".into()),
    ]
}

pub(crate) fn spawn(case: &Case, arguments: &[&str], input: &str) -> Child {
    let mut child = Command::new(program())
        .args(arguments)
        .env_clear()
        .envs(surroundings(case))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    tokio::spawn(async move { drop(stdin.write_all(input.as_bytes()).await) });
    child
}

pub(crate) async fn ended(child: Child) -> Said {
    let patience = Duration::from_mins(4);
    let output = tokio::time::timeout(patience, child.wait_with_output());
    let output = output
        .await
        .expect("it ends")
        .expect("it can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

async fn crossfade(case: &Case, arguments: &[&str]) -> Said {
    let said = ended(spawn(case, arguments, "")).await;
    // What it started is checked as every release is.
    for line in said.out.lines() {
        if let Some(arn) = line.strip_prefix("started ") {
            case.watch(&case.world.execution(arn));
        }
    }
    said
}

/// The name of the execution that a test starts: known before it begins.
fn name(case: &Case, of: &str) -> String {
    format!("{}-{of}", case.name)
}

fn execution(case: &Case, name: &str) -> Execution {
    let machine = &case.world.stack.state_machine;
    let machine = machine.replacen(":stateMachine:", ":execution:", 1);
    case.world.execution(&format!("{machine}:{name}"))
}

/// `deploy --watch` of a request, as a child that runs.
async fn deploying(case: &Case, name: &str, request: &Value) -> (Child, Execution) {
    let deploy = [
        "deploy", "-", "--watch", "--json", "--every", "0.2", "--name", name,
    ];
    let child = spawn(case, &deploy, &request.to_string());
    let execution = execution(case, name);
    case.watch(&execution);
    until("the release has begun", || async {
        execution.exists().await.then_some(())
    })
    .await;
    (child, execution)
}

/// A release that is watched to its end; the last that was said of it.
async fn deployed(case: &Case, of: &str, request: &Value) -> (i32, Value) {
    let (child, _) = deploying(case, &name(case, of), request).await;
    let said = ended(child).await;
    let last = said.objects().pop().expect("it says how it ended");
    assert_eq!(last["exitCode"], said.code, "{said:?}");
    (said.code, last)
}

async fn on(target: &Target, version: &str) {
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some(version), "{alias:?}");
}

/// What is planned is what happens, and to plan changes nothing.
async fn plans(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 60.0);
    let mut request = case.request(json!({
        "strategy": canary(&[(10, 80), (50, 80), (100, 80)]),
        "analysis": {"alarms": [alarm], "checkEverySeconds": 40, "maxBakeSeconds": 80,
            "onInconclusive": "proceed"},
    }));
    let function = &mut request["functions"][0];
    function["code"] = target.upload(Behaviour::healthy("uploaded")).await;
    function["smokeTests"] = json!([{"name": "health", "expect": {"statusCode": 200}}]);

    let since = case.world.now().await;
    let child = spawn(&case, &["plan", "-", "--json"], &request.to_string());
    let said = ended(child).await;
    assert_eq!(said.code, 0, "{said:?}");
    let plan = said.object();
    let written: Vec<_> = case
        .world
        .calls(since)
        .await
        .into_iter()
        .filter(|call| call.caller.is_none() && call.writes() && call.action != "Invoke")
        .collect();
    assert!(written.is_empty(), "{written:?}");
    assert!(
        plan["serving"][0]
            .as_str()
            .is_some_and(|it| it.contains('1')),
        "{plan}"
    );
    assert_eq!(plan["problems"], json!([]), "{plan}");

    let since = case.world.now().await;
    let (code, _) = deployed(&case, "r", &request).await;
    assert_eq!(code, 0);
    drop(users);
    let prune = case.world.stack.function("prune");
    let mut made = std::collections::BTreeMap::<String, u64>::new();
    for call in case.world.our_calls(since).await {
        if call.caller.as_ref() != Some(&prune) {
            *made
                .entry(format!("{} {}", call.service, call.action))
                .or_default() += 1;
        }
    }
    let execution = execution(&case, &name(&case, "r"));
    let states = execution.states_entered().await;
    println!("plan: {}", plan["calls"]);
    println!("made: {}", json!(made));
    println!(
        "states: planned {}, entered {}",
        plan["stateTransitions"],
        states.len()
    );
    let about = |what: &str, planned: u64, real: u64| {
        let off = planned.abs_diff(real);
        assert!(off * 10 <= real, "{what}: planned {planned}, it was {real}");
    };
    let number = |value: &Value| value.as_u64().expect("a number");
    about(
        "states",
        number(&plan["stateTransitions"]),
        states.len() as u64,
    );
    let planned: u64 = plan["calls"]
        .as_object()
        .unwrap()
        .values()
        .map(number)
        .sum();
    about("calls", planned, made.values().sum());
    for call in [
        "lambda UpdateAlias",
        "lambda PublishVersion",
        "lambda UpdateFunctionCode",
        "lambda Invoke",
    ] {
        assert_eq!(
            Some(&number(&plan["calls"][call])),
            made.get(call),
            "{call}"
        );
    }
}

async fn in_the_way(case: Case) {
    let target = case.blue().await;
    let (execution, _) = flying(&case, &target).await;
    let mut request = case.request(json!({"analysis": {"alarms": ["no-such-alarm"]}}));
    merge(
        &mut request["functions"][0],
        json!({"code": {"s3Bucket": "not-ours", "s3Key": "1.zip"}}),
    );
    let child = spawn(&case, &["plan", "-"], &request.to_string());
    let said = ended(child).await;
    // What is told first by a start is what the exit code says: it would not come so far as to the locks.
    assert_eq!(said.code, 2, "{said:?}");
    for part in [
        "in the way",
        "no-such-alarm",
        "not-ours",
        "is split",
        "(IN_FLIGHT) holds application/",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

/// A release in flight at 10 %, which stays there until somebody does something.
async fn flying(case: &Case, target: &Target) -> (Execution, String) {
    let request = case.request(json!({
        "strategy": canary(&[(10, 3000), (100, 0)]),
        "analysis": {"checkEverySeconds": 60, "maxBakeSeconds": 80000},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!((alias.share("2") - 0.1).abs() < 0.01, "{alias:?}");
    let name = execution
        .arn
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    (execution, name)
}

/// A release watched in a pseudo-terminal; all that was drawn, and the exit code.
async fn in_terminal(case: &Case, more: &[(&str, &str)]) -> (i32, String) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": canary(&[(10, 60), (50, 60), (100, 30)])}));
    let file = case.suite().local.dir().join(format!("{}.json", case.name));
    std::fs::write(&file, request.to_string()).expect("a file can be written");
    let (mut pty, pts) = pty_process::open().expect("there are pseudo-terminals");
    pty.resize(pty_process::Size::new(30, 160))
        .expect("it has a size");
    let name = name(case, "r");
    let mut child = pty_process::Command::new(program())
        .args(["deploy", "--watch", "--every", "0.2", "--name", &name])
        .arg(&file)
        .env_clear()
        .envs(surroundings(case))
        .env("TERM", "xterm-256color")
        .envs(more.iter().copied())
        .kill_on_drop(true)
        .spawn(pts)
        .expect("it can be run");
    let mut drawn = Vec::new();
    // Ends with an error when the other side closes, as terminals do.
    let reading = async { drop(pty.read_to_end(&mut drawn).await) };
    tokio::time::timeout(Duration::from_mins(2), reading)
        .await
        .expect("it ends");
    let status = child.wait().await.expect("it can be waited for");
    let execution = execution(case, &name);
    case.watch(&execution);
    assert_eq!(execution.wait().await.status, "SUCCEEDED");
    on(&target, "2").await;
    drop(users);
    (
        status.code().unwrap_or(-1),
        String::from_utf8_lossy(&drawn).into_owned(),
    )
}

async fn terminal(case: Case) {
    let (code, drawn) = in_terminal(&case, &[]).await;
    assert_eq!(code, 0, "{drawn}");
    // The bar, drawn over and over; the lines above it, once each.
    for part in [
        "step 1 of 3",
        "step 3 of 3",
        " % on green; ",
        "e-value",
        "\u{1b}[32m",
    ] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
    assert!(drawn.matches("] 50 % on green; ").count() > 1, "{drawn}");
    assert_eq!(
        drawn.matches("10 % on green, step 1 of 3").count(),
        1,
        "{drawn}"
    );
    assert_eq!(drawn.matches("  promoted").count(), 1, "{drawn}");
}

async fn no_colour(case: Case) {
    let (code, drawn) = in_terminal(&case, &[("NO_COLOR", "1")]).await;
    assert_eq!(code, 0, "{drawn}");
    assert!(drawn.contains(" % on green; "), "there is a bar: {drawn}");
    let coloured = drawn.split("\u{1b}[").skip(1).any(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| end > 0 && part[end..].starts_with('m'))
    });
    assert!(!coloured, "{drawn:?}");
}

async fn pipe(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": canary(&[(10, 60), (100, 30)])}));
    let name = name(&case, "r");
    let deploy = ["deploy", "-", "--watch", "--every", "0.2", "--name", &name];
    let said = ended(spawn(&case, &deploy, &request.to_string())).await;
    case.watch(&execution(&case, &name));
    drop(users);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert!(
        !said.out.contains('\u{1b}') && !said.out.contains('\r'),
        "plain lines: {}",
        said.out
    );
    let mut lines = said.out.lines();
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("started arn:")),
        "{}",
        said.out
    );
    for part in [
        "began: 10 %",
        "green is made",
        "10 % on green",
        "100 % on green",
        "  promoted: green has all traffic",
    ] {
        let line = lines.find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("no {part:?} in its place: {}", said.out));
        let (time, _) = line.split_once("Z  ").expect("each has its time");
        assert_eq!(time.len(), "12:00:00".len(), "{line}");
    }
    let names = [
        (case.application(), "chat"),
        (target.name.clone(), "chat-assistant"),
    ];
    documented(&said.out, &names);
    on(&target, "2").await;
}

/// What the guide shows of a release that is watched is what is printed: each line in its place, but for numbers and
/// names. A line of the guide that ends with an ellipsis is the beginning of one.
fn documented(out: &str, names: &[(String, &str)]) {
    let guide = std::fs::read_to_string(paths::repository().join("docs/cli.md"));
    let guide = guide.expect("it is there");
    let (_, after) = guide
        .split_once("\n## Watching\n")
        .expect("it has this heading");
    let block = after
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let named = names.iter().fold(out.to_owned(), |out, (is, shown)| {
        out.replace(is.as_str(), shown)
    });
    let printed: Vec<_> = named.lines().map(masked).collect();
    let mut rest = printed.iter();
    let mut seen = 0;
    for line in block.expect("it shows one").lines() {
        let line = masked(line);
        let found = match line.strip_suffix('…') {
            Some(begins) => rest.any(|one| one.starts_with(begins)),
            None => rest.any(|one| *one == line),
        };
        assert!(
            found,
            "docs/cli.md shows {line:?}, which is not printed there: {printed:#?}"
        );
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}

/// A line with its numbers left out.
fn masked(line: &str) -> String {
    let mut masked = String::new();
    for c in line.chars() {
        if !c.is_ascii_digit() {
            masked.push(c);
        } else if !masked.ends_with('#') {
            masked.push('#');
        }
    }
    masked.replace("#.#", "#")
}

async fn lines_of_json(case: Case) {
    let target = case.blue_and(Behaviour::failing("green", 100.0)).await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 30)]), "analysis": {"maxErrorRatePercent": 5},
    }));
    let name = name(&case, "r");
    let (child, _) = deploying(&case, &name, &request).await;
    let said = ended(child).await;
    drop(users);
    assert_eq!(said.code, 3, "{said:?}");
    let objects = said.objects();
    let events: Vec<_> = objects
        .iter()
        .filter_map(|one| one["event"].as_str())
        .collect();
    let mut rest = events.iter();
    for event in [
        "begun",
        "started",
        "greenMade",
        "proven",
        "shifted",
        "looked",
        "rollingBack",
        "ended",
    ] {
        assert!(
            rest.any(|one| *one == event),
            "no {event} in its place: {events:?}"
        );
    }
    let looked = objects
        .iter()
        .rfind(|one| one["event"] == "looked")
        .expect("it looked");
    assert_eq!(
        (&looked["verdict"], &looked["weight"]),
        (&json!("unhealthy"), &json!(50))
    );
    assert!(
        looked["rates"]["greenErrorPercent"].as_f64() > Some(50.0),
        "{looked}"
    );
    assert!(looked["rates"]["eValue"].is_number(), "{looked}");
    let last = objects.last().expect("there are some");
    assert_eq!(
        last["ended"]["outcome"]["deploymentStatus"], "ROLLED_BACK",
        "{last}"
    );
    assert_eq!(last["exitCode"], 3);
    on(&target, "1").await;
}

/// A release that asks for approval at 10 %.
async fn asking(case: &Case, more: Value) -> (Target, Execution, String) {
    let target = case.blue().await;
    let mut steps = canary(&[(10, 0), (100, 0)]);
    steps["approveBefore"] = json!(100);
    let mut request = case.request(json!({"strategy": steps}));
    merge(&mut request, more);
    let execution = case.start(&request).await;
    case.ledger_says(&execution, "HELD").await;
    let name = execution
        .arn
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    (target, execution, name)
}

async fn approves(case: Case) {
    let (target, execution, name) = asking(&case, json!({})).await;
    // What does not fit is turned away, and changes nothing.
    for verb in ["resume", "hold"] {
        let said = crossfade(&case, &[verb, &name]).await;
        assert_eq!(said.code, 5, "{said:?}");
    }
    let status = crossfade(&case, &["status", &name, "--json"])
        .await
        .object();
    assert_eq!(status["asks"]["kind"], "approval", "{status}");
    assert_eq!(
        status["asks"]["answers"]["approve"], "goes on to 100 % on green",
        "{status}"
    );
    let token = case.world.deployment(&execution.arn).await;
    assert!(token.is_some_and(|row| row.contains_key("token")));

    let approve = ["approve", &name, "--by", "Ann", "--reason", "seen it"];
    let said = crossfade(&case, &approve).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("goes on to 100 % on green"), "{said:?}");
    let ended = execution.wait().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let answer = &ended.output["answers"][0];
    assert_eq!(
        (&answer["by"], &answer["reason"]),
        (&json!("Ann"), &json!("seen it"))
    );
    on(&target, "2").await;
    let again = crossfade(&case, &["approve", &name]).await;
    assert_eq!(again.code, 5, "{again:?}");
    assert!(again.err.contains("PROMOTED"), "{again:?}");
}

async fn rejects_and_resumes(case: Case) {
    let (target, execution, name) = asking(&case, json!({})).await;
    let application = format!("app-{}", case.name);
    // An application's name will do as well.
    let said = crossfade(
        &case,
        &["reject", &application, "--reason", "not before ten"],
    )
    .await;
    assert_eq!(said.code, 0, "{said:?}");
    execution.wait_for_state("Hold", 1).await;
    until("the hold is on record", || async {
        let said = crossfade(&case, &["status", &name, "--json"])
            .await
            .object();
        (said["asks"]["kind"] == "hold").then_some(())
    })
    .await;
    let said = crossfade(&case, &["resume", &execution.arn, "--json"]).await;
    assert_eq!(
        (said.code, &said.object()["done"]),
        (0, &json!("answered")),
        "{said:?}"
    );
    let ended = execution.wait().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    // Without a name it is the user's.
    assert_eq!(ended.output["answers"][0]["by"], "ada", "{ended:?}");
    on(&target, "2").await;
    let history = crossfade(&case, &["history", &name]).await;
    for part in [
        "waits for approval",
        "ada answered reject: not before ten",
        "held: waits for an operator",
        "ada answered resume",
    ] {
        assert!(history.out.contains(part), "{part}: {}", history.out);
    }
}

async fn holds_and_promotes(case: Case) {
    let target = case.blue().await;
    let (execution, name) = flying(&case, &target).await;
    let said = crossfade(&case, &["approve", &name]).await;
    assert_eq!(said.code, 5, "it asks nothing: {said:?}");
    let said = crossfade(&case, &["hold", &name, "--reason", "a look at the logs"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    case.ledger_says(&execution, "HELD").await;
    let said = crossfade(&case, &["status", &name]).await;
    assert!(said.out.contains("a look at the logs"), "{said:?}");
    // Nobody can be asked here, and something would be skipped.
    let said = crossfade(&case, &["promote", &name]).await;
    assert_eq!(said.code, 2, "{said:?}");
    for part in [
        "the rest of the bake of 50 min at 10 %",
        "the step to 100 %",
        "--yes",
        "crossfade next",
    ] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    let said = crossfade(&case, &["promote", &name, "--yes"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let ended = execution.wait().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    on(&target, "2").await;
}

/// From 10 to 50 %, where the bake would last for an hour; from there to an approval, which is not skipped.
async fn goes_one_step(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 60.0);
    let mut steps = canary(&[(10, 3000), (50, 3000), (100, 0)]);
    steps["approveBefore"] = json!(100);
    let request = case.request(json!({
        "strategy": steps, "analysis": {"checkEverySeconds": 60, "maxBakeSeconds": 80000},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let name = execution.arn.rsplit(':').next().unwrap_or_default();
    for (weight, step) in [("10 %", 1), ("50 %", 2)] {
        until("green is known to be well", || async {
            let visits = execution.visits().await;
            let well = |output: &Value| output["steps"][step - 1]["verdict"] == "healthy";
            visits.iter().any(|visit| well(&visit.output)).then_some(())
        })
        .await;
        let said = crossfade(&case, &["next", name, "--by", "Ann"]).await;
        assert_eq!(said.code, 0, "at {weight}: {said:?}");
        assert!(said.out.contains("goes one step"), "{said:?}");
        if step == 1 {
            until("the next step is taken", || async {
                let said = crossfade(&case, &["status", name, "--json"]).await;
                (said.object()["weight"] == 50).then_some(())
            })
            .await;
            let status = crossfade(&case, &["status", name, "--json"]).await.object();
            assert_eq!(status["wish"], Value::Null, "it counts once: {status}");
        }
    }
    case.ledger_says(&execution, "HELD").await;
    let status = crossfade(&case, &["status", name, "--json"]).await.object();
    assert_eq!(status["asks"]["kind"], "approval", "{status}");
    let said = crossfade(&case, &["next", name]).await;
    assert_eq!(said.code, 5, "it waits for approval: {said:?}");
    assert!(said.err.contains("crossfade approve"), "{said:?}");
    assert_eq!(crossfade(&case, &["approve", name]).await.code, 0);
    let ended = execution.wait().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    drop(users);
    let weights: Vec<_> = ended.output["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["weight"].as_u64())
        .collect();
    assert_eq!(weights, [10, 50, 100], "{ended:?}");
    on(&target, "2").await;
}

/// What a promotion typed on a terminal shows, when it is answered so; and its exit code.
async fn promoting(case: &Case, name: &str, answer: &str) -> (i32, String) {
    let (mut pty, pts) = pty_process::open().expect("there are pseudo-terminals");
    pty.resize(pty_process::Size::new(30, 160))
        .expect("it has a size");
    let mut child = pty_process::Command::new(program())
        .args(["promote", name])
        .env_clear()
        .envs(surroundings(case))
        .kill_on_drop(true)
        .spawn(pts)
        .expect("it can be run");
    pty.write_all(answer.as_bytes())
        .await
        .expect("it can be answered");
    let mut drawn = Vec::new();
    // Ends with an error when the other side closes, as terminals do.
    let reading = async { drop(pty.read_to_end(&mut drawn).await) };
    tokio::time::timeout(Duration::from_mins(1), reading)
        .await
        .expect("it ends");
    let code = child.wait().await.expect("it ends").code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&drawn).into_owned())
}

async fn asks_before_it_skips(case: Case) {
    let (target, execution, name) = asking(&case, json!({})).await;
    let (code, drawn) = promoting(&case, &name, "\n").await;
    assert_eq!(code, 2, "{drawn}");
    for part in [
        "the approval before 100 % that it waits for",
        "[n]",
        "nothing was done",
    ] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
    case.ledger_says(&execution, "HELD").await;
    let (code, drawn) = promoting(&case, &name, "y\n").await;
    assert_eq!(code, 0, "{drawn}");
    assert_eq!(execution.wait().await.status, "SUCCEEDED");
    on(&target, "2").await;
}

async fn skips_the_rest(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 60.0);
    let (execution, name) = flying(&case, &target).await;
    // A release that goes on without data is one that the suite's invariants complain of.
    until("green is known to be well", || async {
        let visits = execution.visits().await;
        let well = |output: &Value| output["steps"][0]["verdict"] == "healthy";
        visits.iter().any(|visit| well(&visit.output)).then_some(())
    })
    .await;
    let watching = spawn(&case, &["watch", &name, "--every", "0.2"], "");
    let said = crossfade(&case, &["promote", &name, "--by", "Ann", "--yes"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(execution.wait().await.status, "SUCCEEDED");
    let said = ended(watching).await;
    assert_eq!(said.code, 0, "{said:?}");
    drop(users);
    assert!(said.out.contains("Ann promoted it"), "{said:?}");
    on(&target, "2").await;
}

/// The alarm's function moves the traffic, and the execution looks half a minute later.
async fn shows_a_rollback_at_once(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 3600), (100, 0)]),
        "analysis": {"alarms": [alarm], "checkEverySeconds": 3600, "maxBakeSeconds": 80000},
    }));
    let (child, execution) = deploying(&case, &name(&case, "r"), &request).await;
    execution.wait_for_state("Bake", 1).await;
    case.world.fire(&alarm).await;
    let name = name(&case, "r");
    until("status has all traffic on blue", || async {
        let status = crossfade(&case, &["status", &name, "--json"])
            .await
            .object();
        (status["weight"] == 0).then_some(())
    })
    .await;
    on(&target, "1").await;
    let status = crossfade(&case, &["status", &name, "--json"])
        .await
        .object();
    assert_eq!(
        (&status["status"], &status["onBlue"]),
        (&json!("ROLLING_BACK"), &json!(true)),
        "its execution has not looked yet: {status}"
    );
    let said = ended(child).await;
    assert_eq!(said.code, 3, "{said:?}");
    let objects = said.objects();
    let at = |part: &str| {
        let found = objects
            .iter()
            .find(|one| one["text"].as_str().is_some_and(|text| text.contains(part)));
        let found = found.unwrap_or_else(|| panic!("no {part:?}: {objects:?}"));
        moment(&found["at"])
    };
    let (at_once, whole) = (at("returns to blue at once"), at("ends at its next look"));
    let looked = objects
        .iter()
        .rfind(|one| one["event"] == "ended")
        .map(|one| moment(&one["at"]))
        .expect("it ended");
    assert!((whole - at_once).num_seconds() < 10, "{objects:?}");
    assert!(
        (looked - whole).num_seconds() > 5,
        "the look came much later: {objects:?}"
    );
}

fn moment(at: &Value) -> Timestamp {
    serde_json::from_value(at.clone()).expect("it is a moment")
}

async fn rolls_back(case: Case) {
    let target = case.blue().await;
    let (execution, _) = flying(&case, &target).await;
    let application = format!("app-{}", case.name);
    let rollback = [
        "rollback",
        &application,
        "--reason",
        "500s on checkout",
        "--every",
        "0.2",
    ];
    let said = crossfade(&case, &rollback).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("rolled back, as asked"), "{said:?}");
    on(&target, "1").await;
    let ended = execution.wait().await;
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("500s on checkout (ada)"), "{ended:?}");
    // And of nothing.
    let said = crossfade(
        &case,
        &["rollback", "no-such-application", "--every", "0.2"],
    )
    .await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.out.contains("can be rolled back"), "{said:?}");
    // An older release's name is not taken for the newer one's.
    let (code, _) = deployed(&case, "older", &case.request(json!({}))).await;
    assert_eq!(code, 0);
    let said = crossfade(&case, &["rollback", &application, "--every", "0.2"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    // Taken back within retention.
    let (code, _) = deployed(&case, "again", &case.request(json!({}))).await;
    assert_eq!(code, 0);
    on(&target, "2").await;
    let older = name(&case, "older");
    let said = crossfade(&case, &["rollback", &older, "--every", "0.2"]).await;
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains(&name(&case, "again")), "{said:?}");
    on(&target, "2").await;
    let said = crossfade(
        &case,
        &["rollback", &application, "--every", "0.2", "--json"],
    )
    .await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.objects().last().unwrap()["exitCode"], 0);
    on(&target, "1").await;
    let history = crossfade(&case, &["history", &name(&case, "again")]).await;
    assert!(
        history
            .out
            .contains("taken back after that: rolled back by hand"),
        "{history:?}"
    );
}

async fn rolls_back_to_a_version(case: Case) {
    let target = case.blue().await;
    let (code, _) = deployed(&case, "r", &case.request(json!({}))).await;
    assert_eq!(code, 0);
    target.update(Behaviour::healthy("third")).await;
    let (code, _) = deployed(&case, "next", &case.request(json!({}))).await;
    assert_eq!(code, 0);
    on(&target, "3").await;
    let application = format!("app-{}", case.name);
    // What there is to plan is said before.
    let back = json!({"action": "rollback", "application": application, "toVersion": "1"});
    let said = ended(spawn(&case, &["plan", "-"], &back.to_string())).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("100 %"), "{said:?}");
    let to = |version| {
        let typed = ["rollback", &application, "--to", version, "--every", "0.2"];
        typed.map(str::to_owned)
    };
    let typed = to("1");
    let said = crossfade(&case, &typed.each_ref().map(String::as_str)).await;
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        " to version 1 began",
        "rolled back by hand to version 1: (ada)",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    on(&target, "1").await;
    for (version, says) in [("77", "has no version 77"), ("$LATEST", "toVersion")] {
        let typed = to(version);
        let said = crossfade(&case, &typed.each_ref().map(String::as_str)).await;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(
            format!("{}{}", said.out, said.err).contains(says),
            "{said:?}"
        );
    }
    on(&target, "1").await;
}

/// What AWS refuses, and what is stopped, before the first shift.
async fn rejected(case: Case) {
    let target = case.blue_and(Behaviour::slow("green", 3000)).await;
    let denied = Fault::new("access-denied")
        .on("lambda", "PublishVersion")
        .about(&target.name);
    let denied = case.world.fault(denied.always()).await;
    let mut request = case.request(json!({}));
    request["functions"][0]["smokeTests"] = json!([{"name": "health"}]);
    let refused = name(&case, "refused");
    let deploy = [
        "deploy", "-", "--watch", "--every", "0.2", "--name", &refused,
    ];
    let said = ended(spawn(&case, &deploy, &request.to_string())).await;
    case.watch(&execution(&case, &refused));
    case.world.mend(denied).await;
    assert_eq!(said.code, 5, "{said:?}");
    for part in [
        "the release ends before its first shift",
        "no traffic was moved",
        "rejected",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(!said.out.contains("blue"), "{}", said.out);
    let status = crossfade(&case, &["status", &refused]).await;
    assert!(status.out.contains("REJECTED"), "{status:?}");

    let (child, stopped) = deploying(&case, &name(&case, "stopped"), &request).await;
    stopped.wait_for_state("ValidateGreen", 1).await;
    stopped.stop().await;
    let said = ended(child).await;
    assert_eq!(said.code, 5, "{said:?}");
    on(&target, "1").await;
}

/// What people should know is said wherever a release is shown.
async fn warnings(case: Case) {
    let target = case.blue().await;
    // An event source would be one; a permission of the function itself needs less.
    target
        .lambda()
        .add_permission()
        .function_name(&target.name)
        .statement_id("past-the-alias")
        .action("lambda:InvokeFunction")
        .principal("events.amazonaws.com")
        .send()
        .await
        .expect("it can be added");
    let name = name(&case, "r");
    let deploy = ["deploy", "-", "--watch", "--every", "0.2", "--name", &name];
    let request = case.request(json!({})).to_string();
    let said = ended(spawn(&case, &deploy, &request)).await;
    case.watch(&execution(&case, &name));
    assert_eq!(said.code, 0, "{said:?}");
    let watched = crossfade(&case, &["watch", &name]).await;
    let history = crossfade(&case, &["history", &name]).await;
    for told in [&said, &watched, &history] {
        let count = told.out.matches("warning: ").count();
        assert_eq!(count, 1, "once: {}", told.out);
    }
    let status = crossfade(&case, &["status", &name]).await;
    assert!(status.out.contains("  warning  "), "{}", status.out);
    let status = crossfade(&case, &["status", &name, "--json"])
        .await
        .object();
    assert_eq!(
        status["warnings"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );
}

async fn status_and_history(case: Case) {
    let target = case.blue().await;
    let (execution, name) = flying(&case, &target).await;
    let said = crossfade(&case, &["status"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let row = said.out.lines().find(|line| line.contains(&name));
    assert!(
        row.is_some_and(|row| row.contains("IN_FLIGHT") && row.contains("10 %")),
        "{said:?}"
    );
    let all = crossfade(&case, &["status", "--json"]).await.object();
    let mine = all["inFlight"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == name.as_str());
    let mine = mine.expect("it is in flight");
    assert_eq!(
        (&mine["weight"], &mine["plannedSteps"]),
        (&json!(10), &json!(2))
    );

    let history = crossfade(&case, &["history", &name, "--json"])
        .await
        .object();
    let events: Vec<_> = history["happenings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["event"])
        .collect();
    assert_eq!(
        events[..4],
        ["started", "greenMade", "proven", "shifted"],
        "{history}"
    );
    assert_eq!(history["release"]["status"], "IN_FLIGHT");
    let told = crossfade(&case, &["history", &name]).await;
    assert!(
        told.out.trim_end().ends_with("in flight, IN_FLIGHT"),
        "{told:?}"
    );

    let said = crossfade(&case, &["status", "no-such-thing"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("no-such-thing"), "{said:?}");
    // The stack by its parts: CloudFormation is not needed.
    let stack = &case.world.stack;
    let parts = [
        "status",
        &name,
        "--json",
        "--stack",
        "no-such-stack",
        "--state-machine",
        &stack.state_machine,
        "--ledger",
        &stack.table,
    ];
    assert_eq!(
        crossfade(&case, &parts).await.object()["status"],
        "IN_FLIGHT"
    );
    let said = crossfade(&case, &["status", "--stack", "no-such-stack"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("there is no stack no-such-stack"),
        "{said:?}"
    );
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn ends(case: Case) {
    let target = case.blue().await;
    // The server's own word on a request that only it can refuse.
    let alarms = json!({"analysis": {"alarms": ["no-such-alarm"]}});
    let (code, last) = deployed(&case, "invalid", &case.request(alarms)).await;
    assert_eq!(
        (code, &last["ended"]["error"]),
        (2, &json!("InvalidRequest"))
    );
    let mut request = case.request(json!({}));
    request["functions"][0]["smokeTests"] = json!([{"name": "no", "expect": {"statusCode": 418}}]);
    let (code, last) = deployed(&case, "invalid-green", &request).await;
    assert_eq!(
        (code, &last["ended"]["error"]),
        (5, &json!("ValidationFailed"))
    );
    let (other, _) = flying(&case, &target).await;
    let (code, last) = deployed(&case, "in-progress", &case.request(json!({}))).await;
    assert_eq!(
        (code, &last["ended"]["error"]),
        (5, &json!("DeploymentInProgress"))
    );
    other.stop().await;
    case.ledger_says(&other, "ROLLED_BACK").await;
    let (code, last) = deployed(&case, "good", &case.request(json!({}))).await;
    assert_eq!(code, 0);
    assert_eq!(last["ended"]["outcome"]["deploymentStatus"], "SUCCESSFUL");
    let (code, last) = deployed(&case, "no-change", &case.request(json!({}))).await;
    assert_eq!(code, 0);
    assert_eq!(last["ended"]["outcome"]["deploymentStatus"], "NO_CHANGE");
    // An alarm, from which it goes back.
    let alarm = case.alarm().await;
    target.update(Behaviour::healthy("next")).await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 3000), (100, 0)]), "analysis": {"alarms": [alarm], "maxBakeSeconds": 80000},
    }));
    let (child, execution) = deploying(&case, &name(&case, "alarm"), &request).await;
    execution.wait_for_state("Bake", 1).await;
    case.world.fire(&alarm).await;
    let said = ended(child).await;
    assert_eq!(said.code, 3, "{said:?}");
    on(&target, "2").await;
}

async fn left(case: Case) {
    case.blue().await;
    let request = case.request(json!({
        "strategy": canary(&[(10, 30), (100, 0)]), "analysis": {"maxBakeSeconds": 60},
        "holdTimeoutSeconds": 60, "onHoldTimeout": "leave",
    }));
    let (code, last) = deployed(&case, "r", &request).await;
    assert_eq!(
        (code, &last["ended"]["error"]),
        (4, &json!("DeploymentHeld"))
    );
    let name = name(&case, "r");
    for verb in ["resume", "promote"] {
        let said = crossfade(&case, &[verb, &name]).await;
        assert_eq!(said.code, 5, "its execution has ended: {said:?}");
    }
    // By the release's name, as the mail has it.
    let said = crossfade(&case, &["rollback", &name, "--every", "0.2"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    case.ledger_says(&execution(&case, &name), "ROLLED_BACK")
        .await;
}

async fn stopped(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({"strategy": canary(&[(10, 3000), (100, 0)])}));
    let (child, execution) = deploying(&case, &name(&case, "r"), &request).await;
    execution.wait_for_state("Bake", 1).await;
    execution.stop().await;
    // It says nothing of traffic by itself: the ledger does, once the event has been acted on.
    let said = ended(child).await;
    assert_eq!(said.code, 3, "{said:?}");
    let last = said.objects().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["exitCode"]),
        (&json!("madeWhole"), &json!(3))
    );
    on(&target, "1").await;
}

async fn changed_outside(case: Case) {
    let target = case.blue().await;
    // Found by the second shift, which comes whatever is known of green.
    let request = case.request(json!({
        "strategy": canary(&[(10, 600), (100, 0)]),
        "analysis": {"checkEverySeconds": 600, "maxBakeSeconds": 600, "onInconclusive": "proceed"},
    }));
    let (child, execution) = deploying(&case, &name(&case, "r"), &request).await;
    execution.wait_for_state("Bake", 1).await;
    let third = {
        target.update(Behaviour::healthy("third")).await;
        target.publish().await
    };
    target.move_alias(ALIAS, &third, None).await;
    let said = ended(child).await;
    assert_eq!(said.code, 7, "{said:?}");
    on(&target, &third).await;
}

async fn stuck(case: Case) {
    let target = case.blue_and(Behaviour::failing("green", 100.0)).await;
    let users = case.users(&target, 20.0);
    let rollback = case.world.stack.function("rollback");
    let denied = Fault::new("access-denied")
        .on("lambda", "UpdateAlias")
        .by(&rollback)
        .about(&target.name);
    let denied = case.world.fault(denied.always()).await;
    let request = case.request(json!({
        "strategy": canary(&[(50, 30), (100, 60)]), "analysis": {"maxErrorRatePercent": 5},
    }));
    let (code, last) = deployed(&case, "r", &request).await;
    drop(users);
    assert_eq!(
        (code, &last["ended"]["error"]),
        (6, &json!("RollbackFailed"))
    );
    case.world.mend(denied).await;
    case.world.run_schedule().await;
    let execution = execution(&case, &name(&case, "r"));
    case.ledger_says(&execution, "ROLLED_BACK").await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
}

async fn leaves_alone(case: Case) {
    let target = case.blue().await;
    let request = case.request(json!({"strategy": canary(&[(10, 3000), (100, 0)])}));
    let name = name(&case, "r");
    let (child, execution) = deploying(&case, &name, &request).await;
    execution.wait_for_state("Bake", 1).await;
    // Ctrl-C.
    let id = child.id().expect("it runs").to_string();
    let told = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(told.expect("it can be told").success());
    let said = ended(child).await;
    assert_eq!(said.code, 8, "{said:?}");
    assert!(
        said.err.contains(&format!("crossfade watch {name}")),
        "{said:?}"
    );
    let last = said.objects().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["exitCode"]),
        (&json!("left"), &json!(8))
    );
    let said = crossfade(&case, &["watch", &name, "--timeout", "1", "--every", "0.2"]).await;
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.err.contains("--timeout is over"), "{said:?}");
    assert_eq!(execution.ended().await, None, "it goes on");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert!((alias.share("2") - 0.1).abs() < 0.01, "{alias:?}");
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn by_name(case: Case) {
    case.blue().await;
    let request = case.request(json!({"strategy": canary(&[(10, 3000), (100, 0)])}));
    let name = name(&case, "r");
    let deploy = ["deploy", "-", "--name", &name, "--json"];
    let first = ended(spawn(&case, &deploy, &request.to_string())).await;
    assert_eq!(first.code, 0, "{first:?}");
    let execution = execution(&case, &name);
    case.watch(&execution);
    assert_eq!(first.object()["execution"], execution.arn.as_str());
    // A job that is run again finds its release.
    let again = ended(spawn(&case, &deploy, &request.to_string())).await;
    assert_eq!((again.code, again.object()), (0, first.object()));
    let other = case.request(json!({}));
    let refused = ended(spawn(&case, &deploy, &other.to_string())).await;
    assert_eq!(refused.code, 5, "{refused:?}");
    execution.wait_for_state("Bake", 1).await;
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    // Without a name it has one of its own, in which the application is.
    let child = spawn(
        &case,
        &["deploy", "-", "--watch", "--every", "0.2"],
        &other.to_string(),
    );
    let said = ended(child).await;
    assert_eq!(said.code, 0, "{said:?}");
    let arn = said
        .out
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("started "));
    let arn = arn.expect("it says what it started");
    assert!(arn.contains(&format!(":app-{}-20", case.name)), "{arn}");
    case.watch(&case.world.execution(arn));
}

/// What `crossfade plan` shows of a request.
pub(crate) async fn planned(case: &Case, request: &Value) -> String {
    let said = ended(spawn(case, &["plan", "-"], &request.to_string())).await;
    assert_eq!(said.code, 0, "{said:?}");
    said.out
}
