//! What a start would say of a release: `crossfade plan` and the release itself, of the same requests.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::SystemTime,
};

use aws_sdk_lambda::types::{FunctionCode, PackageType};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use crossfade_tests::{
    Alb, Behaviour, Dns, Ended, Execution, Stack, Target, World, alb::Made, images, target::ROLE,
};
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, apart, canary, merge, test},
    cli::{Said, ended, spawn},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        // Alone, because a schedule that another test runs would clear what it leaves held.
        apart("admission_plan_and_release_agree", agree),
        test("admission_plan_says_what_it_could_not_tell", could_not_tell),
        test("admission_takes_an_image_of_another_account", foreign_image),
    ]
}

/// A request that may not begin.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    /// What it has instead of a plain release's.
    change: Value,
    /// Which of the stacks is asked.
    #[serde(default)]
    stack: Option<String>,
    error: String,
    /// Words that are in one of the lines each.
    says: Vec<String>,
}

/// The names that the table's stand for.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn add(&mut self, name: &str, is: impl Into<String>) {
        self.0.insert(format!("${name}"), is.into());
    }

    /// Puts them in, the longest first: one may begin another.
    fn put(&self, text: &str) -> String {
        let mut names: Vec<_> = self.0.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let put = |text: String, (name, is): (&String, &String)| text.replace(name, is);
        names.into_iter().fold(text.to_owned(), put)
    }
}

/// A name of at most 32 characters.
fn short(case: &Case, more: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (&case.name, more).hash(&mut hasher);
    format!("it-{:016x}", hasher.finish())
}

/// A function whose version 1 serves and whose `$LATEST` is another.
async fn function(case: &Case, name: &str) -> Target {
    let name = format!("{}-{name}", case.function_name());
    let target = Target::create(&case.suite().local, &name, Behaviour::healthy("blue")).await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target.update(Behaviour::healthy("green")).await;
    target
}

async fn image_function(case: &Case, name: &str, image: &str) -> Target {
    let target = Target::existing(
        &case.suite().local,
        &format!("{}-{name}", case.function_name()),
    );
    let made = target.lambda().create_function();
    let made = made
        .function_name(&target.name)
        .package_type(PackageType::Image)
        .role(ROLE)
        .code(FunctionCode::builder().image_uri(image).build())
        .send();
    made.await.expect("a function of an image can be made");
    target.updated().await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    target
}

/// A release that stays at 10 %.
async fn flying(case: &Case, application: &str, change: Value) -> Execution {
    let mut request = case.request(json!({
        "application": application,
        "strategy": canary(&[(10, 3000), (100, 0)]),
        "analysis": {"checkEverySeconds": 600, "maxBakeSeconds": 80_000},
    }));
    merge(&mut request, change);
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    execution
}

fn name_of(execution: &Execution) -> String {
    let name = execution.arn.rsplit(':').next();
    name.expect("an ARN has a name").to_owned()
}

/// All that the table's requests are about.
async fn world(case: &Case) -> (Names, Vec<Execution>) {
    let local = &case.suite().local;
    let mut names = Names::default();
    for name in ["PLAIN", "OTHER", "BALANCED", "FLYING", "LEFT", "KEPT"] {
        let target = function(case, &name.to_lowercase()).await;
        names.add(name, &target.name);
    }
    for name in ["SPLIT", "SPLIT2"] {
        let target = function(case, &name.to_lowercase()).await;
        assert_eq!(target.publish().await, "2");
        target.move_alias(ALIAS, "1", Some(("2", 0.25))).await;
        names.add(name, &target.name);
    }
    let role = function(case, "role").await;
    let other = "arn:aws:iam::000000000000:role/crossfade-another";
    let change = role.lambda().update_function_configuration();
    let changed = change.function_name(&role.name).role(other).send().await;
    changed.expect("the role can be changed");
    role.updated().await;
    names.add("ROLE", &role.name);
    images::push(local, "it-admission", "1");
    images::push(local, "base/api", "1");
    let image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/it-admission:1";
    names.add("IMAGE", image_function(case, "image", image).await.name);
    let alarm = case.alarm().await;
    names.add("ALARM", &alarm);
    let firing = format!("{alarm}-that-fires");
    case.world.make_alarm(&firing).await;
    case.world.fire(&firing).await;
    names.add("FIRING", firing);

    let moved = doors(case, &mut names).await;
    let held = held(case, &mut names, &moved).await;
    (names, held)
}

