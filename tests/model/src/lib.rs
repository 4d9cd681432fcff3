//! Two releases of one application, in every order of their calls to AWS.
//!
//! The functions at work are the product's own protocol, on the ports of `crossfade::fake`: a step of the model
//! delivers one call of one of them to the world of that module, and the function goes on from the reply
//! ([`nodes`]). Between any two calls anything can happen: an execution is stopped, a function is killed, or is
//! given up by Step Functions and works on, an answer is lost and the SDK makes the call again, an alarm fires,
//! an operator requests a rollback, somebody else writes an alias, and the schedule looks after what died.
//! Nothing is ever too late: a function may make its next call after everything else has ended.
//!
//! What is left out, and why it may be: smoke tests, hooks, metrics and bakes read and write nothing that is
//! shared, so they are one step that goes either way. A revision that is known nowhere any more is given again
//! ([`revisions`]).

pub mod guard;
pub mod nodes;
pub mod revisions;
pub mod state;
pub mod suite;

use std::sync::Arc;

use crossfade::{
    domain::{
        analysis::{OnInconclusive, verdict::Verdict},
        decision::{Bake, Decision, Next, decide},
        names::Version,
        record::Status,
        release::Release,
        restore_point::RestorePoint,
        routing::alias::{Primary, Routing},
    },
    fake::{
        AliasState, Call, Reply, Rules, World,
        jobs::{Cause, Id, Job, Outcome, Setting, release, version},
    },
    ports::{AliasWrite, Item, Key, RowWrite, Value},
};
use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model as _, Property};

