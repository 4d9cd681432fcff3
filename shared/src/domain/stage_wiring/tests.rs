//! The plans, carried out write by write in a small world with API Gateway's rules: a stage serves
//! the copy that was deployed to it, with its variables as they are, and calls only what exists and
//! lets it.

use std::collections::BTreeSet;

use proptest::{
    collection::{hash_set, vec},
    prelude::*,
    sample::{Index, select},
};

use crate::domain::routing::alias::Revision;
use crate::domain::stage_wiring::{api::AUTHORIZER, *};

const HEAD: &str = "arn:aws:lambda:eu-west-1:123456789012";

fn long(callee: &str) -> String {
    format!(
        "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{HEAD}:function:{callee}/invocations"
    )
}

fn alias(primary: Primary) -> Alias {
    Alias {
        primary,
        additional: None,
        revision: Revision("r".into()),
    }
}

fn version(text: &str) -> Primary {
    Primary::Version(text.parse().unwrap())
}

/// What a call of a stage ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Served {
    Latest,
    Version(String),
    Other,
    Failed(String),
}

fn ask(stage: &str, alias: &str) -> Ask {
    ask_of("chat-api", stage, alias)
}

fn ask_of(function: &str, stage: &str, alias: &str) -> Ask {
    Ask {
        application: "shop".parse().unwrap(),
        api_id: "a1b2c3d4e5".parse().unwrap(),
        stage: stage.parse().unwrap(),
        alias: alias.parse().unwrap(),
        function_name: function.parse().unwrap(),
    }
}

/// Functions, their aliases and policies, and one API. Aliases and policies are by `function:alias`.
#[derive(Clone, Debug, PartialEq)]
struct World {
    aliases: BTreeMap<String, Alias>,
    policies: BTreeMap<String, Vec<Statement>>,
    api: Api,
    wirings: Vec<Wiring>,
    written: usize,
}

impl World {
    /// An API whose operations are called so, deployed to these stages.
    fn new(kind: Kind, operations: &[(&str, String)], stages: &[&str]) -> Self {
        let definition: Operations = operations
            .iter()
            .map(|(name, uri)| ((*name).to_owned(), uri.clone()))
            .collect();
        let stages = stages.iter().map(|name| Stage {
            name: (*name).to_owned(),
            deployed: definition.clone(),
            ..Stage::default()
        });
        Self {
            aliases: BTreeMap::new(),
            policies: BTreeMap::new(),
            api: Api {
                kind,
                sites: definition
                    .iter()
                    .map(|(name, uri)| CallSite {
                        kind: if name.starts_with(AUTHORIZER) {
                            SiteKind::Authorizer
                        } else {
                            SiteKind::Integration
                        },
                        id: format!("id of {name}"),
                        label: name.clone(),
                        uri: uri.clone(),
                    })
                    .collect(),
                stages: stages.collect(),
                definition,
            },
            wirings: Vec::new(),
            written: 0,
        }
    }

    fn stage(&mut self, name: &str) -> &mut Stage {
        self.api
            .stages
            .iter_mut()
            .find(|stage| stage.name == name)
            .unwrap()
    }

    /// The operation whose integration has this id, with all that auto-deploys.
    fn define(&mut self, id: &str, uri: &str) {
        let label = id.trim_start_matches("id of ").to_owned();
        self.api.definition.insert(label, uri.to_owned());
        let one = self.api.sites.iter_mut().find(|one| one.id == id).unwrap();
        one.uri = uri.to_owned();
        for stage in self.api.stages.iter_mut().filter(|stage| stage.auto_deploy) {
            stage.deployed.clone_from(&self.api.definition);
        }
    }

    fn deploy(&mut self, stage: &str) {
        let definition = self.api.definition.clone();
        self.stage(stage).deployed = definition;
    }

    /// What a function has, by its alias.
    fn of<T: Clone>(all: &BTreeMap<String, T>, function: &FunctionName) -> BTreeMap<String, T> {
        all.iter()
            .filter_map(|(key, value)| {
                let (name, alias) = key.split_once(':')?;
                (name == function.as_ref()).then(|| (alias.to_owned(), value.clone()))
            })
            .collect()
    }

    fn seen(&self, ask: &Ask) -> Seen {
        let mine = |one: &&Wiring| one.stage == ask.stage && one.function_name == ask.function_name;
        Seen {
            function_arn: format!("{HEAD}:function:{}", ask.function_name),
            aliases: Self::of(&self.aliases, &ask.function_name),
            policies: Self::of(&self.policies, &ask.function_name),
            own_policy: vec![Statement {
                id: "theirs".into(),
                service: "apigateway.amazonaws.com".into(),
                source_arn: String::new(),
            }],
            other_code: false,
            users: BTreeMap::new(),
            api: self.api.clone(),
            wiring: self.wirings.iter().find(mine).cloned(),
            others: self
                .wirings
                .iter()
                .filter(|one| !mine(one))
                .cloned()
                .collect(),
        }
    }

