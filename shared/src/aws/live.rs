//! Lambda, as the fast lane needs it: how a version logs, and an invocation that is not waited for.

use aws_sdk_lambda::{
    Client,
    primitives::Blob,
    types::{FunctionConfiguration, InvocationType, LogFormat, PackageType},
};
use serde_json::Value;

use super::{
    classify::classify,
    lazy_client::{LazyClient, lazy},
    logs::Logs,
    rate_limit,
};
use crate::{
    domain::{
        live::deaf::{self, Format, Logging},
        names::{FunctionName, Version},
    },
    error::Error,
    ports::LogsApi as _,
};

/// Lambda.
#[derive(Clone, Debug)]
pub struct Lambda {
    client: LazyClient<Client>,
}

impl Lambda {
    /// Returns a client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, rate_limit::lambda),
        }
    }

    /// Reads how a version logs; `None` for what would be published next.
    pub async fn logging(
        &self,
        function: &FunctionName,
        version: Option<&Version>,
    ) -> Result<Logging, Error> {
        let get = self.client.get_function().function_name(function.as_ref());
        let get = get.set_qualifier(version.map(ToString::to_string));
        let got = Box::pin(get.send())
            .await
            .map_err(|error| classify("GetFunction", &error))?;
        Ok(logging(
            function,
            got.configuration
                .unwrap_or_else(|| FunctionConfiguration::builder().build()),
        ))
    }

    /// Has a function invoked with an event, by its ARN. Lambda tries it again where it fails.
    pub async fn send(&self, function: &str, event: &Value) -> Result<(), Error> {
        let call = self.client.invoke().function_name(function);
        let call = call.invocation_type(InvocationType::Event);
        let call = call.payload(Blob::new(event.to_string()));
        Box::pin(call.send())
            .await
            .map(drop)
            .map_err(|error| classify("Invoke", &error))
    }
}

/// A function of which it is asked whether its log can be received.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The function.
    pub function: &'a FunctionName,
    /// The version that serves.
    pub blue: Option<&'a Version>,
    /// The version that is released; `None` for what would be published next.
    pub green: Option<&'a Version>,
    /// The team's own pattern.
    pub own: Option<&'a str>,
    /// The name of the release's own subscription filter.
    pub ours: &'a str,
}

/// Looks whether a function logs what can be received, and returns how its green logs; or why it cannot, in words.
pub async fn hear(lambda: &Lambda, logs: &Logs, asked: Asked<'_>) -> Result<Logging, String> {
    let told = |error: Error| error.to_string();
    let (blue, green) = futures::try_join!(
        lambda.logging(asked.function, asked.blue),
        lambda.logging(asked.function, asked.green),
    )
    .map_err(told)?;
    let group = logs.log_group(&green.group).await.map_err(told)?;
    deaf::check(&blue, &green, group.as_ref(), asked.own, asked.ours)
        .map(|()| green)
        .map_err(|deaf| deaf.to_string())
}

fn logging(function: &FunctionName, found: FunctionConfiguration) -> Logging {
    let is_custom = found.package_type == Some(PackageType::Image)
        || found
            .runtime
            .is_some_and(|runtime| runtime.as_str().starts_with("provided"));
    let logs = found.logging_config;
    let format = match logs.as_ref().and_then(|logs| logs.log_format.as_ref()) {
        Some(LogFormat::Json) => Format::Json,
        _ => Format::Text,
    };
    let word = |level: Option<&str>| level.map(str::to_owned);
    Logging {
        format,
        group: logs
            .as_ref()
            .and_then(|logs| logs.log_group.clone())
            .unwrap_or_else(|| format!("/aws/lambda/{function}")),
        application_level: logs.as_ref().and_then(|logs| {
            word(
                logs.application_log_level
                    .as_ref()
                    .map(aws_sdk_lambda::types::ApplicationLogLevel::as_str),
            )
        }),
        system_level: logs.as_ref().and_then(|logs| {
            word(
                logs.system_log_level
                    .as_ref()
                    .map(aws_sdk_lambda::types::SystemLogLevel::as_str),
            )
        }),
        is_custom,
    }
}
