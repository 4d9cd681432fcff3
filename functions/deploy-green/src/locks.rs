//! Taking the locks, from the dead too.

use crossfade::{
    admission::{Holder, Read, Seen, Stands, decide, observe},
    domain::{names::FunctionName, override_freeze::OverrideFreeze},
    error::Error,
    notice::Notice,
    protocol::{
        ledger::Begin,
        release::{DeadHolder, take_locks},
        rollback::Settled,
    },
    wire::{request::ReleaseRequest, task::Task},
};
use serde_json::Value;

use crate::Handler;

impl Handler {
    /// Takes all locks of the release, or none. A holder whose execution no longer runs is closed: its
    /// traffic is restored first. Returns warnings about that.
    ///
    /// # Errors
    /// [`Error::DeploymentInProgress`] when a holder is alive; it is not disturbed.
    pub(crate) async fn take_locks(
        &self,
        task: &Task<Value>,
        request: &ReleaseRequest,
        override_freeze: Option<&OverrideFreeze>,
        request_of: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let functions: Vec<&FunctionName> = request
            .functions
            .iter()
            .map(|asked| &asked.function_name)
            .collect();
        let splitters = request.traffic.locks();
        let begin = Begin {
            execution: &task.execution,
            application: &request.application,
            functions: &functions,
            splitters: &splitters,
            alarms: &request.analysis.alarms,
            on_hold_timeout: request.hold_ends(),
            override_freeze,
            request_of,
            now: task.now,
        };
        let admit = async |holders| {
            let found = observe::holders(&self.ledger, &self.executions, holders, task.now);
            let holders = found.await?;
            let seen = Seen {
                holders: Read::Seen(holders.clone()),
                ..Seen::default()
            };
            decide(request, &seen, task.now).admit()?;
            holders.into_iter().map(dead).collect()
        };
        let mut warnings = Vec::new();
        let report = async |holder: &DeadHolder, settled: Option<&Settled>| {
            warnings.push(self.taken_over(holder, settled, task).await?);
            Ok(())
        };
        take_locks(&self.traffic, &self.ledger, &begin, admit, report).await?;
        Ok(warnings)
    }

    /// Reports a holder that was cleared away. Returns a sentence for the release's warnings.
    async fn taken_over(
        &self,
        DeadHolder {
            execution: holder,
            status,
        }: &DeadHolder,
        settled: Option<&Settled>,
        task: &Task<Value>,
    ) -> Result<String, Error> {
        if let Some(settled) = settled {
            let outcome = settled.outcome(settled.status());
            let ended = Notice::ended(holder, task.now, &outcome);
            self.notifier.deliver(&ended).await?;
        }
        tracing::warn!(
            event = "locks_taken_over",
            deployment.id = task.execution,
            holder,
            status,
            "Took over the locks of an execution that has ended."
        );
        let traffic = if settled.is_some_and(|settled| settled.record.has_shifted()) {
            "its traffic was restored first"
        } else {
            "it had moved no traffic"
        };
        Ok(format!(
            "took over the locks of {holder}, which ended {status}; {traffic}"
        ))
    }
}

/// Returns a holder that may be cleared away.
///
/// # Errors
/// [`Error::DeploymentInProgress`] where it is alive.
fn dead(holder: Holder) -> Result<DeadHolder, Error> {
    match holder.stands {
        Stands::Ended(status) => Ok(DeadHolder {
            execution: holder.execution,
            status,
        }),
        Stands::Alive | Stands::LeftHeld => Err(Error::DeploymentInProgress(
            format!("{} holds a lock", holder.execution).into(),
        )),
    }
}
