//! The ledger: a DynamoDB table of locks, deployments and what watches them.
//!
//! Access patterns, one call each; keys are `pk` alone:
//!
//! | question or act                                   | call                | items                                |
//! |---------------------------------------------------|---------------------|--------------------------------------|
//! | take all locks of a deployment, or none           | TransactWriteItems  | `LOCK#…` each, `DEPLOYMENT#…`, `RUNNING` |
//! | fix the versions, and arm the alarms              | TransactWriteItems  | `DEPLOYMENT#…`, `ALARM#…` each       |
//! | record a shift (and keep the alarms' copy true)   | TransactWriteItems  | the same                             |
//! | which deployments watch this alarm                | Query `ALARM#name`  | with all that a rollback needs       |
//! | record that the first shift begins, or was refused| UpdateItem          | `DEPLOYMENT#…`                       |
//! | tell a deployment to go back to blue              | UpdateItem          | `DEPLOYMENT#…`                       |
//! | ask a person, and take in that one has answered   | UpdateItem          | `DEPLOYMENT#…`                       |
//! | wish for a hold, or for the end of the plan       | UpdateItem          | `DEPLOYMENT#…`                       |
//! | how is this deployment                            | GetItem             | `DEPLOYMENT#…`                       |
//! | which deployments have not ended, or are untold of| Query `RUNNING`     | one row a deployment                 |
//! | who holds this application, what was promoted last| BatchGetItem        | `LOCK#application/…`, `PROMOTED#…`   |
//! | end a deployment, and give back all its locks     | TransactWriteItems  | all of the above; promoted: `RETAINED#…` each, `RETENTIONS#…`; moved: `SPLITTER#…` |
//! | open a promoted one again, to take it back        | TransactWriteItems  | `LOCK#…` each, `DEPLOYMENT#…`, `RUNNING`, `PROMOTED#…` |
//! | which versions of a function are promised         | Query `RETAINED#function` | one row a promoted release     |
//! | which retentions of an application are open       | Query `RETENTIONS#application` | one row each              |
//! | which versions are about to be deleted            | Query `DOOMED#function` | one row a cleanup                |
//! | has a migration been run, and what came of it     | PutItem, GetItem, UpdateItem | `MIGRATION#…`, a row a direction |
//! | when did a splitter's weights move last           | GetItem             | `SPLITTER#lock`                      |
//! | how was an API before its stages were wired       | Query `FRONTDOOR#id`| one row a stage and function         |
//!
//! The table's keys are `pk` (what) and `sk` (which: an execution's ARN, or `-`). Locks name their
//! holder and never expire by time: a holder is dead when Step Functions says so. The TTL attribute
//! `expiresAt` only sweeps up what has ended; it is compared nowhere (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html>).

mod first_shift;
mod migrations;
mod owed;
mod people;
mod record;
mod retention;
mod rows;
mod splitters;
#[cfg(test)]
mod table;
mod wirings;
mod write;

use std::collections::BTreeSet;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, Delete, KeysAndAttributes, Put, ReturnValue,
        ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    },
};

pub use self::migrations::Claim;
pub use self::record::{Record, Status, Watch, Why};
use self::record::{record, told};
pub use self::retention::{Holder, Retention};
use self::rows::{
    Item, ONE, RUNNING, cancelled, contended, deployment, failed_condition, failed_first, instant,
    json, key, lock, n, parsed, percent, promoted, required, s, text, watched, write_put,
};
use self::write::write;
use super::{
    classify::classify,
    lazy::{Lazy, lazy},
};
use crate::{
    domain::{
        Timestamp,
        admission::{lock_names, of_application},
        analysis::OnHoldTimeout,
        names::{AlarmName, Application, FunctionName},
        release::Release,
        weight::Weight,
    },
    error::Error,
    wire::request::OverrideFreeze,
};

