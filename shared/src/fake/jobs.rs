//! What each of the functions does with traffic and ledger, of one release or of several.
//!
//! The order of the calls is the protocol's. What the handlers do besides, such as reading metrics and
//! delivering notices, touches nothing that is shared, and is left out.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{Actor, Client};
use crate::{
    domain::{
        Timestamp,
        analysis::check::Evidence,
        approval::OnHoldTimeout,
        moved::{Late, Moved, Serving},
        names::{AlarmName, Application, FunctionName, Version},
        record::{Record, Status, Watch, Why},
        release::Release,
        target::Target,
    },
    error::Error,
    protocol::{
        ledger::{Begin, Ledger, Retention},
        release::{Attempt, DeadHolder, promote, shift, take_locks},
        rollback::{
            PromotedRestore, close, restore, restore_at_once, restore_known, restore_promoted,
        },
        splitters::Splitters,
    },
    wire::request::ReleaseRequest,
};

/// Releases that differ in their execution and in green only.
#[derive(Clone, Debug)]
pub struct Setting {
    request: ReleaseRequest,
    release: Value,
    alarms: bool,
    leaves: bool,
}

/// One of the releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u8);

impl Id {
    /// Returns its execution's ARN.
    #[must_use]
    pub fn execution(self) -> String {
        format!(
            "arn:aws:states:eu-west-1:123456789012:execution:crossfade:{}",
            self.0
        )
    }

    /// Returns the version that it releases.
    #[must_use]
    pub fn green(self) -> Version {
        version(self.0 + 2)
    }

    /// Returns the alarm that it watches.
    #[must_use]
    pub fn alarm(self) -> AlarmName {
        format!("alarm-{}", self.0).parse().expect("it is a name")
    }

    fn of(execution: &str) -> Self {
        let number = execution.rsplit(':').next().and_then(|it| it.parse().ok());
        Self(number.expect("it is one of ours"))
    }
}

/// Returns a version by its number.
#[must_use]
pub fn version(number: u8) -> Version {
    number.to_string().parse().expect("it is a number")
}

/// What a function was invoked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// The state `DeployGreen`.
    Deploy(Id, u32),
    /// The end of the state `ValidateGreen`: green is registered on the idle side.
    Stage(Id, Carried),
    /// The state `ShiftTraffic`.
    Shift(Id, Carried, u32),
    /// The state `FinalizeDeployment`.
    Finalize(Id, Carried, u32),
    /// The state `RollbackDeployment`, with what the execution carries.
    Rollback(Id, Option<Carried>, Cause),
    /// The state `Hold` or `AwaitApproval` is entered.
    Ask(Id),
    /// An alarm that fired.
    Alarm(Id),
    /// The end of an execution, or the schedule.
    Sweep(Id),
    /// An operator's request to roll back the application.
    Operator,
}

/// A release as the state of an execution carries it.
pub type Carried = Arc<str>;

/// Why an execution rolls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Green did not pass its validation: nothing was shifted.
    Invalid,
    /// A state failed.
    Failed,
    /// It was decided.
    Decided,
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A release as it is now.
    Release(Carried),
    /// It is done.
    Done,
    /// The release is not open, so nothing was done.
    NotOpen,
    /// Traffic was changed from outside, and is left so.
    Held,
    /// It failed; by the error's name.
    Failed(&'static str),
}

impl Job {
    /// Returns the release that it is of; `None` for an operator's request.
    #[must_use]
    pub fn of(&self) -> Option<Id> {
        match self {
            Self::Deploy(id, _)
            | Self::Stage(id, _)
            | Self::Shift(id, ..)
            | Self::Finalize(id, ..)
            | Self::Rollback(id, ..)
            | Self::Ask(id)
            | Self::Alarm(id)
            | Self::Sweep(id) => Some(*id),
            Self::Operator => None,
        }
    }

    /// Begins the job.
    #[must_use]
    pub fn start(&self, setting: &Setting) -> Actor<'static, Outcome> {
        let (job, setting) = (self.clone(), setting.clone());
        Actor::new(move |client| async move {
            let work = Work {
                traffic: Splitters::on(client.clone()),
                ledger: Ledger::on(client.clone()),
                client,
                setting,
            };
            match work.does(job).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Failed(error.name()),
            }
        })
    }
}

