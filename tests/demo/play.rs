//! `make local`: the local AWS with Crossfade deployed, left running.

use crossfade_tests::{Stack, Traffic, World, local::Options, paths};
use serde_json::json;

use crate::show::{
    ALARM, ALIAS, FUNCTION, PREFIX, behaviour, first_version, make_alarm, request, start,
};

/// Users' requests a second: without any, no release could be judged.
const RATE: f64 = 20.0;

/// Starts it, says how to use it, and waits for a signal.
pub(crate) async fn local(port: u16, wait_scale: f64) -> Result<(), String> {
    println!("Starting a local AWS, and deploying Crossfade to it.");
    let dir = paths::target().join("local/playground");
    // What an earlier one left is of no use.
    let _ = std::fs::remove_dir_all(&dir);
    let local = start(Options {
        port: Some(port),
        wait_scale,
        dir: Some(dir.clone()),
        ..Options::default()
    })
    .await;
    let stack = Stack::deploy(&local, PREFIX).await;
    let world = World::new(&local, &stack);
    let target = first_version(&local).await;
    make_alarm(&world).await;
    for (name, failing) in [("good", 0.0), ("bad", 50.0)] {
        let code = target.upload(behaviour(name, failing)).await;
        let text = format!("{:#}\n", request(&code));
        let path = dir.join(format!("{name}.json"));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let rollback = json!({"action": "rollback", "application": "chat", "reason": "just to see"});
    std::fs::write(dir.join("rollback.json"), format!("{rollback:#}\n"))
        .map_err(|error| format!("{}: {error}", dir.display()))?;

    let traffic = Traffic::start(&local, &target, ALIAS, RATE);

    let (endpoint, dir) = (local.endpoint(), dir.display());
    let machine = &stack.state_machine;
    println!(
        "
Crossfade is deployed at {endpoint}. A minute of waiting takes {minute:.1} s. Ctrl-C ends it.

    export AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION=us-east-1
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test

There is a function, {FUNCTION}, whose alias {ALIAS} is on version 1, and an alarm, {ALARM}.
{RATE:.0} requests a second go through the alias. Release a good version of it, or a bad one (bad.json),
or take it back (rollback.json):

    aws stepfunctions start-execution --state-machine-arn {machine} --input file://{dir}/good.json
    aws stepfunctions list-executions --state-machine-arn {machine}
    aws lambda get-alias --function-name {FUNCTION} --name {ALIAS}
    aws cloudwatch set-alarm-state --alarm-name {ALARM} --state-value ALARM --state-reason 'to see'

The same without the AWS CLI:

    curl {endpoint} -H 'X-Amz-Target: AWSStepFunctions.StartExecution' -H 'Content-Type: application/x-amz-json-1.0' \\
        -d \"$(python3 -c 'import json,sys; print(json.dumps(dict(stateMachineArn=sys.argv[1], input=open(sys.argv[2]).read())))' {machine} {dir}/good.json)\"
    curl {endpoint}/2015-03-31/functions/{FUNCTION}/aliases/{ALIAS}

What people were told: curl {endpoint}/_local/notifications
What AWS calls were made: curl {endpoint}/_local/calls
The rest of what it can do is in tests/local/README.md; logs are in {dir}.",
        minute = 60.0 * wait_scale,
    );
    std::future::pending::<()>().await;
    drop((traffic, local));
    Ok(())
}
