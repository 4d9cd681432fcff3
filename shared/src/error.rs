//! Errors, by the names that the state machine matches.
//!
//! A variant's name is the `errorType` that Step Functions sees
//! (<https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>), so it is part of the contract;
//! `tests/` checks that the state machine names no error that is not here. What an error carries is typed. It becomes
//! text in [`wire::failure`](crate::wire::failure) and is read back there, and nowhere else.

use std::{error::Error as StdError, fmt};

use serde::{Deserialize, Serialize};

use strum::VariantNames as _;

use crate::domain::{analysis::check::Evidence, release::IllegalEvent};

/// An error that a handler ends with.
#[derive(Clone, Debug, PartialEq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[error(transparent)]
pub enum Error {
    /// The request cannot be carried out as it is. Every problem is named by its field's path.
    InvalidRequest(Detail),
    /// Another deployment holds a resource that this one needs.
    DeploymentInProgress(Detail),
    /// Another writer moved the traffic.
    ChangedOutside(Detail),
    /// Green did not pass validation, or the release does not fit what is deployed.
    ValidationFailed(Detail),
    /// The user's migration failed, did not answer in time, or is not known to have run.
    MigrationFailed(Detail),
    /// An alarm or an operator has requested a rollback of the release.
    DeploymentRolledBack(Detail),
    /// Traffic could not be restored: an operator is needed.
    RollbackFailed(Detail),
    /// AWS refused the call, and repeating it does not help.
    Refused(Detail),
    /// AWS did not answer, or is busy: repeating the call is safe. The only variant that is retried.
    Transient(Detail),
}

impl Error {
    /// Returns the name that the state machine matches.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Returns what the error carries beside its name.
    #[must_use]
    pub fn detail(&self) -> &Detail {
        match self {
            Self::InvalidRequest(detail)
            | Self::DeploymentInProgress(detail)
            | Self::ChangedOutside(detail)
            | Self::ValidationFailed(detail)
            | Self::MigrationFailed(detail)
            | Self::DeploymentRolledBack(detail)
            | Self::RollbackFailed(detail)
            | Self::Refused(detail)
            | Self::Transient(detail) => detail,
        }
    }

    /// Adds the page that explains what an operator does about it.
    #[must_use]
    pub fn see(mut self, page: &str) -> Self {
        let (Self::InvalidRequest(detail)
        | Self::DeploymentInProgress(detail)
        | Self::ChangedOutside(detail)
        | Self::ValidationFailed(detail)
        | Self::MigrationFailed(detail)
        | Self::DeploymentRolledBack(detail)
        | Self::RollbackFailed(detail)
        | Self::Refused(detail)
        | Self::Transient(detail)) = &mut self;
        detail.reason.push_str("; see ");
        detail.reason.push_str(page);
        self
    }

    /// Returns the call to AWS that failed, where one did.
    #[must_use]
    pub fn call(&self) -> Option<&CallError> {
        self.detail().source.as_deref()
    }

    /// Returns AWS's error code, where a service answered with one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.call()?.code.as_deref()
    }

    /// Returns the message that may be logged beside the name. An error that can quote a request, or an answer of
    /// the user's functions, has none: the execution and the notices carry it, and no payload reaches a log.
    #[must_use]
    pub fn for_the_log(&self) -> Option<&str> {
        match self {
            Self::InvalidRequest(_)
            | Self::ValidationFailed(_)
            | Self::MigrationFailed(_)
            | Self::DeploymentRolledBack(_) => None,
            Self::DeploymentInProgress(detail)
            | Self::ChangedOutside(detail)
            | Self::RollbackFailed(detail)
            | Self::Refused(detail)
            | Self::Transient(detail) => Some(&detail.reason),
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

/// The reason for an error, in words, and the evidence for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// The reason, in words and numbers.
    pub reason: String,
    /// The numbers behind the reason, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
    /// The call to AWS that failed. It stays in the process.
    #[serde(skip)]
    source: Option<Box<CallError>>,
}

impl Detail {
    /// Returns the detail of a reason that has evidence.
    #[must_use]
    pub fn proven(reason: String, evidence: Evidence) -> Self {
        Self {
            reason,
            evidence: Some(Box::new(evidence)),
            source: None,
        }
    }
}

impl From<String> for Detail {
    fn from(reason: String) -> Self {
        Self {
            reason,
            evidence: None,
            source: None,
        }
    }
}

impl From<&str> for Detail {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl From<CallError> for Detail {
    fn from(call: CallError) -> Self {
        Self {
            source: Some(Box::new(call.clone())),
            ..call.message.into()
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for Detail {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

/// The state is not one that leads to what the handler does.
impl From<IllegalEvent> for Error {
    fn from(illegal: IllegalEvent) -> Self {
        Self::InvalidRequest(illegal.to_string().into())
    }
}

/// A call to AWS that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The error code that the service answered with; none where it did not answer.
    pub code: Option<String>,
    /// What stood in the way.
    pub obstacle: Obstacle,
    /// The call and its failure, in words.
    pub message: String,
}

/// What stood in the way of a call to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// There are no credentials, or they have expired.
    Credentials,
    /// The credentials do not permit the call.
    Permission,
    /// No answer came: a timeout, or a connection that broke.
    Network,
    /// The service answered with another error.
    Service,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_no_error_that_may_quote_a_payload() {
        let secret = || Detail::from("statusCode is \"s3cr3t\", not 200");
        for error in [
            Error::InvalidRequest(secret()),
            Error::ValidationFailed(secret()),
            Error::MigrationFailed(secret()),
            Error::DeploymentRolledBack(secret()),
        ] {
            assert_eq!(error.for_the_log(), None, "{}", error.name());
            assert_eq!(error.to_string(), secret().reason, "the execution gets it");
        }
        let busy = Error::Transient("Throttling: rate exceeded".into());
        assert_eq!(busy.for_the_log(), Some("Throttling: rate exceeded"));
    }

    #[test]
    fn keeps_the_failed_call_as_source() {
        let call = CallError {
            code: Some("AccessDeniedException".into()),
            obstacle: Obstacle::Permission,
            message: "GetItem: AccessDeniedException: no".into(),
        };
        let error = Error::Refused(call.clone().into());
        assert_eq!(error.to_string(), call.to_string());
        assert_eq!(error.code(), Some("AccessDeniedException"));
        let source = error.source().and_then(|source| source.downcast_ref());
        assert_eq!(source, Some(&call));
        assert!(Error::Refused("no call".into()).source().is_none());
    }
}
