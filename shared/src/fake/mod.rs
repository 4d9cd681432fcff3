//! AWS in process, for tests: the services behind the [ports](crate::ports), with their rules.
//!
//! [`World`] is what the services hold, and applies one [`Call`] at a time. [`Client`] implements the ports by
//! handing each call to whoever drives the [`Actor`] that makes it. So a test decides in which order the
//! calls of several actors are made, which replies are lost, and which actor is killed between two calls.
//!
//! Nothing here reads a clock or draws at random: the same deliveries give the same world.

mod actor;
mod client;
mod expression;
pub mod jobs;
mod world;

pub use self::{
    actor::{Actor, drive},
    client::Client,
    world::{AliasState, Call, Failure, Heeds, RecordState, Reply, Rules, Transaction, World},
};
