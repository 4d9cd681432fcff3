//! Keeps to what an account's control planes take.
//!
//! Lambda takes 100 `GetFunction` a second, 15 `GetPolicy`, and 15 of all its other control-plane
//! calls together, for each account and Region (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>). A release of 50 functions makes some
//! 300 of them: sent at once, most would be refused, and so would everybody else's. Every call goes
//! through a gate in the HTTP client, so none can be forgotten, and a retry waits its turn as well.
//!
//! The gate is a token bucket that gives out turns: a call takes the next turn that is free and
//! sleeps until then, so calls are sent in the order in which they came. What is refused all the same,
//! because others use the account too, is tried again by the SDK, with backoff and jitter.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_lambda::{
    Client,
    config::{
        Builder, ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef},
        retry::{RetryConfig, RetryPartition, TokenBucket},
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    interceptors::dyn_dispatch_hint,
    orchestrator::HttpRequest,
    retries::RequestAttempts,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use tokio::time::{Instant, sleep};

/// How often a call is tried that gets no answer, or a wrong one: each try may take 8 seconds.
pub(super) const ATTEMPTS: u32 = 3;

/// For how long calls to Lambda are tried again while every one of them is throttled. As long as some get
/// through, the others go on: of 50 calls where others leave us 5 a second, the last is served after 10
/// seconds, however often it was refused until then.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often a call to Lambda is tried at the very most, throttled: patience ends before. The SDK adds up
/// what each of them may take, before every attempt.
const ATTEMPTS_IF_THROTTLED: u32 = 100;
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// Short, for the gate keeps many calls apart, and a few may be tried often.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// How much of the account's control plane is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// 5 calls at once and 10 a second: at most 15 in any second, and a third is left to others in
    /// the long run. 50 writes take 4.5 seconds.
    Release,
    /// 10 calls at once and 15 a second: no other calls are more urgent. 50 writes take 2.7 seconds.
    Rollback,
    /// 2 calls at once and 5 a second: cleanup can wait, and leaves the account to releases.
    Cleanup,
}

impl Pace {
    fn control_plane(self) -> Bucket {
        match self {
            Self::Release => Bucket::new(5, 10),
            Self::Rollback => Bucket::new(10, 15),
            Self::Cleanup => Bucket::new(2, 5),
        }
    }
}

/// A token bucket, kept as the one time at which it will be full again.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// From one token to the next.
    every: Duration,
    /// How much earlier than evenly spaced a call may be: all tokens of the burst but its own.
    slack: Duration,
    /// When the next call would be due, if all were evenly spaced.
    due: Duration,
}

impl Bucket {
    /// Full. `burst` is at least 1.
    fn new(burst: u32, per_second: u32) -> Self {
        let every = Duration::from_secs(1) / per_second;
        Self {
            every,
            slack: every * (burst - 1),
            due: Duration::ZERO,
        }
    }

    /// Takes the next free turn, and returns how long it is until then. `now` never decreases.
    fn take(&mut self, now: Duration) -> Duration {
        let due = self.due.max(now);
        self.due = due + self.every;
        due.saturating_sub(self.slack).saturating_sub(now)
    }
}

/// What a call is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `GetFunction`.
    Function,
    /// `GetPolicy`.
    Policy,
    /// All other calls to Lambda's control plane together.
    ControlPlane,
}

/// None for what is not Lambda's control plane. The service is read from the signature's scope, so that
/// an endpoint of any name will do.
fn kind(request: &HttpRequest) -> Option<Kind> {
    let signature = request.headers().get("authorization")?;
    if !signature.contains("/lambda/aws4_request") {
        return None;
    }
    let path = request.uri().split(['?', '#']).next().unwrap_or_default();
    let after = path.split_once("/functions/").map(|(_, after)| after);
    match after.map(|after| after.split('/').collect::<Vec<_>>()) {
        Some(parts) if parts.contains(&"invocations") => None,
        Some(parts) if request.method() == "GET" => match parts[..] {
            [name] if !name.is_empty() => Some(Kind::Function),
            [_, "policy"] => Some(Kind::Policy),
            _ => Some(Kind::ControlPlane),
        },
        Some(_) | None => Some(Kind::ControlPlane),
    }
}

