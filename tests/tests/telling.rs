//! The template against what the code tells: the dashboard draws what is measured, queues and stuck
//! releases have alarms, and whoever tells may.

use std::collections::{BTreeMap, BTreeSet};

use crossfade::{
    metrics::{Metric, NAMESPACE},
    notice::{Kind, SOURCE},
};
use crossfade_tests::yaml;
use serde_json::Value;
use strum::VariantArray as _;

/// A metric by its name and the names of its dimensions.
type Series = (String, Vec<String>);

fn template() -> Value {
    yaml::read("template.yaml")
}

fn resources(template: &Value, kind: &str) -> BTreeMap<String, Value> {
    let all = template["Resources"].as_object().expect("it has some");
    all.iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.clone(), resource["Properties"].clone()))
        .collect()
}

/// What the template calls something by, whichever way it does.
fn refers_to(value: &Value, resource: &str) -> bool {
    let got = |target: &Value| match target {
        Value::String(text) => text.split('.').next() == Some(resource),
        Value::Array(parts) => parts.first().is_some_and(|first| first == resource),
        _ => false,
    };
    got(&value["Ref"]) || got(&value["Fn::GetAtt"])
}

/// The widgets, with a region and a stack of some name.
fn widgets() -> Vec<Value> {
    let dashboards = resources(&template(), "AWS::CloudWatch::Dashboard");
    assert_eq!(dashboards.len(), 1);
    let body = dashboards["Dashboard"]["DashboardBody"]["Fn::Sub"]
        .as_str()
        .expect("it is a text with substitutions");
    // As CloudFormation does it: `${!name}` is a literal `${name}`.
    let body = body.replace("${!", "$literal{");
    let mut filled = String::new();
    for (nth, part) in body.split("${").enumerate() {
        if nth == 0 {
            filled.push_str(part);
            continue;
        }
        let (name, rest) = part.split_once('}').expect("it ends");
        filled.push_str(match name {
            "AWS::Region" => "eu-west-1",
            "AWS::StackName" => "crossfade",
            alarm => {
                let alarm = alarm.strip_suffix(".Arn").expect("only alarms are left");
                assert!(
                    resources(&template(), "AWS::CloudWatch::Alarm").contains_key(alarm),
                    "{alarm} is no alarm"
                );
                "arn:aws:cloudwatch:eu-west-1:1:alarm:a"
            }
        });
        filled.push_str(rest);
    }
    let filled = filled.replace("$literal{", "${");
    let body: Value = serde_json::from_str(&filled).expect("a dashboard is JSON");
    body["widgets"].as_array().expect("it has widgets").clone()
}

/// What a metric of a widget is of: `SEARCH('{Namespace,Dimension,…} … MetricName="Name"', …)`, or the
/// metric itself.
fn series(metric: &Value) -> Option<(Series, BTreeMap<String, String>)> {
    let parts = metric.as_array().expect("a metric is a list");
    if let Some(search) = parts[0]["expression"].as_str() {
        let inside = search
            .split_once("SEARCH('{")
            .expect("nothing but searches")
            .1;
        let (schema, rest) = inside.split_once("} ").expect("a search has a schema");
        let mut schema = schema.split(',').map(str::to_owned);
        if schema.next().as_deref() != Some(NAMESPACE) {
            return None;
        }
        let (query, _) = rest.split_once("', '").expect("a search has a statistic");
        let terms = query.split(' ').filter_map(|term| {
            let (name, value) = term.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        });
        let mut terms: BTreeMap<_, _> = terms.collect();
        let name = terms.remove("MetricName").expect("a search names a metric");
        return Some(((name, schema.collect()), terms));
    }
    if parts[0] != NAMESPACE {
        return None;
    }
    let words: Vec<_> = parts[1..]
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let pairs: Vec<_> = words[1..].chunks(2).collect();
    let names = pairs.iter().map(|pair| pair[0].clone()).collect();
    let values = pairs.iter().map(|pair| (pair[0].clone(), pair[1].clone()));
    Some(((words[0].clone(), names), values.collect()))
}

fn emitted() -> BTreeSet<Series> {
    let all = Metric::all().iter();
    all.map(|metric| {
        let dimensions = metric.dimensions().iter().map(|&name| name.to_owned());
        (metric.to_string(), dimensions.collect())
    })
    .collect()
}

#[test]
fn draws_every_metric() {
    let mut drawn = BTreeSet::new();
    let mut outcomes = BTreeSet::new();
    for widget in widgets() {
        for metric in widget["properties"]["metrics"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let Some((series, values)) = series(metric) else {
                continue;
            };
            assert_eq!(
                values.get("Stack").map(String::as_str),
                Some("crossfade"),
                "another stack's would be drawn too: {metric}"
            );
            outcomes.extend(values.get("Outcome").cloned());
            drawn.insert(series);
        }
    }
    assert_eq!(drawn, emitted());
    let ends: BTreeSet<_> = Kind::VARIANTS
        .iter()
        .filter(|kind| kind.is_an_end())
        .map(ToString::to_string)
        .collect();
    assert_eq!(outcomes, ends, "each outcome has its own line");
}

