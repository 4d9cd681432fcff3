//! Health checks of green: URLs and Route 53's.

use crossfade_tests::{Behaviour, Ended};
use serde_json::{Value, json};

use crate::{
    case::{Case, Test, canary, test},
    splitters::{Door, Kind},
};

pub(crate) fn tests() -> Vec<Test> {
    use Kind::{Listener, Rule, Zone};
    vec![
        test("health_promoted", promoted_while_healthy),
        test("health_url_fails", url_fails),
        test("health_route53_fails", route53_fails),
        test("health_fails_twice_only", fails_twice_only),
        test("health_fails_at_the_end", fails_at_the_end),
        test("health_fails_before_route53", |case| {
            fails_before(case, Zone)
        }),
        test("health_fails_before_alb", |case| {
            fails_before(case, Listener)
        }),
        test("health_host_not_allowed", host_not_allowed),
        test("health_private_name", private_name),
        test("health_redirect", redirect),
        test("health_refused_behind_an_alias", behind_an_alias),
        test("health_follows_the_colour_route53", |case| {
            follows_the_colour(case, Zone)
        }),
        test("health_follows_the_colour_alb", |case| {
            follows_the_colour(case, Rule)
        }),
    ]
}

async fn door(case: &Case, kind: Kind) -> Door {
    Door::make(case, kind, Behaviour::healthy("green")).await
}

/// The path that is this test's own, of the side that is idle at first: green, in a first release.
fn path(case: &Case) -> String {
    format!("/{}", case.name)
}

/// The path of the side that serves at first. It fails, unless it is told otherwise: who asks it in a
/// first release fails.
fn other_path(case: &Case) -> String {
    format!("/{}-other", case.name)
}

fn url_checks(case: &Case, door: &Door) -> Vec<Value> {
    let check = |path: &str| json!({"url": case.suite().health.url(path), "intervalSeconds": 10});
    door.of_each_side([check(&other_path(case)), check(&path(case))])
}

fn request(case: &Case, door: &Door, checks: &[Value]) -> Value {
    let more = json!({
        "strategy": canary(&[(50, 100), (100, 60)]),
        "analysis": {"healthChecks": checks},
    });
    door.request(case, more)
}

/// A health check of Route 53's that is healthy.
async fn route53_check(case: &Case, side: &str) -> Value {
    let client = aws_sdk_route53::Client::new(&case.suite().local.config());
    let config = aws_sdk_route53::types::HealthCheckConfig::builder()
        .r#type(aws_sdk_route53::types::HealthCheckType::Https)
        .fully_qualified_domain_name("green.example.com")
        .resource_path("/health")
        .request_interval(10)
        .build()
        .expect("it has a type");
    let made = client
        .create_health_check()
        .caller_reference(format!("{}-{side}", case.name))
        .health_check_config(config)
        .send()
        .await
        .expect("a health check can be made");
    json!({"route53HealthCheckId": made.health_check.expect("it is told").id})
}

async fn rolled_back(door: &Door, ended: &Ended, share: f64) -> Value {
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "ROLLED_BACK", "{ended:?}");
    assert!((door.share().await - share).abs() < 1e-9);
    let evidence = &ended.cause["evidence"];
    assert_eq!(evidence["decidedBy"], "healthCheck", "{ended:?}");
    evidence["healthChecks"][0].clone()
}

async fn promoted(door: &Door, ended: &Ended, share: f64) {
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL", "{ended:?}");
    assert!((door.share().await - share).abs() < 1e-9);
}

async fn promoted_while_healthy(case: Case) {
    let door = door(&case, Kind::Rule).await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let mut checks = url_checks(&case, &door);
    let route53 = [
        route53_check(&case, "blue").await,
        route53_check(&case, "green").await,
    ];
    checks.extend(door.of_each_side(route53));
    let users = door.users(&case, 20.0);
    let (execution, ended) = case.release(&request(&case, &door, &checks)).await;
    drop(users);
    promoted(&door, &ended, 1.0).await;
    let reason = ended.output["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("2 health checks of target group "),
        "{reason}"
    );
    // Once before the first shift, and at each look: a look is as often as the check's interval.
    let looks = execution.visits().await;
    let looks = looks
        .iter()
        .filter(|visit| visit.state == "CheckAlarms")
        .count();
    assert!(looks >= 16, "{looks}");
    let requests = server.requests(&path(&case));
    assert_eq!(requests.len(), looks + 1);
    assert!(requests[0].starts_with("GET "), "{requests:?}");
    assert_eq!(server.requests(&other_path(&case)), Vec::<String>::new());
}

