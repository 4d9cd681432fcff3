//! Executions, as Step Functions has them.

use aws_config::SdkConfig;
use aws_sdk_sfn::{
    Client,
    primitives::DateTime,
    types::{HistoryEvent, HistoryEventType as Kind},
};
use crossfade::{
    aws::classify::{classify, is},
    domain::Timestamp,
    wire::failure::Failure,
};
use serde_json::Value;

use crate::{error::CliError, exit_code::Ended, exit_code::Exit};

/// The most events of one page: what Step Functions gives.
const PAGE: i32 = 1000;

/// How many of the newest events are requested while a release is watched: more than come between two
/// looks, so that one call will do. As many of the newest executions are listed.
const NEWEST: i32 = 100;

/// One event of an execution's history, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Its place in the history, counted from 1.
    pub(crate) id: i64,
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) what: What,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// The execution began.
    Started {
        /// Its input.
        input: Value,
    },
    /// A state was entered.
    Entered {
        /// Its name.
        state: String,
        /// Whether it calls something.
        task: bool,
        /// Its input.
        input: Value,
    },
    /// A call was made.
    Called,
    /// A call failed.
    Failed(Failure),
    /// A state was left.
    Exited {
        /// Its name.
        state: String,
        /// Its output.
        output: Value,
    },
    /// The execution ended.
    Ended(Box<Ended>),
    /// Anything else.
    Other,
}

/// A started execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its ARN.
    pub(crate) arn: String,
}

impl Run {
    /// Its name: the last part of the ARN.
    pub(crate) fn name(&self) -> &str {
        self.arn.rsplit(':').next().unwrap_or(&self.arn)
    }

    /// The execution of `machine` that has a name.
    pub(crate) fn of(machine: &str, name: &str) -> Self {
        let machine = machine.replacen(":stateMachine:", ":execution:", 1);
        Self {
            arn: format!("{machine}:{name}"),
        }
    }
}

/// Step Functions.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    client: Client,
}

impl Runs {
    /// A client on `config`.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self {
            client: Client::new(config),
        }
    }

    /// Starts an execution. With the name and the input of one that runs, it is that one.
    pub(crate) async fn start(
        &self,
        machine: &str,
        name: &str,
        input: &Value,
    ) -> Result<Run, CliError> {
        let started = self
            .client
            .start_execution()
            .state_machine_arn(machine)
            .name(name)
            .input(input.to_string())
            .send()
            .await;
        match started {
            Ok(started) => Ok(Run {
                arn: started.execution_arn,
            }),
            Err(error) if is(&error, "ExecutionAlreadyExists") => Err(CliError::new(
                Exit::Rejected,
                format!("a release called {name} ran before, or runs with another request"),
            )
            .next("give it another --name; a name is free again after 90 days")),
            Err(error) if is(&error, "InvalidName") => Err(CliError::new(
                Exit::Usage,
                format!("Step Functions does not take {name:?} as an execution's name"),
            )
            .next("give it another --name")),
            Err(error) if is(&error, "StateMachineDoesNotExist") => Err(CliError::new(
                Exit::Failed,
                format!("there is no state machine {machine}"),
            )
            .next("look at --state-machine, --stack and --region")),
            Err(error) => Err(classify("StartExecution", &error).into()),
        }
    }

    /// The newest executions of a state machine, newest first: as many as one call has.
    pub(crate) async fn newest(&self, machine: &str) -> Result<Vec<Run>, CliError> {
        let listed = self
            .client
            .list_executions()
            .state_machine_arn(machine)
            .max_results(NEWEST)
            .send()
            .await
            .map_err(|error| classify("ListExecutions", &error))?;
        let executions = listed.executions().iter();
        Ok(executions
            .map(|one| Run {
                arn: one.execution_arn.clone(),
            })
            .collect())
    }

    /// Whether there is such an execution.
    pub(crate) async fn exists(&self, run: &Run) -> Result<bool, CliError> {
        let described = self
            .client
            .describe_execution()
            .execution_arn(&run.arn)
            .send()
            .await;
        match described {
            Ok(_) => Ok(true),
            Err(error) if is(&error, "ExecutionDoesNotExist") || is(&error, "InvalidArn") => {
                Ok(false)
            }
            Err(error) => Err(classify("DescribeExecution", &error).into()),
        }
    }

    /// The events that came after the one with the id `after`, in order. Reads from the newest back, so
    /// that a long history is not read again at each look.
    pub(crate) async fn since(&self, run: &Run, after: i64) -> Result<Vec<Event>, CliError> {
        let mut events = Vec::new();
        let mut token = None;
        let size = if after == 0 { PAGE } else { NEWEST };
        loop {
            let page = self
                .client
                .get_execution_history()
                .execution_arn(&run.arn)
                .reverse_order(true)
                .max_results(size)
                .set_next_token(token)
                .send()
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) if is(&error, "ExecutionDoesNotExist") => {
                    return Err(CliError::new(
                        Exit::Failed,
                        format!("there is no release {}", run.name()),
                    )
                    .next("`crossfade status` has those in flight; Step Functions forgets after 90 days"));
                }
                Err(error) => return Err(classify("GetExecutionHistory", &error).into()),
            };
            let all = page.events().len();
            let new = page.events().iter().filter(|event| event.id > after);
            let before = events.len();
            events.extend(new.map(event));
            token = page.next_token;
            if token.is_none() || events.len() - before < all {
                break;
            }
        }
        events.sort_by_key(|event| event.id);
        Ok(events)
    }
}

