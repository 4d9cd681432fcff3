//! The page of a release, where an operator also answers an approval or a hold; and the list of releases. All are behind
//! the function's URL.
//!
//! The link is the credential, and there is no other. A link with a nonce allows the answer to one question: the nonce is
//! on record only as a hash, is compared in constant time, and goes with the first answer. A signed link only shows, until
//! it expires. Looking at a page decides nothing. Step Functions takes one answer to a token, so of two at the same time
//! one is too late.
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
mod list;
mod page;
mod route;
mod story;
mod style;
mod view;

pub use crate::{http::Response, link::Link, route::rehearse};

use std::time::Duration;

use crossfade::{
    aws::{
        executions::{Answering, Executions, Told},
        ledger::Ledger,
        metrics::Metrics,
    },
    domain::{
        Timestamp,
        analysis::{counts::Minute, judge::Watch},
        page_link::{Page, PageKey, SignedPage},
        record::Record,
        target::Target,
    },
    error::Error,
};
use maud::Markup;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    http::answer,
    route::{Decided, Taken, Visit, shown},
    story::Story,
    view::standing,
};

/// How long CloudWatch may take. An operator waits, and can decide without.
const TIMEOUT: Duration = Duration::from_secs(6);

/// The most releases that are listed: what one call to the ledger can have, and few enough to be read.
const LISTED: usize = 50;

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    executions: Executions,
    /// What the ARN of each of the deployment's executions begins with.
    prefix: String,
    /// What links to pages are signed with, once it was read.
    key: OnceCell<PageKey>,
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
            key: OnceCell::new(),
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
        let said = match (visit.link(), visit.signed()) {
            (Some(link), _) => self.receive(&visit, link).await,
            (None, Some(signed)) => self.show(&visit, signed).await,
            (None, None) => Ok(visit.refusal()),
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
                let story = self.story(&execution).await;
                let series = self.counted(shown.record, &story, visit.now).await;
                Ok(shown.page(&story, series.as_deref()))
            }
            Decided::Take(taken) => self.take(&execution, &taken).await,
        }
    }

    /// The page of a signed link.
    async fn show(&self, visit: &Visit, signed: &SignedPage) -> Result<(u16, Markup), Error> {
        let Some(key) = self.key().await? else {
            return Ok(visit.refusal());
        };
        if !key.opens(signed, visit.now) {
            return Ok(visit.refusal());
        }
        let Page::Release { release, .. } = &signed.page else {
            return self.list(key, signed).await;
        };
        let execution = format!("{}:{release}", self.prefix);
        let (record, story) = futures::join!(self.ledger.get(&execution), self.story(&execution));
        let record = record?;
        let series = match &record {
            Some(record) => self.counted(record, &story, visit.now).await,
            None => None,
        };
        Ok(shown(
            signed,
            record.as_ref(),
            &story,
            series.as_deref(),
            visit.now,
        ))
    }

    /// What is in flight, and what was released lately.
    async fn list(&self, key: &PageKey, signed: &SignedPage) -> Result<(u16, Markup), Error> {
        let machine = self.prefix.replacen(":execution:", ":stateMachine:", 1);
        let most = i32::try_from(LISTED).unwrap_or(i32::MAX);
        let (running, newest) = futures::try_join!(
            self.executions.list(&machine, true, most),
            self.executions.list(&machine, false, most),
        )?;
        let executions = list::merged(running, newest, LISTED);
        let arns: Vec<_> = executions.iter().map(|one| one.arn.clone()).collect();
        let records = self.ledger.records(&arns).await?;
        let until = Timestamp::from_timestamp(signed.until, 0).unwrap_or_default();
        let rows = list::rows(&executions, &records, key, until);
        Ok((200, page::list(&rows, until)))
    }

    /// The key, which never changes once there is one.
    async fn key(&self) -> Result<Option<&PageKey>, Error> {
        if self.key.get().is_none()
            && let Some(key) = self.ledger.page_key().await?
        {
            // Another request of this environment may have read the same.
            let _ = self.key.set(key);
        }
        Ok(self.key.get())
    }

    /// What the execution says; nothing where that cannot be read now.
    async fn story(&self, execution: &str) -> Story {
        let read = tokio::time::timeout(TIMEOUT, self.executions.newest(execution)).await;
        let read = read.unwrap_or_else(|_| Err(Error::Transient("no answer in time".into())));
        let told: Vec<Told> = read.unwrap_or_else(|error| {
            tracing::warn!(
                event = "history_not_read",
                error.name = error.name(),
                "Failed to read an execution's history for the page."
            );
            Vec::new()
        });
        Story::of(&told)
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
    async fn counted(
        &self,
        record: &Record,
        story: &Story,
        now: Timestamp,
    ) -> Option<Vec<Vec<Minute>>> {
        let targets = record
            .footprint
            .as_ref()
            .map_or(&[][..], |footprint| &footprint.functions);
        let counted: Vec<_> = targets.iter().map(Target::counted).collect();
        let minute = |at: Timestamp| at.timestamp() - at.timestamp().rem_euclid(60);
        let watch = Watch {
            from: minute(history::beginning(record.began_at, now)),
            through: minute(history::until(record.ended_at, now)),
        };
        let counted: Vec<_> = counted.iter().collect();
        let read = self
            .metrics
            .minutes(&counted, story.slower_than_ms(), watch);
        match tokio::time::timeout(TIMEOUT, read).await {
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
