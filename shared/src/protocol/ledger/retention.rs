//! What promoted releases have promised to keep, and how a promise ends.
//!
//! A promise is a row for each function, put on record with the promotion. It ends by an act and
//! never by the clock, so whoever asks whether a version is needed compares no times: blue's part is
//! taken off when the retention is over, and the whole row when a newer release of the application
//! has one in its place. What was promoted last therefore stays on record for as long as it serves.
//!
//! A release that wants a version that exists, and a cleanup that is about to delete it, cannot miss
//! each other: the one takes the function's lock and then reads what is doomed, the other puts the
//! version among the doomed and then reads the lock.

use std::num::NonZeroU32;

use chrono::TimeDelta;
use futures::future::try_join_all;

use super::{
    Ledger,
    attributes::{
        ONE, contended, deployment, instant, json, key, lock, n, parsed, promoted, required, s,
        text, watched,
    },
};
use crate::{
    domain::{
        Timestamp,
        names::{
            Application, FunctionName,
            derived::keys::{doomed, retained, retentions},
        },
        record::{Record, Status},
        retention::{Promise, Span},
    },
    error::Error,
    ports::{Item, LedgerStore, RowWrite, Transacted, Value},
};

/// The most items of one transaction (AWS's limit).
const MOST_ITEMS: usize = 100;

/// How long versions stay doomed when the cleanup died before it could say that it is done: longer
/// than the state that deletes them can take, all its tries together.
const DOOMED: TimeDelta = TimeDelta::hours(2);

/// What a promoted release keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Until when blue is kept.
    pub until: Timestamp,
    /// How many of each function's newest versions are kept after that; all when none.
    pub keep_versions: Option<NonZeroU32>,
}

/// The deployment that holds a function's lock.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Its execution's ARN.
    pub execution: String,
    /// Its row; none when it has none yet.
    pub record: Option<Record>,
}

impl<S: LedgerStore> Ledger<S> {
    /// The rows that a promotion puts on record.
    pub(super) fn promises_of(record: &Record, retention: Retention) -> Vec<RowWrite> {
        let functions = record.footprint.iter().flat_map(|print| &print.functions);
        functions
            .map(|target| {
                let mut put =
                    RowWrite::put(key(&retained(&target.function_name), &record.execution))
                        .item("application", s(record.application.as_ref()))
                        .item("green", s(target.green_version.as_ref()))
                        .item("until", s(&retention.until.to_rfc3339()));
                if let Some(blue) = &target.blue_version {
                    put = put.item("blue", s(blue.as_ref()));
                }
                if let Some(count) = retention.keep_versions {
                    put = put.item("keepVersions", n(i64::from(count.get())));
                }
                put
            })
            .collect()
    }

    /// The row by which a newer release finds this one's retention.
    pub(super) fn open_retention(record: &Record) -> RowWrite {
        RowWrite::put(key(&retentions(&record.application), &record.execution))
    }

    /// Takes it away: the retention is over, superseded or taken back.
    pub(super) fn close_retention(record: &Record) -> RowWrite {
        RowWrite::delete(key(&retentions(&record.application), &record.execution))
    }

    /// That no release of the application was promoted after this one.
    pub(super) fn is_promoted_last(record: &Record) -> RowWrite {
        RowWrite::check(key(&promoted(&record.application), ONE))
            .condition("execution = :last")
            .value(":last", s(&record.execution))
    }

    /// Puts `first` in front of `ending` where one transaction takes both. Where it does not, they
    /// are written before: a promise too many keeps a version too many, and one too few loses one.
    pub(super) async fn before(
        &self,
        first: Vec<RowWrite>,
        mut ending: Vec<RowWrite>,
    ) -> Result<Vec<RowWrite>, Error> {
        if ending.len() + first.len() <= MOST_ITEMS {
            ending.extend(first);
        } else {
            self.write(first, "promising to keep versions").await?;
        }
        Ok(ending)
    }

    /// Writes rows that have no conditions, or as many at a time as one transaction takes.
    async fn write(&self, items: Vec<RowWrite>, what: &str) -> Result<(), Error> {
        for some in items.chunks(MOST_ITEMS) {
            match self.store.transact(what, some.to_vec()).await? {
                Transacted::Done => {}
                Transacted::Refused(_) | Transacted::Contended => return Err(contended()),
            }
        }
        Ok(())
    }

