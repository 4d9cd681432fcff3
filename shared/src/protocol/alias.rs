//! Aliases: Lambda splits each function's traffic by itself, and every alias is written by itself.

mod hand_over;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};

use futures::{
    StreamExt,
    future::{join_all, try_join_all},
    stream,
};

use self::{hand_over::Told, write::busy};
use super::{
    ledger::Lease,
    splitter::{SplitterProtocol, alias_of},
};
use crate::{
    domain::{
        moved::{AtOnce, Late, Moved, Observed, RestoreReport, Serves, Serving},
        names::{AliasName, FunctionName, Version},
        restore_point::RestorePoint,
        routing::alias::{Alias, AliasUpdate, Primary, Revision, Routing},
        target::Target,
        traffic::Splitter,
        weight::Weight,
    },
    error::Error,
    ports::{AliasApi, AliasWrite, Clock, LedgerStore, Written},
    wire::request::FunctionRequest,
};

/// How many aliases are on their way to green at the same time, and after how many it is asked whether
/// they still may: about once a second, at the pace of a release.
const AT_ONCE: usize = 10;

/// Which way an alias is brought.
#[derive(Clone, Copy)]
enum Direction {
    /// To green, for as long as the lease holds.
    Shift,
    /// To blue.
    Restore(Late),
}

impl Direction {
    /// Whether an alias that is as wanted is left as it is.
    fn ends_here(self) -> bool {
        match self {
            Self::Shift | Self::Restore(Late::Impossible) => true,
            Self::Restore(Late::Possible) => false,
        }
    }
}

/// The aliases of a release.
#[derive(Debug)]
pub(super) struct Aliases<'a, P> {
    api: &'a P,
}

impl<P> Clone for Aliases<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Aliases<'_, P> {}

impl<P: AliasApi + Clock> SplitterProtocol for Aliases<'_, P> {
    /// Nothing reaches green but by the alias's own weight.
    async fn stage<S: LedgerStore>(&self, _: Lease<'_, S>, _: &RestorePoint) -> Result<(), Error> {
        Ok(())
    }

    async fn ready(&self, _: &[Target]) -> Result<(), Error> {
        Ok(())
    }

    async fn unstage(&self, _: &RestorePoint, _: bool) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn shift<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
        to: Weight,
    ) -> Result<Moved, Error> {
        self.move_all(lease, of, |target| {
            (target.routing(from), target.routing(to))
        })
        .await
    }

    /// Makes green the alias's own version and drops the split, in one write, and waits for what Lambda does
    /// to an alias with provisioned concurrency then.
    async fn promote<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
    ) -> Result<Moved, Error> {
        let green = |target: &Target| Routing::Settled(target.green_version.clone());
        let moved = self.move_all(lease, of, |target| {
            (target.routing(from), Some(green(target)))
        });
        let mut moved = moved.await?;
        let handed_over = self.handed_over(lease, moved.functions).await?;
        moved.functions = Vec::new();
        for Told {
            target,
            note,
            is_whole,
        } in handed_over
        {
            if is_whole {
                let (function, green) = (&target.function_name, &target.green_version);
                let serves = &mut moved.serves.versions;
                serves.insert(function.clone(), green.clone());
            }
            moved.notes.extend(note);
            moved.functions.push(target);
        }
        Ok(moved)
    }

    /// A first release has no blue: its alias is deleted again. `UpdateAlias` gives a new revision even
    /// when nothing changes.
    async fn restore(
        &self,
        of: &RestorePoint,
        late: Late,
        _: bool,
    ) -> Result<RestoreReport, Error> {
        let each = of.functions.iter().map(|target| async move {
            let unread = Target {
                revision_id: None,
                ..target.clone()
            };
            let blue = target.routing(Weight::ZERO);
            let way = Direction::Restore(late);
            let ours = target.ours(&of.plan);
            self.bring(&unread, blue, &ours, way, async || Ok(())).await
        });
        let done: Vec<Result<Told, Error>> = join_all(each).await;
        let mut back = RestoreReport::of(&of.functions);
        for (target, result) in back.functions.iter_mut().zip(done) {
            match result {
                Ok(now) => {
                    if now.is_whole {
                        back.serves.extend(blue_of(&now.target));
                    }
                    back.notes.extend(now.note);
                    *target = now.target;
                }
                Err(Error::ChangedOutside(what)) => back.changed_outside.push(what.reason),
                Err(error) => return Err(error),
            }
        }
        Ok(back)
    }

    /// One call for each function, if its alias is still as the target's revision says: nothing is
    /// read first.
    async fn restore_at_once(&self, of: &RestorePoint) -> AtOnce {
        let each = of.functions.iter().map(|target| async move {
            let back = matches!(self.restore_known(target).await, Ok(true));
            back.then_some(target)
        });
        let mut done = AtOnce::default();
        for target in join_all(each).await.into_iter().flatten() {
            done.functions.insert(target.function_name.clone());
            done.serves.extend(blue_of(target));
        }
        done
    }

    async fn serves(&self, of: &RestorePoint) -> Serves {
        let each = of.functions.iter().map(|target| async move {
            let (function, alias) = (&target.function_name, named(target).ok()?);
            let seen = self.api.alias(function, alias).await.ok()??;
            let version = seen.primary.version().filter(|_| !seen.is_split());
            version.map(|version| (function.clone(), version.clone()))
        });
        Serves {
            versions: join_all(each).await.into_iter().flatten().collect(),
            by: Vec::new(),
        }
    }
}

