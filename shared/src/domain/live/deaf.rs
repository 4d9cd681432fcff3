//! Where the fast lane receives nothing, or not all, and what to change.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many subscription filters a log group takes: 2, which no request raises
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>).
pub const SLOTS: usize = 2;

/// A function's log format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// Lines of text: the default.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// How a version logs, by its `LoggingConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// The format.
    pub format: Format,
    /// The log group's name.
    pub group: String,
    /// The least level of the code's own lines; none where there is none, as for text.
    pub application_level: Option<String>,
    /// The least level of Lambda's own records; none where there is none, as for text.
    pub system_level: Option<String>,
    /// Whether it brings its own runtime, or an image: Lambda's runtimes log an error that the handler returns, others
    /// need not.
    pub is_custom: bool,
}

/// A log group, as far as it can be subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Whether its class is the standard one.
    pub is_standard: bool,
    /// The names of the subscription filters on it.
    pub filters: Vec<String>,
}

/// Why nothing can be received of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deaf {
    /// It has no log group yet, or no permission to make one.
    NoGroup(String),
    /// Others have both subscription filters.
    SlotsTaken(String, Vec<String>),
    /// The group's class takes no subscription filter.
    Class(String),
    /// Lambda's own records are left out.
    SystemLevel(String),
    /// Blue and green log in two groups or formats: one filter cannot receive both.
    Unlike,
    /// The team's pattern is not one of the log format.
    Pattern(Format),
    /// Clients, not requests, are routed, or there is no blue to compare with.
    NotRouted,
}

impl fmt::Display for Deaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroup(group) => write!(
                f,
                "there is no log group {group}; let the function's role write logs, and invoke it once"
            ),
            Self::SlotsTaken(group, names) => write!(
                f,
                "log group {group} has {SLOTS} subscription filters already ({}), and takes no more; remove one of them",
                names.join(", ")
            ),
            Self::Class(group) => write!(
                f,
                "log group {group} is not of the Standard class, and takes no subscription filter; log to a group of that class"
            ),
            Self::SystemLevel(level) => write!(
                f,
                "Lambda's own records are logged from {level} on, so that nothing shows whether anything is received; set \
                 LoggingConfig.SystemLogLevel to INFO"
            ),
            Self::Unlike => f.write_str(
                "blue and green log to two groups or in two formats; failures are received again from the next release on",
            ),
            Self::Pattern(Format::Json) => f.write_str(
                "analysis.liveErrors.pattern is no condition on a field of JSON, which is how the function logs; write it \
                 such as $.status >= 500",
            ),
            Self::Pattern(Format::Text) => f.write_str(
                "analysis.liveErrors.pattern is a condition on a field of JSON, and the function logs text; set \
                 LoggingConfig.LogFormat to JSON, or write a text that such a line has in it",
            ),
            Self::NotRouted => f.write_str(
                "its traffic is not routed request by request between blue and green, so that the next failure could be \
                 either's",
            ),
        }
    }
}

/// Decides whether failures of a function can be received. `ours` is the name of the filter that a release puts, which
/// does not stand in its own way.
///
/// # Errors
/// Why not.
pub fn check(
    blue: &Logging,
    green: &Logging,
    group: Option<&Group>,
    own: Option<&str>,
    ours: &str,
) -> Result<(), Deaf> {
    if (&blue.group, blue.format) != (&green.group, green.format) {
        return Err(Deaf::Unlike);
    }
    let name = || green.group.clone();
    let group = group.ok_or_else(|| Deaf::NoGroup(name()))?;
    if !group.is_standard {
        return Err(Deaf::Class(name()));
    }
    let others: Vec<_> = group
        .filters
        .iter()
        .filter(|name| *name != ours)
        .cloned()
        .collect();
    if others.len() >= SLOTS {
        return Err(Deaf::SlotsTaken(name(), others));
    }
    for logging in [blue, green] {
        if let Some(level) = logging
            .system_level
            .as_ref()
            .filter(|level| *level == "WARN")
        {
            return Err(Deaf::SystemLevel(level.clone()));
        }
    }
    if let Some(own) = own {
        let is_condition = own.starts_with('$') || own.starts_with('(');
        if is_condition != (green.format == Format::Json) {
            return Err(Deaf::Pattern(green.format));
        }
    }
    Ok(())
}

