//! Makes traffic whole on blue, whoever asks for it:
//!
//! - as a state of the execution, after any failure, or for `{"action": "rollback"}`;
//! - from EventBridge, when an execution ended without doing so itself;
//! - from the schedule, when that event was lost.
//!
//! Safe to run twice, twice at once, and late.

mod failure;
mod sweep;

use crossfade::{
    aws::{executions::Executions, ledger::Ledger, notify::Notifier, traffic::Traffic},
    domain::{
        Timestamp,
        analysis::check::Evidence,
        approval::{OnDenied, OnHoldTimeout, Word},
        hook::{HookPoint, HookRun},
        moved::Late,
        names::Application,
        record::{Record, Status, Why},
        release::{DeploymentStatus, FROZEN, Release},
    },
    error::{self, Error},
    metrics,
    notice::Notice,
    protocol::rollback::{self, Restored, Reverted, Settled},
    wire::{
        events::{self, Event, Home},
        failure::Failure,
        graph::{Next, Output},
        outcome::{EndError, Ending, Finished, Outcome},
        request::Request,
        task::{Call, Task, state},
    },
};
use serde_json::{Value, json};

/// How often it is tried again to tell people, before that is left to the schedule.
const PATIENCE: u32 = 5;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    home: Home,
    ledger: Ledger,
    notifier: Notifier,
    traffic: Traffic,
}

