//! The protocol of two releases of one application, in every order of their writes.
//!
//! A state is what the two share: the aliases with who knows which revision, the ledger's rows, the
//! executions, and the functions that are at work. A step is one call to AWS. Between any two, anything
//! can happen: an execution is stopped, a function is killed, or is given up by Step Functions and works
//! on, an answer is lost and the SDK asks again, an alarm fires, a person asks for a rollback, somebody
//! else writes an alias, and the schedule looks after what died. Nothing is ever too late: a function
//! may make its next call after everything else has ended.
//!
//! What is decided is decided by the product: [`product`] calls it. What the ledger's transactions ask is
//! mirrored in [`world`], and a test compares the conditions with the product's text.
//!
//! What is left out, and why it may be: smoke tests, hooks, metrics and bakes read and write nothing that
//! is shared, so they are one step that goes either way. The locks of one application are one lock, for
//! they are taken in one transaction. A revision is the alias's own or a former one. A function that gives
//! up after five turns (`TURNS`) is one that is killed there.

pub mod call;
pub mod guard;
pub mod product;
pub mod suite;
pub mod world;

#[cfg(test)]
mod tests;

use crossfade::domain::{analysis::verdict::Verdict, decision::Decision, record::Status};
use stateright::{Checker, HasDiscoveries, Model as _, Property};

use crate::{
    call::{Answer, At, Call, Fault, Job, Sub},
    guard::Guard,
    product::Product,
    world::{
        Execution, FIRST, Known, Left, MOST, Rel, Routed, Row, STRANGERS, Stage, State, broken,
    },
};

/// The most tries of a state that is not the rollback's. The product's are seven: a try that ends without
/// an answer is one of the [`Left::faults`], of which there are fewer.
const TRIES: u8 = 4;

/// What is checked.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing that may be there or not"
)]
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many functions a release has.
    pub functions: usize,
    /// The weights of its steps.
    pub weights: &'static [u8],
    /// Whether a person is asked before the last step.
    pub asks: bool,
    /// Whether a hold that nobody ends leaves the traffic as it is.
    pub leaves: bool,
    /// Whether there is an alias before.
    pub first: bool,
    /// Whether functions work on that nobody waits for any more.
    pub late: bool,
    /// Whether there is a second release.
    pub both: bool,
    /// What may happen.
    pub left: Left,
    /// What is taken away.
    pub without: Option<Guard>,
}

/// The protocol, by its settings.
#[derive(Debug)]
pub struct Model {
    /// The product's decisions.
    pub product: Product,
    /// How many functions there are.
    pub functions: usize,
    settings: Settings,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An execution is started.
    Start(Rel),
    /// A function makes a call to AWS.
    Call(usize, Sub),
    /// Validation passes, or does not.
    Prove(Rel, bool),
    /// A look finds green healthy, or not.
    Judge(Rel, bool),
    /// A person is asked.
    Ask(Rel),
    /// A person answers: go on, or back.
    Reply(Rel, bool),
    /// Nobody answers, and the traffic is left as it is.
    Leave(Rel),
    /// The event of an execution's end comes, or the schedule.
    Janitor(Rel),
    /// An alarm fires.
    Alarm(Rel),
    /// A person asks for a rollback.
    Person,
    /// Somebody else writes an alias.
    Stranger(usize, Routed),
    /// An execution is stopped; its function works on.
    Stop(Rel),
    /// A function is killed, or ends with an error.
    Kill(usize),
    /// Step Functions does not get a function's answer, which works on.
    GiveUp(usize),
    /// A call takes effect, its answer is lost, and it is made again.
    Lose(usize, Sub),
}

