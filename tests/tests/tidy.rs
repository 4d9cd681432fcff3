//! The workspace's own shape.

use std::{collections::BTreeMap, fs, path::Path};

use crossfade_tests::paths;

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
fn every_dependency_is_used() {
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
fn every_log_line_has_an_event_and_documents_filter_by_it() {
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
