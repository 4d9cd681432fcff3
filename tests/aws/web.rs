//! Lambda's Web Functions: their questions, and their removal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    api::{Aws, CLOUDWATCH, Refusal},
    function::{text, zip},
    probes::Probe,
};

const API: &str = "/2025-03-07/web-functions";
const ENDPOINT: &str = "main";

/// Answers every request.
const SERVER: &str = "import http from 'node:http';
http.createServer((request, response) => response.end('ok')).listen(process.env.PORT || 8080);
";

/// The names of all Web Functions; none where the Region does not have them.
pub(crate) async fn list(aws: &Aws) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    let mut asked = json!({});
    loop {
        let page = match aws.lambda("POST", API, Some(&asked)).await {
            Ok(page) => page,
            // Where the call is unknown or denied, no run can have made any.
            Err(refusal) if (400..500).contains(&refusal.status) => return Ok(names),
            Err(refusal) => return Err(refusal),
        };
        let functions = page["functions"].as_array().into_iter().flatten();
        names.extend(functions.map(|function| text(function, "functionName")));
        if page["nextToken"].is_null() {
            return Ok(names);
        }
        asked["nextToken"] = page["nextToken"].clone();
    }
}

/// Deletes one, with its endpoints.
pub(crate) async fn delete(aws: &Aws, name: &str) -> Result<(), Refusal> {
    let path = format!("{API}/{name}/list-endpoints");
    let listed = aws.lambda("POST", &path, Some(&json!({}))).await?;
    for endpoint in listed["endpoints"].as_array().into_iter().flatten() {
        let path = format!("{API}/{name}/endpoints/{}", text(endpoint, "endpointName"));
        aws.lambda("DELETE", &path, None).await?;
    }
    aws.lambda("DELETE", &format!("{API}/{name}"), None).await?;
    Ok(())
}

/// Two revisions behind an endpoint, and a second endpoint in two Regions.
pub(crate) async fn probe(probe: &Probe<'_>) -> Result<(), String> {
    let name = probe.name("web");
    let ground = probe.stage.ground;
    let mut revision = json!({
        "serviceConfig": {"executionRoleArn": ground.role},
        "buildConfig": {"runtimeConfig": {"runtime": "nodejs22.x"}},
    });
    let mut built = Vec::new();
    for nth in ["1", "2"] {
        let key = format!("web/{nth}.zip");
        let code = zip("index.mjs", &format!("// {nth}\n{SERVER}"));
        let path = format!("/{}/{key}", ground.bucket);
        probe.aws.s3("PUT", &path, &[], &code).await?;
        let object = json!({"bucket": ground.bucket, "key": key});
        revision["buildConfig"]["codeConfig"] = json!({"s3Object": object});
        built.push(revision.clone());
    }
    let tags: Value = probe.stage.run.tags().into_iter().collect();
    let asked = json!({
        "functionName": name,
        "revisionConfig": built[0],
        "endpointConfig": {
            "endpointName": ENDPOINT, "endpointType": "HomeRegion", "authType": "IamAuth",
            "autoDeploymentMode": "Disabled"
        },
        "tags": tags,
    });
    let made = probe.aws.lambda("PUT", API, Some(&asked)).await?;
    let blue = text(&made["revision"], "revisionId");
    active(probe, &format!("{API}/{name}/endpoints/{ENDPOINT}")).await?;
    let path = format!("{API}/{name}/revisions");
    let made = probe.aws.lambda("POST", &path, Some(&built[1])).await?;
    let green = text(&made, "revisionId");
    active(probe, &format!("{path}/{green}")).await?;

    let endpoint = format!("{API}/{name}/endpoints/{ENDPOINT}");
    let split = |weight: u32| {
        json!({"revisionWeights": [
            {"revisionId": blue, "weight": 100 - weight},
            {"revisionId": green, "weight": weight}
        ]})
    };
    let began = Instant::now();
    probe
        .aws
        .lambda("PATCH", &endpoint, Some(&split(10)))
        .await?;
    let status = changed(probe, &endpoint).await?;
    let seconds = began.elapsed().as_secs_f64();
    probe.checked(
        "web-weights",
        status == "Successful",
        format!("{status} after {seconds:.0} s"),
    );

    let (one, other) = (split(20), split(30));
    let (one, other) = tokio::join!(
        probe.aws.lambda("PATCH", &endpoint, Some(&one)),
        probe.aws.lambda("PATCH", &endpoint, Some(&other))
    );
    let told = |done: &Result<Value, Refusal>| match done {
        Ok(_) => "accepted".to_owned(),
        Err(refusal) => refusal.code.clone(),
    };
    let conflict = [&one, &other].iter().filter(|done| done.is_err()).count() == 1;
    probe.checked(
        "web-two",
        conflict,
        format!("{} and {}", told(&one), told(&other)),
    );
    changed(probe, &endpoint).await?;

    regions(probe, &name, &blue).await;
    let seen = probe.aws.lambda("GET", &endpoint, None).await?;
    let url = format!("https://{}/", text(&seen, "domainName"));
    for _ in 0..20 {
        probe.aws.fetch(&url).await?;
    }
    metrics(probe, &name).await
}