/// What a check has found.
#[derive(Debug)]
pub struct Found {
    /// How many states there are.
    pub states: usize,
    /// The most steps from the beginning to one of them.
    pub depth: usize,
    /// The promises that are broken, each with the steps that lead to it.
    pub violations: Vec<(&'static str, Vec<String>)>,
    /// What never happens, though it should.
    pub never: Vec<&'static str>,
}

impl Model {
    /// A model.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            product: Product::new(settings.weights, settings.asks),
            functions: settings.functions,
            settings,
        }
    }

    /// Looks at all states, or until a promise is broken.
    #[must_use]
    pub fn check(self) -> Found {
        let stops = self.settings.without.is_some();
        let threads = if std::env::var_os("SHORTEST").is_some() {
            1
        } else {
            2
        };
        let checker = self.checker().threads(threads);
        let checker = if stops {
            checker.finish_when(HasDiscoveries::AnyFailures)
        } else {
            checker
        };
        let done = checker.spawn_bfs().join();
        let mut discoveries = done.discoveries();
        let (mut violations, mut never) = (Vec::new(), Vec::new());
        for property in done.model().properties() {
            let path = discoveries.remove(property.name);
            match (property.expectation, path) {
                (stateright::Expectation::Sometimes, None) => never.push(property.name),
                (stateright::Expectation::Sometimes, Some(_)) | (_, None) => {}
                (_, Some(path)) => {
                    let way = path.into_vec().into_iter();
                    let told = way.filter_map(|(state, action)| Some(state.told(action?)));
                    violations.push((property.name, told.collect()));
                }
            }
        }
        Found {
            states: done.unique_state_count(),
            depth: done.max_depth(),
            violations,
            never,
        }
    }

    /// Whether a guard is taken away.
    #[must_use]
    pub fn lacks(&self, guard: Guard) -> bool {
        self.settings.without == Some(guard)
    }

    /// An execution enters a state.
    pub fn enter(&self, state: &mut State, rel: Rel, stage: Stage) {
        state.execution_mut(rel).stage = stage;
        if stage.awaits_a_function() {
            let call = Call::of_state(self, state, rel, 0);
            state.calls.push(call);
        }
    }

    /// An execution is answered by its function, if it still waits for it.
    pub fn answered(&self, state: &mut State, call: &Call, answer: Answer) {
        if !call.answers {
            return;
        }
        let rel = call.of();
        let stage = state.execution(rel).stage;
        let back = Stage::RollingBack { failed: true };
        match (stage, answer) {
            (Stage::RollingBack { .. }, Ok(())) => state.execution_mut(rel).end(Stage::Failed),
            // It is tried again for as long as it takes.
            (Stage::RollingBack { .. }, Err(_)) => {
                state.calls.push(Call::of_state(self, state, rel, 1));
            }
            (_, Err(Fault::Transient)) if call.retries + 1 < TRIES => {
                let again = Call::of_state(self, state, rel, call.retries + 1);
                state.calls.push(again);
            }
            (_, Err(_)) => self.enter(state, rel, back),
            (Stage::Deploying, Ok(())) => {
                let execution = state.execution_mut(rel);
                execution.blue = call.blue;
                execution.known = call.hands.map(|hand| hand.known);
                execution.stage = Stage::Proving;
            }
            (Stage::Shifting, Ok(())) => {
                let execution = state.execution_mut(rel);
                execution.known = call.hands.map(|hand| hand.known);
                execution.steps += 1;
                execution.stage = Stage::Judging;
            }
            (_, Ok(())) => state.execution_mut(rel).end(Stage::Succeeded),
        }
    }

    /// What its own course has an execution do next, where it waits for no function.
    fn course(&self, state: &State, rel: Rel, actions: &mut Vec<Action>) {
        match state.execution(rel).stage {
            Stage::Before => {
                let first = rel == Rel::A;
                let begun = state.execution(Rel::A).stage != Stage::Before;
                if first || begun && self.settings.both {
                    actions.push(Action::Start(rel));
                }
            }
            Stage::Proving => {
                actions.push(Action::Prove(rel, true));
                actions.push(Action::Prove(rel, false));
            }
            Stage::Judging => {
                actions.push(Action::Judge(rel, true));
                actions.push(Action::Judge(rel, false));
            }
            Stage::Asking => actions.push(Action::Ask(rel)),
            Stage::Waiting => {
                actions.push(Action::Reply(rel, true));
                actions.push(Action::Reply(rel, false));
                if self.settings.leaves {
                    actions.push(Action::Leave(rel));
                }
            }
            _ => {}
        }
        let janitor = |call: &Call| call.job == Job::Janitor && call.rel == rel;
        if state.needs_a_janitor(self, rel) && !state.is_at_work(janitor) {
            actions.push(Action::Janitor(rel));
        }
    }

    /// What comes from outside, or goes wrong.
    fn trouble(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        for rel in Rel::BOTH {
            if left.alarms > 0 && state.row(rel).is_some_and(|row| row.watched) {
                actions.push(Action::Alarm(rel));
            }
        }
        if left.people > 0 && state.latest().is_some() {
            actions.push(Action::Person);
        }
        if left.strangers > 0 {
            for nth in 0..self.functions {
                actions.push(Action::Stranger(nth, Routed::On(STRANGERS)));
                actions.push(Action::Stranger(nth, Routed::Split(FIRST, STRANGERS, 50)));
            }
        }
        if left.faults == 0 {
            return;
        }
        for rel in Rel::BOTH {
            if state.execution(rel).stage.runs() {
                actions.push(Action::Stop(rel));
            }
        }
        for (nth, call) in state.calls.iter().enumerate() {
            actions.push(Action::Kill(nth));
            if call.answers && self.settings.late {
                actions.push(Action::GiveUp(nth));
            }
            for sub in call.subs(self) {
                if call.has_effect(sub) {
                    actions.push(Action::Lose(nth, sub));
                }
            }
        }
    }

    fn judge(&self, state: &mut State, rel: Rel, healthy: bool) {
        if state.status(rel) != Some(Status::InFlight) {
            // `still_in_flight` of check-alarms.
            return self.enter(state, rel, Stage::RollingBack { failed: true });
        }
        let verdict = if healthy {
            Verdict::Healthy
        } else {
            Verdict::Unhealthy
        };
        let steps = state.execution(rel).steps;
        let stage = match self.product.decision(steps, verdict) {
            Decision::Shift => Stage::Shifting,
            Decision::Ask => Stage::Asking,
            Decision::Promote => {
                state.execution_mut(rel).healthy = true;
                Stage::Finalizing
            }
            Decision::RollBack => Stage::RollingBack { failed: false },
            other => unreachable!("{other:?} is not what follows a whole bake"),
        };
        self.enter(state, rel, stage);
    }

    fn happens(&self, state: &mut State, action: Action) {
        match action {
            Action::Start(rel) => self.enter(state, rel, Stage::Deploying),
            Action::Call(nth, sub) => {
                let call = state.calls.remove(nth);
                call.step(self, state, sub, false);
            }
            Action::Prove(rel, passed) => {
                state.execution_mut(rel).proved = passed;
                let back = Stage::RollingBack { failed: true };
                let on = passed || self.lacks(Guard::Validate);
                self.enter(state, rel, if on { Stage::Shifting } else { back });
            }
            Action::Judge(rel, healthy) => self.judge(state, rel, healthy),
            Action::Ask(rel) => {
                if state.ask(rel) {
                    state.execution_mut(rel).stage = Stage::Waiting;
                } else {
                    self.enter(state, rel, Stage::RollingBack { failed: true });
                }
            }
            Action::Reply(rel, on) => {
                let back = Stage::RollingBack { failed: false };
                self.enter(state, rel, if on { Stage::Shifting } else { back });
            }
            Action::Leave(rel) => state.execution_mut(rel).end(Stage::LeftHeld),
            Action::Janitor(rel) => state.calls.push(Call::new(rel, Job::Janitor, At::Tell)),
            Action::Alarm(rel) => {
                state.left.alarms -= 1;
                if let Some(row) = state.row(rel).copied() {
                    state.calls.push(Call::of_alarm(self, rel, &row));
                }
            }
            Action::Person => {
                state.left.people -= 1;
                if let Some(rel) = state.latest() {
                    state.calls.push(Call::new(rel, Job::Person, At::Tell));
                }
            }
            Action::Stranger(nth, to) => {
                state.left.strangers -= 1;
                state.strangers_write(nth, to);
            }
            Action::Stop(rel) => {
                state.left.faults -= 1;
                let its = |call: &Call| call.answers && call.of() == rel;
                if !self.settings.late {
                    state.calls.retain(|call| !its(call));
                }
                for call in &mut state.calls {
                    call.answers &= !its(call);
                }
                state.execution_mut(rel).end(Stage::Stopped);
            }
            Action::Kill(nth) => {
                state.left.faults -= 1;
                let call = state.calls.remove(nth);
                self.answered(state, &call, Err(Fault::Transient));
            }
            Action::GiveUp(nth) => {
                state.left.faults -= 1;
                let call = state.calls[nth].clone();
                state.calls[nth].answers = false;
                self.answered(state, &call, Err(Fault::Transient));
            }
            Action::Lose(nth, sub) => {
                state.left.faults -= 1;
                let call = state.calls.remove(nth);
                call.step(self, state, sub, true);
            }
        }
    }
}

