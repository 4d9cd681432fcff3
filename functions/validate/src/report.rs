//! Lambda's own report of an invocation, from the tail of its log.

use serde_json::Value;

/// What the report says; nothing where the tail holds none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// How long the handler ran, milliseconds.
    pub(crate) duration_ms: Option<f64>,
    /// How long the environment took to start, milliseconds; only after a cold start.
    pub(crate) init_ms: Option<f64>,
}

impl Report {
    /// Reads both forms that a tail may have: the text line, and `platform.report` as JSON
    /// (AWS-FACTS 1.7).
    pub(crate) fn of(log_tail: &str) -> Self {
        log_tail
            .lines()
            .rev()
            .find_map(|line| json(line).or_else(|| text(line)))
            .unwrap_or_default()
    }
}

fn json(line: &str) -> Option<Report> {
    let event: Value = serde_json::from_str(line.trim()).ok()?;
    if event["type"] != "platform.report" {
        return None;
    }
    let metrics = &event["record"]["metrics"];
    Some(Report {
        duration_ms: metrics["durationMs"].as_f64(),
        init_ms: metrics["initDurationMs"].as_f64(),
    })
}

/// `REPORT RequestId: …\tDuration: 3.21 ms\tBilled Duration: 4 ms\t…\tInit Duration: 120.10 ms`
fn text(line: &str) -> Option<Report> {
    let fields = line.trim().strip_prefix("REPORT ")?;
    let field = |name: &str| {
        fields.split('\t').find_map(|field| {
            field
                .trim()
                .strip_prefix(name)?
                .strip_suffix(" ms")?
                .parse()
                .ok()
        })
    };
    Some(Report {
        duration_ms: field("Duration: "),
        init_ms: field("Init Duration: "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_start_shows_in_text() {
        let tail = "START RequestId: 8f5 Version: 7\nEND RequestId: 8f5\nREPORT RequestId: 8f5\tDuration: 3.21 ms\t\
                    Billed Duration: 124 ms\tMemory Size: 128 MB\tMax Memory Used: 21 MB\tInit Duration: 120.10 ms\t\n";
        assert_eq!(
            Report::of(tail),
            Report {
                duration_ms: Some(3.21),
                init_ms: Some(120.1)
            }
        );
    }

    #[test]
    fn a_warm_one_has_none() {
        let tail =
            "REPORT RequestId: 8f5\tDuration: 3.21 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB";
        assert_eq!(
            Report::of(tail),
            Report {
                duration_ms: Some(3.21),
                init_ms: None
            }
        );
    }

    #[test]
    fn the_json_form_is_read_too() {
        let tail = r#"{"time":"2026-11-20T12:00:00Z","type":"platform.start","record":{}}
{"time":"2026-11-20T12:00:00Z","type":"platform.report","record":{"metrics":{"durationMs":101.5,"initDurationMs":90.25}}}"#;
        assert_eq!(
            Report::of(tail),
            Report {
                duration_ms: Some(101.5),
                init_ms: Some(90.25)
            }
        );
    }

    #[test]
    fn a_tail_without_a_report_says_nothing() {
        assert_eq!(Report::of("hello\nREPORT\n{}"), Report::default());
        assert_eq!(Report::of(""), Report::default());
    }
}