async fn url_fails(case: Case) {
    let door = door(&case, Kind::Zone).await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let users = door.users(&case, 20.0);
    let checks = url_checks(&case, &door);
    let execution = case.start(&request(&case, &door, &checks)).await;
    execution.wait_for_state("Bake", 2).await;
    server.answer(&path(&case), 503);
    let ended = execution.wait().await;
    drop(users);
    let found = rolled_back(&door, &ended, 0.0).await;
    assert_eq!(found["failuresInARow"], 3, "{found}");
    assert_eq!(found["said"], "status 503 instead of 200", "{found}");
    assert_eq!(found["check"], server.url(&path(&case)), "{found}");
    assert_eq!(found["setIdentifier"], "green", "{found}");
    let told = case.told(&execution, "ROLLED_BACK").await;
    assert!(
        told.message.contains("of record \"green\" failed"),
        "{}",
        told.message
    );
}

async fn route53_fails(case: Case) {
    let door = door(&case, Kind::Zone).await;
    let [blue, green] = [
        route53_check(&case, "blue").await,
        route53_check(&case, "green").await,
    ];
    let unhealthy = |check: &Value| json!({"healthCheckId": check["route53HealthCheckId"], "status": "unhealthy"});
    // The side that serves is sick throughout, and that is not green's doing.
    case.world
        .control
        .post("dns/health", &unhealthy(&blue))
        .await;
    let users = door.users(&case, 20.0);
    let checks = door.of_each_side([blue, green.clone()]);
    let mut request = request(&case, &door, &checks);
    request["strategy"] = canary(&[(50, 600), (100, 60)]);
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.world
        .control
        .post("dns/health", &unhealthy(&green))
        .await;
    let ended = execution.wait().await;
    drop(users);
    let found = rolled_back(&door, &ended, 0.0).await;
    assert_eq!(found["failuresInARow"], 3, "{found}");
    assert_eq!(found["check"], green["route53HealthCheckId"], "{found}");
    let said = found["said"].as_str().unwrap_or_default();
    assert!(said.starts_with("0 of "), "{said}");
}

async fn fails_twice_only(case: Case) {
    let door = door(&case, Kind::Rule).await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let users = door.users(&case, 20.0);
    let checks = url_checks(&case, &door);
    let execution = case.start(&request(&case, &door, &checks)).await;
    execution.wait_for_state("Bake", 2).await;
    server.answer_next(&path(&case), &[503, 500]);
    let ended = execution.wait().await;
    drop(users);
    promoted(&door, &ended, 1.0).await;
    assert!(
        ended.output["evidence"]["healthChecks"].is_null(),
        "{ended:?}"
    );
}

/// There is one look, and no other after it: it asks until it knows.
async fn fails_at_the_end(case: Case) {
    let door = door(&case, Kind::Listener).await;
    let server = &case.suite().health;
    server.answer_next(&path(&case), &[200]);
    server.answer_next(&path(&case), &[503, 503, 503]);
    let mut request = request(&case, &door, &url_checks(&case, &door));
    request["strategy"] = json!({"type": "allAtOnce"});
    let (execution, ended) = case.release(&request).await;
    let found = rolled_back(&door, &ended, 0.0).await;
    assert_eq!(found["failuresInARow"], 3, "{found}");
    let states = execution.states_entered().await;
    let looks = states
        .iter()
        .filter(|state| *state == "CheckAlarms")
        .count();
    assert_eq!(looks, 1, "{states:?}");
    assert_eq!(server.requests(&path(&case)).len(), 4);
}

