//! The pages, as HTML. Everything that comes from outside is escaped by the macro; nothing is asked of
//! the browser but HTML and CSS.

#[cfg(test)]
mod tests;

use crossfade::display;
use crossfade::domain::{
    Timestamp,
    about::About,
    analysis::{counts::Counts, judge::in_words},
    approval::{Answer, MAX_NAME, MAX_REASON, QuestionKind},
    weight::Weight,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    chart::chart,
    form::{Form, Mistakes},
    format,
    history::{Slice, error_percent},
    style,
    view::{self, View},
};

/// Two circles, one fading into the other.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='12' cy='16' r='11' fill='%232f6bd8'/%3E%3Ccircle cx='20' cy='16' r='11' fill='%2317915a' fill-opacity='.85'/%3E%3C/svg%3E";

/// What every page has.
fn frame(title: &str, note: &str, main: &Markup) -> Markup {
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
            }
        }
    }
}

/// What is asked, and the form to answer with. `mistakes` says what to put right in `form`.
pub(crate) fn ask(view: &View, form: &Form, mistakes: Option<&Mistakes>) -> Markup {
    let note = match view.kind {
        QuestionKind::Approval => "Approval",
        QuestionKind::Hold => "Hold",
    };
    let title = if mistakes.is_some() {
        format!("Please check: {}", view.title)
    } else {
        view.title.clone()
    };
    let main = html! {
        a.skip href="#decide" { "Go to the decision" }
        main.asks {
            div.lead {
                h1 { (view.title) }
                @if !view.about.is_empty() {
                    p { (what_it_is(&view.about)) }
                }
                p { (view.reason) }
                p {
                    "Traffic stays as it is meanwhile, and an alarm still rolls it back. "
                    strong {
                        "Answer within " span.whole { (view.left) } ", by "
                        time.whole datetime=(format::exact(view.until)) { (format::day_and_time(view.until)) } "."
                    }
                    " Without an answer " (view.on_silence) "."
                }
            }
            section.card.seen aria-labelledby="seen" {
                h2 id="seen" { "So far" }
                (split(view))
                (colours(view))
                (chart(&view.history))
                (numbers(&view.history.slices, view.history.slice_minutes))
            }
            section.card.decide id="decide" aria-labelledby="decide-title" tabindex="-1" {
                h2 id="decide-title" { "Your decision" }
                (decision(view, form, mistakes))
            }
            section.card.why aria-labelledby="why" {
                h2 id="why" { "Evidence" }
                (evidence(view))
            }
        }
        footer {
            "Release " (view.release) " of " (view.application) ", asked "
            time datetime=(format::exact(view.asked_at)) { (format::day_and_time(view.asked_at)) }
            ". All times are UTC. Opening this page decides nothing; the link works until someone has answered."
        }
    };
    frame(&title, note, &main)
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
            @if let Some(next) = view.next_weight {
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
                h3 { "Requests that failed so far" }
                div.colours {
                    (of("Blue", "blue", versions.map(|(blue, _)| blue.as_str()), blue))
                    (of("Green", "green", versions.map(|(_, green)| green.as_str()), green))
                }
            },
            None => p.note role="note" {
                "CloudWatch's numbers could not be read just now. Load the page again to see them; deciding works all the same."
            },
        }
    }
}

/// The chart as a table.
fn numbers(slices: &[Slice], minutes: i64) -> Markup {
    let rate =
        |counts: Counts| error_percent(counts).map_or_else(|| "–".to_owned(), format::percent);
    html! {
        details {
            summary { "The chart as a table" }
            div.scroll tabindex="0" role="region" aria-label="The chart as a table" {
                table {
                    caption { "In steps of " (display::counted(minutes.unsigned_abs(), "minute", "minutes")) ", UTC" }
                    thead {
                        tr {
                            th scope="col" { "From" }
                            th scope="col" { "On green" }
                            th scope="col" { "Blue" }
                            th scope="col" { "failed" }
                            th scope="col" { "Green" }
                            th scope="col" { "failed" }
                        }
                    }
                    tbody {
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
                    }
                }
            }
        }
    }
}

