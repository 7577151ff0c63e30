//! Outputs that came as data: `data:` URLs (RFC 2397), and bare base64.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use crate::{percent, secret::SourceUrl, sniff::SNIFF_LEN};

/// How much of the text is decoded at a time.
const PIECE: usize = 64 * 1024;

/// Bytes that stood in a webhook's body or a result. They are nowhere else in
/// the world.
#[derive(Clone, PartialEq, Eq)]
pub struct Inline {
    encoded: Bytes,
    is_base64: bool,
    len: u64,
    sha256: String,
}

impl std::fmt::Debug for Inline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.len)
    }
}

/// What a `data:` URL says of its bytes.
pub(super) struct DataUrl<'a> {
    /// The type as it is written, with its parameters.
    pub(super) content_type: &'a str,
    is_base64: bool,
    encoded: &'a str,
}

impl<'a> DataUrl<'a> {
    /// Reads a text that begins with `data:`. `None` if it has no data.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (head, encoded) = text.get(5..)?.split_once(',')?;
        let head = head.trim();
        let base64 = head.rsplit_once(';').filter(|(_, last)| last.trim().eq_ignore_ascii_case("base64"));
        let content_type = base64.map_or(head, |(content_type, _)| content_type);
        Some(Self { content_type, is_base64: base64.is_some(), encoded })
    }

    /// The bytes; `body` is what the text may be a piece of.
    pub(super) fn decode(&self, body: &Bytes) -> Option<Inline> {
        Inline::new(piece_of(body, self.encoded), self.is_base64)
    }
}

impl Inline {
    /// Decodes bytes once to know them; `None` if they are none.
    fn new(encoded: Bytes, is_base64: bool) -> Option<Self> {
        let mut inline = Self { encoded, is_base64, len: 0, sha256: String::new() };
        let (mut hash, mut len) = (Context::new(&SHA256), 0);
        for piece in inline.pieces() {
            let piece = piece?;
            hash.update(&piece);
            len += piece.len() as u64;
        }
        inline.sha256 = HEXLOWER.encode(hash.finish().as_ref());
        inline.len = len;
        (len > 0).then_some(inline)
    }

    /// Bare base64; `body` is what the text may be a piece of. `None` if it is none.
    pub(super) fn bare(text: &str, body: &Bytes) -> Option<Self> {
        Self::new(piece_of(body, text), true)
    }

    /// How many bytes there are.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none; never.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What stands in the row of its clip for a source.
    pub fn source(&self) -> SourceUrl {
        SourceUrl::inline(&self.sha256)
    }

    /// The first bytes, as many as tell what they are.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = self.pieces().next().flatten().unwrap_or_default();
        head.truncate(SNIFF_LEN);
        head
    }

    /// The bytes, piece by piece, so that they are never in memory all at once.
    /// None of them is `None`: all were decoded before.
    pub fn chunks(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.pieces().map_while(|piece| piece)
    }

    fn pieces(&self) -> Pieces<'_> {
        Pieces { rest: &self.encoded, is_base64: self.is_base64, bits: 0, count: 0, is_padded: false, is_over: false }
    }
}

/// The part of `body` that `text` is, or a copy of it.
fn piece_of(body: &Bytes, text: &str) -> Bytes {
    let within = body.as_ptr_range();
    let own = text.as_bytes().as_ptr_range();
    match within.start <= own.start && own.end <= within.end {
        true => body.slice_ref(text.as_bytes()),
        false => Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// Whether a text looks like base64 of media: long, and of its letters alone.
pub(super) fn looks_like_base64(text: &str) -> bool {
    const LEAST: usize = 64;
    text.len() >= LEAST
        && text.bytes().take(PIECE).all(|byte| value(byte).is_some() || matches!(byte, b'=' | b'\n' | b'\r'))
}

struct Pieces<'a> {
    rest: &'a [u8],
    is_base64: bool,
    /// Bits of base64 that make no byte yet, and how many.
    bits: u32,
    count: u32,
    is_padded: bool,
    is_over: bool,
}

impl Iterator for Pieces<'_> {
    /// The next bytes; `None` where the text is no encoding of bytes.
    type Item = Option<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE);
        while out.len() < PIECE {
            let Some(byte) = self.unescaped() else {
                self.is_over = true;
                // Six bits too many are half a byte that never came.
                let is_whole = self.count != 6;
                return if is_whole { (!out.is_empty()).then_some(Some(out)) } else { Some(None) };
            };
            if !self.is_base64 {
                out.push(byte);
            } else if !self.take(byte, &mut out) {
                self.is_over = true;
                return Some(None);
            }
        }
        Some(Some(out))
    }
}

