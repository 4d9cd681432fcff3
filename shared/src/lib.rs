//! Crossfade: blue-green and canary releases of AWS Lambda functions, run by AWS Step Functions.
//!
//! # The map
//!
//! - [`domain`]: values that cannot be wrong, and decisions that are functions of values: planning,
//!   judging, deciding, reconciling. It knows no AWS, no clock and no chance.
//! - [`wire`]: what crosses a border: the request, the state between two states of the execution,
//!   outcomes, events.
//! - [`ports`]: what is needed of AWS, as narrow traits in the library's own types.
//! - [`protocol`]: the order of writes that keeps traffic whole, generic over the ports: one file a traffic
//!   splitter, the ledger, and the rollback that every way back to blue shares.
//! - [`aws`]: the only place that names an SDK: adapters that make no choice. (API Gateway's are in
//!   `functions/wire-stage`, which alone needs them.)
//! - [`admission`]: what has to be read to decide whether a release may begin, shared by who begins one and
//!   who asks beforehand; [`freeze`]: whether one may at this time.
//! - [`error`]: what can go wrong, by the names that the state machine matches.
//! - [`run`]: what all `main`s share.
//!
//! A handler (`functions/*/src/lib.rs`) is four beats: parse, observe, decide, act.
//!
//! # Invariants
//!
//! 1. *whole*: when an execution has ended, traffic is all on one version ([`protocol::rollback`]).
//! 2. *proven*: no weight for a version that has not passed validation (the state machine's order).
//! 3. *single writer*: every alias write names the revision it was decided on
//!    ([`domain::routing::alias::reconcile`]); records and rules have none, and are read right before a write and
//!    after it, under a lock ([`domain::routing::weighted::reconcile`]).
//! 4. *one at a time*: locks per resource, all or none ([`protocol::ledger`]).
//! 5. *no data is never a pass* ([`domain::analysis::check`], [`domain::decision`]).
//! 6. *kept*: [`domain::retention`] decides which versions may be deleted, and only prune deletes.
//! 7. *armed*: the ledger knows the way back from the first shift to the end of retention.
//! 8. `told`: every end state is published ([`aws::notify`]).

pub mod admission;
pub mod aws;
pub mod display;
pub mod domain;
pub mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod freeze;
pub mod metrics;
pub mod notice;
pub mod parse;
pub mod ports;
pub mod protocol;
pub mod run;
pub mod to_version;
pub mod wire;
