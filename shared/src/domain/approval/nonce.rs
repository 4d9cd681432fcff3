//! The single-use secret in the link to the approval page.
//!
//! The link alone allows an answer, so it is stored nowhere: the ledger holds its hash, and the comparison
//! takes as long for a wrong one as for the right one.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A secret of 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

/// Never shown by accident: the link is made by [`Nonce::shown`].
impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(…)")
    }
}

impl Nonce {
    /// Of bytes from the system's source of randomness.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As a link carries it: 43 characters that need no escaping in a URL.
    #[must_use]
    pub fn shown(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads what a link carried; none when it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Returns the hash that is stored. A plain hash suffices: 2²⁵⁶ nonces cannot be tried.
    #[must_use]
    pub fn hash(&self) -> NonceHash {
        NonceHash(URL_SAFE_NO_PAD.encode(Sha256::digest(self.0)))
    }

    /// Whether `hash` is this nonce's, in constant time.
    #[must_use]
    pub fn matches(&self, hash: &NonceHash) -> bool {
        self.hash().0.as_bytes().ct_eq(hash.0.as_bytes()).into()
    }
}

/// The SHA-256 of a nonce, base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceHash(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_a_nonce() {
        let nonce = Nonce::from_random([0xfb; 32]);
        let shown = nonce.shown();
        assert_eq!(shown.len(), 43);
        assert!(
            shown
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
            "{shown}"
        );
        assert_eq!(Nonce::parse(&shown), Some(nonce));
    }

    #[test]
    fn matches_only_the_same_nonce() {
        let nonce = Nonce::from_random([7; 32]);
        assert!(nonce.matches(&nonce.hash()));
        for byte in 0..32 {
            let mut other = [7; 32];
            other[byte] ^= 1;
            assert!(!Nonce::from_random(other).matches(&nonce.hash()));
        }
        assert!(!nonce.matches(&NonceHash(String::new())));
    }

    #[test]
    fn rejects_malformed_nonce() {
        let shown = Nonce::from_random([1; 32]).shown();
        for wrong in ["", "x", &shown[1..], &format!("{shown}A"), "é", "../../etc"] {
            assert_eq!(Nonce::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hides_the_nonce_in_debug_output() {
        let nonce = Nonce::from_random([9; 32]);
        assert!(!format!("{nonce:?}").contains(&nonce.shown()));
    }
}
