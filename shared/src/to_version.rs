//! The release that a rollback by hand to a version is: found by the application's last release.

use crate::{
    aws::{executions::Executions, ledger::Ledger},
    domain::retention::name_of,
    error::Error,
    parse::problem::Problems,
    wire::request::{ReleaseRequest, Request, ToVersion, request_of, request_on_record},
};

/// The release, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The release.
    pub request: ReleaseRequest,
    /// The execution whose input has the request that this one is made of; none where it is made of what the
    /// ledger knows.
    pub request_of: Option<String>,
    /// What operators should know.
    pub warnings: Vec<String>,
}

/// Resolves a rollback to a version for `execution`, which may hold the application's lock already, or for
/// no execution yet. The release that was promoted last counts, or else the one in flight.
///
/// # Errors
/// [`Error::InvalidRequest`] by the path of the rollback's own fields, as where nothing is on record of the
/// application.
pub async fn resolve(
    ledger: &Ledger,
    executions: &Executions,
    execution: Option<&str>,
    to: &ToVersion,
) -> Result<Resolved, Error> {
    let application = &to.application;
    let last = match ledger.promoted_last(application).await? {
        Some(last) => Some(last),
        None => ledger.latest(application).await?,
    };
    let Some(last) = last.filter(|last| Some(last.as_str()) != execution) else {
        return Err(Error::InvalidRequest(format!(
            "application: no release of \"{application}\" is on record, so its functions are not known; \
             release the version with a request that names them, with \"code\": {{\"version\": \"{}\"}}",
            to.to_version
        ).into()));
    };
    let source = ledger.request_of(&last).await?;
    let source = source.unwrap_or_else(|| last.clone());
    let known = executions.input(&source).await?.as_ref().and_then(release);
    if let Some(known) = known {
        return Ok(Resolved {
            request: request_of(&known, to).map_err(invalid)?,
            request_of: Some(source),
            warnings: Vec::new(),
        });
    }
    let record = ledger.get(&last).await?;
    let footprint = record.and_then(|record| record.footprint);
    let Some(footprint) = footprint else {
        return Err(Error::InvalidRequest(format!(
            "application: neither the request of release {} nor its versions are on record any more; release \
             the version with a request of its own, with \"code\": {{\"version\": \"{}\"}}",
            name_of(&last),
            to.to_version
        ).into()));
    };
    let known = request_on_record(application, &footprint).map_err(invalid)?;
    Ok(Resolved {
        request: request_of(&known, to).map_err(invalid)?,
        request_of: None,
        warnings: vec![format!(
            "the request of release {} cannot be read any more: version {} is released without its smoke \
             tests, alarms and hooks",
            name_of(&source),
            to.to_version
        )],
    })
}

/// The release that an execution's input requests; none where it requests something else, or cannot be read
/// any more.
#[must_use]
pub fn release(input: &serde_json::Value) -> Option<ReleaseRequest> {
    match Request::parse(input) {
        Ok(Request::Release(release)) => Some(*release),
        Ok(_) | Err(_) => None,
    }
}

#[allow(clippy::needless_pass_by_value)] // What `map_err` hands over.
fn invalid(problems: Problems) -> Error {
    Error::InvalidRequest(problems.to_string().into())
}
