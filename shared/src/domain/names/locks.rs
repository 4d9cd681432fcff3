//! Names of locks, one per resource that a release uses.

use std::collections::BTreeSet;

use super::{Application, FunctionName};

/// Returns every lock's name: the application's, each function's and the traffic splitter's. A function is
/// locked whole, for its `$LATEST` is shared by all its aliases.
#[must_use]
pub fn names(
    application: &Application,
    functions: &[&FunctionName],
    splitters: &[String],
) -> Vec<String> {
    let functions: BTreeSet<_> = functions.iter().map(|name| of_function(name)).collect();
    std::iter::once(of_application(application))
        .chain(functions)
        .chain(splitters.iter().cloned())
        .collect()
}

pub(crate) fn of_application(application: &Application) -> String {
    format!("application/{application}")
}

pub(crate) fn of_function(function: &FunctionName) -> String {
    format!("function/{function}")
}
