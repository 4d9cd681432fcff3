//! Sends writes to the ledger, and repeats those that DynamoDB refused for a moment.

use std::{
    error::Error as StdError,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::transact_write_items::TransactWriteItemsError,
};
use tokio::time::sleep;

/// How long a refused write waits before each further try. A transaction takes some 20 ms.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
    Duration::from_millis(320),
];

/// Sends a write until it is not refused for a moment any more, for up to 0.6 seconds. The SDK repeats none of
/// these refusals, and an alarm's event that fails is not delivered again for a minute.
///
/// A refused write has changed nothing, so `send` may make a new request each time.
pub(super) async fn write<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata + StdError + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    for pause in PAUSES {
        match send().await {
            Err(error) if is_refused_for_a_moment(&error) => {
                // Half of it at random: writers that met each other do not meet again.
                let random = RandomState::new().hash_one(pause) % 50;
                sleep(pause * (50 + u32::try_from(random).unwrap_or_default()) / 100).await;
            }
            done => return done,
        }
    }
    send().await
}

/// Returns whether a transaction holds what was to be written, or DynamoDB throttles a transaction's items.
fn is_refused_for_a_moment<E>(error: &SdkError<E>) -> bool
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let Some(error) = error.as_service_error() else {
        return false;
    };
    match (error as &dyn StdError).downcast_ref() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            let reasons = cancelled.cancellation_reasons().iter();
            let mut codes = reasons.filter_map(|reason| reason.code()).peekable();
            codes.peek().is_some() && codes.all(|code| code == "None" || PASSING.contains(&code))
        }
        _ => error.code() == Some("TransactionConflictException"),
    }
}

/// The reasons for a cancelled transaction that pass by themselves.
pub(super) const PASSING: [&str; 3] = [
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
    "TransactionConflict",
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::table::{Table, ledger_on};
    use super::*;
    use crate::{
        domain::{analysis::check::Evidence, approval::OnHoldTimeout, record::Why},
        error::Error,
        protocol::ledger::Begin,
    };

    fn refusal(code: &str) -> (u16, Value) {
        (
            400,
            json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}")}),
        )
    }

    fn cancelled(codes: &[&str]) -> (u16, Value) {
        let (status, mut body) = refusal("TransactionCanceledException");
        let reasons = codes.iter().map(|code| json!({"Code": code}));
        body["CancellationReasons"] = reasons.collect();
        (status, body)
    }

    /// Requests a rollback on a table that answers so: an `UpdateItem`.
    async fn request_rollback(answers: Vec<(u16, Value)>) -> (Result<(), Error>, Table) {
        let (ledger, table) = ledger_on(answers);
        let why = Why {
            reason: "an alarm fired".into(),
            evidence: Evidence::default(),
            at: "2026-11-20T12:00:00Z".parse().unwrap(),
        };
        let told = ledger.request_rollback("arn:x:42", &why).await;
        (told.map(drop), table)
    }

    /// Takes the locks of a release: a transaction.
    async fn begin(answers: Vec<(u16, Value)>) -> (Result<(), Error>, Table) {
        let (ledger, table) = ledger_on(answers);
        let application = "chat".parse().unwrap();
        let begin = Begin {
            execution: "arn:x:42",
            application: &application,
            functions: &[],
            splitters: &[],
            alarms: &[],
            on_hold_timeout: OnHoldTimeout::RollBack,
            override_freeze: None,
            request_of: None,
            now: "2026-11-20T12:00:00Z".parse().unwrap(),
        };
        let began = ledger.begin(&begin).await;
        (began.map(drop), table)
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_a_write_that_a_transaction_refuses() {
        let conflict = refusal("TransactionConflictException");
        let gone = refusal("ConditionalCheckFailedException");
        let (told, table) = request_rollback(vec![conflict.clone(), conflict, gone]).await;
        assert_eq!(told, Ok(()));
        let asked = table.asked();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[0], asked[2]);
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_a_transaction_that_is_cancelled_for_a_moment() {
        for reason in PASSING {
            let (began, table) = begin(vec![cancelled(&["None", reason]), (200, json!({}))]).await;
            assert_eq!(began, Ok(()), "{reason}");
            let asked = table.asked();
            assert_eq!(asked.len(), 2, "{reason}");
            assert_eq!(asked[0]["TransactItems"], asked[1]["TransactItems"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reports_a_refusal_that_does_not_pass_as_transient() {
        let (told, table) = request_rollback(vec![refusal("TransactionConflictException")]).await;
        assert!(matches!(told, Err(Error::Transient(_))), "{told:?}");
        assert_eq!(table.asked().len(), PAUSES.len() + 1);
        for reason in PASSING {
            let (began, _) = begin(vec![cancelled(&["None", reason])]).await;
            assert!(
                matches!(began, Err(Error::Transient(_))),
                "{reason}: {began:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_repeat_a_refusal_that_stays() {
        let (told, table) = request_rollback(vec![refusal("AccessDeniedException")]).await;
        assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");
        assert_eq!(table.asked().len(), 1);
        let (_, table) = begin(vec![cancelled(&[
            "ConditionalCheckFailed",
            "TransactionConflict",
        ])])
        .await;
        assert_eq!(table.asked().len(), 1);
    }
}