use crate::{
    guard::Guard,
    nodes::{Node, Nodes},
    state::{
        BOTH, Execution, FIRST, Left, MOST, STRANGERS, Stage, State, Working, alias_of, broken,
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
    /// Whether an operator is asked before the last step.
    pub asks: bool,
    /// Whether a hold that times out leaves the traffic as it is.
    pub leaves: bool,
    /// Whether it is the first release: there is no alias before.
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
    nodes: Nodes,
    settings: Settings,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An execution is started.
    Start(Id),
    /// A function's call is made and answered.
    Call(usize, usize),
    /// A call takes effect, its answer is lost, and it is made again.
    Lose(usize, usize),
    /// Validation passes, or does not.
    Prove(Id, bool),
    /// A look finds green healthy, or not.
    Judge(Id, bool),
    /// An operator answers: go on, or back.
    Reply(Id, bool),
    /// A hold times out, and the traffic is left as it is.
    Leave(Id),
    /// The event of an execution's end comes, or the schedule.
    Sweep(Id),
    /// An alarm fires.
    Alarm(Id),
    /// An operator requests a rollback.
    Operator,
    /// Somebody else writes an alias: all of it, or a part.
    Stranger(usize, bool),
    /// An execution is stopped; its function works on.
    Stop(Id),
    /// A function is killed.
    Kill(usize),
    /// Step Functions does not get a function's answer, which works on.
    GiveUp(usize),
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
    /// Returns the model of these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let names = &["f", "g"][..settings.functions];
        let alias = json!({"type": "alias"});
        let mut setting = Setting::new(names, settings.weights, &alias, &alias);
        if settings.left.alarms == 0 {
            setting = setting.without_alarms();
        }
        if settings.leaves {
            setting = setting.leaving();
        }
        Self {
            nodes: Nodes::new(setting),
            settings,
        }
    }

    /// Visits all states, or stops when a promise is broken.
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
                    let model = done.model();
                    let shown =
                        way.filter_map(|(state, action)| Some(model.shown(&state, action?)));
                    violations.push((property.name, shown.collect()));
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

    fn lacks(&self, guard: Guard) -> bool {
        self.settings.without == Some(guard)
    }

    /// Returns what happens next, in words.
    fn shown(&self, state: &State, action: Action) -> String {
        let cut = |text: String| text.chars().take(160).collect::<String>();
        let job = |nth: usize| {
            let node = self.nodes.node(state.working[nth].node);
            let text = format!("{:?}", node.job);
            let name = text.split(['(', ',']).next().unwrap_or_default().to_owned();
            let late = state.working[nth].answers.map_or(" (not awaited)", |_| "");
            (format!("{name} of {:?}{late}", node.about), node)
        };
        let call = |nth: usize, call: usize| {
            let (job, node) = job(nth);
            let call = node.pending.iter().find(|(number, _)| *number == call);
            format!("{job}: {}", cut(format!("{:?}", call.map(|it| &it.1))))
        };
        match action {
            Action::Call(nth, number) => call(nth, number),
            Action::Lose(nth, number) => format!("{}, and the answer is lost", call(nth, number)),
            Action::Kill(nth) => format!("{}: killed", job(nth).0),
            Action::GiveUp(nth) => format!("{}: given up, and works on", job(nth).0),
            other => format!("{other:?}"),
        }
    }

    // --- executions -----------------------------------------------------------------------------

    /// An execution enters a state.
    fn enter(&self, state: &mut State, id: Id, stage: Stage) {
        let execution = state.execution_mut(id);
        execution.stage = stage;
        execution.retries = 0;
        self.invoke(state, id);
    }

    /// The function of the state is invoked, if it has one.
    fn invoke(&self, state: &mut State, id: Id) {
        let execution = state.execution(id);
        let retries = u32::from(execution.retries);
        let carried = execution.carried.clone();
        let job = match (execution.stage, carried) {
            (Stage::Deploying, _) => Job::Deploy(id, retries),
            (Stage::Shifting, Some(of)) => Job::Shift(id, of, retries),
            (Stage::Finalizing, Some(of)) => Job::Finalize(id, of, retries),
            (Stage::Asking, _) => Job::Ask(id),
            (Stage::RollingBack(cause), of) => Job::Rollback(id, of, cause),
            _ => return,
        };
        self.begin(state, job, Some(id));
    }

    fn begin(&self, state: &mut State, job: Job, answers: Option<Id>) {
        let node = self.nodes.first(job);
        self.put(state, Working { node, answers });
    }

    /// Puts a function back to work, unless it is done.
    fn put(&self, state: &mut State, working: Working) {
        let node = self.nodes.node(working.node);
        match (&node.outcome, working.answers) {
            (None, _) => state.working.push(working),
            (Some(outcome), Some(id)) => self.answered(state, id, outcome),
            (Some(_), None) => {}
        }
    }

    /// An execution is answered by its function.
    fn answered(&self, state: &mut State, id: Id, outcome: &Outcome) {
        let execution = state.execution(id);
        let (stage, retries) = (execution.stage, execution.retries);
        let back = Stage::RollingBack(Cause::Failed);
        match (stage, outcome) {
            // It is tried again for as long as it takes.
            (Stage::RollingBack(_), Outcome::Failed(_)) => {
                state.execution_mut(id).retries = 1;
                self.invoke(state, id);
            }
            (Stage::RollingBack(_), _) => state.end(id, Stage::Failed),
            (_, Outcome::Failed("Transient")) if retries + 1 < TRIES => {
                state.execution_mut(id).retries += 1;
                self.invoke(state, id);
            }
            (_, Outcome::Failed(_)) => self.enter(state, id, back),
            (Stage::Deploying, Outcome::Release(carried)) => {
                let execution = state.execution_mut(id);
                execution.carried = Some(Arc::clone(carried));
                execution.stage = Stage::Proving;
            }
            (Stage::Shifting, Outcome::Release(carried)) => {
                let execution = state.execution_mut(id);
                execution.carried = Some(Arc::clone(carried));
                execution.stage = Stage::Judging;
            }
            (Stage::Asking, _) => state.execution_mut(id).stage = Stage::Waiting,
            (_, _) => state.end(id, Stage::Succeeded),
        }
        let execution = state.execution_mut(id);
        if !execution.stage.awaits_a_function() {
            execution.retries = 0;
        }
    }

    /// A function does not answer.
    fn unanswered(&self, state: &mut State, id: Id) {
        self.answered(state, id, &Outcome::Failed("Transient"));
    }

    fn judge(&self, state: &mut State, id: Id, healthy: bool) {
        if state.status(id) != Some(Status::InFlight) {
            // The look at the end of a bake reads the release's row.
            return self.enter(state, id, Stage::RollingBack(Cause::Failed));
        }
        let carried = state.execution(id).carried.clone();
        let release = release(&carried.expect("it was deployed"));
        let stage = match self.decision(&release, healthy) {
            Decision::Shift => Stage::Shifting,
            Decision::Ask => Stage::Asking,
            Decision::Promote => {
                state.execution_mut(id).healthy = true;
                Stage::Finalizing
            }
            Decision::RollBack => Stage::RollingBack(Cause::Decided),
            other => unreachable!("{other:?} is not what follows a whole bake"),
        };
        self.enter(state, id, stage);
    }

    /// Returns what follows a bake: the product's own decision.
    fn decision(&self, release: &Release, healthy: bool) -> Decision {
        let verdict = if healthy {
            Verdict::Healthy
        } else {
            Verdict::Unhealthy
        };
        let taken = release.progress().steps.len();
        let is_last = taken + 1 == release.spec.plan.steps().len();
        let next = match release.spec.plan.step(taken) {
            None => Next::End,
            Some(_) if is_last && self.settings.asks => Next::StepAfterApproval,
            Some(_) => Next::Step,
        };
        let bake = Bake {
            planned_seconds: 0,
            waited_seconds: 0,
            max_seconds: 0,
            check_every_seconds: 0,
        };
        decide(verdict, &bake, next, OnInconclusive::Hold).decision
    }

    // --- calls ----------------------------------------------------------------------------------

    /// Makes a call of a function, and answers it.
    fn call(&self, state: &mut State, node: &Node, call: &Call) -> Reply {
        let by = node.about;
        if let Call::FailTask(id) = call {
            if state.execution(*id).stage == Stage::Waiting {
                self.enter(state, *id, Stage::RollingBack(Cause::Failed));
            }
            return Reply::Done;
        }
        let aliases_before: Vec<_> = (0..self.settings.functions)
            .map(|nth| state.alias(nth).cloned())
            .collect();
        let promoted_before = by.map(|id| state.status(id));
        if let (Call::UpdateAlias(function, alias, write), true) =
            (call, self.lacks(Guard::Fence) && !moves(&node.job))
        {
            let key = (function.clone(), alias.clone());
            if let Some(now) = state.world.aliases.get(&key)
                && now.revision == write.if_revision
                && (&now.primary, &now.additional) == (&write.primary, &write.additional)
            {
                return Reply::Written(Some(now.clone()));
            }
        }
        state.world.revisions = revisions::free(self.known(state)) - 1;
        let over = state.world.over.clone();
        let heeds = |write: &RowWrite, row: Option<&Item>| {
            let holder = row.and_then(|row| row.get("execution"));
            let is_over = matches!(holder, Some(Value::S(it)) if over.contains(it));
            self.settings
                .without
                .is_none_or(|guard| guard.heeds(&node.job, write, row, is_over))
        };
        let rules = Rules {
            revisions: !self.lacks(Guard::Revision),
            heeds: &heeds,
        };
        let reply = state.world.apply(call, &rules);
        state.world.revisions = 0;
        if let Some(by) = by {
            for (nth, before) in aliases_before.iter().enumerate() {
                Self::watch(state, nth, by, before.as_ref());
            }
            let is = state.status(by);
            if is == Some(Status::Promoted) && promoted_before != Some(is) {
                state.last = Some(by);
            }
        }
        self.told(state, node, call, reply)
    }

    /// Returns what a function is told: without a guard, as if nothing had happened.
    fn told(&self, state: &State, node: &Node, call: &Call, reply: Reply) -> Reply {
        let is_guarded = self
            .settings
            .without
            .is_some_and(|guard| guard.is_read_by(&node.job, call));
        match reply {
            Reply::Is(_) if is_guarded => Reply::Is(true),
            Reply::Row(Some(row)) if is_guarded => {
                let mut row = row.as_ref().clone();
                row.insert("status".into(), Value::S("IN_FLIGHT".into()));
                Reply::Row(Some(Arc::new(row)))
            }
            Reply::Alias(Some(alias)) if is_guarded && self.is_strange(state, call) => {
                Reply::Alias(Some(AliasState {
                    primary: Primary::Version(version(FIRST)),
                    additional: None,
                    revision: alias.revision,
                }))
            }
            reply => reply,
        }
    }

    fn is_strange(&self, state: &State, call: &Call) -> bool {
        let Call::Alias(function, _) = call else {
            return false;
        };
        (0..self.settings.functions).any(|nth| state.strange[nth] && alias_of(nth).0 == *function)
    }

    /// Returns the revisions that are known somewhere.
    fn known(&self, state: &State) -> u64 {
        let mut known = 0;
        for alias in state.world.aliases.values() {
            known |= revisions::in_text(&format!("{:?}", alias.revision));
        }
        for row in state.world.rows.values() {
            if let Some(Value::S(footprint)) = row.get("footprint") {
                known |= revisions::in_text(footprint);
            }
        }
        for execution in &state.executions {
            known |= revisions::in_text(execution.carried.as_deref().unwrap_or_default());
        }
        for working in &state.working {
            known |= self.nodes.node(working.node).revisions;
        }
        known
    }

    /// Keeps count of the promises, once an alias may have been written for a release.
    fn watch(state: &mut State, nth: usize, by: Id, before: Option<&AliasState>) {
        let after = state.alias(nth).cloned();
        let routed = |alias: Option<&AliasState>| {
            alias.map(|it| (it.primary.clone(), it.additional.clone()))
        };
        if routed(before) == routed(after.as_ref()) {
            return;
        }
        let target = Self::target(state, nth, by);
        let blue = target.as_ref().and_then(|it| it.0.clone());
        if let (Some(before), Some((_, ours))) = (before, &target) {
            let is_ours = ours.iter().any(|routing| routes(before, routing));
            if !is_ours {
                state.broken |= broken::SINGLE_WRITER;
            }
        }
        if state.lock() != Some(by) {
            state.broken |= broken::ONE_AT_A_TIME;
        }
        let green = by.green();
        let execution = state.execution(by);
        let (proved, healthy) = (execution.proved, execution.healthy);
        let is_settled = after
            .as_ref()
            .is_some_and(|it| it.primary.version() == Some(&green));
        let has_weight = after
            .as_ref()
            .and_then(|it| it.additional.as_ref())
            .is_some_and(|(version, _)| *version == green);
        if (is_settled || has_weight) && !proved {
            state.broken |= broken::PROVEN;
        }
        if is_settled && blue.is_some() && !healthy {
            state.broken |= broken::GATES;
        }
        state.strange[nth] = false;
    }

    /// Returns a target's blue, and every state that the release can have caused.
    fn target(state: &State, nth: usize, by: Id) -> Option<(Option<Version>, Vec<Routing>)> {
        let key = Key::new(format!("DEPLOYMENT#{}", by.execution()), "-");
        let Value::S(footprint) = state.world.rows.get(&key)?.get("footprint")? else {
            return None;
        };
        let footprint: RestorePoint = serde_json::from_str(footprint).expect("it is a footprint");
        let target = &footprint.functions[nth];
        let ours = target.ours(&footprint.plan);
        Some((target.blue_version.clone(), ours))
    }

    // --- what happens ---------------------------------------------------------------------------

    /// What its own course has an execution do next, where it waits for no function.
    fn course(&self, state: &State, id: Id, actions: &mut Vec<Action>) {
        match state.execution(id).stage {
            Stage::Before => {
                let begun = state.execution(Id(0)).stage != Stage::Before;
                if id == Id(0) || begun && self.settings.both {
                    actions.push(Action::Start(id));
                }
            }
            Stage::Proving => {
                actions.push(Action::Prove(id, true));
                actions.push(Action::Prove(id, false));
            }
            Stage::Judging => {
                actions.push(Action::Judge(id, true));
                actions.push(Action::Judge(id, false));
            }
            Stage::Waiting => {
                actions.push(Action::Reply(id, true));
                actions.push(Action::Reply(id, false));
                if self.settings.leaves {
                    actions.push(Action::Leave(id));
                }
            }
            _ => {}
        }
        let sweeps = |working: &Working| self.nodes.node(working.node).job == Job::Sweep(id);
        if self.needs_a_sweep(state, id) && !state.working.iter().any(sweeps) {
            actions.push(Action::Sweep(id));
        }
    }

    fn needs_a_sweep(&self, state: &State, id: Id) -> bool {
        !self.lacks(Guard::Sweep) && state.needs_a_sweep(id)
    }

    /// What comes from outside, or goes wrong.
    fn trouble(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        for id in BOTH {
            if left.alarms > 0 && state.is_watched(id) {
                actions.push(Action::Alarm(id));
            }
        }
        if left.operators > 0 && (state.lock().is_some() || state.promoted().is_some()) {
            actions.push(Action::Operator);
        }
        if left.strangers > 0 {
            for nth in 0..self.settings.functions {
                actions.push(Action::Stranger(nth, true));
                actions.push(Action::Stranger(nth, false));
            }
        }
        if left.faults == 0 {
            return;
        }
        for id in BOTH {
            if state.execution(id).stage.runs() {
                actions.push(Action::Stop(id));
            }
        }
        for (nth, working) in state.working.iter().enumerate() {
            actions.push(Action::Kill(nth));
            if working.answers.is_some() && self.settings.late {
                actions.push(Action::GiveUp(nth));
            }
            let node = self.nodes.node(working.node);
            let writes = node.pending.iter().filter(|(_, call)| call.is_write());
            actions.extend(writes.map(|(call, _)| Action::Lose(nth, *call)));
        }
    }

    fn happens(&self, state: &mut State, action: Action) {
        match action {
            Action::Start(id) => self.enter(state, id, Stage::Deploying),
            Action::Call(nth, number) => {
                let working = state.working[nth];
                let node = self.nodes.node(working.node);
                let call = call_of(&node, number);
                // Its replies count among what is known: it is still at work.
                let reply = self.call(state, &node, call);
                let at = state.working.iter().position(|one| *one == working);
                state.working.remove(at.expect("it is at work"));
                let node = self.nodes.next(working.node, number, reply);
                self.put(state, Working { node, ..working });
            }
            Action::Lose(nth, number) => {
                state.left.faults -= 1;
                let node = self.nodes.node(state.working[nth].node);
                self.call(state, &node, call_of(&node, number));
            }
            Action::Prove(id, passed) => {
                state.execution_mut(id).proved = passed;
                let back = Stage::RollingBack(Cause::Invalid);
                let on = passed || self.lacks(Guard::Validate);
                self.enter(state, id, if on { Stage::Shifting } else { back });
            }
            Action::Judge(id, healthy) => self.judge(state, id, healthy),
            Action::Reply(id, on) => {
                let back = Stage::RollingBack(Cause::Decided);
                self.enter(state, id, if on { Stage::Shifting } else { back });
            }
            Action::Leave(id) => state.end(id, Stage::LeftHeld),
            Action::Sweep(id) => self.begin(state, Job::Sweep(id), None),
            Action::Alarm(id) => {
                state.left.alarms -= 1;
                self.begin(state, Job::Alarm(id), None);
            }
            Action::Operator => {
                state.left.operators -= 1;
                self.begin(state, Job::Operator, None);
            }
            Action::Stranger(nth, all) => {
                state.left.strangers -= 1;
                state.world.revisions = revisions::free(self.known(state)) - 1;
                let (function, alias) = alias_of(nth);
                let theirs = version(STRANGERS);
                let (primary, additional) = if all {
                    (theirs, None)
                } else {
                    let half = 50.try_into().expect("it is a weight");
                    (version(FIRST), Some((theirs, half)))
                };
                let primary = Primary::Version(primary);
                let world = &mut state.world;
                world.write_alias(&function, &alias, primary, additional);
                world.revisions = 0;
                state.strange[nth] = true;
            }
            Action::Stop(id) => {
                state.left.faults -= 1;
                self.not_awaited(state, id);
                state.end(id, Stage::Stopped);
            }
            Action::Kill(nth) => {
                state.left.faults -= 1;
                let killed = state.working.remove(nth);
                if let Some(id) = killed.answers {
                    self.unanswered(state, id);
                }
            }
            Action::GiveUp(nth) => {
                state.left.faults -= 1;
                if let Some(id) = state.working[nth].answers.take() {
                    self.unanswered(state, id);
                }
            }
        }
    }

    /// The function of an execution works on, and is not awaited any more.
    fn not_awaited(&self, state: &mut State, id: Id) {
        let awaited = |working: &Working| working.answers == Some(id);
        if !self.settings.late {
            state.working.retain(|working| !awaited(working));
        }
        for working in &mut state.working {
            if awaited(working) {
                working.answers = None;
            }
        }
    }

    // --- promises -------------------------------------------------------------------------------

    /// Whether nothing is to happen by itself any more.
    fn is_quiet(&self, state: &State) -> bool {
        state.working.is_empty()
            && BOTH
                .iter()
                .all(|id| !state.execution(*id).stage.runs() && !self.needs_a_sweep(state, *id))
    }

    fn is_unlocked(state: &State) -> bool {
        let left = |id: &Id| state.is_left(*id);
        let open = |id: &Id| state.status(*id).is_some_and(Status::is_open) && !left(id);
        !BOTH.iter().any(open) && state.lock().is_none_or(|holder| left(&holder))
    }

    /// Whether all traffic that is not somebody else's is on one version: that of the last release
    /// which was promoted and not taken back, or what served before.
    fn is_whole(&self, state: &State) -> bool {
        if BOTH.iter().any(|id| state.is_left(*id)) {
            return true;
        }
        let may = |v: &Primary| {
            let released = BOTH.into_iter().find(|id| v.version() == Some(&id.green()));
            released.is_none_or(|id| {
                state.status(id) == Some(Status::Promoted) && state.execution(id).healthy
            })
        };
        let whole = |alias: Option<&AliasState>| match alias {
            Some(alias) => alias.additional.is_none() && may(&alias.primary),
            None => self.settings.first,
        };
        let ours = (0..self.settings.functions).filter(|nth| !state.strange[*nth]);
        let mut ours = ours.map(|nth| state.alias(nth));
        let Some(one) = ours.next() else { return true };
        let strange = state.strange.iter().any(|strange| *strange);
        let primary = |alias: Option<&AliasState>| alias.map(|alias| alias.primary.clone());
        whole(one) && ours.all(|other| whole(other) && (primary(other) == primary(one) || strange))
    }

    /// Whether what was promoted last, and was not taken back, serves.
    fn is_kept(&self, state: &State) -> bool {
        let Some(last) = state.last else { return true };
        if state.status(last) != Some(Status::Promoted) {
            return true;
        }
        (0..self.settings.functions).all(|nth| {
            // What somebody else put there may be what the next release began on.
            let theirs = state.strange[nth] || state.is_on(nth, STRANGERS);
            theirs || state.is_on(nth, last.0 + 2)
        })
    }
}

