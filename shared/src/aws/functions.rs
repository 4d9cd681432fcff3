//! Lambda: code, versions, invocations. Aliases are in [`super::traffic`].

use std::time::Duration;

use aws_sdk_lambda::{
    Client,
    client::Waiters,
    config::{StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_function::GetFunctionOutput,
        invoke::{InvokeError, InvokeOutput, builders::InvokeFluentBuilder},
    },
    primitives::Blob,
    types::{
        DeadLetterConfig, DurableConfig, FunctionConfiguration, LogFormat, LogType, PackageType,
        State, SystemLogLevel, TenancyConfig, TenantIsolationMode,
    },
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    classify::{classify, is, names_key_parameter},
    lazy::{Lazy, lazy},
    pace,
};
use crate::{
    admission::{Found, Package, Settings},
    domain::names::{Callee, FunctionName, Version},
    error::Error,
    wire::request::Code,
};

/// How often a publication is decided anew when `$LATEST`'s revision changes under it. Each turn means
/// that somebody wrote between our reading and our writing; more than this in a row is not a
/// coincidence.
const TURNS: u32 = 5;

/// How long an update of `$LATEST` may take: Lambda's own waiter's limit.
pub const UPDATED: Duration = Duration::from_mins(5);

/// How often a version's state is read, at first and at last.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(5);

/// How long an invocation that wakes an idle version may take: Lambda rejects it at once.
const WAKING: Duration = Duration::from_secs(20);

/// How often a version that stays inactive is woken again.
const WAKE_AGAIN: Duration = Duration::from_secs(30);

/// A version's configuration, as far as weights depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Base64 of the package's SHA-256.
    pub code_sha256: String,
    /// The function's revision: another than an alias's.
    pub revision: String,
    /// When code or configuration were changed last. A publication changes the revision and not this.
    pub modified: String,
    /// The execution role's ARN.
    pub role: String,
    /// The dead-letter queue's or topic's ARN; empty without one.
    pub dead_letter: String,
    /// How long one invocation may take, seconds.
    pub timeout_seconds: u32,
    /// Whether it runs durable executions.
    pub is_durable: bool,
}

impl Configuration {
    /// Returns what a version must share with another to share an alias's traffic with it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            role: self.role.clone(),
            dead_letter: self.dead_letter.clone(),
            is_durable: self.is_durable,
        }
    }

    fn of(
        code_sha256: Option<String>,
        revision: Option<String>,
        modified: Option<String>,
        role: Option<String>,
        dead_letter: Option<DeadLetterConfig>,
        timeout: Option<i32>,
        durable: Option<&DurableConfig>,
    ) -> Self {
        Self {
            code_sha256: code_sha256.unwrap_or_default(),
            revision: revision.unwrap_or_default(),
            modified: modified.unwrap_or_default(),
            role: role.unwrap_or_default(),
            dead_letter: dead_letter
                .and_then(|queue| queue.target_arn)
                .unwrap_or_default(),
            timeout_seconds: timeout_seconds(timeout),
            is_durable: durable.is_some(),
        }
    }
}

/// A version that has been published, or was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version.
    pub version: Version,
    /// Its configuration.
    pub configuration: Configuration,
    /// Whether it can serve already.
    pub active: bool,
}

/// Whether a version can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Active(Configuration),
    /// It cannot yet; its state and Lambda's reason, in words.
    NotYet(String),
}

/// How a version runs, as far as its invocation depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Whether each invocation has to name a tenant.
    pub isolates_tenants: bool,
    /// Whether Lambda's reports of invocations that went well are kept out of the log.
    pub hides_reports: bool,
}

/// One synchronous invocation of a version.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The event.
    pub payload: &'a Value,
    /// The tenant, for a function that isolates tenants.
    pub tenant_id: Option<&'a str>,
    /// How long its answer is waited for.
    pub patience: Duration,
}

/// What became of invoking a version.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    /// It answered.
    Answered(Invocation),
    /// It did not answer in time, and may still be running.
    TimedOut,
    /// No answer came, and nobody knows whether it ran: why, in words.
    Lost(String),
}

