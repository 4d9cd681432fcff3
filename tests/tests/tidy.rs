//! The workspace's own shape.

mod prose;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crossfade_tests::paths;
use prose::private_words;

/// The text of all Rust files in a folder and below it.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, text);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("it is text"));
        }
    }
}

/// A manifest's dependencies, those of its tests too.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut listed = false;
    let lines = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            listed = line.ends_with("dependencies]");
        }
        listed && line.starts_with(|c: char| c.is_ascii_lowercase())
    });
    lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .collect()
}

#[test]
fn uses_every_dependency() {
    let root = fs::read_to_string(paths::repository().join("Cargo.toml")).expect("it is there");
    let (_, members) = root.split_once("members = [").expect("it has members");
    let (members, _) = members.split_once(']').expect("the list ends");
    let mut folders = vec![];
    for member in members.split(',').map(|one| one.trim().trim_matches('"')) {
        let place = paths::repository().join(member.trim_end_matches("/*"));
        if member.ends_with("/*") {
            let inner = fs::read_dir(place).expect("it is a folder");
            folders.extend(inner.map(|entry| entry.expect("it can be read").path()));
        } else {
            folders.push(place);
        }
    }
    let (mut seen, mut unused) = (0, BTreeMap::<_, Vec<_>>::new());
    for folder in folders {
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else {
            continue;
        };
        let mut text = String::new();
        sources(&folder, &mut text);
        for name in dependencies(&manifest) {
            seen += 1;
            let word = name.replace('-', "_");
            let within = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !text.split(|c| !within(c)).any(|one| one == word) {
                let member = folder.strip_prefix(paths::repository());
                let member = member.expect("it is in it").to_path_buf();
                unused.entry(member).or_default().push(name.to_owned());
            }
        }
    }
    assert_eq!(unused, BTreeMap::new());
    assert!(seen > 100, "{seen}");
}

/// The text between the parentheses that follow each use of a macro.
fn arguments<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
    let ends = |rest: &str| {
        let (mut depth, mut quoted, mut escaped) = (1, false, false);
        rest.find(|c| {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            depth == 0
        })
    };
    let calls = text.split(call).skip(1);
    calls.filter_map(|rest| rest.get(..ends(rest)?)).collect()
}

#[test]
fn gives_every_log_line_an_event() {
    let mut text = String::new();
    for folder in ["shared/src", "functions"] {
        sources(&paths::repository().join(folder), &mut text);
    }
    let calls = ["info", "warn", "error"].map(|level| format!("tracing::{level}!("));
    let calls: Vec<_> = calls
        .iter()
        .flat_map(|call| arguments(&text, call))
        .collect();
    assert!(calls.len() > 30, "{} calls", calls.len());
    let mut events = vec![];
    for call in calls {
        let event = call.trim_start().strip_prefix("event = \"");
        let event = event.and_then(|rest| rest.split('"').next());
        let event = event.unwrap_or_else(|| panic!("no event: {call}"));
        assert!(
            event.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{event}"
        );
        events.push(event);
    }
    let runbook =
        fs::read_to_string(paths::repository().join("docs/RUNBOOK.md")).expect("it is there");
    let named: Vec<_> = runbook.split("$.event = \"").skip(1).collect();
    assert!(!named.is_empty());
    for filter in named {
        let event = filter.split('"').next().unwrap_or_default();
        assert!(events.contains(&event), "no log line has the event {event}");
    }
    assert_eq!(
        runbook.matches("--filter-pattern").count(),
        runbook.matches("$.event = ").count()
    );
}

