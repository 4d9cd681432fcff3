//! The recipes, as far as they can be tried without AWS: their requests, templates and script.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crossfade::{
    notice::{self, Kind, Notice, NoticeDetail},
    wire::request::Request,
};
use crossfade_tests::{paths, yaml};
use serde_json::{Value, json};

const RECIPES: &str = "docs/recipes";
const TERRAFORM: &str = "integrations/terraform/examples/chat/main.tf";

fn recipe(name: &str) -> PathBuf {
    paths::repository().join(RECIPES).join(name)
}

fn text(path: &str) -> String {
    fs::read_to_string(paths::repository().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_request(place: &str, request: &str) {
    let value: Value =
        serde_json::from_str(request).unwrap_or_else(|e| panic!("{place}: {e}: {request}"));
    Request::parse(&value).unwrap_or_else(|problems| panic!("{place}: {problems}"));
}

/// Each request in a document: a block of JSON that names an application, and what is given to
/// `start-execution` in the line.
#[test]
fn requests_in_documents_are_requests() {
    let counts = BTreeMap::from([
        ("docs/request.md", 3),
        ("docs/splitters.md", 1),
        ("docs/api-gateway.md", 1),
        ("docs/rollback.md", 2),
        ("docs/RUNBOOK.md", 2),
        ("docs/MIGRATING.md", 2),
    ]);
    let pages: Vec<_> = fs::read_dir(paths::repository().join("docs"))
        .expect("it is there")
        .map(|page| page.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .filter_map(|path| Some(format!("docs/{}", path.file_name()?.to_str()?)))
        .collect();
    assert!(
        counts
            .keys()
            .all(|name| pages.iter().any(|page| page == name))
    );
    for document in pages.iter().map(String::as_str).chain(["README.md"]) {
        let expected = counts.get(document).copied().unwrap_or(0);
        let text = text(document);
        let blocks = text
            .split("```json\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .filter(|block| block.contains("\"application\""))
            .filter(|block| !block.contains("\"deploymentStatus\""));
        let inputs = text
            .split("--input '")
            .skip(1)
            .filter_map(|rest| rest.split('\'').next());
        let requests: Vec<_> = blocks.chain(inputs).collect();
        assert_eq!(requests.len(), expected, "{document}");
        for request in requests {
            assert_request(document, request);
        }
    }
}

/// What a shell or GitHub puts into a text, put into it.
fn filled(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        filled.push_str("filled-in");
        rest = if let Some(inner) = after.strip_prefix("{{") {
            inner.split_once("}}").expect("an expression ends").1
        } else {
            after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
    }
    filled + rest
}

/// Each request that a script writes.
fn written(script: &str) -> impl Iterator<Item = &str> {
    script.split("<<").skip(1).map(|rest| {
        let (first, rest) = rest.split_once('\n').expect("a document has lines");
        assert_eq!(first.trim_matches('\''), "JSON");
        rest.split_once("\nJSON\n").expect("a document ends").0
    })
}

fn assert_shell(place: &str, script: &str) {
    let checked = Command::new("bash").args(["-nc", &filled(script)]).output();
    let checked = checked.expect("bash runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{place}: {said}{script}");
}

#[test]
fn writes_and_awaits_the_request_of_the_workflow() {
    let workflow = yaml::read("docs/recipes/github-actions.yml");
    let steps = workflow["jobs"]["release"]["steps"].as_array();
    let scripts: Vec<&str> = steps
        .expect("it has steps")
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    assert!(scripts.len() >= 3, "{scripts:?}");
    for script in &scripts {
        assert_shell("github-actions.yml", script);
    }
    let request = scripts.last().unwrap();
    let requests: Vec<_> = written(request).collect();
    assert_eq!(requests.len(), 1);
    assert_request("github-actions.yml", &filled(requests[0]));
    assert!(request.contains("cat >request.json"));
    let release = steps.expect("it has steps").last().unwrap();
    let action = release["uses"].as_str().expect("it uses an action");
    assert!(action.contains("/integrations/github-action@"), "{action}");
    let inputs = &yaml::read("integrations/github-action/action.yml")["inputs"];
    let given = release["with"].as_object().expect("it has inputs");
    for name in given.keys() {
        assert!(inputs[name].is_object(), "the action has no input {name}");
    }
    assert_eq!(given["request"], "request.json");
    assert_eq!(workflow["permissions"]["id-token"], "write");
    assert_eq!(workflow["concurrency"]["cancel-in-progress"], false);
}

#[test]
fn passes_the_built_request_to_the_state_machine() {
    let template = yaml::read("docs/recipes/codepipeline.yaml");
    let specification = &template["Resources"]["Build"]["Properties"]["Source"]["BuildSpec"];
    let specification = yaml::python(
        "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.argv[1])))",
        &[specification.as_str().expect("it is inline")],
    );
    let commands: Vec<&str> = specification["phases"]["build"]["commands"]
        .as_array()
        .expect("it has commands")
        .iter()
        .map(|command| command.as_str().expect("a command is text"))
        .collect();
    for command in &commands {
        assert_shell("codepipeline.yaml", command);
    }
    let requests: Vec<_> = commands.iter().flat_map(|one| written(one)).collect();
    assert_eq!(requests.len(), 1);
    assert_request("codepipeline.yaml", &filled(requests[0]));

    let stages = template["Resources"]["Pipeline"]["Properties"]["Stages"].as_array();
    let last = &stages.expect("it has stages").last().unwrap()["Actions"][0];
    assert_eq!(last["ActionTypeId"]["Provider"], "StepFunctions");
    assert_eq!(last["Configuration"]["InputType"], "FilePath");
    let file = &last["Configuration"]["Input"];
    assert_eq!(specification["artifacts"]["files"], json!([file]));
    assert!(
        commands
            .last()
            .unwrap()
            .contains(&format!(">{}", file.as_str().unwrap()))
    );
}

/// On another system than Linux the tools of a deployment are set up, and what runs the local AWS is refused.
#[test]
fn sets_up_a_deployment_where_the_local_aws_cannot_run() {
    let folder = paths::target().join("tmp/elsewhere");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let uname = folder.join("uname");
    fs::write(&uname, "#!/bin/sh\necho Darwin\n").expect("a file can be written");
    fs::set_permissions(&uname, fs::Permissions::from_mode(0o755)).expect("it can be a program");
    let python = paths::tool("python");
    let environment = python.ancestors().nth(2).expect("it is in bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let ran = |more: &[&str]| {
        let done = Command::new(paths::repository().join("tests/setup.sh"))
            .arg(environment)
            .args(more)
            .env("PATH", format!("{}:{path}", folder.display()))
            // It is there, and stays as it is.
            .env("CROSSFADE_VENV", environment)
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), said)
    };
    assert_eq!(ran(&[]), (Some(0), String::new()));
    for what in ["local", "browser"] {
        let (code, said) = ran(&[what]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("needs Linux") && said.contains("make setup"),
            "{said}"
        );
    }
}

