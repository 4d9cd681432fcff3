//! The state of alarms of every kind.

use std::collections::HashMap;

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{
        AlarmType, CompositeAlarm, EvaluationCriteria, LogAlarm, MetricAlarm, StateValue,
        WarmUpConfiguration,
    },
};
use chrono::TimeDelta;

use super::Metrics;
use crate::{
    aws::classify::classify,
    domain::{
        Timestamp,
        analysis::alarm::{AlarmState, Described, Kind, Reading, WarmUp},
        names::AlarmName,
    },
    error::Error,
};

/// How often a PromQL alarm is evaluated that does not say, seconds: the longest that it could.
const EVALUATED_EVERY: i32 = 3600;

impl Metrics {
    /// What each alarm says at `now`, of whatever kind it is, in the order asked; one that does not exist is
    /// [`AlarmState::Missing`]. Makes no call when none is requested.
    pub async fn alarms(&self, names: &[AlarmName], now: Timestamp) -> Result<Vec<Reading>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self
            .client
            .describe_alarms()
            .set_alarm_names(Some(names.iter().map(ToString::to_string).collect()))
            // Alarms of kinds that are not named are silently left out
            // (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html).
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .alarm_types(AlarmType::LogAlarm)
            .max_records(100)
            .send()
            .await
            .map_err(|error| classify("DescribeAlarms", &error))?;
        let metric = answer
            .metric_alarms()
            .iter()
            .map(|it| (it.alarm_name(), metric(it)));
        let composite = answer.composite_alarms().iter();
        let composite = composite.map(|it| (it.alarm_name(), composed(it)));
        let log = answer
            .log_alarms()
            .iter()
            .map(|it| (it.alarm_name(), log(it)));
        let mut found: HashMap<_, _> = metric
            .chain(composite)
            .chain(log)
            .filter_map(|(name, described)| Some((name?, described)))
            .collect();
        Ok(names
            .iter()
            .map(|name| match found.remove(name.as_ref()) {
                Some(described) => described.read(name.clone(), now),
                None => Reading::of(name.clone(), AlarmState::Missing, None),
            })
            .collect())
    }
}

/// Describes what the SDK's types of alarms, which share no trait, have in common.
macro_rules! described {
    ($kind:expr, $alarm:expr) => {
        Described {
            kind: $kind,
            state: state($alarm.state_value()),
            since: at($alarm.state_transitioned_timestamp()),
            changed_at: at($alarm.alarm_configuration_updated_timestamp()),
            warm_up: None,
            evaluation: None,
            reason: $alarm.state_reason().unwrap_or_default().to_owned(),
        }
    };
}

fn metric(alarm: &MetricAlarm) -> Described {
    let kind = match alarm.evaluation_criteria() {
        Some(EvaluationCriteria::PromQlCriteria(criteria)) => {
            let every = alarm.evaluation_interval().unwrap_or(EVALUATED_EVERY);
            let pending = criteria.pending_period().unwrap_or_default();
            Kind::PromQl {
                evaluated_after: seconds(every) + seconds(pending),
            }
        }
        Some(_) => Kind::Unknown,
        None if alarm.metric_name().is_none() && alarm.metrics().is_empty() => Kind::Unknown,
        None => Kind::Metric,
    };
    Described {
        warm_up: alarm.warm_up_configuration().map(warm_up),
        evaluation: alarm.evaluation_state().map(|it| it.as_str().to_owned()),
        ..described!(kind, alarm)
    }
}

fn composed(alarm: &CompositeAlarm) -> Described {
    described!(Kind::Composite, alarm)
}

fn log(alarm: &LogAlarm) -> Described {
    Described {
        warm_up: alarm.warm_up_configuration().map(warm_up),
        evaluation: alarm.evaluation_state().map(|it| it.as_str().to_owned()),
        ..described!(Kind::Log, alarm)
    }
}

fn state(value: Option<&StateValue>) -> AlarmState {
    match value {
        Some(StateValue::Ok) => AlarmState::Ok,
        Some(StateValue::Alarm) => AlarmState::Alarm,
        Some(_) | None => AlarmState::InsufficientData,
    }
}

fn warm_up(configured: &WarmUpConfiguration) -> WarmUp {
    let minutes = configured.warm_up_period_duration_in_minutes();
    WarmUp {
        lasts: TimeDelta::minutes(minutes.unwrap_or_default().into()),
        to_the_end: configured
            .only_start_evaluating_after_warm_up_period_ends()
            .unwrap_or_default(),
    }
}

fn seconds(count: i32) -> TimeDelta {
    TimeDelta::seconds(count.into())
}

fn at(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::from_timestamp(time.secs(), time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_kinds_of_metric_alarms_apart() {
        let plain = MetricAlarm::builder().metric_name("Errors").build();
        assert_eq!(metric(&plain).kind, Kind::Metric);
        let new = MetricAlarm::builder().build();
        assert_eq!(metric(&new).kind, Kind::Unknown);
        let criteria = EvaluationCriteria::PromQlCriteria(
            aws_sdk_cloudwatch::types::AlarmPromQlCriteria::builder()
                .query("up")
                .pending_period(40)
                .build(),
        );
        let promql = MetricAlarm::builder().evaluation_criteria(criteria);
        let after = |alarm: &MetricAlarm| match metric(alarm).kind {
            Kind::PromQl { evaluated_after } => evaluated_after.num_seconds(),
            other => panic!("{other:?}"),
        };
        assert_eq!(after(&promql.clone().evaluation_interval(20).build()), 60);
        assert_eq!(after(&promql.build()), 3640);
    }
}
