//! JPEG: walked from marker to marker, however much metadata comes first.

use std::io::{Read, Seek};

use super::{Picture, part, tiff};
use crate::probe::{Length, Result, read_up_to};

const MAX_SEGMENTS: u32 = 200_000;
/// How far the end is searched for. What is longer counts as whole.
const MAX_SCANNED: u64 = 1024 * 1024 * 1024;
const CHUNK: u64 = 64 * 1024;

const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const APP1: u8 = 0xe1;

pub(super) fn read<R: Read + Seek>(reader: &mut R, length: Length) -> Result<Picture> {
    let mut picture = Picture::still(None, false);
    let mut at = 0;
    for _ in 0..MAX_SEGMENTS {
        let Some((marker, body)) = next_marker(reader, at)? else { break };
        match marker {
            END => {
                picture.whole = true;
                break;
            }
            // A promised length vouches for what no marker says.
            SCAN if length == Length::Promised => break,
            _ => {}
        }
        let head = read_up_to(reader, body, 8)?;
        let Some(size) = part(&head, 0).map(u16::from_be_bytes) else { break };
        match marker {
            // Frames of all sorts: baseline, progressive, lossless, arithmetic.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let side = |at| part(&head, at).map(u16::from_be_bytes).map(u32::from);
                picture.size = picture.size.or(side(5).zip(side(3)));
            }
            APP1 => {
                let bytes = read_up_to(reader, body + 2, u64::from(size).saturating_sub(2))?;
                if let Some(exif) = bytes.strip_prefix(b"Exif\0\0") {
                    picture.turned = tiff::is_turned(exif);
                }
            }
            _ => {}
        }
        at = body + u64::from(size).max(2);
        if at > MAX_SCANNED {
            picture.whole = true;
            break;
        }
    }
    Ok(picture)
}

/// The first marker from `at` on that a length follows, or the last one, and
/// where it ends. Those that stand alone, stuffed and filling bytes, and what
/// stands between are passed over.
fn next_marker<R: Read + Seek>(reader: &mut R, mut at: u64) -> Result<Option<(u8, u64)>> {
    // Within the headers it is the very next.
    let mut window = 16;
    while at <= MAX_SCANNED {
        let bytes = read_up_to(reader, at, window)?;
        window = CHUNK;
        let stands_alone = |kind: u8| matches!(kind, 0 | 0x01 | 0xd0..=0xd8 | 0xff);
        let marker = bytes.windows(2).position(|pair| pair[0] == 0xff && !stands_alone(pair[1]));
        if let Some(found) = marker {
            return Ok(Some((bytes[found + 1], at + found as u64 + 2)));
        }
        if bytes.len() < 2 {
            return Ok(None);
        }
        // A marker may lie across two chunks.
        at += bytes.len() as u64 - 1;
    }
    Ok(Some((END, at)))
}
