//! Releases that have ended and whose notice could not be delivered: their rows stay among the running,
//! where the schedule finds them.

use super::{
    Ledger,
    attributes::{RUNNING, key},
};
use crate::{
    error::Error,
    ports::{LedgerStore, RowWrite, Value},
};

/// What an error names the writes here.
const WHAT: &str = "writing to the ledger";

impl<S: LedgerStore> Ledger<S> {
    /// Leaves it to the schedule to deliver the notice of a release that has ended.
    pub async fn mark_undelivered(&self, execution: &str) -> Result<(), Error> {
        let row = RowWrite::put(key(RUNNING, execution)).item("owed", Value::Bool(true));
        self.store.write(WHAT, row).await.map(drop)
    }

    /// Whether the notice of a release that has ended is undelivered.
    pub async fn is_undelivered(&self, execution: &str) -> Result<bool, Error> {
        let row = self.store.row(&key(RUNNING, execution)).await?;
        Ok(row.is_some_and(|row| row.contains_key("owed")))
    }

    /// Clears the mark once the notice has been delivered.
    pub async fn clear_undelivered(&self, execution: &str) -> Result<(), Error> {
        let row = RowWrite::delete(key(RUNNING, execution));
        self.store.write(WHAT, row).await.map(drop)
    }
}
