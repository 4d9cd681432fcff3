//! S3 and ECR: whether the code that a release takes is there.
//!
//! It is one call of each, and their SDKs would be larger than all else that a function is made of: the two
//! requests are written out, and signed as the SDKs sign theirs.

use std::{
    fmt::Write as _,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::{Value, json};

use super::classify::{chain, names_key_parameter, obstacle};
use crate::{
    admission::Artifact,
    error::{CallError, Error},
    wire::request::{Code, ImageUri},
};

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(8);

/// S3 and ECR.
#[derive(Debug)]
pub struct Artifacts {
    config: SdkConfig,
    connector: OnceLock<Connector>,
}

/// An answer: status, headers that matter, body.
struct Answer {
    status: u16,
    region: Option<String>,
    body: String,
}

/// A request that is to be signed.
struct Wanted<'a> {
    service: &'static str,
    region: &'a str,
    method: &'static str,
    url: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Artifacts {
    /// Makes clients on `config` when they are needed.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            connector: OnceLock::new(),
        }
    }

    /// Looks whether the code is there; none where it is no code of S3 or ECR.
    pub async fn look(&self, code: &Code) -> Result<Option<Artifact>, Error> {
        match code {
            Code::S3 {
                s3_bucket,
                s3_key,
                s3_object_version,
            } => {
                let version = s3_object_version.as_ref().map(AsRef::as_ref);
                let found = self.object(s3_bucket.as_ref(), s3_key.as_ref(), version);
                found.await.map(Some)
            }
            Code::Image { image_uri } => self.image(image_uri).await.map(Some),
            Code::Version { .. } => Ok(None),
        }
    }

    /// Reads an object's first byte. (What says that an object is not there has to say why: an answer to
    /// HEAD has no body to say it in.)
    async fn object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Artifact, Error> {
        let region = self.region();
        let mut url = format!(
            "{}/{bucket}/{}",
            self.endpoint("s3", region),
            encoded(key, "/")
        );
        if let Some(version) = version {
            // Writing to a String cannot fail.
            let _ = write!(url, "?versionId={}", encoded(version, ""));
        }
        let answer = self
            .ask(Wanted {
                service: "s3",
                region,
                method: "GET",
                url,
                headers: vec![("range", "bytes=0-0")],
                body: String::new(),
            })
            .await?;
        let code = element(&answer.body, "Code");
        match (answer.status, code) {
            // An empty object has no first byte.
            (200..=299 | 416, _) => Ok(Artifact::There),
            (_, "NoSuchBucket") => Ok(Artifact::NoStore),
            (_, "NoSuchKey") => Ok(Artifact::Missing),
            (404 | 405, "NoSuchVersion" | "MethodNotAllowed") | (400, "InvalidArgument") => {
                Ok(Artifact::NoVersion)
            }
            (301 | 307 | 400, _) if answer.region.as_deref().is_some_and(|it| it != region) => {
                Ok(Artifact::Elsewhere(answer.region.unwrap_or_default()))
            }
            (status, code) => {
                let message = element(&answer.body, "Message");
                Err(refused("GetObject", status, code, message))
            }
        }
    }

    async fn image(&self, uri: &ImageUri) -> Result<Artifact, Error> {
        let repository = uri.repository();
        let (kind, reference) = uri.reference();
        let asked = json!({
            "registryId": repository.account,
            "repositoryName": repository.name,
            "imageIds": [{kind: reference}],
        });
        let answer = self
            .ask(Wanted {
                service: "ecr",
                region: repository.region,
                method: "POST",
                url: format!("{}/", self.endpoint("api.ecr", repository.region)),
                headers: vec![
                    ("content-type", "application/x-amz-json-1.1"),
                    (
                        "x-amz-target",
                        "AmazonEC2ContainerRegistry_V20150921.BatchGetImage",
                    ),
                ],
                body: asked.to_string(),
            })
            .await?;
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let code = said["__type"].as_str().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        match (answer.status, code) {
            (200..=299, _) if said["images"].as_array().is_some_and(|it| !it.is_empty()) => {
                Ok(Artifact::There)
            }
            (200..=299, _) => Ok(Artifact::Missing),
            (_, "RepositoryNotFoundException") => Ok(Artifact::NoStore),
            (status, code) => {
                let message = said["message"].as_str().unwrap_or_default();
                Err(refused("BatchGetImage", status, code, message))
            }
        }
    }

    fn region(&self) -> &str {
        self.config.region().map_or("", AsRef::as_ref)
    }

    fn endpoint(&self, host: &str, region: &str) -> String {
        match self.config.endpoint_url() {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if region.starts_with("cn-") => {
                format!("https://{host}.{region}.amazonaws.com.cn")
            }
            None => format!("https://{host}.{region}.amazonaws.com"),
        }
    }

    async fn ask(&self, wanted: Wanted<'_>) -> Result<Answer, Error> {
        let Wanted { service, .. } = wanted;
        let request = self.signed(wanted).await?;
        let connector = self.connector.get_or_init(|| {
            Connector::builder()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build()
        });
        let answered = async {
            let answer = connector.call(request).await.map_err(|error| {
                Error::Transient(format!("{service}: {}", chain(&error)).into())
            })?;
            let status = answer.status().as_u16();
            let region = answer.headers().get("x-amz-bucket-region");
            let region = region.map(str::to_owned);
            let body = ByteStream::new(answer.into_body()).collect().await;
            let body = body
                .map_err(|error| Error::Transient(format!("{service}: {}", chain(&error)).into()))?
                .into_bytes();
            Ok(Answer {
                status,
                region,
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        tokio::time::timeout(ANSWER, answered)
            .await
            .unwrap_or_else(|_| {
                let seconds = ANSWER.as_secs();
                Err(Error::Transient(
                    format!("{service}: no answer within {seconds} s").into(),
                ))
            })
    }

    async fn signed(&self, wanted: Wanted<'_>) -> Result<HttpRequest, Error> {
        let refused = |why: String| Error::Refused(format!("{}: {why}", wanted.service).into());
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| refused("there are no credentials".to_owned()))?;
        let credentials = provider
            .provide_credentials()
            .await
            .map_err(|error| refused(chain(&error)))?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if wanted.service == "s3" {
            // An object's key is what it is.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(wanted.region)
            .name(wanted.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| refused(chain(&error)))?
            .into();
        let signable = SignableRequest::new(
            wanted.method,
            wanted.url.as_str(),
            wanted.headers.iter().copied(),
            SignableBody::Bytes(wanted.body.as_bytes()),
        )
        .map_err(|error| refused(chain(&error)))?;
        let (signature, _) = sign(signable, &params)
            .map_err(|error| refused(chain(&error)))?
            .into_parts();
        let mut request = HttpRequest::new(SdkBody::from(wanted.body.clone()));
        let invalid = |error: aws_smithy_runtime_api::http::HttpError| refused(chain(&error));
        request.set_method(wanted.method).map_err(invalid)?;
        request.set_uri(wanted.url.as_str()).map_err(invalid)?;
        let headers = request.headers_mut();
        for (name, value) in wanted.headers {
            headers.insert(name, value);
        }
        for (name, value) in signature.headers() {
            headers.insert(name.to_owned(), value.to_owned());
        }
        Ok(request)
    }
}

/// Returns the text of an XML element; nothing where there is none.
fn element<'a>(body: &'a str, name: &str) -> &'a str {
    let begins = body.split_once(&format!("<{name}>"));
    let ends = begins.and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    ends.map_or("", |(text, _)| text)
}

