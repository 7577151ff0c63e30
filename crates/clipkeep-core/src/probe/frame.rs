//! The frames of MPEG audio, AAC (ADTS), AC-3 and E-AC-3 without a container,
//! and the packets of an MPEG transport stream: found by their sync words.

use crate::media_type::MediaType;

/// A frame of sound, as its header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) codec: Codec,
    /// Bytes, header included.
    pub(crate) len: usize,
    pub(crate) samples: u32,
    /// Samples per second.
    pub(crate) rate: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Mp2,
    Mp3,
    Aac,
    Ac3,
    Eac3,
}

impl Codec {
    /// The RFC 6381 string.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mp2 => "mp2",
            Self::Mp3 => "mp3",
            Self::Aac => "mp4a.40.2",
            Self::Ac3 => "ac-3",
            Self::Eac3 => "ec-3",
        }
    }

    fn media(self) -> &'static MediaType {
        MediaType::known(match self {
            Self::Mp2 | Self::Mp3 => "audio/mpeg",
            Self::Aac => "audio/aac",
            Self::Ac3 => "audio/ac3",
            Self::Eac3 => "audio/eac3",
        })
    }
}

impl Frame {
    /// How many bytes of a frame tell all that is here.
    pub(crate) const HEAD: usize = 8;

    /// The frame at the start of `bytes`. Eleven set bits are little evidence, so
    /// the rest of the header must make sense too.
    pub(crate) fn at(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x0b, 0x77, ..] => dolby(bytes),
            [0xff, second, ..] if second & 0xf6 == 0xf0 => adts(bytes),
            [0xff, second, ..] if second & 0xe0 == 0xe0 => mpeg(bytes),
            _ => None,
        }
    }

    /// Whether the two are of one stream.
    pub(crate) fn continues(&self, next: &Self) -> bool {
        (self.codec, self.rate) == (next.codec, next.rate)
    }
}

/// What begins somewhere in `bytes`: frames one behind another, or packets.
/// `is_end` says that the file ends with them.
pub(crate) fn search(bytes: &[u8], is_end: bool) -> Option<&'static MediaType> {
    if is_transport(bytes) {
        return Some(MediaType::known("video/mp2t"));
    }
    let found = (0..bytes.len()).find_map(|at| starts(bytes, at, is_end));
    found.map(|frame| frame.codec.media())
}

/// The frame at `at`, if enough others of its stream follow: one where the file
/// begins so, as many as players ask for where junk comes first.
fn starts(bytes: &[u8], at: usize, is_end: bool) -> Option<Frame> {
    const ENOUGH: u32 = 4;
    let first = Frame::at(&bytes[at..])?;
    let (mut end, mut count) = (at + first.len, 1);
    while count < ENOUGH {
        let rest = bytes.get(end..).unwrap_or_default();
        if rest.len() < Frame::HEAD {
            break;
        }
        match Frame::at(rest) {
            Some(next) if first.continues(&next) => end += next.len,
            // A tag may stand behind the last frame.
            _ if is_end && at == 0 && (rest.starts_with(b"TAG") || rest.starts_with(b"APETAGEX")) => break,
            _ => return (at == 0 && count > 1).then_some(first),
        }
        count += 1;
    }
    (count >= ENOUGH || at == 0 || (is_end && count > 1)).then_some(first)
}

/// Packets of 188 bytes; with a timestamp in front 192, with a checksum behind 204.
fn is_transport(bytes: &[u8]) -> bool {
    const ENOUGH: usize = 5;
    [188, 192, 204].into_iter().any(|len| {
        (0..len).any(|at| {
            let mut starts = bytes.iter().skip(at).step_by(len).take(ENOUGH);
            let packets = bytes.len().saturating_sub(at) / len;
            packets >= 2 && starts.all(|byte| *byte == 0x47)
        })
    })
}

/// Layers II and III of MPEG-1, MPEG-2 and MPEG-2.5.
fn mpeg(head: &[u8]) -> Option<Frame> {
    const LAYER_2: [u32; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
    const LAYER_3: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const LOW: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let &[_, second, third, _] = head.first_chunk()?;
    // How often the sampling rates of MPEG-1 are halved.
    let halvings = match second >> 3 & 3 {
        3 => 0,
        2 => 1,
        0 => 2,
        _ => return None,
    };
    let codec = match second >> 1 & 3 {
        1 => Codec::Mp3,
        2 => Codec::Mp2,
        _ => return None,
    };
    let rates = match (halvings, codec) {
        (0, Codec::Mp2) => LAYER_2,
        (0, _) => LAYER_3,
        _ => LOW,
    };
    let kilobits = *rates.get(usize::from(third >> 4).checked_sub(1)?)?;
    let rate = *[44_100u32, 48_000, 32_000].get(usize::from(third >> 2 & 3))? >> halvings;
    let samples = if codec == Codec::Mp3 && halvings > 0 { 576 } else { 1152 };
    let padding = u32::from(third >> 1 & 1);
    let len = samples / 8 * kilobits * 1000 / rate + padding;
    Some(Frame { codec, len: len as usize, samples, rate })
}

/// AAC in ADTS, ISO/IEC 14496-3, 1.A.3.2.
fn adts(head: &[u8]) -> Option<Frame> {
    const RATES: [u32; 13] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
    let &[_, second, third, fourth, fifth, sixth, seventh] = head.first_chunk()?;
    let rate = *RATES.get(usize::from(third >> 2 & 0xf))?;
    let header_len = if second & 1 == 0 { 9 } else { 7 };
    let len = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    let samples = 1024 * (u32::from(seventh & 3) + 1);
    (len > header_len).then_some(Frame { codec: Codec::Aac, len, samples, rate })
}

/// AC-3 and E-AC-3, ETSI TS 102 366.
fn dolby(head: &[u8]) -> Option<Frame> {
    const KILOBITS: [u32; 19] =
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    const BLOCK: u32 = 256;
    let &[_, _, third, fourth, fifth, sixth] = head.first_chunk()?;
    let rate_of = |code: u8| [48_000u32, 44_100, 32_000].get(usize::from(code)).copied();
    match sixth >> 3 {
        0..=8 => {
            let rate = rate_of(fifth >> 6)?;
            let kilobits = *KILOBITS.get(usize::from(fifth >> 1 & 0x1f))?;
            let padding = if rate == 44_100 { u32::from(fifth & 1) } else { 0 };
            let words = kilobits * 96_000 / rate + padding;
            Some(Frame { codec: Codec::Ac3, len: words as usize * 2, samples: 6 * BLOCK, rate })
        }
        11..=16 => {
            let words = (usize::from(third & 7) << 8 | usize::from(fourth)) + 1;
            let (rate, blocks) = match fifth >> 6 {
                3 => (rate_of(fifth >> 4 & 3)? / 2, 6),
                code => (rate_of(code)?, [1, 2, 3, 6][usize::from(fifth >> 4 & 3)]),
            };
            // Other substreams play beside the first one.
            let beside = third >> 6 == 1 || third >> 3 & 7 != 0;
            let samples = if beside { 0 } else { blocks * BLOCK };
            Some(Frame { codec: Codec::Eac3, len: words * 2, samples, rate })
        }
        _ => None,
    }
}
