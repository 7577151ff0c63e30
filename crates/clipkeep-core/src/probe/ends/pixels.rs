//! Pictures without compression: their headers tell how many bytes follow.

use super::{number, part};

/// PBM, PGM, PPM, PAM and PFM. Those in plain text count nothing.
pub(super) fn pnm_end(head: &[u8]) -> Option<u64> {
    let mut header = Header { head, at: 2 };
    let size = match head.first_chunk()? {
        b"P4" => header.number()?.div_ceil(8).checked_mul(header.number()?)?,
        b"P5" => header.samples(1)?,
        b"P6" => header.samples(3)?,
        b"PF" => header.floats(3)?,
        b"Pf" => header.floats(1)?,
        b"P7" => return pam_end(head),
        _ => return None,
    };
    // One sign of white space ends the header.
    size.checked_add(header.at as u64 + 1)
}

struct Header<'h> {
    head: &'h [u8],
    at: usize,
}

impl<'h> Header<'h> {
    /// The next word, behind white space and comments.
    fn word(&mut self) -> Option<&'h str> {
        loop {
            let rest = self.head.get(self.at..)?;
            let skipped = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
            self.at += skipped;
            let rest = &rest[skipped..];
            if rest[0] != b'#' {
                let len = rest.iter().position(u8::is_ascii_whitespace)?;
                self.at += len;
                return std::str::from_utf8(&rest[..len]).ok();
            }
            self.at += rest.iter().position(|byte| *byte == b'\n')?;
        }
    }

    fn number(&mut self) -> Option<u64> {
        self.word()?.parse().ok()
    }

    fn samples(&mut self, channels: u64) -> Option<u64> {
        let (width, height, most) = (self.number()?, self.number()?, self.number()?);
        width.checked_mul(height)?.checked_mul(channels * if most > 255 { 2 } else { 1 })
    }

    fn floats(&mut self, channels: u64) -> Option<u64> {
        let (width, height, _) = (self.number()?, self.number()?, self.word()?);
        width.checked_mul(height)?.checked_mul(channels * 4)
    }
}

fn pam_end(head: &[u8]) -> Option<u64> {
    let mut header = Header { head, at: 2 };
    let (mut size, mut bytes) = (1_u64, 1);
    loop {
        match header.word()? {
            "ENDHDR" => return size.checked_mul(bytes)?.checked_add(header.at as u64 + 1),
            "WIDTH" | "HEIGHT" | "DEPTH" => size = size.checked_mul(header.number()?)?,
            "MAXVAL" => bytes = if header.number()? > 255 { 2 } else { 1 },
            _ => {}
        }
    }
}

/// Targa's plain pictures, with their map of colours.
pub(super) fn tga_end(head: &[u8]) -> Option<u64> {
    let &[id, mapped, kind, _, _, a, b, bits, ..] = head else { return None };
    let side = |at| part(head, at).map(u16::from_le_bytes).map(u64::from);
    let map = if mapped == 1 { u64::from(u16::from_le_bytes([a, b])) * u64::from(bits.div_ceil(8)) } else { 0 };
    let pixels = side(12)? * side(14)? * u64::from(head.get(16)?.div_ceil(8));
    matches!(kind, 1..=3).then_some(18 + u64::from(id) + map + pixels)
}

/// Each entry of an icon's directory says where its picture is.
pub(super) fn ico_end(head: &[u8]) -> Option<u64> {
    let count = usize::from(u16::from_le_bytes(part(head, 4)?));
    let end = |at: usize| {
        Some(number(head.get(at + 8..)?, u32::from_le_bytes)? + number(head.get(at + 12..)?, u32::from_le_bytes)?)
    };
    let directory = 6 + 16 * count as u64;
    Some((0..count).filter_map(|nth| end(6 + 16 * nth)).fold(directory, u64::max))
}
