//! From what is seen to a stage as it was before.

use crate::domain::names::AliasName;
use crate::domain::{
    stage_wiring::Stage,
    stage_wiring::{
        Ask, Permit, Plan, Refusal, Seen, UriChange, VariableChange, Wiring, Write,
        nothing_else_to_publish, uri::Call, waited_for,
    },
};

/// The next writes towards everything being as it was on record.
///
/// # Errors
/// [`Refusal`] when another writer has changed what is on record, or when it could not be undone
/// without doing more. Nothing has been written for it then.
pub fn plan_unwiring(ask: &Ask, seen: &Seen) -> Result<Plan, Refusal> {
    let wiring = on_record(ask, seen)?;
    check_unused(wiring, seen)?;
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

    let Aliases {
        deleted,
        heirs,
        mut notes,
    } = aliases(wiring, seen);
    if seen.other_code {
        notes.insert(
            0,
            format!(
                "stage {} calls $LATEST of {} again, which is other code than {} is on",
                ask.stage, ask.function_name, ask.alias
            ),
        );
    }
    let mut ground: Vec<_> = heirs.into_iter().map(Box::new).map(Write::Record).collect();
    let forbidden = wiring
        .statements
        .iter()
        .filter(|permit| seen.permits(permit) && !shared(permit, wiring, seen))
        .cloned();
    ground.extend(forbidden.map(Write::Forbid));
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
fn check_unused(wiring: &Wiring, seen: &Seen) -> Result<(), Refusal> {
    let Some(variable) = &wiring.variable else {
        return Ok(());
    };
    let relies = |other: &&Wiring| {
        other
            .variables
            .iter()
            .any(|change| &change.name == variable)
    };
    match seen.others_of(&wiring.function_name).find(relies) {
        Some(other) => Err(Refusal::Unfit(format!(
            "stage {} was wired later, by the same integrations; unwire it first",
            other.stage
        ))),
        None => Ok(()),
    }
}

/// The call sites that are to be as they were. One that is gone needs nothing.
fn uris(wiring: &Wiring, seen: &Seen) -> Result<Vec<Write>, Refusal> {
    let mut writes = Vec::new();
    for change in &wiring.uris {
        let same = |one: &&super::CallSite| one.kind == change.kind && one.id == change.id;
        let Some(now) = seen.api.sites.iter().find(same) else {
            continue;
        };
        if now.uri == change.before {
            continue;
        }
        if now.uri != change.after {
            return Err(Refusal::Outside(format!(
                "{} calls {}, which was not written here",
                change.label, now.uri
            )));
        }
        writes.push(Write::SetUri {
            kind: change.kind,
            id: change.id.clone(),
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

/// Checks that the stage may invoke what it will call again.
fn still_open(wiring: &Wiring, seen: &Seen) -> Result<(), Refusal> {
    if wiring.was_open && !seen.is_open() {
        return Err(Refusal::Unfit(format!(
            "the policy of {} itself does not let API Gateway in any more, as it did before; give it back, or the stage would fail",
            wiring.function_name
        )));
    }
    Ok(())
}

/// A permission that another wiring of the function relies on too.
fn shared(permit: &Permit, wiring: &Wiring, seen: &Seen) -> bool {
    seen.others_of(&wiring.function_name)
        .any(|other| other.statements.contains(permit))
}

/// What becomes of the aliases that a wiring made.
#[derive(Default)]
struct Aliases {
    /// Those without other users.
    deleted: Vec<AliasName>,
    /// The wirings of the function that use the others, with these among what they made: the last one of
    /// them deletes it.
    heirs: Vec<Wiring>,
    /// What is to be said of the others.
    notes: Vec<String>,
}

fn aliases(wiring: &Wiring, seen: &Seen) -> Aliases {
    let others: Vec<_> = seen.others_of(&wiring.function_name).collect();
    let mut found = Aliases::default();
    let mut heirs: Vec<Wiring> = Vec::new();
    for alias in &wiring.aliases {
        let Some(now) = seen.aliases.get(alias.as_ref()) else {
            continue;
        };
        let mut users: Vec<String> = seen.users.get(alias.as_ref()).cloned().unwrap_or_default();
        if now.is_split() {
            users.push(format!("its traffic is split ({now})"));
        }
        let mut wired = others.iter().filter(|other| other.uses(alias));
        for other in wired.clone() {
            users.push(format!("stage {} is wired to it", other.stage));
        }
        if let Some(heir) = wired.next()
            && !others.iter().any(|other| other.aliases.contains(alias))
        {
            let of = |one: &&mut Wiring| one.stage == heir.stage;
            if let Some(heir) = heirs.iter_mut().find(of) {
                heir.aliases.push(alias.clone());
            } else {
                let mut heir = (*heir).clone();
                heir.aliases.push(alias.clone());
                heirs.push(heir);
            }
        }
        let policy = seen.policies.get(alias.as_ref()).into_iter().flatten();
        for statement in policy {
            let ours = |permit: &Permit| &permit.alias == alias && permit.id == statement.id;
            let known = |other: &Wiring| other.statements.iter().any(ours);
            if !wiring.statements.iter().any(ours) && !others.iter().any(|other| known(other)) {
                let from = if statement.source_arn.is_empty() {
                    &statement.service
                } else {
                    &statement.source_arn
                };
                users.push(format!("{from} may call it"));
            }
        }
        if users.is_empty() {
            found.deleted.push(alias.clone());
        } else {
            let notes = &mut found.notes;
            notes.push(format!("alias {alias} is kept: {}", users.join("; ")));
        }
    }
    found.heirs = heirs;
    found
}

impl UriChange {
    /// Whether a URI calls what this was before.
    pub(super) fn is_before(&self, uri: &str) -> bool {
        calls_the_same(uri, &self.before)
    }

    /// Whether a URI calls what this is since.
    pub(super) fn is_after(&self, uri: &str) -> bool {
        calls_the_same(uri, &self.after)
    }
}

/// Whether two URIs call one function by one qualifier, however they are written.
fn calls_the_same(one: &str, other: &str) -> bool {
    match (Call::parse(one), Call::parse(other)) {
        (Some(one), Some(other)) => {
            (one.head(), one.name, one.qualifier) == (other.head(), other.name, other.qualifier)
        }
        _ => false,
    }
}

impl Wiring {
    /// Whether a URI is one that was written here, as far as what it calls.
    fn wrote(&self, uri: &str) -> bool {
        self.uris.iter().any(|change| change.is_after(uri))
    }

    fn uses(&self, alias: &AliasName) -> bool {
        &self.alias == alias
            || self.aliases.contains(alias)
            || self.statements.iter().any(|permit| &permit.alias == alias)
    }
}