/// The records and rules that the table's requests are about. Returns the rule that a release is to move.
async fn doors(case: &Case, names: &mut Names) -> Alb {
    let local = &case.suite().local;
    // Records: sound, at 0, split, and moved by a release.
    for (name, weights) in [
        ("", None),
        ("ZERO_", Some((0, 0))),
        ("SPLIT_", Some((50, 50))),
        ("FLYING_", None),
    ] {
        let dns = Dns::create(local, &short(case, name)).await;
        if let Some((blue, green)) = weights {
            dns.move_weights(blue, green).await;
        }
        names.add(&format!("{name}ZONE"), &dns.zone);
        names.add(&format!("{name}RECORD"), &dns.name);
    }
    // Rules: sound, at 0, split, of empty groups, and moved by a release.
    let balanced = Target::existing(local, &names.put("$BALANCED"));
    let mut last = None;
    for (name, weights) in [
        ("ALB_", None),
        ("ZERO_", Some((0, 0))),
        ("SPLIT_", Some((50, 50))),
        ("EMPTY_", None),
        ("FLYING_", None),
    ] {
        let alb = Alb::create(local, &short(case, &format!("{name}a")), Made::default()).await;
        if name != "EMPTY_" {
            alb.send_to(&alb.blue, &balanced, "1").await;
        }
        if let Some((blue, green)) = weights {
            alb.move_weights(blue, green).await;
        }
        let rule = alb.rule.clone().expect("it has a rule");
        if name == "ALB_" {
            let but_the_last = |arn: &str| {
                let (before, _) = arn.rsplit_once('/').expect("an ARN has parts");
                format!("{before}/0123456789abcdef")
            };
            names.add("ALB_NO_RULE", but_the_last(&rule));
            names.add("ALB_NO_LISTENER", but_the_last(&alb.listener));
        }
        names.add(&format!("{name}RULE"), rule);
        names.add(&format!("{name}BLUE"), &alb.blue);
        names.add(&format!("{name}GREEN"), &alb.green);
        last = Some(alb);
    }
    last.expect("there are some")
}