fn decision(view: &View, form: &Form, mistakes: Option<&Mistakes>) -> Markup {
    let none = Mistakes::default();
    let wrong = mistakes.unwrap_or(&none);
    let chosen = form.chosen(view.kind);
    let mistake = |id: &str, text: &Option<String>| {
        html! { @if let Some(text) = text { p.mistake id=(id) { (text) } } }
    };
    let first = view.choices.first().map(|choice| <&str>::from(choice.word));
    let fields = [
        (first.unwrap_or_default(), &wrong.decision),
        ("by", &wrong.by),
        ("reason", &wrong.reason),
    ];
    let described = |hint: &str, id: &str, text: &Option<String>| match text {
        Some(_) => format!("{hint} {id}"),
        None => hint.to_owned(),
    };
    html! {
        @if mistakes.is_some() {
            div.summary role="alert" {
                p { b { "Nothing has been decided yet." } }
                ul {
                    @for (id, text) in fields {
                        @if let Some(text) = text { li { a href={ "#" (id) } { (text) } } }
                    }
                }
            }
        }
        // The query has the nonce, and need not be in the next page's address.
        form method="post" action="?" accept-charset="utf-8" {
            input type="hidden" name="release" value=(view.release);
            input type="hidden" name="nonce" value=(view.nonce);
            fieldset aria-describedby=[wrong.decision.as_ref().map(|_| "decision-mistake")] {
                legend { "What is to be done?" }
                @for choice in &view.choices {
                    @let word = <&str>::from(choice.word);
                    label.choice.go[!choice.stops].stop[choice.stops] {
                        input type="radio" name="decision" id=(word) value=(word) required
                            checked[chosen == Some(choice.word)] aria-describedby={ (word) "-means" };
                        b { (choice.name) }
                        span id={ (word) "-means" } { (choice.means) }
                    }
                }
                (mistake("decision-mistake", &wrong.decision))
            }
            div.field {
                label.name for="by" { "Your name" }
                p.hint id="by-hint" { "It goes on record with the decision." }
                input type="text" id="by" name="by" required maxlength=(MAX_NAME) autocomplete="name"
                    autocapitalize="words" spellcheck="false" value=(form.by)
                    aria-describedby=(described("by-hint", "by-mistake", &wrong.by))
                    aria-invalid=[wrong.by.as_ref().map(|_| "true")];
                (mistake("by-mistake", &wrong.by))
            }
            div.field {
                label.name for="reason" { "Reason" }
                p.hint id="reason-hint" {
                    @match view.kind {
                        QuestionKind::Approval => "Needed to reject; welcome otherwise.",
                        QuestionKind::Hold => "Welcome, and goes on record too.",
                    }
                }
                textarea id="reason" name="reason" rows="3" maxlength=(MAX_REASON)
                    aria-describedby=(described("reason-hint", "reason-mistake", &wrong.reason))
                    aria-invalid=[wrong.reason.as_ref().map(|_| "true")] { (form.reason) }
                (mistake("reason-mistake", &wrong.reason))
            }
            button type="submit" { "Send decision" }
            p.fine { "The first answer counts. It takes effect at once." }
        }
    }
}

fn evidence(view: &View) -> Markup {
    let row = |name: &str, blue: String, green: String| {
        html! { tr { th scope="row" { (name) } td { (blue) } td { (green) } } }
    };
    let rate =
        |counts: Counts| error_percent(counts).map_or_else(|| "–".to_owned(), format::percent);
    html! {
        @for sentence in &view.against { p.note { (sentence) } }
        @match &view.judged {
            Some(judged) => {
                @let (blue, green) = (judged.both.blue, judged.both.green);
                table {
                    caption {
                        "What the judge had seen when it asked"
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
                p.fine {
                    "E-value " (in_words(judged.e_value, 2)) " of the " (display::thousands(threshold(judged.threshold)))
                    " that would show green to be worse."
                }
            },
            None => p { "Green's requests have not been judged yet." },
        }
        @if let Some((passed, tests)) = view.smoke_tests {
            p { (passed) " of " (display::counted(tests as u64, "smoke test", "smoke tests")) " passed before any traffic." }
        }
        @if !view.rows.is_empty() {
            h3 { "Functions" }
            div.scroll tabindex="0" role="region" aria-label="Functions" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Function" }
                            th scope="col" { "Alias" }
                            th scope="col" { "Blue" }
                            th scope="col" { "Green" }
                        }
                    }
                    tbody {
                        @for row in &view.rows {
                            tr {
                                th scope="row" { (row.function) }
                                td { (row.alias) }
                                td { (row.blue) }
                                td { (row.green) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
fn threshold(value: f64) -> u64 {
    value.round() as u64
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
    frame(title, "", &main)
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
        p { "If you have just answered, your answer is on record. The newest message about the release says how it stands." }
    };
    say(
        "This link does not work",
        &mark("M15 15l14 14M29 15L15 29", "fill-blue"),
        &more,
    )
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
