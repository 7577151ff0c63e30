//! WebM and Matroska: facts from the segment's `Info` and `Tracks`, which
//! stand before its clusters.

use std::{
    io::{Read, Seek},
    ops::Range,
};

use super::{ProbeError, Result, bare, codec, read_at, seconds};
use crate::{
    generation::{Kind, MediaInfo},
    media_type::MediaType,
};

// Element ids, RFC 9559.
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_TYPE: u32 = 0x83;
const DEFAULT_DURATION: u32 = 0x23_e383;
const CODEC_ID: u32 = 0x86;
const CODEC_PRIVATE: u32 = 0x63a2;
const VIDEO: u32 = 0xe0;
const PIXEL_WIDTH: u32 = 0xb0;
const PIXEL_HEIGHT: u32 = 0xba;
const DISPLAY_WIDTH: u32 = 0x54b0;
const DISPLAY_HEIGHT: u32 = 0x54ba;
const DISPLAY_UNIT: u32 = 0x54b2;

/// The most elements that are looked at in one file.
const MAX_ELEMENTS: u32 = 100_000;
/// The most bytes that are read of one value.
const MAX_VALUE: u64 = 64 * 1024;

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64, media: &'static MediaType) -> Result<MediaInfo> {
    let mut walk = Walk { reader, len, seen: 0 };
    let mut rest = 0..len;
    while let Some(element) = walk.next(&mut rest)? {
        if element.id == SEGMENT {
            return walk.segment(element.body)?.facts(media);
        }
    }
    Err(ProbeError::Malformed("no segment"))
}

struct Element {
    id: u32,
    body: Range<u64>,
}

struct Walk<'a, R> {
    reader: &'a mut R,
    len: u64,
    seen: u32,
}

struct Segment {
    /// Nanoseconds per tick.
    scale: u64,
    /// Ticks.
    duration: Option<f64>,
    tracks: Vec<Track>,
}

#[derive(Default)]
struct Track {
    kind: u64,
    codec_id: String,
    private: Vec<u8>,
    /// Nanoseconds per frame.
    frame_nanos: u64,
    pixels: (u64, u64),
    display: (u64, u64),
    display_unit: u64,
}