/// Whoever holds what the table's requests need: a release of an application, of a record and of a rule, one
/// that was left held, and one whose blue is promised.
async fn held(case: &Case, names: &mut Names, flying_alb: &Alb) -> Vec<Execution> {
    let mut held = Vec::new();
    let applications = ["FLYING", "LEFT", "KEPT"];
    for name in applications {
        names.add(
            &format!("{name}_APP"),
            format!("{}-{}", case.application(), name.to_lowercase()),
        );
    }
    let plain = json!({"functions": [{"functionName": names.put("$FLYING"), "alias": ALIAS}]});
    let flies = flying(case, &names.put("$FLYING_APP"), plain).await;
    names.add("FLYING_NAME", name_of(&flies));
    held.push(flies);
    let zoned = function(case, "zoned").await;
    for colour in ["blue", "green"] {
        zoned.alias(&format!("{ALIAS}-{colour}"), "1").await;
    }
    let through = json!({
        "functions": [{"functionName": zoned.name, "alias": ALIAS}],
        "traffic": {"type": "route53", "hostedZoneId": names.put("$FLYING_ZONE"), "recordName": names.put("$FLYING_RECORD")},
    });
    let flies = flying(case, &format!("{}-zone", case.application()), through).await;
    names.add("FLYING_ZONE_NAME", name_of(&flies));
    held.push(flies);
    let ruled = function(case, "ruled").await;
    flying_alb.send_to(&flying_alb.blue, &ruled, "1").await;
    let through = json!({
        "functions": [{"functionName": ruled.name}],
        "traffic": {"type": "alb", "ruleArn": names.put("$FLYING_RULE"),
            "targetGroupArns": [names.put("$FLYING_BLUE"), names.put("$FLYING_GREEN")]},
    });
    let flies = flying(case, &format!("{}-rule", case.application()), through).await;
    names.add("FLYING_RULE_NAME", name_of(&flies));
    held.push(flies);
    let left = case.request(json!({
        "application": names.put("$LEFT_APP"),
        "functions": [{"functionName": names.put("$LEFT"), "alias": ALIAS}],
        "strategy": canary(&[(10, 30), (100, 0)]), "analysis": {"maxBakeSeconds": 60},
        "holdTimeoutSeconds": 60, "onHoldTimeout": "leave",
    }));
    let (_, ended) = case.release(&left).await;
    assert_eq!(ended.error, "DeploymentHeld", "{ended:?}");
    let kept = case.request(json!({
        "application": names.put("$KEPT_APP"), "retention": {"blueHours": 24},
        "functions": [{"functionName": names.put("$KEPT"), "alias": ALIAS}],
    }));
    let (_, ended) = case.release(&kept).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    held
}

/// A second stack, whose windows are closed, for two prefixes.
async fn frozen(case: &Case) -> World {
    let now: DateTime<Utc> = SystemTime::now().into();
    let day = (now + TimeDelta::days(3)).weekday();
    let windows = format!("\"{day} 00:00-00:30 UTC\"");
    let more = [
        ("ReleaseWindows", windows.as_str()),
        ("LoadBalancerPrefix", "it-"),
        ("ImageRepositoryPrefix", "it-,orders/"),
    ];
    let local = &case.suite().local;
    let stack = Stack::deploy_as(local, "crossfade-frozen", "it-,orders-", &more).await;
    World::new(local, &stack)
}

/// What the lines of a refusal have in common whenever it is told.
fn timeless(line: &str) -> String {
    match (
        line.find("; now it is "),
        line.find(", and the next one opens"),
    ) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to..]),
        _ => line.to_owned(),
    }
}

/// The lines in which a plan says what is in the way.
fn lines(said: &Said) -> Vec<String> {
    let object: Value = serde_json::from_str(&said.out).unwrap_or_default();
    let problems = object["problems"].as_array();
    let told = problems.into_iter().flatten().chain([&object["error"]]);
    told.filter_map(Value::as_str)
        .flat_map(str::lines)
        .map(|line| timeless(line.trim()))
        .collect()
}

/// The exit codes that a refusal with this error may have.
fn exits(error: &str) -> &'static [i32] {
    match error {
        "InvalidRequest" => &[2],
        "DeploymentInProgress" | "ValidationFailed" => &[5],
        "ChangedOutside" => &[5, 7],
        other => panic!("{other} is no refusal"),
    }
}

async fn planned(case: &Case, stack: Option<&str>, request: &Value) -> Said {
    let mut arguments = vec!["plan", "-", "--json"];
    if let Some(stack) = stack {
        arguments.extend(["--stack", stack]);
    }
    ended(spawn(case, &arguments, &request.to_string())).await
}

