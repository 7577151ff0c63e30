//! Media type by content, whatever the source's header says.

use crate::media_type::MediaType;

/// How many leading bytes [`sniff`] looks at.
pub const SNIFF_LEN: usize = 4096;

/// What the leading bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// Media of this type.
    Media(&'static MediaType),
    /// Surely no media; the word says what it is, for a person.
    NotMedia(&'static str),
    /// Neither.
    Unknown,
}

/// Tells by the first bytes of a file (all of them, if it is shorter than
/// [`SNIFF_LEN`]) what it is.
pub fn sniff(head: &[u8]) -> Sniffed {
    let head = &head[..head.len().min(SNIFF_LEN)];
    if head.is_empty() {
        return Sniffed::NotMedia("empty");
    }
    let media = iso_bmff(head).or_else(|| matroska(head)).or_else(|| riff(head)).or_else(|| magic(head));
    if let Some(name) = media {
        return Sniffed::Media(MediaType::known(name));
    }
    not_media(head).map_or(Sniffed::Unknown, Sniffed::NotMedia)
}

/// ISO base media (MP4, QuickTime, HEIF): a first box of a known kind.
fn iso_bmff(head: &[u8]) -> Option<&'static str> {
    let size = u32::from_be_bytes(*head.first_chunk()?);
    let kind = head.get(4..8)?;
    // 0 is «to the end», 1 «a 64-bit size follows».
    if matches!(size, 2..=7) {
        return None;
    }
    match kind {
        b"ftyp" => Some(brand(head, size)),
        // QuickTime before `ftyp`, and what some muxers put first.
        b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot" => Some("video/quicktime"),
        b"styp" | b"moof" | b"sidx" => Some("video/mp4"),
        _ => None,
    }
}

/// By the major brand, else by the first compatible brand that tells.
fn brand(head: &[u8], size: u32) -> &'static str {
    let end = head.len().min(usize::try_from(size).unwrap_or(usize::MAX));
    let brands = head.get(8..end).unwrap_or_default().chunks_exact(4);
    // Still pictures in whatever coding. The youngest of these brands names it
    // where the minor version stands.
    if let Some(b"mif1" | b"mif2" | b"mif3" | b"msf1" | b"miaf") = brands.clone().next() {
        let is_av1 = brands.clone().any(|brand| matches!(brand, b"avif" | b"avis" | b"avio"));
        return if is_av1 { "image/avif" } else { "image/heic" };
    }
    // The minor version stands where a second brand would.
    let told = brands.enumerate().filter(|(n, _)| *n != 1).find_map(|(_, brand)| match brand {
        b"qt  " => Some("video/quicktime"),
        b"M4A " | b"M4B " | b"M4P " | b"F4A " => Some("audio/mp4"),
        b"avif" | b"avis" => Some("image/avif"),
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"hevm" | b"hevs" | b"avci" | b"avcs" | b"vvic"
        | b"j2ki" | b"jpeg" | b"heif" => Some("image/heic"),
        b"isom" | b"iso2" | b"iso4" | b"iso5" | b"iso6" | b"mp41" | b"mp42" | b"avc1" | b"M4V " | b"dash" => {
            Some("video/mp4")
        }
        _ => None,
    });
    told.unwrap_or("video/mp4")
}

/// EBML: WebM or Matroska, by the document type in its header.
fn matroska(head: &[u8]) -> Option<&'static str> {
    let header = head.strip_prefix(&[0x1a, 0x45, 0xdf, 0xa3])?;
    let header = &header[..header.len().min(64)];
    let at = header.windows(2).position(|id| id == [0x42, 0x82])?;
    let doc_type = header.get(at + 3..)?;
    if doc_type.starts_with(b"webm") {
        return Some("video/webm");
    }
    doc_type.starts_with(b"matroska").then_some("video/x-matroska")
}

fn riff(head: &[u8]) -> Option<&'static str> {
    if !head.starts_with(b"RIFF") && !head.starts_with(b"RF64") {
        return None;
    }
    match head.get(8..12)? {
        b"WAVE" => Some("audio/wav"),
        b"WEBP" => Some("image/webp"),
        b"AVI " => Some("video/x-msvideo"),
        _ => None,
    }
}

fn magic(head: &[u8]) -> Option<&'static str> {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"ID3", "audio/mpeg"),
        (b"fLaC", "audio/flac"),
        (b"FLV\x01", "video/x-flv"),
    ];
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    if head.starts_with(b"OggS") {
        let is_video = head.windows(7).any(|bytes| bytes == b"\x80theora");
        return Some(if is_video { "video/ogg" } else { "audio/ogg" });
    }
    if head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]) {
        return Some("image/bmp");
    }
    mpeg_audio(head)
}

