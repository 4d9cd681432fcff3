//! A REST or an HTTP API with two stages, `production` and `staging`, and its users.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_apigateway::types::{IntegrationType as RestIntegration, Op, PatchOperation};
use aws_sdk_apigatewayv2::types::{IntegrationType as HttpIntegration, ProtocolType};
use serde_json::{Value, json};

use crate::{LocalAws, Target, Traffic, local::Control, traffic::Met};

/// The stages that every API has.
pub const STAGES: [&str; 2] = ["production", "staging"];
/// The service that asks functions behind an API.
const PRINCIPAL: &str = "apigateway.amazonaws.com";

/// What kind of API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A REST API: a stage serves what was last deployed to it.
    Rest,
    /// An HTTP API whose stages deploy each change by themselves.
    Http,
    /// An HTTP API whose stages serve what was last deployed to them.
    HttpByHand,
}

/// An API whose every path asks one function, at first as it stands (`$LATEST`), as teams begin.
#[derive(Clone, Debug)]
pub struct Api {
    /// What kind it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its name: a REST API's in CloudWatch.
    pub name: String,
    /// Where the integration is: a REST API's resource, an HTTP API's integration.
    pub integration: String,
    rest: aws_sdk_apigateway::Client,
    http: aws_sdk_apigatewayv2::Client,
    control: Control,
}

impl Api {
    /// Makes one, allows it to invoke the function, and deploys both stages.
    pub async fn create(local: &LocalAws, kind: Kind, name: &str, target: &Target) -> Self {
        let api = Self::asking(local, kind, name, &function(target, None)).await;
        api.allow(target, None).await;
        api
    }

    /// The same with an integration of its own, such as one with a stage variable
    /// (`…:function:chat:${stageVariables.alias}`), and without a permission.
    pub async fn asking(local: &LocalAws, kind: Kind, name: &str, function: &str) -> Self {
        let rest = aws_sdk_apigateway::Client::new(&local.config());
        let http = aws_sdk_apigatewayv2::Client::new(&local.config());
        let (id, integration) = match kind {
            Kind::Rest => rest_api(&rest, name, &rest_uri(function)).await,
            Kind::Http | Kind::HttpByHand => http_api(&http, name, function).await,
        };
        let api = Self {
            kind,
            id,
            name: name.to_owned(),
            integration,
            rest,
            http,
            control: local.control(),
        };
        for stage in STAGES {
            if kind != Kind::Rest {
                let made = api.http.create_stage().api_id(&api.id).stage_name(stage);
                let made = made.auto_deploy(kind == Kind::Http).send().await;
                made.expect("a stage can be made");
            }
            if kind != Kind::Http {
                api.deploy(stage).await;
            }
        }
        api
    }

    /// Deploys the API as it is defined to a stage.
    pub async fn deploy(&self, stage: &str) {
        match self.kind {
            Kind::Rest => {
                let call = self.rest.create_deployment().rest_api_id(&self.id);
                let done = call.stage_name(stage).send().await;
                done.expect("the API can be deployed");
            }
            Kind::Http | Kind::HttpByHand => {
                let call = self.http.create_deployment().api_id(&self.id);
                let done = call.stage_name(stage).send().await;
                done.expect("the API can be deployed");
            }
        }
    }

    /// Has the path `/jobs` ask another function, and deploys both stages.
    pub async fn also_asks(&self, target: &Target) {
        let function = function(target, None);
        if self.kind == Kind::Rest {
            let all = self.rest.get_resources().rest_api_id(&self.id).send().await;
            let all = all.expect("the API is there").items.unwrap_or_default();
            let root = all.iter().find(|one| one.path.as_deref() == Some("/"));
            let root = root.and_then(|root| root.id.clone());
            rest_path(&self.rest, &self.id, root, "jobs", &rest_uri(&function)).await;
        } else {
            http_route(&self.http, &self.id, "ANY /jobs", &function).await;
        }
        self.deploy_all().await;
        self.allow(target, None).await;
    }

