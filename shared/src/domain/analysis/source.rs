//! What green is judged by beside Lambda's own counts: the responses that callers get, and the team's own metrics.
//!
//! Where a source tells the versions apart it is one more series of the judge, compared as errors are. Where it does
//! not, it is held to a ceiling. Either way, what has no data is inconclusive.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    analysis::{
        Analysis,
        counts::{BluePast, Counts, FunctionSeries, Minute, silent_minutes},
        judge::Watch,
        responses::{HttpApi, OwnMetric, Responses, RestApi},
        series::{Counted, Counting, Dimensions, OwnNames, Publisher, Valued, dimensions},
        verdict::Verdict,
    },
    names::FunctionName,
    target::Target,
};

/// The newest minutes that a share is taken over, at most.
const RECENT: usize = 5;

/// One thing that a release is judged by beside its functions' own counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name in the evidence.
    pub name: String,
    /// The request's field that asks for it, such as `analysis.metrics[0]`.
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

/// Which field of the request asks for a source.
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
        /// The counts of both together, for where CloudWatch does not tell them apart.
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

    /// Returns what people should know, where there is no data.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let none = matches!(
            (self.counts, self.values),
            (Some((0, _)), _) | (None, Some(0))
        );
        none.then(|| format!("{}; as long as that is so, no bake passes", self.told()))
    }
}

/// What a look has read of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The source.
    pub source: Source,
    /// Its counts: each version's, or both together where those are all there is.
    pub counts: Counting,
    /// The counts of both versions together, beside each one's.
    pub together: Counting,
    /// Its values with their minutes, seconds since 1970 (UTC), oldest first.
    pub values: Vec<(i64, f64)>,
    /// What blue showed before the release.
    pub past: Option<BluePast>,
}

/// What was measured means.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    /// The judge compares it.
    Compared(FunctionSeries),
    /// It was held to its ceiling, or could not be.
    Found(Found),
}

/// What was found of a source that is not compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SourceFound")]
pub struct Found {
    /// Its name.
    pub source: String,
    /// What it means.
    pub verdict: Verdict,
    /// Why, in numbers.
    pub reason: String,
    /// What decided: `responseCeiling`, `metricCeiling`, `tooFewRequests` or `noData`.
    pub decided_by: String,
}

impl Measured {
    /// Takes what was read of `source` from answers in the order of [`Source::counted`] and [`Source::valued`].
    pub fn of(
        source: Source,
        past: Option<BluePast>,
        counts: &mut impl Iterator<Item = Counting>,
        values: &mut impl Iterator<Item = Vec<(i64, f64)>>,
    ) -> Self {
        let counted = source.counted().len();
        let mut next = |nth: usize| {
            let read = (nth < counted).then(|| counts.next());
            read.flatten().unwrap_or_default()
        };
        let (counts, together) = (next(0), next(1));
        let values = source.valued().and_then(|_| values.next());
        Self {
            counts,
            together,
            values: values.unwrap_or_default(),
            past,
            source,
        }
    }

    /// Leaves out the minutes that are not judged.
    pub fn retain(&mut self, is_judged: impl Fn(i64) -> bool) {
        for read in [&mut self.counts, &mut self.together] {
            read.minutes.retain(|minute| is_judged(minute.start));
        }
        self.values.retain(|(start, _)| is_judged(*start));
    }

    /// Returns what it means: at most one series that the judge compares, and what was found beside it.
    #[must_use]
    pub fn means(&self, analysis: &Analysis, watch: Watch) -> Vec<Means> {
        let found = |found| vec![Means::Found(found)];
        match &self.source.gauge {
            Gauge::Value(_) => found(self.held_to_value(watch)),
            Gauge::Together(_) => {
                let max = self.source.max.or(analysis.max_error_rate_percent);
                found(self.held_to(Of::Both, max, analysis, watch))
            }
            Gauge::ByVersion { together, .. } => {
                if !self.counts.minutes.iter().any(is_counted) {
                    let both = together.is_some() && self.together.minutes.iter().any(is_counted);
                    return found(if both {
                        let max = analysis.max_error_rate_percent;
                        self.held_to(Of::Both, max, analysis, watch)
                    } else {
                        self.no_data("of either version since the release began")
                    });
                }
                if !self.tells_bad() {
                    return found(self.no_bad());
                }
                let series = Means::Compared(FunctionSeries {
                    function: self.source.name.clone(),
                    minutes: self.counts.minutes.clone(),
                    is_new: false,
                    past: self.past,
                });
                // What `maxErrorRatePercent` says holds for every series of the judge.
                let ceiling = self
                    .source
                    .max
                    .map(|max| Means::Found(self.held_to(Of::Green, Some(max), analysis, watch)));
                std::iter::once(series).chain(ceiling).collect()
            }
        }
    }

    /// Whether the count of bad ones is known to count. AWS's names are known to be right; a name of the team's own
    /// that never had any data may be misspelt.
    fn tells_bad(&self) -> bool {
        self.source.kind == Kind::Responses
            || self.counts.tells_bad
            || self.past.is_some_and(|past| past.errors.hits > 0)
    }

