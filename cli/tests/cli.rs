//! The program itself, where it asks AWS nothing. (What it does with AWS is in the end-to-end suite.)

use std::{
    io::{ErrorKind, Write},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

fn crossfade(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade"));
    // Nothing of whoever runs the tests.
    command.args(arguments).env_clear();
    command
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("nothing kills it");
    (code, text(&output.stdout), text(&output.stderr))
}

fn ran(arguments: &[&str]) -> (i32, String, String) {
    said(&crossfade(arguments).output().expect("it can be run"))
}

fn given(arguments: &[&str], input: &Value) -> (i32, String, String) {
    let mut child = crossfade(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin
        .write_all(input.to_string().as_bytes())
        .expect("it is read");
    drop(stdin);
    said(&child.wait_with_output().expect("it ends"))
}

fn events(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../events")
        .join(name);
    path.to_str().expect("the path is text").to_owned()
}

#[test]
fn plans_every_example() {
    for name in ["canary.json", "blue-green.json", "prod.json"] {
        let (code, shown, errors) = ran(&["plan", "--offline", &events(name)]);
        assert_eq!((code, errors.as_str()), (0, ""), "{name}");
        assert!(
            shown.contains("states entered") && shown.contains("cost"),
            "{shown}"
        );
        let (code, shown, _) = ran(&["plan", "--offline", "--json", &events(name)]);
        let plan: Value = serde_json::from_str(&shown).expect("it is JSON");
        assert_eq!(code, 0);
        assert_eq!(
            plan["steps"]
                .as_array()
                .and_then(|steps| steps.last())
                .unwrap()["weight"],
            if name == "prod.json" { 95 } else { 100 }
        );
        assert!(plan["stateTransitions"].as_u64() > Some(12), "{plan}");
        assert!(
            plan.get("problems").is_none(),
            "offline nothing is known: {plan}"
        );
    }
}

#[test]
fn refuses_an_invalid_request_without_calling_aws() {
    let wrong = json!({"application": "chat", "functions": [{"functionName": "a b", "alias": "live"}],
        "strategy": {"type": "canary", "steps": [{"weight": 10, "bakeSeconds": -1}]}, "colour": "green"});
    for verb in [
        &["plan", "-"][..],
        &["deploy", "-"],
        &["deploy", "--watch", "-"],
    ] {
        let (code, shown, errors) = given(verb, &wrong);
        assert_eq!((code, shown.as_str()), (2, ""));
        for path in [
            "colour",
            "functions[0].functionName",
            "strategy.steps[0].bakeSeconds",
        ] {
            assert!(errors.contains(path), "{path}: {errors}");
        }
    }
    let (code, shown, _) = given(&["deploy", "--json", "-"], &wrong);
    let error: Value = serde_json::from_str(&shown).expect("it is JSON");
    assert_eq!((code, &error["exitCode"]), (2, &json!(2)));
}

#[test]
fn exits_with_usage_error_on_bad_arguments() {
    for wrong in [
        &["depoly", "x.json"][..],
        &["watch", "--every", "0"],
        &["plan", "no/such/file.json"],
        &["rollback"],
    ] {
        assert_eq!(ran(wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn explains_a_missing_region() {
    let nowhere = "/nonexistent";
    let output = crossfade(&["status"])
        .env("AWS_CONFIG_FILE", nowhere)
        .env("AWS_SHARED_CREDENTIALS_FILE", nowhere)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("it can be run");
    let (code, _, errors) = said(&output);
    assert_eq!(code, 2);
    assert!(errors.contains("--region"), "{errors}");
}

#[test]
fn completes_every_command_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, shown, _) = ran(&["completions", shell]);
        assert_eq!(code, 0);
        for verb in [
            "plan", "deploy", "watch", "status", "approve", "reject", "hold", "resume", "next",
            "promote", "rollback", "history", "doctor", "init", "releases",
        ] {
            assert!(shown.contains(verb), "{shell}: {verb}");
        }
    }
}

/// The command line's page has the table of exit codes that `--help` shows.
#[test]
fn documents_every_exit_code() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let page = std::fs::read_to_string(page).expect("it is there");
    let (_, help, _) = ran(&["--help"]);
    let (_, codes) = help.split_once("Exit codes:\n").expect("it has them");
    let mut seen = 0;
    for line in codes.lines() {
        let Some((code, meaning)) = line.trim().split_once("  ") else {
            continue;
        };
        seen += 1;
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(page.contains(&row), "docs/cli.md has no row {row}");
    }
    assert_eq!(seen, 11);
}

/// `doctor` compares the two.
#[test]
fn has_the_version_that_the_template_says() {
    let (_, shown, _) = ran(&["--version"]);
    let version = shown
        .trim()
        .strip_prefix("crossfade ")
        .expect("it says its name");
    let template = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template = std::fs::read_to_string(template).expect("it is there");
    let (_, output) = template
        .split_once("\n  CrossfadeVersion:\n")
        .expect("it is an output");
    assert!(
        output.contains(&format!("Value: \"{version}\"\n")),
        "{version}: {output}"
    );
}

/// The program with bytes for standard input.
fn fed(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = crossfade(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A refusal of the arguments comes before the input is read.
    let written = stdin.write_all(input);
    assert!(written.is_ok() || written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe));
    drop(stdin);
    said(&child.wait_with_output().expect("it ends"))
}

fn request() -> String {
    json!({"application": "chat", "strategy": "AllAtOnce",
        "functions": [{"functionName": "chat-api", "alias": "live"}]})
    .to_string()
}

#[test]
fn reads_requests_of_every_encoding_from_a_file_and_from_standard_input() {
    let marked = format!("\u{feff}{}", request());
    let utf16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let swapped: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("request.json");
    let path = file.to_str().expect("the path is text");
    for bytes in [marked.as_bytes(), &utf16, &swapped] {
        let (code, shown, errors) = fed(&["plan", "--offline", "-"], bytes);
        assert_eq!((code, errors.as_str()), (0, ""), "{shown}");
        std::fs::write(&file, bytes).expect("it can be written");
        let (code, shown, errors) = ran(&["plan", "--offline", path]);
        assert_eq!((code, errors.as_str()), (0, ""), "{shown}");
    }
}

#[test]
fn says_what_is_wrong_with_a_request_that_is_not_json() {
    for (input, says) in [
        (&b"{\"application\": \"chat\",}"[..], "remove the comma"),
        (b"{\"application\": \"chat\" // mine\n}", "no comments"),
        (b"{\"application\": \"caf\xe9\"}", "save it as UTF-8"),
        (b"", "is empty"),
    ] {
        for verb in ["plan", "deploy"] {
            let (code, _, errors) = fed(&[verb, "-"], input);
            assert_eq!(code, 2, "{errors}");
            assert!(
                errors.contains("standard input") && errors.contains(says),
                "{errors}"
            );
        }
    }
}

/// One of the examples as YAML: the same plan, from standard input and from a file.
#[test]
fn reads_yaml_as_it_reads_json() {
    let (_, planned, _) = ran(&["plan", "--offline", "--json", &events("canary.json")]);
    let text = std::fs::read_to_string(events("canary.json")).expect("it is there");
    let request: Value = serde_json::from_str(&text).expect("it is JSON");
    // Block style at the outermost level, where it cannot be taken for JSON.
    let fields = request.as_object().expect("it is an object").iter();
    let yaml: String = fields
        .map(|(name, value)| format!("{name}: {value}"))
        .collect::<Vec<_>>()
        .join("\n");
    let plan = fed(&["plan", "--offline", "--json", "-"], yaml.as_bytes());
    assert_eq!(plan, (0, planned.clone(), String::new()));
    let folder = folder("yaml");
    for name in ["request.yaml", "request.yml"] {
        let file = folder.join(name);
        std::fs::write(&file, &yaml).expect("it can be written");
        let path = file.to_str().expect("the path is text");
        assert_eq!(
            ran(&["plan", "--offline", "--json", path]),
            (0, planned.clone(), String::new())
        );
        std::fs::write(&file, "application: chat\napplication: orders\n")
            .expect("it can be written");
        let (code, _, errors) = ran(&["deploy", path]);
        assert_eq!(code, 2, "{errors}");
        assert!(
            errors.contains(name) && errors.contains("line 2, column 1"),
            "{errors}"
        );
    }
    let (code, _, errors) = fed(
        &["plan", "-"],
        b"application: chat\n---\napplication: chat\n",
    );
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("several YAML documents"), "{errors}");
}

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("it can be emptied");
    }
    std::fs::create_dir_all(&folder).expect("it can be made");
    folder
}

