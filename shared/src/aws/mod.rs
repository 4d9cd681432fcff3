//! The only place that names AWS's SDKs: thin effects that make no choice. (API Gateway's are in
//! `functions/front-door`, which alone needs them.)

pub mod aliases;
pub mod artifacts;
pub mod classify;
pub mod executions;
pub mod functions;
pub mod health;
pub mod lazy;
pub mod ledger;
pub mod metrics;
pub mod notify;
pub mod pace;
pub mod traffic;
pub mod versions;

pub use pace::Pace;

use std::{env, time::Duration};

use aws_config::{
    AppName, BehaviorVersion, Region, SdkConfig,
    environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_lambda::config::SharedCredentialsProvider;
use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

/// What all clients share: one connection pool, one TLS stack, and region and credentials from
/// Lambda's environment.
///
/// The SDK's own loader would look in profiles, at the metadata service and at STS as well: none of
/// these exists for a function, and all of them would be compiled in and started. The variables
/// `AWS_ENDPOINT_URL` and `AWS_SDK_UA_APP_ID` mean what they mean to every AWS SDK.
///
/// A call is given up after 8 seconds of silence and tried three times: every handler's own time is
/// longer than that, so that it reports its failure itself. Calls to Lambda's control plane keep to
/// `pace`.
#[must_use]
pub fn config(pace: Pace) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(Duration::from_secs(8))
        .build();
    let endpoint = env::var("AWS_ENDPOINT_URL").ok();
    // To read the system's root certificates takes longer than all else before the first answer, and
    // an endpoint in the clear needs none.
    let clear = endpoint
        .as_ref()
        .is_some_and(|url| url.starts_with("http://"));
    let roots = TrustStore::empty().with_native_roots(!clear);
    let tls = TlsContext::builder().with_trust_store(roots).build();
    let client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls.expect("a trust store is all there is to it"))
        .build_https();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(env::var("AWS_REGION").ok().map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(
            EnvironmentVariableCredentialsProvider::new(),
        ))
        .http_client(pace::paced(client, pace))
        .sleep_impl(TokioSleep::new())
        .time_source(SystemTimeSource::new())
        .retry_config(RetryConfig::standard().with_max_attempts(pace::ATTEMPTS))
        .timeout_config(timeouts);
    config.set_endpoint_url(endpoint);
    config.set_app_name(
        env::var("AWS_SDK_UA_APP_ID")
            .ok()
            .and_then(|id| AppName::new(id).ok()),
    );
    config.build()
}
