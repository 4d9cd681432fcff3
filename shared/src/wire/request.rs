//! What a user gives to `StartExecution`, read and checked in one place.
//!
//! [`Request::parse`] is the only door. It reports everything that is wrong at once, each with the
//! field's path and what would be right, before anything is touched. Types, ranges and names are
//! checked where a field is read (`deserr` gathers those); rules between fields are in `rules`.

mod code;
mod release;
mod rules;
mod smoke_test;
mod stage_wiring;
mod to_version;
mod traffic;

use deserr::Deserr;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

pub(crate) use self::code::Repository;
pub use self::code::{Code, ImageUri, S3Bucket, S3Key, S3ObjectVersion};
pub use self::release::{
    FunctionRequest, MAX_FUNCTIONS, MAX_HOLD_SECONDS, MAX_KEEP_VERSIONS, ReleaseRequest, Retention,
};
pub use self::smoke_test::{
    Expect, MAX_PAYLOAD_BYTES, MAX_POINTERS, MAX_VALIDATION_SECONDS, SmokeTest,
};
pub use self::stage_wiring::FrontDoorRequest;
pub use self::to_version::{ToVersion, request_of, request_on_record};
pub use self::traffic::{Alb, Behind, HttpApi, RestApi, Route53, Traffic};
use crate::domain::names::{Application, FunctionName, NameError, Version, ensure_length};
use crate::parse::bounds::{shown, text};
use crate::parse::carried;
use crate::parse::problem::{self, Problem, Problems};
use crate::parse::size;

/// What is requested, by the field `action`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Request {
    /// Release functions: `action` is `"release"` or absent.
    Release(Box<ReleaseRequest>),
    /// Put an application's traffic back on blue by hand, in flight or within retention: `action`
    /// is `"rollback"`.
    Rollback {
        /// The application, as its release named it.
        application: Application,
        /// Why, in the user's words, for the record: 1 to 1000 characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Release a version that was published before, as a rollback by hand: `action` is `"rollback"`, and
    /// there is a `toVersion`.
    #[serde(rename = "rollback")]
    ToVersion(ToVersion),
    /// Have a stage call an alias, and release nothing: `action` is `"wire"`.
    #[serde(rename_all = "camelCase")]
    Wire {
        /// The application, for locks and notifications.
        application: Application,
        /// The stage.
        front_door: FrontDoorRequest,
    },
    /// Put a stage back to how it was before it was wired: `action` is `"unwire"`.
    #[serde(rename_all = "camelCase")]
    Unwire {
        /// The application, for locks and notifications.
        application: Application,
        /// The stage.
        front_door: FrontDoorRequest,
    },
}

/// A rollback by hand.
#[derive(Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = with_rollback)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
struct RollbackRequest {
    /// The application, as its release named it.
    application: Application,
    /// Why, in your words, for the record: 1 to 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    #[deserr(default, from(Option<Reason>) = Reason::optional)]
    reason: Option<String>,
    /// A published version to return to, of any release. When absent, the release in flight is rolled back,
    /// or else the one that was promoted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Version")]
    #[deserr(default)]
    to_version: Option<Version>,
    /// The one function that returns to `toVersion`. When absent, all functions of the application do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    function_name: Option<FunctionName>,
}

/// A stage that is to call an alias.
#[derive(Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = with_wire)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
struct WireRequest {
    /// The application, for locks and notifications.
    application: Application,
    /// What is to call the alias.
    front_door: FrontDoorRequest,
}

/// A stage that is to be as it was before it was wired.
#[derive(Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = with_unwire)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
struct UnwireRequest {
    /// The application, for locks and notifications.
    application: Application,
    /// What is to be as it was before it was wired.
    front_door: FrontDoorRequest,
}

struct Reason(String);

impl Reason {
    fn optional(this: Option<Self>) -> Option<String> {
        this.map(|reason| reason.0)
    }
}

impl Deserr<Problems> for Reason {
    fn deserialize_from_value<V: deserr::IntoValue>(
        value: deserr::Value<V>,
        location: deserr::ValuePointerRef,
    ) -> Result<Self, Problems> {
        text(value, location, |reason| -> Result<_, NameError> {
            ensure_length(&reason, 1000)?;
            Ok(Self(reason))
        })
    }
}

fn with_rollback(schema: &mut Schema) {
    with_action(schema, "rollback");
    let together = json_schema!({ "functionName": ["toVersion"] });
    schema.insert("dependentRequired".to_owned(), together.into());
}

fn with_wire(schema: &mut Schema) {
    with_action(schema, "wire");
}

fn with_unwire(schema: &mut Schema) {
    with_action(schema, "unwire");
}

/// What an editor completes a request by; it is read past.
fn schema_field() -> Value {
    json!({
        "description": "The URL or path of this schema, for editors. Nothing is read from it.",
        "type": "string",
    })
}

fn with_action(schema: &mut Schema, action: &str) {
    let action = json_schema!({
        "description": "The action that is requested.",
        "const": action,
        "type": "string",
    });
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("action".to_owned(), action.into());
        properties.insert("$schema".to_owned(), schema_field());
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.push("action".into());
    }
}

