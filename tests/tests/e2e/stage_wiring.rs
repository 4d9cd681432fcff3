//! API Gateway stages that are made to call an alias, seen through the API.

use crossfade_tests::{
    Behaviour, Ended, Execution, Target,
    api::{Api, Kind, rest_uri},
    world::{Call, Fault},
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, merge, test},
    promoted::promoted,
};

pub(crate) const PRODUCTION: &str = "production";
const STAGING: &str = "staging";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("front_door_rest", |case| there_and_back(case, Kind::Rest)),
        test("front_door_http", |case| there_and_back(case, Kind::Http)),
        test("front_door_http_by_hand", |case| {
            there_and_back(case, Kind::HttpByHand)
        }),
        test("front_door_on_moto", |case| {
            there_and_back(case.on_moto(), Kind::Rest)
        }),
        test("front_door_release_rest", |case| release(case, Kind::Rest)),
        test("front_door_release_http", |case| release(case, Kind::Http)),
        test("front_door_authorizer_rest", |case| {
            authorizer(case, Kind::Rest)
        }),
        test("front_door_authorizer_http", |case| {
            authorizer(case, Kind::Http)
        }),
        test("front_door_authorizer_http_by_hand", |case| {
            authorizer(case, Kind::HttpByHand)
        }),
        test("front_door_two_functions_rest", |case| {
            two_functions(case, Kind::Rest)
        }),
        test("front_door_two_functions_http", |case| {
            two_functions(case, Kind::Http)
        }),
        test("front_door_with_a_stage_variable", stage_variable),
        test("front_door_answers_lost", answers_lost),
        test("front_door_resumed_by_another", resumed),
        test("front_door_refused", refused),
        test("front_door_not_while_releasing", not_while_releasing),
        test("front_door_alias_in_retention_is_kept", kept_in_retention),
    ]
}

/// A request about the production stage.
pub(crate) fn order(case: &Case, api: &Api, action: &str) -> Value {
    json!({
        "action": action,
        "application": format!("app-{}", case.name),
        "frontDoor": front_door(api),
    })
}

pub(crate) fn front_door(api: &Api) -> Value {
    json!({"type": "apiGateway", "apiId": api.id, "stage": PRODUCTION, "alias": ALIAS})
}

pub(crate) async fn api(case: &Case, kind: Kind, target: &Target) -> Api {
    Api::create(&case.suite().local, kind, &case.name, target).await
}

/// What a stage says, by the name that the behaviour has.
async fn says(api: &Api, stage: &str) -> (String, String) {
    let served = api.ask(stage).await;
    assert_eq!(served["status"], 200, "{stage}: {served}");
    let version = served["executedVersion"].as_str().unwrap_or_default();
    let body = served["body"].as_str().unwrap_or_default();
    (version.to_owned(), body.to_owned())
}

fn succeeded(ended: &Ended, status: &str) {
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], status, "{ended:?}");
}

/// What front-door wrote to Lambda about the test's function: other tests' APIs are in the same log.
async fn written(case: &Case, since: u64) -> Vec<Call> {
    let by = case.world.stack.function("front-door");
    let about = case.function_name();
    let mut calls = case.world.our_calls(since).await;
    calls.retain(|call| {
        call.caller.as_deref() == Some(&by)
            && call.service == "lambda"
            && call.writes()
            && call.resource.as_deref() == Some(&about)
    });
    calls
}

