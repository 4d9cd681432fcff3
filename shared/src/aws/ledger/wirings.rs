//! How front doors were before they were wired: a row for each stage and function of an API.

use super::{
    Ledger,
    rows::{json, key, parsed, s},
    write::write,
};
use crate::{
    aws::classify::classify,
    domain::{
        names::{
            FunctionName,
            api::{ApiId, StageName},
            derived::keys::{front_door, wiring as row},
        },
        stage_wiring::Wiring,
    },
    error::Error,
};

impl Ledger {
    /// What is on record of an API, all stages and functions.
    pub async fn wirings(&self, api_id: &ApiId) -> Result<Vec<Wiring>, Error> {
        let rows = self.query(&front_door(api_id)).await?;
        rows.iter().map(|row| parsed(row, "wiring")).collect()
    }

    /// Puts on record how a stage was and what is made of it, before anything is changed.
    pub async fn keep_wiring(&self, wiring: &Wiring) -> Result<(), Error> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(
                &front_door(&wiring.api_id),
                &row(&wiring.stage, &wiring.function_name),
            )))
            .item("application", s(wiring.application.as_ref()))
            .item("wiring", json(wiring));
        write(|| put.clone().send())
            .await
            .map_err(|error| classify("recording the wiring", &error))?;
        Ok(())
    }

    /// Takes it off the record, once all is as it was.
    pub async fn forget_wiring(
        &self,
        api_id: &ApiId,
        stage: &StageName,
        function: &FunctionName,
    ) -> Result<(), Error> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(&front_door(api_id), &row(stage, function))));
        write(|| delete.clone().send())
            .await
            .map_err(|error| classify("forgetting the wiring", &error))?;
        Ok(())
    }
}
