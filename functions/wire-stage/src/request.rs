//! What is requested, whichever kind of request says it.

use crossfade::{
    domain::names::{
        AliasName, Application, FunctionName,
        api::{ApiId, StageName},
    },
    error::Error,
    wire::request::{FrontDoorRequest, ReleaseRequest, Request},
};
use serde_json::Value;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Wire,
    Unwire,
}

/// What is requested.
#[derive(Clone, Debug)]
pub(crate) struct WiringRequest {
    pub(crate) verb: Direction,
    pub(crate) application: Application,
    pub(crate) api_id: ApiId,
    pub(crate) stage: StageName,
    pub(crate) alias: AliasName,
    /// None when it is to be found out.
    pub(crate) function_name: Option<FunctionName>,
    /// The release that follows.
    release: Option<Box<ReleaseRequest>>,
}

impl WiringRequest {
    /// Reads the request. None for a release that has no stage after all: its field is null.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is wrong, or about something else.
    pub(crate) fn parse(request: &Value) -> Result<Option<Self>, Error> {
        let request = Request::parse(request)
            .map_err(|problems| Error::InvalidRequest(problems.to_string().into()))?;
        let application = request.application().clone();
        let (verb, front_door, release) = match request {
            Request::Wire { front_door, .. } => (Direction::Wire, Some(front_door), None),
            Request::Unwire { front_door, .. } => (Direction::Unwire, Some(front_door), None),
            Request::Release(release) => {
                (Direction::Wire, release.front_door.clone(), Some(release))
            }
            Request::Rollback { .. } | Request::ToVersion(_) => {
                return Err(Error::InvalidRequest(
                    "expected a request to wire or unwire a stage".into(),
                ));
            }
        };
        let Some(FrontDoorRequest::ApiGateway {
            api_id,
            stage,
            alias,
            function_name,
        }) = front_door
        else {
            return Ok(None);
        };
        let only = release
            .as_ref()
            .and_then(|release| match &release.functions[..] {
                [only] => Some(only.function_name.clone()),
                _ => None,
            });
        Ok(Some(Self {
            verb,
            application,
            api_id,
            stage,
            alias,
            function_name: function_name.or(only),
            release,
        }))
    }

    /// The release that follows, if one does.
    pub(crate) fn release(&self) -> Option<&ReleaseRequest> {
        self.release.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn function(request: &Value) -> Option<String> {
        let wanted = WiringRequest::parse(request).unwrap().unwrap();
        wanted.function_name.map(String::from)
    }

    #[test]
    fn takes_the_named_or_the_only_function() {
        let stage = json!({"type": "apiGateway", "apiId": "a1", "stage": "prod", "alias": "live"});
        let alone = json!({"action": "wire", "application": "chat", "frontDoor": stage});
        assert_eq!(function(&alone), None);
        let mut release = json!({
            "application": "chat", "strategy": "dev", "frontDoor": stage,
            "functions": [{"functionName": "api", "alias": "live"}],
        });
        assert_eq!(function(&release), Some("api".into()));
        release["frontDoor"] = Value::Null;
        assert!(WiringRequest::parse(&release).unwrap().is_none());
        let rollback = json!({"action": "rollback", "application": "chat"});
        assert!(WiringRequest::parse(&rollback).is_err());
    }
}
