//! What a run stands on: a stack of its own with bucket, roles and queue, and Crossfade's stack.
//!
//! Both are CloudFormation's, so that one deletion each takes them away, whatever was made of them.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crossfade_tests::{paths, stack::architecture};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    api::{Aws, CLOUDFORMATION, Refusal},
    run::{Pace, Run},
    xml::Xml,
};

/// How long a stack is waited for.
const STACK: Duration = Duration::from_secs(15 * 60);

/// What the other parts need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) bucket: String,
    /// The role of the functions that are made, the queue of alarm events and what reads logs for an alarm.
    pub(crate) role: String,
    pub(crate) queue: String,
    pub(crate) query_role: String,
    /// A role that may change functions' code and use no key.
    pub(crate) keyless_role: String,
}

/// Makes the stack of what is not Crossfade's.
pub(crate) async fn make(aws: &Aws, run: &Run, pace: &Pace) -> Result<Ground, String> {
    let body = template(run).to_string();
    let source = ("TemplateBody", body.as_str());
    let stack = create(aws, run, pace, &run.ground(), source, &[]).await?;
    Ok(Ground {
        bucket: run.bucket(),
        role: output(&stack, "Role")?,
        queue: output(&stack, "Queue")?,
        query_role: output(&stack, "QueryRole")?,
        keyless_role: output(&stack, "KeylessRole")?,
    })
}

/// Crossfade, deployed: what releases are executions of.
#[derive(Clone, Debug)]
pub(crate) struct Crossfade {
    pub(crate) machine: String,
    /// From the first call until it was there.
    pub(crate) took: Duration,
}

/// Deploys what `make build` left in `.aws-sam`.
pub(crate) async fn deploy(
    aws: &Aws,
    run: &Run,
    pace: &Pace,
    ground: &Ground,
) -> Result<Crossfade, String> {
    let began = Instant::now();
    let packaged = package(aws, run, ground).await?;
    let key = format!("/{}/template.yaml", ground.bucket);
    aws.s3("PUT", &key, &[], packaged.as_bytes()).await?;
    let url = match aws.endpoint() {
        Some(endpoint) => format!("{endpoint}{key}"),
        None => format!("https://s3.{}.amazonaws.com{key}", aws.region),
    };
    let prefix = run.sample("");
    let parameters = [
        ("TargetFunctionPrefix", prefix.as_str()),
        ("ArtifactBucket", ground.bucket.as_str()),
        ("Architecture", architecture()),
        ("LogRetentionDays", "1"),
        // Nobody is asked, and a public URL is not to stand open for it.
        ("ApprovalPage", "no"),
    ];
    let source = ("TemplateURL", url.as_str());
    let stack = create(aws, run, pace, &run.name, source, &parameters).await?;
    Ok(Crossfade {
        machine: output(&stack, "DeploymentStateMachineArn")?,
        took: began.elapsed(),
    })
}

