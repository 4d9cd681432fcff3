//! How rows are named, written and read.

use serde::{Serialize, de::DeserializeOwned};

pub(super) use crate::domain::names::derived::keys::{deployment, lock, promoted, watched};
use crate::{
    domain::{
        Timestamp,
        names::Application,
        record::{Record, Status},
        restore_point::RestorePoint,
        weight::Weight,
    },
    error::Error,
    ports::{Item, Key, Value},
};

pub(super) const RUNNING: &str = "RUNNING";
pub(super) const ONE: &str = "-";

pub(super) fn key(pk: &str, sk: &str) -> Key {
    Key::new(pk, sk)
}

pub(super) fn s(text: &str) -> Value {
    Value::S(text.to_owned())
}

pub(super) fn n(number: i64) -> Value {
    Value::N(number.to_string())
}

/// A weight, in percent.
pub(super) fn percent(weight: Weight) -> Value {
    Value::N(weight.percent().to_string())
}

pub(super) fn json<T: Serialize>(value: &T) -> Value {
    Value::S(serde_json::to_string(value).expect("strings, numbers and lists always serialise"))
}

pub(super) fn text(item: &Item, name: &str) -> Option<String> {
    match item.get(name) {
        Some(Value::S(text)) => Some(text.clone()),
        _ => None,
    }
}

pub(super) fn required(item: &Item, name: &str) -> Result<String, Error> {
    text(item, name)
        .ok_or_else(|| Error::Refused(format!("a row of the ledger has no {name}").into()))
}

pub(super) fn parsed<T: DeserializeOwned>(item: &Item, name: &str) -> Result<T, Error> {
    serde_json::from_str(&required(item, name)?).map_err(|error| {
        Error::Refused(format!("a row of the ledger has no readable {name}: {error}").into())
    })
}

pub(super) fn optional<T: DeserializeOwned>(item: &Item, name: &str) -> Result<Option<T>, Error> {
    if item.contains_key(name) {
        parsed(item, name).map(Some)
    } else {
        Ok(None)
    }
}

pub(super) fn instant(item: &Item, name: &str) -> Result<Option<Timestamp>, Error> {
    let read = |time: String| {
        time.parse().map_err(|_| {
            Error::Refused(format!("a row of the ledger has no readable {name}").into())
        })
    };
    text(item, name).map(read).transpose()
}

pub(super) fn contended() -> Error {
    Error::Transient(
        "the ledger did not take a transaction: another one holds its rows, or the table is throttled; \
         try again"
            .into(),
    )
}

/// Reads a release's row.
pub(super) fn record(item: &Item) -> Result<Record, Error> {
    let unreadable =
        |what: &str| Error::Refused(format!("a row of the ledger has no readable {what}").into());
    let status = required(item, "status")?
        .parse()
        .map_err(|_| unreadable("status"))?;
    let application = Application::try_from(required(item, "application")?)
        .map_err(|_| unreadable("application"))?;
    let weight = match item.get("weight") {
        Some(Value::N(percent)) => percent.parse::<f64>().ok(),
        _ => None,
    };
    let weight = weight
        .and_then(|percent| Weight::try_from(percent).ok())
        .unwrap_or(Weight::ZERO);
    let footprint: Option<RestorePoint> = optional(item, "footprint")?;
    // A version of Crossfade that does not record it has launched this: it is unknown.
    let unknown = footprint.is_some();
    let shift_begun = match item.get("shiftBegun") {
        Some(Value::Bool(begun)) => Some(*begun),
        _ => None,
    };
    Ok(Record {
        execution: required(item, "execution")?,
        application,
        status,
        began_at: instant(item, "beganAt")?.ok_or_else(|| unreadable("beganAt"))?,
        ended_at: instant(item, "endedAt")?,
        locks: parsed(item, "locks")?,
        alarms: parsed(item, "alarms")?,
        footprint,
        weight,
        shift_begun: shift_begun.unwrap_or(unknown),
        steps: optional(item, "steps")?.unwrap_or_default(),
        token: text(item, "token"),
        asked: optional(item, "asked")?,
        wish: optional(item, "wish")?,
        on_hold_timeout: parsed(item, "onHoldTimeout")?,
        why: optional(item, "why")?,
        retain_until: instant(item, "retainUntil")?,
        retention_ended_at: instant(item, "retentionEndedAt")?,
        superseded_by: text(item, "supersededBy"),
    })
}

/// Returns the error for a release that may not go on, by its row.
pub(super) fn ended(row: Option<&Item>) -> Error {
    match row.map(record) {
        // Nothing of it is to be restored.
        Some(Ok(row)) if row.status == Status::Promoted => {
            Error::Refused("the deployment has been promoted already".into())
        }
        Some(Ok(row)) => {
            let reason = row
                .why
                .map_or_else(|| "it has ended".to_owned(), |why| why.reason);
            Error::DeploymentRolledBack(reason.into())
        }
        Some(Err(error)) => error,
        None => Error::DeploymentRolledBack("the ledger does not know this deployment".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(more: &[(&str, Value)]) -> Item {
        let footprint = serde_json::json!({
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 0, "bakeSeconds": 60}, {"weight": 100, "bakeSeconds": 0}]}});
        let mut row = Item::from([
            ("execution".to_owned(), s("a:42")),
            ("application".to_owned(), s("chat")),
            ("status".to_owned(), s("IN_FLIGHT")),
            ("beganAt".to_owned(), s("2026-11-20T12:00:00Z")),
            ("locks".to_owned(), json(&Vec::<String>::new())),
            ("alarms".to_owned(), json(&Vec::<String>::new())),
            ("onHoldTimeout".to_owned(), json(&"rollBack")),
            ("footprint".to_owned(), json(&footprint)),
        ]);
        let more = more.iter().cloned();
        row.extend(more.map(|(name, value)| (name.to_owned(), value)));
        row
    }

    #[test]
    fn counts_as_shifted_unless_it_is_known_that_no_shift_was_made() {
        use Value::Bool;
        let taken = |weight: u8| {
            json(&serde_json::json!([{"weight": weight, "startedAt": "2026-11-20T12:00:10Z"}]))
        };
        let no = || ("shiftBegun", Bool(false));
        for (more, shifted) in [
            // Launched by a version that did not record it.
            (vec![], true),
            (vec![no()], false),
            (vec![("shiftBegun", Bool(true))], true),
            (vec![no(), ("weight", n(10))], true),
            (vec![no(), ("weight", n(0))], false),
            (vec![no(), ("weight", n(0)), ("steps", taken(0))], true),
            (vec![no(), ("weight", n(0)), ("steps", taken(10))], true),
        ] {
            let read = record(&row(&more)).unwrap();
            assert_eq!(read.has_shifted(), shifted, "{more:?}");
        }
        let mut unlaunched = row(&[]);
        unlaunched.remove("footprint");
        assert!(!record(&unlaunched).unwrap().has_shifted());
    }
}
