//! The command line: starts releases, watches them, answers them and takes them back.
//!
//! - `args`: what can be typed. `exit_code`: what the exit code means.
//! - `input`, `name`: check the text and the name that were given; pure. `request_file` reads the request.
//! - `stack`, `executions`, `resolve`: where Crossfade is, and its executions; thin.
//! - `ask`: questions on a terminal. `skipped`: what a promotion leaves out; pure.
//! - `whole`: whether traffic is on blue again; thin.
//! - `timeline`: an execution's history as a list of entries; pure. `output` prints it.
//! - `estimate`: what a request would do and cost; pure. `preflight` reads what is in its way.
//! - the rest: a command each.

mod args;
mod ask;
mod decide;
mod deploy;
mod doctor;
mod error;
mod estimate;
mod executions;
mod exit_code;
mod init;
mod input;
mod listening;
mod name;
mod open;
mod output;
mod plan;
mod preflight;
mod releases;
mod request_file;
mod resolve;
mod scaling;
mod skipped;
mod stack;
mod status;
mod timeline;
mod watch;
mod whole;

use std::{
    io::{ErrorKind, Write as _, stdout},
    process::ExitCode,
};

use aws_sdk_sfn::types::HistoryEvent;
use clap::{CommandFactory, Parser};
use serde_json::json;

use self::{
    args::{Answer, Cli, Command, Place},
    decide::Decided,
    deploy::{Back, Told},
    error::CliError,
    exit_code::Exit,
    output::Output,
    request_file::RequestFile,
    stack::Aws,
};

/// What an execution's history says, as `crossfade watch` shows it: each line for operators, and the
/// object for programs.
#[must_use]
pub fn timeline(history: &[HistoryEvent]) -> Vec<(String, serde_json::Value)> {
    let mut story = timeline::Timeline::default();
    history
        .iter()
        .filter_map(|event| story.apply(executions::event(event)))
        .map(|told| {
            let object = serde_json::to_value(&told).unwrap_or_default();
            (output::escaped(&told.line()).into_owned(), object)
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
        Err(error) => Err(CliError::new(Exit::Failed, error.to_string())),
    };
    let exit = done.unwrap_or_else(|trouble| {
        report(&trouble, json);
        trouble.exit
    });
    exit.into()
}

fn report(trouble: &CliError, json: bool) {
    let screen = Output::plain(json);
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

async fn run(cli: Cli) -> Result<Exit, CliError> {
    let Cli { place, json, verb } = cli;
    let aws = || Aws::new(&place);
    let screen = Output::plain(json);
    match verb {
        Command::Init(told) => init::init(&aws().await?, &told, &screen).await,
        Command::Plan { request, offline } => {
            let asked = RequestFile::read(request.as_deref())?;
            let aws = if offline { None } else { Some(aws().await?) };
            Box::pin(plan::plan(aws.as_ref(), &asked.request, &screen)).await
        }
        Command::Deploy {
            request,
            watch,
            name,
            pace,
        } => {
            // Invalid input is reported before any call to AWS.
            if let Some(name) = &name {
                name::check(name)?;
            }
            let asked = RequestFile::read(request.as_deref())?;
            let told = Told {
                watch,
                name,
                pace,
                json,
            };
            deploy::deploy(&aws().await?, &asked, told).await
        }
        Command::Watch { which, pace } => {
            let aws = aws().await?;
            let run = resolve::resolve(&aws, which.release.as_deref()).await?;
            let screen = Output::live(json, run.name());
            watch::follow(&aws, &run, false, pace, &screen).await
        }
        Command::Status { what } => {
            let aws = aws().await?;
            Box::pin(status::status(&aws, what.as_deref(), &screen)).await
        }
        Command::Open { what, print } => {
            open::open(&aws().await?, what.as_deref(), print, &screen).await
        }
        Command::Releases { application } => {
            releases::releases(&aws().await?, application.as_deref(), &screen).await
        }
        Command::Approve(said) => decide(&place, Decided::Approve, &said, &screen).await,
        Command::Reject(said) => decide(&place, Decided::Reject, &said, &screen).await,
        Command::Hold(said) => decide(&place, Decided::Hold, &said, &screen).await,
        Command::Resume(said) => decide(&place, Decided::Resume, &said, &screen).await,
        Command::Next(said) => decide(&place, Decided::Next, &said, &screen).await,
        Command::Promote { answer, yes } => {
            decide(&place, Decided::Promote { yes }, &answer, &screen).await
        }
        Command::Rollback {
            what,
            to,
            function,
            words,
            pace,
        } => {
            let back = Back { to, function };
            deploy::rollback(&aws().await?, &what, &back, &words, pace, json).await
        }
        Command::History { which } => {
            status::history(&aws().await?, which.release.as_deref(), &screen).await
        }
        Command::Doctor { no_event, timeout } => {
            let patience = (!no_event).then_some(timeout);
            doctor::doctor(&aws().await?, patience, &screen).await
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "crossfade", &mut script);
            match stdout().write_all(&script).and_then(|()| stdout().flush()) {
                // A reader that has read enough, as `head` does, is no failure.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    Err(CliError::new(Exit::Failed, error.to_string()))
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
    screen: &Output,
) -> Result<Exit, CliError> {
    Box::pin(decide::decide(
        &Aws::new(place).await?,
        decided,
        said,
        screen,
    ))
    .await
}
