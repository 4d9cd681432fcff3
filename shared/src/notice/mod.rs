//! The content of notices about a release: one value, and three renderings. Pure; [`crate::aws::notify`]
//! sends it.
//!
//! A notice comes at least once: a retry sends it again. Its id is the same each time.

mod chat;
mod email;
mod sentences;
mod truncate;

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::{
    chat::chat,
    email::{Mail, mail},
};
use crate::{
    domain::{
        Timestamp,
        about::About,
        analysis::check::Evidence,
        approval::{AnswerKind, AnswerRecord, Question, QuestionKind},
        names::Application,
        plan::Step,
        release::Release,
        retention::name_of,
        status::DeploymentStatus,
        step_record::StepRecord,
        traffic::Sides,
        weight::Weight,
    },
    error,
    wire::outcome::{FrontDoorOutcome, FunctionOutcome, Outcome},
};

/// The `source` of every event.
pub const SOURCE: &str = "crossfade";

/// The most bytes that an event's detail may have: EventBridge takes 256 KB an entry, with its other
/// fields.
const MAX_DETAIL: usize = 240 * 1024;

/// What happened. The name is the event's `detail-type`, and the attribute `kind` of what is published.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
pub enum Kind {
    /// A release began: green is made, and the steps are fixed. No traffic has moved.
    Started,
    /// Green has the weight of a step.
    Shifted,
    /// An operator is asked whether the next step is to be taken.
    ApprovalNeeded,
    /// Traffic stays as it is until an operator decides, or until the time for that is over.
    Held,
    /// Green has all traffic, and the release is over.
    Promoted,
    /// Blue has all traffic again.
    RolledBack,
    /// Nothing was begun, or green did not prove itself: no traffic has moved.
    Rejected,
    /// There was nothing to release, or nothing to wire.
    Unchanged,
    /// A stage calls the alias, or no longer does.
    Wired,
    /// Crossfade cannot make traffic whole: another writer moved it, or AWS does not let it.
    Stuck,
    /// Versions are not cleaned up after a release.
    RetentionFailed,
}

impl Kind {
    /// Whether it says how a release ended.
    #[must_use]
    pub fn is_an_end(self) -> bool {
        match self {
            Self::Promoted
            | Self::RolledBack
            | Self::Rejected
            | Self::Unchanged
            | Self::Wired
            | Self::Stuck => true,
            Self::Started
            | Self::Shifted
            | Self::ApprovalNeeded
            | Self::Held
            | Self::RetentionFailed => false,
        }
    }

    /// Whether it is of a release, which has a page.
    #[must_use]
    pub fn is_of_a_release(self) -> bool {
        !matches!(self, Self::RetentionFailed)
    }

    fn of(outcome: &Outcome) -> Self {
        match outcome.deployment_status {
            DeploymentStatus::Successful if outcome.front_door.is_some() => Self::Wired,
            DeploymentStatus::Successful => Self::Promoted,
            DeploymentStatus::NoChange => Self::Unchanged,
            DeploymentStatus::RolledBack => Self::RolledBack,
            DeploymentStatus::Held => Self::Stuck,
            DeploymentStatus::Rejected => Self::Rejected,
        }
    }
}

/// What comes next, unless something goes wrong before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    /// What happens: after a bake by itself, or once an operator has said so.
    pub what: String,
    /// When the bake is over if all goes well, or until when an operator is waited for; absent while DNS
    /// is following.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What happens at that time without an answer, where one is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_an_answer: Option<String>,
}

/// How many requests green has met, as far as a look has counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestsServed {
    /// Requests that green served since the release began.
    pub requests: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// The functions whose requests these are.
    pub functions: u64,
    /// All functions that were counted: where there are more, the numbers are of those that looked
    /// worst.
    pub of_functions: u64,
}

impl RequestsServed {
    /// Of the last look's numbers; none where green's traffic was never judged. What counts responses counts the same
    /// requests as the functions do: its numbers are those where it decided, and no part of the sum where not.
    #[must_use]
    pub fn of(evidence: &Evidence, functions: &[FunctionOutcome]) -> Option<Self> {
        let judge = evidence.judge.as_ref()?;
        let decided = judge.function.as_ref()?;
        let is_function = |name: &str| {
            let mut all = functions.iter();
            all.any(|one| one.function_name.as_ref() == name)
        };
        let beside: Vec<_> = judge
            .next
            .iter()
            .filter(|other| is_function(decided) && is_function(&other.function))
            .collect();
        let each = beside.iter().map(|other| &other.green);
        let all = each.fold(judge.green, |sum, one| sum.plus(*one));
        let most = if is_function(decided) {
            functions.len() as u64
        } else {
            1
        };
        Some(Self {
            requests: all.invocations,
            failed: all.errors,
            functions: 1 + beside.len() as u64,
            of_functions: judge.functions.min(most),
        })
    }
}

