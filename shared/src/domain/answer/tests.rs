use proptest::prelude::*;

use super::*;

/// The verdict is not documented, and nobody has recorded it.
const UNKNOWN: u16 = 0;

/// One answer of a function, and the status that a client gets through each integration.
struct Row {
    answer: &'static [u8],
    rest: u16,
    http_v1: u16,
    http_v2: u16,
    load_balancer: u16,
    /// What the client of the most lenient integration reads.
    body: &'static str,
}

const fn row(answer: &'static str, statuses: [u16; 4], body: &'static str) -> Row {
    bytes(answer.as_bytes(), statuses, body)
}

const fn bytes(answer: &'static [u8], statuses: [u16; 4], body: &'static str) -> Row {
    let [rest, http_v1, http_v2, load_balancer] = statuses;
    Row {
        answer,
        rest,
        http_v1,
        http_v2,
        load_balancer,
        body,
    }
}

/// The verdicts of AWS's own integrations. `[L]`: recorded by the validated tests of `LocalStack`
/// (`test_aws_proxy_response_payload_format_validation` of REST APIs, and of HTTP APIs `_v1` and `_v2`,
/// `test_lambda_aws_proxy_response_format`). `[N]`: recorded by AWS's own tests of its Lambda Test Tool
/// (`aws-lambda-dotnet`, `InvokeResponseExtensionsIntegrationTests`). `[R]`, `[H]`, `[U]`, `[A]`: the
/// developer guides on REST APIs, HTTP APIs, function URLs and load balancers.
///
/// REST API, HTTP API 1.0, HTTP API 2.0 and function URL, load balancer.
const VERDICTS: &[Row] = &[
    // The usual form [R][H][A].
    row(
        r#"{"statusCode":200,"headers":{"a":"b"},"body":"ok"}"#,
        [200, 200, 200, 200],
        "ok",
    ),
    row(
        r#"{"statusCode":200,"body":"{\"ok\":true}"}"#,
        [200, 200, 200, 200],
        r#"{"ok":true}"#,
    ),
    row(
        r#"{"statusCode":404,"body":"not here"}"#,
        [404, 404, 404, 404],
        "not here",
    ),
    row(r#"{"statusCode":500,"body":""}"#, [500, 500, 500, 500], ""),
    row(
        r#"{"statusCode":302,"headers":{"Location":"/x"},"body":""}"#,
        [302, 302, 302, 302],
        "",
    ),
    // No body [L].
    row(r#"{"statusCode":200}"#, [200, 200, 200, 200], ""),
    row(
        r#"{"statusCode":204,"body":null}"#,
        [204, 204, 204, 204],
        "",
    ),
    // Headers that are no text, or null [L].
    row(
        r#"{"statusCode":200,"headers":{"t":"v","flag":true}}"#,
        [200, 200, 200, UNKNOWN],
        "",
    ),
    row(
        r#"{"statusCode":200,"headers":{"n":1}}"#,
        [200, 200, 200, UNKNOWN],
        "",
    ),
    row(
        r#"{"statusCode":200,"headers":null}"#,
        [200, 200, 200, UNKNOWN],
        "",
    ),
    // A field that the integration does not know: a REST API refuses it [L], the others do not look.
    row(
        r#"{"statusCode":200,"wrongValue":"value"}"#,
        [502, 200, 200, 200],
        "",
    ),
    row(
        r#"{"statusCode":200,"statusDescription":"200 OK","body":"ok"}"#,
        [502, 200, 200, 200],
        "ok",
    ),
    row(
        r#"{"statusCode":200,"statusDescription":"200 OK","isBase64Encoded":false,"headers":{"Content-Type":"text/html"},"body":"<h1>Hello</h1>"}"#,
        [502, 200, 200, 200],
        "<h1>Hello</h1>",
    ),
    // No status code [L]: a REST API takes it for 200, an HTTP API 1.0 refuses it, 2.0 infers.
    row("{}", [200, 500, 200, 502], ""),
    row(
        r#"{"headers":{"test-header":"value"}}"#,
        [200, 500, 200, 502],
        "",
    ),
    row(
        r#"{"body":"only a body"}"#,
        [200, 500, 200, 502],
        "only a body",
    ),
    row(
        r#"{"random":{"json-body":"value"}}"#,
        [502, 500, 200, 502],
        r#"{"random":{"json-body":"value"}}"#,
    ),
    row(
        r#"{"message":"Hello, World!"}"#,
        [502, 500, 200, 502],
        r#"{"message":"Hello, World!"}"#,
    ),
    row(
        r#"{"statusCode":null,"body":"x"}"#,
        [UNKNOWN, 500, UNKNOWN, 502],
        "x",
    ),
    // As a failed function's answer, though it did not fail [L].
    row(
        r#"{"errorMessage":"test fake error message"}"#,
        [502, 500, 500, 502],
        "",
    ),
    row(r#""errorMessage""#, [502, 500, 200, 502], "errorMessage"),
    // Status codes that are text [L].
    row(r#"{"statusCode":"201"}"#, [201, 201, 201, UNKNOWN], ""),
    row(
        r#"{"statusCode":"503","body":"busy"}"#,
        [503, 503, 503, UNKNOWN],
        "busy",
    ),
    row(r#"{"statusCode":"test"}"#, [502, 500, 500, 502], ""),
    row(r#"{"statusCode":"200 OK"}"#, [502, 500, 500, 502], ""),
    row(r#"{"statusCode":""}"#, [502, 500, 500, 502], ""),
    // Status codes that are none [N].
    row(
        r#"{"statusCode":200.5,"body":"Hello"}"#,
        [502, 500, 500, 502],
        "",
    ),
    row(r#"{"statusCode":0}"#, [502, 500, 500, 502], ""),
    row(r#"{"statusCode":600}"#, [502, 500, 500, 502], ""),
    row(r#"{"statusCode":-200}"#, [502, 500, 500, 502], ""),
    row(r#"{"statusCode":true}"#, [502, 500, 500, 502], ""),
    row(r#"{"statusCode":[200]}"#, [502, 500, 500, 502], ""),
    // Base64 [R][H][A].
    row(
        r#"{"statusCode":200,"body":"dGVzdC1kYXRh","isBase64Encoded":true}"#,
        [200, 200, 200, 200],
        "test-data",
    ),
    row(
        r#"{"statusCode":200,"body":"dGVzdC1kYXRh","isBase64Encoded":false}"#,
        [200, 200, 200, 200],
        "dGVzdC1kYXRh",
    ),
    row(
        r#"{"statusCode":200,"body":"dGVzdC1kYXRh"}"#,
        [200, 200, 200, 200],
        "dGVzdC1kYXRh",
    ),
    row(
        r#"{"statusCode":200,"body":"eyJkYiI6dHJ1ZX0=","isBase64Encoded":true}"#,
        [200, 200, 200, 200],
        r#"{"db":true}"#,
    ),
    row(
        r#"{"statusCode":200,"body":"","isBase64Encoded":true}"#,
        [200, 200, 200, 200],
        "",
    ),
    // Headers of several values [L].
    row(
        r#"{"statusCode":200,"multiValueHeaders":{"m":["1","2"]}}"#,
        [200, 200, 200, 200],
        "",
    ),
    row(
        r#"{"statusCode":200,"multiValueHeaders":{"m":"1"}}"#,
        [502, 500, 200, UNKNOWN],
        "",
    ),
    // Cookies of format 2.0 [L].
    row(
        r#"{"statusCode":200,"cookies":["a=b","c=d"]}"#,
        [502, 200, 200, 200],
        "",
    ),
    row(
        r#"{"statusCode":200,"cookies":{"a":"b"}}"#,
        [502, 200, 500, 200],
        "",
    ),
    // A body that is no text [R].
    row(
        r#"{"statusCode":200,"body":{"ok":true}}"#,
        [502, UNKNOWN, UNKNOWN, UNKNOWN],
        r#"{"ok":true}"#,
    ),
    // No object at all [L][N].
    row(r#""just a string""#, [502, 500, 200, 502], "just a string"),
    row(
        r#""Special \"quoted\" text""#,
        [502, 500, 200, 502],
        r#"Special "quoted" text"#,
    ),
    row(r#""""#, [502, 500, 200, 502], ""),
    row("42", [502, 500, 200, 502], "42"),
    row("true", [502, 500, 200, 502], "true"),
    row("null", [UNKNOWN, UNKNOWN, 200, UNKNOWN], "null"),
    row("[1, 2, 3, 4, 5]", [502, 500, 200, 502], "[1, 2, 3, 4, 5]"),
    // No JSON at all [N].
    row("Hello, World!", [502, 500, 200, 502], "Hello, World!"),
    row(
        r#"{"name": "John Doe", "age":"#,
        [502, 500, 200, 502],
        r#"{"name": "John Doe", "age":"#,
    ),
    row("{invalid json}", [502, 500, 200, 502], "{invalid json}"),
    row("", [502, 500, 200, 502], ""),
    bytes(
        b"\xff\xfe\x00binary",
        [502, 500, 200, 502],
        "\u{fffd}\u{fffd}\0binary",
    ),
    // Names in another case are no names [R]: .NET's classes without the serializer's attributes.
    row(
        r#"{"StatusCode":200,"Body":"x"}"#,
        [502, 500, 200, 502],
        r#"{"StatusCode":200,"Body":"x"}"#,
    ),
];

#[test]
fn reads_answers_as_aws_integrations_do() {
    assert!(VERDICTS.len() >= 40, "{}", VERDICTS.len());
    for row in VERDICTS {
        let shown = String::from_utf8_lossy(row.answer);
        let verdicts = [
            (Integration::RestApi, row.rest),
            (Integration::HttpApiV1, row.http_v1),
            (Integration::HttpApiV2, row.http_v2),
            (Integration::LoadBalancer, row.load_balancer),
        ];
        for (integration, wanted) in verdicts {
            if wanted == UNKNOWN {
                continue;
            }
            let found = through(integration, row.answer);
            let status = found
                .as_ref()
                .map_or_else(|_| integration.error_status(), |response| response.status);
            assert_eq!(status, wanted, "{shown} through {integration:?}: {found:?}");
        }
        let bodies: Vec<_> = readings(row.answer)
            .iter()
            .map(|(_, response)| response.text())
            .collect();
        let nobody_reads_it = bodies.is_empty() && row.body.is_empty();
        assert!(
            nobody_reads_it || bodies.iter().any(|body| body == row.body),
            "{shown}: {bodies:?}"
        );
    }
}

/// "Response streaming": a JSON prelude, eight NUL bytes, and then the body.
#[test]
fn reads_streamed_responses() {
    for (payload, status, body) in [
        (
            &b"{\"statusCode\":200,\"headers\":{\"Content-Type\":\"text/plain\"}}\0\0\0\0\0\0\0\0hello"[..],
            200,
            "hello",
        ),
        (&b"{\"statusCode\":503,\"cookies\":[\"a=b\"]}\0\0\0\0\0\0\0\0"[..], 503, ""),
        (&b"{}\0\0\0\0\0\0\0\0{\"db\":true}"[..], 200, "{\"db\":true}"),
        (&b"{\"statusCode\":\"201\"}\0\0\0\0\0\0\0\0\0\0x"[..], 201, "\0\0x"),
        (&b"{\"headers\":{}}\0\0\0\0\0\0\0\0\xff"[..], 200, "\u{fffd}"),
    ] {
        let found = readings(payload);
        let shown = String::from_utf8_lossy(payload);
        let [(Integration::Streaming, response)] = found.as_slice() else {
            panic!("{shown}: {found:?}");
        };
        assert_eq!((response.status, response.text().as_str()), (status, body), "{shown}");
    }
    // What only looks like it is a body.
    for payload in [
        &b"{\"statusCode\":200}\0\0\0\0\0\0\0"[..],
        &b"{\"other\":200}\0\0\0\0\0\0\0\0x"[..],
        &b"\0\0\0\0\0\0\0\0x"[..],
    ] {
        let found = readings(payload);
        let bodies: Vec<_> = found.iter().map(|(_, response)| &response.body).collect();
        assert_eq!(bodies, [&payload.to_vec()]);
    }
}

#[test]
fn finds_what_a_pointer_names_in_the_answer_and_in_the_response() {
    let answer = json!({"statusCode": "200", "isBase64Encoded": true, "body": STANDARD.encode(r#"{"db":true}"#)});
    let found = readings(answer.to_string().as_bytes());
    let response = found.first().map(|(_, response)| response);
    let first = |pointer| at(&answer, response, pointer).first().cloned();
    assert_eq!(first("/body/db"), Some(json!(true)));
    assert_eq!(first("/statusCode"), Some(json!(200)));
    assert!(at(&answer, response, "/statusCode").contains(&json!("200")));
    assert!(at(&answer, response, "/body").contains(&json!(r#"{"db":true}"#)));
    assert_eq!(first("/body/none"), None);
    assert_eq!(at(&answer, None, "/isBase64Encoded"), [json!(true)]);
}

#[test]
fn compares_numbers_by_what_they_are_worth() {
    let read = |text: &str| -> Value { serde_json::from_str(text).expect("it is JSON") };
    for (one, other) in [
        ("10", "10.0"),
        ("10", "1e1"),
        ("-3", "-3.0"),
        ("0", "-0.0"),
        ("1.5", "15e-1"),
        ("18446744073709551615", "18446744073709551615"),
        ("[1, {\"a\": 2}]", "[1.0, {\"a\": 2.0}]"),
        ("1e300", "1e300"),
    ] {
        assert!(equal(&read(one), &read(other)), "{one} and {other}");
        assert!(equal(&read(other), &read(one)), "{other} and {one}");
    }
    for (one, other) in [
        ("10", "10.1"),
        ("9007199254740993", "9007199254740992.0"),
        ("18446744073709551615", "18446744073709551614"),
        ("9223372036854775807", "9223372036854775806"),
        ("10", "\"10\""),
        ("0", "false"),
        ("[1]", "[1, 2]"),
        ("{\"a\": 1}", "{\"b\": 1}"),
        ("1e300", "1"),
    ] {
        assert!(!equal(&read(one), &read(other)), "{one} and {other}");
    }
}

proptest! {
    /// Whatever a function answers, reading it neither panics nor makes up a status.
    #[test]
    fn reads_any_bytes(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, response) in readings(&payload) {
            prop_assert!((100..=599).contains(&response.status));
        }
    }
}
