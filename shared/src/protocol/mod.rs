//! The order of writes that keeps traffic whole, generic over the [ports](crate::ports).
//!
//! No order of these writes breaks a promise, whatever is lost, repeated, late or killed between two of
//! them: `tests/model` visits all of them with this code, and `tests/protocol` draws faults by seed.

mod alb;
mod alias;
pub mod ledger;
pub mod live;
pub mod release;
pub mod rollback;
pub(crate) mod route53;
pub(crate) mod splitter;
pub mod splitters;
mod weighted;
