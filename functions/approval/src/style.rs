//! The style of every page, and the script of those that stay true while they are open.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

pub(crate) const STYLE: &str = include_str!("style.css");

pub(crate) const SCRIPT: &str = include_str!("live.js");

/// Returns the style's hash for a `Content-Security-Policy`, which allows no other style.
pub(crate) fn hash() -> &'static str {
    static HASH: LazyLock<String> = LazyLock::new(|| of(STYLE));
    &HASH
}

/// Returns the script's hash, which allows no other script.
pub(crate) fn script_hash() -> &'static str {
    static HASH: LazyLock<String> = LazyLock::new(|| of(SCRIPT));
    &HASH
}

fn of(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
