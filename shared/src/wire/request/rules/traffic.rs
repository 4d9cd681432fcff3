//! Rules of the traffic splitter, and of what has to fit it.

use serde_json::Value;

use super::{each_once, items, problem, read};
use crate::{
    domain::{
        health::HealthUrl,
        names::{
            AliasName,
            derived::ALIAS,
            resources::{RecordName, SetIdentifier, TargetGroupArn},
        },
    },
    parse::{bounds::quoted, problem::Problem},
    wire::request::traffic::Behind,
};

/// A load balancer's group calls one version of one function, or none at all; everything else needs
/// functions, and an alias for each.
pub(super) fn functions_fit_the_splitter(
    request: &Value,
    functions: &[Value],
    problems: &mut Vec<Problem>,
) {
    if request["traffic"]["type"] == "alb" {
        if functions.len() > 1 {
            let message = format!(
                "must be one function at most behind a load balancer, whose target groups take one \
                 each, not {}",
                functions.len()
            );
            problems.push(problem("functions", message));
        }
        for (index, function) in functions.iter().enumerate() {
            if !function["alias"].is_null() {
                problems.push(problem(
                    format!("functions[{index}].alias"),
                    "is not used behind a load balancer, which calls versions; leave it out",
                ));
            }
        }
        return;
    }
    match &request["functions"] {
        Value::Null if request.get("functions").is_none() => {
            problems.push(problem("functions", "is missing"));
        }
        Value::Array(none) if none.is_empty() => problems.push(problem(
            "functions",
            "must be a list of 1 to 50 items, not an empty list",
        )),
        _ => {}
    }
    for (index, function) in functions.iter().enumerate() {
        if function.is_object() && function.get("alias").is_none_or(Value::is_null) {
            problems.push(problem(format!("functions[{index}].alias"), "is missing"));
        }
    }
}

/// Two records with different identifiers, which end the names of aliases; and what is behind them
/// only when both can be compared.
pub(super) fn records_can_be_told_apart(traffic: &Value, problems: &mut Vec<Problem>) {
    if traffic["type"] != "route53" {
        return;
    }
    let identifiers = items(&traffic["setIdentifiers"]);
    each_once(identifiers.iter(), problems, |index| {
        format!("traffic.setIdentifiers[{index}]")
    });
    for (index, identifier) in identifiers.iter().enumerate() {
        let word = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if identifier.as_str().is_some_and(|text| !word(text)) {
            problems.push(problem(
                format!("traffic.setIdentifiers[{index}]"),
                "must be letters, digits, \"-\" and \"_\", for it ends an alias's name",
            ));
        }
    }
    let behind: Vec<Option<Behind>> = items(&traffic["behind"]).iter().map(read).collect();
    let known: Vec<&str> = match identifiers {
        [] => vec!["blue", "green"],
        some => some.iter().filter_map(Value::as_str).collect(),
    };
    for (index, one) in behind.iter().enumerate() {
        let Some(one) = one else { continue };
        if !known.contains(&one.set_identifier.as_ref()) {
            problems.push(problem(
                format!("traffic.behind[{index}].setIdentifier"),
                format!("must be one of {}", known.join(", ")),
            ));
        }
    }
    match behind.as_slice() {
        [_] => problems.push(problem(
            "traffic.behind",
            "must name what is behind both records, or neither",
        )),
        [Some(one), Some(other)] if !one.layer().is_like(&other.layer()) => {
            problems.push(problem(
                "traffic.behind",
                "must be of one kind: their counts are compared",
            ));
        }
        [Some(one), Some(other)] if one.set_identifier == other.set_identifier => {
            problems.push(problem(
                "traffic.behind[1].setIdentifier",
                "is the same as traffic.behind[0].setIdentifier; list each of them once",
            ));
        }
        _ => {}
    }
}

/// Behind each record is an alias of each function, whose name is made of both.
pub(super) fn colours_are_aliases(
    traffic: &Value,
    functions: &[Value],
    problems: &mut Vec<Problem>,
) {
    if traffic["type"] != "route53" {
        return;
    }
    let given: Vec<SetIdentifier> = items(&traffic["setIdentifiers"])
        .iter()
        .filter_map(read)
        .collect();
    let identifiers = if traffic["setIdentifiers"].is_null() {
        ["blue", "green"]
            .map(|name| name.parse().expect("it is one"))
            .to_vec()
    } else {
        given
    };
    for (index, function) in functions.iter().enumerate() {
        let Some(alias) = read::<AliasName>(&function["alias"]) else {
            continue;
        };
        for identifier in &identifiers {
            let length = alias.as_ref().len() + 1 + identifier.as_ref().len();
            if length > ALIAS {
                problems.push(problem(
                    format!("functions[{index}].alias"),
                    format!(
                        "makes an alias of {length} characters with set identifier {}; an alias has at most {ALIAS}: shorten one of them",
                        quoted(identifier.as_ref())
                    ),
                ));
            }
        }
    }
}

