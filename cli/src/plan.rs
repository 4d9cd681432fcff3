//! Saying what a request would do, and changing nothing.

use comfy_table::{Table, presets::NOTHING};
use crossfade::display::{duration, thousands};
use crossfade::{
    aws::executions::Executions,
    domain::{budget::MAX_EVENTS, weight::Weight},
    to_version,
    wire::request::{ReleaseRequest, Request, Traffic},
};
use serde::Serialize;

use crate::{
    error::CliError,
    estimate::{Estimate, estimate},
    exit_code::Exit,
    output::Output,
    preflight::Preflight,
    stack::Aws,
};

/// What is said of a request.
#[derive(Debug, Serialize)]
struct PlanOutput<'a> {
    #[serde(flatten)]
    estimate: &'a Estimate,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    preflight: Option<&'a Preflight>,
}

/// Says it. Without `aws` nothing is read.
pub(crate) async fn plan(
    aws: Option<&Aws>,
    request: &Request,
    screen: &Output,
) -> Result<Exit, CliError> {
    let goes_back = matches!(request, Request::ToVersion(_));
    let last;
    let request = match (request, aws) {
        (Request::Release(request), _) => request.as_ref(),
        (Request::ToVersion(to), Some(aws)) => {
            let executions = Executions::new(aws.config());
            let ledger = aws.ledger().await?;
            last = Box::pin(to_version::resolve(&ledger, &executions, None, to)).await?;
            &last.request
        }
        (Request::ToVersion(_), None) => {
            return Err(CliError::new(
                Exit::Usage,
                "a rollback to a version is planned by the application's last release, which AWS knows",
            )
            .next("leave --offline out"));
        }
        (Request::Rollback { .. } | Request::Wire { .. } | Request::Unwire { .. }, _) => {
            return Err(CliError::new(
                Exit::Usage,
                "only a release has a plan, and this request has another action",
            ));
        }
    };
    let preflight = match aws {
        Some(aws) => Some(Box::pin(Preflight::of(aws, request, goes_back)).await),
        None => None,
    };
    let estimate = estimate(request);
    if screen.is_json() {
        screen.object(&PlanOutput {
            estimate: &estimate,
            preflight: preflight.as_ref(),
        });
    }
    screen.say(&lines(request, &estimate));
    if let Some(preflight) = &preflight {
        screen.say(&found(preflight));
    }
    Ok(preflight.map_or(Exit::Done, |preflight| preflight.exit()))
}

fn lines(request: &ReleaseRequest, estimate: &Estimate) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "STEP", "ON GREEN", "BEGINS", "BAKES", "AT MOST", "LOOKS", "",
    ]);
    for (index, step) in estimate.steps.iter().enumerate() {
        table.add_row([
            (index + 1).to_string(),
            step.on_green(),
            format!("+{}", duration(step.after_seconds)),
            duration(step.bake_seconds.into()),
            duration(step.longest_seconds.into()),
            step.looks.to_string(),
            if step.approval { "after approval" } else { "" }.to_owned(),
        ]);
    }
    let calls: u64 = estimate.calls.values().sum();
    let each: Vec<_> = estimate
        .calls
        .iter()
        .map(|(call, count)| format!("{call} {count}"))
        .collect();
    let cost = &estimate.cost;
    let (responses, checks) = (responses(request), checks(request));
    let compared = compared(request, estimate);
    format!(
        "{}: {} step{}, {} function{}, {} of bakes, {} at most\n\n{}\n{compared}\n\
         states entered  {}, and {} of the retention\n\
         events: about {} of {}, where bakes and hooks take as long as they may\n\
         AWS calls       {calls}: {}\n\
         {responses}{checks}cost            ${:.4} (Step Functions {:.4}, Lambda {:.4}, CloudWatch {:.4}, DynamoDB {:.4}, SNS and EventBridge {:.4};\n\
         \u{20}               us-east-1's list prices, no free tier, where all goes well)",
        estimate.application,
        estimate.steps.len(),
        plural(estimate.steps.len()),
        request.functions.len(),
        plural(request.functions.len()),
        duration(estimate.seconds),
        duration(estimate.longest_seconds),
        table.trim_fmt(),
        estimate.state_transitions,
        estimate.retention_transitions,
        thousands(estimate.events.into()),
        thousands(MAX_EVENTS.into()),
        each.join(", "),
        cost.total,
        cost.step_functions,
        cost.lambda,
        cost.cloud_watch,
        cost.dynamo_db,
        cost.telling,
    )
}

