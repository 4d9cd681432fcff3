//! What a user gives to `StartExecution`.

use crossfade::{parse::problem::MOST_PROBLEMS, wire::request::Request};
use serde_json::Value;

/// The most characters of one problem: requests may be quoted, and are not repeated.
const LONGEST_PROBLEM: usize = 2_000;

/// A request, as JSON.
///
/// # Panics
/// When what was read does not come back from what is written, or a refusal is not one that a person
/// can use.
pub fn request(bytes: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    match Request::parse(&input) {
        Ok(request) => {
            let written = serde_json::to_value(&request).expect("a request can be written");
            let again = Request::parse(&written).expect("what was written can be read");
            assert_eq!(again, request, "{written}");
            let carried: Request = serde_json::from_value(written).expect("states carry it");
            assert_eq!(carried, request);
            if let Request::Release(release) = &request {
                planned(release);
            }
        }
        Err(problems) => {
            let told = problems.to_string();
            let lines: Vec<_> = told.lines().collect();
            assert!(
                (1..=MOST_PROBLEMS + 1).contains(&lines.len()),
                "{} lines: {told}",
                lines.len()
            );
            for line in lines {
                assert!(line.chars().count() <= LONGEST_PROBLEM, "{line}");
            }
        }
    }
}

fn planned(release: &crossfade::wire::request::ReleaseRequest) {
    let plan = release.plan();
    let weights: Vec<_> = plan.steps().iter().map(|step| step.weight).collect();
    assert!((1..=100).contains(&weights.len()), "{weights:?}");
    assert!(weights.is_sorted(), "{weights:?}");
    assert_eq!(weights.last(), Some(&release.control().rest()));
    for (index, step) in plan.steps().iter().enumerate() {
        let longest = release.max_bake_seconds(index);
        assert!(longest >= Some(step.bake_seconds), "{index}: {longest:?}");
    }
    assert_eq!(release.max_bake_seconds(plan.len()), None);
}
