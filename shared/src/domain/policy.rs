//! Lambda's resource policies: whom a function, a version or an alias lets in.

use serde_json::Value;

/// A statement of a resource policy that allows something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The statement's id.
    pub id: String,
    /// Whom it lets in: a service, an account, or `*`.
    pub principal: String,
    /// Whether that is a service of AWS.
    pub is_service: bool,
    /// Whether it is about function URLs only: without one it grants nothing.
    pub by_url: bool,
    /// Where calls may come from; none when from anywhere.
    pub source: Option<String>,
}

/// Reads the statements of a policy's JSON that allow something.
#[must_use]
pub fn allowed(policy: &str) -> Vec<Allowed> {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let list = match &policy["Statement"] {
        Value::Array(list) => list.clone(),
        one @ Value::Object(_) => vec![one.clone()],
        _ => Vec::new(),
    };
    list.iter()
        .filter(|statement| statement["Effect"] == "Allow")
        .map(|statement| {
            let principal = &statement["Principal"];
            let named = match principal {
                Value::Object(kinds) => kinds.values().next().unwrap_or(principal),
                other => other,
            };
            Allowed {
                id: statement["Sid"].as_str().unwrap_or_default().to_owned(),
                principal: named
                    .as_str()
                    .map_or_else(|| named.to_string(), str::to_owned),
                is_service: principal["Service"].is_string(),
                by_url: statement["Action"] == "lambda:InvokeFunctionUrl"
                    || condition(&statement["Condition"], "lambda:InvokedViaFunctionUrl")
                        .is_some_and(|value| value == "true" || *value == Value::Bool(true)),
                source: condition(&statement["Condition"], "AWS:SourceArn")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            }
        })
        .collect()
}

/// The value that a condition asks of a key, whatever its operator.
fn condition<'a>(condition: &'a Value, wanted: &str) -> Option<&'a Value> {
    let operators = condition.as_object()?.values();
    let mut conditions = operators.filter_map(Value::as_object).flatten();
    let (_, value) = conditions.find(|(key, _)| key.eq_ignore_ascii_case(wanted))?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_policy_as_lambda_writes_it() {
        let policy = r#"{"Version":"2012-10-17","Id":"default","Statement":[
            {"Sid":"ours","Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},
             "Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:eu-west-1:1:function:f:live",
             "Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:eu-west-1:1:abc/prod/*"}}},
            {"Sid":"theirs","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::2:root"},"Action":"lambda:InvokeFunction"},
            {"Sid":"open","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl"},
            {"Sid":"open too","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction",
             "Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}},
            {"Sid":"no","Effect":"Deny","Principal":"*","Action":"lambda:InvokeFunction"}]}"#;
        let one = |id: &str, principal: &str, source: Option<&str>| Allowed {
            id: id.into(),
            principal: principal.into(),
            is_service: principal.ends_with(".amazonaws.com"),
            by_url: id.starts_with("open"),
            source: source.map(str::to_owned),
        };
        let api = "arn:aws:execute-api:eu-west-1:1:abc/prod/*";
        assert_eq!(
            allowed(policy),
            [
                one("ours", "apigateway.amazonaws.com", Some(api)),
                one("theirs", "arn:aws:iam::2:root", None),
                one("open", "*", None),
                one("open too", "*", None),
            ]
        );
    }

    #[test]
    fn reads_nothing_from_what_is_no_policy() {
        for text in ["", "null", "{}", r#"{"Statement": 1}"#] {
            assert_eq!(allowed(text), []);
        }
    }
}
