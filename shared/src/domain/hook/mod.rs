//! Hooks: functions of the user's that are asked on the way, by the contract of Amazon ECS: they answer
//! `hookStatus`, and are asked again while that is IN_PROGRESS.

pub(super) mod request;

use crate::display::truncate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::request::{HookRequest, Hooks, MAX_CALL_SECONDS, MAX_HOOK_SECONDS};
use super::{budget::Pace, names::Callee, weight::Weight};
use crate::domain::excerpt::excerpt;

/// How long is waited before a hook that is in progress is asked again, where it does not say, seconds. Longer where
/// it would be asked too often: see [`Pace`].
const CALL_BACK_SECONDS: u32 = 30;

/// How many hooks' answers are kept, the last ones.
pub const MAX_HEARD: usize = 10;

/// Where on the way a hook is asked.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum HookPoint {
    /// Before each shift.
    BeforeShift,
    /// After each shift, before its bake.
    AfterShift,
    /// After green was promoted.
    AfterPromote,
    /// After all traffic returned to blue.
    AfterRollback,
}

impl HookPoint {
    /// Whether a failure rolls back: after the release's end nothing is left to.
    #[must_use]
    pub fn is_a_gate(self) -> bool {
        match self {
            Self::BeforeShift | Self::AfterShift => true,
            Self::AfterPromote | Self::AfterRollback => false,
        }
    }
}

/// How a hook stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStatus {
    /// It has not been asked yet.
    Due,
    /// It will have to be asked again.
    InProgress,
    /// All is well.
    Succeeded,
    /// It is not.
    Failed,
}

/// A hook that is being asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRun {
    /// Where on the way.
    pub point: HookPoint,
    /// The function.
    pub function_name: Callee,
    /// How long it may take in all, seconds.
    pub timeout_seconds: u32,
    /// How it stands.
    pub status: HookStatus,
    /// How often it was asked.
    pub asked: u32,
    /// How long it has taken, seconds: the sum of the waits and of the calls.
    pub waited_seconds: u32,
    /// How long is waited before it is asked again, seconds.
    pub wait_seconds: u32,
    /// How long that is at the least, seconds.
    #[serde(default)]
    pub least_wait_seconds: u32,
}

/// What a hook said in the end, as it is on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookResult {
    /// Where on the way.
    pub hook: HookPoint,
    /// The function.
    pub function_name: Callee,
    /// Whether all is well.
    pub status: HookStatus,
    /// Green's weight at that time, percent; before a shift, the one that it leads to.
    pub weight: Weight,
    /// How often it was asked.
    pub asked: u32,
    /// How long it took, seconds.
    pub waited_seconds: u32,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it answered last, cut as a migration's answer is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
}

impl HookResult {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let (hook, status): (&str, &str) = (self.hook.into(), self.status.into());
        let why = self.why.as_deref().unwrap_or_default();
        let between = if why.is_empty() { "" } else { ": " };
        format!(
            "hook {hook} ({}) {status}{between}{why}",
            self.function_name
        )
    }
}

/// What asking once brought.
#[derive(Clone, Debug, PartialEq)]
pub enum HookReply {
    /// The function answered.
    Answer(Value),
    /// The function failed.
    Failed(Value),
    /// It could not be asked, or its answer did not come: why.
    Nothing(String),
}

impl HookRun {
    /// A hook that has not been asked yet.
    #[must_use]
    pub fn due(point: HookPoint, hook: &HookRequest, pace: &Pace) -> Self {
        Self {
            point,
            function_name: hook.function_name.clone(),
            timeout_seconds: hook.timeout_seconds,
            status: HookStatus::Due,
            asked: 0,
            waited_seconds: 0,
            wait_seconds: 0,
            least_wait_seconds: pace.call_every_seconds(hook),
        }
    }

