//! Taking the locks, from the dead too.

use crossfade::{
    admission,
    aws::{
        ledger::{Began, Begin, Status, Why},
        traffic::Late,
    },
    domain::{
        admission::{Holder, Read, Seen, Stands, decide},
        check::Evidence,
        names::FunctionName,
        weight::Weight,
    },
    error::Error,
    rollback,
    wire::{
        notice::Notice,
        request::{OverrideFreeze, ReleaseRequest},
        task::Task,
    },
};
use serde_json::Value;

use crate::Handler;

/// How many dead holders are cleared away before the locks are called busy: each function may have
/// one.
const TURNS: usize = 60;

impl Handler {
    /// Takes all locks of the release, or none. A holder whose execution no longer runs is cleared
    /// away: its traffic is made whole first. Returns what people should know of that.
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
        let doors = request.traffic.locks();
        let begin = Begin {
            execution: &task.execution,
            application: &request.application,
            functions: &functions,
            doors: &doors,
            alarms: &request.analysis.alarms,
            on_hold_timeout: request.hold_ends(),
            override_freeze,
            request_of,
            now: task.now,
        };
        let mut warnings = Vec::new();
        for _ in 0..TURNS {
            match self.ledger.begin(&begin).await? {
                Began::Taken => return Ok(warnings),
                Began::HeldBy(holders) => {
                    let found =
                        admission::holders(&self.ledger, &self.executions, holders, task.now);
                    let holders = found.await?;
                    let seen = Seen {
                        holders: Read::Seen(holders.clone()),
                        ..Seen::default()
                    };
                    decide(request, &seen, task.now).admit()?;
                    for holder in holders {
                        warnings.push(self.clear_away(&holder, task).await?);
                    }
                }
                // Our own launch, whose answer was lost: no traffic has moved yet.
                Began::Before(record)
                    if record.status == Status::InFlight
                        && record.weight == Weight::ZERO
                        && record.steps.is_empty() =>
                {
                    return Ok(warnings);
                }
                Began::Before(_) => {
                    return Err(Error::DeploymentRolledBack(
                        "this execution's deployment has gone further already; start a new execution".into(),
                    ));
                }
            }
        }
        Err(Error::DeploymentInProgress(
            "the locks pass from one deployment to the next without end".into(),
        ))
    }

    async fn clear_away(&self, holder: &Holder, task: &Task<Value>) -> Result<String, Error> {
        let Holder {
            execution: holder,
            stands: Stands::Ended(status),
            ..
        } = holder
        else {
            return Err(Error::DeploymentInProgress(
                format!("{} holds a lock", holder.execution).into(),
            ));
        };
        let why = Why {
            reason: format!("its execution ended {status}"),
            evidence: Evidence::default(),
            at: task.now,
        };
        let mut shifted = false;
        if let Some(restored) =
            rollback::restore(&self.traffic, &self.ledger, holder, &why, Late::Possible).await?
        {
            shifted = restored.record.has_shifted();
            let settled = restored.settle(&self.traffic).await?;
            rollback::close(&self.ledger, &settled, task.now).await?;
            let outcome = settled.outcome(settled.status());
            let ended = Notice::ended(holder, task.now, &outcome);
            self.notifier.tell(&ended).await?;
        }
        tracing::warn!(
            deployment.id = task.execution,
            holder,
            status,
            "Took over a dead holder's locks."
        );
        let traffic = if shifted {
            "its traffic was put back first"
        } else {
            "it had moved no traffic"
        };
        Ok(format!(
            "took over the locks of {holder}, which ended {status}; {traffic}"
        ))
    }
}
