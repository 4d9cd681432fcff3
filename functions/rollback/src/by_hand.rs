//! Rollbacks that an operator requests, by `{"action": "rollback"}`.

use crossfade::{
    domain::{
        analysis::check::Evidence,
        moved::Late,
        names::Application,
        record::{Record, Why},
    },
    error::{self, Error},
    notice::Notice,
    protocol::rollback::{self, PromotedRestore},
    wire::{
        outcome::{EndError, Ending, Outcome},
        request::Request,
        state::{Caught, State},
        task::Task,
    },
};
use serde_json::Value;

use crate::{Handler, nothing_begun};

/// Returns the request, where the state is one that Route sent here. A request of another action comes here too,
/// with what failed, when a state that was given it failed. A rollback to a version is a release.
pub(crate) fn requested(caught: &Caught) -> Option<&Value> {
    let State::Requested(request) = &caught.state else {
        return None;
    };
    let is_release = request.get("toVersion").is_some();
    let action = request.get("action")?;
    let is_asked_for = caught.failure.is_none() || action == "rollback" && !is_release;
    is_asked_for.then_some(request)
}

impl Handler {
    /// Takes back what an operator wants back.
    pub(crate) async fn by_hand(
        &self,
        task: &Task<Caught>,
        request: &Value,
    ) -> Result<Ending, Error> {
        let (application, reason) = match Request::parse(request) {
            Ok(Request::Rollback {
                application,
                reason,
            }) => (application, reason),
            Ok(
                Request::Release(_)
                | Request::ToVersion(_)
                | Request::Wire { .. }
                | Request::Unwire { .. },
            ) => {
                return Err(Error::InvalidRequest("not a rollback".into()));
            }
            Err(problems) => {
                let why = Why {
                    reason: problems.to_string(),
                    evidence: Evidence::default(),
                    at: task.now,
                };
                return self.rejected(task, &why).await;
            }
        };
        let why = Why {
            reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
            evidence: Evidence::default(),
            at: task.now,
        };
        let outcome = match Box::pin(self.restore_latest(&application, &why)).await? {
            Ok(outcome) => outcome,
            Err(not) => {
                let reason = format!(
                    "application: nothing of \"{application}\" can be rolled back: no release is in flight, and {not}; \
                     return to an older version with \"toVersion\": \"N\" (crossfade rollback {application} --to N)"
                );
                return self.rejected(task, &Why { reason, ..why }).await;
            }
        };
        Ok(Ending {
            asked_for: true,
            ..Ending::new(EndError::DeploymentRolledBack, outcome)
        })
    }

    /// Ends an execution whose request cannot be carried out.
    async fn rejected(&self, task: &Task<Caught>, why: &Why) -> Result<Ending, Error> {
        let mut outcome = nothing_begun(task.state.state.application(), why);
        outcome.help = error::page(EndError::InvalidRequest.into());
        let ended = Notice::ended(&task.execution, task.now, &outcome);
        self.notifier.deliver(&ended).await?;
        Ok(Ending::new(EndError::InvalidRequest, outcome))
    }

    /// Takes back what an application has in flight, or else what it promoted last, for `said`. In the
    /// inner result: why not, in words.
    async fn restore_latest(
        &self,
        application: &Application,
        said: &Why,
    ) -> Result<Result<Outcome, String>, Error> {
        let Some(execution) = self.ledger.latest(application).await? else {
            return Ok(Err("none was ever promoted".into()));
        };
        let record = self.ledger.get(&execution).await?;
        let why = &Why {
            reason: by_hand(record.as_ref(), &said.reason),
            ..said.clone()
        };
        if let Some(restored) =
            rollback::restore(&self.traffic, &self.ledger, &execution, why, Late::Possible).await?
        {
            if let Some(token) = &restored.record.token {
                let told = Error::DeploymentRolledBack(why.reason.clone().into());
                self.executions.fail_task(token, &told).await?;
            }
            // A living execution closes it itself, so that its graph shows what happened.
            let now = self.executions.describe(&execution).await?;
            if now.ended(restored.record.began_at, why.at).is_none() {
                return Ok(Ok(restored.outcome(restored.status())));
            }
            let settled = restored.settle(&self.traffic).await?;
            rollback::close(&self.ledger, &settled, why.at).await?;
            return Ok(Ok(settled.outcome(settled.status())));
        }
        match rollback::restore_promoted(&self.traffic, &self.ledger, &execution, why).await? {
            PromotedRestore::Done(restored) => {
                let outcome = restored.outcome(restored.status());
                let ended = Notice::ended(&execution, why.at, &outcome);
                let told = self.notifier.deliver(&ended).await;
                rollback::deliver_or_queue(&self.ledger, &execution, told).await?;
                Ok(Ok(outcome))
            }
            PromotedRestore::Not(not) => Ok(Err(not)),
        }
    }
}

/// Why a release ends that an operator ends: by a rollback, or before there is anything to roll back.
fn by_hand(record: Option<&Record>, said: &str) -> String {
    let ended = match record {
        Some(record) if record.status.is_open() && !record.has_shifted() => "stopped",
        Some(_) | None => "rolled back",
    };
    format!("{ended} by hand: {said}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn distinguishes_a_failed_request_from_a_manual_rollback() {
        let failure = json!({"Error": "DeploymentInProgress", "Cause": "{}"});
        for (state, is_requested) in [
            (json!({"action": "rollback", "application": "chat"}), true),
            (json!({"action": "pause"}), true),
            (json!({"action": "rollback", "failure": failure}), true),
            (
                json!({"action": "rollback", "toVersion": "3", "failure": failure}),
                false,
            ),
            (json!({"action": "release", "failure": failure}), false),
            (json!({"action": "wire", "failure": failure}), false),
            (json!({"application": "chat", "failure": failure}), false),
            (
                json!({"application": "chat", "decision": "rollBack"}),
                false,
            ),
        ] {
            let caught: Caught = serde_json::from_value(state.clone()).unwrap();
            assert_eq!(requested(&caught).is_some(), is_requested, "{state}");
        }
    }

    #[test]
    fn names_the_application_while_wiring() {
        let wiring = json!({"request": {"application": "chat"}, "written": [], "warnings": [],
            "locked": false, "looks": 1, "waitSeconds": 15});
        for state in [
            json!({"application": "chat"}),
            json!({"wiring": wiring, "failure": {"Error": "Transient"}}),
            json!({"phase": "wiring", "wiring": wiring, "failure": {"Error": "Transient"}}),
        ] {
            let caught: Caught = serde_json::from_value(state.clone()).unwrap();
            let named = caught.state.application();
            assert_eq!(named.as_ref().map(AsRef::as_ref), Some("chat"), "{state}");
        }
    }
}
