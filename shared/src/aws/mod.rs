//! The only place that names AWS's SDKs: thin effects that make no choice. (API Gateway's are in
//! `functions/wire-stage`, which alone needs them.)

mod alb;
mod alias_api;
pub mod aliases;
pub mod artifacts;
mod capacity;
pub mod classify;
pub mod executions;
pub mod functions;
pub mod health;
pub mod lazy_client;
pub mod ledger;
pub mod live;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod rate_limit;
mod reachable;
mod route53;
pub mod traffic;
pub mod versions;

pub use rate_limit::Pace;

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
    pool::{Client, ConnectionPool, DriverSpawner, Partition, PartitionId},
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::HttpClient;

/// After how long a connection without traffic is probed, and again after as long. Networks drop a connection that is
/// idle for 350 seconds without notifying either end, and an invocation may take 840 to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

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
    let client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls())
        .build_https();
    config_on(client, pace)
}

/// Returns the same for a function that waits for minutes for an answer: its connections are kept alive. The pool
/// that can do so takes a quarter of a megabyte more.
#[must_use]
pub fn config_to_wait(pace: Pace) -> SdkConfig {
    let one = PartitionId::from_index(0);
    let spawner = DriverSpawner::from_fn(|driver| {
        tokio::spawn(driver);
    });
    let pool = ConnectionPool::builder()
        .partitions([Partition::new(one, spawner)])
        .tcp_keepalive(KEEP_ALIVE)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls())
        .build_https()
        .expect("no setting contradicts another");
    let client = Client::from_partition(&pool, one);
    config_on(client.expect("it has this partition"), pace)
}

/// Returns where the roots of trust are.
fn tls() -> TlsContext {
    // To read the system's root certificates takes longer than all else before the first answer, and
    // an endpoint in the clear needs none.
    let clear = env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http://"));
    let roots = TrustStore::empty().with_native_roots(!clear);
    let tls = TlsContext::builder().with_trust_store(roots).build();
    tls.expect("a trust store is all there is to it")
}

fn config_on(client: impl HttpClient + 'static, pace: Pace) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(Duration::from_secs(8))
        .build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(env::var("AWS_REGION").ok().map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(
            EnvironmentVariableCredentialsProvider::new(),
        ))
        .http_client(rate_limit::paced(client, pace))
        .sleep_impl(TokioSleep::new())
        .time_source(SystemTimeSource::new())
        .retry_config(RetryConfig::standard().with_max_attempts(rate_limit::ATTEMPTS))
        .timeout_config(timeouts);
    config.set_endpoint_url(env::var("AWS_ENDPOINT_URL").ok());
    config.set_app_name(
        env::var("AWS_SDK_UA_APP_ID")
            .ok()
            .and_then(|id| AppName::new(id).ok()),
    );
    config.build()
}
