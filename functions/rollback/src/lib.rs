//! Restores all traffic to blue, for each caller:
//!
//! - as a state of the execution, after any failure, or for `{"action": "rollback"}`;
//! - from EventBridge, when an execution ended without doing so itself;
//! - from the schedule, when that event was lost.
//!
//! Safe to run twice, twice at once, and late.

mod by_hand;
mod failed;
mod failure;
mod sweep;

use crossfade::{
    aws::{executions::Executions, ledger::Ledger, logs::Logs, notify::Notifier, traffic::Traffic},
    domain::{about::About, names::Application, record::Why, status::DeploymentStatus},
    error::{self, Error},
    wire::{
        events::{self, Event, Home},
        failure::Failure,
        graph::{Next, Output},
        outcome::{Ending, Finished, Outcome},
        state::{Caught, State},
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
    logs: Option<Logs>,
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
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            executions: Executions::new(config),
            home: Home::from_env(),
            ledger,
            logs: Logs::listening(config),
            notifier,
            traffic: Traffic::new(config),
        }
    }

    /// Handles a task of the state machine, a request by hand, an event, or the sweep.
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
                Event::AlarmFired { .. } | Event::FailuresFound { .. } | Event::Other => {
                    Ok(json!({}))
                }
            },
            Call::Task(task) => {
                if let Some(ended) = ended(&task.execution, &task.state) {
                    return Ok(json!(ended));
                }
                let ending = match by_hand::requested(&task.state) {
                    Some(request) => Box::pin(self.by_hand(&task, request)).await?,
                    None => Box::pin(self.failed(&task)).await.map_err(with_page)?,
                };
                Ok(json!(Output::of(ending, Next::rolled_back)))
            }
        }
    }
}

/// Names the page of what the execution ends with where this state cannot roll back: the Cause of `RollbackFailed`
/// is this error's.
fn with_page(error: Error) -> Error {
    match error::page("RollbackFailed") {
        Some(page) => error.see(&page),
        None => error,
    }
}

/// Ends a release that has ended already: what came after its end has failed, and changes nothing of it. None where
/// there is something to roll back.
fn ended(execution: &str, caught: &Caught) -> Option<Output> {
    let ended = match &caught.state {
        State::Finished(finished) => Output::of(
            Finished {
                hook: None,
                ..(**finished).clone()
            },
            Next::finished,
        ),
        State::RollingBack(ending) => Output::of(
            Ending {
                undo: false,
                hook: None,
                ..(**ending).clone()
            },
            Next::rolled_back,
        ),
        State::Requested(_) | State::Wiring(_) | State::InFlight(_) | State::Outcome(_) => {
            return None;
        }
    };
    tracing::warn!(
        event = "release_closed",
        deployment.id = execution,
        error.name = caught
            .failure
            .as_ref()
            .map(|failure: &Failure| &failure.error),
        "Closed a release whose last state has failed."
    );
    Some(ended)
}

/// Returns the outcome of an execution that took no locks.
fn nothing_begun(application: Option<Application>, why: &Why) -> Outcome {
    Outcome {
        deployment_status: DeploymentStatus::Rejected,
        application,
        about: About::default(),
        functions: Vec::new(),
        reason: why.reason.clone(),
        evidence: why.evidence.clone(),
        steps: Vec::new(),
        answers: Vec::new(),
        warnings: Vec::new(),
        sides: None,
        served_by: Vec::new(),
        retain_until: None,
        front_door: None,
        hook: None,
        help: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_page_where_it_cannot_roll_back() {
        let failed = with_page(Error::Transient("UpdateAlias of chat: 500".into()));
        assert_eq!(failed.name(), "Transient");
        assert_eq!(
            failed.to_string(),
            "UpdateAlias of chat: 500; see docs/errors/RollbackFailed.md"
        );
    }

    #[test]
    fn ends_what_has_ended_as_it_was() {
        let ended = |state: &Value| {
            let caught: Caught = serde_json::from_value(state.clone()).unwrap();
            ended("e", &caught).map(|output| json!(output))
        };
        let hook = json!({"point": "afterPromote", "functionName": "f", "timeoutSeconds": 60,
            "status": "IN_PROGRESS", "asked": 1, "waitedSeconds": 1, "waitSeconds": 30});
        let outcome =
            json!({"deploymentStatus": "SUCCESSFUL", "application": "chat", "reason": "fine"});
        let failure = json!({"Error": "States.Timeout", "Cause": ""});
        let kept = json!({"phase": "finished", "next": "hook", "outcome": outcome, "hook": hook,
            "failure": failure});
        let end = ended(&kept).unwrap();
        assert_eq!((&end["next"], end.get("hook")), (&json!("done"), None));
        assert_eq!(end["outcome"]["deploymentStatus"], "SUCCESSFUL");
        for (error, asked_for, next) in [
            ("DeploymentRolledBack", false, "rolledBack"),
            ("DeploymentHeld", false, "held"),
            ("DeploymentRolledBack", true, "done"),
        ] {
            let back = json!({"phase": "rollingBack", "next": "migrate", "askedFor": asked_for,
                "error": error, "cause": "{}", "outcome": outcome, "undo": true, "hook": hook,
                "failure": failure});
            let end = ended(&back).unwrap();
            assert_eq!((&end["next"], &end["error"]), (&json!(next), &json!(error)));
            assert!(end.get("undo").is_none() && end.get("hook").is_none());
        }
        for request in [json!({"outcome": outcome}), json!({"next": "done"})] {
            assert_eq!(ended(&request), None);
        }
    }
}
