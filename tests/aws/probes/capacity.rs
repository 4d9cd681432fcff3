//! Provisioned concurrency under weights, and versions that durable executions run on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::json;

use super::Probe;
use crate::function::{Code, Function, text};

const ALIAS: &str = "live";
const PROVISIONED: &str = "2019-09-30";

/// Provisions one environment of an alias or a version, and waits until it is ready.
async fn provision(probe: &Probe<'_>, function: Function<'_>, of: &str) -> Result<(), String> {
    let path = format!("/provisioned-concurrency?Qualifier={of}");
    let one = json!({"ProvisionedConcurrentExecutions": 1});
    function.call("PUT", PROVISIONED, &path, Some(&one)).await?;
    let ready = probe.until(
        Duration::from_secs(6 * 60),
        "provisioned concurrency",
        async || {
            let seen = function.call("GET", PROVISIONED, &path, None).await?;
            let status = text(&seen, "Status");
            Ok((status != "IN_PROGRESS").then_some((status, text(&seen, "StatusReason"))))
        },
    );
    match ready.await? {
        (status, _) if status == "READY" => Ok(()),
        (status, why) => Err(format!(
            "provisioned concurrency of {of} is {status}: {why}"
        )),
    }
}

/// Which versions answered from a provisioned environment, and which from another.
async fn starts(function: Function<'_>) -> String {
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        let event = json!({"sleep": 0.2});
        let sent = join_all((0..3).map(|_| function.invoke(ALIAS, &event))).await;
        for done in sent.into_iter().flatten() {
            seen.insert(format!(
                "version {} {}",
                done.version,
                text(&done.answer, "start")
            ));
        }
    }
    seen.into_iter().collect::<Vec<_>>().join(", ")
}

pub(super) async fn provisioned(probe: &Probe<'_>) -> Result<(), String> {
    if let Some(why) = probe.account.without_provisioned() {
        for question in ["pc-weight", "pc-share", "pc-change", "pc-flip"] {
            probe.found(question, why.clone());
        }
        return Ok(());
    }
    let name = probe.name("provisioned");
    let function = probe.make(&name, &Code::plain_python(), json!({})).await?;
    let [blue, green] = function.two_versions().await?;
    function.alias(ALIAS, &blue).await?;
    provision(probe, function, ALIAS).await?;

    // Before green has its own: whose is the alias's?
    function.point(ALIAS, &blue, Some((&green, 0.5))).await?;
    let path = format!("/provisioned-concurrency?Qualifier={ALIAS}");
    let numbers = function.call("GET", PROVISIONED, &path, None).await?;
    let share = starts(function).await;
    probe.checked(
        "pc-share",
        !share.contains(&format!("version {green} provisioned")),
        format!(
            "{share}; {} requested, {} allocated, {} available",
            numbers["RequestedProvisionedConcurrentExecutions"],
            numbers["AllocatedProvisionedConcurrentExecutions"],
            numbers["AvailableProvisionedConcurrentExecutions"]
        ),
    );
    let two = json!({"ProvisionedConcurrentExecutions": 2});
    let changed = function.call("PUT", PROVISIONED, &path, Some(&two)).await;
    let told = changed
        .as_ref()
        .map_or_else(ToString::to_string, |_| "accepted".to_owned());
    probe.checked("pc-change", changed.is_err(), told);
    function.point(ALIAS, &blue, None).await?;

    let own = provision(probe, function, &green).await;
    let weighted = if let Err(problem) = own {
        Err(format!("green was refused one of its own: {problem}"))
    } else {
        let weight = function.point(ALIAS, &blue, Some((&green, 0.5))).await;
        weight.map_err(|refusal| format!("the weight was refused: {refusal}"))
    };
    let found = match &weighted {
        Ok(()) => format!("accepted; then {}", starts(function).await),
        Err(problem) => problem.clone(),
    };
    probe.checked("pc-weight", weighted.is_ok(), found);
    function.point(ALIAS, &blue, None).await?;
    let own = format!("/provisioned-concurrency?Qualifier={green}");
    // It may have none of its own.
    let _ = function.call("DELETE", PROVISIONED, &own, None).await;

    function.point(ALIAS, &green, None).await?;
    let began = Instant::now();
    let (mut seen, mut whole_since) = (Vec::new(), None);
    while began.elapsed() < Duration::from_secs(6 * 60) {
        let alias = function.look(ALIAS).await?;
        let line = format!("{} {:?}", alias.primary, alias.weights);
        if seen.last().is_none_or(|(_, last)| *last != line) {
            seen.push((began.elapsed().as_secs(), line));
        }
        // Weights may come a moment after the answer: they have to be gone for a while.
        if alias.weights.is_empty() {
            let since = *whole_since.get_or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_secs(90) {
                break;
            }
        } else {
            whole_since = None;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let weights = seen.iter().any(|(_, line)| !line.ends_with("[]"));
    let told = seen.iter().map(|(at, line)| format!("after {at} s {line}"));
    probe.checked("pc-flip", weights, told.collect::<Vec<_>>().join("; "));
    Ok(())
}

/// A durable execution that runs for a while: its function sleeps.
const DURABLE: &str = "import time
def handler(event, context):
    time.sleep(150)
    return {'Status': 'SUCCEEDED', 'Result': '1'}
";

pub(super) async fn durable(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("durable");
    let more = json!({
        "Timeout": 200,
        "DurableConfig": {"ExecutionTimeout": 300, "RetentionPeriodInDays": 1}
    });
    let function = probe.make(&name, &Code::python(DURABLE), more).await?;
    let version = text(&function.publish().await?, "Version");
    let sent = function.invoke_later(&version, &json!({})).await?;
    if let Some(error) = sent.error {
        return Err(error);
    }
    let path = format!("/durable-executions?Qualifier={version}&Statuses=RUNNING");
    let running = probe.until(
        Duration::from_secs(60),
        "a durable execution that runs",
        async || {
            let seen = function.call("GET", "2025-12-01", &path, None).await?;
            Ok(seen["DurableExecutions"]
                .as_array()
                .map(Vec::len)
                .filter(|running| *running > 0))
        },
    );
    running.await?;
    let of_it = format!("?Qualifier={version}");
    let deleted = function.call("DELETE", "2015-03-31", &of_it, None).await;
    let told = deleted
        .as_ref()
        .map_or_else(ToString::to_string, |_| "accepted".to_owned());
    let after = match function.configuration(Some(&version)).await {
        Ok(seen) => text(&seen, "State"),
        Err(refusal) => refusal.code,
    };
    probe.checked(
        "durable",
        deleted.is_err() || after == "Deleting",
        format!("DeleteFunction of the version: {told}; its state after that: {after}"),
    );
    Ok(())
}