/// What everybody may know: the detail of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NoticeDetail {
    /// The same for each repetition: a notice comes at least once.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// When, by Step Functions' clock or by that of the event that began it.
    pub at: Timestamp,
    /// The execution's ARN.
    pub execution: String,
    /// The execution's name.
    pub release: String,
    /// The application; absent when the request did not name one that can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,
    /// What the release is, in its team's words; empty where the request does not say.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub about: About,
    /// How the release stands, as its outcome says it; absent while it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_status: Option<DeploymentStatus>,
    /// What happened and why, in words and numbers.
    pub reason: String,
    /// The release's page, which only shows; absent where the stack has none. Who has the link can read the page until the
    /// link expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The functions with both versions; empty when nothing was begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionOutcome>,
    /// The record or the target group that each colour is in this release; absent for an alias, and where nothing was
    /// begun. The roles swap with each promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sides: Option<Sides>,
    /// The target group or record that has the traffic, as it was read; empty for an alias, and where
    /// nothing was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<String>,
    /// Percent of traffic on green now; absent where it is not certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// What comes next; absent at an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStep>,
    /// How many requests green has met; absent where none were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<RequestsServed>,
    /// The numbers behind the reason.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// The steps that are planned, where the release has just begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Step>,
    /// The steps that were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// What operators answered when they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerRecord>,
    /// What operators should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Until when blue is kept and the release can be taken back, where it was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_until: Option<Timestamp>,
    /// The stage, where that was all that was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front_door: Option<FrontDoorOutcome>,
    /// The page, in Crossfade's repository, that explains the error that the release ended with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What there was no room for, a phrase each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// An event, as far as Crossfade writes it: EventBridge adds `id`, `time`, `account` and `region`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// Always `crossfade`.
    #[schemars(extend("const" = SOURCE))]
    pub source: String,
    /// What happened.
    pub detail_type: Kind,
    /// The execution's ARN.
    pub resources: Vec<String>,
    /// All that is known of it.
    pub detail: NoticeDetail,
}

impl Event {
    /// The JSON Schema of all events.
    #[must_use]
    pub fn schema() -> Value {
        let mut schema = crate::parse::schema::of::<Self>();
        schema["title"] = json!("An event of Crossfade's on the default bus of EventBridge");
        schema
    }
}

/// How an operator answers. Link and token each allow a decision, so neither is in an event; and the token,
/// which works without a name, goes to operators' email alone.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerOptions {
    /// The task token.
    pub token: String,
    /// The page.
    pub link: Option<String>,
    /// The words that can be answered, each with what it does.
    pub words: Vec<(AnswerKind, String)>,
}

impl std::fmt::Debug for AnswerOptions {
    /// Leaves out what allows a decision: it may be logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ways").finish_non_exhaustive()
    }
}

/// A notice to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What everybody may know.
    pub facts: NoticeDetail,
    /// How to answer, where an answer is waited for.
    pub ways: Option<AnswerOptions>,
}

impl Notice {
    fn new(kind: Kind, execution: &str, at: Timestamp, reason: String) -> Self {
        let facts = NoticeDetail {
            id: format!("{execution}#{kind}"),
            kind,
            at,
            execution: execution.to_owned(),
            release: name_of(execution).to_owned(),
            application: None,
            about: About::default(),
            deployment_status: None,
            reason,
            page: None,
            functions: Vec::new(),
            sides: None,
            served_by: Vec::new(),
            weight: None,
            next: None,
            met: None,
            evidence: Evidence::default(),
            plan: Vec::new(),
            steps: Vec::new(),
            answers: Vec::new(),
            warnings: Vec::new(),
            retain_until: None,
            front_door: None,
            help: None,
            left_out: Vec::new(),
        };
        Self { facts, ways: None }
    }

    fn of_release(
        kind: Kind,
        execution: &str,
        at: Timestamp,
        release: &Release,
        reason: String,
    ) -> Self {
        let mut notice = Self::new(kind, execution, at, reason);
        let facts = &mut notice.facts;
        facts.application = Some(release.spec.application.clone());
        facts.about = release.spec.about.clone();
        facts.functions = release
            .progress()
            .functions
            .iter()
            .map(FunctionOutcome::from)
            .collect();
        facts.sides = release.spec.traffic.sides();
        facts.weight = Some(release.weight());
        facts.met = RequestsServed::of(&release.progress().evidence, &facts.functions);
        facts.evidence = release.progress().evidence.clone();
        facts.steps.clone_from(&release.progress().steps);
        facts.answers.clone_from(&release.progress().answers);
        facts.warnings.clone_from(&release.progress().warnings);
        notice
    }

