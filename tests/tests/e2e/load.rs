//! Many releases at once, whose alarms all fire within a second; `make load` does it with hundreds.

use std::time::Duration;

use crossfade_tests::fleet::{Fleet, Storm};

use crate::case::{Case, Test, alone};

/// How many are in flight.
const RELEASES: usize = 20;

pub(crate) fn tests() -> Vec<Test> {
    vec![alone("storm_of_20_alarms", storm)]
}

async fn storm(case: Case) {
    let (local, world) = (&case.suite().local, &case.world);
    let prefix = format!("{}-", case.function_name());
    let fleet = Fleet::make(local, world, &prefix, RELEASES).await;
    let ships = fleet.launch(world, RELEASES, |_| 86_400).await;
    for ship in &ships {
        case.also(&ship.target);
        case.watch(&ship.execution);
    }
    let storm = Storm::over(world, &ships, Duration::from_secs(1)).await;
    let on_blue = storm.blue.iter().flatten().count();
    assert_eq!(on_blue, RELEASES, "{:?}", storm.calls);
    let made: Vec<_> = storm.calls.iter().map(|call| &call.action).collect();
    // Who watches it, the alias, and the record of it: however many others are in flight.
    assert_eq!(made.len(), 3 * RELEASES, "{made:?}");
    for ship in &ships {
        ship.execution.stop().await;
        case.ledger_says(&ship.execution, "ROLLED_BACK").await;
    }
}
