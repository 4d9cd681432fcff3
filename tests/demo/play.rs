//! `make local`: the local AWS with Crossfade deployed, left running.

use std::path::Path;

use crossfade_tests::{
    Behaviour, LocalAws, Stack, Target, Traffic, World, local::Options, paths, stack::ARTIFACTS,
};
use serde_json::{Value, json};

use crate::show::{alarm, start};

/// Users' requests a second: without any, no release could be judged.
const RATE: f64 = 20.0;

/// How it is started.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chosen {
    pub(crate) port: u16,
    pub(crate) wait_scale: f64,
    /// What the names of functions begin with that may be released.
    pub(crate) prefix: String,
}

/// The names of README's own requests, with another prefix where one was chosen.
#[derive(Clone, Debug, PartialEq)]
struct Names {
    function: String,
    alias: String,
    alarm: String,
    bucket: String,
    key: String,
}

/// README's request for a function whose name begins with `prefix`, as events/canary.json has it for `chat-`.
fn request(prefix: &str) -> Result<(Value, Names), String> {
    let path = paths::repository().join("events/canary.json");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = text.replace("chat", prefix.trim_end_matches('-'));
    let request: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let at = |pointer: &str| {
        let found = request.pointer(pointer).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .ok_or_else(|| format!("events/canary.json has no {pointer}"))
    };
    let names = Names {
        function: at("/functions/0/functionName")?,
        alias: at("/functions/0/alias")?,
        alarm: at("/analysis/alarms/0")?,
        bucket: at("/functions/0/code/s3Bucket")?,
        key: at("/functions/0/code/s3Key")?,
    };
    Ok((request, names))
}

fn behaviour(version: &str, error_rate_percent: f64) -> Behaviour {
    Behaviour {
        latency_ms: 5,
        spare_path: Some("/health".to_owned()),
        body: Some("ok".to_owned()),
        ..Behaviour::failing(version, error_rate_percent)
    }
}

/// Writes README's request with a good and with a bad version's code, and the request to take it back.
async fn write_requests(
    local: &LocalAws,
    dir: &Path,
    request: &Value,
    names: &Names,
) -> Result<(), String> {
    let write = |name: &str, content: &Value| {
        let path = dir.join(name);
        let written = std::fs::write(&path, format!("{content:#}\n"));
        written.map_err(|error| format!("{}: {error}", path.display()))
    };
    let control = local.control();
    control.put_object(&names.bucket, "made", b"").await;
    for (name, failing) in [("canary", 0.0), ("bad", 50.0)] {
        let package = behaviour(name, failing).package();
        let version = control
            .put_version(&names.bucket, &names.key, &package)
            .await;
        let mut request = request.clone();
        request["functions"][0]["code"]["s3ObjectVersion"] = version.into();
        write(&format!("{name}.json"), &request)?;
    }
    let application = &request["application"];
    let rollback =
        json!({"action": "rollback", "application": application, "reason": "just to see"});
    write("rollback.json", &rollback)
}

/// Starts it, says how to use it, and waits for a signal.
pub(crate) async fn local(chosen: Chosen) -> Result<(), String> {
    println!("Starting a local AWS, and deploying Crossfade to it.");
    let Chosen {
        port,
        wait_scale,
        prefix,
    } = chosen;
    let (request, names) = request(&prefix)?;
    // One a port: several of one checkout do not disturb each other.
    let dir = paths::target().join(format!("local/playground-{port}"));
    let options = Options {
        port: Some(port),
        wait_scale,
        // Minutes of metrics are as long as they are; the rest of a bake is shorter.
        settles_at_once: wait_scale < 1.0,
        dir: Some(dir.clone()),
        ..Options::default()
    };
    options.require_free_port()?;
    // What an earlier one left is of no use.
    let _ = std::fs::remove_dir_all(&dir);
    let local = start(options).await;
    let buckets = format!("{ARTIFACTS},{}", names.bucket);
    let stack = Stack::deploy_with(&local, &prefix, &[("ArtifactBucket", &buckets)]).await;
    let world = World::new(&local, &stack);
    let Names {
        function,
        alias,
        alarm: alarm_name,
        ..
    } = &names;
    let target = Target::create(&local, function, behaviour("first", 0.0)).await;
    let version = target.publish().await;
    target.alias(alias, &version).await;
    alarm(&world, alarm_name, function, alias).await;
    write_requests(&local, &dir, &request, &names).await?;
    let traffic = Traffic::start(&local, &target, alias, RATE);

    let (endpoint, dir) = (local.endpoint(), dir.display());
    let machine = &stack.state_machine;
    let application = request["application"].as_str().unwrap_or_default();
    // The command line is compiled beside this program.
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let tools = program.parent().unwrap_or(&program).display();
    println!(
        "
Crossfade is deployed at {endpoint}. A minute of waiting takes {minute:.1} s. Ctrl-C ends it.

    export AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION=us-east-1
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test PATH=\"{tools}:$PATH\"

There is a function, {function}, whose alias {alias} is on version 1, and an alarm, {alarm_name}.
{RATE:.0} requests a second go through the alias. Release a good version of it by README's request
(events/canary.json, with the code that is here), or a bad one (bad.json), or take it back:

    crossfade plan {dir}/canary.json
    crossfade deploy {dir}/canary.json --watch
    crossfade status
    crossfade next {application}
    crossfade rollback {application}
    crossfade doctor

The same with the AWS CLI, and an alarm:

    aws stepfunctions start-execution --state-machine-arn {machine} --input file://{dir}/canary.json
    aws cloudwatch set-alarm-state --alarm-name {alarm_name} --state-value ALARM --state-reason 'to see'

Other names: make local PREFIX=orders- (now {prefix}). Requests that do not say analysis.settleSeconds have 0 here:
bakes are shorter than minutes of metrics.

What people were told: curl {endpoint}/_local/notifications
What AWS calls were made: curl {endpoint}/_local/calls
The rest of what it can do is in tests/local/README.md; logs are in {dir}.",
        minute = 60.0 * wait_scale,
    );
    std::future::pending::<()>().await;
    drop((traffic, local));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crossfade::wire::request::Request;

    use super::*;

    #[test]
    fn releases_by_the_names_of_the_readme() {
        let (readme, names) = request("chat-").unwrap();
        assert_eq!(
            (names.function.as_str(), names.alarm.as_str()),
            ("chat-assistant", "chat-errors")
        );
        assert!(Request::parse(&readme).is_ok());
        let (other, names) = request("orders-").unwrap();
        assert_eq!(names.function, "orders-assistant");
        assert_eq!(other["application"], "orders");
        assert!(Request::parse(&other).is_ok());
    }
}
