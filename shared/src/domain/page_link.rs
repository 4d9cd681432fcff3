//! Links to the read-only pages: of one release, and of all.
//!
//! Who has a link can read its page until the link expires, and can do nothing else. It is signed and not stored, so
//! that each notice has one of its own without another write. The key is the stack's: who can read the ledger's
//! row of it can sign.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::form_urlencoded;

use super::{Timestamp, names::Application};

/// How long a link works after it was made, unless the release can be taken back for longer.
pub const LIFETIME: TimeDelta = TimeDelta::days(7);

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// One release.
    Release {
        /// Its application.
        application: Application,
        /// Its execution's name.
        release: String,
    },
    /// What is in flight, and what was released lately.
    List,
}

/// A link as it came: nothing of it can be relied on before [`PageKey::opens`] has said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPage {
    /// What is to be shown.
    pub page: Page,
    /// When the link expires, seconds since 1970.
    pub until: i64,
    /// HMAC-SHA256 of both, base64url.
    pub signature: String,
}

/// What links are signed with: 256 random bits, of this stack alone.
#[derive(Clone, PartialEq, Eq)]
pub struct PageKey([u8; 32]);

/// Never shown by accident: the ledger's row is made by [`PageKey::shown`].
impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageKey(…)")
    }
}

impl PageKey {
    /// Of bytes from the system's source of randomness.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As the ledger keeps it.
    #[must_use]
    pub fn shown(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads what the ledger keeps; none when it cannot be a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns the link to `page` at `url`, which works until `until`.
    #[must_use]
    pub fn link(&self, url: &str, page: &Page, until: Timestamp) -> String {
        let until = until.timestamp();
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Page::Release {
            application,
            release,
        } = page
        {
            query.append_pair("application", application.as_ref());
            query.append_pair("release", release);
        }
        query.append_pair("until", &until.to_string());
        let signature = self.signed(page, until).finalize().into_bytes();
        query.append_pair("signature", &URL_SAFE_NO_PAD.encode(signature));
        format!("{url}?{}", query.finish())
    }

    /// Whether this key has signed the link, and its time is not over at `now`. The comparison takes as long for a
    /// wrong signature as for the right one.
    #[must_use]
    pub fn opens(&self, link: &SignedPage, now: Timestamp) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(&link.signature).unwrap_or_default();
        let signed = self.signed(&link.page, link.until);
        signed.verify_slice(&signature).is_ok() && now.timestamp() < link.until
    }

    /// No name has a NUL in it, so no two links have the same text.
    fn signed(&self, page: &Page, until: i64) -> Hmac<Sha256> {
        let mut signed =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        match page {
            Page::Release {
                application,
                release,
            } => {
                signed.update(b"crossfade release\0");
                signed.update(application.as_ref().as_bytes());
                signed.update(b"\0");
                signed.update(release.as_bytes());
            }
            Page::List => signed.update(b"crossfade list"),
        }
        signed.update(b"\0");
        signed.update(&until.to_be_bytes());
        signed
    }
}

/// Returns until when a link works that is made at `at`: for [`LIFETIME`], or as long as the release can be taken back.
#[must_use]
pub fn expiry(at: Timestamp, retain_until: Option<Timestamp>) -> Timestamp {
    let usual = at.checked_add_signed(LIFETIME).unwrap_or(at);
    retain_until.map_or(usual, |until| until.max(usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn release(application: &str, release: &str) -> Page {
        Page::Release {
            application: application.parse().unwrap(),
            release: release.to_owned(),
        }
    }

    /// As a page reads it.
    fn read(link: &str) -> SignedPage {
        let (_, query) = link.split_once('?').unwrap();
        let fields: std::collections::BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        SignedPage {
            page: match fields.get("release") {
                Some(name) => release(&fields["application"], name),
                None => Page::List,
            },
            until: fields["until"].parse().unwrap(),
            signature: fields["signature"].clone(),
        }
    }

    #[test]
    fn opens_what_it_has_signed_until_it_expires() {
        let key = PageKey::from_random([7; 32]);
        for page in [
            release("chat", "chat-42"),
            release("chat", "é ü&=?#"),
            Page::List,
        ] {
            let until = expiry(now(), None);
            let link = read(&key.link("https://a.example/", &page, until));
            assert_eq!(link.page, page);
            assert!(key.opens(&link, now()));
            assert!(key.opens(&link, until - TimeDelta::seconds(1)));
            assert!(!key.opens(&link, until), "{page:?} has expired");
        }
    }

    #[test]
    fn rejects_each_field_that_was_tampered_with() {
        let key = PageKey::from_random([7; 32]);
        let link = read(&key.link(
            "https://a.example/",
            &release("chat", "chat-42"),
            expiry(now(), None),
        ));
        let with = |page: Page| SignedPage {
            page,
            ..link.clone()
        };
        let flipped = |nth: usize| {
            let mut bytes = URL_SAFE_NO_PAD.decode(&link.signature).unwrap();
            bytes[nth] ^= 1;
            URL_SAFE_NO_PAD.encode(bytes)
        };
        let signatures = (0..32).map(flipped).chain([
            String::new(),
            link.signature[1..].to_owned(),
            format!("{}AA", link.signature),
            "no Base64!".to_owned(),
        ]);
        let mut wrong: Vec<_> = signatures
            .map(|signature| SignedPage {
                signature,
                ..link.clone()
            })
            .collect();
        wrong.extend([
            with(release("other", "chat-42")),
            with(release("chat", "chat-43")),
            // The same letters, parted elsewhere.
            with(release("chatc", "hat-42")),
            with(Page::List),
            SignedPage {
                until: link.until + 1,
                ..link.clone()
            },
            SignedPage {
                until: i64::MAX,
                ..link.clone()
            },
            SignedPage {
                until: -link.until,
                ..link.clone()
            },
        ]);
        for one in wrong {
            assert!(!key.opens(&one, now()), "{one:?}");
        }
        assert!(key.opens(&link, now()));
        assert!(
            !PageKey::from_random([8; 32]).opens(&link, now()),
            "another stack's key"
        );
    }

    #[test]
    fn works_as_long_as_the_release_can_be_taken_back() {
        let week = now() + TimeDelta::days(7);
        assert_eq!(expiry(now(), None), week);
        assert_eq!(expiry(now(), Some(now() + TimeDelta::days(1))), week);
        let later = now() + TimeDelta::days(14);
        assert_eq!(expiry(now(), Some(later)), later);
    }

    #[test]
    fn round_trips_a_key_and_hides_it() {
        let key = PageKey::from_random([0xfb; 32]);
        assert_eq!(PageKey::parse(&key.shown()), Some(key.clone()));
        for wrong in ["", "x", &key.shown()[1..], &format!("{}A", key.shown())] {
            assert_eq!(PageKey::parse(wrong), None, "{wrong}");
        }
        assert!(!format!("{key:?}").contains(&key.shown()));
    }
}