/// How long an ended deployment's row is kept, seconds: 90 days, as long as Step Functions keeps
/// its execution.
const KEEP_SECONDS: i64 = 90 * 24 * 3600;

/// A deployment that wants to begin.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// The execution's ARN.
    pub execution: &'a str,
    /// The application.
    pub application: &'a Application,
    /// The functions to lock.
    pub functions: &'a [&'a FunctionName],
    /// The locks of the front door.
    pub doors: &'a [String],
    /// The alarms to watch.
    pub alarms: &'a [AlarmName],
    /// What it does when nobody ends its hold.
    pub on_hold_timeout: OnHoldTimeout,
    /// Who releases outside of the stack's windows, where somebody does.
    pub override_freeze: Option<&'a OverrideFreeze>,
    /// The execution whose input has the request, where that is another one.
    pub request_of: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

/// What became of taking the locks.
#[derive(Clone, Debug, PartialEq)]
pub enum Began {
    /// All are ours.
    Taken,
    /// None is ours: these executions hold some.
    HeldBy(BTreeSet<String>),
    /// This execution's deployment has gone further, or has ended: a redrive.
    Before(Box<Record>),
}

/// What a deployment needs to move traffic to green, and may lose at any moment.
#[derive(Clone, Copy, Debug)]
pub struct Leave<'a> {
    ledger: &'a Ledger,
    execution: &'a str,
}

impl Leave<'_> {
    /// See [`Ledger::begin_first_shift`].
    pub async fn begin_first_shift(&self) -> Result<bool, Error> {
        self.ledger.begin_first_shift(self.execution).await
    }

    /// See [`Ledger::first_shift_refused`].
    pub async fn first_shift_refused(&self) -> Result<(), Error> {
        self.ledger.first_shift_refused(self.execution).await
    }

    /// Asks whether it is still there.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when the deployment has been told to go back.
    pub async fn still(&self) -> Result<(), Error> {
        match self.ledger.get(self.execution).await? {
            Some(record) => match record.status {
                // A promotion that is repeated finds itself done.
                Status::InFlight | Status::Held | Status::Promoted => Ok(()),
                Status::Preparing
                | Status::RollingBack
                | Status::RolledBack
                | Status::Rejected
                | Status::Unchanged => Err(Error::DeploymentRolledBack(
                    record
                        .why
                        .map_or_else(|| "the deployment has ended".to_owned(), |why| why.reason)
                        .into(),
                )),
            },
            None => Err(Error::Refused(
                "the ledger does not know this deployment".into(),
            )),
        }
    }
}

/// The ledger's table.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Lazy<Client>,
    table: String,
}