/// The product's Rust files, each with its text up to its unit tests.
fn product() -> Vec<(String, String)> {
    fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                walk(&path, all);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                all.push(path);
            }
        }
    }
    let root = paths::repository();
    let mut all = vec![];
    for folder in ["shared/src", "functions", "cli/src"] {
        walk(&root.join(folder), &mut all);
    }
    // A file that its parent declares under `#[cfg(test)]` is a test.
    let of_tests = |path: &Path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = path.parent().expect("it is in a folder");
        let parents = [
            folder.with_extension("rs"),
            folder.join("mod.rs"),
            folder.join("lib.rs"),
        ];
        path.starts_with(root.join("shared/src/fake"))
            || folder.ends_with("tests")
            || parents.iter().any(|parent| {
                let text = fs::read_to_string(parent).unwrap_or_default();
                ["mod", "pub mod", "pub(crate) mod", "pub(super) mod"]
                    .iter()
                    .any(|module| text.contains(&format!("#[cfg(test)]\n{module} {name};")))
            })
    };
    all.sort();
    let all: Vec<_> = all
        .into_iter()
        .filter(|path| !of_tests(path))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("it is text");
            let of_product = text.split("#[cfg(test)]\nmod tests {").next();
            let name = path.strip_prefix(&root).expect("it is in it");
            (
                name.display().to_string(),
                of_product.unwrap_or_default().to_owned(),
            )
        })
        .collect();
    assert!(all.len() > 200, "{} files", all.len());
    all
}

/// Returns the comments and the string literals of Rust code. Lines of comments that follow each other are one;
/// placeholders in a literal are left out.
fn comments_and_literals(code: &str) -> (Vec<String>, Vec<String>) {
    let (mut comments, mut literals) = (Vec::<String>::new(), vec![]);
    let mut rest = code;
    let mut ended = "";
    while let Some(at) = rest.find(['/', '"', '\'']) {
        let (between, found) = rest.split_at(at);
        if let Some(comment) = found.strip_prefix("//") {
            let line = comment.find('\n').unwrap_or(comment.len());
            let (text, after) = comment.split_at(line);
            let text = text.trim_start_matches(['/', '!']).trim();
            match comments.last_mut() {
                Some(last) if ended == rest && between.trim().is_empty() && !text.is_empty() => {
                    last.push(' ');
                    last.push_str(text);
                }
                _ => comments.push(text.to_owned()),
            }
            (rest, ended) = (after, after);
        } else if let Some(literal) = found.strip_prefix('"') {
            let raw = between.ends_with('r') || between.ends_with("r#");
            let end = if raw {
                literal.find(if between.ends_with('#') { "\"#" } else { "\"" })
            } else {
                let mut escaped = false;
                literal.find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                })
            };
            let end = end.expect("a literal ends");
            let (text, after) = literal.split_at(end);
            let mut plain = String::new();
            for part in text.replace("{{", "").replace("}}", "").split('{') {
                plain.push_str(part.split_once('}').map_or(part, |(_, after)| after));
                plain.push(' ');
            }
            literals.push(plain);
            rest = &after[1..];
        } else if let Some(one) = found.strip_prefix('\'') {
            // A character, or a lifetime.
            let escaped = one.starts_with('\\');
            let first = one
                .chars()
                .nth(usize::from(escaped))
                .map_or(0, char::len_utf8);
            let after = usize::from(escaped) + first;
            rest = one
                .get(after..)
                .and_then(|it| it.strip_prefix('\''))
                .unwrap_or(one);
        } else {
            rest = &found[1..];
        }
    }
    (comments, literals)
}

#[test]
fn reads_comments_and_literals() {
    let code =
        "/// One\n/// two.\nfn a() { let c = '\"'; say(\"told {told} \\\" it\"); } // after\n//! x";
    let (comments, literals) = comments_and_literals(code);
    assert_eq!(comments, ["One two.", "after x"]);
    assert_eq!(literals, ["told   \\\" it "]);
}

#[test]
fn comments_and_messages_use_plain_words() {
    let mut found = vec![];
    for (file, text) in product() {
        let (comments, literals) = comments_and_literals(&text);
        // A literal of one word is a name; one with an update expression of DynamoDB is code.
        let messages = literals.into_iter().filter(|text| {
            text.trim().contains(' ') && !["SET ", "REMOVE "].iter().any(|word| text.contains(word))
        });
        for prose in comments.into_iter().chain(messages) {
            let words = private_words(&prose);
            found.extend(words.into_iter().map(|word| format!("{file}: {word}")));
        }
    }
    assert_eq!(found, [""; 0], "{} in all", found.len());
}

#[test]
fn no_file_is_long() {
    const LIMIT: usize = 500;
    let long: Vec<_> = product()
        .into_iter()
        .map(|(file, text)| (text.lines().count(), file))
        .filter(|(lines, _)| *lines > LIMIT)
        .collect();
    assert_eq!(long, []);
}
