//! Calls the user's own functions: the migration of a release, and its hooks. A state says which, by
//! `act`:
//!
//! - `migrate`: runs the migration towards green, before green gets any traffic;
//! - `undo`: runs it back, once all traffic is on blue again;
//! - `hook`: asks the hook that is due. One that is in progress is asked again by the state machine,
//!   which waits meanwhile: nothing sleeps here.

mod hook;
mod migrate;

use crossfade::{
    aws::{functions::Functions, ledger::Ledger, notify::Notifier},
    error::Error,
    wire::{
        request::ReleaseRequest,
        state::State,
        task::{Task, task},
    },
};
use serde_json::Value;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    functions: Functions,
    ledger: Ledger,
    notifier: Notifier,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            functions: Functions::new(config),
            ledger: Ledger::new(config),
            notifier: Notifier::new(config),
        }
    }

    /// Does what the state machine names in `act`.
    pub async fn handle(&self, payload: Value) -> Result<State, Error> {
        let act = payload["act"].as_str().unwrap_or_default().to_owned();
        let task: Task = task(payload)?;
        match act.as_str() {
            "migrate" => self.migrate(task).await,
            "undo" => self.undo(task).await,
            "hook" => self.hook(task).await,
            other => Err(Error::InvalidRequest(
                format!("there is no act {other:?}").into(),
            )),
        }
    }
}

/// Reads the execution's input, which has to be a release's.
fn asked(task: &Task) -> Result<ReleaseRequest, Error> {
    let request = task
        .request
        .as_ref()
        .ok_or_else(|| Error::InvalidRequest("the state hands no request over".into()))?;
    serde_json::from_value(request.clone())
        .map_err(|error| Error::InvalidRequest(error.to_string().into()))
}
