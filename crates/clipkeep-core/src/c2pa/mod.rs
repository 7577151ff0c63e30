//! Whether a file carries a C2PA manifest: a signed mark of where it comes from
//! (C2PA Technical Specification, «Embedding manifests into assets»).
//!
//! The mark covers the file's bytes and their places, so a marked file is never
//! rearranged. Whether the signature holds is not asked here. Each carrier is a
//! list of chunks that is walked in one loop, by seeking, in bounded steps:
//! whatever the bytes are, the answer is yes or no.

mod carriers;
#[cfg(test)]
mod tests;

use std::io::{Read, Result, Seek, SeekFrom};

use self::carriers::{gif, id3, iso_media, jpeg, png, riff, tiff};

/// The type of the box that holds a manifest in MP4, QuickTime and HEIF files.
const BOX_TYPE: [u8; 16] =
    [0xd8, 0xfe, 0xc3, 0xd6, 0x1b, 0x0e, 0x48, 0x3c, 0x92, 0x97, 0x58, 0x28, 0x87, 0x7e, 0xc4, 0x81];

/// The most chunks that are looked at in one file.
const MAX_CHUNKS: u32 = 1_000_000;

/// Whether a file of `len` bytes carries a C2PA manifest. Blocks on `reader`.
///
/// # Errors
/// Only that it could not be read.
pub fn is_marked<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    let mut file = Chunks { reader, len, left: MAX_CHUNKS };
    let mut head = [0; 12];
    let read = file.read_at(0, &mut head)?;
    let found = match &head[..read] {
        [0xff, 0xd8, 0xff, ..] => jpeg(&mut file)?,
        [b'R', b'I', b'F', b'F' | b'X', ..] | [b'R', b'F', b'6', b'4', ..] => riff(&mut file)?,
        [b'G', b'I', b'F', b'8', ..] => gif(&mut file)?,
        [b'I', b'D', b'3', ..] => id3(&mut file)?,
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => tiff(&mut file, head[0] == b'I')?,
        head if head.starts_with(b"\x89PNG\r\n\x1a\n") => png(&mut file)?,
        _ => iso_media(&mut file)?,
    };
    Ok(found == Some(true))
}

/// Whether these are the first bytes of a box that holds a manifest.
pub(crate) fn is_mark(bytes: &[u8]) -> bool {
    let head = if bytes.starts_with(&[0, 0, 0, 1]) { 16 } else { 8 };
    bytes.get(4..8) == Some(b"uuid") && bytes.get(head..).is_some_and(|body| body.starts_with(&BOX_TYPE))
}

/// A file that is a list of chunks.
struct Chunks<'r, R> {
    reader: &'r mut R,
    len: u64,
    left: u32,
}

impl<R: Read + Seek> Chunks<'_, R> {
    /// Reads what there is of `out.len()` bytes at `at`; answers how many.
    fn read_at(&mut self, at: u64, out: &mut [u8]) -> Result<usize> {
        if at >= self.len {
            return Ok(0);
        }
        self.reader.seek(SeekFrom::Start(at))?;
        let mut read = 0;
        while read < out.len() {
            match self.reader.read(&mut out[read..])? {
                0 => break,
                more => read += more,
            }
        }
        Ok(read)
    }

    /// The next chunk's first `N` bytes. None where the file has none, or has
    /// more chunks than are looked at.
    fn at<const N: usize>(&mut self, at: u64) -> Result<Option<[u8; N]>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let mut out = [0; N];
        let read = self.read_at(at, &mut out)?;
        Ok((read == N).then_some(out))
    }
}
