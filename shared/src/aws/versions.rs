//! Lambda: a function's versions, who references them, and deleting one.

use aws_sdk_lambda::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};

use super::{
    classify::{classify, is},
    lazy::{Lazy, lazy},
    pace,
};
use crate::{
    domain::{
        names::{AliasName, FunctionName, Version},
        retention::{Because, Hold},
    },
    error::Error,
};

/// What became of deleting a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, or was before: Lambda does not tell which (AWS-FACTS 1.8).
    Gone,
    /// Lambda keeps it, as a rule because an alias references it by now; in Lambda's words.
    Kept(String),
}

/// The versions of functions.
#[derive(Clone, Debug)]
pub struct Versions {
    client: Lazy<Client>,
}

impl Versions {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, pace::lambda),
        }
    }

    /// All published versions of a function; none when there is no such function any more.
    pub async fn list(&self, function: &FunctionName) -> Result<Option<Vec<Version>>, Error> {
        let listed = self
            .client
            .list_versions_by_function()
            .function_name(function.as_ref())
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) if is(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(classify("ListVersionsByFunction", &error)),
        };
        listed
            .iter()
            .filter_map(|one| one.version())
            .filter(|text| *text != "$LATEST")
            .map(|text| text.parse().map_err(|_| unreadable(text)))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// What the function's aliases need: whether `ListAliases` can be asked for one version's, as an
    /// additional one too, is not documented (AWS-FACTS 1.8), so all are read.
    pub async fn aliases(&self, function: &FunctionName) -> Result<Vec<Hold>, Error> {
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
        let mut holds = Vec::new();
        for alias in listed {
            let name = alias.name().unwrap_or_default();
            let name: AliasName = name.parse().map_err(|_| unreadable(name))?;
            let primary = alias.function_version().unwrap_or_default();
            if primary != "$LATEST" {
                let version = primary.parse().map_err(|_| unreadable(primary))?;
                holds.push(Hold::on(&version, Because::Alias(name.clone())));
            }
            let routing = alias.routing_config();
            let weights = routing.and_then(|routing| routing.additional_version_weights());
            for text in weights.into_iter().flat_map(|weights| weights.keys()) {
                let version = text.parse().map_err(|_| unreadable(text))?;
                holds.push(Hold::on(&version, Because::ShareOfAlias(name.clone())));
            }
        }
        Ok(holds)
    }

    /// Deletes one version, and never a function: without a qualifier `DeleteFunction` would delete it
    /// whole, and a [`Version`] is never empty and never `$LATEST`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that names a version"
    )]
    pub async fn delete(
        &self,
        function: &FunctionName,
        version: &Version,
    ) -> Result<Deleted, Error> {
        let deleted = self
            .client
            .delete_function()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .send()
            .await;
        match deleted {
            Ok(_) => Ok(Deleted::Gone),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(Deleted::Gone),
            Err(error) if is(&error, "ResourceConflictException") => {
                let said =
                    SdkError::as_service_error(&error).and_then(ProvideErrorMetadata::message);
                Ok(Deleted::Kept(said.unwrap_or_default().to_owned()))
            }
            Err(error) => Err(classify("DeleteFunction", &error)),
        }
    }
}

fn unreadable(text: &str) -> Error {
    Error::Transient(format!("Lambda answered with {text:?}"))
}
