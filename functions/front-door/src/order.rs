//! What is asked for, whichever kind of request says it.

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
pub(crate) enum Verb {
    Wire,
    Unwire,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) verb: Verb,
    pub(crate) application: Application,
    pub(crate) api_id: ApiId,
    pub(crate) stage: StageName,
    pub(crate) alias: AliasName,
    /// None when it is to be found out.
    pub(crate) function_name: Option<FunctionName>,
    /// The release that follows.
    release: Option<Box<ReleaseRequest>>,
}

impl Order {
    /// Reads the request. None for a release that has no front door after all: its field is null.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is wrong, or about something else.
    pub(crate) fn parse(request: &Value) -> Result<Option<Self>, Error> {
        let request = Request::parse(request)
            .map_err(|problems| Error::InvalidRequest(problems.to_string().into()))?;
        let application = request.application().clone();
        let (verb, front_door, release) = match request {
            Request::Wire { front_door, .. } => (Verb::Wire, Some(front_door), None),
            Request::Unwire { front_door, .. } => (Verb::Unwire, Some(front_door), None),
            Request::Release(release) => (Verb::Wire, release.front_door.clone(), Some(release)),
            Request::Rollback { .. } | Request::ToVersion(_) => {
                return Err(Error::InvalidRequest("not about a front door".into()));
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
        let order = Order::parse(request).unwrap().unwrap();
        order.function_name.map(String::from)
    }

    #[test]
    fn the_function_is_the_one_named_or_the_only_one_of_the_release() {
        let stage = json!({"type": "apiGateway", "apiId": "a1", "stage": "prod", "alias": "live"});
        let alone = json!({"action": "wire", "application": "chat", "frontDoor": stage});
        assert_eq!(function(&alone), None);
        let mut release = json!({
            "application": "chat", "strategy": "dev", "frontDoor": stage,
            "functions": [{"functionName": "api", "alias": "live"}],
        });
        assert_eq!(function(&release), Some("api".into()));
        release["frontDoor"] = Value::Null;
        assert!(Order::parse(&release).unwrap().is_none());
        let rollback = json!({"action": "rollback", "application": "chat"});
        assert!(Order::parse(&rollback).is_err());
    }
}
