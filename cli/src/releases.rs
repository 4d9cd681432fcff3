//! What was released, which version serves now, and what an application can return to.

use std::fmt::Write as _;

use comfy_table::{Table, presets::NOTHING};
use crossfade::{
    aws::{aliases::Aliases, versions::Versions},
    domain::{
        Timestamp,
        names::{AliasName, Application, FunctionName, Version},
        record::{Record, Status},
    },
};
use futures::future::join_all;
use serde::Serialize;
use serde_json::json;

use crate::{
    error::CliError,
    exit_code::Exit,
    output::{Output, brief, moment},
    resolve::newest,
    stack::Aws,
    status::View,
    watch::now,
};

/// The most versions that a line lists; JSON has all.
const SHOWN: usize = 10;

/// What serves of a function.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Serving {
    /// The function.
    function_name: FunctionName,
    /// The alias that its callers use.
    alias: AliasName,
    /// Where the alias is, in words; none where that could not be read, or there is no such alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<String>,
    /// The published versions that it is not on, newest first.
    other_versions: Vec<Version>,
    /// What could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<String>,
}

impl Serving {
    fn line(&self) -> String {
        let Self {
            function_name,
            alias,
            ..
        } = self;
        let on = self.on.as_deref().unwrap_or("not known");
        // Writing to a String cannot fail.
        let mut line = format!("  {function_name}:{alias}  {on}");
        let shown: Vec<_> = self.other_versions.iter().take(SHOWN).collect();
        if !shown.is_empty() {
            let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
            let _ = write!(line, "; other versions: {}", shown.join(", "));
        }
        if self.other_versions.len() > SHOWN {
            let _ = write!(line, " and {} more", self.other_versions.len() - SHOWN);
        }
        if let Some(why) = &self.unread {
            let _ = write!(line, "; could not be read: {}", brief(why));
        }
        line
    }
}

/// Shows the newest releases; of one application also what serves, and what it can return to.
pub(crate) async fn releases(
    aws: &Aws,
    said: Option<&str>,
    screen: &Output,
) -> Result<Exit, CliError> {
    let application = said.map(|said| {
        Application::try_from(said.to_owned()).map_err(|error| {
            let what = format!("{said:?} is not an application's name: {error}");
            CliError::new(Exit::Usage, what)
        })
    });
    let application = application.transpose()?;
    let records = newest(aws, application.as_ref()).await?;
    let serving = match &application {
        Some(_) => serving(aws, &records).await,
        None => Vec::new(),
    };
    let views: Vec<_> = records.iter().map(View::of).collect();
    if screen.is_json() {
        screen.object(&json!({ "releases": views, "serving": serving }));
        return Ok(Exit::Done);
    }
    if views.is_empty() {
        screen.say("nothing was released in the newest executions");
        return Ok(Exit::Done);
    }
    screen.say(&table(&views));
    if let Some(application) = &application {
        for line in ways_back(application, &records, &serving, now()) {
            screen.say(&line);
        }
    }
    Ok(Exit::Done)
}

/// Reads the aliases of the functions that the newest release names.
async fn serving(aws: &Aws, records: &[Record]) -> Vec<Serving> {
    let footprint = records.iter().find_map(|record| record.footprint.as_ref());
    let targets = footprint.iter().flat_map(|footprint| &footprint.functions);
    let (aliases, versions) = (Aliases::new(aws.config()), Versions::new(aws.config()));
    let each = targets.filter_map(|target| {
        let alias = target.alias.clone()?;
        let (aliases, versions) = (&aliases, &versions);
        Some(async move {
            let function = &target.function_name;
            let (all, listed) = futures::join!(aliases.all(function), versions.list(function));
            let unread = all
                .as_ref()
                .err()
                .or(listed.as_ref().err())
                .map(ToString::to_string);
            let mut seen = all.unwrap_or_default().into_iter();
            let seen = seen
                .find(|(name, _)| *name == alias.as_ref())
                .map(|(_, seen)| seen);
            let listed = listed.ok().flatten().unwrap_or_default();
            let mut other_versions = listed.all;
            other_versions.retain(|version| !seen.as_ref().is_some_and(|seen| seen.is_on(version)));
            other_versions.reverse();
            Serving {
                function_name: function.clone(),
                on: seen.map(|seen| seen.to_string()),
                alias,
                other_versions,
                unread,
            }
        })
    });
    join_all(each).await
}

