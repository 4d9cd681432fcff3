//! The name of a log stream: which version's, and which execution environment's.
//!
//! Lambda names a function's streams `YYYY/MM/DD/[VERSION]id` in the group of its own, and
//! `YYYY/MM/DD/function[VERSION]id` in a group that functions may share
//! (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html>).

use crate::domain::names::{FunctionName, Version};

/// An execution environment, by its log stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The function, where the name has it: in a group that functions may share.
    pub function: Option<FunctionName>,
    /// The version that the environment runs.
    pub version: Version,
}

impl Stream {
    /// Reads a stream's name; none where it is not one of Lambda's, or of `$LATEST`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (date, rest) = split_date(name)?;
        let (function, rest) = rest.split_once('[')?;
        let (version, id) = rest.split_once(']')?;
        if !is_date(date) || id.is_empty() || id.contains(['[', ']', '/']) {
            return None;
        }
        let function = match function {
            "" => None,
            name => Some(FunctionName::try_from(name.to_owned()).ok()?),
        };
        let version = Version::try_from(version.to_owned()).ok()?;
        Some(Self { function, version })
    }
}

/// Splits after the third slash.
fn split_date(name: &str) -> Option<(&str, &str)> {
    let (at, _) = name.match_indices('/').nth(2)?;
    Some((&name[..at], &name[at + 1..]))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [4, 2, 2]
        && parts
            .iter()
            .all(|part| part.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Option<(Option<String>, String)> {
        Stream::parse(name).map(|stream| {
            let function = stream.function.map(|it| it.as_ref().to_owned());
            (function, stream.version.to_string())
        })
    }

    #[test]
    fn tells_the_version_by_both_shapes() {
        assert_eq!(
            read("2026/11/29/[42]0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
            Some((None, "42".into()))
        );
        assert_eq!(
            read("2026/11/29/chat-api[7]0f1e2d"),
            Some((Some("chat-api".into()), "7".into()))
        );
    }

    #[test]
    fn takes_nothing_else_for_an_environment() {
        for name in [
            "",
            "2026/11/29/[$LATEST]0f",
            "2026/11/29/[42]",
            "2026/11/[42]0f",
            "26/11/29/[42]0f",
            "2026/11/29/42]0f",
            "2026/11/29/[42]a/b",
            "2026/11/29/no such name[42]0f",
            "crossfade-marker",
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
