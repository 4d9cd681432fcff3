//! The ports, on whatever drives the actor.

use std::{rc::Rc, time::Duration};

use super::{AliasState, Call, Failure, RecordState, Reply, Transaction, actor::Calls, jobs::Id};
use crate::{
    domain::{
        Timestamp,
        capacity::{Provisioned, Running},
        live::deaf::Group,
        names::{
            AliasName, FunctionName, Version,
            resources::{HostedZoneId, RecordName, RecordType, TargetGroupArn},
        },
        routing::alias::{Alias, Primary},
        traffic::ForwardAt,
    },
    error::Error,
    ports::{
        AliasApi, AliasWrite, Applied, Clock, DurableApi, ForwardApi, Forwarding, GroupTarget,
        Item, Key, LedgerStore, LogsApi, Record, RecordApi, Registered, RowWrite, Transacted,
        Written,
    },
};

/// AWS, as an actor sees it.
#[derive(Clone, Debug)]
pub struct Client {
    calls: Rc<Calls>,
}

impl Client {
    pub(super) const fn new(calls: Rc<Calls>) -> Self {
        Self { calls }
    }

    /// Returns whether an execution is over.
    pub async fn is_over(&self, execution: &str) -> Result<bool, Error> {
        match self.call(Call::IsOver(execution.to_owned())).await? {
            Reply::Is(over) => Ok(over),
            other => unexpected(&other),
        }
    }

    /// Ends an execution's wait for an operator.
    pub(super) async fn fail_task(&self, id: Id) -> Result<(), Error> {
        self.done(Call::FailTask(id)).await
    }

    async fn call(&self, call: Call) -> Result<Reply, Error> {
        match self.calls.make(call).await {
            Reply::Failed(Failure::Lost) => Err(Error::Transient("no answer".into())),
            Reply::Failed(Failure::Throttled) => Err(Error::Transient("throttled".into())),
            Reply::Failed(Failure::Denied) => Err(Error::Refused("denied".into())),
            reply => Ok(reply),
        }
    }

    async fn done(&self, call: Call) -> Result<(), Error> {
        match self.call(call).await? {
            Reply::Done => Ok(()),
            other => unexpected(&other),
        }
    }
}

fn unexpected<T>(reply: &Reply) -> T {
    panic!("{reply:?} answers another call")
}

fn alias(state: AliasState) -> Alias {
    Alias {
        primary: state.primary,
        additional: state
            .additional
            .map(|(version, weight)| (version, weight.fraction())),
        revision: state.revision,
    }
}

fn item(row: std::sync::Arc<Item>) -> Item {
    std::sync::Arc::unwrap_or_clone(row)
}

impl AliasApi for Client {
    async fn alias(
        &self,
        function: &FunctionName,
        name: &AliasName,
    ) -> Result<Option<Alias>, Error> {
        let call = Call::Alias(function.clone(), name.clone());
        match self.call(call).await? {
            Reply::Alias(state) => Ok(state.map(alias)),
            other => unexpected(&other),
        }
    }

    async fn update_alias(
        &self,
        function: &FunctionName,
        name: &AliasName,
        update: &AliasWrite,
    ) -> Result<Written, Error> {
        let call = Call::UpdateAlias(function.clone(), name.clone(), update.clone());
        match self.call(call).await? {
            Reply::Written(Some(state)) => Ok(Written::Done(alias(state))),
            Reply::Written(None) => Ok(Written::Stale),
            other => unexpected(&other),
        }
    }

    async fn create_alias(
        &self,
        function: &FunctionName,
        name: &AliasName,
        to: &Primary,
    ) -> Result<Option<Alias>, Error> {
        let call = Call::CreateAlias(function.clone(), name.clone(), to.clone());
        match self.call(call).await? {
            Reply::Alias(state) => Ok(state.map(alias)),
            other => unexpected(&other),
        }
    }

    async fn delete_alias(&self, function: &FunctionName, name: &AliasName) -> Result<(), Error> {
        self.done(Call::DeleteAlias(function.clone(), name.clone()))
            .await
    }

    async fn provisioned(
        &self,
        function: &FunctionName,
        name: &AliasName,
    ) -> Result<Option<Provisioned>, Error> {
        self.done(Call::Provisioned(function.clone(), name.clone()))
            .await
            .map(|()| None)
    }

    async fn check_version(&self, function: &FunctionName, version: &Version) -> Result<(), Error> {
        self.done(Call::CheckVersion(function.clone(), version.clone()))
            .await
    }
}

impl DurableApi for Client {
    async fn running(
        &self,
        function: &FunctionName,
        version: &Version,
        _since: Timestamp,
    ) -> Result<Running, Error> {
        self.done(Call::Running(function.clone(), version.clone()))
            .await?;
        Ok(Running {
            running: 0,
            more: false,
        })
    }
}

impl RecordApi for Client {
    type Set = RecordState;

    async fn records(
        &self,
        zone: &HostedZoneId,
        name: &RecordName,
        kind: RecordType,
    ) -> Result<Vec<Record<RecordState>>, Error> {
        let at = format!("{zone}/{}/{kind}", name.without_dot());
        match self.call(Call::Records(at)).await? {
            Reply::Records(records) => Ok(records
                .into_iter()
                .map(|set| Record {
                    identifier: Some(set.identifier.clone()),
                    weight: Some(set.weight),
                    ttl_seconds: Some(60),
                    set,
                })
                .collect()),
            other => unexpected(&other),
        }
    }

