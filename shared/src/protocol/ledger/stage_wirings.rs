//! How API Gateway stages were before they were wired: a row for each stage and function of an API.

use super::{
    Ledger,
    attributes::{json, key, parsed, s},
};
use crate::{
    domain::{
        names::{
            FunctionName,
            api::{ApiId, StageName},
            derived::keys::{stage_wirings, wiring as row},
        },
        stage_wiring::Wiring,
    },
    error::Error,
    ports::{LedgerStore, RowWrite},
};

impl<S: LedgerStore> Ledger<S> {
    /// Returns what is on record of an API, all stages and functions.
    pub async fn wirings(&self, api_id: &ApiId) -> Result<Vec<Wiring>, Error> {
        let rows = self.store.query(&stage_wirings(api_id)).await?;
        rows.iter().map(|row| parsed(row, "wiring")).collect()
    }

    /// Records how a stage was and what is made of it, before anything is changed.
    pub async fn keep_wiring(&self, wiring: &Wiring) -> Result<(), Error> {
        let key = key(
            &stage_wirings(&wiring.api_id),
            &row(&wiring.stage, &wiring.function_name),
        );
        let put = RowWrite::put(key)
            .item("application", s(wiring.application.as_ref()))
            .item("wiring", json(wiring));
        self.store
            .write("recording the wiring", put)
            .await
            .map(drop)
    }

    /// Takes it off the record, once all is as it was.
    pub async fn forget_wiring(
        &self,
        api_id: &ApiId,
        stage: &StageName,
        function: &FunctionName,
    ) -> Result<(), Error> {
        let delete = RowWrite::delete(key(&stage_wirings(api_id), &row(stage, function)));
        self.store
            .write("forgetting the wiring", delete)
            .await
            .map(drop)
    }
}