impl State {
    /// Whether an execution has left its traffic held, as it was asked to.
    #[must_use]
    pub fn is_left(&self, model: &Model, rel: Rel) -> bool {
        model.settings.leaves
            && self.execution(rel).stage == Stage::LeftHeld
            && self.status(rel) == Some(Status::Held)
    }

    /// Whether the schedule finds a deployment that is open though its execution has ended.
    #[must_use]
    pub fn needs_a_janitor(&self, model: &Model, rel: Rel) -> bool {
        !model.lacks(Guard::Janitor)
            && self.status(rel).is_some_and(Status::is_open)
            && self.execution(rel).stage.is_over()
            && !self.is_left(model, rel)
    }

    /// Whether nothing is to happen by itself any more.
    fn is_quiet(&self, model: &Model) -> bool {
        self.calls.is_empty()
            && Rel::BOTH
                .iter()
                .all(|rel| !self.execution(*rel).stage.runs() && !self.needs_a_janitor(model, *rel))
    }

    /// What happens next, in words.
    #[must_use]
    pub fn told(&self, action: Action) -> String {
        let whose = |nth: usize| {
            let call = &self.calls[nth];
            let late = if call.answers { "" } else { " (nobody waits)" };
            format!("{:?} of {:?}{late}", call.job, call.rel)
        };
        let does = |nth: usize, sub| match sub {
            Sub::Main => format!("{}: {:?}", whose(nth), self.calls[nth].at),
            Sub::Hand(alias) => {
                let (at, hand) = (self.calls[nth].at, self.calls[nth].hands[alias]);
                let seen = self.aliases[alias];
                format!(
                    "{}: {at:?}, alias {alias} at {seen:?}: {:?} knowing {:?}",
                    whose(nth),
                    hand.step,
                    hand.known
                )
            }
        };
        match action {
            Action::Call(nth, sub) => does(nth, sub),
            Action::Lose(nth, sub) => format!("{}, and the answer is lost", does(nth, sub)),
            Action::Kill(nth) => format!("{}: killed", whose(nth)),
            Action::GiveUp(nth) => format!("{}: given up, and works on", whose(nth)),
            other => format!("{other:?}"),
        }
    }

