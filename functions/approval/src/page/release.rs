//! The page of a release: one for who may answer its question, and for who may only look.

use crossfade::display;
use crossfade::domain::{
    about::About,
    analysis::{counts::Counts, judge::in_words, verdict::Verdict},
    approval::QuestionKind,
    weight::Weight,
};
use maud::{Markup, html};

use super::{
    form::{Answering, decision},
    frame, table,
};
use crate::{
    chart::chart,
    format,
    history::{Slice, error_percent, slow_percent},
    view::{Asking, Judged, View},
};

/// How often a page that may change is loaded again where no script runs, in seconds.
const REFRESH_SECONDS: u32 = 30;

/// The page. With `answering` its reader came by the link that allows an answer.
pub(crate) fn release(view: &View, answering: Option<&Answering<'_>>) -> Markup {
    let answers = answering.zip(view.asking.as_ref());
    let heading = match answers {
        Some((_, asking)) => &asking.title,
        None => &view.title,
    };
    let title = match answers {
        Some((answering, _)) if answering.mistakes.is_some() => format!("Please check: {heading}"),
        _ => heading.clone(),
    };
    // A form that was sent is not to be swapped for an empty one.
    let is_live = view.is_open && answers.is_none_or(|(answering, _)| answering.mistakes.is_none());
    let main = html! {
        @if answers.is_some() { a.skip href="#decide" { "Go to the decision" } }
        main.asks[answers.is_some()].shows[answers.is_none()] data-live[is_live] data-state={ (view.state) ": " (view.title) } {
            div.lead {
                p.state { (view.state) }
                h1 { (heading) }
                @if !view.about.is_empty() { p { (what_it_is(&view.about)) } }
                @for sentence in &view.now { p { (sentence) } }
                @if let Some(asking) = &view.asking { (wait(view, asking, answers.is_some())) }
                @if let Some(ahead) = &view.ahead {
                    p {
                        strong { "Next: " } (ahead.what)
                        @if let Some(at) = ahead.at {
                            " That is at " time.whole datetime=(format::exact(at)) { (format::day_and_time(at)) }
                            @if view.is_open { " if all goes well" } "."
                        }
                    }
                }
                @for warning in &view.warnings { p.note role="note" { (warning) } }
            }
            section.card.seen aria-labelledby="seen" {
                h2 id="seen" { @if view.is_open { "So far" } @else { "How it went" } }
                (split(view))
                (colours(view))
                (chart(&view.history))
                (numbers(&view.history.slices, view.history.slice_minutes))
            }
            @if let Some((answering, asking)) = answers {
                section.card.decide id="decide" aria-labelledby="decide-title" tabindex="-1" {
                    h2 id="decide-title" { "Your decision" }
                    (decision(asking, answering))
                }
            }
            section.card.why aria-labelledby="why" {
                h2 id="why" { "Evidence" }
                (evidence(view))
            }
            section.card.story aria-labelledby="story" {
                h2 id="story" { "What happened" }
                (moments(view))
                (plan(view))
            }
        }
        footer {
            "Release " (view.release) " of " (view.application) ". All times are UTC. "
            @match answers {
                Some(_) => "Opening this page decides nothing; the link works until someone has answered.",
                None => "This page only shows: who has its link can read it until the link expires, and can do nothing else.",
            }
        }
    };
    let refresh = (is_live && answers.is_none()).then_some(REFRESH_SECONDS);
    frame(&title, view.state, refresh, is_live, &main)
}

/// What is waited for, and where it is answered.
fn wait(view: &View, asking: &Asking, answers: bool) -> Markup {
    html! {
        p {
            "Traffic stays as it is meanwhile, and an alarm still rolls it back. "
            strong {
                "Answer within " span.whole { (asking.left) } ", by "
                time.whole datetime=(format::exact(asking.until)) { (format::day_and_time(asking.until)) } "."
            }
            " Without an answer " (asking.on_silence) "."
        }
        @if answers {
            p.jump { a href="#decide" { "Decide now" } }
        } @else {
            p {
                "It is answered by the link in the message that asks, or with "
                code { "crossfade " (first_verb(asking)) " " (view.release) } "."
            }
        }
    }
}

/// The verb of the command line that goes on.
fn first_verb(asking: &Asking) -> &'static str {
    match asking.kind {
        QuestionKind::Approval => "approve",
        QuestionKind::Hold => "resume",
    }
}

