//! What needs a function's versions at this moment.

use std::num::NonZeroU32;

use crossfade::{
    domain::{
        names::FunctionName,
        retention::{Hold, Promise, RetainReason, keep_versions, name_of},
    },
    error::Error,
    protocol::ledger::Holder,
};

use crate::Handler;

/// What needs versions, and how many of the newest stay in any case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Needs {
    pub(crate) holds: Vec<Hold>,
    pub(crate) keep: Option<NonZeroU32>,
}

impl Needs {
    /// Why any version may be needed, where that is so.
    pub(crate) fn any(&self) -> Option<&RetainReason> {
        let all = self.holds.iter().find(|hold| hold.version.is_none());
        all.map(|hold| &hold.because)
    }
}

impl Handler {
    /// Reads what needs a function's versions. `ending` is the release whose blue need not be kept
    /// any more.
    pub(crate) async fn needs(
        &self,
        function: &FunctionName,
        ending: &str,
    ) -> Result<Needs, Error> {
        // What a service's control plane is asked goes first: it takes the longest, and the ledger's
        // answer should be the freshest.
        let mut holds = self.versions.aliases(function).await?;
        let (promises, holder) =
            futures::try_join!(self.ledger.promises(function), self.ledger.holder(function))?;
        holds.extend(promised(&promises, ending));
        holds.extend(holder.iter().flat_map(|holder| in_flight(function, holder)));
        Ok(Needs {
            holds,
            keep: keep_versions(&promises),
        })
    }
}

fn promised(promises: &[Promise], ending: &str) -> Vec<Hold> {
    let kept = promises.iter().map(|promise| Promise {
        blue: promise.blue.clone().filter(|_| promise.execution != ending),
        ..promise.clone()
    });
    kept.flat_map(|promise| promise.holds().collect::<Vec<_>>())
        .collect()
}

/// What the release that has the function's lock needs of it: both its versions, or any while it has
/// not fixed them.
fn in_flight(function: &FunctionName, holder: &Holder) -> Vec<Hold> {
    let release = name_of(&holder.execution).to_owned();
    let footprint = holder
        .record
        .as_ref()
        .and_then(|row| row.footprint.as_ref());
    let Some(footprint) = footprint else {
        return vec![Hold {
            version: None,
            because: RetainReason::Beginning { release },
        }];
    };
    let because = RetainReason::InFlight { release };
    let targets = footprint.functions.iter();
    targets
        .filter(|target| target.function_name == *function)
        .flat_map(|target| target.blue_version.iter().chain([&target.green_version]))
        .map(|version| Hold::on(version, because.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use crossfade::domain::{names::Version, restore_point::RestorePoint};
    use serde_json::json;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn held(holds: &[Hold]) -> Vec<&str> {
        let versions = holds.iter().map(|hold| hold.version.as_ref());
        versions
            .map(|version| version.map_or("any", AsRef::as_ref))
            .collect()
    }

    #[test]
    fn drops_only_the_released_blue() {
        let promise = |execution: &str, green: &str, blue: &str| Promise {
            execution: execution.into(),
            application: "chat".parse().unwrap(),
            green: version(green),
            blue: Some(version(blue)),
            until: "2026-11-21T12:00:00Z".parse().unwrap(),
            keep_versions: None,
        };
        let promises = [promise("a:1", "5", "4"), promise("a:2", "9", "8")];
        assert_eq!(held(&promised(&promises, "a:1")), ["5", "9", "8"]);
        assert_eq!(held(&promised(&promises, "a:3")), ["5", "4", "9", "8"]);
    }

    #[test]
    fn holds_both_versions_of_a_release_in_flight() {
        let (function, other) = ("f".parse().unwrap(), "g".parse().unwrap());
        let footprint: RestorePoint = serde_json::from_value(json!({
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "4",
                "greenVersion": "2", "revisionId": null}],
            "plan": {"steps": [{"weight": 100, "bakeSeconds": 0}]},
        }))
        .unwrap();
        let mut holder = Holder {
            execution: "arn:x:43".into(),
            record: None,
        };
        assert_eq!(held(&in_flight(&function, &holder)), ["any"]);
        let mut record =
            crate::retention_status::tests::record(crossfade::domain::record::Status::Preparing);
        holder.record = Some(record.clone());
        assert_eq!(held(&in_flight(&function, &holder)), ["any"]);
        record.footprint = Some(footprint);
        holder.record = Some(record);
        assert_eq!(held(&in_flight(&function, &holder)), ["4", "2"]);
        // It has left this one out: what serves there stays what it is.
        assert_eq!(in_flight(&other, &holder), []);
    }
}
