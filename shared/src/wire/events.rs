//! EventBridge events, as far as they are read (AWS-FACTS 3). They come at least once, in any order.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    domain::{
        Timestamp,
        names::{AlarmName, Application},
    },
    error::Error,
};

/// An event that a rule of the stack delivers.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// "CloudWatch Alarm State Change" into ALARM.
    AlarmFired {
        /// The alarm.
        name: AlarmName,
        /// CloudWatch's own words on why.
        reason: String,
        /// When.
        time: Timestamp,
    },
    /// "Step Functions Execution Status Change" to a status that runs no Catch, or to FAILED.
    ExecutionEnded {
        /// The execution's ARN.
        execution: String,
        /// `FAILED`, `TIMED_OUT` or `ABORTED`.
        status: String,
        /// The error's name, where there is one.
        error: Option<String>,
        /// The error's cause, where there is one.
        cause: Option<String>,
        /// The application that its input names; none where the input is no request, or is too large
        /// for an event.
        application: Option<Application>,
        /// When.
        time: Timestamp,
    },
    /// "Scheduled Event".
    Tick {
        /// When.
        time: Timestamp,
    },
    /// Nothing to do: an alarm that went back to OK, an execution that runs or succeeded.
    Other,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlarmDetail {
    alarm_name: AlarmName,
    state: AlarmDetailState,
}

#[derive(Debug, Deserialize, Serialize)]
struct AlarmDetailState {
    value: String,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionDetail {
    execution_arn: String,
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
    #[serde(default)]
    input: Option<String>,
}

/// As much of a request as says whose it is.
#[derive(Debug, Deserialize)]
struct Whose {
    application: Application,
}

impl ExecutionDetail {
    fn application(&self) -> Option<Application> {
        let whose: Whose = serde_json::from_str(self.input.as_deref()?).ok()?;
        Some(whose.application)
    }
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is none that a rule of the stack delivers.
    pub fn parse(payload: Value) -> Result<Self, Error> {
        let event: EventBridgeEvent = read(payload)?;
        let time = event
            .time
            .ok_or_else(|| Error::InvalidRequest("the event has no time".into()))?;
        match (event.source.as_str(), event.detail_type.as_str()) {
            ("aws.cloudwatch", "CloudWatch Alarm State Change") => {
                let detail: AlarmDetail = read(event.detail)?;
                Ok(if detail.state.value == "ALARM" {
                    Self::AlarmFired {
                        name: detail.alarm_name,
                        reason: detail.state.reason,
                        time,
                    }
                } else {
                    Self::Other
                })
            }
            ("aws.states", "Step Functions Execution Status Change") => {
                let detail: ExecutionDetail = read(event.detail)?;
                Ok(match detail.status.as_str() {
                    "FAILED" | "TIMED_OUT" | "ABORTED" => Self::ExecutionEnded {
                        application: detail.application(),
                        execution: detail.execution_arn,
                        status: detail.status,
                        error: detail.error,
                        cause: detail.cause,
                        time,
                    },
                    _ => Self::Other,
                })
            }
            ("aws.events", "Scheduled Event") => Ok(Self::Tick { time }),
            (source, kind) => Err(Error::InvalidRequest(format!(
                "no event that is listened for: {kind} from {source}"
            ))),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| {
        Error::InvalidRequest(format!("the event is not as AWS sends it: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alarm(value: &str) -> Value {
        json!({"version": "0", "id": "c4c1", "detail-type": "CloudWatch Alarm State Change",
            "source": "aws.cloudwatch", "account": "123456789012", "time": "2019-10-02T17:04:40Z",
            "region": "us-east-1", "resources": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:NAME"],
            "detail": {"alarmName": "NAME",
                "configuration": {"metrics": []},
                "previousState": {"value": "OK", "timestamp": "2019-10-01T13:56:40.987+0000"},
                "state": {"value": value, "reason": "3 datapoints", "timestamp": "2019-10-02T17:04:40.989+0000"}}})
    }

    #[test]
    fn an_alarm_counts_when_it_fires_and_not_when_it_recovers() {
        assert!(
            matches!(Event::parse(alarm("ALARM")), Ok(Event::AlarmFired { reason, .. }) if reason == "3 datapoints")
        );
        assert_eq!(Event::parse(alarm("OK")), Ok(Event::Other));
        assert_eq!(Event::parse(alarm("INSUFFICIENT_DATA")), Ok(Event::Other));
    }

    #[test]
    fn an_execution_counts_when_it_ended_badly() {
        let event = |status: &str| {
            Event::parse(
                json!({"detail-type": "Step Functions Execution Status Change", "source": "aws.states",
                "time": "2019-02-26T19:42:21Z", "detail": {"executionArn": "arn:e", "status": status,
                "input": "{}", "output": null, "error": null, "cause": null}}),
            )
        };
        for status in ["FAILED", "TIMED_OUT", "ABORTED"] {
            assert!(
                matches!(event(status), Ok(Event::ExecutionEnded { .. })),
                "{status}"
            );
        }
        for status in ["RUNNING", "SUCCEEDED"] {
            assert_eq!(event(status), Ok(Event::Other), "{status}");
        }
    }

    #[test]
    fn an_execution_that_ended_says_whose_it_was_where_it_can() {
        for (input, application) in [
            (json!("{\"application\":\"chat\"}"), Some("chat")),
            (json!("{\"application\":\"\"}"), None),
            (json!("[1]"), None),
            (Value::Null, None),
        ] {
            let event = Event::parse(
                json!({"detail-type": "Step Functions Execution Status Change", "source": "aws.states",
                "time": "2019-02-26T19:42:21Z", "detail": {"executionArn": "arn:e", "status": "ABORTED",
                "input": input}}),
            );
            let Ok(Event::ExecutionEnded {
                application: found, ..
            }) = event
            else {
                panic!("{event:?}");
            };
            assert_eq!(found.as_ref().map(AsRef::as_ref), application);
        }
    }

    #[test]
    fn what_no_rule_delivers_is_refused_by_name() {
        let stray = json!({"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2",
            "time": "2019-02-26T19:42:21Z", "detail": {}});
        assert!(
            matches!(Event::parse(stray), Err(Error::InvalidRequest(m)) if m.contains("aws.ec2"))
        );
    }
}
