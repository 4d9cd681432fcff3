//! What is deployed to a stage, from its export as OpenAPI 3.0: no other call returns what a
//! deployment contains.

use crossfade::{
    domain::stage_wiring::{Operations, authorizer_label},
    error::Error,
};
use serde_json::{Map, Value};

const INTEGRATION: &str = "x-amazon-apigateway-integration";
const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";
const ANY: &str = "x-amazon-apigateway-any-method";
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// The operations of an export with what each calls, empty where it calls nothing; and the Lambda
/// authorizers that they use.
pub(super) fn operations(document: &[u8]) -> Result<Operations, Error> {
    let document: Value = serde_json::from_slice(document)
        .map_err(|error| Error::Transient(format!("an export that is no JSON: {error}").into()))?;
    let paths = document["paths"].as_object().into_iter().flatten();
    let mut found = Operations::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let name = match method.as_str() {
                ANY => "ANY".to_owned(),
                method if METHODS.contains(&method) => method.to_uppercase(),
                _ => continue,
            };
            let integration = resolved(&document, &operation[INTEGRATION]);
            let uri = integration["uri"].as_str().unwrap_or_default();
            found.insert(format!("{name} {path}"), uri.to_owned());
            let schemes = operation["security"].as_array().into_iter().flatten();
            for scheme in schemes.filter_map(Value::as_object).flat_map(Map::keys) {
                let scheme_of = &document["components"]["securitySchemes"][scheme];
                if let Some(uri) = scheme_of[AUTHORIZER]["authorizerUri"].as_str() {
                    found.insert(authorizer_label(scheme), uri.to_owned());
                }
            }
        }
    }
    Ok(found)
}

/// An integration that several routes share is exported once and referred to.
fn resolved<'a>(document: &'a Value, integration: &'a Value) -> &'a Value {
    integration["$ref"]
        .as_str()
        .and_then(|reference| document.pointer(reference.strip_prefix('#')?))
        .unwrap_or(integration)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_an_export_by_operation() {
        let document = json!({
            "openapi": "3.0.1",
            "paths": {
                "/chat": {
                    "parameters": [],
                    "get": {
                        "security": [{ "users": [], "api_key": [] }],
                        "x-amazon-apigateway-integration": { "uri": "a" },
                    },
                    "options": { "x-amazon-apigateway-integration": { "type": "mock" } },
                },
                "/$default": {
                    "x-amazon-apigateway-any-method": {
                        "isDefaultRoute": true,
                        "x-amazon-apigateway-integration": {
                            "$ref": "#/components/x-amazon-apigateway-integrations/shared"
                        }
                    }
                },
                "/bare": { "post": {} },
            },
            "components": {
                "securitySchemes": {
                    "users": { "x-amazon-apigateway-authorizer": { "type": "token", "authorizerUri": "c" } },
                    "unused": { "x-amazon-apigateway-authorizer": { "authorizerUri": "d" } },
                    "api_key": { "type": "apiKey" },
                },
                "x-amazon-apigateway-integrations": { "shared": { "uri": "b" } },
            },
        });
        let read = operations(document.to_string().as_bytes()).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|(name, uri)| (name.as_str(), uri.as_str()))
            .collect();
        assert_eq!(
            read,
            [
                ("ANY /$default", "b"),
                ("GET /chat", "a"),
                ("OPTIONS /chat", ""),
                ("POST /bare", ""),
                ("authorizer users", "c"),
            ]
        );
        assert!(operations(b"<html>").is_err());
    }
}
