//! Whether a release may begin at this time, for who has nothing but the environment to ask: the function that
//! wires a front door before a release.

use std::env;

use crate::{
    admission::outside_windows,
    domain::{Timestamp, override_freeze::OverrideFreeze},
    error::Error,
};

/// Says whether a release may begin at `now`, by the windows in the environment's `RELEASE_WINDOWS`: always,
/// without that. Returns what people should know, where somebody has gone past them.
///
/// # Errors
/// [`Error::InvalidRequest`] where it may not; see [`outside_windows`].
pub fn check(now: Timestamp, overridden: Option<&OverrideFreeze>) -> Result<Option<String>, Error> {
    let windows = env::var("RELEASE_WINDOWS").unwrap_or_default();
    outside_windows(&windows, now, overridden)
        .map_err(|why| Error::InvalidRequest(format!("overrideFreeze: {why}").into()))
}
