//! Measuring green's cold start.
//!
//! A warm environment is no measurement, and a ceiling that could not be measured has not been met: where
//! the smoke tests met warm environments only, more invocations at the same time than there are
//! environments make a fresh one.

use crossfade::{
    aws::functions::{RunSettings, Trial, Tried},
    domain::target::Target,
    wire::request::FunctionRequest,
};
use futures::future::join_all;
use tokio::time::Instant;

use crate::{Handler, Proof, lambda_report::Report, room::Rooms, warm::WARM_UP_TIMEOUT};

/// How many invocations are sent at the same time, round after round, until one of them starts cold.
const ROUNDS: [u32; 4] = [2, 4, 8, 16];

/// What is known of green's cold start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Start {
    /// The slowest that was met, milliseconds.
    Measured(f64),
    /// None was met: why, in words.
    NotMeasured(String),
}

impl Start {
    /// Judges it by its ceiling.
    pub(crate) fn proof(&self, target: &Target, ceiling_ms: u32) -> Proof {
        let took = match self {
            Self::Measured(took) => Some(*took),
            Self::NotMeasured(_) => None,
        };
        let failure = match self {
            Self::Measured(took) if *took > f64::from(ceiling_ms) => Some(format!(
                "a cold start took {took:.0} ms, at most {ceiling_ms} ms are allowed"
            )),
            Self::Measured(_) => None,
            Self::NotMeasured(why) => Some(format!(
                "no cold start was measured, and at most {ceiling_ms} ms are allowed: {why}"
            )),
        };
        Proof {
            function_name: target.function_name.to_string(),
            test: "cold start".into(),
            passed: failure.is_none(),
            duration_ms: took.unwrap_or_default(),
            cold_start_ms: took,
            failures: failure.into_iter().collect(),
        }
    }
}

/// What some reports say of the start.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Cold(f64),
    Warm,
    Nothing,
}

fn seen(reports: &[Report]) -> Seen {
    let slowest = reports
        .iter()
        .filter_map(|report| report.cold_start_ms)
        .reduce(f64::max);
    match slowest {
        Some(slowest) => Seen::Cold(slowest),
        None if reports.iter().any(|report| report.is_there) => Seen::Warm,
        None => Seen::Nothing,
    }
}

impl Handler {
    /// Finds the slowest cold start among the smoke tests' reports, or makes one in the `rooms`. Returns none
    /// without a measurement where there are no `rooms`, because a smoke test failed.
    pub(crate) async fn cold_start(
        &self,
        target: &Target,
        asked: &FunctionRequest,
        run: &RunSettings,
        reports: &[Report],
        rooms: Option<&Rooms<'_>>,
        until: Instant,
    ) -> Option<Start> {
        match seen(reports) {
            Seen::Cold(slowest) => Some(Start::Measured(slowest)),
            Seen::Warm => Some(self.fresh(target, asked, rooms?, until).await),
            Seen::Nothing => rooms.map(|_| Start::NotMeasured(unreported(run))),
        }
    }

    /// Makes a fresh environment and measures its start.
    async fn fresh(
        &self,
        target: &Target,
        asked: &FunctionRequest,
        rooms: &Rooms<'_>,
        until: Instant,
    ) -> Start {
        let function = &target.function_name;
        let Some(test) = asked.smoke_tests.first() else {
            return Start::NotMeasured("there is no smoke test".into());
        };
        let pool = match rooms.pool(function).await {
            Ok(pool) => pool,
            Err(error) => return Start::NotMeasured(error.to_string()),
        };
        let most = pool.share();
        let mut sent = 0;
        for round in ROUNDS.into_iter().take_while(|round| *round <= most) {
            let patience = WARM_UP_TIMEOUT.min(until.saturating_duration_since(Instant::now()));
            if patience.is_zero() {
                return Start::NotMeasured("no time was left".into());
            }
            let trial = Trial {
                payload: &test.payload,
                tenant_id: test.tenant_id.as_deref(),
                patience,
            };
            let calls = (0..round).map(|_| {
                self.functions
                    .invoke(function, &target.green_version, trial)
            });
            let mut reports = Vec::new();
            let mut lost = None;
            for done in join_all(calls).await {
                match done {
                    Ok(Tried::Answered(answer)) => reports.push(Report::of(&answer.log_tail)),
                    Ok(Tried::TimedOut) => lost = Some("an answer did not come in time".to_owned()),
                    Ok(Tried::Lost(why)) => lost = Some(why),
                    Err(error) => lost = Some(error.to_string()),
                }
            }
            sent += round;
            if let Seen::Cold(slowest) = seen(&reports) {
                tracing::info!(event = "cold_start_measured", %function, sent, slowest, "Measured a cold start.");
                return Start::Measured(slowest);
            }
            if let Some(lost) = lost {
                return Start::NotMeasured(lost);
            }
        }
        Start::NotMeasured(if sent == 0 {
            format!(
                "all environments were warm, and {} leaves no room for a fresh one",
                pool.shown()
            )
        } else {
            format!(
                "all environments were warm, also those of {sent} more invocations; provisioned concurrency starts \
                 environments before they are invoked, and then there is none to measure: leave maxColdStartMs out"
            )
        })
    }
}

fn unreported(run: &RunSettings) -> String {
    let hint = if run.hides_reports {
        "; the system log level is WARN, which leaves it out: set it to INFO"
    } else {
        ""
    };
    format!("the log has no report of Lambda's{hint}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(cold_start_ms: Option<f64>) -> Report {
        Report {
            duration_ms: Some(1.0),
            cold_start_ms,
            is_there: true,
        }
    }

    fn target() -> Target {
        serde_json::from_value(serde_json::json!({
            "functionName": "chat", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r",
        }))
        .expect("it is a target")
    }

    #[test]
    fn takes_the_slowest_start() {
        let reports = [report(None), report(Some(120.0)), report(Some(90.0))];
        assert_eq!(seen(&reports), Seen::Cold(120.0));
        assert_eq!(seen(&reports[..1]), Seen::Warm);
        assert_eq!(seen(&[Report::default()]), Seen::Nothing);
        assert_eq!(seen(&[]), Seen::Nothing);
    }

    #[test]
    fn fails_a_ceiling_that_was_not_measured() {
        let met = Start::Measured(100.0).proof(&target(), 100);
        assert!(met.passed && met.cold_start_ms == Some(100.0), "{met:?}");
        let slow = Start::Measured(101.0).proof(&target(), 100);
        assert_eq!(
            slow.failures,
            ["a cold start took 101 ms, at most 100 ms are allowed"]
        );
        let unknown = Start::NotMeasured("all environments were warm".into()).proof(&target(), 100);
        assert!(!unknown.passed);
        assert_eq!(unknown.cold_start_ms, None);
        assert_eq!(
            unknown.failures,
            [
                "no cold start was measured, and at most 100 ms are allowed: all environments were warm"
            ]
        );
    }

    #[test]
    fn names_the_log_level_that_hides_reports() {
        let run = |hides_reports| RunSettings {
            timeout: Duration::from_secs(3),
            isolates_tenants: false,
            hides_reports,
        };
        assert!(unreported(&run(true)).contains("set it to INFO"));
        assert!(!unreported(&run(false)).contains("INFO"));
    }
}
