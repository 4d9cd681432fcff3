//! Files that must agree: the state machine, the template, and the names in the code.

#[path = "contract/before.rs"]
mod before;
#[path = "contract/budget.rs"]
mod budget;
#[path = "contract/graph.rs"]
mod graph;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    sync::OnceLock,
};

use crossfade::{
    domain::{release::Release, status::DeploymentStatus},
    error::Error,
    wire::{
        outcome::{EndError, Ending, Finished, Outcome},
        retention::Retention,
    },
};
use crossfade_tests::{paths, yaml};
use serde_json::{Map, Value, json};
use strum::VariantNames;

/// A state machine: its definition's file, and its resource in the template.
struct Machine {
    file: &'static str,
    resource: &'static str,
    /// The errors that its executions may end with.
    errors: &'static [&'static str],
}

const DEPLOYMENT: Machine = Machine {
    file: "deployment",
    resource: "DeploymentStateMachine",
    errors: &CONTRACT,
};

const RETENTION: Machine = Machine {
    file: "retention",
    resource: "RetentionStateMachine",
    errors: &["RetentionFailed"],
};

const MACHINES: [Machine; 2] = [DEPLOYMENT, RETENTION];

impl Machine {
    fn definition(&self) -> Value {
        let path = format!("statemachine/{}.asl.json", self.file);
        let path = paths::repository().join(path);
        let text = fs::read_to_string(path).expect("the definition is there");
        serde_json::from_str(&text).expect("the definition is JSON")
    }

    fn states(&self) -> Map<String, Value> {
        self.definition()["States"]
            .as_object()
            .expect("a definition has states")
            .clone()
    }

    fn tasks(&self) -> Vec<(String, Value)> {
        self.states()
            .into_iter()
            .filter(|(_, state)| state["Type"] == "Task")
            .collect()
    }

    fn properties(&self) -> &'static Value {
        &template()["Resources"][self.resource]["Properties"]
    }
}

fn states() -> Map<String, Value> {
    DEPLOYMENT.states()
}

/// Every task of every machine.
fn tasks() -> Vec<(String, Value)> {
    MACHINES.iter().flat_map(Machine::tasks).collect()
}

fn template() -> &'static Value {
    static TEMPLATE: OnceLock<Value> = OnceLock::new();
    TEMPLATE.get_or_init(|| yaml::read("template.yaml"))
}

/// Every text that `pick` finds at an object, anywhere in `value`.
fn collect<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                if name == key {
                    found.push(inner);
                }
                collect(inner, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        _ => {}
    }
}

/// The errors that an execution may end with.
const CONTRACT: [&str; 8] = [
    "DeploymentRolledBack",
    "DeploymentHeld",
    "InvalidRequest",
    "DeploymentInProgress",
    "ChangedOutside",
    "ValidationFailed",
    "MigrationFailed",
    "RollbackFailed",
];

#[test]
fn ends_executions_with_contract_errors() {
    assert_eq!(EndError::VARIANTS, CONTRACT);
}

#[test]
fn names_only_raised_errors() {
    let definitions: Value = MACHINES.iter().map(Machine::definition).collect();
    let mut lists = Vec::new();
    collect(&definitions, "ErrorEquals", &mut lists);
    let named: BTreeSet<&str> = lists
        .into_iter()
        .flat_map(|list| list.as_array().expect("ErrorEquals is a list"))
        .map(|name| name.as_str().expect("an error's name is text"))
        // Those are Step Functions', Lambda's and its environment's own.
        .filter(|name| {
            !["States.", "Lambda.", "Sandbox.", "Runtime."]
                .iter()
                .any(|theirs| name.starts_with(theirs))
        })
        .collect();
    assert!(named.contains("Transient"), "{named:?}");
    for name in named {
        assert!(Error::VARIANTS.contains(&name), "no function raises {name}");
    }
}

#[test]
fn fails_only_with_contract_errors() {
    for machine in MACHINES {
        for (name, state) in machine.states() {
            if state["Type"] != "Fail" {
                continue;
            }
            assert!(state.get("CausePath").is_some(), "{name} does not say why");
            match state["Error"].as_str() {
                Some(error) => assert!(machine.errors.contains(&error), "{name}: {error}"),
                None => assert_eq!(state["ErrorPath"], "$.error", "{name}"),
            }
        }
    }
}

