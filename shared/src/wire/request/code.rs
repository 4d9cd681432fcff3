//! Where green's code comes from.

use deserr::{Deserr, IntoValue, Value as Input, ValuePointerRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::names::{NameError, Version, ensure, name};
use crate::parse::bounds::{quoted, unexpected};
use crate::parse::problem::Problems;

/// Names a repository of ECR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repository<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) name: &'a str,
}

/// Where green's code comes from. Its fields say which kind it is: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged, rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Code {
    /// A zip in S3, in the function's Region.
    S3 {
        /// The bucket's name.
        s3_bucket: S3Bucket,
        /// The object's key, 1 to 1024 bytes.
        s3_key: S3Key,
        /// The object's version, in a bucket with versioning. Without it the newest is taken, which
        /// may be another one when the release is run again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        s3_object_version: Option<S3ObjectVersion>,
    },
    /// A container image in ECR.
    Image {
        /// The image with its tag or digest.
        image_uri: ImageUri,
    },
    /// A version that was published already.
    Version {
        /// Its number, as text.
        version: Version,
    },
}

/// A code's fields before it is known which kind they make.
#[derive(Deserr)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
struct Fields {
    #[deserr(default)]
    s3_bucket: Option<S3Bucket>,
    #[deserr(default)]
    s3_key: Option<S3Key>,
    #[deserr(default)]
    s3_object_version: Option<S3ObjectVersion>,
    #[deserr(default)]
    image_uri: Option<ImageUri>,
    #[deserr(default)]
    version: Option<Version>,
}

impl Deserr<Problems> for Code {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        let Fields {
            s3_bucket,
            s3_key,
            s3_object_version,
            image_uri,
            version,
        } = Fields::deserialize_from_value(value, location)?;
        let missing = |field, beside| {
            let message = format!("is missing; give it together with \"{beside}\"");
            Err(unexpected(&message, location.push_key(field)))
        };
        match (s3_bucket, s3_key, s3_object_version, image_uri, version) {
            (Some(s3_bucket), Some(s3_key), s3_object_version, None, None) => Ok(Self::S3 {
                s3_bucket,
                s3_key,
                s3_object_version,
            }),
            (None, None, None, Some(image_uri), None) => Ok(Self::Image { image_uri }),
            (None, None, None, None, Some(version)) => Ok(Self::Version { version }),
            (Some(_), None, _, None, None) => missing("s3Key", "s3Bucket"),
            (None, Some(_), _, None, None) => missing("s3Bucket", "s3Key"),
            (None, None, Some(_), None, None) => missing("s3Key", "s3ObjectVersion"),
            (None, None, None, None, None) => Err(unexpected(
                "says no code; give s3Bucket and s3Key, or imageUri, or version, or leave \"code\" \
                 out to publish $LATEST",
                location,
            )),
            _ => Err(unexpected(
                "mixes kinds; give one only: s3Bucket and s3Key, or imageUri, or version",
                location,
            )),
        }
    }
}

/// An S3 bucket's name: 3 to 63 lower-case letters, digits, `.` and `-`, beginning and ending with
/// a letter or digit, no two dots together, not shaped like an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    "not" = { "pattern": "\\.\\.|^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+$" },
    "examples" = ["artifacts"]
))]
pub struct S3Bucket(String);
name!(S3Bucket, check_bucket);

/// An S3 object's key: 1 to 1024 bytes, without control characters, and without `.` or `..` between
/// slashes, which some programs take for another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "minLength" = 1,
    "maxLength" = 1024,
    "not" = { "pattern": "(^|[/\\\\])\\.\\.?([/\\\\]|$)|[\\u0000-\\u001f\\u007f-\\u009f]" },
    "examples" = ["chat/42.zip"]
))]
pub struct S3Key(String);
name!(S3Key, check_key);

/// An S3 object's version: 1 to 1024 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "minLength" = 1,
    "maxLength" = 1024,
    "pattern" = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
))]
pub struct S3ObjectVersion(String);
name!(S3ObjectVersion, check_object_version);

/// An ECR image with its tag or digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend(
    "pattern" = "^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.(com|com\\.cn|eu)/[a-z0-9][a-z0-9._/-]{1,255}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$",
    // No two marks of the repository's side by side, and none at its end.
    "not" = { "pattern": "/[^:@]*[._/-]([._/-]|[:@])" },
    "examples" = ["123456789012.dkr.ecr.eu-west-1.amazonaws.com/chat:42"]
))]
pub struct ImageUri(String);
name!(ImageUri, check_image);