/// A bare MPEG audio or ADTS frame. Eleven set bits are little evidence, so
/// the rest of the header must make sense too.
fn mpeg_audio(head: &[u8]) -> Option<&'static str> {
    let &[first, second, third, _] = head.first_chunk()?;
    if first != 0xff || second & 0xe0 != 0xe0 {
        return None;
    }
    if second & 0xf6 == 0xf0 {
        let rate_index = third >> 2 & 0xf;
        return (rate_index < 13).then_some("audio/aac");
    }
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    let (bitrate, rate) = (third >> 4, third >> 2 & 3);
    let plausible = version != 1 && matches!(layer, 1 | 2) && (1..15).contains(&bitrate) && rate != 3;
    plausible.then_some("audio/mpeg")
}

fn not_media(head: &[u8]) -> Option<&'static str> {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "gzip"),
        (b"PK\x03\x04", "a zip archive"),
        (b"%PDF-", "PDF"),
        (b"glTF", "glTF"),
        (b"\xfe\xff", "plain text"),
        (b"\xff\xfe", "plain text"),
    ];
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    text(head)
}

fn text(head: &[u8]) -> Option<&'static str> {
    const HTML: &[&[u8]] = &[b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title", b"<!--"];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = head.trim_ascii_start();
    let opens = |tag: &&[u8]| start.get(..tag.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(tag));
    if HTML.iter().any(opens) {
        return Some("HTML");
    }
    let is_text = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The head may end inside a character.
        Err(error) => error.error_len().is_none(),
    };
    let has_control = head.iter().any(|&b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b));
    if !is_text || has_control {
        return None;
    }
    match start {
        [b'<', b'?' | b'!' | b'a'..=b'z' | b'A'..=b'Z', ..] => Some("XML"),
        [b'{' | b'[', ..] => Some("JSON"),
        _ => Some("plain text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: &str) {
        let told = match sniff(head) {
            Sniffed::Media(media) => media.name,
            Sniffed::NotMedia(what) => what,
            Sniffed::Unknown => "unknown",
        };
        assert_eq!(told, expected, "{}", head.escape_ascii());
    }

    #[test]
    fn iso_media_is_told_by_its_brands() {
        check(b"\0\0\0\x18ftypisom\0\0\x02\0isomavc1", "video/mp4");
        check(b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ", "video/quicktime");
        check(b"\0\0\0\x1cftypM4A \0\0\x02\0M4A isom", "audio/mp4");
        check(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "image/avif");
        check(b"\0\0\0\x1cftypmif1\0\0\0\0heicmif1", "image/heic");
        // K31: HEIF of other codings, and the short header of newer AVIF files.
        check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafMiAC", "image/heic");
        check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1iso8avci", "image/heic");
        check(b"\0\0\0\x18ftypjpeg\0\0\0\0mif1jpeg", "image/heic");
        check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif");
        check(b"\0\0\0\x10ftypmif3avif\0\0\0\x20mini", "image/avif");
        check(b"\0\0\0\x10ftypmif3vvic\0\0\0\x20mini", "image/heic");
        check(b"\0\0\0\x14ftypXXXX\0\0\0\0YYYY", "video/mp4");
        check(b"\0\0\0\x08wide\0\0\x10\0mdat", "video/quicktime");
        check(b"\0\0\0\x01mdat\0\0\0\0\0\0\x10\0", "video/quicktime");
        check(b"\0\0\0\x03ftypisom", "unknown");
    }

    #[test]
    fn other_media_is_told_by_its_magic() {
        check(b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm", "video/webm");
        check(b"\x1a\x45\xdf\xa3\xa3B\x82\x88matroska", "video/x-matroska");
        check(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png");
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg");
        check(b"GIF89a\x01\0", "image/gif");
        check(b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp");
        check(b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav");
        check(b"ID3\x04\0\0", "audio/mpeg");
        check(b"\xff\xfb\x90\x64\0\0", "audio/mpeg");
        check(b"\xff\xf1\x50\x80\0\0", "audio/aac");
        check(b"OggS\0\x02\0\0\0\0\0\0\0\0OpusHead", "audio/ogg");
        check(b"fLaC\0\0\0\x22", "audio/flac");
    }

    #[test]
    fn case_23_an_error_page_is_no_media() {
        check(b"", "empty");
        check(b"<!DOCTYPE html><title>Gone</title>", "HTML");
        check(b"\xef\xbb\xbf\r\n  <HTML>", "HTML");
        check(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "XML");
        check(b"<svg xmlns=\"http://www.w3.org/2000/svg\">", "XML");
        check(b"{\"detail\":\"Not found\"}", "JSON");
        check(b"Not found\n", "plain text");
        check(b"\xff\xfeN\0o\0", "plain text");
        check(b"\x1f\x8b\x08\0", "gzip");
        check(b"PK\x03\x04", "a zip archive");
        check(b"\0\0\0\0\0\0\0\0\0\0\0\0", "unknown");
    }

    #[test]
    fn a_head_that_ends_inside_a_character_is_still_text() {
        let mut page = "é".repeat(SNIFF_LEN);
        page.insert(0, 'x');
        check(page.as_bytes(), "plain text");
    }
}
