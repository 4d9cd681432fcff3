use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use aws_sdk_lambda::{
    config::{Credentials, SharedCredentialsProvider},
    types::{LoggingConfig, StateReasonCode},
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use serde_json::json;

use super::{
    bypasses::{callers, is_qualified},
    *,
};

#[test]
fn wakes_an_idle_version_and_waits_for_a_pending_one() {
    for (state, wanted) in [
        ("Active", Step::Serve),
        ("Pending", Step::Wait),
        ("Inactive", Step::Wake),
        ("Failed", Step::GiveUp),
        ("Deleting", Step::GiveUp),
        ("Dreaming", Step::Wait),
    ] {
        assert_eq!(step(Some(&State::from(state))), wanted, "{state}");
    }
    assert_eq!(step(None), Step::Wait);
}

#[test]
fn names_a_state_and_its_reason() {
    let now = FunctionConfiguration::builder().state(State::Inactive);
    assert_eq!(shown_state(&now.clone().build()), "Inactive");
    let now = now
        .state_reason_code(StateReasonCode::Idle)
        .state_reason("The function is idle.");
    assert_eq!(
        shown_state(&now.build()),
        "Inactive (Idle: The function is idle.)"
    );
}

#[test]
fn reads_how_a_version_runs() {
    let plain = settings(&FunctionConfiguration::builder().timeout(180).build());
    assert_eq!(plain.timeout, Duration::from_mins(3));
    assert!(!plain.isolates_tenants && !plain.hides_reports);
    let tenancy = TenancyConfig::builder().tenant_isolation_mode(TenantIsolationMode::PerTenant);
    let logging = LoggingConfig::builder()
        .log_format(LogFormat::Json)
        .system_log_level(SystemLogLevel::Warn);
    let other = FunctionConfiguration::builder()
        .tenancy_config(tenancy.build().expect("it has a mode"))
        .logging_config(logging.build());
    let other = settings(&other.build());
    assert!(other.isolates_tenants && other.hides_reports);
}

/// Lambda as one version of a function meets it: what its states are, one after the other, and what
/// invocations get.
#[derive(Clone, Debug)]
struct Lambda {
    states: Arc<Mutex<Vec<&'static str>>>,
    /// Status, error code, and how long the answer takes.
    invoked: (u16, &'static str, Duration),
    invocations: Arc<AtomicU32>,
}

impl Lambda {
    fn new(states: &[&'static str], invoked: (u16, &'static str, Duration)) -> Self {
        Self {
            states: Arc::new(Mutex::new(states.to_vec())),
            invoked,
            invocations: Arc::default(),
        }
    }

    fn functions(&self) -> Functions {
        let lambda = self.clone();
        let client = http_client_fn(move |_, _| SharedHttpConnector::new(lambda.clone()));
        let credentials = Credentials::new("a", "b", None, None, "test");
        let config = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .sleep_impl(TokioSleep::new())
            .http_client(client)
            .build();
        Functions::new(&config)
    }

    async fn invoke(&self, patience_s: u64) -> Result<Tried, Error> {
        let trial = Trial {
            payload: &Value::Null,
            tenant_id: None,
            patience: Duration::from_secs(patience_s),
        };
        let (function, version) = names();
        self.functions().invoke(&function, &version, trial).await
    }

    fn was_invoked(&self) -> u32 {
        self.invocations.load(Ordering::Relaxed)
    }
}

impl HttpConnector for Lambda {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (mut status, mut code, mut takes) = (200, "", Duration::ZERO);
        let mut body = "{\"statusCode\":200}".to_owned();
        if request.uri().contains("/invocations") {
            self.invocations.fetch_add(1, Ordering::Relaxed);
            (status, code, takes) = self.invoked;
        } else if request.uri().ends_with("/versions") {
            (status, code) = (400, "InvalidParameterValueException");
            body = json!({"message": KMS}).to_string();
        } else {
            let mut states = self.states.lock().expect("nobody panics with it");
            let state = states[0];
            if states.len() > 1 {
                states.remove(0);
            }
            body = format!(
                "{{\"Configuration\":{{\"State\":\"{state}\",\"StateReason\":\"So.\",\
                 \"LastUpdateStatus\":\"Successful\",\"CodeSha256\":\"now\"}}}}"
            );
        }
        let status = status.try_into().expect("it is a status");
        let mut answer = HttpResponse::new(status, SdkBody::from(body));
        if !code.is_empty() {
            answer.headers_mut().insert("x-amzn-errortype", code);
        }
        HttpConnectorFuture::new(async move {
            sleep(takes).await;
            Ok(answer)
        })
    }
}

/// What Lambda says where it may not use the key of a function's variables, as users have it on record.
const KMS: &str = "Lambda was unable to configure access to your environment variables because the KMS key is \
                   invalid for CreateGrant. Please check your KMS key settings.";

#[tokio::test(start_paused = true)]
async fn reports_the_refusal_of_a_key_as_such() {
    let publish = async |hash: &str| {
        let latest = Configuration::of(Some(hash.to_owned()), None, None, None, None, None, None);
        let lambda = Lambda::new(&["Active"], (200, "", Duration::ZERO));
        let published = lambda.functions().publish(&names().0, &latest, None).await;
        published.expect_err("it is refused")
    };
    let Error::Refused(why) = publish("now").await else {
        panic!("nobody changed $LATEST");
    };
    let says = |text: &str| why.reason.contains(text);
    assert!(says(KMS) && says("KmsKeyArns"), "{why}");
    let changed = publish("before").await;
    assert!(matches!(changed, Error::ChangedOutside(_)), "{changed}");
}

fn names() -> (FunctionName, Version) {
    let function = "chat".to_owned().try_into().expect("it is a name");
    (
        function,
        "2".to_owned().try_into().expect("it is a version"),
    )
}

#[tokio::test(start_paused = true)]
async fn invokes_once_however_late_the_answer_is() {
    let slow = Lambda::new(&[], (200, "", Duration::from_secs(70)));
    let Ok(Tried::Answered(answer)) = slow.invoke(120).await else {
        panic!("it answers within 120 s");
    };
    assert_eq!(answer.payload, b"{\"statusCode\":200}");
    assert_eq!(slow.was_invoked(), 1);
    assert_eq!(slow.invoke(60).await, Ok(Tried::TimedOut));
    assert_eq!(slow.was_invoked(), 2);
}

#[tokio::test(start_paused = true)]
async fn tells_what_is_taken_later_from_what_is_refused() {
    for (status, code, later) in [
        (429, "TooManyRequestsException", true),
        (409, "SnapStartNotReadyException", true),
        (409, "SnapStartRegenerationFailureException", true),
        (400, "SnapStartException", false),
        (409, "CodeArtifactUserPendingException", true),
        (409, "ResourceConflictException", true),
        (502, "ResourceNotReadyException", true),
        (502, "ENINotReadyException", true),
        (502, "EC2ThrottledException", true),
        (500, "ServiceException", true),
        (400, "InvalidParameterValueException", false),
        (404, "ResourceNotFoundException", false),
    ] {
        let lambda = Lambda::new(&[], (status, code, Duration::ZERO));
        match lambda.invoke(60).await {
            Err(Error::Transient(why)) => assert!(later && why.reason.contains(code), "{why}"),
            Err(Error::Refused(why)) => assert!(!later && why.reason.contains(code), "{why}"),
            other => panic!("{code}: {other:?}"),
        }
        assert_eq!(lambda.was_invoked(), 1, "{code}");
    }
}

#[test]
fn takes_only_an_active_version_for_one_that_can_serve() {
    for word in State::values().iter().copied().chain(["New"]) {
        let state = State::from(word);
        let serves = step(Some(&state)) == Step::Serve;
        assert_eq!(serves, word == "Active", "{word}");
    }
    assert_eq!(step(None), Step::Wait);
    assert_eq!(step(Some(&State::ActiveNonInvocable)), Step::Wait);
}

async fn waited(lambda: &Lambda) -> Result<Readiness, Error> {
    let (function, version) = names();
    let wait = Duration::from_mins(8);
    let functions = lambda.functions();
    functions
        .active(&function, &version, &Value::Null, wait)
        .await
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_version_and_wakes_an_idle_one_once() {
    let rejects = (409, "CodeArtifactUserPendingException", Duration::ZERO);
    let idle = Lambda::new(&["Inactive", "Pending", "Pending", "Active"], rejects);
    assert!(matches!(waited(&idle).await, Ok(Readiness::Active(_))));
    assert_eq!(idle.was_invoked(), 1);

    let pending = Lambda::new(&["Pending", "Active"], rejects);
    assert!(matches!(waited(&pending).await, Ok(Readiness::Active(_))));
    assert_eq!(pending.was_invoked(), 0);

    let failed = Lambda::new(&["Failed"], rejects);
    let Err(Error::ValidationFailed(why)) = waited(&failed).await else {
        panic!("it is given up");
    };
    assert!(why.reason.contains("version 2 is Failed (So.)"), "{why}");

    let stuck = Lambda::new(&["Inactive"], rejects);
    let Ok(Readiness::NotYet(why)) = waited(&stuck).await else {
        panic!("it does not become active");
    };
    assert_eq!(why, "chat version 2 is Inactive (So.) after 480 s");
    assert!(
        (2..=17).contains(&stuck.was_invoked()),
        "{}",
        stuck.was_invoked()
    );
}

#[test]
fn detects_arns_that_bypass_the_alias() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:chat";
    assert!(!is_qualified(arn));
    assert!(!is_qualified(&format!("{arn}:$LATEST")));
    assert!(is_qualified(&format!("{arn}:production")));
    assert!(is_qualified(&format!("{arn}:7")));
}

#[test]
fn reads_callers_of_a_policy() {
    let policy = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction",
         "Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:eu-west-1:1:abc/*"}}},
        {"Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl"},
        {"Effect":"Deny","Principal":"*","Action":"lambda:InvokeFunction"}]}"#;
    assert_eq!(
        callers(policy).collect::<Vec<_>>(),
        [
            "apigateway.amazonaws.com (arn:aws:execute-api:eu-west-1:1:abc/*)",
            "*"
        ]
    );
    assert_eq!(callers("not json").count(), 0);
}
