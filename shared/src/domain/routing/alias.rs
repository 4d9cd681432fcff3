//! Where an alias sends traffic, and what may be written to it.
//!
//! [`reconcile`] is the only place that decides on an alias write. It requests a wanted state, never
//! for a change, so that a repeat after a lost answer is free; and it refuses to write over a state
//! that this deployment cannot have produced.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::domain::{names::Version, plan::Plan, weight::Weight};

/// Lambda's opaque `RevisionId` of an alias: changes with every write, and a write that names a
/// stale one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub String);

/// The version that an alias gives as its own (`FunctionVersion`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Primary {
    /// The unpublished code, which can change under the alias and takes no weights.
    Latest,
    /// Managed Instances' published copy of it, which can change under the alias as well, and has no number.
    LatestPublished,
    /// A published version.
    Version(Version),
}

impl Primary {
    /// Returns the published version that it is, if it is one.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        match self {
            Self::Version(version) => Some(version),
            Self::Latest | Self::LatestPublished => None,
        }
    }
}

impl FromStr for Primary {
    type Err = <Version as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "$LATEST" => Ok(Self::Latest),
            "$LATEST.PUBLISHED" => Ok(Self::LatestPublished),
            number => number.parse().map(Self::Version),
        }
    }
}

impl fmt::Display for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::LatestPublished => f.write_str("$LATEST.PUBLISHED"),
            Self::Version(version) => version.fmt(f),
        }
    }
}

/// An alias as Lambda describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// The alias's own version.
    pub primary: Primary,
    /// The additional version and its share, 0.0 to 1.0; Lambda allows one at the most.
    pub additional: Option<(Version, f64)>,
    /// The revision that this description is of.
    pub revision: Revision,
}

impl Alias {
    /// Whether a second version has a share of the traffic. A share of nothing is no split: other tools
    /// leave it behind.
    #[must_use]
    pub fn is_split(&self) -> bool {
        self.additional
            .as_ref()
            .is_some_and(|(_, share)| *share > 0.0)
    }

    /// Whether the alias's own version is this one; another version may have a share.
    #[must_use]
    pub fn is_on(&self, version: &Version) -> bool {
        self.primary == Primary::Version(version.clone())
    }

    /// The share that a former version keeps of an alias that has moved to `version`.
    #[must_use]
    pub fn kept_by(&self, former: &Version, version: &Version) -> Option<f64> {
        let (other, share) = self.additional.as_ref()?;
        (self.is_on(version) && other == former && *share > 0.0).then_some(*share)
    }

    /// Whether the alias routes exactly so.
    #[must_use]
    pub fn routes(&self, want: &Routing) -> bool {
        let Primary::Version(primary) = &self.primary else {
            return false;
        };
        match (want, &self.additional) {
            (Routing::Settled(version), None) => primary == version,
            // A share of nothing routes nothing: the same as no additional version.
            (Routing::Settled(version), Some((_, share))) => primary == version && *share == 0.0,
            (
                Routing::Split {
                    blue,
                    green,
                    weight,
                },
                Some((version, share)),
            ) => primary == blue && version == green && same_share(*share, *weight),
            (Routing::Split { .. }, None) => false,
        }
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.additional {
            None => write!(f, "100 % on version {}", self.primary),
            Some((version, share)) => {
                write!(
                    f,
                    "version {} with {:.4} % on version {version}",
                    self.primary,
                    share * 100.0
                )
            }
        }
    }
}

/// Lambda keeps a share as a double, and how many decimals it honours is not documented; tenths of a
/// percent, which are three decimals, are distinguished by far less than half of one.
fn same_share(share: f64, weight: Weight) -> bool {
    (share - weight.fraction()).abs() < 1e-6
}