    /// Green is made, and what the release will do is fixed.
    #[must_use]
    pub fn started(execution: &str, at: Timestamp, release: &Release) -> Self {
        let reason = sentences::started(release);
        let mut notice = Self::of_release(Kind::Started, execution, at, release, reason);
        notice.facts.plan = release.spec.plan.steps().to_vec();
        notice
    }

    /// Green has the weight of the step that the release's position names.
    #[must_use]
    pub fn shifted(execution: &str, at: Timestamp, release: &Release) -> Self {
        let reason = sentences::shifted(release);
        let mut notice = Self::of_release(Kind::Shifted, execution, at, release, reason);
        // Writing to a String cannot fail.
        let _ = write!(notice.facts.id, "#{}", release.progress().position.step);
        notice.facts.next = Some(sentences::after_the_bake(release, at));
        notice
    }

    /// How a release ended. Where it was left on hold it is [`Notice::left`], for the outcome does not
    /// distinguish that from traffic that Crossfade could not restore.
    #[must_use]
    pub fn ended(execution: &str, at: Timestamp, outcome: &Outcome) -> Self {
        Self::of(Kind::of(outcome), execution, at, outcome)
    }

    /// No operator answered a hold, and the request asks to leave the traffic as it is then.
    #[must_use]
    pub fn left(execution: &str, at: Timestamp, outcome: &Outcome) -> Self {
        let mut notice = Self::of(Kind::Held, execution, at, outcome);
        notice.facts.id.push_str("#left");
        notice.facts.weight = outcome.steps.last().map(|step| step.weight);
        notice
    }

    /// Traffic stays as it is until an operator answers. `outcome` is how the release stands meanwhile.
    #[must_use]
    pub fn asked(
        execution: &str,
        outcome: &Outcome,
        asked: &Question,
        token: &str,
        link: Option<String>,
    ) -> Self {
        let kind = match asked.kind {
            QuestionKind::Approval => Kind::ApprovalNeeded,
            QuestionKind::Hold => Kind::Held,
        };
        let mut notice = Self::of(kind, execution, asked.at, outcome);
        let facts = &mut notice.facts;
        let _ = write!(facts.id, "#{}", asked.at.timestamp());
        facts.weight = Some(asked.weight);
        facts.next = Some(NextStep {
            what: sentences::once_answered(asked, &outcome.evidence),
            at: Some(asked.until),
            without_an_answer: Some(asked.on_silence.clone()),
        });
        let told = asked.kind.words().iter();
        notice.ways = Some(AnswerOptions {
            token: token.to_owned(),
            link,
            words: told.map(|word| (*word, asked.meaning(*word))).collect(),
        });
        notice
    }

    /// Versions of an application are not cleaned up; `execution` shows why.
    #[must_use]
    pub fn retention_failed(
        execution: &str,
        at: Timestamp,
        application: Option<Application>,
        what: String,
    ) -> Self {
        let mut notice = Self::new(Kind::RetentionFailed, execution, at, what);
        notice.facts.application = application;
        notice.facts.help = error::page("RetentionFailed");
        notice
    }

    fn of(kind: Kind, execution: &str, at: Timestamp, outcome: &Outcome) -> Self {
        let mut notice = Self::new(kind, execution, at, outcome.reason.clone());
        let facts = &mut notice.facts;
        facts.application.clone_from(&outcome.application);
        facts.about.clone_from(&outcome.about);
        facts.deployment_status = Some(outcome.deployment_status);
        facts.functions.clone_from(&outcome.functions);
        facts.sides.clone_from(&outcome.sides);
        facts.served_by.clone_from(&outcome.served_by);
        facts.weight = match kind {
            Kind::Promoted => Some(Weight::FULL),
            Kind::RolledBack => Some(Weight::ZERO),
            _ => None,
        };
        facts.met = RequestsServed::of(&outcome.evidence, &facts.functions);
        facts.evidence = outcome.evidence.clone();
        facts.steps.clone_from(&outcome.steps);
        facts.answers.clone_from(&outcome.answers);
        facts.warnings.clone_from(&outcome.warnings);
        facts.retain_until = outcome.retain_until;
        facts.front_door.clone_from(&outcome.front_door);
        facts.help.clone_from(&outcome.help);
        notice
    }
}

/// What comes after the bake that began at `at`.
#[must_use]
pub fn after_the_bake(release: &Release, at: Timestamp) -> NextStep {
    sentences::after_the_bake(release, at)
}

/// As an event, cut to what EventBridge takes.
#[must_use]
pub fn event(notice: &Notice) -> Event {
    let detail = truncate::truncate_detail(&notice.facts, MAX_DETAIL);
    Event {
        source: SOURCE.to_owned(),
        detail_type: detail.kind,
        resources: vec![detail.execution.clone()],
        detail,
    }
}
