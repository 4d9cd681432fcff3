//! EventBridge events, as far as they are read (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html>). They come at least once, in any order, and
//! a default bus also carries what other accounts and Regions forward to it: only events of the stack's
//! own account and Region are acted on.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    domain::{
        Timestamp,
        live::evidence::LiveEvidence,
        names::{AlarmName, Application},
    },
    error::Error,
};

/// An event that a rule of the stack delivers.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// "CloudWatch Alarm State Change" into ALARM, of an alarm of any kind, muted or not.
    AlarmFired {
        /// The alarm.
        name: AlarmName,
        /// CloudWatch's own words on why.
        reason: String,
        /// When.
        time: Timestamp,
    },
    /// The fast lane requests a rollback of a release.
    FailuresFound {
        /// The execution's ARN.
        execution: String,
        /// The numbers.
        evidence: Box<LiveEvidence>,
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
    /// An event of another account, Region or state machine, with what was found and expected. Nothing
    /// follows from it.
    Foreign(String),
    /// Nothing to do: an alarm that returned to OK, an execution that runs or succeeded.
    Other,
}

/// Where the stack is: the account, the Region and the state machine whose events are acted on. Comes from
/// the function's environment, never from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    partition: String,
    region: String,
    account: String,
    /// What the ARNs of the state machine's executions begin with, the last colon included.
    executions: String,
    /// The state machine's ARN.
    state_machine: String,
}

impl Home {
    /// Reads it from the environment's `EXECUTIONS`.
    ///
    /// # Panics
    /// Without this variable, or where it is no ARN: the template sets it, and nothing works without.
    #[must_use]
    pub fn from_env() -> Self {
        let executions = std::env::var("EXECUTIONS").expect("EXECUTIONS is set by the template");
        Self::of_executions(&executions).expect("EXECUTIONS is an ARN")
    }

    /// Reads it from what the ARNs of the state machine's executions begin with, such as
    /// `arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment`. Returns none where that is
    /// something else.
    #[must_use]
    pub fn of_executions(prefix: &str) -> Option<Self> {
        let parts: Vec<_> = prefix.split(':').collect();
        let [
            "arn",
            partition,
            "states",
            region,
            account,
            "execution",
            name,
        ] = parts[..]
        else {
            return None;
        };
        Some(Self {
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            executions: format!("{prefix}:"),
            state_machine: format!("arn:{partition}:states:{region}:{account}:stateMachine:{name}"),
        })
    }

    /// Returns why an event is of another account or Region, by its envelope; none where it is of this one.
    fn foreign(&self, event: &EventBridgeEvent) -> Option<String> {
        let account = event.account.as_deref().unwrap_or_default();
        let region = event.region.as_deref().unwrap_or_default();
        if account != self.account || region != self.region {
            return Some(format!(
                "the event is of account {account:?} and Region {region:?}; expected {:?} and {:?}",
                self.account, self.region
            ));
        }
        let elsewhere = |arn: &&String| !self.has(arn);
        event.resources.iter().flatten().find(elsewhere).map(|arn| {
            format!(
                "the event is about {arn:?}; expected resources of account {} in {}",
                self.account, self.region
            )
        })
    }

    /// Whether an ARN is one of this partition, account and Region.
    fn has(&self, arn: &str) -> bool {
        let mut parts = arn.split(':');
        parts.next() == Some("arn")
            && parts.next() == Some(&self.partition)
            && parts.next().is_some()
            && parts.next() == Some(&self.region)
            && parts.next() == Some(&self.account)
    }

    /// Returns why an execution is not one of this state machine; none where it is.
    fn foreign_execution(&self, detail: &ExecutionDetail) -> Option<String> {
        let machine = detail.state_machine_arn.as_deref();
        let ours = machine.is_none_or(|arn| arn == self.state_machine)
            && detail.execution_arn.starts_with(&self.executions);
        (!ours).then(|| {
            format!(
                "execution {:?} is of another state machine; expected one of {:?}",
                detail.execution_arn, self.state_machine
            )
        })
    }
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
    /// A PromQL alarm's event may have none.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionDetail {
    execution_arn: String,
    #[serde(default)]
    state_machine_arn: Option<String>,
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
    #[serde(default)]
    input: Option<String>,
}

