//! Whether green has had traffic: what makes a rejection a rollback.

use super::{
    Ledger,
    attributes::{ONE, deployment, ended, key, s},
};
use crate::{
    domain::record::Status,
    error::Error,
    ports::{Applied, LedgerStore, Returns, RowWrite, Value},
};

impl<S: LedgerStore> Ledger<S> {
    /// Records that green's first weight is about to be written: from here on green may have had traffic,
    /// whatever becomes of the function that writes it. Returns whether it may have had some before, by an
    /// earlier try.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when a rollback was requested: nothing may be written.
    pub async fn begin_first_shift(&self, execution: &str) -> Result<bool, Error> {
        let row = set_shift_begun(execution, true);
        let what = "recording that a shift begins";
        match self.store.write(what, row).await? {
            Applied::Done(before) => Ok(before.get("shiftBegun") != Some(&Value::Bool(false))),
            Applied::Refused(row) => Err(ended(row.as_ref())),
        }
    }

    /// Records that green's first weight was refused: green has had no traffic. Where a rollback was
    /// requested meanwhile, this is not recorded.
    pub async fn first_shift_refused(&self, execution: &str) -> Result<(), Error> {
        let row = set_shift_begun(execution, false);
        let what = "recording that a shift was refused";
        self.store.write(what, row).await.map(drop)
    }
}

fn set_shift_begun(execution: &str, begun: bool) -> RowWrite {
    RowWrite::update(key(&deployment(execution), ONE), "SET shiftBegun = :begun")
        .condition("#status IN (:inFlight, :held, :promoted)")
        .name("#status", "status")
        .value(":inFlight", s(Status::InFlight.word()))
        .value(":held", s(Status::Held.word()))
        // A promotion that is repeated finds itself done.
        .value(":promoted", s(Status::Promoted.word()))
        .value(":begun", Value::Bool(begun))
        .returning(Returns::UpdatedOld)
}
