//! Examples for tests, each of which changes what it is about.

use serde_json::json;

use super::Release;
use crate::domain::record::Record;

impl Release {
    /// Returns a release of one function in flight, at the first of two steps: 10 %, and then 100 %.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn example() -> Self {
        let release = json!({
            "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 300}, {"weight": 100, "bakeSeconds": 0}]},
            "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 60},
            "steps": [{"weight": 10, "startedAt": "2026-11-20T12:00:00Z"}]});
        serde_json::from_value(release).expect("it is a release")
    }
}

impl Record {
    /// Returns the row of [`Release::example`].
    #[must_use]
    pub fn example() -> Self {
        let execution = "arn:aws:states:eu-west-1:1:execution:crossfade-deployment:42";
        Self::of(execution, &Release::example())
    }
}
