//! What is wrong with a request: where, what, and what would be right. All of it at once.

use std::fmt::{self, Display, Write as _};
use std::ops::ControlFlow;

use deserr::{DeserializeError, ErrorKind, IntoValue, MergeWithError, ValueKind, ValuePointerRef};
use serde::{Deserialize, Serialize};

use crate::parse::bounds::{quoted, shown};

/// The most problems that are listed. The list goes into an execution's Cause, which Step Functions
/// cuts at 32 KiB.
pub const MOST_PROBLEMS: usize = 50;

/// How the whole request is called where a field's path would stand; as in JSONPath.
pub(crate) const ROOT: &str = "$";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The field, as one would write it: `functions[0].code.s3Key`; `$` is the request as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Everything that is wrong with a request: never empty, at most [`MOST_PROBLEMS`]. Shown as one
/// line for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One problem.
    #[must_use]
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Problem {
            path: path.into(),
            message: message.into(),
        }])
    }

    /// The problems that were found, or `None` when there were none.
    pub(crate) fn found(mut problems: Vec<Problem>) -> Option<Self> {
        problems.truncate(MOST_PROBLEMS);
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// These problems and then the others.
    #[must_use]
    pub(crate) fn and(mut self, others: Option<Self>) -> Self {
        self.0.extend(others.into_iter().flat_map(Self::into_vec));
        self.0.truncate(MOST_PROBLEMS);
        self
    }

    /// The problems, in the order in which they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// The problems, in the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        if self.0.len() == MOST_PROBLEMS {
            write!(
                f,
                "\n{ROOT}: there may be more; these {MOST_PROBLEMS} come first"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl MergeWithError<Self> for Problems {
    fn merge(earlier: Option<Self>, other: Self, _: ValuePointerRef) -> ControlFlow<Self, Self> {
        let all = match earlier {
            Some(earlier) => earlier.and(Some(other)),
            None => other,
        };
        // When the list is full nothing more is read, which also bounds the work.
        let full = all.0.len() == MOST_PROBLEMS;
        if full {
            ControlFlow::Break(all)
        } else {
            ControlFlow::Continue(all)
        }
    }
}

impl DeserializeError for Problems {
    fn error<V: IntoValue>(
        earlier: Option<Self>,
        error: ErrorKind<V>,
        location: ValuePointerRef,
    ) -> ControlFlow<Self, Self> {
        let problem = match error {
            ErrorKind::IncorrectValueKind { actual, accepted } => Self::one(
                path(location),
                format!("must be {}, not {}", kinds(accepted), shown(&actual)),
            ),
            ErrorKind::MissingField { field } => Self::one(
                path(location.push_key(field)),
                match right(field) {
                    Some(right) => format!("is missing; {right}"),
                    None => "is missing".to_owned(),
                },
            ),
            ErrorKind::UnknownKey { key, accepted } => Self::one(
                path(location.push_key(key)),
                match closest(key, accepted) {
                    Some(meant) => format!("is not a field; did you mean \"{meant}\"?"),
                    None => format!(
                        "is not a field; the fields here are {}",
                        accepted.join(", ")
                    ),
                },
            ),
            ErrorKind::UnknownValue { value, accepted } => Self::one(
                path(location),
                match closest(value, accepted) {
                    Some(meant) => {
                        format!("{} is not known; did you mean \"{meant}\"?", quoted(value))
                    }
                    None => format!(
                        "{} is not known; use one of {}",
                        quoted(value),
                        list_accepted(accepted)
                    ),
                },
            ),
            ErrorKind::BadSequenceLen { expected, .. } => {
                Self::one(path(location), format!("must be a list of {expected}"))
            }
            ErrorKind::Unexpected { msg } => Self::one(path(location), msg),
        };
        Self::merge(earlier, problem, location)
    }
}

/// What to write in a field that has to be there, where its name does not say it.
fn right(field: &str) -> Option<&'static str> {
    match field {
        "application" => Some("name what is released, such as \"chat\""),
        "functions" => Some("list the functions to release"),
        "functionName" => Some("give the function's plain name"),
        "alias" => Some("name the alias that callers use, such as \"production\""),
        "strategy" => {
            Some("give a name such as \"prod\" or \"Canary10Percent5Minutes\", or an object")
        }
        "apiId" => Some("give the API's id, such as \"a1b2c3d4e5\""),
        "stage" => Some("name the stage that is to call the alias"),
        "frontDoor" => Some("say what is to be wired"),
        "type" => Some("say which kind it is"),
        "weight" => Some("give percent of traffic on green, 0 to 100 in steps of 0.1"),
        "bakeSeconds" | "intervalSeconds" => Some("give seconds, 0 to 86400"),
        _ => None,
    }
}

fn kinds(accepted: &[ValueKind]) -> String {
    let mut names: Vec<_> = accepted.iter().map(|kind| name(*kind)).collect();
    names.dedup();
    names.join(" or ")
}

fn name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Null => "null",
        ValueKind::Boolean => "true or false",
        ValueKind::Integer | ValueKind::NegativeInteger => "a whole number",
        ValueKind::Float => "a number",
        ValueKind::String => "text",
        ValueKind::Sequence => "a list",
        ValueKind::Map => "an object",
    }
}

/// The accepted word that `given` was probably meant to be: it differs in case only, or in about a
/// letter in four, or it is the beginning of that word alone.
fn closest<'a>(given: &str, accepted: &[&'a str]) -> Option<&'a str> {
    // Comparing is quadratic in the length, and a typing error is short.
    if given.len() > 64 {
        return None;
    }
    let lower = given.to_lowercase();
    let mut begun = accepted
        .iter()
        .filter(|one| lower.len() >= 4 && one.to_lowercase().starts_with(&lower));
    if let (Some(meant), None) = (begun.next(), begun.next()) {
        return Some(meant);
    }
    let distance = |one: &&str| strsim::damerau_levenshtein(&lower, &one.to_lowercase());
    let (meant, distance) = accepted
        .iter()
        .map(|one| (*one, distance(one)))
        .min_by_key(|m| m.1)?;
    (distance <= given.chars().count() / 4 + 1 && distance < meant.chars().count() / 2 + 1)
        .then_some(meant)
}

/// The first words of a list that may be long.
fn list_accepted(accepted: &[&str]) -> String {
    const MOST: usize = 13;
    let more = if accepted.len() > MOST { ", …" } else { "" };
    accepted
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ")
        + more
}

/// The field's path as one would write it: `functions[0].code.s3Key`.
pub(crate) fn path(location: ValuePointerRef) -> String {
    let mut text = String::new();
    write_path(location, &mut text);
    if text.is_empty() {
        ROOT.to_owned()
    } else {
        text
    }
}

fn write_path(location: ValuePointerRef, text: &mut String) {
    match location {
        ValuePointerRef::Origin => {}
        ValuePointerRef::Key { key, prev } => {
            write_path(*prev, text);
            push_key(text, key);
        }
        ValuePointerRef::Index { index, prev } => {
            write_path(*prev, text);
            push_index(text, index);
        }
    }
}

/// Adds a field to a path; in brackets and quotes when a dot could not stand before it.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key.len() <= 64
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-$".contains(&b));
    // Writing to a String cannot fail.
    let _ = match (plain, path.is_empty()) {
        (true, true) => write!(path, "{key}"),
        (true, false) => write!(path, ".{key}"),
        (false, _) => write!(path, "[{}]", quoted(key)),
    };
}

/// Adds a place in a list to a path.
pub(crate) fn push_index(path: &mut String, index: usize) {
    let _ = write!(path, "[{index}]");
}