/// The source and the kind of the fast lane's own event.
const LISTENER: &str = "crossfade.live-errors";
const FOUND: &str = "Crossfade Failures Found";

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundDetail {
    execution_arn: String,
    evidence: LiveEvidence,
}

/// Returns the event by which the fast lane requests a rollback of a release of its own account and Region.
#[must_use]
pub fn failures_found(execution: &str, evidence: &LiveEvidence, time: Timestamp) -> Value {
    let mut parts = execution.split(':').skip(3);
    let (region, account) = (parts.next(), parts.next());
    json!({
        "version": "0", "id": execution, "source": LISTENER, "detail-type": FOUND,
        "account": account, "region": region, "time": time, "resources": [execution],
        "detail": FoundDetail { execution_arn: execution.to_owned(), evidence: evidence.clone() },
    })
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
    /// Reads an event, of the stack at `home`.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is none that a rule of the stack delivers.
    pub fn parse(payload: Value, home: &Home) -> Result<Self, Error> {
        let event: EventBridgeEvent = read(payload)?;
        if let Some(why) = home.foreign(&event) {
            return Ok(Self::Foreign(why));
        }
        let time = event
            .time
            .ok_or_else(|| Error::InvalidRequest("the event has no time".into()))?;
        match (event.source.as_str(), event.detail_type.as_str()) {
            // One series of an alarm. The alarm's own event says when the first one fires.
            ("aws.cloudwatch", "CloudWatch Alarm Contributor State Change") => Ok(Self::Other),
            // What the event of a log alarm is called, and what its ARN has before the name, is not documented.
            ("aws.cloudwatch", kind) if kind.starts_with("CloudWatch") => {
                let detail: AlarmDetail = read(event.detail)?;
                let name = format!("alarm:{}", detail.alarm_name);
                if let Some(other) = event
                    .resources
                    .iter()
                    .flatten()
                    .find(|arn| !arn.ends_with(&name))
                {
                    return Ok(Self::Foreign(format!(
                        "the event names alarm {} and is about {other:?}; expected that alarm's ARN",
                        detail.alarm_name
                    )));
                }
                Ok(if detail.state.value == "ALARM" {
                    Self::AlarmFired {
                        name: detail.alarm_name,
                        reason: detail
                            .state
                            .reason
                            .unwrap_or_else(|| "no reason given".into()),
                        time,
                    }
                } else {
                    Self::Other
                })
            }
            ("aws.states", "Step Functions Execution Status Change") => {
                let detail: ExecutionDetail = read(event.detail)?;
                if let Some(why) = home.foreign_execution(&detail) {
                    return Ok(Self::Foreign(why));
                }
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
            (LISTENER, FOUND) => {
                let detail: FoundDetail = read(event.detail)?;
                if !detail.execution_arn.starts_with(&home.executions) {
                    return Ok(Self::Foreign(format!(
                        "execution {:?} is of another state machine; expected one of {:?}",
                        detail.execution_arn, home.state_machine
                    )));
                }
                Ok(Self::FailuresFound {
                    execution: detail.execution_arn,
                    evidence: Box::new(detail.evidence),
                    time,
                })
            }
            ("aws.events", "Scheduled Event") => Ok(Self::Tick { time }),
            (source, kind) => Err(Error::InvalidRequest(
                format!("no event that is listened for: {kind} from {source}").into(),
            )),
        }
    }
}

/// Logs an event that is not acted on, for it is not of this stack.
pub fn ignored(why: &str) {
    tracing::warn!(
        event = "foreign_event",
        why,
        "Ignored an event from elsewhere."
    );
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| {
        Error::InvalidRequest(format!("the event is not as AWS sends it: {error}").into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXECUTIONS: &str = "arn:aws:states:us-east-1:123456789012:execution:crossfade-deployment";

    fn home() -> Home {
        Home::of_executions(EXECUTIONS).unwrap()
    }

    fn parse(event: Value) -> Result<Event, Error> {
        Event::parse(event, &home())
    }

    fn alarm(value: &str) -> Value {
        json!({"version": "0", "id": "c4c1", "detail-type": "CloudWatch Alarm State Change",
            "source": "aws.cloudwatch", "account": "123456789012", "time": "2019-10-02T17:04:40Z",
            "region": "us-east-1", "resources": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:NAME"],
            "detail": {"alarmName": "NAME",
                "configuration": {"metrics": []},
                "previousState": {"value": "OK", "timestamp": "2019-10-01T13:56:40.987+0000"},
                "state": {"value": value, "reason": "3 datapoints", "timestamp": "2019-10-02T17:04:40.989+0000"}}})
    }

    fn execution(status: &str, input: &Value) -> Value {
        json!({"detail-type": "Step Functions Execution Status Change", "source": "aws.states",
            "account": "123456789012", "region": "us-east-1", "time": "2019-02-26T19:42:21Z",
            "resources": [format!("{EXECUTIONS}:e")],
            "detail": {"executionArn": format!("{EXECUTIONS}:e"), "status": status,
                "stateMachineArn": EXECUTIONS.replace(":execution:", ":stateMachine:"),
                "input": input, "output": null, "error": null, "cause": null}})
    }

    fn tick() -> Value {
        json!({"detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
            "region": "us-east-1", "time": "2019-02-26T19:42:21Z", "detail": {},
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/crossfade-Sweep"]})
    }

    #[test]
    fn reads_what_the_fast_lane_asks_for_and_of_no_other_stack() {
        let evidence = LiveEvidence {
            function_name: "chat".to_owned().try_into().unwrap(),
            green: 4,
            blue: 0,
            sticking: false,
            own_e_value: 900.0,
            e_value: 900.0,
            threshold: 200.0,
            functions: 1,
        };
        let time = "2026-11-29T10:00:00Z".parse().unwrap();
        let asked = |execution: &str| parse(failures_found(execution, &evidence, time)).unwrap();
        let execution = format!("{EXECUTIONS}:e");
        let expected = Event::FailuresFound {
            execution: execution.clone(),
            evidence: Box::new(evidence.clone()),
            time,
        };
        assert_eq!(asked(&execution), expected);
        for other in ["crossfade-deployment:", "123456789012", "us-east-1"] {
            let foreign = asked(&execution.replace(other, "x"));
            assert!(matches!(foreign, Event::Foreign(_)), "{foreign:?}");
        }
    }

    #[test]
    fn acts_on_firing_alarms_only() {
        assert!(
            matches!(parse(alarm("ALARM")), Ok(Event::AlarmFired { reason, .. }) if reason == "3 datapoints")
        );
        for reason in [json!(null), json!("")] {
            let mut silent = alarm("ALARM");
            silent["detail"]["state"]["reason"] = reason;
            assert!(matches!(parse(silent), Ok(Event::AlarmFired { .. })));
        }
        assert_eq!(parse(alarm("OK")), Ok(Event::Other));
        assert_eq!(parse(alarm("INSUFFICIENT_DATA")), Ok(Event::Other));
    }

    #[test]
    fn acts_on_muted_alarms_of_any_kind() {
        let fires = |event: Value| match parse(event) {
            Ok(Event::AlarmFired { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        let mut event = alarm("ALARM");
        event["detail"]["state"]["reason"] = Value::Null;
        event["detail"]["muteDetail"] = json!({"mutedBy": "arn", "muteWindowStart": "2026-01-01"});
        assert_eq!(fires(event.clone()), "no reason given");
        event["detail"]["state"]
            .as_object_mut()
            .unwrap()
            .remove("reason");
        assert_eq!(fires(event.clone()), "no reason given");
        event["detail-type"] = json!("CloudWatch Log Alarm State Change");
        let arn = event["resources"][0].as_str().unwrap();
        event["resources"][0] = json!(arn.replace(":alarm:", ":log-alarm:"));
        assert_eq!(fires(event.clone()), "no reason given");
        event["detail-type"] = json!("CloudWatch Alarm Contributor State Change");
        assert_eq!(parse(event), Ok(Event::Other));
    }

    #[test]
    fn acts_on_failed_executions_only() {
        for status in ["FAILED", "TIMED_OUT", "ABORTED"] {
            let event = parse(execution(status, &json!("{}")));
            assert!(
                matches!(event, Ok(Event::ExecutionEnded { .. })),
                "{status}"
            );
        }
        for status in ["RUNNING", "SUCCEEDED"] {
            let event = parse(execution(status, &json!("{}")));
            assert_eq!(event, Ok(Event::Other), "{status}");
        }
    }

    #[test]
    fn reads_the_owner_of_an_ended_execution() {
        for (input, application) in [
            (json!("{\"application\":\"chat\"}"), Some("chat")),
            (json!("{\"application\":\"\"}"), None),
            (json!("[1]"), None),
            (Value::Null, None),
        ] {
            let event = parse(execution("ABORTED", &input));
            let Ok(Event::ExecutionEnded {
                application: found, ..
            }) = event
            else {
                panic!("{event:?}");
            };
            assert_eq!(found.as_ref().map(AsRef::as_ref), application);
        }
    }

    /// Every event that is acted on, changed in one way that makes it another writer's.
    #[test]
    fn ignores_events_of_other_accounts_regions_and_state_machines() {
        let all = [alarm("ALARM"), execution("ABORTED", &Value::Null), tick()];
        for event in &all {
            let ours = parse(event.clone()).unwrap();
            assert!(
                !matches!(ours, Event::Foreign(_) | Event::Other),
                "{ours:?}"
            );
        }
        let mut foreign = Vec::new();
        for event in &all {
            for (path, value) in [
                ("/account", json!("210987654321")),
                ("/account", json!("")),
                ("/account", Value::Null),
                ("/region", json!("eu-west-1")),
                ("/region", Value::Null),
            ] {
                let mut changed = event.clone();
                *changed.pointer_mut(path).unwrap() = value;
                foreign.push(changed);
            }
            let resource = event["resources"][0].as_str().unwrap();
            for (from, to) in [
                ("123456789012", "210987654321"),
                ("us-east-1", "eu-west-1"),
                ("arn:aws:", "arn:aws-cn:"),
            ] {
                let mut changed = event.clone();
                changed["resources"][0] = json!(resource.replace(from, to));
                foreign.push(changed.clone());
                // Beside a resource of ours.
                changed["resources"] = json!([resource, resource.replace(from, to)]);
                foreign.push(changed);
            }
            let mut without = event.clone();
            let fields = without.as_object_mut().unwrap();
            fields.remove("account");
            fields.remove("region");
            foreign.push(without);
        }
        let mut other_alarm = alarm("ALARM");
        other_alarm["detail"]["alarmName"] = json!("OTHER");
        foreign.push(other_alarm);
        for (field, arn) in [
            (
                "executionArn",
                "arn:aws:states:us-east-1:210987654321:execution:crossfade-deployment:e",
            ),
            (
                "executionArn",
                "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:e",
            ),
            (
                "executionArn",
                "arn:aws:states:us-east-1:123456789012:execution:crossfade-deployment-2:e",
            ),
            (
                "executionArn",
                "arn:aws:states:us-east-1:123456789012:execution:crossfade-retention:e",
            ),
            ("executionArn", "arn:e"),
            (
                "stateMachineArn",
                "arn:aws:states:us-east-1:210987654321:stateMachine:crossfade-deployment",
            ),
            (
                "stateMachineArn",
                "arn:aws:states:us-east-1:123456789012:stateMachine:other",
            ),
        ] {
            let mut changed = execution("ABORTED", &Value::Null);
            changed["detail"][field] = json!(arn);
            foreign.push(changed);
        }
        assert_eq!(foreign.len(), 3 * 12 + 8);
        for event in foreign {
            let read = parse(event.clone());
            assert!(
                matches!(&read, Ok(Event::Foreign(why)) if why.contains("expected")),
                "{event}: {read:?}"
            );
        }
    }

    #[test]
    fn reads_home_from_the_executions_prefix_alone() {
        for wrong in [
            "",
            "crossfade-deployment",
            "arn:aws:states:us-east-1:123456789012:stateMachine:crossfade-deployment",
            "arn:aws:states:us-east-1:123456789012:execution:crossfade-deployment:e",
        ] {
            assert_eq!(Home::of_executions(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn refuses_unknown_events_by_name() {
        let mut stray = tick();
        stray["detail-type"] = json!("EC2 Instance State-change Notification");
        stray["source"] = json!("aws.ec2");
        assert!(
            matches!(parse(stray), Err(Error::InvalidRequest(m)) if m.reason.contains("aws.ec2"))
        );
    }
}