impl Handler {
    /// A handler with clients on `config`, for the events of the environment's `EXECUTIONS`.
    ///
    /// # Panics
    /// Without the variable `EXECUTIONS`: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            executions: Executions::new(config),
            home: Home::from_env(),
            ledger: Ledger::new(config),
            notifier: Notifier::new(config),
            traffic: Traffic::new(config),
        }
    }

    /// Tells the callers apart.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        match Call::parse(payload)? {
            Call::Event(event) => match Event::parse(event, &self.home)? {
                Event::ExecutionEnded {
                    execution,
                    status,
                    error,
                    cause,
                    application,
                    time,
                } => {
                    Box::pin(self.execution_ended(
                        &execution,
                        &status,
                        error.as_deref(),
                        cause.as_deref(),
                        application,
                        time,
                    ))
                    .await
                }
                Event::Tick { time } => self.sweep(time).await,
                Event::Foreign(why) => {
                    events::ignored(&why);
                    Ok(json!({}))
                }
                Event::AlarmFired { .. } | Event::Other => Ok(json!({})),
            },
            Call::Task(task) => {
                if let Some(ended) = ended(&task)? {
                    return Ok(ended);
                }
                let ending = if is_asked_for(&task.state) {
                    Box::pin(self.asked_for(&task)).await?
                } else {
                    Box::pin(self.failed(&task)).await?
                };
                Ok(json!(Output::of(ending, Next::rolled_back)))
            }
        }
    }

    /// The execution failed somewhere, or decided to go back.
    async fn failed(&self, task: &Task) -> Result<Ending, Error> {
        let failure = Failure::of(&task.state);
        let why = failure::why(failure.as_ref(), &task.state, task.now);
        let mut release = serde_json::from_value::<Release>(task.state.clone()).ok();
        if let Some(release) = &mut release {
            release.take_answers(task.now);
        }
        if let Some(release) = &release
            && let Some(ending) = self.stays(task, release, &why).await?
        {
            return Ok(ending);
        }
        let (known, failed) = (release.as_ref(), failure.as_ref());
        let restored = self.put_back(task, known, failed, &why).await?;
        let (settled, kept) = match restored {
            None => self.promoted_before(task, &why).await?,
            Some(restored) => (Some(restored.settle(&self.traffic).await?), None),
        };
        let changed_outside = settled
            .as_ref()
            .map(|settled| settled.changed_outside.clone())
            .unwrap_or_default();
        // The migration is run back under the locks: nobody else's may run meanwhile.
        let undone = release.as_ref().is_some_and(Release::is_undone);
        let undo = undone && settled.is_some() && changed_outside.is_empty();
        if let Some(settled) = &settled {
            // What came first is what traffic was put back for, and perhaps by.
            if settled.record.why.as_ref() == Some(&why) {
                metrics::time_to_blue(&settled.record.application, task.now);
            }
            if !undo {
                rollback::close(&self.ledger, settled, task.now).await?;
            }
        }
        let hook = release
            .as_ref()
            .filter(|release| !release.steps.is_empty() && changed_outside.is_empty())
            .and_then(|release| Some((release.hooks.after_rollback.as_ref()?, release.pace())))
            .map(|(hook, pace)| HookRun::due(HookPoint::AfterRollback, hook, &pace));
        let record = match &settled {
            Some(settled) => Some(settled.record.clone()),
            // Closed already, by the janitor or by this state's first try; or it never began.
            None => self.ledger.get(&task.execution).await?,
        };
        let (error, status) = failure::ending(
            failure.as_ref(),
            record.as_ref(),
            &why,
            !changed_outside.is_empty(),
        );
        let (error, mut outcome) = match &record {
            Some(record) if kept.is_some() => {
                let mut outcome = self.as_read(record, DeploymentStatus::Held, &[]).await;
                outcome.reason = format!(
                    "green was promoted, and is not taken back: {}; it was to go back because: {}",
                    kept.unwrap_or_default(),
                    why.reason
                );
                (EndError::DeploymentHeld, outcome)
            }
            Some(record) => {
                let outcome = match &settled {
                    Some(settled) => settled.outcome(status),
                    None => self.as_read(record, status, &changed_outside).await,
                };
                (error, outcome)
            }
            None => (error, nothing_begun(&task.state, &why)),
        };
        outcome.help = error::page(error.into());
        if let Some(release) = release {
            add_progress(&mut outcome, release, task.now);
        }
        let ended = Notice::ended(&task.execution, task.now, &outcome);
        let told = self.notifier.tell(&ended).await;
        match (told, &record) {
            (Err(untold), _) if task.retries < PATIENCE => return Err(untold),
            // Traffic is whole, and that is on record: an execution that failed to say so would end as
            // one that could not put it back.
            (told, Some(_)) => {
                rollback::told_or_owed(&self.ledger, &task.execution, told).await?;
            }
            (told, None) => told?,
        }
        tracing::info!(
            deployment.id = task.execution,
            error.name = %error,
            status = <&str>::from(outcome.deployment_status),
            "Ended the release."
        );
        Ok(Ending {
            asked_for: false,
            error,
            cause: outcome.to_cause(),
            outcome,
            undo,
            hook,
        })
    }

    /// Makes the outcome of a record, with what serves now.
    async fn as_read(
        &self,
        record: &Record,
        status: DeploymentStatus,
        changed_outside: &[String],
    ) -> Outcome {
        let mut outcome = rollback::outcome(record, status, changed_outside);
        self.read_what_serves(record, &mut outcome).await;
        outcome
    }

    /// Adds what serves now to an outcome whose traffic was not written to here.
    async fn read_what_serves(&self, record: &Record, outcome: &mut Outcome) {
        if let Some(footprint) = &record.footprint {
            let serves = self.traffic.serves(footprint).await;
            outcome.serves(&serves.versions, &serves.by);
        }
    }

    /// Puts the traffic of an execution that failed or goes back on blue; none where it has ended already.
    async fn put_back(
        &self,
        task: &Task,
        release: Option<&Release>,
        failure: Option<&Failure>,
        why: &Why,
    ) -> Result<Option<Restored>, Error> {
        let (traffic, ledger, execution) = (&self.traffic, &self.ledger, &task.execution);
        if let Some(release) = release
            && failure.is_none()
        {
            // Nothing has failed: a moment ago traffic was as the state says, and one write each will
            // do, while a train's aliases would take longer to be read than to be written.
            let known = release.footprint();
            return rollback::restore_known(traffic, ledger, execution, why, &known).await;
        }
        let unmoved = release.is_none_or(|known| known.steps.is_empty());
        let late = if unmoved && failure.is_some_and(failure::is_before_any_shift) {
            Late::Impossible
        } else {
            Late::Possible
        };
        rollback::restore(traffic, ledger, execution, why, late).await
    }

    /// Takes back what was promoted although its execution then failed: the answer that said so was lost.
    /// In words, why it stays, where it does.
    async fn promoted_before(
        &self,
        task: &Task,
        why: &Why,
    ) -> Result<(Option<Settled>, Option<String>), Error> {
        let record = self.ledger.get(&task.execution).await?;
        if record.is_none_or(|record| record.status != Status::Promoted) {
            return Ok((None, None));
        }
        match rollback::revert(&self.traffic, &self.ledger, &task.execution, why).await {
            Ok(Reverted::Done(settled)) => Ok((Some(*settled), None)),
            Ok(Reverted::Not(not)) => Ok((None, Some(not))),
            Err(Error::DeploymentInProgress(not)) => Ok((None, Some(not.reason))),
            Err(error) => Err(error),
        }
    }

    /// Leaves the traffic as it is: where the request says so of a hold that nobody answers, or where blue cannot work
    /// with what the migration has changed and it is not a person who wants it back. None where it goes back.
    async fn stays(
        &self,
        task: &Task,
        release: &Release,
        why: &Why,
    ) -> Result<Option<Ending>, Error> {
        let last = release.answers.last().map(|answer| answer.decision);
        let wanted = last == Some(Word::RollBack)
            || last == Some(Word::Reject) && release.approval.on_denied == OnDenied::RollBack;
        let is_left =
            release.hold_expired.is_some() && release.hold.on_timeout == OnHoldTimeout::Leave;
        let reason = if is_left {
            format!(
                "the request says to leave the traffic as it is: {}",
                why.reason
            )
        } else if release.is_frozen() && !wanted {
            format!("{FROZEN}: {}", why.reason)
        } else {
            return Ok(None);
        };
        if !self.ledger.leave_held(&task.execution).await? {
            return Ok(None);
        }
        let mut outcome = Outcome::of(release, DeploymentStatus::Held, reason);
        outcome.evidence = why.evidence.clone().beside(outcome.evidence);
        outcome.help = error::page("DeploymentHeld");
        // People are told by the execution's end, as of each that is left held.
        tracing::warn!(deployment.id = task.execution, "Traffic stays as it is.");
        Ok(Some(Ending {
            asked_for: false,
            error: EndError::DeploymentHeld,
            cause: outcome.to_cause(),
            outcome,
            undo: false,
            hook: None,
        }))
    }

    /// A person asked for it.
    async fn asked_for(&self, task: &Task) -> Result<Ending, Error> {
        let (application, reason) = match Request::parse(&task.state) {
            Ok(Request::Rollback {
                application,
                reason,
            }) => (application, reason),
            Ok(
                Request::Release(_)
                | Request::ToVersion(_)
                | Request::Wire { .. }
                | Request::Unwire { .. },
            ) => {
                return Err(Error::InvalidRequest("not a rollback".into()));
            }
            Err(problems) => {
                let why = Why {
                    reason: problems.to_string(),
                    evidence: Evidence::default(),
                    at: task.now,
                };
                return self.rejected(task, &why).await;
            }
        };
        let why = Why {
            reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
            evidence: Evidence::default(),
            at: task.now,
        };
        let outcome = match Box::pin(self.take_back(&application, &why)).await? {
            Ok(outcome) => outcome,
            Err(not) => {
                let reason = format!(
                    "application: nothing of \"{application}\" can be rolled back: no release is in flight, and {not}; \
                     an older version is gone back to with \"toVersion\": \"N\" (crossfade rollback {application} --to N)"
                );
                return self.rejected(task, &Why { reason, ..why }).await;
            }
        };
        Ok(Ending {
            asked_for: true,
            error: EndError::DeploymentRolledBack,
            cause: outcome.to_cause(),
            outcome,
            undo: false,
            hook: None,
        })
    }

    /// What was asked for cannot be done.
    async fn rejected(&self, task: &Task, why: &Why) -> Result<Ending, Error> {
        let mut outcome = nothing_begun(&task.state, why);
        outcome.help = error::page("InvalidRequest");
        let ended = Notice::ended(&task.execution, task.now, &outcome);
        self.notifier.tell(&ended).await?;
        Ok(Ending {
            asked_for: false,
            error: EndError::InvalidRequest,
            cause: outcome.to_cause(),
            outcome,
            undo: false,
            hook: None,
        })
    }

    /// Takes back what an application has in flight, or else what it promoted last, for `said`. In the
    /// inner result: why not, in words.
    async fn take_back(
        &self,
        application: &Application,
        said: &Why,
    ) -> Result<Result<Outcome, String>, Error> {
        let Some(execution) = self.ledger.latest(application).await? else {
            return Ok(Err("none was ever promoted".into()));
        };
        let record = self.ledger.get(&execution).await?;
        let why = &Why {
            reason: by_hand(record.as_ref(), &said.reason),
            ..said.clone()
        };
        if let Some(restored) =
            rollback::restore(&self.traffic, &self.ledger, &execution, why, Late::Possible).await?
        {
            if let Some(token) = &restored.record.token {
                let told = Error::DeploymentRolledBack(why.reason.clone().into());
                self.executions.fail_task(token, &told).await?;
            }
            // A living execution closes it itself, so that its graph shows what happened.
            let now = self.executions.describe(&execution).await?;
            if now.ended(restored.record.began_at, why.at).is_none() {
                return Ok(Ok(restored.outcome(restored.status())));
            }
            let settled = restored.settle(&self.traffic).await?;
            rollback::close(&self.ledger, &settled, why.at).await?;
            return Ok(Ok(settled.outcome(settled.status())));
        }
        match rollback::revert(&self.traffic, &self.ledger, &execution, why).await? {
            Reverted::Done(restored) => {
                let outcome = restored.outcome(restored.status());
                let ended = Notice::ended(&execution, why.at, &outcome);
                let told = self.notifier.tell(&ended).await;
                rollback::told_or_owed(&self.ledger, &execution, told).await?;
                Ok(Ok(outcome))
            }
            Reverted::Not(not) => Ok(Err(not)),
        }
    }
}

