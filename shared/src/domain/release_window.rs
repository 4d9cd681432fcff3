//! When releases may begin: windows by the clock on the wall, in a time zone by its name.
//!
//! A window is what operators mean by it: from nine to four is that on the day that has 23 hours, too. An
//! hour that the clock shows twice is inside both times, and one that it never shows never comes.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, NaiveDateTime, SecondsFormat, TimeDelta, Timelike, Weekday,
};
use chrono_tz::Tz;

use crate::{domain::Timestamp, parse::bounds::quoted};

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// How far ahead the next opening is looked for, minutes: two weeks. Each window opens once a week,
/// unless the clock never shows its hour on that day.
const AHEAD: i64 = 14 * 24 * 60;

/// The windows outside of which no release begins: none, where one may begin at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    each: Vec<Window>,
    text: String,
}

/// Some days of the week, from one time of the day to another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    /// Whether it begins on the day, Monday first.
    days: [bool; 7],
    /// When it begins, minutes after midnight: 0 to 1439.
    from: u32,
    /// When it is over, minutes after midnight: 1 to 1440. Not after `from`: on the next day.
    to: u32,
    /// Where the clock hangs.
    zone: Tz,
}

/// Whether a release may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It may.
    Open,
    /// It may not: why, and from when it may.
    Closed(String),
}

impl FromStr for Windows {
    type Err = String;

    /// Reads `Mon-Thu 09:00-16:00 Europe/Berlin; Fri 09:00-12:00 Europe/Berlin`; of nothing, windows
    /// that never close. The error describes what is wrong.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let each = text.split(';').map(window).collect::<Result<_, _>>()?;
        Ok(Self {
            each,
            text: text.to_owned(),
        })
    }
}

impl Windows {
    /// Whether a release may begin at `now`.
    #[must_use]
    pub fn opening(&self, now: Timestamp) -> Opening {
        let Some(first) = self.each.first() else {
            return Opening::Open;
        };
        if self.is_open(now) {
            return Opening::Open;
        }
        let next = self.next_opening(now).map_or_else(
            || "and none opens within two weeks".to_owned(),
            |(at, zone)| {
                format!(
                    "the next one opens on {}, {}",
                    shown(at, zone),
                    at.to_rfc3339_opts(SecondsFormat::Secs, true)
                )
            },
        );
        Opening::Closed(format!(
            "releases begin {} only; now it is {}, and {next}",
            self.text,
            shown(now, first.zone)
        ))
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.each.iter().any(|window| window.is_open(now))
    }

    /// The first minute after `now` that is inside, and the zone of the window that has it. Every
    /// minute is asked: nothing else knows of each way in which clocks are changed.
    fn next_opening(&self, now: Timestamp) -> Option<(Timestamp, Tz)> {
        let minute = now
            - TimeDelta::seconds(now.timestamp().rem_euclid(60))
            - TimeDelta::nanoseconds(i64::from(now.nanosecond()));
        (1..=AHEAD).find_map(|ahead| {
            let at = minute + TimeDelta::minutes(ahead);
            let window = self.each.iter().find(|window| window.is_open(at))?;
            Some((at, window.zone))
        })
    }
}

impl Window {
    fn is_open(&self, now: Timestamp) -> bool {
        let clock: NaiveDateTime = now.with_timezone(&self.zone).naive_local();
        let minute = clock.hour() * 60 + clock.minute();
        let today = clock.date();
        let on = |day: Weekday| self.days[day.num_days_from_monday() as usize];
        if self.from < self.to {
            return on(today.weekday()) && (self.from..self.to).contains(&minute);
        }
        // Past midnight: it is today's until then, and yesterday's after it.
        let yesterday = today.checked_sub_days(Days::new(1));
        on(today.weekday()) && minute >= self.from
            || yesterday.is_some_and(|day| on(day.weekday())) && minute < self.to
    }
}

/// A moment as the clock on the wall shows it: `Mon 2026-11-23 09:00 Europe/Berlin`.
fn shown(at: Timestamp, zone: Tz) -> String {
    let clock: DateTime<Tz> = at.with_timezone(&zone);
    let date = clock.date_naive();
    format!(
        "{} {date} {:02}:{:02} {}",
        date.weekday(),
        clock.hour(),
        clock.minute(),
        zone.name()
    )
}

