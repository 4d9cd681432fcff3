//! Aliases with provisioned concurrency: the weights that Lambda puts on them by itself.

use crossfade_tests::{
    Target,
    release::{until, until_within},
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::{
    case::{ALIAS, Case, Test, canary, test},
    cli::{ended, spawn},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("promotion_waits_for_what_lambda_provisions", waits),
        test("promotion_ends_although_lambda_fails_to_provision", fails),
        test("alarm_while_lambda_hands_over", alarm_meanwhile),
        test("someone_else_while_lambda_hands_over", changed_meanwhile),
        test("rollback_clears_the_weights_that_lambda_sets", rollback),
        test("rollback_where_lambda_refuses_to_move_the_alias", refuses),
        test("refused_because_lambda_shifts_the_alias", refused),
        test("plan_tells_what_is_provisioned", plan),
    ]
}

impl Case {
    /// How the next allocations for a function go.
    async fn goes(&self, target: &Target, mut how: Value) {
        how["function"] = json!(target.name);
        let control = self.suite().local.control();
        control.post("provisioned", &how).await;
    }

    /// Blue and a green to be released, with provisioned concurrency of two on the alias.
    async fn provisioned(&self) -> Target {
        let target = self.blue().await;
        self.goes(&target, json!({"seconds": 0.05})).await;
        let put = target.lambda().put_provisioned_concurrency_config();
        put.function_name(&target.name)
            .qualifier(ALIAS)
            .provisioned_concurrent_executions(2)
            .send()
            .await
            .expect("it can be put");
        until("provisioned concurrency is READY", || async {
            (status(&target).await == "READY").then_some(())
        })
        .await;
        target
    }
}

async fn status(target: &Target) -> String {
    let got = target.lambda().get_provisioned_concurrency_config();
    let got = got.function_name(&target.name).qualifier(ALIAS).send();
    let got = got.await.expect("it can be read");
    got.status.expect("it has one").as_str().to_owned()
}

fn told(outcome: &Value) -> String {
    outcome["warnings"].to_string()
}

async fn waits(case: Case) {
    let target = case.provisioned().await;
    let users = case.users(&target, 20.0);
    case.goes(&target, json!({"seconds": 3.0})).await;
    let request = case.request(json!({"strategy": canary(&[(10, 60), (100, 60)])}));
    let (_, ended) = case.release(&request).await;
    assert_eq!(status(&target).await, "READY", "{ended:?}");
    promoted(&target, &ended, "2").await;
    assert_eq!(users.stop().await.total().errors, 0);
    let warnings = told(&ended.output);
    assert!(
        warnings.contains("has provisioned concurrency of 2"),
        "{warnings}"
    );
}

async fn fails(case: Case) {
    let target = case.provisioned().await;
    let failing = json!({"seconds": 0.5, "fail": "FUNCTION_ERROR_INIT_FAILURE"});
    case.goes(&target, failing).await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "2").await;
    let warnings = told(&ended.output);
    assert!(
        warnings.contains("FUNCTION_ERROR_INIT_FAILURE"),
        "{warnings}"
    );
}

/// A release whose promotion waits for Lambda.
async fn handing_over(case: &Case, target: &Target, more: Value) -> crossfade_tests::Execution {
    let execution = case.start(&case.request(more)).await;
    case.alias_is(target, "handed over", |alias| {
        alias.primary == "2" && alias.share("1") > 0.4
    })
    .await;
    execution
}

async fn alarm_meanwhile(case: Case) {
    goes_back_meanwhile(&case, json!({"seconds": 30.0})).await;
}

/// Whether Lambda moves an alias whose weights it has set is not confirmed: here it does not.
async fn refuses(case: Case) {
    goes_back_meanwhile(&case, json!({"seconds": 30.0, "refuse": true})).await;
}

/// Fires an alarm while Lambda hands the alias over in this way.
async fn goes_back_meanwhile(case: &Case, how: Value) {
    let target = case.provisioned().await;
    case.goes(&target, how).await;
    let alarm = case.alarm().await;
    let more = json!({"analysis": {"alarms": [alarm]}});
    let execution = handing_over(case, &target, more).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    crate::rolled_back::rolled_back(case, &target, &execution, &ended).await;
}

async fn changed_meanwhile(case: Case) {
    let target = case.provisioned().await;
    case.goes(&target, json!({"seconds": 30.0})).await;
    let execution = handing_over(&case, &target, json!({})).await;
    target.move_alias(ALIAS, "2", None).await;
    // Taking Lambda's weight off by hand ends the waiting.
    let ended = execution.wait().await;
    promoted(&target, &ended, "2").await;
}

async fn rollback(case: Case) {
    let target = case.provisioned().await;
    let alarm = case.alarm().await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    case.goes(&target, json!({"seconds": 60.0})).await;
    case.world.fire(&alarm).await;
    until_within(Duration::from_secs(5), "all traffic on blue", || async {
        let alias = target.look(ALIAS).await?;
        (alias.settled() == Some("1")).then_some(())
    })
    .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn refused(case: Case) {
    let target = case.provisioned().await;
    assert_eq!(target.publish().await, "2");
    let failing = json!({"seconds": 0.1, "fail": "FUNCTION_ERROR_INIT_FAILURE"});
    case.goes(&target, failing).await;
    target.move_alias(ALIAS, "2", None).await;
    until("provisioned concurrency has failed", || async {
        (status(&target).await == "FAILED").then_some(())
    })
    .await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    for part in [
        "by Lambda itself",
        "FUNCTION_ERROR_INIT_FAILURE",
        "aws lambda update-alias",
        "AdditionalVersionWeights={}",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    // What it says to do helps.
    target.move_alias(ALIAS, "2", None).await;
    target
        .update(crossfade_tests::Behaviour::healthy("next"))
        .await;
    case.goes(&target, json!({"seconds": 0.1})).await;
    let (_, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "3").await;
}

async fn plan(case: Case) {
    let target = case.provisioned().await;
    let config = case.suite().local.config();
    let scaling = aws_sdk_applicationautoscaling::Client::new(&config);
    let resource = format!("function:{}:{ALIAS}", target.name);
    scaling
        .register_scalable_target()
        .service_namespace(aws_sdk_applicationautoscaling::types::ServiceNamespace::Lambda)
        .resource_id(&resource)
        .scalable_dimension(
            aws_sdk_applicationautoscaling::types::ScalableDimension::LambdaFunctionProvisionedConcurrency,
        )
        .min_capacity(2)
        .max_capacity(50)
        .send()
        .await
        .expect("it can be registered");
    let request = case.request(json!({})).to_string();
    let said = ended(spawn(&case, &["plan", "-"], &request)).await;
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "has provisioned concurrency of 2 (READY)",
        "scales between 2 and 50",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
}
