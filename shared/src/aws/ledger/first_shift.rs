//! Whether green has had traffic: what makes a rejection a rollback.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, UpdateItemOutput},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{
    Ledger,
    record::{Status, told},
    rows::{ONE, deployment, failed_condition, key, s},
    write::write,
};
use crate::{aws::classify::classify, error::Error};

impl Ledger {
    /// Records that green's first weight is about to be written: from here on green may have had traffic,
    /// whatever becomes of the function that writes it. Returns whether it may have had some before, by an
    /// earlier try.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when the deployment has been told to go back: nothing may be
    /// written.
    pub async fn begin_first_shift(&self, execution: &str) -> Result<bool, Error> {
        match self.set_shift_begun(execution, true).await {
            Ok(before) => {
                let before = before.attributes.unwrap_or_default();
                let begun = before.get("shiftBegun").map(AttributeValue::as_bool);
                Ok(begun != Some(Ok(&false)))
            }
            Err(error) => Err(match failed_condition(&error) {
                Some(failed) => told(failed.item()),
                None => classify("recording that a shift begins", &error),
            }),
        }
    }

    /// Records that green's first weight was refused: green has had no traffic. Where the deployment has
    /// been told to go back meanwhile, this is not recorded.
    pub async fn first_shift_refused(&self, execution: &str) -> Result<(), Error> {
        match self.set_shift_begun(execution, false).await {
            Ok(_) => Ok(()),
            Err(error) if failed_condition(&error).is_some() => Ok(()),
            Err(error) => Err(classify("recording that a shift was refused", &error)),
        }
    }

    async fn set_shift_begun(
        &self,
        execution: &str,
        begun: bool,
    ) -> Result<UpdateItemOutput, SdkError<UpdateItemError>> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&deployment(execution), ONE)))
            .update_expression("SET shiftBegun = :begun")
            .condition_expression("#status IN (:inFlight, :held, :promoted)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
            .expression_attribute_values(":held", s(Status::Held.word()))
            // A promotion that is repeated finds itself done.
            .expression_attribute_values(":promoted", s(Status::Promoted.word()))
            .expression_attribute_values(":begun", AttributeValue::Bool(begun))
            .return_values(ReturnValue::UpdatedOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        write(|| update.clone().send()).await
    }
}
