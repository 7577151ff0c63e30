//! AIFF and AIFF-C, Apple's Core Audio Format, and Sun's AU.

use std::io::{Read, Seek};

use super::{AudioFacts, Chunks, Order, part};
use crate::probe::{Result, read_up_to, seconds};

pub(super) fn aiff<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    let mut chunks = Chunks::new(reader, 12..len, Order::Big);
    let (mut common, mut data) = (None, 0);
    while let Some(chunk) = chunks.next()? {
        match &chunk.name {
            b"COMM" => common = Common::of(&chunks.bytes(&chunk, 64)?),
            b"SSND" => data = (chunk.body.end - chunk.body.start).saturating_sub(8),
            _ => {}
        }
    }
    Ok(common.map_or_else(AudioFacts::default, |common| common.facts(data)))
}

/// AIFF's `COMM`.
struct Common {
    channels: u16,
    frames: u32,
    bits: u16,
    rate: f64,
    /// AIFF has none: it is plain.
    compression: [u8; 4],
}

impl Common {
    fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            channels: u16::from_be_bytes(part(bytes, 0)?),
            frames: u32::from_be_bytes(part(bytes, 2)?),
            bits: u16::from_be_bytes(part(bytes, 6)?),
            rate: extended(part(bytes, 8)?),
            compression: part(bytes, 18).unwrap_or(*b"NONE"),
        })
    }

    fn facts(&self, data: u64) -> AudioFacts {
        let (codec, samples_per_frame) = match (&self.compression, self.bits) {
            (b"NONE" | b"twos", 8) => (Some("pcm_s8"), 1.0),
            (b"NONE" | b"twos", 16) => (Some("pcm_s16be"), 1.0),
            (b"NONE", 24) => (Some("pcm_s24be"), 1.0),
            (b"NONE", 32) => (Some("pcm_s32be"), 1.0),
            (b"sowt", _) => (Some("pcm_s16le"), 1.0),
            (b"fl32" | b"FL32", _) => (Some("pcm_f32be"), 1.0),
            (b"fl64" | b"FL64", _) => (Some("pcm_f64be"), 1.0),
            (b"ulaw" | b"ULAW", _) => (Some("pcm_mulaw"), 1.0),
            (b"alaw" | b"ALAW", _) => (Some("pcm_alaw"), 1.0),
            (b"ima4", _) => (Some("adpcm_ima_qt"), 64.0),
            _ => (None, 1.0),
        };
        let per_frame = f64::from(self.channels) * f64::from(self.bits.div_ceil(8));
        // A stream's frames are not counted yet when its header is written.
        let counted = if self.frames > 0 { f64::from(self.frames) } else { data as f64 / per_frame };
        let duration = seconds(counted * samples_per_frame, self.rate);
        AudioFacts { duration, codec: codec.map(str::to_owned), ..AudioFacts::default() }
    }
}

/// An 80-bit float: a sign, 15 bits of exponent, 64 of mantissa.
fn extended(bytes: [u8; 10]) -> f64 {
    let [a, b, mantissa @ ..] = bytes;
    let exponent = i32::from(u16::from_be_bytes([a & 0x7f, b])) - 16383 - 63;
    u64::from_be_bytes(mantissa) as f64 * 2f64.powi(exponent)
}

pub(super) fn caf<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    const MOST: u32 = 4096;
    let (mut at, mut description, mut frames, mut data) = (8, None, None, 0);
    for _ in 0..MOST {
        let head = read_up_to(reader, at, 12)?;
        let (Some(name), Some(size)) = (part::<4>(&head, 0), part(&head, 4).map(i64::from_be_bytes)) else { break };
        let body = at + 12;
        // -1 is «to the end».
        let end = u64::try_from(size).map_or(len, |size| body.saturating_add(size));
        match &name {
            b"desc" => description = Some(read_up_to(reader, body, 32)?),
            b"pakt" => frames = part(&read_up_to(reader, body, 24)?, 8).map(i64::from_be_bytes),
            b"data" => data = end.min(len).saturating_sub(body + 4),
            _ => {}
        }
        at = end;
    }
    Ok(description.and_then(|bytes| described(&bytes, frames, data)).unwrap_or_default())
}

fn described(description: &[u8], frames: Option<i64>, data: u64) -> Option<AudioFacts> {
    let rate = f64::from_be_bytes(part(description, 0)?);
    let codec = match &part::<4>(description, 8)? {
        b"lpcm" => pcm(description)?,
        b"aac " => "mp4a.40.2",
        b"alac" => "alac",
        b"opus" => "opus",
        b"ima4" => "adpcm_ima_qt",
        b"ulaw" => "pcm_mulaw",
        b"alaw" => "pcm_alaw",
        b".mp3" => "mp3",
        b"ac-3" => "ac-3",
        b"flac" => "flac",
        _ => return None,
    };
    let u32 = |at| part(description, at).map(u32::from_be_bytes).map(f64::from);
    let (bytes_per_packet, frames_per_packet) = (u32(16)?, u32(20)?);
    let counted = frames.filter(|frames| *frames > 0).and_then(|frames| seconds(frames as f64, rate));
    let duration = counted.or_else(|| seconds(data as f64 / bytes_per_packet * frames_per_packet, rate));
    Some(AudioFacts::sound(duration, codec))
}

/// The name of plain samples: float or not, little-endian or not, how deep.
fn pcm(description: &[u8]) -> Option<&'static str> {
    let flags = u32::from_be_bytes(part(description, 12)?);
    let bits = u32::from_be_bytes(part(description, 28)?);
    Some(match (flags & 1 != 0, flags & 2 != 0, bits) {
        (_, _, 8) => "pcm_s8",
        (false, true, 16) => "pcm_s16le",
        (false, false, 16) => "pcm_s16be",
        (false, true, 24) => "pcm_s24le",
        (false, false, 24) => "pcm_s24be",
        (false, true, _) => "pcm_s32le",
        (false, false, _) => "pcm_s32be",
        (true, true, 64) => "pcm_f64le",
        (true, false, 64) => "pcm_f64be",
        (true, true, _) => "pcm_f32le",
        (true, false, _) => "pcm_f32be",
    })
}

/// AU; without its header nothing is known but that it is sound.
pub(super) fn au<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    let head = read_up_to(reader, 0, 24)?;
    Ok(au_header(&head, len).unwrap_or_default())
}

fn au_header(head: &[u8], len: u64) -> Option<AudioFacts> {
    let head = head.strip_prefix(b".snd")?;
    let u32 = |at| part(head, at).map(u32::from_be_bytes);
    let (start, size, rate, channels) = (u32(0)?, u32(4)?, u32(12)?, u32(16)?);
    let (codec, bytes) = match u32(8)? {
        1 => ("pcm_mulaw", 1),
        2 => ("pcm_s8", 1),
        3 => ("pcm_s16be", 2),
        4 => ("pcm_s24be", 3),
        5 => ("pcm_s32be", 4),
        6 => ("pcm_f32be", 4),
        7 => ("pcm_f64be", 8),
        27 => ("pcm_alaw", 1),
        _ => return None,
    };
    let to_end = len.saturating_sub(start.into());
    let size = if matches!(size, 0 | u32::MAX) { to_end } else { to_end.min(size.into()) };
    let per_second = f64::from(rate) * f64::from(channels) * f64::from(bytes);
    Some(AudioFacts::sound(seconds(size as f64, per_second), codec))
}
