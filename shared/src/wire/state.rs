//! What passes between two states of the execution: one enum, whose tag is the field `phase`.
//!
//! The request is the contract's own JSON, which has no tag.

use crate::display::truncate;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    failure::Failure,
    outcome::{Ending, Finished, Outcome},
};
use crate::{
    domain::{
        Timestamp,
        about::About,
        approval::{Answer, AnswerKind},
        names::Application,
        release::{Event, IllegalEvent, Release},
    },
    error::Error,
};

/// The most characters of an answer that is none which are shown.
const SHOWN: usize = 200;

/// The tag's field.
const TAG: &str = "phase";

/// What a state of the execution gets, and what it leaves.
#[derive(Clone, Debug, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum State {
    /// The execution's input, as it was given.
    Requested(Value),
    /// An API Gateway stage is being wired.
    Wiring(Wiring),
    /// A release is under way.
    InFlight(Box<InFlight>),
    /// Green is kept, or there was nothing to move: the execution is about to succeed.
    Finished(Box<Finished>),
    /// The same, by the definition of version 0.1, which hands on the outcome alone.
    Outcome(Box<Outcome>),
    /// Traffic is whole again, or was left held: the execution is about to end.
    RollingBack(Box<Ending>),
}

impl State {
    /// Returns the application, where one that can be is named.
    #[must_use]
    pub fn application(&self) -> Option<Application> {
        let named = |request: &Value| Application::deserialize(&request["application"]).ok();
        match self {
            Self::Requested(request) => named(request),
            Self::Wiring(wiring) => named(&wiring.request),
            Self::InFlight(in_flight) => Some(in_flight.release.spec.application.clone()),
            Self::Finished(finished) => finished.outcome.application.clone(),
            Self::Outcome(outcome) => outcome.application.clone(),
            Self::RollingBack(ending) => ending.outcome.application.clone(),
        }
    }

    /// Returns what the release is, as far as it can be read.
    #[must_use]
    pub fn about(&self) -> About {
        let said = |request: &Value| About::deserialize(request).unwrap_or_default();
        match self {
            Self::Requested(request) => said(request),
            Self::Wiring(wiring) => said(&wiring.request),
            Self::InFlight(in_flight) => in_flight.release.spec.about.clone(),
            Self::Finished(finished) => finished.outcome.about.clone(),
            Self::Outcome(outcome) => outcome.about.clone(),
            Self::RollingBack(ending) => ending.outcome.about.clone(),
        }
    }
}

/// A state, and what a Catch has put beside it, where something failed in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Caught {
    /// The input of the state that failed, or that decided to roll back.
    pub state: State,
    /// What failed; none when the decision itself was to roll back, or a rollback is all that was requested.
    pub failure: Option<Failure>,
}

impl<'de> Deserialize<'de> for Caught {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = Value::deserialize(deserializer)?;
        Ok(Self {
            failure: Failure::of(&state),
            state: State::read(state),
        })
    }
}

/// How far the wiring of a stage has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wiring {
    /// The request, as it was given.
    pub request: Value,
    /// What was written so far.
    pub written: Vec<String>,
    /// What operators should know.
    pub warnings: Vec<String>,
    /// Whether the locks are taken.
    pub locked: bool,
    /// How often it was looked at so far.
    pub looks: u32,
    /// How long to wait before the next look, seconds.
    pub wait_seconds: u32,
}

/// A release, and what the state machine has put beside it: how the wait for an operator ended.
#[derive(Clone, Debug, PartialEq)]
pub struct InFlight {
    release: Release,
    replies: Replies,
}

/// How the wait for an operator ended. The state machine writes these fields, so they may hold anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Replies {
    /// The answer to an approval.
    #[serde(deserialize_with = "present")]
    approval_answer: Option<Value>,
    /// That none came in time.
    #[serde(deserialize_with = "present")]
    unanswered: Option<Value>,
    /// The answer to a hold.
    #[serde(deserialize_with = "present")]
    answer: Option<Value>,
    /// That none came in time.
    #[serde(deserialize_with = "present")]
    hold_expired: Option<Value>,
}

/// Reads a field that is there: `null` is an answer, too.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(field).map(Some)
}

impl InFlight {
    /// Returns the release with the operator's answers on record, and whether there were any: the execution has waited
    /// for an operator.
    ///
    /// # Errors
    /// [`IllegalEvent`] when the release waited for no answer.
    pub fn answered(self, now: Timestamp) -> Result<(Release, bool), IllegalEvent> {
        let Self {
            mut release,
            replies,
        } = self;
        let silence = replies
            .unanswered
            .map(|_| Event::Answered(Answer::new(AnswerKind::Silence)));
        let event = |given: Value| match Answer::read(&given) {
            Some(answer) => Event::Answered(answer),
            None => Event::Misanswered(truncate(&given.to_string(), SHOWN)),
        };
        let approval = replies.approval_answer.map(event);
        let hold = replies.answer.map(event);
        let mut waited = false;
        for answer in [approval, silence, hold].into_iter().flatten() {
            release.apply(answer, now)?;
            waited = true;
        }
        Ok((release, waited))
    }

    /// Returns the release as it was before any answer.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Whether no operator answered a hold in time.
    #[must_use]
    pub fn is_hold_expired(&self) -> bool {
        self.replies.hold_expired.is_some()
    }