    fn is_unlocked(&self, model: &Model) -> bool {
        let left = |rel: &Rel| self.is_left(model, *rel);
        let open = |rel: &Rel| self.status(*rel).is_some_and(Status::is_open) && !left(rel);
        !Rel::BOTH.iter().any(open) && self.lock.is_none_or(|holder| left(&holder))
    }

    /// Whether all traffic that is not somebody else's is on one version: that of the last release
    /// which was promoted and not taken back, or what served before.
    fn is_whole(&self, model: &Model) -> bool {
        let left = |rel: &Rel| self.is_left(model, *rel);
        if Rel::BOTH.iter().any(left) {
            return true;
        }
        let may = |v: u8| {
            let released = Rel::BOTH.into_iter().find(|rel| rel.green() == v);
            released.is_none_or(|rel| {
                self.status(rel) == Some(Status::Promoted) && self.execution(rel).healthy
            })
        };
        let whole = |routed: Routed| match routed {
            Routed::On(v) => may(v),
            Routed::Gone => model.settings.first,
            Routed::Split(..) => false,
        };
        let ours = (0..model.functions).filter(|nth| !self.strange[*nth]);
        let mut ours = ours.map(|nth| self.aliases[nth]);
        let Some(one) = ours.next() else { return true };
        let strange = self.strange.iter().any(|strange| *strange);
        whole(one) && ours.all(|other| whole(other) && (other == one || strange))
    }

