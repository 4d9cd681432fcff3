//! What the page of a release shows: made of the ledger's row, of what the execution says, and of what CloudWatch
//! counted, with nothing left to decide for who draws it.

mod evidence;
mod moments;
#[cfg(test)]
mod tests;

use crossfade::domain::{
    Timestamp,
    about::About,
    analysis::counts::{Counts, Minute},
    approval::{AnswerKind, OperatorRequest, Question, QuestionKind},
    decision::Decision,
    record::{Record, Status},
    step_record::StepRecord,
    target::Target,
    weight::Weight,
};
use crossfade::{display::duration, notice};

pub(crate) use self::evidence::{Evidence, Judged};
use crate::{
    format,
    history::{History, until},
    story::Story,
};

/// A word that can be chosen.
pub(crate) struct Choice {
    pub(crate) word: AnswerKind,
    pub(crate) name: &'static str,
    pub(crate) means: String,
    pub(crate) tone: Tone,
}

/// What a choice does, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Goes on as planned.
    Go,
    /// Goes on without what the plan has yet to judge.
    Skip,
    /// Moves away from green, or does not go on.
    Stop,
}

/// One function.
pub(crate) struct Row {
    pub(crate) function: String,
    pub(crate) alias: String,
    pub(crate) blue: String,
    pub(crate) green: String,
}

/// A step of the plan.
pub(crate) struct PlannedStep {
    pub(crate) weight: Weight,
    pub(crate) bake: String,
    /// What became of it: none while it is to come.
    pub(crate) taken: Option<StepRecord>,
}

/// The question to an operator: the page shows it to everybody, and the form to those who may answer.
pub(crate) struct Asking {
    pub(crate) kind: QuestionKind,
    pub(crate) title: String,
    pub(crate) until: Timestamp,
    pub(crate) left: String,
    pub(crate) on_silence: String,
    pub(crate) choices: Vec<Choice>,
}

/// What comes next, and when if all goes well.
pub(crate) struct Ahead {
    pub(crate) what: String,
    pub(crate) at: Option<Timestamp>,
}

/// The page.
pub(crate) struct View {
    pub(crate) release: String,
    pub(crate) application: String,
    pub(crate) about: About,
    /// How it stands, in two words.
    pub(crate) state: &'static str,
    pub(crate) title: String,
    /// Sentences: what it is doing, or how it ended, and why.
    pub(crate) now: Vec<String>,
    pub(crate) ahead: Option<Ahead>,
    /// Whether it goes on, so that the page changes.
    pub(crate) is_open: bool,
    pub(crate) asking: Option<Asking>,
    /// Green's weight now, and what comes next, where that is another.
    pub(crate) weight: Weight,
    pub(crate) next_weight: Option<Weight>,
    pub(crate) plan: Vec<PlannedStep>,
    pub(crate) rows: Vec<Row>,
    /// The version of each colour, where there is one function.
    pub(crate) versions: Option<(String, String)>,
    pub(crate) history: History,
    pub(crate) evidence: Evidence,
    /// What happened when, in order.
    pub(crate) moments: Vec<(Timestamp, String)>,
    /// What operators should know.
    pub(crate) warnings: Vec<String>,
}

impl View {
    /// Of the release in `record`. `series` is none where the counts could not be read.
    pub(crate) fn of(
        record: &Record,
        story: &Story,
        series: Option<&[Vec<Minute>]>,
        now: Timestamp,
    ) -> Self {
        let targets = record
            .footprint
            .as_ref()
            .map_or(&[][..], |footprint| &footprint.functions);
        let rows: Vec<_> = targets.iter().map(row).collect();
        let asked = asked(record);
        let weight = weight(record);
        let ahead = ahead(record, story);
        let next_weight = match asked {
            Some(asked) => asked.next_weight,
            None if record.status == Status::InFlight => {
                let steps = record.footprint.as_ref().map(|it| it.plan.steps());
                let next = steps.and_then(|steps| steps.get(record.steps.len()));
                Some(next.map_or(Weight::FULL, |step| step.weight))
            }
            None => None,
        };
        let release = story.release.as_deref();
        let outcome = story.outcome.as_deref();
        Self {
            release: name(&record.execution),
            application: record.application.to_string(),
            about: record.about(),
            state: state(record),
            title: title(record, weight),
            now: present(record, story, weight),
            ahead,
            is_open: record.status.is_open(),
            asking: asked.map(|asked| Asking::of(record, asked, now)),
            weight,
            next_weight: next_weight.filter(|next| *next != weight),
            plan: plan(record),
            versions: match &rows[..] {
                [only] => Some((only.blue.clone(), only.green.clone())),
                _ => None,
            },
            evidence: Evidence::of(record, story, rows.len()),
            rows,
            history: History::of(
                record.began_at,
                until(record.ended_at, now),
                &record.steps,
                record.ended_at.map(|at| (at, weight)),
                series,
            ),
            moments: moments::of(record, story),
            warnings: outcome
                .map(|outcome| outcome.warnings.clone())
                .or_else(|| release.map(|release| release.progress().warnings.clone()))
                .unwrap_or_default(),
        }
    }

