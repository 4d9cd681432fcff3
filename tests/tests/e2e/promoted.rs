//! Releases that go well.

use crossfade_tests::{Behaviour, Ended, Target, images, stack::ARTIFACTS, target::ROLE};
use serde_json::{Value, json};

use crate::case::{ALIAS, Case, Test, canary, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("promoted_in_steps", in_steps),
        test("promoted_with_a_control_group", control_group),
        test("promoted_all_at_once", all_at_once),
        test("promoted_blue_green", blue_green),
        test("promoted_linear", linear),
        test("promoted_by_a_codedeploy_name", codedeploy_name),
        test("promoted_by_the_preset_dev", preset_dev),
        test("promoted_by_the_preset_staging", preset_staging),
        test("promoted_first_release", first_release),
        test("promoted_from_latest", alias_on_latest),
        test("promoted_code_from_s3", code_from_s3),
        test(
            "promoted_code_of_an_older_object_version",
            code_of_a_version,
        ),
        test("promoted_code_from_an_image", code_from_an_image),
        test("promoted_given_version", given_version),
        test("promoted_two_functions_together", two_functions),
        test("promoted_with_warnings_of_bypasses", bypasses),
        test("no_change", no_change),
    ]
}

/// The release ended well: blue has nothing, green has all, and nobody met an error.
pub(crate) async fn promoted(target: &Target, ended: &Ended, green: &str) {
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL", "{ended:?}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some(green), "{alias:?}");
}

/// The weights of the steps that an outcome names.
pub(crate) fn weights(outcome: &Value) -> Vec<u64> {
    let steps = outcome["steps"].as_array().expect("an outcome has steps");
    steps
        .iter()
        .map(|step| step["weight"].as_u64().expect("a step has a weight"))
        .collect()
}

async fn in_steps(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({
        "strategy": canary(&[(10, 60), (50, 60), (100, 60)]),
        "analysis": {"alarms": [alarm], "maxErrorRatePercent": 5, "maxP99Ms": 5000},
    }));
    let (execution, ended) = case.release(&request).await;
    let met = users.stop().await;

    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [10, 50, 100]);
    for step in ended.output["steps"].as_array().expect("it is a list") {
        assert_eq!(step["verdict"], "healthy", "{step}");
        assert!(
            step["endedAt"].as_str() >= step["startedAt"].as_str(),
            "{step}"
        );
    }
    let function = &ended.output["functions"][0];
    assert_eq!(function["blueVersion"], "1");
    assert_eq!(function["greenVersion"], "2");
    assert!(
        met.of("1").requests > 0 && met.of("2").requests > 0,
        "{:?}",
        met.by_version
    );
    assert_eq!(met.total().errors, 0, "{:?}", met.by_version);
    // The graph shows each step.
    let states = execution.states_entered().await;
    assert_eq!(
        states
            .iter()
            .filter(|state| *state == "ShiftTraffic")
            .count(),
        3
    );
    assert_eq!(states.last().map(String::as_str), Some("Done"));
    // The ledger knows when blue's time is over, and people know that it went well.
    case.ledger_says(&execution, "PROMOTED").await;
    let told = case.told(&execution, "SUCCESSFUL").await;
    assert!(
        told.subject
            .unwrap_or_default()
            .starts_with("[SUCCESSFUL] app-promoted-in-steps")
    );
}

/// Blue keeps its part through the last bake, where green is still compared with it, and the promotion takes it.
async fn control_group(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 40.0);
    let request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 120)]),
        "analysis": {"controlPercent": 20, "minInvocations": 1},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("ShiftTraffic", 2).await;
    execution.wait_for_state("CheckAlarms", 2).await;
    let ended = execution.wait().await;
    users.stop().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [50, 80]);
    let judge = &ended.output["evidence"]["judge"];
    assert_eq!(judge["withoutBlue"], Value::Null, "{judge}");
    assert!(judge["blue"]["invocations"].as_u64() > Some(0), "{judge}");
}

async fn all_at_once(case: Case) {
    let target = case.blue().await;
    let (_, ended) = case
        .release(&case.request(json!({"strategy": "AllAtOnce"})))
        .await;
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [100]);
}

async fn blue_green(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({"strategy": {"type": "blueGreen", "bakeSeconds": 60}}));
    let (_, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [0, 100]);
}

