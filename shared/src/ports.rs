//! What the protocol needs of AWS: narrow traits in the library's own types.
//!
//! Each promises what AWS promises, and no more: a write whose answer is lost may have been applied, what is
//! listed may be old, and an error of [`Error::Transient`] says nothing about whether a write was applied.
//! The adapters are in `aws`; `fake` has an implementation in process, for tests.
//!
//! All are used with static dispatch, in futures that stay on their thread.
#![allow(
    async_fn_in_trait,
    reason = "a function serves one event at a time, on one thread: no future has to be Send"
)]

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::{
        Timestamp,
        capacity::{Provisioned, Running},
        live::deaf::Group,
        names::{
            AliasName, FunctionName, Version,
            resources::{HostedZoneId, RecordName, RecordType, TargetGroupArn},
        },
        routing::alias::{Alias, Primary, Revision},
        traffic::ForwardAt,
        weight::Weight,
    },
    error::Error,
};

/// All that moving traffic needs.
pub trait TrafficApi: AliasApi + DurableApi + RecordApi + ForwardApi + Clock {}

impl<T: AliasApi + DurableApi + RecordApi + ForwardApi + Clock> TrafficApi for T {}

// --- Lambda -------------------------------------------------------------------------------------

/// Lambda's aliases. Every write of one gives it a new revision, also where nothing changes.
pub trait AliasApi {
    /// Returns the alias as it is; `None` where there is none. Sees every write that was answered before.
    async fn alias(
        &self,
        function: &FunctionName,
        alias: &AliasName,
    ) -> Result<Option<Alias>, Error>;

    /// Replaces what an alias does, where it is still at the revision that the write was decided on.
    ///
    /// A write whose answer is lost is sent again by the SDK, and then found to be [`Written::Stale`]: only
    /// reading shows whose write it was.
    async fn update_alias(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        update: &AliasWrite,
    ) -> Result<Written, Error>;

    /// Makes an alias on a version; `None` where there is one by now, which may be our own. It has no
    /// condition but that.
    async fn create_alias(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        to: &Primary,
    ) -> Result<Option<Alias>, Error>;

    /// Deletes an alias, whatever its revision is.
    async fn delete_alias(&self, function: &FunctionName, alias: &AliasName) -> Result<(), Error>;

    /// Returns an alias's provisioned concurrency; `None` where it has none, or does not exist.
    async fn provisioned(
        &self,
        function: &FunctionName,
        alias: &AliasName,
    ) -> Result<Option<Provisioned>, Error>;

    /// Looks whether a version is in a state that it does not leave.
    ///
    /// # Errors
    /// [`Error::ValidationFailed`] when it is; any other where the version could not be read.
    async fn check_version(&self, function: &FunctionName, version: &Version) -> Result<(), Error>;
}

/// A write to an alias. Both parts are always sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AliasWrite {
    /// The alias's own version.
    pub primary: Primary,
    /// The additional version with its share.
    pub additional: Option<(Version, Weight)>,
    /// The revision on which this was decided.
    pub if_revision: Revision,
}

/// What became of a write to an alias.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It was applied: the alias as it now is.
    Done(Alias),
    /// It was not: the revision is a former one. The write in between may be our own.
    Stale,
    /// It was not, because of the state of a version or of the alias (`ResourceConflictException`).
    Conflict(Error),
}

/// Lambda's durable executions.
pub trait DurableApi {
    /// Counts the durable executions that run on a version and began at `since` or later: a page.
    async fn running(
        &self,
        function: &FunctionName,
        version: &Version,
        since: Timestamp,
    ) -> Result<Running, Error>;
}

// --- Route 53 -----------------------------------------------------------------------------------

/// Route 53's weighted records. They have no revisions: what is read may be replaced by another writer
/// before it is written back.
pub trait RecordApi {
    /// A record set as the service describes it.
    type Set: Clone;

    /// Lists all records of a name and type.
    async fn records(
        &self,
        zone: &HostedZoneId,
        name: &RecordName,
        kind: RecordType,
    ) -> Result<Vec<Record<Self::Set>>, Error>;

    /// Writes record sets back as they were read, with other weights: all or none. Returns the id of the
    /// change, which is in force once it is in sync.
    async fn change_records(
        &self,
        zone: &HostedZoneId,
        changes: Vec<(Self::Set, u32)>,
        comment: &str,
    ) -> Result<Option<String>, Error>;