/// Uploads the functions by `sam package`, and returns the template that names the uploads. SAM only
/// uploads: should this process be killed, SAM cannot make a stack behind its back.
async fn package(aws: &Aws, run: &Run, ground: &Ground) -> Result<String, String> {
    let built = paths::built_template();
    if !built.exists() {
        return Err(format!(
            "{} does not exist; run `make build` first",
            built.display()
        ));
    }
    let output = std::env::temp_dir().join(format!("{}.yaml", run.name));
    let mut command = Command::new(paths::sam());
    command
        .arg("package")
        .arg("--template-file")
        .arg(&built)
        .args(["--s3-bucket", &ground.bucket, "--s3-prefix", "functions"])
        .args(["--region", &aws.region, "--no-progressbar"])
        .arg("--output-template-file")
        .arg(&output)
        .env("SAM_CLI_TELEMETRY", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = command.output().await;
    let done = done.map_err(|error| format!("{}: {error}", paths::sam().display()))?;
    if !done.status.success() {
        return Err(format!(
            "sam package failed:\n{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        ));
    }
    let text = std::fs::read_to_string(&output);
    let _ = std::fs::remove_file(&output);
    text.map_err(|error| format!("{}: {error}", output.display()))
}

/// Creates a stack and waits until it is there.
async fn create(
    aws: &Aws,
    run: &Run,
    pace: &Pace,
    name: &str,
    source: (&str, &str),
    parameters: &[(&str, &str)],
) -> Result<Xml, String> {
    let mut asked: Vec<(String, String)> = vec![
        ("StackName".into(), name.into()),
        (source.0.into(), source.1.into()),
        // One that fails is not worth rolling back: the run ends, and deletes it.
        ("OnFailure".into(), "DO_NOTHING".into()),
    ];
    for (nth, capability) in [
        "CAPABILITY_IAM",
        "CAPABILITY_NAMED_IAM",
        "CAPABILITY_AUTO_EXPAND",
    ]
    .iter()
    .enumerate()
    {
        asked.push((
            format!("Capabilities.member.{}", nth + 1),
            (*capability).into(),
        ));
    }
    let mut list = |kind: &str, fields: [&str; 2], nth: usize, pair: (&str, &str)| {
        for (field, value) in fields.iter().zip([pair.0, pair.1]) {
            asked.push((format!("{kind}.member.{}.{field}", nth + 1), value.into()));
        }
    };
    for (nth, (key, value)) in run.tags().iter().enumerate() {
        list("Tags", ["Key", "Value"], nth, (key, value));
    }
    for (nth, pair) in parameters.iter().enumerate() {
        list("Parameters", ["ParameterKey", "ParameterValue"], nth, *pair);
    }
    let asked: Vec<_> = asked
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    aws.query(CLOUDFORMATION, "CreateStack", &asked).await?;
    let deadline = Instant::now() + STACK;
    while Instant::now() < deadline {
        let described = describe(aws, name).await?;
        let Some(stack) = described else {
            return Err(format!("the stack {name} was deleted by somebody else"));
        };
        match stack.first("StackStatus").unwrap_or_default().as_str() {
            "CREATE_COMPLETE" => return Ok(stack),
            "CREATE_IN_PROGRESS" => tokio::time::sleep(pace.look * 4).await,
            other => {
                let why = why_failed(aws, name).await;
                return Err(format!(
                    "the stack {name} ended {other}; expected CREATE_COMPLETE:\n{why}"
                ));
            }
        }
    }
    Err(format!("the stack {name} was not there after {STACK:?}"))
}

/// What CloudFormation says of a stack; none where there is none.
pub(crate) async fn describe(aws: &Aws, name: &str) -> Result<Option<Xml>, Refusal> {
    let of = [("StackName", name)];
    match aws.query(CLOUDFORMATION, "DescribeStacks", &of).await {
        Ok(stack) => Ok(Some(stack)),
        Err(refusal) if refusal.is_missing() => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// The resources that could not be made, each with AWS's words.
async fn why_failed(aws: &Aws, name: &str) -> String {
    let of = [("StackName", name)];
    let Ok(events) = aws.query(CLOUDFORMATION, "DescribeStackEvents", &of).await else {
        return "its events cannot be read".to_owned();
    };
    let failed = events.parts("member").into_iter().filter_map(|event| {
        let status = event.first("ResourceStatus")?;
        let why = event.first("ResourceStatusReason")?;
        let of = event.first("LogicalResourceId")?;
        (status.ends_with("FAILED") && !why.contains("cancelled"))
            .then(|| format!("    {of}: {why}\n"))
    });
    failed.collect()
}

fn output(stack: &Xml, key: &str) -> Result<String, String> {
    let found = stack.beside("member", ("OutputKey", key), "OutputValue");
    found.ok_or_else(|| format!("the stack has no output {key}"))
}

/// The template of what is not Crossfade's.
fn template(run: &Run) -> Value {
    let own = |service: &str, resource: &str| json!({"Fn::Sub": format!("arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}{}-*", run.name)});
    let role = |name: &str, principal: Value, statements: Value| {
        json!({
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": format!("{}-{name}", run.name),
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
                    {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
                ]},
                "Policies": [{"PolicyName": name, "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}]
            }
        })
    };
    let allow = |action: Value, resource: Value| json!({"Effect": "Allow", "Action": action, "Resource": resource});
    let service = |name: &str| json!({"Service": format!("{name}.amazonaws.com")});
    let tags = run.tags();
    let tags: Value = tags
        .iter()
        .map(|(k, v)| json!({"Key": k, "Value": v}))
        .collect();
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "A run of `make aws`: what its functions and probes need. Safe to delete.",
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {
                "BucketName": run.bucket(),
                "Tags": tags,
                "LifecycleConfiguration": {"Rules": [{"Id": "short", "Status": "Enabled", "ExpirationInDays": 1}]},
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true
                }
            }},
            "Role": role("functions", service("lambda"), json!([
                // Log groups are made beforehand, with tags: none comes back after it was deleted.
                allow(json!(["logs:CreateLogStream", "logs:PutLogEvents"]), own("logs", "log-group:/aws/lambda/")),
                allow(json!("lambda:InvokeFunction"), own("lambda", "function:")),
                allow(json!(["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"]), own("lambda", "function:")),
                // A function in a VPC makes its own network interfaces; AWS's managed policy has the same.
                allow(json!([
                    "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface",
                    "ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"
                ]), json!("*")),
            ])),
            "QueryRole": role("queries", service("cloudwatch"), json!([
                allow(json!(["logs:StartQuery", "logs:FilterLogEvents"]), own("logs", "log-group:/aws/lambda/")),
                allow(json!(["logs:GetQueryResults", "logs:StopQuery"]), json!("*")),
            ])),
            "KeylessRole": role("keyless", json!({"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}), json!([
                allow(json!([
                    "lambda:UpdateFunctionCode", "lambda:PublishVersion", "lambda:GetFunction", "lambda:GetFunctionConfiguration"
                ]), own("lambda", "function:")),
            ])),
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {
                "QueueName": format!("{}-events", run.name), "MessageRetentionPeriod": 3600
            }},
            "Rule": {"Type": "AWS::Events::Rule", "Properties": {
                "Name": format!("{}-alarms", run.name),
                "EventPattern": {"source": ["aws.cloudwatch"], "detail": {"alarmName": [{"prefix": run.probe("")}]}},
                "Targets": [{"Id": "queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}]
            }},
            "QueuePolicy": {"Type": "AWS::SQS::QueuePolicy", "Properties": {
                "Queues": [{"Ref": "Queue"}],
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow",
                    "Principal": service("events"),
                    "Action": "sqs:SendMessage",
                    "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                    "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}}
                }]}
            }}
        },
        "Outputs": {
            "Role": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}},
            "QueryRole": {"Value": {"Fn::GetAtt": ["QueryRole", "Arn"]}},
            "KeylessRole": {"Value": {"Fn::GetAtt": ["KeylessRole", "Arn"]}},
            "Queue": {"Value": {"Ref": "Queue"}}
        }
    })
}
