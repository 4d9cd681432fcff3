use serde_json::json;

use super::*;
use crate::{
    domain::{names::locks, restore_point::RestorePoint, weight::Weight},
    fake::{Actor, Call, Client, Reply, Rules, Transaction, World, drive},
};

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// A release of so many functions, behind one splitter, that watches so many alarms.
fn release(functions: usize, alarms: usize) -> Record {
    let targets: Vec<_> = (0..functions)
        .map(|nth| {
            json!({"functionName": format!("f{nth}"), "alias": "live", "blueVersion": "4",
                "greenVersion": "5", "revisionId": null})
        })
        .collect();
    let footprint: RestorePoint = serde_json::from_value(json!({
        "functions": targets, "plan": {"steps": [{"weight": 100, "bakeSeconds": 0}]},
        "traffic": {"type": "route53", "hostedZoneId": "Z1", "recordName": "api.example.com",
            "recordType": "A", "blue": "blue", "green": "green", "dnsSeconds": 60},
    }))
    .unwrap();
    let application: Application = "chat".parse().unwrap();
    let names: Vec<_> = footprint.functions.iter().collect();
    let names: Vec<_> = names.iter().map(|target| &target.function_name).collect();
    Record {
        execution: "arn:x:42".into(),
        locks: locks::names(&application, &names, &["rule/r".to_owned()]),
        application,
        alarms: (0..alarms)
            .map(|nth| format!("a{nth}").parse().unwrap())
            .collect(),
        footprint: Some(footprint),
        weight: Weight::FULL,
        steps: Vec::new(),
        ..Record::example()
    }
}

/// Returns the key of every row of every transaction that promotes a release.
fn promoted(functions: usize, alarms: usize) -> Vec<Vec<String>> {
    let kept = Retention {
        until: at("2026-11-21T11:00:00Z"),
        keep_versions: NonZeroU32::new(10),
    };
    let record = release(functions, alarms);
    let (ended, calls) = drive(&mut in_flight(), |client| async move {
        let now = at("2026-11-20T12:00:00Z");
        let ledger = Ledger::on(client);
        ledger.end(&record, Status::Promoted, now, Some(kept)).await
    });
    assert_eq!(ended, Ok(()));
    let keys = |call: Call| match call {
        Call::Transact(writes) => writes.into_iter().map(|write| write.key.pk).collect(),
        other => panic!("{other:?} is no transaction"),
    };
    calls.into_iter().map(keys).collect()
}

/// Returns a ledger with the row of a release in flight.
fn in_flight() -> World {
    let mut world = World::default();
    let put = RowWrite::put(key(&deployment("arn:x:42"), ONE)).item("status", s("IN_FLIGHT"));
    world.apply(&Call::Write(put), &Rules::default());
    world
}

fn count(keys: &[String], of: &str) -> usize {
    keys.iter().filter(|key| key.starts_with(of)).count()
}

#[test]
fn records_retention_with_the_promotion() {
    let asked = promoted(2, 1);
    assert_eq!(asked.len(), 1, "one call: {asked:?}");
    assert_eq!(count(&asked[0], "RETAINED#f"), 2);
    assert_eq!(count(&asked[0], "PROMOTED#chat"), 1);
    assert_eq!(count(&asked[0], "RETENTIONS#chat"), 1);
    assert_eq!(count(&asked[0], "LOCK#"), 4);
    let splitter = "SPLITTER#record/Z1/api.example.com/A";
    assert_eq!(count(&asked[0], splitter), 1, "{asked:?}");
}

#[test]
fn records_when_weights_were_moved_only_where_they_were() {
    let now = at("2026-11-20T12:00:00Z");
    let rows =
        |record: &Record, status| Ledger::<Client>::moved_splitters(record, status, now).len();
    let mut record = release(1, 0);
    assert_eq!(rows(&record, Status::Promoted), 1);
    assert_eq!(rows(&record, Status::RolledBack), 1);
    assert_eq!(rows(&record, Status::Rejected), 0);
    assert_eq!(rows(&record, Status::Unchanged), 0);
    record.footprint = None;
    assert_eq!(rows(&record, Status::RolledBack), 0);
}

/// Returns what comes of ending a release whose row is so.
fn ended_as(status: Status, row: &str) -> Result<(), Error> {
    let row = Item::from(
        [
            ("execution", "arn:x:42"),
            ("application", "chat"),
            ("status", row),
            ("beganAt", "2026-11-20T11:00:00Z"),
            ("locks", "[]"),
            ("alarms", "[]"),
            ("onHoldTimeout", "\"rollBack\""),
            (
                "why",
                r#"{"reason": "an alarm fired", "at": "2026-11-20T11:30:00Z"}"#,
            ),
        ]
        .map(|(name, text)| (name.to_owned(), s(text))),
    );
    let kept = Retention {
        until: at("2026-11-21T11:00:00Z"),
        keep_versions: None,
    };
    let record = release(1, 0);
    let mut actor = Actor::new(|client| async move {
        let now = at("2026-11-20T12:00:00Z");
        Ledger::on(client)
            .end(&record, status, now, Some(kept))
            .await
    });
    let refused = Transaction::Refused(vec![(0, Some(row.into()))]);
    actor.answer(0, Reply::Transacted(refused));
    actor.into_done().expect("it is one call")
}

#[test]
fn treats_a_repeated_promotion_as_done() {
    assert_eq!(ended_as(Status::Promoted, "PROMOTED"), Ok(()));
    let told = ended_as(Status::Promoted, "ROLLING_BACK");
    let why = Error::DeploymentRolledBack("an alarm fired".into());
    assert_eq!(told, Err(why));
}

#[test]
fn writes_retention_first_across_transactions() {
    // The largest release that can be requested.
    let asked = promoted(50, 40);
    assert_eq!(asked.len(), 2);
    assert_eq!(count(&asked[0], "RETAINED#"), 50);
    assert_eq!(asked[0].len(), 50, "and nothing else: {:?}", asked[0]);
    assert_eq!(count(&asked[1], "PROMOTED#"), 1);
    assert_eq!(count(&asked[1], "RETAINED#"), 0);
    assert!(asked[1].len() <= MOST_ITEMS, "{}", asked[1].len());
}

#[test]
fn round_trips_retention_rows() {
    let kept = Retention {
        until: at("2026-11-21T11:00:00Z"),
        keep_versions: NonZeroU32::new(10),
    };
    let (read, _) = drive(&mut World::default(), |client| async move {
        let ledger = Ledger::on(client);
        let rows = Ledger::<Client>::promises_of(&release(1, 0), kept);
        ledger.store.transact("", rows).await.unwrap();
        let key = retained(&"f0".parse().unwrap());
        ledger.store.query(&key).await.unwrap()
    });
    let row = &read[0];
    let read = promise(row).unwrap();
    let expected = Promise {
        execution: "arn:x:42".into(),
        application: "chat".parse().unwrap(),
        green: "5".parse().unwrap(),
        blue: Some("4".parse().unwrap()),
        until: kept.until,
        keep_versions: kept.keep_versions,
    };
    assert_eq!(read, expected);
    let mut wrong = row.clone();
    wrong.insert("blue".into(), s("$LATEST"));
    assert!(promise(&wrong).is_err(), "or it would not be kept");
    wrong.insert("blue".into(), n(4));
    assert!(promise(&wrong).is_err());
}
