//! What can go wrong, by the names that the state machine matches.
//!
//! A variant's name is the `errorType` that Step Functions sees (<https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>), so it is part of
//! the contract; `tests/` checks that the state machine names no error that is not here.

use lambda_runtime::Diagnostic;
use strum::VariantNames as _;

use crate::wire::outcome::MAX_CAUSE;

/// An error that a handler ends with.
#[derive(Clone, Debug, PartialEq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
pub enum Error {
    /// The request cannot be carried out as it is. Every problem is named by its field's path.
    #[error("{0}")]
    InvalidRequest(String),
    /// Another deployment holds a resource that this one needs.
    #[error("{0}")]
    DeploymentInProgress(String),
    /// Somebody else moved the traffic.
    #[error("{0}")]
    ChangedOutside(String),
    /// Green did not prove itself, or the release does not fit what is deployed.
    #[error("{0}")]
    ValidationFailed(String),
    /// The user's migration failed, did not answer in time, or is not known to have run.
    #[error("{0}")]
    MigrationFailed(String),
    /// The deployment was told to go back to blue, by an alarm or a person.
    #[error("{0}")]
    DeploymentRolledBack(String),
    /// Traffic could not be made whole: only a person can help.
    #[error("{0}")]
    RollbackFailed(String),
    /// AWS refused, and asking again does not help.
    #[error("{0}")]
    Refused(String),
    /// AWS did not answer, or is busy: asking again is safe. The only one that is retried.
    #[error("{0}")]
    Transient(String),
}

impl Error {
    /// The name that the state machine matches.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// What the log may say beside the name. What quotes a request, or an answer of the user's own
    /// functions, is told by the execution and by notices, and never logged: a payload may be in it.
    #[must_use]
    pub fn for_the_log(&self) -> Option<&str> {
        match self {
            Self::InvalidRequest(_)
            | Self::ValidationFailed(_)
            | Self::MigrationFailed(_)
            | Self::DeploymentRolledBack(_) => None,
            Self::DeploymentInProgress(message)
            | Self::ChangedOutside(message)
            | Self::RollbackFailed(message)
            | Self::Refused(message)
            | Self::Transient(message) => Some(message),
        }
    }
}

/// Returns the path, in this repository, of the page that explains an error; `None` for a foreign one.
#[must_use]
pub fn page(error: &str) -> Option<String> {
    let known = Error::VARIANTS.contains(&error) || OF_STATES.contains(&error);
    known.then(|| format!("docs/errors/{error}.md"))
}

/// The errors that only a Fail state of a state machine has.
const OF_STATES: [&str; 2] = ["DeploymentHeld", "RetentionFailed"];

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self {
            error_type: error.name().to_owned(),
            error_message: fitting(error.to_string()),
        }
    }
}

/// Cuts a message to what fits a Cause, as the text of a JSON string, beside the error's name.
fn fitting(message: String) -> String {
    const MOST: usize = MAX_CAUSE - 200;
    let written = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    };
    let mut bytes = 0;
    let over = message.char_indices().find(|(_, c)| {
        bytes += written(*c);
        bytes > MOST
    });
    match over {
        None => message,
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fits_a_cause() {
        for text in ["a", "é", "\"", "\n", "\u{1}"] {
            let told = Diagnostic::from(Error::Refused(text.repeat(40_000)));
            let cause = serde_json::json!({"errorType": told.error_type, "errorMessage": told.error_message});
            let bytes = cause.to_string().len();
            assert!((32_000..=MAX_CAUSE).contains(&bytes), "{text:?}: {bytes}");
        }
        let short = Diagnostic::from(Error::Refused("é".repeat(100)));
        assert_eq!(short.error_message, "é".repeat(100));
    }

    #[test]
    fn what_may_quote_a_payload_is_not_for_the_log() {
        let secret = || "statusCode is \"s3cr3t\", not 200".to_owned();
        for error in [
            Error::InvalidRequest(secret()),
            Error::ValidationFailed(secret()),
            Error::MigrationFailed(secret()),
            Error::DeploymentRolledBack(secret()),
        ] {
            assert_eq!(error.for_the_log(), None, "{}", error.name());
            let told = Diagnostic::from(error.clone());
            assert_eq!(told.error_message, secret(), "the execution is told all");
        }
        let busy = Error::Transient("Throttling: rate exceeded".to_owned());
        assert_eq!(busy.for_the_log(), Some("Throttling: rate exceeded"));
    }
}
