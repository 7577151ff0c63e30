//! Percent-encoding (RFC 3986, section 2.1), once and strictly.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes everything but the unreserved characters as `%XX`. What comes out
/// stands in a query, in a path and in RFC 8187's extended values alike.
pub(crate) fn encode(text: &str, out: &mut String) {
    out.extend(utf8_percent_encode(text, RESERVED));
}

/// Decodes the value of a query parameter, once. `+` is a space, because that
/// is how forms and most query builders write one. `None` where a `%` is not
/// followed by two digits, or what comes out is no UTF-8.
pub(crate) fn decode_query(text: &str) -> Option<Cow<'_, str>> {
    if !text.is_ascii() {
        return None;
    }
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (pair, tail) = rest.split_at_checked(2)?;
                decoded.push((digit(pair[0])? << 4) | digit(pair[1])?);
                rest = tail;
            }
            plain => decoded.push(plain),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The byte of the two hex digits that `text` begins with.
pub(crate) fn hex_pair(text: &[u8]) -> Option<u8> {
    let &[high, low] = text.first_chunk()?;
    Some(digit(high)? << 4 | digit(low)?)
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_takes_back_encoding() {
        for text in ["", "plain-._~", "a b+c%20&=?/", "日本 🎬\n\0"] {
            let mut encoded = String::new();
            encode(text, &mut encoded);
            assert_eq!(decode_query(&encoded).as_deref(), Some(text), "{encoded}");
        }
    }

    #[test]
    fn decoding_happens_once_and_refuses_what_is_broken() {
        assert_eq!(decode_query("%2525+%2b").as_deref(), Some("%25 +"));
        for broken in ["%", "%4", "%zz", "%+1", "%ff", "%c3", "é"] {
            assert_eq!(decode_query(broken), None, "{broken}");
        }
    }
}
