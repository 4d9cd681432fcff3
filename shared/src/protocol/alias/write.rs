//! The write of one alias: decided on what was read, proven by what is read again.

use super::{Aliases, Direction, hand_over::Told, named};
use crate::{
    domain::{
        names::{AliasName, FunctionName},
        routing::alias::{Alias, AliasUpdate, Primary, Routing, reconcile},
        target::Target,
    },
    error::Error,
    ports::{AliasApi, AliasWrite, Clock, Written},
    protocol::splitter::MAX_ATTEMPTS,
};

impl<P: AliasApi + Clock> Aliases<'_, P> {
    /// Brings the alias to where it is wanted, and proves it: `UpdateAlias` answers with the alias as
    /// it now is. The first write is decided on what we last wrote or read; when that is stale, the
    /// alias is read and decided on anew, if the lease still holds.
    ///
    /// Weights that Lambda itself has set while it hands the alias over are ours: they follow from our move.
    pub(super) async fn bring(
        &self,
        target: &Target,
        want: Option<Routing>,
        ours: &[Routing],
        way: Direction,
        check: impl AsyncFn() -> Result<(), Error>,
    ) -> Result<Told, Error> {
        let Some(want) = want else {
            return self.delete_created(target, ours).await.map(Told::whole);
        };
        let (function, alias) = (&target.function_name, named(target)?);
        let decide = |if_revision| AliasUpdate {
            routing: want.clone(),
            if_revision,
        };
        let mut decided = target.revision_id.clone().map(decide);
        let mut last: Option<Alias> = None;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(update) = &decided {
                match self.write(function, alias, update).await {
                    Ok(Some(now)) if update.routing == want => {
                        let done = proven(target, now, &want)?;
                        return match (way, &want, last) {
                            (Direction::Restore(_), Routing::Settled(to), Some(last))
                                if !last.is_on(to) =>
                            {
                                self.taken_off(done, to).await
                            }
                            (_, _, _) => Ok(Told::whole(done)),
                        };
                    }
                    Ok(Some(now)) => {
                        decided = Some(decide(now.revision));
                        continue;
                    }
                    Ok(None) => {}
                    Err(refused @ Error::Refused(_)) => {
                        // On the way back Lambda may refuse to move an alias that it holds weights on: they are
                        // taken off first. On the way forth the weights are ours, and stay.
                        let off = match (way, &want, &last) {
                            (Direction::Restore(_), Routing::Settled(to), Some(seen))
                                if update.routing == want
                                    && target.is_between(seen)
                                    && !seen.is_on(to) =>
                            {
                                seen.primary.version().map(|on| AliasUpdate {
                                    routing: Routing::Settled(on.clone()),
                                    if_revision: seen.revision.clone(),
                                })
                            }
                            (_, _, _) => None,
                        };
                        let Some(off) = off else {
                            return Err(refused);
                        };
                        decided = Some(off);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let seen = self.api.alias(function, alias).await?;
            // Perhaps a rollback, which leaves the alias as it was before the first shift. Checked after
            // the alias was read: a rollback records itself first, and then writes.
            check().await?;
            let Some(seen) = seen else {
                // Only where there was none before the shift, it is made.
                if !ours.is_empty() {
                    return Err(Error::ChangedOutside(
                        format!("{function}:{alias} is gone").into(),
                    ));
                }
                let green = Primary::Version(target.green_version.clone());
                match self.api.create_alias(function, alias, &green).await? {
                    Some(now) => return proven(target, now, &want).map(Told::whole),
                    None => continue,
                }
            };
            decided = match reconcile(&seen, &want, ours) {
                Ok(decided) => decided,
                Err(conflict) => match &want {
                    Routing::Settled(to) if self.is_handing_over(target, &seen).await? => {
                        if let (Direction::Shift, true) = (way, seen.is_on(to)) {
                            return proven(target, seen, &want).map(Told::whole);
                        }
                        Some(decide(seen.revision.clone()))
                    }
                    Routing::Settled(_) | Routing::Split { .. } => {
                        // Lambda may have been done with it between two looks.
                        if last.as_ref() != Some(&seen) && target.is_between(&seen) {
                            last = Some(seen);
                            decided = None;
                            continue;
                        }
                        return Err(Error::ChangedOutside(
                            format!("{function}:{alias}: {conflict}").into(),
                        ));
                    }
                },
            };
            if decided.is_none() {
                if way.ends_here() {
                    return proven(target, seen, &want).map(Told::whole);
                }
                decided = Some(decide(seen.revision.clone()));
            }
            last = Some(seen);
        }
        Err(busy(function, alias))
    }

    /// Deletes the alias that this deployment made. `DeleteAlias` takes no revision: what it deletes
    /// is read just before, under the deployment's lock.
    async fn delete_created(&self, target: &Target, ours: &[Routing]) -> Result<Target, Error> {
        let (function, alias) = (&target.function_name, named(target)?);
        let gone = Target {
            revision_id: None,
            ..target.clone()
        };
        let Some(seen) = self.api.alias(function, alias).await? else {
            return Ok(gone);
        };
        if !ours.iter().any(|state| seen.routes(state)) {
            return Err(Error::ChangedOutside(
                format!("{function}:{alias} is at {seen}, which this deployment did not write")
                    .into(),
            ));
        }
        self.api.delete_alias(function, alias).await.map(|()| gone)
    }

    /// Writes an alias, where it is still at the revision that was decided on; `None` where it is not.
    ///
    /// # Errors
    /// [`Error::ValidationFailed`] where green is in a state that it does not leave.
    pub(super) async fn write(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        update: &AliasUpdate,
    ) -> Result<Option<Alias>, Error> {
        let (primary, additional) = match &update.routing {
            Routing::Settled(version) => (version, None),
            Routing::Split {
                blue,
                green,
                weight,
            } => (blue, Some((green.clone(), *weight))),
        };
        let write = AliasWrite {
            primary: Primary::Version(primary.clone()),
            additional,
            if_revision: update.if_revision.clone(),
        };
        match self.api.update_alias(function, alias, &write).await? {
            Written::Done(now) => Ok(Some(now)),
            Written::Stale => Ok(None),
            Written::Conflict(error) => {
                // Also the answer where the version has failed, and that does not pass.
                if let Some((green, _)) = &write.additional
                    && let Err(failed @ Error::ValidationFailed(_)) =
                        self.api.check_version(function, green).await
                {
                    return Err(failed);
                }
                Err(error)
            }
        }
    }
}

/// Takes what an alias does now for what was wanted. The other version's weight on an alias that has moved to
/// the one that was wanted is Lambda's.
pub(super) fn proven(target: &Target, now: Alias, want: &Routing) -> Result<Target, Error> {
    let moved = match want {
        Routing::Settled(to) => target.is_between(&now) && now.is_on(to),
        Routing::Split { .. } => false,
    };
    if now.routes(want) || moved {
        Ok(Target {
            revision_id: Some(now.revision),
            ..target.clone()
        })
    } else {
        Err(Error::Transient(
            format!(
                "{}:{} was written and is at {now}, not at {want}",
                target.function_name,
                named(target)?
            )
            .into(),
        ))
    }
}

pub(super) fn busy(function: &FunctionName, alias: &AliasName) -> Error {
    Error::Transient(format!("{function}:{alias} changes faster than it can be read").into())
}