    fn carry_out(&mut self, ask: &Ask, write: &Write) {
        self.written += 1;
        let key = |alias: &AliasName| format!("{}:{alias}", ask.function_name);
        match write.clone() {
            Write::Record(wiring) => {
                let same = |one: &Wiring| {
                    (&one.stage, &one.function_name) == (&wiring.stage, &wiring.function_name)
                };
                self.wirings.retain(|one| !same(one));
                self.wirings.push(*wiring);
            }
            Write::MakeAlias(name) => {
                let at = if name.as_ref() == LATEST_ALIAS {
                    Primary::Latest
                } else {
                    version("1")
                };
                assert!(
                    self.aliases.insert(key(&name), alias(at)).is_none(),
                    "{name}"
                );
            }
            Write::Permit(permit) => {
                self.policies
                    .entry(key(&permit.alias))
                    .or_default()
                    .push(Statement {
                        id: permit.id,
                        service: "apigateway.amazonaws.com".into(),
                        source_arn: permit.source_arn,
                    });
            }
            Write::SetVariable { stage, name, value } => {
                let stage = self.stage(&stage);
                assert!(!stage.managed, "quick create's stage takes no variables");
                match value {
                    Some(value) => drop(stage.variables.insert(name, value)),
                    None => drop(stage.variables.remove(&name)),
                }
            }
            Write::SetUri { id, uri, .. } => self.define(&id, &uri),
            Write::Deploy(stage) => {
                assert!(!self.stage(&stage).auto_deploy);
                self.deploy(&stage);
            }
            Write::Forbid(permit) => {
                let policy = self.policies.get_mut(&key(&permit.alias)).unwrap();
                policy.retain(|statement| statement.id != permit.id);
            }
            Write::DeleteAlias(name) => {
                self.aliases.remove(&key(&name)).unwrap();
                self.policies.remove(&key(&name));
            }
            Write::Forget => self
                .wirings
                .retain(|one| (&one.stage, &one.function_name) != (&ask.stage, &ask.function_name)),
        }
    }

    /// What the stage's operations are served with.
    fn serves(&self, stage: &str) -> BTreeSet<String> {
        let stage = self
            .api
            .stages
            .iter()
            .find(|one| one.name == stage)
            .unwrap();
        stage
            .deployed
            .iter()
            .map(|(label, uri)| format!("{:?}", self.call(stage, label, uri)))
            .collect()
    }

    fn call(&self, stage: &Stage, label: &str, uri: &str) -> Served {
        let Some(call) = uri::Call::parse(uri) else {
            return Served::Other;
        };
        let callee = call.reaches(&stage.variables);
        if callee.function == "other" {
            return Served::Other;
        }
        let qualifier = match callee.qualifier.as_deref() {
            None | Some("$LATEST") => return Served::Latest,
            Some(qualifier) => qualifier.to_owned(),
        };
        let api = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5";
        let from = if label.starts_with(AUTHORIZER) {
            format!("{api}/authorizers/id of {label}")
        } else {
            format!("{api}/{}/GET/chat", stage.name)
        };
        let lets = |statement: &Statement| is_like(&from, &statement.source_arn);
        let key = format!("{}:{qualifier}", callee.function);
        let policy = self.policies.get(&key);
        if !policy.is_some_and(|policy| policy.iter().any(lets)) {
            return Served::Failed(format!("{key} does not let {from} in"));
        }
        match self.aliases.get(&key).map(|alias| &alias.primary) {
            None => Served::Failed(format!("there is no {qualifier}")),
            Some(Primary::Latest | Primary::LatestPublished) => Served::Latest,
            Some(Primary::Version(version)) => Served::Version(version.to_string()),
        }
    }

    fn nobody_fails(&self, after: &Write) {
        for stage in &self.api.stages {
            for (label, uri) in &stage.deployed {
                let served = self.call(stage, label, uri);
                assert!(
                    !matches!(served, Served::Failed(_)),
                    "{} after {after}: {served:?}",
                    stage.name
                );
            }
        }
    }

