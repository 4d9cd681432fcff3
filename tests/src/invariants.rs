//! The design's invariants, each by its name, checked from outside: on the alias as the log of calls
//! shows it over time, the executions' histories, the ledger, and what people were told.
//!
//! They hold for every test, whatever it does; each test runs them at its end.

mod idle;
mod proven;

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value};

use crate::{
    Alb, Dns, Ended, Execution, Target, World,
    release::{Entered, LOOK_EVERY, visits},
    traffic::Witness,
    world::{Call, field},
};

use self::proven::Proofs;

/// An invariant, by its name in the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// When an execution has ended, traffic is all on one version: blue, or a green that passed.
    Whole,
    /// No request reaches a version that has not passed validation, by any path.
    Proven,
    /// Every alias write names a revision, and none goes over somebody else's change.
    SingleWriter,
    /// Two deployments never touch the same function at once, and the dead hold no locks.
    OneAtATime,
    /// Too little data is never a pass.
    NoDataIsNeverAPass,
    /// No version that is referenced or promised is deleted.
    Kept,
    /// The ledger knows the way back, from before the first shift to the end of retention.
    Armed,
    /// Every end is told, with why.
    Told,
    /// Going back means blue, and what the idle side held is put back at every end but a promotion.
    RestoredToBlue,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
    /// How many requests met it, where requests did.
    pub requests: u64,
}

