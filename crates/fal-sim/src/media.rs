//! The clips that the simulated models make.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::pad::Padded;

/// A file that the media host can serve.
#[derive(Clone, Debug)]
pub struct Media {
    pub content_type: &'static str,
    bytes: Arc<Content>,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Parts(Vec<Bytes>),
    Padded(Padded),
}

macro_rules! clip {
    ($name:literal, $kind:literal) => {
        ($name, $kind, include_bytes!(concat!("../media/", $name)))
    };
}

/// Small real files, made by `media/make.sh`: name, media type, bytes.
static CLIPS: &[(&str, &str, &[u8])] = &[
    clip!("moov-first.mp4", "video/mp4"),
    clip!("moov-last.mp4", "video/mp4"),
    clip!("silent.mp4", "video/mp4"),
    clip!("fragmented.mp4", "video/mp4"),
    clip!("clip.webm", "video/webm"),
    clip!("portrait.mov", "video/quicktime"),
    clip!("tone.mp3", "audio/mpeg"),
    clip!("still.png", "image/png"),
    clip!("still.jpg", "image/jpeg"),
];

impl Media {
    /// The names of the embedded files.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CLIPS.iter().map(|(name, ..)| *name)
    }

    /// An embedded file.
    ///
    /// # Panics
    /// If there is none of that name: the names are this crate's own.
    pub fn named(name: &str) -> Self {
        let (_, content_type, bytes) =
            CLIPS.iter().find(|(n, ..)| *n == name).unwrap_or_else(|| panic!("no media is named {name}"));
        Self::new(content_type, Bytes::from_static(bytes))
    }

    /// A file with these bytes.
    pub fn new(content_type: &'static str, bytes: Bytes) -> Self {
        Self { content_type, bytes: Arc::new(Content::Whole(bytes)) }
    }

    /// A file that came in parts.
    pub(crate) fn of_parts(content_type: &'static str, parts: Vec<Bytes>) -> Self {
        Self { content_type, bytes: Arc::new(Content::Parts(parts)) }
    }

    /// The media type that an upload is served under: the host knows few.
    pub(crate) fn known_type(content_type: &str) -> &'static str {
        let known = CLIPS.iter().map(|(_, known, _)| *known).find(|known| *known == content_type);
        known.unwrap_or("application/octet-stream")
    }

    /// A playable MP4 of exactly `len` bytes, most of them in a `free` box at
    /// its end. It takes no memory, and each byte follows from `seed` and its
    /// offset.
    pub fn padded(len: u64, seed: u64) -> Self {
        Self::padded_like("moov-first.mp4", len, seed, Bytes::len)
    }

    /// The same with its `moov` at the very end, behind the padding.
    pub fn padded_slow_start(len: u64, seed: u64) -> Self {
        let movie = |clip: &Bytes| clip.windows(4).rposition(|bytes| bytes == b"moov").map_or(0, |at| at - 4);
        Self::padded_like("moov-last.mp4", len, seed, movie)
    }

    fn padded_like(name: &str, len: u64, seed: u64, at: fn(&Bytes) -> usize) -> Self {
        let Content::Whole(clip) = &*Self::named(name).bytes else { unreachable!("embedded") };
        let padded = Padded::new(clip.clone(), at(clip), len, seed);
        Self { content_type: "video/mp4", bytes: Arc::new(Content::Padded(padded)) }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match &*self.bytes {
            Content::Whole(bytes) => bytes.len() as u64,
            Content::Parts(parts) => parts.iter().map(|part| part.len() as u64).sum(),
            Content::Padded(padded) => padded.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the bytes of `range`, from its start: at least one, unless the
    /// range is empty. Cheap: a view of shared memory.
    pub fn chunk(&self, range: Range<u64>) -> Bytes {
        let to_usize = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        match &*self.bytes {
            Content::Whole(bytes) => bytes.slice(to_usize(range.start)..to_usize(range.end)),
            Content::Parts(parts) => {
                let mut before = 0;
                for part in parts {
                    let after = before + part.len() as u64;
                    if range.start < after {
                        return part.slice(to_usize(range.start - before)..to_usize(range.end.min(after) - before));
                    }
                    before = after;
                }
                Bytes::new()
            }
            Content::Padded(padded) => padded.chunk(range),
        }
    }

    /// Lower-case hex SHA-256 of all bytes.
    pub fn sha256(&self) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut at = 0;
        while at < self.len() {
            let chunk = self.chunk(at..self.len());
            at += chunk.len() as u64;
            context.update(&chunk);
        }
        data_encoding::HEXLOWER.encode(context.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_clip_is_the_same_however_it_is_read() {
        let media = Media::padded(5_000_000, 7);
        let read = |range: Range<u64>| {
            let (mut at, mut all) = (range.start, Vec::new());
            while at < range.end {
                let chunk = media.chunk(at..range.end);
                at += chunk.len() as u64;
                all.extend_from_slice(&chunk);
            }
            all
        };
        let whole = read(0..media.len());
        assert_eq!(whole.len(), 5_000_000);
        for range in [0..10, 100_000..100_001, 1_048_570..2_500_000, 4_999_999..5_000_000] {
            let (start, end) = (range.start as usize, range.end as usize);
            assert_eq!(read(range), whole[start..end]);
        }
        assert_ne!(Media::padded(5_000_000, 8).sha256(), media.sha256());
    }

    #[test]
    fn ffprobe_plays_a_padded_clip() {
        let dir = std::env::temp_dir().join(format!("fal-sim-{}", std::process::id()));
        let media = Media::padded(3_000_000, 1);
        let mut all = Vec::new();
        while (all.len() as u64) < media.len() {
            all.extend_from_slice(&media.chunk(all.len() as u64..media.len()));
        }
        std::fs::write(&dir, &all).unwrap();
        let out = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
            .arg(&dir)
            .output()
            .expect("ffprobe is installed (package ffmpeg)");
        std::fs::remove_file(&dir).unwrap();
        let duration: f64 = String::from_utf8_lossy(&out.stdout).trim().parse().unwrap();
        assert!((duration - 3.0).abs() < 0.1, "{duration}");
    }
}