    /// Carries the plans out. After each write everything is decided anew, as after a lost answer;
    /// and no stage fails in between.
    fn run(
        &mut self,
        ask: &Ask,
        plan: fn(&Ask, &Seen) -> Result<Plan, Refusal>,
    ) -> Result<usize, Refusal> {
        let begun = self.written;
        for _ in 0..50 {
            let plan = plan(ask, &self.seen(ask))?;
            let Some(write) = plan.writes.first() else {
                assert!(
                    plan.live,
                    "nothing is left to write, and it is not in force"
                );
                return Ok(self.written - begun);
            };
            let forgotten = *write == Write::Forget;
            self.carry_out(ask, write);
            self.nobody_fails(write);
            if forgotten {
                return Ok(self.written - begun);
            }
        }
        panic!("it never ends: {self:?}");
    }
}

/// Whether a text is like a pattern whose stars take any text.
fn is_like(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| is_like(&rest[at..], tail))
        }),
    }
}

fn rest() -> World {
    World::new(
        Kind::Rest,
        &[
            ("GET /chat", long("chat-api")),
            ("POST /chat", long("chat-api:$LATEST")),
            ("GET /other", long("other")),
            ("GET /page", "https://example.com/".into()),
        ],
        &["prod", "staging", "dev"],
    )
}

fn http() -> World {
    let mut world = World::new(
        Kind::Http,
        &[("ANY /chat", format!("{HEAD}:function:chat-api"))],
        &["prod", "staging"],
    );
    world.stage("prod").auto_deploy = true;
    world.stage("staging").auto_deploy = true;
    world
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn wires_and_unwires_without_interruption() {
    let mut by_qualifier = World::new(
        Kind::Rest,
        &[("GET /chat", long("chat-api:${stageVariables.version}"))],
        &["prod", "staging"],
    );
    by_qualifier
        .aliases
        .insert("chat-api:dev".into(), alias(Primary::Latest));
    for stage in ["prod", "staging"] {
        let variables = &mut by_qualifier.stage(stage).variables;
        variables.insert("version".into(), "dev".into());
        let statement = Statement {
            id: format!("theirs-{stage}"),
            service: "apigateway.amazonaws.com".into(),
            source_arn: format!("arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/{stage}/*"),
        };
        by_qualifier
            .policies
            .entry("chat-api:dev".into())
            .or_default()
            .push(statement);
    }
    let mut by_name = World::new(
        Kind::Rest,
        &[("GET /chat", long("${stageVariables.function}"))],
        &["prod", "staging"],
    );
    for (stage, function) in [("prod", "chat-api"), ("staging", "chat-api")] {
        by_name
            .stage(stage)
            .variables
            .insert("function".into(), function.into());
    }
    let mut quick = World::new(
        Kind::Http,
        &[("ANY /$default", format!("{HEAD}:function:chat-api"))],
        &["$default"],
    );
    quick.stage("$default").auto_deploy = true;
    quick.stage("$default").managed = true;

    for (name, mut world) in [
        ("rest", rest()),
        ("http", http()),
        ("by a qualifier", by_qualifier),
        ("by a name", by_name),
        ("quick create", quick),
    ] {
        let before = world.clone();
        let target = world.api.stages[0].name.clone();
        let others: Vec<_> = world.api.stages[1..]
            .iter()
            .map(|stage| stage.name.clone())
            .collect();
        let ask = ask(&target, "production");

        assert!(world.run(&ask, plan_wiring).unwrap() > 2, "{name}");
        assert!(
            world.serves(&target).contains("Version(\"1\")"),
            "{name}: {world:?}"
        );
        assert!(
            !world.serves(&target).contains("Latest"),
            "{name}: {world:?}"
        );
        // It is done, and nothing is written again.
        assert_eq!(world.run(&ask, plan_wiring), Ok(0), "{name}");
        // A deployment to another stage does not reach production's version.
        for other in &others {
            world.deploy(other);
            let served = world.serves(other);
            assert!(
                served.contains("Latest"),
                "{name}: {other} serves {served:?}"
            );
            assert!(
                !served.contains("Version(\"1\")"),
                "{name}: {other} serves {served:?}"
            );
        }

        world.run(&ask, plan_unwiring).unwrap();
        world.written = before.written;
        world.policies.retain(|_, policy| !policy.is_empty());
        assert_eq!(world, before, "{name}");
    }
}

#[test]
fn plans_all_writes_of_a_phase_together() {
    let (mut world, ask) = (rest(), ask("prod", "production"));
    let mut phases = Vec::new();
    loop {
        let plan = plan_wiring(&ask, &world.seen(&ask)).unwrap();
        if plan.writes.is_empty() {
            break;
        }
        phases.push(plan.writes.len());
        for write in &plan.writes {
            world.carry_out(&ask, write);
            world.nobody_fails(write);
        }
    }
    // Record, 2 aliases, 2 permissions; 3 variables; 2 integrations and the deployment.
    assert_eq!(phases, [5, 3, 3]);
}

#[test]
fn keeps_existing_aliases() {
    let (mut world, ask) = (rest(), ask("prod", "production"));
    world
        .aliases
        .insert("chat-api:production".into(), alias(version("7")));
    world.run(&ask, plan_wiring).unwrap();
    assert_eq!(world.serves("prod"), set(&["Other", "Version(\"7\")"]));
    world.run(&ask, plan_unwiring).unwrap();
    assert_eq!(
        world.aliases.keys().collect::<Vec<_>>(),
        ["chat-api:production"]
    );
}

#[test]
fn gives_each_stage_its_own_alias() {
    let mut world = rest();
    let (prod, staging) = (ask("prod", "production"), ask("staging", "preview"));
    world.run(&prod, plan_wiring).unwrap();
    world.run(&staging, plan_wiring).unwrap();
    assert_eq!(world.serves("staging"), set(&["Other", "Version(\"1\")"]));
    assert_eq!(world.serves("dev"), set(&["Other", "Latest"]));
    // The first wiring's integrations are the second's too.
    let refused = world.run(&prod, plan_unwiring).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("stage staging was wired later"),
        "{refused}"
    );
    world.run(&staging, plan_unwiring).unwrap();
    assert_eq!(world.serves("staging"), set(&["Other", "Latest"]));
    world.run(&prod, plan_unwiring).unwrap();
    assert!(
        world.aliases.is_empty() && world.wirings.is_empty(),
        "{world:?}"
    );
}