    /// Puts a Lambda authorizer before what the API asks, and deploys both stages. Nothing is cached. Returns
    /// its id.
    pub async fn authorize(&self, target: &Target) -> String {
        let uri = rest_uri(&function(target, None));
        let id = if self.kind == Kind::Rest {
            let call = self.rest.create_authorizer().rest_api_id(&self.id);
            let made = call
                .name("users")
                .r#type(aws_sdk_apigateway::types::AuthorizerType::Token)
                .authorizer_uri(uri)
                .identity_source("method.request.header.Authorization")
                .authorizer_result_ttl_in_seconds(0)
                .send()
                .await;
            let id = made.expect("an authorizer can be made").id;
            let id = id.expect("it has an id");
            let set = |path: &str, value: &str| {
                PatchOperation::builder()
                    .op(Op::Replace)
                    .path(path)
                    .value(value)
                    .build()
            };
            let call = self.rest.update_method().rest_api_id(&self.id);
            let done = call
                .resource_id(&self.integration)
                .http_method("ANY")
                .patch_operations(set("/authorizationType", "CUSTOM"))
                .patch_operations(set("/authorizerId", &id))
                .send()
                .await;
            done.expect("the method can be changed");
            id
        } else {
            let call = self.http.create_authorizer().api_id(&self.id);
            let made = call
                .name("users")
                .authorizer_type(aws_sdk_apigatewayv2::types::AuthorizerType::Request)
                .authorizer_uri(uri)
                .authorizer_payload_format_version("2.0")
                .enable_simple_responses(true)
                .identity_source("$request.header.Authorization")
                .authorizer_result_ttl_in_seconds(0)
                .send()
                .await;
            let id = made.expect("an authorizer can be made").authorizer_id;
            let id = id.expect("it has an id");
            let routes = self.http.get_routes().api_id(&self.id).send().await;
            for route in routes.expect("the API is there").items.unwrap_or_default() {
                let call = self.http.update_route().api_id(&self.id);
                let done = call
                    .route_id(route.route_id.unwrap_or_default())
                    .authorization_type(aws_sdk_apigatewayv2::types::AuthorizationType::Custom)
                    .authorizer_id(&id)
                    .send()
                    .await;
                done.expect("the route can be changed");
            }
            id
        };
        let done = target
            .lambda()
            .add_permission()
            .function_name(&target.name)
            .statement_id(format!("authorizer-{id}"))
            .principal(PRINCIPAL)
            .action("lambda:InvokeFunction")
            .source_arn(format!(
                "arn:aws:execute-api:us-east-1:000000000000:{}/authorizers/{id}",
                self.id
            ))
            .send()
            .await;
        done.expect("a permission can be added");
        self.deploy_all().await;
        id
    }

    /// An authorizer as it is defined: what it calls, what it goes by, and for how long it is remembered.
    pub async fn authorizer(&self, id: &str) -> (String, String, i32) {
        if self.kind == Kind::Rest {
            let call = self.rest.get_authorizer().rest_api_id(&self.id);
            let told = call.authorizer_id(id).send().await;
            let told = told.expect("the authorizer is there");
            (
                told.authorizer_uri.unwrap_or_default(),
                told.identity_source.unwrap_or_default(),
                told.authorizer_result_ttl_in_seconds.unwrap_or_default(),
            )
        } else {
            let call = self.http.get_authorizer().api_id(&self.id);
            let told = call.authorizer_id(id).send().await;
            let told = told.expect("the authorizer is there");
            (
                told.authorizer_uri.unwrap_or_default(),
                told.identity_source.unwrap_or_default().join(","),
                told.authorizer_result_ttl_in_seconds.unwrap_or_default(),
            )
        }
    }

    /// What all integrations call, as they are defined.
    pub async fn uris(&self) -> Vec<String> {
        let mut uris: Vec<_> = if self.kind == Kind::Rest {
            let call = self.rest.get_resources().rest_api_id(&self.id);
            let all = call.embed("methods").send().await;
            let all = all.expect("the API is there").items.unwrap_or_default();
            all.into_iter()
                .flat_map(|one| one.resource_methods.unwrap_or_default().into_values())
                .filter_map(|method| method.method_integration?.uri)
                .collect()
        } else {
            let all = self.http.get_integrations().api_id(&self.id).send().await;
            let all = all.expect("the API is there").items.unwrap_or_default();
            all.into_iter()
                .filter_map(|one| one.integration_uri)
                .collect()
        };
        uris.sort();
        uris
    }

