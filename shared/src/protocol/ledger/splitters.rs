//! When a traffic splitter's weights were moved last, so that the next release knows for how long the
//! clients of its idle side may still come.
//!
//! A row for each lock of a splitter, put with the end of a deployment that has moved its weights. It is
//! not a lock: its readers compare times.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures::future::try_join_all;

use super::{
    Ledger,
    attributes::{ONE, instant, key, n, s},
};
use crate::{
    domain::{
        Timestamp,
        names::derived::keys::splitter,
        record::{Record, Status},
    },
    error::Error,
    ports::{LedgerStore, RowWrite},
};

/// How long a row is kept: longer than a load balancer keeps a client with its target group (7 days).
const KEPT: TimeDelta = TimeDelta::days(8);

impl<S: LedgerStore> Ledger<S> {
    /// The rows that the end of a deployment puts on record: none where no weight was moved.
    pub(super) fn moved_splitters(
        record: &Record,
        status: Status,
        now: Timestamp,
    ) -> Vec<RowWrite> {
        match status {
            Status::Promoted | Status::RolledBack => {}
            Status::Preparing
            | Status::InFlight
            | Status::Held
            | Status::RollingBack
            | Status::Rejected
            | Status::Unchanged => return Vec::new(),
        }
        let footprint = record.footprint.iter();
        let locks = footprint.flat_map(|print| print.traffic.locks());
        locks
            .map(|lock| {
                RowWrite::put(key(&splitter(&lock), ONE))
                    .item("execution", s(&record.execution))
                    .item("movedAt", s(&now.to_rfc3339()))
                    .item("expiresAt", n((now + KEPT).timestamp()))
            })
            .collect()
    }

    /// Reads when the weights of these splitters, by their locks' names, were moved last. One that no
    /// deployment has moved lately is left out.
    pub async fn splitters_moved_at(
        &self,
        locks: Vec<String>,
    ) -> Result<BTreeMap<String, Timestamp>, Error> {
        let read = locks.into_iter().map(|lock| async move {
            let row = self.store.row(&key(&splitter(&lock), ONE)).await?;
            let moved_at = row.map(|row| instant(&row, "movedAt")).transpose()?;
            Ok::<_, Error>(moved_at.flatten().map(|at| (lock, at)))
        });
        Ok(try_join_all(read).await?.into_iter().flatten().collect())
    }
}
