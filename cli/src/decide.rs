//! Sends an operator's decision: an answer to an open question, or a request where none is open.

use crossfade::{
    aws::executions::{Answering, Executions},
    domain::{
        approval::{Answer, AnswerKind, OperatorAction, OperatorRequest, Question, QuestionKind},
        record::{Record, Status},
    },
};
use serde_json::json;

use crate::{
    args::{self, Words},
    ask::{terminal, yes},
    error::CliError,
    executions::Run,
    exit_code::Exit,
    output::Output,
    resolve::resolve,
    skipped::skipped,
    stack::Aws,
    timeline::{Entry, Kind, Timeline},
    watch::now,
};

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub(crate) enum Decided {
    Approve,
    Reject,
    Hold,
    Resume,
    /// The rest of the bake is left out, and nothing else.
    Next,
    /// The rest of the plan is left out; whether that is said to be wanted already.
    Promote {
        yes: bool,
    },
}

/// What is done about it.
#[derive(Clone, Debug, PartialEq)]
enum Act {
    /// The wait is ended with a word.
    Answer {
        token: String,
        asked: Box<Question>,
        word: AnswerKind,
    },
    /// A request that the next look takes up.
    OperatorRequest(OperatorAction),
}

/// What a decision means for a release as the ledger has it.
fn act(decided: Decided, record: &Record) -> Result<Act, CliError> {
    let refuse = |what: String, next: &str| Err(CliError::new(Exit::Rejected, what).next(next));
    let name = Run {
        arn: record.execution.clone(),
    };
    let name = name.name();
    let application = &record.application;
    let waits = record.token.clone().zip(record.asked.clone());
    match (record.status, waits) {
        (Status::Held, Some((token, asked))) => {
            let word = match (decided, asked.kind) {
                (Decided::Approve, QuestionKind::Approval) => AnswerKind::Approve,
                (Decided::Reject, QuestionKind::Approval) => AnswerKind::Reject,
                (Decided::Resume, QuestionKind::Hold) => AnswerKind::Resume,
                (Decided::Next, QuestionKind::Hold) => AnswerKind::Next,
                (Decided::Promote { .. }, _) => AnswerKind::Promote,
                (Decided::Hold, _) => {
                    return refuse(
                        format!(
                            "{name} waits for an operator already, with {} on green",
                            asked.weight
                        ),
                        "`crossfade status` says what it asks",
                    );
                }
                (Decided::Resume | Decided::Next, QuestionKind::Approval) => {
                    return refuse(
                        format!("{name} waits for approval, and is not held"),
                        "`crossfade approve` goes to the next step; `crossfade reject` does not",
                    );
                }
                (Decided::Approve | Decided::Reject, QuestionKind::Hold) => {
                    return refuse(
                        format!("{name} is held, and waits for no approval"),
                        "`crossfade resume`, `crossfade next`, `crossfade promote` or `crossfade rollback`",
                    );
                }
            };
            Ok(Act::Answer { token, asked, word })
        }
        (Status::InFlight, _) => match decided {
            Decided::Hold => Ok(Act::OperatorRequest(OperatorAction::Hold)),
            Decided::Promote { .. } => Ok(Act::OperatorRequest(OperatorAction::Promote)),
            Decided::Next if record.steps.is_empty() => refuse(
                format!("{name} has not shifted yet: there is no bake to be ended"),
                "wait until it has shifted",
            ),
            Decided::Next => Ok(Act::OperatorRequest(OperatorAction::Next)),
            Decided::Approve | Decided::Reject | Decided::Resume => refuse(
                format!(
                    "{name} is in flight with {} on green, and asks nothing",
                    record.weight
                ),
                "`crossfade hold` stops it, `crossfade next` goes one step, `crossfade promote` skips the rest",
            ),
        },
        (Status::Held, None) => refuse(
            format!("{name} is held, and its execution no longer waits for an answer"),
            &format!("`crossfade rollback {application}` puts traffic on blue"),
        ),
        (Status::Preparing, _) => refuse(
            format!("{name} is still making green: there is nothing to decide yet"),
            "wait until it has shifted",
        ),
        (Status::RollingBack, _) => refuse(
            format!("{name} is going back to blue already"),
            &format!("`crossfade watch {name}`"),
        ),
        (
            status @ (Status::RolledBack | Status::Promoted | Status::Rejected | Status::Unchanged),
            _,
        ) => {
            let status: &str = status.into();
            refuse(
                format!("{name} has ended: {status}"),
                &format!("`crossfade history {name}` says how"),
            )
        }
    }
}

