//! When a version had passed validation, by the log of calls, and what reached one that had not: a
//! registration in a group, a colour's alias, or a request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Broken, Invariant, Run, aliases_of, writes};
use crate::{Target, traffic::Witness, world::Call};

/// When each version of a function had first passed validation, or was first chosen by somebody else,
/// which is no matter of ours.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// By function and version, seconds since 1970.
    at: BTreeMap<(String, String), f64>,
}

impl Proofs {
    pub(super) fn of(
        targets: &[(Target, String)],
        calls: &[Call],
        runs: &[Run],
        stack: &str,
    ) -> Self {
        let mut proofs = Self::default();
        for (target, _) in targets {
            proofs.chosen_by_others(&target.name, calls, stack);
            proofs.validated(&target.name, calls, runs, stack);
        }
        proofs
    }

    /// Whether a version had passed at a time.
    pub(super) fn had_passed(&self, function: &str, version: &str, at: f64) -> bool {
        let key = (function.to_owned(), version.to_owned());
        self.at.get(&key).is_some_and(|passed| *passed <= at)
    }

    fn passed(&mut self, function: &str, version: &str, at: f64) {
        let key = (function.to_owned(), version.to_owned());
        let first = self.at.entry(key).or_insert(at);
        *first = first.min(at);
    }

    /// Versions that somebody else gave traffic to or registered; those that a stage called before it was
    /// wired; and those that an alias on `$LATEST` was pinned to, which is the same code.
    fn chosen_by_others(&mut self, function: &str, calls: &[Call], stack: &str) {
        for alias in aliases_of(calls, function) {
            let writes = writes(calls, function, &alias, stack);
            let mut pinned = false;
            for write in &writes {
                let Some(split) = &write.alias else {
                    pinned = false;
                    continue;
                };
                if write.by.is_none() || write.is_wiring() || pinned {
                    for version in split.serving() {
                        self.passed(function, version, write.at);
                    }
                }
                pinned = split.primary == "$LATEST";
            }
        }
        for (call, version) in registered(calls, function) {
            if !is_by(call, stack) {
                self.passed(function, version, call.time);
            }
        }
    }

    /// Versions whose smoke tests `ValidateGreen` ran and passed: at the answer of the last of them.
    fn validated(&mut self, function: &str, calls: &[Call], runs: &[Run], stack: &str) {
        let validate = format!("{stack}-validate");
        let mut answered: Vec<(f64, f64)> = calls
            .iter()
            .filter(|call| call.caller.as_ref() == Some(&validate) && call.action == "Invoke")
            .filter(|call| call.resource.as_deref() == Some(function))
            // An answer that says how the function failed is no passed test.
            .filter(|call| call.took_effect() && call.error.is_none())
            .map(|call| (call.time, call.answered()))
            .collect();
        answered.sort_by(|a, b| a.1.total_cmp(&b.1));
        for run in runs {
            let Some(tests) = run.smoke_tests_of(function) else {
                continue;
            };
            for (visit, failure) in run.validations() {
                let green = visit.input["functions"].as_array();
                let green = green.into_iter().flatten();
                let mut green = green.filter(|one| one["functionName"] == function);
                let version = green.next().and_then(|one| one["greenVersion"].as_str());
                let (Some(version), false) = (version, failure.is_some_and(is_of_a_test)) else {
                    continue;
                };
                let mut these = answered.iter().filter(|(sent, _)| *sent >= visit.at);
                let last = match tests {
                    0 => Some(visit.at),
                    tests => these.nth(tests - 1).map(|(_, answered)| *answered),
                };
                if let Some(last) = last {
                    self.passed(function, version, last);
                }
            }
        }
    }
}

/// Whether what failed in `ValidateGreen` is a smoke test or a cold start, rather than what follows them.
fn is_of_a_test(failure: &Value) -> bool {
    let told = failure.to_string().replace('\\', "");
    told.contains("smoke tests failed") || told.contains("\"passed\":false")
}

/// The registrations of a function's versions in groups.
fn registered<'a>(
    calls: &'a [Call],
    function: &'a str,
) -> impl Iterator<Item = (&'a Call, &'a str)> {
    let taken = |call: &&Call| call.action == "RegisterTargets" && call.took_effect();
    calls.iter().filter(taken).flat_map(move |call| {
        ids(call).filter_map(move |id| {
            // arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER
            let mut parts = id.split(':').skip(6);
            let (name, qualifier) = (parts.next()?, parts.next()?);
            let is_version = qualifier.bytes().all(|byte| byte.is_ascii_digit());
            (name == function && is_version).then_some((call, qualifier))
        })
    })
}

/// The ids of the targets that a call registers or takes out.
pub(super) fn ids(call: &Call) -> impl Iterator<Item = &str> {
    let asked = call
        .asked
        .as_ref()
        .and_then(|asked| asked["Targets"].as_array());
    let targets = asked.into_iter().flatten();
    targets.filter_map(|target| target["Id"].as_str())
}

fn is_by(call: &Call, stack: &str) -> bool {
    let ours = format!("{stack}-");
    call.caller
        .as_ref()
        .is_some_and(|caller| caller.starts_with(&ours))
}

