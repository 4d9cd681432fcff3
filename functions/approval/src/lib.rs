//! The page where an operator answers an approval or a hold, behind the function's URL.
//!
//! Who has the link may answer; there is no other credential. The link's nonce is on record only as a
//! hash, is compared in constant time, and goes with the first answer. Looking at the page decides
//! nothing. Step Functions takes one answer to a token, so of two at the same time one is too late.
//!
//! Nothing of what is sent here is logged.

mod chart;
#[cfg(any(test, feature = "sample"))]
pub mod fixtures;
mod form;
mod format;
mod history;
mod http;
mod link;
mod page;
mod route;
mod style;
mod view;

pub use crate::{http::Response, link::Link, route::rehearse};

use std::time::Duration;

use crossfade::{
    aws::{
        executions::{Answering, Executions},
        ledger::Ledger,
        metrics::Metrics,
    },
    domain::{
        Timestamp,
        analysis::{counts::Minute, judge::Watch},
        record::Record,
        target::Target,
    },
    error::Error,
};
use maud::Markup;
use serde_json::Value;

use crate::{
    http::answer,
    route::{Decided, Taken, Visit},
    view::standing,
};

/// How long CloudWatch may take. An operator waits, and can decide without.
const TIMEOUT: Duration = Duration::from_secs(6);

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    /// What the ARN of each of the deployment's executions begins with.
    prefix: String,
    ledger: Ledger,
    metrics: Metrics,
}

impl Handler {
    /// A handler with clients on `config`.
    ///
    /// # Panics
    /// Without the variable `EXECUTIONS`: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            executions: Executions::new(config),
            prefix: std::env::var("EXECUTIONS").expect("EXECUTIONS is set by the template"),
            ledger: Ledger::new(config),
            metrics: Metrics::new(config),
        }
    }

    /// Answers a request of the function's URL.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when it is invoked by anything else.
    pub async fn handle(&self, payload: Value) -> Result<Response, Error> {
        let visit = Visit::parse(payload)?;
        let said = match visit.link() {
            Some(link) => self.receive(&visit, link).await,
            None => Ok(visit.refusal()),
        };
        let (status, page) = said.unwrap_or_else(|error| {
            // An error's text may quote what was sent, so only its name is logged.
            tracing::warn!(
                event = "page_failed",
                error.name = error.name(),
                "Failed to answer a page request."
            );
            (503, page::trouble())
        });
        Ok(answer(status, page, visit.head()))
    }

    async fn receive(&self, visit: &Visit, link: &Link) -> Result<(u16, Markup), Error> {
        let execution = self.execution(link);
        let record = self.ledger.get(&execution).await?;
        match visit.decide(link, record.as_ref()) {
            Decided::Gone => Ok((403, page::gone())),
            Decided::Show(shown) => {
                let series = self.counted(shown.record, visit.now).await;
                Ok(shown.page(series.as_deref()))
            }
            Decided::Take(taken) => self.take(&execution, &taken).await,
        }
    }

    async fn take(&self, execution: &str, taken: &Taken<'_>) -> Result<(u16, Markup), Error> {
        match self.executions.answer(taken.token, &taken.answer).await? {
            Answering::Taken => {
                tracing::info!(
                    event = "decision_received",
                    deployment.id = execution,
                    "Received an operator's decision."
                );
                // The answer counts all the same, and the token is of no use any more.
                if let Err(error) = self.ledger.answered(execution, taken.asked).await {
                    tracing::warn!(
                        event = "link_not_revoked",
                        deployment.id = execution,
                        error.name = error.name(),
                        "Failed to revoke a link."
                    );
                }
                Ok(taken.page())
            }
            Answering::TooLate => {
                let status = self
                    .ledger
                    .get(execution)
                    .await?
                    .map_or(taken.record.status, |now| now.status);
                let application = taken.record.application.to_string();
                Ok((
                    409,
                    page::too_late(&application, &taken.link.release, standing(status)),
                ))
            }
        }
    }

    fn execution(&self, link: &Link) -> String {
        format!("{}:{}", self.prefix, link.release)
    }

    /// What both versions of each function have done since the release began; none where that cannot be
    /// read now.
    async fn counted(&self, record: &Record, now: Timestamp) -> Option<Vec<Vec<Minute>>> {
        let targets = record
            .footprint
            .as_ref()
            .map_or(&[][..], |footprint| &footprint.functions);
        let counted: Vec<_> = targets.iter().map(Target::counted).collect();
        let minute = |at: Timestamp| at.timestamp() - at.timestamp().rem_euclid(60);
        let watch = Watch {
            from: minute(history::beginning(record.began_at, now)),
            through: minute(now),
        };
        let counted: Vec<_> = counted.iter().collect();
        match tokio::time::timeout(TIMEOUT, self.metrics.minutes(&counted, None, watch)).await {
            Ok(Ok(read)) => Some(read.into_iter().map(|one| one.minutes).collect()),
            Ok(Err(error)) => {
                tracing::warn!(
                    event = "metrics_not_read",
                    error.name = error.name(),
                    "Failed to read metrics for the page."
                );
                None
            }
            Err(_) => {
                tracing::warn!(
                    event = "metrics_timed_out",
                    "Metrics for the page did not arrive in time."
                );
                None
            }
        }
    }
}
