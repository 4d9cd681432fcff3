//! A share of traffic.

use deserr::{DeserializeError, Deserr, IntoValue, Value, ValuePointerRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bounds::Whole;

/// Percent of traffic on green, `0` to `100`. The rest is on blue.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(extend("maximum" = 100))]
pub struct Weight(u8);

/// A number that is no share of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} is not a weight; use percent of traffic, 0 to 100")]
pub struct WeightError(pub u8);

impl Weight {
    /// Nothing on green.
    pub const ZERO: Self = Self(0);
    /// Everything on green.
    pub const FULL: Self = Self(100);

    /// The share as Lambda's alias API wants it: exactly the double nearest to n/100.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The share in percent.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Weight {
    type Error = WeightError;

    fn try_from(percent: u8) -> Result<Self, WeightError> {
        if percent <= Self::FULL.0 {
            Ok(Self(percent))
        } else {
            Err(WeightError(percent))
        }
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl std::fmt::Display for Weight {
    /// As a person reads it: `10 %`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl<E: DeserializeError> Deserr<E> for Weight {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        let percent = u32::from(Whole::<0, 100>::deserialize_from_value(value, location)?);
        // The reader above has the same bound, so the fallback is never taken.
        Ok(u8::try_from(percent).map_or(Self::FULL, Self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_u8_is_a_weight_or_refused() {
        for percent in 0..=u8::MAX {
            match Weight::try_from(percent) {
                Ok(weight) => assert_eq!(u8::from(weight), percent),
                Err(error) => assert!(percent > 100, "{error}"),
            }
        }
    }

    #[test]
    fn the_fraction_is_the_literal_one_would_write() {
        for percent in 0..=100 {
            let literal: f64 = format!("{}.{:02}", percent / 100, percent % 100)
                .parse()
                .unwrap();
            let fraction = Weight::try_from(percent).unwrap().fraction();
            assert_eq!(fraction.to_bits(), literal.to_bits(), "{percent}");
        }
    }

    #[test]
    fn serde_cannot_go_round_it() {
        assert!(serde_json::from_str::<Weight>("101").is_err());
        assert_eq!(serde_json::from_str::<Weight>("100").unwrap(), Weight::FULL);
        assert_eq!(serde_json::to_string(&Weight::ZERO).unwrap(), "0");
    }
}
