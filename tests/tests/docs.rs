//! The documents say what is so. `make docs` writes what is made from something else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use crossfade::{
    domain::{release::DeploymentStatus, stage_wiring::LATEST_ALIAS},
    error::Error,
    wire::{
        events::{Event, Home},
        request::Request,
    },
};
use crossfade_tests::{paths, yaml};
use serde_json::{Map, Value};
use strum::VariantNames;

const EXAMPLES: [&str; 3] = [
    "events/canary.json",
    "events/blue-green.json",
    "events/prod.json",
];

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "statemachine/README.md",
    "docs/RUNBOOK.md",
    "docs/MIGRATING.md",
    "docs/recipes/README.md",
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

/// What a document points to is there: the file, and the heading in it.
#[test]
fn links_lead_somewhere() {
    for document in DOCUMENTS {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        for part in read(document).split("](").skip(1) {
            let link = part.split(')').next().unwrap_or_default();
            if link.starts_with("http") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() {
                file(document)
            } else {
                file(folder).join(path)
            };
            assert!(path.exists(), "{document}: {link}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&path).expect("what has headings is text");
                let anchors: Vec<_> = headings(&text).map(anchor).collect();
                assert!(
                    anchors.iter().any(|one| one == heading),
                    "{document}: {link}"
                );
            }
        }
    }
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter_map(move |line| {
        code ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        (!code && title.len() < line.len()).then(|| title.trim())
    })
}

/// What a heading is linked by, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .to_lowercase()
        .replace(|c| !kept(c), "")
        .replace(' ', "-")
}

/// Whoever looks up a word that a release ended with finds it.
#[test]
fn the_runbook_has_a_heading_for_each_end_each_queue_and_each_alarm() {
    let runbook = read("docs/RUNBOOK.md");
    let words: BTreeSet<&str> = headings(&runbook)
        .flat_map(|line| line.split(' '))
        .collect();
    let mut ends: BTreeSet<String> = Error::VARIANTS
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    for machine in ["deployment", "retention"] {
        let definition = read(&format!("statemachine/{machine}.asl.json"));
        let definition: Value = serde_json::from_str(&definition).unwrap();
        let states = definition["States"].as_object().unwrap();
        let before = ends.len();
        for (name, state) in states.iter().filter(|(_, state)| state["Type"] == "Fail") {
            ends.insert(name.clone());
            ends.extend(state["Error"].as_str().map(str::to_owned));
        }
        assert!(ends.len() > before, "{machine} never fails");
    }
    ends.extend(
        DeploymentStatus::VARIANTS
            .iter()
            .map(|&name| name.to_owned()),
    );
    let template = yaml::read("template.yaml");
    let watched = resources(&template)
        .into_iter()
        .filter(|(_, kind)| ["AWS::SQS::Queue", "AWS::CloudWatch::Alarm"].contains(&kind.as_str()))
        .map(|(name, _)| name);
    let before = ends.len();
    ends.extend(watched);
    assert!(ends.len() >= before + 6, "{ends:?}");
    // The statuses of an execution that ran no Catch.
    let rules = &template["Resources"]["RollbackFunction"]["Properties"]["Events"];
    let statuses = &rules["ExecutionEnded"]["Properties"]["Pattern"]["detail"]["status"];
    let statuses = statuses.as_array().expect("they are listed");
    ends.extend(
        statuses
            .iter()
            .filter(|&status| status != "FAILED")
            .map(|status| status.as_str().unwrap().to_owned()),
    );
    for end in ends {
        assert!(words.contains(end.as_str()), "no heading for {end}");
    }
}

