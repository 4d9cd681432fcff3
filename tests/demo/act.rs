//! One release as it went: what the local AWS said of it, on the release's own clock.

use std::collections::BTreeMap;

use crossfade_tests::{
    release::Entered,
    target::Alias,
    traffic::{Request, Tally},
};

/// One release. Times are seconds since its execution began.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// What table and picture call it.
    pub(crate) title: String,
    /// When its execution began, seconds since 1970.
    pub(crate) began: f64,
    /// The version that served before.
    pub(crate) blue: String,
    /// The version that was released.
    pub(crate) green: String,
    /// The states it entered.
    pub(crate) visits: Vec<Visit>,
    /// Green's weight in percent and since when, each time it changed.
    pub(crate) weights: Vec<(f64, f64)>,
    /// What users met, slot by slot.
    pub(crate) slots: Vec<Slot>,
    /// When the alarm went into ALARM.
    pub(crate) alarm: Option<f64>,
    /// When all traffic was on blue again.
    pub(crate) back: Option<f64>,
    /// How long the execution took.
    pub(crate) took: f64,
    /// Who served how much between its beginning and its end, and who failed.
    pub(crate) by_version: BTreeMap<String, Tally>,
    /// Requests that failed between its beginning and its end.
    pub(crate) failed: u64,
    /// The notification's subject.
    pub(crate) told: String,
}

/// One state that was entered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Visit {
    pub(crate) state: String,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// How long a slot is, seconds.
pub(crate) const SLOT: f64 = 0.5;

/// Requests that were sent within one slot of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Slot {
    /// When it begins.
    pub(crate) at: f64,
    pub(crate) blue: Tally,
    pub(crate) green: Tally,
}

/// The visits on the release's clock; the last one ends with the execution.
pub(crate) fn visits(entered: &[Entered], began: f64, ended: f64) -> Vec<Visit> {
    entered
        .iter()
        .enumerate()
        .map(|(nth, visit)| {
            let next = entered.get(nth + 1).map_or(ended, |next| next.at);
            Visit {
                state: visit.state.clone(),
                from: visit.at - began,
                to: visit.left_at.unwrap_or(next) - began,
            }
        })
        .collect()
}

/// Green's weights on the release's clock, from what the alias was seen to say.
pub(crate) fn weights(seen: &[(f64, Alias)], green: &str, began: f64) -> Vec<(f64, f64)> {
    let mut weights: Vec<(f64, f64)> = Vec::new();
    for (at, alias) in seen {
        let weight = alias.share(green) * 100.0;
        if weights
            .last()
            .is_none_or(|(_, last)| (last - weight).abs() > 0.01)
        {
            weights.push((at - began, weight));
        }
    }
    weights
}

/// What users met from `from` to `to`, slot by slot. `began` is the release's beginning and
/// `traffic` the traffic's, both seconds since 1970.
pub(crate) fn slots(
    requests: &[Request],
    traffic: f64,
    began: f64,
    green: &str,
    (from, to): (f64, f64),
) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut at = from;
    // Whole slots only: half a slot would look like half the traffic.
    while at + SLOT <= to {
        let mut slot = Slot {
            at,
            ..Slot::default()
        };
        for request in requests {
            let sent = traffic + request.sent.as_secs_f64() - began;
            if !(at..at + SLOT).contains(&sent) {
                continue;
            }
            // What no version served counts as blue's: it is not green's fault.
            let tally = if request.version.as_deref() == Some(green) {
                &mut slot.green
            } else {
                &mut slot.blue
            };
            tally.requests += 1;
            tally.errors += u64::from(request.failed);
        }
        slots.push(slot);
        at += SLOT;
    }
    slots
}

/// Requests that were sent from `from` to `to`, both seconds since 1970, by version.
pub(crate) fn tallies(
    requests: &[Request],
    traffic: f64,
    from: f64,
    to: f64,
) -> BTreeMap<String, Tally> {
    let mut by_version: BTreeMap<String, Tally> = BTreeMap::new();
    for request in requests {
        if (from..=to).contains(&(traffic + request.sent.as_secs_f64())) {
            let version = request.version.clone().unwrap_or_default();
            let tally = by_version.entry(version).or_default();
            tally.requests += 1;
            tally.errors += u64::from(request.failed);
        }
    }
    by_version
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(sent_ms: u64, version: Option<&str>, failed: bool) -> Request {
        Request {
            sent: Duration::from_millis(sent_ms),
            took: Duration::from_millis(5),
            version: version.map(ToOwned::to_owned),
            failed,
        }
    }

    #[test]
    fn users_are_counted_where_they_were_sent() {
        let requests = [
            request(400, Some("1"), false),
            request(1000, Some("2"), true),
            request(1600, None, true),
        ];
        // Traffic began at 100 and the release at 101.
        let slots = slots(&requests, 100.0, 101.0, "2", (-1.0, 1.2));
        let seen: Vec<_> = slots
            .iter()
            .map(|slot| (slot.blue.requests, slot.green.errors))
            .collect();
        assert_eq!(seen, [(1, 0), (0, 0), (0, 1), (1, 0)]);
        let during = tallies(&requests, 100.0, 101.0, 101.5);
        assert_eq!(during.len(), 1);
        assert_eq!((during["2"].requests, during["2"].errors), (1, 1));
    }

    #[test]
    fn a_weight_is_told_once_for_each_change() {
        let alias = |primary: &str, additional: Option<(&str, f64)>| Alias {
            primary: primary.to_owned(),
            additional: additional.map(|(version, share)| (version.to_owned(), share)),
            revision: String::new(),
        };
        let seen = [
            (10.0, alias("1", None)),
            (11.0, alias("1", Some(("2", 0.1)))),
            (12.0, alias("1", Some(("2", 1.0)))),
            (13.0, alias("2", None)),
        ];
        let told: Vec<_> = weights(&seen, "2", 10.0)
            .into_iter()
            .map(|(at, weight)| (at, weight.round()))
            .collect();
        assert_eq!(told, [(0.0, 0.0), (1.0, 10.0), (2.0, 100.0)]);
    }
}