fn call_of(node: &Node, number: usize) -> &Call {
    let call = node.pending.iter().find(|(it, _)| *it == number);
    &call.expect("it waits for an answer").1
}

/// Whether a job moves traffic to green.
fn moves(job: &Job) -> bool {
    matches!(job, Job::Shift(..) | Job::Finalize(..))
}

fn routes(alias: &AliasState, routing: &Routing) -> bool {
    let write = AliasWrite {
        primary: alias.primary.clone(),
        additional: alias.additional.clone(),
        if_revision: alias.revision.clone(),
    };
    match routing {
        Routing::Settled(to) => write.primary.version() == Some(to) && write.additional.is_none(),
        Routing::Split {
            blue,
            green,
            weight,
        } => {
            write.primary.version() == Some(blue)
                && write.additional == Some((green.clone(), *weight))
        }
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut world = World::default();
        if !self.settings.first {
            for nth in 0..self.settings.functions {
                let on = AliasState::on(version(FIRST), "r0");
                world.aliases.insert(alias_of(nth), on);
            }
        }
        let execution = Execution {
            stage: Stage::Before,
            carried: None,
            retries: 0,
            proved: false,
            healthy: false,
        };
        vec![State {
            world,
            strange: [false; MOST],
            last: None,
            executions: [execution.clone(), execution],
            working: Vec::new(),
            left: self.settings.left,
            broken: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (nth, working) in state.working.iter().enumerate() {
            let node = self.nodes.node(working.node);
            let calls = node.pending.iter();
            actions.extend(calls.map(|(call, _)| Action::Call(nth, *call)));
        }
        for id in BOTH {
            self.course(state, id, actions);
        }
        self.trouble(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.happens(&mut state, action);
        state.working.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("single writer", |_, s: &State| {
                s.broken & broken::SINGLE_WRITER == 0
            }),
            Property::always("one at a time", |_, s: &State| {
                let holds = |id: &Id| {
                    let open = s.status(*id).is_some_and(Status::is_open);
                    !open || s.lock() == Some(*id)
                };
                // Nobody closes a release that goes on.
                let goes_on = |id: &Id| {
                    let stage = s.execution(*id).stage;
                    let on = matches!(stage, Stage::Proving | Stage::Shifting | Stage::Judging);
                    !on || s.status(*id).is_some_and(Status::is_open)
                };
                s.broken & broken::ONE_AT_A_TIME == 0
                    && BOTH.iter().all(holds)
                    && BOTH.iter().all(goes_on)
            }),
            Property::always("proven", |_, s: &State| {
                s.broken & (broken::PROVEN | broken::GATES) == 0
            }),
            Property::always("whole", |m: &Self, s: &State| {
                !m.is_quiet(s) || m.is_whole(s)
            }),
            Property::always("kept", |m: &Self, s: &State| !m.is_quiet(s) || m.is_kept(s)),
            Property::always("eventually unlocked", |m: &Self, s: &State| {
                !m.is_quiet(s) || Self::is_unlocked(s)
            }),
            Property::always("the last is on record", |_, s: &State| {
                s.promoted() == s.last
            }),
            Property::always("nobody waits for nothing", |_, s: &State| {
                BOTH.into_iter().all(|id| {
                    let awaits = s.execution(id).stage.awaits_a_function();
                    awaits == s.working.iter().any(|it| it.answers == Some(id))
                })
            }),
        ];
        if self.settings.both {
            all.extend([
                Property::sometimes("both are promoted", |_, s: &State| {
                    BOTH.into_iter()
                        .all(|id| s.status(id) == Some(Status::Promoted))
                }),
                Property::sometimes("the second is rolled back", |_, s: &State| {
                    s.status(Id(1)) == Some(Status::RolledBack)
                }),
            ]);
        }
        if self.settings.both && self.settings.left.faults > 0 {
            all.push(Property::sometimes(
                "a dead holder's locks are taken over",
                |m: &Self, s: &State| {
                    s.working.iter().any(|working| {
                        let node = m.nodes.node(working.node);
                        matches!(node.job, Job::Deploy(Id(1), _)) && node.about == Some(Id(0))
                    })
                },
            ));
        }
        all
    }
}
