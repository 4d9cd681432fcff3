//! Judges green, and asks operators, as states of the execution:
//!
//! - alarms, health checks and metrics of the bake so far -> verdict -> decision;
//! - what an operator answered -> what follows;
//! - where a state waits for an operator: puts the token on record, and asks.

mod answer;
mod ask;
mod health;
mod metrics;

use crossfade::{
    aws::{
        health::HealthChecks,
        ledger::Ledger,
        metrics::Metrics,
        notify::{Notifier, page_url},
        traffic::Traffic,
    },
    domain::{
        Timestamp,
        analysis::{
            check::{Look, Window, check},
            counts::FunctionSeries,
            judge::Watch,
            source::{Measured, Source},
        },
        approval::OperatorRequest,
        propagation::{IN_SYNC_USUAL_SECONDS, Propagation},
        record::{Record, Status},
        release::{Event, Release},
        weight::Weight,
    },
    error::Error,
    wire::{
        graph::{Next, Output},
        task::{Task, task},
    },
};
use serde_json::{Value, json};

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    /// Where an operator can answer; none where the stack has no such page.
    approval_url: Option<String>,
    health: HealthChecks,
    ledger: Ledger,
    metrics: Metrics,
    notifier: Notifier,
    traffic: Traffic,
}

impl Handler {
    /// Returns a handler with clients on `config`, and the approval page that the environment's `PAGE_URL`
    /// names.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            approval_url: page_url(),
            health: HealthChecks::new(config),
            ledger,
            metrics: Metrics::new(config),
            notifier,
            traffic: Traffic::new(config),
        }
    }

    /// Looks, takes in an answer, or asks an operator where the state waits for one.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let task: Task = task(payload)?;
        if let Some(token) = task.token.clone() {
            return self.ask(task, &token).await;
        }
        // The definition of version 0.1 chooses by the answer itself.
        let has_waited = task.at.is_some() && answer::has_waited(&task);
        let release = if has_waited {
            self.answered(task).await?
        } else {
            Box::pin(self.look(task)).await?
        };
        Ok(json!(Output::of(release, Next::of)))
    }

    /// One look at the step that bakes.
    #[allow(clippy::too_many_lines)] // What is read at once, and what of it goes where.
    async fn look(&self, task: Task) -> Result<Release, Error> {
        let (mut release, waited) = task.state.in_flight()?.answered(task.now)?;
        if waited {
            // An operator has resumed the bake that was held.
            self.ledger.resumed(&task.execution).await?;
        }
        if release.propagation().is_some() {
            return Box::pin(self.follow(task.execution, task.now, release)).await;
        }
        let window = Window::at(
            task.now,
            &release.progress().steps,
            release.spec.analysis.settle_seconds,
        );
        let (Some(step), Some(window)) = (release.step(), window) else {
            return Err(Error::InvalidRequest("there is no step that bakes".into()));
        };
        // A step without weight or without a bake says nothing of green's traffic.
        let functions = &release.progress().functions;
        let (judged, sources) = if step.weight > Weight::ZERO && step.bake_seconds > 0 {
            let counted = release.spec.traffic.counted(functions);
            (counted, release.spec.analysis.sources(functions))
        } else {
            (Vec::new(), Vec::new())
        };
        let counted: Vec<_> = judged
            .iter()
            .chain(sources.iter().flat_map(Source::counted))
            .collect();
        let valued: Vec<_> = sources.iter().filter_map(Source::valued).collect();

        let read = Watch {
            from: window.first,
            through: window.watch.through,
        };
        let slower_than_ms = release.spec.analysis.slower_than_ms;
        let (readings, counts, values, record, health) = futures::try_join!(
            self.metrics.alarms(&release.spec.analysis.alarms, task.now),
            self.metrics.minutes(&counted, slower_than_ms, read),
            self.metrics.values(&valued, read),
            self.ledger.get(&task.execution),
            async { Ok(self.health_now(&release).await) },
        )?;
        let wish = still_in_flight(record)?;

        // Behind the functions there is what splits the traffic, where that is counted too.
        let each = release.progress().functions.iter().map(|target| {
            let past = release.spec.past.get(&target.function_name).copied();
            (target.is_new(), past)
        });
        let (mut counts, mut values) = (counts.into_iter(), values.into_iter());
        let series: Vec<_> = judged
            .iter()
            .zip(counts.by_ref())
            .zip(each.chain([(false, release.spec.traffic.past())]))
            .map(|((counted, read), (is_new, past))| FunctionSeries {
                function: counted.name.clone(),
                minutes: read
                    .minutes
                    .into_iter()
                    .filter(|minute| window.judges(minute.start))
                    .collect(),
                is_new,
                past,
            })
            .collect();
        let measured = sources.into_iter().map(|source| {
            let past = release.spec.source_past.get(&source.path).copied();
            let mut measured = Measured::of(source, past, &mut counts, &mut values);
            measured.retain(|start| window.judges(start));
            measured
        });
        let measured: Vec<_> = measured.collect();
        let look = Look {
            readings: &readings,
            preexisting: &release.spec.preexisting_alarms,
            started_at: release.spec.started_at,
            health: &health,
            series: &series,
            sources: &measured,
            watch: window.watch,
            smoke_tested: &release.progress().smoke_tested,
            routes_each_request: release.spec.traffic.routes_each_request(),
        };
        let found = check(&release.judged_by(), &look);
        metrics::verdict(&release, step.weight, &found, task.now).write();
        let (verdict, index) = (found.verdict, release.progress().position.step);
        let looked = Event::Looked {
            finding: found,
            health,
        };
        release.apply(looked, task.now)?;
        if let Some(wish) = wish {
            release.apply(Event::Requested(wish), task.now)?;
        }
        tracing::info!(
            event = "bake_checked",
            deployment.id = task.execution,
            step = index,
            weight_percent = step.weight.percent(),
            verdict = ?verdict,
            decision = ?release.progress().decision,
            "Checked a bake."
        );
        Ok(release)
    }

    /// One look while DNS is following: alarms, health checks, and whether the last change is in force. Whose
    /// requests come in meanwhile is not known, so they are not judged.
    async fn follow(
        &self,
        execution: String,
        now: Timestamp,
        mut release: Release,
    ) -> Result<Release, Error> {
        let in_sync = async {
            match release.propagation() {
                None | Some(Propagation::Expiring { .. }) => Ok(true),
                Some(Propagation::Pending {
                    change_id: Some(change),
                    ..
                }) => self.traffic.in_sync(change).await,
                Some(Propagation::Pending { waited_seconds, .. }) => {
                    Ok(*waited_seconds >= IN_SYNC_USUAL_SECONDS)
                }
            }
        };
        let (readings, in_sync, record, health) = futures::try_join!(
            self.metrics.alarms(&release.spec.analysis.alarms, now),
            in_sync,
            self.ledger.get(&execution),
            async { Ok(self.health_now(&release).await) },
        )?;
        still_in_flight(record)?;
        let look = Look {
            readings: &readings,
            preexisting: &release.spec.preexisting_alarms,
            started_at: release.spec.started_at,
            health: &health,
            series: &[],
            sources: &[],
            watch: Watch {
                from: 0,
                through: 0,
            },
            smoke_tested: &[],
            routes_each_request: release.spec.traffic.routes_each_request(),
        };
        let finding = check(&release.judged_by(), &look);
        let propagated = Event::Followed {
            in_sync,
            finding,
            health,
        };
        release.apply(propagated, now)?;
        tracing::info!(
            event = "propagation_checked",
            deployment.id = execution,
            in_sync,
            decision = ?release.progress().decision,
            "Checked whether DNS has propagated."
        );
        Ok(release)
    }
}

/// Returns the operator's request, if any.
///
/// # Errors
/// [`Error::DeploymentRolledBack`] once a rollback was requested: the release is not judged any more.
fn still_in_flight(record: Option<Record>) -> Result<Option<OperatorRequest>, Error> {
    match record {
        Some(record) if record.status == Status::InFlight => Ok(record.wish),
        Some(record) => {
            let reason = record
                .why
                .map_or_else(|| "the deployment has ended".to_owned(), |why| why.reason);
            Err(Error::DeploymentRolledBack(reason.into()))
        }
        None => Err(Error::Refused(
            "the ledger does not know this deployment".into(),
        )),
    }
}
