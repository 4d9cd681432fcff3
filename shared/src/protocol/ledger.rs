//! The ledger: a table of locks, releases and what watches them.
//!
//! Access patterns, one call each; keys are `pk` alone:
//!
//! | question or act                                   | call                | items                                |
//! |---------------------------------------------------|---------------------|--------------------------------------|
//! | take all locks of a release, or none              | TransactWriteItems  | `LOCK#…` each, `DEPLOYMENT#…`, `RUNNING` |
//! | fix the versions, and arm the alarms              | TransactWriteItems  | `DEPLOYMENT#…`, `ALARM#…` each       |
//! | record a shift (and keep the alarms' copy true)   | TransactWriteItems  | the same                             |
//! | which releases watch this alarm                   | Query `ALARM#name`  | with all that a rollback needs       |
//! | record that the first shift begins, or was refused| UpdateItem          | `DEPLOYMENT#…`                       |
//! | request the rollback of a release                 | UpdateItem          | `DEPLOYMENT#…`                       |
//! | ask an operator, and record the answer            | UpdateItem          | `DEPLOYMENT#…`                       |
//! | request a hold, or the end of the plan            | UpdateItem          | `DEPLOYMENT#…`                       |
//! | how is this release                               | GetItem             | `DEPLOYMENT#…`                       |
//! | which releases have not ended, or are unreported  | Query `RUNNING`     | one row a release                    |
//! | who holds this application, what was promoted last| BatchGetItem        | `LOCK#application/…`, `PROMOTED#…`   |
//! | end a release, and give back all its locks        | TransactWriteItems  | all of the above; promoted: `RETAINED#…` each, `RETENTIONS#…`; moved: `SPLITTER#…` |
//! | open a promoted one again, to roll it back        | TransactWriteItems  | `LOCK#…` each, `DEPLOYMENT#…`, `RUNNING`, `PROMOTED#…` |
//! | which versions of a function are retained         | Query `RETAINED#function` | one row a promoted release     |
//! | which retentions of an application are open       | Query `RETENTIONS#application` | one row each              |
//! | which versions are about to be deleted            | Query `DOOMED#function` | one row a cleanup                |
//! | has a migration been run, and what came of it     | PutItem, GetItem, UpdateItem | `MIGRATION#…`, a row a direction |
//! | when did a splitter's weights move last           | GetItem             | `SPLITTER#lock`                      |
//! | what is listened to during a release              | Query `LANE#filter` | the lane, a row a weight and an environment |
//! | which subscription filters may be left            | Query `LANES`       | one row a release                    |
//! | how was an API before its stages were wired       | Query `FRONTDOOR#id`| one row a stage and function         |
//! | what are links to pages signed with               | GetItem, PutItem    | `PAGEKEY`                            |
//!
//! The table's keys are `pk` (what) and `sk` (which: an execution's ARN, or `-`). Locks name their
//! holder and never expire by time: a holder is dead when Step Functions says so. The TTL attribute
//! `expiresAt` only sweeps up what has ended; it is compared nowhere (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html>).

mod attributes;
mod close;
mod first_shift;
mod lanes;
mod lease;
mod locks;
mod migrations;
mod page_key;
mod progress;
mod queries;
mod questions;
mod retention;
mod splitters;
mod stage_wirings;
mod undelivered;

pub use self::{
    lanes::{Listening, Row},
    lease::Lease,
    locks::{Began, Begin},
    migrations::Claim,
    retention::{Holder, Retention},
};

/// How long an ended release's row is kept, seconds: 90 days, as long as Step Functions keeps its
/// execution.
const KEEP_SECONDS: i64 = 90 * 24 * 3600;

/// The ledger, in a table.
#[derive(Clone, Debug)]
pub struct Ledger<S> {
    store: S,
}

impl<S> Ledger<S> {
    /// Returns the ledger that is kept in `store`.
    #[must_use]
    pub const fn on(store: S) -> Self {
        Self { store }
    }
}
