//! Strings of a document put in place of others, as it passes.

use super::scan::{Piece, Scanner};

/// Longer strings are never replaced: no URL that is kept is longer, however
/// its characters are escaped.
const MAX_TEXT: usize = 32 * 1024;

/// Replaces whole strings, names of members among them. All other bytes pass
/// as they are.
pub struct Rewriter<F> {
    scanner: Scanner,
    replace: F,
}

impl<F: Fn(&str) -> Option<String>> Rewriter<F> {
    /// One that puts what `replace` answers in place of a string.
    pub const fn new(replace: F) -> Self {
        Self { scanner: Scanner::new(MAX_TEXT), replace }
    }

    /// Takes the next bytes; writes what follows from them.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { scanner, replace } = self;
        scanner.push(bytes, &mut |piece| write(piece, replace, out));
    }

    /// The document is over: writes what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Self { scanner, replace } = self;
        scanner.finish(&mut |piece| write(piece, replace, out));
    }
}

fn write(piece: Piece<'_>, replace: &impl Fn(&str) -> Option<String>, out: &mut Vec<u8>) {
    match piece {
        Piece::Plain(bytes) | Piece::Part(bytes) => out.extend_from_slice(bytes),
        Piece::End { .. } => {}
        Piece::Text { raw, .. } => match replaced(raw, replace) {
            Some(text) => out.extend_from_slice(serde_json::Value::String(text).to_string().as_bytes()),
            None => out.extend_from_slice(raw),
        },
    }
}

fn replaced(raw: &[u8], replace: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let inner = raw.get(1..raw.len().checked_sub(1)?)?;
    if inner.contains(&b'\\') {
        return replace(&serde_json::from_slice::<String>(raw).ok()?);
    }
    replace(std::str::from_utf8(inner).ok()?)
}
