//! Which weight was in force when.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::domain::{Timestamp, weight::Weight};

/// How long before it was written a weight is put in force: the clocks of two services differ.
pub const SKEW: TimeDelta = TimeDelta::seconds(2);

/// A weight, and since when it may have been in force: on record before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Since {
    /// Green's share, percent.
    pub weight: Weight,
    /// Since when, by Step Functions' clock.
    pub at: Timestamp,
}

/// Returns the weight in force at a moment, the largest that may have been; none where it is not known that green
/// had any.
#[must_use]
pub fn in_force(weights: &[Since], at: Timestamp) -> Option<Weight> {
    let begun = weights.iter().filter(|since| since.at - SKEW <= at);
    let weight = begun.map(|since| since.weight).max()?;
    (weight > Weight::ZERO).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_line_is_put_to_the_weight_of_its_beginning() {
        let at = |seconds: i64| Timestamp::from_timestamp(1_000 + seconds, 0).unwrap();
        let weight = |percent: f64| Weight::try_from(percent).unwrap();
        let weights = [
            Since {
                weight: weight(10.0),
                at: at(0),
            },
            Since {
                weight: weight(50.0),
                at: at(60),
            },
        ];
        assert_eq!(in_force(&weights, at(-3)), None);
        assert_eq!(in_force(&weights, at(-2)), Some(weight(10.0)));
        assert_eq!(in_force(&weights, at(57)), Some(weight(10.0)));
        assert_eq!(in_force(&weights, at(58)), Some(weight(50.0)));
        assert_eq!(in_force(&weights, at(5_000)), Some(weight(50.0)));
        assert_eq!(in_force(&[], at(0)), None);
        let none = [Since {
            weight: Weight::ZERO,
            at: at(0),
        }];
        assert_eq!(in_force(&none, at(1)), None);
    }
}
