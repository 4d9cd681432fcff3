//! Names of API Gateway's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NameError, ensure, name};
use crate::parse::bounds::quoted;

/// An API's id, as API Gateway gave it: 1 to 64 letters and digits.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9]{1,64}$", "examples" = ["a1b2c3d4e5"]))]
pub struct ApiId(String);
name!(ApiId, check_api_id);

/// A stage's name: 1 to 128 letters, digits, `-` and `_`, or `$default`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^([A-Za-z0-9_-]{1,128}|\\$default)$", "examples" = ["prod"]))]
pub struct StageName(String);
name!(StageName, check_stage_name);

fn check_api_id(text: &str) -> Result<(), NameError> {
    let right = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    ensure(right, || {
        format!(
            "{} is not an API's id; give the id, such as \"a1b2c3d4e5\", not the name or the ARN",
            quoted(text)
        )
    })
}

fn check_stage_name(text: &str) -> Result<(), NameError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let right = text == "$default" || (1..=128).contains(&text.len()) && text.bytes().all(word);
    ensure(right, || {
        format!(
            "{} is not a stage's name; use 1 to 128 letters, digits, \"-\" and \"_\", or \"$default\"",
            quoted(text)
        )
    })
}
