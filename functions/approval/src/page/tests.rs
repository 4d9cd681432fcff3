use crossfade::domain::{
    approval::{Answer, AnswerKind, Question, QuestionKind},
    record::Record,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::*;
use crate::{
    fixtures,
    form::{Form, Mistakes},
    list::rows,
    story::Story,
    view::View,
};

fn page_of(asked: &Question, form: &Form, mistakes: Option<&Mistakes>) -> String {
    let record = fixtures::record(asked.clone());
    let series = fixtures::series();
    let view = View::of(&record, &Story::default(), Some(&series), fixtures::now());
    let link = fixtures::link();
    let answering = Answering {
        link: &link,
        form,
        mistakes,
    };
    release(&view, Some(&answering)).into_string()
}

/// The same release's page, for who may only look.
fn shown(record: &Record, story: &Story) -> String {
    let series = fixtures::series();
    let view = View::of(record, story, Some(&series), fixtures::now());
    release(&view, None).into_string()
}

fn listed() -> String {
    let record = fixtures::in_flight();
    let running = crossfade::aws::executions::Listed {
        arn: record.execution.clone(),
        began_at: record.began_at,
        running: true,
    };
    let refused = crossfade::aws::executions::Listed {
        arn: format!("{}-refused", record.execution),
        began_at: record.began_at,
        running: false,
    };
    let until = fixtures::now() + chrono::TimeDelta::days(1);
    let rows = rows(&[running, refused], &[record], &fixtures::key(), until);
    list(&rows, until).into_string()
}

fn asked_page(kind: QuestionKind) -> String {
    page_of(&fixtures::asked(kind), &Form::default(), None)
}

fn all() -> Vec<String> {
    let form = Form {
        decision: "reject".into(),
        ..Form::default()
    };
    let mistakes = form.check(QuestionKind::Approval).unwrap_err();
    let answer = Answer::new(AnswerKind::Approve)
        .by("Ada")
        .because("looks good");
    vec![
        asked_page(QuestionKind::Approval),
        asked_page(QuestionKind::Hold),
        page_of(
            &fixtures::asked(QuestionKind::Approval),
            &form,
            Some(&mistakes),
        ),
        taken("chat", "chat-42", &answer, "goes on", fixtures::now()).into_string(),
        too_late("chat", "chat-42", "it goes on").into_string(),
        gone().into_string(),
        trouble().into_string(),
        shown(&fixtures::in_flight(), &fixtures::story()),
        shown(
            &fixtures::record(fixtures::asked(QuestionKind::Hold)),
            &Story::default(),
        ),
        shown(&fixtures::rolled_back(), &Story::default()),
        unknown("chat", "chat-42", None).into_string(),
        unknown("chat", "chat-42", Some("the alias is not there")).into_string(),
        listed(),
    ]
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let begin = format!(" {attribute}=\"");
    let parts = page.split(begin.as_str()).skip(1);
    parts.filter_map(|part| part.split('"').next()).collect()
}

#[test]
fn shows_evidence_on_an_approval() {
    let page = asked_page(QuestionKind::Approval);
    for expected in [
        "Move chat to 100 % on green?",
        "Answer within <span class=\"whole\">23 h 59 min</span>, by",
        "Sun 22 Nov, 03:11 UTC",
        "Without an answer traffic is held as it is",
        "Blue <span>version 41</span>",
        "Green <span>version 42</span>",
        "Requests that failed since the release began",
        "Evidence that green is worse: none",
        "0.14 of the 100 that rolls back",
        "href=\"#decide\">Decide now",
        "1 of 1 smoke test passed",
        "value=\"approve\"",
        "value=\"reject\"",
        "Goes on to 100 % on green.",
        "chat-2026-11-21-42",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    // Nothing is chosen before an operator chooses.
    assert!(!page.contains(" checked"), "{page}");
    for other in ["resume", "promote", "rollBack", "silence"] {
        assert!(!page.contains(&format!("value=\"{other}\"")), "{other}");
    }
}

#[test]
fn offers_the_answers_to_a_hold() {
    let page = asked_page(QuestionKind::Hold);
    assert!(page.contains("chat is held: what next?"));
    assert_eq!(
        values(&page, "id")
            .into_iter()
            .filter(|id| ["approve", "reject", "resume", "promote", "rollBack"].contains(id))
            .collect::<Vec<_>>(),
        ["resume", "promote", "rollBack"]
    );
}

#[test]
fn renders_without_counts() {
    let asked = fixtures::asked(QuestionKind::Approval);
    let record = fixtures::record(asked.clone());
    let view = View::of(&record, &Story::default(), None, fixtures::now());
    let (link, form) = (fixtures::link(), Form::default());
    let answering = Answering {
        link: &link,
        form: &form,
        mistakes: None,
    };
    let page = release(&view, Some(&answering)).into_string();
    assert!(page.contains("could not be read just now"));
    assert!(page.contains("value=\"approve\"") && page.contains("Traffic on green"));
    assert!(page.contains("not known"));
}

#[test]
fn shows_a_release_in_flight_without_a_form() {
    let page = shown(&fixtures::in_flight(), &fixtures::story());
    for expected in [
        "chat: 50 % on green",
        "50 % of the traffic is on green, which is judged against blue.",
        "No worse than blue so far.",
        "<strong>Next: </strong>After 10 min at this weight 100 % go to green.",
        "if all goes well",
        "Ada resumed it: looks fine.",
        "The release began.",
        "Green got 10 % of the traffic.",
        "a trigger calls $LATEST",
        "to come",
        "data-live",
        "<noscript><meta http-equiv=\"refresh\" content=\"30\">",
        "This page only shows",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(
        !page.contains("<form") && !page.contains("nonce"),
        "it answers nothing"
    );
}

#[test]
fn shows_the_question_without_the_way_to_answer_it() {
    let record = fixtures::record(fixtures::asked(QuestionKind::Approval));
    let page = shown(&record, &Story::default());
    for expected in [
        "chat waits for approval, with 50 % on green",
        "Answer within",
        "crossfade approve chat-2026-11-21-42",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    let nonce = fixtures::link().nonce.shown();
    for secret in ["<form", "a token", &nonce] {
        assert!(!page.contains(secret), "{secret}");
    }
}

#[test]
fn shows_how_a_release_ended_and_why() {
    let page = shown(&fixtures::rolled_back(), &Story::default());
    for expected in [
        "chat was rolled back",
        "412 of 13,277 requests failed on green",
        "Evidence that green is worse: enough to roll back",
        " of the 100 that rolls back",
        "The alarm chat-5xx is ALARM.",
        "A rollback was requested: 412",
        "Blue had all traffic again.",
        "How it went",
        "not taken",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(
        !page.contains("data-live") && !page.contains("http-equiv"),
        "it changes no more"
    );
}

#[test]
fn lists_releases_with_links_to_their_pages() {
    let page = listed();
    assert!(page.contains("One is in flight."), "{page}");
    assert!(page.contains("href=\"?application=chat&amp;release=chat-2026-11-21-42&amp;until="));
    assert!(page.contains("chat-2026-11-21-42-refused"));
    assert!(page.contains("Took no locks"));
}

#[test]
fn escapes_foreign_text() {
    const HOSTILE: &str =
        "\"><script>alert(1)</script><img src=x onerror=alert(1)>' & {{7*7}}</textarea>";
    let mut asked = fixtures::asked(QuestionKind::Approval);
    asked.reason = HOSTILE.to_owned();
    asked.on_silence = HOSTILE.to_owned();
    let form = Form {
        decision: HOSTILE.to_owned(),
        by: HOSTILE.to_owned(),
        reason: HOSTILE.to_owned(),
    };
    let mistakes = form.check(QuestionKind::Approval).unwrap_err();
    let answer = Answer::new(AnswerKind::Approve)
        .by(HOSTILE)
        .because(HOSTILE);
    for page in [
        page_of(&asked, &form, Some(&mistakes)),
        taken("chat", HOSTILE, &answer, HOSTILE, fixtures::now()).into_string(),
        too_late("chat", HOSTILE, HOSTILE).into_string(),
        unknown("chat", HOSTILE, Some(HOSTILE)).into_string(),
    ] {
        assert!(page.contains("&lt;script&gt;"), "it is shown");
        let page = page.replace(&format!("<script>{}</script>", style::SCRIPT), "");
        for wrong in ["<script", "<img", "onerror=\"", "' & {{"] {
            assert!(!page.contains(wrong), "{wrong}");
        }
        assert!(page.matches("</textarea>").count() <= 1);
    }
}

#[test]
fn complies_with_its_content_security_policy() {
    for page in all() {
        let own = format!("<script>{}</script>", style::SCRIPT);
        assert_eq!(
            page.contains(&own),
            page.contains("data-live"),
            "the live ones have it"
        );
        let page = page.replace(&own, "");
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
        // Styles in attributes and handlers would be refused by the browser.
        for refused in [
            " style=\"",
            "<script",
            " onclick",
            "javascript:",
            "http:",
            "https:",
        ] {
            let found = page
                .replace("http://www.w3.org/2000/svg", "")
                .contains(refused);
            assert!(!found, "{refused}");
        }
        assert_eq!(page.matches("<style>").count(), 1);
        assert!(page.contains("width=device-width"));
        assert_eq!(page.matches("<h1>").count(), 1, "one heading");
        assert_eq!(page.matches("<main").count(), 1, "one main landmark");
    }
}

#[test]
fn resolves_every_internal_reference() {
    for page in all() {
        let ids = values(&page, "id");
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "each id once: {ids:?}");
        for attribute in ["aria-labelledby", "aria-describedby", "for"] {
            for id in values(&page, attribute)
                .iter()
                .flat_map(|ids| ids.split(' '))
            {
                assert!(ids.contains(&id), "{attribute}={id}");
            }
        }
        for href in values(&page, "href") {
            assert!(
                href.strip_prefix('#').is_none_or(|id| ids.contains(&id)),
                "{href}"
            );
        }
    }
}

#[test]
fn ties_each_mistake_to_its_field() {
    let form = Form {
        decision: "reject".into(),
        by: String::new(),
        reason: String::new(),
    };
    let mistakes = form.check(QuestionKind::Approval).unwrap_err();
    let page = page_of(
        &fixtures::asked(QuestionKind::Approval),
        &form,
        Some(&mistakes),
    );
    assert!(page.contains("<title>Please check: "));
    assert!(page.contains("role=\"alert\""));
    assert!(page.contains("aria-describedby=\"by-hint by-mistake\" aria-invalid=\"true\""));
    assert!(page.contains("aria-describedby=\"reason-hint reason-mistake\" aria-invalid=\"true\""));
    assert!(page.contains("href=\"#by\"") && page.contains("href=\"#reason\""));
    // What was chosen stays chosen.
    assert_eq!(page.matches(" checked").count(), 1);
    assert!(!page.contains("decision-mistake"));
}

#[test]
fn hashes_the_style_in_the_policy() {
    let page = gone().into_string();
    let style = page
        .split("<style>")
        .nth(1)
        .unwrap()
        .split("</style>")
        .next()
        .unwrap();
    let hash = format!("sha256-{}", STANDARD.encode(Sha256::digest(style)));
    assert_eq!(style::hash(), hash);
    let live = listed();
    let script = live.split("<script>").nth(1).unwrap();
    let script = script.split("</script>").next().unwrap();
    let hash = format!("sha256-{}", STANDARD.encode(Sha256::digest(script)));
    assert_eq!(style::script_hash(), hash);
}
