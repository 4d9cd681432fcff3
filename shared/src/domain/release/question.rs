//! The question that a release asks an operator.

use chrono::TimeDelta;

use super::{Phase, Release};
use crate::domain::{
    Timestamp,
    approval::{
        AnswerRecord, OnApprovalTimeout, OnHoldTimeout, Question, QuestionKind, nonce::NonceHash,
    },
    decision::Decision,
    weight::Weight,
};

impl Question {
    /// Returns the question of a release that begins to wait for an operator at `now`.
    #[must_use]
    pub fn of(release: &Release, kind: QuestionKind, now: Timestamp, nonce: NonceHash) -> Self {
        let next = match &release.progress().phase {
            Phase::AwaitingApproval => Decision::Shift,
            Phase::Held(resume) => resume.decision(),
            _ => Decision::Promote,
        };
        let next_weight = match next {
            Decision::Shift => release.step().map(|step| step.weight),
            Decision::Promote => Some(Weight::FULL),
            _ => None,
        };
        let back = if release.progress().steps.is_empty() {
            "the release ends, and all traffic stays on blue"
        } else {
            "all traffic returns to blue"
        };
        let (seconds, on_silence) = match kind {
            QuestionKind::Approval => (
                release.spec.approval.timeout_seconds,
                match release.spec.approval.on_timeout {
                    OnApprovalTimeout::Hold => {
                        "traffic is held as it is, and an operator is notified again"
                    }
                    OnApprovalTimeout::RollBack => back,
                    OnApprovalTimeout::Proceed => "it goes on as if it had been approved",
                },
            ),
            QuestionKind::Hold => (
                release.spec.hold.timeout_seconds,
                match release.spec.hold.on_timeout {
                    OnHoldTimeout::RollBack => back,
                    OnHoldTimeout::Leave => {
                        "traffic stays split as it is, and the locks stay taken"
                    }
                },
            ),
        };
        let weight = release.weight();
        let why = match kind {
            QuestionKind::Approval => "approval is required",
            QuestionKind::Hold => "held",
        };
        let mut reason = format!("{why} with {weight} on green");
        let last = release
            .progress()
            .answers
            .last()
            .filter(|_| kind == QuestionKind::Hold);
        for part in [
            last.map(AnswerRecord::describe),
            Some(release.progress().reason.clone()),
        ] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                reason.push_str("; ");
                reason.push_str(&part);
            }
        }
        Self {
            kind,
            at: now,
            until: now + TimeDelta::seconds(i64::from(seconds)),
            weight,
            next,
            next_weight,
            on_denied: (kind == QuestionKind::Approval).then_some(release.spec.approval.on_denied),
            on_silence: on_silence.to_owned(),
            reason,
            evidence: release.progress().evidence.clone(),
            nonce_hash: Some(nonce),
        }
    }
}
