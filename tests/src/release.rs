//! Executions of the deployed state machine.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_sfn::{
    Client,
    types::{ExecutionStatus, HistoryEvent, HistoryEventType},
};
use serde_json::Value;

use crate::{LocalAws, Stack};

/// How long anything here is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at meanwhile.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until there is something to see.
///
/// # Panics
/// When there is nothing within [`PATIENCE`].
pub async fn until<T, F>(what: &str, look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    until_within(PATIENCE, what, look).await
}

/// The same for what takes longer.
///
/// # Panics
/// When there is nothing within `patience`.
pub async fn until_within<T, F>(patience: Duration, what: &str, look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let seen = within(patience, look).await;
    seen.unwrap_or_else(|| panic!("not within {patience:?}: {what}"))
}

/// Looks until there is something to see, or for `patience`.
pub async fn within<T, F>(patience: Duration, mut look: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + patience;
    loop {
        let seen = look().await;
        if seen.is_some() || Instant::now() >= deadline {
            return seen;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// `SUCCEEDED`, `FAILED`, `ABORTED` or `TIMED_OUT`.
    pub status: String,
    /// Its output; null unless it succeeded.
    pub output: Value,
    /// Its error's name; empty when it has none.
    pub error: String,
    /// Its cause: JSON, or the text as it is; null when it has none.
    pub cause: Value,
}

impl Ended {
    /// The outcome: the output where there is one, or else the cause.
    #[must_use]
    pub fn outcome(&self) -> &Value {
        if self.output.is_null() {
            &self.cause
        } else {
            &self.output
        }
    }
}

/// One state that was entered.
#[derive(Clone, Debug, PartialEq)]
pub struct Entered {
    /// Its name.
    pub state: String,
    /// When, seconds since 1970.
    pub at: f64,
    /// What went in.
    pub input: Value,
    /// When it was left, seconds since 1970; none when it was not.
    pub left_at: Option<f64>,
    /// What came out; null when it was not left.
    pub output: Value,
}

/// An execution.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Its ARN.
    pub arn: String,
    client: Client,
}

/// Starts executions: with the deployed state machine's clients made once.
#[derive(Clone, Debug)]
pub struct Starter {
    client: Client,
    state_machine: Arc<str>,
}

impl Starter {
    /// For the deployed state machine.
    #[must_use]
    pub fn new(config: &SdkConfig, state_machine: &str) -> Self {
        Self {
            client: Client::new(config),
            state_machine: state_machine.into(),
        }
    }

    /// Starts an execution.
    pub async fn start(&self, input: &Value) -> Execution {
        self.start_as(None, input).await
    }

    /// The same under a name.
    pub async fn start_as(&self, name: Option<&str>, input: &Value) -> Execution {
        let started = self
            .client
            .start_execution()
            .state_machine_arn(&*self.state_machine)
            .set_name(name.map(str::to_owned))
            .input(input.to_string())
            .send()
            .await
            .expect("an execution can be started");
        self.existing(&started.execution_arn)
    }

    /// One that has been started.
    #[must_use]
    pub fn existing(&self, arn: &str) -> Execution {
        Execution {
            arn: arn.to_owned(),
            client: self.client.clone(),
        }
    }
}

impl Execution {
    /// Starts an execution of the stack's state machine.
    pub async fn start(local: &LocalAws, stack: &Stack, input: &Value) -> Self {
        Starter::new(&local.config(), &stack.state_machine)
            .start(input)
            .await
    }

    /// Whether there is such an execution.
    pub async fn exists(&self) -> bool {
        let described = self
            .client
            .describe_execution()
            .execution_arn(&self.arn)
            .send()
            .await;
        match described {
            Ok(_) => true,
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_execution_does_not_exist(), "{error:?}");
                false
            }
        }
    }

    /// How it ended; none while it runs.
    pub async fn ended(&self) -> Option<Ended> {
        let now = self
            .client
            .describe_execution()
            .execution_arn(&self.arn)
            .send()
            .await
            .expect("the execution can be described");
        if now.status == ExecutionStatus::Running {
            return None;
        }
        let json = |text: Option<String>| match text {
            None => Value::Null,
            Some(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        Some(Ended {
            status: now.status.as_str().to_owned(),
            output: json(now.output),
            error: now.error.unwrap_or_default(),
            cause: json(now.cause),
        })
    }

    /// Waits for its end.
    pub async fn wait(&self) -> Ended {
        self.wait_within(PATIENCE).await
    }

    /// The same for one that takes longer.
    pub async fn wait_within(&self, patience: Duration) -> Ended {
        let what = format!("the end of {}", self.arn);
        until_within(patience, &what, || self.ended()).await
    }

    /// Its events, in order.
    pub async fn history(&self) -> Vec<HistoryEvent> {
        self.client
            .get_execution_history()
            .execution_arn(&self.arn)
            .max_results(1000)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .expect("the history can be read")
    }

    /// The states it entered, in order.
    pub async fn visits(&self) -> Vec<Entered> {
        visits(&self.history().await)
    }

    /// The names of the states it entered, in order.
    pub async fn states_entered(&self) -> Vec<String> {
        self.visits()
            .await
            .into_iter()
            .map(|visit| visit.state)
            .collect()
    }

    /// Waits until it enters a state for the nth time, counted from 1. Returns what went in.
    ///
    /// # Panics
    /// When it ends without.
    pub async fn wait_for_state(&self, state: &str, nth: usize) -> Value {
        let what = format!("{state} for the {nth}. time in {}", self.arn);
        until(&what, || async {
            // Looked at before the history, so that a history of an ended one is whole.
            let ended = self.ended().await;
            let visits = self.visits().await;
            let found = visits
                .iter()
                .filter(|visit| visit.state == state)
                .nth(nth - 1);
            if found.is_none()
                && let Some(ended) = ended
            {
                panic!("no {what}: it ended so: {ended:?}");
            }
            found.map(|visit| visit.input.clone())
        })
        .await
    }

    /// The most that was handed to a state or came from one, in bytes, and what it was. Step Functions
    /// takes 262,144.
    pub async fn largest_data(&self) -> (String, usize) {
        let mut state = "the execution".to_owned();
        let mut largest = (String::new(), 0);
        for event in self.history().await {
            if let Some(entered) = &event.state_entered_event_details {
                state.clone_from(&entered.name);
            }
            let entered = event.state_entered_event_details.and_then(|it| it.input);
            let exited = event.state_exited_event_details.and_then(|it| it.output);
            let asked = event.task_scheduled_event_details.map(|it| it.parameters);
            let answered = event.task_succeeded_event_details.and_then(|it| it.output);
            for (what, data) in [
                ("input", entered),
                ("output", exited),
                ("call", asked),
                ("answer", answered),
            ] {
                let bytes = data.map_or(0, |data| data.len());
                if bytes > largest.1 {
                    largest = (format!("{state}'s {what}"), bytes);
                }
            }
        }
        largest
    }

    /// Stops it, as a person does in the console.
    pub async fn stop(&self) {
        self.client
            .stop_execution()
            .execution_arn(&self.arn)
            .send()
            .await
            .expect("the execution can be stopped");
    }

    /// Answers a hold or an approval with `decision`; the token is the one that people were told.
    pub async fn answer(&self, token: &str, decision: &str) {
        let answer = serde_json::json!({ "decision": decision });
        self.answer_with(token, &answer).await;
    }

    /// Answers with all that there is to say.
    pub async fn answer_with(&self, token: &str, answer: &Value) {
        assert!(self.takes_all(token, answer).await, "it can be answered");
    }

    /// Whether an answer is taken: the first one to a token is.
    pub async fn takes(&self, token: &str, decision: &str) -> bool {
        let answer = serde_json::json!({ "decision": decision });
        self.takes_all(token, &answer).await
    }

    async fn takes_all(&self, token: &str, answer: &Value) -> bool {
        let sent = self
            .client
            .send_task_success()
            .task_token(token)
            .output(answer.to_string())
            .send()
            .await;
        match sent {
            Ok(_) => true,
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_task_timed_out(), "{error:?}");
                false
            }
        }
    }

    /// How many events of a kind its history has.
    pub async fn count(&self, kind: HistoryEventType) -> usize {
        self.history()
            .await
            .iter()
            .filter(|event| event.r#type == kind)
            .count()
    }
}

/// The states that a history says were entered, in order.
#[must_use]
pub fn visits(history: &[HistoryEvent]) -> Vec<Entered> {
    let mut visits: Vec<Entered> = Vec::new();
    let read = |text: Option<&str>| {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    for event in history {
        let at = event.timestamp.as_secs_f64();
        if let Some(entered) = &event.state_entered_event_details {
            visits.push(Entered {
                state: entered.name.clone(),
                at,
                input: read(entered.input.as_deref()),
                left_at: None,
                output: Value::Null,
            });
        }
        if let Some(exited) = &event.state_exited_event_details
            && let Some(visit) = visits.last_mut()
        {
            visit.left_at = Some(at);
            visit.output = read(exited.output.as_deref());
        }
    }
    visits
}
