//! What Step Functions tells of an execution.

use aws_sdk_sfn::{
    primitives::DateTime,
    types::{
        ExecutionAbortedEventDetails, ExecutionFailedEventDetails, ExecutionStartedEventDetails,
        ExecutionSucceededEventDetails, ExecutionTimedOutEventDetails, HistoryEvent,
        HistoryEventType, StateEnteredEventDetails, StateExitedEventDetails,
        TaskFailedEventDetails,
    },
};
use serde::Deserialize;
use serde_json::Value;

/// An event, of any type and with details of any.
#[derive(Deserialize)]
#[serde(default)]
struct Written {
    r#type: String,
    at: i64,
    /// A state's name.
    name: Option<String>,
    input: Option<Value>,
    output: Option<Value>,
    error: Option<String>,
    cause: Option<Value>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            r#type: "TaskScheduled".to_owned(),
            at: 1_790_000_000,
            name: None,
            input: None,
            output: None,
            error: None,
            cause: None,
        }
    }
}

/// JSON as text; text as it is, for it need not be JSON.
fn text(value: Option<&Value>) -> Option<String> {
    value.map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

impl Written {
    fn event(&self, nth: usize) -> HistoryEvent {
        let (input, output) = (text(self.input.as_ref()), text(self.output.as_ref()));
        let (error, cause) = (self.error.clone(), text(self.cause.as_ref()));
        let mut event = HistoryEvent::builder()
            .id(i64::try_from(nth).unwrap_or_default() + 1)
            .timestamp(DateTime::from_secs(self.at))
            .r#type(HistoryEventType::from(self.r#type.as_str()));
        match (self.r#type.as_str(), &self.name) {
            ("ExecutionStarted", _) => {
                let details = ExecutionStartedEventDetails::builder().set_input(input);
                event = event.execution_started_event_details(details.build());
            }
            ("ExecutionSucceeded", _) => {
                let details = ExecutionSucceededEventDetails::builder().set_output(output);
                event = event.execution_succeeded_event_details(details.build());
            }
            ("ExecutionFailed", _) => {
                let details = ExecutionFailedEventDetails::builder();
                let details = details.set_error(error).set_cause(cause);
                event = event.execution_failed_event_details(details.build());
            }
            ("ExecutionAborted", _) => {
                let details = ExecutionAbortedEventDetails::builder();
                let details = details.set_error(error).set_cause(cause);
                event = event.execution_aborted_event_details(details.build());
            }
            ("ExecutionTimedOut", _) => {
                let details = ExecutionTimedOutEventDetails::builder();
                let details = details.set_error(error).set_cause(cause);
                event = event.execution_timed_out_event_details(details.build());
            }
            ("TaskFailed", _) => {
                let details = TaskFailedEventDetails::builder();
                let details = details.resource_type("lambda").resource("invoke");
                let details = details.set_error(error).set_cause(cause).build();
                event = event.task_failed_event_details(details.expect("all is said"));
            }
            (_, Some(name)) if self.r#type.ends_with("StateEntered") => {
                let details = StateEnteredEventDetails::builder();
                let details = details.name(name).set_input(input).build();
                event = event.state_entered_event_details(details.expect("all is said"));
            }
            (_, Some(name)) => {
                let details = StateExitedEventDetails::builder();
                let details = details.name(name).set_output(output).build();
                event = event.state_exited_event_details(details.expect("all is said"));
            }
            (_, None) => {}
        }
        event.build().expect("all is said")
    }
}

/// A history: a JSON list of events, each with its type, and what that type has of a state's `name`,
/// `input`, `output`, `error` and `cause`.
///
/// # Panics
/// When a line would do more to a terminal than be shown.
pub fn history(bytes: &[u8]) {
    let Ok(written) = serde_json::from_slice::<Vec<Written>>(bytes) else {
        return;
    };
    let events: Vec<_> = written
        .iter()
        .enumerate()
        .map(|(nth, event)| event.event(nth))
        .collect();
    let told = crossfade_cli::timeline(&events);
    assert!(told.len() <= events.len());
    for (line, object) in told {
        let acts = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!line.contains(acts), "{line:?}");
        assert!(
            object["at"].is_string() && object["event"].is_string(),
            "{object}"
        );
        let read: Value = serde_json::from_str(&object.to_string()).expect("it is JSON");
        assert_eq!(read, object);
    }
}
