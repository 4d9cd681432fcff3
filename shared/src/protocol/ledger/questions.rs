//! What a release waits for of operators, and what they request of it.

use super::{
    Ledger,
    attributes::{ONE, deployment, ended, json, key, percent, s},
};
use crate::{
    domain::{
        approval::{OperatorAction, OperatorRequest, Question},
        record::Status,
        weight::Weight,
    },
    error::Error,
    ports::{Applied, LedgerStore, RowWrite},
};

impl<S: LedgerStore> Ledger<S> {
    /// Records that the execution waits for an operator, and with which token the wait ends.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when a rollback was requested meanwhile.
    pub async fn ask(&self, execution: &str, token: &str, asked: &Question) -> Result<(), Error> {
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

    /// Invalidates the link of a question once it is answered. Does nothing when another question was
    /// answered.
    pub async fn answered(&self, execution: &str, asked: &Question) -> Result<(), Error> {
        let spent = Question {
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

    /// Records that the execution ends with its traffic as it is. Returns false when a rollback was requested
    /// meanwhile.
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

    /// Leaves an operator's request for the deployment's next look; a later one replaces it, and the next shift
    /// removes it. `seen` is the weight that the operator decided on: the request to go one step counts at that
    /// weight only. Returns false when it is not in flight, waits for an operator anyway, or has gone on meanwhile.
    pub async fn request(
        &self,
        execution: &str,
        wish: &OperatorRequest,
        seen: Weight,
    ) -> Result<bool, Error> {
        let condition = match wish.verb {
            OperatorAction::Next => "#status = :inFlight AND weight = :seen",
            OperatorAction::Hold | OperatorAction::Promote => "#status = :inFlight",
        };
        self.update_if(condition, execution, "SET wish = :wish", |row| {
            let row = row
                .name("#status", "status")
                .value(":inFlight", s(Status::InFlight.word()))
                .value(":wish", json(wish));
            match wish.verb {
                OperatorAction::Next => row.value(":seen", percent(seen)),
                OperatorAction::Hold | OperatorAction::Promote => row,
            }
        })
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
