//! Outputs that came as data: `data:` URLs (RFC 2397), bare base64, and hex.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use super::encoding::{Encoding, Pieces};
use crate::{
    secret::SourceUrl,
    sniff::{SNIFF_LEN, Sniffed, sniff},
};

/// Bytes that stood in a webhook's body or a result. They are nowhere else in
/// the world.
#[derive(Clone, PartialEq, Eq)]
pub struct Inline {
    encoded: Bytes,
    encoding: Encoding,
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
    encoding: Encoding,
    encoded: &'a str,
}

impl<'a> DataUrl<'a> {
    /// Reads a text that begins with `data:`. `None` if it has no data.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (head, encoded) = text.get(5..)?.split_once(',')?;
        let head = head.trim();
        let base64 = head.rsplit_once(';').filter(|(_, last)| last.trim().eq_ignore_ascii_case("base64"));
        let Some((content_type, _)) = base64 else {
            return Some(Self { content_type: head, encoding: Encoding::Percent, encoded });
        };
        // A fragment says which part is to be played, and no letter of base64 is one.
        let encoded = encoded.split('#').next().unwrap_or_default();
        Some(Self { content_type, encoding: Encoding::base64(encoded), encoded })
    }

    /// The bytes; `body` is what the text may be a piece of.
    pub(super) fn decode(&self, body: &Bytes) -> Option<Inline> {
        Inline::new(self.encoded, self.encoding, body)
    }
}

impl Inline {
    /// Decodes bytes once to know them; `None` if they are none. `body` is what the
    /// text may be a piece of.
    pub(super) fn new(text: &str, encoding: Encoding, body: &Bytes) -> Option<Self> {
        let mut inline = Self { encoded: piece_of(body, text), encoding, len: 0, sha256: String::new() };
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

    /// What a `data:` URL holds whose `;base64` was forgotten: the text that it is
    /// otherwise is no media, and what the text says is.
    pub(super) fn or_within(self, body: &Bytes) -> Self {
        if self.encoding != Encoding::Percent || matches!(sniff(&self.head()), Sniffed::Media(_)) {
            return self;
        }
        let text = std::str::from_utf8(&self.encoded).unwrap_or_default();
        let within = Encoding::guess(text).and_then(|encoding| Self::new(text, encoding, body));
        within.filter(|within| matches!(sniff(&within.head()), Sniffed::Media(_))).unwrap_or(self)
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
        self.encoding.pieces(&self.encoded)
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

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD};

    use super::{super::encoding::PIECE, *};

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
            format!("data:video/mp4;base64,{plain}#t=0.1,2"),
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
