//! The documents say what is so. `make docs` writes what is made from something else.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crossfade::wire::request::Request;
use crossfade_tests::paths;
use serde_json::{Map, Value};

const EXAMPLES: [&str; 3] = [
    "events/canary.json",
    "events/blue-green.json",
    "events/prod.json",
];

fn file(name: &str) -> PathBuf {
    paths::repository().join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `text` with what stands between `begin` and the next `end` replaced.
fn replaced(text: &str, begin: &str, end: &str, by: &str) -> String {
    let from = text.find(begin).unwrap_or_else(|| panic!("no {begin:?}")) + begin.len();
    let to = from
        + text[from..]
            .find(end)
            .unwrap_or_else(|| panic!("no {end:?}"));
    format!("{}{by}{}", &text[..from], &text[to..])
}

#[test]
fn the_readme_has_every_field_and_the_examples_as_they_are() {
    let is = read("README.md");
    let mut ought = replaced(
        &is,
        "<!-- fields -->\n",
        "<!-- /fields -->",
        &fields(&Request::schema()),
    );
    for example in EXAMPLES {
        let begin = format!("<!-- {example} -->\n```json\n");
        ought = replaced(&ought, &begin, "```\n", &read(example));
    }
    if std::env::var_os("CROSSFADE_WRITE_DOCS").is_some() {
        fs::write(file("README.md"), ought).expect("README.md can be written");
        return;
    }
    assert!(
        is == ought,
        "README.md is not current; `make docs` writes it"
    );
}

#[test]
fn every_state_has_its_row() {
    let mut all = Map::new();
    for machine in ["deployment", "retention"] {
        let text = read(&format!("statemachine/{machine}.asl.json"));
        let mut definition: Value = serde_json::from_str(&text).unwrap();
        all.append(definition["States"].as_object_mut().unwrap());
    }
    let states: BTreeSet<_> = all.keys().cloned().collect();
    let text = read("statemachine/README.md");
    let rows: Vec<String> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .filter(|name| name.starts_with(char::is_uppercase))
        .collect();
    let set: BTreeSet<_> = rows.iter().cloned().collect();
    assert_eq!(set, states);
    assert_eq!(rows.len(), states.len(), "a state has two rows");
    for name in &states {
        let comment = all[name]["Comment"].as_str();
        assert!(
            comment.is_some_and(|text| text.len() > 10),
            "{name} has no Comment"
        );
    }
}

/// A file that a document points to is there.
#[test]
fn links_lead_somewhere() {
    for (document, folder) in [
        ("README.md", ""),
        ("CHANGELOG.md", ""),
        ("statemachine/README.md", "statemachine/"),
    ] {
        for part in read(document).split("](").skip(1) {
            let link = part.split([')', '#']).next().unwrap_or_default();
            if link.is_empty() || link.starts_with("http") {
                continue;
            }
            let path = file(&format!("{folder}{link}"));
            assert!(path.exists(), "{document}: {link}");
        }
    }
}

/// A row for each field of the schema.
fn fields(schema: &Value) -> String {
    let mut rows = Rows {
        definitions: schema["$defs"].as_object().expect("it has some"),
        text: "| Field | | What it is |\n|---|---|---|\n".to_owned(),
    };
    let mut kinds = vec![];
    let mut rest = schema;
    while rest["then"].is_object() {
        kinds.push(&rest["then"]);
        rest = &rest["else"];
    }
    rows.all("", rest);
    let titles = [
        "A rollback by hand:",
        "A front door to wire, without a release:",
        "A front door to put back to how it was:",
    ];
    assert_eq!(
        kinds.len(),
        titles.len(),
        "each kind of request has a title"
    );
    for (title, kind) in titles.into_iter().zip(kinds) {
        for part in ["\n", title, "\n\n| Field | | What it is |\n|---|---|---|\n"] {
            rows.text.push_str(part);
        }
        rows.all("", kind);
    }
    rows.text
}

struct Rows<'a> {
    definitions: &'a Map<String, Value>,
    text: String,
}

impl<'a> Rows<'a> {
    /// Every field below `prefix`, in the order of the schema, what is required first.
    fn all(&mut self, prefix: &str, schema: &'a Value) {
        let schema = self.resolved(schema);
        for kind in ["anyOf", "oneOf"] {
            for one in schema[kind].as_array().into_iter().flatten() {
                let resolved = self.resolved(one);
                let tag = resolved["properties"]["type"]["const"].as_str();
                // One of several kinds: its fields are those that follow.
                if resolved["properties"].is_object() {
                    let path = prefix.trim_end_matches('.');
                    let kind = tag.map_or_else(
                        || format!("either `{path}`"),
                        |tag| format!("either `{path}` with `\"type\": \"{tag}\"`"),
                    );
                    self.row(&kind, "", &described(resolved), false);
                }
                self.all(prefix, one);
            }
        }
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        let required = |name: &String| {
            schema["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|one| one == name))
        };
        let (first, then): (Vec<_>, Vec<_>) =
            properties.iter().partition(|(name, _)| required(name));
        for (name, property) in first.into_iter().chain(then) {
            if name == "type" {
                continue;
            }
            let path = format!("{prefix}{name}");
            let target = self.resolved(property);
            let mut what = described(property);
            if what.is_empty() {
                what = described(target);
            }
            if let Some(only) = property["const"].as_str() {
                what.push_str(" Always `");
                what.push_str(only);
                what.push_str("`.");
            }
            what.push_str(&Self::words(target));
            let default = property.get("default").filter(|value| !value.is_object());
            let must = match (required(name), default) {
                (true, _) => "required".to_owned(),
                (false, Some(value)) => format!("`{value}`"),
                (false, None) => String::new(),
            };
            self.row(&path, &must, &what, true);
            self.all(&format!("{path}."), property);
            if let Some(items) = target.get("items") {
                self.all(&format!("{path}[]."), items);
            }
        }
    }

    fn row(&mut self, field: &str, must: &str, what: &str, code: bool) {
        let field = if code {
            format!("`{field}`")
        } else {
            field.to_owned()
        };
        let what = what.replace('|', "\\|");
        for part in ["| ", &field, " | ", must, " | ", &what, " |\n"] {
            self.text.push_str(part);
        }
    }

    /// The words that a field may be, each with its meaning; names are told elsewhere.
    fn words(schema: &Value) -> String {
        let words: Vec<_> = schema["oneOf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some((one["const"].as_str()?, described(one))))
            .map(|(word, meaning)| format!("`{word}`: {meaning}"))
            .collect();
        if words.is_empty() {
            String::new()
        } else {
            format!(" {}", words.join(" "))
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let schema = match schema["anyOf"].as_array() {
            // What may be null is what it is otherwise.
            Some(kinds) if kinds.iter().any(|kind| kind["type"] == "null") => &kinds[0],
            _ => schema,
        };
        match schema["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next())
        {
            Some(name) => self.resolved(&self.definitions[name]),
            None => schema,
        }
    }
}

fn described(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .replace('\n', " ")
}
