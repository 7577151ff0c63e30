//! Whether a file that nobody said the length of ends where its format says: by a
//! length in its header, by its last part, or by a mark at its end. What a format
//! does not tell is no evidence.

use std::io::{Read, Seek};

use super::{Result, boxes::Boxes, read_up_to};
use crate::media_type::MediaType;

mod drawn;
mod pixels;

/// The most parts of a file that are looked at.
const MAX_PARTS: u32 = 1_000_000;

/// Whether the file of `len` bytes is cut off.
pub(super) fn is_cut<R: Read + Seek>(reader: &mut R, len: u64, media: &MediaType) -> Result<bool> {
    let told = match media.name {
        "image/avif" | "image/heic" | "image/jxl" | "image/jp2" => return boxes(reader, len),
        "image/j2c" => return lacks_end(reader, len, EOC),
        "image/qoi" => return lacks_end(reader, len, &[0, 0, 0, 0, 0, 0, 0, 1]),
        "application/zip" | "model/vnd.usdz+zip" | "model/3mf" => return lacks_directory(reader, len),
        "image/svg+xml" => return drawn::svg_is_cut(reader, len),
        "audio/wav" | "video/x-msvideo" | "audio/aiff" => return riff(reader, len),
        "video/x-flv" => return flv(reader, len),
        "video/x-ivf" => return ivf(reader, len),
        "application/mxf" => return mxf(reader, len),
        "audio/basic" => au(&read_up_to(reader, 0, 12)?),
        "model/gltf-binary" => number(&read_up_to(reader, 8, 4)?, u32::from_le_bytes),
        "image/x-dpx" => dpx(&read_up_to(reader, 0, 20)?),
        "model/ply" => drawn::ply_end(&read_up_to(reader, 0, HEADER)?),
        "image/x-portable-anymap" => pixels::pnm_end(&read_up_to(reader, 0, HEADER)?),
        "image/x-tga" => pixels::tga_end(&read_up_to(reader, 0, 18)?),
        "image/vnd.microsoft.icon" => pixels::ico_end(&read_up_to(reader, 0, HEADER)?),
        _ => None,
    };
    Ok(told.is_some_and(|end| end > len))
}

/// How much of a header is read that has no length of its own.
const HEADER: u64 = 64 * 1024;
/// How a JPEG 2000 codestream ends.
const EOC: &[u8] = &[0xff, 0xd9];

/// A part of `bytes` of fixed length, if it is there.
fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn number(bytes: &[u8], of: fn([u8; 4]) -> u32) -> Option<u64> {
    part(bytes, 0).map(of).map(u64::from)
}

fn lacks_end<R: Read + Seek>(reader: &mut R, len: u64, end: &[u8]) -> Result<bool> {
    let Some(at) = len.checked_sub(end.len() as u64) else { return Ok(true) };
    Ok(read_up_to(reader, at, end.len() as u64)? != end)
}

/// Boxes end inside the file; a codestream that runs to its end has its mark there.
fn boxes<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    if read_up_to(reader, 0, 2)? == [0xff, 0x0a] {
        // JPEG XL without boxes says nothing of its length.
        return Ok(false);
    }
    let mut boxes = Boxes::new(reader, len);
    let (mut rest, mut last) = (boxes.all(), [0; 4]);
    while let Some(found) = boxes.next(&mut rest)? {
        if found.is_cut {
            return Ok(true);
        }
        last = found.name();
    }
    // Too few bytes for a box: the beginning of one.
    let is_begun = (1..8).contains(&(rest.end - rest.start));
    Ok(is_begun || (last == *b"jp2c" && lacks_end(reader, len, EOC)?))
}

/// The end of a ZIP's central directory, behind which a comment may stand.
fn lacks_directory<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    const RECORD: usize = 22;
    let start = len.saturating_sub(RECORD as u64 + u64::from(u16::MAX));
    let tail = read_up_to(reader, start, len - start)?;
    Ok(!tail.windows(RECORD).any(|bytes| bytes.starts_with(b"PK\x05\x06")))
}

/// RIFF, RIFX, RF64 and IFF, one behind the other as large AVIs have them. A size
/// that a stream's writer put there before it knew is none.
fn riff<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    const GUESSED: u32 = 0x7fff_0000;
    let mut at = 0;
    for _ in 0..MAX_PARTS {
        let head = read_up_to(reader, at, 8)?;
        let size = match head.first_chunk() {
            Some(b"RIFF") => number(&head[4..], u32::from_le_bytes),
            Some(b"FORM" | b"RIFX") => number(&head[4..], u32::from_be_bytes),
            _ => None,
        };
        let Some(size) = size.filter(|size| *size > 0 && *size < GUESSED.into()) else { return Ok(false) };
        at += 8 + size;
        if at > len {
            return Ok(true);
        }
        at += size & 1;
    }
    Ok(false)
}

/// Walks parts, each `next` of which answers where it ends; `None` is no part.
fn parts<R: Read + Seek>(
    reader: &mut R,
    (start, len): (u64, u64),
    head: u64,
    next: impl Fn(&[u8]) -> Option<u64>,
) -> Result<bool> {
    let mut at = start;
    for _ in 0..MAX_PARTS {
        if at >= len {
            return Ok(at > len);
        }
        let bytes = read_up_to(reader, at, head)?;
        match next(&bytes) {
            Some(size) => at = at.saturating_add(size.max(1)),
            // Something else stands there, or the head of a part that never came.
            None => return Ok((bytes.len() as u64) < head),
        }
    }
    Ok(false)
}

/// FLV's tags, each with its length behind it.
fn flv<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    let start = number(&read_up_to(reader, 5, 4)?, u32::from_be_bytes).unwrap_or(9) + 4;
    parts(reader, (start, len), 11, |tag| {
        let &[8 | 9 | 18 | 40 | 41 | 50, a, b, c, ..] = tag.first_chunk::<11>()? else { return None };
        Some(11 + u64::from(u32::from_be_bytes([0, a, b, c])) + 4)
    })
}

fn ivf<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    let start = part(&read_up_to(reader, 6, 2)?, 0).map_or(32, u16::from_le_bytes);
    parts(reader, (start.into(), len), 12, |frame| Some(12 + number(frame.first_chunk::<12>()?, u32::from_le_bytes)?))
}

/// MXF's keys, each with a length in BER and a value.
fn mxf<R: Read + Seek>(reader: &mut R, len: u64) -> Result<bool> {
    parts(reader, (0, len), 25, |bytes| {
        let rest = bytes.strip_prefix(&[0x06, 0x0e, 0x2b, 0x34])?.get(12..)?;
        let (&first, rest) = rest.split_first()?;
        let count = usize::from(first & 0x7f);
        match first {
            0..=0x7f => Some(17 + u64::from(first)),
            _ if count <= 8 => {
                let size = rest.get(..count)?.iter().fold(0, |size: u64, byte| size << 8 | u64::from(*byte));
                Some(size.saturating_add(17 + count as u64))
            }
            _ => None,
        }
    })
}

/// AU's header: where the data begins, and how much there is, if that was known.
fn au(head: &[u8]) -> Option<u64> {
    let head = head.strip_prefix(b".snd")?;
    let size = number(head.get(4..)?, u32::from_be_bytes)?;
    Some(number(head, u32::from_be_bytes)? + size).filter(|_| size != u64::from(u32::MAX))
}

fn dpx(head: &[u8]) -> Option<u64> {
    let of = if head.starts_with(b"SDPX") { u32::from_be_bytes } else { u32::from_le_bytes };
    number(head.get(16..)?, of).filter(|size| *size != u64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
