//! How things are, from the ledger.

use std::collections::BTreeMap;

use comfy_table::{Table, presets::NOTHING};
use crossfade::{
    aws::ledger::Ledger,
    domain::{
        Timestamp,
        about::About,
        approval::{OperatorRequest, Question, QuestionKind},
        names::Application,
        record::{Record, Status},
        step_record::StepRecord,
        traffic::Sides,
        weight::Weight,
    },
    wire::outcome::FunctionOutcome,
};
use futures::future::{join_all, try_join_all};
use serde::Serialize;

use crate::{
    error::CliError,
    executions::Run,
    exit_code::Exit,
    output::{MOMENT, Output, moment},
    resolve::resolve,
    stack::Aws,
    timeline::{Kind, Timeline, goes_back},
    whole::is_on_blue,
};

/// How a release is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    /// Its execution.
    execution: String,
    /// That one's name.
    pub(crate) name: String,
    /// What is released.
    pub(crate) application: Application,
    /// What it is, in its team's words.
    #[serde(skip_serializing_if = "About::is_empty")]
    about: About,
    /// Where it is.
    pub(crate) status: &'static str,
    /// Percent of traffic on green.
    weight: Weight,
    /// Its functions.
    pub(crate) functions: Vec<FunctionOutcome>,
    /// The record or the target group that each colour is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sides: Option<Sides>,
    /// How many steps its plan has; none before there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    planned_steps: Option<usize>,
    /// The steps that it took.
    steps: Vec<StepRecord>,
    /// When it began.
    pub(crate) began_at: Timestamp,
    /// What an operator is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<Asks>,
    /// The operator's request, until the next look takes it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    wish: Option<String>,
    /// Whether all traffic is on blue already, while its execution has not ended yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    on_blue: bool,
    /// Why a rollback was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Until when it can be taken back, where it was promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    retain_until: Option<Timestamp>,
    /// When that was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_ended_at: Option<Timestamp>,
    /// The release that came after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
    /// What operators should know, as its execution says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What an operator is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asks {
    /// An approval, or what to do about a hold.
    kind: QuestionKind,
    /// Until when an answer is waited for.
    until: Timestamp,
    /// Why.
    reason: String,
    /// What happens when no operator answers.
    on_silence: String,
    /// The words there are, each with what it does.
    answers: BTreeMap<&'static str, String>,
}

impl Asks {
    fn of(asked: &Question) -> Self {
        let words = asked.kind.words().iter();
        Self {
            kind: asked.kind,
            until: asked.until,
            reason: asked.reason.clone(),
            on_silence: asked.on_silence.clone(),
            answers: words
                .map(|word| (word.into(), asked.meaning(*word)))
                .collect(),
        }
    }
}

impl View {
    /// Of a row of the ledger.
    pub(crate) fn of(record: &Record) -> Self {
        let status: &'static str = record.status.into();
        let footprint = record.footprint.as_ref();
        Self {
            execution: record.execution.clone(),
            name: name(&record.execution),
            application: record.application.clone(),
            about: record.about(),
            status,
            weight: weight(record),
            functions: footprint
                .iter()
                .flat_map(|footprint| &footprint.functions)
                .map(FunctionOutcome::from)
                .collect(),
            sides: footprint.and_then(|footprint| footprint.traffic.sides()),
            planned_steps: footprint.map(|footprint| footprint.plan.len()),
            steps: record.steps.clone(),
            began_at: record.began_at,
            asks: record.asked.as_deref().map(Asks::of),
            wish: record.wish.as_ref().map(OperatorRequest::describe),
            on_blue: false,
            why: record.why.as_ref().map(|why| why.reason.clone()),
            retain_until: record.retain_until,
            retention_ended_at: record.retention_ended_at,
            superseded_by: record.superseded_by.clone(),
            warnings: Vec::new(),
        }
    }

    /// Takes in where traffic is while the release returns to blue: the ledger has the weight of before until the execution has
    /// taken the rollback in.
    async fn seen(&mut self, aws: &Aws, record: &Record) {
        if goes_back(record) && is_on_blue(aws, record).await == Some(true) {
            self.weight = Weight::ZERO;
            self.on_blue = true;
        }
    }

