//! What green is judged by beside Lambda's own counts: the responses that callers get, and the team's own metrics.
//!
//! A source that counts by version is one more series of the judge, compared as errors are. Any
//! other one is held to a ceiling. Without data both are inconclusive.

mod measured;

pub use self::measured::{Found, Means, Measured};
use crate::domain::{
    analysis::{
        Analysis,
        responses::{HttpApi, OwnMetric, Responses, RestApi},
        series::{Counted, Dimensions, OwnNames, Publisher, Valued, dimensions},
    },
    names::FunctionName,
    target::Target,
};

/// One thing that a release is judged by beside its functions' own counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name in the evidence.
    pub name: String,
    /// The request's field that requests it, such as `analysis.metrics[0]`.
    pub path: String,
    /// The function whose versions it counts; none where that is not known.
    pub function: Option<FunctionName>,
    /// Which kind it is.
    pub kind: Kind,
    /// How it is read.
    pub gauge: Gauge,
    /// The ceiling of its own: a share in percent, or a value.
    pub max: Option<f64>,
}

/// Which field of the request requests a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `analysis.responses`.
    Responses,
    /// `analysis.metrics`.
    Metric,
}

impl Kind {
    /// Returns what decided where green was worse than blue, in the evidence's word.
    #[must_use]
    pub fn test(self) -> &'static str {
        match self {
            Self::Responses => "responseTest",
            Self::Metric => "metricTest",
        }
    }

    /// Returns what decided where a ceiling is exceeded, in the evidence's word.
    #[must_use]
    pub fn ceiling(self) -> &'static str {
        match self {
            Self::Responses => "responseCeiling",
            Self::Metric => "metricCeiling",
        }
    }
}

/// How a source is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Gauge {
    /// Counts of both versions, each by itself.
    ByVersion {
        /// The counts of each.
        each: Counted,
        /// The counts of both together, for where CloudWatch does not separate them.
        together: Option<Counted>,
    },
    /// Counts of both versions together, which stand where green's would.
    Together(Counted),
    /// One value.
    Value(Valued),
}

impl Analysis {
    /// Returns what a release of `targets` is judged by beside its functions' own counts. What counts versions of
    /// another function is left out: that one does not move.
    #[must_use]
    pub fn sources(&self, targets: &[Target]) -> Vec<Source> {
        let responses = self.responses.iter().enumerate();
        let responses =
            responses.filter_map(|(index, one)| Source::of_responses(index, one, targets));
        let metrics = self.metrics.iter().enumerate();
        let metrics = metrics.filter_map(|(index, one)| Source::of_metric(index, one, targets));
        responses.chain(metrics).collect()
    }
}

impl Source {
    fn of_responses(index: usize, asked: &Responses, targets: &[Target]) -> Option<Self> {
        let mut function = None;
        let name = asked.to_string();
        let together = |publisher, of: Dimensions| {
            Gauge::Together(Counted {
                name: name.clone(),
                publisher,
                blue: None,
                past: Some(of.clone()),
                green: of,
            })
        };
        let gauge = match asked {
            Responses::FunctionUrl(url) => {
                let target = targets.iter().find(|one| one.function_name == *url)?;
                function = Some(url.clone());
                let each = Counted {
                    name: name.clone(),
                    publisher: Publisher::FunctionUrl,
                    ..target.counted()
                };
                // By version where one alias serves both. That CloudWatch has `ExecutedVersion` of URLs is documented,
                // and not with which other dimensions
                // (<https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html>).
                let both = each
                    .past
                    .clone()
                    .filter(|past| each.blue.as_ref() != Some(past));
                let together = both.map(|both| Counted {
                    blue: None,
                    green: both,
                    ..each.clone()
                });
                Gauge::ByVersion { each, together }
            }
            Responses::RestApi(RestApi { api_name, stage }) => together(
                Publisher::RestApi,
                dimensions([("ApiName", api_name.clone()), ("Stage", stage.clone())]),
            ),
            Responses::HttpApi(HttpApi { api_id, stage }) => together(
                Publisher::HttpApi,
                dimensions([("ApiId", api_id.clone()), ("Stage", stage.clone())]),
            ),
            Responses::LoadBalancer(load_balancer) => together(
                Publisher::LoadBalancer,
                dimensions([("LoadBalancer", load_balancer.to_string())]),
            ),
        };
        Some(Self {
            name,
            path: format!("analysis.responses[{index}]"),
            function,
            kind: Kind::Responses,
            gauge,
            max: None,
        })
    }

