//! The record of a step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Timestamp, analysis::verdict::Verdict, weight::Weight};

/// A step that was taken, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Percent of traffic on green.
    pub weight: Weight,
    /// When the shift was requested, by Step Functions' clock.
    pub started_at: Timestamp,
    /// When the weight was in force for clients, where that is later: DNS. None until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force_at: Option<Timestamp>,
    /// When the step was over; none while it bakes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What the last look said; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}
