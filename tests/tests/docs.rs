//! The documents say what is so. `make docs` writes what is made from something else.

mod prose;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use crossfade::{
    domain::{stage_wiring::LATEST_ALIAS, status::DeploymentStatus},
    error::{self, Error},
    wire::{
        events::{Event, Home},
        outcome::Outcome,
        request::Request,
    },
};
use crossfade_tests::{paths, yaml};
use prose::private_words;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use strum::VariantNames;

const EXAMPLES: [&str; 3] = [
    "events/canary.json",
    "events/blue-green.json",
    "events/prod.json",
];

/// The book's page with the examples and every field, which `make docs` writes.
const REQUEST: &str = "docs/request.md";

/// The page with the steps of the first release.
const FIRST: &str = "docs/getting-started.md";

/// Returns the paths of all documents of the repository.
fn documents() -> Vec<String> {
    let names = texts().into_keys().filter(|name| is_of(name, &["md"]));
    let documents: Vec<_> = names.collect();
    assert!(documents.len() > 40, "{documents:?}");
    documents
}

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
fn documents_every_request_field() {
    let is = read(REQUEST);
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
        fs::write(file(REQUEST), ought).expect("it can be written");
        return;
    }
    assert!(
        is == ought,
        "{REQUEST} is not current; `make docs` writes it"
    );
}

