//! What can be typed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::exit_code;

/// Blue-green and canary releases of AWS Lambda functions.
///
/// Starts releases, watches them, answers them and takes them back. Credentials and Region are found
/// as the AWS CLI finds them.
#[derive(Debug, Parser)]
#[command(name = "crossfade", version, after_help = exit_code::table(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print JSON: one object, or while a release is watched one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Command,
}

/// Where Crossfade is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct Place {
    /// Crossfade's CloudFormation stack.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CROSSFADE_STACK",
        default_value = "crossfade"
    )]
    pub(crate) stack: String,
    /// The ARN of the state machine of releases, instead of asking the stack.
    #[arg(
        long,
        global = true,
        value_name = "ARN",
        env = "CROSSFADE_STATE_MACHINE"
    )]
    pub(crate) state_machine: Option<String>,
    /// The ledger's table, instead of asking the stack.
    #[arg(long, global = true, value_name = "TABLE", env = "CROSSFADE_LEDGER")]
    pub(crate) ledger: Option<String>,
    /// The AWS Region, instead of the profile's.
    #[arg(long, global = true)]
    pub(crate) region: Option<String>,
    /// The profile of ~/.aws.
    #[arg(long, global = true)]
    pub(crate) profile: Option<String>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first request, crossfade.json, from what the account has; asks on a terminal what it cannot know.
    Init(Init),
    /// Say what a request would do, and change nothing: steps, times, states, AWS calls, cost, and what
    /// would be in the way.
    Plan {
        /// The request, a file of JSON or YAML; `-` for standard input. Without it, crossfade.json, crossfade.yaml
        /// or crossfade.yml of the current folder.
        request: Option<PathBuf>,
        /// Ask AWS nothing.
        #[arg(long)]
        offline: bool,
    },
    /// Start a release (or whatever the request requests).
    Deploy {
        /// The request, a file of JSON or YAML; `-` for standard input. Without it, crossfade.json, crossfade.yaml
        /// or crossfade.yml of the current folder.
        request: Option<PathBuf>,
        /// Stay until it ends, and exit with how it ended.
        #[arg(long)]
        watch: bool,
        /// The execution's name. With the name of a release that runs, and the same request, nothing is
        /// started: that one is watched. A name cannot be used again for 90 days.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        pace: Pace,
    },
    /// Show a release until it ends, and exit with how it ended.
    Watch {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        pace: Pace,
    },
    /// Say how things are: everything in flight, or one application or release.
    Status {
        /// An application, or a release by its name or ARN.
        what: Option<String>,
    },
    /// Print the link to a release's page, and open it in the browser; without a name, to the list of releases.
    Open {
        /// An application, or a release by its name or ARN.
        what: Option<String>,
        /// Print the link only. Nothing is opened either where stdout is no terminal.
        #[arg(long)]
        print: bool,
    },
    /// Show what was released lately; of one application also which version serves, and what it can return to.
    Releases {
        /// The application.
        application: Option<String>,
    },
    /// Let a release that requests approval go on.
    Approve(Answer),
    /// Deny a release the approval that it requests; it then does what its request says.
    Reject(Answer),
    /// Stop a release at its present weight, at its next look.
    Hold(Answer),
    /// Let a held release go on with its next step.
    Resume(Answer),
    /// End the present bake and go one step, at the release's next look; an approval before that step is still asked.
    Next(Answer),
    /// Put all traffic on green now, and skip the rest of the plan. Says what that is, and asks.
    Promote {
        #[command(flatten)]
        answer: Answer,
        /// Do not ask. Without a terminal it is needed where something is skipped.
        #[arg(long)]
        yes: bool,
    },
    /// Put an application's traffic back on blue, in flight or within retention, or on an older version, and
    /// wait for it.
    Rollback {
        /// The application, or its release by name or ARN.
        what: String,
        /// A published version to return to, with the smoke tests of the last release.
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// The one function that returns to that version; without it, all functions of the application do.
        #[arg(long, value_name = "NAME", requires = "to")]
        function: Option<String>,
        #[command(flatten)]
        words: Words,
        #[command(flatten)]
        pace: Pace,
    },
    /// Say what happened when.
    History {
        #[command(flatten)]
        which: Which,
    },
    /// Check an installation: the stack, your permissions, subscriptions, rules, queues, alarms, and whether an
    /// alarm's event arrives.
    Doctor {
        /// Send no test event: change nothing at all.
        #[arg(long)]
        no_event: bool,
        /// How long the test event may take, in seconds.
        #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = timeout)]
        timeout: Duration,
    },
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What `init` would ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct Init {
    /// A function that is released; once for each that is released together.
    #[arg(long = "function", value_name = "NAME")]
    pub(crate) functions: Vec<String>,
    /// The alias that callers use.
    #[arg(long)]
    pub(crate) alias: Option<String>,
    /// The name of what is released.
    #[arg(long)]
    pub(crate) application: Option<String>,
    /// A strategy by its name.
    #[arg(long)]
    pub(crate) strategy: Option<String>,
    /// An alarm that guards the release; once for each. Without it, those on the functions' metrics.
    #[arg(long = "alarm", value_name = "NAME", conflicts_with = "no_alarms")]
    pub(crate) alarms: Vec<String>,
    /// No alarm guards it.
    #[arg(long)]
    pub(crate) no_alarms: bool,
    /// Ask nothing: take what is given, and what is found.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Overwrite what is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Where the request is written; what it says is explained beside it, in a file that ends in .md.
    #[arg(long, value_name = "FILE", default_value = "crossfade.json")]
    pub(crate) file: PathBuf,
}

