//! A short copy of a document that passes.

use serde_json::{Value, json};

use super::scan::{Piece, Scanner};
use crate::hook;

/// The member that stands for what was left out: how many bytes that were.
pub const OMITTED: &str = "$omitted_bytes";

/// Inline data longer than this is left out, and any string longer than that.
const MAX_DATA: usize = 1024;
const MAX_TEXT: usize = 16 * 1024;

/// A copy in which `{"$omitted_bytes": n}` stands for each long string, inline
/// data above all.
#[derive(Debug)]
pub struct Copy {
    scanner: Scanner,
    written: Written,
}

#[derive(Debug)]
pub(super) struct Written {
    bytes: Vec<u8>,
    max: usize,
    /// How long the original is so far.
    whole: u64,
    is_too_long: bool,
}

impl Copy {
    /// One of at most `max` bytes.
    pub const fn new(max: usize) -> Self {
        Self { scanner: Scanner::new(MAX_TEXT), written: Written::new(max) }
    }

    /// Takes the next bytes of the original.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { scanner, written } = self;
        scanner.push(bytes, &mut |piece| written.take(piece));
    }

    /// The copy, as bytes; `None` if it would be too long even so.
    pub fn into_bytes(mut self) -> Option<Vec<u8>> {
        let Self { scanner, written } = &mut self;
        scanner.finish(&mut |piece| written.take(piece));
        Some(self.written.bytes).filter(|_| !self.written.is_too_long)
    }
}

impl Written {
    pub(super) const fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max, whole: 0, is_too_long: false }
    }

    pub(super) fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Plain(bytes) => {
                self.whole += bytes.len() as u64;
                self.write(bytes);
            }
            Piece::Part(bytes) => self.whole += bytes.len() as u64,
            Piece::End { len, place } => self.omit(len, place.is_name),
            Piece::Text { raw, place } => {
                self.whole += raw.len() as u64;
                let is_data = raw.get(1..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"));
                if raw.len() > MAX_TEXT || (is_data && raw.len() > MAX_DATA) {
                    self.omit(raw.len() as u64, place.is_name);
                } else {
                    self.write(raw);
                }
            }
        }
    }

    /// Without the quotes of the string that is left out.
    fn omit(&mut self, len: u64, is_name: bool) {
        let marker = format!("{{\"{OMITTED}\":{}}}", len - 2);
        // No object can be a member's name: nothing can stand for it.
        self.is_too_long |= is_name;
        self.write(marker.as_bytes());
    }

    fn write(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.bytes.len() + bytes.len() > self.max;
        if self.is_too_long {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub(super) const fn whole(&self) -> u64 {
        self.whole
    }

    /// The copy as a value, which stands for the whole where it is too long;
    /// `None` if the original is no JSON.
    pub(super) fn into_value(self) -> Option<Value> {
        if self.is_too_long {
            return Some(json!({ OMITTED: self.whole }));
        }
        hook::lenient_value(&self.bytes)
    }
}
