//! The media type of a clip of which little is there yet. Whether an MP4 or a
//! WebM file has pictures stands in its header, and viewers are told it before
//! all of the clip is seen; so it must be what the whole will say.

use std::{
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

use bytes::Bytes;

use super::{Buffered, ProbeError, mp4, webm};
use crate::{media_type::MediaType, sniff::SNIFF_LEN};

/// What is known of a clip's media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Early {
    /// This is what the whole will say, too.
    Known(String),
    /// These bytes must be seen first; then it is to be asked again.
    Need(Range<u64>),
    /// Only the whole can tell.
    Unknown,
}

/// The media type of a clip of `len` bytes that was sniffed as `media`. `have`
/// answers a range of it if all of that is there.
pub fn content_type(len: u64, media: &'static MediaType, have: impl Fn(Range<u64>) -> Option<Bytes>) -> Early {
    let mut needed = None;
    let mut there = There { len, at: 0, have, needed: &mut needed };
    // The first of them is what was sniffed.
    let reader = &mut Buffered::of_blocks(&mut there, len, SNIFF_LEN);
    let told = match media.name {
        "video/mp4" | "video/quicktime" | "audio/mp4" | "video/3gpp" | "video/3gpp2" | "video/mj2" => {
            mp4::content_type(reader, len, media)
        }
        "video/webm" | "video/x-matroska" | "audio/webm" | "audio/x-matroska" => webm::content_type(reader, len, media),
        name => Ok(name.to_owned()),
    };
    match (told, needed) {
        (Ok(name), _) => Early::Known(name),
        (Err(ProbeError::Io(_)), Some(range)) => Early::Need(range),
        (Err(_), _) => Early::Unknown,
    }
}

/// A file of which some is there. A read of what is not fails, and is noted.
struct There<'n, H> {
    len: u64,
    at: u64,
    have: H,
    needed: &'n mut Option<Range<u64>>,
}

impl<H: Fn(Range<u64>) -> Option<Bytes>> Read for There<'_, H> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let range = self.at.min(self.len)..self.at.saturating_add(out.len() as u64).min(self.len);
        if range.is_empty() {
            return Ok(0);
        }
        let Some(bytes) = (self.have)(range.clone()) else {
            *self.needed = Some(range);
            return Err(io::ErrorKind::WouldBlock.into());
        };
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl<H> Seek for There<'_, H> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // `Buffered` seeks from the start alone.
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}
