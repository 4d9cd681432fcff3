//! Gives green its share for this step, and records it. Safe to repeat.

use crossfade::{
    aws::{ledger::Ledger, logs::Logs, notify::Notifier, traffic::Traffic},
    domain::{
        Timestamp,
        moved::Moved,
        names::FunctionName,
        release::{Event, Release},
        weight::Weight,
    },
    error::Error,
    notice::Notice,
    protocol::{
        live,
        release::{Attempt, shift},
    },
    wire::{
        state::State,
        task::{Task, task},
    },
};
use serde_json::Value;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    traffic: Traffic,
    ledger: Ledger,
    notifier: Notifier,
    logs: Option<Logs>,
}

/// Returns the functions that are listened to and that a smoke test has invoked.
fn tested(release: &Release) -> Vec<FunctionName> {
    let tests = &release.progress().evidence.validation;
    let is_tested = |name: &&FunctionName| {
        let mut tests = tests.iter();
        tests.any(|test| test["functionName"] == name.as_ref())
    };
    let listens_to = release.spec.listens_to.iter();
    listens_to.filter(is_tested).cloned().collect()
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            traffic: Traffic::new(config),
            ledger,
            notifier,
            logs: Logs::listening(config),
        }
    }

    /// Puts the weight on record of a release whose logs are listened to, and before the first one sees whether
    /// anything of green is received. Returns what operators should know.
    async fn listen(
        &self,
        execution: &str,
        release: &Release,
        to: Weight,
        now: Timestamp,
    ) -> Result<Vec<String>, Error> {
        if release.spec.listens_to.is_empty() || to == Weight::ZERO {
            return Ok(Vec::new());
        }
        live::before_shift(&self.ledger, execution, to, now).await?;
        if release.weight() > Weight::ZERO {
            return Ok(Vec::new());
        }
        let heard_of = tested(release);
        if heard_of.is_empty() {
            return Ok(vec![
                "whether failures in green's log are received is not known before green has requests, for no smoke test \
                 has made it write any; give functions[].smokeTests"
                    .into(),
            ]);
        }
        let clock = self.traffic.api();
        let silent = live::unheard(&self.ledger, clock, execution, &heard_of).await?;
        let Some(first) = silent.first() else {
            return Ok(Vec::new());
        };
        tracing::warn!(
            event = "lane_deaf",
            deployment.id = execution,
            functions = silent.len(),
            "Nothing of green's log was received in time."
        );
        let told = format!(
            "nothing of the log of {first}{} was received within {} s of its smoke tests: {}",
            match silent.len() {
                1 => String::new(),
                more => format!(" and {} others", more - 1),
            },
            live::HEARING.as_secs(),
            if silent.len() == heard_of.len() {
                "the release goes on by alarms and metrics alone"
            } else {
                "these are judged by alarms and metrics alone"
            }
        );
        if silent.len() == heard_of.len()
            && let Some(logs) = &self.logs
        {
            live::deafen(logs, &self.ledger, execution).await?;
        }
        Ok(vec![told])
    }

    /// Shifts to the step that the position names.
    pub async fn handle(&self, payload: Value) -> Result<State, Error> {
        let task: Task = task(payload)?;
        let (release, _) = task.state.in_flight()?.answered(task.now)?;
        let step = release.due_shift()?;

        let to = step.weight;
        let attempt = Attempt {
            execution: &task.execution,
            retries: task.retries,
            now: task.now,
        };
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let warnings = Box::pin(self.listen(&task.execution, &release, to, task.now)).await?;
        let after = |moved: Moved| {
            let mut shifted = release.clone();
            let event = Event::Shifted {
                functions: moved.functions,
                effective: moved.in_force,
                warnings: warnings.clone(),
            };
            let applied = shifted.apply(event, task.now);
            applied.expect("the shift is due, as it was a moment ago");
            shifted
        };
        let shifted = shift(traffic, ledger, attempt, &release, to, after).await?;
        tracing::info!(
            event = "traffic_shifted",
            deployment.id = task.execution,
            step = shifted.progress().position.step,
            weight_percent = to.percent(),
            bake_seconds = step.bake_seconds,
            "Shifted traffic."
        );
        // Published last, and only what is on record: a retry then publishes at most once more, where the
        // answer to this call was lost.
        let told = Notice::shifted(&task.execution, task.now, &shifted);
        self.notifier.mention(&told).await;
        Ok(shifted.into())
    }
}
