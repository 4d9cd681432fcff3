//! Puts traffic back on blue when an alarm fires: all releases that watch it, before the handler returns.
//!
//! A function of its own, so that its concurrency can be reserved and nothing else waits in the same queue.

use crossfade::{
    aws::{executions::Executions, ledger::Ledger, notify::Notifier, traffic::Traffic},
    domain::{
        Timestamp,
        analysis::{
            alarm::{AlarmState, Reading},
            check::Evidence,
        },
        live::evidence::LiveEvidence,
        names::AlarmName,
        record::{Status, Watch, Why},
        release::FROZEN,
        status::DeploymentStatus,
    },
    error::{self, Error},
    metrics,
    notice::Notice,
    protocol::rollback::{self, PromotedRestore},
    wire::events::{self, Event, Home},
};
use futures::future::join_all;
use serde_json::{Value, json};

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    home: Home,
    ledger: Ledger,
    notifier: Notifier,
    traffic: Traffic,
}

impl Handler {
    /// Returns a handler with clients on `config`, for the events of the environment's `EXECUTIONS`.
    ///
    /// # Panics
    /// Without the variable `EXECUTIONS`: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger);
        Self {
            executions: Executions::new(config),
            home: Home::from_env(),
            ledger,
            notifier,
            traffic: Traffic::new(config),
        }
    }

    /// Acts on an alarm's event; every other event changes nothing.
    ///
    /// # Errors
    /// As [`Handler::alarm_fired`] says, and [`Error::InvalidRequest`] for what is no event.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        match Event::parse(payload, &self.home)? {
            Event::AlarmFired { name, reason, time } => {
                self.alarm_fired(&name, &reason, time).await
            }
            Event::FailuresFound {
                execution,
                evidence,
                time,
            } => self.failures_found(&execution, *evidence, time).await,
            Event::Foreign(why) => {
                events::ignored(&why);
                Ok(json!({}))
            }
            Event::ExecutionEnded { .. } | Event::Tick { .. } | Event::Other => Ok(json!({})),
        }
    }

    /// Puts the traffic of every deployment that watches this alarm back on blue.
    ///
    /// # Errors
    /// The first deployment's that could not be restored, after all have been tried: the event is
    /// then delivered again.
    async fn alarm_fired(
        &self,
        alarm: &AlarmName,
        reason: &str,
        time: Timestamp,
    ) -> Result<Value, Error> {
        let watches = self.ledger.watching(alarm).await?;
        let why = Why {
            reason: format!("alarm {alarm} fired: {reason}"),
            evidence: Evidence {
                decided_by: Some("alarm".into()),
                alarms: vec![Reading::of(alarm.clone(), AlarmState::Alarm, Some(time))],
                ..Evidence::default()
            },
            at: time,
        };
        let done = join_all(
            watches
                .iter()
                .map(|watch| self.restore_watched(watch, &why)),
        )
        .await;
        let mut rolled_back = 0;
        for result in done {
            rolled_back += usize::from(result?);
        }
        tracing::info!(event = "alarm_fired", alarm = %alarm, watching = watches.len(), rolled_back, "An alarm fired.");
        Ok(json!({ "watching": watches.len(), "rolledBack": rolled_back }))
    }

    /// Puts the traffic of a release back on blue whose logs condemn green.
    ///
    /// # Errors
    /// That it could not be: the event is then delivered again.
    async fn failures_found(
        &self,
        execution: &str,
        evidence: LiveEvidence,
        time: Timestamp,
    ) -> Result<Value, Error> {
        let record = self.ledger.get(execution).await?;
        let open = record.filter(|record| record.status.is_open());
        let Some(footprint) = open.and_then(|record| record.footprint) else {
            return Ok(json!({ "rolledBack": 0 }));
        };
        let why = Why {
            reason: evidence.reason(),
            evidence: Evidence {
                decided_by: Some("liveErrors".into()),
                live: Some(evidence),
                ..Evidence::default()
            },
            at: time,
        };
        let watch = Watch {
            execution: execution.to_owned(),
            footprint,
            retain_until: None,
        };
        let rolled_back = self.restore_watched(&watch, &why).await?;
        Ok(json!({ "rolledBack": usize::from(rolled_back) }))
    }

    async fn restore_watched(&self, watch: &Watch, why: &Why) -> Result<bool, Error> {
        if watch.footprint.freezes && self.stays(watch, why).await? {
            return Ok(false);
        }
        if watch.retain_until.is_none() {
            let restored = rollback::restore_at_once(
                &self.traffic,
                &self.ledger,
                &watch.execution,
                why,
                &watch.footprint,
            )
            .await?;
            if let Some(restored) = restored {
                metrics::time_to_blue(&restored.record.application, why.at);
                // The execution finds the rest at its next state; a hold has none until it is ended.
                if let Some(token) = &restored.record.token {
                    let told = Error::DeploymentRolledBack(why.reason.clone().into());
                    self.executions.fail_task(token, &told).await?;
                }
                return Ok(true);
            }
        }
        match rollback::restore_promoted(&self.traffic, &self.ledger, &watch.execution, why).await {
            Ok(PromotedRestore::Done(restored)) => {
                metrics::time_to_blue(&restored.record.application, why.at);
                let mut outcome = restored.outcome(restored.status());
                outcome.help = error::page("DeploymentRolledBack");
                let ended = Notice::ended(&watch.execution, why.at, &outcome);
                let told = self.notifier.deliver(&ended).await;
                rollback::deliver_or_queue(&self.ledger, &watch.execution, told).await?;
                Ok(true)
            }
            // A newer deployment has begun: it watches its own alarms.
            Err(Error::DeploymentInProgress(_)) => Ok(false),
            Ok(PromotedRestore::Not(reason)) => {
                tracing::info!(
                    event = "promotion_kept",
                    deployment.id = watch.execution,
                    reason,
                    "Kept a promoted release."
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Calls operators instead, where green has traffic and blue cannot work with what the migration has
    /// changed. False when nothing has moved yet: then there is nothing to freeze.
    async fn stays(&self, watch: &Watch, why: &Why) -> Result<bool, Error> {
        let Some(record) = self.ledger.get(&watch.execution).await? else {
            return Ok(false);
        };
        let moved = matches!(
            record.status,
            Status::InFlight | Status::Held | Status::Promoted
        );
        if !moved || record.steps.is_empty() {
            return Ok(false);
        }
        let mut outcome = rollback::outcome(&record, DeploymentStatus::Held, &[]);
        outcome.reason = format!("{FROZEN}: {}", why.reason);
        outcome.evidence = why.evidence.clone();
        let mut notice = Notice::left(&watch.execution, why.at, &outcome);
        notice.facts.id.push_str("#frozen");
        self.notifier.deliver(&notice).await?;
        tracing::warn!(
            event = "traffic_frozen",
            deployment.id = watch.execution,
            "Traffic is frozen by the migration; the alarm has no effect."
        );
        Ok(true)
    }
}
