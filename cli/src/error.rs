//! Why a command did not do what it was asked to: a sentence, and what to do next.

use crossfade::{
    error::{Error, Obstacle},
    parse::problem::Problems,
};

use crate::exit_code::Exit;

/// What is in the way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct CliError {
    /// How the command ends with it.
    pub(crate) exit: Exit,
    /// What it is, in a sentence.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) next: Option<String>,
}

impl CliError {
    /// Something is in the way.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            next: None,
        }
    }

    /// The same, with what to do next.
    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self {
            next: Some(next.into()),
            ..self
        }
    }

    /// A request that is not valid, with every problem by its path.
    pub(crate) fn invalid(name: &str, problems: &Problems) -> Self {
        Self::new(
            Exit::Usage,
            format!("{name} is not a valid request:\n{problems}"),
        )
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let exit = match error {
            Error::InvalidRequest(_) => Exit::Usage,
            Error::DeploymentInProgress(_) | Error::ValidationFailed(_) => Exit::Rejected,
            Error::ChangedOutside(_) => Exit::ChangedOutside,
            Error::DeploymentRolledBack(_) => Exit::RolledBack,
            Error::RollbackFailed(_) => Exit::Stuck,
            Error::MigrationFailed(_) | Error::Refused(_) | Error::Transient(_) => Exit::Failed,
        };
        let next = match error.call().map(|call| call.obstacle) {
            Some(Obstacle::Credentials) => {
                Some("log in, or name another profile with --profile".to_owned())
            }
            Some(Obstacle::Permission) => Some(
                "docs/recipes/cli-policy.json has all permissions that these commands need"
                    .to_owned(),
            ),
            Some(Obstacle::Network) => {
                Some("look at the network and at the Region, and try again".to_owned())
            }
            Some(Obstacle::Service) | None => None,
        };
        Self {
            exit,
            what: error.to_string(),
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use crossfade::error::CallError;

    use super::*;

    #[test]
    fn adds_advice_to_obstacles() {
        let trouble = |obstacle| {
            let message = "DescribeStacks: dispatch failure: io error".to_owned();
            let call = CallError {
                code: None,
                obstacle,
                message,
            };
            CliError::from(Error::Transient(call.into()))
        };
        for (obstacle, says) in [
            (Obstacle::Credentials, "--profile"),
            (Obstacle::Permission, "cli-policy.json"),
            (Obstacle::Network, "network"),
        ] {
            let trouble = trouble(obstacle);
            assert_eq!(trouble.what, "DescribeStacks: dispatch failure: io error");
            assert!(
                trouble.next.is_some_and(|next| next.contains(says)),
                "{says}"
            );
            assert_eq!(trouble.exit, Exit::Failed);
        }
        assert_eq!(trouble(Obstacle::Service).next, None);
    }

    /// The words of an error decide nothing: they may quote anything.
    #[test]
    fn words_of_an_error_decide_nothing() {
        let quoted = Error::Refused("alarm ExpiredTokenAlarm: AccessDenied, no credentials".into());
        assert_eq!(CliError::from(quoted).next, None);
    }
}
