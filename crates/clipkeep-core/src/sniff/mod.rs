//! Media type by content, whatever the source's header says.
//!
//! The sender's word counts only for formats that carry no mark of their own.

mod magic;
mod text;

use std::ops::Range;

use crate::{generation::Kind, media_type::MediaType, probe::frame};

/// How many bytes are looked at where a file, or what stands behind a tag, begins.
pub const SNIFF_LEN: usize = 4096;

/// How far the first frame is searched for in what shows nothing else.
const SEARCH_LEN: u64 = 64 * 1024;

/// The most tags in front of a sound.
const MAX_TAGS: u32 = 16;

/// What the content shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    Media(&'static MediaType),
    /// Surely no media; the word says what it is, for a person.
    NotMedia(&'static str),
    Unknown,
}

/// Tells what a file is, a look at a time: whoever has the bytes gives those of
/// [`range`](Self::range) to [`see`](Self::see) until that answers.
#[derive(Debug)]
pub struct Sniffer {
    declared: Option<&'static MediaType>,
    at: u64,
    window: u64,
    tags: u32,
}

impl Sniffer {
    /// Begins at the start of a file that its sender calls `declared`.
    pub const fn new(declared: Option<&'static MediaType>) -> Self {
        Self { declared, at: 0, window: SNIFF_LEN as u64, tags: 0 }
    }

    /// What to look at next. The file may end before or within it.
    pub const fn range(&self) -> Range<u64> {
        self.at..self.at.saturating_add(self.window)
    }

    /// Looks at the bytes of the range, fewer only where the file ends. None if
    /// that tells nothing yet.
    pub fn see(&mut self, bytes: &[u8]) -> Option<Sniffed> {
        if self.tags < MAX_TAGS
            && let Some(len) = magic::tag_len(bytes)
        {
            self.tags += 1;
            self.at = self.at.saturating_add(len);
            return None;
        }
        let is_end = (bytes.len() as u64) < self.window;
        if self.window == SNIFF_LEN as u64 {
            match self.head(bytes) {
                Sniffed::Unknown if !is_end => {
                    self.window = SEARCH_LEN;
                    return None;
                }
                Sniffed::Unknown => {}
                told => return Some(told),
            }
        }
        Some(frame::search(bytes, is_end).or_else(|| self.fallback()).map_or(Sniffed::Unknown, Sniffed::Media))
    }

    /// By how the file, or what stands behind its tags, begins. Behind a tag
    /// there is sound or nothing.
    fn head(&self, bytes: &[u8]) -> Sniffed {
        match leading(bytes, self.declared) {
            Sniffed::Media(media) if self.tags > 0 && media.kind != Kind::Audio => Sniffed::Unknown,
            Sniffed::NotMedia(_) if self.tags > 0 => Sniffed::Unknown,
            told => told,
        }
    }

    fn fallback(&self) -> Option<&'static MediaType> {
        let unmarked = self.declared.filter(|media| media.is_unmarked);
        if self.tags > 0 { Some(MediaType::known("audio/mpeg")) } else { unmarked }
    }
}

/// Where the tags at the start of a file of `len` bytes end. `read` gives the
/// bytes at an offset.
pub(crate) fn tags_end<E>(len: u64, mut read: impl FnMut(u64, u64) -> Result<Vec<u8>, E>) -> Result<u64, E> {
    let mut at = 0;
    for _ in 0..MAX_TAGS {
        let Some(tag) = magic::tag_len(&read(at, 32)?) else { break };
        at = len.min(at.saturating_add(tag));
    }
    Ok(at)
}

/// Tells what a file is that is in memory, and of which nobody said anything.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    let mut sniffer = Sniffer::new(None);
    loop {
        let Range { start, end } = sniffer.range();
        let cut = |at: u64| bytes.len().min(usize::try_from(at).unwrap_or(usize::MAX));
        if let Some(told) = sniffer.see(&bytes[cut(start)..cut(end)]) {
            return told;
        }
    }
}

fn leading(head: &[u8], declared: Option<&'static MediaType>) -> Sniffed {
    if head.is_empty() {
        return Sniffed::NotMedia("empty");
    }
    let media = iso_bmff(head)
        .or_else(|| matroska(head))
        .or_else(|| asf(head))
        .or_else(|| magic::media(head, declared))
        .or_else(|| text::media(head, declared));
    if let Some(name) = media {
        return Sniffed::Media(MediaType::known(name));
    }
    magic::not_media(head).or_else(|| text::not_media(head)).map_or(Sniffed::Unknown, Sniffed::NotMedia)
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
        [b'3', b'g', b'2', _] => Some("video/3gpp2"),
        [b'3', b'g', b'p' | b'r' | b's' | b'e' | b'g', _] => Some("video/3gpp"),
        _ => None,
    });
    told.unwrap_or("video/mp4")
}

/// EBML: WebM or Matroska, by the document type in its header. Without one it
/// is taken for what most are.
fn matroska(head: &[u8]) -> Option<&'static str> {
    const ID_AND_SIZE: usize = 10;
    let header = head.strip_prefix(&[0x1a, 0x45, 0xdf, 0xa3])?;
    let header = &header[..header.len().min(1024)];
    let Some(at) = header.windows(2).position(|id| id == [0x42, 0x82]) else { return Some("video/x-matroska") };
    let doc_type = &header[at..header.len().min(at + ID_AND_SIZE + 8)];
    let says = |name: &[u8]| doc_type.windows(name.len()).any(|text| text == name);
    if says(b"webm") {
        return Some("video/webm");
    }
    says(b"matroska").then_some("video/x-matroska")
}

/// ASF: Windows Media, with pictures unless only streams of sound show in its
/// header.
fn asf(head: &[u8]) -> Option<&'static str> {
    const HEADER: &[u8] = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
    const AUDIO: &[u8] = b"\x40\x9e\x69\xf8\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b";
    const VIDEO: &[u8] = b"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b";
    let header = head.strip_prefix(HEADER)?;
    let has = |stream: &[u8]| header.windows(stream.len()).any(|id| id == stream);
    Some(if has(AUDIO) && !has(VIDEO) { "audio/x-ms-wma" } else { "video/x-ms-wmv" })
}

#[cfg(test)]
mod tests;
