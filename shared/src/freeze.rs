//! Whether a release may begin at this time: the stack's windows, and who goes past them.

use std::env;

use crate::{
    domain::{
        Timestamp,
        window::{Opening, Windows},
    },
    error::Error,
    wire::request::OverrideFreeze,
};

/// Whether a release may begin at `now`, by the windows in the environment's `RELEASE_WINDOWS`: always,
/// without that. Answers with what people should know, where somebody has gone past them.
///
/// # Errors
/// [`Error::InvalidRequest`] outside of the windows, with the next time that is inside; and when they
/// cannot be read, for nobody knows then what they were meant to forbid.
pub fn check(now: Timestamp, overridden: Option<&OverrideFreeze>) -> Result<Option<String>, Error> {
    decide(
        &env::var("RELEASE_WINDOWS").unwrap_or_default(),
        now,
        overridden,
    )
}

fn decide(
    windows: &str,
    now: Timestamp,
    overridden: Option<&OverrideFreeze>,
) -> Result<Option<String>, Error> {
    let why = match windows.parse::<Windows>().map(|all| all.opening(now)) {
        Ok(Opening::Open) => return Ok(None),
        Ok(Opening::Closed(why)) => why,
        Err(wrong) => {
            format!(
                "the stack's parameter ReleaseWindows cannot be read, so nothing is released: {wrong}"
            )
        }
    };
    match overridden {
        Some(OverrideFreeze { by, reason }) => Ok(Some(format!(
            "the release windows were overridden by {by}: {reason} ({why})"
        ))),
        None => Err(Error::InvalidRequest(format!(
            "{why}; what cannot wait is released with overrideFreeze, which names a person and a reason"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> OverrideFreeze {
        OverrideFreeze {
            by: "Ada".into(),
            reason: "checkout is down".into(),
        }
    }

    fn on(windows: &str, overridden: Option<&OverrideFreeze>) -> Result<Option<String>, Error> {
        let saturday = "2026-11-21T06:40:00Z".parse().unwrap();
        decide(windows, saturday, overridden)
    }

    #[test]
    fn inside_of_the_windows_nothing_is_said() {
        for windows in ["", "Sat 00:00-24:00 UTC"] {
            assert_eq!(on(windows, None), Ok(None));
            assert_eq!(on(windows, Some(&ada())), Ok(None));
        }
    }

    #[test]
    fn outside_of_them_a_person_and_a_reason_are_needed() {
        let windows = "Mon-Fri 09:00-16:00 Europe/Berlin";
        let Err(Error::InvalidRequest(why)) = on(windows, None) else {
            panic!("it is Saturday");
        };
        assert!(
            why.contains("opens on Mon 2026-11-23 09:00 Europe/Berlin"),
            "{why}"
        );
        assert!(why.contains("overrideFreeze"), "{why}");
        let told = on(windows, Some(&ada())).unwrap().unwrap();
        assert!(
            told.starts_with("the release windows were overridden by Ada: checkout is down (releases begin Mon-Fri"),
            "{told}"
        );
    }

    #[test]
    fn windows_that_cannot_be_read_are_closed() {
        let windows = "office hours";
        let Err(Error::InvalidRequest(why)) = on(windows, None) else {
            panic!("it must not be open");
        };
        assert!(why.contains("ReleaseWindows cannot be read"), "{why}");
        assert!(on(windows, Some(&ada())).unwrap().is_some());
    }
}
