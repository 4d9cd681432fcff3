//! The pure core: values that cannot be wrong, and decisions that are functions of values.
//!
//! Nothing here may be async, read a clock, draw at random, log, or know AWS.

pub mod about;
pub mod analysis;
pub mod answer;
pub mod approval;
pub mod budget;
pub mod capacity;
pub mod decision;
pub mod excerpt;
pub mod health;
pub mod hook;
pub mod live;
pub mod migration;
pub mod moved;
pub mod names;
pub mod override_freeze;
pub mod page_link;
pub mod plan;
pub mod policy;
pub mod propagation;
pub mod reachable;
pub mod record;
pub mod release;
pub mod release_window;
pub mod restore_point;
pub mod retention;
pub mod routing;
pub mod side;
pub mod stage_wiring;
pub mod status;
pub mod step_record;
pub mod strategy;
pub mod target;
pub mod traffic;
pub mod weight;

/// An instant in UTC. Always Step Functions' or EventBridge's: a function's own clock is not asked.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
