//! Asking the health checks of green at a look.

use std::time::Duration;

use crossfade::domain::{
    health::{FAILURES, Health, due},
    release::Release,
};
use futures::future::join_all;

use crate::Handler;

/// From one asking to the next, where it has to be known now.
const PAUSE: Duration = Duration::from_secs(2);

impl Handler {
    /// Returns how each health check is, after a sample of each whose interval is over. Where the bake may end
    /// with this look, or the next one is far off, all are sampled, and one that fails is sampled again at once
    /// until it is known to be healthy or not.
    pub(crate) async fn health_now(&self, release: &Release) -> Vec<Health> {
        let checks = &release.spec.analysis.health_checks;
        let mut health = release.progress().health.clone();
        let waited = release.progress().position.wait_seconds;
        // A bake may also end early, at any look; and where looks are rare, the next one is far off.
        let decides = release.has_baked()
            || release.spec.analysis.early_proceed
            || release.is_looked_at_rarely();
        let mut places = due(
            &release.spec.analysis.health_checks,
            &mut health,
            waited,
            decides,
        );
        for turn in 0..FAILURES {
            if turn > 0 && !places.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            let asked = places.iter().map(|place| self.health.ask(&checks[*place]));
            for (place, sample) in places.iter().zip(join_all(asked).await) {
                health[*place].take(sample);
            }
            places.retain(|place| decides && health[*place].is_in_doubt());
        }
        health
    }
}
