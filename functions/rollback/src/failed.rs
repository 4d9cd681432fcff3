//! Rolls back as a state of the execution: after any failure, and after a decision to roll back.
//!
//! What failed is classified, traffic is restored, the end is decided from what is then on record, and it is reported.

use crossfade::{
    domain::{
        approval::{AnswerKind, OnDenied, OnHoldTimeout},
        hook::{HookPoint, HookRun},
        moved::Late,
        record::{Record, Status, Why},
        release::{FROZEN, Release},
        status::DeploymentStatus,
    },
    error::{self, Error},
    metrics,
    notice::Notice,
    protocol::{
        live,
        rollback::{self, PromotedRestore, Restored as Traffic, Settled},
    },
    wire::{
        failure::Failure,
        outcome::{EndError, Ending, Outcome},
        state::{Caught, State},
        task::Task,
    },
};

use crate::{Handler, failure, nothing_begun};

/// How often it is tried again to report an end, before that is left to the schedule.
const MAX_RETRIES: u32 = 5;

/// What rolls back, and why.
struct Failed<'a> {
    task: &'a Task<Caught>,
    /// What failed; none after a decision to roll back.
    failure: Option<&'a Failure>,
    /// The release with the operator's answers on record; none before there is one.
    release: Option<Release>,
    is_hold_expired: bool,
    why: Why,
}

/// What became of the traffic.
enum Restored {
    /// It is on blue, or as another writer has left it.
    Done(Box<Settled>),
    /// It is not on blue, and the release stays open: the sweep tries again.
    Stuck(Box<Traffic>),
    /// Green was promoted, and cannot be taken back: why, in words.
    Kept(String),
    /// The release has ended already, by the janitor or by this state's first try; or it never began.
    Over,
}

impl Restored {
    /// Whether traffic is known not to be on blue.
    fn is_elsewhere(&self) -> bool {
        match self {
            Self::Done(settled) => !settled.changed_outside.is_empty(),
            Self::Stuck(_) => true,
            Self::Kept(_) | Self::Over => false,
        }
    }
}

impl<'a> Failed<'a> {
    fn classify(task: &'a Task<Caught>) -> Self {
        let Caught { state, failure } = &task.state;
        let in_flight = match state {
            State::InFlight(in_flight) => Some(in_flight),
            State::Requested(_)
            | State::Wiring(_)
            | State::Finished(_)
            | State::Outcome(_)
            | State::RollingBack(_) => None,
        };
        // Traffic is restored in any case, even where the rest of the state cannot be read.
        let release = in_flight.map(|it| {
            let answered = (**it).clone().answered(task.now);
            answered.map_or_else(|_| it.release().clone(), |(release, _)| release)
        });
        let why = failure.as_ref().map_or_else(
            || failure::why_decided(in_flight.map(AsRef::as_ref), release.as_ref(), task.now),
            |failure| failure::why_it_failed(failure, task.now),
        );
        Self {
            task,
            failure: failure.as_ref(),
            release,
            is_hold_expired: in_flight.is_some_and(|it| it.is_hold_expired()),
            why,
        }
    }

    /// Returns why the traffic stays as it is, where it does: the request says so of a hold that no operator answers,
    /// or blue cannot work with what the migration has changed and it is not an operator who wants it back.
    fn stays(&self) -> Option<String> {
        let release = self.release.as_ref()?;
        let spec = &release.spec;
        let why = &self.why.reason;
        if self.is_hold_expired && spec.hold.on_timeout == OnHoldTimeout::Leave {
            return Some(format!(
                "the request says to leave the traffic as it is: {why}"
            ));
        }
        let last = release.progress().answers.last();
        let is_wanted = match last.map(|answer| answer.decision) {
            Some(AnswerKind::RollBack) => true,
            Some(AnswerKind::Reject) => spec.approval.on_denied == OnDenied::RollBack,
            _ => false,
        };
        (release.is_frozen() && !is_wanted).then(|| format!("{FROZEN}: {why}"))
    }

    /// Whether a shift may still be written while traffic is restored: not where what failed comes before the first one.
    fn late(&self) -> Late {
        let unmoved = self
            .release
            .as_ref()
            .is_none_or(|known| known.progress().steps.is_empty());
        if unmoved && self.failure.is_some_and(failure::is_before_any_shift) {
            Late::Impossible
        } else {
            Late::Possible
        }
    }

