//! What AWS says of an installation. Nothing is changed, but for the state of the alarm `doctor`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, StateValue, Statistic},
};
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsOutput;
use aws_sdk_sqs::types::QueueAttributeName;
use crossfade::{
    aws::classify::{chain, classify, is},
    domain::Timestamp,
    error::{Error, Obstacle},
};
use futures::future::join_all;
use serde_json::Value;

use super::checks::{
    Installation, Parts, Queue, Read, Rule, SILENT_MINUTES, Seen, SeenRule, Subscription, TestEvent,
};
use crate::{output::brief, stack::Aws};

/// The alarm of the test event: no release watches it, and it notifies no one.
const DOCTOR_ALARM: &str = "DoctorAlarm";

/// The rule of the schedule.
const SWEEP: &str = "RollbackFunctionSweep";

/// The rules that bring events: a check's name, what the rule is called in the template, and its function.
const RULES: [(&str, &str, &str); 3] = [
    (
        "alarm rule",
        "RestoreBlueFunctionAlarmFired",
        "RestoreBlueFunction",
    ),
    (
        "end rule",
        "RollbackFunctionExecutionEnded",
        "RollbackFunction",
    ),
    ("sweep rule", SWEEP, "RollbackFunction"),
];

/// The dead-letter queues, and what is in them.
const QUEUES: [(&str, &str); 2] = [
    ("FailedEvents", "events that a function failed on"),
    ("UndeliveredEvents", "events that were not delivered"),
];

/// A name that no execution can have, and an input that is not JSON
/// (<https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>): the refusal shows that
/// the caller may start executions, and nothing is started.
const NO_NAME: &str = "crossfade doctor?";
const NO_INPUT: &str = "not JSON";

/// How often the function's log is read while the test event is awaited.
const PAUSE: Duration = Duration::from_secs(2);

/// Reads what can be read, and sends the test event where that is wanted.
pub(crate) async fn observe(aws: &Aws, patience: Option<Duration>) -> Seen {
    let config = aws.config();
    let mut seen = Seen {
        region: config.region().map(ToString::to_string).unwrap_or_default(),
        credentials: credentials(config).await,
        stack: Ok(None),
        parts: None,
    };
    if seen.credentials.is_err() {
        return seen;
    }
    let described = aws.find_stack().await;
    seen.stack = match &described {
        Ok(Some(stack)) => Ok(Some(Installation {
            name: aws.stack_name().to_owned(),
            status: stack.status.clone(),
            version: stack.output("CrossfadeVersion").map(str::to_owned),
        })),
        Ok(None) => Ok(None),
        Err(trouble) => Err(brief(&trouble.what)),
    };
    if let Ok(Some(_)) = &described {
        seen.parts = Some(Box::pin(parts(aws, patience)).await);
    }
    seen
}

async fn credentials(config: &SdkConfig) -> Read<()> {
    let provider = config.credentials_provider().ok_or("there are none")?;
    let found = provider.provide_credentials().await;
    found.map(drop).map_err(|error| brief(&chain(&error)))
}

async fn parts(aws: &Aws, patience: Option<Duration>) -> Parts {
    let config = aws.config();
    let resources = resources(config, aws.stack_name()).await;
    let of = |logical: &str| -> Read<String> {
        let all = resources.as_ref().map_err(Clone::clone)?;
        let found = all.get(logical).map(|one| one.name.clone());
        found.ok_or_else(|| format!("the stack has no {logical}: update it"))
    };
    let rules = RULES.map(|(check, rule, function)| {
        let (name, function) = (of(rule), of(function));
        async move {
            let seen = match (&name, &function) {
                (Ok(name), Ok(_)) => seen_rule(config, name.clone()).await,
                (Err(why), _) | (_, Err(why)) => Err(why.clone()),
            };
            let function = function.unwrap_or_default();
            Rule {
                check,
                function,
                seen,
            }
        }
    });
    let queues = QUEUES.map(|(queue, holds)| {
        let url = of(queue);
        async move {
            let messages = match url {
                Ok(url) => messages(config, &url).await,
                Err(why) => Err(why),
            };
            Queue { holds, messages }
        }
    });
    let now = Timestamp::from(SystemTime::now());
    let (starts, describes, ledger, people, chat, rules, sweep, queues, alarms, event) = futures::join!(
        starts(aws),
        describes(aws),
        ledger(aws),
        subscriptions(aws, "NotificationTopicArn"),
        subscriptions(aws, "ChatTopicArn"),
        join_all(rules),
        sweep(config, of(SWEEP), now),
        join_all(queues),
        alarms(config, resources.as_ref()),
        async {
            match patience {
                Some(patience) => {
                    test_event(
                        config,
                        of(DOCTOR_ALARM),
                        of("RestoreBlueLogGroup"),
                        patience,
                    )
                    .await
                }
                None => TestEvent::NotSent,
            }
        },
    );
    Parts {
        starts,
        describes,
        ledger,
        people,
        chat,
        rules,
        sweep,
        now,
        queues,
        alarms,
        event,
    }
}

fn told(error: &Error) -> String {
    brief(&error.to_string())
}

