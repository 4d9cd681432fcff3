//! What the newest events of an execution say of its release, beside what the ledger has: pure.

use crossfade::{
    aws::executions::Told,
    domain::{Timestamp, release::Release},
    wire::outcome::Outcome,
};
use serde::Deserialize;

/// What is known from the execution. Nothing of it is needed to show a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Story {
    /// The release as a state had it last.
    pub(crate) release: Option<Box<Release>>,
    /// How the execution ended, where it says so.
    pub(crate) outcome: Option<Box<Outcome>>,
    /// When that was.
    pub(crate) ended_at: Option<Timestamp>,
}

impl Story {
    /// Of events, newest first.
    pub(crate) fn of(events: &[Told]) -> Self {
        let mut story = Self::default();
        for event in events {
            match event {
                Told::End(at, said) => {
                    story.ended_at = Some(*at);
                    let outcome = said
                        .as_deref()
                        .and_then(|text| serde_json::from_str(text).ok());
                    story.outcome = outcome.map(Box::new);
                }
                Told::State(state) => {
                    if let Ok(release) = Release::deserialize(state) {
                        story.release = Some(Box::new(release));
                        break;
                    }
                }
            }
        }
        story
    }

    /// From how many milliseconds on a request is slow, where the release says so.
    pub(crate) fn slower_than_ms(&self) -> Option<u32> {
        self.release.as_ref()?.spec.analysis.slower_than_ms
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    #[test]
    fn takes_the_newest_of_each() {
        let state = |weight: u64| Told::State(json!({"weight": weight}));
        let outcome = json!({"deploymentStatus": "ROLLED_BACK", "application": "chat", "reason": "7 of 9 failed"});
        let end = Told::End(fixtures::now(), Some(outcome.to_string()));
        let story = Story::of(&[end, state(10)]);
        assert_eq!(story.ended_at, Some(fixtures::now()));
        assert_eq!(story.outcome.unwrap().reason, "7 of 9 failed");
        assert_eq!(story.release, None);
        let stopped = Story::of(&[Told::End(fixtures::now(), Some("by hand".into()))]);
        assert_eq!(
            (stopped.outcome, stopped.ended_at),
            (None, Some(fixtures::now()))
        );
        assert_eq!(Story::of(&[]), Story::default());
    }
}
