//! Reading JSON bodies strictly: what is wrong is said with a pointer to the place.

use std::str::FromStr;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::{Code, Problem};

/// Deepest nesting of arrays and objects in a body.
pub const DEPTH_MAX: usize = 32;

/// Reads a body.
///
/// # Errors
/// `malformed_json` when it is not UTF-8, not JSON, or nested deeper than [`DEPTH_MAX`];
/// `unknown_field`, `missing_field` or `invalid_field` with a pointer when it has another shape.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let malformed = |detail: &str| Problem::new(Code::MalformedJson).detail(detail);
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    if is_deeper_than(text, DEPTH_MAX) {
        return Err(malformed("the body is nested deeper than 32 levels"));
    }
    // Serde would read a struct from an array too, by the order of its fields.
    if text.trim_start().starts_with('[') {
        return Err(Problem::new(Code::InvalidField).detail("the body must be an object").at(""));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| problem(error.path(), error.inner()))?;
    reader.end().map_err(|error| malformed(&error.to_string()))?;
    Ok(value)
}

/// Reads a body that may be left out.
///
/// # Errors
/// As [`decode`].
pub fn decode_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() { Ok(T::default()) } else { decode(body) }
}

fn problem(path: &Path, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    if error.classify() != Category::Data {
        return Problem::new(Code::MalformedJson).detail(text);
    }
    let quoted = || text.split('`').nth(1).unwrap_or_default();
    if text.starts_with("duplicate field") {
        let pointer = pointer_to_field(path, quoted());
        return Problem::new(Code::InvalidField).detail(first_words(&text)).at(pointer);
    }
    if text.starts_with("unknown field") {
        let pointer = pointer_to_field(path, quoted());
        return Problem::new(Code::UnknownField).detail(first_words(&text)).at(pointer);
    }
    if text.starts_with("missing field") {
        let pointer = format!("{}/{}", pointer(path), escape(quoted()));
        return Problem::new(Code::MissingField).detail(first_words(&text)).at(pointer);
    }
    Problem::new(Code::InvalidField).detail(text.clone()).at(pointer(path))
}

/// Without serde's list of the fields there are, which may be long, and without line and column.
fn first_words(text: &str) -> String {
    let end = text.find(", expected").or_else(|| text.find(" at line")).unwrap_or(text.len());
    text.get(..end).unwrap_or(text).to_owned()
}

/// The path ends in the field, or before it where serde had to look ahead.
fn pointer_to_field(path: &Path, field: &str) -> String {
    let pointer = pointer(path);
    let last = format!("/{}", escape(field));
    if pointer.ends_with(&last) { pointer } else { pointer + &last }
}

fn pointer(path: &Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(step).collect()
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Whether arrays and objects are nested deeper than `max`. Looks at brackets outside of strings
/// only, so that it may be asked before anything is parsed.
fn is_deeper_than(text: &str, max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Reads an id, a time or a position from a field.
///
/// # Errors
/// `invalid_field` with a pointer to `field`.
pub fn parse<T: FromStr>(text: &str, field: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::invalid_field(field))
}

/// [`parse`] for a field that may be absent.
///
/// # Errors
/// As [`parse`].
pub fn parse_option<T: FromStr>(text: Option<&str>, field: &str) -> Result<Option<T>, Problem> {
    text.map(|text| parse(text, field)).transpose()
}

/// Reads one of a field's words.
///
/// # Errors
/// `invalid_field` with a pointer to `field`.
pub fn word<T>(text: &str, field: &str, read: fn(&str) -> Option<T>) -> Result<T, Problem> {
    read(text).ok_or_else(|| Problem::invalid_field(field))
}

/// For fields in which null means "clear" and absence "leave": null is `Some(None)`.
#[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Sample {
        name: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Part {
        size: u8,
    }

    fn refused(body: &str) -> (&'static str, String) {
        let problem = decode::<Sample>(body.as_bytes()).unwrap_err();
        let pointer = problem.errors.first().map_or(String::new(), |e| e.pointer.to_string());
        (problem.code.as_str(), pointer)
    }

    #[test]
    fn what_is_wrong_is_said_with_a_pointer() {
        let pairs = [
            (r#"{"name":1}"#, "invalid_field", "/name"),
            (r#"{"name":null}"#, "invalid_field", "/name"),
            (r#"{"name":"a","parts":[{"size":1},{"size":300}]}"#, "invalid_field", "/parts/1/size"),
            (r#"{"name":"a","parts":[{}]}"#, "missing_field", "/parts/0/size"),
            (r#"{"name":"a","parts":{}}"#, "invalid_field", "/parts"),
            (r#"{"name":"a","name":"b"}"#, "invalid_field", "/name"),
            (r#"{"name":"a","extra":1}"#, "unknown_field", "/extra"),
            (r#"{"name":"a","parts":[{"size":1,"a/b":1}]}"#, "unknown_field", "/parts/0/a~1b"),
            ("{}", "missing_field", "/name"),
            (" [\"a\"]", "invalid_field", ""),
            ("null", "invalid_field", ""),
        ];
        for (body, code, pointer) in pairs {
            assert_eq!(refused(body), (code, pointer.to_owned()), "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
        for body in ["", "{", "{]", "{\"name\":\"a\"} x", "{'name':1}", "\u{feff}{}", deep.as_str()]
        {
            assert_eq!(refused(body).0, "malformed_json", "{}", &body[..body.len().min(20)]);
        }
        let problem = decode::<Sample>(b"{\"name\":\"\xff\"}").unwrap_err();
        assert_eq!(problem.code, Code::MalformedJson);
    }

    #[test]
    fn brackets_in_strings_are_not_depth() {
        let flat = format!(r#"{{"name":"{}\"["}}"#, "[".repeat(100));
        assert!(!is_deeper_than(&flat, 1));
        assert!(!is_deeper_than(&"[]".repeat(100), 1));
        assert!(is_deeper_than(&"[".repeat(33), 32) && !is_deeper_than(&"[".repeat(32), 32));
    }
}
