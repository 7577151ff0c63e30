//! Sound alone: the duration, where the header tells it.

use std::io::{Read, Seek};

use super::{Result, bare, read_at, seconds};
use crate::{generation::MediaInfo, media_type::MediaType};

/// `fmt ` and `data` come early, but for embedded pictures and tags.
const HEAD: u64 = 256 * 1024;

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64, media: &'static MediaType) -> Result<MediaInfo> {
    let head = read_at(reader, 0, len.min(HEAD))?;
    let (duration, codec) = match media.name {
        "audio/wav" => (wav(&head, len), None),
        "audio/flac" => (flac(&head), Some("flac")),
        "audio/mpeg" => (None, Some("mp3")),
        _ => (None, None),
    };
    Ok(MediaInfo { duration, codec: codec.map(str::to_owned), ..bare(media) })
}

/// Bytes of sound over bytes per second. A `data` chunk of unknown length (a
/// stream's) goes to the end of the file.
fn wav(head: &[u8], len: u64) -> Option<f64> {
    let mut at = 12usize;
    let mut byte_rate = None;
    loop {
        let &[a, b, c, d, size @ ..] = head.get(at..)?.first_chunk::<8>()?;
        let size = u32::from_le_bytes(size);
        let body = at + 8;
        match &[a, b, c, d] {
            b"fmt " => byte_rate = Some(u32::from_le_bytes(*head.get(body + 8..)?.first_chunk()?)),
            b"data" => {
                let to_end = len.saturating_sub(body as u64);
                return seconds(to_end.min(size.into()) as f64, byte_rate?.into());
            }
            _ => {}
        }
        // Chunks start at even offsets.
        at = body.checked_add(usize::try_from(size).ok()?)?.checked_next_multiple_of(2)?;
    }
}

/// `STREAMINFO`: the sample rate in 20 bits, the number of samples in 36.
fn flac(head: &[u8]) -> Option<f64> {
    let packed = u64::from_be_bytes(*head.get(18..)?.first_chunk()?);
    let rate = packed >> 44;
    let samples = packed & ((1 << 36) - 1);
    seconds(samples as f64, rate as f64)
}