    async fn deploy_all(&self) {
        if self.kind != Kind::Http {
            for stage in STAGES {
                self.deploy(stage).await;
            }
        }
    }

    /// The deployment that a stage serves.
    pub async fn deployment(&self, stage: &str) -> String {
        if self.kind == Kind::Rest {
            let call = self.rest.get_stage().rest_api_id(&self.id);
            let told = call.stage_name(stage).send().await;
            told.expect("the stage is there").deployment_id
        } else {
            let call = self.http.get_stage().api_id(&self.id);
            let told = call.stage_name(stage).send().await;
            told.expect("the stage is there").deployment_id
        }
        .unwrap_or_default()
    }

    /// The integration's URI as it is defined, which may not be what is deployed.
    pub async fn uri(&self) -> String {
        if self.kind == Kind::Rest {
            let call = self.rest.get_integration().rest_api_id(&self.id);
            let call = call.resource_id(&self.integration).http_method("ANY");
            call.send().await.expect("the integration is there").uri
        } else {
            let call = self.http.get_integration().api_id(&self.id);
            let told = call.integration_id(&self.integration).send().await;
            told.expect("the integration is there").integration_uri
        }
        .unwrap_or_default()
    }

    /// A stage's variables.
    pub async fn variables(&self, stage: &str) -> BTreeMap<String, String> {
        let found: Option<HashMap<String, String>> = if self.kind == Kind::Rest {
            let call = self.rest.get_stage().rest_api_id(&self.id);
            let told = call.stage_name(stage).send().await;
            told.expect("the stage is there").variables
        } else {
            let call = self.http.get_stage().api_id(&self.id);
            let told = call.stage_name(stage).send().await;
            told.expect("the stage is there").stage_variables
        };
        found.unwrap_or_default().into_iter().collect()
    }

    /// Sets a stage's variable.
    pub async fn set_variable(&self, stage: &str, name: &str, value: &str) {
        if self.kind == Kind::Rest {
            let change = PatchOperation::builder()
                .op(Op::Replace)
                .path(format!("/variables/{name}"))
                .value(value)
                .build();
            let call = self.rest.update_stage().rest_api_id(&self.id);
            let done = call.stage_name(stage).patch_operations(change).send().await;
            done.expect("the stage can be changed");
        } else {
            let mut all: HashMap<String, String> =
                self.variables(stage).await.into_iter().collect();
            all.insert(name.to_owned(), value.to_owned());
            let call = self.http.update_stage().api_id(&self.id);
            let call = call.stage_name(stage).set_stage_variables(Some(all));
            call.send().await.expect("the stage can be changed");
        }
    }

    /// Allows all of the API to invoke a version or an alias; without a qualifier, the function.
    pub async fn allow(&self, target: &Target, qualifier: Option<&str>) {
        let done = target
            .lambda()
            .add_permission()
            .function_name(&target.name)
            .set_qualifier(qualifier.map(str::to_owned))
            .statement_id(format!("api-{}", self.id))
            .principal(PRINCIPAL)
            .action("lambda:InvokeFunction")
            .source_arn(format!(
                "arn:aws:execute-api:us-east-1:000000000000:{}/*",
                self.id
            ))
            .send()
            .await;
        done.expect("a permission can be added");
    }

    /// One request to a stage.
    pub async fn request(&self, stage: &str) -> Met {
        met(&self.ask(stage).await)
    }

    /// One request, and all that there is to know of it; see `tests/local/README.md`.
    pub async fn ask(&self, stage: &str) -> Value {
        ask(&self.control, &self.id, stage).await
    }

