//! Numbers and times as operators read them.

use chrono::TimeDelta;
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

/// A count, its thousands apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A count with its noun.
pub(crate) fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// How long, in its two largest units.
pub(crate) fn duration(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let parts = match (days, hours, minutes) {
        (0, 0, 0) => return format!("{seconds} s"),
        (0, 0, _) => return format!("{minutes} min"),
        (0, _, _) => [(hours, "h"), (minutes, "min")],
        _ => [(days, "d"), (hours, "h")],
    };
    let shown: Vec<_> = parts
        .into_iter()
        .filter(|(value, _)| *value > 0)
        .map(|(value, unit)| format!("{value} {unit}"))
        .collect();
    shown.join(" ")
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

/// A sentence's first letter made large.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().collect();
    sentence.push_str(chars.as_str());
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
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "request", "requests"), "1 request");
    }

    #[test]
    fn times() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3600, "1 h"),
            (5400, "1 h 30 min"),
            (86_400, "1 d"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(duration(TimeDelta::seconds(seconds)), expected, "{seconds}");
        }
        let at: Timestamp = "2026-11-21T03:07:09Z".parse().unwrap();
        assert_eq!(time(at), "03:07");
        assert_eq!(day_and_time(at), "Sat 21 Nov, 03:07 UTC");
        assert_eq!(exact(at), "2026-11-21T03:07:09Z");
    }

    #[test]
    fn sentences() {
        assert_eq!(sentence("all goes well"), "All goes well.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), "");
    }
}