async fn there_and_back(case: Case, kind: Kind) {
    let target = case.function(Behaviour::healthy("one")).await;
    let api = api(&case, kind, &target).await;
    let before = (api.uri().await, api.variables(PRODUCTION).await);
    let users = [api.users(PRODUCTION, 10.0), api.users(STAGING, 5.0)];

    let listener = case.listener().await;
    let (execution, ended) = case.release(&order(&case, &api, "wire")).await;
    succeeded(&ended, "SUCCESSFUL");
    let events = crate::notices::kinds(&listener, &execution, "Wired").await;
    assert_eq!(events, ["Wired"]);
    let written_by_it = ended.output["frontDoor"]["written"].as_array();
    assert!(written_by_it.is_some_and(|all| all.len() >= 7), "{ended:?}");
    let states = execution.states_entered().await;
    assert_eq!(states.last().map(String::as_str), Some("Done"));
    assert!(states.contains(&"AwaitStage".to_owned()), "{states:?}");
    let alias = target.look(ALIAS).await.expect("it was made");
    assert_eq!(alias.settled(), Some("1"));
    assert_eq!(says(&api, PRODUCTION).await.0, "1");
    assert_eq!(says(&api, STAGING).await.0, "$LATEST");

    // It is done, and nothing is written again.
    let since = case.world.now().await;
    let deployment = api.deployment(PRODUCTION).await;
    let (_, again) = case.release(&order(&case, &api, "wire")).await;
    succeeded(&again, "NO_CHANGE");
    let more = written(&case, since).await;
    assert!(more.is_empty(), "{more:?}");
    assert_eq!(api.deployment(PRODUCTION).await, deployment);

    // A deployment to staging does not reach production: neither new code nor the API.
    target.update(Behaviour::healthy("two")).await;
    if kind != Kind::Http {
        api.deploy(STAGING).await;
    }
    let (version, body) = says(&api, STAGING).await;
    assert!(
        version == "$LATEST" && body.contains("two"),
        "{version} {body}"
    );
    let (version, body) = says(&api, PRODUCTION).await;
    assert!(version == "1" && body.contains("one"), "{version} {body}");

    let (_, ended) = case.release(&order(&case, &api, "unwire")).await;
    succeeded(&ended, "SUCCESSFUL");
    assert!(
        ended.output["warnings"].to_string().contains("other code"),
        "{ended:?}"
    );
    assert_eq!((api.uri().await, api.variables(PRODUCTION).await), before);
    assert!(api.variables(STAGING).await.is_empty());
    assert_eq!(says(&api, PRODUCTION).await.0, "$LATEST");
    assert_eq!(says(&api, STAGING).await.0, "$LATEST");
    assert_eq!(target.look(ALIAS).await, None);
    assert_eq!(target.look("crossfade-latest").await, None);

    for users in users {
        let met = users.stop().await;
        assert_eq!(met.total().errors, 0, "{:?}", met.by_version);
        assert!(met.of("$LATEST").requests > 0, "{:?}", met.by_version);
    }
    // There is nothing left to undo.
    let (_, ended) = case.release(&order(&case, &api, "unwire")).await;
    assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
}

async fn release(case: Case, kind: Kind) {
    let target = case.function(Behaviour::healthy("blue")).await;
    let api = api(&case, kind, &target).await;
    let code = target.upload(Behaviour::healthy("green")).await;
    let began = std::time::SystemTime::now();
    let users = api.users(PRODUCTION, 10.0);
    let mut request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 60)]),
        "frontDoor": front_door(&api),
    }));
    request["functions"][0]["code"] = code;
    let (execution, ended) = case.release(&request).await;
    let met = users.stop().await;

    promoted(&target, &ended, "2").await;
    assert_eq!(says(&api, PRODUCTION).await.0, "2");
    assert_eq!(met.total().errors, 0, "{:?}", met.by_version);
    assert!(met.of("1").requests > 0, "{:?}", met.by_version);
    let warnings = ended.output["warnings"].to_string();
    assert!(warnings.contains("calls it-"), "{warnings}");
    // $LATEST got green's code when nobody in production called it any more.
    let visits = execution.visits().await;
    let deploying = visits.iter().find(|visit| visit.state == "DeployGreen");
    let deploying = deploying.expect("it releases").at;
    let began = began.duration_since(std::time::UNIX_EPOCH);
    let began = began.expect("it is after 1970").as_secs_f64();
    for request in &met.requests {
        let at = began + request.sent.as_secs_f64();
        let by_latest = request.version.as_deref() == Some("$LATEST");
        assert!(!by_latest || at < deploying, "{request:?}");
    }

    // The next release has the same request, and nothing to wire.
    let since = case.world.now().await;
    request["functions"][0]["code"] = target.upload(Behaviour::healthy("next")).await;
    let users = api.users(PRODUCTION, 10.0);
    let (execution, ended) = case.release(&request).await;
    drop(users);
    promoted(&target, &ended, "3").await;
    let lambda = written(&case, since).await;
    let lambda: Vec<_> = lambda
        .iter()
        .filter(|call| call.service == "lambda")
        .collect();
    assert!(lambda.is_empty(), "{lambda:?}");
    let states = execution.states_entered().await;
    assert_eq!(states[1..3], ["WireStage", "Decide"], "{states:?}");
    assert!(!states.contains(&"AwaitStage".to_owned()), "{states:?}");
}