/// Reads `DAYS HH:MM-HH:MM ZONE`.
fn window(text: &str) -> Result<Window, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [days, times, zone] = words[..] else {
        return Err(format!(
            "{} is not a window; give days, times and a zone, such as \"Mon-Fri 09:00-16:00 Europe/Berlin\"",
            quoted(text.trim())
        ));
    };
    let (from, to) = times
        .split_once('-')
        .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)))
        .filter(|(from, to)| *from < DAY && *to > 0 && from != to)
        .ok_or_else(|| {
            format!(
                "{} are not times; give two of them, such as \"09:00-16:00\", or \"00:00-24:00\" for a whole day",
                quoted(times)
            )
        })?;
    Ok(Window {
        days: weekdays(days)?,
        from,
        to,
        zone: zone.parse().map_err(|_| {
            format!(
                "{} is not a time zone; name one of IANA's, such as \"Europe/Berlin\" or \"UTC\"",
                quoted(zone)
            )
        })?,
    })
}

/// Minutes after midnight, of `HH:MM`.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| -> Option<u32> {
        let right = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        right.then(|| digits.parse().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

/// Reads `Mon`, `Mon-Thu` (`Sat-Mon` goes over the end of the week), or several with commas between.
fn weekdays(text: &str) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (weekday(first), weekday(last)) else {
            return Err(format!(
                "{} are not days; use Mon, Tue, Wed, Thu, Fri, Sat and Sun, such as \"Mon-Thu\" or \"Mon,Wed\"",
                quoted(text)
            ));
        };
        let mut day = first;
        loop {
            days[day.num_days_from_monday() as usize] = true;
            if day == last {
                break;
            }
            day = day.succ();
        }
    }
    Ok(days)
}

