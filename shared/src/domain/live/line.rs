//! What a line of a function's log says: a failure, an environment that begins, or neither.
//!
//! Lambda's own records and the lines of its managed runtimes, in both log formats
//! (<https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html>). A handler that throws has the
//! status `success` in Lambda's record, so there only the runtime's line shows it. Nothing of a line is kept.

use serde_json::{Map, Value};

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// An invocation, or an environment's initialization, failed.
    Failed {
        /// How long it took, milliseconds, where the line has it.
        took_ms: Option<f64>,
    },
    /// An environment begins.
    Begins,
    /// Neither.
    Other,
}

/// The statuses of a platform record that mean failure.
const BAD: [&str; 3] = ["error", "failure", "timeout"];

impl Line {
    /// Reads a line. With `is_own`, the team's pattern has part in what is sent: a line that is none of Lambda's
    /// and was sent all the same is a failure by that pattern.
    #[must_use]
    pub fn read(message: &str, is_own: bool) -> Self {
        let message = message.trim_end();
        let json = message
            .starts_with('{')
            .then(|| serde_json::from_str(message));
        let (known, is_platforms) = match json {
            Some(Ok(Value::Object(object))) => of_object(&object),
            _ => of_text(message),
        };
        match known {
            Self::Other if is_own && !is_platforms => Self::Failed { took_ms: None },
            known => known,
        }
    }
}

/// What an object says, and whether it is Lambda's own record.
fn of_object(object: &Map<String, Value>) -> (Line, bool) {
    let word = |name: &str| object.get(name).and_then(Value::as_str);
    if let Some(kind) = word("type").filter(|kind| kind.starts_with("platform.")) {
        let record = object.get("record").unwrap_or(&Value::Null);
        let status = record["status"].as_str().unwrap_or_default();
        let line = match kind {
            "platform.report" | "platform.initReport" if BAD.contains(&status) => Line::Failed {
                took_ms: record["metrics"]["durationMs"].as_f64(),
            },
            "platform.initStart" => Line::Begins,
            _ => Line::Other,
        };
        return (line, true);
    }
    let is_error = word("level").or_else(|| word("log_level")) == Some("ERROR");
    let typed = |value: &Value| value["errorType"].is_string();
    let has_type = object.get("errorType").is_some_and(Value::is_string)
        || object.get("message").is_some_and(typed);
    let line = if is_error && has_type {
        Line::Failed { took_ms: None }
    } else {
        Line::Other
    };
    (line, false)
}

