//! Cold: from an event that finds no process to its answer, and what that process took.

use std::collections::BTreeMap;

use crossfade_tests::{
    Target,
    figures::{Samples, count, median},
};
use serde_json::{Value, json};

use crate::{
    rie::{Emulator, Program},
    stage::{ALIAS, Release, Seen, Stage, Wire, alarm_event, ask, page_event},
};

/// What is measured: a program, and how it reaches AWS.
pub(crate) type Which = (&'static str, Wire);

/// What the same program took, each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) ms: Samples,
    pub(crate) cpu_ms: Samples,
    pub(crate) peak_mib: Samples,
    pub(crate) calls: Samples,
    /// For how long calls were served.
    pub(crate) calls_ms: Samples,
    /// How many calls came one after the other.
    pub(crate) turns: Samples,
    /// From the event until traffic was on blue, where it was put there.
    pub(crate) to_blue_ms: Samples,
}

/// Everything that was measured cold.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    pub(crate) taken: BTreeMap<Which, Taken>,
    /// A TLS handshake by itself.
    pub(crate) handshake_ms: Samples,
    /// A bare round trip, without the time in which it is served.
    pub(crate) wire_ms: f64,
}

/// The function in Rust that does nothing.
pub(crate) const NOTHING: &str = "bench-nothing";
/// The function in Rust that makes one call.
pub(crate) const UPDATE_ALIAS: &str = "bench-update-alias";
/// The handler in Python.
pub(crate) const PYTHON: &str = "python";
/// The function that an alarm's event invokes.
pub(crate) const ALARM: &str = "restore-blue";

impl Cold {
    /// One process of each kind, one after the other, each with its first event.
    pub(crate) async fn round(&mut self, stage: &Stage, nth: usize) {
        let target = &stage.target;
        for wire in [Wire::Http, Wire::Https] {
            let python = stage.on(&Program::python("handler.handler"), wire);
            self.run(stage, (PYTHON, wire), &python, &shift(target))
                .await;
        }
        let nothing = Program::bootstrap(NOTHING);
        self.run(stage, (NOTHING, Wire::Http), &nothing, &json!({}))
            .await;
        let page = page_event();
        self.ours(stage, "approval", &page).await;
        let mut door = Release::begin(stage, &format!("{nth}-door"), false).await;
        door.state = stage.wire_request();
        let wired = self
            .ours(stage, "front-door", &door.task("WireStage"))
            .await;
        settle(stage, &mut door, wired).await;

        self.promoted(stage, nth).await;
        for wire in [Wire::Http, Wire::Https] {
            self.rolled_back(stage, nth, wire).await;
            let event = bare(stage).await;
            let bare = stage.on(&Program::bootstrap(UPDATE_ALIAS), wire);
            self.run(stage, (UPDATE_ALIAS, wire), &bare, &event).await;
        }
        self.handshake_ms.push(stage.handshake_ms().await);
        self.wire_ms = stage.wire_ms;
    }

    async fn promoted(&mut self, stage: &Stage, nth: usize) {
        let mut release = Release::begin(stage, &format!("{nth}-promoted"), true).await;
        for (name, state) in [
            ("deploy-green", "DeployGreen"),
            ("validate", "ValidateGreen"),
        ] {
            let answer = self.ours(stage, name, &release.task(state)).await;
            release.goes_on(&answer);
        }
        for step in 0..2 {
            let answer = self.ours(stage, "hooks", &release.task("RunHook")).await;
            release.goes_on(&answer);
            let answer = self
                .ours(stage, "shift-traffic", &release.task("ShiftTraffic"))
                .await;
            release.goes_on(&answer);
            loop {
                release.wait();
                let answer = self
                    .ours(stage, "check-alarms", &release.task("CheckAlarms"))
                    .await;
                release.goes_on(&answer);
                // What was invoked last may still run when the last bake ends: it is looked at once more.
                if answer["decision"] != "bakeOn" {
                    let wanted = ["shift", "promote"][step];
                    assert_eq!(answer["decision"], wanted, "{answer}");
                    break;
                }
            }
        }
        let answer = self
            .ours(stage, "finalize", &release.task("FinalizeDeployment"))
            .await;
        assert_eq!(answer["outcome"]["deploymentStatus"], "SUCCESSFUL");
        release.goes_on(&answer);
        self.ours(stage, "prune", &release.retention()).await;
    }

