//! What is to be released: the request, or what a rollback to a version makes of an earlier one.

use crossfade::{
    domain::{
        Timestamp,
        analysis::alarm::AlarmState,
        moved::Serving,
        release::GoesBack,
        routing::alias::{Alias, Primary},
    },
    error::Error,
    to_version,
    wire::{
        request::{Code, ReleaseRequest, Request, ToVersion},
        task::Task,
    },
};
use futures::future::try_join_all;
use serde_json::Value;

use crate::Handler;

/// What is to be released.
pub(crate) struct Requested {
    pub(crate) release: Box<ReleaseRequest>,
    /// The rollback by hand that it is, where it is one.
    pub(crate) back: Option<GoesBack>,
    pub(crate) warnings: Vec<String>,
}

impl Handler {
    /// Reads the request, which has to be of a release or of a rollback to a version.
    pub(crate) async fn requested(&self, task: &Task<Value>) -> Result<Requested, Error> {
        match Request::parse(&task.state) {
            Ok(Request::Release(release)) => Ok(Requested {
                release,
                back: None,
                warnings: Vec::new(),
            }),
            Ok(Request::ToVersion(to)) => Box::pin(self.to_version(task, &to)).await,
            Ok(Request::Rollback { .. } | Request::Wire { .. } | Request::Unwire { .. }) => {
                Err(Error::InvalidRequest("not a release".into()))
            }
            Err(problems) => Err(Error::InvalidRequest(problems.to_string().into())),
        }
    }

    async fn to_version(&self, task: &Task<Value>, to: &ToVersion) -> Result<Requested, Error> {
        let execution = Some(task.execution.as_str());
        let resolved = Box::pin(to_version::resolve(
            &self.ledger,
            &self.executions,
            execution,
            to,
        ))
        .await?;
        let (mut release, mut warnings) = (resolved.request, resolved.warnings);
        self.version_exists(&release, to).await?;
        warnings.extend(self.without_missing_alarms(&mut release, task.now).await?);
        Ok(Requested {
            release: Box::new(release),
            back: Some(GoesBack {
                told: to.describe(),
                request_of: resolved.request_of,
            }),
            warnings,
        })
    }

    async fn version_exists(&self, release: &ReleaseRequest, to: &ToVersion) -> Result<(), Error> {
        let moving = release.functions.iter().map(|one| &one.function_name);
        let each = moving.filter(|name| to.moves(name)).map(|name| async move {
            let exists = self.functions.has_version(name, &to.to_version).await?;
            Ok::<_, Error>((!exists).then_some(name))
        });
        let missing: Vec<_> = try_join_all(each).await?.into_iter().flatten().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.into_iter().map(|name| {
            format!(
                "toVersion: {name} has no version {}; `aws lambda list-versions-by-function --function-name \
                 {name}` lists those that it has",
                to.to_version
            )
        });
        Err(Error::InvalidRequest(
            missing.collect::<Vec<_>>().join("\n").into(),
        ))
    }

    /// An alarm that is gone since the last release is no reason to stay on what serves now.
    async fn without_missing_alarms(
        &self,
        release: &mut ReleaseRequest,
        now: Timestamp,
    ) -> Result<Vec<String>, Error> {
        let readings = self.metrics.alarms(&release.analysis.alarms, now).await?;
        let missing: Vec<_> = readings
            .into_iter()
            .filter(|reading| reading.state == AlarmState::Missing)
            .map(|reading| reading.name)
            .collect();
        release
            .analysis
            .alarms
            .retain(|name| !missing.contains(name));
        let told = missing.into_iter().map(|name| {
            format!("alarm {name} of the last release does not exist any more, and is not watched")
        });
        Ok(told.collect())
    }
}

/// Leaves the functions that a rollback does not name on the version that serves.
pub(crate) fn keep_the_others(release: &mut ReleaseRequest, serving: &[Serving]) {
    for (function, serving) in release.functions.iter_mut().zip(serving) {
        let serves = match &serving.seen {
            Some(Alias {
                primary: Primary::Version(version),
                ..
            }) => Some(version),
            Some(_) => None,
            None => serving.version.as_ref(),
        };
        if let (None, Some(version)) = (&function.code, serves) {
            function.code = Some(Code::Version {
                version: version.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_a_function_that_is_not_named_on_what_serves() {
        let mut release: ReleaseRequest = serde_json::from_value(json!({
            "application": "chat", "strategy": "AllAtOnce",
            "functions": [
                {"functionName": "api", "alias": "live", "code": {"version": "3"}},
                {"functionName": "worker", "alias": "live"},
            ],
        }))
        .unwrap();
        let serving = |version: &str| Serving {
            alias: None,
            seen: None,
            version: version.parse().ok(),
        };
        keep_the_others(&mut release, &[serving("7"), serving("8")]);
        let code = |index: usize| serde_json::to_value(&release.functions[index].code).unwrap();
        assert_eq!(code(0), json!({"version": "3"}));
        assert_eq!(code(1), json!({"version": "8"}));
    }
}
