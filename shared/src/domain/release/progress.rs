//! How far a release has come, and how that is written between two states of the execution.

use serde::{Deserialize, Serialize, Serializer, de::IgnoredAny};

use super::{Release, Spec};
use crate::domain::{
    analysis::check::Evidence,
    approval::AnswerRecord,
    decision::Decision,
    health::Health,
    hook::{HookPoint, HookRun},
    migration::Migration,
    names::FunctionName,
    propagation::Propagation,
    status::DeploymentStatus,
    step_record::StepRecord,
    target::Target,
    weight::Weight,
};

/// Where a release is in its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The index of the step that is baking, or, before a shift, of the step that it leads to.
    pub step: usize,
    /// How long it has baked, seconds: the sum of the waits.
    pub waited_seconds: u32,
    /// How long is waited next, seconds.
    pub wait_seconds: u32,
}

/// What a release is doing, and what it needs to know for that.
#[derive(Clone, Debug, Default, PartialEq, strum::IntoStaticStr)]
pub enum Phase {
    /// A shift is next, after what comes before it: validation before the first, a migration, a hook.
    #[default]
    Ready,
    /// The last shift is on its way to clients.
    Propagating(Propagation),
    /// This hook is run before the shift or before the bake.
    AwaitingHook(HookRun),
    /// The present weight is watched.
    Baking,
    /// An operator decides whether the next shift is made.
    AwaitingApproval,
    /// Traffic stays at the present weight until an operator decides.
    Held(Resume),
    /// Green is to be kept.
    Promoting,
    /// All traffic returns to blue.
    RollingBack,
}

/// Where a release goes on when an operator resumes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Resume {
    /// To the next shift.
    Shift,
    /// To the rest of the bake.
    Bake,
    /// To the rest of the wait for DNS.
    Propagate(Propagation),
    /// To the promotion.
    Promote,
}

impl Resume {
    /// Returns the word for it that the state machine and the notices read.
    #[must_use]
    pub fn decision(&self) -> Decision {
        match self {
            Self::Shift => Decision::Shift,
            Self::Bake | Self::Propagate(_) => Decision::BakeOn,
            Self::Promote => Decision::Promote,
        }
    }
}

impl From<Resume> for Phase {
    fn from(resume: Resume) -> Self {
        match resume {
            Resume::Shift => Self::Ready,
            Resume::Bake => Self::Baking,
            Resume::Propagate(propagation) => Self::Propagating(propagation),
            Resume::Promote => Self::Promoting,
        }
    }
}

/// How far a release has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The functions with both versions, and the revisions that were read or written last.
    pub functions: Vec<Target>,
    /// The user's migration, where there is one, and whether it has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// Functions without a blue of which a smoke test has passed: green need not be called to be kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub smoke_tested: Vec<FunctionName>,
    /// What operators should know, such as triggers that go past the alias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How each health check is, in the order of the request; empty before the first look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Health>,
    /// Where the plan is.
    pub position: Position,
    /// The steps that were taken.
    #[serde(default)]
    pub steps: Vec<StepRecord>,
    /// What the release is doing.
    #[serde(skip)]
    pub phase: Phase,
    /// The word that the state machine follows; none before validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The hook that passed last, for the state machine.
    #[serde(skip)]
    pub(super) passed_hook: Option<HookRun>,
    /// Why, in words and numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The numbers behind the last verdict.
    #[serde(default)]
    pub evidence: Evidence,
    /// What operators have answered so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRecord>,
}

/// The fields of the state that say what the phase is. The state machine reads some of them.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PhaseFields {
    /// Where an approval leads, or a hold when an operator resumes: `shift`, `bakeOn` or `promote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<Decision>,
    /// The hook that is due or in progress, or has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<HookRun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    propagation: Option<Propagation>,
    /// `SUCCESSFUL` once green is to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_status: Option<DeploymentStatus>,
    /// The state's tag: the previous version wrote none.
    #[serde(skip_serializing)]
    phase: Option<IgnoredAny>,
    /// As the previous version wrote it.
    #[serde(skip_serializing)]
    position: FormerPosition,
    #[serde(skip_serializing)]
    approval_answer: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    unanswered: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    answer: Option<IgnoredAny>,
}

