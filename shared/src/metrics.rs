//! Metrics of Crossfade's own, in CloudWatch's embedded metric format (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>): a line in the
//! log, no call, no permission. The stack's dashboard draws all of them.

use std::{collections::BTreeMap, env, time::SystemTime};

use serde_json::{Map, Value, json};
use strum::VariantArray as _;

use crate::domain::{Timestamp, names::Application};

/// The namespace of all of them.
pub const NAMESPACE: &str = "Crossfade";

/// A number that is kept over time. Its name is the metric's.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Metric {
    /// Percent of traffic on green: at each shift and look, 0 after a rollback, 100 after a promotion.
    GreenWeight,
    /// Percent of blue's requests that failed since the release began, of the function that looks worst.
    BlueErrorRate,
    /// The same of green's.
    GreenErrorRate,
    /// Percent of blue's requests that were slower than `slowerThanMs`, of that function.
    BlueSlowShare,
    /// The same of green's.
    GreenSlowShare,
    /// Blue's requests since the release began, of that function.
    BlueInvocations,
    /// The same of green's.
    GreenInvocations,
    /// The release's e-value; 1 / `alpha` of it rolls back.
    EValue,
    /// 1 for a look that found green unhealthy, otherwise 0.
    Unhealthy,
    /// Milliseconds from what requested a rollback (an alarm's change, a verdict, a failure) until all
    /// traffic was on blue.
    TimeToBlue,
    /// 1 for each release that ended, by how: each outcome is a value of the dimension.
    Releases,
    /// Deployments whose traffic could not be restored, at each sweep and each time it was given up.
    Stuck,
    /// Notices that did not reach their readers.
    Untold,
}

impl Metric {
    /// All there are.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::VARIANTS
    }

    /// CloudWatch's unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::GreenWeight
            | Self::BlueErrorRate
            | Self::GreenErrorRate
            | Self::BlueSlowShare
            | Self::GreenSlowShare => "Percent",
            Self::EValue => "None",
            Self::TimeToBlue => "Milliseconds",
            Self::BlueInvocations
            | Self::GreenInvocations
            | Self::Unhealthy
            | Self::Releases
            | Self::Stuck
            | Self::Untold => "Count",
        }
    }

    /// The names of its dimensions.
    #[must_use]
    pub fn dimensions(self) -> &'static [&'static str] {
        match self {
            Self::Releases => &["Stack", "Outcome"],
            Self::Stuck | Self::Untold => &["Stack"],
            Self::GreenWeight
            | Self::BlueErrorRate
            | Self::GreenErrorRate
            | Self::BlueSlowShare
            | Self::GreenSlowShare
            | Self::BlueInvocations
            | Self::GreenInvocations
            | Self::EValue
            | Self::Unhealthy
            | Self::TimeToBlue => &["Stack", "Application"],
        }
    }
}

/// A line in the making.
#[derive(Clone, Debug)]
pub struct Line {
    at: Timestamp,
    fields: Map<String, Value>,
    metrics: BTreeMap<&'static [&'static str], Vec<Metric>>,
}

impl Line {
    /// Of a moment, for the stack that the environment's `STACK_NAME` names.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        let stack = env::var("STACK_NAME").unwrap_or_default();
        let line = Self {
            at,
            fields: Map::new(),
            metrics: BTreeMap::new(),
        };
        line.with("Stack", json!(stack))
    }

    /// With a number.
    #[must_use]
    pub fn measure(mut self, metric: Metric, value: f64) -> Self {
        let named = self.metrics.entry(metric.dimensions()).or_default();
        named.push(metric);
        self.with(metric.into(), json!(value))
    }

    /// With a dimension's value, or something that is only for the log.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Writes it to the log.
    pub fn write(self) {
        println!("{}", self.json());
    }

    /// As JSON.
    ///
    /// # Panics
    /// When a metric's dimension has no value: CloudWatch would drop the number without a word.
    #[must_use]
    pub fn json(self) -> Value {
        let directives: Vec<_> = self
            .metrics
            .iter()
            .map(|(dimensions, metrics)| {
                for dimension in *dimensions {
                    assert!(
                        self.fields.get(*dimension).is_some_and(Value::is_string),
                        "{metrics:?} have no {dimension}"
                    );
                }
                let metrics: Vec<_> = metrics
                    .iter()
                    .map(|metric| json!({"Name": metric.to_string(), "Unit": metric.unit()}))
                    .collect();
                json!({"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics})
            })
            .collect();
        let mut line = self.fields;
        line.insert(
            "_aws".into(),
            json!({"Timestamp": self.at.timestamp_millis(), "CloudWatchMetrics": directives}),
        );
        Value::Object(line)
    }
}

/// Writes that all traffic of an application is on blue by now, because of what happened at `asked`. The
/// one place that asks this function's own clock: the number decides nothing.
pub fn time_to_blue(application: &Application, asked: Timestamp) {
    let passed = Timestamp::from(SystemTime::now()) - asked;
    Line::new(asked)
        .with("Application", json!(application))
        .measure(
            Metric::TimeToBlue,
            passed.as_seconds_f64().max(0.0) * 1000.0,
        )
        .write();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_one_directive_per_dimension_set() {
        let at = "2026-11-20T12:00:00Z".parse().unwrap();
        let line = Line::new(at)
            .with("Application", json!("chat"))
            .with("Outcome", json!("Promoted"))
            .measure(Metric::GreenWeight, 100.0)
            .measure(Metric::TimeToBlue, 250.0)
            .measure(Metric::Releases, 1.0)
            .json();
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 2);
        for directive in directives {
            assert_eq!(directive["Namespace"], NAMESPACE);
            for metric in directive["Metrics"].as_array().unwrap() {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{line}");
            }
            for dimension in directive["Dimensions"][0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
            }
        }
        assert_eq!(line["_aws"]["Timestamp"], 1_795_176_000_000_i64);
    }

    #[test]
    #[should_panic(expected = "no Application")]
    fn drops_values_without_their_dimension() {
        let at = "2026-11-20T12:00:00Z".parse().unwrap();
        let _ = Line::new(at).measure(Metric::GreenWeight, 1.0).json();
    }
}
