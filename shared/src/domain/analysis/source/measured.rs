//! What was read of a source, and what it means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gauge, Kind, Source};
use crate::domain::analysis::{
    Analysis,
    counts::{BluePast, Counts, FunctionSeries, Minute, silent_minutes},
    judge::Watch,
    series::Counting,
    verdict::Verdict,
};

/// The newest minutes that a share is taken over, at most.
const RECENT: usize = 5;

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
                "CloudWatch counted {all} requests {whose} in this step and does not separate the versions, so green \
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
        let shown = format!(
            "{bad} of {requests} requests {whose} were bad ({share:.2} %) in the last {over} settled minutes"
        );
        if share <= max {
            let why = format!("{shown}, within the ceiling of {max} %");
            return self.found(Verdict::Healthy, "enoughSeen", &why);
        }
        let beside = match of {
            Of::Both => "; which version's they are is not known, so this may not be green's fault",
            Of::Green => "",
        };
        self.over(&format!("{shown}, over the ceiling of {max} %{beside}"))
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
