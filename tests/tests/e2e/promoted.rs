//! Releases that go well.

use serde_json::json;

use crate::case::{ALIAS, Case, Test, canary, test};

pub fn tests() -> Vec<Test> {
    vec![test("promoted_in_steps", in_steps)]
}

async fn in_steps(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 40.0);
    let request = case.request(json!({"strategy": canary(&[(10, 60), (50, 60), (100, 60)])}));
    let (execution, ended) = case.release(&request).await;
    let met = users.stop().await;

    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL");
    let alias = target.look(ALIAS).await.unwrap();
    assert_eq!(alias.settled(), Some("2"));
    let weights: Vec<_> = ended.output["steps"].as_array().unwrap().iter().map(|step| &step["weight"]).collect();
    assert_eq!(weights, [10, 50, 100]);
    assert!(met.of("1").requests > 0 && met.of("2").requests > 0, "{:?}", met.by_version);
    assert_eq!(met.total().errors, 0);
    println!("{:?}", execution.states_entered().await);
}
