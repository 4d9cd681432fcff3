//! Signed calls of AWS's APIs, with JSON in and out.
//!
//! The SDKs are not used here: the probes call what the SDKs of today may not know yet, and the SDKs of
//! S3, IAM, EC2 and CloudWatch Logs would be compiled for a handful of calls.

use std::{
    env, fmt,
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::Value;
use url::form_urlencoded;

use crate::xml::Xml;

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(60);

/// How often a call is tried that was throttled or met an error of the server.
const TRIES: u32 = 6;

/// An account, in one Region.
#[derive(Debug)]
pub(crate) struct Aws {
    config: SdkConfig,
    connector: Connector,
    /// The Region.
    pub(crate) region: String,
}

/// A service with a JSON protocol: its signing name, which is also its host's first label, and the
/// prefix of its targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json(&'static str, &'static str);

pub(crate) const CLOUDWATCH: Json = Json("monitoring", "GraniteServiceVersion20100801");
pub(crate) const DYNAMODB: Json = Json("dynamodb", "DynamoDB_20120810");
pub(crate) const EVENTS: Json = Json("events", "AWSEvents");
pub(crate) const LOGS: Json = Json("logs", "Logs_20140328");
pub(crate) const SQS: Json = Json("sqs", "AmazonSQS");
pub(crate) const STATES: Json = Json("states", "AWSStepFunctions");

/// A service with the query protocol: its signing name and the version of its API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query(&'static str, &'static str);

pub(crate) const CLOUDFORMATION: Query = Query("cloudformation", "2010-05-15");
pub(crate) const EC2: Query = Query("ec2", "2016-11-15");
pub(crate) const IAM: Query = Query("iam", "2010-05-08");
pub(crate) const SNS: Query = Query("sns", "2010-03-31");
pub(crate) const STS: Query = Query("sts", "2011-06-15");

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// What was called, such as `lambda DELETE /2015-03-31/functions/x`.
    pub(crate) call: String,
    /// The HTTP status; 0 when there was no answer.
    pub(crate) status: u16,
    /// The error's name.
    pub(crate) code: String,
    /// The service's words.
    pub(crate) message: String,
}

impl Refusal {
    /// Whether the resource does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.status == 404
            || [
                "NotFound",
                "NoSuch",
                "DoesNotExist",
                "NonExistent",
                "does not exist",
            ]
            .iter()
            .any(|word| self.code.contains(word) || self.message.contains(word))
    }

    /// Whether the credentials do not permit the call.
    pub(crate) fn is_denied(&self) -> bool {
        ["AccessDenied", "UnauthorizedOperation", "NotAuthorized"]
            .iter()
            .any(|word| self.code.contains(word))
    }

    fn may_pass(&self) -> bool {
        self.status == 0
            || self.status == 429
            || self.status >= 500
            || [
                "Throttl",
                "TooManyRequests",
                "RequestLimitExceeded",
                "SlowDown",
            ]
            .iter()
            .any(|word| self.code.contains(word))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, code, .. } = self;
        write!(f, "{call}: {} {code}: {}", self.status, self.message)
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
}

/// A request before it is signed.
#[derive(Clone, Debug, Default)]
struct Request {
    service: &'static str,
    region: String,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(seen, _)| seen == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn xml(&self) -> Xml {
        Xml::new(&String::from_utf8_lossy(&self.body))
    }
}