/// An authorizer that lets everybody in, by either form of answer.
fn gate(version: &str) -> Behaviour {
    let statement = json!({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"});
    Behaviour {
        answers: vec![json!({
            "isAuthorized": true,
            "principalId": "somebody",
            "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        })],
        ..Behaviour::healthy(version)
    }
}

/// The version of the authorizer that a stage called.
async fn asked_by(api: &Api, stage: &str) -> String {
    let served = api.ask(stage).await;
    assert_eq!(served["status"], 200, "{stage}: {served}");
    let version = served["authorizerVersion"].as_str();
    version.unwrap_or_default().to_owned()
}

/// A function that is only an authorizer is wired, released and unwired.
async fn authorizer(case: Case, kind: Kind) {
    let target = case.function(gate("one")).await;
    let name = format!("{}-served", case.function_name());
    let served = case
        .function_called(&name, Behaviour::healthy("served"))
        .await;
    let api = api(&case, kind, &served).await;
    let id = api.authorize(&target).await;
    let before = (api.authorizer(&id).await, api.variables(PRODUCTION).await);
    let policy = target.policy(None).await;
    assert_eq!(asked_by(&api, PRODUCTION).await, "$LATEST");
    let users = [api.users(PRODUCTION, 10.0), api.users(STAGING, 5.0)];
    let of = |action: &str| {
        let mut request = order(&case, &api, action);
        request["frontDoor"]["functionName"] = json!(target.name);
        request
    };

    let (_, ended) = case.release(&of("wire")).await;
    succeeded(&ended, "SUCCESSFUL");
    println!("{kind:?}: {}", ended.output["frontDoor"]["written"]);
    assert_eq!(asked_by(&api, PRODUCTION).await, "1");
    assert_eq!(asked_by(&api, STAGING).await, "$LATEST");
    let (_, again) = case.release(&of("wire")).await;
    succeeded(&again, "NO_CHANGE");

    // A release of it moves what the stage asks.
    let mut request = case.request(json!({
        "strategy": canary(&[(50, 60), (100, 60)]), "frontDoor": front_door(&api),
        "retention": {"blueHours": 0},
    }));
    request["functions"][0]["code"] = target.upload(gate("two")).await;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(asked_by(&api, PRODUCTION).await, "2");
    assert_eq!(api.authorizer(&id).await.1, before.0.1);
    assert_eq!(api.authorizer(&id).await.2, before.0.2);

    let (_, ended) = case.release(&of("unwire")).await;
    succeeded(&ended, "SUCCESSFUL");
    assert_eq!(
        (api.authorizer(&id).await, api.variables(PRODUCTION).await),
        before
    );
    assert!(api.variables(STAGING).await.is_empty());
    assert_eq!(asked_by(&api, PRODUCTION).await, "$LATEST");
    assert_eq!(target.policy(None).await, policy);
    assert_eq!(target.look(ALIAS).await, None);
    assert_eq!(target.look("crossfade-latest").await, None);
    for users in users {
        assert_eq!(users.stop().await.total().errors, 0);
    }
}

/// Two functions of one stage, on aliases of one name: nothing of either is left.
async fn two_functions(case: Case, kind: Kind) {
    let target = case.function(Behaviour::healthy("one")).await;
    let name = format!("{}-jobs", case.function_name());
    let jobs = case
        .function_called(&name, Behaviour::healthy("jobs"))
        .await;
    let api = api(&case, kind, &target).await;
    api.also_asks(&jobs).await;
    let before = (api.uris().await, api.variables(PRODUCTION).await);
    let policies = (target.policy(None).await, jobs.policy(None).await);
    let users = [api.users(PRODUCTION, 10.0), api.users(STAGING, 5.0)];
    let of = |action: &str, one: &Target| {
        let mut request = order(&case, &api, action);
        request["frontDoor"]["functionName"] = json!(one.name);
        request
    };
    for one in [&target, &jobs] {
        let (_, ended) = case.release(&of("wire", one)).await;
        succeeded(&ended, "SUCCESSFUL");
    }
    assert_eq!(says(&api, PRODUCTION).await.0, "1");
    for one in [&target, &jobs] {
        let (_, ended) = case.release(&of("unwire", one)).await;
        succeeded(&ended, "SUCCESSFUL");
        let warnings = ended.output["warnings"].as_array();
        assert!(warnings.is_none_or(Vec::is_empty), "{ended:?}");
        for alias in [ALIAS, "crossfade-latest"] {
            assert_eq!(one.look(alias).await, None, "{}:{alias}", one.name);
            assert_eq!(one.policy(Some(alias)).await, None, "{}:{alias}", one.name);
        }
    }
    assert_eq!((api.uris().await, api.variables(PRODUCTION).await), before);
    assert!(api.variables(STAGING).await.is_empty());
    assert_eq!(
        (target.policy(None).await, jobs.policy(None).await),
        policies
    );
    println!("{kind:?}: two functions wired and unwired, nothing left");
    for users in users {
        assert_eq!(users.stop().await.total().errors, 0);
    }
}

async fn stage_variable(case: Case) {
    let target = case.function(Behaviour::healthy("one")).await;
    target.alias("dev", "$LATEST").await;
    let uri = target.arn("${stageVariables.version}");
    let api = Api::asking(&case.suite().local, Kind::Rest, &case.name, &uri).await;
    for stage in [PRODUCTION, STAGING] {
        api.set_variable(stage, "version", "dev").await;
    }
    api.allow(&target, Some("dev")).await;
    assert_eq!(says(&api, PRODUCTION).await.0, "$LATEST");
    let deployment = api.deployment(PRODUCTION).await;

    let users = api.users(PRODUCTION, 10.0);
    // By a variable alone, it cannot be told which function the other stages' calls would reach.
    let (_, ended) = case.release(&order(&case, &api, "wire")).await;
    succeeded(&ended, "SUCCESSFUL");
    assert_eq!(says(&api, PRODUCTION).await.0, "1");
    assert_eq!(api.uri().await, rest_uri(&uri));
    assert_eq!(
        api.deployment(PRODUCTION).await,
        deployment,
        "nothing to deploy"
    );
    assert_eq!(api.variables(PRODUCTION).await["version"], ALIAS);
    assert_eq!(api.variables(STAGING).await["version"], "dev");
    assert_eq!(target.look("crossfade-latest").await, None);

    let (_, ended) = case.release(&order(&case, &api, "unwire")).await;
    succeeded(&ended, "SUCCESSFUL");
    assert_eq!(api.variables(PRODUCTION).await["version"], "dev");
    assert_eq!(says(&api, PRODUCTION).await.0, "$LATEST");
    assert_eq!(target.look(ALIAS).await, None);
    assert_eq!(users.stop().await.total().errors, 0);
}

/// Each write takes effect, and its answer is lost.
async fn answers_lost(case: Case) {
    let target = case.function(Behaviour::healthy("one")).await;
    let api = api(&case, Kind::Rest, &target).await;
    let by = case.world.stack.function("front-door");
    let lost = |service: &str, action: &str, about: &str| {
        Fault::new("drop-after")
            .on(service, action)
            .by(&by)
            .about(about)
    };
    let mut faults = Vec::new();
    for action in [
        "CreateAlias",
        "AddPermission",
        "PublishVersion",
        "DeleteAlias",
    ] {
        faults.push(lost("lambda", action, &target.name));
    }
    let mut struck = Vec::new();
    for fault in faults {
        struck.push(case.world.fault(fault).await);
    }
    let users = api.users(PRODUCTION, 10.0);
    for action in ["wire", "unwire"] {
        let (_, ended) = case.release(&order(&case, &api, action)).await;
        succeeded(&ended, "SUCCESSFUL");
    }
    assert_eq!(users.stop().await.total().errors, 0);
    for fault in struck {
        assert!(
            case.world.struck(fault).await > 0,
            "fault {fault} never struck"
        );
    }
    assert_eq!(target.look(ALIAS).await, None);
    assert_eq!(says(&api, PRODUCTION).await.0, "$LATEST");
}

/// One execution dies between two phases; another one does what is left.
async fn resumed(case: Case) {
    let target = case.function(Behaviour::healthy("one")).await;
    let api = api(&case, Kind::Rest, &target).await;
    let users = [api.users(PRODUCTION, 10.0), api.users(STAGING, 5.0)];
    let first = case.start(&order(&case, &api, "wire")).await;
    first.wait_for_state("AwaitStage", 1).await;
    first.stop().await;
    assert_eq!(first.wait().await.status, "ABORTED");
    case.ledger_says(&first, "REJECTED").await;
    let (_, ended) = case.release(&order(&case, &api, "wire")).await;
    succeeded(&ended, "SUCCESSFUL");
    assert_eq!(says(&api, PRODUCTION).await.0, "1");

    let half = case.start(&order(&case, &api, "unwire")).await;
    half.wait_for_state("AwaitStage", 1).await;
    half.stop().await;
    case.ledger_says(&half, "REJECTED").await;
    let (_, ended) = case.release(&order(&case, &api, "unwire")).await;
    succeeded(&ended, "SUCCESSFUL");
    assert_eq!(says(&api, PRODUCTION).await.0, "$LATEST");
    assert!(api.variables(STAGING).await.is_empty());
    assert_eq!(target.look(ALIAS).await, None);
    for users in users {
        assert_eq!(users.stop().await.total().errors, 0);
    }
}

async fn refused(case: Case) {
    let target = case.function(Behaviour::healthy("one")).await;
    let api = api(&case, Kind::Rest, &target).await;
    let since = case.world.now().await;
    let refused = async |request: Value, error: &str, says: &str| {
        let (_, ended) = case.release(&request).await;
        assert_eq!(
            (ended.status.as_str(), ended.error.as_str()),
            ("FAILED", error),
            "{ended:?}"
        );
        assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
        let reason = ended.cause["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(says), "{reason}");
    };
    let wire = |more: Value| {
        let mut request = order(&case, &api, "wire");
        merge(&mut request["frontDoor"], more);
        request
    };
    refused(
        wire(json!({"apiId": "doesnotexist"})),
        "InvalidRequest",
        "there is no API",
    )
    .await;
    refused(
        wire(json!({"stage": "beta"})),
        "InvalidRequest",
        "no stage beta; it has",
    )
    .await;
    let other = json!({"functionName": "it-no-such-function"});
    refused(wire(other), "InvalidRequest", "there is no function").await;
    refused(order(&case, &api, "unwire"), "InvalidRequest", "no record").await;
    // A release is refused for the same reasons, before its $LATEST is touched.
    let mut release = case.request(json!({"action": "release", "frontDoor": front_door(&api)}));
    release["frontDoor"]["stage"] = json!("beta");
    refused(release, "InvalidRequest", "no stage beta").await;
    // A change of the API that production does not have yet.
    let rest = api.rest();
    let resources = rest.get_resources().rest_api_id(&api.id).send().await;
    let resources = resources
        .expect("the API is there")
        .items
        .unwrap_or_default();
    let root = resources
        .iter()
        .find(|one| one.path.as_deref() == Some("/"));
    let root = root
        .and_then(|root| root.id.clone())
        .expect("it has a root");
    let method = rest.put_method().rest_api_id(&api.id).resource_id(&root);
    let done = method.http_method("GET").authorization_type("NONE").send();
    done.await.expect("a method can be made");
    let integration = rest.put_integration().rest_api_id(&api.id);
    let integration = integration.resource_id(&root).http_method("GET");
    let kind = aws_sdk_apigateway::types::IntegrationType::Mock;
    integration
        .r#type(kind)
        .send()
        .await
        .expect("an integration can be made");
    refused(
        wire(json!({})),
        "ValidationFailed",
        "would publish other changes of the API too: GET /",
    )
    .await;
    assert!(
        written(&case, since)
            .await
            .iter()
            .all(|call| call.service != "lambda")
    );
    assert_eq!(target.look(ALIAS).await, None);
}

async fn not_while_releasing(case: Case) {
    let target = case.blue().await;
    let api = api(&case, Kind::Rest, &target).await;
    let execution: Execution = case
        .start(&case.request(json!({"strategy": {"type": "blueGreen", "bakeSeconds": 3000}})))
        .await;
    execution.wait_for_state("Bake", 1).await;
    let (_, ended) = case.release(&order(&case, &api, "wire")).await;
    assert_eq!(ended.error, "DeploymentInProgress", "{ended:?}");
    assert_eq!(says(&api, PRODUCTION).await.0, "$LATEST");
    execution.stop().await;
    execution.wait().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    let (_, ended) = case.release(&order(&case, &api, "wire")).await;
    succeeded(&ended, "SUCCESSFUL");
    assert_eq!(says(&api, PRODUCTION).await.0, "1");
    let warnings = ended.output["warnings"].to_string();
    assert!(warnings.contains("other code"), "{warnings}");
}

async fn kept_in_retention(case: Case) {
    let target = case.function(Behaviour::healthy("blue")).await;
    let api = api(&case, Kind::Http, &target).await;
    let code = target.upload(Behaviour::healthy("green")).await;
    let mut request = case.request(json!({"frontDoor": front_door(&api)}));
    request["functions"][0]["code"] = code;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let (_, ended) = case.release(&order(&case, &api, "unwire")).await;
    succeeded(&ended, "SUCCESSFUL");
    let warnings = ended.output["warnings"].to_string();
    assert!(warnings.contains("can be taken back until"), "{warnings}");
    assert_eq!(says(&api, PRODUCTION).await.0, "$LATEST");
    let alias = target.look(ALIAS).await.expect("it is kept");
    assert_eq!(alias.settled(), Some("2"));
    // And so the release can be taken back.
    let (_, ended) = case.release(&case.rollback()).await;
    succeeded(&ended, "ROLLED_BACK");
}
