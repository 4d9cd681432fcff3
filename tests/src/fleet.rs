//! Many releases in flight at the same time, each of a function of its own that watches an alarm of
//! its own; and what becomes of them when their alarms fire.

use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};

use crate::{
    Behaviour, Execution, LocalAws, Target, World,
    release::until_within,
    world::{Call, Invocation},
};

/// The alias of each function.
pub const ALIAS: &str = "live";

/// How many are made or started at once: the local AWS has few cores.
const AT_ONCE: usize = 8;

/// Longer than this nothing here takes.
const PATIENCE: Duration = Duration::from_mins(10);

/// Functions whose version 1 serves and whose version 2 can be released.
#[derive(Clone, Debug)]
pub struct Fleet {
    targets: Vec<Target>,
}

/// One of them that is being released.
#[derive(Clone, Debug)]
pub struct Ship {
    /// Its function.
    pub target: Target,
    /// Its release.
    pub execution: Execution,
}

impl Ship {
    /// The alarm that it watches.
    #[must_use]
    pub fn alarm(&self) -> String {
        alarm(&self.target)
    }
}

fn alarm(target: &Target) -> String {
    format!("{}-alarm", target.name)
}

impl Fleet {
    /// Makes so many functions, with their alarms.
    pub async fn make(local: &LocalAws, world: &World, prefix: &str, size: usize) -> Self {
        let one = |nth: usize| async move {
            let name = format!("{prefix}{nth:03}");
            let target = Target::create(local, &name, Behaviour::healthy("blue")).await;
            target.publish().await;
            target.alias(ALIAS, "1").await;
            target.update(Behaviour::healthy("green")).await;
            target.publish().await;
            world.make_alarm(&alarm(&target)).await;
            target
        };
        let made = stream::iter(0..size).map(one).buffered(AT_ONCE);
        Self {
            targets: made.collect().await,
        }
    }

    /// Starts a release of the first so many, and waits until half of each one's traffic is on green.
    /// `bake_seconds` says how long the nth's bake is.
    pub async fn launch(
        &self,
        world: &World,
        size: usize,
        bake_seconds: impl Fn(usize) -> u32,
    ) -> Vec<Ship> {
        let one = |(nth, target): (usize, &Target)| {
            let request = request(target, bake_seconds(nth));
            let target = target.clone();
            async move {
                let execution = world.start(&request).await;
                let name = target.name.clone();
                until_within(PATIENCE, &format!("{name} is split"), || async {
                    let alias = target.look(ALIAS).await?;
                    (alias.share("2") > 0.0).then_some(())
                })
                .await;
                // Recorded after that: only then the release's own state goes on.
                until_within(PATIENCE, &format!("{name} bakes"), || async {
                    let row = world.deployment(&execution.arn).await?;
                    let weight = row.get("weight").and_then(Value::as_f64);
                    (weight > Some(0.0)).then_some(())
                })
                .await;
                Ship { target, execution }
            }
        };
        let targets = self.targets.iter().take(size).enumerate();
        let started = stream::iter(targets).map(one).buffered(AT_ONCE);
        started.collect().await
    }
}

/// Half of the traffic for a while, which is looked at once, and then all of it.
fn request(target: &Target, bake_seconds: u32) -> Value {
    json!({
        "application": format!("app-{}", target.name),
        "functions": [{"functionName": target.name, "alias": ALIAS, "code": {"version": "2"}}],
        "strategy": {"type": "canary", "steps": [
            {"weight": 50, "bakeSeconds": bake_seconds}, {"weight": 100, "bakeSeconds": bake_seconds},
        ]},
        "analysis": {
            "alarms": [alarm(target)], "minInvocations": 1, "settleSeconds": 0,
            "checkEverySeconds": bake_seconds.min(3600), "maxBakeSeconds": bake_seconds,
        },
    })
}

/// What became of a storm of alarms, in the order of its alarms.
#[derive(Clone, Debug)]
pub struct Storm {
    /// When each alarm's event was sent, seconds since 1970.
    pub fired: Vec<f64>,
    /// When each one's traffic was on blue, seconds since 1970; none where it is not.
    pub blue: Vec<Option<f64>>,
    /// The calls that the rollback checker made.
    pub calls: Vec<Call>,
    /// The rollback checker's invocations.
    pub invocations: Vec<Invocation>,
}

impl Storm {
    /// Has the alarms of all of them fire within `within`, and waits until what they set off is over.
    pub async fn over(world: &World, ships: &[Ship], within: Duration) -> Self {
        let (calls, invocations) = (world.now().await, world.invoked().await);
        let begun = Instant::now();
        let gap = within / u32::try_from(ships.len().max(1)).expect("there are not that many");
        let fired = (0_u32..).zip(ships).map(|(nth, ship)| {
            let control = world.control.clone();
            async move {
                tokio::time::sleep_until((begun + gap * nth).into()).await;
                let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let detail = json!({
                    "alarmName": ship.alarm(),
                    "state": {"value": "ALARM", "reason": "Threshold Crossed"},
                    "previousState": {"value": "OK"},
                });
                let kind = "CloudWatch Alarm State Change";
                control.put_event("aws.cloudwatch", kind, &detail).await;
                at.expect("it is after 1970").as_secs_f64()
            }
        });
        let fired = join_all(fired).await;

        let checker = world.stack.function("restore-blue");
        until_within(PATIENCE, "all alarms have been looked at", || async {
            let ran = world.invocations(invocations).await;
            let ran = ran
                .iter()
                .filter(|ran| ran.function == checker && !ran.error);
            (ran.count() >= ships.len()).then_some(())
        })
        .await;
        let mut calls = world.our_calls(calls).await;
        calls.retain(|call| call.caller.as_ref() == Some(&checker));
        let mut invocations = world.invocations(invocations).await;
        invocations.retain(|one| one.function == checker);
        let mut blue = Vec::new();
        for ship in ships {
            let alias = ship.target.look(ALIAS).await.expect("it is there");
            let written = calls.iter().find(|call| {
                call.action == "UpdateAlias"
                    && call.took_effect()
                    && call.resource.as_ref() == Some(&ship.target.name)
            });
            let settled = alias.settled() == Some("1");
            blue.push(written.filter(|_| settled).map(Call::answered));
        }
        Self {
            fired,
            blue,
            calls,
            invocations,
        }
    }

    /// From each alarm's event to traffic on blue, milliseconds; of those that are.
    #[must_use]
    pub fn to_blue_ms(&self) -> Vec<f64> {
        let each = self.fired.iter().zip(&self.blue);
        each.filter_map(|(fired, blue)| Some((blue.as_ref()? - fired) * 1e3))
            .collect()
    }

    /// What each event took of a CPU in our own process, its start too where it had to be started,
    /// milliseconds.
    #[must_use]
    pub fn ours_ms(&self) -> Vec<f64> {
        let each = self.invocations.iter();
        each.map(|one| one.init_cpu_ms + one.cpu_ms).collect()
    }
}
