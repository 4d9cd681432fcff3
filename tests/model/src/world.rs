//! What the two releases share: aliases, the ledger, Step Functions' executions, and the functions that
//! are at work; and every write to them, by the conditions that the product writes with.

use std::hash::{Hash, Hasher};

use crossfade::domain::record::Status;

use crate::{
    Model,
    call::{Call, Step},
    guard::Guard,
};

/// The most functions that a release of this model has.
pub const MOST: usize = 2;

/// A published version.
pub type V = u8;

/// The version that serves before anything begins.
pub const FIRST: V = 1;

/// A version that somebody else brings in.
pub const STRANGERS: V = 9;

/// One of the two releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rel {
    /// The one that is begun first.
    A,
    /// The other one.
    B,
}

impl Rel {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The version that it releases.
    #[must_use]
    pub fn green(self) -> V {
        self as V + 2
    }
}

/// Where an alias sends traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Routed {
    /// There is no alias.
    Gone,
    /// All of it to one version.
    On(V),
    /// Green has a share, in percent.
    Split(V, V, u8),
}

/// What somebody knows of an alias's revision. A revision that is not the alias's own will never be it
/// again, so that is all there is to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// Nothing: it is read first.
    #[default]
    Unread,
    /// One that was the alias's.
    Stale,
    /// The one that is the alias's.
    Fresh,
}

/// A deployment's status in the ledger: the product's own type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub Status);

impl Hash for Word {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 as u8).hash(state);
    }
}

/// A deployment's row, with what the alarm's copy of it says: both are written in one transaction.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an attribute of the row"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Where it is.
    pub status: Word,
    /// Whether its versions are fixed: it has a footprint.
    pub launched: bool,
    /// Which try fixed them.
    pub attempt: u8,
    /// Each function's blue, once they are.
    pub blue: [Routed; MOST],
    /// The footprint's revisions.
    pub known: [Known; MOST],
    /// How many steps are on record.
    pub steps: u8,
    /// Whether a token ends its wait.
    pub token: bool,
    /// Whether its alarms are watched.
    pub watched: bool,
    /// Whether they are watched for a promoted release (`retainUntil`).
    pub kept: bool,
}

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
    /// In `RollbackDeployment`; by a failure, or by the decision.
    RollingBack {
        /// Whether something failed.
        failed: bool,
    },
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
            Self::Deploying | Self::Shifting | Self::Finalizing | Self::RollingBack { .. }
        )
    }
}

/// An execution, with what its state carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Execution {
    /// Where it is.
    pub stage: Stage,
    /// Each function's blue.
    pub blue: [Routed; MOST],
    /// The targets' revisions.
    pub known: [Known; MOST],
    /// How many steps have been taken.
    pub steps: u8,
    /// For the promises: green passed its validation.
    pub proved: bool,
    /// For the promises: green passed every gate.
    pub healthy: bool,
}

impl Execution {
    /// One that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stage: Stage::Before,
            blue: [Routed::Gone; MOST],
            known: [Known::Unread; MOST],
            steps: 0,
            proved: false,
            healthy: false,
        }
    }

    /// Ends it: what it carried is of no use to anybody.
    pub fn end(&mut self, stage: Stage) {
        *self = Self {
            stage,
            proved: self.proved,
            healthy: self.healthy,
            ..Self::new()
        };
    }
}

impl Default for Execution {
    fn default() -> Self {
        Self::new()
    }
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
    /// People who ask for a rollback.
    pub people: u8,
    /// Writes to an alias by somebody else.
    pub strangers: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The aliases.
    pub aliases: [Routed; MOST],
    /// For the promises: what stands there is somebody else's.
    pub strange: [bool; MOST],
    /// Who holds the locks. Two releases of one application want the application's lock at least, and
    /// all are taken in one transaction: one stands for all.
    pub lock: Option<Rel>,
    /// The deployments' rows.
    pub rows: [Option<Row>; 2],
    /// `PROMOTED#`: who was promoted last, on record.
    pub promoted: Option<Rel>,
    /// For the promises: who was.
    pub last: Option<Rel>,
    /// The executions.
    pub executions: [Execution; 2],
    /// The functions at work, in an order of no meaning.
    pub calls: Vec<Call>,
    /// What may still happen.
    pub left: Left,
    /// For the promises: those that are broken.
    pub broken: u8,
}

