//! Has a stage of an API Gateway API call an alias, and undoes it; see [`crossfade::domain::stage_wiring`]
//! for what is written and why.
//!
//! One invocation is one phase. Until all is done and in force, it answers with what it has done so
//! far, and the state machine waits and invokes it again; it then looks anew at what is there. At the
//! end it answers with the request as it was (a release goes on with it), or with the outcome.

mod apply;
mod gateway;
mod observe;
mod request;

use crossfade::{
    aws::{aliases::Aliases, functions::Functions, ledger::Ledger, notify::Notifier},
    domain::{
        about::About,
        analysis::check::Evidence,
        approval::OnHoldTimeout,
        record::Status,
        stage_wiring::{Ask, Kind, Plan, Refusal, Write, plan_unwiring, plan_wiring},
        status::DeploymentStatus,
    },
    error::Error,
    freeze,
    notice::Notice,
    protocol::ledger::{Began, Begin},
    wire::{
        graph::{End, Next, Output},
        outcome::{FrontDoorOutcome, Outcome},
        state::{State, Wiring},
        task::{Task, task},
    },
};
use serde_json::{Value, json};

use crate::{
    gateway::Gateway,
    request::{Direction, WiringRequest},
};

/// How long a write is given to be in force before the next phase relies on it, and before a release
/// replaces `$LATEST`, seconds. How long API Gateway and Lambda take is not documented; users
/// report a few seconds of both.
const SETTLE_SECONDS: u32 = 15;

/// How often a stage that deploys by itself is looked at before it is given up: 10 minutes.
const MOST_LOOKS: u32 = 40;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    aliases: Aliases,
    functions: Functions,
    gateway: Gateway,
    ledger: Ledger,
    notifier: Notifier,
}

