//! Health checks of green: URLs and Route 53's.

use crossfade_tests::{Ended, Target};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, test},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("health_promoted", promoted_while_healthy),
        test("health_url_fails", url_fails),
        test("health_route53_fails", route53_fails),
        test("health_fails_twice_only", fails_twice_only),
        test("health_fails_at_the_end", fails_at_the_end),
        test("health_fails_before", fails_before),
        test("health_host_not_allowed", host_not_allowed),
        test("health_private_name", private_name),
        test("health_redirect", redirect),
    ]
}

/// The path that is this test's own.
fn path(case: &Case) -> String {
    format!("/{}", case.name)
}

fn url_check(case: &Case) -> Value {
    let url = case.suite().health.url(&path(case));
    json!({"url": url, "intervalSeconds": 10})
}

fn request(case: &Case, checks: &[Value]) -> Value {
    case.request(json!({
        "strategy": canary(&[(50, 100), (100, 60)]),
        "analysis": {"healthChecks": checks},
    }))
}

/// A health check of Route 53's that is healthy.
async fn route53_check(case: &Case) -> String {
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
        .caller_reference(&case.name)
        .health_check_config(config)
        .send()
        .await
        .expect("a health check can be made");
    made.health_check.expect("it is told").id
}

async fn rolled_back(target: &Target, ended: &Ended) -> Value {
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "ROLLED_BACK", "{ended:?}");
    let alias = target.look(ALIAS).await.expect("it is there");
    assert_eq!(alias.settled(), Some("1"));
    let evidence = &ended.cause["evidence"];
    assert_eq!(evidence["decidedBy"], "healthCheck", "{ended:?}");
    evidence["healthChecks"][0].clone()
}

async fn promoted_while_healthy(case: Case) {
    let target = case.blue().await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let route53 = json!({"route53HealthCheckId": route53_check(&case).await});
    let users = case.users(&target, 20.0);
    let (execution, ended) = case
        .release(&request(&case, &[url_check(&case), route53]))
        .await;
    drop(users);
    promoted(&target, &ended, "2").await;
    let reason = ended.output["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("2 health checks passed"), "{reason}");
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
}

async fn url_fails(case: Case) {
    let target = case.blue().await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let users = case.users(&target, 20.0);
    let execution = case.start(&request(&case, &[url_check(&case)])).await;
    execution.wait_for_state("Bake", 2).await;
    server.answer(&path(&case), 503);
    let ended = execution.wait().await;
    drop(users);
    let found = rolled_back(&target, &ended).await;
    assert_eq!(found["failuresInARow"], 3, "{found}");
    assert_eq!(found["said"], "status 503 instead of 200", "{found}");
    assert_eq!(found["check"], server.url(&path(&case)), "{found}");
}

async fn route53_fails(case: Case) {
    let target = case.blue().await;
    let id = route53_check(&case).await;
    let users = case.users(&target, 20.0);
    let mut request = request(&case, &[json!({"route53HealthCheckId": id})]);
    request["strategy"] = canary(&[(50, 600), (100, 60)]);
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let unhealthy = json!({"healthCheckId": id, "status": "unhealthy"});
    case.world.control.post("dns/health", &unhealthy).await;
    let ended = execution.wait().await;
    drop(users);
    let found = rolled_back(&target, &ended).await;
    assert_eq!(found["failuresInARow"], 3, "{found}");
    let said = found["said"].as_str().unwrap_or_default();
    assert!(said.starts_with("0 of "), "{said}");
}

async fn fails_twice_only(case: Case) {
    let target = case.blue().await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let users = case.users(&target, 20.0);
    let execution = case.start(&request(&case, &[url_check(&case)])).await;
    execution.wait_for_state("Bake", 2).await;
    server.answer_next(&path(&case), &[503, 500]);
    let ended = execution.wait().await;
    drop(users);
    promoted(&target, &ended, "2").await;
    assert!(
        ended.output["evidence"]["healthChecks"].is_null(),
        "{ended:?}"
    );
}

/// There is one look, and no other after it: it asks until it knows.
async fn fails_at_the_end(case: Case) {
    let target = case.blue().await;
    let server = &case.suite().health;
    server.answer_next(&path(&case), &[200]);
    server.answer_next(&path(&case), &[503, 503, 503]);
    let mut request = request(&case, &[url_check(&case)]);
    request["strategy"] = json!({"type": "allAtOnce"});
    let (execution, ended) = case.release(&request).await;
    let found = rolled_back(&target, &ended).await;
    assert_eq!(found["failuresInARow"], 3, "{found}");
    let states = execution.states_entered().await;
    let looks = states
        .iter()
        .filter(|state| *state == "CheckAlarms")
        .count();
    assert_eq!(looks, 1, "{states:?}");
    assert_eq!(server.requests(&path(&case)).len(), 4);
}

async fn fails_before(case: Case) {
    let target = case.blue().await;
    let server = &case.suite().health;
    server.answer(&path(&case), 503);
    let (_, ended) = case.release(&request(&case, &[url_check(&case)])).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    let found = &ended.cause["evidence"]["healthChecks"][0];
    assert_eq!(found["failuresInARow"], 3, "{ended:?}");
    assert_eq!(server.requests(&path(&case)).len(), 3);
    let alias = target.look(ALIAS).await.expect("it is there");
    assert_eq!(alias.settled(), Some("1"));
}

async fn host_not_allowed(case: Case) {
    case.blue().await;
    for host in ["example.com", "10.0.0.1", "127.0.0.1"] {
        let check = json!({"url": format!("https://{host}/latest/meta-data")});
        let (_, ended) = case.release(&request(&case, &[check])).await;
        assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
        let reason = ended.cause["reason"].as_str().unwrap_or_default();
        for says in ["analysis.healthChecks[0].url", host, "HealthCheckHosts"] {
            assert!(reason.contains(says), "{reason}");
        }
    }
}

/// A name that is listed, and stands for an address that is not public.
async fn private_name(case: Case) {
    case.blue().await;
    let server = &case.suite().health;
    server.answer(&path(&case), 200);
    let url = server.url(&path(&case)).replace("127.0.0.1", "localhost");
    let (_, ended) = case.release(&request(&case, &[json!({"url": url})])).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no public address"), "{reason}");
    assert_eq!(server.requests(&path(&case)), Vec::<String>::new());
}

async fn redirect(case: Case) {
    let target = case.blue().await;
    let server = &case.suite().health;
    let elsewhere = format!("{}/elsewhere", path(&case));
    server.redirect(&path(&case), &elsewhere);
    let (_, ended) = case.release(&request(&case, &[url_check(&case)])).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("status 302 instead of 200"), "{reason}");
    let mut expected = url_check(&case);
    expected["expectedStatus"] = json!(302);
    let mut request = request(&case, &[expected]);
    request["strategy"] = json!({"type": "allAtOnce"});
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    assert_eq!(server.requests(&elsewhere), Vec::<String>::new());
}
