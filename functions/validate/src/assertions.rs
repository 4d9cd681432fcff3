//! Whether an answer is what a smoke test expects.
//!
//! Which HTTP integration the function's callers use is not known here, so an answer passes when it is as
//! expected for the client of one of them.

use crossfade::display::truncate;
use crossfade::{
    aws::functions::Invocation,
    domain::answer::{self, Integration, Response, at, equal, readings},
    wire::request::Expect,
};
use serde_json::Value;

/// How many of a test's failures are reported: all of a train's go into one Cause.
const TOLD: usize = 5;

/// What is not as expected, a sentence each; nothing when all is. `took_ms` is how long the
/// invocation took, milliseconds.
pub(crate) fn failures(expect: &Expect, answer: &Invocation, took_ms: f64) -> Vec<String> {
    let payload = as_value(&answer.payload);
    let mut failures = Vec::new();
    if let Some(kind) = &answer.function_error {
        // The message is the function's own; the payload that caused it is not repeated.
        let message = payload
            .get("errorMessage")
            .and_then(Value::as_str)
            .unwrap_or("no message");
        failures.push(format!("the function failed ({kind}): {}", cut(message)));
    }
    if let Some(ceiling) = expect.max_duration_ms
        && took_ms > f64::from(ceiling)
    {
        failures.push(format!(
            "took {took_ms:.0} ms, at most {ceiling} ms are allowed"
        ));
    }
    failures.extend(of_the_most_lenient_door(expect, &answer.payload, &payload));
    let left_out = failures.len().saturating_sub(TOLD);
    failures.truncate(TOLD);
    if left_out > 0 {
        failures.push(format!("and {left_out} more"));
    }
    failures
}

/// The failures through the integration through which there are fewest.
fn of_the_most_lenient_door(expect: &Expect, payload: &[u8], answer: &Value) -> Vec<String> {
    let through = |reading| {
        let mut failures: Vec<String> = of_status(expect, payload, answer, reading)
            .into_iter()
            .collect();
        let response = reading.map(|(_, response)| response);
        failures.extend(of_body(expect, payload, answer, response));
        failures
    };
    readings(payload)
        .iter()
        .map(|(integration, response)| through(Some((*integration, response))))
        .min_by_key(Vec::len)
        // No integration makes a response of it: perhaps the function has no HTTP clients.
        .unwrap_or_else(|| through(None))
}

fn of_status(
    expect: &Expect,
    payload: &[u8],
    answer: &Value,
    reading: Option<(Integration, &Response)>,
) -> Option<String> {
    let wanted = expect.status_code?;
    let Some((integration, response)) = reading else {
        let why = answer::through(Integration::HttpApiV2, payload).err();
        let why = why.map_or_else(String::new, |why| format!(": {}", why.0));
        return Some(format!(
            "no HTTP integration makes a response with status {wanted} of the answer{}",
            cut(&why)
        ));
    };
    if response.status == wanted {
        return None;
    }
    let given = answer.get("statusCode").is_some() || integration == Integration::Streaming;
    let how = if given {
        ""
    } else {
        " (inferred: the answer has none)"
    };
    Some(format!(
        "statusCode is {}{how}, not {wanted}",
        response.status
    ))
}

fn of_body(
    expect: &Expect,
    payload: &[u8],
    answer: &Value,
    response: Option<&Response>,
) -> Vec<String> {
    let mut failures = Vec::new();
    if let Some(wanted) = &expect.body_contains {
        let body = response.map_or(payload, |response| &response.body);
        if !String::from_utf8_lossy(body).contains(wanted) {
            failures.push(format!("the body does not contain {:?}", cut(wanted)));
        }
    }
    for (pointer, wanted) in &expect.json {
        let found = at(answer, response, pointer);
        match found.first() {
            None => failures.push(format!("there is nothing at {pointer:?}")),
            Some(_) if found.iter().any(|found| equal(found, wanted)) => {}
            Some(first) => failures.push(format!(
                "{pointer:?} is {}, not {}",
                cut(&first.to_string()),
                cut(&wanted.to_string())
            )),
        }
    }
    failures
}

/// The answer as JSON; text where it is none.
fn as_value(payload: &[u8]) -> Value {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()))
}