impl Broken {
    fn new(invariant: Invariant, what: String) -> Self {
        Self {
            invariant,
            what,
            requests: 0,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// What is checked: functions that nobody else uses, and all executions about them.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The functions, each with its alias.
    pub targets: Vec<(Target, String)>,
    /// What splits their traffic, where that is not the alias.
    pub doors: Vec<Door>,
    /// Every execution about them, all ended.
    pub executions: Vec<Execution>,
    /// What requests to the functions met, those of clients that keep to the idle side among them.
    pub witnesses: Vec<Witness>,
    /// The place in the log of calls before the functions were made.
    pub since: u64,
}

/// Two weights in one place.
#[derive(Clone, Debug)]
pub enum Door {
    /// Two records.
    Zone(Box<Dns>),
    /// Two target groups.
    Balancer(Alb),
}

impl Door {
    /// The weights as they are.
    async fn weights(&self) -> (i64, i64) {
        match self {
            Self::Zone(dns) => dns.weights().await,
            Self::Balancer(alb) => {
                let weights = alb.weights().await;
                let of = |group: &str| weights.get(group).copied().unwrap_or_default().into();
                (of(&alb.blue), of(&alb.green))
            }
        }
    }

    /// What requests and calls name it by: its zone, rule or listener.
    fn name(&self) -> &str {
        match self {
            Self::Zone(dns) => &dns.zone,
            Self::Balancer(alb) => alb.rule.as_deref().unwrap_or(&alb.listener),
        }
    }

    /// Whether a release goes through it.
    fn is_of(&self, run: &Run) -> bool {
        run.input["traffic"].to_string().contains(self.name())
    }

    /// Whether a call moved it.
    fn moved_by(&self, call: &Call) -> bool {
        let actions: &[&str] = match self {
            Self::Zone(_) => &["ChangeResourceRecordSets"],
            Self::Balancer(_) => &["ModifyRule", "ModifyListener"],
        };
        let what = self.name();
        let about = || {
            let asked = call.asked.as_ref().map(Value::to_string);
            call.resource
                .as_deref()
                .is_some_and(|r| what.contains(r) && !r.is_empty())
                || asked.is_some_and(|asked| asked.contains(what))
        };
        actions.contains(&call.action.as_str()) && call.took_effect() && about()
    }
}

/// How long after the end of an execution that was stopped traffic may take to be whole, seconds.
const WHOLE_AFTER_STOP: f64 = 5.0;

/// One effective write to an alias.
#[derive(Clone, Debug)]
struct Write {
    at: f64,
    /// Our function that made it; none for somebody else.
    by: Option<String>,
    /// What the alias is after it; none when it is gone.
    alias: Option<Split>,
}

/// What an alias does: its version and the additional one with its share.
#[derive(Clone, Debug, PartialEq)]
struct Split {
    primary: String,
    additional: Option<(String, f64)>,
}

impl Write {
    /// Whether it made the alias of a stage, which is on what users were served past it.
    fn is_wiring(&self) -> bool {
        self.by
            .as_ref()
            .is_some_and(|caller| caller.ends_with("-front-door"))
    }
}

impl Split {
    fn serving(&self) -> Vec<&str> {
        let mut serving = Vec::new();
        if self
            .additional
            .as_ref()
            .is_none_or(|(_, share)| *share < 1.0)
        {
            serving.push(self.primary.as_str());
        }
        if let Some((version, share)) = &self.additional
            && *share > 0.0
        {
            serving.push(version);
        }
        serving
    }
}

/// An execution as it was.
struct Run {
    arn: String,
    input: Value,
    visits: Vec<Entered>,
    ended: Ended,
    ended_at: f64,
    row: Option<Map<String, Value>>,
    /// When its retention was over by the clock; none when it is not, or there is none.
    blue_until: Option<f64>,
}

impl Run {
    /// Whether both may touch the same resource. What only names an application may be about any.
    fn meets(&self, other: &Self) -> bool {
        let functions = |run: &Self| -> Option<Vec<String>> {
            let functions = run.input["functions"].as_array()?;
            let name = |one: &Value| Some(one["functionName"].as_str()?.to_owned());
            functions.iter().map(name).collect()
        };
        let (Some(mine), Some(theirs)) = (functions(self), functions(other)) else {
            return true;
        };
        let doors = [self, other].map(|run| {
            let traffic = run.input.get("traffic")?;
            let moved = [
                "hostedZoneId",
                "recordName",
                "ruleArn",
                "ruleArns",
                "listenerArn",
            ];
            Some(moved.map(|field| traffic.get(field).cloned()))
        });
        self.input["application"] == other.input["application"]
            || mine.iter().any(|name| theirs.contains(name))
            || doors[0].is_some() && doors[0] == doors[1]
    }

    async fn of(world: &World, execution: &Execution) -> Self {
        let ended = execution.wait().await;
        let history = execution.history().await;
        let visits = visits(&history);
        Self {
            arn: execution.arn.clone(),
            input: visits
                .first()
                .map(|visit| visit.input.clone())
                .unwrap_or_default(),
            ended_at: history
                .last()
                .map_or(0.0, |event| event.timestamp.as_secs_f64()),
            row: world.deployment(&execution.arn).await,
            blue_until: match world.retention_of(execution).await {
                Some(retention) => retention
                    .visits()
                    .await
                    .iter()
                    .find(|visit| visit.state == "KeepBlue")
                    .and_then(|visit| visit.left_at),
                None => None,
            },
            visits,
            ended,
        }
    }

    fn application(&self) -> &Value {
        &self.input["application"]
    }

    fn is_promoted(&self) -> bool {
        self.ended.outcome()["deploymentStatus"] == "SUCCESSFUL"
    }

    /// Whether its green has passed every gate and is on record as promoted, also where the execution was
    /// ended from outside at that moment, and says nothing of it.
    fn has_passed(&self) -> bool {
        let finalized = self.visits_to("FinalizeDeployment").next().is_some();
        self.is_promoted() || finalized && self.status() == "PROMOTED"
    }

    /// The versions between which it moved a function's traffic.
    fn versions_of(&self, function: &str) -> Option<[&str; 2]> {
        let functions = self.released();
        let about = functions
            .iter()
            .find(|about| about["functionName"] == function)?;
        let version = |name: &str| about[name].as_str().unwrap_or_default();
        Some([version("blueVersion"), version("greenVersion")])
    }

    /// Until when a promoted release keeps its blue and its green of a function, given all releases.
    fn keeps(&self, function: &str, runs: &[Self]) -> [f64; 2] {
        let newer = |same_function: bool| {
            let newer = runs.iter().filter(|other| {
                other.is_promoted()
                    && other.application() == self.application()
                    && other.ended_at > self.ended_at
                    && (!same_function || other.versions_of(function).is_some())
            });
            newer
                .map(|other| other.ended_at)
                .fold(f64::INFINITY, f64::min)
        };
        if self.status() == "ROLLED_BACK" {
            return [newer(true); 2];
        }
        let over = self.blue_until.unwrap_or(f64::INFINITY);
        [over.min(newer(false)), newer(true)]
    }

    fn visits_to<'a>(&'a self, state: &'a str) -> impl Iterator<Item = &'a Entered> {
        self.visits.iter().filter(move |visit| visit.state == state)
    }

    /// Its visits to `ValidateGreen`, each with the failure that it was left with; none where it passed, or
    /// where the execution ended in it.
    fn validations(&self) -> impl Iterator<Item = (&Entered, Option<&Value>)> {
        let next = self.visits.iter().skip(1).map(Some).chain([None]);
        let visits = self.visits.iter().zip(next);
        let validations = visits.filter(|(visit, _)| visit.state == "ValidateGreen");
        validations.map(|(visit, next)| {
            let caught = next.filter(|next| next.state == "RollbackDeployment");
            (visit, caught.map(|next| &next.input["failure"]))
        })
    }

    /// Its visits to `ValidateGreen` that passed.
    fn passed(&self) -> impl Iterator<Item = &Entered> {
        let passed = self.validations().filter(|(_, failure)| failure.is_none());
        passed.map(|(visit, _)| visit)
    }

    /// How many smoke tests the request has for a function; none where the function is not in it.
    fn smoke_tests_of(&self, function: &str) -> Option<usize> {
        let functions = self.input["functions"].as_array()?;
        let asked = functions
            .iter()
            .find(|asked| asked["functionName"] == function)?;
        Some(asked["smokeTests"].as_array().map_or(0, Vec::len))
    }

    /// Whether the request's exception to whole traffic was used.
    fn left_held(&self) -> bool {
        let leaves = self.input["onHoldTimeout"] == "leave"
            || self.input["migration"]["afterRollback"] == "freeze";
        self.ended.error == "DeploymentHeld" && leaves
    }

    fn is_rollback_by_hand(&self) -> bool {
        self.input["action"] == "rollback" && self.input["toVersion"].is_null()
    }

    fn status(&self) -> String {
        self.row
            .as_ref()
            .map(|row| field(row, "status"))
            .unwrap_or_default()
    }

    /// From the first shift to the end: when the traffic is this deployment's.
    fn window(&self) -> Option<(f64, f64)> {
        let begun = self.visits_to("ShiftTraffic").next()?.at;
        Some((begun, self.ended_at))
    }

    fn released(&self) -> Vec<&Value> {
        let launched = self.visits_to("ValidateGreen").next();
        let functions = launched.and_then(|visit| visit.input["functions"].as_array());
        functions.into_iter().flatten().collect()
    }
}

/// Looks at everything. Returns what does not hold.
pub async fn check(world: &World, scope: &Scope) -> Vec<Broken> {
    check_within(world, scope, WHOLE_AFTER_STOP).await
}

/// The same where a full machine takes longer to make traffic whole after a stop: at most so many seconds.
pub async fn check_within(world: &World, scope: &Scope, grace: f64) -> Vec<Broken> {
    let mut runs = Vec::new();
    for execution in &scope.executions {
        runs.push(Run::of(world, execution).await);
    }
    let calls = world.calls(scope.since).await;
    let stack = world.stack.name.as_str();
    let mut broken = Vec::new();
    let proofs = Proofs::of(&scope.targets, &calls, &runs, stack);
    for target in &scope.targets {
        proven::reachable(&proofs, target, &calls, stack, &mut broken);
    }
    let of_scope = |witness: &&Witness| {
        let mut targets = scope.targets.iter();
        targets.any(|(target, _)| target.name == witness.function)
    };
    for witness in scope.witnesses.iter().filter(of_scope) {
        proven::served(&proofs, witness, &mut broken);
    }
    for (target, alias) in &scope.targets {
        let writes = writes(&calls, &target.name, alias, &world.stack.name);
        let name = target.name.as_str();
        whole(name, &writes, &runs, grace, &mut broken);
        proven(name, &writes, &runs, &mut broken);
        single_writer(name, &writes, &calls, &world.stack.name, &runs, &mut broken);
        let versions = target.versions().await;
        kept(
            name,
            &versions,
            &calls,
            &runs,
            &world.stack.name,
            &mut broken,
        );
    }
    for door in &scope.doors {
        door_holds(door, &calls, &runs, stack, &mut broken).await;
        for left in idle::left_behind(door, &scope.targets, &calls, &runs, stack, grace) {
            // What AWS does not let put back is told, with what is still there.
            let told = world.notifications(&left.execution).await;
            if !told.iter().any(|one| one.message.contains(&left.side)) {
                broken.push(Broken::new(Invariant::RestoredToBlue, left.to_string()));
            }
        }
    }
    one_at_a_time(world, &runs, &mut broken).await;
    for run in &runs {
        no_data_is_never_a_pass(run, &mut broken);
        armed(world, run, &mut broken).await;
        told(world, run, &mut broken).await;
    }
    broken
}

/// A door is whole when all has ended, is moved only once green has passed, and by nobody's hand over
/// somebody else's.
async fn door_holds(
    door: &Door,
    calls: &[Call],
    runs: &[Run],
    stack: &str,
    broken: &mut Vec<Broken>,
) {
    let ours = format!("{stack}-");
    let moves: Vec<(&Call, bool)> = calls
        .iter()
        .filter(|call| door.moved_by(call))
        .map(|call| {
            let by_us = call.caller.as_ref();
            (call, by_us.is_some_and(|caller| caller.starts_with(&ours)))
        })
        .collect();
    for (call, by_us) in &moves {
        let proven = runs.iter().filter(|run| door.is_of(run)).any(|run| {
            let mut passed = run.passed();
            passed.any(|visit| visit.left_at.is_some_and(|left| left <= call.time))
        });
        if *by_us && !proven {
            broken.push(Broken::new(
                Invariant::Proven,
                format!("moved before any green had passed: {call:?}"),
            ));
        }
    }
    // A release that begins with its first move after somebody else's may write over it; one that was
    // on its way may not.
    for pair in moves.windows(2) {
        let [(theirs, false), (ours, true)] = pair else {
            continue;
        };
        let during = runs.iter().filter(|run| door.is_of(run)).any(|run| {
            run.window()
                .is_some_and(|(from, to)| from < theirs.time && ours.time < to + WHOLE_AFTER_STOP)
        });
        if during {
            broken.push(Broken::new(
                Invariant::SingleWriter,
                format!("somebody's {theirs:?} was overwritten by {ours:?}"),
            ));
        }
    }
    let last_by_us = moves.last().is_some_and(|(_, by_us)| *by_us);
    let left = runs.iter().any(Run::left_held);
    let (blue, green) = door.weights().await;
    if last_by_us && !left && ((blue == 0) == (green == 0)) {
        broken.push(Broken::new(
            Invariant::Whole,
            format!("all has ended, and the weights are {blue} and {green}: {door:?}"),
        ));
    }
}

/// The aliases that were written of a function.
fn aliases_of(calls: &[Call], function: &str) -> BTreeSet<String> {
    let about = calls.iter().filter(|call| {
        call.service == "lambda" && call.resource.as_deref() == Some(function) && call.took_effect()
    });
    let names = about.filter_map(|call| {
        let asked = call.asked.as_ref()?;
        match call.action.as_str() {
            "CreateAlias" => asked["Name"].as_str(),
            "UpdateAlias" => asked["path"].as_str()?.rsplit('/').next(),
            _ => None,
        }
    });
    names.map(str::to_owned).collect()
}

/// The effective writes to an alias, in order.
fn writes(calls: &[Call], function: &str, alias: &str, stack: &str) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    let ours = format!("{stack}-");
    for call in calls {
        if call.service != "lambda"
            || call.resource.as_deref() != Some(function)
            || !call.took_effect()
        {
            continue;
        }
        let asked = call.asked.as_ref().unwrap_or(&Value::Null);
        let about = match call.action.as_str() {
            "CreateAlias" => asked["Name"].as_str(),
            "UpdateAlias" | "DeleteAlias" => asked["path"]
                .as_str()
                .and_then(|path| path.rsplit('/').next()),
            _ => None,
        };
        if about != Some(alias) {
            continue;
        }
        let before = writes.last().and_then(|write| write.alias.clone());
        let after = if call.action.as_str() == "DeleteAlias" {
            None
        } else {
            let primary = asked["FunctionVersion"].as_str().map(str::to_owned);
            let primary = primary.or(before.as_ref().map(|split| split.primary.clone()));
            let additional = match asked["RoutingConfig"]["AdditionalVersionWeights"].as_object() {
                Some(weights) => weights
                    .iter()
                    .next()
                    .map(|(version, share)| (version.clone(), share.as_f64().unwrap_or(0.0))),
                None => before.and_then(|split| split.additional),
            };
            primary.map(|primary| Split {
                primary,
                additional,
            })
        };
        writes.push(Write {
            at: call.time,
            by: call
                .caller
                .clone()
                .filter(|caller| caller.starts_with(&ours)),
            alias: after,
        });
    }
    writes
}

fn whole(target: &str, writes: &[Write], runs: &[Run], grace: f64, broken: &mut Vec<Broken>) {
    let good = good_versions(target, writes, runs);
    let theirs = writes.iter().any(|write| write.by.is_none());
    let mut moments = vec![(f64::INFINITY, "all has ended".to_owned())];
    for run in runs {
        // Nothing can be made whole where nothing is allowed: the schedule goes on trying.
        if run.ended.error == "RollbackFailed" {
            continue;
        }
        // Step Functions itself ended it, and nothing catches that: as a stop.
        let grace = match run.ended.status.as_str() {
            "FAILED" if run.ended.error == "States.Runtime" => grace,
            "SUCCEEDED" | "FAILED" => 0.0,
            _ => grace,
        };
        let what = format!("{} ended {}, and {grace} s", run.arn, run.ended.status);
        moments.push((run.ended_at + grace, what));
    }
    for (moment, what) in moments {
        // Another deployment may have begun by then: its weights are its own.
        let busy = runs.iter().any(|run| {
            run.window()
                .is_some_and(|(from, to)| from <= moment && moment < to)
        });
        let Some(last) = writes.iter().rfind(|write| write.at <= moment) else {
            continue;
        };
        // The request's exception, for as long as nobody has written since.
        let left = runs
            .iter()
            .any(|run| run.left_held() && last.at <= run.ended_at && run.ended_at <= moment);
        if last.by.is_none() || busy || left {
            continue;
        }
        let is_whole = match &last.alias {
            // A first release that was taken back.
            None => !theirs,
            Some(Split {
                primary,
                additional: None,
            }) => good.contains(primary),
            Some(_) => false,
        };
        if !is_whole {
            broken.push(Broken::new(Invariant::Whole, format!(
                    "{target}: after {what}, its alias is at {:?}; {good:?} are blue or have passed",
                    last.alias
                )));
        }
    }
}

/// Blue versions, versions that somebody else chose or that a stage called, and greens that were
/// promoted.
fn good_versions(target: &str, writes: &[Write], runs: &[Run]) -> BTreeSet<String> {
    let mut good: BTreeSet<String> = writes
        .iter()
        .filter(|write| write.by.is_none() || write.is_wiring())
        .filter_map(|write| Some(write.alias.as_ref()?.primary.clone()))
        .collect();
    for run in runs {
        let functions = run.ended.outcome()["functions"].as_array();
        for function in functions.into_iter().flatten() {
            if function["functionName"] != target {
                continue;
            }
            good.extend(function["blueVersion"].as_str().map(str::to_owned));
            if run.ended.outcome()["deploymentStatus"] == "SUCCESSFUL" {
                good.extend(function["greenVersion"].as_str().map(str::to_owned));
            }
        }
    }
    // An execution that died has no outcome: what it found serving is in its first shift.
    for run in runs {
        for function in run.released() {
            if function["functionName"] == target {
                good.extend(function["blueVersion"].as_str().map(str::to_owned));
                let green = function["greenVersion"].as_str().map(str::to_owned);
                good.extend(green.filter(|_| run.has_passed()));
            }
        }
    }
    good
}

fn proven(target: &str, writes: &[Write], runs: &[Run], broken: &mut Vec<Broken>) {
    let mut served: BTreeSet<String> = BTreeSet::new();
    let mut before: Option<&Split> = None;
    for write in writes {
        let Some(split) = &write.alias else {
            before = None;
            continue;
        };
        let pinned = before.is_some_and(|before| before.primary == "$LATEST");
        for version in split.serving() {
            let validated = || {
                runs.iter().any(|run| {
                    run.passed().any(|visit| {
                        let green = visit.output["functions"].as_array();
                        let green = green.into_iter().flatten().any(|function| {
                            function["functionName"] == target
                                && function["greenVersion"] == version
                        });
                        green && visit.left_at.is_some_and(|left| left <= write.at)
                    })
                })
            };
            let by_us = write.by.is_some() && !write.is_wiring();
            if by_us && !pinned && !served.contains(version) && !validated() {
                broken.push(Broken::new(Invariant::Proven, format!(
                        "{}: {:?} gave traffic to version {version}, which no ValidateGreen had passed",
                        target, write.by
                    )));
            }
        }
        // What somebody else chose, and what served alone, has served.
        if write.by.is_none() || split.additional.is_none() {
            served.extend(split.serving().into_iter().map(str::to_owned));
        }
        before = Some(split);
    }
}

fn single_writer(
    target: &str,
    writes: &[Write],
    calls: &[Call],
    stack: &str,
    runs: &[Run],
    broken: &mut Vec<Broken>,
) {
    let mut fail = |what: String| {
        broken.push(Broken::new(
            Invariant::SingleWriter,
            format!("{target}: {what}"),
        ));
    };
    let ours = format!("{stack}-");
    for call in calls {
        let by_us = call
            .caller
            .as_ref()
            .is_some_and(|caller| caller.starts_with(&ours));
        if by_us && call.action == "UpdateAlias" && call.resource.as_deref() == Some(target) {
            let asked = call.asked.as_ref().unwrap_or(&Value::Null);
            if asked["RevisionId"].as_str().is_none_or(str::is_empty) {
                fail(format!(
                    "{:?} wrote without a revision: {asked}",
                    call.caller
                ));
            }
        }
    }
    for pair in writes.windows(2) {
        let [theirs, ours] = pair else { continue };
        if theirs.by.is_some() || ours.by.is_none() {
            continue;
        }
        // Theirs came while a deployment was on its way: only a later one may write after it.
        let during = runs.iter().any(|run| {
            run.window()
                .is_some_and(|(from, to)| from < theirs.at && theirs.at < to)
        });
        let later = runs.iter().any(|run| {
            run.window()
                .is_some_and(|(from, _)| theirs.at < from && from <= ours.at)
        });
        if during && !later {
            fail(format!(
                "somebody's {:?} was overwritten with {:?}",
                theirs.alias, ours.alias
            ));
        }
    }
}

/// A version that one of our functions deleted.
struct Deletion {
    at: f64,
    version: String,
}

fn kept(
    target: &str,
    versions: &[String],
    calls: &[Call],
    runs: &[Run],
    stack: &str,
    broken: &mut Vec<Broken>,
) {
    let mut fail = |what: String| {
        broken.push(Broken::new(Invariant::Kept, format!("{target}: {what}")));
    };
    let ours = format!("{stack}-");
    let about = calls
        .iter()
        .filter(|call| call.resource.as_deref() == Some(target) && call.took_effect());
    let mut deletions = Vec::new();
    let mut aliases = BTreeSet::new();
    for call in about {
        let asked = call.asked.as_ref().unwrap_or(&Value::Null);
        if call.action == "CreateAlias" {
            aliases.extend(asked["Name"].as_str());
        }
        let by_us = call
            .caller
            .as_ref()
            .is_some_and(|caller| caller.starts_with(&ours));
        if call.action == "DeleteFunction" && by_us {
            match asked["query"]["Qualifier"].as_str() {
                Some(version) => deletions.push(Deletion {
                    at: call.time,
                    version: version.to_owned(),
                }),
                None => fail(format!("the whole function was deleted: {call:?}")),
            }
        }
    }

    let aliases: Vec<(&str, Vec<Write>)> = aliases
        .into_iter()
        .map(|alias| (alias, writes(calls, target, alias, stack)))
        .collect();
    for Deletion { at, version } in &deletions {
        for (alias, writes) in &aliases {
            let last = writes.iter().rfind(|write| write.at <= *at);
            if let Some(split) = last.and_then(|write| write.alias.as_ref())
                && (split.primary == *version
                    || split
                        .additional
                        .as_ref()
                        .is_some_and(|(other, _)| other == version))
            {
                fail(format!(
                    "version {version} was deleted while {alias} was at {split:?}"
                ));
            }
        }
        for run in runs {
            let Some([blue, green]) = run.versions_of(target) else {
                continue;
            };
            let since = run.visits_to("ValidateGreen").next().map(|visit| visit.at);
            let mut until = [run.ended_at; 2];
            if run.is_promoted() {
                until = run.keeps(target, runs);
            }
            for (kept, until) in [blue, green].into_iter().zip(until) {
                if kept == version && since.is_some_and(|since| since <= *at) && *at < until {
                    fail(format!(
                        "version {version} was deleted while {} kept it",
                        run.arn
                    ));
                }
            }
        }
        if let Some(what) = too_many_deleted(target, version, *at, versions, &deletions, runs) {
            fail(what);
        }
    }

    // And what has served, or was to, is there or was deleted with a right.
    let mut known: BTreeSet<&str> = aliases
        .iter()
        .flat_map(|(_, writes)| writes.iter().filter_map(|write| write.alias.as_ref()))
        .flat_map(Split::serving)
        .chain(
            runs.iter()
                .filter_map(|run| run.versions_of(target))
                .flatten(),
        )
        .collect();
    known.remove("$LATEST");
    known.remove("");
    for version in known {
        let deleted = deletions.iter().any(|one| one.version == version);
        if !deleted && !versions.iter().any(|there| there == version) {
            fail(format!("version {version} is gone; there are {versions:?}"));
        }
    }
}

/// Whether a version may go as far as its age is concerned, by what the releases promoted last of all
/// applications had asked for; what is wrong when it may not.
fn too_many_deleted(
    target: &str,
    version: &str,
    at: f64,
    versions: &[String],
    deletions: &[Deletion],
    runs: &[Run],
) -> Option<String> {
    let mut asked: Vec<(&Value, f64, Option<u64>)> = Vec::new();
    for run in runs {
        if !run.is_promoted() || run.ended_at > at || run.versions_of(target).is_none() {
            continue;
        }
        let keep = run.input["retention"]["keepVersions"].as_u64();
        let (application, ended_at) = (run.application(), run.ended_at);
        match asked.iter_mut().find(|(other, ..)| *other == application) {
            Some(last) if last.1 < ended_at => *last = (application, ended_at, keep),
            Some(_) => {}
            None => asked.push((application, ended_at, keep)),
        }
    }
    let number = |version: &str| version.parse::<u64>().unwrap_or_default();
    let later = deletions.iter().filter(|one| one.at > at);
    let newer = versions
        .iter()
        .chain(later.map(|one| &one.version))
        .filter(|other| number(other) > number(version))
        .count() as u64;
    let asked: Option<Vec<u64>> = asked.into_iter().map(|(.., keep)| keep).collect();
    match asked.and_then(|asked| asked.into_iter().max()) {
        None => Some(format!(
            "version {version} was deleted, and nobody asked for it"
        )),
        Some(keep) if newer < keep.max(1) => Some(format!(
            "version {version} was deleted, with {newer} newer ones and {keep} to keep"
        )),
        Some(_) => None,
    }
}

async fn one_at_a_time(world: &World, runs: &[Run], broken: &mut Vec<Broken>) {
    let mut fail = |what: String| {
        broken.push(Broken::new(Invariant::OneAtATime, what));
    };
    for (nth, one) in runs.iter().enumerate() {
        for other in &runs[nth + 1..] {
            if let (Some(one_at), Some(other_at)) = (one.window(), other.window())
                && one_at.0 < other_at.1
                && other_at.0 < one_at.1
                && one.meets(other)
            {
                fail(format!(
                    "{} and {} shifted at the same time",
                    one.arn, other.arn
                ));
            }
        }
    }
    let running = world.running().await;
    let locks = world.locks().await;
    for run in runs {
        let held: Vec<_> = locks
            .iter()
            .filter(|lock| lock.execution == run.arn)
            .collect();
        let is_running = running.contains(&run.arn);
        if run.status() == "HELD" && run.left_held() {
            if held.is_empty() || !is_running {
                fail(format!("{} was left held, but keeps no locks", run.arn));
            }
        } else if !held.is_empty() || is_running {
            fail(format!(
                "{} has ended and holds {held:?}; a row of RUNNING: {is_running}",
                run.arn
            ));
        }
    }
}

fn no_data_is_never_a_pass(run: &Run, broken: &mut Vec<Broken>) {
    for visit in run.visits_to("CheckAlarms") {
        // An operator who was shown the verdict may go on all the same.
        if visit.input.get("answer").is_some() || visit.input.get("approvalAnswer").is_some() {
            continue;
        }
        let said = &visit.output;
        let goes_on = matches!(said["decision"].as_str(), Some("shift" | "promote" | "ask"));
        let proceeds = said["analysis"]["onInconclusive"] == "proceed";
        let Some(step) = said["steps"].as_array().and_then(|steps| steps.last()) else {
            continue;
        };
        if !goes_on || proceeds {
            continue;
        }
        let mut fail = |what: String| {
            broken.push(Broken::new(
                Invariant::NoDataIsNeverAPass,
                format!("{}: {what}: {said}", run.arn),
            ));
        };
        if step["verdict"] != "healthy" {
            fail(format!("went on after a verdict of {}", step["verdict"]));
        }
        // A function whose alias was just made may have no caller yet: a smoke test has spoken for it.
        let uncalled = said["evidence"]["uncalled"].as_array();
        if let Some(uncalled) = uncalled {
            let functions = said["functions"].as_array();
            for target in functions.into_iter().flatten() {
                if uncalled.contains(&target["functionName"])
                    && (!target["blueVersion"].is_null()
                        || said["smokeTested"].as_array().is_none_or(Vec::is_empty))
                {
                    fail(format!("took silence for health: {target}"));
                }
            }
            continue;
        }
        let baked = said["plan"]["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|planned| {
                planned["weight"] == step["weight"] && planned["bakeSeconds"].as_u64() > Some(0)
            });
        if !baked || step["weight"] == 0 {
            continue;
        }
        let enough = said["analysis"]["minInvocations"].as_u64();
        let seen = &said["evidence"]["judge"]["green"]["invocations"];
        let in_shadow = said["analysis"]["shadow"] == true;
        if !in_shadow && seen.as_u64() < enough {
            fail(format!("went on after {seen} invocations"));
        }
        for alarm in said["evidence"]["alarms"].as_array().into_iter().flatten() {
            if alarm["state"] != "ALARM" {
                fail(format!("went on with an alarm that cannot tell: {alarm}"));
            }
        }
    }
}

