//! What an alarm says, and whether that proves anything.

use chrono::{SecondsFormat, TimeDelta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{Timestamp, names::AlarmName};

/// What CloudWatch says of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// Within its threshold.
    Ok,
    /// Outside its threshold.
    Alarm,
    /// CloudWatch has too little data.
    InsufficientData,
    /// No alarm of this name exists: CloudWatch does not call that an error.
    Missing,
    /// It is of a kind that Crossfade does not know, so the meaning of its state is unknown.
    UnknownKind,
}

/// What an alarm watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Metrics.
    #[default]
    Metric,
    /// What a PromQL query finds. Such an alarm is OK from the moment that it is made, and whenever its
    /// query finds nothing.
    PromQl {
        /// How long after it was made or changed it has been evaluated at least once.
        evaluated_after: TimeDelta,
    },
    /// Other alarms.
    Composite,
    /// What a query finds in logs.
    Log,
    /// Something else.
    Unknown,
}

/// How long an alarm is not evaluated after it was made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// So long at the most.
    pub lasts: TimeDelta,
    /// Whether it lasts so long although there is data.
    pub to_the_end: bool,
}

/// An alarm that exists, as CloudWatch describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What it watches.
    pub kind: Kind,
    /// Its state.
    pub state: AlarmState,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// When it was made or changed.
    pub changed_at: Option<Timestamp>,
    /// How long it is not evaluated after that.
    pub warm_up: Option<WarmUp>,
    /// What is wrong with its evaluation, in CloudWatch's word.
    pub evaluation: Option<String>,
    /// CloudWatch's reason for the state.
    pub reason: String,
}

/// One alarm's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The alarm.
    pub name: AlarmName,
    /// Its state.
    pub state: AlarmState,
    /// Since when it is in this state, where CloudWatch says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why the state proves nothing although it is OK, or why there is no data, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// What it watches.
    #[serde(skip)]
    pub kind: Kind,
}

impl Reading {
    /// The reading of an alarm that is taken at its word.
    #[must_use]
    pub fn of(name: AlarmName, state: AlarmState, since: Option<Timestamp>) -> Self {
        Self {
            name,
            state,
            since,
            unproven: None,
            kind: Kind::default(),
        }
    }

    /// Whether it says that all is well, and that can be relied on.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.state == AlarmState::Ok && self.unproven.is_none()
    }

    /// Its state in words: `OK, which proves nothing: it warms up until …`.
    #[must_use]
    pub fn shown(&self) -> String {
        let state = serde_json::to_value(self.state).unwrap_or_default();
        let state = state.as_str().unwrap_or_default();
        match (&self.unproven, self.state) {
            (None, _) => state.to_owned(),
            (Some(why), AlarmState::Ok) => format!("{state}, which proves nothing: {why}"),
            (Some(why), _) => format!("{state}: {why}"),
        }
    }
}

impl Described {
    /// What it says at `now`.
    #[must_use]
    pub fn read(self, name: AlarmName, now: Timestamp) -> Reading {
        let state = match self.kind {
            Kind::Unknown => AlarmState::UnknownKind,
            Kind::Metric | Kind::PromQl { .. } | Kind::Composite | Kind::Log => self.state,
        };
        let asks = matches!(state, AlarmState::Ok | AlarmState::InsufficientData);
        Reading {
            unproven: asks.then(|| self.unproven(now)).flatten(),
            name,
            state,
            since: self.since,
            kind: self.kind,
        }
    }

