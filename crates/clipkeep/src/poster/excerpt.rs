//! A clip's bytes as a file that ffmpeg may read: all of them where they are in
//! one, else those of its beginning, in the order in which they are served, so
//! that an MP4's `moov` is among them.

use std::{io, ops::Range, path::PathBuf, time::Duration};

use bytes::Bytes;
use clipkeep_core::{
    generation::{Clip, Kind},
    state::ClipState,
    view::Piece,
};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt as _;

use super::{PosterError, PosterParts, kind};
use crate::{
    cache::Object,
    faststart::{ReadAt, find},
    store::{Pin, StoredReadAt},
};

const MIB: u64 = 1024 * 1024;
/// What is read of a source at most, beside a `moov`: the poster of a clip that
/// is not stored must not cost what the clip would.
const OF_SOURCE: u64 = MIB + MIB / 4;
/// What is read of a bucket's video at most. A picture is nothing without its
/// end, and a waveform shows all of a sound.
const OF_VIDEO: u64 = 6 * MIB;
const OF_OTHERS: u64 = 32 * MIB;
/// How much is read at a time.
const STEP: u64 = 256 * 1024;
/// How long a source may take.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A clip's bytes.
pub(super) enum Media {
    /// All of them, in a file that stays.
    File(PathBuf),
    /// The first of them.
    Beginning(TempPath),
}

/// The bytes of `clip`, wherever they are. Of one that is not stored they are
/// those of the fill that runs here, or else a piece of its source: that starts
/// no fill.
pub(super) async fn of(parts: &PosterParts, clip: &Clip) -> Result<Media, PosterError> {
    match (&clip.sealed, clip.state) {
        (Some(sealed), ClipState::Stored) => {
            let (store, key) = (&parts.store, clip.object());
            if let Some(path) = store.local_path(key) {
                return Ok(Media::File(path));
            }
            let pin = Pin::of(Object::of(clip).and_then(|object| object.tag));
            let most = if kind(clip) == Kind::Video { OF_VIDEO } else { OF_OTHERS };
            beginning(parts, clip, &mut StoredReadAt { store, key, pin }, sealed.size, most).await
        }
        (_, ClipState::Waiting | ClipState::Filling) => {
            let read = tokio::time::timeout(READ_TIMEOUT, of_source(parts, clip)).await;
            read.map_err(|_| PosterError::Later)?
        }
        _ => Err(PosterError::Later),
    }
}

async fn of_source(parts: &PosterParts, clip: &Clip) -> Result<Media, PosterError> {
    if let Some(mut fill) = parts.engine.find(&clip.key) {
        let copy = fill.copy().await.map_err(|_| PosterError::Later)?;
        let mut viewer = copy.viewer();
        let shown = viewer.shown().await.map_err(|_| PosterError::Later)?;
        let total = shown.total.ok_or(PosterError::Later)?;
        return beginning(parts, clip, &mut viewer, total, OF_SOURCE).await;
    }
    if !clip.source_url.has_url() {
        return Err(PosterError::Later);
    }
    let source = parts.engine.through(clip).await.ok().flatten();
    let mut source = source.ok_or(PosterError::Later)?;
    let total = source.total();
    if clip.kind == Kind::Image && total > OF_SOURCE {
        return Err(PosterError::Later);
    }
    beginning(parts, clip, &mut source, total, OF_SOURCE).await
}

/// Writes the first bytes of a clip of `len` into a file of its own.
async fn beginning<L: ReadAt>(
    parts: &PosterParts,
    clip: &Clip,
    bytes: &mut L,
    len: u64,
    most: u64,
) -> Result<Media, PosterError> {
    let unread = |_: L::Error| PosterError::Later;
    let fast = find(len, bytes).await.map_err(unread)?;
    let movie = fast.as_ref().map(|fast| fast.movie.bytes().clone()).unwrap_or_default();
    let (folder, ending) = (parts.folder.clone(), format!(".{}", clip.key.ending()));
    let made = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        tempfile::Builder::new().prefix("clip-").suffix(&ending).tempfile_in(folder).map(|file| file.into_parts())
    });
    let (file, path) = made.await.map_err(io::Error::other)??;
    let mut file = tokio::fs::File::from_std(file);
    let (mut at, end) = (0, len.min(most + movie.len() as u64));
    while at < end {
        let step = at..end.min(at + STEP);
        let pieces = match &fast {
            Some(fast) => fast.at.pieces(&step, len),
            None => vec![Piece::File(step.clone())],
        };
        for piece in pieces {
            let chunk = match piece {
                Piece::File(range) => bytes.read_at(range).await.map_err(unread)?,
                Piece::Movie(range) => slice(&movie, range),
            };
            file.write_all(&chunk).await?;
        }
        at = step.end;
    }
    file.flush().await?;
    Ok(Media::Beginning(path))
}

/// A piece of a `moov`, which is in memory.
fn slice(movie: &Bytes, range: Range<u64>) -> Bytes {
    movie.slice(range.start as usize..range.end as usize)
}
