//! HTTP APIs.
//!
//! AWS documents stage variables in the URI of a Lambda function, without a word on whether that is an
//! integration's only: an authorizer's URI has the same form, and is given the same.

use aws_sdk_apigatewayv2::{Client, types::ProtocolType};
use crossfade::{
    aws::{
        classify::{classify, is},
        lazy_client::{LazyClient, lazy},
    },
    domain::{
        names::api::ApiId,
        stage_wiring::Stage,
        stage_wiring::{Api, CallSite, Kind, Operations, SiteKind, authorizer_label},
    },
    error::Error,
};
use futures::future::try_join_all;

use super::export::operations;

#[derive(Clone, Debug)]
pub(super) struct Http {
    client: LazyClient<Client>,
}

impl Http {
    pub(super) fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, Client::new),
        }
    }

    pub(super) async fn has(&self, id: &ApiId) -> Result<bool, Error> {
        match self.client.get_api().api_id(id.as_ref()).send().await {
            Ok(api) if api.protocol_type == Some(ProtocolType::Websocket) => {
                Err(Error::InvalidRequest(
                    format!(
                        "frontDoor.apiId: {id} is a WebSocket API; REST and HTTP APIs can be wired"
                    )
                    .into(),
                ))
            }
            Ok(_) => Ok(true),
            Err(error) if is(&error, "NotFoundException") => Ok(false),
            Err(error) => Err(classify("GetApi", &error)),
        }
    }

    pub(super) async fn api(&self, id: &ApiId) -> Result<Api, Error> {
        let (mut sites, authorizers, definition, stages) = futures::try_join!(
            self.integrations(id),
            self.authorizers(id),
            self.export(id, None),
            self.stages(id)
        )?;
        // No deployment has one that no route uses.
        let used = |one: &CallSite| definition.contains_key(&one.label);
        sites.extend(authorizers.into_iter().filter(used));
        Ok(Api {
            kind: Kind::Http,
            sites,
            definition,
            stages,
        })
    }

    async fn integrations(&self, id: &ApiId) -> Result<Vec<CallSite>, Error> {
        let mut integrations = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .client
                .get_integrations()
                .api_id(id.as_ref())
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| classify("GetIntegrations", &error))?;
            for one in page.items.unwrap_or_default() {
                let integration = one.integration_id.unwrap_or_default();
                integrations.push(CallSite {
                    kind: SiteKind::Integration,
                    label: format!("integration {integration}"),
                    id: integration,
                    uri: one.integration_uri.unwrap_or_default(),
                });
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(integrations);
            }
        }
    }

    /// The Lambda authorizers; the others have no URI.
    async fn authorizers(&self, id: &ApiId) -> Result<Vec<CallSite>, Error> {
        let mut authorizers = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .client
                .get_authorizers()
                .api_id(id.as_ref())
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| classify("GetAuthorizers", &error))?;
            for one in page.items.unwrap_or_default() {
                if let Some(uri) = one.authorizer_uri.filter(|uri| !uri.is_empty()) {
                    authorizers.push(CallSite {
                        kind: SiteKind::Authorizer,
                        id: one.authorizer_id.unwrap_or_default(),
                        label: authorizer_label(&one.name.unwrap_or_default()),
                        uri,
                    });
                }
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(authorizers);
            }
        }
    }

    async fn stages(&self, id: &ApiId) -> Result<Vec<Stage>, Error> {
        let mut stages = Vec::new();
        let mut token = None;
        loop {
            let page = self
                .client
                .get_stages()
                .api_id(id.as_ref())
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| classify("GetStages", &error))?;
            stages.extend(page.items.unwrap_or_default());
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        let described = stages.into_iter().map(|stage| async move {
            let name = stage.stage_name.unwrap_or_default();
            let deployed = match stage.deployment_id.as_deref() {
                None | Some("") => Operations::new(),
                Some(_) => self.export(id, Some(&name)).await?,
            };
            Ok(Stage {
                deployed,
                variables: stage
                    .stage_variables
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
                auto_deploy: stage.auto_deploy.unwrap_or_default(),
                managed: stage.api_gateway_managed.unwrap_or_default(),
                canary: false,
                message: stage.last_deployment_status_message.unwrap_or_default(),
                name,
            })
        });
        try_join_all(described).await
    }

    /// What a stage serves, or without one, what the next deployment publishes.
    async fn export(&self, id: &ApiId, stage: Option<&str>) -> Result<Operations, Error> {
        let export = self
            .client
            .export_api()
            .api_id(id.as_ref())
            .specification("OAS30")
            .output_type("JSON")
            .include_extensions(true)
            .set_stage_name(stage.map(str::to_owned))
            .send()
            .await
            .map_err(|error| classify("ExportApi", &error))?;
        operations(export.body.unwrap_or_default().as_ref())
    }

    /// All variables are sent, and one to be removed as the empty text: whether a variable that is left
    /// out is kept or removed is not documented, and an empty one is nothing either way.
    pub(super) async fn set_variable(
        &self,
        id: &ApiId,
        stage: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let now = self
            .client
            .get_stage()
            .api_id(id.as_ref())
            .stage_name(stage)
            .send()
            .await
            .map_err(|error| classify("GetStage", &error))?;
        let mut variables = now.stage_variables.unwrap_or_default();
        variables.insert(name.to_owned(), value.unwrap_or_default().to_owned());
        self.client
            .update_stage()
            .api_id(id.as_ref())
            .stage_name(stage)
            .set_stage_variables(Some(variables))
            .send()
            .await
            .map_err(|error| classify("UpdateStage", &error))?;
        Ok(())
    }

    pub(super) async fn set_uri(
        &self,
        id: &ApiId,
        (kind, site): (SiteKind, &str),
        uri: &str,
    ) -> Result<(), Error> {
        if kind == SiteKind::Authorizer {
            // What is left out stays as it is.
            self.client
                .update_authorizer()
                .api_id(id.as_ref())
                .authorizer_id(site)
                .authorizer_uri(uri)
                .send()
                .await
                .map_err(|error| classify("UpdateAuthorizer", &error))?;
            return Ok(());
        }
        self.client
            .update_integration()
            .api_id(id.as_ref())
            .integration_id(site)
            .integration_uri(uri)
            .send()
            .await
            .map_err(|error| classify("UpdateIntegration", &error))?;
        Ok(())
    }

    pub(super) async fn deploy(&self, id: &ApiId, stage: &str, why: &str) -> Result<(), Error> {
        self.client
            .create_deployment()
            .api_id(id.as_ref())
            .stage_name(stage)
            .description(why)
            .send()
            .await
            .map_err(|error| classify("CreateDeployment", &error))?;
        Ok(())
    }
}
