//! How a shift by DNS reaches clients: Route 53 puts the change in force, and then resolvers forget the old answer.

use serde::{Deserialize, Serialize};

/// How often Route 53 is asked at first whether a change is in force, seconds: an account has five requests a second
/// for everything.
pub const IN_SYNC_CHECK_SECONDS: u32 = 10;

/// How long a change takes to be in force as a rule, seconds. What takes longer is asked about less and less often.
/// Where Route 53 cannot be asked, this long is waited
/// (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html>).
pub const IN_SYNC_USUAL_SECONDS: u32 = 60;

/// How long a change may take to be in force before the release is given up, seconds: the SDK's own
/// waiter's limit.
pub const IN_SYNC_LIMIT_SECONDS: u32 = 1800;

/// Returns how long is waited before Route 53 is asked again, seconds, once a change has been waited for so long: it
/// may become twice as long.
pub(super) fn next_sync_check(waited_seconds: u32) -> u32 {
    let next = if waited_seconds < IN_SYNC_USUAL_SECONDS {
        IN_SYNC_CHECK_SECONDS
    } else {
        waited_seconds
    };
    next.min(IN_SYNC_LIMIT_SECONDS.saturating_sub(waited_seconds))
}

/// Returns how many turns a shift is followed, at most: until it is in force, and one for resolvers to forget.
#[must_use]
pub fn sync_attempts() -> u32 {
    let (mut turns, mut waited) = (1, 0);
    while waited < IN_SYNC_LIMIT_SECONDS {
        waited += next_sync_check(waited);
        turns += 1;
    }
    turns
}

/// When a shift takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effective {
    /// As soon as AWS has answered.
    AtOnce,
    /// When Route 53 has put this change in force; none where the change's answer was lost.
    Later(Option<String>),
}

/// How far a shift by DNS has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Propagation {
    /// The change is in force. Resolvers are given this long to forget the old answer; it does not count as baking.
    Expiring {
        /// How long, seconds.
        lead_seconds: u32,
    },
    /// Route 53 has taken the change, and may not have put it in force yet.
    Pending {
        /// The change's id; none where its answer was lost, and only the time limit ends the wait.
        #[serde(default)]
        change_id: Option<String>,
        /// How long it has been waited for, seconds.
        waited_seconds: u32,
    },
}
