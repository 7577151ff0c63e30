//! Ogg: Vorbis, Opus, FLAC, Speex and Theora. The pages' positions tell how long
//! each stream plays.

use std::io::{Read, Seek};

use super::{AudioFacts, part};
use crate::probe::{Length, ProbeError, Result, read_up_to, seconds};

/// The most pages that are looked at, and the most streams at a time.
const MAX_PAGES: u32 = 1_000_000;
const MAX_STREAMS: usize = 16;

/// What is longer than a page may be was cut out of a longer stream.
const LATE_START_SECS: f64 = 1.5;

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64, length: Length) -> Result<AudioFacts> {
    let mut file = Links::default();
    let (mut at, mut is_over) = (0, true);
    for _ in 0..MAX_PAGES {
        let head = read_up_to(reader, at, Page::LONGEST_HEAD)?;
        match Page::of(&head) {
            Some(page) => {
                file.add(&page, head.get(page.head_len..).unwrap_or_default());
                at += page.len;
                is_over = page.ends;
            }
            // Whatever its source stopped in, the last page ends a stream, and the file.
            None if at + Page::SHORTEST_HEAD > len && length == Length::Unknown && !(is_over && at == len) => {
                return Err(ProbeError::Truncated);
            }
            None if at + Page::SHORTEST_HEAD > len => break,
            // Players search for the next page, too.
            None => at += next_page(&head).unwrap_or(head.len().max(1) as u64),
        }
    }
    Ok(file.facts())
}

struct Page {
    /// Whether its stream begins with it.
    begins: bool,
    /// Whether its stream ends with it.
    ends: bool,
    /// How many packets end in it.
    packets: u64,
    /// Where its last whole packet ends; none ends in it if negative.
    position: i64,
    stream: u32,
    head_len: usize,
    len: u64,
}

impl Page {
    const SHORTEST_HEAD: u64 = 27;
    /// With all segments, and enough of the first packet.
    const LONGEST_HEAD: u64 = 27 + 255 + 64;

    fn of(head: &[u8]) -> Option<Self> {
        let &[b'O', b'g', b'g', b'S', 0, flags, ..] = head else { return None };
        let count = usize::from(*head.get(26)?);
        let head_len = 27 + count;
        let segments = head.get(27..head_len)?;
        Some(Self {
            begins: flags & 2 != 0,
            ends: flags & 4 != 0,
            packets: segments.iter().filter(|&&len| len < 255).count() as u64,
            position: i64::from_le_bytes(part(head, 6)?),
            stream: u32::from_le_bytes(part(head, 14)?),
            head_len,
            len: head_len as u64 + segments.iter().map(|&len| u64::from(len)).sum::<u64>(),
        })
    }
}

fn next_page(bytes: &[u8]) -> Option<u64> {
    let at = bytes.get(1..)?.windows(4).position(|mark| mark == b"OggS")?;
    Some(at as u64 + 1)
}

/// What one codec's positions mean.
struct Stream {
    id: u32,
    codec: &'static str,
    /// Positions per second.
    rate: f64,
    /// Samples at the start that are not played.
    skipped: f64,
    /// Theora counts frames since the last key frame apart, in so many bits.
    shift: u32,
    size: Option<(u32, u32)>,
    /// Where the first page with sound or pictures ends, and how many packets
    /// stand in it and in those behind it.
    first: Option<f64>,
    packets: (u64, u64),
    last: f64,
}