/// Ends a release that has ended already: what came after its end has failed, and changes nothing of it. None where
/// there is something to roll back.
fn ended(task: &Task) -> Result<Option<Value>, Error> {
    let has = |field: &str| task.state.get(field).is_some();
    // No request has both: only a handler's answer does.
    if !(has("outcome") && has("next")) {
        return Ok(None);
    }
    tracing::warn!(
        deployment.id = task.execution,
        error.name = task.state["failure"]["Error"].as_str(),
        "Ended a release whose last state has failed."
    );
    if !has("askedFor") {
        let finished: Finished = state(task.state.clone())?;
        let last = Finished {
            hook: None,
            ..finished
        };
        return Ok(Some(json!(Output::of(last, Next::finished))));
    }
    let ending: Ending = state(task.state.clone())?;
    let last = Ending {
        undo: false,
        hook: None,
        ..ending
    };
    Ok(Some(json!(Output::of(last, Next::rolled_back))))
}

/// Why a release ends that a person ends: by a rollback, or before there is anything to roll back.
fn by_hand(record: Option<&Record>, said: &str) -> String {
    let ended = match record {
        Some(record) if record.status.is_open() && !record.has_shifted() => "stopped",
        Some(_) | None => "rolled back",
    };
    format!("{ended} by hand: {said}")
}

