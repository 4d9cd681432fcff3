//! CloudWatch: alarm states and per-version counts.

use std::collections::HashMap;

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{AlarmType, Dimension, Metric, MetricDataQuery, MetricStat, StateValue, StatusCode},
};

use super::classify::classify;
use crate::{
    domain::{
        Timestamp,
        check::{AlarmState, GreenCounts, Reading},
        names::AlarmName,
        release::Target,
    },
    error::Error,
};

/// `GetMetricData` takes so many queries in one call (AWS-FACTS 2.2).
const QUERIES: usize = 500;

/// Lambda's metrics have one point a minute, seconds.
const PERIOD: i32 = 60;

/// CloudWatch's alarms and metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    client: Client,
}

/// What is read of a version, one query each.
#[derive(Clone, Copy, Debug)]
enum Series {
    Invocations,
    Errors,
    Throttles,
    P99,
}

impl Series {
    const ALL: [Self; 4] = [Self::Invocations, Self::Errors, Self::Throttles, Self::P99];

    fn metric(self) -> (&'static str, &'static str) {
        match self {
            Self::Invocations => ("Invocations", "Sum"),
            Self::Errors => ("Errors", "Sum"),
            Self::Throttles => ("Throttles", "Sum"),
            Self::P99 => ("Duration", "p99"),
        }
    }
}

impl Metrics {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: Client::new(config),
        }
    }

    /// The state of each alarm, metric and composite ones, in the order asked; one that does not
    /// exist is [`AlarmState::Missing`]. Makes no call when none is asked for.
    pub async fn alarms(&self, names: &[AlarmName]) -> Result<Vec<Reading>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self
            .client
            .describe_alarms()
            .set_alarm_names(Some(names.iter().map(ToString::to_string).collect()))
            // Without both, composite alarms are silently left out (AWS-FACTS 2.3).
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .max_records(100)
            .send()
            .await
            .map_err(|error| classify("DescribeAlarms", &error))?;
        let metric = answer.metric_alarms().iter().map(|a| {
            (
                a.alarm_name(),
                (a.state_value(), a.state_transitioned_timestamp()),
            )
        });
        let composite = answer.composite_alarms().iter().map(|a| {
            (
                a.alarm_name(),
                (a.state_value(), a.state_transitioned_timestamp()),
            )
        });
        let found: HashMap<_, _> = metric
            .chain(composite)
            .filter_map(|(name, state)| Some((name?, state)))
            .collect();
        Ok(names
            .iter()
            .map(|name| {
                let seen = found.get(name.as_ref()).copied();
                let state = match seen {
                    None => AlarmState::Missing,
                    Some((Some(StateValue::Ok), _)) => AlarmState::Ok,
                    Some((Some(StateValue::Alarm), _)) => AlarmState::Alarm,
                    Some(_) => AlarmState::InsufficientData,
                };
                let since = seen.and_then(|(_, since)| {
                    Timestamp::from_timestamp(since?.secs(), since?.subsec_nanos())
                });
                Reading {
                    name: name.clone(),
                    state,
                    since,
                }
            })
            .collect())
    }

    /// What green did for each target from `from` to `to`, in the order given.
    ///
    /// CloudWatch answers a metric that does not exist with no data, not with an error: the caller
    /// must read zero invocations as "nothing known".
    pub async fn green(
        &self,
        targets: &[Target],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<GreenCounts>, Error> {
        let mut counts: Vec<_> = targets
            .iter()
            .map(|target| GreenCounts {
                function_name: target.function_name.clone(),
                version: target.green_version.clone(),
                invocations: 0,
                errors: 0,
                throttles: 0,
                p99_ms: None,
            })
            .collect();
        if from >= to {
            return Ok(counts);
        }
        // Whole seconds, and never the same one twice: CloudWatch refuses an end that is not after the
        // start.
        let end = to.timestamp() + i64::from(to.timestamp_subsec_nanos() > 0);
        let queries: Vec<_> = targets
            .iter()
            .enumerate()
            .flat_map(|(index, target)| {
                Series::ALL
                    .iter()
                    .enumerate()
                    .map(move |(kind, series)| query(index, kind, *series, target))
            })
            .collect();
        for page in queries.chunks(QUERIES) {
            let mut pages = self
                .client
                .get_metric_data()
                .set_metric_data_queries(Some(page.to_vec()))
                .start_time(DateTime::from_secs(from.timestamp()))
                .end_time(DateTime::from_secs(end))
                .into_paginator()
                .send();
            while let Some(answer) = pages.next().await {
                let answer = answer.map_err(|error| classify("GetMetricData", &error))?;
                for result in answer.metric_data_results() {
                    if !matches!(
                        result.status_code(),
                        Some(StatusCode::Complete | StatusCode::PartialData) | None
                    ) {
                        return Err(Error::Transient(format!(
                            "GetMetricData: {:?}",
                            result.status_code()
                        )));
                    }
                    let Some((target, series)) = result.id().and_then(asked) else {
                        continue;
                    };
                    let Some(green) = counts.get_mut(target) else {
                        continue;
                    };
                    add(green, series, result.values());
                }
            }
        }
        Ok(counts)
    }
}

/// A query's id names the target and the series that it asks for.
fn query(target_index: usize, kind: usize, series: Series, target: &Target) -> MetricDataQuery {
    let (name, stat) = series.metric();
    let function = target.function_name.as_ref();
    let dimension =
        |name: &str, value: String| Dimension::builder().name(name).value(value).build();
    // Exactly these three: CloudWatch does not add up over dimensions that are left out (AWS-FACTS 2.1).
    let metric = Metric::builder()
        .namespace("AWS/Lambda")
        .metric_name(name)
        .dimensions(dimension("FunctionName", function.to_owned()))
        .dimensions(dimension(
            "Resource",
            format!("{function}:{}", target.alias),
        ))
        .dimensions(dimension(
            "ExecutedVersion",
            target.green_version.to_string(),
        ))
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(PERIOD)
        .stat(stat)
        .build();
    MetricDataQuery::builder()
        .id(format!("t{target_index}k{kind}"))
        .metric_stat(stat)
        .return_data(true)
        .build()
}

fn asked(id: &str) -> Option<(usize, Series)> {
    let (target, kind) = id.strip_prefix('t')?.split_once('k')?;
    Some((
        target.parse().ok()?,
        *Series::ALL.get(kind.parse::<usize>().ok()?)?,
    ))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Counts come as doubles, and are whole.
fn add(green: &mut GreenCounts, series: Series, values: &[f64]) {
    let sum = values.iter().sum::<f64>().round() as u64;
    match series {
        Series::Invocations => green.invocations += sum,
        Series::Errors => green.errors += sum,
        Series::Throttles => green.throttles += sum,
        Series::P99 => green.p99_ms = values.iter().copied().chain(green.p99_ms).reduce(f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_was_asked() {
        for target in [0, 7, 49] {
            for kind in 0..Series::ALL.len() {
                let (t, series) = asked(&format!("t{target}k{kind}")).unwrap();
                assert_eq!((t, series.metric()), (target, Series::ALL[kind].metric()));
            }
        }
        assert!(asked("t1k9").is_none());
        assert!(asked("x").is_none());
    }
}
