//! For tests: a DynamoDB that records its requests, and answers as configured.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use super::Ledger;

/// What is behind a ledger's client.
#[derive(Clone, Debug)]
pub(super) struct Table {
    asked: Arc<Mutex<Vec<Value>>>,
    /// Status and body of each answer. The last one is given again and again.
    answers: Arc<[(u16, Value)]>,
}

impl Table {
    /// Returns what was asked so far, in order.
    pub(super) fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no test panics with it").clone()
    }
}

impl HttpConnector for Table {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().expect("it is in memory");
        let asked = serde_json::from_slice(body).expect("it is JSON");
        let mut before = self.asked.lock().expect("no test panics with it");
        let nth = before.len().min(self.answers.len() - 1);
        before.push(asked);
        let (status, body) = self.answers[nth].clone();
        let status = status.try_into().expect("it is a status");
        let body = SdkBody::from(body.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body)))
    }
}

/// Returns a ledger on a table that answers so.
pub(super) fn ledger_on(answers: impl Into<Arc<[(u16, Value)]>>) -> (Ledger, Table) {
    let table = Table {
        asked: Arc::default(),
        answers: answers.into(),
    };
    let connector = SharedHttpConnector::new(table.clone());
    let credentials = Credentials::new("a", "b", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .sleep_impl(TokioSleep::new())
        .build();
    let ledger = Ledger::at(&config, "ledger".into());
    (ledger, table)
}
