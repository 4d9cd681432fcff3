//! What is in flight, and what was released lately.

use crossfade::domain::Timestamp;
use maud::{Markup, html};

use super::frame;
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
            @if !open.is_empty() { (table("In flight", "open", &open)) }
            @if !ended.is_empty() { (table("What was released", "ended", &ended)) }
            @if rows.is_empty() { p { "Nothing was released yet." } }
        }
        footer {
            "The newest executions, as Step Functions has them. All times are UTC. This page and those that it leads to only show, until "
            time datetime=(format::exact(until)) { (format::day_and_time(until)) } "."
        }
    };
    frame("Releases", "Releases", Some(60), true, &main)
}

fn table(heading: &str, id: &str, rows: &[&Row]) -> Markup {
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (heading) }
            div.scroll tabindex="0" role="region" aria-label={ (heading) ", as a table" } {
                table.list {
                    thead {
                        tr {
                            th scope="col" { "Application" }
                            th scope="col" { "How it stands" }
                            th scope="col" { "On green" }
                            th scope="col" { "Began" }
                            th scope="col" { "Release" }
                        }
                    }
                    tbody {
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
                    }
                }
            }
        }
    }
}
