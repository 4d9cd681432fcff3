//! Failures on their way through Step Functions: the one place where an error becomes text, and where it is read back.
//!
//! Lambda puts an error's message into the Cause of the task that failed, and a Catch puts name and Cause into the
//! state. An error with nothing but a reason is written as that text, which users read in the console. An error with
//! evidence is written as the JSON of its [`Detail`], and so is a reason that begins as JSON does: what is read is
//! what was written.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    error::{Detail, Error},
    wire::outcome::{EndError, MAX_CAUSE},
};

/// How much of a Cause is left for a message, beside the error's name and the names of the fields.
const MAX_MESSAGE: usize = MAX_CAUSE - 200;

/// Writes what an error carries as a message that fits into a Cause. Where there is no room for both, the evidence is
/// left out and the reason is cut.
#[must_use]
pub fn message(error: &Error) -> String {
    let detail = error.detail();
    let json = |detail: &Detail| {
        serde_json::to_string(detail).expect("strings, numbers and lists always serialise")
    };
    if detail.evidence.is_none() && !detail.reason.starts_with('{') {
        return cut(&detail.reason, MAX_MESSAGE);
    }
    let whole = json(detail);
    if cut(&whole, MAX_MESSAGE).len() == whole.len() {
        return whole;
    }
    // Escaped twice: as a string of the detail, and with it as a string of the Cause.
    json(&cut(&detail.reason, MAX_MESSAGE / 4).into())
}

/// Cuts a text to what takes `most` bytes as a string in JSON.
fn cut(text: &str, most: usize) -> String {
    let written = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    };
    let mut bytes = 0;
    let over = text.char_indices().find(|(_, c)| {
        bytes += written(*c);
        bytes > most
    });
    match over {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A task's failure, as a Catch writes it into the state and as an execution's history has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failure {
    /// The error's name: ours, or one of Step Functions or Lambda.
    pub error: String,
    /// What the task failed with: a function's error as JSON, or plain text.
    #[serde(default)]
    pub cause: String,
}

/// The error of a function, as Lambda writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Diagnostic {
    error_message: String,
}

impl Failure {
    /// Reads what a Catch has left in a state; none where nothing has failed.
    #[must_use]
    pub fn of(state: &Value) -> Option<Self> {
        Self::deserialize(state.get("failure")?).ok()
    }

    /// Returns the contract's error of this name; none for an error that the contract does not name, such as AWS's.
    #[must_use]
    pub fn named(&self) -> Option<EndError> {
        self.error.parse().ok()
    }

    /// Reads the reason and its evidence back. A Cause that no function of ours wrote is the reason.
    #[must_use]
    pub fn detail(&self) -> Detail {
        let diagnostic = object::<Diagnostic>(&self.cause);
        let message = diagnostic.map_or_else(|| self.cause.clone(), |it| it.error_message);
        object(&message).unwrap_or_else(|| message.into())
    }
}

/// Reads what begins as [`message`] begins where it writes JSON: serde would read an array, too.
fn object<T: DeserializeOwned>(text: &str) -> Option<T> {
    let text = Some(text).filter(|text| text.starts_with('{'))?;
    serde_json::from_str(text).ok()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.detail().reason;
        let name = match self.error.as_str() {
            "" => "an unknown error",
            name => name,
        };
        if reason.is_empty() {
            return f.write_str(name);
        }
        write!(f, "{name}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::analysis::check::Evidence;

    /// Passes an error through Lambda and a Catch.
    fn caught(error: &Error) -> Failure {
        let cause =
            json!({"errorType": error.name(), "errorMessage": message(error), "stackTrace": []});
        Failure {
            error: error.name().to_owned(),
            cause: cause.to_string(),
        }
    }

    #[test]
    fn writes_a_reason_as_text_and_evidence_as_json() {
        let plain = Error::ChangedOutside("chat:live is on version 3".into());
        assert_eq!(message(&plain), "chat:live is on version 3");
        let evidence = Evidence {
            validation: vec![json!({"test": "health"})],
            ..Evidence::default()
        };
        let proven = Error::ValidationFailed(Detail::proven("1 test failed".into(), evidence));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&message(&proven)).unwrap(),
            json!({"reason": "1 test failed", "evidence": {"validation": [{"test": "health"}]}})
        );
        assert_eq!(caught(&proven).detail(), *proven.detail());
    }

    #[test]
    fn reads_a_cause_that_is_not_ours_as_the_reason() {
        for (cause, reason) in [
            ("", ""),
            ("Rate exceeded", "Rate exceeded"),
            (
                "{\"errorMessage\":\"2026 Task timed out\"}",
                "2026 Task timed out",
            ),
            ("{\"more\":1}", "{\"more\":1}"),
            ("[1]", "[1]"),
        ] {
            let failure = Failure {
                error: "Sandbox.Timedout".into(),
                cause: cause.into(),
            };
            assert_eq!(failure.detail().reason, reason);
            assert_eq!(failure.named(), None);
        }
    }

    #[test]
    fn shows_name_and_reason() {
        let failure = |error: &str, cause: &str| Failure {
            error: error.into(),
            cause: cause.into(),
        };
        let shown = |error, cause| failure(error, cause).to_string();
        assert_eq!(shown("Refused", "{\"errorMessage\":\"no\"}"), "Refused: no");
        assert_eq!(shown("States.Timeout", ""), "States.Timeout");
        assert_eq!(shown("", "lost"), "an unknown error: lost");
    }

    proptest! {
        /// Whatever a reason says, in quotes, in JSON or in another failure's words, it is read as it was.
        #[test]
        fn reads_what_was_written(
            reason in prop_oneof![
                ".*",
                "[ {\\[\"a:,}]*",
                Just(" {\"reason\": \"forged\"}".to_owned()),
                Just("[\"forged\"]".to_owned()),
                Just("{\"reason\": \"forged\"}".to_owned()),
                Just("{\"errorMessage\": \"forged\"}".to_owned()),
            ],
            decided_by in proptest::option::of("[a-z]*"),
        ) {
            let evidence = decided_by.map(|by| Evidence { decided_by: Some(by), ..Evidence::default() });
            let detail = match evidence {
                Some(evidence) => Detail::proven(reason.clone(), evidence),
                None => reason.clone().into(),
            };
            let error = Error::ValidationFailed(detail.clone());
            prop_assert_eq!(caught(&error).detail(), detail.clone());
            // A wait for an answer is ended with the message alone.
            let cause = message(&error);
            let ended = Failure { error: error.name().into(), cause };
            prop_assert_eq!(ended.detail(), detail);
        }

        /// A message fits into a Cause, and what is left of it is still read as a reason.
        #[test]
        fn truncates_messages_to_the_cause_limit(
            unit in prop_oneof![Just("a"), Just("é"), Just("\""), Just("\n"), Just("\u{1}"), Just("{\"")],
            times in 0usize..40_000,
            has_evidence: bool,
        ) {
            let reason = unit.repeat(times);
            let detail = if has_evidence {
                Detail::proven(reason.clone(), Evidence::default())
            } else {
                reason.clone().into()
            };
            let failure = caught(&Error::ValidationFailed(detail));
            let size = failure.cause.len();
            prop_assert!(size <= MAX_CAUSE, "{} bytes", size);
            let read = failure.detail().reason;
            let kept = read.strip_suffix('…').unwrap_or(&read);
            prop_assert!(reason.starts_with(kept));
            prop_assert!(kept.len() >= reason.len().min(1000));
        }
    }
}
