//! Formats that begin with a mark of their own.

use crate::media_type::MediaType;

const MAGIC: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0\x08\0", "image/tiff"),
    (b"MM\0+\0\x08", "image/tiff"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"v/1\x01", "image/x-exr"),
    (b"#?RADIANCE", "image/vnd.radiance"),
    (b"#?RGBE", "image/vnd.radiance"),
    (b"8BPS\0", "image/vnd.adobe.photoshop"),
    (b"\xff\x4f\xff\x51", "image/j2c"),
    (b"\xff\xd8\xff\xf7", "image/jls"),
    (b"qoif", "image/qoi"),
    (b"SDPX", "image/x-dpx"),
    (b"XPDS", "image/x-dpx"),
    (b"DDS \x7c\0\0\0", "image/vnd-ms.dds"),
    (b"\xabKTX 20\xbb\r\n\x1a\n", "image/ktx2"),
    (b"SIMPLE  =", "image/fits"),
    (b"fLaC", "audio/flac"),
    (b"caff\0\x01", "audio/x-caf"),
    (b"#!AMR\n", "audio/amr"),
    (b"#!AMR-WB\n", "audio/amr-wb"),
    (b".snd\0\0", "audio/basic"),
    (b"riff\x2e\x91\xcf\x11", "audio/x-w64"),
    (b"wvpk", "audio/x-wavpack"),
    (b"TTA1", "audio/x-tta"),
    (b"MAC ", "audio/x-ape"),
    (b"MPCK", "audio/x-musepack"),
    (b"MP+", "audio/x-musepack"),
    (b"DSD \x1c\0\0\0", "audio/x-dsf"),
    (b"Creative Voice File\x1a", "audio/x-voc"),
    (b"MThd\0\0\0\x06", "audio/midi"),
    (b"\x7f\xfe\x80\x01", "audio/vnd.dts"),
    (b"FLV\x01", "video/x-flv"),
    (b"\0\0\x01\xba", "video/mpeg"),
    (b"\0\0\x01\xb3", "video/mpeg"),
    (b"\0\0\x01\xb0", "video/mpeg"),
    (b"DKIF\0\0 \0", "video/x-ivf"),
    (b"YUV4MPEG2 ", "video/x-yuv4mpeg"),
    (b"nut/multimedia container\0", "video/x-nut"),
    (b".RMF\0\0\0", "video/vnd.rn-realvideo"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "application/mxf"),
    (b"\x1f\x07\x00", "video/dv"),
    (b"glTF\x01\0\0\0", "model/gltf-binary"),
    (b"glTF\x02\0\0\0", "model/gltf-binary"),
    (b"PXR-USDC", "model/vnd.usd"),
    (b"ply\n", "model/ply"),
    (b"ply\r", "model/ply"),
    (b"Kaydara FBX Binary", "model/fbx"),
    (b"NGSP", "model/spz"),
    (b"BLENDER", "model/vnd.blender"),
];

/// What a file is that begins so. Its sender's word tells apart what looks alike.
pub(super) fn media(head: &[u8], declared: Option<&MediaType>) -> Option<&'static str> {
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    let is_declared = |name: &str| declared.is_some_and(|declared| declared.name == name);
    match head {
        [0xff, 0xd8, 0xff, ..] if is_declared("video/x-motion-jpeg") => Some("video/x-motion-jpeg"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'O', b'g', b'g', b'S', ..] => Some(ogg(head)),
        [b'R', b'I', b'F', b'F' | b'X', ..] | [b'R', b'F', b'6', b'4', ..] | [b'B', b'W', b'6', b'4', ..] => riff(head),
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => Some("audio/aiff"),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(zip(head, is_declared("model/3mf"))),
        [0x1f, 0x8b, 8, ..] if is_declared("model/spz") => Some("model/spz"),
        _ => bitmap(head).or_else(|| anymap(head)).or_else(|| icon(head)).or_else(|| elementary(head)),
    }
    .or_else(|| boxed_jpeg2000(head))
}

/// Not media, whatever the sender calls it.
pub(super) fn not_media(head: &[u8]) -> Option<&'static str> {
    const MAGIC: &[(&[u8], &str)] = &[(b"\x1f\x8b\x08", "gzip"), (b"%PDF-", "PDF")];
    MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, what)| *what)
}

