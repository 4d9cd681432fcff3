//! The request, its schema, its examples and a table of mistakes: they must all say the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, thread};

use crossfade::domain::weight::Weight;
use crossfade::{
    domain::analysis::Analysis,
    parse::{
        problem::{MOST_PROBLEMS, Problems},
        size::{MAX_DEPTH, MAX_REQUEST_BYTES},
    },
    wire::request::{MAX_PAYLOAD_BYTES, ReleaseRequest, Request, request_of},
};
use jsonschema::Validator;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The file in the nearest directory above this crate that has it.
fn file(name: &str) -> PathBuf {
    let mut above = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|d| d.join(name));
    above
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is nowhere above this crate"))
}

fn read(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(file(name)).unwrap()).unwrap()
}

fn examples() -> Vec<(&'static str, Value)> {
    ["canary", "blue-green", "prod"]
        .map(|name| (name, read(&format!("events/{name}.json"))))
        .into()
}

fn validator() -> &'static Validator {
    static VALIDATOR: LazyLock<Validator> =
        LazyLock::new(|| jsonschema::draft202012::new(&Request::schema()).unwrap());
    &VALIDATOR
}

fn minimal() -> Value {
    json!({
        "application": "chat",
        "functions": [{ "functionName": "chat-api", "alias": "production" }],
        "strategy": "dev",
    })
}

fn records() -> Value {
    json!({ "type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ", "recordName": "api.example.com" })
}

fn release(request: &Value) -> ReleaseRequest {
    match Request::parse(request) {
        Ok(Request::Release(release)) => *release,
        other => panic!("{request}: {other:?}"),
    }
}

fn problems(request: &Value) -> Problems {
    Request::parse(request).expect_err(&request.to_string())
}

#[test]
fn keeps_the_request_schema_current() {
    let path = file("statemachine").join("request.schema.json");
    let schema = format!("{:#}\n", Request::schema());
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == schema,
        "{} is old: UPDATE_SCHEMA=1 cargo test the_schema",
        path.display()
    );
}

#[test]
fn describes_every_field() {
    fn walk(schema: &Value, at: &str) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            // The tag of a kind, and the one field of a variant, are described by these.
            let is_tag = name == "type" && !field["const"].is_null();
            let is_variant = at == "oneOf" && schema["description"].is_string();
            let told = field["description"].is_string() || is_tag || is_variant;
            assert!(told, "{at}.{name} has no description");
            // A range in words is the range that is checked.
            let words = field["description"].as_str().unwrap_or_default();
            for bound in ["minimum", "maximum"].map(|key| &field[key]) {
                assert!(
                    bound.is_null() || words.contains(&bound.to_string()),
                    "{at}.{name}: {bound} is not in {words:?}"
                );
            }
        }
        if schema["type"] == "object" && schema["properties"].is_object() && at != "request" {
            assert_eq!(schema["additionalProperties"], false, "{at}");
        }
        match schema {
            // Conditions, and what they ask for, are not a field's place.
            Value::Object(fields) => {
                let conditions = ["if", "then", "else"];
                let inner = fields
                    .iter()
                    .filter(|(key, _)| !conditions.contains(&key.as_str()));
                inner.for_each(|(key, inner)| walk(inner, key));
            }
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, at)),
            _ => {}
        }
    }
    walk(&Request::schema(), "request");
}

#[test]
fn accepts_every_example() {
    let schema = validator();
    for (name, example) in examples() {
        let request = Request::parse(&example).unwrap_or_else(|p| panic!("{name}: {p}"));
        schema
            .validate(&example)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_carried(&request);
    }
}

/// The request survives being written as JSON and read again, and its schema knows what is written.
fn assert_carried(request: &Request) {
    let carried = serde_json::to_value(request).unwrap();
    assert_eq!(Request::parse(&carried).as_ref(), Ok(request), "{carried}");
    assert_eq!(
        &serde_json::from_value::<Request>(carried.clone()).unwrap(),
        request,
        "{carried}"
    );
    assert!(validator().is_valid(&carried), "{carried}");
}

