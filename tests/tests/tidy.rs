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
