//! Reads what splits the traffic, before a release, and says what is wrong with it.

use futures::{
    future::join_all,
    stream::{self, StreamExt as _},
};

use super::AT_ONCE;
use crate::{
    admission::{Kind, Read, Unread},
    aws::{ledger::Ledger, traffic::Traffic},
    domain::{
        moved::Observed, names::resources::TargetGroupArn, reachable::Way, traffic::Splitter,
    },
    error::Error,
    wire::request::{ReleaseRequest, Traffic as TrafficRequest},
};

/// Holds what was read of what splits the traffic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SplitterFindings {
    /// What is wrong with it: path, kind and sentence.
    pub problems: Read<Vec<(String, Kind, String)>>,
    /// What serves, where nothing is wrong.
    pub observed: Option<Observed>,
    /// What can reach the idle side although its weight is 0.
    pub ways: Read<Vec<Way>>,
    /// What operators should know.
    pub warnings: Vec<String>,
}

/// Reads what splits the traffic, and what is wrong with it.
pub async fn splitter(
    traffic: &Traffic,
    ledger: Option<&Ledger>,
    request: &ReleaseRequest,
) -> SplitterFindings {
    let observed = match Box::pin(traffic.observe(request)).await {
        Ok(observed) => observed,
        Err(error) => {
            return SplitterFindings {
                problems: wrong(traffic, request, error).await.into(),
                ..SplitterFindings::default()
            };
        }
    };
    let (problems, warnings) = match &observed.splitter {
        Splitter::Alias | Splitter::Route53(_) => (Read::Seen(Vec::new()), Vec::new()),
        Splitter::Alb(forward) => idle(traffic, request, &forward.green).await,
    };
    let ways = match ledger {
        // Without the ledger the decision does not know when the idle side lost its weight, and that it
        // was not read is reported by itself.
        None => Read::NotAsked,
        Some(_) if observed.splitter == Splitter::Alias => Read::NotAsked,
        Some(ledger) => {
            let splitter = &observed.splitter;
            let ways = traffic.reachable(ledger, splitter, &request.functions);
            Box::pin(ways).await.into()
        }
    };
    SplitterFindings {
        problems,
        observed: Some(observed),
        ways,
        warnings,
    }
}

/// Returns the problems that are known. Each alias stands by itself: all that are wrong are reported, each
/// by its path.
async fn wrong(
    traffic: &Traffic,
    request: &ReleaseRequest,
    first: Error,
) -> Result<Vec<(String, Kind, String)>, Unread> {
    if let TrafficRequest::Alb(alb) = &request.traffic {
        let missing = missing_groups(traffic, request, &alb.target_group_arns).await?;
        if !missing.is_empty() {
            return Ok(missing);
        }
    }
    if request.traffic != TrafficRequest::Alias {
        return problem(first, request, "traffic").map(|problem| vec![problem]);
    }
    let alone = request.functions.iter().map(|asked| {
        let mut one = request.clone();
        one.functions = vec![asked.clone()];
        async move { Box::pin(traffic.observe(&one)).await.err() }
    });
    let alone = stream::iter(alone.collect::<Vec<_>>()).buffered(AT_ONCE);
    let errors: Vec<_> = alone.collect().await;
    let found = errors.into_iter().enumerate().filter_map(|(index, error)| {
        Some(problem(
            error?,
            request,
            &format!("functions[{index}].alias"),
        ))
    });
    let found = found.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        // It was mended between two looks, or it is no single alias's.
        return problem(first, request, "functions").map(|problem| vec![problem]);
    }
    Ok(found)
}

/// Says which of the groups do not exist: AWS's error does not name the one that it misses.
async fn missing_groups(
    traffic: &Traffic,
    request: &ReleaseRequest,
    groups: &[TargetGroupArn],
) -> Result<Vec<(String, Kind, String)>, Unread> {
    let each = groups.iter().enumerate().map(|(index, group)| async move {
        let error = traffic.targets(group).await.err()?;
        let path = format!("traffic.targetGroupArns[{index}]");
        let is_absent = error.code() == Some("TargetGroupNotFound");
        is_absent.then(|| problem(error, request, &path))
    });
    let found = join_all(each).await;
    found.into_iter().flatten().collect()
}

