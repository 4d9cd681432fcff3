//! A request's text, as editors, shells and pipelines write it: its encoding, its format, and what is wrong with it.

use std::{fmt::Write as _, path::Path};

use crossfade::parse::problem::{Problem, Problems};
use serde_json::{Value, error::Category};
use serde_saphyr::{Error as YamlError, MessageFormatter as _, UserMessageFormatter, options};

/// What to do about a text that is none.
const SAVE_AS: &str = "save it as UTF-8";

/// What is said of a text without content.
const EMPTY: &str = "is empty; a request is a JSON object, or YAML of the same fields";

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// YAML 1.2, which JSON is a part of.
    Yaml,
}

impl Format {
    /// Returns the format that a file's name shows; none where it shows nothing, as that of standard input.
    pub(crate) fn of(name: &Path) -> Option<Self> {
        let extension = name.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Reads a value from the bytes of a file or of standard input, and says how it was written. Byte-order marks are
/// skipped, and UTF-16 and UTF-32 are decoded. Without a format it is JSON, or else YAML where it looks like that.
///
/// # Errors
/// A sentence that says what was found, where, and what to do.
pub(crate) fn value(bytes: &[u8], format: Option<Format>) -> Result<(Value, Format), String> {
    let text = text(bytes)?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(EMPTY.to_owned());
    }
    let format = format.unwrap_or_else(|| {
        if another_format(text) == Some(YAML) {
            Format::Yaml
        } else {
            Format::Json
        }
    });
    let value = match format {
        Format::Json => json(text),
        Format::Yaml => yaml(text),
    };
    Ok((value?, format))
}

/// Reads YAML by its core schema of version 1.2: `no` and `on` are text, and so are dates, `017` and `1_000`.
fn yaml(text: &str) -> Result<Value, String> {
    let options = options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
    };
    let value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let at = error.location();
        let place = at.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
        let place = place.unwrap_or_default();
        match error {
            YamlError::MultipleDocuments { .. } => {
                format!("has several YAML documents, the second{place}; a request is one: remove what is not of it")
            }
            _ => format!("is not YAML: {}{place}", UserMessageFormatter.format_message(error)),
        }
    })?;
    match value {
        Value::Null => Err(EMPTY.to_owned()),
        value => Ok(value),
    }
}

/// What to do about fields that must be text and are something else because YAML reads them so; none where
/// no problem is of that kind.
pub(crate) fn unquoted(problems: &Problems) -> Option<&'static str> {
    let is_one = |problem: &Problem| {
        let (_, found) = problem.message.split_once("must be text, not ")?;
        let is_scalar = found.parse::<f64>().is_ok() || ["true", "false", "null"].contains(&found);
        is_scalar.then_some(())
    };
    let mut found = problems.as_slice().iter().filter_map(is_one);
    found.next()?;
    Some(
        "YAML takes 17, 1.10 and true for numbers and truth values; text that looks so is put in quotes: \"17\"",
    )
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| {
        let mut what = format!("is not JSON: {error}");
        if let Some(hint) = hint(text, &error) {
            // Writing to a String cannot fail.
            let _ = write!(what, "; {hint}");
        }
        what
    })
}

/// How a text's units are laid out.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// Decodes by the byte-order mark, or, without one, by where the zeros of the first character are: JSON begins
/// with an ASCII character (RFC 4627, section 3).
fn text(bytes: &[u8]) -> Result<String, String> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, 0, 0, rest @ ..] => utf32(rest, Order::Little),
        [0, 0, 0xfe, 0xff, rest @ ..] => utf32(rest, Order::Big),
        [0xff, 0xfe, rest @ ..] => utf16(rest, Order::Little),
        [0xfe, 0xff, rest @ ..] => utf16(rest, Order::Big),
        [1..=0x7f, 0, 0, 0, ..] => utf32(bytes, Order::Little),
        [0, 0, 0, 1..=0x7f, ..] => utf32(bytes, Order::Big),
        [1..=0x7f, 0, ..] => utf16(bytes, Order::Little),
        [0, 1..=0x7f, ..] => utf16(bytes, Order::Big),
        [0x1f, 0x8b, ..] => Err("is compressed with gzip; unpack it first".to_owned()),
        [b'P', b'K', 3, 4, ..] => {
            Err("is a zip archive; a request is a file of JSON or YAML that names one".to_owned())
        }
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text.to_owned()),
        Err(error) => error,
    };
    let (good, rest) = bytes.split_at(error.valid_up_to());
    let good = String::from_utf8_lossy(good);
    let line = good.matches('\n').count() + 1;
    let column = good.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let byte = rest.first().copied().unwrap_or_default();
    let guess = match byte {
        0xa0.. => format!(
            ", which is {:?} in Windows-1252 and Latin-1",
            char::from(byte)
        ),
        _ => String::new(),
    };
    Err(format!(
        "is not UTF-8: line {line}, column {column} has the byte 0x{byte:02X}{guess}; {SAVE_AS}"
    ))
}