/// What a line of text says, and whether it is Lambda's own.
fn of_text(message: &str) -> (Line, bool) {
    let (first, _) = message.split_once('\n').unwrap_or((message, ""));
    let begins = |word: &str| first.starts_with(word);
    if begins("REPORT RequestId: ") || begins("INIT_REPORT ") {
        let field = |name: &str| {
            let mut fields = first.split('\t').filter_map(|part| part.split_once(": "));
            fields
                .find(|(is, _)| is.ends_with(name))
                .map(|(_, value)| value.trim())
        };
        let is_bad = field("Status").is_some_and(|status| BAD.contains(&status));
        let took_ms = field("Duration").and_then(|took| took.strip_suffix(" ms")?.parse().ok());
        let line = if is_bad {
            Line::Failed { took_ms }
        } else {
            Line::Other
        };
        return (line, true);
    }
    if begins("INIT_START ") {
        return (Line::Begins, true);
    }
    if begins("START RequestId: ") || begins("END RequestId: ") {
        return (Line::Other, true);
    }
    // Node.js, Python (whose logger has a tab after the word, where nothing need have failed), and Lambda itself.
    let failed = first.contains("\tERROR\tInvoke Error")
        || begins("[ERROR] ")
        || first.contains(" Task timed out after ");
    let line = if failed {
        Line::Failed { took_ms: None }
    } else {
        Line::Other
    };
    (line, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Line = Line::Failed { took_ms: None };

    fn took(ms: f64) -> Line {
        Line::Failed { took_ms: Some(ms) }
    }

    #[test]
    fn reads_lambdas_records() {
        let record = |kind: &str, status: &str| {
            format!(
                r#"{{"time":"2026-11-29T10:00:00.000Z","type":"platform.{kind}","record":{{"requestId":"r","status":"{status}","metrics":{{"durationMs":3000.5}}}}}}"#
            )
        };
        for bad in ["error", "timeout", "failure"] {
            assert_eq!(Line::read(&record("report", bad), false), took(3000.5));
            assert_eq!(Line::read(&record("initReport", bad), false), took(3000.5));
            assert_eq!(Line::read(&record("runtimeDone", bad), false), Line::Other);
        }
        for own in [false, true] {
            assert_eq!(Line::read(&record("report", "success"), own), Line::Other);
            assert_eq!(Line::read(&record("initStart", ""), own), Line::Begins);
            assert_eq!(Line::read(&record("start", ""), own), Line::Other);
        }
    }

    #[test]
    fn reads_what_managed_runtimes_log_in_json() {
        for line in [
            r#"{"timestamp":"t","level":"ERROR","requestId":"r","message":{"errorType":"TypeError","errorMessage":"m"}}"#,
            r#"{"timestamp":"t","log_level":"ERROR","errorType":"ValueError","errorMessage":"m","requestId":"r"}"#,
        ] {
            assert_eq!(Line::read(line, false), FAILED, "{line}");
        }
        for line in [
            r#"{"level":"ERROR","message":"a handled one"}"#,
            r#"{"level":"WARN","errorType":"ValueError"}"#,
            r#"{"level":"INFO","message":"ERROR"}"#,
            r#"{"level":"ERROR","#,
            "{}",
        ] {
            assert_eq!(Line::read(line, false), Line::Other, "{line}");
            assert_eq!(Line::read(line, true), FAILED, "{line}");
        }
    }

    #[test]
    fn reads_what_is_logged_as_text() {
        let report = "REPORT RequestId: r\tDuration: 12.50 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\t";
        assert_eq!(Line::read(report, true), Line::Other);
        for tail in [
            "Status: timeout",
            "Init Duration: 5.10 ms\tStatus: error\tError Type: Runtime.ExitError\n",
        ] {
            assert_eq!(Line::read(&format!("{report}{tail}"), false), took(12.5));
        }
        let init = "INIT_REPORT Init Duration: 10008.62 ms\tPhase: init\tStatus: timeout";
        assert_eq!(Line::read(init, false), took(10_008.62));
        let begins = "INIT_START Runtime Version: provided:al2023.v1\tRuntime Version ARN: a";
        assert_eq!(Line::read(begins, true), Line::Begins);
        for line in [
            "2026-11-29T10:00:00.000Z\tr\tERROR\tInvoke Error \t{\"errorType\":\"Error\"}",
            "2026-11-29T10:00:00.000Z\tr\tERROR\tInvoke Error\t{\"errorType\":\"Error\"}",
            "[ERROR] ValueError: no\nTraceback (most recent call last):",
            "2026-11-29T10:00:00.000Z 8c1e Task timed out after 3.00 seconds",
        ] {
            assert_eq!(Line::read(line, false), FAILED, "{line}");
        }
        for line in [
            "[ERROR]\t2026-11-29T10:00:00.000Z\tr\ta handled one",
            "2026-11-29T10:00:00.000Z\tr\tERROR\ta handled one",
            "all is well",
            "",
        ] {
            assert_eq!(Line::read(line, false), Line::Other, "{line}");
        }
        for line in ["START RequestId: r Version: 42", "END RequestId: r"] {
            assert_eq!(Line::read(line, true), Line::Other, "{line}");
        }
        assert_eq!(Line::read("GET /pay 500", true), FAILED);
    }
}
