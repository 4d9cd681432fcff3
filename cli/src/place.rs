//! Where Crossfade is: its stack's outputs, asked for only when something needs them.

use std::{collections::BTreeMap, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use crossfade::aws::{
    classify::{classify, is},
    ledger::Ledger,
};
use tokio::sync::OnceCell;

use crate::{args::Place, exit::Exit, runs::Runs, trouble::Trouble};

/// An account and Region with Crossfade in it.
#[derive(Debug)]
pub(crate) struct Aws {
    place: Place,
    config: SdkConfig,
    stack: OnceCell<Stack>,
}

/// What CloudFormation says of the stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stack {
    outputs: BTreeMap<String, String>,
    /// What it was deployed with.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Aws {
    /// With credentials and Region from where the AWS CLI has them.
    pub(crate) async fn new(place: &Place) -> Result<Self, Trouble> {
        let client = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(20))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client)
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .timeout_config(timeouts);
        if let Some(region) = &place.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &place.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(Trouble::new(Exit::Usage, "no AWS Region is named anywhere")
                .next("give --region, or set AWS_REGION, or name it in the profile"));
        }
        Ok(Self {
            place: place.clone(),
            config,
            stack: OnceCell::new(),
        })
    }

    /// What clients are made of.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Executions.
    pub(crate) fn runs(&self) -> Runs {
        Runs::new(&self.config)
    }

    /// The state machine of releases.
    pub(crate) async fn machine(&self) -> Result<String, Trouble> {
        match &self.place.state_machine {
            Some(arn) => Ok(arn.clone()),
            None => self.output("DeploymentStateMachineArn").await,
        }
    }

    /// The ledger.
    pub(crate) async fn ledger(&self) -> Result<Ledger, Trouble> {
        let table = match &self.place.ledger {
            Some(table) => table.clone(),
            None => self.output("LedgerTableName").await?,
        };
        Ok(Ledger::at(&self.config, table))
    }

    async fn output(&self, name: &str) -> Result<String, Trouble> {
        let stack = self.stack().await?;
        stack.outputs.get(name).cloned().ok_or_else(|| {
            Trouble::new(
                Exit::Failed,
                format!("the stack {} has no output {name}", self.place.stack),
            )
            .next("is it Crossfade's? name the right one with --stack")
        })
    }

    /// The stack.
    pub(crate) async fn stack(&self) -> Result<&Stack, Trouble> {
        self.stack.get_or_try_init(|| self.describe()).await
    }

    async fn describe(&self) -> Result<Stack, Trouble> {
        let name = &self.place.stack;
        let region = self.config.region().map_or("", AsRef::as_ref);
        let missing = || {
            Trouble::new(
                Exit::Failed,
                format!("there is no stack {name} in {region}"),
            )
            .next("name it with --stack, or another --region, or give --state-machine and --ledger")
        };
        let described = aws_sdk_cloudformation::Client::new(&self.config)
            .describe_stacks()
            .stack_name(name)
            .send()
            .await;
        let described = match described {
            Ok(described) => described,
            // Its word for a stack that does not exist.
            Err(error) if is(&error, "ValidationError") => return Err(missing()),
            Err(error) => return Err(classify("DescribeStacks", &error).into()),
        };
        let stack = described.stacks().first().ok_or_else(missing)?;
        let outputs = stack
            .outputs()
            .iter()
            .filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)));
        let parameters = stack
            .parameters()
            .iter()
            .filter_map(|one| Some((one.parameter_key.clone()?, one.parameter_value.clone()?)));
        Ok(Stack {
            outputs: outputs.collect(),
            parameters: parameters.collect(),
        })
    }
}
