//! Aliases with provisioned concurrency, which Lambda hands over by itself.
//!
//! When such an alias moves to another version, Lambda adds a weight on the former one and takes it off again
//! once what is to stand ready for the new version does. Where that fails, the weight stays, and Lambda refuses
//! to move the alias. Not documented, so nothing here relies on it: whether `UpdateAlias` returns the weight
//! in its answer, when it appears, whether it falls in steps, and whether it can be taken off while Lambda is
//! at it.

use std::time::Duration;

use futures::future::join_all;

use super::{Aliases, named};
use crate::{
    domain::{
        capacity::{Allocation, Provisioned},
        names::{AliasName, FunctionName, Version},
        routing::alias::{Alias, AliasUpdate, Routing},
        target::Target,
    },
    error::Error,
    ports::{AliasApi, Clock, LedgerStore},
    protocol::ledger::Lease,
};

/// How long a promotion waits for Lambda, which takes a minute or two for most functions: under its function's
/// own time of 12 minutes.
const HANDED_OVER: Duration = Duration::from_mins(10);

/// How often it looks, at first and at last.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LAST_LOOK: Duration = Duration::from_secs(5);

/// When an alias that was restored is looked at for weights of Lambda's, after the one before.
const LOOKS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_secs(1),
];

/// A target as it now is.
pub(super) struct Told {
    pub(super) target: Target,
    /// What operators should know.
    pub(super) note: Option<String>,
    /// Whether all traffic is on the version that was wanted.
    pub(super) is_whole: bool,
}

impl Told {
    /// One with all traffic where it was wanted.
    pub(super) fn whole(target: Target) -> Self {
        Self {
            target,
            note: None,
            is_whole: true,
        }
    }
}

