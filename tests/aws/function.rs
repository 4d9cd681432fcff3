//! Functions that a run makes: the sample, and small ones in other languages.

use std::{
    io::{Cursor, Write},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use crossfade_tests::{Behaviour, stack::architecture};
use serde_json::{Value, json};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    api::{Aws, LOGS, Refusal, refusal},
    ground::Ground,
    run::{Pace, Run},
};

/// How long a version is waited for.
const ACTIVE: Duration = Duration::from_secs(6 * 60);

/// In Python and in Node.js: fails or sleeps as its event says, and says what kind of start it had.
const PYTHON: &str = "import os, time
def handler(event, context):
    if event.get('fail'):
        raise ValueError('asked to fail')
    time.sleep(event.get('sleep', 0))
    return {'start': os.environ.get('AWS_LAMBDA_INITIALIZATION_TYPE', '')}
";
const NODE: &str = "export const handler = async (event) => {
    if (event.fail) throw new Error('asked to fail');
    return {start: process.env.AWS_LAMBDA_INITIALIZATION_TYPE};
};
";

/// What a function is made of.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    runtime: &'static str,
    handler: &'static str,
    zip: Vec<u8>,
}

impl Code {
    /// The sample, which runs on the local AWS too.
    pub(crate) fn sample(behaviour: &Behaviour) -> Self {
        Self {
            runtime: "provided.al2023",
            handler: "bootstrap",
            zip: behaviour.package(),
        }
    }

    pub(crate) fn python(source: &str) -> Self {
        Self {
            runtime: "python3.13",
            handler: "index.handler",
            zip: zip("index.py", source),
        }
    }

    pub(crate) fn plain_python() -> Self {
        Self::python(PYTHON)
    }

    pub(crate) fn plain_node() -> Self {
        Self {
            runtime: "nodejs22.x",
            handler: "index.handler",
            zip: zip("index.mjs", NODE),
        }
    }

    pub(crate) fn zip(&self) -> &[u8] {
        &self.zip
    }
}

/// A zip of one file.
pub(crate) fn zip(name: &str, content: &str) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, options.unix_permissions(0o755))
        .expect("the zip is in memory");
    zip.write_all(content.as_bytes())
        .expect("the zip is in memory");
    zip.finish().expect("the zip is in memory").into_inner()
}

/// A function of this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    aws: &'a Aws,
    pace: &'a Pace,
}

/// What an invocation did.
#[derive(Clone, Debug)]
pub(crate) struct Invoked {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The version that ran; empty when none did.
    pub(crate) version: String,
    /// Why Lambda did not run it, or that the function failed.
    pub(crate) error: Option<String>,
    pub(crate) answer: Value,
    /// The end of its log.
    pub(crate) log: String,
}

/// What an alias says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alias {
    pub(crate) primary: String,
    pub(crate) weights: Vec<(String, f64)>,
}

impl Alias {
    /// The share of a version, 0.0 to 1.0.
    pub(crate) fn share(&self, version: &str) -> f64 {
        let others: f64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let own = self.weights.iter().find(|(seen, _)| seen == version);
        match own {
            Some((_, weight)) => *weight,
            None if self.primary == version => 1.0 - others,
            None => 0.0,
        }
    }
}

impl<'a> Function<'a> {
    /// One that is there.
    pub(crate) fn existing(aws: &'a Aws, pace: &'a Pace, name: &'a str) -> Self {
        Self { name, aws, pace }
    }

