//! The form of the page that asks: what a one-time link adds to the page of a release.

use crossfade::domain::approval::{MAX_NAME, MAX_REASON, QuestionKind};
use maud::{Markup, html};

use crate::{
    form::{Form, Mistakes},
    link::Link,
    view::{Asking, Tone},
};

/// Who answers, with what was sent so far, and what is wrong with it.
pub(crate) struct Answering<'a> {
    /// The link that allows it.
    pub(crate) link: &'a Link,
    pub(crate) form: &'a Form,
    pub(crate) mistakes: Option<&'a Mistakes>,
}

/// The form that answers `asking`. `mistakes` says what to put right in what was `sent`.
pub(super) fn decision(asking: &Asking, answering: &Answering<'_>) -> Markup {
    let Answering {
        link,
        form,
        mistakes,
    } = answering;
    let none = Mistakes::default();
    let wrong = mistakes.unwrap_or(&none);
    let chosen = form.chosen(asking.kind);
    let mistake = |id: &str, text: &Option<String>| {
        html! { @if let Some(text) = text { p.mistake id=(id) { (text) } } }
    };
    let first = asking
        .choices
        .first()
        .map(|choice| <&str>::from(choice.word));
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
            input type="hidden" name="release" value=(link.release);
            input type="hidden" name="nonce" value=(link.nonce.shown());
            fieldset aria-describedby=[wrong.decision.as_ref().map(|_| "decision-mistake")] {
                legend { "Choose one" }
                @for choice in &asking.choices {
                    @let word = <&str>::from(choice.word);
                    label.choice.go[choice.tone == Tone::Go].skip-rest[choice.tone == Tone::Skip].stop[choice.tone == Tone::Stop] {
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
                    @match asking.kind {
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
