//! The URI of a Lambda integration: which function it calls, and by which qualifier.
//!
//! `arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/ARN/invocations`, or in HTTP APIs the
//! function's ARN alone (<https://docs.aws.amazon.com/apigateway/latest/developerguide/amazon-api-gateway-using-stage-variables.html>). Name and qualifier may be stage variables.

use std::collections::BTreeMap;

/// A call of a Lambda function, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    /// All before the function's name, up to `:function:`.
    before: &'a str,
    /// The name, as it is written.
    pub(super) name: &'a str,
    /// The qualifier, as it is written.
    pub(super) qualifier: Option<&'a str>,
    /// All after.
    after: &'a str,
}

/// What a call reaches on one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Callee {
    pub(super) function: String,
    /// None when the call is unqualified, which is `$LATEST`; empty where a variable is absent.
    pub(super) qualifier: Option<String>,
}

/// How a call can be sent to another qualifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// By the stage variable that is its qualifier.
    Qualifier(String),
    /// By the stage variable that is its function's name, and may have a qualifier.
    Name(String),
    /// By writing its URI.
    Uri,
    /// Not without changing what other stages call.
    None,
}

const FUNCTION: &str = ":function:";

impl<'a> Call<'a> {
    /// None when the URI calls something else than a Lambda function.
    pub(super) fn parse(uri: &'a str) -> Option<Self> {
        let at = uri.find(FUNCTION)? + FUNCTION.len();
        let (before, rest) = uri.split_at(at);
        let (callee, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (name, qualifier) = match callee.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (callee, None),
        };
        let call = Self {
            before,
            name,
            qualifier,
            after,
        };
        (call.head().contains(":lambda:")).then_some(call)
    }

    /// The head of the function's ARN: `arn:aws:lambda:REGION:ACCOUNT`.
    pub(super) fn head(&self) -> &'a str {
        let head = self.before.trim_end_matches(FUNCTION);
        head.rsplit_once('/').map_or(head, |(_, arn)| arn)
    }

    /// What it reaches on a stage with these variables.
    pub(super) fn reaches(&self, variables: &BTreeMap<String, String>) -> Callee {
        let written = match self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.name),
            None => self.name.to_owned(),
        };
        let text = substituted(&written, variables);
        match text.split_once(':') {
            Some((function, qualifier)) => Callee {
                function: function.to_owned(),
                qualifier: Some(qualifier.to_owned()),
            },
            None => Callee {
                function: text,
                qualifier: None,
            },
        }
    }

    /// How it can be sent elsewhere.
    pub(super) fn means(&self) -> Means {
        match (variable(self.name), self.qualifier.map(variable)) {
            (_, Some(Some(name))) => Means::Qualifier(name.to_owned()),
            (Some(name), None) => Means::Name(name.to_owned()),
            (None, _) if !self.name.contains('$') => Means::Uri,
            _ => Means::None,
        }
    }

    /// The URI that calls the same function by another qualifier. What HTTP APIs take besides, the
    /// ARN alone, is documented without stage variables only, so it becomes the long form.
    pub(super) fn qualified(&self, qualifier: &str) -> String {
        let Self {
            before,
            name,
            after,
            ..
        } = self;
        let parts: Vec<_> = self.head().split(':').collect();
        match parts[..] {
            ["arn", partition, "lambda", region, _]
                if before.starts_with("arn:")
                    && !before.contains('/')
                    && qualifier.contains('$') =>
            {
                format!(
                    "arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{before}{name}:{qualifier}/invocations"
                )
            }
            _ => format!("{before}{name}:{qualifier}{after}"),
        }
    }
}

const BEGIN: &str = "${stageVariables.";

/// The text that stands for a stage variable in a URI.
pub(super) fn reference(variable: &str) -> String {
    format!("{BEGIN}{variable}}}")
}

/// The stage variable that a text is, if it is nothing else.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix(BEGIN)?.strip_suffix('}')?;
    (!name.contains('}')).then_some(name)
}

fn substituted(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        done.push_str(before);
        done.push_str(variables.get(name).map_or("", String::as_str));
        rest = after;
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:chat";
    const REST: &str = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/";

    fn long(callee: &str) -> String {
        format!("{REST}arn:aws:lambda:eu-west-1:123456789012:function:{callee}/invocations")
    }

    fn on(uri: &str, variables: &[(&str, &str)]) -> (String, Option<String>) {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let callee = Call::parse(uri).unwrap().reaches(&variables);
        (callee.function, callee.qualifier)
    }

    #[test]
    fn parses_every_form_of_a_call() {
        for uri in [ARN.to_owned(), long("chat")] {
            let call = Call::parse(&uri).unwrap();
            assert_eq!((call.name, call.qualifier), ("chat", None), "{uri}");
            assert_eq!(
                call.head(),
                "arn:aws:lambda:eu-west-1:123456789012",
                "{uri}"
            );
            assert_eq!(call.means(), Means::Uri);
        }
        for other in [
            "https://example.com/a:function:b",
            "arn:aws:apigateway:eu-west-1:sqs:path/123456789012/jobs",
            "",
        ] {
            assert_eq!(Call::parse(other), None, "{other}");
        }
    }

    #[test]
    fn stage_variables_say_what_a_stage_calls() {
        let by_qualifier = long("chat:${stageVariables.alias}");
        let chat = |qualifier: &str| ("chat".to_owned(), Some(qualifier.to_owned()));
        assert_eq!(on(&by_qualifier, &[("alias", "live")]), chat("live"));
        assert_eq!(on(&by_qualifier, &[]), chat(""));
        let by_name = long("${stageVariables.function}");
        assert_eq!(on(&by_name, &[("function", "chat:live")]), chat("live"));
        assert_eq!(
            on(&by_name, &[("function", "chat")]),
            ("chat".to_owned(), None)
        );
        let means = |uri: &str| Call::parse(uri).unwrap().means();
        assert_eq!(means(&by_qualifier), Means::Qualifier("alias".into()));
        assert_eq!(means(&by_name), Means::Name("function".into()));
        assert_eq!(means(&long("chat-${stageVariables.env}")), Means::None);
        assert_eq!(means(&long("chat:live")), Means::Uri);
    }

    #[test]
    fn changes_only_the_qualifier() {
        let alias = reference("chat_alias");
        let call = |uri: &str| Call::parse(uri).unwrap().qualified(&alias);
        let wanted = long("chat:${stageVariables.chat_alias}");
        assert_eq!(call(&long("chat")), wanted);
        assert_eq!(call(&long("chat:$LATEST")), wanted);
        // The short form takes no variables.
        assert_eq!(call(ARN), wanted);
        assert_eq!(
            Call::parse(ARN).unwrap().qualified("live"),
            format!("{ARN}:live")
        );
        let streamed = "arn:aws:apigateway:eu-west-1:lambda:path/2021-11-15/functions/arn:aws:lambda:eu-west-1:123456789012:function:chat/response-streaming-invocations";
        assert!(
            call(streamed).ends_with("${stageVariables.chat_alias}/response-streaming-invocations")
        );
    }
}
