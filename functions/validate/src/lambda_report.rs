//! Lambda's own report of an invocation, from the tail of its log.

use serde_json::Value;

/// What the tail reports; nothing where it holds no report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// How long the handler ran, milliseconds.
    pub(crate) duration_ms: Option<f64>,
    /// How long the environment took to start, milliseconds: its initialization, or its restoration from
    /// a snapshot. Absent when it was warm.
    pub(crate) cold_start_ms: Option<f64>,
    /// Whether Lambda reported at all: without a report nothing is known of the start.
    pub(crate) is_there: bool,
}

/// One line of Lambda's own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    /// At the end of the invocation.
    Report {
        duration: Option<f64>,
        start: Option<f64>,
    },
    /// At the end of one phase of the start: a phase that failed or took too long is begun again.
    Phase(f64),
}

impl Report {
    /// Reads both forms that a tail may have: text lines, and platform events as JSON (<https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html>).
    pub(crate) fn of(log_tail: &str) -> Self {
        let mut report = Self::default();
        let mut start = None;
        let mut phases = None;
        for line in log_tail.lines().filter_map(|line| read(line.trim())) {
            match line {
                Line::Report {
                    duration,
                    start: reported,
                } => {
                    report.is_there = true;
                    report.duration_ms = duration;
                    start = reported;
                }
                Line::Phase(took) => phases = Some(phases.unwrap_or(0.0) + took),
            }
        }
        // The report has the last phase only, or none where the start continued within the invocation.
        report.cold_start_ms = start.into_iter().chain(phases).reduce(f64::max);
        report
    }
}

fn read(line: &str) -> Option<Line> {
    if line.starts_with('{') {
        return json(line);
    }
    text(line)
}

fn json(line: &str) -> Option<Line> {
    let event: Value = serde_json::from_str(line).ok()?;
    let metrics = &event["record"]["metrics"];
    let number = |name: &str| metrics[name].as_f64();
    match event["type"].as_str()? {
        "platform.report" => Some(Line::Report {
            duration: number("durationMs"),
            start: sum(number("initDurationMs"), number("restoreDurationMs")),
        }),
        "platform.initReport" | "platform.restoreReport" => number("durationMs").map(Line::Phase),
        _ => None,
    }
}

/// `REPORT RequestId: …\tDuration: 3.21 ms\tBilled Duration: 4 ms\t…\tInit Duration: 120.10 ms`, and
/// `INIT_REPORT Init Duration: 10000.12 ms\tPhase: init\tStatus: timeout`.
fn text(line: &str) -> Option<Line> {
    let (kind, fields) = line.split_once(' ')?;
    let field = |name: &str| -> Option<f64> {
        fields.split('\t').find_map(|field| {
            field
                .trim()
                .strip_prefix(name)?
                .strip_suffix(" ms")?
                .parse()
                .ok()
        })
    };
    let start = sum(field("Init Duration: "), field("Restore Duration: "));
    match kind {
        "REPORT" => Some(Line::Report {
            duration: field("Duration: "),
            start,
        }),
        "INIT_REPORT" | "RESTORE_REPORT" => start.map(Line::Phase),
        _ => None,
    }
}

/// Both where there are both, and the one there is otherwise.
fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter()
        .chain(other)
        .reduce(|one, other| one + other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(duration_ms: f64, cold_start_ms: Option<f64>) -> Report {
        Report {
            duration_ms: Some(duration_ms),
            cold_start_ms,
            is_there: true,
        }
    }

    #[test]
    fn reads_an_initialization_from_text() {
        let tail = "START RequestId: 8f5 Version: 7\nEND RequestId: 8f5\nREPORT RequestId: 8f5\tDuration: 3.21 ms\t\
                    Billed Duration: 124 ms\tMemory Size: 128 MB\tMax Memory Used: 21 MB\tInit Duration: 120.10 ms\t\n";
        assert_eq!(Report::of(tail), report(3.21, Some(120.1)));
    }

    #[test]
    fn reads_a_restoration_from_text() {
        let tail = "RESTORE_START Runtime Version: java:21.v40\nRESTORE_REPORT Restore Duration: 3008.12 ms\n\
                    START RequestId: 8f5 Version: 7\nEND RequestId: 8f5\nREPORT RequestId: 8f5\tDuration: 3.21 ms\t\
                    Billed Duration: 24 ms\tMemory Size: 512 MB\tMax Memory Used: 121 MB\tRestore Duration: 3008.12 ms\t\
                    Billed Restore Duration: 21 ms\t\n";
        assert_eq!(Report::of(tail), report(3.21, Some(3008.12)));
        let without_phases = tail.lines().skip(2).collect::<Vec<_>>().join("\n");
        assert_eq!(Report::of(&without_phases), report(3.21, Some(3008.12)));
    }

    #[test]
    fn adds_up_the_phases_of_a_start_that_was_begun_again() {
        let tail = "INIT_REPORT Init Duration: 10000.25 ms\tPhase: init\tStatus: timeout\n\
                    START RequestId: 8f5 Version: 7\nINIT_REPORT Init Duration: 4000.25 ms\tPhase: invoke\tStatus: error\tError Type: X\n\
                    REPORT RequestId: 8f5\tDuration: 4100.00 ms\tBilled Duration: 4100 ms\tMemory Size: 128 MB\n";
        assert_eq!(Report::of(tail), report(4100.0, Some(14_000.5)));
        let json = r#"{"type":"platform.initReport","record":{"phase":"init","status":"timeout","metrics":{"durationMs":10000.25}}}
{"type":"platform.initReport","record":{"phase":"invoke","status":"success","metrics":{"durationMs":4000.25}}}
{"type":"platform.report","record":{"status":"success","metrics":{"durationMs":4100.0}}}"#;
        assert_eq!(Report::of(json), report(4100.0, Some(14_000.5)));
    }

    #[test]
    fn reads_no_start_of_a_warm_environment() {
        let tail =
            "REPORT RequestId: 8f5\tDuration: 3.21 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB";
        assert_eq!(Report::of(tail), report(3.21, None));
    }

    #[test]
    fn reads_the_json_form() {
        let tail = r#"{"time":"2026-11-20T12:00:00Z","type":"platform.start","record":{}}
{"level":"INFO","message":"REPORT of the day"}
{"time":"2026-11-20T12:00:00Z","type":"platform.report","record":{"metrics":{"durationMs":101.5,"initDurationMs":90.25}}}"#;
        assert_eq!(Report::of(tail), report(101.5, Some(90.25)));
        let restored = r#"{"type":"platform.restoreReport","record":{"status":"success","metrics":{"durationMs":700.5}}}
{"type":"platform.report","record":{"metrics":{"durationMs":101.5,"restoreDurationMs":700.5}}}"#;
        assert_eq!(Report::of(restored), report(101.5, Some(700.5)));
    }

    #[test]
    fn reads_nothing_where_nothing_is_reported() {
        assert_eq!(Report::of("hello\nREPORTS\n{}"), Report::default());
        assert_eq!(Report::of(""), Report::default());
        assert!(!Report::of("{\"level\":\"INFO\"}").is_there);
    }
}