#[test]
fn applies_the_documented_defaults() {
    let release = release(&minimal());
    assert_eq!(release.analysis, Analysis::default());
    assert_eq!(release.analysis, serde_json::from_value(json!({})).unwrap());
    assert_eq!(
        (release.retention.blue_hours, release.hold_timeout_seconds),
        (24, 86_400)
    );
    let defs = &Request::schema()["$defs"];
    let written = serde_json::to_value(&release).unwrap();
    for (field, schema) in defs["ReleaseRequest"]["properties"].as_object().unwrap() {
        if let Some(default) = schema.get("default") {
            assert_eq!(&written[field], default, "{field}");
        }
    }
    for (field, schema) in defs["Analysis"]["properties"].as_object().unwrap() {
        if let Some(default) = schema.get("default") {
            assert_eq!(&written["analysis"][field], default, "{field}");
        }
    }
}

#[test]
fn null_is_absent_where_absent_is_allowed_and_has_no_default() {
    let mut request = minimal();
    request["functions"][0]["code"] = Value::Null;
    request["analysis"] = json!({ "maxP99Ms": null, "maxErrorRatePercent": null });
    assert_eq!(release(&request), release(&minimal()));
    assert!(validator().is_valid(&request));
}

#[test]
fn parses_a_manual_rollback() {
    let bare = json!({ "action": "rollback", "application": "chat" });
    let reason =
        json!({ "action": "rollback", "application": "chat", "reason": "slow since 10:40" });
    for request in [bare, reason] {
        let parsed = Request::parse(&request).unwrap();
        assert!(
            matches!(parsed, Request::Rollback { .. }) && parsed.application().as_ref() == "chat"
        );
        assert_eq!(serde_json::to_value(&parsed).unwrap(), request);
        assert_carried(&parsed);
    }
}

#[test]
fn reads_a_rollback_to_a_version() {
    for more in [
        json!({}),
        json!({"functionName": "chat-api", "reason": "slow since 10:40"}),
    ] {
        let mut request = json!({"action": "rollback", "application": "chat", "toVersion": "3"});
        let fields = request.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let parsed = Request::parse(&request).unwrap();
        assert!(matches!(parsed, Request::ToVersion(_)), "{parsed:?}");
        assert_eq!(parsed.application().as_ref(), "chat");
        assert_eq!(serde_json::to_value(&parsed).unwrap(), request);
        assert_carried(&parsed);
    }
}

#[test]
fn wires_a_stage_alone_or_before_a_release() {
    let stage = json!({
        "type": "apiGateway", "apiId": "a1b2c3d4e5", "stage": "$default", "alias": "production",
    });
    for action in ["wire", "unwire"] {
        let mut request = json!({"action": action, "application": "chat", "frontDoor": stage});
        for function in [None, Some("chat-api")] {
            if let Some(function) = function {
                request["frontDoor"]["functionName"] = json!(function);
            }
            let parsed = Request::parse(&request).unwrap();
            assert_eq!(serde_json::to_value(&parsed).unwrap(), request);
            assert_eq!(parsed.application().as_ref(), "chat");
            assert_carried(&parsed);
        }
    }
    let mut request = minimal();
    request["frontDoor"] = stage;
    assert_carried(&Request::parse(&request).unwrap());
    request["functions"] = json!([
        { "functionName": "chat-api", "alias": "production" },
        { "functionName": "chat-worker", "alias": "live" },
    ]);
    request["frontDoor"]["functionName"] = json!("chat-api");
    assert!(release(&request).front_door.is_some());
}

#[test]
fn says_what_a_release_is_and_names_its_schema() {
    let mut request = minimal();
    assert!(release(&request).about().is_empty());
    let about = json!({"description": "Answers in German", "commit": "3f2c1d0", "by": "Ada",
        "url": "https://github.com/example/chat/pull/7"});
    for (field, value) in about.as_object().unwrap() {
        request[field] = value.clone();
    }
    request["$schema"] = json!("../request.schema.json");
    assert!(validator().is_valid(&request));
    assert_eq!(json!(release(&request).about()), about);
    // What was said of that version is not said of an older one.
    let to = json!({"action": "rollback", "application": "chat", "toVersion": "3"});
    let Ok(Request::ToVersion(to)) = Request::parse(&to) else {
        panic!("it is a rollback to a version");
    };
    let back = request_of(&release(&request), &to).unwrap();
    assert!(back.about().is_empty());
    for action in ["rollback", "wire", "unwire"] {
        let named = json!({"$schema": "https://example.com/x", "action": action});
        let wrong = problems(&named).to_string();
        assert!(!wrong.contains("schema"), "{wrong}");
    }
}