    /// In lines.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{}  {}  {}",
            self.application, self.name, self.status
        )];
        let mut line = |name: &str, text: String| lines.push(format!("  {name:<14}{text}"));
        if let Some(about) = self.about.line() {
            line("what", about);
        }
        if let Some(url) = &self.about.url {
            line("more", url.to_string());
        }
        line("began", moment(self.began_at));
        line("on green", self.weight.to_string());
        if let Some(sides) = &self.sides {
            line("sides", sides.to_string());
        }
        if let Some(planned) = self.planned_steps {
            line("step", format!("{} of {planned}", self.steps.len()));
        }
        for function in &self.functions {
            let blue = function.blue_version.as_ref().map(ToString::to_string);
            let blue = blue.unwrap_or_else(|| "none".to_owned());
            line(
                "function",
                format!(
                    "{}: blue {blue}, green {}",
                    function.function_name, function.green_version
                ),
            );
        }
        if let Some(asks) = &self.asks {
            line("asks", asks.reason.clone());
            line(
                "until",
                format!("{}; then {}", moment(asks.until), asks.on_silence),
            );
            for (word, meaning) in &asks.answers {
                // As the command is called.
                line("", format!("{}: {meaning}", word.to_ascii_lowercase()));
            }
        }
        if let Some(wish) = &self.wish {
            line("at its next look", wish.clone());
        }
        if let Some(why) = &self.why {
            let heading = match self.status {
                "REJECTED" => "rejected",
                "ROLLING_BACK" if !self.on_blue => "returns to blue",
                _ => "rolled back",
            };
            line(heading, why.clone());
        }
        match (self.retain_until, self.retention_ended_at) {
            (_, Some(ended)) => line("retention", format!("ended {}", moment(ended))),
            (Some(until), None) => line(
                "retention",
                format!("can be taken back until {}", moment(until)),
            ),
            (None, None) => {}
        }
        if let Some(by) = &self.superseded_by {
            line("superseded by", name(by));
        }
        for warning in &self.warnings {
            line("warning", warning.clone());
        }
        lines
    }
}

/// The weight that green has by the ledger: a release that has ended has all of it, or nothing.
fn weight(record: &Record) -> Weight {
    match record.status {
        Status::Promoted => Weight::FULL,
        Status::RolledBack | Status::Rejected | Status::Preparing => Weight::ZERO,
        Status::InFlight | Status::Held | Status::RollingBack | Status::Unchanged => record.weight,
    }
}

fn name(execution: &str) -> String {
    let arn = execution.to_owned();
    Run { arn }.name().to_owned()
}

/// Shows what is in flight, or one release.
pub(crate) async fn status(
    aws: &Aws,
    what: Option<&str>,
    screen: &Output,
) -> Result<Exit, CliError> {
    let ledger = aws.ledger().await?;
    match what {
        None => {
            let views = in_flight(aws, &ledger).await?;
            if screen.is_json() {
                screen.object(&serde_json::json!({ "inFlight": views }));
            } else if views.is_empty() {
                screen.say(
                    "nothing is in flight; `crossfade releases` lists what was released, and what serves",
                );
            } else {
                screen.say(&table(&views));
            }
        }
        Some(what) => {
            let run = resolve(aws, Some(what)).await?;
            let record = ledger.get(&run.arn).await?;
            match record {
                Some(record) => {
                    let mut view = View::of(&record);
                    view.seen(aws, &record).await;
                    // The ledger has none. A history that cannot be read does not hide the rest.
                    view.warnings = warnings(aws, &run).await.unwrap_or_default();
                    if screen.is_json() {
                        screen.object(&view);
                    }
                    for line in view.lines() {
                        screen.say(&line);
                    }
                }
                None => return Err(no_row(&run)),
            }
        }
    }
    Ok(Exit::Done)
}

/// What operators should know of a release.
async fn warnings(aws: &Aws, run: &Run) -> Result<Vec<String>, CliError> {
    let mut story = Timeline::default();
    for event in aws.runs().since(run, 0).await? {
        story.apply(event);
    }
    Ok(story.warnings)
}

/// What is said of an execution that the ledger knows nothing of.
fn no_row(run: &Run) -> CliError {
    CliError::new(
        Exit::Failed,
        format!("the ledger has nothing of {}: it took no locks", run.name()),
    )
    .next(format!(
        "`crossfade history {}` says how it ended",
        run.name()
    ))
}