impl Pieces<'_> {
    /// The next byte, percent-encoded or not.
    fn unescaped(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        match (byte, percent::hex_pair(rest)) {
            (b'%', Some(escaped)) => {
                self.rest = &rest[2..];
                Some(escaped)
            }
            _ => Some(byte),
        }
    }

    /// Takes a letter of base64, of either alphabet; `false` if it is none.
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        if byte.is_ascii_whitespace() {
            return true;
        }
        self.is_padded |= byte == b'=';
        if byte == b'=' {
            return true;
        }
        let Some(value) = value(byte).filter(|_| !self.is_padded) else { return false };
        self.bits = self.bits << 6 | value;
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            out.push((self.bits >> self.count & 0xff) as u8);
            self.bits &= (1 << self.count) - 1;
        }
        true
    }
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD};

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let inline = DataUrl::read(text)?.decode(&Bytes::copy_from_slice(text.as_bytes()))?;
        let bytes = inline.chunks().flatten().collect::<Vec<u8>>();
        assert_eq!(bytes.len() as u64, inline.len());
        let hash = ring::digest::digest(&SHA256, &bytes);
        assert_eq!(inline.sha256(), HEXLOWER.encode(hash.as_ref()));
        Some(bytes)
    }

    #[test]
    fn k16_data_urls_are_decoded_however_they_are_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        let plain = BASE64.encode(&bytes);
        let folded = plain.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
        for text in [
            format!("data:video/mp4;base64,{plain}"),
            format!("DATA:Video/MP4; codecs=\"avc1\" ; BASE64 ,{plain}"),
            format!("data:;base64,{}", plain.trim_end_matches('=')),
            format!("data:video/mp4;base64,{}", BASE64URL_NOPAD.encode(&bytes)),
            format!("data:video/mp4;base64,\n{}\n", folded.join("\r\n")),
            format!("data:video/mp4;base64,{}", plain.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D")),
            format!("data:video/mp4,{}", bytes.iter().map(|b| format!("%{b:02X}")).collect::<String>()),
        ] {
            assert_eq!(decoded(&text), Some(bytes.clone()), "{text:.60}");
        }
        assert_eq!(decoded("data:,a%zz%4"), Some(b"a%zz%4".to_vec()));
    }

    #[test]
    fn k16_long_data_is_decoded_piece_by_piece() {
        for len in [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let bytes: Vec<u8> = (0..len).map(|n| (n % 253) as u8).collect();
            assert_eq!(decoded(&format!("data:x/y;base64,{}", BASE64.encode(&bytes))), Some(bytes));
        }
    }

    #[test]
    fn what_is_no_data_is_none() {
        for text in [
            "data:",
            "data:video/mp4;base64",
            "data:video/mp4;base64,",
            "data:;base64,A",
            "data:;base64,AA=A",
            "data:;base64,AA*A",
        ] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    #[test]
    fn a_piece_of_the_body_is_not_copied() {
        let body = Bytes::from_static(b"{\"url\": \"data:,abc\"}");
        let text = std::str::from_utf8(&body[9..18]).unwrap();
        let inline = DataUrl::read(text).unwrap().decode(&body).unwrap();
        assert_eq!(inline.encoded.as_ptr(), body[15..].as_ptr());
    }
}
