//! FLAC: how many samples there are, from its header, else from its last frame.

use std::io::{Read, Seek};

use super::{AudioFacts, part};
use crate::{
    probe::{Result, read_up_to, seconds},
    sniff::tags_end,
};

/// Longer than any frame that encoders make.
const TAIL: u64 = 256 * 1024;

struct StreamInfo {
    block: u16,
    rate: u32,
    samples: u64,
}

impl StreamInfo {
    /// The sample rate in 20 bits, channels and depth in 8, the samples in 36.
    fn of(head: &[u8]) -> Option<Self> {
        let head = head.strip_prefix(b"fLaC")?;
        let packed = u64::from_be_bytes(part(head, 14)?);
        let rate = u32::try_from(packed >> 44).ok()?;
        Some(Self { block: u16::from_be_bytes(part(head, 6)?), rate, samples: packed & ((1 << 36) - 1) })
    }
}

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    let start = tags_end(len, |at, n| read_up_to(reader, at, n))?;
    let Some(info) = StreamInfo::of(&read_up_to(reader, start, 64)?) else { return Ok(AudioFacts::default()) };
    let samples = if info.samples > 0 {
        info.samples
    } else {
        let tail = read_up_to(reader, len.saturating_sub(TAIL).max(start), TAIL)?;
        last_sample(&tail, info.block).unwrap_or(0)
    };
    Ok(AudioFacts::sound(seconds(samples as f64, info.rate.into()), "flac"))
}

/// Where the last frame in `tail` ends, in samples.
fn last_sample(tail: &[u8], block: u16) -> Option<u64> {
    let is_sync = |at: &usize| tail[*at] == 0xff && tail.get(at + 1).is_some_and(|next| next & 0xfe == 0xf8);
    (0..tail.len()).rev().filter(is_sync).find_map(|at| frame_end(&tail[at..], block))
}

/// The end of the frame whose header `head` starts with, RFC 9639, 9.1. Eight
/// bits of checksum prove the header.
fn frame_end(head: &[u8], block: u16) -> Option<u64> {
    let &[_, second, third, _, first, ..] = head else { return None };
    let more = match first.leading_ones() {
        0 => 0,
        ones @ 2..=7 => ones as usize - 1,
        _ => return None,
    };
    let mut number = if more == 0 { u64::from(first) } else { u64::from(first) & (0x7f >> (more + 1)) };
    for byte in head.get(5..5 + more)? {
        number = number << 6 | u64::from(byte & 0x3f);
    }
    let at = 5 + more;
    let (samples, extra) = match third >> 4 {
        1 => (192, 0),
        n @ 2..=5 => (576 << (n - 2), 0),
        6 => (u64::from(*head.get(at)?) + 1, 1),
        7 => (u64::from(u16::from_be_bytes(part(head, at)?)) + 1, 2),
        n @ 8.. => (256 << (n - 8), 0),
        0 => return None,
    };
    let rate_extra = match third & 0xf {
        12 => 1,
        13 | 14 => 2,
        15 => return None,
        _ => 0,
    };
    let end = at + extra + rate_extra;
    if crc8(head.get(..end)?) != *head.get(end)? {
        return None;
    }
    let start = if second & 1 == 1 { number } else { number * u64::from(block) };
    Some(start + samples)
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 7 })
    })
}
