//! Taking the locks, from the dead too.

use crossfade::{
    aws::{
        ledger::{Began, Begin, Status, Why},
        traffic::Late,
    },
    domain::{analysis::OnHoldTimeout, check::Evidence, names::FunctionName, weight::Weight},
    error::Error,
    rollback,
    wire::{
        notice::Notice,
        request::{OverrideFreeze, ReleaseRequest},
        task::Task,
    },
};

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
        task: &Task,
        request: &ReleaseRequest,
        override_freeze: Option<&OverrideFreeze>,
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
            now: task.now,
        };
        let mut warnings = Vec::new();
        for _ in 0..TURNS {
            match self.ledger.begin(&begin).await? {
                Began::Taken => return Ok(warnings),
                Began::HeldBy(holders) => {
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

    async fn clear_away(&self, holder: &str, task: &Task) -> Result<String, Error> {
        let (execution, record) =
            futures::try_join!(self.executions.describe(holder), self.ledger.get(holder))?;
        let began = record.as_ref().map_or(task.now, |record| record.began_at);
        let Some(ended) = execution.ended(began, task.now) else {
            return Err(Error::DeploymentInProgress(format!(
                "{holder} is releasing at this moment"
            )));
        };
        if let Some(record) = &record
            && record.status == Status::Held
            && record.on_hold_timeout == OnHoldTimeout::Leave
            && ended.error.as_deref() == Some("DeploymentHeld")
        {
            return Err(Error::DeploymentInProgress(format!(
                "{holder} left the traffic held; end it first with {{\"action\":\"rollback\",\"application\":\"{}\"}}",
                record.application
            )));
        }
        let why = Why {
            reason: format!(
                "its execution ended {} without making traffic whole",
                ended.status
            ),
            evidence: Evidence::default(),
            at: task.now,
        };
        if let Some(restored) =
            rollback::restore(&self.traffic, &self.ledger, holder, &why, Late::Possible).await?
        {
            let settled = restored.settle(&self.traffic).await?;
            rollback::close(&self.ledger, &settled, task.now).await?;
            let outcome = settled.outcome(settled.status());
            let ended = Notice::ended(holder, task.now, &outcome);
            self.notifier.tell(&ended).await?;
        }
        tracing::warn!(
            deployment.id = task.execution,
            holder,
            status = ended.status,
            "Took over a dead holder's locks."
        );
        Ok(format!(
            "took over the locks of {holder}, which ended {}; its traffic was put back first",
            ended.status
        ))
    }
}
