//! The locks that a release needs, and who holds them.

use crate::admission::{Admission, Kind, Seen, Stage};
use crate::{
    domain::{names::locks, retention::name_of},
    wire::request::ReleaseRequest,
};

/// Returns the names of the locks that a request needs.
#[must_use]
pub fn locks_of(request: &ReleaseRequest) -> Vec<String> {
    let functions: Vec<_> = request
        .functions
        .iter()
        .map(|asked| &asked.function_name)
        .collect();
    locks::names(&request.application, &functions, &request.traffic.locks())
}

/// Describes a release that holds locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The ARN of its execution.
    pub execution: String,
    /// Its application.
    pub application: String,
    /// Where it is, as in `IN_FLIGHT`.
    pub status: String,
    /// All locks that it holds.
    pub locks: Vec<String>,
    /// What has become of its execution.
    pub stands: Stands,
}

/// Says what has become of the execution of a release that holds locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It runs.
    Alive,
    /// It has ended and left its traffic held, as it was asked to.
    LeftHeld,
    /// It has ended otherwise, such as `ABORTED`: its locks are taken over once its traffic is back on blue.
    Ended(String),
}

/// Notes who is in the way. Returns whether locks are taken over from the dead, whose traffic is not yet
/// back on blue.
pub(super) fn check(request: &ReleaseRequest, seen: &Seen, admission: &mut Admission) -> bool {
    let Some(holders) = admission.known(&seen.holders, || {
        "who holds the locks that the release needs".to_owned()
    }) else {
        return false;
    };
    let needed = locks_of(request);
    let mut takes_over = false;
    for holder in holders {
        let held: Vec<_> = needed
            .iter()
            .filter(|lock| holder.locks.contains(lock))
            .collect();
        let Some(first) = held.first() else {
            continue;
        };
        let path = path(request, first);
        let name = name_of(&holder.execution);
        let held: Vec<_> = held.into_iter().map(String::as_str).collect();
        let who = format!(
            "release {name} of {} ({}) holds {}",
            holder.application,
            holder.status,
            held.join(", ")
        );
        match &holder.stands {
            Stands::Alive => admission.problem(
                Stage::Locks,
                Kind::DeploymentInProgress,
                path,
                format!(
                    "{who}; wait until it has ended (crossfade watch {name}), or end it (crossfade rollback {name})"
                ),
            ),
            Stands::LeftHeld => admission.problem(
                Stage::Locks,
                Kind::DeploymentInProgress,
                path,
                format!(
                    "{who} and left its traffic held; end it first with {{\"action\":\"rollback\",\"application\":\"{}\"}}",
                    holder.application
                ),
            ),
            Stands::Ended(how) => {
                takes_over = true;
                admission.warnings.push(format!(
                    "{who}, and its execution has ended {how}: its traffic is restored first, and its locks are taken over"
                ));
            }
        }
    }
    takes_over
}

/// Returns the field that needs a lock.
fn path(request: &ReleaseRequest, lock: &str) -> String {
    if lock == locks::of_application(&request.application) {
        return "application".to_owned();
    }
    let index = request
        .functions
        .iter()
        .position(|asked| locks::of_function(&asked.function_name) == lock);
    match index {
        Some(index) => format!("functions[{index}].functionName"),
        None => "traffic".to_owned(),
    }
}
