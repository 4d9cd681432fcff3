//! What several of the judge's tests judge.

use crate::domain::analysis::counts::{Counts, Minute, PastShare};

/// A minute of a function, `at` minutes after the first: requests and errors of each version.
pub(super) fn minute(at: i64, green: (u64, u64), blue: (u64, u64)) -> Minute {
    let counts = |(invocations, errors)| Counts {
        invocations,
        errors,
        ..Counts::default()
    };
    Minute {
        start: 60 * at,
        green: counts(green),
        blue: counts(blue),
        green_p99_ms: None,
    }
}

/// A past of plain errors: 1 % of 100,000 requests, 1.2 % in its worst hour that counts.
pub(super) fn past() -> PastShare {
    PastShare {
        requests: 100_000,
        hits: 1000,
        highest_rate: 0.012,
        ..PastShare::default()
    }
}
