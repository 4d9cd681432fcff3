//! The services that split traffic.

use std::sync::OnceLock;

use aws_config::{Region, SdkConfig, retry::RetryConfig};
use tokio::time::{Instant, sleep};

use super::{
    lazy_client::{LazyClient, lazy},
    rate_limit,
};
use crate::{
    domain::names::resources::TargetGroupArn,
    error::Error,
    ports::{Clock, ForwardApi as _, GroupTarget},
    protocol::splitters::Splitters,
};

/// All traffic splitters, in AWS.
pub type Traffic = Splitters<Clients>;

/// The clients of the services; each is made when it is first needed.
#[derive(Debug)]
pub struct Clients {
    config: SdkConfig,
    lambda: LazyClient<aws_sdk_lambda::Client>,
    route53: OnceLock<aws_sdk_route53::Client>,
    elb: OnceLock<aws_sdk_elasticloadbalancingv2::Client>,
    since: Instant,
}

impl Clients {
    fn new(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            lambda: lazy(config, rate_limit::lambda),
            route53: OnceLock::new(),
            elb: OnceLock::new(),
            since: Instant::now(),
        }
    }

    pub(super) fn lambda(&self) -> &aws_sdk_lambda::Client {
        &self.lambda
    }

    pub(super) fn route53(&self) -> &aws_sdk_route53::Client {
        self.route53.get_or_init(|| route53(&self.config))
    }

    pub(super) fn elb(&self) -> &aws_sdk_elasticloadbalancingv2::Client {
        self.elb
            .get_or_init(|| aws_sdk_elasticloadbalancingv2::Client::new(&self.config))
    }
}

/// Returns a client of the global service. An account has five requests a second for everything, so it
/// is more patient than others.
fn route53(config: &SdkConfig) -> aws_sdk_route53::Client {
    let config = aws_sdk_route53::config::Builder::from(config)
        .region(Region::from_static("us-east-1"))
        .retry_config(RetryConfig::standard().with_max_attempts(6))
        .build();
    aws_sdk_route53::Client::from_conf(config)
}

impl Traffic {
    /// Returns the splitters with clients on `config`.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self::on(Clients::new(config))
    }

    /// Reads what is registered in a load balancer's group, and how it is.
    pub async fn targets(&self, group: &TargetGroupArn) -> Result<Vec<GroupTarget>, Error> {
        Box::pin(self.api().targets(group)).await
    }
}

impl Clock for Clients {
    fn elapsed(&self) -> std::time::Duration {
        self.since.elapsed()
    }

    async fn sleep(&self, time: std::time::Duration) {
        sleep(time).await;
    }
}
