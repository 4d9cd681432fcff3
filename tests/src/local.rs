//! The local AWS as a child process.

use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_lambda::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use serde_json::{Value, json};

use crate::{http, paths};

/// How the local AWS is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port, or any that is free.
    pub port: Option<u16>,
    /// How long waits are: 0.01 makes of 100 seconds one.
    pub wait_scale: f64,
    /// Whether moto's Step Functions run beside it.
    pub moto: bool,
    /// How many idle processes of functions are kept; the local AWS's own number when absent.
    pub idle_processes: Option<u32>,
    /// Whether a release's metrics count as settled at once, where its request does not say when they do: bakes are
    /// scaled, and minutes are not.
    pub settles_at_once: bool,
    /// Where state and logs go; a new folder in Cargo's target folder when absent.
    pub dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: None,
            wait_scale: 0.01,
            moto: false,
            idle_processes: None,
            settles_at_once: false,
            dir: None,
        }
    }
}

impl Options {
    /// Checks that nothing listens on the port that was chosen.
    ///
    /// # Errors
    /// With what to do about it.
    pub fn require_free_port(&self) -> Result<(), String> {
        let Some(port) = self.port else {
            return Ok(());
        };
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "port {port} cannot be used ({error}); choose another, such as make local PORT={}",
                port.wrapping_add(1)
            )),
        }
    }
}

/// A local AWS, which ends with this value, and with this process however that ends.
#[derive(Debug)]
pub struct LocalAws {
    child: Child,
    port: u16,
    moto_port: Option<u16>,
    dir: PathBuf,
    /// Whether the folder is ours to remove.
    temporary: bool,
    /// How many of its zones are taken.
    zones: AtomicUsize,
}

impl LocalAws {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready: its log is in the message.
    #[must_use]
    pub fn start(options: Options) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let port = options.port.unwrap_or_else(free_port);
        let moto_port = options.moto.then(free_port);
        let temporary = options.dir.is_none();
        let dir = options.dir.unwrap_or_else(|| {
            let nth = STARTED.fetch_add(1, Ordering::Relaxed);
            paths::target().join(format!("local/{}-{nth}", std::process::id()))
        });
        fs::create_dir_all(&dir).expect("the local AWS's folder can be made");
        let said = File::create(dir.join("start.log")).expect("a log can be written");