impl ImageUri {
    /// Returns the repository that the image is in.
    pub(crate) fn repository(&self) -> Repository<'_> {
        let (host, image) = self.0.split_once('/').unwrap_or_default();
        let mut parts = host.split('.');
        Repository {
            account: parts.next().unwrap_or_default(),
            region: parts.nth(2).unwrap_or_default(),
            name: image.split([':', '@']).next().unwrap_or_default(),
        }
    }

    /// Returns the image's tag, or its digest.
    pub(crate) fn reference(&self) -> (&'static str, &str) {
        let (_, image) = self.0.split_once('/').unwrap_or_default();
        match image.split_once('@') {
            Some((_, digest)) => ("imageDigest", digest),
            None => ("imageTag", image.split_once(':').map_or("", |(_, tag)| tag)),
        }
    }
}

fn check_bucket(text: &str) -> Result<(), NameError> {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inside = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let address = text.split('.').count() == 4 && text.split('.').all(number);
    let right = (3..=63).contains(&text.len())
        && inside
        && text.starts_with(ends)
        && text.ends_with(ends)
        && !text.contains("..")
        && !address;
    ensure(right, || {
        format!(
            "{} is not a bucket name; use 3 to 63 lower-case letters, digits, \".\" and \"-\", \
             beginning and ending with a letter or digit",
            quoted(text)
        )
    })
}

fn check_key(text: &str) -> Result<(), NameError> {
    ensure((1..=1024).contains(&text.len()), || {
        format!("{} is not an object key; use 1 to 1024 bytes", quoted(text))
    })?;
    ensure(!text.chars().any(char::is_control), || {
        format!("{} has a control character in it", quoted(text))
    })?;
    let elsewhere = text
        .split(['/', '\\'])
        .any(|part| part == "." || part == "..");
    ensure(!elsewhere, || {
        format!(
            "{} leads to another place; give the key without \".\" and \"..\"",
            quoted(text)
        )
    })
}

fn check_object_version(text: &str) -> Result<(), NameError> {
    ensure((1..=1024).contains(&text.len()), || {
        format!(
            "{} is not an object version; use 1 to 1024 bytes",
            quoted(text)
        )
    })?;
    ensure(!text.chars().any(char::is_control), || {
        format!("{} has a control character in it", quoted(text))
    })
}

fn check_image(text: &str) -> Result<(), NameError> {
    ensure(is_image(text), || {
        format!(
            "{} is not an ECR image; write it with a tag or digest, such as \
             \"123456789012.dkr.ecr.eu-west-1.amazonaws.com/chat:42\"",
            quoted(text)
        )
    })
}

/// `account.dkr.ecr.region.amazonaws.tld/repository` and `:tag` or `@sha256:digest`.
fn is_image(text: &str) -> bool {
    let lower_or_digit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let Some((host, image)) = text.split_once('/') else {
        return false;
    };
    let mut parts = host.splitn(6, '.');
    let [
        Some(account),
        Some("dkr"),
        Some("ecr"),
        Some(region),
        Some("amazonaws"),
        Some(domain),
    ] = std::array::from_fn(|_| parts.next())
    else {
        return false;
    };
    let host = account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !region.is_empty()
        && region.bytes().all(|b| lower_or_digit(b) || b == b'-')
        // Of AWS's own partitions: any other name may be anyone's.
        && ["com", "com.cn", "eu"].contains(&domain);
    let (repository, reference) = match image.split_once('@') {
        Some((repository, digest)) => (
            repository,
            digest.strip_prefix("sha256:").is_some_and(|hex| {
                hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }),
        ),
        None => match image.split_once(':') {
            Some((repository, tag)) => (
                repository,
                (1..=128).contains(&tag.len())
                    && !tag.starts_with(['.', '-'])
                    && tag
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
            ),
            None => return false,
        },
    };
    // As ECR has it: parts with slashes between, each of words with one mark between.
    let word = |word: &str| !word.is_empty() && word.bytes().all(lower_or_digit);
    let repository = (2..=256).contains(&repository.len())
        && repository
            .split('/')
            .all(|part| part.split(['.', '_', '-']).all(word));
    host && repository && reference
}
