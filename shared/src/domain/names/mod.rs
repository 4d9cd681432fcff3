//! Names that AWS (or Crossfade) would accept. A value that exists is valid, and serde cannot go
//! round it. Each check says what would be right, because its message is what the user reads.

pub mod api;
pub mod cloudwatch;
pub mod derived;
pub mod locks;
pub mod resources;

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::parse::bounds::quoted;

/// Why a text is not the name it was meant to be, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NameError(String);

impl NameError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// The traits every name has: made by a check, read as text, shown as it is, the same in JSON.
macro_rules! name {
    ($name:ident, $check:path) => {
        impl TryFrom<String> for $name {
            type Error = $crate::domain::names::NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::names::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<E: deserr::DeserializeError> deserr::Deserr<E> for $name {
            fn deserialize_from_value<V: deserr::IntoValue>(
                value: deserr::Value<V>,
                location: deserr::ValuePointerRef,
            ) -> Result<Self, E> {
                $crate::parse::bounds::text(value, location, Self::try_from)
            }
        }
    };
}
pub(crate) use name;

/// The thing being released, in your words: 1 to 64 letters, digits, `.`, `_` and `-`, beginning
/// with a letter or digit. One release of an application runs at a time.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "examples" = ["chat"]))]
pub struct Application(String);
name!(Application, check_application);

/// A Lambda function's plain name: 1 to 64 letters, digits, `-` and `_`. Not an ARN, and without a
/// qualifier: the alias has a field of its own.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-zA-Z0-9_-]{1,64}$", "examples" = ["chat-assistant"]))]
pub struct FunctionName(String);
name!(FunctionName, check_function_name);

/// A function of yours that Crossfade calls: its plain name, or with one of its aliases or versions
/// behind a colon. Not an ARN.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[a-zA-Z0-9_-]{1,64}(:[a-zA-Z0-9_-]{1,128})?$",
    "examples" = ["chat-migrate", "chat-migrate:live"]
))]
pub struct Callee(String);
name!(Callee, check_callee);

impl Callee {
    /// The function's plain name.
    #[must_use]
    pub fn function(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The alias or the version, where one is named.
    #[must_use]
    pub fn qualifier(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, qualifier)| qualifier)
    }
}

/// The alias that callers use: 1 to 128 letters, digits, `-` and `_`, not digits alone (that would
/// be a version) and not `$LATEST`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
// Says "not digits alone" without look-ahead, which some schema tools lack.
#[schemars(extend(
    "pattern" = "^[a-zA-Z0-9_-]*[a-zA-Z_-][a-zA-Z0-9_-]*$",
    "minLength" = 1,
    "maxLength" = 128,
    "examples" = ["production"]
))]
pub struct AliasName(String);
name!(AliasName, check_alias_name);

/// A published version of a function, as text: `"1"`, `"42"`. Versions sort by number. Never
/// `$LATEST`, which is not a version but whatever was uploaded last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[1-9][0-9]{0,19}$", "examples" = ["42"]))]
pub struct Version(String);
name!(Version, check_version);

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros the longer number is the larger one, whatever its size.
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A CloudWatch alarm's name, of any kind: 1 to 255 characters, none of them a control
/// character. The name, not the ARN.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    "minLength" = 1,
    "maxLength" = 255,
    "not" = { "pattern": "^arn:" },
    "examples" = ["chat-5xx"]
))]
pub struct AlarmName(String);
name!(AlarmName, check_alarm_name);

fn check_application(text: &str) -> Result<(), NameError> {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let inside = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    ensure(begins && inside && text.len() <= 64, || {
        format!(
            "{} is not an application name; use 1 to 64 letters, digits, \".\", \"_\" and \"-\", \
             beginning with a letter or digit",
            quoted(text)
        )
    })
}

fn check_function_name(text: &str) -> Result<(), NameError> {
    if text.contains(':') {
        return Err(NameError(format!(
            "{} is an ARN or has a qualifier; give the function's plain name here, and the alias \
             in \"alias\"",
            quoted(text)
        )));
    }
    ensure(is_word(text) && text.len() <= 64, || {
        format!(
            "{} is not a function name; use 1 to 64 letters, digits, \"-\" and \"_\"",
            quoted(text)
        )
    })
}

fn check_callee(text: &str) -> Result<(), NameError> {
    let (name, qualifier) = match text.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (text, None),
    };
    let right = is_word(name)
        && name.len() <= 64
        && qualifier.is_none_or(|qualifier| is_word(qualifier) && qualifier.len() <= 128);
    ensure(right, || {
        format!(
            "{} is not a function to call; give its plain name, such as \"chat-migrate\", or with an alias or a \
             version, such as \"chat-migrate:live\"",
            quoted(text)
        )
    })
}

