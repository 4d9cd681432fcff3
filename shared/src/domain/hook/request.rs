//! The hooks that a release requests.

use deserr::Deserr;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::names::Callee,
    parse::{bounds::Whole, problem::Problems},
};

/// How long a hook may take in all.
type HookSeconds = Whole<1, MAX_HOOK_SECONDS>;

/// The longest that one call of a user's function is waited for, seconds: Lambda runs a function for 15
/// minutes at most, and Crossfade's own has to outlast it.
pub const MAX_CALL_SECONDS: u32 = 840;

/// The longest that a hook may say IN_PROGRESS, seconds: a day.
pub const MAX_HOOK_SECONDS: u32 = 86_400;

crate::parse::carried!(HookRequest, Hooks);

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
    /// After green was promoted: FAILED is reported, and changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub after_promote: Option<HookRequest>,
    /// After all traffic returned to blue, where green had some: FAILED is reported, and changes nothing.
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
    #[schemars(with = "HookSeconds")]
    #[deserr(
        default = default_timeout_seconds(),
        from(HookSeconds) = u32::from
    )]
    pub timeout_seconds: u32,
}

/// How long a call of a user's function may take where the request says nothing, seconds.
pub(crate) const fn default_timeout_seconds() -> u32 {
    300
}
