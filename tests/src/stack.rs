//! Crossfade itself, deployed to the local AWS by SAM from the real template.

use std::process::Stdio;

use tokio::process::Command;

use crate::{LocalAws, dns, paths};

/// The bucket that releases take code from.
pub const ARTIFACTS: &str = "crossfade-artifacts";

/// A KMS key that the stack may use. It encrypts [`ARTIFACTS`].
pub const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/0a1b2c3d-0000-0000-0000-000000000001";

/// A KMS key that the stack may not use. It encrypts [`LOCKED_ARTIFACTS`].
pub const LOCKED_KEY: &str =
    "arn:aws:kms:us-east-1:000000000000:key/0a1b2c3d-0000-0000-0000-000000000002";

/// A bucket that the stack may take code from, and whose objects it cannot decrypt.
pub const LOCKED_ARTIFACTS: &str = "crossfade-locked";

/// A bucket that the stack may take code from and that does not exist.
pub const NO_BUCKET: &str = "crossfade-nothing";

/// Repositories of another account that releases may take images from.
pub const FOREIGN_IMAGES: &str = "arn:aws:ecr:us-east-1:111111111111:repository/base/*";

/// Crossfade's functions.
pub const FUNCTIONS: [&str; 11] = [
    "approval",
    "check-alarms",
    "deploy-green",
    "finalize",
    "front-door",
    "hooks",
    "prune",
    "restore-blue",
    "rollback",
    "shift-traffic",
    "validate",
];

/// A deployed stack: its outputs.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The stack's name, with which its functions' names begin.
    pub name: String,
    /// What a release is an execution of.
    pub state_machine: String,
    /// What keeps blue ready after a promotion, and cleans up after that.
    pub retention: String,
    /// The ledger.
    pub table: String,
    /// Where people are told.
    pub topic: String,
    /// Where a channel is told.
    pub chat: String,
}

impl Stack {
    /// Deploys what `sam build` made, for functions whose names begin with `prefix`.
    ///
    /// # Panics
    /// When SAM fails; what it said is in the message.
    pub async fn deploy(local: &LocalAws, prefix: &str) -> Self {
        Self::deploy_with(local, prefix, &[]).await
    }

    /// The same with more of the template's parameters.
    ///
    /// # Panics
    /// When SAM fails; what it said is in the message.
    pub async fn deploy_with(local: &LocalAws, prefix: &str, more: &[(&str, &str)]) -> Self {
        Self::deploy_as(local, "crossfade", prefix, more).await
    }

    /// The same under a name of its own.
    ///
    /// # Panics
    /// As [`Stack::deploy_with`].
    pub async fn deploy_as(
        local: &LocalAws,
        name: &str,
        prefix: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let template = paths::built_template();
        assert!(
            template.exists(),
            "{} is not there: run `sam build --parameter-overrides Architecture=x86_64 TargetFunctionPrefix={prefix}` first",
            template.display()
        );
        local.control().put_object(ARTIFACTS, "made", b"").await;
        for (bucket, key) in [(ARTIFACTS, KEY), (LOCKED_ARTIFACTS, LOCKED_KEY)] {
            local.control().encrypt(bucket, key).await;
        }
        let zones = dns::make_zones(local).await;
        // A home and a configuration of its own: nothing is written anywhere else.
        let home = local.dir().join("sam");
        std::fs::create_dir_all(&home).expect("a folder can be made");
        let config = home.join("samconfig.toml");
        std::fs::write(&config, "version = 0.1\n").expect("a file can be written");
        let done = Command::new(paths::sam())
            .arg("deploy")
            .arg("--template-file")
            .arg(&template)
            .arg("--config-file")
            .arg(&config)
            .args(["--stack-name", name, "--region", "us-east-1"])
            .args(["--resolve-s3", "--capabilities", "CAPABILITY_IAM"])
            .args(["--no-confirm-changeset", "--no-progressbar"])
            .arg("--parameter-overrides")
            .arg(format!("TargetFunctionPrefix={prefix}"))
            .arg(format!("Architecture={}", architecture()))
            .arg(format!(
                "ArtifactBucket={ARTIFACTS},{LOCKED_ARTIFACTS},{NO_BUCKET}"
            ))
            .arg(format!("KmsKeyArns={KEY}"))
            .arg(format!("HostedZoneArns={}", zones.join(",")))
            .arg(format!("ImageRepositoryPrefix={prefix}"))
            .arg(format!("ImageRepositoryArns={FOREIGN_IMAGES}"))
            .arg(format!("LoadBalancerPrefix={prefix}"))
            .args(more.iter().map(|(name, value)| format!("{name}={value}")))
            .current_dir(&home)
            .env("HOME", &home)
            .env("SAM_CLI_TELEMETRY", "0")
            .env("SAM_CLI_POLL_DELAY", "0.5")
            .env("AWS_ENDPOINT_URL", local.endpoint())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", paths::sam().display()));
        assert!(
            done.status.success(),
            "sam deploy failed:\n{}{}\n{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
            local.log()
        );
        let described = local.control().cloudformation("DescribeStacks", name).await;
        let output = |key: &str| {
            output(&described, key)
                .unwrap_or_else(|| panic!("the stack has no output {key}: {described}"))
        };
        Self {
            name: name.to_owned(),
            state_machine: output("DeploymentStateMachineArn"),
            retention: output("RetentionStateMachineArn"),
            table: output("LedgerTableName"),
            topic: output("NotificationTopicArn"),
            chat: output("ChatTopicArn"),
        }
    }

    /// Gives some of its functions more environment variables, as its operator may.
    pub async fn set_variables(&self, local: &LocalAws, names: &[&str], more: &[(&str, &str)]) {
        let client = aws_sdk_lambda::Client::new(&local.config());
        for name in names {
            let function = self.function(name);
            let now = client.get_function_configuration();
            let now = now.function_name(&function).send().await;
            let now = now.expect("the function is there").environment;
            let mut variables = now.and_then(|now| now.variables).unwrap_or_default();
            variables.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
            let environment = aws_sdk_lambda::types::Environment::builder();
            let environment = environment.set_variables(Some(variables)).build();
            let change = client.update_function_configuration();
            let done = change
                .function_name(&function)
                .environment(environment)
                .send();
            done.await.expect("the function can be configured");
        }
    }

    /// The full name of one of its functions, such as of `shift-traffic`.
    #[must_use]
    pub fn function(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }
}

/// The architecture that the template was built for: this machine's.
#[must_use]
pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    }
}

fn output(described: &str, key: &str) -> Option<String> {
    let after = described
        .split(&format!("<OutputKey>{key}</OutputKey>"))
        .nth(1)?;
    let value = after.split("<OutputValue>").nth(1)?;
    Some(value.split("</OutputValue>").next()?.to_owned())
}