    async fn change_records(
        &self,
        _zone: &HostedZoneId,
        changes: Vec<(RecordState, u32)>,
        _comment: &str,
    ) -> Result<Option<String>, Error> {
        let at = changes.first().map(|(set, _)| set.at.clone());
        let call = Call::ChangeRecords(at.unwrap_or_default(), changes);
        match self.call(call).await? {
            Reply::Change(id) => Ok(Some(id)),
            other => unexpected(&other),
        }
    }

    async fn in_sync(&self, change_id: &str) -> Result<bool, Error> {
        match self.call(Call::InSync(change_id.to_owned())).await? {
            Reply::Is(in_sync) => Ok(in_sync),
            other => unexpected(&other),
        }
    }
}

impl ForwardApi for Client {
    type Actions = Vec<(String, u32)>;

    async fn forward(&self, at: &ForwardAt) -> Result<Forwarding<Self::Actions>, Error> {
        match self.call(Call::Forward(at.lock())).await? {
            Reply::Forward(groups) => Ok(Forwarding {
                groups: Some(groups.clone()),
                sticky_seconds: None,
                unknown_kind: None,
                actions: groups,
            }),
            other => unexpected(&other),
        }
    }

    async fn set_weights(
        &self,
        at: &ForwardAt,
        mut seen: Self::Actions,
        weights: [(&TargetGroupArn, u32); 2],
    ) -> Result<(), Error> {
        for (group, weight) in weights {
            match seen.iter_mut().find(|(arn, _)| arn == group.as_ref()) {
                Some((_, now)) => *now = weight,
                None => seen.push((group.as_ref().to_owned(), weight)),
            }
        }
        self.done(Call::SetWeights(at.lock(), seen)).await
    }

    async fn targets(&self, group: &TargetGroupArn) -> Result<Vec<GroupTarget>, Error> {
        match self.call(Call::Targets(group.as_ref().to_owned())).await? {
            Reply::Targets(ids) => Ok(ids
                .into_iter()
                .map(|id| GroupTarget {
                    id,
                    healthy: true,
                    draining: false,
                })
                .collect()),
            other => unexpected(&other),
        }
    }

    async fn register(&self, group: &TargetGroupArn, id: &str) -> Result<Registered, Error> {
        let call = Call::Register(group.as_ref().to_owned(), id.to_owned());
        self.done(call).await.map(|()| Registered::Done)
    }

    async fn deregister(&self, group: &TargetGroupArn, id: &str) -> Result<(), Error> {
        let call = Call::Deregister(group.as_ref().to_owned(), id.to_owned());
        self.done(call).await
    }

    async fn wait_until_healthy(
        &self,
        group: &TargetGroupArn,
        _limit: Duration,
    ) -> Result<(), Error> {
        self.done(Call::WaitUntilHealthy(group.as_ref().to_owned()))
            .await
    }

    async fn permit(
        &self,
        function: &FunctionName,
        version: &Version,
        group: &TargetGroupArn,
    ) -> Result<(), Error> {
        let qualified = format!(":{function}:{version}");
        self.done(Call::Permit(group.as_ref().to_owned(), qualified))
            .await
    }
}

impl LogsApi for Client {
    async fn log_group(&self, name: &str) -> Result<Option<Group>, Error> {
        match self.call(Call::LogGroup(name.to_owned())).await? {
            Reply::LogGroup(filters) => Ok(filters.map(|filters| Group {
                is_standard: true,
                filters,
            })),
            other => unexpected(&other),
        }
    }

    async fn subscribe(
        &self,
        group: &str,
        filter: &str,
        _pattern: &str,
        _to: &str,
    ) -> Result<(), Error> {
        let call = Call::Subscribe(group.to_owned(), filter.to_owned());
        self.done(call).await
    }

    async fn unsubscribe(&self, group: &str, filter: &str) -> Result<(), Error> {
        let call = Call::Unsubscribe(group.to_owned(), filter.to_owned());
        self.done(call).await
    }
}

impl LedgerStore for Client {
    async fn row(&self, key: &Key) -> Result<Option<Item>, Error> {
        match self.call(Call::Row(key.clone())).await? {
            Reply::Row(row) => Ok(row.map(item)),
            other => unexpected(&other),
        }
    }

    async fn rows(&self, keys: &[Key]) -> Result<Vec<Item>, Error> {
        match self.call(Call::Rows(keys.to_vec())).await? {
            Reply::Rows(rows) => Ok(rows.into_iter().map(item).collect()),
            other => unexpected(&other),
        }
    }

    async fn query(&self, pk: &str) -> Result<Vec<Item>, Error> {
        match self.call(Call::Query(pk.to_owned())).await? {
            Reply::Rows(rows) => Ok(rows.into_iter().map(item).collect()),
            other => unexpected(&other),
        }
    }

    async fn write(&self, _what: &str, write: RowWrite) -> Result<Applied, Error> {
        match self.call(Call::Write(write)).await? {
            Reply::Applied(Ok(returned)) => Ok(Applied::Done(returned)),
            Reply::Applied(Err(row)) => Ok(Applied::Refused(row.map(item))),
            other => unexpected(&other),
        }
    }

    async fn transact(&self, _what: &str, writes: Vec<RowWrite>) -> Result<Transacted, Error> {
        match self.call(Call::Transact(writes)).await? {
            Reply::Transacted(Transaction::Done) => Ok(Transacted::Done),
            Reply::Transacted(Transaction::Contended) => Ok(Transacted::Contended),
            Reply::Transacted(Transaction::Refused(refused)) => Ok(Transacted::Refused(
                refused.into_iter().map(Into::into).collect(),
            )),
            other => unexpected(&other),
        }
    }
}

impl Clock for Client {
    fn elapsed(&self) -> Duration {
        self.calls.slept()
    }

    async fn sleep(&self, time: Duration) {
        self.calls.make(Call::Sleep(time)).await;
    }
}
