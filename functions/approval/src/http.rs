//! Requests to the function's URL, and their responses.
//!
//! The URL is public, so all that is read is bounded, and nothing of it is logged: the
//! nonce is in the URL and in the form.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use crossfade::domain::{
    approval::nonce::Nonce,
    page_link::{Page, SignedPage},
};
use maud::Markup;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::{
    form::Form,
    link::{Link, Way},
    style,
};

/// The most bytes of a query, or of a form, that are read: what its longest fields can take, each
/// byte of them as `%xx`.
const MOST: usize = 16 * 1024;

/// A form in Base64, as Lambda hands on a body whose type is not text.
const MOST_ENCODED: usize = MOST.div_ceil(3) * 4;

/// What Step Functions takes as an execution's name, in characters.
const LONGEST_NAME: usize = 80;

/// A request of the function's URL (payload format 2.0), as far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    #[serde(default)]
    raw_query_string: String,
    /// Their names are in lower case.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(rename = "requestContext")]
    pub(crate) context: Context,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Context {
    /// When it came, milliseconds since 1970.
    pub(crate) time_epoch: i64,
    http: Http,
}

#[derive(Debug, Deserialize)]
struct Http {
    method: String,
}

/// What the function's URL answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// HTTP's status.
    pub status_code: u16,
    /// Names are in lower case.
    pub headers: BTreeMap<&'static str, String>,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What a request wants. A GET decides nothing: programs that scan mail follow links.
#[derive(Debug, PartialEq)]
pub(crate) enum Wanted {
    /// To see what is asked, or how releases stand.
    Look {
        /// None where the link cannot be one.
        way: Option<Way>,
        /// Whether only the head is wanted.
        head: bool,
    },
    /// To answer.
    Answer(Option<(Link, Form)>),
    /// Something that this page has not.
    Other,
}

impl Wanted {
    /// Reads a request.
    pub(crate) fn of(request: &Request) -> Self {
        match request.context.http.method.as_str() {
            method @ ("GET" | "HEAD") => {
                let query = request.raw_query_string.as_bytes();
                Self::Look {
                    way: Fields::of(query).and_then(|fields| fields.way()),
                    head: method == "HEAD",
                }
            }
            "POST" => Self::Answer(posted(request)),
            _ => Self::Other,
        }
    }
}

/// The form that was posted; none where it is not one of this page's.
fn posted(request: &Request) -> Option<(Link, Form)> {
    let kind = request.headers.get("content-type")?;
    let kind = kind.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let body = request.body.as_deref()?;
    let fields = if request.is_base64_encoded {
        if body.len() > MOST_ENCODED {
            return None;
        }
        Fields::of(&STANDARD.decode(body).ok()?)?
    } else {
        Fields::of(body.as_bytes())?
    };
    let link = fields.link()?;
    let form = Form {
        decision: fields.text("decision").to_owned(),
        by: fields.text("by").to_owned(),
        // As a browser sends the ends of lines.
        reason: fields.text("reason").replace("\r\n", "\n"),
    };
    Some((link, form))
}