#[test]
fn templates_lint() {
    for name in [
        "chat-actions.yaml",
        "codepipeline.yaml",
        "notifications.yaml",
        "sam.yaml",
        "slack-app/template.yaml",
    ] {
        let linted = Command::new(paths::tool("cfn-lint"))
            .args(["--regions", "us-east-1", "--"])
            .arg(recipe(name))
            .output()
            .expect("cfn-lint runs");
        let said = String::from_utf8_lossy(&linted.stdout);
        assert!(linted.status.success() && said.is_empty(), "{said}");
    }
}

/// A notice of a kind, as a channel gets it.
fn chat_notice(kind: Kind) -> Value {
    let facts: NoticeDetail = serde_json::from_value(json!({
        "id": "1", "kind": kind, "at": "2026-11-20T12:00:00Z", "release": "chat-1",
        "execution": "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:chat-1",
        "application": "chat", "reason": "because",
    }))
    .expect("it is a notice");
    notice::chat(&Notice { facts, ways: None })
}

/// The buttons of a channel are attached by what a notice has, and fill in what it has.
#[test]
fn custom_actions_read_what_a_channel_gets() {
    let template = yaml::read("docs/recipes/chat-actions.yaml");
    let resources = template["Resources"].as_object().expect("it has some");
    let mut attached: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for action in resources
        .values()
        .filter(|one| one["Type"] == "AWS::Chatbot::CustomAction")
    {
        let properties = &action["Properties"];
        let command = properties["Definition"]["CommandText"]["Fn::Sub"].as_str();
        let command = command.expect("it is a text with parameters").to_owned();
        for attachment in properties["Attachments"].as_array().expect("it has some") {
            let criteria = attachment["Criteria"].as_array().expect("it has some");
            let variables = attachment["Variables"].as_object().expect("it has some");
            // What AWS takes: cfn-lint knows the criteria's limit, and not the variables'.
            assert!(criteria.len() <= 5 && variables.len() <= 5, "{attachment}");
            let kind: Kind =
                serde_json::from_value(criteria[0]["Value"].clone()).expect("it is a kind");
            let sent = chat_notice(kind);
            for (name, from) in variables {
                let path = from.as_str().and_then(|from| from.strip_prefix("event"));
                let pointer = path.expect("it is of the event").replace('.', "/");
                let value = sent.pointer(&pointer).and_then(Value::as_str);
                assert!(
                    value.is_some_and(|value| !value.is_empty()),
                    "{name}: {from} is not in {sent}"
                );
                let equals = criteria
                    .iter()
                    .find(|one| one["VariableName"] == name.as_str());
                if let Some(wanted) = equals.and_then(|one| one.get("Value")) {
                    assert_eq!(value, wanted.as_str(), "{attachment}");
                }
            }
            let used = command
                .split('$')
                .skip(1)
                .filter(|part| !part.starts_with('{'));
            for used in used {
                let name: String = used
                    .chars()
                    .take_while(char::is_ascii_alphanumeric)
                    .collect();
                assert!(variables.contains_key(&name), "${name} of {command}");
            }
            let word = properties["ActionName"].as_str().unwrap_or_default();
            attached
                .entry(kind.to_string())
                .or_default()
                .push(word.replace("crossfade-", ""));
        }
    }
    let buttons: Vec<_> = attached
        .iter_mut()
        .map(|(kind, words)| {
            words.sort_unstable();
            (kind.as_str(), words.join(" "))
        })
        .collect();
    assert_eq!(
        buttons,
        [
            ("ApprovalNeeded", "approve reject".to_owned()),
            ("Held", "next promote resume rollback".to_owned()),
            ("Promoted", "rollback".to_owned()),
            ("Shifted", "hold next rollback".to_owned()),
        ]
    );
}

