//! What the stack's functions were allowed, and what they used of it.

use std::fs;

use serde::Deserialize;
use serde_json::Value;

use crate::{LocalAws, paths};

/// Writes what a suite made the stack's roles do to `target/iam/SUITE.json`, for `tests/iam.py` to
/// hold against what they are granted. Call it when the suite is over.
///
/// # Panics
/// When the local AWS does not answer, or the file cannot be written.
pub async fn record(local: &LocalAws, suite: &str) {
    let record = local.control().get("iam").await;
    let folder = paths::target().join("iam");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let file = folder.join(format!("{suite}.json"));
    fs::write(file, format!("{record:#}\n")).expect("a file can be written");
}

/// What a test needs to act as one of the stack's functions. What it then does is not recorded.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The access key's id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The session's token.
    pub session_token: String,
}

/// Credentials with the role of a function, by its full name.
///
/// # Panics
/// When there is no such function.
pub async fn credentials(local: &LocalAws, function: &str) -> Credentials {
    let path = format!("iam/credentials?function={function}");
    let said: Value = local.control().get(&path).await;
    serde_json::from_value(said).expect("credentials are told")
}
