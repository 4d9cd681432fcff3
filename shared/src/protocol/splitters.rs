//! All traffic splitters: each act goes to the one that a release has.

use futures::future::join_all;

use super::{alb, alias::Aliases, ledger::Lease, route53, splitter::SplitterProtocol as _};
use crate::{
    domain::{
        Timestamp,
        capacity::LeftBehind,
        moved::{AtOnce, Late, Moved, Observed, RestoreReport, Serves},
        names::{AliasName, FunctionName, Version},
        restore_point::RestorePoint,
        routing::{alias::Alias, weighted::rounded},
        target::Target,
        traffic::Splitter,
        weight::Weight,
    },
    error::Error,
    ports::{LedgerStore, TrafficApi},
    wire::request::{ReleaseRequest, Traffic},
};

/// All traffic splitters, on AWS's services.
#[derive(Clone, Debug)]
pub struct Splitters<P> {
    api: P,
}

/// Calls a method of the splitter that a release has. Boxed: an SDK's futures nest so deep that two kinds
/// of them in one are more than the compiler looks into.
macro_rules! dispatch {
    ($self:ident, $of:expr, $splitter:ident => $call:expr) => {
        match $of {
            Splitter::Alias => {
                let $splitter = &Aliases::new(&$self.api);
                Box::pin($call).await
            }
            Splitter::Route53(records) => {
                let $splitter = &route53::Pair::new(&$self.api, records);
                Box::pin($call).await
            }
            Splitter::Alb(forward) => {
                let $splitter = &alb::Pair::new(&$self.api, forward);
                Box::pin($call).await
            }
        }
    };
}

impl<P> Splitters<P> {
    /// Returns the splitters on these services.
    #[must_use]
    pub const fn on(api: P) -> Self {
        Self { api }
    }

    /// Returns the services.
    #[must_use]
    pub const fn api(&self) -> &P {
        &self.api
    }
}

impl<P: TrafficApi> Splitters<P> {
    /// Reads what serves, and which part is which colour's.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when traffic is split: someone else is shifting it.
    /// [`Error::ValidationFailed`] where the release does not fit what stands there.
    pub async fn observe(&self, request: &ReleaseRequest) -> Result<Observed, Error> {
        let functions = &request.functions;
        let mut observed = match &request.traffic {
            Traffic::Alias => Box::pin(Aliases::new(&self.api).observe(functions)).await,
            Traffic::Route53(records) => {
                Box::pin(route53::observe(&self.api, records, functions)).await
            }
            Traffic::Alb(alb) => Box::pin(alb::observe(&self.api, alb, functions)).await,
        }?;
        if let Some(scale) = request.traffic.scale() {
            observed.warnings.extend(rounded(&request.plan(), scale));
        }
        Ok(observed)
    }