#[test]
fn health_checks_are_of_two_kinds() {
    let mut request = minimal();
    request["traffic"] = records();
    request["analysis"] = json!({"healthChecks": [
        {"route53HealthCheckId": "abcdef11-2222-3333-4444-555555fedcba", "setIdentifier": "blue"},
        {"url": "https://green.example.com:8443/health?deep=1", "intervalSeconds": 20,
            "setIdentifier": "green"},
    ]});
    let parsed = Request::parse(&request).unwrap();
    assert_carried(&parsed);
    let analysis = release(&request).analysis;
    assert_eq!(analysis.look_every_seconds(), 20);
    let written = serde_json::to_value(&analysis.health_checks[1]).unwrap();
    assert_eq!(written["expectedStatus"], 200);
}

#[test]
fn prod_asks_a_person_before_the_last_step() {
    let release = release(&read("events/prod.json"));
    let plan = release.plan();
    assert_eq!(plan.approve_before(), Weight::try_from(95.0).ok());
    assert_eq!(
        [0, 1, 2].map(|index| plan.needs_approval(index)),
        [false, false, true]
    );
    assert_eq!(
        [0, 1, 2, 3].map(|i| release.max_bake_seconds(i)),
        [Some(3600), Some(3600), Some(3600), None]
    );
}

#[test]
fn accepts_weights_in_steps_of_a_tenth() {
    for tenths in 1..1000u16 {
        let percent = f64::from(tenths) / 10.0;
        let mut request = minimal();
        request["strategy"] = json!({ "type": "canary", "approveBefore": percent, "steps": [
            { "weight": percent, "bakeSeconds": 60 }, { "weight": 100, "bakeSeconds": 0 }] });
        let plan = release(&request).plan();
        assert_eq!(plan.steps()[0].weight.tenths(), tenths);
        assert!(plan.needs_approval(0) && validator().is_valid(&request));
        // What is written has no digit that the request had not.
        let written = serde_json::to_value(&plan).unwrap();
        let digits = match tenths % 10 {
            0 => format!("{}", tenths / 10),
            tenth => format!("{}.{tenth}", tenths / 10),
        };
        assert_eq!(written["steps"][0]["weight"].to_string(), digits);
        let finer = f64::from(tenths).mul_add(10.0, 5.0) / 100.0;
        request["strategy"]["steps"][0]["weight"] = json!(finer);
        let found = problems(&request).to_string();
        let told = format!(
            "strategy.steps[0].weight: must be a number from 0 to 100 in steps of 0.1, not {finer}"
        );
        assert!(found.starts_with(&told), "{found}");
    }
}

#[test]
fn defaults_the_longest_bake_to_three_times_the_bake() {
    let release = release(&read("events/canary.json"));
    assert_eq!(
        [0, 1, 2].map(|i| release.max_bake_seconds(i)),
        [Some(900), Some(1800), Some(900)]
    );
}

#[test]
fn accepts_the_longest_bake_of_a_plan() {
    let mut request = minimal();
    request["strategy"] = json!("prod");
    request["analysis"] = json!({ "maxBakeSeconds": 600 });
    assert_eq!(release(&request).max_bake_seconds(1), Some(600));
}