impl<'a, P: AliasApi + Clock> Aliases<'a, P> {
    /// Returns the aliases on `api`.
    pub(super) const fn new(api: &'a P) -> Self {
        Self { api }
    }

    /// Each function's alias, which must not be split.
    pub(super) async fn observe(&self, functions: &[FunctionRequest]) -> Result<Observed, Error> {
        let each = functions.iter().map(|asked| async move {
            let alias = alias_of(asked)?;
            self.serving(&asked.function_name, alias).await
        });
        Ok(Observed {
            splitter: Splitter::Alias,
            functions: try_join_all(each).await?,
            warnings: Vec::new(),
        })
    }

    /// Reads what serves through an alias.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when it is split: someone else is shifting its traffic.
    /// [`Error::InvalidRequest`] when it is on `$LATEST.PUBLISHED`, which no rollback could return to.
    pub(super) async fn serving(
        &self,
        function: &FunctionName,
        alias: &AliasName,
    ) -> Result<Serving, Error> {
        let seen = self.api.alias(function, alias).await?;
        if let Some(seen) = &seen
            && seen.is_split()
        {
            return Err(self.split(function, alias, seen).await);
        }
        if seen
            .as_ref()
            .is_some_and(|seen| seen.primary == Primary::LatestPublished)
        {
            return Err(Error::InvalidRequest(format!(
                "{function}:{alias} is on $LATEST.PUBLISHED, and a release needs a numbered version to go back to; \
                 publish one and point the alias at it"
            ).into()));
        }
        Ok(Serving {
            alias: Some(alias.clone()),
            seen,
            version: None,
        })
    }

    /// Writes what an alias that has no traffic points at: a version or `$LATEST`, or nothing, which
    /// deletes it. It is made where none was seen. A write that comes too late is none: who requests it
    /// reads again.
    pub(super) async fn set(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        seen: Option<&Revision>,
        to: Option<&str>,
    ) -> Result<(), Error> {
        let primary = |to: &str| {
            to.parse::<Primary>().map_err(|_| {
                Error::Refused(format!("{function}:{alias} cannot be put on {to:?}").into())
            })
        };
        match (seen, to) {
            (None, None) => Ok(()),
            (Some(_), None) => self.api.delete_alias(function, alias).await,
            (None, Some(to)) => {
                let to = primary(to)?;
                self.api.create_alias(function, alias, &to).await.map(drop)
            }
            (Some(revision), Some(to)) => {
                let update = AliasWrite {
                    primary: primary(to)?,
                    additional: None,
                    if_revision: revision.clone(),
                };
                match self.api.update_alias(function, alias, &update).await? {
                    Written::Done(_) | Written::Stale => Ok(()),
                    Written::Conflict(error) => Err(error),
                }
            }
        }
    }

