//! Readers of bounded JSON values. A field keeps its plain type (`u32`, `Vec<_>`); how it is read
//! is one of these, so that the type, the range and the message that names them cannot drift apart.

use std::{borrow::Cow, convert::Infallible};

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, Map, Sequence, Value, ValuePointerRef,
    take_cf_content,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// How long an invocation may be seen to take, in milliseconds: as long as Lambda lets one run.
pub(crate) type Milliseconds = Whole<1, 900_000>;
/// How long a step is watched, in seconds: up to a day.
pub(crate) type BakeSeconds = Whole<0, 86_400>;
/// A status of HTTP.
pub(crate) type HttpStatus = Whole<100, 599>;

/// A whole number from `MIN` to `MAX`, both included.
///
/// `10.0` is read as `10`: JSON (and JSON Schema) make no difference, and JSONata and spreadsheets
/// write either.
#[derive(Clone, Copy, Debug)]
pub struct Whole<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> From<Whole<MIN, MAX>> for u32 {
    fn from(whole: Whole<MIN, MAX>) -> Self {
        whole.0
    }
}

impl<const MIN: u32, const MAX: u32> Whole<MIN, MAX> {
    /// The plain number of an optional field.
    #[must_use]
    pub fn optional(this: Option<Self>) -> Option<u32> {
        this.map(u32::from)
    }
}

impl<E: DeserializeError, const MIN: u32, const MAX: u32> Deserr<E> for Whole<MIN, MAX> {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        let number = match value {
            Value::Integer(n) => u32::try_from(n).ok(),
            Value::Float(f) => whole(f),
            _ => None,
        };
        match number {
            Some(n) if (MIN..=MAX).contains(&n) => Ok(Self(n)),
            _ => Err(unexpected(
                &format!(
                    "must be a whole number from {MIN} to {MAX}, not {}",
                    shown(&value)
                ),
                location,
            )),
        }
    }
}

/// A range in the JSON Schema is the range that is read.
impl<const MIN: u32, const MAX: u32> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Whole{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

/// The float as a whole number, when it is one that fits.
fn whole(float: f64) -> Option<u32> {
    let fits = float.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&float);
    // Exact: checked on the line above.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fits.then_some(float as u32)
}

/// A share in percent, `0` to `100`, with decimals.
#[derive(Clone, Copy, Debug)]
pub struct Percent(f64);

impl Percent {
    /// The plain number of an optional field.
    #[must_use]
    pub fn optional(this: Option<Self>) -> Option<f64> {
        this.map(|percent| percent.0)
    }
}

impl<E: DeserializeError> Deserr<E> for Percent {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        let number = match value {
            Value::Integer(n) => u32::try_from(n).ok().map(f64::from),
            Value::Float(f) => Some(f),
            _ => None,
        };
        match number {
            Some(n) if (0.0..=100.0).contains(&n) => Ok(Self(n)),
            _ => Err(unexpected(
                &format!(
                    "must be a number of percent from 0 to 100, not {}",
                    shown(&value)
                ),
                location,
            )),
        }
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0, "maximum": 100})
    }
}

/// A number with decimals. The bounds, both included, are in thousandths: a type cannot hold a
/// float.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<const MIN_MILLI: u32, const MAX_MILLI: u32>(f64);

impl<const MIN_MILLI: u32, const MAX_MILLI: u32> From<Decimal<MIN_MILLI, MAX_MILLI>> for f64 {
    fn from(decimal: Decimal<MIN_MILLI, MAX_MILLI>) -> Self {
        decimal.0
    }
}

impl<E: DeserializeError, const MIN_MILLI: u32, const MAX_MILLI: u32> Deserr<E>
    for Decimal<MIN_MILLI, MAX_MILLI>
{
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        let (min, max) = (f64::from(MIN_MILLI) / 1000.0, f64::from(MAX_MILLI) / 1000.0);
        let number = match value {
            Value::Integer(n) => u32::try_from(n).ok().map(f64::from),
            Value::Float(f) => Some(f),
            _ => None,
        };
        match number {
            Some(n) if (min..=max).contains(&n) => Ok(Self(n)),
            _ => Err(unexpected(
                &format!(
                    "must be a number from {min} to {max}, not {}",
                    shown(&value)
                ),
                location,
            )),
        }
    }
}

impl<const MIN_MILLI: u32, const MAX_MILLI: u32> JsonSchema for Decimal<MIN_MILLI, MAX_MILLI> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Decimal{MIN_MILLI}To{MAX_MILLI}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = |milli: u32| match milli % 1000 {
            0 => json!(milli / 1000),
            _ => json!(f64::from(milli) / 1000.0),
        };
        json_schema!({"type": "number", "minimum": number(MIN_MILLI), "maximum": number(MAX_MILLI)})
    }
}

/// A list of `MIN` to `MAX` items. A longer one is refused before its items are looked at.
#[derive(Clone, Debug)]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    /// The plain list.
    #[must_use]
    pub fn into_vec(this: Self) -> Vec<T> {
        this.0
    }
}

impl<E, T, const MIN: usize, const MAX: usize> Deserr<E> for List<T, MIN, MAX>
where
    E: DeserializeError,
    T: Deserr<E>,
{
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        if let Value::Sequence(items) = &value
            && (MIN..=MAX).contains(&items.len())
        {
            return Vec::deserialize_from_value(value, location).map(Self);
        }
        let message = format!(
            "must be a list of {MIN} to {MAX} items, not {}",
            shown(&value)
        );
        Err(unexpected(&message, location))
    }
}

/// Reads text and hands it to `check`, whose error becomes the message.
pub fn text<E, V, T, C>(
    value: Value<V>,
    location: ValuePointerRef,
    check: impl FnOnce(String) -> Result<T, C>,
) -> Result<T, E>
where
    E: DeserializeError,
    V: IntoValue,
    C: std::fmt::Display,
{
    let text = String::deserialize_from_value(value, location)?;
    check(text).map_err(|error| unexpected(&error.to_string(), location))
}

/// An error with a message of our own at `location`.
pub fn unexpected<E: DeserializeError>(message: &str, location: ValuePointerRef) -> E {
    let kind = ErrorKind::Unexpected {
        msg: message.to_owned(),
    };
    take_cf_content(E::error::<Infallible>(None, kind, location))
}

/// A value as an operator would name it in a sentence, never longer than a line.
pub fn shown<V: IntoValue>(value: &Value<V>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(b) => b.to_string(),
        Value::Integer(n) => n.to_string(),
        Value::NegativeInteger(n) => n.to_string(),
        Value::Float(f) => f.to_string(),
        Value::String(s) => quoted(s),
        Value::Sequence(items) if items.len() == 0 => "an empty list".to_owned(),
        Value::Sequence(items) => format!("a list of {}", items.len()),
        Value::Map(map) if map.len() == 0 => "an empty object".to_owned(),
        Value::Map(_) => "an object".to_owned(),
    }
}

/// Text in quotes, escaped and cut, so that a message stays one line whatever it quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
