//! API Gateway: REST APIs (version 1) and HTTP APIs (version 2), distinguished by a call.

mod export;
mod http;
mod rest;

use crossfade::{
    domain::{
        names::api::ApiId,
        stage_wiring::{Api, Kind, SiteKind},
    },
    error::Error,
};

use self::{http::Http, rest::Rest};

/// Both kinds.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    rest: Rest,
    http: Http,
}

impl Gateway {
    pub(crate) fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            rest: Rest::new(config),
            http: Http::new(config),
        }
    }

    /// An API as it is.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when there is none of this id, or it is a WebSocket API.
    pub(crate) async fn api(&self, id: &ApiId) -> Result<Api, Error> {
        if self.rest.has(id).await? {
            Box::pin(self.rest.api(id)).await
        } else if self.http.has(id).await? {
            Box::pin(self.http.api(id)).await
        } else {
            Err(Error::InvalidRequest(
                format!("frontDoor.apiId: there is no API {id} in this account and Region").into(),
            ))
        }
    }

    /// Sets a stage's variable, or removes it.
    pub(crate) async fn set_variable(
        &self,
        (kind, id): (Kind, &ApiId),
        stage: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), Error> {
        match kind {
            Kind::Rest => self.rest.set_variable(id, stage, name, value).await,
            Kind::Http => self.http.set_variable(id, stage, name, value).await,
        }
    }

    /// Changes what a call site of the definition calls. An HTTP API's stages that deploy by themselves follow.
    pub(crate) async fn set_uri(
        &self,
        (kind, id): (Kind, &ApiId),
        site: (SiteKind, &str),
        uri: &str,
    ) -> Result<(), Error> {
        match kind {
            Kind::Rest => self.rest.set_uri(id, site, uri).await,
            Kind::Http => self.http.set_uri(id, site, uri).await,
        }
    }

    /// Publishes the definition on a stage.
    pub(crate) async fn deploy(
        &self,
        (kind, id): (Kind, &ApiId),
        stage: &str,
        why: &str,
    ) -> Result<(), Error> {
        match kind {
            Kind::Rest => self.rest.deploy(id, stage, why).await,
            Kind::Http => self.http.deploy(id, stage, why).await,
        }
    }
}
