//! A request's text, as editors, shells and pipelines write it: its encoding, and what is wrong with its JSON.

use std::fmt::Write as _;

use serde_json::{Value, error::Category};

/// What to do about a text that is none.
const SAVE_AS: &str = "save it as UTF-8";

/// Reads a JSON value from the bytes of a file or of standard input. Byte-order marks are skipped, and
/// UTF-16 and UTF-32 are decoded.
///
/// # Errors
/// A sentence that says what was found, where, and what to do.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, String> {
    let text = text(bytes)?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err("is empty; a request is a JSON object".to_owned());
    }
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
            Err("is a zip archive; a request is a JSON file that names one".to_owned())
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

/// What the text is instead of JSON, and what to do about it.
fn another_format(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.find(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    })?;
    let begins = first.trim_start();
    if begins.starts_with('<') {
        return Some("XML or HTML, and a request is JSON");
    }
    if begins.starts_with(['{', '"']) {
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
        return Some("YAML, and a request is JSON: convert it, as `yq -o=json request.yaml` does");
    }
    if names('=') {
        return Some("TOML or a shell's variable, and a request is JSON");
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const REQUEST: &str = "{\"application\": \"chät 🚀\"}\r\n";

    fn units16(text: &str, to: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to).collect()
    }

    fn units32(text: &str, to: fn(u32) -> [u8; 4]) -> Vec<u8> {
        text.chars().map(u32::from).flat_map(to).collect()
    }

    #[test]
    fn reads_every_encoding_with_a_mark_and_without() {
        let bom = format!("\u{feff}{REQUEST}");
        for (of, bytes) in [
            ("UTF-8", REQUEST.as_bytes().to_vec()),
            ("UTF-8 with a mark", bom.as_bytes().to_vec()),
            (
                "UTF-8 with two marks",
                format!("\u{feff}{bom}").into_bytes(),
            ),
            ("UTF-16LE", units16(&bom, u16::to_le_bytes)),
            ("UTF-16BE", units16(&bom, u16::to_be_bytes)),
            (
                "UTF-16LE without a mark",
                units16(REQUEST, u16::to_le_bytes),
            ),
            (
                "UTF-16BE without a mark",
                units16(REQUEST, u16::to_be_bytes),
            ),
            ("UTF-32LE", units32(&bom, u32::to_le_bytes)),
            ("UTF-32BE", units32(&bom, u32::to_be_bytes)),
            (
                "UTF-32LE without a mark",
                units32(REQUEST, u32::to_le_bytes),
            ),
            (
                "UTF-32BE without a mark",
                units32(REQUEST, u32::to_be_bytes),
            ),
        ] {
            assert_eq!(value(&bytes), Ok(json!({"application": "chät 🚀"})), "{of}");
        }
    }

    #[test]
    fn names_what_cannot_be_decoded_and_says_what_to_do() {
        let mut cut = units16(REQUEST, u16::to_le_bytes);
        cut.pop();
        for (bytes, says) in [
            (
                b"{\n \"a\": \"caf\xe9\"}".to_vec(),
                &[
                    "line 2, column 11",
                    "0xE9",
                    "'é' in Windows-1252",
                    "save it as UTF-8",
                ][..],
            ),
            (
                b"{\"a\": \"\x93x\x94\"}".to_vec(),
                &["line 1, column 8", "0x93"],
            ),
            (cut, &["UTF-16", "cut off"]),
            (vec![0xff, 0xfe, 0x00, 0xd8, 0x7b, 0], &["not valid UTF-16"]),
            (vec![0x1f, 0x8b, 8, 0], &["gzip"]),
            (b"PK\x03\x04".to_vec(), &["zip archive"]),
            (Vec::new(), &["is empty"]),
            (b"\xef\xbb\xbf \n".to_vec(), &["is empty"]),
        ] {
            let error = value(&bytes).unwrap_err();
            for part in says {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }

    #[test]
    fn says_where_json_is_wrong_and_how() {
        for (text, says) in [
            ("{\"a\": 1,\n}", &["line 2", "remove the comma"][..]),
            ("[1, 2,]", &["column 7", "remove the comma"]),
            ("{\n  // which\n  \"a\": 1}", &["line 2", "no comments"]),
            ("{\"a\": 1 /* one */}", &["line 1", "no comments"]),
            ("{\"a\": 1} # one", &["no comments"]),
            ("// a request\n{\"a\": 1}", &["no comments"]),
            ("{'a': 1}", &["double quotes"]),
            ("{\"a\": 'b'}", &["double quotes"]),
            ("{\u{201c}a\u{201d}: 1}", &["typographic"]),
            ("{a: 1}", &["names of fields are in double quotes"]),
            ("{\"a\": True}", &["JSON writes true"]),
            ("{\"a\": None}", &["JSON writes null"]),
            ("{\"a\": NaN}", &["no number NaN"]),
            ("{\u{a0}\"a\": 1}", &["U+00A0"]),
            ("{\"a\": 1", &["ends in the middle"]),
            ("{\"a\": 1}{\"b\": 2}", &["one JSON object"]),
            ("{\"a\": \"b\nc\"}", &["written \\n"]),
            ("{\"a\": \"C:\\dir\"}", &["backslash"]),
            (
                "application: chat\nstrategy: dev\n",
                &["looks like YAML", "yq"],
            ),
            ("---\napplication: chat\n", &["looks like YAML"]),
            ("# chat\n\"application\": chat\n", &["line 1"]),
            ("- a\n- b\n", &["looks like YAML"]),
            ("application = \"chat\"\n", &["TOML"]),
            ("<html></html>", &["XML or HTML"]),
        ] {
            let error = value(text.as_bytes()).unwrap_err();
            assert!(error.starts_with("is not JSON: "), "{error}");
            for part in says {
                assert!(error.contains(part), "{part}: {text:?}: {error}");
            }
        }
    }
}