async fn linear(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let strategy = json!({"type": "linear", "stepWeight": 30, "intervalSeconds": 30});
    let (_, ended) = case
        .release(&case.request(json!({"strategy": strategy})))
        .await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [30, 60, 90, 100]);
}

async fn codedeploy_name(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 20.0);
    let request = case.request(json!({
        "strategy": "LambdaCanary10Percent5Minutes",
        "analysis": {"checkEverySeconds": 300},
    }));
    let (execution, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [10, 100]);
    // CodeDeploy's time at 10 %: five minutes, a hundredth of which is three seconds.
    let visits = execution.visits().await;
    let bake = visits
        .iter()
        .find(|visit| visit.state == "Bake")
        .expect("it bakes");
    assert_eq!(bake.input["position"]["waitSeconds"], 300);
    assert!(bake.left_at.expect("it ended") - bake.at >= 3.0, "{bake:?}");
}

async fn preset_dev(case: Case) {
    let target = case.blue().await;
    let (_, ended) = case
        .release(&case.request(json!({"strategy": "dev"})))
        .await;
    promoted(&target, &ended, "2").await;
    assert_eq!(weights(&ended.output), [100]);
}

async fn preset_staging(case: Case) {
    let target = case.blue().await;
    let smoke =
        json!([{"name": "health", "payload": {"path": "/health"}, "expect": {"statusCode": 200}}]);
    let mut request = case.request(json!({"strategy": "staging"}));
    request["functions"][0]["smokeTests"] = smoke;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(ended.output["evidence"]["validation"][0]["test"], "health");
}

async fn first_release(case: Case) {
    let target = case.function(Behaviour::healthy("first")).await;
    assert_eq!(target.look(ALIAS).await, None);
    let request = case.request(json!({"strategy": canary(&[(10, 60), (100, 0)])}));
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "1").await;
    assert_eq!(ended.output["functions"][0]["blueVersion"], Value::Null);
    // There is nothing to share traffic with: one step.
    assert_eq!(weights(&ended.output), [100]);
}

async fn alias_on_latest(case: Case) {
    let target = case.function(Behaviour::healthy("latest")).await;
    target.alias(ALIAS, "$LATEST").await;
    let code = target.upload(Behaviour::healthy("green")).await;
    let users = case.users(&target, 30.0);
    let mut request = case.request(json!({"strategy": canary(&[(50, 60), (100, 0)])}));
    request["functions"][0]["code"] = code;
    let (_, ended) = case.release(&request).await;
    let met = users.stop().await;
    promoted(&target, &ended, "2").await;
    assert_eq!(ended.output["functions"][0]["blueVersion"], "1");
    assert!(
        ended.output["warnings"]
            .to_string()
            .contains("was on $LATEST"),
        "{}",
        ended.output
    );
    // What served while `$LATEST` was replaced is what served before.
    assert!(met.of("1").requests > 0, "{:?}", met.by_version);
    let answer = target
        .invoke("1", &json!({}))
        .await
        .expect("version 1 is there")
        .answer;
    assert!(
        answer["body"]
            .as_str()
            .is_some_and(|body| body.contains("latest")),
        "{answer}"
    );
}

async fn code_from_s3(case: Case) {
    let target = case.blue().await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = target.upload(Behaviour::healthy("from-s3")).await;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let answer = target.invoke_alias(ALIAS).await.answer;
    assert!(
        answer["body"]
            .as_str()
            .is_some_and(|body| body.contains("from-s3")),
        "{answer}"
    );
}

/// The object that is meant, and not the one that was put there meanwhile.
async fn code_of_a_version(case: Case) {
    let target = case.blue().await;
    let mut code = target.upload(Behaviour::healthy("meant")).await;
    let key = code["s3Key"].as_str().expect("it has a key").to_owned();
    let control = case.suite().local.control();
    let meant = Behaviour::healthy("meant").package();
    let version = control.put_version(ARTIFACTS, &key, &meant).await;
    let newer = Behaviour::failing("newer", 100.0).package();
    control.put_version(ARTIFACTS, &key, &newer).await;
    code["s3ObjectVersion"] = json!(version);
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = code;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let answer = target.invoke_alias(ALIAS).await.answer;
    assert!(answer.to_string().contains("meant"), "{answer}");
}

