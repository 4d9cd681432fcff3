//! What AWS's services hold, and their rules.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use super::{expression, jobs::Id};
use crate::{
    domain::{
        live::deaf::SLOTS,
        names::{AliasName, FunctionName, Version},
        routing::alias::{Primary, Revision},
        weight::Weight,
    },
    ports::{Act, AliasWrite, Item, Key, Refusal, Returns, RowWrite, Value},
};

/// An alias as Lambda keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AliasState {
    /// Its own version.
    pub primary: Primary,
    /// The additional version with its share.
    pub additional: Option<(Version, Weight)>,
    /// Its revision.
    pub revision: Revision,
}

impl AliasState {
    /// Returns an alias that is on one version.
    #[must_use]
    pub fn on(version: Version, revision: &str) -> Self {
        Self {
            primary: Primary::Version(version),
            additional: None,
            revision: Revision(revision.to_owned()),
        }
    }
}

/// A weighted record as Route 53 keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordState {
    /// Its zone, name and type.
    pub at: String,
    /// Its set identifier.
    pub identifier: String,
    /// Its weight.
    pub weight: u32,
    /// What else it has, and must not lose.
    pub rest: String,
}

/// All that the services hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    /// Lambda's aliases.
    pub aliases: BTreeMap<(FunctionName, AliasName), AliasState>,
    /// The records of each zone, name and type.
    pub records: BTreeMap<String, Vec<RecordState>>,
    /// The changes of records that are not in force everywhere yet.
    pub pending_changes: Vec<String>,
    /// How many changes of records there were.
    pub changes: u32,
    /// What each rule or listener forwards to.
    pub forwards: BTreeMap<String, Vec<(String, u32)>>,
    /// What is registered in each target group.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The versions that each target group may call.
    pub permitted: BTreeMap<String, Vec<String>>,
    /// The subscription filters of each log group.
    pub filters: BTreeMap<String, Vec<String>>,
    /// The ledger's table.
    pub rows: BTreeMap<Key, Arc<Item>>,
    /// The executions that are over.
    pub over: Vec<String>,
    /// How many revisions there were.
    pub revisions: u32,
}

/// A call to a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `GetAlias`.
    Alias(FunctionName, AliasName),
    /// `UpdateAlias`.
    UpdateAlias(FunctionName, AliasName, AliasWrite),
    /// `CreateAlias`.
    CreateAlias(FunctionName, AliasName, Primary),
    /// `DeleteAlias`.
    DeleteAlias(FunctionName, AliasName),
    /// `GetProvisionedConcurrencyConfig`.
    Provisioned(FunctionName, AliasName),
    /// `GetFunction`.
    CheckVersion(FunctionName, Version),
    /// `ListDurableExecutionsByFunction`.
    Running(FunctionName, Version),
    /// `ListResourceRecordSets`, by zone, name and type.
    Records(String),
    /// `ChangeResourceRecordSets`.
    ChangeRecords(String, Vec<(RecordState, u32)>),
    /// `GetChange`.
    InSync(String),
    /// `DescribeRules` or `DescribeListeners`.
    Forward(String),
    /// `ModifyRule` or `ModifyListener`.
    SetWeights(String, Vec<(String, u32)>),
    /// `DescribeTargetHealth`.
    Targets(String),
    /// `RegisterTargets`.
    Register(String, String),
    /// `DeregisterTargets`.
    Deregister(String, String),
    /// `DescribeTargetHealth`, until a target is healthy.
    WaitUntilHealthy(String),
    /// `AddPermission`, of a group to the end of a version's ARN.
    Permit(String, String),
    /// `DescribeLogGroups` and `DescribeSubscriptionFilters`.
    LogGroup(String),
    /// `PutSubscriptionFilter`, by group and name.
    Subscribe(String, String),
    /// `DeleteSubscriptionFilter`, by group and name.
    Unsubscribe(String, String),
    /// `GetItem`.
    Row(Key),
    /// `BatchGetItem`.
    Rows(Vec<Key>),
    /// `Query`.
    Query(String),
    /// `PutItem`, `UpdateItem` or `DeleteItem`.
    Write(RowWrite),
    /// `TransactWriteItems`.
    Transact(Vec<RowWrite>),
    /// `DescribeExecution`: whether it is over.
    IsOver(String),
    /// `SendTaskFailure`: the execution's wait for an operator ends.
    FailTask(Id),
    /// No call: time passes.
    Sleep(Duration),
}

