//! What is shown: a bar with lines above it on a terminal, lines alone elsewhere, or JSON.

use crossfade::display::truncate;
use std::{
    borrow::Cow,
    env, fmt,
    io::{IsTerminal, Write, stderr, stdout},
    time::Duration,
};

use crossfade::domain::{Timestamp, weight::Weight};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use crate::timeline::{Entry, Now};

/// The longest reason shown for something that could not be read, characters.
const REASON: usize = 200;

/// Returns the first line of a reason, truncated.
pub(crate) fn brief(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    truncate(line, REASON)
}

/// Returns a moment as all lines show it: UTC, to the second. JSON has it as RFC 3339.
pub(crate) fn moment(at: Timestamp) -> String {
    at.format(MOMENT).to_string()
}

/// The format of [`moment`].
pub(crate) const MOMENT: &str = "%Y-%m-%d %H:%M:%SZ";

/// Where things are shown.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    bar: Option<ProgressBar>,
}

/// Writes the bar's position, which is in tenths of a percent, as a weight.
fn written(state: &ProgressState, to: &mut dyn fmt::Write) {
    let tenths = u16::try_from(state.pos()).ok();
    let weight = tenths.and_then(Weight::of_tenths).unwrap_or(Weight::FULL);
    // Writing to a String cannot fail.
    let _ = write!(to, "{weight}");
}

/// How often the bar's spinner turns.
const TICK: Duration = Duration::from_millis(250);

impl Output {
    /// For single answers.
    pub(crate) fn plain(json: bool) -> Self {
        Self { json, bar: None }
    }

    /// For a release that is watched: with a bar where there is a terminal to draw it on.
    pub(crate) fn live(json: bool, name: &str) -> Self {
        let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
        let bar = (!json && !dumb && stderr().is_terminal() && stdout().is_terminal()).then(|| {
            // https://no-color.org: any value but an empty one.
            let plain = env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
            let bar = if plain {
                "{bar:20}"
            } else {
                "{bar:20.green/blue}"
            };
            let template =
                format!("{{spinner}} {{prefix}} [{bar}] {{weight}} on green; {{wide_msg}}");
            let style = ProgressStyle::with_template(&template)
                .expect("the template is one")
                .with_key("weight", written)
                .progress_chars("=> ");
            let bar = ProgressBar::new(Weight::FULL.tenths().into()).with_style(style);
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { json, bar }
    }

    /// Whether what is shown is for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Something happened. What is as it was at the look before is a line for programs alone.
    pub(crate) fn happened(&self, told: &Entry) {
        if self.json {
            self.object(told);
        } else if !told.unchanged {
            self.line(&told.line());
        }
    }

    /// How it stands until the next look.
    pub(crate) fn now(&self, now: &Now) {
        if let Some(bar) = &self.bar {
            bar.set_position(now.weight.tenths().into());
            bar.set_message(now.told.clone());
        }
    }

    /// Nothing more is watched.
    pub(crate) fn still(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// A line for operators; nothing among JSON.
    pub(crate) fn say(&self, line: &str) {
        if !self.json {
            self.line(line);
        }
    }

    /// A line about the watching itself, beside what is shown.
    pub(crate) fn aside(&self, line: &str) {
        let line = escaped(line);
        // A closed stderr has no reader: the error is ignored.
        let write = || drop(writeln!(stderr(), "{line}"));
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// An object for programs, on one line.
    pub(crate) fn object<T: Serialize>(&self, object: &T) {
        let value: Value =
            serde_json::to_value(object).expect("strings, numbers and lists always serialise");
        self.line(&value.to_string());
    }

    fn line(&self, line: &str) {
        let line = escaped(line);
        // A reader that has gone, as `head` does, is no reason to stop watching: the exit code counts.
        let write = || drop(writeln!(stdout(), "{line}"));
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Escapes control characters: requests, answers and errors come from outside, and must not move the
/// cursor or change the title.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| {
        if acts(c) {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    });
    Cow::Owned(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_characters() {
        assert_eq!(escaped("p99 is\n\t7 ms, é"), "p99 is\n\t7 ms, é");
        assert_eq!(
            escaped("fine\u{1b}]0;hacked\u{7}\r\u{9b}2J"),
            "fine\\u{1b}]0;hacked\\u{7}\\r\\u{9b}2J"
        );
    }
}
