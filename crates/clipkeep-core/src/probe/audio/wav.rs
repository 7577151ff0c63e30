//! WAVE, with 32-bit sizes or those of RF64 and BW64.

use std::io::{Read, Seek};

use super::{AudioFacts, Chunks, Order, part};
use crate::probe::{Result, read_up_to, seconds};

/// How sound is stored.
struct Format {
    tag: u16,
    channels: u16,
    rate: u32,
    byte_rate: u32,
    bits: u16,
}

impl Format {
    fn of(bytes: &[u8], order: Order) -> Option<Self> {
        const EXTENSIBLE: u16 = 0xfffe;
        let u16 =
            |at| part(bytes, at).map(if order == Order::Little { u16::from_le_bytes } else { u16::from_be_bytes });
        let u32 = |at| part(bytes, at).map(|bytes| order.u32(bytes));
        let tag = u16(0)?;
        // The extensible form has the tag at the start of a GUID.
        let tag = if tag == EXTENSIBLE { u16(24).unwrap_or(tag) } else { tag };
        Some(Self { tag, channels: u16(2)?, rate: u32(4)?, byte_rate: u32(8)?, bits: u16(14).unwrap_or(0) })
    }

    const fn is_plain(&self) -> bool {
        matches!(self.tag, 1 | 3)
    }

    /// Plain samples say it themselves; of others the header does.
    fn bytes_per_second(&self) -> f64 {
        let plain = f64::from(self.rate) * f64::from(self.channels) * f64::from(self.bits.div_ceil(8));
        if self.is_plain() && plain > 0.0 { plain } else { self.byte_rate.into() }
    }

    fn codec(&self) -> Option<&'static str> {
        Some(match (self.tag, self.bits) {
            (1, 8) => "pcm_u8",
            (1, 16) => "pcm_s16le",
            (1, 24) => "pcm_s24le",
            (1, 32) => "pcm_s32le",
            (3, 32) => "pcm_f32le",
            (3, 64) => "pcm_f64le",
            (2, _) => "adpcm_ms",
            (6, _) => "pcm_alaw",
            (7, _) => "pcm_mulaw",
            (0x11, _) => "adpcm_ima_wav",
            (0x50, _) => "mp2",
            (0x55, _) => "mp3",
            _ => return None,
        })
    }
}

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    let head = read_up_to(reader, 0, 4)?;
    let order = if head == b"RIFX" { Order::Big } else { Order::Little };
    let mut chunks = Chunks::new(reader, 12..len, order);
    let (mut format, mut samples, mut long_size, mut long_samples) = (None, None, None, None);
    while let Some(chunk) = chunks.next()? {
        match &chunk.name {
            b"fmt " => format = Format::of(&chunks.bytes(&chunk, 64)?, order),
            b"fact" => samples = part(&chunks.bytes(&chunk, 4)?, 0).map(|bytes| order.u32(bytes)),
            b"ds64" => {
                let sizes = chunks.bytes(&chunk, 24)?;
                long_size = part(&sizes, 8).map(u64::from_le_bytes);
                long_samples = part(&sizes, 16).map(u64::from_le_bytes);
            }
            b"data" => {
                let Some(format) = &format else { break };
                let to_end = len.saturating_sub(chunk.body.start);
                // A stream's size is not known while it is written.
                let size = match chunk.size {
                    0 | u32::MAX => long_size.filter(|size| *size > 0).unwrap_or(to_end),
                    size => size.into(),
                };
                // All ones say that the long form has the number.
                let samples = samples.filter(|count| *count < u32::MAX).map(u64::from).or(long_samples);
                return Ok(facts(format, size.min(to_end), samples));
            }
            _ => {}
        }
    }
    Ok(AudioFacts::default())
}

/// Samples are counted where the bytes do not tell.
fn facts(format: &Format, size: u64, samples: Option<u64>) -> AudioFacts {
    let counted = samples.filter(|count| *count > 0 && !format.is_plain());
    let duration = counted.and_then(|count| seconds(count as f64, format.rate.into()));
    let duration = duration.or_else(|| seconds(size as f64, format.bytes_per_second()));
    AudioFacts { duration, codec: format.codec().map(str::to_owned), ..AudioFacts::default() }
}
