//! Hard ceilings on green, whatever blue does.

use crate::domain::analysis::counts::Counts;
use crate::domain::analysis::judge::evidence::DecidedBy;
use crate::domain::analysis::judge::settings::Judging;
use crate::domain::analysis::judge::tally::Tally;

/// The ceiling that green is over, if any, and why in numbers.
///
/// Shares are taken over the newest settled minutes that hold `min_invocations` green requests, at most
/// five. The 99th percentile must be over its ceiling in the two newest minutes that have one.
pub(super) fn over(judging: &Judging, tally: &Tally) -> Option<(DecidedBy, String)> {
    let (minutes, green, blue) = newest(judging, tally);
    let enough = green.invocations.saturating_add(green.throttles) >= judging.min_invocations;
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    if let Some(ceiling) = judging.max_error_rate_percent {
        let rate = percent(green.errors, green.invocations);
        if enough && rate > ceiling {
            let suffers = blue.invocations > 0 && percent(blue.errors, blue.invocations) > ceiling;
            let beside = match (suffers, blue.invocations) {
                (_, 0) => "blue had no traffic to compare with".to_owned(),
                (true, all) => format!(
                    "blue suffers too ({} of {all}, {:.2} %), so this may not be green's fault",
                    blue.errors,
                    percent(blue.errors, all)
                ),
                (false, all) => format!(
                    "blue failed {} of {all} ({:.2} %)",
                    blue.errors,
                    percent(blue.errors, all)
                ),
            };
            let reason = format!(
                "green failed {} of {} requests ({rate:.2} %) in the last {minutes} settled minutes, over the ceiling of {ceiling} %; {beside}",
                green.errors, green.invocations
            );
            return Some((DecidedBy::ErrorCeiling, reason));
        }
    }
    if let Some(ceiling) = judging.max_throttle_percent {
        let asked = green.invocations.saturating_add(green.throttles);
        let rate = percent(green.throttles, asked);
        if enough && rate > ceiling {
            let reason = format!(
                "green was refused {} of {asked} requests ({rate:.2} %) in the last {minutes} settled minutes, over the ceiling of {ceiling} %; blue was refused {} of {}",
                green.throttles,
                blue.throttles,
                blue.invocations.saturating_add(blue.throttles)
            );
            return Some((DecidedBy::ThrottleCeiling, reason));
        }
    }
    let ceiling = judging.max_p99_ms?;
    let newest: Vec<u32> = tally
        .recent()
        .filter_map(|m| m.green_p99_ms)
        .take(2)
        .collect();
    (newest.len() == 2 && newest.iter().all(|p99| *p99 > ceiling)).then(|| {
        let reason = format!(
            "green's 99th percentile was {} and {} ms in its two newest minutes, over the ceiling of {ceiling} ms",
            newest[1], newest[0]
        );
        (DecidedBy::P99Ceiling, reason)
    })
}

fn newest(judging: &Judging, tally: &Tally) -> (usize, Counts, Counts) {
    let (mut minutes, mut green, mut blue) = (0, Counts::default(), Counts::default());
    for minute in tally.recent() {
        minutes += 1;
        green = green.plus(minute.green);
        blue = blue.plus(minute.blue);
        if green.invocations.saturating_add(green.throttles) >= judging.min_invocations {
            break;
        }
    }
    (minutes, green, blue)
}
