//! The RFC 6381 codec string of a track, as browsers want it in `codecs="…"`.
//!
//! A sample description nests boxes to no end where a stranger wants it to. It
//! is walked in one loop, and of what tells the codec only the few leading
//! bytes that matter are looked at.

use std::io::{Read, Seek};

use super::{
    Result,
    boxes::{BoxAt, Boxes},
};

/// No configuration tells anything behind this.
const MAX_CONFIG: u64 = 256;

/// What a track's sample description says.
#[derive(Default)]
pub(super) struct Description {
    /// The first entry's string. None only if there is no entry with a
    /// readable name.
    pub(super) codec: Option<String>,
    /// Of pictures: width and height as they are coded.
    pub(super) size: (u32, u32),
}

/// Reads the first entry of an `stsd` box.
pub(super) fn of_description<R: Read + Seek>(boxes: &mut Boxes<'_, R>, stsd: &BoxAt) -> Result<Description> {
    // Version and flags, then the number of entries.
    let mut rest = (stsd.body.start + 8).min(stsd.body.end)..stsd.body.end;
    let Some(entry) = boxes.next(&mut rest)? else { return Ok(Description::default()) };
    let fixed = boxes.bytes(&entry, 28)?;
    let short = |at: usize| fixed.get(at..).and_then(|b| b.first_chunk()).copied().map_or(0, u16::from_be_bytes);
    let size = (short(24).into(), short(26).into());
    let name = entry_name(&entry.name());
    let codec = match &entry.name() {
        b"Opus" => Some("opus".to_owned()),
        b"fLaC" => Some("flac".to_owned()),
        b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"vp08" | b"vp09" | b"av01" => configured(boxes, &entry, 78)?,
        // QuickTime's versions of it have more fields before the boxes.
        b"mp4a" => match short(8) {
            1 => configured(boxes, &entry, 44)?.map_or_else(|| configured(boxes, &entry, 28), |told| Ok(Some(told)))?,
            2 => configured(boxes, &entry, 64)?,
            _ => configured(boxes, &entry, 28)?,
        },
        _ => None,
    };
    Ok(Description { codec: codec.or(name), size })
}

/// The string that a sample entry's configuration tells; it stands among the
/// boxes from byte `skip` of the entry on.
fn configured<R: Read + Seek>(boxes: &mut Boxes<'_, R>, entry: &BoxAt, skip: u64) -> Result<Option<String>> {
    let mut rest = (entry.body.start + skip).min(entry.body.end)..entry.body.end;
    while let Some(found) = boxes.next(&mut rest)? {
        let told = match &found.name() {
            // QuickTime has the configuration of AAC in there.
            b"wave" => {
                rest = found.body;
                continue;
            }
            b"avcC" => avc(&entry.name(), &boxes.bytes(&found, MAX_CONFIG)?),
            b"hvcC" => hevc(&entry.name(), &boxes.bytes(&found, MAX_CONFIG)?),
            b"vpcC" => vp(&entry.name(), &boxes.bytes(&found, MAX_CONFIG)?),
            b"av1C" => av1(&boxes.bytes(&found, MAX_CONFIG)?),
            b"esds" => mp4a(&boxes.bytes(&found, MAX_CONFIG)?),
            _ => None,
        };
        if told.is_some() {
            return Ok(told);
        }
    }
    Ok(None)
}

/// An entry's four-character name, for codecs without a table here.
fn entry_name(name: &[u8; 4]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    is_name.then(|| name.to_owned())
}

/// A Matroska track's string, from its codec id and private data.
pub(super) fn of_matroska(id: &str, private: &[u8]) -> Option<String> {
    let (told, name) = match id {
        "V_VP8" => (None, "vp8"),
        "V_VP9" => (None, "vp9"),
        "V_AV1" => (av1(private), "av01"),
        "V_MPEG4/ISO/AVC" => (avc(b"avc1", private), "avc1"),
        "V_MPEGH/ISO/HEVC" => (hevc(b"hvc1", private), "hvc1"),
        "A_OPUS" => (None, "opus"),
        "A_VORBIS" => (None, "vorbis"),
        "A_FLAC" => (None, "flac"),
        "A_AAC" => (None, "mp4a.40.2"),
        _ => return None,
    };
    Some(told.unwrap_or_else(|| name.to_owned()))
}

