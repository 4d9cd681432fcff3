//! Takes away what a run made: found by listing, with the run's name in its own and its tag on it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    api::{Aws, CLOUDFORMATION, CLOUDWATCH, DYNAMODB, Json, LOGS, Refusal, STATES},
    function::text,
    ground::describe,
    list::{Kind, Left, fields, left, pages},
    run::{LONGEST, Pace, SINCE, TAG, now},
    web,
};

/// How long a removal may take: CloudFormation waits for the network interfaces of a function.
const LONG: Duration = Duration::from_secs(25 * 60);

/// Whether a run that was found by listing can still be going on elsewhere, by what its stacks say. One
/// that has none any more has only crumbs left.
pub(crate) async fn may_live(aws: &Aws, run: &str) -> Result<bool, Refusal> {
    for stack in [format!("{run}-ground"), run.to_owned()] {
        if let Some(stack) = describe(aws, &stack).await?
            && let Some(since) = stack.beside("member", ("Key", SINCE), "Value")
        {
            return Ok(is_young(since.parse().ok()));
        }
    }
    Ok(false)
}

/// Whether a run that began then can be going on now.
fn is_young(since: Option<f64>) -> bool {
    since.is_some_and(|since| now() - since < LONGEST.as_secs_f64())
}

/// Removes a run, and looks until nothing of it is listed. Fails with what is left.
pub(crate) async fn remove(aws: &Aws, pace: &Pace, run: &str) -> Result<(), String> {
    let deadline = Instant::now() + LONG;
    let mut said = Vec::new();
    loop {
        let left = left(aws, Some(run)).await?;
        if left.is_empty() {
            return Ok(());
        }
        // One after the other, and again, until the list is empty: what one needs another holds.
        let problems = round(aws, run, &left).await;
        for problem in problems {
            if !said.contains(&problem) {
                println!("  {problem}");
                said.push(problem);
            }
        }
        if Instant::now() > deadline {
            return Err(format!("after {LONG:?} this is left:\n{left}"));
        }
        tokio::time::sleep(pace.look * 10).await;
    }
}

/// Asks for the deletion of everything that is not a stack's, and of the stacks. Returns what was refused.
async fn round(aws: &Aws, run: &str, left: &Left) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |done: Result<(), Refusal>| match done {
        Err(refusal) if !refusal.is_missing() => problems.push(refusal.to_string()),
        _ => {}
    };
    // First what could make more: releases in flight.
    for machine in left.of(Kind::StateMachine) {
        note(stop_executions(aws, machine).await);
    }
    for alarm in left.of(Kind::MuteRule) {
        note(
            call(
                aws,
                CLOUDWATCH,
                "DeleteAlarmMuteRule",
                json!({"AlarmMuteRuleName": alarm}),
            )
            .await,
        );
    }
    for name in left.of(Kind::Bucket) {
        note(empty(aws, run, name).await);
    }
    for name in left.of(Kind::WebFunction) {
        note(web::delete(aws, name).await);
    }
    for name in left.of(Kind::Stack) {
        // The role of this run's functions stays until they and the other stack are gone.
        if name.ends_with("-ground") && left.of(Kind::Stack).len() > 1 {
            continue;
        }
        note(delete_stack(aws, run, name).await);
    }
    if !left.of(Kind::Stack).is_empty() {
        // What belongs to Crossfade's stack goes with it; this run's own functions meanwhile.
        for name in left.of(Kind::Function) {
            if name.contains("-app-") || name.contains("-probe-") {
                note(delete_function(aws, run, name).await);
            }
        }
        return problems;
    }
    for name in left.of(Kind::Function) {
        note(delete_function(aws, run, name).await);
    }
    let alarms = left.of(Kind::Alarm);
    if !alarms.is_empty() {
        note(delete_alarms(aws, run, alarms).await);
    }
    for name in left.of(Kind::Table) {
        note(delete_table(aws, run, name).await);
    }
    for name in left.of(Kind::LogGroup) {
        note(delete_log_group(aws, run, name).await);
    }
    for name in left.of(Kind::Bucket) {
        let gone = aws.s3("DELETE", &format!("/{name}"), &[], &[]).await;
        note(gone.map(|_| ()));
    }
    problems
}

async fn call(aws: &Aws, service: Json, operation: &str, body: Value) -> Result<(), Refusal> {
    aws.json(service, operation, body).await.map(|_| ())
}

fn not_ours(what: &str) -> Refusal {
    Refusal {
        call: format!("removing {what}"),
        status: 0,
        code: "NotOurs".to_owned(),
        message: format!("it has this run's name but not its tag {TAG}; it is left as it is"),
    }
}

async fn delete_stack(aws: &Aws, run: &str, name: &str) -> Result<(), Refusal> {
    let Some(stack) = describe(aws, name).await? else {
        return Ok(());
    };
    if stack.beside("member", ("Key", TAG), "Value").as_deref() != Some(run) {
        return Err(not_ours(name));
    }
    if stack.first("StackStatus").as_deref() == Some("DELETE_IN_PROGRESS") {
        return Ok(());
    }
    let asked = [("StackName", name)];
    aws.query(CLOUDFORMATION, "DeleteStack", &asked).await?;
    Ok(())
}

