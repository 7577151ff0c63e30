//! A clip's copy on this node's disk while it is filled: a sparse file, a map
//! of the bytes that are there, and everyone who reads along.
//!
//! The download writes it, in whatever order; the upload and the viewers read
//! it as bytes land, and what a viewer waits for is told to the download. The
//! file is expendable. It goes with its last handle, unless it is kept for the
//! next attempt.

mod checksums;
mod durable;
mod plan;
mod reader;
mod source_mode;
mod verify;
mod viewers;
mod whole;
mod writer;

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use clipkeep_core::{extents::Extents, request_mode::RequestMode, version::SourceVersion};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
};

use self::{checksums::Sums, durable::remove_map, viewers::ViewerCount, whole::Phase};
pub use self::{
    durable::{Kept, kept_clips, left_clips, remove},
    plan::{Need, PendingRange},
    reader::{Order, Reader, Shown, Viewer},
    writer::Writer,
};
use crate::cache::mmap;

/// Why a reader gets no more bytes.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The download started over: what was read so far belongs to other bytes.
    #[error("the download started over")]
    Restarted,
    /// The download gave up; the copy will not become complete now.
    #[error("the download was given up")]
    Aborted,
    /// The disk did not give the bytes back.
    #[error("reading the local copy")]
    Unreadable(#[from] io::Error),
}

/// What the source said of the version that is being copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The content epoch under which it is served.
    pub epoch: i64,
    pub version: SourceVersion,
    /// Its length, where the source said.
    pub total: Option<u64>,
    /// Whether pieces of it can be asked for.
    pub ranges: bool,
}

struct State {
    file: Arc<File>,
    /// The whole file, where its length is known.
    map: Option<Bytes>,
    generation: u64,
    opened: Option<Opened>,
    shown: Option<Arc<Shown>>,
    have: Extents,
    /// What was written here, summed up.
    sums: Sums,
    /// What an earlier run wrote, as its map says: not believed yet.
    kept: Sums,
    phase: Phase,
    /// What viewers wait for, in the order in which they came.
    wants: BTreeMap<u64, Range<u64>>,
    next_want: u64,
    /// How many bytes the map on the disk names.
    saved: u64,
    keep: bool,
    /// How much the source takes, as far as it was seen.
    request_mode: RequestMode,
}

/// A copy that grows.
pub struct LocalCopy {
    path: PathBuf,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    wanted: Notify,
    audience: ViewerCount,
    /// Held while the map is written to the disk.
    saving: Arc<tokio::sync::Mutex<()>>,
    /// Held while what an earlier run left is looked at.
    recalling: tokio::sync::Mutex<()>,
}

impl LocalCopy {
    /// Makes an empty copy at `path`; what was there goes.
    pub async fn create(path: PathBuf) -> io::Result<Arc<Self>> {
        let (path, file) = blocking(move || {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            remove(&path)?;
            Ok((path.clone(), new_file(&path)?))
        })
        .await?;
        Ok(Self::new(path, file, None))
    }

    fn new(path: PathBuf, file: File, kept: Option<(Kept, Option<Bytes>)>) -> Arc<Self> {
        let request_mode = kept.as_ref().map(|(kept, _)| kept.request_mode).unwrap_or_default();
        let (opened, kept, map) = match kept {
            Some((kept, map)) => (Some(kept.opened()), kept.sums.into_iter().collect(), map),
            None => (None, Sums::default(), None),
        };
        let saved = kept.len();
        let state = State {
            file: Arc::new(file),
            map,
            generation: 0,
            opened,
            shown: None,
            have: Extents::default(),
            sums: Sums::default(),
            kept,
            phase: Phase::Growing,
            wants: BTreeMap::new(),
            next_want: 0,
            saved,
            keep: false,
            request_mode,
        };
        Arc::new(Self {
            path,
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            wanted: Notify::new(),
            audience: ViewerCount::default(),
            saving: Arc::default(),
            recalling: tokio::sync::Mutex::default(),
        })
    }

    /// How many bytes are there from the start on.
    pub fn len(&self) -> u64 {
        self.state.lock().have.end_from(0)
    }