/// Where the previous version kept how long resolvers are given.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FormerPosition {
    lead_seconds: u32,
}

impl PhaseFields {
    fn of(progress: &Progress) -> Self {
        let mut fields = Self {
            hook: progress.passed_hook.clone(),
            ..Self::default()
        };
        match &progress.phase {
            Phase::Propagating(propagation) => fields.propagation = Some(propagation.clone()),
            Phase::AwaitingHook(run) => fields.hook = Some(run.clone()),
            Phase::AwaitingApproval => fields.resume = Some(Decision::Shift),
            Phase::Held(resume) => {
                fields.resume = Some(resume.decision());
                if let Resume::Propagate(propagation) = resume {
                    fields.propagation = Some(propagation.clone());
                }
            }
            Phase::Promoting => fields.deployment_status = Some(DeploymentStatus::Successful),
            Phase::Ready | Phase::Baking | Phase::RollingBack => {}
        }
        fields
    }

    /// Puts the phase into what was read beside it.
    pub(super) fn read_into(self, progress: &mut Progress) {
        let is_answered = self.is_answered(progress);
        let lead_seconds = self.position.lead_seconds;
        let propagation = match self.propagation {
            None if lead_seconds > 0 => Some(Propagation::Expiring { lead_seconds }),
            propagation => propagation,
        };
        let (open, passed) = match self.hook {
            Some(run) if run.is_open() => (Some(run), None),
            passed => (None, passed),
        };
        progress.passed_hook = passed;
        progress.phase = match (progress.decision, open, propagation) {
            _ if self.deployment_status == Some(DeploymentStatus::Successful) => Phase::Promoting,
            (_, Some(run), _) if run.point == HookPoint::BeforeShift => Phase::AwaitingHook(run),
            // Green is kept for the status alone.
            (Some(Decision::RollBack | Decision::Promote), ..) => Phase::RollingBack,
            (Some(Decision::Ask), ..) if is_answered => Phase::Ready,
            (Some(Decision::Ask), ..) => Phase::AwaitingApproval,
            (Some(Decision::Hold), _, propagation) => {
                let resume = match (self.resume, propagation) {
                    (Some(Decision::BakeOn), Some(propagation)) => Resume::Propagate(propagation),
                    (Some(Decision::BakeOn), None) => Resume::Bake,
                    (Some(Decision::Shift), _) => Resume::Shift,
                    _ => Resume::Promote,
                };
                if is_answered {
                    resume.into()
                } else {
                    Phase::Held(resume)
                }
            }
            (_, _, Some(propagation)) => Phase::Propagating(propagation),
            (_, Some(run), None) => Phase::AwaitingHook(run),
            (Some(Decision::Shift), None, None) => Phase::Ready,
            (_, None, None) if progress.steps.is_empty() => Phase::Ready,
            (_, None, None) => Phase::Baking,
        };
    }

    /// Whether an operator's answer has been followed already. The previous version left the word of the question,
    /// which its state machine did not read again.
    fn is_answered(&self, progress: &Progress) -> bool {
        let is_pending =
            self.approval_answer.is_some() || self.unanswered.is_some() || self.answer.is_some();
        let weight = progress
            .steps
            .last()
            .map_or(Weight::ZERO, |step| step.weight);
        let last = progress.answers.last().map(|answer| answer.weight);
        self.phase.is_none() && !is_pending && last == Some(weight)
    }
}

/// Both halves and the phase as one object.
impl Serialize for Release {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            #[serde(flatten)]
            spec: &'a Spec,
            #[serde(flatten)]
            progress: &'a Progress,
            #[serde(flatten)]
            phase: PhaseFields,
        }
        let Self { spec, progress } = self;
        let phase = PhaseFields::of(progress);
        Flat {
            spec,
            progress,
            phase,
        }
        .serialize(serializer)
    }
}
