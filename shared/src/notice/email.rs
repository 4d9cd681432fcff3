//! For operators, as plain text.

use crate::display::duration;
use std::fmt::{Display, Write as _};

use crate::domain::{
    hook::HookResult, migration::MigrationRun, names::derived, step_record::StepRecord,
};
use crate::notice::{
    AnswerOptions, Notice, NoticeDetail,
    sentences::{self, Row},
    truncate::{self, truncate_detail},
};

/// The most bytes of a text: SNS takes 256 KiB, attributes and all.
const MAX_BODY: usize = 250 * 1024;

/// What is laid out as text, as bytes of JSON: as text it is no longer.
const MAX_FACTS: usize = 200 * 1024;

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its subject: printable ASCII, as SNS wants it.
    pub subject: String,
    /// Its text.
    pub body: String,
}

/// The notice as a mail.
#[must_use]
pub fn mail(notice: &Notice) -> Mail {
    let facts = truncate_detail(&notice.facts, MAX_FACTS);
    let mut text = Text(facts.reason.trim().to_owned());
    text.0.push('\n');
    text.release_lines(&facts);
    text.next_lines(&facts);
    if let Some(ways) = &notice.ways {
        text.answer_lines(&facts.release, ways);
    }
    text.evidence(&facts);
    text.rest(&facts);
    Mail {
        subject: subject(&facts),
        body: truncate::lines(&text.0, MAX_BODY),
    }
}

fn subject(facts: &NoticeDetail) -> String {
    derived::subject(
        sentences::label(facts),
        sentences::application(facts),
        &facts.reason,
    )
}

/// A text in the making. Writing to a String cannot fail, so what it says is not looked at.
struct Text(String);

