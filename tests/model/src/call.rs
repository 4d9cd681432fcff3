//! The functions at work: each is a list of AWS calls, and between any two of them anything can happen.
//! What a function decides is decided at once with the call that it is decided on.

use crossfade::domain::record::Status;

use crate::{
    Model,
    guard::Guard,
    product::Decided,
    world::{Began, Known, MOST, Refusal, Rel, Routed, Row, Stage, State},
};

/// What a function was invoked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// The state `DeployGreen`. It may act on another deployment: the dead holder of its locks.
    Deploy(Rel),
    /// The state `ShiftTraffic`.
    Shift,
    /// The state `FinalizeDeployment`.
    Finalize,
    /// The state `RollbackDeployment`; by a failure, or by the decision.
    Rollback {
        /// Whether something failed.
        failed: bool,
    },
    /// An alarm that fired.
    Alarm,
    /// An execution's end, or the schedule.
    Janitor,
    /// A person who asks for a rollback: the execution of `{"action": "rollback"}`.
    Person,
}

/// The part of it that is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// `Ledger::begin`, and how the holder is where another holds the locks.
    Begin,
    /// `Traffic::observe`.
    Observe,
    /// `Ledger::launch`.
    Launch,
    /// `Aliases::move_all`: the hands move.
    Move,
    /// Its last question, after a hand has failed: `Leave::still`.
    Still,
    /// `rollback::explain`.
    Explain,
    /// `Ledger::shifted`, or `Ledger::end` of a promotion.
    Record,
    /// `Aliases::restore_at_once` of what was written without leave.
    Undo,
    /// `rollback::restore_at_once`: `Ledger::request_rollback`, and the hands at the same time.
    AtOnce,
    /// `Ledger::request_rollback`.
    Tell,
    /// `Aliases::restore`.
    Restore,
    /// `rollback::close`.
    Close,
    /// Ends the wait for a person.
    Token,
    /// Whether the execution has ended.
    Describe,
    /// `rollback::revert`, up to its decision.
    Revert,
    /// `Ledger::reopen`.
    Reopen,
}

/// What comes next for one function's alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Nothing yet.
    #[default]
    Rest,
    /// `GetAlias`.
    Read,
    /// The ledger is asked whether there is leave, after this was read.
    Leave(Routed),
    /// `UpdateAlias`, with the revision that is known.
    Write(Routed),
    /// `CreateAlias`.
    Create,
    /// `DeleteAlias`, which takes no revision.
    Delete,
    /// It is as wanted.
    Done,
    /// It is not.
    Failed(Fault),
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// AWS did not answer.
    Transient,
    /// Somebody else moved the traffic.
    Changed,
    /// The deployment was told to go back.
    RolledBack,
    /// Another deployment holds the locks.
    InProgress,
    /// The revision was a former one.
    Stale,
}

/// One function's alias, in a function's hands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hand {
    /// What comes next.
    pub step: Step,
    /// The revision that is known.
    pub known: Known,
}

impl Hand {
    fn is_busy(self) -> bool {
        match self.step {
            Step::Read | Step::Leave(_) | Step::Write(_) | Step::Create | Step::Delete => true,
            Step::Rest | Step::Done | Step::Failed(_) => false,
        }
    }
}

/// A function at work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The deployment that it acts on.
    pub rel: Rel,
    /// What for.
    pub job: Job,
    /// The part that is next.
    pub at: At,
    /// Whether an execution waits for its answer.
    pub answers: bool,
    /// The state's retries before this try.
    pub retries: u8,
    /// How many steps had been taken before.
    pub steps: u8,
    /// Each function's blue.
    pub blue: [Routed; MOST],
    /// The aliases.
    pub hands: [Hand; MOST],
    /// In [`At::AtOnce`]: what the ledger said, once it has.
    pub told: Option<bool>,
    /// A token that was found.
    pub token: bool,
    /// Whether blue is written over blue.
    pub insists: bool,
}

/// One of the calls to AWS that a function can make next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sub {
    /// The part's own.
    Main,
    /// That of a function's alias.
    Hand(usize),
}

/// What an execution is answered.
pub type Answer = Result<(), Fault>;

/// What a part leads to.
enum Then {
    /// Another part, or the same.
    On,
    /// The end.
    End(Answer),
}

