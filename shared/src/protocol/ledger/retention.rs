//! What promoted releases have promised to keep, and how a promise ends.
//!
//! A promise is a row for each function, put on record with the promotion. It ends by an act and
//! never by the clock, so the check whether a version is needed compares no times: blue's part is
//! taken off when the retention is over, and the whole row when a newer release of the application
//! has one in its place. What was promoted last therefore stays on record for as long as it serves.
//!
//! A release that wants a version that exists, and a cleanup that is about to delete it, cannot miss
//! each other: the one takes the function's lock and then reads what is marked for deletion, the other
//! marks the version and then reads the lock.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use chrono::TimeDelta;
use futures::future::try_join_all;

use super::{
    Ledger,
    attributes::{
        ONE, contended, deployment, instant, json, key, lock, n, parsed, promoted, required, s,
        text, watched,
    },
};
use crate::{
    domain::{
        Timestamp,
        names::{
            Application, FunctionName,
            derived::keys::{doomed, retained, retentions},
        },
        record::{Record, Status},
        retention::{Promise, Span},
    },
    error::Error,
    ports::{Item, LedgerStore, RowWrite, Transacted, Value},
};

/// The most items of one transaction (AWS's limit).
const MOST_ITEMS: usize = 100;

/// How long versions stay marked when the cleanup died before it could unmark them: longer
/// than the state that deletes them can take, all its tries together.
const DOOMED: TimeDelta = TimeDelta::hours(2);

/// What a promoted release keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Until when blue is kept.
    pub until: Timestamp,
    /// How many of each function's newest versions are kept after that; all when none.
    pub keep_versions: Option<NonZeroU32>,
}

/// The deployment that holds a function's lock.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Its execution's ARN.
    pub execution: String,
    /// Its row; none when it has none yet.
    pub record: Option<Record>,
}

impl<S: LedgerStore> Ledger<S> {
    /// The rows that a promotion puts on record.
    pub(super) fn promises_of(record: &Record, retention: Retention) -> Vec<RowWrite> {
        let functions = record.footprint.iter().flat_map(|print| &print.functions);
        functions
            .map(|target| {
                let mut put =
                    RowWrite::put(key(&retained(&target.function_name), &record.execution))
                        .item("application", s(record.application.as_ref()))
                        .item("green", s(target.green_version.as_ref()))
                        .item("until", s(&retention.until.to_rfc3339()));
                if let Some(blue) = &target.blue_version {
                    put = put.item("blue", s(blue.as_ref()));
                }
                if let Some(count) = retention.keep_versions {
                    put = put.item("keepVersions", n(i64::from(count.get())));
                }
                put
            })
            .collect()
    }

    /// The row by which a newer release finds this one's retention.
    pub(super) fn open_retention(record: &Record) -> RowWrite {
        RowWrite::put(key(&retentions(&record.application), &record.execution))
    }

    /// Takes it away: the retention is over, superseded or taken back.
    pub(super) fn close_retention(record: &Record) -> RowWrite {
        RowWrite::delete(key(&retentions(&record.application), &record.execution))
    }

    /// That no release of the application was promoted after this one.
    pub(super) fn is_promoted_last(record: &Record) -> RowWrite {
        RowWrite::check(key(&promoted(&record.application), ONE))
            .condition("execution = :last")
            .value(":last", s(&record.execution))
    }

    /// Puts `first` in front of `ending` where one transaction takes both. Where it does not, they
    /// are written before: a promise too many keeps a version too many, and one too few loses one.
    pub(super) async fn before(
        &self,
        first: Vec<RowWrite>,
        mut ending: Vec<RowWrite>,
    ) -> Result<Vec<RowWrite>, Error> {
        if ending.len() + first.len() <= MOST_ITEMS {
            ending.extend(first);
        } else {
            self.write(first, "promising to keep versions").await?;
        }
        Ok(ending)
    }

    /// Writes rows that have no conditions, or as many at a time as one transaction takes.
    async fn write(&self, items: Vec<RowWrite>, what: &str) -> Result<(), Error> {
        for some in items.chunks(MOST_ITEMS) {
            match self.store.transact(what, some.to_vec()).await? {
                Transacted::Done => {}
                Transacted::Refused(_) | Transacted::Contended => return Err(contended()),
            }
        }
        Ok(())
    }

    /// What is promised of a function, by all applications.
    pub async fn promises(&self, function: &FunctionName) -> Result<Vec<Promise>, Error> {
        let rows = self.store.query(&retained(function)).await?;
        rows.iter().map(promise).collect()
    }

    /// The deployment that holds a function's lock, if one does.
    pub async fn holder(&self, function: &FunctionName) -> Result<Option<Holder>, Error> {
        let row = self
            .store
            .row(&key(&lock(&format!("function/{function}")), ONE))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let execution = required(&row, "execution")?;
        let record = self.get(&execution).await?;
        Ok(Some(Holder { execution, record }))
    }

    /// The release of an application that was promoted last, even if another holds the application now.
    pub async fn promoted_last(&self, application: &Application) -> Result<Option<String>, Error> {
        let row = self.store.row(&key(&promoted(application), ONE)).await?;
        Ok(row.and_then(|row| text(&row, "execution")))
    }

