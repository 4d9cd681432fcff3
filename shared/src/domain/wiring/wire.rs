//! From what is seen to a stage that calls the alias.

use super::{
    Ask, Integration, LATEST_ALIAS, Permit, Plan, Refusal, Seen, Stage, UriChange, VariableChange,
    Wiring, Write, nothing_else_to_publish,
    uri::{Call, Callee, Means, reference},
    waited_for,
};
use crate::domain::names::AliasName;

/// The next writes towards the stage calling the alias, and no other stage.
///
/// # Errors
/// [`Refusal`] when that cannot be; nothing has been written for it then, or what has been is
/// harmless.
pub fn plan_wiring(ask: &Ask, seen: &Seen) -> Result<Plan, Refusal> {
    let target = seen.api.stage(&ask.stage)?;
    on_record(ask, seen)?;
    let moves = moves(ask, seen, target)?;
    as_deployed(ask, seen, target)?;
    let wanted = Wanted::of(ask, seen, target, &moves)?;

    let mut ground = wanted.aliases(ask, seen);
    ground.extend(wanted.permits(ask, seen).into_iter().map(Write::Permit));
    let variables = wanted.variables.iter().map(|change| Write::SetVariable {
        stage: change.stage.clone(),
        name: change.name.clone(),
        value: Some(change.after.clone()),
    });
    let mut switch: Vec<_> = wanted
        .uris
        .iter()
        .map(|change| Write::SetUri {
            integration: change.integration.clone(),
            label: change.label.clone(),
            uri: change.after.clone(),
        })
        .collect();
    let published = wanted.is_published(ask, seen, target);
    if !published && !target.auto_deploy {
        nothing_else_to_publish(target, seen, ask.function_name.as_ref())?;
        switch.push(Write::Deploy(target.name.clone()));
    }

    let record = wanted.record(ask, seen);
    if seen.wiring.as_ref() != Some(&record) && record.changed_anything() {
        ground.insert(0, Write::Record(Box::new(record)));
    }
    let mut notes = notes(ask, seen, !moves.is_empty());
    if !published && moves.is_empty() {
        notes.extend(waited_for(&[target]));
    }
    let phases = [ground, variables.collect(), switch];
    Ok(Plan {
        writes: phases
            .into_iter()
            .find(|writes| !writes.is_empty())
            .unwrap_or_default(),
        live: published,
        notes,
    })
}

fn on_record(ask: &Ask, seen: &Seen) -> Result<(), Refusal> {
    match &seen.wiring {
        Some(wiring) if wiring.alias != ask.alias => Err(Refusal::Invalid(format!(
            "frontDoor.alias: stage {} is wired to {}:{}; unwire that first",
            ask.stage, ask.function_name, wiring.alias
        ))),
        Some(_) | None => Ok(()),
    }
}

/// An integration whose call is not the alias yet, and how it becomes that.
struct Move<'a> {
    integration: &'a Integration,
    call: Call<'a>,
    means: Means,
}

/// Every integration that calls the function from the stage, and not yet by the alias.
fn moves<'a>(ask: &Ask, seen: &'a Seen, target: &Stage) -> Result<Vec<Move<'a>>, Refusal> {
    let mut moves = Vec::new();
    let mut calls = 0;
    for integration in &seen.api.integrations {
        let Some(call) = Call::parse(&integration.uri).filter(|call| call.head() == seen.head())
        else {
            continue;
        };
        let callee = call.reaches(&target.variables);
        if callee.function != ask.function_name.as_ref() {
            continue;
        }
        calls += 1;
        if callee.qualifier.as_deref() == Some(ask.alias.as_ref()) {
            continue;
        }
        on_latest(ask, seen, &callee, &integration.label)?;
        let means = call.means();
        if means == Means::None {
            return Err(Refusal::Unfit(format!(
                "{} makes the function's name from a stage variable and more: {}; name the function, or give the variable the whole name",
                integration.label, integration.uri
            )));
        }
        moves.push(Move {
            integration,
            call,
            means,
        });
    }
    if calls == 0 {
        return Err(Refusal::Invalid(format!(
            "frontDoor: no integration of API {} calls function {} from stage {}",
            ask.api_id, ask.function_name, ask.stage
        )));
    }
    Ok(moves)
}

