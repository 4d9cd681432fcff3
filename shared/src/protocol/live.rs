//! The fast lane's order of writes: what is to be removed is on record before it is put, weights are on record before
//! they are in force, and what was received is on record before anything follows from it.

use std::time::Duration;

use super::ledger::{Ledger, Listening, Row};
use crate::{
    domain::{
        Timestamp,
        live::{
            environment::{Colour, Environment, Failure, sum},
            evidence::{LiveEvidence, Series},
            lane::{Ear, Lane},
            line::Line,
            stream::Stream,
        },
        names::{FunctionName, derived::keys, derived::live_filter},
        weight::Weight,
    },
    error::Error,
    ports::{Clock, LedgerStore, LogsApi},
};

/// How long is waited before the first shift until something of green has been received, after its smoke tests.
pub const HEARING: Duration = Duration::from_secs(15);
/// How often is looked meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// How often an environment's row is written anew when others write it too.
const TURNS: u32 = 8;

/// Lines of one log stream, as CloudWatch Logs delivers them: at least once, in any order.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The name of the subscription filter.
    pub filter: String,
    /// The log group.
    pub group: String,
    /// The stream.
    pub stream: String,
    /// The lines.
    pub lines: Vec<Told>,
}

/// A line, of which nothing is kept but what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The id that CloudWatch Logs gave it.
    pub id: String,
    /// When it was written.
    pub at: Timestamp,
    /// What it is.
    pub message: String,
}

/// Begins to listen: records it, and then puts the subscription filters with their patterns.
///
/// # Errors
/// The first that could not be put. What was put is on record.
pub async fn arm(
    logs: &impl LogsApi,
    ledger: &Ledger<impl LedgerStore>,
    lane: &Lane,
    pattern: impl Fn(&Ear) -> String,
    to: &str,
    now: Timestamp,
) -> Result<(), Error> {
    ledger.open_lane(lane, now).await?;
    for group in lane.groups() {
        let ear = lane.ears.iter().find(|ear| ear.group == group);
        let pattern = ear.map(&pattern).unwrap_or_default();
        logs.subscribe(group, &lane.filter(), &pattern, to).await?;
    }
    Ok(())
}

/// Ends to listen: removes the subscription filters. Free to repeat, and for a release that never listened. Returns
/// whether none can come any more: the schedule asks again until then.
pub async fn disarm(
    logs: &impl LogsApi,
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(!deafen(logs, ledger, execution).await? || ledger.close_lane(execution, now).await?)
}

/// Removes the subscription filters of a release that goes on without: that they may come again stays on record.
/// Returns whether it listened.
pub async fn deafen(
    logs: &impl LogsApi,
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
) -> Result<bool, Error> {
    let Some(lane) = ledger.lane(execution).await? else {
        return Ok(false);
    };
    ledger.lane_over(&lane.filter()).await?;
    for group in lane.groups() {
        logs.unsubscribe(group, &lane.filter()).await?;
    }
    Ok(true)
}

/// The same where nothing may fail for it: what is left is the schedule's.
pub async fn disarm_or_leave(
    logs: Option<&impl LogsApi>,
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    now: Timestamp,
) {
    let Some(logs) = logs else { return };
    if let Err(error) = disarm(logs, ledger, execution, now).await {
        tracing::warn!(event = "lane_not_removed", deployment.id = execution, error.message = %error, "The subscription filters were not removed; the sweep will retry.");
    }
}

