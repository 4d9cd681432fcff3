//! Medians and ratios.

/// What was measured, in the order in which it was.
pub(crate) type Samples = Vec<f64>;

/// The value that a share of all are not above: 0.5 is the median.
///
/// # Panics
/// Without any.
pub(crate) fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1).expect("it was measured");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is an index.
    let at = (count(last) * share).ceil() as usize;
    sorted[at]
}

/// The one in the middle, or the mean of the two.
pub(crate) fn median(samples: &[f64]) -> f64 {
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
#[allow(clippy::cast_precision_loss)] // Nothing here is counted to 2^53.
pub(crate) fn count(of: usize) -> f64 {
    of as f64
}
