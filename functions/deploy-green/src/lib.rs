//! Takes the locks, makes green, and fixes what the release will do.
//!
//! Everything that can be known before anything is touched is looked at first; and whatever is
//! touched is such that to begin again finds it done: a publication that changes nothing yields the
//! version that exists.

mod callees;
mod green;
mod locks;

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use crossfade::{
    aws::{
        executions::Executions,
        functions::Functions,
        health,
        ledger::{Ledger, Status},
        metrics::Metrics,
        notify::Notifier,
        traffic::Traffic,
    },
    domain::{
        Timestamp,
        analysis::{Analysis, PreexistingAlarms},
        approval::Approval,
        check::{AlarmState, Evidence, Reading},
        counts::BluePast,
        front_door::FrontDoor,
        health::of_green,
        migration::{Migration, Phase},
        names::{AlarmName, FunctionName},
        plan::{Plan, Step},
        release::{DeploymentStatus, Hold, Position, Release, Target},
        retention::name_of,
        weight::Weight,
    },
    error::Error,
    freeze,
    rollback::blue_is_kept,
    wire::{
        notice::Notice,
        outcome::{FunctionOutcome, Outcome},
        request::{ReleaseRequest, Request},
        task::{Task, task},
    },
};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::green::Prepared;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    functions: Functions,
    ledger: Ledger,
    metrics: Metrics,
    notifier: Notifier,
    traffic: Traffic,
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            executions: Executions::new(config),
            functions: Functions::new(config),
            ledger: Ledger::new(config),
            metrics: Metrics::new(config),
            notifier: Notifier::new(config),
            traffic: Traffic::new(config),
        }
    }

    /// Makes green of a request: a [`Release`], or an [`Outcome`] when there is nothing to release.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let mut task = task(payload)?;
        let mut warnings = wired(&mut task.state);
        let request = asked(&task.state)?;
        callees::check(&request)?;
        let overridden = freeze::check(task.now, request.override_freeze.as_ref())?;
        let by = request.override_freeze.as_ref();
        let by = by.filter(|_| overridden.is_some());
        warnings.extend(overridden);

        warnings.extend(Box::pin(self.take_locks(&task, &request, by)).await?);
        let names = request.functions.iter().map(|asked| &asked.function_name);
        let (readings, observed, bypasses) = futures::try_join!(
            self.metrics.alarms(&request.analysis.alarms),
            self.traffic.observe(&request),
            try_join_all(names.map(|name| self.functions.bypasses(name))),
        )?;
        let mut door = observed.door;
        warnings.extend(observed.warnings);
        warnings.extend(bypasses.into_iter().flatten());
        let preexisting_alarms = preflight(&request.analysis, &readings)?;
        self.nobody_needs_what_goes(&request, task.now).await?;

        let prepared = try_join_all(
            request
                .functions
                .iter()
                .zip(observed.functions)
                .map(|(asked, serving)| self.prepare(asked, serving, &door, task.now)),
        )
        .await?;
        warnings.extend(prepared.iter().flat_map(|one| one.warnings.clone()));
        let (changed, same): (Vec<Prepared>, Vec<Prepared>) =
            prepared.into_iter().partition(Prepared::changes);
        if changed.is_empty() && !same.is_empty() {
            return self
                .nothing_to_release(&task, &request, &same, warnings)
                .await;
        }
        let (mut functions, left_out) = moving(&door, changed, same, &mut warnings);
        self.traffic.stage(&door, &mut functions).await?;

        let past = self.past(&mut door, &functions, &request, task.now).await?;
        let plan = plan(&request, &door, &functions);
        let mut analysis = request.analysis.clone();
        analysis.health_checks = of_green(&analysis.health_checks, &door);
        let release = Release {
            application: request.application.clone(),
            started_at: task.now,
            functions,
            left_out,
            past,
            plan,
            traffic: door,
            propagation: None,
            analysis,
            preexisting_alarms,
            hold: Hold {
                timeout_seconds: request.hold_timeout_seconds,
                on_timeout: request.hold_ends(),
            },
            approval: Approval {
                timeout_seconds: request.approval_timeout_seconds,
                on_timeout: request.on_approval_timeout,
                on_denied: request.on_denied,
            },
            blue_hours: request.retention.blue_hours,
            keep_versions: request.retention.keep_versions,
            warnings: few(warnings),
            migration: request.migration.as_ref().map(Migration::from),
            hooks: request.hooks.clone(),
            hook: None,
            health: Vec::new(),
            position: Position::default(),
            steps: Vec::new(),
            decision: None,
            resume: None,
            deployment_status: None,
            reason: String::new(),
            evidence: Evidence {
                override_freeze: by.cloned(),
                ..Evidence::default()
            },
            answers: Vec::new(),
            approval_answer: None,
            unanswered: None,
            answer: None,
        };
        self.ledger
            .launch(&task.execution, task.retries, &release)
            .await?;
        let begun = Notice::started(&task.execution, task.now, &release);
        self.notifier.mention(&begun).await;
        tracing::info!(
            deployment.id = task.execution,
            application = %release.application,
            functions = release.functions.len(),
            steps = release.plan.steps().len(),
            "Made green."
        );
        Ok(json!(release))
    }

    /// A migration that takes away what older versions needed waits until none of them is kept: blue of
    /// the last release could not be gone back to.
    async fn nobody_needs_what_goes(
        &self,
        request: &ReleaseRequest,
        now: Timestamp,
    ) -> Result<(), Error> {
        let contracts = request
            .migration
            .as_ref()
            .is_some_and(|migration| migration.phase == Phase::Contract);
        if !contracts {
            return Ok(());
        }
        let last = match self.ledger.promoted_last(&request.application).await? {
            Some(execution) => self.ledger.get(&execution).await?,
            None => None,
        };
        let kept = last.and_then(|last| Some((blue_is_kept(&last, now)?, last)));
        match kept {
            None => Ok(()),
            Some((until, last)) => Err(Error::ValidationFailed(format!(
                "migration.phase: \"contract\" takes away what older versions needed, and blue of release {} is kept until {}: release this after that",
                name_of(&last.execution),
                until.to_rfc3339_opts(SecondsFormat::Secs, true)
            ))),
        }
    }

    /// What each function's blue showed so far; that of the front door's blue goes into the door.
    async fn past(
        &self,
        door: &mut FrontDoor,
        functions: &[Target],
        request: &ReleaseRequest,
        now: Timestamp,
    ) -> Result<BTreeMap<FunctionName, BluePast>, Error> {
        let counted = door.counted(functions);
        let slower_than_ms = request.analysis.slower_than_ms;
        let pasts = self.metrics.past(&counted, slower_than_ms, now).await?;
        door.remember(pasts.get(functions.len()).copied().flatten());
        let names = functions.iter().map(|target| target.function_name.clone());
        let each = names.zip(pasts);
        Ok(each
            .filter_map(|(name, past)| Some((name, past?)))
            .collect())
    }

    async fn nothing_to_release(
        &self,
        task: &Task,
        request: &ReleaseRequest,
        same: &[Prepared],
        warnings: Vec<String>,
    ) -> Result<Value, Error> {
        if let Some(record) = self.ledger.get(&task.execution).await? {
            self.ledger
                .end(&record, Status::Unchanged, task.now, None)
                .await?;
        }
        let outcome = Outcome {
            deployment_status: DeploymentStatus::NoChange,
            application: Some(request.application.clone()),
            functions: same
                .iter()
                .map(|one| FunctionOutcome::from(&one.target))
                .collect(),
            reason: "green is the version that serves already".into(),
            evidence: Evidence::default(),
            steps: Vec::new(),
            answers: Vec::new(),
            warnings: few(warnings),
            retain_until: None,
            front_door: None,
            hook: None,
        };
        let ended = Notice::ended(&task.execution, task.now, &outcome);
        self.notifier.tell(&ended).await?;
        Ok(json!(outcome))
    }
}

