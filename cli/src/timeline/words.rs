//! Parts of sentences.

use crossfade::{domain::target::Target, wire::failure::Failure};
use serde::Deserialize as _;
use serde_json::Value;

/// A function with both versions.
pub(super) fn versions(target: &Target) -> String {
    let function = &target.function_name;
    match &target.blue_version {
        Some(blue) => format!("{function} {blue} -> {}", target.green_version),
        None => format!("{function} {} (its first)", target.green_version),
    }
}

/// Returns what a Catch has left, in a sentence.
pub(super) fn describe_failure(failure: &Value) -> String {
    Failure::deserialize(failure)
        .unwrap_or_default()
        .to_string()
}

/// What serves, as it was read, in brackets: records or target groups, and versions; nothing where none was read.
pub(super) fn serving(outcome: &Value) -> String {
    let list = |field: &str| outcome[field].as_array().into_iter().flatten();
    let by = list("servedBy").filter_map(|by| by.as_str().map(str::to_owned));
    let versions = list("functions").filter_map(|one| {
        let (name, version) = (one["functionName"].as_str()?, one["serving"].as_str()?);
        Some(format!("{name}: version {version}"))
    });
    let all: Vec<_> = by.chain(versions).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!(" ({})", all.join(", "))
    }
}
