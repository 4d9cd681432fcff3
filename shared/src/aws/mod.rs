//! The only place that names AWS's SDKs: thin effects that make no choice.

mod classify;
pub mod executions;
pub mod functions;
pub mod ledger;
pub mod metrics;
pub mod notify;

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig,
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
    retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// What all clients share: one connection pool, one TLS stack, and credentials from Lambda's
/// environment, so that no other provider is compiled in or waited for.
///
/// A call is given up after 8 seconds of silence and tried three times: every handler's own time is
/// longer than that, so that it reports its failure itself.
pub async fn config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https(),
        )
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .region(EnvironmentVariableRegionProvider::new())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(3))
                .operation_attempt_timeout(Duration::from_secs(8))
                .build(),
        )
        .load()
        .await
}