async fn agree(case: Case) {
    #[derive(Deserialize)]
    struct Bad {
        name: String,
        request: Value,
    }
    let (names, held) = world(&case).await;
    let frozen = frozen(&case).await;
    let rows: Vec<Row> =
        serde_json::from_str(&names.put(include_str!("admission.json"))).expect("it is a table");
    let plain = names.put("$PLAIN");
    let mut all: Vec<(Row, Value)> = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let mut request = case.request(json!({
            "application": format!("{}-{index}", case.application()),
            "functions": [{"functionName": plain, "alias": ALIAS}],
        }));
        merge(&mut request, row.change.clone());
        all.push((row, request));
    }
    let about_the_world = all.len();
    // And requests that are none, of which a plan says what the release does.
    let bad: Vec<Bad> =
        serde_json::from_str(include_str!("../../../shared/tests/bad_requests.json"))
            .expect("the list is JSON");
    let releases = |bad: &Bad| bad.request.is_object() && bad.request.get("action").is_none();
    let bad = bad.into_iter().filter(releases);
    for Bad { name, request } in bad
        .filter(|it| it.request.to_string().len() < 10_000)
        .take(20)
    {
        let row = Row {
            name,
            change: Value::Null,
            stack: None,
            error: "InvalidRequest".into(),
            says: Vec::new(),
        };
        all.push((row, request));
    }
    assert!(about_the_world >= 60, "{about_the_world}");

    let asked = all.iter().map(|(row, request)| {
        let stack = row.stack.as_ref().map(|_| frozen.stack.name.as_str());
        planned(&case, stack, request)
    });
    let asked: Vec<_> = asked.collect();
    let plans: Vec<Said> = stream::iter(asked).buffered(4).collect().await;
    let mut wrong = Vec::new();
    for ((row, request), plan) in all.iter().zip(&plans) {
        // One after the other: two that come so far as to the locks would be in each other's way.
        let execution = match row.stack {
            Some(_) => frozen.start(request).await,
            None => case.start(request).await,
        };
        let ended = execution.wait().await;
        if let Err(why) = agrees(row, plan, &ended) {
            wrong.push(format!("{}: {why}", row.name));
        }
    }
    println!(
        "admission: {} requests that may not begin, {about_the_world} of them for the world's sake; plan and release disagree on {}",
        all.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // The second prefix is as good as the first.
    let orders = Target::create(
        &case.suite().local,
        "orders-admission",
        Behaviour::healthy("1"),
    )
    .await;
    assert_eq!(orders.publish().await, "1");
    orders.alias(ALIAS, "1").await;
    orders.update(Behaviour::healthy("2")).await;
    let request = case.request(json!({
        "application": "orders", "functions": [{"functionName": orders.name, "alias": ALIAS}],
        "overrideFreeze": {"by": "Ada", "reason": "checkout is down"},
    }));
    let plan = planned(&case, Some(&frozen.stack.name), &request).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    let done = frozen.start(&request).await.wait().await;
    promoted(&orders, &done, "2").await;

    for execution in &held {
        execution.stop().await;
        case.ledger_says(execution, "ROLLED_BACK").await;
    }
    let (_, back) = case
        .release(&json!({"action": "rollback", "application": names.put("$LEFT_APP")}))
        .await;
    assert_eq!(back.output["deploymentStatus"], "ROLLED_BACK", "{back:?}");
}

fn agrees(row: &Row, plan: &Said, ended: &Ended) -> Result<(), String> {
    if ended.error != row.error || ended.cause["deploymentStatus"] != "REJECTED" {
        return Err(format!("it ended with {}: {}", ended.error, ended.cause));
    }
    if !exits(&ended.error).contains(&plan.code) {
        return Err(format!(
            "the release ended with {}, and the plan with {}: {plan:?}",
            ended.error, plan.code
        ));
    }
    let told: Vec<_> = lines(plan);
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    for line in reason.lines().map(timeless) {
        if !told.contains(&line) {
            return Err(format!("the plan does not say {line:?}, but {told:#?}"));
        }
    }
    for words in &row.says {
        if !reason.contains(words.as_str()) {
            return Err(format!(
                "the release does not say {words:?}, but {reason:?}"
            ));
        }
    }
    Ok(())
}

