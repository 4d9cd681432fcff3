//! YAML files of the repository as JSON.

use std::process::Command;

use serde_json::Value;

use crate::paths;

/// A file of the repository: read with SAM's own reader, which knows CloudFormation's tags.
///
/// # Panics
/// When it is not there, or is not YAML.
#[must_use]
pub fn read(name: &str) -> Value {
    python(
        "import json, sys; from samtranslator.yaml_helper import yaml_parse; \
         print(json.dumps(yaml_parse(open(sys.argv[1]).read()), default=str))",
        &[paths::repository().join(name)],
    )
}

/// What a script of the environment's Python prints, which is JSON.
///
/// # Panics
/// When it fails; with its own words.
#[must_use]
pub fn python(script: &str, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Value {
    let done = Command::new(paths::tool("python"))
        .args(["-c", script])
        .args(arguments)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    serde_json::from_slice(&done.stdout).expect("it prints JSON")
}