    /// Whether a change is in force at all of Route 53's servers.
    async fn in_sync(&self, change_id: &str) -> Result<bool, Error>;
}

/// A record of a name and type.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<S> {
    /// Its set identifier, where it has one.
    pub identifier: Option<String>,
    /// Its weight; `None` for a record that is not weighted.
    pub weight: Option<u32>,
    /// For how long resolvers keep the answer, seconds; `None` for an alias record.
    pub ttl_seconds: Option<u32>,
    /// All of it, as it is written back.
    pub set: S,
}

// --- Elastic Load Balancing ---------------------------------------------------------------------

/// A load balancer's forward actions and target groups. Neither has revisions.
pub trait ForwardApi {
    /// A list of actions as the service describes it.
    type Actions: Clone;

    /// Returns what a rule, or a listener by default, does.
    async fn forward(&self, at: &ForwardAt) -> Result<Forwarding<Self::Actions>, Error>;

    /// Writes actions back as they were read, with other weights of these groups. A group that the
    /// forward action does not name is added.
    async fn set_weights(
        &self,
        at: &ForwardAt,
        seen: Self::Actions,
        weights: [(&TargetGroupArn, u32); 2],
    ) -> Result<(), Error>;

    /// Lists the targets that are registered in a group, also those that are draining.
    async fn targets(&self, group: &TargetGroupArn) -> Result<Vec<GroupTarget>, Error>;

    /// Registers a target. A group of functions takes one.
    async fn register(&self, group: &TargetGroupArn, id: &str) -> Result<Registered, Error>;

    /// Deregisters a target; one that is not registered is as good.
    async fn deregister(&self, group: &TargetGroupArn, id: &str) -> Result<(), Error>;

    /// Waits until a target of a group is healthy, for at most `limit`.
    async fn wait_until_healthy(
        &self,
        group: &TargetGroupArn,
        limit: Duration,
    ) -> Result<(), Error>;

    /// Lets the load balancer call a version, through one group only. One that may already is as good.
    async fn permit(
        &self,
        function: &FunctionName,
        version: &Version,
        group: &TargetGroupArn,
    ) -> Result<(), Error>;
}

/// What an action list does with requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarding<A> {
    /// The groups of the forward action with their weights; `None` where no action forwards. A group that
    /// is named alone has all.
    pub groups: Option<Vec<(String, u32)>>,
    /// For how long clients are kept with their group, seconds; `None` where they are not.
    pub sticky_seconds: Option<i32>,
    /// The type of an action that is not known, and so could not be written back.
    pub unknown_kind: Option<String>,
    /// All of it, as it is written back.
    pub actions: A,
}

/// A target of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTarget {
    /// Its id.
    pub id: String,
    /// Whether the load balancer would send it requests.
    pub healthy: bool,
    /// Whether it is on its way out.
    pub draining: bool,
}

/// What became of registering a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Registered {
    /// It is registered.
    Done,
    /// The load balancer may not call it, or has not learned yet that it may.
    Denied(Error),
}

// --- The ledger ---------------------------------------------------------------------------------

/// A table of rows, as DynamoDB keeps one. Reads see every write that was answered before.
///
/// Conditions and updates are in DynamoDB's own language, with `#name` and `:value` in place of names and
/// values (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html>).
pub trait LedgerStore {
    /// Returns a row; `None` where there is none.
    async fn row(&self, key: &Key) -> Result<Option<Item>, Error>;

    /// Returns the rows of at most 100 keys; those that are not there are left out.
    async fn rows(&self, keys: &[Key]) -> Result<Vec<Item>, Error>;

    /// Returns all rows with a `pk`, by `sk`.
    async fn query(&self, pk: &str) -> Result<Vec<Item>, Error>;

    /// Writes one row, where its condition holds. `what` names the act in an error.
    async fn write(&self, what: &str, write: RowWrite) -> Result<Applied, Error>;

    /// Writes all rows, or none where one of the conditions does not hold. `what` names the act in an error.
    async fn transact(&self, what: &str, writes: Vec<RowWrite>) -> Result<Transacted, Error>;
}

/// What names a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What it is of.
    pub pk: String,
    /// Which one.
    pub sk: String,
}

/// A row's attributes, its key among them.
pub type Item = BTreeMap<String, Value>;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// A text.
    S(String),
    /// A number, in decimal.
    N(String),
    /// Yes or no.
    Bool(bool),
}

