//! Application Auto Scaling, which changes the provisioned concurrency of aliases.

use aws_config::SdkConfig;
use aws_sdk_applicationautoscaling::{
    Client,
    types::{ScalableDimension, ScalingPolicy, ServiceNamespace},
};
use crossfade::{
    admission::Read,
    aws::classify::chain,
    domain::{
        capacity::Capacity,
        names::{AliasName, FunctionName},
    },
    wire::request::ReleaseRequest,
};
use futures::future::join_all;

use crate::output::brief;

/// What operators should know of the scaling of aliases that have provisioned concurrency, a sentence each.
pub(crate) async fn warnings(
    config: &SdkConfig,
    request: &ReleaseRequest,
    capacity: &[Read<Capacity>],
) -> Vec<String> {
    let each = request.functions.iter().zip(capacity);
    let provisioned = each.filter_map(|(asked, capacity)| {
        capacity.seen()?.provisioned.as_ref()?;
        Some((&asked.function_name, asked.alias.as_ref()?))
    });
    let told = provisioned.map(|(function, alias)| async move {
        match scaling(config, function, alias).await {
            Ok(told) => told,
            Err(why) => Some(format!(
                "could not read whether {function}:{alias} scales its provisioned concurrency: {}",
                brief(&why)
            )),
        }
    });
    join_all(told).await.into_iter().flatten().collect()
}

async fn scaling(
    config: &SdkConfig,
    function: &FunctionName,
    alias: &AliasName,
) -> Result<Option<String>, String> {
    let client = Client::new(config);
    let resource = format!("function:{function}:{alias}");
    let targets = client
        .describe_scalable_targets()
        .service_namespace(ServiceNamespace::Lambda)
        .scalable_dimension(ScalableDimension::LambdaFunctionProvisionedConcurrency)
        .resource_ids(&resource)
        .send()
        .await
        .map_err(|error| chain(&error))?;
    let Some(target) = targets.scalable_targets().first() else {
        return Ok(None);
    };
    let policies = client
        .describe_scaling_policies()
        .service_namespace(ServiceNamespace::Lambda)
        .resource_id(&resource)
        .send()
        .await
        .map_err(|error| chain(&error))?;
    let names: Vec<_> = policies
        .scaling_policies()
        .iter()
        .map(ScalingPolicy::policy_name)
        .collect();
    let by = if names.is_empty() {
        String::new()
    } else {
        format!(" by {}", names.join(", "))
    };
    Ok(Some(format!(
        "{function}:{alias} scales between {} and {}{by}: Lambda refuses every change of its provisioned concurrency \
         while the alias has weights, so it stays as it is until the promotion",
        target.min_capacity(),
        target.max_capacity(),
    )))
}
