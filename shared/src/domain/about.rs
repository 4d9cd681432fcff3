//! What a release is, in its team's words: shown wherever the release is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::names::{NameError, ensure, ensure_length, name};
use crate::{display::truncate, parse::bounds::quoted};

/// The most characters of a version's description: Lambda's model.
const MAX_VERSION_DESCRIPTION: usize = 256;

/// What is released, in one line: 1 to 256 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    "minLength" = 1,
    "maxLength" = 256,
    "examples" = ["Answers in German"]
))]
pub struct Description(String);
name!(Description, check_description);

/// The commit, or another revision of the source: 1 to 128 printable ASCII characters without spaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[!-~]{1,128}$",
    "examples" = ["3f2c1d0e9b8a7f6e5d4c3b2a19080706f5e4d3c2"]
))]
pub struct Commit(String);
name!(Commit, check_commit);

/// Where to read more, such as the pull request: an HTTPS URL of at most 2048 characters, without user and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^https://[^/?#@\\\\\\s<>`\"]+([/?#][^\\\\\\s<>`\"]*)?$",
    "maxLength" = 2048,
    "examples" = ["https://github.com/example/chat/pull/7"]
))]
pub struct AboutUrl(String);
name!(AboutUrl, check_url);

/// Who releases: 1 to 100 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    "minLength" = 1,
    "maxLength" = 100,
    "examples" = ["Ada"]
))]
pub struct ReleasedBy(String);
name!(ReleasedBy, check_by);

/// What a release is, as its request says it. Nothing depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// What is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<AboutUrl>,
    /// Who releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ReleasedBy>,
}

impl About {
    /// Whether the request said nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns all but the URL in one line: `Answers in German, commit 3f2c1d0, by Ada`. None where there is nothing to say.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let parts = [
            self.description.as_ref().map(ToString::to_string),
            self.commit
                .as_ref()
                .map(|commit| format!("commit {commit}")),
            self.by.as_ref().map(|by| format!("by {by}")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Returns the description of the version that is published, at most 256 characters; none where there is nothing to
    /// say, so that Lambda takes the function's own.
    #[must_use]
    pub fn of_version(&self) -> Option<String> {
        let line = self.line()?;
        // The mark of a cut is a character, too.
        let most = if line.chars().count() > MAX_VERSION_DESCRIPTION {
            MAX_VERSION_DESCRIPTION - 1
        } else {
            MAX_VERSION_DESCRIPTION
        };
        Some(truncate(&line, most))
    }
}

fn check_description(text: &str) -> Result<(), NameError> {
    check_line(text, 256)
}

fn check_by(text: &str) -> Result<(), NameError> {
    check_line(text, 100)
}

fn check_line(text: &str, most: usize) -> Result<(), NameError> {
    ensure_length(text, most)?;
    ensure(!text.contains(char::is_control), || {
        format!(
            "{} has a line break or another control character; use one line",
            quoted(text)
        )
    })
}

fn check_commit(text: &str) -> Result<(), NameError> {
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    ensure(printable && (1..=128).contains(&text.len()), || {
        format!(
            "{} is not a commit; use 1 to 128 printable ASCII characters without spaces",
            quoted(text)
        )
    })
}

fn check_url(text: &str) -> Result<(), NameError> {
    ensure(text.len() <= 2048, || {
        "is longer than 2048 characters".to_owned()
    })?;
    let parsed = Url::parse(text).ok();
    // What is shown is what is opened.
    let as_written = text.starts_with("https://")
        && !text.starts_with("https:///")
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\\<>`\"".contains(c));
    let right = as_written
        && parsed.is_some_and(|url| url.username().is_empty() && url.password().is_none());
    ensure(right, || {
        format!(
            "{} is not an HTTPS URL; give one such as \"https://github.com/example/chat/pull/7\", without user and password",
            quoted(text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(description: &str) -> About {
        About {
            description: Some(description.parse().unwrap()),
            commit: Some("3f2c1d0".parse().unwrap()),
            url: Some("https://example.com/7".parse().unwrap()),
            by: Some("Ada".parse().unwrap()),
        }
    }

    #[test]
    fn says_in_one_line_what_there_is() {
        let all = about("Answers in German");
        let line = "Answers in German, commit 3f2c1d0, by Ada";
        assert_eq!(all.line().as_deref(), Some(line));
        assert_eq!(all.of_version().as_deref(), Some(line));
        let by = About {
            by: all.by,
            ..About::default()
        };
        assert_eq!(by.line().as_deref(), Some("by Ada"));
        assert!(About::default().is_empty() && About::default().line().is_none());
        let url = About {
            url: all.url,
            ..About::default()
        };
        assert_eq!(url.of_version(), None);
    }

    #[test]
    fn version_is_described_by_at_most_256_characters() {
        let long = about(&"é".repeat(256)).of_version().unwrap();
        assert_eq!(long.chars().count(), 256);
        assert!(long.ends_with('…'), "{long}");
        let exact = About {
            description: Some("é".repeat(256).parse().unwrap()),
            ..About::default()
        };
        assert_eq!(exact.of_version(), Some("é".repeat(256)));
    }

    #[test]
    fn rejects_what_is_no_line_commit_or_url() {
        for text in ["", "a\nb", "\u{85}", &"a".repeat(257)] {
            assert!(text.parse::<Description>().is_err(), "{text:?}");
        }
        for text in ["", "a b", "é", &"a".repeat(129)] {
            assert!(text.parse::<Commit>().is_err(), "{text:?}");
        }
        for text in [
            "",
            "http://example.com",
            "javascript:alert(1)",
            "https:///example.com",
            "https://ada@example.com",
            "https://ada:secret@example.com",
            "https://example.com/a b",
            "https://example.com\\@evil.example",
            "https://example.com/<!channel>",
            &format!("https://example.com/{}", "a".repeat(2048)),
        ] {
            assert!(text.parse::<AboutUrl>().is_err(), "{text:?}");
        }
        assert!("https://example.com/7?a=b#c".parse::<AboutUrl>().is_ok());
        assert!("a".repeat(101).parse::<ReleasedBy>().is_err());
    }
}
