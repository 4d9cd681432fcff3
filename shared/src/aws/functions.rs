//! Lambda: code, versions, invocations. Aliases are in [`super::traffic`].

use std::time::Duration;

use aws_sdk_lambda::{
    Client,
    client::Waiters,
    config::{StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::get_function::GetFunctionOutput,
    primitives::Blob,
    types::{DeadLetterConfig, LogType, PackageType, State},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    classify::{classify, is},
    lazy::{Lazy, lazy},
    pace,
};
use crate::{
    domain::{
        admission::{Found, Package, Settings},
        names::{Callee, FunctionName, Version},
    },
    error::Error,
    wire::request::Code,
};

/// How often a publication is decided anew when `$LATEST`'s revision changes under it. Each turn means
/// that somebody wrote between our reading and our writing; more than this in a row is not a
/// coincidence.
const TURNS: u32 = 5;

/// How long an update of `$LATEST` may take: Lambda's own waiter's limit.
pub const UPDATED: Duration = Duration::from_mins(5);

/// How long a version may take to answer. A client that gives up before the function does would take
/// a slow answer for none (AWS-FACTS 1.7).
const ANSWER: Duration = Duration::from_secs(60);

/// A version's configuration, as far as weights depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Base64 of the package's SHA-256.
    pub code_sha256: String,
    /// The function's revision: another than an alias's.
    pub revision: String,
    /// When code or configuration were changed last. A publication changes the revision and not this.
    pub modified: String,
    /// The execution role's ARN.
    pub role: String,
    /// The dead-letter queue's or topic's ARN; empty without one.
    pub dead_letter: String,
}

impl Configuration {
    /// Returns what a version must share with another to share an alias's traffic with it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            role: self.role.clone(),
            dead_letter: self.dead_letter.clone(),
        }
    }

    fn of(
        code_sha256: Option<String>,
        revision: Option<String>,
        modified: Option<String>,
        role: Option<String>,
        dead_letter: Option<DeadLetterConfig>,
    ) -> Self {
        Self {
            code_sha256: code_sha256.unwrap_or_default(),
            revision: revision.unwrap_or_default(),
            modified: modified.unwrap_or_default(),
            role: role.unwrap_or_default(),
            dead_letter: dead_letter
                .and_then(|queue| queue.target_arn)
                .unwrap_or_default(),
        }
    }
}

/// A version that has been published, or was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version.
    pub version: Version,
    /// Its configuration.
    pub configuration: Configuration,
    /// Whether it can serve already.
    pub active: bool,
}

/// What one invocation did.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Whether the function failed: an answer of 200 does not mean that it did not (AWS-FACTS 1.7).
    pub function_error: Option<String>,
    /// What it answered; a string where it is no JSON.
    pub payload: Value,
    /// The last 4 KB of its log.
    pub log_tail: String,
}

/// What became of calling a function of the user's.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// It answered.
    Answered {
        /// The kind of failure, where it failed: then the answer is its error.
        failed: Option<String>,
        /// Its answer; a string where it is no JSON.
        answer: Value,
    },
    /// It did not answer in time, and may still be running.
    TimedOut,
    /// No answer came, and nobody knows whether it ran: why, in words.
    Lost(String),
}

/// Lambda's control plane and the invocation of versions.
#[derive(Clone, Debug)]
pub struct Functions {
    client: Lazy<Client>,
}

