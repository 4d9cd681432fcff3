//! Rules between what counts responses and the rest of the request.

use serde_json::Value;

use super::{items, problem, read};
use crate::domain::analysis::responses::{OwnMetric, Responses};
use crate::parse::bounds::quoted;
use crate::parse::problem::Problem;

/// Every rule that `analysis.responses` and `analysis.metrics` break.
pub(super) fn broken(request: &Value, problems: &mut Vec<Problem>) {
    let analysis = &request["analysis"];
    let functions: Vec<&str> = items(&request["functions"])
        .iter()
        .filter_map(|function| function["functionName"].as_str())
        .collect();
    let has_ceiling = !analysis["maxErrorRatePercent"].is_null();
    let responses = items(&analysis["responses"]);
    each_once("analysis.responses", responses, problems);
    for (index, one) in responses.iter().enumerate() {
        let path = format!("analysis.responses[{index}]");
        match read::<Responses>(one) {
            Some(Responses::FunctionUrl(name)) => {
                let path = format!("{path}.functionUrl");
                if request["traffic"]["type"] == "alb" {
                    let message = "belongs to an alias, and a load balancer's groups call versions; leave it out: the \
                                   answers of both groups are judged anyway";
                    problems.push(problem(path, message));
                } else {
                    is_released(path, name.as_ref(), &functions, problems);
                }
            }
            Some(together) if !has_ceiling => {
                let message = format!(
                    "{together} counts both versions together, so green cannot be compared with blue by it; give the \
                     ceiling that it is held to in analysis.maxErrorRatePercent"
                );
                problems.push(problem(path, message));
            }
            Some(_) | None => {}
        }
    }
    let metrics = items(&analysis["metrics"]);
    each_once("analysis.metrics", metrics, problems);
    for (index, one) in metrics.iter().enumerate() {
        let path = format!("analysis.metrics[{index}]");
        let Some(metric) = read::<OwnMetric>(one) else {
            continue;
        };
        if metric.is_by_version() {
            let field = format!("{path}.functionName");
            match (&metric.function_name, functions.as_slice()) {
                (Some(name), known) => is_released(field, name.as_ref(), known, problems),
                (None, []) => problems.push(problem(
                    format!("{path}.dimensions"),
                    "have ${version}, and the release has no function whose version that could be; leave it out, and \
                     give a ceiling in \"max\"",
                )),
                (None, [_]) => {}
                (None, [..]) => problems.push(problem(
                    field,
                    "is missing; the release has several functions: name the one whose version ${version} is",
                )),
            }
        } else if metric.of.is_some() && metric.max.is_none() && !has_ceiling {
            problems.push(problem(
                format!("{path}.dimensions"),
                "have no ${version}, so both versions are counted together and cannot be compared; put ${version} where \
                 the version is, or give a ceiling: \"max\", or analysis.maxErrorRatePercent",
            ));
        }
    }
}

/// Reports a function that the release does not move.
fn is_released(path: String, name: &str, functions: &[&str], problems: &mut Vec<Problem>) {
    if !functions.contains(&name) {
        let message = format!("{} is not one of the release's functions", quoted(name));
        problems.push(problem(path, message));
    }
}

/// Reports what is listed twice.
fn each_once(list: &str, all: &[Value], problems: &mut Vec<Problem>) {
    for (index, one) in all.iter().enumerate() {
        if let Some(first) = all[..index].iter().position(|other| other == one) {
            let message = format!("is the same as {list}[{first}]; list each of them once");
            problems.push(problem(format!("{list}[{index}]"), message));
        }
    }
}
