//! Taking locks: at the beginning of a release, and again to roll back a promoted one.

use std::collections::BTreeSet;

use super::{
    Ledger,
    attributes::{ONE, RUNNING, contended, deployment, json, key, lock, record, s, text},
};
use crate::{
    domain::{
        Timestamp,
        approval::OnHoldTimeout,
        names::{AlarmName, Application, FunctionName, locks},
        override_freeze::OverrideFreeze,
        record::{Record, Status, Why},
    },
    error::Error,
    ports::{LedgerStore, RowWrite, Transacted},
};

/// A release that wants to begin.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// The execution's ARN.
    pub execution: &'a str,
    /// The application.
    pub application: &'a Application,
    /// The functions to lock.
    pub functions: &'a [&'a FunctionName],
    /// The locks of the traffic splitter.
    pub splitters: &'a [String],
    /// The alarms to watch.
    pub alarms: &'a [AlarmName],
    /// What it does when a hold times out.
    pub on_hold_timeout: OnHoldTimeout,
    /// Who releases outside of the stack's windows; none within them.
    pub override_freeze: Option<&'a OverrideFreeze>,
    /// The execution whose input has the request, where that is another one.
    pub request_of: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

/// What became of taking the locks.
#[derive(Clone, Debug, PartialEq)]
pub enum Began {
    /// All are ours.
    Taken,
    /// None is ours: these executions hold some.
    HeldBy(BTreeSet<String>),
    /// This execution's release has gone further, or has ended: a redrive.
    Before(Box<Record>),
}

impl<S: LedgerStore> Ledger<S> {
    /// Takes all locks of a release, or none. Free to repeat by the holder.
    pub async fn begin(&self, begin: &Begin<'_>) -> Result<Began, Error> {
        let locks = locks::names(begin.application, begin.functions, begin.splitters);
        let mut writes: Vec<_> = locks
            .iter()
            .map(|name| take(name, begin.execution, begin.application, begin.now))
            .collect();
        let mut row = RowWrite::put(key(&deployment(begin.execution), ONE))
            .item("execution", s(begin.execution))
            .item("application", s(begin.application.as_ref()))
            .item("status", s(Status::Preparing.word()))
            .item("locks", json(&locks))
            .item("alarms", json(&begin.alarms))
            .item("onHoldTimeout", json(&begin.on_hold_timeout))
            .item("beganAt", s(&begin.now.to_rfc3339()))
            .condition("attribute_not_exists(pk) OR #status = :preparing")
            .name("#status", "status")
            .value(":preparing", s(Status::Preparing.word()));
        if let Some(overridden) = begin.override_freeze {
            row = row.item("overrideFreeze", json(overridden));
        }
        if let Some(other) = begin.request_of {
            row = row.item("requestOf", s(other));
        }
        writes.push(row);
        writes.push(running(begin.execution, begin.application));
        match self.store.transact("taking the locks", writes).await? {
            Transacted::Done => Ok(Began::Taken),
            Transacted::Contended => Err(contended()),
            Transacted::Refused(refused) => {
                let found: Vec<_> = refused.into_iter().filter_map(|one| one.row).collect();
                if found.is_empty() {
                    return Err(contended());
                }
                if let Some(row) = found.iter().find(|item| item.contains_key("status")) {
                    return Ok(Began::Before(Box::new(record(row)?)));
                }
                Ok(Began::HeldBy(
                    found
                        .iter()
                        .filter_map(|item| text(item, "execution"))
                        .collect(),
                ))
            }
        }
    }

    /// Opens a promoted release again, to roll it back: its locks, all or none, and the request in its
    /// row. Free to repeat by the same. False when its retention has ended, or another was promoted
    /// after it.
    ///
    /// # Errors
    /// [`Error::DeploymentInProgress`] when another release holds one of the locks by now.
    pub async fn reopen(&self, record: &Record, why: &Why) -> Result<bool, Error> {
        let row = RowWrite::update(
            key(&deployment(&record.execution), ONE),
            "SET #status = :rollingBack, why = if_not_exists(why, :why)",
        )
        .condition(
            "#status IN (:promoted, :rollingBack) AND attribute_not_exists(retentionEndedAt)",
        )
        .name("#status", "status")
        .value(":rollingBack", s(Status::RollingBack.word()))
        .value(":promoted", s(Status::Promoted.word()))
        .value(":why", json(why));
        let mut writes = vec![row, Self::is_promoted_last(record)];
        writes.extend(
            record
                .locks
                .iter()
                .map(|name| take(name, &record.execution, &record.application, why.at)),
        );
        writes.push(running(&record.execution, &record.application));
        match self.store.transact("taking the locks back", writes).await? {
            Transacted::Done => Ok(true),
            Transacted::Refused(refused) if refused.iter().any(|one| one.nth < 2) => Ok(false),
            Transacted::Refused(refused) => {
                let holder = refused.into_iter().find_map(|one| one.row);
                Err(holder.map_or_else(contended, |row| {
                    let holder = text(&row, "execution");
                    Error::DeploymentInProgress(
                        format!(
                            "{} holds a lock by now",
                            holder.unwrap_or_else(|| "another deployment".to_owned())
                        )
                        .into(),
                    )
                }))
            }
            Transacted::Contended => Err(contended()),
        }
    }
}

/// Takes a lock, unless another holds it.
fn take(name: &str, holder: &str, application: &Application, now: Timestamp) -> RowWrite {
    RowWrite::put(key(&lock(name), ONE))
        .item("execution", s(holder))
        .item("application", s(application.as_ref()))
        .item("takenAt", s(&now.to_rfc3339()))
        .condition("attribute_not_exists(pk) OR execution = :me")
        .value(":me", s(holder))
}

fn running(execution: &str, application: &Application) -> RowWrite {
    RowWrite::put(key(RUNNING, execution)).item("application", s(application.as_ref()))
}
