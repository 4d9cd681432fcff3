//! What must hold whatever is read: a function for each thing that comes from outside, which takes any
//! bytes and panics when something does not hold.
//!
//! `tests/fuzz` has a target for each, and a plain test hands them the corpus and whatever a fuzzer
//! has found.

mod event;
mod history;
mod metrics;
mod page;
mod request;

pub use self::{event::event, history::history, metrics::metrics, page::page, request::request};

/// What takes any bytes.
pub type Reader = fn(&[u8]);

/// Each by the name of its fuzz target.
pub const READERS: [(&str, Reader); 5] = [
    ("request", request),
    ("event", event),
    ("history", history),
    ("metrics", metrics),
    ("page", page),
];

/// The names that errors have towards the state machine.
fn has_a_stable_name(error: &crossfade::error::Error) {
    const STABLE: [&str; 2] = ["InvalidRequest", "Transient"];
    assert!(STABLE.contains(&error.name()), "{}", error.name());
}
