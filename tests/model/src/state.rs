//! Everything that two releases share, and what may still happen to it.

use crossfade::{
    domain::{
        names::{AliasName, FunctionName},
        record::Status,
        routing::alias::Primary,
    },
    fake::{
        AliasState, World,
        jobs::{Carried, Id, version},
    },
    ports::{Key, Value},
};

/// Both releases.
pub const BOTH: [Id; 2] = [Id(0), Id(1)];

/// The version before.
pub const FIRST: u8 = 1;

/// The version that somebody else puts an alias on.
pub const STRANGERS: u8 = 9;

/// The most functions of a release.
pub const MOST: usize = 2;

/// Where an execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not begun.
    Before,
    /// In `DeployGreen`.
    Deploying,
    /// In `ValidateGreen`.
    Proving,
    /// In `ShiftTraffic`.
    Shifting,
    /// In `CheckAlarms`.
    Judging,
    /// Entering `Hold` or `AwaitApproval`.
    Asking,
    /// In it, until its token is answered.
    Waiting,
    /// In `FinalizeDeployment`.
    Finalizing,
    /// In `RollbackDeployment`.
    RollingBack(crossfade::fake::jobs::Cause),
    /// Over: SUCCEEDED.
    Succeeded,
    /// Over: FAILED.
    Failed,
    /// Over: FAILED with `DeploymentHeld`, as the request asked for.
    LeftHeld,
    /// Over: ABORTED or TIMED_OUT.
    Stopped,
}

impl Stage {
    /// Whether the execution has ended.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::LeftHeld | Self::Stopped
        )
    }

    /// Whether it runs.
    #[must_use]
    pub fn runs(self) -> bool {
        self != Self::Before && !self.is_over()
    }

    /// Whether it waits for a function's answer.
    #[must_use]
    pub fn awaits_a_function(self) -> bool {
        matches!(
            self,
            Self::Deploying
                | Self::Shifting
                | Self::Asking
                | Self::Finalizing
                | Self::RollingBack(_)
        )
    }
}

/// An execution, with what its state carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Execution {
    /// Where it is.
    pub stage: Stage,
    /// The release as it carries it.
    pub carried: Option<Carried>,
    /// The state's retries before this try.
    pub retries: u8,
    /// For the promises: green passed its validation.
    pub proved: bool,
    /// For the promises: green passed every gate.
    pub healthy: bool,
}

/// A function at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Working {
    /// How far it is.
    pub node: u32,
    /// The execution that waits for its answer.
    pub answers: Option<Id>,
}

/// Promises that a write broke, as bits.
pub mod broken {
    /// A state that was not the writer's was overwritten.
    pub const SINGLE_WRITER: u8 = 1;
    /// Traffic was moved by who did not hold the lock.
    pub const ONE_AT_A_TIME: u8 = 2;
    /// A version got a weight before it had passed its validation.
    pub const PROVEN: u8 = 4;
    /// A version got all traffic for good before it had passed every gate.
    pub const GATES: u8 = 8;
}

/// How many more times something may go wrong or come from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Executions stopped, functions killed or given up, answers lost.
    pub faults: u8,
    /// Alarms that fire.
    pub alarms: u8,
    /// Operators who request a rollback.
    pub operators: u8,
    /// Writes to an alias by somebody else.
    pub strangers: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What AWS holds.
    pub world: World,
    /// For the promises: what stands there is somebody else's.
    pub strange: [bool; MOST],
    /// For the promises: which release was promoted last.
    pub last: Option<Id>,
    /// The executions.
    pub executions: [Execution; 2],
    /// The functions at work, in an order of no meaning.
    pub working: Vec<Working>,
    /// What may still happen.
    pub left: Left,
    /// For the promises: those that are broken.
    pub broken: u8,
}

/// Returns the name of a function's alias.
#[must_use]
pub fn alias_of(nth: usize) -> (FunctionName, AliasName) {
    let function = ["f", "g"][nth];
    (
        function.parse().expect("it is a name"),
        "live".parse().expect("it is a name"),
    )
}

impl State {
    /// Returns the execution of a release.
    #[must_use]
    pub fn execution(&self, id: Id) -> &Execution {
        &self.executions[usize::from(id.0)]
    }

    /// The same, to be changed.
    pub fn execution_mut(&mut self, id: Id) -> &mut Execution {
        &mut self.executions[usize::from(id.0)]
    }

    fn attribute(&self, pk: String, name: &str) -> Option<&str> {
        let row = self.world.rows.get(&Key::new(pk, "-"))?;
        match row.get(name)? {
            Value::S(text) => Some(text),
            Value::N(_) | Value::Bool(_) => None,
        }
    }

    /// Returns a release's status in the ledger.
    #[must_use]
    pub fn status(&self, id: Id) -> Option<Status> {
        let pk = format!("DEPLOYMENT#{}", id.execution());
        self.attribute(pk, "status")?.parse().ok()
    }

    fn named(&self, pk: &str) -> Option<Id> {
        let execution = self.attribute(pk.to_owned(), "execution")?;
        BOTH.into_iter().find(|id| id.execution() == execution)
    }

    /// Returns who holds the locks. Both releases want the application's.
    #[must_use]
    pub fn lock(&self) -> Option<Id> {
        self.named("LOCK#application/chat")
    }

    /// Returns which release was promoted last, on record.
    #[must_use]
    pub fn promoted(&self) -> Option<Id> {
        self.named("PROMOTED#chat")
    }

    /// Whether an alarm of a release is watched.
    #[must_use]
    pub fn is_watched(&self, id: Id) -> bool {
        let pk = format!("ALARM#{}", id.alarm());
        self.world.rows.keys().any(|key| key.pk == pk)
    }

    /// Returns a function's alias.
    #[must_use]
    pub fn alias(&self, nth: usize) -> Option<&AliasState> {
        self.world.aliases.get(&alias_of(nth))
    }

    /// Whether an alias is on one version alone.
    #[must_use]
    pub fn is_on(&self, nth: usize, number: u8) -> bool {
        self.alias(nth).is_some_and(|alias| {
            alias.additional.is_none() && alias.primary == Primary::Version(version(number))
        })
    }

    /// Whether a release was left as it is on purpose.
    #[must_use]
    pub fn is_left(&self, id: Id) -> bool {
        self.execution(id).stage == Stage::LeftHeld && self.status(id) == Some(Status::Held)
    }

    /// Whether a release is open, and its execution over.
    #[must_use]
    pub fn needs_a_sweep(&self, id: Id) -> bool {
        self.execution(id).stage.is_over()
            && self.status(id).is_some_and(Status::is_open)
            && !self.is_left(id)
    }

    /// Ends an execution: what it carried is of no use any more.
    pub fn end(&mut self, id: Id, stage: Stage) {
        let execution = self.execution_mut(id);
        execution.stage = stage;
        execution.carried = None;
        execution.retries = 0;
        self.world.over.push(id.execution());
        self.world.over.sort();
        self.world.over.dedup();
    }
}