fn table(views: &[View]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["RELEASE", "APPLICATION", "STATUS", "BEGAN", "VERSIONS"]);
    for view in views {
        let versions = view.functions.iter().map(|one| {
            let blue = one.blue_version.as_ref().map(ToString::to_string);
            let blue = blue.unwrap_or_else(|| "none".to_owned());
            format!("{} {blue} -> {}", one.function_name, one.green_version)
        });
        table.add_row([
            view.name.clone(),
            view.application.to_string(),
            view.status.to_owned(),
            moment(view.began_at),
            versions.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.trim_fmt()
}

/// Which commands return to what. The promoted release that serves can be taken back until its retention ends.
fn ways_back(
    application: &Application,
    records: &[Record],
    serving: &[Serving],
    now: Timestamp,
) -> Vec<String> {
    let mut lines = vec![String::new()];
    if !serving.is_empty() {
        lines.push("serving now:".to_owned());
        lines.extend(serving.iter().map(Serving::line));
    }
    if let Some(open) = records.iter().find(|record| record.status.is_open()) {
        let name = View::of(open).name;
        lines.push(format!(
            "`crossfade rollback {application}` takes {name} back, which is in flight"
        ));
        return lines;
    }
    let kept = records.iter().find(|record| {
        record.status == Status::Promoted
            && record.superseded_by.is_none()
            && record.retention_ended_at.is_none()
            && record.retain_until.is_some_and(|until| until > now)
    });
    if let Some(record) = kept {
        let until = record.retain_until.map(moment).unwrap_or_default();
        let name = View::of(record).name;
        lines.push(format!(
            "`crossfade rollback {application}` takes {name} back, until {until}"
        ));
    }
    if serving.iter().any(|one| !one.other_versions.is_empty()) {
        lines.push(format!(
            "`crossfade rollback {application} --to VERSION` returns to another version"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, status: Status) -> Record {
        Record {
            execution: format!("arn:aws:states:r:1:execution:m:{name}"),
            status,
            ..Record::example()
        }
    }

    fn served(versions: usize) -> Serving {
        let versions = (1..=versions)
            .rev()
            .map(|version| version.to_string().parse().unwrap());
        Serving {
            function_name: FunctionName::try_from("f".to_owned()).unwrap(),
            alias: AliasName::try_from("live".to_owned()).unwrap(),
            on: Some("100 % on version 20".into()),
            other_versions: versions.collect(),
            unread: None,
        }
    }

    fn lines(records: &[Record], serving: &[Serving]) -> String {
        let application = Application::try_from("chat".to_owned()).unwrap();
        let now = "2026-11-20T13:00:00Z".parse().unwrap();
        ways_back(&application, records, serving, now).join("\n")
    }

    #[test]
    fn names_the_command_for_each_way_back() {
        let kept = |until: &str| Record {
            retain_until: Some(until.parse().unwrap()),
            ..record("chat-2", Status::Promoted)
        };
        let gone = record("chat-3", Status::RolledBack);
        let shown = lines(&[gone.clone(), kept("2026-11-20T14:00:00Z")], &[served(2)]);
        assert!(
            shown.contains("f:live  100 % on version 20; other versions: 2, 1\n"),
            "{shown}"
        );
        assert!(
            shown.contains(
                "`crossfade rollback chat` takes chat-2 back, until 2026-11-20 14:00:00Z"
            ),
            "{shown}"
        );
        assert!(shown.contains("--to VERSION"), "{shown}");
        let shown = lines(&[kept("2026-11-20T12:59:59Z")], &[served(0)]);
        assert!(!shown.contains("crossfade rollback"), "{shown}");
        let superseded = Record {
            superseded_by: Some("chat-3".into()),
            ..kept("2026-11-20T14:00:00Z")
        };
        assert!(!lines(&[superseded], &[]).contains("crossfade rollback"));
        let shown = lines(
            &[
                record("chat-4", Status::InFlight),
                kept("2026-11-20T14:00:00Z"),
            ],
            &[],
        );
        assert!(
            shown.contains("takes chat-4 back, which is in flight"),
            "{shown}"
        );
        assert!(!shown.contains("chat-2"), "{shown}");
    }

    #[test]
    fn shows_the_newest_of_many_versions() {
        let line = served(12).line();
        assert!(
            line.ends_with("12, 11, 10, 9, 8, 7, 6, 5, 4, 3 and 2 more"),
            "{line}"
        );
    }

    #[test]
    fn lists_a_release_on_one_line() {
        let shown = table(&[View::of(&record("chat-1", Status::RolledBack))]);
        let row: Vec<_> = shown
            .lines()
            .nth(1)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(
            row,
            [
                "chat-1",
                "chat",
                "ROLLED_BACK",
                "2026-11-20",
                "12:00:00Z",
                "f",
                "1",
                "->",
                "2"
            ]
        );
    }
}
