//! The pages, as HTML. Everything that comes from outside is escaped by the macro; all is there without scripts. Where
//! they run, a page that may change is loaded again.

mod form;
mod list;
mod release;
#[cfg(test)]
mod tests;

pub(crate) use self::{form::Answering, list::list, release::release};

use crossfade::domain::{Timestamp, approval::Answer};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{format, style, view};

/// Two circles, one fading into the other.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='12' cy='16' r='11' fill='%232f6bd8'/%3E%3Ccircle cx='20' cy='16' r='11' fill='%2317915a' fill-opacity='.85'/%3E%3C/svg%3E";

/// What every page has.
fn frame(title: &str, note: &str, refresh: Option<u32>, is_live: bool, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="icon" href=(ICON);
                @if let Some(seconds) = refresh {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
                style { (PreEscaped(style::STYLE)) }
            }
            body {
                header {
                    svg width="30" height="22" viewBox="0 0 30 22" aria-hidden="true" {
                        circle.fill-blue cx="11" cy="11" r="11" {}
                        circle.fill-green cx="19" cy="11" r="11" fill-opacity=".85" {}
                    }
                    "Crossfade"
                    span { (note) }
                }
                (main)
                @if is_live {
                    p.skip id="said" role="status" {}
                    script { (PreEscaped(style::SCRIPT)) }
                }
            }
        }
    }
}

/// A table with a head, in a region that scrolls by itself where the screen is narrower. `class` and `caption` may be empty.
fn table(label: &str, class: &str, caption: &str, head: &[&str], rows: &Markup) -> Markup {
    let class = (!class.is_empty()).then_some(class);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table class=[class] {
                @if !caption.is_empty() { caption { (caption) } }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A page that only says something.
fn say(title: &str, mark: &Markup, more: &Markup) -> Markup {
    let main = html! {
        main {
            section.card.done role="status" {
                h1 { (mark) (title) }
                (more)
            }
        }
    };
    frame(title, "", None, false, &main)
}

fn mark(path: &str, class: &str) -> Markup {
    html! {
        svg width="44" height="44" viewBox="0 0 44 44" aria-hidden="true" {
            circle class=(class) cx="22" cy="22" r="22" {}
            path d=(path) fill="none" stroke="#fff" stroke-width="3.5" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

/// An answer was taken.
pub(crate) fn taken(
    application: &str,
    release: &str,
    answer: &Answer,
    means: &str,
    at: Timestamp,
) -> Markup {
    let title = format!("{}: {application}", view::done(answer.decision));
    let more = html! {
        p { (format::sentence(means)) }
        dl {
            dt { "By" } dd { (answer.by.as_deref().unwrap_or("an operator")) }
            @if let Some(reason) = &answer.reason { dt { "Reason" } dd { (reason) } }
            dt { "At" } dd { time datetime=(format::exact(at)) { (format::day_and_time(at)) } }
            dt { "Release" } dd { (release) }
        }
        p.fine { "It is on record. The link works no more; you can close this page." }
    };
    say(&title, &mark("M13 23l6 6 12-13", "fill-green"), &more)
}

/// Another writer was first.
pub(crate) fn too_late(application: &str, release: &str, standing: &str) -> Markup {
    let more = html! {
        p { "Your answer came too late: this was decided already, or its time was over. Of the release is known: " (standing) "." }
        p.fine { "Release " (release) " of " (application) ". Who decided, and why, is in its outcome." }
    };
    say(
        "Already decided",
        &mark("M22 12v11l7 5", "fill-blue"),
        &more,
    )
}

/// The link is of no use, whyever.
pub(crate) fn gone() -> Markup {
    let more = html! {
        p { "It may have been used, its time may be over, or it is not whole: a mail program can break a long link." }
        p { "If you have just answered, your answer is on record. The newest message about the release has a link to how it stands, and " code { "crossfade open" } " makes a new one." }
    };
    say(
        "This link does not work",
        &mark("M15 15l14 14M29 15L15 29", "fill-blue"),
        &more,
    )
}

/// The link is good, and there is no such release on record; `said` is how its execution ended, where it has.
pub(crate) fn unknown(application: &str, release: &str, said: Option<&str>) -> Markup {
    let is_live = said.is_none();
    let main = html! {
        main data-live[is_live] data-state="not on record" {
            section.card.done {
                h1 { (mark("M22 12v11l7 5", "fill-blue")) "Nothing is on record of this release" }
                @match said {
                    Some(said) => p { (format::sentence(said)) },
                    None => p { "It was started a moment ago, it was refused before it began, or it ended more than 90 days ago." },
                }
                p.fine { "Release " (release) " of " (application) "." }
            }
        }
    };
    let refresh = is_live.then_some(10);
    frame("Nothing is on record", "", refresh, is_live, &main)
}

/// AWS did not answer.
pub(crate) fn trouble() -> Markup {
    let more = html! {
        p { "AWS did not answer in time, so it is not known whether your answer was taken." }
        p { "Send it again from the previous page: the first answer counts, and a second one changes nothing." }
    };
    say(
        "Please try again",
        &mark("M22 11v14M22 32v.1", "fill-blue"),
        &more,
    )
}