fn check_alias_name(text: &str) -> Result<(), NameError> {
    if text == "$LATEST" {
        return Err(NameError::new(
            "\"$LATEST\" is not an alias; name the alias that callers use, such as \"production\"",
        ));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameError(format!(
            "{} is a version, not an alias; name the alias that callers use, such as \"production\"",
            quoted(text)
        )));
    }
    ensure(is_word(text) && text.len() <= 128, || {
        format!(
            "{} is not an alias name; use 1 to 128 letters, digits, \"-\" and \"_\", at least one \
             of them not a digit",
            quoted(text)
        )
    })
}

fn check_version(text: &str) -> Result<(), NameError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = digits && !text.starts_with('0') && (1..=20).contains(&text.len());
    ensure(number, || {
        format!(
            "{} is not a published version; give its number as text, such as \"42\"",
            quoted(text)
        )
    })
}

fn check_alarm_name(text: &str) -> Result<(), NameError> {
    if text.starts_with("arn:") {
        return Err(NameError(format!(
            "{} is an ARN; give the alarm's name, the part after \":alarm:\"",
            quoted(text)
        )));
    }
    let length = text.chars().count();
    ensure(
        (1..=255).contains(&length) && !text.contains(char::is_control),
        || {
            format!(
                "{} is not an alarm name; use 1 to 255 characters and no control characters",
                quoted(text)
            )
        },
    )
}

/// Letters, digits, `-` and `_`, at least one.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Checks that an operator's text has 1 to `most` characters.
pub(crate) fn ensure_length(text: &str, most: usize) -> Result<(), NameError> {
    let count = text.chars().count();
    ensure((1..=most).contains(&count), || {
        format!("must be text of 1 to {most} characters, not {count}")
    })
}

pub(crate) fn ensure(right: bool, wrong: impl FnOnce() -> String) -> Result<(), NameError> {
    if right {
        Ok(())
    } else {
        Err(NameError(wrong()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::str::FromStr<Err = NameError> + std::fmt::Debug>(
        texts: &[&str],
        says: &str,
    ) {
        for text in texts {
            let error = text.parse::<T>().expect_err(text);
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn names_at_their_limits() {
        assert!("a".repeat(64).parse::<Application>().is_ok());
        assert!("A.b_c-9".parse::<Application>().is_ok());
        assert!("a".repeat(64).parse::<FunctionName>().is_ok());
        assert!("-_9".parse::<FunctionName>().is_ok());
        assert!("a".repeat(128).parse::<AliasName>().is_ok());
        assert!("42-live".parse::<AliasName>().is_ok());
        assert!("é".repeat(255).parse::<AlarmName>().is_ok());
        refused::<Application>(&["", "-a", "a b", "é", "a/b", &"a".repeat(65)], "1 to 64");
        refused::<FunctionName>(&["", "a.b", "a b", "é", &"a".repeat(65)], "1 to 64");
        refused::<AliasName>(&["", "a.b", "a:b", "é", &"a".repeat(129)], "1 to 128");
        refused::<AlarmName>(&["", "a\tb", "\u{85}", &"a".repeat(256)], "1 to 255");
    }

    #[test]
    fn explains_names_of_another_kind() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:chat:live";
        refused::<FunctionName>(
            &[arn, "chat:live", "chat:$LATEST"],
            "give the function's plain name",
        );
        refused::<AliasName>(&["1", "42"], "is a version, not an alias");
        refused::<AliasName>(&["$LATEST"], "is not an alias");
        refused::<AlarmName>(
            &["arn:aws:cloudwatch:eu-west-1:1:alarm:a"],
            "the part after \":alarm:\"",
        );
    }

    #[test]
    fn accepts_a_qualifier_on_callees() {
        for (text, function) in [("f", "f"), ("f:live", "f"), ("f-1_b:42", "f-1_b")] {
            let callee = text.parse::<Callee>().unwrap();
            let qualified = callee.qualifier().map(|it| format!("{function}:{it}"));
            assert_eq!(callee.function(), function);
            assert_eq!(qualified.as_deref().unwrap_or(function), text);
        }
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:f";
        refused::<Callee>(
            &[
                "",
                ":live",
                "f:",
                "f:$LATEST",
                "f:a:b",
                "f g",
                arn,
                &"f".repeat(65),
            ],
            "is not a function to call",
        );
    }

    #[test]
    fn versions_sort_by_number() {
        let mut versions = ["10", "9", "1", "18446744073709551615", "100"]
            .map(|text| text.parse::<Version>().unwrap());
        versions.sort();
        assert_eq!(
            versions.map(String::from),
            ["1", "9", "10", "100", "18446744073709551615"]
        );
        refused::<Version>(
            &["", "0", "01", "-1", "1.0", "$LATEST", "x", &"1".repeat(21)],
            "is not a published version",
        );
    }

    #[test]
    fn serde_cannot_go_round_it() {
        assert!(serde_json::from_str::<AliasName>("\"$LATEST\"").is_err());
        let alias: AliasName = serde_json::from_str("\"live\"").unwrap();
        assert_eq!(serde_json::to_string(&alias).unwrap(), "\"live\"");
        assert_eq!(
            (alias.as_ref(), format!("{alias:>6}")),
            ("live", "  live".to_owned())
        );
    }
}
