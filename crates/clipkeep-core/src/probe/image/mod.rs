//! Pictures: the size as browsers show it, how long an animation plays, and
//! whether the file is whole.

mod bmp;
mod gif;
mod jpeg;
mod png;
mod tiff;
mod webp;

use std::{
    io::{Read, Seek},
    time::Duration,
};

use super::{Length, ProbeError, Result, read_up_to, seconds};
use crate::{generation::MediaInfo, media_type::MediaType};

/// Dimensions of the other formats stand near the start.
const HEAD: u64 = 1024 * 1024;

/// What a picture's file tells.
struct Picture {
    /// As stored: a turn is not applied yet.
    size: Option<(u32, u32)>,
    /// Whether it is shown with its sides swapped.
    turned: bool,
    animation: Animation,
    /// Whether the file ends where its format says. What cannot be told is whole.
    whole: bool,
}

impl Picture {
    const fn still(size: Option<(u32, u32)>, whole: bool) -> Self {
        Self { size, turned: false, animation: Animation { frames: 0, played: Duration::ZERO }, whole }
    }
}

/// The frames of an animation.
#[derive(Default)]
struct Animation {
    frames: u32,
    played: Duration,
}

impl Animation {
    /// One more frame. Browsers show one that asks for next to no time for a tenth
    /// of a second.
    fn show(&mut self, delay: Duration) {
        const SHORTEST: Duration = Duration::from_millis(10);
        const INSTEAD: Duration = Duration::from_millis(100);
        self.frames = self.frames.saturating_add(1);
        self.played = self.played.saturating_add(if delay <= SHORTEST { INSTEAD } else { delay });
    }
}

pub(super) fn probe<R: Read + Seek>(
    reader: &mut R,
    len: u64,
    length: Length,
    media: &'static MediaType,
) -> Result<MediaInfo> {
    let picture = match media.name {
        "image/png" => png::read(reader, len)?,
        "image/jpeg" | "video/x-motion-jpeg" => jpeg::read(reader, length)?,
        "image/gif" => gif::read(reader)?,
        "image/webp" => webp::read(reader, len)?,
        "image/bmp" => bmp::read(reader, len)?,
        "image/tiff" => tiff::read(reader, len)?,
        _ => other(reader)?,
    };
    if !picture.whole && length == Length::Unknown {
        return Err(ProbeError::Truncated);
    }
    let (width, height) = picture.size.unzip();
    let side = |side: Option<u32>| side.filter(|side| *side > 0);
    let (width, height) = if picture.turned { (height, width) } else { (width, height) };
    let moving = Some(picture.animation).filter(|animation| animation.frames > 1);
    let duration = moving.as_ref().and_then(|moving| seconds(moving.played.as_secs_f64(), 1.0));
    Ok(MediaInfo {
        width: side(width),
        height: side(height),
        duration,
        fps: moving.zip(duration).and_then(|(moving, played)| seconds(moving.frames.into(), played)),
        ..MediaInfo::of(media)
    })
}

/// The formats that are only measured.
fn other<R: Read + Seek>(reader: &mut R) -> Result<Picture> {
    let head = read_up_to(reader, 0, HEAD)?;
    let size = imagesize::blob_size(&head).ok();
    let sides = size.and_then(|size| Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?)));
    Ok(Picture::still(sides, true))
}

/// A part of `bytes` of fixed length, if it is there.
fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
