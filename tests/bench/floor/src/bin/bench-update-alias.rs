//! One `UpdateAlias` by the bare SDK: what putting traffic back takes at the least.

use std::{collections::HashMap, env};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider,
};
use aws_sdk_lambda::{Client, config::SharedCredentialsProvider, types::AliasRoutingConfiguration};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(env::var("AWS_REGION").ok().map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https(),
        );
    config.set_endpoint_url(env::var("AWS_ENDPOINT_URL").ok());
    let client = Client::new(&config.build());
    run(service_fn(async |event: LambdaEvent<Value>| {
        let text = |name: &str| event.payload[name].as_str().unwrap_or_default().to_owned();
        let none = AliasRoutingConfiguration::builder()
            .set_additional_version_weights(Some(HashMap::new()));
        let call = client
            .update_alias()
            .function_name(text("function"))
            .name(text("alias"))
            .function_version(text("version"))
            .routing_config(none.build());
        let done = call.send().await?;
        Ok::<_, Error>(json!({ "revision": done.revision_id }))
    }))
    .await
}