#[test]
fn sets_the_variable_of_a_later_stage() {
    let (mut world, ask) = (rest(), ask("prod", "production"));
    world.run(&ask, plan_wiring).unwrap();
    world.api.stages.push(Stage {
        name: "late".into(),
        ..Stage::default()
    });
    let plan = plan_wiring(&ask, &world.seen(&ask)).unwrap();
    assert!(matches!(&plan.writes[..], [Write::Record(_)]), "{plan:?}");
    assert_eq!(world.run(&ask, plan_wiring), Ok(2));
    world.deploy("late");
    assert_eq!(world.serves("late"), set(&["Other", "Latest"]));
    world.run(&ask, plan_unwiring).unwrap();
    assert_eq!(world.serves("late"), set(&["Other", "Latest"]));
}

#[test]
fn keeps_foreign_stage_variables() {
    let (mut world, ask) = (rest(), ask("prod", "production"));
    world
        .stage("dev")
        .variables
        .insert("chat_api_alias".into(), "mine".into());
    world.run(&ask, plan_wiring).unwrap();
    assert_eq!(world.stage("dev").variables["chat_api_alias"], "mine");
    assert_eq!(
        world.stage("prod").variables["chat_api_alias_2"],
        "production"
    );
}

#[test]
fn refuses_wider_changes_before_writing() {
    let wired = |change: &dyn Fn(&mut World)| {
        let mut world = rest();
        change(&mut world);
        let ask = ask("prod", "production");
        let refused = world.run(&ask, plan_wiring).unwrap_err();
        assert_eq!(world.written, 0, "{refused}");
        refused
    };
    let refused = wired(&|world| world.stage("prod").name = "production".into());
    assert!(
        matches!(&refused, Refusal::Invalid(why) if why.contains("has no stage prod; it has production, staging, dev")),
        "{refused}"
    );
    let refused = wired(&|world| {
        for id in ["id of GET /chat", "id of POST /chat"] {
            world.define(id, &long("other"));
        }
    });
    assert!(
        matches!(&refused, Refusal::Invalid(why) if why.contains("no integration or authorizer of API")),
        "{refused}"
    );
    let refused = wired(&|world| world.define("id of GET /chat", &long("chat-api:3")));
    assert!(
        matches!(&refused, Refusal::Unfit(why) if why.contains("GET /chat calls chat-api:3")),
        "{refused}"
    );
    let refused = wired(&|world| {
        world
            .stage("prod")
            .deployed
            .insert("GET /chat".into(), long("chat-api:3"));
    });
    assert!(
        refused
            .to_string()
            .contains("as deployed, calls chat-api:3"),
        "{refused}"
    );
    let refused = wired(&|world| world.define("id of GET /page", "https://example.com/new"));
    assert!(
        matches!(&refused, Refusal::Unfit(why) if why.contains("would publish other changes of the API too: GET /page;")),
        "{refused}"
    );
    let refused = wired(&|world| drop(world.api.definition.remove("GET /page")));
    assert!(
        refused
            .to_string()
            .contains("not in the definition any more"),
        "{refused}"
    );
    let refused = wired(&|world| world.stage("prod").canary = true);
    assert!(refused.to_string().contains("has a canary"), "{refused}");
    let refused = wired(&|world| world.stage("dev").managed = true);
    assert!(
        refused.to_string().contains("made by quick create"),
        "{refused}"
    );
    let refused = wired(&|world| {
        world
            .aliases
            .insert(format!("chat-api:{LATEST_ALIAS}"), alias(version("1")));
    });
    assert!(
        matches!(&refused, Refusal::Outside(why) if why.contains("has to point at $LATEST")),
        "{refused}"
    );
    let refused = wired(&|world| {
        world.define("id of GET /chat", &long("chat-${stageVariables.env}"));
        world
            .stage("prod")
            .variables
            .insert("env".into(), "api".into());
    });
    assert!(
        refused.to_string().contains("name the function"),
        "{refused}"
    );
}