impl Aws {
    /// Reads credentials and Region as the AWS CLI does, and `AWS_ENDPOINT_URL`.
    pub(crate) async fn from_environment() -> Result<Self, String> {
        let tls = Provider::Rustls(CryptoMode::Ring);
        let client = Builder::new().tls_provider(tls).build_https();
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
        let config = loader.load().await;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(
                "no Region is named anywhere; expected AWS_REGION, or a Region in the profile: \
                 run `make aws REGION=eu-west-1`"
                    .to_owned(),
            );
        };
        let Some(provider) = config.credentials_provider() else {
            return Err(no_credentials("none were found"));
        };
        let found = provider.provide_credentials().await;
        found.map_err(|error| no_credentials(&chain(&error)))?;
        Ok(Self {
            connector: connector(),
            config,
            region,
        })
    }

    /// The local AWS, for what rehearses.
    pub(crate) fn local(config: &SdkConfig) -> Self {
        Self {
            connector: connector(),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            config: config.clone(),
        }
    }

    /// The endpoint that stands in for AWS, such as the local AWS.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.config.endpoint_url()
    }

    /// Calls an operation of a JSON service.
    pub(crate) async fn json(
        &self,
        Json(service, prefix): Json,
        operation: &str,
        body: Value,
    ) -> Result<Value, Refusal> {
        let version = if matches!(service, "events" | "logs") {
            "1.1"
        } else {
            "1.0"
        };
        let request = Request {
            service,
            region: self.region.clone(),
            method: "POST",
            url: format!("{}/", self.base(service)),
            headers: vec![
                (
                    "content-type".into(),
                    format!("application/x-amz-json-{version}"),
                ),
                ("x-amz-target".into(), format!("{prefix}.{operation}")),
            ],
            body: body.to_string().into_bytes(),
        };
        let call = format!("{service} {operation}");
        Ok(self.patiently(&call, &request).await?.json())
    }

    /// Calls an operation of a query service.
    pub(crate) async fn query(
        &self,
        Query(service, version): Query,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Xml, Refusal> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("Action", action), ("Version", version)])
            .extend_pairs(parameters)
            .finish();
        let global = service == "iam";
        let request = Request {
            service,
            region: if global { "us-east-1" } else { &self.region }.to_owned(),
            method: "POST",
            url: match self.endpoint() {
                None if global => "https://iam.amazonaws.com/".to_owned(),
                _ => format!("{}/", self.base(service)),
            },
            headers: vec![(
                "content-type".into(),
                "application/x-www-form-urlencoded".into(),
            )],
            body: form.into_bytes(),
        };
        let call = format!("{service} {action}");
        Ok(self.patiently(&call, &request).await?.xml())
    }

    /// Calls Lambda; null where there is nothing to answer.
    pub(crate) async fn lambda(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let request = self.lambda_request(method, path, body);
        let call = format!("lambda {method} {path}");
        Ok(self.patiently(&call, &request).await?.json())
    }

    /// Calls Lambda once, and takes what it answers.
    pub(crate) async fn lambda_once(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Refusal> {
        let mut request = self.lambda_request(method, path, body);
        let more = headers.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        request.headers.extend(more);
        let call = format!("lambda {method} {path}");
        self.send(&call, &request).await
    }

    fn lambda_request(&self, method: &'static str, path: &str, body: Option<&Value>) -> Request {
        let body = body.map(ToString::to_string).unwrap_or_default();
        Request {
            service: "lambda",
            region: self.region.clone(),
            method,
            url: format!("{}{path}", self.base("lambda")),
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.into_bytes(),
        }
    }

    /// Calls S3: `path` is `/`, or a bucket's name with what follows.
    pub(crate) async fn s3(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Xml, Refusal> {
        let headers = headers.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let request = Request {
            service: "s3",
            region: self.region.clone(),
            method,
            url: format!("{}{path}", self.base("s3")),
            headers: headers.collect(),
            body: body.to_owned(),
        };
        let call = format!("s3 {method} {path}");
        Ok(self.patiently(&call, &request).await?.xml())
    }

    /// Sends a signed GET to an endpoint of Lambda's.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Answer, Refusal> {
        let request = Request {
            service: "lambda",
            region: self.region.clone(),
            method: "GET",
            url: url.to_owned(),
            ..Request::default()
        };
        self.send(&format!("GET {url}"), &request).await
    }

    /// The same account with a role's credentials, for an hour.
    pub(crate) async fn assume(&self, role: &str) -> Result<Self, String> {
        let asked = [("RoleArn", role), ("RoleSessionName", "probe")];
        let got = self.query(STS, "AssumeRole", &asked).await?;
        let text = |name| got.first(name).unwrap_or_default();
        let credentials = Credentials::new(
            text("AccessKeyId"),
            text("SecretAccessKey"),
            got.first("SessionToken"),
            None,
            "assumed",
        );
        let config = self.config.to_builder();
        let config = config.credentials_provider(SharedCredentialsProvider::new(credentials));
        Ok(Self {
            config: config.build(),
            connector: connector(),
            region: self.region.clone(),
        })
    }

    fn base(&self, host: &str) -> String {
        match self.endpoint() {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("https://{host}.{}.amazonaws.com", self.region),
        }
    }

    /// Tries again what was throttled, or failed on the way or in the service.
    async fn patiently(&self, call: &str, request: &Request) -> Result<Answer, Refusal> {
        let mut tried = 1;
        loop {
            let refusal = match self.send(call, request).await {
                Ok(answer) if answer.status < 300 => return Ok(answer),
                Ok(answer) => refusal(call, &answer),
                Err(refusal) => refusal,
            };
            if tried == TRIES || !refusal.may_pass() {
                return Err(refusal);
            }
            tokio::time::sleep(Duration::from_millis(200 << tried)).await;
            tried += 1;
        }
    }

    async fn send(&self, call: &str, request: &Request) -> Result<Answer, Refusal> {
        let lost = |message: String| Refusal {
            call: call.to_owned(),
            status: 0,
            code: "NoAnswer".to_owned(),
            message,
        };
        let signed = self.signed(request).await.map_err(lost)?;
        let answered = async {
            let answer = self.connector.call(signed).await;
            let answer = answer.map_err(|error| chain(&error))?;
            let status = answer.status().as_u16();
            let headers = answer.headers().iter();
            let headers = headers.map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()));
            let headers = headers.collect();
            let body = ByteStream::new(answer.into_body()).collect().await;
            let body = body.map_err(|error| chain(&error))?.into_bytes().to_vec();
            Ok(Answer {
                status,
                headers,
                body,
            })
        };
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(answer) => answer.map_err(lost),
            Err(_) => Err(lost(format!("nothing within {} s", ANSWER.as_secs()))),
        }
    }

    async fn signed(&self, request: &Request) -> Result<HttpRequest, String> {
        let provider = self.config.credentials_provider();
        let provider = provider.ok_or_else(|| no_credentials("none were found"))?;
        let credentials = provider.provide_credentials().await;
        let identity = credentials.map_err(|error| chain(&error))?.into();
        let mut settings = SigningSettings::default();
        if request.service == "s3" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&request.region)
            .name(request.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| chain(&error))?
            .into();
        let headers = request.headers.iter();
        let signable = SignableRequest::new(
            request.method,
            request.url.as_str(),
            headers.map(|(k, v)| (k.as_str(), v.as_str())),
            SignableBody::Bytes(&request.body),
        );
        let signable = signable.map_err(|error| chain(&error))?;
        let (signature, _) = sign(signable, &params)
            .map_err(|error| chain(&error))?
            .into_parts();
        let mut signed = HttpRequest::new(SdkBody::from(request.body.clone()));
        let invalid = |error: aws_smithy_runtime_api::http::HttpError| chain(&error);
        signed.set_method(request.method).map_err(invalid)?;
        signed.set_uri(request.url.as_str()).map_err(invalid)?;
        let to = signed.headers_mut();
        for (name, value) in &request.headers {
            to.insert(name.clone(), value.clone());
        }
        for (name, value) in signature.headers() {
            to.insert(name.to_owned(), value.to_owned());
        }
        Ok(signed)
    }
}