/// Looked at again for a while where it does not hold: the retention that supersedes this one's begins
/// when its release has ended, and not before.
async fn armed(world: &World, run: &Run, broken: &mut Vec<Broken>) {
    let mut found = Vec::new();
    for _ in 0..20 {
        found = is_armed(world, run).await;
        if found.is_empty() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    broken.extend(found);
}

async fn is_armed(world: &World, run: &Run) -> Vec<Broken> {
    let mut broken = Vec::new();
    if run.visits_to("ShiftTraffic").next().is_none() {
        return broken;
    }
    let mut fail = |what: String| {
        broken.push(Broken::new(
            Invariant::Armed,
            format!("{}: {what}", run.arn),
        ));
    };
    let row = world.deployment(&run.arn).await;
    let Some(row) = &row else {
        fail("traffic was shifted, and the ledger does not know the deployment".into());
        return broken;
    };
    let footprint: Value = serde_json::from_str(&field(row, "footprint")).unwrap_or_default();
    // A load balancer may have no function behind it: its groups are the way back.
    let by_groups = footprint["traffic"]["blue"].is_string();
    if footprint["functions"].as_array().is_none_or(Vec::is_empty) && !by_groups {
        fail(format!(
            "the ledger does not know the way back: {footprint}"
        ));
    }
    let watches = world.watches_of(&run.arn).await;
    let alarms = run.input["analysis"]["alarms"].as_array();
    let status = field(row, "status");
    let is_over = ["retentionEndedAt", "supersededBy"]
        .iter()
        .any(|name| !field(row, name).is_empty());
    let open = status == "HELD" || (status == "PROMOTED" && !is_over);
    for alarm in alarms.into_iter().flatten().filter_map(Value::as_str) {
        match (open, watches.get(alarm)) {
            (true, None) => fail(format!("{status} and does not watch {alarm}")),
            (true, Some(watch)) if status == "PROMOTED" => {
                if field(watch, "retainUntil").is_empty() || field(row, "retainUntil").is_empty() {
                    fail(format!("promoted, and watches {alarm} without an end"));
                }
            }
            (false, Some(_)) => fail(format!("{status} and still watches {alarm}")),
            (true, Some(_)) | (false, None) => {}
        }
    }
    broken
}

async fn told(world: &World, run: &Run, broken: &mut Vec<Broken>) {
    // What was asked for by hand is told about the deployment that it was about.
    if run.is_rollback_by_hand() && run.ended.status == "SUCCEEDED" {
        return;
    }
    let mut fail = |what: String| {
        broken.push(Broken::new(Invariant::Told, format!("{}: {what}", run.arn)));
    };
    let told = world.notifications(&run.arn).await;
    let Some(last) = told.last() else {
        fail(format!("ended {} and nobody was told", run.ended.status));
        return;
    };
    let outcome = run.ended.outcome()["deploymentStatus"].as_str();
    let (error, cause) = (&run.ended.error, &run.ended.cause);
    let page = format!("docs/errors/{error}.md");
    if cause["deploymentStatus"].is_string() && cause["help"] != page {
        fail(format!("{error} names the page {}", cause["help"]));
    }
    // What is taken back after its promotion is told a second time.
    let said: Vec<&str> = told
        .iter()
        .map(crate::world::Notification::status)
        .collect();
    if let Some(outcome) = outcome
        && !said.contains(&outcome)
    {
        fail(format!("ended {outcome}; people were told {said:?}"));
    }
    let passed = run.has_passed() && last.status() == "SUCCESSFUL";
    if outcome.is_none() && !passed && !["ROLLED_BACK", "REJECTED"].contains(&last.status()) {
        fail(format!(
            "ended {}; people were told {said:?}",
            run.ended.status
        ));
    }
    let why = last.message.lines().next().unwrap_or_default();
    if why.is_empty() || why == "no reason is on record" {
        fail(format!("people were not told why: {}", last.message));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn visit(state: &str, at: f64, output: Value) -> Entered {
        Entered {
            state: state.into(),
            at,
            input: output.clone(),
            left_at: Some(at + 0.1),
            output,
        }
    }

    /// A release of version 2 over version 1, from 10 to 20 s.
    pub(super) fn run(status: &str, error: &str, outcome: &str) -> Run {
        let functions =
            json!([{"functionName": "f", "alias": "a", "blueVersion": "1", "greenVersion": "2"}]);
        let release = json!({"functions": functions});
        Run {
            arn: "arn:e".into(),
            input: json!({}),
            visits: vec![
                visit("ValidateGreen", 10.0, release.clone()),
                visit("ShiftTraffic", 11.0, release),
            ],
            ended: Ended {
                status: status.into(),
                output: Value::Null,
                error: error.into(),
                cause: json!({"deploymentStatus": outcome, "functions": functions}),
            },
            ended_at: 20.0,
            row: None,
            blue_until: None,
        }
    }

    fn write(at: f64, by: Option<&str>, primary: &str, additional: Option<(&str, f64)>) -> Write {
        Write {
            at,
            by: by.map(str::to_owned),
            alias: Some(Split {
                primary: primary.into(),
                additional: additional.map(|(version, share)| (version.to_owned(), share)),
            }),
        }
    }

    const US: Option<&str> = Some("crossfade-x");

    fn found(check: impl FnOnce(&mut Vec<Broken>)) -> Vec<Invariant> {
        let mut broken = Vec::new();
        check(&mut broken);
        broken.into_iter().map(|one| one.invariant).collect()
    }

    #[test]
    fn traffic_that_stays_split_is_not_whole() {
        let made = write(1.0, None, "1", None);
        let split = write(12.0, US, "1", Some(("2", 0.1)));
        let back = write(13.0, US, "1", None);
        let rolled_back = [run("FAILED", "DeploymentRolledBack", "ROLLED_BACK")];
        let seen = |writes: &[Write]| {
            found(|broken| whole("f", writes, &rolled_back, WHOLE_AFTER_STOP, broken))
        };
        assert_eq!(seen(&[made.clone(), split.clone(), back]), []);
        assert_eq!(seen(&[made.clone(), split.clone()]), [Invariant::Whole; 2]);
        // A green that did not pass.
        let kept = write(13.0, US, "2", None);
        assert_eq!(
            seen(&[made.clone(), split.clone(), kept]),
            [Invariant::Whole; 2]
        );
        // Too late.
        let late = write(20.5, US, "1", None);
        assert_eq!(seen(&[made, split, late]), [Invariant::Whole]);
    }

    #[test]
    fn allows_five_seconds_after_a_stop() {
        let stopped = [run("ABORTED", "", "")];
        for (at, expected) in [(24.0, vec![]), (26.0, vec![Invariant::Whole])] {
            let writes = [
                write(1.0, None, "1", None),
                write(12.0, US, "1", Some(("2", 0.1))),
                write(at, US, "1", None),
            ];
            assert_eq!(
                found(|broken| whole("f", &writes, &stopped, WHOLE_AFTER_STOP, broken)),
                expected
            );
        }
    }

    #[test]
    fn detects_a_hold_left_without_request() {
        let writes = [
            write(1.0, None, "1", None),
            write(12.0, US, "1", Some(("2", 0.1))),
        ];
        let mut held = run("FAILED", "DeploymentHeld", "HELD");
        assert!(
            !found(|broken| whole(
                "f",
                &writes,
                &[run("FAILED", "DeploymentHeld", "HELD")],
                WHOLE_AFTER_STOP,
                broken
            ))
            .is_empty()
        );
        held.input = json!({"onHoldTimeout": "leave"});
        assert_eq!(
            found(|broken| whole("f", &writes, &[held], WHOLE_AFTER_STOP, broken)),
            []
        );
    }

    #[test]
    fn weight_before_the_validation_is_not_proven() {
        let runs = [run("SUCCEEDED", "", "SUCCESSFUL")];
        let made = write(1.0, None, "1", None);
        for (at, expected) in [(12.0, vec![]), (10.05, vec![Invariant::Proven])] {
            let writes = [made.clone(), write(at, US, "1", Some(("2", 0.1)))];
            assert_eq!(
                found(|broken| proven("f", &writes, &runs, broken)),
                expected
            );
        }
        let other = [made, write(12.0, US, "3", None)];
        assert_eq!(
            found(|broken| proven("f", &other, &runs, broken)),
            [Invariant::Proven]
        );
    }

    #[test]
    fn detects_a_wiring_to_another_version() {
        let made = [write(1.0, Some("crossfade-front-door"), "1", None)];
        assert_eq!(found(|broken| proven("f", &made, &[], broken)), []);
        let runs = [run("SUCCEEDED", "", "SUCCESSFUL")];
        assert_eq!(
            found(|broken| whole("f", &made, &runs, WHOLE_AFTER_STOP, broken)),
            []
        );
        let other = [write(1.0, US, "1", None)];
        assert_eq!(
            found(|broken| proven("f", &other, &[], broken)),
            [Invariant::Proven]
        );
    }

    #[test]
    fn detects_a_write_over_foreign_state() {
        let runs = [run("FAILED", "ChangedOutside", "HELD")];
        let mut writes = vec![
            write(1.0, None, "1", None),
            write(12.0, US, "1", Some(("2", 0.1))),
            write(13.0, None, "3", None),
        ];
        let seen = |writes: &[Write]| {
            found(|broken| single_writer("f", writes, &[], "crossfade", &runs, broken))
        };
        assert_eq!(seen(&writes), []);
        writes.push(write(14.0, US, "1", None));
        assert_eq!(seen(&writes), [Invariant::SingleWriter]);
    }

    #[test]
    fn detects_a_write_without_revision() {
        let call = |asked: Value| Call {
            served: false,
            seconds: 0.0,
            seq: 1,
            time: 12.0,
            service: "lambda".into(),
            action: "UpdateAlias".into(),
            caller: Some("crossfade-finalize".into()),
            status: 200,
            resource: Some("f".into()),
            error: None,
            asked: Some(asked),
        };
        for (asked, expected) in [
            (json!({"RevisionId": "r"}), vec![]),
            (json!({}), vec![Invariant::SingleWriter]),
        ] {
            let calls = [call(asked)];
            let seen = found(|broken| single_writer("f", &[], &calls, "crossfade", &[], broken));
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn going_on_without_data_is_seen() {
        let checked = |decision: &str, verdict: &str, invocations: u64, proceed: &str| {
            let mut one = run("SUCCEEDED", "", "SUCCESSFUL");
            one.visits = vec![visit(
                "CheckAlarms",
                12.0,
                json!({"decision": decision,
                    "analysis": {"minInvocations": 10, "onInconclusive": proceed},
                    "plan": {"steps": [{"weight": 10, "bakeSeconds": 60}]},
                    "steps": [{"weight": 10, "verdict": verdict}],
                    "evidence": {"judge": {"green": {"invocations": invocations}}}}),
            )];
            found(|broken| no_data_is_never_a_pass(&one, broken))
        };
        assert_eq!(checked("shift", "healthy", 10, "hold"), []);
        assert_eq!(checked("hold", "inconclusive", 0, "hold"), []);
        assert_eq!(checked("shift", "inconclusive", 0, "proceed"), []);
        for (decision, verdict, invocations) in [
            ("shift", "healthy", 9),
            ("promote", "healthy", 0),
            ("ask", "healthy", 3),
        ] {
            let seen = checked(decision, verdict, invocations, "hold");
            assert_eq!(seen, [Invariant::NoDataIsNeverAPass], "{decision}");
        }
        assert!(!checked("shift", "inconclusive", 20, "hold").is_empty());
    }

    /// The calls that made an alias, and then deleted a version.
    fn deleting(qualifier: Option<&str>, at: f64, by: &str) -> [Call; 2] {
        let call = |time: f64, action: &str, caller: Option<&str>, asked: Value| Call {
            served: false,
            seconds: 0.0,
            seq: 1,
            time,
            service: "lambda".into(),
            action: action.into(),
            caller: caller.map(str::to_owned),
            status: 204,
            resource: Some("f".into()),
            error: None,
            asked: Some(asked),
        };
        let query = qualifier.map_or(json!({}), |version| json!({"Qualifier": version}));
        [
            call(
                1.0,
                "CreateAlias",
                None,
                json!({"Name": "a", "FunctionVersion": "5"}),
            ),
            call(at, "DeleteFunction", Some(by), json!({"query": query})),
        ]
    }

    /// Version 2 over version 1, at 10 to 20 s, with this retention; over at 30 s.
    fn retained(retention: &Value) -> Run {
        let mut run = run("SUCCEEDED", "", "SUCCESSFUL");
        run.input = json!({"application": "chat", "retention": retention});
        run.blue_until = Some(30.0);
        run
    }

    fn seen(versions: &[&str], calls: &[Call], runs: &[Run]) -> Vec<Invariant> {
        let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
        found(|broken| kept("f", &versions, calls, runs, "crossfade", broken))
    }

    #[test]
    fn detects_a_deleted_version() {
        let runs = [run("SUCCEEDED", "", "SUCCESSFUL")];
        let alias = &deleting(None, 0.0, "")[..1];
        assert_eq!(seen(&["1", "2", "5"], alias, &runs), []);
        assert_eq!(seen(&["2", "5"], alias, &runs), [Invariant::Kept]);
        assert_eq!(seen(&["1", "5"], alias, &runs), [Invariant::Kept]);
        assert_eq!(seen(&["1", "2"], alias, &runs), [Invariant::Kept]);
    }

    #[test]
    fn detects_an_unentitled_deletion() {
        let us = "crossfade-prune";
        let one = json!({"keepVersions": 1});
        let at = |version, time, retention: &Value| {
            let calls = deleting(Some(version), time, us);
            let there = ["1", "2", "5", "6"];
            let there: Vec<_> = there.into_iter().filter(|one| *one != version).collect();
            seen(&there, &calls, &[retained(retention)])
        };
        // Blue, once its retention is over and not before, and only where it was asked for.
        assert_eq!(at("1", 31.0, &one), []);
        assert_eq!(at("1", 29.0, &one), [Invariant::Kept]);
        assert_eq!(at("1", 15.0, &one), [Invariant::Kept; 2], "in flight");
        assert_eq!(at("1", 31.0, &json!({})), [Invariant::Kept]);
        // Only 2, 5 and 6 are newer.
        assert_eq!(at("1", 31.0, &json!({"keepVersions": 3})), []);
        assert_eq!(
            at("1", 31.0, &json!({"keepVersions": 4})),
            [Invariant::Kept]
        );
        // What was promoted last, what an alias is on, and the newest.
        assert_eq!(at("2", 31.0, &one), [Invariant::Kept]);
        assert_eq!(at("5", 31.0, &one), [Invariant::Kept]);
        assert_eq!(at("6", 31.0, &one), [Invariant::Kept]);
        // The whole function.
        let all = deleting(None, 31.0, us);
        assert_eq!(
            seen(&["1", "2", "5"], &all, &[retained(&one)]),
            [Invariant::Kept]
        );
    }

    #[test]
    fn ends_older_retention_with_a_newer_release() {
        let one = json!({"keepVersions": 1});
        let mut older = retained(&one);
        older.blue_until = None;
        let mut newer = retained(&one);
        newer.ended_at = 25.0;
        newer.blue_until = None;
        for visit in &mut newer.visits {
            let functions = json!([{"functionName": "f", "blueVersion": "2", "greenVersion": "3"}]);
            visit.at = 22.0;
            visit.input["functions"] = functions;
        }
        let calls = deleting(Some("1"), 26.0, "crossfade-prune");
        let runs = [older, newer];
        assert_eq!(seen(&["2", "3", "5"], &calls, &runs), []);
        let calls = deleting(Some("1"), 24.0, "crossfade-prune");
        assert_eq!(seen(&["2", "3", "5"], &calls, &runs), [Invariant::Kept]);
        let calls = deleting(Some("2"), 26.0, "crossfade-prune");
        assert_eq!(seen(&["1", "3", "5"], &calls, &runs), [Invariant::Kept]);
    }
}
