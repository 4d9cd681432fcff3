//! What a release carries, chosen from the request and from what was observed.

use crossfade::{
    display::truncate,
    domain::{
        approval::Approval,
        names::FunctionName,
        plan::{Plan, Step},
        release::Hold,
        target::Target,
        traffic::Splitter,
        weight::Weight,
    },
    wire::request::ReleaseRequest,
};
use serde_json::Value;

use crate::green::Prepared;

/// Who moves, and whose green serves already, so that nothing is done to it.
pub(crate) fn moving(
    splitter: &Splitter,
    changed: Vec<Prepared>,
    same: Vec<Prepared>,
    warnings: &mut Vec<String>,
) -> (Vec<Target>, Vec<FunctionName>) {
    let mut functions: Vec<_> = changed.into_iter().map(|one| one.target).collect();
    let mut left_out = Vec::new();
    if *splitter == Splitter::Alias {
        warnings.extend(same.iter().map(|one| {
            format!(
                "{}: version {} serves already; left out",
                one.target.function_name, one.target.green_version
            )
        }));
        left_out.extend(same.into_iter().map(|one| one.target.function_name));
    } else {
        // One splitter moves them all: green's side has to have the unchanged ones, too.
        functions.extend(same.into_iter().map(|one| one.target));
    }
    (functions, left_out)
}

/// Takes out of a request what `WireStage` has added to it: the word that led here, and warnings. Only behind that
/// state may they be there: anywhere else they are unknown fields.
pub(crate) fn wired(request: &mut Value) -> Vec<String> {
    let Some(fields) = request.as_object_mut() else {
        return Vec::new();
    };
    match fields.get("frontDoor") {
        None => Vec::new(),
        Some(wired) => {
            let is_wired = !wired.is_null();
            fields.remove("next");
            let warnings = is_wired.then(|| fields.remove("frontDoorWarnings"));
            let warnings = warnings.flatten();
            warnings
                .and_then(|warnings| serde_json::from_value(warnings).ok())
                .unwrap_or_default()
        }
    }
}

/// Returns what holding means for a release.
pub(crate) fn hold(request: &ReleaseRequest) -> Hold {
    Hold {
        timeout_seconds: request.hold_timeout_seconds,
        on_timeout: request.hold_ends(),
    }
}

/// Returns what awaiting an approval means for a release.
pub(crate) fn approval(request: &ReleaseRequest) -> Approval {
    Approval {
        timeout_seconds: request.approval_timeout_seconds,
        on_timeout: request.on_approval_timeout,
        on_denied: request.on_denied,
    }
}

/// Adds what is not among them yet.
pub(crate) fn extend_new(warnings: &mut Vec<String>, more: Vec<String>) {
    for warning in more {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

/// As many warnings as every state of a release can carry; all of them are in the log.
pub(crate) fn truncate_warnings(mut warnings: Vec<String>) -> Vec<String> {
    const TOLD: usize = 30;
    const CHARACTERS: usize = 300;
    for warning in &warnings {
        tracing::info!(event = "release_warning", warning, "Release warning.");
    }
    let left_out = warnings.len().saturating_sub(TOLD);
    warnings.truncate(TOLD);
    for warning in &mut warnings {
        *warning = truncate(warning, CHARACTERS);
    }
    if left_out > 0 {
        warnings.push(format!(
            "{left_out} more warnings are in deploy-green's log"
        ));
    }
    warnings
}

/// The steps: those of the request, where there is a blue to share traffic with.
pub(crate) fn plan(request: &ReleaseRequest, splitter: &Splitter, functions: &[Target]) -> Plan {
    let new = functions.iter().all(|target| target.blue_version.is_none());
    if *splitter == Splitter::Alias && new {
        first_release(&request.plan())
    } else {
        request.plan()
    }
}

/// A first release has no blue to share traffic with: one step, baked as the plan's last one is.
pub(crate) fn first_release(plan: &Plan) -> Plan {
    let bake_seconds = plan.steps().last().map_or(0, |step| step.bake_seconds);
    let step = Step {
        weight: Weight::FULL,
        bake_seconds,
    };
    let approval = plan.approve_before().is_some().then_some(Weight::FULL);
    Plan::new(vec![step], approval).unwrap_or_else(|_| plan.clone())
}
