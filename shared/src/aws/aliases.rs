//! Lambda: a function's aliases as such, and whom their policies let in. (How an alias's traffic moves
//! is elsewhere.)

use std::str::FromStr;

use aws_sdk_lambda::Client;

use super::{
    classify::{classify, is},
    lazy_client::{LazyClient, lazy},
    rate_limit,
};
use crate::{
    domain::{
        names::{AliasName, FunctionName},
        policy::{Allowed, allowed},
        routing::alias::{Alias, Primary, Revision},
        stage_wiring::{Permit, Statement},
    },
    error::Error,
};

/// Aliases and their policies.
#[derive(Clone, Debug)]
pub struct Aliases {
    client: LazyClient<Client>,
}

impl Aliases {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, rate_limit::lambda),
        }
    }

    /// The function's ARN and the hash of its code in `$LATEST`.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when there is no such function.
    pub async fn latest(&self, function: &FunctionName) -> Result<(String, String), Error> {
        let got = self
            .client
            .get_function_configuration()
            .function_name(function.as_ref())
            .send()
            .await;
        match got {
            Ok(now) => Ok((
                now.function_arn.unwrap_or_default(),
                now.code_sha256.unwrap_or_default(),
            )),
            Err(error) if is(&error, "ResourceNotFoundException") => Err(Error::InvalidRequest(
                format!("frontDoor.functionName: there is no function {function}").into(),
            )),
            Err(error) => Err(classify("GetFunctionConfiguration", &error)),
        }
    }

    /// All aliases of a function, by name.
    pub async fn all(&self, function: &FunctionName) -> Result<Vec<(String, Alias)>, Error> {
        let listed = self
            .client
            .list_aliases()
            .function_name(function.as_ref())
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify("ListAliases", &error))?;
        listed
            .into_iter()
            .map(|one| {
                let weights = one
                    .routing_config
                    .and_then(|routing| routing.additional_version_weights)
                    .unwrap_or_default();
                let additional = weights
                    .into_iter()
                    .next()
                    .map(|(name, share)| version(&name).map(|version| (version, share)))
                    .transpose()?;
                let text = one.function_version.unwrap_or_default();
                let alias = Alias {
                    primary: version(&text)?,
                    additional,
                    revision: Revision(one.revision_id.unwrap_or_default()),
                };
                Ok((one.name.unwrap_or_default(), alias))
            })
            .collect()
    }

    /// Makes an alias.
    ///
    /// # Errors
    /// [`Error::Transient`] when there is one by now: perhaps our own, whose answer was lost.
    pub async fn make(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        at: &Primary,
    ) -> Result<(), Error> {
        self.client
            .create_alias()
            .function_name(function.as_ref())
            .name(alias.as_ref())
            .function_version(at.to_string())
            .description("Made by Crossfade for an API Gateway stage")
            .send()
            .await
            .map_err(|error| classify("CreateAlias", &error))?;
        Ok(())
    }

    /// Deletes an alias, and with it its policy. One that is gone already is as good.
    pub async fn delete(&self, function: &FunctionName, alias: &AliasName) -> Result<(), Error> {
        self.client
            .delete_alias()
            .function_name(function.as_ref())
            .name(alias.as_ref())
            .send()
            .await
            .map_err(|error| classify("DeleteAlias", &error))?;
        Ok(())
    }

    /// Who may call a function (without an alias) or an alias; no caller where there is none.
    pub async fn policy(
        &self,
        function: &FunctionName,
        alias: Option<&AliasName>,
    ) -> Result<Vec<Statement>, Error> {
        let got = self
            .client
            .get_policy()
            .function_name(function.as_ref())
            .set_qualifier(alias.map(ToString::to_string))
            .send()
            .await;
        match got {
            Ok(got) => Ok(allowed(&got.policy.unwrap_or_default())
                .into_iter()
                .map(statement)
                .collect()),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(Vec::new()),
            Err(error) => Err(classify("GetPolicy", &error)),
        }
    }

    /// Lets API Gateway call an alias.
    ///
    /// # Errors
    /// [`Error::Transient`] when the statement is there by now: perhaps our own, whose answer was
    /// lost.
    pub async fn permit(&self, function: &FunctionName, permit: &Permit) -> Result<(), Error> {
        self.client
            .add_permission()
            .function_name(function.as_ref())
            .qualifier(permit.alias.as_ref())
            .statement_id(&permit.id)
            .action("lambda:InvokeFunction")
            .principal("apigateway.amazonaws.com")
            .source_arn(&permit.source_arn)
            .send()
            .await
            .map_err(|error| classify("AddPermission", &error))?;
        Ok(())
    }

    /// Takes a permission back. One that is gone already is as good.
    pub async fn forbid(&self, function: &FunctionName, permit: &Permit) -> Result<(), Error> {
        let removed = self
            .client
            .remove_permission()
            .function_name(function.as_ref())
            .qualifier(permit.alias.as_ref())
            .statement_id(&permit.id)
            .send()
            .await;
        match removed {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(()),
            Err(error) => Err(classify("RemovePermission", &error)),
        }
    }

    /// What besides API Gateway calls an alias, a phrase each: event sources and its URL.
    pub async fn users(
        &self,
        function: &FunctionName,
        alias: &AliasName,
    ) -> Result<Vec<String>, Error> {
        let (sources, urls) = futures::try_join!(
            async {
                self.client
                    .list_event_source_mappings()
                    .function_name(format!("{function}:{alias}"))
                    .send()
                    .await
                    .map_err(|error| classify("ListEventSourceMappings", &error))
            },
            async {
                self.client
                    .list_function_url_configs()
                    .function_name(function.as_ref())
                    .send()
                    .await
                    .map_err(|error| classify("ListFunctionUrlConfigs", &error))
            },
        )?;
        let end = format!(":{alias}");
        let sources = sources
            .event_source_mappings()
            .iter()
            .filter(|mapping| {
                mapping
                    .function_arn()
                    .is_some_and(|arn| arn.ends_with(&end))
            })
            .map(|mapping| {
                let source = mapping.event_source_arn().unwrap_or("an event source");
                format!("{source} is read by it")
            });
        let urls = urls
            .function_url_configs()
            .iter()
            .filter(|url| url.function_arn().ends_with(&end))
            .map(|url| format!("{} leads to it", url.function_url()));
        Ok(sources.chain(urls).collect())
    }
}

fn version<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse()
        .map_err(|_| Error::Transient(format!("Lambda answered with version {text:?}").into()))
}

/// A statement as the wiring needs it.
fn statement(allowed: Allowed) -> Statement {
    Statement {
        id: allowed.id,
        service: if allowed.is_service {
            allowed.principal
        } else {
            String::new()
        },
        source_arn: allowed.source.unwrap_or_default(),
    }
}
