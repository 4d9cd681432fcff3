//! Numbers and times as operators read them.

use crossfade::domain::Timestamp;

/// A share in percent, with as many digits as matter.
pub(crate) fn percent(value: f64) -> String {
    if value <= 0.0 {
        "0 %".to_owned()
    } else if value < 0.01 {
        "< 0.01 %".to_owned()
    } else if value < 1.0 {
        format!("{value:.2} %")
    } else if value < 10.0 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// A time of day.
pub(crate) fn time(at: Timestamp) -> String {
    at.format("%H:%M").to_string()
}

/// A day and a time of day.
pub(crate) fn day_and_time(at: Timestamp) -> String {
    at.format("%a %-d %b, %H:%M UTC").to_string()
}

/// For machines.
pub(crate) fn exact(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A sentence's first letter made large, unless it begins with a name: `chat-api: 7 of 9 requests failed`.
pub(crate) fn sentence(text: &str) -> String {
    let begins_with_a_name = text
        .split(' ')
        .next()
        .is_some_and(|word| word.ends_with(':'));
    if begins_with_a_name {
        return ended(text.to_owned());
    }
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().collect();
    sentence.push_str(chars.as_str());
    ended(sentence)
}

fn ended(mut sentence: String) -> String {
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let shares = [0.0, 0.0001, 0.014, 0.5, 1.0, 9.94, 12.3, 100.0].map(percent);
        let expected = [
            "0 %", "< 0.01 %", "0.01 %", "0.50 %", "1.0 %", "9.9 %", "12 %", "100 %",
        ];
        assert_eq!(shares, expected);
    }

    #[test]
    fn times() {
        let at: Timestamp = "2026-11-21T03:07:09Z".parse().unwrap();
        assert_eq!(time(at), "03:07");
        assert_eq!(day_and_time(at), "Sat 21 Nov, 03:07 UTC");
        assert_eq!(exact(at), "2026-11-21T03:07:09Z");
    }

    #[test]
    fn sentences() {
        assert_eq!(sentence("all goes well"), "All goes well.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(
            sentence("chat-api: 7 of 9 failed"),
            "chat-api: 7 of 9 failed."
        );
        assert_eq!(sentence(""), "");
    }
}