/// What a service refused, in whichever of its formats.
pub(crate) fn refusal(call: &str, answer: &Answer) -> Refusal {
    let json = answer.json();
    let xml = answer.xml();
    let text = |names: [&str; 2]| names.iter().find_map(|name| json[*name].as_str());
    let code = answer.header("x-amzn-errortype").map(str::to_owned);
    let code = code.or_else(|| text(["__type", "Code"]).map(str::to_owned));
    let code = code.or_else(|| xml.first("Code")).unwrap_or_default();
    // Such as `com.amazonaws.sqs#QueueDoesNotExist` and `ResourceNotFoundException:http://…`.
    let code = code.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default().to_owned();
    let message = text(["message", "Message"]).map(str::to_owned);
    let message = message.or_else(|| xml.first("Message")).unwrap_or_default();
    Refusal {
        call: call.to_owned(),
        status: answer.status,
        code,
        message,
    }
}

fn connector() -> Connector {
    let tls = Provider::Rustls(CryptoMode::Ring);
    Connector::builder().tls_provider(tls).build()
}

fn no_credentials(why: &str) -> String {
    let profile = env::var("AWS_PROFILE").map_or_else(
        |_| String::new(),
        |profile| format!(" (AWS_PROFILE={profile})"),
    );
    format!(
        "there are no usable AWS credentials{profile}: {why}; expected them where the AWS CLI finds them: \
         the environment, a profile, or SSO after `aws sso login`"
    )
}

/// An error with all that it was caused by.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Answer {
            status,
            headers: headers.collect(),
            body: body.into(),
        }
    }

    #[test]
    fn reads_refusals_of_all_protocols() {
        let told = |answer| {
            let refusal = refusal("x y", &answer);
            (refusal.code, refusal.message)
        };
        let lambda = answer(
            404,
            &[("x-amzn-errortype", "ResourceNotFoundException:http://x/")],
            r#"{"Type":"User","Message":"Function not found"}"#,
        );
        let json = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}"#;
        let xml = "<ErrorResponse><Error>\n <Code>ValidationError</Code>\n <Message>Stack with id x does not exist</Message></Error></ErrorResponse>";
        assert!(refusal("x y", &lambda).is_missing());
        assert_eq!(
            told(lambda),
            (
                "ResourceNotFoundException".into(),
                "Function not found".into()
            )
        );
        assert_eq!(
            told(answer(400, &[], json)),
            ("QueueDoesNotExist".into(), "gone".into())
        );
        let stack = answer(400, &[], xml);
        assert!(refusal("x y", &stack).is_missing());
        assert_eq!(told(stack).0, "ValidationError");
    }

    #[test]
    fn tries_again_what_may_pass() {
        for (status, code, passes) in [
            (400, "ThrottlingException", true),
            (429, "TooManyRequestsException", true),
            (503, "SlowDown", true),
            (0, "NoAnswer", true),
            (403, "AccessDenied", false),
            (400, "ValidationError", false),
        ] {
            let refusal = Refusal {
                call: "x y".into(),
                status,
                code: code.into(),
                message: String::new(),
            };
            assert_eq!(refusal.may_pass(), passes, "{refusal}");
        }
    }
}
