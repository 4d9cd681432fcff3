//! DynamoDB: the table that the ledger is in.

#[cfg(test)]
mod table;
mod write;

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError,
        transact_write_items::TransactWriteItemsError, update_item::UpdateItemError,
    },
    types::{
        AttributeValue, ConditionCheck, Delete, KeysAndAttributes, Put, ReturnValue,
        ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    },
};

use self::write::{PASSING, write};
use super::{
    classify::classify,
    lazy_client::{LazyClient, lazy},
};
use crate::{
    error::Error,
    ports::{Act, Applied, Item, Key, LedgerStore, Refusal, Returns, RowWrite, Transacted, Value},
    protocol,
};

/// The ledger in DynamoDB.
pub type Ledger = protocol::ledger::Ledger<Table>;

/// A table of DynamoDB.
#[derive(Clone, Debug)]
pub struct Table {
    client: LazyClient<Client>,
    name: String,
}

impl Ledger {
    /// Returns the ledger in the table named by the environment's `LEDGER_TABLE`.
    ///
    /// # Panics
    /// Without that variable: the template sets it, and nothing works without.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let table = std::env::var("LEDGER_TABLE").expect("LEDGER_TABLE is set by the template");
        Self::at(config, table)
    }

    /// Returns the ledger in a table by its name, for callers that are not functions of the stack.
    #[must_use]
    pub fn at(config: &aws_config::SdkConfig, table: String) -> Self {
        Self::on(Table {
            client: lazy(config, Client::new),
            name: table,
        })
    }
}

/// DynamoDB's own type of a row.
type Row = HashMap<String, AttributeValue>;

// The SDK's futures are boxed: they nest so deep that the compiler looks into no more of them in one.

/// The row with the condition's failure: what stands in the way is read in the same call.
const ROW_ON_FAILURE: ReturnValuesOnConditionCheckFailure =
    ReturnValuesOnConditionCheckFailure::AllOld;

impl LedgerStore for Table {
    async fn row(&self, key: &Key) -> Result<Option<Item>, Error> {
        let get = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key_of(key)))
            .consistent_read(true);
        Box::pin(get.send())
            .await
            .map(|got| got.item.map(item))
            .map_err(|error| classify("reading the ledger", &error))
    }

    async fn rows(&self, keys: &[Key]) -> Result<Vec<Item>, Error> {
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys.iter().map(key_of).collect()))
            .consistent_read(true)
            .build()
            .expect("keys are given");
        let get = self.client.batch_get_item().request_items(&self.name, keys);
        let got = Box::pin(get.send())
            .await
            .map_err(|error| classify("reading the ledger", &error))?;
        if got.unprocessed_keys().is_some_and(|keys| !keys.is_empty()) {
            return Err(Error::Transient("the ledger answered in part".into()));
        }
        let mut tables = got.responses.unwrap_or_default();
        let rows = tables.remove(&self.name).unwrap_or_default();
        Ok(rows.into_iter().map(item).collect())
    }

    async fn query(&self, pk: &str) -> Result<Vec<Item>, Error> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let rows = Box::pin(query.collect::<Result<Vec<_>, _>>())
            .await
            .map_err(|error| classify("reading the ledger", &error))?;
        Ok(rows.into_iter().map(item).collect())
    }

    async fn write(&self, what: &str, row: RowWrite) -> Result<Applied, Error> {
        match row.act {
            Act::Put(_) => self.put(what, row).await,
            Act::Update(_) => self.update(what, row).await,
            Act::Delete => self.delete(what, row).await,
            Act::Check => match self.transact(what, vec![row]).await? {
                Transacted::Done => Ok(Applied::Done(Item::new())),
                Transacted::Refused(mut refused) => {
                    Ok(Applied::Refused(refused.pop().and_then(|one| one.row)))
                }
                Transacted::Contended => Err(Error::Transient(format!("{what}: contended").into())),
            },
        }
    }

    async fn transact(&self, what: &str, writes: Vec<RowWrite>) -> Result<Transacted, Error> {
        let items = writes.iter().map(|row| self.in_transaction(row));
        let transaction = self.client.transact_write_items();
        let transaction = transaction.set_transact_items(Some(items.collect()));
        match Box::pin(write(|| transaction.clone().send())).await {
            Ok(_) => Ok(Transacted::Done),
            Err(error) => cancelled(&error).ok_or_else(|| classify(what, &error)),
        }
    }
}

/// Builds a write of a transaction with the row's condition: the SDK's builders of writes share no trait.
macro_rules! conditional {
    ($builder:expr, $table:expr, $row:expr) => {
        $builder
            .table_name(&$table.name)
            .set_return_values_on_condition_check_failure(on_failure($row))
            .set_condition_expression($row.condition.clone())
            .set_expression_attribute_names(names($row))
            .set_expression_attribute_values(values($row))
            .build()
            .expect("table, key and expression are given")
    };
}

