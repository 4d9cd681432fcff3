//! Where Crossfade is: its stack's outputs, requested only when something needs them.

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

use crate::{args::Place, error::CliError, executions::Runs, exit_code::Exit};

/// An account and Region with Crossfade in it.
#[derive(Debug)]
pub(crate) struct Aws {
    place: Place,
    config: SdkConfig,
    stack: OnceCell<Stack>,
}

/// Checks the names that say where Crossfade is, before anything is asked of AWS.
fn check(place: &Place) -> Result<(), CliError> {
    let of = |text: &str, more: &str| {
        let mut all = text.chars();
        all.all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let is_arn = |text: &str, service: &str| {
        text.starts_with("arn:") && text.split(':').nth(2) == Some(service)
    };
    let wrong = |option: &str, text: &str, right: &str| {
        let what = format!("{option} {text:?} is not {right}");
        Err(CliError::new(Exit::Usage, what))
    };
    let stack = &place.stack;
    let is_name = stack.starts_with(|c: char| c.is_ascii_alphabetic())
        && stack.len() <= 128
        && of(stack, "-");
    if !is_name && !is_arn(stack, "cloudformation") {
        let right =
            "a stack's name: a letter, and then letters, digits and hyphens, 128 at the most";
        return wrong("--stack", stack, right);
    }
    if let Some(machine) = &place.state_machine
        && !(is_arn(machine, "states") && machine.contains(":stateMachine:"))
    {
        let right = "a state machine's ARN: arn:aws:states:REGION:ACCOUNT:stateMachine:NAME";
        return wrong("--state-machine", machine, right);
    }
    if let Some(table) = &place.ledger
        && !((3..=255).contains(&table.len()) && of(table, "_.-") || is_arn(table, "dynamodb"))
    {
        let right = "a table's name: 3 to 255 letters, digits, _ . and -";
        return wrong("--ledger", table, right);
    }
    if let Some(region) = &place.region
        && (region.is_empty() || !of(region, "-"))
    {
        return wrong("--region", region, "a Region's name, such as eu-west-1");
    }
    Ok(())
}

/// What CloudFormation says of the stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stack {
    /// Such as `UPDATE_COMPLETE`.
    pub(crate) status: String,
    outputs: BTreeMap<String, String>,
    /// What it was deployed with.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Stack {
    /// One of its outputs.
    pub(crate) fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }
}

impl Aws {
    /// With credentials and Region from where the AWS CLI has them.
    pub(crate) async fn new(place: &Place) -> Result<Self, CliError> {
        check(place)?;
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
            return Err(
                CliError::new(Exit::Usage, "no AWS Region is named anywhere")
                    .next("give --region, or set AWS_REGION, or name it in the profile"),
            );
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
    pub(crate) async fn machine(&self) -> Result<String, CliError> {
        match &self.place.state_machine {
            Some(arn) => Ok(arn.clone()),
            None => self.output("DeploymentStateMachineArn").await,
        }
    }

    /// The ledger.
    pub(crate) async fn ledger(&self) -> Result<Ledger, CliError> {
        let table = match &self.place.ledger {
            Some(table) => table.clone(),
            None => self.output("LedgerTableName").await?,
        };
        Ok(Ledger::at(&self.config, table))
    }

    /// One of the stack's outputs.
    pub(crate) async fn output(&self, name: &str) -> Result<String, CliError> {
        let stack = self.stack().await?;
        stack.output(name).map(str::to_owned).ok_or_else(|| {
            CliError::new(
                Exit::Failed,
                format!("the stack {} has no output {name}", self.place.stack),
            )
            .next("is it Crossfade's? name the right one with --stack")
        })
    }

    /// The stack's name or ARN, as it was given.
    pub(crate) fn stack_name(&self) -> &str {
        &self.place.stack
    }

    /// The stack.
    pub(crate) async fn stack(&self) -> Result<&Stack, CliError> {
        let described = async {
            self.find_stack().await?.ok_or_else(|| {
                let name = &self.place.stack;
                let region = self.config.region().map_or("", AsRef::as_ref);
                CliError::new(Exit::Failed, format!("there is no stack {name} in {region}")).next(
                    "name it with --stack, or another --region, or give --state-machine and --ledger",
                )
            })
        };
        self.stack.get_or_try_init(|| described).await
    }

    /// The stack as it is now; none where there is none of this name.
    pub(crate) async fn find_stack(&self) -> Result<Option<Stack>, CliError> {
        let described = aws_sdk_cloudformation::Client::new(&self.config)
            .describe_stacks()
            .stack_name(&self.place.stack)
            .send()
            .await;
        let described = match described {
            Ok(described) => described,
            // Its word for a stack that does not exist.
            Err(error) if is(&error, "ValidationError") => return Ok(None),
            Err(error) => return Err(classify("DescribeStacks", &error).into()),
        };
        Ok(described.stacks().first().map(|stack| {
            let outputs = stack.outputs().iter();
            let outputs = outputs
                .filter_map(|one| Some((one.output_key.clone()?, one.output_value.clone()?)));
            let parameters = stack
                .parameters()
                .iter()
                .filter_map(|one| Some((one.parameter_key.clone()?, one.parameter_value.clone()?)));
            let status = stack
                .stack_status
                .as_ref()
                .map(|status| status.as_str().to_owned());
            Stack {
                status: status.unwrap_or_default(),
                outputs: outputs.collect(),
                parameters: parameters.collect(),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn typed(more: &[&str]) -> Result<(), CliError> {
        let typed = ["crossfade", "status"].iter().chain(more);
        check(&Cli::parse_from(typed).place)
    }

    #[test]
    fn refuses_names_that_aws_would_refuse() {
        for right in [
            &[][..],
            &["--stack", "crossfade-2"],
            &[
                "--state-machine",
                "arn:aws:states:eu-west-1:123456789012:stateMachine:crossfade-deployment",
            ],
            &["--ledger", "crossfade_Ledger.1-A"],
            &["--region", "eu-west-1"],
        ] {
            assert_eq!(typed(right), Ok(()), "{right:?}");
        }
        for wrong in [
            ["--stack", "my stack"],
            ["--stack", "2nd"],
            ["--state-machine", "crossfade-deployment"],
            ["--ledger", "a b"],
            ["--region", "eu west"],
        ] {
            let trouble = typed(&wrong).unwrap_err();
            assert_eq!(trouble.exit, Exit::Usage, "{wrong:?}");
            assert!(trouble.what.contains(wrong[1]), "{}", trouble.what);
        }
    }
}
