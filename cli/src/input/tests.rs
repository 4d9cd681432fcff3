//! Texts as editors, shells and pipelines write them.

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
        let read = Ok((json!({"application": "chät 🚀"}), Format::Json));
        assert_eq!(value(&bytes, None), read, "{of}");
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
        let error = value(&bytes, None).unwrap_err();
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
            &["looks like YAML", "name it .yaml"],
        ),
        ("---\napplication: chat\n", &["looks like YAML"]),
        ("# chat\n\"application\": chat\n", &["line 1"]),
        ("- a\n- b\n", &["looks like YAML"]),
        ("application = \"chat\"\n", &["TOML"]),
        ("<html></html>", &["XML or HTML"]),
    ] {
        let error = value(text.as_bytes(), Some(Format::Json)).unwrap_err();
        assert!(error.starts_with("is not JSON: "), "{error}");
        for part in says {
            assert!(error.contains(part), "{part}: {text:?}: {error}");
        }
    }
}

#[test]
fn reads_yaml_by_its_name_or_by_its_looks() {
    let text =
        b"# which\napplication: chat\nfunctions:\n  - functionName: chat-api\n    alias: live\n";
    let read = json!({"application": "chat",
        "functions": [{"functionName": "chat-api", "alias": "live"}]});
    for format in [None, Some(Format::Yaml)] {
        assert_eq!(value(text, format), Ok((read.clone(), Format::Yaml)));
    }
    let json = value(b"{\"a\": 1}", Some(Format::Yaml));
    assert_eq!(json, Ok((json!({"a": 1}), Format::Yaml)), "JSON is YAML");
    for (name, format) in [
        ("crossfade.json", Some(Format::Json)),
        ("a/b.YAML", Some(Format::Yaml)),
        ("b.yml", Some(Format::Yaml)),
        ("-", None),
        ("request", None),
    ] {
        assert_eq!(Format::of(Path::new(name)), format, "{name}");
    }
}

/// The core schema of YAML 1.2: <https://yaml.org/spec/1.2.2/#103-core-schema>.
#[test]
fn takes_for_text_what_only_old_yaml_takes_for_something_else() {
    let text = "a: no\nb: on\nc: 2026-11-30\nd: 10:30\ne: 017\nf: 1_000\ng: '17'\nh: 17\ni: true\nj: ~\nk: 1.10\n";
    let read = json!({"a": "no", "b": "on", "c": "2026-11-30", "d": "10:30", "e": "017", "f": "1_000",
        "g": "17", "h": 17, "i": true, "j": null, "k": 1.1});
    assert_eq!(value(text.as_bytes(), None), Ok((read, Format::Yaml)));
    let anchors = "base: &base {weight: 10}\nstep:\n  <<: *base\n  bakeSeconds: 60\n";
    let (read, _) = value(anchors.as_bytes(), None).unwrap();
    assert_eq!(read["step"], json!({"weight": 10, "bakeSeconds": 60}));
}

#[test]
fn says_where_yaml_is_wrong_and_how() {
    for (text, says) in [
        ("a: 1\na: 2\n", &["line 2, column 1", "duplicate", "a"][..]),
        (
            "a: 1\n---\nb: 2\n",
            &["several YAML documents", "line 3, column 1"],
        ),
        ("a: 1\n b: 2\n", &["line 2, column 3"]),
        ("a: 'x\n", &["line 1, column 4", "quote"]),
        ("a: *nope\n", &["line 1, column 4"]),
        (
            "a: !Ref Function\n",
            &["unsupported tag", "line 1, column 9"],
        ),
        ("a: .inf\n", &["line 1, column 4"]),
        ("# nothing\n", &["is empty"]),
    ] {
        let error = value(text.as_bytes(), Some(Format::Yaml)).unwrap_err();
        for part in says {
            assert!(error.contains(part), "{part}: {text:?}: {error}");
        }
        assert!(
            !error.contains("from_str") && !error.contains("Policy"),
            "{error}"
        );
    }
}

#[test]
fn advises_quotes_for_text_that_yaml_takes_for_a_number() {
    for (message, is_one) in [
        ("must be text, not 1.1", true),
        ("must be text, not true", true),
        ("must be text, not {\"a\":1}", false),
        ("is missing", false),
    ] {
        let problems = Problems::one("functions[0].code.version", message);
        assert_eq!(unquoted(&problems).is_some(), is_one, "{message}");
    }
}