/// Does what an operator decided.
pub(crate) async fn decide(
    aws: &Aws,
    decided: Decided,
    said: &args::Answer,
    screen: &Output,
) -> Result<Exit, CliError> {
    let run = resolve(aws, said.which.release.as_deref()).await?;
    let ledger = aws.ledger().await?;
    let record = ledger.get(&run.arn).await?.ok_or_else(|| {
        CliError::new(
            Exit::Rejected,
            format!("the ledger has nothing of {}: it took no locks", run.name()),
        )
        .next(format!(
            "`crossfade history {}` says how it ended",
            run.name()
        ))
    })?;
    let verb: &str = decided.into();
    let act = match act(decided, &record) {
        Ok(act) => act,
        Err(refused) => return Err(answered_before(aws, &run, decided, &record, refused).await),
    };
    let skips = match decided {
        Decided::Promote { .. } => skipped(&record),
        _ => Vec::new(),
    };
    if decided == (Decided::Promote { yes: false }) && !skips.is_empty() {
        confirm(run.name(), &skips, screen)?;
    }
    let (effect, told) = match act {
        Act::Answer { token, asked, word } => {
            let executions = Executions::new(aws.config());
            let answer = answer(word, &said.words);
            if executions.answer(&token, &answer).await? == Answering::TooLate {
                return Err(too_late(aws, &run).await);
            }
            // Makes the link in the mail useless. The answer counts all the same: it took the token.
            if let Err(error) = ledger.answered(&run.arn, &asked).await {
                screen.aside(&format!("taken, but its link was not taken back: {error}"));
            }
            let meaning = asked.meaning(word);
            ("answered", format!("{}: {meaning}", run.name()))
        }
        Act::OperatorRequest(requested) => {
            let by = said.words.by.as_deref().unwrap_or_default();
            let wish = OperatorRequest::new(requested, by, said.words.reason.as_deref(), now());
            if !ledger.request(&run.arn, &wish, record.weight).await? {
                return Err(too_late(aws, &run).await);
            }
            let what = match requested {
                OperatorAction::Hold => "stops at its present weight",
                OperatorAction::Next => "ends this bake and goes one step",
                OperatorAction::Promote => "puts all traffic on green",
            };
            ("wished", format!("{}: {what} at its next look", run.name()))
        }
    };
    if screen.is_json() {
        screen.object(&json!({
            "execution": run.arn, "name": run.name(), "application": record.application,
            "verb": verb, "done": effect, "text": told, "skips": skips,
        }));
    }
    screen.say(&told);
    Ok(Exit::Done)
}

/// Says what a promotion leaves out, and asks whether that is wanted.
///
/// # Errors
/// With exit code 2 when it is not, or when there is no terminal to ask on.
fn confirm(name: &str, skips: &[String], screen: &Output) -> Result<(), CliError> {
    let none = |what: String| Err(CliError::new(Exit::Usage, what));
    let unasked = || {
        let skips = skips.join("; ");
        none(format!("a promotion of {name} skips: {skips}")).map_err(|error| {
            error.next(
                "nothing was done; `--yes` promotes without asking, `crossfade next` goes one step",
            )
        })
    };
    let Some(mut terminal) = terminal().filter(|_| !screen.is_json()) else {
        return unasked();
    };
    screen.aside(&format!("A promotion of {name} skips:"));
    for skipped in skips {
        screen.aside(&format!("  {skipped}"));
    }
    match terminal.ask("Put all traffic on green now? y/n", Some("n"), yes) {
        Ok(true) => Ok(()),
        Ok(false) => none(format!("{name} is not promoted: nothing was done"))
            .map_err(|error| error.next("`crossfade next` goes one step")),
        Err(_) => unasked(),
    }
}

fn answer(word: AnswerKind, words: &Words) -> Answer {
    let answer = Answer::new(word);
    let answer = match &words.by {
        Some(by) => answer.by(by),
        None => answer,
    };
    match &words.reason {
        Some(reason) => answer.because(reason),
        None => answer,
    }
}

/// Names who has answered before, where that is why an answer does not fit any more.
async fn answered_before(
    aws: &Aws,
    run: &Run,
    decided: Decided,
    record: &Record,
    refused: CliError,
) -> CliError {
    let answers = matches!(
        decided,
        Decided::Approve | Decided::Reject | Decided::Resume
    );
    if record.status != Status::InFlight || !answers {
        return refused;
    }
    match last_answer(aws, run).await {
        Some(told) if matches!(told.event, Kind::Answered | Kind::Unanswered) => CliError {
            what: format!(
                "{}; at {} {}",
                refused.what,
                told.at.format("%H:%M:%SZ"),
                told.text
            ),
            ..refused
        },
        _ => refused,
    }
}

