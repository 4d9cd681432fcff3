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
    fn keeps_the_rate_of_the_bucket_exactly(
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
fn stays_within_the_account_rate_in_every_second() {
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
    let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261121/eu-west-1/{service}/aws4_request");
    request.headers_mut().insert("authorization", scope);
    request
}

#[test]
fn counts_calls_as_lambda_does() {
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
async fn retries_other_errors_a_few_times() {
    for (status, tries) in [(200, 1), (404, 1), (500, ATTEMPTS)] {
        let service = Service::new(status);
        read(&client(&service, Pace::Release)).await;
        assert_eq!(service.calls.load(Ordering::Relaxed), tries, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_throttles_until_the_limit() {
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
async fn completes_all_calls_under_contention() {
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
async fn queues_calls_and_retries() {
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