/// Removes what ended releases have left. Returns how many there are to be looked at again.
///
/// # Errors
/// The first that could not be removed, after all have been tried.
pub async fn sweep(
    logs: &impl LogsApi,
    ledger: &Ledger<impl LedgerStore>,
    now: Timestamp,
) -> Result<usize, Error> {
    let (mut left, mut failed) = (0, None);
    for execution in ledger.lanes().await? {
        let record = ledger.get(&execution).await?;
        if record.is_some_and(|record| record.status.is_open()) {
            left += 1;
            continue;
        }
        match disarm(logs, ledger, &execution, now).await {
            Ok(done) => left += usize::from(!done),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(left), Err)
}

/// Records a weight before it is written, of a release that is listened to.
pub async fn before_shift(
    ledger: &Ledger<impl LedgerStore>,
    execution: &str,
    weight: Weight,
    now: Timestamp,
) -> Result<(), Error> {
    ledger.before_weight(execution, weight, now).await
}

/// Waits until something of each function's green has been received, for at most [`HEARING`]. Returns those of which
/// nothing was.
pub async fn unheard(
    ledger: &Ledger<impl LedgerStore>,
    clock: &impl Clock,
    execution: &str,
    functions: &[FunctionName],
) -> Result<Vec<FunctionName>, Error> {
    let filter = live_filter(execution);
    let began = clock.elapsed();
    loop {
        let listening = ledger.listening(&filter).await?;
        let rows = listening.map(|it| it.rows).unwrap_or_default();
        let is_heard = |name: &FunctionName| {
            let mut green = rows.iter().filter(|row| row.colour == Colour::Green);
            green.any(|row| row.function == *name)
        };
        let silent: Vec<_> = functions
            .iter()
            .filter(|name| !is_heard(name))
            .cloned()
            .collect();
        if silent.is_empty() || clock.elapsed().saturating_sub(began) >= HEARING {
            return Ok(silent);
        }
        clock.sleep(LOOK).await;
    }
}

/// Takes a delivery in. Returns the numbers where they condemn green and no rollback has been requested yet.
///
/// # Errors
/// [`Error::Transient`] where the ledger could not be written: to take it again is safe.
pub async fn take(
    ledger: &Ledger<impl LedgerStore>,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<Option<(Lane, LiveEvidence)>, Error> {
    let Some(stream) = Stream::parse(&delivery.stream) else {
        return Ok(None);
    };
    for _ in 0..TURNS {
        let Some(heard) = ledger.listening(&delivery.filter).await? else {
            return Ok(None);
        };
        let Some((ear, colour)) = heard.lane.colour(&delivery.group, &stream) else {
            return Ok(None);
        };
        if heard.is_over || heard.is_told {
            return Ok(None);
        }
        let name = keys::environment(&delivery.group, &delivery.stream);
        let known = heard.rows.iter().find(|row| row.name == name).cloned();
        let mut row = known.unwrap_or_else(|| Row {
            name,
            function: ear.function_name.clone(),
            colour,
            environment: Environment::default(),
            turn: 0,
        });
        let mut is_news = row.turn == 0;
        for line in &delivery.lines {
            if let Line::Failed { took_ms } = Line::read(&line.message, heard.lane.is_own) {
                let failure = Failure {
                    id: &line.id,
                    at: line.at,
                    began: began(line.at, took_ms),
                };
                is_news |= row.environment.take(colour, failure, &heard.weights);
            }
        }
        if !is_news {
            return Ok(weigh(heard));
        }
        if ledger.keep_environment(&delivery.filter, &row, now).await? {
            let heard = ledger.listening(&delivery.filter).await?;
            return Ok(heard.and_then(weigh));
        }
    }
    Err(Error::Transient(
        "others write what was received of this environment too; try again".into(),
    ))
}

/// When an invocation began that was over at a moment.
fn began(at: Timestamp, took_ms: Option<f64>) -> Timestamp {
    let took = took_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
    let took = took.and_then(|took| chrono::TimeDelta::from_std(took).ok());
    took.and_then(|took| at.checked_sub_signed(took))
        .unwrap_or(at)
}

/// Weighs all that was received of a release.
fn weigh(heard: Listening) -> Option<(Lane, LiveEvidence)> {
    let lane = heard.lane;
    let series = lane.ears.iter().map(|ear| {
        let rows = heard
            .rows
            .iter()
            .filter(|row| row.function == ear.function_name);
        Series {
            function: ear.function_name.clone(),
            come: ear.come,
            failures: sum(rows.map(|row| &row.environment)),
        }
    });
    let series: Vec<_> = series.collect();
    let found = LiveEvidence::weigh(&series, lane.odds_ratio, lane.alpha)?;
    found.condemns().then_some((lane, found))
}