async fn in_flight(aws: &Aws, ledger: &Ledger) -> Result<Vec<View>, CliError> {
    let running = ledger.running().await?;
    let records = try_join_all(running.iter().map(|execution| ledger.get(execution))).await?;
    let views = records.iter().flatten().map(|record| async move {
        let mut view = View::of(record);
        view.seen(aws, record).await;
        view
    });
    let mut views = join_all(views).await;
    views.sort_by_key(|view| view.began_at);
    Ok(views)
}

fn table(views: &[View]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "APPLICATION",
        "RELEASE",
        "STATUS",
        "ON GREEN",
        "STEP",
        "BEGAN",
    ]);
    for view in views {
        let step = match view.planned_steps {
            Some(planned) => format!("{} of {planned}", view.steps.len()),
            None => String::new(),
        };
        table.add_row([
            view.application.to_string(),
            view.name.clone(),
            view.status.to_owned(),
            view.weight.to_string(),
            step,
            moment(view.began_at),
        ]);
    }
    table.trim_fmt()
}

/// Shows what happened when, from the execution's history and, for what came after its end, from the
/// ledger.
pub(crate) async fn history(
    aws: &Aws,
    said: Option<&str>,
    screen: &Output,
) -> Result<Exit, CliError> {
    let run = resolve(aws, said).await?;
    let mut story = Timeline::default();
    let events = aws.runs().since(&run, 0).await?;
    let happenings: Vec<_> = events
        .into_iter()
        .filter_map(|event| story.apply(event))
        .collect();
    let view = aws.ledger().await?.get(&run.arn).await?;
    let view = view.as_ref().map(View::of);
    if screen.is_json() {
        screen.object(&serde_json::json!({
            "execution": run.arn, "name": run.name(), "happenings": happenings, "release": view,
        }));
        return Ok(Exit::Done);
    }
    screen.say(run.name());
    for told in &happenings {
        screen.say(&told.dated(MOMENT));
    }
    let promoted = happenings.iter().any(|told| told.event == Kind::Promoted);
    match view {
        Some(view) if promoted && view.why.is_some() => {
            let why = view.why.unwrap_or_default();
            screen.say(&format!("taken back after that: {why}"));
        }
        Some(view) if story.ended.is_none() => {
            screen.say(&format!("in flight, {}", view.status));
        }
        Some(_) | None => {}
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: Status) -> Record {
        Record {
            execution: "arn:aws:states:r:1:execution:m:chat-1".to_owned(),
            status,
            ..Record::example()
        }
    }

    #[test]
    fn shows_full_or_no_weight_after_the_end() {
        for (status, percent) in [
            (Status::InFlight, 10),
            (Status::Promoted, 100),
            (Status::RolledBack, 0),
        ] {
            let view = View::of(&record(status));
            assert_eq!(view.weight.whole(), Some(percent), "{status:?}");
        }
    }

    #[test]
    fn names_what_each_colour_is() {
        let mut swapped = record(Status::InFlight);
        swapped.footprint.as_mut().unwrap().traffic = serde_json::from_value(serde_json::json!({
            "type": "route53", "hostedZoneId": "Z1", "recordName": "a.example.com", "recordType": "A",
            "blue": "green", "green": "blue", "dnsSeconds": 60}))
        .unwrap();
        let sides = "  sides         blue is record \"green\", green is record \"blue\"";
        assert!(View::of(&swapped).lines().iter().any(|line| line == sides));
    }

    #[test]
    fn renders_releases_as_lines_and_as_a_table() {
        let view = View::of(&record(Status::InFlight));
        assert_eq!(
            view.lines(),
            [
                "chat  chat-1  IN_FLIGHT",
                "  began         2026-11-20 12:00:00Z",
                "  on green      10 %",
                "  step          1 of 2",
                "  function      f: blue 1, green 2",
            ]
        );
        let table = table(&[view]);
        let rows: Vec<Vec<_>> = table
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            rows[0],
            [
                "APPLICATION",
                "RELEASE",
                "STATUS",
                "ON GREEN",
                "STEP",
                "BEGAN"
            ]
        );
        assert_eq!(
            rows[1],
            [
                "chat",
                "chat-1",
                "IN_FLIGHT",
                "10 %",
                "1 of 2",
                "2026-11-20 12:00:00Z"
            ]
        );
    }
}
