//! Sound alone, and the simpler containers of video beside it.
//!
//! Durations are counted, not believed, wherever counting is cheap: headers of
//! streams that were written on the fly say zero, or all ones.

mod aiff;
mod avi;
mod flac;
mod flv;
mod frames;
mod ogg;
mod wav;

use std::{
    io::{Read, Seek},
    ops::Range,
};

use super::{Length, Result, read_up_to};
use crate::{
    generation::{Kind, MediaInfo},
    media_type::MediaType,
};

/// What one of these formats tells.
#[derive(Clone, Debug, Default, PartialEq)]
struct AudioFacts {
    duration: Option<f64>,
    codec: Option<String>,
    /// Of a moving picture, if there is one.
    size: Option<(u32, u32)>,
    fps: Option<f64>,
}

impl AudioFacts {
    fn sound(duration: Option<f64>, codec: &str) -> Self {
        Self { duration, codec: Some(codec.to_owned()), ..Self::default() }
    }
}

pub(super) fn probe<R: Read + Seek>(
    reader: &mut R,
    len: u64,
    length: Length,
    media: &'static MediaType,
) -> Result<MediaInfo> {
    let told = match media.name {
        "audio/wav" => wav::probe(reader, len)?,
        "audio/flac" => flac::probe(reader, len)?,
        "audio/mpeg" | "audio/aac" | "audio/ac3" | "audio/eac3" => frames::probe(reader, len)?,
        "audio/ogg" | "video/ogg" => ogg::probe(reader, len, length)?,
        "audio/aiff" => aiff::aiff(reader, len)?,
        "audio/x-caf" => aiff::caf(reader, len)?,
        "audio/basic" => aiff::au(reader, len)?,
        "video/x-msvideo" => avi::probe(reader, len)?,
        "video/x-flv" => flv::probe(reader, len)?,
        _ => AudioFacts::default(),
    };
    let (width, height) = told.size.filter(|_| media.kind == Kind::Video).unzip();
    let side = |side: Option<u32>| side.filter(|side| *side > 0);
    Ok(MediaInfo {
        duration: told.duration,
        codec: told.codec,
        width: side(width),
        height: side(height),
        fps: told.fps,
        ..MediaInfo::of(media)
    })
}

/// In which order the bytes of a chunk's size stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }
}

/// The chunks of a RIFF or IFF file, one by one, in bounded steps.
struct Chunks<'a, R> {
    reader: &'a mut R,
    order: Order,
    /// Where the next one starts, and where the last one ends.
    rest: Range<u64>,
    left: u32,
}

struct Chunk {
    name: [u8; 4],
    /// As it is told, which may be more than there is.
    size: u32,
    /// What there is of it.
    body: Range<u64>,
}

impl<'a, R: Read + Seek> Chunks<'a, R> {
    const MOST: u32 = 1_000_000;

    fn new(reader: &'a mut R, rest: Range<u64>, order: Order) -> Self {
        Self { reader, order, rest, left: Self::MOST }
    }

    fn next(&mut self) -> Result<Option<Chunk>> {
        if self.left == 0 || self.rest.start >= self.rest.end {
            return Ok(None);
        }
        self.left -= 1;
        let head = read_up_to(self.reader, self.rest.start, 8)?;
        let Some(&[a, b, c, d, ref size @ ..]) = head.first_chunk::<8>() else { return Ok(None) };
        let size = self.order.u32(*size);
        let start = self.rest.start + 8;
        let end = start.saturating_add(size.into());
        // Chunks start at even offsets.
        self.rest.start = end.saturating_add(u64::from(size & 1));
        Ok(Some(Chunk { name: [a, b, c, d], size, body: start..end.min(self.rest.end) }))
    }

    /// Goes on within a chunk instead of behind it.
    fn enter(&mut self, at: u64) {
        self.rest.start = at;
    }

    /// The first bytes of a chunk, at most `max`.
    fn bytes(&mut self, chunk: &Chunk, max: u64) -> Result<Vec<u8>> {
        read_up_to(self.reader, chunk.body.start, max.min(chunk.body.end.saturating_sub(chunk.body.start)))
    }
}

/// A part of `bytes` of fixed length, if it is there.
fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