/// Nothing of ours puts a version into a group, or behind a colour's alias, before it has passed: a sticky
/// client, another rule, a late resolver, or whoever calls the colour, would reach it.
pub(super) fn reachable(
    proofs: &Proofs,
    (target, alias): &(Target, String),
    calls: &[Call],
    stack: &str,
    broken: &mut Vec<Broken>,
) {
    let function = target.name.as_str();
    let mut fail = |what: String| broken.push(Broken::new(Invariant::Proven, what));
    for (call, version) in registered(calls, function) {
        if is_by(call, stack) && !proofs.had_passed(function, version, call.time) {
            fail(format!(
                "{function}: {:?} registered version {version} in {:?}, and it had not passed validation",
                call.caller, call.resource
            ));
        }
    }
    for colour in aliases_of(calls, function) {
        if colour == *alias {
            continue;
        }
        for write in writes(calls, function, &colour, stack) {
            let (Some(by), Some(split)) = (&write.by, &write.alias) else {
                continue;
            };
            for version in split.serving() {
                if !proofs.had_passed(function, version, write.at) {
                    fail(format!(
                        "{function}: {by} pointed {colour} at version {version}, which had not passed validation"
                    ));
                }
            }
        }
    }
}

/// No request is served by a version that has not passed: whoever sent it, and by whatever way.
pub(super) fn served(proofs: &Proofs, witness: &Witness, broken: &mut Vec<Broken>) {
    let mut unproven: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    for answer in witness.answers() {
        if !proofs.had_passed(&witness.function, &answer.version, answer.at) {
            let (requests, _) = unproven.entry(answer.version).or_insert((0, answer.at));
            *requests += 1;
        }
    }
    for (version, (requests, first)) in unproven {
        let Witness { who, function, .. } = witness;
        broken.push(Broken {
            invariant: Invariant::Proven,
            what: format!(
                "{requests} requests of {who} were served by version {version} of {function}, which had not \
                 passed validation; the first at {first:.3}"
            ),
            requests,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(time: f64, caller: Option<&str>, action: &str, resource: &str, asked: Value) -> Call {
        Call {
            served: false,
            seconds: 0.2,
            seq: 1,
            time,
            service: String::new(),
            action: action.into(),
            caller: caller.map(str::to_owned),
            status: 200,
            resource: Some(resource.into()),
            error: None,
            asked: Some(asked),
        }
    }

    fn id(qualifier: &str) -> Value {
        let id = format!("arn:aws:lambda:us-east-1:000000000000:function:f:{qualifier}");
        json!({"TargetGroupArn": "g", "Targets": [{"Id": id}]})
    }

    /// Version 2 over version 1, validated from 10 to 10.1 s.
    fn run(tests: usize, failure: Value) -> Run {
        let mut run = super::super::tests::run("FAILED", "ValidationFailed", "REJECTED");
        let tests = vec![json!({"name": "health"}); tests];
        run.input = json!({"functions": [{"functionName": "f", "smokeTests": tests}]});
        if !failure.is_null() {
            run.visits[1].state = "RollbackDeployment".into();
            run.visits[1].input["failure"] = failure;
        }
        run
    }

    fn proofs(calls: &[Call], runs: &[Run]) -> Proofs {
        let mut proofs = Proofs::default();
        proofs.chosen_by_others("f", calls, "crossfade");
        proofs.validated("f", calls, runs, "crossfade");
        proofs
    }

    fn test(time: f64) -> Call {
        call(time, Some("crossfade-validate"), "Invoke", "f", Value::Null)
    }

    #[test]
    fn passes_a_version_with_its_last_answer() {
        let calls = [test(10.1), test(10.4), test(11.0)];
        let seen = proofs(&calls, &[run(2, Value::Null)]);
        assert!(!seen.had_passed("f", "2", 10.5));
        assert!(seen.had_passed("f", "2", 10.7));
        assert!(!seen.had_passed("f", "1", 10.7));
        // Not all are answered, or one says how the function failed.
        assert!(!proofs(&calls[..1], &[run(2, Value::Null)]).had_passed("f", "2", 99.0));
        let mut failed = calls.clone();
        failed[1].error = Some("Unhandled".into());
        assert!(!proofs(&failed[..2], &[run(2, Value::Null)]).had_passed("f", "2", 99.0));
    }

    #[test]
    fn fails_a_version_with_a_failed_test() {
        let calls = [test(10.1)];
        let cause = "{\"errorMessage\":\"1 of 1 smoke tests failed; f health\"}";
        let rejected = run(1, json!({"Error": "ValidationFailed", "Cause": cause}));
        assert!(!proofs(&calls, &[rejected]).had_passed("f", "2", 99.0));
        let other = run(1, json!({"Error": "Transient", "Cause": "Rate exceeded"}));
        assert!(proofs(&calls, &[other]).had_passed("f", "2", 99.0));
    }

    #[test]
    fn ignores_versions_chosen_by_others() {
        let calls = [
            call(1.0, None, "RegisterTargets", "g", id("1")),
            call(
                2.0,
                Some("crossfade-deploy-green"),
                "RegisterTargets",
                "g",
                id("2"),
            ),
        ];
        let seen = proofs(&calls, &[]);
        assert!(seen.had_passed("f", "1", 1.0) && !seen.had_passed("f", "1", 0.9));
        assert!(!seen.had_passed("f", "2", 99.0));
        let found: Vec<_> = registered(&calls, "f")
            .map(|(_, version)| version)
            .collect();
        assert_eq!(found, ["1", "2"]);
    }
}