impl Call {
    /// A function that is invoked.
    #[must_use]
    pub fn new(rel: Rel, job: Job, at: At) -> Self {
        Self {
            rel,
            job,
            at,
            answers: false,
            retries: 0,
            steps: 0,
            blue: [Routed::Gone; MOST],
            hands: [Hand::default(); MOST],
            told: None,
            token: false,
            insists: true,
        }
    }

    /// The function of the state that an execution has entered.
    ///
    /// # Panics
    /// For a state that invokes none.
    #[must_use]
    pub fn of_state(model: &Model, state: &State, rel: Rel, retries: u8) -> Self {
        let execution = state.execution(rel);
        let (job, at) = match execution.stage {
            Stage::Deploying => (Job::Deploy(rel), At::Begin),
            Stage::Shifting => (Job::Shift, At::Move),
            Stage::Finalizing => (Job::Finalize, At::Move),
            Stage::RollingBack { failed } => (Job::Rollback { failed }, At::Tell),
            other => panic!("{other:?} invokes no function"),
        };
        let mut call = Self {
            answers: true,
            retries,
            steps: execution.steps,
            blue: execution.blue,
            // What failed its validation was never shifted.
            insists: execution.proved || !matches!(job, Job::Rollback { .. }),
            ..Self::new(rel, job, at)
        };
        for nth in 0..model.functions {
            call.hands[nth].known = execution.known[nth];
        }
        if at == At::Move {
            for nth in 0..model.functions {
                let hand = &mut call.hands[nth];
                if retries > 0 {
                    // `Footprint::unread`.
                    hand.known = Known::Unread;
                }
                let want = call.want(model, nth);
                let hand = &mut call.hands[nth];
                hand.step = match hand.known {
                    Known::Unread => Step::Read,
                    Known::Stale | Known::Fresh => Step::Write(want),
                };
            }
        }
        call
    }

    /// The execution that waits, or waited, for it.
    #[must_use]
    pub fn of(&self) -> Rel {
        match self.job {
            Job::Deploy(by) => by,
            _ => self.rel,
        }
    }

    /// What a shift or a promotion wants.
    fn want(&self, model: &Model, nth: usize) -> Routed {
        match self.job {
            Job::Shift => model
                .product
                .after(self.rel, self.blue[nth], self.steps + 1),
            _ => Routed::On(self.rel.green()),
        }
    }

    /// `Aliases::restore_known`, of every function.
    pub(crate) fn at_once(&mut self, model: &Model) {
        for nth in 0..model.functions {
            let blue = self.blue[nth];
            let hand = &mut self.hands[nth];
            hand.step = match (hand.known, blue) {
                (Known::Unread, _) => Step::Failed(Fault::Stale),
                // `DeleteAlias` takes no revision: it is read first.
                (_, Routed::Gone) => Step::Read,
                (_, blue) => Step::Write(blue),
            };
        }
    }

    /// The calls to AWS that it can make next.
    pub fn subs(&self, model: &Model) -> Vec<Sub> {
        let mut subs = Vec::new();
        match self.at {
            At::Move | At::Undo | At::Restore => {}
            At::AtOnce if self.told.is_some() => {}
            _ => subs.push(Sub::Main),
        }
        let busy = (0..model.functions).filter(|nth| self.hands[*nth].is_busy());
        subs.extend(busy.map(Sub::Hand));
        subs
    }

    /// Makes one of them. `lost`: the answer does not come, and the SDK asks again.
    ///
    /// The call is not among the state's while it is at it.
    pub fn step(mut self, model: &Model, state: &mut State, sub: Sub, lost: bool) {
        let then = match sub {
            Sub::Main if lost => {
                // What it says does not matter: it is asked again.
                let _ = self.clone().main(model, state);
                Then::On
            }
            Sub::Main => self.main(model, state),
            Sub::Hand(nth) => {
                self.hand(model, state, nth, lost);
                Then::On
            }
        };
        let then = match then {
            Then::On if !lost => self.settle(model),
            other => other,
        };
        match then {
            Then::On => state.calls.push(self),
            Then::End(answer) => model.answered(state, &self, answer),
        }
    }

