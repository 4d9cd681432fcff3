//! What every test shares: one local AWS with one stack, and functions of its own.

use std::{
    cell::RefCell,
    fmt::Write as _,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use aws_sdk_sfn::types::HistoryEventType;
use crossfade::wire::request::Request;
use crossfade_tests::{
    Behaviour, Ended, Execution, LocalAws, Stack, Target, Traffic, World,
    health::HealthServer,
    iam,
    invariants::{self, Door, Scope},
    listener::Listener,
    local::Options,
    release::{until, visits},
    traffic::Witness,
    world::Notification,
};
use futures::{FutureExt, future::BoxFuture};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::{Semaphore, SemaphorePermit},
};

/// The alias that every test's callers use.
pub(crate) const ALIAS: &str = "live";

/// What the names of the functions to release begin with.
const PREFIX: &str = "it-";

/// Tests that wait most of their time: many at once.
const AT_ONCE: usize = 8;

/// What is deployed once for all.
pub(crate) struct Suite {
    pub(crate) local: LocalAws,
    /// Where health checks may ask.
    pub(crate) health: HealthServer,
    pub(crate) world: World,
    /// The same definition on moto's interpreter.
    pub(crate) moto: World,
}

/// Deployed once, or why it could not be.
type Shared = Arc<OnceLock<Result<Suite, String>>>;

fn deployed(suite: &Shared) -> &Suite {
    suite
        .get()
        .and_then(|suite| suite.as_ref().ok())
        .expect("no test begins without")
}

/// Where a test runs, and beside what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// In the local AWS that most share, beside others.
    Beside,
    /// In a second local AWS, one after the other: it counts all calls, or changes what all share.
    Apart,
    /// There too, while nothing else runs on this machine: it measures seconds.
    Alone,
}

/// Who may run now. Permits are given in the order in which they are asked for.
struct Turns {
    beside: Semaphore,
    at_once: u32,
    apart: Semaphore,
}

impl Turns {
    fn new(at_once: usize) -> Self {
        Self {
            beside: Semaphore::new(at_once),
            at_once: u32::try_from(at_once).expect("it is a small number"),
            apart: Semaphore::new(1),
        }
    }

    /// Waits until it is a test's turn, which lasts for as long as the permits are kept.
    async fn wait(&self, turn: Turn) -> Vec<SemaphorePermit<'_>> {
        let beside = match turn {
            Turn::Beside => 1,
            Turn::Apart => 0,
            Turn::Alone => self.at_once,
        };
        let beside = self.beside.acquire_many(beside).await;
        let mut permits = vec![beside.expect("it is never closed")];
        if turn != Turn::Beside {
            permits.push(self.apart.acquire().await.expect("it is never closed"));
        }
        permits
    }
}

/// A test: a name and what it does.
pub(crate) struct Test {
    name: &'static str,
    turn: Turn,
    body: Box<dyn FnOnce(Case) -> BoxFuture<'static, ()> + Send>,
}

/// A test that runs beside others.
pub(crate) fn test<F>(name: &'static str, body: impl FnOnce(Case) -> F + Send + 'static) -> Test
where
    F: Future<Output = ()> + Send + 'static,
{
    Test {
        name,
        turn: Turn::Beside,
        body: Box::new(move |case| body(case).boxed()),
    }
}

/// A test that has a local AWS to itself: it counts all calls, or changes what all share.
pub(crate) fn apart<F>(name: &'static str, body: impl FnOnce(Case) -> F + Send + 'static) -> Test
where
    F: Future<Output = ()> + Send + 'static,
{
    Test {
        turn: Turn::Apart,
        ..test(name, body)
    }
}

/// A test that has this machine to itself as well: it measures seconds.
pub(crate) fn alone<F>(name: &'static str, body: impl FnOnce(Case) -> F + Send + 'static) -> Test
where
    F: Future<Output = ()> + Send + 'static,
{
    Test {
        turn: Turn::Alone,
        ..test(name, body)
    }
}

