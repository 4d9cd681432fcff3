//! Reads what the decision whether a release may begin needs, for the function that begins releases and for
//! the command line alike. What cannot be read is handed over as such: what follows from that is
//! [`decide`](crate::admission::decide)'s to say.

mod counted;
mod splitter;

pub use self::{
    counted::counted,
    splitter::{SplitterFindings, splitter},
};

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
        metrics::Metrics,
    },
    domain::{
        Timestamp, approval::OnHoldTimeout, capacity::Capacity, migration::Phase, moved::Serving,
        names::Callee, record::Status, retention::name_of,
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
