//! Publishes notices: email and chat through SNS, events through EventBridge. See [`crate::notice`] for
//! their content.

use std::{env, time::Duration};

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::json;
use tokio::{sync::OnceCell, time::timeout};

use super::{
    classify::classify,
    lazy_client::{LazyClient, lazy},
    ledger::Ledger,
};
use crate::{
    domain::page_link::{Page, PageKey, expiry},
    error::Error,
    metrics::{Line, Metric},
    notice::{Mail, Notice, NoticeDetail, SOURCE, chat, event, mail},
};

/// How long is waited for what may fail: no shift is late for a message. SNS and EventBridge answer
/// within a tenth of a second.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where operators and programs listen.
#[derive(Clone, Debug)]
pub struct Notifier {
    sns: LazyClient<aws_sdk_sns::Client>,
    events: LazyClient<aws_sdk_eventbridge::Client>,
    people: String,
    chat: String,
    pages: Option<Pages>,
}

/// Where each release has a page.
#[derive(Clone, Debug)]
struct Pages {
    url: String,
    ledger: Ledger,
    /// What a key is made of where the stack has none yet; none in a function that does not make one.
    fresh: Option<fn() -> Result<PageKey, Error>>,
    key: OnceCell<PageKey>,
}

impl Pages {
    /// Returns the link to a release's page. Without a key no link can be made; that is only logged, because a notice is
    /// worth more than its link.
    async fn link(&self, facts: &NoticeDetail) -> Option<String> {
        let page = Page::Release {
            application: facts.application.clone()?,
            release: facts.release.clone(),
        };
        let read = within(TIMEOUT, self.key.get_or_try_init(|| self.read())).await;
        let key = read
            .inspect_err(|error| {
                tracing::warn!(
                    event = "page_link_not_made",
                    deployment.id = facts.execution,
                    error.message = %error,
                    "Failed to make the link to a release's page."
                );
            })
            .ok()?;
        Some(key.link(&self.url, &page, expiry(facts.at, facts.retain_until)))
    }

    async fn read(&self) -> Result<PageKey, Error> {
        match self.fresh {
            Some(fresh) => self.ledger.page_key_or(fresh()?).await,
            None => self.ledger.page_key().await?.ok_or_else(|| {
                Error::Refused("no release that this version began has made a key yet".into())
            }),
        }
    }
}

