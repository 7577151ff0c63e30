//! WebP: lossy, lossless, and extended with frames.

use std::{
    io::{Read, Seek},
    time::Duration,
};

use super::{Picture, part, tiff};
use crate::probe::{Result, read_up_to};

const MAX_CHUNKS: u32 = 500_000;
const MAX_EXIF: u64 = 256 * 1024;

pub(super) fn read<R: Read + Seek>(reader: &mut R, len: u64) -> Result<Picture> {
    let header = read_up_to(reader, 0, 12)?;
    // The size does not count the name and itself.
    let end = part(&header, 4).map_or(0, |size| u64::from(u32::from_le_bytes(size)) + 8);
    let mut picture = Picture::still(None, end <= len);
    let mut at = 12;
    for _ in 0..MAX_CHUNKS {
        let head = read_up_to(reader, at, 8 + 16)?;
        let (Some(name), Some(size)) = (part::<4>(&head, 0), part(&head, 4).map(u32::from_le_bytes)) else { break };
        let body = &head[8..];
        match &name {
            b"VP8X" => picture.size = u24(body, 4).zip(u24(body, 7)).map(|(width, height)| (width + 1, height + 1)),
            b"VP8 " => picture.size = picture.size.or_else(|| lossy(body)),
            b"VP8L" => picture.size = picture.size.or_else(|| lossless(body)),
            b"ANMF" => picture.animation.show(Duration::from_millis(u24(body, 12).unwrap_or(0).into())),
            b"EXIF" => {
                let exif = read_up_to(reader, at + 8, u64::from(size).min(MAX_EXIF))?;
                picture.turned = tiff::is_turned(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif));
            }
            _ => {}
        }
        at += 8 + u64::from(size) + u64::from(size & 1);
    }
    Ok(picture)
}

fn u24(bytes: &[u8], at: usize) -> Option<u32> {
    part::<3>(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

/// A key frame's size, in 14 bits each.
fn lossy(body: &[u8]) -> Option<(u32, u32)> {
    let side = |at| part(body, at).map(|bytes| u32::from(u16::from_le_bytes(bytes) & 0x3fff));
    (body.get(3..6)? == [0x9d, 0x01, 0x2a]).then(|| side(6).zip(side(8))).flatten()
}

/// Both sides less one, in 14 bits each, behind a mark.
fn lossless(body: &[u8]) -> Option<(u32, u32)> {
    let packed = u32::from_le_bytes(part(body.strip_prefix(&[0x2f])?, 0)?);
    Some(((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1))
}
