//! The strings of a document.

use std::borrow::Cow;

/// Reads a string behind its opening quote: what it says, and how long it is
/// with its closing quote. `None` if it has no end.
///
/// One without escapes is a piece of the document itself.
pub(super) fn read(bytes: &[u8]) -> Option<(Cow<'_, str>, usize)> {
    let plain = special(bytes)?;
    if bytes[plain] == b'"' {
        return Some((String::from_utf8_lossy(&bytes[..plain]), plain + 1));
    }
    let (mut said, mut at) = (bytes[..plain].to_vec(), plain);
    loop {
        let next = at + special(&bytes[at..])?;
        said.extend_from_slice(&bytes[at..next]);
        if bytes[next] == b'"' {
            let said = String::from_utf8(said).unwrap_or_else(|error| lossy(error.as_bytes()));
            return Some((Cow::Owned(said), next + 1));
        }
        at = next + 1 + escape(&bytes[next + 1..], &mut said)?;
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the next quote or backslash stands.
fn special(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'))
}

/// Reads what follows a backslash; answers how long it is.
fn escape(bytes: &[u8], said: &mut Vec<u8>) -> Option<usize> {
    let plain = match *bytes.first()? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'u' => {
            let (sign, len) = unicode(&bytes[1..]);
            said.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(1 + len);
        }
        // A quote, a slash, a backslash; and what needed no escape.
        other => other,
    };
    said.push(plain);
    Some(1)
}

/// The sign of four hex digits, or of a pair of surrogates; and how many bytes
/// that took. What is none is U+FFFD.
fn unicode(bytes: &[u8]) -> (char, usize) {
    let lone = |len| (char::REPLACEMENT_CHARACTER, len);
    let Some(first) = hex(bytes) else { return lone(0) };
    if !(0xd800..0xdc00).contains(&first) {
        return (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4);
    }
    let second = bytes.get(4..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(hex);
    match second {
        Some(second @ 0xdc00..0xe000) => {
            let sign = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(sign).unwrap_or(char::REPLACEMENT_CHARACTER), 10)
        }
        _ => lone(4),
    }
}

fn hex(bytes: &[u8]) -> Option<u32> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    bytes.first_chunk::<4>()?.iter().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))
}