    /// What is promised of a function, by all applications.
    pub async fn promises(&self, function: &FunctionName) -> Result<Vec<Promise>, Error> {
        let rows = self.store.query(&retained(function)).await?;
        rows.iter().map(promise).collect()
    }

    /// The deployment that holds a function's lock, if one does.
    pub async fn holder(&self, function: &FunctionName) -> Result<Option<Holder>, Error> {
        let row = self
            .store
            .row(&key(&lock(&format!("function/{function}")), ONE))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let execution = required(&row, "execution")?;
        let record = self.get(&execution).await?;
        Ok(Some(Holder { execution, record }))
    }

    /// The release of an application that was promoted last, whoever holds the application now.
    pub async fn promoted_last(&self, application: &Application) -> Result<Option<String>, Error> {
        let row = self.store.row(&key(&promoted(application), ONE)).await?;
        Ok(row.and_then(|row| text(&row, "execution")))
    }

    /// Ends the retention of all releases of the application that were promoted before this one:
    /// their alarms are watched no more, and what they kept of this one's functions is kept no more.
    /// Returns them. Does nothing when this one is not the last itself.
    pub async fn supersede(&self, record: &Record) -> Result<Vec<String>, Error> {
        let functions = record.footprint.iter().flat_map(|print| &print.functions);
        let names: Vec<_> = functions.map(|target| &target.function_name).collect();
        let key_of_open = retentions(&record.application);
        let (open, kept) = futures::try_join!(
            self.store.query(&key_of_open),
            try_join_all(names.iter().map(|name| self.promises(name))),
        )?;
        // Asked after they were read: whatever was among them and is not this, came before it.
        let last = self.promoted_last(&record.application).await?;
        if last.as_deref() != Some(&record.execution) {
            return Ok(Vec::new());
        }
        let mut older = Vec::new();
        for row in open {
            let execution = required(&row, "sk")?;
            if execution != record.execution {
                self.end_superseded(&execution, record).await?;
                older.push(execution);
            }
        }
        let rows = names.iter().zip(&kept).flat_map(|(function, promises)| {
            promises
                .iter()
                .filter(|promise| promise.application == record.application)
                .filter(|promise| promise.execution != record.execution)
                .map(|promise| RowWrite::delete(key(&retained(function), &promise.execution)))
        });
        self.write(rows.collect(), "taking off what is superseded")
            .await?;
        Ok(older)
    }

    async fn end_superseded(&self, execution: &str, by: &Record) -> Result<(), Error> {
        let record = self.get(execution).await?;
        let closed = RowWrite::delete(key(&retentions(&by.application), execution));
        let Some(record) = record.filter(|record| record.status == Status::Promoted) else {
            return self.write(vec![closed], "ending a retention").await;
        };
        let update = RowWrite::update(key(&deployment(execution), ONE), "SET supersededBy = :by")
            .condition("#status = :promoted")
            .name("#status", "status")
            .value(":promoted", s(Status::Promoted.word()))
            .value(":by", s(&by.execution));
        let mut items = vec![update, closed];
        items.extend(Self::watches_end(&record));
        self.write(items, "ending a retention").await
    }

    fn watches_end(record: &Record) -> impl Iterator<Item = RowWrite> {
        let watches = record.alarms.iter();
        watches.map(|alarm| RowWrite::delete(key(&watched(alarm), &record.execution)))
    }

    /// Ends a promoted release's retention: from here on nothing takes it back, and its alarms are
    /// watched no more. False when it was taken back or superseded before. Free to repeat.
    pub async fn end_retention(&self, record: &Record, now: Timestamp) -> Result<bool, Error> {
        let update = RowWrite::update(
            key(&deployment(&record.execution), ONE),
            "SET retentionEndedAt = if_not_exists(retentionEndedAt, :now)",
        )
        .condition("#status = :promoted")
        .name("#status", "status")
        .value(":promoted", s(Status::Promoted.word()))
        .value(":now", s(&now.to_rfc3339()));
        let mut items = vec![
            update,
            Self::is_promoted_last(record),
            Self::close_retention(record),
        ];
        items.extend(Self::watches_end(record));
        match self.store.transact("ending the retention", items).await? {
            Transacted::Done => Ok(true),
            Transacted::Refused(refused) if refused.iter().any(|one| one.nth < 2) => Ok(false),
            Transacted::Refused(_) | Transacted::Contended => Err(contended()),
        }
    }