/// Reads what is registered in the idle group: it has to exist, and where green is not a function, to have
/// targets already.
async fn idle(
    traffic: &Traffic,
    request: &ReleaseRequest,
    group: &TargetGroupArn,
) -> (Read<Vec<(String, Kind, String)>>, Vec<String>) {
    let path = match &request.traffic {
        TrafficRequest::Alb(alb) => {
            let index = alb.target_group_arns.iter().position(|arn| arn == group);
            format!("traffic.targetGroupArns[{}]", index.unwrap_or_default())
        }
        TrafficRequest::Alias | TrafficRequest::Route53(_) => "traffic".to_owned(),
    };
    let targets = match traffic.targets(group).await {
        Ok(targets) => targets,
        Err(error) => {
            let problem = problem(error, request, &path);
            let problem = problem.map(|(_, kind, text)| vec![(path, kind, text)]);
            return (problem.into(), Vec::new());
        }
    };
    if !request.functions.is_empty() {
        return (Read::Seen(Vec::new()), Vec::new());
    }
    if targets.is_empty() {
        let text = format!("{group} has no registered targets, and it is to serve green");
        return (
            Read::Seen(vec![(path, Kind::ValidationFailed, text)]),
            Vec::new(),
        );
    }
    let sick: Vec<_> = targets.iter().filter(|target| !target.healthy).collect();
    let warnings = if sick.is_empty() {
        Vec::new()
    } else {
        let names: Vec<_> = sick.iter().map(|target| target.id.as_str()).collect();
        vec![format!(
            "{group} is to serve green, and {} of its {} targets are not healthy ({}): the release waits up to 5 minutes for them, and ends then",
            sick.len(),
            targets.len(),
            names.join(", ")
        )]
    };
    (Read::Seen(Vec::new()), warnings)
}

/// Distinguishes an error that is a finding from one that is none. A finding that begins with a field of
/// the request names its path itself; AWS's error code for what does not exist determines the field.
fn problem(
    error: Error,
    request: &ReleaseRequest,
    path: &str,
) -> Result<(String, Kind, String), Unread> {
    let text = error.to_string();
    let kind = match error {
        Error::ChangedOutside(_) => Kind::ChangedOutside,
        Error::ValidationFailed(_) => Kind::ValidationFailed,
        Error::InvalidRequest(_) => Kind::InvalidRequest,
        Error::Refused(_) => {
            let code = error.code().unwrap_or_default();
            return match absent(code, request, path) {
                Some((path, text)) => Ok((path, Kind::InvalidRequest, text)),
                None => Err(error.into()),
            };
        }
        other => return Err(other.into()),
    };
    match text.split_once(": ") {
        Some((own, rest)) if own.starts_with("traffic.") || own.starts_with("functions[") => {
            Ok((own.to_owned(), kind, rest.to_owned()))
        }
        _ => Ok((path.to_owned(), kind, text)),
    }
}

/// Says what does not exist, by AWS's code for that.
fn absent(code: &str, request: &ReleaseRequest, path: &str) -> Option<(String, String)> {
    let found = match (code, &request.traffic) {
        ("NoSuchHostedZone", TrafficRequest::Route53(records)) => (
            "traffic.hostedZoneId",
            format!("there is no hosted zone {}", records.hosted_zone_id),
        ),
        ("RuleNotFound", TrafficRequest::Alb(alb)) => match &alb.rule_arn {
            Some(arn) => ("traffic.ruleArn", format!("there is no rule {arn}")),
            None => (
                "traffic.ruleArns",
                "one of the rules does not exist".to_owned(),
            ),
        },
        ("ListenerNotFound", TrafficRequest::Alb(alb)) => match &alb.listener_arn {
            Some(arn) => ("traffic.listenerArn", format!("there is no listener {arn}")),
            None => (path, "there is no such listener".to_owned()),
        },
        ("TargetGroupNotFound", TrafficRequest::Alb(_)) => {
            (path, "there is no such target group".to_owned())
        }
        _ => return None,
    };
    Some((found.0.to_owned(), found.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::classify::answered;

    #[allow(clippy::needless_pass_by_value)] // What `json!` makes.
    fn request(traffic: serde_json::Value) -> ReleaseRequest {
        let request = serde_json::json!({"application": "chat", "strategy": "dev", "traffic": traffic,
            "functions": [{"functionName": "chat-api", "alias": "live"}]});
        serde_json::from_value(request).expect("it is one")
    }

    #[test]
    fn tells_a_finding_from_an_answer_that_did_not_come() {
        let request = request(serde_json::json!({"type": "alias"}));
        let told = |error| problem(error, &request, "traffic");
        let is = |path: &str, kind, text: &str| Ok((path.to_owned(), kind, text.to_owned()));
        assert_eq!(
            told(Error::ValidationFailed("both weights are 0".into())),
            is("traffic", Kind::ValidationFailed, "both weights are 0")
        );
        assert_eq!(
            told(Error::InvalidRequest("traffic.ruleArn: must be one".into())),
            is("traffic.ruleArn", Kind::InvalidRequest, "must be one")
        );
        assert!(told(Error::Transient("Throttling".into())).is_err_and(|it| it.passes));
        let denied = answered("GetAlias", 403, Some("AccessDenied"), Some("no"));
        assert!(told(denied).is_err_and(|it| !it.passes));
    }

    #[test]
    fn names_what_does_not_exist_by_its_field() {
        let zone = request(
            serde_json::json!({"type": "route53", "hostedZoneId": "Z1", "recordName": "api.example.com"}),
        );
        let call = "ListResourceRecordSets";
        let gone = answered(call, 404, Some("NoSuchHostedZone"), Some("none"));
        assert_eq!(
            problem(gone, &zone, "traffic"),
            Ok((
                "traffic.hostedZoneId".into(),
                Kind::InvalidRequest,
                "there is no hosted zone Z1".into()
            ))
        );
    }
}