    /// Whether the first byte is missing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are there in all.
    pub fn sum(&self) -> u64 {
        self.state.lock().have.sum()
    }

    /// Where the file is. It may be linked to from elsewhere: bytes that are
    /// there never change, and once complete, nothing does.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the source said, once it did.
    pub fn opened(&self) -> Option<Opened> {
        self.state.lock().opened.clone()
    }

    /// A reader of all bytes in order, for the upload.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader::new(Arc::clone(self))
    }

    /// Someone who waits for pieces, for delivery.
    pub fn viewer(self: &Arc<Self>) -> Viewer {
        Viewer::new(Arc::clone(self), true)
    }

    /// The same, if this version of the bytes is still there to be read.
    pub fn viewer_of(self: &Arc<Self>, generation: u64) -> Option<Viewer> {
        let state = self.state.lock();
        let readable = state.generation == generation && state.phase != Phase::Aborted;
        drop(state);
        readable.then(|| self.viewer()).filter(|viewer| viewer.generation() == generation)
    }

    /// A writer of the bytes from `at` on.
    pub fn writer(self: &Arc<Self>, at: u64) -> Writer {
        Writer::new(Arc::clone(self), at)
    }

    /// The source answered: from here on bytes may come.
    pub async fn open(&self, opened: Opened) -> io::Result<()> {
        let (path, file) = (self.path.clone(), Arc::clone(&self.state.lock().file));
        let map = match opened.total {
            Some(total) => Some(blocking(move || sized(&path, &file, total)).await?),
            None => None,
        };
        let mut state = self.state.lock();
        state.map = map;
        state.opened = Some(opened);
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// From here on viewers may be served.
    pub fn show(&self, shown: Shown) {
        self.state.lock().shown = Some(Arc::new(shown));
        self.changed.send_replace(());
    }

    /// How it is served, once that is on disk.
    pub fn shown(&self) -> Option<Arc<Shown>> {
        self.state.lock().shown.clone()
    }

    /// Starts over from nothing, in a new file. Readers of what was there end;
    /// bytes that were handed out stay what they are.
    pub async fn reset(&self) -> io::Result<()> {
        let _turn = self.saving.lock().await;
        let path = self.path.clone();
        // Under its name the new file must stand before anybody hears of it:
        // who begins anew then may link to that name.
        let file = blocking(move || {
            remove_map(&path)?;
            let new = path.with_extension("new");
            let _ = std::fs::remove_file(&new);
            let file = new_file(&new)?;
            std::fs::rename(new, &path)?;
            Ok(file)
        })
        .await?;
        let mut state = self.state.lock();
        state.generation += 1;
        state.file = Arc::new(file);
        (state.opened, state.shown, state.map) = (None, None, None);
        (state.have, state.saved) = (Extents::default(), 0);
        (state.sums, state.kept) = (Sums::default(), Sums::default());
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Whether it can be read from, now or as it comes.
    pub fn is_readable(&self) -> bool {
        self.state.lock().phase != Phase::Aborted
    }

    /// The bytes of `range`, if they are mapped and all there.
    pub fn resident_bytes(&self, generation: u64, range: &Range<u64>) -> Option<Bytes> {
        let state = self.state.lock();
        let there = state.generation == generation && state.have.covers(range);
        let map = state.map.as_ref().filter(|_| there && state.phase != Phase::Aborted)?;
        Some(map.slice(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?))
    }

    /// Leaves the file on the disk for the next attempt.
    pub fn keep(&self) {
        self.state.lock().keep = true;
    }

    /// Waits until a viewer wants something new.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The bytes of `range`, if all are there. Blocks for a moment: they were
    /// written moments ago.
    fn bytes_at(file: &File, range: Range<u64>) -> io::Result<Bytes> {
        use std::os::unix::fs::FileExt;
        let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    }
}

impl Drop for LocalCopy {
    fn drop(&mut self) {
        if !self.state.get_mut().keep {
            // What cannot be removed now, the next start removes.
            let _ = remove(&self.path);
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).open(path)
}

/// Gives the file its final length, and maps it.
fn sized(path: &Path, file: &File, total: u64) -> io::Result<Bytes> {
    file.set_len(total)?;
    mmap::map(path, total)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
