//! What Lambda says of errors, and of versions that are not ready.

use std::time::{Duration, Instant};

use crossfade_tests::Behaviour;
use serde_json::{Value, json};

use super::{Probe, delays::log_lines};
use crate::{
    api::EC2,
    function::{Code, Function, text},
    run::now,
};

const ALIAS: &str = "live";

/// The status in the last report of a log, `none` where the report has none; nothing where there is no report.
fn status_of(log: &str) -> Option<String> {
    let json = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut reports = json.filter(|event| event["type"] == "platform.report");
    if let Some(report) = reports.next_back() {
        return Some(
            report["record"]["status"]
                .as_str()
                .unwrap_or("none")
                .to_owned(),
        );
    }
    let report = log.lines().rfind(|line| line.starts_with("REPORT"))?;
    let mut parts = report.split('\t');
    let status = parts.find_map(|part| part.trim().strip_prefix("Status: "));
    Some(status.unwrap_or("none").to_owned())
}

async fn thrown(probe: &Probe<'_>, question: &'static str, code: &Code) -> Result<(), String> {
    let mut found = Vec::new();
    let mut as_expected = true;
    for (format, expected) in [("Text", "none"), ("JSON", "success")] {
        let name = probe.name(&format!("{question}-{}", format.to_lowercase()));
        let more = json!({"LoggingConfig": {"LogFormat": format}});
        let function = probe.make(&name, code, more).await?;
        let since = now();
        let done = function.invoke("$LATEST", &json!({"fail": true})).await?;
        if done.error.is_none() {
            return Err(format!("{name} did not fail: {done:?}"));
        }
        let mut status = status_of(&done.log);
        // The end of the log that came with the answer may be without the report.
        if status.is_none() {
            let wait = Duration::from_secs(60);
            let looked = probe.until(wait, "a report in the log", async || {
                let lines = log_lines(probe, &function, since, "").await;
                Ok(status_of(&lines.unwrap_or_default().join("\n")))
            });
            status = Some(looked.await?);
        }
        let status = status.unwrap_or_default();
        as_expected &= status == expected;
        let format = if format == "Text" { "text" } else { format };
        found.push(format!("{format}: {status}"));
    }
    probe.checked(question, as_expected, found.join("; "));
    Ok(())
}

pub(super) async fn thrown_rust(probe: &Probe<'_>) -> Result<(), String> {
    let code = Code::sample(&Behaviour::failing("probe", 100.0));
    thrown(probe, "thrown-rust", &code).await
}

pub(super) async fn thrown_python(probe: &Probe<'_>) -> Result<(), String> {
    thrown(probe, "thrown-python", &Code::plain_python()).await
}

pub(super) async fn thrown_node(probe: &Probe<'_>) -> Result<(), String> {
    thrown(probe, "thrown-node", &Code::plain_node()).await
}

/// Publishes, puts an alias on the version, and invokes until it answers.
async fn readiness(
    probe: &Probe<'_>,
    question: &'static str,
    function: Function<'_>,
) -> Result<(), String> {
    let published = function.publish().await?;
    let began = Instant::now();
    let version = text(&published, "Version");
    let state = text(&published, "State");
    let made = function.alias(ALIAS, &version).await;
    let taken = made.map_or_else(
        |refusal| format!("refused: {refusal}"),
        |()| "accepted".to_owned(),
    );
    let mut refused: Option<String> = None;
    let answered = probe.until(
        Duration::from_secs(8 * 60),
        "an answer of the version",
        async || {
            let of = if taken == "accepted" { ALIAS } else { &version };
            let done = function.invoke(of, &json!({})).await?;
            if done.status < 300 {
                return Ok(Some(began.elapsed()));
            }
            if refused.is_none() {
                refused = Some(format!(
                    "{} {}",
                    done.status,
                    done.error.unwrap_or_default()
                ));
            }
            Ok(None)
        },
    );
    let seconds = answered.await?.as_secs_f64();
    let active = function.settled(Some(&version)).await?;
    let meanwhile = refused.map_or_else(
        || "no invocation was refused".to_owned(),
        |refused| format!("the first invocation through it was refused: {refused}"),
    );
    probe.checked(
        question,
        matches!(state.as_str(), "Pending" | "Active"),
        format!(
            "{state}; an alias on it is {taken}; {meanwhile}; the first answer came after {seconds:.0} s, and it \
             was Active {:.0} s later",
            active.as_secs_f64()
        ),
    );
    Ok(())
}

pub(super) async fn snapstart(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("snapstart");
    let more = json!({"SnapStart": {"ApplyOn": "PublishedVersions"}});
    let function = probe.make(&name, &Code::plain_python(), more).await?;
    readiness(probe, "snapstart", function).await
}

