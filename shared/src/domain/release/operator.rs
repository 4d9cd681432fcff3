//! What operators answer and request, as transitions of a release.

use super::{Phase, Position, Release, Resume};
use crate::domain::{
    Timestamp,
    analysis::{OnInconclusive, verdict::Verdict},
    approval::{
        Answer, AnswerKind, AnswerRecord, OnApprovalTimeout, OnDenied, OperatorAction,
        OperatorRequest,
    },
    decision::Next,
};

impl Release {
    /// Puts an answer on record.
    pub(super) fn answered(&mut self, answer: Answer, at: Timestamp) {
        let weight = self.weight();
        self.progress.answers.push(AnswerRecord {
            decision: answer.decision,
            by: answer.by,
            reason: answer.reason,
            at,
            weight,
        });
    }

    /// Returns where an answer to an approval leads; any other answer rolls back.
    pub(super) fn after_approval(&self, word: AnswerKind) -> Phase {
        let approval = &self.spec.approval;
        match word {
            AnswerKind::Approve => Phase::Ready,
            AnswerKind::Next => Phase::AwaitingApproval,
            AnswerKind::Promote => self.promotion(),
            AnswerKind::Reject if approval.on_denied == OnDenied::Hold => {
                Phase::Held(Resume::Shift)
            }
            AnswerKind::Silence if approval.on_timeout == OnApprovalTimeout::Hold => {
                Phase::Held(Resume::Shift)
            }
            AnswerKind::Silence if approval.on_timeout == OnApprovalTimeout::Proceed => {
                Phase::Ready
            }
            AnswerKind::Reject
            | AnswerKind::Silence
            | AnswerKind::Resume
            | AnswerKind::RollBack => Phase::RollingBack,
        }
    }

    /// Returns where an operator's promotion leads: no green is kept whose migration has not run.
    pub(super) fn promotion(&self) -> Phase {
        if self.is_migration_due() {
            Phase::Ready
        } else {
            Phase::Promoting
        }
    }

    /// Ends the bake before its time, and returns where that leads: to the next step, or after the last one to the
    /// promotion.
    pub(super) fn step_ended(&mut self, now: Timestamp) -> Phase {
        let uncalled = self.progress.evidence.uncalled.clone();
        self.warn_of_uncalled(&uncalled);
        if self.end_bake(now) {
            self.to_step()
        } else {
            self.promotion()
        }
    }

    /// Ends the bake, and moves the position to the next step. Returns false after the last one.
    fn end_bake(&mut self, now: Timestamp) -> bool {
        if let Some(taken) = self.progress.steps.last_mut() {
            taken.ended_at = Some(now);
        }
        let has_next = self.next() != Next::End;
        if has_next {
            self.progress.position = Position {
                step: self.progress.position.step + 1,
                ..Position::default()
            };
        }
        has_next
    }

    /// Returns where an operator's request for the next step leads after a look that would bake on. Too little data is
    /// no pass: then the release is held, and the operator is shown what is missing.
    fn one_step(&mut self, now: Timestamp) -> Phase {
        let last = self.progress.steps.last();
        let is_judged = last.is_none_or(|step| step.verdict != Some(Verdict::Inconclusive));
        if is_judged || self.spec.analysis.on_inconclusive == OnInconclusive::Proceed {
            return self.step_ended(now);
        }
        Phase::Held(if self.end_bake(now) {
            Resume::Shift
        } else {
            Resume::Promote
        })
    }

    /// Returns where an operator's `next` leads, once the position names the step: an approval is not skipped.
    pub(super) fn to_step(&self) -> Phase {
        if self.spec.plan.needs_approval(self.progress.position.step) {
            Phase::AwaitingApproval
        } else {
            Phase::Ready
        }
    }

    /// Applies an operator's request, after a look. Where the look rolls back, or waits for something else, or
    /// an operator is asked anyway, nothing changes.
    pub(super) fn requested(&mut self, phase: &Phase, wish: &OperatorRequest, now: Timestamp) {
        let next = match (wish.verb, phase) {
            (OperatorAction::Hold, Phase::Baking) => Phase::Held(Resume::Bake),
            (OperatorAction::Hold, Phase::Ready) => Phase::Held(Resume::Shift),
            (OperatorAction::Hold, Phase::Promoting) => Phase::Held(Resume::Promote),
            (OperatorAction::Next, Phase::Baking) => self.one_step(now),
            (
                OperatorAction::Promote,
                Phase::Baking
                | Phase::Ready
                | Phase::AwaitingApproval
                | Phase::Held(_)
                | Phase::Promoting,
            ) => self.promotion(),
            (OperatorAction::Hold, Phase::AwaitingApproval | Phase::Held(_))
            // The look has ended the bake, or asks an operator.
            | (
                OperatorAction::Next,
                Phase::Ready | Phase::AwaitingApproval | Phase::Held(_) | Phase::Promoting,
            )
            | (_, Phase::Propagating(_) | Phase::AwaitingHook(_) | Phase::RollingBack) => return,
        };
        self.progress.reason = format!("{}; {}", wish.describe(), self.progress.reason);
        self.enter(next);
    }
}
