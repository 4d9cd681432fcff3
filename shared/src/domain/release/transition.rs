//! All transitions of a release: one function, which says what each event does in each phase and refuses the rest.

use super::{Event, FROZEN, IllegalEvent, Phase, Position, Release, Resume};
use crate::domain::{
    Timestamp,
    analysis::{
        check::{Evidence, Finding},
        verdict::Verdict,
    },
    approval::AnswerKind,
    decision::{Decision, Next, decide},
    hook::{HookPoint, HookResult, HookRun, HookStatus},
    migration,
    names::FunctionName,
    plan::Step,
    propagation::{Effective, IN_SYNC_LIMIT_SECONDS, Propagation, next_sync_check},
    step_record::StepRecord,
    traffic::Splitter,
};

impl Release {
    /// Takes in an event that happened at `now`.
    ///
    /// # Errors
    /// [`IllegalEvent`] where the event cannot happen in this phase; the release is as it was.
    #[allow(clippy::too_many_lines)] // One match says every transition.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Result<(), IllegalEvent> {
        let is_first = self.progress.steps.is_empty();
        match (self.progress.phase.clone(), event) {
            (
                Phase::Ready,
                Event::Validated {
                    smoke_tested,
                    health,
                    warnings,
                    evidence,
                },
            ) if is_first => {
                self.progress.smoke_tested = smoke_tested;
                self.progress.health = health;
                self.progress.warnings.extend(warnings);
                self.progress.evidence =
                    evidence.beside(std::mem::take(&mut self.progress.evidence));
                self.ask_first();
            }
            (Phase::Ready, Event::Migrated(ran)) if self.is_migration_due() => {
                if let Some(migration) = &mut self.progress.migration {
                    migration.ran = true;
                }
                self.progress.evidence.migrations.push(ran);
                self.enter(Phase::Ready);
            }
            (Phase::Ready, Event::HookRan { run, report })
                if run.point == HookPoint::BeforeShift =>
            {
                self.hook_ran(run, report);
            }
            (Phase::AwaitingHook(due), Event::HookRan { run, report })
                if run.point == due.point =>
            {
                self.hook_ran(run, report);
            }
            (
                Phase::Ready,
                Event::Shifted {
                    functions,
                    effective,
                    warnings,
                },
            ) if self.due_shift().is_ok() => {
                self.progress.functions = functions;
                self.progress.warnings.extend(warnings);
                self.shifted(effective, now);
            }
            (
                Phase::Propagating(propagation),
                Event::Followed {
                    in_sync,
                    finding,
                    health,
                },
            ) => {
                self.progress.health = health;
                self.propagated(propagation, in_sync, finding, now);
            }
            (Phase::Baking, Event::Looked { finding, health }) if self.step().is_some() => {
                self.progress.health = health;
                self.looked(finding, now);
            }
            (Phase::AwaitingHook(due), Event::Looked { finding, health })
                if due.point == HookPoint::AfterShift && self.step().is_some() =>
            {
                self.progress.health = health;
                self.looked_before_hook(due, finding, now);
            }
            (Phase::AwaitingApproval, Event::Answered(answer)) => {
                let next = self.after_approval(answer.decision);
                self.answered(answer, now);
                self.enter(next);
            }
            (Phase::Held(resume), Event::Answered(answer)) => {
                let next = match (answer.decision, resume) {
                    (AnswerKind::Next, Resume::Bake) => self.step_ended(now),
                    (AnswerKind::Next, Resume::Shift) => self.to_step(),
                    // What has not reached clients yet is no step to be ended.
                    (AnswerKind::Resume | AnswerKind::Next, resume) => resume.into(),
                    (AnswerKind::Promote, _) => self.promotion(),
                    (
                        AnswerKind::Approve
                        | AnswerKind::Reject
                        | AnswerKind::RollBack
                        | AnswerKind::Silence,
                        _,
                    ) => Phase::RollingBack,
                };
                self.answered(answer, now);
                self.enter(next);
            }
            (Phase::AwaitingApproval | Phase::Held(_), Event::Misanswered(shown)) => {
                let reason = &self.progress.reason;
                self.progress.reason = format!(
                    "unrecognized answer {shown}; expected an answer that was offered; {reason}"
                );
                self.enter(Phase::RollingBack);
            }
            (phase, Event::Requested(wish)) => self.requested(&phase, &wish, now),
            (Phase::Promoting, Event::Promoted) => {
                if let Some(last) = self.progress.steps.last_mut() {
                    last.ended_at.get_or_insert(now);
                }
            }
            (_, event) => return Err(self.refuses(event.into())),
        }
        Ok(())
    }

    /// Returns the step of the shift that is next.
    ///
    /// # Errors
    /// [`IllegalEvent`] where none is: the release would refuse [`Event::Shifted`].
    pub fn due_shift(&self) -> Result<Step, IllegalEvent> {
        let step = self
            .step()
            .filter(|_| self.progress.phase == Phase::Ready && !self.is_migration_due());
        step.ok_or_else(|| self.refuses("Shifted"))
    }

    fn refuses(&self, event: &'static str) -> IllegalEvent {
        IllegalEvent {
            phase: (&self.progress.phase).into(),
            event,
        }
    }

    /// Goes on to a phase, with its word for the state machine.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.progress.decision = Some(match phase {
            Phase::Ready => Decision::Shift,
            Phase::Propagating(_) => Decision::AwaitDns,
            Phase::AwaitingHook(_) => Decision::RunHook,
            Phase::Baking => Decision::BakeOn,
            Phase::AwaitingApproval => Decision::Ask,
            Phase::Held(_) => Decision::Hold,
            Phase::Promoting => Decision::Promote,
            Phase::RollingBack => Decision::RollBack,
        });
        if let Phase::AwaitingHook(_) = phase {
            self.progress.passed_hook = None;
        }
        self.progress.phase = phase;
    }

    pub(super) fn is_migration_due(&self) -> bool {
        self.progress
            .migration
            .is_some_and(|migration| !migration.ran)
    }

    /// Goes on to the first shift, or asks an operator first: where the plan says so, and before a migration that
    /// takes something away.
    fn ask_first(&mut self) {
        let contracts = self
            .progress
            .migration
            .is_some_and(|migration| migration.phase == migration::Phase::Contract);
        if contracts {
            self.progress.reason =
                "its migration runs first, and takes away what older versions needed".into();
        }
        self.enter(if contracts || self.spec.plan.needs_approval(0) {
            Phase::AwaitingApproval
        } else {
            Phase::Ready
        });
    }

    fn hook_ran(&mut self, run: HookRun, report: Option<HookResult>) {
        let failure = report.as_ref().map(HookResult::describe);
        if let Some(report) = report {
            self.progress.evidence.add_hook(report);
        }
        match (run.status, run.point) {
            (HookStatus::Due | HookStatus::InProgress, _) => self.enter(Phase::AwaitingHook(run)),
            (HookStatus::Failed, _) => {
                self.progress.reason = failure.unwrap_or_default();
                self.enter(Phase::RollingBack);
            }
            (HookStatus::Succeeded, HookPoint::AfterShift) => {
                self.progress.passed_hook = Some(run);
                self.bake_from_now();
            }
            (HookStatus::Succeeded, _) => {
                self.progress.passed_hook = Some(run);
                self.enter(Phase::Ready);
            }
        }
    }

    fn shifted(&mut self, effective: Effective, now: Timestamp) {
        let Some(step) = self.step() else { return };
        let position = &mut self.progress.position;
        *position = Position {
            step: position.step,
            ..Position::default()
        };
        self.progress.steps.push(StepRecord {
            weight: step.weight,
            started_at: now,
            in_force_at: None,
            ended_at: None,
            verdict: None,
        });
        self.progress.passed_hook = None;
        match effective {
            Effective::AtOnce => self.in_force(),
            Effective::Later(change_id) => self.propagate(Propagation::Pending {
                change_id,
                waited_seconds: 0,
            }),
        }
    }

    /// Begins the bake, or what comes before it: a look, and then the hook.
    fn in_force(&mut self) {
        match &self.spec.hooks.after_shift {
            Some(hook) => {
                let run = HookRun::due(HookPoint::AfterShift, hook, &self.pace());
                self.progress.position.wait_seconds = 0;
                self.enter(Phase::AwaitingHook(run));
                self.progress.decision = Some(Decision::BakeOn);
            }
            None => self.bake_from_now(),
        }
    }

    fn bake_from_now(&mut self) {
        let wait = self.bake().map_or(0, |bake| bake.next_wait());
        self.progress.position.wait_seconds = wait;
        self.enter(Phase::Baking);
    }

    fn propagate(&mut self, propagation: Propagation) {
        self.progress.position.wait_seconds = match &propagation {
            Propagation::Pending { waited_seconds, .. } => next_sync_check(*waited_seconds),
            Propagation::Expiring { lead_seconds } => *lead_seconds,
        };
        self.enter(Phase::Propagating(propagation));
    }

    /// Takes in whether the last change is in force, and what the alarms say meanwhile. Once it is,
    /// resolvers are given time to forget the old answer, and then the bake begins.
    fn propagated(
        &mut self,
        mut propagation: Propagation,
        in_sync: bool,
        finding: Finding,
        now: Timestamp,
    ) {
        self.found(finding.reason, finding.evidence);
        if let Propagation::Pending { waited_seconds, .. } = &mut propagation {
            *waited_seconds += self.progress.position.wait_seconds;
        }
        let lead_seconds = match &self.spec.traffic {
            Splitter::Route53(records) => records.dns_seconds,
            Splitter::Alias | Splitter::Alb(_) => 0,
        };
        match propagation {
            propagation if finding.verdict == Verdict::Unhealthy => self.give_up(propagation),
            Propagation::Pending { waited_seconds, .. }
                if !in_sync && waited_seconds >= IN_SYNC_LIMIT_SECONDS =>
            {
                self.progress.reason =
                    format!("Route 53 did not put the change in force within {waited_seconds} s");
                self.progress.evidence.decided_by = Some("notInSync".into());
                self.give_up(propagation);
            }
            Propagation::Pending { .. } if !in_sync => self.propagate(propagation),
            Propagation::Pending { .. } if lead_seconds > 0 => {
                self.propagate(Propagation::Expiring { lead_seconds });
            }
            Propagation::Pending { .. } | Propagation::Expiring { .. } => {
                if let Some(taken) = self.progress.steps.last_mut() {
                    taken.in_force_at = Some(now);
                }
                self.in_force();
            }
        }
    }

    /// Rolls back from a shift in progress; holds where blue cannot work any more.
    fn give_up(&mut self, propagation: Propagation) {
        self.progress.position.wait_seconds = 0;
        if self.is_frozen() {
            self.progress.reason = format!("{FROZEN}: {}", self.progress.reason);
            self.enter(Phase::Held(Resume::Propagate(propagation)));
        } else {
            self.enter(Phase::RollingBack);
        }
    }

    fn found(&mut self, reason: String, evidence: Evidence) {
        self.progress.reason = reason;
        let before = std::mem::take(&mut self.progress.evidence);
        self.progress.evidence = before.followed_by(evidence);
    }

    /// Takes in a look while a hook is due, which comes before the bake: only what is unhealthy goes first.
    fn looked_before_hook(&mut self, due: HookRun, finding: Finding, now: Timestamp) {
        if finding.verdict == Verdict::Unhealthy {
            self.looked(finding, now);
        } else {
            self.found(finding.reason, finding.evidence);
            self.enter(Phase::AwaitingHook(due));
        }
    }

    /// Takes in what a look at the present step found: the verdict and its numbers, the decision on
    /// them, and where the release then is in its plan.
    fn looked(&mut self, finding: Finding, now: Timestamp) {
        self.progress.position.waited_seconds += self.progress.position.wait_seconds;
        let Some(mut bake) = self.bake() else { return };
        if finding.early_proceed && self.spec.analysis.early_proceed {
            let early = bake.waited_seconds.max(self.least_bake_seconds());
            bake.planned_seconds = bake.planned_seconds.min(early);
        }
        let next = self.next();
        let on_inconclusive = self.spec.analysis.on_inconclusive;
        let decided = decide(finding.verdict, &bake, next, on_inconclusive);
        let frozen = decided.decision == Decision::RollBack && self.is_frozen();
        let decision = if frozen {
            Decision::Hold
        } else {
            decided.decision
        };
        if matches!(
            decision,
            Decision::Shift | Decision::Ask | Decision::Promote
        ) {
            self.warn_of_uncalled(&finding.evidence.uncalled);
        }
        if let Some(taken) = self.progress.steps.last_mut() {
            taken.verdict = Some(finding.verdict);
            if decision != Decision::BakeOn {
                taken.ended_at = Some(now);
            }
        }
        let reason = if frozen {
            format!("{FROZEN}: {}", finding.reason)
        } else {
            finding.reason
        };
        self.found(reason, finding.evidence);
        let is_at_end = next == Next::End;
        if matches!(decision, Decision::Shift | Decision::Ask | Decision::Hold) && !is_at_end {
            self.progress.position = Position {
                step: self.progress.position.step + 1,
                ..Position::default()
            };
        }
        if decision == Decision::BakeOn {
            self.progress.position.wait_seconds = decided.wait_seconds;
        }
        self.enter(match decision {
            Decision::BakeOn => Phase::Baking,
            Decision::Shift => Phase::Ready,
            Decision::Ask => Phase::AwaitingApproval,
            Decision::Hold if is_at_end => Phase::Held(Resume::Promote),
            Decision::Hold => Phase::Held(Resume::Shift),
            Decision::Promote => Phase::Promoting,
            Decision::RollBack | Decision::AwaitDns | Decision::RunHook => Phase::RollingBack,
        });
    }

    /// Notes that functions were not judged, because nothing has called them.
    pub(super) fn warn_of_uncalled(&mut self, uncalled: &[FunctionName]) {
        for target in &self.progress.functions {
            let Some(alias) = target
                .alias
                .as_ref()
                .filter(|_| uncalled.contains(&target.function_name))
            else {
                continue;
            };
            let warning = format!(
                "{}: no client calls alias {alias} yet, so only its smoke tests and the alarms judge version {}",
                target.function_name, target.green_version
            );
            if !self.progress.warnings.contains(&warning) {
                self.progress.warnings.push(warning);
            }
        }
    }
}