#[test]
fn comments_every_state() {
    for (name, state) in MACHINES.iter().flat_map(Machine::states) {
        let comment = state["Comment"].as_str().unwrap_or_default();
        assert!(comment.ends_with('.'), "{name}: {comment:?}");
    }
}

#[test]
fn limits_retries_and_catches_every_task() {
    for (name, task) in tasks() {
        let limit = task["TimeoutSeconds"].as_u64().is_some()
            || task["TimeoutSecondsPath"].as_str().is_some();
        assert!(limit, "{name} may take for ever");
        let retries = task["Retry"].as_array().expect("a task is retried");
        let transient = retries.iter().find(|retry| {
            let equals = retry["ErrorEquals"].as_array().expect("it is a list");
            equals
                .iter()
                .any(|error| error == "Transient" || error == "States.ALL")
        });
        let transient = transient.unwrap_or_else(|| panic!("{name} gives up at once"));
        assert_eq!(transient["JitterStrategy"], "FULL", "{name}");
        assert!(transient["MaxAttempts"].as_u64() >= Some(5), "{name}");
        assert!(transient["MaxDelaySeconds"].as_u64().is_some(), "{name}");
        let catches = task["Catch"]
            .as_array()
            .expect("a task's errors are caught");
        let last = catches.last().expect("there is one");
        assert_eq!(last["ErrorEquals"], json!(["States.ALL"]), "{name}");
        let home = match name.as_str() {
            "RollbackDeployment" => "RollbackFailed",
            // Green has all traffic by then, and keeps it.
            "StartRetention" => "RetentionNotStarted",
            "RetentionNotStarted" => "Done",
            // The older retentions end by themselves too, later.
            "SupersedeOlder" => "KeepBlue",
            "PlanCleanup" | "PruneVersions" => "ReportFailure",
            "ReportFailure" => "RetentionFailed",
            _ => "RollbackDeployment",
        };
        assert_eq!(last["Next"], home, "{name}");
    }
}

#[test]
fn rolling_back_is_tried_most_patiently() {
    let attempts = |task: &Value| -> u64 {
        task["Retry"]
            .as_array()
            .expect("a task is retried")
            .iter()
            .filter_map(|retry| retry["MaxAttempts"].as_u64())
            .max()
            .expect("there is one")
    };
    let all: BTreeMap<String, u64> = tasks()
        .iter()
        .map(|(name, task)| (name.clone(), attempts(task)))
        .collect();
    for (name, attempts) in &all {
        assert!(
            name == "RollbackDeployment" || *attempts < all["RollbackDeployment"],
            "{all:?}"
        );
    }
}

#[test]
fn reaches_every_state() {
    for machine in MACHINES {
        let (definition, states) = (machine.definition(), machine.states());
        let start = definition["StartAt"].as_str().expect("it starts somewhere");
        let mut reached = BTreeSet::from([start.to_owned()]);
        let mut ahead = vec![start.to_owned()];
        while let Some(name) = ahead.pop() {
            let state = states
                .get(&name)
                .unwrap_or_else(|| panic!("{name} is led to and not there"));
            let mut next = Vec::new();
            collect(state, "Next", &mut next);
            next.extend(state.get("Default"));
            for next in next {
                let next = next.as_str().expect("a state's name is text").to_owned();
                if reached.insert(next.clone()) {
                    ahead.push(next);
                }
            }
        }
        let all: BTreeSet<String> = states.keys().cloned().collect();
        assert_eq!(all, reached, "{}", machine.file);
    }
}

#[test]
fn substitutes_every_placeholder() {
    for machine in MACHINES {
        let text = machine.definition().to_string();
        let placeholders: BTreeSet<&str> = text
            .split("${")
            .skip(1)
            .map(|after| after.split('}').next().expect("it ends"))
            .collect();
        let substitutions: BTreeSet<&str> = machine.properties()["DefinitionSubstitutions"]
            .as_object()
            .expect("there are substitutions")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(placeholders, substitutions, "{}", machine.file);
    }
}

/// The template's function behind a placeholder, by its logical name.
fn function_of(placeholder: &str) -> String {
    let name = placeholder.trim_start_matches("${").trim_end_matches('}');
    let substitutions = |machine: &Machine| &machine.properties()["DefinitionSubstitutions"][name];
    let arn = MACHINES
        .iter()
        .map(substitutions)
        .find(|arn| !arn.is_null());
    let arn = &arn.expect("the template has it")["Fn::GetAtt"];
    let parts: Vec<String> = match arn {
        Value::Array(parts) => parts
            .iter()
            .map(|part| part.as_str().expect("parts are text").to_owned())
            .collect(),
        Value::String(text) => text.split('.').map(str::to_owned).collect(),
        other => panic!("{placeholder}: {other}"),
    };
    assert_eq!(
        parts.last().map(String::as_str),
        Some("Arn"),
        "{placeholder}"
    );
    parts[0].clone()
}

