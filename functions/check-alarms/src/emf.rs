//! One line of metrics a verdict, in CloudWatch's embedded metric format (AWS-FACTS 2.4): no call, no
//! permission.

use crossfade::domain::{
    Timestamp, check::Finding, release::Release, verdict::Verdict, weight::Weight,
};
use serde_json::{Value, json};

/// Writes the line.
pub(crate) fn verdict(release: &Release, weight: Weight, found: &Finding, now: Timestamp) {
    println!("{}", line(release, weight, found, now));
}

fn line(release: &Release, weight: Weight, found: &Finding, now: Timestamp) -> Value {
    let mut metrics = vec![
        json!({"Name": "GreenWeight", "Unit": "Percent"}),
        json!({"Name": "Unhealthy", "Unit": "Count"}),
    ];
    let mut line = json!({
        "Application": release.application,
        "GreenWeight": weight.percent(),
        "Unhealthy": u8::from(found.verdict == Verdict::Unhealthy),
        "Verdict": found.verdict,
        "Reason": found.reason,
    });
    if let Some(judge) = &found.evidence.judge {
        for (name, unit, value) in [
            (
                "GreenErrorRate",
                "Percent",
                json!(judge.green_error_percent),
            ),
            ("BlueErrorRate", "Percent", json!(judge.blue_error_percent)),
            ("GreenInvocations", "Count", json!(judge.green.invocations)),
            ("BlueInvocations", "Count", json!(judge.blue.invocations)),
            ("EValue", "None", json!(judge.e_value)),
        ] {
            metrics.push(json!({"Name": name, "Unit": unit}));
            line[name] = value;
        }
        line["DecidedBy"] = json!(judge.decided_by);
    }
    line["_aws"] = json!({
        "Timestamp": now.timestamp_millis(),
        "CloudWatchMetrics": [{"Namespace": "Crossfade", "Dimensions": [["Application"]], "Metrics": metrics}],
    });
    line
}
