//! When a traffic splitter's weights were moved last, so that the next release knows for how long the
//! clients of its idle side may still come.
//!
//! A row for each lock of a splitter, put with the end of a deployment that has moved its weights. It is
//! not a lock: whoever reads it compares times.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::TransactWriteItem;
use chrono::TimeDelta;
use futures::future::try_join_all;

use super::{
    Ledger,
    record::{Record, Status},
    rows::{ONE, instant, key, n, s, write_put},
};
use crate::{domain::Timestamp, error::Error};

/// How long a row is kept: longer than a load balancer keeps a client with its target group (7 days).
const KEPT: TimeDelta = TimeDelta::days(8);

impl Ledger {
    /// The rows that the end of a deployment puts on record: none where no weight was moved.
    pub(super) fn moved_splitters(
        &self,
        record: &Record,
        status: Status,
        now: Timestamp,
    ) -> Vec<TransactWriteItem> {
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
                let put = self
                    .put(key(&splitter(&lock), ONE))
                    .item("execution", s(&record.execution))
                    .item("movedAt", s(&now.to_rfc3339()))
                    .item("expiresAt", n((now + KEPT).timestamp()));
                write_put(put)
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
            let row = self.row(key(&splitter(&lock), ONE)).await?;
            let moved_at = row.map(|row| instant(&row, "movedAt")).transpose()?;
            Ok::<_, Error>(moved_at.flatten().map(|at| (lock, at)))
        });
        Ok(try_join_all(read).await?.into_iter().flatten().collect())
    }
}

fn splitter(lock: &str) -> String {
    format!("SPLITTER#{lock}")
}
