//! Where injections run: a local AWS with Crossfade deployed, on which many releases go on at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crossfade_tests::{Behaviour, LocalAws, Stack, World, local::Options, stack::ARTIFACTS};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

/// What the names of the functions to release begin with.
pub(crate) const PREFIX: &str = "it-";
/// A minute of waiting takes 0.6 seconds.
const WAIT_SCALE: f64 = 0.01;
/// Each release has two of its own for a while, beside those that all share.
const IDLE_PROCESSES: u32 = 400;
/// No run of the schedule takes longer.
const SWEEP: Duration = Duration::from_mins(10);

/// Code that a function can be made of, which is in S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// All is well.
    Blue,
    /// All is well with the next one, too.
    Green,
    /// Fails, but for its smoke test.
    Bad,
    /// Fails, its smoke test too.
    Broken,
}

impl Code {
    const ALL: [Self; 4] = [Self::Blue, Self::Green, Self::Bad, Self::Broken];

    /// Where it is.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Blue => "faults/blue.zip",
            Self::Green => "faults/green.zip",
            Self::Bad => "faults/bad.zip",
            Self::Broken => "faults/broken.zip",
        }
    }

    /// As a request names it.
    pub(crate) fn named(self) -> Value {
        json!({"s3Bucket": ARTIFACTS, "s3Key": self.key()})
    }

    fn behaviour(self) -> Behaviour {
        match self {
            Self::Blue => Behaviour::healthy("blue"),
            Self::Green => Behaviour::healthy("green"),
            Self::Bad => Behaviour {
                spare_path: Some(SMOKE.into()),
                ..Behaviour::failing("bad", 100.0)
            },
            Self::Broken => Behaviour::failing("broken", 100.0),
        }
    }
}

/// The path that smoke tests ask for.
pub(crate) const SMOKE: &str = "/health";

/// One local AWS.
pub(crate) struct Ground {
    pub(crate) local: LocalAws,
    /// All of it; [`World::of_release`] narrows it to one.
    pub(crate) world: World,
    sweeps: Sweeps,
}

/// Runs of the schedule, which sweep up after all releases at once.
struct Sweeps {
    /// Held by whoever runs it.
    turn: Mutex<()>,
    /// How many have begun, and how many of them have ended.
    counts: watch::Sender<(u64, u64)>,
}

impl Ground {
    pub(crate) async fn start() -> Result<Arc<Self>, String> {
        let options = Options {
            wait_scale: WAIT_SCALE,
            idle_processes: Some(IDLE_PROCESSES),
            ..Options::default()
        };
        let local = tokio::task::spawn_blocking(move || LocalAws::start(options))
            .await
            .map_err(|error| error.to_string())?;
        let stack = Stack::deploy_with(&local, PREFIX, &[("LiveErrors", "yes")]).await;
        let world = World::new(&local, &stack);
        // Lines come as early as waits are short.
        let soon = json!({"least_seconds": 0.05, "most_seconds": 0.3});
        world.control.post("logs/deliveries", &soon).await;
        for code in Code::ALL {
            let package = code.behaviour().package();
            world
                .control
                .put_object(ARTIFACTS, code.key(), &package)
                .await;
        }
        Ok(Arc::new(Self {
            local,
            world,
            sweeps: Sweeps {
                turn: Mutex::default(),
                counts: watch::Sender::new((0, 0)),
            },
        }))
    }

    /// A text that nothing but one release has in its names: no other token is a part of it.
    pub(crate) fn token() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!("fx{:05}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs the schedule to its end, or waits for somebody else's run of it that begins after this was
    /// called.
    pub(crate) async fn sweep(&self) {
        let begun = self.sweeps.counts.borrow().0;
        let _turn = self.sweeps.turn.lock().await;
        if self.sweeps.counts.borrow().1 > begun {
            return;
        }
        self.sweeps.counts.send_modify(|counts| counts.0 += 1);
        self.world.run_schedule().await;
        let deadline = Instant::now() + SWEEP;
        while self.world.at_work().await > 0 {
            assert!(Instant::now() < deadline, "the schedule's run does not end");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.sweeps.counts.send_modify(|counts| counts.1 += 1);
        // Others come to wait for the next one meanwhile, and share it.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