impl Request {
    /// Reads and checks a request.
    ///
    /// Everything that is wrong is reported at once, up to [`MOST_PROBLEMS`]; a request that is too
    /// deep or too large is not read any further than that.
    pub fn parse(input: &Value) -> Result<Self, Problems> {
        if let Some(problem) = size::check(input) {
            return Err(Problems::one(problem.path, problem.message));
        }
        let Value::Object(fields) = input else {
            let message = format!("must be an object, not {}", shown_json(input));
            return Err(Problems::one(problem::ROOT, message));
        };
        let mut fields = fields.clone();
        // What editors complete and check a request by, and nothing to carry out.
        match fields.remove("$schema") {
            None | Some(Value::String(_)) => {}
            Some(other) => {
                let message = format!(
                    "must be the URL or path of a schema, not {}",
                    shown_json(&other)
                );
                return Err(Problems::one("$schema", message));
            }
        }
        let action = fields.remove("action");
        match action.as_ref().map(|action| (action, action.as_str())) {
            None | Some((_, Some("release"))) => release(fields, Vec::new()),
            Some((_, Some("rollback"))) => rollback(fields),
            Some((_, Some("wire"))) => {
                let WireRequest {
                    application,
                    front_door,
                } = front_door(fields)?;
                Ok(Self::Wire {
                    application,
                    front_door,
                })
            }
            Some((_, Some("unwire"))) => {
                let UnwireRequest {
                    application,
                    front_door,
                } = front_door(fields)?;
                Ok(Self::Unwire {
                    application,
                    front_door,
                })
            }
            Some((action, _)) => {
                let shown = shown_json(action);
                let message = format!(
                    "must be \"release\", \"rollback\", \"wire\" or \"unwire\", not {shown}"
                );
                // Only a release has functions, so the rest can be reported as well.
                let problem = Problem {
                    path: "action".to_owned(),
                    message,
                };
                if fields.contains_key("functions") {
                    release(fields, vec![problem])
                } else {
                    Err(Problems::one(problem.path, problem.message))
                }
            }
        }
    }

    /// The application that is meant.
    #[must_use]
    pub fn application(&self) -> &Application {
        match self {
            Self::Release(release) => &release.application,
            Self::ToVersion(to) => &to.application,
            Self::Rollback { application, .. }
            | Self::Wire { application, .. }
            | Self::Unwire { application, .. } => application,
        }
    }

    /// The JSON Schema of a request, as `statemachine/request.schema.json` keeps it. It says what a
    /// schema can: rules between fields are left to [`Request::parse`].
    #[must_use]
    pub fn schema() -> Value {
        crate::parse::schema::of::<Self>()
    }
}

/// A value as an operator would name it in a sentence.
fn shown_json(value: &Value) -> String {
    shown::<Value>(&deserr::IntoValue::into_value(value.clone()))
}

/// Reads a rollback by hand.
fn rollback(fields: Map<String, Value>) -> Result<Request, Problems> {
    let fields = Value::Object(fields);
    let broken = Problems::found(rules::broken_rollback(&fields));
    let RollbackRequest {
        application,
        reason,
        to_version,
        function_name,
    } = match (deserr::deserialize::<_, _, Problems>(fields), broken) {
        (Ok(request), None) => request,
        (Ok(_), Some(broken)) => return Err(broken),
        (Err(wrong), broken) => return Err(wrong.and(broken)),
    };
    Ok(match to_version {
        Some(to_version) => Request::ToVersion(ToVersion {
            application,
            to_version,
            function_name,
            reason,
        }),
        None => Request::Rollback {
            application,
            reason,
        },
    })
}

/// Reads a request about a stage alone.
fn front_door<T: Deserr<Problems>>(fields: Map<String, Value>) -> Result<T, Problems> {
    let fields = Value::Object(fields);
    let broken = Problems::found(rules::broken_stage_wiring(&fields));
    match (deserr::deserialize::<T, _, Problems>(fields), broken) {
        (Ok(request), None) => Ok(request),
        (Ok(_), Some(broken)) => Err(broken),
        (Err(wrong), broken) => Err(wrong.and(broken)),
    }
}

/// Reads a release, knowing of `problems` already.
fn release(fields: Map<String, Value>, mut problems: Vec<Problem>) -> Result<Request, Problems> {
    let fields = Value::Object(fields);
    problems.extend(rules::broken(&fields));
    match (
        deserr::deserialize::<ReleaseRequest, _, Problems>(fields),
        Problems::found(problems),
    ) {
        (Ok(release), None) => Ok(Request::Release(Box::new(release.with_control()))),
        (Ok(_), Some(broken)) => Err(broken),
        (Err(wrong), broken) => Err(wrong.and(broken)),
    }
}

impl<'de> Deserialize<'de> for Request {
    /// Through [`Request::parse`], so that serde cannot go round it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let input = Value::deserialize(deserializer)?;
        Self::parse(&input).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ReleaseRequest {
    /// Through [`Request::parse`], so that serde cannot go round it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Request::deserialize(deserializer)? {
            Request::Release(release) => Ok(*release),
            Request::Rollback { .. }
            | Request::ToVersion(_)
            | Request::Wire { .. }
            | Request::Unwire { .. } => Err(serde::de::Error::custom("this is not a release")),
        }
    }
}

carried!(
    Code,
    Expect,
    FrontDoorRequest,
    FunctionRequest,
    Retention,
    SmokeTest,
    Traffic
);

/// The schema of what requests `action`.
fn is(action: &str) -> Value {
    json!({ "properties": { "action": { "const": action } }, "required": ["action"] })
}

impl JsonSchema for Request {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Request".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "Crossfade request",
            "description": "The input of a Crossfade execution: a release, a rollback by hand, or a stage to wire or unwire.",
            "type": "object",
            // Rather than `oneOf`, so that a validator names the mistake and not just "neither".
            "if": is("rollback"),
            "then": generator.subschema_for::<RollbackRequest>(),
            "else": {
                "if": is("wire"),
                "then": generator.subschema_for::<WireRequest>(),
                "else": {
                    "if": is("unwire"),
                    "then": generator.subschema_for::<UnwireRequest>(),
                    "else": generator.subschema_for::<ReleaseRequest>(),
                },
            },
        })
    }
}
