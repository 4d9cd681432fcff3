//! What is listened to during a release, fixed before its first shift.

use serde::{Deserialize, Serialize};

use super::{environment::Colour, stream::Stream, test::Come};
use crate::domain::{
    analysis::{Analysis, counts::BluePast},
    names::{FunctionName, Version, derived},
};

/// A past of fewer requests does not show how errors come.
const ENOUGH_REQUESTS: u64 = 1_000;

/// How a release is listened to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    /// The execution's ARN.
    pub execution: String,
    /// Up to which odds ratio green counts as no worse.
    pub odds_ratio: f64,
    /// The risk of the whole release, of which this test has half.
    pub alpha: f64,
    /// Whether what is found is only recorded.
    #[serde(default)]
    pub shadow: bool,
    /// Whether the team's own pattern has part in what is sent.
    #[serde(default)]
    pub is_own: bool,
    /// The functions that are listened to.
    pub ears: Vec<Ear>,
}

/// A function that is listened to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ear {
    /// The function.
    pub function_name: FunctionName,
    /// Its log group.
    pub group: String,
    /// The version that served when the release began.
    pub blue: Version,
    /// The version that is released.
    pub green: Version,
    /// How its failures come.
    pub come: Come,
}

impl Lane {
    /// Returns how a release with this analysis is listened to.
    #[must_use]
    pub fn of(execution: &str, analysis: &Analysis, ears: Vec<Ear>) -> Self {
        Self {
            execution: execution.to_owned(),
            odds_ratio: analysis.min_effect.odds_ratio,
            alpha: analysis.alpha,
            shadow: analysis.shadow,
            is_own: analysis.live_errors.pattern().is_some(),
            ears,
        }
    }

    /// Returns the name of its subscription filters.
    #[must_use]
    pub fn filter(&self) -> String {
        derived::live_filter(&self.execution)
    }

    /// Returns its log groups, each once.
    #[must_use]
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<_> = self.ears.iter().map(|ear| ear.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Returns whose environment a stream of a log group is; none where it is of neither version.
    #[must_use]
    pub fn colour(&self, group: &str, stream: &Stream) -> Option<(&Ear, Colour)> {
        let is_of = |ear: &&Ear| {
            let named = stream.function.as_ref();
            ear.group == group && named.is_none_or(|name| *name == ear.function_name)
        };
        let ear = self.ears.iter().find(is_of)?;
        if stream.version == ear.green {
            Some((ear, Colour::Green))
        } else if stream.version == ear.blue {
            Some((ear, Colour::Blue))
        } else {
            None
        }
    }
}

impl Come {
    /// Returns how failures come, by what blue showed before the release.
    #[must_use]
    pub fn of(past: Option<&BluePast>) -> Self {
        let is_plain = past.is_some_and(|past| {
            past.errors.requests >= ENOUGH_REQUESTS && past.errors.together_minutes == 0
        });
        if is_plain {
            Self::OneByOne
        } else {
            Self::Sticking
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analysis::counts::PastShare;

    fn ear(name: &str, group: &str) -> Ear {
        Ear {
            function_name: FunctionName::try_from(name.to_owned()).unwrap(),
            group: group.to_owned(),
            blue: Version::try_from("1".to_owned()).unwrap(),
            green: Version::try_from("2".to_owned()).unwrap(),
            come: Come::OneByOne,
        }
    }

    #[test]
    fn tells_whose_a_stream_is() {
        let ears = vec![
            ear("a", "team"),
            ear("b", "team"),
            ear("c", "/aws/lambda/c"),
        ];
        let lane = Lane::of("arn:x", &Analysis::default(), ears);
        let of = |group: &str, stream: &str| {
            let stream = Stream::parse(stream).unwrap();
            let found = lane.colour(group, &stream);
            found.map(|(ear, colour)| (ear.function_name.to_string(), colour))
        };
        assert_eq!(
            of("team", "2026/11/29/b[2]0f"),
            Some(("b".into(), Colour::Green))
        );
        assert_eq!(
            of("team", "2026/11/29/a[1]0f"),
            Some(("a".into(), Colour::Blue))
        );
        assert_eq!(of("team", "2026/11/29/z[2]0f"), None);
        assert_eq!(
            of("/aws/lambda/c", "2026/11/29/[2]0f"),
            Some(("c".into(), Colour::Green))
        );
        assert_eq!(of("/aws/lambda/c", "2026/11/29/[3]0f"), None);
        assert_eq!(lane.groups(), ["/aws/lambda/c", "team"]);
        assert!(lane.filter().starts_with("crossfade-live-"));
    }

    #[test]
    fn failures_come_one_by_one_only_where_the_past_shows_it() {
        let past = |requests: u64, together_minutes: u32| BluePast {
            errors: PastShare {
                requests,
                together_minutes,
                ..PastShare::default()
            },
            slow: None,
        };
        let come = |past: Option<BluePast>| Come::of(past.as_ref());
        assert_eq!(come(None), Come::Sticking);
        assert_eq!(come(Some(past(999, 0))), Come::Sticking);
        assert_eq!(come(Some(past(1_000, 1))), Come::Sticking);
        assert_eq!(come(Some(past(1_000, 0))), Come::OneByOne);
    }
}
