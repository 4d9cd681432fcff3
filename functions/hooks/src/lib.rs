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
        request::{ReleaseRequest, Request},
        task::{Task, task},
    },
};
use serde_json::{Value, json};

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

    /// Tells the acts apart.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let act = payload["act"].as_str().unwrap_or_default().to_owned();
        let task = task(payload)?;
        match act.as_str() {
            "migrate" => self.migrate(task).await.map(|release| json!(release)),
            "undo" => self.undo(task).await.map(|ending| json!(ending)),
            "hook" => self.hook(task).await,
            other => Err(Error::InvalidRequest(
                format!("there is no act {other:?}").into(),
            )),
        }
    }
}

/// The execution's input, which has to be a release's.
fn asked(task: &Task) -> Result<Box<ReleaseRequest>, Error> {
    let request = task
        .request
        .as_ref()
        .ok_or_else(|| Error::InvalidRequest("the state hands no request over".into()))?;
    match Request::parse(request) {
        Ok(Request::Release(request)) => Ok(request),
        Ok(
            Request::Rollback { .. }
            | Request::ToVersion(_)
            | Request::Wire { .. }
            | Request::Unwire { .. },
        ) => Err(Error::InvalidRequest("not a release".into())),
        Err(problems) => Err(Error::InvalidRequest(problems.to_string().into())),
    }
}