#[test]
fn times_out_functions_before_their_tasks() {
    let template = template();
    let usual = template["Globals"]["Function"]["Timeout"].as_u64();
    for (name, task) in tasks() {
        let Some(placeholder) = task["Parameters"]["FunctionName"].as_str() else {
            assert_eq!(name, "StartRetention", "a task invokes a function");
            continue;
        };
        let function = function_of(placeholder);
        let own = template["Resources"][&function]["Properties"]["Timeout"].as_u64();
        let lambda = own.or(usual).expect("a function has a timeout");
        // A hold's limit is the request's, and that is 60 at the least.
        let limit = task["TimeoutSeconds"].as_u64().unwrap_or(60);
        assert!(
            lambda < limit,
            "{name}: {function} has {lambda} s of {limit} s"
        );
    }
}

/// Smoke tests have all the time that a request may give them, and what was slow is not run again.
#[test]
fn smoke_tests_have_their_time_and_are_not_repeated_for_being_slow() {
    let template = template();
    let lambda = template["Resources"]["ValidateFunction"]["Properties"]["Timeout"].as_u64();
    let tests = u64::from(crossfade::wire::request::MAX_VALIDATION_SECONDS);
    // Health checks, staging and warm environments come after them.
    assert!(
        lambda >= Some(tests + 45),
        "{lambda:?} s for {tests} s of smoke tests"
    );
    assert!(lambda <= Some(900), "Lambda's own limit");
    let validate = &tasks()
        .into_iter()
        .find(|(name, _)| name == "ValidateGreen")
        .expect("it is a task")
        .1;
    let retries = validate["Retry"].to_string();
    for slow in [
        "Sandbox.Timedout",
        "Lambda.ClientExecutionTimeoutException",
        "States.Timeout",
        "States.TaskFailed",
        "States.ALL",
    ] {
        assert!(
            !retries.contains(slow),
            "{slow} would run every smoke test again"
        );
    }
}

/// The longest that a release can take, by what a request may ask for, is within the total timeout.
#[test]
fn ends_every_release_before_its_execution() {
    let total = DEPLOYMENT.definition()["TimeoutSeconds"].as_u64();
    let hold = u64::from(crossfade::wire::request::MAX_HOLD_SECONDS);
    assert!(total > Some(2 * hold), "{total:?}");

    let total = RETENTION.definition()["TimeoutSeconds"].as_u64();
    assert!(total >= Some(2 * 168 * 3600), "a week of blue: {total:?}");
}

/// A state as `check-alarms` leaves it, through the types that write it.
fn checked(decision: &str) -> Value {
    let state = json!({
        "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
        "functions": [{"functionName": "chat-api", "alias": "live", "blueVersion": "1",
            "greenVersion": "2", "revisionId": "r"}],
        "plan": {"steps": [{"weight": 10, "bakeSeconds": 60}, {"weight": 100, "bakeSeconds": 0}]},
        "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "leave"}, "blueHours": 24,
        "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60},
        "steps": [{"weight": 10, "startedAt": "2026-11-20T12:00:00Z"}],
        "decision": decision, "resume": "shift", "reason": "no data",
        "evidence": {"decidedBy": "noData"},
    });
    let release: Release = serde_json::from_value(state).expect("it is a release");
    json!(release)
}

/// What a Choice does with an input, as far as this definition's rules go.
fn choose(choice: &Value, input: &Value) -> String {
    let rules = choice["Choices"].as_array().expect("a choice has rules");
    let rule = rules.iter().find(|rule| holds(rule, input));
    let next = rule.map_or(&choice["Default"], |rule| &rule["Next"]);
    next.as_str().expect("a choice always leads on").to_owned()
}

fn at<'a>(input: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.strip_prefix('$').expect("a path begins with $");
    input.pointer(&path.replace('.', "/"))
}