#[test]
fn keeps_a_control_group_as_requested_and_by_default_with_prod() {
    let plan = |strategy: Value, analysis: Value| {
        let mut request = minimal();
        request["strategy"] = strategy;
        request["analysis"] = analysis;
        let plan = release(&request).plan();
        let last = plan.step(plan.len() - 1).expect("a last step").weight;
        assert_eq!(last.rest(), plan.control());
        (
            last.percent(),
            plan.approve_before()
                .map(crossfade::domain::weight::Weight::percent),
        )
    };
    assert_eq!(plan(json!("prod"), json!({})), (95.0, Some(95.0)));
    assert_eq!(
        plan(json!("prod"), json!({"controlPercent": 0})),
        (100.0, Some(100.0))
    );
    assert_eq!(
        plan(json!("prod"), json!({"controlPercent": 0.1})),
        (99.9, Some(99.9))
    );
    for name in [
        "AllAtOnce",
        "BlueGreen",
        "dev",
        "Linear10PercentEvery1Minute",
    ] {
        assert_eq!(plan(json!(name), json!({})), (100.0, None), "{name}");
    }
    let all_at_once = json!({"type": "allAtOnce", "bakeSeconds": 60});
    assert_eq!(
        plan(all_at_once, json!({"controlPercent": 50})),
        (50.0, None)
    );
    // As an object it says 100, and means it.
    let steps = json!([{"weight": 10, "bakeSeconds": 60}, {"weight": 100, "bakeSeconds": 60}]);
    let canary = json!({"type": "canary", "steps": steps, "approveBefore": 10});
    assert_eq!(plan(canary.clone(), json!({})), (100.0, Some(10.0)));
    assert_eq!(
        plan(canary, json!({"controlPercent": 5})),
        (95.0, Some(10.0))
    );
}

#[test]
fn staging_is_all_at_once_after_smoke_tests() {
    let mut request = minimal();
    request["strategy"] = json!("staging");
    request["functions"][0]["smokeTests"] = json!([{ "name": "health" }]);
    assert_eq!(release(&request).plan().len(), 1);
}

// --- mistakes ---------------------------------------------------------------------------------

/// A row of `bad_requests.json`.
#[derive(Deserialize)]
struct Bad {
    /// What is wrong, in a few words.
    name: String,
    request: Value,
    /// Every path that must be reported, with a part of its message.
    problems: BTreeMap<String, String>,
    /// Whether the schema can tell; rules between fields it cannot.
    schema: bool,
}

fn bad_requests() -> Vec<Bad> {
    serde_json::from_value(read("tests/bad_requests.json")).unwrap()
}

#[test]
fn reports_all_problems_of_every_bad_request() {
    let rows = bad_requests();
    assert!(rows.len() >= 150, "only {} rows", rows.len());
    for Bad {
        name,
        request,
        problems: expected,
        ..
    } in rows
    {
        let found = problems(&request);
        for problem in found.as_slice() {
            let says = expected.get(&problem.path);
            assert!(
                says.is_some_and(|says| problem.message.contains(says)),
                "{name}: {problem}"
            );
        }
        assert_eq!(found.as_slice().len(), expected.len(), "{name}: {found}");
        assert_eq!(
            found.to_string().lines().count(),
            expected.len(),
            "{name}: {found}"
        );
    }
}

#[test]
fn refuses_bad_requests_by_schema() {
    let schema = validator();
    for Bad {
        name,
        request,
        schema: tells,
        ..
    } in bad_requests()
    {
        assert_eq!(schema.is_valid(&request), !tells, "{name}: {request}");
    }
}

/// Random numbers that are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        for shift in [13, 7, 17] {
            self.0 ^= if shift == 7 {
                self.0 >> shift
            } else {
                self.0 << shift
            };
        }
        usize::try_from(self.0 >> 11).unwrap() % sides
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// Changes one place of a request: removes it, repeats it, names it otherwise, or puts something else there.
fn mutate(request: &mut Value, other: &Value, dice: &mut Dice) {
    let (mut here, mut there) = (vec![], vec![]);
    places(request, "", &mut here);
    places(other, "", &mut there);
    let place = dice.one_of(&here);
    let odd = [
        json!(null),
        json!(true),
        json!(""),
        json!("x"),
        json!("a\u{7}b"),
        json!("y".repeat(1200)),
        json!(-1),
        json!(0),
        json!(1),
        json!(0.5),
        json!(2.0),
        json!(59),
        json!(101),
        json!(600_001),
        json!([]),
        json!([1]),
        json!({}),
        json!({ "x": 1 }),
    ];
    let Some((above, name)) = place.rsplit_once('/') else {
        *request = dice.one_of(&odd);
        return;
    };
    let name = &*name.replace("~1", "/").replace("~0", "~");
    let strange = dice.one_of(&odd);
    let foreign = other.pointer(&dice.one_of(&there)).cloned().unwrap();
    match (dice.below(8), request.pointer_mut(above).unwrap()) {
        (0 | 1, Value::Object(fields)) => drop(fields.remove(name)),
        (2, Value::Object(fields)) => {
            let value = fields.remove(name).unwrap();
            fields.insert(format!("{name}s"), value);
        }
        (3, Value::Object(fields)) => drop(fields.insert(name.to_owned(), json!(null))),
        (0 | 1, Value::Array(items)) => drop(items.remove(name.parse().unwrap())),
        (2 | 3, Value::Array(items)) => {
            let again = items[name.parse::<usize>().unwrap()].clone();
            items.push(again);
        }
        (4, _) => *request.pointer_mut(&place).unwrap() = foreign,
        _ => *request.pointer_mut(&place).unwrap() = strange,
    }
}

