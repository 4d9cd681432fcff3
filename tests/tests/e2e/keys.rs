//! Customers' KMS keys on buckets, zips and variables: those that the stack may use, and others.

use crossfade_tests::{
    Behaviour, Target,
    api::Kind,
    stack::{KEY, LOCKED_ARTIFACTS, LOCKED_KEY},
};
use serde_json::json;

use crate::{
    case::{ALIAS, Case, Test, test},
    promoted::promoted,
    stage_wiring::{api, order},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("keys_that_the_stack_may_use", used),
        test("keys_when_a_stage_is_wired", wired),
        test("key_of_variables_that_the_stack_may_not_use", of_variables),
        test("key_of_a_bucket_that_the_stack_may_not_use", of_a_bucket),
    ]
}

/// Has a key encrypt the variables of a function.
async fn encrypt(target: &Target, key: &str) {
    let update = target.lambda().update_function_configuration();
    let update = update.function_name(&target.name).kms_key_arn(key);
    update.send().await.expect("the key can be set");
    target.updated().await;
}

async fn source_key(target: &Target) -> Option<String> {
    let told = target.lambda().get_function().function_name(&target.name);
    let code = told.send().await.expect("the function is there").code;
    code.and_then(|code| code.source_kms_key_arn)
}

/// The key of the bucket, of the zip and of the variables; the zip keeps its own.
async fn used(case: Case) {
    let target = case.blue().await;
    encrypt(&target, KEY).await;
    let zip = Behaviour::healthy("green").package();
    let update = target.lambda().update_function_code();
    let update = update.function_name(&target.name).source_kms_key_arn(KEY);
    update
        .zip_file(zip.into())
        .send()
        .await
        .expect("it can be updated");
    target.updated().await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = target.upload(Behaviour::healthy("encrypted")).await;
    let (_, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let answer = target.invoke_alias(ALIAS).await.answer;
    assert!(answer.to_string().contains("encrypted"), "{answer}");
    assert_eq!(source_key(&target).await.as_deref(), Some(KEY));
    let calls = case.world.our_calls(case.since).await;
    let about = |call: &&crossfade_tests::world::Call| {
        call.action == "UpdateFunctionCode" && call.resource.as_deref() == Some(&target.name)
    };
    let asked = calls.iter().find(about).and_then(|call| call.asked.clone());
    let asked = asked.expect("it was uploaded");
    assert_eq!(asked["SourceKMSKeyArn"], KEY, "{asked}");
}

async fn wired(case: Case) {
    let target = case.function(Behaviour::healthy("one")).await;
    encrypt(&target, KEY).await;
    let api = api(&case, Kind::Http, &target).await;
    let (_, ended) = case.release(&order(&case, &api, "wire")).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
}

/// It is AWS's refusal, and not somebody's change of `$LATEST`.
async fn of_variables(case: Case) {
    let target = case.blue().await;
    encrypt(&target, LOCKED_KEY).await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    for says in ["the KMS key is invalid for CreateGrant", "KmsKeyArns"] {
        assert!(reason.contains(says), "{reason}");
    }
    assert!(!reason.contains("changed"), "{reason}");
}

async fn of_a_bucket(case: Case) {
    let target = case.blue().await;
    let package = Behaviour::healthy("locked").package();
    let control = case.suite().local.control();
    control
        .put_object(LOCKED_ARTIFACTS, "chat.zip", &package)
        .await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = json!({"s3Bucket": LOCKED_ARTIFACTS, "s3Key": "chat.zip"});
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    for says in ["kms:Decrypt", "KmsKeyArns"] {
        assert!(reason.contains(says), "{reason}");
    }
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"));
}