    /// What each version has met so far, where that is known.
    pub(crate) fn counts(&self) -> Option<(Counts, Counts)> {
        self.history.counts.map(|both| (both.blue, both.green))
    }
}

impl Asking {
    fn of(record: &Record, asked: &Question, now: Timestamp) -> Self {
        let application = &record.application;
        let title = match (asked.kind, asked.next, asked.next_weight) {
            (QuestionKind::Approval, Decision::Shift, Some(weight)) => {
                format!("Move {application} to {weight} on green?")
            }
            (QuestionKind::Approval, _, _) => format!("Promote green of {application}?"),
            (QuestionKind::Hold, _, _) => format!("{application} is held: what next?"),
        };
        Self {
            kind: asked.kind,
            title,
            until: asked.until,
            left: duration((asked.until - now).num_seconds().max(0).unsigned_abs()),
            on_silence: asked.on_silence.clone(),
            choices: asked
                .kind
                .words()
                .iter()
                .map(|word| choice(asked, *word))
                .collect(),
        }
    }
}

/// What an operator is asked; nothing once the wait is over.
fn asked(record: &Record) -> Option<&Question> {
    let waits = record.status == Status::Held && record.token.is_some();
    record.asked.as_deref().filter(|_| waits)
}

/// The weight that green has by the ledger: a release that has ended has all of it, or nothing.
pub(crate) fn weight(record: &Record) -> Weight {
    match record.status {
        Status::Promoted => Weight::FULL,
        Status::RolledBack | Status::Rejected | Status::Preparing => Weight::ZERO,
        Status::InFlight | Status::Held | Status::RollingBack | Status::Unchanged => record.weight,
    }
}

/// How a release stands, in two words.
pub(crate) fn state(record: &Record) -> &'static str {
    match record.status {
        Status::Preparing => "Preparing",
        Status::InFlight => "In flight",
        Status::Held => match asked(record).map(|asked| asked.kind) {
            Some(QuestionKind::Approval) => "Waits for approval",
            Some(QuestionKind::Hold) | None => "Held",
        },
        Status::RollingBack => "Rolling back",
        Status::RolledBack => "Rolled back",
        Status::Promoted => "Promoted",
        Status::Rejected => "Rejected",
        Status::Unchanged => "Unchanged",
    }
}

fn title(record: &Record, weight: Weight) -> String {
    let application = &record.application;
    match record.status {
        Status::Preparing => format!("{application}: green is being prepared"),
        Status::InFlight => format!("{application}: {weight} on green"),
        Status::Held => match asked(record).map(|asked| asked.kind) {
            Some(QuestionKind::Approval) => {
                format!("{application} waits for approval, with {weight} on green")
            }
            Some(QuestionKind::Hold) | None => {
                format!("{application} is held with {weight} on green")
            }
        },
        Status::RollingBack => format!("{application} is going back to blue"),
        Status::RolledBack => format!("{application} was rolled back"),
        Status::Promoted => format!("{application} was promoted"),
        Status::Rejected => format!("{application} was rejected"),
        Status::Unchanged => format!("{application} is as it was"),
    }
}