async fn delete_function(aws: &Aws, run: &str, name: &str) -> Result<(), Refusal> {
    let path = format!("/2015-03-31/functions/{name}");
    let seen = aws.lambda("GET", &path, None).await?;
    if seen["Tags"][TAG] != run {
        return Err(not_ours(name));
    }
    aws.lambda("DELETE", &path, None).await.map(|_| ())
}

/// The value of the tag in a list of keys and values.
fn tag(tags: &Value) -> Option<&str> {
    let own = tags.as_array()?.iter().find(|tag| tag["Key"] == TAG)?;
    own["Value"].as_str()
}

async fn delete_alarms(aws: &Aws, run: &str, names: &[String]) -> Result<(), Refusal> {
    let types = ["MetricAlarm", "CompositeAlarm"];
    let asked = json!({"AlarmNames": names, "AlarmTypes": types});
    let seen = aws.json(CLOUDWATCH, "DescribeAlarms", asked).await?;
    let kinds = ["MetricAlarms", "CompositeAlarms", "LogAlarms"];
    for alarm in kinds
        .iter()
        .filter_map(|kind| seen[*kind].as_array())
        .flatten()
    {
        let asked = json!({"ResourceARN": alarm["AlarmArn"]});
        let tags = aws.json(CLOUDWATCH, "ListTagsForResource", asked).await?;
        if tag(&tags["Tags"]) != Some(run) {
            return Err(not_ours(&text(alarm, "AlarmName")));
        }
    }
    call(
        aws,
        CLOUDWATCH,
        "DeleteAlarms",
        json!({"AlarmNames": names}),
    )
    .await
}

async fn delete_table(aws: &Aws, run: &str, name: &str) -> Result<(), Refusal> {
    let asked = json!({"TableName": name});
    let seen = aws.json(DYNAMODB, "DescribeTable", asked.clone()).await?;
    if seen["Table"]["TableStatus"] == "DELETING" {
        return Ok(());
    }
    let of = json!({"ResourceArn": seen["Table"]["TableArn"]});
    let tags = aws.json(DYNAMODB, "ListTagsOfResource", of).await?;
    if tag(&tags["Tags"]) != Some(run) {
        return Err(not_ours(name));
    }
    call(aws, DYNAMODB, "DeleteTable", asked).await
}

/// One without any tags is Lambda's own: a function of this run wrote a last line after its log group was
/// deleted.
async fn delete_log_group(aws: &Aws, run: &str, name: &str) -> Result<(), Refusal> {
    let asked = json!({"logGroupName": name});
    let tags = aws.json(LOGS, "ListTagsLogGroup", asked.clone()).await?;
    let tags = tags["tags"].as_object().filter(|tags| !tags.is_empty());
    if tags.is_some_and(|tags| tags.get(TAG).and_then(Value::as_str) != Some(run)) {
        return Err(not_ours(name));
    }
    call(aws, LOGS, "DeleteLogGroup", asked).await
}

/// Deletes all objects of a bucket, with their versions.
async fn empty(aws: &Aws, run: &str, bucket: &str) -> Result<(), Refusal> {
    let path = format!("/{bucket}?tagging=");
    match aws.s3("GET", &path, &[], &[]).await {
        Ok(tags) if tags.beside("Tag", ("Key", TAG), "Value").as_deref() == Some(run) => {}
        Err(refusal) if refusal.code != "NoSuchTagSet" => return Err(refusal),
        _ => return Err(not_ours(bucket)),
    }
    loop {
        let listed = aws
            .s3("GET", &format!("/{bucket}?versions="), &[], &[])
            .await?;
        let objects = ["Version", "DeleteMarker"]
            .map(|kind| listed.parts(kind))
            .concat();
        if objects.is_empty() {
            return Ok(());
        }
        for object in objects {
            let of = |name| object.first(name).unwrap_or_default();
            // Our own keys have no letters that a URL has to hide.
            let path = format!("/{bucket}/{}?versionId={}", of("Key"), of("VersionId"));
            aws.s3("DELETE", &path, &[], &[]).await?;
        }
    }
}

async fn stop_executions(aws: &Aws, machine: &str) -> Result<(), Refusal> {
    let listed = pages(aws, STATES, "ListStateMachines", json!({}), "nextToken").await?;
    let machines = listed
        .iter()
        .filter_map(|page| page["stateMachines"].as_array());
    let found = machines.flatten().find(|seen| seen["name"] == machine);
    let Some(arn) = found.map(|seen| text(seen, "stateMachineArn")) else {
        return Ok(());
    };
    let asked = json!({"stateMachineArn": arn, "statusFilter": "RUNNING"});
    let running = pages(aws, STATES, "ListExecutions", asked, "nextToken").await?;
    for execution in fields(&running, "executions", "executionArn") {
        let asked = json!({"executionArn": execution, "cause": "this run of `make aws` is over"});
        call(aws, STATES, "StopExecution", asked).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_younger_than_a_run_can_be_may_live() {
        assert!(is_young(Some(now() - 60.0)));
        assert!(!is_young(Some(now() - 3.0 * 3600.0)));
        assert!(!is_young(None));
    }
}
