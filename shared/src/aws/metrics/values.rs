//! Metrics whose value is held to a ceiling.

use std::{collections::BTreeMap, ops::Range};

use aws_sdk_cloudwatch::types::MetricDataResult;

use super::{Metrics, PERIOD, asking, points};
use crate::{
    domain::analysis::{judge::Watch, series::Valued},
    error::Error,
};

impl Metrics {
    /// What each of `valued` was, a point a minute, from the minute that `watch` begins with to the newest that has
    /// settled, oldest first, in the order given.
    pub async fn values(
        &self,
        valued: &[&Valued],
        watch: Watch,
    ) -> Result<Vec<Vec<(i64, f64)>>, Error> {
        let queries = valued.iter().enumerate().map(|(index, one)| {
            let metric = (&*one.namespace, &*one.name, &*one.dimensions);
            asking((index, 0), metric, &one.statistic, PERIOD)
        });
        let within = watch.from..watch.through + i64::from(PERIOD);
        let answers = self
            .read(&queries.collect::<Vec<_>>(), within.clone())
            .await?;
        values_of(valued.len(), &answers, within)
    }
}

/// What `answers` say that each of so many metrics was, oldest first. What is no number is no value.
///
/// # Errors
/// [`Error::Transient`] when CloudWatch could not answer one of the queries.
fn values_of(
    count: usize,
    answers: &[MetricDataResult],
    within: Range<i64>,
) -> Result<Vec<Vec<(i64, f64)>>, Error> {
    let mut values: Vec<BTreeMap<i64, f64>> = vec![BTreeMap::new(); count];
    points(answers, &within, |(index, _), start, value| {
        if let Some(values) = values.get_mut(index).filter(|_| value.is_finite()) {
            values.insert(start, value);
        }
    })?;
    let all = values.into_iter();
    Ok(all.map(|one| one.into_iter().collect()).collect())
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::types::StatusCode;

    use super::{super::tests::answer, *};

    #[test]
    fn reads_each_metric_by_its_place_oldest_first() {
        let answers = [
            answer("t1k0", &[(120, 4.5), (60, -1.0), (180, 9.0), (0, 9.0)]),
            answer("t0k0", &[(60, f64::NAN), (120, f64::INFINITY)]),
            answer("t9k0", &[(60, 1.0)]),
        ];
        let values = values_of(2, &answers, 60..180).unwrap();
        assert_eq!(values, [vec![], vec![(60, -1.0), (120, 4.5)]]);
    }

    #[test]
    fn requests_what_could_not_be_answered_again() {
        let mut failed = answer("t0k0", &[]);
        failed.status_code = Some(StatusCode::InternalError);
        let error = values_of(1, &[failed], 60..180).unwrap_err();
        assert_eq!(error.name(), "Transient");
    }
}
