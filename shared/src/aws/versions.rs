//! Lambda: a function's versions, who references them, and deleting one.

use aws_sdk_elasticloadbalancingv2::{Client as Balancers, types::TargetTypeEnum};
use aws_sdk_lambda::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::ExecutionStatus,
};

use super::{
    classify::{classify, is},
    lazy_client::{LazyClient, lazy},
    rate_limit,
};
use crate::{
    domain::{
        names::{AliasName, FunctionName, Version},
        policy::allowed,
        retention::{Hold, RetainReason},
        routing::alias::Primary,
    },
    error::Error,
};

/// The service principal of load balancers.
const BALANCERS: &str = "elasticloadbalancing.amazonaws.com";

/// What became of deleting a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, or was before: Lambda does not distinguish them.
    Gone,
    /// Lambda does not delete it, as a rule because an alias references it by now; in Lambda's words.
    Kept(String),
}

/// The published versions of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// All of them.
    pub all: Vec<Version>,
    /// Those that run durable executions, which stay on the version that they began with.
    pub durable: Vec<Version>,
}

/// A version that is registered in a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The function.
    pub function: String,
    /// The version.
    pub version: Version,
    /// The group's name.
    pub group: String,
}

/// The versions of functions.
#[derive(Clone, Debug)]
pub struct Versions {
    client: LazyClient<Client>,
    balancers: LazyClient<Balancers>,
}

impl Versions {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, rate_limit::lambda),
            balancers: lazy(config, Balancers::new),
        }
    }

    /// Lists the published versions of a function; none when there is no such function any more.
    pub async fn list(&self, function: &FunctionName) -> Result<Option<Listed>, Error> {
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
        let mut versions = Listed::default();
        for one in &listed {
            let text = one.version().unwrap_or_default();
            let Primary::Version(version) = text.parse().map_err(|_| unreadable(text))? else {
                continue;
            };
            if one.durable_config().is_some() {
                versions.durable.push(version.clone());
            }
            versions.all.push(version);
        }
        Ok(Some(versions))
    }

    /// What the function's aliases need: whether `ListAliases` can be requested one version's, as an
    /// additional one too, is not documented, so all are read.
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
            if let Primary::Version(version) = primary.parse().map_err(|_| unreadable(primary))? {
                holds.push(Hold::on(&version, RetainReason::Alias(name.clone())));
            }
            let routing = alias.routing_config();
            let weights = routing.and_then(|routing| routing.additional_version_weights());
            for text in weights.into_iter().flat_map(|weights| weights.keys()) {
                let version = text.parse().map_err(|_| unreadable(text))?;
                holds.push(Hold::on(&version, RetainReason::ShareOfAlias(name.clone())));
            }
        }
        Ok(holds)
    }

    /// Reads which versions the target groups of the account call.
    pub async fn registered(&self) -> Result<Vec<Registered>, Error> {
        let groups = self
            .balancers
            .describe_target_groups()
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify("DescribeTargetGroups", &error))?;
        let mut registered = Vec::new();
        for group in groups {
            if group.target_type() == Some(&TargetTypeEnum::Lambda) {
                let arn = group.target_group_arn().unwrap_or_default();
                registered.extend(self.registered_in(arn).await?);
            }
        }
        Ok(registered)
    }

    /// Reads which versions a target group calls; none of a group that is gone. Those that it drains
    /// count: their requests have not ended.
    async fn registered_in(&self, group: &str) -> Result<Vec<Registered>, Error> {
        let told = self.balancers.describe_target_health();
        let told = match told.target_group_arn(group).send().await {
            Ok(told) => told,
            Err(error) if is(&error, "TargetGroupNotFound") => return Ok(Vec::new()),
            Err(error) => return Err(classify("DescribeTargetHealth", &error)),
        };
        let described = told.target_health_descriptions().iter();
        Ok(described
            .filter_map(|one| one.target()?.id())
            .filter_map(|arn| {
                // arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER
                let mut parts = arn.split(':').skip(6);
                Some(Registered {
                    function: parts.next()?.to_owned(),
                    version: parts.next()?.parse().ok()?,
                    group: group_name(group).to_owned(),
                })
            })
            .collect())
    }

    /// Reads what needs one version, right before it is deleted: a target group that calls it by its
    /// number, which its own policy must allow, and durable executions. What cannot be read keeps it.
    pub async fn needed(
        &self,
        function: &FunctionName,
        version: &Version,
        durable: bool,
    ) -> Result<Option<RetainReason>, Error> {
        if durable && let Some(because) = self.durable(function, version).await? {
            return Ok(Some(because));
        }
        let policy = self.client.get_policy().function_name(function.as_ref());
        let policy = match policy.qualifier(version.as_ref()).send().await {
            Ok(policy) => policy.policy.unwrap_or_default(),
            Err(error) if is(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return unknown(classify("GetPolicy", &error)),
        };
        let balancers = allowed(&policy).into_iter();
        for one in balancers.filter(|one| one.principal == BALANCERS) {
            let Some(group) = one.source else {
                return Ok(Some(RetainReason::Permitted));
            };
            let registered = match self.registered_in(&group).await {
                Ok(registered) => registered,
                Err(error) => return unknown(error),
            };
            let mut those = registered.into_iter();
            if let Some(found) =
                those.find(|one| one.function == function.as_ref() && one.version == *version)
            {
                return Ok(Some(RetainReason::TargetGroup(found.group)));
            }
        }
        Ok(None)
    }

    /// Reads whether a version runs durable executions.
    pub async fn durable(
        &self,
        function: &FunctionName,
        version: &Version,
    ) -> Result<Option<RetainReason>, Error> {
        let running = self
            .client
            .list_durable_executions_by_function()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .statuses(ExecutionStatus::Running)
            .max_items(1)
            .send()
            .await;
        match running {
            Ok(running) if running.durable_executions().is_empty() => Ok(None),
            Ok(_) => Ok(Some(RetainReason::Durable)),
            Err(error) => unknown(classify("ListDurableExecutionsByFunction", &error)),
        }
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
            Err(error) => match classify("DeleteFunction", &error) {
                Error::Refused(said) => Ok(Deleted::Kept(said.reason)),
                later => Err(later),
            },
        }
    }
}

/// Keeps a version about which AWS does not answer. A transient error is tried again.
fn unknown(error: Error) -> Result<Option<RetainReason>, Error> {
    match error {
        Error::Refused(said) => Ok(Some(RetainReason::Unknown(said.reason))),
        later => Err(later),
    }
}

/// A target group's name, from its ARN.
fn group_name(arn: &str) -> &str {
    arn.rsplit('/').nth(1).unwrap_or(arn)
}

fn unreadable(text: &str) -> Error {
    Error::Transient(format!("Lambda answered with {text:?}").into())
}