impl Text {
    fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.0, "{line}");
    }

    /// A heading and what belongs to it; nothing of an empty list.
    fn list<T: Display>(&mut self, heading: &str, items: impl IntoIterator<Item = T>) {
        for (nth, item) in items.into_iter().enumerate() {
            if nth == 0 {
                self.line(format_args!("\n{heading}"));
            }
            self.line(format_args!("  {item}"));
        }
    }

    fn release_lines(&mut self, facts: &NoticeDetail) {
        self.line(format_args!(
            "\nApplication: {}",
            sentences::application(facts)
        ));
        if let Some(about) = facts.about.line() {
            self.line(format_args!("What: {about}"));
        }
        if let Some(url) = &facts.about.url {
            self.line(format_args!("More: {url}"));
        }
        self.line(format_args!("Release: {}", facts.release));
        if let Some(page) = &facts.page {
            self.line(format_args!("Page (it only shows): {page}"));
        }
        self.line(format_args!("Execution: {}", facts.execution));
        if let Some(link) = sentences::console(&facts.execution) {
            self.line(format_args!("Console: {link}"));
        }
        self.line(format_args!("Time: {}", sentences::time(facts.at)));
        if let Some(help) = &facts.help {
            self.line(format_args!("What it means, and what to do: {help}"));
        }
        if let Some(weight) = facts.weight {
            self.line(format_args!("On green: {weight} of the traffic"));
        }
        if let Some(sides) = &facts.sides {
            self.line(format_args!("In this release: {sides}"));
        }
        if !facts.served_by.is_empty() {
            let by = facts.served_by.join(", ");
            self.line(format_args!("All traffic goes to: {by}"));
        }
        if let Some(met) = sentences::met(facts) {
            self.line(met);
        }
        if let Some(until) = facts.retain_until {
            let until = sentences::time(until);
            self.line(format_args!(
                "Blue is kept until {until}; until then an alarm, or {{\"action\": \"rollback\"}}, takes the release back."
            ));
        }
    }

    fn next_lines(&mut self, facts: &NoticeDetail) {
        let Some(ahead) = &facts.next else { return };
        let at = ahead.at.map(sentences::time);
        match (&ahead.without_an_answer, at) {
            (Some(silence), Some(at)) => {
                self.line(format_args!("\nWhat comes next: {}", ahead.what));
                self.line(format_args!("Without an answer until {at}: {silence}"));
            }
            (Some(silence), None) => {
                self.line(format_args!("\nWhat comes next: {}", ahead.what));
                self.line(format_args!("Without an answer: {silence}"));
            }
            (None, Some(at)) => self.line(format_args!(
                "\nWhat comes next: {}, at {at} if all goes well",
                ahead.what
            )),
            (None, None) => self.line(format_args!("\nWhat comes next: {}", ahead.what)),
        }
    }

    fn answer_lines(&mut self, release: &str, ways: &AnswerOptions) {
        self.line("\nHow to answer");
        if let Some(link) = &ways.link {
            self.line(format_args!(
                "\n  On a page (to open it decides nothing):\n    {link}"
            ));
        }
        self.line("\n  With the command line:");
        for (word, meaning) in &ways.words {
            let verb = sentences::verb(*word);
            self.line(format_args!(
                "    crossfade {verb} {release} --by YOU   # {meaning}"
            ));
        }
        self.line("\n  With the AWS CLI:");
        for (word, meaning) in &ways.words {
            let word: &str = word.into();
            self.line(format_args!(
                "    # {word}: {meaning}\n    aws stepfunctions send-task-success \
                 --task-output '{{\"decision\":\"{word}\",\"by\":\"YOU\"}}' --task-token '{}'",
                ways.token
            ));
        }
    }

    fn evidence(&mut self, facts: &NoticeDetail) {
        let evidence = &facts.evidence;
        if let Some((heading, test)) = sentences::judged(facts) {
            self.line(format_args!("\n{heading}"));
            for row in aligned(&sentences::table(facts)) {
                self.line(row);
            }
            self.line(format_args!("  {test}"));
        }
        self.list(
            "The functions that look worst after that one",
            sentences::others(facts),
        );
        if let Some(decided_by) = &evidence.decided_by {
            self.line(format_args!("Decided by: {decided_by}"));
        }
        if let Some(rests_on) = &evidence.rests_on {
            self.line(rests_on);
        }
        if evidence.shadow {
            self.line("In shadow: this verdict is recorded, and not acted on.");
        }
        self.list(
            "Alarms that are not OK",
            evidence.alarms.iter().map(|alarm| {
                let since = alarm
                    .since
                    .map(|at| format!(" since {}", sentences::time(at)));
                format!(
                    "{}: {}{}",
                    alarm.name,
                    alarm.shown(),
                    since.unwrap_or_default()
                )
            }),
        );
        self.list(
            "Health checks that are not known to pass",
            evidence
                .health_checks
                .iter()
                .map(crate::domain::health::Found::reason),
        );
        let migrations = evidence.migrations.iter();
        self.list("The migration", migrations.map(MigrationRun::describe));
        self.list("The hooks", evidence.hooks.iter().map(HookResult::describe));
        let durable = evidence.durable_executions.iter();
        self.list("What stays on green", durable.map(ToString::to_string));
        self.list("What the smoke tests found", &evidence.validation);
        if evidence.validation_left_out > 0 {
            self.line(format_args!(
                "  and {} more, which are in the log",
                evidence.validation_left_out
            ));
        }
    }

    fn rest(&mut self, facts: &NoticeDetail) {
        self.list(
            "Functions",
            facts.functions.iter().map(|one| {
                let alias = one.alias.as_ref().map(|alias| format!(":{alias}"));
                let blue = one.blue_version.as_ref();
                let blue = blue.map_or("none".to_owned(), ToString::to_string);
                let serving = one.serving.as_ref();
                let serving = serving.map(|version| format!("; version {version} serves now"));
                format!(
                    "{}{}: blue {blue}, green {}{}",
                    one.function_name,
                    alias.unwrap_or_default(),
                    one.green_version,
                    serving.unwrap_or_default()
                )
            }),
        );
        self.list(
            "Steps that are planned",
            facts.plan.iter().map(|step| {
                let bake = duration(step.bake_seconds.into());
                format!("{} for {bake}", step.weight)
            }),
        );
        self.list("Steps that were taken", facts.steps.iter().map(taken));
        self.list(
            "Answers",
            facts.answers.iter().map(|answer| {
                let at = sentences::time(answer.at);
                format!(
                    "{at}, with {} on green: {}",
                    answer.weight,
                    answer.describe()
                )
            }),
        );
        if let Some(door) = &facts.front_door {
            self.line(format_args!(
                "\nStage {} of API {}, alias {}",
                door.stage, door.api_id, door.alias
            ));
            self.list("What was written", &door.written);
        }
        self.list("You should know", &facts.warnings);
        self.list("Left out here", &facts.left_out);
    }
}

fn taken(step: &StepRecord) -> String {
    let from = sentences::time(step.started_at);
    let to = step
        .ended_at
        .map(|at| format!(" to {}", sentences::time(at)));
    let verdict = step
        .verdict
        .and_then(|verdict| serde_json::to_value(verdict).ok())
        .and_then(|verdict| Some(format!(", {}", verdict.as_str()?)));
    format!(
        "{} from {from}{}{}",
        step.weight,
        to.unwrap_or_default(),
        verdict.unwrap_or_default()
    )
}

/// The rows as lines, the numbers under one another.
fn aligned(rows: &[Row]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    rows.iter()
        .map(|[what, blue, blue_share, green, green_share]| {
            let line = format!(
                "  {what:<w0$}  {blue:>w1$}  {blue_share:>w2$}  {green:>w3$}  {green_share:>w4$}",
                w0 = width(0),
                w1 = width(1),
                w2 = width(2),
                w3 = width(3),
                w4 = width(4),
            );
            line.trim_end().to_owned()
        })
        .collect()
}