/// Parameters, outputs, resources and functions of the stack that a document names exist.
#[test]
fn what_documents_name_of_the_stack_is_in_the_template() {
    let template = yaml::read("template.yaml");
    let keys = |section: &str| -> BTreeSet<String> {
        let section = template[section].as_object().expect("it has some");
        section.keys().cloned().collect()
    };
    let named = &keys("Parameters") | &keys("Outputs");
    let resources: BTreeSet<String> = resources(&template).into_keys().collect();
    let text = template.to_string();
    let mut seen = 0;
    for document in DOCUMENTS {
        let content = read(document);
        for word in content.split('`').filter(|word| is_name(word)) {
            if ["Prefix", "Bucket", "Arn", "Arns", "TableName"]
                .iter()
                .any(|end| word.ends_with(end))
            {
                seen += 1;
                assert!(named.contains(word), "{document}: {word}");
            }
        }
        for (before, known) in [
            ("| Parameter ", &named),
            ("(output ", &named),
            ("(resource ", &resources),
        ] {
            for part in content.split(before).skip(1) {
                let name = part.trim_start_matches('"');
                let end = name.find(|c: char| !c.is_alphanumeric());
                let name = &name[..end.unwrap_or(name.len())];
                if !name.is_empty() {
                    seen += 1;
                    assert!(known.contains(name), "{document}: {before}{name}");
                }
            }
        }
        for part in content.split("crossfade-").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            let name = &part[..end.unwrap_or(part.len())];
            if !name.is_empty() && !LATEST_ALIAS.ends_with(name) {
                seen += 1;
                let inside = format!("${{AWS::StackName}}-{name}\"");
                assert!(text.contains(&inside), "{document}: crossfade-{name}");
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// `sam deploy --guided` asks for every parameter in the template's order, and about every function URL
/// without authentication: README's table has them all. The end-to-end suite runs that command.
#[test]
fn readme_answers_each_question_about_the_stack() {
    let readme = read("README.md");
    let asked: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| Parameter "))
        .filter_map(|row| row.split(" | ").next())
        .collect();
    // Maps here are in the order of their keys, files are in the one that SAM keeps.
    let template = read("template.yaml");
    let (_, parameters) = template.split_once("\nParameters:\n").expect("it has some");
    let parameters: Vec<_> = parameters
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| is_name(name))
        .collect();
    assert_eq!(asked, parameters, "README's table, and the template");
    let resources = &yaml::read("template.yaml")["Resources"];
    let open = resources.as_object().expect("it has some").iter();
    let open = open.filter(|(_, one)| one["Properties"]["FunctionUrlConfig"]["AuthType"] == "NONE");
    for (name, _) in open {
        let question =
            format!("| {name} Function Url has no authentication. Is this okay? | `y` |");
        assert!(readme.contains(&question), "README has no {question}");
    }
    let (before, _) = readme
        .split_once("aws sns subscribe")
        .expect("README subscribes");
    let (_, step) = before.rsplit_once("\n**").expect("it is in a step");
    assert!(
        step.contains("confirmed"),
        "SNS sends nothing before: {step}"
    );
}

/// The repository's texts, by their paths.
fn texts() -> BTreeMap<String, String> {
    let (mut folders, mut texts) = (vec![paths::repository()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(paths::repository()).expect("it is in it");
                texts.insert(name.to_string_lossy().into_owned(), text);
            }
        }
    }
    texts
}

/// Whether a path's file is of one of these kinds.
fn is_of(path: &str, kinds: &[&str]) -> bool {
    let kind = std::path::Path::new(path).extension();
    kind.is_some_and(|kind| kinds.iter().any(|one| kind == *one))
}

/// The words of a text, as far as they can be a path or a name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let within = |c: char| c.is_ascii_alphanumeric() || "_-./*".contains(c);
    text.split(move |c| !within(c))
}

/// Whoever has the repository can read what its files refer to: documents by their file names, and those
/// that are named by hyphenated capitals and a section alone.
#[test]
fn cited_documents_exist() {
    let texts = texts();
    let documents: Vec<_> = texts.keys().filter(|name| is_of(name, &["md"])).collect();
    // What `make aws` writes into target.
    let made = |name: &str| name.ends_with("aws.md");
    let known =
        |name: &str| made(name) || documents.iter().any(|document| document.ends_with(name));
    let is_section = |word: &str| {
        let number = word.trim_start_matches(|c: char| c.is_ascii_uppercase());
        number.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut absent = vec![];
    for (path, text) in &texts {
        let mut last = "";
        for word in words(text).map(|word| word.trim_end_matches('.')) {
            let name = word.trim_start_matches("./").trim_start_matches("../");
            let capitals = |c: char| c.is_ascii_uppercase() || c == '-';
            if is_of(name, &["md"]) && name.starts_with(char::is_alphabetic) && !known(name) {
                absent.push(format!("{path}: {name}"));
            } else if is_section(word)
                && last.contains('-')
                && last.len() > 6
                && last.chars().all(capitals)
                && last.starts_with(|c: char| c.is_ascii_uppercase())
                && !known(&format!("{last}.md"))
            {
                absent.push(format!("{path}: {last} {word}"));
            }
            last = word;
        }
    }
    assert_eq!(absent, [""; 0]);
}

/// What GUARANTEES names to show a promise by exists: tests, by their names or how they begin, files, and
/// commands.
#[test]
fn guarantees_name_what_exists() {
    let texts = texts();
    let code: String = texts
        .iter()
        .filter(|(path, _)| is_of(path, &["rs", "py"]))
        .map(|(_, text)| text.as_str())
        .collect();
    let names: BTreeSet<&str> = code
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let guarantees = read("docs/GUARANTEES.md");
    let (mut seen, mut absent) = (0, vec![]);
    for (nth, quoted) in guarantees.split('`').enumerate() {
        let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_*".contains(c);
        let is_test = quoted.contains('_') && quoted.chars().all(snake);
        let exists = if nth % 2 == 0 {
            continue;
        } else if let Some(target) = quoted.strip_prefix("make ") {
            let target = target.split([' ', ':']).next().unwrap_or_default();
            texts["Makefile"].contains(&format!("\n{target}: "))
        } else if is_test {
            let mut parts = quoted.split('*');
            let begin = parts.next().unwrap_or_default();
            let rest: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
            names.iter().any(|name| {
                let whole = *name == quoted;
                let like = quoted.contains('*') && name.len() > begin.len();
                whole
                    || (like
                        && name.starts_with(begin)
                        && rest.iter().all(|part| name.contains(part)))
            })
        } else if quoted.contains('/') && quoted.contains(".rs") {
            texts.contains_key(quoted)
        } else {
            continue;
        };
        seen += 1;
        if !exists {
            absent.push(quoted);
        }
    }
    assert_eq!(absent, [""; 0]);
    assert!(seen > 40, "{seen}");
}

/// The stack's resources with their types.
fn resources(template: &Value) -> BTreeMap<String, String> {
    let all = template["Resources"].as_object().expect("it has some");
    all.iter()
        .map(|(name, resource)| {
            let kind = resource["Type"].as_str().expect("it has one");
            (name.clone(), kind.to_owned())
        })
        .collect()
}

fn is_name(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphanumeric)
}

