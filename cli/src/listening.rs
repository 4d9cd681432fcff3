//! What a release that began now would receive of failures in the functions' logs.

use crossfade::{
    aws::{
        live::{Asked, Lambda, hear},
        logs::Logs,
    },
    domain::{
        analysis::live::LiveErrors,
        live::deaf::{Deaf, half},
        moved::Observed,
        names::Version,
    },
    wire::request::ReleaseRequest,
};

use crate::stack::Aws;

/// Returns what is not received, or not all, in words: nothing where the stack does not listen, or the request does not
/// want it.
pub(crate) async fn warnings(
    aws: &Aws,
    request: &ReleaseRequest,
    observed: &Observed,
) -> Vec<String> {
    let listens = match aws.stack().await {
        Ok(stack) => stack
            .parameters
            .get("LiveErrors")
            .is_some_and(|set| set == "yes"),
        Err(_) => false,
    };
    if !listens || request.analysis.live_errors == LiveErrors::Off {
        return Vec::new();
    }
    let (lambda, logs) = (Lambda::new(aws.config()), Logs::new(aws.config()));
    let own = request.analysis.live_errors.pattern();
    let mut told = Vec::new();
    for (asked, serving) in request.functions.iter().zip(&observed.functions) {
        let name = &asked.function_name;
        let seen = serving
            .seen
            .as_ref()
            .and_then(|alias| alias.primary.version());
        let Some(blue) = serving.version.as_ref().or(seen) else {
            continue;
        };
        if !observed.splitter.routes_each_request() {
            told.push(format!(
                "failures in the log of {name} are not received: {}",
                Deaf::NotRouted
            ));
            continue;
        }
        let green: Option<&Version> = None;
        let asked = Asked {
            function: name,
            blue: Some(blue),
            green,
            own,
            ours: "",
        };
        match hear(&lambda, &logs, asked).await {
            Ok(green) => {
                told.extend(half(&green, own).map(|why| {
                    format!("failures in the log of {name} are received in part: {why}")
                }));
            }
            Err(why) => told.push(format!(
                "failures in the log of {name} are not received: {why}"
            )),
        }
    }
    told
}