#[test]
fn lays_out_widgets_without_overlap() {
    let mut taken = BTreeSet::new();
    for widget in widgets() {
        let number = |name: &str| widget[name].as_u64().expect("it is a number");
        let (x, y) = (number("x"), number("y"));
        for column in x..x + number("width") {
            assert!(column < 24, "too wide: {widget}");
            for row in y..y + number("height") {
                assert!(taken.insert((column, row)), "on top of another: {widget}");
            }
        }
    }
}

#[test]
fn alarms_watch_the_queues_and_what_is_stuck_and_tell_people() {
    let template = template();
    let mut alarms = resources(&template, "AWS::CloudWatch::Alarm");
    // Set by hand, to see whether its event arrives: nobody is to be called.
    let doctors = alarms.remove("DoctorAlarm").expect("doctor sets one");
    assert!(doctors["AlarmActions"].is_null(), "{doctors}");
    let mut queues: BTreeSet<_> = resources(&template, "AWS::SQS::Queue")
        .into_keys()
        .collect();
    assert_eq!(queues.len(), 2, "{queues:?}");
    let mut own = BTreeSet::new();
    for (name, alarm) in &alarms {
        let actions = alarm["AlarmActions"].as_array().expect("it tells somebody");
        assert!(
            actions.iter().all(|to| refers_to(to, "NotificationTopic")),
            "{name}"
        );
        let dimensions = alarm["Dimensions"].as_array().expect("it has some");
        match alarm["Namespace"].as_str() {
            Some("AWS/SQS") => {
                assert_eq!(alarm["MetricName"], "ApproximateNumberOfMessagesVisible");
                assert_eq!(dimensions[0]["Name"], "QueueName");
                queues.retain(|queue| !refers_to(&dimensions[0]["Value"], queue));
            }
            Some(NAMESPACE) => {
                let metric = alarm["MetricName"].as_str().expect("it has a name");
                let names = dimensions.iter().map(|one| one["Name"].as_str().unwrap());
                own.insert((metric.to_owned(), names.map(str::to_owned).collect()));
            }
            other => panic!("{name} watches {other:?}"),
        }
    }
    assert!(queues.is_empty(), "no alarm on {queues:?}");
    assert!(own.is_subset(&emitted()), "{own:?} is not measured");
    for metric in [Metric::Stuck, Metric::Untold] {
        assert!(
            own.iter().any(|(name, _)| *name == metric.to_string()),
            "no alarm on {metric}"
        );
    }
}

#[test]
fn routes_undelivered_events_to_a_queue() {
    let template = template();
    let mut rules = 0;
    for (name, function) in resources(&template, "AWS::Serverless::Function") {
        for (event, rule) in function["Events"].as_object().into_iter().flatten() {
            if !["EventBridgeRule", "Schedule"].contains(&rule["Type"].as_str().unwrap()) {
                continue;
            }
            rules += 1;
            let letters = &rule["Properties"]["DeadLetterConfig"]["Arn"];
            assert!(refers_to(letters, "UndeliveredEvents"), "{name}: {event}");
        }
    }
    assert_eq!(rules, 3);
    let policies = resources(&template, "AWS::SQS::QueuePolicy");
    let statement = &policies["UndeliveredEventsPolicy"]["PolicyDocument"]["Statement"][0];
    assert_eq!(statement["Principal"]["Service"], "events.amazonaws.com");
    let senders = &statement["Condition"]["ArnEquals"]["aws:SourceArn"];
    assert_eq!(senders.as_array().map(Vec::len), Some(rules), "{senders}");
}

#[test]
fn grants_publishing_only_to_notifiers() {
    let template = template();
    // By what is compiled in: whose code holds a Notifier.
    let tells = |function: &str| {
        let path = format!("functions/{function}/src/lib.rs");
        let text = std::fs::read_to_string(crossfade_tests::paths::repository().join(path));
        text.expect("each function has one")
            .contains("Notifier::new")
    };
    let mut telling = 0;
    for (name, function) in resources(&template, "AWS::Serverless::Function") {
        let binary = &template["Resources"][&name]["Metadata"]["BuildProperties"]["Binary"];
        let binary = binary.as_str().expect("it has a binary");
        let statements = function["Policies"][0]["Statement"].as_array();
        let may = |action: &str| {
            let mut all = statements.into_iter().flatten();
            all.find(|one| one["Action"] == action)
        };
        let (publish, put) = (may("sns:Publish"), may("events:PutEvents"));
        assert_eq!(publish.is_some(), tells(binary), "{name}");
        assert_eq!(put.is_some(), tells(binary), "{name}");
        let (Some(publish), Some(put)) = (publish, put) else {
            continue;
        };
        telling += 1;
        let topics = publish["Resource"].as_array().expect("there are two");
        for topic in ["NotificationTopic", "ChatTopic"] {
            assert!(topics.iter().any(|one| refers_to(one, topic)), "{name}");
        }
        assert_eq!(
            put["Condition"]["StringEquals"]["events:source"], SOURCE,
            "{name} may send nobody else's events"
        );
        let bus = put["Resource"]["Fn::Sub"].as_str().unwrap_or_default();
        assert!(bus.ends_with(":event-bus/default"), "{name}: {bus}");
    }
    assert_eq!(telling, 9);
}