    fn of_metric(index: usize, asked: &OwnMetric, targets: &[Target]) -> Option<Self> {
        let by_version = asked.is_by_version();
        let target = match &asked.function_name {
            Some(name) => targets.iter().find(|one| one.function_name == *name),
            None => targets.first(),
        };
        let target = target.filter(|_| by_version);
        if by_version && target.is_none() {
            return None;
        }
        let of = |version: &str| -> Dimensions {
            let each = asked.dimensions.iter();
            let each = each.map(|(name, value)| (name.to_string().into(), value.of(version)));
            each.collect()
        };
        let green = of(target.map_or("", |one| one.green_version.as_ref()));
        let blue = target
            .and_then(|one| one.blue_version.as_ref())
            .map(|version| of(version.as_ref()));
        let name = asked.to_string();
        let namespace = asked.namespace.to_string();
        let gauge = match &asked.of {
            None => Gauge::Value(Valued {
                namespace,
                name: asked.name.to_string(),
                dimensions: green,
                statistic: asked
                    .statistic
                    .as_ref()
                    .map_or("Sum", AsRef::as_ref)
                    .to_owned(),
            }),
            Some(all) => {
                let each = Counted {
                    name: name.clone(),
                    publisher: Publisher::Own(OwnNames {
                        namespace,
                        all: all.to_string(),
                        bad: asked.name.to_string(),
                    }),
                    past: if by_version {
                        blue.clone()
                    } else {
                        Some(green.clone())
                    },
                    blue,
                    green,
                };
                if by_version {
                    Gauge::ByVersion {
                        each,
                        together: None,
                    }
                } else {
                    Gauge::Together(each)
                }
            }
        };
        Some(Self {
            name,
            path: format!("analysis.metrics[{index}]"),
            function: target.map(|one| one.function_name.clone()),
            kind: Kind::Metric,
            gauge,
            max: asked.max,
        })
    }

    /// Returns what is counted of it, in the order in which [`Measured::of`] takes the answers.
    #[must_use]
    pub fn counted(&self) -> Vec<&Counted> {
        match &self.gauge {
            Gauge::ByVersion { each, together } => std::iter::once(each).chain(together).collect(),
            Gauge::Together(both) => vec![both],
            Gauge::Value(_) => Vec::new(),
        }
    }

    /// Returns the metric whose value is read.
    #[must_use]
    pub fn valued(&self) -> Option<&Valued> {
        match &self.gauge {
            Gauge::Value(valued) => Some(valued),
            Gauge::ByVersion { .. } | Gauge::Together(_) => None,
        }
    }
}

/// What CloudWatch has of a source before a release.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// The source.
    pub source: Source,
    /// The requests that it counted of blue in the last seven days, and the bad ones among them; none where it counts
    /// none, or there is no blue.
    pub counts: Option<(u64, u64)>,
    /// How many values it had in the last day; none where it counts requests.
    pub values: Option<usize>,
}

impl Before {
    /// Returns what is there, in words.
    #[must_use]
    pub fn told(&self) -> String {
        let name = &self.source.name;
        match (self.counts, self.values) {
            (Some((0, _)), _) => format!("{name}: no data of the last seven days"),
            (Some((requests, bad)), _) => {
                format!("{name}: {requests} requests in the last seven days, {bad} of them bad")
            }
            (None, Some(0)) => format!("{name}: no data of the last day"),
            (None, Some(values)) => format!("{name}: data in {values} minutes of the last day"),
            (None, None) => format!("{name}: nothing was asked"),
        }
    }

    /// Returns a warning where there is no data.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let none = matches!(
            (self.counts, self.values),
            (Some((0, _)), _) | (None, Some(0))
        );
        none.then(|| format!("{}; as long as that is so, no bake passes", self.told()))
    }
}

#[cfg(test)]
mod tests;