        let mut command = Command::new(paths::tool("python"));
        command
            .arg(paths::repository().join("tests/local/aws.py"))
            .arg("serve")
            .args(["--port", &port.to_string()])
            .args(["--wait-scale", &options.wait_scale.to_string()])
            .arg("--dir")
            .arg(&dir)
            .arg("--die-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said);
        if let Some(count) = options.idle_processes {
            command.env("CROSSFADE_LOCAL_IDLE", count.to_string());
        }
        if options.settles_at_once {
            command.env("CROSSFADE_LOCAL_SETTLES", "at once");
        }
        if let Some(moto_port) = moto_port {
            command.args(["--moto-port", &moto_port.to_string()]);
        }
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `make` sets it up, or CROSSFADE_VENV names another environment",
                paths::tool("python").display()
            )
        });
        let mut told = BufReader::new(child.stdout.take().expect("it is piped"));
        let local = Self {
            child,
            port,
            moto_port,
            dir,
            temporary,
            zones: AtomicUsize::default(),
        };
        let mut line = String::new();
        // Ends at the latest when the process does.
        told.read_line(&mut line).expect("its output can be read");
        assert!(
            line.starts_with("ready "),
            "the local AWS did not start: {line}\n{}",
            local.log()
        );
        local
    }

    /// Such as `http://127.0.0.1:4566`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// moto's Step Functions, when they were asked for.
    #[must_use]
    pub fn moto_endpoint(&self) -> Option<String> {
        self.moto_port
            .map(|port| format!("http://127.0.0.1:{port}"))
    }

    /// State and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        ["start.log", "aws.log", "moto.log"]
            .iter()
            .filter_map(|name| fs::read_to_string(self.dir.join(name)).ok())
            .collect()
    }

    /// What SDK clients need. They share one connection pool: make one for each runtime.
    #[must_use]
    pub fn config(&self) -> SdkConfig {
        self.config_at(&self.endpoint())
    }

    /// The same, for moto.
    #[must_use]
    pub fn moto_config(&self) -> Option<SdkConfig> {
        self.moto_endpoint().map(|moto| self.config_at(&moto))
    }

    #[allow(clippy::unused_self)] // What is configured is this local AWS.
    fn config_at(&self, endpoint: &str) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "tests");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(Builder::new().build_http())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(Duration::from_secs(60))
                    .build(),
            )
            .build()
    }

    /// The number of a zone that nobody has taken yet.
    pub(crate) fn next_zone(&self) -> usize {
        self.zones.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The control of what no AWS API tells or does; see `tests/local/README.md`.
    #[must_use]
    pub fn control(&self) -> Control {
        Control {
            address: self.address(),
        }
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // Its standard input closes, which tells it and its children to end.
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                _ => break,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.temporary {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Returns a port that is free, and that no kernel hands out by itself before it is taken: Linux gives connections and
/// listeners without a port of their own those from 32,768 on.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    let any = RandomState::new().hash_one(()) % u64::from(COUNT);
    let any = u16::try_from(any).expect("it is below the count");
    (0..COUNT)
        .map(|nth| FIRST + (any + nth) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}

/// The control API under `/_local/`.
#[derive(Clone, Debug)]
pub struct Control {
    address: String,
}

impl Control {
    /// Asks for something.
    pub async fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).await
    }

    /// Has something done.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.send("POST", path, Some(body)).await
    }

    /// Takes something back.
    pub async fn delete(&self, path: &str) -> Value {
        self.send("DELETE", path, None).await
    }

    /// Puts an object in a bucket, both made when they are not there.
    pub async fn put_object(&self, bucket: &str, key: &str, content: &[u8]) {
        let puts = [
            (format!("/{bucket}"), &[][..]),
            (format!("/{bucket}/{key}"), content),
        ];
        self.put(&puts).await;
    }

    /// Has a bucket, which is made when it is not there, encrypt its objects with a KMS key.
    pub async fn encrypt(&self, bucket: &str, key: &str) {
        let rule = format!(
            "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>\
             <ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>\
             <KMSMasterKeyID>{key}</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>\
             </ServerSideEncryptionConfiguration>"
        );
        let puts = [
            (format!("/{bucket}"), &[][..]),
            (format!("/{bucket}?encryption"), rule.as_bytes()),
        ];
        self.put(&puts).await;
    }

    async fn put(&self, puts: &[(String, &[u8])]) {
        let signed = [(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
        )];
        for (path, content) in puts {
            let answer = http::send(&self.address, "PUT", path, &signed, content)
                .await
                .expect("the local AWS answers");
            assert!(
                matches!(answer.status, 200 | 409),
                "PUT {path}: {}",
                String::from_utf8_lossy(&answer.body)
            );
        }
    }

    /// Puts an object in a bucket that keeps versions from then on. Returns the object's version.
    pub async fn put_version(&self, bucket: &str, key: &str, content: &[u8]) -> String {
        let signed = [(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
        )];
        let kept = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let path = format!("/{bucket}?versioning");
        let answer = http::send(&self.address, "PUT", &path, &signed, kept).await;
        assert_eq!(answer.map(|answer| answer.status).ok(), Some(200));
        let path = format!("/{bucket}/{key}");
        let answer = http::send(&self.address, "PUT", &path, &signed, content)
            .await
            .expect("the local AWS answers");
        let version = answer
            .headers
            .into_iter()
            .find(|(name, _)| name == "x-amz-version-id");
        version.expect("the object has a version").1
    }

    /// A call of CloudFormation's query API; its XML.
    pub(crate) async fn cloudformation(&self, action: &str, stack: &str) -> String {
        let signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cloudformation/aws4_request, SignedHeaders=host, Signature=0";
        let answer = http::send(
            &self.address,
            "POST",
            "/",
            &[
                ("authorization", signed),
                ("content-type", "application/x-www-form-urlencoded"),
            ],
            format!("Action={action}&Version=2010-05-15&StackName={stack}").as_bytes(),
        )
        .await
        .expect("the local AWS answers");
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    /// An EventBridge event, as AWS itself would send it.
    pub async fn put_event(&self, source: &str, detail_type: &str, detail: &Value) {
        let event = json!({"source": source, "detail-type": detail_type, "detail": detail});
        self.post("events", &event).await;
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body
            .map(std::string::ToString::to_string)
            .unwrap_or_default();
        let answer = http::send(
            &self.address,
            method,
            &format!("/_local/{path}"),
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
        .await
        .expect("the local AWS answers");
        let said = answer.json();
        assert_eq!(answer.status, 200, "{method} {path}: {said}");
        said
    }
}