/// Who moves, and whose green serves already, so that nothing is done to it.
fn moving(
    door: &FrontDoor,
    changed: Vec<Prepared>,
    same: Vec<Prepared>,
    warnings: &mut Vec<String>,
) -> (Vec<Target>, Vec<FunctionName>) {
    let mut functions: Vec<_> = changed.into_iter().map(|one| one.target).collect();
    let mut left_out = Vec::new();
    if *door == FrontDoor::Alias {
        warnings.extend(same.iter().map(|one| {
            format!(
                "{}: version {} serves already; left out",
                one.target.function_name, one.target.green_version
            )
        }));
        left_out.extend(same.into_iter().map(|one| one.target.function_name));
    } else {
        // One door moves them all: green's side has to have the unchanged ones, too.
        functions.extend(same.into_iter().map(|one| one.target));
    }
    (functions, left_out)
}

/// Reads the request, which has to be of a release.
fn asked(state: &Value) -> Result<Box<ReleaseRequest>, Error> {
    match Request::parse(state) {
        Ok(Request::Release(request)) => Ok(request),
        Ok(Request::Rollback { .. } | Request::Wire { .. } | Request::Unwire { .. }) => {
            Err(Error::InvalidRequest("not a release".into()))
        }
        Err(problems) => Err(Error::InvalidRequest(problems.to_string())),
    }
}