impl Setting {
    /// Returns releases of functions with these names, by these weights, through a splitter: `traffic` of the
    /// request, `splitter` of the release.
    ///
    /// # Panics
    /// Where a request has none such.
    #[must_use]
    pub fn new(functions: &[&str], weights: &[u8], traffic: &Value, splitter: &Value) -> Self {
        let steps: Vec<_> = weights
            .iter()
            .map(|weight| json!({"weight": weight, "bakeSeconds": 60}))
            .collect();
        let is_alb = traffic["type"] == "alb";
        let asked: Vec<_> = functions
            .iter()
            .map(|name| {
                let mut one = json!({"functionName": name, "code": {"version": "2"}});
                if !is_alb {
                    one["alias"] = json!("live");
                }
                one
            })
            .collect();
        let request = json!({
            "application": "chat", "functions": asked, "traffic": traffic,
            "strategy": {"type": "allAtOnce"},
            "analysis": {"alarms": ["alarm"]},
        });
        let request: ReleaseRequest =
            serde_json::from_value(request).expect("it is a request of a release");
        let release = json!({
            "application": "chat", "startedAt": now().to_rfc3339(), "functions": [],
            "plan": {"steps": steps}, "traffic": splitter,
            "analysis": request.analysis,
            "hold": {"timeoutSeconds": 3600, "onTimeout": "rollBack"},
            "blueHours": 24, "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 0},
        });
        Self {
            request,
            release,
            alarms: true,
            leaves: false,
        }
    }

    /// Returns the same, where a hold that times out leaves the traffic as it is.
    #[must_use]
    pub fn leaving(mut self) -> Self {
        self.leaves = true;
        self
    }

    /// Returns the same, where so many percent stay on blue until the promotion.
    ///
    /// # Panics
    /// Where there is no step.
    #[must_use]
    pub fn keeping(mut self, percent: u8) -> Self {
        let plan = &mut self.release["plan"];
        plan["control"] = json!(percent);
        let steps = plan["steps"].as_array_mut();
        let last = steps.and_then(|steps| steps.last_mut());
        last.expect("it has steps")["weight"] = json!(100 - percent);
        self
    }

    /// Returns the same, where no alarm is watched.
    #[must_use]
    pub fn without_alarms(mut self) -> Self {
        self.alarms = false;
        self
    }

    fn on_hold_timeout(&self) -> OnHoldTimeout {
        if self.leaves {
            OnHoldTimeout::Leave
        } else {
            OnHoldTimeout::RollBack
        }
    }

    fn alarms(&self, id: Id) -> Vec<AlarmName> {
        if self.alarms {
            vec![id.alarm()]
        } else {
            Vec::new()
        }
    }

    /// Returns the names of the functions.
    pub fn functions(&self) -> impl Iterator<Item = &FunctionName> {
        self.request
            .functions
            .iter()
            .map(|asked| &asked.function_name)
    }

    /// Returns the application.
    #[must_use]
    pub fn application(&self) -> &Application {
        &self.request.application
    }
}

/// Returns the time of everything.
#[must_use]
pub fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("it is a time")
}

/// Returns a release as an execution carries it.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn release(carried: &str) -> Release {
    serde_json::from_str(carried).expect("it is a release")
}

fn carried(release: &Release) -> Carried {
    serde_json::to_string(release)
        .expect("a release is written as JSON")
        .into()
}

/// A function at work.
struct Work {
    client: Client,
    traffic: Splitters<Client>,
    ledger: Ledger<Client>,
    setting: Setting,
}

impl Work {
    async fn does(&self, job: Job) -> Result<Outcome, Error> {
        match job {
            Job::Deploy(id, attempt) => self.deploy(id, attempt).await,
            Job::Stage(id, of) => self.stage(id, &release(&of)).await,
            Job::Shift(id, of, retries) => self.shift(id, &release(&of), retries).await,
            Job::Finalize(id, of, retries) => self.finalize(id, release(&of), retries).await,
            Job::Rollback(id, of, cause) => self.roll_back(id, of.as_deref(), cause).await,
            Job::Ask(id) => self.ask(id).await,
            Job::Alarm(id) => self.alarm(id).await,
            Job::Sweep(id) => self.sweep(id).await,
            Job::Operator => self.operator().await,
        }
    }

