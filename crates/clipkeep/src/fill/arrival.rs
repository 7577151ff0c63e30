//! What was stored on this node just now, for whoever makes something of it. The
//! clip's local copy is held for a few of them, so that nobody reads the store for
//! what was here a moment ago.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clipkeep_core::id::ClipKey;
use tempfile::TempPath;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::spawn_blocking,
};

/// How many may wait. Of more, nobody hears here: the sweep finds them.
const WAITING: usize = 4096;
/// How many copies are held: they take disk.
const COPIES: usize = 8;

/// A clip that was stored.
#[derive(Debug)]
pub struct Arrival {
    /// Which.
    pub key: ClipKey,
    /// All of its bytes, if they are still here.
    pub copy: Option<Copy>,
}

/// A clip's copy under another name, for as long as this is held.
#[derive(Debug)]
pub struct Copy {
    path: TempPath,
    _place: OwnedSemaphorePermit,
}

impl Copy {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Tells of clips as they are stored.
#[derive(Clone, Debug)]
pub struct Arrivals {
    tell: mpsc::Sender<Arrival>,
    folder: PathBuf,
    places: Arc<Semaphore>,
}

impl Arrivals {
    /// Copies are held in `folder`, which is on the same disk as the spool.
    pub fn new(folder: PathBuf) -> (Self, mpsc::Receiver<Arrival>) {
        let (tell, hear) = mpsc::channel(WAITING);
        (Self { tell, folder, places: Arc::new(Semaphore::new(COPIES)) }, hear)
    }

    /// Holds on to a complete copy, if there is a place for one more.
    pub(super) async fn hold(&self, key: &ClipKey, copy: &Path) -> Option<Copy> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (copy, path) = (copy.to_owned(), self.folder.join(key.as_str()));
        let linked = spawn_blocking(move || {
            fs::hard_link(copy, &path)?;
            TempPath::try_from_path(path)
        });
        Some(Copy { path: linked.await.ok()?.ok()?, _place: place })
    }

    /// Tells of a clip. Never waits.
    pub(super) fn tell(&self, key: &ClipKey, copy: Option<Copy>) {
        let _ = self.tell.try_send(Arrival { key: key.clone(), copy });
    }
}
