//! The page where a person answers an approval or a hold, behind the function's URL.
//!
//! Who has the link may answer; there is no other credential. The link's nonce is on record only as a
//! hash, is compared in constant time, and goes with the first answer. Looking at the page decides
//! nothing. Step Functions takes one answer to a token, so of two at the same time one is too late.
//!
//! Nothing of what is sent here is logged.

mod chart;
mod form;
mod history;
mod http;
mod page;
#[cfg(test)]
mod sample;
mod shown;
mod view;

pub use crate::http::Response;

use std::time::Duration;

use crossfade::{
    aws::{
        executions::{Answering, Executions},
        ledger::{Ledger, Record},
        metrics::Metrics,
    },
    domain::{Timestamp, counts::Minute, judge::Watch, release::Target},
    error::Error,
};
use maud::Markup;
use serde_json::Value;

use crate::{
    form::Form,
    http::{Link, Request, Wanted, answer},
    view::{Open, View, open, standing},
};

/// How long CloudWatch may take. A person waits, and can decide without.
const PATIENCE: Duration = Duration::from_secs(6);

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
        let request: Request = serde_json::from_value(payload).map_err(|_| {
            Error::InvalidRequest("this function answers requests of its URL only".into())
        })?;
        let now = Timestamp::from_timestamp_millis(request.context.time_epoch)
            .ok_or_else(|| Error::InvalidRequest("the request has no time".into()))?;
        let wanted = Wanted::of(&request);
        let head = matches!(wanted, Wanted::Look { head: true, .. });
        let said = match wanted {
            Wanted::Look {
                link: Some(link), ..
            } => self.look(&link, now).await,
            Wanted::Answer(Some((link, form))) => self.decide(&link, &form, now).await,
            Wanted::Look { link: None, .. } | Wanted::Answer(None) => Ok((403, page::gone())),
            Wanted::Other => Ok((405, page::gone())),
        };
        let (status, page) = said.unwrap_or_else(|error| {
            // An error's text may quote what was sent, so only its name is told.
            tracing::warn!(error.name = error.name(), "AWS did not answer.");
            (503, page::trouble())
        });
        Ok(answer(status, page, head))
    }

    async fn look(&self, link: &Link, now: Timestamp) -> Result<(u16, Markup), Error> {
        let record = self.ledger.get(&self.execution(link)).await?;
        let (Some(record), Some(Open { asked, .. })) = (&record, open(record.as_ref(), link, now))
        else {
            return Ok((403, page::gone()));
        };
        let series = self.counted(record, now).await;
        let view = View::of(record, asked, link, series.as_deref(), now);
        Ok((200, page::ask(&view, &Form::default(), None)))
    }

    async fn decide(
        &self,
        link: &Link,
        form: &Form,
        now: Timestamp,
    ) -> Result<(u16, Markup), Error> {
        let execution = self.execution(link);
        let record = self.ledger.get(&execution).await?;
        let (Some(record), Some(Open { asked, token })) =
            (&record, open(record.as_ref(), link, now))
        else {
            return Ok((403, page::gone()));
        };
        let answer = match form.check(asked.kind) {
            Ok(answer) => answer,
            Err(mistakes) => {
                let series = self.counted(record, now).await;
                let view = View::of(record, asked, link, series.as_deref(), now);
                return Ok((422, page::ask(&view, form, Some(&mistakes))));
            }
        };
        let application = record.application.to_string();
        match self.executions.answer(token, &answer).await? {
            Answering::Taken => {
                tracing::info!(deployment.id = execution, "A person has answered.");
                // The answer counts all the same, and the token is of no use any more.
                if let Err(error) = self.ledger.answered(&execution, asked).await {
                    tracing::warn!(
                        deployment.id = execution,
                        error.name = error.name(),
                        "The link could not be taken back."
                    );
                }
                let means = asked.meaning(answer.decision);
                let page = page::taken(&application, &link.release, &answer, &means, now);
                Ok((200, page))
            }
            Answering::TooLate => {
                let status = self
                    .ledger
                    .get(&execution)
                    .await?
                    .map_or(record.status, |now| now.status);
                Ok((
                    409,
                    page::too_late(&application, &link.release, standing(status)),
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
        match tokio::time::timeout(PATIENCE, self.metrics.minutes(&counted, None, watch)).await {
            Ok(Ok(minutes)) => Some(minutes),
            Ok(Err(error)) => {
                tracing::warn!(error.name = error.name(), "The counts could not be read.");
                None
            }
            Err(_) => {
                tracing::warn!("The counts were not there in time.");
                None
            }
        }
    }
}
