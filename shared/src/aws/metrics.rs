//! CloudWatch: alarm states and counts of each colour's requests.

mod alarms;
mod values;

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode},
};

use chrono::TimeDelta;

use super::{
    classify::classify,
    lazy_client::{LazyClient, lazy},
};
use crate::{
    domain::{
        Timestamp,
        analysis::{
            counts::{BluePast, Minute, PastShare},
            judge::Watch,
            series::{Counted, Counting, Publisher},
        },
    },
    error::Error,
};

/// `GetMetricData` takes so many queries in one call (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>).
const QUERIES: usize = 500;

/// Lambda's metrics have one point a minute, seconds.
const PERIOD: i32 = 60;

/// CloudWatch's alarms and metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    client: LazyClient<Client>,
}

/// What is read of a colour, a query each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    Requests,
    Errors,
    /// A second metric of requests that failed, where the publisher splits them up.
    MoreErrors,
    Throttles,
    P99,
    Slow,
}

impl Series {
    /// The metric's name; none where the publisher has none.
    ///
    /// Behind a load balancer a function's error is distinguished from a target's own answer of 5XX; which
    /// of the two metrics it is in is not confirmed, so both are read.
    fn metric(self, publisher: &Publisher) -> Option<&str> {
        use Publisher::{Function, FunctionUrl, HttpApi, LoadBalancer, Own, RestApi};
        Some(match (self, publisher) {
            (Self::Requests, Function) => "Invocations",
            (Self::Requests, FunctionUrl) => "UrlRequestCount",
            (Self::Requests, LoadBalancer) => "RequestCount",
            (Self::Requests, RestApi | HttpApi) => "Count",
            (Self::Requests, Own(names)) => &names.all,
            (Self::Errors, Function) => "Errors",
            (Self::Errors, FunctionUrl) => "Url5xxCount",
            (Self::Errors, Own(names)) => &names.bad,
            (Self::Errors, LoadBalancer) => "HTTPCode_Target_5XX_Count",
            (Self::Errors, RestApi) => "5XXError",
            (Self::Errors, HttpApi) => "5xx",
            (Self::MoreErrors, LoadBalancer) => "LambdaUserError",
            (Self::Throttles, Function) => "Throttles",
            (Self::P99 | Self::Slow, Function) => "Duration",
            (Self::P99 | Self::Slow, LoadBalancer) => "TargetResponseTime",
            (Self::P99 | Self::Slow, RestApi | HttpApi) => "Latency",
            (Self::MoreErrors, Function | RestApi | HttpApi)
            | (Self::Throttles, LoadBalancer | RestApi | HttpApi)
            | (Self::MoreErrors | Self::Throttles | Self::P99 | Self::Slow, FunctionUrl | Own(_)) =>
            {
                return None;
            }
        })
    }

    fn statistic(self, publisher: &Publisher, slower_than_ms: u32) -> String {
        match self {
            Self::Requests | Self::Errors | Self::MoreErrors | Self::Throttles => "Sum".into(),
            Self::P99 => "p99".into(),
            // The trimmed count: how many were above, exactly.
            Self::Slow => format!(
                "TC({}:)",
                f64::from(slower_than_ms) / per_millisecond(publisher)
            ),
        }
    }
}

fn namespace(publisher: &Publisher) -> &str {
    match publisher {
        Publisher::Function | Publisher::FunctionUrl => "AWS/Lambda",
        Publisher::LoadBalancer => "AWS/ApplicationELB",
        Publisher::RestApi | Publisher::HttpApi => "AWS/ApiGateway",
        Publisher::Own(names) => &names.namespace,
    }
}

/// How many milliseconds a publisher's unit of time has: a load balancer counts seconds.
fn per_millisecond(publisher: &Publisher) -> f64 {
    match publisher {
        Publisher::LoadBalancer => 1000.0,
        Publisher::Function
        | Publisher::FunctionUrl
        | Publisher::RestApi
        | Publisher::HttpApi
        | Publisher::Own(_) => 1.0,
    }
}

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Blue,
    Green,
}

/// Green's ceilings need more of it than the comparison with blue does.
const READ: [(Colour, Series); 11] = [
    (Colour::Green, Series::Requests),
    (Colour::Green, Series::Errors),
    (Colour::Green, Series::MoreErrors),
    (Colour::Green, Series::Throttles),
    (Colour::Green, Series::P99),
    (Colour::Green, Series::Slow),
    (Colour::Blue, Series::Requests),
    (Colour::Blue, Series::Errors),
    (Colour::Blue, Series::MoreErrors),
    (Colour::Blue, Series::Throttles),
    (Colour::Blue, Series::Slow),
];