/// What an alias is wanted to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Routing {
    /// All traffic on one version.
    Settled(Version),
    /// Blue is the alias's version, green the additional one, up to weight 100: until green is
    /// promoted, going back is dropping the split.
    Split {
        /// The version serving until now.
        blue: Version,
        /// The version being released.
        green: Version,
        /// Green's share, above 0.
        weight: Weight,
    },
}

impl Routing {
    /// Blue with `weight` percent on green; a weight of 0 is blue alone.
    #[must_use]
    pub fn at(blue: &Version, green: &Version, weight: Weight) -> Self {
        if weight == Weight::ZERO {
            Self::Settled(blue.clone())
        } else {
            Self::Split {
                blue: blue.clone(),
                green: green.clone(),
                weight,
            }
        }
    }

    /// Every state that a deployment with this plan can have put an alias in, from before its first
    /// shift to after its promotion.
    #[must_use]
    pub fn all_of(blue: &Version, green: &Version, plan: &Plan) -> Vec<Self> {
        let mut all = vec![Self::Settled(blue.clone()), Self::Settled(green.clone())];
        all.extend(
            plan.steps()
                .iter()
                .map(|step| Self::at(blue, green, step.weight)),
        );
        all
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled(version) => write!(f, "100 % on version {version}"),
            Self::Split {
                blue,
                green,
                weight,
            } => {
                write!(f, "version {blue} with {weight} on version {green}")
            }
        }
    }
}

/// A write that was decided on: applies only while the alias is still at `if_revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasUpdate {
    /// What the alias is to do.
    pub routing: Routing,
    /// The revision on which this was decided.
    pub if_revision: Revision,
}

/// Another writer moved the alias.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the alias is at {seen}, which this deployment did not write; it wanted {want}")]
pub struct Conflict {
    /// What was found.
    pub seen: Box<Alias>,
    /// What was wanted.
    pub want: Routing,
}