/// What the release is, in its team's words.
fn what_it_is(about: &About) -> Markup {
    html! {
        @if let Some(line) = about.line() { (line) }
        @if let Some(url) = &about.url {
            @if about.line().is_some() { " " }
            a href=(url) rel="noreferrer noopener" { "More about it" }
        }
    }
}

/// How the traffic is split, and would be.
fn split(view: &View) -> Markup {
    let bar = |green: Weight| {
        html! {
            svg width="100%" height="14" aria-hidden="true" {
                rect.fill-blue width="100%" height="14" {}
                rect.fill-green x={ (green.rest().percent()) "%" } width={ (green.percent()) "%" } height="14" {}
            }
        }
    };
    html! {
        div.split {
            span { "Now" } (bar(view.weight)) b { (view.weight) " green" }
            @if let Some(next) = view.next_weight.filter(|_| view.is_open) {
                span { "Next" } (bar(next)) b { (next) " green" }
            }
        }
    }
}

/// Both versions in two numbers.
fn colours(view: &View) -> Markup {
    let of = |name: &str, class: &str, version: Option<&str>, counts: Counts| {
        html! {
            div class={ "colour " (class) } {
                h3 { (name) @if let Some(version) = version { " " span { "version " (version) } } }
                @match error_percent(counts) {
                    Some(rate) => {
                        p.big { (format::percent(rate)) }
                        p.few { (display::thousands(counts.errors)) " of " (display::counted(counts.invocations, "request", "requests")) }
                        @if let Some(slow) = slow_percent(counts).filter(|slow| *slow > 0.0) {
                            p.few { (format::percent(slow)) " were slow" }
                        }
                    },
                    None => {
                        p.big { "–" }
                        p.few { "No requests yet" }
                    },
                }
            }
        }
    };
    let versions = view.versions.as_ref();
    html! {
        @match view.counts() {
            Some((blue, green)) => {
                h3 {
                    "Requests that failed since the release began"
                    @if view.rows.len() > 1 { ", of all " (view.rows.len()) " functions" }
                }
                div.colours {
                    (of("Blue", "blue", versions.map(|(blue, _)| blue.as_str()), blue))
                    (of("Green", "green", versions.map(|(_, green)| green.as_str()), green))
                }
                @if view.is_open {
                    p.fine { "Up to this minute. What is judged are minutes whose numbers no longer change." }
                }
            },
            None => p.note role="note" {
                "CloudWatch's numbers could not be read just now. Load the page again to see them; all else works without."
            },
        }
    }
}

/// The share of requests that failed.
fn rate(counts: Counts) -> String {
    error_percent(counts).map_or_else(|| "–".to_owned(), format::percent)
}

/// The chart as a table.
fn numbers(slices: &[Slice], minutes: i64) -> Markup {
    let minutes = display::counted(minutes.unsigned_abs(), "minute", "minutes");
    let caption = format!("In steps of {minutes}, UTC");
    let head = ["From", "On green", "Blue", "failed", "Green", "failed"];
    let rows = html! {
        @for slice in slices {
            tr {
                th scope="row" {
                    time datetime=(format::exact(slice.start)) { (format::time(slice.start)) }
                }
                td { (slice.weight) }
                @match slice.counts {
                    Some(both) => {
                        td { (display::thousands(both.blue.invocations)) }
                        td { (rate(both.blue)) }
                        td { (display::thousands(both.green.invocations)) }
                        td { (rate(both.green)) }
                    },
                    None => td colspan="4" { "not known" },
                }
            }
        }
    };
    html! {
        details id="numbers" {
            summary { "The chart as a table" }
            (table("The chart as a table", "", &caption, &head, &rows))
        }
    }
}