    async fn deploy(&self, id: Id, attempt: u32) -> Result<Outcome, Error> {
        let setting = &self.setting;
        let execution = id.execution();
        let functions: Vec<_> = setting.functions().collect();
        let alarms = setting.alarms(id);
        let begin = Begin {
            execution: &execution,
            application: setting.application(),
            functions: &functions,
            splitters: &setting.request.traffic.locks(),
            alarms: &alarms,
            on_hold_timeout: setting.on_hold_timeout(),
            override_freeze: None,
            request_of: None,
            now: now(),
        };
        let admit = async |holders: BTreeSet<String>| self.admit(holders).await;
        let report = async |_: &DeadHolder, _: Option<&_>| Ok(());
        take_locks(&self.traffic, &self.ledger, &begin, admit, report).await?;

        let observed = self.traffic.observe(&setting.request).await?;
        let targets = functions.into_iter().zip(observed.functions);
        let targets: Vec<_> = targets
            .map(|(function, serving)| target(function, serving, id))
            .collect();
        let mut new = setting.release.clone();
        new["functions"] = json!(targets);
        new["traffic"] = json!(observed.splitter);
        new["analysis"]["alarms"] = json!(alarms);
        let new: Release = serde_json::from_value(new).expect("it is a release");
        self.ledger.launch(&execution, attempt, &new).await?;
        Ok(Outcome::Release(carried(&new)))
    }

    /// Admits a release where all holders of its locks are dead, and none was left as it is on purpose.
    async fn admit(&self, holders: BTreeSet<String>) -> Result<Vec<DeadHolder>, Error> {
        let mut dead = Vec::new();
        for execution in holders {
            let is_over = self.client.is_over(&execution).await?;
            if !is_over || self.is_left_held(&execution).await? {
                return Err(Error::DeploymentInProgress(execution.into()));
            }
            let status = "ABORTED".to_owned();
            dead.push(DeadHolder { execution, status });
        }
        Ok(dead)
    }

    async fn is_left_held(&self, execution: &str) -> Result<bool, Error> {
        if !self.setting.leaves {
            return Ok(false);
        }
        let record = self.ledger.get(execution).await?;
        Ok(record.is_some_and(|record| {
            record.status == Status::Held && record.on_hold_timeout == OnHoldTimeout::Leave
        }))
    }

    async fn stage(&self, id: Id, release: &Release) -> Result<Outcome, Error> {
        let execution = id.execution();
        let lease = self.ledger.lease(&execution);
        self.traffic.stage(lease, &release.footprint()).await?;
        Ok(Outcome::Done)
    }

    async fn shift(&self, id: Id, release: &Release, retries: u32) -> Result<Outcome, Error> {
        let step = release.spec.plan.steps()[release.progress().steps.len()];
        let execution = id.execution();
        let attempt = Attempt {
            execution: &execution,
            retries,
            now: now(),
        };
        let after = |moved: Moved| {
            let mut shifted = json!(release);
            shifted["functions"] = json!(moved.functions);
            let taken = json!({"weight": step.weight, "startedAt": now(), "endedAt": now()});
            let steps = shifted["steps"].as_array_mut();
            steps.expect("a release has steps").push(taken);
            serde_json::from_value(shifted).expect("it is a release")
        };
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let shifted = shift(traffic, ledger, attempt, release, step.weight, after).await?;
        Ok(Outcome::Release(carried(&shifted)))
    }

    async fn finalize(&self, id: Id, mut release: Release, retries: u32) -> Result<Outcome, Error> {
        let execution = id.execution();
        let attempt = Attempt {
            execution: &execution,
            retries,
            now: now(),
        };
        let retention = Retention {
            until: now() + chrono::TimeDelta::hours(24),
            keep_versions: None,
        };
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        promote(traffic, ledger, attempt, &mut release, retention).await?;
        Ok(Outcome::Done)
    }

    async fn roll_back(
        &self,
        id: Id,
        carried: Option<&str>,
        cause: Cause,
    ) -> Result<Outcome, Error> {
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let (execution, why) = (id.execution(), why("the execution failed"));
        let known = carried.map(release);
        let restored = match (&known, cause) {
            (Some(known), Cause::Decided) => {
                restore_known(traffic, ledger, &execution, &why, &known.footprint()).await?
            }
            (_, cause) => {
                let late = if cause == Cause::Invalid {
                    Late::Impossible
                } else {
                    Late::Possible
                };
                restore(traffic, ledger, &execution, &why, late).await?
            }
        };
        let Some(restored) = restored else {
            // The answer that said that it is promoted may have been lost.
            let record = ledger.get(&execution).await?;
            if record.is_none_or(|record| record.status != Status::Promoted) {
                return Ok(Outcome::NotOpen);
            }
            return self.restore_promoted(&execution, &why).await;
        };
        if restored.not_moved.is_some() {
            return Ok(Outcome::Held);
        }
        let settled = restored.settle(traffic).await?;
        close(ledger, &settled, now()).await?;
        Ok(ended(settled.changed_outside.is_empty()))
    }

