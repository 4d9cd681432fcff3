//! Ends the retention of promoted releases, and deletes the versions that nothing needs any more. A
//! state says which part, by `act`:
//!
//! - `supersede`, at its beginning: a newer release ends the retention of those before it;
//! - `plan`: what is going to be deleted and what is kept, each with its reason. Changes nothing;
//! - `prune`: deletes what the plan names and nothing needs by then, looking right before each;
//! - `tell`: an operator has to look at a retention that failed;
//! - `warn`: the same of one that could not be started.

mod observe;
mod prune;
mod retention_status;

use crossfade::display::truncate;
use crossfade::{
    aws::{ledger::Ledger, notify::Notifier, versions::Versions},
    domain::{
        names::{Application, FunctionName},
        record::Record,
    },
    error::Error,
    notice::Notice,
    wire::{
        failure::Failure,
        retention::Retention,
        task::{Task, task},
    },
};
use serde_json::{Value, json};

use crate::retention_status::Found;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    ledger: Ledger,
    notifier: Notifier,
    versions: Versions,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            ledger,
            notifier,
            versions: Versions::new(config),
        }
    }

    /// Handles one action of the retention: the payload names it.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let act = payload["act"].as_str().unwrap_or_default().to_owned();
        match act.as_str() {
            "supersede" => self.supersede(task(payload)?).await.map(|now| json!(now)),
            "plan" => self.plan(task(payload)?).await.map(|now| json!(now)),
            "prune" => Box::pin(self.prune(task(payload)?))
                .await
                .map(|now| json!(now)),
            "tell" => self.report_failure(task(payload)?).await,
            "warn" => self.warn(task(payload)?).await,
            other => Err(Error::InvalidRequest(
                format!("there is no act {other:?}").into(),
            )),
        }
    }

    /// Ends the retention of the application's older releases.
    async fn supersede(&self, task: Task<Retention>) -> Result<Retention, Error> {
        let mut retention = task.state;
        if let Some(record) = self.ledger.get(&retention.deployment).await? {
            retention.supersedes = self.ledger.supersede(&record).await?;
            tracing::info!(
                event = "older_retention_ended",
                deployment.id = retention.deployment,
                older = retention.supersedes.len(),
                "Ended the retention of older releases."
            );
        }
        Ok(retention)
    }

    /// How the release stands, and what it was.
    async fn found(&self, retention: &Retention) -> Result<Found, Error> {
        let (record, last) = futures::try_join!(
            self.ledger.get(&retention.deployment),
            self.ledger.promoted_last(&retention.application),
        )?;
        retention_status::of(record, last.as_deref())
    }

    /// A retention failed: an operator has to look.
    async fn report_failure(&self, task: Task<Value>) -> Result<Value, Error> {
        let mut state = task.state;
        if let Ok(retention) = serde_json::from_value::<Retention>(state.clone()) {
            let record = self.ledger.get(&retention.deployment).await?;
            for function in record.iter().flat_map(functions) {
                self.ledger
                    .unmark_for_deletion(function, &task.execution)
                    .await?;
            }
        }
        let what = format!("its versions were not cleaned up: {}", cause(&state));
        self.notifier
            .deliver(&Notice::retention_failed(
                &task.execution,
                task.now,
                application(&state),
                what.clone(),
            ))
            .await?;
        // What the execution fails with, whatever failed.
        state["failure"]["Cause"] = json!(what);
        Ok(state)
    }

    /// A retention could not be started: the release is promoted all the same.
    async fn warn(&self, task: Task<Value>) -> Result<Value, Error> {
        let mut state = task.state;
        let what = format!(
            "no retention was started, so its versions will not be cleaned up: {}",
            cause(&state)
        );
        if let Some(fields) = state.as_object_mut() {
            fields.remove("failure");
        }
        // The definition of version 0.1 hands on the outcome alone.
        let outcome = match state.get("outcome") {
            Some(_) => &mut state["outcome"],
            None => &mut state,
        };
        self.notifier
            .deliver(&Notice::retention_failed(
                &task.execution,
                task.now,
                application(outcome),
                what.clone(),
            ))
            .await?;
        if let Some(fields) = outcome.as_object_mut()
            && let Some(warnings) = fields.entry("warnings").or_insert(json!([])).as_array_mut()
        {
            warnings.push(json!(what));
        }
        Ok(state)
    }
}

/// The functions of a deployment, in the order of its request.
fn functions(record: &Record) -> impl Iterator<Item = &FunctionName> {
    let targets = record.footprint.iter().flat_map(|print| &print.functions);
    targets.map(|target| &target.function_name)
}

/// What a Catch left in the state, in words.
fn cause(state: &Value) -> String {
    let failure = Failure::of(state).unwrap_or_default();
    truncate(&failure.to_string(), 1000)
}

fn application(state: &Value) -> Option<Application> {
    state["application"].as_str()?.parse().ok()
}
