//! What the subscription filter lets through: lines that mean failure, and those by which an environment begins
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>).
//!
//! A healthy function sends a line for each environment that begins, and nothing else.

use super::deaf::Format;

/// The longest pattern that CloudWatch Logs takes, characters.
pub const LONGEST: usize = 1024;

const TEXT: &str = r#"?INIT_START ?"Status: error" ?"Status: failure" ?"Status: timeout" ?"Invoke Error" ?"[ERROR] " ?"Task timed out""#;

const JSON: [&str; 6] = [
    r#"$.type = "platform.initStart""#,
    r#"$.type = "platform.report" && $.record.status != "success""#,
    r#"$.type = "platform.initReport" && $.record.status != "success""#,
    r#"$.level = "ERROR" && $.errorType = "*""#,
    r#"$.level = "ERROR" && $.message.errorType = "*""#,
    r#"$.log_level = "ERROR" && $.errorType = "*""#,
];

/// Returns the filter's pattern for a log format, with the team's own pattern in it where there is one.
#[must_use]
pub fn pattern(format: Format, own: Option<&str>) -> String {
    match format {
        Format::Text => {
            let own =
                own.map(|own| format!(r#" ?"{}""#, own.replace('\\', r"\\").replace('"', "\\\"")));
            format!("{TEXT}{}", own.unwrap_or_default())
        }
        Format::Json => {
            let parts = JSON.into_iter().chain(own).map(|part| format!("({part})"));
            format!("{{ {} }}", parts.collect::<Vec<_>>().join(" || "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_room_for_the_longest_of_the_teams_own() {
        let own = "\"".repeat(crate::domain::analysis::live::LONGEST_PATTERN);
        for format in [Format::Text, Format::Json] {
            assert!(pattern(format, Some(&own)).len() <= LONGEST, "{format:?}");
        }
    }

    #[test]
    fn takes_the_teams_own_in() {
        let text = pattern(Format::Text, Some(r#"status="500""#));
        assert!(text.ends_with(r#" ?"status=\"500\"""#), "{text}");
        let json = pattern(Format::Json, Some("$.status >= 500"));
        assert!(json.ends_with(" || ($.status >= 500) }"), "{json}");
        assert!(!pattern(Format::Json, None).contains("()"));
    }
}
