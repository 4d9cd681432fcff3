//! What is watched and how it is judged, as the request says.

pub use crate::wire::request::{
    Analysis, HealthCheck, OnHoldTimeout, OnInconclusive, PreexistingAlarms,
};