/// A line of what counts the responses that callers get, each with how green is judged by it.
fn responses(request: &ReleaseRequest) -> String {
    let by_door = match &request.traffic {
        Traffic::Alb(_) => Some("both target groups (green against blue)"),
        Traffic::Route53(records) if !records.behind.is_empty() => {
            Some("what is behind both records (green against blue)")
        }
        Traffic::Alias | Traffic::Route53(_) => None,
    };
    let analysis = &request.analysis;
    let responses = analysis
        .responses
        .iter()
        .map(|one| format!("{one} ({})", one.judged()));
    let metrics = analysis
        .metrics
        .iter()
        .map(|one| format!("{one} ({})", one.judged()));
    let each: Vec<_> = by_door
        .map(str::to_owned)
        .into_iter()
        .chain(responses)
        .chain(metrics)
        .collect();
    if each.is_empty() {
        return "responses       not counted: a handler that answers 500 is a success for Lambda; say in \
                analysis.responses or analysis.metrics what counts them\n"
            .to_owned();
    }
    format!("responses       {}\n", each.join(", "))
}

/// A line of the last step: what it is compared with; nothing where it has no bake.
fn compared(request: &ReleaseRequest, estimate: &Estimate) -> String {
    let bakes = estimate
        .steps
        .last()
        .is_some_and(|step| step.bake_seconds > 0);
    match request.control() {
        Weight::ZERO if bakes => "with 100 % on green nothing is left to compare it with: alarms and limits decide there \
             (analysis.controlPercent keeps a control group)\n"
            .to_owned(),
        Weight::ZERO => String::new(),
        control => format!("{control} stay on blue as a control group until green is promoted\n"),
    }
}

/// A line of the health checks, each with the side that it belongs to; nothing where there are none.
fn checks(request: &ReleaseRequest) -> String {
    let checks = &request.analysis.health_checks;
    if checks.is_empty() {
        return String::new();
    }
    let each = checks.iter().map(|check| match check.side() {
        Some(side) => format!("{check} of {side}"),
        None => check.to_string(),
    });
    let each: Vec<_> = each.collect();
    format!(
        "health checks   {}; a release asks those of the side that is green in it\n",
        each.join(", ")
    )
}