    async fn rolled_back(&mut self, stage: &Stage, nth: usize, wire: Wire) {
        let name = format!("{nth}-back-{wire:?}");
        let mut release = Release::begin(stage, &name, false).await;
        let answer = self
            .ours(stage, "deploy-green", &release.task("DeployGreen"))
            .await;
        release.goes_on(&answer);
        let shift = stage.ours("shift-traffic", wire);
        let answer = self
            .run(
                stage,
                ("shift-traffic", wire),
                &shift,
                &release.task("ShiftTraffic"),
            )
            .await
            .answer;
        release.goes_on(&answer);
        let restore = stage.ours(ALARM, wire);
        let seen = self
            .run(stage, (ALARM, wire), &restore, &alarm_event())
            .await;
        assert_eq!(seen.answer["rolledBack"], 1, "{}", seen.answer);
        let taken = self.taken.entry((ALARM, wire)).or_default();
        taken.to_blue_ms.push(seen.to_blue_ms());
        let answer = self.ours(stage, "rollback", &release.stopped()).await;
        assert!(answer.is_object(), "{answer}");
    }

    async fn ours(&mut self, stage: &Stage, name: &'static str, event: &Value) -> Value {
        let program = stage.ours(name, Wire::Http);
        let seen = self.run(stage, (name, Wire::Http), &program, event).await;
        seen.answer
    }

    async fn run(&mut self, stage: &Stage, which: Which, program: &Program, event: &Value) -> Seen {
        let mut emulator = Emulator::start(program).await;
        let seen = ask(&stage.world, &mut emulator, event).await;
        let taken = self.taken.entry(which).or_default();
        taken.ms.push(seen.took_ms);
        taken.cpu_ms.push(emulator.cpu_ms());
        taken.peak_mib.push(emulator.peak_kib() / 1024.0);
        taken.calls.push(count(seen.calls.len()));
        taken.calls_ms.push(seen.calls_ms());
        taken.turns.push(count(seen.turns(stage.wire_ms)));
        if which.0 == UPDATE_ALIAS {
            taken.to_blue_ms.push(seen.to_blue_ms());
        }
        seen
    }

    /// What the program took.
    pub(crate) fn of(&self, name: &'static str, wire: Wire) -> &Taken {
        &self.taken[&(name, wire)]
    }

    /// The least that a function can take that makes the same calls: a process that does nothing, the
    /// bare round trips of those calls, and the handshake where there is one.
    pub(crate) fn floor_ms(&self, name: &'static str, wire: Wire) -> f64 {
        let turns = median(&self.of(name, wire).turns);
        self.served_ms(name, wire) + turns * self.wire_ms
    }

    /// The same as if calls took no longer than they are served.
    pub(crate) fn served_ms(&self, name: &'static str, wire: Wire) -> f64 {
        let handshake = match wire {
            Wire::Http => 0.0,
            Wire::Https => median(&self.handshake_ms),
        };
        median(&self.of(NOTHING, Wire::Http).ms) + median(&self.of(name, wire).calls_ms) + handshake
    }
}

/// The event of the handler in Python.
fn shift(target: &Target) -> Value {
    json!({"function": target.name, "alias": ALIAS, "weights": {}})
}

/// The event of the bare call: what serves goes on serving.
pub(crate) async fn bare(stage: &Stage) -> Value {
    let serving = stage.target.look(ALIAS).await.expect("it is there");
    let version = serving.settled().expect("no release is on its way");
    json!({"function": stage.target.name, "alias": ALIAS, "version": version})
}

/// The first time the API is really wired, in phases; after that there is nothing to do.
async fn settle(stage: &Stage, door: &mut Release, mut answer: Value) {
    let mut emulator = Emulator::start(&stage.ours("front-door", Wire::Http)).await;
    for _ in 0..20 {
        if answer["next"] == "done" {
            return;
        }
        door.goes_on(&answer);
        answer = ask(&stage.world, &mut emulator, &door.task("WireStage"))
            .await
            .answer;
    }
    panic!("the API is never wired: {answer}");
}
