//! How a release ends: its row says how, and all that it held is given back.

use super::{
    KEEP_SECONDS, Ledger, Retention,
    attributes::{
        ONE, RUNNING, contended, deployment, ended, json, key, lock, n, promoted, s, text, watched,
    },
};
use crate::{
    domain::{
        Timestamp,
        record::{Record, Status},
    },
    error::Error,
    ports::{Key, LedgerStore, RowWrite, Transacted},
};

impl<S: LedgerStore> Ledger<S> {
    /// Ends a release: its row says how, and all that it held is given back. Free to repeat, and never
    /// touches what another release holds by now. A promotion that is repeated changes nothing: another
    /// may have been promoted since.
    ///
    /// A promoted release stays armed: its alarms are watched until its `retention` ends, and what it
    /// keeps is on record from the same moment.
    pub async fn end(
        &self,
        record: &Record,
        status: Status,
        now: Timestamp,
        retention: Option<Retention>,
    ) -> Result<(), Error> {
        let retain_until = retention.map(|kept| kept.until);
        let mut writes = vec![ending(record, status, now, retain_until)];
        writes.push(RowWrite::delete(key(RUNNING, &record.execution)));
        writes.extend(
            record
                .locks
                .iter()
                .map(|name| give_back(key(&lock(name), ONE), &record.execution)),
        );
        for alarm in &record.alarms {
            let watch = key(&watched(alarm), &record.execution);
            writes.push(match (&record.footprint, retain_until) {
                (Some(footprint), Some(until)) => RowWrite::put(watch)
                    .item("footprint", json(footprint))
                    .item("retainUntil", s(&until.to_rfc3339()))
                    .item("expiresAt", n(until.timestamp())),
                _ => RowWrite::delete(watch),
            });
        }
        if status == Status::Promoted {
            let last = key(&promoted(&record.application), ONE);
            writes.push(RowWrite::put(last).item("execution", s(&record.execution)));
        }
        writes.extend(Self::moved_splitters(record, status, now));
        if let Some(retention) = retention {
            writes.push(Self::open_retention(record));
            let promises = Self::promises_of(record, retention);
            writes = self.before(promises, writes).await?;
        } else if record.retain_until.is_some() {
            writes.push(Self::close_retention(record));
        }
        match self.store.transact("ending the deployment", writes).await? {
            Transacted::Done => Ok(()),
            Transacted::Contended => Err(contended()),
            Transacted::Refused(refused) => {
                let row = refused.into_iter().find_map(|one| one.row);
                Err(match row {
                    None => contended(),
                    Some(row) if row.contains_key("status") => {
                        let is_promoted =
                            text(&row, "status").as_deref() == Some(Status::Promoted.word());
                        if is_promoted && status == Status::Promoted {
                            return Ok(());
                        }
                        ended(Some(&row))
                    }
                    // A lock that is another's by now: ours was taken over, and with it the ending.
                    Some(_) => Error::DeploymentInProgress(
                        "another deployment has taken over the locks".into(),
                    ),
                })
            }
        }
    }
}

/// Returns the write to the row of a release that ends.
fn ending(
    record: &Record,
    status: Status,
    now: Timestamp,
    retain_until: Option<Timestamp>,
) -> RowWrite {
    let mut set = "SET #status = :status, endedAt = :now, expiresAt = :expires".to_owned();
    if retain_until.is_some() {
        set.push_str(", retainUntil = :retain");
    }
    if record.footprint.is_some() {
        set.push_str(", footprint = :footprint, steps = :steps");
    }
    set.push_str(" REMOVE #token, asked, wish");
    let mut row = RowWrite::update(key(&deployment(&record.execution), ONE), set)
        .name("#status", "status")
        .name("#token", "token")
        .value(":status", s(status.word()))
        .value(":now", s(&now.to_rfc3339()))
        .value(":expires", n(now.timestamp() + KEEP_SECONDS));
    if let Some(until) = retain_until {
        row = row.value(":retain", s(&until.to_rfc3339()));
    }
    if status == Status::Promoted {
        // A release whose rollback was requested meanwhile is not promoted any more.
        row = row
            .condition("#status IN (:inFlight, :held)")
            .value(":inFlight", s(Status::InFlight.word()))
            .value(":held", s(Status::Held.word()));
    }
    if let Some(footprint) = &record.footprint {
        row = row
            .value(":footprint", json(footprint))
            .value(":steps", json(&record.steps));
    }
    row
}

/// Deletes a lock: also one that is gone already, but not one that is another's.
fn give_back(lock: Key, holder: &str) -> RowWrite {
    RowWrite::delete(lock)
        .condition("attribute_not_exists(pk) OR execution = :me")
        .value(":me", s(holder))
}