/// The same of what is deployed, which may be older than the definition.
fn as_deployed(ask: &Ask, seen: &Seen, target: &Stage) -> Result<(), Refusal> {
    for (operation, uri) in &target.deployed {
        let Some(call) = Call::parse(uri).filter(|call| call.head() == seen.head()) else {
            continue;
        };
        let callee = call.reaches(&target.variables);
        if callee.function == ask.function_name.as_ref()
            && callee.qualifier.as_deref() != Some(ask.alias.as_ref())
        {
            on_latest(ask, seen, &callee, &format!("{operation}, as deployed,"))?;
        }
    }
    Ok(())
}

/// Wiring moves a stage from `$LATEST`, and from nothing else: what it serves must not change.
fn on_latest(ask: &Ask, seen: &Seen, callee: &Callee, what: &str) -> Result<(), Refusal> {
    match callee.qualifier.as_deref() {
        None | Some("" | "$LATEST") => Ok(()),
        Some(alias) if seen.is_latest(alias) => Ok(()),
        Some(other) => Err(Refusal::Unfit(format!(
            "{what} calls {}:{other} from stage {}, not $LATEST; give that as frontDoor.alias, or change it yourself",
            ask.function_name, ask.stage
        ))),
    }
}

/// What is still to be changed, and what the stages then rely on.
#[derive(Default)]
struct Wanted {
    /// The variable of the integrations that are changed here, now or before.
    variable: Option<String>,
    uris: Vec<UriChange>,
    variables: Vec<VariableChange>,
}