impl Notifier {
    /// The topics named by the environment's `NOTIFICATION_TOPIC` and `CHAT_TOPIC`, and the Region's
    /// default bus.
    ///
    /// # Panics
    /// Without one of these variables: the template sets them, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig, ledger: &Ledger) -> Self {
        let set =
            |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is set by the template"));
        Self {
            sns: lazy(config, aws_sdk_sns::Client::new),
            events: lazy(config, aws_sdk_eventbridge::Client::new),
            people: set("NOTIFICATION_TOPIC"),
            chat: set("CHAT_TOPIC"),
            pages: page_url().map(|url| Pages {
                url,
                ledger: ledger.clone(),
                fresh: None,
                key: OnceCell::new(),
            }),
        }
    }

    /// Makes the key that links to pages are signed with, of what `fresh` returns, where the stack has none yet.
    #[must_use]
    pub fn making_a_page_key(mut self, fresh: fn() -> Result<PageKey, Error>) -> Self {
        if let Some(pages) = &mut self.pages {
            pages.fresh = Some(fresh);
        }
        self
    }

    async fn with_page(&self, notice: &Notice) -> Notice {
        let mut notice = notice.clone();
        if let Some(pages) = &self.pages
            && notice.facts.kind.is_of_a_release()
        {
            notice.facts.page = Box::pin(pages.link(&notice.facts)).await;
        }
        notice
    }

    /// Delivers a notice that has to reach operators: the end of a release, or a question.
    ///
    /// # Errors
    /// When the mail could not be handed over. To deliver all again is safe: the notice's id is the same.
    /// That the channel or the programs were not reached is only logged, and counted
    /// ([`Metric::Untold`], on which the stack has an alarm): no release ends otherwise for that.
    pub async fn deliver(&self, notice: &Notice) -> Result<(), Error> {
        let notice = &self.with_page(notice).await;
        let (mailed, chatted, sent) = futures::join!(
            Box::pin(self.mail(notice)),
            within(TIMEOUT, Box::pin(self.chat(notice))),
            within(TIMEOUT, Box::pin(self.event(notice))),
        );
        let mailed = mailed.inspect_err(|error| undelivered(&notice.facts, "people", error));
        logged(&notice.facts, [("chat", chatted), ("events", sent)]);
        mailed?;
        count(&notice.facts);
        Ok(())
    }

    /// Publishes a notice that nothing depends on: a failure is logged and counted.
    pub async fn mention(&self, notice: &Notice) {
        let notice = &self.with_page(notice).await;
        let (mailed, chatted, sent) = futures::join!(
            within(TIMEOUT, Box::pin(self.mail(notice))),
            within(TIMEOUT, Box::pin(self.chat(notice))),
            within(TIMEOUT, Box::pin(self.event(notice))),
        );
        logged(
            &notice.facts,
            [("people", mailed), ("chat", chatted), ("events", sent)],
        );
        count(&notice.facts);
    }

    async fn mail(&self, notice: &Notice) -> Result<(), Error> {
        let Mail { subject, body } = mail(notice);
        self.publish(&self.people, Some(subject), body, &notice.facts)
            .await
    }

    async fn chat(&self, notice: &Notice) -> Result<(), Error> {
        let message = chat(notice).to_string();
        self.publish(&self.chat, None, message, &notice.facts).await
    }

    /// What a subscription may filter by goes along as attributes.
    async fn publish(
        &self,
        topic: &str,
        subject: Option<String>,
        message: String,
        facts: &NoticeDetail,
    ) -> Result<(), Error> {
        let attribute = |word: &str| {
            MessageAttributeValue::builder()
                .data_type("String")
                .string_value(word)
                .build()
                .expect("a data type is given")
        };
        let mut publish = self
            .sns
            .publish()
            .topic_arn(topic)
            .set_subject(subject)
            .message(message)
            .message_attributes("kind", attribute(facts.kind.into()));
        if let Some(status) = facts.deployment_status {
            publish = publish.message_attributes("deploymentStatus", attribute(status.into()));
        }
        if let Some(application) = &facts.application {
            publish = publish.message_attributes("application", attribute(application.as_ref()));
        }
        let sent = publish.send().await;
        sent.map_err(|error| classify("Publish", &error))?;
        Ok(())
    }

    async fn event(&self, notice: &Notice) -> Result<(), Error> {
        let event = event(notice);
        let entry = PutEventsRequestEntry::builder()
            .source(SOURCE)
            .detail_type(event.detail_type.to_string())
            .detail(json!(event.detail).to_string())
            .set_resources(Some(event.resources))
            .build();
        let sent = self.events.put_events().entries(entry).send().await;
        let answer = sent.map_err(|error| classify("PutEvents", &error))?;
        // It answers 200 to entries that it did not take.
        let refused = answer.entries.unwrap_or_default();
        match refused.iter().find_map(|entry| entry.error_code.as_deref()) {
            Some(code) => Err(Error::Refused(format!("PutEvents: {code}").into())),
            None => Ok(()),
        }
    }
}

/// Returns the address of the pages, which the environment's `PAGE_URL` has; none where the stack has no pages.
#[must_use]
pub fn page_url() -> Option<String> {
    env::var("PAGE_URL").ok().filter(|url| !url.is_empty())
}

async fn within<T>(
    patience: Duration,
    telling: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let told = timeout(patience, telling).await;
    told.unwrap_or_else(|_| {
        Err(Error::Transient(
            format!("no answer within {} s", patience.as_secs()).into(),
        ))
    })
}

fn logged<const N: usize>(facts: &NoticeDetail, results: [(&str, Result<(), Error>); N]) {
    for (whom, result) in results {
        if let Err(error) = result {
            undelivered(facts, whom, &error);
        }
    }
}

fn undelivered(facts: &NoticeDetail, whom: &str, error: &Error) {
    tracing::error!(
        event = "notice_failed",
        deployment.id = facts.execution,
        notice = facts.id,
        whom,
        error.message = %error,
        "Failed to publish a notice."
    );
    Line::new(facts.at).measure(Metric::Untold, 1.0).write();
}

/// What the dashboard shows of it: the weight that green has now, and how releases end.
fn count(facts: &NoticeDetail) {
    let mut line = Line::new(facts.at);
    let mut counts = false;
    if let (Some(application), Some(weight)) = (&facts.application, facts.weight) {
        line = line
            .with("Application", json!(application))
            .measure(Metric::GreenWeight, weight.percent());
        counts = true;
    }
    if facts.kind.is_an_end() {
        line = line
            .with("Outcome", json!(facts.kind))
            .measure(Metric::Releases, 1.0);
        counts = true;
    }
    if counts {
        line.with("Release", json!(facts.release)).write();
    }
}