/// The dimensions that its metrics have.
async fn metrics(probe: &Probe<'_>, name: &str) -> Result<(), String> {
    let asked = json!({"Namespace": "AWS/Lambda/Web", "Dimensions": [{"Name": "FunctionName", "Value": name}]});
    let looked = probe.until(
        Duration::from_secs(5 * 60),
        "metrics in AWS/Lambda/Web",
        async || {
            let seen = probe
                .aws
                .json(CLOUDWATCH, "ListMetrics", asked.clone())
                .await?;
            Ok(seen["Metrics"]
                .as_array()
                .filter(|metrics| !metrics.is_empty())
                .cloned())
        },
    );
    let metrics = looked.await?;
    let mut sets: Vec<String> = metrics
        .iter()
        .map(|metric| {
            let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
            dimensions
                .map(|dimension| text(dimension, "Name"))
                .collect::<Vec<_>>()
                .join("+")
        })
        .collect();
    sets.sort();
    sets.dedup();
    let by_revision = sets.iter().any(|set| set.contains("Revision"));
    probe.checked("web-metrics", !by_revision, sets.join("; "));
    Ok(())
}

/// An endpoint in two Regions.
async fn regions(probe: &Probe<'_>, name: &str, revision: &str) {
    let other = if probe.aws.region == "us-east-1" {
        "us-west-2"
    } else {
        "us-east-1"
    };
    let asked = json!({
        "endpointName": "regions",
        "endpointType": "PerRegion",
        "authType": "IamAuth",
        "regions": [probe.aws.region, other],
        "revisionWeights": [{"revisionId": revision, "weight": 100}],
    });
    let path = format!("{API}/{name}/endpoints");
    let told = match probe.aws.lambda("PUT", &path, Some(&asked)).await {
        Ok(made) => format!("made; weights by Region: {}", made["regionalEndpoints"]),
        Err(refusal) => refusal.to_string(),
    };
    probe.found("web-regions", told);
}

async fn active(probe: &Probe<'_>, path: &str) -> Result<(), String> {
    let looked = probe.until(Duration::from_secs(5 * 60), path, async || {
        let seen = probe.aws.lambda("GET", path, None).await?;
        let state = text(&seen, "state");
        Ok((state != "Pending").then(|| (state, text(&seen, "stateReason"))))
    });
    match looked.await? {
        (state, _) if state == "Active" => Ok(()),
        (state, why) => Err(format!("{path} is {state}: {why}")),
    }
}

/// The update's status when it is over.
async fn changed(probe: &Probe<'_>, path: &str) -> Result<String, String> {
    let looked = probe.until(Duration::from_secs(5 * 60), path, async || {
        let seen = probe.aws.lambda("GET", path, None).await?;
        let status = text(&seen, "updateStatus");
        Ok((status != "InProgress").then_some(status))
    });
    looked.await
}