impl Stream {
    fn of(id: u32, packet: &[u8]) -> Option<Self> {
        let u32 = |at| part(packet, at).map(u32::from_le_bytes);
        let sound = |codec, rate: u32| {
            let rate = rate.into();
            Some(Self { id, codec, rate, skipped: 0.0, shift: 0, size: None, first: None, packets: (0, 0), last: 0.0 })
        };
        match packet {
            [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', ..] => {
                let skipped = u16::from_le_bytes(part(packet, 10)?).into();
                sound("opus", 48_000).map(|stream| Self { skipped, ..stream })
            }
            [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => sound("vorbis", u32(12)?),
            [b'S', b'p', b'e', b'e', b'x', b' ', ..] => sound("speex", u32(36)?),
            [0x7f, b'F', b'L', b'A', b'C', ..] => sound("flac", u32::from_be_bytes(part(packet, 27)?) >> 12),
            [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => Self::theora(id, packet),
            _ => None,
        }
    }

    fn theora(id: u32, packet: &[u8]) -> Option<Self> {
        let u24 = |at| part::<3>(packet, at).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]));
        let (over, under) = (u32::from_be_bytes(part(packet, 22)?), u32::from_be_bytes(part(packet, 26)?));
        let shift = u32::from(u16::from_be_bytes(part(packet, 40)?) >> 5 & 0x1f);
        Some(Self {
            id,
            codec: "theora",
            rate: seconds(over.into(), under.into())?,
            skipped: 0.0,
            shift,
            size: Some((u24(14)?, u24(17)?)),
            first: None,
            packets: (0, 0),
            last: 0.0,
        })
    }

    fn reach(&mut self, position: i64, packets: u64) {
        let Ok(position) = u64::try_from(position) else { return };
        let frames = (position >> self.shift) + (position & ((1 << self.shift) - 1));
        let at = (frames as f64 - self.skipped) / self.rate;
        if at.is_finite() && at > 0.0 {
            let (first, rest) = self.packets;
            self.packets = if self.first.is_none() { (packets, 0) } else { (first, rest + packets) };
            self.first.get_or_insert(at);
            self.last = self.last.max(at);
        }
    }

    /// A stream that was cut out of a longer one begins where its first page does:
    /// its packets play as long as those behind them.
    fn played(&self) -> f64 {
        let Some(first) = self.first.filter(|first| *first > LATE_START_SECS) else { return self.last };
        let (count, rest) = self.packets;
        let behind = self.last - first;
        behind + seconds(behind * count as f64, rest as f64).unwrap_or(0.0).min(first)
    }
}

/// Streams that play together, and what played before them.
#[derive(Default)]
struct Links {
    streams: Vec<Stream>,
    /// Whether the streams' beginnings are over: the next one is a link further.
    has_data: bool,
    before: f64,
    main: Option<AudioFacts>,
}

impl Links {
    fn add(&mut self, page: &Page, packet: &[u8]) {
        if page.begins {
            if self.has_data {
                self.end_link();
            }
            let room = self.streams.len() < MAX_STREAMS;
            self.streams.extend(Stream::of(page.stream, packet).filter(|_| room));
            return;
        }
        self.has_data = true;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == page.stream) {
            stream.reach(page.position, page.packets);
        }
    }

    fn end_link(&mut self) {
        self.before += self.streams.iter().map(Stream::played).fold(0.0, f64::max);
        let picture = self.streams.iter().find(|stream| stream.size.is_some());
        if let Some(main) = picture.or(self.streams.first()) {
            self.main.get_or_insert(AudioFacts {
                size: main.size,
                fps: main.size.map(|_| main.rate),
                ..AudioFacts::sound(None, main.codec)
            });
        }
        self.streams.clear();
        self.has_data = false;
    }

    fn facts(mut self) -> AudioFacts {
        self.end_link();
        AudioFacts { duration: seconds(self.before, 1.0), ..self.main.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A page of Opus with so many packets.
    fn page(flags: u8, granule: u64, packets: usize, packet: &[u8]) -> Vec<u8> {
        let head = [&[b'O', b'g', b'g', b'S', 0, flags][..], &granule.to_le_bytes(), &[0; 12]].concat();
        let sizes = vec![packet.len() as u8; packets];
        [head, vec![packets as u8], sizes, packet.repeat(packets)].concat()
    }

    #[test]
    fn d16_what_was_cut_out_of_a_longer_stream_plays_from_its_own_beginning() {
        let head = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0";
        for start in [0, 100 * 48_000] {
            let mut file = page(2, 0, 1, head);
            for second in 1..=10 {
                file.extend(page(if second == 10 { 4 } else { 0 }, start + second * 48_000, 50, &[1; 40]));
            }
            let told = probe(&mut Cursor::new(&file), file.len() as u64, Length::Unknown).unwrap();
            assert!((told.duration.unwrap() - 10.0).abs() < 0.01, "{start} {told:?}");
        }
    }
}