/// A schema cannot say rules across fields, nor what a URL or a number of bytes is: such rules are the rows of
/// `bad_requests.json` that it takes. In everything else both say the same.
#[test]
fn schema_and_program_agree_on_mutated_requests() {
    const CASES: usize = 10_000;
    let (schema, rows) = (validator(), bad_requests());
    let beyond: Vec<&str> = rows
        .iter()
        .filter(|row| !row.schema)
        .flat_map(|row| row.problems.values())
        .map(String::as_str)
        .collect();
    let mut bases = full().to_vec();
    bases.push(minimal());
    let rich = bases.len();
    let bad = rows.iter().map(|row| row.request.clone());
    bases.extend(bad.filter(Value::is_object));
    let mut dice = Dice(0x5eed);
    let (mut agree, mut accepted, mut across, mut wrong) = (0, 0, 0, vec![]);
    for nth in 0..CASES {
        let of = if nth % 2 == 0 { rich } else { bases.len() };
        let mut request = bases[dice.below(of)].clone();
        for _ in 0..=dice.below(2) {
            let other = bases[dice.below(bases.len())].clone();
            mutate(&mut request, &other, &mut dice);
        }
        let parsed = Request::parse(&request);
        match (schema.is_valid(&request), &parsed) {
            (true, Err(problems))
                if problems.as_slice().iter().all(|problem| {
                    beyond
                        .iter()
                        .chain(&RULES)
                        .any(|rule| problem.message.contains(rule))
                }) =>
            {
                across += 1;
            }
            (takes, parsed) if takes == parsed.is_ok() => {
                agree += 1;
                accepted += usize::from(takes);
            }
            (takes, parsed) => {
                let program = parsed
                    .as_ref()
                    .map_or_else(ToString::to_string, |_| "takes it".into());
                wrong.push(format!("schema {takes}, program: {program}\n{request}"));
            }
        }
    }
    println!(
        "schema: {CASES} requests, {agree} agree ({accepted} accepted), {across} rules across fields"
    );
    assert!(
        wrong.is_empty(),
        "{} of {CASES} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
    assert!(
        accepted > 500 && agree - accepted > 500,
        "{accepted} of {agree} accepted"
    );
}

/// Common validators refuse a `format` that they do not know, and some know none by default.
#[test]
fn schemas_have_no_format() {
    for schema in [Request::schema(), crossfade::notice::Event::schema()] {
        let text = schema.to_string();
        assert!(
            !text.contains("\"format\":"),
            "a format is in {}",
            schema["title"]
        );
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn reports_all_mistakes() {
    // One of each kind of check, all in one request.
    let request = json!({
        "application": 7,
        "functions": [
            { "functionName": "a", "alias": "live", "prewarm": 1 },
            { "functionName": "a", "alias": "$LATEST", "code": { "s3Bucket": "artifacts" } },
            "b",
        ],
        "strategy": { "type": "canary", "steps": [{ "weight": 10, "bakeSeconds": 60 }] },
        "analysis": { "alarms": ["x", "x"], "minInvocations": "many" },
        "traffik": {},
    });
    let found = problems(&request);
    let paths: Vec<_> = found
        .as_slice()
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    let expected = [
        "analysis.minInvocations",
        "application",
        "functions[1].alias",
        "functions[1].code.s3Key",
        "functions[2]",
        "strategy.steps[0].weight",
        "traffik",
        "functions[1].functionName",
        "functions[0].prewarm",
        "analysis.alarms[1]",
    ];
    assert_eq!(paths, expected, "{found}");
}

#[test]
fn bounds_the_list_of_problems() {
    let mut request = minimal();
    request["functions"] = (0..50).map(|_| json!({ "x": 1, "y": 2 })).collect();
    let found = problems(&request);
    assert_eq!(found.as_slice().len(), MOST_PROBLEMS);
    assert!(
        found
            .to_string()
            .ends_with(&format!("these {MOST_PROBLEMS} come first")),
        "{found}"
    );
    // A page in the request must not become a page in a Cause.
    request["action"] = json!("y".repeat(10_000));
    request["functions"] = json!("x".repeat(10_000));
    request["\u{1F642}".repeat(10_000)] = json!(1);
    assert!(problems(&request).to_string().len() < 1000);
}

#[test]
fn limits_payload_and_request_size() {
    let with = |bytes: usize, tests: usize| {
        let test = |n| json!({ "name": format!("t{n}"), "payload": "x".repeat(bytes - 2) });
        let mut request = minimal();
        request["functions"][0]["smokeTests"] = (0..tests).map(test).collect();
        request
    };
    release(&with(MAX_PAYLOAD_BYTES, 1));
    let found = problems(&with(MAX_PAYLOAD_BYTES + 1, 1));
    assert_eq!(
        found.as_slice()[0].path,
        "functions[0].smokeTests[0].payload",
        "{found}"
    );
    let found = problems(&with(MAX_PAYLOAD_BYTES, 2));
    assert_eq!(found.as_slice()[0].path, "$", "{found}");
    assert!(
        found.to_string().contains(&MAX_REQUEST_BYTES.to_string()),
        "{found}"
    );
}

/// A request whose nesting is `levels` deep.
fn nested(levels: usize) -> Value {
    let mut request = minimal();
    // The payload is inside five: the request, functions, the function, smokeTests, the test.
    let payload = (5..levels).fold(Value::Null, |inner, n| match n % 2 {
        0 => Value::Array(vec![inner]),
        _ => Value::Object(Map::from_iter([("in".to_owned(), inner)])),
    });
    request["functions"][0]["smokeTests"] = json!([{ "name": "deep", "payload": null }]);
    // Moved in, for `json!` would copy it, recursing.
    request["functions"][0]["smokeTests"][0]["payload"] = payload;
    request
}

#[test]
fn nesting_has_a_limit() {
    release(&nested(MAX_DEPTH));
    let found = problems(&nested(MAX_DEPTH + 1));
    let problem = &found.as_slice()[0];
    assert!(
        problem
            .path
            .starts_with("functions[0].smokeTests[0].payload"),
        "{problem}"
    );
    assert!(problem.message.contains("nested too deep"), "{problem}");
}

#[test]
fn bounds_nesting() {
    // Dropping a Value recurses, so it lives here and only the parser gets the small stack.
    let deep = nested(5000);
    thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(96 * 1024);
        let found = parser
            .spawn_scoped(scope, || Request::parse(&deep).unwrap_err())
            .unwrap()
            .join()
            .unwrap();
        assert!(found.to_string().contains("nested too deep"), "{found}");
    });
}

// --- parser and schema, value by value --------------------------------------------------------

/// What only the parser knows: rules between fields, and sizes in bytes.
const RULES: [&str; 13] = [
    "same function",
    "is the same as",
    "must rise",
    "this is the last step",
    "which no step has",
    "needs a smoke test",
    "strategy's longest bake",
    "bytes",
    "in steps of 0.1",
    "swap roles at each promotion",
    "which the health check asks when it is green",
    "does not name a record",
    "together, by their maxDurationMs",
];

fn assert_agree(schema: &Validator, request: &Value) {
    match (Request::parse(request), schema.is_valid(request)) {
        (Ok(parsed), true) => assert_carried(&parsed),
        (Ok(_), false) => {
            let errors: Vec<_> = schema.iter_errors(request).map(|e| e.to_string()).collect();
            panic!("only the schema refuses {request}: {errors:?}");
        }
        (Err(_), false) => {}
        (Err(found), true) => {
            for problem in found.as_slice() {
                let rule = RULES.iter().any(|rule| problem.message.contains(rule));
                assert!(rule, "only the parser refuses {request}: {problem}");
            }
        }
    }
}

/// Requests that together have every field and kind.
fn full() -> &'static [Value] {
    static FULL: LazyLock<Vec<Value>> = LazyLock::new(make_full);
    &FULL
}

