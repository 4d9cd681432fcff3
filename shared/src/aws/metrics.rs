//! CloudWatch: alarm states and per-version counts.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{AlarmType, Dimension, Metric, MetricDataQuery, MetricStat, StateValue, StatusCode},
};

use chrono::TimeDelta;

use super::classify::classify;
use crate::{
    domain::{
        Timestamp,
        check::{AlarmState, Reading},
        counts::{BluePast, Minute, PastShare},
        judge::Watch,
        names::{AlarmName, Version},
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    Invocations,
    Errors,
    Throttles,
    P99,
    Slow,
}

impl Series {
    fn metric(self) -> &'static str {
        match self {
            Self::Invocations => "Invocations",
            Self::Errors => "Errors",
            Self::Throttles => "Throttles",
            Self::P99 | Self::Slow => "Duration",
        }
    }

    fn statistic(self, slower_than_ms: u32) -> String {
        match self {
            Self::Invocations | Self::Errors | Self::Throttles => "Sum".into(),
            Self::P99 => "p99".into(),
            // The trimmed count: how many were above, exactly.
            Self::Slow => format!("TC({slower_than_ms}:)"),
        }
    }
}

/// Whose invocations are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Blue,
    Green,
}

/// Green's ceilings need more of it than the comparison with blue does.
const READ: [(Colour, Series); 9] = [
    (Colour::Green, Series::Invocations),
    (Colour::Green, Series::Errors),
    (Colour::Green, Series::Throttles),
    (Colour::Green, Series::P99),
    (Colour::Green, Series::Slow),
    (Colour::Blue, Series::Invocations),
    (Colour::Blue, Series::Errors),
    (Colour::Blue, Series::Throttles),
    (Colour::Blue, Series::Slow),
];

/// How far back blue is read a minute at a time: a day.
const PAST_MINUTES: TimeDelta = TimeDelta::days(1);

/// How far back before that blue is summed up, by the hour: six days.
const PAST_DAYS: TimeDelta = TimeDelta::days(6);

/// Seconds of a period of which only the sum counts.
const HOUR: i32 = 3600;

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

    /// What both versions did for each target, minute by minute, from the one that `watch` begins
    /// with to the newest that has settled, in the order given.
    ///
    /// CloudWatch answers a metric that does not exist with no data, not with an error: the judge
    /// reads a minute without invocations as nothing known.
    pub async fn minutes(
        &self,
        targets: &[Target],
        slower_than_ms: Option<u32>,
        watch: Watch,
    ) -> Result<Vec<Vec<Minute>>, Error> {
        let mut minutes: Vec<BTreeMap<i64, Minute>> =
            targets.iter().map(|_| BTreeMap::new()).collect();
        let queries: Vec<_> = targets
            .iter()
            .enumerate()
            .flat_map(|(index, target)| {
                READ.iter()
                    .enumerate()
                    .filter_map(move |(kind, (colour, series))| {
                        let version = match colour {
                            Colour::Green => Some(&target.green_version),
                            Colour::Blue => target.blue_version.as_ref(),
                        }?;
                        let statistic = statistic(*series, slower_than_ms)?;
                        let metric = metric(target, *series, Some(version));
                        Some(query(index, kind, metric, statistic, PERIOD))
                    })
            })
            .collect();
        self.read(
            &queries,
            watch.from,
            watch.through + i64::from(PERIOD),
            |(target, kind), start, value| {
                let (Some(minutes), Some((colour, series))) =
                    (minutes.get_mut(target), READ.get(kind))
                else {
                    return;
                };
                let minute = minutes.entry(start).or_insert_with(|| Minute {
                    start,
                    ..Minute::default()
                });
                set(minute, *colour, *series, value);
            },
        )
        .await?;
        Ok(minutes
            .into_iter()
            .map(|minutes| minutes.into_values().collect())
            .collect())
    }

    /// What blue showed before the release, for each target: the last day by the minute, and the six
    /// days before summed up. None for a target without a blue.
    ///
    /// Read by the alias alone: whether the per-version numbers exist while an alias has no weights
    /// is not documented (AWS-FACTS 2.1).
    pub async fn past(
        &self,
        targets: &[Target],
        slower_than_ms: Option<u32>,
        now: Timestamp,
    ) -> Result<Vec<Option<BluePast>>, Error> {
        const KINDS: [Series; 3] = [Series::Invocations, Series::Errors, Series::Slow];
        let queries = |period: i32| -> Vec<MetricDataQuery> {
            targets
                .iter()
                .enumerate()
                .filter(|(_, target)| target.blue_version.is_some())
                .flat_map(|(index, target)| {
                    KINDS.iter().enumerate().filter_map(move |(kind, series)| {
                        let statistic = statistic(*series, slower_than_ms)?;
                        Some(query(
                            index,
                            kind,
                            metric(target, *series, None),
                            statistic,
                            period,
                        ))
                    })
                })
                .collect()
        };
        let to = now.timestamp() - now.timestamp() % i64::from(PERIOD);
        let day = (now - PAST_MINUTES).timestamp();
        let day = day - day % i64::from(HOUR);
        let begin = day - PAST_DAYS.num_seconds();

        let mut by_minute: Vec<BTreeMap<i64, [u64; 3]>> =
            targets.iter().map(|_| BTreeMap::new()).collect();
        let mut earlier = vec![[0_u64; 3]; targets.len()];
        let (minutes, hours) = (queries(PERIOD), queries(HOUR));
        futures::try_join!(
            self.read(&minutes, day, to, |(target, kind), start, value| {
                if let Some(minute) = by_minute.get_mut(target)
                    && let Some(count) = minute.entry(start).or_default().get_mut(kind)
                {
                    *count = value;
                }
            }),
            self.read(&hours, begin, day, |(target, kind), _, value| {
                if let Some(count) = earlier
                    .get_mut(target)
                    .and_then(|counts| counts.get_mut(kind))
                {
                    *count = count.saturating_add(value);
                }
            }),
        )?;
        Ok(targets
            .iter()
            .zip(by_minute)
            .zip(earlier)
            .map(|((target, by_minute), earlier)| {
                target.blue_version.as_ref()?;
                let share = |kind: usize| {
                    // Minutes without requests are minutes too: unevenness is measured along the clock.
                    let first = by_minute.keys().next().copied().unwrap_or(to);
                    let all: Vec<_> = (first..to)
                        .step_by(60)
                        .map(|start| {
                            by_minute
                                .get(&start)
                                .map_or((0, 0), |counts| (counts[0], counts[kind]))
                        })
                        .collect();
                    PastShare::from_minutes(&all, (earlier[0], earlier[kind]))
                };
                Some(BluePast {
                    errors: share(1),
                    slow: slower_than_ms.map(|_| share(2)),
                })
            })
            .collect())
    }

    /// Reads all pages of all queries from `from` to `to`, epoch seconds, and hands each point on:
    /// which target and kind its query was of, when its period began, and its value as a count.
    async fn read(
        &self,
        queries: &[MetricDataQuery],
        from: i64,
        to: i64,
        mut take: impl FnMut((usize, usize), i64, u64),
    ) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        for part in queries.chunks(QUERIES) {
            let mut pages = self
                .client
                .get_metric_data()
                .set_metric_data_queries(Some(part.to_vec()))
                .start_time(DateTime::from_secs(from))
                .end_time(DateTime::from_secs(to))
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
                    let Some(of) = result.id().and_then(asked) else {
                        continue;
                    };
                    for (start, value) in result.timestamps().iter().zip(result.values()) {
                        take(of, start.secs(), count(*value));
                    }
                }
            }
        }
        Ok(())
    }
}