fn evidence(view: &View) -> Markup {
    let row = |name: &str, blue: String, green: String| {
        html! { tr { th scope="row" { (name) } td { (blue) } td { (green) } } }
    };
    html! {
        @for sentence in &view.evidence.against { p.note { (sentence) } }
        @match &view.evidence.judged {
            Some(judged) => {
                (gauge(judged))
                @let (blue, green) = (judged.both.blue, judged.both.green);
                table {
                    caption {
                        "What was judged last"
                        @if let Some(function) = &judged.function { ", of " (function) }
                        @if judged.shadow { " (in shadow: not acted on)" }
                    }
                    thead { tr { th scope="col" { span.skip { "Number" } } th scope="col" { "Blue" } th scope="col" { "Green" } } }
                    tbody {
                        (row("Requests", display::thousands(blue.invocations), display::thousands(green.invocations)))
                        (row("Failed", display::thousands(blue.errors), display::thousands(green.errors)))
                        (row("Error rate", rate(blue), rate(green)))
                        @if blue.slow + green.slow > 0 {
                            (row("Slow", display::thousands(blue.slow), display::thousands(green.slow)))
                        }
                        @if blue.throttles + green.throttles > 0 {
                            (row("Throttled", display::thousands(blue.throttles), display::thousands(green.throttles)))
                        }
                    }
                }
            },
            None => p { "Green's requests have not been judged." },
        }
        @if let Some((passed, tests)) = view.evidence.smoke_tests {
            p { (passed) " of " (display::counted(tests as u64, "smoke test", "smoke tests")) " passed before any traffic." }
        }
        @if !view.rows.is_empty() {
            h3 { "Functions" }
            (functions(view))
        }
    }
}

fn functions(view: &View) -> Markup {
    let rows = html! {
        @for row in &view.rows {
            tr {
                th scope="row" { (row.function) }
                td { (row.alias) }
                td { (row.blue) }
                td { (row.green) }
            }
        }
    };
    let head = ["Function", "Alias", "Blue", "Green"];
    table("Functions", "", "", &head, &rows)
}

/// How far the evidence has come on its way to a rollback.
fn gauge(judged: &Judged) -> Markup {
    let e_value = if judged.e_value < 0.01 {
        "under 0.01".to_owned()
    } else {
        in_words(judged.e_value, 2)
    };
    let words = format!(
        "{e_value} of the {} that rolls back",
        display::thousands(threshold(judged.threshold)),
    );
    let full = judged.share() >= 1.0;
    let tens = (1..)
        .map(|nth| 10_f64.powi(nth))
        .take_while(|ten| *ten < judged.threshold);
    html! {
        div.gauge {
            p { b { "Evidence that green is worse: " (judged.strength()) } span { (words) } }
            svg width="100%" height="16" role="img" aria-label={ "Evidence that green is worse: " (words) } {
                rect.fill-none width="100%" height="16" rx="8" {}
                rect.fill-amber[!full].fill-red[full] width={ (format!("{:.1}", 100.0 * judged.share())) "%" } height="16" rx="8" {}
                @for ten in tens {
                    @let x = format!("{:.1}%", 100.0 * ten.ln() / judged.threshold.ln());
                    line.tens x1=(x) y1="0" x2=(x) y2="16" {}
                }
            }
            p.ends aria-hidden="true" { span { "none" } span { "rolls back" } }
            p.fine {
                "The number is how much better “green is worse” explains the requests than “green is no worse”; each mark is ten times the one before."
            }
        }
    }
}

fn moments(view: &View) -> Markup {
    html! {
        ol.moments {
            @for (at, text) in &view.moments {
                li {
                    time datetime=(format::exact(*at)) { (format::day_and_time(*at)) }
                    span { (text) }
                }
            }
        }
    }
}

/// The steps, those that were taken and those that are to come.
fn plan(view: &View) -> Markup {
    let rows = html! {
        @for step in &view.plan {
            tr {
                th scope="row" { (step.weight) }
                td { (step.bake) }
                @match &step.taken {
                    Some(taken) => {
                        td { (format::time(taken.started_at)) }
                        td { @match taken.ended_at { Some(at) => (format::time(at)), None => "–" } }
                        td { (verdict(taken.verdict)) }
                    },
                    None => td colspan="3" { @if view.is_open { "to come" } @else { "not taken" } },
                }
            }
        }
    };
    let head = ["On green", "For", "From", "To", "Judged"];
    html! {
        @if !view.plan.is_empty() {
            h3 { "Steps" }
            (table("Steps", "", "", &head, &rows))
        }
    }
}

fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        None => "–",
        Some(Verdict::Healthy) => "healthy",
        Some(Verdict::Inconclusive) => "not certain",
        Some(Verdict::Unhealthy) => "unhealthy",
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
fn threshold(value: f64) -> u64 {
    value.round() as u64
}