    /// Takes blue off a release's promise, if it still has one for this function.
    pub async fn release_blue(
        &self,
        function: &FunctionName,
        execution: &str,
    ) -> Result<(), Error> {
        let row = RowWrite::update(key(&retained(function), execution), "REMOVE blue")
            .condition("attribute_exists(pk)");
        self.store
            .write("taking blue off the record", row)
            .await
            .map(drop)
    }

    /// Says that versions of a function are about to be deleted, by this cleanup.
    pub async fn doom(
        &self,
        function: &FunctionName,
        cleanup: &str,
        versions: &[Span],
        now: Timestamp,
    ) -> Result<(), Error> {
        let put = RowWrite::put(key(&doomed(function), cleanup))
            .item("versions", json(&versions))
            .item("at", s(&now.to_rfc3339()))
            .item("expiresAt", n((now + DOOMED).timestamp()));
        self.write(vec![put], "dooming versions").await
    }

    /// Says that this cleanup deletes no more of them.
    pub async fn spare(&self, function: &FunctionName, cleanup: &str) -> Result<(), Error> {
        let row = RowWrite::delete(key(&doomed(function), cleanup));
        self.write(vec![row], "sparing versions").await
    }

    /// The versions of a function that are about to be deleted.
    pub async fn doomed(
        &self,
        function: &FunctionName,
        now: Timestamp,
    ) -> Result<Vec<Span>, Error> {
        let mut versions = Vec::new();
        for row in self.store.query(&doomed(function)).await? {
            if instant(&row, "at")?.is_some_and(|at| now - at < DOOMED) {
                versions.extend(parsed::<Vec<Span>>(&row, "versions")?);
            }
        }
        Ok(versions)
    }
}

/// What cannot be read is an error, and not a promise less.
fn promise(row: &Item) -> Result<Promise, Error> {
    let unreadable =
        |what: &str| Error::Refused(format!("a row of the ledger has no readable {what}").into());
    let version = |name: &str| {
        let version = required(row, name)?;
        version.parse().map_err(|_| unreadable(name))
    };
    let keep_versions = match row.get("keepVersions") {
        None => None,
        Some(Value::N(number)) => Some(number.parse().map_err(|_| unreadable("keepVersions"))?),
        Some(_) => return Err(unreadable("keepVersions")),
    };
    let has_blue = row.contains_key("blue");
    Ok(Promise {
        execution: required(row, "sk")?,
        application: required(row, "application")?
            .parse()
            .map_err(|_| unreadable("application"))?,
        green: version("green")?,
        blue: has_blue.then(|| version("blue")).transpose()?,
        until: instant(row, "until")?.ok_or_else(|| unreadable("until"))?,
        keep_versions,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::{
            approval::OnHoldTimeout, names::locks, restore_point::RestorePoint, weight::Weight,
        },
        fake::{Actor, Call, Client, Reply, Rules, Transaction, World, drive},
    };

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    /// A release of so many functions, behind one door, that watches so many alarms.
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
            status: Status::InFlight,
            began_at: at("2026-11-20T11:00:00Z"),
            alarms: (0..alarms)
                .map(|nth| format!("a{nth}").parse().unwrap())
                .collect(),
            footprint: Some(footprint),
            weight: Weight::FULL,
            shift_begun: true,
            steps: Vec::new(),
            token: None,
            asked: None,
            wish: None,
            on_hold_timeout: OnHoldTimeout::RollBack,
            why: None,
            retain_until: None,
            retention_ended_at: None,
            superseded_by: None,
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
    fn a_promise_is_on_record_with_the_promotion() {
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
    fn a_promotion_that_is_repeated_has_been_made() {
        assert_eq!(ended_as(Status::Promoted, "PROMOTED"), Ok(()));
        let told = ended_as(Status::Promoted, "ROLLING_BACK");
        let why = Error::DeploymentRolledBack("an alarm fired".into());
        assert_eq!(told, Err(why));
    }

    #[test]
    fn where_one_transaction_does_not_take_both_the_promise_comes_first() {
        // The largest release that can be asked for.
        let asked = promoted(50, 40);
        assert_eq!(asked.len(), 2);
        assert_eq!(count(&asked[0], "RETAINED#"), 50);
        assert_eq!(asked[0].len(), 50, "and nothing else: {:?}", asked[0]);
        assert_eq!(count(&asked[1], "PROMOTED#"), 1);
        assert_eq!(count(&asked[1], "RETAINED#"), 0);
        assert!(asked[1].len() <= MOST_ITEMS, "{}", asked[1].len());
    }

    #[test]
    fn a_promise_is_read_as_it_is_written() {
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
}
