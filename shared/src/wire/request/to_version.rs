//! A rollback by hand to a version that was published before.
//!
//! It is a release of that version, by the request of the application's last release: the same functions,
//! aliases, traffic splitter, smoke tests and locks. [`request_of`] makes that request, always
//! from the same two values.

use serde::Serialize;
use serde_json::json;

use super::{Request, code::Code, release::ReleaseRequest};
use crate::domain::{
    names::{Application, FunctionName, Version},
    restore_point::RestorePoint,
    strategy::{AllAtOnce, Planned, Strategy},
    traffic::{ForwardAt, Splitter},
};
use crate::{
    domain::{
        analysis::{OnInconclusive, PreexistingAlarms},
        approval::OnHoldTimeout,
    },
    parse::problem::Problems,
};

/// What a rollback to a version requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToVersion {
    /// The application, as its release named it.
    pub application: Application,
    /// The version.
    pub to_version: Version,
    /// The one function that returns; none when all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_name: Option<FunctionName>,
    /// Why, in the user's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ToVersion {
    /// Whether a function returns.
    #[must_use]
    pub fn moves(&self, function: &FunctionName) -> bool {
        self.function_name
            .as_ref()
            .is_none_or(|only| only == function)
    }

    /// What it is, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        format!(
            "rolled back by hand to version {}: {reason}",
            self.to_version
        )
    }
}

/// The release that a rollback to a version is, by the request of the application's last one.
///
/// It takes all traffic at once, because something is wrong with what serves. For that reason nothing that
/// what serves may be the cause of refuses it: alarms that fire already count only once they fire anew, health
/// checks are not asked, and missing data does not hold it. It needs no approval, runs no migration and wires no
/// stage. The code of a function that stays is left to the caller, which knows the serving version.
///
/// # Errors
/// By the path of the rollback's own fields.
pub fn request_of(last: &ReleaseRequest, to: &ToVersion) -> Result<ReleaseRequest, Problems> {
    let known = last.functions.iter().map(|one| &one.function_name);
    if let Some(only) = &to.function_name
        && !known.clone().any(|name| name == only)
    {
        let names: Vec<_> = known.map(AsRef::as_ref).collect();
        return Err(Problems::one(
            "functionName",
            format!(
                "{only} is no function of {}, which releases {}",
                to.application,
                names.join(", ")
            ),
        ));
    }
    if last.functions.is_empty() {
        return Err(Problems::one(
            "toVersion",
            format!(
                "{} releases no function, only target groups: register what is to serve, and release again",
                to.application
            ),
        ));
    }
    let mut request = last.clone();
    request.application = to.application.clone();
    // These were said of another version.
    request.description = None;
    request.commit = None;
    request.url = None;
    request.by = None;
    // One write moves all functions behind records or groups: those that stay need a side, too.
    if last.traffic == super::Traffic::Alias {
        request.functions.retain(|one| to.moves(&one.function_name));
    }
    for function in &mut request.functions {
        function.code = to.moves(&function.function_name).then(|| Code::Version {
            version: to.to_version.clone(),
        });
    }
    request.strategy = Planned::try_from(Strategy::AllAtOnce(AllAtOnce::default()))
        .map_err(|wrong| Problems::one("toVersion", wrong.to_string()))?;
    request.analysis.preexisting_alarms = PreexistingAlarms::Ignore;
    request.analysis.health_checks.clear();
    request.analysis.on_inconclusive = OnInconclusive::Proceed;
    request.analysis.max_bake_seconds = None;
    request.analysis.control_percent = None;
    request.on_hold_timeout = OnHoldTimeout::RollBack;
    request.front_door = None;
    request.migration = None;
    request.override_freeze = None;
    Ok(request)
}