    /// Whether it is still to be asked.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.status {
            HookStatus::Due | HookStatus::InProgress => true,
            HookStatus::Succeeded | HookStatus::Failed => false,
        }
    }

    /// Takes in that the wait is over. How long the call that follows may take, seconds; none when its
    /// time is up.
    #[must_use]
    pub fn begin(&mut self) -> Option<u32> {
        self.waited_seconds += std::mem::take(&mut self.wait_seconds);
        let left = self.timeout_seconds.saturating_sub(self.waited_seconds);
        (left > 0).then(|| left.min(MAX_CALL_SECONDS))
    }

    /// Takes in that its time is up. Why it failed, in words.
    #[must_use]
    pub fn give_up(&mut self) -> String {
        self.status = HookStatus::Failed;
        format!(
            "it was still IN_PROGRESS after {} s, asked {} times",
            self.timeout_seconds, self.asked
        )
    }

    /// Takes in what asking it brought after so many seconds. Why it failed, in words, where it did.
    pub fn apply_reply(&mut self, said: &HookReply, took_seconds: u32) -> Option<String> {
        self.asked += 1;
        self.waited_seconds += took_seconds;
        let (status, why) = match said {
            HookReply::Answer(answer) => match read(answer) {
                Ok((status, delay)) => {
                    let left = self.timeout_seconds.saturating_sub(self.waited_seconds);
                    self.wait_seconds = match status {
                        HookStatus::InProgress => {
                            delay.max(self.least_wait_seconds).clamp(1, left.max(1))
                        }
                        HookStatus::Due | HookStatus::Succeeded | HookStatus::Failed => 0,
                    };
                    let why = (status == HookStatus::Failed).then(|| "it says so".to_owned());
                    (status, why)
                }
                Err(wrong) => (HookStatus::Failed, Some(wrong)),
            },
            HookReply::Failed(error) => {
                let error = excerpt(error.clone());
                (
                    HookStatus::Failed,
                    Some(format!("the function failed: {error}")),
                )
            }
            HookReply::Nothing(why) => (HookStatus::Failed, Some(why.clone())),
        };
        self.status = status;
        why
    }

    /// What is put on record of it once it is over.
    #[must_use]
    pub fn result(
        &self,
        weight: Weight,
        why: Option<String>,
        said: Option<HookReply>,
    ) -> HookResult {
        let answer = match said {
            Some(HookReply::Answer(answer)) => excerpt(answer),
            Some(HookReply::Failed(_) | HookReply::Nothing(_)) | None => Value::Null,
        };
        HookResult {
            hook: self.point,
            function_name: self.function_name.clone(),
            status: self.status,
            weight,
            asked: self.asked,
            waited_seconds: self.waited_seconds,
            why,
            answer,
        }
    }
}

