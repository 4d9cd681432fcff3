//! The user's functions that a release moves or calls: whether the stack may is known before anything is
//! touched.

use std::env;

use crossfade::{
    domain::names::Callee,
    error::Error,
    wire::request::{HookRequest, ReleaseRequest},
};

/// Whether the names of all of them begin with the environment's `TARGET_FUNCTION_PREFIX`.
///
/// # Errors
/// [`Error::InvalidRequest`] that names each that does not by its path: AWS would refuse to touch it.
pub(crate) fn check(request: &ReleaseRequest) -> Result<(), Error> {
    let prefix = env::var("TARGET_FUNCTION_PREFIX").unwrap_or_default();
    let wrong = beyond(request, &prefix);
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Error::InvalidRequest(wrong.join("\n")))
    }
}

fn beyond(request: &ReleaseRequest, prefix: &str) -> Vec<String> {
    let hooks = &request.hooks;
    let migration = request.migration.as_ref().map(|it| &it.function_name);
    let called = [
        ("migration", migration),
        ("hooks.beforeShift", name(hooks.before_shift.as_ref())),
        ("hooks.afterShift", name(hooks.after_shift.as_ref())),
        ("hooks.afterPromote", name(hooks.after_promote.as_ref())),
        ("hooks.afterRollback", name(hooks.after_rollback.as_ref())),
    ];
    let called = called
        .into_iter()
        .filter_map(|(path, callee)| Some((path.to_owned(), callee?.to_string())));
    let released = request.functions.iter().enumerate();
    let released =
        released.map(|(index, one)| (format!("functions[{index}]"), one.function_name.to_string()));
    let wrong = released
        .chain(called)
        .filter(|(_, function)| !function.starts_with(prefix));
    let wrong = wrong.map(|(path, function)| {
        format!(
            "{path}.functionName: \"{function}\" does not begin with \"{prefix}\", the stack's parameter TargetFunctionPrefix"
        )
    });
    wrong.collect()
}

fn name(hook: Option<&HookRequest>) -> Option<&Callee> {
    hook.map(|hook| &hook.function_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_function_that_the_stack_may_not_call_is_named_by_its_path() {
        let request: ReleaseRequest = serde_json::from_value(json!({
            "application": "chat", "strategy": "dev",
            "functions": [{"functionName": "chat-api", "alias": "live"}],
            "migration": {"functionName": "chat-migrate:live"},
            "hooks": {"afterShift": {"functionName": "other-hook"}},
        }))
        .unwrap();
        let wrong = beyond(&request, "chat-");
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with(
            "hooks.afterShift.functionName: \"other-hook\" does not begin with \"chat-\""
        ));
        assert_eq!(beyond(&request, "").len(), 0);
        let wrong = beyond(&request, "chat-m");
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("functions[0].functionName: \"chat-api\""));
    }
}
