//! What a state of the execution hands to its function.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    state::{Caught, State},
    state_name::StateName,
};
use crate::{
    domain::{Timestamp, approval::QuestionKind},
    error::Error,
};

/// The input of a Task: the execution's state, and what Step Functions' context object says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task<S = State> {
    /// The state that it is for; none in an execution that began with the definition of version 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<StateName>,
    /// The execution's ARN: the deployment's identity, and the owner of its locks.
    pub execution: String,
    /// When the state was entered, by Step Functions' clock.
    pub now: Timestamp,
    /// How often this state has been tried before.
    #[serde(default)]
    pub retries: u32,
    /// The token that ends the wait, where the state waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What an operator is asked, by the definition of version 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<QuestionKind>,
    /// The execution's input, where the state needs what is not carried on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// The state's input.
    pub state: S,
}

impl<S> Task<S> {
    /// Returns what an operator is asked by the state that waits for an answer.
    #[must_use]
    pub fn question(&self) -> QuestionKind {
        match self.at {
            Some(StateName::AwaitApproval) => QuestionKind::Approval,
            _ => self.asks.unwrap_or(QuestionKind::Hold),
        }
    }
}

/// What a function is called with.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// By a state of the execution.
    Task(Box<Task<Caught>>),
    /// By an EventBridge rule.
    Event(Value),
}

impl Call {
    /// Distinguishes a Task from an event.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is neither.
    pub fn parse(payload: Value) -> Result<Self, Error> {
        if payload.get("detail-type").is_some() {
            return Ok(Self::Event(payload));
        }
        task(payload).map(|task| Self::Task(Box::new(task)))
    }
}

/// Reads a Task.
///
/// # Errors
/// [`Error::InvalidRequest`] when the payload is not a Task's: someone called the function by hand.
pub fn task<S: DeserializeOwned>(payload: Value) -> Result<Task<S>, Error> {
    serde_json::from_value(payload).map_err(|error| {
        Error::InvalidRequest(
            format!("not called by the state machine, nor by a rule of it: {error}").into(),
        )
    })
}
