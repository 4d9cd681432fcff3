//! How rows are named, written and read, and what a refused write says.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{
        AttributeValue, TransactWriteItem, builders::PutBuilder,
        error::ConditionalCheckFailedException,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use super::write::PASSING;
pub(super) use crate::domain::names::derived::keys::{deployment, lock, promoted, watched};
use crate::{
    domain::{Timestamp, weight::Weight},
    error::Error,
};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const RUNNING: &str = "RUNNING";
pub(super) const ONE: &str = "-";

pub(super) fn key(pk: &str, sk: &str) -> Item {
    HashMap::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))])
}

pub(super) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A weight, in percent.
pub(super) fn percent(weight: Weight) -> AttributeValue {
    AttributeValue::N(weight.percent().to_string())
}

pub(super) fn json<T: Serialize>(value: &T) -> AttributeValue {
    AttributeValue::S(
        serde_json::to_string(value).expect("strings, numbers and lists always serialise"),
    )
}

pub(super) fn write_put(put: PutBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .put(put.build().expect("table and item are given"))
        .build()
}

pub(super) fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name).and_then(|value| value.as_s().ok()).cloned()
}

pub(super) fn required(item: &Item, name: &str) -> Result<String, Error> {
    text(item, name)
        .ok_or_else(|| Error::Refused(format!("a row of the ledger has no {name}").into()))
}

pub(super) fn parsed<T: DeserializeOwned>(item: &Item, name: &str) -> Result<T, Error> {
    serde_json::from_str(&required(item, name)?).map_err(|error| {
        Error::Refused(format!("a row of the ledger has no readable {name}: {error}").into())
    })
}

pub(super) fn optional<T: DeserializeOwned>(item: &Item, name: &str) -> Result<Option<T>, Error> {
    if item.contains_key(name) {
        parsed(item, name).map(Some)
    } else {
        Ok(None)
    }
}

pub(super) fn instant(item: &Item, name: &str) -> Result<Option<Timestamp>, Error> {
    let read = |time: String| {
        time.parse().map_err(|_| {
            Error::Refused(format!("a row of the ledger has no readable {name}").into())
        })
    };
    text(item, name).map(read).transpose()
}

/// Returns the rows that made a transaction's conditions fail: an empty list when it was only refused for a
/// moment, none when it failed otherwise.
pub(super) fn cancelled<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Vec<Item>> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let reasons = cancelled.cancellation_reasons();
            let conditions: Vec<_> = reasons
                .iter()
                .filter(|r| r.code() == Some("ConditionalCheckFailed"))
                .collect();
            let passing = reasons
                .iter()
                .any(|r| r.code().is_some_and(|code| PASSING.contains(&code)));
            (!conditions.is_empty() || passing)
                .then(|| conditions.iter().filter_map(|r| r.item.clone()).collect())
        }
        _ => None,
    }
}

/// Whether one of a transaction's first `count` conditions failed.
pub(super) fn failed_first<R>(error: &SdkError<TransactWriteItemsError, R>, count: usize) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled
            .cancellation_reasons()
            .iter()
            .take(count)
            .any(|reason| reason.code() == Some("ConditionalCheckFailed")),
        _ => false,
    }
}

pub(super) fn contended() -> Error {
    Error::Transient(
        "the ledger did not take a transaction: another one holds its rows, or the table is throttled; \
         try again"
            .into(),
    )
}

pub(super) fn failed_condition<R>(
    error: &SdkError<UpdateItemError, R>,
) -> Option<&ConditionalCheckFailedException> {
    match error.as_service_error()? {
        UpdateItemError::ConditionalCheckFailedException(failed) => Some(failed),
        _ => None,
    }
}