/// What became of taking the locks.
pub enum Began {
    /// They are the caller's.
    Taken,
    /// Another holds them.
    HeldBy(Rel),
    /// Its deployment has begun before.
    Before(Row),
}

/// A transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The deployment's row is not in a status that allows it.
    Row,
    /// Another holds the lock.
    Lock,
}

impl State {
    /// A deployment's row.
    #[must_use]
    pub fn row(&self, rel: Rel) -> Option<&Row> {
        self.rows[rel as usize].as_ref()
    }

    /// Its status.
    #[must_use]
    pub fn status(&self, rel: Rel) -> Option<Status> {
        self.row(rel).map(|row| row.status.0)
    }

    /// Its execution.
    #[must_use]
    pub fn execution(&self, rel: Rel) -> &Execution {
        &self.executions[rel as usize]
    }

    /// The same, to be changed.
    pub fn execution_mut(&mut self, rel: Rel) -> &mut Execution {
        &mut self.executions[rel as usize]
    }

    fn is(&self, rel: Rel, any_of: &[Status]) -> bool {
        self.status(rel).is_some_and(|now| any_of.contains(&now))
    }

    /// An alias is written: every revision that anybody knows of it is a former one.
    fn new_revision(&mut self, nth: usize) {
        let stale = |known: &mut Known| {
            if *known == Known::Fresh {
                *known = Known::Stale;
            }
        };
        for row in self.rows.iter_mut().flatten() {
            stale(&mut row.known[nth]);
        }
        for execution in &mut self.executions {
            stale(&mut execution.known[nth]);
        }
        for call in &mut self.calls {
            stale(&mut call.hands[nth].known);
        }
    }

    /// Writes an alias for a release, and keeps count of the promises.
    pub fn write(&mut self, model: &Model, nth: usize, by: Rel, blue: Routed, want: Routed) {
        let seen = self.aliases[nth];
        if seen != want {
            if !model.product.is_ours(by, blue, seen) {
                self.broken |= broken::SINGLE_WRITER;
            }
            if self.lock != Some(by) {
                self.broken |= broken::ONE_AT_A_TIME;
            }
            let green = by.green();
            let execution = *self.execution(by);
            let gives = matches!(want, Routed::On(v) | Routed::Split(_, v, _) if v == green);
            if gives && !execution.proved {
                self.broken |= broken::PROVEN;
            }
            if want == Routed::On(green) && blue != Routed::Gone && !execution.healthy {
                self.broken |= broken::GATES;
            }
            self.strange[nth] = false;
        }
        self.aliases[nth] = want;
        self.new_revision(nth);
    }

    /// Somebody else writes an alias.
    pub fn strangers_write(&mut self, nth: usize, to: Routed) {
        self.aliases[nth] = to;
        self.strange[nth] = true;
        self.new_revision(nth);
    }

    /// `Ledger::begin`.
    pub fn begin(&mut self, model: &Model, rel: Rel) -> Began {
        let free = self.lock.is_none_or(|holder| holder == rel) || model.lacks(Guard::Lock);
        match self.row(rel) {
            Some(row) if row.status.0 != Status::Preparing => return Began::Before(*row),
            _ => {}
        }
        if let (false, Some(holder)) = (free, self.lock) {
            return Began::HeldBy(holder);
        }
        self.lock = Some(rel);
        self.rows[rel as usize] = Some(Row {
            status: Word(Status::Preparing),
            launched: false,
            attempt: 0,
            blue: [Routed::Gone; MOST],
            known: [Known::Unread; MOST],
            steps: 0,
            token: false,
            watched: false,
            kept: false,
        });
        Began::Taken
    }

    /// `Ledger::launch`.
    pub fn launch(
        &mut self,
        model: &Model,
        rel: Rel,
        attempt: u8,
        blue: [Routed; MOST],
        known: [Known; MOST],
    ) -> bool {
        let later = self.row(rel).is_some_and(|row| row.attempt <= attempt);
        let again = later || model.lacks(Guard::Attempt);
        let may = self.is(rel, &[Status::Preparing]) || self.is(rel, &[Status::InFlight]) && again;
        if let (true, Some(row)) = (may, &mut self.rows[rel as usize]) {
            row.status = Word(Status::InFlight);
            row.launched = true;
            row.attempt = attempt;
            row.blue = blue;
            row.known = known;
            row.watched = true;
        }
        may
    }