fn holds(rule: &Value, input: &Value) -> bool {
    let all = |name: &str| rule[name].as_array();
    if let Some(rules) = all("And") {
        return rules.iter().all(|rule| holds(rule, input));
    }
    if let Some(rules) = all("Or") {
        return rules.iter().any(|rule| holds(rule, input));
    }
    let path = rule["Variable"].as_str().expect("a rule has a variable");
    let found = at(input, path);
    if let Some(wanted) = rule["IsPresent"].as_bool() {
        return found.is_some() == wanted;
    }
    // Step Functions fails an execution whose Choice looks at what is not there.
    let found = found.unwrap_or_else(|| panic!("there is no {path} in {input}"));
    rule.get("StringEquals")
        .or_else(|| rule.get("BooleanEquals"))
        .map_or_else(
            || panic!("a rule of another kind: {rule}"),
            |wanted| found == wanted,
        )
}

/// A state's input with nothing in it that can be left out, through the types that write it: what a path reads that
/// is not there fails the execution, and nothing catches that.
fn smallest(state: &str) -> Value {
    let release = json!({
        "application": "chat", "startedAt": "2026-11-20T12:00:00Z", "functions": [],
        "plan": {"steps": [{"weight": 100, "bakeSeconds": 0}]}, "analysis": {},
        "hold": {"timeoutSeconds": 60, "onTimeout": "leave"}, "blueHours": 24,
        "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 0},
    });
    let release: Release = serde_json::from_value(release).expect("it is a release");
    let outcome = |status| Outcome::of(&release, status, String::new());
    match state {
        "Bake" | "AwaitApproval" | "Hold" => json!(release),
        // Led to only where there is something to wait for.
        "AwaitIdle" => {
            let mut release = release;
            release.spec.idle_wait_seconds = 60;
            json!(release)
        }
        "AwaitHook" => {
            let mut state = json!(release);
            state["hook"] = json!({"point": "afterShift", "functionName": "f", "timeoutSeconds": 60,
                "status": "IN_PROGRESS", "asked": 1, "waitedSeconds": 1, "waitSeconds": 30});
            let release: Release = serde_json::from_value(state).expect("it is a release");
            json!(release)
        }
        "StartRetention" => json!(Finished {
            outcome: Outcome {
                retain_until: Some("2026-11-22T12:00:00Z".parse().expect("it is a time")),
                ..outcome(DeploymentStatus::Successful)
            },
            hook: None,
        }),
        "Done" => json!(Finished {
            outcome: outcome(DeploymentStatus::NoChange),
            hook: None,
        }),
        "DeploymentRolledBack" | "DeploymentHeld" => json!(Ending {
            asked_for: false,
            error: EndError::DeploymentRolledBack,
            cause: outcome(DeploymentStatus::RolledBack).to_cause(),
            outcome: outcome(DeploymentStatus::RolledBack),
            undo: false,
            hook: None,
        }),
        "KeepBlue" => json!({"retainUntil": "2026-11-22T12:00:00Z"}),
        "AwaitStage" => json!({"wiring": {"waitSeconds": 15}}),
        // What a Catch leaves.
        "RollbackFailed" | "RetentionFailed" => json!({"failure": {"Error": "", "Cause": ""}}),
        other => panic!("{other} reads something of its input: say what that is at the least"),
    }
}

#[test]
fn writes_every_path_that_is_read() {
    let mut read = 0;
    for (name, state) in MACHINES.iter().flat_map(Machine::states) {
        let mut paths = Vec::new();
        for (field, path) in state.as_object().expect("a state has fields") {
            // Where it is written, and not read.
            if field.ends_with("Path") && field != "ResultPath" {
                paths.push(path.as_str().expect("a path is text").to_owned());
            }
        }
        let mut parameters = Vec::new();
        dynamic(&state["Parameters"], &mut parameters);
        paths.extend(parameters);
        for path in paths {
            // The whole input, or the context that Step Functions makes.
            if path == "$" || path.starts_with("$$.") {
                continue;
            }
            read += 1;
            let input = match (state["Type"].as_str(), path.as_str()) {
                (Some("Task"), "$.Payload") => json!({"Payload": {}}),
                _ => smallest(&name),
            };
            assert!(
                path.starts_with("$."),
                "{name}: {path} is computed, and nothing limits its length"
            );
            assert!(
                at(&input, &path).is_some(),
                "{name}: {path} may be missing in {input}"
            );
        }
    }
    assert!(read > 25, "{read}");
}

