//! How large and how deep a request may be. Checked before anything follows its nesting.

use std::io::{self, Write};

use serde_json::Value;

use crate::parse::problem::{Problem, ROOT, push_index, push_key};

/// The largest request, in bytes of JSON. Step Functions passes 256 KiB to a state: the one that
/// validates is handed the request beside the release, which may be 80 KiB by then.
pub const MAX_REQUEST_BYTES: usize = 160 * 1024;

/// How deep a request may be nested. A request itself needs 7 levels; the rest is for payloads.
pub const MAX_DEPTH: usize = 64;

/// How much of a path is shown where nesting is too deep: enough to name the payload.
const SHOWN_DEPTH: usize = 6;

/// What makes a request too deep or too large to be read, if anything does.
pub(crate) fn check(request: &Value) -> Option<Problem> {
    if let Some(path) = too_deep(request) {
        let message = format!("is nested too deep; at most {MAX_DEPTH} levels are accepted");
        return Some(Problem { path, message });
    }
    let bytes = bytes(request);
    (bytes > MAX_REQUEST_BYTES).then(|| Problem {
        path: ROOT.to_owned(),
        message: format!(
            "is {bytes} bytes of JSON; at most {MAX_REQUEST_BYTES} are accepted, because Step \
             Functions passes no more than 256 KiB between states"
        ),
    })
}

/// The values inside one list or object that are still to be looked at, with the place of the
/// last one taken.
enum Level<'a> {
    List(std::iter::Enumerate<std::slice::Iter<'a, Value>>, usize),
    Object(serde_json::map::Iter<'a>, &'a str),
}

impl<'a> Level<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Array(items) => Some(Self::List(items.iter().enumerate(), 0)),
            Value::Object(fields) => Some(Self::Object(fields.iter(), "")),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    fn next(&mut self) -> Option<&'a Value> {
        match self {
            Self::List(items, place) => items.next().map(|(index, value)| {
                *place = index;
                value
            }),
            Self::Object(fields, place) => fields.next().map(|(key, value)| {
                *place = key;
                value
            }),
        }
    }
}

/// The beginning of the path at which nesting goes beyond [`MAX_DEPTH`]. Walks with a stack of its
/// own, so that no input can exhaust the thread's.
fn too_deep(value: &Value) -> Option<String> {
    let mut levels: Vec<Level> = Level::of(value).into_iter().collect();
    while let Some(level) = levels.last_mut() {
        match level.next() {
            Some(inner) => levels.extend(Level::of(inner)),
            None => drop(levels.pop()),
        }
        if levels.len() > MAX_DEPTH {
            let mut path = String::new();
            for level in levels.iter().take(SHOWN_DEPTH) {
                match level {
                    Level::List(_, index) => push_index(&mut path, *index),
                    Level::Object(_, key) => push_key(&mut path, key),
                }
            }
            return Some(path);
        }
    }
    None
}

/// How many bytes the value is as JSON, without spaces. Goes as deep as the value does.
pub(crate) fn bytes(value: &Value) -> usize {
    struct Count(usize);

    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Writing to a counter cannot fail, and a `Value` has text for keys only.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
