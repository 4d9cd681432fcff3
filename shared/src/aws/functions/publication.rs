//! Code and versions: uploads to `$LATEST`, and publishes it.

use std::time::Duration;

use aws_sdk_lambda::{client::Waiters, types::State};

use super::{Configuration, Functions, configuration_of, of_function, version};
use crate::{
    aws::classify::{classify, is, names_key_parameter},
    domain::names::{FunctionName, Version},
    error::Error,
    wire::request::Code,
};

/// How often a publication is decided anew when `$LATEST`'s revision changes under it. Each attempt
/// means that another writer wrote between our reading and our writing; more than this in a row is not a
/// coincidence.
const MAX_ATTEMPTS: u32 = 5;

/// How long an update of `$LATEST` may take: Lambda's own waiter's limit.
pub const UPDATED: Duration = Duration::from_mins(5);

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

impl Functions {
    /// Puts new code in `$LATEST`, a zip encrypted with `key` where the function's is. Returns its base64
    /// SHA-256.
    ///
    /// # Errors
    /// [`Error::Refused`] when the package cannot be had or is not one.
    pub async fn update_code(
        &self,
        function: &FunctionName,
        code: &Code,
        key: Option<&str>,
    ) -> Result<String, Error> {
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
                .set_s3_object_version(s3_object_version.as_ref().map(ToString::to_string))
                .set_source_kms_key_arn(key.map(str::to_owned)),
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
            .map_err(|error| classify(&format!("UpdateFunctionCode of {function}"), &error))
            .map_err(names_key_parameter)?;
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
                Error::Refused(format!("{function}: the update did not succeed: {error}").into())
            })?;
        let done = done.into_result().map_err(|error| {
            Error::Refused(format!("{function}: the update did not succeed: {error}").into())
        })?;
        configuration_of(done).map(of_function)
    }

    /// Publishes exactly the `$LATEST` that `latest` describes. Returns the version that exists
    /// already when nothing changed since it was published; that one keeps its own description.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when `$LATEST` is not that any more.
    pub async fn publish(
        &self,
        function: &FunctionName,
        latest: &Configuration,
        description: Option<&str>,
    ) -> Result<Published, Error> {
        let changed = || {
            Error::ChangedOutside(
                format!("{function}: $LATEST changed between the upload and the publication")
                    .into(),
            )
        };
        let mut revision = latest.revision.clone();
        for _ in 0..MAX_ATTEMPTS {
            let published = self
                .client
                .publish_version()
                .function_name(function.as_ref())
                .code_sha256(&latest.code_sha256)
                .revision_id(&revision)
                .set_description(description.map(str::to_owned))
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
                            now.timeout,
                            now.durable_config.as_ref(),
                        ),
                    });
                }
                // Perhaps our own publication, whose answer was lost: it gave `$LATEST` a new revision.
                // When nothing else changed, to publish again yields its version.
                Err(error) if is(&error, "PreconditionFailedException") => {
                    let now = self.updated(function, UPDATED).await?;
                    let same = (&now.code_sha256, &now.modified)
                        == (&latest.code_sha256, &latest.modified);
                    if !same {
                        return Err(changed());
                    }
                    revision = now.revision;
                }
                Err(error) => {
                    // A wrong CodeSha256 comes as this, not as a failed precondition; and so does a key that may
                    // not be used.
                    if is(&error, "InvalidParameterValueException") {
                        let now = self.updated(function, UPDATED).await?;
                        if now.code_sha256 != latest.code_sha256 {
                            return Err(changed());
                        }
                    }
                    let refused = classify(&format!("PublishVersion of {function}"), &error);
                    return Err(names_key_parameter(refused));
                }
            }
        }
        Err(Error::Transient(
            format!("{function}: the revision of $LATEST changes all the time").into(),
        ))
    }
}
