//! What would be in a release's way, read from AWS and changing nothing.

use std::collections::BTreeMap;

use crossfade::{
    aws::{
        functions::Functions,
        ledger::{Ledger, Record},
        metrics::Metrics,
        traffic::{Serving, Traffic},
    },
    domain::{
        check::{AlarmState, Reading},
        front_door::FrontDoor,
        health::{Side, of_green},
    },
    error::Error,
    wire::request::{Code, HealthCheck, PreexistingAlarms, ReleaseRequest},
};
use futures::future::join_all;
use serde::Serialize;

use crate::{place::Aws, runs::Run, trouble::Trouble};

/// What AWS says before a release.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preflight {
    /// What serves now, a phrase for each function.
    pub(crate) serving: Vec<String>,
    /// What people should know.
    pub(crate) warnings: Vec<String>,
    /// What would turn the release away.
    pub(crate) problems: Vec<String>,
}

impl Preflight {
    /// Looks. What cannot be read is a warning: the role of the one who asks may be less than Crossfade's.
    pub(crate) async fn of(aws: &Aws, request: &ReleaseRequest) -> Self {
        let config = aws.config();
        let (traffic, metrics, functions) = (
            Traffic::new(config),
            Metrics::new(config),
            Functions::new(config),
        );
        let names = request.functions.iter().map(|asked| &asked.function_name);
        let (observed, readings, bypasses, open, stack) = futures::join!(
            traffic.observe(request),
            metrics.alarms(&request.analysis.alarms),
            join_all(names.map(|name| functions.bypasses(name))),
            open(aws),
            aws.stack(),
        );
        let mut seen = Self::default();
        match observed {
            Ok(observed) => {
                for (asked, serving) in request.functions.iter().zip(&observed.functions) {
                    let serves = told(serving);
                    seen.serving
                        .push(format!("{}: {serves}", asked.function_name));
                }
                seen.serving
                    .extend(asked(&request.analysis.health_checks, &observed.door));
                seen.warnings.extend(observed.warnings);
            }
            Err(
                error @ (Error::ChangedOutside(_)
                | Error::ValidationFailed(_)
                | Error::InvalidRequest(_)),
            ) => seen.problems.push(error.to_string()),
            Err(error) => seen.unread("what serves", error),
        }
        match readings {
            Ok(readings) => seen.alarms(&readings, request.analysis.preexisting_alarms),
            Err(error) => seen.unread("the alarms", error),
        }
        for found in bypasses {
            match found {
                Ok(found) => seen.warnings.extend(found),
                Err(error) => seen.unread("who calls a function past its alias", error),
            }
        }
        match open {
            Ok(open) => seen.in_flight(request, &open),
            Err(trouble) => seen
                .warnings
                .push(format!("could not read the ledger: {trouble}")),
        }
        if let Ok(stack) = stack {
            seen.stack(request, &stack.parameters);
        }
        seen
    }

    fn unread(&mut self, what: &str, error: Error) {
        let trouble = Trouble::from(error);
        self.warnings
            .push(format!("could not read {what}: {trouble}"));
    }

    fn alarms(&mut self, readings: &[Reading], preexisting: PreexistingAlarms) {
        for Reading { name, state, .. } in readings {
            match (state, preexisting) {
                (AlarmState::Ok, _) => {}
                (AlarmState::Alarm, PreexistingAlarms::Refuse) => self.problems.push(format!(
                    "alarm {name} is in ALARM: wait until it is OK, or release with analysis.preexistingAlarms = ignore"
                )),
                (AlarmState::Alarm, PreexistingAlarms::Ignore) => self.warnings.push(format!(
                    "alarm {name} is in ALARM, and counts only once it fires anew"
                )),
                (AlarmState::InsufficientData, _) => self.warnings.push(format!(
                    "alarm {name} has INSUFFICIENT_DATA: as long as that is so, no bake passes"
                )),
                (AlarmState::Missing, _) => self
                    .problems
                    .push(format!("no alarm of the name {name} exists")),
            }
        }
    }

    /// Whether somebody else has a lock that this release needs.
    fn in_flight(&mut self, request: &ReleaseRequest, open: &[Record]) {
        let mut needs = vec![format!("application/{}", request.application)];
        let names = request.functions.iter().map(|asked| &asked.function_name);
        needs.extend(names.map(|name| format!("function/{name}")));
        for record in open {
            let held: Vec<_> = needs
                .iter()
                .filter(|lock| record.locks.contains(lock))
                .map(String::as_str)
                .collect();
            if !held.is_empty() {
                let arn = record.execution.clone();
                let status: &str = record.status.into();
                self.problems.push(format!(
                    "release {} of {} ({status}) has {}",
                    Run { arn }.name(),
                    record.application,
                    held.join(", ")
                ));
            }
        }
    }

