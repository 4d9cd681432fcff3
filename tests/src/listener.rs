//! A program that listens to Crossfade: a rule on the default bus, and the queue that it fills.

use aws_sdk_eventbridge::types::Target;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::LocalAws;

/// Listens to the events of one application.
#[derive(Debug)]
pub struct Listener {
    sqs: aws_sdk_sqs::Client,
    queue: String,
    heard: Mutex<Vec<Value>>,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Panics
    /// When the local AWS takes no rule or no queue.
    pub async fn start(local: &LocalAws, application: &str) -> Self {
        let config = local.config();
        let sqs = aws_sdk_sqs::Client::new(&config);
        let name = format!("listens-to-{application}");
        let made = sqs.create_queue().queue_name(&name).send().await;
        let queue = made.expect("a queue can be made").queue_url;
        let queue = queue.expect("a queue has a URL");
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");

        let events = aws_sdk_eventbridge::Client::new(&config);
        let pattern = json!({"source": ["crossfade"], "detail": {"application": [application]}});
        let rule = events.put_rule().name(&name);
        let rule = rule.event_pattern(pattern.to_string()).send().await;
        rule.expect("a rule can be made");
        let target = Target::builder().id("queue").arn(arn).build();
        let target = target.expect("it has an id and an ARN");
        let targets = events.put_targets().rule(&name).targets(target);
        let put = targets.send().await.expect("a target can be put");
        assert_eq!(put.failed_entry_count, 0, "{put:?}");
        Self {
            sqs,
            queue,
            heard: Mutex::default(),
        }
    }

    /// All events so far, in the order in which they came.
    ///
    /// # Panics
    /// When the queue cannot be read, or holds what is no event.
    pub async fn heard(&self) -> Vec<Value> {
        let mut heard = self.heard.lock().await;
        loop {
            let receive = self.sqs.receive_message().queue_url(&self.queue);
            let received = receive.max_number_of_messages(10).send().await;
            let messages = received.expect("the queue can be read").messages;
            let messages = messages.unwrap_or_default();
            if messages.is_empty() {
                return heard.clone();
            }
            for message in messages {
                let body = message.body.expect("a message has a body");
                heard.push(serde_json::from_str(&body).expect("an event is JSON"));
                let receipt = message.receipt_handle.expect("it can be deleted");
                let delete = self.sqs.delete_message().queue_url(&self.queue);
                let deleted = delete.receipt_handle(receipt).send().await;
                deleted.expect("it can be deleted");
            }
        }
    }
}
