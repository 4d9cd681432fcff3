//! What whole releases cost, run by the deployed state machine.

use crossfade_tests::{
    Behaviour, Target, Traffic,
    cost::{self, Cost, STEPS},
};

use crate::stage::{ALIAS, Stage};

/// States that awslabs/aws-lambda-deploy enters for so many steps, counted in its own runs.
pub(crate) fn peers_states(steps: usize) -> usize {
    5 * steps + 2
}

/// AWS calls that it makes.
pub(crate) fn peers_calls(steps: usize) -> usize {
    2 * steps + 1
}

/// The invocations of functions that it takes.
pub(crate) fn peers_invocations(steps: usize) -> usize {
    2 * steps + 2
}

/// One promoted release for each number of steps, under traffic.
pub(crate) async fn costs(stage: &Stage) -> Vec<(usize, Cost)> {
    let name = format!("{}-cost", stage.target.name);
    let target = Target::create(&stage.local, &name, Behaviour::healthy("blue")).await;
    target.publish().await;
    target.alias(ALIAS, "1").await;
    stage.world.make_alarm(&name).await;
    let users = Traffic::start(&stage.local, &target, ALIAS, 60.0);
    let mut costs = Vec::new();
    for steps in STEPS {
        let request = cost::request("bench-cost", &target, ALIAS, &name, steps).await;
        let (_, ended, cost) = cost::release(&stage.world, &request).await;
        assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
        costs.push((steps.into(), cost));
    }
    drop(users);
    costs
}
