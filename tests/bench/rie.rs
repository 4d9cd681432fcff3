//! One function in AWS's own Runtime Interface Emulator, which comes with the SAM CLI.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use crossfade_tests::{http, paths};
use serde_json::Value;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that serves a function's events.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// What it is called in the table.
    pub(crate) name: String,
    command: Vec<PathBuf>,
    variables: Vec<(String, String)>,
}

impl Program {
    /// A bootstrap, as it is deployed, or built in the same way.
    pub(crate) fn bootstrap(name: &str) -> Self {
        let folder = paths::target().join("bench");
        // It is deployed by its former name, which stacks keep.
        let binary = if name == "front-door" {
            "wire-stage"
        } else {
            name
        };
        let file = folder.join(binary).join("bootstrap");
        assert!(file.exists(), "{} is not built", file.display());
        Self {
            name: name.to_owned(),
            command: vec![file],
            variables: Vec::new(),
        }
    }

    /// The handler in Python, with AWS's own runtime client, as Lambda's Python runtime starts it.
    pub(crate) fn python(handler: &str) -> Self {
        let folder = paths::repository().join("tests/bench/python");
        Self {
            name: "python".to_owned(),
            command: vec![
                paths::tool("python"),
                "-m".into(),
                "awslambdaric".into(),
                handler.into(),
            ],
            variables: vec![("PYTHONPATH".to_owned(), folder.display().to_string())],
        }
    }

    /// The same under another name, with more environment variables.
    pub(crate) fn with<'a>(
        &self,
        name: &str,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut with = self.clone();
        name.clone_into(&mut with.name);
        let variables = variables.into_iter();
        with.variables
            .extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        with
    }
}

/// What an answer took.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The answer.
    pub(crate) value: Value,
    /// When it was asked for.
    pub(crate) asked_at: SystemTime,
    /// From the event to the answer.
    pub(crate) took: Duration,
}

/// The emulator with its function, whose process it starts at the first event. Both end with this.
#[derive(Debug)]
pub(crate) struct Emulator {
    name: String,
    child: Child,
    address: String,
    log: PathBuf,
    function: Option<u32>,
}

impl Emulator {
    /// Starts the emulator and waits until it listens.
    pub(crate) async fn start(program: &Program) -> Self {
        let rie = rie();
        let (address, runtime_api) = (free_address(), free_address());
        let log = paths::target().join(format!("bench/logs/{}.log", program.name));
        fs::create_dir_all(log.parent().expect("it is in a folder")).expect("it can be made");
        let said = File::create(&log).expect("a log can be written");
        let errors = said.try_clone().expect("a file can be shared");
        let child = Command::new(&rie)
            .args(["--runtime-interface-emulator-address", &address])
            .args(["--runtime-api-address", &runtime_api])
            .args(&program.command)
            .env_clear()
            .envs([
                ("PATH", "/usr/local/bin:/usr/bin:/bin"),
                ("LANG", "en_US.UTF-8"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_SESSION_TOKEN", "test"),
                ("AWS_LAMBDA_FUNCTION_NAME", &program.name),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ])
            .envs(program.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", rie.display()));
        let begun = Instant::now();
        // Both: a function that is quicker than the emulator would find nobody.
        while [&address, &runtime_api]
            .into_iter()
            .any(|one| TcpStream::connect(one).is_err())
        {
            assert!(
                begun.elapsed() < PATIENCE,
                "{} never listens",
                rie.display()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Self {
            name: program.name.clone(),
            child,
            address,
            log,
            function: None,
        }
    }

    /// Sends an event, and waits for the answer.
    ///
    /// # Panics
    /// When the function fails: its log is in the message.
    pub(crate) async fn ask(&mut self, event: &Value) -> Answer {
        let event = event.to_string();
        let (asked_at, begun) = (SystemTime::now(), Instant::now());
        let path = "/2015-03-31/functions/function/invocations";
        let sent = http::send(&self.address, "POST", path, &[], event.as_bytes());
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        let took = begun.elapsed();
        let value = sent.ok().and_then(Result::ok).map(|sent| sent.json());
        let failed = value.as_ref().is_none_or(|value| {
            value.get("errorType").is_some() && value.get("errorMessage").is_some()
        });
        assert!(
            !failed,
            "{} failed: {value:?}\n{}",
            self.name,
            fs::read_to_string(&self.log).unwrap_or_default()
        );
        self.function = child_of(self.child.id());
        Answer {
            value: value.expect("it did not fail"),
            asked_at,
            took,
        }
    }

    /// The most memory that the function's process had so far, KiB, by the kernel's count.
    pub(crate) fn peak_kib(&self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.expect("the kernel tells a process's peak")
    }

    /// What its threads had of a CPU so far, milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        let pid = self.function.expect("it has been asked");
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it has threads");
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|told| told.split(' ').next()?.parse::<f64>().ok())
            .sum::<f64>()
            / 1e6
    }

    fn read(&self, file: &str) -> String {
        let pid = self.function.expect("it has been asked");
        fs::read_to_string(format!("/proc/{pid}/{file}")).expect("its process is there")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The function's process is not ours to wait for: it is the emulator's.
        for pid in self.function.into_iter().chain([self.child.id()]) {
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
        let _ = self.child.wait();
    }
}

/// The emulator's program.
fn rie() -> PathBuf {
    let lib = paths::tool("python");
    let lib = lib.parent().and_then(Path::parent).expect("it is in bin");
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    };
    let found = fs::read_dir(lib.join("lib")).expect("a Python environment has packages");
    found
        .flatten()
        .map(|python| {
            python.path().join(format!(
                "site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
            ))
        })
        .find(|rie| rie.exists())
        .expect("the SAM CLI brings the emulator")
}

/// The process that another one has started.
fn child_of(pid: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|candidate| {
            let stat = fs::read_to_string(format!("/proc/{candidate}/stat")).unwrap_or_default();
            // After the name, which may have anything in it: the state, and then the parent.
            let after = stat.rsplit(") ").next().unwrap_or_default();
            after
                .split(' ')
                .nth(1)
                .and_then(|parent| parent.parse().ok())
                == Some(pid)
        })
}

fn free_address() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it has one").to_string()
}