/// Each command of a button is a call of AWS's, with parameters that it has; and each payload is what the function takes.
#[test]
fn custom_actions_run_real_commands() {
    const SCRIPT: &str = r#"
import json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[2])
import app
from botocore import xform_name
from botocore.session import Session
for command in json.loads(sys.argv[1]):
    service, call, options = command.split(" ", 2)
    model = Session().get_service_model(service)
    operation = next(m for m in map(model.operation_model, model.operation_names) if xform_name(m.name, "-") == call)
    members = {xform_name(name, "-") for name in operation.input_shape.members}
    given = dict(word.removeprefix("--").split(" ", 1) for word in options.split(" --"))
    assert given.pop("region"), command
    assert set(given) <= members, (given, members)
    if call == "invoke":
        payload = json.loads(given["payload"])
        assert payload["decision"] in app.NAMES and set(payload) == {"decision", "release"}, payload
    else:
        assert json.loads(given["input"])["action"] == "rollback", given
print(json.dumps(True))
"#;
    let template = yaml::read("docs/recipes/chat-actions.yaml");
    let resources = template["Resources"].as_object().expect("it has some");
    let commands: Vec<_> = resources
        .values()
        .filter_map(|one| one["Properties"]["Definition"]["CommandText"]["Fn::Sub"].as_str())
        .collect();
    assert_eq!(commands.len(), 7);
    let app = recipe("slack-app").display().to_string();
    assert_eq!(
        yaml::python(SCRIPT, &[json!(commands).to_string(), app]),
        json!(true)
    );
}