/// The values of all fields whose names say that they are paths.
fn dynamic(value: &Value, found: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        match inner.as_str() {
            Some(path) if name.ends_with(".$") => found.push(path.to_owned()),
            _ => dynamic(inner, found),
        }
    }
}

/// The planned bakes, and a day for all else.
#[test]
fn ends_the_longest_plan_before_its_execution() {
    let total = DEPLOYMENT.definition()["TimeoutSeconds"].as_u64();
    assert!(
        total >= Some(crossfade::domain::budget::MOST_BAKING_SECONDS + 86_400),
        "{total:?}"
    );
}

#[test]
fn reads_the_retention_that_is_written() {
    // What the promotion hands on, through the type that writes it.
    let release: Release = serde_json::from_value(checked("promote")).expect("it is a release");
    let mut outcome = Outcome::of(&release, DeploymentStatus::Successful, String::new());
    outcome.retain_until = Some("2026-11-22T12:00:00Z".parse().expect("it is a time"));
    let outcome = json!(Finished {
        outcome,
        hook: None
    });
    let input = &states()["StartRetention"]["Parameters"]["Input"];
    let mut started = Map::new();
    for (name, path) in input.as_object().expect("it has fields") {
        let path = path.as_str().expect("it is a path");
        let value = match path.strip_prefix("$$.") {
            Some(_) => json!("arn:aws:states:us-east-1:1:execution:crossfade-deployment:42"),
            None => at(&outcome, path).expect(path).clone(),
        };
        started.insert(name.trim_end_matches(".$").to_owned(), value);
    }
    let retention: Retention = serde_json::from_value(json!(started)).expect("it is a retention");
    // And what is handed on after that.
    let state = json!(retention);
    let states = RETENTION.states();
    let path = states["KeepBlue"]["TimestampPath"]
        .as_str()
        .expect("it is a path");
    let until = at(&state, path).and_then(Value::as_str);
    assert_eq!(until, Some("2026-11-22T12:00:00Z"), "Step Functions' form");
    // Nothing that served within the last ten minutes is deleted: AWS may still send it requests.
    assert_eq!(states["KeepBlue"]["Next"], "LetRequestsEnd");
    assert_eq!(states["LetRequestsEnd"]["Seconds"], 600);
    assert_eq!(states["LetRequestsEnd"]["Next"], "PlanCleanup");
    for (more, next) in [(true, "PlanCleanup"), (false, "RetentionOver")] {
        let state = json!(Retention {
            more,
            ..retention.clone()
        });
        assert_eq!(choose(&states["MoreToPrune"], &state), next);
    }
}

/// A parameter that is a list of up to five stands in no ARN as it is: one with a comma would grant nothing.
#[test]
fn grants_each_entry_of_the_lists() {
    let text = fs::read_to_string(paths::repository().join("template.yaml")).expect("it is there");
    for parameter in [
        "TargetFunctionPrefix",
        "ArtifactBucket",
        "ImageRepositoryPrefix",
    ] {
        let pattern = &template()["Parameters"][parameter]["AllowedPattern"];
        let pattern = pattern.as_str().unwrap_or_default();
        assert!(pattern.contains("{0,4}"), "{parameter}: {pattern}");
        let repeated = vec![format!("${{{parameter}}}"); 5].join(",");
        let entries = (0..5).map(|index| {
            let entry = format!("!Select [{index}, !Split [\",\", !Sub \"{repeated}\"]]");
            text.matches(&entry).count()
        });
        let entries: Vec<_> = entries.collect();
        assert!(entries[0] > 0, "{parameter}");
        assert_eq!(entries, [entries[0]; 5], "{parameter}");
        for line in text.lines().filter(|line| line.contains("arn:")) {
            let alone = line.replace(&repeated, "");
            assert!(!alone.contains(&format!("${{{parameter}}}")), "{line}");
        }
    }
}

/// Without keys nothing of KMS is granted, and with some nothing of others.
#[test]
fn grants_no_key_that_is_not_named() {
    let of_kms = |value: &Value| value.to_string().matches("\"kms:").count();
    let mut choices = Vec::new();
    collect(template(), "Fn::If", &mut choices);
    let chosen: Vec<_> = choices
        .iter()
        .filter(|choice| choice[0] == "HasKmsKeys")
        .collect();
    assert!(chosen.len() > 1, "{chosen:?}");
    let granted: usize = chosen.iter().map(|choice| of_kms(choice)).sum();
    assert_eq!(of_kms(template()), granted, "each is behind the condition");
    for choice in chosen {
        assert_eq!(
            choice[1]["Resource"],
            json!({"Ref": "KmsKeyArns"}),
            "{choice}"
        );
        assert!(
            choice[1]["Condition"]["StringEquals"]["kms:ViaService"] != Value::Null,
            "{choice}"
        );
    }
}

