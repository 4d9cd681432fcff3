//! Starting releases, and rollbacks by hand.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    process,
};

use crossfade::{
    domain::{Timestamp, names::derived},
    wire::request::Request,
};
use serde_json::{Value, json};

use crate::{
    args::{Pace, Words},
    error::CliError,
    executions::Run,
    exit_code::Exit,
    open::link_of,
    output::Output,
    request_file::RequestFile,
    resolve::named,
    stack::Aws,
    watch::{follow, now},
};

/// Options of `deploy` beside the request.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) watch: bool,
    pub(crate) name: Option<String>,
    pub(crate) pace: Pace,
    pub(crate) json: bool,
}

/// Starts what a request requests.
pub(crate) async fn deploy(aws: &Aws, asked: &RequestFile, told: Told) -> Result<Exit, CliError> {
    let application = asked.request.application();
    let name = match told.name {
        Some(name) => name,
        None => name_of(application.as_ref(), now(), &asked.input),
    };
    let run = aws
        .runs()
        .start(&aws.machine().await?, &name, &asked.input)
        .await?;
    let screen = if told.watch {
        Output::live(told.json, run.name())
    } else {
        Output::plain(told.json)
    };
    let page = link_of(aws, &run, application).await;
    announce(
        &screen,
        &run,
        application.as_ref(),
        page.as_deref(),
        told.watch,
    );
    if told.watch {
        return follow(aws, &run, true, told.pace, &screen).await;
    }
    screen.say(&format!("watch it:  crossfade watch {}", run.name()));
    Ok(Exit::Done)
}

/// Says what was started; as the first of many events where it is watched.
fn announce(screen: &Output, run: &Run, application: &str, page: Option<&str>, watched: bool) {
    screen.say(&format!("started {}", run.arn));
    if let Some(page) = page {
        screen.say(&format!("its page:  {page}"));
    }
    if screen.is_json() {
        let mut started = json!({
            "execution": run.arn, "name": run.name(), "application": application,
        });
        if let Some(page) = page {
            started["page"] = page.into();
        }
        if watched {
            started["event"] = "begun".into();
        }
        screen.object(&started);
    }
}

/// The version that `rollback` returns to, where that is not blue of the last release.
#[derive(Clone, Debug, Default)]
pub(crate) struct Back {
    pub(crate) to: Option<String>,
    pub(crate) function: Option<String>,
}

/// Starts a rollback by hand, and waits for it.
pub(crate) async fn rollback(
    aws: &Aws,
    what: &str,
    back: &Back,
    words: &Words,
    pace: Pace,
    json: bool,
) -> Result<Exit, CliError> {
    let application = &application_of(aws, what, back.to.is_some()).await?;
    let input = rollback_of(application, back, words);
    Request::parse(&input).map_err(|problems| CliError::invalid("this rollback", &problems))?;
    let name = name_of(&format!("rollback-{application}"), now(), &input);
    let run: Run = aws
        .runs()
        .start(&aws.machine().await?, &name, &input)
        .await?;
    let screen = Output::live(json, run.name());
    announce(&screen, &run, application, None, true);
    follow(aws, &run, true, pace, &screen).await
}

/// The application that is meant: by its own name, or by a release's. That must be the one that a rollback
/// takes back, unless it goes to a version.
async fn application_of(aws: &Aws, what: &str, to_version: bool) -> Result<String, CliError> {
    let Some(run) = named(aws, what).await? else {
        return Ok(what.to_owned());
    };
    let ledger = aws.ledger().await?;
    let Some(record) = ledger.get(&run.arn).await? else {
        return Err(CliError::new(
            Exit::Rejected,
            format!(
                "{} took no locks: there is nothing to take back",
                run.name()
            ),
        )
        .next(format!(
            "`crossfade history {}` says how it ended",
            run.name()
        )));
    };
    match ledger.latest(&record.application).await? {
        Some(latest) if latest != run.arn && !to_version => Err(CliError::new(
            Exit::Rejected,
            format!(
                "{} is not the release of {} that can be taken back: {} is",
                run.name(),
                record.application,
                Run { arn: latest }.name()
            ),
        )
        .next(format!(
            "`crossfade rollback {}` takes that one back",
            record.application
        ))),
        _ => Ok(record.application.to_string()),
    }
}

fn rollback_of(application: &str, back: &Back, words: &Words) -> Value {
    let mut input = json!({"action": "rollback", "application": application});
    if let Some(version) = &back.to {
        input["toVersion"] = version.as_str().into();
    }
    if let Some(function) = &back.function {
        input["functionName"] = function.as_str().into();
    }
    if let Some(reason) = words.because() {
        input["reason"] = reason.into();
    }
    input
}

/// A name that no other execution has: what it is of, when, and four digits for two at the same time.
fn name_of(application: &str, at: Timestamp, input: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    (
        process::id(),
        at.timestamp_subsec_nanos(),
        input.to_string(),
    )
        .hash(&mut hasher);
    let [high, low, ..] = hasher.finish().to_be_bytes();
    derived::execution(application, at, u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name;

    #[test]
    fn names_fit_and_differ() {
        let at: Timestamp = "2026-11-21T06:45:12.000000001Z".parse().unwrap();
        let name = name_of(&"a".repeat(74), at, &json!({}));
        assert_eq!(name.len(), derived::EXECUTION);
        assert!(name::is_valid(&name), "{name}");
        assert!(name.contains("-20261121T064512Z-"), "{name}");
        let later = at + chrono::TimeDelta::nanoseconds(1);
        assert_ne!(
            name_of("chat", at, &json!({})),
            name_of("chat", later, &json!({}))
        );
    }

    #[test]
    fn carries_name_and_reason_of_a_rollback() {
        let words = |by: Option<&str>, reason: Option<&str>| Words {
            by: by.map(str::to_owned),
            reason: reason.map(str::to_owned),
        };
        for (words, reason) in [
            (words(Some("ann"), Some("odd")), json!("odd (ann)")),
            (words(Some("ann"), None), json!("(ann)")),
            (words(None, Some("odd")), json!("odd")),
            (words(None, None), Value::Null),
        ] {
            let input = rollback_of("chat", &Back::default(), &words);
            assert_eq!(input["reason"], reason);
            assert!(Request::parse(&input).is_ok(), "{input}");
        }
        let long = words(Some("ann"), Some(&"é".repeat(2000)));
        let long = rollback_of("chat", &Back::default(), &long);
        assert!(Request::parse(&long).is_ok(), "what is too long is cut");
        let back = Back {
            to: Some("3".into()),
            function: Some("chat-api".into()),
        };
        let input = rollback_of("chat", &back, &words(None, None));
        assert!(
            matches!(Request::parse(&input), Ok(Request::ToVersion(_))),
            "{input}"
        );
        let back = Back {
            to: Some("$LATEST".into()),
            function: None,
        };
        let input = rollback_of("chat", &back, &words(None, None));
        let refused = Request::parse(&input).unwrap_err().to_string();
        assert!(refused.starts_with("toVersion: "), "{refused}");
    }
}
