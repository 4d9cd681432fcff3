//! Takes in lines of released functions' logs, as CloudWatch Logs delivers them, and requests a rollback when the
//! failures among them condemn green.
//!
//! Nothing of a line is kept or logged but which version and which environment has failed, and when.

use aws_lambda_events::event::cloudwatch_logs::{LogData, LogsEvent};
use chrono::Utc;
use crossfade::{
    aws::{ledger::Ledger, live::Lambda},
    domain::{
        Timestamp,
        live::{evidence::LiveEvidence, lane::Lane},
    },
    error::Error,
    protocol::live::{Delivery, Told, take},
    wire::events::failures_found,
};
use serde_json::{Value, json};

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    lambda: Lambda,
    ledger: Ledger,
    /// The function that puts traffic back on blue when an alarm fires.
    restore_blue: String,
}

impl Handler {
    /// Returns a handler with clients on `config`, and the function that the environment's `RESTORE_BLUE` names.
    ///
    /// # Panics
    /// Without that variable: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            lambda: Lambda::new(config),
            ledger: Ledger::new(config),
            restore_blue: std::env::var("RESTORE_BLUE")
                .expect("RESTORE_BLUE is set by the template"),
        }
    }

    /// Takes a delivery in.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for what is none, and [`Error::Transient`] where it is to be delivered again.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let event = read(&payload)?;
        // A function's own clock: the sender has none, and nothing is decided by it.
        let now = Utc::now();
        let mut asked = 0;
        for delivery in deliveries(event.aws_logs.data) {
            let found = take(&self.ledger, &delivery, now).await?;
            if let Some((lane, evidence)) = found {
                self.tell(&lane, &evidence, &delivery.filter, now).await?;
                asked += usize::from(!lane.shadow);
            }
        }
        Ok(json!({ "rollbacksRequested": asked }))
    }

    /// Requests the rollback, and then records that: where that fails, it is requested again.
    async fn tell(
        &self,
        lane: &Lane,
        evidence: &LiveEvidence,
        filter: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let reason = evidence.reason();
        if lane.shadow {
            tracing::warn!(
                event = "failures_found",
                deployment.id = lane.execution,
                reason,
                shadow = true,
                "The logs condemn green; in shadow, this is not acted on."
            );
        } else {
            let event = failures_found(&lane.execution, evidence, now);
            self.lambda.send(&self.restore_blue, &event).await?;
            tracing::warn!(
                event = "failures_found",
                deployment.id = lane.execution,
                reason,
                "The logs condemn green: requested a rollback."
            );
        }
        self.ledger.lane_told(filter).await
    }
}

/// Reads an event. From text: the type's reader borrows names from what it reads.
fn read(payload: &Value) -> Result<LogsEvent, Error> {
    // What serde says of a line would quote it.
    serde_json::from_str(&payload.to_string())
        .map_err(|_| Error::InvalidRequest("this is no delivery of CloudWatch Logs".into()))
}

/// Returns the deliveries that an event has: one for each filter that matched. A control message has none.
fn deliveries(data: LogData) -> Vec<Delivery> {
    if data.message_type != "DATA_MESSAGE" {
        return Vec::new();
    }
    let lines = data.log_events.into_iter().filter_map(|line| {
        Some(Told {
            at: Timestamp::from_timestamp_millis(line.timestamp)?,
            id: line.id,
            message: line.message,
        })
    });
    let lines: Vec<_> = lines.collect();
    let filters = data.subscription_filters.into_iter();
    filters
        .map(|filter| Delivery {
            filter,
            group: data.log_group.clone(),
            stream: data.log_stream.clone(),
            lines: lines.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deliveries as AWS's page shows them, gzip in base64
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html>): one line of stream
    /// `2026/11/29/[2]0f` of `/aws/lambda/f` by the filter `ours`, and the same as a control message.
    const DELIVERY: &str = "H4sIAAAAAAACAzWOTwuCQBTEv4q8s7B/Mk1vQtYpAvUmEmtusaCu7K6VhN+9Z9G7PJjfDDNv6KW14i7LeZSQwD4t08spK4r0mIEP+jlIgzLjm2AbRruYMo5yp+9Ho6cRCRFPSzrRN60gtx8qnJGiR8YpDwljhMek4jVdsZ0aezVqdEoPB9U5aSwkFegJf/1NZw85uFV8g2rXakw5hSud6LGQRWEQMBrQ9fz/evRVWZ6f89p7Jd4MS718AAQ9Py3aAAAA";
    const CONTROL: &str = "H4sIAAAAAAACAzWPTwuCQBDFv0rMWdg/maW3CPNSCdpNJNbcZEFd2V2ziL57Y9FcBt5vHu/NCzpprWjk+TlIiGCXns5Zergc4zzfJjF4oKdeGiSML/1VsN6ElHGUW90kRo8DEiImS1rRVbUgtx/KnZGiQ8YpDwhjhIek4CWdsR0rezVqcEr3e9U6aSxEBegRd/l1x3fZu1l8garnaHQ5hUWd6DCQrQPfZ9Sn83j/B/CuiLMszcrFI1o84V2+P7vf/gzdAAAA";

    fn event(data: &str) -> LogsEvent {
        read(&json!({"awslogs": {"data": data}})).expect("it is a delivery")
    }

    #[test]
    fn reads_a_delivery() {
        let delivered = deliveries(event(DELIVERY).aws_logs.data);
        let [one] = &delivered[..] else {
            panic!("{delivered:?}")
        };
        assert_eq!(
            (one.filter.as_str(), one.group.as_str()),
            ("ours", "/aws/lambda/f")
        );
        assert_eq!(one.lines[0].at.timestamp_millis(), 1_764_410_400_000);
        assert_eq!(deliveries(event(CONTROL).aws_logs.data), []);
        for wrong in [json!({}), json!({"awslogs": {"data": "x"}}), json!([])] {
            assert!(
                matches!(read(&wrong), Err(Error::InvalidRequest(_))),
                "{wrong}"
            );
        }
    }
}
