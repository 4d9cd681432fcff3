//! Which migrations have been run: a row for each direction of a release, written before the function
//! is invoked, and completed with what came of it.

use super::{
    KEEP_SECONDS, Ledger,
    attributes::{json, key, n, optional, s, text},
};
use crate::{
    domain::{
        Timestamp,
        migration::{Direction, MigrationRun},
        names::derived::keys,
    },
    error::Error,
    ports::{Applied, Item, Key, LedgerStore, RowWrite},
};

/// Whose it is to run a migration.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The caller's, for good.
    Ours,
    /// It has been run: what came of it.
    Ran(Box<MigrationRun>),
    /// Another attempt has said that it runs it, and not yet what came of it. Perhaps it never will.
    Underway,
}

impl<S: LedgerStore> Ledger<S> {
    /// Says that `attempt` is about to run a migration, unless one has said so before. Free to repeat
    /// by the same attempt.
    pub async fn claim_migration(
        &self,
        execution: &str,
        direction: Direction,
        attempt: &str,
        now: Timestamp,
    ) -> Result<Claim, Error> {
        let put = RowWrite::put(row(execution, direction))
            .item("attempt", s(attempt))
            .item("startedAt", s(&now.to_rfc3339()))
            .item("expiresAt", n(now.timestamp() + KEEP_SECONDS))
            .condition("attribute_not_exists(pk)");
        match self.store.write("claiming the migration", put).await? {
            Applied::Done(_) => Ok(Claim::Ours),
            Applied::Refused(before) => {
                let before = before.unwrap_or_default();
                if text(&before, "attempt").as_deref() == Some(attempt) {
                    return Ok(Claim::Ours);
                }
                claimed(&before)
            }
        }
    }

    /// What another attempt has said of a migration by now; none when it has taken its word back.
    pub async fn migration(
        &self,
        execution: &str,
        direction: Direction,
    ) -> Result<Option<Claim>, Error> {
        let row = self.store.row(&row(execution, direction)).await?;
        row.as_ref().map(claimed).transpose()
    }

    /// Says what came of the migration that `attempt` has run.
    pub async fn settle_migration(
        &self,
        execution: &str,
        attempt: &str,
        ran: &MigrationRun,
    ) -> Result<(), Error> {
        let update = RowWrite::update(row(execution, ran.direction), "SET ran = :ran")
            .condition("attempt = :attempt")
            .value(":attempt", s(attempt))
            .value(":ran", json(ran));
        match self.store.write("recording the migration", update).await? {
            Applied::Done(_) => Ok(()),
            Applied::Refused(_) => Err(Error::Refused(
                "recording the migration: another attempt has claimed it".into(),
            )),
        }
    }

    /// Takes back that `attempt` runs it: Lambda did not take the invocation. Nothing when it did not
    /// say so, or has done so already.
    pub async fn disclaim_migration(
        &self,
        execution: &str,
        direction: Direction,
        attempt: &str,
    ) -> Result<(), Error> {
        let delete = RowWrite::delete(row(execution, direction))
            .condition("attempt = :attempt AND attribute_not_exists(ran)")
            .value(":attempt", s(attempt));
        let what = "giving the migration back";
        self.store.write(what, delete).await.map(drop)
    }
}

fn claimed(item: &Item) -> Result<Claim, Error> {
    let ran = optional(item, "ran")?;
    Ok(ran.map_or(Claim::Underway, |ran| Claim::Ran(Box::new(ran))))
}

fn row(execution: &str, direction: Direction) -> Key {
    key(&keys::migration(execution), direction.into())
}
