//! How far a release is, and the request to roll it back.

use super::{
    Ledger,
    attributes::{ONE, contended, deployment, ended, json, key, n, percent, record, s, watched},
};
use crate::{
    domain::{
        record::{Record, Status, Why},
        release::Release,
        weight::Weight,
    },
    error::Error,
    ports::{Applied, LedgerStore, Returns, RowWrite, Transacted, Value},
};

impl<S: LedgerStore> Ledger<S> {
    /// Fixes the versions and arms the alarms: from here on, traffic can be restored from outside.
    ///
    /// Free to repeat by the same attempt and by later ones. What an earlier attempt writes late, whose
    /// answer is not waited for any more, does not replace what the execution goes on with.
    pub async fn launch(
        &self,
        execution: &str,
        attempt: u32,
        release: &Release,
    ) -> Result<(), Error> {
        let row = RowWrite::update(
            key(&deployment(execution), ONE),
            "SET #status = :inFlight, footprint = :footprint, weight = :weight, attempt = :attempt, \
             shiftBegun = :not",
        )
        .condition("#status = :preparing OR (#status = :inFlight AND attempt <= :attempt)")
        .value(":preparing", s(Status::Preparing.word()))
        .value(":attempt", n(i64::from(attempt)))
        .value(":not", Value::Bool(false))
        .value(":weight", n(0));
        self.moved(execution, release, row).await
    }

    /// Records a shift that has been made.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when a rollback was requested meanwhile: what was shifted has to be
    /// restored.
    pub async fn shifted(
        &self,
        execution: &str,
        release: &Release,
        weight: Weight,
    ) -> Result<(), Error> {
        let row = RowWrite::update(
            key(&deployment(execution), ONE),
            "SET #status = :inFlight, footprint = :footprint, weight = :weight, steps = :steps \
             REMOVE #token, asked, wish",
        )
        .condition("#status IN (:inFlight, :held)")
        .name("#token", "token")
        .value(":held", s(Status::Held.word()))
        .value(":weight", percent(weight))
        .value(":steps", json(&release.progress().steps));
        self.moved(execution, release, row).await
    }

    async fn moved(&self, execution: &str, release: &Release, row: RowWrite) -> Result<(), Error> {
        let footprint = json(&release.footprint());
        let row = row
            .name("#status", "status")
            .value(":inFlight", s(Status::InFlight.word()))
            .value(":footprint", footprint.clone());
        let mut writes = vec![row];
        writes.extend(release.spec.analysis.alarms.iter().map(|alarm| {
            RowWrite::put(key(&watched(alarm), execution)).item("footprint", footprint.clone())
        }));
        match self
            .store
            .transact("recording in the ledger", writes)
            .await?
        {
            Transacted::Done => Ok(()),
            Transacted::Contended => Err(contended()),
            Transacted::Refused(refused) => {
                let row = refused.into_iter().find_map(|one| one.row);
                Err(row.map_or_else(contended, |row| ended(Some(&row))))
            }
        }
    }

    /// Requests the rollback of a release. The first reason stays. Returns its row as it then is, or `None`
    /// when it has ended, or never began.
    pub async fn request_rollback(
        &self,
        execution: &str,
        why: &Why,
    ) -> Result<Option<Record>, Error> {
        let row = RowWrite::update(
            key(&deployment(execution), ONE),
            "SET #status = :rollingBack, why = if_not_exists(why, :why)",
        )
        .condition("#status IN (:preparing, :inFlight, :held, :rollingBack)")
        .name("#status", "status")
        .value(":rollingBack", s(Status::RollingBack.word()))
        .value(":preparing", s(Status::Preparing.word()))
        .value(":inFlight", s(Status::InFlight.word()))
        .value(":held", s(Status::Held.word()))
        .value(":why", json(why))
        .returning(Returns::New);
        match self.store.write("requesting the rollback", row).await? {
            Applied::Done(row) => record(&row).map(Some),
            Applied::Refused(_) => Ok(None),
        }
    }
}