/// A resource of the stack.
struct Resource {
    /// Such as `AWS::CloudWatch::Alarm`.
    kind: String,
    /// Its physical name.
    name: String,
}

/// The stack's resources by what the template calls them.
async fn resources(config: &SdkConfig, stack: &str) -> Read<BTreeMap<String, Resource>> {
    let listed = aws_sdk_cloudformation::Client::new(config)
        .list_stack_resources()
        .stack_name(stack)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| told(&classify("ListStackResources", &error)))?;
    let named = listed.into_iter().filter_map(|one| {
        let name = one.physical_resource_id?;
        let kind = one.resource_type.unwrap_or_default();
        Some((one.logical_resource_id?, Resource { kind, name }))
    });
    Ok(named.collect())
}

/// Whether a call was allowed, by how it failed.
fn allowed(error: &Error) -> Read<bool> {
    match error.call().map(|call| call.obstacle) {
        Some(Obstacle::Permission) => Ok(false),
        _ => Err(told(error)),
    }
}

/// Requests what cannot be started: Step Functions checks the request after it has checked who sends it. (The order is
/// not documented. In the other order this would report a permission that is not there.)
async fn starts(aws: &Aws) -> Read<bool> {
    let machine = aws.machine().await.map_err(|trouble| trouble.what)?;
    let started = aws_sdk_sfn::Client::new(aws.config())
        .start_execution()
        .state_machine_arn(machine)
        .name(NO_NAME)
        .input(NO_INPUT)
        .send()
        .await;
    match started {
        Err(error) if is(&error, "InvalidName") || is(&error, "InvalidExecutionInput") => Ok(true),
        Err(error) => allowed(&classify("StartExecution", &error)),
        Ok(started) => Err(format!("Step Functions started {}", started.execution_arn)),
    }
}

async fn describes(aws: &Aws) -> Read<bool> {
    let machine = aws.machine().await.map_err(|trouble| trouble.what)?;
    let execution = machine.replacen(":stateMachine:", ":execution:", 1);
    let described = aws_sdk_sfn::Client::new(aws.config())
        .describe_execution()
        .execution_arn(format!("{execution}:crossfade-doctor"))
        .send()
        .await;
    match described {
        Ok(_) => Ok(true),
        Err(error) if is(&error, "ExecutionDoesNotExist") => Ok(true),
        Err(error) => allowed(&classify("DescribeExecution", &error)),
    }
}

async fn ledger(aws: &Aws) -> Read<()> {
    let ledger = aws.ledger().await.map_err(|trouble| trouble.what)?;
    let read = ledger.running().await;
    read.map(drop).map_err(|error| told(&error))
}

async fn subscriptions(aws: &Aws, output: &str) -> Read<Vec<Subscription>> {
    let topic = aws.output(output).await.map_err(|trouble| trouble.what)?;
    let listed = aws_sdk_sns::Client::new(aws.config())
        .list_subscriptions_by_topic()
        .topic_arn(topic)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| told(&classify("ListSubscriptionsByTopic", &error)))?;
    let subscriptions = listed.into_iter().map(|one| Subscription {
        protocol: one.protocol.unwrap_or_default(),
        endpoint: one.endpoint.unwrap_or_default(),
        // SNS's words in the place of an ARN that is not there yet; a deleted one is on its way out.
        pending: one
            .subscription_arn
            .is_some_and(|arn| arn == "PendingConfirmation"),
    });
    Ok(subscriptions.collect())
}

async fn seen_rule(config: &SdkConfig, name: String) -> Read<SeenRule> {
    let client = aws_sdk_eventbridge::Client::new(config);
    let rule = client.describe_rule().name(&name).send().await;
    let rule = rule.map_err(|error| told(&classify("DescribeRule", &error)))?;
    let targets = client.list_targets_by_rule().rule(&name).send().await;
    let targets = targets.map_err(|error| told(&classify("ListTargetsByRule", &error)))?;
    let enabled = rule.state.is_some_and(|state| state.as_str() != "DISABLED");
    let targets = targets.targets().iter().map(|target| target.arn.clone());
    Ok(SeenRule {
        name,
        enabled,
        targets: targets.collect(),
    })
}

/// When EventBridge last counted an invocation by the schedule, to the minute.
async fn sweep(config: &SdkConfig, rule: Read<String>, now: Timestamp) -> Read<Option<Timestamp>> {
    let begin = now - chrono::TimeDelta::minutes(SILENT_MINUTES);
    let rule = Dimension::builder().name("RuleName").value(rule?).build();
    let counted = aws_sdk_cloudwatch::Client::new(config)
        .get_metric_statistics()
        .namespace("AWS/Events")
        .metric_name("Invocations")
        .dimensions(rule)
        .start_time(DateTime::from_secs(begin.timestamp()))
        .end_time(DateTime::from_secs(now.timestamp()))
        .period(60)
        .statistics(Statistic::Sum)
        .send()
        .await
        .map_err(|error| told(&classify("GetMetricStatistics", &error)))?;
    let minutes = counted.datapoints().iter();
    let minutes = minutes.filter(|point| point.sum.is_some_and(|sum| sum > 0.0));
    let last = minutes
        .filter_map(|point| point.timestamp.map(|at| at.secs()))
        .max();
    Ok(last.and_then(|at| Timestamp::from_timestamp(at, 0)))
}

