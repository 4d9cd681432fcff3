//! What happens to a release.

use crate::domain::{
    analysis::check::{Evidence, Finding},
    approval::{Answer, OperatorRequest},
    health::Health,
    hook::{HookResult, HookRun},
    migration::MigrationRun,
    names::FunctionName,
    propagation::Effective,
    target::Target,
};

/// Something that has happened to a release.
#[derive(Clone, Debug, PartialEq, strum::IntoStaticStr)]
pub enum Event {
    /// Green has passed validation.
    Validated {
        /// The functions without a blue of which a smoke test has passed.
        smoke_tested: Vec<FunctionName>,
        /// How each health check is.
        health: Vec<Health>,
        /// What operators should know.
        warnings: Vec<String>,
        /// What the smoke tests found.
        evidence: Evidence,
    },
    /// The user's migration has succeeded.
    Migrated(MigrationRun),
    /// A hook was run once: it has passed, has failed, or is in progress.
    HookRan {
        /// The hook.
        run: HookRun,
        /// What it answered in the end; none while it is in progress.
        report: Option<HookResult>,
    },
    /// The shift to the position's step was made.
    Shifted {
        /// The functions with their new revisions.
        functions: Vec<Target>,
        /// When it takes effect.
        effective: Effective,
        /// What operators should know.
        warnings: Vec<String>,
    },
    /// The weight that bakes was looked at.
    Looked {
        /// The verdict and its numbers.
        finding: Finding,
        /// How each health check is.
        health: Vec<Health>,
    },
    /// It was looked at while the last shift is on its way to clients.
    Followed {
        /// Whether Route 53 has put the change in force.
        in_sync: bool,
        /// What the alarms say meanwhile.
        finding: Finding,
        /// How each health check is.
        health: Vec<Health>,
    },
    /// An operator has answered, or has not in time ([`AnswerKind::Silence`]).
    Answered(Answer),
    /// What ended the wait for an operator is no answer: this, as it is shown.
    Misanswered(String),
    /// An operator wants something of a release that waits for none. It comes with a look, and a rollback decided
    /// on that look takes precedence.
    Requested(OperatorRequest),
    /// Green is made what serves: the last step is over.
    Promoted,
}

/// An event that cannot happen in the phase that a release is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a release in phase {phase} takes no event {event}")]
pub struct IllegalEvent {
    pub(super) phase: &'static str,
    pub(super) event: &'static str,
}