fn found(preflight: &Preflight) -> String {
    let mut lines = Vec::new();
    for (heading, found) in [
        ("serving now", &preflight.serving),
        ("counted so far", &preflight.counted),
        ("warnings", &preflight.warnings),
        ("in the way", &preflight.problems),
    ] {
        if !found.is_empty() {
            lines.push(format!("\n{heading}"));
            lines.extend(found.iter().map(|one| format!("  {one}")));
        }
    }
    if !preflight.could_not_tell.is_empty() {
        lines.push(String::new());
        let unknown = preflight.could_not_tell.iter();
        lines.extend(unknown.map(|one| format!("not known: {one}")));
    }
    if preflight.problems.is_empty() {
        let end = if preflight.could_not_tell.is_empty() {
            "\nnothing is in the way"
        } else {
            "\nnothing is known to be in the way, but not everything could be read"
        };
        lines.push(end.to_owned());
    }
    lines.join("\n")
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn renders_a_plan_as_a_table() {
        let request = json!({"application": "chat", "strategy": "prod",
            "functions": [{"functionName": "f", "alias": "live", "smokeTests": [{"name": "health"}]}]});
        let Ok(Request::Release(request)) = Request::parse(&request) else {
            panic!("it is a release");
        };
        let shown = lines(&request, &estimate(&request));
        let rows: Vec<Vec<_>> = shown
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            rows[0],
            ["chat: 3 steps, 1 function, 20 min of bakes, 1 h at most"]
        );
        assert_eq!(rows[3], ["1", "10 %", "+0 s", "5 min", "15 min", "5"]);
        assert_eq!(
            rows[5],
            [
                "3",
                "95 %",
                "+15 min",
                "5 min",
                "15 min",
                "5",
                "after approval"
            ]
        );
        assert_eq!(
            rows[6],
            ["5 % stay on blue as a control group until green is promoted"]
        );
        assert_eq!(rows[8], ["states entered", "76, and 7 of the retention"]);
        assert!(shown.contains("cost            $0.00"), "{shown}");
        assert!(shown.contains("\nevents: about 679 of 25,000, "), "{shown}");
    }

    #[test]
    fn names_what_counts_responses_or_says_that_nothing_does() {
        let shown = |more: serde_json::Value| {
            let mut request = json!({"application": "chat", "strategy": "dev",
                "functions": [{"functionName": "f", "alias": "live"}]});
            for (field, value) in more.as_object().unwrap() {
                request[field] = value.clone();
            }
            let Ok(Request::Release(request)) = Request::parse(&request) else {
                panic!("it is a release: {request}");
            };
            responses(&request)
        };
        let none = shown(json!({}));
        assert!(
            none.starts_with("responses       not counted: a handler that answers 500"),
            "{none}"
        );
        let told = shown(json!({"analysis": {
            "maxErrorRatePercent": 5,
            "responses": [{"functionUrl": "f"}, {"httpApi": {"apiId": "a1", "stage": "prod"}}],
            "metrics": [{"namespace": "Chat", "name": "Age", "max": 3, "dimensions": {"V": "${version}"}}],
        }}));
        assert_eq!(
            told,
            "responses       function URL of f (green against blue), stage prod of API a1 (both versions together, held \
             to a ceiling), metric Chat/Age (green's, held to a ceiling)\n"
        );
        let records = shown(
            json!({"traffic": {"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ",
            "recordName": "api.example.com", "behind": [
                {"setIdentifier": "blue", "loadBalancer": "app/a/1"},
                {"setIdentifier": "green", "loadBalancer": "app/b/1"}]}}),
        );
        assert_eq!(
            records,
            "responses       what is behind both records (green against blue)\n"
        );
    }

    #[test]
    fn names_the_side_of_each_health_check() {
        let request = json!({"application": "chat", "strategy": "dev",
            "functions": [{"functionName": "f", "alias": "live"}],
            "traffic": {"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ", "recordName": "api.example.com"},
            "analysis": {"healthChecks": [
                {"url": "https://blue.example.com/health", "setIdentifier": "blue"},
                {"route53HealthCheckId": "abc", "setIdentifier": "green"}]}});
        let Ok(Request::Release(request)) = Request::parse(&request) else {
            panic!("it is a release");
        };
        let shown = lines(&request, &estimate(&request));
        let told = "\nhealth checks   https://blue.example.com/health of record \"blue\", abc of record \
                    \"green\"; a release asks those of the side that is green in it\n";
        assert!(shown.contains(told), "{shown}");
    }

    #[test]
    fn names_what_the_last_step_is_compared_with() {
        let shown = |strategy: serde_json::Value, analysis: serde_json::Value| {
            let request = json!({"application": "chat", "strategy": strategy, "analysis": analysis,
                "functions": [{"functionName": "f", "alias": "live"}]});
            let Ok(Request::Release(request)) = Request::parse(&request) else {
                panic!("it is a release");
            };
            lines(&request, &estimate(&request))
        };
        let (kept, nothing) = (
            "stay on blue as a control group",
            "nothing is left to compare it with",
        );
        let prod = shown(json!("prod"), json!({}));
        assert!(prod.contains(&format!("\n5 % {kept}")), "{prod}");
        assert!(prod.contains("95 %") && !prod.contains(nothing), "{prod}");
        let whole = shown(json!("prod"), json!({"controlPercent": 0}));
        assert!(whole.contains(nothing) && !whole.contains(kept), "{whole}");
        let asked = shown(json!("BlueGreen"), json!({"controlPercent": 0.5}));
        assert!(asked.contains(&format!("\n0.5 % {kept}")), "{asked}");
        let no_bake = shown(json!("dev"), json!({}));
        assert!(
            !no_bake.contains(kept) && !no_bake.contains(nothing),
            "{no_bake}"
        );
    }

    #[test]
    fn prints_obstacles_last() {
        let free = Preflight {
            serving: vec!["f: version 1".into()],
            ..Preflight::default()
        };
        assert_eq!(
            found(&free),
            "\nserving now\n  f: version 1\n\nnothing is in the way"
        );
        let not = Preflight {
            problems: vec!["no".into()],
            ..Preflight::default()
        };
        assert_eq!(found(&not), "\nin the way\n  no");
        let unknown = Preflight {
            could_not_tell: vec!["what serves: no answer".into()],
            ..Preflight::default()
        };
        assert_eq!(
            found(&unknown),
            "\nnot known: what serves: no answer\n\nnothing is known to be in the way, but not everything could be read"
        );
    }
}
