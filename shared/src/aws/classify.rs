//! Errors of calls to AWS, classified once, by code and kind and never by message text.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::{CallError, Detail, Error, Obstacle};

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

/// Codes that mean that the credentials are not valid, or not any more.
const NO_CREDENTIALS: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
];

/// Makes an error of a call to AWS: [`Error::Transient`] where repeating it is safe and can help, [`Error::Refused`]
/// where it cannot.
pub fn classify<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error
        .raw_response()
        .map_or(0, |response| response.status().as_u16());
    if let Some(service) = error.as_service_error() {
        return answered(what, status, service.code(), service.message());
    }
    let obstacle = if has_credentials_error(error) {
        Obstacle::Credentials
    } else {
        Obstacle::Network
    };
    // No answer: a timeout, or a connection that broke.
    Error::Transient(Detail::from(CallError {
        code: None,
        obstacle,
        message: format!("{what}: {}", chain(error)),
    }))
}

/// Makes an error of what a service answered.
pub(crate) fn answered(
    what: &str,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
) -> Error {
    let is_passing =
        code.is_none_or(|code| LATER.contains(&code)) || status == 429 || status >= 500;
    let detail = Detail::from(CallError {
        code: code.map(str::to_owned),
        obstacle: code.map_or(Obstacle::Service, obstacle),
        message: format!(
            "{what}: {}: {}",
            code.unwrap_or("no error code"),
            message.unwrap_or("no message")
        ),
    });
    if is_passing {
        Error::Transient(detail)
    } else {
        Error::Refused(detail)
    }
}

/// Returns what stood in the way of a call that a service answered with an error code.
pub(crate) fn obstacle(code: &str) -> Obstacle {
    if NO_CREDENTIALS.contains(&code) {
        Obstacle::Credentials
    } else if code.contains("AccessDenied") || code.contains("AuthorizationError") {
        // `AccessDeniedException`, `KMSAccessDeniedException`; SNS answers `AuthorizationError`.
        Obstacle::Permission
    } else {
        Obstacle::Service
    }
}

/// Whether the SDK found no credentials for a call.
fn has_credentials_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Adds to a refusal of code that AWS KMS had a part in which parameter of the stack lets the key be used.
#[must_use]
pub fn names_key_parameter(error: Error) -> Error {
    match error {
        Error::Refused(mut detail) if error_is_about_key(&detail) => {
            detail.reason.push_str(
                "; list the key's ARN in the stack's parameter KmsKeyArns, and let the key's own policy allow it",
            );
            Error::Refused(detail)
        }
        other => other,
    }
}

/// Whether AWS KMS had a part in a refusal. The services have no one code for that: Lambda answers
/// `KMSAccessDeniedException` or `InvalidParameterValueException` with "KMS key" in its words, S3 `AccessDenied` with
/// "is not authorized to perform: kms:Decrypt".
fn error_is_about_key(detail: &Detail) -> bool {
    detail.reason.to_lowercase().contains("kms")
}

/// Joins an error's words with those of its sources, each once.
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
