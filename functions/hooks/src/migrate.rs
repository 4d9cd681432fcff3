//! Running a migration, at most once for each direction of a release.
//!
//! The attempt that claims the run in the ledger first invokes the function, and records the result there.
//! A state that is tried again, because an answer was lost on the way to Step Functions,
//! finds it there, or waits for it: as long as the function may still be running, nothing else goes on.

use std::time::{Duration, Instant};

use crossfade::{
    aws::functions::Called,
    domain::{
        Timestamp,
        analysis::check::Evidence,
        excerpt::excerpt,
        migration::{
            Direction, MigrationRequest, MigrationRun, MigrationStatus, event, function_values,
        },
        names::Application,
        release::Event,
    },
    error::{Detail, Error},
    notice::Notice,
    protocol::{
        ledger::Claim,
        rollback::{self, Settled},
    },
    wire::{
        graph::{Next, Output},
        task::Task,
    },
};
use serde_json::{Value, json};

use crate::{Handler, asked};

/// How often the ledger is asked what came of another attempt.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How much longer than the migration may take another attempt is waited for.
const GRACE: Duration = Duration::from_secs(10);

/// What is to be run.
struct Order<'a> {
    execution: &'a str,
    application: &'a Application,
    functions: Vec<Value>,
    migration: &'a MigrationRequest,
    direction: Direction,
    now: Timestamp,
}

impl Handler {
    /// Runs the migration towards green.
    ///
    /// # Errors
    /// [`Error::MigrationFailed`] when it failed, did not answer in time, or is not known to have run.
    pub(crate) async fn migrate(&self, task: Task) -> Result<Value, Error> {
        let request = asked(&task)?;
        let Some(migration) = &request.migration else {
            return Err(Error::InvalidRequest("the request has no migration".into()));
        };
        let (mut release, _) = task.state.in_flight()?.answered(task.now)?;
        self.ledger.lease(&task.execution).check().await?;
        let order = Order {
            execution: &task.execution,
            application: &release.spec.application,
            functions: function_values(&release.progress().functions),
            migration,
            direction: Direction::Up,
            now: task.now,
        };
        let ran = self.once(&order).await.map_err(|error| match error {
            Error::Refused(why) => {
                let name = &migration.function_name;
                Error::MigrationFailed(
                    format!("the migration {name} could not be invoked: {why}").into(),
                )
            }
            other => other,
        })?;
        tracing::info!(event = "migration_run", deployment.id = task.execution, status = ?ran.status, "Ran the migration.");
        if ran.status != MigrationStatus::Succeeded {
            let evidence = Evidence {
                migrations: vec![ran.clone()],
                ..Evidence::default()
            };
            return Err(Error::MigrationFailed(Detail::proven(
                ran.describe(),
                evidence,
            )));
        }
        release.apply(Event::Migrated(ran), task.now)?;
        Ok(json!(Output::of(release, Next::of)))
    }

    /// Runs the migration down, and then releases the locks, which were kept for it. A failure is reported
    /// only: the traffic is where it belongs.
    pub(crate) async fn undo(&self, task: Task) -> Result<Value, Error> {
        let request = asked(&task)?;
        let mut ending = task.state.rolling_back()?;
        let record = self.ledger.get(&task.execution).await?;
        let footprint = record.as_ref().and_then(|record| record.footprint.as_ref());
        if let (Some(migration), Some(footprint)) = (&request.migration, footprint) {
            let order = Order {
                execution: &task.execution,
                application: &request.application,
                functions: function_values(&footprint.functions),
                migration,
                direction: Direction::Down,
                now: task.now,
            };
            let told = match self.once(&order).await {
                Ok(ran) => {
                    let told = (ran.status != MigrationStatus::Succeeded).then(|| ran.describe());
                    ending.outcome.evidence.migrations.push(ran);
                    told
                }
                Err(Error::Refused(why)) => Some(format!(
                    "the migration {} could not be invoked: {why}",
                    migration.function_name
                )),
                Err(other) => return Err(other),
            };
            if let Some(told) = told {
                let warning = format!("the migration was not undone: {told}");
                ending.outcome.warnings.push(warning.clone());
                let mut outcome = ending.outcome.clone();
                outcome.reason = format!("{warning}; {}", outcome.reason);
                let mut notice = Notice::ended(&task.execution, task.now, &outcome);
                notice.facts.id.push_str("#undo");
                self.notifier.deliver(&notice).await?;
            }
        }
        if let Some(record) = record.filter(|record| record.status.is_open()) {
            // The state before this one has put traffic and the idle side back.
            let settled = Settled::before(record);
            rollback::close(&self.ledger, &settled, task.now).await?;
        }
        ending.undo = false;
        ending.cause = ending.outcome.to_cause();
        tracing::info!(
            event = "migration_undone",
            deployment.id = task.execution,
            status = <&str>::from(ending.outcome.deployment_status),
            "Undid the migration."
        );
        Ok(json!(Output::of(ending, Next::rolled_back)))
    }

