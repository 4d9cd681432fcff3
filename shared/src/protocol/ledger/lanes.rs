//! What is listened to during releases. A row for each release says which subscription filters are to be removed: it
//! is there before they are. Beside it, a row for each weight, put before that is written, and one for each execution
//! environment.

use chrono::TimeDelta;

use super::{
    Ledger,
    attributes::{ONE, contended, instant, json, key, n, parsed, required, s},
};
use crate::{
    domain::{
        Timestamp,
        live::{
            environment::{Colour, Environment},
            lane::Lane,
            weights::Since,
        },
        names::{FunctionName, derived, derived::keys},
        weight::Weight,
    },
    error::Error,
    ports::{Applied, Item, LedgerStore, RowWrite, Transacted, Value},
};

/// The rows of all lanes.
const LANES: &str = "LANES";
/// What the sort keys of weights begin with.
const WEIGHT: &str = "WEIGHT#";
/// How long the rows of a lane are kept at the longest: longer than a release can last.
const KEPT: TimeDelta = TimeDelta::days(30);
/// How long after it was recorded a subscription filter may still be put, by a function that no execution waits for any
/// more.
const LATE: TimeDelta = TimeDelta::minutes(15);

/// A release that is listened to, and what was received so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Listening {
    /// What is listened to.
    pub lane: Lane,
    /// Whether that is over.
    pub is_over: bool,
    /// Whether a rollback was requested.
    pub is_told: bool,
    /// The weights that may have been in force.
    pub weights: Vec<Since>,
    /// The environments.
    pub rows: Vec<Row>,
}

/// An execution environment of which something was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The row's name among the lane's.
    pub name: String,
    /// The function.
    pub function: FunctionName,
    /// Which version it runs.
    pub colour: Colour,
    /// Its failures.
    pub environment: Environment,
    /// How often it has been written: 0 for one that is not there yet.
    pub turn: i64,
}

impl<S: LedgerStore> Ledger<S> {
    /// Records what is going to be listened to, and so what is to be removed. Free to repeat.
    pub async fn open_lane(&self, lane: &Lane, now: Timestamp) -> Result<(), Error> {
        let expires = n((now + KEPT).timestamp());
        let row = RowWrite::put(key(&keys::lane(&lane.filter()), ONE))
            .item("lane", json(lane))
            .item("openedAt", s(&now.to_rfc3339()))
            .item("expiresAt", expires);
        let owed = RowWrite::put(key(LANES, &lane.execution)).item("owed", Value::Bool(true));
        match self
            .store
            .transact("recording what is listened to", vec![row, owed])
            .await?
        {
            Transacted::Done => Ok(()),
            Transacted::Refused(_) | Transacted::Contended => Err(contended()),
        }
    }

    /// Returns what is listened to by subscription filters of this name; `None` where the ledger knows none.
    pub async fn listening(&self, filter: &str) -> Result<Option<Listening>, Error> {
        let items = self.store.query(&keys::lane(filter)).await?;
        let Some(first) = items.iter().find(|item| item.contains_key("lane")) else {
            return Ok(None);
        };
        let mut listening = Listening {
            lane: parsed(first, "lane")?,
            is_over: first.contains_key("laneOver"),
            is_told: first.contains_key("laneTold"),
            weights: Vec::new(),
            rows: Vec::new(),
        };
        for item in &items {
            if item.contains_key("since") {
                listening.weights.push(parsed(item, "since")?);
            } else if item.contains_key("environment") {
                listening.rows.push(row(item)?);
            }
        }
        Ok(Some(listening))
    }

    /// Records that a weight is going to be written. The first record of it stays.
    pub async fn before_weight(
        &self,
        execution: &str,
        weight: Weight,
        now: Timestamp,
    ) -> Result<(), Error> {
        let name = format!("{WEIGHT}{}", weight.tenths());
        let row = RowWrite::put(key(&keys::lane(&derived::live_filter(execution)), &name))
            .item("since", json(&Since { weight, at: now }))
            .item("expiresAt", n((now + KEPT).timestamp()))
            .condition("attribute_not_exists(pk)");
        self.store.write("recording a weight", row).await.map(drop)
    }

    /// Keeps what was received of an environment, where no other invocation has written it meanwhile. Returns whether it
    /// did.
    pub async fn keep_environment(
        &self,
        filter: &str,
        row: &Row,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let write = RowWrite::put(key(&keys::lane(filter), &row.name))
            .item("function", s(row.function.as_ref()))
            .item("colour", json(&row.colour))
            .item("environment", json(&row.environment))
            .item("turn", n(row.turn + 1))
            .item("expiresAt", n((now + KEPT).timestamp()));
        let write = if row.turn == 0 {
            write.condition("attribute_not_exists(pk)")
        } else {
            write.condition("turn = :turn").value(":turn", n(row.turn))
        };
        let kept = self.store.write("keeping what was received", write).await?;
        Ok(matches!(kept, Applied::Done(_)))
    }

    /// Records that a rollback was requested.
    pub async fn lane_told(&self, filter: &str) -> Result<(), Error> {
        self.mark_lane(filter, "SET laneTold = :yes").await
    }

    /// Records that nothing is listened to any more.
    pub async fn lane_over(&self, filter: &str) -> Result<(), Error> {
        self.mark_lane(filter, "SET laneOver = :yes").await
    }

    async fn mark_lane(&self, filter: &str, set: &str) -> Result<(), Error> {
        let row = RowWrite::update(key(&keys::lane(filter), ONE), set)
            .condition("attribute_exists(pk)")
            .value(":yes", Value::Bool(true));
        self.store
            .write("writing to the ledger", row)
            .await
            .map(drop)
    }

    /// Forgets that subscription filters of a release are to be removed, once they are and none can come any more.
    /// Returns whether it did.
    pub async fn close_lane(&self, execution: &str, now: Timestamp) -> Result<bool, Error> {
        let lane = key(&keys::lane(&derived::live_filter(execution)), ONE);
        let item = self.store.row(&lane).await?;
        let opened = item
            .as_ref()
            .map(|item| instant(item, "openedAt"))
            .transpose()?;
        if opened.flatten().is_some_and(|at| now - at < LATE) {
            return Ok(false);
        }
        let forget = RowWrite::delete(key(LANES, execution));
        self.store
            .write("forgetting what was listened to", forget)
            .await?;
        Ok(true)
    }

    /// Lists the releases whose subscription filters may still be there.
    pub async fn lanes(&self) -> Result<Vec<String>, Error> {
        let rows = self.store.query(LANES).await?;
        rows.iter().map(|row| required(row, "sk")).collect()
    }

    /// Returns what is listened to during a release; `None` where nothing was.
    pub async fn lane(&self, execution: &str) -> Result<Option<Lane>, Error> {
        let lane = key(&keys::lane(&derived::live_filter(execution)), ONE);
        let row = self.store.row(&lane).await?;
        row.map(|row| parsed(&row, "lane")).transpose()
    }
}

fn row(item: &Item) -> Result<Row, Error> {
    let unreadable = || Error::Refused("a row of the ledger has no readable function".into());
    let turn = match item.get("turn") {
        Some(Value::N(turn)) => turn.parse().ok(),
        _ => None,
    };
    Ok(Row {
        name: required(item, "sk")?,
        function: FunctionName::try_from(required(item, "function")?).map_err(|_| unreadable())?,
        colour: parsed(item, "colour")?,
        environment: parsed(item, "environment")?,
        turn: turn.unwrap_or_default(),
    })
}
