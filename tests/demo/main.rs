//! `make demo`: a good and a bad version released on a local AWS, under live traffic. `make local`:
//! the same local AWS, left running to play with. `make screens`: pictures of what people see.
//!
//! What is shown, and whether it is a success, is what the local AWS says: the execution's history,
//! the alias, the alarm, and what the users of the alias met.

mod act;
mod live;
mod picture;
mod play;
mod screens;
mod show;
mod table;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::signal::unix::{SignalKind, signal};

/// Whether a signal has ended the programme: what breaks after that is no news.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

const USAGE: &str =
    "usage: demo [screens | local [--port PORT] [--wait-scale SCALE] [--prefix PREFIX]]";

fn main() -> ExitCode {
    let chosen = match Chosen::read(std::env::args().skip(1)) {
        Ok(chosen) => chosen,
        Err(problem) => {
            eprintln!("demo: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !INTERRUPTED.load(Ordering::Relaxed) {
            shown(panic);
        }
    }));
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let done = runtime.block_on(run(chosen));
    // Waits for a start that was under way when a signal came, and so for the end of what it started.
    drop(runtime);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Failed(problem)) => {
            eprintln!("demo: {problem}");
            ExitCode::FAILURE
        }
        Err(Ended::Interrupted) => {
            eprintln!("demo: interrupted; nothing is left running");
            ExitCode::from(130)
        }
    }
}

/// How it ended, if not well.
enum Ended {
    Failed(String),
    Interrupted,
}

async fn run(chosen: Chosen) -> Result<(), Ended> {
    // Listened to before anything is started. What was started ends when its value is dropped.
    let mut signals = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ]
    .map(|kind| signal(kind).expect("signals can be listened to"));
    let [interrupt, terminate, hangup] = &mut signals;
    // A task of its own, so that a panic in it comes back as a value.
    let mut task = tokio::spawn(async move {
        match chosen {
            Chosen::Demo => show::demo().await,
            Chosen::Screens => screens::screens().await,
            Chosen::Local(chosen) => play::local(chosen).await,
        }
    });
    tokio::select! {
        done = &mut task => match done {
            Ok(done) => done.map_err(Ended::Failed),
            Err(_) => Err(Ended::Failed("it broke; what broke is above".to_owned())),
        },
        () = async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
        } => {
            INTERRUPTED.store(true, Ordering::Relaxed);
            task.abort();
            // Its values are dropped on the way, the local AWS among them.
            let _ = task.await;
            Err(Ended::Interrupted)
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
enum Chosen {
    Demo,
    Screens,
    Local(play::Chosen),
}

impl Chosen {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.peekable();
        match arguments.next().as_deref() {
            None => return Ok(Self::Demo),
            Some("local") => {}
            Some("screens") => {
                return match arguments.next() {
                    None => Ok(Self::Screens),
                    Some(more) => Err(format!("{more:?} is not known")),
                };
            }
            Some(other) => return Err(format!("{other:?} is not known")),
        }
        let (mut port, mut wait_scale, mut prefix) = (4566, 0.1, "chat-".to_owned());
        while let Some(option) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{option} needs a value"))?;
            let wrong = || format!("{value:?} is no value for {option}");
            match option.as_str() {
                "--port" => port = value.parse().map_err(|_| wrong())?,
                "--wait-scale" => {
                    wait_scale = value.parse().map_err(|_| wrong())?;
                    if !(0.0..=1.0).contains(&wait_scale) {
                        return Err(format!("{option} goes from 0 to 1, not {value}"));
                    }
                }
                "--prefix" => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
                    if !value.starts_with(|c: char| c.is_ascii_alphabetic())
                        || !value.chars().all(is_name)
                        || value.len() > 30
                    {
                        return Err(wrong());
                    }
                    prefix = value;
                }
                _ => return Err(format!("{option:?} is not known")),
            }
        }
        Ok(Self::Local(play::Chosen {
            port,
            wait_scale,
            prefix,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Chosen, String> {
        Chosen::read(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn what_is_chosen() {
        assert_eq!(read(&[]), Ok(Chosen::Demo));
        assert_eq!(read(&["screens"]), Ok(Chosen::Screens));
        let local = |port, wait_scale, prefix: &str| {
            let prefix = prefix.to_owned();
            Ok(Chosen::Local(play::Chosen {
                port,
                wait_scale,
                prefix,
            }))
        };
        assert_eq!(read(&["local"]), local(4566, 0.1, "chat-"));
        assert_eq!(
            read(&[
                "local",
                "--wait-scale",
                "1",
                "--port",
                "80",
                "--prefix",
                "orders-"
            ]),
            local(80, 1.0, "orders-")
        );
        for wrong in [
            &["play"][..],
            &["screens", "now"],
            &["local", "--port"],
            &["local", "--port", "x"],
            &["local", "--wait-scale", "2"],
            &["local", "--speed", "2"],
            &["local", "--prefix", ""],
            &["local", "--prefix", "a b"],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