    /// Whether the migration is undone: only on traffic that is back on blue.
    fn is_undone(&self, restored: &Restored) -> bool {
        let undone = self.release.as_ref().is_some_and(Release::is_undone);
        undone && matches!(restored, Restored::Done(_)) && !restored.is_elsewhere()
    }

    /// Returns the hook that is run once traffic is back.
    fn hook(&self, restored: &Restored) -> Option<HookRun> {
        let release = self.release.as_ref()?;
        let moved = !release.progress().steps.is_empty();
        let hook = release.spec.hooks.after_rollback.as_ref();
        hook.filter(|_| moved && !restored.is_elsewhere())
            .map(|hook| HookRun::due(HookPoint::AfterRollback, hook, &release.pace()))
    }
}

impl Handler {
    /// Puts the traffic of this execution on blue, and reports how it ends.
    pub(crate) async fn failed(&self, task: &Task<Caught>) -> Result<Ending, Error> {
        let failed = Failed::classify(task);
        if let Some(left) = self.leave(&failed).await? {
            return Ok(left);
        }
        let restored = self.restore(&failed).await?;
        let undo = failed.is_undone(&restored);
        if let Restored::Done(settled) = &restored {
            // What came first is what traffic was restored for, and perhaps by.
            if settled.record.why.as_ref() == Some(&failed.why) {
                metrics::time_to_blue(&settled.record.application, task.now);
            }
            // The migration is undone under the locks: no other may run meanwhile.
            if !undo {
                rollback::close(&self.ledger, settled, task.now).await?;
            }
        }
        let logs = self.logs.as_ref();
        live::disarm_or_leave(logs, &self.ledger, &task.execution, task.now).await;
        let hook = failed.hook(&restored);
        let (error, outcome, is_on_record) = self.end(failed, restored).await?;
        self.report(task, &outcome, is_on_record).await?;
        tracing::info!(
            event = "release_ended",
            deployment.id = task.execution,
            error.name = %error,
            status = <&str>::from(outcome.deployment_status),
            "Ended the release."
        );
        Ok(Ending {
            undo,
            hook,
            ..Ending::new(error, outcome)
        })
    }

    /// Leaves the traffic as it is, where the release requires that; none where it rolls back.
    async fn leave(&self, failed: &Failed<'_>) -> Result<Option<Ending>, Error> {
        let (Some(reason), Some(release)) = (failed.stays(), &failed.release) else {
            return Ok(None);
        };
        let execution = &failed.task.execution;
        if !self.ledger.leave_held(execution).await? {
            return Ok(None);
        }
        live::disarm_or_leave(self.logs.as_ref(), &self.ledger, execution, failed.task.now).await;
        let mut outcome = Outcome::of(release, DeploymentStatus::Held, reason);
        outcome.evidence = failed.why.evidence.clone().beside(outcome.evidence);
        outcome.help = error::page(EndError::DeploymentHeld.into());
        // The execution's end reports it, as of each that is left held.
        tracing::warn!(
            event = "traffic_frozen",
            deployment.id = execution,
            "Traffic is frozen by the migration."
        );
        Ok(Some(Ending::new(EndError::DeploymentHeld, outcome)))
    }

    /// Puts the traffic on blue, and the idle side back as it was.
    async fn restore(&self, failed: &Failed<'_>) -> Result<Restored, Error> {
        let (traffic, ledger) = (&self.traffic, &self.ledger);
        let (execution, why) = (&failed.task.execution, &failed.why);
        let restored = match &failed.release {
            // Nothing has failed: a moment ago traffic was as the state says, and one write each will
            // do, while a train's aliases would take longer to be read than to be written.
            Some(release) if failed.failure.is_none() => {
                let known = release.footprint();
                rollback::restore_known(traffic, ledger, execution, why, &known).await?
            }
            Some(_) | None => {
                rollback::restore(traffic, ledger, execution, why, failed.late()).await?
            }
        };
        match restored {
            Some(stuck) if stuck.not_moved.is_some() => Ok(Restored::Stuck(Box::new(stuck))),
            Some(restored) => Ok(Restored::Done(Box::new(restored.settle(traffic).await?))),
            None => self.restore_promoted(execution, why).await,
        }
    }

