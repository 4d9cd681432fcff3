//! What a first request says, by what was found and what was answered. Pure.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Value, json};

/// What was found of a function.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// Its name.
    pub(crate) name: String,
    /// Its aliases, each with what it is on in words.
    pub(crate) aliases: Vec<(String, String)>,
    /// The alarms on its metrics.
    pub(crate) alarms: Vec<String>,
    /// What may call it, by its policies: whom, and from where.
    pub(crate) callers: Vec<Caller>,
    /// What could not be read of it.
    pub(crate) unread: Vec<String>,
}

/// What may call a function or an alias.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Caller {
    /// The alias that it may call; none for the function itself.
    pub(crate) alias: Option<String>,
    /// A service of AWS, such as `apigateway.amazonaws.com`.
    pub(crate) service: String,
    /// The ARN that its calls come from; empty when from anywhere.
    pub(crate) source: String,
}

/// What a request is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Draft {
    pub(crate) application: String,
    pub(crate) functions: Vec<String>,
    pub(crate) alias: String,
    pub(crate) alarms: Vec<String>,
    pub(crate) strategy: String,
}

/// Proposes an application's name: what the functions' names have in common, up to a hyphen or an underscore.
pub(crate) fn application(functions: &[String]) -> Option<String> {
    let (first, rest) = functions.split_first()?;
    let common = rest.iter().fold(first.as_str(), |common, name| {
        let same = common.bytes().zip(name.bytes()).take_while(|(a, b)| a == b);
        &common[..same.count()]
    });
    let whole = functions.iter().all(|name| name == common);
    let end = if whole {
        Some(common.len())
    } else {
        common.rfind(['-', '_'])
    };
    let name = common[..end?].trim_end_matches(['-', '_']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// Proposes an alias: the only one that all functions have.
pub(crate) fn alias(found: &[Found]) -> Option<String> {
    let mut each = found.iter().map(|one| -> BTreeSet<&str> {
        one.aliases.iter().map(|(name, _)| name.as_str()).collect()
    });
    let first = each.next()?;
    let common = each.fold(first, |common, next| &common & &next);
    let mut common = common.into_iter();
    let only = common.next()?;
    common.next().is_none().then(|| only.to_owned())
}

/// Proposes the alarms on the functions' metrics, in the order of their names, each once.
pub(crate) fn alarms(found: &[Found]) -> Vec<String> {
    let all: BTreeSet<_> = found.iter().flat_map(|one| &one.alarms).collect();
    all.into_iter().cloned().collect()
}

impl Draft {
    /// The request.
    pub(crate) fn request(&self) -> Value {
        let functions = self.functions.iter();
        let functions = functions.map(|name| json!({"functionName": name, "alias": self.alias}));
        let mut request = json!({
            "application": self.application,
            "functions": functions.collect::<Vec<_>>(),
            "strategy": self.strategy,
        });
        if !self.alarms.is_empty() {
            request["analysis"] = json!({"alarms": self.alarms});
        }
        request
    }

    /// What the request says and what is left to do, for the file beside it.
    pub(crate) fn explained(&self, file: &str, found: &[Found]) -> String {
        let mut text = format!(
            "# {file}\n\n`crossfade init` wrote {file} from what it found. Change it as you like; it does not come back unless \
             you say `--force`.\n\n| Field | Value | |\n|---|---|---|\n"
        );
        let mut row = |field: &str, value: &str, says: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| `{field}` | `{value}` | {says} |");
        };
        row(
            "application",
            &self.application,
            "what is released, in your words: one release of it runs at a time",
        );
        for name in &self.functions {
            row(
                "functions[].functionName",
                name,
                "released together with the others",
            );
        }
        row(
            "functions[].alias",
            &self.alias,
            "what callers call; it moves from version to version. A first release makes it where it is not there",
        );
        row(
            "strategy",
            &self.strategy,
            "how traffic moves: docs/strategies.md",
        );
        for name in &self.alarms {
            row(
                "analysis.alarms",
                name,
                "takes all traffic back to blue when it fires, and holds while it has no data",
            );
        }
        text.push_str(
            "\nThere is no `functions[].code`: a release publishes what is on `$LATEST`. It can also name a zip in S3, an image, or a \
             version that is there.\n\n## What is left to do\n\n",
        );
        for line in self.left(found) {
            let _ = writeln!(text, "- {line}");
        }
        text.push_str("\nThen:\n\n```sh\ncrossfade plan      # what it would do, and what is in the way; changes nothing\ncrossfade deploy --watch\n```\n");
        text
    }

    /// What init cannot do, or could not see.
    fn left(&self, found: &[Found]) -> Vec<String> {
        let mut left = Vec::new();
        if self.alarms.is_empty() {
            left.push(
                "No alarm guards the release. Make one on what callers receive (docs/getting-started.md, step 4) and name it in \
                 `analysis.alarms`."
                    .to_owned(),
            );
        }
        left.push(
            "Add `functions[].smokeTests`: an invocation of green before it gets any traffic (docs/request.md).".to_owned(),
        );
        for one in found {
            let name = &one.name;
            match one.aliases.iter().find(|(alias, _)| *alias == self.alias) {
                Some((alias, on)) if on == "$LATEST" => left.push(format!(
                    "`{name}:{alias}` is on `$LATEST`: the first release pins it to a version before anything else."
                )),
                Some(_) => {}
                None => left.push(format!(
                    "`{name}` has no alias `{}`: the first release makes it; then have its callers call it.",
                    self.alias
                )),
            }
            left.extend(
                one.callers
                    .iter()
                    .filter_map(|caller| self.about(name, caller)),
            );
            left.extend(
                one.unread
                    .iter()
                    .map(|what| format!("Could not be read: {what}.")),
            );
        }
        left
    }

    /// What to do about something that calls a function.
    fn about(&self, name: &str, caller: &Caller) -> Option<String> {
        let Caller {
            alias,
            service,
            source,
        } = caller;
        let is_ours = alias.as_ref() == Some(&self.alias);
        let what = match alias {
            Some(alias) => format!("{name}:{alias}"),
            None => name.to_owned(),
        };
        let from = if source.is_empty() { service } else { source };
        match service.as_str() {
            "apigateway.amazonaws.com" if is_ours => None,
            "apigateway.amazonaws.com" => Some(format!(
                "`{from}` may call `{what}`, past the alias: have the stage call the alias (docs/api-gateway.md, `\"action\": \"wire\"`)."
            )),
            "elasticloadbalancing.amazonaws.com" => Some(format!(
                "`{from}` may call `{what}`: to split traffic at the load balancer, add `\"traffic\": {{\"type\": \"alb\", …}}` \
                 (docs/splitters.md)."
            )),
            _ if is_ours => None,
            _ => Some(format!(
                "`{from}` may call `{what}`, past the alias: it keeps its version, whatever is released."
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use crossfade::wire::request::Request;

    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    fn found(name: &str, aliases: &[&str], alarms: &[&str]) -> Found {
        let aliases = aliases
            .iter()
            .map(|name| ((*name).to_owned(), "1".to_owned()));
        Found {
            name: name.into(),
            aliases: aliases.collect(),
            alarms: names(alarms),
            ..Found::default()
        }
    }

    fn draft() -> Draft {
        Draft {
            application: "chat".into(),
            functions: names(&["chat-api", "chat-worker"]),
            alias: "live".into(),
            alarms: names(&["chat-errors"]),
            strategy: "Canary10Percent5Minutes".into(),
        }
    }

    #[test]
    fn names_the_application_by_what_functions_share() {
        for (functions, name) in [
            (&["chat-api"][..], Some("chat-api")),
            (&["chat-api", "chat-worker"], Some("chat")),
            (&["chat-api", "chat-api-2"], Some("chat")),
            (&["shop_cart_add", "shop_cart_pay"], Some("shop_cart")),
            (&["chat", "orders"], None),
            (&["-a", "-b"], None),
            (&[], None),
        ] {
            assert_eq!(
                application(&names(functions)).as_deref(),
                name,
                "{functions:?}"
            );
        }
    }

    #[test]
    fn proposes_what_all_functions_have_and_never_guesses() {
        let both = [
            found("a", &["live", "test"], &["z", "b"]),
            found("b", &["live"], &["b"]),
        ];
        assert_eq!(alias(&both).as_deref(), Some("live"));
        assert_eq!(alarms(&both), ["b", "z"]);
        assert_eq!(alias(&both[..1]), None, "one of two aliases is not chosen");
        assert_eq!(alias(&[found("a", &[], &[])]), None);
        assert_eq!(alias(&[]), None);
    }

    /// What is written is read by the parser that a start has.
    #[test]
    fn writes_what_the_parser_accepts() {
        for draft in [
            draft(),
            Draft {
                alarms: Vec::new(),
                strategy: "AllAtOnce".into(),
                ..draft()
            },
        ] {
            let Ok(Request::Release(request)) = Request::parse(&draft.request()) else {
                panic!("{}", draft.request());
            };
            assert_eq!(request.functions.len(), 2);
            assert_eq!(request.analysis.alarms.len(), draft.alarms.len());
        }
    }

    #[test]
    fn explains_each_field_and_what_is_left() {
        let mut seen = [
            found("chat-api", &["live"], &[]),
            found("chat-worker", &[], &[]),
        ];
        seen[0].aliases[0].1 = "$LATEST".into();
        let caller = |alias: Option<&str>, service: &str, source: &str| Caller {
            alias: alias.map(str::to_owned),
            service: service.into(),
            source: source.into(),
        };
        seen[0].callers = vec![
            caller(
                None,
                "apigateway.amazonaws.com",
                "arn:aws:execute-api:r:1:abc/prod/GET/",
            ),
            caller(
                Some("live"),
                "apigateway.amazonaws.com",
                "arn:aws:execute-api:r:1:abc/test/GET/",
            ),
            caller(
                Some("live"),
                "elasticloadbalancing.amazonaws.com",
                "arn:aws:elasticloadbalancing:tg",
            ),
            caller(None, "events.amazonaws.com", ""),
        ];
        seen[1].unread = names(&["the policy of chat-worker"]);
        let text = draft().explained("crossfade.json", &seen);
        for part in [
            "| `application` | `chat` |",
            "| `functions[].functionName` | `chat-worker` |",
            "| `analysis.alarms` | `chat-errors` |",
            "`chat-api:live` is on `$LATEST`",
            "`chat-worker` has no alias `live`",
            "abc/prod/GET/` may call `chat-api`, past the alias",
            "`arn:aws:elasticloadbalancing:tg` may call `chat-api:live`",
            "`events.amazonaws.com` may call `chat-api`, past the alias",
            "Could not be read: the policy of chat-worker.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            !text.contains("abc/test") && !text.contains("No alarm guards"),
            "{text}"
        );
        let without = Draft {
            alarms: Vec::new(),
            ..draft()
        };
        assert!(
            without
                .explained("crossfade.json", &seen)
                .contains("No alarm guards")
        );
    }
}
