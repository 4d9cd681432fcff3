//! Sample functions to release, whose versions behave as they are told.

use std::{
    io::{Cursor, Write},
    sync::OnceLock,
};

use aws_sdk_lambda::{
    Client,
    client::Waiters,
    primitives::Blob,
    types::{
        AliasRoutingConfiguration, Architecture, DurableConfig, FunctionCode,
        FunctionConfiguration, FunctionUrlAuthType, Runtime,
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{LocalAws, paths, stack::ARTIFACTS};

/// How a version behaves; the sample function's `behaviour.json`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools)] // Switches that have nothing to do with each other.
pub struct Behaviour {
    /// The label that it answers with.
    pub version: String,
    /// How many of 100 invocations return an error.
    pub error_rate_percent: f64,
    /// Events whose `path` is this never fail; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spare_path: Option<String>,
    /// How long each invocation takes, milliseconds.
    pub latency_ms: u64,
    /// How many of 100 invocations take `slow_ms` longer.
    pub slow_rate_percent: f64,
    /// How much longer those take, milliseconds.
    pub slow_ms: u64,
    /// End the process in the middle of an invocation.
    pub crash: bool,
    /// How long its cold start takes, milliseconds.
    pub init_ms: u64,
    /// The `statusCode` of its answers; 200 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// The `body` of its answers; `{"version": …}` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Put the event in the answer.
    pub echo: bool,
    /// Its answers as they are, one after the other; the last one again and again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Value>,
    /// Log each error that it returns as Python's runtime does.
    pub logs_errors: bool,
    /// A line that it logs with each answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// Answers as a streaming function does: a prelude with the status, eight NUL bytes, and the body.
    pub stream: bool,
}

impl Behaviour {
    /// All is well.
    #[must_use]
    pub fn healthy(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            ..Self::default()
        }
    }

    /// Fails in so many of 100 cases.
    #[must_use]
    pub fn failing(version: &str, percent: f64) -> Self {
        Self {
            error_rate_percent: percent,
            ..Self::healthy(version)
        }
    }

    /// Always takes so long.
    #[must_use]
    pub fn slow(version: &str, latency_ms: u64) -> Self {
        Self {
            latency_ms,
            ..Self::healthy(version)
        }
    }

    /// A deployment package of the sample function that behaves so. The same behaviour makes the
    /// same bytes.
    ///
    /// # Panics
    /// When the sample function has not been built.
    #[must_use]
    pub fn package(&self) -> Vec<u8> {
        static BINARY: OnceLock<Vec<u8>> = OnceLock::new();
        let binary = BINARY.get_or_init(|| {
            let path = paths::target_function();
            std::fs::read(&path).unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; run `cargo build --release -p target-function` first",
                    path.display()
                )
            })
        });
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let told = serde_json::to_vec(self).expect("a behaviour is JSON");
        for (name, mode, content) in [
            ("behaviour.json", 0o644, &told),
            ("bootstrap", 0o755, binary),
        ] {
            zip.start_file(name, options.unix_permissions(mode))
                .expect("the zip is in memory");
            zip.write_all(content).expect("the zip is in memory");
        }
        zip.finish().expect("the zip is in memory").into_inner()
    }
}

/// A function on the local AWS.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    client: Client,
    control: crate::local::Control,
}

/// The role of every sample function. Nothing checks that it exists.
pub const ROLE: &str = "arn:aws:iam::000000000000:role/crossfade-sample";

/// What an alias says.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// Its own version.
    pub primary: String,
    /// The additional version and its share, 0.0 to 1.0.
    pub additional: Option<(String, f64)>,
    /// Its revision.
    pub revision: String,
}

impl Alias {
    /// The share that a version has, 0.0 to 1.0.
    #[must_use]
    pub fn share(&self, version: &str) -> f64 {
        match &self.additional {
            Some((other, share)) if other == version => *share,
            Some((_, share)) if self.primary == version => 1.0 - share,
            None if self.primary == version => 1.0,
            Some(_) | None => 0.0,
        }
    }

    /// The version that has all traffic; none when it is split.
    #[must_use]
    pub fn settled(&self) -> Option<&str> {
        match &self.additional {
            None => Some(&self.primary),
            Some(_) => None,
        }
    }
}

/// What one invocation did.
#[derive(Clone, Debug)]
pub struct Invoked {
    /// The version that ran.
    pub version: String,
    /// Whether the function failed.
    pub failed: bool,
    /// What it answered.
    pub answer: Value,
}