    /// Why what it says at `now` is no proof: it has not been evaluated, or not well.
    fn unproven(&self, now: Timestamp) -> Option<String> {
        let told = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        if let Some(word) = &self.evaluation {
            let reason = if self.reason.is_empty() {
                String::new()
            } else {
                format!(": {}", self.reason)
            };
            return Some(format!(
                "CloudWatch cannot evaluate it as it should ({word}{reason})"
            ));
        }
        let changed_at = self.changed_at?;
        // A state that it has come to since then is one that was found by evaluating it. Whether one that
        // was OK before a change goes on being OK while it warms up is not documented.
        let found = self
            .since
            .is_some_and(|since| since > changed_at + TimeDelta::seconds(1));
        let warm_up = self.warm_up.map_or(TimeDelta::zero(), |it| it.lasts);
        let until = changed_at + warm_up;
        let waits = self.warm_up.is_some_and(|it| it.to_the_end);
        if now < until && (waits || !found) {
            return Some(format!("it warms up until {}", told(until)));
        }
        match self.kind {
            Kind::PromQl { evaluated_after } if !found && now < until + evaluated_after => {
                Some(format!(
                    "it has not been evaluated since it was made or changed at {}",
                    told(changed_at)
                ))
            }
            Kind::PromQl { .. } | Kind::Metric | Kind::Composite | Kind::Log | Kind::Unknown => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        let noon: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        noon + TimeDelta::minutes(minute)
    }

    fn described(kind: Kind) -> Described {
        Described {
            kind,
            state: AlarmState::Ok,
            since: Some(at(0)),
            changed_at: Some(at(0)),
            warm_up: None,
            evaluation: None,
            reason: String::new(),
        }
    }

    fn read(described: Described, minute: i64) -> Reading {
        described.read("a".parse().unwrap(), at(minute))
    }

    fn why(described: Described, minute: i64) -> String {
        let reading = read(described, minute);
        assert!(!reading.is_proof());
        reading.unproven.unwrap()
    }

    #[test]
    fn a_promql_alarm_proves_something_once_it_was_evaluated() {
        let promql = described(Kind::PromQl {
            evaluated_after: TimeDelta::minutes(5),
        });
        assert_eq!(
            why(promql.clone(), 4),
            "it has not been evaluated since it was made or changed at 2026-11-20T12:00:00Z"
        );
        assert!(read(promql.clone(), 5).is_proof());
        let came_back = Described {
            since: Some(at(2)),
            ..promql.clone()
        };
        assert!(read(came_back, 4).is_proof());
        assert!(read(described(Kind::Metric), 0).is_proof());
        let fires = Described {
            state: AlarmState::Alarm,
            ..promql
        };
        let fires = read(fires, 1);
        assert_eq!((fires.state, fires.unproven), (AlarmState::Alarm, None));
    }

    #[test]
    fn an_alarm_that_warms_up_proves_nothing() {
        let warm_up = |to_the_end| Described {
            warm_up: Some(WarmUp {
                lasts: TimeDelta::minutes(10),
                to_the_end,
            }),
            ..described(Kind::Log)
        };
        for to_the_end in [false, true] {
            let told = "it warms up until 2026-11-20T12:10:00Z";
            assert_eq!(why(warm_up(to_the_end), 9), told);
            assert!(read(warm_up(to_the_end), 10).is_proof());
            let evaluated = Described {
                since: Some(at(5)),
                ..warm_up(to_the_end)
            };
            // Data ends the warm-up, unless it lasts to its end.
            assert_eq!(read(evaluated, 6).is_proof(), !to_the_end);
        }
        let waiting = Described {
            state: AlarmState::InsufficientData,
            ..warm_up(true)
        };
        assert_eq!(
            read(waiting, 1).shown(),
            "INSUFFICIENT_DATA: it warms up until 2026-11-20T12:10:00Z"
        );
    }

    #[test]
    fn an_alarm_that_is_not_evaluated_well_proves_nothing() {
        for word in [
            "PARTIAL_DATA",
            "EVALUATION_FAILURE",
            "EVALUATION_ERROR",
            "NEW",
        ] {
            let broken = Described {
                evaluation: Some(word.into()),
                reason: "no role".into(),
                ..described(Kind::Metric)
            };
            let told = format!("CloudWatch cannot evaluate it as it should ({word}: no role)");
            assert_eq!(why(broken.clone(), 99), told);
            assert_eq!(
                read(broken, 99).shown(),
                format!("OK, which proves nothing: {told}")
            );
        }
    }

    #[test]
    fn an_alarm_of_an_unknown_kind_is_told_as_such() {
        let unknown = read(described(Kind::Unknown), 99);
        assert_eq!(unknown.state, AlarmState::UnknownKind);
        assert!(!unknown.is_proof());
    }
}
