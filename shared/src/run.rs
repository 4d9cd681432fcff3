//! What all `main`s share: logs, and Lambda's loop.

use std::future::Future;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tracing_subscriber::{EnvFilter, fmt};

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
    fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        .with_env_filter(
            EnvFilter::try_from_env("LOG_LEVEL").unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .init();
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let done = handle(event.payload);
        async {
            let result = Box::pin(done).await;
            if let Err(error) = &result {
                let message = error.for_the_log();
                tracing::warn!(
                    error.name = error.name(),
                    error.message = message,
                    "Ended with an error."
                );
            }
            result
        }
    }))
    .await
}
