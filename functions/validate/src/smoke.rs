//! Running one smoke test.

use std::time::Duration;

use crossfade::{
    aws::functions::{RunSettings, Trial, Tried},
    domain::target::Target,
    error::Error,
    wire::request::SmokeTest,
};
use tokio::time::{Instant, sleep};

use crate::{Handler, Proof, TESTS, assertions, lambda_report::Report};

/// What a cold environment may take beside the handler: it counts in the answer's time and not in the
/// handler's duration.
const STARTING: Duration = Duration::from_secs(30);

/// How long an invocation that Lambda does not take yet is tried again.
const NOT_TAKEN: Duration = Duration::from_mins(5);

/// The pause before the first of these tries, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

impl Handler {
    /// Invokes green with the test's payload, once, and judges its answer.
    pub(crate) async fn smoke(
        &self,
        target: &Target,
        test: &SmokeTest,
        run: &RunSettings,
        until: Instant,
    ) -> (Proof, Report) {
        let mut took_ms = 0.0;
        let mut report = Report::default();
        let failures = match tenancy(test, run) {
            Some(wrong) => vec![wrong],
            None => match self.answer(target, test, run, until).await {
                Ok((Tried::Answered(answer), round_trip)) => {
                    report = Report::of(&answer.log_tail);
                    took_ms = report.duration_ms.unwrap_or(round_trip.as_secs_f64() * 1e3);
                    assertions::failures(&test.expect, &answer, took_ms)
                }
                Ok((Tried::TimedOut, waited)) => {
                    took_ms = waited.as_secs_f64() * 1e3;
                    vec![late(test, run, waited)]
                }
                Ok((Tried::Lost(why), _)) => vec![format!(
                    "its answer was lost, and it was not invoked again, for it may have run: {why}"
                )],
                Err(error @ Error::Transient(_)) => {
                    vec![format!("Lambda did not take the invocation: {error}")]
                }
                Err(error) => vec![error.to_string()],
            },
        };
        let proof = Proof {
            function_name: target.function_name.to_string(),
            test: test.name.clone(),
            passed: failures.is_empty(),
            duration_ms: took_ms,
            cold_start_ms: report.cold_start_ms,
            failures,
        };
        (proof, report)
    }

    /// Invokes until Lambda takes the invocation: a throttle, or a version that is not ready yet, is
    /// waited for. Returns what became of it and how long that took.
    async fn answer(
        &self,
        target: &Target,
        test: &SmokeTest,
        run: &RunSettings,
        until: Instant,
    ) -> Result<(Tried, Duration), Error> {
        let give_up = until.min(Instant::now() + NOT_TAKEN);
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let trial = Trial {
                payload: &test.payload,
                tenant_id: test.tenant_id.as_deref(),
                patience: patience(test, run).min(until.saturating_duration_since(begun)),
            };
            if trial.patience.is_zero() {
                return Ok((Tried::TimedOut, Duration::ZERO));
            }
            let tried = self
                .functions
                .invoke(&target.function_name, &target.green_version, trial)
                .await;
            match tried {
                Err(Error::Transient(why)) if Instant::now() + pause < give_up => {
                    tracing::info!(event = "invocation_not_ready", function = %target.function_name, test = test.name, why = why.reason, "Lambda does not accept the invocation yet.");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                done => return done.map(|done| (done, begun.elapsed())),
            }
        }
    }
}

/// How long an answer is waited for: as long as the test and the function allow.
fn patience(test: &SmokeTest, run: &RunSettings) -> Duration {
    let allowed = test.expect.max_duration_ms.map(u64::from);
    let allowed = allowed.map_or(run.timeout, Duration::from_millis);
    allowed.min(run.timeout) + STARTING
}

/// Why there is no answer, in words.
fn late(test: &SmokeTest, run: &RunSettings, waited: Duration) -> String {
    let waited_s = waited.as_secs();
    let why = if waited < patience(test, run) {
        format!(
            "the smoke tests of a function have {} s together",
            TESTS.as_secs()
        )
    } else if let Some(ceiling) = test.expect.max_duration_ms {
        format!("at most {ceiling} ms are allowed")
    } else {
        format!("the function's timeout is {} s", run.timeout.as_secs())
    };
    if waited.is_zero() {
        return format!("not invoked, because no time was left: {why}");
    }
    format!(
        "no answer after {waited_s} s, {why}; it may still be running, and was not invoked again"
    )
}

/// What is wrong between the test and the function's tenancy.
fn tenancy(test: &SmokeTest, run: &RunSettings) -> Option<String> {
    match (run.isolates_tenants, &test.tenant_id) {
        (true, None) => Some(
            "not invoked: the function isolates tenants, and the test names none; give it a tenantId"
                .to_owned(),
        ),
        (false, Some(_)) => Some(
            "not invoked: the test has a tenantId, and the function does not isolate tenants; leave it out"
                .to_owned(),
        ),
        (true, Some(_)) | (false, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn test(max_duration_ms: Option<u32>, tenant_id: Option<&str>) -> SmokeTest {
        let mut test = json!({"name": "health", "expect": {}});
        if let Some(ms) = max_duration_ms {
            test["expect"]["maxDurationMs"] = json!(ms);
        }
        if let Some(tenant) = tenant_id {
            test["tenantId"] = json!(tenant);
        }
        deserr::deserialize::<_, _, crossfade::parse::problem::Problems>(test)
            .expect("it is a smoke test")
    }

    const fn run(seconds: u64, isolates_tenants: bool) -> RunSettings {
        RunSettings {
            timeout: Duration::from_secs(seconds),
            isolates_tenants,
            hides_reports: false,
        }
    }

    #[test]
    fn waits_as_long_as_the_test_and_the_function_allow() {
        let waits = |max_duration_ms, seconds| {
            patience(&test(max_duration_ms, None), &run(seconds, false)).as_secs()
                - STARTING.as_secs()
        };
        assert_eq!(waits(Some(120_000), 180), 120);
        assert_eq!(waits(Some(120_000), 60), 60);
        assert_eq!(waits(None, 180), 180);
        assert_eq!(waits(None, 900), 900);
    }

    #[test]
    fn says_why_there_is_no_answer() {
        let slow = test(Some(5000), None);
        let waited = patience(&slow, &run(60, false));
        assert_eq!(
            late(&slow, &run(60, false), waited),
            "no answer after 35 s, at most 5000 ms are allowed; it may still be running, and was not invoked again"
        );
        assert!(late(&slow, &run(60, false), Duration::from_secs(7)).contains("840 s together"));
        assert!(late(&slow, &run(60, false), Duration::ZERO).starts_with("not invoked"));
        let open = test(None, None);
        let waited = patience(&open, &run(60, false));
        assert!(late(&open, &run(60, false), waited).contains("timeout is 60 s"));
    }

    #[test]
    fn demands_a_tenant_where_tenants_are_isolated_and_only_there() {
        let says = |tenant, isolates| tenancy(&test(None, tenant), &run(3, isolates));
        assert_eq!(says(None, false), None);
        assert_eq!(says(Some("blue"), true), None);
        assert!(says(None, true).is_some_and(|wrong| wrong.contains("give it a tenantId")));
        assert!(says(Some("blue"), false).is_some_and(|wrong| wrong.contains("leave it out")));
    }
}