#[test]
fn keeps_foreign_changes() {
    let wired = || {
        let (mut world, ask) = (rest(), ask("prod", "production"));
        world.run(&ask, plan_wiring).unwrap();
        (world, ask)
    };
    let refused = |mut world: World, ask: &Ask| {
        let before = world.written;
        let refused = world.run(ask, plan_unwiring).unwrap_err();
        assert_eq!(world.written, before, "{refused}");
        refused
    };
    let (mut world, ask) = wired();
    world.define("id of GET /chat", &long("chat-api:9"));
    assert!(matches!(refused(world, &ask), Refusal::Outside(why) if why.contains("GET /chat")));
    let (mut world, ask) = wired();
    world
        .stage("prod")
        .variables
        .insert("chat_api_alias".into(), "other".into());
    assert!(matches!(refused(world, &ask), Refusal::Outside(why) if why.contains("is other")));
    let (mut world, ask) = wired();
    world.define("id of GET /page", "https://example.com/new");
    assert!(matches!(refused(world, &ask), Refusal::Unfit(why) if why.contains("GET /page")));
    let (world, _) = wired();
    let mut seen = world.seen(&ask);
    seen.own_policy.clear();
    assert!(
        matches!(plan_unwiring(&ask, &seen), Err(Refusal::Unfit(why)) if why.contains("give it back"))
    );
}

#[test]
fn refuses_to_unwire_without_a_record() {
    let mut world = rest();
    let refused = world
        .run(&ask("prod", "production"), plan_unwiring)
        .unwrap_err();
    assert!(
        matches!(&refused, Refusal::Invalid(why) if why.contains("no record")),
        "{refused}"
    );
    world.run(&ask("prod", "production"), plan_wiring).unwrap();
    for plan in [plan_wiring, plan_unwiring] {
        let refused = world.run(&ask("prod", "live"), plan).unwrap_err();
        assert!(
            matches!(&refused, Refusal::Invalid(why) if why.contains("wired to chat-api:production")),
            "{refused}"
        );
    }
}

#[test]
fn keeps_aliases_in_use() {
    for use_it in [
        |world: &mut World| {
            let split = world.aliases.get_mut("chat-api:production").unwrap();
            split.additional = Some(("2".parse().unwrap(), 0.1));
        },
        |world: &mut World| {
            world
                .policies
                .get_mut("chat-api:production")
                .unwrap()
                .push(Statement {
                    id: "theirs".into(),
                    service: "sns.amazonaws.com".into(),
                    source_arn: String::new(),
                });
        },
    ] {
        let (mut world, ask) = (rest(), ask("prod", "production"));
        world.run(&ask, plan_wiring).unwrap();
        use_it(&mut world);
        world.run(&ask, plan_unwiring).unwrap();
        assert_eq!(
            world.aliases.keys().collect::<Vec<_>>(),
            ["chat-api:production"]
        );
        assert!(world.wirings.is_empty());
    }
    let (mut world, ask) = (rest(), ask("prod", "production"));
    world.run(&ask, plan_wiring).unwrap();
    let mut seen = world.seen(&ask);
    seen.api = rest().api;
    seen.users
        .insert("production".into(), vec!["queue jobs is read by it".into()]);
    let plan = plan_unwiring(&ask, &seen).unwrap();
    assert!(
        !plan
            .writes
            .iter()
            .any(|write| matches!(write, Write::DeleteAlias(one) if one.as_ref() == "production"))
    );
    assert_eq!(
        plan.notes,
        ["alias production is kept: queue jobs is read by it"]
    );
}

#[test]
fn waits_for_auto_deploy() {
    let (mut world, ask) = (http(), ask("prod", "production"));
    let old = world.stage("prod").deployed.clone();
    world.run(&ask, plan_wiring).unwrap();
    world.stage("prod").deployed = old;
    let plan = plan_wiring(&ask, &world.seen(&ask)).unwrap();
    assert_eq!((plan.writes.len(), plan.live), (0, false));
}

