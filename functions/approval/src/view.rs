//! What the page shows: made of the ledger's row and of what CloudWatch counted, with nothing left to
//! decide for who draws it.

use crossfade::display::duration;
use crossfade::domain::{
    Timestamp,
    about::About,
    analysis::counts::{Counts, Minute},
    approval::{AnswerKind, Question, QuestionKind},
    decision::Decision,
    record::{Record, Status},
    target::Target,
    weight::Weight,
};

use crate::{
    format,
    history::{Both, History},
    link::Link,
};

/// A word that can be chosen.
pub(crate) struct Choice {
    pub(crate) word: AnswerKind,
    pub(crate) name: &'static str,
    pub(crate) means: String,
    /// Whether it moves away from green, or does not go on.
    pub(crate) stops: bool,
}

/// One function.
pub(crate) struct Row {
    pub(crate) function: String,
    pub(crate) alias: String,
    pub(crate) blue: String,
    pub(crate) green: String,
}

/// A version's share of requests that failed, as the judge saw it.
pub(crate) struct Judged {
    /// The function that decided, where there are several.
    pub(crate) function: Option<String>,
    pub(crate) both: Both,
    /// E-value and what it is held against.
    pub(crate) e_value: f64,
    pub(crate) threshold: f64,
    /// Whether it was recorded only.
    pub(crate) shadow: bool,
}

/// The page.
pub(crate) struct View {
    pub(crate) release: String,
    pub(crate) nonce: String,
    pub(crate) application: String,
    pub(crate) about: About,
    pub(crate) kind: QuestionKind,
    pub(crate) title: String,
    /// Green's weight now, and what the first choice leads to, where that is another.
    pub(crate) weight: Weight,
    pub(crate) next_weight: Option<Weight>,
    pub(crate) reason: String,
    pub(crate) asked_at: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) left: String,
    pub(crate) on_silence: String,
    pub(crate) choices: Vec<Choice>,
    pub(crate) rows: Vec<Row>,
    /// The version of each colour, where there is one function.
    pub(crate) versions: Option<(String, String)>,
    pub(crate) history: History,
    pub(crate) judged: Option<Judged>,
    /// What speaks against green beside its counts, a sentence each.
    pub(crate) against: Vec<String>,
    /// Smoke tests: how many passed, and how many there are.
    pub(crate) smoke_tests: Option<(usize, usize)>,
}

impl View {
    /// Of what is asked in `record`. `series` is none where the counts could not be read.
    pub(crate) fn of(
        record: &Record,
        asked: &Question,
        link: &Link,
        series: Option<&[Vec<Minute>]>,
        now: Timestamp,
    ) -> Self {
        let targets = record
            .footprint
            .as_ref()
            .map_or(&[][..], |footprint| &footprint.functions);
        let rows: Vec<_> = targets.iter().map(row).collect();
        let application = record.application.to_string();
        let evidence = &asked.evidence;
        let shown_weight = asked.next_weight.filter(|weight| *weight != asked.weight);
        let title = match (asked.kind, asked.next, asked.next_weight) {
            (QuestionKind::Approval, Decision::Shift, Some(weight)) => {
                format!("Move {application} to {weight} on green?")
            }
            (QuestionKind::Approval, _, _) => format!("Promote green of {application}?"),
            (QuestionKind::Hold, _, _) => format!("{application} is held: what next?"),
        };
        let alarms = evidence.alarms.iter();
        let alarms = alarms.map(|it| {
            let state = it.shown().replace("INSUFFICIENT_DATA", "INSUFFICIENT DATA");
            format!("The alarm {} is {state}.", it.name)
        });
        let checks = evidence
            .health_checks
            .iter()
            .map(|found| format::sentence(&found.reason()));
        let failed = evidence
            .validation
            .iter()
            .filter(|proof| proof["passed"] == false)
            .count();
        let tests = evidence.validation.len() + evidence.validation_left_out;
        Self {
            release: link.release.clone(),
            nonce: link.nonce.shown(),
            application,
            about: record.about(),
            kind: asked.kind,
            title,
            weight: asked.weight,
            next_weight: shown_weight,
            reason: format::sentence(&asked.reason),
            asked_at: asked.at,
            until: asked.until,
            left: duration((asked.until - now).num_seconds().max(0).unsigned_abs()),
            on_silence: asked.on_silence.clone(),
            choices: asked
                .kind
                .words()
                .iter()
                .map(|word| choice(asked, *word))
                .collect(),
            versions: match &rows[..] {
                [only] => Some((only.blue.clone(), only.green.clone())),
                _ => None,
            },
            judged: evidence.judge.as_ref().map(|judge| Judged {
                function: judge.function.clone().filter(|_| rows.len() > 1),
                both: Both {
                    blue: judge.blue,
                    green: judge.green,
                },
                e_value: judge.e_value,
                threshold: judge.threshold,
                shadow: evidence.shadow,
            }),
            rows,
            history: History::of(record.began_at, now, &record.steps, series),
            against: alarms.chain(checks).collect(),
            smoke_tests: (tests > 0).then(|| (tests - failed, tests)),
        }
    }

