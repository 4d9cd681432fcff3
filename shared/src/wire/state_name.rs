//! The names of an execution's states.

use serde::{Deserialize, Serialize};

/// The name of a state of a release's execution, as the console and the history have it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum StateName {
    /// Chooses by the request's action.
    Route,
    /// Makes an API Gateway stage call the alias, or undoes that.
    WireStage,
    /// Waits until a phase of that is in force.
    AwaitStage,
    /// Publishes green and fixes the plan.
    DeployGreen,
    /// Waits until no client reaches the idle side any more.
    AwaitIdle,
    /// Validates green.
    ValidateGreen,
    /// Follows the word that the last handler has computed.
    Decide,
    /// Gives green the weight of a step.
    ShiftTraffic,
    /// Waits until the next look.
    Bake,
    /// Looks at alarms, health checks and metrics; takes in an operator's answer.
    CheckAlarms,
    /// Waits for an operator's approval.
    AwaitApproval,
    /// Waits for an operator's decision at the present weight.
    Hold,
    /// Runs the user's migration, or runs it back.
    RunMigration,
    /// Calls the hook that is due.
    RunHook,
    /// Waits until a hook in progress is called again.
    AwaitHook,
    /// Chooses by the release's status.
    DeploymentSuccessful,
    /// Promotes green.
    FinalizeDeployment,
    /// Starts the execution that keeps blue ready.
    StartRetention,
    /// Reports that it did not start.
    RetentionNotStarted,
    /// Ends as the request wants it.
    Done,
    /// Puts all traffic on blue.
    RollbackDeployment,
    /// Ends with all traffic on blue.
    DeploymentRolledBack,
    /// Ends with traffic split.
    DeploymentHeld,
    /// Ends with traffic that could not be restored.
    RollbackFailed,
}

impl StateName {
    /// Whether the state invokes a function of Crossfade's.
    #[must_use]
    pub fn invokes_a_handler(self) -> bool {
        match self {
            Self::WireStage
            | Self::DeployGreen
            | Self::ValidateGreen
            | Self::ShiftTraffic
            | Self::CheckAlarms
            | Self::AwaitApproval
            | Self::Hold
            | Self::RunMigration
            | Self::RunHook
            | Self::FinalizeDeployment
            | Self::RetentionNotStarted
            | Self::RollbackDeployment => true,
            Self::Route
            | Self::AwaitStage
            | Self::AwaitIdle
            | Self::Decide
            | Self::Bake
            | Self::AwaitHook
            | Self::DeploymentSuccessful
            | Self::StartRetention
            | Self::Done
            | Self::DeploymentRolledBack
            | Self::DeploymentHeld
            | Self::RollbackFailed => false,
        }
    }
}
