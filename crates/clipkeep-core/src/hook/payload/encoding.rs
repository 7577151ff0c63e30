//! How bytes are written as text: in base64, in hex, or percent-encoded.

use std::iter::once;

use crate::percent;

/// How much is decoded at a time.
pub(super) const PIECE: usize = 64 * 1024;

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Percent,
    /// Of either alphabet, padded or not, in lines or not. Where it went through
    /// a form, a space stands for each plus.
    Base64 {
        spaces_are_plus: bool,
    },
    Hex,
}

impl Encoding {
    /// Base64, however this text writes it.
    pub(super) fn base64(text: &str) -> Self {
        Self::Base64 { spaces_are_plus: spaces_are_plus(text) }
    }

    /// What a text without a word on it looks like: long, and nearly all of it of
    /// one alphabet. Whether it is, decoding tells.
    pub(super) fn guess(text: &str) -> Option<Self> {
        const LEAST: usize = 64;
        let head = &text.as_bytes()[..text.len().min(PIECE)];
        let is_hex = text.len().is_multiple_of(2) && head.iter().all(u8::is_ascii_hexdigit);
        if is_hex && text.len() >= LEAST / 2 {
            return Some(Self::Hex);
        }
        // Words have a space or a comma now and then; data has a stray letter at most.
        let odd = head.iter().filter(|&&byte| letter(byte).is_none() && !matches!(byte, b'=' | b'\n' | b'\r')).count();
        (text.len() >= LEAST && odd * 20 < head.len()).then(|| Self::base64(text))
    }

    /// The bytes, piece by piece.
    pub(super) const fn pieces(self, encoded: &[u8]) -> Pieces<'_> {
        Pieces { rest: encoded, encoding: self, bits: 0, count: 0, is_padded: false, is_over: false }
    }

    /// The first bytes of a text, as many as can be decoded of its beginning.
    pub(super) fn head(self, text: &str) -> Vec<u8> {
        const ENOUGH: usize = 8 * 1024;
        let mut pieces = self.pieces(&text.as_bytes()[..text.len().min(ENOUGH)]);
        let mut head = Vec::new();
        pieces.fill(&mut head);
        head
    }
}

/// Whether a text looks like data, and like no words of a prompt.
pub(in crate::hook) fn is_data(text: &str) -> bool {
    const LEAST: usize = 1024;
    text.len() >= LEAST && Encoding::guess(text).is_some()
}

/// Spaces are line ends that were folded where lines of one length stand between
/// them; a plus of its own shows that none was turned into a space.
fn spaces_are_plus(text: &str) -> bool {
    let text = text.trim();
    if !text.contains(' ') || text.contains(['+', '-']) {
        return false;
    }
    let mut lines = text.split(' ').map(str::len).peekable();
    let width = lines.peek().copied().unwrap_or_default();
    let mut is_folded = width.is_multiple_of(4) && width > 0;
    while let Some(len) = lines.next() {
        is_folded &= len == width || (lines.peek().is_none() && len <= width);
    }
    let letters = text.len() - text.matches(' ').count();
    !(is_folded && letters.is_multiple_of(4))
}

/// Text that is being decoded.
pub(super) struct Pieces<'a> {
    rest: &'a [u8],
    encoding: Encoding,
    /// Bits that make no byte yet, and how many.
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
        match self.fill(&mut out) {
            true => (!out.is_empty()).then_some(Some(out)),
            false => Some(None),
        }
    }
}

impl Pieces<'_> {
    /// Decodes as much as goes into a piece; whether the text is sound so far.
    fn fill(&mut self, out: &mut Vec<u8>) -> bool {
        while out.len() < PIECE {
            let Some(byte) = self.unescaped() else {
                self.is_over = true;
                // What is too many is a part of a byte that never came.
                return match self.encoding {
                    Encoding::Hex => self.count == 0,
                    _ => self.count != 6,
                };
            };
            let is_sound = match self.encoding {
                Encoding::Percent => {
                    out.push(byte);
                    true
                }
                Encoding::Base64 { spaces_are_plus } => {
                    self.take(if byte == b' ' && spaces_are_plus { b'+' } else { byte }, out)
                }
                Encoding::Hex => char::from(byte).to_digit(16).map(|digit| self.push(digit, 4, out)).is_some(),
            };
            if !is_sound {
                self.is_over = true;
                return false;
            }
        }
        true
    }

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

    /// Takes a letter of base64; `false` if it is none.
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        if byte.is_ascii_whitespace() {
            return true;
        }
        self.is_padded |= byte == b'=';
        if byte == b'=' {
            return true;
        }
        let Some(value) = letter(byte).filter(|_| !self.is_padded) else { return false };
        self.push(value, 6, out);
        true
    }

    fn push(&mut self, value: u32, width: u32, out: &mut Vec<u8>) {
        self.bits = self.bits << width | value;
        self.count += width;
        if self.count >= 8 {
            self.count -= 8;
            out.extend(once((self.bits >> self.count & 0xff) as u8));
            self.bits &= (1 << self.count) - 1;
        }
    }
}

/// What a letter of base64 stands for.
fn letter(byte: u8) -> Option<u32> {
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
    use data_encoding::{BASE64, HEXLOWER};

    use super::*;

    fn all(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
        encoding.pieces(text.as_bytes()).collect::<Option<Vec<_>>>().map(|pieces| pieces.concat())
    }

    #[test]
    fn d01_what_a_long_text_is_written_in_is_guessed_and_short_words_are_left_alone() {
        let bytes: Vec<u8> = (0..=255).collect();
        let (base64, hex) = (BASE64.encode(&bytes), HEXLOWER.encode(&bytes));
        assert_eq!(Encoding::guess(&hex), Some(Encoding::Hex));
        assert_eq!(all(Encoding::Hex, &hex), Some(bytes.clone()));
        assert_eq!(all(Encoding::Hex, "abc"), None);
        let stray = format!("{}*{}", &base64[..100], &base64[100..]);
        for text in [&base64, &stray] {
            let guess = Encoding::guess(text).unwrap();
            assert_eq!(guess, Encoding::Base64 { spaces_are_plus: false });
            assert_eq!(guess.head(text)[..70], bytes[..70]);
        }
        for words in ["", "a fox", "file-8213", &"a fox that runs ".repeat(9), &"狐が走る".repeat(30)] {
            assert_eq!(Encoding::guess(words), None, "{words}");
        }
    }

    #[test]
    fn d20_a_plus_that_became_a_space_is_no_byte_less() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| ((n * n) >> 3) as u8).collect();
        let plain = BASE64.encode(&bytes);
        let lines = |width: usize| {
            let lines = plain.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap());
            lines.collect::<Vec<_>>().join(" ")
        };
        for text in [plain.replace('+', " "), lines(64), lines(76), format!(" {plain} ")] {
            assert_eq!(all(Encoding::base64(&text), &text), Some(bytes.clone()), "{text:.90}");
        }
    }
}
