//! BMP: rows from the bottom up or from the top down, of Windows and of OS/2.

use std::io::{Read, Seek};

use super::{Picture, part};
use crate::probe::{Result, read_up_to};

pub(super) fn read<R: Read + Seek>(reader: &mut R, len: u64) -> Result<Picture> {
    let head = read_up_to(reader, 0, 26)?;
    let told = part(&head, 2).map_or(0, u32::from_le_bytes);
    let pixels = part(&head, 10).map_or(0, u32::from_le_bytes);
    // Some writers leave the size out, or count the pixels alone.
    let end = if told > pixels { told } else { pixels };
    let size = match part(&head, 14).map(u32::from_le_bytes) {
        Some(12) => {
            let side = |at| part(&head, at).map(u16::from_le_bytes).map(u32::from);
            side(18).zip(side(20))
        }
        // A negative height says that the first row is the top one.
        _ => {
            let side = |at| part(&head, at).map(|bytes| i32::from_le_bytes(bytes).unsigned_abs());
            side(18).zip(side(22))
        }
    };
    Ok(Picture::still(size, u64::from(end) <= len))
}
