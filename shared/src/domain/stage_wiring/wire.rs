//! From what is seen to a stage that calls the alias.

use crate::domain::names::{
    AliasName,
    derived::{Caller, stage_statement, stage_variable},
};
use crate::domain::{
    stage_wiring::Stage,
    stage_wiring::{
        Ask, CallSite, LATEST_ALIAS, Permit, Plan, Refusal, Seen, SiteKind, UriChange,
        VariableChange, Wiring, Write, nothing_else_to_publish,
        uri::{Call, Callee, Means, reference},
        waited_for,
    },
};

/// The next writes towards the stage calling the alias, and no other stage.
///
/// # Errors
/// [`Refusal`] when that cannot be; nothing has been written for it then, or what has been is
/// harmless.
pub fn plan_wiring(ask: &Ask, seen: &Seen) -> Result<Plan, Refusal> {
    let target = seen.api.stage(&ask.stage)?;
    on_record(ask, seen)?;
    let calls = calls(ask, seen, target)?;
    let moves = moves(ask, seen, target, &calls)?;
    as_deployed(ask, seen, target)?;
    let wanted = Wanted::of(ask, seen, target, &calls, &moves)?;

    let mut ground = wanted.aliases(ask, seen);
    let missing = wanted.missing_permits(ask, seen);
    ground.extend(missing.into_iter().map(Write::Permit));
    let variables = wanted.variables.iter().map(|change| Write::SetVariable {
        stage: change.stage.clone(),
        name: change.name.clone(),
        value: Some(change.after.clone()),
    });
    let mut switch: Vec<_> = wanted
        .uris
        .iter()
        .map(|change| Write::SetUri {
            kind: change.kind,
            id: change.id.clone(),
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

/// A call site whose call is not the alias yet, and how it becomes that.
struct Move<'a> {
    site: &'a CallSite,
    call: Call<'a>,
    means: Means,
}

/// Every call site that calls the function from the stage.
fn calls<'a>(ask: &Ask, seen: &'a Seen, target: &Stage) -> Result<Vec<&'a CallSite>, Refusal> {
    let reaches = |site: &&CallSite| reached(site, seen, target, ask.function_name.as_ref());
    let calls: Vec<_> = seen.api.sites.iter().filter(reaches).collect();
    if calls.is_empty() {
        return Err(Refusal::Invalid(format!(
            "frontDoor: no integration or authorizer of API {} calls function {} from stage {}",
            ask.api_id, ask.function_name, ask.stage
        )));
    }
    Ok(calls)
}

/// Whether a call site reaches the function from the stage.
fn reached(site: &CallSite, seen: &Seen, stage: &Stage, function: &str) -> bool {
    Call::parse(&site.uri)
        .filter(|call| call.head() == seen.head())
        .is_some_and(|call| call.reaches(&stage.variables).function == function)
}

/// Those of them that do not call the alias yet.
fn moves<'a>(
    ask: &Ask,
    seen: &Seen,
    target: &Stage,
    calls: &[&'a CallSite],
) -> Result<Vec<Move<'a>>, Refusal> {
    let mut moves = Vec::new();
    for site in calls.iter().copied() {
        let Some(call) = Call::parse(&site.uri) else {
            continue;
        };
        let callee = call.reaches(&target.variables);
        if callee.qualifier.as_deref() == Some(ask.alias.as_ref()) {
            continue;
        }
        on_latest(ask, seen, &callee, &site.label)?;
        let means = call.means();
        match &means {
            Means::None => {
                return Err(Refusal::Unfit(format!(
                    "{} makes the function's name from a stage variable and more: {}; name the function, or give the variable the whole name",
                    site.label, site.uri
                )));
            }
            Means::Qualifier(name) | Means::Name(name) => {
                alone_in(name, ask, seen, target)?;
            }
            Means::Uri => {}
        }
        moves.push(Move { site, call, means });
    }
    Ok(moves)
}

