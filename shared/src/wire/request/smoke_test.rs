//! A smoke test: one invocation of green, and what it must answer.

use std::collections::BTreeMap;

use crate::parse::payload::Payload;
use deserr::{Deserr, IntoValue, Map as _, Value as Input, ValuePointerRef};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::names::{NameError, ensure, ensure_length};
use crate::parse::bounds::{HttpStatus, Milliseconds, Whole, quoted, shown, text, unexpected};
use crate::parse::problem::Problems;

/// The largest payload of a smoke test, in bytes of JSON.
pub const MAX_PAYLOAD_BYTES: usize = 100_000;

/// The most JSON pointers in one expectation.
pub const MAX_POINTERS: usize = 50;

/// How long the smoke tests of one function may take together, in seconds: a minute less than Lambda lets
/// the function that runs them.
pub const MAX_VALIDATION_SECONDS: u32 = 840;

/// One invocation of green itself, before it gets any traffic. It fails when the function answers
/// with an error, or when something expected is not so.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct SmokeTest {
    /// What it is called in the evidence: 1 to 64 characters, unlike the function's other tests.
    #[schemars(extend("minLength" = 1, "maxLength" = 64, "pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"))]
    #[deserr(from(TestName) = String::from)]
    pub name: String,
    /// The event that green is invoked with: any JSON, at most 100000 bytes of it. `{}` when absent.
    #[serde(default = "default_payload")]
    #[deserr(default = default_payload(), from(Payload<MAX_PAYLOAD_BYTES>) = Value::from)]
    pub payload: Value,
    /// The tenant that the invocation is for, of a function that isolates tenants: 1 to 256 letters, digits,
    /// spaces and `. _ : / = + - @`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 256, "pattern" = "^[a-zA-Z0-9._:/=+@ -]+$"))]
    #[deserr(default, from(Option<TenantId>) = TenantId::optional)]
    pub tenant_id: Option<String>,
    /// What must be so in the answer. When absent, only that the function did not fail.
    #[serde(default)]
    #[deserr(default)]
    pub expect: Expect,
}

/// What must be so in the answer. Everything given must hold; the function must not fail in any
/// case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
#[non_exhaustive]
pub struct Expect {
    /// The HTTP status that a client gets of the answer through one of AWS's HTTP integrations (API Gateway, a
    /// function URL, a load balancer): 100 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<HttpStatus>")]
    #[deserr(default, from(Option<HttpStatus>) = to_status)]
    pub status_code: Option<u16>,
    /// The longest that the invocation may take, in milliseconds: 1 to 900000, and at most 840000 for several
    /// tests of a function together. The answer is waited for as long, up to 840 seconds, and never requested
    /// twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Milliseconds>")]
    #[deserr(default, from(Option<Milliseconds>) = Whole::optional)]
    pub max_duration_ms: Option<u32>,
    /// Text that the body contains which a client gets, decoded (or, without one, the whole answer): 1 to
    /// 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    #[deserr(default, from(Option<BodyText>) = BodyText::optional)]
    pub body_contains: Option<String>,
    /// Values by their JSON pointer (RFC 6901) in the answer: `{"/body/ok": true}`. At most 50; the
    /// pointer `""` is the answer as a whole. Numbers are equal by what they are worth: 10 and 10.0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 50,
        "propertyNames" = { "pattern": "^(/([^/~]|~[01])*)*$" }
    ))]
    #[deserr(default, from(Pointers) = BTreeMap::from)]
    pub json: BTreeMap<String, Value>,
}

/// An object, because functions that read their event into a type refuse `null`.
fn default_payload() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The reader has the same bounds, all of which fit.
fn to_status(code: Option<HttpStatus>) -> Option<u16> {
    code.and_then(|code| u16::try_from(u32::from(code)).ok())
}

struct TestName(String);

impl From<TestName> for String {
    fn from(name: TestName) -> Self {
        name.0
    }
}

impl Deserr<Problems> for TestName {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        text(value, location, |name| -> Result<_, NameError> {
            let right =
                (1..=64).contains(&name.chars().count()) && !name.contains(char::is_control);
            ensure(right, || {
                let name = quoted(&name);
                format!(
                    "{name} is not a test name; use 1 to 64 characters and no control characters"
                )
            })?;
            Ok(Self(name))
        })
    }
}

struct TenantId(String);

impl TenantId {
    fn optional(this: Option<Self>) -> Option<String> {
        this.map(|tenant| tenant.0)
    }
}

impl Deserr<Problems> for TenantId {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        text(value, location, |tenant| -> Result<_, NameError> {
            let right = (1..=256).contains(&tenant.len())
                && tenant
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._:/=+-@ ".contains(&b));
            ensure(right, || {
                let tenant = quoted(&tenant);
                format!(
                    "{tenant} is not a tenant's id; use 1 to 256 letters, digits, spaces and . _ : / = + - @"
                )
            })?;
            Ok(Self(tenant))
        })
    }
}

struct BodyText(String);

impl BodyText {
    fn optional(this: Option<Self>) -> Option<String> {
        this.map(|text| text.0)
    }
}

impl Deserr<Problems> for BodyText {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        text(value, location, |body| -> Result<_, NameError> {
            ensure_length(&body, 1000)?;
            Ok(Self(body))
        })
    }
}

struct Pointers(BTreeMap<String, Value>);

impl From<Pointers> for BTreeMap<String, Value> {
    fn from(pointers: Pointers) -> Self {
        pointers.0
    }
}

impl Deserr<Problems> for Pointers {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        let Input::Map(map) = value else {
            let message = format!("must be an object of JSON pointers, not {}", shown(&value));
            return Err(unexpected(&message, location));
        };
        if map.len() > MAX_POINTERS {
            let message = format!(
                "has {} pointers; at most {MAX_POINTERS} are accepted",
                map.len()
            );
            return Err(unexpected(&message, location));
        }
        let mut pointers = BTreeMap::new();
        let mut problems = Vec::new();
        for (pointer, expected) in map.into_iter() {
            if is_pointer(&pointer) {
                pointers.insert(pointer, Value::from(expected.into_value()));
            } else {
                let message = "is not a JSON pointer; begin with \"/\", and write \"~\" as \"~0\" \
                               and \"/\" within a name as \"~1\"";
                let wrong: Problems = unexpected(message, location.push_key(&pointer));
                problems.extend(wrong.into_vec());
            }
        }
        Problems::found(problems).map_or(Ok(Self(pointers)), Err)
    }
}

/// RFC 6901: empty, or tokens that each begin with a slash, with `~` only in `~0` and `~1`.
fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && text
            .split('~')
            .skip(1)
            .all(|after| after.starts_with(['0', '1']))
}