/// Whether the state is a request that Route sent here. A request of another action comes here too,
/// with what failed, when a state that was given it failed. A rollback to a version is a release.
fn is_asked_for(state: &Value) -> bool {
    let failed = state.get("failure").is_some();
    let is_release = state.get("toVersion").is_some();
    match state.get("action") {
        Some(action) => !failed || action == "rollback" && !is_release,
        None => false,
    }
}

/// The outcome of an execution that took no locks.
fn nothing_begun(state: &Value, why: &Why) -> Outcome {
    let wired = &state["wiring"]["request"];
    let request = if wired.is_object() { wired } else { state };
    Outcome {
        deployment_status: DeploymentStatus::Rejected,
        application: request["application"]
            .as_str()
            .and_then(|name| Application::try_from(name.to_owned()).ok()),
        functions: Vec::new(),
        reason: why.reason.clone(),
        evidence: why.evidence.clone(),
        steps: Vec::new(),
        answers: Vec::new(),
        warnings: Vec::new(),
        served_by: Vec::new(),
        retain_until: None,
        front_door: None,
        hook: None,
        help: None,
    }
}

/// Adds to the outcome of a release what it had seen and done when it failed.
fn add_progress(outcome: &mut Outcome, release: Release, now: Timestamp) {
    outcome.steps = release.steps;
    if let Some(last) = outcome.steps.last_mut() {
        last.ended_at.get_or_insert(now);
    }
    outcome.answers = release.answers;
    let notes = std::mem::replace(&mut outcome.warnings, release.warnings);
    outcome.warnings.extend(notes);
    outcome.evidence = std::mem::take(&mut outcome.evidence).beside(release.evidence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_what_has_ended_as_it_was() {
        let task = |state: &Value| -> Task {
            let payload = json!({"at": "RollbackDeployment", "execution": "e", "now": "2026-11-20T12:00:00Z",
                "state": state});
            serde_json::from_value(payload).unwrap()
        };
        let hook = json!({"point": "afterPromote", "functionName": "f", "timeoutSeconds": 60,
            "status": "IN_PROGRESS", "asked": 1, "waitedSeconds": 1, "waitSeconds": 30});
        let outcome =
            json!({"deploymentStatus": "SUCCESSFUL", "application": "chat", "reason": "fine"});
        let failure = json!({"Error": "States.Timeout", "Cause": ""});
        let kept = json!({"next": "hook", "outcome": outcome, "hook": hook, "failure": failure});
        let ended = ended(&task(&kept)).unwrap().unwrap();
        assert_eq!((&ended["next"], ended.get("hook")), (&json!("done"), None));
        assert_eq!(ended["outcome"]["deploymentStatus"], "SUCCESSFUL");
        for (error, asked_for, next) in [
            ("DeploymentRolledBack", false, "rolledBack"),
            ("DeploymentHeld", false, "held"),
            ("DeploymentRolledBack", true, "done"),
        ] {
            let back = json!({"next": "migrate", "askedFor": asked_for, "error": error, "cause": "{}",
                "outcome": outcome, "undo": true, "hook": hook, "failure": failure});
            let ended = super::ended(&task(&back)).unwrap().unwrap();
            assert_eq!(
                (&ended["next"], &ended["error"]),
                (&json!(next), &json!(error))
            );
            assert!(ended.get("undo").is_none() && ended.get("hook").is_none());
        }
        for request in [json!({"outcome": outcome}), json!({"next": "done"})] {
            assert_eq!(super::ended(&task(&request)).unwrap(), None);
        }
    }

    #[test]
    fn a_request_that_failed_is_told_from_a_rollback_that_is_asked_for() {
        let failure = json!({"Error": "DeploymentInProgress", "Cause": "{}"});
        for (state, asked_for) in [
            (json!({"action": "rollback", "application": "chat"}), true),
            (json!({"action": "pause"}), true),
            (json!({"action": "rollback", "failure": failure}), true),
            (
                json!({"action": "rollback", "toVersion": "3", "failure": failure}),
                false,
            ),
            (json!({"action": "release", "failure": failure}), false),
            (json!({"action": "wire", "failure": failure}), false),
            (json!({"application": "chat", "failure": failure}), false),
            (
                json!({"application": "chat", "decision": "rollBack"}),
                false,
            ),
        ] {
            assert_eq!(is_asked_for(&state), asked_for, "{state}");
        }
    }

    #[test]
    fn an_application_is_named_while_its_front_door_is_wired() {
        let why = Why {
            reason: "because".into(),
            evidence: Evidence::default(),
            at: "2026-11-20T12:00:00Z".parse().unwrap(),
        };
        for state in [
            json!({"application": "chat"}),
            json!({"wiring": {"request": {"application": "chat"}}, "failure": {}}),
        ] {
            let named = nothing_begun(&state, &why).application;
            assert_eq!(named.as_ref().map(AsRef::as_ref), Some("chat"), "{state}");
        }
    }
}
