//! What was found, as it comes, and as a page.

use std::{
    fmt::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crossfade_tests::figures::quantile;

use crate::probes::{GROUPS, Question};

/// An answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) found: String,
    /// Whether it is as expected; none where it is a measurement, or nothing was found out.
    pub(crate) as_expected: Option<bool>,
}

/// All that was found so far.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    releases: Vec<[String; 4]>,
    measured: Vec<(String, String)>,
    answers: Vec<(&'static str, Answer)>,
    notes: Vec<String>,
}

impl Report {
    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a release ended.
    pub(crate) fn release(&self, what: &str, outcome: &str, seconds: f64, users: &str) {
        let line = [what, outcome, &format!("{seconds:.0}"), users].map(str::to_owned);
        self.lines().releases.push(line);
    }

    /// A measurement.
    pub(crate) fn measured(&self, what: &str, value: &str) {
        println!("  {what}: {value}");
        self.lines()
            .measured
            .push((what.to_owned(), value.to_owned()));
    }

    /// An answer to the question of this name. The first one stands.
    pub(crate) fn answer(&self, question: &'static str, answer: Answer) {
        let mut lines = self.lines();
        if lines.answers.iter().all(|(known, _)| *known != question) {
            println!("  {question}: {}", answer.found);
            lines.answers.push((question, answer));
        }
    }

    /// Anything else that a reader should know.
    pub(crate) fn note(&self, note: &str) {
        self.lines().notes.push(note.to_owned());
    }

    /// The questions that have no answer.
    pub(crate) fn unanswered(&self) -> usize {
        let lines = self.lines();
        let questions = GROUPS.iter().flat_map(|group| group.questions);
        questions
            .filter(|question| {
                lines
                    .answers
                    .iter()
                    .all(|(known, _)| *known != question.name)
            })
            .count()
    }

    /// As a page.
    pub(crate) fn page(&self, head: &str) -> String {
        let lines = self.lines();
        let mut page = format!("# A run of `make aws`\n\n{head}\n");
        // Writing to a String cannot fail.
        for note in &lines.notes {
            let _ = writeln!(page, "\n{note}");
        }
        page += "\n## Releases\n\n| | Ended | Seconds | Users met |\n|---|---|---|---|\n";
        for line in &lines.releases {
            let _ = writeln!(
                page,
                "| {} |",
                line.clone().map(|cell| escaped(&cell)).join(" | ")
            );
        }
        page += "\n## Measured\n\n| | |\n|---|---|\n";
        for (what, value) in &lines.measured {
            let _ = writeln!(page, "| {what} | {} |", escaped(value));
        }
        page += "\n## Open questions\n\n| Question | Expected | Found | As expected | Does Crossfade depend on it |\n|---|---|---|---|---|\n";
        for question in GROUPS.iter().flat_map(|group| group.questions) {
            let answer = lines
                .answers
                .iter()
                .find(|(name, _)| *name == question.name);
            page += &row(question, answer.map(|(_, answer)| answer));
        }
        page
    }

    /// Writes the page without what is not to be shared: the account's number, and who ran it.
    pub(crate) fn write(&self, path: &Path, head: &str, hidden: &[&str]) -> Result<(), String> {
        let mut page = self.page(head);
        // The longest first: a caller's ARN has the account in it.
        for secret in hidden.iter().rev().filter(|secret| !secret.is_empty()) {
            page = page.replace(secret, "…");
        }
        let written = std::fs::write(path, page);
        written.map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn row(question: &Question, answer: Option<&Answer>) -> String {
    let found = answer.map_or("not run: the run ended before", |answer| &answer.found);
    let same = match answer.and_then(|answer| answer.as_expected) {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "-",
    };
    format!(
        "| {} | {} | {} | {same} | {} |\n",
        question.asks,
        question.expected,
        escaped(found),
        question.depends
    )
}

/// In a table's cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Such as `p50 0.2, p99 1.4, most 1.5 (20 times)`.
pub(crate) fn spread(seconds: &[f64]) -> String {
    if seconds.is_empty() {
        return "nothing was measured".to_owned();
    }
    format!(
        "p50 {:.2}, p99 {:.2}, most {:.2} s ({} times)",
        quantile(seconds, 0.5),
        quantile(seconds, 0.99),
        quantile(seconds, 1.0),
        seconds.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_row_for_each_question_answered_or_not() {
        let report = Report::default();
        let first = &GROUPS[0].questions[0];
        let answer = |found: &str, as_expected| Answer {
            found: found.into(),
            as_expected,
        };
        report.answer(first.name, answer("a | b\nc", Some(false)));
        report.answer(first.name, answer("too late", Some(true)));
        let page = report.page("On something.");
        let questions = GROUPS.iter().flat_map(|group| group.questions).count();
        assert_eq!(
            page.matches("not run: the run ended before").count(),
            questions - 1
        );
        assert_eq!(report.unanswered(), questions - 1);
        assert!(page.contains("| a \\| b c | **no** |"), "{page}");
        assert!(!page.contains("too late"));
    }

    #[test]
    fn hides_the_account_and_who_ran_it() {
        let path = std::env::temp_dir().join(format!("crossfade-page-{}", std::process::id()));
        let report = Report::default();
        report.note("arn:aws:iam::123456789012:user/ann may not; arn:aws:x:123456789012:y");
        let hidden = ["123456789012", "arn:aws:iam::123456789012:user/ann"];
        report
            .write(&path, "On AWS.", &hidden)
            .expect("it can be written");
        let page = std::fs::read_to_string(&path).expect("it is there");
        std::fs::remove_file(&path).expect("it is there");
        assert!(page.contains("\n… may not; arn:aws:x:…:y\n"), "{page}");
    }

    #[test]
    fn tells_a_spread() {
        assert_eq!(
            spread(&[1.0, 2.0, 3.0]),
            "p50 2.00, p99 3.00, most 3.00 s (3 times)"
        );
        assert_eq!(spread(&[]), "nothing was measured");
    }
}