/// Explains that the wait is over, with the operator who answered first as far as the history has it.
async fn too_late(aws: &Aws, run: &Run) -> CliError {
    let what = last_answer(aws, run).await.map_or_else(
        || "the wait is over".to_owned(),
        |told| format!("at {} {}", told.at.format("%H:%M:%SZ"), told.text),
    );
    CliError::new(Exit::Rejected, format!("too late: {what}"))
        .next(format!("`crossfade history {}` has all of it", run.name()))
}

/// The last thing that ended a wait, or the release, as far as the history can be read.
async fn last_answer(aws: &Aws, run: &Run) -> Option<Entry> {
    let mut story = Timeline::default();
    let events = aws.runs().since(run, 0).await.unwrap_or_default();
    events
        .into_iter()
        .filter_map(|event| story.apply(event))
        .filter(|told| {
            matches!(
                told.event,
                Kind::Answered
                    | Kind::Unanswered
                    | Kind::RollingBack
                    | Kind::Rejected
                    | Kind::Promoted
            )
        })
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str) -> Box<Question> {
        let asked = json!({"kind": kind, "at": "2026-11-20T12:00:00Z", "until": "2026-11-21T12:00:00Z",
            "weight": 50, "next": "shift", "nextWeight": 100, "onSilence": "all traffic returns to blue",
            "reason": "approval is required"});
        serde_json::from_value(asked).unwrap()
    }

    fn record(status: Status, kind: Option<&str>) -> Record {
        let mut record = Record::example();
        record.status = status;
        record.asked = kind.map(asked);
        record.token = kind.map(|_| "token".to_owned());
        record
    }

    fn word(decided: Decided, record: &Record) -> Result<AnswerKind, String> {
        match act(decided, record) {
            Ok(Act::Answer { word, token, .. }) => {
                assert_eq!(token, "token");
                Ok(word)
            }
            Ok(Act::OperatorRequest(verb)) => Err(format!("{verb:?}")),
            Err(trouble) => {
                assert_eq!(trouble.exit, Exit::Rejected);
                assert!(trouble.next.is_some(), "it says what to do next");
                Err(trouble.what)
            }
        }
    }

    #[test]
    fn accepts_only_answers_to_the_open_question() {
        let approval = record(Status::Held, Some("approval"));
        let hold = record(Status::Held, Some("hold"));
        assert_eq!(word(Decided::Approve, &approval), Ok(AnswerKind::Approve));
        assert_eq!(word(Decided::Reject, &approval), Ok(AnswerKind::Reject));
        assert_eq!(
            word(Decided::Promote { yes: true }, &approval),
            Ok(AnswerKind::Promote)
        );
        assert_eq!(word(Decided::Resume, &hold), Ok(AnswerKind::Resume));
        assert_eq!(word(Decided::Next, &hold), Ok(AnswerKind::Next));
        assert_eq!(
            word(Decided::Promote { yes: true }, &hold),
            Ok(AnswerKind::Promote)
        );
        for (decided, record) in [
            (Decided::Resume, &approval),
            (Decided::Next, &approval),
            (Decided::Hold, &approval),
            (Decided::Approve, &hold),
            (Decided::Reject, &hold),
            (Decided::Hold, &hold),
        ] {
            assert!(word(decided, record).is_err(), "{decided:?}");
        }
    }

    #[test]
    fn allows_only_requests_while_in_flight() {
        let record = record(Status::InFlight, None);
        let early = word(
            Decided::Next,
            &Record {
                steps: Vec::new(),
                ..record.clone()
            },
        );
        assert!(early.unwrap_err().contains("has not shifted"));
        assert!(!record.steps.is_empty());
        assert_eq!(word(Decided::Next, &record), Err("Next".into()));
        assert_eq!(word(Decided::Hold, &record), Err("Hold".into()));
        assert_eq!(
            word(Decided::Promote { yes: true }, &record),
            Err("Promote".into())
        );
        for decided in [Decided::Approve, Decided::Reject, Decided::Resume] {
            let refused = word(decided, &record).unwrap_err();
            assert!(refused.contains("in flight with 10 %"), "{refused}");
        }
    }

    #[test]
    fn refuses_decisions_after_the_end() {
        for status in [
            Status::Preparing,
            Status::RollingBack,
            Status::RolledBack,
            Status::Promoted,
            Status::Rejected,
            Status::Unchanged,
            // Left held: its execution has ended, and with it the token.
            Status::Held,
        ] {
            for decided in [
                Decided::Approve,
                Decided::Reject,
                Decided::Hold,
                Decided::Resume,
                Decided::Next,
                Decided::Promote { yes: true },
            ] {
                assert!(word(decided, &record(status, None)).is_err(), "{status:?}");
            }
        }
    }
}