#[test]
fn documents_every_state() {
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

/// Returns the targets of a document's links and pictures, those in code left out.
fn links(text: &str) -> Vec<&str> {
    let mut found = vec![];
    for line in prose(text) {
        // What stands in backquotes is code; a link's own text may be.
        let parts = line.split("](").skip(1);
        found.extend(parts.filter_map(|part| part.split(')').next()));
        for attribute in ["src=\"", "srcset=\"", "href=\""] {
            let parts = line.split(attribute).skip(1);
            found.extend(parts.filter_map(|part| part.split('"').next()));
        }
    }
    found
}

/// Returns the lines of a document that are in no block of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Resolves a relative link of a document to a path of the repository.
fn resolved(document: &str, path: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => assert!(parts.pop().is_some(), "{document}: {path} is outside"),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns what is wrong with a link: nothing where the file is there, and the heading in it.
fn broken(document: &str, link: &str) -> Option<String> {
    if link.starts_with("http://") || link.starts_with("https://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let path = match path {
        "" => document.to_owned(),
        path => resolved(document, path),
    };
    if !file(&path).exists() {
        return Some(format!("{document}: {link}: there is no {path}"));
    }
    if heading.is_empty() {
        return None;
    }
    let text = read(&path);
    let found = headings(&text).map(anchor).any(|one| one == heading);
    (!found).then(|| format!("{document}: {link}: {path} has no such heading"))
}

#[test]
fn resolves_every_link() {
    let (mut seen, mut wrong) = (0, vec![]);
    for document in documents() {
        let text = read(&document);
        for link in links(&text) {
            seen += 1;
            wrong.extend(broken(&document, link));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen > 200, "{seen}");
}

#[test]
fn finds_broken_links() {
    let text = "[a](cli.md#nothing) `x`\n![b](gone.png)\n```text\n[c](code.html)\n```\n<img src=\"no.png\">";
    assert_eq!(links(text), ["cli.md#nothing", "gone.png", "no.png"]);
    let is_broken = |link| broken("docs/README.md", link).is_some();
    for link in links(text) {
        assert!(is_broken(link), "{link}");
    }
    for link in [
        "cli.md#exit-codes",
        "../README.md",
        "https://example.com/x#y",
    ] {
        assert!(!is_broken(link), "{link}");
    }
}

/// Returns the paths of this repository that a document names in its prose, as code.
fn paths_named(text: &str) -> Vec<&str> {
    const FOLDERS: [&str; 9] = [
        "shared/",
        "functions/",
        "cli/",
        "tests/",
        "statemachine/",
        "docs/",
        "events/",
        "integrations/",
        ".ci/",
    ];
    let spans = prose(text).flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_path = |span: &&str| {
        FOLDERS.iter().any(|folder| span.starts_with(folder))
            && !span.contains([' ', '*', '…', '<', '{'])
    };
    spans.filter(is_path).collect()
}

#[test]
fn names_only_existing_paths() {
    let (mut seen, mut absent) = (0, vec![]);
    let history = |name: &String| name != "CHANGELOG.md";
    for document in documents().into_iter().filter(history) {
        for path in paths_named(&read(&document)) {
            seen += 1;
            if !file(path).exists() {
                absent.push(format!("{document}: {path}"));
            }
        }
    }
    assert_eq!(absent, [""; 0]);
    assert!(seen > 15, "{seen}");
}

/// The table of contents lists every page of the book once, and nothing else.
#[test]
fn lists_every_page_in_the_summary() {
    let summary = read("docs/SUMMARY.md");
    let listed: Vec<_> = links(&summary)
        .into_iter()
        .map(|link| resolved("docs/SUMMARY.md", link))
        .collect();
    let set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "a page is listed twice");
    let pages: BTreeSet<_> = documents()
        .into_iter()
        .filter(|name| name.starts_with("docs/") && name != "docs/SUMMARY.md")
        .collect();
    assert_eq!(set, pages);
    // A page's entry is called as its heading is.
    for line in summary.lines().filter(|line| line.contains("](")) {
        let (title, link) = line.split_once("](").expect("it is a link");
        let title = title.trim_start_matches([' ', '-', '[']);
        let page = read(&resolved("docs/SUMMARY.md", link.trim_end_matches(')')));
        assert!(page.starts_with("# "), "{link} begins with its heading");
        let first = headings(&page).next().unwrap_or_default();
        assert!(
            title == "Introduction" || first.contains(title) || title.contains(first),
            "{title} is called {first}"
        );
    }
}

/// Each error has a page, whose path the outcome's `help` names, and each page is an error's.
#[test]
fn documents_every_error() {
    let mut errors: BTreeSet<String> = Error::VARIANTS
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    for machine in ["deployment", "retention"] {
        let definition = read(&format!("statemachine/{machine}.asl.json"));
        let definition: Value = serde_json::from_str(&definition).unwrap();
        let states = definition["States"].as_object().unwrap().values();
        let named = states.filter(|state| state["Type"] == "Fail");
        errors.extend(named.filter_map(|state| state["Error"].as_str().map(str::to_owned)));
    }
    let pages: BTreeSet<String> = documents()
        .iter()
        .filter_map(|name| name.strip_prefix("docs/errors/")?.strip_suffix(".md"))
        .filter(|name| *name != "README")
        .map(str::to_owned)
        .collect();
    assert_eq!(pages, errors);
    let overview = read("docs/errors/README.md");
    for error in &errors {
        let path = error::page(error).unwrap_or_else(|| panic!("{error} has no help"));
        let page = read(&path);
        assert!(page.starts_with(&format!("# {error}\n")), "{path}");
        for part in [
            "**What it means.**",
            "**What serves now.**",
            "**What to do.**",
            "**Example.**",
        ] {
            assert_eq!(page.matches(part).count(), 1, "{path}: {part}");
        }
        assert!(
            overview.contains(&format!("[{error}]({error}.md)")),
            "{error}"
        );
        let example = page
            .split("```json\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let example = example.unwrap_or_else(|| panic!("{path} has no example"));
        let cause: Value = serde_json::from_str(example).expect("an example is JSON");
        if cause.get("deploymentStatus").is_some() {
            let cause = Outcome::deserialize(cause).expect("an example is an outcome");
            let help = cause.help.expect("an outcome that failed names its page");
            let begins = cause.reason.starts_with(&format!("{error}: "));
            assert!(
                help == path || begins && file(&help).exists(),
                "{path}: {help}"
            );
        } else {
            assert!(cause["errorMessage"].is_string(), "{path}: {cause}");
        }
    }
    assert_eq!(error::page("States.Timeout"), None);
}

/// Returns the private words in a document, whose code is no prose.
fn words_of(text: &str) -> Vec<String> {
    private_words(&prose(text).collect::<Vec<_>>().join(" "))
}

#[test]
fn documents_use_plain_words() {
    let mut found = vec![];
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    let book = documents()
        .into_iter()
        .filter(|name| name.starts_with("docs/"));
    for document in pages.into_iter().chain(book) {
        let words = words_of(&read(&document));
        found.extend(words.into_iter().map(|word| format!("{document}: {word}")));
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn finds_private_words_in_prose_alone() {
    let found = words_of("What is Asked\nfor, `told` and\n```\nnobody\n```\nowed");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(words_of("The report is [told](#a).").len() == 1);
    assert_eq!(words_of("It asks whether to go on; bold."), [""; 0]);
}

/// README is a page and a half; what is longer is in the book.
#[test]
fn readme_is_short_and_has_the_steps_of_the_guide() {
    let readme = read("README.md");
    assert!(readme.len() <= 12_000, "{} bytes", readme.len());
    let steps = |text: &str| -> Vec<String> {
        let (_, after) = text
            .split_once("\n## The first release on AWS\n")
            .expect("it has this heading");
        let section = after.split("\n## ").next().unwrap_or_default();
        let blocks = section.split("```sh\n").skip(1);
        blocks
            .filter_map(|block| Some(block.split("```").next()?.to_owned()))
            .collect()
    };
    let guide = steps(&read(FIRST));
    assert!(guide.len() > 4, "{guide:?}");
    assert_eq!(
        steps(&readme),
        guide,
        "the end-to-end suite runs the guide's"
    );
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
fn documents_every_end_queue_and_alarm() {
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
fn names_only_existing_resources() {
    let template = yaml::read("template.yaml");
    let recipes = [
        "docs/recipes/chat-actions.yaml",
        "docs/recipes/slack-app/template.yaml",
    ];
    let named: BTreeSet<String> = std::iter::once(template.clone())
        .chain(recipes.map(yaml::read))
        .flat_map(|template| ["Parameters", "Outputs"].map(|section| template[section].clone()))
        .flat_map(|section| section.as_object().cloned().unwrap_or_default())
        .map(|(name, _)| name)
        .collect();
    let resources: BTreeSet<String> = resources(&template).into_keys().collect();
    let text = template.to_string();
    let mut seen = 0;
    for document in documents() {
        let content = read(&document);
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
        // These name npm packages of this repository, stacks beside Crossfade's, and runs of `make aws`.
        let foreign = ["tests/", "integrations/", "docs/integrations.md"]
            .iter()
            .any(|place| document.starts_with(place))
            || [
                "CONTRIBUTING.md",
                "docs/AWS-RUN.md",
                "docs/recipes/README.md",
            ]
            .contains(&document.as_str());
        for part in content.split("crossfade-").skip(1).filter(|_| !foreign) {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            let name = &part[..end.unwrap_or(part.len())];
            let is_file = ["demo-", "stack-", "linux-", "macos-", "windows-"]
                .iter()
                .any(|package| name.starts_with(package));
            if !name.is_empty() && !is_file && !LATEST_ALIAS.ends_with(name) {
                seen += 1;
                let inside = format!("${{AWS::StackName}}-{name}\"");
                assert!(text.contains(&inside), "{document}: crossfade-{name}");
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// `sam deploy --guided` asks for every parameter in the template's order, and about every function URL
/// without authentication: the guide's table has them all. The end-to-end suite runs that command.
#[test]
fn documents_every_parameter() {
    let guide = read(FIRST);
    let asked: Vec<_> = guide
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
    assert_eq!(asked, parameters, "the guide's table, and the template");
    let resources = &yaml::read("template.yaml")["Resources"];
    let open = resources.as_object().expect("it has some").iter();
    let open = open.filter(|(_, one)| one["Properties"]["FunctionUrlConfig"]["AuthType"] == "NONE");
    for (name, _) in open {
        let question =
            format!("| {name} Function Url has no authentication. Is this okay? | `y` |");
        assert!(guide.contains(&question), "{FIRST} has no {question}");
    }
    let (before, _) = guide
        .split_once("aws sns subscribe")
        .expect("the guide subscribes");
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
            if name.starts_with('.') || name == "target" || name == "node_modules" {
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
fn accepts_the_tick_of_the_runbook() {
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
        if (service, verb) in [("s3", "cp"), ("logs", "tail"), ("cloudformation", "package"), ("cloudformation", "deploy")]:
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
    let scripts = [
        "docs/recipes/release.sh",
        "docs/recipes/github-actions.yml",
        "integrations/terraform/release/release.sh",
    ];
    let documents = documents();
    let files: Vec<_> = documents
        .iter()
        .map(String::as_str)
        .chain(scripts)
        .map(file)
        .collect();
    let said = yaml::python(SCRIPT, &files);
    assert_eq!(said["wrong"], serde_json::json!([]));
    assert!(said["checked"].as_u64() > Some(35), "{said}");
}

/// Returns a list of the fields of the schema: a part for each kind of request, and in it a part for each field
/// that has fields of its own.
fn fields(schema: &Value) -> String {
    let mut list = Fields {
        definitions: schema["$defs"].as_object().expect("it has some"),
        text: String::new(),
    };
    let mut kinds = vec![];
    let mut rest = schema;
    while rest["then"].is_object() {
        kinds.push(&rest["then"]);
        rest = &rest["else"];
    }
    let titles = [
        "A release",
        "A rollback by hand",
        "Wiring an API Gateway stage, without a release",
        "Unwiring an API Gateway stage",
    ];
    assert_eq!(
        1 + kinds.len(),
        titles.len(),
        "each kind of request has a title"
    );
    for (title, kind) in titles.into_iter().zip([rest].into_iter().chain(kinds)) {
        list.line(0, &format!("### {title}\n"));
        list.request(kind);
    }
    list.text
}

struct Fields<'a> {
    definitions: &'a Map<String, Value>,
    text: String,
}

impl<'a> Fields<'a> {
    fn line(&mut self, depth: usize, line: &str) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Lists a request's plain fields, and then each of those that have fields of their own.
    fn request(&mut self, schema: &'a Value) {
        let (parts, plain): (Vec<_>, Vec<_>) = self
            .properties(schema)
            .into_iter()
            .partition(|(_, property, _)| self.has_fields(property));
        for (name, property, required) in plain {
            let line = self.described_field(name, property, required);
            self.line(0, &format!("- {line}"));
        }
        for (name, property, required) in parts {
            let line = self.described_field(name, property, required);
            let what = line.split_once(": ").map_or("", |(_, what)| what);
            let must = if required { " (required)" } else { "" };
            self.line(0, &format!("\n#### `{name}`{must}\n\n{what}\n"));
            self.below(name, property, 0);
        }
        self.text.push('\n');
    }

    /// Lists what is in a field: its own fields, those of each of its kinds, or those of its items.
    fn below(&mut self, path: &str, property: &'a Value, depth: usize) {
        self.all(&format!("{path}."), property, depth);
        if let Some(items) = self.resolved(property).get("items") {
            self.all(&format!("{path}[]."), items, depth);
        }
    }

    /// Lists every field below `prefix`, in the order of the schema, what is required first.
    fn all(&mut self, prefix: &str, schema: &'a Value, depth: usize) {
        let schema = self.resolved(schema);
        for one in ["anyOf", "oneOf"]
            .into_iter()
            .flat_map(|kind| schema[kind].as_array().into_iter().flatten())
        {
            let resolved = self.resolved(one);
            let path = prefix.trim_end_matches('.');
            if resolved["properties"].is_object() {
                let tag = resolved["properties"]["type"]["const"].as_str();
                let tag = tag.map(|tag| format!(" with `\"type\": \"{tag}\"`"));
                let what = described(resolved);
                let line = format!("- either `{path}`{}: {what}", tag.unwrap_or_default());
                self.line(depth, &line);
            }
            let deeper = usize::from(resolved["properties"].is_object());
            self.all(prefix, one, depth + deeper);
        }
        for (name, property, required) in self.properties(schema) {
            let path = format!("{prefix}{name}");
            let line = self.described_field(&path, property, required);
            self.line(depth, &format!("- {line}"));
            self.below(&path, property, depth + 1);
        }
    }

    /// Returns the fields of an object, what is required first, each with whether it is.
    fn properties(&self, schema: &'a Value) -> Vec<(&'a str, &'a Value, bool)> {
        let schema = self.resolved(schema);
        let required = |name: &str| {
            let names = schema["required"].as_array();
            names.is_some_and(|names| names.iter().any(|one| one == name))
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut all: Vec<_> = properties
            .filter(|(name, _)| *name != "type")
            .map(|(name, property)| (name.as_str(), property, required(name)))
            .collect();
        all.sort_by_key(|(_, _, required)| !required);
        all
    }

    /// Whether a field, one of its kinds or its items have fields.
    fn has_fields(&self, property: &'a Value) -> bool {
        let target = self.resolved(property);
        let kinds = ["anyOf", "oneOf"]
            .into_iter()
            .flat_map(|kind| target[kind].as_array().into_iter().flatten());
        target["properties"].is_object()
            || target
                .get("items")
                .is_some_and(|items| self.has_fields(items))
            || kinds.into_iter().any(|kind| self.has_fields(kind))
    }

    /// Returns a field's line: its path, whether it must be there, its default, and what it is.
    fn described_field(&self, path: &str, property: &'a Value, required: bool) -> String {
        let target = self.resolved(property);
        let mut what = described(property);
        if what.is_empty() {
            what = described(target);
        }
        if let Some(only) = property["const"].as_str() {
            what = format!("{what} Always `{only}`.");
        }
        what.push_str(&Self::words(target));
        let default = property.get("default").filter(|value| !value.is_object());
        let must = match (required, default) {
            (true, _) => " (required)".to_owned(),
            (false, Some(value)) => format!(" (default `{value}`)"),
            (false, None) => String::new(),
        };
        format!("`{path}`{must}: {what}")
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
