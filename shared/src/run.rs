//! What all `main`s share: logs, and Lambda's loop.

use std::{env, future::Future};

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tracing::Level;
use tracing_subscriber::{
    filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::error::Error;

/// Serves Lambda's invocations with `handle` until the environment is frozen for good.
///
/// The payload stays a plain value until the handler parses it, so that what cannot be read has an
/// error with a stable name (AWS-FACTS 4.3).
pub async fn run<H, F, T>(handle: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Value) -> F,
    F: Future<Output = Result<T, Error>>,
    T: serde::Serialize,
{
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false);
    let wanted = env::var("LOG_LEVEL")
        .ok()
        .and_then(|told| told.parse().ok());
    let wanted = wanted.unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    tracing_subscriber::registry()
        .with(wanted)
        .with(lines)
        .init();
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let done = handle(event.payload);
        async {
            let result = Box::pin(done).await;
            if let Err(error) = &result {
                tracing::warn!(error.name = error.name(), error.message = %error, "Ended with an error.");
            }
            result
        }
    }))
    .await
}