/// Which release.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// The release: its execution's name or ARN, or its application. May be left out while one release
    /// alone is in flight.
    pub(crate) release: Option<String>,
}

/// An operator's answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Answer {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) words: Words,
}

/// The environment variable that has the name of the user.
const USER_NAME: &str = if cfg!(windows) { "USERNAME" } else { "USER" };

/// Who, and why.
#[derive(Clone, Debug, Args)]
pub(crate) struct Words {
    /// Who decides, for the record.
    #[arg(long, value_name = "NAME", env = USER_NAME, hide_env_values = true)]
    pub(crate) by: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// The most characters that the record of a rollback takes.
const MAX_REASON: usize = 1000;

impl Words {
    /// Why, and who says so, in one text for where there is one field; none when nothing is known.
    pub(crate) fn because(&self) -> Option<String> {
        let by = self.by.as_deref().filter(|by| !by.is_empty());
        let text = match (&self.reason, by) {
            (Some(reason), Some(by)) => format!("{reason} ({by})"),
            (Some(reason), None) => reason.clone(),
            (None, Some(by)) => format!("({by})"),
            (None, None) => return None,
        };
        Some(text.chars().take(MAX_REASON).collect())
    }
}

/// How a release is followed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Pace {
    /// How often AWS is asked, in seconds: 0.2 to 60.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = every)]
    pub(crate) every: Duration,
    /// How long is waited for the end, in seconds; without it, as long as it takes.
    #[arg(long, value_name = "SECONDS", value_parser = timeout)]
    pub(crate) timeout: Option<Duration>,
}

/// The fewest seconds between two looks: far within what an account may ask (<https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>).
const EVERY: std::ops::RangeInclusive<f64> = 0.2..=60.0;

fn every(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if EVERY.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("must be seconds from 0.2 to 60".into()),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err("must be a whole number of seconds, at least 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn accepts_clap_definition() {
        Cli::command().debug_assert();
    }

    /// Each command of ours that a document shows can be typed.
    #[test]
    fn parses_every_documented_command() {
        let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut documents = vec![repository.join("README.md")];
        for folder in ["docs", "docs/recipes", "docs/errors"] {
            let entries = std::fs::read_dir(repository.join(folder)).expect("it is there");
            let paths = entries.map(|entry| entry.expect("it can be read").path());
            documents.extend(paths.filter(|path| path.extension().is_some_and(|it| it == "md")));
        }
        let mut seen = 0;
        for document in documents {
            let text = std::fs::read_to_string(&document).expect("it is there");
            let document = document.display();
            for line in text.lines().filter(|line| line.starts_with("crossfade ")) {
                let typed = line.split(" #").next().unwrap_or_default();
                // A quoted text is one word.
                let parts = typed.split('"').enumerate().flat_map(|(index, part)| {
                    if index % 2 == 0 {
                        part.split_whitespace().collect()
                    } else {
                        vec![part]
                    }
                });
                if let Err(error) = Cli::try_parse_from(parts) {
                    panic!("{document}: {line}: {error}");
                }
                seen += 1;
            }
        }
        assert!(seen >= 10, "{seen}");
    }

    #[test]
    fn paces_have_limits() {
        assert_eq!(every("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "0.1", "61", "-1", "NaN", "soon"] {
            assert!(every(wrong).is_err(), "{wrong}");
        }
        assert!(timeout("0").is_err() && timeout("3600").is_ok());
    }

    #[test]
    fn accepts_global_options_after_a_command() {
        let cli = Cli::parse_from(["crossfade", "status", "chat", "--json", "--stack", "blue"]);
        assert!(cli.json);
        assert_eq!(cli.place.stack, "blue");
    }
}