    /// Goes on to the next part where the hands are at rest.
    fn settle(&mut self, model: &Model) -> Then {
        loop {
            let hands = &self.hands[..model.functions];
            if hands.iter().any(|hand| hand.is_busy()) {
                return Then::On;
            }
            let done = hands.iter().all(|hand| hand.step == Step::Done);
            match self.at {
                At::Move => {
                    self.at = if done { At::Record } else { At::Still };
                    return Then::On;
                }
                At::Undo => return Then::End(Err(Fault::RolledBack)),
                At::AtOnce => match self.told {
                    None => return Then::On,
                    Some(true) => {
                        // Those that are done are left out.
                        self.at = At::Restore;
                        if !done {
                            self.begin_restore(model);
                        }
                    }
                    Some(false) if self.job == Job::Alarm => {
                        self.at = At::Revert;
                        self.rest();
                        return Then::On;
                    }
                    Some(false) => return Then::End(Ok(())),
                },
                At::Restore => {
                    self.rest();
                    self.at = match self.job {
                        // The execution finds the rest at its next state.
                        Job::Alarm if self.told.is_some() => At::Token,
                        Job::Person if !self.reopened() => At::Token,
                        _ => At::Close,
                    };
                    self.told = None;
                    if self.at == At::Token && !self.token {
                        if self.job == Job::Alarm {
                            return Then::End(Ok(()));
                        }
                        self.at = At::Describe;
                    }
                    return Then::On;
                }
                _ => return Then::On,
            }
        }
    }

    /// Forgets the aliases.
    fn rest(&mut self) {
        self.hands = [Hand::default(); MOST];
    }

    fn begin_restore(&mut self, model: &Model) {
        for hand in &mut self.hands[..model.functions] {
            if hand.step != Step::Done {
                *hand = Hand {
                    step: Step::Read,
                    known: Known::Unread,
                };
            }
        }
    }

    /// Whether it has opened a promoted deployment again.
    fn reopened(&self) -> bool {
        self.steps > 0
    }

