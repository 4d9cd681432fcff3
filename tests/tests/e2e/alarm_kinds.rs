//! Log alarms, PromQL alarms, alarms that warm up, are muted or cannot be evaluated.

use aws_sdk_cloudwatch::{
    Client,
    types::{
        AlarmPromQlCriteria, ComparisonOperator, EvaluationCriteria, ScheduleConfiguration,
        ScheduledQueryConfiguration, StateValue, Statistic, WarmUpConfiguration,
    },
};
use crossfade_tests::{Ended, release::until};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, canary, test},
    cli::{ended, spawn},
    promoted::promoted,
    rolled_back::rolled_back,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("log_alarm_rolls_back", log_alarm),
        test(
            "log_alarm_rolls_back_whatever_its_event_is_called",
            log_alarm_event,
        ),
        test(
            "log_alarm_without_an_event_is_seen_at_a_look",
            log_alarm_without_event,
        ),
        test("promql_alarm_not_evaluated_yet_proves_nothing", promql),
        test("alarm_that_warms_up_proves_nothing", warm_up),
        test(
            "alarm_that_cannot_be_evaluated_proves_nothing",
            evaluation_error,
        ),
        test("alarm_that_is_muted_rolls_back", muted),
    ]
}

impl Case {
    fn cloudwatch(&self) -> Client {
        Client::new(&self.suite().local.config())
    }

