//! The traffic splitters, each with a world before the release.

use std::{collections::BTreeSet, sync::LazyLock};

use crossfade::fake::{
    AliasState, RecordState, World,
    jobs::{Id, Setting, version},
};
use serde_json::json;

/// The version that serves before.
pub(crate) const BLUE: u8 = 1;

/// A traffic splitter.
pub(crate) struct Splitter {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Its releases.
    pub(crate) setting: Setting,
    /// What is there before.
    pub(crate) world: World,
}

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";

pub(crate) static SPLITTERS: LazyLock<[Splitter; 7]> = LazyLock::new(|| {
    [
        aliases("alias", &["f"]),
        aliases("aliases", &["f", "g"]),
        records(),
        groups(),
        aliases("alias with a control group", &["f"]).keeping(),
        records().keeping(),
        groups().keeping(),
    ]
});

fn on_blue(functions: &[&str], alias: &str) -> World {
    let mut world = World::default();
    for function in functions {
        let key = (function.parse().unwrap(), alias.parse().unwrap());
        let state = AliasState::on(version(BLUE), "r0");
        world.aliases.insert(key, state);
    }
    world
}

fn aliases(name: &'static str, functions: &[&str]) -> Splitter {
    let traffic = json!({"type": "alias"});
    Splitter {
        name,
        setting: Setting::new(functions, &[10, 100], &traffic, &traffic),
        world: on_blue(functions, "live"),
    }
}

/// Blue's record has all weight; a third record is parked beside both.
fn records() -> Splitter {
    let at = "Z0123456789ABCDEFGHIJ/api.example.com/A";
    let traffic = json!({"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ",
        "recordName": "api.example.com"});
    let mut world = on_blue(&["f"], "live-blue");
    let idle = ("f".parse().unwrap(), "live-green".parse().unwrap());
    world
        .aliases
        .insert(idle, AliasState::on(version(OLD), "r0"));
    let record = |identifier: &str, weight| RecordState {
        at: at.to_owned(),
        identifier: identifier.to_owned(),
        weight,
        rest: format!("what {identifier} has"),
    };
    let records = vec![record("parked", 0), record("blue", 100), record("green", 0)];
    world.records.insert(at.to_owned(), records);
    Splitter {
        name: "records",
        setting: Setting::new(&["f"], &[10, 100], &traffic, &json!({"type": "alias"})),
        world,
    }
}

/// What the idle side holds before.
const OLD: u8 = 9;

fn groups() -> Splitter {
    let group = |name: &str| format!("{ARN}:targetgroup/{name}/73e2d6bc24d8a067");
    let rule =
        format!("{ARN}:listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee");
    let traffic = json!({"type": "alb", "ruleArn": rule,
        "targetGroupArns": [group("blue"), group("green")]});
    let mut world = World::default();
    let of = |number: u8| format!("arn:aws:lambda:eu-west-1:123456789012:function:f:{number}");
    let forwards = vec![
        (group("parked"), 0),
        (group("blue"), 100),
        (group("green"), 0),
    ];
    world.forwards.insert(format!("rule/{rule}"), forwards);
    for (name, number) in [("blue", BLUE), ("green", OLD)] {
        world.groups.insert(group(name), vec![of(number)]);
        let permitted = vec![format!(":f:{number}")];
        world.permitted.insert(group(name), permitted);
    }
    Splitter {
        name: "groups",
        setting: Setting::new(&["f"], &[10, 100], &traffic, &json!({"type": "alias"})),
        world,
    }
}

impl Splitter {
    /// Returns it with a control group until the promotion.
    fn keeping(self) -> Self {
        Self {
            name: match self.name {
                "records" => "records with a control group",
                "groups" => "groups with a control group",
                name => name,
            },
            setting: self.setting.keeping(5),
            world: self.world,
        }
    }

    /// Whether its aliases split the traffic.
    pub(crate) fn is_of_aliases(&self) -> bool {
        self.world.records.is_empty() && self.world.forwards.is_empty()
    }

    /// Checks what the idle side holds after the release, and that what is not the release's is as it was.
    pub(crate) fn check_rest(&self, world: &World, promoted: bool) -> Result<(), String> {
        for (at, before) in &self.world.records {
            let rest = |records: &[RecordState]| -> Vec<(String, String)> {
                let each = records.iter();
                each.map(|one| (one.identifier.clone(), one.rest.clone()))
                    .collect()
            };
            if rest(before) != rest(&world.records[at]) {
                return Err(format!("records were changed: {:?}", world.records[at]));
            }
        }
        for (at, before) in &self.world.forwards {
            let rest = |groups: &[(String, u32)]| -> Vec<String> {
                groups.iter().map(|(group, _)| group.clone()).collect()
            };
            if rest(before) != rest(&world.forwards[at]) {
                return Err(format!("actions were changed: {:?}", world.forwards[at]));
            }
        }
        if promoted || self.is_of_aliases() {
            return Ok(());
        }
        let green = Id(0).green().to_string();
        let holds = |state: &AliasState| state.primary.to_string() == green;
        let registered =
            |ids: &Vec<String>| ids.iter().any(|id| id.ends_with(&format!(":{green}")));
        if world.aliases.values().any(holds) || world.groups.values().any(registered) {
            return Err("green is still registered on the idle side".to_owned());
        }
        Ok(())
    }
}

/// Returns which versions each function's traffic reaches; none where it reaches nothing.
pub(crate) fn serving(world: &World) -> Vec<(String, BTreeSet<Option<u8>>)> {
    let number = |text: &str| text.rsplit(':').next().and_then(|it| it.parse().ok());
    let primary = |state: &AliasState| number(&state.primary.to_string());
    let f = |shares: Vec<(u32, Option<u8>)>| {
        let with_weight = shares.into_iter().filter(|(weight, _)| *weight > 0);
        vec![(
            "f".to_owned(),
            with_weight.map(|(_, version)| version).collect(),
        )]
    };
    if let Some(records) = world.records.values().next() {
        let share = |record: &RecordState| {
            let alias = format!("live-{}", record.identifier);
            let key = ("f".parse().unwrap(), alias.parse().unwrap());
            (record.weight, world.aliases.get(&key).and_then(primary))
        };
        return f(records.iter().map(share).collect());
    }
    if let Some(groups) = world.forwards.values().next() {
        let share = |(group, weight): &(String, u32)| {
            let version = match world.groups.get(group).map(Vec::as_slice) {
                Some([one]) => number(one),
                _ => None,
            };
            (*weight, version)
        };
        return f(groups.iter().map(share).collect());
    }
    let each = world.aliases.iter().map(|((function, _), state)| {
        let additional = state.additional.as_ref();
        let versions = additional
            .filter(|(_, weight)| weight.tenths() > 0)
            .map(|(version, _)| number(version.as_ref()))
            .into_iter()
            .chain([primary(state)]);
        (function.to_string(), versions.collect())
    });
    each.collect()
}

/// The version that somebody else puts an alias on.
pub(crate) const STRANGER: u8 = 77;
