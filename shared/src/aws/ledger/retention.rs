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

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem};
use chrono::TimeDelta;
use futures::future::try_join_all;

use super::{
    Ledger,
    record::{Record, Status},
    rows::{
        Item, ONE, cancelled, contended, deployment, failed_condition, failed_first, instant, json,
        key, lock, n, parsed, promoted, required, s, text, watched, write_put,
    },
    write::write,
};
use crate::{
    aws::classify::classify,
    domain::{
        Timestamp,
        names::{
            Application, FunctionName,
            derived::keys::{doomed, retained, retentions},
        },
        retention::{Promise, Span},
    },
    error::Error,
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

impl Ledger {
    /// The rows that a promotion puts on record.
    pub(super) fn promises_of(
        &self,
        record: &Record,
        retention: Retention,
    ) -> Vec<TransactWriteItem> {
        let functions = record.footprint.iter().flat_map(|print| &print.functions);
        functions
            .map(|target| {
                let mut put = self
                    .put(key(&retained(&target.function_name), &record.execution))
                    .item("application", s(record.application.as_ref()))
                    .item("green", s(target.green_version.as_ref()))
                    .item("until", s(&retention.until.to_rfc3339()));
                if let Some(blue) = &target.blue_version {
                    put = put.item("blue", s(blue.as_ref()));
                }
                if let Some(count) = retention.keep_versions {
                    put = put.item("keepVersions", n(i64::from(count.get())));
                }
                write_put(put)
            })
            .collect()
    }

    /// The row by which a newer release finds this one's retention.
    pub(super) fn open_retention(&self, record: &Record) -> TransactWriteItem {
        write_put(self.put(key(&retentions(&record.application), &record.execution)))
    }

    /// Takes it away: the retention is over, superseded or taken back.
    pub(super) fn close_retention(&self, record: &Record) -> TransactWriteItem {
        let row = key(&retentions(&record.application), &record.execution);
        self.delete(row, None)
    }

    /// That no release of the application was promoted after this one.
    pub(super) fn is_promoted_last(&self, record: &Record) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(&promoted(&record.application), ONE)))
            .condition_expression("execution = :last")
            .expression_attribute_values(":last", s(&record.execution))
            .build()
            .expect("table, key and condition are given");
        TransactWriteItem::builder().condition_check(check).build()
    }

    /// Puts `first` in front of `ending` where one transaction takes both. Where it does not, they
    /// are written before: a promise too many keeps a version too many, and one too few loses one.
    pub(super) async fn before(
        &self,
        first: Vec<TransactWriteItem>,
        mut ending: Vec<TransactWriteItem>,
    ) -> Result<Vec<TransactWriteItem>, Error> {
        if ending.len() + first.len() <= MOST_ITEMS {
            ending.extend(first);
        } else {
            self.write(first, "promising to keep versions").await?;
        }
        Ok(ending)
    }

    /// Writes rows that have no conditions, or as many at a time as one transaction takes.
    async fn write(&self, items: Vec<TransactWriteItem>, what: &str) -> Result<(), Error> {
        for some in items.chunks(MOST_ITEMS) {
            self.transact(some.to_vec())
                .await
                .map_err(|error| match cancelled(&error) {
                    Some(_) => contended(),
                    None => classify(what, &error),
                })?;
        }
        Ok(())
    }

    /// What is promised of a function, by all applications.
    pub async fn promises(&self, function: &FunctionName) -> Result<Vec<Promise>, Error> {
        let rows = self.query(&retained(function)).await?;
        rows.iter().map(promise).collect()
    }

    /// The deployment that holds a function's lock, if one does.
    pub async fn holder(&self, function: &FunctionName) -> Result<Option<Holder>, Error> {
        let row = self
            .row(key(&lock(&format!("function/{function}")), ONE))
            .await?;
        let Some(row) = row else { return Ok(None) };
        let execution = required(&row, "execution")?;
        let record = self.get(&execution).await?;
        Ok(Some(Holder { execution, record }))
    }

    /// The release of an application that was promoted last, whoever holds the application now.
    pub async fn promoted_last(&self, application: &Application) -> Result<Option<String>, Error> {
        let row = self.row(key(&promoted(application), ONE)).await?;
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
            self.query(&key_of_open),
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
                .map(|promise| self.delete(key(&retained(function), &promise.execution), None))
        });
        self.write(rows.collect(), "taking off what is superseded")
            .await?;
        Ok(older)
    }

    async fn end_superseded(&self, execution: &str, by: &Record) -> Result<(), Error> {
        let record = self.get(execution).await?;
        let closed = self.delete(key(&retentions(&by.application), execution), None);
        let Some(record) = record.filter(|record| record.status == Status::Promoted) else {
            return self.write(vec![closed], "ending a retention").await;
        };
        let update = self
            .update(key(&deployment(execution), ONE))
            .update_expression("SET supersededBy = :by")
            .condition_expression("#status = :promoted")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":promoted", s(Status::Promoted.word()))
            .expression_attribute_values(":by", s(&by.execution))
            .build()
            .expect("table, key and expression are given");
        let mut items = vec![TransactWriteItem::builder().update(update).build(), closed];
        items.extend(self.watches_end(&record));
        self.write(items, "ending a retention").await
    }

    fn watches_end<'a>(
        &'a self,
        record: &'a Record,
    ) -> impl Iterator<Item = TransactWriteItem> + 'a {
        let watches = record.alarms.iter();
        watches.map(|alarm| self.delete(key(&watched(alarm), &record.execution), None))
    }

    /// Ends a promoted release's retention: from here on nothing takes it back, and its alarms are
    /// watched no more. False when it was taken back or superseded before. Free to repeat.
    pub async fn end_retention(&self, record: &Record, now: Timestamp) -> Result<bool, Error> {
        let update = self
            .update(key(&deployment(&record.execution), ONE))
            .update_expression("SET retentionEndedAt = if_not_exists(retentionEndedAt, :now)")
            .condition_expression("#status = :promoted")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":promoted", s(Status::Promoted.word()))
            .expression_attribute_values(":now", s(&now.to_rfc3339()))
            .build()
            .expect("table, key and expression are given");
        let mut items = vec![
            TransactWriteItem::builder().update(update).build(),
            self.is_promoted_last(record),
            self.close_retention(record),
        ];
        items.extend(self.watches_end(record));
        match self.transact(items).await {
            Ok(()) => Ok(true),
            Err(error) if failed_first(&error, 2) => Ok(false),
            Err(error) if cancelled(&error).is_some() => Err(contended()),
            Err(error) => Err(classify("ending the retention", &error)),
        }
    }

    /// Takes blue off a release's promise, if it still has one for this function.
    pub async fn release_blue(
        &self,
        function: &FunctionName,
        execution: &str,
    ) -> Result<(), Error> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&retained(function), execution)))
            .update_expression("REMOVE blue")
            .condition_expression("attribute_exists(pk)");
        match write(|| update.clone().send()).await {
            Ok(_) => Ok(()),
            Err(error) if failed_condition(&error).is_some() => Ok(()),
            Err(error) => Err(classify("taking blue off the record", &error)),
        }
    }

    /// Says that versions of a function are about to be deleted, by this cleanup.
    pub async fn doom(
        &self,
        function: &FunctionName,
        cleanup: &str,
        versions: &[Span],
        now: Timestamp,
    ) -> Result<(), Error> {
        let put = self
            .put(key(&doomed(function), cleanup))
            .item("versions", json(&versions))
            .item("at", s(&now.to_rfc3339()))
            .item("expiresAt", n((now + DOOMED).timestamp()));
        self.write(vec![write_put(put)], "dooming versions").await
    }

    /// Says that this cleanup deletes no more of them.
    pub async fn spare(&self, function: &FunctionName, cleanup: &str) -> Result<(), Error> {
        let row = self.delete(key(&doomed(function), cleanup), None);
        self.write(vec![row], "sparing versions").await
    }

    /// The versions of a function that are about to be deleted.
    pub async fn doomed(
        &self,
        function: &FunctionName,
        now: Timestamp,
    ) -> Result<Vec<Span>, Error> {
        let mut versions = Vec::new();
        for row in self.query(&doomed(function)).await? {
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
        |what: &str| Error::Refused(format!("a row of the ledger has no readable {what}"));
    let version = |name: &str| {
        let version = required(row, name)?;
        version.parse().map_err(|_| unreadable(name))
    };
    let keep_versions = match row.get("keepVersions") {
        None => None,
        Some(AttributeValue::N(number)) => {
            Some(number.parse().map_err(|_| unreadable("keepVersions"))?)
        }
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
        aws::ledger::table::{ledger, ledger_on},
        domain::{approval::OnHoldTimeout, names::locks, release::Footprint, weight::Weight},
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
        let footprint: Footprint = serde_json::from_value(json!({
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

    /// The first key of every row of every transaction, after the release was promoted.
    async fn promoted(functions: usize, alarms: usize) -> Vec<Vec<String>> {
        let (ledger, table) = ledger();
        let kept = Retention {
            until: at("2026-11-21T11:00:00Z"),
            keep_versions: NonZeroU32::new(10),
        };
        let record = release(functions, alarms);
        let now = at("2026-11-20T12:00:00Z");
        ledger
            .end(&record, Status::Promoted, now, Some(kept))
            .await
            .unwrap();
        table
            .asked()
            .iter()
            .map(|asked| {
                let items = asked["TransactItems"].as_array().expect("it has items");
                let keys = items.iter().map(|item| {
                    let act = item.as_object().and_then(|item| item.values().next());
                    let act = act.expect("an item is an act");
                    let pk = act["Key"]["pk"]["S"].as_str();
                    pk.or(act["Item"]["pk"]["S"].as_str())
                        .expect("it has a key")
                        .to_owned()
                });
                keys.collect()
            })
            .collect()
    }

    fn count(keys: &[String], of: &str) -> usize {
        keys.iter().filter(|key| key.starts_with(of)).count()
    }

    #[tokio::test]
    async fn a_promise_is_on_record_with_the_promotion() {
        let asked = promoted(2, 1).await;
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
        let (ledger, _) = ledger();
        let now = at("2026-11-20T12:00:00Z");
        let rows = |record: &Record, status| ledger.moved_splitters(record, status, now).len();
        let mut record = release(1, 0);
        assert_eq!(rows(&record, Status::Promoted), 1);
        assert_eq!(rows(&record, Status::RolledBack), 1);
        assert_eq!(rows(&record, Status::Rejected), 0);
        assert_eq!(rows(&record, Status::Unchanged), 0);
        record.footprint = None;
        assert_eq!(rows(&record, Status::RolledBack), 0);
    }

    /// What comes of ending a release whose row says so.
    async fn ended_as(status: Status, row: &str) -> Result<(), Error> {
        let text = |text: &str| json!({ "S": text });
        let row = json!({
            "execution": text("arn:x:42"), "application": text("chat"), "status": text(row),
            "beganAt": text("2026-11-20T11:00:00Z"), "locks": text("[]"), "alarms": text("[]"),
            "onHoldTimeout": text("\"rollBack\""),
            "why": text(r#"{"reason": "an alarm fired", "at": "2026-11-20T11:30:00Z"}"#),
        });
        let cancelled = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons": [
                {"Code": "ConditionalCheckFailed", "Item": row}, {"Code": "None"},
            ],
        });
        let (ledger, _) = ledger_on([(400, cancelled)]);
        let kept = Retention {
            until: at("2026-11-21T11:00:00Z"),
            keep_versions: None,
        };
        let now = at("2026-11-20T12:00:00Z");
        ledger.end(&release(1, 0), status, now, Some(kept)).await
    }

    #[tokio::test]
    async fn a_promotion_that_is_repeated_has_been_made() {
        assert_eq!(ended_as(Status::Promoted, "PROMOTED").await, Ok(()));
        let told = ended_as(Status::Promoted, "ROLLING_BACK").await;
        let why = Error::DeploymentRolledBack("an alarm fired".into());
        assert_eq!(told, Err(why));
    }

    #[tokio::test]
    async fn where_one_transaction_does_not_take_both_the_promise_comes_first() {
        // The largest release that can be asked for.
        let asked = promoted(50, 40).await;
        assert_eq!(asked.len(), 2);
        assert_eq!(count(&asked[0], "RETAINED#"), 50);
        assert_eq!(asked[0].len(), 50, "and nothing else: {:?}", asked[0]);
        assert_eq!(count(&asked[1], "PROMOTED#"), 1);
        assert_eq!(count(&asked[1], "RETAINED#"), 0);
        assert!(asked[1].len() <= MOST_ITEMS, "{}", asked[1].len());
    }

    #[test]
    fn a_promise_is_read_as_it_is_written() {
        let (ledger, _) = ledger();
        let kept = Retention {
            until: at("2026-11-21T11:00:00Z"),
            keep_versions: NonZeroU32::new(10),
        };
        let rows = ledger.promises_of(&release(1, 0), kept);
        let row = rows[0].put().expect("it is put").item();
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