#[derive(Debug)]
struct Buckets {
    function: Bucket,
    policy: Bucket,
    control_plane: Bucket,
}

/// The gate, which all clients of a process share.
#[derive(Debug)]
struct Gate {
    opened: Instant,
    buckets: Mutex<Buckets>,
}

impl Gate {
    fn new(pace: Pace) -> Self {
        Self {
            opened: Instant::now(),
            buckets: Mutex::new(Buckets {
                function: Bucket::new(20, 80),
                policy: pace.control_plane(),
                control_plane: pace.control_plane(),
            }),
        }
    }

    async fn turn(&self, kind: Kind) {
        let wait = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            let bucket = match kind {
                Kind::Function => &mut buckets.function,
                Kind::Policy => &mut buckets.policy,
                Kind::ControlPlane => &mut buckets.control_plane,
            };
            bucket.take(self.opened.elapsed())
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}

/// An HTTP client behind the gate.
///
/// Waiting for a turn is part of the SDK's attempt, so an attempt must have no time limit of its own:
/// silence is limited where the request is sent, by the read timeout.
pub(super) fn paced(client: impl HttpClient + 'static, pace: Pace) -> SharedHttpClient {
    SharedHttpClient::new(Paced {
        inner: SharedHttpClient::new(client),
        gate: Arc::new(Gate::new(pace)),
    })
}

#[derive(Debug)]
struct Paced {
    inner: SharedHttpClient,
    gate: Arc<Gate>,
}

impl HttpClient for Paced {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            inner: self.inner.http_connector(settings, components),
            gate: Arc::clone(&self.gate),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

struct Connector {
    inner: SharedHttpConnector,
    gate: Arc<Gate>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(kind) = kind(&request) else {
            return self.inner.call(request);
        };
        let (inner, gate) = (self.inner.clone(), Arc::clone(&self.gate));
        HttpConnectorFuture::new(async move {
            gate.turn(kind).await;
            inner.call(request).await
        })
    }
}

/// A client of Lambda that is patient with throttles.
#[must_use]
pub fn lambda(config: &SdkConfig) -> Client {
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS_IF_THROTTLED)
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(MAX_BACKOFF);
    // The SDK's quota of retries would run out in the middle of a throttled release, and a warm
    // process would begin the next one without. The gate and our patience are limits enough.
    let unlimited = RetryPartition::custom("lambda")
        .token_bucket(TokenBucket::unlimited())
        .build();
    Client::from_conf(
        Builder::from(config)
            .retry_config(retries)
            .retry_partition(unlimited)
            .interceptor(ThrottleRetry::default())
            .build(),
    )
}

/// Ends the attempts: after [`PATIENCE`] where they were throttled, and after [`ATTEMPTS`] at anything
/// else, where each may take long.
#[derive(Debug, Default)]
struct ThrottleRetry {
    /// When a call of this client last came through.
    came_through: Mutex<Option<Instant>>,
}

/// When a call's first attempt began.
#[derive(Clone, Copy, Debug)]
struct Began(Instant);

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

impl ThrottleRetry {
    /// Whether nothing has come through for so long that it is given up.
    fn is_over(&self, began: Option<&Began>) -> bool {
        let came_through = *self.lock();
        let since = began.map(|began| began.0).max(came_through);
        since.is_none_or(|since| since.elapsed() >= PATIENCE)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.came_through
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[dyn_dispatch_hint]
impl Intercept for ThrottleRetry {
    fn name(&self) -> &'static str {
        "PatientWithThrottles"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(Began(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let throttled = context
            .response()
            .is_some_and(|response| response.status().as_u16() == 429);
        let made = bag
            .load::<RequestAttempts>()
            .map_or(0, RequestAttempts::attempts);
        let is_last = if throttled {
            self.is_over(bag.load::<Began>())
        } else {
            *self.lock() = Some(Instant::now());
            made >= ATTEMPTS
        };
        if is_last && let Some(retries) = bag.load::<RetryConfig>().cloned() {
            bag.interceptor_state()
                .store_put(retries.with_max_attempts(made));
        }
        Ok(())
    }
}
