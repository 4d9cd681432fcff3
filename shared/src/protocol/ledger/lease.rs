//! What lets a release move traffic to green.

use super::Ledger;
use crate::{domain::record::Status, error::Error, ports::LedgerStore};

/// A release's right to move traffic to green. It may end at any moment, by a request to roll back.
#[derive(Debug)]
pub struct Lease<'a, S> {
    ledger: &'a Ledger<S>,
    execution: &'a str,
}

impl<S> Clone for Lease<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Lease<'_, S> {}

impl<S: LedgerStore> Ledger<S> {
    /// Returns a release's lease. Reads nothing.
    #[must_use]
    pub const fn lease<'a>(&'a self, execution: &'a str) -> Lease<'a, S> {
        Lease {
            ledger: self,
            execution,
        }
    }
}

impl<S: LedgerStore> Lease<'_, S> {
    /// See [`Ledger::begin_first_shift`].
    pub async fn begin_first_shift(&self) -> Result<bool, Error> {
        self.ledger.begin_first_shift(self.execution).await
    }

    /// See [`Ledger::first_shift_refused`].
    pub async fn first_shift_refused(&self) -> Result<(), Error> {
        self.ledger.first_shift_refused(self.execution).await
    }

    /// Reads whether it still holds.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when the release is rolled back, or was requested to be.
    pub async fn check(&self) -> Result<(), Error> {
        match self.ledger.get(self.execution).await? {
            Some(record) => match record.status {
                // A promotion that is repeated finds itself done.
                Status::InFlight | Status::Held | Status::Promoted => Ok(()),
                Status::Preparing
                | Status::RollingBack
                | Status::RolledBack
                | Status::Rejected
                | Status::Unchanged => Err(Error::DeploymentRolledBack(
                    record
                        .why
                        .map_or_else(|| "the deployment has ended".to_owned(), |why| why.reason)
                        .into(),
                )),
            },
            None => Err(Error::Refused(
                "the ledger does not know this deployment".into(),
            )),
        }
    }
}
