//! WebM and Matroska: facts from the segment's `Info` and `Tracks`, wherever
//! they stand; of a stream that was written as it went, from its blocks.

mod segment;

use std::{
    io::{Read, Seek},
    ops::Range,
};

use self::segment::{Segment, Track};
use super::{Length, ProbeError, Result, ebml::element_head, read_up_to};
use crate::{generation::MediaInfo, media_type::MediaType};

// Element ids, RFC 9559.
const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const SEEK: u32 = 0x4dbb;
const SEEK_ID: u32 = 0x53ab;
const SEEK_POSITION: u32 = 0x53ac;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
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
const MAX_ELEMENTS: u32 = 1_000_000;
/// The most bytes that are read of one value.
const MAX_VALUE: u64 = 64 * 1024;

pub(super) fn probe<R: Read + Seek>(
    reader: &mut R,
    len: u64,
    length: Length,
    media: &'static MediaType,
) -> Result<MediaInfo> {
    let enough = |segment: &Segment| segment.duration.is_some() && !segment.tracks.is_empty();
    find(reader, len, length, enough)?.facts(media)
}

/// The media type alone, for which the tracks are enough.
pub(super) fn content_type<R: Read + Seek>(reader: &mut R, len: u64, media: &'static MediaType) -> Result<String> {
    let segment = find(reader, len, Length::Promised, |segment| !segment.tracks.is_empty())?;
    Ok(segment.facts(media)?.content_type)
}

/// Reads the segment until it tells `enough`.
fn find<R: Read + Seek>(reader: &mut R, len: u64, length: Length, enough: Enough) -> Result<Segment> {
    let mut walk = Walk { reader, len, length, seen: 0 };
    let mut rest = 0..len;
    while let Some(element) = walk.next(&mut rest)? {
        if element.id == SEGMENT {
            return walk.segment(element.body, enough);
        }
    }
    Err(ProbeError::Malformed("no segment"))
}

type Enough = fn(&Segment) -> bool;

struct Element {
    id: u32,
    body: Range<u64>,
    /// Whether it only says where it begins, as live streams do.
    is_open: bool,
}

struct Walk<'a, R> {
    reader: &'a mut R,
    len: u64,
    length: Length,
    seen: u32,
}

impl<R: Read + Seek> Walk<'_, R> {
    /// The element at the start of `rest`, which then starts behind it. One
    /// of unknown size, as live streams have, goes to the end of `rest`. Where a
    /// promised length vouches for the file, what does not end does not matter.
    fn next(&mut self, rest: &mut Range<u64>) -> Result<Option<Element>> {
        let left = rest.end.saturating_sub(rest.start);
        if left == 0 {
            return Ok(None);
        }
        self.seen += 1;
        if self.seen > MAX_ELEMENTS {
            return Err(ProbeError::Malformed("too many elements"));
        }
        let head = read_up_to(self.reader, rest.start, left.min(16))?;
        let too_short = if rest.end == self.len { ProbeError::Truncated } else { ProbeError::Malformed("an element") };
        let vouched = self.length == Length::Promised;
        let Some((id, size, head_len)) = element_head(&head) else {
            return match head.len() {
                _ if vouched => Ok(None),
                0..16 => Err(too_short),
                _ => Err(ProbeError::Malformed("an element")),
            };
        };
        let start = rest.start + head_len;
        let end = size.map_or(rest.end, |size| start.saturating_add(size));
        if end > rest.end && !vouched {
            return Err(too_short);
        }
        let end = end.min(rest.end);
        rest.start = end;
        Ok(Some(Element { id, body: start..end, is_open: size.is_none() }))
    }

    fn segment(&mut self, body: Range<u64>, enough: Enough) -> Result<Segment> {
        let mut segment = Segment::new(body.start);
        let mut rest = body;
        let (mut first, mut last) = (true, None);
        while let Some(element) = self.next(&mut rest)? {
            match element.id {
                SEEK_HEAD => self.seek_head(element.body, &mut segment)?,
                CLUSTER => {
                    if first {
                        self.late_parts(rest.end, &mut segment)?;
                    }
                    if enough(&segment) {
                        return Ok(segment);
                    }
                    if element.is_open {
                        rest.start = element.body.start;
                    } else if first {
                        self.cluster(element.body.clone(), &mut segment, |segment| segment.first_block.is_some())?;
                    }
                    first = false;
                    last = Some(element.body).filter(|_| !element.is_open);
                }
                _ => self.part(element, &mut segment)?,
            }
        }
        if let Some(last) = last.filter(|_| !enough(&segment)) {
            self.cluster(last, &mut segment, |_| false)?;
        }
        Ok(segment)
    }

    /// A cluster's blocks, until it is `enough`.
    fn cluster(&mut self, body: Range<u64>, segment: &mut Segment, enough: Enough) -> Result<()> {
        let mut rest = body;
        while let Some(element) = self.next(&mut rest)? {
            self.part(element, segment)?;
            if enough(segment) {
                break;
            }
        }
        Ok(())
    }

    /// Anything but a cluster: clusters of unknown size are walked as if their
    /// parts were the segment's, which share no id with them.
    fn part(&mut self, element: Element, segment: &mut Segment) -> Result<()> {
        match element.id {
            INFO => self.info(element.body, segment),
            TRACKS if segment.tracks.is_empty() => self.tracks(element.body, segment),
            TIMESTAMP => {
                segment.cluster = self.unsigned(&element)?;
                Ok(())
            }
            SIMPLE_BLOCK | BLOCK => {
                let head = read_up_to(self.reader, element.body.start, 11)?;
                segment.block(&head);
                Ok(())
            }
            BLOCK_GROUP => {
                let mut rest = element.body;
                match self.next(&mut rest)? {
                    Some(block) if block.id == BLOCK => self.part(block, segment),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn seek_head(&mut self, body: Range<u64>, segment: &mut Segment) -> Result<()> {
        const MAX_SEEKS: usize = 64;
        let mut rest = body;
        while let Some(element) = self.next(&mut rest)? {
            if element.id != SEEK || segment.seeks.len() == MAX_SEEKS {
                continue;
            }
            let (mut id, mut position, mut parts) = (0, 0, element.body);
            while let Some(part) = self.next(&mut parts)? {
                match part.id {
                    SEEK_ID => id = self.unsigned(&part)?,
                    SEEK_POSITION => position = self.unsigned(&part)?,
                    _ => {}
                }
            }
            segment.seeks.push((u32::try_from(id).unwrap_or(0), segment.start.saturating_add(position)));
        }
        Ok(())
    }

    /// What stands behind the clusters, where the segment says so.
    fn late_parts(&mut self, end: u64, segment: &mut Segment) -> Result<()> {
        let seeks = std::mem::take(&mut segment.seeks);
        for (id, at) in seeks {
            let is_missing = match id {
                INFO => !segment.has_info,
                TRACKS => segment.tracks.is_empty(),
                _ => false,
            };
            let mut rest = at..end;
            // A place that leads nowhere is nothing to go by.
            if is_missing
                && at < end
                && let Ok(Some(element)) = self.next(&mut rest)
                && element.id == id
            {
                self.part(element, segment)?;
            }
        }
        Ok(())
    }

    fn info(&mut self, body: Range<u64>, segment: &mut Segment) -> Result<()> {
        segment.has_info = true;
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
        read_up_to(self.reader, element.body.start, len.min(MAX_VALUE))
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
