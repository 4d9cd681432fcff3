//! What readings and counts mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a release's health, best first: where several are put together, the worst wins.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Looked at, with enough data, and nothing found.
    Healthy,
    /// Too little data to decide. Never a pass.
    Inconclusive,
    /// Something is wrong.
    Unhealthy,
}
