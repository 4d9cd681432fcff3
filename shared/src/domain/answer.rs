//! What a client of AWS's HTTP integrations gets from what a function answered.
//!
//! Each HTTP integration reads a function's answer by rules of its own; [`through`] holds them. A release does
//! not know which integration a function's callers use, so [`readings`] yields the response of every integration that
//! would not turn the answer into an error of its own.
//!
//! Sources: the developer guides of API Gateway ("Lambda proxy integrations for REST APIs", "Lambda proxy
//! integrations for HTTP APIs"), Lambda ("Invoking Lambda function URLs", "Response streaming") and Elastic
//! Load Balancing ("Lambda functions as targets"); and, where the guides are silent or wrong, responses of
//! AWS that others have recorded: `LocalStack`'s validated tests `apigateway/test_apigateway_lambda.py`
//! and AWS's own `aws-lambda-dotnet`, `LambdaTestTool-v2`.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Number, Value, json};

/// What separates the prelude of a streamed response from its body.
const SEPARATOR: [u8; 8] = [0; 8];

/// A HTTP integration of AWS, as far as integrations differ in how they read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Integration {
    /// A REST API of API Gateway, with Lambda proxy integration.
    RestApi,
    /// An HTTP API with payload format 1.0.
    HttpApiV1,
    /// An HTTP API with payload format 2.0, or a function URL.
    HttpApiV2,
    /// An Application Load Balancer.
    LoadBalancer,
    /// A function URL with the invoke mode `RESPONSE_STREAM`, or a REST API that streams.
    Streaming,
}

impl Integration {
    /// All of them, those with the strictest rules first.
    pub const ALL: [Self; 5] = [
        Self::RestApi,
        Self::HttpApiV1,
        Self::LoadBalancer,
        Self::HttpApiV2,
        Self::Streaming,
    ];

    /// The status with which the integration answers its client when it cannot read the function's answer.
    #[must_use]
    pub fn error_status(self) -> u16 {
        match self {
            Self::RestApi | Self::LoadBalancer | Self::Streaming => 502,
            Self::HttpApiV1 | Self::HttpApiV2 => 500,
        }
    }
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers that the function set, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, decoded.
    pub body: Vec<u8>,
}

impl Response {
    fn plain(body: Vec<u8>, content_type: &str) -> Self {
        Self {
            status: 200,
            headers: BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]),
            body,
        }
    }

    /// Returns the body as text. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Describes the response as JSON, with a body that is JSON as such.
    fn value(&self, body: &Value) -> Value {
        json!({ "statusCode": self.status, "headers": self.headers, "body": body })
    }
}

/// Why a HTTP integration answers with an error of its own: what it found, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

/// Returns what a client gets through one HTTP integration.
///
/// # Errors
/// [`Malformed`] when the integration answers with [`Integration::error_status`] in the function's place.
pub fn through(integration: Integration, payload: &[u8]) -> Result<Response, Malformed> {
    if integration == Integration::Streaming {
        return streamed(payload);
    }
    let parsed: Option<Value> = serde_json::from_slice(payload).ok();
    match (integration, &parsed) {
        (Integration::HttpApiV2, Some(Value::Object(answer))) => inferring(answer, payload),
        // A JSON string is its text; everything else is the body as it came, JSON or not.
        (Integration::HttpApiV2, Some(Value::String(text))) => Ok(Response::plain(
            text.clone().into_bytes(),
            "application/json",
        )),
        (Integration::HttpApiV2, _) => Ok(Response::plain(payload.to_vec(), "application/json")),
        (_, Some(Value::Object(answer))) => proxied(integration, answer),
        (_, Some(other)) => Err(Malformed(format!(
            "the answer is {}, not an object",
            kind(other)
        ))),
        (_, None) => Err(Malformed("the answer is not JSON".to_owned())),
    }
}

/// Returns the response of each integration that makes one of the answer; equal ones once.
#[must_use]
pub fn readings(payload: &[u8]) -> Vec<(Integration, Response)> {
    let mut found: Vec<(Integration, Response)> = Vec::new();
    let streams = split(payload).is_some();
    for integration in Integration::ALL {
        // A prelude is for clients of streams only, and without one a stream is a body as it is.
        if streams != (integration == Integration::Streaming) {
            continue;
        }
        if let Ok(response) = through(integration, payload)
            && found.iter().all(|(_, other)| *other != response)
        {
            found.push((integration, response));
        }
    }
    found
}

/// An answer with a status code of its own, or none: then all of it is the body.
fn inferring(answer: &Map<String, Value>, payload: &[u8]) -> Result<Response, Malformed> {
    if answer.contains_key("statusCode") {
        return proxied(Integration::HttpApiV2, answer);
    }
    if answer.contains_key("errorMessage") {
        return Err(Malformed(
            "the answer has an errorMessage, as a failed function's".to_owned(),
        ));
    }
    Ok(Response::plain(payload.to_vec(), "application/json"))
}

