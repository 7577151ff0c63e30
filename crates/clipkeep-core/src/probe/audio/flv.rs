//! FLV: its metadata, or the last tag's time where there is none.

use std::io::{Read, Seek};

use super::{AudioFacts, part};
use crate::probe::{Result, read_up_to, seconds};

/// How much metadata is looked at, and how many tags at the start.
const MAX_METADATA: u64 = 256 * 1024;
const FIRST_TAGS: u32 = 32;

const SOUND: u8 = 8;
const PICTURE: u8 = 9;
const SCRIPT: u8 = 18;

/// A tag's type, length and time in milliseconds.
fn tag(head: &[u8]) -> Option<(u8, u64, u32)> {
    let &[kind, a, b, c, x, y, z, high, ..] = head else { return None };
    Some((kind & 0x1f, u64::from(u32::from_be_bytes([0, a, b, c])), u32::from_be_bytes([high, x, y, z])))
}

pub(super) fn probe<R: Read + Seek>(reader: &mut R, len: u64) -> Result<AudioFacts> {
    let header = read_up_to(reader, 0, 9)?;
    let mut at = part(&header, 5).map_or(9, |bytes| u64::from(u32::from_be_bytes(bytes))) + 4;
    let mut found = AudioFacts::default();
    let (mut picture, mut sound) = (None, None);
    for _ in 0..FIRST_TAGS {
        let Some((kind, size, _)) = tag(&read_up_to(reader, at, 11)?) else { break };
        let body = read_up_to(reader, at + 11, size.min(MAX_METADATA))?;
        match kind {
            SCRIPT if found == AudioFacts::default() => found = metadata(&body),
            PICTURE => picture = picture.or_else(|| picture_codec(&body)),
            SOUND => sound = sound.or_else(|| sound_codec(&body)),
            _ => {}
        }
        at += 11 + size + 4;
    }
    found.codec = picture.or(sound);
    if found.duration.is_none() {
        found.duration = last_time(reader, len)?;
    }
    Ok(found)
}

/// The numbers that `onMetaData` has under these names.
fn metadata(body: &[u8]) -> AudioFacts {
    let number = |name: &str| {
        // A name with its length, the mark of a number, the number.
        let named = [&(name.len() as u16).to_be_bytes(), name.as_bytes(), &[0]].concat();
        let at = body.windows(named.len()).position(|bytes| bytes == named)?;
        part(body, at + named.len()).map(f64::from_be_bytes).filter(|number| *number > 0.0)
    };
    let side = |name| number(name).filter(|side| *side < 65536.0).map(|side| side as u32);
    AudioFacts {
        duration: number("duration").and_then(|duration| seconds(duration, 1.0)),
        size: side("width").zip(side("height")),
        fps: number("framerate").filter(|fps| *fps < 1000.0),
        codec: None,
    }
}

fn picture_codec(body: &[u8]) -> Option<String> {
    Some(match *body {
        [kind, 0, _, _, _, _, profile, flags, level, ..] if kind & 0xf == 7 => {
            format!("avc1.{profile:02x}{flags:02x}{level:02x}")
        }
        [kind, ..] => match kind & 0xf {
            2 => "flv1",
            3 => "flashsv",
            4 => "vp6f",
            5 => "vp6a",
            _ => return None,
        }
        .to_owned(),
        [] => return None,
    })
}

fn sound_codec(body: &[u8]) -> Option<String> {
    let known = match body.first()? >> 4 {
        2 | 14 => "mp3",
        10 => "mp4a.40.2",
        11 => "speex",
        1 => "adpcm_swf",
        0 | 3 => "pcm_s16le",
        _ => return None,
    };
    Some(known.to_owned())
}

/// The time of the last tag, which the file's last four bytes lead to.
fn last_time<R: Read + Seek>(reader: &mut R, len: u64) -> Result<Option<f64>> {
    let Some(end) = len.checked_sub(4) else { return Ok(None) };
    let size = part(&read_up_to(reader, end, 4)?, 0).map_or(0, u32::from_be_bytes);
    let Some(start) = end.checked_sub(size.into()).filter(|_| size > 11) else { return Ok(None) };
    let last = tag(&read_up_to(reader, start, 11)?);
    Ok(last.and_then(|(_, _, millis)| seconds(millis.into(), 1000.0)))
}
