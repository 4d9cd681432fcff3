//! Where things are: the repository, what was built in it, and the tools.

use std::{env, path::PathBuf};

/// The repository's root: `CROSSFADE_REPOSITORY`, or where this was compiled.
#[must_use]
pub fn repository() -> PathBuf {
    if let Some(named) = env::var_os("CROSSFADE_REPOSITORY") {
        return named.into();
    }
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package is in the repository")
        .to_owned()
}

/// Where Cargo builds.
#[must_use]
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// What `sam build` made of the template, or what `CROSSFADE_TEMPLATE` names.
#[must_use]
pub fn built_template() -> PathBuf {
    env::var_os("CROSSFADE_TEMPLATE").map_or_else(
        || repository().join(".aws-sam/build/template.yaml"),
        PathBuf::from,
    )
}

/// The sample function's binary, from `cargo build --release -p target-function`, or what
/// `CROSSFADE_SAMPLE` names: one that runs on AWS.
#[must_use]
pub fn target_function() -> PathBuf {
    env::var_os("CROSSFADE_SAMPLE")
        .map_or_else(|| target().join("release/target-function"), PathBuf::from)
}

/// A program of the Python environment: `.venv`, or what `CROSSFADE_VENV` names.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    let venv =
        env::var_os("CROSSFADE_VENV").map_or_else(|| repository().join(".venv"), PathBuf::from);
    venv.join("bin").join(name)
}

/// SAM's command line: in the same environment, or what `CROSSFADE_SAM` names.
#[must_use]
pub fn sam() -> PathBuf {
    env::var_os("CROSSFADE_SAM").map_or_else(|| tool("sam"), PathBuf::from)
}
