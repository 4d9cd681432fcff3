//! An execution with its functions, and what goes wrong.

use std::{collections::BTreeSet, fmt};

use crossfade::{
    domain::{record::Status, routing::alias::Primary},
    fake::{
        Actor, Call, Failure, Reply, Rules, Transaction, World,
        jobs::{Carried, Cause, Id, Job, Outcome, Setting, release, version},
    },
    ports::{Item, Key, RowWrite, Value},
};

use crate::splitters::{self, STRANGER, Splitter};

/// The release.
const ID: Id = Id(0);

/// How often a state is tried again.
const RETRIES: u32 = 6;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not applied, and there is no answer.
    LostBefore,
    /// It is applied, and the answer is lost.
    LostAfter,
    /// It is applied, the answer is lost, and the SDK makes it again.
    Repeated,
    /// It is throttled, or another transaction is in the way.
    Throttled,
    /// It is denied.
    Denied,
    /// The function is killed before it.
    KilledBefore,
    /// The function is killed after it.
    KilledAfter,
    /// Step Functions gives the function up, which works on, and tries again.
    GivenUp,
    /// Somebody else writes the alias just before.
    Stranger,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::LostBefore,
        Self::LostAfter,
        Self::Repeated,
        Self::Throttled,
        Self::Denied,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::GivenUp,
        Self::Stranger,
    ];
}

/// What comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An alarm fires.
    Alarm,
    /// An operator requests a rollback.
    Operator,
    /// The execution is stopped; its function works on.
    Stop,
}

/// A case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Which call of all meets which fault.
    pub(crate) faults: Vec<(usize, Fault)>,
    /// After how many calls what comes from outside.
    pub(crate) event: Option<(usize, Event)>,
    /// In which order what is at work at the same time makes its calls.
    pub(crate) seed: u64,
}

/// Whether the condition of a write is heeded.
type Heeds = fn(&RowWrite, Option<&Item>) -> bool;

/// The conditions without which a promise of one release is broken.
pub(crate) const CONDITIONS: &[(&str, Heeds)] = &[
    ("shifted: in flight", |write, _| {
        !(is_of(write, "#status IN (:inFlight, :held)") && write.values.contains_key(":steps"))
    }),
    ("promoted: in flight", |write, _| {
        !(is_of(write, "#status IN (:inFlight, :held)") && write.values.contains_key(":retain"))
    }),
];

fn is_of(write: &RowWrite, condition: &str) -> bool {
    write.condition.as_deref() == Some(condition)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Deploying,
    Staging,
    Shifting,
    Finalizing,
    RollingBack(Cause),
    Over,
}

struct Running {
    job: Job,
    actor: Actor<'static, Outcome>,
    /// Whether the execution waits for it.
    awaited: bool,
    tries: u32,
}