/// The local AWS runs no images, so nothing invokes it: it is published and moved to.
async fn code_from_an_image(case: Case) {
    use aws_sdk_lambda::types::{FunctionCode, PackageType};

    let image = |tag: &str| format!("000000000000.dkr.ecr.us-east-1.amazonaws.com/it-chat:{tag}");
    for tag in ["1", "2"] {
        images::push(&case.suite().local, "it-chat", tag);
    }
    let target = Target::existing(&case.suite().local, &case.function_name());
    let code = FunctionCode::builder().image_uri(image("1")).build();
    let made = target.lambda().create_function();
    let made = made
        .function_name(&target.name)
        .package_type(PackageType::Image)
        .role(ROLE)
        .code(code)
        .send();
    made.await.expect("a function of an image can be made");
    target.updated().await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = json!({"imageUri": image("2")});
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let code = target.lambda().get_function();
    let code = code.function_name(&target.name).qualifier("2").send().await;
    let code = code.expect("it is there").code;
    let uri = code.and_then(|code| code.image_uri);
    assert_eq!(uri.as_deref(), Some(image("2").as_str()));
}

async fn given_version(case: Case) {
    let target = case.blue().await;
    assert_eq!(target.publish().await, "2");
    target
        .update(Behaviour::failing("not to be released", 100.0))
        .await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = json!({"version": "2"});
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(target.versions().await, ["1", "2"], "nothing was published");
}

async fn two_functions(case: Case) {
    let one = case.blue().await;
    let other_name = format!("{}-b", case.function_name());
    let other = case
        .function_called(&other_name, Behaviour::healthy("blue"))
        .await;
    other.publish().await;
    other.alias(ALIAS, "1").await;
    other.update(Behaviour::healthy("green")).await;
    let (users, others) = (case.users(&one, 20.0), case.users(&other, 20.0));
    let mut request = case.request(json!({"strategy": canary(&[(50, 60), (100, 0)])}));
    let functions = request["functions"].as_array_mut().expect("it is a list");
    functions.push(json!({"functionName": other_name, "alias": ALIAS}));
    let (_, ended) = case.release(&request).await;
    drop((users, others));
    promoted(&one, &ended, "2").await;
    promoted(&other, &ended, "2").await;
    assert_eq!(ended.output["functions"].as_array().map(Vec::len), Some(2));
}

async fn bypasses(case: Case) {
    let target = case.blue().await;
    let lambda = target.lambda();
    lambda
        .add_permission()
        .function_name(&target.name)
        .statement_id("past-the-alias")
        .action("lambda:InvokeFunction")
        .principal("apigateway.amazonaws.com")
        .send()
        .await
        .expect("a permission can be added");
    lambda
        .create_function_url_config()
        .function_name(&target.name)
        .auth_type(aws_sdk_lambda::types::FunctionUrlAuthType::AwsIam)
        .send()
        .await
        .expect("a URL can be made");
    lambda
        .create_event_source_mapping()
        .function_name(&target.name)
        .event_source_arn("arn:aws:sqs:us-east-1:000000000000:orders")
        .enabled(false)
        .send()
        .await
        .expect("an event source can be mapped");
    let (_, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "2").await;
    let warnings = ended.output["warnings"]
        .as_array()
        .expect("there are warnings")
        .clone();
    let warned = |word: &str| {
        assert!(
            warnings
                .iter()
                .any(|warning| warning.as_str().is_some_and(|text| text.contains(word))),
            "no warning of {word}: {warnings:?}"
        );
    };
    warned("orders");
    warned("URL");
    warned("apigateway.amazonaws.com");
}

async fn no_change(case: Case) {
    let target = case.function(Behaviour::healthy("blue")).await;
    assert_eq!(target.publish().await, "1");
    target.alias(ALIAS, "1").await;
    let before = target.look(ALIAS).await;
    let (execution, ended) = case.release(&case.request(json!({}))).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "NO_CHANGE");
    assert_eq!(ended.output["functions"][0]["greenVersion"], "1");
    assert_eq!(
        target.look(ALIAS).await,
        before,
        "the alias was not written to"
    );
    assert_eq!(target.versions().await, ["1"]);
    let states = execution.states_entered().await;
    assert_eq!(states.last().map(String::as_str), Some("Done"));
}
