//! What is in flight, and what was released lately.

use crossfade::domain::Timestamp;
use maud::{Markup, html};

use super::{frame, table};
use crate::{format, list::Row};

/// The list. `until` is when its links expire.
pub(crate) fn list(rows: &[Row], until: Timestamp) -> Markup {
    let (open, ended): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.is_open);
    let main = html! {
        main data-live data-state={ (open.len()) " in flight" } {
            div.lead {
                h1 { "Releases" }
                p {
                    @match open.len() {
                        0 => "Nothing is in flight.",
                        1 => "One is in flight.",
                        many => { (many) " are in flight." },
                    }
                }
            }
            @if !open.is_empty() { (section("In flight", "open", &open)) }
            @if !ended.is_empty() { (section("What was released", "ended", &ended)) }
            @if rows.is_empty() { p { "Nothing was released yet." } }
        }
        footer {
            "The newest executions, as Step Functions has them. All times are UTC. This page and those that it leads to only show, until "
            time datetime=(format::exact(until)) { (format::day_and_time(until)) } "."
        }
    };
    frame("Releases", "Releases", Some(60), true, &main)
}

fn section(heading: &str, id: &str, rows: &[&Row]) -> Markup {
    let label = format!("{heading}, as a table");
    let head = [
        "Application",
        "How it stands",
        "On green",
        "Began",
        "Release",
    ];
    let rows = html! {
        @for row in rows {
            tr {
                th scope="row" {
                    @match &row.link {
                        Some(link) => a href=(link) { (row.application) },
                        None => (row.application),
                    }
                }
                td { (row.state) }
                td { (row.weight) }
                td { time.whole datetime=(format::exact(row.began_at)) { (format::day_and_time(row.began_at)) } }
                td { (row.release) @if let Some(about) = &row.about { br; (about) } }
            }
        }
    };
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (heading) }
            (table(&label, "list", "", &head, &rows))
        }
    }
}
