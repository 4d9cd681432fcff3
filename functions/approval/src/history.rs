//! What has happened since the release began, in slices of time that a chart and a table can show.

use chrono::TimeDelta;
use crossfade::domain::{
    Timestamp,
    analysis::counts::{Counts, Minute},
    step_record::StepRecord,
    weight::Weight,
};

/// The most slices: more cannot be distinguished on a phone.
const SLICES: i64 = 30;

/// How long a slice may be, minutes: what divides hours and days.
const LENGTHS: [i64; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440];

/// The longest that is looked back, seconds: CloudWatch keeps minutes for 15 days.
const LONGEST: TimeDelta = TimeDelta::days(14);

/// What one version did, and the other, in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Both {
    pub(crate) blue: Counts,
    pub(crate) green: Counts,
}

impl Both {
    fn plus(self, minute: &Minute) -> Self {
        Self {
            blue: self.blue.plus(minute.blue),
            green: self.green.plus(minute.green),
        }
    }
}

/// A slice of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slice {
    /// When it begins.
    pub(crate) start: Timestamp,
    /// Green's weight at its end.
    pub(crate) weight: Weight,
    /// What was counted; none where it is not known.
    pub(crate) counts: Option<Both>,
}

/// The release so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct History {
    /// When it begins.
    pub(crate) from: Timestamp,
    /// When it ends: now.
    pub(crate) to: Timestamp,
    /// Green's weights and since when, the first of them 0 at the beginning.
    pub(crate) weights: Vec<(Timestamp, Weight)>,
    /// How long a slice is, minutes.
    pub(crate) slice_minutes: i64,
    /// In order, without gaps.
    pub(crate) slices: Vec<Slice>,
    /// All together; none where it is not known.
    pub(crate) counts: Option<Both>,
}

/// The first moment that is looked at.
pub(crate) fn beginning(began_at: Timestamp, now: Timestamp) -> Timestamp {
    let longest = now.checked_sub_signed(LONGEST).unwrap_or(now);
    began_at.max(longest).min(now)
}

/// The last moment that is looked at: some minutes after the end show what became of it.
pub(crate) fn until(ended_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let after = ended_at.and_then(|at| at.checked_add_signed(TimeDelta::minutes(3)));
    after.map_or(now, |after| after.min(now))
}

impl History {
    /// From what was shifted and what was counted; the latter none where it could not be read. `in_the_end` is the weight
    /// at the end, where there was one.
    pub(crate) fn of(
        began_at: Timestamp,
        now: Timestamp,
        steps: &[StepRecord],
        in_the_end: Option<(Timestamp, Weight)>,
        series: Option<&[Vec<Minute>]>,
    ) -> Self {
        let from = beginning(began_at, now);
        let mut weights = vec![(from, Weight::ZERO)];
        for step in steps {
            let since = step.in_force_at.unwrap_or(step.started_at);
            weights.push((since.clamp(from, now), step.weight));
        }
        weights.extend(in_the_end.map(|(at, weight)| (at.clamp(from, now), weight)));
        let length =
            |minutes: i64| (now.timestamp() / 60 / minutes) - (from.timestamp() / 60 / minutes) + 1;
        let slice_minutes = LENGTHS
            .into_iter()
            .find(|minutes| length(*minutes) <= SLICES)
            .unwrap_or(LENGTHS[LENGTHS.len() - 1]);
        let seconds = slice_minutes * 60;
        let first = from.timestamp() - from.timestamp().rem_euclid(seconds);
        let slices = (0..length(slice_minutes))
            .filter_map(|nth| {
                let start = first + nth * seconds;
                let within = start..start + seconds;
                let weight = weights
                    .iter()
                    .rfind(|(since, _)| since.timestamp() < within.end)
                    .map_or(Weight::ZERO, |(_, weight)| *weight);
                Some(Slice {
                    start: Timestamp::from_timestamp(start, 0)?,
                    weight,
                    counts: series.map(|series| {
                        let minutes = series.iter().flatten();
                        minutes
                            .filter(|minute| within.contains(&minute.start))
                            .fold(Both::default(), Both::plus)
                    }),
                })
            })
            .collect();
        Self {
            from,
            to: now,
            weights,
            slice_minutes,
            slices,
            counts: series.map(|series| series.iter().flatten().fold(Both::default(), Both::plus)),
        }
    }
}

