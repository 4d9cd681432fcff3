//! Step Functions: whether a deployment's execution still runs, and ending its waits.

use aws_sdk_sfn::{Client, types::ExecutionStatus};
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
