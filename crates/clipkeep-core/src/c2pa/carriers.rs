//! How each format carries a manifest. `None` is a file that ends, or breaks
//! its format's rules, before one was found.

use std::io::{Read, Result, Seek};

use super::{Chunks, is_mark};

/// A JUMBF box whose description says «c2pa».
fn is_manifest_store(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"jumb") && bytes.get(12..16) == Some(b"jumd") && bytes.get(16..20) == Some(b"c2pa")
}

/// MP4, QuickTime, HEIF and AVIF: a `uuid` box on the outermost level; JPEG XL:
/// a `jumb` box there.
pub(super) fn iso_media<R: Read + Seek>(file: &mut Chunks<'_, R>) -> Result<Option<bool>> {
    let mut at = 0;
    loop {
        let Some(head) = file.at::<16>(at)? else { return Ok(None) };
        let [a, b, c, d, kind @ .., e, f, g, h, i, j, k, l] = head;
        if matches!(&kind, b"uuid" | b"jumb") {
            let Some(more) = file.at::<32>(at)? else { return Ok(None) };
            if is_mark(&more) || is_manifest_store(&more) {
                return Ok(Some(true));
            }
        }
        at = match u32::from_be_bytes([a, b, c, d]).into() {
            1 => match u64::from_be_bytes([e, f, g, h, i, j, k, l]) {
                len @ 16.. => at.saturating_add(len),
                _ => return Ok(None),
            },
            len @ 8.. => at + len,
            _ => return Ok(None),
        };
    }
}

/// Segments `APP11` with JUMBF in them (ISO/IEC 19566-5), before the picture.
pub(super) fn jpeg<R: Read + Seek>(file: &mut Chunks<'_, R>) -> Result<Option<bool>> {
    let mut at = 2;
    loop {
        let Some([0xff, marker, high, low]) = file.at::<4>(at)? else { return Ok(None) };
        match marker {
            // Filling.
            0xff => at += 1,
            // Markers without a body.
            0x01 | 0xd0..=0xd8 => at += 2,
            // The picture, or the end.
            0xd9 | 0xda => return Ok(Some(false)),
            _ => {
                let len = u64::from(u16::from_be_bytes([high, low]));
                // «JP», a number of the box, a number of the packet, the box.
                if marker == 0xeb
                    && let Some(body) = file.at::<32>(at + 4)?
                    && body.starts_with(b"JP")
                    && is_manifest_store(&body[8..])
                {
                    return Ok(Some(true));
                }
                if len < 2 {
                    return Ok(None);
                }
                at += 2 + len;
            }
        }
    }
}

/// A chunk `caBX`.
pub(super) fn png<R: Read + Seek>(file: &mut Chunks<'_, R>) -> Result<Option<bool>> {
    let mut at = 8;
    loop {
        let Some([a, b, c, d, kind @ ..]) = file.at::<8>(at)? else { return Ok(None) };
        match &kind {
            b"caBX" => return Ok(Some(true)),
            b"IEND" => return Ok(Some(false)),
            // Length, kind and checksum are not counted.
            _ => at += u64::from(u32::from_be_bytes([a, b, c, d])) + 12,
        }
    }
}

/// WebP, WAV and AVI: a chunk `C2PA`.
pub(super) fn riff<R: Read + Seek>(file: &mut Chunks<'_, R>) -> Result<Option<bool>> {
    let mut at = 12;
    loop {
        let Some([kind @ .., a, b, c, d]) = file.at::<8>(at)? else { return Ok(None) };
        if kind == *b"C2PA" {
            return Ok(Some(true));
        }
        // Chunks start at even offsets.
        at += (8 + u64::from(u32::from_le_bytes([a, b, c, d]))).next_multiple_of(2);
    }
}

/// An application extension `C2PA_GIF`.
pub(super) fn gif<R: Read + Seek>(file: &mut Chunks<'_, R>) -> Result<Option<bool>> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let Some([flags]) = file.at::<1>(10)? else { return Ok(None) };
    let mut at = 13 + table(flags);
    loop {
        match file.at::<1>(at)? {
            Some([0x21]) => {
                if file.at::<11>(at + 1)?.is_some_and(|head| head == *b"\xff\x0bC2PA_GIF\x01") {
                    return Ok(Some(true));
                }
                at += 2;
            }
            Some([0x2c]) => {
                let Some([flags]) = file.at::<1>(at + 9)? else { return Ok(None) };
                // The picture's head, its colours, and a byte of the code's size.
                at += 11 + table(flags);
            }
            Some([0x3b]) => return Ok(Some(false)),
            _ => return Ok(None),
        }
        // Blocks, up to the empty one.
        loop {
            let Some([len]) = file.at::<1>(at)? else { return Ok(None) };
            at += 1 + u64::from(len);
            if len == 0 {
                break;
            }
        }
    }
}

/// A frame `GEOB` with the manifest's media type, in the tag before the sound.
pub(super) fn id3<R: Read + Seek>(file: &mut Chunks<'_, R>) -> Result<Option<bool>> {
    // Numbers of seven bits a byte.
    let synchsafe = |bytes: [u8; 4]| bytes.iter().fold(0_u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    let Some([_, _, _, version, _, flags, size @ ..]) = file.at::<10>(0)? else { return Ok(None) };
    let (mut at, end) = (10, 10 + synchsafe(size));
    if flags & 0x40 != 0 {
        let Some(size) = file.at::<4>(at)? else { return Ok(None) };
        at += if version == 4 { synchsafe(size) } else { u64::from(u32::from_be_bytes(size)) + 4 };
    }
    while at < end {
        let Some([a, b, c, d, s0, s1, s2, s3, _, _]) = file.at::<10>(at)? else { return Ok(None) };
        if [a, b, c, d] == *b"GEOB"
            && let Some([_, name @ ..]) = file.at::<28>(at + 10)?
            && (name.starts_with(b"application/x-c2pa-manifest") || name.starts_with(b"application/c2pa\0"))
        {
            return Ok(Some(true));
        }
        // Zeros fill the tag up.
        if a == 0 {
            break;
        }
        let size = [s0, s1, s2, s3];
        at += 10 + if version == 4 { synchsafe(size) } else { u32::from_be_bytes(size).into() };
    }
    Ok(Some(false))
}

/// An entry 52545 of a directory.
pub(super) fn tiff<R: Read + Seek>(file: &mut Chunks<'_, R>, little: bool) -> Result<Option<bool>> {
    const MANIFEST: u16 = 52545;
    let short = |bytes: [u8; 2]| if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
    let long = |bytes: [u8; 4]| if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let Some(first) = file.at::<4>(4)? else { return Ok(None) };
    let mut at = u64::from(long(first));
    // A directory leads to the next one, forwards or backwards, so a file may
    // lead in circles: the chunks that are left end that.
    while at != 0 {
        let Some(entries) = file.at::<2>(at)? else { return Ok(None) };
        at += 2;
        for _ in 0..short(entries) {
            let Some(tag) = file.at::<2>(at)? else { return Ok(None) };
            if short(tag) == MANIFEST {
                return Ok(Some(true));
            }
            at += 12;
        }
        let Some(next) = file.at::<4>(at)? else { return Ok(None) };
        at = long(next).into();
    }
    Ok(Some(false))
}
