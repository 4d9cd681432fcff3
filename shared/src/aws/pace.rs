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
    /// 10 calls at once and 15 a second: nobody's calls are more urgent. 50 writes take 2.7 seconds.
    Rollback,
    /// 2 calls at once and 5 a second: what nobody waits for leaves the account to releases.
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

    /// Takes the next free turn, and says how long it is until then. `now` never goes back.
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

/// None for what is not Lambda's control plane. The service is told by the signature's scope, so that
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
            .interceptor(PatientWithThrottles::default())
            .build(),
    )
}

/// Ends the attempts: after [`PATIENCE`] where they were throttled, and after [`ATTEMPTS`] at anything
/// else, where each may take long.
#[derive(Debug, Default)]
struct PatientWithThrottles {
    /// When a call of this client last came through.
    came_through: Mutex<Option<Instant>>,
}

/// When a call's first attempt began.
#[derive(Clone, Copy, Debug)]
struct Began(Instant);

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

impl PatientWithThrottles {
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
impl Intercept for PatientWithThrottles {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_lambda::config::{Credentials, SharedCredentialsProvider};
    use aws_smithy_async::rt::sleep::TokioSleep;
    use aws_smithy_runtime_api::client::{http::http_client_fn, orchestrator::HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use proptest::prelude::*;

    use super::*;

    /// When calls are sent that come at these times.
    fn sent(mut bucket: Bucket, times: &[Duration]) -> Vec<Duration> {
        times.iter().map(|now| *now + bucket.take(*now)).collect()
    }

    proptest! {
        #[test]
        fn a_bucket_lets_no_more_through_than_it_may_and_no_later_than_it_must(
            burst in 1_u32..20,
            per_second in 1_u32..100,
            gaps in prop::collection::vec(0_u64..400, 1..200),
        ) {
            let bucket = Bucket::new(burst, per_second);
            let every = bucket.every;
            let times: Vec<_> = gaps
                .iter()
                .scan(Duration::ZERO, |now, gap| {
                    *now += Duration::from_millis(*gap);
                    Some(*now)
                })
                .collect();
            let sent = sent(bucket, &times);
            prop_assert!(sent.is_sorted(), "in the order in which they came: {sent:?}");
            for (first, from) in sent.iter().enumerate() {
                for (more, at) in sent.iter().skip(first + burst as usize).enumerate() {
                    let spaced = every * u32::try_from(more + 1).expect("it is small");
                    prop_assert!(*at >= *from + spaced, "{from:?} and {at:?}");
                }
            }
            for (nth, at) in sent.iter().enumerate() {
                // A call that waits is spaced from one before it, as closely as it may be.
                let waited = *at > times[nth];
                let closest = sent[..nth].iter().rev().enumerate().any(|(back, before)| {
                    let beyond = (back + 1).saturating_sub(burst as usize - 1);
                    *at == *before + every * u32::try_from(beyond).expect("it is small")
                });
                prop_assert!(!waited || closest, "the {nth}. waited for nothing: {sent:?}");
            }
        }
    }

    #[test]
    fn fifty_writes_take_seconds_and_ten_in_a_rollback_none() {
        let last = |pace: Pace, calls: usize| {
            sent(pace.control_plane(), &vec![Duration::ZERO; calls])[calls - 1].as_secs_f64()
        };
        assert!((last(Pace::Release, 50) - 4.5).abs() < 0.01);
        assert!((last(Pace::Rollback, 50) - 2.67).abs() < 0.01);
        assert!(last(Pace::Rollback, 10).abs() < f64::EPSILON);
    }

    #[test]
    fn in_no_second_does_a_release_send_more_than_an_account_may() {
        let sent = sent(Pace::Release.control_plane(), &[Duration::ZERO; 100]);
        for from in &sent {
            let until = *from + Duration::from_secs(1);
            let within = sent
                .iter()
                .filter(|at| (*from..until).contains(*at))
                .count();
            assert!(within <= 15, "{within} from {from:?}");
        }
    }

    fn request(method: &str, url: &str, service: &str) -> HttpRequest {
        let mut request = HttpRequest::empty();
        request.set_method(method).expect("it is a method");
        request.set_uri(url).expect("it is a URI");
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=A/20261121/eu-west-1/{service}/aws4_request");
        request.headers_mut().insert("authorization", scope);
        request
    }

    #[test]
    fn a_call_is_counted_as_lambda_counts_it() {
        let aws = "https://lambda.eu-west-1.amazonaws.com";
        for (method, path, wanted) in [
            (
                "GET",
                "/2015-03-31/functions/chat?Qualifier=7",
                Some(Kind::Function),
            ),
            (
                "GET",
                "/2015-03-31/functions/chat/policy",
                Some(Kind::Policy),
            ),
            (
                "POST",
                "/2015-03-31/functions/chat/policy",
                Some(Kind::ControlPlane),
            ),
            ("GET", "/2015-03-31/functions/", Some(Kind::ControlPlane)),
            (
                "DELETE",
                "/2015-03-31/functions/chat?Qualifier=7",
                Some(Kind::ControlPlane),
            ),
            (
                "GET",
                "/2015-03-31/functions/chat/aliases/live",
                Some(Kind::ControlPlane),
            ),
            (
                "PUT",
                "/2015-03-31/functions/chat/aliases/live",
                Some(Kind::ControlPlane),
            ),
            (
                "GET",
                "/2015-03-31/functions/chat/configuration",
                Some(Kind::ControlPlane),
            ),
            (
                "GET",
                "/2021-10-31/functions/chat/urls",
                Some(Kind::ControlPlane),
            ),
            (
                "GET",
                "/2015-03-31/event-source-mappings?FunctionName=chat",
                Some(Kind::ControlPlane),
            ),
            (
                "POST",
                "/2015-03-31/functions/chat/invocations?Qualifier=7",
                None,
            ),
        ] {
            let found = kind(&request(method, &format!("{aws}{path}"), "lambda"));
            assert_eq!(found, wanted, "{method} {path}");
            let elsewhere = format!("http://127.0.0.1:4566{path}");
            assert_eq!(
                kind(&request(method, &elsewhere, "lambda")),
                wanted,
                "{elsewhere}"
            );
            assert_eq!(
                kind(&request(method, &elsewhere, "states")),
                None,
                "{elsewhere}"
            );
        }
    }

    /// A service that takes so many calls a second, answers them with one status, throttles all others,
    /// and counts all of them.
    #[derive(Clone, Debug)]
    struct Service {
        takes: Option<Arc<Mutex<Bucket>>>,
        status: u16,
        opened: Instant,
        calls: Arc<AtomicU32>,
    }

    impl Service {
        fn new(status: u16) -> Self {
            Self {
                takes: None,
                status,
                opened: Instant::now(),
                calls: Arc::default(),
            }
        }

        /// One call at a time, and no more than these.
        fn takes(per_second: u32) -> Self {
            Self {
                takes: Some(Arc::new(Mutex::new(Bucket::new(1, per_second)))),
                ..Self::new(200)
            }
        }

        fn is_full(&self) -> bool {
            let Some(takes) = &self.takes else {
                return false;
            };
            let mut bucket = takes.lock().expect("nobody panics with it");
            let mut next = *bucket;
            let is_full = !next.take(self.opened.elapsed()).is_zero();
            if !is_full {
                *bucket = next;
            }
            is_full
        }
    }

    impl HttpConnector for Service {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let status = if self.is_full() { 429 } else { self.status };
            let code = status.try_into().expect("it is a status");
            let mut answer = HttpResponse::new(code, SdkBody::from("{}"));
            if status == 429 {
                let headers = answer.headers_mut();
                headers.insert("x-amzn-errortype", "TooManyRequestsException");
            }
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    fn client(service: &Service, pace: Pace) -> Client {
        let service = service.clone();
        let inner = http_client_fn(move |_, _| SharedHttpConnector::new(service.clone()));
        let credentials = Credentials::new("a", "b", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .sleep_impl(TokioSleep::new())
            .http_client(paced(inner, pace))
            .build();
        lambda(&config)
    }

    /// Reads an alias.
    async fn read(client: &Client) -> bool {
        let read = client.get_alias().function_name("f").name("live").send();
        read.await.is_ok()
    }

    /// Reads so many aliases at once. How many of them were read.
    async fn read_all(client: &Client, aliases: usize) -> usize {
        let reads = (0..aliases).map(|_| read(client));
        let read = futures::future::join_all(reads).await;
        read.into_iter().filter(|done| *done).count()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_throttle_is_tried_a_few_times() {
        for (status, tries) in [(200, 1), (404, 1), (500, ATTEMPTS)] {
            let service = Service::new(status);
            read(&client(&service, Pace::Release)).await;
            assert_eq!(service.calls.load(Ordering::Relaxed), tries, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_is_waited_out_for_as_long_as_patience_lasts() {
        let service = Service::new(429);
        let begun = Instant::now();
        assert!(!read(&client(&service, Pace::Release)).await);
        let tries = service.calls.load(Ordering::Relaxed);
        assert!(tries > ATTEMPTS, "{tries}");
        let most = PATIENCE + MAX_BACKOFF;
        assert!(
            (PATIENCE..=most).contains(&begun.elapsed()),
            "{:?}",
            begun.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn where_others_leave_a_little_all_get_through() {
        for (pace, per_second) in [
            (Pace::Rollback, 5),
            (Pace::Rollback, 1),
            (Pace::Release, 3),
            (Pace::Cleanup, 2),
        ] {
            let service = Service::takes(per_second);
            let begun = Instant::now();
            assert_eq!(read_all(&client(&service, pace), 50).await, 50, "{pace:?}");
            let least = 50.0 / f64::from(per_second);
            assert!(
                begun.elapsed().as_secs_f64() < 2.0 * least + 3.0,
                "{pace:?}: {:?}",
                begun.elapsed()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_call_waits_its_turn_and_every_retry_too() {
        let service = Service::new(429);
        let begun = Instant::now();
        assert_eq!(read_all(&client(&service, Pace::Release), 50).await, 0);
        let calls = f64::from(service.calls.load(Ordering::Relaxed));
        let most = 5.0 + 10.0 * begun.elapsed().as_secs_f64();
        assert!(calls <= most + 1.0, "{calls} in {:?}", begun.elapsed());
        assert!(
            begun.elapsed() < PATIENCE * 3,
            "given up: {:?}",
            begun.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn invocations_do_not_wait() {
        let service = Service::new(200);
        let client = client(&service, Pace::Release);
        let begun = Instant::now();
        let calls_of_users = (0..100).map(|_| client.invoke().function_name("f").send());
        futures::future::join_all(calls_of_users).await;
        assert_eq!(service.calls.load(Ordering::Relaxed), 100);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
