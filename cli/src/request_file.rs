//! The request that a command is given: which file, and what is in it.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crossfade::wire::request::Request;
use serde_json::Value;

use crate::{
    error::CliError,
    exit_code::Exit,
    input::{self, Format},
};

/// The files that a command without a file takes, in the current folder.
const NAMES: [&str; 3] = ["crossfade.json", "crossfade.yaml", "crossfade.yml"];

/// A request as it was typed, and as it was read.
#[derive(Debug)]
pub(crate) struct RequestFile {
    /// As it is handed on.
    pub(crate) input: Value,
    /// As it was read.
    pub(crate) request: Request,
}

impl RequestFile {
    /// Reads a request from a file, from standard input (`-`), or, without a path, from the file in the current
    /// folder that has one of the usual names.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, CliError> {
        let usual;
        let path = if let Some(path) = path {
            path
        } else {
            let names = NAMES.iter().copied();
            usual = choose(names.filter(|name| Path::new(name).exists()))?;
            &usual
        };
        let name = path.display().to_string();
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            let read = io::stdin().read_to_end(&mut bytes);
            read.map_err(|error| cannot(&name, &error.to_string()))?;
            return Self::parse("standard input", &bytes, None);
        }
        let bytes = fs::read(path).map_err(|error| cannot(&name, &error.to_string()))?;
        Self::parse(&name, &bytes, Format::of(path))
    }

    fn parse(name: &str, bytes: &[u8], format: Option<Format>) -> Result<Self, CliError> {
        let (input, format) = input::value(bytes, format)
            .map_err(|what| CliError::new(Exit::Usage, format!("{name} {what}")))?;
        let request = Request::parse(&input).map_err(|problems| {
            let invalid = CliError::invalid(name, &problems);
            match input::unquoted(&problems).filter(|_| format == Format::Yaml) {
                Some(advice) => invalid.next(advice),
                None => invalid,
            }
        })?;
        Ok(Self { input, request })
    }
}

fn cannot(name: &str, what: &str) -> CliError {
    CliError::new(Exit::Usage, format!("{name}: {what}"))
}

/// Chooses the only one of the usual files that is there.
fn choose<'a>(there: impl Iterator<Item = &'a str>) -> Result<PathBuf, CliError> {
    let there: Vec<_> = there.collect();
    match there.as_slice() {
        [one] => Ok(PathBuf::from(one)),
        [] => Err(CliError::new(
            Exit::Usage,
            format!(
                "no request is named, and this folder has none of {}",
                NAMES.join(", ")
            ),
        )
        .next("name the request's file, `-` for standard input, or write one")),
        several => Err(CliError::new(
            Exit::Usage,
            format!(
                "no request is named, and this folder has {} of the usual ones: {}",
                several.len(),
                several.join(", ")
            ),
        )
        .next("name one of them, or remove what is not used")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_every_problem_by_path() {
        let wrong = json!({"application": "chat", "functions": [{"functionName": "a b"}],
            "strategy": {"type": "canary", "steps": [{"weight": 10, "bakeSeconds": -1}]}});
        let parse = |text: &str, format| RequestFile::parse("request", text.as_bytes(), format);
        let trouble = parse(&wrong.to_string(), None).unwrap_err();
        assert_eq!(trouble.exit, Exit::Usage);
        for path in ["functions[0].functionName", "strategy.steps[0].bakeSeconds"] {
            assert!(trouble.what.contains(path), "{}", trouble.what);
        }
        let yaml = "application: chat\nfunctions:\n  - functionName: a b\nstrategy:\n  type: canary\n  \
                    steps:\n    - weight: 10\n      bakeSeconds: -1\n";
        let same = parse(yaml, None).unwrap_err();
        assert_eq!(
            same, trouble,
            "YAML has the same problems at the same paths"
        );
        let trouble = parse("{", None).unwrap_err();
        assert!(trouble.what.starts_with("request is not JSON"));
    }

    #[test]
    fn advises_quotes_in_yaml_alone() {
        let yaml = "application: chat\nstrategy: AllAtOnce\nfunctions:\n  \
                    - {functionName: chat-api, alias: live, code: {version: 17}}\n";
        let trouble = RequestFile::parse("r.yaml", yaml.as_bytes(), None).unwrap_err();
        assert!(
            trouble.what.contains("functions[0].code.version"),
            "{}",
            trouble.what
        );
        assert!(trouble.next.is_some_and(|next| next.contains("\"17\"")));
        let json = json!({"application": "chat", "strategy": "AllAtOnce",
            "functions": [{"functionName": "chat-api", "alias": "live", "code": {"version": 17}}]});
        let json = json.to_string();
        let trouble = RequestFile::parse("r.json", json.as_bytes(), None).unwrap_err();
        assert_eq!(trouble.next, None);
    }

    #[test]
    fn takes_the_only_usual_file() {
        let choose = |names: &[&'static str]| choose(names.iter().copied());
        assert_eq!(choose(&["crossfade.yml"]), Ok("crossfade.yml".into()));
        let none = choose(&[]).unwrap_err();
        assert!(
            none.what.contains("crossfade.json, crossfade.yaml"),
            "{}",
            none.what
        );
        let two = choose(&["crossfade.json", "crossfade.yaml"]).unwrap_err();
        assert!(two.what.contains("2 of the usual ones"), "{}", two.what);
    }
}
