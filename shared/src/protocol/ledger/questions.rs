//! What a release waits for of operators, and what they request of it.

use super::{
    Ledger,
    attributes::{ONE, deployment, ended, json, key, s},
};
use crate::{
    domain::{
        approval::{Asked, Wish},
        record::Status,
    },
    error::Error,
    ports::{Applied, LedgerStore, RowWrite},
};

impl<S: LedgerStore> Ledger<S> {
    /// Records that the execution waits for a person, and with which token the wait ends.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when it has been told to go back meanwhile.
    pub async fn ask(&self, execution: &str, token: &str, asked: &Asked) -> Result<(), Error> {
        let row = RowWrite::update(
            key(&deployment(execution), ONE),
            "SET #status = :held, #token = :token, asked = :asked REMOVE wish",
        )
        .condition("#status IN (:inFlight, :held)")
        .name("#status", "status")
        .name("#token", "token")
        .value(":held", s(Status::Held.word()))
        .value(":inFlight", s(Status::InFlight.word()))
        .value(":token", s(token))
        .value(":asked", json(asked));
        match self.store.write("recording what is asked", row).await? {
            Applied::Done(_) => Ok(()),
            Applied::Refused(row) => Err(ended(row.as_ref())),
        }
    }

    /// Makes the link of what was asked useless, once somebody has answered. Nothing when it was
    /// something else that was answered.
    pub async fn answered(&self, execution: &str, asked: &Asked) -> Result<(), Error> {
        let spent = Asked {
            nonce_hash: None,
            ..asked.clone()
        };
        self.update_if("asked = :asked", execution, "SET asked = :spent", |row| {
            row.value(":asked", json(asked))
                .value(":spent", json(&spent))
        })
        .await
        .map(drop)
    }

    /// Takes in that the execution goes on with what it was held in.
    pub async fn resumed(&self, execution: &str) -> Result<(), Error> {
        self.update_if(
            "#status = :held",
            execution,
            "SET #status = :inFlight REMOVE #token, asked",
            |row| {
                row.name("#status", "status")
                    .name("#token", "token")
                    .value(":held", s(Status::Held.word()))
                    .value(":inFlight", s(Status::InFlight.word()))
            },
        )
        .await
        .map(drop)
    }

    /// Takes in that the execution ends with its traffic as it is. False when it has been told to go
    /// back meanwhile.
    pub async fn leave_held(&self, execution: &str) -> Result<bool, Error> {
        self.update_if(
            "#status IN (:inFlight, :held)",
            execution,
            "SET #status = :held REMOVE #token, asked, wish",
            |row| {
                row.name("#status", "status")
                    .name("#token", "token")
                    .value(":held", s(Status::Held.word()))
                    .value(":inFlight", s(Status::InFlight.word()))
            },
        )
        .await
    }

    /// Leaves a person's wish for the deployment's next look; a later one replaces it. False when it
    /// is not in flight, or waits for a person anyway.
    pub async fn wish(&self, execution: &str, wish: &Wish) -> Result<bool, Error> {
        self.update_if(
            "#status = :inFlight",
            execution,
            "SET wish = :wish",
            |row| {
                row.name("#status", "status")
                    .value(":inFlight", s(Status::InFlight.word()))
                    .value(":wish", json(wish))
            },
        )
        .await
    }

    /// Updates a release's row where a condition holds. Returns whether it did.
    async fn update_if(
        &self,
        condition: &str,
        execution: &str,
        update: &str,
        with: impl FnOnce(RowWrite) -> RowWrite,
    ) -> Result<bool, Error> {
        let row = RowWrite::update(key(&deployment(execution), ONE), update).condition(condition);
        let done = self.store.write("writing to the ledger", with(row)).await?;
        Ok(matches!(done, Applied::Done(_)))
    }
}