    /// Users of a stage, who send so many requests a second.
    #[must_use]
    pub fn users(&self, stage: &str, per_second: f64) -> Traffic {
        let (control, id, stage) = (self.control.clone(), self.id.clone(), stage.to_owned());
        Traffic::through(per_second, move || {
            let (control, id, stage) = (control.clone(), id.clone(), stage.clone());
            async move { met(&ask(&control, &id, &stage).await) }
        })
    }

    /// API Gateway's client for REST APIs, for what this does not do.
    #[must_use]
    pub fn rest(&self) -> &aws_sdk_apigateway::Client {
        &self.rest
    }

    /// API Gateway's client for HTTP APIs, for what this does not do.
    #[must_use]
    pub fn http(&self) -> &aws_sdk_apigatewayv2::Client {
        &self.http
    }
}

/// The ARN of a function, or of a version or an alias of it.
fn function(target: &Target, qualifier: Option<&str>) -> String {
    let arn = target.arn(qualifier.unwrap_or_default());
    arn.trim_end_matches(':').to_owned()
}

/// How a REST API names a function that it asks.
#[must_use]
pub fn rest_uri(function: &str) -> String {
    format!("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function}/invocations")
}

async fn rest_api(client: &aws_sdk_apigateway::Client, name: &str, uri: &str) -> (String, String) {
    let made = client.create_rest_api().name(name).send().await;
    let id = made.expect("an API can be made").id.expect("it has an id");
    let root = client.get_resources().rest_api_id(&id).send().await;
    let root = root.expect("the API is there").items.unwrap_or_default();
    let root = root.into_iter().find_map(|resource| resource.id);
    let resource = rest_path(client, &id, root, "{proxy+}", uri).await;
    (id, resource)
}

/// A path below the root of a REST API; its resource's id.
async fn rest_path(
    client: &aws_sdk_apigateway::Client,
    id: &str,
    root: Option<String>,
    path: &str,
    uri: &str,
) -> String {
    let call = client.create_resource().rest_api_id(id);
    let call = call.parent_id(root.expect("an API has a root"));
    let made = call.path_part(path).send().await;
    let resource = made.expect("a resource can be made").id;
    let resource = resource.expect("it has an id");
    let call = client.put_method().rest_api_id(id).resource_id(&resource);
    let call = call.http_method("ANY").authorization_type("NONE");
    call.send().await.expect("a method can be made");
    let call = client.put_integration().rest_api_id(id);
    let call = call.resource_id(&resource).http_method("ANY");
    let call = call.r#type(RestIntegration::AwsProxy).uri(uri);
    let done = call.integration_http_method("POST").send().await;
    done.expect("an integration can be made");
    resource
}

async fn http_api(
    client: &aws_sdk_apigatewayv2::Client,
    name: &str,
    function: &str,
) -> (String, String) {
    let call = client.create_api().name(name);
    let made = call.protocol_type(ProtocolType::Http).send().await;
    let id = made.expect("an API can be made").api_id;
    let id = id.expect("it has an id");
    let integration = http_route(client, &id, "$default", function).await;
    (id, integration)
}

/// A route of an HTTP API with an integration of its own; the integration's id.
async fn http_route(
    client: &aws_sdk_apigatewayv2::Client,
    id: &str,
    route: &str,
    function: &str,
) -> String {
    let call = client.create_integration().api_id(id);
    let call = call.integration_type(HttpIntegration::AwsProxy);
    let call = call.integration_uri(function).payload_format_version("2.0");
    let made = call.send().await.expect("an integration can be made");
    let integration = made.integration_id.expect("it has an id");
    let call = client.create_route().api_id(id).route_key(route);
    let call = call.target(format!("integrations/{integration}"));
    call.send().await.expect("a route can be made");
    integration
}

async fn ask(control: &Control, id: &str, stage: &str) -> Value {
    // What an authorizer goes by, where the API has one.
    let headers = json!({"authorization": "somebody"});
    let request = json!({"apiId": id, "stage": stage, "path": "/chat", "headers": headers});
    control.post("apigateway/request", &request).await
}

fn met(served: &Value) -> Met {
    Met {
        version: served["executedVersion"].as_str().map(str::to_owned),
        failed: served["status"].as_u64().is_none_or(|status| status >= 500),
    }
}
