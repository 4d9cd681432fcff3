//! Asking the health checks before the first shift.

use std::time::Duration;

use crate::{Handler, Proof, evidence};
use crossfade::{
    domain::{
        analysis::{Analysis, check::Evidence},
        health::{FAILURES, Health, due, found},
    },
    error::{Detail, Error},
};
use futures::future::join_all;

/// The pause between two looks: green serves no traffic yet.
const PAUSE: Duration = Duration::from_secs(2);

impl Handler {
    /// Asks each health check until it passes, up to three times. One that does not pass before the
    /// release would roll it back whatever green is.
    ///
    /// # Errors
    /// [`Error::ValidationFailed`] with those that did not pass, and with what passed before them.
    pub(crate) async fn healthy(
        &self,
        analysis: &Analysis,
        proofs: &[Proof],
    ) -> Result<Vec<Health>, Error> {
        let mut health = Vec::new();
        let mut places = due(&analysis.health_checks, &mut health, 0, true);
        for turn in 0..FAILURES {
            if turn > 0 && !places.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            let asked = places
                .iter()
                .map(|place| self.health.ask(&analysis.health_checks[*place]));
            for (place, sample) in places.iter().zip(join_all(asked).await) {
                health[*place].take(sample);
            }
            places.retain(|place| !health[*place].is_healthy());
        }
        let (_, failed): (Vec<_>, Vec<_>) =
            found(&analysis.health_checks, &health).into_iter().unzip();
        let Some(first) = failed.first() else {
            return Ok(health);
        };
        let reason = format!(
            "{} of {} health checks did not pass before the first shift; {}",
            failed.len(),
            health.len(),
            first.reason()
        );
        let evidence = Evidence {
            decided_by: Some("healthCheck".into()),
            health_checks: failed,
            ..evidence(proofs)
        };
        Err(Error::ValidationFailed(Detail::proven(reason, evidence)))
    }
}
