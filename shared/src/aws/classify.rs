//! SDK errors, classified once, by kind and never by message text.

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::Error;

/// Codes that mean "later": the services' throttles and conflicts that pass.
const LATER: [&str; 24] = [
    "CodeArtifactUserPendingException",
    "ConflictException",
    "InternalFailure",
    "InternalServerError",
    "KMSThrottling",
    "KmsThrottlingException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "ResourceConflictException",
    "ServiceException",
    "ServiceUnavailable",
    "SlowDown",
    "SnapStartNotReadyException",
    "SnapStartRegenerationFailureException",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// What `error` means for the one who called: [`Error::Transient`] where asking again is safe and
/// can help, [`Error::Refused`] where it cannot.
pub fn classify<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error
        .raw_response()
        .map_or(0, |response| response.status().as_u16());
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    let shown = match error.as_service_error() {
        Some(service) => format!(
            "{what}: {}: {}",
            service.code().unwrap_or("no error code"),
            service.message().unwrap_or("no message")
        ),
        None => format!("{what}: {}", chain(error)),
    };
    match code {
        Some(code) if LATER.contains(&code) => Error::Transient(shown),
        _ if status == 429 || status >= 500 => Error::Transient(shown),
        Some(_) => Error::Refused(shown),
        None => Error::Transient(shown), // No answer: a timeout, or a connection that broke.
    }
}

/// Adds to a refusal of code that AWS KMS had a part in which parameter of the stack lets the key be used.
#[must_use]
pub fn names_key_parameter(error: Error) -> Error {
    match error {
        Error::Refused(text) if text.to_lowercase().contains("kms") => Error::Refused(format!(
            "{text}; list the key's ARN in the stack's parameter KmsKeyArns, and let the key's own policy allow it"
        )),
        other => other,
    }
}

/// Tells an error and what caused it, each in its own words and once.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !told.ends_with(&words) {
            told.push_str(": ");
            told.push_str(&words);
        }
        cause = error.source();
    }
    told
}

/// Whether the service answered with this error code.
#[must_use]
pub fn is<E>(error: &SdkError<E, HttpResponse>, code: &str) -> bool
where
    E: ProvideErrorMetadata,
{
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        == Some(code)
}
