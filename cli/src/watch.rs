//! Following an execution to its end.

use std::time::{Duration, Instant, SystemTime};

use crossfade::domain::{Timestamp, record::Status};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    args::Pace,
    error::CliError,
    executions::Run,
    exit_code::{Ended, Exit},
    output::Output,
    stack::Aws,
    timeline::{Entry, Timeline, goes_back},
    whole::is_on_blue,
};

/// How many calls in a row may fail before the command stops watching.
const SILENCES: u32 = 15;

/// How many times in a row the ledger may not be readable before it is left alone: a pipeline need not be allowed to.
const UNREAD: u32 = 3;

/// How often a release that has just been started may not be found: what Step Functions answers is
/// eventually consistent.
const NOT_YET: u32 = 5;

/// How long restoring the traffic of a stopped execution may take: the event of its end takes seconds, and
/// a rollback as many.
const MADE_WHOLE: Duration = Duration::from_secs(120);

/// Why the command stopped watching.
enum Left {
    Interrupted,
    TimeOver,
    NoAnswer(String),
}

/// Shows an execution until it ends, or until the command stops waiting. A `new` one may not be visible at
/// once.
pub(crate) async fn follow(
    aws: &Aws,
    run: &Run,
    new: bool,
    pace: Pace,
    screen: &Output,
) -> Result<Exit, CliError> {
    let unseen = if new { NOT_YET } else { 0 };
    let runs = aws.runs();
    let mut story = Timeline::default();
    let (mut silences, mut unread) = (0, 0);
    let until = pace.timeout.map(|timeout| Instant::now() + timeout);
    let mut interrupts =
        Interrupts::listen().map_err(|error| CliError::new(Exit::Failed, error.to_string()))?;
    let left = loop {
        match runs.since(run, story.read).await {
            Ok(events) => {
                silences = 0;
                for event in events {
                    if let Some(told) = story.apply(event) {
                        screen.happened(&told);
                    }
                }
            }
            // What has never been seen may not be there.
            Err(trouble) if story.read == 0 && silences >= unseen => return Err(trouble),
            Err(trouble) => {
                silences += 1;
                if silences == SILENCES {
                    break Left::NoAnswer(trouble.what);
                }
            }
        }
        if let Some(ended) = &story.ended {
            screen.still();
            return ending(aws, run, pace, ended, screen).await;
        }
        if unread < UNREAD && story.may_go_back_outside() {
            match outside(aws, run, &mut story).await {
                Ok(news) => {
                    unread = 0;
                    for told in &news {
                        screen.happened(told);
                    }
                }
                Err(_) => unread += 1,
            }
        }
        screen.now(&story.now(now()));
        if until.is_some_and(|until| Instant::now() >= until) {
            break Left::TimeOver;
        }
        let until = until.map_or(pace.every, |until| until - Instant::now());
        tokio::select! {
            () = sleep(pace.every.min(until)) => {}
            () = interrupts.next() => break Left::Interrupted,
        }
    };
    screen.still();
    leave(run, &story, &left, screen);
    Ok(Exit::GoesOn)
}

/// What an alarm, an operator or the sweep has done to the traffic meanwhile, by the ledger and the aliases. What cannot be
/// read is not shown: the execution says it later.
async fn outside(aws: &Aws, run: &Run, story: &mut Timeline) -> Result<Vec<Entry>, CliError> {
    let Some(record) = aws.ledger().await?.get(&run.arn).await? else {
        return Ok(Vec::new());
    };
    let whole = if goes_back(&record) {
        is_on_blue(aws, &record).await
    } else {
        None
    };
    Ok(story.seen_outside(&record, whole, now()))
}

/// Requests to end the command: SIGINT and SIGTERM.
#[cfg(unix)]
struct Interrupts([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Interrupts {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Requests to end the command: Ctrl-C and Ctrl-Break.
#[cfg(windows)]
struct Interrupts(
    tokio::signal::windows::CtrlC,
    tokio::signal::windows::CtrlBreak,
);

#[cfg(windows)]
impl Interrupts {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c};
        Ok(Self(ctrl_c()?, ctrl_break()?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// The clock of this machine: it only paces what is shown.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

fn leave(run: &Run, story: &Timeline, left: &Left, screen: &Output) {
    let why = match left {
        Left::Interrupted => "interrupted".to_owned(),
        Left::TimeOver => "--timeout is over".to_owned(),
        Left::NoAnswer(what) => format!("AWS does not answer: {what}"),
    };
    if screen.is_json() {
        screen.object(&json!({
            "event": "left", "execution": run.arn, "text": why, "exitCode": Exit::GoesOn.code(),
        }));
    }
    screen.aside(&format!(
        "{why}; the release goes on without being watched."
    ));
    screen.aside(&format!("Watch it again:  crossfade watch {}", run.name()));
    if let Some(application) = &story.application {
        screen.aside(&format!(
            "Take it back:    crossfade rollback {application}"
        ));
    }
}

/// What the command exits with. An execution that was stopped says nothing of the traffic; the ledger
/// does.
async fn ending(
    aws: &Aws,
    run: &Run,
    pace: Pace,
    ended: &Ended,
    screen: &Output,
) -> Result<Exit, CliError> {
    if !ended.is_cut_off() {
        return Ok(ended.exit());
    }
    let ledger = aws.ledger().await?;
    let limit = Instant::now() + MADE_WHOLE;
    let status = loop {
        let status = ledger.get(&run.arn).await?.map(|record| record.status);
        match status {
            Some(status) if status.is_open() && Instant::now() < limit => sleep(pace.every).await,
            status => break status,
        }
    };
    let (exit, text) = after_cut_off(status);
    if screen.is_json() {
        screen.object(&json!({
            "event": "madeWhole", "at": now(), "text": text, "exitCode": exit.code(),
        }));
    }
    screen.say(text);
    Ok(exit)
}

/// How an execution that was stopped ended after all, by its row in the ledger.
fn after_cut_off(status: Option<Status>) -> (Exit, &'static str) {
    match status {
        None => (Exit::Rejected, "stopped before it had taken its locks"),
        Some(Status::RolledBack) => (Exit::RolledBack, "stopped; blue has all traffic"),
        Some(Status::Promoted) => (Exit::Done, "stopped after green had all traffic"),
        Some(Status::Rejected) => (Exit::Rejected, "stopped before any traffic moved"),
        Some(Status::Unchanged) => (Exit::Done, "stopped when there was nothing to do"),
        Some(Status::Preparing | Status::InFlight | Status::Held | Status::RollingBack) => (
            Exit::Stuck,
            "stopped, and the ledger does not say yet that traffic is whole: see docs/RUNBOOK.md, \"Who has the traffic\"",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ledger_for_a_stopped_release() {
        for (status, exit) in [
            (None, Exit::Rejected),
            (Some(Status::RolledBack), Exit::RolledBack),
            (Some(Status::Promoted), Exit::Done),
            (Some(Status::InFlight), Exit::Stuck),
            (Some(Status::RollingBack), Exit::Stuck),
            (Some(Status::Held), Exit::Stuck),
        ] {
            assert_eq!(after_cut_off(status).0, exit, "{status:?}");
        }
    }
}
