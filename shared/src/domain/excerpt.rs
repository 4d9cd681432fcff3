//! What is recorded of a function's answer.

use crate::display::truncate;
use serde_json::Value;

/// How much of a function's answer is recorded, characters of JSON.
pub const MAX_ANSWER: usize = 1000;

/// Returns a short answer as it is, and the beginning of a long one as text.
#[must_use]
pub fn excerpt(answer: Value) -> Value {
    let text = answer.to_string();
    match truncate(&text, MAX_ANSWER) {
        whole if whole == text => answer,
        cut => Value::String(cut),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn truncates_only_long_answers() {
        let short = json!({"tables": ["a", "b"]});
        assert_eq!(excerpt(short.clone()), short);
        let long = excerpt(json!({"rows": "é".repeat(5000)}));
        let text = long.as_str().expect("it is text");
        assert_eq!(text.chars().count(), MAX_ANSWER + 1);
        assert!(text.starts_with("{\"rows\":\"éé"), "{text}");
    }
}
