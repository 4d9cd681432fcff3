//! CloudWatch Logs: log groups and their subscription filters.

use aws_sdk_cloudwatchlogs::{Client, types::LogGroupClass};

use super::{
    classify::{classify, is},
    lazy_client::{LazyClient, lazy},
};
use crate::{domain::live::deaf::Group, error::Error, ports::LogsApi};

/// The environment's variable that names the function to which logs are sent: empty where the stack has none.
const LISTENER: &str = "LIVE_ERRORS";

/// CloudWatch Logs.
#[derive(Clone, Debug)]
pub struct Logs {
    client: LazyClient<Client>,
}

impl Logs {
    /// Returns a client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, Client::new),
        }
    }

    /// Returns a client on `config` where the stack listens to logs, by the environment's `LIVE_ERRORS`.
    #[must_use]
    pub fn listening(config: &aws_config::SdkConfig) -> Option<Self> {
        listener().map(|_| Self::new(config))
    }
}

/// Returns the ARN of the function to which logs are sent; `None` where the stack has none.
#[must_use]
pub fn listener() -> Option<String> {
    std::env::var(LISTENER).ok().filter(|arn| !arn.is_empty())
}

impl LogsApi for Logs {
    async fn log_group(&self, name: &str) -> Result<Option<Group>, Error> {
        let groups = self
            .client
            .describe_log_groups()
            .log_group_name_prefix(name);
        let groups = Box::pin(groups.send())
            .await
            .map_err(|error| classify("DescribeLogGroups", &error))?;
        // By the alphabet: one that begins so comes after it.
        let found = groups
            .log_groups()
            .iter()
            .find(|group| group.log_group_name() == Some(name));
        let Some(found) = found else { return Ok(None) };
        let filters = self
            .client
            .describe_subscription_filters()
            .log_group_name(name);
        let filters = match Box::pin(filters.send()).await {
            Ok(filters) => filters,
            Err(error) if is(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(classify("DescribeSubscriptionFilters", &error)),
        };
        let names = filters.subscription_filters().iter();
        Ok(Some(Group {
            is_standard: found
                .log_group_class()
                .is_none_or(|class| *class == LogGroupClass::Standard),
            filters: names
                .filter_map(|filter| filter.filter_name().map(str::to_owned))
                .collect(),
        }))
    }

    async fn subscribe(
        &self,
        group: &str,
        filter: &str,
        pattern: &str,
        to: &str,
    ) -> Result<(), Error> {
        let put = self.client.put_subscription_filter();
        let put = put.log_group_name(group).filter_name(filter);
        let put = put.filter_pattern(pattern).destination_arn(to);
        Box::pin(put.send())
            .await
            .map(drop)
            .map_err(|error| classify("PutSubscriptionFilter", &error))
    }

    async fn unsubscribe(&self, group: &str, filter: &str) -> Result<(), Error> {
        let delete = self.client.delete_subscription_filter();
        let delete = delete.log_group_name(group).filter_name(filter);
        match Box::pin(delete.send()).await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(()),
            Err(error) => Err(classify("DeleteSubscriptionFilter", &error)),
        }
    }
}
