//! The seeds of the fuzz targets, and what they have found: read by the same functions.

use std::{fs, path::PathBuf};

use crossfade_hostile::READERS;

/// Each file of a target's, from `seeds` or `found`.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let fuzz = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let folders = ["seeds", "found"].map(|kind| fuzz.join(kind).join(target));
    let mut files: Vec<_> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn seeds_and_what_was_found() {
    for (target, read) in READERS {
        let inputs = inputs(target);
        assert!(inputs.len() >= 3, "{target} has {} inputs", inputs.len());
        for (path, bytes) in inputs {
            // A panic says which.
            println!("{}", path.display());
            read(&bytes);
            // Each beginning of it, and each with a byte changed: a little of what the fuzzer does.
            for end in (0..bytes.len()).step_by(bytes.len().div_ceil(40).max(1)) {
                read(&bytes[..end]);
                for other in [b'<', b'"', 0, 255] {
                    let mut changed = bytes.clone();
                    changed[end] = other;
                    read(&changed);
                }
            }
        }
    }
}
