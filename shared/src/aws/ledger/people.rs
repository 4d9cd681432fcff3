//! What a deployment waits for of people, and what they wish of it.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::ReturnValuesOnConditionCheckFailure,
};

use super::{
    Ledger,
    record::{Status, told},
    rows::{ONE, deployment, failed_condition, json, key, s},
    write::write,
};
use crate::{
    aws::classify::classify,
    domain::approval::{Asked, Wish},
    error::Error,
};

impl Ledger {
    /// Records that the execution waits for a person, and with which token the wait ends.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when it has been told to go back meanwhile.
    pub async fn ask(&self, execution: &str, token: &str, asked: &Asked) -> Result<(), Error> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&deployment(execution), ONE)))
            .update_expression("SET #status = :held, #token = :token, asked = :asked REMOVE wish")
            .condition_expression("#status IN (:inFlight, :held)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":held", s(Status::Held.word()))
            .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
            .expression_attribute_values(":token", s(token))
            .expression_attribute_values(":asked", json(asked))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match write(|| update.clone().send()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match failed_condition(&error) {
                Some(failed) => told(failed.item()),
                None => classify("recording what is asked", &error),
            }),
        }
    }

    /// Makes the link of what was asked useless, once somebody has answered. Nothing when it was
    /// something else that was answered.
    pub async fn answered(&self, execution: &str, asked: &Asked) -> Result<(), Error> {
        let spent = Asked {
            nonce_hash: None,
            ..asked.clone()
        };
        self.if_so("asked = :asked", execution, |update| {
            update
                .update_expression("SET asked = :spent")
                .expression_attribute_values(":asked", json(asked))
                .expression_attribute_values(":spent", json(&spent))
        })
        .await
        .map(drop)
    }

    /// Takes in that the execution goes on with what it was held in.
    pub async fn resumed(&self, execution: &str) -> Result<(), Error> {
        self.if_so("#status = :held", execution, |update| {
            update
                .update_expression("SET #status = :inFlight REMOVE #token, asked")
                .expression_attribute_names("#status", "status")
                .expression_attribute_names("#token", "token")
                .expression_attribute_values(":held", s(Status::Held.word()))
                .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
        })
        .await
        .map(drop)
    }

    /// Takes in that the execution ends with its traffic as it is. False when it has been told to go
    /// back meanwhile.
    pub async fn leave_held(&self, execution: &str) -> Result<bool, Error> {
        self.if_so("#status IN (:inFlight, :held)", execution, |update| {
            update
                .update_expression("SET #status = :held REMOVE #token, asked, wish")
                .expression_attribute_names("#status", "status")
                .expression_attribute_names("#token", "token")
                .expression_attribute_values(":held", s(Status::Held.word()))
                .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
        })
        .await
    }

    /// Leaves a person's wish for the deployment's next look; a later one replaces it. False when it
    /// is not in flight, or waits for a person anyway.
    pub async fn wish(&self, execution: &str, wish: &Wish) -> Result<bool, Error> {
        self.if_so("#status = :inFlight", execution, |update| {
            update
                .update_expression("SET wish = :wish")
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
                .expression_attribute_values(":wish", json(wish))
        })
        .await
    }

    /// Updates a deployment's row where a condition holds. Whether it did.
    async fn if_so(
        &self,
        condition: &str,
        execution: &str,
        what: impl FnOnce(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> Result<bool, Error> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&deployment(execution), ONE)))
            .condition_expression(condition);
        let update = what(update);
        match write(|| update.clone().send()).await {
            Ok(_) => Ok(true),
            Err(error) if failed_condition(&error).is_some() => Ok(false),
            Err(error) => Err(classify("writing to the ledger", &error)),
        }
    }
}
