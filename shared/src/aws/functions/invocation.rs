//! Invocations of versions and of users' functions, each made once.

use std::time::Duration;

use aws_sdk_lambda::{
    config::{StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::invoke::{InvokeError, InvokeOutput, builders::InvokeFluentBuilder},
    primitives::Blob,
    types::LogType,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::Functions;
use crate::{
    aws::classify::{classify, is},
    domain::names::{Callee, FunctionName, Version},
    error::Error,
};

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
    /// No answer came, and it is not known whether it ran: why.
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
    /// No answer came, and it is not known whether it ran: why.
    Lost(String),
}

impl Functions {
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

/// Sends an invocation once: an answer that is late is not requested again, for the function would run twice.
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

/// Returns why an invocation has no answer.
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

/// The answer of an invocation; a string where it is no JSON.
fn answer(payload: Option<Blob>) -> Value {
    let bytes = payload.map(Blob::into_inner).unwrap_or_default();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}