impl Table {
    async fn put(&self, what: &str, row: RowWrite) -> Result<Applied, Error> {
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(row_of(&row)))
            .set_return_values_on_condition_check_failure(on_failure(&row))
            .set_condition_expression(row.condition.clone())
            .set_expression_attribute_names(names(&row))
            .set_expression_attribute_values(values(&row));
        match Box::pin(write(|| put.clone().send())).await {
            Ok(_) => Ok(Applied::Done(Item::new())),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Applied::Refused(failed.item().cloned().map(item)))
                }
                _ => Err(classify(what, &error)),
            },
        }
    }

    async fn update(&self, what: &str, row: RowWrite) -> Result<Applied, Error> {
        let returns = match row.returns {
            Returns::Nothing => None,
            Returns::New => Some(ReturnValue::AllNew),
            Returns::UpdatedOld => Some(ReturnValue::UpdatedOld),
        };
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key_of(&row.key)))
            .set_update_expression(expression(&row))
            .set_return_values(returns)
            .set_return_values_on_condition_check_failure(on_failure(&row))
            .set_condition_expression(row.condition.clone())
            .set_expression_attribute_names(names(&row))
            .set_expression_attribute_values(values(&row));
        match Box::pin(write(|| update.clone().send())).await {
            Ok(done) => Ok(Applied::Done(item(done.attributes.unwrap_or_default()))),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Applied::Refused(failed.item().cloned().map(item)))
                }
                _ => Err(classify(what, &error)),
            },
        }
    }

    async fn delete(&self, what: &str, row: RowWrite) -> Result<Applied, Error> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key_of(&row.key)))
            .set_return_values_on_condition_check_failure(on_failure(&row))
            .set_condition_expression(row.condition.clone())
            .set_expression_attribute_names(names(&row))
            .set_expression_attribute_values(values(&row));
        match Box::pin(write(|| delete.clone().send())).await {
            Ok(_) => Ok(Applied::Done(Item::new())),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Applied::Refused(failed.item().cloned().map(item)))
                }
                _ => Err(classify(what, &error)),
            },
        }
    }

    fn in_transaction(&self, row: &RowWrite) -> TransactWriteItem {
        let item = TransactWriteItem::builder();
        let key = || Some(key_of(&row.key));
        match &row.act {
            Act::Put(_) => {
                let put = Put::builder().set_item(Some(row_of(row)));
                item.put(conditional!(put, self, row))
            }
            Act::Update(_) => {
                let update = Update::builder().set_key(key());
                let update = update.set_update_expression(expression(row));
                item.update(conditional!(update, self, row))
            }
            Act::Delete => {
                let delete = Delete::builder().set_key(key());
                item.delete(conditional!(delete, self, row))
            }
            Act::Check => {
                let check = ConditionCheck::builder().set_key(key());
                item.condition_check(conditional!(check, self, row))
            }
        }
        .build()
    }
}

fn key_of(key: &Key) -> Row {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(key.pk.clone())),
        ("sk".to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}

/// Returns the row that a put writes.
fn row_of(row: &RowWrite) -> Row {
    let mut all = key_of(&row.key);
    if let Act::Put(item) = &row.act {
        all.extend(
            item.iter()
                .map(|(name, value)| (name.clone(), attribute(value))),
        );
    }
    all
}

fn expression(row: &RowWrite) -> Option<String> {
    match &row.act {
        Act::Update(expression) => Some(expression.clone()),
        Act::Put(_) | Act::Delete | Act::Check => None,
    }
}

fn on_failure(row: &RowWrite) -> Option<ReturnValuesOnConditionCheckFailure> {
    row.condition.is_some().then_some(ROW_ON_FAILURE)
}

/// DynamoDB refuses an empty map.
fn names(row: &RowWrite) -> Option<HashMap<String, String>> {
    let names = row.names.iter();
    let names = names.map(|(name, stands_for)| ((*name).to_owned(), (*stands_for).to_owned()));
    (!row.names.is_empty()).then(|| names.collect())
}

fn values(row: &RowWrite) -> Option<Row> {
    let values = row.values.iter();
    let values = values.map(|(name, value)| ((*name).to_owned(), attribute(value)));
    (!row.values.is_empty()).then(|| values.collect())
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::S(text) => AttributeValue::S(text.clone()),
        Value::N(number) => AttributeValue::N(number.clone()),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
    }
}

/// Returns a row's attributes. The ledger has texts, numbers and flags; another version of Crossfade may have
/// more, which this one does not know.
fn item(row: Row) -> Item {
    row.into_iter()
        .filter_map(|(name, value)| {
            let value = match value {
                AttributeValue::S(text) => Value::S(text),
                AttributeValue::N(number) => Value::N(number),
                AttributeValue::Bool(flag) => Value::Bool(flag),
                _ => return None,
            };
            Some((name, value))
        })
        .collect()
}

/// Returns what cancelled a transaction; `None` when it failed otherwise.
fn cancelled<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Transacted> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return None;
    };
    let reasons = cancelled.cancellation_reasons();
    let refused: Vec<_> = reasons
        .iter()
        .enumerate()
        .filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))
        .map(|(nth, reason)| Refusal {
            nth,
            row: reason.item().cloned().map(item),
        })
        .collect();
    let passes = |code: &str| PASSING.contains(&code);
    if !refused.is_empty() {
        Some(Transacted::Refused(refused))
    } else if reasons
        .iter()
        .any(|reason| reason.code().is_some_and(passes))
    {
        Some(Transacted::Contended)
    } else {
        None
    }
}
