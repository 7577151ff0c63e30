//! Media facts read from the content: duration, dimensions, frame rate, codec.
//!
//! Reads only what it needs, by seeking, in memory that does not grow with the
//! file. Bytes are hostile until shown otherwise: whatever they are, the answer
//! is facts or an error, never a panic.

mod audio;
mod boxes;
mod buffered;
mod codec;
mod early;
mod ebml;
mod ends;
mod fragment;
pub(crate) mod frame;
mod image;
mod model;
mod mp4;
mod samples;
mod timing;
mod webm;

use std::io::{self, Read, Seek, SeekFrom};

use self::buffered::Buffered;
pub use self::early::{Early, content_type};
use crate::{
    c2pa,
    generation::{Kind, MediaInfo},
    media_type::MediaType,
};

/// Whether the file's source said how long it is. If so, what is there is all
/// that it has; if not, the file must show that nothing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It did, and the file is as long.
    Promised,
    /// It did not: the file ends where the source stopped to send.
    Unknown,
}

/// Why a file is no acceptable media.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It looks like MP4 or QuickTime but has no `moov`: it cannot be played.
    #[error("the file has no movie header")]
    NoMovie,
    /// Samples of it are missing, or it breaks off where nobody said how long
    /// it is.
    #[error("the file is cut off")]
    Truncated,
    /// It breaks its format's rules.
    #[error("the file is malformed: {0}")]
    Malformed(&'static str),
    /// It could not be read. This says nothing of the file.
    #[error("reading the file")]
    Io(#[from] io::Error),
}

type Result<T, E = ProbeError> = std::result::Result<T, E>;

/// Reads the facts of a file of `len` bytes that was sniffed as `media`.
///
/// What a format does not tell, or cannot tell cheaply, is `None`. Files are
/// also checked for being whole, as far as a promised length does not vouch for it.
/// Blocks on `reader`, which need not be buffered.
pub fn probe<R: Read + Seek>(reader: &mut R, len: u64, length: Length, media: &'static MediaType) -> Result<MediaInfo> {
    let reader = &mut Buffered::new(reader, len);
    let info = facts(reader, len, length, media)?;
    if length == Length::Unknown && ends::is_cut(reader, len, media)? {
        return Err(ProbeError::Truncated);
    }
    Ok(MediaInfo { c2pa: Some(c2pa::is_marked(reader, len)?), ..info })
}

fn facts<R: Read + Seek>(reader: &mut R, len: u64, length: Length, media: &'static MediaType) -> Result<MediaInfo> {
    match media.name {
        "video/mp4" | "video/quicktime" | "audio/mp4" | "video/3gpp" | "video/3gpp2" | "video/mj2" => {
            mp4::probe(reader, len, length, media)
        }
        "video/webm" | "video/x-matroska" | "audio/webm" | "audio/x-matroska" => {
            webm::probe(reader, len, length, media)
        }
        "video/x-motion-jpeg" => image::probe(reader, len, length, media),
        "model/gltf+json" => model::gltf(reader, media),
        _ => match media.kind {
            Kind::Image => image::probe(reader, len, length, media),
            Kind::Audio | Kind::Video => audio::probe(reader, len, length, media),
            Kind::Model | Kind::Archive => Ok(MediaInfo::of(media)),
        },
    }
}

/// The `len` bytes at `at`, which the caller knows to be within the file.
fn read_at<R: Read + Seek>(reader: &mut R, at: u64, len: u64) -> Result<Vec<u8>> {
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    reader.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(ProbeError::Truncated) }
}

/// The `len` bytes at `at`, fewer where the file ends.
fn read_up_to<R: Read + Seek>(reader: &mut R, at: u64, len: u64) -> Result<Vec<u8>> {
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    reader.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `amount / per_second`, where that is a positive finite number.
fn seconds(amount: f64, per_second: f64) -> Option<f64> {
    Some(amount / per_second).filter(|secs| secs.is_finite() && *secs > 0.0)
}
