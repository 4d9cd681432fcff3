//! How a release ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a deployment ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantNames,
    JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    /// Green has all traffic.
    Successful,
    /// There was nothing to release.
    NoChange,
    /// Blue has all traffic again.
    RolledBack,
    /// Traffic is as it is, and an operator has to look.
    Held,
    /// Nothing was begun.
    Rejected,
}
