//! Whether failures are counted from the functions' logs too, as they come.

use std::borrow::Cow;

use deserr::{Deserr, IntoValue, Map as _, Value as Input, ValuePointerRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::domain::names::{NameError, ensure, ensure_length};
use crate::parse::bounds::{shown, text, unexpected};
use crate::parse::problem::Problems;

/// The longest pattern of a team's own, characters.
pub const LONGEST_PATTERN: usize = 200;

crate::parse::carried!(LiveErrors);

/// Whether a release is rolled back by failures in the functions' logs, seconds after they happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LiveErrors {
    /// By what Lambda and its runtimes log of failures, where the stack listens (parameter `LiveErrors`).
    #[default]
    On,
    /// Not at all.
    Off,
    /// The same, and by lines that a pattern of the team's own matches.
    Pattern(String),
}

impl LiveErrors {
    /// Whether it says nothing that is not so anyway.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::On
    }

    /// Returns the team's own pattern, where there is one.
    #[must_use]
    pub fn pattern(&self) -> Option<&str> {
        match self {
            Self::Pattern(pattern) => Some(pattern),
            Self::On | Self::Off => None,
        }
    }
}

impl Serialize for LiveErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On => serializer.serialize_str("on"),
            Self::Off => serializer.serialize_str("off"),
            Self::Pattern(pattern) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("pattern", pattern)?;
                map.end()
            }
        }
    }
}

impl Deserr<Problems> for LiveErrors {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        let wrong = |value: &Input<V>| {
            let shown = shown(value);
            let message = format!(r#"must be "on", "off" or {{"pattern": "…"}}, not {shown}"#);
            unexpected(&message, location)
        };
        match value {
            Input::String(word) if word == "on" => Ok(Self::On),
            Input::String(word) if word == "off" => Ok(Self::Off),
            Input::Map(mut fields) => match fields.remove("pattern") {
                Some(own) if fields.is_empty() => {
                    text(own.into_value(), location.push_key("pattern"), checked).map(Self::Pattern)
                }
                _ => Err(wrong(&Input::Map(fields))),
            },
            other => Err(wrong(&other)),
        }
    }
}

/// Checks a pattern as far as that can be done without its log format: it stands among others.
fn checked(pattern: String) -> Result<String, NameError> {
    ensure_length(&pattern, LONGEST_PATTERN)?;
    let is_plain = |c: char| (' '..='~').contains(&c) && !matches!(c, '{' | '}' | '%' | '\\');
    ensure(pattern.chars().all(is_plain), || {
        r"must be printable ASCII without { } % and \".to_owned()
    })?;
    let mut open = 0i32;
    let balanced = pattern.chars().all(|c| {
        open += i32::from(c == '(') - i32::from(c == ')');
        open >= 0
    });
    let is_condition = pattern.starts_with(['$', '(']);
    ensure(!is_condition || (balanced && open == 0), || {
        "must have as many closing parentheses as opening ones".to_owned()
    })?;
    Ok(pattern)
}

impl JsonSchema for LiveErrors {
    fn schema_name() -> Cow<'static, str> {
        "LiveErrors".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "string", "enum": ["on", "off"]},
                {
                    "type": "object",
                    "properties": {"pattern": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": LONGEST_PATTERN,
                        "description": "Lines that mean failure too, 1 to 200 characters: where the function logs JSON a \
                            condition of CloudWatch Logs such as `$.status >= 500`, where it logs text a text that they have in them."
                    }},
                    "required": ["pattern"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<LiveErrors, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn is_written_as_it_is_read() {
        for value in [
            json!("on"),
            json!("off"),
            json!({"pattern": "$.status >= 500"}),
            json!({"pattern": "($.a = 1) || ($.b = 2)"}),
            json!({"pattern": "status=\"500\" :)"}),
        ] {
            assert_eq!(json!(read(value.clone()).unwrap()), value);
        }
    }

    #[test]
    fn refuses_what_it_cannot_put_among_its_own() {
        for value in [
            json!("yes"),
            json!(true),
            json!({}),
            json!({"pattern": ""}),
            json!({"pattern": "a".repeat(201)}),
            json!({"pattern": "{ $.a = 1 }"}),
            json!({"pattern": "%5..%"}),
            json!({"pattern": "a\nb"}),
            json!({"pattern": "$.a = 1) || ($.b = 2"}),
            json!({"pattern": "($.a = 1"}),
            json!({"pattern": "a", "more": 1}),
        ] {
            assert!(read(value.clone()).is_err(), "{value}");
        }
    }
}