pub(super) async fn vpc(probe: &Probe<'_>) -> Result<(), String> {
    let filter = [
        ("Filter.1.Name", "default-for-az"),
        ("Filter.1.Value.1", "true"),
    ];
    let subnets = probe.aws.query(EC2, "DescribeSubnets", &filter).await?;
    let (Some(subnet), Some(vpc)) = (subnets.first("subnetId"), subnets.first("vpcId")) else {
        probe.found("vpc", "not run: the Region has no default VPC".to_owned());
        return Ok(());
    };
    let filter = [
        ("Filter.1.Name", "group-name"),
        ("Filter.1.Value.1", "default"),
        ("Filter.2.Name", "vpc-id"),
        ("Filter.2.Value.1", vpc.as_str()),
    ];
    let groups = probe
        .aws
        .query(EC2, "DescribeSecurityGroups", &filter)
        .await?;
    let group = groups
        .first("groupId")
        .ok_or("the VPC has no default security group")?;
    let name = probe.name("vpc");
    let more = json!({"VpcConfig": {"SubnetIds": [subnet], "SecurityGroupIds": [group]}});
    let function = probe.make(&name, &Code::plain_python(), more).await?;
    readiness(probe, "vpc", function).await
}

/// A function with the user's key, changed and published by a role that may not use it.
pub(super) async fn kms(probe: &Probe<'_>) -> Result<(), String> {
    let Some(key) = probe.kms_key else {
        let why = "not run: it needs a key of yours, `make aws KMS_KEY=arn:aws:kms:…` (a key that a run makes \
                   could not be gone before a week)";
        probe.found("kms", why.to_owned());
        return Ok(());
    };
    let name = probe.name("kms");
    let more = json!({"KMSKeyArn": key, "Environment": {"Variables": {"A": "b"}}});
    let made = probe.make(&name, &Code::plain_python(), more).await?;
    let keyless = probe.aws.assume(&probe.stage.ground.keyless_role).await?;
    let function = Function::existing(&keyless, probe.stage.pace, &name);
    let second = Code::python("def handler(event, context):\n    return 2\n");
    let changed = function.update(&second).await;
    if changed.is_err() {
        // So that there is something new to publish.
        made.update(&Code::python(
            "def handler(event, context):\n    return 3\n",
        ))
        .await?;
    }
    let published = function.publish().await;
    let told = |done: Option<String>| done.unwrap_or_else(|| "accepted".to_owned());
    let refused = changed.is_err() || published.is_err();
    probe.checked(
        "kms",
        refused,
        format!(
            "UpdateFunctionCode: {}; PublishVersion: {}",
            told(changed.err().map(Into::into)),
            told(published.err().map(Into::into))
        ),
    );
    Ok(())
}

/// Invokes another function and waits for its answer, as boto3 does unless told otherwise: without keep-alive.
const CALLER: &str = "import boto3, json, time
from botocore.config import Config
client = boto3.client('lambda', config=Config(read_timeout=900, retries={'max_attempts': 0}, tcp_keepalive=False))
def handler(event, context):
    began = time.time()
    try:
        client.invoke(FunctionName=event['function'], Payload=json.dumps({'sleep': event['sleep']}))
        said = 'answered'
    except Exception as error:
        said = repr(error)
    print('after %.0f s: %s' % (time.time() - began, said))
";

/// How long the answer takes: longer than the 350 s after which NAT gateways drop idle connections.
const IDLE: u32 = 400;

pub(super) async fn long(probe: &Probe<'_>) -> Result<(), String> {
    let (caller, called) = (probe.name("caller"), probe.name("called"));
    let timeout = |seconds: u32| json!({"Timeout": seconds});
    probe
        .make(&called, &Code::plain_python(), timeout(IDLE + 60))
        .await?;
    let function = probe
        .make(&caller, &Code::python(CALLER), timeout(IDLE + 120))
        .await?;
    let since = now();
    let event = json!({"function": called, "sleep": IDLE});
    let sent = function.invoke_later("$LATEST", &event).await?;
    if let Some(error) = sent.error {
        return Err(error);
    }
    let looked = probe.until(
        Duration::from_secs(u64::from(IDLE) + 180),
        "the caller's log",
        async || {
            Ok(log_lines(probe, &function, since, "after")
                .await
                .ok()
                .and_then(|lines| lines.into_iter().next()))
        },
    );
    let line = looked.await?;
    let line = line.trim();
    probe.checked("long", line.ends_with("answered"), line.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status_of_a_report() {
        let json = r#"{"type":"platform.start","record":{}}
{"type":"platform.report","record":{"status":"error"}}"#;
        for (log, status) in [
            (json, Some("error")),
            (
                "START x\nREPORT RequestId: x\tDuration: 1 ms\tStatus: timeout\n",
                Some("timeout"),
            ),
            ("REPORT RequestId: x\tDuration: 1 ms\t\n", Some("none")),
            ("no report", None),
        ] {
            assert_eq!(status_of(log).as_deref(), status, "{log}");
        }
    }
}
