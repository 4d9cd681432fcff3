//! What all `main`s share: logs, and Lambda's loop.

use std::{fmt, future::Future};

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

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
    tracing_subscriber::fmt()
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
            result.map_err(Told)
        }
    }))
    .await
}

/// An error on its way to Lambda, whose runtime logs what `Debug` says of it: the name, and not what a
/// request or an answer is quoted with.
struct Told(Error);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl From<Told> for Diagnostic {
    fn from(Told(error): Told) -> Self {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_told_all_and_logs_the_name() {
        let told = Told(Error::InvalidRequest("strategy: \"s3cr3t\"".to_owned()));
        assert_eq!(format!("{told:?}"), "InvalidRequest");
        assert_eq!(Diagnostic::from(told).error_message, "strategy: \"s3cr3t\"");
    }
}