/// What a release is doing, or how it ended, and why: a sentence each.
fn present(record: &Record, story: &Story, weight: Weight) -> Vec<String> {
    let outcome = story.outcome.as_deref();
    let why = record.why.as_ref().map(|why| why.reason.as_str());
    let ended = outcome.map(|outcome| outcome.reason.as_str());
    let release = story.release.as_deref();
    let last_look = release.map(|release| release.progress().reason.as_str());
    let (what, reason) = match record.status {
        Status::Preparing => (
            "Green is being made and checked. No traffic has moved.".to_owned(),
            None,
        ),
        Status::InFlight if record.steps.is_empty() => (
            "Green is made. No traffic has moved yet.".to_owned(),
            last_look,
        ),
        Status::InFlight => (
            format!("{weight} of the traffic is on green, which is judged against blue."),
            last_look,
        ),
        Status::Held => match asked(record) {
            Some(asked) => (String::new(), Some(asked.reason.as_str())),
            None => (
                "Traffic stays as it is, and nothing goes on by itself: roll it back by hand."
                    .to_owned(),
                ended,
            ),
        },
        Status::RollingBack => ("All traffic is returning to blue.".to_owned(), why),
        Status::RolledBack => ("All traffic is on blue.".to_owned(), why.or(ended)),
        Status::Promoted => ("All traffic is on green.".to_owned(), ended),
        Status::Rejected => ("No traffic has moved.".to_owned(), ended.or(why)),
        Status::Unchanged => ("There was nothing to move.".to_owned(), ended),
    };
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let wish = record.wish.as_ref().map(OperatorRequest::describe);
    let wish = wish.map(|wish| format!("At its next look: {wish}."));
    let later = record.superseded_by.as_deref();
    let later = later.map(|later| format!("Since then {} was promoted.", name(later)));
    [
        Some(what).filter(|what| !what.is_empty()),
        reason.map(format::sentence),
        wish,
        later,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What comes next, as far as that is known.
fn ahead(record: &Record, story: &Story) -> Option<Ahead> {
    match record.status {
        Status::InFlight => {
            let release = story.release.as_deref()?;
            let step = record.steps.last()?;
            release.step()?;
            let since = step.in_force_at.unwrap_or(step.started_at);
            let next = notice::after_the_bake(release, since);
            Some(Ahead {
                what: format::sentence(&next.what),
                at: next.at,
            })
        }
        Status::Promoted if record.retention_ended_at.is_none() => record.retain_until.map(|until| Ahead {
            what: "Blue is kept ready: until then an alarm, or crossfade rollback, takes the release back.".to_owned(),
            at: Some(until),
        }),
        _ => None,
    }
}

fn plan(record: &Record) -> Vec<PlannedStep> {
    let Some(footprint) = &record.footprint else {
        return Vec::new();
    };
    let steps = footprint.plan.steps().iter().enumerate();
    steps
        .map(|(nth, step)| PlannedStep {
            weight: step.weight,
            bake: duration(step.bake_seconds.into()),
            taken: record.steps.get(nth).cloned(),
        })
        .collect()
}

/// The name of an execution: the last part of its ARN.
pub(crate) fn name(execution: &str) -> String {
    crossfade::domain::retention::name_of(execution).to_owned()
}

fn row(target: &Target) -> Row {
    Row {
        function: target.function_name.to_string(),
        alias: target
            .alias
            .as_ref()
            .map_or_else(|| "–".to_owned(), ToString::to_string),
        blue: target
            .blue_version
            .as_ref()
            .map_or_else(|| "none".to_owned(), ToString::to_string),
        green: target.green_version.to_string(),
    }
}

fn choice(asked: &Question, word: AnswerKind) -> Choice {
    let (name, tone) = named(word);
    let mut means = format::sentence(&asked.meaning(word));
    if word == AnswerKind::Promote {
        means.push_str(
            " The steps that are left, and what they would have shown of green, are skipped.",
        );
    }
    Choice {
        word,
        name,
        means,
        tone,
    }
}

/// What a word is called, and what it does.
fn named(word: AnswerKind) -> (&'static str, Tone) {
    match word {
        AnswerKind::Approve => ("Approve", Tone::Go),
        AnswerKind::Reject => ("Reject", Tone::Stop),
        AnswerKind::Resume => ("Resume", Tone::Go),
        AnswerKind::Next => ("Next step", Tone::Go),
        AnswerKind::Promote => ("Promote at once", Tone::Skip),
        AnswerKind::RollBack => ("Roll back", Tone::Stop),
        AnswerKind::Silence => ("No answer", Tone::Stop),
    }
}

/// What was done, for the page that says so.
pub(crate) fn done(word: AnswerKind) -> &'static str {
    match word {
        AnswerKind::Approve => "Approved",
        AnswerKind::Reject => "Rejected",
        AnswerKind::Resume => "Resumed",
        AnswerKind::Next => "Going to the next step",
        AnswerKind::Promote => "Promoting green",
        AnswerKind::RollBack => "Rolling back",
        AnswerKind::Silence => "Not answered",
    }
}

/// Where a release is, for who came too late.
pub(crate) fn standing(status: Status) -> &'static str {
    match status {
        Status::Preparing => "it is being prepared",
        Status::InFlight => "it goes on",
        Status::Held => "an operator has answered, and the release is about to continue with that",
        Status::RollingBack => "all traffic is returning to blue",
        Status::RolledBack => "it was rolled back: all traffic is on blue",
        Status::Promoted => "it was promoted: all traffic is on green",
        Status::Rejected => "it ended before any traffic moved",
        Status::Unchanged => "there was nothing to do",
    }
}