    /// Records that an operator is asked.
    async fn ask(&self, id: Id) -> Result<Outcome, Error> {
        let asked = serde_json::from_value(json!({
            "kind": "hold", "at": now().to_rfc3339(), "until": now().to_rfc3339(), "weight": 0,
            "next": "promote", "onSilence": "it is rolled back", "reason": "it is inconclusive",
        }));
        let asked = asked.expect("it is a question");
        let execution = id.execution();
        self.ledger.ask(&execution, &execution, &asked).await?;
        Ok(Outcome::Done)
    }

    async fn alarm(&self, id: Id) -> Result<Outcome, Error> {
        let why = why("an alarm fired");
        let mut outcome = Outcome::NotOpen;
        for watch in self.ledger.watching(&id.alarm()).await? {
            outcome = self.alarm_fired(&watch, &why).await?;
        }
        Ok(outcome)
    }

    async fn alarm_fired(&self, watch: &Watch, why: &Why) -> Result<Outcome, Error> {
        let (traffic, ledger, execution) = (&self.traffic, &self.ledger, &watch.execution);
        if watch.retain_until.is_none() {
            let known = &watch.footprint;
            let restored = restore_at_once(traffic, ledger, execution, why, known).await?;
            if let Some(restored) = restored {
                self.end_wait(&restored.record).await?;
                return Ok(ended(restored.not_on_blue().next().is_none()));
            }
        }
        self.restore_promoted(execution, why).await
    }

    async fn restore_promoted(&self, execution: &str, why: &Why) -> Result<Outcome, Error> {
        match restore_promoted(&self.traffic, &self.ledger, execution, why).await {
            Ok(PromotedRestore::Done(settled)) => Ok(ended(settled.changed_outside.is_empty())),
            Ok(PromotedRestore::Not(_)) | Err(Error::DeploymentInProgress(_)) => {
                Ok(Outcome::NotOpen)
            }
            Err(error) => Err(error),
        }
    }

    async fn sweep(&self, id: Id) -> Result<Outcome, Error> {
        let execution = id.execution();
        if self.is_left_held(&execution).await? {
            return Ok(Outcome::NotOpen);
        }
        let why = why("the execution ended");
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let restored = restore(traffic, ledger, &execution, &why, Late::Possible).await?;
        let Some(restored) = restored else {
            return Ok(Outcome::NotOpen);
        };
        let settled = restored.settle(traffic).await?;
        close(ledger, &settled, now()).await?;
        Ok(ended(settled.changed_outside.is_empty()))
    }

    async fn operator(&self) -> Result<Outcome, Error> {
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let Some(execution) = ledger.latest(self.setting.application()).await? else {
            return Ok(Outcome::NotOpen);
        };
        let why = why("an operator requested it");
        let restored = restore(traffic, ledger, &execution, &why, Late::Possible).await?;
        let Some(restored) = restored else {
            return self.restore_promoted(&execution, &why).await;
        };
        self.end_wait(&restored.record).await?;
        // A living execution closes it itself, so that its graph shows what happened.
        if !self.client.is_over(&execution).await? {
            return Ok(ended(restored.not_on_blue().next().is_none()));
        }
        let settled = restored.settle(traffic).await?;
        close(ledger, &settled, now()).await?;
        Ok(ended(settled.changed_outside.is_empty()))
    }

    async fn end_wait(&self, record: &Record) -> Result<(), Error> {
        match &record.token {
            Some(token) => self.client.fail_task(Id::of(token)).await,
            None => Ok(()),
        }
    }
}

fn ended(is_whole: bool) -> Outcome {
    if is_whole {
        Outcome::Done
    } else {
        Outcome::Held
    }
}

fn target(function: &FunctionName, serving: Serving, id: Id) -> Target {
    let seen = serving.seen.as_ref();
    let of_alias = seen.and_then(|alias| alias.primary.version().cloned());
    Target {
        function_name: function.clone(),
        alias: Some("live".parse().expect("it is a name")).filter(|_| serving.version.is_none()),
        called_as: None,
        blue_version: serving.version.or(of_alias),
        green_version: id.green(),
        revision_id: serving.seen.map(|alias| alias.revision),
        provisioned: None,
        is_durable: false,
    }
}

fn why(reason: &str) -> Why {
    Why {
        reason: reason.to_owned(),
        evidence: Evidence::default(),
        at: now(),
    }
}
