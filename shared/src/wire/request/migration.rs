//! The user's own functions that a release calls: a migration, and hooks.

use deserr::Deserr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::Problems;
use super::smoke_test::Payload;
use crate::domain::bounds::Whole;
use crate::domain::names::Callee;

/// The longest that one call of a user's function is waited for, seconds: Lambda runs a function for 15
/// minutes at most, and Crossfade's own has to outlast it.
pub const MAX_CALL_SECONDS: u32 = 840;

/// The longest that a hook may say IN_PROGRESS, seconds: a day.
pub const MAX_HOOK_SECONDS: u32 = 86_400;

/// The largest payload of a migration, in bytes of JSON.
pub(super) const MAX_MIGRATION_PAYLOAD_BYTES: usize = 10_000;

/// A function of yours that changes the database for green, before green gets any traffic. It is invoked
/// once, with `idempotencyKey`, `phase`, `direction` (`up`), `application`, `release` and `functions`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct MigrationRequest {
    /// The function, with or without an alias or a version: `chat-migrate`, `chat-migrate:live`. Its name
    /// begins with the stack's `TargetFunctionPrefix`.
    pub function_name: Callee,
    /// How long it may take, in seconds: 1 to 840. Its own timeout should be no longer.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 840))]
    #[deserr(
        default = default_timeout_seconds(),
        from(Whole<1, MAX_CALL_SECONDS>) = u32::from
    )]
    pub timeout_seconds: u32,
    /// Which half of a change this is.
    #[serde(default)]
    #[deserr(default)]
    pub phase: Phase,
    /// What becomes of it when green turns out bad.
    #[serde(default)]
    #[deserr(default)]
    pub after_rollback: AfterRollback,
    /// Handed to the function as `payload`: any JSON, at most 10000 bytes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default, from(Option<Payload<MAX_MIGRATION_PAYLOAD_BYTES>>) = Payload::optional)]
    pub payload: Option<Value>,
}

const fn default_timeout_seconds() -> u32 {
    300
}

/// Which half of a change of the database a migration is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum Phase {
    /// It adds what green needs and takes nothing from blue. It runs before the first shift.
    #[default]
    Expand,
    /// It takes away what only an older version needed: a release of its own, which is refused while blue
    /// of the last one is kept, and asks a person before the migration runs.
    Contract,
}

/// What becomes of a migration when green turns out bad.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr,
)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
pub enum AfterRollback {
    /// Once all traffic is back on blue, the function is invoked with the direction `down`.
    #[default]
    RollBack,
    /// Blue cannot work with the new schema: what would roll back leaves the traffic as it is, and calls
    /// people. Only they roll back.
    Freeze,
}

/// Functions of yours that are asked on the way, each with `hook`, `application`, `release`, `functions`
/// (names, aliases and versions), `step` and `weight`. They answer `{"hookStatus": "SUCCEEDED"}`, `"FAILED"`,
/// or `"IN_PROGRESS"` to be asked again in `callBackDelay` seconds (30 when absent), or later where an execution has no
/// room for so many calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct Hooks {
    /// Before each shift: FAILED rolls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub before_shift: Option<HookRequest>,
    /// After each shift, before its bake: FAILED rolls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub after_shift: Option<HookRequest>,
    /// After green was promoted: FAILED is told, and changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub after_promote: Option<HookRequest>,
    /// After all traffic went back to blue, where green had some: FAILED is told, and changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub after_rollback: Option<HookRequest>,
}

impl Hooks {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A function of yours that is asked at one point of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct HookRequest {
    /// The function, with or without an alias or a version. Its name begins with the stack's
    /// `TargetFunctionPrefix`.
    pub function_name: Callee,
    /// How long it may take in all until it has succeeded or failed, in seconds: 1 to 86400 (a day).
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    #[deserr(
        default = default_timeout_seconds(),
        from(Whole<1, MAX_HOOK_SECONDS>) = u32::from
    )]
    pub timeout_seconds: u32,
}
