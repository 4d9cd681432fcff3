//! Reads what the decision whether a release may begin needs, for the function that begins releases and for
//! the command line alike. What cannot be read is handed over as such: what follows from that is
//! [`decide`](crate::admission::decide)'s to say.

mod counted;

pub use self::counted::counted;

use std::collections::BTreeMap;

use futures::{
    future::join_all,
    stream::{self, StreamExt as _},
};

use crate::{
    admission::{
        Admission, Artifact, Found, Holder, Kind, Promise, Read, Seen, Settings, Stands, Unread,
        callees,
    },
    aws::{
        artifacts::Artifacts, executions::Executions, functions::Functions, ledger::Ledger,
        metrics::Metrics, traffic::Traffic,
    },
    domain::{
        Timestamp,
        approval::OnHoldTimeout,
        capacity::Capacity,
        migration::Phase,
        moved::{Observed, Serving},
        names::{Callee, resources::TargetGroupArn},
        reachable::Way,
        record::Status,
        retention::name_of,
        traffic::Splitter,
    },
    error::Error,
    protocol::rollback::blue_is_kept,
    wire::request::{Code, FunctionRequest, ReleaseRequest, Traffic as TrafficRequest},
};

/// How many calls are on their way at the same time.
const AT_ONCE: usize = 10;

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self {
            passes: matches!(error, Error::Transient(_)),
            why: error.to_string(),
        }
    }
}

impl<T> From<Result<T, Error>> for Read<T> {
    fn from(result: Result<T, Error>) -> Self {
        match result {
            Ok(value) => Self::Seen(value),
            Err(error) => Self::Unread(error.into()),
        }
    }
}

impl<T> From<Result<T, Unread>> for Read<T> {
    fn from(result: Result<T, Unread>) -> Self {
        match result {
            Ok(value) => Self::Seen(value),
            Err(why) => Self::Unread(why),
        }
    }
}

impl From<(Kind, String)> for Error {
    fn from((kind, text): (Kind, String)) -> Self {
        match kind {
            Kind::InvalidRequest => Self::InvalidRequest(text.into()),
            Kind::DeploymentInProgress => Self::DeploymentInProgress(text.into()),
            Kind::ChangedOutside => Self::ChangedOutside(text.into()),
            Kind::ValidationFailed => Self::ValidationFailed(text.into()),
        }
    }
}

impl Admission {
    /// Passes a release on, or refuses it. What is unknown refuses nothing unless asking again can help:
    /// AWS itself will refuse what the stack may not even look at.
    ///
    /// # Errors
    /// The contract's error with every problem by its path; [`Error::Transient`] where AWS did not answer.
    pub fn admit(&self) -> Result<(), Error> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal.into());
        }
        let passes = self.unknown.iter().find(|unknown| unknown.because.passes);
        passes.map_or(Ok(()), |unknown| {
            Err(Error::Transient(unknown.to_string().into()))
        })
    }
}

/// Reads all that can be known before any lock is taken.
pub async fn world(
    functions: &Functions,
    artifacts: &Artifacts,
    metrics: &Metrics,
    ledger: Option<&Ledger>,
    request: &ReleaseRequest,
    now: Timestamp,
) -> Seen {
    let (found, versions, code, called, alarms, promise) = futures::join!(
        each(request, |asked| exists(functions, asked)),
        each(request, |asked| version(functions, asked)),
        each(request, |asked| artifact(artifacts, asked)),
        called(functions, request),
        metrics.alarms(&request.analysis.alarms, now),
        promise(ledger, request, now),
    );
    Seen {
        functions: found,
        versions,
        artifacts: code,
        callees: called,
        alarms: alarms.into(),
        promise,
        ..Seen::default()
    }
}

/// Reads again, of what was seen, what may have changed while the locks were taken.
pub async fn world_again(
    metrics: &Metrics,
    ledger: &Ledger,
    request: &ReleaseRequest,
    now: Timestamp,
    seen: Seen,
) -> Seen {
    let (alarms, promise) = futures::join!(
        metrics.alarms(&request.analysis.alarms, now),
        promise(Some(ledger), request, now),
    );
    Seen {
        alarms: alarms.into(),
        promise,
        ..seen
    }
}

