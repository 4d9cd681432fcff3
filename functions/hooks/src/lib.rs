//! Calls the user's own functions: the migration of a release, and its hooks.
//!
//! - `RunMigration` runs the migration towards green, before green gets any traffic; once a rollback has put all
//!   traffic on blue, it runs it back.
//! - `RunHook` calls the hook that is due. One that is in progress is called again by the state machine, which waits
//!   meanwhile: nothing sleeps here.

mod hook;
mod migrate;

use crossfade::{
    aws::{functions::Functions, ledger::Ledger, notify::Notifier},
    error::Error,
    wire::{
        request::ReleaseRequest,
        state::State,
        state_name::StateName,
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
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            functions: Functions::new(config),
            ledger,
            notifier,
        }
    }

    /// Calls what the state is for.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let act = payload["act"].as_str().unwrap_or_default().to_owned();
        let task: Task = task(payload)?;
        let has_ended = matches!(&task.state, State::RollingBack(_));
        match (task.at, act.as_str()) {
            (Some(StateName::RunMigration), _) if has_ended => self.undo(task).await,
            // An execution that began with the definition of version 0.1 names an act in place of a state.
            (None, "undo") => self.undo(task).await,
            (Some(StateName::RunMigration), _) | (None, "migrate") => self.migrate(task).await,
            (Some(StateName::RunHook), _) | (None, "hook") => self.hook(task).await,
            (at, act) => Err(Error::InvalidRequest(
                format!("unexpected call for state {at:?} (act {act:?}); expected RunMigration or RunHook").into(),
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