/// Errors of all requests, percent; none without requests.
pub(crate) fn error_percent(counts: Counts) -> Option<f64> {
    share(counts.errors, counts)
}

/// Slow ones of all requests, percent; none without requests.
pub(crate) fn slow_percent(counts: Counts) -> Option<f64> {
    share(counts.slow, counts)
}

#[allow(clippy::cast_precision_loss)] // Far more requests than there are would be needed.
fn share(of: u64, counts: Counts) -> Option<f64> {
    (counts.invocations > 0).then(|| 100.0 * of as f64 / counts.invocations as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        // A whole day.
        Timestamp::from_timestamp(1_789_948_800 + seconds, 0).unwrap()
    }

    fn step(weight: u8, seconds: i64) -> StepRecord {
        StepRecord {
            weight: Weight::try_from(weight).unwrap(),
            started_at: at(seconds),
            in_force_at: None,
            ended_at: None,
            verdict: None,
        }
    }

    fn minute(nth: i64, green: u64, errors: u64) -> Minute {
        Minute {
            start: at(nth * 60).timestamp(),
            blue: Counts {
                invocations: 100,
                errors: 1,
                ..Counts::default()
            },
            green: Counts {
                invocations: green,
                errors,
                ..Counts::default()
            },
            green_p99_ms: None,
        }
    }

    #[test]
    fn minutes_become_slices_that_can_be_told_apart() {
        let minutes: Vec<_> = (0..90)
            .map(|nth| minute(nth, 10, u64::from(nth % 2 == 1)))
            .collect();
        let all = [minutes.clone(), minutes];
        let steps = [step(10, 60), step(50, 3600)];
        let history = History::of(at(0), at(5399), &steps, None, Some(&all));
        assert_eq!((history.slice_minutes, history.slices.len()), (5, 18));
        let first = history.slices[0];
        assert_eq!(first.start, at(0));
        assert_eq!(first.weight.whole(), Some(10));
        assert_eq!(first.counts.unwrap().green.invocations, 2 * 5 * 10);
        assert_eq!(history.slices[12].weight.whole(), Some(50));
        let sum: u64 = history
            .slices
            .iter()
            .map(|s| s.counts.unwrap().green.errors)
            .sum();
        assert_eq!(sum, 2 * 45);
        assert_eq!(history.counts.unwrap().green.errors, sum);
        assert_eq!(history.counts.unwrap().blue.invocations, 2 * 90 * 100);
        assert_eq!(history.weights[0], (at(0), Weight::ZERO));
    }

    #[test]
    fn bounds_the_number_of_points() {
        for seconds in [0, 1, 59, 60, 600, 7200, 86_400, 604_800, 10_000_000] {
            let history = History::of(at(0), at(seconds), &[step(10, 0)], None, None);
            let count = i64::try_from(history.slices.len()).unwrap();
            assert!((1..=SLICES).contains(&count), "{seconds}: {count}");
            assert_eq!(history.counts, None);
            assert!(history.slices.iter().all(|slice| slice.counts.is_none()));
            let last = history.slices.last().unwrap().start;
            assert!(
                last <= history.to && history.to < last + TimeDelta::minutes(history.slice_minutes)
            );
            assert!(
                history
                    .weights
                    .iter()
                    .all(|(since, _)| *since >= history.from)
            );
        }
        // A clock that is behind.
        assert_eq!(History::of(at(60), at(0), &[], None, None).slices.len(), 1);
    }

    #[test]
    fn computes_no_rate_without_requests() {
        assert_eq!(error_percent(Counts::default()), None);
        let counts = Counts {
            invocations: 400,
            errors: 1,
            ..Counts::default()
        };
        assert_eq!(error_percent(counts), Some(0.25));
    }
}
