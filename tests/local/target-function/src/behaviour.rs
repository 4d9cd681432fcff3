//! How a version behaves.

use std::path::PathBuf;
use std::{env, fs, io};

use serde::Deserialize;
use serde_json::Value;

/// The contents of `behaviour.json`. An unknown field is an error: a misspelt one would make a
/// healthy version of what a test meant to be a bad one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // Switches that have nothing to do with each other.
pub(crate) struct Behaviour {
    /// The label it answers with.
    pub(crate) version: String,
    /// How many of 100 invocations return an error.
    pub(crate) error_rate_percent: f64,
    /// Events whose `path` is this never fail: what a smoke test asks for, and misses.
    pub(crate) spare_path: Option<String>,
    /// How long every invocation takes.
    pub(crate) latency_ms: u64,
    /// How many of 100 invocations take `slow_ms` longer.
    pub(crate) slow_rate_percent: f64,
    pub(crate) slow_ms: u64,
    /// End the process in the middle of an invocation.
    pub(crate) crash: bool,
    /// How long initialisation takes: the cold start.
    pub(crate) init_ms: u64,
    pub(crate) status_code: StatusCode,
    /// Answered as it is, instead of `{"version": …}`.
    pub(crate) body: Option<String>,
    /// Put the event in the answer.
    pub(crate) echo: bool,
    /// Answered as they are, one after the other and then the last again and again; with `echo`, each has
    /// the event in it.
    pub(crate) answers: Vec<Value>,
    /// Log each error that it returns as Python's runtime does, in the function's log format.
    pub(crate) logs_errors: bool,
    /// Log this line with each answer.
    pub(crate) logs: Option<String>,
    /// Answers as a streaming function does: a prelude with the status, and the body.
    pub(crate) stream: bool,
}

/// An HTTP status, 200 unless told otherwise.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct StatusCode(u16);

impl From<StatusCode> for u16 {
    fn from(code: StatusCode) -> Self {
        code.0
    }
}

impl Default for StatusCode {
    fn default() -> Self {
        Self(200)
    }
}

impl Behaviour {
    /// Reads the file beside the binary. Without one it is a healthy version called `unknown`.
    pub(crate) fn read() -> Result<Self, io::Error> {
        let root =
            env::var_os("LAMBDA_TASK_ROOT").map_or_else(|| PathBuf::from("."), PathBuf::from);
        match fs::read(root.join("behaviour.json")) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                version: "unknown".into(),
                ..Self::default()
            }),
            Err(error) => Err(error),
        }
    }
}
