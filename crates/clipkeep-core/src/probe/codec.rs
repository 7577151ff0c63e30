//! The RFC 6381 codec string of a track, as browsers want it in `codecs="…"`.

use mp4_atom::{Atom, Av1c, Avcc, Codec, Esds, Hvcc, Stsd, VpcC};

use super::boxes::header;

/// The string of a sample description's first entry, from an `stsd` box's
/// body. None only if there is no entry with a readable name.
pub(super) fn of_description(body: &[u8]) -> Option<String> {
    let decoded = Stsd::decode_body(&mut &*body).ok();
    let known = decoded.as_ref().and_then(|description| description.codecs.first()).and_then(of_entry);
    known.or_else(|| entry_name(body))
}

fn of_entry(entry: &Codec) -> Option<String> {
    match entry {
        Codec::Avc1(entry) => Some(avc("avc1", &entry.avcc)),
        Codec::Avc3(entry) => Some(avc("avc3", &entry.avcc)),
        Codec::Hvc1(entry) => Some(hevc("hvc1", &entry.hvcc)),
        Codec::Hev1(entry) => Some(hevc("hev1", &entry.hvcc)),
        Codec::Vp08(entry) => Some(vp("vp08", &entry.vpcc)),
        Codec::Vp09(entry) => Some(vp("vp09", &entry.vpcc)),
        Codec::Av01(entry) => Some(av1(&entry.av1c)),
        Codec::Mp4a(entry) => Some(mp4a(&entry.esds)),
        Codec::Opus(_) => Some("opus".to_owned()),
        Codec::Flac(_) => Some("flac".to_owned()),
        _ => None,
    }
}

/// The four-character name of the first entry, for codecs without a table here.
fn entry_name(body: &[u8]) -> Option<String> {
    // Version and flags, then the number of entries.
    let (first, _) = header(body.get(8..)?).ok()?;
    let name: [u8; 4] = first.kind.into();
    let name = std::str::from_utf8(&name).ok()?.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    is_name.then(|| name.to_owned())
}

/// A Matroska track's string, from its codec id and private data.
pub(super) fn of_matroska(id: &str, private: &[u8]) -> Option<String> {
    let fixed = |name: &str| Some(name.to_owned());
    match id {
        "V_VP8" => fixed("vp8"),
        "V_VP9" => fixed("vp9"),
        "V_AV1" => Av1c::decode_body(&mut &*private).ok().map(|config| av1(&config)).or_else(|| fixed("av01")),
        "V_MPEG4/ISO/AVC" => {
            Avcc::decode_body(&mut &*private).ok().map(|config| avc("avc1", &config)).or_else(|| fixed("avc1"))
        }
        "V_MPEGH/ISO/HEVC" => {
            Hvcc::decode_body(&mut &*private).ok().map(|config| hevc("hvc1", &config)).or_else(|| fixed("hvc1"))
        }
        "A_OPUS" => fixed("opus"),
        "A_VORBIS" => fixed("vorbis"),
        "A_FLAC" => fixed("flac"),
        "A_AAC" => fixed("mp4a.40.2"),
        _ => None,
    }
}

/// RFC 6381, 3.3: profile, constraints and level in hex.
fn avc(name: &str, config: &Avcc) -> String {
    let Avcc { avc_profile_indication, profile_compatibility, avc_level_indication, .. } = config;
    format!("{name}.{avc_profile_indication:02x}{profile_compatibility:02x}{avc_level_indication:02x}")
}

/// ISO/IEC 14496-15, annex E.
fn hevc(name: &str, config: &Hvcc) -> String {
    let space = ["", "A", "B", "C"][usize::from(config.general_profile_space & 3)];
    let compatibility = u32::from_be_bytes(config.general_profile_compatibility_flags).reverse_bits();
    let tier = if config.general_tier_flag { 'H' } else { 'L' };
    let Hvcc { general_profile_idc, general_level_idc, .. } = config;
    let mut text = format!("{name}.{space}{general_profile_idc}.{compatibility:X}.{tier}{general_level_idc}");
    // Constraint bytes, without the zero ones at the end.
    let constraints = &config.general_constraint_indicator_flags;
    let kept = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    text.extend(constraints[..kept].iter().map(|byte| format!(".{byte:X}")));
    text
}

/// The VP codec binding's short form: profile, level, bit depth.
fn vp(name: &str, config: &VpcC) -> String {
    format!("{name}.{:02}.{:02}.{:02}", config.profile, config.level, config.bit_depth)
}

/// The AV1 binding's short form: profile, level and tier, bit depth.
fn av1(config: &Av1c) -> String {
    let tier = if config.seq_tier_0 { 'H' } else { 'M' };
    let depth = match (config.high_bitdepth, config.twelve_bit) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    format!("av01.{}.{:02}{tier}.{depth:02}", config.seq_profile, config.seq_level_idx_0)
}

/// RFC 6381, 3.3: the object type in hex; for AAC (0x40), its kind too.
fn mp4a(config: &Esds) -> String {
    let config = &config.es_desc.dec_config;
    let object_type = config.object_type_indication;
    match &config.dec_specific {
        Some(specific) if object_type == 0x40 => format!("mp4a.40.{}", specific.profile),
        _ => format!("mp4a.{object_type:02x}"),
    }
}