    /// Takes back what was promoted although its execution then failed: the answer that said so was lost.
    async fn restore_promoted(&self, execution: &str, why: &Why) -> Result<Restored, Error> {
        let record = self.ledger.get(execution).await?;
        if record.is_none_or(|record| record.status != Status::Promoted) {
            return Ok(Restored::Over);
        }
        match rollback::restore_promoted(&self.traffic, &self.ledger, execution, why).await {
            Ok(PromotedRestore::Done(settled)) => Ok(Restored::Done(settled)),
            Ok(PromotedRestore::Not(not)) => Ok(Restored::Kept(not)),
            Err(Error::DeploymentInProgress(not)) => Ok(Restored::Kept(not.reason)),
            Err(error) => Err(error),
        }
    }

    /// Decides how the execution ends from what is on record of it, and whether anything is.
    async fn end(
        &self,
        failed: Failed<'_>,
        restored: Restored,
    ) -> Result<(EndError, Outcome, bool), Error> {
        let Failed { task, why, .. } = &failed;
        let record = match &restored {
            Restored::Done(settled) => Some(settled.record.clone()),
            Restored::Stuck(stuck) => Some(stuck.record.clone()),
            Restored::Kept(_) | Restored::Over => self.ledger.get(&task.execution).await?,
        };
        let is_changed = restored.is_elsewhere();
        let (error, status) = failure::ending(failed.failure, record.as_ref(), why, is_changed);
        let (error, mut outcome) = match (&restored, &record) {
            (Restored::Stuck(stuck), _) => {
                (EndError::RollbackFailed, stuck.outcome(stuck.status()))
            }
            (Restored::Done(settled), _) => (error, settled.outcome(status)),
            (Restored::Kept(not), Some(record)) => {
                let mut outcome = self.as_read(record, DeploymentStatus::Held).await;
                outcome.reason = format!(
                    "green was promoted, and is not rolled back: {not}; the rollback was requested because: {}",
                    why.reason
                );
                (EndError::DeploymentHeld, outcome)
            }
            (Restored::Over, Some(record)) => (error, self.as_read(record, status).await),
            (Restored::Kept(_) | Restored::Over, None) => {
                (error, nothing_begun(task.state.state.application(), why))
            }
        };
        outcome.help = error::page(error.into());
        // A row has it once green is made.
        if outcome.about.is_empty() {
            outcome.about = task.state.state.about();
        }
        if let Some(release) = &failed.release {
            let progress = release.progress();
            outcome.steps.clone_from(&progress.steps);
            if let Some(last) = outcome.steps.last_mut() {
                last.ended_at.get_or_insert(task.now);
            }
            outcome.answers.clone_from(&progress.answers);
            let notes = std::mem::replace(&mut outcome.warnings, progress.warnings.clone());
            outcome.warnings.extend(notes);
            outcome.evidence = outcome.evidence.beside(progress.evidence.clone());
        }
        Ok((error, outcome, record.is_some()))
    }

    /// Makes the outcome of a record, with what serves now: traffic was not written to here.
    async fn as_read(&self, record: &Record, status: DeploymentStatus) -> Outcome {
        let mut outcome = rollback::outcome(record, status, &[]);
        if let Some(footprint) = &record.footprint {
            let serves = self.traffic.serves(footprint).await;
            outcome.serves(&serves.versions, &serves.by);
        }
        outcome
    }

    /// Publishes the end. Once traffic is whole and that is on record, an execution that could not publish it must not
    /// end as one that could not restore traffic: that is left to the schedule.
    async fn report(
        &self,
        task: &Task<Caught>,
        outcome: &Outcome,
        is_on_record: bool,
    ) -> Result<(), Error> {
        let ended = Notice::ended(&task.execution, task.now, outcome);
        let told = self.notifier.deliver(&ended).await;
        match told {
            Err(undelivered) if task.retries < MAX_RETRIES || !is_on_record => Err(undelivered),
            told => rollback::deliver_or_queue(&self.ledger, &task.execution, told).await,
        }
    }
}