    /// Runs a migration, or finds out what came of it.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::Transient`] when Lambda did not take the invocation: it has not run.
    async fn once(&self, order: &Order<'_>) -> Result<MigrationRun, Error> {
        let attempt = random()?;
        let claim = self
            .ledger
            .claim_migration(order.execution, order.direction, &attempt, order.now)
            .await?;
        match claim {
            Claim::Ours => {}
            Claim::Ran(ran) => return Ok(*ran),
            Claim::Underway => return self.other(order).await,
        }
        let MigrationRequest {
            function_name,
            timeout_seconds,
            phase,
            payload,
            ..
        } = order.migration;
        let event = event(
            order.execution,
            order.application,
            &order.functions,
            (*phase, order.direction),
            payload.as_ref(),
        );
        let patience = Duration::from_secs(u64::from(*timeout_seconds));
        let begun = Instant::now();
        let called = match self.functions.call(function_name, &event, patience).await {
            Ok(called) => called,
            Err(not_taken) => {
                self.ledger
                    .disclaim_migration(order.execution, order.direction, &attempt)
                    .await?;
                return Err(not_taken);
            }
        };
        let ran = came(order, &called, begun.elapsed());
        let settled = self
            .ledger
            .settle_migration(order.execution, &attempt, &ran)
            .await;
        if let Err(error) = settled {
            // The answer that is in our hands is as good, unless it is lost as well.
            tracing::warn!(event = "migration_not_recorded", deployment.id = order.execution, error.message = %error, "Failed to record the migration's result.");
        }
        Ok(ran)
    }

    /// Waits for what another attempt says, as long as that may take.
    async fn other(&self, order: &Order<'_>) -> Result<MigrationRun, Error> {
        let most = Duration::from_secs(u64::from(order.migration.timeout_seconds)) + GRACE;
        let begun = Instant::now();
        while begun.elapsed() < most {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.ledger.migration(order.execution, order.direction);
            match now.await? {
                Some(Claim::Ran(ran)) => return Ok(*ran),
                Some(Claim::Underway | Claim::Ours) => {}
                None => {
                    return Err(Error::Transient(
                        "another attempt could not invoke the migration".into(),
                    ));
                }
            }
        }
        Ok(came(
            order,
            &Called::Lost("the attempt that invoked it has died".into()),
            begun.elapsed(),
        ))
    }
}

/// What came of a call.
fn came(order: &Order<'_>, called: &Called, took: Duration) -> MigrationRun {
    let (status, answer) = match called {
        Called::Answered { failed, answer } => {
            let status = match failed {
                None => MigrationStatus::Succeeded,
                Some(_) => MigrationStatus::Failed,
            };
            (status, excerpt(answer.clone()))
        }
        Called::TimedOut => (MigrationStatus::TimedOut, Value::Null),
        Called::Lost(why) => (MigrationStatus::Unknown, json!(why)),
    };
    MigrationRun {
        function_name: order.migration.function_name.clone(),
        phase: order.migration.phase,
        after_rollback: order.migration.after_rollback,
        direction: order.direction,
        status,
        started_at: order.now,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        answer,
    }
}

/// Returns a random id of this attempt; retries of the same state get others.
fn random() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Transient(format!("no randomness: {error}").into()))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