/// Lints a definition as a template has it inline; returns what is wrong with it.
fn lint(name: &str, definition: &Value) -> String {
    let template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
            "RoleArn": "arn:aws:iam::123456789012:role/states",
            "Definition": definition,
        }}},
    });
    let dir = paths::target().join("contract");
    fs::create_dir_all(&dir).expect("a folder can be made");
    let file = dir.join(format!("{name}.json"));
    fs::write(&file, template.to_string()).expect("a file can be written");
    let linted = Command::new(paths::tool("cfn-lint"))
        .args(["--regions", "us-east-1", "--include-checks", "I"])
        .args(["--format", "parseable", "--"])
        .arg(&file)
        .current_dir(&dir)
        .output()
        .expect("cfn-lint runs");
    let said = String::from_utf8_lossy(&linted.stdout).into_owned();
    assert!(
        linted.status.success() == said.is_empty(),
        "{said}{}",
        String::from_utf8_lossy(&linted.stderr)
    );
    said
}

/// The definition with an ARN for every placeholder.
fn filled(machine: &Machine) -> Value {
    let mut text = machine.definition().to_string();
    for name in machine.properties()["DefinitionSubstitutions"]
        .as_object()
        .expect("there are substitutions")
        .keys()
    {
        let arn = if name.ends_with("StateMachineArn") {
            format!("arn:aws:states:us-east-1:123456789012:stateMachine:{name}")
        } else {
            format!("arn:aws:lambda:us-east-1:123456789012:function:{name}")
        };
        text = text.replace(&format!("${{{name}}}"), &arn);
    }
    serde_json::from_str(&text).expect("it is JSON still")
}

#[test]
fn lints_the_definition() {
    // cfn-lint does not open a DefinitionUri.
    for machine in MACHINES {
        assert_eq!(lint(machine.file, &filled(&machine)), "");
    }
}

#[test]
fn detects_a_broken_definition() {
    let mut wrong = filled(&DEPLOYMENT);
    wrong["States"]["Bake"]["Type"] = json!("Wiat");
    assert!(lint("wrong-type", &wrong).contains("Wiat"));
    let mut wrong = filled(&DEPLOYMENT);
    wrong["States"]["DeploymentHeld"]["Next"] = json!("Bake");
    assert!(lint("wrong-field", &wrong).contains("Next"));
    let mut wrong = filled(&RETENTION);
    wrong["States"]["KeepBlue"]["Seconds"] = json!("soon");
    assert!(lint("wrong-wait", &wrong).contains("soon"));
}

