//! Links to a decision, and whether they are still open.

use crossfade::domain::{
    Timestamp,
    approval::{Question, nonce::Nonce},
    page_link::SignedPage,
    record::{Record, Status},
};

/// A link to a decision: the release, and the nonce that authorizes its bearer.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The execution's name.
    pub release: String,
    /// The secret.
    pub nonce: Nonce,
}

/// What a link may be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Way {
    /// To a decision.
    Decision(Link),
    /// To a page that only shows.
    Page(SignedPage),
}

/// A wait for a decision that a link opens.
pub(crate) struct Open<'a> {
    /// The request for a decision.
    pub(crate) asked: &'a Question,
    /// The task token that ends the wait.
    pub(crate) token: &'a str,
}

/// Returns the wait that `link` opens at `now`, or `None` if the release does not exist or awaits no decision,
/// the time is over, or the nonce is wrong. A caller must not disclose which.
pub(crate) fn open<'a>(
    record: Option<&'a Record>,
    link: &Link,
    now: Timestamp,
) -> Option<Open<'a>> {
    let record = record.filter(|record| record.status == Status::Held)?;
    let asked = record.asked.as_deref()?;
    let token = record.token.as_deref()?;
    let hash = asked.nonce_hash.as_ref()?;
    (link.nonce.matches(hash) && now < asked.until).then_some(Open { asked, token })
}
