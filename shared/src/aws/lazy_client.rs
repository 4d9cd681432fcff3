//! Clients that are made when they are first called.
//!
//! To make one takes a client of AWS's SDK as long as half a call does: it reads the rules of all
//! endpoints. A function has up to six, and most events need two of them.

use std::sync::{Arc, LazyLock};

use aws_config::SdkConfig;

/// A client that may not be there yet.
pub type LazyClient<C> = Arc<LazyLock<C, Box<dyn FnOnce() -> C + Send>>>;

/// A client on `config`, as `make` makes it.
pub fn lazy<C>(
    config: &SdkConfig,
    make: impl FnOnce(&SdkConfig) -> C + Send + 'static,
) -> LazyClient<C> {
    let config = config.clone();
    Arc::new(LazyLock::new(Box::new(move || make(&config))))
}
