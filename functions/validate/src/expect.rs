//! Whether an answer is what a smoke test expects.

use crossfade::{aws::functions::Invocation, wire::request::Expect};
use serde_json::Value;

/// How many of a test's failures are told: all of a train's go into one Cause.
const TOLD: usize = 5;

/// What is not as expected, a sentence each; nothing when all is. `took_ms` is how long the
/// invocation took, milliseconds.
pub(crate) fn failures(expect: &Expect, answer: &Invocation, took_ms: f64) -> Vec<String> {
    let mut failures = Vec::new();
    if let Some(kind) = &answer.function_error {
        // The message is the function's own; the payload that caused it is not repeated.
        let message = answer
            .payload
            .get("errorMessage")
            .and_then(Value::as_str)
            .unwrap_or("no message");
        failures.push(format!("the function failed ({kind}): {}", cut(message)));
    }
    if let Some(wanted) = expect.status_code {
        let got = &answer.payload["statusCode"];
        if got.as_u64() != Some(u64::from(wanted)) {
            failures.push(format!(
                "statusCode is {}, not {wanted}",
                cut(&got.to_string())
            ));
        }
    }
    if let Some(ceiling) = expect.max_duration_ms
        && took_ms > f64::from(ceiling)
    {
        failures.push(format!(
            "took {took_ms:.0} ms, at most {ceiling} ms are allowed"
        ));
    }
    if let Some(wanted) = &expect.body_contains {
        let body = match answer.payload.get("body") {
            Some(Value::String(body)) => body.clone(),
            Some(other) => other.to_string(),
            None => answer.payload.to_string(),
        };
        if !body.contains(wanted) {
            failures.push(format!("the body does not contain {:?}", cut(wanted)));
        }
    }
    for (pointer, wanted) in &expect.json {
        match at(&answer.payload, pointer) {
            None => failures.push(format!("there is nothing at {pointer:?}")),
            Some(got) if got != *wanted => {
                failures.push(format!(
                    "{pointer:?} is {}, not {}",
                    cut(&got.to_string()),
                    cut(&wanted.to_string())
                ));
            }
            Some(_) => {}
        }
    }
    let left_out = failures.len().saturating_sub(TOLD);
    failures.truncate(TOLD);
    if left_out > 0 {
        failures.push(format!("and {left_out} more"));
    }
    failures
}

/// The value at a JSON pointer. A `body` that is JSON in a string, as API Gateway wants it, is
/// looked into.
fn at(answer: &Value, pointer: &str) -> Option<Value> {
    if let Some(found) = answer.pointer(pointer) {
        return Some(found.clone());
    }
    let within = pointer.strip_prefix("/body")?;
    let body: Value = serde_json::from_str(answer.get("body")?.as_str()?).ok()?;
    body.pointer(within).cloned()
}

/// Enough to tell what it is: an answer may be megabytes, and the evidence goes into a Cause.
fn cut(text: &str) -> String {
    const MOST: usize = 200;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expect(value: Value) -> Expect {
        serde_json::from_value(value).unwrap()
    }

    fn answer(payload: Value) -> Invocation {
        Invocation {
            function_error: None,
            payload,
            log_tail: String::new(),
        }
    }

    #[test]
    fn a_function_error_fails_whatever_is_expected() {
        let failed = Invocation {
            function_error: Some("Unhandled".into()),
            ..answer(json!({"errorType": "Boom", "errorMessage": "out of luck"}))
        };
        assert_eq!(
            failures(&Expect::default(), &failed, 1.0),
            ["the function failed (Unhandled): out of luck"]
        );
    }

    #[test]
    fn each_expectation_can_fail_and_can_hold() {
        let good =
            answer(json!({"statusCode": 200, "body": "{\"ok\":true,\"deep\":{\"n\":[1,2]}}"}));
        let all = expect(
            json!({"statusCode": 200, "maxDurationMs": 50, "bodyContains": "ok",
            "json": {"/body/ok": true, "/body/deep/n/1": 2, "/statusCode": 200}}),
        );
        assert_eq!(failures(&all, &good, 50.0), Vec::<String>::new());
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
    fn of_many_failures_a_few_are_told() {
        let pointers: serde_json::Map<_, _> =
            (0..50).map(|nth| (format!("/{nth}"), json!(nth))).collect();
        let told = failures(
            &expect(json!({ "json": pointers })),
            &answer(json!({})),
            1.0,
        );
        assert_eq!((told.len(), told[TOLD].as_str()), (TOLD + 1, "and 45 more"));
    }

    #[test]
    fn a_long_answer_is_cut() {
        let long = answer(json!({"statusCode": "x".repeat(10_000)}));
        assert!(failures(&expect(json!({"statusCode": 200})), &long, 1.0)[0].len() < 300);
    }
}