/// None for a statistic that is not asked for.
fn statistic(series: Series, slower_than_ms: Option<u32>) -> Option<String> {
    match series {
        Series::Slow => slower_than_ms.map(|ms| series.statistic(ms)),
        _ => Some(series.statistic(0)),
    }
}

/// A metric of the alias, or of one version reached through it. Exactly these dimensions:
/// CloudWatch does not add up over dimensions that are left out (AWS-FACTS 2.1).
fn metric(target: &Target, series: Series, version: Option<&Version>) -> Metric {
    let function = target.function_name.as_ref();
    let dimension =
        |name: &str, value: String| Dimension::builder().name(name).value(value).build();
    let metric = Metric::builder()
        .namespace("AWS/Lambda")
        .metric_name(series.metric())
        .dimensions(dimension("FunctionName", function.to_owned()))
        .dimensions(dimension(
            "Resource",
            format!("{function}:{}", target.alias),
        ));
    match version {
        Some(version) => metric
            .dimensions(dimension("ExecutedVersion", version.to_string()))
            .build(),
        None => metric.build(),
    }
}

/// A query's id names the target and the kind that it asks for.
fn query(
    target: usize,
    kind: usize,
    metric: Metric,
    statistic: String,
    period: i32,
) -> MetricDataQuery {
    let stat = MetricStat::builder()
        .metric(metric)
        .period(period)
        .stat(statistic)
        .build();
    MetricDataQuery::builder()
        .id(format!("t{target}k{kind}"))
        .metric_stat(stat)
        .return_data(true)
        .build()
}

fn asked(id: &str) -> Option<(usize, usize)> {
    let (target, kind) = id.strip_prefix('t')?.split_once('k')?;
    Some((target.parse().ok()?, kind.parse().ok()?))
}

/// Counts come as doubles, and are whole; a duration is rounded up to whole milliseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
fn count(value: f64) -> u64 {
    value.ceil().max(0.0) as u64
}

fn set(minute: &mut Minute, colour: Colour, series: Series, value: u64) {
    let counts = match colour {
        Colour::Blue => &mut minute.blue,
        Colour::Green => &mut minute.green,
    };
    match series {
        Series::Invocations => counts.invocations = value,
        Series::Errors => counts.errors = value,
        Series::Throttles => counts.throttles = value,
        Series::Slow => counts.slow = value,
        Series::P99 => minute.green_p99_ms = u32::try_from(value).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::counts::Counts;

    #[test]
    fn an_id_says_what_was_asked() {
        for target in [0, 7, 49] {
            for kind in 0..READ.len() {
                assert_eq!(asked(&format!("t{target}k{kind}")), Some((target, kind)));
            }
        }
        assert!(asked("x").is_none());
    }

    #[test]
    fn slowness_is_read_only_when_it_is_asked_for() {
        assert_eq!(
            statistic(Series::Slow, Some(6000)).as_deref(),
            Some("TC(6000:)")
        );
        assert_eq!(statistic(Series::Slow, None), None);
    }

    #[test]
    fn each_series_has_its_place() {
        let mut minute = Minute::default();
        for (value, (colour, series)) in (1..).zip(READ) {
            set(&mut minute, colour, series, value);
        }
        let green = Counts {
            invocations: 1,
            errors: 2,
            throttles: 3,
            slow: 5,
        };
        let blue = Counts {
            invocations: 6,
            errors: 7,
            throttles: 8,
            slow: 9,
        };
        assert_eq!(
            minute,
            Minute {
                start: 0,
                blue,
                green,
                green_p99_ms: Some(4)
            }
        );
    }
}
