//! The guide's first release, followed to the letter: its table answers `sam deploy --guided`, and its
//! commands, which are README's too, are run as they are written.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use crossfade_tests::{
    Behaviour, LocalAws, Target, Traffic, local::Options, paths, release::until, stack,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use crate::case::{Case, Test, merge, test};

pub(crate) fn tests() -> Vec<Test> {
    vec![test("readme_leads_to_a_first_release", first_release)]
}

/// Returns the part of the guide that is followed.
fn section() -> String {
    let guide = paths::repository().join("docs/getting-started.md");
    let guide = fs::read_to_string(guide).expect("it is there");
    let (_, after) = guide
        .split_once("\n## The first release on AWS\n")
        .expect("the guide has this heading");
    after.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The commands of each step.
fn commands(section: &str) -> Vec<&str> {
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default())
        .collect()
}

/// What `sam deploy --guided` asks, with the text that answers it.
fn answers(section: &str) -> Vec<(String, String)> {
    let table = section
        .split("| It asks | Answer | |\n|---|---|---|\n")
        .nth(1);
    let rows = table.expect("the guide has the table of questions").lines();
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<_> = row.split(" | ").collect();
            let question = cells[0].trim_start_matches("| ").to_owned();
            let answer = match cells[1].trim_matches('`') {
                "Enter" => String::new(),
                // As in step 1: what the functions were built for.
                "arm64" => stack::architecture().to_owned(),
                text => text.to_owned(),
            };
            (question, answer)
        })
        .collect()
}

/// What a terminal shows, without colours.
fn plain(drawn: &str) -> String {
    let mut parts = drawn.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        plain + part.get(end + 1..).unwrap_or_default()
    })
}

/// The question that a terminal waits with, without what it offers in brackets.
fn question(drawn: &str) -> Option<String> {
    let line = drawn.rsplit(['\n', '\r']).next()?.trim_start();
    let (question, offered) = line.strip_suffix("]: ")?.rsplit_once(" [")?;
    (!offered.contains(']')).then(|| question.trim().to_owned())
}

/// A checkout in which `sam build` has been run, and which is this test's own to write to.
fn checkout(local: &LocalAws) -> PathBuf {
    let here = local.dir().join("checkout");
    fs::create_dir_all(here.join("events")).expect("a folder can be made");
    for file in ["template.yaml", "samconfig.toml"] {
        fs::copy(paths::repository().join(file), here.join(file)).expect("it can be copied");
    }
    let built = paths::built_template();
    let built = built.ancestors().nth(2).expect("it is in .aws-sam/build");
    symlink(built, here.join(".aws-sam")).expect("a link can be made");
    let machines = paths::repository().join("statemachine");
    symlink(machines, here.join("statemachine")).expect("a link can be made");
    here
}

/// Where the AWS CLI is not installed, what stands in for it: a folder for PATH.
fn stand_in(here: &Path) -> PathBuf {
    let folder = here.join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|one| one.join("aws").exists()) {
        let python = paths::tool("python");
        let program = paths::repository().join("tests/local/aws_cli.py");
        let script = format!(
            "#!/bin/sh\nexec {} {} \"$@\"\n",
            python.display(),
            program.display()
        );
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("aws"), script).expect("a file can be written");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.join("aws"), executable).expect("it can be made a program");
    }
    folder
}