/// What is read of blue's past.
const PAST: [Series; 4] = [
    Series::Requests,
    Series::Errors,
    Series::MoreErrors,
    Series::Slow,
];

/// How far back blue is read a minute at a time: a day.
const PAST_MINUTES: TimeDelta = TimeDelta::days(1);

/// How far back before that blue is read by the hour: six days.
const PAST_DAYS: TimeDelta = TimeDelta::days(6);

/// Seconds of an hour.
const HOUR: i32 = 3600;

impl Metrics {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, Client::new),
        }
    }

    /// What both colours did for each of `counted`, minute by minute, from the one that `watch` begins
    /// with to the newest that has settled, in the order given.
    ///
    /// CloudWatch answers a metric that does not exist with no data, not with an error: the judge
    /// reads a minute without requests as nothing known.
    pub async fn minutes(
        &self,
        counted: &[&Counted],
        slower_than_ms: Option<u32>,
        watch: Watch,
    ) -> Result<Vec<Counting>, Error> {
        let queries: Vec<_> = counted
            .iter()
            .enumerate()
            .flat_map(|(index, one)| {
                READ.iter()
                    .enumerate()
                    .filter_map(move |(kind, (colour, series))| {
                        let dimensions = match colour {
                            Colour::Green => Some(&one.green),
                            Colour::Blue => one.blue.as_ref(),
                        }?;
                        let asked = (*series, &one.publisher, slower_than_ms);
                        query((index, kind), asked, dimensions, PERIOD)
                    })
            })
            .collect();
        let within = watch.from..watch.through + i64::from(PERIOD);
        let answers = self.read(&queries, within.clone()).await?;
        minutes_of(counted, &answers, within)
    }

    /// What blue showed before the release, for each of `counted`: the last day by the minute, and the
    /// six days before by the hour. None without a blue.
    pub async fn past(
        &self,
        counted: &[&Counted],
        slower_than_ms: Option<u32>,
        now: Timestamp,
    ) -> Result<Vec<Option<BluePast>>, Error> {
        let queries = |period: i32| -> Vec<MetricDataQuery> {
            counted
                .iter()
                .enumerate()
                .filter_map(|(index, one)| Some((index, one, one.past.as_ref()?)))
                .flat_map(|(index, one, past)| {
                    PAST.iter().enumerate().filter_map(move |(kind, series)| {
                        let asked = (*series, &one.publisher, slower_than_ms);
                        query((index, kind), asked, past, period)
                    })
                })
                .collect()
        };
        let to = now.timestamp() - now.timestamp() % i64::from(PERIOD);
        let day = (now - PAST_MINUTES).timestamp();
        let day = day - day % i64::from(HOUR);
        let begin = day - PAST_DAYS.num_seconds();

        let (minutes, hours) = (queries(PERIOD), queries(HOUR));
        let (minutes, hours) =
            futures::try_join!(self.read(&minutes, day..to), self.read(&hours, begin..day))?;
        let asked_slow = slower_than_ms.is_some();
        past_of(
            counted,
            asked_slow,
            (&minutes, day..to),
            (&hours, begin..day),
        )
    }

    /// All pages of the answers to all queries, of the time `within`, epoch seconds.
    async fn read(
        &self,
        queries: &[MetricDataQuery],
        within: Range<i64>,
    ) -> Result<Vec<MetricDataResult>, Error> {
        let mut answers = Vec::new();
        if within.is_empty() {
            return Ok(answers);
        }
        for part in queries.chunks(QUERIES) {
            let mut pages = self
                .client
                .get_metric_data()
                .set_metric_data_queries(Some(part.to_vec()))
                .start_time(DateTime::from_secs(within.start))
                .end_time(DateTime::from_secs(within.end))
                .into_paginator()
                .send();
            while let Some(answer) = pages.next().await {
                let answer = answer.map_err(|error| classify("GetMetricData", &error))?;
                answers.extend(answer.metric_data_results.unwrap_or_default());
            }
        }
        Ok(answers)
    }
}

