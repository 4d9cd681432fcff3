//! How late metrics, logs and aliases are.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_tests::Behaviour;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Probe;
use crate::{
    api::{CLOUDWATCH, LOGS},
    function::{Code, Function, text},
    report::spread,
    run::now,
};

const ALIAS: &str = "live";

/// How many clients invoke an alias at a time while it is moved.
const CLIENTS: usize = 4;

fn sample() -> Code {
    Code::sample(&Behaviour::slow("probe", 5))
}

/// The sums of one metric, or how many samples it has: nothing when it has none.
async fn read(
    probe: &Probe<'_>,
    metric: &str,
    dimensions: &[(&str, &str)],
    since: f64,
) -> Result<Option<f64>, String> {
    let dimensions = dimensions.iter();
    let dimensions: Vec<_> = dimensions
        .map(|(k, v)| json!({"Name": k, "Value": v}))
        .collect();
    let asked = json!({
        "MetricDataQueries": [{"Id": "m", "MetricStat": {
            "Metric": {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dimensions},
            "Period": 60,
            "Stat": "SampleCount"
        }}],
        "StartTime": (since / 60.0).floor() * 60.0,
        "EndTime": (now() / 60.0).floor() * 60.0 + 60.0,
    });
    let seen = probe.aws.json(CLOUDWATCH, "GetMetricData", asked).await?;
    let values = seen["MetricDataResults"][0]["Values"].as_array();
    let values = values.into_iter().flatten().filter_map(Value::as_f64);
    let values: Vec<f64> = values.collect();
    Ok((!values.is_empty()).then(|| values.iter().sum()))
}

/// Which metrics an alias without weights has by version.
pub(super) async fn dimensions(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("dimensions");
    let code = Code::sample(&Behaviour::slow("probe", 500));
    let function = probe.make(&name, &code, json!({})).await?;
    let version = text(&function.publish().await?, "Version");
    function.alias(ALIAS, &version).await?;
    let since = now();
    // More at a time than are allowed: some are throttled. A small account has nothing to reserve.
    let throttled = probe.account.without_provisioned().is_none();
    if throttled {
        let one = json!({"ReservedConcurrentExecutions": 1});
        let call = function.call("PUT", "2017-10-31", "/concurrency", Some(&one));
        call.await?;
    }
    let event = json!({"path": "/"});
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let sent = join_all((0..CLIENTS).map(|_| function.invoke(ALIAS, &event))).await;
        statuses.extend(sent.into_iter().flatten().map(|done| done.status));
    }
    let refused = statuses.iter().filter(|status| **status == 429).count();
    let resource = format!("{name}:{ALIAS}");
    let dimensions = [
        ("FunctionName", name.as_str()),
        ("Resource", resource.as_str()),
        ("ExecutedVersion", version.as_str()),
    ];
    let deadline = Instant::now() + Duration::from_secs(6 * 60);
    let mut seen = BTreeSet::new();
    let mut all_at = None;
    loop {
        for metric in ["Invocations", "Errors", "Duration", "Throttles"] {
            if read(probe, metric, &dimensions, since).await?.is_some() {
                seen.insert(metric);
            }
        }
        // What came with the others came at once, or a minute later.
        if seen.contains("Invocations") {
            all_at.get_or_insert_with(Instant::now);
        }
        let enough = seen.len() == 4
            || all_at.is_some_and(|at: Instant| at.elapsed() > Duration::from_secs(90));
        if enough || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(probe.stage.pace.look * 10).await;
    }
    let listed = seen.iter().copied().collect::<Vec<_>>().join(", ");
    let listed = if listed.is_empty() { "none" } else { &listed };
    probe.checked(
        "unweighted",
        seen.contains("Invocations"),
        format!("by ExecutedVersion: {listed}"),
    );
    let note = if refused == 0 {
        "; no request was throttled, so its zeros are all that was looked for".to_owned()
    } else {
        format!("; {refused} requests were throttled")
    };
    probe.checked(
        "throttles",
        seen.contains("Throttles") && seen.contains("Duration"),
        format!("by ExecutedVersion: {listed}{note}"),
    );
    Ok(())
}