    /// A log alarm of this test's own, which is OK.
    async fn log_alarm(&self) -> String {
        let name = format!("{}-log", self.name);
        let schedule = ScheduleConfiguration::builder()
            .schedule_expression("rate(1 minute)")
            .start_time_offset(60)
            .build();
        let query = ScheduledQueryConfiguration::builder()
            .query_string("filter @message like /ERROR/")
            .log_group_identifiers("/aws/lambda/any")
            .scheduled_query_role_arn("arn:aws:iam::000000000000:role/query")
            .schedule_configuration(schedule)
            .aggregation_expression("count(*)")
            .build();
        self.cloudwatch()
            .put_log_alarm()
            .alarm_name(&name)
            .scheduled_query_configuration(query)
            .query_results_to_evaluate(1)
            .query_results_to_alarm(1)
            .threshold(1.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .send()
            .await
            .expect("a log alarm can be made");
        self.world.set_alarm(&name, StateValue::Ok).await;
        name
    }

    async fn tell(&self, alarm: &str, mut what: Value) {
        what["name"] = json!(alarm);
        let control = self.suite().local.control();
        control.post("alarms", &what).await;
    }

    /// A release that bakes for long at 10 %, up to that.
    async fn baking(&self, alarm: &str, check_every_seconds: u32) -> crossfade_tests::Execution {
        let request = self.request(json!({
            "strategy": canary(&[(10, 3600), (100, 60)]),
            "analysis": {"alarms": [alarm], "checkEverySeconds": check_every_seconds},
        }));
        let execution = self.start(&request).await;
        execution.wait_for_state("Bake", 1).await;
        execution
    }

    /// A release that goes back when its first bake proves nothing.
    async fn unproven(&self, alarm: &str) -> (crossfade_tests::Execution, Ended) {
        let request = self.request(json!({
            "strategy": canary(&[(10, 60), (100, 60)]),
            "analysis": {"alarms": [alarm], "maxBakeSeconds": 60, "onInconclusive": "rollBack",
                         "minInvocations": 1},
        }));
        self.release(&request).await
    }
}

async fn log_alarm(case: Case) {
    let target = case.blue().await;
    let alarm = case.log_alarm().await;
    let execution = case.baking(&alarm, 600).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    assert_eq!(cause["evidence"]["alarms"][0]["name"], json!(alarm));
}

/// What the event of a log alarm is called is not confirmed.
async fn log_alarm_event(case: Case) {
    let target = case.blue().await;
    let alarm = case.log_alarm().await;
    let events = json!({"events": "CloudWatch Log Alarm State Change"});
    case.tell(&alarm, events).await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let warnings = ended.output["warnings"].to_string();
    assert!(warnings.contains("is a log alarm"), "{warnings}");
    case.world.fire(&alarm).await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn log_alarm_without_event(case: Case) {
    let target = case.blue().await;
    let alarm = case.log_alarm().await;
    case.tell(&alarm, json!({"events": "none"})).await;
    let execution = case.baking(&alarm, 60).await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    rolled_back(&case, &target, &execution, &ended).await;
}

async fn promql(case: Case) {
    let target = case.blue().await;
    let users = case.users(&target, 30.0);
    let name = format!("{}-promql", case.name);
    let criteria = AlarmPromQlCriteria::builder()
        .query("sum(rate(errors[1m])) > 1")
        .pending_period(60);
    case.cloudwatch()
        .put_metric_alarm()
        .alarm_name(&name)
        .evaluation_criteria(EvaluationCriteria::PromQlCriteria(criteria.build()))
        .evaluation_interval(3600)
        .send()
        .await
        .expect("a PromQL alarm can be made");
    let (execution, ended) = case.unproven(&name).await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let alarm = &cause["evidence"]["alarms"][0];
    assert_eq!(alarm["state"], "OK", "{cause}");
    let why = alarm["unproven"].as_str().unwrap_or_default();
    assert!(why.contains("not been evaluated"), "{why}");

    // Once it has been evaluated, it counts.
    case.tell(&name, json!({"changedSecondsAgo": 4000})).await;
    let (_, ended) = case.unproven(&name).await;
    promoted(&target, &ended, "2").await;
    drop(users);
}

async fn warm_up(case: Case) {
    let target = case.blue().await;
    let _users = case.users(&target, 30.0);
    let name = format!("{}-warm", case.name);
    let warm_up = WarmUpConfiguration::builder()
        .warm_up_period_duration_in_minutes(10)
        .only_start_evaluating_after_warm_up_period_ends(true);
    case.cloudwatch()
        .put_metric_alarm()
        .alarm_name(&name)
        .namespace("Crossfade/Tests")
        .metric_name(&name)
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(1.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold)
        .treat_missing_data("notBreaching")
        .warm_up_configuration(warm_up.build())
        .send()
        .await
        .expect("an alarm can be made");
    // An alarm that is changed while it is OK: whether it stays so while it warms up is not confirmed.
    case.world.set_alarm(&name, StateValue::Ok).await;
    let (execution, ended) = case.unproven(&name).await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let why = cause["evidence"]["alarms"][0]["unproven"].to_string();
    assert!(why.contains("warms up until"), "{cause}");
}

async fn evaluation_error(case: Case) {
    let target = case.blue().await;
    let _users = case.users(&target, 30.0);
    let alarm = case.log_alarm().await;
    let broken = json!({"evaluationState": "EVALUATION_ERROR"});
    case.tell(&alarm, broken).await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let said = ended(spawn(&case, &["plan", "-"], &request.to_string())).await;
    assert!(said.out.contains("EVALUATION_ERROR"), "{said:?}");
    let (execution, ended) = case.unproven(&alarm).await;
    let cause = rolled_back(&case, &target, &execution, &ended).await;
    let reason = cause["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("proves nothing"), "{reason}");
    assert!(reason.contains("EVALUATION_ERROR"), "{reason}");
}

async fn muted(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let muted = json!({"muted": true, "noReason": "null"});
    case.tell(&alarm, muted).await;
    let request = case.request(json!({"analysis": {"alarms": [alarm]}}));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    // A contributor's event moves nothing by itself.
    let before = target.look(ALIAS).await;
    case.tell(&alarm, json!({"contributor": "ALARM"})).await;
    crate::case::a_moment().await;
    assert_eq!(target.look(ALIAS).await, before);
    case.world.fire(&alarm).await;
    until("all traffic on blue", || async {
        let alias = target.look(ALIAS).await?;
        (alias.settled() == Some("1")).then_some(())
    })
    .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
}