/// An object with `statusCode`, `headers`, `body` and what else the integration knows.
fn proxied(integration: Integration, answer: &Map<String, Value>) -> Result<Response, Malformed> {
    const OF_REST: [&str; 5] = [
        "statusCode",
        "headers",
        "multiValueHeaders",
        "body",
        "isBase64Encoded",
    ];
    if integration == Integration::RestApi
        && let Some(unknown) = answer.keys().find(|key| !OF_REST.contains(&key.as_str()))
    {
        return Err(Malformed(format!(
            "the answer has the field {unknown:?}, which a REST API does not take"
        )));
    }
    let status = match answer.get("statusCode").unwrap_or(&Value::Null) {
        Value::Null if integration == Integration::RestApi => 200,
        found => status(integration, found)?,
    };
    let mut headers = headers(answer.get("headers"))?;
    if integration != Integration::HttpApiV2 {
        headers.extend(many(answer.get("multiValueHeaders"))?);
    }
    if integration == Integration::HttpApiV2
        && !matches!(
            answer.get("cookies"),
            None | Some(Value::Null | Value::Array(_))
        )
    {
        return Err(Malformed("cookies is not a list".to_owned()));
    }
    let text = match answer.get("body").unwrap_or(&Value::Null) {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // Not documented of this integration; the others refuse it.
        other if integration == Integration::HttpApiV2 => other.to_string(),
        other => return Err(Malformed(format!("body is {}, not text", kind(other)))),
    };
    let body = if answer.get("isBase64Encoded") == Some(&Value::Bool(true)) {
        STANDARD
            .decode(text.trim())
            .map_err(|_| Malformed("body is not base64, and isBase64Encoded is true".to_owned()))?
    } else {
        text.into_bytes()
    };
    Ok(Response {
        status,
        headers,
        body,
    })
}

fn status(integration: Integration, found: &Value) -> Result<u16, Malformed> {
    let code = match found {
        Value::Number(number) => exact(number).and_then(|code| u16::try_from(code).ok()),
        // API Gateway takes "201" for 201; of load balancers that is not documented.
        Value::String(text) if integration != Integration::LoadBalancer && text.len() == 3 => {
            text.parse().ok()
        }
        _ => None,
    };
    code.filter(|code| (100..=599).contains(code))
        .ok_or_else(|| Malformed(format!("statusCode is {found}, not 100 to 599")))
}

fn headers(found: Option<&Value>) -> Result<BTreeMap<String, String>, Malformed> {
    match found {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(headers)) => Ok(headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), bare(value)))
            .collect()),
        Some(other) => Err(Malformed(format!(
            "headers is {}, not an object",
            kind(other)
        ))),
    }
}

fn many(found: Option<&Value>) -> Result<BTreeMap<String, String>, Malformed> {
    let Some(Value::Object(headers)) = found else {
        return match found {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(other) => Err(Malformed(format!(
                "multiValueHeaders is {}, not an object",
                kind(other)
            ))),
        };
    };
    headers
        .iter()
        .map(|(name, values)| match values {
            Value::Array(values) => {
                let all: Vec<String> = values.iter().map(bare).collect();
                Ok((name.to_lowercase(), all.join(", ")))
            }
            other => Err(Malformed(format!(
                "multiValueHeaders.{name} is {}, not a list",
                kind(other)
            ))),
        })
        .collect()
}

/// The prelude and the body of a response that was streamed with one.
fn split(payload: &[u8]) -> Option<(Map<String, Value>, &[u8])> {
    const OF_PRELUDES: [&str; 4] = ["statusCode", "headers", "multiValueHeaders", "cookies"];
    let at = payload
        .windows(SEPARATOR.len())
        .position(|window| window == SEPARATOR)?;
    let prelude: Map<String, Value> = serde_json::from_slice(&payload[..at]).ok()?;
    let known = prelude
        .keys()
        .all(|key| OF_PRELUDES.contains(&key.as_str()));
    known.then_some((prelude, &payload[at + SEPARATOR.len()..]))
}

fn streamed(payload: &[u8]) -> Result<Response, Malformed> {
    let Some((prelude, body)) = split(payload) else {
        return Ok(Response::plain(
            payload.to_vec(),
            "application/octet-stream",
        ));
    };
    let status = match prelude.get("statusCode").unwrap_or(&Value::Null) {
        Value::Null => 200,
        found => status(Integration::Streaming, found)?,
    };
    let mut headers = headers(prelude.get("headers"))?;
    headers.extend(many(prelude.get("multiValueHeaders"))?);
    Ok(Response {
        status,
        headers,
        body: body.to_vec(),
    })
}

/// Returns what a JSON pointer finds: in the answer as it came, and in the client's response, whose body
/// is looked into where it is JSON. Empty when nothing is there.
#[must_use]
pub fn at(answer: &Value, response: Option<&Response>, pointer: &str) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    if let Some(response) = response {
        let parsed = serde_json::from_slice(&response.body).ok();
        let bodies = parsed.into_iter().chain([Value::String(response.text())]);
        found.extend(bodies.filter_map(|body| response.value(&body).pointer(pointer).cloned()));
    }
    found.extend(answer.pointer(pointer).cloned());
    found
}

/// Whether two JSON values are equal, numbers by what they are worth: `10`, `10.0` and `1e1` are.
#[must_use]
pub fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (exact(one), exact(other)) {
            (Some(one), Some(other)) => one == other,
            (None, None) => one.as_f64() == other.as_f64(),
            _ => false,
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|other| equal(value, other)))
        }
        (one, other) => one == other,
    }
}

/// The whole number that this is, however it is written; `None` of a fraction, and of what is beyond all
/// integers.
fn exact(number: &Number) -> Option<i128> {
    const BEYOND: f64 = 1e38;
    if let Some(whole) = number.as_i128() {
        return Some(whole);
    }
    let float = number.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is whole, and within i128"
    )]
    (float.fract() == 0.0 && float.abs() < BEYOND).then_some(float as i128)
}

fn bare(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