/// Runs all tests in two local AWS, those that run alone last.
pub(crate) fn run(modules: Vec<Vec<Test>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut tests: Vec<Test> = modules.into_iter().flatten().collect();
    tests.sort_by_key(|test| test.turn);
    // Each has a thread to wait in for its turn.
    let at_once = arguments.test_threads.replace(tests.len());
    let turns = Arc::new(Turns::new(at_once.unwrap_or(AT_ONCE)));
    panic::set_hook(Box::new(|panic| {
        PANIC.with_borrow_mut(|last| *last = panic.to_string());
    }));

    let runtime = Arc::new(Runtime::new().expect("a runtime can be made"));
    let (most, own): (Shared, Shared) = Default::default();
    let times: Arc<Mutex<Vec<Took>>> = Arc::default();
    let trials = tests
        .into_iter()
        .map(|test| {
            let (runtime, turns) = (Arc::clone(&runtime), Arc::clone(&turns));
            let suite = match test.turn {
                Turn::Beside => Arc::clone(&most),
                Turn::Apart | Turn::Alone => Arc::clone(&own),
            };
            let times = Arc::clone(&times);
            Trial::test(test.name.to_owned(), move || {
                let handle = runtime.handle().clone();
                let _turn = handle.block_on(turns.wait(test.turn));
                // Deployed by the first test that needs it: listing tests needs none.
                let deployed = suite.get_or_init(|| {
                    let deploying = AssertUnwindSafe(deploy()).catch_unwind();
                    handle.block_on(deploying).map_err(|_| last_panic())
                });
                if let Err(why) = deployed {
                    return Err(format!("nothing is deployed: {why}").into());
                }
                handle
                    .block_on(one(test, suite, &times))
                    .map_err(Failed::from)
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (suite, name) in [(most, "e2e"), (own, "e2e-apart")] {
        if let Some(Ok(shared)) = suite.get() {
            // Parts of the suite add to what the whole recorded.
            let part = arguments.filter.iter().chain(&arguments.skip);
            let name = part.fold(name.to_owned(), |name, part| format!("{name}-{part}"));
            runtime.block_on(iam::record(&shared.local, &name));
        }
        // Its local AWS ends here, and not with the process.
        drop(suite);
    }
    say_what_took_longest(&times.lock().expect("no test holds it"));
    conclusion.exit_code()
}

thread_local! {
    /// What this thread's last panic said.
    static PANIC: RefCell<String> = RefCell::default();
}

fn last_panic() -> String {
    PANIC.take()
}

async fn deploy() -> Suite {
    let local = LocalAws::start(Options {
        moto: true,
        ..Options::default()
    });
    let health = HealthServer::start(local.dir()).await;
    let name = health.address.replace("127.0.0.1", "localhost");
    let hosts = format!("{},{name}", health.address);
    let stack = Stack::deploy_with(
        &local,
        PREFIX,
        &[
            ("HealthCheckHosts", &hosts),
            ("LiveErrors", "yes"),
            ("ReservedConcurrency", "50"),
        ],
    )
    .await;
    // What every program with the system's roots takes for them, where it is set.
    let authority = health.authority.to_str().expect("its path is text");
    let variables = [("SSL_CERT_FILE", authority)];
    stack
        .set_variables(&local, &["validate", "check-alarms"], &variables)
        .await;
    let world = World::new(&local, &stack);
    let moto = World::on_moto(&local, &stack).await;
    Suite {
        local,
        health,
        world,
        moto,
    }
}

/// How long a test took, once its turn had come.
struct Took {
    seconds: f64,
    turn: Turn,
    name: &'static str,
}

/// What the suite's time is made of: others run beside each other, and each of these adds to it.
fn say_what_took_longest(times: &[Took]) {
    let mut longest: Vec<&Took> = times.iter().collect();
    longest.sort_unstable_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for turn in [Turn::Apart, Turn::Alone] {
        let of: Vec<_> = longest.iter().filter(|took| took.turn == turn).collect();
        let seconds = of.iter().map(|took| took.seconds).fold(0.0, f64::max);
        let all = of.iter().fold(0.0, |sum, took| sum + took.seconds);
        println!(
            "{turn:?}: {} tests took {all:.0} s one after the other, the longest {seconds:.0} s",
            of.len()
        );
    }
    println!("the longest of all:");
    for Took {
        seconds,
        turn,
        name,
    } in longest.into_iter().take(12)
    {
        println!("  {seconds:6.1} s  {name} ({turn:?})");
    }
}

async fn one(test: Test, suite: Shared, times: &Mutex<Vec<Took>>) -> Result<(), String> {
    let Test { name, turn, body } = test;
    let shared = deployed(&suite);
    let at = std::time::Instant::now();
    let case = Case::new(name, &suite).await;
    let begun = Arc::clone(&case.begun);
    let since = case.since;
    let world = shared.world.clone();
    let checked = async {
        body(case).await;
        if begun.has_probes() {
            // Those who keep to the idle side go on after the end.
            a_moment().await;
        }
        let broken = invariants::check(&world, &begun.scope(since)).await;
        let broken: Vec<_> = broken.iter().map(ToString::to_string).collect();
        assert!(
            broken.is_empty(),
            "invariants do not hold:\n{}",
            broken.join("\n")
        );
        for execution in begun.scope(since).executions {
            takes_no_more_events_than_planned(&execution).await;
        }
    };
    let passed = AssertUnwindSafe(checked).catch_unwind().await.is_ok();
    times.lock().expect("no test holds it").push(Took {
        seconds: at.elapsed().as_secs_f64(),
        turn,
        name,
    });
    if passed {
        return Ok(());
    }
    let why = last_panic();
    let scope = begun.scope(since);
    let explained = AssertUnwindSafe(explain(&scope)).catch_unwind().await;
    // What it leaves behind is in nobody's way.
    for execution in &scope.executions {
        execution.stop().await;
    }
    Err(format!("{why}\n{}", explained.unwrap_or_default()))
}

/// What `crossfade plan` says of a request's events is never less than they were. A try that failed has three of its
/// own, and people may hold and resume as often as they like.
async fn takes_no_more_events_than_planned(execution: &Execution) {
    let history = execution.history().await;
    let count = |kinds: &[HistoryEventType]| {
        let of_kind = history.iter().filter(|event| kinds.contains(&event.r#type));
        of_kind.count()
    };
    let input = history.first().and_then(|event| {
        let started = event.execution_started_event_details.as_ref()?;
        serde_json::from_str::<Value>(started.input.as_deref()?).ok()
    });
    let Some(Ok(Request::Release(request))) = input.map(|input| Request::parse(&input)) else {
        return;
    };
    let planned = request.pace().events_with(request.front_door.is_some());
    let failed = count(&[HistoryEventType::TaskFailed, HistoryEventType::TaskTimedOut]);
    let held = visits(&history)
        .iter()
        .filter(|visit| visit.state == "Hold")
        .count();
    let most = usize::try_from(planned).unwrap_or(usize::MAX) + 3 * failed + 13 * held;
    assert!(
        history.len() <= most,
        "{}: {} events, and {planned} planned, {failed} failed, {held} holds",
        execution.arn,
        history.len()
    );
}

/// What the local AWS says about a test that failed.
async fn explain(scope: &Scope) -> String {
    let mut text = String::new();
    for execution in scope.executions.iter().take(4) {
        let _ = writeln!(text, "-- {}: {:?}", execution.arn, execution.ended().await);
        for visit in execution.visits().await {
            let reason = visit
                .output
                .get("reason")
                .or_else(|| visit.input.get("failure"));
            let reason = reason.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "   {:.3} {} {reason}", visit.at, visit.state);
        }
    }
    for (target, alias) in &scope.targets {
        let _ = writeln!(text, "-- {}: {:?}", target.name, target.look(alias).await);
    }
    text
}

/// What a test has begun, and what is checked at its end.
#[derive(Default)]
pub(crate) struct Begun {
    targets: Mutex<Vec<(Target, String)>>,
    doors: Mutex<Vec<Door>>,
    executions: Mutex<Vec<Execution>>,
    witnesses: Mutex<Vec<Witness>>,
    /// Clients that send requests until all has been checked.
    probes: Mutex<Vec<Traffic>>,
}

impl Begun {
    fn scope(&self, since: u64) -> Scope {
        Scope {
            targets: self.targets.lock().expect("no test panics with it").clone(),
            doors: self.doors.lock().expect("no test panics with it").clone(),
            executions: self
                .executions
                .lock()
                .expect("no test panics with it")
                .clone(),
            witnesses: self
                .witnesses
                .lock()
                .expect("no test panics with it")
                .clone(),
            since,
        }
    }

    fn has_probes(&self) -> bool {
        let probes = self.probes.lock().expect("no test panics with it");
        !probes.is_empty()
    }
}

/// One test's own part of the world.
#[derive(Clone)]
pub(crate) struct Case {
    /// Unlike every other test's: what its function and application are called by.
    pub(crate) name: String,
    pub(crate) world: World,
    /// Where the log of calls was when it began.
    pub(crate) since: u64,
    suite: Shared,
    begun: Arc<Begun>,
}

impl Case {
    async fn new(name: &str, suite: &Shared) -> Self {
        let shared = deployed(suite);
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        Self {
            // Lambda takes 64 characters.
            name: name.chars().take(50).collect(),
            world: shared.world.clone(),
            since: shared.world.now().await,
            suite: Arc::clone(suite),
            begun: Arc::default(),
        }
    }

    /// A part of this test with functions and applications of its own.
    pub(crate) fn part(&self, name: &str) -> Self {
        Self {
            name: format!("{}-{}", self.name, name.to_lowercase()),
            ..self.clone()
        }
    }

    /// The same on moto's interpreter.
    pub(crate) fn on_moto(self) -> Self {
        Self {
            world: self.suite().moto.clone(),
            ..self
        }
    }

    pub(crate) fn suite(&self) -> &Suite {
        deployed(&self.suite)
    }

    /// The function of this test, or one of several.
    pub(crate) fn function_name(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// A function whose version 1 behaves so. No alias yet.
    pub(crate) async fn function(&self, behaviour: Behaviour) -> Target {
        self.function_called(&self.function_name(), behaviour).await
    }

    pub(crate) async fn function_called(&self, name: &str, behaviour: Behaviour) -> Target {
        let target = Target::create(&self.suite().local, name, behaviour).await;
        self.also(&target);
        target
    }

    /// Has the invariants checked for a function too.
    pub(crate) fn also(&self, target: &Target) {
        let mut targets = self.begun.targets.lock().expect("nobody panics with it");
        targets.push((target.clone(), ALIAS.to_owned()));
    }

    /// Has the invariants checked for a door too.
    pub(crate) fn behind(&self, door: Door) {
        let mut doors = self.begun.doors.lock().expect("nobody panics with it");
        doors.push(door);
    }

    /// A function with a healthy version 1 that serves the alias, and a healthy version in `$LATEST`
    /// that is to be released as version 2.
    pub(crate) async fn blue(&self) -> Target {
        self.blue_and(Behaviour::healthy("green")).await
    }

    /// The same, with a green that behaves so.
    pub(crate) async fn blue_and(&self, green: Behaviour) -> Target {
        let target = self.function(Behaviour::healthy("blue")).await;
        assert_eq!(target.publish().await, "1");
        target.alias(ALIAS, "1").await;
        target.update(green).await;
        target
    }

    /// A program that listens to the events of this test's application.
    pub(crate) async fn listener(&self) -> Listener {
        Listener::start(&self.suite().local, &self.application()).await
    }

    /// This test's application.
    pub(crate) fn application(&self) -> String {
        format!("app-{}", self.name)
    }

    /// An alarm of this test's own, which is OK.
    pub(crate) async fn alarm(&self) -> String {
        let name = format!("{}-alarm", self.name);
        self.world.make_alarm(&name).await;
        name
    }

    /// A request to release the test's function, with `more` on top: objects are merged.
    pub(crate) fn request(&self, more: Value) -> Value {
        let mut request = json!({
            "application": self.application(),
            "functions": [{"functionName": self.function_name(), "alias": ALIAS}],
            "strategy": {"type": "allAtOnce"},
            // The local AWS has its metrics at once.
            // A bake waits for the users that the chance of a weight sends late.
            // Whoever is not about failures in logs does not wait for one.
            "analysis": {"minInvocations": 1, "settleSeconds": 0, "checkEverySeconds": 30, "maxBakeSeconds": 4000,
                "liveErrors": "off"},
        });
        merge(&mut request, more);
        request
    }

    /// A rollback by hand of the test's application.
    pub(crate) fn rollback(&self) -> Value {
        json!({"action": "rollback", "application": self.application(), "reason": "it looks odd"})
    }

    /// Starts an execution.
    pub(crate) async fn start(&self, request: &Value) -> Execution {
        let execution = self.world.start(request).await;
        self.watch(&execution);
        execution
    }

    /// Starts an execution whose waits are so long, as a share of what they say.
    pub(crate) async fn start_scaled(&self, request: &Value, scale: f64) -> Execution {
        let machine = self.world.stack.state_machine.rsplit(':').next();
        let waits = json!({"execution": format!("{}:{}", machine.unwrap_or_default(), self.name), "scale": scale});
        self.world.control.post("waits", &waits).await;
        let execution = self.world.start_as(&self.name, request).await;
        self.watch(&execution);
        execution
    }

    /// Has a function's metrics come so many seconds after its invocations end.
    pub(crate) async fn metrics_come_late(&self, target: &Target, seconds: f64) {
        let lag = json!({"functionName": target.name, "seconds": seconds});
        self.world.control.post("metrics/lag", &lag).await;
    }

    /// Has the invariants checked for an execution too.
    pub(crate) fn watch(&self, execution: &Execution) {
        let mut executions = self.begun.executions.lock().expect("nobody panics with it");
        executions.push(execution.clone());
    }

    /// Starts an execution and waits for its end.
    pub(crate) async fn release(&self, request: &Value) -> (Execution, Ended) {
        let execution = self.start(request).await;
        let ended = execution.wait().await;
        (execution, ended)
    }

    /// Users of the test's function.
    pub(crate) fn users(&self, target: &Target, per_second: f64) -> Traffic {
        let users = Traffic::start(&self.suite().local, target, ALIAS, per_second);
        self.witnessed(users, "users", target)
    }

    /// When a version of a function last answered one of the test's users, seconds since 1970.
    pub(crate) fn last_answer_of(&self, target: &Target, version: &str) -> f64 {
        let witnesses = self.begun.witnesses.lock().expect("nobody panics with it");
        let of = witnesses
            .iter()
            .filter(|one| one.function == target.name)
            .flat_map(Witness::answers);
        of.filter(|answer| answer.version == version)
            .map(|answer| answer.at)
            .fold(0.0, f64::max)
    }

    /// Has it checked that no version serves requests to a function before it has passed validation.
    pub(crate) fn witnessed(&self, traffic: Traffic, who: &str, target: &Target) -> Traffic {
        let witness = traffic.witness(who, &target.name);
        let mut witnesses = self.begun.witnesses.lock().expect("nobody panics with it");
        witnesses.push(witness);
        traffic
    }

    /// Has the same checked with a client that sends requests from now on until all has been checked.
    pub(crate) fn probe(&self, traffic: Traffic, who: &str, target: &Target) {
        let traffic = self.witnessed(traffic, who, target);
        let mut probes = self.begun.probes.lock().expect("nobody panics with it");
        probes.push(traffic);
    }

    /// Waits until the alias is as `is` wants it.
    pub(crate) async fn alias_is(
        &self,
        target: &Target,
        what: &str,
        is: impl Fn(&crossfade_tests::target::Alias) -> bool,
    ) {
        until(&format!("{}: {what}", target.name), || async {
            let alias = target.look(ALIAS).await?;
            is(&alias).then_some(())
        })
        .await;
    }

    /// Waits until people were told about an execution with this status.
    pub(crate) async fn told(&self, execution: &Execution, status: &str) -> Notification {
        until(&format!("{status} of {}", execution.arn), || async {
            let told = self.world.notifications(&execution.arn).await;
            told.into_iter().find(|one| one.status() == status)
        })
        .await
    }

    /// Waits until the ledger has a deployment at this status.
    pub(crate) async fn ledger_says(&self, execution: &Execution, status: &str) {
        until(&format!("{status} of {}", execution.arn), || async {
            (self.world.deployment_status(&execution.arn).await == status).then_some(())
        })
        .await;
    }
}

/// Puts what `more` has into `value`; objects are merged, all else is replaced, null removes.
pub(crate) fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (name, new) in more {
                if new.is_null() {
                    fields.remove(&name);
                } else {
                    merge(fields.entry(name).or_insert(Value::Null), new);
                }
            }
        }
        (value, more) => *value = more,
    }
}

/// Canary steps, each with its bake.
pub(crate) fn canary(steps: &[(u8, u32)]) -> Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|(weight, bake)| json!({"weight": weight, "bakeSeconds": bake}))
        .collect();
    json!({"type": "canary", "steps": steps})
}

/// A moment, where nothing can be waited for: to see that something does *not* happen.
pub(crate) async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}

/// The end of an execution that has to wait for minutes to pass: a minute is a minute on the local
/// AWS too.
pub(crate) async fn ended_after_minutes(execution: &Execution) -> Ended {
    let begun = std::time::Instant::now();
    loop {
        if let Some(ended) = execution.ended().await {
            return ended;
        }
        assert!(
            begun.elapsed() < Duration::from_mins(4),
            "{} never ends",
            execution.arn
        );
        a_moment().await;
    }
}