    /// Brings all aliases from the one routing to the other, a few at a time.
    ///
    /// What is on its way is waited for, also when another has failed: a write is not called off by
    /// looking away from it, and would come after a rollback.
    async fn move_all<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        way: impl Fn(&Target) -> (Option<Routing>, Option<Routing>),
    ) -> Result<Moved, Error> {
        let stopped = AtomicBool::new(false);
        let one = async |nth: usize, target: &Target| {
            if stopped.load(Ordering::Relaxed) {
                return Err(Error::Transient("not begun: another has failed".into()));
            }
            let (before, want) = way(target);
            let before: Vec<_> = before.into_iter().collect();
            let done = async {
                if nth > 0 && nth.is_multiple_of(AT_ONCE) {
                    lease.check().await?;
                }
                let check = async || lease.check().await;
                let brought = self.bring(target, want, &before, Direction::Shift, check);
                brought.await.map(|now| now.target)
            };
            let done = done.await;
            stopped.fetch_or(done.is_err(), Ordering::Relaxed);
            done
        };
        let mut each = stream::iter(of.functions.iter().enumerate())
            .map(|(nth, target)| one(nth, target))
            .buffered(AT_ONCE);
        let (mut functions, mut failed) = (Vec::new(), Vec::new());
        while let Some(done) = each.next().await {
            match done {
                Ok(target) => functions.push(target),
                Err(error) => failed.push(error),
            }
        }
        // What asking again does not help comes first.
        failed.sort_by_key(|error| matches!(error, Error::Transient(_)));
        let Some(error) = failed.into_iter().next() else {
            return Ok(Moved::at_once(functions));
        };
        // A rollback may have looked at some of these before we wrote them.
        match lease.check().await {
            Err(lost @ Error::DeploymentRolledBack(_)) => {
                let written = RestorePoint {
                    functions,
                    ..of.clone()
                };
                self.restore_at_once(&written).await;
                Err(lost)
            }
            Ok(()) | Err(_) => Err(error),
        }
    }

    async fn restore_known(&self, target: &Target) -> Result<bool, Error> {
        let Some(if_revision) = target.revision_id.clone() else {
            return Ok(false);
        };
        let (function, alias) = (&target.function_name, named(target)?);
        let Some(want) = target.routing(Weight::ZERO) else {
            // `DeleteAlias` takes no revision.
            return match self.api.alias(function, alias).await? {
                Some(seen) if seen.revision == if_revision => {
                    self.api.delete_alias(function, alias).await.map(|()| true)
                }
                seen => Ok(seen.is_none()),
            };
        };
        let update = AliasUpdate {
            routing: want.clone(),
            if_revision,
        };
        match self.write(function, alias, &update).await? {
            Some(now) => Ok(now.routes(&want)),
            None => Ok(false),
        }
    }

    /// See [`super::Traffic::pin`].
    pub(super) async fn pin(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        version: &Version,
    ) -> Result<Alias, Error> {
        let want = Routing::Settled(version.clone());
        match self.api.alias(function, alias).await? {
            Some(seen) if seen.routes(&want) => Ok(seen),
            Some(seen) if seen.primary == Primary::Latest => {
                let update = AliasUpdate {
                    routing: want,
                    if_revision: seen.revision,
                };
                match self.write(function, alias, &update).await? {
                    Some(alias) => Ok(alias),
                    None => Err(busy(function, alias)),
                }
            }
            Some(_) | None => Err(Error::ChangedOutside(
                format!("{function}:{alias} was moved while the release began").into(),
            )),
        }
    }
}

/// What serves through an alias that was proven to be on blue alone.
fn blue_of(target: &Target) -> Serves {
    let blue = target.blue_version.iter();
    Serves {
        versions: blue
            .map(|blue| (target.function_name.clone(), blue.clone()))
            .collect(),
        by: Vec::new(),
    }
}

/// The alias that splits a target's traffic.
fn named(target: &Target) -> Result<&AliasName, Error> {
    target.alias.as_ref().ok_or_else(|| {
        Error::Refused(format!("{} has no alias to move", target.function_name).into())
    })
}