#[test]
fn other_code_is_told() {
    let (world, ask) = (rest(), ask("prod", "production"));
    let mut seen = world.seen(&ask);
    seen.other_code = true;
    let notes = plan_wiring(&ask, &seen).unwrap().notes;
    assert!(notes[0].contains("called $LATEST of chat-api"), "{notes:?}");
}

#[test]
fn lists_the_functions_of_a_stage() {
    let mut world = rest();
    let of = |world: &World, stage: &str| {
        let stage = world.api.stage(&stage.parse().unwrap())?;
        Ok::<_, Refusal>(world.api.functions_of(stage))
    };
    assert_eq!(of(&world, "prod"), Ok(set(&["chat-api", "other"])));
    world.define("id of GET /other", &long("${stageVariables.function}"));
    let variables = &mut world.stage("dev").variables;
    variables.insert("function".into(), "jobs:live".into());
    assert_eq!(of(&world, "dev"), Ok(set(&["chat-api", "jobs"])));
    assert!(of(&world, "none").is_err());
}

#[test]
fn names_of_apis_and_stages() {
    assert!("a1b2c3d4e5".parse::<ApiId>().is_ok());
    for wrong in [
        "",
        "arn:aws:apigateway:eu-west-1::/restapis/a1",
        "a-1",
        &"a".repeat(65),
    ] {
        assert!(wrong.parse::<ApiId>().is_err(), "{wrong}");
    }
    for right in ["prod", "$default", "v1_2-x"] {
        assert!(right.parse::<StageName>().is_ok(), "{right}");
    }
    for wrong in ["", "$latest", "a/b", "a b", &"a".repeat(129)] {
        assert!(wrong.parse::<StageName>().is_err(), "{wrong}");
    }
}

/// An authorizer alone, of either kind of API, is wired and unwired as an integration is.
#[test]
fn wires_and_unwires_authorizers() {
    for kind in [Kind::Rest, Kind::Http] {
        let operations = [
            ("GET /chat", long("other")),
            ("authorizer users", long("chat-api")),
        ];
        let mut world = World::new(kind, &operations, &["prod", "staging"]);
        let before = world.clone();
        let ask = ask("prod", "production");
        world.run(&ask, plan_wiring).unwrap();
        assert_eq!(world.serves("prod"), set(&["Other", "Version(\"1\")"]));
        let uri = long("chat-api:${stageVariables.chat_api_alias}");
        assert_eq!(world.api.definition["authorizer users"], uri);
        let [statement] = &world.policies["chat-api:production"][..] else {
            panic!("{world:?}");
        };
        assert!(
            statement
                .source_arn
                .ends_with("/authorizers/id of authorizer users"),
            "{statement:?}"
        );
        world.deploy("staging");
        assert_eq!(world.serves("staging"), set(&["Latest", "Other"]));
        world.run(&ask, plan_unwiring).unwrap();
        world.written = 0;
        assert_eq!(world, before);
    }
}

/// Two functions of one stage, on aliases of one name: each has its own.
#[test]
fn unwiring_compares_by_function() {
    let operations = [
        ("GET /chat", long("chat-api")),
        ("POST /jobs", long("jobs-api")),
    ];
    let mut world = World::new(Kind::Rest, &operations, &["prod", "staging"]);
    let before = world.clone();
    let asks = ["chat-api", "jobs-api"].map(|name| ask_of(name, "prod", "production"));
    for ask in &asks {
        world.run(ask, plan_wiring).unwrap();
    }
    for (ask, left) in asks.iter().zip([2, 0]) {
        let notes = plan_unwiring(ask, &world.seen(ask)).unwrap().notes;
        assert_eq!(notes, Vec::<String>::new());
        world.run(ask, plan_unwiring).unwrap();
        assert_eq!(world.aliases.len(), left, "{world:?}");
    }
    world.written = 0;
    assert_eq!(world, before);
}

/// The alias that the first of two wirings made goes with the last of them.
#[test]
fn deletes_the_alias_with_its_last_stage() {
    let mut world = World::new(
        Kind::Rest,
        &[("GET /chat", long("${stageVariables.function}"))],
        &["prod", "staging"],
    );
    for stage in ["prod", "staging"] {
        let variables = &mut world.stage(stage).variables;
        variables.insert("function".into(), "chat-api".into());
    }
    let before = world.clone();
    let asks = ["prod", "staging"].map(|stage| ask(stage, "production"));
    for ask in &asks {
        world.run(ask, plan_wiring).unwrap();
    }
    for ask in &asks {
        world.run(ask, plan_unwiring).unwrap();
    }
    world.written = 0;
    assert_eq!(world, before);
}