#[test]
fn takes_the_usual_file_of_the_folder() {
    let folder = folder("usual");
    let here = |arguments: &[&str]| {
        let output = crossfade(arguments).current_dir(&folder).output();
        said(&output.expect("it can be run"))
    };
    for verb in ["plan", "deploy"] {
        let (code, _, errors) = here(&[verb]);
        assert_eq!(code, 2, "{errors}");
        assert!(
            errors.contains("crossfade.json, crossfade.yaml, crossfade.yml"),
            "{errors}"
        );
    }
    std::fs::write(
        folder.join("crossfade.yml"),
        "application: chat\nstrategy: AllAtOnce\nfunctions:\n  \
        - {functionName: chat-api, alias: live}\n",
    )
    .expect("it can be written");
    let (code, shown, errors) = here(&["plan", "--offline"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(shown.contains("chat"), "{shown}");
    std::fs::write(folder.join("crossfade.json"), request()).expect("it can be written");
    let (code, _, errors) = here(&["plan", "--offline"]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("crossfade.json, crossfade.yml"), "{errors}");
}

#[test]
fn refuses_a_name_before_aws_is_asked_and_proposes_one() {
    let long = "n".repeat(90);
    for name in ["feature/login", "build 42", "pr#7", "a:b", "", &long] {
        let (code, shown, errors) = fed(&["deploy", "-", "--name", name], request().as_bytes());
        assert_eq!((code, shown.as_str()), (2, ""), "{errors}");
        let proposed = errors.split("--name ").last().unwrap_or_default().trim();
        assert!(errors.contains("1 to 80 characters"), "{errors}");
        // It is taken: what is wrong then is that there is no Region.
        let (_, _, errors) = fed(&["deploy", "-", "--name", proposed], request().as_bytes());
        assert!(errors.contains("--region"), "{proposed}: {errors}");
    }
}

#[test]
fn does_not_panic_when_its_reader_has_gone() {
    for arguments in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["--help"],
        &["plan", "--offline", "--json", &events("prod.json")],
    ] {
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let output = crossfade(arguments)
            .stdout(writer)
            .output()
            .expect("it can be run");
        let (code, _, errors) = said(&output);
        assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}");
    }
}