fn surroundings(local: &LocalAws, here: &Path) -> Vec<(&'static str, String)> {
    let sam = paths::sam();
    let tools = sam.parent().expect("it is in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", stand_in(here).display(), tools.display());
    vec![
        ("PATH", path),
        ("SAM_CLI_TELEMETRY", "0".into()),
        ("SAM_CLI_POLL_DELAY", "0.5".into()),
        ("AWS_ENDPOINT_URL", local.endpoint()),
        ("AWS_ACCESS_KEY_ID", "test".into()),
        ("AWS_SECRET_ACCESS_KEY", "test".into()),
        ("AWS_DEFAULT_REGION", "us-east-1".into()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ("AWS_CONFIG_FILE", "/nonexistent".into()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".into()),
        ("AWS_PAGER", String::new()),
    ]
}

/// Runs a command of the guide in a terminal and answers its questions by the guide's table.
async fn guided(local: &LocalAws, here: &Path, command: &str, answers: &[(String, String)]) {
    let (mut pty, pts) = pty_process::open().expect("there are pseudo-terminals");
    pty.resize(pty_process::Size::new(50, 400))
        .expect("it has a size");
    let mut child = pty_process::Command::new("bash")
        .args(["-euc", command])
        .current_dir(here)
        .envs(surroundings(local, here))
        .env("HOME", here)
        .kill_on_drop(true)
        .spawn(pts)
        .expect("bash runs");
    let mut expected = answers.iter();
    let mut all = String::new();
    let talking = async {
        let (mut drawn, mut buffer) = (Vec::new(), [0; 4096]);
        // Ends with an error when the other side closes, as terminals do.
        while let Ok(read @ 1..) = pty.read(&mut buffer).await {
            drawn.extend_from_slice(&buffer[..read]);
            let Some(asked) = question(&plain(&String::from_utf8_lossy(&drawn))) else {
                continue;
            };
            all += &plain(&String::from_utf8_lossy(&drawn));
            drawn.clear();
            let next = expected.next();
            let (question, answer) = next.unwrap_or_else(|| {
                panic!("`{command}` asks {asked:?}; the guide has no answer to it")
            });
            assert_eq!(
                &asked, question,
                "what `{command}` asks, and the guide's next row"
            );
            let line = format!("{answer}\n");
            pty.write_all(line.as_bytes())
                .await
                .expect("it reads answers");
        }
        all += &plain(&String::from_utf8_lossy(&drawn));
    };
    let talked = tokio::time::timeout(Duration::from_mins(4), talking).await;
    assert!(talked.is_ok(), "`{command}` does not end:\n{all}");
    let status = child.wait().await.expect("it can be waited for");
    assert!(status.success(), "`{command}`: {status}\n{all}");
    let left: Vec<_> = expected.map(|(question, _)| question).collect();
    assert!(
        left.is_empty(),
        "the guide answers what `{command}` does not ask: {left:?}"
    );
}

/// The function that the guide speaks of, with an alias, and its next version's code where the request
/// has it. Returns the request.
async fn names(local: &LocalAws) -> (Target, Value) {
    let mut request: Value = {
        let text = fs::read_to_string(paths::repository().join("events/canary.json"));
        serde_json::from_str(&text.expect("it is there")).expect("it is JSON")
    };
    let function = request["functions"][0].clone();
    let text = |value: &Value| value.as_str().expect("it is named").to_owned();
    let answering = |version| Behaviour {
        body: Some("ok".into()),
        ..Behaviour::healthy(version)
    };
    let target = Target::create(local, &text(&function["functionName"]), answering("blue")).await;
    target.publish().await;
    target.alias(&text(&function["alias"]), "1").await;
    let (bucket, key) = (
        text(&function["code"]["s3Bucket"]),
        text(&function["code"]["s3Key"]),
    );
    let control = local.control();
    control.put_object(&bucket, "made", b"").await;
    let package = answering("green").package();
    let version = control.put_version(&bucket, &key, &package).await;
    request["functions"][0]["code"]["s3ObjectVersion"] = version.into();
    // Bakes are short here, and minutes are not: what is known within one counts.
    merge(&mut request, json!({"analysis": {"settleSeconds": 0}}));
    (target, request)
}

async fn first_release(_: Case) {
    let section = section();
    let commands = commands(&section);
    let [build, deploy, rest @ ..] = &commands[..] else {
        panic!("the guide builds and deploys first: {commands:?}");
    };
    // Building takes minutes: `make build` has run this command, for this machine.
    let built = fs::read_to_string(paths::repository().join("Makefile")).expect("it is there");
    for command in [
        "sam build --parameter-overrides Architecture=",
        " TargetFunctionPrefix=",
    ] {
        let made = command.replacen("sam ", "$(SAM) ", 1);
        assert!(
            build.contains(command) && built.contains(&made),
            "{command}"
        );
    }

    let local = LocalAws::start(Options {
        wait_scale: 0.02,
        ..Options::default()
    });
    let here = checkout(&local);
    guided(&local, &here, deploy, &answers(&section)).await;

    let (target, request) = names(&local).await;
    fs::write(here.join("events/canary.json"), request.to_string()).expect("it can be written");
    let users = Traffic::start(&local, &target, "production", 60.0);
    let script = rest.concat();
    let told = Command::new("bash")
        .args(["-xeuo", "pipefail", "-c", &script])
        .current_dir(&here)
        .envs(surroundings(&local, &here))
        .kill_on_drop(true)
        .output();
    let told = tokio::time::timeout(Duration::from_mins(4), told).await;
    let told = told.expect("the guide's commands end").expect("bash runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&told.stdout) + &text(&told.stderr);
    assert!(told.status.success(), "{said}");
    assert!(said.contains("\"SUCCEEDED\""), "{said}");
    drop(users);
    until("green serves", || async {
        let alias = target.look("production").await?;
        (alias.settled() == Some("2")).then_some(())
    })
    .await;
}
