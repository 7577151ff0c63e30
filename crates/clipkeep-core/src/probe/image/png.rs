//! PNG, and APNG within it.

use std::{
    io::{Read, Seek},
    time::Duration,
};

use super::{Animation, Picture, part, tiff};
use crate::probe::{Result, read_up_to};

const MAX_CHUNKS: u32 = 500_000;
const MAX_EXIF: u64 = 256 * 1024;

pub(super) fn read<R: Read + Seek>(reader: &mut R, len: u64) -> Result<Picture> {
    let mut picture = Picture::still(None, false);
    let mut at = 8u64;
    for _ in 0..MAX_CHUNKS {
        let head = read_up_to(reader, at, 8)?;
        let (Some(size), Some(name)) = (part(&head, 0).map(u32::from_be_bytes), part::<4>(&head, 4)) else { break };
        let (body, size) = (at + 8, u64::from(size));
        match &name {
            b"IHDR" => {
                let bytes = read_up_to(reader, body, 8)?;
                let side = |at| part(&bytes, at).map(u32::from_be_bytes);
                picture.size = side(0).zip(side(4));
            }
            b"eXIf" => picture.turned = tiff::is_turned(&read_up_to(reader, body, size.min(MAX_EXIF))?),
            b"fcTL" => add_frame(&mut picture.animation, &read_up_to(reader, body, 26)?),
            b"IEND" => {
                // With its checksum.
                picture.whole = body + size + 4 <= len;
                break;
            }
            _ => {}
        }
        // Behind the checksum.
        at = body + size + 4;
    }
    Ok(picture)
}

/// The delay is a fraction of a second, in hundredths where nothing else is said.
fn add_frame(animation: &mut Animation, control: &[u8]) {
    let u16 = |at| part(control, at).map_or(0, u16::from_be_bytes);
    let (over, under) = (u64::from(u16(20)), u64::from(u16(22)));
    let under = if under == 0 { 100 } else { under };
    animation.show(Duration::from_micros(over * 1_000_000 / under));
}