/// Signatures, buttons and messages, without a network.
#[test]
fn the_slack_app_passes_its_own_tests() {
    let tested = Command::new(paths::tool("python"))
        .args(["-m", "unittest", "discover", "-s"])
        .arg(recipe("slack-app"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&tested.stderr);
    assert!(
        tested.status.success() && said.contains("Ran 14 tests"),
        "{said}"
    );
}

/// What a deployment of sam.yaml would have of aliases and versions, with that code in it.
fn deployed(code: &str, constant: bool) -> Value {
    const SCRIPT: &str = r#"
import json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
template = yaml_parse(open(sys.argv[1]).read())
function = template["Resources"]["Assistant"]["Properties"]
function["CodeUri"] = {"Bucket": "artifacts", "Key": sys.argv[2]}
if sys.argv[3] == "false":
    del function["AutoPublishCodeSha256"]
made = Translator({}, Parser()).translate(template, {})["Resources"]
kinds = ("AWS::Lambda::Alias", "AWS::Lambda::Version", "AWS::CodeDeploy::DeploymentGroup")
api = json.dumps(made["ServerlessHttpApi"])
print(json.dumps({"api": api, "own": {k: v for k, v in made.items() if v["Type"] in kinds}}))
"#;
    let file = recipe("sam.yaml");
    let file = file.to_str().expect("it is text");
    yaml::python(SCRIPT, &[file, code, &constant.to_string()])
}

/// CloudFormation writes what differs from the deployment before.
#[test]
fn new_code_changes_neither_alias_nor_version_in_the_sam_recipe() {
    let first = deployed("1.zip", true);
    let own = first["own"].as_object().unwrap();
    assert_eq!(own.len(), 2, "an alias and its version: {own:?}");
    assert_eq!(deployed("2.zip", true), first);
    assert_eq!(own["AssistantAliaslive"]["Properties"]["Name"], "live");
    // Callers go through the alias.
    let api = first["api"].as_str().unwrap();
    assert!(api.contains("${AssistantAliaslive}"), "{api}");
    // Without the constant it would be as the guide says.
    assert_ne!(deployed("2.zip", false), deployed("1.zip", false));
    for file in ["docs/recipes/sam.yaml", "docs/MIGRATING.md"] {
        assert!(
            text(file).contains("AutoPublishCodeSha256: crossfade"),
            "{file}"
        );
    }
}

#[test]
fn terraform_ignores_what_crossfade_writes() {
    let text = text(TERRAFORM);
    let (_, alias) = text
        .split_once("resource \"aws_lambda_alias\"")
        .expect("it has an alias");
    let (alias, _) = alias.split_once("\n}\n").expect("it ends");
    assert!(alias.contains("ignore_changes = [function_version, routing_config]"));
    assert!(text.contains("module \"release\""));
}

#[test]
fn accepts_the_request_of_every_recipe() {
    let request = text("docs/recipes/release.json");
    assert_request("release.json", &request);
    let request: Value = serde_json::from_str(&request).unwrap();
    let function = &request["functions"][0];
    assert!(function.get("code").is_none(), "what is on $LATEST");
    for name in [
        &function["functionName"],
        &function["alias"],
        &request["analysis"]["alarms"][0],
    ] {
        let name = name.as_str().expect("it is named");
        for recipe in ["docs/recipes/sam.yaml", TERRAFORM] {
            assert!(text(recipe).contains(name), "{recipe} has no {name}");
        }
    }
}

#[test]
fn allows_every_call_of_the_script() {
    let policy: Value = serde_json::from_str(&text("docs/recipes/pipeline-policy.json")).unwrap();
    let policy = policy.to_string();
    let script = text("docs/recipes/release.sh");
    let mut calls = 0;
    for (call, action) in [
        ("start-execution", "states:StartExecution"),
        ("describe-execution", "states:DescribeExecution"),
    ] {
        let times = script
            .matches(&format!("aws stepfunctions {call} "))
            .count();
        assert!(
            times > 0 && policy.contains(&format!("\"{action}\"")),
            "{action}"
        );
        calls += times;
    }
    assert_eq!(
        calls,
        script.matches("(aws ").count() + script.matches("\naws ").count()
    );
}

/// The command line's policy, against the calls that its sources name.
#[test]
fn allows_every_call_of_the_command_line() {
    let policy: Value = serde_json::from_str(&text("docs/recipes/cli-policy.json")).unwrap();
    let policy = policy.to_string();
    let mut calls = 0;
    for source in ["executions", "stack", "doctor/observe", "init/find"] {
        let source = text(&format!("cli/src/{source}.rs"));
        let named = source.split("classify(\"").skip(1);
        for call in named.filter_map(|rest| rest.split('"').next()) {
            calls += 1;
            assert!(policy.contains(&format!(":{call}\"")), "{call}");
        }
    }
    assert_eq!(calls, 19);
}

/// Runs release.sh where `aws` answers with these statuses, one after the other; `?` is no answer.
/// Returns its exit code, what it said, and what `aws` was asked.
fn released(case: &str, statuses: &[&str], arguments: &[&str]) -> (i32, String, String) {
    /// Keeps what is left of the statuses in a file.
    const AWS: &str = r#"#!/usr/bin/env bash
cd "$(dirname "$0")"
echo "$*" >>asked
case "$*" in
*start-execution*)
    [ ! -e refuse ] || { echo "AccessDeniedException" >&2; exit 254; }
    echo arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:1 ;;
*"--query status "*)
    status=$(head -n 1 statuses)
    [ "$(wc -l <statuses)" -eq 1 ] || sed -i 1d statuses
    [ "$status" != "?" ] || { echo "ExpiredToken" >&2; exit 255; }
    echo "$status" ;;