impl Ledger {
    /// The table named by the environment's `LEDGER_TABLE`.
    ///
    /// # Panics
    /// Without that variable: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let table = std::env::var("LEDGER_TABLE").expect("LEDGER_TABLE is set by the template");
        Self::at(config, table)
    }

    /// A table by its name, for who is not one of the stack's functions.
    #[must_use]
    pub fn at(config: &aws_config::SdkConfig, table: String) -> Self {
        Self {
            client: lazy(config, Client::new),
            table,
        }
    }

    /// Takes all locks of a deployment, or none. Free to repeat by the holder.
    pub async fn begin(&self, begin: &Begin<'_>) -> Result<Began, Error> {
        let locks = lock_names(begin.application, begin.functions, begin.doors);
        let mut items: Vec<_> = locks
            .iter()
            .map(|name| self.lock(name, begin.execution, begin.application, begin.now))
            .collect();
        let mut row = self
            .put(key(&deployment(begin.execution), ONE))
            .item("execution", s(begin.execution))
            .item("application", s(begin.application.as_ref()))
            .item("status", s(Status::Preparing.word()))
            .item("locks", json(&locks))
            .item("alarms", json(&begin.alarms))
            .item("onHoldTimeout", json(&begin.on_hold_timeout))
            .item("beganAt", s(&begin.now.to_rfc3339()))
            .condition_expression("attribute_not_exists(pk) OR #status = :preparing")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":preparing", s(Status::Preparing.word()));
        if let Some(overridden) = begin.override_freeze {
            row = row.item("overrideFreeze", json(overridden));
        }
        if let Some(other) = begin.request_of {
            row = row.item("requestOf", s(other));
        }
        items.push(write_put(row));
        items.push(self.row_of_running(begin.execution, begin.application));
        match self.transact(items).await {
            Ok(()) => Ok(Began::Taken),
            Err(error) => {
                let found =
                    cancelled(&error).ok_or_else(|| classify("taking the locks", &error))?;
                if found.is_empty() {
                    return Err(contended());
                }
                if let Some(row) = found.iter().find(|item| item.contains_key("status")) {
                    return Ok(Began::Before(Box::new(record(row)?)));
                }
                Ok(Began::HeldBy(
                    found
                        .iter()
                        .filter_map(|item| text(item, "execution"))
                        .collect(),
                ))
            }
        }
    }

    /// Fixes the versions and arms the alarms: from here on, anyone can put traffic back.
    ///
    /// Free to repeat by the same attempt and by later ones. What an earlier attempt says late, which
    /// nobody waits for any more, does not replace what the execution goes on with.
    pub async fn launch(
        &self,
        execution: &str,
        attempt: u32,
        release: &Release,
    ) -> Result<(), Error> {
        let update = self
            .update(key(&deployment(execution), ONE))
            .update_expression(
                "SET #status = :inFlight, footprint = :footprint, weight = :weight, attempt = :attempt, \
                 shiftBegun = :not",
            )
            .condition_expression(
                "#status = :preparing OR (#status = :inFlight AND attempt <= :attempt)",
            )
            .expression_attribute_values(":preparing", s(Status::Preparing.word()))
            .expression_attribute_values(":attempt", n(i64::from(attempt)))
            .expression_attribute_values(":not", AttributeValue::Bool(false))
            .expression_attribute_values(":weight", n(0));
        self.moved(execution, release, update).await
    }

    /// Records a shift that has been made.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when the deployment has been told to go back meanwhile: what
    /// was shifted has to be put back.
    pub async fn shifted(
        &self,
        execution: &str,
        release: &Release,
        weight: Weight,
    ) -> Result<(), Error> {
        let update = self
            .update(key(&deployment(execution), ONE))
            .update_expression(
                "SET #status = :inFlight, footprint = :footprint, weight = :weight, steps = :steps \
                 REMOVE #token, asked, wish",
            )
            .condition_expression("#status IN (:inFlight, :held)")
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":held", s(Status::Held.word()))
            .expression_attribute_values(":weight", percent(weight))
            .expression_attribute_values(":steps", json(&release.progress().steps));
        self.moved(execution, release, update).await
    }

    async fn moved(
        &self,
        execution: &str,
        release: &Release,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    ) -> Result<(), Error> {
        let footprint = json(&release.footprint());
        let update = update
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
            .expression_attribute_values(":footprint", footprint.clone())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are given");
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        items.extend(release.spec.analysis.alarms.iter().map(|alarm| {
            write_put(
                self.put(key(&watched(alarm), execution))
                    .item("footprint", footprint.clone()),
            )
        }));
        match self.transact(items).await {
            Ok(()) => Ok(()),
            Err(error) => Err(match cancelled(&error).as_deref() {
                Some([]) => contended(),
                Some([row, ..]) => told(Some(row)),
                None => classify("recording in the ledger", &error),
            }),
        }
    }

    /// Tells a deployment to go back to blue. The first reason stays. Returns its row as it then
    /// is, or none when it has ended, or never began.
    pub async fn tell_back(&self, execution: &str, why: &Why) -> Result<Option<Record>, Error> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(&deployment(execution), ONE)))
            .update_expression("SET #status = :rollingBack, why = if_not_exists(why, :why)")
            .condition_expression("#status IN (:preparing, :inFlight, :held, :rollingBack)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":rollingBack", s(Status::RollingBack.word()))
            .expression_attribute_values(":preparing", s(Status::Preparing.word()))
            .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
            .expression_attribute_values(":held", s(Status::Held.word()))
            .expression_attribute_values(":why", json(why))
            .return_values(ReturnValue::AllNew);
        match write(|| update.clone().send()).await {
            Ok(now) => now.attributes.as_ref().map(record).transpose(),
            Err(error) if failed_condition(&error).is_some() => Ok(None),
            Err(error) => Err(classify("telling the deployment to go back", &error)),
        }
    }

    /// Opens a promoted deployment again, to take it back: its locks, all or none, and its row told
    /// to go back. Free to repeat by the same. False when its retention has ended, or another was
    /// promoted after it.
    ///
    /// # Errors
    /// [`Error::DeploymentInProgress`] when another deployment holds one of the locks by now.
    pub async fn reopen(&self, record: &Record, why: &Why) -> Result<bool, Error> {
        let update = self
            .update(key(&deployment(&record.execution), ONE))
            .update_expression("SET #status = :rollingBack, why = if_not_exists(why, :why)")
            .condition_expression(
                "#status IN (:promoted, :rollingBack) AND attribute_not_exists(retentionEndedAt)",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":rollingBack", s(Status::RollingBack.word()))
            .expression_attribute_values(":promoted", s(Status::Promoted.word()))
            .expression_attribute_values(":why", json(why))
            .build()
            .expect("table, key and expression are given");
        let mut items = vec![
            TransactWriteItem::builder().update(update).build(),
            self.is_promoted_last(record),
        ];
        items.extend(
            record
                .locks
                .iter()
                .map(|name| self.lock(name, &record.execution, &record.application, why.at)),
        );
        items.push(self.row_of_running(&record.execution, &record.application));
        match self.transact(items).await {
            Ok(()) => Ok(true),
            Err(error) if failed_first(&error, 2) => Ok(false),
            Err(error) => Err(match cancelled(&error).as_deref() {
                Some([]) => contended(),
                Some([holder, ..]) => Error::DeploymentInProgress(
                    format!(
                        "{} holds a lock by now",
                        text(holder, "execution")
                            .unwrap_or_else(|| "another deployment".to_owned())
                    )
                    .into(),
                ),
                None => classify("taking the locks back", &error),
            }),
        }
    }

    /// Ends a deployment: its row says how, and all that it held is given back. Free to repeat, and
    /// never touches what another deployment holds by now. A promotion that is repeated changes nothing:
    /// another may have been promoted since.
    ///
    /// A promoted deployment stays armed: its alarms are watched until its `retention` ends, and what
    /// it keeps is on record from the same moment.
    pub async fn end(
        &self,
        record: &Record,
        status: Status,
        now: Timestamp,
        retention: Option<Retention>,
    ) -> Result<(), Error> {
        let retain_until = retention.map(|kept| kept.until);
        let mut set = "SET #status = :status, endedAt = :now, expiresAt = :expires".to_owned();
        if retain_until.is_some() {
            set.push_str(", retainUntil = :retain");
        }
        if record.footprint.is_some() {
            set.push_str(", footprint = :footprint, steps = :steps");
        }
        set.push_str(" REMOVE #token, asked, wish");
        let mut update = self
            .update(key(&deployment(&record.execution), ONE))
            .update_expression(set)
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":status", s(status.word()))
            .expression_attribute_values(":now", s(&now.to_rfc3339()))
            .expression_attribute_values(":expires", n(now.timestamp() + KEEP_SECONDS));
        if let Some(until) = retain_until {
            update = update.expression_attribute_values(":retain", s(&until.to_rfc3339()));
        }
        if status == Status::Promoted {
            // A deployment that was told to go back meanwhile is not promoted any more.
            update = update
                .condition_expression("#status IN (:inFlight, :held)")
                .expression_attribute_values(":inFlight", s(Status::InFlight.word()))
                .expression_attribute_values(":held", s(Status::Held.word()))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
        }
        if let Some(footprint) = &record.footprint {
            update = update
                .expression_attribute_values(":footprint", json(footprint))
                .expression_attribute_values(":steps", json(&record.steps));
        }
        let update = update.build().expect("table, key and expression are given");
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        items.push(self.delete(key(RUNNING, &record.execution), None));
        items.extend(
            record
                .locks
                .iter()
                .map(|name| self.delete(key(&lock(name), ONE), Some(&record.execution))),
        );
        for alarm in &record.alarms {
            let watch = key(&watched(alarm), &record.execution);
            items.push(match (&record.footprint, retain_until) {
                (Some(footprint), Some(until)) => write_put(
                    self.put(watch)
                        .item("footprint", json(footprint))
                        .item("retainUntil", s(&until.to_rfc3339()))
                        .item("expiresAt", n(until.timestamp())),
                ),
                _ => self.delete(watch, None),
            });
        }
        if status == Status::Promoted {
            let put = self
                .put(key(&promoted(&record.application), ONE))
                .item("execution", s(&record.execution));
            items.push(write_put(put));
        }
        items.extend(self.moved_splitters(record, status, now));
        if let Some(retention) = retention {
            items.push(self.open_retention(record));
            let promises = self.promises_of(record, retention);
            items = self.before(promises, items).await?;
        } else if record.retain_until.is_some() {
            items.push(self.close_retention(record));
        }
        match self.transact(items).await {
            Ok(()) => Ok(()),
            Err(error) => Err(match cancelled(&error).as_deref() {
                Some([]) => contended(),
                Some([row, ..]) if row.contains_key("status") => {
                    let promoted = text(row, "status").as_deref() == Some(Status::Promoted.word());
                    if promoted && status == Status::Promoted {
                        return Ok(());
                    }
                    told(Some(row))
                }
                // A lock that is another's by now: ours was taken over, and with it the ending.
                Some(_) => Error::DeploymentInProgress(
                    "another deployment has taken over the locks".into(),
                ),
                None => classify("ending the deployment", &error),
            }),
        }
    }

    /// A deployment's row; none when it took no locks.
    pub async fn get(&self, execution: &str) -> Result<Option<Record>, Error> {
        let row = self.row(key(&deployment(execution), ONE)).await?;
        row.as_ref().map(record).transpose()
    }

    /// The execution whose input has a deployment's request, where that is another one: a rollback to a
    /// version has that of an earlier release.
    pub async fn request_of(&self, execution: &str) -> Result<Option<String>, Error> {
        let row = self.row(key(&deployment(execution), ONE)).await?;
        Ok(row.and_then(|row| text(&row, "requestOf")))
    }

    /// A deployment's leave to move traffic to green.
    #[must_use]
    pub fn leave<'a>(&'a self, execution: &'a str) -> Leave<'a> {
        Leave {
            ledger: self,
            execution,
        }
    }

    /// Which deployments watch this alarm.
    pub async fn watching(&self, alarm: &AlarmName) -> Result<Vec<Watch>, Error> {
        self.query(&watched(alarm))
            .await?
            .iter()
            .map(|item| {
                Ok(Watch {
                    execution: required(item, "sk")?,
                    footprint: parsed(item, "footprint")?,
                    retain_until: instant(item, "retainUntil")?,
                })
            })
            .collect()
    }

    /// The executions whose deployments have not ended.
    pub async fn running(&self) -> Result<Vec<String>, Error> {
        self.query(RUNNING)
            .await?
            .iter()
            .map(|item| required(item, "sk"))
            .collect()
    }

    /// Reads which executions hold some of these locks. 100 locks at the most, which is more than a release has.
    pub async fn holding(&self, locks: &[String]) -> Result<BTreeSet<String>, Error> {
        let keys = locks.iter().map(|name| key(&lock(name), ONE)).collect();
        let rows = self.batch(keys).await?;
        Ok(rows
            .iter()
            .filter_map(|row| text(row, "execution"))
            .collect())
    }

    /// The execution that holds an application, or, when none does, the one that was promoted last.
    pub async fn latest(&self, application: &Application) -> Result<Option<String>, Error> {
        let holder = key(&lock(&of_application(application)), ONE);
        let last = key(&promoted(application), ONE);
        let items = self.batch(vec![holder, last]).await?;
        let by = |prefix: &str| {
            let found = items
                .iter()
                .find(|item| text(item, "pk").is_some_and(|pk| pk.starts_with(prefix)));
            found.and_then(|item| text(item, "execution"))
        };
        Ok(by("LOCK#").or_else(|| by("PROMOTED#")))
    }

    /// Reads the rows of at most 100 keys; those that are not there are left out.
    async fn batch(&self, keys: Vec<Item>) -> Result<Vec<Item>, Error> {
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build()
            .expect("keys are given");
        let got = self
            .client
            .batch_get_item()
            .request_items(&self.table, keys)
            .send()
            .await
            .map_err(|error| classify("reading the ledger", &error))?;
        if got.unprocessed_keys().is_some_and(|keys| !keys.is_empty()) {
            return Err(Error::Transient("the ledger answered in part".into()));
        }
        let mut tables = got.responses.unwrap_or_default();
        Ok(tables.remove(&self.table).unwrap_or_default())
    }

    async fn row(&self, key: Item) -> Result<Option<Item>, Error> {
        self.client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map(|got| got.item)
            .map_err(|error| classify("reading the ledger", &error))
    }

    async fn query(&self, pk: &str) -> Result<Vec<Item>, Error> {
        self.client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(pk))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify("reading the ledger", &error))
    }

    /// A lock, unless another holds it.
    fn lock(
        &self,
        name: &str,
        holder: &str,
        application: &Application,
        now: Timestamp,
    ) -> TransactWriteItem {
        let put = self
            .put(key(&lock(name), ONE))
            .item("execution", s(holder))
            .item("application", s(application.as_ref()))
            .item("takenAt", s(&now.to_rfc3339()))
            .condition_expression("attribute_not_exists(pk) OR execution = :me")
            .expression_attribute_values(":me", s(holder));
        write_put(put)
    }

    fn row_of_running(&self, execution: &str, application: &Application) -> TransactWriteItem {
        write_put(
            self.put(key(RUNNING, execution))
                .item("application", s(application.as_ref())),
        )
    }

    async fn transact(
        &self,
        items: Vec<TransactWriteItem>,
    ) -> Result<(), SdkError<TransactWriteItemsError>> {
        let transaction = self.client.transact_write_items();
        let transaction = transaction.set_transact_items(Some(items));
        write(|| transaction.clone().send()).await.map(drop)
    }

    fn put(&self, key: Item) -> aws_sdk_dynamodb::types::builders::PutBuilder {
        Put::builder()
            .table_name(&self.table)
            .set_item(Some(key))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    fn update(&self, key: Item) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder().table_name(&self.table).set_key(Some(key))
    }

    /// A delete: of what is gone already too, but not of what is another's.
    fn delete(&self, key: Item, holder: Option<&str>) -> TransactWriteItem {
        let mut delete = Delete::builder().table_name(&self.table).set_key(Some(key));
        if let Some(holder) = holder {
            delete = delete
                .condition_expression("attribute_not_exists(pk) OR execution = :me")
                .expression_attribute_values(":me", s(holder))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
        }
        let delete = delete.build().expect("table and key are given");
        TransactWriteItem::builder().delete(delete).build()
    }
}
