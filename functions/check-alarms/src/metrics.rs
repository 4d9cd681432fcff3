//! What a look found, as numbers that are kept over time.

use crossfade::{
    domain::{
        Timestamp,
        analysis::{check::Finding, counts::Counts, verdict::Verdict},
        release::Release,
        weight::Weight,
    },
    metrics::{Line, Metric},
};
use serde_json::json;

/// The line of a look.
pub(crate) fn verdict(release: &Release, weight: Weight, found: &Finding, now: Timestamp) -> Line {
    let unhealthy = found.verdict == Verdict::Unhealthy;
    let line = Line::new(now)
        .with("Application", json!(release.spec.application))
        .with("Verdict", json!(found.verdict))
        .with("Reason", json!(found.reason))
        .measure(Metric::GreenWeight, weight.percent())
        .measure(Metric::Unhealthy, f64::from(u8::from(unhealthy)));
    let Some(judge) = &found.evidence.judge else {
        return line;
    };
    let slow = |counts: &Counts| {
        let share = |slow| 100.0 * slow / number(counts.invocations).max(1.0);
        share(number(counts.slow))
    };
    let line = line
        .with("DecidedBy", json!(judge.decided_by))
        .with("Function", json!(judge.function))
        .measure(Metric::GreenErrorRate, judge.green_error_percent)
        .measure(Metric::BlueErrorRate, judge.blue_error_percent)
        .measure(Metric::GreenInvocations, number(judge.green.invocations))
        .measure(Metric::BlueInvocations, number(judge.blue.invocations))
        .measure(Metric::EValue, judge.e_value);
    if release.spec.analysis.slower_than_ms.is_none() {
        return line;
    }
    line.measure(Metric::GreenSlowShare, slow(&judge.green))
        .measure(Metric::BlueSlowShare, slow(&judge.blue))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "CloudWatch keeps numbers as doubles too"
)]
fn number(count: u64) -> f64 {
    count as f64
}