/// The request of a release as far as the ledger knows it: without smoke tests, alarms or hooks. For when its
/// execution is gone, or had a request that cannot be read any more.
///
/// # Errors
/// Where the ledger has something that no request says.
pub fn request_on_record(
    application: &Application,
    footprint: &RestorePoint,
) -> Result<ReleaseRequest, Problems> {
    let functions: Vec<_> = footprint
        .functions
        .iter()
        .map(|target| json!({"functionName": target.function_name, "alias": target.alias}))
        .collect();
    let traffic = match &footprint.traffic {
        Splitter::Alias => json!({"type": "alias"}),
        Splitter::Route53(records) => json!({
            "type": "route53",
            "hostedZoneId": records.hosted_zone_id,
            "recordName": records.record_name,
            "recordType": records.record_type,
            "setIdentifiers": [records.blue, records.green],
            "dnsSeconds": records.dns_seconds,
        }),
        Splitter::Alb(forward) => {
            let mut alb = json!({
                "type": "alb",
                "targetGroupArns": [forward.blue, forward.green],
            });
            match &forward.at {
                ForwardAt::Rule(arn) => alb["ruleArn"] = json!(arn),
                ForwardAt::Listener(arn) => alb["listenerArn"] = json!(arn),
            }
            alb
        }
    };
    let request = json!({
        "application": application,
        "functions": functions,
        "strategy": "AllAtOnce",
        "traffic": traffic,
    });
    match Request::parse(&request)? {
        Request::Release(release) => Ok(*release),
        _ => Err(Problems::one("application", "has no release on record")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn last(more: &Value) -> ReleaseRequest {
        let mut request = json!({
            "application": "chat",
            "functions": [
                {"functionName": "chat-api", "alias": "live", "code": {"s3Bucket": "bucket", "s3Key": "1.zip"},
                 "smokeTests": [{"name": "health", "expect": {"statusCode": 200}}]},
                {"functionName": "chat-worker", "alias": "live"},
            ],
            "strategy": "prod",
            "analysis": {"alarms": ["chat-errors"], "onInconclusive": "rollBack", "maxBakeSeconds": 3600},
            "migration": {"functionName": "chat-migrate"},
            "hooks": {"beforeShift": {"functionName": "chat-hook"}},
            "retention": {"blueHours": 12, "keepVersions": 5},
            "overrideFreeze": {"by": "Ada", "reason": "checkout is down"},
        });
        let fields = request.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        serde_json::from_value(request).unwrap()
    }

    fn to(more: &Value) -> ToVersion {
        let mut request = json!({"action": "rollback", "application": "chat", "toVersion": "3"});
        let fields = request.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        match Request::parse(&request) {
            Ok(Request::ToVersion(to)) => to,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keeps_what_proves_and_guards_a_release_and_drops_what_would_refuse_it() {
        let last = last(&json!({}));
        let request = request_of(&last, &to(&json!({}))).unwrap();
        for (function, before) in request.functions.iter().zip(&last.functions) {
            assert_eq!(
                serde_json::to_value(&function.code).unwrap(),
                json!({"version": "3"})
            );
            assert_eq!(function.smoke_tests, before.smoke_tests);
            assert_eq!(function.alias, before.alias);
        }
        assert_eq!(
            (&request.analysis.alarms, &request.retention, &request.hooks),
            (&last.analysis.alarms, &last.retention, &last.hooks)
        );
        assert_eq!(request.traffic, last.traffic);
        let plan = request.plan();
        assert_eq!((plan.len(), plan.approve_before()), (1, None));
        assert_eq!(request.max_bake_seconds(0), Some(0));
        let analysis = &request.analysis;
        assert_eq!(analysis.preexisting_alarms, PreexistingAlarms::Ignore);
        assert_eq!(analysis.on_inconclusive, OnInconclusive::Proceed);
        assert!(analysis.health_checks.is_empty());
        assert!(request.migration.is_none() && request.override_freeze.is_none());
        // It can be carried as every request is.
        let carried = serde_json::to_value(&request).unwrap();
        assert_eq!(
            serde_json::from_value::<ReleaseRequest>(carried).unwrap(),
            request
        );
    }

    #[test]
    fn moves_one_function_and_leaves_the_others_where_they_are() {
        let only = to(&json!({"functionName": "chat-worker"}));
        let request = request_of(&last(&json!({})), &only).unwrap();
        let names: Vec<_> = request
            .functions
            .iter()
            .map(|one| one.function_name.as_ref())
            .collect();
        assert_eq!(names, ["chat-worker"]);
        let records = json!({"traffic": {"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ",
            "recordName": "chat.example.com"}});
        let request = request_of(&last(&records), &only).unwrap();
        let versions: Vec<_> = request
            .functions
            .iter()
            .map(|one| one.code.is_some())
            .collect();
        assert_eq!(versions, [false, true], "one write moves both");
    }

    #[test]
    fn names_a_function_that_is_not_the_applications() {
        let other = to(&json!({"functionName": "orders"}));
        let refused = request_of(&last(&json!({})), &other)
            .unwrap_err()
            .to_string();
        assert_eq!(
            refused,
            "functionName: orders is no function of chat, which releases chat-api, chat-worker"
        );
    }

    #[test]
    fn makes_a_request_of_every_footprint() {
        let group = |name: &str| {
            format!(
                "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/0123456789abcdef"
            )
        };
        let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/chat/0123456789abcdef/0123456789abcdef/0123456789abcdef";
        for (alias, traffic) in [
            (Some("live"), json!({"type": "alias"})),
            (
                Some("live"),
                json!({"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ",
                    "recordName": "chat.example.com", "recordType": "A", "blue": "one", "green": "two",
                    "dnsSeconds": 60}),
            ),
            (
                None,
                json!({"type": "alb", "at": {"rule": rule}, "blue": group("one"), "green": group("two")}),
            ),
        ] {
            let mut function = json!({"functionName": "chat-api", "blueVersion": "1", "greenVersion": "2",
                "revisionId": null});
            if let Some(alias) = alias {
                function["alias"] = json!(alias);
            }
            let footprint: RestorePoint = serde_json::from_value(json!({
                "functions": [function], "traffic": traffic,
                "plan": {"steps": [{"weight": 100, "bakeSeconds": 0}]},
            }))
            .unwrap();
            let application = "chat".parse().unwrap();
            let last = request_on_record(&application, &footprint).unwrap();
            assert_eq!(last.traffic.locks(), footprint.traffic.locks(), "{traffic}");
            let request = request_of(&last, &to(&json!({}))).unwrap();
            assert_eq!(request.functions.len(), 1, "{traffic}");
        }
    }
}
