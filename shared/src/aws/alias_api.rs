//! Lambda: what moves an alias's traffic.

use std::collections::HashMap;

use aws_sdk_lambda::{
    operation::{get_alias::GetAliasOutput, update_alias::UpdateAliasOutput},
    types::AliasRoutingConfiguration,
};

use super::{
    capacity,
    classify::{classify, is},
    functions::{failed, version},
    traffic::Clients,
};
use crate::{
    domain::{
        Timestamp,
        capacity::{Provisioned, Running},
        names::{AliasName, FunctionName, Version},
        routing::alias::{Alias, Primary, Revision},
    },
    error::Error,
    ports::{AliasApi, AliasWrite, DurableApi, Written},
};

impl AliasApi for Clients {
    async fn alias(
        &self,
        function: &FunctionName,
        alias: &AliasName,
    ) -> Result<Option<Alias>, Error> {
        let got = self
            .lambda()
            .get_alias()
            .function_name(function.as_ref())
            .name(alias.as_ref())
            .send()
            .await;
        match got {
            Ok(now) => Ok(Some(now.try_into()?)),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(None),
            Err(error) => Err(classify(&format!("GetAlias of {function}:{alias}"), &error)),
        }
    }

    /// Both parts are always sent: whether an omitted one is kept is not documented.
    async fn update_alias(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        update: &AliasWrite,
    ) -> Result<Written, Error> {
        let weights = update.additional.iter();
        let weights = weights.map(|(version, weight)| (version.to_string(), weight.fraction()));
        let sent = self
            .lambda()
            .update_alias()
            .function_name(function.as_ref())
            .name(alias.as_ref())
            .function_version(update.primary.to_string())
            .routing_config(
                AliasRoutingConfiguration::builder()
                    .set_additional_version_weights(Some(weights.collect()))
                    .build(),
            )
            .revision_id(&update.if_revision.0)
            .send()
            .await;
        match sent {
            Ok(now) => Ok(Written::Done(now.try_into()?)),
            Err(error) if is(&error, "PreconditionFailedException") => Ok(Written::Stale),
            Err(error) => {
                let classified = classify(&format!("UpdateAlias of {function}:{alias}"), &error);
                if is(&error, "ResourceConflictException") {
                    Ok(Written::Conflict(classified))
                } else {
                    Err(classified)
                }
            }
        }
    }

    async fn create_alias(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        to: &Primary,
    ) -> Result<Option<Alias>, Error> {
        let created = self
            .lambda()
            .create_alias()
            .function_name(function.as_ref())
            .name(alias.as_ref())
            .function_version(to.to_string())
            .send()
            .await;
        match created {
            Ok(now) => Ok(Some(Alias {
                primary: primary(now.function_version())?,
                additional: None,
                revision: revision(now.revision_id())?,
            })),
            Err(error) if is(&error, "ResourceConflictException") => Ok(None),
            Err(error) => Err(classify(
                &format!("CreateAlias of {function}:{alias}"),
                &error,
            )),
        }
    }

    async fn delete_alias(&self, function: &FunctionName, alias: &AliasName) -> Result<(), Error> {
        self.lambda()
            .delete_alias()
            .function_name(function.as_ref())
            .name(alias.as_ref())
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(&format!("DeleteAlias of {function}:{alias}"), &error))
    }

    async fn provisioned(
        &self,
        function: &FunctionName,
        alias: &AliasName,
    ) -> Result<Option<Provisioned>, Error> {
        capacity::provisioned(self.lambda(), function, alias).await
    }

    async fn check_version(&self, function: &FunctionName, version: &Version) -> Result<(), Error> {
        let got = self
            .lambda()
            .get_function()
            .function_name(function.as_ref());
        let got = got.qualifier(version.as_ref()).send().await;
        let got = got.map_err(|error| classify(&format!("GetFunction of {function}"), &error))?;
        got.configuration
            .and_then(|now| failed(function, version.as_ref(), &now))
            .map_or(Ok(()), Err)
    }
}

impl DurableApi for Clients {
    async fn running(
        &self,
        function: &FunctionName,
        version: &Version,
        since: Timestamp,
    ) -> Result<Running, Error> {
        capacity::running(self.lambda(), function, version, Some(since)).await
    }
}

fn primary(text: Option<&str>) -> Result<Primary, Error> {
    let text = text.unwrap_or_default();
    text.parse()
        .map_err(|_| Error::Transient(format!("Lambda answered with version {text:?}").into()))
}

fn revision(text: Option<&str>) -> Result<Revision, Error> {
    let text = text.ok_or_else(|| Error::Transient("Lambda answered without a revision".into()))?;
    Ok(Revision(text.to_owned()))
}

fn described(
    function_version: Option<&str>,
    routing: Option<&AliasRoutingConfiguration>,
    revision_id: Option<&str>,
) -> Result<Alias, Error> {
    let weights = routing.and_then(AliasRoutingConfiguration::additional_version_weights);
    // Lambda keeps one at the most; should it ever have more, one with a share counts first.
    let largest = |weights: &'_ HashMap<String, f64>| {
        let all = weights.iter().map(|(name, share)| (name.clone(), *share));
        all.max_by(|(_, one), (_, other)| one.total_cmp(other))
    };
    let additional = match weights.and_then(largest) {
        Some((name, share)) => Some((version(Some(&name))?, share)),
        None => None,
    };
    Ok(Alias {
        primary: primary(function_version)?,
        additional,
        revision: revision(revision_id)?,
    })
}

impl TryFrom<GetAliasOutput> for Alias {
    type Error = Error;

    fn try_from(now: GetAliasOutput) -> Result<Self, Error> {
        described(
            now.function_version(),
            now.routing_config(),
            now.revision_id(),
        )
    }
}

impl TryFrom<UpdateAliasOutput> for Alias {
    type Error = Error;

    fn try_from(now: UpdateAliasOutput) -> Result<Self, Error> {
        described(
            now.function_version(),
            now.routing_config(),
            now.revision_id(),
        )
    }
}
