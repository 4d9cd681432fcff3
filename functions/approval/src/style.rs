//! The style of every page.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

pub(crate) const STYLE: &str = include_str!("style.css");

/// Returns the style's hash for a `Content-Security-Policy`, which allows no other style.
pub(crate) fn hash() -> &'static str {
    static HASH: LazyLock<String> =
        LazyLock::new(|| format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE))));
    &HASH
}
