//! The harness of the suites that run Crossfade for real: a local AWS, the stack deployed there by
//! SAM, functions to release, users, and what the local AWS says about all of it.
//!
//! Nothing here takes the product's word: aliases, versions, locks, history and notifications are
//! read from the local AWS.

pub mod alb;
pub mod api;
pub mod browser;
pub mod cost;
pub mod dns;
pub mod figures;
pub mod fleet;
pub mod health;
pub mod http;
pub mod iam;
pub mod images;
pub mod invariants;
pub mod listener;
pub mod local;
pub mod page;
pub mod paths;
pub mod release;
pub mod stack;
pub mod target;
pub mod traffic;
pub mod world;
pub mod yaml;

pub use alb::Alb;
pub use api::Api;
pub use browser::Browser;
pub use dns::Dns;
pub use local::LocalAws;
pub use page::Page;
pub use release::{Ended, Execution};
pub use stack::Stack;
pub use target::{Behaviour, Target};
pub use traffic::Traffic;
pub use world::World;