/// From UpdateAlias until invocations follow.
pub(super) async fn alias(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("alias");
    let function = probe.make(&name, &sample(), json!({})).await?;
    let versions = function.two_versions().await?;
    function.alias(ALIAS, &versions[0]).await?;
    // Warm environments of both: a cold start is no delay of the alias's.
    for version in &versions {
        let event = json!({});
        join_all((0..CLIENTS).map(|_| function.invoke(version, &event))).await;
    }
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let watched = if probe.stage.pace.local { 1 } else { 8 };
    for round in 0..probe.stage.pace.rounds.min(10) {
        let to = &versions[(round + 1) % 2];
        let mut clients = JoinSet::new();
        let until = Instant::now() + Duration::from_secs(watched + 1);
        for _ in 0..CLIENTS {
            let (aws, pace, name) = (Arc::clone(probe.aws), *probe.stage.pace, name.clone());
            clients.spawn(async move {
                let function = Function::existing(&aws, &pace, &name);
                let mut seen = Vec::new();
                while Instant::now() < until {
                    let sent = Instant::now();
                    // One that was throttled was served by neither version.
                    if let Ok(done) = function.invoke(ALIAS, &json!({})).await
                        && done.status < 300
                    {
                        seen.push((sent, done.version));
                    }
                }
                seen
            });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        function.point(ALIAS, to, None).await?;
        let answered = Instant::now();
        let seen = clients.join_all().await.into_iter().flatten();
        let (new, old): (Vec<_>, Vec<_>) = seen.partition(|(_, version)| version == to);
        let after = |at: &Instant| at.saturating_duration_since(answered).as_secs_f64();
        let earliest = new
            .iter()
            .map(|(at, _)| after(at))
            .fold(f64::INFINITY, f64::min);
        first.push(earliest);
        last.push(old.iter().map(|(at, _)| after(at)).fold(0.0, f64::max));
        if earliest.is_infinite() {
            return Err(format!("no invocation followed within {watched} s"));
        }
    }
    probe.found(
        "alias",
        format!(
            "after UpdateAlias's answer the first request is served by the new version: {}; the last one by \
             the old version: {}",
            spread(&first),
            spread(&last)
        ),
    );
    Ok(())
}

/// From an invocation's end until its metric can be read. Each alias is a new set of dimensions.
pub(super) async fn metrics(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("metrics");
    let function = probe.make(&name, &sample(), json!({})).await?;
    let version = text(&function.publish().await?, "Version");
    let rounds = probe.stage.pace.rounds.min(12);
    // Spread over a minute: what matters is how far into it an invocation is.
    let apart = if probe.stage.pace.local { 0.1 } else { 7.0 };
    let one = async |nth: usize, wait: f64| -> Result<f64, String> {
        tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        let alias = format!("{ALIAS}{nth}");
        function.alias(&alias, &version).await?;
        let since = now();
        function.invoke(&alias, &json!({})).await?;
        let ended = Instant::now();
        let resource = format!("{name}:{alias}");
        let dimensions = [
            ("FunctionName", name.as_str()),
            ("Resource", resource.as_str()),
        ];
        while read(probe, "Invocations", &dimensions, since)
            .await?
            .is_none()
        {
            tokio::time::sleep(probe.stage.pace.look * 10).await;
        }
        Ok(ended.elapsed().as_secs_f64())
    };
    let mut waits = Vec::new();
    let mut wait = 0.0;
    for nth in 0..rounds {
        waits.push(one(nth, wait));
        wait += apart;
    }
    let seconds = join_all(waits).await;
    let seconds: Vec<f64> = seconds.into_iter().collect::<Result<_, String>>()?;
    let look = probe.stage.pace.look * 10;
    probe.found(
        "metrics",
        format!("{}; looked every {look:?}", spread(&seconds)),
    );
    Ok(())
}

/// From an invocation's end until FilterLogEvents has its line.
pub(super) async fn logs(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("logs");
    let function = probe.make(&name, &sample(), json!({})).await?;
    let since = now();
    let mut seconds = Vec::new();
    for nth in 0..probe.stage.pace.rounds {
        function.invoke("$LATEST", &json!({})).await?;
        let ended = Instant::now();
        while log_lines(probe, &function, since, "REPORT").await?.len() <= nth {
            tokio::time::sleep(probe.stage.pace.look).await;
        }
        seconds.push(ended.elapsed().as_secs_f64());
    }
    probe.found("logs", spread(&seconds));
    Ok(())
}

/// The lines of a function's log since then that have a word.
pub(super) async fn log_lines(
    probe: &Probe<'_>,
    function: &Function<'_>,
    since: f64,
    word: &str,
) -> Result<Vec<String>, String> {
    #[allow(clippy::cast_possible_truncation)] // It is a time of this century.
    let since = (since * 1e3) as i64;
    let mut asked = json!({
        "logGroupName": function.log_group(),
        "startTime": since,
        "filterPattern": word,
    });
    let mut lines = Vec::new();
    loop {
        let seen = probe
            .aws
            .json(LOGS, "FilterLogEvents", asked.clone())
            .await?;
        let events = seen["events"].as_array().into_iter().flatten();
        lines.extend(events.filter_map(|event| event["message"].as_str().map(str::to_owned)));
        if seen["nextToken"].is_null() {
            return Ok(lines);
        }
        asked["nextToken"] = seen["nextToken"].clone();
    }
}

/// Logs when each line arrived and what time it carries: both by AWS's clocks.
const EARS: &str = "import base64, gzip, json, time
def handler(event, context):
    now = time.time() * 1000
    data = json.loads(gzip.decompress(base64.b64decode(event['awslogs']['data'])))
    for line in data['logEvents']:
        if line['message'].startswith('REPORT'):
            print(json.dumps({'heard': now - line['timestamp']}))
";

/// From a log line's time until a subscribed function has it.
pub(super) async fn subscription(probe: &Probe<'_>) -> Result<(), String> {
    let (ears, mouth) = (probe.name("ears"), probe.name("mouth"));
    let listener = probe.make(&ears, &Code::python(EARS), json!({})).await?;
    let speaker = probe.make(&mouth, &sample(), json!({})).await?;
    let account = &probe.account.id;
    let region = &probe.aws.region;
    let group = speaker.log_group();
    let allowed = json!({
        "StatementId": "logs",
        "Action": "lambda:InvokeFunction",
        "Principal": "logs.amazonaws.com",
        "SourceArn": format!("arn:aws:logs:{region}:{account}:log-group:{group}:*"),
    });
    let call = listener.call("POST", "2015-03-31", "/policy", Some(&allowed));
    call.await?;
    let filter = json!({
        "logGroupName": group,
        "filterName": probe.name("filter"),
        "filterPattern": "",
        "destinationArn": format!("arn:aws:lambda:{region}:{account}:function:{ears}"),
    });
    probe
        .aws
        .json(LOGS, "PutSubscriptionFilter", filter)
        .await?;
    let since = now();
    let rounds = probe.stage.pace.rounds;
    for _ in 0..rounds {
        speaker.invoke("$LATEST", &json!({})).await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    let mut heard: Vec<f64> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while heard.len() < rounds && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let lines = log_lines(probe, &listener, since, "heard").await?;
        let lines = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        heard = lines
            .filter_map(|line: Value| Some(line["heard"].as_f64()? / 1e3))
            .collect();
    }
    let lost = rounds.saturating_sub(heard.len());
    probe.found(
        "subscription",
        format!("{}; {lost} not seen", spread(&heard)),
    );
    Ok(())
}