fn make_full() -> Vec<Value> {
    let with = |field: &str, value: Value| {
        let mut request = read("events/prod.json");
        request[field] = value;
        request
    };
    let code = |code: Value| {
        let mut request = read("events/prod.json");
        request["functions"][0]["code"] = code;
        request["functions"][0]["maxColdStartMs"] = json!(900);
        request
    };
    let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/chat";
    let mut all: Vec<Value> = examples().into_iter().map(|(_, example)| example).collect();
    all.extend([
        with(
            "strategy",
            json!({ "type": "allAtOnce", "bakeSeconds": 5, "approveBefore": 100 }),
        ),
        with(
            "strategy",
            json!({ "type": "blueGreen", "bakeSeconds": 5, "approveBefore": 0 }),
        ),
        with(
            "strategy",
            json!({ "type": "linear", "stepWeight": 20, "intervalSeconds": 5, "bakeSeconds": 9,
                    "approveBefore": 40 }),
        ),
        with(
            "strategy",
            json!({ "type": "linear", "stepWeight": 33.3, "intervalSeconds": 5, "approveBefore": 99.9 }),
        ),
        with(
            "strategy",
            json!({ "type": "canary", "approveBefore": 2.5, "steps": [
                { "weight": 0.1, "bakeSeconds": 60 }, { "weight": 2.5, "bakeSeconds": 60 },
                { "weight": 100, "bakeSeconds": 0 }] }),
        ),
        code(json!({ "s3Bucket": "artifacts", "s3Key": "k", "s3ObjectVersion": "v" })),
        code(json!({ "imageUri": format!("{image}@sha256:{}", "0a".repeat(32)) })),
        code(json!({ "version": "42" })),
        json!({ "action": "rollback", "application": "chat", "reason": "slow" }),
    ]);
    all
}