/// RFC 6381, 3.3: profile, constraints and level in hex.
fn avc(name: &[u8; 4], config: &[u8]) -> Option<String> {
    let [1, profile, compatibility, level, ..] = config else { return None };
    Some(format!("{}.{profile:02x}{compatibility:02x}{level:02x}", entry_name(name)?))
}

/// ISO/IEC 14496-15, annex E.
fn hevc(name: &[u8; 4], config: &[u8]) -> Option<String> {
    let &[_, profile, a, b, c, d, ref constraints @ .., level] = config.first_chunk::<13>()?;
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([a, b, c, d]).reverse_bits();
    let mut text = format!("{}.{space}{}.{compatibility:X}.{tier}{level}", entry_name(name)?, profile & 0x1f);
    // Constraint bytes, without the zero ones at the end.
    let kept = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    text.extend(constraints[..kept].iter().map(|byte| format!(".{byte:X}")));
    Some(text)
}

/// The VP codec binding's short form: profile, level, bit depth.
fn vp(name: &[u8; 4], config: &[u8]) -> Option<String> {
    // Behind version and flags.
    let [profile, level, depth, ..] = config.get(4..)? else { return None };
    Some(format!("{}.{profile:02}.{level:02}.{:02}", entry_name(name)?, depth >> 4))
}

/// The AV1 binding's short form: profile, level and tier, bit depth.
fn av1(config: &[u8]) -> Option<String> {
    // A marker and version 1.
    let [0x81, profile_level, flags, ..] = config else { return None };
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match flags & 0x60 {
        0x40 => 10,
        0x60 => 12,
        _ => 8,
    };
    Some(format!("av01.{}.{:02}{tier}.{depth:02}", profile_level >> 5, profile_level & 0x1f))
}

/// RFC 6381, 3.3: the object type in hex; for AAC (0x40), its kind too.
fn mp4a(config: &[u8]) -> Option<String> {
    // Behind version and flags: the elementary stream's descriptor, in that
    // the decoder's, in that what is specific to AAC (ISO/IEC 14496-1, 7.2.6).
    let stream = descriptor(config.get(4..)?, 3)?;
    let [_, _, flags, fields @ ..] = stream else { return None };
    let depends = if flags & 0x80 == 0 { 0 } else { 2 };
    let url = if flags & 0x40 == 0 { 0 } else { 1 + usize::from(*fields.get(depends)?) };
    let clock = if flags & 0x20 == 0 { 0 } else { 2 };
    let decoder = descriptor(fields.get(depends + url + clock..)?, 4)?;
    let (object_type, rest) = (*decoder.first()?, decoder.get(13..).unwrap_or_default());
    let specific = descriptor(rest, 5).and_then(|specific| specific.first_chunk::<2>());
    Some(match specific {
        Some(&[first, second]) if object_type == 0x40 => {
            let kind = match first >> 3 {
                31 => 32 + (u16::from_be_bytes([first, second]) >> 5 & 0x3f),
                kind => kind.into(),
            };
            format!("mp4a.40.{kind}")
        }
        _ => format!("mp4a.{object_type:02x}"),
    })
}

/// The body of the first descriptor of this kind, as far as it is there.
fn descriptor(mut bytes: &[u8], kind: u8) -> Option<&[u8]> {
    loop {
        let (found, rest) = bytes.split_first()?;
        // Seven bits a byte, four at most; all but the last have the eighth set.
        let more = rest.iter().take(3).take_while(|byte| **byte & 0x80 != 0).count();
        let (size, rest) = rest.split_at_checked(more + 1)?;
        let size = size.iter().fold(0_usize, |size, byte| size << 7 | usize::from(byte & 0x7f));
        let (body, behind) = rest.split_at(size.min(rest.len()));
        if *found == kind {
            return Some(body);
        }
        bytes = behind;
    }
}