    /// Makes one and its log group, and waits until it is active.
    pub(crate) async fn make(
        aws: &'a Aws,
        run: &Run,
        pace: &'a Pace,
        ground: &Ground,
        name: &'a str,
        code: &Code,
        more: Value,
    ) -> Result<Self, Refusal> {
        let function = Self::existing(aws, pace, name);
        let tags: Value = run.tags().into_iter().collect();
        let group = function.log_group();
        let made = json!({"logGroupName": group, "tags": tags});
        aws.json(LOGS, "CreateLogGroup", made).await?;
        let kept = json!({"logGroupName": group, "retentionInDays": 1});
        aws.json(LOGS, "PutRetentionPolicy", kept).await?;
        let mut asked = json!({
            "FunctionName": name,
            "Runtime": code.runtime,
            "Handler": code.handler,
            "Role": ground.role,
            "Architectures": [architecture()],
            "MemorySize": 128,
            "Timeout": 30,
            "Code": {"ZipFile": BASE64_STANDARD.encode(&code.zip)},
            "Tags": tags,
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            asked[field] = value.clone();
        }
        let deadline = Instant::now() + ACTIVE;
        loop {
            let made = aws.lambda("POST", "/2015-03-31/functions", Some(&asked));
            match made.await {
                Ok(_) => break,
                // A role takes some seconds until Lambda can assume it.
                Err(refusal)
                    if refusal.message.contains("cannot be assumed")
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        function.settled(None).await?;
        Ok(function)
    }

    pub(crate) fn log_group(&self) -> String {
        format!("/aws/lambda/{}", self.name)
    }

    fn path(&self, more: &str) -> String {
        format!("/2015-03-31/functions/{}{more}", self.name)
    }

    /// Waits until `$LATEST`, or a version, is active and updated. Returns how long that took.
    pub(crate) async fn settled(&self, version: Option<&str>) -> Result<Duration, Refusal> {
        let began = Instant::now();
        loop {
            let seen = self.configuration(version).await?;
            let updating = seen["LastUpdateStatus"] == "InProgress";
            let state = seen["State"].as_str().unwrap_or("Active");
            if state == "Active" && !updating {
                return Ok(began.elapsed());
            }
            if state == "Failed" || began.elapsed() > ACTIVE {
                return Err(Refusal {
                    call: format!("waiting for {} to be active", self.name),
                    status: 0,
                    code: state.to_owned(),
                    message: seen["StateReason"]
                        .as_str()
                        .unwrap_or("no reason")
                        .to_owned(),
                });
            }
            tokio::time::sleep(self.pace.look * 2).await;
        }
    }

    /// What Lambda says of `$LATEST` or of a version.
    pub(crate) async fn configuration(&self, version: Option<&str>) -> Result<Value, Refusal> {
        let of = version.map_or_else(String::new, |version| format!("?Qualifier={version}"));
        let path = self.path(&format!("/configuration{of}"));
        self.aws.lambda("GET", &path, None).await
    }

    /// Replaces `$LATEST`'s code, and waits.
    pub(crate) async fn update(&self, code: &Code) -> Result<(), Refusal> {
        let asked = json!({"ZipFile": BASE64_STANDARD.encode(&code.zip)});
        let path = self.path("/code");
        self.aws.lambda("PUT", &path, Some(&asked)).await?;
        self.settled(None).await?;
        Ok(())
    }

    /// Publishes `$LATEST`. Returns what Lambda says of the version.
    pub(crate) async fn publish(&self) -> Result<Value, Refusal> {
        let asked = json!({});
        self.aws
            .lambda("POST", &self.path("/versions"), Some(&asked))
            .await
    }

    /// Publishes two versions that differ, and returns their numbers.
    pub(crate) async fn two_versions(&self) -> Result<[String; 2], Refusal> {
        let first = text(&self.publish().await?, "Version");
        let changed = json!({"Description": "the second version"});
        let path = self.path("/configuration");
        self.aws.lambda("PUT", &path, Some(&changed)).await?;
        self.settled(None).await?;
        let second = text(&self.publish().await?, "Version");
        for version in [&first, &second] {
            self.settled(Some(version)).await?;
        }
        Ok([first, second])
    }

    /// Makes an alias.
    pub(crate) async fn alias(&self, alias: &str, version: &str) -> Result<(), Refusal> {
        let asked = json!({"Name": alias, "FunctionVersion": version});
        let path = self.path("/aliases");
        self.aws.lambda("POST", &path, Some(&asked)).await?;
        Ok(())
    }

    /// Moves an alias, and gives another version a weight.
    pub(crate) async fn point(
        &self,
        alias: &str,
        version: &str,
        weight: Option<(&str, f64)>,
    ) -> Result<(), Refusal> {
        let weights: Value = weight
            .map(|(version, weight)| (version.to_owned(), json!(weight)))
            .into_iter()
            .collect();
        let weights = if weights.is_null() {
            json!({})
        } else {
            weights
        };
        let asked = json!({
            "FunctionVersion": version,
            "RoutingConfig": {"AdditionalVersionWeights": weights},
        });
        let path = self.path(&format!("/aliases/{alias}"));
        self.aws.lambda("PUT", &path, Some(&asked)).await?;
        Ok(())
    }

    /// What an alias says.
    pub(crate) async fn look(&self, alias: &str) -> Result<Alias, Refusal> {
        let path = self.path(&format!("/aliases/{alias}"));
        let seen = self.aws.lambda("GET", &path, None).await?;
        let weights = seen["RoutingConfig"]["AdditionalVersionWeights"].as_object();
        let weights = weights.into_iter().flatten();
        Ok(Alias {
            primary: text(&seen, "FunctionVersion"),
            weights: weights
                .filter_map(|(version, weight)| Some((version.clone(), weight.as_f64()?)))
                .collect(),
        })
    }

    /// Invokes an alias or a version, once. An answer of Lambda's that is no success is told, not an error.
    pub(crate) async fn invoke(&self, of: &str, event: &Value) -> Result<Invoked, Refusal> {
        self.invoke_as("RequestResponse", of, event).await
    }

    /// The same, and Lambda does not wait for the end.
    pub(crate) async fn invoke_later(&self, of: &str, event: &Value) -> Result<Invoked, Refusal> {
        self.invoke_as("Event", of, event).await
    }

    async fn invoke_as(&self, kind: &str, of: &str, event: &Value) -> Result<Invoked, Refusal> {
        let path = self.path(&format!("/invocations?Qualifier={of}"));
        let headers = [("x-amz-invocation-type", kind), ("x-amz-log-type", "Tail")];
        let sent = self.aws.lambda_once("POST", &path, &headers, Some(event));
        let answer = sent.await?;
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        let log = BASE64_STANDARD.decode(header("x-amz-log-result"));
        let error = if answer.status < 300 {
            answer.header("x-amz-function-error").map(str::to_owned)
        } else {
            let refused = refusal("Invoke", &answer);
            Some(format!("{}: {}", refused.code, refused.message))
        };
        Ok(Invoked {
            status: answer.status,
            version: header("x-amz-executed-version"),
            error,
            answer: answer.json(),
            log: String::from_utf8_lossy(&log.unwrap_or_default()).into_owned(),
        })
    }

    /// Calls another path of the function's.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        version: &'static str,
        more: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let path = format!("/{version}/functions/{}{more}", self.name);
        self.aws.lambda(method, &path, body).await
    }
}

/// A field that is text; empty when it is none.
pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