/// What `answers` say that both colours did, a minute each, for each of `counted`. Points outside of
/// the time that was requested, `within`, are none of it.
///
/// # Errors
/// [`Error::Transient`] when CloudWatch could not answer one of the queries.
pub fn minutes_of(
    counted: &[&Counted],
    answers: &[MetricDataResult],
    within: Range<i64>,
) -> Result<Vec<Counting>, Error> {
    let mut read: Vec<(BTreeMap<i64, Minute>, bool)> = vec![Default::default(); counted.len()];
    points(answers, &within, |(index, kind), start, value| {
        let (Some((minutes, tells_bad)), Some(one), Some((colour, series))) =
            (read.get_mut(index), counted.get(index), READ.get(kind))
        else {
            return;
        };
        let minute = minutes.entry(start).or_insert_with(|| Minute {
            start,
            ..Minute::default()
        });
        set(minute, *colour, *series, &one.publisher, value);
        *tells_bad |= *series == Series::Errors;
    })?;
    Ok(read
        .into_iter()
        .map(|(minutes, tells_bad)| Counting {
            minutes: minutes.into_values().map(whole).collect(),
            tells_bad,
        })
        .collect())
}

/// What `answers` say of blue's past, for each of `counted`: of the last day, by the minute, and of the
/// days before, by the hour, each with the time that was requested. None without a blue.
///
/// # Errors
/// [`Error::Transient`] when CloudWatch could not answer one of the queries.
pub fn past_of(
    counted: &[&Counted],
    asked_slow: bool,
    (minutes, day): (&[MetricDataResult], Range<i64>),
    (hours, before): (&[MetricDataResult], Range<i64>),
) -> Result<Vec<Option<BluePast>>, Error> {
    let mut by_minute: Vec<BTreeMap<i64, [u64; 4]>> =
        counted.iter().map(|_| BTreeMap::new()).collect();
    let mut earlier: Vec<BTreeMap<i64, [u64; 4]>> =
        counted.iter().map(|_| BTreeMap::new()).collect();
    points(minutes, &day, |(index, kind), start, value| {
        if let Some(minute) = by_minute.get_mut(index)
            && let Some(seen) = minute.entry(start).or_default().get_mut(kind)
        {
            *seen = count(value);
        }
    })?;
    points(hours, &before, |(index, kind), start, value| {
        if let Some(hour) = earlier.get_mut(index)
            && let Some(seen) = hour.entry(start).or_default().get_mut(kind)
        {
            *seen = count(value);
        }
    })?;
    let errors = |[requests, errors, more, _]: [u64; 4]| {
        (requests, errors.saturating_add(more).min(requests))
    };
    let slow = |[requests, _, _, slow]: [u64; 4]| (requests, slow);
    Ok(counted
        .iter()
        .zip(by_minute)
        .zip(earlier)
        .map(|((one, by_minute), earlier)| {
            one.past.as_ref()?;
            let share = |hits: &dyn Fn([u64; 4]) -> (u64, u64)| {
                // Minutes without requests are minutes too: unevenness is measured along the clock.
                let first = by_minute.keys().next().copied().unwrap_or(day.end);
                let all: Vec<_> = (first..day.end)
                    .step_by(60)
                    .map(|start| by_minute.get(&start).map_or((0, 0), |counts| hits(*counts)))
                    .collect();
                let earlier: Vec<_> = earlier.values().map(|counts| hits(*counts)).collect();
                PastShare::from_minutes(&all, &earlier)
            };
            Some(BluePast {
                errors: share(&errors),
                slow: asked_slow.then(|| share(&slow)),
            })
        })
        .collect())
}

/// Hands on each point `within` the time that was requested: which series and kind its query was of,
/// when its period began, and its value.
fn points(
    answers: &[MetricDataResult],
    within: &Range<i64>,
    mut take: impl FnMut((usize, usize), i64, f64),
) -> Result<(), Error> {
    for result in answers {
        if !matches!(
            result.status_code(),
            Some(StatusCode::Complete | StatusCode::PartialData) | None
        ) {
            return Err(Error::Transient(
                format!("GetMetricData: {:?}", result.status_code()).into(),
            ));
        }
        let Some(of) = result.id().and_then(asked) else {
            continue;
        };
        let points = result.timestamps().iter().zip(result.values());
        for (start, value) in points.filter(|(start, _)| within.contains(&start.secs())) {
            take(of, start.secs(), *value);
        }
    }
    Ok(())
}