/// Takes out of a request what the state that wired its front door has to say. Only behind that state
/// may it be there: anywhere else it is a field that is not known.
fn wired(request: &mut Value) -> Vec<String> {
    if request.get("frontDoor").is_none_or(Value::is_null) {
        return Vec::new();
    }
    request
        .as_object_mut()
        .and_then(|fields| fields.remove("frontDoorWarnings"))
        .and_then(|warnings| serde_json::from_value(warnings).ok())
        .unwrap_or_default()
}

/// As many warnings as every state of a release can carry; all of them are in the log.
fn few(mut warnings: Vec<String>) -> Vec<String> {
    const TOLD: usize = 30;
    const CHARACTERS: usize = 300;
    for warning in &warnings {
        tracing::info!(warning, "People should know.");
    }
    let left_out = warnings.len().saturating_sub(TOLD);
    warnings.truncate(TOLD);
    for warning in &mut warnings {
        if warning.chars().count() > CHARACTERS {
            *warning = warning.chars().take(CHARACTERS).chain(['…']).collect();
        }
    }
    if left_out > 0 {
        warnings.push(format!(
            "{left_out} more warnings are in deploy-green's log"
        ));
    }
    warnings
}

/// Which alarms are in ALARM before anything was done, where the request ignores that.
///
/// # Errors
/// [`Error::InvalidRequest`] for a health check that this stack does not let ask its URL, and for an
/// alarm that does not exist: CloudWatch says nothing of it, and silence would read as health. [`Error::ValidationFailed`] for one that is in ALARM: it would
/// roll back every release.
fn preflight(analysis: &Analysis, readings: &[Reading]) -> Result<Vec<AlarmName>, Error> {
    let forbidden = health::forbidden(analysis);
    if !forbidden.is_empty() {
        return Err(Error::InvalidRequest(forbidden.join("\n")));
    }
    let named = |state: AlarmState| {
        let names = readings
            .iter()
            .filter(move |reading| reading.state == state);
        names
            .map(|reading| reading.name.clone())
            .collect::<Vec<_>>()
    };
    let missing = named(AlarmState::Missing);
    if !missing.is_empty() {
        let paths = missing.iter().map(|name| {
            let index = analysis.alarms.iter().position(|alarm| alarm == name).unwrap_or_default();
            format!("analysis.alarms[{index}]: no alarm of the name \"{name}\" exists; name a metric or composite alarm of this account and Region")
        });
        return Err(Error::InvalidRequest(paths.collect::<Vec<_>>().join("\n")));
    }
    let firing = named(AlarmState::Alarm);
    match analysis.preexisting_alarms {
        PreexistingAlarms::Refuse if !firing.is_empty() => {
            let in_alarm: Vec<_> = firing.iter().map(AsRef::as_ref).collect();
            Err(Error::ValidationFailed(format!(
                "in ALARM before the release: {}; wait until they are OK, or release with analysis.preexistingAlarms = ignore",
                in_alarm.join(", ")
            )))
        }
        PreexistingAlarms::Refuse | PreexistingAlarms::Ignore => Ok(firing),
    }
}

