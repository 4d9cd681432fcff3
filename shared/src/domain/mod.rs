//! The pure core: values that cannot be wrong, and decisions that are functions of values.
//!
//! Nothing here may be async, read a clock, draw at random, log, or know AWS.

pub mod admission;
pub mod alarm;
pub mod analysis;
pub mod answer;
pub mod approval;
pub mod bounds;
pub mod budget;
pub mod capacity;
pub mod check;
pub mod counts;
pub mod decision;
pub mod front_door;
pub mod health;
pub mod hook;
pub mod judge;
pub mod migration;
pub mod names;
pub mod nonce;
pub mod plan;
pub mod policy;
pub mod propagation;
pub mod reachable;
pub mod release;
pub mod resources;
pub mod restore_point;
pub mod retention;
pub mod routing;
pub mod shares;
pub mod side;
pub mod status;
pub mod step_record;
pub mod strategy;
pub mod target;
pub mod verdict;
pub mod weight;
pub mod window;
pub mod wiring;

/// An instant in UTC. Always Step Functions' or EventBridge's: a function's own clock is not asked.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