/// The schedule's event that the runbook has for a schedule that does not come.
#[test]
fn the_runbook_s_tick_is_one() {
    let runbook = read("docs/RUNBOOK.md");
    let (_, payload) = runbook
        .split_once("--payload \"")
        .expect("the runbook invokes the sweep");
    let (payload, _) = payload.split_once("}\" ").expect("it ends");
    let payload = replaced(payload, "\\\"time\\\":\\\"", "\\\"", "2026-11-21T03:00:00Z");
    let payload = payload
        .replace("$ACCOUNT", "123456789012")
        .replace("$REGION", "eu-west-1");
    let payload = format!("{}}}", payload.replace("\\\"", "\""));
    let event = serde_json::from_str(&payload).expect("it is JSON");
    let executions = "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment";
    let home = Home::of_executions(executions).expect("it is one");
    let event = Event::parse(event, &home).expect("it is an event");
    assert!(matches!(event, Event::Tick { .. }), "{event:?}");
}

/// Every command of AWS's command line, in documents and recipes: the operation exists and takes these
/// options, none that it needs is left out, and what it queries is a query.
#[test]
fn commands_are_commands() {
    const SCRIPT: &str = r#"
import json, re, sys
import jmespath
from botocore import xform_name
from botocore.session import get_session
session, wrong, checked = get_session(), [], 0
# Members whose names are options of the command line's own have others there.
renamed = {"notification-endpoint": "endpoint", "task-output": "output"}
for path in sys.argv[1:]:
    text = open(path).read().replace("\\\n", " ")
    for service, verb, rest in re.findall(r"\baws ([a-z0-9]+) ([a-z0-9-]+)([^\n`]*)", text):
        if (service, verb) in [("s3", "cp"), ("logs", "tail")]:
            continue  # These are the command line's own.
        model = session.get_service_model({"deploy": "codedeploy"}.get(service, service))
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        if verb not in operations:
            wrong.append(f"{path}: {service} {verb}")
            continue
        shape = model.operation_model(operations[verb]).input_shape
        known = {xform_name(name, "-") for name in shape.members}
        needed = {xform_name(name, "-") for name in shape.required_members}
        given = {renamed.get(name, name) for name in re.findall(r" --([a-z0-9-]+)", rest)}
        stray = given - known - {"query", "output", "cli-binary-format"}
        missing = needed - given if given else set()
        if stray or missing:
            wrong.append(f"{path}: {service} {verb}: no such {stray}, missing {missing}")
        for groups in re.findall(r"""--query (?:'([^']*)'|"([^"]*)"|([\w.]+))""", rest):
            jmespath.compile("".join(groups))
        checked += 1
print(json.dumps({"wrong": wrong, "checked": checked}))
"#;
    let scripts = ["docs/recipes/release.sh", "docs/recipes/github-actions.yml"];
    let files: Vec<_> = DOCUMENTS
        .iter()
        .chain(&scripts)
        .map(|name| file(name))
        .collect();
    let said = yaml::python(SCRIPT, &files);
    assert_eq!(said["wrong"], serde_json::json!([]));
    assert!(said["checked"].as_u64() > Some(35), "{said}");
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