impl<R: Read + Seek> Walk<'_, R> {
    /// The element at the start of `rest`, which then starts behind it. One
    /// of unknown size, as live streams have, goes to the end of `rest`.
    fn next(&mut self, rest: &mut Range<u64>) -> Result<Option<Element>> {
        let left = rest.end.saturating_sub(rest.start);
        if left == 0 {
            return Ok(None);
        }
        self.seen += 1;
        if self.seen > MAX_ELEMENTS {
            return Err(ProbeError::Malformed("too many elements"));
        }
        let head = read_at(self.reader, rest.start, left.min(12))?;
        let too_short = if rest.end == self.len { ProbeError::Truncated } else { ProbeError::Malformed("an element") };
        let Some((id, size, head_len)) = element_head(&head) else {
            return Err(if head.len() < 12 { too_short } else { ProbeError::Malformed("an element") });
        };
        let start = rest.start + head_len;
        let end = match size {
            None => rest.end,
            Some(size) => start.saturating_add(size),
        };
        if end > rest.end {
            return Err(too_short);
        }
        rest.start = end;
        Ok(Some(Element { id, body: start..end }))
    }

    fn segment(&mut self, body: Range<u64>) -> Result<Segment> {
        let mut segment = Segment { scale: 1_000_000, duration: None, tracks: Vec::new() };
        let mut rest = body;
        while let Some(element) = self.next(&mut rest)? {
            match element.id {
                INFO => self.info(element.body, &mut segment)?,
                TRACKS => self.tracks(element.body, &mut segment)?,
                CLUSTER => break,
                _ => {}
            }
        }
        Ok(segment)
    }

    fn info(&mut self, body: Range<u64>, segment: &mut Segment) -> Result<()> {
        let mut rest = body;
        while let Some(element) = self.next(&mut rest)? {
            match element.id {
                TIMESTAMP_SCALE => segment.scale = self.unsigned(&element)?,
                DURATION => segment.duration = self.float(&element)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn tracks(&mut self, body: Range<u64>, segment: &mut Segment) -> Result<()> {
        const MAX_TRACKS: usize = 64;
        let mut rest = body;
        while let Some(element) = self.next(&mut rest)? {
            if element.id == TRACK_ENTRY && segment.tracks.len() < MAX_TRACKS {
                let mut track = Track::default();
                self.track(element.body, &mut track)?;
                segment.tracks.push(track);
            }
        }
        Ok(())
    }

    /// A track entry or its `Video` part: their ids do not overlap.
    fn track(&mut self, body: Range<u64>, track: &mut Track) -> Result<()> {
        let mut rest = body;
        while let Some(element) = self.next(&mut rest)? {
            match element.id {
                TRACK_TYPE => track.kind = self.unsigned(&element)?,
                CODEC_ID => track.codec_id = String::from_utf8(self.bytes(&element)?).unwrap_or_default(),
                CODEC_PRIVATE => track.private = self.bytes(&element)?,
                DEFAULT_DURATION => track.frame_nanos = self.unsigned(&element)?,
                VIDEO => self.video(element.body, track)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn video(&mut self, body: Range<u64>, track: &mut Track) -> Result<()> {
        let mut rest = body;
        while let Some(element) = self.next(&mut rest)? {
            match element.id {
                PIXEL_WIDTH => track.pixels.0 = self.unsigned(&element)?,
                PIXEL_HEIGHT => track.pixels.1 = self.unsigned(&element)?,
                DISPLAY_WIDTH => track.display.0 = self.unsigned(&element)?,
                DISPLAY_HEIGHT => track.display.1 = self.unsigned(&element)?,
                DISPLAY_UNIT => track.display_unit = self.unsigned(&element)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn bytes(&mut self, element: &Element) -> Result<Vec<u8>> {
        let len = element.body.end - element.body.start;
        read_at(self.reader, element.body.start, len.min(MAX_VALUE))
    }

    fn unsigned(&mut self, element: &Element) -> Result<u64> {
        let bytes = self.bytes(element)?;
        if bytes.len() > 8 {
            return Err(ProbeError::Malformed("a number"));
        }
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn float(&mut self, element: &Element) -> Result<Option<f64>> {
        let bytes = self.bytes(element)?;
        Ok(match bytes.as_slice() {
            &[a, b, c, d] => Some(f32::from_be_bytes([a, b, c, d]).into()),
            bytes => bytes.try_into().ok().map(f64::from_be_bytes),
        })
    }
}

impl Segment {
    fn facts(&self, media: &'static MediaType) -> Result<MediaInfo> {
        const VIDEO_TRACK: u64 = 1;
        const AUDIO_TRACK: u64 = 2;
        let first = |kind| self.tracks.iter().find(|track| track.kind == kind);
        let (kind, main) = match (first(VIDEO_TRACK), first(AUDIO_TRACK)) {
            (Some(video), _) => (Kind::Video, video),
            (None, Some(sound)) => (Kind::Audio, sound),
            (None, None) => return Err(ProbeError::Malformed("no video or audio track")),
        };
        let mut facts = bare(media);
        if kind == Kind::Audio && media.name == "video/webm" {
            "audio/webm".clone_into(&mut facts.content_type);
        }
        facts.kind = kind;
        facts.duration = self.duration.and_then(|ticks| seconds(ticks * self.scale as f64, 1e9));
        facts.codec = codec::of_matroska(&main.codec_id, &main.private);
        if kind == Kind::Video {
            facts.fps = seconds(1e9, main.frame_nanos as f64);
            // Other units than pixels tell only the shape.
            let has_display = main.display_unit == 0 && main.display.0 > 0 && main.display.1 > 0;
            let (width, height) = if has_display { main.display } else { main.pixels };
            facts.width = u32::try_from(width).ok().filter(|side| *side > 0);
            facts.height = u32::try_from(height).ok().filter(|side| *side > 0);
        }
        Ok(facts)
    }
}

/// An element's id, its size (None: unknown) and the length of both (RFC 8794).
fn element_head(head: &[u8]) -> Option<(u32, Option<u64>, u64)> {
    let id_len = vint_len(*head.first()?)?;
    if id_len > 4 {
        return None;
    }
    let id = big_endian(head.get(..id_len)?);
    let rest = &head[id_len..];
    let size_len = vint_len(*rest.first()?)?;
    let all_ones = u64::MAX >> (64 - 7 * size_len);
    let size = big_endian(rest.get(..size_len)?) & all_ones;
    let size = Some(size).filter(|size| *size != all_ones);
    Some((u32::try_from(id).ok()?, size, (id_len + size_len) as u64))
}

/// The length that a variable-size integer's first byte tells.
fn vint_len(first: u8) -> Option<usize> {
    let zeros = first.leading_zeros() as usize;
    (zeros < 8).then_some(zeros + 1)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}
