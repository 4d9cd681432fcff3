//! What happened when.

use crossfade::domain::{
    Timestamp,
    approval::OperatorRequest,
    record::{Record, Status},
};

use super::asked;
use crate::{format, story::Story};

/// All that is on record, in order: the ledger's row has the steps, and the execution who answered.
pub(super) fn of(record: &Record, story: &Story) -> Vec<(Timestamp, String)> {
    let mut moments = vec![(record.began_at, "The release began.".to_owned())];
    let shifts = record.steps.iter();
    moments.extend(shifts.map(|step| {
        let text = format!("Green got {} of the traffic.", step.weight);
        (step.started_at, text)
    }));
    let release = story.release.as_deref();
    let outcome = story.outcome.as_deref();
    let answers = outcome
        .map(|outcome| &outcome.answers)
        .or_else(|| release.map(|release| &release.progress().answers));
    let answers = answers.into_iter().flatten();
    moments.extend(answers.map(|answer| (answer.at, format::sentence(&answer.describe()))));
    if let Some(asked) = asked(record) {
        let text = "An operator was asked, and traffic stays as it is.".to_owned();
        moments.push((asked.at, text));
    }
    if let Some(wish) = &record.wish {
        moments.push((wish.at, format::sentence(&OperatorRequest::describe(wish))));
    }
    if let Some(why) = &record.why {
        let what = match record.status {
            Status::Rejected => "It was ended before any traffic moved",
            _ => "A rollback was requested",
        };
        moments.push((why.at, format::sentence(&format!("{what}: {}", why.reason))));
    }
    if let Some(at) = record.ended_at {
        let text = match record.status {
            Status::Promoted => "Green was promoted: it has all traffic.",
            Status::RolledBack => "Blue had all traffic again.",
            Status::Rejected => "The release ended before any traffic moved.",
            _ => "The release ended.",
        };
        moments.push((at, text.to_owned()));
    }
    if let Some(at) = record.retention_ended_at {
        let text = "Blue is no longer kept ready, and the release cannot be taken back.";
        moments.push((at, text.to_owned()));
    }
    moments.sort_by_key(|(at, _)| *at);
    moments
}
