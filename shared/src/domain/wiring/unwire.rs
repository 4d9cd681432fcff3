//! From what is seen to a stage as it was before.

use super::{
    Ask, Permit, Plan, Refusal, Seen, Stage, VariableChange, Wiring, Write,
    nothing_else_to_publish, uri::Call, waited_for,
};
use crate::domain::names::AliasName;

/// The next writes towards everything being as it was on record.
///
/// # Errors
/// [`Refusal`] when somebody else has changed what is on record, or when it could not be undone
/// without doing more. Nothing has been written for it then.
pub fn plan_unwiring(ask: &Ask, seen: &Seen) -> Result<Plan, Refusal> {
    let wiring = on_record(ask, seen)?;
    nobody_relies_on(wiring, seen)?;
    let mut switch = uris(wiring, seen)?;
    let variables = variables(wiring, seen)?;
    still_open(wiring, seen)?;

    let wired: Vec<&Stage> = seen
        .api
        .stages
        .iter()
        .filter(|stage| stage.deployed.values().any(|uri| wiring.wrote(uri)))
        .collect();
    for stage in wired.iter().filter(|stage| !stage.auto_deploy) {
        nothing_else_to_publish(stage, seen, ask.function_name.as_ref())?;
        switch.push(Write::Deploy(stage.name.clone()));
    }
    if switch.is_empty() && !wired.is_empty() {
        return Ok(Plan {
            writes: Vec::new(),
            live: false,
            notes: waited_for(&wired),
        });
    }

    let (deleted, mut notes) = aliases(wiring, seen);
    if seen.other_code {
        notes.insert(
            0,
            format!(
                "stage {} calls $LATEST of {} again, which is other code than {} is on",
                ask.stage, ask.function_name, ask.alias
            ),
        );
    }
    let mut ground: Vec<_> = wiring
        .statements
        .iter()
        .filter(|permit| seen.permits(permit) && !shared(permit, seen))
        .cloned()
        .map(Write::Forbid)
        .collect();
    ground.extend(deleted.into_iter().map(Write::DeleteAlias));
    ground.push(Write::Forget);
    let phases = [switch, variables, ground];
    Ok(Plan {
        writes: phases
            .into_iter()
            .find(|writes| !writes.is_empty())
            .unwrap_or_default(),
        live: true,
        notes,
    })
}

fn on_record<'a>(ask: &Ask, seen: &'a Seen) -> Result<&'a Wiring, Refusal> {
    match &seen.wiring {
        None => Err(Refusal::Invalid(format!(
            "frontDoor: there is no record that stage {} of API {} was wired to {}; nothing is known to be restored",
            ask.stage, ask.api_id, ask.function_name
        ))),
        Some(wiring) if wiring.alias != ask.alias => Err(Refusal::Invalid(format!(
            "frontDoor.alias: stage {} is wired to {}:{}",
            ask.stage, ask.function_name, wiring.alias
        ))),
        Some(wiring) => Ok(wiring),
    }
}

/// Another stage that was wired by the variable of this one has to be unwired first.
fn nobody_relies_on(wiring: &Wiring, seen: &Seen) -> Result<(), Refusal> {
    let Some(variable) = &wiring.variable else {
        return Ok(());
    };
    let relies = |other: &&Wiring| {
        other.function_name == wiring.function_name
            && other
                .variables
                .iter()
                .any(|change| &change.name == variable)
    };
    match seen.others.iter().find(relies) {
        Some(other) => Err(Refusal::Unfit(format!(
            "stage {} was wired later, by the same integrations; unwire it first",
            other.stage
        ))),
        None => Ok(()),
    }
}

