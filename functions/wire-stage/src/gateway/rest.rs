//! REST APIs.

use std::collections::BTreeSet;

use aws_sdk_apigateway::{
    Client,
    types::{Op, PatchOperation},
};
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
pub(super) struct Rest {
    client: LazyClient<Client>,
}

impl Rest {
    pub(super) fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, Client::new),
        }
    }

    pub(super) async fn has(&self, id: &ApiId) -> Result<bool, Error> {
        match self
            .client
            .get_rest_api()
            .rest_api_id(id.as_ref())
            .send()
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if is(&error, "NotFoundException") => Ok(false),
            Err(error) => Err(classify("GetRestApi", &error)),
        }
    }

    pub(super) async fn api(&self, id: &ApiId) -> Result<Api, Error> {
        let ((sites, definition), stages) =
            futures::try_join!(self.definition(id), self.stages(id))?;
        Ok(Api {
            kind: Kind::Rest,
            sites,
            definition,
            stages,
        })
    }

    async fn definition(&self, id: &ApiId) -> Result<(Vec<CallSite>, Operations), Error> {
        let resources = self
            .client
            .get_resources()
            .rest_api_id(id.as_ref())
            .embed("methods")
            .limit(500)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify("GetResources", &error))?;
        let (mut sites, mut definition) = (Vec::new(), Operations::new());
        let mut used = BTreeSet::new();
        for resource in resources {
            let path = resource.path.unwrap_or_default();
            let resource_id = resource.id.unwrap_or_default();
            for (method, described) in resource.resource_methods.unwrap_or_default() {
                let label = format!("{method} {path}");
                let uri = described
                    .method_integration
                    .and_then(|integration| integration.uri)
                    .unwrap_or_default();
                // A method keeps the id when it is opened to everybody.
                if described.authorization_type.as_deref() == Some("CUSTOM") {
                    used.extend(described.authorizer_id);
                }
                sites.push(CallSite {
                    kind: SiteKind::Integration,
                    id: format!("{resource_id}/{method}"),
                    label: label.clone(),
                    uri: uri.clone(),
                });
                definition.insert(label, uri);
            }
        }
        if !used.is_empty() {
            for authorizer in self.authorizers(id).await? {
                // No deployment has one that no method uses.
                if used.contains(&authorizer.id) {
                    definition.insert(authorizer.label.clone(), authorizer.uri.clone());
                    sites.push(authorizer);
                }
            }
        }
        sites.sort_by(|one, other| one.label.cmp(&other.label));
        Ok((sites, definition))
    }

    /// The Lambda authorizers; the others have no URI.
    async fn authorizers(&self, id: &ApiId) -> Result<Vec<CallSite>, Error> {
        let mut authorizers = Vec::new();
        let mut position = None;
        loop {
            let page = self
                .client
                .get_authorizers()
                .rest_api_id(id.as_ref())
                .limit(500)
                .set_position(position)
                .send()
                .await
                .map_err(|error| classify("GetAuthorizers", &error))?;
            for one in page.items.unwrap_or_default() {
                if let Some(uri) = one.authorizer_uri.filter(|uri| !uri.is_empty()) {
                    authorizers.push(CallSite {
                        kind: SiteKind::Authorizer,
                        id: one.id.unwrap_or_default(),
                        label: authorizer_label(&one.name.unwrap_or_default()),
                        uri,
                    });
                }
            }
            position = page.position.filter(|position| !position.is_empty());
            if position.is_none() {
                return Ok(authorizers);
            }
        }
    }

    async fn stages(&self, id: &ApiId) -> Result<Vec<Stage>, Error> {
        let stages = self
            .client
            .get_stages()
            .rest_api_id(id.as_ref())
            .send()
            .await
            .map_err(|error| classify("GetStages", &error))?;
        let described = stages
            .item
            .unwrap_or_default()
            .into_iter()
            .map(|stage| async move {
                let name = stage.stage_name.unwrap_or_default();
                let deployed = match stage.deployment_id.as_deref() {
                    None | Some("") => Operations::new(),
                    Some(_) => self.deployed(id, &name).await?,
                };
                Ok(Stage {
                    deployed,
                    variables: stage.variables.unwrap_or_default().into_iter().collect(),
                    canary: stage.canary_settings.is_some(),
                    name,
                    ..Stage::default()
                })
            });
        try_join_all(described).await
    }

    async fn deployed(&self, id: &ApiId, stage: &str) -> Result<Operations, Error> {
        let export = self
            .client
            .get_export()
            .rest_api_id(id.as_ref())
            .stage_name(stage)
            .export_type("oas30")
            .parameters("extensions", "integrations,authorizers")
            .accepts("application/json")
            .send()
            .await
            .map_err(|error| classify("GetExport", &error))?;
        operations(export.body.unwrap_or_default().as_ref())
    }

    pub(super) async fn set_variable(
        &self,
        id: &ApiId,
        stage: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let op = if value.is_some() {
            Op::Replace
        } else {
            Op::Remove
        };
        let patch = PatchOperation::builder()
            .op(op)
            .path(format!("/variables/{name}"))
            .set_value(value.map(str::to_owned))
            .build();
        self.client
            .update_stage()
            .rest_api_id(id.as_ref())
            .stage_name(stage)
            .patch_operations(patch)
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
        let patch = |path: &str| {
            PatchOperation::builder()
                .op(Op::Replace)
                .path(path)
                .value(uri)
                .build()
        };
        if kind == SiteKind::Authorizer {
            self.client
                .update_authorizer()
                .rest_api_id(id.as_ref())
                .authorizer_id(site)
                .patch_operations(patch("/authorizerUri"))
                .send()
                .await
                .map_err(|error| classify("UpdateAuthorizer", &error))?;
            return Ok(());
        }
        let (resource, method) = site.split_once('/').unwrap_or((site, ""));
        self.client
            .update_integration()
            .rest_api_id(id.as_ref())
            .resource_id(resource)
            .http_method(method)
            .patch_operations(patch("/uri"))
            .send()
            .await
            .map_err(|error| classify("UpdateIntegration", &error))?;
        Ok(())
    }

    pub(super) async fn deploy(&self, id: &ApiId, stage: &str, why: &str) -> Result<(), Error> {
        self.client
            .create_deployment()
            .rest_api_id(id.as_ref())
            .stage_name(stage)
            .description(why)
            .send()
            .await
            .map_err(|error| classify("CreateDeployment", &error))?;
        Ok(())
    }
}