fn refused(what: &str, status: u16, code: &str, message: &str) -> Error {
    let shown = format!("{what}: status {status} {code} {message}")
        .trim_end()
        .to_owned();
    let call = CallError {
        code: Some(code.to_owned()).filter(|code| !code.is_empty()),
        obstacle: obstacle(code),
        message: shown,
    };
    if status == 429 || status >= 500 || code.contains("Throttl") {
        Error::Transient(call.into())
    } else {
        names_key_parameter(Error::Refused(call.into()))
    }
}

/// Encodes all but letters, digits, `-`, `_`, `.`, `~` and what is `kept`.
fn encoded(text: &str, kept: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let letter = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-_.~".contains(letter) || kept.contains(letter) {
            out.push(letter);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_a_key_as_s3_signs_it() {
        assert_eq!(encoded("chat/4 2+é.zip", "/"), "chat/4%202%2B%C3%A9.zip");
        assert_eq!(encoded("a/b", ""), "a%2Fb");
    }

    #[test]
    fn tells_a_refusal_from_what_passes() {
        assert!(matches!(
            refused(
                "GetObject",
                503,
                "SlowDown",
                "Please reduce your request rate."
            ),
            Error::Transient(_)
        ));
        let denied = refused("GetObject", 403, "AccessDenied", "");
        assert!(matches!(denied, Error::Refused(_)));
        assert_eq!(denied.to_string(), "GetObject: status 403 AccessDenied");
        assert_eq!(denied.code(), Some("AccessDenied"));
        let body = "<Error><Code>AccessDenied</Code><Message>no kms:Decrypt</Message></Error>";
        let denied = refused(
            "GetObject",
            403,
            element(body, "Code"),
            element(body, "Message"),
        );
        let shown = denied.to_string();
        assert!(shown.contains("no kms:Decrypt"), "{shown}");
        assert!(shown.contains("KmsKeyArns"), "{shown}");
    }
}
