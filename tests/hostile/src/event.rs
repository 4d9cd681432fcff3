//! What EventBridge delivers.

use crossfade::wire::events::{Event, Home};
use serde_json::Value;

const EXECUTIONS: &str = "arn:aws:states:eu-west-1:123456789012:execution:m";

/// An event, as JSON.
///
/// # Panics
/// When something is taken for what it is not.
pub fn event(bytes: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let home = Home::of_executions(EXECUTIONS).expect("it is one");
    match Event::parse(input.clone(), &home) {
        Err(error) => crate::has_a_stable_name(&error),
        Ok(Event::AlarmFired { name, .. }) => {
            assert_eq!(input["detail"]["state"]["value"], "ALARM");
            assert_eq!(input["detail"]["alarmName"], name.as_ref());
            is_ours(&input);
        }
        Ok(Event::ExecutionEnded {
            execution,
            status,
            application,
            ..
        }) => {
            assert!(["FAILED", "TIMED_OUT", "ABORTED"].contains(&status.as_str()));
            assert_eq!(input["detail"]["executionArn"], execution.as_str());
            assert!(execution.starts_with(EXECUTIONS));
            is_ours(&input);
            if let Some(application) = application {
                let asked = input["detail"]["input"].as_str().unwrap_or_default();
                let asked: Value = serde_json::from_str(asked).expect("it named an application");
                assert_eq!(asked["application"], application.as_ref());
            }
        }
        Ok(Event::FailuresFound { execution, .. }) => {
            assert_eq!(input["detail"]["executionArn"], execution.as_str());
            assert!(execution.starts_with(EXECUTIONS));
            is_ours(&input);
        }
        Ok(Event::Tick { .. }) => assert_eq!(input["source"], "aws.events"),
        Ok(Event::Foreign(why)) => assert!(why.contains("expected")),
        Ok(Event::Other) => {}
    }
}

fn is_ours(input: &Value) {
    assert_eq!(input["account"], "123456789012");
    assert_eq!(input["region"], "eu-west-1");
}