/// Adds what is not noted yet.
fn warn(wiring: &mut Wiring, notes: Vec<String>) {
    for note in notes {
        if !wiring.warnings.contains(&note) {
            wiring.warnings.push(note);
        }
    }
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            aliases: Aliases::new(config),
            functions: Functions::new(config),
            gateway: Gateway::new(config),
            ledger,
            notifier,
        }
    }

    /// Does the next phase. Answers with the progress while there is more to do; and then with the
    /// request where a release follows, or with an [`Outcome`].
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let task: Task = task(payload)?;
        let mut progress = task.state.clone().wiring()?;
        let Some(wanted) = WiringRequest::parse(&progress.request)? else {
            return Ok(requested(progress.request));
        };
        if let Some(release) = wanted.release() {
            freeze::check(task.now, release.override_freeze.as_ref())?;
        }

        let Some((mut ask, mut kind, mut plan)) = self.plan(&wanted, &task).await? else {
            return self.done(&wanted, None, &task, progress).await;
        };
        if !plan.writes.is_empty() && !progress.locked {
            Box::pin(self.lock(&wanted, &ask, &task)).await?;
            progress.locked = true;
            // Another writer may have written between our look and our lock.
            let Some(again) = self.plan(&wanted, &task).await? else {
                return self.done(&wanted, None, &task, progress).await;
            };
            (ask, kind, plan) = again;
        }
        for write in &plan.writes {
            Box::pin(self.carry_out(&ask, kind, write)).await?;
            tracing::info!(
                event = "stage_written",
                deployment.id = task.execution,
                api = %ask.api_id,
                stage = %ask.stage,
                write = %write,
                "Wrote to the API's stage."
            );
            progress.written.push(write.to_string());
        }
        warn(&mut progress, plan.notes);
        let undone = plan.writes.last() == Some(&Write::Forget);
        if undone || plan.writes.is_empty() && plan.live {
            return self.done(&wanted, Some(&ask), &task, progress).await;
        }
        progress.looks += 1;
        if progress.looks > MOST_LOOKS {
            return Err(Error::ValidationFailed(format!(
                "stage {} of API {} does not serve what was written to its API, {} looks later: {}",
                ask.stage,
                ask.api_id,
                progress.looks,
                progress.warnings.join("; ")
            ).into()));
        }
        progress.wait_seconds = SETTLE_SECONDS;
        Ok(json!(Output::of(progress, |_| Next::AwaitStage)))
    }

    /// What is to be done next. None when nothing is on record of what is to be unwired, because this
    /// very execution has unwired it and its answer was lost.
    async fn plan(
        &self,
        wanted: &WiringRequest,
        task: &Task,
    ) -> Result<Option<(Ask, Kind, Plan)>, Error> {
        let (ask, seen) = Box::pin(self.observe(wanted, task.now)).await?;
        let planned = match wanted.verb {
            Direction::Wire => plan_wiring(&ask, &seen),
            Direction::Unwire => {
                let begun = self.ledger.get(&task.execution).await?;
                if seen.wiring.is_none() && begun.is_some() {
                    return Ok(None);
                }
                plan_unwiring(&ask, &seen)
            }
        };
        let plan = planned.map_err(refused)?;
        Ok(Some((ask, seen.api.kind, plan)))
    }

    /// Takes the locks that the release takes afterwards, or, without one, those of the application,
    /// the function and the API. Free to repeat.
    ///
    /// # Errors
    /// [`Error::DeploymentInProgress`] when another deployment holds one.
    async fn lock(&self, wanted: &WiringRequest, ask: &Ask, task: &Task) -> Result<(), Error> {
        let (functions, splitters, alarms, on_hold_timeout, override_freeze) =
            match wanted.release() {
                Some(release) => (
                    release
                        .functions
                        .iter()
                        .map(|one| &one.function_name)
                        .collect(),
                    release.traffic.locks(),
                    &release.analysis.alarms[..],
                    release.hold_ends(),
                    freeze::check(task.now, release.override_freeze.as_ref())?
                        .and(release.override_freeze.as_ref()),
                ),
                None => (
                    vec![&ask.function_name],
                    vec![format!("api/{}", ask.api_id)],
                    &[][..],
                    OnHoldTimeout::default(),
                    None,
                ),
            };
        let begin = Begin {
            execution: &task.execution,
            application: &wanted.application,
            functions: &functions,
            splitters: &splitters,
            alarms,
            on_hold_timeout,
            override_freeze,
            request_of: None,
            now: task.now,
        };
        match self.ledger.begin(&begin).await? {
            Began::Taken => Ok(()),
            Began::HeldBy(holders) => {
                let holders: Vec<_> = holders.into_iter().collect();
                Err(Error::DeploymentInProgress(format!(
                    "{} is releasing at this moment; what a dead release holds is free within 5 minutes",
                    holders.join(", ")
                ).into()))
            }
            Began::Before(record) => Err(Error::DeploymentRolledBack(record.why.map_or_else(
                || {
                    "this execution's deployment has gone further already; start a new execution"
                        .into()
                },
                |why| why.reason,
            ).into())),
        }
    }

    /// All is as requested.
    async fn done(
        &self,
        wanted: &WiringRequest,
        ask: Option<&Ask>,
        task: &Task,
        progress: Wiring,
    ) -> Result<Value, Error> {
        if wanted.release().is_some() {
            let mut request = progress.request;
            let mut warnings = progress.warnings;
            if !progress.written.is_empty() {
                warnings.insert(0, reason(wanted, ask, true));
            }
            if !warnings.is_empty() {
                request["frontDoorWarnings"] = json!(warnings);
            }
            return Ok(requested(request));
        }
        if let Some(record) = self.ledger.get(&task.execution).await?
            && record.status.is_open()
        {
            self.ledger
                .end(&record, Status::Unchanged, task.now, None)
                .await?;
        }
        // Without an answer to this, an unwiring was seen to be done by an earlier try.
        let changed = !progress.written.is_empty() || ask.is_none();
        let outcome = Outcome {
            deployment_status: if changed {
                DeploymentStatus::Successful
            } else {
                DeploymentStatus::NoChange
            },
            application: Some(wanted.application.clone()),
            about: About::default(),
            functions: Vec::new(),
            reason: reason(wanted, ask, changed),
            evidence: Evidence::default(),
            steps: Vec::new(),
            answers: Vec::new(),
            warnings: progress.warnings,
            sides: None,
            served_by: Vec::new(),
            retain_until: None,
            front_door: Some(FrontDoorOutcome {
                api_id: wanted.api_id.clone(),
                stage: wanted.stage.clone(),
                alias: wanted.alias.clone(),
                written: progress.written,
            }),
            hook: None,
            help: None,
        };
        let ended = Notice::ended(&task.execution, task.now, &outcome);
        self.notifier.deliver(&ended).await?;
        Ok(json!(End::of(task, outcome, None)))
    }
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Invalid(why) => Error::InvalidRequest(why.into()),
        Refusal::Unfit(why) => Error::ValidationFailed(why.into()),
        Refusal::Outside(why) => Error::ChangedOutside(why.into()),
    }
}

fn reason(wanted: &WiringRequest, ask: Option<&Ask>, changed: bool) -> String {
    let WiringRequest {
        api_id,
        stage,
        alias,
        ..
    } = wanted;
    let callee = match ask {
        Some(ask) => format!("{}:{alias}", ask.function_name),
        None => alias.to_string(),
    };
    match (wanted.verb, changed) {
        (Direction::Wire, true) => format!("stage {stage} of API {api_id} calls {callee} now"),
        (Direction::Wire, false) => format!("stage {stage} of API {api_id} calls {callee} already"),
        (Direction::Unwire, _) => {
            format!("stage {stage} of API {api_id} is as it was before it was wired to {callee}")
        }
    }
}

/// Hands the request on to the state that makes green.
fn requested(request: Value) -> Value {
    json!(Output::of(State::Requested(request), |_| Next::Deploy))
}
