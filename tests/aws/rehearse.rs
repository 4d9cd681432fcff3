//! `aws rehearse`: the program against a local AWS, from beginning to end, then killed at three places,
//! interrupted and refused, and what is left each time, by listing.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use crossfade_tests::{LocalAws, local::Options, paths};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::spawn_blocking,
};

use crate::{
    api::Aws,
    list::{Kind, Left, left},
    probes::GROUPS,
};

/// The longest that anything here takes.
const PATIENCE: Duration = Duration::from_secs(180);

const RELEASES: (&str, &str) = ("PARTS", "releases");
const PROBES: (&str, &str) = ("PARTS", "probes");
const YES: (&str, &str) = ("YES", "1");
const CLEAN: (&str, &str) = ("CLEAN", "1");

struct Rehearsal {
    local: LocalAws,
    aws: Aws,
    folder: PathBuf,
    passed: u32,
}

/// The program, and what it prints.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    printed: String,
}

impl Program {
    /// Reads on until a line has this in it, or to the end. Returns whether one has.
    async fn until(&mut self, what: &str) -> Result<bool, String> {
        let read = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                self.printed.extend(["    | ", &line, "\n"]);
                if line.contains(what) {
                    return true;
                }
            }
            false
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.map_err(|_| format!("not within {PATIENCE:?}: {what:?}\n{}", self.printed))
    }

    /// Reads to the end, and expects an exit code and a line. Returns all that was printed.
    async fn ends(mut self, code: i32, what: &str) -> Result<String, String> {
        let printed = self.until(what).await?;
        self.until("\0").await?;
        let ended = self.child.wait().await.map_err(|error| error.to_string())?;
        if ended.code() == Some(code) && printed {
            return Ok(self.printed);
        }
        Err(format!(
            "the program ended with {ended}; expected the exit code {code}, and the words {what:?}:\n{}",
            self.printed
        ))
    }
}