    fn no_data(&self, of: &str) -> Found {
        self.found(
            Verdict::Inconclusive,
            "noData",
            &format!("no data {of}; what has no data is no pass"),
        )
    }

    fn no_bad(&self) -> Found {
        let why = "the metric of the bad ones has never had any data, not even a zero, so it is not known to count; \
                   see that its name is right, and publish zeros";
        self.found(Verdict::Inconclusive, "noData", why)
    }

    fn found(&self, verdict: Verdict, decided_by: &str, why: &str) -> Found {
        Found {
            source: self.source.name.clone(),
            verdict,
            reason: format!("{}: {why}", self.source.name),
            decided_by: decided_by.to_owned(),
        }
    }

    fn over(&self, why: &str) -> Found {
        self.found(Verdict::Unhealthy, self.source.kind.ceiling(), why)
    }

    /// Holds the share of bad ones, over the newest minutes of the step that hold enough requests, to `max` percent.
    fn held_to(&self, of: Of, max: Option<f64>, analysis: &Analysis, watch: Watch) -> Found {
        let (minutes, whose) = match (of, &self.source.gauge) {
            (Of::Green, _) => (&self.counts.minutes, "of green"),
            (Of::Both, Gauge::ByVersion { .. }) => {
                (&self.together.minutes, "of both versions together")
            }
            (Of::Both, _) => (&self.counts.minutes, "of both versions together"),
        };
        let seen: Vec<&Minute> = minutes
            .iter()
            .filter(|minute| minute.green.invocations > 0 && is_in_step(minute.start, watch))
            .collect();
        let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
            return self.no_data("in this step");
        };
        if !self.tells_bad() {
            return self.no_bad();
        }
        let sum = |sum: Counts, minute: &&Minute| sum.plus(minute.green);
        let all = seen.iter().fold(Counts::default(), sum).invocations;
        let Some(max) = max else {
            let why = format!(
                "CloudWatch counted {all} requests {whose} in this step and does not tell the versions apart, so green \
                 cannot be compared; give analysis.maxErrorRatePercent, which they are held to then"
            );
            return self.found(Verdict::Inconclusive, "noData", &why);
        };
        if let Some(silent) = silent_minutes((first.start, last.start), all, watch.through) {
            return self.no_data(&format!("for the newest {silent} settled minutes"));
        }
        let needed = u64::from(analysis.min_invocations);
        let (mut newest, mut over) = (Counts::default(), 0);
        for minute in seen.iter().rev().take(RECENT) {
            newest = newest.plus(minute.green);
            over += 1;
            if newest.invocations >= needed {
                break;
            }
        }
        let Counts {
            invocations: requests,
            errors: bad,
            ..
        } = newest;
        if requests < needed {
            let why = format!("{requests} requests {whose} in this step, {needed} are needed");
            return self.found(Verdict::Inconclusive, "tooFewRequests", &why);
        }
        let share = percent(bad, requests);
        let told = format!(
            "{bad} of {requests} requests {whose} were bad ({share:.2} %) in the last {over} settled minutes"
        );
        if share <= max {
            let why = format!("{told}, within the ceiling of {max} %");
            return self.found(Verdict::Healthy, "enoughSeen", &why);
        }
        let beside = match of {
            Of::Both => "; whose they are is not told apart, so this may not be green's fault",
            Of::Green => "",
        };
        self.over(&format!("{told}, over the ceiling of {max} %{beside}"))
    }

    /// Holds the value to the source's ceiling: over it in the two newest minutes of the step is over.
    fn held_to_value(&self, watch: Watch) -> Found {
        let max = self.source.max.unwrap_or(f64::INFINITY);
        let seen = self.values.iter();
        let seen: Vec<_> = seen
            .filter(|(start, _)| is_in_step(*start, watch))
            .collect();
        match seen.as_slice() {
            [] => self.no_data("in this step"),
            [.., (_, before), (_, newest)] if *before > max && *newest > max => {
                self.over(&format!(
                    "was {before} and {newest} in its two newest minutes, over the ceiling of {max}"
                ))
            }
            [.., (_, newest)] if *newest > max => {
                let why = format!(
                    "was {newest} in its newest minute, over the ceiling of {max}; one more such minute is over it for good"
                );
                self.found(Verdict::Inconclusive, "suspicion", &why)
            }
            [.., (_, newest)] => {
                let why = format!("was {newest} in its newest minute, within the ceiling of {max}");
                self.found(Verdict::Healthy, "enoughSeen", &why)
            }
        }
    }
}

/// Whose counts are held to a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Green,
    Both,
}

fn is_counted(minute: &Minute) -> bool {
    minute.green.invocations > 0 || minute.blue.invocations > 0
}

fn is_in_step(start: i64, watch: Watch) -> bool {
    (watch.from..=watch.through).contains(&start)
}

#[allow(clippy::cast_precision_loss)] // Counts above 2^53 do not occur.
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests;
