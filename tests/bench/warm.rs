//! Warm: from an alarm's event to traffic on blue, by processes that have been there for a while.

use crossfade_tests::{
    figures::{Samples, count},
    world::Fault,
};

use crate::{
    cold::{UPDATE_ALIAS, bare},
    rie::{Emulator, Program},
    stage::{Release, Seen, Stage, Wire, alarm_event, ask},
};

/// The functions that a release needs, each in its process.
#[derive(Debug)]
pub(crate) struct Warm {
    deploy_green: Emulator,
    shift_traffic: Emulator,
    restore_blue: Emulator,
    rollback: Emulator,
    update_alias: Emulator,
    pub(crate) taken: Taken,
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// From the alarm's event until the alias was written.
    pub(crate) ours_ms: Samples,
    /// From an event until the alias was written, where that is all there is.
    pub(crate) floor_ms: Samples,
    /// One `Query` of the ledger by itself.
    pub(crate) query_ms: Samples,
    /// Calls one after the other until the alias was written.
    pub(crate) calls: Samples,
    /// All calls that an alarm's event makes.
    pub(crate) calls_in_all: Samples,
}

impl Warm {
    /// Starts the processes, with a release that warms them.
    pub(crate) async fn up(stage: &Stage) -> Self {
        let ours = async |name| Emulator::start(&stage.ours(name, Wire::Http)).await;
        let bare = stage.on(&Program::bootstrap(UPDATE_ALIAS), Wire::Http);
        let mut warm = Self {
            deploy_green: ours("deploy-green").await,
            shift_traffic: ours("shift-traffic").await,
            restore_blue: ours("restore-blue").await,
            rollback: ours("rollback").await,
            update_alias: Emulator::start(&bare).await,
            taken: Taken::default(),
        };
        warm.round(stage, 0).await;
        warm.taken = Taken::default();
        warm
    }

    /// One release that an alarm takes back, and one bare call.
    pub(crate) async fn round(&mut self, stage: &Stage, nth: usize) {
        let event = bare(stage).await;
        let floor = ask(&stage.world, &mut self.update_alias, &event).await;
        let seen = self.taken_back(stage, &format!("{nth}-warm")).await;
        let query = seen.calls.iter().find(|call| call.action == "Query");
        let query = query.expect("the ledger is asked who watches the alarm");
        self.taken.query_ms.push(query.seconds * 1e3);
        self.taken.floor_ms.push(floor.to_blue_ms());
        self.taken.ours_ms.push(seen.to_blue_ms());
        self.taken.calls_in_all.push(count(seen.calls.len()));
        // The local AWS serves one call after the other, so of two that come at once either may seem to
        // have waited for the other. Whether it did is seen when the ledger does not answer.
        let silent = Fault::new("silence")
            .on("dynamodb", "UpdateItem")
            .seconds(0.3);
        let fault = stage.world.fault(silent).await;
        let seen = self.taken_back(stage, &format!("{nth}-silent")).await;
        assert_eq!(stage.world.struck(fault).await, 1);
        self.taken.calls.push(count(seen.calls_to_blue()));
    }

    /// What an alarm does to a release in flight.
    async fn taken_back(&mut self, stage: &Stage, name: &str) -> Seen {
        let mut release = Release::begin(stage, name, false).await;
        for (emulator, state) in [
            (&mut self.deploy_green, "DeployGreen"),
            (&mut self.shift_traffic, "ShiftTraffic"),
        ] {
            let seen = ask(&stage.world, emulator, &release.task(state)).await;
            release.goes_on(&seen.answer);
        }
        let seen = ask(&stage.world, &mut self.restore_blue, &alarm_event()).await;
        assert_eq!(seen.answer["rolledBack"], 1, "{}", seen.answer);
        ask(&stage.world, &mut self.rollback, &release.stopped()).await;
        seen
    }
}