    /// Whether the stack was deployed for what the request names.
    fn stack(&mut self, request: &ReleaseRequest, parameters: &BTreeMap<String, String>) {
        let parameter = |name: &str| parameters.get(name).map(String::as_str);
        let prefix = parameter("TargetFunctionPrefix").unwrap_or_default();
        for (index, asked) in request.functions.iter().enumerate() {
            let name = asked.function_name.as_ref();
            if !name.starts_with(prefix) {
                self.problems.push(format!(
                    "functions[{index}].functionName: the stack may release functions that begin with {prefix}, and {name} does not"
                ));
            }
            if let (Some(Code::S3 { s3_bucket, .. }), Some(bucket)) =
                (&asked.code, parameter("ArtifactBucket"))
                && s3_bucket.as_ref() != bucket
            {
                self.problems.push(format!(
                    "functions[{index}].code.s3Bucket: the stack may read from {}, not from {s3_bucket}",
                    if bucket.is_empty() { "no bucket" } else { bucket }
                ));
            }
        }
    }
}

/// Which health checks a release that began now would ask: those of the side that is green.
fn asked(checks: &[HealthCheck], door: &FrontDoor) -> Option<String> {
    let side = Side::green(door).filter(|_| !checks.is_empty())?;
    let asked = of_green(checks, door);
    let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
    Some(format!(
        "green is {side}, and its health checks are asked: {}",
        asked.join(", ")
    ))
}

/// The releases that have not ended.
async fn open(aws: &Aws) -> Result<Vec<Record>, Trouble> {
    let ledger: Ledger = aws.ledger().await?;
    let running = ledger.running().await?;
    let records = join_all(running.iter().map(|execution| ledger.get(execution))).await;
    let records: Vec<_> = records.into_iter().collect::<Result<_, _>>()?;
    Ok(records.into_iter().flatten().collect())
}

fn told(serving: &Serving) -> String {
    match (&serving.alias, &serving.seen, &serving.version) {
        (Some(alias), Some(seen), _) => format!("alias {alias} is on {seen}"),
        (Some(alias), None, _) => format!("alias {alias} does not exist yet: a first release"),
        (None, _, Some(version)) => format!("version {version}"),
        (None, _, None) => "nothing yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use PreexistingAlarms::{Ignore, Refuse};
    use crossfade::{domain::names::AlarmName, wire::request::Request};
    use serde_json::json;

    use super::*;

    fn request() -> Box<ReleaseRequest> {
        let request = json!({"application": "chat", "strategy": "dev",
            "functions": [{"functionName": "chat-api", "alias": "live", "code": {"s3Bucket": "mine", "s3Key": "1.zip"}}]});
        match Request::parse(&request) {
            Ok(Request::Release(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_alarm_that_cannot_pass_is_in_the_way() {
        let seen = |state, preexisting| {
            let name = AlarmName::try_from("a".to_owned()).unwrap();
            let mut seen = Preflight::default();
            seen.alarms(
                &[Reading {
                    name,
                    state,
                    since: None,
                }],
                preexisting,
            );
            (seen.problems.len(), seen.warnings.len())
        };
        assert_eq!(seen(AlarmState::Ok, Refuse), (0, 0));
        assert_eq!(seen(AlarmState::Alarm, Refuse), (1, 0));
        assert_eq!(seen(AlarmState::Alarm, Ignore), (0, 1));
        assert_eq!(seen(AlarmState::Missing, Ignore), (1, 0));
        assert_eq!(seen(AlarmState::InsufficientData, Refuse), (0, 1));
    }

    #[test]
    fn what_the_stack_may_not_touch_is_told_before() {
        let stack = |prefix: &str, bucket: &str| {
            let mut seen = Preflight::default();
            let parameters = [("TargetFunctionPrefix", prefix), ("ArtifactBucket", bucket)];
            let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
            seen.stack(&request(), &BTreeMap::from(parameters));
            seen.problems
        };
        assert_eq!(stack("chat-", "mine"), Vec::<String>::new());
        assert!(stack("orders-", "mine")[0].contains("begin with orders-"));
        assert!(stack("chat-", "")[0].contains("no bucket"));
    }

    #[test]
    fn another_release_is_in_the_way_by_application_or_by_function() {
        let release = |application: &str, function: &str| {
            let release = serde_json::from_value(json!({
                "application": application, "startedAt": "2026-11-20T12:00:00Z",
                "functions": [{"functionName": function, "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
                "plan": {"steps": [{"weight": 100, "bakeSeconds": 0}]},
                "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
                "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 0}}))
            .unwrap();
            let mut seen = Preflight::default();
            seen.in_flight(&request(), &[Record::of("arn:execution:m:x", &release)]);
            seen.problems
        };
        assert_eq!(release("orders", "orders-api"), Vec::<String>::new());
        assert_eq!(
            release("chat", "other"),
            ["release x of chat (IN_FLIGHT) has application/chat"]
        );
        assert_eq!(
            release("orders", "chat-api"),
            ["release x of orders (IN_FLIGHT) has function/chat-api"]
        );
    }
}