impl Target {
    /// Makes a function whose `$LATEST` behaves so.
    pub async fn create(local: &LocalAws, name: &str, behaviour: Behaviour) -> Self {
        let code = FunctionCode::builder()
            .zip_file(Blob::new(behaviour.package()))
            .build();
        let target = Self::of_code(local, name, code).await;
        target.updated().await;
        target
    }

    /// Makes a function of this code, which may take a moment to be there.
    ///
    /// # Panics
    /// When Lambda refuses.
    pub async fn of_code(local: &LocalAws, name: &str, code: FunctionCode) -> Self {
        let target = Self::existing(local, name);
        target
            .client
            .create_function()
            .function_name(name)
            .runtime(Runtime::Providedal2023)
            .architectures(if cfg!(target_arch = "aarch64") {
                Architecture::Arm64
            } else {
                Architecture::X8664
            })
            .handler("bootstrap")
            .role(ROLE)
            .timeout(10)
            .code(code)
            .send()
            .await
            .expect("the function can be made");
        target
    }

    /// A function that is there already.
    #[must_use]
    pub fn existing(local: &LocalAws, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            client: Client::new(&local.config()),
            control: local.control(),
        }
    }

    /// Makes `$LATEST` one that runs durable executions.
    pub async fn make_durable(&self) {
        let durable = DurableConfig::builder().execution_timeout(600).build();
        let update = self.client.update_function_configuration();
        let update = update.function_name(&self.name).durable_config(durable);
        update
            .send()
            .await
            .expect("the configuration can be changed");
        self.updated().await;
    }

    /// Waits until `$LATEST` is active and updated.
    pub async fn updated(&self) {
        self.client
            .wait_until_function_active_v2()
            .function_name(&self.name)
            .wait(std::time::Duration::from_secs(30))
            .await
            .expect("the function becomes active");
        self.client
            .wait_until_function_updated_v2()
            .function_name(&self.name)
            .wait(std::time::Duration::from_secs(30))
            .await
            .expect("the update succeeds");
    }

    /// Replaces `$LATEST`'s code by one that behaves so.
    pub async fn update(&self, behaviour: Behaviour) {
        self.client
            .update_function_code()
            .function_name(&self.name)
            .zip_file(Blob::new(behaviour.package()))
            .send()
            .await
            .expect("the code can be replaced");
        self.updated().await;
    }

    /// Deletes all of it: it is the test's own.
    ///
    /// # Panics
    /// When Lambda refuses.
    #[expect(
        clippy::disallowed_methods,
        reason = "the whole function goes, which is the test's own"
    )]
    pub async fn delete(&self) {
        let deleted = self.lambda().delete_function();
        let deleted = deleted.function_name(&self.name).send().await;
        deleted.expect("the function can be deleted");
    }

    /// Publishes `$LATEST`. Returns the version.
    pub async fn publish(&self) -> String {
        self.client
            .publish_version()
            .function_name(&self.name)
            .send()
            .await
            .expect("a version can be published")
            .version
            .expect("a publication has a version")
    }

    /// Makes or moves an alias, as somebody outside Crossfade does.
    pub async fn alias(&self, alias: &str, version: &str) {
        let made = self
            .client
            .create_alias()
            .function_name(&self.name)
            .name(alias)
            .function_version(version)
            .send()
            .await;
        if made.is_err() {
            self.move_alias(alias, version, None).await;
        }
    }

    /// Moves an alias, as somebody outside Crossfade does.
    pub async fn move_alias(&self, alias: &str, version: &str, additional: Option<(&str, f64)>) {
        let weights = additional
            .map(|(version, share)| (version.to_owned(), share))
            .into_iter()
            .collect();
        self.client
            .update_alias()
            .function_name(&self.name)
            .name(alias)
            .function_version(version)
            .routing_config(
                AliasRoutingConfiguration::builder()
                    .set_additional_version_weights(Some(weights))
                    .build(),
            )
            .send()
            .await
            .expect("the alias can be moved");
    }

    /// What the alias says; none when there is none.
    pub async fn look(&self, alias: &str) -> Option<Alias> {
        let got = self
            .client
            .get_alias()
            .function_name(&self.name)
            .name(alias)
            .send()
            .await;
        let got = match got {
            Ok(got) => got,
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_resource_not_found_exception(), "{error:?}");
                return None;
            }
        };
        let weights = got
            .routing_config
            .and_then(|routing| routing.additional_version_weights)
            .unwrap_or_default();
        Some(Alias {
            primary: got.function_version.unwrap_or_default(),
            additional: weights.into_iter().next(),
            revision: got.revision_id.unwrap_or_default(),
        })
    }

    /// The published versions, in order.
    pub async fn versions(&self) -> Vec<String> {
        let listed = self.listed().await;
        let listed = listed.into_iter().filter_map(|version| version.version);
        listed.filter(|version| version != "$LATEST").collect()
    }

    /// What Lambda says that a version is; empty where nobody has said it.
    pub async fn description(&self, version: &str) -> Option<String> {
        let listed = self.listed().await;
        let mut listed = listed.into_iter();
        listed
            .find(|one| one.version.as_deref() == Some(version))?
            .description
    }

    async fn listed(&self) -> Vec<FunctionConfiguration> {
        self.client
            .list_versions_by_function()
            .function_name(&self.name)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .expect("versions can be listed")
    }

    /// Has Lambda counted 20 requests a minute through an alias over the last four hours, none of which failed: a past
    /// in which errors come one by one.
    pub async fn has_past(&self, alias: &str) {
        let past =
            json!({"functionName": self.name, "alias": alias, "requests": 20, "minutes": 240});
        self.control.post("metrics/past", &past).await;
    }

    /// Puts code that behaves so into S3. Returns a request's `code`.
    pub async fn upload(&self, behaviour: Behaviour) -> Value {
        let package = behaviour.package();
        let key = format!("{}/{}.zip", self.name, behaviour.version);
        self.control.put_object(ARTIFACTS, &key, &package).await;
        json!({"s3Bucket": ARTIFACTS, "s3Key": key})
    }

    /// Invokes through an alias, as users do.
    pub async fn invoke_alias(&self, alias: &str) -> Invoked {
        self.invoke(alias, &json!({"path": "/"}))
            .await
            .expect("the alias can be invoked")
    }

    /// Invokes an alias or a version; none when Lambda refused, by what it says.
    pub async fn invoke(&self, qualifier: &str, payload: &Value) -> Result<Invoked, String> {
        let done = self
            .client
            .invoke()
            .function_name(&self.name)
            .qualifier(qualifier)
            .payload(Blob::new(payload.to_string()))
            .send()
            .await
            .map_err(|error| format!("{:?}", error.into_service_error()))?;
        let answer = done
            .payload
            .and_then(|payload| serde_json::from_slice(payload.as_ref()).ok())
            .unwrap_or_default();
        Ok(Invoked {
            version: done.executed_version.unwrap_or_default(),
            failed: done.function_error.is_some(),
            answer,
        })
    }

    /// The policy of the function, or of an alias or a version; none where there is none.
    pub async fn policy(&self, qualifier: Option<&str>) -> Option<Value> {
        let call = self.client.get_policy().function_name(&self.name);
        let told = call
            .set_qualifier(qualifier.map(str::to_owned))
            .send()
            .await;
        let policy = told.ok()?.policy?;
        Some(serde_json::from_str(&policy).expect("a policy is JSON"))
    }

    /// Opens an alias to anybody by a function URL. Returns the URL's host.
    ///
    /// # Panics
    /// When Lambda refuses.
    pub async fn open(&self, alias: &str) -> String {
        let made = self.client.create_function_url_config();
        let made = made.function_name(&self.name).qualifier(alias);
        let made = made.auth_type(FunctionUrlAuthType::None).send().await;
        let url = made.expect("a URL can be made").function_url;
        for (id, action) in [
            ("url-anybody", "lambda:InvokeFunctionUrl"),
            ("url-invoke", "lambda:InvokeFunction"),
        ] {
            let by_url = action == "lambda:InvokeFunction";
            let call = self.client.add_permission().function_name(&self.name);
            let call = call.qualifier(alias).statement_id(id).action(action);
            let call = call.principal("*");
            let call = if by_url {
                call.invoked_via_function_url(true)
            } else {
                call.function_url_auth_type(FunctionUrlAuthType::None)
            };
            call.send().await.expect("a permission can be added");
        }
        let host = url.trim_start_matches("https://").trim_end_matches('/');
        host.to_owned()
    }

    /// The ARN of a version or an alias.
    #[must_use]
    pub fn arn(&self, qualifier: &str) -> String {
        let name = &self.name;
        format!("arn:aws:lambda:us-east-1:000000000000:function:{name}:{qualifier}")
    }

    /// Lambda's client, for what this does not do.
    #[must_use]
    pub fn lambda(&self) -> &Client {
        &self.client
    }
}
