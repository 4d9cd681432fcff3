//! Warm environments for green's first users.
//!
//! Nothing here fails a release: what could not be warmed is a warning.

use std::time::Duration;

use crossfade::{
    aws::functions::{Trial, Tried},
    domain::target::Target,
    wire::request::FunctionRequest,
};
use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::{
    Handler,
    room::{Pool, Rooms},
};

/// How long an answer is waited for that only warms: its environment is up long before, or fails.
pub(crate) const WARM_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of some invocations that warm green.
#[derive(Debug, Default)]
struct Warmed {
    sent: u32,
    failed: u32,
    /// The first failure, in words.
    why: Option<String>,
}

impl Handler {
    /// Invokes green so often at the same time that so many environments are warm, as far as its users
    /// are not in the way. Returns warnings.
    pub(crate) async fn prewarm(
        &self,
        target: &Target,
        asked: &FunctionRequest,
        rooms: &Rooms<'_>,
        until: Instant,
    ) -> Vec<String> {
        let function = &target.function_name;
        let Some(test) = asked.smoke_tests.first().filter(|_| asked.prewarm > 0) else {
            return Vec::new();
        };
        let pool = match rooms.pool(function).await {
            Ok(pool) => pool,
            Err(error) => return vec![format!("{function}: nothing was pre-warmed: {error}")],
        };
        let most = asked.prewarm.min(pool.share());
        let Ok(_turn) = timeout_at(until, rooms.turn(pool, most)).await else {
            return vec![format!(
                "{function}: nothing was pre-warmed: no time was left"
            )];
        };
        let trial = Trial {
            payload: &test.payload,
            tenant_id: test.tenant_id.as_deref(),
            patience: WARM_UP_TIMEOUT.min(until.saturating_duration_since(Instant::now())),
        };
        let calls = (0..most).map(|_| {
            self.functions
                .invoke(function, &target.green_version, trial)
        });
        let mut warmed = Warmed::default();
        for done in join_all(calls).await {
            warmed.sent += 1;
            let failure = match done {
                Ok(Tried::Answered(answer)) => answer.function_error,
                // Slow, and warm all the same.
                Ok(Tried::TimedOut) => None,
                Ok(Tried::Lost(why)) => Some(why),
                Err(error) => Some(error.to_string()),
            };
            warmed.failed += u32::from(failure.is_some());
            warmed.why = warmed.why.or(failure);
        }
        tracing::info!(event = "green_prewarmed", %function, asked = asked.prewarm, sent = warmed.sent, failed = warmed.failed, "Pre-warmed green.");
        warnings(function.as_ref(), asked.prewarm, pool, &warmed)
    }
}

fn warnings(function: &str, asked: u32, pool: Pool, warmed: &Warmed) -> Vec<String> {
    let mut warnings = Vec::new();
    if warmed.sent < asked {
        warnings.push(format!(
            "{function}: prewarm is {asked}; {} invocations were sent, half of {}: its users need the rest",
            warmed.sent,
            pool.shown()
        ));
    }
    if let Some(why) = &warmed.why {
        warnings.push(format!(
            "{function}: {} of {} invocations that pre-warm failed: {why}",
            warmed.failed, warmed.sent
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_of_what_was_not_warmed() {
        let all = Warmed {
            sent: 20,
            ..Warmed::default()
        };
        assert!(warnings("chat", 20, Pool::Unreserved(1000), &all).is_empty());
        let some = Warmed {
            sent: 5,
            failed: 2,
            why: Some("TooManyRequestsException".into()),
        };
        assert_eq!(
            warnings("chat", 20, Pool::Reserved(10), &some),
            [
                "chat: prewarm is 20; 5 invocations were sent, half of the function's reserved concurrency of 10: \
                 its users need the rest",
                "chat: 2 of 5 invocations that pre-warm failed: TooManyRequestsException",
            ]
        );
    }
}
