//! Step Functions: whether a deployment's execution still runs, and ending its waits.

use aws_sdk_sfn::{
    Client,
    primitives::DateTime,
    types::{ExecutionStatus, HistoryEvent, HistoryEventType},
};
use chrono::TimeDelta;
use serde_json::Value;

use super::{
    classify::{classify, is},
    lazy_client::{LazyClient, lazy},
};
use crate::{
    domain::{Timestamp, approval::Answer},
    error::Error,
    wire::failure,
};

/// What has become of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Execution {
    /// It runs: it will read the ledger itself.
    Running,
    /// It has ended.
    Ended(End),
    /// Step Functions does not know it: it ended more than 90 days ago, its state machine is gone,
    /// or it began so lately that this answer is older (answers are eventually consistent).
    Unknown,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Such as `ABORTED`.
    pub status: String,
    /// The error that it failed with, where there is one.
    pub error: Option<String>,
    /// What it said last: its output, or its error's cause.
    pub said: Option<String>,
}

impl Execution {
    /// How it ended; none while it may be running. `began` and `now` distinguish a deleted
    /// execution from one that is not visible yet.
    #[must_use]
    pub fn ended(self, began: Timestamp, now: Timestamp) -> Option<End> {
        /// Far longer than an answer of Step Functions can be old.
        const SETTLED: TimeDelta = TimeDelta::minutes(15);
        match self {
            Self::Running => None,
            Self::Ended(end) => Some(end),
            Self::Unknown => (now - began > SETTLED).then(|| End {
                status: "unknown to Step Functions".to_owned(),
                error: None,
                said: None,
            }),
        }
    }
}

/// One of an execution's last events, as far as it says how the release stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A state's input, or what it left.
    State(Value),
    /// The execution's output, or its error's cause, and when it ended.
    End(Timestamp, Option<String>),
}

impl Told {
    fn of(event: HistoryEvent) -> Option<Self> {
        let json = |text: Option<String>| serde_json::from_str(&text?).ok().map(Self::State);
        if let Some(entered) = event.state_entered_event_details {
            return json(entered.input);
        }
        if let Some(left) = event.state_exited_event_details {
            return json(left.output);
        }
        let said = match event.r#type {
            HistoryEventType::ExecutionSucceeded => event
                .execution_succeeded_event_details
                .and_then(|it| it.output),
            HistoryEventType::ExecutionFailed => {
                event.execution_failed_event_details.and_then(|it| it.cause)
            }
            HistoryEventType::ExecutionAborted => event
                .execution_aborted_event_details
                .and_then(|it| it.cause),
            HistoryEventType::ExecutionTimedOut => event
                .execution_timed_out_event_details
                .and_then(|it| it.cause),
            _ => return None,
        };
        let at = event.timestamp;
        let at = Timestamp::from_timestamp(at.secs(), at.subsec_nanos());
        Some(Self::End(at.unwrap_or_default(), said))
    }
}

/// An execution in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its ARN.
    pub arn: String,
    /// When it began.
    pub began_at: Timestamp,
    /// Whether it runs.
    pub running: bool,
}

/// How many of the newest events are read to know how a release stands: the states that come after the last one with the
/// whole release in it are fewer.
const NEWEST: i32 = 40;

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// It is the one that counts.
    Taken,
    /// Another writer was first, or the wait is over.
    TooLate,
}

/// The deployment state machine's executions.
#[derive(Clone, Debug)]
pub struct Executions {
    client: LazyClient<Client>,
}

impl Executions {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, Client::new),
        }
    }

    /// How an execution stands.
    pub async fn describe(&self, execution: &str) -> Result<Execution, Error> {
        match self
            .client
            .describe_execution()
            .execution_arn(execution)
            .send()
            .await
        {
            Ok(now) if now.status == ExecutionStatus::Running => Ok(Execution::Running),
            Ok(now) => Ok(Execution::Ended(End {
                status: now.status.as_str().to_owned(),
                error: now.error,
                said: now.output.or(now.cause),
            })),
            Err(error) if is(&error, "ExecutionDoesNotExist") => Ok(Execution::Unknown),
            Err(error) => Err(classify("DescribeExecution", &error)),
        }
    }

    /// What an execution was started with; none when Step Functions does not know it any more.
    pub async fn input(&self, execution: &str) -> Result<Option<Value>, Error> {
        match self
            .client
            .describe_execution()
            .execution_arn(execution)
            .send()
            .await
        {
            Ok(now) => Ok(now
                .input
                .and_then(|input| serde_json::from_str(&input).ok())),
            Err(error) if is(&error, "ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(classify("DescribeExecution", &error)),
        }
    }

    /// Returns what an execution's newest events say of the release, newest first; nothing of one that Step Functions does
    /// not know.
    pub async fn newest(&self, execution: &str) -> Result<Vec<Told>, Error> {
        let read = self
            .client
            .get_execution_history()
            .execution_arn(execution)
            .reverse_order(true)
            .max_results(NEWEST)
            .send()
            .await;
        match read {
            Ok(read) => Ok(read.events.into_iter().filter_map(Told::of).collect()),
            Err(error) if is(&error, "ExecutionDoesNotExist") => Ok(Vec::new()),
            Err(error) => Err(classify("GetExecutionHistory", &error)),
        }
    }

    /// Lists the newest executions of a state machine, newest first; those that run alone, or all.
    pub async fn list(
        &self,
        machine: &str,
        running: bool,
        most: i32,
    ) -> Result<Vec<Listed>, Error> {
        let listed = self
            .client
            .list_executions()
            .state_machine_arn(machine)
            .set_status_filter(running.then_some(ExecutionStatus::Running))
            .max_results(most)
            .send()
            .await
            .map_err(|error| classify("ListExecutions", &error))?;
        let time = |at: DateTime| Timestamp::from_timestamp(at.secs(), at.subsec_nanos());
        let executions = listed.executions.into_iter();
        Ok(executions
            .map(|one| Listed {
                arn: one.execution_arn,
                began_at: time(one.start_date).unwrap_or_default(),
                running: one.status == ExecutionStatus::Running,
            })
            .collect())
    }

    /// Ends a wait with an operator's answer. Step Functions takes one answer to a token: of two at the
    /// same time one is too late.
    pub async fn answer(&self, token: &str, answer: &Answer) -> Result<Answering, Error> {
        let output = serde_json::to_string(answer).expect("words always serialise");
        let sent = self
            .client
            .send_task_success()
            .task_token(token)
            .output(output)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Answering::Taken),
            Err(e) if is(&e, "TaskTimedOut") || is(&e, "TaskDoesNotExist") => {
                Ok(Answering::TooLate)
            }
            Err(e) => Err(classify("SendTaskSuccess", &e)),
        }
    }

    /// Ends a wait with an error, so that the execution goes on to its rollback. A wait that is over
    /// already is as good.
    pub async fn fail_task(&self, token: &str, error: &Error) -> Result<(), Error> {
        let sent = self
            .client
            .send_task_failure()
            .task_token(token)
            .error(error.name())
            .cause(failure::message(error))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(e) if is(&e, "TaskTimedOut") || is(&e, "TaskDoesNotExist") => Ok(()),
            Err(e) => Err(classify("SendTaskFailure", &e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn treats_unknown_executions_as_ended_after_a_while() {
        let began: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        assert_eq!(
            Execution::Unknown.ended(began, began + TimeDelta::minutes(1)),
            None
        );
        assert!(
            Execution::Unknown
                .ended(began, began + TimeDelta::hours(1))
                .is_some()
        );
        assert_eq!(
            Execution::Running.ended(began, began + TimeDelta::days(300)),
            None
        );
    }
}
