//! What a release costs: states entered, AWS calls made, and what its functions take.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Behaviour, Execution, Target, World,
    release::Ended,
    world::{Call, Invocation},
};

/// How many steps the releases have that are compared.
pub const STEPS: [u8; 3] = [1, 3, 10];

/// What a Standard workflow's transition costs, dollars (us-east-1's list price, <https://aws.amazon.com/step-functions/pricing/>).
const TRANSITION: f64 = 0.025 / 1e3;
/// What a request of a function costs, dollars (the same, <https://aws.amazon.com/lambda/pricing/>).
const REQUEST: f64 = 0.20 / 1e6;
/// What a GB-second on arm64 costs, dollars: what the template asks for.
const GB_SECOND: f64 = 0.000_013_333_4;

/// What one release cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The states that were entered, in order.
    pub states: Vec<String>,
    /// The calls that the release's functions made.
    pub calls: Vec<Call>,
    /// The invocations of those functions.
    pub invocations: Vec<Invocation>,
}

/// Where the local AWS's lists are before a release.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    calls: u64,
    invocations: u64,
}

impl Since {
    /// Now.
    pub async fn now(world: &World) -> Self {
        Self {
            calls: world.now().await,
            invocations: world.invoked().await,
        }
    }
}

impl Cost {
    /// Returns what a release took that has ended and that `world` is narrowed to: what was done for it by the way,
    /// such as by the schedule, is not its own. Its retention is an execution of its own and is left out.
    pub async fn of(world: &World, execution: &Execution, since: Since) -> Self {
        let retention = world.stack.function("prune");
        let mut calls = world.our_calls(since.calls).await;
        calls.retain(|call| call.served && call.caller.as_ref() != Some(&retention));
        let mut invocations = world.invocations(since.invocations).await;
        invocations.retain(|one| one.function != retention);
        Self {
            states: execution.states_entered().await,
            calls,
            invocations,
        }
    }

    /// How many calls each function made.
    #[must_use]
    pub fn by_caller(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            let caller = call.caller.as_deref().unwrap_or_default();
            *counts.entry(caller).or_default() += 1;
        }
        counts
    }

    /// How many of the calls were to these services.
    #[must_use]
    pub fn calls_to(&self, services: &[&str]) -> usize {
        let to = |call: &&Call| services.contains(&call.service.as_str());
        self.calls.iter().filter(to).count()
    }

    /// Memory times billed duration, in whole milliseconds as it is billed: starts too.
    #[must_use]
    pub fn gb_seconds(&self) -> f64 {
        let each = self.invocations.iter().map(|one| {
            let billed = (one.init_ms + one.duration_ms).ceil() / 1e3;
            f64::from(one.memory_mb) / 1024.0 * billed
        });
        each.sum()
    }

    /// What Step Functions takes for it at list prices, dollars.
    #[must_use]
    pub fn dollars_of_states(&self) -> f64 {
        count(self.states.len()) * TRANSITION
    }

    /// What Lambda takes for it at list prices, dollars.
    #[must_use]
    pub fn dollars_of_functions(&self) -> f64 {
        count(self.invocations.len()) * REQUEST + self.gb_seconds() * GB_SECOND
    }
}

/// As a number that can be multiplied.
#[allow(clippy::cast_precision_loss)] // Nothing here is counted to 2^53.
fn count(of: usize) -> f64 {
    of as f64
}

/// A request with so many steps of equal size, one check a bake, and everything else that a release
/// can have: an alarm, thresholds, code from S3 and a smoke test. `application` and the function are
/// the caller's; the version is called `green-N`.
pub async fn request(
    application: &str,
    target: &Target,
    alias: &str,
    alarm: &str,
    steps: u8,
) -> Value {
    const BAKE_SECONDS: u32 = 80;
    let plan: Vec<_> = (1..=steps)
        .map(|step| {
            let weight = 100 / steps * step + u8::from(step == steps) * (100 % steps);
            json!({"weight": weight, "bakeSeconds": BAKE_SECONDS})
        })
        .collect();
    let green = Behaviour::healthy(&format!("green-{steps}"));
    json!({
        "application": application,
        "functions": [{
            "functionName": target.name,
            "alias": alias,
            "code": target.upload(green).await,
            "smokeTests": [{"name": "health", "expect": {"statusCode": 200}}],
        }],
        "strategy": {"type": "canary", "steps": plan},
        // However late the users' numbers come, no bake is extended.
        "analysis": {
            "alarms": [alarm], "minInvocations": 1, "settleSeconds": 0, "maxErrorRatePercent": 5,
            "checkEverySeconds": BAKE_SECONDS, "maxBakeSeconds": BAKE_SECONDS,
            "onInconclusive": "proceed", "liveErrors": "off",
        },
    })
}

/// Runs a release to its end, and returns what it cost.
pub async fn release(world: &World, request: &Value) -> (Execution, Ended, Cost) {
    let steps = request["strategy"]["steps"].as_array().map_or(0, Vec::len);
    let application = request["application"].as_str().unwrap_or_default();
    // No such name is a part of another.
    let name = format!("n{steps}-{application}");
    let world = world.of_release(&name).await;
    let since = Since::now(&world).await;
    let execution = world.start_as(&name, request).await;
    let ended = execution.wait().await;
    let cost = Cost::of(&world, &execution, since).await;
    (execution, ended, cost)
}
