//! What the account has that a first request could name. Changes nothing.

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{AlarmType, Metric, MetricAlarm};
use crossfade::{
    aws::{aliases::Aliases, classify::classify},
    domain::names::{AliasName, FunctionName},
};
use futures::future::join_all;

use super::draft::{Caller, Found};
use crate::{error::CliError, output::brief, stack::Aws};

/// The functions that the stack may release, by name, without the stack's own.
pub(crate) async fn functions(aws: &Aws) -> Result<Vec<String>, CliError> {
    let stack = aws.stack().await?;
    let prefixes = stack.parameters.get("TargetFunctionPrefix");
    let prefixes: Vec<_> = prefixes.iter().flat_map(|list| list.split(',')).collect();
    let own = format!("{}-", aws.stack_name());
    let listed = aws_sdk_lambda::Client::new(aws.config())
        .list_functions()
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| classify("ListFunctions", &error))?;
    let names = listed.into_iter().filter_map(|one| one.function_name);
    let mut names: Vec<_> = names
        .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !name.starts_with(&own))
        .collect();
    names.sort();
    Ok(names)
}

/// What there is of each of these functions.
pub(crate) async fn about(config: &SdkConfig, names: &[FunctionName]) -> Vec<Found> {
    let alarms = alarms(config).await;
    let aliases = Aliases::new(config);
    let each = names.iter().map(|name| {
        let (aliases, alarms) = (&aliases, &alarms);
        async move {
            let mut found = Found {
                name: name.to_string(),
                ..Found::default()
            };
            match aliases.all(name).await {
                Ok(all) => {
                    let on =
                        |one: &crossfade::domain::routing::alias::Alias| one.primary.to_string();
                    found.aliases = all
                        .iter()
                        .map(|(name, one)| (name.clone(), on(one)))
                        .collect();
                }
                Err(error) => unread(&mut found, "the aliases", &error.to_string()),
            }
            let names = found.aliases.iter().map(|(name, _)| name.clone());
            let names = names
                .filter_map(|name| AliasName::try_from(name).ok())
                .map(Some);
            for alias in std::iter::once(None).chain(names.collect::<Vec<_>>()) {
                match aliases.policy(name, alias.as_ref()).await {
                    Ok(statements) => {
                        let statements = statements.into_iter();
                        let of_services = statements.filter(|one| !one.service.is_empty());
                        found.callers.extend(of_services.map(|one| Caller {
                            alias: alias.as_ref().map(ToString::to_string),
                            service: one.service,
                            source: one.source_arn,
                        }));
                    }
                    Err(error) => unread(&mut found, "a policy", &error.to_string()),
                }
            }
            match alarms {
                Ok(all) => {
                    let watch = all.iter().filter(|alarm| watches(alarm, name.as_ref()));
                    found.alarms = watch.filter_map(|alarm| alarm.alarm_name.clone()).collect();
                }
                Err(why) => unread(&mut found, "the alarms", why),
            }
            found
        }
    });
    join_all(each).await
}

fn unread(found: &mut Found, what: &str, why: &str) {
    let name = &found.name;
    found
        .unread
        .push(format!("{what} of {name}: {}", brief(why)));
}

async fn alarms(config: &SdkConfig) -> Result<Vec<MetricAlarm>, String> {
    let pages = aws_sdk_cloudwatch::Client::new(config)
        .describe_alarms()
        .alarm_types(AlarmType::MetricAlarm)
        .into_paginator()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| classify("DescribeAlarms", &error).to_string())?;
    let alarms = pages
        .into_iter()
        .flat_map(|page| page.metric_alarms.unwrap_or_default());
    Ok(alarms.collect())
}

/// Whether an alarm is on a metric of this function.
fn watches(alarm: &MetricAlarm, function: &str) -> bool {
    let of = |metric: &Metric| metric.dimensions().iter().any(|one| names(one, function));
    let math = alarm
        .metrics()
        .iter()
        .filter_map(|query| query.metric_stat.as_ref()?.metric.as_ref());
    alarm.dimensions().iter().any(|one| names(one, function)) || math.into_iter().any(of)
}

fn names(dimension: &aws_sdk_cloudwatch::types::Dimension, function: &str) -> bool {
    dimension.name() == Some("FunctionName") && dimension.value() == Some(function)
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::types::{Dimension, MetricDataQuery, MetricStat};

    use super::*;

    #[test]
    fn finds_the_alarms_of_a_function_in_their_metrics_and_in_math() {
        let dimension = |name: &str| {
            Dimension::builder()
                .name("FunctionName")
                .value(name)
                .build()
        };
        let plain = MetricAlarm::builder().dimensions(dimension("chat")).build();
        let metric = Metric::builder().dimensions(dimension("chat")).build();
        let stat = MetricStat::builder().metric(metric).build();
        let math = MetricAlarm::builder()
            .metrics(MetricDataQuery::builder().metric_stat(stat).build())
            .build();
        for alarm in [plain, math] {
            assert!(watches(&alarm, "chat"), "{alarm:?}");
            assert!(!watches(&alarm, "cha"), "{alarm:?}");
        }
        let other = Dimension::builder().name("QueueName").value("chat").build();
        assert!(!watches(
            &MetricAlarm::builder().dimensions(other).build(),
            "chat"
        ));
    }
}