    /// Whether what was promoted last, and was not taken back, serves.
    fn is_kept(&self, model: &Model) -> bool {
        let Some(last) = self.last else { return true };
        if self.status(last) != Some(Status::Promoted) {
            return true;
        }
        let serves = |nth: usize| {
            // What somebody else put there may be what the next release began on.
            let theirs = self.strange[nth] || self.aliases[nth] == Routed::On(STRANGERS);
            theirs || self.aliases[nth] == Routed::On(last.green())
        };
        (0..model.functions).all(serves)
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let alias = if self.settings.first {
            Routed::Gone
        } else {
            Routed::On(FIRST)
        };
        let mut aliases = [Routed::Gone; MOST];
        aliases[..self.functions].fill(alias);
        vec![State {
            aliases,
            strange: [false; MOST],
            lock: None,
            rows: [None; 2],
            promoted: None,
            last: None,
            executions: [Execution::new(); 2],
            calls: Vec::new(),
            left: self.settings.left,
            broken: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (nth, call) in state.calls.iter().enumerate() {
            let subs = call.subs(self).into_iter();
            actions.extend(subs.map(|sub| Action::Call(nth, sub)));
        }
        for rel in Rel::BOTH {
            self.course(state, rel, actions);
        }
        self.trouble(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.happens(&mut state, action);
        state.calls.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("single writer", |_, s: &State| {
                s.broken & broken::SINGLE_WRITER == 0
            }),
            Property::always("one at a time", |_, s: &State| {
                let holds = |rel: &Rel| {
                    let open = s.status(*rel).is_some_and(Status::is_open);
                    !open || s.lock == Some(*rel)
                };
                // Nobody closes a release that goes on.
                let goes_on = |rel: &Rel| {
                    let stage = s.execution(*rel).stage;
                    let on = matches!(stage, Stage::Proving | Stage::Shifting | Stage::Judging);
                    !on || s.status(*rel).is_some_and(Status::is_open)
                };
                s.broken & broken::ONE_AT_A_TIME == 0
                    && Rel::BOTH.iter().all(holds)
                    && Rel::BOTH.iter().all(goes_on)
            }),
            Property::always("proven", |_, s: &State| {
                s.broken & (broken::PROVEN | broken::GATES) == 0
            }),
            Property::always("whole", |m: &Self, s: &State| {
                !s.is_quiet(m) || s.is_whole(m)
            }),
            Property::always("kept", |m: &Self, s: &State| !s.is_quiet(m) || s.is_kept(m)),
            Property::always("eventually unlocked", |m: &Self, s: &State| {
                !s.is_quiet(m) || s.is_unlocked(m)
            }),
            Property::always("the last is on record", |_, s: &State| s.promoted == s.last),
            Property::always("nobody waits for nothing", |_, s: &State| {
                Rel::BOTH.into_iter().all(|rel| {
                    let awaits = s.execution(rel).stage.awaits_a_function();
                    let at_work = |call: &Call| call.answers && call.of() == rel;
                    awaits == s.is_at_work(at_work)
                })
            }),
        ];
        if self.settings.both {
            all.extend([
                Property::sometimes("both are promoted", |_, s: &State| {
                    Rel::BOTH
                        .into_iter()
                        .all(|rel| s.status(rel) == Some(Status::Promoted))
                }),
                Property::sometimes("the second is rolled back", |_, s: &State| {
                    s.status(Rel::B) == Some(Status::RolledBack)
                }),
            ]);
        }
        if self.settings.both && self.settings.left.faults > 0 {
            all.extend([
                Property::sometimes("a dead holder's locks are taken over", |_, s: &State| {
                    s.is_at_work(|call| call.job == Job::Deploy(Rel::B) && call.rel == Rel::A)
                }),
                Property::sometimes("a late write is still to come", |_, s: &State| {
                    s.has_a_late_write() && s.lock == Some(Rel::B)
                }),
            ]);
        }
        all
    }
}

impl Call {
    /// The rollback checker, with the alarm's copy of the footprint.
    #[must_use]
    pub fn of_alarm(model: &Model, rel: Rel, row: &Row) -> Self {
        let makes_an_alias = row.blue[..model.functions].contains(&Routed::Gone);
        let at = match (row.kept, makes_an_alias) {
            (true, _) => At::Revert,
            (false, true) => At::Tell,
            (false, false) => At::AtOnce,
        };
        let mut call = Self::new(rel, Job::Alarm, at);
        if at == At::AtOnce {
            call.blue = row.blue;
            for (hand, known) in call.hands.iter_mut().zip(row.known) {
                hand.known = known;
            }
            call.at_once(model);
        }
        call
    }

    /// Whether a call to AWS writes.
    #[must_use]
    pub fn has_effect(&self, sub: Sub) -> bool {
        match sub {
            Sub::Main => matches!(
                self.at,
                At::Begin
                    | At::Launch
                    | At::Record
                    | At::AtOnce
                    | At::Tell
                    | At::Close
                    | At::Reopen
            ),
            Sub::Hand(nth) => {
                let hand = self.hands[nth];
                match hand.step {
                    call::Step::Write(_) => hand.known == Known::Fresh,
                    call::Step::Create | call::Step::Delete => true,
                    _ => false,
                }
            }
        }
    }
}
