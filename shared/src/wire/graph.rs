//! The states of an execution, and the words by which handlers choose among them.
//!
//! `statemachine/definitions.yaml` is the graph; a test keeps [`StateName`](super::state_name::StateName) and [`Next`] equal to it. A state that
//! always has the same successor names it there. All others lead to `Decide`, a Choice on the one word `next` that the
//! handler has computed here.

use serde::{Deserialize, Serialize};

use super::{
    outcome::{EndError, Ending, Finished, Outcome},
    state::State,
    state_name::StateName,
    task::Task,
};
use crate::domain::{
    decision::Decision,
    hook::{HookRun, HookStatus},
    release::{Phase, Release},
};

/// The word that `Decide` follows: what a handler wants to happen next.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Next {
    /// Wait until a phase of wiring the stage is in force, then do the next one.
    AwaitStage,
    /// Make green: the stage is wired.
    Deploy,
    /// Wait until the idle side is free, then validate green.
    AwaitIdle,
    /// Validate green.
    Validate,
    /// Run the migration, or run it back.
    Migrate,
    /// Call the hook that is due.
    Hook,
    /// Wait, then call the hook again.
    AwaitHook,
    /// Ask an operator whether to go to the next step.
    Ask,
    /// Hold the present weight until an operator decides.
    Hold,
    /// Go to the next step.
    Shift,
    /// Watch the present weight, or wait until it is in force.
    Bake,
    /// Keep green.
    Finalize,
    /// End: all is as the request wants it.
    Done,
    /// End with traffic split.
    Held,
    /// End with all traffic on blue.
    RolledBack,
    /// Put all traffic on blue. `Decide` takes every word that it does not know for this one.
    RollBack,
}

impl Next {
    /// Returns the state that `Decide` leads to.
    #[must_use]
    pub fn state(self) -> StateName {
        match self {
            Self::AwaitStage => StateName::AwaitStage,
            Self::Deploy => StateName::DeployGreen,
            Self::AwaitIdle => StateName::AwaitIdle,
            Self::Validate => StateName::ValidateGreen,
            Self::Migrate => StateName::RunMigration,
            Self::Hook => StateName::RunHook,
            Self::AwaitHook => StateName::AwaitHook,
            Self::Ask => StateName::AwaitApproval,
            Self::Hold => StateName::Hold,
            Self::Shift => StateName::ShiftTraffic,
            Self::Bake => StateName::Bake,
            Self::Finalize => StateName::DeploymentSuccessful,
            Self::Done => StateName::Done,
            Self::Held => StateName::DeploymentHeld,
            Self::RolledBack => StateName::DeploymentRolledBack,
            Self::RollBack => StateName::RollbackDeployment,
        }
    }

    /// Returns what follows once green is made.
    #[must_use]
    pub fn deployed(release: &Release) -> Self {
        if release.spec.idle_wait_seconds > 0 {
            Self::AwaitIdle
        } else {
            Self::Validate
        }
    }

    /// Returns what follows for a release whose green is validated, by its phase.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        let progress = release.progress();
        match &progress.phase {
            Phase::Ready => Self::shift(release),
            Phase::AwaitingHook(run) if run.status == HookStatus::InProgress => Self::AwaitHook,
            // It is looked at once before the hook after a shift.
            Phase::AwaitingHook(_) if progress.decision == Some(Decision::RunHook) => Self::Hook,
            Phase::AwaitingHook(_) | Phase::Propagating(_) | Phase::Baking => Self::Bake,
            Phase::AwaitingApproval => Self::Ask,
            Phase::Held(_) => Self::Hold,
            Phase::Promoting => Self::Finalize,
            Phase::RollingBack => Self::RollBack,
        }
    }

    /// Returns what comes first where green is to get its next weight: the migration, the hook before the shift, or
    /// the shift itself.
    fn shift(release: &Release) -> Self {
        let progress = release.progress();
        if progress.migration.is_some_and(|migration| !migration.ran) {
            Self::Migrate
        } else if release.next_hook().is_some() {
            Self::Hook
        } else {
            Self::Shift
        }
    }

    /// Returns what follows a promotion, or where nothing had to move.
    #[must_use]
    pub fn finished(finished: &Finished) -> Self {
        Self::of_hook(finished.hook.as_ref()).unwrap_or(Self::Done)
    }

    /// Returns what follows a rollback: the migration is run back, then the hook is called, then it ends.
    #[must_use]
    pub fn rolled_back(ending: &Ending) -> Self {
        if ending.undo {
            return Self::Migrate;
        }
        Self::of_hook(ending.hook.as_ref()).unwrap_or(if ending.asked_for {
            Self::Done
        } else if ending.error == EndError::DeploymentHeld {
            Self::Held
        } else {
            Self::RolledBack
        })
    }

    /// Returns how a hook after the end goes on; none where there is none.
    fn of_hook(hook: Option<&HookRun>) -> Option<Self> {
        hook.map(|run| match run.status {
            HookStatus::InProgress => Self::AwaitHook,
            HookStatus::Due | HookStatus::Succeeded | HookStatus::Failed => Self::Hook,
        })
    }
}

/// What a handler answers: the next state's input, with the word that `Decide` follows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Output {
    /// The word.
    pub next: Next,
    /// The input.
    #[serde(flatten)]
    pub state: State,
}

impl Output {
    /// Returns `content` as a state, with the word that `next` computes of it.
    pub fn of<T: Into<State>>(content: T, next: impl FnOnce(&T) -> Next) -> Self {
        Self {
            next: next(&content),
            state: content.into(),
        }
    }
}

/// How an execution goes on that has kept green, or that had nothing to move.
///
/// An execution that began before an update of the stack has the definition of before: it expects the outcome alone,
/// and gives no name of a state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum End {
    /// For this definition.
    Finished(Output),
    /// For the one of version 0.1, which is in flight no longer than 30 days after the update.
    Outcome(Box<Outcome>),
}

impl End {
    /// Returns the end of `task`'s execution with `outcome`, and with the hook that is still to be called.
    #[must_use]
    pub fn of<S>(task: &Task<S>, outcome: Outcome, hook: Option<HookRun>) -> Self {
        match task.at {
            Some(_) => Self::Finished(Output::of(Finished { outcome, hook }, Next::finished)),
            None => Self::Outcome(Box::new(Outcome { hook, ..outcome })),
        }
    }
}