/// What matters here of an event.
pub(crate) fn event(event: &HistoryEvent) -> Event {
    Event {
        id: event.id,
        at: timestamp(&event.timestamp),
        what: what(event),
    }
}

fn timestamp(at: &DateTime) -> Timestamp {
    Timestamp::from_timestamp(at.secs(), at.subsec_nanos()).unwrap_or_default()
}

fn what(event: &HistoryEvent) -> What {
    let json = |text: Option<&str>| {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    if let Some(entered) = &event.state_entered_event_details {
        return What::Entered {
            state: entered.name.clone(),
            task: event.r#type == Kind::TaskStateEntered,
            input: json(entered.input.as_deref()),
        };
    }
    if let Some(exited) = &event.state_exited_event_details {
        return What::Exited {
            state: exited.name.clone(),
            output: json(exited.output.as_deref()),
        };
    }
    let ended = |status: &str, output, error, cause| {
        What::Ended(Box::new(Ended::of(status, output, error, cause)))
    };
    match event.r#type {
        Kind::ExecutionStarted => What::Started {
            input: json(
                event
                    .execution_started_event_details
                    .as_ref()
                    .and_then(|it| it.input.as_deref()),
            ),
        },
        Kind::TaskScheduled => What::Called,
        Kind::TaskFailed => {
            let details = event.task_failed_event_details.clone();
            let (error, cause) = details.map(|it| (it.error, it.cause)).unwrap_or_default();
            What::Failed(Failure {
                error: error.unwrap_or_default(),
                cause: cause.unwrap_or_default(),
            })
        }
        Kind::ExecutionSucceeded => {
            let details = event.execution_succeeded_event_details.as_ref();
            let output = details.and_then(|it| it.output.as_deref());
            ended("SUCCEEDED", output, None, None)
        }
        Kind::ExecutionFailed => {
            let details = event.execution_failed_event_details.clone();
            let (error, cause) = details.map(|it| (it.error, it.cause)).unwrap_or_default();
            ended("FAILED", None, error, cause)
        }
        Kind::ExecutionAborted => {
            let details = event.execution_aborted_event_details.clone();
            let (error, cause) = details.map(|it| (it.error, it.cause)).unwrap_or_default();
            ended("ABORTED", None, error, cause)
        }
        Kind::ExecutionTimedOut => {
            let details = event.execution_timed_out_event_details.clone();
            let (error, cause) = details.map(|it| (it.error, it.cause)).unwrap_or_default();
            ended("TIMED_OUT", None, error, cause)
        }
        _ => What::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_executions_by_name() {
        let machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:crossfade-deployment";
        let run = Run::of(machine, "chat-42");
        assert_eq!(
            run.arn,
            "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:chat-42"
        );
        assert_eq!(run.name(), "chat-42");
    }
}