/// One release, until nothing is to happen any more.
pub(crate) struct Machine<'a> {
    setting: &'a Setting,
    plan: &'a Plan,
    rules: Rules<'a>,
    /// What there is now.
    pub(crate) world: World,
    random: u64,
    stage: Stage,
    carried: Option<Carried>,
    retries: u32,
    sweeps: u32,
    running: Vec<Running>,
    /// Whether somebody else wrote after the release had read the alias.
    strange: bool,
    /// How many calls were made.
    pub(crate) made: usize,
    /// What was done.
    pub(crate) trace: Vec<Line>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(splitter: &'a Splitter, plan: &'a Plan, rules: Rules<'a>) -> Self {
        let mut machine = Self {
            setting: &splitter.setting,
            plan,
            rules,
            world: splitter.world.clone(),
            random: plan.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1,
            stage: Stage::Deploying,
            carried: None,
            retries: 0,
            sweeps: 0,
            running: Vec::new(),
            strange: false,
            made: 0,
            trace: Vec::new(),
        };
        machine.enter(Stage::Deploying);
        machine
    }

    fn draw(&mut self, below: usize) -> usize {
        // xorshift64: any order will do, as long as it is the same again.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % (below as u64)).expect("it is small")
    }

    pub(crate) fn run(&mut self) {
        let mut fired = false;
        loop {
            assert!(self.made < 2000, "it comes to an end: {:#?}", self.trace);
            if let Some((at, event)) = self.plan.event
                && !fired
                && self.made >= at
            {
                fired = true;
                self.fire(event);
            }
            let mut pending = Vec::new();
            for (nth, running) in self.running.iter().enumerate() {
                let calls = running.actor.pending();
                pending.extend(calls.into_iter().map(|(call, what)| (nth, call, what)));
            }
            if pending.is_empty() {
                if !self.sweep() {
                    return;
                }
                continue;
            }
            let chosen = self.draw(pending.len());
            let (nth, call, what) = pending.swap_remove(chosen);
            self.deliver(nth, call, &what);
            self.settle();
        }
    }

    fn fire(&mut self, event: Event) {
        self.trace.push(Line::Event(event));
        match event {
            Event::Alarm => self.start(Job::Alarm(ID), false, 0),
            Event::Operator => self.start(Job::Operator, false, 0),
            Event::Stop => {
                for running in &mut self.running {
                    running.awaited = false;
                }
                self.over();
            }
        }
    }

    fn over(&mut self) {
        self.stage = Stage::Over;
        self.world.over.push(ID.execution());
    }

    /// Looks after a release whose execution is over, where it is still open.
    fn sweep(&mut self) -> bool {
        let is_open = self.status().is_some_and(Status::is_open);
        if self.stage != Stage::Over || !is_open || self.sweeps > RETRIES {
            return false;
        }
        self.sweeps += 1;
        self.start(Job::Sweep(ID), false, 0);
        true
    }

    fn start(&mut self, job: Job, awaited: bool, tries: u32) {
        let actor = job.start(self.setting);
        self.running.push(Running {
            job,
            actor,
            awaited,
            tries,
        });
        self.settle();
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.retries = 0;
        self.invoke();
    }

    fn invoke(&mut self) {
        let carried = || self.carried.clone().expect("it is deployed");
        let job = match self.stage {
            Stage::Deploying => Job::Deploy(ID, self.retries),
            Stage::Staging => Job::Stage(ID, carried()),
            Stage::Shifting => Job::Shift(ID, carried(), self.retries),
            Stage::Finalizing => Job::Finalize(ID, carried(), self.retries),
            Stage::RollingBack(cause) => Job::Rollback(ID, self.carried.clone(), cause),
            Stage::Over => return,
        };
        self.start(job, true, 0);
    }

    fn deliver(&mut self, nth: usize, call: usize, what: &Call) {
        let at = self.made;
        self.made += 1;
        let faults = self.plan.faults.iter();
        let fault = faults
            .copied()
            .find_map(|(nth, fault)| (nth == at).then_some(fault));
        let job = name_of(&self.running[nth].job);
        self.trace.push(Line::Call(at, job, fault, what.clone()));
        let lost = Reply::Failed(Failure::Lost);
        let reply = match fault {
            None => self.apply(nth, what),
            Some(Fault::LostBefore) => lost,
            Some(Fault::LostAfter) => {
                self.apply(nth, what);
                lost
            }
            Some(Fault::Repeated) => {
                self.apply(nth, what);
                self.apply(nth, what)
            }
            Some(Fault::Throttled) => match what {
                Call::Transact(_) => Reply::Transacted(Transaction::Contended),
                _ => Reply::Failed(Failure::Throttled),
            },
            Some(Fault::Denied) => Reply::Failed(Failure::Denied),
            Some(Fault::KilledBefore) => return self.kill(nth),
            Some(Fault::KilledAfter) => {
                self.apply(nth, what);
                return self.kill(nth);
            }
            Some(Fault::GivenUp) => {
                if self.running[nth].awaited {
                    self.running[nth].awaited = false;
                    self.failed("States.Timeout");
                }
                self.apply(nth, what)
            }
            Some(Fault::Stranger) => {
                self.strangers_write();
                self.apply(nth, what)
            }
        };
        // A shift that was given up may have been replaced in the list, but never moves in it.
        self.running[nth].actor.answer(call, reply);
    }

    fn apply(&mut self, _nth: usize, call: &Call) -> Reply {
        self.world.apply(call, &self.rules)
    }

    fn strangers_write(&mut self) {
        let key = ("f".parse().unwrap(), "live".parse().unwrap());
        if self.world.aliases.contains_key(&key) {
            let primary = Primary::Version(version(STRANGER));
            self.world.write_alias(&key.0, &key.1, primary, None);
            self.strange = true;
        }
    }

    fn kill(&mut self, nth: usize) {
        let killed = self.running.remove(nth);
        if killed.awaited {
            self.failed("Lambda.Unknown");
        } else if !Self::is_late(&killed.job) && killed.tries < RETRIES {
            self.start(killed.job, false, killed.tries + 1);
        }
    }

    /// Whether a job is a state's that the execution does not wait for any more.
    const fn is_late(job: &Job) -> bool {
        !matches!(job, Job::Alarm(_) | Job::Operator | Job::Sweep(_))
    }

    /// Takes in what is done.
    fn settle(&mut self) {
        while let Some(nth) = self
            .running
            .iter()
            .position(|running| running.actor.done().is_some())
        {
            let Running {
                job,
                actor,
                awaited,
                tries,
            } = self.running.remove(nth);
            let outcome = actor.into_done().expect("it is done");
            self.trace.push(Line::Done(name_of(&job), outcome.clone()));
            if awaited {
                self.answered(outcome);
            } else if let Outcome::Failed(error) = outcome
                && !Self::is_late(&job)
                && tries < RETRIES
            {
                assert_ne!(error, "", "an error has a name");
                self.start(job, false, tries + 1);
            }
        }
    }

    fn answered(&mut self, outcome: Outcome) {
        match (self.stage, outcome) {
            (_, Outcome::Failed(error)) => self.failed(error),
            (Stage::Deploying, Outcome::Release(carried)) => {
                self.carried = Some(carried);
                self.enter(Stage::Staging);
            }
            (Stage::Staging, _) => self.enter(Stage::Shifting),
            (Stage::Shifting, Outcome::Release(carried)) => {
                let (taken, all) = {
                    let release = release(&carried);
                    (
                        release.progress().steps.len(),
                        release.spec.plan.steps().len(),
                    )
                };
                self.carried = Some(carried);
                // What the look at the end of a bake reads.
                if self.status() != Some(Status::InFlight) {
                    self.enter(Stage::RollingBack(Cause::Failed));
                } else if taken < all {
                    self.enter(Stage::Shifting);
                } else {
                    self.enter(Stage::Finalizing);
                }
            }
            (_, _) => self.over(),
        }
    }

    /// The function of the state failed.
    fn failed(&mut self, error: &str) {
        let again = matches!(error, "Transient" | "States.Timeout" | "Lambda.Unknown");
        if again && self.retries < RETRIES {
            self.retries += 1;
            return self.invoke();
        }
        match self.stage {
            Stage::RollingBack(_) => self.over(),
            Stage::Deploying | Stage::Staging => {
                self.enter(Stage::RollingBack(Cause::Failed));
            }
            _ => self.enter(Stage::RollingBack(Cause::Failed)),
        }
    }

    fn status(&self) -> Option<Status> {
        let key = Key::new(format!("DEPLOYMENT#{}", ID.execution()), "-");
        let row = self.world.rows.get(&key)?;
        match row.get("status") {
            Some(Value::S(status)) => status.parse().ok(),
            _ => None,
        }
    }

    /// Checks the promises, once nothing is to happen any more.
    pub(crate) fn check(&self, splitter: &Splitter) -> Result<(), String> {
        let status = self.status();
        let has = |prefix: &str| self.world.rows.keys().any(|key| key.pk.starts_with(prefix));
        if status.is_some_and(Status::is_open) {
            return Err(format!("the release is still {status:?}"));
        }
        if has("LOCK#") || has("RUNNING") {
            return Err("a lock or a row of the running is left".to_owned());
        }
        let promoted = status == Some(Status::Promoted);
        if promoted != has("ALARM#") || promoted && !has("RETAINED#") {
            return Err("what is promoted is watched and retained, and nothing else".to_owned());
        }
        let denied = self.plan.faults.iter().any(|(_, it)| *it == Fault::Denied);
        let green: u8 = ID.green().as_ref().parse().expect("it is a number");
        for (function, versions) in splitters::serving(&self.world) {
            let blue = self.blue(&function).unwrap_or(splitters::BLUE);
            let theirs = self.strange && function == "f" && blue != STRANGER;
            let wanted = if theirs {
                STRANGER
            } else if promoted {
                green
            } else {
                blue
            };
            if versions != BTreeSet::from([Some(wanted)]) {
                return Err(format!(
                    "{status:?}: traffic of {function} is on {versions:?}, not on {wanted}"
                ));
            }
        }
        if denied {
            return Ok(());
        }
        splitter.check_rest(&self.world, promoted)
    }

    /// Returns the version that is recorded as blue.
    fn blue(&self, function: &str) -> Option<u8> {
        let carried = self.carried.as_ref()?;
        let release = release(carried);
        let mut targets = release.progress().functions.iter();
        let target = targets.find(|target| target.function_name.as_ref() == function)?;
        target.blue_version.as_ref()?.as_ref().parse().ok()
    }
}

const fn name_of(job: &Job) -> &'static str {
    match job {
        Job::Deploy(..) => "DeployGreen",
        Job::Stage(..) => "ValidateGreen",
        Job::Shift(..) => "ShiftTraffic",
        Job::Finalize(..) => "FinalizeDeployment",
        Job::Rollback(..) => "RollbackDeployment",
        Job::Ask(_) => "Hold",
        Job::Alarm(_) => "the alarm",
        Job::Sweep(_) => "the sweep",
        Job::Operator => "the operator",
    }
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// A call, by its number.
    Call(usize, &'static str, Option<Fault>, Call),
    /// Something from outside.
    Event(Event),
    /// A job has come to its end.
    Done(&'static str, Outcome),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: String| text.chars().take(200).collect::<String>();
        match self {
            Self::Call(nth, job, fault, call) => {
                write!(f, "{nth} {job}: {}", cut(format!("{call:?}")))?;
                fault.map_or(Ok(()), |fault| write!(f, " ({fault:?})"))
            }
            Self::Event(event) => write!(f, "{event:?}"),
            Self::Done(job, outcome) => write!(f, "{job} => {}", cut(format!("{outcome:?}"))),
        }
    }
}
