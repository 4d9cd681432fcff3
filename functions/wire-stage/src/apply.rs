//! Carrying out one write.

use std::time::Duration;

use crossfade::{
    aws::functions::Readiness,
    domain::{
        names::{AliasName, derived::deployment_description},
        routing::alias::Primary,
        stage_wiring::{Ask, Kind, LATEST_ALIAS, Write},
    },
    error::Error,
};

use serde_json::json;

use crate::Handler;

/// How long `$LATEST` may take to be updated, and a version to be active: the function's own time is
/// not much longer.
const READY: Duration = Duration::from_secs(15);

impl Handler {
    pub(crate) async fn carry_out(
        &self,
        ask: &Ask,
        kind: Kind,
        write: &Write,
    ) -> Result<(), Error> {
        let function = &ask.function_name;
        let api = (kind, &ask.api_id);
        match write {
            Write::Record(wiring) => self.ledger.keep_wiring(wiring).await,
            Write::MakeAlias(alias) => self.make_alias(ask, alias).await,
            Write::Permit(permit) => self.aliases.permit(function, permit).await,
            Write::SetVariable { stage, name, value } => {
                self.gateway
                    .set_variable(api, stage, name, value.as_deref())
                    .await
            }
            Write::SetUri { kind, id, uri, .. } => {
                self.gateway.set_uri(api, (*kind, id), uri).await
            }
            Write::Deploy(stage) => {
                let why = deployment_description(function, &ask.alias);
                self.gateway.deploy(api, stage, &why).await
            }
            Write::Forbid(permit) => self.aliases.forbid(function, permit).await,
            Write::DeleteAlias(alias) => self.aliases.delete(function, alias).await,
            Write::Forget => {
                self.ledger
                    .forget_wiring(&ask.api_id, &ask.stage, function)
                    .await
            }
        }
    }

    /// Makes the alias on what the stage calls now: `$LATEST`, published so that it stays what it is.
    async fn make_alias(&self, ask: &Ask, alias: &AliasName) -> Result<(), Error> {
        let function = &ask.function_name;
        let at =
            if alias.as_ref() == LATEST_ALIAS {
                Primary::Latest
            } else {
                let latest = self.functions.updated(function, READY).await?;
                let published = self.functions.publish(function, &latest, None).await?;
                if !published.active {
                    let version = &published.version;
                    let event = json!({});
                    let active = self.functions.active(function, version, &event, READY);
                    // The state is tried again, and the same version is published again.
                    if let Readiness::NotYet(state) = active.await? {
                        return Err(Error::Transient(format!(
                        "{state}, and a version has to be Active before an alias is made on it"
                    ).into()));
                    }
                }
                Primary::Version(published.version)
            };
        self.aliases.make(function, alias, &at).await
    }
}
