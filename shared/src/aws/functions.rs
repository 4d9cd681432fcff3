//! Lambda: code, versions, invocations. Aliases are in [`super::traffic`].

mod bypasses;
mod invocation;
mod publication;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_sdk_lambda::{
    Client,
    operation::get_function::GetFunctionOutput,
    types::{
        DeadLetterConfig, DurableConfig, FunctionConfiguration, LogFormat, PackageType, State,
        SystemLogLevel, TenancyConfig, TenantIsolationMode,
    },
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

pub use self::{
    invocation::{Called, Invocation, Trial, Tried},
    publication::{Published, UPDATED},
};
use super::{
    classify::{classify, is},
    lazy_client::{LazyClient, lazy},
    rate_limit,
};
use crate::{
    admission::{Found, Package, Settings},
    domain::names::{FunctionName, Version},
    error::Error,
};

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

/// Lambda's control plane and the invocation of versions.
#[derive(Clone, Debug)]
pub struct Functions {
    pub(super) client: LazyClient<Client>,
}

impl Functions {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, rate_limit::lambda),
        }
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

/// A version as Lambda answers with it.
pub(super) fn version(text: Option<&str>) -> Result<Version, Error> {
    let text = text.unwrap_or_default();
    Version::try_from(text.to_owned())
        .map_err(|_| Error::Transient(format!("Lambda answered with version {text:?}").into()))
}