    /// What each version has met so far, where that is known.
    pub(crate) fn counts(&self) -> Option<(Counts, Counts)> {
        self.history.counts.map(|both| (both.blue, both.green))
    }
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
    let (name, stops) = named(word);
    Choice {
        word,
        name,
        means: format::sentence(&asked.meaning(word)),
        stops,
    }
}

/// What a word is called, and whether it stops.
fn named(word: AnswerKind) -> (&'static str, bool) {
    match word {
        AnswerKind::Approve => ("Approve", false),
        AnswerKind::Reject => ("Reject", true),
        AnswerKind::Resume => ("Resume", false),
        AnswerKind::Next => ("Next step", false),
        AnswerKind::Promote => ("Promote", false),
        AnswerKind::RollBack => ("Roll back", true),
        AnswerKind::Silence => ("No answer", true),
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use crossfade::domain::approval::nonce::Nonce;

    use super::*;
    use crate::fixtures::{asked, link, now, record};
    use crate::link::open;

    #[test]
    fn opens_only_the_question_of_its_link() {
        let held = record(asked(QuestionKind::Approval));
        let opens = |record: Option<&Record>, link: &Link, at| open(record, link, at).is_some();
        assert!(opens(Some(&held), &link(), now()));
        assert_eq!(
            open(Some(&held), &link(), now()).map(|open| open.token),
            Some("a token")
        );
        assert!(!opens(None, &link(), now()), "no such release");
        let guessed = Link {
            nonce: Nonce::from_random([8; 32]),
            ..link()
        };
        assert!(!opens(Some(&held), &guessed, now()), "guessed");
        assert!(
            !opens(Some(&held), &link(), now() + TimeDelta::days(1)),
            "too late"
        );

        let mut used = held.clone();
        used.asked.as_mut().unwrap().nonce_hash = None;
        assert!(!opens(Some(&used), &link(), now()), "used");
        let mut answered = held.clone();
        answered.token = None;
        assert!(!opens(Some(&answered), &link(), now()), "nothing waits");
        for status in [
            Status::Preparing,
            Status::InFlight,
            Status::RollingBack,
            Status::RolledBack,
            Status::Promoted,
            Status::Rejected,
            Status::Unchanged,
        ] {
            let other = Record {
                status,
                ..held.clone()
            };
            assert!(!opens(Some(&other), &link(), now()), "{status:?}");
        }
    }

    #[test]
    fn titles_the_page_by_the_next_step() {
        let title = |asked: &Question| {
            let record = record(asked.clone());
            View::of(&record, asked, &link(), None, now()).title
        };
        let mut ask = asked(QuestionKind::Approval);
        assert_eq!(title(&ask), "Move chat to 100 % on green?");
        ask.next = Decision::Promote;
        assert_eq!(title(&ask), "Promote green of chat?");
        ask.kind = QuestionKind::Hold;
        assert_eq!(title(&ask), "chat is held: what next?");
    }

    #[test]
    fn lists_findings_against_green() {
        let mut ask = asked(QuestionKind::Hold);
        ask.evidence = serde_json::from_value(serde_json::json!({
            "alarms": [{"name": "chat-5xx", "state": "INSUFFICIENT_DATA"}],
            "healthChecks": [{"check": "https://example.com/health", "failuresInARow": 2, "said": "503"}],
            "validation": [{"passed": false}, {"passed": true}], "validationLeftOut": 3,
        }))
        .unwrap();
        let view = View::of(&record(ask.clone()), &ask, &link(), None, now());
        assert_eq!(
            view.against,
            [
                "The alarm chat-5xx is INSUFFICIENT DATA.",
                "Health check https://example.com/health failed 2 times in a row: 503."
            ]
        );
        assert_eq!(view.smoke_tests, Some((4, 5)));
        assert!(view.judged.is_none());
    }
}
