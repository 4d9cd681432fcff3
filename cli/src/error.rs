//! Why a command did not do what it was asked to: a sentence, and what to do next.

use crossfade::{error::Error, parse::problem::Problems};

use crate::exit_code::Exit;

/// What is in the way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Trouble {
    /// How the command ends with it.
    pub(crate) exit: Exit,
    /// What it is, in a sentence.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) next: Option<String>,
}

impl Trouble {
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

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let exit = match error {
            Error::InvalidRequest(_) => Exit::Usage,
            Error::DeploymentInProgress(_) | Error::ValidationFailed(_) => Exit::Rejected,
            Error::ChangedOutside(_) => Exit::ChangedOutside,
            Error::DeploymentRolledBack(_) => Exit::RolledBack,
            Error::RollbackFailed(_) => Exit::Stuck,
            _ => Exit::Failed,
        };
        let text = error.to_string();
        let trouble = Self::new(exit, short(&text));
        if exit != Exit::Failed {
            return trouble;
        }
        let next = if text.contains("redentials") || text.contains("ExpiredToken") {
            "log in, or name another profile with --profile"
        } else if text.contains("AccessDenied") || text.contains("not authorized") {
            "docs/recipes/cli-policy.json has all that these commands need"
        } else if text.contains("dispatch failure") || text.contains("timeout") {
            "look at the network and at the Region, and try again"
        } else {
            return trouble;
        };
        trouble.next(next)
    }
}

/// An SDK's error without what is for its developers: the value itself, in brackets behind the sentence.
fn short(text: &str) -> String {
    let cut = text
        .match_indices(" (")
        .map(|(at, _)| at)
        .find(|at| {
            let rest = &text[at + 2..];
            let word = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(0);
            word > 8 && rest[word..].starts_with(['(', ' ']) && rest.starts_with(char::is_uppercase)
        })
        .unwrap_or(text.len());
    text[..cut].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_developers_is_left_out() {
        let error = Error::Transient(
            "DescribeStacks: dispatch failure: io error: connection refused (DispatchFailure(DispatchFailure { source: x }))".into(),
        );
        let trouble = Trouble::from(error);
        assert_eq!(
            trouble.what,
            "DescribeStacks: dispatch failure: io error: connection refused"
        );
        assert!(trouble.next.is_some_and(|next| next.contains("network")));
        assert_eq!(short("held (since noon)"), "held (since noon)");
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let next = |text: &str| Trouble::from(Error::Refused(text.into())).next;
        assert!(next("GetItem: AccessDeniedException: no").is_some());
        assert!(next("the SDK found no credentials").is_some());
        assert_eq!(next("GetItem: ResourceNotFoundException: no"), None);
    }
}
