//! Still pictures: dimensions.

use std::io::{Read, Seek};

use super::{Result, bare, read_at};
use crate::{generation::MediaInfo, media_type::MediaType};

/// Dimensions stand near the start; embedded profiles may come first.
const HEAD: u64 = 1024 * 1024;

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64, media: &'static MediaType) -> Result<MediaInfo> {
    let head = read_at(reader, 0, len.min(HEAD))?;
    let size = imagesize::blob_size(&head).ok();
    let pixels = |side: usize| u32::try_from(side).ok().filter(|side| *side > 0);
    Ok(MediaInfo {
        width: size.and_then(|size| pixels(size.width)),
        height: size.and_then(|size| pixels(size.height)),
        ..bare(media)
    })
}