/// The fields of a query or a form, each of them once.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// Returns `None` for too many fields or a repeated one, which would be ambiguous.
    fn of(text: &[u8]) -> Option<Self> {
        if text.len() > MOST {
            return None;
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if fields.len() == 16 || fields.iter().any(|(known, _)| *known == name) {
                return None;
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Some(Self(fields))
    }

    fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// What the link may be: a nonce decides, and a signature shows. One that has both is none.
    fn way(&self) -> Option<Way> {
        match (self.has("nonce"), self.has("signature")) {
            (true, false) => self.link().map(Way::Decision),
            (false, true) => self.page().map(Way::Page),
            (true, true) | (false, false) => None,
        }
    }

    fn release(&self) -> Option<String> {
        let release = self.text("release");
        let plain = |c: char| {
            !c.is_control() && !c.is_whitespace() && !":/\\\"<>{}[]?*#%^|~`$&,;".contains(c)
        };
        let named =
            (1..=LONGEST_NAME).contains(&release.chars().count()) && release.chars().all(plain);
        named.then(|| release.to_owned())
    }

    fn link(&self) -> Option<Link> {
        let nonce = Nonce::parse(self.text("nonce"))?;
        let release = self.release()?;
        Some(Link { release, nonce })
    }

    fn page(&self) -> Option<SignedPage> {
        let page = if self.has("release") || self.has("application") {
            Page::Release {
                application: self.text("application").parse().ok()?,
                release: self.release()?,
            }
        } else {
            Page::List
        };
        Some(SignedPage {
            page,
            until: self.text("until").parse().ok()?,
            signature: self.text("signature").to_owned(),
        })
    }
}

/// A page as Lambda sends it on. `head` leaves out the page itself.
pub(crate) fn answer(status: u16, page: Markup, head: bool) -> Response {
    let mut headers = headers();
    if status == 405 {
        headers.insert("allow", "GET, HEAD, POST".to_owned());
    }
    Response {
        status_code: status,
        headers,
        body: (!head).then(|| page.into_string()),
    }
}

/// Returns headers that isolate the page: its own script alone, which may ask for the page again; no frame, nothing from
/// elsewhere, no cache, and no referrer, because the URL has the nonce or the signature in it.
fn headers() -> BTreeMap<&'static str, String> {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        style::hash(),
        style::script_hash()
    );
    let plain = [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("strict-transport-security", "max-age=63072000"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-robots-tag", "noindex, nofollow"),
    ];
    let plain = plain.map(|(name, value)| (name, value.to_owned()));
    plain
        .into_iter()
        .chain([("content-security-policy", policy)])
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(method: &str, query: &str, kind: &str, body: Option<&str>, base64: bool) -> Wanted {
        let request: Value = json!({
            "version": "2.0", "rawPath": "/", "rawQueryString": query,
            "headers": {"content-type": kind, "host": "abc.lambda-url.eu-west-1.on.aws"},
            "requestContext": {"timeEpoch": 1_789_000_000_000_i64, "http": {"method": method, "path": "/"}},
            "body": body, "isBase64Encoded": base64,
        });
        Wanted::of(&serde_json::from_value(request).unwrap())
    }

    fn get(query: &str) -> Option<Link> {
        match request("GET", query, "", None, false) {
            Wanted::Look { way, head: false } => match way {
                Some(Way::Decision(link)) => Some(link),
                Some(Way::Page(_)) | None => None,
            },
            other => panic!("{other:?}"),
        }
    }

    fn post(body: &str) -> Option<(Link, Form)> {
        let encoded = STANDARD.encode(body);
        let kind = "application/x-www-form-urlencoded";
        let as_text = request("POST", "", kind, Some(body), false);
        // Lambda hands on a form in Base64: it is not text to it.
        let as_bytes = request("POST", "", kind, Some(&encoded), true);
        assert_eq!(as_text, as_bytes);
        match as_text {
            Wanted::Answer(form) => form,
            other => panic!("{other:?}"),
        }
    }

    fn nonce() -> String {
        Nonce::from_random([3; 32]).shown()
    }

    #[test]
    fn parses_release_and_nonce_of_a_link() {
        let nonce = nonce();
        let link = get(&format!("release=chat-42&nonce={nonce}")).unwrap();
        assert_eq!(link.release, "chat-42");
        assert_eq!(link.nonce.shown(), nonce);
        // A mail program may add what it likes.
        assert!(get(&format!("utm_source=mail&release=chat-42&nonce={nonce}")).is_some());
        for wrong in [
            String::new(),
            "release=chat-42".into(),
            format!("nonce={nonce}"),
            format!("release=&nonce={nonce}"),
            format!("release=chat-42&nonce={}", &nonce[1..]),
            format!("release=chat-42&nonce={nonce}&nonce={nonce}"),
            format!("release=chat-42&release=chat-43&nonce={nonce}"),
            format!("release=a%3Ab&nonce={nonce}"),
            format!("release=a%00b&nonce={nonce}"),
            format!("release=%3Cscript%3E&nonce={nonce}"),
            format!("release={}&nonce={nonce}", "a".repeat(81)),
            format!("release=chat-42&nonce={nonce}&more={}", "a".repeat(MOST)),
        ] {
            assert_eq!(get(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parses_a_signed_link_that_answers_nothing() {
        let way = |query: &str| match request("GET", query, "", None, false) {
            Wanted::Look { way, head: false } => way,
            other => panic!("{other:?}"),
        };
        let good = "application=chat&release=chat-42&until=1790000000&signature=abc";
        let Some(Way::Page(signed)) = way(good) else {
            panic!("it is a link to a page");
        };
        assert_eq!(
            (signed.until, signed.signature.as_str()),
            (1_790_000_000, "abc")
        );
        let Page::Release {
            release,
            application,
        } = signed.page
        else {
            panic!("it is of a release");
        };
        assert_eq!(
            (release.as_str(), application.as_ref()),
            ("chat-42", "chat")
        );
        let list = way("until=1790000000&signature=abc");
        assert!(matches!(
            list,
            Some(Way::Page(SignedPage {
                page: Page::List,
                ..
            }))
        ));
        for wrong in [
            "application=chat&release=chat-42&until=1790000000",
            "application=chat&until=1790000000&signature=abc",
            "release=chat-42&until=1790000000&signature=abc",
            "application=a%00b&release=chat-42&until=1790000000&signature=abc",
            "application=chat&release=chat-42&until=soon&signature=abc",
            "application=chat&release=chat-42&signature=abc",
            &format!("{good}&signature=abd"),
            &format!("{good}&nonce={}", nonce()),
        ] {
            assert_eq!(way(wrong), None, "{wrong}");
        }
        let kind = "application/x-www-form-urlencoded";
        let posted = format!("{good}&decision=approve&by=Ada&reason=");
        let wanted = request("POST", good, kind, Some(&posted), false);
        assert_eq!(wanted, Wanted::Answer(None), "a signature decides nothing");
    }

    #[test]
    fn parses_a_form_as_browsers_send_it() {
        let nonce = nonce();
        let body = format!(
            "release=chat-42&nonce={nonce}&decision=reject&by=Ada+L%C3%B6velace&reason=p99+is+%3C+odd%0D%0A%26+more"
        );
        let (link, form) = post(&body).unwrap();
        assert_eq!(link.release, "chat-42");
        assert_eq!(form.by, "Ada Lövelace");
        assert_eq!(form.reason, "p99 is < odd\n& more");
        assert_eq!(form.decision, "reject");
    }

    #[test]
    fn refuses_foreign_forms() {
        let nonce = nonce();
        let good = format!("release=chat-42&nonce={nonce}&decision=approve&by=Ada&reason=");
        assert!(post(&good).is_some());
        for wrong in [
            String::new(),
            "decision=approve".into(),
            format!("{good}&decision=reject"),
            format!("{good}&more={}", "a".repeat(MOST)),
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"].join("=1&") + "&" + &good,
        ] {
            assert_eq!(post(&wrong), None, "{wrong}");
        }
        for kind in [
            "",
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/json",
        ] {
            let wanted = request("POST", "", kind, Some(&good), false);
            assert_eq!(wanted, Wanted::Answer(None), "{kind}");
        }
        let kind = "application/x-www-form-urlencoded; charset=UTF-8";
        let wanted = request("POST", "", kind, Some(&good), false);
        assert!(matches!(wanted, Wanted::Answer(Some(_))));
        // A link alone answers nothing, whatever the method.
        let wanted = request("POST", &good, kind, None, false);
        assert_eq!(wanted, Wanted::Answer(None));
        let wanted = request("POST", "", kind, Some("%%% no Base64"), true);
        assert_eq!(wanted, Wanted::Answer(None));
    }

    #[test]
    fn accepts_answers_only_by_post() {
        let query = format!("release=chat-42&nonce={}&decision=approve&by=Ada", nonce());
        for method in ["GET", "HEAD"] {
            let wanted = request(method, &query, "", None, false);
            assert!(
                matches!(wanted, Wanted::Look { way: Some(_), .. }),
                "{method}"
            );
        }
        for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "get", ""] {
            let wanted = request(method, &query, "", None, false);
            assert_eq!(wanted, Wanted::Other, "{method}");
        }
    }

    #[test]
    fn sets_security_headers_on_every_response() {
        for status in [200, 403, 405, 503] {
            let answer = answer(status, maud::html! { p { "text" } }, false);
            let header = |name: &str| answer.headers[name].as_str();
            let policy = header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; style-src 'sha256-"),
                "{policy}"
            );
            for must in [
                "form-action 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            ] {
                assert!(policy.contains(must), "{policy}");
            }
            assert!(
                !policy.contains("unsafe") && policy.contains("script-src 'sha256-"),
                "{policy}"
            );
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert_eq!(header("cache-control"), "no-store");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert!(header("strict-transport-security").starts_with("max-age="));
            assert_eq!(answer.body.as_deref(), Some("<p>text</p>"));
        }
        assert_eq!(answer(200, maud::html! { "text" }, true).body, None);
    }
}