/// Truncates an answer: it may be megabytes, and the evidence goes into a Cause.
fn cut(text: &str) -> String {
    truncate(text, 200)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NONE: [&str; 0] = [];

    fn expect(value: Value) -> Expect {
        serde_json::from_value(value).unwrap()
    }

    fn answer(payload: &Value) -> Invocation {
        raw(payload.to_string().as_bytes())
    }

    fn raw(payload: &[u8]) -> Invocation {
        Invocation {
            function_error: None,
            payload: payload.to_vec(),
            log_tail: String::new(),
        }
    }

    #[test]
    fn fails_a_function_error_whatever_is_expected() {
        let failed = Invocation {
            function_error: Some("Unhandled".into()),
            ..answer(&json!({"errorType": "Boom", "errorMessage": "out of luck"}))
        };
        assert_eq!(
            failures(&Expect::default(), &failed, 1.0),
            ["the function failed (Unhandled): out of luck"]
        );
    }

    #[test]
    fn judges_each_expectation() {
        let good =
            answer(&json!({"statusCode": 200, "body": "{\"ok\":true,\"deep\":{\"n\":[1,2]}}"}));
        let all = expect(
            json!({"statusCode": 200, "maxDurationMs": 50, "bodyContains": "ok",
            "json": {"/body/ok": true, "/body/deep/n/1": 2, "/statusCode": 200}}),
        );
        assert_eq!(failures(&all, &good, 50.0), NONE);
        for (wrong, says) in [
            (json!({"statusCode": 201}), "statusCode is 200, not 201"),
            (
                json!({"maxDurationMs": 49}),
                "took 50 ms, at most 49 ms are allowed",
            ),
            (
                json!({"bodyContains": "okay"}),
                "the body does not contain \"okay\"",
            ),
            (
                json!({"json": {"/body/ok": false}}),
                "\"/body/ok\" is true, not false",
            ),
            (
                json!({"json": {"/nowhere": 1}}),
                "there is nothing at \"/nowhere\"",
            ),
        ] {
            assert_eq!(failures(&expect(wrong), &good, 50.0), [says]);
        }
    }

    #[test]
    fn passes_what_one_of_the_integrations_makes_of_the_answer() {
        for (payload, expected) in [
            // Adapters encode bodies.
            (
                &br#"{"statusCode":200,"isBase64Encoded":true,"body":"eyJkYiI6dHJ1ZSwibiI6MTB9"}"#
                    [..],
                json!({"statusCode": 200, "bodyContains": "\"db\":true", "json": {"/body/db": true, "/body/n": 10.0}}),
            ),
            // Streaming functions answer a prelude and a body.
            (
                &b"{\"statusCode\":200,\"headers\":{\"x\":\"y\"}}\0\0\0\0\0\0\0\0{\"ok\":true}"[..],
                json!({"statusCode": 200, "bodyContains": "ok", "json": {"/body/ok": true, "/headers/x": "y"}}),
            ),
            (
                &br#"{"statusCode":"201","body":""}"#[..],
                json!({"statusCode": 201, "json": {"/statusCode": 201}}),
            ),
            (
                &br#"{"statusCode":"201","body":""}"#[..],
                json!({"json": {"/statusCode": "201"}}),
            ),
            // HTTP APIs infer what is missing.
            (
                &br#"{"ok":true,"count":10}"#[..],
                json!({"statusCode": 200, "bodyContains": "ok", "json": {"/ok": true, "/body/ok": true, "/count": 1e1}}),
            ),
            (
                &br#""pong""#[..],
                json!({"statusCode": 200, "bodyContains": "pong", "json": {"": "pong"}}),
            ),
            (
                &b"pong"[..],
                json!({"statusCode": 200, "bodyContains": "pong"}),
            ),
            (
                &br#"{"body":"pong"}"#[..],
                json!({"statusCode": 200, "json": {"/body": "pong"}}),
            ),
            (
                &br#"{"statusCode":200,"statusDescription":"200 OK","body":"pong"}"#[..],
                json!({"statusCode": 200, "bodyContains": "pong"}),
            ),
            // A function without HTTP clients.
            (
                &br#"{"errorMessage":"none","queued":3}"#[..],
                json!({"bodyContains": "queued", "json": {"/queued": 3.0}}),
            ),
        ] {
            let found = failures(&expect(expected.clone()), &raw(payload), 1.0);
            assert_eq!(
                found,
                NONE,
                "{}: {expected}",
                String::from_utf8_lossy(payload)
            );
        }
    }

    #[test]
    fn fails_what_no_integration_makes_of_the_answer() {
        for (payload, expected, says) in [
            (
                &br#"{"statusCode":"test"}"#[..],
                json!({"statusCode": 200}),
                "no HTTP integration makes a response with status 200 of the answer: statusCode is \"test\", not 100 to 599",
            ),
            (
                &br#"{"ok":true}"#[..],
                json!({"statusCode": 503}),
                "statusCode is 200 (inferred: the answer has none), not 503",
            ),
            (
                &b"{\"statusCode\":503}\0\0\0\0\0\0\0\0"[..],
                json!({"statusCode": 200}),
                "statusCode is 503, not 200",
            ),
            (
                &br#"{"statusCode":200,"isBase64Encoded":true,"body":"cG9uZw=="}"#[..],
                json!({"bodyContains": "ping"}),
                "the body does not contain \"ping\"",
            ),
            (
                &b"\xff\xfe"[..],
                json!({"bodyContains": "ping"}),
                "the body does not contain \"ping\"",
            ),
            (
                &br#"{"n":9007199254740993}"#[..],
                json!({"json": {"/n": 9_007_199_254_740_992_u64}}),
                "\"/n\" is 9007199254740993, not 9007199254740992",
            ),
        ] {
            assert_eq!(failures(&expect(expected), &raw(payload), 1.0), [says]);
        }
    }

    #[test]
    fn tells_a_few_of_many_failures() {
        let pointers: serde_json::Map<_, _> =
            (0..50).map(|nth| (format!("/{nth}"), json!(nth))).collect();
        let told = failures(
            &expect(json!({ "json": pointers })),
            &answer(&json!({})),
            1.0,
        );
        assert_eq!((told.len(), told[TOLD].as_str()), (TOLD + 1, "and 45 more"));
    }

    #[test]
    fn cuts_a_long_answer() {
        let long = answer(&json!({"statusCode": "x".repeat(10_000)}));
        assert!(failures(&expect(json!({"statusCode": 200})), &long, 1.0)[0].len() < 400);
    }
}
