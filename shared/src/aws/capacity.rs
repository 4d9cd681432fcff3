//! Lambda: provisioned concurrency, and durable executions.

use aws_sdk_lambda::{
    Client,
    primitives::DateTime,
    types::{ExecutionStatus, ProvisionedConcurrencyStatusEnum as Status},
};

use super::{
    classify::{classify, is},
    functions::Functions,
};
use crate::{
    domain::{
        Timestamp,
        capacity::{Allocation, Capacity, Provisioned, Room, Running},
        names::{AliasName, FunctionName, Version},
    },
    error::Error,
};

/// How many durable executions are counted of a version: a page.
const COUNTED: i32 = 1000;

impl Functions {
    /// Reads what stands ready for an alias, and how many durable executions run on `durable`.
    pub async fn capacity(
        &self,
        function: &FunctionName,
        alias: Option<&AliasName>,
        durable: Option<&Version>,
    ) -> Result<Capacity, Error> {
        let of_alias = async {
            match alias {
                Some(alias) => provisioned(&self.client, function, alias).await,
                None => Ok(None),
            }
        };
        let durable = async {
            let Some(version) = durable else {
                return Ok(None);
            };
            let running = running(&self.client, function, version, None).await?;
            Ok((running.running > 0).then(|| (version.clone(), running)))
        };
        let (provisioned, durable) = futures::try_join!(of_alias, durable)?;
        let room = match &provisioned {
            Some(_) => Some(match self.reserved_concurrency(function).await? {
                Some(reserved) => Room::Reserved(reserved),
                None => Room::Shared(self.unreserved_concurrency().await?),
            }),
            None => None,
        };
        Ok(Capacity {
            provisioned,
            room,
            durable,
        })
    }
}

/// Reads an alias's provisioned concurrency; none where it has none, or does not exist.
pub(super) async fn provisioned(
    client: &Client,
    function: &FunctionName,
    alias: &AliasName,
) -> Result<Option<Provisioned>, Error> {
    let got = client
        .get_provisioned_concurrency_config()
        .function_name(function.as_ref())
        .qualifier(alias.as_ref())
        .send()
        .await;
    match got {
        Ok(now) => Ok(Some(read(
            now.requested_provisioned_concurrent_executions,
            now.status.as_ref(),
            now.status_reason,
        ))),
        Err(error)
            if is(&error, "ProvisionedConcurrencyConfigNotFoundException")
                || is(&error, "ResourceNotFoundException") =>
        {
            Ok(None)
        }
        Err(error) => Err(classify(
            &format!("GetProvisionedConcurrencyConfig of {function}:{alias}"),
            &error,
        )),
    }
}

fn read(requested: Option<i32>, status: Option<&Status>, reason: Option<String>) -> Provisioned {
    let allocation = match status {
        Some(Status::Ready) => Allocation::Ready,
        Some(Status::InProgress) => Allocation::InProgress,
        Some(Status::Failed) => Allocation::Failed(reason.unwrap_or_default()),
        other => Allocation::Unknown(other.map_or("no status", Status::as_str).to_owned()),
    };
    Provisioned {
        executions: requested
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
        allocation,
    }
}

/// Counts the durable executions that run on a version, those that began at `since` or later: a page.
pub(super) async fn running(
    client: &Client,
    function: &FunctionName,
    version: &Version,
    since: Option<Timestamp>,
) -> Result<Running, Error> {
    let since = since.map(|since| DateTime::from_secs(since.timestamp()));
    let found = client
        .list_durable_executions_by_function()
        .function_name(function.as_ref())
        .qualifier(version.as_ref())
        .statuses(ExecutionStatus::Running)
        .set_started_after(since)
        .max_items(COUNTED)
        .send()
        .await
        .map_err(|error| {
            classify(
                &format!("ListDurableExecutionsByFunction of {function} version {version}"),
                &error,
            )
        })?;
    Ok(Running {
        running: u32::try_from(found.durable_executions().len()).unwrap_or(u32::MAX),
        more: found.next_marker().is_some(),
    })
}