/// The steps: those of the request, where there is a blue to share traffic with.
fn plan(request: &ReleaseRequest, door: &FrontDoor, functions: &[Target]) -> Plan {
    let new = functions.iter().all(|target| target.blue_version.is_none());
    if *door == FrontDoor::Alias && new {
        first_release(&request.plan())
    } else {
        request.plan()
    }
}

/// A first release has no blue to share traffic with: one step, baked as the plan's last one is.
fn first_release(plan: &Plan) -> Plan {
    let bake_seconds = plan.steps().last().map_or(0, |step| step.bake_seconds);
    let step = Step {
        weight: Weight::FULL,
        bake_seconds,
    };
    let approval = plan.approve_before().is_some().then_some(Weight::FULL);
    Plan::new(vec![step], approval).unwrap_or_else(|_| plan.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AlarmName {
        AlarmName::try_from(text.to_owned()).unwrap()
    }

    fn analysis(word: &str) -> Analysis {
        serde_json::from_value(json!({"alarms": ["a", "b"], "preexistingAlarms": word})).unwrap()
    }

    fn readings(a: AlarmState, b: AlarmState) -> Vec<Reading> {
        [("a", a), ("b", b)]
            .map(|(text, state)| Reading {
                name: name(text),
                state,
                since: None,
            })
            .into()
    }

    #[test]
    fn what_the_front_door_says_is_taken_only_behind_it() {
        let mut request = json!({"frontDoor": {}, "frontDoorWarnings": ["wired"]});
        assert_eq!(wired(&mut request), ["wired"]);
        assert_eq!(request, json!({"frontDoor": {}}));
        for mut request in [
            json!({"frontDoorWarnings": ["wired"]}),
            json!({"frontDoor": null, "frontDoorWarnings": ["wired"]}),
        ] {
            let before = request.clone();
            assert!(wired(&mut request).is_empty());
            assert_eq!(request, before);
        }
    }

    #[test]
    fn an_alarm_that_does_not_exist_is_named_by_its_path() {
        let refused = preflight(
            &analysis("ignore"),
            &readings(AlarmState::Ok, AlarmState::Missing),
        );
        assert!(
            matches!(refused, Err(Error::InvalidRequest(m)) if m.starts_with("analysis.alarms[1]: "))
        );
    }

    #[test]
    fn a_url_that_this_stack_does_not_let_ask_is_named_by_its_path() {
        let url = json!({"healthChecks": [{"url": "https://10.0.0.1/health"}]});
        let refused = preflight(&serde_json::from_value(url).unwrap(), &[]);
        assert!(
            matches!(refused, Err(Error::InvalidRequest(m)) if m.starts_with("analysis.healthChecks[0].url: host 10.0.0.1"))
        );
    }

    #[test]
    fn an_alarm_that_fires_already_refuses_the_release_unless_told_otherwise() {
        let firing = readings(AlarmState::Ok, AlarmState::Alarm);
        assert!(
            matches!(preflight(&analysis("refuse"), &firing), Err(Error::ValidationFailed(m)) if m.contains('b'))
        );
        assert_eq!(preflight(&analysis("ignore"), &firing), Ok(vec![name("b")]));
    }

    #[test]
    fn an_alarm_without_data_yet_refuses_nothing() {
        let quiet = readings(AlarmState::Ok, AlarmState::InsufficientData);
        assert_eq!(preflight(&analysis("refuse"), &quiet), Ok(vec![]));
    }

    #[test]
    fn of_many_warnings_a_few_are_carried() {
        assert_eq!(few(vec!["one".into()]), ["one"]);
        let told = few(vec!["w".repeat(1000); 200]);
        assert_eq!(told.len(), 31);
        assert_eq!(told[30], "170 more warnings are in deploy-green's log");
        assert!(told.iter().map(String::len).sum::<usize>() < 10_000);
    }

    #[test]
    fn a_first_release_is_one_step() {
        let step = |percent: u8, bake_seconds| Step {
            weight: Weight::try_from(percent).unwrap(),
            bake_seconds,
        };
        let plan = Plan::new(vec![step(10, 300), step(50, 600), step(100, 120)], None).unwrap();
        assert_eq!(first_release(&plan).steps(), [step(100, 120)]);
    }
}