/// What to write so that an alias found at `seen` does what is wanted: nothing when it does so
/// already, one write when it is in a state that is `ours`.
///
/// # Errors
/// [`Conflict`] when the alias is in a state that is not ours: it is reported, never overwritten.
pub fn reconcile(
    seen: &Alias,
    want: &Routing,
    ours: &[Routing],
) -> Result<Option<AliasUpdate>, Conflict> {
    if seen.routes(want) {
        return Ok(None);
    }
    if !ours.iter().any(|state| seen.routes(state)) {
        return Err(Conflict {
            seen: Box::new(seen.clone()),
            want: want.clone(),
        });
    }
    Ok(Some(AliasUpdate {
        routing: want.clone(),
        if_revision: seen.revision.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Step;

    fn version(n: &str) -> Version {
        Version::try_from(n.to_owned()).unwrap()
    }

    fn weight(percent: u8) -> Weight {
        Weight::try_from(percent).unwrap()
    }

    fn alias(primary: &str, additional: Option<(&str, f64)>) -> Alias {
        Alias {
            primary: Primary::Version(version(primary)),
            additional: additional.map(|(v, share)| (version(v), share)),
            revision: Revision("r1".into()),
        }
    }

    fn plan() -> Plan {
        Plan::new(
            [10, 50, 100]
                .map(|w| Step {
                    weight: weight(w),
                    bake_seconds: 60,
                })
                .to_vec(),
            None,
        )
        .unwrap()
    }

    #[test]
    fn reports_the_share_of_a_former_version() {
        let (one, two) = (version("1"), version("2"));
        assert_eq!(alias("2", Some(("1", 0.5))).kept_by(&one, &two), Some(0.5));
        for seen in [
            alias("2", None),
            alias("2", Some(("1", 0.0))),
            alias("2", Some(("3", 0.5))),
            alias("1", Some(("2", 0.5))),
            alias("3", Some(("1", 0.5))),
        ] {
            assert_eq!(seen.kept_by(&one, &two), None, "{seen}");
        }
    }

    #[test]
    fn distinguishes_every_weight() {
        for set in 1..=1000u16 {
            let seen = alias("1", Some(("2", f64::from(set) / 1000.0)));
            for asked in 0..=1000u16 {
                let weight = Weight::of_tenths(asked).unwrap();
                let want = Routing::at(&version("1"), &version("2"), weight);
                assert_eq!(seen.routes(&want), set == asked, "set {set}, asked {asked}");
            }
        }
    }

    #[test]
    fn share_of_nothing_routes_nothing() {
        let settled = Routing::Settled(version("1"));
        for (alias, routes, split) in [
            (alias("1", None), true, false),
            (alias("1", Some(("2", 0.0))), true, false),
            (alias("1", Some(("2", 0.001))), false, true),
            (alias("2", Some(("1", 0.0))), false, false),
            (alias("2", None), false, false),
        ] {
            assert_eq!(alias.routes(&settled), routes, "{alias}");
            assert_eq!(alias.is_split(), split, "{alias}");
        }
    }

    #[test]
    fn conflict_names_what_was_found_and_what_was_wanted() {
        let mut seen = alias("3", Some(("4", 0.25)));
        let want = Routing::at(&version("1"), &version("2"), weight(10));
        let conflict = reconcile(&seen, &want, &[]).expect_err("it is not ours");
        assert_eq!(
            conflict.to_string(),
            "the alias is at version 3 with 25.0000 % on version 4, which this deployment did not write; \
             it wanted version 1 with 10 % on version 2"
        );
        seen.additional = None;
        seen.primary = Primary::Latest;
        let settled = Routing::Settled(version("1"));
        assert_eq!(seen.to_string(), "100 % on version $LATEST");
        assert_eq!(settled.to_string(), "100 % on version 1");
        assert_eq!(alias("3", None).to_string(), "100 % on version 3");
    }

    #[test]
    fn writes_nothing_if_already_in_the_wanted_state() {
        let seen = alias("1", Some(("2", 0.1)));
        let want = Routing::at(&version("1"), &version("2"), weight(10));
        assert_eq!(reconcile(&seen, &want, &[]), Ok(None));
    }

    #[test]
    fn writes_with_the_revision_read() {
        let seen = alias("1", None);
        let want = Routing::at(&version("1"), &version("2"), weight(10));
        let ours = Routing::all_of(&version("1"), &version("2"), &plan());
        assert_eq!(
            reconcile(&seen, &want, &ours),
            Ok(Some(AliasUpdate {
                routing: want,
                if_revision: Revision("r1".into())
            }))
        );
    }

    #[test]
    fn refuses_foreign_state() {
        let blue = Routing::Settled(version("1"));
        let ours = Routing::all_of(&version("1"), &version("2"), &plan());
        for (what, seen) in [
            ("another version", alias("3", None)),
            ("another additional version", alias("1", Some(("3", 0.1)))),
            (
                "a weight that is not in the plan",
                alias("1", Some(("2", 0.37))),
            ),
            (
                "the colours the other way round",
                alias("2", Some(("1", 0.1))),
            ),
        ] {
            let refused = reconcile(&seen, &blue, &ours);
            assert!(refused.is_err(), "{what}: {refused:?}");
        }
        let latest = Alias {
            primary: Primary::Latest,
            ..alias("1", None)
        };
        assert!(reconcile(&latest, &blue, &ours).is_err(), "$LATEST");
    }

    #[test]
    fn rollback_leads_home_from_every_state_of_ours() {
        let blue = Routing::Settled(version("1"));
        let ours = Routing::all_of(&version("1"), &version("2"), &plan());
        for seen in [
            alias("1", None),
            alias("1", Some(("2", 0.1))),
            alias("1", Some(("2", 0.5))),
            alias("1", Some(("2", 1.0))),
            alias("2", None),
        ] {
            let decided = reconcile(&seen, &blue, &ours).unwrap();
            assert_eq!(decided.is_none(), seen.routes(&blue), "{seen}");
        }
    }
}