/// A stage variable can be set for the function's calls only where nothing else is made of it.
fn alone_in(variable: &str, ask: &Ask, seen: &Seen, target: &Stage) -> Result<(), Refusal> {
    let text = reference(variable);
    let other = seen.api.sites.iter().find(|site| {
        site.uri.contains(&text) && !reached(site, seen, target, ask.function_name.as_ref())
    });
    match other {
        None => Ok(()),
        Some(site) => Err(Refusal::Unfit(format!(
            "stage variable {variable} says what {} calls too: {}; found one variable for two functions, expected one for {} alone: give its calls a variable of their own",
            site.label, site.uri, ask.function_name
        ))),
    }
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
    /// What lets the stage, and authorizers, call the alias.
    permits: Vec<Permit>,
}

impl Wanted {
    fn of(
        ask: &Ask,
        seen: &Seen,
        target: &Stage,
        calls: &[&CallSite],
        moves: &[Move<'_>],
    ) -> Result<Self, Refusal> {
        let mut wanted = Self {
            permits: permits(ask, seen, calls),
            ..Self::default()
        };
        let written: Vec<_> = moves.iter().filter(|one| one.means == Means::Uri).collect();
        let recorded = seen
            .wiring
            .as_ref()
            .and_then(|wiring| wiring.variable.clone());
        let in_use = recorded.filter(|name| {
            let text = reference(name);
            !written.is_empty() || seen.api.sites.iter().any(|one| one.uri.contains(&text))
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
                kind: one.site.kind,
                id: one.site.id.clone(),
                label: one.site.label.clone(),
                before: one.site.uri.clone(),
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

    /// The permissions that are needed.
    fn all_permits(&self, ask: &Ask, seen: &Seen) -> Vec<Permit> {
        let mut permits = self.permits.clone();
        if self.needs_latest(seen) {
            // Whichever stage comes: what it calls then is what it called before.
            permits.push(permit(ask, seen, latest_alias(), Caller::Any));
        }
        permits
    }

    /// Those of them that are not there.
    fn missing_permits(&self, ask: &Ask, seen: &Seen) -> Vec<Permit> {
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
            let known = |one: &&mut UriChange| one.kind == change.kind && one.id == change.id;
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
        // Also those that another stage's wiring has added: whichever is undone last takes them back.
        for permit in self.all_permits(ask, seen) {
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

/// What lets the callers of the function on the stage call the alias: the stage's operations, and each
/// authorizer.
fn permits(ask: &Ask, seen: &Seen, calls: &[&CallSite]) -> Vec<Permit> {
    let of = |caller| permit(ask, seen, ask.alias.clone(), caller);
    let operations = calls.iter().any(|site| site.kind == SiteKind::Integration);
    let authorizers = calls
        .iter()
        .filter(|site| site.kind == SiteKind::Authorizer)
        .map(|site| of(Caller::Authorizer(&site.id)));
    let stage = operations.then(|| of(Caller::Stage(&ask.stage)));
    stage.into_iter().chain(authorizers).collect()
}

fn permit(ask: &Ask, seen: &Seen, alias: AliasName, caller: Caller<'_>) -> Permit {
    Permit {
        alias,
        id: stage_statement(&ask.api_id, caller),
        source_arn: seen.source_arn(&ask.api_id, caller),
    }
}

/// A variable that no stage has and no call site uses.
fn fresh_variable(ask: &Ask, seen: &Seen) -> String {
    let free = |name: &String| {
        let text = reference(name);
        let on_a_stage = |stage: &Stage| stage.variable(name).is_some();
        !seen.api.stages.iter().any(on_a_stage)
            && !seen.api.sites.iter().any(|one| one.uri.contains(&text))
    };
    (1..=1000_u32)
        .map(|nth| stage_variable(&ask.function_name, nth))
        .find(free)
        .expect("an API's stages have fewer variables")
}

/// What operators should know: that the stage's code changes with this, and where an integration names
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
    let fixed = seen.api.sites.iter().filter(|one| {
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