#[test]
fn refuses_a_variable_of_two_functions() {
    let variable = "${stageVariables.alias}";
    let operations = [
        ("GET /chat", long(&format!("chat-api:{variable}"))),
        ("POST /jobs", long(&format!("jobs-api:{variable}"))),
    ];
    let mut world = World::new(Kind::Rest, &operations, &["prod"]);
    world
        .stage("prod")
        .variables
        .insert("alias".into(), "dev".into());
    for function in ["chat-api", "jobs-api"] {
        let dev = alias(Primary::Latest);
        world.aliases.insert(format!("{function}:dev"), dev);
    }
    let refused = world
        .run(&ask("prod", "production"), plan_wiring)
        .unwrap_err();
    assert!(
        matches!(&refused, Refusal::Unfit(why) if why.contains("alias says what POST /jobs calls too")),
        "{refused}"
    );
    assert_eq!(world.written, 0);
}

#[test]
fn reads_records_of_former_releases() {
    let text = r#"{"integration":"x/GET","label":"GET /chat","before":"a","after":"b"}"#;
    let change: UriChange = serde_json::from_str(text).unwrap();
    assert_eq!(
        (change.kind, change.id.as_str()),
        (SiteKind::Integration, "x/GET")
    );
    assert_eq!(serde_json::to_string(&change).unwrap(), text);
}

/// How a call site of a random API names its function.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Latest,
    Arn,
    /// By a stage variable for the qualifier: the function's own, or one of all functions.
    Qualifier,
    Shared,
    /// By a stage variable for the name.
    Name,
}

fn functions() -> [String; 6] {
    let long = "f".repeat(61);
    [
        "fn-a",
        "fn_a",
        "fn-b",
        "9",
        &format!("{long}-aa"),
        &format!("{long}-ab"),
    ]
    .map(str::to_owned)
}

fn stages() -> [String; 6] {
    let long = "s".repeat(126);
    [
        "prod",
        "staging",
        "any",
        "authorizer-x",
        &format!("{long}aa"),
        &format!("{long}ab"),
    ]
    .map(str::to_owned)
}

/// Functions by number; call sites as function, form and whether an authorizer; stages by number.
fn worlds() -> impl Strategy<Value = World> {
    let kinds = select(vec![
        (Kind::Rest, false),
        (Kind::Http, true),
        (Kind::Http, false),
    ]);
    let forms = select(vec![
        Form::Plain,
        Form::Plain,
        Form::Latest,
        Form::Arn,
        Form::Qualifier,
        Form::Shared,
        Form::Name,
    ]);
    let sites = vec((any::<Index>(), forms, any::<bool>()), 1..10);
    let chosen = |most| hash_set(0_usize..6, 1..=most);
    let managed = proptest::bool::weighted(0.1);
    (
        kinds,
        chosen(5),
        chosen(4),
        sites,
        managed,
        any::<[bool; 6]>(),
    )
        .prop_map(|((kind, auto), chosen, on, sites, managed, promoted)| {
            let managed = managed && kind == Kind::Http;
            let mut functions_of: Vec<_> = chosen.into_iter().collect();
            functions_of.sort_unstable();
            let names = functions();
            let on: Vec<_> = on.into_iter().map(|nth| stages()[nth].clone()).collect();
            let on = if managed {
                vec!["$default".to_owned()]
            } else {
                on
            };
            let on: Vec<&str> = on.iter().map(String::as_str).collect();
            let (mut operations, mut variables) = (Vec::new(), BTreeMap::new());
            let mut devs = BTreeSet::new();
            for (nth, (function, form, authorizer)) in sites.iter().enumerate() {
                let number = *function.get(&functions_of);
                let name = names[number].as_str();
                let form = match form {
                    Form::Arn if kind == Kind::Rest => Form::Plain,
                    Form::Qualifier | Form::Shared | Form::Name if managed => Form::Plain,
                    form => *form,
                };
                let mut by = |variable: String, value: &str, text: &str| {
                    let text = text.replace("VARIABLE", &uri::reference(&variable));
                    variables.insert(variable, value.to_owned());
                    long(&text)
                };
                let uri = match form {
                    Form::Plain => long(name),
                    Form::Latest => long(&format!("{name}:$LATEST")),
                    Form::Arn => format!("{HEAD}:function:{name}"),
                    Form::Qualifier => by(format!("v{number}"), "dev", &format!("{name}:VARIABLE")),
                    Form::Shared => by("shared".into(), "dev", &format!("{name}:VARIABLE")),
                    Form::Name => by(format!("n{number}"), name, "VARIABLE"),
                };
                if matches!(form, Form::Qualifier | Form::Shared) {
                    devs.insert(name.to_owned());
                }
                let label = match authorizer {
                    true => authorizer_label(&nth.to_string()),
                    false => format!("GET /{nth}"),
                };
                operations.push((label, uri));
            }
            let operations: Vec<_> = operations
                .iter()
                .map(|(label, uri)| (label.as_str(), uri.clone()))
                .collect();
            let mut world = World::new(kind, &operations, &on);
            for stage in &mut world.api.stages {
                stage.variables.clone_from(&variables);
                stage.auto_deploy = auto || managed;
                stage.managed = managed;
            }
            for name in devs {
                let key = format!("{name}:dev");
                world.aliases.insert(key.clone(), alias(Primary::Latest));
                let statement = Statement {
                    id: "theirs".into(),
                    service: "apigateway.amazonaws.com".into(),
                    source_arn: "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/*".into(),
                };
                world.policies.insert(key, vec![statement]);
            }
            for number in functions_of.into_iter().filter(|number| promoted[*number]) {
                let key = format!("{}:production", names[number]);
                world.aliases.insert(key, alias(version("7")));
            }
            world
        })
}