pub(super) fn groups_can_be_told_apart(traffic: &Value, problems: &mut Vec<Problem>) {
    let groups = items(&traffic["targetGroupArns"]);
    each_once(groups.iter(), problems, |index| {
        format!("traffic.targetGroupArns[{index}]")
    });
}

/// Roles swap at each promotion: a check that belonged to no side would ask the side that serves in every
/// second release. So each belongs to one, and each side has one.
pub(super) fn health_checks_follow_the_colour(request: &Value, problems: &mut Vec<Problem>) {
    let list = "analysis.healthChecks";
    let checks = items(&request["analysis"]["healthChecks"]);
    if checks.is_empty() {
        return;
    }
    let traffic = &request["traffic"];
    let (field, other, sides, of) = match traffic["type"].as_str() {
        Some("route53") => {
            let sides = match traffic.get("setIdentifiers") {
                None => Some(["blue", "green"]),
                Some(given) => both(given),
            };
            ("setIdentifier", "targetGroupArn", sides, "record")
        }
        Some("alb") => {
            let sides = both(&traffic["targetGroupArns"]);
            ("targetGroupArn", "setIdentifier", sides, "target group")
        }
        kind if kind == Some("alias") || request.get("traffic").is_none() => {
            let message = "cannot be asked behind an alias, where no URL reaches green alone; leave the \
                           health checks out, and use functions[].smokeTests, analysis.alarms or limits such \
                           as analysis.maxErrorRatePercent, or traffic of the type \"route53\" or \"alb\"";
            problems.push(problem(list, message));
            return;
        }
        // An unknown kind of traffic is reported elsewhere.
        _ => return,
    };
    // An invalid name of a side is reported elsewhere.
    let is_one = |side: &str| match of {
        "record" => side.parse::<SetIdentifier>().is_ok(),
        _ => side.parse::<TargetGroupArn>().is_ok(),
    };
    let record = read::<RecordName>(&traffic["recordName"]).filter(|_| of == "record");
    let known = sides.map_or_else(String::new, |[one, other]| {
        format!(": {one:?} or {other:?}")
    });
    for (index, check) in checks.iter().enumerate().filter(|(_, it)| it.is_object()) {
        let path = |field: &str| format!("{list}[{index}].{field}");
        if !check[other].is_null() {
            let message = format!("does not name a {of}; give the health check's {field}");
            problems.push(problem(path(other), message));
        }
        if let (Some(url), Some(name)) = (read::<HealthUrl>(&check["url"]), &record)
            && name.is(url.host().split(':').next().unwrap_or_default())
        {
            problems.push(problem(
                path("url"),
                "asks the name of both records, which leads to whichever has the weight; give a URL that \
                 reaches this record's side alone",
            ));
        }
        match (&check[field], sides) {
            (Value::Null, _) => {
                let message = format!(
                    "is missing; the {of}s swap roles at each promotion, so say which of them the health \
                     check asks{known}"
                );
                problems.push(problem(path(field), message));
            }
            (Value::String(side), Some(sides))
                if !sides.contains(&side.as_str()) && is_one(side) =>
            {
                let message = format!(
                    "must be one of traffic.{field}s, which the health check asks when it is green{known}, \
                     not {}",
                    quoted(side)
                );
                problems.push(problem(path(field), message));
            }
            _ => {}
        }
    }
    let covered: Vec<&str> = checks.iter().filter_map(|it| it[field].as_str()).collect();
    if covered.len() < checks.len() {
        return;
    }
    for side in sides
        .into_iter()
        .flatten()
        .filter(|side| !covered.contains(side))
    {
        let message = format!(
            "has no health check of the {of} {side:?}; the {of}s swap roles at each promotion, so give one \
             for each of them: else every second release goes unchecked"
        );
        problems.push(problem(list, message));
    }
}

/// The two texts of a list, neither longer than what may be named in a message.
fn both(list: &Value) -> Option<[&str; 2]> {
    let text = |value: &'_ Value| value.as_str().is_some_and(|text| text.len() <= 256);
    match items(list) {
        [one, other] if text(one) && text(other) => Some([one.as_str()?, other.as_str()?]),
        _ => None,
    }
}