    /// Ends the retention of all releases of the application that were promoted before this one:
    /// their alarms are watched no more, and what they kept of this one's functions is kept no more.
    /// Returns them. Does nothing when this one is not the last itself.
    pub async fn supersede(&self, record: &Record) -> Result<Vec<String>, Error> {
        let functions = record.footprint.iter().flat_map(|print| &print.functions);
        let names: Vec<_> = functions.map(|target| &target.function_name).collect();
        let key_of_open = retentions(&record.application);
        let (open, kept) = futures::try_join!(
            self.store.query(&key_of_open),
            try_join_all(names.iter().map(|name| self.promises(name))),
        )?;
        // Asked after they were read: whatever was among them and is not this, came before it.
        let last = self.promoted_last(&record.application).await?;
        if last.as_deref() != Some(&record.execution) {
            return Ok(Vec::new());
        }
        let mut older = Vec::new();
        for row in open {
            let execution = required(&row, "sk")?;
            if execution != record.execution {
                self.end_superseded(&execution, record).await?;
                older.push(execution);
            }
        }
        let rows = names.iter().zip(&kept).flat_map(|(function, promises)| {
            promises
                .iter()
                .filter(|promise| promise.application == record.application)
                .filter(|promise| promise.execution != record.execution)
                .map(|promise| RowWrite::delete(key(&retained(function), &promise.execution)))
        });
        self.write(rows.collect(), "taking off what is superseded")
            .await?;
        Ok(older)
    }

    async fn end_superseded(&self, execution: &str, by: &Record) -> Result<(), Error> {
        let record = self.get(execution).await?;
        let closed = RowWrite::delete(key(&retentions(&by.application), execution));
        let Some(record) = record.filter(|record| record.status == Status::Promoted) else {
            return self.write(vec![closed], "ending a retention").await;
        };
        let update = RowWrite::update(key(&deployment(execution), ONE), "SET supersededBy = :by")
            .condition("#status = :promoted")
            .name("#status", "status")
            .value(":promoted", s(Status::Promoted.word()))
            .value(":by", s(&by.execution));
        let mut items = vec![update, closed];
        items.extend(Self::watches_end(&record));
        self.write(items, "ending a retention").await
    }

    fn watches_end(record: &Record) -> impl Iterator<Item = RowWrite> {
        let watches = record.alarms.iter();
        watches.map(|alarm| RowWrite::delete(key(&watched(alarm), &record.execution)))
    }

    /// Ends a promoted release's retention: from here on nothing takes it back, and its alarms are
    /// watched no more. False when it was taken back or superseded before. Free to repeat.
    pub async fn end_retention(&self, record: &Record, now: Timestamp) -> Result<bool, Error> {
        let update = RowWrite::update(
            key(&deployment(&record.execution), ONE),
            "SET retentionEndedAt = if_not_exists(retentionEndedAt, :now)",
        )
        .condition("#status = :promoted")
        .name("#status", "status")
        .value(":promoted", s(Status::Promoted.word()))
        .value(":now", s(&now.to_rfc3339()));
        let mut items = vec![
            update,
            Self::is_promoted_last(record),
            Self::close_retention(record),
        ];
        items.extend(Self::watches_end(record));
        match self.store.transact("ending the retention", items).await? {
            Transacted::Done => Ok(true),
            Transacted::Refused(refused) if refused.iter().any(|one| one.nth < 2) => Ok(false),
            Transacted::Refused(_) | Transacted::Contended => Err(contended()),
        }
    }

    /// Takes blue off a release's promise, if it still has one for this function.
    pub async fn release_blue(
        &self,
        function: &FunctionName,
        execution: &str,
    ) -> Result<(), Error> {
        let row = RowWrite::update(key(&retained(function), execution), "REMOVE blue")
            .condition("attribute_exists(pk)");
        self.store
            .write("taking blue off the record", row)
            .await
            .map(drop)
    }

    /// Says that versions of a function are about to be deleted, by this cleanup.
    pub async fn mark_for_deletion(
        &self,
        function: &FunctionName,
        cleanup: &str,
        versions: &[Span],
        now: Timestamp,
    ) -> Result<(), Error> {
        let put = RowWrite::put(key(&doomed(function), cleanup))
            .item("versions", json(&versions))
            .item("at", s(&now.to_rfc3339()))
            .item("expiresAt", n((now + DOOMED).timestamp()));
        self.write(vec![put], "marking versions for deletion").await
    }

    /// Says that this cleanup deletes no more of them.
    pub async fn unmark_for_deletion(
        &self,
        function: &FunctionName,
        cleanup: &str,
    ) -> Result<(), Error> {
        let row = RowWrite::delete(key(&doomed(function), cleanup));
        self.write(vec![row], "sparing versions").await
    }

    /// The versions of a function that are about to be deleted.
    pub async fn doomed(
        &self,
        function: &FunctionName,
        now: Timestamp,
    ) -> Result<Vec<Span>, Error> {
        let mut versions = Vec::new();
        for row in self.store.query(&doomed(function)).await? {
            if instant(&row, "at")?.is_some_and(|at| now - at < DOOMED) {
                versions.extend(parsed::<Vec<Span>>(&row, "versions")?);
            }
        }
        Ok(versions)
    }
}

/// What cannot be read is an error, and not a promise less.
fn promise(row: &Item) -> Result<Promise, Error> {
    let unreadable =
        |what: &str| Error::Refused(format!("a row of the ledger has no readable {what}").into());
    let version = |name: &str| {
        let version = required(row, name)?;
        version.parse().map_err(|_| unreadable(name))
    };
    let keep_versions = match row.get("keepVersions") {
        None => None,
        Some(Value::N(number)) => Some(number.parse().map_err(|_| unreadable("keepVersions"))?),
        Some(_) => return Err(unreadable("keepVersions")),
    };
    let has_blue = row.contains_key("blue");
    Ok(Promise {
        execution: required(row, "sk")?,
        application: required(row, "application")?
            .parse()
            .map_err(|_| unreadable("application"))?,
        green: version("green")?,
        blue: has_blue.then(|| version("blue")).transpose()?,
        until: instant(row, "until")?.ok_or_else(|| unreadable("until"))?,
        keep_versions,
    })
}