fn utf16(bytes: &[u8], order: Order) -> Result<String, String> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return Err(format!(
            "is UTF-16 that is cut off within a character; {SAVE_AS}"
        ));
    };
    let units = pairs.iter().map(|pair| match order {
        Order::Little => u16::from_le_bytes(*pair),
        Order::Big => u16::from_be_bytes(*pair),
    });
    char::decode_utf16(units)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not valid UTF-16: {error}; {SAVE_AS}"))
}

fn utf32(bytes: &[u8], order: Order) -> Result<String, String> {
    let (units, []) = bytes.as_chunks::<4>() else {
        return Err(format!(
            "is UTF-32 that is cut off within a character; {SAVE_AS}"
        ));
    };
    let units = units.iter().map(|unit| match order {
        Order::Little => u32::from_le_bytes(*unit),
        Order::Big => u32::from_be_bytes(*unit),
    });
    units
        .map(char::from_u32)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("is not valid UTF-32; {SAVE_AS}"))
}

/// What the mistake is, where it is one that operators make.
fn hint(text: &str, error: &serde_json::Error) -> Option<String> {
    let said = error.to_string();
    if error.classify() == Category::Eof {
        return Some("it ends in the middle: is it all there?".to_owned());
    }
    if said.starts_with("trailing comma") {
        return Some("remove the comma after the last field or item".to_owned());
    }
    if let Some(other) = another_format(text) {
        return Some(format!("it looks like {other}"));
    }
    let here = rest_at(text, error.line(), error.column());
    if let Some(hint) = describe_trailing(here) {
        return Some(hint);
    }
    let known = [
        (
            "key must be a string",
            "names of fields are in double quotes",
        ),
        (
            "trailing characters",
            "there is more behind the request: one request is one JSON object",
        ),
        (
            "control character",
            "a line break or a tab within quotes is written \\n or \\t",
        ),
        (
            "invalid escape",
            "a backslash within quotes is written \\\\",
        ),
    ];
    let found = known.iter().find(|(begins, _)| said.starts_with(begins));
    found.map(|(_, hint)| (*hint).to_owned())
}

/// What stands at the place that an error names, and after it.
fn rest_at(text: &str, line: usize, column: usize) -> &str {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let mut at = lines.map(str::len).sum::<usize>() + column.saturating_sub(1);
    // Columns are counted in bytes, and may be within a character.
    while !text.is_char_boundary(at.min(text.len())) {
        at -= 1;
    }
    text.get(at..).unwrap_or_default()
}

fn describe_trailing(here: &str) -> Option<String> {
    let first = here.chars().next()?;
    let hint = match first {
        '/' | '#' => "JSON has no comments: remove them".to_owned(),
        '\'' => "JSON has double quotes, not single ones".to_owned(),
        '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => {
            format!("{first} is a typographic quotation mark; JSON has \" alone")
        }
        _ if !first.is_ascii() && (first.is_whitespace() || is_invisible(first)) => format!(
            "there is an invisible character, U+{:04X}, that is no blank; remove it",
            u32::from(first)
        ),
        _ => {
            let word: String = here.chars().take_while(char::is_ascii_alphabetic).collect();
            match word.as_str() {
                "True" | "False" => format!("JSON writes {}", word.to_ascii_lowercase()),
                "None" | "nil" | "undefined" => "JSON writes null".to_owned(),
                "NaN" | "Infinity" => format!("JSON has no number {word}"),
                _ => return None,
            }
        }
    };
    Some(hint)
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
    )
}

/// What is said of YAML where JSON is expected.
const YAML: &str = "YAML, and its name says that it is JSON: name it .yaml";

/// What the text is instead of JSON, and what to do about it.
fn another_format(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.find(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    })?;
    let begins = first.trim_start();
    if begins.starts_with('<') {
        return Some("XML or HTML, and a request is JSON or YAML");
    }
    if begins.starts_with('{') {
        return None;
    }
    let is_word = |text: &str| {
        let text = text.trim().trim_matches(['"', '\'']);
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.$".contains(c))
    };
    let names = |by: char| first.split_once(by).is_some_and(|(name, _)| is_word(name));
    if first == "---" || first.starts_with("--- ") || begins.starts_with("- ") || names(':') {
        return Some(YAML);
    }
    if names('=') {
        return Some("TOML or a shell's variable, and a request is JSON or YAML");
    }
    None
}

#[cfg(test)]
mod tests;
