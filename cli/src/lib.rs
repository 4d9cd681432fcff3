//! The command line: starts releases, watches them, answers them and takes them back.
//!
//! - `args`: what can be typed. `exit`: what the exit code says.
//! - `input`, `name`: what a file and a name that somebody gives may be; pure.
//! - `place`, `runs`, `which`: where Crossfade is, and its executions; thin.
//! - `story`: an execution's history as what people want to know; pure. `screen` shows it.
//! - `estimate`: what a request would do and cost; pure. `preflight` reads what is in its way.
//! - the rest: a verb each.

mod args;
mod decide;
mod deploy;
mod error;
mod estimate;
mod executions;
mod exit_code;
mod input;
mod listening;
mod name;
mod output;
mod plan;
mod preflight;
mod resolve;
mod scaling;
mod stack;
mod status;
mod timeline;
mod watch;

use std::{
    io::{ErrorKind, Write as _, stdout},
    process::ExitCode,
};

use aws_sdk_sfn::types::HistoryEvent;
use clap::{CommandFactory, Parser};
use serde_json::json;

use self::{
    args::{Answer, Cli, Place, Verb},
    decide::Decided,
    deploy::{Asked, Back, Told},
    error::Trouble,
    exit_code::Exit,
    output::Screen,
    stack::Aws,
};

/// What an execution's history says, as `crossfade watch` shows it: each line for people, and the
/// object for programs.
#[must_use]
pub fn told(history: &[HistoryEvent]) -> Vec<(String, serde_json::Value)> {
    let mut story = timeline::Story::default();
    history
        .iter()
        .filter_map(|event| story.tell(executions::event(event)))
        .map(|told| {
            let object = serde_json::to_value(&told).unwrap_or_default();
            (output::harmless(&told.line()).into_owned(), object)
        })
        .collect()
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(Box::pin(run(cli))),
        Err(error) => Err(Trouble::new(Exit::Failed, error.to_string())),
    };
    let exit = done.unwrap_or_else(|trouble| {
        complain(&trouble, json);
        trouble.exit
    });
    exit.into()
}

fn complain(trouble: &Trouble, json: bool) {
    let screen = Screen::plain(json);
    if json {
        screen.object(&json!({
            "error": trouble.what, "next": trouble.next, "exitCode": trouble.exit.code(),
        }));
        return;
    }
    screen.aside(&format!("crossfade: {trouble}"));
    if let Some(next) = &trouble.next {
        screen.aside(&format!("  {next}"));
    }
}

async fn run(cli: Cli) -> Result<Exit, Trouble> {
    let Cli { place, json, verb } = cli;
    let aws = || Aws::new(&place);
    let screen = Screen::plain(json);
    match verb {
        Verb::Plan { request, offline } => {
            let asked = Asked::read(&request)?;
            let aws = if offline { None } else { Some(aws().await?) };
            Box::pin(plan::plan(aws.as_ref(), &asked.request, &screen)).await
        }
        Verb::Deploy {
            request,
            watch,
            name,
            pace,
        } => {
            // What is not valid is told before anything is asked of AWS.
            if let Some(name) = &name {
                name::check(name)?;
            }
            let asked = Asked::read(&request)?;
            let told = Told {
                watch,
                name,
                pace,
                json,
            };
            deploy::deploy(&aws().await?, &asked, told).await
        }
        Verb::Watch { which, pace } => {
            let aws = aws().await?;
            let run = resolve::resolve(&aws, which.release.as_deref()).await?;
            let screen = Screen::live(json, run.name());
            watch::follow(&aws, &run, false, pace, &screen).await
        }
        Verb::Status { what } => status::status(&aws().await?, what.as_deref(), &screen).await,
        Verb::Approve(said) => decide(&place, Decided::Approve, &said, &screen).await,
        Verb::Reject(said) => decide(&place, Decided::Reject, &said, &screen).await,
        Verb::Hold(said) => decide(&place, Decided::Hold, &said, &screen).await,
        Verb::Resume(said) => decide(&place, Decided::Resume, &said, &screen).await,
        Verb::Promote(said) => decide(&place, Decided::Promote, &said, &screen).await,
        Verb::Rollback {
            what,
            to,
            function,
            words,
            pace,
        } => {
            let back = Back { to, function };
            deploy::rollback(&aws().await?, &what, &back, &words, pace, json).await
        }
        Verb::History { which } => {
            status::history(&aws().await?, which.release.as_deref(), &screen).await
        }
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "crossfade", &mut script);
            match stdout().write_all(&script).and_then(|()| stdout().flush()) {
                // A reader that has read enough, as `head` does, is no failure.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    Err(Trouble::new(Exit::Failed, error.to_string()))
                }
                Ok(()) | Err(_) => Ok(Exit::Done),
            }
        }
    }
}

async fn decide(
    place: &Place,
    decided: Decided,
    said: &Answer,
    screen: &Screen,
) -> Result<Exit, Trouble> {
    decide::decide(&Aws::new(place).await?, decided, said, screen).await
}
