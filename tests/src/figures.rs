//! What `make bench` and `make load` measure: medians, and one file of figures.

use std::{collections::BTreeMap, fs};

use serde_json::{Map, Value, json};

use crate::paths;

/// What was measured, in the order in which it was.
pub type Samples = Vec<f64>;

/// The value that a share of all are not above: 0.5 is the median.
///
/// # Panics
/// Without any.
#[must_use]
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1).expect("it was measured");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is an index.
    let at = (count(last) * share).ceil() as usize;
    sorted[at]
}

/// The one in the middle, or the mean of the two.
///
/// # Panics
/// Without any.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[half - 1], sorted[half])
    } else {
        sorted[half]
    }
}

/// As a number that can be divided.
#[must_use]
#[allow(clippy::cast_precision_loss)] // Nothing here is counted to 2^53.
pub fn count(of: usize) -> f64 {
    of as f64
}

/// Puts figures into `target/bench.json`, beside those that are there under other names.
///
/// # Panics
/// When the target folder cannot be written.
pub fn write(figures: &BTreeMap<String, f64>) {
    let file = paths::target().join("bench.json");
    let before = fs::read(&file).ok();
    let before = before.and_then(|before| serde_json::from_slice(&before).ok());
    let mut all: Map<String, Value> = before.unwrap_or_default();
    for (key, value) in figures {
        all.insert(key.clone(), json!((value * 1e6).round() / 1e6));
    }
    let text = serde_json::to_string_pretty(&all).expect("it is JSON");
    fs::write(&file, text + "\n").expect("the target folder can be written");
}