/// The length of the tag at the start: ID3v2, or APEv2.
pub(super) fn tag_len(head: &[u8]) -> Option<u64> {
    match *head {
        [b'I', b'D', b'3', 2..=9, _, flags, a @ 0..0x80, b @ 0..0x80, c @ 0..0x80, d @ 0..0x80, ..] => {
            let footer = if flags & 0x10 == 0 { 0 } else { 10 };
            Some(10 + footer + [a, b, c, d].iter().fold(0, |len, &byte| len << 7 | u64::from(byte)))
        }
        // Cut within the tag's head.
        [b'I', b'D', b'3', ..] if head.len() < 10 => Some(10),
        [b'A', b'P', b'E', b'T', b'A', b'G', b'E', b'X', _, _, _, _, a, b, c, d, ..] => {
            Some(32 + u64::from(u32::from_le_bytes([a, b, c, d])))
        }
        _ => None,
    }
}

fn ogg(head: &[u8]) -> &'static str {
    const VIDEO: &[&[u8]] = &[b"\x80theora", b"BBCD\0", b"OVP80"];
    let has = |mark: &&[u8]| head.windows(mark.len()).any(|bytes| bytes == *mark);
    if VIDEO.iter().any(has) { "video/ogg" } else { "audio/ogg" }
}

fn riff(head: &[u8]) -> Option<&'static str> {
    match head.get(8..12)? {
        b"WAVE" => Some("audio/wav"),
        b"WEBP" => Some("image/webp"),
        b"AVI " | b"AVIX" => Some("video/x-msvideo"),
        _ => None,
    }
}

/// A zip archive by its first entry's name: a USDZ package begins with its scene.
fn zip(head: &[u8], is_declared_3mf: bool) -> &'static str {
    let name_len = head.get(26..28).map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    let name = head.get(30..30 + name_len).unwrap_or_default().to_ascii_lowercase();
    let is_scene = [b".usd".as_slice(), b".usda", b".usdc"].iter().any(|ending| name.ends_with(ending));
    if is_scene {
        "model/vnd.usdz+zip"
    } else if is_declared_3mf || name.starts_with(b"3d/") {
        "model/3mf"
    } else {
        "application/zip"
    }
}

fn bitmap(head: &[u8]) -> Option<&'static str> {
    let [b'B', b'M', ..] = head else { return None };
    let header_len = u32::from_le_bytes(*head.get(14..)?.first_chunk()?);
    (head[6..10] == [0; 4] || matches!(header_len, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124)).then_some("image/bmp")
}

/// The family of PBM, PGM, PPM, PAM and PFM: a letter, a digit, and then numbers.
fn anymap(head: &[u8]) -> Option<&'static str> {
    let [b'P', b'1'..=b'7' | b'F' | b'f', rest @ ..] = head else { return None };
    let is_next = rest.first().is_some_and(u8::is_ascii_whitespace);
    let next = rest.trim_ascii_start();
    let is_number = next.first().is_some_and(u8::is_ascii_digit);
    (is_next && (is_number || next.starts_with(b"#") || next.starts_with(b"WIDTH ")))
        .then_some("image/x-portable-anymap")
}

fn icon(head: &[u8]) -> Option<&'static str> {
    match *head {
        [0, 0, 1 | 2, 0, count, 0, _, _, _, 0, ..] if count > 0 => Some("image/vnd.microsoft.icon"),
        // SGI: storage, bytes per channel, dimensions.
        [1, 0xda, 0 | 1, 1 | 2, 0, 1..=3, ..] => Some("image/x-sgi"),
        _ => None,
    }
}

/// H.264 and H.265 without a container begin with a parameter set or a delimiter.
fn elementary(head: &[u8]) -> Option<&'static str> {
    let unit = head.strip_prefix(&[0, 0, 0, 1]).or_else(|| head.strip_prefix(&[0, 0, 1]))?;
    match unit {
        [0x67 | 0x47 | 0x27, 66 | 77 | 88 | 100 | 110 | 122 | 244, ..] | [9, 0x10 | 0x30 | 0x50 | 0xf0, ..] => {
            Some("video/h264")
        }
        [0x40 | 0x42 | 0x46, 1, ..] => Some("video/h265"),
        _ => None,
    }
}

fn boxed_jpeg2000(head: &[u8]) -> Option<&'static str> {
    let head = head.strip_prefix(b"\0\0\0\x0cjP  \r\n\x87\n")?;
    Some(if head.get(8..12) == Some(b"mjp2") { "video/mj2" } else { "image/jp2" })
}
