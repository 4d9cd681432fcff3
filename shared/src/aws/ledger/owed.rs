//! Deployments that have ended and that nobody could be told of: their rows stay among the running, where
//! the schedule finds them.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    Ledger,
    rows::{RUNNING, key},
    write::write,
};
use crate::{aws::classify::classify, error::Error};

impl Ledger {
    /// Leaves it to the schedule to tell people of a deployment that has ended.
    pub async fn owe(&self, execution: &str) -> Result<(), Error> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(RUNNING, execution)))
            .item("owed", AttributeValue::Bool(true));
        write(|| put.clone().send())
            .await
            .map(drop)
            .map_err(|error| classify("writing to the ledger", &error))
    }

    /// Whether people have not been told of a deployment that has ended.
    pub async fn owes(&self, execution: &str) -> Result<bool, Error> {
        let row = self.row(key(RUNNING, execution)).await?;
        Ok(row.is_some_and(|row| row.contains_key("owed")))
    }

    /// They have been.
    pub async fn paid(&self, execution: &str) -> Result<(), Error> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete.set_key(Some(key(RUNNING, execution)));
        write(|| delete.clone().send())
            .await
            .map(drop)
            .map_err(|error| classify("writing to the ledger", &error))
    }
}