    /// Registers green on the idle side. See [`super::splitter`].
    pub async fn stage<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
    ) -> Result<(), Error> {
        dispatch!(self, &of.traffic, splitter => splitter.stage(lease, of))
    }

    /// Sees that what is to serve can.
    pub async fn ready(&self, splitter: &Splitter, functions: &[Target]) -> Result<(), Error> {
        dispatch!(self, splitter, splitter => splitter.ready(functions))
    }

    /// Restores what the idle side held when the release began. Returns sentences for its warnings.
    pub async fn unstage(&self, of: &RestorePoint, served: bool) -> Result<Vec<String>, Error> {
        dispatch!(self, &of.traffic, splitter => splitter.unstage(of, served))
    }

    /// Gives green `to`, from the weight that it was given before, for as long as the lease holds.
    pub async fn shift<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
        to: Weight,
    ) -> Result<Moved, Error> {
        if from == to {
            return Ok(Moved::at_once(of.functions.clone()));
        }
        let first = Box::pin(FirstShift::begin(lease, from)).await?;
        let moved = dispatch!(self, &of.traffic, splitter => splitter.shift(lease, of, from, to));
        Box::pin(first.settle(of, &moved)).await;
        moved
    }

    /// Makes green what serves.
    pub async fn promote<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
    ) -> Result<Moved, Error> {
        let first = Box::pin(FirstShift::begin(lease, from)).await?;
        let moved = dispatch!(self, &of.traffic, splitter => splitter.promote(lease, of, from));
        Box::pin(first.settle(of, &moved)).await;
        moved
    }

    /// Restores all traffic to blue, from every state that the release can have caused.
    pub async fn restore(
        &self,
        of: &RestorePoint,
        late: Late,
        served: bool,
    ) -> Result<RestoreReport, Error> {
        dispatch!(self, &of.traffic, splitter => splitter.restore(of, late, served))
    }

    /// Restores all traffic to blue with as few calls as that takes.
    pub async fn restore_at_once(&self, of: &RestorePoint) -> AtOnce {
        dispatch!(self, &of.traffic, splitter => splitter.restore_at_once(of))
    }

    /// Reads what serves, and changes nothing.
    pub async fn serves(&self, of: &RestorePoint) -> Serves {
        dispatch!(self, &of.traffic, splitter => splitter.serves(of))
    }

    /// Counts the durable executions that began on green since `began_at` and still run, of the functions
    /// that have any. Returns a sentence for each that could not be counted.
    pub async fn left_behind(
        &self,
        of: &RestorePoint,
        began_at: Timestamp,
    ) -> (Vec<LeftBehind>, Vec<String>) {
        let durable = of.functions.iter().filter(|target| target.is_durable);
        let each = durable.map(|target| async move {
            let (function, green) = (&target.function_name, &target.green_version);
            (
                target,
                Box::pin(self.api.running(function, green, began_at)).await,
            )
        });
        let (mut left, mut notes) = (Vec::new(), Vec::new());
        for (target, running) in join_all(each).await {
            match running {
                Ok(count) if count.running > 0 => left.push(LeftBehind {
                    function: target.function_name.clone(),
                    version: target.green_version.clone(),
                    count,
                }),
                Ok(_) => {}
                Err(error) => notes.push(format!(
                    "durable executions that began on green may run on, and could not be counted: {error}"
                )),
            }
        }
        (left, notes)
    }

    /// Whether a change of records is in force at all of Route 53's servers.
    pub async fn in_sync(&self, change_id: &str) -> Result<bool, Error> {
        Box::pin(self.api.in_sync(change_id)).await
    }

    /// Pins an alias to a version, where it points at `$LATEST`: the same code, which from now on
    /// cannot change under it, and can share traffic.
    pub async fn pin(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        version: &Version,
    ) -> Result<Alias, Error> {
        Box::pin(Aliases::new(&self.api).pin(function, alias, version)).await
    }
}

/// A write of green's first weight: it is on record before it is made, so that the end of the release
/// knows whether green may have had traffic.
struct FirstShift<'a, S> {
    /// None where green has had weight before, or may have had some by an earlier try.
    lease: Option<Lease<'a, S>>,
}

impl<'a, S: LedgerStore> FirstShift<'a, S> {
    async fn begin(lease: Lease<'a, S>, from: Weight) -> Result<Self, Error> {
        let known = from == Weight::ZERO && !lease.begin_first_shift().await?;
        Ok(Self {
            lease: known.then_some(lease),
        })
    }

    /// Takes the record back where AWS has refused the only write that there was. Otherwise it stays: what
    /// became of a write that got no answer is unknown.
    async fn settle(self, of: &RestorePoint, moved: &Result<Moved, Error>) {
        let (Some(lease), Err(error)) = (self.lease, moved) else {
            return;
        };
        if is_one_write(of)
            && is_refusal(error)
            && let Err(undelivered) = lease.first_shift_refused().await
        {
            tracing::warn!(event = "first_shift_not_recorded", error.message = %undelivered, "Failed to record that the first shift was refused.");
        }
    }
}

/// Whether a shift is one write: of several, some may have been made when one is refused.
fn is_one_write(of: &RestorePoint) -> bool {
    match &of.traffic {
        Splitter::Alias => of.functions.len() == 1,
        splitter @ (Splitter::Route53(_) | Splitter::Alb(_)) => splitter.locks().len() == 1,
    }
}

/// Whether an error is an answer: nothing was written.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::InvalidRequest(_)
        | Error::ChangedOutside(_)
        | Error::ValidationFailed(_)
        | Error::Refused(_) => true,
        Error::DeploymentInProgress(_)
        | Error::MigrationFailed(_)
        | Error::DeploymentRolledBack(_)
        | Error::RollbackFailed(_)
        | Error::Transient(_) => false,
    }
}