/// Every place in a value, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let token = key.replace('~', "~0").replace('/', "~1");
                places(inner, &format!("{at}/{token}"), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Values to try at every place: wrong kinds, both sides of every bound, texts of every rule.
#[rustfmt::skip]
fn probes() -> Vec<Value> {
    let mut probes = vec![
        json!(null), json!(true), json!([]), json!({}), json!([1]), json!([null]),
        json!({ "x": 1 }), json!({ "type": "alias" }), json!({ "": 1 }),
        json!({ "/a/b~0": 1 }), json!({ "a": 1 }), json!({ "~": 1 }), json!({ "/~2": 1 }),
        json!(["a", "a"]), json!(["a", "b"]), json!(-1), json!(-0.0), json!(0.5), json!(10.0),
        json!(10.5), json!(0.1), json!(0.05), json!(99.9), json!(100.1), json!(0.1 + 0.2), json!(1e10), json!(1e300), json!(u64::MAX), json!(i64::MIN),
    ];
    // Both sides of every bound there is.
    for bound in [
        0, 1, 10, 60, 100, 168, 599, 600, 3600, 86_400, 172_800, 604_800, 900_000, 1_000_000,
    ] {
        probes.extend([json!(bound - 1), json!(bound), json!(bound + 1)]);
    }
    for text in [
        "", "a", "A", "-", "_", ".", "a.b", "a:b", "a b", "$LATEST", "0", "042", "42", "4a",
        "a\n", "\n", "\u{7f}", "é", "🙂", "/", "a/b", "..", "a..b", "1.2.3.4", "1.2.3.a", "-ab",
        "ab-", "abc", "arn:x", "prod", "dev", "canary", "release", "rollback", "hold", "leave",
        "alias", "AllAtOnce", "LambdaAllAtOnce", "Linear10PercentEvery1Minute",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ab:1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:1",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/ab/c:v1.0_x-",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ab:",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ab:.a",
        "12345678901.dkr.ecr.eu-west-1.amazonaws.com/ab:1",
        "123456789012.dkr.ecr..amazonaws.com/ab:1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws./ab:1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/AB:1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ab:1:2",
    ] {
        probes.push(json!(text));
    }
    for length in [
        2, 3, 20, 21, 63, 64, 65, 128, 129, 255, 256, 1000, 1001, 1024, 1025,
    ] {
        probes.extend([json!("a".repeat(length)), json!("1".repeat(length))]);
    }
    probes
}

#[test]
fn parser_and_schema_agree_at_every_place() {
    let probes = probes();
    let schema = validator();
    let mut tried = 0;
    for request in full() {
        assert_agree(schema, request);
        let mut all = Vec::new();
        places(request, "", &mut all);
        for place in all {
            for probe in &probes {
                let mut changed = request.clone();
                *changed.pointer_mut(&place).unwrap() = probe.clone();
                assert_agree(schema, &changed);
                if let Some(Value::Object(fields)) = changed.pointer_mut(&place) {
                    fields.insert("unknown".to_owned(), json!(1));
                    assert_agree(schema, &changed);
                }
                tried += 1;
            }
        }
    }
    println!("parser and schema agree on {tried} requests");
}

#[test]
fn parser_and_schema_agree_at_every_place_of_a_health_check() {
    let mut request = minimal();
    request["traffic"] = records();
    request["analysis"] = json!({"healthChecks": [
        {"url": "https://blue.example.com/health", "setIdentifier": "blue", "targetGroupArn": null},
        {"route53HealthCheckId": "abc", "setIdentifier": "green"},
    ]});
    let (schema, probes) = (validator(), probes());
    assert!(Request::parse(&request).is_ok());
    assert_agree(schema, &request);
    let mut all = Vec::new();
    places(&request["analysis"], "/analysis", &mut all);
    for place in all {
        for probe in &probes {
            let mut changed = request.clone();
            *changed.pointer_mut(&place).unwrap() = probe.clone();
            assert_agree(schema, &changed);
        }
    }
}

/// A check of a release that a former version began is of no side, and is carried as it is.
#[test]
fn carries_a_health_check_without_a_side() {
    let former = json!({"healthChecks": [{"url": "https://green.example.com/health"}]});
    let analysis: Analysis = serde_json::from_value(former).unwrap();
    assert_eq!(analysis.health_checks[0].side(), None);
    let written = serde_json::to_value(&analysis).unwrap();
    assert_eq!(
        serde_json::from_value::<Analysis>(written).unwrap(),
        analysis
    );
}

// --- anything at all --------------------------------------------------------------------------

/// Words that mean something somewhere, so that arbitrary JSON gets past the first check.
const WORDS: &[&str] = &[
    "action",
    "application",
    "functions",
    "functionName",
    "alias",
    "code",
    "s3Bucket",
    "s3Key",
    "version",
    "imageUri",
    "smokeTests",
    "name",
    "payload",
    "expect",
    "json",
    "statusCode",
    "prewarm",
    "strategy",
    "type",
    "canary",
    "linear",
    "blueGreen",
    "steps",
    "weight",
    "bakeSeconds",
    "stepWeight",
    "intervalSeconds",
    "approveBefore",
    "analysis",
    "alarms",
    "maxBakeSeconds",
    "traffic",
    "retention",
    "release",
    "rollback",
    "prod",
    "staging",
    "chat",
];

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        proptest::sample::select(WORDS).prop_map(str::to_owned),
        any::<String>()
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..200u8).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 96, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((word.clone(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parse_answers_whatever_it_is_given(input in any_json()) {
        if let Err(found) = Request::parse(&input) {
            prop_assert!(!found.as_slice().is_empty() && found.to_string().len() < 32 * 1024);
        }
    }

    #[test]
    fn parse_answers_whatever_a_field_becomes(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        value in any_json(),
    ) {
        let all = full();
        let mut request = all[which.index(all.len())].clone();
        let mut found = Vec::new();
        places(&request, "", &mut found);
        *request.pointer_mut(&found[place.index(found.len())]).unwrap() = value;
        if let Ok(parsed) = Request::parse(&request) {
            assert_carried(&parsed);
        }
    }
}
