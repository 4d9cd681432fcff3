//! The shapes that cross a border: requests, the state between states, outcomes, events.

pub mod events;
pub mod failure;
pub mod graph;
pub mod outcome;
pub mod request;
pub mod retention;
pub mod state;
pub mod state_name;
pub mod task;