impl Functions {
    /// A client on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: lazy(config, pace::lambda),
        }
    }

    /// Puts new code in `$LATEST`. Returns its base64 SHA-256.
    ///
    /// # Errors
    /// [`Error::Refused`] when the package cannot be had or is not one.
    pub async fn update_code(&self, function: &FunctionName, code: &Code) -> Result<String, Error> {
        let update = self
            .client
            .update_function_code()
            .function_name(function.as_ref());
        let update = match code {
            Code::S3 {
                s3_bucket,
                s3_key,
                s3_object_version,
            } => update
                .s3_bucket(s3_bucket.as_ref())
                .s3_key(s3_key.as_ref())
                .set_s3_object_version(s3_object_version.as_ref().map(ToString::to_string)),
            Code::Image { image_uri } => update.image_uri(image_uri.as_ref()),
            Code::Version { .. } => {
                return Err(Error::InvalidRequest(
                    "a published version has no code to update".into(),
                ));
            }
        };
        let updated = update
            .send()
            .await
            .map_err(|error| classify(&format!("UpdateFunctionCode of {function}"), &error))?;
        Ok(updated.code_sha256.unwrap_or_default())
    }

    /// Waits until `$LATEST` is updated, and describes it.
    pub async fn updated(
        &self,
        function: &FunctionName,
        wait: Duration,
    ) -> Result<Configuration, Error> {
        let done = self
            .client
            .wait_until_function_updated_v2()
            .function_name(function.as_ref())
            .wait(wait)
            .await
            .map_err(|error| {
                Error::Refused(format!("{function}: the update did not succeed: {error}"))
            })?;
        configuration(done.into_result().map_err(|error| {
            Error::Refused(format!("{function}: the update did not succeed: {error}"))
        })?)
    }

    /// Publishes exactly the `$LATEST` that `latest` describes. Returns the version that exists
    /// already when nothing changed since it was published.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when `$LATEST` is not that any more.
    pub async fn publish(
        &self,
        function: &FunctionName,
        latest: &Configuration,
    ) -> Result<Published, Error> {
        let changed = || {
            Error::ChangedOutside(format!(
                "{function}: $LATEST changed between the upload and the publication"
            ))
        };
        let mut revision = latest.revision.clone();
        for _ in 0..TURNS {
            let published = self
                .client
                .publish_version()
                .function_name(function.as_ref())
                .code_sha256(&latest.code_sha256)
                .revision_id(&revision)
                .send()
                .await;
            match published {
                Ok(now) => {
                    return Ok(Published {
                        version: version(now.version())?,
                        active: now.state == Some(State::Active),
                        configuration: Configuration::of(
                            now.code_sha256,
                            now.revision_id,
                            now.last_modified,
                            now.role,
                            now.dead_letter_config,
                        ),
                    });
                }
                // Perhaps our own publication, whose answer was lost: it gave `$LATEST` a new revision
                // (AWS-FACTS 1.2). When nothing else changed, to publish again yields its version.
                Err(error) if is(&error, "PreconditionFailedException") => {
                    let now = self.updated(function, UPDATED).await?;
                    let same = (&now.code_sha256, &now.modified)
                        == (&latest.code_sha256, &latest.modified);
                    if !same {
                        return Err(changed());
                    }
                    revision = now.revision;
                }
                // A wrong CodeSha256 comes as this, not as a failed precondition (AWS-FACTS 1.4).
                Err(error) if is(&error, "InvalidParameterValueException") => {
                    return Err(changed());
                }
                Err(error) => {
                    return Err(classify(&format!("PublishVersion of {function}"), &error));
                }
            }
        }
        Err(Error::Transient(format!(
            "{function}: the revision of $LATEST changes all the time"
        )))
    }

    /// Waits until a version can serve, and describes it.
    pub async fn active(
        &self,
        function: &FunctionName,
        version: &Version,
        wait: Duration,
    ) -> Result<Configuration, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::ValidationFailed(format!(
                "{function} version {version} did not become active: {error}"
            ))
        };
        // `GetFunction` has a limit of its own, which is far higher than what the other waiter's
        // `GetFunctionConfiguration` shares with everything else (AWS-FACTS 1.9).
        let done = self
            .client
            .wait_until_function_active_v2()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .wait(wait)
            .await
            .map_err(|error| failed(&error))?;
        configuration(done.into_result().map_err(|error| failed(&error))?)
    }

    /// Describes a published version.
    pub async fn version(
        &self,
        function: &FunctionName,
        version: &Version,
    ) -> Result<Configuration, Error> {
        let now = self
            .client
            .get_function()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .send()
            .await
            .map_err(|error| classify(&format!("GetFunction of {function}"), &error))?;
        configuration(now)
    }

    /// Describes a function, or what it has under a qualifier; none where that does not exist.
    pub async fn look(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<Option<Found>, Error> {
        let got = self
            .client
            .get_function()
            .function_name(function)
            .set_qualifier(qualifier.map(str::to_owned))
            .send()
            .await;
        let now = match got {
            Ok(now) => now,
            Err(error) if is(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(classify(&format!("GetFunction of {function}"), &error)),
        };
        let package = match now.configuration().and_then(|it| it.package_type()) {
            Some(PackageType::Image) => Package::Image,
            _ => Package::Zip,
        };
        let settings = configuration(now)?.settings();
        Ok(Some(Found { package, settings }))
    }

    /// What calls the function past every alias, a sentence each: event sources, URLs and
    /// permissions of the function itself.
    pub async fn bypasses(&self, function: &FunctionName) -> Result<Vec<String>, Error> {
        let (sources, urls, policy) = futures::try_join!(
            async {
                self.client
                    .list_event_source_mappings()
                    .function_name(function.as_ref())
                    .send()
                    .await
                    .map_err(|error| {
                        classify(&format!("ListEventSourceMappings of {function}"), &error)
                    })
            },
            async {
                self.client
                    .list_function_url_configs()
                    .function_name(function.as_ref())
                    .send()
                    .await
                    .map_err(|error| {
                        classify(&format!("ListFunctionUrlConfigs of {function}"), &error)
                    })
            },
            async {
                match self
                    .client
                    .get_policy()
                    .function_name(function.as_ref())
                    .send()
                    .await
                {
                    Ok(policy) => Ok(policy.policy),
                    Err(error) if is(&error, "ResourceNotFoundException") => Ok(None),
                    Err(error) => Err(classify(&format!("GetPolicy of {function}"), &error)),
                }
            },
        )?;
        let mut warnings = Vec::new();
        for mapping in sources.event_source_mappings() {
            if !is_qualified(mapping.function_arn().unwrap_or_default()) {
                warnings.push(format!(
                    "{function}: event source {} calls the function past the alias",
                    mapping.event_source_arn().unwrap_or("(unknown)")
                ));
            }
        }
        for url in urls.function_url_configs() {
            if !is_qualified(url.function_arn()) {
                warnings.push(format!(
                    "{function}: URL {} calls the function past the alias",
                    url.function_url()
                ));
            }
        }
        warnings
            .extend(callers(policy.as_deref().unwrap_or("{}")).map(|caller| {
                format!("{function}: {caller} may call the function past the alias")
            }));
        Ok(warnings)
    }

    /// Invokes one version itself, not through an alias, and waits for its answer.
    pub async fn invoke(
        &self,
        function: &FunctionName,
        version: &Version,
        payload: &Value,
    ) -> Result<Invocation, Error> {
        let done = self
            .client
            .invoke()
            .function_name(function.as_ref())
            .qualifier(version.as_ref())
            .log_type(LogType::Tail)
            .payload(Blob::new(payload.to_string()))
            .customize()
            .config_override(
                aws_sdk_lambda::config::Builder::new()
                    .timeout_config(TimeoutConfig::builder().read_timeout(ANSWER).build())
                    .retry_config(RetryConfig::standard().with_max_attempts(2)),
            )
            .send()
            .await
            .map_err(|error| classify(&format!("Invoke of {function}"), &error))?;
        let log_tail = done
            .log_result
            .and_then(|tail| STANDARD.decode(tail).ok())
            .map(|tail| String::from_utf8_lossy(&tail).into_owned())
            .unwrap_or_default();
        Ok(Invocation {
            function_error: done.function_error,
            payload: answer(done.payload),
            log_tail,
        })
    }

    /// Calls a function of the user's, once, and waits for its answer no longer than `patience`. The call
    /// is not repeated whatever happens.
    ///
    /// # Errors
    /// [`Error::Transient`] or [`Error::Refused`] when Lambda did not take the call: it has not run.
    pub async fn call(
        &self,
        function: &Callee,
        payload: &Value,
        patience: Duration,
    ) -> Result<Called, Error> {
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(patience)
            .read_timeout(patience)
            .build();
        let called = self
            .client
            .invoke()
            .function_name(function.function())
            .set_qualifier(function.qualifier().map(str::to_owned))
            .payload(Blob::new(payload.to_string()))
            .customize()
            .config_override(
                aws_sdk_lambda::config::Builder::new()
                    .timeout_config(timeouts)
                    .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                    .retry_config(RetryConfig::disabled()),
            )
            .send()
            .await;
        let what = || format!("Invoke of {function}");
        match called {
            Ok(done) => Ok(Called::Answered {
                failed: done.function_error,
                answer: answer(done.payload),
            }),
            Err(error @ SdkError::ConstructionFailure(_)) => Err(classify(&what(), &error)),
            // An error of Lambda's own: it may have run by then (AWS-FACTS 4.2).
            Err(error) if is(&error, "ServiceException") => {
                Ok(Called::Lost(classify(&what(), &error).to_string()))
            }
            Err(error) if error.as_service_error().and_then(|e| e.code()).is_some() => {
                Err(classify(&what(), &error))
            }
            Err(SdkError::TimeoutError(_)) => Ok(Called::TimedOut),
            Err(SdkError::DispatchFailure(failure)) if failure.is_timeout() => Ok(Called::TimedOut),
            Err(error) => Ok(Called::Lost(classify(&what(), &error).to_string())),
        }
    }
}

/// The answer of an invocation; a string where it is no JSON.
fn answer(payload: Option<Blob>) -> Value {
    let bytes = payload.map(Blob::into_inner).unwrap_or_default();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}

fn configuration(got: GetFunctionOutput) -> Result<Configuration, Error> {
    let now = got
        .configuration
        .ok_or_else(|| Error::Transient("GetFunction without a configuration".into()))?;
    Ok(Configuration::of(
        now.code_sha256,
        now.revision_id,
        now.last_modified,
        now.role,
        now.dead_letter_config,
    ))
}

/// Whether a function's ARN names a version or an alias: `arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER`.
fn is_qualified(arn: &str) -> bool {
    arn.split(':')
        .nth(7)
        .is_some_and(|qualifier| qualifier != "$LATEST")
}

/// Whom a resource policy lets in, from its JSON.
fn callers(policy: &str) -> impl Iterator<Item = String> {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => Vec::new(),
    };
    statements
        .into_iter()
        .filter(|statement| statement["Effect"] == "Allow")
        .map(|statement| {
            let principal = match &statement["Principal"] {
                Value::Object(kinds) => kinds.values().next().map(shown).unwrap_or_default(),
                other => shown(other),
            };
            match statement["Condition"]
                .as_object()
                .and_then(|c| c.values().find_map(|v| v["AWS:SourceArn"].as_str()))
            {
                Some(source) => format!("{principal} ({source})"),
                None => principal,
            }
        })
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A version as Lambda answers with it.
pub(super) fn version(text: Option<&str>) -> Result<Version, Error> {
    let text = text.unwrap_or_default();
    Version::try_from(text.to_owned())
        .map_err(|_| Error::Transient(format!("Lambda answered with version {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_whether_it_goes_past_the_alias() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:chat";
        assert!(!is_qualified(arn));
        assert!(!is_qualified(&format!("{arn}:$LATEST")));
        assert!(is_qualified(&format!("{arn}:production")));
        assert!(is_qualified(&format!("{arn}:7")));
    }

    #[test]
    fn a_policy_names_its_callers() {
        let policy = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction",
             "Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:eu-west-1:1:abc/*"}}},
            {"Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl"},
            {"Effect":"Deny","Principal":"*","Action":"lambda:InvokeFunction"}]}"#;
        assert_eq!(
            callers(policy).collect::<Vec<_>>(),
            [
                "apigateway.amazonaws.com (arn:aws:execute-api:eu-west-1:1:abc/*)",
                "*"
            ]
        );
        assert_eq!(callers("not json").count(), 0);
    }
}
