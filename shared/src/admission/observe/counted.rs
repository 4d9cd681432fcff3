//! Reads what CloudWatch has of what counts responses, before a release.

use crate::{
    admission::Read,
    aws::metrics::Metrics,
    domain::{
        Timestamp,
        analysis::{
            judge::Watch,
            source::{Before, Source},
        },
        moved::{Observed, Serving},
        target::Target,
    },
    error::Error,
    wire::request::{FunctionRequest, ReleaseRequest},
};

/// Reads what CloudWatch has of what counts the responses of what serves, and of the team's own metrics.
pub async fn counted(
    metrics: &Metrics,
    request: &ReleaseRequest,
    observed: &Observed,
    now: Timestamp,
) -> Read<Vec<Before>> {
    let each = request.functions.iter().zip(&observed.functions);
    let targets: Vec<_> = each.filter_map(as_both).collect();
    let sources = request.analysis.sources(&targets);
    if sources.is_empty() {
        return Read::NotAsked;
    }
    let read = async {
        let first: Vec<_> = sources
            .iter()
            .filter_map(|it| it.counted().first().copied())
            .collect();
        let valued: Vec<_> = sources.iter().filter_map(Source::valued).collect();
        let (pasts, values) = futures::try_join!(
            metrics.past(&first, None, now),
            metrics.values(&valued, last_day(now)),
        )?;
        let (mut pasts, mut values) = (pasts.into_iter(), values.into_iter());
        let before = sources.iter().map(|source| Before {
            source: source.clone(),
            counts: source
                .counted()
                .first()
                .and_then(|_| pasts.next().flatten())
                .map(|past| (past.errors.requests, past.errors.hits)),
            values: source
                .valued()
                .and_then(|_| values.next())
                .map(|all| all.len()),
        });
        Ok::<_, Error>(before.collect::<Vec<_>>())
    };
    read.await.into()
}

/// Returns a function whose green is its blue; none where it has no blue that has been counted.
fn as_both((asked, serving): (&FunctionRequest, &Serving)) -> Option<Target> {
    let seen = serving
        .seen
        .as_ref()
        .and_then(|seen| seen.primary.version());
    let blue = seen.or(serving.version.as_ref())?;
    Some(Target {
        function_name: asked.function_name.clone(),
        alias: serving.alias.clone(),
        called_as: None,
        blue_version: Some(blue.clone()),
        green_version: blue.clone(),
        revision_id: None,
        provisioned: None,
        is_durable: false,
    })
}

/// Returns the minutes of the last day.
fn last_day(now: Timestamp) -> Watch {
    let through = now.timestamp() - now.timestamp() % 60 - 60;
    Watch {
        from: through - 86_400,
        through,
    }
}