impl Call {
    /// Whether it changes what a service holds.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::UpdateAlias(..)
            | Self::CreateAlias(..)
            | Self::DeleteAlias(..)
            | Self::ChangeRecords(..)
            | Self::SetWeights(..)
            | Self::Register(..)
            | Self::Deregister(..)
            | Self::Permit(..)
            | Self::Subscribe(..)
            | Self::Unsubscribe(..)
            | Self::FailTask(_)
            | Self::Write(_)
            | Self::Transact(_) => true,
            Self::Alias(..)
            | Self::Provisioned(..)
            | Self::CheckVersion(..)
            | Self::Running(..)
            | Self::Records(_)
            | Self::InSync(_)
            | Self::Forward(_)
            | Self::Targets(_)
            | Self::WaitUntilHealthy(_)
            | Self::LogGroup(_)
            | Self::Row(_)
            | Self::Rows(_)
            | Self::Query(_)
            | Self::IsOver(_)
            | Self::Sleep(_) => false,
        }
    }
}

/// What a call failed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The answer is lost: whether the call was applied is not known.
    Lost,
    /// It was throttled: it was not applied.
    Throttled,
    /// It was denied: it was not applied.
    Denied,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// It was made.
    Done,
    /// These conditions did not hold: the place of each, and the row.
    Refused(Vec<(usize, Option<Arc<Item>>)>),
    /// Another transaction held its rows.
    Contended,
}

/// What a service answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// It was done, and there is nothing to say.
    Done,
    /// The call failed.
    Failed(Failure),
    /// An alias; none where there is none, or where one was not made.
    Alias(Option<AliasState>),
    /// A write to an alias: as it is now, or none where the revision was a former one.
    Written(Option<AliasState>),
    /// Records.
    Records(Vec<RecordState>),
    /// The id of a change.
    Change(String),
    /// Yes or no.
    Is(bool),
    /// Target groups with their weights.
    Forward(Vec<(String, u32)>),
    /// The ids of targets.
    Targets(Vec<String>),
    /// The names of a log group's subscription filters; none where there is no such group.
    LogGroup(Option<Vec<String>>),
    /// A row.
    Row(Option<Arc<Item>>),
    /// Rows.
    Rows(Vec<Arc<Item>>),
    /// A write to a row: what it returns, or the row that its condition did not hold for.
    Applied(Result<Item, Option<Arc<Item>>>),
    /// A transaction.
    Transacted(Transaction),
}

/// Whether the condition of a write is heeded, by the row that it is about.
pub type Heeds<'a> = &'a dyn Fn(&RowWrite, Option<&Item>) -> bool;

/// Which rules the services keep to. A test takes one away to see that it is missed.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Whether a write to an alias with a former revision is refused.
    pub revisions: bool,
    /// Whether the condition of a write to a row is heeded.
    pub heeds: Heeds<'a>,
}

impl fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Rules");
        shown.field("revisions", &self.revisions);
        shown.finish_non_exhaustive()
    }
}

impl Default for Rules<'_> {
    fn default() -> Self {
        Self {
            revisions: true,
            heeds: &|_, _| true,
        }
    }
}