fn weekday(text: &str) -> Option<Weekday> {
    let days = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];
    days.into_iter().find(|day| day.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICE: &str = "Mon-Thu 09:00-16:00 Europe/Berlin; Fri 09:00-12:00 Europe/Berlin";

    fn windows(text: &str) -> Windows {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn is_open(text: &str, time: &str) -> bool {
        windows(text).opening(at(time)) == Opening::Open
    }

    fn next(text: &str, time: &str) -> String {
        let (next, _) = windows(text).next_opening(at(time)).unwrap();
        next.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    #[test]
    fn is_always_open_without_windows() {
        for text in ["", "  "] {
            assert!(is_open(text, "2026-11-22T03:00:00Z"));
        }
    }

    #[test]
    fn includes_the_start_and_excludes_the_end() {
        // In November Berlin is an hour ahead of UTC.
        for (time, open) in [
            ("2026-11-23T07:59:59Z", false), // Monday
            ("2026-11-23T08:00:00Z", true),
            ("2026-11-23T14:59:59.999Z", true),
            ("2026-11-23T15:00:00Z", false),
            ("2026-11-26T12:00:00Z", true), // Thursday
            ("2026-11-27T10:59:00Z", true), // Friday
            ("2026-11-27T11:00:00Z", false),
            ("2026-11-28T10:00:00Z", false), // Saturday
            ("2026-11-29T10:00:00Z", false), // Sunday
        ] {
            assert_eq!(is_open(OFFICE, time), open, "{time}");
        }
    }

    #[test]
    fn finds_the_next_opening() {
        for (time, opens) in [
            ("2026-11-23T07:59:59.5Z", "2026-11-23T08:00:00Z"),
            ("2026-11-23T15:00:00Z", "2026-11-24T08:00:00Z"),
            ("2026-11-27T11:00:00Z", "2026-11-30T08:00:00Z"),
            ("2026-11-28T23:30:10Z", "2026-11-30T08:00:00Z"),
        ] {
            assert_eq!(next(OFFICE, time), opens, "{time}");
        }
        let two = "Mon 09:00-10:00 Europe/Berlin; Mon 09:00-10:00 America/New_York";
        assert_eq!(
            next(two, "2026-11-23T09:00:00Z"),
            "2026-11-23T14:00:00Z",
            "New York is later"
        );
    }

    #[test]
    fn follows_local_time_across_dst() {
        // Berlin: on 2026-03-29 two o'clock is three, on 2026-10-25 three o'clock is two again.
        for (time, open) in [
            ("2026-03-27T08:00:00Z", true),  // Friday, 09:00 in winter
            ("2026-03-30T07:00:00Z", true),  // Monday, 09:00 in summer
            ("2026-03-30T06:59:00Z", false), // an hour earlier by UTC than on Friday
            ("2026-03-30T13:59:00Z", true),
            ("2026-03-30T14:00:00Z", false),
            ("2026-10-23T07:00:00Z", true),
            ("2026-10-26T07:00:00Z", false),
            ("2026-10-26T08:00:00Z", true),
        ] {
            assert_eq!(is_open(OFFICE, time), open, "{time}");
        }
        assert_eq!(next(OFFICE, "2026-03-28T12:00:00Z"), "2026-03-30T07:00:00Z");
        assert_eq!(next(OFFICE, "2026-10-24T12:00:00Z"), "2026-10-26T08:00:00Z");
        // Southern clocks change the other way: Sydney's on 2026-10-04.
        let sydney = "Mon 09:00-10:00 Australia/Sydney";
        assert_eq!(next(sydney, "2026-09-28T12:00:00Z"), "2026-10-04T22:00:00Z");
    }

    #[test]
    fn handles_skipped_and_repeated_hours() {
        let night = "Sun 02:00-03:00 Europe/Berlin";
        assert_eq!(
            next(night, "2026-03-28T12:00:00Z"),
            "2026-04-05T00:00:00Z",
            "two to three did not happen on the 29th"
        );
        for (time, open) in [
            ("2026-10-24T23:59:00Z", false),
            ("2026-10-25T00:30:00Z", true), // 02:30 in summer
            ("2026-10-25T01:30:00Z", true), // 02:30 in winter
            ("2026-10-25T02:00:00Z", false),
        ] {
            assert_eq!(is_open(night, time), open, "{time}");
        }
        // A window that begins in the hour that is left out begins with what comes after it.
        let early = "Sun 02:30-05:00 Europe/Berlin";
        assert_eq!(next(early, "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
        // One that ended comes back with the hour.
        let first = "Sun 01:30-02:30 Europe/Berlin";
        assert_eq!(next(first, "2026-10-25T00:40:00Z"), "2026-10-25T01:00:00Z");
    }

    #[test]
    fn spans_midnight_from_its_own_day() {
        let late = "Fri 22:00-02:00 UTC";
        for (time, open) in [
            ("2026-11-27T01:00:00Z", false), // Thursday's night
            ("2026-11-27T21:59:00Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T01:59:00Z", true),
            ("2026-11-28T02:00:00Z", false),
            ("2026-11-28T22:00:00Z", false),
        ] {
            assert_eq!(is_open(late, time), open, "{time}");
        }
        // Over the end of the week, and in a night that is an hour longer.
        assert!(is_open("Sun 20:00-04:00 UTC", "2026-11-30T03:59:00Z"));
        assert!(is_open(
            "Sat 22:00-03:00 Europe/Berlin",
            "2026-10-25T01:59:00Z"
        ));
        assert!(!is_open(
            "Sat 22:00-03:00 Europe/Berlin",
            "2026-10-25T02:00:00Z"
        ));
    }

    #[test]
    fn days_are_ranges_lists_and_may_go_over_the_end_of_the_week() {
        let days = |text: &str| weekdays(text).unwrap().map(u8::from);
        assert_eq!(days("Wed"), [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(days("Mon-Sun"), [1; 7]);
        assert_eq!(days("Sat-Mon"), [1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(days("Mon,Wed-Thu"), [1, 0, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn accepts_24_as_the_end_of_a_day() {
        let text = "Sat 00:00-24:00 UTC";
        assert!(is_open(text, "2026-11-28T00:00:00Z"));
        assert!(is_open(text, "2026-11-28T23:59:59Z"));
        assert!(!is_open(text, "2026-11-29T00:00:00Z"));
    }

    #[test]
    fn explains_malformed_windows() {
        for (text, says) in [
            ("always", "is not a window"),
            ("Mon-Fri 09:00-16:00", "is not a window"),
            ("Mon-Fri 09:00-16:00 Europe/Berlin;", "is not a window"),
            ("Mo-Fr 09:00-16:00 UTC", "are not days"),
            ("mon 09:00-16:00 UTC", "are not days"),
            ("Mon- 09:00-16:00 UTC", "are not days"),
            ("Mon 9:00-16:00 UTC", "are not times"),
            ("Mon 09:00 UTC", "are not times"),
            ("Mon 09:00-16:60 UTC", "are not times"),
            ("Mon 09:00-24:01 UTC", "are not times"),
            ("Mon 24:00-02:00 UTC", "are not times"),
            ("Mon 09:00-00:00 UTC", "are not times"),
            ("Mon 09:00-09:00 UTC", "are not times"),
            ("Mon +9:00-16:00 UTC", "are not times"),
            ("Mon 09:00-16:00 Berlin", "is not a time zone"),
        ] {
            let error = text.parse::<Windows>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn names_windows_and_next_opening_in_a_refusal() {
        let Opening::Closed(why) = windows(OFFICE).opening(at("2026-11-21T06:40:00Z")) else {
            panic!("it is Saturday");
        };
        assert_eq!(
            why,
            format!(
                "releases begin {OFFICE} only; now it is Sat 2026-11-21 07:40 Europe/Berlin, and the next one opens \
                 on Mon 2026-11-23 09:00 Europe/Berlin, 2026-11-23T08:00:00Z"
            )
        );
    }
}