/// What nobody knows is no good news.
async fn could_not_tell(case: Case) {
    case.blue().await;
    let request = case.request(json!({})).to_string();
    let free = ended(spawn(&case, &["plan", "-"], &request)).await;
    assert_eq!(free.code, 0, "{free:?}");
    assert!(free.out.contains("\nnothing is in the way"), "{free:?}");

    let elsewhere = ended(spawn(
        &case,
        &["plan", "-", "--stack", "no-such-stack"],
        &request,
    ))
    .await;
    assert_eq!(elsewhere.code, 9, "{elsewhere:?}");
    for line in [
        "not known: what the stack may release, and when: there is no stack no-such-stack in us-east-1",
        "not known: who holds the locks that the release needs: there is no stack no-such-stack in us-east-1",
        "nothing is known to be in the way, but not everything could be read",
    ] {
        assert!(
            elsewhere.out.lines().any(|one| one == line),
            "{line}: {elsewhere:?}"
        );
    }
    // What could be read is told all the same.
    let missing =
        case.request(json!({"functions": [{"functionName": "it-nobody", "alias": ALIAS}]}));
    let said = ended(spawn(
        &case,
        &["plan", "-", "--stack", "no-such-stack"],
        &missing.to_string(),
    ))
    .await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out
            .contains("functions[0].functionName: there is no function \"it-nobody\" in us-east-1"),
        "{said:?}"
    );

    let denied = crossfade_tests::world::Fault::new("access-denied")
        .on("lambda", "GetAlias")
        .about(&case.function_name());
    let fault = case.world.fault(denied.always()).await;
    let said = ended(spawn(&case, &["plan", "-", "--json"], &request)).await;
    case.world.mend(fault).await;
    assert_eq!(said.code, 9, "{said:?}");
    let object: Value = serde_json::from_str(&said.out).expect("it is JSON");
    let unknown = object["couldNotTell"].as_array().expect("it is a list");
    assert_eq!(unknown.len(), 1, "{object}");
    assert!(
        unknown[0]
            .as_str()
            .is_some_and(|it| it.starts_with("what serves: ") && it.contains("AccessDenied")),
        "{object}"
    );

    // Without credentials nothing is asked.
    let since = case.world.now().await;
    let nobody = without_credentials(&case, &request).await;
    assert_eq!(nobody.code, 9, "{nobody:?}");
    let told: Vec<_> = nobody
        .out
        .lines()
        .filter(|line| line.starts_with("not known: "))
        .collect();
    assert_eq!(told.len(), 1, "{nobody:?}");
    assert!(told[0].contains("no credentials; log in"), "{told:?}");
    assert!(nobody.out.lines().count() < 40, "{nobody:?}");
    let asked = case.world.calls(since).await;
    let asked: Vec<_> = asked
        .iter()
        .filter(|call| call.resource.as_deref() == Some(&case.function_name()))
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
}

async fn without_credentials(case: &Case, request: &str) -> Said {
    use std::process::Stdio;

    use tokio::io::AsyncWriteExt as _;

    let mut child = tokio::process::Command::new(crate::cli::program())
        .args(["plan", "-"])
        .env_clear()
        .env("AWS_ENDPOINT_URL", case.suite().local.endpoint())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(request.as_bytes()).await.expect("it reads");
    drop(stdin);
    ended(child).await
}

/// The stack's parameter ImageRepositoryArns names it.
async fn foreign_image(case: Case) {
    let image =
        |tag: &str| format!("111111111111.dkr.ecr.us-east-1.amazonaws.com/base/foreign:{tag}");
    for tag in ["1", "sha-abc123"] {
        images::push(&case.suite().local, "base/foreign", tag);
    }
    let target = image_function(&case, "image", &image("1")).await;
    let request = case.request(json!({"functions": [
        {"functionName": target.name, "alias": ALIAS, "code": {"imageUri": image("sha-abc123")}}]}));
    let plan = planned(&case, None, &request).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
}