    /// `Ledger::shifted`.
    pub fn shifted(&mut self, model: &Model, rel: Rel, steps: u8, known: [Known; MOST]) -> bool {
        let may = self.is(rel, &[Status::InFlight, Status::Held]) || model.lacks(Guard::Recorded);
        if let (true, Some(row)) = (may, &mut self.rows[rel as usize]) {
            row.status = Word(Status::InFlight);
            row.steps = steps;
            row.known = known;
            row.watched = true;
            row.token = false;
        }
        may
    }

    /// `Ledger::request_rollback`.
    pub fn request_rollback(&mut self, rel: Rel) -> Option<Row> {
        let may = self.is(
            rel,
            &[
                Status::Preparing,
                Status::InFlight,
                Status::Held,
                Status::RollingBack,
            ],
        );
        let row = self.rows[rel as usize].as_mut().filter(|_| may)?;
        row.status = Word(Status::RollingBack);
        Some(*row)
    }

    /// `Ledger::ask`.
    pub fn ask(&mut self, rel: Rel) -> bool {
        let may = self.is(rel, &[Status::InFlight, Status::Held]);
        if let (true, Some(row)) = (may, &mut self.rows[rel as usize]) {
            row.status = Word(Status::Held);
            row.token = true;
        }
        may
    }

    /// `Ledger::reopen`.
    pub fn reopen(&mut self, model: &Model, rel: Rel) -> Result<(), Refusal> {
        let may = self.is(rel, &[Status::Promoted, Status::RollingBack]);
        if !may || self.promoted != Some(rel) {
            return Err(Refusal::Row);
        }
        if self.lock.is_some_and(|holder| holder != rel) && !model.lacks(Guard::Reopen) {
            return Err(Refusal::Lock);
        }
        self.lock = Some(rel);
        if let Some(row) = &mut self.rows[rel as usize] {
            row.status = Word(Status::RollingBack);
        }
        Ok(())
    }

    /// `Ledger::end`.
    pub fn end(
        &mut self,
        model: &Model,
        rel: Rel,
        status: Status,
        known: [Known; MOST],
    ) -> Result<(), Refusal> {
        let promoted = status == Status::Promoted;
        if promoted && !model.lacks(Guard::Promotion) {
            if self.is(rel, &[Status::Promoted]) && !model.lacks(Guard::PromotedOnce) {
                // It has been done before.
                return Ok(());
            }
            let may = self.is(rel, &[Status::InFlight, Status::Held, Status::Promoted]);
            if !may {
                return Err(Refusal::Row);
            }
        }
        if self.lock.is_some_and(|holder| holder != rel) && !model.lacks(Guard::Unlock) {
            return Err(Refusal::Lock);
        }
        self.lock = None;
        if let Some(row) = &mut self.rows[rel as usize] {
            if promoted && row.status.0 != Status::Promoted {
                self.last = Some(rel);
            }
            row.status = Word(status);
            row.token = false;
            row.watched = promoted;
            row.kept = promoted;
            row.known = if promoted {
                known
            } else {
                [Known::Unread; MOST]
            };
        }
        if promoted {
            self.promoted = Some(rel);
        }
        Ok(())
    }

    /// `Leave::still`.
    #[must_use]
    pub fn has_leave(&self, rel: Rel) -> bool {
        self.is(rel, &[Status::InFlight, Status::Held, Status::Promoted])
    }

    /// `Ledger::latest`.
    #[must_use]
    pub fn latest(&self) -> Option<Rel> {
        self.lock.or(self.promoted)
    }

    /// Whether a function of this kind is at work for this deployment.
    #[must_use]
    pub fn is_at_work(&self, wanted: impl Fn(&Call) -> bool) -> bool {
        self.calls.iter().any(wanted)
    }

    /// Whether a write that nobody waits for is still to come, on a revision that is not the alias's any
    /// more.
    #[must_use]
    pub fn has_a_late_write(&self) -> bool {
        let late = |call: &Call| {
            let hands = call.hands.iter();
            !call.answers
                && hands
                    .into_iter()
                    .any(|hand| matches!(hand.step, Step::Write(_)) && hand.known == Known::Stale)
        };
        self.calls.iter().any(late)
    }
}