/// Asks something of each function, a few at a time, in the request's order.
async fn each<'a, T, F: Future<Output = Read<T>>>(
    request: &'a ReleaseRequest,
    ask: impl Fn(&'a FunctionRequest) -> F,
) -> Vec<Read<T>> {
    let asked = request.functions.iter().map(ask).collect::<Vec<_>>();
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

async fn exists(functions: &Functions, asked: &FunctionRequest) -> Read<Option<Found>> {
    let name = asked.function_name.as_ref();
    functions.look(name, None).await.into()
}

async fn version(functions: &Functions, asked: &FunctionRequest) -> Read<Option<Found>> {
    let Some(Code::Version { version }) = &asked.code else {
        return Read::NotAsked;
    };
    let name = asked.function_name.as_ref();
    functions.look(name, Some(version.as_ref())).await.into()
}

async fn artifact(artifacts: &Artifacts, asked: &FunctionRequest) -> Read<Artifact> {
    let Some(code) = &asked.code else {
        return Read::NotAsked;
    };
    match artifacts.look(code).await {
        Ok(Some(artifact)) => Read::Seen(artifact),
        Ok(None) => Read::NotAsked,
        Err(error) => Read::Unread(error.into()),
    }
}

async fn called(functions: &Functions, request: &ReleaseRequest) -> BTreeMap<Callee, Read<bool>> {
    let called = callees(request).into_iter().map(|(_, callee)| async move {
        let found = functions.look(callee.function(), callee.qualifier()).await;
        let exists = Read::from(found).map(|found| found.is_some());
        (callee.clone(), exists)
    });
    join_all(called).await.into_iter().collect()
}

/// Reads what the last release keeps, where the request takes away what that needs.
async fn promise(
    ledger: Option<&Ledger>,
    request: &ReleaseRequest,
    now: Timestamp,
) -> Read<Option<Promise>> {
    let contracts = request
        .migration
        .as_ref()
        .is_some_and(|migration| migration.phase == Phase::Contract);
    let (true, Some(ledger)) = (contracts, ledger) else {
        return Read::NotAsked;
    };
    let kept = async {
        let last = match ledger.promoted_last(&request.application).await? {
            Some(execution) => ledger.get(&execution).await?,
            None => None,
        };
        Ok::<_, Error>(last.and_then(|last| {
            let until = blue_is_kept(&last, now)?;
            Some(Promise {
                release: name_of(&last.execution).to_owned(),
                until,
            })
        }))
    };
    kept.await.into()
}

/// Reads who they are that hold locks, by their executions' ARNs.
pub async fn holders(
    ledger: &Ledger,
    executions: &Executions,
    holders: impl IntoIterator<Item = String>,
    now: Timestamp,
) -> Result<Vec<Holder>, Error> {
    let each = holders.into_iter().map(|arn| async move {
        let (execution, record) = futures::try_join!(executions.describe(&arn), ledger.get(&arn))?;
        let began = record.as_ref().map_or(now, |record| record.began_at);
        let stands = match execution.ended(began, now) {
            None => Stands::Alive,
            Some(ended) => {
                let is_left = record.as_ref().is_some_and(|record| {
                    record.status == Status::Held && record.on_hold_timeout == OnHoldTimeout::Leave
                }) && ended.error.as_deref() == Some("DeploymentHeld");
                if is_left {
                    Stands::LeftHeld
                } else {
                    Stands::Ended(ended.status)
                }
            }
        };
        Ok(Holder {
            application: record
                .as_ref()
                .map_or_else(|| "(unknown)".to_owned(), |it| it.application.to_string()),
            status: record
                .as_ref()
                .map_or("(unknown)", |record| record.status.into())
                .to_owned(),
            locks: record
                .as_ref()
                .map(|it| it.locks.clone())
                .unwrap_or_default(),
            stands,
            execution: arn,
        })
    });
    join_all(each).await.into_iter().collect()
}

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

/// Reads the settings of each function's serving version, where an alias splits its traffic.
pub async fn blues(
    functions: &Functions,
    request: &ReleaseRequest,
    serving: &[Serving],
) -> Vec<Read<Settings>> {
    if request.traffic != TrafficRequest::Alias {
        return Vec::new();
    }
    let each = request
        .functions
        .iter()
        .zip(serving)
        .map(|(asked, serving)| async move {
            let seen = serving.seen.as_ref();
            let Some(version) = seen.and_then(|seen| seen.primary.version()) else {
                return Read::NotAsked;
            };
            match functions.version(&asked.function_name, version).await {
                Ok(configuration) => Read::Seen(configuration.settings()),
                Err(error) => Read::Unread(error.into()),
            }
        });
    stream::iter(each.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Reads what stands ready for each function, and what runs on the version that serves.
pub async fn capacity(
    functions: &Functions,
    request: &ReleaseRequest,
    serving: &[Serving],
    blues: &[Read<Settings>],
) -> Vec<Read<Capacity>> {
    if request.traffic != TrafficRequest::Alias {
        return Vec::new();
    }
    let each = request.functions.iter().zip(serving).enumerate();
    let each = each.map(|(index, (asked, serving))| async move {
        let seen = serving.seen.as_ref();
        let blue = seen.and_then(|seen| seen.primary.version());
        let is_durable = blues
            .get(index)
            .and_then(Read::seen)
            .is_some_and(|it| it.is_durable);
        let alias = serving.alias.as_ref();
        let read = functions.capacity(&asked.function_name, alias, blue.filter(|_| is_durable));
        read.await.into()
    });
    stream::iter(each.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .collect()
        .await
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
