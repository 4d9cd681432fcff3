//! Which migrations have been run: a row for each direction of a release, written before the function
//! is invoked, and completed with what came of it.

use super::{
    KEEP_SECONDS, Ledger,
    rows::{Item, json, key, n, optional, s, text},
    write::write,
};
use crate::{
    aws::classify::{classify, is},
    domain::{
        Timestamp,
        migration::{Direction, Ran},
        names::derived::keys,
    },
    error::Error,
};
use aws_sdk_dynamodb::{
    operation::put_item::PutItemError, types::ReturnValuesOnConditionCheckFailure,
};

/// Whose it is to run a migration.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The caller's, and nobody else's ever after.
    Ours,
    /// It has been run: what came of it.
    Ran(Box<Ran>),
    /// Another attempt has said that it runs it, and not yet what came of it. Perhaps it never will.
    Underway,
}

impl Ledger {
    /// Says that `attempt` is about to run a migration, unless one has said so before. Free to repeat
    /// by the same attempt.
    pub async fn claim_migration(
        &self,
        execution: &str,
        direction: Direction,
        attempt: &str,
        now: Timestamp,
    ) -> Result<Claim, Error> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row(execution, direction)))
            .item("attempt", s(attempt))
            .item("startedAt", s(&now.to_rfc3339()))
            .item("expiresAt", n(now.timestamp() + KEEP_SECONDS))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = write(|| put.clone().send()).await else {
            return Ok(Claim::Ours);
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let before = failed.item().cloned().unwrap_or_default();
                if text(&before, "attempt").as_deref() == Some(attempt) {
                    return Ok(Claim::Ours);
                }
                claimed(&before)
            }
            _ => Err(classify("claiming the migration", &error)),
        }
    }

    /// What another attempt has said of a migration by now; none when it has taken its word back.
    pub async fn migration(
        &self,
        execution: &str,
        direction: Direction,
    ) -> Result<Option<Claim>, Error> {
        let row = self.row(row(execution, direction)).await?;
        row.as_ref().map(claimed).transpose()
    }

    /// Says what came of the migration that `attempt` has run.
    pub async fn settle_migration(
        &self,
        execution: &str,
        attempt: &str,
        ran: &Ran,
    ) -> Result<(), Error> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(row(execution, ran.direction)))
            .update_expression("SET ran = :ran")
            .condition_expression("attempt = :attempt")
            .expression_attribute_values(":attempt", s(attempt))
            .expression_attribute_values(":ran", json(ran));
        write(|| update.clone().send())
            .await
            .map_err(|error| classify("recording the migration", &error))?;
        Ok(())
    }

    /// Takes back that `attempt` runs it: Lambda did not take the invocation. Nothing when it did not
    /// say so, or has done so already.
    pub async fn disclaim_migration(
        &self,
        execution: &str,
        direction: Direction,
        attempt: &str,
    ) -> Result<(), Error> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(row(execution, direction)))
            .condition_expression("attempt = :attempt AND attribute_not_exists(ran)")
            .expression_attribute_values(":attempt", s(attempt));
        match write(|| delete.clone().send()).await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(classify("giving the migration back", &error)),
        }
    }
}

fn claimed(item: &Item) -> Result<Claim, Error> {
    let ran = optional(item, "ran")?;
    Ok(ran.map_or(Claim::Underway, |ran| Claim::Ran(Box::new(ran))))
}

fn row(execution: &str, direction: Direction) -> Item {
    key(&keys::migration(execution), direction.into())
}