/// Plays all of it.
pub(crate) async fn run() -> Result<(), String> {
    let began = Instant::now();
    let options = Options {
        wait_scale: 0.02,
        ..Options::default()
    };
    let local = spawn_blocking(|| LocalAws::start(options)).await;
    let local = local.map_err(|error| error.to_string())?;
    let folder = paths::target().join("rehearsal");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut rehearsal = Rehearsal {
        aws: Aws::local(&local.config()),
        local,
        folder,
        passed: 0,
    };
    rehearsal.whole().await?;
    rehearsal.refused().await?;
    rehearsal.killed_while_it_deploys().await?;
    rehearsal.killed_in_a_release().await?;
    rehearsal.killed_while_it_probes().await?;
    rehearsal.interrupted().await?;
    rehearsal.fails_to_deploy().await?;
    println!(
        "aws: {} rehearsals passed in {:.0} s: nothing was left, by listing",
        rehearsal.passed,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

impl Rehearsal {
    fn start(&self, variables: &[(&str, &str)]) -> Result<Program, String> {
        self.start_in(&self.folder, variables)
    }

    /// Starts the program with nothing of this environment but what it needs. An empty variable is not set.
    fn start_in(&self, folder: &Path, variables: &[(&str, &str)]) -> Result<Program, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(this);
        command.env_clear();
        for name in [
            "PATH",
            "HOME",
            "TMPDIR",
            "CARGO_TARGET_DIR",
            "CROSSFADE_VENV",
            "CROSSFADE_SAM",
        ] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let endpoint = self.local.endpoint();
        let usual = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ];
        for (name, value) in usual.iter().chain(variables) {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        let started = command
            .env("CROSSFADE_AWS_DIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|error| error.to_string())?;
        let stdout = child.stdout.take().ok_or("its output is not piped")?;
        Ok(Program {
            child,
            lines: BufReader::new(stdout).lines(),
            printed: String::new(),
        })
    }

    async fn left(&self) -> Result<Left, String> {
        Ok(left(&self.aws, None).await?)
    }

    async fn expect_nothing(&self) -> Result<(), String> {
        let left = self.left().await?;
        if !left.is_empty() {
            return Err(format!("this is left:\n{left}"));
        }
        let manifests = std::fs::read_dir(self.folder.join("aws"));
        match manifests.into_iter().flatten().count() {
            0 => Ok(()),
            count => Err(format!("{count} manifests are left, and nothing else")),
        }
    }

    /// Expects something of each of these kinds: else its removal would show nothing.
    async fn expect_left(&self, kinds: &[Kind]) -> Result<Left, String> {
        let left = self.left().await?;
        let missing: Vec<_> = kinds
            .iter()
            .filter(|kind| left.of(**kind).is_empty())
            .collect();
        if missing.is_empty() {
            Ok(left)
        } else {
            Err(format!(
                "none of {missing:?} is there to be removed:\n{left}"
            ))
        }
    }

    async fn fault(&self, service: &str, action: &str, skip: u32) {
        let kind = "access-denied";
        let fault = json!({
            "kind": kind, "service": service, "action": action, "times": Value::Null, "skip": skip
        });
        self.local.control().post("faults", &fault).await;
    }

    async fn mend(&self) {
        self.local.control().delete("faults").await;
    }

    fn passes(&mut self, what: &str) {
        println!("  ok: {what}");
        self.passed += 1;
    }

    /// The row of the page that begins so.
    fn row(&self, begin: &str) -> Result<String, String> {
        let page = self.folder.join("aws.md");
        let page = std::fs::read_to_string(&page).map_err(|error| error.to_string())?;
        let row = page.lines().find(|line| line.starts_with(begin));
        row.map(str::to_owned)
            .ok_or_else(|| format!("the page has no line that begins with {begin:?}:\n{page}"))
    }

    /// From beginning to end.
    async fn whole(&mut self) -> Result<(), String> {
        let program = self.start(&[YES])?;
        let printed = program
            .ends(0, "Nothing is left of it, by listing.")
            .await?;
        print!("{printed}");
        self.expect_nothing().await?;
        for begin in [
            "| a good release | SUCCEEDED SUCCESSFUL",
            "| a rollback within retention | SUCCEEDED ROLLED_BACK",
            "| a bad release | FAILED ROLLED_BACK",
            "| seconds from blue until no request reached green | ",
        ] {
            self.row(begin)?;
        }
        for question in GROUPS.iter().flat_map(|group| group.questions) {
            let row = self.row(&format!("| {} |", question.asks))?;
            if row.contains("failed: ") || row.contains("the run ended before") {
                return Err(format!("not answered: {row}"));
            }
        }
        self.passes("from beginning to end");
        Ok(())
    }

    /// What cannot begin says why, and makes nothing.
    async fn refused(&mut self) -> Result<(), String> {
        let none = [
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            YES,
        ];
        self.refuses(
            "without credentials",
            &none,
            "there are no usable AWS credentials",
        )
        .await?;
        let nowhere = [("AWS_REGION", ""), YES];
        self.refuses("without a Region", &nowhere, "no Region is named anywhere")
            .await?;
        self.refuses("without a terminal to ask on", &[], "set YES=1")
            .await?;
        self.fault("iam", "ListRoles", 0).await;
        self.refuses("without permissions", &[YES], "lacks a permission")
            .await?;
        let control = self.local.control();
        control
            .post("limits", &json!({"concurrentExecutions": 5}))
            .await;
        let words = "5 executions at a time that no function has reserved";
        self.refuses("in an account that is too small", &[YES], words)
            .await?;
        control
            .post("limits", &json!({"concurrentExecutions": 10}))
            .await;
        let program = self.start(&[])?;
        program
            .ends(1, "The account has 10 executions at a time")
            .await?;
        control
            .post("limits", &json!({"concurrentExecutions": null}))
            .await;
        self.passes("a small account is told what it goes without");
        Ok(())
    }

    async fn refuses(
        &mut self,
        what: &str,
        variables: &[(&str, &str)],
        words: &str,
    ) -> Result<(), String> {
        let program = self.start(variables)?;
        let done = program.child.wait_with_output().await;
        let done = done.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&done.stderr);
        if done.status.code() != Some(1) || !said.contains(words) {
            let ended = done.status;
            return Err(format!(
                "{what}: it ended with {ended}, and said {said:?}; expected {words:?}"
            ));
        }
        self.mend().await;
        self.expect_nothing().await?;
        self.passes(&format!("refused {what}"));
        Ok(())
    }

    /// Starts it, and kills it a while after it printed this.
    async fn kill(&self, part: (&str, &str), line: &str) -> Result<(), String> {
        let mut program = self.start(&[YES, part])?;
        if !program.until(line).await? {
            return Err(format!(
                "it ended before it printed {line:?}:\n{}",
                program.printed
            ));
        }
        // Into the middle of what it says that it does.
        tokio::time::sleep(Duration::from_secs(1)).await;
        program
            .child
            .kill()
            .await
            .map_err(|error| error.to_string())
    }

    async fn killed_while_it_deploys(&mut self) -> Result<(), String> {
        self.kill(RELEASES, "Deploying Crossfade.").await?;
        self.expect_left(&[
            Kind::Stack,
            Kind::Bucket,
            Kind::Role,
            Kind::Queue,
            Kind::Rule,
        ])
        .await?;
        self.start(&[CLEAN])?.ends(0, "Nothing is left of").await?;
        self.expect_nothing().await?;
        self.passes("killed while it deploys; CLEAN=1 removes what is left");
        Ok(())
    }

    async fn killed_in_a_release(&mut self) -> Result<(), String> {
        self.kill(RELEASES, "10 % elsewhere").await?;
        let kinds = [
            Kind::Stack,
            Kind::Function,
            Kind::StateMachine,
            Kind::Table,
            Kind::Alarm,
            Kind::LogGroup,
            Kind::Topic,
            Kind::Queue,
            Kind::Rule,
            Kind::Dashboard,
            Kind::Bucket,
            Kind::Role,
        ];
        let left = self.expect_left(&kinds).await?;
        println!("  killed in the middle of a release, of which is left:\n{left}");
        self.start(&[CLEAN])?.ends(0, "Nothing is left of").await?;
        self.expect_nothing().await?;
        self.passes("killed in the middle of a release; CLEAN=1 removes what is left");
        Ok(())
    }

    async fn killed_while_it_probes(&mut self) -> Result<(), String> {
        self.kill(PROBES, "Probing.").await?;
        let left = self
            .expect_left(&[Kind::Function, Kind::LogGroup, Kind::Alarm])
            .await?;
        // Another machine has no manifest of it: for all that it knows the run goes on.
        let elsewhere = self.folder.join("elsewhere");
        let program = self.start_in(&elsewhere, &[CLEAN])?;
        program
            .ends(0, "may be going on elsewhere; it is left alone")
            .await?;
        let still = self.left().await?;
        if still != left {
            return Err(format!(
                "another machine changed what was left:\n{left}\nto\n{still}"
            ));
        }
        self.passes("a run that may be going on elsewhere is left alone");
        // The next run removes it, and has a probe that fails.
        self.fault("logs", "FilterLogEvents", 0).await;
        let program = self.start(&[YES, PROBES])?;
        program
            .ends(0, "Nothing is left of it, by listing.")
            .await?;
        self.mend().await;
        self.expect_nothing().await?;
        let row = self.row("| How long after an invocation's end can its log line")?;
        if !row.contains("failed: logs FilterLogEvents: 400 AccessDenied") {
            return Err(format!("what the probe failed with is not told: {row}"));
        }
        self.passes("killed while it probes; the next run removes what is left, and goes on past a failed probe");
        Ok(())
    }

    /// Sends SIGTERM: it removes everything itself, and says that it did not end well.
    async fn interrupted(&mut self) -> Result<(), String> {
        let mut program = self.start(&[YES, PROBES])?;
        if !program.until("Probing.").await? {
            return Err(format!("it ended before it probed:\n{}", program.printed));
        }
        let id = program.child.id().ok_or("it has ended by itself")?;
        let sent = Command::new("kill").arg(id.to_string()).status().await;
        sent.map_err(|error| error.to_string())?;
        program
            .ends(1, "Nothing is left of it, by listing.")
            .await?;
        self.expect_nothing().await?;
        self.passes("interrupted; it removes everything itself");
        Ok(())
    }

    /// The second stack is refused.
    async fn fails_to_deploy(&mut self) -> Result<(), String> {
        self.fault("cloudformation", "CreateStack", 1).await;
        let program = self.start(&[YES, RELEASES])?;
        let printed = program.ends(1, "Nothing is left of it, by listing.").await;
        self.mend().await;
        let printed = printed?;
        if !printed.contains("The run ends early: cloudformation CreateStack: ") {
            return Err(format!("it does not say why it ends:\n{printed}"));
        }
        self.expect_nothing().await?;
        self.passes("a failure in the middle; it removes everything itself");
        Ok(())
    }
}