    /// The ledger has said that the deployment is to go back: `put_back`.
    fn put_back(&mut self, model: &Model, row: &Row) -> Then {
        self.blue = row.blue;
        self.token = row.token;
        if !row.launched {
            // Where versions were never fixed, no traffic was moved.
            self.rest();
            self.at = At::Restore;
            return Then::On;
        }
        if self.job == (Job::Rollback { failed: false }) {
            // A moment ago traffic was as the state says.
            self.at = At::AtOnce;
            self.told = Some(true);
            self.at_once(model);
        } else {
            self.at = At::Restore;
            self.begin_restore(model);
        }
        Then::On
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one function owns the branches: a line or two each"
    )]
    fn main(&mut self, model: &Model, state: &mut State) -> Then {
        match self.at {
            At::Begin => return self.begin(model, state),
            At::Observe => {
                for nth in 0..model.functions {
                    if matches!(state.aliases[nth], Routed::Split(..)) {
                        return Then::End(Err(Fault::Changed));
                    }
                    self.blue[nth] = state.aliases[nth];
                    self.hands[nth].known = match state.aliases[nth] {
                        Routed::Gone => Known::Unread,
                        _ => Known::Fresh,
                    };
                }
                self.at = At::Launch;
            }
            At::Launch => {
                let known = self.hands.map(|hand| hand.known);
                let done = state.launch(model, self.rel, self.retries, self.blue, known);
                return Then::End(if done { Ok(()) } else { Err(Fault::RolledBack) });
            }
            At::Still => {
                let lost = !state.has_leave(self.rel);
                let failed = |fault| self.hands.iter().any(|h| h.step == Step::Failed(fault));
                if lost {
                    return self.undo(model);
                }
                if failed(Fault::Changed) {
                    if !self.answers {
                        return Then::End(Err(Fault::Changed));
                    }
                    self.rest();
                    self.at = At::Explain;
                    return Then::On;
                }
                return Then::End(Err(Fault::Transient));
            }
            At::Explain => {
                /// `PATIENCE` of `explain`.
                const PATIENCE: u8 = 2;
                let fault = match state.status(self.rel) {
                    Some(Status::InFlight | Status::Held) if self.retries < PATIENCE => {
                        Fault::Transient
                    }
                    Some(Status::InFlight | Status::Held) | None => Fault::Changed,
                    Some(_) => Fault::RolledBack,
                };
                return Then::End(Err(fault));
            }
            At::Record => {
                let known = self.hands.map(|hand| hand.known);
                let recorded = match self.job {
                    Job::Shift => {
                        let done = state.shifted(model, self.rel, self.steps + 1, known);
                        if done { Ok(()) } else { Err(Refusal::Row) }
                    }
                    _ => state.end(model, self.rel, Status::Promoted, known),
                };
                return match recorded {
                    Ok(()) => Then::End(Ok(())),
                    Err(Refusal::Lock) => Then::End(Err(Fault::InProgress)),
                    // Nothing of what was promoted is to be put back.
                    Err(Refusal::Row) if state.status(self.rel) == Some(Status::Promoted) => {
                        Then::End(Err(Fault::RolledBack))
                    }
                    Err(Refusal::Row) => self.undo(model),
                };
            }
            At::AtOnce => {
                let row = state.request_rollback(self.rel);
                self.told = Some(row.is_some());
                self.token = row.is_some_and(|row| row.token);
                if let Some(row) = row {
                    self.blue = row.blue;
                }
            }
            At::Tell => {
                return match state.request_rollback(self.rel) {
                    Some(row) => {
                        self.told = (self.job == Job::Alarm).then_some(true);
                        self.put_back(model, &row)
                    }
                    None => self.not_open(model, state),
                };
            }
            At::Close => return self.close(model, state),
            At::Token => {
                if self.token && state.execution(self.rel).stage == Stage::Waiting {
                    model.enter(state, self.rel, Stage::RollingBack { failed: true });
                }
                self.token = false;
                if self.job == Job::Alarm {
                    return Then::End(Ok(()));
                }
                self.at = At::Describe;
            }
            At::Describe => {
                if !state.execution(self.rel).stage.is_over() {
                    return Then::End(Ok(()));
                }
                self.at = At::Close;
            }
            At::Revert => {
                // `can_be_taken_back`; for how long blue is kept is not this model's.
                let may = state.status(self.rel) == Some(Status::Promoted)
                    && state.latest() == Some(self.rel);
                if !may {
                    return Then::End(Ok(()));
                }
                self.at = At::Reopen;
            }
            At::Reopen => {
                if state.reopen(model, self.rel).is_err() {
                    return Then::End(Ok(()));
                }
                self.steps = 1;
                if let Some(row) = state.row(self.rel) {
                    self.blue = row.blue;
                }
                self.at = At::Restore;
                self.told = None;
                self.begin_restore(model);
            }
            At::Move | At::Undo | At::Restore => {}
        }
        Then::On
    }

    /// The deployment is not open.
    fn not_open(&mut self, model: &Model, state: &State) -> Then {
        match self.job {
            // The answer that said so was lost.
            Job::Rollback { .. } if state.status(self.rel) == Some(Status::Promoted) => {
                self.at = At::Revert;
                Then::On
            }
            Job::Person | Job::Alarm => {
                self.at = At::Revert;
                Then::On
            }
            Job::Deploy(by) => self.try_again(model, by),
            _ => Then::End(Ok(())),
        }
    }

    /// A holder has been cleared away: the locks are tried again.
    fn try_again(&mut self, _model: &Model, by: Rel) -> Then {
        self.rel = by;
        self.rest();
        self.at = At::Begin;
        self.blue = [Routed::Gone; MOST];
        self.token = false;
        Then::On
    }

    fn begin(&mut self, model: &Model, state: &mut State) -> Then {
        match state.begin(model, self.rel) {
            Began::Taken => self.at = At::Observe,
            // Our own launch, whose answer was lost: no traffic has moved yet.
            Began::Before(row) if row.status.0 == Status::InFlight && row.steps == 0 => {
                self.at = At::Observe;
            }
            Began::Before(_) => return Then::End(Err(Fault::RolledBack)),
            Began::HeldBy(holder) => {
                let alive = !state.execution(holder).stage.is_over();
                if alive && !model.lacks(Guard::Alive) || state.is_left(model, holder) {
                    return Then::End(Err(Fault::InProgress));
                }
                if model.lacks(Guard::TakeOver) {
                    state.lock = None;
                    return Then::On;
                }
                self.rel = holder;
                self.at = At::Tell;
            }
        }
        Then::On
    }

    fn close(&mut self, model: &Model, state: &mut State) -> Then {
        let launched = state.row(self.rel).is_some_and(|row| row.launched);
        let status = if launched {
            Status::RolledBack
        } else {
            Status::Rejected
        };
        let closed = state.end(model, self.rel, status, [Known::Unread; MOST]);
        match (closed, self.job) {
            (Err(_), _) => Then::End(Err(Fault::InProgress)),
            (Ok(()), Job::Deploy(by)) => self.try_again(model, by),
            (Ok(()), _) => Then::End(Ok(())),
        }
    }

    /// Puts back what was written without leave.
    fn undo(&mut self, model: &Model) -> Then {
        self.at = At::Undo;
        for nth in 0..model.functions {
            let blue = self.blue[nth];
            let hand = &mut self.hands[nth];
            hand.step = match (hand.step, blue) {
                (Step::Done, Routed::Gone) => Step::Read,
                (Step::Done, blue) => Step::Write(blue),
                _ => Step::Rest,
            };
        }
        Then::On
    }

    fn hand(&mut self, model: &Model, state: &mut State, nth: usize, lost: bool) {
        let (rel, blue) = (self.rel, self.blue[nth]);
        let hand = self.hands[nth];
        let next = match hand.step {
            Step::Read => self.read(model, state, nth),
            Step::Leave(seen) => {
                if state.has_leave(rel) {
                    self.decide(model, nth, seen)
                } else {
                    Step::Failed(Fault::RolledBack)
                }
            }
            Step::Write(want) => {
                let applies = hand.known == Known::Fresh || model.lacks(Guard::Revision);
                if applies {
                    state.write(model, nth, rel, blue, want);
                    self.hands[nth].known = if lost { Known::Stale } else { Known::Fresh };
                    Step::Done
                } else {
                    match self.at {
                        At::AtOnce | At::Undo => Step::Failed(Fault::Stale),
                        _ => Step::Read,
                    }
                }
            }
            Step::Create => {
                if state.aliases[nth] == Routed::Gone {
                    state.write(model, nth, rel, blue, Routed::On(rel.green()));
                    self.hands[nth].known = Known::Fresh;
                    Step::Done
                } else {
                    Step::Read
                }
            }
            Step::Delete => {
                if state.aliases[nth] != Routed::Gone {
                    state.write(model, nth, rel, blue, Routed::Gone);
                }
                self.hands[nth].known = Known::Unread;
                Step::Done
            }
            other => other,
        };
        self.hands[nth].step = if lost { hand.step } else { next };
    }

    fn read(&mut self, model: &Model, state: &State, nth: usize) -> Step {
        let seen = state.aliases[nth];
        match self.at {
            // Only a first release reads here.
            At::AtOnce | At::Undo => match (seen, self.hands[nth].known) {
                (Routed::Gone, _) => Step::Done,
                (_, Known::Fresh) => Step::Delete,
                _ => Step::Failed(Fault::Stale),
            },
            At::Move => {
                self.hands[nth].known = Known::Fresh;
                if model.lacks(Guard::Leave) {
                    self.decide(model, nth, seen)
                } else {
                    Step::Leave(seen)
                }
            }
            _ => {
                self.hands[nth].known = Known::Fresh;
                self.decide(model, nth, seen)
            }
        }
    }

    /// What is written over what was read.
    fn decide(&mut self, model: &Model, nth: usize, seen: Routed) -> Step {
        let (rel, blue) = (self.rel, self.blue[nth]);
        let forth = self.at == At::Move;
        let want = if forth { self.want(model, nth) } else { blue };
        if !forth && blue == Routed::Gone {
            return match seen {
                Routed::Gone => Step::Done,
                _ if model.product.is_ours(rel, blue, seen) => Step::Delete,
                _ => Step::Failed(Fault::Changed),
            };
        }
        if seen == Routed::Gone {
            return match (self.job, blue) {
                (Job::Shift, Routed::Gone) => Step::Create,
                _ => Step::Failed(Fault::Changed),
            };
        }
        let decided = if forth {
            let from = match self.job {
                Job::Shift => self.steps,
                _ => model.product.steps(),
            };
            model.product.forth(rel, blue, seen, want, from)
        } else {
            model.product.back(rel, blue, seen)
        };
        match decided {
            Decided::Nothing if !forth && self.insists && !model.lacks(Guard::Fence) => {
                Step::Write(want)
            }
            Decided::Nothing => Step::Done,
            Decided::Write(routed) => Step::Write(routed),
            Decided::Conflict if model.lacks(Guard::Ours) => Step::Write(want),
            Decided::Conflict => Step::Failed(Fault::Changed),
        }
    }
}
