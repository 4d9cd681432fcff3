//! Which versions may go once blue need not be kept any more, and why the others stay.
//!
//! Whatever needs a version is a [`Hold`] on it, whoever found it: an alias, a promise of the ledger,
//! a release in flight, a target group. Only a version without one can go.

use std::{collections::BTreeMap, fmt, num::NonZeroU32};

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    names::{AliasName, Application, FunctionName, NameError, Version},
};

/// Why a version stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
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

impl fmt::Display for Because {
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
    pub because: Because,
}

impl Hold {
    /// A hold on one version.
    #[must_use]
    pub fn on(version: &Version, because: Because) -> Self {
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
            Because::Green {
                application: self.application.clone(),
                release: release.clone(),
            },
        );
        let blue = self.blue.as_ref().map(|blue| {
            Hold::on(
                blue,
                Because::Blue {
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
    pub keep: Vec<(Version, Vec<Because>)>,
}

impl Decided {
    /// Why a version stays, in words; none when it goes.
    #[must_use]
    pub fn why_kept(&self, version: &Version) -> Option<String> {
        let (_, because) = self.keep.iter().find(|(kept, _)| kept == version)?;
        Some(words(because))
    }
}

fn words(because: &[Because]) -> String {
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
            _ if newer == 0 => because.push(Because::Newest),
            None => because.push(Because::NoLimit),
            Some(keep) if newer < keep.get() as usize => because.push(Because::AmongNewest(keep)),
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
        // All of them in their order, so that only neighbours share a span. What goes has no reason.
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn version(number: u32) -> Version {
        number.to_string().parse().unwrap()
    }

    fn versions(numbers: impl IntoIterator<Item = u32>) -> Vec<Version> {
        numbers.into_iter().map(version).collect()
    }

    fn alias(name: &str) -> AliasName {
        name.parse().unwrap()
    }

    fn newest(count: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(count)
    }

    fn on(number: u32, name: &str) -> Hold {
        Hold::on(&version(number), Because::Alias(alias(name)))
    }

    fn plan(decided: &Decided) -> Cleanup {
        Cleanup::of(&"f".parse().unwrap(), decided)
    }

    fn shown(cleanup: &Cleanup) -> (Vec<String>, Vec<(Vec<String>, String)>) {
        let texts = |spans: &[Span]| spans.iter().map(ToString::to_string).collect::<Vec<_>>();
        let keep = cleanup.keep.iter();
        (
            texts(&cleanup.delete),
            keep.map(|kept| (texts(&kept.versions), kept.because.clone()))
                .collect(),
        )
    }

    #[test]
    fn of_200_versions_with_3_aliases_and_the_newest_10_the_right_ones_are_left() {
        let split = Hold::on(&version(60), Because::ShareOfAlias(alias("staging")));
        let holds = [on(195, "live"), on(40, "staging"), split, on(7, "old")];
        let decided = decide(&versions(1..=200), &holds, newest(10));
        let left: Vec<_> = decided
            .keep
            .iter()
            .map(|(version, _)| version.clone())
            .collect();
        assert_eq!(left, versions([7, 40, 60].into_iter().chain(191..=200)));
        assert_eq!(decided.delete.len(), 187);
        let (delete, keep) = shown(&plan(&decided));
        assert_eq!(delete, ["1-6", "8-39", "41-59", "61-190"]);
        let ten = "one of the newest 10";
        let expected = [
            (vec!["7"], "alias old is on it".to_owned()),
            (vec!["40"], "alias staging is on it".to_owned()),
            (vec!["60"], "alias staging gives it a share".to_owned()),
            (vec!["191-194", "196-199"], ten.to_owned()),
            (vec!["195"], format!("alias live is on it; {ten}")),
            (vec!["200"], "the newest".to_owned()),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(spans, why)| (spans.into_iter().map(str::to_owned).collect(), why))
            .collect();
        assert_eq!(keep, expected);
    }

    #[test]
    fn what_keeps_one_old_version() {
        let app: Application = "chat".parse().unwrap();
        let release = "42".to_owned();
        let until: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let (application, named) = (app.clone(), release.clone());
        for (because, says) in [
            (Because::Alias(alias("live")), "alias live is on it"),
            (
                Because::ShareOfAlias(alias("live")),
                "alias live gives it a share",
            ),
            (
                Because::TargetGroup("tg-blue".into()),
                "target group tg-blue calls it",
            ),
            (
                Because::Permitted,
                "its policy lets any load balancer call it",
            ),
            (Because::Durable, "durable executions run on it"),
            (
                Because::Unknown("GetPolicy: AccessDenied".into()),
                "it is not known whether it is needed: GetPolicy: AccessDenied",
            ),
            (
                Because::Green {
                    application: app,
                    release: release.clone(),
                },
                "green of chat's release 42",
            ),
            (
                Because::Blue {
                    application,
                    release: named,
                    until,
                },
                "blue of chat's release 42, kept until 2026-11-21T12:00:00Z",
            ),
            (
                Because::InFlight { release },
                "release 42 is moving its traffic",
            ),
        ] {
            let hold = Hold::on(&version(1), because);
            let decided = decide(&versions(1..=5), &[hold], newest(1));
            assert_eq!(decided.delete, versions([2, 3, 4]), "{says}");
            assert_eq!(plan(&decided).keep[0].because, says);
        }
    }

    #[test]
    fn a_release_that_begins_may_want_any_version() {
        let hold = Hold {
            version: None,
            because: Because::Beginning {
                release: "43".into(),
            },
        };
        let decided = decide(&versions(1..=50), &[hold], newest(1));
        assert_eq!(decided.delete, []);
    }

    #[test]
    fn without_a_number_nothing_goes_and_the_newest_never_goes() {
        let all = versions(1..=50);
        assert_eq!(decide(&all, &[], None).delete, []);
        assert_eq!(decide(&all, &[], newest(1)).delete, versions(1..=49));
        assert_eq!(decide(&all, &[], newest(50)).delete, []);
        assert_eq!(decide(&all, &[], newest(u32::MAX)).delete, []);
        assert_eq!(decide(&[], &[], newest(1)), Decided::default());
    }

    fn promise(keep: Option<u32>, blue: Option<u32>) -> Promise {
        Promise {
            execution: "arn:aws:states:eu-west-1:1:execution:crossfade-deployment:42".into(),
            application: "chat".parse().unwrap(),
            green: version(9),
            blue: blue.map(version),
            until: "2026-11-21T12:00:00Z".parse().unwrap(),
            keep_versions: keep.and_then(NonZeroU32::new),
        }
    }

    #[test]
    fn the_most_that_any_release_of_the_function_asked_for_is_kept() {
        let of = |asked: &[Option<u32>]| {
            let promises: Vec<_> = asked.iter().map(|keep| promise(*keep, None)).collect();
            keep_versions(&promises).map(NonZeroU32::get)
        };
        assert_eq!(of(&[Some(10)]), Some(10));
        assert_eq!(of(&[Some(10), Some(3)]), Some(10));
        assert_eq!(of(&[Some(10), None]), None);
        assert_eq!(of(&[]), None, "nobody asked for anything to go");
    }

    #[test]
    fn a_promise_holds_green_and_until_its_end_blue() {
        let held = |promise: &Promise| {
            let holds: Vec<_> = promise.holds().collect();
            holds
                .iter()
                .filter_map(|hold| hold.version.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(held(&promise(None, Some(8))), versions([9, 8]));
        assert_eq!(held(&promise(None, None)), versions([9]));
    }

    #[test]
    fn tells_a_function_that_could_not_be_read_from_one_without_old_versions() {
        let function = "f".parse().unwrap();
        let unread = Cleanup::unread(&function, "ListAliases: AccessDenied");
        assert!(unread.is_unread());
        assert_eq!(
            unread.keep[0].because,
            "its versions could not be read: ListAliases: AccessDenied"
        );
        assert!(!unread.deletes(&version(1)));
        assert!(!plan(&decide(&versions(1..=5), &[], None)).is_unread());
        assert!(!plan(&Decided::default()).is_unread());
    }

    #[test]
    fn a_span_is_read_as_it_is_written() {
        let read = |text: &str| Span::try_from(text.to_owned());
        for text in ["7", "7-12", "9-10"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        for text in ["", "-", "12-7", "7-", "$LATEST", "1-2-3", "0-4"] {
            assert!(read(text).is_err(), "{text}");
        }
        let span = read("9-100").unwrap();
        assert!(span.contains(&version(9)) && span.contains(&version(100)));
        assert!(!span.contains(&version(8)) && !span.contains(&version(101)));
    }

    fn hold() -> impl Strategy<Value = Hold> {
        let because = prop_oneof![
            Just(Because::Alias(alias("live"))),
            Just(Because::ShareOfAlias(alias("live"))),
            Just(Because::InFlight {
                release: "x".into()
            }),
        ];
        (option::weighted(0.95, 1u32..60), because).prop_map(|(number, because)| Hold {
            version: number.map(version),
            because,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_version_goes_or_stays_and_what_goes_is_needed_by_nothing(
            mut numbers in vec(1u32..60, 0..60),
            holds in vec(hold(), 0..6),
            keep in 0u32..70,
        ) {
            let all = versions(numbers.iter().copied());
            let decided = decide(&all, &holds, newest(keep));
            numbers.sort_unstable();
            numbers.dedup();
            let kept: Vec<_> = decided.keep.iter().map(|(version, _)| version.clone()).collect();
            let mut together = decided.delete.clone();
            together.extend(kept.clone());
            together.sort();
            prop_assert_eq!(together, versions(numbers.iter().copied()));

            let is_held = |one: &Version| {
                holds.iter().any(|hold| hold.version.is_none() || hold.version.as_ref() == Some(one))
            };
            for one in &decided.delete {
                prop_assert!(!is_held(one), "{} is held", one);
                let newer = numbers.iter().filter(|number| version(**number) > *one).count();
                prop_assert!(keep > 0 && newer >= keep as usize, "{} has {} newer", one, newer);
            }
            // And nothing stays without a reason.
            for (one, because) in &decided.keep {
                prop_assert!(!because.is_empty());
                let newer = numbers.iter().filter(|number| version(**number) > *one).count();
                prop_assert!(is_held(one) || keep == 0 || newer < keep as usize);
            }
        }

        #[test]
        fn the_order_of_what_was_found_makes_no_difference(
            numbers in vec(1u32..60, 0..60),
            mut holds in vec(hold(), 0..6),
            keep in 0u32..70,
        ) {
            let mut all = versions(numbers);
            let decided = decide(&all, &holds, newest(keep));
            all.reverse();
            holds.reverse();
            prop_assert_eq!(decide(&all, &holds, newest(keep)), decided);
        }

        #[test]
        fn a_plan_says_exactly_what_was_decided(
            numbers in vec(1u32..60, 0..60),
            holds in vec(hold(), 0..6),
            keep in 0u32..70,
        ) {
            let all = versions(numbers);
            let decided = decide(&all, &holds, newest(keep));
            let text = serde_json::to_string(&plan(&decided)).unwrap();
            let plan: Cleanup = serde_json::from_str(&text).unwrap();
            for one in &all {
                prop_assert_eq!(plan.deletes(one), decided.delete.contains(one), "{} of {}", one, text);
                let reasons = plan.keep.iter().filter(|kept| kept.versions.iter().any(|s| s.contains(one)));
                prop_assert_eq!(reasons.count(), usize::from(!plan.deletes(one)), "{} of {}", one, text);
            }
        }
    }
}
