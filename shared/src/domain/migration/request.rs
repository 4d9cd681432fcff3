//! The migration that a release requests.

use deserr::Deserr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    domain::{
        hook::request::{MAX_CALL_SECONDS, default_timeout_seconds},
        names::Callee,
    },
    parse::{bounds::Whole, payload::Payload, problem::Problems},
};

/// How long one call may take.
type CallSeconds = Whole<1, MAX_CALL_SECONDS>;

/// The largest payload of a migration, in bytes of JSON.
pub(crate) const MAX_MIGRATION_PAYLOAD_BYTES: usize = 10_000;

crate::parse::carried!(MigrationRequest);

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
    #[schemars(with = "CallSeconds")]
    #[deserr(
        default = default_timeout_seconds(),
        from(CallSeconds) = u32::from
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
    /// of the last one is kept, and asks an operator before the migration runs.
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
    /// operators. Only they roll back.
    Freeze,
}