/// Reads an answer: how the hook stands, and when to ask again, seconds. The error describes what is wrong.
fn read(answer: &Value) -> Result<(HookStatus, u32), String> {
    let shown = || truncate(&answer.to_string(), 200);
    let status = match answer["hookStatus"].as_str() {
        Some("SUCCEEDED") => HookStatus::Succeeded,
        Some("FAILED") => HookStatus::Failed,
        Some("IN_PROGRESS") => HookStatus::InProgress,
        Some(_) | None => {
            return Err(format!(
                "it did not answer {{\"hookStatus\": \"SUCCEEDED\"}}, \"FAILED\" or \"IN_PROGRESS\", but {}",
                shown()
            ));
        }
    };
    let delay = match &answer["callBackDelay"] {
        Value::Null => CALL_BACK_SECONDS,
        delay => delay
            .as_u64()
            .and_then(|seconds| u32::try_from(seconds).ok())
            .ok_or_else(|| {
                format!(
                    "its callBackDelay is no whole number of seconds: {}",
                    shown()
                )
            })?,
    };
    Ok((status, delay))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::budget::tests::request;

    fn run(timeout_seconds: u32) -> HookRun {
        let hook = json!({"functionName": "chat-hook", "timeoutSeconds": timeout_seconds});
        let pace = request(json!({"hooks": {"afterShift": hook}})).pace();
        HookRun::due(
            HookPoint::AfterShift,
            &serde_json::from_value(hook).unwrap(),
            &pace,
        )
    }

    fn answered(run: &mut HookRun, answer: Value) -> (HookStatus, Option<String>) {
        let why = run.apply_reply(&HookReply::Answer(answer), 1);
        (run.status, why)
    }

    #[test]
    fn reads_the_status_of_a_hook() {
        let mut one = run(300);
        assert_eq!(one.begin(), Some(300));
        let done = answered(&mut one, json!({"hookStatus": "SUCCEEDED", "more": 1}));
        assert_eq!(done, (HookStatus::Succeeded, None));
        assert!(!one.is_open());
        let (status, why) = answered(&mut run(300), json!({"hookStatus": "FAILED"}));
        assert_eq!(
            (status, why.as_deref()),
            (HookStatus::Failed, Some("it says so"))
        );
    }

    #[test]
    fn fails_on_an_unrecognized_reply() {
        for answer in [
            json!(null),
            json!("SUCCEEDED"),
            json!({}),
            json!({"hookStatus": "succeeded"}),
            json!({"hookStatus": true}),
            json!({"statusCode": 200, "body": "ok"}),
            json!({"hookStatus": "IN_PROGRESS", "callBackDelay": "soon"}),
            json!({"hookStatus": "IN_PROGRESS", "callBackDelay": -1}),
        ] {
            let (status, why) = answered(&mut run(300), answer.clone());
            assert_eq!(status, HookStatus::Failed, "{answer}");
            assert!(
                why.is_some_and(|why| why.contains(&answer.to_string())),
                "{answer}"
            );
        }
        let mut failed = run(300);
        let why = failed.apply_reply(&HookReply::Failed(json!({"errorMessage": "no"})), 1);
        assert!(
            why.is_some_and(|why| why.contains("the function failed: {\"errorMessage\":\"no\"}"))
        );
    }

    #[test]
    fn polls_a_hook_until_its_timeout() {
        let mut one = run(100);
        let mut seen = Vec::new();
        while let Some(may_take) = one.begin() {
            let (status, _) = answered(&mut one, json!({"hookStatus": "IN_PROGRESS"}));
            assert_eq!(status, HookStatus::InProgress);
            seen.push((may_take, one.wait_seconds));
        }
        assert_eq!(seen, [(100, 30), (69, 30), (38, 30), (7, 6)]);
        assert_eq!(one.waited_seconds, 100);
        let why = one.give_up();
        assert_eq!(why, "it was still IN_PROGRESS after 100 s, asked 4 times");
        assert_eq!(one.status, HookStatus::Failed);
    }

    #[test]
    fn bounds_the_poll_interval_by_the_timeout() {
        let progress = |delay: u32| json!({"hookStatus": "IN_PROGRESS", "callBackDelay": delay});
        for (delay, wait) in [(5, 5), (0, 1), (1_000_000, 299)] {
            let mut one = run(300);
            answered(&mut one, progress(delay));
            assert_eq!(one.wait_seconds, wait, "{delay}");
        }
        let mut long = run(86_400);
        assert_eq!(long.begin(), Some(MAX_CALL_SECONDS), "one call");
    }

    #[test]
    fn describes_the_result_of_a_hook() {
        let mut one = run(300);
        let said = HookReply::Answer(json!({"hookStatus": "FAILED", "because": "queue"}));
        let why = one.apply_reply(&said, 2);
        let heard = one.result(Weight::try_from(10).unwrap(), why, Some(said));
        assert_eq!(
            heard.describe(),
            "hook afterShift (chat-hook) FAILED: it says so"
        );
        assert_eq!(
            json!(heard),
            json!({"hook": "afterShift", "functionName": "chat-hook", "status": "FAILED", "weight": 10,
                "asked": 1, "waitedSeconds": 2, "why": "it says so",
                "answer": {"hookStatus": "FAILED", "because": "queue"}})
        );
    }
}
