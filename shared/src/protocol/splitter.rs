//! What every traffic splitter can do with a release that is on its way.

use super::ledger::Lease;
use crate::{
    domain::{
        moved::{AtOnce, Late, Moved, RestoreReport, Serves},
        names::AliasName,
        restore_point::RestorePoint,
        target::Target,
        weight::Weight,
    },
    error::Error,
    ports::LedgerStore,
    wire::request::FunctionRequest,
};

/// How often a write is decided anew when what it is about changes meanwhile. Each attempt means that
/// another writer wrote between our reading and our writing; more than this in a row is no coincidence.
pub(super) const MAX_ATTEMPTS: u32 = 5;

/// A traffic splitter: reads what is, sets green's share, proves it by reading, and restores blue.
pub(super) trait SplitterProtocol {
    /// Registers green on the idle side, for as long as the lease holds: only what has passed validation
    /// may be reached by any path.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when the idle side does not hold what was recorded of it.
    async fn stage<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
    ) -> Result<(), Error>;

    /// Sees that what is to serve can, where that is not a function.
    async fn ready(&self, of: &[Target]) -> Result<(), Error>;

    /// Restores what the idle side held when the release began, once all traffic is on blue. `served`
    /// says whether green has had weight. Returns sentences for the release's warnings.
    ///
    /// # Errors
    /// [`Error::Transient`] when AWS did not answer. What it refuses is a warning and no error.
    async fn unstage(&self, of: &RestorePoint, served: bool) -> Result<Vec<String>, Error>;

    /// Gives green `to`, from the weight that it was given before, for as long as the lease holds.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when traffic is at neither. [`Error::DeploymentRolledBack`] when the
    /// lease was lost on the way: then what was written is on blue again.
    async fn shift<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
        to: Weight,
    ) -> Result<Moved, Error>;

    /// Makes green what serves, in as many writes as a shift takes.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when traffic is not where the last shift left it.
    /// [`Error::DeploymentRolledBack`] as for a shift.
    async fn promote<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
    ) -> Result<Moved, Error>;

    /// Restores all traffic to blue, from every state that a release with this plan can have caused.
    ///
    /// Where something may come late, what is on blue is written to as well, so that no write which was
    /// decided before applies any more; nothing where there are no revisions to do that with.
    ///
    /// Where blue has a side of its own, that is read first, and holds the version recorded as blue before
    /// weights move. `served` says whether green has had weight: where it never had, blue's side is only
    /// read.
    ///
    /// # Errors
    /// [`Error::Transient`] when AWS did not answer for a part; the rest is on blue.
    async fn restore(
        &self,
        of: &RestorePoint,
        late: Late,
        served: bool,
    ) -> Result<RestoreReport, Error>;

    /// Restores all traffic to blue with as few calls as that takes while nothing has changed since the
    /// footprint was written.
    async fn restore_at_once(&self, of: &RestorePoint) -> AtOnce;

    /// Reads what serves, and changes nothing. Empty for traffic that is split, and for what could not
    /// be read.
    async fn serves(&self, of: &RestorePoint) -> Serves;
}

/// Returns the alias that a request names for a function. It is missing only behind a load balancer.
pub(crate) fn alias_of(asked: &FunctionRequest) -> Result<&AliasName, Error> {
    asked.alias.as_ref().ok_or_else(|| {
        Error::InvalidRequest(format!("{} has no alias to release", asked.function_name).into())
    })
}
