//! Whether a release may begin at this time, for who has nothing but the environment to ask: the function that
//! wires a stage before a release.

use std::env;

use crate::{
    admission::outside_windows,
    domain::{Timestamp, override_freeze::OverrideFreeze},
    error::Error,
};

/// Checks whether the windows in the environment's `RELEASE_WINDOWS` allow a release at `now`: always,
/// without that. Returns a warning where an override allows it.
///
/// # Errors
/// [`Error::InvalidRequest`] where it may not; see [`outside_windows`].
pub fn check(now: Timestamp, overridden: Option<&OverrideFreeze>) -> Result<Option<String>, Error> {
    let windows = env::var("RELEASE_WINDOWS").unwrap_or_default();
    outside_windows(&windows, now, overridden)
        .map_err(|why| Error::InvalidRequest(format!("overrideFreeze: {why}").into()))
}
