//! AVI: the streams' headers, or the chunks themselves where the headers were
//! written before anything was counted.

use std::io::{Read, Seek};

use super::{AudioFacts, Chunks, Order, part};
use crate::probe::{Result, seconds};

const MAX_STREAMS: usize = 16;

/// One stream: what its header says, and what was counted.
struct Stream {
    is_picture: bool,
    scale: u32,
    rate: u32,
    length: u32,
    /// Bytes per sample, of sound.
    sample_size: u32,
    codec: Option<String>,
    size: Option<(u32, u32)>,
    chunks: u64,
    bytes: u64,
}

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    let mut streams: Vec<Stream> = Vec::new();
    let mut chunks = Chunks::new(reader, 12..len, Order::Little);
    while let Some(chunk) = chunks.next()? {
        match &chunk.name {
            b"LIST" => match chunks.bytes(&chunk, 4)?.as_slice() {
                b"hdrl" | b"strl" | b"rec " => chunks.enter(chunk.body.start + 4),
                b"movi" if streams.iter().any(|stream| stream.length == 0) => chunks.enter(chunk.body.start + 4),
                _ => {}
            },
            b"strh" if streams.len() < MAX_STREAMS => streams.extend(Stream::of(&chunks.bytes(&chunk, 56)?)),
            b"strf" => {
                if let Some(stream) = streams.last_mut() {
                    stream.format(&chunks.bytes(&chunk, 40)?);
                }
            }
            // `00dc`: a chunk of stream 0.
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', _, _] => {
                let nth = usize::from(tens - b'0') * 10 + usize::from(ones - b'0');
                if let Some(stream) = streams.get_mut(nth) {
                    stream.chunks += 1;
                    stream.bytes += chunk.body.end - chunk.body.start;
                }
            }
            _ => {}
        }
    }
    Ok(facts(&streams))
}

impl Stream {
    fn of(header: &[u8]) -> Option<Self> {
        let u32 = |at| part(header, at).map(u32::from_le_bytes);
        Some(Self {
            is_picture: header.starts_with(b"vids"),
            scale: u32(20)?,
            rate: u32(24)?,
            // A stream's writer does not know it, and says so by all ones.
            length: u32(32).filter(|length| *length < u32::MAX).unwrap_or(0),
            sample_size: u32(44).unwrap_or(0),
            codec: None,
            size: None,
            chunks: 0,
            bytes: 0,
        })
    }

    fn format(&mut self, format: &[u8]) {
        if !self.is_picture {
            let tag = part(format, 0).map(u16::from_le_bytes);
            self.codec = tag.and_then(sound).map(str::to_owned);
            return;
        }
        let side = |at| part(format, at).map(|bytes| i32::from_le_bytes(bytes).unsigned_abs());
        self.size = side(4).zip(side(8));
        let name = part::<4>(format, 16).map(|name| name.map(|byte| byte.to_ascii_lowercase()));
        self.codec = name.and_then(|name| picture(&name));
    }

    fn duration(&self) -> Option<f64> {
        let counted = self.bytes.checked_div(self.sample_size.into()).unwrap_or(self.chunks);
        let length = if self.length > 0 { u64::from(self.length) } else { counted };
        seconds(length as f64 * f64::from(self.scale), self.rate.into())
    }
}

fn facts(streams: &[Stream]) -> AudioFacts {
    let picture = streams.iter().find(|stream| stream.is_picture);
    let Some(main) = picture.or(streams.first()) else { return AudioFacts::default() };
    AudioFacts {
        duration: streams.iter().filter_map(Stream::duration).reduce(f64::max),
        codec: main.codec.clone(),
        size: main.size,
        fps: picture.and_then(|stream| seconds(stream.rate.into(), stream.scale.into())),
    }
}

fn picture(name: &[u8; 4]) -> Option<String> {
    let known = match name {
        b"h264" | b"avc1" | b"x264" => "avc1",
        b"xvid" | b"divx" | b"dx50" | b"fmp4" | b"mp4v" => "mp4v",
        b"mjpg" => "mjpeg",
        b"hevc" | b"hev1" | b"hvc1" => "hvc1",
        b"vp80" => "vp8",
        b"vp90" => "vp9",
        b"av01" => "av01",
        [0, 0, 0, 0] => "rawvideo",
        name => std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|b| b.is_ascii_graphic()))?,
    };
    Some(known.to_owned())
}

const fn sound(tag: u16) -> Option<&'static str> {
    Some(match tag {
        1 => "pcm_s16le",
        0x50 => "mp2",
        0x55 => "mp3",
        0xff => "mp4a.40.2",
        0x2000 => "ac-3",
        _ => return None,
    })
}