/// A query, whose id names the series and the kind that it requests; none for a metric that the
/// publisher does not have, or that is not needed.
fn query(
    (index, kind): (usize, usize),
    (series, publisher, slower_than_ms): (Series, &Publisher, Option<u32>),
    dimensions: &[(Cow<'static, str>, String)],
    period: i32,
) -> Option<MetricDataQuery> {
    let name = series.metric(publisher)?;
    let statistic = match series {
        Series::Slow => series.statistic(publisher, slower_than_ms?),
        _ => series.statistic(publisher, 0),
    };
    let metric = (namespace(publisher), name, dimensions);
    Some(asking((index, kind), metric, statistic, period))
}

/// A query for a metric by its namespace, name and dimensions.
fn asking(
    (index, kind): (usize, usize),
    (namespace, name, dimensions): (&str, &str, &[(Cow<'static, str>, String)]),
    statistic: impl Into<String>,
    period: i32,
) -> MetricDataQuery {
    let dimensions = dimensions
        .iter()
        .map(|(name, value)| Dimension::builder().name(&**name).value(value).build());
    let metric = Metric::builder()
        .namespace(namespace)
        .metric_name(name)
        .set_dimensions(Some(dimensions.collect()))
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(period)
        .stat(statistic)
        .build();
    MetricDataQuery::builder()
        .id(format!("t{index}k{kind}"))
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

fn set(minute: &mut Minute, colour: Colour, series: Series, publisher: &Publisher, value: f64) {
    let counts = match colour {
        Colour::Blue => &mut minute.blue,
        Colour::Green => &mut minute.green,
    };
    match series {
        Series::Requests => counts.invocations = count(value),
        Series::Errors | Series::MoreErrors => {
            counts.errors = counts.errors.saturating_add(count(value));
        }
        Series::Throttles => counts.throttles = count(value),
        Series::Slow => counts.slow = count(value),
        Series::P99 => {
            minute.green_p99_ms = u32::try_from(count(value * per_millisecond(publisher))).ok();
        }
    }
}

/// Where two metrics count errors, one request may be in both.
fn whole(mut minute: Minute) -> Minute {
    for counts in [&mut minute.blue, &mut minute.green] {
        counts.errors = counts.errors.min(counts.invocations);
    }
    minute
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analysis::{counts::Counts, series::OwnNames};

    #[test]
    fn an_id_says_what_was_asked() {
        for target in [0, 7, 49] {
            for kind in 0..READ.len() {
                assert_eq!(asked(&format!("t{target}k{kind}")), Some((target, kind)));
            }
        }
        assert!(asked("x").is_none());
    }

    fn statistics(publisher: &Publisher, slower_than_ms: Option<u32>) -> Vec<(String, String)> {
        READ.iter()
            .filter_map(|(_, series)| query((0, 0), (*series, publisher, slower_than_ms), &[], 60))
            .map(|query| {
                let stat = query.metric_stat.unwrap();
                let metric = stat.metric.unwrap();
                let of = format!(
                    "{} {}",
                    metric.namespace.unwrap(),
                    metric.metric_name.unwrap()
                );
                (of, stat.stat.unwrap())
            })
            .collect()
    }

    #[test]
    fn slowness_is_read_only_when_it_is_asked_for_and_in_the_publishers_unit() {
        let slow = |publisher: Publisher, slower_than_ms| {
            let all = statistics(&publisher, slower_than_ms);
            all.into_iter().find(|(_, stat)| stat.starts_with("TC"))
        };
        assert_eq!(slow(Publisher::Function, None), None);
        for (publisher, of, stat) in [
            (Publisher::Function, "AWS/Lambda Duration", "TC(6000:)"),
            (
                Publisher::LoadBalancer,
                "AWS/ApplicationELB TargetResponseTime",
                "TC(6:)",
            ),
            (Publisher::HttpApi, "AWS/ApiGateway Latency", "TC(6000:)"),
        ] {
            assert_eq!(slow(publisher, Some(6000)), Some((of.into(), stat.into())));
        }
        let quick = slow(Publisher::LoadBalancer, Some(250)).unwrap();
        assert_eq!(quick.1, "TC(0.25:)");
    }

    pub(super) fn answer(id: &str, points: &[(i64, f64)]) -> MetricDataResult {
        let (starts, values): (Vec<_>, Vec<_>) = points.iter().copied().unzip();
        MetricDataResult::builder()
            .id(id)
            .set_timestamps(Some(starts.into_iter().map(DateTime::from_secs).collect()))
            .set_values(Some(values))
            .status_code(StatusCode::Complete)
            .build()
    }

    fn counted() -> Counted {
        Counted {
            name: "chat".to_owned(),
            publisher: Publisher::Function,
            blue: Some(Vec::new()),
            green: Vec::new(),
            past: Some(Vec::new()),
        }
    }

    #[test]
    fn points_that_nobody_asked_for_are_none() {
        let answers = [
            answer(
                "t0k0",
                &[(i64::MIN, 9.0), (60, 5.0), (120, 7.0), (i64::MAX, 9.0)],
            ),
            answer("t0k1", &[(60, f64::NAN), (120, f64::INFINITY)]),
            answer("t7k0", &[(60, 1.0)]),
            answer("t0k99", &[(60, 1.0)]),
            answer("odd", &[(60, 1.0)]),
        ];
        let minutes = minutes_of(&[&counted()], &answers, 60..180).unwrap();
        let seen: Vec<_> = minutes[0]
            .minutes
            .iter()
            .map(|minute| (minute.start, minute.green.invocations, minute.green.errors))
            .collect();
        // More errors than requests are as many.
        assert_eq!(seen, [(60, 5, 0), (120, 7, 7)]);

        let hours = [answer("t0k0", &[(i64::MIN, 1.0)])];
        let past = past_of(&[&counted()], false, (&answers, 60..180), (&hours, 0..60)).unwrap();
        assert_eq!(past[0].as_ref().map(|past| past.errors.requests), Some(12));
    }

    #[test]
    fn requests_the_counts_of_responses_by_their_names() {
        let names = |publisher| {
            let all = statistics(&publisher, Some(100));
            let names: Vec<_> = all
                .into_iter()
                .map(|(of, stat)| format!("{of} {stat}"))
                .collect();
            names
        };
        let twice = |names: [&'static str; 2]| [names, names].concat();
        assert_eq!(
            names(Publisher::FunctionUrl),
            twice([
                "AWS/Lambda UrlRequestCount Sum",
                "AWS/Lambda Url5xxCount Sum"
            ])
        );
        let own = OwnNames {
            namespace: "Chat".into(),
            all: "Requests".into(),
            bad: "Failures".into(),
        };
        assert_eq!(
            names(Publisher::Own(own)),
            twice(["Chat Requests Sum", "Chat Failures Sum"])
        );
    }

    #[test]
    fn a_zero_is_a_count_of_bad_ones_and_nothing_is_none() {
        let tells_bad = |answers: &[MetricDataResult]| {
            minutes_of(&[&counted()], answers, 60..180).unwrap()[0].tells_bad
        };
        assert!(!tells_bad(&[
            answer("t0k0", &[(60, 5.0)]),
            answer("t0k1", &[])
        ]));
        assert!(
            !tells_bad(&[answer("t0k1", &[(180, 0.0)])]),
            "of another time"
        );
        assert!(tells_bad(&[answer("t0k1", &[(60, 0.0)])]));
        assert!(tells_bad(&[answer("t0k7", &[(60, 0.0)])]), "of blue");
    }

    #[test]
    fn an_answer_that_is_none_is_asked_for_again() {
        let mut failed = answer("t0k0", &[]);
        failed.status_code = Some(StatusCode::InternalError);
        let error = minutes_of(&[&counted()], &[failed], 60..180).unwrap_err();
        assert_eq!(error.name(), "Transient");
    }

    #[test]
    fn each_series_has_its_place() {
        let mut minute = Minute::default();
        for (value, (colour, series)) in (1..).zip(READ) {
            set(
                &mut minute,
                colour,
                series,
                &Publisher::Function,
                f64::from(value),
            );
        }
        let green = Counts {
            invocations: 1,
            errors: 2 + 3,
            throttles: 4,
            slow: 6,
        };
        let blue = Counts {
            invocations: 7,
            errors: 8 + 9,
            throttles: 10,
            slow: 11,
        };
        let expected = Minute {
            start: 0,
            blue,
            green,
            green_p99_ms: Some(5),
        };
        assert_eq!(minute, expected);
        let whole = whole(minute);
        assert_eq!((whole.green.errors, whole.blue.errors), (1, 7));
        set(
            &mut minute,
            Colour::Green,
            Series::P99,
            &Publisher::LoadBalancer,
            0.25,
        );
        assert_eq!(minute.green_p99_ms, Some(250));
    }
}