impl World {
    /// Applies a call, and answers it.
    pub fn apply(&mut self, call: &Call, rules: &Rules<'_>) -> Reply {
        match call {
            Call::Alias(function, alias) => {
                let key = (function.clone(), alias.clone());
                Reply::Alias(self.aliases.get(&key).cloned())
            }
            Call::UpdateAlias(function, alias, write) => {
                self.update_alias(function, alias, write, rules)
            }
            Call::CreateAlias(function, alias, to) => {
                let key = (function.clone(), alias.clone());
                if self.aliases.contains_key(&key) {
                    return Reply::Alias(None);
                }
                let made = AliasState {
                    primary: to.clone(),
                    additional: None,
                    revision: self.new_revision(),
                };
                self.aliases.insert(key, made.clone());
                Reply::Alias(Some(made))
            }
            Call::DeleteAlias(function, alias) => {
                self.aliases.remove(&(function.clone(), alias.clone()));
                Reply::Done
            }
            Call::Provisioned(..)
            | Call::CheckVersion(..)
            | Call::Running(..)
            | Call::WaitUntilHealthy(_)
            | Call::FailTask(_)
            | Call::Sleep(_) => Reply::Done,
            Call::Records(at) => Reply::Records(self.records.get(at).cloned().unwrap_or_default()),
            Call::ChangeRecords(at, changes) => self.change_records(at, changes),
            Call::InSync(id) => Reply::Is(!self.pending_changes.contains(id)),
            Call::Forward(at) => Reply::Forward(self.forwards.get(at).cloned().unwrap_or_default()),
            Call::SetWeights(at, groups) => {
                self.forwards.insert(at.clone(), groups.clone());
                Reply::Done
            }
            Call::Targets(group) => {
                Reply::Targets(self.groups.get(group).cloned().unwrap_or_default())
            }
            Call::Register(group, id) => self.register(group, id),
            Call::Deregister(group, id) => {
                if let Some(targets) = self.groups.get_mut(group) {
                    targets.retain(|target| target != id);
                }
                Reply::Done
            }
            Call::Permit(group, id) => {
                let permitted = self.permitted.entry(group.clone()).or_default();
                if !permitted.contains(id) {
                    permitted.push(id.clone());
                }
                Reply::Done
            }
            Call::LogGroup(group) => Reply::LogGroup(self.filters.get(group).cloned()),
            Call::Subscribe(group, filter) => match self.filters.get_mut(group) {
                Some(filters) if filters.contains(filter) => Reply::Done,
                Some(filters) if filters.len() < SLOTS => {
                    filters.push(filter.clone());
                    Reply::Done
                }
                Some(_) | None => Reply::Failed(Failure::Denied),
            },
            Call::Unsubscribe(group, filter) => {
                if let Some(filters) = self.filters.get_mut(group) {
                    filters.retain(|name| name != filter);
                }
                Reply::Done
            }
            Call::Row(key) => Reply::Row(self.rows.get(key).cloned()),
            Call::Rows(keys) => {
                let found = keys.iter().filter_map(|key| self.rows.get(key).cloned());
                Reply::Rows(found.collect())
            }
            Call::Query(pk) => {
                let found = self.rows.iter().filter(|(key, _)| key.pk == *pk);
                Reply::Rows(found.map(|(_, row)| Arc::clone(row)).collect())
            }
            Call::Write(write) => {
                if !self.allows(write, rules) {
                    return Reply::Applied(Err(self.rows.get(&write.key).cloned()));
                }
                Reply::Applied(Ok(self.write(write)))
            }
            Call::Transact(writes) => Reply::Transacted(self.transact(writes, rules)),
            Call::IsOver(execution) => Reply::Is(self.over.contains(execution)),
        }
    }

    fn new_revision(&mut self) -> Revision {
        self.revisions += 1;
        Revision(format!("r{}", self.revisions))
    }

    /// Writes an alias from outside, as another writer does.
    pub fn write_alias(
        &mut self,
        function: &FunctionName,
        alias: &AliasName,
        primary: Primary,
        additional: Option<(Version, Weight)>,
    ) {
        let state = AliasState {
            primary,
            additional,
            revision: self.new_revision(),
        };
        self.aliases
            .insert((function.clone(), alias.clone()), state);
    }

