//! What happened, as a table: a column for each release.

use std::fmt::Write as _;

use comfy_table::{Cell, Table, presets::UTF8_FULL_CONDENSED};

use crate::act::Act;

/// What a row is called, and what it tells of a release.
type Row = (&'static str, fn(&Act) -> String);

/// The table.
pub(crate) fn table(acts: &[Act]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(
        [Cell::new("")]
            .into_iter()
            .chain(acts.iter().map(|act| Cell::new(&act.title))),
    );
    let rows: [Row; 9] = [
        ("versions", |act| {
            format!("blue {}, green {}", act.blue, act.green)
        }),
        ("green's weights", weights),
        ("the execution took", |act| format!("{:.1} s", act.took)),
        ("states entered", |act| act.visits.len().to_string()),
        ("blue served", |act| served(act, &act.blue)),
        ("green served", |act| served(act, &act.green)),
        ("users met", |act| format!("{} failed requests", act.failed)),
        ("from alarm to blue", |act| match (act.alarm, act.back) {
            (Some(alarm), Some(back)) => format!("{:.2} s", back - alarm),
            _ => "no alarm".to_owned(),
        }),
        ("people were told", |act| wrapped(&act.told, 44)),
    ];
    for (what, tell) in rows {
        table.add_row([what.to_owned()].into_iter().chain(acts.iter().map(tell)));
    }
    table
}

fn weights(act: &Act) -> String {
    let weights: Vec<_> = act
        .weights
        .iter()
        .skip(1)
        .map(|(_, weight)| format!("{weight:.0} %"))
        .collect();
    weights.join(", ")
}

fn served(act: &Act, version: &str) -> String {
    let tally = act.by_version.get(version).copied().unwrap_or_default();
    format!("{} requests, {} failed", tally.requests, tally.errors)
}

/// Broken at spaces, because a table takes lines as they are.
fn wrapped(text: &str, width: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let between = match used {
            0 => "",
            _ if used + 1 + length > width => {
                used = 0;
                "\n"
            }
            _ => " ",
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "{between}{word}");
        used += length + usize::from(between == " ");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_at_spaces() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree");
        assert_eq!(wrapped("indivisible", 4), "indivisible");
        assert_eq!(wrapped("", 4), "");
    }
}
