//! The events of alarms: how soon, of log alarms, and of muted ones.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Probe;
use crate::{
    api::{CLOUDWATCH, Refusal, SQS},
    function::{Code, text},
    report::spread,
};

/// Makes an alarm that says OK as long as nothing sets it.
async fn quiet_alarm(probe: &Probe<'_>, name: &str) -> Result<(), String> {
    let asked = json!({
        "AlarmName": name,
        "Namespace": "CrossfadeRun",
        "MetricName": "Nothing",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "ignore",
        "Tags": probe.tags(),
    });
    probe.aws.json(CLOUDWATCH, "PutMetricAlarm", asked).await?;
    set(probe, name, "OK").await?;
    Ok(())
}

async fn set(probe: &Probe<'_>, name: &str, state: &str) -> Result<(), Refusal> {
    let asked = json!({"AlarmName": name, "StateValue": state, "StateReason": "a probe"});
    probe.aws.json(CLOUDWATCH, "SetAlarmState", asked).await?;
    Ok(())
}

/// Waits for an alarm's event of a state. Other probes' events are for them: they stay in the queue.
async fn event(
    probe: &Probe<'_>,
    name: &str,
    state: &str,
    patience: Duration,
) -> Result<Option<Value>, String> {
    let queue = &probe.stage.ground.queue;
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        let asked = json!({
            "QueueUrl": queue,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": if probe.stage.pace.local { 0 } else { 2 },
            "VisibilityTimeout": 0,
        });
        let seen = probe.aws.json(SQS, "ReceiveMessage", asked).await?;
        for message in seen["Messages"].as_array().into_iter().flatten() {
            let event: Value = serde_json::from_str(&text(message, "Body")).unwrap_or_default();
            let detail = &event["detail"];
            if detail["alarmName"] == name && detail["state"]["value"] == state {
                let asked = json!({"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]});
                probe.aws.json(SQS, "DeleteMessage", asked).await?;
                return Ok(Some(event));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(None)
}

/// From SetAlarmState until the event is in a queue.
pub(super) async fn alarm_event(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("event");
    quiet_alarm(probe, &name).await?;
    let mut seconds = Vec::new();
    for _ in 0..5 {
        for state in ["ALARM", "OK"] {
            set(probe, &name, state).await?;
            let at = Instant::now();
            let seen = event(probe, &name, state, Duration::from_secs(30)).await?;
            seen.ok_or_else(|| format!("no event of {state} within 30 s"))?;
            seconds.push(at.elapsed().as_secs_f64());
        }
    }
    let most = seconds.iter().copied().fold(0.0, f64::max);
    probe.checked("alarm-event", most < 10.0, spread(&seconds));
    Ok(())
}

/// Whether a muted alarm's event comes all the same.
pub(super) async fn muted(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("muted");
    quiet_alarm(probe, &name).await?;
    // The event comes while it is not muted: else its absence would say nothing.
    set(probe, &name, "ALARM").await?;
    let before = event(probe, &name, "ALARM", Duration::from_secs(30)).await?;
    before.ok_or("no event came before it was muted")?;
    set(probe, &name, "OK").await?;
    let rule = json!({
        "Name": name,
        "Rule": {"Schedule": {"Expression": "cron(* * * * *)", "Duration": "PT1H", "Timezone": "UTC"}},
        "MuteTargets": {"AlarmNames": [name]},
        "Tags": probe.tags(),
    });
    probe.aws.json(CLOUDWATCH, "PutAlarmMuteRule", rule).await?;
    let active = probe.until(
        Duration::from_secs(150),
        "a mute rule that is ACTIVE",
        async || {
            let asked = json!({"AlarmName": name});
            let seen = probe
                .aws
                .json(CLOUDWATCH, "ListAlarmMuteRules", asked)
                .await?;
            let mut rules = seen["AlarmMuteRuleSummaries"]
                .as_array()
                .into_iter()
                .flatten();
            Ok(rules.any(|rule| rule["Status"] == "ACTIVE").then_some(()))
        },
    );
    active.await?;
    set(probe, &name, "ALARM").await?;
    let seen = event(probe, &name, "ALARM", Duration::from_secs(60)).await?;
    let found = match &seen {
        Some(event) => format!("yes; its detail has {}", keys(&event["detail"])),
        None => "no: none within 60 s".to_owned(),
    };
    probe.checked("mute", seen.is_some(), found);
    Ok(())
}

/// The names of an object's fields, and of those one level below.
fn keys(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    let named = fields.map(|(name, inner)| match inner.as_object() {
        Some(inner) => {
            let inner: Vec<_> = inner.keys().map(String::as_str).collect();
            format!("{name}{{{}}}", inner.join(", "))
        }
        None => name.clone(),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The event of a log alarm, and the shortest schedule that is accepted.
pub(super) async fn log_alarm(probe: &Probe<'_>) -> Result<(), String> {
    let function = probe.name("logged");
    let function = probe
        .make(&function, &Code::plain_python(), json!({}))
        .await?;
    let name = probe.name("log-alarm");
    let asked = |schedule: &str| {
        json!({
            "AlarmName": name,
            "ScheduledQueryConfiguration": {
                "QueryString": "fields @message | filter @message like /asked to fail/",
                "LogGroupIdentifiers": [function.log_group()],
                "ScheduledQueryRoleARN": probe.stage.ground.query_role,
                "ScheduleConfiguration": {"ScheduleExpression": schedule, "StartTimeOffset": 300},
                "AggregationExpression": "count(*)",
                "Tags": probe.tags(),
            },
            "QueryResultsToEvaluate": 1,
            "QueryResultsToAlarm": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "Tags": probe.tags(),
        })
    };
    let mut refused = Vec::new();
    for schedule in ["rate(10 seconds)", "rate(1 minute)", "rate(5 minutes)"] {
        match probe
            .aws
            .json(CLOUDWATCH, "PutLogAlarm", asked(schedule))
            .await
        {
            Ok(_) => {
                let told = format!(
                    "{schedule} is accepted; refused before: {}",
                    none_or(&refused)
                );
                probe.checked("log-schedule", schedule == "rate(1 minute)", told);
                break;
            }
            Err(refusal) => refused.push(format!("{schedule}: {}", refusal.message)),
        }
    }
    if refused.len() == 3 {
        return Err(format!("PutLogAlarm was refused: {}", refused.join("; ")));
    }
    let began = Instant::now();
    function.invoke("$LATEST", &json!({"fail": true})).await?;
    let seen = event(probe, &name, "ALARM", Duration::from_secs(8 * 60)).await?;
    let Some(seen) = seen else {
        probe.checked(
            "log-alarm",
            false,
            "no event within 8 minutes of the log line".to_owned(),
        );
        return Ok(());
    };
    let told = format!(
        "detail-type {}, {:.0} s after the log line; its detail has {}",
        seen["detail-type"],
        began.elapsed().as_secs_f64(),
        keys(&seen["detail"])
    );
    let alike = seen["detail-type"] == "CloudWatch Alarm State Change";
    probe.checked("log-alarm", alike, told);
    Ok(())
}

fn none_or(refused: &[String]) -> String {
    if refused.is_empty() {
        "nothing".to_owned()
    } else {
        refused.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_fields_of_an_event() {
        let detail = json!({"alarmName": "x", "state": {"value": "ALARM", "reason": "y"}});
        assert_eq!(keys(&detail), "alarmName, state{reason, value}");
    }
}