*) echo "None {\"deploymentStatus\":\"told\"}" ;;
esac
"#;
    let dir = paths::target().join("recipes").join(case);
    let _ = fs::remove_dir_all(&dir); // Of a run before.
    fs::create_dir_all(&dir).expect("a folder can be made");
    let write = |name: &str, content: &str| {
        fs::write(dir.join(name), content).expect("a file can be written");
    };
    write("aws", AWS);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.join("aws"), executable).expect("it can be made a program");
    write("asked", "");
    write("statuses", &(statuses.join("\n") + "\n"));
    if statuses.is_empty() {
        write("refuse", "");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let done = Command::new(recipe("release.sh"))
        .args(arguments)
        .env("PATH", format!("{}:{path}", dir.display()))
        .env("POLL_SECONDS", "0")
        .output()
        .expect("it is a program");
    let asked = fs::read_to_string(Path::new(&dir).join("asked")).expect("it is there");
    (
        done.status.code().expect("it exits"),
        String::from_utf8_lossy(&done.stdout).into_owned(),
        asked,
    )
}

#[test]
fn exits_by_the_end_of_the_release() {
    let arguments = ["arn:machine", "request.json"];
    for (case, statuses, code) in [
        ("succeeded", &["RUNNING", "RUNNING", "SUCCEEDED"][..], 0),
        ("at-once", &["SUCCEEDED"], 0),
        ("failed", &["RUNNING", "FAILED"], 1),
        ("stopped", &["RUNNING", "ABORTED"], 1),
        ("timed-out", &["TIMED_OUT"], 1),
        (
            "hiccup",
            &["?", "?", "RUNNING", "?", "?", "?", "SUCCEEDED"],
            0,
        ),
        ("refused", &[], 2),
        ("unread", &["RUNNING", "?"], 3),
    ] {
        let (exit, said, asked) = released(case, statuses, &arguments);
        assert_eq!(exit, code, "{case}: {said}");
        assert_eq!(asked.matches("start-execution").count(), 1, "{case}");
        if code < 2 {
            let last = statuses.last().unwrap();
            assert!(
                said.contains(last) && said.contains("told"),
                "{case}: {said}"
            );
        }
    }
    let (exit, _, asked) = released("usage", &["SUCCEEDED"], &["arn:machine"]);
    assert_eq!((exit, asked.as_str()), (2, ""));
}

#[test]
fn starts_the_given_request() {
    let (_, _, asked) = released("plain", &["SUCCEEDED"], &["arn:machine", "a file.json"]);
    let start = asked.lines().next().unwrap();
    assert!(start.contains("--state-machine-arn arn:machine --input file://a file.json --query"));
    let (_, _, asked) = released("named", &["SUCCEEDED"], &["arn:machine", "r.json", "42-1"]);
    assert!(
        asked
            .lines()
            .next()
            .unwrap()
            .contains("--input file://r.json --name 42-1 --query")
    );
}
