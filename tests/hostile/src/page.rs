//! What anybody sends to the approval page.

use std::sync::LazyLock;

use approval::{Response, fixtures, rehearse};
use crossfade::domain::{analysis::counts::Minute, approval::QuestionKind, record::Record};
use serde_json::{Value, json};

static SERIES: LazyLock<Vec<Vec<Minute>>> = LazyLock::new(fixtures::series);
static RECORDS: LazyLock<[Record; 2]> = LazyLock::new(|| {
    [QuestionKind::Approval, QuestionKind::Hold].map(|kind| fixtures::record(fixtures::asked(kind)))
});

/// What a link's fields are in the sample.
fn link() -> String {
    let link = fixtures::link();
    format!("release={}&nonce={}", link.release, link.nonce.shown())
}

/// A request: the first byte says how it comes, all else is its query or its form. `LINK` in it is a
/// link that opens the page, and `PAGE` one that only shows it.
///
/// # Panics
/// When the page has what was sent unescaped, or says more than it should to whoever has no link.
pub fn page(bytes: &[u8]) {
    let (how, sent) = bytes.split_first().unwrap_or((&0, &[]));
    let sent = String::from_utf8_lossy(sent)
        .replace("LINK", &link())
        .replace("PAGE", &fixtures::query());
    let said = answered(*how, &sent);
    let opened = said.status_code == 200 || said.status_code == 422;
    assert!(
        opened || [403, 405].contains(&said.status_code),
        "{}",
        said.status_code
    );
    assert_eq!(said.headers["cache-control"], "no-store");
    assert!(said.headers["content-security-policy"].starts_with("default-src 'none';"));
    let Some(body) = said.body else {
        return;
    };
    assert!(
        body.matches("<script").count() <= 1,
        "there is no script but the page's own"
    );
    if !opened {
        // Nothing of what was sent, and nothing of the release.
        let known = answered(0, "release=x").body;
        assert_eq!(Some(body), known);
        return;
    }
    let opens = sent.contains(&link()) || sent.contains(&fixtures::query());
    assert!(opens, "only a link opens it");
    // The page has as many tags, and attributes, as if nothing had been sent that could make one.
    let tame = tamed(&sent);
    let other = answered(*how, &tame);
    assert_eq!(other.status_code, said.status_code, "{sent:?} and {tame:?}");
    let other = other.body.expect("it has a page too");
    for mark in ['<', '>', '"'] {
        assert_eq!(
            body.matches(mark).count(),
            other.matches(mark).count(),
            "{mark} of {sent:?}"
        );
    }
}

/// The same fields without what HTML gives a meaning.
fn tamed(sent: &str) -> String {
    let mut tame = sent.to_owned();
    for (mark, other) in [
        ("%3C", "x"),
        ("%3c", "x"),
        ("%3E", "x"),
        ("%3e", "x"),
        ("%22", "x"),
        ("%27", "x"),
        ("<", "x"),
        (">", "x"),
        ("\"", "x"),
        ("'", "x"),
    ] {
        tame = tame.replace(mark, other);
    }
    tame
}

fn answered(how: u8, sent: &str) -> Response {
    let method = match how & 7 {
        0 | 1 => "GET",
        2 => "HEAD",
        7 => "DELETE",
        _ => "POST",
    };
    let kind = match how & 8 {
        0 => "application/x-www-form-urlencoded; charset=utf-8",
        _ => "multipart/form-data",
    };
    let (query, body) = match method {
        "POST" => ("", Value::from(sent)),
        _ => (sent, Value::Null),
    };
    let request = json!({
        "version": "2.0", "rawPath": "/", "rawQueryString": query,
        "headers": {"content-type": kind},
        "requestContext": {
            "timeEpoch": fixtures::now().timestamp_millis(),
            "http": {"method": method, "path": "/"},
        },
        "body": body,
        "isBase64Encoded": how & 16 != 0,
    });
    let record = &RECORDS[usize::from(how >> 5) % RECORDS.len()];
    let series = (how & 128 == 0).then_some(SERIES.as_slice());
    rehearse(request, Some(record), &fixtures::key(), series).expect("it is a request of the page")
}