/// A write to a row, and the condition under which it is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowWrite {
    /// The row.
    pub key: Key,
    /// What is done to it.
    pub act: Act,
    /// Under which condition; `None` for always.
    pub condition: Option<String>,
    /// The names that the expressions use.
    pub names: BTreeMap<&'static str, &'static str>,
    /// The values that the expressions use.
    pub values: BTreeMap<&'static str, Value>,
    /// What is returned of it.
    pub returns: Returns,
}

/// What a write does to a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Replaces it by these attributes and its key.
    Put(Item),
    /// Changes it by this expression.
    Update(String),
    /// Deletes it; one that is not there is as good.
    Delete,
    /// Nothing: only the condition counts.
    Check,
}

/// Which attributes an update returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Returns {
    /// None.
    Nothing,
    /// The whole row as it is after the update.
    New,
    /// Those that are updated, as they were before.
    UpdatedOld,
}

/// What became of a write to a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// It was made: the attributes that it returns.
    Done(Item),
    /// Its condition does not hold for this row; `None` where there is no row.
    Refused(Option<Item>),
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Transacted {
    /// It was made.
    Done,
    /// These of its conditions do not hold, in the order of the writes.
    Refused(Vec<Refusal>),
    /// It was not made: another transaction holds its rows, or the table is throttled.
    Contended,
}

/// A condition of a transaction that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The write's place in the transaction.
    pub nth: usize,
    /// The row as it is; `None` where there is none.
    pub row: Option<Item>,
}

impl Key {
    /// Returns the key of these parts.
    #[must_use]
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }
}

impl RowWrite {
    fn new(key: Key, act: Act) -> Self {
        Self {
            key,
            act,
            condition: None,
            names: BTreeMap::new(),
            values: BTreeMap::new(),
            returns: Returns::Nothing,
        }
    }

    /// Replaces a row.
    #[must_use]
    pub fn put(key: Key) -> Self {
        Self::new(key, Act::Put(Item::new()))
    }

    /// Changes a row, or makes it.
    #[must_use]
    pub fn update(key: Key, expression: impl Into<String>) -> Self {
        Self::new(key, Act::Update(expression.into()))
    }

    /// Deletes a row.
    #[must_use]
    pub fn delete(key: Key) -> Self {
        Self::new(key, Act::Delete)
    }

    /// Checks a row.
    #[must_use]
    pub fn check(key: Key) -> Self {
        Self::new(key, Act::Check)
    }

    /// Adds an attribute to a row that is put.
    ///
    /// # Panics
    /// Where no row is put.
    #[must_use]
    pub fn item(mut self, name: &str, value: Value) -> Self {
        let Act::Put(item) = &mut self.act else {
            panic!("only a row that is put has attributes");
        };
        item.insert(name.to_owned(), value);
        self
    }

    /// Makes the write depend on a condition.
    #[must_use]
    pub fn condition(mut self, expression: &str) -> Self {
        self.condition = Some(expression.to_owned());
        self
    }

    /// Says what a `#name` of the expressions stands for.
    #[must_use]
    pub fn name(mut self, name: &'static str, stands_for: &'static str) -> Self {
        self.names.insert(name, stands_for);
        self
    }

    /// Says what a `:value` of the expressions stands for.
    #[must_use]
    pub fn value(mut self, name: &'static str, value: Value) -> Self {
        self.values.insert(name, value);
        self
    }

    /// Says what an update returns.
    #[must_use]
    pub fn returning(mut self, returns: Returns) -> Self {
        self.returns = returns;
        self
    }
}

// --- CloudWatch Logs ----------------------------------------------------------------------------

/// CloudWatch Logs' log groups and their subscription filters. These have no revisions.
pub trait LogsApi {
    /// Returns a log group; `None` where there is none.
    async fn log_group(&self, name: &str) -> Result<Option<Group>, Error>;

    /// Puts a subscription filter; one of this name is replaced.
    async fn subscribe(
        &self,
        group: &str,
        filter: &str,
        pattern: &str,
        to: &str,
    ) -> Result<(), Error>;

    /// Deletes a subscription filter; one that is not there, or whose group is not, is as good.
    async fn unsubscribe(&self, group: &str, filter: &str) -> Result<(), Error>;
}

// --- Time ---------------------------------------------------------------------------------------

/// A clock that never decreases.
pub trait Clock {
    /// Returns the time since some moment in the past.
    fn elapsed(&self) -> Duration;

    /// Waits.
    async fn sleep(&self, time: Duration);
}
