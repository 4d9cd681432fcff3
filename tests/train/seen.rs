//! What the local AWS says of a release.

use crossfade_tests::{Execution, release::Ended, world::Call};

/// Half of what Step Functions takes, bytes.
pub(crate) const WELL_UNDER: usize = 128 * 1024;

/// What a release cost the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Writes that took effect.
    pub(crate) writes: usize,
    /// Calls that were throttled, reads too.
    pub(crate) throttled: usize,
}

impl Cost {
    /// Of these calls by our functions.
    pub(crate) fn of(calls: &[Call]) -> Self {
        let control_plane = || {
            calls
                .iter()
                .filter(|call| call.service == "lambda" && call.action != "Invoke")
        };
        Self {
            writes: control_plane()
                .filter(|call| call.writes() && call.took_effect())
                .count(),
            throttled: control_plane().filter(|call| call.status == 429).count(),
        }
    }
}

/// How long an execution took, seconds.
pub(crate) async fn took(execution: &Execution) -> f64 {
    let history = execution.history().await;
    let at = |event: Option<&aws_sdk_sfn::types::HistoryEvent>| {
        event.map_or(0.0, |event| event.timestamp.as_secs_f64())
    };
    at(history.last()) - at(history.first())
}

/// When the alarm that took a release back went into ALARM, seconds since 1970; none when it was
/// another reason.
pub(crate) fn fired(ended: &Ended) -> Option<f64> {
    let since = ended.cause["evidence"]["alarms"][0]["since"].as_str()?;
    let since: chrono::DateTime<chrono::Utc> = since.parse().ok()?;
    #[allow(clippy::cast_precision_loss)] // Microseconds since 1970 fit.
    Some(since.timestamp_micros() as f64 / 1e6)
}

/// When aliases were written after the alarm, the first and the last, seconds after it.
pub(crate) fn put_back(calls: &[Call], alarm: f64) -> Option<(f64, f64)> {
    let writes = calls.iter().filter(|call| {
        let by_alarm = call
            .caller
            .as_deref()
            .is_some_and(|by| by.ends_with("-restore-blue"));
        by_alarm && call.action == "UpdateAlias" && call.took_effect()
    });
    let times = writes.map(|call| call.time - alarm);
    Some((times.clone().reduce(f64::min)?, times.reduce(f64::max)?))
}
