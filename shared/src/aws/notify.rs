//! SNS: telling people.

use aws_sdk_sns::{Client, types::MessageAttributeValue};

use super::classify::classify;
use crate::{error::Error, wire::outcome::Outcome};

/// SNS refuses a subject of 100 characters or more (AWS-FACTS 8).
const SUBJECT: usize = 99;

/// The topic that people listen to.
#[derive(Clone, Debug)]
pub struct Notifier {
    client: Client,
    topic: String,
}

impl Notifier {
    /// The topic named by the environment's `NOTIFICATION_TOPIC`.
    ///
    /// # Panics
    /// Without that variable: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let topic =
            std::env::var("NOTIFICATION_TOPIC").expect("NOTIFICATION_TOPIC is set by the template");
        Self {
            client: Client::new(config),
            topic,
        }
    }

    /// Tells how a deployment stands: a sentence on top, the numbers as JSON below.
    pub async fn tell(&self, execution: &str, outcome: &Outcome) -> Result<(), Error> {
        self.send(&subject(outcome), &body(execution, outcome, ""), outcome)
            .await
    }

    /// The same, with what the reader can do about it.
    pub async fn ask(
        &self,
        execution: &str,
        outcome: &Outcome,
        answers: &str,
    ) -> Result<(), Error> {
        self.send(
            &subject(outcome),
            &body(execution, outcome, answers),
            outcome,
        )
        .await
    }

    /// Tells that versions of an application are not cleaned up, with the execution that shows why.
    /// Its attribute is another one's: the release is what it was.
    pub async fn tell_of_retention(
        &self,
        execution: &str,
        application: &str,
        what: &str,
    ) -> Result<(), Error> {
        let body = format!("{what}\n\nExecution: {execution}\n");
        let subject = subject_of("RETENTION FAILED", application, what);
        self.publish(&subject, &body, "retentionStatus", "FAILED")
            .await
    }

    async fn send(&self, subject: &str, body: &str, outcome: &Outcome) -> Result<(), Error> {
        let status: &'static str = outcome.deployment_status.into();
        self.publish(subject, body, "deploymentStatus", status)
            .await
    }

    async fn publish(
        &self,
        subject: &str,
        body: &str,
        attribute: &str,
        word: &str,
    ) -> Result<(), Error> {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(word)
            .build()
            .expect("a data type is given");
        self.client
            .publish()
            .topic_arn(&self.topic)
            .subject(subject)
            .message(body)
            .message_attributes(attribute, value)
            .send()
            .await
            .map_err(|error| classify("Publish", &error))?;
        Ok(())
    }
}

fn subject(outcome: &Outcome) -> String {
    let status: &'static str = outcome.deployment_status.into();
    let application = outcome
        .application
        .as_ref()
        .map_or("(unknown application)", AsRef::as_ref);
    subject_of(status, application, &outcome.reason)
}

fn subject_of(status: &str, application: &str, reason: &str) -> String {
    format!("[{status}] {application}: {reason}")
        .chars()
        .map(|c| {
            if c.is_ascii() && !c.is_ascii_control() {
                c
            } else {
                ' '
            }
        })
        .take(SUBJECT)
        .collect()
}

fn body(execution: &str, outcome: &Outcome, answers: &str) -> String {
    let json =
        serde_json::to_string_pretty(outcome).expect("strings, numbers and lists always serialise");
    let between = if answers.is_empty() {
        String::new()
    } else {
        format!("\n{answers}\n")
    };
    format!(
        "{}\n\nExecution: {execution}\n{between}\n{json}\n",
        outcome.reason
    )
}