    /// Every write has a new revision, also where nothing changes. A version cannot share with itself.
    fn update_alias(
        &mut self,
        function: &FunctionName,
        alias: &AliasName,
        write: &AliasWrite,
        rules: &Rules<'_>,
    ) -> Reply {
        let key = (function.clone(), alias.clone());
        let Some(now) = self.aliases.get(&key) else {
            return Reply::Failed(Failure::Denied);
        };
        let shares_with_itself = write
            .additional
            .as_ref()
            .is_some_and(|(version, _)| write.primary.version() == Some(version));
        if shares_with_itself || (write.primary.version().is_none() && write.additional.is_some()) {
            return Reply::Failed(Failure::Denied);
        }
        if rules.revisions && now.revision != write.if_revision {
            return Reply::Written(None);
        }
        let state = AliasState {
            primary: write.primary.clone(),
            additional: write.additional.clone(),
            revision: self.new_revision(),
        };
        self.aliases.insert(key, state.clone());
        Reply::Written(Some(state))
    }

    /// All records of a batch, or none. Each is replaced whole.
    fn change_records(&mut self, at: &str, changes: &[(RecordState, u32)]) -> Reply {
        let records = self.records.entry(at.to_owned()).or_default();
        for (record, weight) in changes {
            let changed = RecordState {
                weight: *weight,
                ..record.clone()
            };
            match records
                .iter_mut()
                .find(|one| one.identifier == record.identifier)
            {
                Some(one) => *one = changed,
                None => records.push(changed),
            }
        }
        self.changes += 1;
        let id = format!("C{}", self.changes);
        self.pending_changes.push(id.clone());
        Reply::Change(id)
    }

    /// A group of functions takes one target, and only what it may call.
    fn register(&mut self, group: &str, id: &str) -> Reply {
        let permitted = self.permitted.get(group);
        if !permitted.is_some_and(|ids| ids.iter().any(|one| id.ends_with(one.as_str()))) {
            return Reply::Failed(Failure::Denied);
        }
        let targets = self.groups.entry(group.to_owned()).or_default();
        if targets.iter().any(|target| target == id) {
            return Reply::Done;
        }
        if !targets.is_empty() {
            return Reply::Failed(Failure::Denied);
        }
        targets.push(id.to_owned());
        Reply::Done
    }

    fn allows(&self, write: &RowWrite, rules: &Rules<'_>) -> bool {
        let row = self.rows.get(&write.key).map(AsRef::as_ref);
        expression::holds(write, row) || !(rules.heeds)(write, row)
    }

    fn transact(&mut self, writes: &[RowWrite], rules: &Rules<'_>) -> Transaction {
        let refused: Vec<_> = writes
            .iter()
            .enumerate()
            .filter(|(_, write)| !self.allows(write, rules))
            .map(|(nth, write)| (nth, self.rows.get(&write.key).cloned()))
            .collect();
        if !refused.is_empty() {
            return Transaction::Refused(refused);
        }
        for write in writes {
            self.write(write);
        }
        Transaction::Done
    }

    fn write(&mut self, write: &RowWrite) -> Item {
        let mut with_key = Item::from([
            ("pk".to_owned(), Value::S(write.key.pk.clone())),
            ("sk".to_owned(), Value::S(write.key.sk.clone())),
        ]);
        match &write.act {
            Act::Put(item) => {
                with_key.extend(item.clone());
                self.rows.insert(write.key.clone(), Arc::new(with_key));
                Item::new()
            }
            Act::Update(text) => {
                let before = self.rows.get(&write.key);
                let before = before.map_or(with_key, |row| row.as_ref().clone());
                let mut now = before.clone();
                let updated = expression::update(write, text, &mut now);
                let returned = match write.returns {
                    Returns::Nothing => Item::new(),
                    Returns::New => now.clone(),
                    Returns::UpdatedOld => before
                        .into_iter()
                        .filter(|(name, _)| updated.contains(name))
                        .collect(),
                };
                self.rows.insert(write.key.clone(), Arc::new(now));
                returned
            }
            Act::Delete => {
                self.rows.remove(&write.key);
                Item::new()
            }
            Act::Check => Item::new(),
        }
    }
}

impl From<(usize, Option<Arc<Item>>)> for Refusal {
    fn from((nth, row): (usize, Option<Arc<Item>>)) -> Self {
        Self {
            nth,
            row: row.map(|row| row.as_ref().clone()),
        }
    }
}