impl World {
    /// What every call of every stage is served with, but for a function's on one stage.
    fn others_serve(&self, ask: &Ask) -> BTreeMap<(String, String), Served> {
        let mut served = BTreeMap::new();
        for stage in &self.api.stages {
            for (label, uri) in &stage.deployed {
                let callee = uri::Call::parse(uri).unwrap().reaches(&stage.variables);
                let is_target = stage.name == ask.stage.as_ref()
                    && callee.function == ask.function_name.as_ref();
                if !is_target {
                    let key = (stage.name.clone(), label.clone());
                    served.insert(key, self.call(stage, label, uri));
                }
            }
        }
        served
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Wirings of several functions on several stages, undone in any order of the functions, leave the API,
    /// the policies and the aliases as they were; and no call fails or changes in between but those that
    /// are wired.
    #[test]
    fn wirings_and_unwirings_leave_everything_as_it_was(
        mut world in worlds(),
        wanted in vec((any::<Index>(), any::<Index>(), select(vec!["production", "live"])), 1..12),
        order in vec(any::<u32>(), 12),
    ) {
        let before = world.clone();
        let stages: Vec<_> = before.api.stages.iter().map(|stage| stage.name.clone()).collect();
        let names: Vec<_> = before.api.stages.iter().flat_map(|stage| before.api.functions_of(stage)).collect();
        prop_assert!(!names.is_empty());
        let mut wired: Vec<Ask> = Vec::new();
        for (function, stage, alias) in wanted {
            let ask = ask_of(function.get::<String>(&names), stage.get::<String>(&stages), alias);
            let (others, was) = (world.others_serve(&ask), world.clone());
            if let Err(refusal) = world.run(&ask, plan_wiring) {
                let known = ["wired to", "says what", "no integration or authorizer", "not $LATEST"];
                let why = refusal.to_string();
                prop_assert!(known.iter().any(|text| why.contains(text)), "{why}");
                prop_assert_eq!(&world, &was, "refused: {}", why);
                continue;
            }
            prop_assert_eq!(world.others_serve(&ask), others, "{:?}", ask);
            let served = world.api.stage(&ask.stage).unwrap();
            for (label, uri) in &served.deployed {
                let callee = uri::Call::parse(uri).unwrap().reaches(&served.variables);
                if callee.function == ask.function_name.as_ref() {
                    let served = world.call(served, label, uri);
                    prop_assert!(matches!(served, Served::Version(_)), "{label}: {served:?}");
                }
            }
            if !wired.contains(&ask) {
                wired.push(ask);
            }
        }
        let mut order = order.into_iter().cycle();
        wired.sort_by_cached_key(|_| order.next());
        while !wired.is_empty() {
            let count = wired.len();
            let mut left = Vec::new();
            for ask in wired {
                let (others, was) = (world.others_serve(&ask), world.clone());
                match world.run(&ask, plan_unwiring) {
                    Ok(_) => prop_assert_eq!(world.others_serve(&ask), others, "{:?}", ask),
                    Err(refusal) => {
                        // One function's stages go in the other order where one variable serves them.
                        let why = refusal.to_string();
                        prop_assert!(why.contains("was wired later"), "{why}");
                        prop_assert_eq!(&world, &was);
                        left.push(ask);
                    }
                }
            }
            prop_assert!(left.len() < count, "nothing of it can be unwired: {left:?}");
            wired = left;
        }
        world.written = 0;
        world.policies.retain(|_, policy| !policy.is_empty());
        prop_assert_eq!(world, before);
    }
}
