//! What is read of the ledger.

use std::collections::BTreeSet;

use super::{
    Ledger,
    attributes::{
        ONE, RUNNING, deployment, instant, key, lock, parsed, promoted, record, required, text,
        watched,
    },
};
use crate::{
    domain::{
        names::{AlarmName, Application, locks::of_application},
        record::{Record, Watch},
    },
    error::Error,
    ports::LedgerStore,
};

impl<S: LedgerStore> Ledger<S> {
    /// Returns a release's row; `None` when it took no locks.
    pub async fn get(&self, execution: &str) -> Result<Option<Record>, Error> {
        let row = self.store.row(&key(&deployment(execution), ONE)).await?;
        row.as_ref().map(record).transpose()
    }

    /// Returns the rows of several releases, in no order; those that took no locks have none. 100 at the most.
    pub async fn records(&self, executions: &[String]) -> Result<Vec<Record>, Error> {
        if executions.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = executions
            .iter()
            .map(|execution| key(&deployment(execution), ONE))
            .collect();
        self.store.rows(&keys).await?.iter().map(record).collect()
    }

    /// Returns the execution whose input has a release's request, where that is another one: a rollback to a
    /// version has that of an earlier release.
    pub async fn request_of(&self, execution: &str) -> Result<Option<String>, Error> {
        let row = self.store.row(&key(&deployment(execution), ONE)).await?;
        Ok(row.and_then(|row| text(&row, "requestOf")))
    }

    /// Lists the releases that watch an alarm.
    pub async fn watching(&self, alarm: &AlarmName) -> Result<Vec<Watch>, Error> {
        self.store
            .query(&watched(alarm))
            .await?
            .iter()
            .map(|item| {
                Ok(Watch {
                    execution: required(item, "sk")?,
                    footprint: parsed(item, "footprint")?,
                    retain_until: instant(item, "retainUntil")?,
                })
            })
            .collect()
    }

    /// Lists the executions whose releases have not ended.
    pub async fn running(&self) -> Result<Vec<String>, Error> {
        self.store
            .query(RUNNING)
            .await?
            .iter()
            .map(|item| required(item, "sk"))
            .collect()
    }

    /// Returns which executions hold some of these locks. 100 locks at the most, which is more than a
    /// release has.
    pub async fn holding(&self, locks: &[String]) -> Result<BTreeSet<String>, Error> {
        let keys: Vec<_> = locks.iter().map(|name| key(&lock(name), ONE)).collect();
        let rows = self.store.rows(&keys).await?;
        Ok(rows
            .iter()
            .filter_map(|row| text(row, "execution"))
            .collect())
    }

    /// Returns the execution that holds an application, or, when none does, the one that was promoted last.
    pub async fn latest(&self, application: &Application) -> Result<Option<String>, Error> {
        let holder = key(&lock(&of_application(application)), ONE);
        let last = key(&promoted(application), ONE);
        let items = self.store.rows(&[holder, last]).await?;
        let by = |prefix: &str| {
            let found = items
                .iter()
                .find(|item| text(item, "pk").is_some_and(|pk| pk.starts_with(prefix)));
            found.and_then(|item| text(item, "execution"))
        };
        Ok(by("LOCK#").or_else(|| by("PROMOTED#")))
    }
}
