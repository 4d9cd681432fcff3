//! Which versions may go once blue need not be kept any more, and why the others stay.
//!
//! Each need of a version is a [`Hold`] on it: an alias, a promise of the ledger,
//! a release in flight, a target group. Only a version without one can go.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, num::NonZeroU32};

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    names::{AliasName, Application, FunctionName, NameError, Version},
};

/// Why a version stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetainReason {
    /// An alias's own version.
    Alias(AliasName),
    /// An alias's additional version, whatever its share.
    ShareOfAlias(AliasName),
    /// A target group calls it by its number, without an alias.
    TargetGroup(String),
    /// The version that a release promoted: what serves, as far as the ledger knows.
    Green {
        /// The application that was released.
        application: Application,
        /// The release's execution, by its name.
        release: String,
    },
    /// The version before it, to which the release can be taken back.
    Blue {
        /// The application that was released.
        application: Application,
        /// The release's execution, by its name.
        release: String,
        /// Until when it is kept.
        until: Timestamp,
    },
    /// A release is moving its traffic.
    InFlight {
        /// The release's execution, by its name.
        release: String,
    },
    /// A release has begun, and has not fixed its versions yet: it may be any.
    Beginning {
        /// The release's execution, by its name.
        release: String,
    },
    /// Its policy lets load balancers call it without naming a target group.
    Permitted,
    /// Durable executions run on it, and end on the version that they began with.
    Durable,
    /// AWS does not say whether something needs it; in AWS's words.
    Unknown(String),
    /// It is the last that was published.
    Newest,
    /// It is one of so many that are kept anyway.
    AmongNewest(NonZeroU32),
    /// A release of the function did not say how many are enough.
    NoLimit,
}

impl fmt::Display for RetainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => write!(f, "alias {alias} is on it"),
            Self::ShareOfAlias(alias) => write!(f, "alias {alias} gives it a share"),
            Self::TargetGroup(name) => write!(f, "target group {name} calls it"),
            Self::Green {
                application,
                release,
            } => write!(f, "green of {application}'s release {release}"),
            Self::Blue {
                application,
                release,
                until,
            } => write!(
                f,
                "blue of {application}'s release {release}, kept until {}",
                until.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
            Self::InFlight { release } => write!(f, "release {release} is moving its traffic"),
            Self::Beginning { release } => {
                write!(f, "release {release} has begun, and may want any version")
            }
            Self::Permitted => f.write_str("its policy lets any load balancer call it"),
            Self::Durable => f.write_str("durable executions run on it"),
            Self::Unknown(said) => write!(f, "it is not known whether it is needed: {said}"),
            Self::Newest => f.write_str("the newest"),
            Self::AmongNewest(count) => write!(f, "one of the newest {count}"),
            Self::NoLimit => f.write_str("retention.keepVersions is not given"),
        }
    }
}

/// What is needed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The version; none when it may be any.
    pub version: Option<Version>,
    /// Why.
    pub because: RetainReason,
}

impl Hold {
    /// A hold on one version.
    #[must_use]
    pub fn on(version: &Version, because: RetainReason) -> Self {
        Self {
            version: Some(version.clone()),
            because,
        }
    }

    fn is_on(&self, version: &Version) -> bool {
        self.version.as_ref().is_none_or(|held| held == version)
    }
}

/// What a promoted release has promised to keep of one function. It is kept until the promise is
/// taken off the record: no clock is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The release's execution, by its ARN.
    pub execution: String,
    /// The application that was released.
    pub application: Application,
    /// What it promoted. Serves until another release of the application is promoted.
    pub green: Version,
    /// What it can be taken back to; none after its retention, and for a first release.
    pub blue: Option<Version>,
    /// Until when blue is kept.
    pub until: Timestamp,
    /// How many of the newest versions are kept; all when none.
    pub keep_versions: Option<NonZeroU32>,
}

impl Promise {
    /// What it holds.
    pub fn holds(&self) -> impl Iterator<Item = Hold> {
        let release = name_of(&self.execution).to_owned();
        let green = Hold::on(
            &self.green,
            RetainReason::Green {
                application: self.application.clone(),
                release: release.clone(),
            },
        );
        let blue = self.blue.as_ref().map(|blue| {
            Hold::on(
                blue,
                RetainReason::Blue {
                    application: self.application.clone(),
                    release,
                    until: self.until,
                },
            )
        });
        std::iter::once(green).chain(blue)
    }
}

/// How many of the newest versions stay, by what all releases of the function have asked: the most
/// of it. None when one of them gave no limit, or there is none.
#[must_use]
pub fn keep_versions(promises: &[Promise]) -> Option<NonZeroU32> {
    let asked: Option<Vec<_>> = promises.iter().map(|one| one.keep_versions).collect();
    asked?.into_iter().max()
}

/// What may go and what stays: every version is in one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The versions that nothing needs, oldest first.
    pub delete: Vec<Version>,
    /// The versions that stay, oldest first, each with all reasons.
    pub keep: Vec<(Version, Vec<RetainReason>)>,
}

