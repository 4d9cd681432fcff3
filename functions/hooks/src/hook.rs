//! Asking a hook, once.

use std::time::{Duration, Instant};

use crossfade::{
    aws::functions::Called,
    domain::{
        Timestamp,
        analysis::check::Evidence,
        hook::{HookPoint, HookReply, HookResult, HookRun, HookStatus},
        migration::function_values,
        release::{Event, Phase, Release},
        retention::name_of,
        target::Target,
        weight::Weight,
    },
    error::{Detail, Error},
    notice::Notice,
    wire::{
        graph::{Next, Output},
        outcome::Outcome,
        state::State,
        task::Task,
    },
};
use serde_json::{Value, json};

use crate::Handler;

impl Handler {
    /// Runs the hook that is due, and hands on what the state machine goes on with: the release, its
    /// outcome, or how it ends.
    ///
    /// # Errors
    /// [`Error::ValidationFailed`] when a hook before or after a shift has failed.
    pub(crate) async fn hook(&self, task: Task) -> Result<Value, Error> {
        let (execution, now) = (&task.execution, task.now);
        match task.state {
            State::RollingBack(mut ending) => {
                let hook = ending.hook.take();
                ending.hook = self
                    .after(execution, now, hook, &mut ending.outcome)
                    .await?;
                ending.cause = ending.outcome.to_cause();
                Ok(json!(Output::of(*ending, Next::rolled_back)))
            }
            State::Finished(mut finished) => {
                let hook = finished.hook.take();
                finished.hook = self
                    .after(execution, now, hook, &mut finished.outcome)
                    .await?;
                Ok(json!(Output::of(*finished, Next::finished)))
            }
            State::Outcome(mut outcome) => {
                let hook = outcome.hook.take();
                outcome.hook = self.after(execution, now, hook, &mut outcome).await?;
                Ok(json!(outcome))
            }
            state => {
                let (release, _) = state.in_flight()?.answered(now)?;
                let release = self.gate(execution, now, release).await?;
                Ok(json!(Output::of(release, Next::of)))
            }
        }
    }

    /// Runs the hook before or after a shift.
    async fn gate(
        &self,
        execution: &str,
        now: Timestamp,
        mut release: Release,
    ) -> Result<Release, Error> {
        let run = release.next_hook().ok_or_else(|| {
            Error::InvalidRequest("there is no hook to be asked at this point".into())
        })?;
        let weight = match run.point {
            HookPoint::BeforeShift => release.step().map_or(Weight::FULL, |step| step.weight),
            HookPoint::AfterShift | HookPoint::AfterPromote | HookPoint::AfterRollback => {
                release.weight()
            }
        };
        let progress = release.progress();
        let event = event(
            execution,
            &run,
            &progress.functions,
            json!({
                "application": release.spec.application,
                "step": progress.position.step,
                "weight": weight,
            }),
        );
        let (run, report) = self.asked(run, &event, weight).await?;
        let ran = Event::HookRan { run, report };
        release.apply(ran, now)?;
        let progress = release.progress();
        if progress.phase == Phase::RollingBack {
            let evidence = Evidence {
                hooks: progress.evidence.hooks.clone(),
                ..Evidence::default()
            };
            let detail = Detail::proven(progress.reason.clone(), evidence);
            return Err(Error::ValidationFailed(detail));
        }
        Ok(release)
    }

    /// Asks a hook of a release that has ended. It is still to be asked, or its answer is in the outcome.
    async fn after(
        &self,
        execution: &str,
        now: Timestamp,
        run: Option<HookRun>,
        outcome: &mut Outcome,
    ) -> Result<Option<HookRun>, Error> {
        let Some(run) = run else { return Ok(None) };
        let weight = match run.point {
            HookPoint::AfterRollback => Weight::ZERO,
            HookPoint::BeforeShift | HookPoint::AfterShift | HookPoint::AfterPromote => {
                Weight::FULL
            }
        };
        let mut event = json!({
            "hook": run.point,
            "execution": execution,
            "release": name_of(execution),
            "application": outcome.application,
            "functions": outcome.functions,
            "step": outcome.steps.len().saturating_sub(1),
            "weight": weight,
        });
        event["deploymentStatus"] = json!(outcome.deployment_status);
        event["reason"] = json!(outcome.reason);
        let (run, heard) = self.asked(run, &event, weight).await?;
        let Some(heard) = heard else {
            return Ok(Some(run));
        };
        let failed = (heard.status == HookStatus::Failed).then(|| heard.describe());
        outcome.evidence.add_hook(heard);
        if let Some(failed) = failed {
            outcome.warnings.push(failed.clone());
            let mut told = outcome.clone();
            told.reason = format!("{failed}; {}", told.reason);
            let mut notice = Notice::ended(execution, now, &told);
            notice.facts.id.push_str("#hook");
            self.notifier.deliver(&notice).await?;
        }
        Ok(None)
    }

    /// Invokes the hook once. Returns its result where it is over.
    async fn asked(
        &self,
        mut run: HookRun,
        event: &Value,
        weight: Weight,
    ) -> Result<(HookRun, Option<HookResult>), Error> {
        let Some(may_take) = run.begin() else {
            let why = run.give_up();
            let heard = run.result(weight, Some(why), None);
            return Ok((run, Some(heard)));
        };
        let patience = Duration::from_secs(u64::from(may_take));
        let begun = Instant::now();
        let said = match self
            .functions
            .call(&run.function_name, event, patience)
            .await
        {
            Ok(Called::Answered {
                failed: None,
                answer,
            }) => HookReply::Answer(answer),
            Ok(Called::Answered { answer, .. }) => HookReply::Failed(answer),
            Ok(Called::TimedOut) => {
                HookReply::Nothing(format!("it did not answer within {may_take} s"))
            }
            // Asking again is what hooks are made for.
            Ok(Called::Lost(why)) => return Err(Error::Transient(why.into())),
            Err(Error::Refused(why)) => {
                HookReply::Nothing(format!("it could not be invoked: {why}"))
            }
            Err(other) => return Err(other),
        };
        let took = u32::try_from(begun.elapsed().as_secs()).unwrap_or(u32::MAX);
        let why = run.apply_reply(&said, took);
        tracing::info!(event = "hook_called", hook = ?run.point, status = ?run.status, asked = run.asked, "Called a hook.");
        let heard = (!run.is_open()).then(|| run.result(weight, why, Some(said)));
        Ok((run, heard))
    }
}

/// Returns the event of a hook within a release.
fn event(execution: &str, run: &HookRun, functions: &[Target], more: Value) -> Value {
    let mut event = more;
    event["hook"] = json!(run.point);
    event["execution"] = json!(execution);
    event["release"] = json!(name_of(execution));
    event["functions"] = json!(function_values(functions));
    event
}
