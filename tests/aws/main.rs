//! `make aws`: Crossfade in an account of your own, for an hour at most.
//!
//! It deploys the stack under a name of its own, releases a good and a bad version of a function that it
//! makes, puts the questions of `probes` to AWS, measures, and removes everything. What it makes has one
//! prefix and one tag; a manifest is written before anything is made; removal goes by listing, so a second
//! run removes what a killed one left. `aws rehearse` plays all that on a local AWS.

mod account;
mod api;
mod function;
mod ground;
mod list;
mod probes;
mod rehearse;
mod release;
mod remove;
mod report;
mod run;
mod web;
mod xml;

use std::{
    collections::BTreeSet,
    env,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_tests::paths;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    account::Account,
    api::Aws,
    release::Stage,
    report::Report,
    run::{Held, Pace, Run},
};

/// How long a run may take before it is ended, its removal not included.
const BUDGET: Duration = Duration::from_secs(60 * 60);

/// What is asked for, by environment variables.
#[derive(Clone, Debug, PartialEq)]
struct Options {
    /// Do not ask.
    yes: bool,
    /// Only remove: what is left of runs of this machine, or a run by its name.
    clean: Option<String>,
    /// Which parts to run.
    releases: bool,
    probes: bool,
    kms_key: Option<String>,
    /// Where manifests and the page go.
    folder: PathBuf,
    page: PathBuf,
}

