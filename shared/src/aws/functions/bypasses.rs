//! What calls a function past every alias.

use serde_json::Value;

use super::Functions;
use crate::{
    aws::classify::{classify, is},
    domain::names::FunctionName,
    error::Error,
};

impl Functions {
    /// What calls the function past every alias, a sentence each: event sources, URLs and
    /// permissions of the function itself.
    pub async fn bypasses(&self, function: &FunctionName) -> Result<Vec<String>, Error> {
        let (sources, urls, policy) = futures::try_join!(
            async {
                self.client
                    .list_event_source_mappings()
                    .function_name(function.as_ref())
                    .send()
                    .await
                    .map_err(|error| {
                        classify(&format!("ListEventSourceMappings of {function}"), &error)
                    })
            },
            async {
                self.client
                    .list_function_url_configs()
                    .function_name(function.as_ref())
                    .send()
                    .await
                    .map_err(|error| {
                        classify(&format!("ListFunctionUrlConfigs of {function}"), &error)
                    })
            },
            async {
                match self
                    .client
                    .get_policy()
                    .function_name(function.as_ref())
                    .send()
                    .await
                {
                    Ok(policy) => Ok(policy.policy),
                    Err(error) if is(&error, "ResourceNotFoundException") => Ok(None),
                    Err(error) => Err(classify(&format!("GetPolicy of {function}"), &error)),
                }
            },
        )?;
        let mut warnings = Vec::new();
        for mapping in sources.event_source_mappings() {
            if !is_qualified(mapping.function_arn().unwrap_or_default()) {
                warnings.push(format!(
                    "{function}: event source {} calls the function past the alias",
                    mapping.event_source_arn().unwrap_or("(unknown)")
                ));
            }
        }
        for url in urls.function_url_configs() {
            if !is_qualified(url.function_arn()) {
                warnings.push(format!(
                    "{function}: URL {} calls the function past the alias",
                    url.function_url()
                ));
            }
        }
        warnings
            .extend(callers(policy.as_deref().unwrap_or("{}")).map(|caller| {
                format!("{function}: {caller} may call the function past the alias")
            }));
        Ok(warnings)
    }
}

/// Whether a function's ARN names a version or an alias: `arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER`.
pub(super) fn is_qualified(arn: &str) -> bool {
    arn.split(':')
        .nth(7)
        .is_some_and(|qualifier| qualifier != "$LATEST")
}

/// Whom a resource policy lets in, from its JSON.
pub(super) fn callers(policy: &str) -> impl Iterator<Item = String> {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => Vec::new(),
    };
    statements
        .into_iter()
        .filter(|statement| statement["Effect"] == "Allow")
        .map(|statement| {
            let principal = match &statement["Principal"] {
                Value::Object(kinds) => kinds.values().next().map(shown).unwrap_or_default(),
                other => shown(other),
            };
            match statement["Condition"]
                .as_object()
                .and_then(|c| c.values().find_map(|v| v["AWS:SourceArn"].as_str()))
            {
                Some(source) => format!("{principal} ({source})"),
                None => principal,
            }
        })
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