impl Wanted {
    fn of(ask: &Ask, seen: &Seen, target: &Stage, moves: &[Move<'_>]) -> Result<Self, Refusal> {
        let mut wanted = Self::default();
        let written: Vec<_> = moves.iter().filter(|one| one.means == Means::Uri).collect();
        let recorded = seen
            .wiring
            .as_ref()
            .and_then(|wiring| wiring.variable.clone());
        let in_use = recorded.filter(|name| {
            let text = reference(name);
            !written.is_empty()
                || seen
                    .api
                    .integrations
                    .iter()
                    .any(|one| one.uri.contains(&text))
        });
        // Quick create's one stage takes no variables, and there is no other that could call it.
        let takes_none = target.managed && seen.api.stages.len() == 1;
        if !takes_none {
            wanted.variable = match in_use {
                None if !written.is_empty() => Some(fresh_variable(ask, seen)),
                in_use => in_use,
            };
        }
        let qualifier = match &wanted.variable {
            Some(name) => reference(name),
            None => ask.alias.to_string(),
        };
        wanted.uris = written
            .iter()
            .map(|one| UriChange {
                integration: one.integration.id.clone(),
                label: one.integration.label.clone(),
                before: one.integration.uri.clone(),
                after: one.call.qualified(&qualifier),
            })
            .collect();

        let alias = ask.alias.as_ref();
        if let Some(name) = wanted.variable.clone() {
            for stage in &seen.api.stages {
                let is_target = stage.name == target.name;
                if is_target {
                    wanted.set(stage, &name, alias)?;
                } else if stage.variable(&name).is_none() {
                    wanted.set(stage, &name, LATEST_ALIAS)?;
                }
            }
        }
        for one in moves {
            match &one.means {
                Means::Qualifier(name) => wanted.set(target, name, alias)?,
                Means::Name(name) => {
                    let value = format!("{}:{alias}", ask.function_name);
                    wanted.set(target, name, &value)?;
                }
                Means::Uri | Means::None => {}
            }
        }
        if wanted.needs_latest(seen)
            && let Some(other) = seen.aliases.get(LATEST_ALIAS)
            && !seen.is_latest(LATEST_ALIAS)
        {
            return Err(Refusal::Outside(format!(
                "alias {LATEST_ALIAS} of {} is at {other}; it has to point at $LATEST, for the other stages to call that",
                ask.function_name
            )));
        }
        Ok(wanted)
    }

    fn set(&mut self, stage: &Stage, name: &str, after: &str) -> Result<(), Refusal> {
        let before = stage.variable(name);
        let planned = |change: &VariableChange| change.stage == stage.name && change.name == name;
        if before == Some(after) || self.variables.iter().any(planned) {
            return Ok(());
        }
        if stage.managed {
            return Err(Refusal::Unfit(format!(
                "stage {} was made by quick create and takes no stage variables; make a stage of your own for the API",
                stage.name
            )));
        }
        self.variables.push(VariableChange {
            stage: stage.name.clone(),
            name: name.to_owned(),
            before: before.map(str::to_owned),
            after: after.to_owned(),
        });
        Ok(())
    }

    /// Whether a stage relies, or will, on the alias that stands for `$LATEST`.
    fn needs_latest(&self, seen: &Seen) -> bool {
        let Some(name) = &self.variable else {
            return false;
        };
        let will = self
            .variables
            .iter()
            .any(|change| change.after == LATEST_ALIAS);
        let does = |stage: &Stage| stage.variable(name) == Some(LATEST_ALIAS);
        will || seen.api.stages.iter().any(does)
    }

    fn aliases(&self, ask: &Ask, seen: &Seen) -> Vec<Write> {
        let mut needed = vec![ask.alias.clone()];
        if self.needs_latest(seen) {
            needed.push(latest_alias());
        }
        needed
            .into_iter()
            .filter(|alias| !seen.aliases.contains_key(alias.as_ref()))
            .map(Write::MakeAlias)
            .collect()
    }

    fn all_permits(&self, ask: &Ask, seen: &Seen) -> Vec<Permit> {
        let mut permits = vec![Permit {
            alias: ask.alias.clone(),
            id: statement_id(ask, ask.stage.as_ref()),
            source_arn: seen.source_arn(&ask.api_id, Some(&ask.stage)),
        }];
        if self.needs_latest(seen) {
            permits.push(Permit {
                alias: latest_alias(),
                // Whichever stage comes: what it calls then is what it called before.
                id: statement_id(ask, "any"),
                source_arn: seen.source_arn(&ask.api_id, None),
            });
        }
        permits
    }

    fn permits(&self, ask: &Ask, seen: &Seen) -> Vec<Permit> {
        let mut permits = self.all_permits(ask, seen);
        permits.retain(|permit| !seen.permits(permit));
        permits
    }

    /// Whether what is deployed to the stage calls the function by the alias alone, once the
    /// variables are set.
    fn is_published(&self, ask: &Ask, seen: &Seen, target: &Stage) -> bool {
        let mut variables = target.variables.clone();
        for change in &self.variables {
            if change.stage == target.name {
                variables.insert(change.name.clone(), change.after.clone());
            }
        }
        let mut qualifiers = target
            .deployed
            .values()
            .filter_map(|uri| Call::parse(uri))
            .filter(|call| call.head() == seen.head())
            .map(|call| call.reaches(&variables))
            .filter(|callee| callee.function == ask.function_name.as_ref())
            .map(|callee| callee.qualifier)
            .peekable();
        qualifiers.peek().is_some()
            && qualifiers.all(|qualifier| qualifier.as_deref() == Some(ask.alias.as_ref()))
    }

    /// The record with what is to be changed now. What is on it stays: it says how it was at first.
    fn record(&self, ask: &Ask, seen: &Seen) -> Wiring {
        let mut record = seen.wiring.clone().unwrap_or_else(|| Wiring {
            application: ask.application.clone(),
            api_id: ask.api_id.clone(),
            stage: ask.stage.clone(),
            function_name: ask.function_name.clone(),
            alias: ask.alias.clone(),
            variable: None,
            uris: Vec::new(),
            variables: Vec::new(),
            statements: Vec::new(),
            aliases: Vec::new(),
            was_open: seen.is_open(),
        });
        if record.variable.is_none() {
            record.variable.clone_from(&self.variable);
        }
        for change in &self.uris {
            let known = |one: &&mut UriChange| one.integration == change.integration;
            match record.uris.iter_mut().find(known) {
                Some(known) => known.after.clone_from(&change.after),
                None => record.uris.push(change.clone()),
            }
        }
        for change in &self.variables {
            let known =
                |one: &&mut VariableChange| one.stage == change.stage && one.name == change.name;
            match record.variables.iter_mut().find(known) {
                Some(known) => known.after.clone_from(&change.after),
                None => record.variables.push(change.clone()),
            }
        }
        for permit in self.permits(ask, seen) {
            if !record.statements.contains(&permit) {
                record.statements.push(permit);
            }
        }
        for write in self.aliases(ask, seen) {
            if let Write::MakeAlias(alias) = write
                && !record.aliases.contains(&alias)
            {
                record.aliases.push(alias);
            }
        }
        // Its name says whose it is, whichever wiring made it; the last one deletes it.
        if self.needs_latest(seen) && !record.aliases.contains(&latest_alias()) {
            record.aliases.push(latest_alias());
        }
        record
    }
}

impl Wiring {
    fn changed_anything(&self) -> bool {
        !(self.uris.is_empty()
            && self.variables.is_empty()
            && self.statements.is_empty()
            && self.aliases.is_empty())
    }
}

pub(super) fn latest_alias() -> AliasName {
    LATEST_ALIAS.parse().expect("it is an alias's name")
}

/// A statement's id: letters, digits, `-` and `_`, at most 100 characters (Lambda's own limit).
fn statement_id(ask: &Ask, stage: &str) -> String {
    let id = format!("crossfade-{}-{}", ask.api_id, stage.replace('$', "_"));
    id.chars().take(100).collect()
}

/// A variable that no stage has and no integration uses.
fn fresh_variable(ask: &Ask, seen: &Seen) -> String {
    let base = format!("{}_alias", ask.function_name.as_ref().replace('-', "_"));
    let free = |name: &String| {
        let text = reference(name);
        seen.api
            .stages
            .iter()
            .all(|stage| stage.variable(name).is_none())
            && seen
                .api
                .integrations
                .iter()
                .all(|one| !one.uri.contains(&text))
    };
    let numbered = (2..=1000_u32).map(|nth| format!("{base}_{nth}"));
    std::iter::once(base.clone())
        .chain(numbered)
        .find(free)
        .expect("an API's stages have fewer variables")
}

/// What people should know: that the stage's code changes with this, and where an integration names
/// the alias itself, so that another stage's next deployment calls it too.
fn notes(ask: &Ask, seen: &Seen, moves: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let (function, alias) = (&ask.function_name, &ask.alias);
    if moves && seen.other_code {
        notes.push(format!(
            "stage {} called $LATEST of {function}, and {alias} is on other code than that",
            ask.stage
        ));
    }
    let fixed = seen.api.integrations.iter().filter(|one| {
        Call::parse(&one.uri).is_some_and(|call| {
            call.head() == seen.head()
                && call.name == function.as_ref()
                && call.qualifier == Some(alias.as_ref())
        })
    });
    let labels: Vec<_> = fixed.map(|one| one.label.as_str()).collect();
    if seen.api.stages.len() > 1 && !labels.is_empty() {
        notes.push(format!(
            "{} names {function}:{alias} itself, so that every stage calls it once it is deployed",
            labels.join(", "),
        ));
    }
    notes
}
