//! Links to the pages of releases: signed here, with the key that the ledger has.

use std::{
    io::{IsTerminal as _, stdout},
    process::{Command, Stdio},
};

use crossfade::domain::{
    Timestamp,
    names::Application,
    page_link::{Page, expiry},
};
use serde_json::json;

use crate::{
    error::CliError, executions::Run, exit_code::Exit, output::Output, resolve::resolve,
    stack::Aws, watch::now,
};

/// What opens an address in the browser that the user has chosen, with the arguments before it.
const OPENER: &[&str] = if cfg!(windows) {
    &["rundll32", "url.dll,FileProtocolHandler"]
} else if cfg!(target_os = "macos") {
    &["open"]
} else {
    &["xdg-open"]
};

/// Prints the link to a release's page, or to the list of releases, and opens it where stdout is a terminal.
pub(crate) async fn open(
    aws: &Aws,
    what: Option<&str>,
    print: bool,
    screen: &Output,
) -> Result<Exit, CliError> {
    let (page, retain_until) = match what {
        None => (Page::List, None),
        Some(what) => {
            let run = resolve(aws, Some(what)).await?;
            let record = aws.ledger().await?.get(&run.arn).await?;
            let record = record.ok_or_else(|| {
                let name = run.name();
                CliError::new(
                    Exit::Failed,
                    format!(
                        "the ledger has nothing of {name}: it took no locks, so it has no page"
                    ),
                )
                .next(format!("`crossfade history {name}` says how it ended"))
            })?;
            (page_of(&run, record.application), record.retain_until)
        }
    };
    let until = expiry(now(), retain_until);
    let link = signed(aws, &page, until).await?;
    if screen.is_json() {
        screen.object(&json!({ "page": link, "until": until }));
    }
    screen.say(&link);
    if !print
        && !screen.is_json()
        && stdout().is_terminal()
        && let Err(error) = show(&link)
    {
        screen.aside(&format!(
            "no browser was opened: {}: {error}; open the link yourself",
            OPENER[0]
        ));
    }
    Ok(Exit::Done)
}

/// Returns the link to a release that was just started; `None` where the stack has no pages, has no key yet, or does not
/// let the caller read it: a release does not wait for its link.
pub(crate) async fn link_of(aws: &Aws, run: &Run, application: &Application) -> Option<String> {
    let page = page_of(run, application.clone());
    signed(aws, &page, expiry(now(), None)).await.ok()
}

fn page_of(run: &Run, application: Application) -> Page {
    Page::Release {
        application,
        release: run.name().to_owned(),
    }
}

async fn signed(aws: &Aws, page: &Page, until: Timestamp) -> Result<String, CliError> {
    let Some(url) = aws.stack().await?.output("ApprovalUrl") else {
        return Err(CliError::new(
            Exit::Failed,
            format!(
                "the stack {} has no pages: its parameter ApprovalPage is \"no\"",
                aws.stack_name()
            ),
        )
        .next("deploy it with ApprovalPage=yes; `crossfade status` and `crossfade history` say the same in text"));
    };
    let key = aws.ledger().await?.page_key().await?.ok_or_else(|| {
        CliError::new(
            Exit::Failed,
            "there is no key to sign a link with: no release has begun since the stack has pages"
                .to_owned(),
        )
        .next("the first release that begins makes it")
    })?;
    Ok(key.link(url, page, until))
}

fn show(link: &str) -> std::io::Result<()> {
    let (program, arguments) = OPENER.split_first().expect("a program is named");
    Command::new(program)
        .args(arguments)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}
