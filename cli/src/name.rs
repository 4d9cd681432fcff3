//! What Step Functions takes as an execution's name, and a name that it takes in place of one that it does not.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{error::CliError, exit_code::Exit};

/// The longest name of an execution, characters (<https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>).
pub(crate) const MAX_NAME: usize = 80;

/// Characters that no name has, beside white space and what is not shown.
const FORBIDDEN: &str = "<>{}[]?*\"#%\\^|~`$&,;:/";

/// Whether no name has this character. What UTF-16 writes as surrogates counts: Step Functions refuses them.
fn is_forbidden(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || FORBIDDEN.contains(c)
        || matches!(c, '\u{fffe}' | '\u{ffff}')
        || u32::from(c) > 0xffff
}

/// Whether an execution can have this name.
pub(crate) fn is_valid(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_NAME).contains(&length) && !name.contains(is_forbidden)
}

/// Checks the name given to a release.
///
/// # Errors
/// What is wrong with it, what is right, and a name that will do.
pub(crate) fn check(name: &str) -> Result<(), CliError> {
    if is_valid(name) {
        return Ok(());
    }
    let length = name.chars().count();
    let forbidden: BTreeSet<char> = name.chars().filter(|c| is_forbidden(*c)).collect();
    let mut wrong = Vec::new();
    if length == 0 {
        wrong.push("is empty".to_owned());
    }
    if length > MAX_NAME {
        wrong.push(format!("has {length} characters"));
    }
    if !forbidden.is_empty() {
        let shown: Vec<_> = forbidden.iter().map(|c| format!("{c:?}")).collect();
        wrong.push(format!("contains {}", shown.join(" ")));
    }
    Err(CliError::new(
        Exit::Usage,
        format!(
            "--name {name:?} {}; an execution's name has 1 to {MAX_NAME} characters, without white space, \
             control characters, emoji, or any of {FORBIDDEN}",
            wrong.join(" and ")
        ),
    )
    .next(format!("--name {}", valid(name))))
}

/// A valid name that is as like `name` as it can be. Two that are too long and differ stay different.
pub(crate) fn valid(name: &str) -> String {
    let parts = name.split(|c| is_forbidden(c) || c == '-');
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    let joined = if parts.is_empty() {
        "release".to_owned()
    } else {
        parts.join("-")
    };
    if joined.chars().count() <= MAX_NAME {
        return joined;
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    ending_with(&joined, &format!("-{:08x}", hasher.finish() & 0xffff_ffff))
}

/// As much of `name` as leaves room for `suffix`, and that.
pub(crate) fn ending_with(name: &str, suffix: &str) -> String {
    let room = MAX_NAME.saturating_sub(suffix.chars().count());
    let name: String = name.chars().take(room).collect();
    format!("{name}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_step_functions_refuses_and_proposes_a_name() {
        let long = "b".repeat(90);
        for (name, says, proposed) in [
            ("feature/login", "contains '/'", "feature-login"),
            ("build 42", "contains ' '", "build-42"),
            ("pr#7", "contains '#'", "pr-7"),
            ("a:b:c", "contains ':'", "a-b-c"),
            ("$(date)", "contains '$'", "(date)"),
            ("tab\there\u{7f}", "'\\t' '\\u{7f}'", "tab-here"),
            ("no\u{a0}break", "contains '\\u{a0}'", "no-break"),
            ("ship it 🚀", "'🚀'", "ship-it"),
            ("", "is empty", "release"),
            ("///", "contains '/'", "release"),
        ] {
            let trouble = check(name).unwrap_err();
            assert_eq!(trouble.exit, Exit::Usage);
            assert!(trouble.what.contains(says), "{}", trouble.what);
            assert!(
                trouble.what.contains("1 to 80 characters"),
                "{}",
                trouble.what
            );
            assert_eq!(trouble.next, Some(format!("--name {proposed}")));
        }
        let trouble = check(&long).unwrap_err();
        assert!(
            trouble.what.contains("has 90 characters"),
            "{}",
            trouble.what
        );
        for character in FORBIDDEN.chars() {
            assert!(!is_valid(&format!("a{character}b")), "{character}");
        }
    }

    #[test]
    fn accepts_what_step_functions_accepts() {
        for name in ["a", "chat-42", "v1.2.3_rc(1)", "größe+1=2", &"a".repeat(80)] {
            assert_eq!(check(name), Ok(()), "{name}");
            assert!(is_valid(name));
        }
    }

    #[test]
    fn proposes_valid_names_that_differ() {
        let (one, other) = (
            format!("{}1", "a".repeat(90)),
            format!("{}2", "a".repeat(90)),
        );
        assert_ne!(valid(&one), valid(&other));
        for name in [one.as_str(), &other, "", "é".repeat(200).as_str(), "🚀"] {
            assert!(is_valid(&valid(name)), "{name}: {}", valid(name));
        }
    }
}
