//! What all `main`s share: logs, and Lambda's loop.

use std::{env, fmt, future::Future};

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tracing::Level;
use tracing_subscriber::{
    filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{error::Error, wire::failure};

/// Serves Lambda's invocations with `handle` until the environment is frozen for good.
///
/// The payload stays a plain value until the handler parses it, so that what cannot be read has an
/// error with a stable name.
pub async fn run<H, F, T>(handle: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Value) -> F,
    F: Future<Output = Result<T, Error>>,
    T: serde::Serialize,
{
    let lines = tracing_subscriber::fmt::layer()
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
                let message = error.for_the_log();
                tracing::warn!(
                    event = "handler_failed",
                    error.name = error.name(),
                    error.message = message,
                    "The handler failed."
                );
            }
            result.map_err(Reported)
        }
    }))
    .await
}

/// An error on its way to Lambda. The runtime logs its `Debug`, which is the name alone: the message can quote a
/// request or an answer.
struct Reported(Error);

impl fmt::Debug for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl From<Reported> for Diagnostic {
    fn from(Reported(error): Reported) -> Self {
        Self {
            error_type: error.name().to_owned(),
            error_message: failure::message(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_message_and_logs_only_the_name() {
        let told = Reported(Error::InvalidRequest("strategy: \"s3cr3t\"".into()));
        assert_eq!(format!("{told:?}"), "InvalidRequest");
        assert_eq!(Diagnostic::from(told).error_message, "strategy: \"s3cr3t\"");
    }
}