/// What one invocation did.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Whether the function failed: an answer of 200 does not mean that it did not (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).
    pub function_error: Option<String>,
    /// What it answered, byte for byte: what is streamed need not be text.
    pub payload: Vec<u8>,
    /// The last 4 KB of its log.
    pub log_tail: String,
}

/// What became of calling a function of the user's.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// It answered.
    Answered {
        /// The kind of failure, where it failed: then the answer is its error.
        failed: Option<String>,
        /// Its answer; a string where it is no JSON.
        answer: Value,
    },
    /// It did not answer in time, and may still be running.
    TimedOut,
    /// No answer came, and nobody knows whether it ran: why, in words.
    Lost(String),
}

/// Lambda's control plane and the invocation of versions.
#[derive(Clone, Debug)]
pub struct Functions {
    pub(super) client: Lazy<Client>,
}

impl Functions {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, pace::lambda),
        }
    }

    /// Puts new code in `$LATEST`, a zip encrypted with `key` where the function's is. Returns its base64
    /// SHA-256.
    ///
    /// # Errors
    /// [`Error::Refused`] when the package cannot be had or is not one.
    pub async fn update_code(
        &self,
        function: &FunctionName,
        code: &Code,
        key: Option<&str>,
    ) -> Result<String, Error> {
        let update = self
            .client
            .update_function_code()
            .function_name(function.as_ref());
        let update = match code {
            Code::S3 {
                s3_bucket,
                s3_key,
                s3_object_version,
            } => update
                .s3_bucket(s3_bucket.as_ref())
                .s3_key(s3_key.as_ref())
                .set_s3_object_version(s3_object_version.as_ref().map(ToString::to_string))
                .set_source_kms_key_arn(key.map(str::to_owned)),
            Code::Image { image_uri } => update.image_uri(image_uri.as_ref()),
            Code::Version { .. } => {
                return Err(Error::InvalidRequest(
                    "a published version has no code to update".into(),
                ));
            }
        };
        let updated = update
            .send()
            .await
            .map_err(|error| classify(&format!("UpdateFunctionCode of {function}"), &error))
            .map_err(names_key_parameter)?;
        Ok(updated.code_sha256.unwrap_or_default())
    }

    /// Waits until `$LATEST` is updated, and describes it.
    pub async fn updated(
        &self,
        function: &FunctionName,
        wait: Duration,
    ) -> Result<Configuration, Error> {
        let done = self
            .client
            .wait_until_function_updated_v2()
            .function_name(function.as_ref())
            .wait(wait)
            .await
            .map_err(|error| {
                Error::Refused(format!("{function}: the update did not succeed: {error}").into())
            })?;
        let done = done.into_result().map_err(|error| {
            Error::Refused(format!("{function}: the update did not succeed: {error}").into())
        })?;
        configuration_of(done).map(of_function)
    }

    /// Publishes exactly the `$LATEST` that `latest` describes. Returns the version that exists
    /// already when nothing changed since it was published.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when `$LATEST` is not that any more.
    pub async fn publish(
        &self,
        function: &FunctionName,
        latest: &Configuration,
    ) -> Result<Published, Error> {
        let changed = || {
            Error::ChangedOutside(
                format!("{function}: $LATEST changed between the upload and the publication")
                    .into(),
            )
        };
        let mut revision = latest.revision.clone();
        for _ in 0..TURNS {
            let published = self
                .client
                .publish_version()
                .function_name(function.as_ref())
                .code_sha256(&latest.code_sha256)
                .revision_id(&revision)
                .send()
                .await;
            match published {
                Ok(now) => {
                    return Ok(Published {
                        version: version(now.version())?,
                        active: now.state == Some(State::Active),
                        configuration: Configuration::of(
                            now.code_sha256,
                            now.revision_id,
                            now.last_modified,
                            now.role,
                            now.dead_letter_config,
                            now.timeout,
                            now.durable_config.as_ref(),
                        ),
                    });
                }
                // Perhaps our own publication, whose answer was lost: it gave `$LATEST` a new revision.
                // When nothing else changed, to publish again yields its version.
                Err(error) if is(&error, "PreconditionFailedException") => {
                    let now = self.updated(function, UPDATED).await?;
                    let same = (&now.code_sha256, &now.modified)
                        == (&latest.code_sha256, &latest.modified);
                    if !same {
                        return Err(changed());
                    }
                    revision = now.revision;
                }
                Err(error) => {
                    // A wrong CodeSha256 comes as this, not as a failed precondition; and so does a key that may
                    // not be used.
                    if is(&error, "InvalidParameterValueException") {
                        let now = self.updated(function, UPDATED).await?;
                        if now.code_sha256 != latest.code_sha256 {
                            return Err(changed());
                        }
                    }
                    let refused = classify(&format!("PublishVersion of {function}"), &error);
                    return Err(names_key_parameter(refused));
                }
            }
        }
        Err(Error::Transient(
            format!("{function}: the revision of $LATEST changes all the time").into(),
        ))
    }

    /// Waits until a version can serve, and describes it.
    ///
    /// A version that Lambda made inactive, because it was idle for weeks, is invoked with `payload`: Lambda
    /// rejects that invocation and makes the version ready again.
    ///
    /// # Errors
    /// [`Error::ValidationFailed`] when the version's state is one that it does not leave.
    pub async fn active(
        &self,
        function: &FunctionName,
        version: &Version,
        payload: &Value,
        wait: Duration,
    ) -> Result<Readiness, Error> {
        let until = Instant::now() + wait;
        let mut pause = FIRST_LOOK;
        let mut woken: Option<Instant> = None;
        loop {
            // `GetFunction` has a limit of its own, which is far higher than what `GetFunctionConfiguration`
            // shares with everything else (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
            let now = self.described(function, version).await?;
            if let Some(failed) = failed(function, version.as_ref(), &now) {
                return Err(failed);
            }
            let state = shown_state(&now);
            match step(now.state()) {
                Step::Serve => return Ok(Readiness::Active(of_function(now))),
                Step::Wake if woken.is_none_or(|at| at.elapsed() >= WAKE_AGAIN) => {
                    woken = Some(Instant::now());
                    let trial = Trial {
                        payload,
                        tenant_id: None,
                        patience: WAKING,
                    };
                    let done = self.invoke(function, version, trial).await;
                    let answered = matches!(done, Ok(Tried::Answered(_)));
                    tracing::info!(event = "version_activated", %function, %version, answered, "Activated an inactive version.");
                    pause = FIRST_LOOK;
                }
                Step::Wake | Step::Wait | Step::GiveUp => {}
            }
            if Instant::now() + pause > until {
                return Ok(Readiness::NotYet(format!(
                    "{function} version {version} is {state} after {} s",
                    wait.as_secs()
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Whether a function has a published version.
    pub async fn has_version(
        &self,
        function: &FunctionName,
        version: &Version,
    ) -> Result<bool, Error> {
        let found = self
            .client
            .get_function()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .send()
            .await;
        match found {
            Ok(_) => Ok(true),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(false),
            Err(error) => Err(classify(&format!("GetFunction of {function}"), &error)),
        }
    }

    /// Describes how a published version runs.
    pub async fn run_settings(
        &self,
        function: &FunctionName,
        version: &Version,
    ) -> Result<RunSettings, Error> {
        Ok(settings(&self.described(function, version).await?))
    }

    /// Returns the function's reserved concurrency; none when it has none.
    pub async fn reserved_concurrency(
        &self,
        function: &FunctionName,
    ) -> Result<Option<u32>, Error> {
        let reserved = self
            .client
            .get_function_concurrency()
            .function_name(function.as_ref())
            .send()
            .await
            .map_err(|error| classify(&format!("GetFunctionConcurrency of {function}"), &error))?;
        Ok(reserved
            .reserved_concurrent_executions
            .and_then(|count| u32::try_from(count).ok()))
    }

    /// Returns how many executions at a time the account's functions without a reservation share.
    pub async fn unreserved_concurrency(&self) -> Result<u32, Error> {
        let settings = self
            .client
            .get_account_settings()
            .send()
            .await
            .map_err(|error| classify("GetAccountSettings", &error))?;
        settings
            .account_limit
            .and_then(|limit| limit.unreserved_concurrent_executions)
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| Error::Transient("GetAccountSettings without a limit".into()))
    }

    async fn described(
        &self,
        function: &FunctionName,
        version: &Version,
    ) -> Result<FunctionConfiguration, Error> {
        let now = self
            .client
            .get_function()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .send()
            .await
            .map_err(|error| classify(&format!("GetFunction of {function}"), &error))?;
        configuration_of(now)
    }

    /// Describes a published version.
    pub async fn version(
        &self,
        function: &FunctionName,
        version: &Version,
    ) -> Result<Configuration, Error> {
        self.described(function, version).await.map(of_function)
    }

    /// Describes a function, or what it has under a qualifier; none where that does not exist.
    pub async fn look(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<Option<Found>, Error> {
        let got = self
            .client
            .get_function()
            .function_name(function)
            .set_qualifier(qualifier.map(str::to_owned))
            .send()
            .await;
        let now = match got {
            Ok(now) => now,
            Err(error) if is(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(classify(&format!("GetFunction of {function}"), &error)),
        };
        let package = match now.configuration().and_then(|it| it.package_type()) {
            Some(PackageType::Image) => Package::Image,
            _ => Package::Zip,
        };
        let source_key = now.code().and_then(|code| code.source_kms_key_arn());
        let source_key = source_key.map(str::to_owned);
        let configuration = of_function(configuration_of(now)?);
        Ok(Some(Found {
            package,
            source_key,
            settings: configuration.settings(),
            timeout_seconds: configuration.timeout_seconds,
        }))
    }

    /// What calls the function past every alias, a sentence each: event sources, URLs and
    /// permissions of the function itself.
    pub async fn bypasses(&self, function: &FunctionName) -> Result<Vec<String>, Error> {
        let (sources, urls, policy) = futures::try_join!(
            async {
                self.client
                    .list_event_source_mappings()
                    .function_name(function.as_ref())
                    .send()
                    .await
                    .map_err(|error| {
                        classify(&format!("ListEventSourceMappings of {function}"), &error)
                    })
            },
            async {
                self.client
                    .list_function_url_configs()
                    .function_name(function.as_ref())
                    .send()
                    .await
                    .map_err(|error| {
                        classify(&format!("ListFunctionUrlConfigs of {function}"), &error)
                    })
            },
            async {
                match self
                    .client
                    .get_policy()
                    .function_name(function.as_ref())
                    .send()
                    .await
                {
                    Ok(policy) => Ok(policy.policy),
                    Err(error) if is(&error, "ResourceNotFoundException") => Ok(None),
                    Err(error) => Err(classify(&format!("GetPolicy of {function}"), &error)),
                }
            },
        )?;
        let mut warnings = Vec::new();
        for mapping in sources.event_source_mappings() {
            if !is_qualified(mapping.function_arn().unwrap_or_default()) {
                warnings.push(format!(
                    "{function}: event source {} calls the function past the alias",
                    mapping.event_source_arn().unwrap_or("(unknown)")
                ));
            }
        }
        for url in urls.function_url_configs() {
            if !is_qualified(url.function_arn()) {
                warnings.push(format!(
                    "{function}: URL {} calls the function past the alias",
                    url.function_url()
                ));
            }
        }
        warnings
            .extend(callers(policy.as_deref().unwrap_or("{}")).map(|caller| {
                format!("{function}: {caller} may call the function past the alias")
            }));
        Ok(warnings)
    }

    /// Invokes one version itself, not through an alias, once, and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Transient`] when Lambda did not take the invocation and takes it later: it is throttled, the
    /// version is not ready, or Lambda failed. [`Error::Refused`] when it never takes it.
    pub async fn invoke(
        &self,
        function: &FunctionName,
        version: &Version,
        trial: Trial<'_>,
    ) -> Result<Tried, Error> {
        let call = self
            .client
            .invoke()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .set_tenant_id(trial.tenant_id.map(str::to_owned))
            .log_type(LogType::Tail)
            .payload(Blob::new(trial.payload.to_string()));
        let what = format!("Invoke of {function} version {version}");
        match once(call, trial.patience).await {
            Ok(done) => {
                let log_tail = done
                    .log_result
                    .and_then(|tail| STANDARD.decode(tail).ok())
                    .map(|tail| String::from_utf8_lossy(&tail).into_owned())
                    .unwrap_or_default();
                Ok(Tried::Answered(Invocation {
                    function_error: done.function_error,
                    payload: done.payload.map(Blob::into_inner).unwrap_or_default(),
                    log_tail,
                }))
            }
            Err(error) => match unanswered(&what, &error)? {
                Unanswered::TimedOut => Ok(Tried::TimedOut),
                // What a smoke test does may be done again: the state that runs them is repeated, too.
                Unanswered::Failed(why) => Err(Error::Transient(why.into())),
                Unanswered::Lost(why) => Ok(Tried::Lost(why)),
            },
        }
    }

    /// Calls a function of the user's, once, and waits for its answer no longer than `patience`. The call
    /// is not repeated whatever happens.
    ///
    /// # Errors
    /// [`Error::Transient`] or [`Error::Refused`] when Lambda did not take the call: it has not run.
    pub async fn call(
        &self,
        function: &Callee,
        payload: &Value,
        patience: Duration,
    ) -> Result<Called, Error> {
        let call = self
            .client
            .invoke()
            .function_name(function.function())
            .set_qualifier(function.qualifier().map(str::to_owned))
            .payload(Blob::new(payload.to_string()));
        match once(call, patience).await {
            Ok(done) => Ok(Called::Answered {
                failed: done.function_error,
                answer: answer(done.payload),
            }),
            Err(error) => match unanswered(&format!("Invoke of {function}"), &error)? {
                Unanswered::TimedOut => Ok(Called::TimedOut),
                Unanswered::Failed(why) | Unanswered::Lost(why) => Ok(Called::Lost(why)),
            },
        }
    }
}

/// Sends an invocation once: an answer that is late is not asked for again, for the function would run twice.
async fn once(
    call: InvokeFluentBuilder,
    patience: Duration,
) -> Result<InvokeOutput, SdkError<InvokeError, HttpResponse>> {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(patience)
        .read_timeout(patience)
        .build();
    call.customize()
        .config_override(
            aws_sdk_lambda::config::Builder::new()
                .timeout_config(timeouts)
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                .retry_config(RetryConfig::disabled()),
        )
        .send()
        .await
}

/// Why an invocation that Lambda may have taken has no answer.
enum Unanswered {
    TimedOut,
    /// An error of Lambda's own: it may have run by then (<https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>).
    Failed(String),
    Lost(String),
}

/// Tells why an invocation has no answer.
///
/// # Errors
/// As [`classify`] says, when Lambda did not take it: it has not run.
fn unanswered(
    what: &str,
    error: &SdkError<InvokeError, HttpResponse>,
) -> Result<Unanswered, Error> {
    match error {
        SdkError::ConstructionFailure(_) => Err(classify(what, error)),
        error if is(error, "ServiceException") => {
            Ok(Unanswered::Failed(classify(what, error).to_string()))
        }
        error if error.as_service_error().and_then(|e| e.code()).is_some() => {
            Err(classify(what, error))
        }
        SdkError::TimeoutError(_) => Ok(Unanswered::TimedOut),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Ok(Unanswered::TimedOut),
        error => Ok(Unanswered::Lost(classify(what, error).to_string())),
    }
}

/// What a version's state asks of one who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Serve,
    Wait,
    /// It was idle, and is made ready by an invocation.
    Wake,
    GiveUp,
}

fn step(state: Option<&State>) -> Step {
    match state {
        Some(State::Active) => Step::Serve,
        Some(State::Inactive | State::Deactivated) => Step::Wake,
        Some(State::Failed | State::Deleting) => Step::GiveUp,
        // Pending, Deactivating, ActiveNonInvocable (managed instances without one that is up), and whatever
        // Lambda may call a state one day.
        Some(_) | None => Step::Wait,
    }
}

/// Returns the refusal of a version in a state that it does not leave.
pub(super) fn failed(
    function: &FunctionName,
    version: &str,
    now: &FunctionConfiguration,
) -> Option<Error> {
    (step(now.state()) == Step::GiveUp).then(|| {
        let state = shown_state(now);
        Error::ValidationFailed(format!(
            "{function} version {version} is {state}; it will not become Active: publish another version"
        ).into())
    })
}

/// A version's state with Lambda's reason: `Pending (Creating: The function is being created.)`.
fn shown_state(now: &FunctionConfiguration) -> String {
    let state = now.state().map_or("in no state", State::as_str);
    let code = now.state_reason_code().map(|code| code.as_str().to_owned());
    let reason = now.state_reason().filter(|reason| !reason.is_empty());
    let why: Vec<String> = code
        .filter(|code| !code.is_empty())
        .into_iter()
        .chain(reason.map(str::to_owned))
        .collect();
    if why.is_empty() {
        return state.to_owned();
    }
    format!("{state} ({})", why.join(": "))
}

fn settings(now: &FunctionConfiguration) -> RunSettings {
    let isolation = now
        .tenancy_config()
        .map(TenancyConfig::tenant_isolation_mode);
    let logging = now.logging_config();
    let is_json = logging.and_then(|logging| logging.log_format()) == Some(&LogFormat::Json);
    let level = logging.and_then(|logging| logging.system_log_level());
    RunSettings {
        timeout: Duration::from_secs(timeout_seconds(now.timeout()).into()),
        isolates_tenants: isolation == Some(&TenantIsolationMode::PerTenant),
        hides_reports: is_json && level == Some(&SystemLogLevel::Warn),
    }
}

/// The answer of an invocation; a string where it is no JSON.
fn answer(payload: Option<Blob>) -> Value {
    let bytes = payload.map(Blob::into_inner).unwrap_or_default();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}

fn configuration_of(got: GetFunctionOutput) -> Result<FunctionConfiguration, Error> {
    got.configuration
        .ok_or_else(|| Error::Transient("GetFunction without a configuration".into()))
}

fn of_function(now: FunctionConfiguration) -> Configuration {
    Configuration::of(
        now.code_sha256,
        now.revision_id,
        now.last_modified,
        now.role,
        now.dead_letter_config,
        now.timeout,
        now.durable_config.as_ref(),
    )
}

fn timeout_seconds(told: Option<i32>) -> u32 {
    /// Lambda's own default.
    const SECONDS: u32 = 3;
    told.and_then(|seconds| u32::try_from(seconds).ok())
        .unwrap_or(SECONDS)
}

/// Whether a function's ARN names a version or an alias: `arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER`.
fn is_qualified(arn: &str) -> bool {
    arn.split(':')
        .nth(7)
        .is_some_and(|qualifier| qualifier != "$LATEST")
}

/// Whom a resource policy lets in, from its JSON.
fn callers(policy: &str) -> impl Iterator<Item = String> {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => Vec::new(),
    };
    statements
        .into_iter()
        .filter(|statement| statement["Effect"] == "Allow")
        .map(|statement| {
            let principal = match &statement["Principal"] {
                Value::Object(kinds) => kinds.values().next().map(shown).unwrap_or_default(),
                other => shown(other),
            };
            match statement["Condition"]
                .as_object()
                .and_then(|c| c.values().find_map(|v| v["AWS:SourceArn"].as_str()))
            {
                Some(source) => format!("{principal} ({source})"),
                None => principal,
            }
        })
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A version as Lambda answers with it.
pub(super) fn version(text: Option<&str>) -> Result<Version, Error> {
    let text = text.unwrap_or_default();
    Version::try_from(text.to_owned())
        .map_err(|_| Error::Transient(format!("Lambda answered with version {text:?}").into()))
}

#[cfg(test)]
mod tests {
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
        orchestrator::HttpRequest,
    };
    use aws_smithy_types::body::SdkBody;
    use serde_json::json;

    use super::*;

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
        let tenancy =
            TenancyConfig::builder().tenant_isolation_mode(TenantIsolationMode::PerTenant);
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
            let latest =
                Configuration::of(Some(hash.to_owned()), None, None, None, None, None, None);
            let lambda = Lambda::new(&["Active"], (200, "", Duration::ZERO));
            let published = lambda.functions().publish(&names().0, &latest).await;
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
    fn an_arn_says_whether_it_goes_past_the_alias() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:chat";
        assert!(!is_qualified(arn));
        assert!(!is_qualified(&format!("{arn}:$LATEST")));
        assert!(is_qualified(&format!("{arn}:production")));
        assert!(is_qualified(&format!("{arn}:7")));
    }

    #[test]
    fn a_policy_names_its_callers() {
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
}