impl Decided {
    /// Why a version stays, in words; none when it goes.
    #[must_use]
    pub fn why_kept(&self, version: &Version) -> Option<String> {
        let (_, because) = self.keep.iter().find(|(kept, _)| kept == version)?;
        Some(words(because))
    }
}

fn words(because: &[RetainReason]) -> String {
    let each: Vec<_> = because.iter().map(ToString::to_string).collect();
    each.join("; ")
}

/// Decides which of a function's versions may go. `versions` are all that there are, in any order;
/// `$LATEST` is none. The newest `keep` stay, and all when there is no number.
#[must_use]
pub fn decide(versions: &[Version], holds: &[Hold], keep: Option<NonZeroU32>) -> Decided {
    let mut versions = versions.to_vec();
    versions.sort();
    versions.dedup();
    let count = versions.len();
    let mut decided = Decided::default();
    for (index, version) in versions.into_iter().enumerate() {
        let newer = count - 1 - index;
        let mut because: Vec<_> = holds
            .iter()
            .filter(|hold| hold.is_on(&version))
            .map(|hold| hold.because.clone())
            .collect();
        because.sort();
        because.dedup();
        match keep {
            _ if newer == 0 => because.push(RetainReason::Newest),
            None => because.push(RetainReason::NoLimit),
            Some(keep) if newer < keep.get() as usize => {
                because.push(RetainReason::AmongNewest(keep));
            }
            Some(_) => {}
        }
        if because.is_empty() {
            decided.delete.push(version);
        } else {
            decided.keep.push((version, because));
        }
    }
    decided
}

/// Versions in a row: `7`, or `7-12` for all that exist from 7 to 12.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    first: Version,
    last: Version,
}

impl Span {
    /// Whether a version is in it.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        (&self.first..=&self.last).contains(&version)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl From<&Version> for Span {
    fn from(version: &Version) -> Self {
        Self {
            first: version.clone(),
            last: version.clone(),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let (first, last): (Version, Version) = (first.parse()?, last.parse()?);
        if first > last {
            return Err(NameError::new(format!("{text} ends before it begins")));
        }
        Ok(Self { first, last })
    }
}

/// Versions that stay for the same reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The versions.
    pub versions: Vec<Span>,
    /// Why, in words.
    pub because: String,
}

/// Puts versions with the same reason together, in the order in which reasons first occur. Neighbours
/// share a span.
#[must_use]
pub fn grouped(versions: impl IntoIterator<Item = (Version, String)>) -> Vec<Kept> {
    let mut groups: Vec<Kept> = Vec::new();
    let mut before = None;
    for (version, because) in versions {
        let index = groups.iter().position(|group| group.because == because);
        let index = index.unwrap_or_else(|| {
            groups.push(Kept {
                versions: Vec::new(),
                because,
            });
            groups.len() - 1
        });
        let spans = &mut groups[index].versions;
        match spans.last_mut() {
            Some(span) if before == Some(index) => span.last = version,
            Some(_) | None => spans.push(Span::from(&version)),
        }
        before = Some(index);
    }
    groups
}

/// What is going to happen to a function's versions, in few words: a function may have thousands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// The function.
    pub function_name: FunctionName,
    /// How many versions are going to be deleted.
    pub count: u32,
    /// Which.
    pub delete: Vec<Span>,
    /// The versions that stay, with why.
    pub keep: Vec<Kept>,
}

impl Cleanup {
    /// The plan for what was decided.
    #[must_use]
    pub fn of(function: &FunctionName, decided: &Decided) -> Self {
        // All of them in their order, so that only neighbours share a span. A version that is deleted has no reason.
        let mut all: BTreeMap<&Version, String> = decided
            .delete
            .iter()
            .map(|version| (version, String::new()))
            .collect();
        let keep = decided.keep.iter();
        all.extend(keep.map(|(version, because)| (version, words(because))));
        let all = all.into_iter().map(|(version, why)| (version.clone(), why));
        let (delete, keep): (Vec<_>, Vec<_>) = grouped(all)
            .into_iter()
            .partition(|group| group.because.is_empty());
        Self {
            function_name: function.clone(),
            count: u32::try_from(decided.delete.len()).unwrap_or(u32::MAX),
            delete: delete
                .into_iter()
                .flat_map(|group| group.versions)
                .collect(),
            keep,
        }
    }

    /// The plan for a function whose versions could not be read: nothing is deleted.
    #[must_use]
    pub fn unread(function: &FunctionName, why: &str) -> Self {
        Self {
            function_name: function.clone(),
            count: 0,
            delete: Vec::new(),
            keep: vec![Kept {
                versions: Vec::new(),
                because: format!("its versions could not be read: {why}"),
            }],
        }
    }

    /// Whether its versions could not be read.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.delete.is_empty() && self.keep.iter().any(|kept| kept.versions.is_empty())
    }

    /// Whether a version is to be deleted.
    #[must_use]
    pub fn deletes(&self, version: &Version) -> bool {
        self.delete.iter().any(|span| span.contains(version))
    }
}

/// An execution's name, from its ARN.
#[must_use]
pub fn name_of(execution: &str) -> &str {
    execution.rsplit(':').next().unwrap_or(execution)
}