impl Options {
    fn read(of: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let of = |name: &str| of(name).filter(|value| !value.is_empty());
        let parts = of("PARTS").unwrap_or_else(|| "releases,probes".to_owned());
        let (mut releases, mut probes) = (false, false);
        for part in parts.split(',') {
            match part {
                "releases" => releases = true,
                "probes" => probes = true,
                other => {
                    return Err(format!(
                        "unknown part {other:?} in PARTS; expected releases or probes, or both with a comma"
                    ));
                }
            }
        }
        let clean = of("CLEAN").filter(|clean| clean != "0");
        if let Some(name) = &clean
            && name != "1"
            && run::run_of(name) != Some(name)
        {
            return Err(format!(
                "CLEAN={name} names no run; expected 1, or a name such as {}k3v9x2",
                run::PREFIX
            ));
        }
        let folder = of("CROSSFADE_AWS_DIR").map_or_else(paths::target, PathBuf::from);
        Ok(Self {
            yes: of("YES").is_some_and(|yes| yes != "0"),
            clean,
            releases,
            probes,
            kms_key: of("KMS_KEY"),
            page: folder.join("aws.md"),
            folder: folder.join("aws"),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match env::args().nth(1).as_deref() {
        None => begin().await,
        Some("rehearse") => rehearse::run().await.map(|()| ExitCode::SUCCESS),
        Some(other) => Err(format!(
            "unknown command {other:?}; expected none, or rehearse"
        )),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("aws: {problem}");
        ExitCode::FAILURE
    })
}

async fn begin() -> Result<ExitCode, String> {
    let options = Options::read(|name| env::var(name).ok())?;
    let aws = Arc::new(Aws::from_environment().await?);
    let account = Account::look(&aws).await?;
    let pace = Pace::of(&aws);
    let place = aws.endpoint().map_or_else(
        || {
            format!(
                "account {} as {}, Region {}",
                account.id, account.caller, aws.region
            )
        },
        |endpoint| format!("{endpoint}, which stands in for AWS"),
    );
    println!("On {place}.");
    let found = leftovers(&aws, &account, &options).await?;
    if options.clean.is_some() {
        return clean(&aws, &pace, found).await.map(|()| ExitCode::SUCCESS);
    }
    if !agreed(&account, &options, &found)? {
        println!("Nothing was made.");
        return Ok(ExitCode::SUCCESS);
    }
    clean(&aws, &pace, found).await?;
    go(&aws, &account, &pace, &options, &place).await
}

/// A run that is to be removed, with its manifest where it is here.
type Leftover = (String, Option<Held>);

/// The runs that are left: those whose manifest is here and that no process holds, and those that are listed
/// and older than any run can be.
async fn leftovers(
    aws: &Aws,
    account: &Account,
    options: &Options,
) -> Result<Vec<Leftover>, String> {
    let listed = list::left(aws, None).await?.runs();
    let here = run::abandoned(&options.folder, &account.id, &aws.region);
    let mut found: Vec<Leftover> = Vec::new();
    let mut known = BTreeSet::new();
    for (run, held) in here {
        known.insert(run.name.clone());
        found.push((run.name, Some(held)));
    }
    for run in listed.into_iter().filter(|run| !known.contains(run)) {
        let asked_for = options.clean.as_ref() == Some(&run);
        if asked_for || !remove::may_live(aws, &run).await? {
            found.push((run, None));
        } else {
            println!(
                "{run} is in this account and may be going on elsewhere; it is left alone. Should it not be: \
                 make aws CLEAN={run}"
            );
        }
    }
    if let Some(name) = options.clean.as_ref().filter(|name| *name != "1") {
        found.retain(|(run, _)| run == name);
    }
    Ok(found)
}

async fn clean(aws: &Aws, pace: &Pace, found: Vec<Leftover>) -> Result<(), String> {
    if found.is_empty() {
        println!("Nothing is left of earlier runs.");
    }
    for (run, held) in found {
        println!("Removing what is left of {run}.");
        remove::remove(aws, pace, &run).await?;
        if let Some(held) = held {
            held.remove()?;
        }
        println!("Nothing is left of {run}.");
    }
    Ok(())
}

/// Says what will be made and what it costs, and asks.
fn agreed(account: &Account, options: &Options, found: &[Leftover]) -> Result<bool, String> {
    for (run, _) in found {
        println!("Of an earlier run, {run}, there may be something left: it is removed first.");
    }
    println!(
        "
It will make, under a name of its own, and remove again:
  - two CloudFormation stacks: Crossfade's (11 functions, 2 state machines, a table, alarms, topics, queues,
    log groups, a role for each function), and one with a bucket, 3 roles, a queue and an EventBridge rule;
  - a function with an alias, an alarm on it and some requests a second, for two releases and a rollback;
  - for the probes some 20 small functions, of which two have provisioned concurrency for minutes and one
    is in the default VPC, 3 alarms, a mute rule, and a Web Function where the Region has them.
It changes nothing that is there already. All of it has the tag {} and a name that begins with {}.
DynamoDB keeps a backup of the deleted table for 35 days, by itself and free of charge.

It takes 30 to 60 minutes and costs about ${:.2} ({}):
{}",
        run::TAG,
        run::PREFIX,
        account::cost(),
        account::PRICED,
        account::bill()
    );
    if let Some(warning) = account.warning() {
        println!("{warning}\n");
    }
    if options.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            "there is no terminal to ask on; set YES=1 to begin without being asked".to_owned(),
        );
    }
    print!("Begin? [y/N] ");
    let _ = std::io::stdout().flush();
    let mut said = String::new();
    let read = std::io::stdin().read_line(&mut said);
    read.map_err(|error| format!("no answer can be read: {error}"))?;
    Ok(["y", "yes"].contains(&said.trim().to_lowercase().as_str()))
}

/// Ctrl-C and SIGTERM.
struct Signals(Signal, Signal);

impl Signals {
    fn new() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|error| format!("no signal can be caught: {error}"));
        Ok(Self(
            on(SignalKind::interrupt())?,
            on(SignalKind::terminate())?,
        ))
    }

    async fn next(&mut self) {
        tokio::select! { _ = self.0.recv() => {}, _ = self.1.recv() => {} }
    }
}