/// Returns what is not received of a function whose failures are, in words; none where all is.
#[must_use]
pub fn half(green: &Logging, own: Option<&str>) -> Option<String> {
    if green.is_custom && own.is_none() {
        return Some(
            "it brings its own runtime or an image, so that an error that the handler returns is received only where the code \
             logs it as level ERROR with an errorType; or name such lines in analysis.liveErrors.pattern"
                .into(),
        );
    }
    (green.application_level.as_deref() == Some("FATAL")).then(|| {
        "its own lines are logged from FATAL on, so that timeouts and crashes are received, and an error that the handler \
         throws is not; set LoggingConfig.ApplicationLogLevel to ERROR or lower"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "crossfade-x";

    fn logging(format: Format) -> Logging {
        Logging {
            format,
            group: "/aws/lambda/f".into(),
            ..Logging::default()
        }
    }

    fn group(filters: &[&str]) -> Group {
        Group {
            is_standard: true,
            filters: filters.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn hears_what_is_as_lambda_makes_it() {
        for format in [Format::Text, Format::Json] {
            let logging = logging(format);
            for filters in [&[][..], &["other"], &["other", OURS]] {
                let heard = check(&logging, &logging, Some(&group(filters)), None, OURS);
                assert_eq!(heard, Ok(()), "{filters:?}");
            }
            assert_eq!(half(&logging, None), None);
        }
    }

    #[test]
    fn is_deaf_in_each_way_and_says_what_to_change() {
        let (text, json) = (logging(Format::Text), logging(Format::Json));
        let free = group(&[]);
        let deaf = |blue: &Logging, green: &Logging, group: Option<&Group>, own: Option<&str>| {
            let deaf = check(blue, green, group, own, OURS).unwrap_err();
            let told = deaf.to_string();
            assert!(told.len() > 40 && !told.ends_with('.'), "{told}");
            deaf
        };
        let taken = group(&["datadog", "splunk"]);
        let archive = Group {
            is_standard: false,
            ..Group::default()
        };
        let quiet = Logging {
            system_level: Some("WARN".into()),
            ..json.clone()
        };
        let elsewhere = Logging {
            group: "team".into(),
            ..text.clone()
        };
        assert!(matches!(deaf(&text, &text, None, None), Deaf::NoGroup(_)));
        assert!(
            matches!(deaf(&text, &text, Some(&taken), None), Deaf::SlotsTaken(_, names) if names.len() == 2)
        );
        assert!(matches!(
            deaf(&text, &text, Some(&archive), None),
            Deaf::Class(_)
        ));
        assert!(matches!(
            deaf(&json, &quiet, Some(&free), None),
            Deaf::SystemLevel(_)
        ));
        assert!(matches!(
            deaf(&quiet, &json, Some(&free), None),
            Deaf::SystemLevel(_)
        ));
        assert_eq!(deaf(&text, &json, Some(&free), None), Deaf::Unlike);
        assert_eq!(deaf(&elsewhere, &text, Some(&free), None), Deaf::Unlike);
        assert_eq!(
            deaf(&json, &json, Some(&free), Some("500")),
            Deaf::Pattern(Format::Json)
        );
        assert_eq!(
            deaf(&text, &text, Some(&free), Some("$.status = 500")),
            Deaf::Pattern(Format::Text)
        );
        assert_eq!(
            check(&json, &json, Some(&free), Some("$.status = 500"), OURS),
            Ok(())
        );
        assert!(Deaf::NotRouted.to_string().contains("request by request"));
    }

    #[test]
    fn says_what_is_heard_by_half() {
        let custom = Logging {
            is_custom: true,
            ..logging(Format::Text)
        };
        assert!(half(&custom, None).is_some());
        assert_eq!(half(&custom, Some("500")), None);
        let fatal = Logging {
            application_level: Some("FATAL".into()),
            ..logging(Format::Json)
        };
        assert!(half(&fatal, None).unwrap().contains("ApplicationLogLevel"));
    }
}
