//! One function of a release, and the versions between which its traffic moves.

use serde::{Deserialize, Serialize};

use super::{
    analysis::series::{Counted, Dimensions, Publisher, dimensions},
    names::{AliasName, FunctionName, Version},
    plan::Plan,
    routing::alias::{Alias, Revision, Routing},
    weight::Weight,
};

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The qualifiers that callers reach the colours by, where each colour has its own: an alias for each
/// weighted record, or the versions that target groups call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalledAs {
    /// Blue's.
    pub blue: Option<String>,
    /// Green's.
    pub green: String,
}

/// One function and the versions between which its traffic moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The function.
    pub function_name: FunctionName,
    /// The alias that callers use; none behind a load balancer, which calls versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasName>,
    /// The qualifiers of the colours, where the alias itself does not split the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_as: Option<CalledAs>,
    /// The version serving when the release began; none when the alias did not exist (a first
    /// release).
    pub blue_version: Option<Version>,
    /// The version being released.
    pub green_version: Version,
    /// The alias's revision after our last write or reading of it; none while it does not exist.
    pub revision_id: Option<Revision>,
    /// How many executions stand ready for the alias, where it splits the traffic: Lambda hands them over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<u32>,
    /// Whether green runs durable executions.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_durable: bool,
}

impl Target {
    /// What the alias is wanted to do with `weight` percent on green.
    ///
    /// Without a blue there is nothing to split with: the alias is made on green at the first
    /// weight above 0, and until then (and after a rollback) there is none.
    #[must_use]
    pub fn routing(&self, weight: Weight) -> Option<Routing> {
        match &self.blue_version {
            Some(blue) => Some(Routing::at(blue, &self.green_version, weight)),
            None if weight == Weight::ZERO => None,
            None => Some(Routing::Settled(self.green_version.clone())),
        }
    }

    /// Whether an alias has both versions, one as its own and the other with a share.
    #[must_use]
    pub fn is_between(&self, seen: &Alias) -> bool {
        let (Some(blue), green) = (&self.blue_version, &self.green_version) else {
            return false;
        };
        seen.kept_by(blue, green).is_some() || seen.kept_by(green, blue).is_some()
    }

    /// Where its requests are counted.
    ///
    /// An alias with weights counts each version's by `ExecutedVersion`. Whether these numbers exist
    /// while it has none is not documented, so its past is read by the alias alone, and so is a
    /// green that has all of an alias's traffic from the beginning.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let function = self.function_name.as_ref();
        let by = |qualifier: &str| -> Dimensions {
            dimensions([
                ("FunctionName", function.to_owned()),
                ("Resource", format!("{function}:{qualifier}")),
            ])
        };
        let (blue, green, past) = match (&self.called_as, &self.alias) {
            (Some(called), _) => {
                let blue = called.blue.as_deref().map(by);
                (blue.clone(), by(&called.green), blue)
            }
            (None, alias) => {
                let alias = by(alias.as_ref().map_or("", AsRef::as_ref));
                let version = |version: &Version| {
                    let mut dimensions = alias.clone();
                    dimensions.push(("ExecutedVersion".into(), version.to_string()));
                    dimensions
                };
                match &self.blue_version {
                    Some(blue) => (
                        Some(version(blue)),
                        version(&self.green_version),
                        Some(alias.clone()),
                    ),
                    None => (None, alias, None),
                }
            }
        };
        Counted {
            name: function.to_owned(),
            publisher: Publisher::Function,
            blue,
            green,
            past,
        }
    }

    /// Whether its alias was made by this release: it can have had no caller before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.called_as.is_none() && self.blue_version.is_none()
    }

    /// Every state that a deployment with this plan can have put the alias in.
    #[must_use]
    pub fn ours(&self, plan: &Plan) -> Vec<Routing> {
        match &self.blue_version {
            Some(blue) => Routing::all_of(blue, &self.green_version, plan),
            None => vec![Routing::Settled(self.green_version.clone())],
        }
    }
}
