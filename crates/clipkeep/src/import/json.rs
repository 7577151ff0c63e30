//! JSON lines: one object a line, in bounded memory.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
};

use clipkeep_core::{csv::MAX_RECORD, hook::lenient_value};
use serde_json::{Value, value::RawValue};

use super::field::{Cells, Columns, Field};

/// Reads lines off a file.
pub(super) struct LineReader {
    /// The number of the line that is read next, from 1.
    line: u64,
}

impl LineReader {
    pub(super) const fn new() -> Self {
        Self { line: 1 }
    }

    /// The next line that is not blank, and its number; `None` for the line if
    /// it is too long.
    pub(super) fn next(&mut self, input: &mut impl BufRead) -> io::Result<Option<(u64, Option<Vec<u8>>)>> {
        loop {
            let Some(line) = bounded_line(input)? else { return Ok(None) };
            let number = self.line;
            self.line += 1;
            if line.as_ref().is_none_or(|line| !line.trim_ascii().is_empty()) {
                return Ok(Some((number, line)));
            }
        }
    }
}

/// A line without its end. Of one that is too long nothing is kept.
fn bounded_line(input: &mut impl BufRead) -> io::Result<Option<Option<Vec<u8>>>> {
    let (mut line, mut too_long, mut any) = (Vec::new(), false, false);
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any.then_some((!too_long).then_some(line)));
        }
        any = true;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        too_long |= line.len() + part.len() > MAX_RECORD;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let taken = part.len() + usize::from(end.is_some());
        input.consume(taken);
        if end.is_some() {
            return Ok(Some((!too_long).then_some(line)));
        }
    }
}

/// A record, each value as it was written.
pub(super) type Members = BTreeMap<String, Box<RawValue>>;

/// Reads a line as an object.
pub(super) fn members(line: &[u8]) -> Result<Members, String> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let read = serde_json::from_str(text);
    // What Python and others write, which is no JSON to the letter.
    let lenient = || serde_json::from_value(lenient_value(line)?).ok();
    // The parser's words may repeat what it read.
    read.or_else(|error| lenient().ok_or(error)).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => "is no JSON object".to_owned(),
        _ => format!("is no valid JSON (at column {})", error.column()),
    })
}

/// What a record holds, and the names in it that mean nothing here.
pub(super) fn cells(columns: &Columns, members: &Members) -> Result<(Cells, Vec<String>), String> {
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    let places = columns.places(&names);
    let mut cells = Cells::default();
    for (field, place) in Field::all().zip(places) {
        let Some(raw) = place.and_then(|at| members.values().nth(at)) else { continue };
        cells.set(field, text(field, raw)?);
    }
    let unknown = (0..names.len()).filter(|at| !places.contains(&Some(*at)));
    Ok((cells, unknown.map(|at| names[at].to_owned()).collect()))
}

fn text(field: Field, raw: &RawValue) -> Result<String, String> {
    let value = serde_json::from_str(raw.get()).map_err(|_| format!("{}: is no valid JSON", field.name()))?;
    Ok(match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) => raw.get().to_owned(),
        Value::Array(_) | Value::Object(_) if field == Field::Input => raw.get().to_owned(),
        Value::Array(_) | Value::Object(_) => return Err(format!("{}: must be a plain value", field.name())),
    })
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn blank_lines_are_skipped_and_long_ones_passed_over() {
        let text = format!("a\r\n\n  \n{}\nb", "x".repeat(MAX_RECORD + 1));
        let mut input = BufReader::with_capacity(3, text.as_bytes());
        let mut reader = LineReader::new();
        let mut next = || reader.next(&mut input).unwrap();
        assert_eq!(next(), Some((1, Some(b"a\r".to_vec()))));
        assert_eq!(next(), Some((4, None)));
        assert_eq!(next(), Some((5, Some(b"b".to_vec()))));
        assert_eq!(next(), None);
    }

    #[test]
    fn values_are_taken_as_they_were_written() {
        let line = br#"{"url": "https://a.example/x\u002emp4", "seed": 12345678901234567890, "public": true,
            "input": {"b": 1.10, "a": [1]}, "prompt": null, "nested": {"url": 1}}"#;
        let (cells, unknown) = cells(&Columns::default(), &members(line).unwrap()).unwrap();
        assert_eq!(cells.text(Field::Url), Some("https://a.example/x.mp4"));
        assert_eq!(cells.text(Field::Seed), Some("12345678901234567890"));
        assert_eq!(cells.text(Field::Public), Some("true"));
        assert_eq!(cells.text(Field::Input), Some(r#"{"b": 1.10, "a": [1]}"#));
        assert_eq!(cells.text(Field::Prompt), None);
        assert_eq!(unknown, ["nested"]);
    }

    #[test]
    fn d13_what_python_writes_is_read() {
        let line = br#"{"url": "https://a.example/x.mp4", "score": NaN, "prompt": "a \ud83d fox", "seed": 7,}"#;
        let (cells, _) = cells(&Columns::default(), &members(line).unwrap()).unwrap();
        assert_eq!((cells.text(Field::Url), cells.text(Field::Seed)), (Some("https://a.example/x.mp4"), Some("7")));
        assert_eq!(cells.text(Field::Prompt), Some("a \u{fffd} fox"));
    }

    #[test]
    fn what_is_no_object_says_so_and_repeats_nothing() {
        for (line, why) in [
            (&b"[1]"[..], "is no JSON object"),
            (b"\"https://secret.example\"", "is no JSON object"),
            (b"{\"url\": \"x", "is no valid JSON (at column 10)"),
            (b"{\"url\": \"\xff\"}", "is not UTF-8"),
        ] {
            assert_eq!(members(line).unwrap_err(), why);
        }
        let nested = members(br#"{"url": {"href": "x"}}"#).unwrap();
        assert_eq!(cells(&Columns::default(), &nested).unwrap_err(), "url: must be a plain value");
    }
}