impl<P: AliasApi + Clock> Aliases<'_, P> {
    /// Whether an alias is split between both versions of a target by Lambda itself.
    pub(super) async fn is_handing_over(
        &self,
        target: &Target,
        seen: &Alias,
    ) -> Result<bool, Error> {
        if !target.is_between(seen) {
            return Ok(false);
        }
        let now = self
            .provisioned(&target.function_name, named(target)?)
            .await?;
        Ok(now.is_some_and(|it| it.may_hold_weights()))
    }

    async fn provisioned(
        &self,
        function: &FunctionName,
        alias: &AliasName,
    ) -> Result<Option<Provisioned>, Error> {
        self.api.provisioned(function, alias).await
    }

    /// Says why an alias cannot be released that is split already: whose weights these are, and what to do.
    pub(super) async fn split(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        seen: &Alias,
    ) -> Error {
        let split = format!("{function}:{alias} is split before the release ({seen})");
        Error::ChangedOutside(match self.provisioned(function, alias).await {
            Ok(Some(now)) if now.may_hold_weights() => format!(
                "{split}, as it seems by Lambda itself, which moves its provisioned concurrency ({}): wait until that \
                 is READY; where it has failed, run `{}` first",
                now.allocation,
                clearing(function, alias)
            ),
            Ok(_) => format!("{split}; settle it on one version first"),
            Err(error @ Error::Transient(_)) => return error,
            Err(unread) => format!(
                "{split}; settle it on one version first (whether it has provisioned concurrency could not be read: \
                 {unread})"
            ),
        }.into())
    }

    /// Waits until Lambda has handed over to green each of the promoted aliases that have provisioned
    /// concurrency. After a while, and where it fails, green gets all traffic without it.
    ///
    /// # Errors
    /// [`Error::DeploymentRolledBack`] when the lease was lost meanwhile. [`Error::ChangedOutside`] when the
    /// alias is as neither we nor Lambda leave it.
    pub(super) async fn handed_over<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        functions: Vec<Target>,
    ) -> Result<Vec<Told>, Error> {
        let until = self.api.elapsed() + HANDED_OVER;
        let each = functions.into_iter().map(|target| async move {
            match (target.provisioned, target.blue_version.clone()) {
                (Some(_), Some(blue)) => self.received(lease, target, &blue, until).await,
                (_, _) => Ok(Told::whole(target)),
            }
        });
        join_all(each).await.into_iter().collect()
    }

    async fn received<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        mut target: Target,
        blue: &Version,
        until: Duration,
    ) -> Result<Told, Error> {
        let (function, alias) = (target.function_name.clone(), named(&target)?.clone());
        let green = target.green_version.clone();
        let (mut share, mut pause) = (1.0, FIRST_LOOK);
        loop {
            let seen = self.api.alias(&function, &alias).await?;
            let kept = seen.as_ref().and_then(|it| it.kept_by(blue, &green));
            let settled = Routing::Settled(green.clone());
            let seen = match seen {
                // Lambda's weights only fall.
                Some(seen) if seen.routes(&settled) || kept.is_some_and(|kept| kept <= share) => {
                    seen
                }
                seen => {
                    lease.check().await?;
                    let seen = seen.map_or_else(|| "gone".to_owned(), |it| format!("at {it}"));
                    return Err(Error::ChangedOutside(format!(
                        "{function}:{alias} is {seen}, which neither this deployment nor Lambda did while Lambda handed \
                         it over to version {green}"
                    ).into()));
                }
            };
            share = kept.unwrap_or_default();
            target.revision_id = Some(seen.revision.clone());
            let now = self.provisioned(&function, &alias).await?;
            let how = now.as_ref().map(|it| it.allocation.to_string());
            let over = self.api.elapsed() + pause > until;
            match (now.map(|it| it.allocation), kept) {
                (None | Some(Allocation::Ready), None) => return Ok(Told::whole(target)),
                (Some(Allocation::Failed(_)), kept) => {
                    return self.without(target, kept, &how.unwrap_or_default()).await;
                }
                (_, kept) if over => {
                    return self.without(target, kept, &how.unwrap_or_default()).await;
                }
                (_, _) => {}
            }
            self.api.sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// Gives green all traffic although its provisioned concurrency does not stand ready.
    async fn without(&self, target: Target, kept: Option<f64>, how: &str) -> Result<Told, Error> {
        let (function, alias) = (target.function_name.clone(), named(&target)?.clone());
        let green = target.green_version.clone();
        let cold = |target| Told {
            note: Some(format!(
                "{function}:{alias}: provisioned concurrency does not stand ready for version {green} ({how}); it starts \
                 cold"
            )),
            ..Told::whole(target)
        };
        let Some(share) = kept else {
            return Ok(cold(target));
        };
        match self.clear(&target, &green).await {
            Ok(Some(now)) => Ok(cold(Target {
                revision_id: Some(now.revision),
                ..target
            })),
            // It has just changed: the next look sees how.
            Ok(None) => Err(super::busy(&function, &alias)),
            Err(Error::Refused(why)) => Ok(Told {
                note: Some(left(&function, &alias, share, &why.reason)),
                is_whole: false,
                target,
            }),
            Err(error) => Err(error),
        }
    }

    /// Takes off, from an alias that was just restored on `to`, the weights that Lambda adds because of its
    /// provisioned concurrency: they would keep the version serving that is rolled back.
    pub(super) async fn taken_off(&self, mut target: Target, to: &Version) -> Result<Told, Error> {
        let (function, alias) = (target.function_name.clone(), named(&target)?.clone());
        if self.provisioned(&function, &alias).await?.is_none() {
            return Ok(Told::whole(target));
        }
        let mut note = None;
        for pause in LOOKS {
            self.api.sleep(pause).await;
            let Some(seen) = self.api.alias(&function, &alias).await? else {
                break;
            };
            let Some(share) = seen.kept_by(&target.green_version, to) else {
                note = None;
                if seen.routes(&Routing::Settled(to.clone())) {
                    target.revision_id = Some(seen.revision);
                }
                continue;
            };
            target.revision_id = Some(seen.revision);
            match self.clear(&target, to).await {
                Ok(Some(now)) => {
                    target.revision_id = Some(now.revision);
                    note = None;
                }
                Ok(None) => {}
                Err(Error::Refused(why)) => {
                    note = Some(left(&function, &alias, share, &why.reason));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Told {
            target,
            is_whole: note.is_none(),
            note,
        })
    }

    /// Leaves all traffic to the version that the alias is on; none where it has changed since it was read.
    async fn clear(&self, target: &Target, on: &Version) -> Result<Option<Alias>, Error> {
        let Some(if_revision) = target.revision_id.clone() else {
            return Ok(None);
        };
        let update = AliasUpdate {
            routing: Routing::Settled(on.clone()),
            if_revision,
        };
        self.write(&target.function_name, named(target)?, &update)
            .await
    }
}

/// What operators should know where Lambda's weights could not be taken off.
fn left(function: &FunctionName, alias: &AliasName, share: f64, why: &str) -> String {
    format!(
        "{function}:{alias}: Lambda keeps {:.0} % of the traffic on the former version, and did not let that be changed \
         ({why}); if it lasts, run `{}`",
        share * 100.0,
        clearing(function, alias)
    )
}

/// The command that takes Lambda's weights off.
fn clearing(function: &FunctionName, alias: &AliasName) -> String {
    format!(
        "aws lambda update-alias --function-name {function} --name {alias} --routing-config AdditionalVersionWeights={{}}"
    )
}
