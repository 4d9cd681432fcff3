//! The plan, and carrying it out.

use std::time::Duration;

use crossfade::{
    aws::versions::{Deleted, Listed, Registered},
    domain::{
        names::{FunctionName, Version},
        retention::{Cleanup, Hold, Kept, RetainReason, decide, grouped},
    },
    error::Error,
    wire::{
        retention::{Retention, RetentionStatus},
        task::Task,
    },
};
use tokio::time::Instant;

use crate::{Handler, functions};

/// How long a round plans or deletes before the next one begins: well under the function's time.
const ROUND: Duration = Duration::from_mins(10);

/// How much a round's plan may say, bytes of JSON: a state's output has 256 KiB.
const PLAN_BYTES: usize = 100_000;

/// How many tries of the state end because AWS was busy. The next one lists what was not deleted.
const MAX_RETRIES: u32 = 3;

/// How many versions in a row AWS may be too busy for before the others of the function wait as well.
const BUSY: usize = 3;

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
    pub(crate) async fn plan(&self, task: Task<Retention>) -> Result<Retention, Error> {
        let mut retention = task.state;
        let found = self.found(&retention).await?;
        retention.standing = Some(found.standing);
        retention.reason = found.reason;
        retention.functions = Vec::new();
        let (round, mut bytes) = (Round::begin(), 0);
        let names: Vec<_> = found.record.iter().flat_map(functions).collect();
        let names = &names[retention.done.min(names.len())..];
        let mut registered = None;
        let mut unread = None;
        for function in names {
            let planned = self
                .cleanup(function, &retention.deployment, &mut registered)
                .await;
            let cleanup = match planned {
                Ok(cleanup) => cleanup,
                // The others are cleaned up all the same.
                Err(error @ Error::Refused(_)) => {
                    let cleanup = Cleanup::unread(function, &error.to_string());
                    unread = Some(error);
                    cleanup
                }
                Err(error) => return Err(error),
            };
            bytes += serde_json::to_string(&cleanup).map_or(PLAN_BYTES, |text| text.len());
            if !retention.functions.is_empty() && (bytes > PLAN_BYTES || round.is_over()) {
                break;
            }
            retention.functions.push(cleanup);
        }
        if let Some(error) = unread
            && retention.done == 0
            && retention.functions.iter().all(Cleanup::is_unread)
        {
            return Err(error);
        }
        tracing::info!(
            event = "deletion_planned",
            deployment.id = retention.deployment,
            standing = ?found.standing,
            functions = retention.functions.len(),
            versions = retention.functions.iter().map(|one| one.count).sum::<u32>(),
            "Planned which versions to delete."
        );
        Ok(retention)
    }

    async fn cleanup(
        &self,
        function: &FunctionName,
        ending: &str,
        registered: &mut Option<Vec<Registered>>,
    ) -> Result<Cleanup, Error> {
        // A function that is gone has no versions: there is nothing to do.
        let versions = self.versions.list(function).await?.unwrap_or_default();
        if versions.all.is_empty() {
            return Ok(Cleanup::of(function, &decide(&[], &[], None)));
        }
        let mut needs = self.needs(function, ending).await?;
        let decided = decide(&versions.all, &needs.holds, needs.keep);
        if decided.delete.is_empty() {
            return Ok(Cleanup::of(function, &decided));
        }
        // Once for all functions of a round: they are the account's.
        let registered = match registered {
            Some(registered) => registered,
            None => registered.insert(self.versions.registered().await?),
        };
        let ours = registered
            .iter()
            .filter(|one| one.function == function.as_ref());
        needs.holds.extend(
            ours.map(|one| Hold::on(&one.version, RetainReason::TargetGroup(one.group.clone()))),
        );
        for version in &versions.durable {
            if decided.delete.contains(version)
                && let Some(because) = self.versions.durable(function, version).await?
            {
                needs.holds.push(Hold::on(version, because));
            }
        }
        let decided = decide(&versions.all, &needs.holds, needs.keep);
        Ok(Cleanup::of(function, &decided))
    }

    /// Ends the retention, and deletes what was planned and nothing needs by then.
    pub(crate) async fn prune(&self, task: Task<Retention>) -> Result<Retention, Error> {
        let mut retention = task.state.clone();
        let found = self.found(&retention).await?;
        let planned = std::mem::take(&mut retention.functions);
        retention.more = false;
        let Some(record) = found.record else {
            // Taken back since it was planned, perhaps.
            retention.standing = Some(found.standing);
            retention.reason = found.reason;
            return Ok(retention);
        };
        if found.standing == RetentionStatus::Over
            && !self.ledger.end_retention(&record, task.now).await?
        {
            return Err(Error::Transient(
                "the release was taken back or superseded at this moment".into(),
            ));
        }
        for function in functions(&record) {
            // First for all functions: a missing row would delete a version that is still needed.
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
            event = "versions_deleted",
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
        task: &Task<Retention>,
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
            .mark_for_deletion(function, &task.execution, &cleanup.delete, task.now)
            .await?;
        let tried = match self.try_all(cleanup, &retention.deployment, round).await {
            Ok(tried) => tried,
            // The other functions are cleaned up all the same.
            Err(Error::Refused(refusal)) => {
                self.ledger
                    .unmark_for_deletion(function, &task.execution)
                    .await?;
                retention.keep(
                    function,
                    [Kept {
                        versions: cleanup.delete.clone(),
                        because: refusal.reason,
                    }],
                );
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        if let Some(said) = tried.busy
            && task.retries < MAX_RETRIES
        {
            return Err(Error::Transient(said.into()));
        }
        self.ledger
            .unmark_for_deletion(function, &task.execution)
            .await?;

        // Those that an earlier try has deleted, whose answer was lost, are counted here too.
        let stayed = tried.versions.iter().filter(|(_, why)| !why.is_empty());
        let stayed = u32::try_from(stayed.count()).unwrap_or(u32::MAX);
        let still_there = stayed.saturating_add(tried.untried);
        retention.deleted += cleanup.count.saturating_sub(still_there);
        let groups = grouped(tried.versions).into_iter();
        retention.keep(function, groups.filter(|group| !group.because.is_empty()));
        Ok(tried.untried == 0)
    }

    async fn try_all(
        &self,
        cleanup: &Cleanup,
        ending: &str,
        round: &Round,
    ) -> Result<Tried, Error> {
        let function = &cleanup.function_name;
        let listed = self.versions.list(function).await?.unwrap_or_default();
        let versions = listed.all.iter();
        let doomed: Vec<_> = versions.filter(|one| cleanup.deletes(one)).collect();
        let mut tried = Tried::default();
        let mut busy = 0;
        for (index, version) in doomed.iter().enumerate() {
            if index > 0 && round.is_over() {
                tried.untried = u32::try_from(doomed.len() - index).unwrap_or(u32::MAX);
                break;
            }
            match self.try_one(function, version, &listed, ending).await {
                Ok(Fate::Gone) => {
                    busy = 0;
                    tried.stays(&[*version], "");
                }
                Ok(Fate::Stays(why)) => tried.stays(&[*version], &why),
                Ok(Fate::AllStay(why)) => {
                    tried.stays(&doomed[index..], &why);
                    break;
                }
                Err(Error::Transient(busy_with)) => {
                    busy += 1;
                    let those = match busy {
                        BUSY => &doomed[index..],
                        _ => &doomed[index..=index],
                    };
                    tried.stays(those, &busy_with.reason);
                    tried.busy = Some(busy_with.reason);
                    if busy == BUSY {
                        break;
                    }
                }
                Err(error) => {
                    tried.stays(&doomed[index..], &error.to_string());
                    break;
                }
            }
        }
        Ok(tried)
    }

    /// Looks at what needs a version, and deletes it where nothing does.
    async fn try_one(
        &self,
        function: &FunctionName,
        version: &Version,
        listed: &Listed,
        ending: &str,
    ) -> Result<Fate, Error> {
        let is_durable = listed.durable.contains(version);
        let own = self
            .versions
            .needed(function, version, is_durable)
            .await?
            .map(|because| Hold::on(version, because));
        let mut needs = self.needs(function, ending).await?;
        if let Some(because) = needs.any() {
            // A release begins, and waits until no version is marked for deletion.
            return Ok(Fate::AllStay(because.to_string()));
        }
        needs.holds.extend(own);
        let decided = decide(&listed.all, &needs.holds, needs.keep);
        if let Some(why) = decided.why_kept(version) {
            return Ok(Fate::Stays(why));
        }
        Ok(match self.versions.delete(function, version).await? {
            Deleted::Gone => Fate::Gone,
            Deleted::Kept(said) => Fate::Stays(said),
        })
    }
}

/// What became of one version.
enum Fate {
    /// It is deleted.
    Gone,
    /// It stays, and why.
    Stays(String),
    /// It stays, and for the same reason all that have not been tried.
    AllStay(String),
}

/// What became of a function's versions.
#[derive(Debug, Default)]
struct Tried {
    /// Each with why it stays; without a reason where it is gone.
    versions: Vec<(Version, String)>,
    /// How many the round left.
    untried: u32,
    /// What AWS said last where it was too busy.
    busy: Option<String>,
}

impl Tried {
    fn stays(&mut self, versions: &[&Version], why: &str) {
        let versions = versions.iter().map(|one| (*one).clone());
        self.versions
            .extend(versions.map(|one| (one, why.to_owned())));
    }
}