async fn fails_before(case: Case, kind: Kind) {
    let door = door(&case, kind).await;
    let server = &case.suite().health;
    server.answer(&path(&case), 503);
    let checks = url_checks(&case, &door);
    let (_, ended) = case.release(&request(&case, &door, &checks)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    let all = ended.cause["evidence"]["healthChecks"].as_array();
    let all = all.expect("it is told which");
    assert_eq!(all.len(), 1, "the other side was not asked: {ended:?}");
    assert_eq!(all[0]["failuresInARow"], 3, "{ended:?}");
    assert_eq!(server.requests(&path(&case)).len(), 3);
    assert_eq!(server.requests(&other_path(&case)), Vec::<String>::new());
    assert!(door.share().await.abs() < 1e-9);
}

async fn host_not_allowed(case: Case) {
    let door = door(&case, Kind::Rule).await;
    for host in ["example.com", "10.0.0.1", "127.0.0.1"] {
        // Of the side that is not asked in this release: what no release may ask is refused at once.
        let wrong = json!({"url": format!("https://{host}/latest/meta-data")});
        let right = json!({"url": case.suite().health.url(&path(&case))});
        let checks = door.of_each_side([wrong, right]);
        let (_, ended) = case.release(&request(&case, &door, &checks)).await;
        assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
        let reason = ended.cause["reason"].as_str().unwrap_or_default();
        for says in ["analysis.healthChecks[0].url", host, "HealthCheckHosts"] {
            assert!(reason.contains(says), "{reason}");
        }
    }
}

/// A name that is listed, and stands for an address that is not public.
async fn private_name(case: Case) {
    let door = door(&case, Kind::Rule).await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let mut checks = url_checks(&case, &door);
    let url = server.url(&path(&case)).replace("127.0.0.1", "localhost");
    checks[1]["url"] = json!(url);
    let (_, ended) = case.release(&request(&case, &door, &checks)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no public address"), "{reason}");
    assert_eq!(server.requests(&path(&case)), Vec::<String>::new());
}

async fn redirect(case: Case) {
    let door = door(&case, Kind::Rule).await;
    let server = &case.suite().health;
    let elsewhere = format!("{}/elsewhere", path(&case));
    server.redirect(&path(&case), &elsewhere);
    let mut checks = url_checks(&case, &door);
    let (_, ended) = case.release(&request(&case, &door, &checks)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("status 302 instead of 200"), "{reason}");
    checks[1]["expectedStatus"] = json!(302);
    let mut request = request(&case, &door, &checks);
    request["strategy"] = json!({"type": "allAtOnce"});
    let (_, ended) = case.release(&request).await;
    promoted(&door, &ended, 1.0).await;
    assert_eq!(server.requests(&elsewhere), Vec::<String>::new());
}

/// No URL reaches green alone there, and a check that asks the shared address would judge both.
async fn behind_an_alias(case: Case) {
    let target = case.blue().await;
    let check = json!({"url": case.suite().health.url(&path(&case))});
    for more in [json!({}), json!({"type": "alias"})] {
        let mut request = case.request(json!({"analysis": {"healthChecks": [check]}}));
        if more["type"] == "alias" {
            request["traffic"] = more;
        }
        let (_, ended) = case.release(&request).await;
        assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
        let reason = ended.cause["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("analysis.healthChecks: "), "{reason}");
        assert!(reason.contains("no URL reaches green alone"), "{reason}");
    }
    assert_eq!(target.versions().await, ["1"], "nothing was published");
}

/// From the second release on the roles are swapped. The check of the side that serves is not green's,
/// however it fails; and the check of the side that is green rolls back.
async fn follows_the_colour(case: Case, kind: Kind) {
    let door = door(&case, kind).await;
    let server = &case.suite().health;
    let (first, second) = (path(&case), other_path(&case));
    let users = door.users(&case, 40.0);
    let checks = url_checks(&case, &door);
    let request = request(&case, &door, &checks);

    server.answer(&first, 200);
    let (_, ended) = case.release(&request).await;
    promoted(&door, &ended, 1.0).await;
    assert_eq!(server.requests(&second), Vec::<String>::new());

    // The side that serves is sick throughout, which is not green's doing. Green becomes sick too.
    let asked = server.requests(&first).len();
    server.answer(&first, 503);
    server.answer(&second, 200);
    door.target().update(Behaviour::healthy("third")).await;
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 2).await;
    server.answer(&second, 503);
    let ended = execution.wait().await;
    let found = rolled_back(&door, &ended, 1.0).await;
    assert_eq!(found["check"], server.url(&second), "{found}");
    for field in ["setIdentifier", "targetGroupArn"] {
        assert_eq!(found.get(field), checks[0].get(field), "{found}");
    }

    // A green that is well is the cure, and is promoted.
    server.answer(&second, 200);
    door.target().update(Behaviour::healthy("fourth")).await;
    let (_, ended) = case.release(&request).await;
    drop(users);
    promoted(&door, &ended, 0.0).await;
    assert_eq!(
        server.requests(&first).len(),
        asked,
        "the side that serves is not asked"
    );
}
