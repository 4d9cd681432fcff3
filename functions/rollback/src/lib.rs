//! Makes traffic whole on blue, whoever asks for it:
//!
//! - as a state of the execution, after any failure, or for `{"action": "rollback"}`;
//! - from EventBridge, when an execution ended without doing so itself;
//! - from the schedule, when that event was lost.
//!
//! Safe to run twice, twice at once, and late.

mod by_hand;
mod failed;
mod failure;
mod janitor;

use crossfade::{
    aws::{
        executions::Executions,
        ledger::{Ledger, Why},
        notify::Notifier,
        traffic::Traffic,
    },
    domain::{names::Application, release::DeploymentStatus},
    error::Error,
    wire::{
        events::{self, Event, Home},
        outcome::Outcome,
        state::State,
        task::Call,
    },
};
use serde_json::{Value, json};

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    home: Home,
    ledger: Ledger,
    notifier: Notifier,
    traffic: Traffic,
}

impl Handler {
    /// A handler with clients on `config`, for the events of the environment's `EXECUTIONS`.
    ///
    /// # Panics
    /// Without the variable `EXECUTIONS`: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            executions: Executions::new(config),
            home: Home::from_env(),
            ledger: Ledger::new(config),
            notifier: Notifier::new(config),
            traffic: Traffic::new(config),
        }
    }

    /// Tells the callers apart.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        match Call::parse(payload)? {
            Call::Event(event) => match Event::parse(event, &self.home)? {
                Event::ExecutionEnded {
                    execution,
                    status,
                    error,
                    cause,
                    application,
                    time,
                } => {
                    Box::pin(self.execution_ended(
                        &execution,
                        &status,
                        error.as_deref(),
                        cause.as_deref(),
                        application,
                        time,
                    ))
                    .await
                }
                Event::Tick { time } => self.sweep(time).await,
                Event::Foreign(why) => {
                    events::ignored(&why);
                    Ok(json!({}))
                }
                Event::AlarmFired { .. } | Event::Other => Ok(json!({})),
            },
            Call::Task(task) => {
                let ending = match by_hand::requested(&task.state) {
                    Some(request) => Box::pin(self.by_hand(&task, request)).await?,
                    None => Box::pin(self.failed(&task)).await?,
                };
                Ok(json!(State::from(ending)))
            }
        }
    }
}

/// Returns the outcome of an execution that took no locks.
fn nothing_begun(application: Option<Application>, why: &Why) -> Outcome {
    Outcome {
        deployment_status: DeploymentStatus::Rejected,
        application,
        functions: Vec::new(),
        reason: why.reason.clone(),
        evidence: why.evidence.clone(),
        steps: Vec::new(),
        answers: Vec::new(),
        warnings: Vec::new(),
        served_by: Vec::new(),
        retain_until: None,
        front_door: None,
        hook: None,
    }
}