/// Every text in a value, with the path that leads to it.
fn texts(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                texts(item, &format!("{path}/{nth}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                texts(field, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Longest names, by the property that gives them (each service's own limit).
const NAMES: [(&str, &str, usize); 6] = [
    ("AWS::Serverless::Function", "FunctionName", 64),
    ("AWS::Serverless::StateMachine", "Name", 80),
    ("AWS::CloudWatch::Alarm", "AlarmName", 255),
    ("AWS::CloudWatch::Dashboard", "DashboardName", 255),
    ("AWS::Logs::LogGroup", "LogGroupName", 512),
    ("AWS::Events::Rule", "Name", 64),
];

/// Properties that end in `Name` and are made from no other name.
const UNMADE: [&str; 2] = ["MetricName", "DisplayName"];

/// How long a stack's name may be, which the guide's table of step 2 says.
const STACK_NAME: usize = 50;

#[test]
fn fits_every_name_of_the_longest_stack() {
    let resources = template()["Resources"].as_object().expect("it has some");
    let (mut room, mut named) = (usize::MAX, 0);
    for (resource, described) in resources {
        let kind = described["Type"].as_str().expect("it has one");
        let properties = described["Properties"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let givers: Vec<_> = properties
            .iter()
            .filter(|(property, name)| {
                let is_made = name.get("Ref").is_none() && !UNMADE.contains(&property.as_str());
                property.ends_with("Name") && is_made
            })
            .collect();
        for (property, name) in givers {
            let limit = NAMES
                .iter()
                .find(|(of, known, _)| *of == kind && known == property)
                .unwrap_or_else(|| panic!("{resource}.{property}: say how long it may be"));
            let Some(text) = name["Fn::Sub"].as_str() else {
                panic!("{resource}.{property} is not made from the stack's name");
            };
            let text = text.replace("${AWS::Region}", "ap-northeast-1");
            let rest = text.replacen("${AWS::StackName}", "", 1);
            assert!(!rest.contains("${"), "{resource}.{property}: {rest}");
            room = room.min(limit.2 - rest.len());
            named += 1;
        }
    }
    assert!(named > 20, "{named} names");
    assert_eq!(room, STACK_NAME, "the longest name of a stack");
    let guide = paths::repository().join("docs/getting-started.md");
    let guide = fs::read_to_string(guide).expect("it is there");
    let row = guide
        .lines()
        .find(|line| line.starts_with("| Stack Name |"));
    let row = row.expect("the guide says what the stack may be called");
    assert!(
        row.contains(&format!("at most {STACK_NAME} characters")),
        "{row}"
    );
}

/// CloudFormation cuts the stack's name in the names that it makes itself, so no policy may rely on it.
#[test]
fn relies_only_on_given_names() {
    let resources = template()["Resources"].as_object().expect("it has some");
    let given: BTreeSet<String> = NAMES
        .iter()
        .flat_map(|(kind, property, _)| {
            resources
                .values()
                .filter(move |described| described["Type"] == *kind)
                .filter_map(move |described| described["Properties"][property]["Fn::Sub"].as_str())
        })
        .map(str::to_owned)
        .collect();
    let mut found = Vec::new();
    texts(&template()["Resources"], "", &mut found);
    let mut relied = 0;
    for (path, text) in found {
        // A dashboard names metrics by the stack as a whole.
        if path.ends_with("/DashboardBody/Fn::Sub") {
            continue;
        }
        for (at, _) in text.match_indices("${AWS::StackName}") {
            let tail = at + "${AWS::StackName}".len();
            let end = text[tail..].find([':', '"', '/']);
            let end = end.map_or(text.len(), |end| tail + end);
            let whole = given.contains(&text) || given.contains(&text[at..end]);
            assert!(whole, "{path}: {text}");
            relied += 1;
        }
    }
    assert!(relied > 20, "{relied}");

    // By name, every rule that SAM makes may use the queue: a function's logical id and its event's.
    let mut rules = BTreeSet::new();
    for (function, described) in resources {
        let events = described["Properties"]["Events"].as_object();
        for (event, described) in events.into_iter().flatten() {
            let queue = &described["Properties"]["DeadLetterConfig"]["Arn"]["Fn::GetAtt"];
            assert_eq!(queue[0], "UndeliveredEvents", "{function} {event}");
            rules.insert(format!("{function}{event}"));
        }
    }
    let policy = &resources["UndeliveredEventsPolicy"]["Properties"]["PolicyDocument"];
    let sources = &policy["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"];
    let sources = sources.as_array().expect("they are listed");
    let sources: BTreeSet<String> = sources
        .iter()
        .filter_map(|source| source["Fn::GetAtt"][0].as_str())
        .map(str::to_owned)
        .collect();
    assert_eq!(sources, rules);
}

/// A default bus also carries what other accounts and Regions forward to it.
#[test]
fn rules_take_events_of_the_stack_s_account_and_region_alone() {
    let resources = template()["Resources"].as_object().expect("it has some");
    let mut rules = 0;
    for (function, described) in resources {
        let events = described["Properties"]["Events"].as_object();
        for (event, described) in events.into_iter().flatten() {
            let pattern = &described["Properties"]["Pattern"];
            if described["Type"] == "EventBridgeRule" {
                assert_eq!(
                    pattern["account"],
                    json!([{"Ref": "AWS::AccountId"}]),
                    "{function} {event}"
                );
                assert_eq!(
                    pattern["region"],
                    json!([{"Ref": "AWS::Region"}]),
                    "{function} {event}"
                );
                rules += 1;
            }
            let variables = &resources[function]["Properties"]["Environment"]["Variables"];
            let executions = variables["EXECUTIONS"]["Fn::Sub"]
                .as_str()
                .unwrap_or_default();
            assert!(
                executions.ends_with(":execution:${AWS::StackName}-deployment"),
                "{function} tells events of the stack by {executions:?}"
            );
        }
    }
    assert_eq!(rules, 2);
}