async fn messages(config: &SdkConfig, url: &str) -> Read<u64> {
    let counts = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let got = aws_sdk_sqs::Client::new(config)
        .get_queue_attributes()
        .queue_url(url)
        .set_attribute_names(Some(counts.to_vec()))
        .send()
        .await
        .map_err(|error| told(&classify("GetQueueAttributes", &error)))?;
    let attributes = got.attributes.unwrap_or_default();
    let counts = counts.iter().filter_map(|name| attributes.get(name));
    Ok(counts.filter_map(|count| count.parse::<u64>().ok()).sum())
}

async fn alarms(
    config: &SdkConfig,
    resources: Result<&BTreeMap<String, Resource>, &String>,
) -> Read<Vec<(String, String)>> {
    let resources = resources.map_err(Clone::clone)?;
    let own = resources.iter().filter(|(logical, one)| {
        one.kind == "AWS::CloudWatch::Alarm" && logical.as_str() != DOCTOR_ALARM
    });
    let names: Vec<_> = own.map(|(_, one)| one.name.clone()).collect();
    let described = aws_sdk_cloudwatch::Client::new(config)
        .describe_alarms()
        .set_alarm_names(Some(names))
        .send()
        .await
        .map_err(|error| told(&classify("DescribeAlarms", &error)))?;
    let alarms = described.metric_alarms().iter().map(|alarm| {
        let state = alarm.state_value.as_ref().map(StateValue::as_str);
        let name = alarm.alarm_name.clone().unwrap_or_default();
        (name, state.unwrap_or_default().to_owned())
    });
    Ok(alarms.collect())
}

/// Sets the alarm that is there for this, and waits until the function that acts on alarms has logged it.
async fn test_event(
    config: &SdkConfig,
    alarm: Read<String>,
    group: Read<String>,
    patience: Duration,
) -> TestEvent {
    let began = Instant::now();
    let sent = async {
        let (alarm, group) = (alarm?, group?);
        let client = aws_sdk_cloudwatch::Client::new(config);
        // An event comes of a change alone.
        set(&client, &alarm, StateValue::Ok).await?;
        set(&client, &alarm, StateValue::Alarm).await?;
        let arrived = arrived(config, &client, &alarm, &group, patience).await;
        // It would go back by itself within minutes.
        set(&client, &alarm, StateValue::Ok).await?;
        arrived
    };
    let result = sent.await;
    TestEvent::Sent(result, began.elapsed().as_secs().max(1))
}

async fn set(
    client: &aws_sdk_cloudwatch::Client,
    alarm: &str,
    state: StateValue,
) -> Result<(), String> {
    let done = client
        .set_alarm_state()
        .alarm_name(alarm)
        .state_value(state)
        .state_reason("crossfade doctor sends an event through the rule")
        .send()
        .await;
    done.map(drop)
        .map_err(|error| told(&classify("SetAlarmState", &error)))
}

/// Whether the function logs in time that the alarm fired, since the moment that CloudWatch itself says.
async fn arrived(
    config: &SdkConfig,
    client: &aws_sdk_cloudwatch::Client,
    alarm: &str,
    group: &str,
    patience: Duration,
) -> Read<bool> {
    let described = client.describe_alarms().alarm_names(alarm).send().await;
    let described = described.map_err(|error| told(&classify("DescribeAlarms", &error)))?;
    let changed = described.metric_alarms().first();
    let changed = changed.and_then(|alarm| alarm.state_updated_timestamp);
    let since = changed.ok_or("CloudWatch does not say when the alarm changed")?;
    let logs = aws_sdk_cloudwatchlogs::Client::new(config);
    let deadline = Instant::now() + patience;
    loop {
        let pages = logs
            .filter_log_events()
            .log_group_name(group)
            .start_time(since.secs() * 1000)
            .filter_pattern("alarm_fired")
            .into_paginator()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| told(&classify("FilterLogEvents", &error)))?;
        let mut lines = pages.iter().flat_map(FilterLogEventsOutput::events);
        if lines.any(|line| says(line.message(), alarm)) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a line of the log says that this alarm fired.
fn says(line: Option<&str>, alarm: &str) -> bool {
    let line: Option<Value> = line.and_then(|line| serde_json::from_str(line).ok());
    line.is_some_and(|line| line["event"] == "alarm_fired" && line["alarm"] == alarm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_the_line_of_its_own_alarm() {
        let line =
            r#"{"level":"INFO","event":"alarm_fired","alarm":"crossfade-doctor","watching":0}"#;
        assert!(says(Some(line), "crossfade-doctor"));
        assert!(!says(Some(line), "crossfade-2-doctor"));
        assert!(!says(
            Some("REPORT alarm_fired crossfade-doctor"),
            "crossfade-doctor"
        ));
        assert!(!says(None, "crossfade-doctor"));
    }
}
