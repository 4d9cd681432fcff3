//! The plan, and carrying it out.

use std::time::Duration;

use crossfade::{
    aws::versions::Deleted,
    domain::{
        names::{FunctionName, Version},
        retention::{Cleanup, decide, grouped},
    },
    error::Error,
    wire::{
        retention::{NotDeleted, Retention, Standing},
        task::{Task, state},
    },
};
use tokio::time::Instant;

use crate::{Handler, functions};

/// How long a round plans or deletes before the next one begins: well under the function's time.
const ROUND: Duration = Duration::from_mins(10);

/// How much a round's plan may say, bytes of JSON: a state's output has 256 KiB.
const PLAN_BYTES: usize = 100_000;

/// How many entries say what was to be deleted and stayed.
const MOST_NOT_DELETED: usize = 200;

/// A round's limit in time.
struct Round(Instant);

impl Round {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn is_over(&self) -> bool {
        self.0.elapsed() > ROUND
    }
}

impl Handler {
    /// What is going to be deleted and what is kept, of as many functions as one round takes.
    pub(crate) async fn plan(&self, task: Task) -> Result<Retention, Error> {
        let mut retention: Retention = state(task.state)?;
        let found = self.found(&retention).await?;
        retention.standing = Some(found.standing);
        retention.reason = found.reason;
        retention.functions = Vec::new();
        let (round, mut bytes) = (Round::begin(), 0);
        let names: Vec<_> = found.record.iter().flat_map(functions).collect();
        for function in &names[retention.done.min(names.len())..] {
            let cleanup = self.cleanup(function, &retention.deployment).await?;
            bytes += serde_json::to_string(&cleanup).map_or(PLAN_BYTES, |text| text.len());
            if !retention.functions.is_empty() && (bytes > PLAN_BYTES || round.is_over()) {
                break;
            }
            retention.functions.push(cleanup);
        }
        tracing::info!(
            deployment.id = retention.deployment,
            standing = ?found.standing,
            functions = retention.functions.len(),
            versions = retention.functions.iter().map(|one| one.count).sum::<u32>(),
            "Planned what to delete."
        );
        Ok(retention)
    }

    async fn cleanup(&self, function: &FunctionName, ending: &str) -> Result<Cleanup, Error> {
        // A function that is gone has no versions: there is nothing to do.
        let versions = self.versions.list(function).await?.unwrap_or_default();
        if versions.is_empty() {
            return Ok(Cleanup::of(function, &decide(&[], &[], None)));
        }
        let needs = self.needs(function, ending).await?;
        let decided = decide(&versions, &needs.holds, needs.keep);
        Ok(Cleanup::of(function, &decided))
    }

    /// Ends the retention, and deletes what was planned and nothing needs by then.
    pub(crate) async fn prune(&self, task: Task) -> Result<Retention, Error> {
        let mut retention: Retention = state(task.state.clone())?;
        let found = self.found(&retention).await?;
        let planned = std::mem::take(&mut retention.functions);
        retention.more = false;
        let Some(record) = found.record else {
            // Taken back since it was planned, perhaps.
            retention.standing = Some(found.standing);
            retention.reason = found.reason;
            return Ok(retention);
        };
        if found.standing == Standing::Over && !self.ledger.end_retention(&record, task.now).await?
        {
            return Err(Error::Transient(
                "the release was taken back or superseded at this moment".into(),
            ));
        }
        for function in functions(&record) {
            // First for all: a promise too few would be one that nobody knows of.
            self.ledger
                .release_blue(function, &retention.deployment)
                .await?;
        }

        let round = Round::begin();
        for cleanup in &planned {
            let done = self.delete(&task, &mut retention, cleanup, &round).await?;
            if !done {
                break;
            }
            retention.done += 1;
        }
        retention.functions = planned;
        retention.more = retention.done < functions(&record).count();
        tracing::info!(
            deployment.id = retention.deployment,
            versions = retention.deleted,
            not_deleted = retention.not_deleted.len(),
            more = retention.more,
            "Deleted versions."
        );
        Ok(retention)
    }

    /// Deletes the planned versions of one function. False when the round ended before.
    async fn delete(
        &self,
        task: &Task,
        retention: &mut Retention,
        cleanup: &Cleanup,
        round: &Round,
    ) -> Result<bool, Error> {
        if cleanup.delete.is_empty() {
            return Ok(true);
        }
        if round.is_over() {
            return Ok(false);
        }
        let function = &cleanup.function_name;
        // On record first, and what needs them is read after it: see the ledger.
        self.ledger
            .doom(function, &task.execution, &cleanup.delete, task.now)
            .await?;
        let tried = self.try_all(cleanup, &retention.deployment, round).await?;
        self.ledger.spare(function, &task.execution).await?;

        // Those that an earlier try has deleted, whose answer was lost, are counted here too.
        let stayed = tried.versions.iter().filter(|(_, why)| !why.is_empty());
        let stayed = u32::try_from(stayed.count()).unwrap_or(u32::MAX);
        let still_there = stayed.saturating_add(tried.untried);
        retention.deleted += cleanup.count.saturating_sub(still_there);
        let groups = grouped(tried.versions).into_iter();
        let kept = groups.filter(|group| !group.because.is_empty());
        let room = MOST_NOT_DELETED.saturating_sub(retention.not_deleted.len());
        retention
            .not_deleted
            .extend(kept.take(room).map(|kept| NotDeleted {
                function_name: function.clone(),
                kept,
            }));
        Ok(tried.untried == 0)
    }

    async fn try_all(
        &self,
        cleanup: &Cleanup,
        ending: &str,
        round: &Round,
    ) -> Result<Tried, Error> {
        let function = &cleanup.function_name;
        let versions = self.versions.list(function).await?.unwrap_or_default();
        let doomed: Vec<_> = versions.iter().filter(|one| cleanup.deletes(one)).collect();
        let mut tried = Tried::default();
        for (index, version) in doomed.iter().enumerate() {
            if index > 0 && round.is_over() {
                tried.untried = u32::try_from(doomed.len() - index).unwrap_or(u32::MAX);
                break;
            }
            let needs = self.needs(function, ending).await?;
            if let Some(because) = needs.any() {
                // A release begins, and waits until none is doomed any more.
                let rest = doomed[index..].iter();
                tried
                    .versions
                    .extend(rest.map(|one| ((*one).clone(), because.to_string())));
                break;
            }
            let decided = decide(&versions, &needs.holds, needs.keep);
            let why = match decided.why_kept(version) {
                Some(why) => why,
                None => match self.versions.delete(function, version).await? {
                    Deleted::Gone => String::new(),
                    Deleted::Kept(said) => said,
                },
            };
            tried.versions.push(((*version).clone(), why));
        }
        Ok(tried)
    }
}

/// What became of a function's versions.
#[derive(Debug, Default)]
struct Tried {
    /// Each with why it stays; without a reason where it is gone.
    versions: Vec<(Version, String)>,
    /// How many the round left.
    untried: u32,
}