/// Runs, removes whatever happened, and writes the page.
async fn go(
    aws: &Arc<Aws>,
    account: &Account,
    pace: &Pace,
    options: &Options,
    place: &str,
) -> Result<ExitCode, String> {
    let mut signals = Signals::new()?;
    let run = Run::new(account, aws);
    let held = Held::write(&options.folder, &run)?;
    println!("This run is {}.", run.name);
    let report = Report::default();
    let began = Instant::now();
    let worked = tokio::select! {
        done = tokio::time::timeout(BUDGET, work(aws, account, &run, pace, options, &report)) =>
            done.unwrap_or_else(|_| Err(format!("the run was not over after {BUDGET:?}"))),
        () = signals.next() => Err("interrupted".to_owned()),
    };
    if let Err(problem) = &worked {
        println!("The run ends early: {problem}");
        report.note(&format!("**The run ended early:** {problem}"));
    }
    println!("Removing everything. (Should this be interrupted, `make aws CLEAN=1` goes on.)");
    let removed = tokio::select! {
        removed = remove_all(aws, pace, &run) => removed,
        () = signals.next() => Err(format!("interrupted while removing; run `make aws CLEAN=1`, or CLEAN={}", run.name)),
    };
    let removed_in_words = match &removed {
        Ok(()) => "Nothing is left of it, by listing.".to_owned(),
        Err(problem) => format!("**Not everything was removed:** {problem}"),
    };
    println!("{removed_in_words}");
    let head = head(aws, &run, pace, place, began.elapsed(), &removed_in_words);
    report.write(&options.page, &head, &[&account.id, &account.caller])?;
    println!("What was found is in {}.", options.page.display());
    if removed.is_ok() {
        held.remove()?;
    }
    worked.and(removed).map(|()| ExitCode::SUCCESS)
}

/// Looks once more after a while: a last log line makes its log group anew.
async fn remove_all(aws: &Aws, pace: &Pace, run: &Run) -> Result<(), String> {
    remove::remove(aws, pace, &run.name).await?;
    tokio::time::sleep(pace.look * 60).await;
    remove::remove(aws, pace, &run.name).await
}

fn head(aws: &Aws, run: &Run, pace: &Pace, place: &str, took: Duration, removed: &str) -> String {
    let place = if pace.local {
        format!(
            "On {place}: it was taught what is expected here, so this shows that the program works, not what AWS \
             does"
        )
    } else {
        // No account and no person in what is to be shared.
        format!("On AWS, Region {}", aws.region)
    };
    let day = chrono::DateTime::from_timestamp(i64::try_from(run.since).unwrap_or_default(), 0);
    let day = day.map_or_else(String::new, |day| {
        day.format("%Y-%m-%d %H:%M UTC").to_string()
    });
    format!(
        "{place}; begun {day}, over after {:.1} minutes, removal included. {removed}",
        took.as_secs_f64() / 60.0
    )
}

async fn work(
    aws: &Arc<Aws>,
    account: &Account,
    run: &Run,
    pace: &Pace,
    options: &Options,
    report: &Report,
) -> Result<(), String> {
    println!("Making bucket, roles and queue.");
    let ground = ground::make(aws, run, pace).await?;
    let stage = Stage {
        aws,
        run,
        pace,
        ground: &ground,
    };
    if options.releases {
        println!("Deploying Crossfade.");
        let crossfade = ground::deploy(aws, run, pace, &ground).await?;
        let seconds = crossfade.took.as_secs_f64();
        report.measured("seconds to deploy the stack", &format!("{seconds:.0}"));
        release::play(aws, stage, &crossfade, report).await?;
    }
    if options.probes {
        println!("Probing.");
        let key = options.kms_key.as_deref();
        probes::run(aws, stage, account, report, key).await;
        if report.unanswered() > 0 {
            return Err(format!("{} questions have no line", report.unanswered()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Options, String> {
        let of = |name: &str| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Options::read(of)
    }

    #[test]
    fn reads_what_is_asked_for() {
        let plain = read(&[("YES", ""), ("CLEAN", "0")]).expect("nothing is wrong");
        assert!(!plain.yes && plain.clean.is_none() && plain.releases && plain.probes);
        let some = read(&[
            ("YES", "1"),
            ("PARTS", "probes"),
            ("CLEAN", "crossfade-run-abc123"),
        ]);
        let some = some.expect("nothing is wrong");
        assert!(some.yes && some.probes && !some.releases);
        assert_eq!(some.clean.as_deref(), Some("crossfade-run-abc123"));
    }

    #[test]
    fn refuses_a_clean_that_names_no_run() {
        for wrong in [
            "all",
            "crossfade",
            "crossfade-run-*",
            "crossfade-run-abc123-ground",
        ] {
            let problem = read(&[("CLEAN", wrong)]).expect_err(wrong);
            assert!(problem.contains("expected 1, or a name"), "{problem}");
        }
        assert!(read(&[("PARTS", "all")]).is_err());
    }
}
