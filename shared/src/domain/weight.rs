//! A share of traffic.

use deserr::{DeserializeError, Deserr, IntoValue, Value, ValuePointerRef};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::parse::bounds::{shown, unexpected};

/// Percent of traffic on green, 0 to 100 in steps of 0.1. The rest is on blue.
///
/// Kept in tenths of a percent, so that no sum or comparison meets a binary fraction. In JSON a whole
/// percentage is an integer, as it was before there were tenths, and any other a number with one
/// decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(extend("type" = "number", "minimum" = 0, "maximum" = 100, "examples" = [10, 0.1]))]
pub struct Weight(#[schemars(with = "f64")] u16);

/// A number that is no share of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("{0} is not a weight; expected percent of traffic from 0 to 100 in steps of 0.1")]
pub struct WeightError(pub f64);

/// How far a number may be from a tenth and still be that tenth: what `0.1 + 0.2` is off by, and far
/// less than any request means.
const ARTEFACT: f64 = 1e-9;

impl Weight {
    /// Nothing on green.
    pub const ZERO: Self = Self(0);
    /// Everything on green.
    pub const FULL: Self = Self(1000);

    /// Returns the weight of so many tenths of a percent, or `None` for more than 1000.
    #[must_use]
    pub const fn of_tenths(tenths: u16) -> Option<Self> {
        if tenths <= Self::FULL.0 {
            Some(Self(tenths))
        } else {
            None
        }
    }

    /// Returns the share in tenths of a percent, 0 to 1000.
    #[must_use]
    pub const fn tenths(self) -> u16 {
        self.0
    }

    /// Returns the share as Lambda's alias API wants it: the double nearest to n/1000, which is written
    /// with three decimals at the most.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// Returns the share in percent, as the double nearest to it: it is written `10` or `0.1`.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// Returns what is left for blue.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(Self::FULL.0 - self.0)
    }

    /// Returns the percentage where it is a whole one.
    #[must_use]
    pub const fn whole(self) -> Option<u16> {
        if self.0.is_multiple_of(10) {
            Some(self.0 / 10)
        } else {
            None
        }
    }
}

impl TryFrom<u8> for Weight {
    type Error = WeightError;

    fn try_from(percent: u8) -> Result<Self, WeightError> {
        Self::of_tenths(u16::from(percent) * 10).ok_or(WeightError(percent.into()))
    }
}

impl TryFrom<f64> for Weight {
    type Error = WeightError;

    /// Reads a percentage. What floating-point arithmetic left of a tenth is that tenth.
    fn try_from(percent: f64) -> Result<Self, WeightError> {
        let tenths = (percent * 10.0).round();
        let is_one = (0.0..=f64::from(Self::FULL.0)).contains(&tenths)
            && (percent * 10.0 - tenths).abs() <= ARTEFACT;
        // Exact: a whole number within range, by the line above.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let found = is_one.then_some(Self(tenths as u16));
        found.ok_or(WeightError(percent))
    }
}

impl std::fmt::Display for Weight {
    /// Writes it as an operator reads it: `10 %`, `0.1 %`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.whole() {
            Some(percent) => serializer.serialize_u16(percent),
            None => serializer.serialize_f64(self.percent()),
        }
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        Self::try_from(percent).map_err(serde::de::Error::custom)
    }
}

/// Reads a weight within a range.
pub(super) fn read<E: DeserializeError, V: IntoValue>(
    range: std::ops::RangeInclusive<Weight>,
    value: &Value<V>,
    location: ValuePointerRef,
) -> Result<Weight, E> {
    let number = match value {
        Value::Integer(n) => u32::try_from(*n).ok().map(f64::from),
        Value::Float(f) => Some(*f),
        _ => None,
    };
    match number.map(Weight::try_from) {
        Some(Ok(weight)) if range.contains(&weight) => Ok(weight),
        _ => {
            let (least, most, shown) =
                (range.start().percent(), range.end().percent(), shown(value));
            let message =
                format!("must be a number from {least} to {most} in steps of 0.1, not {shown}");
            Err(unexpected(&message, location))
        }
    }
}

impl<E: DeserializeError> Deserr<E> for Weight {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        read(Self::ZERO..=Self::FULL, &value, location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Weight> {
        (0..=1000).map(|tenths| Weight::of_tenths(tenths).unwrap())
    }

    #[test]
    fn accepts_every_whole_percentage_and_no_more() {
        for percent in 0..=u8::MAX {
            match Weight::try_from(percent) {
                Ok(weight) => assert_eq!(weight.whole(), Some(percent.into())),
                Err(error) => assert!(percent > 100, "{error}"),
            }
        }
        assert_eq!(Weight::of_tenths(1001), None);
    }

    #[test]
    fn round_trips_every_tenth_through_json() {
        for weight in all() {
            let (whole, tenth) = (weight.tenths() / 10, weight.tenths() % 10);
            let literal = match tenth {
                0 => whole.to_string(),
                _ => format!("{whole}.{tenth}"),
            };
            let json = serde_json::to_string(&weight).unwrap();
            assert_eq!(json, literal);
            assert_eq!(serde_json::from_str::<Weight>(&json).unwrap(), weight);
            let value = serde_json::to_value(weight).unwrap();
            assert_eq!(serde_json::from_value::<Weight>(value).unwrap(), weight);
            assert_eq!(weight.to_string(), format!("{literal} %"));
            // Whole ones have always been integers, and some writers make none of them.
            let decimal = format!("{whole}.{tenth}");
            assert_eq!(serde_json::from_str::<Weight>(&decimal).unwrap(), weight);
        }
    }

    #[test]
    fn computes_exact_fractions() {
        for weight in all() {
            let tenths = weight.tenths();
            let literal: f64 = format!("{}.{:03}", tenths / 1000, tenths % 1000)
                .parse()
                .unwrap();
            assert_eq!(weight.fraction().to_bits(), literal.to_bits(), "{weight}");
        }
    }

    #[test]
    fn reads_what_arithmetic_left_of_a_tenth() {
        for weight in all() {
            let tenths = weight.tenths();
            let sum = (0..tenths).fold(0.0, |sum, _| sum + 0.1);
            assert_eq!(Weight::try_from(sum), Ok(weight), "{sum}");
            assert_eq!(weight.rest().tenths() + tenths, 1000);
        }
        let third = Weight::try_from(0.1 + 0.2).unwrap();
        assert_eq!(serde_json::to_string(&third).unwrap(), "0.3");
    }

    #[test]
    fn refuses_what_is_finer_outside_or_no_number() {
        for wrong in [
            "0.05",
            "0.01",
            "0.001",
            "10.25",
            "99.99",
            "99.95",
            "100.1",
            "101",
            "-0.1",
            "-1",
            "1e-5",
            "1e300",
            "\"10\"",
            "null",
            "4294967306",
            "65537",
            "[1]",
        ] {
            assert!(serde_json::from_str::<Weight>(wrong).is_err(), "{wrong}");
        }
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e-3] {
            assert!(Weight::try_from(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            serde_json::from_str::<Weight>("-0.0").unwrap(),
            Weight::ZERO
        );
    }
}