    /// Whether the wait for an operator has just ended.
    #[must_use]
    pub fn has_waited(&self) -> bool {
        let Replies {
            approval_answer,
            unanswered,
            answer,
            hold_expired: _,
        } = &self.replies;
        [approval_answer, unanswered, answer]
            .into_iter()
            .any(Option::is_some)
    }
}

impl InFlight {
    fn read(state: &Value) -> serde_json::Result<Self> {
        Ok(Self {
            release: Release::deserialize(state)?,
            replies: Replies::deserialize(state)?,
        })
    }
}

impl State {
    /// Reads a state by its tag. Anything else is the input of the execution: no field of it is trusted.
    fn read(state: Value) -> Self {
        // Of all that passes, only a request names an action.
        if state.get("action").is_some() {
            return Self::Requested(state);
        }
        let tag = state.get(TAG).map(|tag| tag.as_str().unwrap_or_default());
        let read = match tag {
            Some("wiring") => Wiring::deserialize(&state["wiring"]).map(Self::Wiring),
            Some("inFlight") => InFlight::read(&state).map(|it| Self::InFlight(Box::new(it))),
            Some("finished") => {
                Finished::deserialize(&state).map(|it| Self::Finished(Box::new(it)))
            }
            Some("rollingBack") => {
                Ending::deserialize(&state).map(|it| Self::RollingBack(Box::new(it)))
            }
            Some(_) => return Self::Requested(state),
            None => return Self::read_untagged(state),
        };
        read.unwrap_or(Self::Requested(state))
    }

    /// Reads the contract's own JSON, and, of executions that are in flight at an update, what the previous version
    /// has left: it wrote no tags.
    fn read_untagged(state: Value) -> Self {
        let has = |field: &str| state.get(field).is_some();
        let read = if has("askedFor") {
            Ending::deserialize(&state).map(|it| Self::RollingBack(Box::new(it)))
        } else if has("startedAt") {
            InFlight::read(&state).map(|it| Self::InFlight(Box::new(it)))
        } else if has("deploymentStatus") {
            Outcome::deserialize(&state).map(|it| Self::Outcome(Box::new(it)))
        } else if has("wiring") {
            Wiring::deserialize(&state["wiring"]).map(Self::Wiring)
        } else {
            return Self::Requested(state);
        };
        read.unwrap_or(Self::Requested(state))
    }

    /// Returns how far the wiring of a stage has come: not at all, for a request.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is another state.
    pub fn wiring(self) -> Result<Wiring, Error> {
        match self {
            Self::Wiring(wiring) => Ok(wiring),
            Self::Requested(request) => Ok(Wiring {
                request,
                ..Wiring::default()
            }),
            other => Err(unexpected(&other, "wiring")),
        }
    }

    /// Returns the release that is under way.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is another state, or one that cannot be read.
    pub fn in_flight(self) -> Result<InFlight, Error> {
        match self {
            Self::InFlight(in_flight) => Ok(*in_flight),
            Self::Requested(state) => InFlight::read(&state).map_err(unreadable),
            other => Err(unexpected(&other, "inFlight")),
        }
    }

    /// Returns how the execution is about to end that has failed.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is another state, or one that cannot be read.
    pub fn rolling_back(self) -> Result<Ending, Error> {
        match self {
            Self::RollingBack(ending) => Ok(*ending),
            Self::Requested(state) => Ending::deserialize(state).map_err(unreadable),
            other => Err(unexpected(&other, "rollingBack")),
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
fn unreadable(error: serde_json::Error) -> Error {
    Error::InvalidRequest(format!("the execution's state is not as expected: {error}").into())
}

fn unexpected(found: &State, expected: &str) -> Error {
    let found: &str = found.into();
    Error::InvalidRequest(
        format!("the execution's state is not as expected: {found}, not {expected}").into(),
    )
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::read)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Tagged<'a, T: Serialize> {
            phase: &'a str,
            #[serde(flatten)]
            content: T,
        }
        #[derive(Serialize)]
        struct Wired<'a> {
            wiring: &'a Wiring,
        }
        let phase: &str = self.into();
        match self {
            Self::Requested(request) => request.serialize(serializer),
            Self::Outcome(outcome) => outcome.serialize(serializer),
            Self::Finished(finished) => Tagged {
                phase,
                content: finished,
            }
            .serialize(serializer),
            Self::Wiring(wiring) => Tagged {
                phase,
                content: Wired { wiring },
            }
            .serialize(serializer),
            Self::InFlight(in_flight) => Tagged {
                phase,
                content: &in_flight.release,
            }
            .serialize(serializer),
            Self::RollingBack(ending) => Tagged {
                phase,
                content: ending,
            }
            .serialize(serializer),
        }
    }
}

impl From<Release> for State {
    fn from(release: Release) -> Self {
        Self::InFlight(Box::new(InFlight {
            release,
            replies: Replies::default(),
        }))
    }
}

impl From<Finished> for State {
    fn from(finished: Finished) -> Self {
        Self::Finished(Box::new(finished))
    }
}

impl From<Wiring> for State {
    fn from(wiring: Wiring) -> Self {
        Self::Wiring(wiring)
    }
}

impl From<Ending> for State {
    fn from(ending: Ending) -> Self {
        Self::RollingBack(Box::new(ending))
    }
}

#[cfg(test)]
mod tests;