/// The integrations that are to be as they were. One that is gone needs nothing.
fn uris(wiring: &Wiring, seen: &Seen) -> Result<Vec<Write>, Refusal> {
    let mut writes = Vec::new();
    for change in &wiring.uris {
        let same = |one: &&super::Integration| one.id == change.integration;
        let Some(now) = seen.api.integrations.iter().find(same) else {
            continue;
        };
        if now.uri == change.before {
            continue;
        }
        if now.uri != change.after {
            return Err(Refusal::Outside(format!(
                "the integration of {} is {}, which was not written here",
                change.label, now.uri
            )));
        }
        writes.push(Write::SetUri {
            integration: change.integration.clone(),
            label: change.label.clone(),
            uri: change.before.clone(),
        });
    }
    Ok(writes)
}

/// The stage variables that are to be as they were. One of a stage that is gone needs nothing.
fn variables(wiring: &Wiring, seen: &Seen) -> Result<Vec<Write>, Refusal> {
    let mut writes = Vec::new();
    for VariableChange {
        stage,
        name,
        before,
        after,
    } in &wiring.variables
    {
        let Some(now) = seen.stage(stage) else {
            continue;
        };
        let value = now.variable(name);
        if value == before.as_deref() {
            continue;
        }
        if value != Some(after.as_str()) {
            return Err(Refusal::Outside(format!(
                "{name} of stage {stage} is {}, which was not written here",
                value.unwrap_or("absent")
            )));
        }
        writes.push(Write::SetVariable {
            stage: stage.clone(),
            name: name.clone(),
            value: before.clone(),
        });
    }
    Ok(writes)
}

/// What the stage goes back to calling has to let it.
fn still_open(wiring: &Wiring, seen: &Seen) -> Result<(), Refusal> {
    if wiring.was_open && !seen.is_open() {
        return Err(Refusal::Unfit(format!(
            "the policy of {} itself does not let API Gateway in any more, as it did before; give it back, or the stage would fail",
            wiring.function_name
        )));
    }
    Ok(())
}

/// A permission that another wiring of the API relies on too.
fn shared(permit: &Permit, seen: &Seen) -> bool {
    seen.others
        .iter()
        .any(|other| other.statements.contains(permit))
}

/// The aliases that were made here and that nobody else uses, and what is to be said of the others.
fn aliases(wiring: &Wiring, seen: &Seen) -> (Vec<AliasName>, Vec<String>) {
    let (mut deleted, mut notes) = (Vec::new(), Vec::new());
    for alias in &wiring.aliases {
        let Some(now) = seen.aliases.get(alias.as_ref()) else {
            continue;
        };
        let mut users: Vec<String> = seen.users.get(alias.as_ref()).cloned().unwrap_or_default();
        if now.is_split() {
            users.push(format!("its traffic is split ({now})"));
        }
        for other in seen.others.iter().filter(|other| other.uses(alias)) {
            users.push(format!("stage {} is wired to it", other.stage));
        }
        let policy = seen.policies.get(alias.as_ref()).into_iter().flatten();
        for statement in policy {
            let ours = |permit: &Permit| &permit.alias == alias && permit.id == statement.id;
            let known = |other: &Wiring| other.statements.iter().any(ours);
            if !wiring.statements.iter().any(ours) && !seen.others.iter().any(known) {
                let from = if statement.source_arn.is_empty() {
                    &statement.service
                } else {
                    &statement.source_arn
                };
                users.push(format!("{from} may call it"));
            }
        }
        if users.is_empty() {
            deleted.push(alias.clone());
        } else {
            notes.push(format!("alias {alias} is kept: {}", users.join("; ")));
        }
    }
    (deleted, notes)
}

impl Wiring {
    /// Whether a URI is one that was written here, as far as what it calls.
    fn wrote(&self, uri: &str) -> bool {
        let Some(now) = Call::parse(uri) else {
            return false;
        };
        self.uris.iter().any(|change| {
            Call::parse(&change.after).is_some_and(|after| {
                (now.head(), now.name, now.qualifier) == (after.head(), after.name, after.qualifier)
            })
        })
    }

    fn uses(&self, alias: &AliasName) -> bool {
        &self.alias == alias || self.statements.iter().any(|permit| &permit.alias == alias)
    }
}
